/*
 * worker_command.cpp
 *	  One command in a worker: run, reset, publish, and take the next.
 *
 *	   slot running
 *		  |  read the request, authority (in the command's first transaction)
 *		  |  ExecuteCommand: everything committed on return
 *		  |  ResetSession
 *		  |  PublishSuccess                           an ERROR on the way lands in RecoverFromError: roll back,
 *		  v                                           log, reset, PublishError
 *	   under the lock: record finished, and in the same hold the slot idle, or running the next command
 *		  |
 *		  v  latches are set after the lock is released
 *
 * The reset comes before the outcome is published, and outcome and "idle" are one step, so a caller that
 * starts its next command at once finds this worker idle.
 *
 * Cancel. stop_worker marks the slot and sends SIGINT under the lock while the command runs. When the command
 * has ended and the mark stands, the signal was sent but may not have arrived: AbsorbLateCancel waits for it
 * (bounded) before anything else is taken, so it cannot hit the next command.
 *
 * If the process dies (FATAL, terminate) between commit and publication, the record becomes lost: "outcome
 * unknown" is then the truth the caller gets. If ResetSession fails the outcome is still published and the
 * process retires.
 */
#include "process/worker_command.hpp"

#include "config/settings.hpp"
#include "feature/authority.hpp"
#include "feature/request.hpp"
#include "pg/guard.hpp"
#include "process/bookkeeping.hpp"
#include "process/command_timer.hpp"
#include "process/executor.hpp"
#include "process/result_writer.hpp"
#include "process/service_runner.hpp"
#include "process/task_runner.hpp"
#include "shmem/memory.hpp"

extern "C"
{
#include "jit/jit.h"
}

