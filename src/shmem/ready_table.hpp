/*
 * ready_table.hpp
 *	  Inside of the ready queue: its arrays in shared memory and the movers that the ready*.cpp share. Nobody
 *	  else includes this; the protocol stands in ready.hpp.
 *
 * Everything is an array, everything names everything else by index. An item is in exactly one place, and its
 * `links` are the place's:
 *
 *	state		place											counted in
 *	kFree		free list (links.left)							-
 *	kReady		tree of its pair								pair.ready, database.ready
 *	kDelayed	tree of its database (one a kind), by ready_at	database.delayed
 *	kParked		tree of its limit								limit.parked, pair.parked, database.parked
 *	kTaken		list of its slot (left = previous, right = next)	pair.taken, limit.count; begun: database.begun
 *
 * and, but for free ones, in a bucket by (kind, database, id) and in database.items. A delayed item has no pair.
 *
 * Entries of pairs and limits come and go with what they stand for (ReleaseTaskPair, ReleaseLimit). One of
 * a database stays until the table is full and it has nothing to tell (IsForgettable).
 *
 * Limits. The entry of a concurrency key exists while an item that counts against it is taken or one is parked
 * on it; that of a queue while it has a limit, a pause, an unstored resume, or something parked. `count` is the
 * number of taken items that have the key or queue, whenever the entry exists: it is counted anew when the
 * entry is made. What holds: where a limit has room and something is parked on it, one that counts against it
 * is ready. Therefore whoever takes an item out of a ready tree without taking it for a worker, and whoever
 * gives a limit back, calls Unpark.
 *
 * Wakes. Under the lock, pairs to be woken are collected in a WakeSet; FireWakes is called after its release.
 *
 * All functions here expect TaskLock held exclusively unless they say otherwise.
 */
#pragma once

#include "config/settings.hpp"
#include "core/index_tree.hpp"
#include "shmem/ready.hpp"

namespace worker_pool
{

inline constexpr int kItemBuckets = 32768; /* powers of two, all of them */
inline constexpr int kPairBuckets = 1024;
inline constexpr int kLimitBuckets = 2048;
inline constexpr int kDatabaseBuckets = 256;
inline constexpr int kStatBuckets = 256;

/* Schedules count against no queue. */
inline constexpr int32 kNoQueue = -2;

struct ReadyItem
{
	ItemSpec spec;
	TimestampTz ready_at; /* delayed: when it is due; ready: since when */
	uint64 serial;		  /* new each time it is taken */
	TreeLinks links;
	int32 hash_next;
	int32 pair;		/* kNone while delayed */
	int32 database; /* its entry */
	int32 limit;	/* parked: on what */
	int32 slot;		/* taken: whose */
	int32 note;		/* lost: last words, kNone */
	uint32 note_serial;
	int32 held_queue; /* taken: what it counts against, whatever spec says by now; kNoQueue */
	uint64 held_concurrency; /* 0 = none */
	VoidClaim void_claim;
	VoidClaim older_claim;
	ItemState state;
	bool begun;
	bool lost;
	bool again;		/* pushed while taken: spec is new */
	bool cancelled; /* somebody wants it cancelled */
	bool careful;	/* taken: holds the careful limit */
	bool forgotten; /* taken: its database is gone */
};

struct TaskPair
{
	Oid database_oid; /* InvalidOid = unused */
	Oid role;
	int32 database;	 /* its entry */
	int32 hash_next; /* also of the free list */
	int32 previous;	 /* pairs of the database */
	int32 next;
	int32 tree; /* root of the ready ones */
	int32 ready;
	int32 parked;
	int32 taken;
	int32 seen; /* ready ones that the launcher has seen; 0 again when there are none */
	int32 role_limit;
	TimestampTz waiting_since; /* about when the oldest of the ready ones became so */

	/* what stands in the table only */
	bool more;
	int32 refill_failures;
	OrderKey scan_from;			   /* rows at or behind this; valid while `more` */
	OrderKey given_up;			   /* the smallest given up since the last BeginPairLoad */
	uint64 load_serial;			   /* of that */
	pid_t loader;				   /* who loads; valid until loading_until */
	TimestampTz loading_until;	   /* DT_NOBEGIN: nobody */
	TimestampTz refill_not_before; /* after a load that brought nothing */
	bool walking;				   /* a walk over blocked rows broke off ... */
	OrderKey walk_from;			   /* ... here: the next one goes on */

