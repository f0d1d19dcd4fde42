/*
 * service_failure.cpp
 *	  What an ERROR in a service's process means, and what the log says of it. Worker process.
 *
 * It lands in the recovery block of the worker's loop. RecoverService keeps it and rolls back; all that may fail again is
 * done by the next step of ServeService, in the ordinary loop. By the phase (service_work.hpp):
 *	- the cycle: it has failed. The entry backs off and the process stays warm; one that its timeout ended has overrun,
 *	  which counts towards quarantine; one that was cancelled because the service is to leave counts as nothing;
 *	- before it: a start that failed. The process leaves, and its successor may find things mended;
 *	- anything else is work of ours: it is logged, the cycle ends as it did, and the process leaves.
 *
 * A service that fails all night is no reason to fill the log: the ERROR itself is not reported. The first of an episode is
 * one WARNING, those after it are there at DEBUG1, and in the view services. Crashes, failed starts and quarantines
 * are the launcher's to tell (launcher_notices.cpp).
 *
 * A process without a database has neither portals nor catalogs to clean up (RollBack); what an entry point may hold
 * outside of any transaction (files, scans of hash tables) is let go as the autovacuum launcher does it.
 */
#include "process/service_work.hpp"

#include "process/command_timer.hpp"
#include "process/executor.hpp"

extern "C"
{
#include "utils/hsearch.h"
}

namespace worker_pool
{

/* The error on elog's stack, in the words the user is to see. Before anything is rolled back. */
static void
KeepError()
{
	char message[160];

	MemoryContextSwitchTo(service_work.context);

	ErrorData *error = CopyErrorData();

	service_work.overran = CommandTimedOut(message, sizeof(message));
	if (ExplainCancel(error, message, sizeof(message)))
		error->message = pstrdup(message);
	if (service_work.connected && service_work.entry == nullptr)
		AddSearchPathHint(error);
	service_work.error = error;
}

/* RollBack, also of what was done outside of any transaction. */
static void
RollBackService()
{
	RollBack();
	if (service_work.connected && service_work.entry != nullptr)
		LockReleaseAll(USER_LOCKMETHOD, true);
	AtEOXact_Files(false);
	AtEOXact_HashTables(false);
	MemoryContextSwitchTo(MessageContext);
}

void
RecoverService()
{
	const ServicePhase phase = service_work.phase;

	entry_point_state.in_call = false;
	if (phase == ServicePhase::kRunning || phase == ServicePhase::kChecking)
		KeepError();
	else
		EmitErrorReport();
	debug_query_string = nullptr;
	RollBackService();
	RESUME_INTERRUPTS();

	switch (phase)
	{
		case ServicePhase::kRunning:
			service_work.phase = ServicePhase::kFailed;
			break;
		case ServicePhase::kChecking:
		{
			const ErrorData &error = *service_work.error;
			BriefError why = {};

			SetBriefError(&why, error.sqlerrcode, error.message, error.detail, error.hint);
			GoAwayUnstarted(why);
		}
		case ServicePhase::kFailed:
		case ServicePhase::kMarking:
		case ServicePhase::kResetting:
			service_work.retire = true;
			service_work.phase = ServicePhase::kEnding;
			break;
		default:
			GoAway();
	}
}

/* Did the error come because it is to leave? */
static bool
WasInterrupted()
{
	if (service_work.overran)
		return false;

	const bool cancelled = service_work.error->sqlerrcode == ERRCODE_QUERY_CANCELED;
	LockScope lock(PoolLock(), LW_SHARED);
	const ServiceEntry &entry = ServiceAt(service_work.index);

	/* what waits by other means than the server's may say it in other words */
	return IsMine(entry) && IsToLeaveNow(entry) && (cancelled || SlotAt(my_slot).cancel_sent);
}

void
FinishFailed()
{
	if (service_work.authority_gone || WasInterrupted())
	{
		service_work.end = CycleEnd::kInterrupted;
		service_work.retire = service_work.retire || service_work.authority_gone;
	}
	else
		service_work.end = CycleEnd::kFailed;
	WP_FAULT("service.after_failure");
	if (service_work.entry == nullptr)
	{
		service_work.phase = ServicePhase::kResetting;
		HOLD_CANCEL_INTERRUPTS();
		ResetSession();
		RESUME_CANCEL_INTERRUPTS();
	}
	EndCycle();
}

void
LogFailure(bool first, TimestampTz next_start, TimestampTz now)
{
	const ErrorData &error = *service_work.error;
	const double seconds =
		static_cast<double>(std::max<int64>(0, next_start - now)) / USECS_PER_SEC;

	ereport(first ? WARNING : DEBUG1,
			(errcode(error.sqlerrcode),
			 errmsg("service \"%s\" failed: %s", service_work.name, error.message),
			 errdetail("It runs for %s, and is tried again in %.1f s.%s%s", service_work.database,
					   seconds, error.detail != nullptr ? " " : "",
					   error.detail != nullptr ? error.detail : ""),
			 errhint("%s%sThose that follow are not logged; see the view worker_pool.services.",
					 error.hint != nullptr ? error.hint : "", error.hint != nullptr ? " " : ""),
			 error.context != nullptr ? errcontext_msg("%s", error.context) : 0));
}

} // namespace worker_pool
