/*
 * worker_pool.h
 *	  The interface of worker_pool for other extensions: plain C, found at run time.
 *
 * Include it after postgres.h (in C++: worker_pool.hpp). There is nothing to link against: worker_pool, where it is
 * preloaded, leaves the address of one struct of function pointers in a rendezvous variable of the server. Where it is
 * not, worker_pool_api() is NULL, and an extension can do without.
 *
 *		static WorkerPoolService refresh = {sizeof(refresh), "refresh", 0, refresh_cycle, NULL};
 *
 *		void
 *		_PG_init(void)
 *		{
 *			const WorkerPoolApi *pool = worker_pool_api();
 *
 *			if (pool != NULL)
 *				pool->register_service(&refresh);
 *		}
 *
 * and then, in SQL:	select worker_pool.create_service('mine', entry_point => 'my_library:refresh');
 *
 * The interface only grows. `size` tells how much of the struct the library that is running has: ask
 * WORKER_POOL_HAS before you use a member that came after version 1. The structs that you pass begin with
 * their size as you compiled it; members that you do not set are to be zero: WORKER_POOL_INIT does both.
 *
 * Unless it says otherwise a function may raise an ERROR, as any function of the server may; so in C++ it is
 * called only where no destructor can be skipped (worker_pool.hpp has the rules). Texts are in the encoding of the
 * database; ids and times are SQL's.
 *
 * A guide with examples: docs/extension-authors.md.
 */
