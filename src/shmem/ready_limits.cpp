/*
 * ready_limits.cpp
 *	  What keeps a ready item from being taken: concurrency keys, queues with max_running or a pause, and the
 *	  careful limit. Any process.
 *
 * An item that meets an exhausted limit is parked on it: when it is placed (pushed, due, given back) or when a
 * worker would take it. What a finished item gives back lets the best parked one through, which may then meet
 * another limit and be parked there; then the next is tried. A pause of the whole database parks nothing: its
 * pairs are passed over.
 *
 * Pauses are immediate here and stored later: `dirty` is set until a visit has written the pause into the table
 * (NextDirtyPause, PauseStored). A load never overwrites a dirty pause, which is newer than what it read. If the
 * server crashes before the visit, the pause is lost; pause() waits for the visit and says so if it did not come.
 *
 * The careful limit is taken and left in ready_careful.cpp.
 */
#include "shmem/ready_table.hpp"

namespace worker_pool
{

/* How many items are made ready in one hold of the lock. */
static constexpr int kUnparkAHold = 256;

int
RoomOf(const TaskLimit &limit)
{
	if (limit.pause.paused)
		return 0;
	return limit.most == 0 ? INT_MAX : std::max(0, limit.most - limit.count);
}

/* May this item pass? Schedules count against nothing, but a paused queue's make no tasks. */
static bool
LetsPass(const TaskLimit &limit, const ItemSpec &spec, int room)
{
	return room > 0 || (spec.kind == ItemKind::kSchedule && !limit.pause.paused);
}

int32
BlockingLimit(const ItemSpec &spec)
{
	if (spec.concurrency != 0 && spec.kind == ItemKind::kTask)
	{
		const int32 key = FindLimit(LimitKind::kConcurrency, spec.database, spec.concurrency);

		if (key != kNone && RoomOf(LimitAt(key)) == 0)
			return key;
	}

	const int32 queue = FindLimit(LimitKind::kQueue, spec.database, QueueKey(spec.queue));

	if (queue != kNone && !LetsPass(LimitAt(queue), spec, RoomOf(LimitAt(queue))))
		return queue;
	return kNone;
}

bool
IsBlocked(const ItemSpec &spec)
{
	LockScope lock(TaskLock(), LW_SHARED);

	return BlockingLimit(spec) != kNone;
}

bool
CountIn(int32 index)
{
	ReadyItem &item = ItemAt(index);
	const ItemSpec &spec = item.spec;

	item.held_queue = kNoQueue;
	item.held_concurrency = 0;
	if (spec.kind != ItemKind::kTask)
		return true;
	if (spec.concurrency != 0)
	{
		const int32 key = NeedLimit(LimitKind::kConcurrency, item.database, spec.concurrency);

		if (key == kNone)
			return false;
		LimitAt(key).count++;
		item.held_concurrency = spec.concurrency;
	}

	const int32 queue = FindLimit(LimitKind::kQueue, spec.database, QueueKey(spec.queue));

	if (queue != kNone)
		LimitAt(queue).count++;
	item.held_queue = spec.queue;
	return true;
}

/* One that counted against the limit does no more. */
static void
GiveBack(int32 index, WakeSet *wakes)
{
	if (index == kNone)
		return;

	TaskLimit &limit = LimitAt(index);

	Assert(limit.count > 0);
	limit.count--;
	Unpark(index, 1, wakes);
	ReleaseLimit(index);
}

void
CountOut(int32 index, WakeSet *wakes)
{
	ReadyItem &item = ItemAt(index);
	const Oid database = item.spec.database;

	if (item.careful)
		LeaveCareful(index, wakes);
	if (item.held_concurrency != 0)
		GiveBack(FindLimit(LimitKind::kConcurrency, database, item.held_concurrency), wakes);
	if (item.held_queue != kNoQueue)
		GiveBack(FindLimit(LimitKind::kQueue, database, QueueKey(item.held_queue)), wakes);
	item.held_concurrency = 0;
	item.held_queue = kNoQueue;
}

/*
 * The next one that waits for the careful limit: the pairs take turns, so that one role's tasks do not keep all others'
 * waiting. Those that wait are few, as many as had begun at a crash.
 */
static int32
NextCareful(const OrderTree &tree)
{
	int32 best = kNone;
	int best_turn = kTaskPairs;

	for (int32 i = tree.Smallest(); i != kNone; i = tree.Next(i))
	{
		const int turn = (ItemAt(i).pair - ready_table->careful_pair - 1 + kTaskPairs) % kTaskPairs;

		if (turn < best_turn)
		{
			best_turn = turn;
			best = i;
		}
	}
	return best;
}

int
Unpark(int32 index, int most, WakeSet *wakes)
{
	TaskLimit &limit = LimitAt(index);
	OrderTree tree(&limit.tree);
	int made = 0;

	while (made < most && limit.parked > 0)
	{
		const int32 best =
			index == ready_table->careful_limit ? NextCareful(tree) : tree.Smallest();
		ReadyItem &item = ItemAt(best);

		if (!LetsPass(limit, item.spec, RoomOf(limit) - made))
			break;
		tree.Erase(best);
		limit.parked--;
		TaskPairAt(item.pair).parked--;
		TaskDatabaseAt(item.database).parked--;
		item.limit = kNone;

		const int32 other = BlockingLimit(item.spec);

		if (other != kNone && other != index)
		{
			ParkItem(best, other);
			continue;
		}
		if (index == ready_table->careful_limit)
			ready_table->careful_pair = item.pair;
		MakeReady(best);
		WakeFor(best, wakes);
		/* a schedule takes no room */
		made += item.spec.kind == ItemKind::kTask ? 1 : 0;
	}
	return made;
}

/* Where a limit has room, one of its parked items becomes ready. */
static void
UnparkOne(int32 index, WakeSet *wakes)
{
	if (index == kNone || LimitAt(index).parked == 0)
		return;
	Unpark(index, 1, wakes);
	ReleaseLimit(index);
}

void
UnparkInPlaceOf(const ItemSpec &spec, WakeSet *wakes)
{
	if (spec.kind == ItemKind::kTask && spec.concurrency != 0)
		UnparkOne(FindLimit(LimitKind::kConcurrency, spec.database, spec.concurrency), wakes);
	UnparkOne(FindLimit(LimitKind::kQueue, spec.database, QueueKey(spec.queue)), wakes);
	/* it may have been let through by the careful limit */
	UnparkOne(ready_table->careful_limit, wakes);
}

/* --- queues ---------------------------------------------------------------------------------------------- */

/* The entry of a queue's limit, made if `make`; kNone: there is none, or no room for one. */
static int32
QueueLimit(Oid database, int32 queue, bool make)
{
	if (!make)
		return FindLimit(LimitKind::kQueue, database, QueueKey(queue));

	const int32 owner = NeedTaskDatabase(database);

	return owner == kNone ? kNone : NeedLimit(LimitKind::kQueue, owner, QueueKey(queue));
}

/* Unparks what a changed limit has room for, in steps. */
static void
UnparkQueue(Oid database, int32 queue)
{
	int made = kUnparkAHold;

	while (made == kUnparkAHold)
	{
		WakeSet wakes = {};

		{
			LockScope lock(TaskLock());
			const int32 limit = QueueLimit(database, queue, false);

			if (limit == kNone)
				return;
			made = Unpark(limit, kUnparkAHold, &wakes);
			ReleaseLimit(limit);
		}
		FireWakes(wakes);
	}
}

bool
SetQueueLimit(Oid database, int32 queue, int max_running)
{
	{
		LockScope lock(TaskLock());
		const int32 limit = QueueLimit(database, queue, max_running > 0);

		if (limit == kNone)
			return max_running <= 0;
		LimitAt(limit).most = std::max(0, max_running);
	}
	UnparkQueue(database, queue);
	return true;
}

int
RunningTasks(Oid database, int32 queue)
{
	LockScope lock(TaskLock(), LW_SHARED);

	return CountTaken(database, queue, true);
}

int
QueueMaxRunning(Oid database, int32 queue)
{
	LockScope lock(TaskLock(), LW_SHARED);
	const int32 limit = QueueLimit(database, queue, false);

	return limit == kNone ? 0 : LimitAt(limit).most;
}

/* --- pauses ---------------------------------------------------------------------------------------------- */

/* The note of a queue or of the whole database (-1), with its database; nullptr: there is no entry. */
static PauseNote *
FindNote(Oid oid, int32 queue, bool make, TaskDatabase **database)
{
	const int32 owner = make ? NeedTaskDatabase(oid) : FindTaskDatabase(oid);

	if (owner == kNone)
		return nullptr;
	*database = &TaskDatabaseAt(owner);
	if (queue == -1)
		return &(*database)->pause;

	const int32 limit = QueueLimit(oid, queue, make);

	return limit == kNone ? nullptr : &LimitAt(limit).pause;
}

bool
SetPause(Oid oid, int32 queue, const PauseNote &note)
{
	WakeSet wakes = {};

	{
		LockScope lock(TaskLock());
		TaskDatabase *database = nullptr;
		PauseNote *known = FindNote(oid, queue, note.paused || note.dirty, &database);

		if (known == nullptr)
			return !note.paused && !note.dirty;
		/* what a load has read is older than what is still to be stored */
		if (known->dirty && !note.dirty)
			return true;
		database->dirty_pauses += (note.dirty ? 1 : 0) - (known->dirty ? 1 : 0);
		*known = note;
		wakes.launcher = note.dirty;
		if (queue == -1 && !note.paused)
			WakeAllPairs(*database, &wakes);
	}
	FireWakes(wakes);
	if (queue != -1)
		UnparkQueue(oid, queue);
	return true;
}

bool
GetPause(Oid oid, int32 queue, PauseNote *note)
{
	LockScope lock(TaskLock(), LW_SHARED);
	TaskDatabase *database = nullptr;
	const PauseNote *known = FindNote(oid, queue, false, &database);

	*note = known != nullptr ? *known : PauseNote{};
	return note->paused;
}

bool
NextDirtyPause(Oid oid, int32 *queue, PauseNote *note)
{
	LockScope lock(TaskLock(), LW_SHARED);
	const int32 index = FindTaskDatabase(oid);

	if (index == kNone || TaskDatabaseAt(index).dirty_pauses == 0)
		return false;

	const TaskDatabase &database = TaskDatabaseAt(index);

	if (database.pause.dirty)
	{
		*queue = -1;
		*note = database.pause;
		return true;
	}
	for (int32 i = database.limits; i != kNone; i = LimitAt(i).next)
	{
		const TaskLimit &limit = LimitAt(i);

		if (!limit.pause.dirty)
			continue;
		*queue = static_cast<int32>(limit.key);
		*note = limit.pause;
		return true;
	}
	return false;
}

void
PauseStored(Oid oid, int32 queue, const PauseNote &note)
{
	{
		LockScope lock(TaskLock());
		TaskDatabase *database = nullptr;
		PauseNote *known = FindNote(oid, queue, false, &database);

		if (known != nullptr && known->dirty && known->paused == note.paused &&
			known->at == note.at && known->by == note.by &&
			strncmp(known->reason, note.reason, sizeof(note.reason)) == 0)
		{
			known->dirty = false;
			database->dirty_pauses--;
			if (queue != -1)
				ReleaseLimit(QueueLimit(oid, queue, false));
		}
	}
	ConditionVariableBroadcast(&pool->pause_stored);
}

} // namespace worker_pool
