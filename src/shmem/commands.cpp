/*
 * commands.cpp
 *	  The one file that changes a command record's state. See commands.hpp for who does what.
 *
 *	               AllocateCommand          QueueCommand
 *	   (vacant) ------------------> filled --------------> queued ----+--> failed, cancelled
 *	      ^                           |                     ^   |     |    (start failure, stop_worker)
 *	      |                           | BeginCommand        |   | BeginCommand
 *	      |                           +-----------+ Requeue |   |
 *	      | EmptyCommand                          v Command |   v
 *	      +---------------- succeeded, failed, cancelled, lost <--- running
 *	                                               FinishCommand
 *
 * If the process that makes a move dies between two moves: a record allocated but neither queued nor
 * assigned exists only inside one lock scope, so it cannot be orphaned; a queued one is the launcher's to
 * serve; a running one is given up by its worker's exit callback (slots.cpp, FreeSlot). A SIGKILL rebuilds
 * shared memory.
 */
#include "shmem/commands.hpp"

#include "config/settings.hpp"
#include "shmem/memory.hpp"
#include "shmem/spill.hpp"

namespace worker_pool
{

static constexpr int kBuckets = 1024;	 /* powers of two */
static constexpr int kTombstones = 4096; /* ids are consecutive, so the last 4096 are all there */

struct CommandTable
{
	int buckets[kBuckets];
	Tombstone tombstones[kTombstones];
	CommandRecord records[FLEXIBLE_ARRAY_MEMBER];
};

static CommandTable *table = nullptr;

int
MostClaims()
{
	return settings::max_queued_commands + settings::keep_outcomes;
}

int
CommandCount()
{
	/*
	 * Queued ones, running ones, outcomes that wait to be fetched, outcomes that are claimed, and two for each
	 * session: the outcome of its own run() or query(), and its first claim.
	 */
	return settings::max_queued_commands + QueueReserve() + settings::max_workers +
		   settings::keep_outcomes + MostClaims() + 2 * compat::MaxProcesses();
}

Size
CommandMemorySize()
{
	return add_size(offsetof(CommandTable, records),
					mul_size(CommandCount(), sizeof(CommandRecord)));
}

void
InitCommands(char *memory, bool found)
{
	table = reinterpret_cast<CommandTable *>(memory);
	if (found)
		return;
	for (int &bucket : table->buckets)
		bucket = kNone;
	memset(table->tombstones, 0, sizeof(table->tombstones));
	for (int i = 0; i < CommandCount(); i++)
	{
		CommandRecord &record = table->records[i];

		memset(&record, 0, sizeof(record));
		ConditionVariableInit(&record.finished);
		record.hash_next = kNone;
		dlist_push_tail(&pool->free_commands, &record.node);
	}
}

CommandRecord &
CommandAt(int index)
{
	Assert(index >= 0 && index < CommandCount());
	return table->records[index];
}

static int
IndexOf(const CommandRecord &record)
{
	return static_cast<int>(&record - table->records);
}

static int &
BucketOf(uint64 id)
{
	return table->buckets[id & (kBuckets - 1)];
}

bool
IsQueueFull(Oid role)
{
	dlist_iter iter;

	Assert(LWLockHeldByMe(PoolLock()));
	if (pool->queued_total < settings::max_queued_commands)
		return false;
	if (pool->queued_total >= settings::max_queued_commands + QueueReserve())
		return true;
	dlist_foreach(iter, &pool->used_pairs)
	{
		const Pair &pair = *dlist_container(Pair, node, iter.cur);

		if (pair.key.role == role && pair.queued > 0)
			return true;
	}
	return false;
}

int
FindCommand(uint64 id)
{
	Assert(LWLockHeldByMe(PoolLock()));
	for (int i = BucketOf(id); i != kNone; i = table->records[i].hash_next)
		if (table->records[i].id == id)
			return i;
	return kNone;
}

Tombstone
FindFate(uint64 id)
{
	Assert(LWLockHeldByMe(PoolLock()));
	const Tombstone &tombstone = table->tombstones[id % kTombstones];

	if (tombstone.id == id && id != 0)
		return tombstone;

	Tombstone unknown = {};

	unknown.id = id;
	unknown.fate = Fate::kUnknown;
	/* every id of an earlier life is below this one's first, and was made after 2025-01-01 */
	if (id > 0 && id < pool->first_command_id)
		unknown.fate = Fate::kEarlierLife;
	return unknown;
}

/* The only writer of CommandRecord.state. */
static void
MoveCommand(CommandRecord &record, CommandState to)
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	Assert(IsLegalMove(record.state, to));
	record.state = to;
}