	BriefError start_error; /* sqlstate 0: none */
};

struct TaskLimit
{
	LimitKind kind;
	bool used;
	Oid database_oid; /* InvalidOid: of the careful limit */
	uint64 key;		  /* concurrency hash, or queue id */
	int32 database;
	int32 hash_next; /* also of the free list */
	int32 previous;	 /* limits of the database */
	int32 next;
	int32 count; /* taken items */
	int32 most;	 /* 0 = no limit */
	int32 parked;
	int32 tree; /* root of the parked ones */
	PauseNote pause;
};

struct TaskDatabase
{
	Oid database;	 /* InvalidOid = unused */
	int32 hash_next; /* also of the free list */
	int32 pairs;	 /* heads of the lists */
	int32 limits;
	int32 items;
	int32 ready;
	int32 parked;
	int32 delayed;
	int32 begun;
	int32 trees[2];		   /* delayed ones, by kind */
	TreeLinks links;	   /* in the tree of databases, while it has delayed ones */
	TimestampTz first_due; /* its key there */

	bool loaded; /* a whole load was made since the entry exists */
	bool rescan;
	uint64 changes;			   /* how often rows were said to be there that nobody pushed */
	pid_t loader;			   /* who loads; valid until loading_until */
	TimestampTz loading_until; /* DT_NOBEGIN: nobody */
	TimestampTz next_look;
	TimestampTz marked_look; /* what next_look was lowered to since the last BeginLoad */
	TimestampTz purge_at;
	TimestampTz look_not_before;
	int32 look_failures;
	int32 dirty_pauses; /* of its queues, and its own */
	PauseNote pause;
};

struct StatEntry
{
	QueueStats stats; /* database InvalidOid = unused */
	int32 hash_next;
};

struct LostNote
{
	uint32 serial; /* 0 = unused */
	BriefError error;
};

struct ReadyTable
{
	uint64 serial;
	pg_atomic_uint64 push_order;
	int32 free_items; /* head, and how many */
	int32 free_count;
	int32 free_pairs;
	int32 free_limits;
	int32 free_limit_count;
	int32 free_databases;
	int32 used_databases; /* entries at or past this index were never used */
	int32 used_stats;
	int32 databases_with_items;
	int32 due_tree;			   /* of databases, by first_due */
	TimestampTz nearest_due;   /* of all delayed items; may be read without the lock */
	TimestampTz launcher_next; /* what the launcher knows it has to wake up for */
	int32 look_cursor;
	int32 careful_limit;
	int32 careful_pair;		   /* that had the careful limit last, or was let through for it */
	TimestampTz careful_since; /* when the last one took that limit, or was given company */
	uint32 note_serial;

	int32 item_buckets[kItemBuckets];
	int32 pair_buckets[kPairBuckets];
	int32 limit_buckets[kLimitBuckets];
	int32 database_buckets[kDatabaseBuckets];
	int32 stat_buckets[kStatBuckets];
	ReadyItem items[kItems];
	TaskPair pairs[kTaskPairs];
	TaskLimit limits[kLimits];
	StatEntry stats[kStatEntries];
	LostNote notes[kLostNotes];
};

static_assert(std::is_standard_layout_v<ReadyTable> && std::is_trivially_copyable_v<ReadyTable>);
static_assert(std::is_standard_layout_v<TaskDatabase> &&
			  std::is_trivially_copyable_v<TaskDatabase>);

/* Addresses in this process. */
extern ReadyTable *ready_table;
extern TaskDatabase *task_databases; /* max_databases of them */
extern int32 *taken_lists;			 /* heads, one a slot */

inline ReadyItem &
ItemAt(int32 index)
{
	Assert(index >= 0 && index < kItems);
	return ready_table->items[index];
}

inline TaskPair &
TaskPairAt(int32 index)
{
	Assert(index >= 0 && index < kTaskPairs);
	return ready_table->pairs[index];
}

inline TaskLimit &
LimitAt(int32 index)
{
	Assert(index >= 0 && index < kLimits);
	return ready_table->limits[index];
}

inline TaskDatabase &
TaskDatabaseAt(int32 index)
{
	Assert(index >= 0 && index < settings::max_databases);
	return task_databases[index];
}

/* The smallest possible key. */
inline constexpr OrderKey kFirstKey = {PG_INT64_MIN, PG_INT64_MIN, PG_INT64_MIN};
inline constexpr OrderKey kLastKey = {PG_INT64_MAX, PG_INT64_MAX, PG_INT64_MAX};

constexpr OrderKey
KeyOf(const ItemSpec &spec)
{
	return {spec.rank, spec.due, spec.id};
}

/* Ready and parked items: by (rank, due, id). */
struct ByOrder
{
	TreeLinks &Links(int32 item) const noexcept
	{
		return ItemAt(item).links;
	}

