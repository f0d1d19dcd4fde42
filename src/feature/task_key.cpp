/*
 * task_key.cpp
 *	  Keys: at most one task of an owner that has not begun has a given key. Runs in sessions that enqueue or retry.
 *
 * worker_pool.task_key has a row for each such task. It is made here and goes with the claim, or with whatever
 * ends the task before that, always in the same transaction as the task's own row. Taking a key is
 *
 *		lock (owner, key) briefly
 *		look with SnapshotDirty, which also sees what others have not committed yet
 *			nothing there:					insert, unlock: it is ours
 *			made or about to go by another:	unlock, wait for that transaction, begin anew
 *			there:							unlock: the task that it names has the key
 *
 * That is INSERT ... ON CONFLICT DO NOTHING, made by hand: it works the same in every isolation level, runs no SQL
 * as anybody, and the lock is held for microseconds, so a transaction may enqueue any number of keys. The lock is
 * a heavyweight one of the class of table task_key, released also by an ERROR.
 *
 * A key whose task is not waiting any more went with a claim that has committed in between: then the next look
 * finds nothing. If it finds the same row again, the row is an orphan (it came by COPY, say, or with the tasks of
 * another database) and is replaced.
 *
 * keep locks the waiting task's row, which a claim passes over, until the end of the transaction; replace writes
 * the new definition into it. Both begin anew when the row changed between look and lock. A replaced task may have
 * waited for others that are about to end: they are locked first, as for a new task, so that none of them counts the
 * row down after its dependencies were taken out.
 */
#include "feature/task_key.hpp"

#include "catalog/row_scan.hpp"
#include "catalog/task_end.hpp"

