/*
 * entry_points.c
 *	  The probe's entry points in C. Each reads the service's config, a flat json object; what it writes into
 *	  probe_events stands in brackets, defaults in braces.
 *
 * Cycles
 *		count_rows			{"table": "pg_class"}: [count] the number of its rows
 *		public_count		the same, for any role
 *		config				[config] the config
 *		error				[error], which is to be rolled back, and an ERROR 22012. "times": N: only the first N cycles of the
 *							process, later ones write [recovered]
 *		fatal				a FATAL
 *		exit0, exit1		proc_exit(0), proc_exit(1)
 *		exit3				exit(3) of the C library
 *		segv				SIGSEGV, which brings the server down. "times": N, "file": path: only while that file, to
 *							which each start adds a line, had fewer than N; later ones write [survived]
 *		hang				{"seconds": 5}: [hang], and is busy without checking for interrupts
 *		slow				{"seconds": 5}: sleeps; [slow] at its end, or [stopped] when it is to stop
 *		deaf				{"seconds": 60}: interruptible, but catches every ERROR in a subtransaction and goes on
 *		oom					allocates until 53200: its address space is limited to 64 MB more than it has
 *		stack				recurses until 54001
 *		own_transactions	two transactions, [own 1] and [own 2]; "fail": true: an ERROR between them
 *		open_transaction	leaves a transaction open, against the rules
 *		progress			{"seconds": 3}: report_progress(0.5, 'half way'), and sleeps
 *		wait_command		{"command": "select 1"}: start_worker and wait: [state]
 *		unconnected			without a database. "conninfo", {"text": "x"}: [unconnected] the text, over there, by libpq
 *
 * Resident mains
 *		resident			{"seconds": 1}: each time [round] the config, cycle_done, sleep; [reload] when woken for that;
 *							[stopped] at the end. "fail_after": N: an ERROR in round N; "exit_after": N: proc_exit(1)
 *		returning			[returned], and returns
 *		hang_main			{"seconds": 20}: busy without checking for interrupts, hears nothing, then returns
 *		unconnected_main	as unconnected, each {"seconds": 1}
 */
#include "postgres.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "libpq-fe.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "probe.h"

/* --- config ------------------------------------------------------------------------------------------------------ */

/* A value of the config as text; `otherwise` where it has none of that name. */
static const char *
setting(const char *key, const char *otherwise)
{
	LOCAL_FCINFO(fcinfo, 2);
	Datum value;

	InitFunctionCallInfoData(*fcinfo, NULL, 2, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = DirectFunctionCall1(jsonb_in, CStringGetDatum(probe_api()->config()));
	fcinfo->args[0].isnull = false;
	fcinfo->args[1].value = CStringGetTextDatum(key);
	fcinfo->args[1].isnull = false;
	value = jsonb_object_field_text(fcinfo);
	return fcinfo->isnull ? otherwise : TextDatumGetCString(value);
}

static double
number(const char *key, double otherwise)
{
	const char *text = setting(key, NULL);

	return text == NULL ? otherwise : strtod(text, NULL);
}

static TimestampTz
after_seconds(double otherwise)
{
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
									   (int64) (number("seconds", otherwise) * 1000));
}

static bool
is_over(TimestampTz until)
{
	return GetCurrentTimestamp() >= until;
}

/* Is busy, and hears nothing. */
static void
hang_until(TimestampTz until)
{
	while (!is_over(until))
		pg_usleep(10000);
}

/* --- transactions of their own ------------------------------------------------------------------------------------- */

static void
begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
}

static void
commit(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
}

static void
note_alone(const char *what, const char *detail)
{
	MemoryContext caller = CurrentMemoryContext;

	begin();
	probe_note(what, detail);
	commit();
	MemoryContextSwitchTo(caller);
}

/* --- cycles ---------------------------------------------------------------------------------------------------------- */

static void
count_rows(void)
{
	const char *table = setting("table", "pg_class");
	char *count;

	SPI_connect();
	SPI_execute(psprintf("SELECT count(*) FROM %s", table), true, 1);
	count = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	probe_note("count", count);
	SPI_finish();
}

static void
write_config(void)
{
	probe_note("config", probe_api()->config());
}

static void
fail(void)
{
	ereport(ERROR, (errcode(ERRCODE_DIVISION_BY_ZERO), errmsg("probe error"),
					errdetail("It was asked for."), errhint("Do not ask for it.")));
}

static void
error_cycle(void)
{
	static int cycles = 0;

	if (++cycles > number("times", INT_MAX))
	{
		probe_note("recovered", NULL);
		return;
	}
	probe_note("error", NULL);
	fail();
}

