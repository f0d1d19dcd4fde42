/*
 * pairs.cpp
 *	  The table of (database, role) pairs. See pairs.hpp. All under the pool lock, held by the caller.
 */
#include "shmem/pairs.hpp"

#include "config/settings.hpp"

namespace worker_pool
{

static constexpr int kBuckets = 256; /* a power of two */

struct PairTable
{
	int buckets[kBuckets];
	Pair pairs[FLEXIBLE_ARRAY_MEMBER];
};

static PairTable *table = nullptr;

int
QueueReserve()
{
	return std::max(16, settings::max_queued_commands / 8);
}

int
PairCount()
{
	/*
	 * Each pair in use has a queued command or a slot; assigned commands may go back to the queue; one more
	 * for the moment of a move.
	 */
	return settings::max_queued_commands + QueueReserve() + 2 * settings::max_workers + 1;
}

Size
PairMemorySize()
{
	return add_size(offsetof(PairTable, pairs), mul_size(PairCount(), sizeof(Pair)));
}

void
InitPairs(char *memory, bool found)
{
	table = reinterpret_cast<PairTable *>(memory);
	if (found)
		return;
	for (int &bucket : table->buckets)
		bucket = kNone;
	for (int i = 0; i < PairCount(); i++)
	{
		Pair &pair = table->pairs[i];

		memset(&pair, 0, sizeof(pair));
		dlist_init(&pair.queue);
		pair.hash_next = kNone;
		dlist_push_tail(&pool->free_pairs, &pair.node);
	}
}

Pair &
PairAt(int index)
{
	Assert(index >= 0 && index < PairCount());
	return table->pairs[index];
}

static int &
BucketOf(const PairKey &key)
{
	const uint32 hash = key.database * 2654435761U ^ key.role * 40503U ^
						static_cast<uint32>(key.fresh_id * UINT64CONST(0x9E3779B97F4A7C15) >> 32);

	return table->buckets[(hash ^ (hash >> 15)) & (kBuckets - 1)];
}

int
FindPair(const PairKey &key)
{
	Assert(LWLockHeldByMe(PoolLock()));
	for (int i = BucketOf(key); i != kNone; i = table->pairs[i].hash_next)
		if (table->pairs[i].key == key)
			return i;
	return kNone;
}

int
NeedPair(const PairKey &key)
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	const int known = FindPair(key);

	if (known != kNone)
		return known;

	Assert(!dlist_is_empty(&pool->free_pairs));
	Pair &pair = *dlist_container(Pair, node, dlist_pop_head_node(&pool->free_pairs));
	const int index = static_cast<int>(&pair - table->pairs);
	int &bucket = BucketOf(key);

	pair.key = key;
	pair.queued = 0;
	pair.slots = 0;
	pair.role_limit = 0;
	pair.gave_way_at = DT_NOBEGIN;
	dlist_init(&pair.queue);
	pair.hash_next = bucket;
	bucket = index;
	dlist_push_tail(&pool->used_pairs, &pair.node);
	return index;
}

void
ReleasePairIfUnused(int index)
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	Pair &pair = PairAt(index);

	if (pair.queued > 0 || pair.slots > 0)
		return;

	int *link = &BucketOf(pair.key);

	while (*link != index)
		link = &table->pairs[*link].hash_next;
	*link = pair.hash_next;
	pair.hash_next = kNone;
	dlist_delete(&pair.node);
	dlist_push_tail(&pool->free_pairs, &pair.node);
}

} // namespace worker_pool
