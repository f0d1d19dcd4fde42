/*
 * history.cpp
 *	  Writes and asks worker_pool.history. Workers (marks), sessions (cancel_task, enqueue with depends_on),
 *	  visits.
 *
 * A row is written in the transaction that ends the attempt: a success commits with the task's own effect. It
 * holds what is needed to run the task again, and the texts of the error as they were; of the SQL text only
 * what the row itself held. Where the transaction fails, the attempt has not ended.
 */
#include "catalog/history.hpp"

#include "config/settings.hpp"
#include "shmem/slots.hpp"

namespace worker_pool
{

static_assert(std::is_standard_layout_v<FormHistory> && std::is_trivially_copyable_v<FormHistory>);
static_assert(offsetof(FormHistory, task_id) == 0);
static_assert(offsetof(FormHistory, started_at) == 8);
static_assert(offsetof(FormHistory, finished_at) == 16);
static_assert(offsetof(FormHistory, run_at) == 24);
static_assert(offsetof(FormHistory, enqueued_at) == 32);
static_assert(offsetof(FormHistory, expires_at) == 40);
static_assert(offsetof(FormHistory, scheduled_for) == 48);
static_assert(offsetof(FormHistory, retry_delay_ms) == 56);
static_assert(offsetof(FormHistory, timeout_ms) == 64);
static_assert(offsetof(FormHistory, schedule_id) == 72);
static_assert(offsetof(FormHistory, owner) == 80);
static_assert(offsetof(FormHistory, run_as) == 84);
static_assert(offsetof(FormHistory, attempt) == 88);
static_assert(offsetof(FormHistory, max_attempts) == 92);
static_assert(offsetof(FormHistory, priority) == 96);
static_assert(offsetof(FormHistory, queue_id) == 100);
static_assert(offsetof(FormHistory, pid) == 104);
static_assert(offsetof(FormHistory, is_final) == 108);
static_assert(offsetof(FormHistory, atomic) == 109);
static_assert(offsetof(FormHistory, history) == 110);
static_assert(kHistoryState == 21 && kHistoryColumns == 37);

/* The fixed-width bytes of a row; the struct itself is padded at its end. */
static constexpr Size kFormSize = offsetof(FormHistory, history) + sizeof(char);

/* A row while it is put together. */
struct RowBuilder
{
	FormHistory form;
	Datum values[kHistoryColumns];
	bool nulls[kHistoryColumns];
};

static void
SetText(RowBuilder *row, HistoryColumn column, const char *text)
{
	row->nulls[column - 1] = text == nullptr || text[0] == '\0';
	if (!row->nulls[column - 1])
		row->values[column - 1] = CStringGetTextDatum(text);
}

static bool
IsWanted(char mode, const AttemptOutcome &outcome)
{
	if (mode == settings::kHistoryOff)
		return false;
	return mode == settings::kHistoryAll || strcmp(outcome.state, "succeeded") != 0;
}

/* The process that holds the claim, 0 where it is not there (any more). */
static pid_t
ClaimerOf(const FormTask &form)
{
	if (form.claim_epoch != static_cast<int64>(pool->epoch) || form.claim_slot < 0 ||
		form.claim_slot >= SlotCount())
		return 0;

	LockScope scope(PoolLock(), LW_SHARED);
	const WorkerSlot &slot = SlotAt(form.claim_slot);

	return slot.generation == static_cast<uint64>(form.claim_generation) ? slot.pid : 0;
}

static void
SetForm(RowBuilder *row, const FormTask &task, const AttemptOutcome &outcome)
{
	const bool began = outcome.started_at != 0 && outcome.started_at != DT_NOBEGIN;
	FormHistory &form = row->form;

	form.task_id = task.id;
	form.started_at = began ? outcome.started_at : DT_NOBEGIN;
	form.finished_at = GetCurrentTimestamp();
	form.run_at = task.run_at;
	form.enqueued_at = task.enqueued_at;
	form.expires_at = task.expires_at;
	form.scheduled_for = task.scheduled_for;
	form.retry_delay_ms = task.retry_delay_ms;
	form.timeout_ms = task.timeout_ms;
	form.schedule_id = task.schedule_id;
	form.owner = task.owner;
	form.run_as = task.run_as;
	form.max_attempts = task.max_attempts;
	form.priority = task.priority;
	form.queue_id = task.queue_id;
	form.pid = began ? ClaimerOf(task) : 0;
	form.atomic = task.atomic;
	form.history = task.history;
}

static void
SetOutcome(RowBuilder *row, const AttemptOutcome &outcome)
{
	row->values[kHistoryState - 1] = CStringGetTextDatum(outcome.state);
	SetText(row, kHistoryTag, outcome.tag);
	SetText(row, kHistorySqlstate, outcome.sqlstate);
	SetText(row, kHistoryMessage, outcome.message);
	SetText(row, kHistoryDetail, outcome.detail);
	SetText(row, kHistoryHint, outcome.hint);
	SetText(row, kHistoryContext, outcome.context);
	row->nulls[kHistoryResult - 1] = !outcome.has_result;
	row->values[kHistoryResult - 1] = outcome.result;
}

/* Stores it; the fixed-width columns come from the struct. */
static void
Store(const RowBuilder &row)
{
	Relation history = OpenTable(Table::kHistory, RowExclusiveLock);
	HeapTuple tuple = heap_form_tuple(RelationGetDescr(history), const_cast<Datum *>(row.values),
									  const_cast<bool *>(row.nulls));

	memcpy(GETSTRUCT(tuple), &row.form, kFormSize);
	InsertRow(history, tuple);
	heap_freetuple(tuple);
	table_close(history, NoLock);
}

void
WriteAttempt(Relation task, HeapTuple tuple, const AttemptOutcome &outcome, const AttemptNote &note)
{
	struct Pair
	{
		HistoryColumn to;
		TaskColumn from;
	};
	static constexpr Pair kCopied[] = {
		{kHistoryCommand, kTaskCommand},
		{kHistoryArgs, kTaskArgs},
		{kHistorySettings, kTaskSettings},
		{kHistoryQueue, kTaskQueue},
		{kHistoryRunAsName, kTaskRunAsName},
		{kHistoryOwnerName, kTaskOwnerName},
		{kHistoryName, kTaskName},
		{kHistoryKeyText, kTaskKeyText},
		{kHistoryConcurrencyKey, kTaskConcurrencyKey},
	};

	if (!IsWanted(FormOf(tuple)->history, outcome))
		return;

	Datum values[kTaskColumns];
	bool nulls[kTaskColumns];
	RowBuilder row = {};

	heap_deform_tuple(tuple, RelationGetDescr(task), values, nulls);
	for (const Pair &pair : kCopied)
	{
		row.values[pair.to - 1] = values[pair.from - 1];
		row.nulls[pair.to - 1] = nulls[pair.from - 1];
	}
	SetForm(&row, *FormOf(tuple), outcome);
	row.form.attempt = note.attempt;
	row.form.is_final = note.is_final;
	SetOutcome(&row, outcome);
	Store(row);
}

void
InsertHistory(const NewTask &task, const AttemptOutcome &outcome)
{
	RowBuilder row = {};

	ArmEvent(task.form.queue_id, StatEvent::kSkipped);
	if (!IsWanted(task.form.history, outcome))
		return;
	row.values[kHistoryCommand - 1] = CStringGetTextDatum(task.command);
	row.values[kHistoryArgs - 1] = task.args;
	row.values[kHistorySettings - 1] = task.settings;
	row.values[kHistoryQueue - 1] = CStringGetTextDatum(task.queue);
	row.values[kHistoryRunAsName - 1] = CStringGetTextDatum(task.run_as_name);
	row.values[kHistoryOwnerName - 1] = CStringGetTextDatum(task.owner_name);
	SetText(&row, kHistoryName, task.name);
	SetText(&row, kHistoryKeyText, task.key);
	SetText(&row, kHistoryConcurrencyKey, task.concurrency_key);
	SetForm(&row, task.form, outcome);
	row.form.is_final = true;
	SetOutcome(&row, outcome);
	Store(row);
}

bool
FindEnd(int64 id, bool *succeeded, Oid *owner)
{
	Relation history = OpenTable(Table::kHistory, AccessShareLock);
	const Snapshot snapshot = HoldSnapshot();
	TimestampTz newest = 0;
	bool found = false;
	HeapTuple tuple = nullptr;
	ScanKeyData key;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));

	SysScanDesc scan =
		systable_beginscan(history, IndexOid(Index::kHistoryTask), true, snapshot, 1, &key);

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		const FormHistory &form = *HistoryFormOf(tuple);
		bool is_null = false;

		/* retry_task gives an id a second life */
		if (!form.is_final || (found && form.finished_at < newest))
			continue;
		found = true;
		newest = form.finished_at;
		*owner = form.owner;
		*succeeded = strcmp(TextDatumGetCString(heap_getattr(tuple, kHistoryState,
															 RelationGetDescr(history), &is_null)),
							"succeeded") == 0;
	}
	systable_endscan(scan);
	LetGoSnapshot(snapshot);
	table_close(history, AccessShareLock);
	return found;
}

} // namespace worker_pool