namespace worker_pool
{

/* Attribute numbers of worker_pool.task_key. */
static constexpr AttrNumber kKeyOwner = 1;
static constexpr AttrNumber kKeyText = 2;
static constexpr AttrNumber kKeyTask = 3;
static constexpr int kKeyColumns = 3;

/* --- taking -------------------------------------------------------------------------------------------------- */

struct KeyLook
{
	bool found;
	int64 holder;
	ItemPointerData place;
	TransactionId wait_for; /* has made it, or is about to take it out */
};

static KeyLook
LookAtKey(Relation relation, Oid owner, const char *key)
{
	const TupleDesc desc = RelationGetDescr(relation);
	KeyLook look = {};
	SnapshotData dirty = {};
	ScanKeyData keys[2];
	bool is_null = false;

	InitDirtySnapshot(dirty);
	ScanKeyInit(&keys[0], kKeyOwner, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(owner));
	ScanKeyEntryInitialize(&keys[1], 0, kKeyText, BTEqualStrategyNumber, InvalidOid,
						   TupleDescAttr(desc, kKeyText - 1)->attcollation, F_TEXTEQ,
						   CStringGetTextDatum(key));

	SysScanDesc scan =
		systable_beginscan(relation, IndexOid(Index::kTaskKey), true, &dirty, 2, keys);
	HeapTuple tuple = systable_getnext(scan);

	if (HeapTupleIsValid(tuple))
	{
		look.found = true;
		look.holder = DatumGetInt64(heap_getattr(tuple, kKeyTask, desc, &is_null));
		look.place = tuple->t_self;
		look.wait_for = TransactionIdIsValid(dirty.xmin) ? dirty.xmin : dirty.xmax;
	}
	systable_endscan(scan);
	return look;
}

static void
InsertKey(Relation relation, Oid owner, const char *key, int64 id)
{
	Datum values[kKeyColumns] = {ObjectIdGetDatum(owner), CStringGetTextDatum(key),
								 Int64GetDatum(id)};
	bool nulls[kKeyColumns] = {};

	InsertRow(relation, heap_form_tuple(RelationGetDescr(relation), values, nulls));
}

static uint32
LockNumber(Oid owner, const char *key)
{
	return hash_combine(
		hash_bytes(reinterpret_cast<const unsigned char *>(key), static_cast<int>(strlen(key))),
		owner);
}

/* Inserts the key's row unless there is one that is no orphan; what it found otherwise. */
static KeyLook
TryKey(Relation relation, Oid owner, const char *key, int64 id, const ItemPointerData *orphan)
{
	const Oid lock = LockNumber(owner, key);

	LockDatabaseObject(RelationGetRelid(relation), lock, 0, ExclusiveLock);

	KeyLook look = LookAtKey(relation, owner, key);

	if (look.found && !TransactionIdIsValid(look.wait_for) && ItemPointerIsValid(orphan) &&
		ItemPointerEquals(&look.place, const_cast<ItemPointerData *>(orphan)))
		look.found = DeleteRow(relation, look.place, false) != TM_Ok;
	if (!look.found)
		InsertKey(relation, owner, key, id);
	UnlockDatabaseObject(RelationGetRelid(relation), lock, 0, ExclusiveLock);
	return look;
}

/* Is it a task of this database that has not begun and has this key? */
static bool
IsWaitingWith(Relation task, HeapTuple tuple, Oid owner, const char *key)
{
	if (tuple == nullptr)
		return false;

	const FormTask &form = *FormOf(tuple);
	const char *text = form.keyed ? TextOf(task, tuple, kTaskKeyText) : nullptr;

	return text != nullptr && form.owner == owner && strcmp(text, key) == 0 &&
		   IsOwnRow(form.installation, form.database);
}

bool
TakeKey(Relation task, Oid owner, const char *key, int64 id, int64 *holder)
{
	Relation relation = OpenTable(Table::kTaskKey, RowExclusiveLock);
	ItemPointerData orphan;
	bool held = false;

	ItemPointerSetInvalid(&orphan);
	while (!held)
	{
		CHECK_FOR_INTERRUPTS();

		KeyLook look = TryKey(relation, owner, key, id, &orphan);

		if (!look.found)
			break;
		if (TransactionIdIsValid(look.wait_for))
		{
			XactLockTableWait(look.wait_for, relation, &look.place, XLTW_InsertIndexUnique);
			continue;
		}
		*holder = look.holder;
		held = IsWaitingWith(task, FetchById(task, Index::kTaskId, look.holder), owner, key);
		orphan = look.place;
	}
	table_close(relation, NoLock);
	return !held;
}

bool
IsIdTaken(Relation task, int64 id, TransactionId *wait_for)
{
	SnapshotData dirty = {};
	ScanKeyData key;

	InitDirtySnapshot(dirty);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));

	SysScanDesc scan = systable_beginscan(task, IndexOid(Index::kTaskId), true, &dirty, 1, &key);
	const bool taken = HeapTupleIsValid(systable_getnext(scan));

	*wait_for = InvalidTransactionId;
	if (taken)
		*wait_for = TransactionIdIsValid(dirty.xmin) ? dirty.xmin : dirty.xmax;
	systable_endscan(scan);
	return taken;
}

/* --- keep ---------------------------------------------------------------------------------------------------- */

bool
KeepTask(Relation task, const NewTask &kept_for, int64 holder)
{
	HeapTuple tuple = FetchById(task, Index::kTaskId, holder);

	if (!IsWaitingWith(task, tuple, kept_for.form.owner, kept_for.key))
		return false;
	/* stronger than a mere key-share lock: it must stand in the way of the claim's update on every major */
	if (LockRow(task, tuple->t_self, LockTupleNoKeyExclusive, true) != TM_Ok)
		return false;
	if (FormOf(tuple)->waits_for == 0)
		ArmLockedRow(task, tuple);
	WP_FAULT("task.after_keep");
	return true;
}

/* --- replace ------------------------------------------------------------------------------------------------- */