static void
fatal_cycle(void)
{
	ereport(FATAL, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("probe fatal")));
}

static void
exit0_cycle(void)
{
	proc_exit(0);
}

static void
exit1_cycle(void)
{
	proc_exit(1);
}

static void
exit3_cycle(void)
{
	exit(3);
}

/* Adds a line to the file; how many it had. */
static int
count_start(const char *path)
{
	FILE *file = AllocateFile(path, "a+");
	int lines = 0;
	int c;

	if (file == NULL)
		elog(ERROR, "could not open \"%s\": %m", path);
	rewind(file);
	while ((c = fgetc(file)) != EOF)
		lines += c == '\n';
	fputs("start\n", file);
	FreeFile(file);
	return lines;
}

static void
segv_cycle(void)
{
	const char *path = setting("file", NULL);

	if (path != NULL && count_start(path) >= number("times", INT_MAX))
	{
		probe_note("survived", NULL);
		return;
	}
	raise(SIGSEGV);
}

static void
hang_cycle(void)
{
	probe_note("hang", NULL);
	hang_until(after_seconds(5));
}

static void
slow_cycle(void)
{
	const WorkerPoolApi *api = probe_api();
	TimestampTz until = after_seconds(5);

	while (!is_over(until) && !api->should_stop())
		api->sleep(TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until));
	probe_note(is_over(until) ? "slow" : "stopped", NULL);
}

/* Waits for an interrupt and lets nothing come of it. */
static void
swallow_interrupt(TimestampTz until)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		while (!is_over(until))
		{
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 100,
							 PG_WAIT_EXTENSION);
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
		}
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
}

static void
deaf_cycle(void)
{
	TimestampTz until = after_seconds(60);

	while (!is_over(until))
		swallow_interrupt(until);
	probe_note("deaf", NULL);
}

/* The address space of this process, in bytes. */
static rlim_t
address_space(void)
{
	FILE *file = AllocateFile("/proc/self/statm", "r");
	unsigned long pages = 0;

	if (file == NULL || fscanf(file, "%lu", &pages) != 1)
		elog(ERROR, "could not read /proc/self/statm: %m");
	FreeFile(file);
	return (rlim_t) pages * (rlim_t) sysconf(_SC_PAGESIZE);
}

static void
oom_cycle(void)
{
	struct rlimit before;
	struct rlimit limit;

	getrlimit(RLIMIT_AS, &before);
	limit = before;
	limit.rlim_cur = address_space() + 64 * 1024 * 1024;
	PG_TRY();
	{
		setrlimit(RLIMIT_AS, &limit);
		for (;;)
			(void) palloc(1024 * 1024);
	}
	PG_FINALLY();
	{
		setrlimit(RLIMIT_AS, &before);
	}
	PG_END_TRY();
}

static int
recurse(volatile int *depth)
{
	volatile char frame[1024];

	if (*depth < 0)
		return 0;
	check_stack_depth();
	frame[0] = (char) *depth;
	*depth += 1;
	return recurse(depth) + frame[0];
}

static void
stack_cycle(void)
{
	volatile int depth = 0;

	elog(LOG, "a depth of %d", recurse(&depth));
}

static void
own_transactions(void)
{
	bool fails = strcmp(setting("fail", "false"), "true") == 0;

	note_alone("own 1", NULL);
	if (fails)
		fail();
	note_alone("own 2", NULL);
}

static void
open_transaction(void)
{
	begin();
	probe_note("open", NULL);
}

static void
progress_cycle(void)
{
	const WorkerPoolApi *api = probe_api();
	TimestampTz until = after_seconds(3);

	api->report_progress(0.5, "half way");
	while (!is_over(until) && !api->should_stop())
		api->sleep(TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until));
	probe_note("progress", NULL);
}

static void
wait_command(void)
{
	const WorkerPoolApi *api = probe_api();
	WorkerPoolCommand command;
	int64_t id;

	WORKER_POOL_INIT(command);
	command.command = setting("command", "select 1");
	id = api->start_worker(&command);
	probe_note("state", api->wait(WORKER_POOL_COMMAND, id, -1));
}

/* --- without a database ---------------------------------------------------------------------------------------------- */

static void
check_result(PGconn *conn, bool good)
{
	char *message;

	if (good)
		return;
	message = pstrdup(PQerrorMessage(conn));
	PQfinish(conn);
	ereport(ERROR, (errcode(ERRCODE_CONNECTION_FAILURE), errmsg("probe: %s", message)));
}

