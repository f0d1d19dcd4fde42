/*
 * schedule_verbs.cpp
 *	  schedule, alter_schedule, unschedule, run_schedule, next_runs. Run in the session that calls them.
 *
 * Everything that can be wrong with a call is found before a row is touched: the arguments, the rights, the
 * schedule and its zone, the command's syntax and whether it can be atomic. Then feature/schedule_define.cpp
 * does it, in the caller's transaction.
 *
 * In alter_schedule a null leaves the option as it is; `reset` names options to be taken back to their default.
 * `atomic` that is what the command by itself makes it follows a new command; a false that was set stays.
 */
#include "feature/schedules.hpp"

#include "catalog/queue_row.hpp"
#include "feature/statement_kind.hpp"
#include "feature/task_authority.hpp"
#include "feature/tasks.hpp"
#include "pg/guard.hpp"
#include "sqlfn/syntax.hpp"
#include "sqlfn/verb_arguments.hpp"

namespace worker_pool
{

/* The arguments of schedule and alter_schedule. */
enum ScheduleArgument : int
{
	kName,
	kSchedule,
	kCommand,
	kArgs,
	kTimezone,
	kActive,
	kOverlap,
	kMissed,
	kQueue,
	kPriority,
	kMaxAttempts,
	kRetryDelay,
	kTimeout,
	kExpiresAfter,
	kRunAs,
	kAtomic,
	kSettings,
	kReset, /* alter_schedule only */
};

/* What `reset` can name: the options with a default, in the order of the arguments from kArgs on. */
static constexpr const char *kOptionNames[] = {
	"args",			 "timezone", "active",		 "overlap",		"missed",
	"queue",		 "priority", "max_attempts", "retry_delay", "timeout",
	"expires_after", "run_as",	 "atomic",		 "settings",	nullptr,
};
static_assert(std::size(kOptionNames) - 1 == kReset - kArgs);

/* The stored letters are their first ones; the first word is the default. */
static constexpr const char *kOverlapWords[] = {"skip", "queue", "allow", nullptr};
static constexpr const char *kMissedWords[] = {"once", "skip", nullptr};

static constexpr int64 kDefaultRetryDelayMs = 5000;
static constexpr int kMostRuns = 1000;
static constexpr int kDefaultRuns = 5;

/* --- single arguments ---------------------------------------------------------------------------------- */

/* 22004 */
static const char *
ReadRequiredText(FunctionCallInfo fcinfo, int n, const char *argument)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"%s\" must not be null", argument)));
	return text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* A schedule's name: 22004 null, 42622 too long, 22023 empty. */
static const char *
ReadScheduleName(FunctionCallInfo fcinfo)
{
	const char *const name = ReadName(fcinfo, kName);

	if (name == nullptr)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"name\" must not be null")));
	if (*name == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"name\" must not be empty")));
	return name;
}

static const char *
ReadTimeZone(FunctionCallInfo fcinfo, int n)
{
	const char *const name = PG_ARGISNULL(n) ? nullptr : text_to_cstring(PG_GETARG_TEXT_PP(n));

	return pstrdup(pg_get_timezone_name(RequireTimeZone(name)));
}

static const char *
ReadScheduleText(FunctionCallInfo fcinfo, int n)
{
	const char *const text = ReadRequiredText(fcinfo, n, "schedule");

	(void) RequireSchedule(text);
	return text;
}

/* The queue, kept from being dropped; NULL: the default one. 42704 */
static void
ReadQueue(FunctionCallInfo fcinfo, ScheduleDefinition *definition)
{
	const char *const name = ReadQueueName(fcinfo, kQueue);

	definition->queue = name == nullptr ? kDefaultQueue : name;
	definition->queue_id = UseQueue(definition->queue).id;
}

/* Checked as for a command. */
static void
ReadStoredArgs(FunctionCallInfo fcinfo, ScheduleDefinition *definition)
{
	Request request = {};

	ReadArgs(fcinfo, kArgs, &request);
	definition->args = ReadArgsToStore(fcinfo, kArgs);
}

static void
ReadStoredSettings(FunctionCallInfo fcinfo, ScheduleDefinition *definition)
{
	Request request = {};

	ReadSettings(fcinfo, kSettings, &request);
	definition->settings = ReadSettingsToStore(fcinfo, kSettings);
}

/* The syntax of the command, with as many arguments as are stored. */
static void
CheckCommand(const ScheduleDefinition &definition)
{
	ArrayType *const args = DatumGetArrayTypeP(definition.args);
	Request request = {};

	request.text = definition.command;
	request.arg_count = ArrayGetNItems(ARR_NDIM(args), ARR_DIMS(args));
	CheckSyntax(request);
}

