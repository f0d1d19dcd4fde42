/*
 * ready_wake.cpp
 *	  Who is told that there is something to do. Any process, the lock never held when a latch is set.
 *
 * A pair's work is for its idle workers: the warmest one's latch is set, and it takes its part and wakes the next
 * (TakeItems). Without an idle worker, or without room for it among the slots that tasks may have, it is for the
 * launcher, once: what the launcher has seen (TaskDemands) it
 * bears in mind, so it is woken again only when there is much more than that, or when the pair ran dry in
 * between. A worker whose latch is set and that is given a command in the same moment looks at the ready queue
 * afterwards; one that leaves wakes the launcher by that.
 *
 * Times to come are the launcher's: it sleeps until launcher_next, and whoever makes an earlier one wakes it.
 */
#include "shmem/ready_table.hpp"

#include "shmem/slots.hpp"

namespace worker_pool
{

void
AddWake(WakeSet *wakes, Oid database, Oid role)
{
	for (int i = 0; i < wakes->count; i++)
		if (wakes->databases[i] == database && wakes->roles[i] == role)
			return;
	if (wakes->count == WakeSet::kMost)
	{
		wakes->launcher = true;
		return;
	}
	wakes->databases[wakes->count] = database;
	wakes->roles[wakes->count] = role;
	wakes->count++;
}

void
NoteDeadline(TimestampTz at, WakeSet *wakes)
{
	if (at >= ready_table->launcher_next)
		return;
	ready_table->launcher_next = at;
	wakes->launcher = true;
}

bool
WakeIdleWorker(Oid database, Oid role)
{
	LockScope lock(PoolLock(), LW_SHARED);

	/* it could not turn to them (StartTasks): the launcher is to know, and says who may */
	if (pool->tasks_contended || pool->task_slots >= TaskSlotLimit())
		return false;

	const int slot = FindIdleSlot({database, role, 0});

	if (slot == kNone)
		return false;
	compat::SetLatchOf(SlotAt(slot).proc);
	return true;
}

/* Has the pair work that the launcher does not know of? */
static bool
IsNewsForLauncher(Oid database, Oid role)
{
	const TimestampTz now = GetCurrentTimestamp();
	LockScope lock(TaskLock(), LW_SHARED);
	const int32 index = FindTaskPair(database, role);

	if (index == kNone)
		return false;

	const TaskPair &pair = TaskPairAt(index);

	return (pair.seen == 0 || pair.ready > 2 * pair.seen) && HasPairWork(pair, now);
}

void
WakePair(Oid database, Oid role)
{
	if (!WakeIdleWorker(database, role) && IsNewsForLauncher(database, role))
		WakeLauncher();
}

void
FireWakes(const WakeSet &wakes)
{
	for (int i = 0; i < wakes.count; i++)
	{
		if (wakes.databases[i] == wakes.own_database && wakes.roles[i] == wakes.own_role)
			(void) WakeIdleWorker(wakes.databases[i], wakes.roles[i]);
		else
			WakePair(wakes.databases[i], wakes.roles[i]);
	}
	if (wakes.launcher)
		WakeLauncher();
}

void
WakeDrains()
{
	if (pg_atomic_read_u32(&pool->drain_waiters) > 0)
		ConditionVariableBroadcast(&pool->task_ended);
}

bool
HasPairWork(const TaskPair &pair, TimestampTz now)
{
	if (TaskDatabaseAt(pair.database).pause.paused)
		return false;
	if (WantsRefill(pair, now))
		return true;
	return pair.ready > 0 && !IsBehindScan(pair, BestOf(pair), now);
}

void
WakeAllPairs(const TaskDatabase &database, WakeSet *wakes)
{
	if (database.pause.paused)
		return;
	for (int32 i = database.pairs; i != kNone; i = TaskPairAt(i).next)
		if (TaskPairAt(i).ready > 0 || TaskPairAt(i).more)
			AddWake(wakes, database.database, TaskPairAt(i).role);
}

} // namespace worker_pool
