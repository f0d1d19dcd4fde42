/*
 * wait.cpp
 *	  Waits until a command is finished. Runs in sessions, and in workers whose command calls run().
 *
 * A private record (run, query) has one waiter, its submitter: the worker sets that process's latch, and the
 * wait is the plain latch loop. A public record may have many: they sleep on the record's condition
 * variable. Either way the waiter stands among the waiters (waiters.hpp), so that other processes find the
 * edge when they look for a knot; Submit has already entered it for a private record, in the same hold of
 * the lock in which it handed the command over.
 *
 *	   over? ----------------------------------------------------> done
 *		 | no                                                  ^
 *		 v                                                     |
 *	   sleep until woken, the limit, or deadlock_timeout --------+--> limit reached: false
 *		 | deadlock_timeout has passed
 *		 v
 *	   look for a knot; two in a row: 40P01; look again after another deadlock_timeout
 *
 * A wait with a limit ends by itself and never looks. A wake-up that was not meant for this wait, or that
 * was for a record that is another's by now, only leads to another look.
 *
 * An interrupted wait (cancel, time-out, terminate, 40P01) takes the waiter out and raises. WaitForPrivate
 * also gives the command up; on FATAL the exit callback does both (session.cpp).
 */
#include "feature/deadlock.hpp"
#include "feature/session.hpp"
#include "pg/guard.hpp"

namespace worker_pool
{

struct WaitInProgress
{
	CommandRef command;
	bool is_private;			/* latch instead of condition variable */
	TimestampTz deadline;		/* DT_NOEND = none */
	TimestampTz look_at;		/* when to look for a knot */
	bool stuck;					/* the last look found one */
	MemoryContext knot_context; /* for the looks; nullptr before the first */
};

/*
 * Is it finished, or gone? The private record of this process cannot go, and its state is one byte: the
 * warm path looks without the lock. Success was published before the state changed; anything else may
 * still be in the making under the lock, which is then waited for.
 */
static bool
IsOver(const WaitInProgress &wait)
{
	const CommandRecord &record = CommandAt(wait.command.index);

	if (wait.is_private)
	{
		const CommandState state = *const_cast<const volatile CommandState *>(&record.state);

		if (!IsFinished(state))
			return false;
		if (likely(state == CommandState::kSucceeded))
		{
			pg_read_barrier();
			return true;
		}
	}

	LockScope lock(PoolLock(), LW_SHARED);

	return record.id != wait.command.id || IsFinished(record.state);
}

/* Sleeps until woken, or until the next thing to do is due. */
static void
Sleep(const WaitInProgress &wait, TimestampTz now)
{
	static uint32 event_cache = 0;
	const uint32 event = compat::WaitEvent("WorkerPoolCommand", &event_cache);
	const TimestampTz until = std::min(wait.deadline, wait.look_at);
	/* rounded up, and at most a day at a time: PostgreSQL's own waits take an int's worth */
	const long timeout_ms =
		static_cast<long>(std::clamp<int64>((until - now + 999) / 1000, 1, INT64CONST(86400000)));

	/* outside of a statement (await_worker) nothing may be held back from VACUUM */
	if (!ActiveSnapshotSet())
		InvalidateCatalogSnapshot();
	if (!wait.is_private)
	{
		(void) ConditionVariableTimedSleep(&CommandAt(wait.command.index).finished, timeout_ms,
										   event);
		return;
	}
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, timeout_ms, event);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* Looks for a knot; raises 40P01 when this look and the one before found one. */
static void
LookForKnot(WaitInProgress *wait)
{
	if (wait->knot_context == nullptr)
		wait->knot_context = AllocSetContextCreate(
			CurrentMemoryContext, "worker_pool deadlock check", ALLOCSET_SMALL_SIZES);

	RefuseWithoutLauncher();

	MemoryContext const old_context = MemoryContextSwitchTo(wait->knot_context);
	char *chain = nullptr;
	/* no C++ exception may pass the PG_TRY that we are in */
	const bool stuck = EnterCpp([&chain]() { return FindDeadlock(&chain); });

	if (stuck && wait->stuck)
		RaiseDeadlock(chain);
	wait->stuck = stuck;
	MemoryContextSwitchTo(old_context);
	MemoryContextReset(wait->knot_context);
}

/* The loop of the picture above. False when the limit came first. */
static bool
WaitUntilOver(WaitInProgress *wait)
{
	const int64 look_interval = static_cast<int64>(DeadlockTimeout) * 1000;
	const bool may_look = wait->deadline == DT_NOEND;
	TimestampTz now = GetCurrentTimestamp();

	wait->look_at = may_look ? now + look_interval : DT_NOEND;
	while (!IsOver(*wait))
	{
		if (now >= wait->deadline)
			return false;
		if (now >= wait->look_at)
		{
			LookForKnot(wait);
			now = GetCurrentTimestamp();
			wait->look_at = now + look_interval;
		}
		WP_FAULT_IN_TRY("wait.before_sleep");
		Sleep(*wait, now);
		if (IsOver(*wait))
			break;
		now = GetCurrentTimestamp();
	}
	if (wait->knot_context != nullptr)
		MemoryContextDelete(wait->knot_context);
	return true;
}

/*
 * Enters this process among the waiters of a public record. False when the record is gone. Tells the
 * database of a command that is still queued, so that the caller can refuse a wait that cannot end.
 */
static bool
EnterWaiters(const CommandRef &command, bool may_time_out, Oid *queued_for)
{
	const TimestampTz now = GetCurrentTimestamp();
	LockScope lock(PoolLock());
	const CommandRecord &record = CommandAt(command.index);

	if (record.id != command.id)
		return false;
	Assert(!record.is_private);
	if (record.state == CommandState::kQueued)
		*queued_for = record.target.database;
	if (!IsFinished(record.state))
		BeginWait(command.id, may_time_out, now);
	return true;
}

/* Enters the waiters of a public record and waits. False when the limit came first. */
static bool
WaitAmongOthers(WaitInProgress *wait)
{
	const bool may_time_out = wait->deadline != DT_NOEND;
	Oid queued_for = InvalidOid;

	if (!EnterWaiters(wait->command, may_time_out, &queued_for))
		return true;
	if (!may_time_out)
		RefuseClosedByMe(queued_for);
	return WaitUntilOver(wait);
}

bool
WaitForCommand(const CommandRef &command, int64 timeout_ms)
{
	WaitInProgress wait = {};
	volatile bool over = false;

	PrepareSession();
	wait.command = command;
	wait.deadline =
		timeout_ms < 0 ? DT_NOEND : GetCurrentTimestamp() + timeout_ms * INT64CONST(1000);
	PG_TRY();
	{
		/* first the condition variable, then the look: a broadcast in between is not lost */
		ConditionVariablePrepareToSleep(&CommandAt(command.index).finished);
		over = WaitAmongOthers(&wait);
	}
	PG_FINALLY();
	{
		ConditionVariableCancelSleep();
		EndWait();
	}
	PG_END_TRY();
	return over;
}

void
WaitForPrivate(const CommandRef &command)
{
	WaitInProgress wait = {};

	wait.command = command;
	wait.is_private = true;
	wait.deadline = DT_NOEND;
	PG_TRY();
	{
		(void) WaitUntilOver(&wait);
		EndWait();
	}
	PG_CATCH();
	{
		AbandonPrivate(command);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

} // namespace worker_pool
