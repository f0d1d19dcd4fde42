/*
 * service_slot.cpp
 *	  How the slot of a service's process comes to a cycle and leaves it, and how the process ends. Worker process.
 *
 *	   running --EndCycle, GiveTurnBack--> idle --WaitForTurn--> running
 *	      |                                 |
 *	      +-----------> stopping <----------+--- the allocator, DDL (StopSlot)
 *
 * In a wait nothing is held: no transaction, snapshot or lock. The latch is set by whoever changes the entry (PutService),
 * by the launcher when it gives a permit or stops the slot, by DDL, role changes, SIGHUP and SIGTERM. Each is found by
 * looking at the state, so a lost or spurious wake is harmless; the time of the next cycle is the latch's time-out.
 *
 * The end of a cycle is told to the entry and the slot is moved on in one hold of the lock, so whoever sees the service
 * wait finds its process idle. A SIGINT that was sent for the cycle under the lock, and has not arrived, is absorbed in
 * between (SignalService leaves its mark in the slot).
 *
 * Leaving. Whoever leaves by himself moves the slot to stopping first: that is how the exit callback tells an end in
 * peace from a crash.
 */
#include "process/service_work.hpp"

#include "pg/guard.hpp"
#include "process/executor.hpp"
#include "shmem/databases.hpp"

namespace worker_pool
{

/* how soon to ask again for a place, should the launcher's word get lost */
static constexpr int64 kAskAgainUs = USECS_PER_SEC;

/* --- leaving -------------------------------------------------------------------------------------------- */

[[noreturn]] void
GoAway()
{
	{
		LockScope lock(PoolLock());

		if (SlotAt(my_slot).state != SlotState::kStopping)
			StopSlot(my_slot);
	}
	RetireWorker();
}

[[noreturn]] void
GoAwayUnstarted(const BriefError &why)
{
	service_work.not_started = why;
	GoAway();
}

void
PutOff(int64 delay_ms)
{
	const TimestampTz until = LaterByMs(GetCurrentTimestamp(), delay_ms);
	LockScope lock(PoolLock());
	ServiceEntry &entry = ServiceAt(service_work.index);

	if (IsMine(entry))
		entry.next_start = std::max(entry.next_start, until);
}

/* Pool lock held, at the exit: was it told to leave, or had it nothing to do? */
static bool
WasAsked(const WorkerSlot &slot, const ServiceEntry &entry)
{
	return slot.state != SlotState::kRunning || slot.terminate_sent || IsToLeaveNow(entry) ||
		   service_work.phase == ServicePhase::kNone || service_work.phase == ServicePhase::kIdle;
}

void
LeaveService(const BriefError *reason, TimestampTz now)
{
	const int index = service_work.index;

	if (service_work.serial == 0 || index == kNone)
		return;

	ServiceEntry &entry = ServiceAt(index);

	if (!IsMine(entry) || entry.slot != my_slot)
		return;
	entry.careful = false;

	const bool asked = WasAsked(SlotAt(my_slot), entry);

	if (service_work.not_started.sqlstate != 0)
		ServiceNotStarted(index, service_work.not_started, now);
	else if (!asked && service_work.phase == ServicePhase::kChecking)
		ServiceNotStarted(index, reason == nullptr ? BriefError{} : *reason, now);
	else
		ServiceGone(index, asked, reason, now);
}

void
LeftService()
{
	ReleaseCareful();
	WakeServiceWaiters();
}

/* --- waiting -------------------------------------------------------------------------------------------- */

void
ShowWaiting()
{
	debug_query_string = nullptr;
	ShowActivity("idle");
	ReportWork("worker_pool service ", static_cast<uint64>(service_work.id), service_work.name);
	pgstat_report_activity(STATE_IDLE, nullptr);
}

void
AskForConfig()
{
	bool asked = false;

	{
		LockScope lock(PoolLock());
		ServiceEntry &entry = ServiceAt(service_work.index);

		if (!IsMine(entry) || entry.config_version == entry.version || entry.config_wanted ||
			entry.config_refused)
			return;
		entry.config_wanted = asked = true;
		WantVisit(entry.database);
	}
	if (asked)
		WakeLauncher();
}

enum class Turn : uint8
{
	kWait,
	kNoRoom, /* it is due, but others are before it */
	kBegin,
	kLeave,
};

/* Looks at slot and entry: what is to be done? *next: when to look again by itself. */
static Turn
LookForTurn(TimestampTz *next)
{
	const bool in_recovery = RecoveryInProgress();
	const TimestampTz now = GetCurrentTimestamp();
	LockScope lock(PoolLock());
	const WorkerSlot &slot = SlotAt(my_slot);
	const ServiceEntry &entry = ServiceAt(service_work.index);

	*next = DT_NOEND;
	if (slot.state != SlotState::kIdle)
		return slot.state == SlotState::kRunning ? Turn::kBegin : Turn::kLeave;
	if (!IsMine(entry) || MustLeave(entry))
		return Turn::kLeave;
	if (!CanStart(entry, in_recovery, now, next))
		return Turn::kWait;
	NoteCommandBegins();
	if (StartServiceCycle(my_slot))
		return Turn::kBegin;
	*next = now + kAskAgainUs;
	return Turn::kNoRoom;
}

/* Sleeps until the latch is set or that time has come; the statistics are forced when they are due. */
static void
SleepUntil(TimestampTz next, long *statistics_due_ms)
{
	static uint32 wait_event = 0;
	/* a latch takes an int of milliseconds; whoever wakes early looks again */
	static constexpr int64 kLongestMs = INT64CONST(24) * 3600 * 1000;
	long timeout_ms = -1;

	if (next != DT_NOEND)
		timeout_ms = static_cast<long>(
			std::clamp<int64>((next - GetCurrentTimestamp() + 999) / 1000, 0, kLongestMs));

	const bool statistics_first =
		*statistics_due_ms > 0 && (timeout_ms < 0 || *statistics_due_ms <= timeout_ms);

	if (statistics_first)
		timeout_ms = *statistics_due_ms;

	const int woken =
		WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (timeout_ms >= 0 ? WL_TIMEOUT : 0),
				  timeout_ms, compat::WaitEvent("WorkerPoolServiceIdle", &wait_event));