	bool Before(int32 a, int32 b) const noexcept
	{
		const OrderKey key_a = KeyOf(ItemAt(a).spec);
		const OrderKey key_b = KeyOf(ItemAt(b).spec);

		if (key_a < key_b || key_b < key_a)
			return key_a < key_b;
		return a < b;
	}
};

/* Delayed items: by time. */
struct ByTime
{
	TreeLinks &Links(int32 item) const noexcept
	{
		return ItemAt(item).links;
	}

	bool Before(int32 a, int32 b) const noexcept
	{
		const TimestampTz time_a = ItemAt(a).ready_at;
		const TimestampTz time_b = ItemAt(b).ready_at;

		return time_a != time_b ? time_a < time_b : ByOrder().Before(a, b);
	}
};

/* Databases: by their first delayed item. */
struct ByFirstDue
{
	TreeLinks &Links(int32 database) const noexcept
	{
		return TaskDatabaseAt(database).links;
	}

	bool Before(int32 a, int32 b) const noexcept
	{
		const TimestampTz time_a = TaskDatabaseAt(a).first_due;
		const TimestampTz time_b = TaskDatabaseAt(b).first_due;

		return time_a != time_b ? time_a < time_b : a < b;
	}
};

using OrderTree = IndexTree<ByOrder>;
using TimeTree = IndexTree<ByTime>;
using DueTree = IndexTree<ByFirstDue>;

/* The first of the pair's ready items; kNone: it has none. Shared lock suffices. */
inline int32
BestOf(const TaskPair &pair)
{
	int32 root = pair.tree;

	return OrderTree(&root).Smallest();
}

/* --- wakes (ready_wake.cpp) ------------------------------------------------------------------------------- */

/* Who is to be woken after the lock is released. What does not fit is left to the launcher. */
struct WakeSet
{
	static constexpr int kMost = 16;

