/*
 * pause.cpp
 *	  pause, resume, and the wait of drain. Runs in the session that calls them.
 *
 *		session: SetPause in memory (dirty), take back what	->	from now on nothing of the queue begins
 *		workers have not begun, wake the launcher
 *		launcher: sends a visit									->	visit: StorePause, commits, PauseStored
 *		session: waits for that, at most kStoreMs
 *
 * A pause takes effect at once and whatever becomes of the caller's transaction, so it is not written by that one but by
 * a visit, in a transaction of its own. Where no visit comes in time (the pool is full or disabled, the caller's own
 * transaction has locked the queue's row), the pause stands in memory and is stored later; a WARNING says that a
 * crash before would lose it. If this session dies while it waits, the visit stores the pause all the same.
 *
 * drain counts itself into pool->drain_waiters, so that the end of a task costs nothing while nobody waits, and out on
 * every path: an ERROR, and FATAL by an exit callback that stands for the time of the wait.
 */
#include "feature/tasks.hpp"

#include "config/settings.hpp"
#include "feature/session.hpp"
#include "shmem/slots.hpp"

namespace worker_pool
{

static constexpr int kStoreMs = 5000;

/* --- as it is ------------------------------------------------------------------------------------------------- */

/* Does the table say so? Memory does not know it before the database was loaded. */
static bool
IsStoredAsPaused(int32 queue)
{
	Relation relation = OpenTable(Table::kQueue, AccessShareLock);
	HeapTuple tuple = FetchById(relation, Index::kQueueId, queue);
	const FormQueue *form =
		HeapTupleIsValid(tuple) ? reinterpret_cast<FormQueue *>(GETSTRUCT(tuple)) : nullptr;
	const bool paused =
		form != nullptr && form->paused && IsOwnRow(form->installation, form->database);

	CloseTableForWait(relation, AccessShareLock);
	return paused;
}

/* Memory comes first; where it knows nothing, the table. */
static bool
IsPaused(int32 queue)
{
	PauseNote note = {};

	if (GetPause(MyDatabaseId, queue, &note))
		return true;
	return !note.dirty && IsStoredAsPaused(queue);
}

/* --- stored? -------------------------------------------------------------------------------------------------- */

static bool
IsStored(int32 queue)
{
	PauseNote note = {};

	(void) GetPause(MyDatabaseId, queue, &note);
	return !note.dirty;
}

/* False: not within kStoreMs. */
static bool
AwaitStored(int32 queue)
{
	static uint32 event_cache = 0;
	const TimestampTz give_up_at = GetCurrentTimestamp() + kStoreMs * INT64CONST(1000);
	TimestampTz now = GetCurrentTimestamp();
	volatile bool stored = false;

	PG_TRY();
	{
		ConditionVariablePrepareToSleep(&pool->pause_stored);
		stored = IsStored(queue);
		while (!stored && now < give_up_at)
		{
			const long timeout_ms = static_cast<long>((give_up_at - now + 999) / 1000);

			(void) ConditionVariableTimedSleep(&pool->pause_stored, timeout_ms,
											   compat::WaitEvent("WorkerPoolPause", &event_cache));
			now = GetCurrentTimestamp();
			stored = IsStored(queue);
		}
	}
	PG_FINALLY();
	{
		ConditionVariableCancelSleep();
	}
	PG_END_TRY();
	return stored;
}

static void
WaitUntilStored(int32 queue, const char *what)
{
	if (settings::enabled && AwaitStored(queue))
		return;
	if (IsStored(queue))
		return;
	ereport(WARNING,
			(errmsg("%s is in force, but not stored yet", what),
			 errdetail("A worker stores it as soon as one can be started in this database; a crash of "
					   "the server before that would lose it."),
			 errhint("Look at worker_pool.status and at \"worker_pool.enabled\".")));
}

/* --- pause and resume ----------------------------------------------------------------------------------------- */

static void
SetPauseOrRaise(int32 queue, const PauseNote &note)
{
	if (!SetPause(MyDatabaseId, queue, note))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("no room for another paused queue"),
				 errdetail("At most %d queues and concurrency keys of all databases can be limited or "
						   "paused at a time.",
						   kLimits),
				 errhint("Pause the whole database: worker_pool.pause().")));
	WakeLauncher();
}

