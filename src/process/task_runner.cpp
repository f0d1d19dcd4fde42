/*
 * task_runner.cpp
 *	  Runs durable tasks in a worker: each takes effect once. Worker process.
 *
 * The story of an atomic task, and what holds if the process is killed right after a line. A is what a death of
 * the process does (its exit callback runs: the item goes back, with the claim named void), B what a crash of
 * the server does (memory is rebuilt from the tables, the claim is of a foreign epoch, careful mode).
 *
 *	1. TakeItems			the item is ours in memory		A ready again. B loaded again.
 *	2. claim, committed		reserves the row; not flushed	A claimed over. B the claim is gone or foreign:
 *	   with the batch										claimed over. No attempt is counted.
 *	3. BeginTask, then		cancels are for us from here	A, B lost while begun: the next worker writes an
 *	   BeginItem											attempt down (08006) and tries again; B: careful
 *															mode does so if it was claimed alone (below).
 *	4. settings; the block	statements run in one			As 3. All of it is rolled back by the server.
 *	   with the statements	transaction
 *	5. mark: row deleted,	inside that transaction,		As 3: mark and effect are rolled back together.
 *	   history written		fenced on the claim
 *	6. commit				effect and mark, one record		A the item comes back as lost, its row is gone:
 *															dropped. B (flushed or not) both or neither.
 *	7. FinishItem			the item goes, its limits with	A nothing is left to give back.
 *							it; waiters were woken by the
 *							commit (task_wake.hpp)
 *	8. reset, TaskDone		the slot is free for the next	As 7.
 *
 * Fence. The mark deletes the very version of the row that carries our claim. If the item was stolen, cancelled
 * or claimed over meanwhile, it raises, and the effect is rolled back with it. So a process that was thought
 * dead, or is as slow as that, cannot give a task a second effect.
 *
 * A failed attempt: the ERROR lands in the worker's recovery block, which keeps it and rolls back (RecoverTask);
 * the loop goes on with RecordFailure (task_failure.cpp): MarkFailed in a transaction of its own, then the item
 * is put off or goes. A death between the two: A the item comes back as lost; if the row does not carry the void
 * claim any more, the attempt is recorded already and is not counted twice (task_batch.cpp, WasLost).
 *
 * Alone: a task that was unfinished when the server crashed, or that is not atomic, is claimed by itself after
 * BeginItem, and that commit counts the attempt and is flushed before anything runs. So a task that kills the
 * server each time uses its attempts up. A death after the claim: the next to claim finds a counted claim of
 * somebody gone and writes the attempt down. What is not atomic is marked in a transaction after its own; dying
 * in between makes "failed, 08006, whether it took effect is unknown".
 *
 * Cancel, as for commands: cancel_task's SIGINT is sent under the pool lock while slot.task_id names the task,
 * and a mark that stands when the task ends is absorbed before anything else begins. An attempt that fails
 * while the mark stands is the last.
 *
 * Commands come first: TaskDone takes a queued command of the pair before the next task; what is left of the
 * batch then goes back.
 */
#include "process/task_runner.hpp"

#include "config/settings.hpp"
#include "feature/authority.hpp"
#include "feature/schedules.hpp"
#include "process/bookkeeping.hpp"
#include "process/command_timer.hpp"
#include "process/executor.hpp"
#include "process/task_outcome.hpp"
#include "process/task_work.hpp"
#include "shmem/databases.hpp"

namespace worker_pool
{

/* when items could not be had: somebody else loads them, say */
static constexpr int64 kNotNowUs = INT64CONST(100) * 1000;

/* --- one task -------------------------------------------------------------------------------------------- */

/* Inside the first transaction of the task: may this process run it, and may its owner still have it run? */
static void
CheckTaskAuthority()
{
	const FormTask &form = FormOfEntry(*work.entry);

	if (!AuthorityStillHolds())
	{
		work.authority_gone = true;
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("the role may no longer run tasks in this database")));
	}
	if (form.owner != form.run_as && !compat::MaySetRole(form.owner, form.run_as))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied to run a task as role \"%s\"",
							   GetUserNameFromId(form.run_as, true)),
						errdetail("The role that enqueued the task has lost the right since.")));
}

/* Inside a transaction: the task has succeeded. */
static void
Mark()
{
	const TaskResult result = TakeTaskResult();
	AttemptOutcome outcome = {};

	outcome.state = "succeeded";
	outcome.started_at = SlotAt(my_slot).task_started_at;
	outcome.tag = work.tag;
	outcome.message = result.message;
	outcome.has_result = result.has_result;
	outcome.result = result.result;
	MarkSucceeded(work.entry->claimed, outcome);
}

/* The last act of an atomic task before its commit. */
static void
MarkInside()
{
	EnterMark();
	Mark();
	LeaveMark();
}

/* For a task that is not atomic, after its own last commit. */
static void
MarkAfterwards()
{
	BeginBookkeeping(Durability::kAsRole);
	Mark();
	EndBookkeeping();
}

static void
FinishSucceeded()
{
	EndRunItem(work.entry, FinishHow::kSucceeded);
	ResetAndEnd();
}

/* The slot runs the task from now on. False: it was stolen or cancelled meanwhile, and that is dealt with. */
static bool
BeginWork(BatchEntry *entry)
{
	const FormTask &form = FormOfEntry(*entry);
	bool cancelled = false;

	{
		LockScope lock(PoolLock());

		NoteCommandBegins();
		BeginTask(my_slot, form.id, form.owner, entry->name);
	}
	/* in this order: whoever finds the item begun finds the slot running it */
	entry->begun = BeginItem(entry->item.index, entry->item.serial, &cancelled);
	if (entry->begun && !cancelled)
		return true;
	{
		LockScope lock(PoolLock());

		SlotAt(my_slot).task_id = 0;
		SlotAt(my_slot).begun = false;
	}
	if (entry->begun)
		CancelUnrun(entry);
	entry->errand = Errand::kNone;
	return false;
}

