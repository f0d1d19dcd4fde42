/*
 * task_slot.cpp
 *	  How a worker's slot comes to durable work and leaves it. Worker process.
 *
 *	idle --StartTaskWork--> running for tasks --LeaveTasks--> idle, or a command of its pair, or stopping
 *	                          |          ^
 *	                          | BeginTask| EndTask: the same, or stays
 *	                          +----------+
 *
 * Wherever it goes, what is left of the batch goes back to the ready queue first, and the launcher is woken where
 * only it can act on what has changed: commands that wait, an idle time-out, and tasks that wait because as many
 * slots as may run tasks did so until now.
 *
 * A cancel that was signalled for the task that ends is absorbed before the slot moves on; nobody signals for a
 * task that the slot does not name any more.
 */
#include "process/task_work.hpp"

#include "pg/guard.hpp"
#include "process/executor.hpp"
#include "process/task_outcome.hpp"

namespace worker_pool
{

TaskWork work = {};

void
InitTasks()
{
	InitTaskBatch();
	InitTaskOutcome();
}

/* --- idle ---------------------------------------------------------------------------------------------- */

bool
IsResting()
{
	return work.rest_until != 0;
}

bool
IsRestOver()
{
	return IsResting() && GetCurrentTimestamp() >= work.rest_until;
}

bool
StartTaskWork()
{
	const PairKey &target = SlotAt(my_slot).target;

	if (IsResting() || target.fresh_id != 0 || RecoveryInProgress())
		return false;

	const TimestampTz now = GetCurrentTimestamp();

	if (now < work.look_not_before)
		return false;
	work.look_not_before = 0;
	if (!HasWork(target.database, target.role, now))
		return false;

	LockScope lock(PoolLock());

	NoteCommandBegins();
	return StartTasks(my_slot);
}

long
TaskWaitMs()
{
	const TimestampTz until = IsResting() ? work.rest_until : work.look_not_before;

	if (until == 0)
		return -1;
	return static_cast<long>(std::max<int64>(0, (until - GetCurrentTimestamp()) / 1000 + 1));
}

/* --- the end of a task ----------------------------------------------------------------------------------- */

void
EndItem(BatchEntry *entry, FinishHow how, int64 waited_us, int64 ran_us)
{
	FinishItem(entry->item.index, entry->item.serial, how, waited_us, ran_us);
	entry->errand = Errand::kNone;
}

void
EndRunItem(BatchEntry *entry, FinishHow how)
{
	const FormTask &form = FormOfEntry(*entry);
	const TimestampTz started_at = SlotAt(my_slot).task_started_at;
	const int64 waited_us = started_at - std::max(form.due, form.enqueued_at);

	EndItem(entry, how, std::max<int64>(0, waited_us),
			std::max<int64>(0, GetCurrentTimestamp() - started_at));
}

bool
CancelRequested()
{
	LockScope lock(PoolLock(), LW_SHARED);
	const WorkerSlot &slot = SlotAt(my_slot);

	return slot.task_id != 0 && slot.cancel_id == WorkId(slot) &&
		   slot.stop_reason == StopReason::kRequested;
}

/* The slot has moved on; what follows from that. */
static void
FollowSlot(AfterCommand after, bool wake_launcher)
{
	work.phase = TaskPhase::kBetween;
	if (after == AfterCommand::kNext && SlotAt(my_slot).kind == SlotKind::kTask)
		return;
	DropBatch();
	ReportIdle();
	if (wake_launcher)
		WakeLauncher();
	/* a command comes first: what its end let through of this pair is for a sibling, or for another worker */
	else if (after == AfterCommand::kNext &&
			 HasWork(MyDatabaseId, SlotAt(my_slot).target.role, GetCurrentTimestamp()))
		WakePair(MyDatabaseId, SlotAt(my_slot).target.role);
	if (after == AfterCommand::kExit)
		RetireWorker();
}

/* Under the lock: TaskDone, and whether the launcher is to know of what came of it. */
static AfterCommand
TaskDoneLocked(bool may_continue, bool *wake_launcher)
{
	const bool was_full = pool->task_slots >= TaskSlotLimit();

	NoteCommandBegins();

	const AfterCommand after = TaskDone(my_slot, may_continue);

	*wake_launcher = LauncherIsToKnow(after) || (was_full && pool->task_slots < TaskSlotLimit());
	return after;
}

void
EndTask()
{
	work.phase = TaskPhase::kEnding;

	const WorkerSlot &slot = SlotAt(my_slot);
	const int64 id = slot.task_id;
	const bool may_continue = !work.retire && !exception_escaped && !ProcDiePending &&
							  !ShouldRetire(slot.commands_done + 1, slot.started_at);
	AfterCommand after = AfterCommand::kNext;
	bool wake_launcher = false;
	bool was_signalled = false;

	{
		LockScope lock(PoolLock());

		was_signalled = slot.cancel_sent && slot.cancel_id == WorkId(slot);
		if (!was_signalled)
			after = TaskDoneLocked(may_continue, &wake_launcher);
		else
			SlotAt(my_slot).task_id = 0; /* nobody signals it any more */
	}
	if (was_signalled)
	{
		AbsorbLateCancel();
		if (work.retried)
		{
			work.phase = TaskPhase::kSettling;
			CancelRetried(id);
			work.phase = TaskPhase::kEnding;
		}
		LockScope lock(PoolLock());

		after = TaskDoneLocked(may_continue, &wake_launcher);
	}
	FollowSlot(after, wake_launcher);
	(void) ReportStatistics(false);
}

void
ResetAndEnd()
{
	work.phase = TaskPhase::kResetting;
	HOLD_CANCEL_INTERRUPTS();
	ResetSession();
	RESUME_CANCEL_INTERRUPTS();
	EndTask();
}

void
LeaveTasks()
{
	AfterCommand after = AfterCommand::kIdle;
	bool wake_launcher = false;

	{
		LockScope lock(PoolLock());
		const bool was_full = pool->task_slots >= TaskSlotLimit();

		NoteCommandBegins();
		after = TasksOver(my_slot);
		wake_launcher = was_full || LauncherIsToKnow(after);
	}
	FollowSlot(after, wake_launcher);
}

} // namespace worker_pool
