/*
 * ready_refill.cpp
 *	  Loading on: what stands in the table only comes into memory. A worker for its own pair (TakeItems said
 *	  kRefill), a visit for whole databases.
 *
 * A pair's load goes on from scan_from. While it runs, items may be given up again, by itself or by others:
 * the smallest of them since the begin is kept in given_up, so that the end can say exactly what stands in
 * memory: all before min(to, given_up). One process loads a pair at a time; another that wants it takes what is
 * there, or waits for the end, which wakes it. Who dies over a load is out of the way by his exit callback
 * (GiveBackAll), and after kLoadingUs in any case. A load that brought nothing is not repeated at once: while
 * that wait lasts, items behind scan_from are given out of order rather than not at all.
 *
 * A database's load sees every row; it clears the mark `rescan` if nobody said in between that there is more
 * (`changes`). What had to be left for later stands in next_look: the least of what the load says and of what was
 * given up meanwhile (marked_look).
 */
#include "shmem/ready_table.hpp"

#include "core/backoff.hpp"

namespace worker_pool
{

static constexpr int64 kLoadingUs = 10 * USECS_PER_SEC;
static constexpr int64 kDatabaseLoadingUs = 60 * USECS_PER_SEC;
static constexpr int64 kRefillRetryMs = 100;
static constexpr int64 kMaxRefillRetryMs = 10000;
/* A worker loads on when no more than this many are ready, if there is room for many. */
static constexpr int kLowWater = 256;
static constexpr int kEarlyRoom = 1024;

bool
IsPairLoading(const TaskPair &pair, TimestampTz now)
{
	return pair.loading_until > now && pair.loader != MyProcPid;
}

bool
WantsRefill(const TaskPair &pair, TimestampTz now)
{
	if (!pair.more || IsPairLoading(pair, now) || pair.refill_not_before > now)
		return false;
	if (pair.ready == 0)
		return true;
	if (!(KeyOf(ItemAt(BestOf(pair)).spec) < pair.scan_from))
		return true;
	return pair.ready <= kLowWater &&
		   RoomForPair(TaskDatabaseAt(pair.database), &pair) >= kEarlyRoom;
}

bool
IsBehindScan(const TaskPair &pair, int32 item, TimestampTz now)
{
	return pair.more && ItemAt(item).spec.kind == ItemKind::kTask &&
		   !(KeyOf(ItemAt(item).spec) < pair.scan_from) && pair.refill_not_before <= now;
}

/* --- one pair ---------------------------------------------------------------------------------------------- */

bool
BeginPairLoad(Oid oid, Oid role, OrderKey *from, uint64 *changes)
{
	const TimestampTz now = GetCurrentTimestamp();
	LockScope lock(TaskLock());
	const int32 database = NeedTaskDatabase(oid);
	const int32 index = database == kNone ? kNone : NeedTaskPair(database, role, nullptr);

	*from = kFirstKey;
	*changes = 0;
	if (index == kNone)
		return false;

	TaskPair &pair = TaskPairAt(index);
	const bool goes_on = pair.more;

	if (IsPairLoading(pair, now))
	{
		ReleaseTaskPair(index);
		return false;
	}
	if (pair.more)
		*from = pair.scan_from;
	*changes = pair.load_serial = ++ready_table->serial;
	pair.given_up = kLastKey;
	pair.loader = MyProcPid;
	pair.loading_until = now + kLoadingUs;
	return goes_on;
}

/* More stands in the table, from that key on. */
static void
LeaveRest(TaskPair *pair, const OrderKey &from)
{
	if (!pair->more || from < pair->scan_from)
		pair->scan_from = from;
	pair->more = true;
}

/* Waits before the next load where this one has not come further. */
static void
NoteProgress(TaskPair *pair, bool progress, TimestampTz now)
{
	if (progress)
	{
		pair->refill_failures = 0;
		pair->refill_not_before = DT_NOBEGIN;
		return;
	}
	pair->refill_failures++;
	pair->refill_not_before =
		now + 1000 * BackoffDelayMs(pair->refill_failures, kRefillRetryMs, kMaxRefillRetryMs);
}

static void
EndPairLoadLocked(TaskPair *pair, uint64 changes, const OrderKey &to, bool more, TimestampTz now,
				  WakeSet *wakes)
{
	if (changes == 0 || pair->load_serial != changes)
	{
		/* another load has begun since: it knows better, but must not miss our rest */
		if (more)
		{
			LeaveRest(pair, to);
			if (to < pair->given_up)
				pair->given_up = to;
		}
		return;
	}

	const bool was_more = pair->more;
	const OrderKey before = pair->scan_from;
	const bool given_up = pair->given_up < kLastKey;

	pair->loading_until = DT_NOBEGIN;
	pair->more = false;
	if (more)
		LeaveRest(pair, to);
	if (given_up)
		LeaveRest(pair, pair->given_up);
	NoteProgress(pair, !pair->more || !was_more || before < pair->scan_from, now);
	if (pair->more)
		NoteDeadline(pair->refill_not_before > now ? pair->refill_not_before : DT_NOEND, wakes);
}

void
EndPairLoad(Oid oid, Oid role, uint64 changes, const OrderKey &to, bool more)
{
	const TimestampTz now = GetCurrentTimestamp();
	WakeSet wakes = {};

	{
		LockScope lock(TaskLock());
		const int32 database = more ? NeedTaskDatabase(oid) : FindTaskDatabase(oid);

		if (database == kNone)
			return;

		const int32 index = more ? NeedTaskPair(database, role, &wakes) : FindTaskPair(oid, role);

		if (index != kNone)
		{
			EndPairLoadLocked(&TaskPairAt(index), changes, to, more, now, &wakes);
			AddWake(&wakes, oid, role);
			ReleaseTaskPair(index);
		}
		else if (more)
			LowerNextLook(&TaskDatabaseAt(database), now + kLoadingUs, &wakes);
	}
	FireWakes(wakes);
}

bool
GetBlockedWalk(Oid database, Oid role, OrderKey *from)
{
	LockScope lock(TaskLock(), LW_SHARED);
	const int32 index = FindTaskPair(database, role);

	if (index == kNone || !TaskPairAt(index).walking)
		return false;
	*from = TaskPairAt(index).walk_from;
	return true;
}

void
SetBlockedWalk(Oid database, Oid role, const OrderKey *from)
{
	LockScope lock(TaskLock());
	const int32 index = FindTaskPair(database, role);

	if (index == kNone)
		return;
	TaskPairAt(index).walking = from != nullptr;
	if (from != nullptr)
		TaskPairAt(index).walk_from = *from;
}

/* --- a whole database ---------------------------------------------------------------------------------------- */

bool
BeginLoad(Oid oid, uint64 *changes)
{
	const TimestampTz now = GetCurrentTimestamp();
	LockScope lock(TaskLock());
	const int32 index = NeedTaskDatabase(oid);

	*changes = 0;
	if (index == kNone)
		return false;

	TaskDatabase &database = TaskDatabaseAt(index);

	if (database.loading_until > now && database.loader != MyProcPid)
		return false;
	*changes = database.changes;
	database.loader = MyProcPid;
	database.loading_until = now + kDatabaseLoadingUs;
	database.marked_look = DT_NOEND;
	return true;
}

void
EndLoad(Oid oid, uint64 changes, bool complete, TimestampTz next_look)
{
	WakeSet wakes = {};

	{
		LockScope lock(TaskLock());
		const int32 index = FindTaskDatabase(oid);

		if (index == kNone)
			return;

		TaskDatabase &database = TaskDatabaseAt(index);
		const TimestampTz left = std::min(next_look, database.marked_look);

		if (database.loader == MyProcPid)
			database.loading_until = DT_NOBEGIN;
		if (complete)
		{
			database.loaded = true;
			database.rescan = database.changes != changes;
			database.next_look = DT_NOEND;
		}
		else
			database.rescan = true;
		LowerNextLook(&database, left, &wakes);
		wakes.launcher |= database.rescan;
		WakeAllPairs(database, &wakes);
	}
	FireWakes(wakes);
}

void
DropMyLoads()
{
	for (int32 i = 0; i < ready_table->used_databases; i++)
	{
		TaskDatabase &database = TaskDatabaseAt(i);

		if (database.loading_until != DT_NOBEGIN && database.loader == MyProcPid)
			database.loading_until = DT_NOBEGIN;
		for (int32 j = database.pairs; j != kNone; j = TaskPairAt(j).next)
			if (TaskPairAt(j).loader == MyProcPid)
				TaskPairAt(j).loading_until = DT_NOBEGIN;
	}
}

} // namespace worker_pool
