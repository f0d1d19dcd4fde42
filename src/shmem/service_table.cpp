/*
 * service_table.cpp
 *	  The entries of services in memory: found, made, given up. See service_table.hpp. What is told of them stands in
 *	  service_tell.cpp, what their processes do in service_moves.cpp, when one is started in service_start.cpp.
 *
 * Runs in every process that asks for a service; nothing here raises, waits or allocates.
 *
 * Finding. The keys stand in an array of their own, which is small enough to be walked through. No two entries have
 * the same (database, id). Two of the same (database, name) are there only while the process of the older one, which is
 * dropped then, is leaving; `dropped` counts such entries, so that nobody looks for them when there are none.
 *
 * A config (shared memory of its own) cannot be freed under the lock. An entry that has one and is to go stays, dropped
 * and without a process, until the launcher has taken it (TakeUnusedConfig).
 */
#include "shmem/service_inside.hpp"

#include "config/settings.hpp"
#include "shmem/databases.hpp"

namespace worker_pool
{

static constexpr uint64 kServiceMark = UINT64CONST(1) << 63;

ServiceTable *service_table = nullptr;
ServiceKey *service_keys = nullptr;
ServiceEntry *service_entries = nullptr;

int
ServiceCapacity()
{
	return 2 * settings::max_databases;
}

static Size
KeysSize()
{
	return MAXALIGN(mul_size(ServiceCapacity(), sizeof(ServiceKey)));
}

Size
ServiceMemorySize()
{
	return add_size(MAXALIGN(sizeof(ServiceTable)),
					add_size(KeysSize(), mul_size(ServiceCapacity(), sizeof(ServiceEntry))));
}

void
InitServices(char *memory, bool found)
{
	service_table = reinterpret_cast<ServiceTable *>(memory);
	service_keys = reinterpret_cast<ServiceKey *>(memory + MAXALIGN(sizeof(ServiceTable)));
	service_entries =
		reinterpret_cast<ServiceEntry *>(memory + MAXALIGN(sizeof(ServiceTable)) + KeysSize());
	if (!found)
		memset(memory, 0, ServiceMemorySize());
}

/* --- finding ------------------------------------------------------------------------------------------------- */

int
ServiceCount()
{
	return pool->services_used;
}

ServiceEntry &
ServiceAt(int index)
{
	Assert(index >= 0 && index < ServiceCapacity());
	return service_entries[index];
}

int
FindService(Oid database, int64 id)
{
	Assert(LWLockHeldByMe(PoolLock()));
	for (int i = 0; i < pool->services_used; i++)
		if (service_keys[i].id == id && service_keys[i].database == database)
			return i;
	return kNone;
}

uint64
ServicePair(uint64 serial)
{
	return serial | kServiceMark;
}

bool
IsServicePair(uint64 fresh_id)
{
	return (fresh_id & kServiceMark) != 0;
}

int
FindServiceOfPair(uint64 fresh_id)
{
	Assert(LWLockHeldByMe(PoolLock()));
	if (!IsServicePair(fresh_id))
		return kNone;
	for (int i = 0; i < pool->services_used; i++)
		if (OidIsValid(service_keys[i].database) &&
			ServicePair(service_entries[i].serial) == fresh_id)
			return i;
	return kNone;
}

int
ServiceOfSlot(int slot)
{
	Assert(LWLockHeldByMe(PoolLock()));
	return SlotAt(slot).kind == SlotKind::kService && SlotAt(slot).state != SlotState::kFree
			   ? SlotAt(slot).service
			   : kNone;
}

bool
HasRival(const ServiceEntry &entry)
{
	if (likely(service_table->dropped == 0))
		return false;
	for (int i = 0; i < pool->services_used; i++)
		if (service_keys[i].database == entry.database && service_entries[i].slot != kNone &&
			service_entries[i].serial != entry.serial &&
			strcmp(service_entries[i].name, entry.name) == 0)
			return true;
	return false;
}

/* --- room ------------------------------------------------------------------------------------------------------ */

/* Would its row tell as much? Then it makes room for others: 1, or 2, a stopped one, rather. */
static int
Dispensable(const ServiceEntry &entry)
{
	if (entry.wanted || entry.dropped || entry.slot != kNone || entry.store ||
		DsaPointerIsValid(entry.config))
		return 0;
	return entry.state == ServiceState::kStopped ? 2 : 1;
}

int
ServiceRoom()
{
	Assert(LWLockHeldByMe(PoolLock()));
	int room = ServiceCapacity() - pool->services_used;

	for (int i = 0; i < pool->services_used; i++)
		room +=
			!OidIsValid(service_keys[i].database) || Dispensable(service_entries[i]) > 0 ? 1 : 0;
	return room;
}

bool
ServiceTableIsFull()
{
	return pool->services_full > 0;
}

static void
EmptyEntry(int index)
{
	service_table->dropped -= service_entries[index].dropped ? 1 : 0;
	memset(&service_entries[index], 0, sizeof(ServiceEntry));
	service_entries[index].slot = kNone;
	service_keys[index] = {};
	while (pool->services_used > 0 && !OidIsValid(service_keys[pool->services_used - 1].database))
		pool->services_used--;
}

void
FreeServiceEntry(int index)
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	Assert(service_entries[index].dropped && service_entries[index].slot == kNone);
	if (DsaPointerIsValid(service_entries[index].config))
		WakeLauncher();
	else
		EmptyEntry(index);
}

/* A place that is free, or that of the entry which would be missed least; kNone: there is none. */
static int
FindPlace()
{
	int best = kNone;

	for (int i = 0; i < pool->services_used; i++)
		if (!OidIsValid(service_keys[i].database))
			return i;
	if (pool->services_used < ServiceCapacity())
		return pool->services_used;
	for (int i = 0; i < pool->services_used; i++)
		if (Dispensable(service_entries[i]) >
			(best == kNone ? 0 : Dispensable(service_entries[best])))
			best = i;
	return best;
}

int
MakeServiceEntry(const ServiceSpec &spec)
{
	const int index = FindPlace();

	if (index == kNone)
	{
		pool->services_full++;
		return kNone;
	}
	if (index < pool->services_used && OidIsValid(service_keys[index].database))
		EmptyEntry(index);
	pool->services_used = std::max(pool->services_used, index + 1);
	service_keys[index] = {spec.id, spec.database};

	ServiceEntry &entry = service_entries[index];

	memset(&entry, 0, sizeof(entry));
	entry.serial = ++pool->next_service_serial;
	entry.id = spec.id;
	entry.database = spec.database;
	entry.slot = kNone;
	entry.state = ServiceState::kStopped;
	entry.state_changed_at = GetCurrentTimestamp();
	entry.deadline = DT_NOEND;
	/* what a session makes or starts is known not to have run when the server went down, or it is on its head */
	entry.suspect =
		pool->careful && spec.run_epoch != pool->epoch && (spec.order == 0 || spec.crashes > 0);
	return index;
}

dsa_pointer
TakeUnusedConfig()
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	for (int i = 0; i < pool->services_used; i++)
	{
		ServiceEntry &entry = service_entries[i];
		const dsa_pointer config = entry.config;

		if (!DsaPointerIsValid(config) || entry.slot != kNone ||
			(entry.unconnected && entry.wanted))
			continue;
		entry.config = InvalidDsaPointer;
		entry.config_version = 0;
		if (entry.dropped)
			EmptyEntry(i);
		return config;
	}
	return InvalidDsaPointer;
}

} // namespace worker_pool
