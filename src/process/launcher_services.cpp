/*
 * launcher_services.cpp
 *	  What services want of the launcher. Launcher only.
 *
 * The entries (shmem/service_table.hpp) say how each service does, and the launcher looks through them each time that
 * it wakes. First it tends to those who have a process or have had bad luck:
 *	- one that is to be gone and is not gets SIGINT after 5 s, SIGTERM after 10, and after 15 a WARNING, once, with its
 *	  pid; nothing worse: SIGKILL would take the whole server down. A resident main has no cycle to end with, so that
 *	  counts for it, too, when the pool is switched off, when it is to run as another role, or when DDL waits for it;
 *	- one that has outlived its timeout by 15 s ignores interrupts: a WARNING. Its own timer has cancelled it by then,
 *	  and terminated it, in vain;
 *	- what befell services is logged, once an episode (launcher_notices.cpp);
 *	- a start that failed is tried again at once when roles, grants or databases have changed: that may have mended it;
 *	  whether the owner of a service without a database is a superuser still is asked again, too;
 *	- where limits were lowered below what resident mains hold, the youngest are asked to leave, and wait for a slot;
 *	- a resident main that has run for restart_backoff_reset is healthy, as others are that end a cycle;
 *	- configs that nobody needs are freed, which nobody may do under the lock;
 *	- services for which there was no room are loaded, by visits, when there is some again.
 * Then it tells the policy of those that are due and could run (AddServiceDemands): one process each, oldest first. An
 * idle process wakes itself when it is due; only where it was refused a place it is for the policy to say when.
 *
 * A launcher that dies leaves all of this in the entries, and its successor goes on: what was signalled and logged is
 * noted there, under the lock, before it is done. So a message may be lost with the launcher, but none comes twice.
 */
#include "process/launcher_notices.hpp"

#include "config/settings.hpp"
#include "shmem/databases.hpp"
#include "shmem/memory.hpp"
#include "shmem/service_table.hpp"

