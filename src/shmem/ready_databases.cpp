/*
 * ready_databases.cpp
 *	  What the launcher asks the ready queue: which pairs want workers (TaskDemands), and which databases want
 *	  somebody to look at their tables (DatabaseToLookAt). And those who tell it: sessions, visits, workers.
 *
 * A look is wanted for a reason that stands in the entry until it is dealt with: rows that nobody pushed
 * (rescan, next_look), a pair that wants a refill and has no worker to make it, tasks of a role that cannot
 * start, a pause to be stored, old history. Who deals with it clears it; NoteLook tells that the look is over.
 * A reason that stands nevertheless, and a look that failed, are tried again later and later: a broken database
 * costs a process a minute. While nothing is wanted and nothing delayed, TaskDemands says DT_NOEND and the
 * launcher sleeps for ever.
 */
#include "shmem/ready_table.hpp"

#include "core/backoff.hpp"
#include "shmem/slots.hpp"

namespace worker_pool
{

static constexpr int64 kLookRetryMs = 1000;
static constexpr int64 kMaxLookRetryMs = 60000;

/* --- demands --------------------------------------------------------------------------------------------- */

/* Lowers *next to a time that is to come. */
static void
Earlier(TimestampTz *next, TimestampTz at, TimestampTz now)
{
	if (at > now)
		*next = std::min(*next, at);
}

static uint32 ReasonsOf(const TaskDatabase &database, TimestampTz now);

/* When the database, or one of its pairs, wants something by itself. */
static void
AddDeadlines(const TaskDatabase &database, TimestampTz now, TimestampTz *next)
{
	Earlier(next, database.next_look, now);
	Earlier(next, database.purge_at, now);
	if (ReasonsOf(database, now) != 0)
		Earlier(next, database.look_not_before, now);
	for (int32 i = database.pairs; i != kNone; i = TaskPairAt(i).next)
	{
		const TaskPair &pair = TaskPairAt(i);

		if (!pair.more || database.pause.paused)
			continue;
		Earlier(next, pair.refill_not_before, now);
		Earlier(next, pair.loading_until, now);
	}
}

/* The pair's demand; false: it has none. The launcher has seen it. */
static bool
SeePair(TaskPair *pair, TimestampTz now, TaskDemand *demand)
{
	if (pair->start_error.sqlstate != 0 || !HasPairWork(*pair, now))
		return false;
	*demand = {pair->database_oid, pair->role, std::max(1, pair->ready), now, 0, pair->role_limit};
	if (pair->ready > 0)
	{
		const ReadyItem &best = ItemAt(BestOf(*pair));

		demand->oldest = std::min(now, pair->waiting_since);
		demand->order = static_cast<uint64>(best.spec.id);
	}
	pair->seen = pair->ready;
	return true;
}

int
TaskDemands(TaskDemand *demands, int capacity, TimestampTz now, TimestampTz *next)
{
	int count = 0;

	MoveDueItems(now, true);
	*next = DT_NOEND;
	{
		LockScope lock(TaskLock());

		Earlier(next, ready_table->nearest_due, now);
		for (int32 i = 0; i < ready_table->used_databases; i++)
		{
			const TaskDatabase &database = TaskDatabaseAt(i);

			if (!OidIsValid(database.database))
				continue;
			for (int32 j = database.pairs; j != kNone && count < capacity; j = TaskPairAt(j).next)
				if (SeePair(&TaskPairAt(j), now, &demands[count]))
					count++;
			AddDeadlines(database, now, next);
		}
		ready_table->launcher_next = *next;
	}
	return count;
}

void
NoteRoleLimit(Oid database, Oid role, int limit)
{
	LockScope lock(TaskLock());
	const int32 pair = FindTaskPair(database, role);

	if (pair != kNone)
		TaskPairAt(pair).role_limit = limit;
}

/* --- looks ------------------------------------------------------------------------------------------------ */

/* Few items of the pair are in memory, more in the table, and nobody is at them. */
static bool
LacksLoader(const TaskPair &pair, TimestampTz now)
{
	return pair.more && pair.taken == 0 && !IsPairLoading(pair, now) &&
		   pair.refill_not_before <= now &&
		   2 * pair.ready < RoomForPair(TaskDatabaseAt(pair.database), &pair);
}

/* Without the workers: whether a pair has one stands under the other lock. */
static uint32
ReasonsOf(const TaskDatabase &database, TimestampTz now)
{
	uint32 reasons = 0;

	if ((database.rescan || database.next_look <= now) && database.loading_until <= now)
		reasons |= kLookRescan;
	for (int32 i = database.pairs; i != kNone; i = TaskPairAt(i).next)
	{
		if (TaskPairAt(i).start_error.sqlstate != 0)
			reasons |= kLookStartError;
		else if (!database.pause.paused && LacksLoader(TaskPairAt(i), now))
			reasons |= kLookRefill;
	}
	if (database.dirty_pauses > 0)
		reasons |= kLookPause;
	if (database.purge_at <= now)
		reasons |= kLookPurge;
	return reasons;
}

/* A database that seems to want a look. */
struct LookCandidate
{
	static constexpr int kMost = 16;

