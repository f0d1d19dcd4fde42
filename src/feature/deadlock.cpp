/*
 * deadlock.cpp
 *	  Draws the picture of who waits for whom, and asks core/wait_graph.hpp for knots in it.
 *
 * Runs in a process that waits for a command and has done so for deadlock_timeout, and again each
 * deadlock_timeout. The server's own deadlock detector sees heavyweight locks only: a caller that holds the
 * lock which its command's worker wants, or four commands on four slots that each wait for a fifth, look to
 * it like four sessions minding their own business. So each waiter looks for itself:
 *
 *	1. Under the pool lock, shared, it copies the waiters with the state of what they wait for, and the
 *	   slots with their processes, into arrays made before.
 *	2. Without that lock it draws the graph, from itself outwards and no further than it reaches: a waiter
 *	   of a running command waits for the worker; a waiter of a queued command waits for a slot of the pool,
 *	   and of its database or role where those have all the workers they may have; any other process waits
 *	   for whoever blocks it, by pg_blocking_pids. That takes all partition locks of the lock manager, so
 *	   only processes whose wait event says that they may be waiting are asked about. A set of slots with
 *	   one process in it that moves is live, and drawn no further: in a pool that merely is busy the
 *	   picture ends there.
 *	3. wait_graph.hpp tells whether this process is in a knot and the one to give up.
 *
 * The two halves of the picture are not of one instant, and two calls of pg_blocking_pids are not either. A
 * true knot stands still, so it is in every picture; what only looks like one is gone when the caller looks
 * for the second time (WaitForCommand raises at the second true in a row). Waiters that may time out end by
 * themselves and count as moving. What fails here (memory, an interrupt) is an ERROR of the waiting
 * statement; nothing shared was changed.
 */
#include "feature/deadlock.hpp"

#include "config/settings.hpp"
#include "core/wait_graph.hpp"
#include "shmem/databases.hpp"
#include "shmem/slots.hpp"

