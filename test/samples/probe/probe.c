/*
 * probe.c
 *	  SQL functions that call each function of worker_pool's C interface, for its tests. Entry points: entry_points.c, and
 *	  in C++ face.cpp; slots for an own background worker: lease.c.
 *
 * SQL functions, in schema public:
 *
 *		probe_api_present, probe_api_version, probe_api_size
 *		probe_start_worker(command, args, database, run_as, name, timeout_ms, settings, error_when_full, fresh)
 *		probe_enqueue(command, args, queue, priority, delay_ms, max_attempts, retry_delay_ms, timeout_ms, expires_ms, key,
 *			on_conflict, concurrency_key, depends_on, run_as, settings, history, name, atomic)
 *		probe_wait(what, id, timeout_ms), probe_cancel(what, id, grace_ms)		what: command | task
 *		probe_report_progress, probe_should_stop, probe_sleep, probe_config, probe_service_name, probe_cycle_done
 *		probe_register(name, kind)				kind: cycle | main | both | none | flags | size | heap
 *		probe_bad_struct(kind)					kind: null | zero | short | long | longer | array
 *		probe_acquire_slot(name, timeout_ms, seconds, how), probe_take_slot, probe_attach_slot, probe_release_slot
 *		probe_cpp_start_worker(command), probe_cpp_run(throw | bad_alloc | error), probe_destroyed()
 *
 * Entry points (library probe; what they do stands at the head of their file):
 *
 *		count_rows config error fatal exit0 exit1 exit3 segv hang hang_main slow deaf oom stack own_transactions
 *		open_transaction progress public_count wait_command resident returning unconnected unconnected_main
 *		cpp_cycle cpp_throw cpp_bad_alloc cpp_guarded_error cpp_main
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "probe.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	const WorkerPoolApi *api = worker_pool_api();

	if (api == NULL)
		return;
	register_entry_points(api);
	register_face();
}

const WorkerPoolApi *
probe_api(void)
{
	const WorkerPoolApi *api = worker_pool_api();

	if (api == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("no worker_pool")));
	return api;
}

void
probe_note(const char *what, const char *detail)
{
	const WorkerPoolApi *api = probe_api();
	Oid types[4] = {TEXTOID, TEXTOID, TEXTOID, INT4OID};
	char nulls[4] = {' ', ' ', ' ', ' '};
	Datum values[4];

	values[0] = CStringGetTextDatum(api->service_name());
	values[1] = CStringGetTextDatum(what);
	values[2] = detail == NULL ? (Datum) 0 : CStringGetTextDatum(detail);
	nulls[2] = detail == NULL ? 'n' : ' ';
	values[3] = Int32GetDatum(MyProcPid);
	SPI_connect();
	SPI_execute_with_args("INSERT INTO public.probe_events (service, what, detail, pid) "
						  "VALUES ($1, $2, $3, $4)",
						  4, types, values, nulls, false, 0);
	SPI_finish();
}

/* --- arguments ------------------------------------------------------------------------------------------------- */

static char *
text_or_null(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

static int64
bigint_or_zero(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? 0 : PG_GETARG_INT64(n);
}

static const char *const *
texts(FunctionCallInfo fcinfo, int n, int *count)
{
	Datum *values;
	bool *nulls;
	const char **strings;
	int i;

	*count = 0;
	if (PG_ARGISNULL(n))
		return NULL;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(n), TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls,
					  count);
	strings = palloc0(sizeof(char *) * (*count + 1));
	for (i = 0; i < *count; i++)
		strings[i] = nulls[i] ? NULL : TextDatumGetCString(values[i]);
	return strings;
}

static const int64_t *
ids(FunctionCallInfo fcinfo, int n, int *count)
{
	Datum *values;
	bool *nulls;
	int64_t *numbers;
	int i;

	*count = 0;
	if (PG_ARGISNULL(n))
		return NULL;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(n), INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &values, &nulls, count);
	numbers = palloc0(sizeof(int64_t) * (*count + 1));
	for (i = 0; i < *count; i++)
		numbers[i] = DatumGetInt64(values[i]);
	return numbers;
}