int
AllocateCommand()
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	if (dlist_is_empty(&pool->free_commands))
		return kNone;

	CommandRecord &record =
		*dlist_container(CommandRecord, node, dlist_pop_head_node(&pool->free_commands));
	const int index = IndexOf(record);

	Assert(record.state == CommandState::kVacant && record.id == 0);
	record.id = pool->next_command_id++;
	record.is_private = false;
	record.discard_rows = false;
	record.abandoned = false;
	record.spilled = false;
	record.fetched = false;
	record.owner = InvalidOid;
	record.submit_database = InvalidOid;
	record.target = {};
	record.pair = kNone;
	record.slot = kNone;
	record.submitter_proc = kNone;
	record.reader_proc = kNone;
	record.name[0] = '\0';
	record.submitted_at = record.started_at = record.finished_at = 0;
	record.finish_number = 0;
	record.timeout_ms = 0;
	record.request = record.outcome = InvalidDsaPointer;
	record.spill_bytes = 0;
	record.rows = -1;
	record.sqlstate = 0;
	record.brief.sqlstate = 0;
	record.brief.message[0] = record.brief.detail[0] = record.brief.hint[0] = '\0';

	int &bucket = BucketOf(record.id);

	record.hash_next = bucket;
	bucket = index;
	return index;
}

/* Takes the record out of the id table and gives it back to the free list. */
static void
Vacate(CommandRecord &record)
{
	int *link = &BucketOf(record.id);
	const int index = IndexOf(record);

	while (*link != index)
		link = &table->records[*link].hash_next;
	*link = record.hash_next;
	record.hash_next = kNone;
	record.id = 0;
	record.request = record.outcome = InvalidDsaPointer;
	dlist_push_tail(&pool->free_commands, &record.node);
}

void
UnallocateCommand(int index)
{
	CommandRecord &record = CommandAt(index);

	Assert(record.state == CommandState::kVacant && record.id != 0);
	Vacate(record);
}

void
QueueCommand(int index)
{
	CommandRecord &record = CommandAt(index);

	MoveCommand(record, CommandState::kQueued);
	record.pair = NeedPair(record.target);

	Pair &pair = PairAt(record.pair);

	dlist_push_tail(&pair.queue, &record.node);
	pair.queued++;
	pool->queued_total++;
}

void
RequeueCommand(int index)
{
	CommandRecord &record = CommandAt(index);

	MoveCommand(record, CommandState::kQueued);
	record.slot = kNone;
	record.started_at = 0;
	record.pair = NeedPair(record.target);

	Pair &pair = PairAt(record.pair);

	dlist_push_head(&pair.queue, &record.node);
	pair.queued++;
	pool->queued_total++;
}

/* The record leaves its pair's queue; the pair may go with it. */
static void
Unqueue(CommandRecord &record)
{
	Pair &pair = PairAt(record.pair);

	dlist_delete(&record.node);
	pair.queued--;
	pool->queued_total--;
	Assert(pair.queued >= 0 && pool->queued_total >= 0);
	ReleasePairIfUnused(record.pair);
	record.pair = kNone;
}

void
BeginCommand(int index, int slot)
{
	CommandRecord &record = CommandAt(index);

	if (record.state == CommandState::kQueued)
		Unqueue(record);
	MoveCommand(record, CommandState::kRunning);
	record.slot = slot;
	record.started_at = GetCurrentTimestamp();
}

/* What the outcomes of one role weigh, for the choice of whose is pushed out. */
struct OwnerWeight
{
	Oid owner;
	int oldest; /* its oldest unclaimed record */
	uint64 weight;
};

/* Shared memory that a finished record holds. */
static uint64
BytesOf(const CommandRecord &record)
{
	uint64 bytes = 0;

	if (DsaPointerIsValid(record.request))
		bytes += SharedSize(record.request);
	if (DsaPointerIsValid(record.outcome))
		bytes += SharedSize(record.outcome);
	return bytes;
}

