/*
 * worker.cpp
 *	  A worker process from its fork to its exit: handshake, waiting for commands, leaving.
 *
 * The story. The launcher reserved a slot (starting) and registered this process with the slot's index and
 * generation. The worker
 *	 1. registers its exit callback, before anything that can fail, and before it connects: so "slot free"
 *		means "out of the database";
 *	 2. attaches: if the slot still waits for this very generation it writes pid and PGPROC; else it came
 *		too late, and leaves with exit code 0 touching nothing;
 *	 3. connects to its database as its role. A failure is FATAL: the log hook (log_hook.cpp) has written the
 *		reason into the slot, the exit callback gives the slot back marked start_failed, the launcher tells
 *		the waiting commands;
 *	 4. reports itself started: it takes the oldest queued command of its pair, or is idle;
 *	 5. runs commands (worker_command.cpp) and tasks (task_runner.cpp), waits idle, until told to stop or no
 *		longer trusted;
 *	 6. exits with 0, which the server logs at DEBUG1 only.
 *
 * In a wait nothing is held: no transaction, snapshot or lock. The latch is set by a session that assigned a
 * command, by whoever made work for the pair known to the ready queue, by the launcher or a DDL session that
 * stopped the slot, by authority changes, SIGHUP and SIGTERM; each is found by looking at the state, so a lost
 * or spurious wake is harmless.
 *
 * The process of a service (service_runner.cpp) comes the same way, and differs in this: after 2 it finds out what
 * it is to run, and does not connect where that wants no database; in 5 it runs nothing but its service, and waits
 * in a loop of its own; and in the exit callback it tells the entry of the service, in the lock hold that frees the
 * slot. A start that fails is told as such (ServiceNotStarted), all else by service_runner.cpp (LeaveService).
 *
 * If the process dies at any line: before 1 the launcher's handle says "stopped" and it reclaims the slot;
 * after 1 the callback gives it back; SIGKILL makes the postmaster rebuild shared memory.
 */
#include "process/worker.hpp"

#include <csignal>

#include "config/settings.hpp"
#include "feature/authority.hpp"
#include "pg/guard.hpp"
#include "process/executor.hpp"
#include "process/result_writer.hpp"
#include "process/service_runner.hpp"
#include "process/task_runner.hpp"
#include "shmem/databases.hpp"
#include "shmem/memory.hpp"

extern "C"
{
	PGDLLEXPORT void worker_pool_worker_main(Datum main_arg);
}

