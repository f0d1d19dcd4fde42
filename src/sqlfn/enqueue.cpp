/*
 * enqueue.cpp
 *	  enqueue. Runs in the session that calls it, or in a worker whose command does.
 *
 * Everything that can be wrong with a call is found before a row is written: the arguments, the rights, the syntax,
 * whether the command can be atomic. Then feature/enqueue_task.cpp stores the task in the caller's transaction.
 */
#include "feature/tasks.hpp"

#include "feature/authority.hpp"
#include "feature/statement_kind.hpp"
#include "feature/task_authority.hpp"
#include "pg/guard.hpp"
#include "sqlfn/syntax.hpp"
#include "sqlfn/verb_arguments.hpp"

namespace worker_pool
{

static constexpr int64 kDefaultRetryDelayMs = 5000;

enum EnqueueArgument : int
{
	kArgCommand,
	kArgArgs,
	kArgQueue,
	kArgPriority,
	kArgRunAt,
	kArgMaxAttempts,
	kArgRetryDelay,
	kArgTimeout,
	kArgExpiresAt,
	kArgKey,
	kArgOnConflict,
	kArgConcurrencyKey,
	kArgDependsOn,
	kArgRunAs,
	kArgAtomic,
	kArgSettings,
	kArgHistory,
	kArgName,
};

/* When it expires; infinity for never. 22023 for a time that is over, or before it may run. */
static TimestampTz
ReadExpiry(FunctionCallInfo fcinfo, TimestampTz run_at)
{
	if (PG_ARGISNULL(kArgExpiresAt) || PG_GETARG_TIMESTAMPTZ(kArgExpiresAt) == DT_NOEND)
		return DT_NOEND;

	const TimestampTz expires_at = ReadTime(fcinfo, kArgExpiresAt, "expires_at", DT_NOEND);

	if (expires_at <= GetCurrentTimestamp())
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"expires_at\" must be in the future"),
						errdetail("It is %s.", timestamptz_to_str(expires_at))));
	if (expires_at <= run_at)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"expires_at\" must be after \"run_at\""),
				 errdetail("The task would expire before it may run.")));
	return expires_at;
}

static OnConflict
ReadOnConflict(FunctionCallInfo fcinfo)
{
	static constexpr const char *kWords[] = {"keep", "replace", "error", nullptr};
	static constexpr OnConflict kMeanings[] = {OnConflict::kKeep, OnConflict::kReplace,
											   OnConflict::kError};

	return kMeanings[ReadWord(fcinfo, kArgOnConflict, "on_conflict", kWords)];
}

/* The command with what it is bound and set to; returns whether it is atomic. */
static bool
ReadCommand(FunctionCallInfo fcinfo, NewTask *task)
{
	Request request = {};

	request.text = ReadCommandText(fcinfo, kArgCommand);
	ReadArgs(fcinfo, kArgArgs, &request);
	ReadSettings(fcinfo, kArgSettings, &request);
	CheckMayStart(MyDatabaseId, task->form.run_as);
	CheckSyntax(request);
	task->command = request.text;
	task->args = ReadArgsToStore(fcinfo, kArgArgs);
	task->settings = ReadSettingsToStore(fcinfo, kArgSettings);
	return ResolveAtomic(request.text, ReadTristate(fcinfo, kArgAtomic));
}

static EnqueueRequest
ReadEnqueue(FunctionCallInfo fcinfo)
{
	EnqueueRequest request = {};
	NewTask &task = request.task;
	FormTask &form = task.form;
	const char *queue = ReadQueueName(fcinfo, kArgQueue);

	form.run_as = ReadRole(fcinfo, kArgRunAs);
	form.atomic = ReadCommand(fcinfo, &task);
	form.priority = PG_ARGISNULL(kArgPriority) ? 0 : PG_GETARG_INT32(kArgPriority);
	form.run_at = ReadTime(fcinfo, kArgRunAt, "run_at", GetCurrentTransactionStartTimestamp());
	form.expires_at = ReadExpiry(fcinfo, form.run_at);
	form.max_attempts = ReadMaxAttempts(fcinfo, kArgMaxAttempts);
	form.retry_delay_ms = ReadInterval(fcinfo, kArgRetryDelay, "retry_delay", kDefaultRetryDelayMs);
	form.timeout_ms = ReadTimeout(fcinfo, kArgTimeout);
	form.history = ReadHistory(fcinfo, kArgHistory);
	task.queue = queue == nullptr ? kDefaultQueue : queue;
	task.name = ReadName(fcinfo, kArgName);
	task.key = ReadKey(fcinfo, kArgKey, "key");
	task.concurrency_key = ReadKey(fcinfo, kArgConcurrencyKey, "concurrency_key");
	request.on_conflict = ReadOnConflict(fcinfo);
	request.depends_on = ReadTaskIds(fcinfo, kArgDependsOn, "depends_on", &request.depend_count);
	return request;
}

} // namespace worker_pool

WP_SQL_FUNCTION(worker_pool_enqueue)
{
	using namespace worker_pool;
	EnterVerb();
	EnterDurableVerb();

	EnqueueRequest request = ReadEnqueue(fcinfo);

	PG_RETURN_INT64(EnqueueTask(&request));
}
