/*
 * settings.cpp
 *	  Defines every setting of worker_pool. Runs in _PG_init while shared_preload_libraries is processed.
 *
 * Units are in the variables' names; the same defaults and contexts stand in docs/reference.md, and a test
 * compares the two.
 */
#include "config/settings.hpp"

#include "pg/fault.hpp"

namespace worker_pool::settings
{

int max_workers = 4;
int max_databases = 1024;
int max_queued_commands = 1024;
int keep_outcomes = 256;
int shared_memory_kb = 16 * 1024;

bool enabled = true;
int reserved_workers = 1;
int max_workers_per_database = 0;
bool allow_cross_database = false;
int idle_timeout_ms = 60 * 1000;
int start_timeout_ms = 30 * 1000;
int fairness_interval_ms = 1000;
int default_timeout_ms = 0;
int max_result_size_kb = 1024 * 1024;
int restart_backoff_initial_ms = 1000;
int restart_backoff_max_ms = 5 * 60 * 1000;
int restart_backoff_reset_ms = 60 * 1000;

char *timezone = nullptr;
int missed_grace_s = 3600;
int history_mode = kHistoryAll;
int history_retention_s = SECS_PER_DAY;
int history_retention_failed_s = 7 * SECS_PER_DAY;
bool notify = false;

int max_workers_per_role = 0;
int max_tasks_per_role = 0;

static const config_enum_entry kHistoryModes[] = {
	{"all", kHistoryAll, false},
	{"errors", kHistoryErrors, false},
	{"off", kHistoryOff, false},
	{nullptr, 0, false},
};

static void
DefineSizes()
{
	DefineCustomIntVariable("worker_pool.max_workers", "Number of worker slots of the pool.",
							"Each slot needs one of max_worker_processes.", &max_workers, 4, 1,
							4096, PGC_POSTMASTER, 0, nullptr, nullptr, nullptr);
	DefineCustomIntVariable(
		"worker_pool.max_databases", "Number of databases that the pool keeps an entry for.",
		nullptr, &max_databases, 1024, 1, 1000000, PGC_POSTMASTER, 0, nullptr, nullptr, nullptr);
	DefineCustomIntVariable("worker_pool.max_queued_commands",
							"Number of commands that may wait for a worker.", nullptr,
							&max_queued_commands, 1024, 1, 1000000, PGC_POSTMASTER, 0, nullptr,
							nullptr, nullptr);
	DefineCustomIntVariable("worker_pool.keep_outcomes",
							"Number of finished commands whose outcome waits to be fetched.",
							"When there are more, the oldest are forgotten.", &keep_outcomes, 256,
							1, 1000000, PGC_POSTMASTER, 0, nullptr, nullptr, nullptr);
	DefineCustomIntVariable("worker_pool.shared_memory",
							"Shared memory for texts, arguments, errors and small results.",
							nullptr, &shared_memory_kb, 16 * 1024, 4 * 1024, 1024 * 1024 * 1024,
							PGC_POSTMASTER, GUC_UNIT_KB, nullptr, nullptr, nullptr);
}

static void
DefineLimits()
{
	DefineCustomBoolVariable("worker_pool.enabled", "Whether the pool starts anything.",
							 "When off, new commands are refused, queued ones stay queued, running "
							 "ones end.",
							 &enabled, true, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
	DefineCustomIntVariable("worker_pool.reserved_workers",
							"Number of slots that serve only start_worker, run and query.", nullptr,
							&reserved_workers, 1, 0, 4096, PGC_SIGHUP, 0, nullptr, nullptr,
							nullptr);
	DefineCustomIntVariable("worker_pool.max_workers_per_database",
							"Number of workers that one database may have at a time.",
							"Zero means no limit.", &max_workers_per_database, 0, 0, 4096,
							PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
	DefineCustomIntVariable(
		"worker_pool.max_workers_per_role", "Number of workers that one role may have at a time.",
		"Zero means no limit. Takes effect by ALTER ROLE ... SET.", &max_workers_per_role, 0, 0,
		4096, PGC_SUSET, 0, nullptr, nullptr, nullptr);
	DefineCustomBoolVariable("worker_pool.allow_cross_database",
							 "Whether roles that are no superusers may start commands in another "
							 "database.",
							 "A background worker passes no pg_hba.conf.", &allow_cross_database,
							 false, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
	DefineCustomIntVariable("worker_pool.max_result_size",
							"Size that the result of one command may have.", nullptr,
							&max_result_size_kb, 1024 * 1024, 1, INT_MAX, PGC_SIGHUP, GUC_UNIT_KB,
							nullptr, nullptr, nullptr);
}

static void
DefineTimes()
{
	DefineCustomIntVariable("worker_pool.idle_timeout", "Time after which an idle worker leaves.",
							nullptr, &idle_timeout_ms, 60 * 1000, 0, INT_MAX, PGC_SIGHUP,
							GUC_UNIT_MS, nullptr, nullptr, nullptr);
	DefineCustomIntVariable("worker_pool.start_timeout",
							"Time that a worker may take to start before its command fails.",
							nullptr, &start_timeout_ms, 30 * 1000, 100, INT_MAX, PGC_SIGHUP,
							GUC_UNIT_MS, nullptr, nullptr, nullptr);
	DefineCustomIntVariable(
		"worker_pool.fairness_interval",
		"Time after which a busy worker gives way to commands that wait elsewhere.", nullptr,
		&fairness_interval_ms, 1000, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS, nullptr, nullptr,
		nullptr);
	DefineCustomIntVariable("worker_pool.default_timeout",
							"Time that a command may run when its caller gave no timeout.",
							"Zero means no limit.", &default_timeout_ms, 0, 0, INT_MAX, PGC_SIGHUP,
							GUC_UNIT_MS, nullptr, nullptr, nullptr);
}

/* GUC check hook: a time zone of the server, as for its own TimeZone. */
static bool
CheckTimezone(char **value, void **, GucSource)
{
	const pg_tz *const zone = pg_tzset(*value);

	if (zone == nullptr)
		return false;
	if (!pg_tz_acceptable(const_cast<pg_tz *>(zone)))
	{
		GUC_check_errdetail("PostgreSQL does not support leap seconds.");
		return false;
	}
	return true;
}

static void
DefineDurable()
{
	DefineCustomStringVariable("worker_pool.timezone", "Time zone of schedules that name none.",
							   "It is stored with the schedule when that is made.", &timezone,
							   "UTC", PGC_SIGHUP, 0, CheckTimezone, nullptr, nullptr);
	DefineCustomIntVariable("worker_pool.missed_grace",
							"How late a due time of a schedule may still run.",
							"Older ones become skipped in the history.", &missed_grace_s, 3600, 0,
							INT_MAX, PGC_SIGHUP, GUC_UNIT_S, nullptr, nullptr, nullptr);
	DefineCustomEnumVariable("worker_pool.history", "What is kept of finished tasks.",
							 "A task's own history option comes first.", &history_mode, kHistoryAll,
							 kHistoryModes, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
	DefineCustomIntVariable(
		"worker_pool.history_retention", "How long the history of successful tasks is kept.",
		"The last 10 runs of each schedule always stay.", &history_retention_s, SECS_PER_DAY, 0,
		INT_MAX, PGC_SIGHUP, GUC_UNIT_S, nullptr, nullptr, nullptr);
	DefineCustomIntVariable(
		"worker_pool.history_retention_failed", "How long the history of other tasks is kept.",
		"The last 10 runs of each schedule always stay.", &history_retention_failed_s,
		7 * SECS_PER_DAY, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_S, nullptr, nullptr, nullptr);
	DefineCustomBoolVariable("worker_pool.notify",
							 "Whether the end of each task is told by NOTIFY worker_pool.", nullptr,
							 &notify, false, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
	DefineCustomIntVariable("worker_pool.max_tasks_per_role",
							"Number of unfinished tasks that run as one role in one database.",
							"Zero means no limit. Takes effect by ALTER ROLE ... SET.",
							&max_tasks_per_role, 0, 0, INT_MAX, PGC_SUSET, 0, nullptr, nullptr,
							nullptr);
}

static void
DefineServices()
{
	/* a service that fails at once must not keep its slot busy: none of the delays is zero */
	DefineCustomIntVariable("worker_pool.restart_backoff_initial",
							"Time that a service waits after its first failure.",
							"It doubles with each further failure, up to "
							"worker_pool.restart_backoff_max.",
							&restart_backoff_initial_ms, 1000, 1, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS,
							nullptr, nullptr, nullptr);
	DefineCustomIntVariable("worker_pool.restart_backoff_max",
							"Longest time that a service waits after a failure.",
							"When it is less than worker_pool.restart_backoff_initial, each "
							"failure is followed by this time.",
							&restart_backoff_max_ms, 5 * 60 * 1000, 1, INT_MAX, PGC_SIGHUP,
							GUC_UNIT_MS, nullptr, nullptr, nullptr);
	DefineCustomIntVariable("worker_pool.restart_backoff_reset",
							"Time without a failure after which a service counts as healthy.",
							"Its next failure is followed by worker_pool.restart_backoff_initial "
							"again.",
							&restart_backoff_reset_ms, 60 * 1000, 1, INT_MAX, PGC_SIGHUP,
							GUC_UNIT_MS, nullptr, nullptr, nullptr);
}

void
DefineSettings()
{
	DefineSizes();
	DefineLimits();
	DefineTimes();
	DefineDurable();
	DefineServices();
#ifdef WORKER_POOL_FAULTS
	DefineCustomStringVariable("worker_pool.fault", "Fault points of a test build.", nullptr,
							   &fault_setting, "", PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
#endif
	compat::ReserveSettingPrefix("worker_pool");
}

/* The number after "name=" in one element of setconfig, or -1 when the element is another setting. */
static int
LimitInItem(const char *item, std::string_view prefix)
{
	if (pg_strncasecmp(item, prefix.data(), prefix.size()) != 0)
		return -1;
	return std::max(0, atoi(item + prefix.size()));
}

/* What ALTER ROLE ... SET says of the setting `prefix` ("name="); 0 = nothing. */
static int
LimitOfRole(Oid role, std::string_view prefix)
{
	ScanKeyData keys[2];
	int limit = 0;
	Relation relation = table_open(DbRoleSettingRelationId, AccessShareLock);

	ScanKeyInit(&keys[0], Anum_pg_db_role_setting_setdatabase, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(InvalidOid));
	ScanKeyInit(&keys[1], Anum_pg_db_role_setting_setrole, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(role));
	SysScanDesc scan =
		systable_beginscan(relation, DbRoleSettingDatidRolidIndexId, true, nullptr, 2, keys);

	for (HeapTuple tuple = systable_getnext(scan); HeapTupleIsValid(tuple);
		 tuple = systable_getnext(scan))
	{
		bool is_null = false;
		const Datum config = heap_getattr(tuple, Anum_pg_db_role_setting_setconfig,
										  RelationGetDescr(relation), &is_null);
		Datum *items = nullptr;
		int count = 0;

		if (is_null)
			continue;
		deconstruct_array(DatumGetArrayTypeP(config), TEXTOID, -1, false, TYPALIGN_INT, &items,
						  nullptr, &count);
		for (int i = 0; i < count; i++)
			limit = std::max(limit, LimitInItem(TextDatumGetCString(items[i]), prefix));
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return limit;
}

int
WorkerLimitOfRole(Oid role)
{
	return LimitOfRole(role, "worker_pool.max_workers_per_role=");
}

int
TaskLimitOfRole(Oid role)
{
	return LimitOfRole(role, "worker_pool.max_tasks_per_role=");
}

} // namespace worker_pool::settings
