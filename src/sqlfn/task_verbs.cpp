/*
 * task_verbs.cpp
 *	  cancel_task, retry_task, wait_task, await_task in the session that calls them; current_task and report_progress in
 *	  the worker that runs a task, report_progress also in that of a service.
 *
 * await_task ends the transaction it is called in and waits without a snapshot, as await_worker does: what a waiter
 * inside a statement would hold back or block does not notice it.
 */
#include "feature/tasks.hpp"

#include "feature/task_authority.hpp"
#include "pg/guard.hpp"
#include "process/worker.hpp"
#include "sqlfn/verb_arguments.hpp"

namespace worker_pool
{

static constexpr int64 kDefaultGraceMs = 5000;

/* Refuses to be called where the transaction cannot be ended (25001). */
static void
RefuseAtomicContext(FunctionCallInfo fcinfo)
{
	const auto *context = reinterpret_cast<const CallContext *>(fcinfo->context);

	if (context != nullptr && IsA(context, CallContext) && !context->atomic)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
			 errmsg("await_task cannot be called in a transaction block or from a function"),
			 errdetail("It ends the current transaction, to wait without holding a snapshot."),
			 errhint("CALL it as a statement of its own, or use worker_pool.wait_task.")));
}

/* A time-out of a wait as WaitForTask takes it. */
static int64
WaitLimit(FunctionCallInfo fcinfo, int n)
{
	const int64 timeout_ms = ReadTimeout(fcinfo, n);

	return timeout_ms == 0 ? -1 : timeout_ms;
}

/* What report_progress says, before it is stored under the lock. */
struct Progress
{
	float fraction; /* -1: none */
	char message[sizeof(WorkerSlot::message)];
};

/* 22023 for a fraction outside of 0 to 1. A message is cut at a character that fits. */
static Progress
ReadProgress(FunctionCallInfo fcinfo)
{
	Progress progress = {};

	progress.fraction = PG_ARGISNULL(0) ? -1 : PG_GETARG_FLOAT4(0);
	/* in this form NaN is refused, too */
	if (!PG_ARGISNULL(0) && !(progress.fraction >= 0 && progress.fraction <= 1))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"fraction\" must be between 0 and 1")));
	if (PG_ARGISNULL(1))
		return progress;

	const char *message = text_to_cstring(PG_GETARG_TEXT_PP(1));
	const int length = pg_mbcliplen(message, static_cast<int>(strlen(message)),
									static_cast<int>(sizeof(progress.message)) - 1);

	memcpy(progress.message, message, static_cast<Size>(length));
	return progress;
}

static void
StoreProgress(const Progress &progress)
{
	const TimestampTz now = GetCurrentTimestamp();
	LockScope lock(PoolLock());
	WorkerSlot &slot = SlotAt(my_slot);

	if (slot.task_id == 0 &&
		!(slot.kind == SlotKind::kService && slot.state == SlotState::kRunning))
		return;
	slot.progress = progress.fraction;
	slot.progress_at = now;
	memcpy(slot.message, progress.message, sizeof(slot.message));
}

} // namespace worker_pool

WP_SQL_FUNCTION(worker_pool_cancel_task)
{
	using namespace worker_pool;
	EnterVerb();

	const int64 id = ReadTaskId(fcinfo, 0);
	const int64 grace_ms = ReadInterval(fcinfo, 1, "grace", kDefaultGraceMs);

	PG_RETURN_BOOL(CancelTask(id, grace_ms));
}

WP_SQL_FUNCTION(worker_pool_retry_task)
{
	using namespace worker_pool;
	EnterVerb();
	PG_RETURN_BOOL(RetryTask(ReadTaskId(fcinfo, 0)));
}

WP_SQL_FUNCTION(worker_pool_wait_task)
{
	using namespace worker_pool;
	EnterVerb();
	EnterDurableVerb();

	const int64 id = ReadTaskId(fcinfo, 0);
	const int64 timeout_ms = WaitLimit(fcinfo, 1);

	CheckMayWaitForTask(id, false);
	PG_RETURN_TEXT_P(cstring_to_text(WaitForTask(id, timeout_ms)));
}

WP_SQL_FUNCTION(worker_pool_await_task)
{
	using namespace worker_pool;
	EnterVerb();
	EnterDurableVerb();
	RefuseAtomicContext(fcinfo);

	const int64 id = ReadTaskId(fcinfo, 0);
	const int64 timeout_ms = WaitLimit(fcinfo, 1);

	CheckMayWaitForTask(id, true);
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect_ext failed");
	SPI_commit();
	/* does nothing where SPI_commit has done it */
	SPI_start_transaction();
	Assert(!ActiveSnapshotSet());
	(void) WaitForTask(id, timeout_ms);
	SPI_finish();
	PG_RETURN_VOID();
}

WP_SQL_FUNCTION(worker_pool_current_task)
{
	using namespace worker_pool;
	(void) fcinfo;

	const int64 id = MyTaskId();

	if (id == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(id);
}

WP_SQL_FUNCTION(worker_pool_report_progress)
{
	using namespace worker_pool;
	const Progress progress = ReadProgress(fcinfo);

	if (pool != nullptr && my_slot != kNone)
		StoreProgress(progress);
	PG_RETURN_VOID();
}
