/*
 * service_moves.cpp
 *	  What happens to a service: reserved, begun, succeeded, failed, gone. MoveService changes ServiceEntry.state, and
 *	  nothing else does; service_table.hpp has the diagram.
 *
 * Runs in the process of the service, in its exit callback, and in the launcher for one that never came. A process
 * that dies at any point tells of it in its exit callback (ServiceGone); where none ran, the launcher finds the slot
 * still starting and does so; where the process died without one, the server crashes and memory is made anew.
 *
 * What a process does is one of four things. It did what it was there for: failures and crashes in a row are over. It
 * failed: the next start waits, twice as long each time. It crashed, or outlived its timeout: as failed, and the third
 * in a row is the last: quarantine, which a visit writes into the row. It was told to go: that counts as nothing,
 * whatever else befell it meanwhile.
 */
#include "shmem/service_inside.hpp"

#include "config/settings.hpp"
#include "shmem/databases.hpp"

namespace worker_pool
{

void
MoveService(ServiceEntry &entry, ServiceState to, TimestampTz now)
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	if (entry.state == to)
		return;
	Assert(IsLegalMove(entry.state, to));
	entry.state = to;
	entry.state_changed_at = now;
	entry.deadline = DT_NOEND;
}

void
RestService(ServiceEntry &entry, TimestampTz now)
{
	Assert(entry.slot == kNone && !entry.wanted);
	entry.next_start = 0;
	MoveService(entry, entry.quarantined ? ServiceState::kQuarantined : ServiceState::kStopped,
				now);
}

void
NeedLauncherAt(TimestampTz at)
{
	if (at < pool->launcher_wake_at)
		WakeLauncher();
}

/* --- counting ---------------------------------------------------------------------------------------------------- */

/* Failures and crashes in a row are over, and with them the episode. */
static void
EndEpisode(ServiceEntry &entry)
{
	entry.failures = entry.crashes = 0;
	entry.start_failed = false;
	entry.warned = entry.untold = entry.quarantine_warned = false;
}

void
ForgetTroubles(ServiceEntry &entry)
{
	EndEpisode(entry);
	entry.backoff_step = 0;
	entry.healthy_since = 0;
	entry.store = entry.no_room = false;
	entry.trouble.sqlstate = 0;
}

/* The trouble is the launcher's to log, unless this episode was. */
static void
TellLauncher(ServiceEntry &entry)
{
	if (!entry.warned)
		entry.warned = entry.untold = true;
	WakeLauncher();
}

/* One more failure: the next start waits. */
static void
BackOff(ServiceEntry &entry, const BriefError &error, TimestampTz now)
{
	entry.trouble = error;
	entry.no_room = false;
	entry.failures++;
	entry.backoff_step = NextBackoffStep(entry.backoff_step, entry.healthy_since, now,
										 settings::restart_backoff_reset_ms);
	entry.healthy_since = 0;
	entry.last_failure_at = now;
	entry.next_start =
		LaterByMs(now, BackoffDelayMs(entry.backoff_step, settings::restart_backoff_initial_ms,
									  settings::restart_backoff_max_ms));
	MoveService(entry, ServiceState::kBackingOff, now);
}

/* No more starts. The process, if there still is one, finds that it is to leave. */
static void
Quarantine(ServiceEntry &entry, TimestampTz now)
{
	entry.wanted = false;
	entry.quarantined = entry.store = true;
	entry.next_start = 0;
	MoveService(entry, ServiceState::kQuarantined, now);
	WantVisit(entry.database);
	WakeLauncher();
}

/* A failure that may bring it into quarantine. */
static void
CountCrash(ServiceEntry &entry, const BriefError &error, TimestampTz now)
{
	BackOff(entry, error, now);
	entry.crashes++;
	if (entry.crashes >= kMostCrashes && entry.wanted)
		Quarantine(entry, now);
}

/* --- the process -------------------------------------------------------------------------------------------------- */

