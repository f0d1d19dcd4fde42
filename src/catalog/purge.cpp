/*
 * purge.cpp
 *	  Old history goes, in small steps: a visit calls PurgeHistory, a transaction each, while it says "come again
 *	  at once", and leaves the time that it says then to SetPurgeAt.
 *
 * A walk goes over history_finished from the oldest row on, as far as anything can be too old. A row is deleted
 * when it is older than the retention of its kind (succeeded, or anything else), unless it is one of the last
 * kKeptRuns final rows of a schedule that still exists: history_schedule is read backwards once a schedule and
 * call to learn where those begin. What stays is passed over; the walk's place is kept in this process between
 * calls, so a call does not look again at what an earlier one left standing.
 *
 * A step that fails is rolled back; the place may then be behind rows that came back: the next walk finds them.
 * A row that somebody else has locked or deleted is passed over.
 */
#include "catalog/task_store.hpp"

#include "catalog/history.hpp"
#include "catalog/row_scan.hpp"
#include "config/settings.hpp"

extern "C"
{
#include "utils/hsearch.h"
}

namespace worker_pool
{

static constexpr int kKeptRuns = 10;
/* Rows of one schedule that are read at most to find its last runs: its failed attempts lie between them. */
static constexpr int kProbeRows = 10000;
/* A step looks at most at so many rows for each that it may delete. */
static constexpr int kLooksPerRow = 10;
static constexpr int64 kAgainUs = USECS_PER_SEC;
static constexpr int64 kPauseUs = USECS_PER_MINUTE;
static constexpr int64 kLongestPauseUs = USECS_PER_HOUR;
/* A walk that passes many rows which stay is made less often: so much later for each of them. */
static constexpr int64 kPausePerKeptUs = 10000;

/* Attribute numbers of worker_pool.history. */
static constexpr AttrNumber kColumnFinishedAt = 3;
static constexpr AttrNumber kColumnScheduleId = 10;

/* The walk that goes on from call to call. */
struct Walk
{
	TimestampTz from; /* rows before were dealt with; DT_NOBEGIN: a new walk */
	TimestampTz next; /* when the first of the rows that stay becomes too old */
	int64 kept;
};

static constexpr Walk kNewWalk = {DT_NOBEGIN, DT_NOEND, 0};
static Walk walk = kNewWalk;

/* One call. */
struct Step
{
	Relation history;
	Relation schedule; /* nullptr: none was asked for yet */
	HTAB *runs;		   /* KeptRuns by schedule */
	TimestampTz now;
	int64 retention_us;		   /* of successes */
	int64 retention_failed_us; /* of anything else */
};

/* Where the runs of a schedule that stay begin. */
struct KeptRuns
{
	int64 schedule_id;
	TimestampTz from; /* DT_NOEND: none stays */
};

static bool
HasSucceeded(Relation history, HeapTuple tuple)
{
	static constexpr std::string_view kSucceeded = "succeeded";
	bool is_null = false;
	const struct varlena *state = PG_DETOAST_DATUM_PACKED(
		heap_getattr(tuple, kHistoryState, RelationGetDescr(history), &is_null));

	return std::string_view(VARDATA_ANY(state), VARSIZE_ANY_EXHDR(state)) == kSucceeded;
}

/* --- the last runs of a schedule ------------------------------------------------------------------------ */

static bool
IsSchedule(Step *step, int64 id)
{
	if (step->schedule == nullptr)
		step->schedule = TryOpenTable(Table::kSchedule, AccessShareLock);
	return step->schedule != nullptr &&
		   FetchById(step->schedule, Index::kScheduleId, id) != nullptr;
}

static TimestampTz
FindKeptRuns(Step *step, int64 schedule_id)
{
	TimestampTz from = DT_NOBEGIN; /* fewer than kKeptRuns: all stay */
	ScanKeyData key;
	int runs = 0;
	HeapTuple tuple;

	if (!IsSchedule(step, schedule_id))
		return DT_NOEND;
	ScanKeyInit(&key, kColumnScheduleId, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(schedule_id));

	RowScan scan = BeginIndexScan(step->history, Index::kHistorySchedule, 1, &key);

	for (int i = 0; (tuple = NextRow(scan, BackwardScanDirection)) != nullptr; i++)
	{
		if (HistoryFormOf(tuple)->is_final)
			runs++;
		if (runs < kKeptRuns && i < kProbeRows)
			continue;
		from = HistoryFormOf(tuple)->finished_at;
		break;
	}
	EndRowScan(&scan);
	return from;
}

static bool
IsKeptRun(Step *step, const FormHistory &row)
{
	bool found = false;

	if (row.schedule_id == 0 || !row.is_final)
		return false;

	auto *runs =
		static_cast<KeptRuns *>(hash_search(step->runs, &row.schedule_id, HASH_FIND, nullptr));

	if (runs == nullptr)
	{
		const TimestampTz from = FindKeptRuns(step, row.schedule_id);

		runs =
			static_cast<KeptRuns *>(hash_search(step->runs, &row.schedule_id, HASH_ENTER, &found));
		runs->from = from;
	}
	return row.finished_at >= runs->from;
}

/* --- the walk ------------------------------------------------------------------------------------------- */

/* Goes on with the walk. True: it came to its end; false: the step's share of work was done. */
static bool
GoOn(Step *step, int most)
{
	const int64 shorter_us = std::min(step->retention_us, step->retention_failed_us);
	const TimestampTz began_from = walk.from;
	MemoryContext const scratch =
		AllocSetContextCreate(CurrentMemoryContext, "worker_pool purge row", ALLOCSET_SMALL_SIZES);
	int looked = 0;
	int deleted = 0;
	bool done = true;
	ScanKeyData key;
	HeapTuple tuple;

	ScanKeyInit(&key, kColumnFinishedAt, BTGreaterEqualStrategyNumber, F_TIMESTAMP_GE,
				TimestampTzGetDatum(walk.from));

	RowScan scan = BeginIndexScan(step->history, Index::kHistoryFinished, 1, &key);

	while ((tuple = NextRow(scan)) != nullptr)
	{
		MemoryContext const caller = MemoryContextSwitchTo(scratch);
		const FormHistory &row = *HistoryFormOf(tuple);
		const TimestampTz expires_at =
			row.finished_at +
			(HasSucceeded(step->history, tuple) ? step->retention_us : step->retention_failed_us);

		if (row.finished_at + shorter_us > step->now)
		{
			/* nothing behind it can be too old */
			walk.next = std::min(walk.next, row.finished_at + shorter_us);
			MemoryContextSwitchTo(caller);
			break;
		}
		if (expires_at > step->now)
		{
			walk.next = std::min(walk.next, expires_at);
			walk.kept++;
		}
		else if (IsKeptRun(step, row))
			walk.kept++;
		else if (DeleteRow(step->history, tuple->t_self, false) == TM_Ok)
			deleted++;
		MemoryContextSwitchTo(caller);
		MemoryContextReset(scratch);
		walk.from = row.finished_at;
		if (deleted >= most || ++looked >= most * kLooksPerRow)
		{
			/* that many rows of one moment, and all of them stay: pass it, or the walk would stand still */
			if (deleted == 0 && walk.from == began_from)
				walk.from++;
			done = false;
			break;
		}
	}
	EndRowScan(&scan);
	MemoryContextDelete(scratch);
	return done;
}

static Step
BeginStep(Relation history)
{
	Step step = {};
	HASHCTL control = {};

	step.history = history;
	step.now = GetCurrentTimestamp();
	step.retention_us = settings::history_retention_s * USECS_PER_SEC;
	step.retention_failed_us = settings::history_retention_failed_s * USECS_PER_SEC;
	control.keysize = sizeof(int64);
	control.entrysize = sizeof(KeptRuns);
	control.hcxt = CurrentMemoryContext;
	step.runs =
		hash_create("worker_pool kept runs", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	return step;
}

/*
 * Caller: a visit, inside a transaction that it commits. Returns in a second where more may be too old by now,
 * DT_NOEND where no row that is there becomes too old by the time alone.
 */
TimestampTz
PurgeHistory(int most)
{
	Relation history = TryOpenTable(Table::kHistory, RowExclusiveLock);

	if (history == nullptr)
	{
		walk = kNewWalk;
		return DT_NOEND;
	}

	Step step = BeginStep(history);
	const bool done = GoOn(&step, std::max(most, 1));

	hash_destroy(step.runs);
	if (step.schedule != nullptr)
		table_close(step.schedule, AccessShareLock);
	table_close(history, NoLock);
	if (!done)
		return step.now + kAgainUs;

	const Walk ended = walk;

	walk = kNewWalk;
	if (TIMESTAMP_IS_NOEND(ended.next))
		return DT_NOEND;

	const int64 pause_us = std::clamp(ended.kept * kPausePerKeptUs, kPauseUs, kLongestPauseUs);

	return std::max(ended.next, step.now + pause_us);
}

} // namespace worker_pool
