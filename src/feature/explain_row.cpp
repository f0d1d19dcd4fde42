/*
 * explain_row.cpp
 *	  The parts of explain_task that the tables tell: what stands in the task's row, who holds that row, what
 *	  it waits for; how a task ended that has none any more.
 *
 * Who holds the row is read from its header, as the lock manager's views cannot tell: a row lock is a
 * transaction id in the tuple. Only locks that a claim would pass over count; enqueue(depends_on) takes a
 * key-share lock, which does not matter to it.
 */
#include "feature/explain_parts.hpp"

#include "catalog/row_scan.hpp"
#include "feature/finished_task.hpp"
#include "feature/task_authority.hpp"

extern "C"
{
#include "access/multixact.h"
#include "access/subtrans.h"
#include "access/transam.h"
}

namespace worker_pool::explain
{

/* --- who made it, who holds it ------------------------------------------------------------------------------ */

/* The transaction whose lock makes a claim pass the row over; InvalidTransactionId: none. */
static TransactionId
RowHolder(const HeapTupleHeaderData *header)
{
	const uint16 infomask = header->t_infomask;
	const TransactionId xmax = HeapTupleHeaderGetRawXmax(header);

	if ((infomask & HEAP_XMAX_INVALID) != 0 || !TransactionIdIsValid(xmax))
		return InvalidTransactionId;
	if ((infomask & HEAP_XMAX_IS_MULTI) == 0)
	{
		if (HEAP_XMAX_IS_KEYSHR_LOCKED(infomask))
			return InvalidTransactionId;
		return TransactionIdIsCurrentTransactionId(xmax) || TransactionIdIsInProgress(xmax)
				   ? xmax
				   : InvalidTransactionId;
	}

	MultiXactMember *members = nullptr;
	const int count =
		GetMultiXactIdMembers(xmax, &members, false, HEAP_XMAX_IS_LOCKED_ONLY(infomask));

	for (int i = 0; i < count; i++)
		if (members[i].status != MultiXactStatusForKeyShare &&
			(TransactionIdIsCurrentTransactionId(members[i].xid) ||
			 TransactionIdIsInProgress(members[i].xid)))
			return members[i].xid;
	return InvalidTransactionId;
}

static void
ExplainHolder(const Subject &task, Explanation *explanation)
{
	const HeapTupleHeaderData *const header = task.tuple->t_data;
	const TransactionId holder = RowHolder(header);

	if (TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(header)))
	{
		Add(explanation, "this transaction has made or changed it",
			"It can start when the transaction has committed.", "COMMIT;");
		return;
	}
	if (!TransactionIdIsValid(holder))
		return;
	if (TransactionIdIsCurrentTransactionId(holder))
	{
		Add(explanation, "this transaction holds its row",
			"It can start when the transaction has ended.", "COMMIT;");
		return;
	}

	const int pid = BackendXidGetPid(SubTransGetTopmostTransaction(holder));

	if (pid == 0)
		Add(explanation,
			psprintf("transaction %u holds its row, a prepared one or one that just ended", holder),
			"It can start when that transaction has ended.",
			psprintf("SELECT gid FROM pg_prepared_xacts WHERE transaction = '%u';", holder));
	else
		Add(explanation, psprintf("process %d holds its row in an open transaction", pid),
			"It enqueued with the same key or is about to cancel it; the task can start when that "
			"transaction has ended.",
			psprintf("SELECT * FROM pg_stat_activity WHERE pid = %d;", pid));
}

/* --- what it waits for ---------------------------------------------------------------------------------------- */

/* How the task stands that it waits for. */
static const char *
DependencyText(Relation table, int64 id)
{
	FinishedTask finished = {};

	if (HeapTupleIsValid(FetchById(table, Index::kTaskId, id)))
	{
		const ItemView view = ViewItem(MyDatabaseId, id);

		return view.state == ItemState::kTaken && view.begun ? "it runs"
															 : "it has not finished yet";
	}
	if (FindFinished(id, &finished))
		return psprintf("it has ended: %s", finished.state);
	return "it is gone, and its history too";
}

