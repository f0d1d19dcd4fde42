/*
 * slots.cpp
 *	  The one writer of a worker slot's state (MoveSlot), and all moves but those for tasks, services and leases,
 *	  which stand in slots_shared.cpp. See slots.hpp for who does what.
 *
 *	            ReserveSlot            SlotStarted            AssignSlot
 *	   free ------------------> starting ---------> idle ------------------> assigned
 *	    ^                          |  |              |  ^                     |   |
 *	    | FreeSlot                 |  | SlotStarted  |  | SlotFinished        |   | SlotAccepts
 *	    | (exit callback, or       |  +--------------|--|---------+           |   |
 *	    |  the launcher for a      |                 |  |         v           |   v
 *	    |  process that never      | StopSlot        |  +------ running <-----|---+
 *	    |  came)                   v                 v            |           v
 *	    +----------------------- stopping <----------+------------+-----------+
 *
 * Every state but free may also go straight back to free: processes die. Generation is counted up at each
 * ReserveSlot, so whatever still holds an older generation finds that the slot is not its own any more.
 *
 * A slot that runs does so for one of these kinds. kCommand: it has a command. kTask: its worker takes tasks from
 * the ready queue, with task_id 0 between them; it came there from idle (StartTasks) or from its handshake, and
 * leaves for a command of its pair (TaskDone, TasksOver), for idle, or for good. SlotFinished, TaskDone and
 * TasksOver differ only in what they leave behind. kVisit: it looks around once, and leaves. kService and kLease:
 * see slots_shared.cpp.
 *
 * pool->task_slots counts the slots of shared kinds (IsShared: kTask, kService, kLease) that are starting, assigned
 * or running: MoveSlot keeps it, as the one writer of state and kind.
 */
#include "shmem/slot_moves.hpp"

#include <csignal>

#include "config/settings.hpp"
#include "shmem/databases.hpp"

namespace worker_pool
{

static WorkerSlot *slots = nullptr;

int
SlotCount()
{
	return settings::max_workers;
}

Size
SlotMemorySize()
{
	return mul_size(SlotCount(), sizeof(WorkerSlot));
}

void
InitSlots(char *memory, bool found)
{
	slots = reinterpret_cast<WorkerSlot *>(memory);
	if (found)
		return;
	for (int i = 0; i < SlotCount(); i++)
	{
		WorkerSlot &slot = slots[i];

		memset(&slot, 0, sizeof(slot));
		slot.pair = slot.command = slot.service = slot.proc = kNone;
		slot.terminate_at = DT_NOEND;
		dlist_push_tail(&pool->free_slots, &slot.node);
	}
}

WorkerSlot &
SlotAt(int index)
{
	Assert(index >= 0 && index < SlotCount());
	return slots[index];
}

/* Does it take one of the places that tasks, services and leases may have? */
static int
TaskPlaces(const WorkerSlot &slot)
{
	return IsShared(slot.kind) &&
				   (slot.state == SlotState::kStarting || slot.state == SlotState::kAssigned ||
					slot.state == SlotState::kRunning)
			   ? 1
			   : 0;
}

void
MoveSlot(WorkerSlot &slot, SlotState to, SlotKind kind)
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	Assert(IsLegalMove(slot.state, to));
	pool->task_slots -= TaskPlaces(slot);
	slot.state = to;
	slot.kind = kind;
	pool->task_slots += TaskPlaces(slot);
	Assert(pool->task_slots >= 0 && pool->task_slots <= SlotCount());
	slot.state_changed_at = GetCurrentTimestamp();
}

void
MoveSlot(WorkerSlot &slot, SlotState to)
{
	MoveSlot(slot, to, slot.kind);
}

void
ClearWork(WorkerSlot &slot)
{
	slot.command = kNone;
	slot.task_id = 0;
	slot.cancel_id = 0;
	slot.cancel_sent = false;
	slot.begun = false;
	slot.terminate_id = 0;
	slot.terminate_at = DT_NOEND;
}

void
ClearProgress(WorkerSlot &slot)
{
	slot.progress = -1;
	slot.progress_at = 0;
	slot.message[0] = '\0';
}