	int count;
	bool launcher;
	/* the caller's pair: it looks again itself, so the launcher need not hear of it */
	Oid own_database;
	Oid own_role;
	Oid databases[kMost];
	Oid roles[kMost];
};

void AddWake(WakeSet *wakes, Oid database, Oid role);
/* Lock not held. */
void FireWakes(const WakeSet &wakes);
/* Lock not held: an attempt is over, whoever drains a queue counts again. */
void WakeDrains();
/* Something is to be done at that time: the launcher is woken if it would sleep past it. */
void NoteDeadline(TimestampTz at, WakeSet *wakes);
/* Adds all pairs of the database that have something to do. */
void WakeAllPairs(const TaskDatabase &database, WakeSet *wakes);
/* Lock not held: moves what is due to ready and wakes its pairs (for_launcher: only idle workers). */
void MoveDueItems(TimestampTz now, bool for_launcher);
/* Lock not held: sets the latch of an idle worker of the pair; false: there is none. */
bool WakeIdleWorker(Oid database, Oid role);
/* Is there something that TakeItems would give, or refill for? Shared lock suffices. */
bool HasPairWork(const TaskPair &pair, TimestampTz now);

/* --- entries (ready_entries.cpp) -------------------------------------------------------------------------- */

/* kNone: unknown. Shared lock suffices. */
int32 FindItem(ItemKind kind, Oid database, int64 id);
int32 FindTaskDatabase(Oid database);
int32 FindTaskPair(Oid database, Oid role);
int32 FindLimit(LimitKind kind, Oid database, uint64 key);
/* Makes the entry when it is missing; kNone: the table is full. */
int32 NeedTaskDatabase(Oid database);
/* wakes: pairs all whose items are parked may be given up for it; nullptr: they may not. */
int32 NeedTaskPair(int32 database, Oid role, WakeSet *wakes);
int32 NeedLimit(LimitKind kind, int32 database, uint64 key);
constexpr uint64
QueueKey(int32 queue)
{
	return static_cast<uint32>(queue);
}
/* Drops the entry if it tells nothing any more. */
void ReleaseTaskPair(int32 pair);
void ReleaseLimit(int32 limit);
/* The taken tasks of a queue (-1: of the whole database). Shared lock suffices. */
int CountTaken(Oid database, int32 queue, bool only_begun);
/* Into and out of its bucket and its database's count; spec and database are set. */
void LinkItem(int32 item);
void UnlinkItem(int32 item);

/* --- movers (ready.cpp) -------------------------------------------------------------------------------- */

/* Puts a detached item where it belongs by its spec: delayed, ready, parked; or frees it (due = infinity). */
void PlaceItem(int32 item, TimestampTz now, WakeSet *wakes);
/* Detached, with its pair -> ready. Wakes nobody. */
void MakeReady(int32 item);
/* Ready -> detached, still with its pair; nothing is unparked. */
void LeaveReady(int32 item);
/* Wakes the item's pair if it is ready. */
void WakeFor(int32 item, WakeSet *wakes);
/* Taken -> detached; gives its limits back. Returns its pair, to be released when the item has its new place. */
int32 LeaveTaken(int32 item, WakeSet *wakes);
/* Takes an item that is ready, delayed or parked out of its place; what it made room for is unparked. */
void DetachItem(int32 item, WakeSet *wakes);
/* Detached -> free. */
void FreeItem(int32 item);
/* Detached -> delayed until that time, whatever its due time is. */
void DelayItem(int32 item, TimestampTz until, WakeSet *wakes);
/* Detached -> parked on that limit. */
void ParkItem(int32 item, int32 limit);
/* Keeps the tree of databases and nearest_due in step after a change of the delayed items. */
void UpdateFirstDue(int32 database, WakeSet *wakes);

/* --- limits (ready_limits.cpp) ---------------------------------------------------------------------------- */

/* How many more items may be taken; 0 while paused. Shared lock suffices. */
int RoomOf(const TaskLimit &limit);
/* The limit that keeps an item of that spec from being taken; kNone: nothing does. Shared lock suffices. */
int32 BlockingLimit(const ItemSpec &spec);
/* Counts a taken item in; false: no room for an entry. */
bool CountIn(int32 item);
/* Counts a taken item out and unparks what that makes room for. */
void CountOut(int32 item, WakeSet *wakes);
/* Makes up to `most` parked items ready, as the limit has room. Returns how many. */
int Unpark(int32 limit, int most, WakeSet *wakes);
/* An item of that spec is not ready any more: the next of its limits takes its place. */
void UnparkInPlaceOf(const ItemSpec &spec, WakeSet *wakes);

/* Careful limit: the item, which holds it, gives it back (ready_careful.cpp). */
void LeaveCareful(int32 item, WakeSet *wakes);

/* --- room (ready_room.cpp) ------------------------------------------------------------------------------ */

/* A free item for that spec, by eviction if need be; kNone: there is none, and the marks are set. */
int32 AllocateItem(const ItemSpec &spec, int32 database, TimestampTz now, WakeSet *wakes);
/* Notes that a row stands in the table only. */
void NoteGivenUp(const ItemSpec &spec, int32 database, TimestampTz now, WakeSet *wakes);
int RoomForPair(const TaskDatabase &database, const TaskPair *pair);
/* Lowers the time at which the database is to be loaded. */
void LowerNextLook(TaskDatabase *database, TimestampTz at, WakeSet *wakes);

/* --- refills (ready_refill.cpp) -------------------------------------------------------------------------- */

/* Is another process loading the pair? Shared lock suffices. */
bool IsPairLoading(const TaskPair &pair, TimestampTz now);
/* Rows stand behind scan_from, and somebody should load them now. Shared lock suffices. */
bool WantsRefill(const TaskPair &pair, TimestampTz now);
/* Must the item wait for a refill, because rows that come before it may stand in the table only? */
bool IsBehindScan(const TaskPair &pair, int32 item, TimestampTz now);
/* The loads of this process are over, however that came. */
void DropMyLoads();

/* --- stats (ready_stats.cpp) ------------------------------------------------------------------------------ */

/* Counts the end of an attempt; -1: not counted in the histogram. */
void CountFinish(Oid database, int32 queue, FinishHow how, int64 waited_us, int64 ran_us);
void ForgetStats(Oid database);

/* Calls visit(index) for the taken items of all slots. Shared lock suffices. */
template <typename Visit>
void
ForEachTaken(Visit visit)
{
	for (int slot = 0; slot < settings::max_workers; slot++)
		for (int32 item = taken_lists[slot]; item != kNone; item = ItemAt(item).links.right)
			visit(item);
}

} // namespace worker_pool