namespace worker_pool
{

int my_slot = kNone;

static uint64 my_generation = 0;
static uint64 authority_seen = 0;
static uint64 settings_seen = 0;
volatile sig_atomic_t cancel_signals = 0;

/* Counts cancels, so that a late one can be told from none (worker_command.cpp). */
static void
HandleCancel(SIGNAL_ARGS)
{
	cancel_signals = cancel_signals + 1;
	StatementCancelHandler(postgres_signal_arg);
}

#ifdef USE_POSTMASTER_DEATH_SIGNAL
/* the signal that pmsignal.c asks the kernel for; its name is private to that file */
#ifdef SIGINFO
static constexpr int kPostmasterDeathSignal = SIGINFO;
#else
static constexpr int kPostmasterDeathSignal = SIGPWR;
#endif

/* A busy command notices a dead postmaster at its next CHECK_FOR_INTERRUPTS, not when it ends. */
static void
HandlePostmasterDeath(SIGNAL_ARGS)
{
	(void) postgres_signal_arg;
	postmaster_possibly_dead = true;
	ProcDiePending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
}
#endif

/* What the exit callback may say of the command that ends with the process; nullptr: nothing. */
static const BriefError *
EndReason()
{
	static BriefError timed_out = {};
	char message[sizeof(timed_out.message)];

	/* not once its statements are over: then it may have committed, and is lost */
	if (!TimedOutAndRunning(message, sizeof(message)))
		return LastFatal();
	SetBriefError(
		&timed_out, ERRCODE_QUERY_CANCELED, message,
		"Its process was terminated, because the command did not end when it was cancelled.",
		nullptr);
	return &timed_out;
}

/*
 * Lock held: the entry of this process's service learns that it is gone. A reason in a slot that was told to go
 * is the launcher's, which gave the start up (launcher_starts.cpp).
 */
static void
TellService(WorkerSlot &slot)
{
	const TimestampTz now = GetCurrentTimestamp();
	const int service = slot.service;
	BriefError *error = &slot.start_error;

	if (slot.state == SlotState::kStarting && (!slot.terminate_sent || error->sqlstate != 0))
	{
		if (error->sqlstate == 0)
			SetUnexplainedStart(error);
		ServiceNotStarted(service, *error, now);
		return;
	}
	LeaveService(EndReason(), now);
	/* one that was told to go before it knew what it is to run */
	if (ServiceAt(service).slot == my_slot && ServiceAt(service).slot_generation == my_generation)
		ServiceGone(service, true, nullptr, now);
}

/*
 * Gives the slot back, and before it the tasks that it has: the last act of every worker, however it ends. Its
 * transaction is rolled back by now. Only fields change here.
 */
static void
GiveSlotBack(int code, Datum argument)
{
	const int index = DatumGetInt32(argument);
	int finished = kNone;
	int submitter = kNone;
	bool is_service = false;
	Leftovers leftovers = {};

	(void) code;
	/* 13 does not do this before the callbacks: the pool lock must not be ours already */
	LWLockReleaseAll();
	if (my_slot != kNone)
		GiveTasksBack(my_generation, EndReason());
	{
		LockScope lock(PoolLock());
		WorkerSlot &slot = SlotAt(index);

		if (slot.generation != my_generation || slot.pid != MyProcPid)
			return;
		/* with or without a reason in start_error; but not when it was told to leave */
		slot.start_failed = slot.state == SlotState::kStarting && !slot.terminate_sent;
		/* a visit that DDL cut short, or kept from beginning, has seen nothing */
		if (slot.kind == SlotKind::kVisit && slot.terminate_sent)
			WantVisit(slot.target.database);
		if (slot.command != kNone)
			submitter = CommandAt(slot.command).submitter_proc;
		is_service = slot.kind == SlotKind::kService;
		if (is_service)
			TellService(slot);
		finished = FreeSlot(index, EndReason(), &leftovers);
	}
	WakeWaiters(finished, submitter);
	if (is_service)
		LeftService();
	FreeLeftovers(leftovers);
	ConditionVariableBroadcast(&pool->slot_freed);
	WakeLauncher();
}

/* Writes this process into its slot; false when the slot is no longer meant for it. */
static bool
Attach(const WorkerTicket &ticket)
{
	if (pool == nullptr || ticket.epoch != pool->epoch || ticket.slot < 0 ||
		ticket.slot >= SlotCount())
		return false;
	my_generation = ticket.generation;
	on_shmem_exit(GiveSlotBack, Int32GetDatum(ticket.slot));

	LockScope lock(PoolLock());
	WorkerSlot &slot = SlotAt(ticket.slot);

	if (slot.generation != ticket.generation || slot.state != SlotState::kStarting || slot.pid != 0)
		return false;
	slot.pid = MyProcPid;
	slot.proc = compat::MyProcIndex();
	slot.started_at = GetCurrentTimestamp();
	my_slot = ticket.slot;
	return !slot.terminate_sent;
}

/* Leaves in peace. */
[[noreturn]] void
RetireWorker()
{
	/* a process without a database has no statistics */
	if (OidIsValid(MyDatabaseId))
	{
		pgstat_report_activity(STATE_IDLE, nullptr);
		(void) ReportStatistics(true);
	}
	proc_exit(0);
}

[[noreturn]] void
LeaveForGood()
{
	{
		LockScope lock(PoolLock());

		StopSlot(my_slot);
	}
	RetireWorker();
}

/* What the server let pass but the pool does not: a template, say. The reason reaches the caller. */
static void
RefuseIfNotAllowed(const PairKey &target)
{
	BriefError why = {};

	if (!MayRunIn(target.database, target.role, &why))
		ereport(FATAL, (errcode(why.sqlstate), errmsg_internal("%s", why.message),
						why.detail[0] ? errdetail_internal("%s", why.detail) : 0,
						why.hint[0] ? errhint("%s", why.hint) : 0));
}

/* What every worker has, with a database or without one. */
static void
PrepareWorker()
{
	MessageContext =
		AllocSetContextCreate(TopMemoryContext, "MessageContext", ALLOCSET_DEFAULT_SIZES);
	AttachMemory();
	authority_seen = pg_atomic_read_u64(&pool->authority_changes);
	settings_seen = pg_atomic_read_u64(&pool->setting_changes);
}

static void
Connect(const WorkerTicket &ticket)
{
	const PairKey target = SlotAt(ticket.slot).target; /* fixed while the slot is ours */

	WP_FAULT("worker.before_connect");
	/* a visit connects as the bootstrap superuser, which InvalidOid stands for */
	BackgroundWorkerInitializeConnectionByOid(target.database, target.role, 0);
	process_session_preload_libraries();
	WP_FAULT("worker.after_connect");

	PrepareWorker();
	pgstat_report_appname("worker_pool");
	if (ticket.kind == SlotKind::kVisit)
		return;
	StartTransactionCommand();
	RefuseIfNotAllowed(target);
	RememberAuthority(target.database, target.role);
	CommitTransactionCommand();
	InitResultWriter();
	if (ticket.kind != SlotKind::kService)
		InitTasks();
	RememberBaseline();
}

/*
 * The process of a service that wants no database is connected as the launcher is, to the shared catalogs, which it does
 * not use: so pg_stat_activity shows it, and pg_terminate_backend() finds it.
 */
static void
ConnectToNone()
{
	BackgroundWorkerInitializeConnection(nullptr, nullptr, 0);
	PrepareWorker();
	pgstat_report_appname("worker_pool");
}

/* Did somebody change roles, grants, databases or their settings since the last check? Free. */
static bool
AuthorityMoved()
{
	const uint64 authority = pg_atomic_read_u64(&pool->authority_changes);
	const uint64 changed_settings = pg_atomic_read_u64(&pool->setting_changes);

	if (authority == authority_seen && changed_settings == settings_seen)
		return false;
	authority_seen = authority;
	settings_seen = changed_settings;
	return true;
}

/* Leaves, unless a command was assigned meanwhile: then that comes first, and decides. */
static void
RetireIfIdle()
{
	{
		LockScope lock(PoolLock());

		if (SlotAt(my_slot).state != SlotState::kIdle)
			return;
		StopSlot(my_slot);
	}
	RetireWorker();
}

/*
 * An idle worker that may no longer run here leaves at once, instead of at its next command. One assigned
 * meanwhile goes back when it is looked at.
 */
static void
CheckAuthorityWhileIdle()
{
	if (!AuthorityMoved())
		return;
	StartTransactionCommand();
	const bool unchanged = AuthorityUnchanged();

	CommitTransactionCommand();
	if (!unchanged)
		RetireIfIdle();
}

void
ReloadConfiguration()
{
	if (likely(!ConfigReloadPending))
		return;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	/* what a text means may depend on a setting */
	ForgetPlans();
}

enum class Look : uint8
{
	kNothing,
	kCommand,
	kStop,
};

/* Looks at the slot: is there something to do? */
static Look
LookAtSlot()
{
	LockScope lock(PoolLock());
	WorkerSlot &slot = SlotAt(my_slot);

	if (slot.state == SlotState::kStopping)
		return Look::kStop;
	if (slot.state == SlotState::kRunning)
		return Look::kCommand;
	if (slot.state != SlotState::kAssigned || ProcDiePending)
		return Look::kNothing;
	NoteCommandBegins();
	SlotAccepts(my_slot);
	return Look::kCommand;
}

/* Sleeps until the latch is set or it is time to do something; the statistics are forced when they are due. */
static void
SleepIdle(long *statistics_due_ms)
{
	static uint32 wait_event = 0;
	const long tasks_ms = TaskWaitMs();
	const bool statistics_first =
		*statistics_due_ms > 0 && (tasks_ms < 0 || *statistics_due_ms <= tasks_ms);
	const long timeout_ms = statistics_first ? *statistics_due_ms : tasks_ms;
	const int woken =
		WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (timeout_ms >= 0 ? WL_TIMEOUT : 0),
				  timeout_ms, compat::WaitEvent("WorkerPoolIdle", &wait_event));

