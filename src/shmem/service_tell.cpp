/*
 * service_tell.cpp
 *	  What transactions and visits tell of services: rows that were made, changed, read, dropped. See service_table.hpp.
 *
 * Runs in sessions, at the end of a transaction that changed a row; in visits, which read the whole table; in the
 * process of a service that finds no row. All of it is changing of fields, setting of latches and, for a command that
 * is to stop, a signal: nothing raises, nothing allocates. If a visit dies halfway, its load drops nothing, and the next
 * one does. If a session dies before it has told what it had committed, the server goes down with it, and visits load
 * everything anew.
 */
#include "shmem/service_inside.hpp"

#include "shmem/databases.hpp"

namespace worker_pool
{

/* The load of this process that has begun; what was told after that is newer. */
static uint64 my_load = 0;
static uint64 load_told = PG_UINT64_MAX;

void
TellToLeave(int index, ServiceChange how, TimestampTz now)
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	Assert(how == ServiceChange::kAfterCycle || how == ServiceChange::kNow);
	ServiceEntry &entry = service_entries[index];

	if (entry.slot == kNone)
		return;
	if (how == ServiceChange::kNow)
		entry.by_itself = SlotAt(entry.slot).pid == MyProcPid;
	if (!entry.leave || how > entry.leave_how)
	{
		entry.leave = true;
		entry.leave_how = how;
		entry.leave_since = now;
		entry.leave_warned = entry.signalled_cancel = false;
		/*
		 * What has an entry point is asked first (should_stop); a command has no other way to hear of it. One that
		 * stops itself ends its cycle.
		 */
		if (how == ServiceChange::kNow && entry.entry_point[0] == '\0' &&
			SlotAt(entry.slot).state == SlotState::kRunning && SlotAt(entry.slot).pid != MyProcPid)
		{
			entry.signalled_cancel = true;
			SignalService(entry.slot, false);
		}
	}
	compat::SetLatchOf(SlotAt(entry.slot).proc);
}

/* Its row is gone: it goes, or its process is told. */
static void
DropEntry(int index, TimestampTz now)
{
	ServiceEntry &entry = service_entries[index];

	entry.wanted = false;
	if (!entry.dropped)
	{
		entry.dropped = true;
		service_table->dropped++;
	}
	if (entry.slot == kNone)
		FreeServiceEntry(index);
	else
		TellToLeave(index, ServiceChange::kNow, now);
}

/* Is what the entry knows newer than the spec? */
static bool
IsNewer(const ServiceEntry &entry, const ServiceSpec &spec)
{
	return spec.order != 0 ? entry.order > spec.order : entry.told > load_told;
}

/*
 * Drops other entries of that (database, name): their rows are gone, for the name is unique. False: one of them is
 * newer, so the row that is told is gone itself.
 */
static bool
SupersedeRivals(const ServiceSpec &spec, TimestampTz now)
{
	for (int i = 0; i < pool->services_used; i++)
	{
		if (service_keys[i].database != spec.database || service_keys[i].id == spec.id ||
			service_entries[i].dropped || strcmp(service_entries[i].name, spec.name) != 0)
			continue;
		if (IsNewer(service_entries[i], spec))
			return false;
		DropEntry(i, now);
	}
	return true;
}

/* What became of an entry by a spec. */
struct Difference
{
	bool any;
	bool every;
	bool process; /* another process is to run it */
};

/* A quarantine that is not written down yet is newer than the row; only starting it anew ends that. */
static Difference
CopySpec(ServiceEntry &entry, const ServiceSpec &spec, bool anew)
{
	const bool held = entry.store && !anew;
	const bool wanted = spec.wanted && !held;
	Difference difference = {};

	difference.every = entry.every_ms != spec.every_ms;
	difference.process =
		entry.run_as != spec.run_as || strcmp(entry.entry_point, spec.entry_point) != 0;
	difference.any = difference.every || difference.process || entry.wanted != wanted ||
					 entry.owner != spec.owner || entry.any_server != spec.any_server ||
					 entry.timeout_ms != spec.timeout_ms || strcmp(entry.name, spec.name) != 0;
	/* the process that is there stays what it is until it has left */
	if (strcmp(entry.entry_point, spec.entry_point) != 0 && entry.slot != kNone)
		entry.outdated = true;
	else if (strcmp(entry.entry_point, spec.entry_point) != 0)
		entry.resident = entry.unconnected = entry.config_wanted = false;
	entry.owner = spec.owner;
	entry.run_as = spec.run_as;
	strlcpy(entry.name, spec.name, sizeof(entry.name));
	strlcpy(entry.entry_point, spec.entry_point, sizeof(entry.entry_point));
	entry.every_ms = spec.every_ms;
	entry.timeout_ms = spec.timeout_ms;
	entry.any_server = spec.any_server;
	entry.wanted = wanted;
	entry.quarantined = spec.quarantined || held;
	/* stop_service: nobody needs to write the quarantine down any more */
	if (anew && !wanted)
		entry.store = false;
	return difference;
}