namespace worker_pool
{

namespace
{

/* Lines of a chain; the rest is counted. */
constexpr int kMaxChainLines = 40;

/* One waiter, and what it waits for, as of the moment under the lock. */
struct WaiterSeen
{
	int pid;
	bool may_time_out;
	TimestampTz since;
	uint64 command_id;
	CommandState state; /* kVacant: the record is gone */
	int worker_pid;		/* that runs the command; 0 = none */
	PairKey target;
	int role_limit;
	int closer_pid; /* the session that holds the target database closed for DDL; 0 = none */
};

/* One slot, likewise. */
struct SlotSeen
{
	int pid;
	SlotState state;
	PairKey target;
	uint64 command_id; /* that it runs; 0 = none */
};

enum class Place : uint8
{
	kProcess,
	kPoolSlots,
	kDatabaseSlots,
	kRoleSlots,
};

/* What a node of the graph stands for. */
struct NodeNote
{
	Place place;
	Oid oid;	/* of the database or role of a set of slots */
	int waiter; /* its entries in the picture; kNone */
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

/* --- the picture ---------------------------------------------------------------------------------- */

/* Copies one waiter. Pool lock held. */
WaiterSeen
SeeWaiter(const Waiter &waiter)
{
	WaiterSeen seen = {};
	const int index = FindCommand(waiter.command_id);

	seen.pid = waiter.pid;
	seen.may_time_out = waiter.may_time_out;
	seen.since = waiter.since;
	seen.command_id = waiter.command_id;
	seen.state = CommandState::kVacant;
	if (index == kNone)
		return seen;

	const CommandRecord &record = CommandAt(index);

	seen.state = record.state;
	seen.target = record.target;
	if (record.state == CommandState::kRunning && record.slot != kNone)
		seen.worker_pid = SlotAt(record.slot).pid;
	if (record.pair != kNone)
		seen.role_limit = PairAt(record.pair).role_limit;
	if (record.state == CommandState::kQueued && IsBlocked(record.target.database))
		seen.closer_pid = FindDatabase(record.target.database)->closer;
	return seen;
}

/* Copies waiters and slots. CurrentMemoryContext takes the arrays. */
void
TakePicture(Picture *picture)
{
	picture->waiters = static_cast<WaiterSeen *>(palloc0(sizeof(WaiterSeen) * WaiterCount()));
	picture->slots = static_cast<SlotSeen *>(palloc0(sizeof(SlotSeen) * SlotCount()));
	picture->slot_count = SlotCount();

	LockScope lock(PoolLock(), LW_SHARED);

	for (int i = 0; i < WaiterCount(); ++i)
	{
		if (WaiterAt(i).pid != 0)
			picture->waiters[picture->waiter_count++] = SeeWaiter(WaiterAt(i));
	}
	for (int i = 0; i < SlotCount(); ++i)
	{
		const WorkerSlot &slot = SlotAt(i);
		const uint64 command_id = slot.command == kNone ? 0 : CommandAt(slot.command).id;

		picture->slots[i] = {static_cast<int>(slot.pid), slot.state, slot.target, command_id};
	}
}

int
FindWaiter(const Picture &picture, int pid)
{
	for (int i = 0; i < picture.waiter_count; ++i)
	{
		if (picture.waiters[i].pid == pid)
			return i;
	}
	return kNone;
}

int
FindSlot(const Picture &picture, int pid)
{
	for (int i = 0; i < picture.slot_count; ++i)
	{
		if (picture.slots[i].pid == pid && picture.slots[i].state != SlotState::kFree)
			return i;
	}
	return kNone;
}

/* --- the graph ------------------------------------------------------------------------------------ */

/* The node of that process (pid) or set of slots (oid), made when it is missing. */
int
NeedNode(Picture *picture, Place place, int pid, Oid oid)
{
	for (int i = 0; i < picture->node_count; ++i)
	{
		if (picture->notes[i].place == place && picture->notes[i].oid == oid &&
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
	picture->notes[index] = {place, oid, is_process ? FindWaiter(*picture, pid) : kNone,
							 is_process ? FindSlot(*picture, pid) : kNone};
	return index;
}

/* Gives the node that is being drawn one more target. */
void
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
bool
MayWaitForLock(int pid)
{
	PGPROC *proc = BackendPidGetProc(pid);

	if (proc == nullptr)
		return false;

	const uint32 wait_class = *const_cast<volatile uint32 *>(&proc->wait_event_info) & 0xFF000000U;

	return wait_class == PG_WAIT_LOCK || wait_class == PG_WAIT_IPC;
}

/* Draws the edges of a process to those who block it. */
void
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

/* Does the slot count in that set? */
bool
IsInSet(const SlotSeen &slot, const NodeNote &set)
{
	if (set.place == Place::kPoolSlots)
		return true;
	if (slot.state == SlotState::kFree)
		return false;
	return (set.place == Place::kDatabaseSlots ? slot.target.database : slot.target.role) ==
		   set.oid;
}

/* How many slots of the database or role are taken? */
int
CountTaken(const Picture &picture, Place place, Oid oid)
{
	const NodeNote set = {place, oid, kNone, kNone};
	int count = 0;

	for (int i = 0; i < picture.slot_count; ++i)
		count += picture.slots[i].state != SlotState::kFree && IsInSet(picture.slots[i], set);
	return count;
}

/* Is the slot free, coming free, or held by a process that moves? */
bool
SlotMoves(const Picture &picture, const SlotSeen &slot)
{
	if (slot.state != SlotState::kAssigned && slot.state != SlotState::kRunning)
		return true;
	if (slot.pid == 0)
		return true;
	return FindWaiter(picture, slot.pid) == kNone && !MayWaitForLock(slot.pid);
}

/* Draws the edges of a set of slots to the processes in it; none when one of the slots is seen to move. */
void
DrawSet(Picture *picture, int node)
{
	const NodeNote set = picture->notes[node];

	for (int i = 0; i < picture->slot_count; ++i)
	{
		if (IsInSet(picture->slots[i], set) && SlotMoves(*picture, picture->slots[i]))
			return;
	}
	picture->nodes[node].kind = WaitKind::kWaitsAny;
	for (int i = 0; i < picture->slot_count; ++i)
	{
		if (IsInSet(picture->slots[i], set))
			AddTarget(picture, node,
					  NeedNode(picture, Place::kProcess, picture->slots[i].pid, InvalidOid));
	}
}

/* Draws the edges of a process that waits for a command. */
void
DrawWaiter(Picture *picture, int node)
{
	const WaiterSeen &waiter = picture->waiters[picture->notes[node].waiter];
	const PairKey &target = waiter.target;

	if (waiter.may_time_out)
		return;
	picture->nodes[node].kind = WaitKind::kWaitsAll;
	picture->nodes[node].may_give_up = true;
	picture->nodes[node].since_us = waiter.since;

	if (waiter.state == CommandState::kRunning && waiter.worker_pid != 0)
		AddTarget(picture, node, NeedNode(picture, Place::kProcess, waiter.worker_pid, InvalidOid));
	if (waiter.state != CommandState::kQueued)
		return;

	/* Nothing starts there before that session's transaction ends. */
	if (waiter.closer_pid != 0)
	{
		AddTarget(picture, node, NeedNode(picture, Place::kProcess, waiter.closer_pid, InvalidOid));
		return;
	}

	/* It needs a slot within every limit, so it is stuck as soon as one of the sets is. */
	const int database_limit = settings::max_workers_per_database;

	AddTarget(picture, node, NeedNode(picture, Place::kPoolSlots, 0, InvalidOid));
	if (database_limit > 0 &&
		CountTaken(*picture, Place::kDatabaseSlots, target.database) >= database_limit)
		AddTarget(picture, node, NeedNode(picture, Place::kDatabaseSlots, 0, target.database));
	if (waiter.role_limit > 0 &&
		CountTaken(*picture, Place::kRoleSlots, target.role) >= waiter.role_limit)
		AddTarget(picture, node, NeedNode(picture, Place::kRoleSlots, 0, target.role));
}

/* Draws everything that this process reaches. Returns its node. */
int
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

/* --- the words ------------------------------------------------------------------------------------ */

/* Says which of its limits keeps a queued command waiting. */
void
AppendQueue(StringInfo chain, const Picture &picture, const NodeNote &set)
{
	switch (set.place)
	{
		case Place::kDatabaseSlots:
			appendStringInfo(chain,
							 "its database has all %d workers that "
							 "worker_pool.max_workers_per_database allows.",
							 CountTaken(picture, set.place, set.oid));
			break;
		case Place::kRoleSlots:
			appendStringInfo(chain,
							 "its role has all %d workers that "
							 "worker_pool.max_workers_per_role allows.",
							 CountTaken(picture, set.place, set.oid));
			break;
		case Place::kPoolSlots:
		case Place::kProcess:
			appendStringInfo(chain, "all %d slots of the pool are taken.", picture.slot_count);
			break;
	}
}

/* One line: whom or what a process of the knot waits for. */
void
AppendEdge(StringInfo chain, const Picture &picture, int index, const bool *stuck)
{
	const WaitNode &node = picture.nodes[index];
	const NodeNote &note = picture.notes[index];
	const int *const targets = picture.targets + node.first_target;

	if (chain->len > 0)
		appendStringInfoChar(chain, '\n');
	appendStringInfo(chain, "Process %d ", node.pid);
	if (note.slot != kNone && picture.slots[note.slot].command_id != 0)
		appendStringInfo(chain, "runs command " UINT64_FORMAT " and ",
						 picture.slots[note.slot].command_id);

	if (note.waiter == kNone)
	{
		const char *separator = "waits for a lock held by process ";

		for (int i = 0; i < node.target_count; ++i)
		{
			if (!stuck[targets[i]])
				continue;
			appendStringInfo(chain, "%s%d", separator, picture.nodes[targets[i]].pid);
			separator = ", process ";
		}
		appendStringInfoChar(chain, '.');
		return;
	}

	const WaiterSeen &waiter = picture.waiters[note.waiter];

	appendStringInfo(chain, "waits for command " UINT64_FORMAT ", ", waiter.command_id);
	if (waiter.state == CommandState::kRunning)
	{
		appendStringInfo(chain, "run by process %d.", waiter.worker_pid);
		return;
	}
	appendStringInfoString(chain, "which is queued; ");
	if (waiter.closer_pid != 0)
	{
		appendStringInfo(chain, "its database is closed by DDL of process %d.", waiter.closer_pid);
		return;
	}
	for (int i = 0; i < node.target_count; ++i)
	{
		if (stuck[targets[i]])
		{
			AppendQueue(chain, picture, picture.notes[targets[i]]);
			break;
		}
	}
}

/* The chain of a knot, allocated in `context`. */
char *
DescribeKnot(const Picture &picture, const WaitScratch &scratch, MemoryContext context)
{
	MemoryContext const old_context = MemoryContextSwitchTo(context);
	StringInfoData chain;
	int lines = 0;

	initStringInfo(&chain);
	for (int i = 0; i < scratch.order_count; ++i)
	{
		if (picture.notes[scratch.order[i]].place != Place::kProcess)
			continue;
		if (++lines <= kMaxChainLines)
			AppendEdge(&chain, picture, scratch.order[i], scratch.stuck);
	}
	if (lines > kMaxChainLines)
		appendStringInfo(&chain, "\nAnd %d more processes.", lines - kMaxChainLines);
	MemoryContextSwitchTo(old_context);
	return chain.data;
}

} // namespace

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

void
RaiseDeadlock(const char *chain)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_DEADLOCK_DETECTED),
			 errmsg("deadlock detected: this wait for a command of worker_pool can never end"),
			 errdetail_internal("%s", chain),
			 errhint("Commands that wait for commands need slots for all of them: raise "
					 "worker_pool.max_workers, or the limit named above. A session that waits "
					 "inside a statement keeps its locks and its snapshot: commit first, and wait "
					 "with CALL worker_pool.await_worker(id).")));
	pg_unreachable();
}

} // namespace worker_pool
