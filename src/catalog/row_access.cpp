/*
 * row_access.cpp
 *	  Reads and changes single rows of the durable tables at heap level. Any process, inside a transaction.
 *
 * Two kinds of looks. FetchById goes through an index with a fresh MVCC snapshot: it finds a row whatever
 * happens to it at that moment, exactly one version of it. FetchAt and PinRow look at one place only, with
 * SnapshotSelf: is this version the live one, now? That takes no predicate lock, so the mark of a serializable
 * task does not make it fail.
 *
 * Index entries. As the server does for its catalogs (indexing.c), without an executor. Should somebody have
 * added an index with expressions or a predicate, or an exclusion constraint, the executor's way is taken.
 *
 * Nothing is swallowed here: a row that changed hands is a TM_Result, everything else an ERROR that rolls the
 * caller's transaction back.
 */
#include "catalog/tables.hpp"

extern "C"
{
#include "access/heaptoast.h"
#include "catalog/index.h"
#include "storage/bufmgr.h"
}

namespace worker_pool
{

Snapshot
HoldSnapshot()
{
	return RegisterSnapshot(GetLatestSnapshot());
}

void
LetGoSnapshot(Snapshot snapshot)
{
	UnregisterSnapshot(snapshot);
}

/* Values out of line cannot be written without one; nullptr where the statement's own serves. */
static Snapshot
SnapshotForToast(Relation relation)
{
	if (!OidIsValid(relation->rd_rel->reltoastrelid) || ActiveSnapshotSet())
		return nullptr;
	return HoldSnapshot();
}

static void
LetGoToast(Snapshot snapshot)
{
	if (snapshot != nullptr)
		LetGoSnapshot(snapshot);
}

/* --- index entries ------------------------------------------------------------------------------------- */

static bool
IsSimple(Relation index, const IndexInfo *info)
{
	return info->ii_Expressions == NIL && info->ii_Predicate == NIL &&
		   info->ii_ExclusionOps == nullptr && index->rd_index->indimmediate;
}

static void
InsertSimpleEntries(CatalogIndexState indexes, Relation relation, TupleTableSlot *slot)
{
	Datum values[INDEX_MAX_KEYS];
	bool nulls[INDEX_MAX_KEYS];

	for (int i = 0; i < indexes->ri_NumIndices; i++)
	{
		IndexInfo *info = indexes->ri_IndexRelationInfo[i];

		if (!info->ii_ReadyForInserts)
			continue;
		FormIndexDatum(info, slot, nullptr, values, nulls);
		compat::InsertIndexEntry(indexes->ri_IndexRelationDescs[i], relation, values, nulls,
								 &slot->tts_tid, info);
	}
}

static void
InsertEntries(Relation relation, HeapTuple tuple, compat::IndexNeed need)
{
	if (need == compat::IndexNeed::kNone)
		return;

	CatalogIndexState indexes = CatalogOpenIndexes(relation);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsHeapTuple);
	bool simple = need == compat::IndexNeed::kAll;

	ExecStoreHeapTuple(tuple, slot, false);
	for (int i = 0; simple && i < indexes->ri_NumIndices; i++)
		simple = IsSimple(indexes->ri_IndexRelationDescs[i], indexes->ri_IndexRelationInfo[i]);
	if (simple)
		InsertSimpleEntries(indexes, relation, slot);
	else
	{
		EState *state = CreateExecutorState();

		compat::InsertIndexTuples(indexes, slot, state, need == compat::IndexNeed::kSummarizing);
		FreeExecutorState(state);
	}
	ExecDropSingleTupleTableSlot(slot);
	CatalogCloseIndexes(indexes);
}

/* --- changes ------------------------------------------------------------------------------------------- */

/*
 * Pins the page if a version stands at that place; InvalidBuffer: it was pruned away. The server takes it for
 * granted that what is changed is there.
 */
