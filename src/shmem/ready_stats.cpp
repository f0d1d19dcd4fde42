/*
 * ready_stats.cpp
 *	  Counters and latency histograms, one entry a queue of a database. Workers count at the end of each
 *	  attempt, sessions at their commit; the views copy.
 *
 * They live as long as shared memory does. When the entries run out, what has none is counted under queue -1 of its
 * database; a few are kept back for that.
 */
#include "shmem/ready_table.hpp"

namespace worker_pool
{

static constexpr int32 kOthers = -1;
static constexpr int kKeptBack = 64; /* for kOthers */

static_assert(sizeof(kLatencyBoundsUs) / sizeof(kLatencyBoundsUs[0]) == kLatencyBuckets);

static int32 &
StatBucket(Oid database, int32 queue)
{
	const uint64 hash = ((static_cast<uint64>(database) << 32) | static_cast<uint32>(queue)) *
						UINT64CONST(0x9E3779B97F4A7C15);

	return ready_table->stat_buckets[(hash >> 40) & (kStatBuckets - 1)];
}

static QueueStats *
FindStats(Oid database, int32 queue)
{
	for (int32 i = StatBucket(database, queue); i != kNone; i = ready_table->stats[i].hash_next)
	{
		QueueStats &stats = ready_table->stats[i].stats;

		if (stats.database == database && stats.queue == queue)
			return &stats;
	}
	return nullptr;
}

/* An entry that was never used, or that was forgotten; kNone: there is none. */
static int32
UnusedEntry(int limit)
{
	if (ready_table->used_stats < limit)
		return ready_table->used_stats++;
	for (int32 i = 0; i < limit; i++)
		if (!OidIsValid(ready_table->stats[i].stats.database))
			return i;
	return kNone;
}

static QueueStats *
MakeStats(Oid database, int32 queue)
{
	const int32 index = UnusedEntry(queue == kOthers ? kStatEntries : kStatEntries - kKeptBack);

	if (index == kNone)
		return nullptr;

	StatEntry &entry = ready_table->stats[index];
	int32 &bucket = StatBucket(database, queue);

	memset(&entry, 0, sizeof(entry));
	entry.stats.database = database;
	entry.stats.queue = queue;
	entry.stats.since = GetCurrentTimestamp();
	entry.hash_next = bucket;
	bucket = index;
	return &entry.stats;
}

/* The entry to count in; nullptr: nothing is free, and nothing is counted. */
static QueueStats *
NeedStats(Oid database, int32 queue)
{
	Assert(LWLockHeldByMeInMode(TaskLock(), LW_EXCLUSIVE));
	QueueStats *stats = FindStats(database, queue);

	if (stats == nullptr)
		stats = MakeStats(database, queue);
	if (stats == nullptr)
		stats = FindStats(database, kOthers);
	return stats != nullptr ? stats : MakeStats(database, kOthers);
}

static void
AddLatency(int64 us, int64 *sum, int64 *counts)
{
	int bucket = 0;

	if (us < 0)
		return;
	*sum += us;
	while (us > kLatencyBoundsUs[bucket])
		bucket++;
	counts[bucket]++;
}

void
CountFinish(Oid database, int32 queue, FinishHow how, int64 waited_us, int64 ran_us)
{
	if (how == FinishHow::kDropped)
		return;

	QueueStats *stats = NeedStats(database, queue);

	if (stats == nullptr)
		return;
	switch (how)
	{
		case FinishHow::kSucceeded:
			stats->succeeded++;
			break;
		case FinishHow::kFailed:
			stats->failed++;
			break;
		case FinishHow::kRetried:
			stats->retried++;
			break;
		case FinishHow::kCancelled:
			stats->cancelled++;
			break;
		case FinishHow::kExpired:
			stats->expired++;
			break;
		case FinishHow::kDropped:
			break;
	}
	AddLatency(waited_us, &stats->wait_us, stats->wait_count);
	AddLatency(ran_us, &stats->run_us, stats->run_count);
}

void
CountEvent(Oid database, int32 queue, StatEvent event, int64 count)
{
	LockScope lock(TaskLock());
	QueueStats *stats = NeedStats(database, queue);

	if (stats == nullptr)
		return;
	switch (event)
	{
		case StatEvent::kEnqueued:
			stats->enqueued += count;
			break;
		case StatEvent::kCancelled:
			stats->cancelled += count;
			break;
		case StatEvent::kExpired:
			stats->expired += count;
			break;
		case StatEvent::kSkipped:
			stats->skipped += count;
			break;
		case StatEvent::kFailed:
			stats->failed += count;
			break;
	}
}

int
GetStats(Oid database, QueueStats *stats, int capacity)
{
	int count = 0;
	LockScope lock(TaskLock(), LW_SHARED);

	for (int i = 0; i < ready_table->used_stats && count < capacity; i++)
		if (ready_table->stats[i].stats.database == database)
			stats[count++] = ready_table->stats[i].stats;
	return count;
}

void
ResetStats(Oid database)
{
	const TimestampTz now = GetCurrentTimestamp();
	LockScope lock(TaskLock());

	for (int i = 0; i < ready_table->used_stats; i++)
	{
		QueueStats &stats = ready_table->stats[i].stats;
		const int32 queue = stats.queue;

		if (stats.database != database)
			continue;
		memset(&stats, 0, sizeof(stats));
		stats.database = database;
		stats.queue = queue;
		stats.since = now;
	}
}

void
ForgetStats(Oid database)
{
	for (int i = 0; i < ready_table->used_stats; i++)
	{
		StatEntry &entry = ready_table->stats[i];

		if (entry.stats.database != database)
			continue;

		int32 *link = &StatBucket(database, entry.stats.queue);

		while (*link != i)
			link = &ready_table->stats[*link].hash_next;
		*link = entry.hash_next;
		entry.stats.database = InvalidOid;
	}
}

} // namespace worker_pool