bool
EvictOneOutcome(Fate fate, Leftovers *evicted)
{
	/* whoever keeps most pays, so that no role can push out what another one is about to fetch */
	static constexpr int kOwners = 16;
	static constexpr int kLookedAt = 1024;
	OwnerWeight owners[kOwners];
	int owner_count = 0;
	int looked_at = 0;
	dlist_iter iter;

	dlist_foreach(iter, &pool->finished_commands)
	{
		const CommandRecord &record = *dlist_container(CommandRecord, node, iter.cur);
		int i = 0;

		if (record.reader_proc != kNone)
			continue;
		if (looked_at++ >= kLookedAt)
			break;
		while (i < owner_count && owners[i].owner != record.owner)
			i++;
		if (i == kOwners)
			continue;
		if (i == owner_count)
			owners[owner_count++] = {record.owner, IndexOf(record), 0};
		owners[i].weight += fate == Fate::kEvictedMemory ? BytesOf(record) : 1;
	}
	if (owner_count == 0)
		return false;

	const OwnerWeight *heaviest = std::max_element(owners, owners + owner_count,
												   [](const OwnerWeight &a, const OwnerWeight &b)
												   { return a.weight < b.weight; });

	*evicted = EmptyCommand(heaviest->oldest, fate);
	return true;
}

void
FinishCommand(int index, CommandState state, Leftovers *evicted)
{
	CommandRecord &record = CommandAt(index);

	Assert(IsFinished(state));
	*evicted = {};
	if (record.state == CommandState::kQueued)
		Unqueue(record);
	MoveCommand(record, state);
	record.slot = kNone;
	record.finished_at = GetCurrentTimestamp();
	record.finish_number = pool->next_finish_number++;

	if (!record.is_private)
	{
		dlist_push_tail(&pool->finished_commands, &record.node);
		if (record.reader_proc == kNone)
			pool->finished_total++;
	}
	if (record.abandoned)
		*evicted = EmptyCommand(index, Fate::kAbandoned);
	else if (pool->finished_total > settings::keep_outcomes)
		(void) EvictOneOutcome(Fate::kEvicted, evicted);
}

void
SetReader(int index, int proc)
{
	CommandRecord &record = CommandAt(index);
	const int claims = (proc != kNone ? 1 : 0) - (record.reader_proc != kNone ? 1 : 0);

	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	record.reader_proc = proc;
	pool->claimed_total += claims;
	if (IsFinished(record.state) && !record.is_private)
		pool->finished_total -= claims;
}

Leftovers
EmptyCommand(int index, Fate fate)
{
	CommandRecord &record = CommandAt(index);

	Assert(record.state != CommandState::kRunning);

	const Leftovers leftovers = {record.request, record.outcome,
								 record.spilled ? record.id : UINT64CONST(0)};

	if (!record.is_private)
		table->tombstones[record.id % kTombstones] = {record.id, fate, record.state, record.owner};
	if (record.state == CommandState::kQueued)
		Unqueue(record);
	else if (IsFinished(record.state) && !record.is_private)
	{
		dlist_delete(&record.node);
		if (record.reader_proc == kNone)
			pool->finished_total--;
	}
	if (record.reader_proc != kNone)
	{
		record.reader_proc = kNone;
		pool->claimed_total--;
	}
	if (record.state != CommandState::kVacant)
		MoveCommand(record, CommandState::kVacant);
	Vacate(record);
	return leftovers;
}

void
WakeWaiters(int index, int submitter_proc)
{
	if (index == kNone)
		return;
	if (submitter_proc != kNone)
		compat::SetLatchOf(submitter_proc);
	else
		ConditionVariableBroadcast(&CommandAt(index).finished);
}

void
FreeLeftovers(const Leftovers &leftovers)
{
	FreeShared(leftovers.request);
	FreeShared(leftovers.outcome);
	if (leftovers.spill_id != 0)
		RemoveSpill(leftovers.spill_id);
}

/* Copies what fits, cut at a character's boundary; nullptr is ''. */
static void
CopyCut(char *target, Size size, const char *source)
{
	Size length = source ? strlen(source) : 0;

	if (length >= size)
		length = static_cast<Size>(
			pg_mbcliplen(source, static_cast<int>(length), static_cast<int>(size) - 1));
	if (length > 0)
		memcpy(target, source, length);
	target[length] = '\0';
}

void
SetBriefError(BriefError *error, int sqlstate, const char *message, const char *detail,
			  const char *hint)
{
	error->sqlstate = sqlstate;
	CopyCut(error->message, sizeof(error->message), message);
	CopyCut(error->detail, sizeof(error->detail), detail);
	CopyCut(error->hint, sizeof(error->hint), hint);
}

void
SetUnexplainedStart(BriefError *error)
{
	SetBriefError(error, ERRCODE_INSUFFICIENT_RESOURCES,
				  "could not start a worker: its process ended while it was starting",
				  "The server log may tell why.", nullptr);
}

} // namespace worker_pool