static Buffer
PinPlace(Relation relation, const ItemPointerData &place)
{
	Buffer buffer = ReadBuffer(relation, ItemPointerGetBlockNumber(&place));

	LockBuffer(buffer, BUFFER_LOCK_SHARE);

	const Page page = BufferGetPage(buffer);
	const OffsetNumber offset = ItemPointerGetOffsetNumber(&place);
	const bool there = offset >= FirstOffsetNumber && offset <= PageGetMaxOffsetNumber(page) &&
					   ItemIdIsNormal(PageGetItemId(page, offset));

	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	if (there)
		return buffer;
	ReleaseBuffer(buffer);
	return InvalidBuffer;
}

/* Does another transaction hold the row at this moment? The page is pinned. */
static bool
IsHeld(Relation relation, const ItemPointerData &place, Buffer buffer)
{
	HeapTupleData tuple;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);

	const Page page = BufferGetPage(buffer);
	const ItemId item = PageGetItemId(page, ItemPointerGetOffsetNumber(&place));

	tuple.t_self = place;
	tuple.t_tableOid = RelationGetRelid(relation);
	tuple.t_data = reinterpret_cast<HeapTupleHeader>(PageGetItem(page, item));
	tuple.t_len = ItemIdGetLength(item);

	const TM_Result result = HeapTupleSatisfiesUpdate(&tuple, GetCurrentCommandId(false), buffer);

	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	return result == TM_BeingModified;
}

void
InsertRow(Relation relation, HeapTuple tuple)
{
	const Snapshot snapshot = SnapshotForToast(relation);

	heap_insert(relation, tuple, GetCurrentCommandId(true), 0, nullptr);
	InsertEntries(relation, tuple, compat::IndexNeed::kAll);
	LetGoToast(snapshot);
	CommandCounterIncrement();
}

TM_Result
UpdateRow(Relation relation, const ItemPointerData &place, HeapTuple tuple, bool wait)
{
	/* tuple->t_self, which the update sets, may be what the caller named */
	ItemPointerData old = place;
	compat::IndexNeed need = compat::IndexNeed::kNone;
	const Snapshot snapshot = SnapshotForToast(relation);
	const Buffer buffer = PinPlace(relation, old);
	TM_Result result = TM_Deleted;

	if (BufferIsValid(buffer))
	{
		/* where it must be told to wait, somebody may still come in between: then it does */
		if (!wait && compat::kUpdateMustWait && IsHeld(relation, old, buffer))
			result = TM_BeingModified;
		else
			result =
				compat::UpdateTuple(relation, &old, tuple, wait || compat::kUpdateMustWait, &need);
		ReleaseBuffer(buffer);
	}
	if (result == TM_Ok)
	{
		InsertEntries(relation, tuple, need);
		CommandCounterIncrement();
	}
	LetGoToast(snapshot);
	return result;
}

TM_Result
DeleteRow(Relation relation, const ItemPointerData &place, bool wait)
{
	ItemPointerData old = place;
	const Snapshot snapshot = SnapshotForToast(relation);
	const Buffer buffer = PinPlace(relation, old);
	TM_FailureData failure;
	TM_Result result = TM_Deleted;

	if (BufferIsValid(buffer))
	{
		result = heap_delete(relation, &old, GetCurrentCommandId(true), InvalidSnapshot, wait,
							 &failure, false);
		ReleaseBuffer(buffer);
	}
	LetGoToast(snapshot);
	if (result == TM_Ok)
		CommandCounterIncrement();
	return result;
}

TM_Result
LockRow(Relation relation, const ItemPointerData &place, LockTupleMode mode, bool wait)
{
	const Buffer pin = PinPlace(relation, place);
	Buffer buffer = InvalidBuffer;
	HeapTupleData tuple;
	TM_FailureData failure;

	if (!BufferIsValid(pin))
		return TM_Deleted;
	tuple.t_self = place;

	const TM_Result result =
		heap_lock_tuple(relation, &tuple, GetCurrentCommandId(true), mode,
						wait ? LockWaitBlock : LockWaitSkip, true, &buffer, &failure);

	ReleaseBuffer(buffer);
	ReleaseBuffer(pin);
	return result == TM_WouldBlock ? TM_BeingModified : result;
}

