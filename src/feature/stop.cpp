/*
 * stop.cpp
 *	  stop_worker: runs in the session that wants a command to end. It never waits.
 *
 * A queued command is finished on the spot as cancelled, with an outcome that says so, and its waiters are
 * woken. A running one is signalled while the lock is held and the record still is what we looked at, so the
 * signal cannot hit the process's next command; the slot keeps the time at which the launcher is to
 * terminate the process if the command still runs. The launcher is woken to take that into its deadlines;
 * if it is not there, the one that is restarted finds the time in the slot. SIGKILL is never sent.
 *
 * If this session dies after the signal, nothing is left to do; before it, nothing has happened.
 */
#include "feature/authority.hpp"
#include "feature/session.hpp"
#include "shmem/slots.hpp"

namespace worker_pool
{

/* What a stop did, to be completed without the lock. */
struct Stopped
{
	bool found;	   /* the record was there and not finished */
	bool finished; /* it was queued and is over now */
	int index;
	int submitter_proc;
	Leftovers leftovers;
};

/* Finishes a queued command as cancelled, or signals a running one. */
static Stopped
StopLocked(const CommandRef &command, TimestampTz terminate_at)
{
	CommandRecord &record = CommandAt(command.index);
	Stopped stopped = {};

	if (record.id != command.id || IsFinished(record.state))
		return stopped;
	stopped.found = true;
	stopped.index = command.index;
	stopped.submitter_proc = record.submitter_proc;
	if (record.state == CommandState::kRunning)
	{
		SignalCommand(record.slot, StopReason::kRequested, terminate_at);
		return stopped;
	}
	SetBriefError(&record.brief, ERRCODE_QUERY_CANCELED, "command was cancelled before it started",
				  nullptr, nullptr);
	record.sqlstate = record.brief.sqlstate;
	FinishCommand(command.index, CommandState::kCancelled, &stopped.leftovers);
	stopped.finished = true;
	return stopped;
}

bool
StopCommand(uint64 id, int64 grace_ms)
{
	const CommandGlance glance = GlanceAt(id);

	PrepareSession();
	/* an id of which nothing is known but that it is over: false, if whose it was is known */
	if (glance.ref.index == kNone && !OidIsValid(glance.owner))
		RaiseNoCommand(id);
	if (!MayStopCommand(GetUserId(), glance.owner,
						glance.ref.index == kNone ? glance.owner : glance.target_role))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied to stop command " INT64_FORMAT,
							   static_cast<int64>(id)),
						errdetail("Its owner, members of the owner's role and, unless a superuser is "
								  "involved, members of pg_signal_backend may.")));
	if (glance.ref.index == kNone)
		return false;

	const TimestampTz terminate_at = GetCurrentTimestamp() + grace_ms * INT64CONST(1000);
	Stopped stopped = {};

	HOLD_INTERRUPTS();
	{
		LockScope lock(PoolLock());

		stopped = StopLocked(glance.ref, terminate_at);
	}
	if (stopped.finished)
	{
		WakeWaiters(stopped.index, stopped.submitter_proc);
		FreeLeftovers(stopped.leftovers);
	}
	else if (stopped.found)
		WakeLauncher();
	RESUME_INTERRUPTS();
	return stopped.found;
}

} // namespace worker_pool
