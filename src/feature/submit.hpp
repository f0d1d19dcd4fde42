/*
 * submit.hpp
 *	  The session's side of a command's life: submit it, wait for it, stop it, take its outcome.
 *
 * What a session leaves in shared memory and must take back however it ends: the private record of the
 * run() or query() it is waiting for, the reader's claims of outcomes it is fetching, and its entry among
 * the waiters. One on_shmem_exit callback (registered at the first verb) does that on FATAL; PG_TRY blocks
 * do it on ERROR.
 */
#pragma once

#include "feature/request.hpp"

namespace worker_pool
{

struct Submission
{
	Request request;
	Oid database;
	Oid role;
	const char *name; /* nullptr = none */
	int64 timeout_ms; /* 0 = none */
	bool fresh;
	bool is_private;
	bool discard_rows;
	bool error_when_full; /* on_full => 'error' */
};

struct CommandRef
{
	int index;
	uint64 id;
};

/*
 * Hands the command to an idle worker of its pair or queues it. Privileges and syntax were checked.
 * Raises 53400 (queue full, or no worker free and error_when_full; names the settings), 53200 (shared
 * memory), 55000 (worker_pool.enabled is off).
 */
CommandRef Submit(const Submission &submission);

/*
 * Waits until the record is finished, or until timeout_ms (-1 = none) is over (returns false).
 * Interruptible; raises 40P01 when the wait can never end (feature/deadlock.hpp). The caller decides what
 * an interruption means. `command` may vanish meanwhile (evicted, fetched by another): that ends the wait.
 */
bool WaitForCommand(const CommandRef &command, int64 timeout_ms);

/* run() and query(): waits, and cancels the command if the wait is interrupted. The outcome is claimed. */
void WaitForPrivate(const CommandRef &command);

/*
 * Claims a finished public outcome for reading (55006 when another session is fetching it), so that
 * nobody evicts it. ReleaseClaim puts it back (column list did not fit, ERROR); ConsumeOutcome empties
 * the record. `finished_only` false claims a record that still runs, before waiting for it.
 */
CommandRef ClaimOutcome(uint64 id);
void ReleaseClaim(const CommandRef &command);
void ConsumeOutcome(const CommandRef &command);

/* What one look at an id tells. */
struct CommandGlance
{
	CommandRef ref;		/* index kNone: there is no record (any more) */
	CommandState state; /* without a record: the last one, where the fate tells it, else kVacant */
	bool is_private;
	Oid owner; /* InvalidOid: not known */
	Oid target_role;
	Fate fate; /* without a record */
};

/* Looks at an id once, under the lock in shared mode. */
CommandGlance GlanceAt(uint64 id);

/* The error for an id that has no record: says which fate it had (42704). */
[[noreturn]] void RaiseNoCommand(uint64 id);

/* stop_worker: true when there was something to stop. Checks the caller's right (42501, 42704). */
bool StopCommand(uint64 id, int64 grace_ms);

} // namespace worker_pool