/* The row is claimed and the slot runs the task. */
static void
RunClaimed(BatchEntry *entry)
{
	const FormTask &form = FormOfEntry(*entry);

	work.phase = TaskPhase::kRunning;
	ArmCommandTimer(0); /* forgets the one before */
	MemoryContextSwitchTo(MessageContext);
	WP_FAULT("task.before_run");
	ReportWork("worker_pool task ", static_cast<uint64>(form.id), entry->name);
	ExecuteCommand(entry->request,
				   {form.timeout_ms, TaskReceiver(form.history == settings::kHistoryAll),
					CheckTaskAuthority, true, form.atomic ? MarkInside : nullptr},
				   work.tag);
	work.phase = form.atomic ? TaskPhase::kCommitted : TaskPhase::kSettling;
	WP_FAULT("task.after_commit");
	if (!form.atomic)
		MarkAfterwards();
	work.phase = TaskPhase::kCommitted;
	FinishSucceeded();
}

/* What is left to do about an entry that cannot be run. */
static void
DoWithoutRunning(BatchEntry *entry)
{
	switch (entry->errand)
	{
		case Errand::kLost:
			RecordLost(entry);
			break;
		case Errand::kExpired:
		case Errand::kRole:
			EndUnrun(entry);
			break;
		default:
			SettleEntry(entry);
			break;
	}
}

static void
RunAlone(BatchEntry *entry)
{
	/* parked: whoever holds the limit now hands it on */
	if (entry->careful && !TakeCareful(entry->item.index, entry->item.serial))
		return;
	if (!BeginWork(entry))
		return;
	work.phase = TaskPhase::kSettling;
	ClaimAlone(entry);
	if (entry->errand == Errand::kRun)
	{
		RunClaimed(entry);
		return;
	}
	DoWithoutRunning(entry);
	EndTask();
}

static void
Fire(BatchEntry *entry)
{
	bool cancelled = false;

	entry->begun = BeginItem(entry->item.index, entry->item.serial, &cancelled);
	if (!entry->begun)
		return;
	work.phase = TaskPhase::kSettling;
	BeginBookkeeping(Durability::kAsRole);
	FireSchedule(entry->item.spec.id); /* its fault points are in there */
	EndBookkeeping();
	/* its next due time has been pushed meanwhile */
	EndItem(entry, FinishHow::kDropped, -1, -1);
	work.phase = TaskPhase::kBetween;
}

static void
DoEntry(BatchEntry *entry)
{
	work.entry = entry;
	work.retried = work.authority_gone = false;
	MemoryContextSwitchTo(MessageContext);
	MemoryContextReset(MessageContext);
	switch (entry->errand)
	{
		case Errand::kRun:
			if (BeginWork(entry))
				RunClaimed(entry);
			break;
		case Errand::kAlone:
			RunAlone(entry);
			break;
		case Errand::kSchedule:
			Fire(entry);
			break;
		default:
			DoWithoutRunning(entry);
			break;
	}
}

/* --- the loop -------------------------------------------------------------------------------------------- */

/* Does something come before the next batch? */
static bool
IsWantedElsewhere()
{
	LockScope lock(PoolLock(), LW_SHARED);
	const WorkerSlot &slot = SlotAt(my_slot);

	return slot.give_way || slot.terminate_sent || PairAt(slot.pair).queued > 0 ||
		   !settings::enabled || IsBlocked(slot.target.database);
}

static void
TakeMore()
{
	if (IsResting() || RecoveryInProgress() || IsWantedElsewhere())
	{
		LeaveTasks();
		return;
	}
	work.phase = TaskPhase::kTaking;

	const Take take = TakeBatch();

	work.phase = TaskPhase::kBetween;
	switch (take)
	{
		case Take::kBatch:
			return;
		case Take::kNotNow:
			work.look_not_before = GetCurrentTimestamp() + kNotNowUs;
			break;
		case Take::kNothing:
			break;
		case Take::kForbidden:
			DropBatch();
			LeaveForGood();
	}
	LeaveTasks();
}

static void
DoNext()
{
	/* told to go between two tasks: nobody needs a FATAL in the log for that. The items go back at the exit */
	if (ProcDiePending || work.retire)
		RetireWorker();
	/* a cancel that comes now is for nobody */
	HOLD_CANCEL_INTERRUPTS();
	CHECK_FOR_INTERRUPTS();
	RESUME_CANCEL_INTERRUPTS();
	ReloadConfiguration();

	BatchEntry *entry = IsResting() ? nullptr : NextEntry();

	if (entry == nullptr)
		TakeMore();
	else
		DoEntry(entry);
}

void
TaskStep()
{
	switch (work.phase)
	{
		case TaskPhase::kFailed:
			RecordFailure();
			break;
		case TaskPhase::kUnwanted:
			GiveBackAndLeave();
		case TaskPhase::kCommitted:
			FinishSucceeded();
			break;
		case TaskPhase::kDirty:
			ResetAndEnd();
			break;
		case TaskPhase::kEnding:
			EndTask();
			break;
		default:
			DoNext();
			break;
	}
}

bool
InTaskWork()
{
	const WorkerSlot &slot = SlotAt(my_slot);

	return work.phase != TaskPhase::kBetween ||
		   (slot.state == SlotState::kRunning && slot.kind == SlotKind::kTask);
}

bool
TaskIsRunning()
{
	return work.phase == TaskPhase::kRunning;
}

} // namespace worker_pool