namespace worker_pool
{

/* Where an ERROR finds this process. */
enum class Phase : uint8
{
	kIdle,
	kRunning,  /* the command's own statements */
	kResetting /* the command's outcome is known; the session is being reset */
};

static Phase phase = Phase::kIdle;
static bool authority_gone = false;
static bool must_retire = false;
static int cancels_at_start = 0;

/* What is to be published when the reset is over. */
struct PendingOutcome
{
	bool success;
	char tag[COMPLETION_TAG_BUFSIZE];
	ErrorData *error; /* in MessageContext */
};

static PendingOutcome pending = {};

void
NoteCommandBegins()
{
	/* what came before was not meant for the command that begins now */
	QueryCancelPending = false;
	cancels_at_start = cancel_signals;
}

/*
 * The sender called kill() before it released the lock that we have held since, so the signal is pending, and a
 * pending signal is delivered at the latest on return from a system call. Where a kernel should be slower, wait
 * half a second.
 */
void
AbsorbLateCancel()
{
	(void) kill(MyProcPid, 0);
	for (int i = 0; i < 50 && cancel_signals == cancels_at_start; i++)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 10,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
	QueryCancelPending = false;
	/* the latch may have been set for another reason: whoever waits next looks at the state first */
	SetLatch(MyLatch);
}

bool
LauncherIsToKnow(AfterCommand after)
{
	const WorkerSlot &slot = SlotAt(my_slot);

	if (after == AfterCommand::kNext)
		return false;
	if (pool->queued_total > 0 || pool->tasks_contended)
		return true;
	return slot.kind != SlotKind::kService &&
		   pool->launcher_wake_at >
			   slot.state_changed_at + static_cast<int64>(settings::idle_timeout_ms) * 1000;
}

/* Publishes `pending`, finishes the record and moves the slot on; see the picture above. */
static void
FinishRecord()
{
	const int command = SlotAt(my_slot).command;
	CommandRecord &record = CommandAt(command);
	CommandState state = CommandState::kSucceeded;

	/* before anything is published; worker_pool.enabled decides below whether there is a next command */
	ReloadConfiguration();
	WP_FAULT("worker.before_publish");
	if (pending.success && !PublishSuccess(pending.tag))
		state = CommandState::kFailed;
	else if (!pending.success)
	{
		PublishError(pending.error);
		state = CommandState::kFailed;
	}

	const bool retire = must_retire || exception_escaped || ProcDiePending || IsResting() ||
						ShouldRetire(SlotAt(my_slot).commands_done + 1, SlotAt(my_slot).started_at);
	const bool cancel_error =
		!pending.success && pending.error->sqlerrcode == ERRCODE_QUERY_CANCELED;
	const int submitter = record.submitter_proc;
	Leftovers leftovers = {};
	bool was_signalled = false;
	bool wake_launcher = false;
	AfterCommand after = AfterCommand::kIdle;

	auto move_on = [&]()
	{
		NoteCommandBegins();
		after = SlotFinished(my_slot, !retire && !ProcDiePending);
		wake_launcher = LauncherIsToKnow(after);
	};

	HOLD_INTERRUPTS();
	{
		LockScope lock(PoolLock());
		WorkerSlot &slot = SlotAt(my_slot);

		was_signalled = slot.cancel_id == record.id && slot.cancel_sent;
		if (slot.cancel_id == record.id && cancel_error &&
			slot.stop_reason == StopReason::kRequested)
			state = CommandState::kCancelled;
		FinishCommand(command, state, &leftovers);
		if (!was_signalled)
			move_on();
		else
			slot.command = kNone;
	}
	WakeWaiters(command, submitter);
	FreeLeftovers(leftovers);
	if (was_signalled)
	{
		AbsorbLateCancel();
		LockScope lock(PoolLock());

		move_on();
	}
	phase = Phase::kIdle;
	pending = {};
	/* what the command took is not kept while idle */
	MemoryContextReset(MessageContext);
	RESUME_INTERRUPTS();
	if (wake_launcher)
		WakeLauncher();
	WP_FAULT("worker.after_publish");
	if (after == AfterCommand::kExit)
		RetireWorker();
	/* an idle worker does this before it sleeps; one that is never idle must, too */
	if (after == AfterCommand::kNext)
		(void) ReportStatistics(false);
}

/* The command was stopped before it started. */
static void
FinishUnbegun()
{
	ErrorData *error = static_cast<ErrorData *>(palloc0(sizeof(ErrorData)));

	error->elevel = ERROR;
	error->sqlerrcode = ERRCODE_QUERY_CANCELED;
	error->message = pstrdup("command was cancelled before it started");
	pending.success = false;
	pending.error = error;
	FinishRecord();
}

void
ReportWork(std::string_view prefix, uint64 id, const char *work_name)
{
	static constexpr Size kLongestPrefix = 32;
	char name[kLongestPrefix + 32 + NAMEDATALEN];
	char *end = name + prefix.size();

	Assert(prefix.size() <= kLongestPrefix);
	/* by hand: snprintf would be seen on the warm path */
	memcpy(name, prefix.data(), prefix.size());
	end += pg_ulltoa_n(id, end);
	if (work_name == nullptr || work_name[0] == '\0')
		*end = '\0';
	else
	{
		/* as the server cleans application_name: it goes to other people's terminals */
		snprintf(end, sizeof(name) - static_cast<Size>(end - name), " (%s)", work_name);
		for (char *c = end; *c != '\0'; c++)
			if (*c < 32 || *c > 126)
				*c = '?';
	}
	pgstat_report_appname(name);
}

void
ReportIdle()
{
	debug_query_string = nullptr;
	MemoryContextSwitchTo(MessageContext);
	ShowActivity("idle");
	pgstat_report_appname("worker_pool");
	pgstat_report_activity(STATE_IDLE, nullptr);
}

/* The request in MessageContext. Another encoding needs conversion procedures, thus a transaction. */
static Request
ReadOwnRequest(const CommandRecord &record)
{
	const char *chunk = SharedAddress(record.request);

	if (record.submit_encoding == GetDatabaseEncoding())
		return ReadRequest(chunk, record.submit_encoding);

	StartTransactionCommand();
	MemoryContextSwitchTo(MessageContext);
	const Request request = ReadRequest(chunk, record.submit_encoding);

	CommitTransactionCommand();
	MemoryContextSwitchTo(MessageContext);
	return request;
}

void
RunAssignedCommand()
{
	const CommandRecord &record = CommandAt(SlotAt(my_slot).command);
	bool stopped_early = false;

	/* from here on an ERROR is this command's */
	BeginOutcome(SlotAt(my_slot).command);
	ArmCommandTimer(0); /* forgets the one before */
	phase = Phase::kRunning;
	pending = {};
	must_retire = false;
	authority_gone = false;
	MemoryContextSwitchTo(MessageContext);
	MemoryContextReset(MessageContext);
	{
		LockScope lock(PoolLock());

		/* stop_worker may have marked it while it was assigned */
		stopped_early = SlotAt(my_slot).cancel_id == record.id;
		SlotAt(my_slot).begun = true;
	}
	if (stopped_early || record.abandoned)
	{
		FinishUnbegun();
		return;
	}

	const Request request = ReadOwnRequest(record);

	WP_FAULT("worker.before_run");
	ReportWork("worker_pool command ", record.id, record.name);
	ExecuteCommand(
		request, {record.timeout_ms, ResultReceiver(), CheckAuthorityBeforeCommand, false, nullptr},
		pending.tag);
	pending.success = true;

	phase = Phase::kResetting;
	ResetSession();
	ReportIdle();
	FinishRecord();
}

void
CheckAuthorityBeforeCommand()
{
	if (AuthorityStillHolds())
	{
		CheckOwnerMayStill(CommandAt(SlotAt(my_slot).command));
		return;
	}
	authority_gone = true;
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					errmsg("the role may no longer run commands in this database")));
}