static void
ExplainDependencies(const Subject &task, Explanation *explanation)
{
	constexpr int kShown = 10;
	int64 ids[kShown];
	bool on_end[kShown];
	int count = 0;
	ScanKeyData key;
	Relation dependency = OpenTable(Table::kDependency, AccessShareLock);
	Relation table = OpenTable(Table::kTask, AccessShareLock);

	/* columns depends_on, task_id, on_end */
	ScanKeyInit(&key, 2, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(task.id));

	RowScan scan = BeginIndexScan(dependency, Index::kDependencyTask, 1, &key);

	for (HeapTuple row = NextRow(scan); HeapTupleIsValid(row); row = NextRow(scan))
	{
		bool is_null = false;
		TupleDesc const desc = RelationGetDescr(dependency);

		if (count < kShown)
		{
			ids[count] = DatumGetInt64(heap_getattr(row, 1, desc, &is_null));
			on_end[count] = DatumGetBool(heap_getattr(row, 3, desc, &is_null));
		}
		count++;
	}
	EndRowScan(&scan);
	for (int i = 0; i < std::min(count, kShown); i++)
		Add(explanation,
			psprintf("it waits for the %s of task " INT64_FORMAT, on_end[i] ? "end" : "success",
					 ids[i]),
			DependencyText(table, ids[i]),
			psprintf("SELECT * FROM worker_pool.explain_task(" INT64_FORMAT ");", ids[i]));
	if (count > kShown)
		Add(explanation, psprintf("it waits for %s", CountText(count - kShown, "more task")),
			nullptr,
			psprintf("SELECT depends_on FROM worker_pool.tasks WHERE id = " INT64_FORMAT ";",
					 task.id));
	if (count == 0)
		Add(explanation,
			psprintf("it waits for %s, no longer there", CountText(task.form.waits_for, "task")),
			nullptr, "SELECT worker_pool.rescan();");
	table_close(table, AccessShareLock);
	table_close(dependency, AccessShareLock);
}

/* --- the row --------------------------------------------------------------------------------------------------- */

static void
ExplainDueTime(const Subject &task, Explanation *explanation)
{
	const char *const wait = DurationText(task.form.due - task.now);
	const char *const due = TimeText(task.form.due);

	if (task.form.attempt == 0 || task.last_error == nullptr)
		Add(explanation, psprintf("it is due at %s, in %s", due, wait), nullptr, nullptr);
	else
		Add(explanation,
			psprintf("attempt %d of %d failed; the next one is due at %s, in %s", task.form.attempt,
					 task.form.max_attempts, due, wait),
			psprintf("%s: %s", task.last_sqlstate != nullptr ? task.last_sqlstate : "?",
					 task.last_error),
			psprintf("SELECT worker_pool.retry_task(" INT64_FORMAT ");", task.id));
}

void
ExplainRow(const Subject &task, Explanation *explanation)
{
	const FormTask &form = task.form;

	if (!IsOwnRow(form.installation, form.database))
		Add(explanation, "it was not made in this database and has not been adopted",
			"The row came by a copy of a database, a restore or replication. The original may "
			"still "
			"run elsewhere.",
			"SELECT worker_pool.adopt();");
	if (!RecoveryInProgress())
		ExplainHolder(task, explanation);
	if (form.expires_at <= task.now)
		Add(explanation, psprintf("it expired at %s", TimeText(form.expires_at)),
			"It is ended as expired when its turn comes.", nullptr);
	else if (form.waits_for > 0)
		ExplainDependencies(task, explanation);
	else if (form.due > task.now)
		ExplainDueTime(task, explanation);
}

/* --- finished --------------------------------------------------------------------------------------------------- */

/* "succeeded", "failed" ... as a sentence. */
static const char *
EndText(const FinishedTask &task)
{
	const char *const when = TimeText(task.finished_at);

	if (strcmp(task.state, "succeeded") == 0)
		return psprintf("it succeeded at %s in attempt %d, after %s", when, task.attempt,
						TIMESTAMP_IS_NOBEGIN(task.started_at)
							? "no time"
							: DurationText(task.finished_at - task.started_at));
	if (strcmp(task.state, "failed") == 0 && task.attempt >= task.max_attempts)
		return psprintf("it failed for good at %s: %s used up", when,
						task.max_attempts == 1
							? "its one attempt is"
							: psprintf("its %d attempts are", task.max_attempts));
	if (strcmp(task.state, "failed") == 0)
		return psprintf("it failed for good at %s, after attempt %d of %d", when, task.attempt,
						task.max_attempts);
	if (strcmp(task.state, "expired") == 0)
		return psprintf("it expired before it could begin; it was ended at %s", when);
	if (strcmp(task.state, "skipped") == 0)
		return psprintf("it was skipped at %s", when);
	return psprintf("it was %s at %s", task.state, when);
}

void
ExplainFinished(int64 id, Explanation *explanation)
{
	FinishedTask task = {};
	const char *detail = nullptr;
	const char *hint = nullptr;

	if (!FindFinished(id, &task))
		RaiseTaskNotFound(id);
	CheckMaySeeTask(id, task.owner);

	if (task.message != nullptr)
		detail = task.sqlstate != nullptr ? psprintf("%s: %s", task.sqlstate, task.message)
										  : task.message;
	if (strcmp(task.state, "succeeded") != 0)
		hint = psprintf("SELECT worker_pool.retry_task(" INT64_FORMAT ");", id);
	else if (task.has_result)
		hint = psprintf("SELECT worker_pool.task_result(" INT64_FORMAT ");", id);
	Add(explanation, EndText(task), detail, hint);
}

} // namespace worker_pool::explain