int
ReserveSlot(const PairKey &target, SlotKind kind, TimestampTz now)
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	if (dlist_is_empty(&pool->free_slots))
		return kNone;

	WorkerSlot &slot = *dlist_container(WorkerSlot, node, dlist_pop_head_node(&pool->free_slots));

	slot.generation++;
	MoveSlot(slot, SlotState::kStarting, kind);
	slot.give_way = false;
	slot.task_permit = false;
	slot.terminate_sent = false;
	slot.start_failed = false;
	slot.batch_stuck = false;
	slot.stop_reason = StopReason::kNone;
	slot.target = target;
	slot.pair = NeedPair(target);
	slot.service = kNone;
	ClearWork(slot);
	ClearProgress(slot);
	slot.pid = 0;
	slot.proc = kNone;
	slot.registered_at = now;
	slot.next_id = pool->next_command_id;
	slot.started_at = 0;
	slot.commands_done = 0;
	slot.start_error.sqlstate = 0;
	PairAt(slot.pair).slots++;
	dlist_push_tail(&pool->running_slots, &slot.node);
	return static_cast<int>(&slot - slots);
}

bool
TakeNext(int index)
{
	WorkerSlot &slot = SlotAt(index);
	Pair &pair = PairAt(slot.pair);

	if (pair.queued == 0)
		return false;

	CommandRecord &record = *dlist_container(CommandRecord, node, dlist_head_node(&pair.queue));

	MoveSlot(slot, SlotState::kRunning, SlotKind::kCommand);
	slot.command = static_cast<int>(&record - &CommandAt(0));
	BeginCommand(slot.command, index);
	return true;
}

int
SlotStarted(int index)
{
	WorkerSlot &slot = SlotAt(index);

	if (slot.kind == SlotKind::kVisit || slot.kind == SlotKind::kService)
		MoveSlot(slot, SlotState::kRunning);
	else if (!TakeNext(index))
		MoveSlot(slot, slot.kind == SlotKind::kTask ? SlotState::kRunning : SlotState::kIdle);
	return slot.command;
}

void
AssignSlot(int index, int command)
{
	WorkerSlot &slot = SlotAt(index);

	MoveSlot(slot, SlotState::kAssigned, SlotKind::kCommand);
	slot.command = command;
	BeginCommand(command, index);
}

void
SlotAccepts(int index)
{
	MoveSlot(SlotAt(index), SlotState::kRunning);
}

int
FindIdleSlot(const PairKey &target)
{
	Assert(LWLockHeldByMe(PoolLock()));
	int best = kNone;
	dlist_iter iter;

	dlist_foreach(iter, &pool->running_slots)
	{
		const WorkerSlot &slot = *dlist_container(WorkerSlot, node, iter.cur);

		if (slot.state != SlotState::kIdle || slot.terminate_sent || !(slot.target == target))
			continue;
		/* the one that went idle last is the warmest, and the others may reach their time-out */
		if (best == kNone || slot.state_changed_at > slots[best].state_changed_at)
			best = static_cast<int>(&slot - slots);
	}
	return best;
}

bool
Leaves(WorkerSlot &slot, bool may_continue)
{
	if (may_continue && !slot.give_way && !slot.terminate_sent && slot.target.fresh_id == 0 &&
		slot.kind != SlotKind::kVisit && settings::enabled && !IsBlocked(slot.target.database))
		return false;
	MoveSlot(slot, SlotState::kStopping);
	if (slot.give_way)
		PairAt(slot.pair).gave_way_at = slot.state_changed_at;
	return true;
}

AfterCommand
MoveOn(int index, bool may_continue)
{
	WorkerSlot &slot = SlotAt(index);

	if (Leaves(slot, may_continue))
		return AfterCommand::kExit;
	if (TakeNext(index))
		return AfterCommand::kNext;
	MoveSlot(slot, SlotState::kIdle);
	return AfterCommand::kIdle;
}

void
CountDone(WorkerSlot &slot)
{
	ClearWork(slot);
	slot.stop_reason = StopReason::kNone;
	slot.commands_done++;
}

AfterCommand
SlotFinished(int index, bool may_continue)
{
	CountDone(SlotAt(index));
	return MoveOn(index, may_continue);
}

void
StopSlot(int index)
{
	MoveSlot(SlotAt(index), SlotState::kStopping);
}

void
GiveBackCommand(int index)
{
	WorkerSlot &slot = SlotAt(index);
	const int command = slot.command;

	slot.command = kNone;
	RequeueCommand(command);

	/* idle workers look at their slot, not at the queue: without this it would wait for the launcher */
	const int idle = IsBlocked(slot.target.database) ? kNone : FindIdleSlot(slot.target);

	if (idle == kNone)
		return;
	AssignSlot(idle, command);
	compat::SetLatchOf(SlotAt(idle).proc);
}

