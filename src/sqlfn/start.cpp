/*
 * start.cpp
 *	  start_worker, run, query. Run in the session that calls them.
 *
 * Everything that can be wrong with a call is found before anything is taken: the column list, the
 * arguments, the rights, the syntax. Then the command is submitted (feature/submit.cpp). start_worker
 * returns its id at once. run and query wait; their record is theirs alone and is given back on every path:
 * by WaitForPrivate if the wait is interrupted, here after the outcome was read or reading it failed, by
 * the exit callback on FATAL.
 */
#include "feature/authority.hpp"
#include "feature/session.hpp"
#include "pg/guard.hpp"
#include "process/result_reader.hpp"
#include "sqlfn/verb_arguments.hpp"
#include "sqlfn/result_set.hpp"
#include "sqlfn/syntax.hpp"

namespace worker_pool
{

/* Where the arguments that all three verbs have stand. */
struct Positions
{
	int command;
	int args;
	int database;
	int run_as;
	int timeout;
	int settings;
	int fresh;
};

static constexpr Positions kStartPositions = {0, 1, 2, 3, 5, 6, 8};
static constexpr int kStartName = 4;
static constexpr int kStartOnFull = 7;
static constexpr Positions kRunPositions = {0, 1, 2, 3, 4, 5, 6};

/* Reads and checks all of a call, but for what only start_worker has. */
static Submission
ReadSubmission(FunctionCallInfo fcinfo, const Positions &at)
{
	Submission submission = {};

	EnterVerb();
	submission.request.text = ReadCommandText(fcinfo, at.command);
	ReadArgs(fcinfo, at.args, &submission.request);
	ReadSettings(fcinfo, at.settings, &submission.request);
	submission.database = ReadDatabase(fcinfo, at.database);
	submission.role = ReadRole(fcinfo, at.run_as);
	submission.timeout_ms = ReadTimeout(fcinfo, at.timeout);
	submission.fresh = ReadFlag(fcinfo, at.fresh);
	CheckMayStart(submission.database, submission.role);
	CheckSyntax(submission.request);
	return submission;
}

} // namespace worker_pool

WP_SQL_FUNCTION(worker_pool_start_worker)
{
	using namespace worker_pool;
	Submission submission = ReadSubmission(fcinfo, kStartPositions);

	submission.name = ReadName(fcinfo, kStartName);
	submission.error_when_full = ReadErrorWhenFull(fcinfo, kStartOnFull);
	PG_RETURN_INT64(static_cast<int64>(Submit(submission).id));
}

WP_SQL_FUNCTION(worker_pool_run)
{
	using namespace worker_pool;
	Submission submission = ReadSubmission(fcinfo, kRunPositions);
	char *volatile tag = nullptr;

	submission.is_private = true;
	submission.discard_rows = true;

	const CommandRef command = Submit(submission);

	WaitForPrivate(command);
	PG_TRY();
	{
		RaiseCommandError(command.index);
		EmitNotices(command.index);
		tag = ReadTag(command.index);
		WP_FAULT_IN_TRY("result.before_consume");
	}
	PG_FINALLY();
	{
		ConsumeOutcome(command);
	}
	PG_END_TRY();
	PG_RETURN_TEXT_P(cstring_to_text(tag));
}

WP_SQL_FUNCTION(worker_pool_query)
{
	using namespace worker_pool;
	TupleDesc expected = nullptr;
	Tuplestorestate *const store = BeginResultSet(fcinfo, &expected);
	Submission submission = ReadSubmission(fcinfo, kRunPositions);

	submission.is_private = true;

	const CommandRef command = Submit(submission);

	WaitForPrivate(command);
	PG_TRY();
	{
		RaiseCommandError(command.index);
		EmitNotices(command.index);
		ReadRows(command.index, expected, store);
		WP_FAULT_IN_TRY("result.before_consume");
	}
	PG_FINALLY();
	{
		ConsumeOutcome(command);
	}
	PG_END_TRY();
	return static_cast<Datum>(0);
}
