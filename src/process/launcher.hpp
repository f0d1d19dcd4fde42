/*
 * launcher.hpp
 *	  The parts of the launcher: spawning processes, reclaiming failed starts, what tasks and visits want, the
 *	  loop. Launcher process only.
 */
#pragma once

#include "core/allocation.hpp"
#include "process/worker.hpp"

namespace worker_pool
{

/* What one look sees, copied under the lock so that the policy runs without it. Made once a launcher's life. */
struct Sight
{
	SlotView *slots;
	DemandView *demands;
	PairKey *targets; /* of the demands */
	int demand_count;
	int used; /* slots that are not free */
};

/* --- spawn.cpp: from a decision to a registered process ------------------------------------------------ */

/* Makes the launcher's memory; once a launcher's life. */
void InitSpawner(MemoryContext context);
/*
 * Reserves a free slot and registers a process for it. False when no slot is free, the database is closed for
 * DDL, tasks and services have all the slots that they may have, or the service is not to be started any more
 * (nothing happened), or when the server has no background worker slot left (the back-off of SpawnNotBefore() runs
 * from now on).
 */
bool Spawn(const PairKey &target, SlotKind kind);
/*
 * Pool lock held, shared suffices: the entry of the service whose pair this is, if it is to be started now and has
 * no process; else kNone.
 */
int ServiceToStart(const PairKey &target, bool in_recovery, TimestampTz now);
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
 * Reclaims slots whose process never came, hands errors of failed starts to what waits for them, keeps the
 * back-off of each pair. Returns the next time to look (DT_NOEND: never by itself).
 */
TimestampTz ReapStarts(TimestampTz now);
/* Back-off: no start for this pair before that time (DT_NOBEGIN = at once). */
TimestampTz PairNotBefore(const PairKey &target);
/* The same for a start that only tasks want. */
TimestampTz TasksNotBefore(const PairKey &target);

/* --- launcher_tasks.cpp: what the ready queue wants ------------------------------------------------------ */

void InitTaskDemands(MemoryContext context);
/*
 * Looks after tasks that workers have: takes back what hangs behind a slow one, lets careful ones begin.
 * Returns the next time to look.
 */
TimestampTz TendTasks(TimestampTz now);
/* Asks the ready queue which pairs have tasks that could run. Returns when the next thing is due by itself. */
TimestampTz SeeTasks(TimestampTz now);
/* Pool lock held exclusively: adds what SeeTasks found to the demands; remembers who gave way. */
void AddTaskDemands(Sight *sight, TimestampTz now);
/*
 * After that, without the lock: puts in when the pairs gave way; plans when history is to be purged. Returns the
 * next time to look.
 */
TimestampTz CompleteTaskDemands(const Sight &sight, TimestampTz now);

/* --- launcher_services.cpp: what services want ---------------------------------------------------------------- */

/*
 * Looks after the processes of services that are to leave or have overrun their time: SIGINT, SIGTERM, a WARNING;
 * logs what has happened to services since the last look (one WARNING an episode, one at quarantine). Returns the
 * next time to look.
 */
TimestampTz TendServices(TimestampTz now);
/*
 * Pool lock held exclusively: adds services that are due to the demands (kind kService, one worker each, oldest_us = when it
 * was due). Returns the next time at which one is due.
 */
TimestampTz AddServiceDemands(Sight *sight, TimestampTz now);

/* --- launcher_visits.cpp: which databases are there, and which want a look --------------------------------- */

/* Notes every connectable database that is no template, so that it will be visited once. */
void DiscoverDatabases();
/* The same again if somebody asked for it (the end of recovery). */
void DiscoverAgain();
/*
 * Adds the demand of the next database that wants a visit, if there is one and no visit is under way. Returns
 * when to look again by itself.
 */
TimestampTz AddVisitDemand(Sight *sight, TimestampTz now);
/* A process was registered for that demand. */
void NoteVisitSent(TimestampTz now);

} // namespace worker_pool
