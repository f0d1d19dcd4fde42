/*
 * task_insert.cpp
 *	  Stores new tasks and their keys. Sessions (enqueue, retry_task), workers and visits (a schedule is due).
 *
 * Everything is part of the caller's transaction: the row, its key's row, and what is armed to be told to the
 * ready queue at the commit (task_wake.hpp). A rollback, also of a subtransaction, takes all of it back.
 *
 * Keys. task_key has one row for each (owner, key) of a task that has not begun. Its unique index makes two
 * transactions that enqueue the same key wait for each other; the second gets 23505, or, in the verb, finds the
 * first's row by ON CONFLICT. The claim takes the row out, as does everything that ends a waiting task.
 */
#include "catalog/task_store.hpp"

#include "catalog/task_end.hpp"

namespace worker_pool
{

/* Attribute numbers of worker_pool.task_key. */
static constexpr AttrNumber kKeyOwner = 1;
static constexpr AttrNumber kKeyText = 2;
static constexpr AttrNumber kKeyTask = 3;
static constexpr int kKeyColumns = 3;

uint64
HashOfKey(Oid owner, const char *key)
{
	const uint64 hash = hash_bytes_extended(reinterpret_cast<const unsigned char *>(key),
											static_cast<int>(strlen(key)), owner);

	return hash == 0 ? 1 : hash;
}

/* --- key rows ------------------------------------------------------------------------------------------ */

/* Finds the row of (owner, key); false: none. */
static bool
FindKeyRow(Relation relation, Oid owner, const char *key, Snapshot snapshot, int64 *task_id,
		   ItemPointerData *place)
{
	const TupleDesc desc = RelationGetDescr(relation);
	ScanKeyData keys[2];
	bool is_null = false;

	ScanKeyInit(&keys[0], kKeyOwner, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(owner));
	ScanKeyEntryInitialize(&keys[1], 0, kKeyText, BTEqualStrategyNumber, InvalidOid,
						   TupleDescAttr(desc, kKeyText - 1)->attcollation, F_TEXTEQ,
						   CStringGetTextDatum(key));

	SysScanDesc scan =
		systable_beginscan(relation, IndexOid(Index::kTaskKey), true, snapshot, 2, keys);
	HeapTuple tuple = systable_getnext(scan);
	const bool found = HeapTupleIsValid(tuple);

	if (found)
	{
		*task_id = DatumGetInt64(heap_getattr(tuple, kKeyTask, desc, &is_null));
		*place = tuple->t_self;
	}
	systable_endscan(scan);
	return found;
}

bool
FindKey(Oid owner, const char *key, int64 *task_id)
{
	Relation relation = OpenTable(Table::kTaskKey, AccessShareLock);
	const Snapshot snapshot = HoldSnapshot();
	ItemPointerData place;
	const bool found = FindKeyRow(relation, owner, key, snapshot, task_id, &place);

	LetGoSnapshot(snapshot);
	table_close(relation, AccessShareLock);
	return found;
}

/* Makes the key's row; 23505 where it is another task's. */
static void
NeedKey(Oid owner, const char *key, int64 task_id)
{
	Relation relation = OpenTable(Table::kTaskKey, RowExclusiveLock);
	const Snapshot snapshot = HoldSnapshot();
	ItemPointerData place;
	int64 holder = 0;

	if (!FindKeyRow(relation, owner, key, snapshot, &holder, &place) || holder != task_id)
	{
		Datum values[kKeyColumns] = {ObjectIdGetDatum(owner), CStringGetTextDatum(key),
									 Int64GetDatum(task_id)};
		bool nulls[kKeyColumns] = {};

		InsertRow(relation, heap_form_tuple(RelationGetDescr(relation), values, nulls));
	}
	LetGoSnapshot(snapshot);
	table_close(relation, NoLock);
}

TM_Result
DeleteKey(Oid owner, const char *key, int64 task_id, bool wait)
{
	Relation relation = OpenTable(Table::kTaskKey, RowExclusiveLock);
	const Snapshot snapshot = HoldSnapshot();
	ItemPointerData place;
	int64 holder = 0;
	TM_Result result = TM_Ok;

	if (FindKeyRow(relation, owner, key, snapshot, &holder, &place) && holder == task_id)
		result = DeleteRow(relation, place, wait);
	LetGoSnapshot(snapshot);
	table_close(relation, NoLock);
	return result;
}

/* --- rows ---------------------------------------------------------------------------------------------- */

/* Fills in what is not the caller's to say. */
static void
CompleteForm(NewTask *task)
{
	FormTask &form = task->form;

	form.installation = RequireIdentity();
	form.database = MyDatabaseId;
	if (form.id == 0)
		form.id = NextId(Sequence::kTaskId);
	form.rank = RankOf(task->queue_priority, form.priority);
	form.due = form.waits_for > 0 ? DT_NOEND : form.run_at;
	if (form.enqueued_at == 0)
		form.enqueued_at = GetCurrentTimestamp();
	form.attempt = 0;
	form.trusted_epoch = static_cast<int64>(pool->epoch);
	form.keyed = form.keyed && task->key != nullptr;
	ClearClaim(&form);
}

static HeapTuple
FormTuple(Relation relation, const NewTask &task)
{
	Datum values[kTaskColumns] = {};
	bool nulls[kTaskColumns] = {};
	const auto set = [&values, &nulls](TaskColumn column, const char *text)
	{
		nulls[column - 1] = text == nullptr;
		if (text != nullptr)
			values[column - 1] = CStringGetTextDatum(text);
	};

	/* the fixed-width columns come from the struct; the uuid among them must be a pointer nevertheless */
	values[kTaskInstallation - 1] = UUIDPGetDatum(&task.form.installation);
	set(kTaskCommand, task.command);
	values[kTaskArgs - 1] = task.args;
	values[kTaskSettings - 1] = task.settings;
	set(kTaskQueue, task.queue);
	set(kTaskRunAsName, task.run_as_name);
	set(kTaskOwnerName, task.owner_name);
	set(kTaskName, task.name);
	set(kTaskKeyText, task.key);
	set(kTaskConcurrencyKey, task.concurrency_key);
	set(kTaskLastSqlstate, nullptr);
	set(kTaskLastError, nullptr);

	HeapTuple tuple = heap_form_tuple(RelationGetDescr(relation), values, nulls);

	*FormOf(tuple) = task.form;
	return tuple;
}

int64
InsertTask(NewTask *task)
{
	Relation relation = OpenTable(Table::kTask, RowExclusiveLock);

	CompleteForm(task);
	if (task->form.keyed)
		NeedKey(task->form.owner, task->key, task->form.id);

	HeapTuple tuple = FormTuple(relation, *task);

	InsertRow(relation, tuple);
	if (task->form.waits_for == 0)
		ArmItem(SpecOf(relation, tuple));
	ArmEvent(task->form.queue_id, StatEvent::kEnqueued);
	heap_freetuple(tuple);
	table_close(relation, NoLock);
	return task->form.id;
}

} // namespace worker_pool
