/*
 * stats.cpp
 *	  stats_reset() and the functions behind the views `stats` and `latency`. Any session, also on a hot
 *	  standby.
 *
 * The counters live in shared memory, an entry a (database, queue); a session sees those of its database.
 * They start at zero with the server. The names of queues come from the view, which joins the table.
 */
#include "sqlfn/rows.hpp"

#include "feature/task_authority.hpp"
#include "pg/guard.hpp"
#include "shmem/ready.hpp"
#include "sqlfn/verb_arguments.hpp"

namespace worker_pool
{

/* The counters of this database, palloc'd. 55000 when the library was not preloaded. */
static QueueStats *
CopyStats(int *count)
{
	RequirePool();

	auto *const stats = static_cast<QueueStats *>(palloc(kStatEntries * sizeof(QueueStats)));

	*count = GetStats(MyDatabaseId, stats, kStatEntries);
	return stats;
}

static int64
Total(const int64 (&counts)[kLatencyBuckets])
{
	int64 total = 0;

	for (const int64 count : counts)
		total += count;
	return total;
}

/* A mean of `count` times; NULL of none. */
static void
AddMean(RowWriter *row, int64 sum_us, int64 count)
{
	if (count == 0)
		AddNull(row);
	else
		AddMicroseconds(row, sum_us / count);
}

static void
WriteStats(RowWriter *row, const QueueStats &stats)
{
	AddInt(row, stats.queue);
	AddBigint(row, stats.enqueued);
	AddBigint(row, stats.succeeded);
	AddBigint(row, stats.failed);
	AddBigint(row, stats.retried);
	AddBigint(row, stats.cancelled);
	AddBigint(row, stats.expired);
	AddBigint(row, stats.skipped);
	AddMean(row, stats.wait_us, Total(stats.wait_count));
	AddMean(row, stats.run_us, Total(stats.run_count));
	AddTime(row, stats.since);
	EndRow(row);
}

/* A row a bucket, each with those of the buckets below it. */
static void
WriteLatency(RowWriter *row, int32 queue, const char *kind, const int64 (&counts)[kLatencyBuckets])
{
	int64 sum = 0;

	for (int i = 0; i < kLatencyBuckets; i++)
	{
		sum += counts[i];
		AddInt(row, queue);
		AddText(row, kind);
		if (i == kLatencyBuckets - 1)
			AddNull(row);
		else
			AddMicroseconds(row, kLatencyBoundsUs[i]);
		AddBigint(row, sum);
		EndRow(row);
	}
}

} // namespace worker_pool

using namespace worker_pool;

/* worker_pool._stats(): a row a queue. */
WP_SQL_FUNCTION(worker_pool_stats)
{
	int count = 0;
	QueueStats *const stats = CopyStats(&count);
	RowWriter row = BeginRows(fcinfo);

	for (int i = 0; i < count; i++)
		WriteStats(&row, stats[i]);
	pfree(stats);
	return static_cast<Datum>(0);
}

/* worker_pool._latency(): two histograms a queue. */
WP_SQL_FUNCTION(worker_pool_latency)
{
	int count = 0;
	QueueStats *const stats = CopyStats(&count);
	RowWriter row = BeginRows(fcinfo);

	for (int i = 0; i < count; i++)
	{
		WriteLatency(&row, stats[i].queue, "wait", stats[i].wait_count);
		WriteLatency(&row, stats[i].queue, "run", stats[i].run_count);
	}
	pfree(stats);
	return static_cast<Datum>(0);
}

/* worker_pool.stats_reset(). 42501 for whoever is neither the owner of the database nor a superuser. */
WP_SQL_FUNCTION(worker_pool_stats_reset)
{
	(void) fcinfo;
	EnterVerb();
	CheckMayAdminister("reset the statistics");
	ResetStats(MyDatabaseId);
	PG_RETURN_VOID();
}
