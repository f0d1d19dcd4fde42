/*
 * wait_picture.hpp
 *	  What a process that looks for a knot sees: who waits, and what the slots do. Inside of deadlock*.cpp and
 *	  wait_picture.cpp; the story stands at the head of deadlock.cpp.
 */
#pragma once

#include "core/wait_graph.hpp"
#include "shmem/ready.hpp"
#include "shmem/slots.hpp"

namespace worker_pool
{

/* Of a slot or waiter that has to do with no queue. */
inline constexpr int32 kNoTaskQueue = -2;

/* What a waiter waits for, as far as it matters. */
enum class WaitsFor : uint8
{
	kNothing, /* it is over, or will move by itself: a delayed or paused task, say */
	kWorker,  /* the process that runs it */
	kSlot,	  /* a worker that could run it */
	kHolder,  /* task: the one that holds its concurrency key */
	kQueue,	  /* task: any of those that its queue runs */
};

/* One waiter, and what it waits for, as of the moment of the look. */
struct WaiterSeen
{
	int pid;
	bool may_time_out;
	TimestampTz since;
	uint64 command_id; /* 0: a task */
	int64 task_id;
	Oid database; /* of the task */
	WaitsFor what;
	int worker_pid; /* kWorker, kHolder: of that process */
	int64 holder;	/* kHolder: the task that holds the key */
	int32 queue;	/* kQueue */
	PairKey target; /* kSlot */
	int role_limit; /* kSlot */
	int closer_pid; /* kSlot: the session that holds the target database closed for DDL; 0 = none */
};

/* One slot, likewise. */
struct SlotSeen
{
	int pid;
	SlotState state;
	SlotKind kind;
	PairKey target;
	uint64 command_id; /* that it runs; 0 = none */
	int64 task_id;	   /* likewise */
	int32 task_queue;  /* of that task; known where some waiter waits for a queue */
	bool stays; /* a resident main or a lease, which never gives it up: nobody waits for that */
};

enum class Place : uint8
{
	kProcess,
	kPoolSlots,
	kDatabaseSlots,
	kRoleSlots,
	kTaskSlots,	 /* those that tasks, services and leases hold */
	kQueueTasks, /* those that run tasks of one queue */
};

/* What a node of the graph stands for. */
struct NodeNote
{
	Place place;
	Oid oid;	 /* of the database or role of a set of slots */
	int32 queue; /* kQueueTasks */
	int waiter;	 /* its entries in the picture; kNone */
	int slot;
};

struct Picture
{
	WaiterSeen *waiters;
	int waiter_count;
	SlotSeen *slots;
	int slot_count;

	WaitNode *nodes;
	NodeNote *notes;
	int node_count;
	int node_capacity;
	int *targets;
	int target_count;
	int target_capacity;

	MemoryContext call_context; /* for one call of pg_blocking_pids */
};

/* Copies waiters and slots; CurrentMemoryContext takes the arrays. No lock held. */
void TakePicture(Picture *picture);
/* The entry of that process, or kNone. */
int FindWaiter(const Picture &picture, int pid);
int FindSlot(const Picture &picture, int pid);
/* Does the slot count in that set? */
bool IsInSet(const SlotSeen &slot, const NodeNote &set);
/* How many of its slots are taken, those that stay among them? */
int CountTaken(const Picture &picture, const NodeNote &set);

/* deadlock_words.cpp: the chain of a knot, a line an edge, allocated in `context`. */
char *DescribeKnot(const Picture &picture, const WaitScratch &scratch, MemoryContext context);

} // namespace worker_pool
