/*
 * service_runner.cpp
 *	  A process of one service, from the moment it has its slot to its end. Worker process.
 *
 * The story. The launcher reserved a slot of kind kService for an entry of the service table (service_table.hpp) and
 * registered this process. After worker.cpp has attached it to the slot
 *	 1. PrepareService finds the entry by the serial in the slot's pair and loads the library of an entry point. That
 *		comes before the process connects, because only the entry point can say that it wants no database. An ERROR here
 *		is the reason why the process could not start: no crash, but tried again with back-off. It tells the entry what
 *		it has learned (resident, unconnected), and leaves where a resident main has no room, or the config that it
 *		cannot read itself is not there yet: both are waited for without a process (CanStart).
 *	 2. worker.cpp connects as the service's role, or, for one without a database, to none, and calls ServeService, the
 *		slot running.
 *	 3. CheckBeforeCycle (service_check.cpp) reads the row as it is now, in a transaction of its own, and asks whether the
 *		roles still may. What stands against it is again no crash: the process leaves, and the entry shows why.
 *	 4. ServiceBegins under the lock: the entry runs. From here on an ERROR is a failed cycle, and an end of the process
 *		that nobody asked for is a crash.
 *	 5. RunCycle (service_cycle.cpp): the command, or one call of the entry point's cycle, or its main for as long as that
 *		runs; committed on return.
 *	 6. EndCycle (service_slot.cpp): under one lock hold the entry waits (or backs off, or is in quarantine) and the slot
 *		is idle, or the process leaves.
 *	 7. WaitForTurn: sleeps until the next cycle is due. Then 3.
 *
 * Taking turns. Between two cycles the slot is idle: it counts for nobody, and the allocator may tell its process to leave
 * for somebody else, as any idle worker. At 7 it needs a place among those of tasks and services as a starting process
 * does; where there is none it wakes the launcher, which gives permits oldest first.
 *
 * If the process dies. While it starts: worker.cpp says ServiceNotStarted, with the reason that the log hook caught; in 3
 * LeaveService says so. Idle: nothing was run, ServiceGone as asked. In 4 to 6: its transaction is rolled back, ServiceGone as a crash,
 * unless it was told to leave; between the commit in 5 and the lock in 6 a cycle that took effect counts as crashed and
 * is run again at its next turn, as after any crash. SIGKILL: memory is rebuilt from the rows, careful (service_check.cpp).
 *
 * Without a database there are no transactions, catalogs, portals or snapshots in this process; everything that needs one
 * asks service_work.connected first.
 */
#include "process/service_runner.hpp"

#include "config/settings.hpp"
#include "pg/guard.hpp"
#include "process/message_capture.hpp"
#include "process/service_work.hpp"
#include "shmem/memory.hpp"