#ifndef WORKER_POOL_H
#define WORKER_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define WORKER_POOL_BEGIN_C                                                                        \
	extern "C"                                                                                     \
	{
#define WORKER_POOL_END_C }
#else
#define WORKER_POOL_BEGIN_C
#define WORKER_POOL_END_C
#endif

WORKER_POOL_BEGIN_C

#include "fmgr.h"

/* Of this header. A library of the same number serves everything in it. */
#define WORKER_POOL_API_VERSION 1

/* Where the struct is found. */
#define WORKER_POOL_RENDEZVOUS "worker_pool_api"

/* Zeroes a struct of this interface and sets its size: WORKER_POOL_INIT(command); */
#define WORKER_POOL_INIT(object)                                                                   \
	(memset(&(object), 0, sizeof(object)), (object).size = sizeof(object))

/* Has the library that is running this member of the struct? */
#define WORKER_POOL_HAS(api, member)                                                               \
	((api)->size >= offsetof(WorkerPoolApi, member) + sizeof((api)->member))

/* --- services ------------------------------------------------------------------------------------------ */

/*
 * An entry point: what a service runs that was made with create_service(entry_point => 'library:name').
 *
 * Exactly one of `cycle` and `main` is set.
 *
 * cycle	does one round and returns. It is called at once and then every `every`. It runs inside a
 *			transaction with an active snapshot, SPI is not connected, CurrentMemoryContext is reset after each
 *			round; when it returns, the transaction is committed. With WORKER_POOL_OWN_TRANSACTIONS it runs
 *			outside of any transaction, and leaves none open. When slots are short, others take their
 *			turn between two rounds, and the next one runs in another process: what is to outlive a round
 *			stands in a table, not in a variable.
 * main		is resident: it runs until should_stop() is true, outside of any transaction, and does its own. In its
 *			loop it calls sleep(), or CHECK_FOR_INTERRUPTS() and should_stop() every second at least; in a
 *			long wait of its own it waits on MyLatch, too. It keeps its slot; the number of resident mains is
 *			limited, so that others have their turn. Its CurrentMemoryContext lives as long as it runs. If it
 *			returns without having been asked to, it is called again after `every`.
 *
 * Either runs in a background worker that is connected to the database of the service as its role, with the
 * settings of both and the `settings` of the service; or, with WORKER_POOL_NO_DATABASE, in one that is
 * connected to none: no transactions, no catalogs, no SPI there, but memory contexts, ereport, the latch, and
 * libpq to any server. SIGTERM is `die` and SIGINT cancels: both end what checks for interrupts. SIGHUP has the
 * configuration reloaded, by sleep() or between two rounds. Do not install other handlers, do not call proc_exit().
 *
 * An ERROR that leaves it is a failed cycle: rolled back, tried again with back-off, for ever. A FATAL, a time-out, or a
 * process that goes away otherwise, is a crash: three in a row, and the service is quarantined. One that is asked to
 * stop and does not is cancelled after 5 s, terminated after 10 s, and never killed.
 */
typedef struct WorkerPoolService
{
	size_t size;
	const char *name; /* of the entry point: at most 63 bytes, no colon */
	uint32_t flags;	  /* WORKER_POOL_... below, or'ed */
	void (*cycle)(void);
	void (*main)(void);
} WorkerPoolService;

/* It runs in a process that is connected to no database. Superusers' services only. */
#define WORKER_POOL_NO_DATABASE (1u << 0)
/* `cycle` is called outside of any transaction. Implied by WORKER_POOL_NO_DATABASE, and by `main`. */
#define WORKER_POOL_OWN_TRANSACTIONS (1u << 1)
/*
 * Any role may make a service of it; otherwise superusers only, since C code can do whatever the server can.
 * The library must be preloaded then: whoever is no superuser cannot have one loaded.
 */
#define WORKER_POOL_PUBLIC (1u << 2)

/* Why sleep() came back: bits. */
#define WORKER_POOL_WAKE_STOP (1u << 0)	   /* should_stop() is true */
#define WORKER_POOL_WAKE_RELOAD (1u << 1)  /* the configuration, or config(), may have changed */
#define WORKER_POOL_WAKE_LATCH (1u << 2)   /* somebody set the latch */
#define WORKER_POOL_WAKE_TIMEOUT (1u << 3) /* the time is over */

/* --- commands and tasks ---------------------------------------------------------------------------------- */

/* As start_worker() in SQL; NULL and 0 are its defaults but where it is said. */
typedef struct WorkerPoolCommand
{
	size_t size;
	const char *command;
	const char *const *args; /* arg_count strings, NULL among them is SQL NULL */
	int arg_count;
	const char *database;
	const char *run_as;
	const char *name;
	const char *settings; /* a json object, or NULL */
	int64_t timeout_ms;	  /* 0: worker_pool.default_timeout; -1: none */
	bool error_when_full; /* on_full => 'error' */
	bool fresh;
} WorkerPoolCommand;

/* As enqueue() in SQL; NULL and 0 are its defaults but where it is said. */
typedef struct WorkerPoolTask
{
	size_t size;
	const char *command;
	const char *const *args;
	int arg_count;
	const char *queue;
	int priority;
	int64_t run_at; /* TimestampTz; 0: now */
	int max_attempts;
	int64_t retry_delay_ms; /* 0: the default; -1: none */
	int64_t timeout_ms;		/* 0: worker_pool.default_timeout; -1: none */
	int64_t expires_at;		/* TimestampTz; 0: never */
	const char *key;
	const char *on_conflict;
	const char *concurrency_key;
	const int64_t *depends_on; /* depend_count ids */
	int depend_count;
	const char *run_as;
	const char *settings;
	const char *history;
	const char *name;
	int atomic; /* 0: by the command; 1: atomic; -1: not */
} WorkerPoolTask;

/* What an id names. */
typedef enum WorkerPoolWork
{
	WORKER_POOL_COMMAND = 1, /* what start_worker returned */
	WORKER_POOL_TASK = 2	 /* what enqueue returned; of the current database */
} WorkerPoolWork;

/* --- the struct -------------------------------------------------------------------------------------------- */

typedef struct WorkerPoolApi
{
	size_t size;	  /* of the struct that the running library has */
	uint32_t version; /* WORKER_POOL_API_VERSION of the running library */

	/*
	 * Makes an entry point known in this process, and, from _PG_init of a preloaded library, in all; worker_pool is to
	 * stand before that library in shared_preload_libraries. Call it in _PG_init: a library that is not preloaded
	 * is loaded when its entry point is wanted. The struct is not copied and is to stay; it, or its function, tells
	 * by where it lies which library it is of. A second one of the same name and library takes the place of the
	 * first. 22023 for one that is not as said above.
	 */
	void (*register_service)(const WorkerPoolService *service);

	/* --- in an entry point; 55000 elsewhere, but for should_stop, which is false there ---------------------- */

	/*
	 * Is it to end: stop_service, restart_service, drop_service, DROP EXTENSION or DROP DATABASE, a changed
	 * role, worker_pool.enabled = off, a server that shuts down? Cheap, never raises.
	 */
	bool (*should_stop)(void);
	/*
	 * Sleeps until something of WORKER_POOL_WAKE_... happens, which it returns; timeout_ms -1: no limit. Does not sleep
	 * while should_stop() is true. Checks for interrupts, takes a changed configuration over and, outside of a
	 * transaction, reports statistics.
	 */
	uint32_t (*sleep)(int64_t timeout_ms);
	/* The service's config as json text, as of this cycle; for main as it is now. In CurrentMemoryContext. */
	char *(*config)(void);
	/* The service's name. Valid until the process ends. */
	const char *(*service_name)(void);
	/*
	 * `main` has done a round: counted in the column cycle, awaited by wait_service(cycles). Ends an episode of
	 * failures. Without effect in a cycle, whose end counts.
	 */
	void (*cycle_done)(void);

	/* --- in an entry point or a task; without effect elsewhere ------------------------------------------------- */

	/* fraction 0..1 (22023), message NULL or short: columns progress and message of the view workers. */
	void (*report_progress)(double fraction, const char *message);

	/* --- anywhere inside a transaction (25P01) of a database (55000), as the current user ---------------------- */

	/* Starts a command now, whatever becomes of the transaction. Its id. Errors: those of start_worker(). */
	int64_t (*start_worker)(const WorkerPoolCommand *command);
	/* Stores a task, which begins after commit. Its id. Errors: those of enqueue(). */
	int64_t (*enqueue)(const WorkerPoolTask *task);
	/*
	 * Waits for its end, timeout_ms at most (0: worker_pool.default_timeout; -1: no limit). Its state, a constant
	 * string as wait_worker() and wait_task() return. Interrupts end the wait, should_stop() does not: in an entry
	 * point wait with a limit, in rounds. Errors: theirs.
	 */
	const char *(*wait)(WorkerPoolWork what, int64_t id, int64_t timeout_ms);
	/*
	 * Cancels, and terminates after grace_ms. False: there was nothing to cancel. Errors: those of stop_worker() and
	 * cancel_task().
	 */
	bool (*cancel)(WorkerPoolWork what, int64_t id, int64_t grace_ms);

	/* --- slots for a background worker of one's own ------------------------------------------------------------- */

	/*
	 * Takes a slot of the pool's budget for a background worker that the caller is about to register; waits up
	 * to timeout_ms (0: not at all, -1: no limit) for one, for which idle workers leave. `name`: 1 to 63 bytes, shown
	 * in the view workers. Returns a ticket to be handed to the process (in bgw_extra, or in bgw_main_arg), 0 where
	 * there was no slot, or worker_pool.enabled is off. Such slots are limited together with those of resident
	 * mains. Until the other process has attached, the slot is this one's, and comes back when it ends. 22023, 55000.
	 */
	uint64_t (*acquire_slot)(const char *name, int64_t timeout_ms);
	/*
	 * In the background worker, first of all, before it connects to a database: the slot is its own from now on, until
	 * it exits. False: the ticket is no longer good, and the process is to exit (with 0, so as not to be restarted).
	 * A ticket is good for one process; use BGW_NEVER_RESTART. Never raises.
	 */
	bool (*attach_slot)(uint64_t ticket);
	/*
	 * The background worker could not be started; or, in that one, it needs the slot no longer. Without effect in any
	 * other process. Never raises.
	 */
	void (*release_slot)(uint64_t ticket);
} WorkerPoolApi;

/* The interface; NULL where worker_pool is not preloaded, or is of another version. Cheap, never raises. */
static inline const WorkerPoolApi *
worker_pool_api(void)
{
	void **variable = find_rendezvous_variable(WORKER_POOL_RENDEZVOUS);
	const WorkerPoolApi *api = (const WorkerPoolApi *) *variable;

	return api != NULL && api->version >= WORKER_POOL_API_VERSION ? api : NULL;
}

WORKER_POOL_END_C

#endif /* WORKER_POOL_H */
