/*
 * pg_cron_import.cpp
 *	  import_pg_cron: the jobs of pg_cron become schedules. Runs in the session that calls it.
 *
 * cron.job is read as the caller, under pg_cron's own row security: who is no superuser sees his own jobs. The
 * table must belong to the extension pg_cron, because a superuser will read it and anybody may make a schema
 * named cron.
 *
 * Each job is dealt with in a subtransaction of its own: the schedule is made, the job deactivated. Whatever
 * fails (a role that the caller is no member of, a schedule that never comes, no right on cron.alter_job) rolls
 * that job back and becomes the row's note. A dry run does all of it, too, and always rolls back, so it says
 * what the real one would say. The caller's transaction carries the rest: until it commits, pg_cron runs its
 * jobs and worker_pool does not; after, the other way round.
 *
 * What a job means stays: the schedule in pg_cron's time zone; one run at a time, others wait (overlap => queue;
 * for pg_cron's rates skip); nothing is made up for and nothing retried; a single CALL or DO runs as a top-level
 * statement, so it may commit; several statements are one transaction, as in a simple query.
 */
#include "feature/schedules.hpp"

#include "catalog/queue_row.hpp"
#include "feature/statement_kind.hpp"
#include "feature/task_authority.hpp"
#include "pg/guard.hpp"
#include "sqlfn/rows.hpp"
#include "sqlfn/syntax.hpp"
#include "sqlfn/verb_arguments.hpp"

extern "C"
{
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
}

namespace worker_pool
{

static constexpr char kPgCron[] = "pg_cron";
static constexpr char kPgCronDefaultZone[] = "GMT";

struct CronJob
{
	int64 id;
	const char *name; /* nullptr: none */
	const char *schedule;
	const char *command;
	const char *host;
	const char *database;
	const char *username;
	bool active;
};

/* What is said of a job. */
struct CronReport
{
	const char *name;
	const char *action;
	const char *note;
};

/* What is the same for all jobs of a call. */
struct CronImport
{
	bool dry_run;
	Oid table;
	const char *timezone;
	const char *database;
	List
		*names; /* taken by earlier jobs of this call: a dry run does not leave them in the table */
};

/* --- pg_cron --------------------------------------------------------------------------------------------- */

/* 42501 unless it is as pg_cron makes it: its owner could put whatever he likes in place of the jobs. */
static void
CheckJobTable(Oid table)
{
	const HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", table);

	const FormData_pg_class form = *reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple));

	ReleaseSysCache(tuple);
	if (form.relkind != RELKIND_RELATION)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("the jobs of pg_cron cannot be imported"),
						errdetail("cron.job is not a table.")));
	if (!superuser_arg(form.relowner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("the jobs of pg_cron cannot be imported"),
				 errdetail("The owner of table cron.job, \"%s\", is not a superuser.",
						   GetUserNameFromId(form.relowner, false))));
}

/* Where its jobs are to be found. */
static void
HintAtHome(const char *here)
{
	const char *const home = GetConfigOption("cron.database_name", true, false);

	if (home == nullptr || *home == '\0')
		errhint("Its jobs stand in one database, which cron.database_name names: call "
				"import_pg_cron() there.");
	else if (strcmp(home, here) == 0)
		errhint(
			"cron.database_name names this database: CREATE EXTENSION pg_cron makes it hold the "
			"jobs.");
	else
		errhint("Its jobs stand in database \"%s\" (cron.database_name): call import_pg_cron() "
				"there.",
				home);
}

/* The OID of pg_cron's own cron.job. 42P01 where this is not pg_cron's database; 42501: not to be trusted. */
static Oid
FindJobTable()
{
	const Oid extension = get_extension_oid(kPgCron, true);
	const Oid schema = get_namespace_oid("cron", true);
	const Oid table = OidIsValid(schema) ? get_relname_relid("job", schema) : InvalidOid;

	if (OidIsValid(extension) && OidIsValid(table) &&
		getExtensionOfObject(RelationRelationId, table) == extension)
	{
		CheckJobTable(table);
		return table;
	}

	const char *const here = get_database_name(MyDatabaseId);

	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
					errmsg("pg_cron is not installed in database \"%s\"", here), HintAtHome(here)));
	return InvalidOid;
}

