/*
 * task_store.hpp
 *	  The life of a task's row: inserted, claimed, finished. One function a transition; the only writer of
 *	  worker_pool.task, task_key, dependency and history.
 *
 *	              InsertTask              ClaimTask (own transaction, many at once, not flushed)
 *	   (none) ----------------> waiting -----------------------------------------------> claimed
 *	                             ^  ^                                                   |  |  |
 *	                             |  | ReleaseDependants: waits_for 1 -> 0               |  |  | MarkSucceeded
 *	                             |  |                        MarkFailed: due = later    |  |  | (in the task's own
 *	                             |  +---------------------------------------------------+  |  |  transaction)
 *	                             +---------- a claim whose process is gone is overwritten -+  v
 *	                                                                              row gone, history written
 *	   FinishTask: waiting or claimed -> gone as failed, cancelled, expired, by anybody who has the right
 *
 * Fence. The claim is (epoch, slot, generation), and the place (TID) of the row version that carries it.
 * MarkSucceeded deletes that very version after it has compared id and claim; had anybody changed the row
 * meanwhile, it raises and the effect is rolled back with the mark.
 *
 * A row lock of a user's transaction (enqueue with key => 'keep', cancel_task) never makes a claim wait:
 * kLocked, and the end of that transaction pushes the item again (ArmLockedItem). MarkSucceeded does wait for
 * lockers: enqueue(depends_on) locks the row it depends on in key-share mode, so that the mark sees the
 * dependency row after it.
 *
 * Everything here runs inside a transaction of the caller and is armed (task_wake.hpp) to be told at its
 * commit: released dependants are pushed, waiters of a finished task woken.
 */
#pragma once

#include "catalog/task_row.hpp"