/* --- looks --------------------------------------------------------------------------------------------- */

/* The first column of the index is the key; its number in the table. */
static ScanKeyData
KeyFor(Relation relation, Index index, Datum value)
{
	constexpr AttrNumber kQueueNameColumn = 10;
	constexpr AttrNumber kScheduleNameColumn = 22;
	constexpr AttrNumber kServiceNameColumn = 14;
	const bool is_int4 = index == Index::kQueueId;
	AttrNumber column = 1;

	if (index == Index::kQueueName)
		column = kQueueNameColumn;
	else if (index == Index::kScheduleName)
		column = kScheduleNameColumn;
	else if (index == Index::kServiceName)
		column = kServiceNameColumn;

	const bool by_name = column != 1;

	ScanKeyData key;

	ScanKeyEntryInitialize(&key, 0, column, BTEqualStrategyNumber, InvalidOid,
						   TupleDescAttr(RelationGetDescr(relation), column - 1)->attcollation,
						   by_name	 ? F_TEXTEQ
						   : is_int4 ? F_INT4EQ
									 : F_INT8EQ,
						   value);
	return key;
}

static HeapTuple
FetchOne(Relation relation, Index index, Datum value, Snapshot snapshot)
{
	ScanKeyData key = KeyFor(relation, index, value);
	SysScanDesc scan = systable_beginscan(relation, IndexOid(index), true, snapshot, 1, &key);
	const HeapTuple found = systable_getnext(scan);
	const HeapTuple copy = HeapTupleIsValid(found) ? heap_copytuple(found) : nullptr;

	systable_endscan(scan);
	return copy;
}

HeapTuple
FetchPlain(Relation relation, Index index, int64 id, Snapshot snapshot)
{
	const Datum value =
		index == Index::kQueueId ? Int32GetDatum(static_cast<int32>(id)) : Int64GetDatum(id);

	return FetchOne(relation, index, value, snapshot);
}

HeapTuple
Detoast(Relation relation, HeapTuple tuple)
{
	if (tuple == nullptr || !HeapTupleHasExternal(tuple))
		return tuple;
	return toast_flatten_tuple(tuple, RelationGetDescr(relation));
}

Datum
ColumnOf(Relation relation, HeapTuple tuple, int column)
{
	bool is_null = false;

	return heap_getattr(tuple, column, RelationGetDescr(relation), &is_null);
}

const char *
TextOf(Relation relation, HeapTuple tuple, int column)
{
	bool is_null = false;
	const Datum value = heap_getattr(tuple, column, RelationGetDescr(relation), &is_null);

	return is_null ? nullptr : TextDatumGetCString(value);
}

HeapTuple
FetchById(Relation relation, Index index, int64 id)
{
	const Snapshot snapshot = HoldSnapshot();
	const HeapTuple tuple = Detoast(relation, FetchPlain(relation, index, id, snapshot));

	LetGoSnapshot(snapshot);
	return tuple;
}

HeapTuple
FetchByName(Relation relation, Index index, const char *name)
{
	const Snapshot snapshot = HoldSnapshot();
	const HeapTuple tuple =
		Detoast(relation, FetchOne(relation, index, CStringGetTextDatum(name), snapshot));

	LetGoSnapshot(snapshot);
	return tuple;
}

bool
PinRow(Relation relation, const ItemPointerData &place, PinnedRow *row)
{
	/* a table that was rewritten may have become shorter */
	if (ItemPointerGetBlockNumber(&place) >= RelationGetNumberOfBlocks(relation))
		return false;
	row->tuple.t_self = place;
	return compat::FetchTuple(relation, SnapshotSelf, &row->tuple, &row->buffer);
}

void
UnpinRow(const PinnedRow &row)
{
	ReleaseBuffer(row.buffer);
}

HeapTuple
FetchAt(Relation relation, const ItemPointerData &place)
{
	PinnedRow row;

	if (!PinRow(relation, place, &row))
		return nullptr;

	const HeapTuple copy = heap_copytuple(&row.tuple);

	UnpinRow(row);
	return copy;
}

} // namespace worker_pool