/* The command of a slot whose process is gone, or going. Returns the record if it was finished. */
static int
GiveUpCommand(WorkerSlot &slot, const BriefError *brief, Leftovers *leftovers)
{
	const int command = slot.command;
	CommandRecord &record = CommandAt(command);
	const bool cancelled = slot.cancel_id == WorkId(slot) || slot.terminate_id == WorkId(slot);

	/* handed over or taken, but never looked at: it has had no effect, another worker can run it */
	if (!slot.begun && !cancelled && !record.abandoned)
	{
		GiveBackCommand(static_cast<int>(&slot - slots));
		return kNone;
	}
	if (cancelled && slot.stop_reason == StopReason::kRequested)
	{
		SetBriefError(&record.brief, ERRCODE_QUERY_CANCELED, kStoppedMessage,
					  "Its process was terminated: it did not end within the grace period.",
					  nullptr);
		record.sqlstate = record.brief.sqlstate;
		FinishCommand(command, CommandState::kCancelled, leftovers);
		return command;
	}
	if (brief != nullptr && brief->sqlstate == ERRCODE_QUERY_CANCELED)
	{
		record.brief = *brief;
		record.sqlstate = brief->sqlstate;
		FinishCommand(command, CommandState::kFailed, leftovers);
		return command;
	}
	if (slot.stop_reason == StopReason::kDatabaseDdl)
		SetBriefError(&record.brief, ERRCODE_CONNECTION_FAILURE,
					  "command was lost: its process was terminated by DDL on its database",
					  "Its outcome is unknown.", nullptr);
	else
	{
		char detail[sizeof(record.brief.detail)] = "Its outcome is unknown.";

		if (brief && brief->sqlstate != 0)
			snprintf(detail, sizeof(detail), "Its outcome is unknown. The process reported: %s",
					 brief->message);
		SetBriefError(&record.brief, ERRCODE_CONNECTION_FAILURE,
					  "command was lost: its process went away", detail, nullptr);
	}
	record.sqlstate = record.brief.sqlstate;
	FinishCommand(command, CommandState::kLost, leftovers);
	return command;
}

int
FreeSlot(int index, const BriefError *brief, Leftovers *leftovers)
{
	WorkerSlot &slot = SlotAt(index);
	int finished = kNone;

	*leftovers = {};
	if (slot.command != kNone)
		finished = GiveUpCommand(slot, brief, leftovers);

	Pair &pair = PairAt(slot.pair);

	pair.slots--;
	Assert(pair.slots >= 0);
	if (slot.give_way)
		pair.gave_way_at = GetCurrentTimestamp();
	ReleasePairIfUnused(slot.pair);
	slot.failed_target = slot.target;
	slot.failed_registered_at = slot.registered_at;
	slot.pair = kNone;
	slot.service = kNone;
	ClearWork(slot);
	slot.pid = 0;
	slot.proc = kNone;
	dlist_delete(&slot.node);
	MoveSlot(slot, SlotState::kFree);
	dlist_push_head(&pool->free_slots, &slot.node);
	return finished;
}

void
SignalCommand(int index, StopReason reason, TimestampTz terminate_at)
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	WorkerSlot &slot = SlotAt(index);

	const uint64 id = WorkId(slot);

	if (id == 0)
		return;
	slot.stop_reason = reason;
	if (terminate_at != DT_NOEND && (slot.terminate_id != id || terminate_at < slot.terminate_at))
	{
		slot.terminate_id = id;
		slot.terminate_at = terminate_at;
	}
	slot.cancel_id = id;
	/* an assigned command has not begun: its worker will find the mark when it looks */
	if (slot.state == SlotState::kRunning && slot.pid != 0)
	{
		slot.cancel_sent = true;
		kill(slot.pid, SIGINT);
	}
}

uint64
WorkId(const WorkerSlot &slot)
{
	return slot.command != kNone ? CommandAt(slot.command).id : static_cast<uint64>(slot.task_id);
}

void
TerminateSlot(int index, StopReason reason)
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	WorkerSlot &slot = SlotAt(index);

	slot.terminate_sent = true;
	slot.stop_reason = reason;
	/* without a pid it is still on its way: it will find the mark at its handshake */
	if (slot.pid != 0)
		kill(slot.pid, SIGTERM);
}

} // namespace worker_pool
