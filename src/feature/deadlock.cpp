/*
 * deadlock.cpp
 *	  Draws the picture of who waits for whom, and asks core/wait_graph.hpp for knots in it.
 *
 * Runs in a process that waits for a command or a task and has done so for deadlock_timeout, and again each
 * deadlock_timeout. The server's own deadlock detector sees heavyweight locks only: a caller that holds the
 * lock which its command's worker wants, or four commands on four slots that each wait for a fifth, look to
 * it like four sessions minding their own business. So each waiter looks for itself:
 *
 *	1. It copies the waiters with the state of what they wait for, and the slots with their processes, into
 *	   arrays made before (wait_picture.cpp).
 *	2. Without any lock it draws the graph, from itself outwards and no further than it reaches: a waiter
 *	   of a running command or task waits for the worker; a waiter of a queued command waits for a slot of the
 *	   pool, and of its database or role where those have all the workers they may have; a waiter of a task
 *	   that is ready likewise, and for one of the slots that tasks hold where they hold all they may; a waiter
 *	   of a task that is held back, for the task that has its concurrency key, or for one of those that its
 *	   queue runs. Tasks that are delayed, blocked or paused are not stuck. Any other process waits for whoever
 *	   blocks it, by pg_blocking_pids. That takes all partition locks of the lock manager, so only processes
 *	   whose wait event says that they may be waiting are asked about. A set of slots with one process in it
 *	   that moves is live, and drawn no further: in a pool that merely is busy the picture ends there. A slot that
 *	   a resident service or a lease holds is taken, but comes free for nobody, whether its process moves or not.
 *	3. wait_graph.hpp tells whether this process is in a knot and the one to give up.
 *
 * The parts of the picture are not of one instant, and two calls of pg_blocking_pids are not either. A
 * true knot stands still, so it is in every picture; what only looks like one is gone when the caller looks
 * for the second time (WaitForCommand raises at the second true in a row). Waiters that may time out end by
 * themselves and count as moving. What fails here (memory, an interrupt) is an ERROR of the waiting
 * statement; nothing shared was changed.
 */
#include "feature/deadlock.hpp"

#include "config/settings.hpp"
#include "feature/wait_picture.hpp"