/* A column as text into the context; nullptr when null. */
static const char *
CopyColumn(HeapTuple tuple, int column, MemoryContext context)
{
	const char *const value = SPI_getvalue(tuple, SPI_tuptable->tupdesc, column);

	return value == nullptr ? nullptr : MemoryContextStrdup(context, value);
}

static CronJob *
CopyJob(HeapTuple tuple, MemoryContext context)
{
	auto *const job = static_cast<CronJob *>(MemoryContextAllocZero(context, sizeof(CronJob)));
	bool is_null = false;

	job->id = DatumGetInt64(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1, &is_null));
	job->name = CopyColumn(tuple, 2, context);
	job->schedule = CopyColumn(tuple, 3, context);
	job->command = CopyColumn(tuple, 4, context);
	job->host = CopyColumn(tuple, 5, context);
	job->database = CopyColumn(tuple, 6, context);
	job->username = CopyColumn(tuple, 7, context);
	job->active = DatumGetBool(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 8, &is_null));
	return job;
}

/* All jobs that the caller may see, by id. Names came with pg_cron 1.3, `active` with 1.2. */
static List *
ReadJobs(const CronImport &import)
{
	MemoryContext const context = CurrentMemoryContext;
	const char *const name =
		get_attnum(import.table, "jobname") != InvalidAttrNumber ? "j.jobname" : "NULL";
	const char *const active =
		get_attnum(import.table, "active") != InvalidAttrNumber ? "j.active" : "true";
	List *jobs = NIL;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");

	const char *const query = psprintf(
		"SELECT j.jobid::pg_catalog.int8, %s::pg_catalog.text, j.schedule::pg_catalog.text, "
		"j.command::pg_catalog.text, j.nodename::pg_catalog.text, j.database::pg_catalog.text, "
		"j.username::pg_catalog.text, %s::pg_catalog.bool FROM cron.job AS j ORDER BY j.jobid",
		name, active);

	if (SPI_execute(query, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read cron.job");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		CronJob *const job = CopyJob(SPI_tuptable->vals[i], context);
		MemoryContext const old_context = MemoryContextSwitchTo(context);

		jobs = lappend(jobs, job);
		MemoryContextSwitchTo(old_context);
	}
	(void) SPI_finish();
	return jobs;
}

/* Superusers change the row, which every version of pg_cron notices; others need EXECUTE on cron.alter_job. */
static void
Deactivate(const CronJob &job)
{
	const char *const command =
		superuser() ? "UPDATE cron.job SET active = false WHERE jobid OPERATOR(pg_catalog.=) $1"
					: "SELECT cron.alter_job($1, NULL::pg_catalog.text, NULL::pg_catalog.text, "
					  "NULL::pg_catalog.text, NULL::pg_catalog.text, false)";
	Oid types[1] = {INT8OID};
	Datum values[1] = {Int64GetDatum(job.id)};

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");

	const int result = SPI_execute_with_args(command, 1, types, values, nullptr, false, 0);

	if (result < 0 || SPI_processed != 1)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("job " INT64_FORMAT " of pg_cron could not be deactivated", job.id)));
	(void) SPI_finish();
}

/* --- what a job means -------------------------------------------------------------------------------------- */

/* A single CALL or DO, which may commit where it runs as a top-level statement. */
static bool
MayCommit(const char *command)
{
	List *const statements = compat::RawParse(command);

	if (list_length(statements) != 1)
		return false;

	const Node *const statement = linitial_node(RawStmt, statements)->stmt;

	return IsA(statement, CallStmt) || IsA(statement, DoStmt);
}

/* pg_cron sends it as a simple query: what is that among tasks? */
static bool
IsAtomicJob(const char *command)
{
	const char *what = nullptr;

	if (ClassifyCommand(command, &what) == StatementKind::kControl)
		return ResolveAtomic(command, 0);
	return ResolveAtomic(command, MayCommit(command) ? 0 : -1);
}

/* Does pg_cron connect to this server for it? */
static bool
IsLocalHost(const char *host)
{
	const char *const setting = GetConfigOption("cron.host", true, false);

	for (const char *local : {"", "localhost", "127.0.0.1", "::1"})
		if (strcmp(host, local) == 0)
			return true;
	return *host == '/' || (setting != nullptr && strcmp(host, setting) == 0);
}