static void
insert_there(void)
{
	const char *values[3];
	char pid[16];
	PGconn *conn;
	PGresult *result;

	snprintf(pid, sizeof(pid), "%d", MyProcPid);
	values[0] = probe_api()->service_name();
	values[1] = setting("text", "x");
	values[2] = pid;
	conn = PQconnectdb(setting("conninfo", ""));
	check_result(conn, PQstatus(conn) == CONNECTION_OK);
	result = PQexecParams(conn,
						  "INSERT INTO public.probe_events (service, what, detail, pid) "
						  "VALUES ($1, 'unconnected', $2, $3::int)",
						  3, NULL, values, NULL, NULL, 0);
	check_result(conn, PQresultStatus(result) == PGRES_COMMAND_OK);
	PQclear(result);
	PQfinish(conn);
}

/* --- resident mains ---------------------------------------------------------------------------------------------------- */

/* A round may leave what it likes in memory: it goes with the context, which is current afterwards. */
static MemoryContext
round_context(void)
{
	return AllocSetContextCreate(CurrentMemoryContext, "probe round", ALLOCSET_DEFAULT_SIZES);
}

static void
resident_round(int round)
{
	int fail_after = (int) number("fail_after", INT_MAX);
	int exit_after = (int) number("exit_after", INT_MAX);

	note_alone("round", probe_api()->config());
	if (round >= fail_after)
		fail();
	if (round >= exit_after)
		proc_exit(1);
}

static void
resident_main(void)
{
	const WorkerPoolApi *api = probe_api();
	MemoryContext context = round_context();
	int round = 0;

	MemoryContextSwitchTo(context);
	while (!api->should_stop())
	{
		uint32_t woken;

		resident_round(++round);
		api->cycle_done();
		woken = api->sleep((int64_t) (number("seconds", 1) * 1000));
		if ((woken & WORKER_POOL_WAKE_RELOAD) != 0)
			note_alone("reload", NULL);
		MemoryContextReset(context);
	}
	note_alone("stopped", NULL);
}

static void
returning_main(void)
{
	note_alone("returned", NULL);
}

static void
hang_main(void)
{
	hang_until(after_seconds(20));
}

static void
unconnected_main(void)
{
	const WorkerPoolApi *api = probe_api();
	MemoryContext context = round_context();

	MemoryContextSwitchTo(context);
	while (!api->should_stop())
	{
		insert_there();
		api->cycle_done();
		api->sleep((int64_t) (number("seconds", 1) * 1000));
		MemoryContextReset(context);
	}
}

/* --- all of them ------------------------------------------------------------------------------------------------------- */

#define CYCLE(name, flags, function)                                                               \
	{                                                                                              \
		sizeof(WorkerPoolService), name, flags, function, NULL                                     \
	}
#define MAIN(name, flags, function)                                                                \
	{                                                                                              \
		sizeof(WorkerPoolService), name, flags, NULL, function                                     \
	}

static const WorkerPoolService services[] = {
	CYCLE("count_rows", 0, count_rows),
	CYCLE("public_count", WORKER_POOL_PUBLIC, count_rows),
	CYCLE("config", 0, write_config),
	CYCLE("error", 0, error_cycle),
	CYCLE("fatal", 0, fatal_cycle),
	CYCLE("exit0", 0, exit0_cycle),
	CYCLE("exit1", 0, exit1_cycle),
	CYCLE("exit3", 0, exit3_cycle),
	CYCLE("segv", 0, segv_cycle),
	CYCLE("hang", 0, hang_cycle),
	CYCLE("slow", 0, slow_cycle),
	CYCLE("deaf", 0, deaf_cycle),
	CYCLE("oom", 0, oom_cycle),
	CYCLE("stack", 0, stack_cycle),
	CYCLE("own_transactions", WORKER_POOL_OWN_TRANSACTIONS, own_transactions),
	CYCLE("open_transaction", WORKER_POOL_OWN_TRANSACTIONS, open_transaction),
	CYCLE("progress", 0, progress_cycle),
	CYCLE("wait_command", 0, wait_command),
	CYCLE("unconnected", WORKER_POOL_NO_DATABASE, insert_there),
	MAIN("resident", 0, resident_main),
	MAIN("returning", 0, returning_main),
	MAIN("hang_main", 0, hang_main),
	MAIN("unconnected_main", WORKER_POOL_NO_DATABASE, unconnected_main),
};

void
register_entry_points(const WorkerPoolApi *api)
{
	size_t i;

	for (i = 0; i < lengthof(services); i++)
		api->register_service(&services[i]);
}