	if ((woken & WL_TIMEOUT) == 0 || !statistics_first)
		return;
	(void) ReportStatistics(true);
	*statistics_due_ms = 0;
}

/* Sleeps until there is a command or a task; leaves the process when told to. */
static void
WaitForWork()
{
	long statistics_due_ms = ReportStatistics(false);

	/* pg_cancel_backend does nothing to an idle worker */
	HOLD_CANCEL_INTERRUPTS();
	for (;;)
	{
		ResetLatch(MyLatch);
		/* told to go while it does nothing: nobody needs a FATAL in the log for that */
		if (ProcDiePending && SlotAt(my_slot).state == SlotState::kIdle)
			RetireWorker();
		CHECK_FOR_INTERRUPTS();
		if (catchupInterruptPending)
			ProcessCatchupInterrupt();
		ReloadConfiguration();

		const Look look = LookAtSlot();

		if (look == Look::kStop)
			RetireWorker();
		if (look == Look::kCommand)
			break;
		CheckAuthorityWhileIdle();
		if (IsRestOver())
			RetireIfIdle();
		if (StartTaskWork())
			break;
		SleepIdle(&statistics_due_ms);
	}
	RESUME_CANCEL_INTERRUPTS();
}

/* Runs what the slot has: its service for life, or a command, or tasks. */
static void
ServeOnce()
{
	if (SlotAt(my_slot).kind == SlotKind::kService)
		ServeService();
	/*
	 * Not "has a command": a session may have assigned one this moment, which is to be
	 * accepted first.
	 */
	if (SlotAt(my_slot).state != SlotState::kRunning)
		WaitForWork();
	if (SlotAt(my_slot).kind == SlotKind::kTask)
		TaskStep();
	else
		RunAssignedCommand();
}