/* What of it does not depend on this database. Raises what the checks of schedule() raise. */
static ScheduleDefinition
DefinitionOf(const CronImport &import, const CronJob &job, const char *name)
{
	const ScheduleSpec spec = RequireSchedule(job.schedule);
	ScheduleDefinition definition = {};
	Request request = {};

	request.text = job.command;
	CheckSyntax(request);
	definition.name = name;
	definition.schedule = job.schedule;
	definition.timezone = import.timezone;
	definition.command = job.command;
	definition.args = PointerGetDatum(construct_empty_array(TEXTOID));
	definition.settings = DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"));
	definition.queue = kDefaultQueue;
	definition.queue_id = kDefaultQueueId;
	definition.retry_delay_ms = 5000;
	definition.max_attempts = 1;
	definition.active = job.active;
	definition.atomic = IsAtomicJob(job.command);
	definition.overlap = spec.kind == ScheduleKind::kRate ? 's' : 'q';
	definition.missed = 's';
	return definition;
}

static const char *
Literal(const char *text)
{
	return quote_literal_cstr(text);
}

/* The statements that move a job of another database. */
static const char *
StatementFor(const ScheduleDefinition &definition, const CronJob &job)
{
	return psprintf(
		"In database %s: select worker_pool.schedule(name => %s, schedule => %s, command => %s, "
		"timezone => %s, active => %s, overlap => '%s', missed => 'skip', max_attempts => 1, "
		"timeout => '0', run_as => %s, atomic => %s); then here: select "
		"cron.alter_job(" INT64_FORMAT ", active => false);",
		quote_identifier(job.database), Literal(definition.name), Literal(definition.schedule),
		Literal(definition.command), Literal(definition.timezone),
		definition.active ? "true" : "false", definition.overlap == 's' ? "skip" : "queue",
		Literal(job.username), definition.atomic ? "true" : "false", job.id);
}

static const char *
NoteOf(const ScheduleDefinition &definition)
{
	return psprintf("time zone %s%s", definition.timezone,
					definition.atomic
						? ""
						: "; runs as a top-level statement (atomic => false): should its process "
						  "die, whether it took effect is unknown");
}

/* --- one job ----------------------------------------------------------------------------------------------- */

static bool
IsTaken(const CronImport &import, const char *name)
{
	ListCell *cell = nullptr;

	foreach(cell, import.names)
		if (strcmp(static_cast<const char *>(lfirst(cell)), name) == 0)
			return true;
	return false;
}

/*
 * The name for the job: its own, or pg_cron_<id>; where another job or schedule has that (pg_cron's names are
 * unique per user), with the id behind it. *imported: the schedule of that name is this job. nullptr: none is
 * free.
 */
static const char *
NameFor(const CronImport &import, const CronJob &job, Oid role, bool *imported)
{
	const char *const own = job.name != nullptr && *job.name != '\0'
								? job.name
								: psprintf("%s_" INT64_FORMAT, kPgCron, job.id);
	const char *const candidates[] = {own, psprintf("%s_" INT64_FORMAT, own, job.id)};

	for (const char *name : candidates)
	{
		ScheduleDefinition there = {};

		*imported = false;
		if (strlen(name) >= NAMEDATALEN || IsTaken(import, name))
			continue;
		if (!FindSchedule(name, &there))
			return name;
		*imported = there.run_as == role && strcmp(there.command, job.command) == 0;
		if (*imported)
			return name;
	}
	return nullptr;
}

/* Inside the job's subtransaction. Fills the report; raises for what makes the job stay where it is. */
static void
ImportHere(const CronImport &import, const CronJob &job, CronReport *report)
{
	const Oid role = ResolveRole(job.username);
	bool imported = false;

	CheckMayStart(MyDatabaseId, role);
	report->name = NameFor(import, job, role, &imported);
	if (report->name == nullptr)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT), errmsg("there is a schedule of that name already")));
	if (imported)
	{
		report->action = "already imported";
		if (job.active)
		{
			Deactivate(job);
			report->note = import.dry_run ? "the job is still active and would be deactivated"
										  : "the job was still active and has been deactivated";
		}
		return;
	}

	ScheduleDefinition definition = DefinitionOf(import, job, report->name);

	definition.owner = role;
	definition.run_as = role;
	(void) DefineSchedule(definition);
	if (job.active)
		Deactivate(job);
	report->action = import.dry_run ? "import" : "imported";
	report->note = NoteOf(definition);
}