namespace worker_pool
{

ServiceWork service_work = {};

/* when a cycle could not begin */
static constexpr int64 kNotNowUs = INT64CONST(100) * 1000;

/* --- before the process connects ------------------------------------------------------------------------ */

/* Under the lock: the entry of this slot, copied. False: there is none any more, or it does not want a process. */
static bool
FindEntry()
{
	const WorkerSlot &slot = SlotAt(my_slot);
	const int index = slot.service;

	if (index == kNone || index >= ServiceCount())
		return false;

	const ServiceEntry &entry = ServiceAt(index);

	if (entry.serial == 0 || ServicePair(entry.serial) != slot.target.fresh_id ||
		entry.slot != my_slot || MustLeave(entry))
		return false;
	service_work.index = index;
	service_work.serial = entry.serial;
	service_work.id = entry.id;
	strlcpy(service_work.name, entry.name, sizeof(service_work.name));
	strlcpy(service_work.entry_point, entry.entry_point, sizeof(service_work.entry_point));
	snprintf(service_work.database, sizeof(service_work.database), "database with OID %u",
			 entry.database);
	return true;
}

/*
 * Under the lock: tells the entry what its entry point is. False: no process can be had for it now. From here on
 * memory knows that it is resident, waits for room without a process, and says so (ServiceLacksRoom).
 */
static bool
TellKind(bool resident, bool unconnected)
{
	ServiceEntry &entry = ServiceAt(service_work.index);

	if (!IsMine(entry))
		return false;
	/* refused to the entry point that it had before */
	if (!entry.unconnected)
		entry.config_refused = false;
	entry.resident = resident;
	entry.unconnected = unconnected;
	return !resident || HasResidentRoom(entry);
}

/*
 * Exit callback, after all that give back what the process has in shared memory. An entry point that calls exit() with any
 * other code than 0 and 1 would have the postmaster restart the whole server for it; it is a crash of this service alone.
 */
static void
ExitAsOne(int code, Datum)
{
	if (code != 0 && code != 1)
		_exit(1);
}

bool
PrepareService()
{
	bool found = false;
	bool has_room = false;
	bool has_config = true;

	on_proc_exit(ExitAsOne, static_cast<Datum>(0));
	service_work.index = kNone;
	/* asked once without the lock: from here on it only reads a flag, and allocates nothing */
	(void) RecoveryInProgress();
	{
		LockScope lock(PoolLock(), LW_SHARED);

		found = FindEntry();
	}
	if (!found)
		GoAway();
	if (service_work.entry_point[0] != '\0')
	{
		WP_FAULT("service.before_load");
		service_work.entry = FindEntryPoint(service_work.entry_point);
		WP_FAULT("service.after_load");
	}

	const bool unconnected =
		service_work.entry != nullptr && (service_work.entry->flags & WORKER_POOL_NO_DATABASE) != 0;

	{
		LockScope lock(PoolLock());
		const ServiceEntry &entry = ServiceAt(service_work.index);

		has_room = TellKind(IsResident(), unconnected);
		has_config = !unconnected || entry.config_version == entry.version;
	}
	if (!has_config)
		AskForConfig();
	if (!has_room || !has_config)
		GoAway();
	service_work.connected = !unconnected;
	return service_work.connected;
}

/* --- the loop ------------------------------------------------------------------------------------------- */

/* Once a process, and again after an ERROR, when there is nothing left to do. */
static void
InitService()
{
	if (service_work.context != nullptr)
		return;
	service_work.context = AllocSetContextCreate(TopMemoryContext, "worker_pool service cycle",
												 ALLOCSET_DEFAULT_SIZES);
	service_work.authority_seen = pg_atomic_read_u64(&pool->authority_changes);
	service_work.settings_seen = pg_atomic_read_u64(&pool->setting_changes);
	AttachMemory();
	/* the last words of a FATAL are the reason of a crash; who is connected has done this already */
	if (!service_work.connected)
		RedirectMessages();
	ShowWaiting();
	service_work.phase = ServicePhase::kIdle;
}

/* Forgets the cycle before. */
static void
BeginAnew()
{
	service_work.authority_gone = service_work.overran = service_work.retire = false;
	service_work.end = CycleEnd::kSucceeded;
	service_work.error = nullptr;
	service_work.definition = {};
	entry_point_state = {};
	MemoryContextSwitchTo(MessageContext);
	MemoryContextReset(MessageContext);
	MemoryContextReset(service_work.context);
}

/* What current_service_config() and the C interface say from now on. */
static void
FillEntryPointState()
{
	entry_point_state.entry = service_work.entry;
	entry_point_state.service = service_work.index;
	entry_point_state.name = service_work.name;
	/* as of before the config is, or was, read */
	entry_point_state.reload_seen =
		service_work.connected ? service_work.version : ServiceConfigVersion();
	if (service_work.connected)
	{
		entry_point_state.config = service_work.definition.config;
		return;
	}
	MemoryContextSwitchTo(service_work.context);
	entry_point_state.config = ServiceConfig();
	MemoryContextSwitchTo(MessageContext);
}

/* Under the lock; false: it is not to run (any more, or yet). */
static bool
Begins(TimestampTz now, TimestampTz deadline)
{
	ServiceEntry &entry = ServiceAt(service_work.index);

	NoteCommandBegins();
	if (IsMine(entry) && ServiceBegins(service_work.index, deadline))
	{
		service_work.begun_at = entry.begun_at;
		return true;
	}
	/* it was put off meanwhile; whatever else stands against it stands for a moment */
	if (IsMine(entry) && !MustLeave(entry))
		entry.next_start = std::max(entry.next_start, now + kNotNowUs);
	return false;
}

/* The slot runs: one cycle. */
static void
DoCycle()
{
	/* told to go between two cycles: nobody needs a FATAL in the log for that */
	if (ProcDiePending)
		GoAway();
	BeginAnew();
	service_work.phase = ServicePhase::kChecking;
	SetCurrentStatementStartTimestamp();
	ReloadConfiguration();
	WP_FAULT("service.before_cycle");
	if (!CheckBeforeCycle())
	{
		GiveTurnBack();
		return;
	}
	FillEntryPointState();

	const TimestampTz now = GetCurrentTimestamp();
	const TimestampTz deadline =
		service_work.timeout_ms > 0 ? LaterByMs(now, service_work.timeout_ms) : DT_NOEND;
	bool begun = false;

	{
		LockScope lock(PoolLock());

		begun = Begins(now, deadline);
	}
	if (!begun)
	{
		GiveTurnBack();
		return;
	}
	service_work.phase = ServicePhase::kRunning;
	WakeServiceWaiters();
	RunCycle();
	EndCycle();
}

[[noreturn]] void
ServeService()
{
	InitService();
	for (;;)
		switch (service_work.phase)
		{
			case ServicePhase::kFailed:
				FinishFailed();
				break;
			case ServicePhase::kEnding:
				EndCycle();
				break;
			default:
				if (SlotAt(my_slot).state != SlotState::kRunning)
					WaitForTurn();
				DoCycle();
				break;
		}
}

bool
InServiceWork()
{
	return service_work.phase != ServicePhase::kNone;
}

bool
ServiceIsRunning()
{
	return service_work.phase == ServicePhase::kRunning;
}

} // namespace worker_pool