/* Nothing of a process is left. */
static void
ClearProcess(ServiceEntry &entry)
{
	entry.slot = kNone;
	entry.slot_generation = 0;
	entry.leave = entry.signalled_cancel = entry.leave_warned = entry.overrun_warned = false;
	entry.by_itself = false;
	entry.leave_since = 0;
	entry.careful = false;
	if (entry.outdated)
		entry.resident = entry.unconnected = entry.config_wanted = false;
	entry.outdated = false;
}

void
ServiceReserved(int index, int slot)
{
	ServiceEntry &entry = ServiceAt(index);

	Assert(entry.slot == kNone && entry.wanted);
	ClearProcess(entry);
	entry.slot = slot;
	entry.slot_generation = SlotAt(slot).generation;
	/* what changes from now on, it may not have seen when it fails */
	entry.authority_seen = pg_atomic_read_u64(&pool->authority_changes);
	SlotAt(slot).service = index;
	MoveService(entry, ServiceState::kStarting, SlotAt(slot).registered_at);
}

bool
ServiceBegins(int index, TimestampTz deadline)
{
	ServiceEntry &entry = ServiceAt(index);
	const TimestampTz now = GetCurrentTimestamp();

	if (MustLeave(entry) || !IsServiceDue(entry, now))
		return false;
	MoveService(entry, ServiceState::kRunning, now);
	entry.cycles_begun++;
	entry.begun_at = now;
	entry.deadline = deadline;
	entry.overrun_warned = false;
	entry.start_failed = false;
	if (entry.healthy_since == 0)
		entry.healthy_since = now;
	if (entry.restarting)
		entry.restarts++;
	entry.restarting = false;
	if (entry.no_room)
	{
		entry.no_room = false;
		entry.trouble.sqlstate = 0;
		entry.warned = entry.untold = false;
	}
	if (deadline != DT_NOEND)
		NeedLauncherAt(LaterByMs(deadline, kStopWarnMs));
	if (entry.resident && entry.failures > 0)
		NeedLauncherAt(LaterByMs(now, settings::restart_backoff_reset_ms));
	return true;
}

void
ServiceSucceeded(int index, TimestampTz next, TimestampTz now)
{
	ServiceEntry &entry = ServiceAt(index);

	entry.cycles_done++;
	EndEpisode(entry);
	entry.next_start = next;
	MoveService(entry, ServiceState::kWaiting, now);
}

void
ServiceRound(int index)
{
	ServiceEntry &entry = ServiceAt(index);

	/* the next round begins where this one ends */
	entry.cycles_done++;
	entry.cycles_begun++;
	EndEpisode(entry);
}

void
ServiceFailed(int index, const BriefError &error, bool overran, TimestampTz now)
{
	ServiceEntry &entry = ServiceAt(index);

	if (overran)
		CountCrash(entry, error, now);
	else
		BackOff(entry, error, now);
}

void
ServiceInterrupted(int index, TimestampTz now)
{
	ServiceEntry &entry = ServiceAt(index);

	entry.next_start = now;
	MoveService(entry, ServiceState::kWaiting, now);
}

/* When another process may begin in place of one that was told to go: a command that restarts itself must not spin. */
static TimestampTz
RestartAt(const ServiceEntry &entry, TimestampTz now)
{
	return entry.by_itself
			   ? std::max(now, LaterByMs(entry.begun_at, settings::restart_backoff_initial_ms))
			   : now;
}

/* A process that was told to go has gone: what comes next. restart_at: of one that was told to go at once. */
static void
GoOn(ServiceEntry &entry, bool at_once, TimestampTz restart_at, TimestampTz now)
{
	if (at_once)
	{
		entry.next_start = restart_at;
		MoveService(entry, ServiceState::kStarting, now);
	}
	else if (entry.state == ServiceState::kRunning)
	{
		/* in the middle of a cycle, which counts as nothing */
		entry.next_start = now;
		MoveService(entry, ServiceState::kWaiting, now);
	}
}