/*
 * What workers of this database have taken and not begun goes back, and is then kept there by the pause: else
 * a batch that was claimed before would be run to its end.
 */
static void
TakeBackBatches()
{
	for (int i = 0; i < SlotCount(); i++)
	{
		uint64 generation = 0;
		bool ours = false;

		HOLD_INTERRUPTS();
		{
			LockScope lock(PoolLock(), LW_SHARED);
			const WorkerSlot &slot = SlotAt(i);

			ours = slot.state == SlotState::kRunning && slot.kind == SlotKind::kTask &&
				   slot.target.database == MyDatabaseId;
			generation = slot.generation;
		}
		if (ours)
			(void) StealBatch(i, generation);
		RESUME_INTERRUPTS();
	}
}

bool
PauseTasks(int32 queue, const char *reason)
{
	PauseNote note = {};

	if (IsPaused(queue))
	{
		/* a server that has not loaded this database yet must know it, too */
		if (!GetPause(MyDatabaseId, queue, &note))
			MarkRescan(MyDatabaseId, DT_NOBEGIN);
		return false;
	}
	note.paused = true;
	note.dirty = true;
	note.by = GetUserId();
	note.at = GetCurrentTimestamp();
	if (reason != nullptr)
		memcpy(note.reason, reason,
			   static_cast<Size>(pg_mbcliplen(reason, static_cast<int>(strlen(reason)),
											  static_cast<int>(sizeof(note.reason)) - 1)));
	SetPauseOrRaise(queue, note);
	TakeBackBatches();
	WP_FAULT("task.after_pause");
	WaitUntilStored(queue, "the pause");
	return true;
}

bool
ResumeTasks(int32 queue)
{
	PauseNote note = {};

	if (!IsPaused(queue))
		return false;
	note.dirty = true;
	note.by = GetUserId();
	note.at = GetCurrentTimestamp();
	SetPauseOrRaise(queue, note);
	WP_FAULT("task.after_resume");
	WaitUntilStored(queue, "the end of the pause");
	return true;
}

/* --- drain ---------------------------------------------------------------------------------------------------- */

/* Also an exit callback: what AwaitRunningTasks counted in. */
static void
LeaveDrain(int, Datum)
{
	pg_atomic_fetch_sub_u32(&pool->drain_waiters, 1);
	ConditionVariableCancelSleep();
}

/* Does the caller run as a task of that queue? It would wait for itself. */
static int
OwnTasks(int32 queue)
{
	const int64 id = MyTaskId();

	if (id == 0)
		return 0;
	return queue == kWholeDatabase || ViewItem(MyDatabaseId, id).spec.queue == queue ? 1 : 0;
}

/* The loop; how many run when it ends. */
static int
AwaitNone(int32 queue, int own, TimestampTz deadline)
{
	static uint32 event_cache = 0;

	for (;;)
	{
		const int running = std::max(0, RunningTasks(MyDatabaseId, queue) - own);
		const TimestampTz now = GetCurrentTimestamp();

		if (running == 0 || now >= deadline)
			return running;

		const long timeout_ms = static_cast<long>(
			std::clamp<int64>((deadline - now + 999) / 1000, 1, INT64CONST(86400000)));

		(void) ConditionVariableTimedSleep(&pool->task_ended, timeout_ms,
										   compat::WaitEvent("WorkerPoolDrain", &event_cache));
	}
}

int
AwaitRunningTasks(int32 queue, int64 timeout_ms)
{
	const TimestampTz deadline =
		timeout_ms == 0 ? DT_NOEND : GetCurrentTimestamp() + timeout_ms * INT64CONST(1000);
	const int own = OwnTasks(queue);
	volatile int running = 0;

	pg_atomic_fetch_add_u32(&pool->drain_waiters, 1);
	PG_ENSURE_ERROR_CLEANUP(LeaveDrain, static_cast<Datum>(0));
	{
		/* first the condition variable, then the look: a broadcast in between is not lost */
		ConditionVariablePrepareToSleep(&pool->task_ended);
		running = AwaitNone(queue, own, deadline);
	}
	PG_END_ENSURE_ERROR_CLEANUP(LeaveDrain, static_cast<Datum>(0));
	LeaveDrain(0, static_cast<Datum>(0));
	return running;
}

} // namespace worker_pool
