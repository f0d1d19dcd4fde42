/*
 * task_wait.cpp
 *	  Waits until a task is over. Runs in sessions, and in workers whose command calls wait_task.
 *
 * The waiter enters itself among the waiters (BeginTaskWait), then looks, then sleeps on its latch, which the
 * transaction that ends the task sets after its commit: a task that ends between look and sleep has set it. Each
 * look takes a fresh snapshot, whatever the isolation level of the waiting transaction: first the row, then the
 * history, which the end's transaction changes together.
 *
 *		row there, not over					sleep until woken, the limit, its expiry, or deadlock_timeout
 *		row there, expired, not running		expired: nobody will run it, whether it was ended as such yet or not
 *		no row, history						its state
 *		no row, no history					finished: it has ended and nothing is kept of how. With
 *											history => 'errors', when this wait has seen the row: succeeded
 *		no row, but one that is not			the transaction that enqueues it is still open: look again within a
 *		committed							second, for its rollback wakes nobody
 *
 * A wait without a limit looks for a knot every deadlock_timeout (feature/deadlock.hpp), as one for a command does,
 * and looks at the row again at that occasion, which would heal a wake that was lost.
 *
 * An interrupted wait takes the waiter out and leaves the task alone; on FATAL the exit callback of session.cpp does.
 */
#include "feature/tasks.hpp"

#include "config/settings.hpp"
#include "feature/deadlock.hpp"
#include "feature/finished_task.hpp"
#include "feature/session.hpp"
#include "feature/task_authority.hpp"
#include "feature/task_key.hpp"
#include "pg/guard.hpp"

extern "C"
{
#include "access/multixact.h"
}

namespace worker_pool
{

static constexpr int64 kUncommittedLookUs = USECS_PER_SEC;

struct TaskWait
{
	int64 id;
	TimestampTz deadline;  /* DT_NOEND = none */
	TimestampTz look_at;   /* when to look for a knot; DT_NOEND = never */
	bool stuck;			   /* the last look found one */
	MemoryContext context; /* for one look */
	char history;		   /* the row's option, once it was seen; 0 = never */
};

/* What one look tells. */
struct TaskLook
{
	bool over;
	const char *state;		/* a constant */
	TimestampTz look_again; /* DT_NOEND: when woken */
};

/* --- one look ------------------------------------------------------------------------------------------------ */

bool
IsHeldByMe(HeapTuple tuple)
{
	const HeapTupleHeader header = tuple->t_data;
	const uint16 infomask = header->t_infomask;
	const TransactionId xmax = HeapTupleHeaderGetRawXmax(header);
	MultiXactMember *members = nullptr;

	if (TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(header)))
		return true;
	if ((infomask & HEAP_XMAX_INVALID) != 0)
		return false;
	if ((infomask & HEAP_XMAX_IS_MULTI) == 0)
		return TransactionIdIsCurrentTransactionId(xmax);

	const int count =
		GetMultiXactIdMembers(xmax, &members, false, HEAP_XMAX_IS_LOCKED_ONLY(infomask));

	for (int i = 0; i < count; i++)
		if (TransactionIdIsCurrentTransactionId(members[i].xid))
			return true;
	return false;
}

/* The word of the history as a constant: the row is in memory that goes. */
static const char *
FinalState(const char *state)
{
	static constexpr const char *kFinal[] = {"succeeded", "failed", "cancelled", "expired",
											 "skipped"};

	for (const char *word : kFinal)
		if (strcmp(word, state) == 0)
			return word;
	return "finished";
}

static TaskLook
LookAtRow(const FormTask &form)
{
	const TimestampTz now = GetCurrentTimestamp();
	const ItemView view = ViewItem(MyDatabaseId, form.id);

	if (view.state == ItemState::kTaken && view.begun)
		return {false, "running", DT_NOEND};
	if (form.expires_at <= now)
		return {true, "expired", DT_NOEND};
	if (form.waits_for > 0)
		return {false, "blocked", form.expires_at};
	return {false, form.due > now ? "scheduled" : "ready", form.expires_at};
}

/* Nobody has a row of it: who made or ended it, as far as that is known. */
static TaskLook
LookWithoutRow(const TaskWait &wait)
{
	FinishedTask finished = {};
	TransactionId maker = InvalidTransactionId;

	if (FindFinished(wait.id, &finished))
		return {true, FinalState(finished.state), DT_NOEND};
	/* what failed would stand there */
	if (wait.history == settings::kHistoryErrors)
		return {true, "succeeded", DT_NOEND};

	Relation task = OpenTable(Table::kTask, AccessShareLock);
	const bool taken = IsIdTaken(task, wait.id, &maker);

	CloseTableForWait(task, AccessShareLock);
	if (taken)
		return {false, "blocked",
				GetCurrentTimestamp() + (TransactionIdIsValid(maker) ? kUncommittedLookUs : 0)};
	/* it may have been committed, run and ended since the first look */
	if (FindFinished(wait.id, &finished))
		return {true, FinalState(finished.state), DT_NOEND};
	return {true, "finished", DT_NOEND};
}