	Oid database;
	uint32 reasons;
	int count; /* roles that want a refill */
	Oid roles[kMost];
};

/* The next one from `start` on, all entries once; returns its place or kNone. */
static int32
FindCandidate(int32 start, int32 end, TimestampTz now, LookCandidate *candidate)
{
	for (int32 n = start; n < end; n++)
	{
		const TaskDatabase &database = TaskDatabaseAt(n % ready_table->used_databases);

		if (!OidIsValid(database.database) || database.look_not_before > now)
			continue;
		candidate->reasons = ReasonsOf(database, now);
		if (candidate->reasons == 0)
			continue;
		candidate->database = database.database;
		candidate->count = 0;
		for (int32 i = database.pairs; i != kNone; i = TaskPairAt(i).next)
			if (LacksLoader(TaskPairAt(i), now) && candidate->count < LookCandidate::kMost)
				candidate->roles[candidate->count++] = TaskPairAt(i).role;
		return n;
	}
	return kNone;
}

/* Has each role that wants a refill a process that can make it? */
static bool
HaveLoaders(const LookCandidate &candidate)
{
	LockScope lock(PoolLock(), LW_SHARED);

	for (int i = 0; i < candidate.count; i++)
	{
		const int pair = FindPair({candidate.database, candidate.roles[i], 0});

		if (pair == kNone || PairAt(pair).slots == 0)
			return false;
	}
	return true;
}

Oid
DatabaseToLookAt(TimestampTz now, uint32 *reasons)
{
	int32 start = kNone;
	int32 end = 0;

	*reasons = 0;
	for (;;)
	{
		LookCandidate candidate = {};
		int32 found = kNone;

		{
			LockScope lock(TaskLock(), LW_SHARED);

			if (start == kNone)
			{
				start = ready_table->look_cursor;
				end = start + ready_table->used_databases;
			}
			found = FindCandidate(start, end, now, &candidate);
		}
		if (found == kNone)
			return InvalidOid;
		start = found + 1;
		if ((candidate.reasons & kLookRefill) != 0 && HaveLoaders(candidate))
			candidate.reasons &= ~static_cast<uint32>(kLookRefill);
		if (candidate.reasons == 0)
			continue;

		LockScope lock(TaskLock());
		const int32 index = FindTaskDatabase(candidate.database);

		if (index == kNone)
			continue;
		TaskDatabaseAt(index).look_not_before = now + 1000 * kLookRetryMs;
		ready_table->look_cursor = (index + 1) % ready_table->used_databases;
		*reasons = candidate.reasons;
		return candidate.database;
	}
}

uint32
LookReasons(Oid oid, TimestampTz now)
{
	LockScope lock(TaskLock(), LW_SHARED);
	const int32 index = FindTaskDatabase(oid);

	if (index == kNone)
		return kLookRescan;

	const uint32 reasons = ReasonsOf(TaskDatabaseAt(index), now);

	return TaskDatabaseAt(index).loaded ? reasons : reasons | kLookRescan;
}

void
NoteLook(Oid oid, bool failed)
{
	const TimestampTz now = GetCurrentTimestamp();
	WakeSet wakes = {};

	{
		LockScope lock(TaskLock());
		const int32 index = FindTaskDatabase(oid);

		if (index == kNone)
			return;

		TaskDatabase &database = TaskDatabaseAt(index);

		if (database.loader == MyProcPid)
			database.loading_until = DT_NOBEGIN;
		const uint32 reasons = ReasonsOf(database, now);

		if (!failed && reasons == 0)
		{
			database.look_failures = 0;
			database.look_not_before = DT_NOBEGIN;
			return;
		}
		/* rows that came while it looked are no failure: a stream of them must not wait longer and longer */
		database.look_failures = !failed && reasons == kLookRescan ? 1 : database.look_failures + 1;
		database.look_not_before =
			now + 1000 * BackoffDelayMs(database.look_failures, kLookRetryMs, kMaxLookRetryMs);
		NoteDeadline(database.look_not_before, &wakes);
	}
	FireWakes(wakes);
}

/* --- what is said of a database ------------------------------------------------------------------------------ */

void
MarkRescan(Oid oid, TimestampTz earliest)
{
	const TimestampTz now = GetCurrentTimestamp();
	WakeSet wakes = {};

	if (earliest == DT_NOEND)
		return;
	{
		LockScope lock(TaskLock());
		const int32 index = NeedTaskDatabase(oid);

		if (index == kNone)
			return;

		TaskDatabase &database = TaskDatabaseAt(index);

		if (earliest > now)
			LowerNextLook(&database, earliest, &wakes);
		else
		{
			database.rescan = true;
			database.changes++;
			wakes.launcher = true;
		}
	}
	FireWakes(wakes);
}

void
SetPurgeAt(Oid oid, TimestampTz at)
{
	WakeSet wakes = {};

	{
		LockScope lock(TaskLock());
		const int32 index = at == DT_NOEND ? FindTaskDatabase(oid) : NeedTaskDatabase(oid);

		if (index == kNone)
			return;
		TaskDatabaseAt(index).purge_at = at;
		NoteDeadline(at, &wakes);
	}
	FireWakes(wakes);
}

/* --- roles that cannot start --------------------------------------------------------------------------------- */

void
SetStartError(Oid database, Oid role, const BriefError &error)
{
	LockScope lock(TaskLock());
	const int32 pair = FindTaskPair(database, role);

	/* no entry: there is nothing to fail any more */
	if (pair != kNone)
		TaskPairAt(pair).start_error = error;
}

bool
TakeStartError(Oid database, Oid *role, BriefError *error)
{
	LockScope lock(TaskLock());
	const int32 index = FindTaskDatabase(database);

	if (index == kNone)
		return false;
	for (int32 i = TaskDatabaseAt(index).pairs; i != kNone; i = TaskPairAt(i).next)
	{
		TaskPair &pair = TaskPairAt(i);

		if (pair.start_error.sqlstate == 0)
			continue;
		*role = pair.role;
		*error = pair.start_error;
		pair.start_error.sqlstate = 0;
		ReleaseTaskPair(i);
		return true;
	}
	return false;
}

void
ClearStartError(Oid database, Oid role)
{
	LockScope lock(TaskLock());
	const int32 pair = FindTaskPair(database, role);

	if (pair == kNone)
		return;
	TaskPairAt(pair).start_error.sqlstate = 0;
	ReleaseTaskPair(pair);
}

} // namespace worker_pool
