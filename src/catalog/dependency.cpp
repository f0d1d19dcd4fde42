/*
 * dependency.cpp
 *	  Tasks that wait for other tasks. Sessions (enqueue, cancel_task), workers (marks), visits.
 *
 * A row of worker_pool.dependency says that task_id waits for depends_on; the waiting task's row counts them in
 * waits_for and has no due time until that is 0.
 *
 * Nobody is missed. Who adds a row holds a key-share lock on the row of depends_on until his transaction ends.
 * The end of that task deletes its row, which waits for such locks, and looks for dependants after that, with
 * what is committed at that moment. Who comes later finds the row locked by the end's transaction, waits, and
 * learns from the history how it ended. Rows of this table are inserted and deleted, never updated, so a look
 * with SnapshotSelf can miss none; it takes no predicate lock, and costs about a microsecond where nobody waits.
 *
 * Many at once. The tasks to be settled stand in a heap, smallest id first; cancelling one adds those that wait
 * for it, which have larger ids. So two transactions that settle the same tasks lock them in the same order,
 * and a chain of any length needs no recursion. All of it is one transaction with the end that caused it.
 */
#include "catalog/task_store.hpp"

#include "catalog/task_end.hpp"

namespace worker_pool
{

/* Attribute numbers of worker_pool.dependency. */
static constexpr AttrNumber kDependsOn = 1;
static constexpr AttrNumber kDependant = 2;
static constexpr AttrNumber kOnEnd = 3;
static constexpr int kDependencyColumns = 3;

/* One task that waited for one that has ended. */
struct Dependant
{
	int64 task_id;
	int64 cause;			 /* what it waited for ... */
	const char *cause_state; /* ... and how that ended */
	bool release;			 /* else cancel */
	ItemPointerData place;	 /* of the dependency's row */
};

/* The heap; the smallest id comes first. */
struct Dependants
{
	Dependant *items;
	int count;
	int capacity;
};

/* --- in ------------------------------------------------------------------------------------------------ */

DependencyState
CheckDependency(int64 depends_on, Oid *owner)
{
	Relation task = OpenTable(Table::kTask, RowShareLock);
	const Snapshot snapshot = HoldSnapshot();
	HeapTuple tuple = nullptr;
	TM_Result result = TM_Updated;
	DependencyState state = DependencyState::kUnknown;
	bool succeeded = false;

	/* a row that was claimed or has ended meanwhile is looked at again */
	while (result != TM_Ok && (tuple = FetchById(task, Index::kTaskId, depends_on)) != nullptr)
	{
		CHECK_FOR_INTERRUPTS();
		result = LockRow(task, tuple->t_self, LockTupleKeyShare, true);
	}
	if (tuple != nullptr)
	{
		state = DependencyState::kWaits;
		*owner = FormOf(tuple)->owner;
		if (FormOf(tuple)->waits_for == 0)
			ArmLockedRow(task, tuple);
	}
	else if (FindEnd(depends_on, &succeeded, owner))
		state = succeeded ? DependencyState::kDone : DependencyState::kFailed;
	LetGoSnapshot(snapshot);
	table_close(task, NoLock);
	return state;
}

void
InsertDependency(int64 depends_on, int64 task_id, bool on_end)
{
	Relation dependency = OpenTable(Table::kDependency, RowExclusiveLock);
	Datum values[kDependencyColumns] = {Int64GetDatum(depends_on), Int64GetDatum(task_id),
										BoolGetDatum(on_end)};
	bool nulls[kDependencyColumns] = {};

	InsertRow(dependency, heap_form_tuple(RelationGetDescr(dependency), values, nulls));
	table_close(dependency, NoLock);
}

/* --- out ----------------------------------------------------------------------------------------------- */

static bool
ComesLater(const Dependant &one, const Dependant &other)
{
	return one.task_id > other.task_id;
}

static void
Push(Dependants *heap, const Dependant &dependant)
{
	if (heap->count == heap->capacity)
	{
		heap->capacity = heap->capacity == 0 ? 16 : heap->capacity * 2;

		const Size size = sizeof(Dependant) * heap->capacity;

		heap->items = static_cast<Dependant *>(
			heap->items == nullptr ? palloc(size) : repalloc_huge(heap->items, size));
	}
	heap->items[heap->count++] = dependant;
	std::push_heap(heap->items, heap->items + heap->count, ComesLater);
}

static Dependant
Pop(Dependants *heap)
{
	std::pop_heap(heap->items, heap->items + heap->count, ComesLater);
	return heap->items[--heap->count];
}

/* Adds those that wait for a task that has ended. Their rows are left alone: see the order in task_end.hpp. */
static void
PushDependantsOf(Relation dependency, int64 cause, const char *cause_state, Dependants *heap)
{
	const TupleDesc desc = RelationGetDescr(dependency);
	const bool succeeded = strcmp(cause_state, "succeeded") == 0;
	HeapTuple tuple = nullptr;
	ScanKeyData key;

	ScanKeyInit(&key, kDependsOn, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(cause));

	SysScanDesc scan =
		systable_beginscan(dependency, IndexOid(Index::kDependency), true, SnapshotSelf, 1, &key);

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool is_null = false;
		Dependant dependant = {};

		dependant.task_id = DatumGetInt64(heap_getattr(tuple, kDependant, desc, &is_null));
		dependant.cause = cause;
		dependant.cause_state = cause_state;
		dependant.release = succeeded || DatumGetBool(heap_getattr(tuple, kOnEnd, desc, &is_null));
		dependant.place = tuple->t_self;
		Push(heap, dependant);
	}
	systable_endscan(scan);
}

