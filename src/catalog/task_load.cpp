/*
 * task_load.cpp
 *	  From the tables into the ready queue: LoadDatabase in a visit (or rescan()), LoadPair in a worker.
 *
 * The table is the truth, the ready queue the order; a load makes them agree again. Story of a whole load:
 *
 *	1. BeginLoad says how often unknown work was reported so far (`changes`) and shuts other loads out. Only
 *	   then a snapshot is taken: what is reported later than `changes` may be missing in it, and EndLoad keeps
 *	   the mark for that.
 *	2. Queues first, so that limits and pauses are known before there is anything that they hold back; then
 *	   schedules; then the tasks, role by role, each role from its first rank on.
 *	3. Of a role: BeginPairLoad, a snapshot after it for the same reason, then the walk. Rows that are due are
 *	   pushed until the pair has no room; its mark `more` with the key of the first row that was not pushed
 *	   takes over from there. Rows of the future: the first kDelayedAhead of each rank are pushed, the due time
 *	   of the next one counts into `next_look`. Blocked rows (due = infinity) end a rank: the walk jumps.
 *	4. EndLoad with the earliest due time of a row that is not in memory. It is complete then: what was not
 *	   pushed stands behind the mark of its pair or behind that time.
 *
 * A load of a pair is step 3 alone, from the key where memory says that its knowledge ends: rows and dead index
 * entries before that are not visited again.
 *
 * Pushing may race with anybody: an item that is there stays one item, an item whose row has just been finished
 * is dropped by the worker that takes it.
 *
 * On an ERROR or FATAL the whole load ends as not complete: the mark stays, another visit comes. A load of a
 * pair that breaks off leaves `more` as it was.
 */
#include "catalog/task_store.hpp"

#include "catalog/order_scan.hpp"
#include "catalog/queue_row.hpp"
#include "catalog/schedule_row.hpp"