/*
 * The command may not run here any more: back to the head of its queue, for a process that may. Returns
 * where somebody stopped or abandoned it meanwhile: then it ends with the error in hand.
 */
static void
GiveCommandBack()
{
	{
		LockScope lock(PoolLock());
		WorkerSlot &slot = SlotAt(my_slot);
		const int command = slot.command;

		if (slot.cancel_id == CommandAt(command).id || CommandAt(command).abandoned)
			return;
		StopSlot(my_slot);
		GiveBackCommand(my_slot);
	}
	FlushErrorState();
	AbortOutOfAnyTransaction();
	RetireWorker();
}

void
RollBack()
{
	AbortOutOfAnyTransaction();
	/* a process without a database has no portals, not even the table of them */
	if (OidIsValid(MyDatabaseId))
		PortalErrorCleanup();
	if (MyReplicationSlot != nullptr)
		ReplicationSlotRelease();
	compat::DropTemporaryReplicationSlots();
	LWLockReleaseAll();
	ConditionVariableCancelSleep();
	pgstat_report_wait_end();
	jit_reset_after_error();
	FlushErrorState();
}

bool
ExplainCancel(const ErrorData *error, char *message, Size size)
{
	if (error->sqlerrcode != ERRCODE_QUERY_CANCELED ||
		(phase != Phase::kRunning && !TaskIsRunning() && !ServiceIsRunning()))
		return false;
	if (CommandTimedOut(message, size))
		return true;

	const WorkerSlot &slot = SlotAt(my_slot);
	const uint64 id = WorkId(slot);

	if (ServiceIsRunning())
	{
		if (!slot.cancel_sent || slot.stop_reason != StopReason::kRequested)
			return false;
		strlcpy(message, kServiceStoppedMessage, size);
		return true;
	}

	if (id == 0 || slot.cancel_id != id || slot.stop_reason != StopReason::kRequested)
		return false;
	strlcpy(message, TaskIsRunning() ? kCancelledMessage : kStoppedMessage, size);
	return true;
}

bool
TimedOutAndRunning(char *message, Size size)
{
	return (phase == Phase::kRunning || TaskIsRunning() || ServiceIsRunning()) &&
		   CommandTimedOut(message, size);
}

ErrorData *
TakeError()
{
	MemoryContextSwitchTo(MessageContext);
	ErrorData *error = CopyErrorData();
	char message[160];

	EmitErrorReport(); /* log_hook.cpp puts a cancel's true words into the log */
	if (ExplainCancel(error, message, sizeof(message)))
		error->message = pstrdup(message);
	AddSearchPathHint(error);
	return error;
}

void
RecoverFromError()
{
	error_context_stack = nullptr;
	HOLD_INTERRUPTS();
	AbandonBookkeeping();
	DisarmCommandTimers();
	disable_all_timeouts(false);
	QueryCancelPending = false;

	if (InServiceWork())
	{
		RecoverService();
		return;
	}
	if (InTaskWork())
	{
		RecoverTask();
		return;
	}
	if (phase == Phase::kRunning && authority_gone)
		GiveCommandBack();

	if (phase == Phase::kRunning)
	{
		DropCollectedRows();
		pending.success = false;
		pending.error = TakeError();
	}
	else
	{
		/* the reset failed, or something in the idle loop: not the command's error, but our end */
		EmitErrorReport();
		must_retire = true;
	}
	RollBack();
	RESUME_INTERRUPTS();

	if (phase == Phase::kIdle)
		RetireWorker();
	if (phase == Phase::kRunning)
	{
		phase = Phase::kResetting;
		ResetSession(); /* an ERROR in here lands in the sigsetjmp of Serve again */
	}
	ReportIdle();
	FinishRecord();
}

} // namespace worker_pool