static WorkerPoolWork
kind_of_work(FunctionCallInfo fcinfo, int n)
{
	char *word = text_to_cstring(PG_GETARG_TEXT_PP(n));

	if (strcmp(word, "command") == 0)
		return WORKER_POOL_COMMAND;
	return strcmp(word, "task") == 0 ? WORKER_POOL_TASK : (WorkerPoolWork) 99;
}

static Datum
text_result(FunctionCallInfo fcinfo, const char *value)
{
	if (value == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(value));
}

/* --- the interface itself ---------------------------------------------------------------------------------------- */

PG_FUNCTION_INFO_V1(probe_api_present);
Datum
probe_api_present(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(worker_pool_api() != NULL);
}

PG_FUNCTION_INFO_V1(probe_api_version);
Datum
probe_api_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32((int32) probe_api()->version);
}

PG_FUNCTION_INFO_V1(probe_api_size);
Datum
probe_api_size(PG_FUNCTION_ARGS)
{
	const WorkerPoolApi *api = probe_api();

	if (!WORKER_POOL_HAS(api, release_slot))
		elog(ERROR, "the interface is too short");
	PG_RETURN_INT64((int64) api->size);
}

/* --- commands and tasks ------------------------------------------------------------------------------------------ */

PG_FUNCTION_INFO_V1(probe_start_worker);
Datum
probe_start_worker(PG_FUNCTION_ARGS)
{
	WorkerPoolCommand command;

	WORKER_POOL_INIT(command);
	command.command = text_or_null(fcinfo, 0);
	command.args = texts(fcinfo, 1, &command.arg_count);
	command.database = text_or_null(fcinfo, 2);
	command.run_as = text_or_null(fcinfo, 3);
	command.name = text_or_null(fcinfo, 4);
	command.timeout_ms = bigint_or_zero(fcinfo, 5);
	command.settings = text_or_null(fcinfo, 6);
	command.error_when_full = !PG_ARGISNULL(7) && PG_GETARG_BOOL(7);
	command.fresh = !PG_ARGISNULL(8) && PG_GETARG_BOOL(8);
	PG_RETURN_INT64(probe_api()->start_worker(&command));
}

/* Milliseconds from now; 0: none. */
static int64_t
time_from_now(int64 ms)
{
	return ms == 0 ? 0 : TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
}

PG_FUNCTION_INFO_V1(probe_enqueue);
Datum
probe_enqueue(PG_FUNCTION_ARGS)
{
	WorkerPoolTask task;

	WORKER_POOL_INIT(task);
	task.command = text_or_null(fcinfo, 0);
	task.args = texts(fcinfo, 1, &task.arg_count);
	task.queue = text_or_null(fcinfo, 2);
	task.priority = PG_ARGISNULL(3) ? 0 : PG_GETARG_INT32(3);
	task.run_at = time_from_now(bigint_or_zero(fcinfo, 4));
	task.max_attempts = PG_ARGISNULL(5) ? 0 : PG_GETARG_INT32(5);
	task.retry_delay_ms = bigint_or_zero(fcinfo, 6);
	task.timeout_ms = bigint_or_zero(fcinfo, 7);
	task.expires_at = time_from_now(bigint_or_zero(fcinfo, 8));
	task.key = text_or_null(fcinfo, 9);
	task.on_conflict = text_or_null(fcinfo, 10);
	task.concurrency_key = text_or_null(fcinfo, 11);
	task.depends_on = ids(fcinfo, 12, &task.depend_count);
	task.run_as = text_or_null(fcinfo, 13);
	task.settings = text_or_null(fcinfo, 14);
	task.history = text_or_null(fcinfo, 15);
	task.name = text_or_null(fcinfo, 16);
	task.atomic = PG_ARGISNULL(17) ? 0 : PG_GETARG_INT32(17);
	PG_RETURN_INT64(probe_api()->enqueue(&task));
}