/*
 * One thing less to wait for; after the last, the task is due at its own time. One that is gone (this transaction
 * may have cancelled it on another's account) has taken its dependency rows with it.
 */
static void
Release(Relation task, Relation dependency, const Dependant &dependant)
{
	HeapTuple tuple = nullptr;
	TM_Result result = TM_Updated;

	while (result != TM_Ok)
	{
		const Snapshot snapshot = HoldSnapshot();

		CHECK_FOR_INTERRUPTS();
		tuple = FetchPlain(task, Index::kTaskId, dependant.task_id, snapshot);
		if (tuple != nullptr)
		{
			FormTask *form = FormOf(tuple);

			form->waits_for = Max(form->waits_for - 1, 0);
			form->due = form->waits_for == 0 ? form->run_at : DT_NOEND;
			result = UpdateRow(task, tuple->t_self, tuple, true);
		}
		LetGoSnapshot(snapshot);
		if (tuple == nullptr)
			return;
	}
	(void) DeleteRow(dependency, dependant.place, true);
	if (FormOf(tuple)->waits_for == 0)
		ArmItem(SpecOf(task, tuple));
}

const char *
DependencyEndWord(const char *state)
{
	return strcmp(state, "cancelled") == 0 ? "was canceled"
		   : strcmp(state, "expired") == 0 ? "expired"
		   : strcmp(state, "skipped") == 0 ? "was skipped"
										   : "failed";
}

/* Ends a waiting task because what it needs has not succeeded. False: it was gone already. */
static bool
Cancel(Relation task, const Dependant &dependant)
{
	HeapTuple tuple = nullptr;
	TM_Result result = TM_Updated;

	while (result != TM_Ok)
	{
		CHECK_FOR_INTERRUPTS();
		tuple = FetchById(task, Index::kTaskId, dependant.task_id);
		if (tuple == nullptr)
			return false;
		result = DeleteRow(task, tuple->t_self, true);
	}

	AttemptOutcome outcome = {};

	outcome.state = "cancelled";
	strlcpy(outcome.sqlstate, "57014", sizeof(outcome.sqlstate));
	outcome.message = psprintf(
		"task " INT64_FORMAT " was canceled because task " INT64_FORMAT ", on which it depends, %s",
		dependant.task_id, dependant.cause, DependencyEndWord(dependant.cause_state));
	CloseTask(task, tuple, outcome, FormOf(tuple)->attempt);
	/* what waits for others is not in the ready queue: nothing to take out there */
	ArmEvent(FormOf(tuple)->queue_id, StatEvent::kCancelled);
	return true;
}

/* All that wait in the heap, and what comes to it on the way. `scratch` is reset after each. */
static void
SettleAll(Relation task, Relation dependency, Dependants *heap, MemoryContext scratch)
{
	while (heap->count > 0)
	{
		const Dependant dependant = Pop(heap);
		MemoryContext const context = MemoryContextSwitchTo(scratch);
		bool cancelled = false;

		if (dependant.release)
			Release(task, dependency, dependant);
		else
			cancelled = Cancel(task, dependant);
		MemoryContextSwitchTo(context);
		MemoryContextReset(scratch);
		if (cancelled)
			PushDependantsOf(dependency, dependant.task_id, "cancelled", heap);
	}
}

void
SettleDependants(Relation task, int64 id, const char *state)
{
	Relation dependency = OpenTable(Table::kDependency, RowExclusiveLock);
	Dependants heap = {};

	PushDependantsOf(dependency, id, state, &heap);
	if (heap.count > 0)
	{
		MemoryContext const scratch = AllocSetContextCreate(
			CurrentMemoryContext, "worker_pool dependants", ALLOCSET_DEFAULT_SIZES);

		SettleAll(task, dependency, &heap, scratch);
		MemoryContextDelete(scratch);
		pfree(heap.items);
	}
	table_close(dependency, NoLock);
}

void
DeleteDependenciesOf(int64 task_id)
{
	Relation dependency = OpenTable(Table::kDependency, RowExclusiveLock);
	const Snapshot snapshot = HoldSnapshot();
	HeapTuple tuple = nullptr;
	ScanKeyData key;

	ScanKeyInit(&key, kDependant, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(task_id));

	SysScanDesc scan = systable_beginscan(dependency, IndexOid(Index::kDependencyTask), true,
										  SnapshotSelf, 1, &key);

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		(void) DeleteRow(dependency, tuple->t_self, true);
	systable_endscan(scan);
	LetGoSnapshot(snapshot);
	table_close(dependency, NoLock);
}

} // namespace worker_pool
