/*
 * api.cpp
 *	  Fills and publishes the struct of worker_pool.h. The functions run in whatever process calls them: an entry point, a
 *	  session, a background worker of another extension.
 *
 * Each is a plain C function to its caller: an ERROR leaves it as from any function of the server, a C++ exception never
 * does (EnterCpp). What an entry point asks is answered by service_runner.hpp, of the process; commands and tasks by
 * the SQL functions (api_work.cpp); slots by lease.hpp.
 *
 * sleep() looks, and only then waits:
 *
 *		interrupts, configuration, statistics		TendService: may raise, or end the process
 *		stop, reload, latch, time over?	-------->	return what of it is true
 *		wait on the latch, reset it, from the top
 *
 * Whoever changes what it looks at sets the latch afterwards, so a change between the look and the wait ends the wait;
 * one before the look is seen by it, even if somebody else has reset the latch since.
 */
#include "api/api.hpp"

#include "feature/lease.hpp"
#include "pg/guard.hpp"
#include "process/service_runner.hpp"
#include "shmem/ready.hpp"

namespace worker_pool
{

/* 55000 */
static void
RequireEntryPoint(const char *function)
{
	if (likely(entry_point_state.in_call))
		return;
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("%s of worker_pool was called outside of an entry point", function),
					errdetail("Only a service that runs the entry point of a library has one.")));
}

/* --- sleep ------------------------------------------------------------------------------------------------------ */

/* Have the settings changed that config() returns, since this was asked last? */
static bool
ConfigMoved()
{
	const uint64 version = ServiceConfigVersion();

	if (version == entry_point_state.reload_seen)
		return false;
	entry_point_state.reload_seen = version;
	return true;
}

/*
 * One wait, to the deadline or, while it is not known yet whether this service brings the server down, until that can
 * be told; true: the latch was set.
 */
static bool
WaitOnce(TimestampTz now, TimestampTz deadline)
{
	if (ServiceAt(entry_point_state.service).suspect)
		deadline = std::min(deadline, now + kCarefulLimitUs);

	static uint32 wait_event = 0;
	/* rounded up, and at most a day at a time: PostgreSQL's own waits take an int's worth */
	const long wait_ms = static_cast<long>(
		std::clamp<int64>((deadline - now + 999) / 1000, 1, INT64CONST(86400000)));
	const int events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (deadline == DT_NOEND ? 0 : WL_TIMEOUT);

	/* outside of a statement nothing may be held back from VACUUM */
	if (!ActiveSnapshotSet())
		InvalidateCatalogSnapshot();

	const int woken = WaitLatch(MyLatch, events, deadline == DT_NOEND ? -1 : wait_ms,
								compat::WaitEvent("WorkerPoolService", &wait_event));

	if ((woken & WL_LATCH_SET) == 0)
		return false;
	ResetLatch(MyLatch);
	return true;
}

static uint32
SleepAsService(int64 timeout_ms)
{
	const TimestampTz begun_at = GetCurrentTimestamp();
	const TimestampTz deadline = timeout_ms < 0 || timeout_ms > (DT_NOEND - begun_at) / 1000 - 1
									 ? DT_NOEND
									 : begun_at + timeout_ms * 1000;
	bool reloaded = TendService(timeout_ms);
	bool latched = false;

	for (;;)
	{
		const TimestampTz now = GetCurrentTimestamp();
		uint32 why = latched ? WORKER_POOL_WAKE_LATCH : 0;

		if (ServiceIsToStop())
			why |= WORKER_POOL_WAKE_STOP;
		if (ConfigMoved() || reloaded)
			why |= WORKER_POOL_WAKE_RELOAD;
		if (now >= deadline)
			why |= WORKER_POOL_WAKE_TIMEOUT;
		if (why != 0)
			return why;
		latched = WaitOnce(now, deadline);
		reloaded = TendService(0);
	}
}

/* --- the struct's functions ----------------------------------------------------------------------------------------- */

static void
RegisterService(const WorkerPoolService *service)
{
	EnterCpp([service]() { RegisterEntryPoint(service); });
}

static bool
ShouldStop()
{
	return ServiceIsToStop();
}

static uint32_t
Sleep(int64_t timeout_ms)
{
	return EnterCpp(
		[timeout_ms]()
		{
			RequireEntryPoint("sleep");
			if (timeout_ms < -1)
				ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
								errmsg("the time to sleep must not be negative"),
								errhint("-1 sleeps without limit.")));
			return SleepAsService(timeout_ms);
		});
}

static char *
Config()
{
	return EnterCpp(
		[]()
		{
			RequireEntryPoint("config");
			return ServiceConfig();
		});
}

static const char *
ServiceName()
{
	return EnterCpp(
		[]()
		{
			RequireEntryPoint("service_name");
			return entry_point_state.name;
		});
}

static void
CycleDone()
{
	EnterCpp(
		[]()
		{
			RequireEntryPoint("cycle_done");
			ServiceRoundDone();
		});
}

static void
ReportProgress(double fraction, const char *message)
{
	EnterCpp([fraction, message]() { ApiReportProgress(fraction, message); });
}

static int64_t
StartWorker(const WorkerPoolCommand *command)
{
	return EnterCpp([command]() { return ApiStartWorker(command); });
}

static int64_t
Enqueue(const WorkerPoolTask *task)
{
	return EnterCpp([task]() { return ApiEnqueue(task); });
}

static const char *
Wait(WorkerPoolWork what, int64_t id, int64_t timeout_ms)
{
	return EnterCpp([what, id, timeout_ms]() { return ApiWait(what, id, timeout_ms); });
}

static bool
Cancel(WorkerPoolWork what, int64_t id, int64_t grace_ms)
{
	return EnterCpp([what, id, grace_ms]() { return ApiCancel(what, id, grace_ms); });
}

static uint64_t
AcquireSlot(const char *name, int64_t timeout_ms)
{
	return EnterCpp([name, timeout_ms]() { return AcquireLease(name, timeout_ms); });
}

static bool
AttachSlot(uint64_t ticket)
{
	return AttachToLease(ticket);
}

static void
ReleaseSlot(uint64_t ticket)
{
	ReleaseLease(ticket);
}

/* In the order of worker_pool.h. */
static constexpr WorkerPoolApi kApi = {
	sizeof(WorkerPoolApi),
	WORKER_POOL_API_VERSION,
	RegisterService,
	ShouldStop,
	Sleep,
	Config,
	ServiceName,
	CycleDone,
	ReportProgress,
	StartWorker,
	Enqueue,
	Wait,
	Cancel,
	AcquireSlot,
	AttachSlot,
	ReleaseSlot,
};

void
PublishApi()
{
	*find_rendezvous_variable(WORKER_POOL_RENDEZVOUS) = const_cast<WorkerPoolApi *>(&kApi);
}

} // namespace worker_pool
