/*
 * fail_role.cpp
 *	  Tasks of a role in whose name no worker can start: a visit fails them, so that they say why they do not
 *	  run instead of waiting in silence.
 *
 * The launcher noted the role and the reason (SetStartError). Of the tasks that are due and that no living
 * process has, kMost a call:
 *	- the role is gone: it will not come back under that OID, so they end for good;
 *	- else the reason may pass (NOLOGIN, no CONNECT, too many connections): it is a failed attempt, and the task
 *	  is tried again as after any other;
 *	- one whose counted attempt was lost with its process: the loss is what is recorded first.
 *
 * Each goes out of memory as it is written; the commit (or rollback) of the caller reports a rescan, which loads
 * what is to be tried again. On an ERROR nothing was written, and the rescan finds the rows as they were.
 */
#include "catalog/task_store.hpp"

#include "catalog/order_scan.hpp"
#include "catalog/task_end.hpp"

namespace worker_pool
{

static constexpr int kMost = 1000;

/* What FailTask needs to know of the call. */
struct RoleFailure
{
	Relation task;
	Oid role;
	bool role_is_gone;
	const BriefError *error;
};

/* May this row be failed: ours, due, and no process has it? */
static bool
IsWaiting(const FormTask &form, TimestampTz now)
{
	return form.due <= now && form.waits_for == 0 && IsOwnRow(form.installation, form.database) &&
		   !IsClaimHeld(form);
}

/* The ids of the first kMost tasks of the role that wait and are due. Returns how many. */
static int
CollectTasks(Relation task, Oid role, TimestampTz now, int64 *ids)
{
	OrderScan scan = OpenOrder(task);
	int count = 0;
	HeapTuple tuple;

	SeekRole(&scan, role);
	while (count < kMost && (tuple = NextInOrder(&scan)) != nullptr)
	{
		const FormTask &form = *FormOf(tuple);

		if (form.due > now)
			SeekBehindRank(&scan, role, form.rank);
		else if (IsWaiting(form, now))
			ids[count++] = form.id;
	}
	CloseOrder(&scan);
	return count;
}

static AttemptOutcome
FailedToStart(const BriefError &error)
{
	AttemptOutcome outcome = {};

	outcome.state = "failed";
	outcome.started_at = GetCurrentTimestamp();
	strlcpy(outcome.sqlstate,
			unpack_sql_state(error.sqlstate != 0 ? error.sqlstate : ERRCODE_INTERNAL_ERROR),
			sizeof(outcome.sqlstate));
	outcome.message = error.message[0] != '\0' ? error.message : "the worker could not start";
	outcome.detail = error.detail[0] != '\0' ? error.detail : nullptr;
	outcome.hint = error.hint[0] != '\0' ? error.hint : nullptr;
	return outcome;
}

/* A counted claim stands in the row and its process is gone: it had begun, or was about to. */
static AttemptOutcome
LostAttempt(const FormTask &form)
{
	AttemptOutcome outcome = {};

	outcome.state = "failed";
	outcome.started_at = form.claimed_at;
	strlcpy(outcome.sqlstate, unpack_sql_state(ERRCODE_CONNECTION_FAILURE),
			sizeof(outcome.sqlstate));
	outcome.message = form.atomic
						  ? "the process or server that ran the task went away"
						  : "the process or server that ran the task went away; whether it took "
							"effect is unknown";
	return outcome;
}

/* Fails one task with its newest version. False: it is not to be failed (any more). A snapshot is held. */
static bool
FailVersion(const RoleFailure &failure, HeapTuple tuple)
{
	const FormTask &form = *FormOf(tuple);

	if (form.run_as != failure.role || !IsWaiting(form, GetCurrentTimestamp()))
		return false;

	const int64 id = form.id;
	const ClaimedTask claimed = {tuple, tuple->t_self};
	const bool lost = form.counted && form.claim_epoch != 0;
	const AttemptOutcome outcome = lost ? LostAttempt(form) : FailedToStart(*failure.error);
	ItemSpec next = {};

	const Verdict verdict = MarkFailed(claimed, outcome, !failure.role_is_gone, &next);

	if (verdict == Verdict::kNotOurs)
		return false;
	/* a worker gives the key up with its claim; here there was none */
	if (verdict == Verdict::kRetry && form.keyed)
	{
		const char *key = TextOf(failure.task, tuple, kTaskKeyText);

		if (key != nullptr)
			(void) DeleteKey(form.owner, key, id, true);
	}
	/* neither the place in memory nor its due time is right any more */
	(void) RemoveItem(ItemKind::kTask, MyDatabaseId, id);
	return true;
}

static bool
FailTask(const RoleFailure &failure, int64 id)
{
	const Snapshot snapshot = HoldSnapshot();
	const HeapTuple tuple =
		Detoast(failure.task, FetchPlain(failure.task, Index::kTaskId, id, snapshot));
	const bool failed = tuple != nullptr && FailVersion(failure, tuple);

	LetGoSnapshot(snapshot);
	return failed;
}

/* Caller: a visit, inside a transaction that it commits; calls again while the result is large. */
int
FailTasksOfRole(Oid role, const BriefError &error)
{
	Relation task = TryOpenTable(Table::kTask, RowExclusiveLock);
	int failed = 0;

	if (task == nullptr)
		return 0;

	const bool gone = !SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role));
	const RoleFailure failure = {task, role, gone, &error};
	auto *ids = static_cast<int64 *>(palloc(kMost * sizeof(int64)));
	const int count = CollectTasks(task, role, GetCurrentTimestamp(), ids);
	MemoryContext const scratch = AllocSetContextCreate(
		CurrentMemoryContext, "worker_pool failed tasks", ALLOCSET_DEFAULT_SIZES);

	ArmRescan();
	for (int i = 0; i < count; i++)
	{
		MemoryContext const caller = MemoryContextSwitchTo(scratch);

		CHECK_FOR_INTERRUPTS();
		failed += FailTask(failure, ids[i]);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(scratch);
	}
	MemoryContextDelete(scratch);
	pfree(ids);
	table_close(task, NoLock);
	/* where nothing is left, memory's mark that there may be more goes with it: no worker can come to see that */
	LoadPair(role);
	return failed;
}

} // namespace worker_pool
