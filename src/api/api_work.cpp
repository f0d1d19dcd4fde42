/*
 * api_work.cpp
 *	  Commands and tasks through the C interface. Runs in any process that is connected to a database and in a
 *	  transaction.
 *
 * What SQL checks and says is checked and said here: each function makes the arguments of the SQL function out of the
 * caller's struct, NULL for what is not set, and calls its C body. A struct of an older header is shorter: what it lacks
 * counts as not set. One of a newer header is longer: what is beyond must not be set.
 *
 * All that is made on the way lies in a context of the call, so that a resident main can call for years. It is a child of
 * the caller's: an ERROR leaves it to be cleaned up with that.
 */
#include "api/api.hpp"

#include "pg/guard.hpp"
#include "process/worker.hpp"

extern "C"
{
	PGDLLEXPORT Datum worker_pool_start_worker(PG_FUNCTION_ARGS);
	PGDLLEXPORT Datum worker_pool_enqueue(PG_FUNCTION_ARGS);
	PGDLLEXPORT Datum worker_pool_wait_worker(PG_FUNCTION_ARGS);
	PGDLLEXPORT Datum worker_pool_wait_task(PG_FUNCTION_ARGS);
	PGDLLEXPORT Datum worker_pool_stop_worker(PG_FUNCTION_ARGS);
	PGDLLEXPORT Datum worker_pool_cancel_task(PG_FUNCTION_ARGS);
	PGDLLEXPORT Datum worker_pool_report_progress(PG_FUNCTION_ARGS);
}

namespace worker_pool
{

/* --- the call ----------------------------------------------------------------------------------------------------- */

/* As many as enqueue has. */
static constexpr int kMostArguments = 18;

/* One call of an SQL function's body. Add* take the arguments in their order. */
struct Call
{
	MemoryContext caller;
	MemoryContext context; /* current from BeginCall to EndCall */
	bool pushed_snapshot;
	int count;
	NullableDatum arguments[kMostArguments];
};

/* 55000 without a database, 25P01 outside of a transaction. */
static void
RequireTransaction(const char *function)
{
	if (!OidIsValid(MyDatabaseId))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("%s of worker_pool needs a database connection", function),
						errdetail("This process has none.")));
	if (!IsTransactionState())
		ereport(ERROR, (errcode(ERRCODE_NO_ACTIVE_SQL_TRANSACTION),
						errmsg("%s of worker_pool was called outside of a transaction", function),
						errhint("Call StartTransactionCommand() before it.")));
}

/* is_short: it may hold a snapshot, as a statement does; a wait does without. */
static Call
BeginCall(bool is_short)
{
	Call call = {};

	call.context =
		AllocSetContextCreate(CurrentMemoryContext, "worker_pool interface", ALLOCSET_SMALL_SIZES);
	call.caller = MemoryContextSwitchTo(call.context);
	call.pushed_snapshot = is_short && !ActiveSnapshotSet();
	if (call.pushed_snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	return call;
}

/* The result is good until EndCall where it is a pointer. */
static Datum
CallBody(const Call &call, PGFunction body)
{
	LOCAL_FCINFO(fcinfo, kMostArguments);

	InitFunctionCallInfoData(*fcinfo, nullptr, static_cast<short>(call.count), InvalidOid, nullptr,
							 nullptr);
	for (int i = 0; i < call.count; i++)
		fcinfo->args[i] = call.arguments[i];
	return body(fcinfo);
}

static void
EndCall(const Call &call)
{
	if (call.pushed_snapshot)
		PopActiveSnapshot();
	MemoryContextSwitchTo(call.caller);
	MemoryContextDelete(call.context);
}

/* --- its arguments -------------------------------------------------------------------------------------------------- */

static void
Add(Call *call, Datum value)
{
	Assert(call->count < kMostArguments);
	call->arguments[call->count++] = {value, false};
}

static void
AddNull(Call *call)
{
	Assert(call->count < kMostArguments);
	call->arguments[call->count++] = {static_cast<Datum>(0), true};
}

static void
AddText(Call *call, const char *value)
{
	if (value == nullptr)
		AddNull(call);
	else
		Add(call, PointerGetDatum(cstring_to_text(value)));
}

/* Type name. */
static void
AddName(Call *call, const char *value)
{
	if (value == nullptr)
		AddNull(call);
	else
		Add(call, DirectFunctionCall1(namein, CStringGetDatum(value)));
}

/* 22P02 where it is no json. */
static void
AddJson(Call *call, const char *value)
{
	if (value == nullptr)
		AddNull(call);
	else
		Add(call, DirectFunctionCall1(jsonb_in, CStringGetDatum(value)));
}

/* An interval; the SQL function refuses one that is negative or too long. */
static void
AddMs(Call *call, int64 ms)
{
	static constexpr int64 kFarTooLong = INT64CONST(1000000000000);
	auto *interval = static_cast<Interval *>(palloc0(sizeof(Interval)));

	interval->time = std::clamp(ms, -kFarTooLong, kFarTooLong) * 1000;
	Add(call, IntervalPGetDatum(interval));
}

/* The same where 0 is the default and -1 none. */
static void
AddOptionalMs(Call *call, int64 ms)
{
	if (ms == 0)
		AddNull(call);
	else
		AddMs(call, ms == -1 ? 0 : ms);
}

/* 0: NULL. */
static void
AddOptionalTime(Call *call, TimestampTz time)
{
	if (time == 0)
		AddNull(call);
	else
		Add(call, TimestampTzGetDatum(time));
}

/* 22023 */
static void
CheckArray(const void *array, int count, const char *member)
{
	if (count < 0 || (count > 0 && array == nullptr))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("\"%s\" of worker_pool.h is not as long as its count says", member)));
}