namespace worker_pool
{

/* --- in ---------------------------------------------------------------------------------------------- */

/*
 * Stores the row, arms its item (not while it waits for others) and the event kEnqueued. form.id is taken from
 * the sequence when 0; attempt, claim, identity, rank, trusted_epoch and due (infinity where waits_for > 0) are set
 * here, enqueued_at where it is 0. form.keyed: the key's row is made, unless it is there for this very id (the
 * verb may have done it); 23505 where another task holds the key. 55000 in a copy that was not adopted. Returns
 * the id.
 */
int64 InsertTask(NewTask *task);
/* Who holds the owner's key: the id of a task that has not begun. Fresh snapshot. False: nobody. */
bool FindKey(Oid owner, const char *key, int64 *task_id);

/*
 * May a task wait for that one? kWaits: it is not finished; its row is locked in key-share mode, so that its mark
 * waits for this transaction and then sees what InsertDependency adds (and a claim passes over it until then).
 * kDone: it has succeeded (history); kFailed: it has ended otherwise (the dependant is to be cancelled); kUnknown:
 * neither row nor history. *owner is set but for kUnknown.
 */
enum class DependencyState : uint8
{
	kWaits,
	kDone,
	kFailed,
	kUnknown,
};
DependencyState CheckDependency(int64 depends_on, Oid *owner);
/* How a task has ended without success, as the end of a sentence: "was canceled". */
const char *DependencyEndWord(const char *state);
/* Adds "task_id waits for depends_on": for its success, or (on_end) only for its end. 23505: twice the same. */
void InsertDependency(int64 depends_on, int64 task_id, bool on_end);

/* --- claim ------------------------------------------------------------------------------------------- */

struct Claim
{
	int64 epoch;
	int32 slot;
	int64 generation;
};

struct ClaimedTask
{
	HeapTuple tuple; /* the version with our claim, detoasted, in the caller's context */
	ItemPointerData place;
};

enum class ClaimResult : uint8
{
	kClaimed,
	/* no such row, or not of this database (identity), or it waits for others, or memory knew it wrong: drop the item */
	kGone,
	kLocked, /* a transaction holds the row; its end pushes it again. MarkRescan guards against strangers */
	kHeld,	  /* claimed by a living process: drop the item */
	kNotDue,  /* *due says when */
	kExpired, /* expires_at is over: FinishTask */
	kLost,	  /* a counted claim of a process or server that is gone: RecordLost */
	kCareful, /* it must be claimed alone, counted, flushed (the claim was not made) */
	kRole,	  /* its role is gone or has another name: FinishTask with the reason */
};

struct ClaimRequest
{
	Claim claim;
	VoidClaim void_claim; /* of this server: known to be void */
	ItemSpec known; /* what memory knows of the row: whose it is, and against what it counts */
	bool alone;		/* careful, or not atomic: attempt+1 now, counted = true */
	bool trust;		/* alone is satisfied: do not answer kCareful */
};

/*
 * Claims the row. The caller commits (asynchronously, unless alone) before it runs anything. A row that is
 * not atomic answers kCareful unless `alone`. *due on kNotDue. On kExpired, kLost, kRole
 * the current version is in claimed->tuple for what must follow.
 */
ClaimResult ClaimTask(Relation task, int64 id, const ClaimRequest &request, ClaimedTask *claimed,
					  TimestampTz *due);

/*
 * A claim that will not be run (process retires, batch given up): takes it out of the row, with the attempt where
 * it was counted already. Own transaction of the caller. Does not wait: a row that somebody holds keeps the claim,
 * which the item's void_claim makes harmless.
 */
void ReleaseClaim(Relation task, const ClaimedTask &claimed);

/* --- out --------------------------------------------------------------------------------------------- */

struct AttemptOutcome
{
	const char *state; /* succeeded, failed, cancelled, expired, skipped */
	/* 0: it never began, then no attempt is counted for it unless the state is failed */
	TimestampTz started_at;
	const char *tag;
	char sqlstate[6]; /* "" = none */
	const char *message;
	const char *detail;
	const char *hint;
	const char *context;
	bool has_result;
	Datum result; /* jsonb */
};

/*
 * The last act of an atomic task before its commit (and, in a transaction of its own, of one that is not
 * atomic): the row goes, history is written as the row's history says, dependants are released, NOTIFY where
 * worker_pool.notify is on. Raises 40001 "the claim on task N was lost" when the row is not ours any more
 * (fence). Waits for row locks.
 */
void MarkSucceeded(const ClaimedTask &claimed, const AttemptOutcome &outcome);

enum class Verdict : uint8
{
	kRetry,
	kFinal,
	kNotOurs, /* the row changed hands meanwhile: nothing was written */
};

/*
 * An attempt failed: writes it to history; the task gets its next due time (core/retry.hpp) or goes for good,
 * its dependants cancelled. `retryable` false: final at once (cancelled by cancel_task, role gone).
 * *next: the item for DeferItem on kRetry. Logs one WARNING for a final failure (id, name, SQLSTATE; no SQL).
 */
Verdict MarkFailed(const ClaimedTask &claimed, const AttemptOutcome &outcome, bool retryable,
				   ItemSpec *next);

/*
 * Ends a task that is not running: cancelled, expired, failed for a reason (role gone). Waits for a row lock;
 * false: it is gone, or claimed by a living process (then *claimed_by_slot >= 0, else kNone). Arms the event of
 * that state, and the removal of the item; should the transaction abort, the item is pushed again.
 */
bool FinishTask(int64 id, const AttemptOutcome &outcome, int *claimed_by_slot);

/*
 * An entry of history for something that never was a task: a due time of a schedule that was skipped. Arms the
 * event kSkipped; writes nothing where form.history is 'o'.
 */
void InsertHistory(const NewTask &task, const AttemptOutcome &outcome);

/* --- upkeep ------------------------------------------------------------------------------------------ */

/*
 * Pushes waiting rows of this database into the ready queue, from where memory says it needs them; whole: all
 * roles, from the start (a visit, rescan). Own snapshot; inside a transaction. A worker calls
 * LoadPair for its own pair on TakeResult::kRefill.
 */
void LoadDatabase();
void LoadPair(Oid role);
/* Deletes history that is older than the settings say, at most `most` rows; keeps the last 10 of each schedule. Returns when to come again. */
TimestampTz PurgeHistory(int most);
/* Visit: tasks of that role that are due fail with the reason. Returns how many. */
int FailTasksOfRole(Oid role, const BriefError &error);
/* adopt(): foreign rows of all tables become this database's; returns how many. Roles by name; rows whose role is missing stay. */
int AdoptRows();

} // namespace worker_pool
