/*
 * ready_room.cpp
 *	  Who gives way when all items are in use, and how what was given up is remembered. Any process that pushes.
 *
 * Two levels of fairness: a database below its share (all items by the number of databases that have some) takes
 * from the one that has most; above it, it takes from itself. There, a role below its part of the database's items
 * takes from the largest role, however good its items are, so that one role's flood cannot keep the others' tasks
 * out of memory; and else a better item takes the place of the worst.
 *
 * What is given up first: tasks that are not due yet, the latest first; then of what is ready or parked the last
 * in order; schedules at the very end. Nothing that is taken.
 *
 * Nothing given up is lost. A ready or parked task lowers its pair's scan_from; a delayed one, and a schedule,
 * the database's next_look, so that a visit loads it when it is due.
 */
#include "shmem/ready_table.hpp"

namespace worker_pool
{

static constexpr int kLeastShare = 256; /* of a database */
static constexpr int kLeastPart = 16;	/* of a role in it */
static constexpr int kMostToLoad = 4096;
/* When to look again for what neither a pair entry nor an item was free for. */
static constexpr int64 kPairRetryUs = 5 * USECS_PER_SEC;
static constexpr int64 kScheduleRetryUs = USECS_PER_SEC;

void
LowerNextLook(TaskDatabase *database, TimestampTz at, WakeSet *wakes)
{
	database->marked_look = std::min(database->marked_look, at);
	if (at >= database->next_look)
		return;
	database->next_look = at;
	NoteDeadline(at, wakes);
}

void
NoteGivenUp(const ItemSpec &spec, int32 database_index, TimestampTz now, WakeSet *wakes)
{
	TaskDatabase &database = TaskDatabaseAt(database_index);

	/* only whole loads bring schedules */
	if (spec.kind == ItemKind::kSchedule)
	{
		LowerNextLook(&database, std::max(spec.due, now + kScheduleRetryUs), wakes);
		return;
	}
	if (spec.due > now)
	{
		LowerNextLook(&database, spec.due, wakes);
		return;
	}

	const int32 index = NeedTaskPair(database_index, spec.role, wakes);
	const OrderKey key = KeyOf(spec);

	if (index == kNone)
	{
		LowerNextLook(&database, now + kPairRetryUs, wakes);
		return;
	}

	TaskPair &pair = TaskPairAt(index);

	if (!pair.more || key < pair.scan_from)
		pair.scan_from = key;
	if (!pair.more || key < pair.given_up)
		pair.given_up = key;
	pair.more = true;
}

/* --- who gives way ------------------------------------------------------------------------------------------- */

/* One that has nothing yet is about to have something: it counts, too. */
static int
ShareOf(const TaskDatabase &database)
{
	const int databases = ready_table->databases_with_items + (database.items == 0 ? 1 : 0);

	return std::max(kLeastShare, kItems / std::max(1, databases));
}

/* The last in order of the pair or limit of the database that has most; kNone: all are taken or delayed. */
static int32
WorstDue(TaskDatabase &database)
{
	int most = 0;
	int32 *tree = nullptr;

	for (int32 i = database.pairs; i != kNone; i = TaskPairAt(i).next)
		if (TaskPairAt(i).ready > most)
		{
			most = TaskPairAt(i).ready;
			tree = &TaskPairAt(i).tree;
		}
	if (database.parked > most)
		for (int32 i = database.limits; i != kNone; i = LimitAt(i).next)
			if (LimitAt(i).parked > most)
			{
				most = LimitAt(i).parked;
				tree = &LimitAt(i).tree;
			}
	return tree == nullptr ? kNone : OrderTree(tree).Greatest();
}

/* The item that the database would miss least; kNone: all are taken, or wait for the careful limit. */
static int32
WorstOf(TaskDatabase &database)
{
	int32 *tasks = &database.trees[static_cast<int>(ItemKind::kTask)];
	int32 *schedules = &database.trees[static_cast<int>(ItemKind::kSchedule)];

	if (*tasks != kNone)
		return TimeTree(tasks).Greatest();

	const int32 due = WorstDue(database);

	if (due != kNone && ItemAt(due).spec.kind == ItemKind::kTask)
		return due;
	return *schedules != kNone ? TimeTree(schedules).Greatest() : due;
}

/* Is it worse to miss the new one than the one that is there? */
static bool
IsBetter(const ItemSpec &spec, const ReadyItem &item, TimestampTz now)
{
	if (spec.kind != item.spec.kind)
		return spec.kind == ItemKind::kSchedule;
	if (item.state == ItemState::kDelayed)
		return spec.due < item.ready_at;
	if (spec.due > now)
		return false;
	/* what waits for a pause to end must not keep the other queues' tasks out of memory */
	if (item.state == ItemState::kParked && BlockingLimit(spec) == kNone)
		return true;
	return KeyOf(spec) < KeyOf(item.spec);
}

/* Has the role of the new item less than its part of what the database has? */
static bool
IsPoorRole(const ItemSpec &spec, const TaskDatabase &database)
{
	int roles = 0;
	const int32 index = FindTaskPair(spec.database, spec.role);

	for (int32 i = database.pairs; i != kNone; i = TaskPairAt(i).next)
		roles++;
	if (index == kNone)
		return true;

	const TaskPair &pair = TaskPairAt(index);

	return pair.ready + pair.parked + pair.taken <
		   std::max(kLeastPart, database.items / std::max(1, roles));
}

static int32
RichestDatabase()
{
	int32 richest = kNone;

	for (int32 i = 0; i < ready_table->used_databases; i++)
		if (richest == kNone || TaskDatabaseAt(i).items > TaskDatabaseAt(richest).items)
			richest = i;
	return richest;
}

/* The last of those that wait for the careful limit, whose ever it is; kNone: there is none. */
static int32
LastCareful()
{
	return OrderTree(&LimitAt(ready_table->careful_limit).tree).Greatest();
}

/* The item that is to make room; kNone: none. */
static int32
FindVictim(const ItemSpec &spec, int32 database_index, TimestampTz now)
{
	TaskDatabase &database = TaskDatabaseAt(database_index);
	const int share = ShareOf(database);

	if (database.items < share)
	{
		const int32 richest = RichestDatabase();

		if (richest != database_index && TaskDatabaseAt(richest).items > share)
		{
			const int32 victim = WorstOf(TaskDatabaseAt(richest));

			return victim != kNone ? victim : LastCareful();
		}
	}

	const int32 worst = WorstOf(database);

	if (worst == kNone)
		return LastCareful();
	if (IsBetter(spec, ItemAt(worst), now))
		return worst;
	if (spec.kind == ItemKind::kTask && spec.due <= now && ItemAt(worst).spec.role != spec.role &&
		ItemAt(worst).spec.kind == ItemKind::kTask && IsPoorRole(spec, database))
		return worst;
	return kNone;
}

static void
Evict(int32 index, TimestampTz now, WakeSet *wakes)
{
	const ReadyItem &item = ItemAt(index);
	/* a copy: the item goes */
	const ItemSpec spec = item.spec;
	const int32 database = item.database;

	/* first, so that the pair's entry stays */
	NoteGivenUp(spec, database, now, wakes);
	DetachItem(index, wakes);
	FreeItem(index);
}

int32
AllocateItem(const ItemSpec &spec, int32 database, TimestampTz now, WakeSet *wakes)
{
	Assert(LWLockHeldByMeInMode(TaskLock(), LW_EXCLUSIVE));
	if (ready_table->free_count == 0)
	{
		const int32 victim = FindVictim(spec, database, now);

		if (victim == kNone)
		{
			NoteGivenUp(spec, database, now, wakes);
			return kNone;
		}
		Evict(victim, now, wakes);
	}

	const int32 index = ready_table->free_items;
	ReadyItem &item = ItemAt(index);

	ready_table->free_items = item.links.left;
	ready_table->free_count--;
	memset(&item, 0, sizeof(item));
	item.spec = spec;
	item.database = database;
	item.pair = item.limit = item.slot = item.note = kNone;
	item.void_claim.slot = item.older_claim.slot = kNone;
	item.held_queue = kNoQueue;
	LinkItem(index);
	return index;
}

int
RoomForPair(const TaskDatabase &database, const TaskPair *pair)
{
	int roles = 1;
	int own = 0;
	int room = ready_table->free_count;

	for (int32 i = database.pairs; i != kNone; i = TaskPairAt(i).next)
		roles++;
	if (pair != nullptr)
		own = pair->ready + pair->parked + pair->taken;
	room = std::max(room, ShareOf(database) - database.items);
	room = std::max(room, std::max(kLeastPart, database.items / roles) - own);
	return std::min(room, kMostToLoad);
}

int
RoomFor(Oid oid, Oid role)
{
	LockScope lock(TaskLock(), LW_SHARED);
	const int32 database = FindTaskDatabase(oid);
	const int32 pair = FindTaskPair(oid, role);

	if (database == kNone)
		return std::min(std::max(ready_table->free_count, kLeastShare), kMostToLoad);
	return RoomForPair(TaskDatabaseAt(database), pair == kNone ? nullptr : &TaskPairAt(pair));
}

} // namespace worker_pool
