/*
 * session.cpp
 *	  Runs in every process that calls a verb (workers among them, when a command calls run()). Keeps count
 *	  of what the process holds in shared memory and gives it back at exit.
 *
 * The exit callback is an on_shmem_exit one: it comes after the transaction was aborted and the LWLocks were
 * released, and before ProcKill takes the PGPROC away, so LWLocks still work. What it frees is memory of the
 * main segment (memory.hpp), which stays mapped to the end of the process. It changes fields, frees chunks
 * and unlinks files; it looks up no catalog and raises nothing. Should it not run at all (SIGKILL), the
 * postmaster makes shared memory anew.
 */
#include "feature/session.hpp"

#include "config/settings.hpp"
#include "shmem/databases.hpp"
#include "shmem/slots.hpp"
#include "shmem/waiters.hpp"

namespace worker_pool
{

dsa_pointer unsent_request = InvalidDsaPointer;
int held_records = 0;

void
DropUnsentRequest()
{
	const dsa_pointer chunk = unsent_request;

	unsent_request = InvalidDsaPointer;
	FreeShared(chunk);
}

void
BeginWait(uint64 command_id, bool may_time_out, TimestampTz since)
{
	EnterWaiters(may_time_out, since).command_id = command_id;
}

void
EndWait()
{
	LeaveWaiters();
}

/* How long a command may take to end after its waiting caller was interrupted; stop_worker's default. */
static constexpr int kGraceMs = 5000;

/* Under the lock: the private record is nobody's any more. What must be freed is returned. */
static Leftovers
AbandonLocked(int index)
{
	CommandRecord &record = CommandAt(index);

	if (record.state != CommandState::kRunning)
		return EmptyCommand(index, Fate::kAbandoned);
	record.abandoned = true;
	record.submitter_proc = kNone;
	/* as stop_worker does it: one that catches the cancel is terminated */
	SignalCommand(record.slot, StopReason::kRequested,
				  TimestampTzPlusMilliseconds(GetCurrentTimestamp(), kGraceMs));
	WakeLauncher();
	return {};
}

void
AbandonPrivate(const CommandRef &command)
{
	Leftovers leftovers = {};

	HOLD_INTERRUPTS();
	{
		LockScope lock(PoolLock());

		if (CommandAt(command.index).id == command.id)
			leftovers = AbandonLocked(command.index);
	}
	held_records--;
	EndWait();
	FreeLeftovers(leftovers);
	RESUME_INTERRUPTS();
}

/* Gives up what the record at that index owes this process, if anything. */
static void
GiveUpRecord(int index, int my_proc)
{
	Leftovers leftovers = {};

	{
		LockScope lock(PoolLock());
		CommandRecord &record = CommandAt(index);

		if (record.id == 0)
			return;
		if (record.reader_proc == my_proc)
			SetReader(index, kNone);
		if (record.is_private && record.submitter_proc == my_proc)
			leftovers = AbandonLocked(index);
	}
	FreeLeftovers(leftovers);
}

/* on_shmem_exit: the whole of it. */
static void
LeaveThePool(int, Datum)
{
	/* 13 does not do this before the callbacks: the pool lock must not be ours already */
	LWLockReleaseAll();
	EndWait();
	DropUnsentRequest();
	if (held_records == 0)
		return;

	const int my_proc = compat::MyProcIndex();

	for (int i = 0; i < CommandCount(); i++)
	{
		const CommandRecord &record = CommandAt(i);

		/* only this process writes its own index there: a look without the lock is enough to pass by */
		if (record.reader_proc == my_proc || record.submitter_proc == my_proc)
			GiveUpRecord(i, my_proc);
	}
	TrimOutcomes();
}

void
PrepareSession()
{
	static bool registered = false;

	if (likely(registered))
		return;
	AttachMemory();
	on_shmem_exit(LeaveThePool, 0);
	registered = true;
}

void
RefuseWithoutLauncher()
{
	if (likely(pool->launcher_started_at != 0) ||
		!TimestampDifferenceExceeds(pool->started_at, GetCurrentTimestamp(),
									settings::start_timeout_ms))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the launcher of worker_pool was never started"),
			 errdetail("Without it no worker can start. The server's table of background workers was "
					   "probably full."),
			 errhint("Increase \"max_worker_processes\" (now %d) and restart the server.",
					 max_worker_processes)));
}

void
RefuseClosedByMe(Oid database)
{
	if (likely(!IsClosedByMe(database)))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot wait for a command in a database that this transaction changes"),
			 errdetail("The database is closed for the pool until this transaction ends."),
			 errhint("Wait after the end of the transaction; start_worker queues a command.")));
}

} // namespace worker_pool