namespace worker_pool
{

static constexpr int kMostNotices = 16; /* of one look; the rest comes with the next */
static constexpr int64 kFullAgainUs = USECS_PER_HOUR;

struct Tending
{
	TimestampTz now;
	TimestampTz next;
	bool changed;
	int count;
	Notice notices[kMostNotices];
};

/* Once a launcher's life. */
static Tending tending;
static TimestampTz full_warned_at = 0;
static uint64 limits_asked_for = 0; /* one more than setting_changes was */

/* --- looking, under the lock --------------------------------------------------------------------------------------- */

/* Notes something to be logged; false: not in this look. */
static bool
AddNotice(NoticeKind kind, const ServiceEntry &entry, TimestampTz since)
{
	if (tending.count == kMostNotices)
	{
		tending.next = tending.now;
		return false;
	}

	Notice &notice = tending.notices[tending.count++];

	notice.kind = kind;
	notice.start_failed = entry.start_failed;
	notice.no_room = entry.no_room;
	notice.database = entry.database;
	strlcpy(notice.name, entry.name, sizeof(notice.name));
	notice.pid = entry.slot == kNone ? 0 : SlotAt(entry.slot).pid;
	notice.since = since;
	notice.next_start = entry.next_start;
	notice.trouble = entry.trouble;
	return true;
}

static void
LookAt(TimestampTz at)
{
	tending.next = std::min(tending.next, at);
}

/* What befell it since the last look. */
static void
TellTroubles(ServiceEntry &entry)
{
	if (entry.untold && AddNotice(NoticeKind::kTrouble, entry, 0))
		entry.untold = false;
	if (entry.state == ServiceState::kQuarantined && entry.store && !entry.quarantine_warned &&
		AddNotice(NoticeKind::kQuarantine, entry, 0))
		entry.quarantine_warned = true;
}

/* It has a process and is to be gone. */
static void
PressToLeave(int index, ServiceEntry &entry)
{
	const WorkerSlot &slot = SlotAt(entry.slot);

	if (!entry.leave)
	{
		TellToLeave(index, ServiceChange::kAfterCycle, tending.now);
		tending.changed = true;
	}
	/* one that never comes is for launcher_starts.cpp; one that has come may hang while it loads its library */
	if (slot.pid == 0)
		return;
	for (;;)
	{
		const StopProgress done = {entry.signalled_cancel, slot.terminate_sent, entry.leave_warned};

		switch (NextStopStep(done, entry.leave_since, tending.now))
		{
			case StopStep::kCancel:
				entry.signalled_cancel = true;
				SignalService(entry.slot, false);
				continue;
			case StopStep::kTerminate:
				TerminateSlot(entry.slot, StopReason::kRequested);
				continue;
			case StopStep::kWarn:
				if (!AddNotice(NoticeKind::kDoesNotStop, entry, entry.leave_since))
					return;
				entry.leave_warned = true;
				continue;
			case StopStep::kNone:
				LookAt(StopLookUs(done, entry.leave_since));
				return;
		}
	}
}

/* Does its cycle run on, long after its time? */
static void
WatchOverrun(ServiceEntry &entry)
{
	if (entry.state != ServiceState::kRunning || entry.deadline == DT_NOEND || entry.overrun_warned)
		return;

	const TimestampTz at = LaterByMs(entry.deadline, kStopWarnMs);

	if (at > tending.now)
		LookAt(at);
	else if (AddNotice(NoticeKind::kOverrun, entry, entry.deadline))
		entry.overrun_warned = true;
}

static void
WatchHealth(int index, const ServiceEntry &entry)
{
	if (!entry.resident || entry.state != ServiceState::kRunning || entry.failures == 0)
		return;

	const TimestampTz at = LaterByMs(entry.begun_at, settings::restart_backoff_reset_ms);

	if (at > tending.now)
	{
		LookAt(at);
		return;
	}
	ServiceIsHealthy(index);
	tending.changed = true;
}

/* Is it a resident main for which there is no slot any more? */
static void
WatchLimit(int index, const ServiceEntry &entry)
{
	if (!entry.resident || entry.leave || SlotAt(entry.slot).state != SlotState::kRunning ||
		HasResidentRoom(entry))
		return;
	TellToLeave(index, ServiceChange::kAfterCycle, tending.now);
	tending.changed = true;
}

/* What kept its process from starting may be gone. */
static void
TryAgain(int index, const ServiceEntry &entry, uint64 authority_changes)
{
	if (!entry.start_failed || entry.state != ServiceState::kBackingOff ||
		entry.authority_seen == authority_changes)
		return;
	ServiceRetries(index, tending.now);
	tending.changed = true;
}

/* The owner of one without a database may have lost what it takes to have it, or got it: a visit looks. */
static void
AskForOwner(ServiceEntry &entry, uint64 authority_changes)
{
	if (!entry.unconnected || !entry.wanted || entry.config_authority == authority_changes)
		return;
	entry.config_authority = authority_changes;
	entry.config_wanted = true;
	WantVisit(entry.database);
}

static void
TendAll()
{
	const uint64 authority_changes = pg_atomic_read_u64(&pool->authority_changes);
	LockScope lock(PoolLock());

	/* a deadline that is made from here on wants a wake (NeedLauncherAt): this look has passed it by */
	pool->launcher_wake_at = DT_NOEND;
	for (int i = 0; i < ServiceCount(); i++)
	{
		ServiceEntry &entry = ServiceAt(i);

		if (entry.serial == 0)
			continue;
		TellTroubles(entry);
		TryAgain(i, entry, authority_changes);
		AskForOwner(entry, authority_changes);
		if (entry.slot == kNone)
			continue;
		WatchLimit(i, entry);
		if (IsToLeaveNow(entry))
			PressToLeave(i, entry);
		WatchOverrun(entry);
		WatchHealth(i, entry);
	}
}

/* --- room and memory -------------------------------------------------------------------------------------------- */

static void
FreeConfigs()
{
	for (;;)
	{
		dsa_pointer config = InvalidDsaPointer;

		{
			LockScope lock(PoolLock());

			config = TakeUnusedConfig();
		}
		if (!DsaPointerIsValid(config))
			return;
		FreeShared(config);
	}
}

/* Rows that found no room: somebody is to know, and visits load them when there is room. */
static void
TendRoom(TimestampTz now)
{
	bool full = false;

	{
		LockScope lock(PoolLock());

		if (!ServiceTableIsFull())
			return;
		full = ServiceRoom() == 0;
		if (!full)
		{
			pool->services_full = 0;
			WantVisitsWhereServed();
		}
	}
	if (!full || (full_warned_at != 0 && now < full_warned_at + kFullAgainUs))
		return;
	full_warned_at = now;
	ereport(WARNING, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					  errmsg("worker_pool has no room for all services of this server"),
					  errdetail("There is room for %d of them.", ServiceCapacity()),
					  errhint("Increase \"worker_pool.max_databases\".")));
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */

TimestampTz
TendServices(TimestampTz now)
{
	if (ServiceCount() == 0 && !ServiceTableIsFull())
		return DT_NOEND;
	/* asked once without the lock: from here on it only reads a flag */
	(void) RecoveryInProgress();
	tending.now = now;
	tending.next = DT_NOEND;
	tending.changed = false;
	tending.count = 0;
	TendAll();
	LogNotices(tending.notices, tending.count);
	FreeConfigs();
	TendRoom(now);
	if (tending.changed)
		WakeServiceWaiters();
	return tending.next;
}

/* --- demands ---------------------------------------------------------------------------------------------------------- */

/* Are the limits of roles up to date? A visit reads them (launcher_tasks.cpp); until then the old ones hold. */
static void
AskForRoleLimits(Oid database)
{
	const uint64 changes = pg_atomic_read_u64(&pool->setting_changes);

	if (RoleLimitsAreOf(changes) || limits_asked_for == changes + 1)
		return;
	limits_asked_for = changes + 1;
	WantVisit(database);
}

TimestampTz
AddServiceDemands(Sight *sight, TimestampTz now)
{
	const bool in_recovery = RecoveryInProgress();
	TimestampTz next = DT_NOEND;

	for (int i = 0; i < ServiceCount(); i++)
	{
		ServiceEntry &entry = ServiceAt(i);
		TimestampTz due = DT_NOEND;

		if (entry.serial == 0 || !entry.wanted)
			continue;
		if (!CanStart(entry, in_recovery, now, &due))
		{
			/* an idle process wakes itself */
			if (entry.slot == kNone)
				next = std::min(next, due);
			if (!entry.no_room && LacksRoom(entry, in_recovery, now))
			{
				ServiceLacksRoom(i);
				next = now;
			}
			continue;
		}
		AskForRoleLimits(entry.database);

		const PairKey target = {entry.database, entry.run_as, ServicePair(entry.serial)};

		sight->targets[sight->demand_count] = target;
		sight->demands[sight->demand_count] = {entry.database,
											   entry.run_as,
											   target.fresh_id,
											   std::min(entry.next_start, now),
											   entry.serial,
											   1,
											   RoleLimitOf(entry.run_as),
											   0,
											   false,
											   INT64_MIN,
											   SlotKind::kService};
		sight->demand_count++;
	}
	return next;
}

} // namespace worker_pool