/* --- all of them --------------------------------------------------------------------------------------- */

/* Reads the argument into the definition; a null is the default. Not those of the schedule itself, run_as, atomic. */
static void
ReadOption(FunctionCallInfo fcinfo, int n, ScheduleDefinition *definition)
{
	switch (n)
	{
		case kArgs:
			ReadStoredArgs(fcinfo, definition);
			break;
		case kTimezone:
			definition->timezone = ReadTimeZone(fcinfo, kTimezone);
			break;
		case kActive:
			definition->active = PG_ARGISNULL(kActive) || PG_GETARG_BOOL(kActive);
			break;
		case kOverlap:
			definition->overlap =
				*kOverlapWords[ReadWord(fcinfo, kOverlap, "overlap", kOverlapWords)];
			break;
		case kMissed:
			definition->missed = *kMissedWords[ReadWord(fcinfo, kMissed, "missed", kMissedWords)];
			break;
		case kQueue:
			ReadQueue(fcinfo, definition);
			break;
		case kPriority:
			definition->priority = PG_ARGISNULL(kPriority) ? 0 : PG_GETARG_INT32(kPriority);
			break;
		case kMaxAttempts:
			definition->max_attempts = ReadMaxAttempts(fcinfo, kMaxAttempts);
			break;
		case kRetryDelay:
			definition->retry_delay_ms =
				ReadInterval(fcinfo, kRetryDelay, "retry_delay", kDefaultRetryDelayMs);
			break;
		case kTimeout:
			definition->timeout_ms = ReadTimeout(fcinfo, kTimeout);
			break;
		case kExpiresAfter:
			definition->expires_after_ms = ReadInterval(fcinfo, kExpiresAfter, "expires_after", 0);
			break;
		case kSettings:
			ReadStoredSettings(fcinfo, definition);
			break;
		default:
			break;
	}
}

/* The options that `reset` names: bit n for argument n. 22023 for one that is given, too. */
static uint32
ReadResetOptions(FunctionCallInfo fcinfo)
{
	const uint32 reset = ReadReset(fcinfo, kReset, kOptionNames) << kArgs;

	for (int n = kArgs; n < kReset; n++)
		RefuseSetAndReset(!PG_ARGISNULL(n), (reset & (1U << n)) != 0, kOptionNames[n - kArgs]);
	return reset;
}

/* Whoever changes what is run, or sets it going, must be allowed to run it as that role; its owner, too. */
static void
CheckMayRun(const ScheduleDefinition &definition)
{
	CheckMayStart(MyDatabaseId, definition.run_as);
	if (definition.owner != GetUserId() && definition.owner != definition.run_as &&
		!compat::MaySetRole(definition.owner, definition.run_as))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("the owner of schedule \"%s\" must be able to SET ROLE \"%s\"", definition.name,
						GetUserNameFromId(definition.run_as, false))));
}

/* The command of an existing schedule, its role and whether it is atomic: they hang together. */
static void
ReadChangedCommand(FunctionCallInfo fcinfo, uint32 reset, ScheduleDefinition *definition)
{
	const auto touched = [&](int n) { return !PG_ARGISNULL(n) || (reset & (1U << n)) != 0; };
	const char *what = nullptr;
	const bool by_command = definition->atomic || ClassifyCommand(definition->command, &what) ==
													  StatementKind::kOutsideBlock;
	int atomic = definition->atomic ? 1 : 0;

	if (!PG_ARGISNULL(kCommand))
		definition->command = ReadCommandText(fcinfo, kCommand);
	if (!PG_ARGISNULL(kRunAs))
		definition->run_as = ReadRole(fcinfo, kRunAs);
	else if (touched(kRunAs))
		definition->run_as = definition->owner;
	if (touched(kAtomic) || by_command)
		atomic = ReadTristate(fcinfo, kAtomic);
	if (touched(kCommand) || touched(kArgs) || touched(kSettings) || touched(kRunAs) ||
		touched(kAtomic) || (touched(kActive) && definition->active))
		CheckMayRun(*definition);
	if (touched(kCommand) || touched(kArgs))
		CheckCommand(*definition);
	if (touched(kCommand) || touched(kAtomic))
		definition->atomic = ResolveAtomic(definition->command, atomic);
}

/* What every verb that changes something begins with. */
static void
EnterScheduleVerb(const char *verb)
{
	EnterVerb();
	EnterDurableVerb();
	RefuseReadOnly(verb);
}

