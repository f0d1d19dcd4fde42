/*
 * adopt_tasks.cpp
 *	  adopt() for worker_pool.task and task_key. A session.
 *
 * A claim in a foreign row is another server's or database's: it is cleared; attempts that were made stay
 * counted. What was running there may run here again: that is what adopting means.
 *
 * Keys. task_key names the owner by OID and carries no identity. First the rows of all tasks that will be adopted
 * go, where they came along, since two owners may have swapped OIDs; then each adopted task gets one of its
 * own. Where another task of this database has the key already, both wait: the adopted one is not the key's.
 */
#include "catalog/adopt_rows.hpp"

#include "catalog/row_scan.hpp"

namespace worker_pool
{

/* Attribute numbers of worker_pool.task_key. */
static constexpr AttrNumber kKeyOwner = 1;
static constexpr AttrNumber kKeyText = 2;
static constexpr AttrNumber kKeyTask = 3;
static constexpr int kKeyColumns = 3;

/*
 * The row of that key as it is now, also one that this statement has written. False: there is none. *place and
 * *task_id: of it.
 */
static bool
FindKeyRow(Relation keys, Oid owner, const char *key, ItemPointerData *place, int64 *task_id)
{
	Relation index = index_open(IndexOid(Index::kTaskKey), AccessShareLock);
	ScanKeyData scan_keys[2];

	ScanKeyInit(&scan_keys[0], kKeyOwner, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(owner));
	ScanKeyEntryInitialize(&scan_keys[1], 0, kKeyText, BTEqualStrategyNumber, InvalidOid,
						   compat::Attribute(RelationGetDescr(keys), kKeyText - 1)->attcollation,
						   F_TEXTEQ, CStringGetTextDatum(key));

	SysScanDesc scan = systable_beginscan_ordered(keys, index, SnapshotSelf, 2, scan_keys);
	const HeapTuple tuple = systable_getnext_ordered(scan, ForwardScanDirection);
	const bool found = HeapTupleIsValid(tuple);

	if (found)
	{
		bool is_null = false;

		*place = tuple->t_self;
		*task_id = DatumGetInt64(heap_getattr(tuple, kKeyTask, RelationGetDescr(keys), &is_null));
	}
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	return found;
}

/* Takes the row of a foreign task's key out, under the owner that it came with. */
static void
DropKey(Relation task, Relation keys, HeapTuple tuple)
{
	const FormTask &form = *FormOf(tuple);
	const char *key = TextOf(task, tuple, kTaskKeyText);
	ItemPointerData place;
	int64 task_id = 0;

	if (OidIsValid(RoleNamed(TextOf(task, tuple, kTaskOwnerName))) &&
		OidIsValid(RoleNamed(TextOf(task, tuple, kTaskRunAsName))) && key != nullptr &&
		FindKeyRow(keys, form.owner, key, &place, &task_id) && task_id == form.id)
		(void) DeleteRow(keys, place, true);
}

/* Gives the task the key, unless another has it. Returns whether it has it. */
static bool
TakeKey(Relation keys, const FormTask &form, const char *key)
{
	ItemPointerData place;
	int64 task_id = 0;

	if (key == nullptr || FindKeyRow(keys, form.owner, key, &place, &task_id))
		return false;

	Datum values[kKeyColumns] = {ObjectIdGetDatum(form.owner), CStringGetTextDatum(key),
								 Int64GetDatum(form.id)};
	bool nulls[kKeyColumns] = {};

	InsertRow(keys, heap_form_tuple(RelationGetDescr(keys), values, nulls));
	return true;
}

static void
AdoptTask(Adoption *adoption, Relation task, Relation keys, HeapTuple tuple)
{
	const HeapTuple copy = heap_copytuple(tuple);
	FormTask *form = FormOf(copy);

	if (!ResolveRoles(adoption, TextOf(task, tuple, kTaskOwnerName),
					  TextOf(task, tuple, kTaskRunAsName), &form->owner, &form->run_as))
		return;
	form->installation = adoption->identity;
	form->database = MyDatabaseId;
	ClearClaim(form);
	form->trusted_epoch = static_cast<int64>(pool->epoch);
	if (form->keyed)
		form->keyed = TakeKey(keys, *form, TextOf(task, tuple, kTaskKeyText));
	if (UpdateRow(task, tuple->t_self, copy, true) == TM_Ok)
		adoption->adopted++;
	else if (form->keyed)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("task " INT64_FORMAT " was changed while it was being adopted", form->id),
				 errhint("Call adopt() again.")));
}

/* Calls one of the two above for each foreign row. Returns the largest id among them. */
template <typename Visit>
static int64
ForEachForeign(const Adoption &adoption, Relation task, Visit visit)
{
	RowScan scan = BeginTableScan(task);
	int64 largest = 0;
	HeapTuple tuple;

	while ((tuple = NextRow(scan)) != nullptr)
	{
		const FormTask &form = *FormOf(tuple);

		if (!IsForeign(adoption, form.installation, form.database))
			continue;
		largest = std::max(largest, form.id);

		MemoryContext const caller = MemoryContextSwitchTo(adoption.scratch);

		visit(tuple);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(adoption.scratch);
	}
	EndRowScan(&scan);
	return largest;
}

void
AdoptTasks(Adoption *adoption)
{
	Relation task = OpenTable(Table::kTask, RowExclusiveLock);
	Relation keys = OpenTable(Table::kTaskKey, RowExclusiveLock);

	ForEachForeign(*adoption, task,
				   [task, keys](HeapTuple tuple)
				   {
					   if (FormOf(tuple)->keyed)
						   DropKey(task, keys, tuple);
				   });

	const int64 used = ForEachForeign(*adoption, task,
									  [adoption, task, keys](HeapTuple tuple)
									  { AdoptTask(adoption, task, keys, tuple); });

	AdvanceSequence(task, Sequence::kTaskId, "task_id_seq", used);
	table_close(keys, NoLock);
	table_close(task, NoLock);
}

} // namespace worker_pool
