/*
 * retry_task.cpp
 *	  retry_task: another try for a task, now. Runs in the session that asks for it.
 *
 * A task that waits for its retry only gets a new due time. One that has ended otherwise than by success is made
 * anew from the last row of its history, with its old id and no attempts used; the old rows of the history stay, and
 * the newest final one counts. It does not wait again for what it depended on, and does not expire if it had to
 * expire by now.
 *
 * Two sessions that retry the same task: a brief lock of the class of table task and number id lets one of them
 * look, see nobody's row (not even an uncommitted one), and insert. The other waits for that transaction, and then
 * finds the row. A key is taken as by enqueue; where another task waits with it, there is nothing to do.
 *
 * All of it belongs to the caller's transaction.
 */
#include "feature/tasks.hpp"

#include "catalog/history.hpp"
#include "catalog/order_scan.hpp"
#include "catalog/row_scan.hpp"
#include "feature/finished_task.hpp"
#include "feature/task_authority.hpp"
#include "feature/task_key.hpp"

namespace worker_pool
{

enum class Retry : uint8
{
	kDone,
	kNothing, /* it is running, ready, not due for the first time, or has succeeded */
	kAgain,	  /* its row changed meanwhile */
};

static void
CheckOwnsTask(int64 id, Oid owner)
{
	char what[64];

	snprintf(what, sizeof(what), "task " INT64_FORMAT, id);
	CheckOwns(what, owner);
}

/* --- it waits for its retry --------------------------------------------------------------------------------- */

/* Makes it due now. A snapshot is held. */
static Retry
Hasten(Relation task, HeapTuple tuple)
{
	FormTask &form = *FormOf(tuple);
	const TimestampTz now = GetCurrentTimestamp();

	CheckOwnsTask(form.id, IsOwnRow(form.installation, form.database) ? form.owner : InvalidOid);
	if (form.attempt == 0 || form.waits_for > 0 || form.due <= now || IsClaimHeld(form))
		return Retry::kNothing;
	/* a claim that comes by meanwhile passes over the row */
	ArmLockedRow(task, tuple);
	form.due = now;
	if (UpdateRow(task, tuple->t_self, tuple, true) != TM_Ok)
		return Retry::kAgain;
	ArmItem(SpecOf(task, tuple));
	return Retry::kDone;
}

/* --- it has ended ------------------------------------------------------------------------------------------- */

/* The newest final row of its history, detoasted; nullptr: none. */
static HeapTuple
FetchLast(Relation history, int64 id)
{
	const Snapshot snapshot = HoldSnapshot();
	HeapTuple last = nullptr;
	ScanKeyData key;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));

	RowScan scan = BeginIndexScan(history, Index::kHistoryTask, 1, &key);

	for (HeapTuple row = NextRow(scan); HeapTupleIsValid(row); row = NextRow(scan))
	{
		const FormHistory &form = *HistoryFormOf(row);

		if (!form.is_final ||
			(last != nullptr && form.finished_at < HistoryFormOf(last)->finished_at))
			continue;
		if (last != nullptr)
			heap_freetuple(last);
		last = heap_copytuple(row);
	}
	EndRowScan(&scan);
	last = Detoast(history, last);
	LetGoSnapshot(snapshot);
	return last;
}

struct PastRow
{
	Relation history;
	HeapTuple tuple;

	Datum Get(HistoryColumn column) const
	{
		bool is_null = false;

		return heap_getattr(tuple, column, RelationGetDescr(history), &is_null);
	}

	const char *Text(HistoryColumn column) const
	{
		bool is_null = false;
		const Datum value = heap_getattr(tuple, column, RelationGetDescr(history), &is_null);

		return is_null ? nullptr : TextDatumGetCString(value);
	}
};

