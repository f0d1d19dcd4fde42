/*
 * visit_work.cpp
 *	  What a visit does about the durable rows of its database. The process of a visit only.
 *
 * In this order, each in a transaction of its own, so that an ERROR in one undoes and hinders none of the
 * others:
 *
 *	1. pauses that were said in memory are stored, before a load reads the table's;
 *	2. the limits of roles are read, if settings of roles have changed since, before there are tasks to start
 *	   workers for;
 *	3. of roles in whose name no worker can start, due schedules are fired, each in a transaction of its own, and
 *	   then tasks failed, some at a time;
 *	4. rows are loaded into the ready queue: all of them after a start, where somebody said that there are rows
 *	   that nobody pushed (step 3 is among those who do), or where a pair has more in the table and no worker of
 *	   it is there to load on;
 *	5. services: memory is told all rows, for the same reasons as in step 4 (in recovery, by every visit); then, in
 *	   every visit, configs that a process cannot read are brought, and quarantines written down, each in a
 *	   transaction of its own;
 *	6. history that is too old is deleted, some rows at a time.
 *
 * What is left when the process dies: a pause stays unstored, a load unfinished, a purge due, and each of them
 * is a reason for another visit; what a service waits for stands in its entry until it was done. An error of a role that was taken and not dealt with comes anew with the next
 * start of a worker.
 */
#include "process/visit.hpp"

#include "catalog/queue_row.hpp"
#include "catalog/row_scan.hpp"
#include "catalog/service_row.hpp"
#include "catalog/task_store.hpp"
#include "config/settings.hpp"
#include "feature/authority.hpp"
#include "feature/schedules.hpp"
#include "shmem/databases.hpp"