PG_FUNCTION_INFO_V1(probe_wait);
Datum
probe_wait(PG_FUNCTION_ARGS)
{
	return text_result(
		fcinfo, probe_api()->wait(kind_of_work(fcinfo, 0), PG_GETARG_INT64(1), PG_GETARG_INT64(2)));
}

PG_FUNCTION_INFO_V1(probe_cancel);
Datum
probe_cancel(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(
		probe_api()->cancel(kind_of_work(fcinfo, 0), PG_GETARG_INT64(1), PG_GETARG_INT64(2)));
}

/* --- what belongs into an entry point ------------------------------------------------------------------------------ */

PG_FUNCTION_INFO_V1(probe_report_progress);
Datum
probe_report_progress(PG_FUNCTION_ARGS)
{
	probe_api()->report_progress(PG_ARGISNULL(0) ? -1 : PG_GETARG_FLOAT8(0),
								 text_or_null(fcinfo, 1));
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(probe_should_stop);
Datum
probe_should_stop(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(probe_api()->should_stop());
}

PG_FUNCTION_INFO_V1(probe_sleep);
Datum
probe_sleep(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32((int32) probe_api()->sleep(PG_GETARG_INT64(0)));
}

PG_FUNCTION_INFO_V1(probe_config);
Datum
probe_config(PG_FUNCTION_ARGS)
{
	return text_result(fcinfo, probe_api()->config());
}

PG_FUNCTION_INFO_V1(probe_service_name);
Datum
probe_service_name(PG_FUNCTION_ARGS)
{
	return text_result(fcinfo, probe_api()->service_name());
}

PG_FUNCTION_INFO_V1(probe_cycle_done);
Datum
probe_cycle_done(PG_FUNCTION_ARGS)
{
	probe_api()->cycle_done();
	PG_RETURN_VOID();
}

/* --- what the interface is to refuse ------------------------------------------------------------------------------- */

static void
do_nothing(void)
{
}

PG_FUNCTION_INFO_V1(probe_register);
Datum
probe_register(PG_FUNCTION_ARGS)
{
	char *name = text_or_null(fcinfo, 0);
	char *kind = text_or_null(fcinfo, 1);
	WorkerPoolService *service = MemoryContextAllocZero(TopMemoryContext, sizeof(*service));

	service->size = kind != NULL && strcmp(kind, "size") == 0 ? 0 : sizeof(*service);
	service->name = name == NULL ? NULL : MemoryContextStrdup(TopMemoryContext, name);
	if (kind == NULL || strcmp(kind, "none") != 0)
		service->cycle = do_nothing;
	if (kind != NULL && (strcmp(kind, "main") == 0 || strcmp(kind, "both") == 0))
		service->main = do_nothing;
	if (kind != NULL && strcmp(kind, "main") == 0)
		service->cycle = NULL;
	if (kind != NULL && strcmp(kind, "flags") == 0)
		service->flags = 1u << 31;
	probe_api()->register_service(service);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(probe_bad_struct);
Datum
probe_bad_struct(PG_FUNCTION_ARGS)
{
	char *kind = text_to_cstring(PG_GETARG_TEXT_PP(0));
	const WorkerPoolApi *api = probe_api();
	struct
	{
		WorkerPoolCommand command;
		char more[16];
	} newer;

	memset(&newer, 0, sizeof(newer));
	newer.command.size = sizeof(newer.command);
	newer.command.command = "select 1";
	if (strcmp(kind, "zero") == 0)
		newer.command.size = 0;
	else if (strcmp(kind, "short") ==
			 0) /* of an older header, that knew a command only: is right */
		newer.command.size = offsetof(WorkerPoolCommand, args);
	else if (strcmp(kind, "long") == 0) /* of a newer one, which sets nothing new: is right */
		newer.command.size = sizeof(newer);
	else if (strcmp(kind, "longer") == 0)
	{
		newer.command.size = sizeof(newer);
		newer.more[15] = 1;
	}
	else if (strcmp(kind, "array") == 0)
		newer.command.arg_count = 2;
	api->start_worker(strcmp(kind, "null") == 0 ? NULL : &newer.command);
	PG_RETURN_VOID();
}
