/*
 * ready.cpp
 *	  Items of the ready queue: in, from one place to another, and out unfinished. See ready.hpp for the states
 *	  and ready_table.hpp for the places.
 *
 * Any process pushes and removes, at the end of its transaction or while it loads the tables. The movers here
 * are the only code that changes an item's state but for taking (ready_take.cpp); each leaves all counters and
 * trees in step. Nothing can fail half-way: an item for which there is no pair entry is delayed for a moment, one
 * for which there is no item is noted as standing in the table only.
 */
#include "shmem/ready_table.hpp"

namespace worker_pool
{

/* How many items are moved in one hold of the lock. */
static constexpr int kMovesAHold = 256;
/* How long an item waits for an entry of its pair, or of its limit. */
static constexpr int64 kEntryRetryUs = 200 * INT64CONST(1000);

/* --- movers ---------------------------------------------------------------------------------------------- */

void
MakeReady(int32 index)
{
	ReadyItem &item = ItemAt(index);
	TaskPair &pair = TaskPairAt(item.pair);

	item.state = ItemState::kReady;
	OrderTree(&pair.tree).Insert(index);
	pair.waiting_since =
		pair.ready == 0 ? item.ready_at : std::min(pair.waiting_since, item.ready_at);
	pair.ready++;
	TaskDatabaseAt(item.database).ready++;
}

void
LeaveReady(int32 index)
{
	ReadyItem &item = ItemAt(index);
	TaskPair &pair = TaskPairAt(item.pair);
	const bool was_there = OrderTree(&pair.tree).Erase(index);

	Assert(item.state == ItemState::kReady && was_there);
	(void) was_there;
	item.state = ItemState::kFree;
	if (--pair.ready == 0)
		pair.seen = 0;
	TaskDatabaseAt(item.database).ready--;
}

void
ParkItem(int32 index, int32 limit_index)
{
	ReadyItem &item = ItemAt(index);
	TaskLimit &limit = LimitAt(limit_index);

	item.state = ItemState::kParked;
	item.limit = limit_index;
	OrderTree(&limit.tree).Insert(index);
	limit.parked++;
	TaskPairAt(item.pair).parked++;
	TaskDatabaseAt(item.database).parked++;
}

void
UpdateFirstDue(int32 index, WakeSet *wakes)
{
	TaskDatabase &database = TaskDatabaseAt(index);
	DueTree due_tree(&ready_table->due_tree);
	TimestampTz first = DT_NOEND;

	for (int32 &tree : database.trees)
		if (tree != kNone)
			first = std::min(first, ItemAt(TimeTree(&tree).Smallest()).ready_at);
	if (first == database.first_due)
		return;
	if (database.first_due != DT_NOEND)
		due_tree.Erase(index);
	database.first_due = first;
	if (first != DT_NOEND)
		due_tree.Insert(index);
	ready_table->nearest_due =
		due_tree.IsEmpty() ? DT_NOEND : TaskDatabaseAt(due_tree.Smallest()).first_due;
	NoteDeadline(ready_table->nearest_due, wakes);
}

void
DelayItem(int32 index, TimestampTz until, WakeSet *wakes)
{
	ReadyItem &item = ItemAt(index);
	TaskDatabase &database = TaskDatabaseAt(item.database);

	item.state = ItemState::kDelayed;
	item.pair = kNone;
	item.ready_at = until;
	TimeTree(&database.trees[static_cast<int>(item.spec.kind)]).Insert(index);
	database.delayed++;
	UpdateFirstDue(item.database, wakes);
}

static void
LeaveDelayed(int32 index, WakeSet *wakes)
{
	ReadyItem &item = ItemAt(index);
	TaskDatabase &database = TaskDatabaseAt(item.database);

	TimeTree(&database.trees[static_cast<int>(item.spec.kind)]).Erase(index);
	item.state = ItemState::kFree;
	database.delayed--;
	UpdateFirstDue(item.database, wakes);
}

static void
LeaveParked(int32 index)
{
	ReadyItem &item = ItemAt(index);
	TaskLimit &limit = LimitAt(item.limit);

	OrderTree(&limit.tree).Erase(index);
	limit.parked--;
	TaskPairAt(item.pair).parked--;
	TaskDatabaseAt(item.database).parked--;
	item.state = ItemState::kFree;
	ReleaseLimit(item.limit);
	item.limit = kNone;
}

void
DetachItem(int32 index, WakeSet *wakes)
{
	Assert(LWLockHeldByMeInMode(TaskLock(), LW_EXCLUSIVE));
	ReadyItem &item = ItemAt(index);
	const int32 pair = item.pair;

	switch (item.state)
	{
		case ItemState::kReady:
			LeaveReady(index);
			UnparkInPlaceOf(item.spec, wakes);
			break;
		case ItemState::kDelayed:
			LeaveDelayed(index, wakes);
			break;
		case ItemState::kParked:
			LeaveParked(index);
			break;
		case ItemState::kTaken:
		case ItemState::kFree:
			Assert(false);
			break;
	}
	item.pair = kNone;
	if (pair != kNone)
		ReleaseTaskPair(pair);
}

void
FreeItem(int32 index)
{
	ReadyItem &item = ItemAt(index);

	Assert(item.state == ItemState::kFree);
	UnlinkItem(index);
	item.links.left = ready_table->free_items;
	ready_table->free_items = index;
	ready_table->free_count++;
}

void
PlaceItem(int32 index, TimestampTz now, WakeSet *wakes)
{
	Assert(LWLockHeldByMeInMode(TaskLock(), LW_EXCLUSIVE));
	ReadyItem &item = ItemAt(index);

	Assert(item.state == ItemState::kFree);
	if (item.spec.due == DT_NOEND)
	{
		FreeItem(index);
		return;
	}
	if (item.spec.due > now)
	{
		DelayItem(index, item.spec.due, wakes);
		return;
	}
	item.pair = NeedTaskPair(item.database, item.spec.role, wakes);
	if (item.pair == kNone)
	{
		DelayItem(index, now + kEntryRetryUs, wakes);
		return;
	}
	/* "-infinity" is no time to reckon with; 0 stands for none */
	item.ready_at = std::max<TimestampTz>(item.spec.due, 1);

	const int32 limit = BlockingLimit(item.spec);

	if (limit == kNone)
		MakeReady(index);
	else
		ParkItem(index, limit);
}

void
WakeFor(int32 index, WakeSet *wakes)
{
	const ReadyItem &item = ItemAt(index);

	if (item.state == ItemState::kReady && !TaskDatabaseAt(item.database).pause.paused)
		AddWake(wakes, item.spec.database, item.spec.role);
}

/* --- in -------------------------------------------------------------------------------------------------- */

static bool
IsSame(const ItemSpec &a, const ItemSpec &b)
{
	return a.role == b.role && a.rank == b.rank && a.due == b.due && a.queue == b.queue &&
		   a.concurrency == b.concurrency;
}

/* What is known of the row. Too early a look costs a claim, too late a one costs the task its time. */
static ItemSpec
Newest(const ItemSpec &known, const ItemSpec &told)
{
	ItemSpec newest = told;

	if (told.order < known.order)
	{
		newest = known;
		newest.due = std::min(known.due, told.due);
	}
	return newest;
}

uint64
NextPushOrder()
{
	return pg_atomic_add_fetch_u64(&ready_table->push_order, 1);
}

void
DoubtItem(ItemKind kind, Oid database, int64 id)
{
	LockScope lock(TaskLock());
	const int32 index = FindItem(kind, database, id);

	if (index != kNone)
		ItemAt(index).spec.order = 0;
}

static PushResult
PushNew(const ItemSpec &spec, TimestampTz now, WakeSet *wakes)
{
	if (spec.due == DT_NOEND)
		return PushResult::kQueued;

	const int32 database = NeedTaskDatabase(spec.database);
	const int32 index = database == kNone ? kNone : AllocateItem(spec, database, now, wakes);

	if (index == kNone)
		return PushResult::kNotTaken;
	PlaceItem(index, now, wakes);
	return PushResult::kQueued;
}

static PushResult
PushLocked(const ItemSpec &spec, TimestampTz now, WakeSet *wakes)
{
	const int32 index = FindItem(spec.kind, spec.database, spec.id);

	if (index == kNone)
		return PushNew(spec, now, wakes);

	ReadyItem &item = ItemAt(index);

	const ItemSpec newest = Newest(item.spec, spec);

	if (item.state == ItemState::kTaken)
	{
		item.spec = newest;
		item.again = true;
		item.forgotten = false;
		return PushResult::kAgain;
	}
	/* one that was put off may be had now */
	if (IsSame(item.spec, newest) && (item.state != ItemState::kDelayed || newest.due > now))
	{
		item.spec.order = newest.order;
		return PushResult::kQueued;
	}
	DetachItem(index, wakes);
	item.spec = newest;
	PlaceItem(index, now, wakes);
	return PushResult::kQueued;
}

PushResult
PushItem(const ItemSpec &spec, TimestampTz now)
{
	WakeSet wakes = {};
	PushResult result;

	{
		LockScope lock(TaskLock());

		result = PushLocked(spec, now, &wakes);
	}
	FireWakes(wakes);
	return result;
}

bool
RemoveItem(ItemKind kind, Oid database, int64 id, uint64 order)
{
	WakeSet wakes = {};

	{
		LockScope lock(TaskLock());
		const int32 index = FindItem(kind, database, id);

		if (index == kNone || ItemAt(index).spec.order > order)
			return false;
		if (ItemAt(index).state == ItemState::kTaken)
		{
			ItemAt(index).again = false;
			return false;
		}
		DetachItem(index, &wakes);
		FreeItem(index);
	}
	FireWakes(wakes);
	return true;
}

/* --- due ------------------------------------------------------------------------------------------------- */

/* Moves some of what is due; returns how many. */
static int
MoveSomeDue(TimestampTz now, WakeSet *wakes)
{
	DueTree due_tree(&ready_table->due_tree);
	int moved = 0;

	for (; moved < kMovesAHold && ready_table->nearest_due <= now; moved++)
	{
		TaskDatabase &database = TaskDatabaseAt(due_tree.Smallest());
		int32 *tree = &database.trees[0];

		if (*tree == kNone || ItemAt(TimeTree(tree).Smallest()).ready_at != database.first_due)
			tree = &database.trees[1];

		const int32 index = TimeTree(tree).Smallest();

		LeaveDelayed(index, wakes);
		PlaceItem(index, now, wakes);
		WakeFor(index, wakes);
	}
	return moved;
}

void
MoveDueItems(TimestampTz now, bool for_launcher)
{
	int moved = kMovesAHold;

	while (moved == kMovesAHold)
	{
		WakeSet wakes = {};

		{
			LockScope lock(TaskLock());

			moved = MoveSomeDue(now, &wakes);
		}
		/* the launcher wakes the idle workers of all that is ready by itself */
		if (!for_launcher)
			FireWakes(wakes);
	}
}

/* --- forgetting ------------------------------------------------------------------------------------------ */

/* An item of the database that is not taken; kNone: there is none. */
static int32
AnyItem(TaskDatabase &database)
{
	for (int32 &tree : database.trees)
		if (tree != kNone)
			return TimeTree(&tree).Greatest();
	for (int32 i = database.pairs; i != kNone; i = TaskPairAt(i).next)
		if (TaskPairAt(i).ready > 0)
			return OrderTree(&TaskPairAt(i).tree).Greatest();
	for (int32 i = database.limits; i != kNone; i = LimitAt(i).next)
		if (LimitAt(i).parked > 0)
			return OrderTree(&LimitAt(i).tree).Greatest();

	/* the careful limit is everybody's */
	OrderTree careful(&LimitAt(ready_table->careful_limit).tree);
	int32 item = careful.Smallest();

	while (item != kNone && &TaskDatabaseAt(ItemAt(item).database) != &database)
		item = careful.Next(item);
	return item;
}

/* What is left when the items are gone. */
static void
ForgetEntry(TaskDatabase &database)
{
	for (int32 i = database.pairs, next; i != kNone; i = next)
	{
		TaskPair &pair = TaskPairAt(i);

		next = pair.next;
		pair.more = false;
		pair.start_error.sqlstate = 0;
		ReleaseTaskPair(i);
	}
	for (int32 i = database.limits, next; i != kNone; i = next)
	{
		TaskLimit &limit = LimitAt(i);

		next = limit.next;
		if (limit.kind != LimitKind::kQueue)
			continue;
		limit.most = 0;
		limit.pause = {};
		ReleaseLimit(i);
	}
	database.pause = {};
	database.dirty_pauses = 0;
	database.rescan = database.loaded = false;
	database.changes++;
	database.next_look = database.marked_look = database.purge_at = DT_NOEND;
	ForgetStats(database.database);
}

/* One step; false: done. */
static bool
ForgetSome(Oid oid)
{
	/* nobody is to be woken for what is unparked on the way: it goes, too */
	WakeSet ignored = {};
	LockScope lock(TaskLock());
	const int32 index = FindTaskDatabase(oid);

	if (index == kNone)
		return false;

	TaskDatabase &database = TaskDatabaseAt(index);

	for (int i = 0; i < kMovesAHold; i++)
	{
		const int32 item = AnyItem(database);

		if (item == kNone)
		{
			ForgetEntry(database);
			return false;
		}
		DetachItem(item, &ignored);
		FreeItem(item);
	}
	return true;
}

void
ForgetItems(Oid database)
{
	{
		LockScope lock(TaskLock());

		ForEachTaken(
			[database](int32 index)
			{
				ReadyItem &item = ItemAt(index);

				item.forgotten |= item.spec.database == database;
			});
	}
	while (ForgetSome(database))
		;
}

} // namespace worker_pool
