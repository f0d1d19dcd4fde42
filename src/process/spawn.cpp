/*
 * spawn.cpp
 *	  From "this pair shall have a worker" to a process registered with the postmaster. Launcher only.
 *
 * A slot is reserved under the lock (free -> starting, generation+1), the process registered outside it with
 * slot, generation and epoch in bgw_extra. Registration can fail at once when max_worker_processes are in
 * use: the slot goes back, and no registration is tried before a back-off (50 ms doubling to 2 s) is over.
 * Meanwhile the pool is as large as what it has (SpawnableSlots), so the policy makes room out of that: idle
 * workers of others leave, busy ones give way, and when one has left the next start is tried at once. One
 * log line an episode, one at its end. There is no event for "a background worker slot of the server became free", so
 * this is the one place where the pool looks by the clock, and only while somebody waits.
 *
 * A library that is not preloaded is loaded by the process of a service before it can look anything up (it may be one
 * without a database). So the launcher asks first whether the owner may have it loaded: a superuser who has been demoted
 * may not. Where he may not, the start has failed.
 *
 * A service has one process at most. So its entry is told of the slot in the same lock hold that reserves it,
 * after another look at whether it is to be started; where no process can be registered both are taken back.
 *
 * The handles belong to this launcher's life. A restarted launcher has none for the processes that its
 * predecessor registered; it frees the slots of those that have not attached (AdoptSlots).
 */
#include "process/launcher.hpp"

#include "config/settings.hpp"
#include "core/backoff.hpp"
#include "feature/entry_points.hpp"
#include "shmem/databases.hpp"
#include "shmem/service_table.hpp"

