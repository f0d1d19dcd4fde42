/*
 * launcher.hpp
 *	  The parts of the launcher: spawning processes, reclaiming failed starts, the loop. Launcher process only.
 */
#pragma once

#include "process/worker.hpp"

namespace worker_pool
{

/* --- spawn.cpp: from a decision to a registered process ------------------------------------------------ */

/* Makes the launcher's memory; once a launcher's life. */
void InitSpawner(MemoryContext context);
/*
 * Reserves a free slot and registers a process for it. False when no slot is free or the database is closed
 * for DDL (nothing happened), or
 * when the server has no background worker slot left (the back-off of SpawnNotBefore() runs from now on).
 */
bool Spawn(const PairKey &target, SlotKind kind);
/* Before this time no process can be registered (DT_NOBEGIN: at once). */
TimestampTz SpawnNotBefore();
/*
 * The size of the pool for the policy: all slots, or, while the server has no place for another process, those
 * in use.
 */
int SpawnableSlots(int used);
/* The process in that slot, as the postmaster knows it; BGWH_STARTED when this launcher does not know. */
BgwHandleStatus ProcessStatus(int slot, uint64 generation);
/* Asks the postmaster to end a process that has not attached to its slot. */
void TerminateUnattached(int slot, uint64 generation);

/* --- launcher_starts.cpp: starts that failed ------------------------------------------------------------ */

void InitStarts(MemoryContext context);
/* A new launcher: frees slots whose process has not attached, without failing what waits for them. */
void AdoptSlots();
/*
 * Reclaims slots whose process never came, hands errors of failed starts to the commands that wait, keeps
 * the back-off of each pair. Returns the next time to look (DT_NOEND: never by itself).
 */
TimestampTz ReapStarts(TimestampTz now);
/* Back-off: no start for this pair before that time (DT_NOBEGIN = at once). */
TimestampTz PairNotBefore(const PairKey &target);

/* --- launcher_visits.cpp: which databases are there ------------------------------------------------------ */

/* Notes every connectable database that is no template, so that it will be visited once. */
void DiscoverDatabases();
/*
 * Sends a visit where one is wanted, nothing else waits and none is under way. Returns when to look again
 * by itself.
 */
TimestampTz SendVisits(TimestampTz now, bool demand_unmet);

} // namespace worker_pool