	if ((woken & WL_TIMEOUT) == 0 || !statistics_first)
		return;
	(void) ReportStatistics(true);
	*statistics_due_ms = 0;
}

void
WaitForTurn()
{
	long statistics_due_ms = service_work.connected ? ReportStatistics(false) : 0;

	service_work.phase = ServicePhase::kIdle;
	/* pg_cancel_backend does nothing to an idle worker */
	HOLD_CANCEL_INTERRUPTS();
	for (;;)
	{
		TimestampTz next = DT_NOEND;

		ResetLatch(MyLatch);
		if (ProcDiePending)
			GoAway();
		CHECK_FOR_INTERRUPTS();
		if (catchupInterruptPending)
			ProcessCatchupInterrupt();
		ReloadConfiguration();
		if (!service_work.connected)
			AskForConfig();
		if (AuthorityIsGone())
			GoAway();

		const Turn turn = LookForTurn(&next);

		if (turn == Turn::kLeave)
			GoAway();
		if (turn == Turn::kBegin)
			break;
		if (turn == Turn::kNoRoom)
			WakeLauncher();
		SleepUntil(next, &statistics_due_ms);
	}
	RESUME_CANCEL_INTERRUPTS();
}

/* --- the end of a cycle ------------------------------------------------------------------------------------ */

/* Under the lock: running -> idle or stopping. */
static AfterCommand
MoveOn(bool may_continue, bool *wake_launcher)
{
	const bool was_full = pool->task_slots >= TaskSlotLimit();
	const ServiceEntry &entry = ServiceAt(service_work.index);

	may_continue = may_continue && IsMine(entry) && !MustLeave(entry) && !ProcDiePending;
	NoteCommandBegins();

	const AfterCommand after = ServiceOver(my_slot, may_continue);

	/* it can make use of an idle worker, and of a place */
	*wake_launcher = pool->queued_total > 0 || pool->tasks_contended ||
					 (was_full && pool->task_slots < TaskSlotLimit());
	return after;
}

