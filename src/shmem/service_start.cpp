/*
 * service_start.cpp
 *	  Which services should run, and which process has to leave. Asked by the launcher, each time it looks, and by the
 *	  process of a service; nothing is changed here, so a look that was missed is made up for by the next one.
 */
#include "shmem/service_inside.hpp"

#include "config/settings.hpp"
#include "shmem/databases.hpp"

namespace worker_pool
{

bool
MustLeave(const ServiceEntry &entry)
{
	if (entry.dropped || entry.leave || !entry.wanted || entry.slot == kNone || !settings::enabled)
		return true;
	if (entry.unconnected && entry.config_refused)
		return true;

	const WorkerSlot &slot = SlotAt(entry.slot);

	if (slot.give_way || slot.terminate_sent || slot.state == SlotState::kStopping ||
		slot.target.role != entry.run_as)
		return true;
	return !entry.any_server && RecoveryInProgress();
}

bool
IsToLeaveNow(const ServiceEntry &entry)
{
	if (entry.slot == kNone)
		return false;
	if (entry.dropped || !entry.wanted || (entry.leave && entry.leave_how == ServiceChange::kNow))
		return true;
	/* it has no cycle to end with */
	return entry.resident && MustLeave(entry);
}

/* Nothing sets a time further away than that. */
static int64
LongestDelayMs(const ServiceEntry &entry)
{
	return entry.state == ServiceState::kWaiting
			   ? entry.every_ms
			   : std::max(settings::restart_backoff_initial_ms, settings::restart_backoff_max_ms);
}

bool
IsServiceDue(const ServiceEntry &entry, TimestampTz now)
{
	return IsDueUs(entry.next_start, LongestDelayMs(entry), now);
}

int
ResidentLimit()
{
	return TaskSlotLimit() - 1;
}

int
ResidentCount()
{
	Assert(LWLockHeldByMe(PoolLock()));
	int count = 0;
	dlist_iter iter;

	dlist_foreach(iter, &pool->running_slots)
	{
		const WorkerSlot &slot = *dlist_container(WorkerSlot, node, iter.cur);

		if (slot.kind == SlotKind::kLease ||
			(slot.kind == SlotKind::kService && slot.service != kNone &&
			 ServiceAt(slot.service).resident))
			count++;
	}
	return count;
}

/* Under max_workers_per_database one worker is left to whatever else its database wants. */
static int
ResidentLimitOfDatabase()
{
	return settings::max_workers_per_database > 0 ? settings::max_workers_per_database - 1
												  : SlotCount();
}

bool
HasResidentRoom(const ServiceEntry &entry)
{
	Assert(LWLockHeldByMe(PoolLock()));
	const TimestampTz since = entry.slot == kNone ? DT_NOEND : SlotAt(entry.slot).registered_at;
	int count = 0;
	int in_database = 0;
	dlist_iter iter;

	dlist_foreach(iter, &pool->running_slots)
	{
		const WorkerSlot &slot = *dlist_container(WorkerSlot, node, iter.cur);

		if (slot.kind == SlotKind::kLease)
			count++;
		if (slot.kind != SlotKind::kService || slot.service == kNone)
			continue;

		const ServiceEntry &other = ServiceAt(slot.service);

		if (!other.resident || other.serial == entry.serial || slot.registered_at > since)
			continue;
		/* one that has its slot does not go for one that goes anyway */
		if (entry.slot != kNone && MustLeave(other))
			continue;
		count++;
		in_database += other.database == entry.database ? 1 : 0;
	}
	return count < ResidentLimit() && in_database < ResidentLimitOfDatabase();
}

/* Should it run, and could it, as far as it itself is concerned? Whether it is due is another matter. */
static bool
IsStartable(const ServiceEntry &entry, bool in_recovery)
{
	if (entry.serial == 0 || entry.dropped || !entry.wanted || !settings::enabled)
		return false;
	if (entry.state != ServiceState::kStarting && entry.state != ServiceState::kWaiting &&
		entry.state != ServiceState::kBackingOff)
		return false;
	if (in_recovery && !entry.any_server)
		return false;
	if (entry.unconnected && entry.config_version != entry.version)
		return false;
	/* on its way, at work, or leaving: only an idle process can be given something to do */
	if (entry.slot != kNone && (SlotAt(entry.slot).state != SlotState::kIdle || MustLeave(entry)))
		return false;
	return !IsBlocked(entry.database);
}

/* Would it be one resident too many? */
static bool
ExceedsLimit(const ServiceEntry &entry)
{
	return entry.resident && entry.slot == kNone && !HasResidentRoom(entry);
}

bool
CanStart(const ServiceEntry &entry, bool in_recovery, TimestampTz now, TimestampTz *next)
{
	Assert(LWLockHeldByMe(PoolLock()));
	if (!IsStartable(entry, in_recovery))
		return false;
	if (!IsServiceDue(entry, now))
	{
		*next = std::min(*next, entry.next_start);
		return false;
	}
	return !HasRival(entry) && !ExceedsLimit(entry);
}

bool
LacksRoom(const ServiceEntry &entry, bool in_recovery, TimestampTz now)
{
	Assert(LWLockHeldByMe(PoolLock()));
	return entry.resident && IsStartable(entry, in_recovery) && IsServiceDue(entry, now) &&
		   !HasRival(entry) && ExceedsLimit(entry);
}

/* --- sleepers -------------------------------------------------------------------------------------------------- */

void
WakeServiceWaiters()
{
	/* what was changed before is seen by who counts itself after this look, and looks then */
	pg_memory_barrier();
	if (pg_atomic_read_u32(&pool->service_waiters) > 0)
		ConditionVariableBroadcast(&pool->service_changed);
}

} // namespace worker_pool
