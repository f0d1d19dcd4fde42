/*
 * slots_shared.cpp
 *	  Slots of the kinds that share what worker_pool.reserved_workers leaves: tasks, services, leases (IsShared).
 *	  See slots.hpp for who does what, slots.cpp for the diagram, of which these moves are a part.
 *
 * kTask: a worker of the pair came to it from idle (StartTasks) or from its handshake, and goes on to a command of
 * its pair (TaskDone, TasksOver), to idle, or for good. A slot changes between kCommand and kTask as its worker is
 * used.
 *
 * kService: it is of that kind for life, and its pair has no other slot and no queue. It runs from its handshake,
 * or from StartServiceCycle, until ServiceOver; idle, it can be evicted like any other. kLease: it is the slot of
 * a process that is not ours, runs from TakeLease to FreeSlot, and is nobody's to assign, evict or ask: who holds
 * it stands in pid and proc, first the one that took it, then the one that attached (AttachLease). Its pair is one
 * of its own, of no database and no role, so DDL drains and limits pass it by.
 */
#include "shmem/slot_moves.hpp"

#include <csignal>

#include "config/settings.hpp"
#include "shmem/databases.hpp"
#include "shmem/service_table.hpp"

namespace worker_pool
{

/* --- tasks ---------------------------------------------------------------------------------------------- */

int
TaskSlotLimit()
{
	return std::max(1, SlotCount() - settings::reserved_workers);
}

/* idle -> running, of a shared kind, if there is room among them, for this one. */
static bool
StartShared(WorkerSlot &slot, SlotKind kind)
{
	if (slot.state != SlotState::kIdle || slot.terminate_sent || !settings::enabled ||
		IsBlocked(slot.target.database) || pool->task_slots >= TaskSlotLimit() ||
		(pool->tasks_contended && !slot.task_permit))
		return false;
	slot.task_permit = false;
	MoveSlot(slot, SlotState::kRunning, kind);
	return true;
}

bool
StartTasks(int index)
{
	return SlotAt(index).target.fresh_id == 0 && StartShared(SlotAt(index), SlotKind::kTask);
}

void
BeginTask(int index, int64 id, Oid owner, const char *name)
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	WorkerSlot &slot = SlotAt(index);

	Assert(slot.state == SlotState::kRunning && slot.kind == SlotKind::kTask && slot.task_id == 0);
	slot.task_id = id;
	slot.begun = true;
	slot.task_owner = owner;
	strlcpy(slot.task_name, name == nullptr ? "" : name, sizeof(slot.task_name));
	slot.task_started_at = GetCurrentTimestamp();
	ClearProgress(slot);
}

AfterCommand
TaskDone(int index, bool may_continue)
{
	WorkerSlot &slot = SlotAt(index);

	CountDone(slot);
	if (Leaves(slot, may_continue))
		return AfterCommand::kExit;
	if (TakeNext(index))
		return AfterCommand::kNext;
	/* worker_pool.reserved_workers was raised meanwhile */
	if (pool->task_slots > TaskSlotLimit())
	{
		MoveSlot(slot, SlotState::kIdle);
		return AfterCommand::kIdle;
	}
	return AfterCommand::kNext;
}

AfterCommand
TasksOver(int index)
{
	WorkerSlot &slot = SlotAt(index);

	Assert(slot.kind == SlotKind::kTask && slot.task_id == 0);
	slot.batch_stuck = false;
	return MoveOn(index, true);
}

bool
SignalTask(int index, int64 task_id, StopReason reason, TimestampTz terminate_at)
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	/* ids of tasks are of a database */
	if (SlotAt(index).task_id != task_id || SlotAt(index).target.database != MyDatabaseId)
		return false;
	SignalCommand(index, reason, terminate_at);
	return true;
}

/* --- services and leases ------------------------------------------------------------------------------------ */

bool
StartServiceCycle(int index)
{
	WorkerSlot &slot = SlotAt(index);

	Assert(slot.kind == SlotKind::kService);
	if (!StartShared(slot, SlotKind::kService))
		return false;
	ClearWork(slot);
	ClearProgress(slot);
	slot.stop_reason = StopReason::kNone;
	return true;
}

AfterCommand
ServiceOver(int index, bool may_continue)
{
	WorkerSlot &slot = SlotAt(index);

	Assert(slot.kind == SlotKind::kService && slot.command == kNone);
	CountDone(slot);
	if (!may_continue || slot.give_way || slot.terminate_sent || !settings::enabled ||
		IsBlocked(slot.target.database))
	{
		MoveSlot(slot, SlotState::kStopping);
		return AfterCommand::kExit;
	}
	MoveSlot(slot, SlotState::kIdle);
	return AfterCommand::kIdle;
}

void
SignalService(int index, bool terminate)
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	WorkerSlot &slot = SlotAt(index);

	if (slot.kind != SlotKind::kService || slot.pid == 0 ||
		(slot.state != SlotState::kRunning && slot.state != SlotState::kStarting))
		return;
	if (terminate)
	{
		TerminateSlot(index, StopReason::kRequested);
		return;
	}
	slot.stop_reason = StopReason::kRequested;
	slot.cancel_sent = true;
	kill(slot.pid, SIGINT);
}

/*
 * Brings a free slot to the head of the list that holds no failed start of which the launcher has not heard.
 * False: there is none.
 */
static bool
HeadWithUsableSlot()
{
	dlist_iter iter;

	dlist_foreach(iter, &pool->free_slots)
	{
		if (dlist_container(WorkerSlot, node, iter.cur)->start_failed)
			continue;
		dlist_move_head(&pool->free_slots, iter.cur);
		return true;
	}
	return false;
}

int
TakeLease(const char *name, TimestampTz now)
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	/* ids of commands come from the clock, those of services have their own mark: no pair has this one */
	static constexpr uint64 kLeaseMark = UINT64CONST(1) << 62;

	if (!settings::enabled || pool->task_slots >= TaskSlotLimit() ||
		ResidentCount() >= ResidentLimit() || !HeadWithUsableSlot())
		return kNone;

	const auto *head = dlist_container(WorkerSlot, node, dlist_head_node(&pool->free_slots));
	const auto next = static_cast<uint64>(head - &SlotAt(0));
	const int index =
		ReserveSlot({InvalidOid, InvalidOid, kLeaseMark | next}, SlotKind::kLease, now);
	WorkerSlot &slot = SlotAt(index);

	slot.pid = MyProcPid;
	slot.proc = compat::MyProcIndex();
	slot.started_at = now;
	strlcpy(slot.task_name, name, sizeof(slot.task_name));
	MoveSlot(slot, SlotState::kRunning);
	return index;
}

bool
AttachLease(int index, uint64 generation)
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	if (index < 0 || index >= SlotCount())
		return false;

	WorkerSlot &slot = SlotAt(index);

	if (slot.generation != generation || slot.kind != SlotKind::kLease ||
		slot.state != SlotState::kRunning)
		return false;
	slot.pid = MyProcPid;
	slot.proc = compat::MyProcIndex();
	slot.started_at = GetCurrentTimestamp();
	return true;
}

} // namespace worker_pool