void
ServiceGone(int index, bool asked, const BriefError *reason, TimestampTz now)
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	ServiceEntry &entry = ServiceAt(index);

	/* told already (ServiceNotStarted) */
	if (entry.serial == 0 || entry.slot == kNone)
		return;

	const bool told = entry.leave || SlotAt(entry.slot).terminate_sent;
	const bool at_once = entry.leave && entry.leave_how == ServiceChange::kNow;
	const TimestampTz restart_at = RestartAt(entry, now);

	ClearProcess(entry);
	if (entry.dropped)
		FreeServiceEntry(index);
	else if (!entry.wanted)
		RestService(entry, now);
	else if (asked || told)
		GoOn(entry, at_once, restart_at, now);
	else
	{
		BriefError error = {};

		if (reason != nullptr && reason->sqlstate != 0)
			error = *reason;
		else
			SetBriefError(&error, ERRCODE_CONNECTION_FAILURE,
						  "the process of the service went away",
						  "It left no message; the server log may tell more.", nullptr);
		entry.restarting = true;
		CountCrash(entry, error, now);
		TellLauncher(entry);
	}
}

/* Is the process that says so still there, and will say ServiceGone later? */
static bool
IsOfThisProcess(const ServiceEntry &entry)
{
	return entry.slot != kNone && SlotAt(entry.slot).pid == MyProcPid && !proc_exit_inprogress;
}

void
ServiceNotStarted(int index, const BriefError &error, TimestampTz now)
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	ServiceEntry &entry = ServiceAt(index);

	if (entry.serial == 0)
		return;

	const bool told = entry.leave;
	const bool at_once = told && entry.leave_how == ServiceChange::kNow;
	const bool stays = IsOfThisProcess(entry);

	if (!stays)
		ClearProcess(entry);
	if (!entry.wanted)
	{
		if (stays)
			return;
		if (entry.dropped)
			FreeServiceEntry(index);
		else
			RestService(entry, now);
		return;
	}
	if (told)
	{
		GoOn(entry, at_once, now, now);
		return;
	}

	BriefError known = error;

	if (known.sqlstate == 0)
		SetUnexplainedStart(&known);
	entry.start_failed = true;
	entry.restarting = true;
	BackOff(entry, known, now);
	TellLauncher(entry);
}

void
ServiceBringsServerDown(int index, TimestampTz now)
{
	ServiceEntry &entry = ServiceAt(index);

	if (!entry.wanted)
		return;
	SetBriefError(&entry.trouble, ERRCODE_CRASH_SHUTDOWN,
				  "the server went down each time that the service ran",
				  "That was found by starting suspects one at a time.", nullptr);
	entry.last_failure_at = now;
	Quarantine(entry, now);
}

/* --- the launcher ------------------------------------------------------------------------------------------------- */

void
ServiceRetries(int index, TimestampTz now)
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	ServiceEntry &entry = ServiceAt(index);

	entry.authority_seen = pg_atomic_read_u64(&pool->authority_changes);
	entry.next_start = now;
	if (entry.slot != kNone)
		compat::SetLatchOf(SlotAt(entry.slot).proc);
}

void
ServiceIsHealthy(int index)
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	EndEpisode(ServiceAt(index));
}

void
ServiceLacksRoom(int index)
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	ServiceEntry &entry = ServiceAt(index);

	if (entry.no_room)
		return;
	if (ResidentCount() >= ResidentLimit())
		SetBriefError(&entry.trouble, ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
					  "too many resident services are running",
					  "All slots that tasks and services may have but one are held by resident "
					  "services and by leases.",
					  "Stop another one, or increase \"worker_pool.max_workers\".");
	else
		SetBriefError(&entry.trouble, ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
					  "too many resident services are running in the database",
					  "They may hold all but one of the workers that a database may have.",
					  "Stop another one, or increase \"worker_pool.max_workers_per_database\".");
	entry.no_room = true;
	MoveService(entry, ServiceState::kStarting, GetCurrentTimestamp());
	TellLauncher(entry);
}

} // namespace worker_pool
