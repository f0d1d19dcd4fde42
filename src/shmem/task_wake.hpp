/*
 * task_wake.hpp
 *	  What a transaction wrote into the durable tables, told to the ready queue when the transaction has
 *	  ended. Any process.
 *
 * A fixed array of kArmed items with the subtransaction that armed each: an aborted subtransaction takes its
 * own out, a committed one hands them to its parent. What does not fit becomes "this database has rows that
 * nobody pushed" (MarkRescan). At the end of the top transaction a resource-release callback, in the phase
 * after locks and invalidations are out, pushes them and wakes: a worker that looks then sees everything the
 * transaction made. Nothing there allocates, raises or waits. PREPARE TRANSACTION drops the notes: COMMIT or
 * ROLLBACK PREPARED says MarkRescan for its database (process/ddl_hooks.cpp, through ArmRescan).
 */
#pragma once

#include "shmem/ready.hpp"

namespace worker_pool
{

inline constexpr int kArmed = 64;

/* At commit: PushItem and WakePair. */
void ArmItem(const ItemSpec &spec);
/*
 * The same at commit and at abort (of the subtransaction, too, which unlocks it): the row is locked by this
 * transaction, so a worker that came by has passed over it. After ArmRemoval of the same item it only says what
 * happens at abort.
 */
void ArmLockedItem(const ItemSpec &spec);
/* At commit: RemoveItem, for a waiting task that was cancelled or a schedule that was dropped. */
void ArmRemoval(ItemKind kind, int64 id);
/* At commit and at abort of this transaction: MarkRescan of the current database. */
void ArmRescan();
/* At commit: SetQueueLimit; max_running 0 = none. */
void ArmQueueLimit(int32 queue, int max_running);
/* At commit: whoever waits for this task (wait_task) is woken. */
void ArmTaskFinished(int64 id);
/* At commit: CountEvent. */
void ArmEvent(int32 queue, StatEvent event);

/* Registers the transaction callbacks; _PG_init. */
void InstallTaskWake();

/* --- waiting for a task ----------------------------------------------------------------------------------- */

/*
 * This process waits for the task from now on (waiters.hpp has the entry); EndWait() of session.hpp ends it. The
 * caller has called PrepareSession(), and looks at the row after this: an end that it does not see there wakes it.
 */
void BeginTaskWait(int64 id, bool may_time_out, TimestampTz since);
/* Sets the latch of all who wait for that task, id 0: for any of the database. Never raises. */
void WakeTaskWaiters(Oid database, int64 id);

} // namespace worker_pool
