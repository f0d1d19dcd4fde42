/*
 * cancel_task.cpp
 *	  cancel_task, also for stop_worker with a task's id. Runs in the session that wants a task to end.
 *
 *	  its row is held by this transaction, or no worker has it	-> FinishTask: gone at the commit; at a rollback it
 *																   is told to the ready queue again
 *	  a worker has it and has not begun							-> marked: the worker ends it when its turn comes
 *	  a worker runs it											-> SIGINT now, under the pool lock, and SIGTERM by
 *																   the launcher after the grace period
 *	  it has ended												-> false
 *
 * A task can move from one line to another between the look and the act: then it is looked at again after a moment.
 * What lasts longer than kPatienceMs is reported as 55006; nothing was done.
 *
 * The signal goes out while the slot is known to run this very task (SignalTask), so it cannot hit the next one. If
 * this session dies after it, nothing is left to do; before it, nothing has happened.
 */
#include "feature/tasks.hpp"

#include "feature/finished_task.hpp"
#include "feature/task_authority.hpp"
#include "shmem/slots.hpp"

namespace worker_pool
{

static constexpr int kPatienceMs = 5000;
static constexpr long kNapMs = 10;

enum class Try : uint8
{
	kDone,	  /* there was something to cancel */
	kNothing, /* it has ended */
	kAgain,	  /* it was about to change hands */
};

int64
MyTaskId()
{
	if (pool == nullptr || MyBgworkerEntry == nullptr)
		return 0;

	LockScope lock(PoolLock(), LW_SHARED);

	for (int i = 0; i < SlotCount(); i++)
		if (SlotAt(i).pid == MyProcPid)
			return SlotAt(i).task_id;
	return 0;
}

/* There is no row: does anybody know of it? 42501, 42704 for an id that was never given. */
static Try
JudgeFinished(int64 id)
{
	FinishedTask finished = {};

	if (FindFinished(id, &finished))
		CheckMayCancelTask(id, finished.owner, finished.owner, finished.queue);
	else if (!WasTaskIssued(id))
		RaiseTaskNotFound(id);
	return Try::kNothing;
}

/* Signals the worker that runs it. False: it does not any more. */
static bool
SignalWorker(int slot, int64 id, int64 grace_ms)
{
	const TimestampTz terminate_at = GetCurrentTimestamp() + grace_ms * INT64CONST(1000);
	bool signalled = false;

	HOLD_INTERRUPTS();
	{
		LockScope lock(PoolLock());

		signalled = SignalTask(slot, id, StopReason::kRequested, terminate_at);
	}
	if (signalled)
		WakeLauncher();
	RESUME_INTERRUPTS();
	return signalled;
}

/*
 * The row names a living process, but that has given the task back (a pause, a batch that hung): takes its claim out
 * of the row. What a worker has is in memory as taken.
 */
static void
ReleaseVoidClaim(int64 id)
{
	Relation task = OpenTable(Table::kTask, RowExclusiveLock);
	HeapTuple tuple = FetchById(task, Index::kTaskId, id);

	if (tuple != nullptr && FormOf(tuple)->claim_epoch != 0 &&
		ViewItem(MyDatabaseId, id).state != ItemState::kTaken)
		ReleaseClaim(task, {tuple, tuple->t_self});
	table_close(task, NoLock);
}

/* Ends one that no worker has, with this transaction. */
static Try
EndWaiting(int64 id)
{
	int claimed_by = kNone;
	AttemptOutcome outcome = {};

	RefuseReadOnly("cancel_task");
	outcome.state = "cancelled";
	strlcpy(outcome.sqlstate, "57014", sizeof(outcome.sqlstate));
	outcome.message =
		psprintf("task " INT64_FORMAT " was canceled by cancel_task while it waited", id);
	outcome.detail = psprintf("Role \"%s\" did it.", GetUserNameFromId(GetUserId(), false));
	WP_FAULT("task.before_cancel");
	if (FinishTask(id, outcome, &claimed_by))
		return Try::kDone;
	if (claimed_by == kNone)
		return Try::kAgain;
	ReleaseVoidClaim(id);
	return FinishTask(id, outcome, &claimed_by) ? Try::kDone : Try::kAgain;
}

static Try
TryCancel(int64 id, int64 grace_ms)
{
	Relation task = OpenTable(Table::kTask, AccessShareLock);
	HeapTuple tuple = FetchById(task, Index::kTaskId, id);
	int slot = kNone;

	const char *queue = tuple == nullptr ? nullptr : TextOf(task, tuple, kTaskQueue);

	table_close(task, AccessShareLock);
	if (tuple == nullptr)
		return JudgeFinished(id);

	const FormTask &form = *FormOf(tuple);
	const bool own = IsOwnRow(form.installation, form.database);

	CheckMayCancelTask(id, own ? form.owner : InvalidOid, form.run_as, queue);
	/* a worker that has it cannot claim it: what is in memory will be dropped */
	if (IsHeldByMe(tuple))
		return EndWaiting(id);
	switch (CancelItem(MyDatabaseId, id, &slot))
	{
		case CancelResult::kNotThere:
			return EndWaiting(id);
		case CancelResult::kMarked:
			return Try::kDone;
		case CancelResult::kRunning:
			return SignalWorker(slot, id, grace_ms) ? Try::kDone : Try::kAgain;
	}
	return Try::kAgain;
}

static void
Nap()
{
	static uint32 event_cache = 0;

	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, kNapMs,
					 compat::WaitEvent("WorkerPoolCancel", &event_cache));
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

bool
CancelTask(int64 id, int64 grace_ms)
{
	const TimestampTz give_up_at = GetCurrentTimestamp() + kPatienceMs * INT64CONST(1000);

	EnterDurableVerb();
	if (id != 0 && id == MyTaskId())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("task " INT64_FORMAT " cannot cancel itself", id),
				 errdetail("Its own transaction would be rolled back by it."),
				 errhint("Raise an error instead, or just end.")));
	for (;;)
	{
		const Try result = TryCancel(id, grace_ms);

		if (result != Try::kAgain)
			return result == Try::kDone;
		if (GetCurrentTimestamp() >= give_up_at)
			break;
		Nap();
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errmsg("task " INT64_FORMAT " could not be canceled", id),
			 errdetail("It is claimed by a worker that neither runs it nor gives it back."),
			 errhint("Call cancel_task again; worker_pool.explain_task(" INT64_FORMAT ") tells more.",
					 id)));
	return false;
}

} // namespace worker_pool
