/*
 * tasks.hpp
 *	  The session's side of a task's life: enqueue, cancel, try again, wait, pause. Each function stands in the
 *	  file named in front of it. All run inside a transaction of the caller, on a primary server with the
 *	  extension (EnterDurableVerb, which those that other verbs call make themselves).
 *
 *	what						when it takes effect
 *	EnqueueTask, RetryTask		at the commit of the caller's transaction
 *	CancelTask					of a waiting task at the commit; of a running one at once
 *	PauseTasks, ResumeTasks		at once, whatever becomes of the transaction; stored by a visit soon after
 *
 * A new row and its wake belong to the (sub)transaction: task_wake.hpp. What is locked here is locked until the
 * transaction's end; a claim never waits for it, and the end pushes the item again.
 */
#pragma once

#include "catalog/queue_row.hpp"
#include "catalog/task_store.hpp"

namespace worker_pool
{

/* --- enqueue_task.cpp ------------------------------------------------------------------------------------- */

/* When another task of the owner waits with the same key. */
enum class OnConflict : uint8
{
	kKeep,	  /* the waiting one serves */
	kReplace, /* it gets the new definition */
	kError,	  /* 23505 */
};

/*
 * The caller fills of task.form: run_at, expires_at, retry_delay_ms, timeout_ms, run_as, max_attempts (0: by
 * atomic), priority, atomic, history; of task: command, args, settings, queue, name, key, concurrency_key.
 */
struct EnqueueRequest
{
	NewTask task;
	OnConflict on_conflict;
	const int64 *depends_on; /* rising, each once */
	int depend_count;
};

/*
 * Stores the task and returns its id, or that of the waiting one that has its key. Rights and syntax were
 * checked. Raises 42704 (queue, task in depends_on), 42501 (depends_on), 53400 (too many tasks of the role), 23505
 * (key), 22023 (a replaced task would wait for itself), 25006, 55000.
 */
int64 EnqueueTask(EnqueueRequest *request);

/*
 * The queue of that name, which cannot be dropped before this transaction ends. 42704 with a hint where there is
 * none.
 */
QueueInfo UseQueue(const char *name);
/* 53400 where as many tasks run as this role as its worker_pool.max_tasks_per_role allows. */
void CheckTaskQuota(Oid role);

/* --- cancel_task.cpp -------------------------------------------------------------------------------------- */

/* The task that this process runs; 0: none. Any process. */
int64 MyTaskId();

/*
 * True when there was something to cancel. Makes the checks of EnterDurableVerb. Raises 42704 (an id that was never
 * given), 42501, 55000 (the task that calls it), 55006 (a claim that does not go away), 25006.
 */
bool CancelTask(int64 id, int64 grace_ms);

/* --- retry_task.cpp --------------------------------------------------------------------------------------- */

/*
 * A task that waits for its retry is due now; one that has ended otherwise than by success gets a new row with
 * its old id. False: neither. 42704, 42501, 53400, 25006.
 */
bool RetryTask(int64 id);

/* --- task_wait.cpp ---------------------------------------------------------------------------------------- */

/*
 * Checks what can be checked before a wait: 42704, 42501, and 55000 for the task that calls it and, unless the
 * caller ends its transaction first, for one that this transaction made or holds.
 */
void CheckMayWaitForTask(int64 id, bool ends_transaction);

/*
 * Waits until the task is over, or for timeout_ms (-1 = no limit). Its state: succeeded, failed, cancelled,
 * expired or skipped; finished where nobody knows (no history); blocked, scheduled, ready or running when the
 * time-out came first. 40P01 when it can never end.
 */
const char *WaitForTask(int64 id, int64 timeout_ms);

/*
 * Has this transaction made, changed or locked the row? Then no claim can be made before its end. The tuple is a
 * copy with its header.
 */
bool IsHeldByMe(HeapTuple tuple);

/* --- pause.cpp -------------------------------------------------------------------------------------------- */

/* A queue's id, or kWholeDatabase. Rights were checked. False: it was so already. */
bool PauseTasks(int32 queue, const char *reason);
bool ResumeTasks(int32 queue);
/* After a pause: waits until none of its tasks runs, or for timeout_ms (0 = no limit); how many still run. */
int AwaitRunningTasks(int32 queue, int64 timeout_ms);

} // namespace worker_pool
