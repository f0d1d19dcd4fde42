/*
 * ready_entries.cpp
 *	  The ready queue's memory: laid out, and the entries in it found, made and dropped.
 *
 * The postmaster lays it out at start and after a crash; every process finds its way by hash: items by
 * (kind, database, id), pairs, limits and databases by their keys. Entries hang in chains of indexes; free ones
 * in a list. Where an array is full the caller is told kNone and has to do without: an item is not taken in
 * (marks say so), a limit delays its item.
 */
#include "shmem/ready_table.hpp"

namespace worker_pool
{

ReadyTable *ready_table = nullptr;
TaskDatabase *task_databases = nullptr;
int32 *taken_lists = nullptr;

static_assert(kNone == kNoNode);

/* Entries of limits that queues leave to concurrency keys. */
static constexpr int kKeptForKeys = kLimits / 4;
/* Pairs that are given up in one go, because all items are looked at for it; when they are loaded again. */
static constexpr int kPairsGivenUp = 64;
static constexpr int64 kGivenUpRetryUs = 60 * USECS_PER_SEC;

static Size
DatabasesSize()
{
	return MAXALIGN(mul_size(settings::max_databases, sizeof(TaskDatabase)));
}

Size
ReadyMemorySize()
{
	return add_size(add_size(MAXALIGN(sizeof(ReadyTable)), DatabasesSize()),
					mul_size(settings::max_workers, sizeof(int32)));
}

template <std::size_t kCount>
static void
EmptyBuckets(int32 (&buckets)[kCount])
{
	for (int32 &bucket : buckets)
		bucket = kNone;
}

/* Chains the elements of the free lists, the first one first. */
static void
FillFreeLists()
{
	for (int i = 0; i < kItems; i++)
		ItemAt(i).links.left = i + 1 < kItems ? i + 1 : kNone;
	for (int i = 0; i < kTaskPairs; i++)
		TaskPairAt(i).hash_next = i + 1 < kTaskPairs ? i + 1 : kNone;
	for (int i = 0; i < kLimits; i++)
		LimitAt(i).hash_next = i + 1 < kLimits ? i + 1 : kNone;
	ready_table->free_count = kItems;
	ready_table->free_items = 0;
	ready_table->free_pairs = 0;
	ready_table->free_limits = 0;
	ready_table->free_databases = kNone;
}

void
InitReady(char *memory, bool found)
{
	ready_table = reinterpret_cast<ReadyTable *>(memory);
	task_databases = reinterpret_cast<TaskDatabase *>(memory + MAXALIGN(sizeof(ReadyTable)));
	taken_lists =
		reinterpret_cast<int32 *>(memory + MAXALIGN(sizeof(ReadyTable)) + DatabasesSize());
	if (found)
		return;

	memset(memory, 0, ReadyMemorySize());
	pg_atomic_init_u64(&ready_table->push_order, 0);
	EmptyBuckets(ready_table->item_buckets);
	EmptyBuckets(ready_table->pair_buckets);
	EmptyBuckets(ready_table->limit_buckets);
	EmptyBuckets(ready_table->database_buckets);
	EmptyBuckets(ready_table->stat_buckets);
	FillFreeLists();
	for (int i = 0; i < settings::max_workers; i++)
		taken_lists[i] = kNone;
	ready_table->due_tree = kNone;
	ready_table->nearest_due = DT_NOEND;
	/* the launcher has looked at nothing yet, and will when it starts */
	ready_table->launcher_next = DT_NOBEGIN;

	/* belongs to no database, and is never dropped */
	TaskLimit &careful = LimitAt(ready_table->free_limits);

	ready_table->careful_limit = ready_table->free_limits;
	ready_table->free_limits = careful.hash_next;
	ready_table->free_limit_count = kLimits - 1;
	careful.kind = LimitKind::kCareful;
	careful.used = true;
	careful.database = careful.hash_next = careful.previous = careful.next = kNone;
	careful.tree = kNone;
	careful.most = 1;
}

LWLock *
TaskLock()
{
	return pool->task_lock;
}

/* --- finding ------------------------------------------------------------------------------------------- */

/* The bucket of a hash of two numbers; kCount is a power of two. */
template <std::size_t kCount>
static int32 &
BucketIn(int32 (&buckets)[kCount], uint64 a, uint64 b)
{
	static_assert((kCount & (kCount - 1)) == 0);
	uint64 hash = (a ^ (b * UINT64CONST(0x9E3779B97F4A7C15))) * UINT64CONST(0xBF58476D1CE4E5B9);

	hash ^= hash >> 31;
	return buckets[hash & (kCount - 1)];
}

static int32 &
ItemBucket(ItemKind kind, Oid database, int64 id)
{
	return BucketIn(ready_table->item_buckets,
					(static_cast<uint64>(database) << 1) | static_cast<uint64>(kind),
					static_cast<uint64>(id));
}

void
LinkItem(int32 index)
{
	ReadyItem &item = ItemAt(index);
	int32 &bucket = ItemBucket(item.spec.kind, item.spec.database, item.spec.id);

	item.hash_next = bucket;
	bucket = index;
	if (TaskDatabaseAt(item.database).items++ == 0)
		ready_table->databases_with_items++;
}

void
UnlinkItem(int32 index)
{
	const ReadyItem &item = ItemAt(index);
	int32 *link = &ItemBucket(item.spec.kind, item.spec.database, item.spec.id);

	while (*link != index)
		link = &ItemAt(*link).hash_next;
	*link = item.hash_next;
	if (--TaskDatabaseAt(item.database).items == 0)
		ready_table->databases_with_items--;
}

static int32 &
DatabaseBucket(Oid database)
{
	return BucketIn(ready_table->database_buckets, database, 0);
}

static int32 &
PairBucket(Oid database, Oid role)
{
	return BucketIn(ready_table->pair_buckets, database, role);
}

static int32 &
LimitBucket(LimitKind kind, Oid database, uint64 key)
{
	return BucketIn(ready_table->limit_buckets,
					(static_cast<uint64>(database) << 2) | static_cast<uint64>(kind), key);
}

int32
FindItem(ItemKind kind, Oid database, int64 id)
{
	Assert(LWLockHeldByMe(TaskLock()));
	int32 i = ItemBucket(kind, database, id);

	while (i != kNone && !(ItemAt(i).spec.id == id && ItemAt(i).spec.database == database &&
						   ItemAt(i).spec.kind == kind))
		i = ItemAt(i).hash_next;
	return i;
}

int32
FindTaskDatabase(Oid database)
{
	Assert(LWLockHeldByMe(TaskLock()));
	int32 i = DatabaseBucket(database);

	while (i != kNone && TaskDatabaseAt(i).database != database)
		i = TaskDatabaseAt(i).hash_next;
	return i;
}

int32
FindTaskPair(Oid database, Oid role)
{
	Assert(LWLockHeldByMe(TaskLock()));
	int32 i = PairBucket(database, role);

	while (i != kNone && !(TaskPairAt(i).database_oid == database && TaskPairAt(i).role == role))
		i = TaskPairAt(i).hash_next;
	return i;
}

int32
FindLimit(LimitKind kind, Oid database, uint64 key)
{
	Assert(LWLockHeldByMe(TaskLock()));
	int32 i = LimitBucket(kind, database, key);

	while (i != kNone && !(LimitAt(i).key == key && LimitAt(i).database_oid == database &&
						   LimitAt(i).kind == kind))
		i = LimitAt(i).hash_next;
	return i;
}

/* --- databases -------------------------------------------------------------------------------------------- */

/* Would nothing be lost with the entry but the knowledge that it was loaded? */
static bool
IsForgettable(const TaskDatabase &entry)
{
	return entry.items == 0 && entry.pairs == kNone && entry.limits == kNone && !entry.rescan &&
		   entry.next_look == DT_NOEND && entry.purge_at == DT_NOEND && entry.dirty_pauses == 0 &&
		   !entry.pause.paused && entry.loading_until == DT_NOBEGIN;
}

/* An unused entry, if need be by forgetting one; kNone: there is none. */
static int32
FreeDatabaseEntry()
{
	const int32 free = ready_table->free_databases;

	if (free != kNone)
	{
		ready_table->free_databases = TaskDatabaseAt(free).hash_next;
		return free;
	}
	if (ready_table->used_databases < settings::max_databases)
		return ready_table->used_databases++;
	for (int32 i = 0; i < ready_table->used_databases; i++)
	{
		TaskDatabase &entry = TaskDatabaseAt(i);

		if (!IsForgettable(entry))
			continue;

		int32 *link = &DatabaseBucket(entry.database);

		while (*link != i)
			link = &TaskDatabaseAt(*link).hash_next;
		*link = entry.hash_next;
		return i;
	}
	return kNone;
}

int32
NeedTaskDatabase(Oid database)
{
	Assert(LWLockHeldByMeInMode(TaskLock(), LW_EXCLUSIVE));
	const int32 known = FindTaskDatabase(database);

	if (known != kNone)
		return known;

	const int32 index = FreeDatabaseEntry();

	if (index == kNone)
		return kNone;

	TaskDatabase &entry = TaskDatabaseAt(index);
	int32 &bucket = DatabaseBucket(database);

	memset(&entry, 0, sizeof(entry));
	entry.database = database;
	entry.pairs = entry.limits = kNone;
	entry.trees[0] = entry.trees[1] = kNone;
	entry.first_due = entry.next_look = entry.marked_look = entry.purge_at = DT_NOEND;
	entry.loading_until = entry.look_not_before = DT_NOBEGIN;
	entry.hash_next = bucket;
	bucket = index;
	return index;
}

/* --- pairs and limits: the same for both but for the bucket ------------------------------------------------- */

/* Puts an element at the head of its bucket and of its database's list. */
template <typename Element>
static void
Link(Element *array, int32 index, int32 *bucket, int32 *list)
{
	Element &element = array[index];

	element.hash_next = *bucket;
	*bucket = index;
	element.previous = kNone;
	element.next = *list;
	if (*list != kNone)
		array[*list].previous = index;
	*list = index;
}

template <typename Element>
static void
Unlink(Element *array, int32 index, int32 *bucket, int32 *list)
{
	const Element &element = array[index];
	int32 *link = bucket;

	while (*link != index)
		link = &array[*link].hash_next;
	*link = element.hash_next;
	if (element.previous != kNone)
		array[element.previous].next = element.next;
	else
		*list = element.next;
	if (element.next != kNone)
		array[element.next].previous = element.previous;
}

/* Has the pair nothing that could run now, and nothing else to tell? */
static bool
IsAllParked(const TaskPair &pair, TimestampTz now)
{
	return OidIsValid(pair.database_oid) && pair.parked > 0 && pair.ready == 0 && pair.taken == 0 &&
		   !pair.more && pair.start_error.sqlstate == 0 && pair.loading_until <= now;
}

/*
 * No pair is free: roles whose tasks all wait for a pause or a limit must not stop the others'. Some of their pairs
 * go with their items, and their databases are loaded again later on. What memory alone knows of an item stays.
 */
static void
GiveUpParkedPairs(WakeSet *wakes)
{
	const TimestampTz now = GetCurrentTimestamp();
	bool chosen[kTaskPairs] = {};
	int count = 0;

	for (int i = 0; i < kTaskPairs && count < kPairsGivenUp; i++)
	{
		chosen[i] = IsAllParked(TaskPairAt(i), now);
		count += chosen[i] ? 1 : 0;
	}
	if (count == 0)
		return;
	for (int32 i = 0; i < kItems; i++)
	{
		const ReadyItem &item = ItemAt(i);

		if (item.state != ItemState::kParked || !chosen[item.pair] || item.lost || item.cancelled ||
			item.limit == ready_table->careful_limit)
			continue;
		LowerNextLook(&TaskDatabaseAt(item.database), now + kGivenUpRetryUs, wakes);
		DetachItem(i, wakes);
		FreeItem(i);
	}
}

int32
NeedTaskPair(int32 database, Oid role, WakeSet *wakes)
{
	Assert(LWLockHeldByMeInMode(TaskLock(), LW_EXCLUSIVE));
	TaskDatabase &owner = TaskDatabaseAt(database);
	const int32 known = FindTaskPair(owner.database, role);

	if (known != kNone)
		return known;
	/* loads that found nothing may have left empty ones */
	if (ready_table->free_pairs == kNone)
		for (int32 i = 0; i < kTaskPairs; i++)
			ReleaseTaskPair(i);
	if (ready_table->free_pairs == kNone && wakes != nullptr)
		GiveUpParkedPairs(wakes);

	const int32 index = ready_table->free_pairs;

	if (index == kNone)
		return kNone;

	TaskPair &pair = TaskPairAt(index);

	ready_table->free_pairs = pair.hash_next;
	memset(&pair, 0, sizeof(pair));
	pair.database_oid = owner.database;
	pair.role = role;
	pair.database = database;
	pair.tree = kNone;
	pair.loading_until = pair.refill_not_before = DT_NOBEGIN;
	Link(ready_table->pairs, index, &PairBucket(owner.database, role), &owner.pairs);
	return index;
}

void
ReleaseTaskPair(int32 index)
{
	TaskPair &pair = TaskPairAt(index);

	if (!OidIsValid(pair.database_oid) || pair.ready > 0 || pair.parked > 0 || pair.taken > 0 ||
		pair.more || pair.start_error.sqlstate != 0)
		return;
	Unlink(ready_table->pairs, index, &PairBucket(pair.database_oid, pair.role),
		   &TaskDatabaseAt(pair.database).pairs);
	pair.database_oid = InvalidOid;
	pair.hash_next = ready_table->free_pairs;
	ready_table->free_pairs = index;
}

int32
NeedLimit(LimitKind kind, int32 database, uint64 key)
{
	Assert(LWLockHeldByMeInMode(TaskLock(), LW_EXCLUSIVE));
	TaskDatabase &owner = TaskDatabaseAt(database);
	const int32 known = FindLimit(kind, owner.database, key);
	const int32 index = known != kNone ? known : ready_table->free_limits;

	if (known != kNone || index == kNone)
		return index;
	/* a queue's may stay for ever, and tasks with a key cannot run without one */
	if (kind == LimitKind::kQueue && ready_table->free_limit_count <= kKeptForKeys)
		return kNone;

	TaskLimit &limit = LimitAt(index);

	ready_table->free_limits = limit.hash_next;
	ready_table->free_limit_count--;
	memset(&limit, 0, sizeof(limit));
	limit.kind = kind;
	limit.used = true;
	limit.database_oid = owner.database;
	limit.key = key;
	limit.database = database;
	limit.tree = kNone;
	limit.most = kind == LimitKind::kConcurrency ? 1 : 0;
	/* the entry of a key is made before the first item that has it is taken */
	if (kind == LimitKind::kQueue)
		limit.count = CountTaken(owner.database, static_cast<int32>(key), false);
	Link(ready_table->limits, index, &LimitBucket(kind, owner.database, key), &owner.limits);
	return index;
}

void
ReleaseLimit(int32 index)
{
	TaskLimit &limit = LimitAt(index);

	if (limit.parked > 0 || limit.kind == LimitKind::kCareful ||
		(limit.kind == LimitKind::kConcurrency && limit.count > 0) ||
		(limit.kind == LimitKind::kQueue &&
		 (limit.most > 0 || limit.pause.paused || limit.pause.dirty)))
		return;
	Unlink(ready_table->limits, index, &LimitBucket(limit.kind, limit.database_oid, limit.key),
		   &TaskDatabaseAt(limit.database).limits);
	limit.used = false;
	limit.hash_next = ready_table->free_limits;
	ready_table->free_limits = index;
	ready_table->free_limit_count++;
}

/* --- what is taken ------------------------------------------------------------------------------------------ */

int
CountTaken(Oid database, int32 queue, bool only_begun)
{
	int count = 0;

	Assert(LWLockHeldByMe(TaskLock()));
	ForEachTaken(
		[database, queue, only_begun, &count](int32 index)
		{
			const ReadyItem &item = ItemAt(index);

			if (item.spec.database == database && item.spec.kind == ItemKind::kTask &&
				(queue == -1 || item.held_queue == queue) && (item.begun || !only_begun))
				count++;
		});
	return count;
}

} // namespace worker_pool