/* The slot has moved on; `idle` shows, and whoever is to know is told. */
static void
FollowSlot(AfterCommand after, bool wake_launcher)
{
	if (wake_launcher)
		WakeLauncher();
	entry_point_state = {};
	service_work.phase = ServicePhase::kIdle;
	if (after == AfterCommand::kExit)
		GoAway();
	ShowWaiting();
}

void
GiveTurnBack()
{
	AfterCommand after = AfterCommand::kIdle;
	bool wake_launcher = false;

	service_work.phase = ServicePhase::kEnding;
	ReleaseCareful();
	{
		LockScope lock(PoolLock());
		ServiceEntry &entry = ServiceAt(service_work.index);

		if (IsMine(entry))
			entry.careful = false;
		after = MoveOn(true, &wake_launcher);
	}
	FollowSlot(after, wake_launcher);
}

/* Does the process go after this cycle, so that a fresh one takes its place? Outside a transaction. */
static bool
IsToRetire()
{
	const WorkerSlot &slot = SlotAt(my_slot);

	if (service_work.retire || exception_escaped || ProcDiePending)
		return true;
	/* an entry point may keep a connection open: that is its own matter */
	return service_work.entry == nullptr ? ShouldRetire(slot.commands_done + 1, slot.started_at)
										 : IsWornOut(slot.commands_done + 1, slot.started_at);
}

/* Under the lock: tells the entry. True: a failure that is the first of its episode. */
static bool
TellEnd(const BriefError &brief, TimestampTz now)
{
	ServiceEntry &entry = ServiceAt(service_work.index);
	const int64 every_ms =
		entry.version == service_work.version ? service_work.every_ms : entry.every_ms;

	if (!IsMine(entry))
		return false;
	entry.careful = false;
	if (entry.state != ServiceState::kRunning)
		return false;
	switch (service_work.end)
	{
		case CycleEnd::kSucceeded:
			ServiceSucceeded(service_work.index, NextCycleUs(service_work.begun_at, every_ms, now),
							 now);
			return false;
		case CycleEnd::kInterrupted:
			ServiceInterrupted(service_work.index, now);
			return false;
		case CycleEnd::kFailed:
			break;
	}
	ServiceFailed(service_work.index, brief, service_work.overran, now);

	/* of one that goes into quarantine the launcher tells */
	const bool first = !entry.warned && entry.state != ServiceState::kQuarantined;

	entry.warned = entry.warned || first;
	return first;
}

void
EndCycle()
{
	service_work.phase = ServicePhase::kEnding;
	/* worker_pool.enabled decides whether it stays */
	ReloadConfiguration();

	const ErrorData *error = service_work.error;
	const bool may_continue = !IsToRetire();
	const bool failed = service_work.end == CycleEnd::kFailed;
	const TimestampTz now = GetCurrentTimestamp();
	AfterCommand after = AfterCommand::kIdle;
	BriefError brief = {};
	bool wake_launcher = false;
	bool was_signalled = false;
	bool first = false;
	TimestampTz next_start = 0;
	bool is_over = false;

	if (failed)
		SetBriefError(&brief, error->sqlerrcode, error->message, error->detail, error->hint);
	{
		LockScope lock(PoolLock());

		was_signalled = SlotAt(my_slot).cancel_sent;
		first = TellEnd(brief, now);
		next_start = ServiceAt(service_work.index).next_start;
		/* that is the launcher's to tell */
		is_over = ServiceAt(service_work.index).state == ServiceState::kQuarantined;
		if (!was_signalled)
			after = MoveOn(may_continue, &wake_launcher);
	}
	if (was_signalled)
	{
		AbsorbLateCancel();
		LockScope lock(PoolLock());

		after = MoveOn(may_continue, &wake_launcher);
	}
	ReleaseCareful();
	WakeServiceWaiters();
	if (failed && !is_over)
		LogFailure(first, next_start, now);
	WP_FAULT("service.after_cycle");
	/* the launcher tells of a quarantine and has it written down */
	FollowSlot(after, wake_launcher || failed);
	/* what the cycle took is not kept while idle */
	MemoryContextSwitchTo(MessageContext);
	MemoryContextReset(MessageContext);
	MemoryContextReset(service_work.context);
	service_work.error = nullptr;
}

} // namespace worker_pool
