/*
 * task_dependencies.cpp
 *	  What a new or replaced task waits for. Runs in the session that enqueues.
 *
 * First the tasks to wait for are looked at, each locked in key-share mode: none of them can end before this
 * transaction does (catalog/dependency.cpp). Then the new row is stored with their number, and after it the rows
 * that name them. One that has failed already cancels the new task: it is stored as one that waits and ended in the
 * same transaction, so that its history is written like any other's.
 *
 * A cycle needs an id that others know: only a task that is replaced has one. Whether one of those it is to wait
 * for waits for it, however far away, is asked of the dependency rows, and two replacements that might close a
 * cycle together take turns by locks: of the owner of the replaced task and of those it is to wait for, so that
 * nobody holds up those with whom he has nothing to do. A cycle that is closed at once by replacements with no
 * such owner in common is not seen; all of its tasks wait until one is cancelled.
 *
 * Everything belongs to the caller's transaction and goes with it.
 */
#include "feature/task_dependencies.hpp"

#include "catalog/row_scan.hpp"
#include "feature/finished_task.hpp"
#include "feature/task_authority.hpp"

namespace worker_pool
{

/* Attribute numbers of worker_pool.dependency. */
static constexpr AttrNumber kDependsOn = 1;
static constexpr AttrNumber kDependant = 2;

/* How many tasks are looked at for a cycle. */
static constexpr int kMostReached = 100000;

[[noreturn]] static void
RaiseUnknownDependency(int64 id)
{
	const bool issued = WasTaskIssued(id);

	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("task " INT64_FORMAT " in argument \"depends_on\" does not exist", id),
			 issued ? errdetail("There was such a task, or its enqueue was rolled back or is not "
								"committed yet; whether it succeeded is not known.")
					: errdetail("No task of this database has had that id."),
			 issued ? errhint("What is kept of finished tasks is set by \"worker_pool.history\", "
							  "\"worker_pool.history_retention\" and the task's own history option.")
					: 0));
	pg_unreachable();
}

/* Before it is locked; *owner: its owner as stored, InvalidOid: there is no row. */
static void
CheckBeforeLock(int64 id, Oid *owner)
{
	Relation task = OpenTable(Table::kTask, AccessShareLock);
	HeapTuple tuple = FetchById(task, Index::kTaskId, id);

	table_close(task, AccessShareLock);
	*owner = InvalidOid;
	if (tuple == nullptr)
		return;

	const FormTask &form = *FormOf(tuple);

	*owner = form.owner;
	CheckMayDependOn(id, IsOwnRow(form.installation, form.database) ? form.owner : InvalidOid);
}

Dependencies
CheckDependencies(const int64 *ids, int count)
{
	Dependencies dependencies = {};

	if (count == 0)
		return dependencies;
	dependencies.ids = static_cast<int64 *>(palloc(sizeof(int64) * static_cast<Size>(count)));
	dependencies.owners = static_cast<Oid *>(palloc(sizeof(Oid) * static_cast<Size>(count)));
	for (int i = 0; i < count; i++)
	{
		Oid checked = InvalidOid;
		Oid owner = InvalidOid;

		CHECK_FOR_INTERRUPTS();
		CheckBeforeLock(ids[i], &checked);

		const DependencyState state = CheckDependency(ids[i], &owner);

		if (state == DependencyState::kUnknown)
			RaiseUnknownDependency(ids[i]);
		/* ended or made in between */
		if (!OidIsValid(checked) || owner != checked)
			CheckMayDependOn(ids[i], owner);
		if (state == DependencyState::kWaits)
		{
			dependencies.owners[dependencies.count] = owner;
			dependencies.ids[dependencies.count++] = ids[i];
		}
		else if (state == DependencyState::kFailed && dependencies.failed == 0)
			dependencies.failed = ids[i];
	}
	return dependencies;
}

int
WaitsFor(const Dependencies &dependencies)
{
	return dependencies.failed != 0 ? 1 : dependencies.count;
}

/* Ends the task that was stored just now. */
static void
CancelAtOnce(int64 id, int64 failed)
{
	AttemptOutcome outcome = {};
	FinishedTask finished = {};
	const char *how =
		FindFinished(failed, &finished) ? DependencyEndWord(finished.state) : "did not succeed";

	outcome.state = "cancelled";
	strlcpy(outcome.sqlstate, "57014", sizeof(outcome.sqlstate));
	outcome.message = psprintf("task " INT64_FORMAT " was canceled because task " INT64_FORMAT
							   ", on which it depends, %s",
							   id, failed, how);
	outcome.detail = "That task had ended before this one was enqueued.";
	(void) FinishTask(id, outcome, nullptr);
}

