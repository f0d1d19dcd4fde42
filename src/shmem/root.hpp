/*
 * root.hpp
 *	  The one piece of shared memory of worker_pool, and the one lock.
 *
 * Everything lives in a single main-segment allocation made at server start: the root below, then the
 * slot, command, pair, database and waiter arrays, then the in-place DSA (memory.hpp). Main-segment
 * addresses are the same in every process, so dlists and pointers inside it are fine.
 *
 * One LWLock (PoolLock) protects all of it but the atomics and the DSA's own content. It is a leaf lock
 * with respect to everything but SetLatch and kill(2): under it we read and write fields and move list
 * nodes; never palloc, elog, catalogs, waits, or RegisterDynamicBackgroundWorker.
 *
 *	field					written by					under
 *	epoch, started_at		postmaster at start			-
 *	launcher_*				launcher					lock
 *	launcher_wake_at		launcher (its next deadline)lock
 *	next_command_id, ...	commands.cpp				lock
 *	authority_changes		any session at commit		atomic
 *	bytes_used				memory.cpp					atomic
 */
#pragma once

#include "core/states.hpp"
#include "pg/fault.hpp"
#include "pg/lock_scope.hpp"
#include "pg/prelude.hpp"

namespace worker_pool
{

/* "No such index": of a slot, a record, a pair, a PGPROC. */
inline constexpr int kNone = -1;

/*
 * An error in fixed size: what can be written under the lock, in an exit callback, or by the launcher,
 * where no memory may be allocated. sqlstate 0 = none.
 */
struct BriefError
{
	int sqlstate;
	char message[192];
	char detail[192];
	char hint[160];
};

struct PoolRoot
{
	/*
	 * The pool lock. Kept here because GetNamedLWLockTranche works only where the tranche was requested: in
	 * the postmaster and what it forks, not in the processes of an EXEC_BACKEND build.
	 */
	LWLock *lock;
	LWLock *task_lock; /* of ready.hpp; never held together with `lock` */

	uint64 epoch; /* 64 random bits, new whenever shared memory was rebuilt */
	TimestampTz started_at;
	/*
	 * Shared memory was made after a crash, an immediate shutdown or as a standby: tasks that were unfinished
	 * then are claimed alone until each has run once (careful mode). Written once, by the postmaster.
	 */
	bool careful;
	int task_slots; /* slots of tasks, services and leases that are starting, assigned or running; slots.cpp, under the lock */
	/*
	 * Tasks of some pair wait for room among task_slots: an idle worker turns to tasks only with the launcher's
	 * permission (WorkerSlot.task_permit), so that room goes to who waits longest. Launcher, under the lock.
	 */
	bool tasks_contended;

	uint64 next_service_serial; /* service_table.cpp */
	int services_used; /* length of the used prefix of the service table; service_table.cpp */
	int services_full; /* rows that found no room since it last had some; service_table.cpp */
	/* whoever waits for a service sleeps here; broadcast without the lock */
	ConditionVariable service_changed;
	pg_atomic_uint32 service_waiters;

	int launcher_proc; /* PGPROC index, kNone when no launcher lives */
	pid_t launcher_pid;
	TimestampTz launcher_started_at;
	/* when the launcher will look next by itself; DT_NOEND = only when woken */
	TimestampTz launcher_wake_at;
	uint64 launcher_wakeups; /* loops made, for the idle test and for curiosity */

	uint64 first_command_id; /* ids below are of an earlier life of shared memory */
	uint64 next_command_id;
	uint64 next_finish_number; /* order of completion */
	int queued_total;		   /* commands queued over all pairs */
	int finished_total;		   /* public outcomes that nobody has claimed for reading */
	int claimed_total;		   /* records of any state that are claimed */

	dlist_head free_slots;
	dlist_head running_slots; /* every slot that is not free */
	dlist_head free_commands;
	dlist_head finished_commands; /* public outcomes, oldest first: the order of eviction */
	dlist_head free_pairs;
	dlist_head used_pairs;

	/* broadcast (lock not held) whenever a slot became free: DDL drains wait for it */
	ConditionVariable slot_freed;
	/* broadcast (no lock held) whenever a task ended and drain_waiters says that somebody waits for that */
	ConditionVariable task_ended;
	pg_atomic_uint32 drain_waiters;
	/* broadcast when a pause was stored by a visit */
	ConditionVariable pause_stored;
	/* processes in wait_task, so that the end of a task costs nothing when nobody waits */
	pg_atomic_uint32 task_waiters;

	/*
	 * Bumped at the commit of ALTER/DROP ROLE, GRANT, REVOKE, ALTER DATABASE ...: warm workers check
	 * their authority again before they run anything.
	 */
	pg_atomic_uint64 authority_changes;
	/* Bumped likewise by ALTER ROLE/DATABASE ... SET, which has no syscache. */
	pg_atomic_uint64 setting_changes;
	pg_atomic_uint64 bytes_used; /* handed out by memory.cpp */

	FaultShared faults;
};

static_assert(std::is_standard_layout_v<PoolRoot> && std::is_trivially_copyable_v<PoolRoot>);

/* nullptr where the library was not preloaded (or in single-user and binary-upgrade mode). */
extern PoolRoot *pool;

/* The pool lock; valid when `pool` is. */
inline LWLock *
PoolLock()
{
	return pool->lock;
}
/* The LWLock tranche that the DSA's locks use. */
int PoolTranche();

/* _PG_init: asks for memory and lock tranches and hooks the start-up. */
void RequestSharedMemory();

/* Raises 55000 with a hint unless the pool's shared memory is there. */
void RequirePool();

/* Wakes the launcher, if one lives. With or without the lock held. */
void WakeLauncher();

} // namespace worker_pool
