/*
 * service_inside.hpp
 *	  What the service_*.cpp of this layer share. Nobody else includes this; the protocol stands in service_table.hpp.
 *
 * All under the pool lock, held exclusively.
 */
#pragma once

#include "shmem/service_table.hpp"

namespace worker_pool
{

/* What is looked for, in an array of its own. */
struct ServiceKey
{
	int64 id;
	Oid database; /* InvalidOid: the entry is unused */
};

struct ServiceTable
{
	uint64 told;  /* how often a change was told */
	uint64 loads; /* how many have begun */
	int dropped;  /* entries that are */
};

static_assert(std::is_standard_layout_v<ServiceTable> &&
			  std::is_trivially_copyable_v<ServiceTable>);

/* Addresses in this process; ServiceCapacity() keys and entries. */
extern ServiceTable *service_table;
extern ServiceKey *service_keys;
extern ServiceEntry *service_entries;

/* A new entry, stopped, with nothing known but who it is; kNone: there is no room, which is counted. */
int MakeServiceEntry(const ServiceSpec &spec);
/* The only writer of ServiceEntry.state. From and to itself is no move. */
void MoveService(ServiceEntry &entry, ServiceState to, TimestampTz now);
/* It has no process and is not wanted: stopped, or in quarantine. */
void RestService(ServiceEntry &entry, TimestampTz now);
/* What went wrong before is forgotten. */
void ForgetTroubles(ServiceEntry &entry);
/* The row is gone, and the process, too: the place is free; later, while a config is still to be freed. */
void FreeServiceEntry(int index);
/* Has another entry of that (database, name) a process? Shared lock suffices. */
bool HasRival(const ServiceEntry &entry);
/* The launcher is to look at that time: woken, if it would sleep past it. */
void NeedLauncherAt(TimestampTz at);

} // namespace worker_pool