namespace worker_pool
{

/* Steps of one kind at most; what is left after that is for another visit. */
static constexpr int kMostPauses = 1000;
static constexpr int kMostFailSteps = 100;
static constexpr int kMostPurgeSteps = 50;
static constexpr int kRowsAStep = 1000;
static constexpr int kMostQuarantines = 100;
/* When a load of services that failed is made again; in recovery so often at most. */
static constexpr int64 kLoadAgainMs = 1000;
static constexpr int kMostLoads = 3;
/* A purge that wants to go on so soon goes on at once. */
static constexpr int64 kSoonUs = 2 * USECS_PER_SEC;

/* Rows with out-of-line values want a snapshot that somebody holds. */
template <typename Body>
static void
WithSnapshot(Body body)
{
	PushActiveSnapshot(GetTransactionSnapshot());
	body();
	PopActiveSnapshot();
}

/* --- pauses --------------------------------------------------------------------------------------------- */

static int32 pause_queue = 0;
static PauseNote pause_note = {};

static void
StoreOnePause()
{
	WithSnapshot(
		[]()
		{
			StorePause(pause_queue, pause_note);
			/* memory forgets the end of a pause once it is stored, and what it kept from running was not missed */
			if (!pause_note.paused)
				PassOverPause(pause_queue, pause_note.at);
		});
}

static bool
StorePauses()
{
	for (int i = 0; i < kMostPauses && NextDirtyPause(MyDatabaseId, &pause_queue, &pause_note); i++)
	{
		if (!RunVisitStep(StoreOnePause))
			return false;
		PauseStored(MyDatabaseId, pause_queue, pause_note); /* tells pause(), too */
	}
	return true;
}

/* --- limits of roles -------------------------------------------------------------------------------------- */

/* Collects the roles that have settings of their own for all databases. Returns how many, kRoleLimits at most. */
static int
CollectRoles(RoleLimit *limits)
{
	Relation relation = table_open(DbRoleSettingRelationId, AccessShareLock);
	ScanKeyData key;
	int count = 0;

	ScanKeyInit(&key, Anum_pg_db_role_setting_setdatabase, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(InvalidOid));

	SysScanDesc scan =
		systable_beginscan(relation, DbRoleSettingDatidRolidIndexId, true, nullptr, 1, &key);

	for (HeapTuple tuple = systable_getnext(scan); HeapTupleIsValid(tuple) && count < kRoleLimits;
		 tuple = systable_getnext(scan))
	{
		const Oid role = reinterpret_cast<Form_pg_db_role_setting>(GETSTRUCT(tuple))->setrole;

		if (!OidIsValid(role))
			continue;

		const int workers = settings::WorkerLimitOfRole(role);

		if (workers > 0)
			limits[count++] = {role, workers};
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return count;
}

static void
ReadRoleLimits()
{
	/* before the look: a change that comes now leads to another one */
	const uint64 changes = pg_atomic_read_u64(&pool->setting_changes);
	auto *limits = static_cast<RoleLimit *>(palloc(sizeof(RoleLimit) * kRoleLimits));
	const int count = CollectRoles(limits);

	std::sort(limits, limits + count,
			  [](const RoleLimit &a, const RoleLimit &b) { return a.role < b.role; });

	LockScope lock(PoolLock());

	SetRoleLimits(limits, count, changes);
}

static bool
RefreshRoleLimits()
{
	bool known = false;

	{
		LockScope lock(PoolLock(), LW_SHARED);

		known = RoleLimitsAreOf(pg_atomic_read_u64(&pool->setting_changes));
	}
	return known || RunVisitStep(ReadRoleLimits);
}

/* --- roles that cannot start ------------------------------------------------------------------------------ */

static Oid failed_role = InvalidOid;
static BriefError start_error = {};
static bool is_mended = false;
static int tasks_failed = 0;
static int64 due_schedules[kRowsAStep] = {};
static int due_count = 0;
static int64 due_schedule = 0;

/* Is it a reason that MayRunIn knows, and could have passed since? */
static bool
IsAboutAuthority(int sqlstate)
{
	return ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION ||
		   sqlstate == ERRCODE_INSUFFICIENT_PRIVILEGE ||
		   sqlstate == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
}

static void
SeeIfMended()
{
	BriefError why = {};

	is_mended = IsAboutAuthority(start_error.sqlstate) && MayRunIn(MyDatabaseId, failed_role, &why);
}

/* Those of the role that wait for a worker to fire them. What does not fit is for another visit. */
static void
CollectDueSchedules()
{
	SeeIfMended();

	Relation relation = is_mended ? nullptr : TryOpenTable(Table::kSchedule, AccessShareLock);

	if (relation == nullptr)
		return;

	const TimestampTz now = GetCurrentTimestamp();
	RowScan scan = BeginTableScan(relation);
	HeapTuple tuple;

	while (due_count < kRowsAStep && (tuple = NextRow(scan)) != nullptr)
	{
		const FormSchedule &form = *ScheduleFormOf(tuple);

		/* as LoadSchedules: after the clock went far back it is due at once */
		if (form.active && form.run_as == failed_role &&
			(form.next_run <= now ||
			 (!TIMESTAMP_IS_NOEND(form.next_run) && form.checked_at > now + USECS_PER_HOUR)) &&
			IsOwnRow(form.installation, form.database))
			due_schedules[due_count++] = form.id;
	}
	EndRowScan(&scan);
	table_close(relation, AccessShareLock);
}

/* The item goes first: what is told of the row from now on, by the firing, too, is newer. */
static void
FireOneSchedule()
{
	ArmRescan();
	(void) RemoveItem(ItemKind::kSchedule, MyDatabaseId, due_schedule);
	WithSnapshot([]() { FireSchedule(due_schedule); });
}

/*
 * Makes the tasks that nobody else can make, to be failed with the role's other ones. A schedule that fails hinders no
 * others; its item is there again with the next load, and the next start of a worker leads back to it.
 */
static void
FireSchedulesOfRole()
{
	due_count = 0;
	is_mended = false;
	(void) RunVisitStep(CollectDueSchedules);
	for (int i = 0; i < due_count; i++)
	{
		due_schedule = due_schedules[i];
		(void) RunVisitStep(FireOneSchedule);
	}
}

static void
FailRole()
{
	SeeIfMended();
	if (is_mended)
		return;
	WithSnapshot([]() { tasks_failed = FailTasksOfRole(failed_role, start_error); });
}

/* All schedules and tasks of the role that are due. False: a step failed. */
static bool
FailTasksOfOneRole()
{
	FireSchedulesOfRole();
	for (int i = 0; i < kMostFailSteps; i++)
	{
		tasks_failed = 0;
		if (!RunVisitStep(FailRole))
		{
			/* keeps the pair from being tried until the next visit */
			SetStartError(MyDatabaseId, failed_role, start_error);
			return false;
		}
		if (is_mended || tasks_failed < kRowsAStep)
			break;
	}
	if (is_mended)
		WakePair(MyDatabaseId, failed_role);
	return true;
}

static bool
FailTasks()
{
	bool done = true;

	while (done && TakeStartError(MyDatabaseId, &failed_role, &start_error))
		done = FailTasksOfOneRole();
	return done;
}

/* --- rows ------------------------------------------------------------------------------------------------- */

static void
Load()
{
	WP_FAULT("visit.before_load");
	LoadDatabase();
	WP_FAULT("visit.after_load");
}

/* --- services --------------------------------------------------------------------------------------------- */

static bool quarantine_found = false;

static void
StoreQuarantine()
{
	WithSnapshot([]() { quarantine_found = StoreOneQuarantine(); });
}

static bool
StoreQuarantines()
{
	for (int i = 0; i < kMostQuarantines; i++)
	{
		quarantine_found = false;
		if (!RunVisitStep(StoreQuarantine))
			return false;
		if (!quarantine_found)
			return true;
		QuarantineStored();
	}
	return true;
}

/* False: a step failed. */
static bool
TendServiceRows(bool load)
{
	bool done = true;

	if (load && !RunVisitStep(LoadServices))
	{
		/* the mark that led here is taken away by the load of the tasks */
		MarkRescan(MyDatabaseId, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), kLoadAgainMs));
		done = false;
	}
	done = RunVisitStep(ForgetUnconnectedCrashes) && done;
	done = RunVisitStep(CountUnconnectedStart) && done;
	done = RunVisitStep(LoadServiceConfigs) && done;
	done = StoreQuarantines() && done;
	return done;
}

