/*
 * commands.hpp
 *	  Command records: one for each start of one SQL text. Every change of a record's state is made in
 *	  commands.cpp and asserted against core/states.hpp.
 *
 * The id that start_worker returns names a record, never a process, and is never used again: ids start
 * from the clock when shared memory is made (microseconds since 2025-01-01), so that a restarted server
 * goes on above all ids of its earlier life unless that averaged more than a million commands a second.
 *
 *	field						written by							when
 *	id .. timeout_ms, request	submitting session					before it is queued or assigned
 *	state, slot, times			commands.cpp's movers				under the lock
 *	outcome, spilled, rows		worker that runs it					before the record is finished
 *	brief						launcher / exit callback / worker	with the move to a finished state
 *	abandoned					its submitter (interrupted, gone)	under the lock
 *	reader						the session that fetches			under the lock
 *
 * Memory. `request` and `outcome` are DSA chunks (memory.hpp) that belong to the record. A record is
 * emptied in two steps: under the lock the chunks and the file flag are taken out of it and it goes to
 * the free list (TakeLeftovers); outside the lock they are freed (FreeLeftovers). Interrupts are held
 * over both.
 *
 * Functions expect the pool lock held exclusively unless they say otherwise.
 */
#pragma once

#include "shmem/pairs.hpp"

namespace worker_pool
{

struct CommandRecord
{
	uint64 id; /* 0 = vacant */
	CommandState state;
	bool is_private; /* of run() or query(): only the submitter waits for it; no outcome is kept */
	bool discard_rows; /* of run(): rows are not kept, only the command tag */
	bool abandoned;	   /* nobody will fetch the outcome: whoever finishes it frees it */
	bool spilled;	   /* the outcome is (or may be) in a file of its own, see process/spill.hpp */
	bool fetched;	   /* leaves with fate kFetched */

	Oid owner;			 /* GetUserId() of the submitter */
	Oid submit_database; /* where it was submitted from: decides the format of rows */
	int submit_encoding; /* of the request's texts */
	PairKey target;
	int pair; /* index while queued, assigned or running; kNone afterwards */
	int slot; /* index while running; kNone otherwise */

	int submitter_proc; /* PGPROC index of the waiting submitter of a private record, else kNone */
	int reader_proc;	/* PGPROC index of the session that is fetching the outcome, else kNone */

	char name[NAMEDATALEN]; /* '' = none */
	TimestampTz submitted_at;
	TimestampTz started_at;
	TimestampTz finished_at;
	uint64 finish_number; /* order of completion */
	int64 timeout_ms;	  /* of the command; 0 = none */

	dsa_pointer request; /* process/request.hpp */
	dsa_pointer outcome; /* process/result_format.hpp; InvalidDsaPointer when brief or spilled */
	uint64 spill_bytes;	 /* size of its file, for temp_file_limit of its owner */
	int64 rows;			 /* of the result; -1 unknown */
	int sqlstate;		 /* of the error; 0 = none */
	BriefError brief;	 /* the error where no outcome could be written */

	ConditionVariable finished; /* broadcast after every move that a waiter cares for */
	dlist_node node;			/* free_commands, its pair's queue, or finished_commands */
	int hash_next;				/* next record of the same id bucket */
};

static_assert(std::is_standard_layout_v<CommandRecord> &&
			  std::is_trivially_copyable_v<CommandRecord>);

/* What became of an id that has no record any more. */
enum class Fate : uint8
{
	kUnknown,		/* never issued, or so long ago that nothing is known */
	kFetched,		/* its outcome was fetched */
	kEvicted,		/* finished; pushed out by keep_outcomes */
	kEvictedMemory, /* finished; pushed out because shared memory was short */
	kAbandoned,		/* its submitter went away */
	kRemoved,		/* removed from the queue by stop_worker */
	kEarlierLife,	/* issued before the server's last (crash) restart */
};

struct Tombstone
{
	uint64 id;
	Fate fate;
	CommandState state; /* the last one */
	Oid owner;
};

/* What must be freed outside the lock after a record was emptied. */
struct Leftovers
{
	dsa_pointer request;
	dsa_pointer outcome;
	uint64 spill_id; /* id of the record whose file must be removed; 0 = none */
};

Size CommandMemorySize();
void InitCommands(char *memory, bool found);

CommandRecord &CommandAt(int index);
int CommandCount();
/* Index of the record, or kNone. Shared lock suffices. */
int FindCommand(uint64 id);
/* What is known of an id without a record. Shared lock suffices. */
Tombstone FindFate(uint64 id);

/*
 * May no further command of that role be queued? The queue holds max_queued_commands; a role that has none in
 * it may still queue one in the reserve beyond, so that no role can shut all others out. Shared lock suffices.
 */
bool IsQueueFull(Oid role);

/*
 * Takes a free record, gives it the next id and clears every field; state stays kVacant until
 * QueueCommand or BeginAssigned. kNone when there is none.
 */
int AllocateCommand();
/* Puts a record just allocated back, as if it had never been. The request chunk is left to the caller. */
void UnallocateCommand(int index);

/* kVacant -> kQueued at the tail of its target's queue. */
void QueueCommand(int index);
/* kRunning -> kQueued at the head: it was assigned, but the worker may not or will not run it. */
void RequeueCommand(int index);
/* kVacant | kQueued -> kRunning on the slot. */
void BeginCommand(int index, int slot);
/*
 * kQueued | kRunning -> a finished state. A public outcome goes to the finished list; where more than
 * keep_outcomes stand there, one is emptied (EvictOneOutcome) into *evicted. An abandoned record is
 * emptied into *evicted itself. Waiters are woken by the caller after it released the lock, with
 * WakeWaiters(index) (returns who).
 */
void FinishCommand(int index, CommandState state, Leftovers *evicted);
/* How many outcomes may be claimed at a time, but for the first one of each session. */
int MostClaims();
/* The session with that PGPROC index claims the outcome for reading; kNone gives the claim up. */
void SetReader(int index, int proc);
/* Any state but kRunning -> kVacant, its id to the tombstones with that fate. */
Leftovers EmptyCommand(int index, Fate fate);
/*
 * Pushes an unclaimed public outcome out to make room, the oldest of the role that keeps most (in bytes of
 * shared memory for kEvictedMemory, else in number); false when there is none. The DSA must be attached.
 */
bool EvictOneOutcome(Fate fate, Leftovers *evicted);

/* Lock not held: wakes whoever waits for the record. Spurious wakes are harmless. */
void WakeWaiters(int index, int submitter_proc);
/* Lock not held: frees chunks and the spilled file. Never raises. */
void FreeLeftovers(const Leftovers &leftovers);

/* Fills a BriefError; usable anywhere, cuts what is too long at a character boundary. */
void SetBriefError(BriefError *error, int sqlstate, const char *message, const char *detail,
				   const char *hint);
/* What is said of a start that ended without saying anything itself. */
void SetUnexplainedStart(BriefError *error);

} // namespace worker_pool