namespace worker_pool
{

/* Rows of the future that a load takes in ahead of time, a (role, rank). */
static constexpr int kDelayedAhead = 256;
/*
 * So many due rows of a pair are offered even where RoomFor says that it is full: what is in memory already
 * needs no room, and a mark set at the first row would let nobody take what stands there.
 */
static constexpr int kAtLeast = 64;
/*
 * Where there is no room for a row that is blocked anyway (a pause, a limit), the load walks on for rows that can run,
 * which take the place of blocked ones: past so many rows, and pushing so many. The next load of the pair goes on.
 */
static constexpr int kMostWalked = 200000;
static constexpr int kMostBeyondRoom = 4096;
/* A row of the future behind blocked ones is loaded that late at worst. */
static constexpr int64 kWalkAgainUs = 5 * USECS_PER_SEC;

/* The load of one (database, role). */
struct PairLoad
{
	Oid role;
	bool whole; /* every row is looked at, also those that are in memory */
	TimestampTz now;
	int room; /* pushes that are left of what RoomFor said */
	int pushed;
	bool stopped; /* rows at or behind `stop` were not pushed */
	OrderKey stop;
	int walked;			   /* due rows since then */
	int beyond;			   /* of them pushed */
	TimestampTz next_look; /* the earliest due time of a row that was not pushed */
};

static void
LookAgainAt(TimestampTz *next_look, TimestampTz due)
{
	*next_look = std::min(*next_look, due);
}

/* A whole load asks again: most of what it pushes may be there already, and has used no room. */
static bool
HasRoom(PairLoad *load)
{
	if (load->room <= 0 && (load->whole || load->pushed == 0))
		load->room = RoomFor(MyDatabaseId, load->role);
	return load->room > 0;
}

/* False: it was not taken in. The first one wakes, so that work begins while the load goes on. */
static bool
Push(PairLoad *load, const ItemSpec &spec)
{
	if (PushItem(spec, load->now) == PushResult::kNotTaken)
		return false;
	load->room--;
	if (load->pushed++ == 0)
		WakePair(MyDatabaseId, load->role);
	return true;
}

/* SpecOf without its litter. */
static ItemSpec
SpecIn(MemoryContext scratch, Relation task, HeapTuple tuple)
{
	MemoryContext const caller = MemoryContextSwitchTo(scratch);
	const ItemSpec spec = SpecOf(task, tuple);

	MemoryContextSwitchTo(caller);
	MemoryContextReset(scratch);
	return spec;
}

/*
 * The first row for which there was no room, a blocked one: what comes behind it is walked past. True: the walk was
 * moved, to where the last one broke off.
 */
static bool
StartWalk(OrderScan *scan, PairLoad *load, const OrderKey &key)
{
	OrderKey from;

	load->stopped = true;
	load->stop = key;
	if (!GetBlockedWalk(MyDatabaseId, load->role, &from) || !(key < from))
		return false;
	SeekFrom(scan, load->role, from);
	return true;
}

/* A due row on the way past blocked ones. False: the walk is over for now. */
static bool
WalkPast(PairLoad *load, const ItemSpec &spec)
{
	if (++load->walked <= kMostWalked && load->beyond < kMostBeyondRoom)
	{
		if (IsBlocked(spec))
			return true;
		load->beyond++;
		if (Push(load, spec))
			return true;
		/* there is no room for what can run either: from the start the next time */
		SetBlockedWalk(MyDatabaseId, load->role, nullptr);
		return false;
	}

	const OrderKey key = {spec.rank, spec.due, spec.id};

	SetBlockedWalk(MyDatabaseId, load->role, &key);
	return false;
}

/*
 * Pushes what the walk gives from its present place on, to the end of the role or of the room; behind that, as far as
 * the rows are blocked, what is not.
 */
static void
PushRows(OrderScan *scan, MemoryContext scratch, PairLoad *load)
{
	int64 rank = PG_INT64_MIN;
	int ahead = 0;
	HeapTuple tuple;

	while ((tuple = NextInOrder(scan)) != nullptr)
	{
		const FormTask &form = *FormOf(tuple);

		if (form.rank != rank)
			ahead = 0;
		rank = form.rank;
		if (TIMESTAMP_IS_NOEND(form.due))
		{
			SeekBehindRank(scan, load->role, rank);
			continue;
		}
		if (!IsOwnRow(form.installation, form.database))
			continue;
		if (form.due > load->now)
		{
			if (ahead++ < kDelayedAhead && HasRoom(load) &&
				Push(load, SpecIn(scratch, scan->task, tuple)))
				continue;
			LookAgainAt(&load->next_look,
						load->stopped ? std::max(form.due, load->now + kWalkAgainUs) : form.due);
			SeekBehindRank(scan, load->role, rank);
			continue;
		}
		if (IsClaimHeld(form))
			continue;

		const OrderKey key = KeyOf(form);
		const ItemSpec spec = SpecIn(scratch, scan->task, tuple);

		if (load->stopped)
		{
			if (!WalkPast(load, spec))
				return;
			continue;
		}
		if ((HasRoom(load) || load->pushed < kAtLeast) && Push(load, spec))
			continue;

		const bool moved = StartWalk(scan, load, key);

		if (!IsBlocked(spec))
			return;
		if (moved)
			rank = PG_INT64_MIN;
	}
	if (load->stopped)
		SetBlockedWalk(MyDatabaseId, load->role, nullptr);
}

/*
 * Loads one role. whole: from its first row on, whatever memory says; else from where memory says that its
 * knowledge ends, if it ends at all.
 */
static void
LoadRole(OrderScan *scan, MemoryContext scratch, Oid role, bool whole, TimestampTz *next_look)
{
	OrderKey from = kFirstKey;
	uint64 changes = 0;
	const bool more = BeginPairLoad(MyDatabaseId, role, &from, &changes);
	/* 0: somebody else loads the pair; he knows nothing of what a whole load may find before his rows */
	const bool began = changes != 0;
	PairLoad load = {};

	if (!more && !whole)
	{
		if (began)
			EndPairLoad(MyDatabaseId, role, changes, kLastKey, false);
		return;
	}
	load.role = role;
	load.whole = whole;
	load.now = GetCurrentTimestamp();
	load.next_look = DT_NOEND;
	PG_TRY();
	{
		RefreshOrder(scan);
		if (whole)
			SeekRole(scan, role);
		else
			SeekFrom(scan, role, from);
		PushRows(scan, scratch, &load);
	}
	PG_CATCH();
	{
		/* let others try: what memory knew before it knows still */
		if (began)
			EndPairLoad(MyDatabaseId, role, changes, more ? from : kLastKey, more);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (began || load.stopped)
		EndPairLoad(MyDatabaseId, role, changes, load.stopped ? load.stop : kLastKey, load.stopped);
	if (load.pushed > 0)
		WakePair(MyDatabaseId, role);
	LookAgainAt(next_look, load.next_look);
}

static MemoryContext
MakeScratch()
{
	return AllocSetContextCreate(CurrentMemoryContext, "worker_pool load", ALLOCSET_SMALL_SIZES);
}

/* Steps 2 and 3 of the head comment. */
static void
LoadTables(TimestampTz *next_look)
{
	Relation task = TryOpenTable(Table::kTask, AccessShareLock);
	pg_uuid_t identity;

	if (task == nullptr)
		return;
	if (!GetIdentity(&identity))
	{
		/* a copy of another database: nothing of it is ours before adopt(), which arms a rescan */
		table_close(task, AccessShareLock);
		return;
	}
	LoadQueues();
	LoadSchedules();

	MemoryContext const scratch = MakeScratch();
	OrderScan scan = OpenOrder(task);

	for (Oid role = NextRole(&scan, InvalidOid); OidIsValid(role); role = NextRole(&scan, role))
		LoadRole(&scan, scratch, role, true, next_look);
	CloseOrder(&scan);
	MemoryContextDelete(scratch);
	table_close(task, AccessShareLock);
}

/* The load broke off by an ERROR or with its process: `arg` is what BeginLoad gave. */
static void
GiveUpLoad(int, Datum arg)
{
	const auto *changes = reinterpret_cast<const uint64 *>(DatumGetPointer(arg));

	EndLoad(MyDatabaseId, *changes, false, DT_NOEND);
}

/* Caller: inside a transaction. Does nothing where another process is loading this database. */
void
LoadDatabase()
{
	uint64 changes = 0;
	TimestampTz next_look = DT_NOEND;

	if (!BeginLoad(MyDatabaseId, &changes))
		return;
	PG_ENSURE_ERROR_CLEANUP(GiveUpLoad, PointerGetDatum(&changes));
	{
		LoadTables(&next_look);
		WP_FAULT("load.before_end");
	}
	PG_END_ENSURE_ERROR_CLEANUP(GiveUpLoad, PointerGetDatum(&changes));
	EndLoad(MyDatabaseId, changes, true, next_look);
}

/*
 * Caller: a worker of the role (or a visit), inside a transaction. A row of the future that did not go in is
 * left to the next visit by the database's mark, set for its time.
 */
void
LoadPair(Oid role)
{
	TimestampTz next_look = DT_NOEND;
	Relation task = TryOpenTable(Table::kTask, AccessShareLock);
	pg_uuid_t identity;

	if (task == nullptr || !GetIdentity(&identity))
	{
		OrderKey from;
		uint64 changes;

		(void) BeginPairLoad(MyDatabaseId, role, &from, &changes);
		if (changes != 0)
			EndPairLoad(MyDatabaseId, role, changes, kLastKey, false);
		if (task != nullptr)
			table_close(task, AccessShareLock);
		return;
	}

	MemoryContext const scratch = MakeScratch();
	OrderScan scan = OpenOrder(task);

	LoadRole(&scan, scratch, role, false, &next_look);
	WP_FAULT("load.before_end");
	CloseOrder(&scan);
	MemoryContextDelete(scratch);
	table_close(task, AccessShareLock);
	if (!TIMESTAMP_IS_NOEND(next_look))
		MarkRescan(MyDatabaseId, next_look);
}

} // namespace worker_pool