/* The first `count` due times after `after`; fewer where there are no more. */
static int
ComputeRuns(FunctionCallInfo fcinfo, int count, TimestampTz after, TimestampTz *runs)
{
	const ScheduleSpec spec = RequireSchedule(ReadRequiredText(fcinfo, 0, "schedule"));
	const pg_tz *const zone =
		RequireTimeZone(PG_ARGISNULL(1) ? nullptr : text_to_cstring(PG_GETARG_TEXT_PP(1)));
	int found = 0;

	for (; found < count; found++)
	{
		CHECK_FOR_INTERRUPTS();
		after = NextRunAfter(spec, zone, after);
		if (TIMESTAMP_IS_NOEND(after))
			break;
		runs[found] = after;
	}
	return found;
}

/* n of next_runs. 22023 */
static int
ReadRunCount(FunctionCallInfo fcinfo)
{
	const int count = PG_ARGISNULL(2) ? kDefaultRuns : PG_GETARG_INT32(2);

	if (count < 0 || count > kMostRuns)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"n\" must be between 0 and %d", kMostRuns)));
	return count;
}

} // namespace worker_pool

WP_SQL_FUNCTION(worker_pool_schedule)
{
	using namespace worker_pool;
	ScheduleDefinition definition = {};

	EnterScheduleVerb("schedule");
	definition.name = ReadScheduleName(fcinfo);
	definition.schedule = ReadScheduleText(fcinfo, kSchedule);
	definition.command = ReadCommandText(fcinfo, kCommand);
	for (int n = kArgs; n < kReset; n++)
		ReadOption(fcinfo, n, &definition);
	definition.owner = GetUserId();
	definition.run_as = ReadRole(fcinfo, kRunAs);
	CheckMayStart(MyDatabaseId, definition.run_as);
	CheckCommand(definition);
	definition.atomic = ResolveAtomic(definition.command, ReadTristate(fcinfo, kAtomic));
	PG_RETURN_INT64(DefineSchedule(definition));
}

WP_SQL_FUNCTION(worker_pool_alter_schedule)
{
	using namespace worker_pool;

	EnterScheduleVerb("alter_schedule");

	const char *const name = ReadScheduleName(fcinfo);
	const uint32 reset = ReadResetOptions(fcinfo);
	const HeldSchedule held = HoldSchedule(name);
	ScheduleDefinition definition = held.definition;

	if (!PG_ARGISNULL(kSchedule))
		definition.schedule = ReadScheduleText(fcinfo, kSchedule);
	for (int n = kArgs; n < kReset; n++)
		if (!PG_ARGISNULL(n) || (reset & (1U << n)) != 0)
			ReadOption(fcinfo, n, &definition);
	ReadChangedCommand(fcinfo, reset, &definition);
	SaveSchedule(held, definition);
	PG_RETURN_VOID();
}

WP_SQL_FUNCTION(worker_pool_unschedule)
{
	using namespace worker_pool;

	EnterScheduleVerb("unschedule");
	PG_RETURN_BOOL(DropSchedule(ReadScheduleName(fcinfo)));
}

WP_SQL_FUNCTION(worker_pool_run_schedule)
{
	using namespace worker_pool;

	EnterScheduleVerb("run_schedule");
	PG_RETURN_INT64(RunSchedule(ReadScheduleName(fcinfo)));
}

WP_SQL_FUNCTION(worker_pool_next_runs)
{
	using namespace worker_pool;

	if (SRF_IS_FIRSTCALL())
	{
		RequirePool();

		FuncCallContext *const call = SRF_FIRSTCALL_INIT();
		const int count = ReadRunCount(fcinfo);
		const TimestampTz after =
			ReadTime(fcinfo, 3, "after", GetCurrentTransactionStartTimestamp());
		auto *const runs = static_cast<TimestampTz *>(
			MemoryContextAlloc(call->multi_call_memory_ctx, sizeof(TimestampTz) * (count + 1)));

		call->max_calls = static_cast<uint64>(ComputeRuns(fcinfo, count, after, runs));
		call->user_fctx = runs;
	}

	FuncCallContext *const call = SRF_PERCALL_SETUP();

	if (call->call_cntr >= call->max_calls)
		SRF_RETURN_DONE(call);

	const TimestampTz run = static_cast<const TimestampTz *>(call->user_fctx)[call->call_cntr];

	SRF_RETURN_NEXT(call, TimestampTzGetDatum(run));
}