/* The task as it was enqueued, to begin now. */
static NewTask
TaskOfPast(const PastRow &row)
{
	const FormHistory &past = *HistoryFormOf(row.tuple);
	NewTask task = {};
	FormTask &form = task.form;

	task.command = row.Text(kHistoryCommand);
	task.args = row.Get(kHistoryArgs);
	task.settings = row.Get(kHistorySettings);
	task.queue = row.Text(kHistoryQueue);
	task.run_as_name = row.Text(kHistoryRunAsName);
	task.owner_name = row.Text(kHistoryOwnerName);
	task.name = row.Text(kHistoryName);
	task.key = row.Text(kHistoryKeyText);
	task.concurrency_key = row.Text(kHistoryConcurrencyKey);
	form.id = past.task_id;
	form.run_at = GetCurrentTimestamp();
	form.expires_at = past.expires_at > form.run_at ? past.expires_at : DT_NOEND;
	form.scheduled_for = past.scheduled_for;
	form.retry_delay_ms = past.retry_delay_ms;
	form.timeout_ms = past.timeout_ms;
	form.schedule_id = past.schedule_id;
	form.owner = past.owner;
	form.run_as = past.run_as;
	form.max_attempts = past.max_attempts;
	form.priority = past.priority;
	form.atomic = past.atomic;
	form.keyed = task.key != nullptr;
	form.history = past.history;
	return task;
}

/* Stores the row unless somebody else has done so; kAgain after he has ended his transaction. */
static Retry
InsertAgain(Relation task, NewTask *again)
{
	const Oid lock = static_cast<Oid>(static_cast<uint64>(again->form.id));
	TransactionId wait_for = InvalidTransactionId;

	LockDatabaseObject(RelationGetRelid(task), lock, 0, ExclusiveLock);

	const bool taken = IsIdTaken(task, again->form.id, &wait_for);

	if (!taken)
		(void) InsertTask(again);
	UnlockDatabaseObject(RelationGetRelid(task), lock, 0, ExclusiveLock);
	if (!taken)
		return Retry::kDone;
	if (TransactionIdIsValid(wait_for))
		XactLockTableWait(wait_for, nullptr, nullptr, XLTW_None);
	return Retry::kAgain;
}

/* Makes it anew from its history. */
static Retry
BeginAgain(Relation task, int64 id)
{
	Relation history = OpenTable(Table::kHistory, AccessShareLock);
	const PastRow row = {history, FetchLast(history, id)};
	int64 holder = 0;

	if (row.tuple == nullptr)
		RaiseTaskNotFound(id);
	CheckOwnsTask(id, HistoryFormOf(row.tuple)->owner);
	if (strcmp(row.Text(kHistoryState), "succeeded") == 0)
	{
		table_close(history, AccessShareLock);
		return Retry::kNothing;
	}

	NewTask again = TaskOfPast(row);

	table_close(history, AccessShareLock);
	CheckMayStart(MyDatabaseId, again.form.run_as);
	CheckTaskQuota(again.form.run_as);

	const QueueInfo queue = UseQueue(again.queue);

	again.form.queue_id = queue.id;
	again.queue_priority = queue.priority;
	if (again.key != nullptr && !TakeKey(task, again.form.owner, again.key, id, &holder))
		return Retry::kNothing;
	return InsertAgain(task, &again);
}

bool
RetryTask(int64 id)
{
	Retry result = Retry::kAgain;

	EnterDurableVerb();
	RefuseReadOnly("retry_task");
	/* due times of schedules that were skipped may stand in the history without an id */
	if (id <= 0)
		RaiseTaskNotFound(id);

	Relation task = OpenTable(Table::kTask, RowExclusiveLock);

	while (result == Retry::kAgain)
	{
		CHECK_FOR_INTERRUPTS();

		const Snapshot snapshot = HoldSnapshot();
		HeapTuple tuple = FetchPlain(task, Index::kTaskId, id, snapshot);

		result = tuple != nullptr ? Hasten(task, tuple) : BeginAgain(task, id);
		LetGoSnapshot(snapshot);
	}
	table_close(task, NoLock);
	return result == Retry::kDone;
}

} // namespace worker_pool
