/*
 * ready.hpp
 *	  The ready queue: what is to be done for durable rows, in order, for all databases. The table is the
 *	  truth, this is the order; it may lose anything and be loaded from the tables again.
 *
 * An item stands for a task or a schedule of one database. At most one item a (kind, database, id):
 *
 *	            PushItem, due                       TakeItems
 *	  (none) ------------------> ready ---------------------------------> taken
 *	    |                         ^  |  ^   \  a limit is exhausted        | | |
 *	    | PushItem, not yet due   |  |  |    +----> parked (UnparkLocked)  | | | FinishItem
 *	    +----------> delayed -----+  |  +-----------------------------------+ | +------> (none)
 *	       due time came (MoveDue)   | evicted: overflow      GiveBackItem    |
 *	                                 +------> (none)     DeferItem -> delayed |
 *	                                          exit callback: GiveBackAll -----+
 *
 *	- ready: in the tree of its pair (database, role), smallest key (rank, due, id) first;
 *	- delayed: in the tree of its database, by due time; the databases are in one by their earliest;
 *	- parked: would run, but its concurrency key or its queue's limit is exhausted, its queue is paused, or
 *	  it must run alone (careful mode). On the list of that Limit; back in the tree when it has room;
 *	- taken: a worker's. In the list of the worker's slot; `begun` once the worker runs it. Taken is the
 *	  claim in memory: no other worker of this server can have the item.
 *
 * Overflow. There are kItems of them. When none is free, the database with most items gives its worst one
 * up for one of a database below its share; one above its share gives up its own worst for a better one, and
 * that of its largest role for one of a role that has little (ready_room.cpp). What is given up, or not taken
 * in, is noted: the pair's `scan_from` goes down to its key and `more` is set: rows at or behind scan_from may
 * stand in the table only. TakeItems does not pass over scan_from while `more` stands: it says kRefill, and the
 * worker loads on. Delayed items given up lower the database's `next_look`; so do schedules.
 *
 * Unknown work: `rescan` of a database says that rows may be there that nobody pushed (COPY, more than 64 ids
 * in a transaction, COMMIT PREPARED, logical apply, rescan()); `changes` counts how often that was said, so
 * a load clears the mark only if it did not move since before its snapshot.
 *
 * All under one LWLock of its own (TaskLock), a leaf like the pool lock; the two are never held together.
 * Functions take it themselves unless their name ends in Locked. Nothing here raises or allocates.
 *
 *	field						written by
 *	items, trees, lists			ready*.cpp only, through the movers of ready_table.hpp
 *	pause_* of a Limit/database	pause(), resume() and the load, through SetPause
 *	start_error of a pair		launcher (a worker of the role cannot start); cleared by the visit that has
 *								failed the tasks
 *	stats						FinishItem and CountEvent
 */
#pragma once

#include "shmem/root.hpp"