static void
ImportJob(const CronImport &import, const CronJob &job, CronReport *report)
{
	if (!IsLocalHost(job.host))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("the job runs on another server, \"%s\"", job.host)));
	if (strcmp(job.database, import.database) == 0)
	{
		ImportHere(import, job, report);
		return;
	}
	report->name = job.name != nullptr && *job.name != '\0'
					   ? job.name
					   : psprintf("%s_" INT64_FORMAT, kPgCron, job.id);
	report->note = StatementFor(DefinitionOf(import, job, report->name), job);
	report->action = "other database";
}

/* Errors that are not the job's: the call ends with them. */
static bool
EndsCall(const ErrorData *error)
{
	const int category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return category == ERRCODE_TO_CATEGORY(ERRCODE_OPERATOR_INTERVENTION) ||
		   category == ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES) ||
		   category == ERRCODE_TO_CATEGORY(ERRCODE_INTERNAL_ERROR) ||
		   category == ERRCODE_TO_CATEGORY(ERRCODE_TRANSACTION_ROLLBACK);
}

/* Deals with a job in a subtransaction, as plpgsql does with a block that has exception handlers. */
static void
TryJob(const CronImport &import, const CronJob &job, CronReport *report)
{
	MemoryContext const context = CurrentMemoryContext;
	ResourceOwner const owner = CurrentResourceOwner;

	BeginInternalSubTransaction(nullptr);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		ImportJob(import, job, report);
		if (import.dry_run)
			RollbackAndReleaseCurrentSubTransaction();
		else
			ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);

		ErrorData *const error = CopyErrorData();

		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (EndsCall(error))
			ReThrowError(error);
		report->action = "not imported";
		report->note = error->detail == nullptr ? error->message
												: psprintf("%s: %s", error->message, error->detail);
	}
	PG_END_TRY();
}

static void
AddReport(RowWriter *row, const CronJob &job, const CronReport &report)
{
	AddBigint(row, job.id);
	AddText(row, report.name);
	AddText(row, job.schedule);
	AddText(row, job.command);
	AddText(row, job.database);
	AddText(row, job.username);
	AddBool(row, job.active);
	AddText(row, report.action);
	AddText(row, report.note);
	EndRow(row);
}

/* pg_cron's zone, as the server spells it. */
static const char *
CronTimeZone()
{
	const char *const setting = GetConfigOption("cron.timezone", true, false);

	return pstrdup(pg_get_timezone_name(
		RequireTimeZone(setting != nullptr && *setting != '\0' ? setting : kPgCronDefaultZone)));
}

} // namespace worker_pool

WP_SQL_FUNCTION(worker_pool_import_pg_cron)
{
	using namespace worker_pool;
	RowWriter row = BeginRows(fcinfo);
	CronImport import = {};
	ListCell *cell = nullptr;

	EnterVerb();
	EnterDurableVerb();
	RefuseReadOnly("import_pg_cron");
	import.dry_run = PG_ARGISNULL(0) || PG_GETARG_BOOL(0);
	import.table = FindJobTable();
	import.timezone = CronTimeZone();
	import.database = get_database_name(MyDatabaseId);
	foreach(cell, ReadJobs(import))
	{
		const CronJob &job = *static_cast<const CronJob *>(lfirst(cell));
		CronReport report = {job.name, nullptr, nullptr};

		TryJob(import, job, &report);
		CHECK_FOR_INTERRUPTS();
		if (report.name != nullptr && report.action != nullptr &&
			strcmp(report.action, "not imported") != 0 &&
			strcmp(report.action, "other database") != 0)
			import.names = lappend(import.names, const_cast<char *>(report.name));
		AddReport(&row, job, report);
	}
	return static_cast<Datum>(0);
}