static void
AddTexts(Call *call, const char *const *texts, int count, const char *member)
{
	CheckArray(texts, count, member);
	if (count == 0)
	{
		AddNull(call);
		return;
	}

	const auto n = static_cast<Size>(count);
	auto *values = static_cast<Datum *>(palloc0(n * sizeof(Datum)));
	auto *nulls = static_cast<bool *>(palloc0(n * sizeof(bool)));
	int lower_bound = 1;

	for (int i = 0; i < count; i++)
	{
		nulls[i] = texts[i] == nullptr;
		if (!nulls[i])
			values[i] = PointerGetDatum(cstring_to_text(texts[i]));
	}
	Add(call, PointerGetDatum(construct_md_array(values, nulls, 1, &count, &lower_bound, TEXTOID,
												 -1, false, TYPALIGN_INT)));
}

static void
AddIds(Call *call, const int64 *ids, int count, const char *member)
{
	CheckArray(ids, count, member);
	if (count == 0)
	{
		AddNull(call);
		return;
	}

	auto *values = static_cast<Datum *>(palloc(static_cast<Size>(count) * sizeof(Datum)));

	for (int i = 0; i < count; i++)
		values[i] = Int64GetDatum(ids[i]);
	Add(call, PointerGetDatum(construct_array(values, count, INT8OID, sizeof(int64),
											  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)));
}

/* --- the caller's structs --------------------------------------------------------------------------------------------- */

/* As long as this library knows it. 22023 without a size; 0A000 where more is set than is known. */
template <typename T>
static T
ReadStruct(const T *given, const char *name)
{
	T known = {};

	if (given == nullptr || given->size <= sizeof(given->size))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("the size of a %s is not set", name),
						errhint("WORKER_POOL_INIT sets it.")));

	const auto *const bytes = reinterpret_cast<const char *>(given);

	for (Size i = sizeof(T); i < given->size; i++)
		if (bytes[i] != 0)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("a %s has members set that this version of worker_pool does not know",
							name),
					 errhint("Update worker_pool and restart the server.")));
	memcpy(&known, given, std::min(given->size, sizeof(T)));
	return known;
}

/* --- the functions ------------------------------------------------------------------------------------------------------ */

int64
ApiStartWorker(const WorkerPoolCommand *command)
{
	RequireTransaction("start_worker");

	const WorkerPoolCommand given = ReadStruct(command, "WorkerPoolCommand");
	Call call = BeginCall(true);

	AddText(&call, given.command);
	AddTexts(&call, given.args, given.arg_count, "args");
	AddName(&call, given.database);
	AddName(&call, given.run_as);
	AddText(&call, given.name);
	AddOptionalMs(&call, given.timeout_ms);
	AddJson(&call, given.settings);
	AddText(&call, given.error_when_full ? "error" : nullptr);
	Add(&call, BoolGetDatum(given.fresh));

	const int64 id = DatumGetInt64(CallBody(call, worker_pool_start_worker));

	EndCall(call);
	return id;
}

