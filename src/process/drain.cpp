/*
 * drain.cpp
 *	  Runs in the session (or worker) that executes DDL on a database, before the DDL itself.
 *
 * An idle warm worker would make DROP DATABASE wait five seconds and fail. So: close the database for the
 * pool, in the same shared table that the launcher and the fast path look at; tell the workers there to
 * leave; sleep on pool->slot_freed, which a worker's exit callback broadcasts after it is out of the
 * database. The order matters: once the database is closed nobody new comes, so the number of workers
 * only falls.
 *
 *	starting	marked and signalled. One without a process yet finds the mark at its handshake, or is
 *				reclaimed by the launcher; either way its slot is freed and we are woken.
 *	idle		told to stop and woken.
 *	busy		terminated, its waiter is told; its tasks go back and lose no attempt. Or left to finish
 *				(CREATE DATABASE ... TEMPLATE; other sessions are there and do not leave within a second, so that
 *				the server will refuse): it takes nothing more then. A visit is terminated. The process of a
 *				service that would be left to finish is asked to leave after its cycle (a resident main: at once)
 *				and waited for, since it is the pool that has it run: it is no stranger's session. But not where
 *				the server will refuse anyway.
 *	stopping	waited for.
 *
 * A lease is of no database: the process of another extension is no more ours to send away here than any session.
 *
 * Each wake tells them all again, so a worker that was just starting and is idle by now is found. If the
 * sleep is interrupted or runs into its limit the database stays closed until the transaction ends, which
 * is at once (ERROR), or after the server's own wait for other sessions and its own error.
 */
#include "process/drain.hpp"

#include "process/worker.hpp"
#include "shmem/databases.hpp"

namespace worker_pool
{

/* As long as the server itself waits for other sessions (CountOtherDBBackends). */
static constexpr long kLimitMs = 5000;
/* How long to wait for other sessions to leave before busy workers are left alone; how soon to look. */
static constexpr long kOthersMs = 1000;
static constexpr long kOthersAgainMs = 20;
/* How soon to look again at workers whose next step wakes nobody: from starting to busy. */
static constexpr long kStartingMs = 50;

struct Remaining
{
	int workers;
	int left_alone; /* busy ones that are not among them */
	bool any_starting;
};

/*
 * Lock held: tells a busy worker to leave; false where it is left alone. `busy`: as it was asked for; `now`: what
 * becomes of it at this moment.
 */
static bool
TellBusy(int index, Busy busy, Busy now)
{
	WorkerSlot &slot = SlotAt(index);

	/* a visit is nobody's but ours, and comes again (worker.cpp, GiveSlotBack) */
	if (now == Busy::kTerminate || slot.kind == SlotKind::kVisit)
	{
		if (!slot.terminate_sent)
			TerminateSlot(index, StopReason::kDatabaseDdl);
		return true;
	}
	if (busy != Busy::kLeave || slot.kind != SlotKind::kService)
		return false;
	slot.give_way = true;
	compat::SetLatchOf(slot.proc);
	return true;
}

/* Tells every worker of the database to leave; returns what is to be waited for. */
static Remaining
TellToLeave(Oid database, Busy busy, Busy now)
{
	Remaining remaining = {};
	LockScope scope(PoolLock());

	for (int i = 0; i < SlotCount(); i++)
	{
		WorkerSlot &slot = SlotAt(i);

		if (slot.state == SlotState::kFree || slot.target.database != database || i == my_slot)
			continue;
		switch (slot.state)
		{
			case SlotState::kStarting:
				if (!slot.terminate_sent)
					TerminateSlot(i, StopReason::kDatabaseDdl);
				remaining.any_starting = true;
				break;
			case SlotState::kIdle:
				StopSlot(i);
				compat::SetLatchOf(slot.proc);
				break;
			case SlotState::kAssigned:
			case SlotState::kRunning:
				if (!TellBusy(i, busy, now))
				{
					remaining.left_alone++;
					continue;
				}
				break;
			case SlotState::kFree:
			case SlotState::kStopping:
				break;
		}
		remaining.workers++;
	}
	return remaining;
}

/* What becomes of busy workers at this moment. */
static Busy
BusyNow(Oid database, Busy busy)
{
	if (busy != Busy::kTerminateWhenAlone)
		return busy;
	return CountDBConnections(database) > 0 ? Busy::kLeave : Busy::kTerminate;
}

void
DrainDatabase(Oid database, Busy busy)
{
	static uint32 wait_event = 0;
	const TimestampTz begun_at = GetCurrentTimestamp();
	const TimestampTz deadline = TimestampTzPlusMilliseconds(begun_at, kLimitMs);
	const TimestampTz others_until = TimestampTzPlusMilliseconds(begun_at, kOthersMs);

	CloseDatabase(database);
	ConditionVariablePrepareToSleep(&pool->slot_freed);
	for (;;)
	{
		const Remaining remaining = TellToLeave(database, busy, BusyNow(database, busy));
		const TimestampTz now = GetCurrentTimestamp();
		/* a session that is just leaving, say */
		const bool others =
			remaining.left_alone > 0 && busy == Busy::kTerminateWhenAlone && now < others_until;
		long left = TimestampDifferenceMilliseconds(now, deadline);

		if ((remaining.workers == 0 && !others) || left <= 0)
			break;
		if (remaining.any_starting)
			left = std::min(left, kStartingMs);
		if (others)
			left = std::min(left, kOthersAgainMs);
		ConditionVariableTimedSleep(&pool->slot_freed, left,
									compat::WaitEvent("WorkerPoolDrain", &wait_event));
	}
	ConditionVariableCancelSleep();
}

} // namespace worker_pool
