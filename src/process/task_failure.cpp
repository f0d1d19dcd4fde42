/*
 * task_failure.cpp
 *	  What happens when a task fails, or cannot be run, or when the work about tasks itself fails. Worker process.
 *
 * An ERROR lands in the recovery block of the worker's loop. RecoverTask keeps it and rolls back; all that may
 * fail again is done by the next TaskStep, in the ordinary loop. By the phase (task_work.hpp):
 *
 *	- the task's own statements, its mark or its commit: the attempt has failed. MarkFailed writes it down with
 *	  all fields and says whether another comes; the item is put off, or goes. Should the "failure" have come
 *	  after the commit (nothing known does), MarkFailed finds the row gone and writes nothing;
 *	- a transaction of ours about one entry, or the claims: not the task's fault. It is logged, that item is put
 *	  off for ten seconds, and the process leaves; one that is not five seconds old rests until it is, serving
 *	  commands only. So a bad row stops only itself, a full disk makes one log line in five seconds and worker, and
 *	  a process that is broken goes;
 *	- the reset: the process leaves, the task is over.
 *
 * A claim that a process leaves behind in that way is void by its generation once it is gone.
 */
#include "process/task_work.hpp"

#include "process/bookkeeping.hpp"
#include "process/executor.hpp"

namespace worker_pool
{

static constexpr int64 kYoungUs = 5 * USECS_PER_SEC;

/* The last word on a task that was cancelled by request; also how its process's last words are recognized. */
static constexpr char kNeverBegan[] = "task was cancelled before it began";

/* --- outcomes ------------------------------------------------------------------------------------------- */

static AttemptOutcome
MakeOutcome(const char *state, int sqlstate, const char *message)
{
	AttemptOutcome outcome = {};

	outcome.state = state;
	outcome.message = message;
	strlcpy(outcome.sqlstate, unpack_sql_state(sqlstate), sizeof(outcome.sqlstate));
	return outcome;
}

/* The ERROR in work.error. */
static AttemptOutcome
OutcomeOfError(bool cancelled)
{
	const ErrorData &error = *work.error;
	AttemptOutcome outcome =
		MakeOutcome(cancelled ? "cancelled" : "failed", error.sqlerrcode, error.message);

	outcome.started_at = SlotAt(my_slot).task_started_at;
	outcome.detail = error.detail;
	outcome.hint = error.hint;
	outcome.context = error.context;
	return outcome;
}

/* Was the process of the lost attempt terminated because cancel_task's grace was over? */
static bool
WasCancelled(const BriefError &error)
{
	return error.sqlstate == ERRCODE_QUERY_CANCELED &&
		   strcmp(error.message, kCancelledMessage) == 0;
}

/* An attempt that ended with its process or its server. Texts in MessageContext. */
static AttemptOutcome
OutcomeOfLost(const BatchEntry &entry)
{
	const BriefError &error = entry.item.lost_error;
	const bool atomic = FormOfEntry(entry).atomic;
	/* its own time-out, or cancel_task: that is what ended it */
	const bool explained = !entry.foreign && error.sqlstate == ERRCODE_QUERY_CANCELED;
	const char *message = entry.foreign ? "the server went down while the task ran"
										: "the process of the task went away";
	AttemptOutcome outcome =
		MakeOutcome("failed", explained ? ERRCODE_QUERY_CANCELED : ERRCODE_CONNECTION_FAILURE,
					explained ? error.message : message);
	const char *detail = nullptr;

	if (explained)
		detail = error.detail[0] != '\0' ? error.detail : nullptr;
	else if (!entry.foreign && error.sqlstate != 0)
		detail = psprintf("It reported: %s.", error.message);
	if (!atomic)
		detail = psprintf("%s%sWhether it took effect is unknown.", detail != nullptr ? detail : "",
						  detail != nullptr ? " " : "");
	outcome.started_at = entry.lost_since;
	outcome.detail = detail;
	return outcome;
}

/* --- recording ------------------------------------------------------------------------------------------ */

/* What becomes of the item by that verdict. `ran`: the slot runs it, so its times count. */
static void
FollowVerdict(BatchEntry *entry, Verdict verdict, const ItemSpec &next, FinishHow how, bool ran)
{
	switch (verdict)
	{
		case Verdict::kRetry:
			DeferItem(entry->item.index, entry->item.serial, next, GetCurrentTimestamp());
			entry->errand = Errand::kNone;
			work.retried = true;
			break;
		case Verdict::kFinal:
			if (ran)
				EndRunItem(entry, how);
			else
				EndItem(entry, how, -1, -1);
			break;
		case Verdict::kNotOurs:
			EndItem(entry, FinishHow::kDropped, -1, -1);
			break;
	}
}

/*
 * Writes an attempt down that did not succeed, in a transaction of its own. `how`: it ends, if it ends; only what
 * failed may be tried again.
 */
static void
Record(BatchEntry *entry, const AttemptOutcome &outcome, FinishHow how, bool ran)
{
	const bool retryable = how == FinishHow::kFailed && entry->errand != Errand::kRole;
	ItemSpec next = entry->item.spec;

	work.phase = TaskPhase::kSettling;
	BeginBookkeeping(Durability::kAsRole);

	const Verdict verdict = MarkFailed(entry->claimed, outcome, retryable, &next);

	EndBookkeeping();
	WP_FAULT("task.failure_committed");
	FollowVerdict(entry, verdict, next, how, ran);
	work.phase = TaskPhase::kBetween;
}

void
RecordFailure()
{
	/* who asked for its end does not want another attempt, whatever the error says */
	const bool cancelled = CancelRequested();

	Record(work.entry, OutcomeOfError(cancelled),
		   cancelled ? FinishHow::kCancelled : FinishHow::kFailed, true);
	ResetAndEnd();
}

/* Taken -> begun, unless it was stolen: then there is nothing to do. */
static bool
TakeOver(BatchEntry *entry, bool *cancelled)
{
	*cancelled = false;
	if (!entry->begun)
		entry->begun = BeginItem(entry->item.index, entry->item.serial, cancelled);
	if (!entry->begun)
		entry->errand = Errand::kNone;
	return entry->begun;
}

void
RecordLost(BatchEntry *entry)
{
	bool cancelled = false;

	if (!TakeOver(entry, &cancelled))
		return;

	AttemptOutcome outcome = OutcomeOfLost(*entry);

	cancelled = cancelled || WasCancelled(entry->item.lost_error);
	if (cancelled)
		outcome.state = "cancelled";
	Record(entry, outcome, cancelled ? FinishHow::kCancelled : FinishHow::kFailed, false);
}

/* Can the row be had without waiting for anybody? Locks it. */
static TM_Result
LockUnclaimed(Relation task, int64 id)
{
	const Snapshot snapshot = HoldSnapshot();
	HeapTuple tuple = FetchPlain(task, Index::kTaskId, id, snapshot);
	const TM_Result result =
		tuple == nullptr ? TM_Deleted : LockRow(task, tuple->t_self, LockTupleExclusive, false);

	LetGoSnapshot(snapshot);
	return result;
}

/*
 * Ends a task that nobody has claimed, in a transaction of its own. Does not wait for a row lock, which a
 * session may hold for long. FinishTask counts the event.
 */
static void
EndUnclaimed(BatchEntry *entry, const AttemptOutcome &outcome)
{
	int claimed_by = kNone;
	TM_Result locked = TM_Deleted;

	work.phase = TaskPhase::kSettling;
	BeginBookkeeping(Durability::kAsRole);

	Relation task = TryOpenTable(Table::kTask, RowExclusiveLock);

	if (task != nullptr)
	{
		locked = LockUnclaimed(task, entry->item.spec.id);
		if (locked == TM_Ok)
			(void) FinishTask(entry->item.spec.id, outcome, &claimed_by);
		table_close(task, NoLock);
	}
	EndBookkeeping();
	work.phase = TaskPhase::kBetween;
	entry->errand = locked == TM_BeingModified || locked == TM_Updated ? Errand::kLocked
					: claimed_by != kNone							   ? Errand::kHeld
																	   : Errand::kDrop;
	SettleEntry(entry);
}

/* Ends a task that cannot be run; the row may carry a claim that is known to be void. */
static void
EndWithout(BatchEntry *entry, const AttemptOutcome &outcome, FinishHow how)
{
	if (FormOfEntry(*entry).claim_epoch != 0)
		Record(entry, outcome, how, false);
	else
		EndUnclaimed(entry, outcome);
}

/* A role that is there, but under another name, is somebody else's. */
static AttemptOutcome
OutcomeOfRole(const BatchEntry &entry)
{
	const Oid role = FormOfEntry(entry).run_as;
	const char *name = GetUserNameFromId(role, true);
	AttemptOutcome outcome = MakeOutcome(
		"failed", ERRCODE_UNDEFINED_OBJECT,
		psprintf("role \"%s\", as which the task runs, does not exist", entry.role_name));

	if (name != nullptr)
		outcome.detail = psprintf("The role with its OID %u is now named \"%s\".", role, name);
	outcome.hint = "Enqueue the task anew as a role that exists.";
	return outcome;
}

void
EndUnrun(BatchEntry *entry)
{
	bool cancelled = false;

	if (!TakeOver(entry, &cancelled))
		return;
	if (cancelled)
		CancelUnrun(entry);
	else if (entry->errand == Errand::kRole)
	{
		/* the name of a role is looked up in a transaction */
		work.phase = TaskPhase::kSettling;
		BeginBookkeeping(Durability::kLazy);

		const AttemptOutcome outcome = OutcomeOfRole(*entry);

		EndBookkeeping();
		EndWithout(entry, outcome, FinishHow::kFailed);
	}
	else
		EndWithout(
			entry,
			MakeOutcome("expired", ERRCODE_QUERY_CANCELED, "task expired before it could run"),
			FinishHow::kExpired);
}

void
CancelUnrun(BatchEntry *entry)
{
	const AttemptOutcome outcome = MakeOutcome("cancelled", ERRCODE_QUERY_CANCELED, kNeverBegan);

	EndWithout(entry, outcome, FinishHow::kCancelled);
}

void
CancelRetried(int64 id)
{
	int slot = kNone;
	int claimed_by = kNone;

	/* another worker may have it already */
	const CancelResult result = CancelItem(MyDatabaseId, id, &slot);

	if (result == CancelResult::kMarked)
		return;
	if (result == CancelResult::kRunning)
	{
		LockScope lock(PoolLock());

		(void) SignalTask(slot, id, StopReason::kRequested, DT_NOEND);
		return;
	}
	BeginBookkeeping(Durability::kAsRole);
	(void) FinishTask(
		id, MakeOutcome("cancelled", ERRCODE_QUERY_CANCELED, "task was cancelled before its retry"),
		&claimed_by);
	EndBookkeeping();
}

/* --- giving back ---------------------------------------------------------------------------------------- */

void
GiveBackAndLeave()
{
	BatchEntry *entry = work.entry;

	work.phase = TaskPhase::kSettling;
	/* a claim that has counted the attempt must not stand for one that was never made */
	if (FormOfEntry(*entry).counted)
	{
		BeginBookkeeping(Durability::kAsRole);

		Relation task = TryOpenTable(Table::kTask, RowExclusiveLock);

		if (task != nullptr)
		{
			ReleaseClaim(task, entry->claimed);
			table_close(task, NoLock);
		}
		EndBookkeeping();
	}
	GiveBackItem(entry->item.index, entry->item.serial, MyVoidClaim());
	DropBatch();
	LeaveForGood();
}

void
GiveTasksBack(uint64 generation, const BriefError *reason)
{
	BriefError cancelled = {};
	bool blameless = false;

	{
		LockScope lock(PoolLock(), LW_SHARED);
		const WorkerSlot &slot = SlotAt(my_slot);

		if (slot.generation != generation || slot.pid != MyProcPid)
			return;
		blameless = slot.stop_reason == StopReason::kDatabaseDdl ||
					slot.stop_reason == StopReason::kShutdown;
		if (slot.task_id != 0 && slot.stop_reason == StopReason::kRequested &&
			(slot.cancel_id == WorkId(slot) || slot.terminate_id == WorkId(slot)))
			SetBriefError(&cancelled, ERRCODE_QUERY_CANCELED, kCancelledMessage,
						  "Its process was terminated: it did not end within the grace period.",
						  nullptr);
	}
	(void) GiveBackAll(my_slot, generation, cancelled.sqlstate != 0 ? &cancelled : reason,
					   blameless);
}

/* --- recovery ------------------------------------------------------------------------------------------- */

/* Work of ours has failed: the process leaves, but no process after the other without a pause. */
static void
RestAndLeave()
{
	const TimestampTz until = SlotAt(my_slot).started_at + kYoungUs;

	if (GetCurrentTimestamp() >= until)
		work.retire = true;
	else
		work.rest_until = until;
}

static void
PutOffCurrent()
{
	if (work.entry != nullptr && work.entry->errand != Errand::kNone)
		PutOff(work.entry);
	/* a bad schedule stops only itself */
	if (work.entry == nullptr || work.entry->item.spec.kind != ItemKind::kSchedule)
		RestAndLeave();
	/* a command may come before the process leaves: it must find the session as it was */
	work.phase = SlotAt(my_slot).task_id != 0 ? TaskPhase::kDirty : TaskPhase::kBetween;
}

void
RecoverTask()
{
	const TaskPhase phase = work.phase;

	if (phase == TaskPhase::kRunning && !work.authority_gone)
		work.error = TakeError();
	else if (phase != TaskPhase::kRunning)
		EmitErrorReport();
	debug_query_string = nullptr;
	RollBack();
	RESUME_INTERRUPTS();

	switch (phase)
	{
		case TaskPhase::kRunning:
			work.phase = work.authority_gone ? TaskPhase::kUnwanted : TaskPhase::kFailed;
			break;
		case TaskPhase::kCommitted:
			work.retire = true;
			break;
		case TaskPhase::kTaking:
			AbandonTake();
			RestAndLeave();
			work.phase = TaskPhase::kBetween;
			break;
		case TaskPhase::kSettling:
			PutOffCurrent();
			break;
		case TaskPhase::kResetting:
			work.retire = true;
			work.phase = TaskPhase::kEnding;
			break;
		default:
			RetireWorker();
	}
}

} // namespace worker_pool