void
AddDependencies(int64 id, const Dependencies &dependencies)
{
	if (dependencies.failed != 0)
	{
		CancelAtOnce(id, dependencies.failed);
		return;
	}
	for (int i = 0; i < dependencies.count; i++)
		InsertDependency(dependencies.ids[i], id, false);
}

/* --- cycles ----------------------------------------------------------------------------------------------- */

/* Ids that were reached, in the order in which they were. */
struct Reached
{
	int64 *ids;
	int count;
	int capacity;
	HTAB *known; /* the same, to be found */
};

static void
Reach(Reached *reached, int64 id)
{
	bool found = false;

	(void) hash_search(reached->known, &id, HASH_ENTER, &found);
	if (found)
		return;
	if (reached->count >= kMostReached)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a replaced task would wait for too many tasks"),
				 errdetail("More than %d tasks would have to end before it, directly or by others.",
						   kMostReached),
				 errhint("Leave \"depends_on\" out, or use another key.")));
	if (reached->count == reached->capacity)
	{
		reached->capacity *= 2;
		reached->ids = static_cast<int64 *>(
			repalloc_huge(reached->ids, sizeof(int64) * static_cast<Size>(reached->capacity)));
	}
	reached->ids[reached->count++] = id;
}

/* Adds what that task waits for. */
static void
ReachFrom(Relation dependency, int64 id, Reached *reached)
{
	ScanKeyData key;

	ScanKeyInit(&key, kDependant, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));

	RowScan scan = BeginIndexScan(dependency, Index::kDependencyTask, 1, &key);

	for (HeapTuple row = NextRow(scan); HeapTupleIsValid(row); row = NextRow(scan))
	{
		bool is_null = false;

		CHECK_FOR_INTERRUPTS();
		Reach(reached,
			  DatumGetInt64(heap_getattr(row, kDependsOn, RelationGetDescr(dependency), &is_null)));
	}
	EndRowScan(&scan);
}

/* The owners in the order of their OIDs: who comes second waits. Until the end of the transaction. */
static void
LockOwners(Relation dependency, const Dependencies &dependencies)
{
	const int count = dependencies.count + 1;
	auto *owners = static_cast<Oid *>(palloc(sizeof(Oid) * static_cast<Size>(count)));

	memcpy(owners, dependencies.owners, sizeof(Oid) * static_cast<Size>(dependencies.count));
	owners[count - 1] = GetUserId();
	std::sort(owners, owners + count);

	Oid *const end = std::unique(owners, owners + count);

	for (const Oid *owner = owners; owner < end; owner++)
		LockDatabaseObject(RelationGetRelid(dependency), *owner, 0, ExclusiveLock);
	pfree(owners);
}

static Reached
NothingReached()
{
	Reached reached = {};
	HASHCTL control = {};

	control.keysize = sizeof(int64);
	control.entrysize = sizeof(int64);
	control.hcxt = CurrentMemoryContext;
	reached.known =
		hash_create("worker_pool cycle", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	reached.capacity = 64;
	reached.ids = static_cast<int64 *>(palloc(sizeof(int64) * 64));
	return reached;
}

void
RefuseCycle(int64 id, const Dependencies &dependencies)
{
	if (dependencies.count == 0)
		return;

	Relation dependency = OpenTable(Table::kDependency, RowExclusiveLock);
	Reached reached = NothingReached();

	LockOwners(dependency, dependencies);
	for (int i = 0; i < dependencies.count; i++)
		Reach(&reached, dependencies.ids[i]);
	for (int i = 0; i < reached.count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (reached.ids[i] == id)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("task " INT64_FORMAT " would wait for itself", id),
					 errdetail("It was to be replaced by one with a \"depends_on\" that leads back "
							   "to it."),
					 errhint("Leave \"depends_on\" out, or use another key.")));
		ReachFrom(dependency, reached.ids[i], &reached);
	}
	pfree(reached.ids);
	hash_destroy(reached.known);
	table_close(dependency, NoLock);
}

} // namespace worker_pool