int64
ApiEnqueue(const WorkerPoolTask *task)
{
	RequireTransaction("enqueue");

	const WorkerPoolTask given = ReadStruct(task, "WorkerPoolTask");
	Call call = BeginCall(true);

	AddText(&call, given.command);
	AddTexts(&call, given.args, given.arg_count, "args");
	AddText(&call, given.queue);
	Add(&call, Int32GetDatum(given.priority));
	AddOptionalTime(&call, given.run_at);
	if (given.max_attempts == 0)
		AddNull(&call);
	else
		Add(&call, Int32GetDatum(given.max_attempts));
	AddOptionalMs(&call, given.retry_delay_ms);
	AddOptionalMs(&call, given.timeout_ms);
	AddOptionalTime(&call, given.expires_at);
	AddText(&call, given.key);
	AddText(&call, given.on_conflict);
	AddText(&call, given.concurrency_key);
	AddIds(&call, given.depends_on, given.depend_count, "depends_on");
	AddName(&call, given.run_as);
	if (given.atomic == 0)
		AddNull(&call);
	else
		Add(&call, BoolGetDatum(given.atomic > 0));
	AddJson(&call, given.settings);
	AddText(&call, given.history);
	AddText(&call, given.name);

	const int64 id = DatumGetInt64(CallBody(call, worker_pool_enqueue));

	EndCall(call);
	return id;
}

/* True for a task, false for a command. 22023 */
static bool
IsTask(WorkerPoolWork what)
{
	if (what != WORKER_POOL_COMMAND && what != WORKER_POOL_TASK)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown kind of work: %d", what),
				 errhint("It is WORKER_POOL_COMMAND or WORKER_POOL_TASK.")));
	return what == WORKER_POOL_TASK;
}

/* A state's word as a constant. */
static const char *
ConstantWord(const char *word)
{
	static constexpr const char *kWords[] = {"succeeded", "failed",	 "cancelled", "lost",
											 "queued",	  "running", "blocked",	  "scheduled",
											 "ready",	  "expired", "skipped",	  "finished"};

	for (const char *known : kWords)
		if (strcmp(known, word) == 0)
			return known;
	ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("unknown state \"%s\"", word)));
	pg_unreachable();
}

const char *
ApiWait(WorkerPoolWork what, int64 id, int64 timeout_ms)
{
	RequireTransaction("wait");

	const PGFunction body = IsTask(what) ? worker_pool_wait_task : worker_pool_wait_worker;
	Call call = BeginCall(false);

	Add(&call, Int64GetDatum(id));
	AddOptionalMs(&call, timeout_ms);

	const char *const state = ConstantWord(TextDatumGetCString(CallBody(call, body)));

	EndCall(call);
	return state;
}

bool
ApiCancel(WorkerPoolWork what, int64 id, int64 grace_ms)
{
	RequireTransaction("cancel");

	const PGFunction body = IsTask(what) ? worker_pool_cancel_task : worker_pool_stop_worker;
	Call call = BeginCall(true);

	Add(&call, Int64GetDatum(id));
	AddMs(&call, grace_ms);

	const bool had_something = DatumGetBool(CallBody(call, body));

	EndCall(call);
	return had_something;
}

void
ApiReportProgress(double fraction, const char *message)
{
	if (pool == nullptr || my_slot == kNone)
		return;

	Call call = BeginCall(false);

	Add(&call, Float4GetDatum(static_cast<float4>(fraction)));
	if (message == nullptr || OidIsValid(MyDatabaseId))
		AddText(&call, message);
	else
	{
		/* in what encoding it is nobody knows, and views show it in every database */
		char *const plain = pstrdup(message);

		for (char *c = plain; *c != '\0'; c++)
			if (IS_HIGHBIT_SET(*c))
				*c = '?';
		AddText(&call, plain);
	}
	(void) CallBody(call, worker_pool_report_progress);
	EndCall(call);
}

} // namespace worker_pool