[[noreturn]] static void
Serve()
{
	sigjmp_buf recovery;

	if (sigsetjmp(recovery, 1) != 0)
		RecoverFromError();
	PG_exception_stack = &recovery;

	for (;;)
		/* a C++ exception must become an ERROR while this frame, where it will land, still lives */
		EnterCpp([]() { ServeOnce(); });
}

/* starting -> idle or running; stopping where it was told so meanwhile: what is queued stays so. */
static void
ReportStarted()
{
	LockScope lock(PoolLock());
	WorkerSlot &slot = SlotAt(my_slot);

	if (slot.state == SlotState::kStarting &&
		(slot.terminate_sent || IsBlocked(slot.target.database) || !settings::enabled))
		StopSlot(my_slot); /* WaitForWork will see that */
	else if (slot.state == SlotState::kStarting)
	{
		NoteCommandBegins();
		(void) SlotStarted(my_slot);
	}
}

[[noreturn]] static void
WorkerMain()
{
	WorkerTicket ticket = {};

	memcpy(&ticket, MyBgworkerEntry->bgw_extra, sizeof(ticket));
	pqsignal(SIGTERM, die);
	pqsignal(SIGINT, HandleCancel);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
#ifdef USE_POSTMASTER_DEATH_SIGNAL
	pqsignal(kPostmasterDeathSignal, HandlePostmasterDeath);
#endif
	WP_FAULT("worker.before_attach");
	if (!Attach(ticket))
		proc_exit(0);
	BackgroundWorkerUnblockSignals();
	if (ticket.kind != SlotKind::kService || PrepareService())
		Connect(ticket);
	else
		ConnectToNone();
	WP_FAULT("worker.before_started");
	ReloadConfiguration();
	ReportStarted();
	if (ticket.kind == SlotKind::kService)
	{
		MemoryContextSwitchTo(MessageContext);
		if (SlotAt(my_slot).state != SlotState::kRunning)
			RetireWorker();
	}
	if (ticket.kind == SlotKind::kVisit)
	{
		/* unless it was told to stop while it was starting */
		if (SlotAt(my_slot).state == SlotState::kRunning)
		{
			RunVisit();
			LockScope lock(PoolLock());

			StopSlot(my_slot);
		}
		proc_exit(0);
	}
	WakeLauncher(); /* its idle time-out, and the end of a back-off */
	Serve();
}

bool
AuthorityStillHolds()
{
	(void) AuthorityMoved();
	return AuthorityUnchanged();
}

} // namespace worker_pool

void
worker_pool_worker_main(Datum main_arg)
{
	(void) main_arg;
	worker_pool::EnterCpp([]() { worker_pool::WorkerMain(); });
}
