/*
 * ready_careful.cpp
 *	  The careful limit: what may bring the server down runs alone. Any worker process; the launcher.
 *
 * After a crash, tasks that were unfinished then, and services that were to run, go one at a time in the whole
 * cluster, so that one that brings the server down is known: it has counted its start in its row, flushed, before it
 * began. What holds the limit for kCarefulLimitUs has shown that it does not do so at once, and gets company.
 *
 * A task that finds the limit taken is parked on it, and made ready when it has room, or by the launcher when it is
 * relaxed (RelaxCareful). A service has no place to be parked: its process waits in its slot, idle, and asks again a
 * moment later; so it looks itself whether the limit is to be relaxed. What a service leaves lets the next task through.
 *
 * A process that dies gives it back in its exit callback, tasks with what they hold (LeaveTaken), a service with
 * LeaveCarefulOfService. If it dies without one, the server crashes: that is what the limit is for.
 */
#include "shmem/ready_table.hpp"

namespace worker_pool
{

/* One place of the limit is given back, and one that was let through beside others is none any more. */
static void
GiveCarefulBack(WakeSet *wakes)
{
	TaskLimit &limit = LimitAt(ready_table->careful_limit);

	Assert(limit.count > 0);
	limit.count--;
	limit.most = std::max(1, limit.most - 1);
	Unpark(ready_table->careful_limit, 1, wakes);
}

void
LeaveCareful(int32 index, WakeSet *wakes)
{
	Assert(ItemAt(index).careful);
	ItemAt(index).careful = false;
	GiveCarefulBack(wakes);
}

/* Has who took the limit last had it for long enough? */
static bool
IsToBeRelaxed(TimestampTz now)
{
	return ready_table->careful_since + kCarefulLimitUs <= now;
}

/* --- tasks ------------------------------------------------------------------------------------------------- */

/* A taken item waits until the careful limit has room. */
static void
ParkCareful(int32 index, TimestampTz now, WakeSet *wakes)
{
	ReadyItem &item = ItemAt(index);
	const int32 pair = LeaveTaken(index, wakes);

	if (item.forgotten)
		FreeItem(index);
	else if (item.again)
	{
		item.again = false;
		PlaceItem(index, now, wakes);
		WakeFor(index, wakes);
	}
	else
		ParkItem(index, ready_table->careful_limit);
	ReleaseTaskPair(pair);
	/* it has to look after the limit from now on: RelaxCareful */
	wakes->launcher = true;
}

bool
TakeCareful(int index, uint64 serial)
{
	const TimestampTz now = GetCurrentTimestamp();
	WakeSet wakes = {};
	bool alone = false;

	{
		LockScope lock(TaskLock());
		ReadyItem &item = ItemAt(index);
		TaskLimit &limit = LimitAt(ready_table->careful_limit);

		if (item.state != ItemState::kTaken || item.serial != serial)
			return false;
		if (item.careful)
			return true;
		alone = RoomOf(limit) > 0;
		if (alone)
		{
			item.careful = true;
			ready_table->careful_pair = item.pair;
			limit.count++;
			ready_table->careful_since = now;
		}
		else
			ParkCareful(index, now, &wakes);
	}
	FireWakes(wakes);
	return alone;
}

TimestampTz
RelaxCareful(TimestampTz now)
{
	TimestampTz next = DT_NOEND;
	WakeSet wakes = {};

	{
		LockScope lock(TaskLock());
		TaskLimit &limit = LimitAt(ready_table->careful_limit);

		if (limit.parked == 0)
			return DT_NOEND;
		if (IsToBeRelaxed(now))
		{
			limit.most = limit.count + 1;
			ready_table->careful_since = now;
			Unpark(ready_table->careful_limit, 1, &wakes);
		}
		if (limit.parked > 0)
			next = ready_table->careful_since + kCarefulLimitUs;
	}
	FireWakes(wakes);
	return next;
}

/* --- services ---------------------------------------------------------------------------------------------- */

bool
TakeCarefulForService(TimestampTz now)
{
	LockScope lock(TaskLock());
	TaskLimit &limit = LimitAt(ready_table->careful_limit);

	if (RoomOf(limit) == 0)
	{
		if (!IsToBeRelaxed(now))
			return false;
		limit.most = limit.count + 1;
	}
	limit.count++;
	ready_table->careful_since = now;
	return true;
}

void
LeaveCarefulOfService()
{
	WakeSet wakes = {};

	{
		LockScope lock(TaskLock());

		GiveCarefulBack(&wakes);
	}
	FireWakes(wakes);
}

} // namespace worker_pool