/* Locks what the waiting task waits for: none of it can end before this transaction. */
static void
HoldOldDependencies(int64 id)
{
	Relation dependency = OpenTable(Table::kDependency, RowExclusiveLock);
	List *ids = NIL;
	ListCell *cell = nullptr;
	ScanKeyData key;

	ScanKeyInit(&key, 2, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));

	RowScan scan = BeginIndexScan(dependency, Index::kDependencyTask, 1, &key);

	for (HeapTuple row = NextRow(scan); HeapTupleIsValid(row); row = NextRow(scan))
	{
		auto *depends_on = static_cast<int64 *>(palloc(sizeof(int64)));
		bool is_null = false;

		*depends_on = DatumGetInt64(heap_getattr(row, 1, RelationGetDescr(dependency), &is_null));
		ids = lappend(ids, depends_on);
	}
	EndRowScan(&scan);
	table_close(dependency, NoLock);
	foreach(cell, ids)
	{
		Oid owner = InvalidOid;

		(void) CheckDependency(*static_cast<int64 *>(lfirst(cell)), &owner);
	}
}

/* The fixed columns: what the definition says, with the identity of the old row. */
static FormTask
ReplacedForm(const FormTask &old, const NewTask &definition)
{
	FormTask form = definition.form;

	form.id = old.id;
	form.installation = old.installation;
	form.database = old.database;
	form.rank = RankOf(definition.queue_priority, form.priority);
	form.due = form.waits_for > 0 ? DT_NOEND : form.run_at;
	form.enqueued_at = GetCurrentTimestamp();
	form.attempt = 0;
	form.trusted_epoch = static_cast<int64>(pool->epoch);
	form.keyed = true;
	ClearClaim(&form);
	return form;
}

static HeapTuple
ReplacedTuple(Relation task, HeapTuple old, const NewTask &definition)
{
	Datum values[kTaskColumns] = {};
	bool nulls[kTaskColumns] = {};
	bool replace[kTaskColumns] = {};
	const auto set = [&](TaskColumn column, const char *text)
	{
		nulls[column - 1] = text == nullptr;
		if (text != nullptr)
			values[column - 1] = CStringGetTextDatum(text);
	};

	for (int column = kTaskCommand; column <= kTaskColumns; column++)
		replace[column - 1] = true;
	set(kTaskCommand, definition.command);
	values[kTaskArgs - 1] = definition.args;
	values[kTaskSettings - 1] = definition.settings;
	set(kTaskQueue, definition.queue);
	set(kTaskRunAsName, definition.run_as_name);
	set(kTaskOwnerName, definition.owner_name);
	set(kTaskName, definition.name);
	set(kTaskKeyText, definition.key);
	set(kTaskConcurrencyKey, definition.concurrency_key);
	set(kTaskLastSqlstate, nullptr);
	set(kTaskLastError, nullptr);

	HeapTuple tuple = heap_modify_tuple(old, RelationGetDescr(task), values, nulls, replace);

	*FormOf(tuple) = ReplacedForm(*FormOf(old), definition);
	return tuple;
}

bool
ReplaceTask(Relation task, const NewTask &definition, const Dependencies &dependencies,
			int64 holder)
{
	HeapTuple old = FetchById(task, Index::kTaskId, holder);

	if (!IsWaitingWith(task, old, definition.form.owner, definition.key))
		return false;
	if (FormOf(old)->waits_for > 0)
		HoldOldDependencies(holder);
	/* of the version that was looked at: one of them may have ended while we waited for it */
	if (LockRow(task, old->t_self, LockTupleNoKeyExclusive, true) != TM_Ok)
		return false;
	/* told at an abort; at a commit the new one is told after it */
	if (FormOf(old)->waits_for == 0)
		ArmLockedRow(task, old);
	RefuseCycle(holder, dependencies);
	if (FormOf(old)->waits_for > 0)
		DeleteDependenciesOf(holder);

	HeapTuple changed = ReplacedTuple(task, old, definition);

	if (UpdateRow(task, old->t_self, changed, true) != TM_Ok)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
						errmsg("task " INT64_FORMAT " cannot be replaced now", holder),
						errdetail("Its row has changed although this transaction has locked it.")));
	if (FormOf(changed)->waits_for > 0)
		ArmRemoval(ItemKind::kTask, holder);
	else
		ArmItem(SpecOf(task, changed));
	WP_FAULT("task.after_replace");
	return true;
}

} // namespace worker_pool
