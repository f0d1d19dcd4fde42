/*
 * results.cpp
 *	  wait_worker, await_worker, worker_result, worker_results. Run in the session that calls them.
 *
 * Waiting leaves a command alone: an interrupted or timed-out wait changes nothing. Fetching claims the
 * records first, whether they are finished or not, so that no outcome is pushed out between its end and its
 * reading; waits for all; then raises the error of the first one (in order of completion) that failed, or
 * reads the rows of all. What was read is consumed; a failed command is consumed with its error. On any
 * other error, such as a column list that does not fit or an interruption, all claims are released and
 * everything can be fetched as before. On FATAL the exit callback releases them.
 *
 * await_worker ends the transaction it is called in, and waits without a snapshot: what a waiter inside a
 * statement would hold back (VACUUM's horizon) or block (CREATE INDEX CONCURRENTLY) does not notice it.
 */
#include "feature/authority.hpp"
#include "feature/session.hpp"
#include "pg/guard.hpp"
#include "process/result_reader.hpp"
#include "sqlfn/verb_arguments.hpp"
#include "sqlfn/result_set.hpp"

namespace worker_pool
{

/* --- waiting ------------------------------------------------------------------------------------------- */

/* The command as it stands, if the caller may wait for it: 42704, 42501, 55006. */
static CommandGlance
CheckMayWait(uint64 id)
{
	const CommandGlance glance = GlanceAt(id);

	if (glance.ref.index == kNone && !IsFinished(glance.state))
		RaiseNoCommand(id);
	if (!MaySeeCommand(GetUserId(), glance.owner))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied to wait for command " INT64_FORMAT,
							   static_cast<int64>(id)),
						errdetail("Its owner, members of the owner's role and of pg_read_all_stats "
								  "may.")));
	if (glance.is_private)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
						errmsg("cannot wait for command " INT64_FORMAT, static_cast<int64>(id)),
						errdetail("It was started by run() or query(), which waits for it.")));
	return glance;
}

/* Waits and tells the state; a limit of 0 is none. */
static CommandState
WaitForState(const CommandGlance &glance, int64 timeout_ms)
{
	if (glance.ref.index == kNone || IsFinished(glance.state))
		return glance.state;
	(void) WaitForCommand(glance.ref, timeout_ms == 0 ? -1 : timeout_ms);

	const CommandGlance after = GlanceAt(glance.ref.id);

	if (after.ref.index == kNone && !IsFinished(after.state))
		RaiseNoCommand(glance.ref.id);
	return after.state;
}

/* Refuses to be called where the transaction cannot be ended (25001). */
static void
RefuseAtomicContext(FunctionCallInfo fcinfo)
{
	const auto *context = reinterpret_cast<const CallContext *>(fcinfo->context);

	if (context != nullptr && IsA(context, CallContext) && !context->atomic)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
			 errmsg("await_worker cannot be called in a transaction block or from a function"),
			 errdetail("It ends the current transaction, to wait without holding a snapshot."),
			 errhint("CALL it as a statement of its own, or use worker_pool.wait_worker.")));
}

/* --- fetching ------------------------------------------------------------------------------------------ */

/* Several outcomes that are fetched together. */
struct Fetch
{
	CommandRef *commands;
	int count;
	volatile int claimed; /* so many of them are claimed */
	volatile int failing; /* the one whose error is being raised; kNone */
};

/* Claims all, waits for all, and puts them into the order of completion. */
static void
ClaimAll(Fetch *fetch)
{
	for (int i = 0; i < fetch->count; i++)
	{
		fetch->commands[i] = ClaimOutcome(fetch->commands[i].id);
		fetch->claimed = i + 1;
	}
	for (int i = 0; i < fetch->count; i++)
		(void) WaitForCommand(fetch->commands[i], -1);
	std::sort(fetch->commands, fetch->commands + fetch->count,
			  [](const CommandRef &a, const CommandRef &b)
			  { return CommandAt(a.index).finish_number < CommandAt(b.index).finish_number; });
}

/* Raises the error of the first that failed, else brings the rows and messages of all. */
static void
ReadAll(Fetch *fetch, TupleDesc expected, Tuplestorestate *store)
{
	for (int i = 0; i < fetch->count; i++)
	{
		fetch->failing = i;
		RaiseCommandError(fetch->commands[i].index);
	}
	fetch->failing = kNone;
	for (int i = 0; i < fetch->count; i++)
		ReadRows(fetch->commands[i].index, expected, store);
	for (int i = 0; i < fetch->count; i++)
		EmitNotices(fetch->commands[i].index);
}