namespace worker_pool
{

/* The node of that process (pid) or set of slots (oid, queue), made when it is missing. */
static int
NeedNode(Picture *picture, Place place, int pid, Oid oid, int32 queue = kNoTaskQueue)
{
	for (int i = 0; i < picture->node_count; ++i)
	{
		const NodeNote &note = picture->notes[i];

		if (note.place == place && note.oid == oid && note.queue == queue &&
			picture->nodes[i].pid == pid)
			return i;
	}

	if (picture->node_count == picture->node_capacity)
	{
		picture->node_capacity *= 2;
		picture->nodes = static_cast<WaitNode *>(
			repalloc(picture->nodes, sizeof(WaitNode) * picture->node_capacity));
		picture->notes = static_cast<NodeNote *>(
			repalloc(picture->notes, sizeof(NodeNote) * picture->node_capacity));
	}

	const int index = picture->node_count++;
	const bool is_process = place == Place::kProcess;

	picture->nodes[index] = {pid, WaitKind::kLive, false, 0, 0, 0};
	picture->notes[index] = {place, oid, queue, is_process ? FindWaiter(*picture, pid) : kNone,
							 is_process ? FindSlot(*picture, pid) : kNone};
	return index;
}

/* Gives the node that is being drawn one more target. */
static void
AddTarget(Picture *picture, int node, int target)
{
	if (picture->target_count == picture->target_capacity)
	{
		picture->target_capacity *= 2;
		picture->targets =
			static_cast<int *>(repalloc(picture->targets, sizeof(int) * picture->target_capacity));
	}
	picture->targets[picture->target_count++] = target;
	picture->nodes[node].target_count++;
}

/*
 * May the process wait for a heavyweight lock, or (the leader of a parallel query, while its workers run)
 * for somebody who does? Looks at its wait event only, as pg_stat_activity does.
 */
static bool
MayWaitForLock(int pid)
{
	PGPROC *proc = BackendPidGetProc(pid);

	if (proc == nullptr)
		return false;

	const uint32 wait_class = *const_cast<volatile uint32 *>(&proc->wait_event_info) & 0xFF000000U;

	return wait_class == PG_WAIT_LOCK || wait_class == PG_WAIT_IPC;
}

/* Draws the edges of a process to those who block it. */
static void
DrawLocks(Picture *picture, int node)
{
	const int pid = picture->nodes[node].pid;

	if (!MayWaitForLock(pid))
		return;

	MemoryContext const old_context = MemoryContextSwitchTo(picture->call_context);
	ArrayType *const blockers =
		DatumGetArrayTypeP(DirectFunctionCall1(pg_blocking_pids, Int32GetDatum(pid)));
	const int count = ArrayGetNItems(ARR_NDIM(blockers), ARR_DIMS(blockers));
	const auto *const pids = reinterpret_cast<const int32 *>(ARR_DATA_PTR(blockers));

	MemoryContextSwitchTo(old_context);
	picture->nodes[node].kind = WaitKind::kWaitsAll;
	for (int i = 0; i < count; ++i)
	{
		/* 0 is a prepared transaction: somebody from outside may still end it */
		if (pids[i] == 0)
			continue;

		const int target = NeedNode(picture, Place::kProcess, pids[i], InvalidOid);
		const int *const first = picture->targets + picture->nodes[node].first_target;
		const int *const end = picture->targets + picture->target_count;

		if (std::find(first, end, target) == end)
			AddTarget(picture, node, target);
	}
	MemoryContextReset(picture->call_context);
}

/* Is the slot free, coming free, or held by a process that moves? */
static bool
SlotMoves(const Picture &picture, const SlotSeen &slot)
{
	if (slot.state != SlotState::kAssigned && slot.state != SlotState::kRunning)
		return true;
	if (slot.pid == 0)
		return true;
	return FindWaiter(picture, slot.pid) == kNone && !MayWaitForLock(slot.pid);
}

/* Is it one of the slots of the set that may come free? */
static bool
MayComeFree(const SlotSeen &slot, const NodeNote &set)
{
	return !slot.stays && IsInSet(slot, set);
}

/* Draws the edges of a set of slots to the processes in it; none when one of the slots is seen to move. */
static void
DrawSet(Picture *picture, int node)
{
	const NodeNote set = picture->notes[node];

	for (int i = 0; i < picture->slot_count; ++i)
	{
		if (MayComeFree(picture->slots[i], set) && SlotMoves(*picture, picture->slots[i]))
			return;
	}
	picture->nodes[node].kind = WaitKind::kWaitsAny;
	for (int i = 0; i < picture->slot_count; ++i)
	{
		if (MayComeFree(picture->slots[i], set))
			AddTarget(picture, node,
					  NeedNode(picture, Place::kProcess, picture->slots[i].pid, InvalidOid));
	}
}

/* Draws an edge to a set of slots if all that it may have are taken. */
static void
DrawLimit(Picture *picture, int node, Place place, Oid oid, int32 queue, int limit)
{
	const NodeNote set = {place, oid, queue, kNone, kNone};

	if (limit > 0 && CountTaken(*picture, set) >= limit)
		AddTarget(picture, node, NeedNode(picture, place, 0, oid, queue));
}

/*
 * Draws the edges of one who waits for a slot. It needs one within every limit, so it is stuck as soon as one of
 * the sets is.
 */
static void
DrawSlots(Picture *picture, int node, const WaiterSeen &waiter)
{
	const PairKey &target = waiter.target;

	/* Nothing starts there before that session's transaction ends. */
	if (waiter.closer_pid != 0)
	{
		AddTarget(picture, node, NeedNode(picture, Place::kProcess, waiter.closer_pid, InvalidOid));
		return;
	}
	AddTarget(picture, node, NeedNode(picture, Place::kPoolSlots, 0, InvalidOid));
	DrawLimit(picture, node, Place::kDatabaseSlots, target.database, kNoTaskQueue,
			  settings::max_workers_per_database);
	DrawLimit(picture, node, Place::kRoleSlots, target.role, kNoTaskQueue, waiter.role_limit);
	if (waiter.task_id != 0)
		DrawLimit(picture, node, Place::kTaskSlots, InvalidOid, kNoTaskQueue, TaskSlotLimit());
}

/* Draws the edges of a process that waits for a command or a task. */
static void
DrawWaiter(Picture *picture, int node)
{
	const WaiterSeen &waiter = picture->waiters[picture->notes[node].waiter];

	if (waiter.may_time_out)
		return;
	picture->nodes[node].kind = WaitKind::kWaitsAll;
	picture->nodes[node].may_give_up = true;
	picture->nodes[node].since_us = waiter.since;
	switch (waiter.what)
	{
		case WaitsFor::kNothing:
			break;
		case WaitsFor::kWorker:
		case WaitsFor::kHolder:
			AddTarget(picture, node,
					  NeedNode(picture, Place::kProcess, waiter.worker_pid, InvalidOid));
			break;
		case WaitsFor::kSlot:
			DrawSlots(picture, node, waiter);
			break;
		case WaitsFor::kQueue:
			DrawLimit(picture, node, Place::kQueueTasks, waiter.database, waiter.queue,
					  QueueMaxRunning(waiter.database, waiter.queue));
			break;
	}
}

/* Draws everything that this process reaches. Returns its node. */
static int
DrawGraph(Picture *picture)
{
	picture->node_capacity = 16;
	picture->nodes = static_cast<WaitNode *>(palloc(sizeof(WaitNode) * picture->node_capacity));
	picture->notes = static_cast<NodeNote *>(palloc(sizeof(NodeNote) * picture->node_capacity));
	picture->target_capacity = 16;
	picture->targets = static_cast<int *>(palloc(sizeof(int) * picture->target_capacity));

	const int self = NeedNode(picture, Place::kProcess, MyProcPid, InvalidOid);

	for (int node = 0; node < picture->node_count; ++node)
	{
		CHECK_FOR_INTERRUPTS();
		picture->nodes[node].first_target = picture->target_count;
		if (picture->notes[node].place != Place::kProcess)
			DrawSet(picture, node);
		else if (picture->notes[node].waiter != kNone)
			DrawWaiter(picture, node);
		else
			DrawLocks(picture, node);
	}
	return self;
}

bool
FindDeadlock(char **chain)
{
	MemoryContext const caller_context = CurrentMemoryContext;
	MemoryContext const context =
		AllocSetContextCreate(caller_context, "worker_pool wait graph", ALLOCSET_DEFAULT_SIZES);
	Picture picture = {};
	bool give_up = false;

	*chain = nullptr;
	MemoryContextSwitchTo(context);
	picture.call_context =
		AllocSetContextCreate(context, "worker_pool blockers", ALLOCSET_DEFAULT_SIZES);
	TakePicture(&picture);

	const int self_waiter = FindWaiter(picture, MyProcPid);

	if (self_waiter != kNone && !picture.waiters[self_waiter].may_time_out)
	{
		const int self = DrawGraph(&picture);
		const Size flags = sizeof(bool) * picture.node_count;
		const WaitGraph graph = {picture.nodes, picture.node_count, picture.targets};
		WaitScratch scratch = {static_cast<bool *>(palloc(flags)),
							   static_cast<bool *>(palloc(flags)),
							   static_cast<bool *>(palloc(flags)),
							   static_cast<int *>(palloc(sizeof(int) * picture.node_count)), 0};

		give_up = ShouldGiveUp(graph, self, &scratch);
		if (give_up)
			*chain = DescribeKnot(picture, scratch, caller_context);
	}
	MemoryContextSwitchTo(caller_context);
	MemoryContextDelete(context);
	return give_up;
}

} // namespace worker_pool