/*
 * A load may be cancelled by what is replayed meanwhile, and nobody else comes: so it is tried again at once. On a
 * standby the ready queue sends no visits.
 */
void
TendRowsInRecovery()
{
	for (int i = 0; i < kMostLoads; i++)
		if (RunVisitStep(LoadServices))
			break;
	(void) RunVisitStep(LoadServiceConfigs);
}

/* --- history ---------------------------------------------------------------------------------------------- */

static TimestampTz purge_again = DT_NOEND;

static void
PurgeSome()
{
	WithSnapshot([]() { purge_again = PurgeHistory(kRowsAStep); });
}

static bool
Purge()
{
	for (int i = 0; i < kMostPurgeSteps; i++)
	{
		if (!RunVisitStep(PurgeSome))
		{
			SetPurgeAt(MyDatabaseId, GetCurrentTimestamp() + USECS_PER_MINUTE);
			return false;
		}
		if (purge_again > GetCurrentTimestamp() + kSoonUs)
			break;
	}
	SetPurgeAt(MyDatabaseId, purge_again);

	LockScope lock(PoolLock());
	DatabaseEntry *entry = FindDatabase(MyDatabaseId);

	/* nothing is there that becomes too old: the launcher sets a time when tasks have run again */
	if (entry != nullptr)
		entry->purge_open = purge_again == DT_NOEND;
	return true;
}

void
TendRows(bool whole)
{
	bool done = StorePauses();

	done = RefreshRoleLimits() && done;
	done = FailTasks() && done;

	const uint32 reasons = LookReasons(MyDatabaseId, GetCurrentTimestamp());

	if (whole || (reasons & (kLookRescan | kLookRefill)) != 0)
	{
		done = RunVisitStep(Load) && done;
		WakeLauncher(); /* workers can start while the rest is done */
	}
	done = TendServiceRows(whole || (reasons & kLookRescan) != 0) && done;
	if (whole || (reasons & kLookPurge) != 0)
		done = Purge() && done;
	NoteLook(MyDatabaseId, !done);
}

} // namespace worker_pool