namespace worker_pool
{

inline constexpr int kItems = 32768;
inline constexpr int kTaskPairs = 2048; /* (database, role) with items; more: rescan mark */
inline constexpr int kLimits =
	4096; /* concurrency keys in use, limited or paused queues (not the last quarter) */
inline constexpr int kLostNotes = 64; /* last words of processes that died over a task */

enum class ItemKind : uint8
{
	kTask,
	kSchedule,
};

enum class ItemState : uint8
{
	kFree,
	kReady,
	kDelayed,
	kParked,
	kTaken,
};

/* What a pusher knows of a row. */
struct ItemSpec
{
	ItemKind kind;
	int64 id;
	Oid database;
	Oid role;	/* runs as */
	int64 rank; /* smaller first; of a schedule INT64_MIN: making a task is quick and first */
	TimestampTz due;
	int32 queue;		/* queue id; 0 = default */
	uint64 concurrency; /* hash of the concurrency key, never 0 for one; 0 = none */
	/* NextPushOrder() while the row was locked; 0 = seen without that: it may be old */
	uint64 order;
};

/* A claim in a row that is void: its process gave the item back (GiveBackAll, StealBatch). */
struct VoidClaim
{
	int slot; /* kNone: none */
	uint64 generation;
};

/* What a worker gets of an item. `serial` tells whether the item is still the same. */
struct TakenItem
{
	int index;
	uint64 serial;
	ItemSpec spec;
	VoidClaim void_claim;
	/* another one: who held it last may have died before it had made its own claim; kNone: none */
	VoidClaim older_claim;
	bool lost; /* it had begun in a process that went away: an attempt is to be recorded */
	BriefError lost_error; /* of that process; sqlstate 0: it said nothing */
};

/* A limit that items count against while taken. */
enum class LimitKind : uint8
{
	kConcurrency, /* a concurrency key: 1 at a time */
	kQueue,		  /* a queue: max_running, or paused */
	/* one task that was unfinished at a crash, or one service, in the whole cluster */
	kCareful,
};

enum class TakeResult : uint8
{
	kTaken,	 /* *count items */
	kEmpty,	 /* nothing is ready (paused and parked ones do not count) */
	kRefill, /* the next in order may stand in the table only: load, then take again */
};

/* The key where a load of a pair goes on. */
struct OrderKey
{
	int64 rank;
	TimestampTz due;
	int64 id;
};

constexpr bool
operator<(const OrderKey &a, const OrderKey &b)
{
	if (a.rank != b.rank)
		return a.rank < b.rank;
	return a.due != b.due ? a.due < b.due : a.id < b.id;
}

/* How many pairs can have items: room for TaskDemands. */
constexpr int
PairCapacity()
{
	return kTaskPairs;
}

Size ReadyMemorySize();
void InitReady(char *memory, bool found);
/* The second LWLock of the pool's tranche; pool->task_lock. */
LWLock *TaskLock();

/* --- in ----------------------------------------------------------------------------------------------- */

enum class PushResult : uint8
{
	kQueued,   /* ready or delayed or parked, or was there already (its key was updated) */
	kAgain,	   /* taken at the moment: it becomes ready again if its worker drops it */
	kNotTaken, /* no room: the marks are set */
};

/*
 * Takes an item in. Ready when spec.due <= now, else delayed; spec.due infinity: it goes, if it was there.
 * Wakes no worker: see WakePair (the launcher it does wake, for a due time that is earlier than what the
 * launcher sleeps for). An item that is taken gets the flag `again` and the new spec, and becomes ready or
 * delayed by it once its worker finishes with it, however that ends.
 *
 * Whoever changes a row tells of it after the row's lock is gone, so two that change it one after the other may come
 * here in the wrong order, and a load or a mere locker may have seen an old version. So what is older than what
 * memory knows, by spec.order, changes nothing but that the item is looked at earlier.
 */
PushResult PushItem(const ItemSpec &spec, TimestampTz now);
/* Orders what is told of one row: to be taken while its lock is held. */
uint64 NextPushOrder();
/* The row was changed by somebody who has no room to tell of it: what the next load sees is newer. */
void DoubtItem(ItemKind kind, Oid database, int64 id);
/*
 * Removes an item that is ready, delayed or parked (its row is finished or changed), unless something newer was told
 * of it. False: taken, or not there.
 */
bool RemoveItem(ItemKind kind, Oid database, int64 id, uint64 order = PG_UINT64_MAX);
/* Everything of a database goes: it was dropped, or the extension was. Taken ones go when they finish. */
void ForgetItems(Oid database);
/*
 * Wakes who is to look after something was pushed for the pair: an idle worker of it, or the launcher, where
 * that does not know yet. Lock not held. Never raises.
 */
void WakePair(Oid database, Oid role);
/* Says that rows may be there that nobody pushed; earliest: not before this time (DT_NOBEGIN: now). Wakes the launcher. */
void MarkRescan(Oid database, TimestampTz earliest);

/* --- out: a worker of the pair --------------------------------------------------------------------------- */

/*
 * Moves due delayed items to ready, then takes up to `most` ready items of the pair for the slot, best
 * first. Items over a limit are parked on the way. At most the pair's fair part of what is ready is taken:
 * ready / (workers of the pair), at least one. Where more is ready than was taken, the next idle worker of the
 * pair is woken. kRefill also comes, to one worker, when what is in memory runs low while there is still some
 * for the others.
 */
TakeResult TakeItems(Oid database, Oid role, int slot, TimestampTz now, int most, TakenItem *items,
					 int *count);
/* Is anything there that TakeItems would give (or refill for)? Cheap; for the idle loop. */
bool HasWork(Oid database, Oid role, TimestampTz now);
/*
 * The worker is about to run it. False: it was stolen or the worker no longer has it (drop it without a
 * word); *cancelled: cancel_task asked for it meanwhile.
 */
bool BeginItem(int index, uint64 serial, bool *cancelled);
/* Taken -> must run alone: parked on the careful limit, or (true) the limit is now held by this item. */
bool TakeCareful(int index, uint64 serial);

enum class FinishHow : uint8
{
	kSucceeded,
	kFailed, /* finally */
	kRetried, /* an attempt failed, another will come: counted; the item goes, DeferItem makes it anew */
	kCancelled,
	kExpired,
	kDropped, /* the row was gone, locked, or not for us: if somebody pushed it meanwhile it is ready again */
};
/*
 * Taken -> gone. Gives back its limits, unparks the next, counts stats: `waited_us` from due to start and
 * `ran_us` go into the latency histograms (-1: not counted). What is unparked for another pair wakes that as
 * WakePair does; for the caller's own only an idle worker of it. So a worker that does not take again at once
 * (a queued command comes first, it retires) says WakePair for its pair.
 */
void FinishItem(int index, uint64 serial, FinishHow how, int64 waited_us, int64 ran_us);
/* Taken -> ready (nothing of it was run), with void_claim as the claim that stands in its row (or kNone). */
void GiveBackItem(int index, uint64 serial, const VoidClaim &void_claim);
/*
 * Taken -> delayed until then, counted nowhere; what is known of it stays: a wish to cancel it, void claims, a lost
 * attempt. `due`: that is the row's due time, too. Pushed meanwhile, or later on: it is ready by that.
 */
void PostponeItem(int index, uint64 serial, TimestampTz until, bool due);
/*
 * Taken -> delayed or ready with new rank and due: a retry (counted as one). Where the item is not taken under
 * that serial any more (FinishItem(kRetried) came before) it is pushed. Wakes its pair.
 */
void DeferItem(int index, uint64 serial, const ItemSpec &spec, TimestampTz now);
/*
 * Exit callback, launcher (a process that never came back): all items of the slot go back to ready, with
 * void_claim (slot, generation); begun ones as lost with `error`, unless `blameless` (its database's DDL, a
 * shutdown: nothing is counted). Returns whether there were any.
 */
bool GiveBackAll(int slot, uint64 generation, const BriefError *error, bool blameless);
/* Launcher: the batch of the slot hangs behind a slow task: those not begun become ready again. Returns how many. */
int StealBatch(int slot, uint64 generation);
/* Launcher: a careful task has held the limit for longer than kCarefulLimitUs: others may begin. Next time to look. */
TimestampTz RelaxCareful(TimestampTz now);
inline constexpr int64 kCarefulLimitUs = 2 * USECS_PER_SEC;
/*
 * The process of a service that may bring the server down: it holds the careful limit, which it shares with tasks, from
 * now on. False: another one has it; try again in a moment.
 */
bool TakeCarefulForService(TimestampTz now);
/* It gives the limit back: once for each time that it was taken. Without the pool lock. Never raises. */
void LeaveCarefulOfService();

/* --- cancel -------------------------------------------------------------------------------------------- */

enum class CancelResult : uint8
{
	kNotThere, /* not taken: the row decides */
	kMarked,   /* taken, not begun: its worker will cancel it */
	kRunning,  /* begun, in *slot: signal it under the pool lock with SignalTask */
};
/* The wish stays with the item: given back or deferred, its next worker finds it at BeginItem. */
CancelResult CancelItem(Oid database, int64 id, int *slot);

/* --- what the launcher sees ------------------------------------------------------------------------------ */

struct TaskDemand
{
	Oid database;
	Oid role;
	int ready;			/* items that could run now */
	TimestampTz oldest; /* when the oldest of them became ready */
	uint64 order;		/* tie-break: id */
	int role_limit;		/* as NoteRoleLimit said; 0 = none */
};
/*
 * Moves due items, then copies the pairs with ready items (also those that need a refill, as 1), but for paused
 * databases and roles that cannot start; remembers that the launcher has seen them; the policy wakes their idle
 * workers (core/allocation.hpp), which heals a wake that was lost. *next: the earliest time to come at which a delayed item of any
 * pair is due, a database wants a look, or a purge (DT_NOEND: never). capacity: PairCapacity().
 */
int TaskDemands(TaskDemand *demands, int capacity, TimestampTz now, TimestampTz *next);
/* Its max_workers_per_role, for TaskDemands; kept while the pair is known. */
void NoteRoleLimit(Oid database, Oid role, int limit);

/* --- databases ------------------------------------------------------------------------------------------ */

enum LookReason : uint32
{
	kLookRescan = 1,	 /* unknown work, or next_look has come */
	kLookRefill = 2,	 /* a pair has `more` and few items, and no worker of it is there */
	kLookStartError = 4, /* tasks of a role that cannot start are to be failed */
	kLookPause = 8,		 /* a pause is to be stored */
	kLookPurge = 16,	 /* old history is to be deleted */
};
/*
 * A database that needs a process to look at its tables; InvalidOid: none. The launcher sends a visit. The same
 * database is not named again within a second, or until NoteLook. Whether the extension is there and the
 * database open is for the launcher to check; where not, it says NoteLook(database, true), or ForgetItems.
 */
Oid DatabaseToLookAt(TimestampTz now, uint32 *reasons);
/* Reasons of this database now, for the visit itself; kLookRescan also for one that was never loaded. */
uint32 LookReasons(Oid database, TimestampTz now);
/*
 * The look is over (visit, or the launcher where none could be made). One that failed, or that left a reason
 * standing, is followed by the next one after 1 s, doubling to 1 min.
 */
void NoteLook(Oid database, bool failed);

/*
 * The start of a whole load, before its snapshot: returns `changes`. False: somebody else loads (for a minute
 * at most, should he die over it).
 */
bool BeginLoad(Oid database, uint64 *changes);
/* Its end. complete: every row was seen; next_look: the due time of the earliest row that was not pushed (DT_NOEND). */
void EndLoad(Oid database, uint64 changes, bool complete, TimestampTz next_look);
/*
 * Where a pair's load goes on, before its snapshot; false: there is nothing behind (more is not set), or
 * somebody else loads. A whole load may go on in spite of false, from the start of the role's rows: *from and
 * *changes are set in any case.
 */
bool BeginPairLoad(Oid database, Oid role, OrderKey *from, uint64 *changes);
/*
 * Its end: rows before `to` are all in memory; more: there may be others. What was given up since the begin
 * stays noted. Wakes the pair.
 */
void EndPairLoad(Oid database, Oid role, uint64 changes, const OrderKey &to, bool more);
/* How many items the pair may still take in before it overflows: a load stops there (never more than some thousands). */
int RoomFor(Oid database, Oid role);
/* Does a limit or a pause of its queue keep an item of that spec from being taken now? */
bool IsBlocked(const ItemSpec &spec);
/*
 * Loads walk past blocked rows for which there is no room, so many at a time. Where such a walk goes on; false: from
 * its start. And where it broke off; nullptr: it came to the end.
 */
bool GetBlockedWalk(Oid database, Oid role, OrderKey *from);
void SetBlockedWalk(Oid database, Oid role, const OrderKey *from);
void SetPurgeAt(Oid database, TimestampTz at);
/* Launcher: no worker of the role can start in that database, for this reason. */
void SetStartError(Oid database, Oid role, const BriefError &error);
/* Visit: takes the next role whose tasks are to be failed; false: none. */
bool TakeStartError(Oid database, Oid *role, BriefError *error);
/* A worker of the role came up after all. */
void ClearStartError(Oid database, Oid role);

/* --- queues and pauses ------------------------------------------------------------------------------------ */

struct PauseNote
{
	bool paused;
	bool dirty; /* not stored in the table yet */
	Oid by;
	TimestampTz at;
	char reason[160];
};
/* queue -1: the whole database. max_running 0: no limit. False: no room for another limited or paused queue. */
bool SetQueueLimit(Oid database, int32 queue, int max_running);
bool SetPause(Oid database, int32 queue, const PauseNote &note);
/* Returns whether it is paused; *note is set in any case. */
bool GetPause(Oid database, int32 queue, PauseNote *note);
/* Visit: the next pause that is to be stored; PauseStored when it is (if it did not change since), which wakes pause(). */
bool NextDirtyPause(Oid database, int32 *queue, PauseNote *note);
void PauseStored(Oid database, int32 queue, const PauseNote &note);
/* Tasks begun at this moment, of a queue (-1: of the database). */
int RunningTasks(Oid database, int32 queue);
int QueueMaxRunning(Oid database, int32 queue);

/* --- watching ----------------------------------------------------------------------------------------- */

/* What memory knows of one task; for explain_task and wait_task. */
struct ItemView
{
	ItemState state; /* kFree: not in memory */
	bool begun;
	int slot; /* taken */
	ItemSpec spec;
	LimitKind limit; /* parked: on what */
	int64
		limit_holder; /* parked on a concurrency key or careful: a task that holds it; 0 unknown */
	int ready_before; /* ready: items of its pair that come before it, at most 1000 counted */
};
ItemView ViewItem(Oid database, int64 id);

struct DatabaseTasks
{
	int64 ready; /* items in memory that could run; a lower bound while overflowed is set */
	int64 delayed;
	int64 parked;
	int64 running;			  /* begun */
	int64 failed;			  /* finally, since the counters were reset */
	TimestampTz oldest_ready; /* 0: none */
	TimestampTz next_due;	  /* DT_NOEND: none */
	bool overflowed;
	PauseNote pause;
};
/* False: nothing is known of it. */
bool GetDatabaseTasks(Oid database, DatabaseTasks *tasks);

/* Tasks in memory by queue; lower bounds while the database's `overflowed` is set. */
struct QueueTasks
{
	int32 queue;
	int64 ready;   /* could run: due, not parked */
	int64 waiting; /* ready, delayed and parked */
	int64 running; /* begun */
};
/*
 * One entry a queue that has tasks in memory, at most `capacity`; returns how many. Walks the items in steps, the
 * lock held for one step at a time (ready_counts.cpp). For the view `queues`.
 */
int GetQueueTasks(Oid database, QueueTasks *queues, int capacity);

/* Latency buckets: upper bounds in microseconds; the last is infinite. */
inline constexpr int64 kLatencyBoundsUs[] = {1000,
											 10000,
											 100000,
											 1000000,
											 10000000,
											 60000000,
											 600000000,
											 INT64CONST(3600000000),
											 INT64CONST(0x7FFFFFFFFFFFFFFF)};
inline constexpr int kLatencyBuckets = 9;
inline constexpr int kStatEntries = 512;

struct QueueStats
{
	Oid database; /* InvalidOid = unused */
	int32 queue;  /* -1: all those for which there was no entry */
	int64 enqueued;
	int64 succeeded;
	int64 failed;
	int64 retried;
	int64 cancelled;
	int64 expired;
	int64 skipped;
	int64 wait_us; /* sums */
	int64 run_us;
	int64 wait_count[kLatencyBuckets]; /* not cumulative here; the view adds up */
	int64 run_count[kLatencyBuckets];
	TimestampTz since;
};
/* Copies the entries of a database; returns how many. */
int GetStats(Oid database, QueueStats *stats, int capacity);
void ResetStats(Oid database);
enum class StatEvent : uint8
{
	kEnqueued,
	kCancelled,
	kExpired,
	kSkipped,
	kFailed,
};
/* An event that does not come through FinishItem. */
void CountEvent(Oid database, int32 queue, StatEvent event, int64 count);

} // namespace worker_pool