static TaskLook
LookAtTask(TaskWait *wait)
{
	MemoryContext const caller = MemoryContextSwitchTo(wait->context);
	Relation task = OpenTable(Table::kTask, AccessShareLock);
	HeapTuple tuple = FetchById(task, Index::kTaskId, wait->id);
	TaskLook look = {};

	CloseTableForWait(task, AccessShareLock);
	if (tuple != nullptr)
	{
		wait->history = FormOf(tuple)->history;
		look = LookAtRow(*FormOf(tuple));
	}
	else
		look = LookWithoutRow(*wait);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(wait->context);
	return look;
}

/* --- the wait ------------------------------------------------------------------------------------------------ */

/* Looks for a knot; raises 40P01 when this look and the one before found one. */
static void
LookForKnot(TaskWait *wait)
{
	char *chain = nullptr;

	RefuseWithoutLauncher();

	MemoryContext const caller = MemoryContextSwitchTo(wait->context);
	/* no C++ exception may pass the PG_TRY that we are in */
	const bool stuck = EnterCpp([&chain]() { return FindDeadlock(&chain); });

	if (stuck && wait->stuck)
		RaiseDeadlock(chain);
	wait->stuck = stuck;
	MemoryContextSwitchTo(caller);
	MemoryContextReset(wait->context);
}

/* Sleeps until woken, or until the next thing to do is due. */
static void
Sleep(const TaskWait &wait, const TaskLook &look, TimestampTz now)
{
	static uint32 event_cache = 0;
	const TimestampTz until = std::min({wait.deadline, wait.look_at, look.look_again});
	const long timeout_ms =
		static_cast<long>(std::clamp<int64>((until - now + 999) / 1000, 1, INT64CONST(86400000)));

	/* outside of a statement (await_task) nothing may be held back from VACUUM */
	if (!ActiveSnapshotSet())
		InvalidateCatalogSnapshot();
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, timeout_ms,
					 compat::WaitEvent("WorkerPoolTask", &event_cache));
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* The loop of the story above. */
static const char *
WaitUntilOver(TaskWait *wait)
{
	const int64 look_interval = static_cast<int64>(DeadlockTimeout) * 1000;
	const bool may_look = wait->deadline == DT_NOEND;
	TimestampTz now = GetCurrentTimestamp();

	wait->look_at = may_look ? now + look_interval : DT_NOEND;
	for (;;)
	{
		const TaskLook look = LookAtTask(wait);

		now = GetCurrentTimestamp();
		if (look.over || now >= wait->deadline)
			return look.state;
		if (now >= wait->look_at)
		{
			LookForKnot(wait);
			now = GetCurrentTimestamp();
			wait->look_at = now + look_interval;
		}
		WP_FAULT_IN_TRY("wait_task.before_sleep");
		Sleep(*wait, look, now);
	}
}

const char *
WaitForTask(int64 id, int64 timeout_ms)
{
	const TimestampTz now = GetCurrentTimestamp();
	const char *volatile state = nullptr;
	TaskWait wait = {};

	PrepareSession();
	wait.id = id;
	wait.deadline = timeout_ms < 0 ? DT_NOEND : now + timeout_ms * INT64CONST(1000);
	wait.context = AllocSetContextCreate(CurrentMemoryContext, "worker_pool wait for a task",
										 ALLOCSET_DEFAULT_SIZES);
	PG_TRY();
	{
		BeginTaskWait(id, wait.deadline != DT_NOEND, now);
		state = WaitUntilOver(&wait);
	}
	PG_FINALLY();
	{
		EndWait();
	}
	PG_END_TRY();
	MemoryContextDelete(wait.context);
	return state;
}

/* --- may it wait? -------------------------------------------------------------------------------------------- */

[[noreturn]] static void
RaiseOwnTask(int64 id)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot wait for task " INT64_FORMAT " in this transaction", id),
			 errdetail("This transaction has made, changed or locked the task, which cannot begin or "
					   "end before the transaction has ended."),
			 errhint("COMMIT first, or use CALL worker_pool.await_task(id) outside of a transaction "
					 "block.")));
	pg_unreachable();
}

/* A task without a row: the history says whose it was. */
static void
CheckMayWaitWithoutRow(Relation task, int64 id)
{
	FinishedTask finished = {};
	TransactionId maker = InvalidTransactionId;

	if (FindFinished(id, &finished))
		CheckMaySeeTask(id, finished.owner);
	else if (!WasTaskIssued(id) && !IsIdTaken(task, id, &maker))
		RaiseTaskNotFound(id);
}

void
CheckMayWaitForTask(int64 id, bool ends_transaction)
{
	if (id != 0 && id == MyTaskId())
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("task " INT64_FORMAT " cannot wait for itself", id),
						errhint("Enqueue another task with \"depends_on\" for what is to follow.")));

	Relation task = OpenTable(Table::kTask, AccessShareLock);
	HeapTuple tuple = FetchById(task, Index::kTaskId, id);

	if (tuple == nullptr)
		CheckMayWaitWithoutRow(task, id);
	else
	{
		const FormTask &form = *FormOf(tuple);

		CheckMaySeeTask(id, IsOwnRow(form.installation, form.database) ? form.owner : InvalidOid);
		if (!ends_transaction && IsHeldByMe(tuple))
			RaiseOwnTask(id);
	}
	CloseTableForWait(task, AccessShareLock);
}

} // namespace worker_pool
