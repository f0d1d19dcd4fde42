/*
 * spawn.cpp
 *	  From "this pair shall have a worker" to a process registered with the postmaster. Launcher only.
 *
 * A slot is reserved under the lock (free -> starting, generation+1), the process registered outside it with
 * slot, generation and epoch in bgw_extra. Registration can fail at once when max_worker_processes are in
 * use: the slot goes back, and no registration is tried before a back-off (50 ms doubling to 2 s) is over;
 * one log line an episode. There is no event for "a background worker slot of the server became free", so
 * this is the one place where the pool looks by the clock, and only while somebody waits.
 *
 * The handles belong to this launcher's life. A restarted launcher has none for the processes that its
 * predecessor registered; it frees the slots of those that have not attached (AdoptSlots).
 */
#include "process/launcher.hpp"

#include "config/settings.hpp"
#include "core/backoff.hpp"
#include "shmem/databases.hpp"

namespace worker_pool
{

struct Registration
{
	BackgroundWorkerHandle *handle;
	uint64 generation;
};

static MemoryContext spawn_context = nullptr;
static Registration *registrations = nullptr;
static int refusals = 0; /* in a row */
static TimestampTz not_before = DT_NOBEGIN;

static constexpr int64 kFirstDelayMs = 50;
static constexpr int64 kMaxDelayMs = 2000;

void
InitSpawner(MemoryContext context)
{
	spawn_context = context;
	registrations = static_cast<Registration *>(
		MemoryContextAllocZero(context, sizeof(Registration) * SlotCount()));
	refusals = 0;
	not_before = DT_NOBEGIN;
}

TimestampTz
SpawnNotBefore()
{
	return not_before;
}

static void
Forget(Registration &registration)
{
	if (registration.handle != nullptr)
		pfree(registration.handle);
	registration.handle = nullptr;
}

/* Registers the process of a reserved slot. */
static bool
Register(const WorkerTicket &ticket)
{
	BackgroundWorker worker = {};
	MemoryContext const old_context = MemoryContextSwitchTo(spawn_context);
	Registration &registration = registrations[ticket.slot];

	Forget(registration);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_ConsistentState;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	strlcpy(worker.bgw_library_name, kLibraryName, sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, kWorkerFunction, sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_type, "worker_pool worker", sizeof(worker.bgw_type));
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "worker_pool worker %d", ticket.slot);
	memcpy(worker.bgw_extra, &ticket, sizeof(ticket));

	BackgroundWorkerHandle *handle = nullptr;
	const bool registered = !WP_FAULT_FALSE("launcher.register_fails") &&
							RegisterDynamicBackgroundWorker(&worker, &handle);

	registration.handle = registered ? handle : nullptr;
	registration.generation = ticket.generation;
	MemoryContextSwitchTo(old_context);
	return registered;
}

/* Keeps the back-off; logs the first refusal of an episode and its end. */
static void
NoteRegistration(bool registered)
{
	if (registered)
	{
		if (refusals > 0)
			ereport(LOG, (errmsg("worker_pool can start workers again")));
		refusals = 0;
		not_before = DT_NOBEGIN;
		return;
	}
	if (refusals == 0)
		ereport(LOG,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("worker_pool could not start a worker: no background worker slot is free"),
				 errdetail("Commands stay queued until one becomes free."),
				 errhint("Increase \"max_worker_processes\" (now %d) or decrease "
						 "\"worker_pool.max_workers\" (now %d).",
						 max_worker_processes, settings::max_workers)));
	refusals++;
	not_before = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
											 BackoffDelayMs(refusals, kFirstDelayMs, kMaxDelayMs));
}

bool
Spawn(const PairKey &target, SlotKind kind)
{
	WorkerTicket ticket = {kNone, kind, 0, 0};
	const TimestampTz now = GetCurrentTimestamp();

	if (not_before > now)
		return false;
	{
		LockScope lock(PoolLock());

		/* in the same hold: a DDL session that closes the database from here on sees the slot */
		if (!IsBlocked(target.database))
			ticket.slot = ReserveSlot(target, kind, now);
		if (ticket.slot != kNone)
			ticket.generation = SlotAt(ticket.slot).generation;
	}
	if (ticket.slot == kNone)
		return false;
	ticket.epoch = pool->epoch;

	WP_FAULT("launcher.before_register");
	const bool registered = Register(ticket);

	WP_FAULT("launcher.after_register");
	if (!registered)
	{
		Leftovers leftovers = {};
		LockScope lock(PoolLock());

		(void) FreeSlot(ticket.slot, nullptr, &leftovers);
	}
	NoteRegistration(registered);
	return registered;
}

BgwHandleStatus
ProcessStatus(int slot, uint64 generation)
{
	const Registration &registration = registrations[slot];
	pid_t pid = 0;

	if (registration.handle == nullptr || registration.generation != generation)
		return BGWH_STARTED;
	return GetBackgroundWorkerPid(registration.handle, &pid);
}

void
TerminateUnattached(int slot, uint64 generation)
{
	const Registration &registration = registrations[slot];

	if (registration.handle != nullptr && registration.generation == generation)
		TerminateBackgroundWorker(registration.handle);
}

} // namespace worker_pool
