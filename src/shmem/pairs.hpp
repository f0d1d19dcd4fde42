/*
 * pairs.hpp
 *	  (database, role) pairs: each with its queue of commands and the number of its slots.
 *
 * A worker belongs to one pair for life, so a pair is what commands queue for. An entry exists while it
 * has a queued command or a slot; the array is sized so that it cannot run out (one for each record that
 * may be queued plus one for each slot). `fresh_id` is 0 for the shared pair; a command started with
 * fresh => true gets a pair of its own (fresh_id = its command id), so that no warm worker can take it
 * and its process takes nothing else.
 *
 * All functions expect the pool lock to be held exclusively unless they say otherwise.
 */
#pragma once

#include "shmem/root.hpp"

namespace worker_pool
{

struct PairKey
{
	Oid database;
	Oid role;
	uint64 fresh_id;
};

constexpr bool
operator==(const PairKey &a, const PairKey &b)
{
	return a.database == b.database && a.role == b.role && a.fresh_id == b.fresh_id;
}

struct Pair
{
	PairKey key;
	dlist_node node;  /* free_pairs or used_pairs */
	dlist_head queue; /* CommandRecord.node, oldest first */
	int queued;		  /* length of queue */
	int slots;		  /* slots of this pair in any state but free */
	int role_limit;	  /* max_workers_per_role of key.role as the last submitter read it; 0 = none */
	int hash_next;	  /* next pair of the same bucket, kNone at the end */
	/* when a worker of it last left to give way to others; from then on the pair waits anew */
	TimestampTz gave_way_at;
};

/* How many commands beyond max_queued_commands the queue takes from roles that have none in it. */
int QueueReserve();

Size PairMemorySize();
void InitPairs(char *memory, bool found);

Pair &PairAt(int index);
int PairCount();
/* The pair's index, or kNone. Shared lock suffices. */
int FindPair(const PairKey &key);
/* The pair's index; makes the entry when it is missing. Cannot fail. */
int NeedPair(const PairKey &key);
/* Drops the entry if it has neither queue nor slots. */
void ReleasePairIfUnused(int index);

} // namespace worker_pool