/* After an error: the command whose error it is, is consumed; the others are as before. */
static void
GiveBack(const Fetch &fetch)
{
	for (int i = 0; i < fetch.claimed; i++)
	{
		if (i == fetch.failing)
			ConsumeOutcome(fetch.commands[i]);
		else
			ReleaseClaim(fetch.commands[i]);
	}
}

/* Fetches the outcomes of `commands`, of which only the ids are set. */
static void
FetchOutcomes(CommandRef *commands, int count, TupleDesc expected, Tuplestorestate *store)
{
	Fetch fetch = {commands, count, 0, kNone};

	PG_TRY();
	{
		ClaimAll(&fetch);
		ReadAll(&fetch, expected, store);
		WP_FAULT_IN_TRY("result.before_consume");
	}
	PG_CATCH();
	{
		GiveBack(fetch);
		PG_RE_THROW();
	}
	PG_END_TRY();
	for (int i = 0; i < count; i++)
		ConsumeOutcome(commands[i]);
}

/* bigint[] into commands of which only the ids are set. 22004, 2202E, 22023 for one that is there twice. */
static CommandRef *
ReadIds(FunctionCallInfo fcinfo, int n, int *count)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"ids\" must not be null")));

	ArrayType *array = PG_GETARG_ARRAYTYPE_P(n);
	Datum *elements = nullptr;
	bool *nulls = nullptr;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
						errmsg("argument \"ids\" must be a one-dimensional array")));
	deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &elements,
					  &nulls, count);

	auto *commands = static_cast<CommandRef *>(
		palloc(static_cast<Size>(std::max(*count, 1)) * sizeof(CommandRef)));

	for (int i = 0; i < *count; i++)
	{
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("argument \"ids\" must not contain nulls")));
		commands[i] = {kNone, static_cast<uint64>(DatumGetInt64(elements[i]))};
	}
	std::sort(commands, commands + *count,
			  [](const CommandRef &a, const CommandRef &b) { return a.id < b.id; });
	for (int i = 1; i < *count; i++)
		if (commands[i].id == commands[i - 1].id)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("command " INT64_FORMAT " stands twice in argument \"ids\"",
								   static_cast<int64>(commands[i].id)),
							errdetail("An outcome can be fetched once.")));
	return commands;
}

} // namespace worker_pool

WP_SQL_FUNCTION(worker_pool_wait_worker)
{
	using namespace worker_pool;
	EnterVerb();

	const uint64 id = ReadCommandId(fcinfo, 0);
	const int64 timeout_ms = ReadTimeout(fcinfo, 1);
	const CommandState state = WaitForState(CheckMayWait(id), timeout_ms);

	PG_RETURN_TEXT_P(cstring_to_text(CommandStateName(state)));
}

WP_SQL_FUNCTION(worker_pool_await_worker)
{
	using namespace worker_pool;
	EnterVerb();
	RefuseAtomicContext(fcinfo);

	const uint64 id = ReadCommandId(fcinfo, 0);
	const int64 timeout_ms = ReadTimeout(fcinfo, 1);
	const CommandGlance glance = CheckMayWait(id);

	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect_ext failed");
	SPI_commit();
	/* does nothing where SPI_commit has done it */
	SPI_start_transaction();
	Assert(!ActiveSnapshotSet());
	(void) WaitForState(glance, timeout_ms);
	SPI_finish();
	PG_RETURN_VOID();
}

WP_SQL_FUNCTION(worker_pool_worker_result)
{
	using namespace worker_pool;
	TupleDesc expected = nullptr;
	Tuplestorestate *const store = BeginResultSet(fcinfo, &expected);

	EnterVerb();

	CommandRef command = {kNone, ReadCommandId(fcinfo, 0)};

	FetchOutcomes(&command, 1, expected, store);
	return static_cast<Datum>(0);
}

WP_SQL_FUNCTION(worker_pool_worker_results)
{
	using namespace worker_pool;
	TupleDesc expected = nullptr;
	Tuplestorestate *const store = BeginResultSet(fcinfo, &expected);
	int count = 0;

	EnterVerb();

	CommandRef *commands = ReadIds(fcinfo, 0, &count);

	FetchOutcomes(commands, count, expected, store);
	return static_cast<Datum>(0);
}