/* Its process cannot read the config itself: a visit brings it, the one that reads the rows now, or another. */
static void
WantConfig(ServiceEntry &entry, const ServiceSpec &spec)
{
	entry.config_wanted = true;
	entry.config_refused = false;
	if (spec.order != 0)
		WantVisit(entry.database);
}

/* It is to run: when, and by which process. */
static void
ApplyWanted(int index, const ServiceSpec &spec, ServiceChange how, const Difference &difference,
			TimestampTz now)
{
	ServiceEntry &entry = service_entries[index];
	const bool anew = how >= ServiceChange::kNow;
	const bool at_rest =
		entry.state == ServiceState::kStopped || entry.state == ServiceState::kQuarantined;

	/* a visit may be the one to tell that it is out of quarantine (COMMIT PREPARED, adopt) */
	if (anew || entry.state == ServiceState::kQuarantined)
		ForgetTroubles(entry);
	if (how == ServiceChange::kNow)
	{
		entry.restarting = true;
		TellToLeave(index, ServiceChange::kNow, now);
	}
	else if (how == ServiceChange::kAfterCycle || difference.process)
		TellToLeave(index, ServiceChange::kAfterCycle, now);

	if (at_rest || (anew && entry.state != ServiceState::kRunning))
	{
		MoveService(entry, ServiceState::kStarting, now);
		entry.next_start = now;
	}
	/* what was wrong may be mended by it */
	else if (entry.state == ServiceState::kBackingOff && spec.order != 0)
		entry.next_start = now;
	else if (entry.state == ServiceState::kWaiting && difference.every)
		entry.next_start = NextCycleUs(entry.begun_at, entry.every_ms, now);
}

bool
PutService(const ServiceSpec &spec, ServiceChange how, TimestampTz now)
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	int index = FindService(spec.database, spec.id);

	if (index != kNone && spec.order == 0)
		service_entries[index].seen = std::max(service_entries[index].seen, my_load);
	if (index != kNone && IsNewer(service_entries[index], spec))
		return true;
	if (!SupersedeRivals(spec, now))
		return true;
	if (index == kNone)
	{
		if (!spec.wanted)
			return true;
		index = MakeServiceEntry(spec);
		if (index == kNone)
			return false;
		service_entries[index].seen = spec.order == 0 ? my_load : 0;
	}

	ServiceEntry &entry = service_entries[index];
	const Difference difference = CopySpec(entry, spec, how >= ServiceChange::kNow);

	if (entry.dropped)
	{
		entry.dropped = false;
		service_table->dropped--;
	}
	if (spec.order != 0)
	{
		entry.order = spec.order;
		entry.told = ++service_table->told;
	}
	if (spec.order != 0 || difference.any)
	{
		entry.version++;
		if (entry.slot != kNone)
			compat::SetLatchOf(SlotAt(entry.slot).proc);
	}
	/* a load cannot see whether it has changed, so it is brought again */
	if (entry.unconnected && !entry.outdated && entry.wanted)
		WantConfig(entry, spec);
	if (!entry.wanted)
		entry.config_wanted = false;
	if (entry.wanted)
		ApplyWanted(index, spec, how, difference, now);
	else if (entry.slot != kNone)
		TellToLeave(index, ServiceChange::kNow, now);
	else
		RestService(entry, now);
	return true;
}

void
DropServiceEntry(Oid database, int64 id, uint64 order, TimestampTz now)
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	const int index = FindService(database, id);

	if (index == kNone || (order != 0 && order < service_entries[index].order))
		return;
	service_entries[index].order = std::max(service_entries[index].order, order);
	service_entries[index].told = ++service_table->told;
	DropEntry(index, now);
}

void
ServiceFoundUnwanted(int index, uint64 version, bool gone, TimestampTz now)
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	ServiceEntry &entry = service_entries[index];

	if (entry.serial == 0 || entry.version != version)
		return;
	if (gone)
		DropEntry(index, now);
	else
	{
		entry.wanted = false;
		TellToLeave(index, ServiceChange::kAfterCycle, now);
	}
}

void
ForgetServices(Oid database, TimestampTz now)
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	for (int i = pool->services_used - 1; i >= 0; i--)
		if (service_keys[i].database == database)
			DropEntry(i, now);
}

/* --- a load -------------------------------------------------------------------------------------------------- */

void
BeginServiceLoad()
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	my_load = ++service_table->loads;
	load_told = service_table->told;
}

void
EndServiceLoad(Oid database, TimestampTz now)
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	for (int i = pool->services_used - 1; i >= 0; i--)
		if (service_keys[i].database == database && service_entries[i].seen < my_load &&
			service_entries[i].told <= load_told)
			DropEntry(i, now);
	load_told = PG_UINT64_MAX;
}

} // namespace worker_pool
