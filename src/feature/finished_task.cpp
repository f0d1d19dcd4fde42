/*
 * finished_task.cpp
 *	  Reads worker_pool.history for one task. Any session, also on a hot standby; nothing is changed, and no
 *	  privilege is asked for: the callers check who may see what.
 *
 * A task that was run again by retry_task has several final rows; the newest counts.
 */
#include "feature/finished_task.hpp"

#include "catalog/history.hpp"
#include "catalog/row_scan.hpp"

namespace worker_pool
{

/* A column as text, palloc'd; nullptr when NULL. */
static const char *
HistoryText(TupleDesc desc, HeapTuple tuple, HistoryColumn column)
{
	bool is_null = false;
	const Datum value = heap_getattr(tuple, column, desc, &is_null);

	return is_null ? nullptr : TextDatumGetCString(value);
}

static void
ReadFinished(TupleDesc desc, HeapTuple tuple, FinishedTask *task)
{
	const FormHistory &form = *HistoryFormOf(tuple);
	bool is_null = false;
	const Datum result = heap_getattr(tuple, kHistoryResult, desc, &is_null);

	task->has_result = !is_null;
	task->result = task->has_result ? PointerGetDatum(PG_DETOAST_DATUM_COPY(result)) : Datum{0};
	task->owner = form.owner;
	task->attempt = form.attempt;
	task->max_attempts = form.max_attempts;
	task->started_at = form.started_at;
	task->finished_at = form.finished_at;
	task->state = HistoryText(desc, tuple, kHistoryState);
	task->queue = HistoryText(desc, tuple, kHistoryQueue);
	task->name = HistoryText(desc, tuple, kHistoryName);
	task->sqlstate = HistoryText(desc, tuple, kHistorySqlstate);
	task->message = HistoryText(desc, tuple, kHistoryMessage);
	task->detail = HistoryText(desc, tuple, kHistoryDetail);
	task->hint = HistoryText(desc, tuple, kHistoryHint);
	task->context = HistoryText(desc, tuple, kHistoryContext);
}

bool
FindFinished(int64 id, FinishedTask *task)
{
	Relation history = OpenTable(Table::kHistory, AccessShareLock);
	HeapTuple newest = nullptr;
	HeapTuple tuple = nullptr;
	ScanKeyData key;

	/* column task_id */
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));

	RowScan scan = BeginIndexScan(history, Index::kHistoryTask, 1, &key);

	while (HeapTupleIsValid(tuple = NextRow(scan)))
	{
		const FormHistory &form = *HistoryFormOf(tuple);

		if (!form.is_final ||
			(newest != nullptr && form.finished_at < HistoryFormOf(newest)->finished_at))
			continue;
		if (newest != nullptr)
			heap_freetuple(newest);
		newest = heap_copytuple(tuple);
	}
	if (newest != nullptr)
		ReadFinished(RelationGetDescr(history), newest, task);
	EndRowScan(&scan);
	/* wait_task looks here, too */
	CloseTableForWait(history, AccessShareLock);
	return newest != nullptr;
}

bool
WasTaskIssued(int64 id)
{
	const Oid name_space = get_namespace_oid(kExtensionName, true);
	const Oid sequence =
		OidIsValid(name_space) ? get_relname_relid("task_id_seq", name_space) : InvalidOid;
	int64 last = 0;

	if (id <= 0 || !OidIsValid(sequence) || get_rel_relkind(sequence) != RELKIND_SEQUENCE)
		return false;

	/* the one row of a sequence; its last_value runs ahead of what was handed out, never behind */
	Relation relation = relation_open(sequence, AccessShareLock);
	SysScanDesc scan = systable_beginscan(relation, InvalidOid, false, SnapshotSelf, 0, nullptr);
	HeapTuple tuple = systable_getnext(scan);

	if (HeapTupleIsValid(tuple))
	{
		const auto *const data = reinterpret_cast<Form_pg_sequence_data>(GETSTRUCT(tuple));

		last = data->is_called ? data->last_value : 0;
	}
	systable_endscan(scan);
	relation_close(relation, AccessShareLock);
	return id <= last;
}

void
RaiseTaskNotFound(int64 id)
{
	const bool issued = WasTaskIssued(id);

	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("task " INT64_FORMAT " does not exist", id),
			 issued ? errdetail("There was such a task, or an enqueue of it was rolled back; the "
								"history has no row of it (any more).")
					: errdetail("No task of this database has had that id."),
			 issued ? errhint("What is kept is set by \"worker_pool.history\", "
							  "\"worker_pool.history_retention\" and the task's own history option.")
					: 0));
	pg_unreachable();
}

} // namespace worker_pool