namespace worker_pool
{

struct Registration
{
	BackgroundWorkerHandle *handle;
	uint64 generation;
};

static MemoryContext spawn_context = nullptr;
static Registration *registrations = nullptr;
static int refusals = 0; /* of this episode */
static int step = 0;	 /* of the back-off */
static TimestampTz not_before = DT_NOBEGIN;
static TimestampTz last_refusal = DT_NOBEGIN;
static int used_at_refusal = 0; /* our slots in use then, or fewer if some have left since */
static int capacity = 0;		/* our slots in use at the first refusal of this episode */

static constexpr int64 kFirstDelayMs = 50;
static constexpr int64 kMaxDelayMs = 2000;
/* without a refusal for so long, an episode is over even if the pool has not grown */
static constexpr int kEpisodeMs = 60 * 1000;

void
InitSpawner(MemoryContext context)
{
	spawn_context = context;
	registrations = static_cast<Registration *>(
		MemoryContextAllocZero(context, sizeof(Registration) * SlotCount()));
	refusals = step = 0;
	not_before = DT_NOBEGIN;
}

TimestampTz
SpawnNotBefore()
{
	return not_before;
}

int
SpawnableSlots(int used)
{
	if (refusals == 0)
		return SlotCount();
	/* one of ours has left since: its place in the server's table is free */
	if (used < used_at_refusal)
	{
		not_before = DT_NOBEGIN;
		step = 0; /* the postmaster may not have reaped it yet: then again in a moment */
	}
	used_at_refusal = std::min(used, used_at_refusal);
	return not_before > GetCurrentTimestamp() ? used : SlotCount();
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

/* Our slots in use. */
static int
CountUsed()
{
	int used = 0;
	LockScope lock(PoolLock(), LW_SHARED);

	for (int i = 0; i < SlotCount(); i++)
		used += SlotAt(i).state == SlotState::kFree ? 0 : 1;
	return used;
}

/*
 * Keeps the back-off; logs the first refusal of an episode, which ends when the pool has become larger than it
 * was at the refusal.
 */
static void
NoteRegistration(bool registered)
{
	if (registered && refusals == 0)
		return;

	const int used = CountUsed();

	used_at_refusal = used;
	if (registered)
	{
		not_before = DT_NOBEGIN;
		step = 0;
		if (used <= capacity &&
			!TimestampDifferenceExceeds(last_refusal, GetCurrentTimestamp(), kEpisodeMs))
			return;
		ereport(LOG, (errmsg("worker_pool is no longer short of background worker slots")));
		refusals = 0;
		return;
	}
	if (refusals == 0)
	{
		capacity = used;
		ereport(LOG, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
					  errmsg("worker_pool could not start a worker: no background worker slot is free"),
					  errdetail("Commands stay queued until one becomes free."),
					  errhint("Increase \"max_worker_processes\" (now %d) or decrease "
							  "\"worker_pool.max_workers\" (now %d).",
							  max_worker_processes, settings::max_workers)));
	}
	refusals++;
	step++;
	last_refusal = GetCurrentTimestamp();
	not_before =
		TimestampTzPlusMilliseconds(last_refusal, BackoffDelayMs(step, kFirstDelayMs, kMaxDelayMs));
}

int
ServiceToStart(const PairKey &target, bool in_recovery, TimestampTz now)
{
	const int index = FindServiceOfPair(target.fresh_id);
	TimestampTz next = DT_NOEND;

	if (index == kNone || ServiceAt(index).slot != kNone ||
		!CanStart(ServiceAt(index), in_recovery, now, &next))
		return kNone;
	return index;
}

/*
 * Lock held: reserves a slot; kNone when that may not be. In one hold: a DDL session that closes the database from
 * here on sees the slot; and a worker that has turned to tasks meanwhile (StartTasks) may have taken the last slot
 * that they may have.
 */
static int
Reserve(const PairKey &target, SlotKind kind, bool in_recovery, TimestampTz now)
{
	const bool is_service = kind == SlotKind::kService;
	const int service = is_service ? ServiceToStart(target, in_recovery, now) : kNone;

	if (IsBlocked(target.database) || (IsShared(kind) && pool->task_slots >= TaskSlotLimit()) ||
		(is_service && service == kNone))
		return kNone;

	const int slot = ReserveSlot(target, kind, now);

	if (slot != kNone && is_service)
		ServiceReserved(service, slot);
	return slot;
}

/* Gives back a slot for which no process could be registered. */
static void
TakeBack(const WorkerTicket &ticket, TimestampTz now)
{
	Leftovers leftovers = {};
	LockScope lock(PoolLock());

	/* it was not started: that is no failure of the service */
	if (ticket.kind == SlotKind::kService)
		ServiceGone(SlotAt(ticket.slot).service, true, nullptr, now);
	(void) FreeSlot(ticket.slot, nullptr, &leftovers);
}

static bool
IsSuperuser(Oid role)
{
	MemoryContext const context = CurrentMemoryContext;

	StartTransactionCommand();
	const bool result = superuser_arg(role);

	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	return result;
}

/* May the service have its library loaded? False: its entry was told. */
static bool
MayLoad(const PairKey &target, TimestampTz now)
{
	/* what changes from now on, the look may not see */
	const uint64 authority = pg_atomic_read_u64(&pool->authority_changes);
	char entry_point[kEntryPointSize] = "";
	Oid owner = InvalidOid;
	uint64 version = 0;
	BriefError why = {};

	{
		LockScope lock(PoolLock(), LW_SHARED);
		const int index = FindServiceOfPair(target.fresh_id);

		if (index != kNone)
		{
			strlcpy(entry_point, ServiceAt(index).entry_point, sizeof(entry_point));
			owner = ServiceAt(index).owner;
			version = ServiceAt(index).version;
		}
	}
	if (entry_point[0] == '\0' || IsPreloaded(entry_point) || IsSuperuser(owner))
		return true;
	SetBriefError(&why, ERRCODE_INSUFFICIENT_PRIVILEGE,
				  "permission denied for the entry point of the service",
				  "Its library is not preloaded, and its owner is no superuser.",
				  "Add the library to \"shared_preload_libraries\", behind worker_pool.");
	{
		LockScope lock(PoolLock());
		const int index = FindServiceOfPair(target.fresh_id);

		/* what it was changed to meanwhile is for the next look */
		if (index != kNone && ServiceAt(index).slot == kNone && ServiceAt(index).version == version)
		{
			ServiceAt(index).authority_seen = authority;
			ServiceNotStarted(index, why, now);
		}
	}
	WakeServiceWaiters();
	return false;
}

bool
Spawn(const PairKey &target, SlotKind kind)
{
	WorkerTicket ticket = {kNone, kind, 0, 0};
	const TimestampTz now = GetCurrentTimestamp();
	const bool in_recovery = RecoveryInProgress();

	if (not_before > now || (kind == SlotKind::kService && !MayLoad(target, now)))
		return false;
	{
		LockScope lock(PoolLock());

		ticket.slot = Reserve(target, kind, in_recovery, now);
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
		TakeBack(ticket, now);
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
