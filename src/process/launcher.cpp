/*
 * launcher.cpp
 *	  The launcher: the one resident process of the pool. Owns every decision about processes and is on
 *	  nobody's fast path.
 *
 * It is level-triggered. Whenever it wakes, it compares what is wanted with what is there:
 *	 1. starts that failed or are overdue are reclaimed and reported (launcher_starts.cpp);
 *	 2. commands and tasks whose stop has outlived its grace have their process terminated;
 *	 3. batches of tasks that hang are taken apart, and the ready queue says which pairs have tasks that could
 *		run (launcher_tasks.cpp); services that are to stop and do not are reminded, and what befell services is
 *		logged (launcher_services.cpp);
 *	 4. the next database that wants a visit is found (launcher_visits.cpp);
 *	 5. the allocation policy (core/allocation.hpp, pure) looks at a copy of all slots and of all demands, those
 *		of commands, of tasks, of services that are due and of the visit, and says who gets a process, which idle
 *		worker leaves, looks for tasks or begins its cycle, which busy one gives way;
 * and sleeps to the nearest deadline, for ever when there is none. It never waits for one process. An edge
 * that was lost is found by the next look, because a look starts from the state alone.
 *
 * Deadlines. While it looks, launcher_wake_at stands at "never": whoever makes a deadline meanwhile (a worker
 * that goes idle) sees that and sets the latch, so the deadline is found in the next round. Only then is the
 * new deadline published, under the lock.
 *
 * Death. An ERROR or a SIGTERM ends the process with exit code 1, and the postmaster starts another after
 * one second (exit code 0 would be for ever). The successor finds slots, records and queues in shared memory
 * and goes on from them: living workers are known by their slots, and the first look does the rest. Slots
 * that the predecessor reserved and whose process has not attached are freed at once (AdoptSlots).
 */
#include "process/launcher.hpp"

#include <csignal>

#include "config/settings.hpp"
#include "core/allocation.hpp"
#include "pg/guard.hpp"
#include "shmem/databases.hpp"
#include "shmem/ready.hpp"
#include "shmem/service_table.hpp"
#include "shmem/spill.hpp"

extern "C"
{
	PGDLLEXPORT void worker_pool_launcher_main(Datum main_arg);
}

namespace worker_pool
{

static MemoryContext cycle_context = nullptr;
static Sight sight = {};

static void
InitSight(MemoryContext context)
{
	/* pairs with commands, pairs with tasks, services, a visit */
	const Size demands = static_cast<Size>(PairCount()) + static_cast<Size>(PairCapacity()) +
						 static_cast<Size>(ServiceCapacity()) + 1;

	sight.slots = static_cast<SlotView *>(
		MemoryContextAlloc(context, sizeof(SlotView) * static_cast<Size>(SlotCount())));
	sight.demands =
		static_cast<DemandView *>(MemoryContextAlloc(context, sizeof(DemandView) * demands));
	sight.targets = static_cast<PairKey *>(MemoryContextAlloc(context, sizeof(PairKey) * demands));
}

/* Pool lock held: copies the pairs with queued commands. */
static void
AddCommandDemands()
{
	dlist_iter iter;

	dlist_foreach(iter, &pool->used_pairs)
	{
		Pair &pair = *dlist_container(Pair, node, iter.cur);

		if (pair.queued == 0)
			continue;

		const CommandRecord &oldest =
			*dlist_container(CommandRecord, node, dlist_head_node(&pair.queue));

		sight.targets[sight.demand_count] = pair.key;
		sight.demands[sight.demand_count] = {pair.key.database,
											 pair.key.role,
											 pair.key.fresh_id,
											 oldest.submitted_at,
											 oldest.id,
											 pair.queued,
											 pair.role_limit,
											 0,
											 IsBlocked(pair.key.database),
											 pair.gave_way_at};
		sight.demand_count++;
	}
}

/* Does a main that never ends by itself hold the slot? Lock held. */
static bool
IsResident(const WorkerSlot &slot)
{
	return slot.kind == SlotKind::kService && slot.service != kNone &&
		   ServiceAt(slot.service).resident;
}

/*
 * Copies slots and demands; marks that every new deadline from now on wants a wake. Returns when the next service
 * is due.
 */
static TimestampTz
TakeSight(TimestampTz now)
{
	LockScope lock(PoolLock());

	sight.demand_count = 0;
	sight.used = 0;
	pool->launcher_wake_at = DT_NOEND;
	pool->launcher_wakeups++;
	for (int i = 0; i < SlotCount(); i++)
	{
		WorkerSlot &slot = SlotAt(i);
		const bool taking =
			slot.state == SlotState::kRunning && slot.kind == SlotKind::kTask && slot.task_id == 0;

		sight.slots[i] = {slot.target.database,
						  slot.target.role,
						  slot.target.fresh_id,
						  slot.state,
						  slot.kind,
						  slot.give_way,
						  slot.state_changed_at,
						  taking,
						  IsResident(slot)};
		slot.task_permit = false;
		sight.used += slot.state == SlotState::kFree ? 0 : 1;
	}
	AddCommandDemands();
	AddTaskDemands(&sight, now);
	return AddServiceDemands(&sight, now);
}

/* Terminates commands and tasks whose grace is over. Returns the next such time. */
static TimestampTz
EnforceGrace(TimestampTz now)
{
	TimestampTz next = DT_NOEND;
	LockScope lock(PoolLock());

	for (int i = 0; i < SlotCount(); i++)
	{
		WorkerSlot &slot = SlotAt(i);

		if (slot.terminate_at == DT_NOEND || slot.terminate_sent || slot.terminate_id == 0 ||
			WorkId(slot) != slot.terminate_id)
			continue;
		if (slot.terminate_at <= now)
			TerminateSlot(i, slot.stop_reason);
		else
			next = std::min(next, slot.terminate_at);
	}
	return next;
}

/* Tells an idle worker to leave, if it still is idle. */
static void
Evict(int index)
{
	int proc = kNone;

	{
		LockScope lock(PoolLock());

		if (SlotAt(index).state != SlotState::kIdle)
			return;
		StopSlot(index);
		proc = SlotAt(index).proc;
	}
	compat::SetLatchOf(proc);
}

static void
AskToGiveWay(int index)
{
	LockScope lock(PoolLock());
	WorkerSlot &slot = SlotAt(index);

	if (slot.state == SlotState::kRunning || slot.state == SlotState::kAssigned)
		slot.give_way = true;
}

/* The idle worker looks for tasks, or begins the cycle of its service. */
static void
Wake(int index)
{
	int proc = kNone;

	{
		LockScope lock(PoolLock());
		WorkerSlot &slot = SlotAt(index);

		if (slot.state != SlotState::kIdle)
			return;
		slot.task_permit = true;
		proc = slot.proc;
	}
	compat::SetLatchOf(proc);
}

/* Do tasks or services wait for room? Then idle workers ask us, from now on. */
static void
NoteContention(bool tasks_wait)
{
	LockScope lock(PoolLock());

	pool->tasks_contended = tasks_wait;
}

/* Is the demand still there, and may its database be entered? */
static bool
StillWanted(const PairKey &target, SlotKind kind, TimestampTz now)
{
	if (kind == SlotKind::kTask && !HasWork(target.database, target.role, now))
		return false;

	const bool in_recovery = RecoveryInProgress();
	LockScope lock(PoolLock(), LW_SHARED);

	if (IsBlocked(target.database))
		return false;
	if (kind == SlotKind::kService)
		return ServiceToStart(target, in_recovery, now) != kNone;
	if (kind != SlotKind::kCommand)
		return true;

	const int pair = FindPair(target);

	return pair != kNone && PairAt(pair).queued > 0;
}

/* Starts a process for the demand. False: it is wanted, but could not be started. */
static bool
StartFor(int demand, TimestampTz now)
{
	const PairKey &target = sight.targets[demand];
	const SlotKind kind = sight.demands[demand].kind;

	if (!StillWanted(target, kind, now))
		return true;
	if (!Spawn(target, kind))
		return false;
	if (kind == SlotKind::kVisit)
		NoteVisitSent(now);
	return true;
}

/* Carries one action of the policy out. False: look again at once. */
static bool
Carry(const Action &action, TimestampTz now)
{
	switch (action.kind)
	{
		case ActionKind::kEvict:
			Evict(action.index);
			break;
		case ActionKind::kGiveWay:
			AskToGiveWay(action.index);
			break;
		case ActionKind::kWake:
			Wake(action.index);
			break;
		case ActionKind::kStart:
			return StartFor(action.index, now);
		case ActionKind::kNone:
			break;
	}
	return true;
}

static TimestampTz
MinTime(TimestampTz a, TimestampTz b)
{
	return std::min(a, b);
}

/* Runs the policy over one sight and carries its actions out. Returns when to look again by itself. */
static TimestampTz
Allocate(TimestampTz now)
{
	static constexpr int64 kMicrosecondsAMs = 1000;
	const int spawnable = SpawnableSlots(sight.used);
	const PolicyLimits limits = {spawnable,
								 settings::max_workers_per_database,
								 settings::fairness_interval_ms * kMicrosecondsAMs,
								 settings::idle_timeout_ms * kMicrosecondsAMs,
								 now,
								 settings::enabled,
								 TaskSlotLimit()};
	const int capacity = 2 * SlotCount() + sight.demand_count;
	auto *actions = static_cast<Action *>(palloc(sizeof(Action) * static_cast<Size>(capacity)));
	void *scratch = palloc(PolicyScratchSize(SlotCount(), sight.demand_count));
	std::int64_t wake_at = INT64_MAX;
	bool tasks_wait = false;

	/* that of a visit is known already, and a service has its back-off in its entry */
	for (int i = 0; i < sight.demand_count; i++)
		if (sight.demands[i].kind == SlotKind::kTask)
			sight.demands[i].not_before_us = TasksNotBefore(sight.targets[i]);
		else if (sight.demands[i].kind == SlotKind::kCommand)
			sight.demands[i].not_before_us = PairNotBefore(sight.targets[i]);

	const int count = PlanActions(sight.slots, SlotCount(), sight.demands, sight.demand_count,
								  limits, actions, capacity, &wake_at, scratch, &tasks_wait);
	TimestampTz next = wake_at == INT64_MAX ? DT_NOEND : static_cast<TimestampTz>(wake_at);

	NoteContention(tasks_wait);
	if (spawnable < SlotCount())
		next = MinTime(next, SpawnNotBefore());
	for (int i = 0; i < count; i++)
		if (!Carry(actions[i], now))
			next = now; /* look again with what there is */
	return next;
}

/* The clearing of what names this process, however it ends. */
static void
LeaveLauncher(int code, Datum argument)
{
	(void) code;
	(void) argument;
	LWLockReleaseAll();
	LockScope lock(PoolLock());

	if (pool->launcher_pid != MyProcPid)
		return;
	pool->launcher_pid = 0;
	pool->launcher_proc = kNone;
	pool->launcher_wake_at = DT_NOEND;
}

static void
Introduce()
{
	on_shmem_exit(LeaveLauncher, static_cast<Datum>(0));
	LockScope lock(PoolLock());

	pool->launcher_pid = MyProcPid;
	pool->launcher_proc = compat::MyProcIndex();
	pool->launcher_started_at = GetCurrentTimestamp();
	pool->launcher_wake_at = DT_NOEND;
}

/* One look. Returns the time of the next one, DT_NOEND when nothing is due. */
static TimestampTz
LookOnce()
{
	const TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = ReapStarts(now);

	WP_FAULT("launcher.after_reap");
	DiscoverAgain();
	next = MinTime(next, EnforceGrace(now));
	next = MinTime(next, TendTasks(now));
	next = MinTime(next, TendServices(now));
	next = MinTime(next, SeeTasks(now));
	next = MinTime(next, TakeSight(now));
	next = MinTime(next, CompleteTaskDemands(sight, now));
	next = MinTime(next, AddVisitDemand(&sight, now));
	next = MinTime(next, Allocate(now));
	WP_FAULT("launcher.after_allocate");
	return next;
}

/* Publishes the deadline and sleeps to it. */
static void
Sleep(TimestampTz next)
{
	static uint32 wait_event = 0;

	{
		LockScope lock(PoolLock());

		pool->launcher_wake_at = next;
	}

	long timeout_ms = -1;

	if (next != DT_NOEND)
	{
		const int64 left_us = next - GetCurrentTimestamp();

		timeout_ms = static_cast<long>(std::clamp<int64>(left_us / 1000 + 1, 0, INT_MAX));
	}
	(void) WaitLatch(MyLatch,
					 WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (timeout_ms >= 0 ? WL_TIMEOUT : 0),
					 timeout_ms, compat::WaitEvent("WorkerPoolLauncher", &wait_event));
	ResetLatch(MyLatch);
}

static void
ServeInterrupts()
{
	if (ProcDiePending)
	{
		/* exit code 1: after pg_terminate_backend the postmaster starts another, at shutdown it does not */
		ereport(DEBUG1, (errmsg_internal("worker_pool launcher is shutting down")));
		proc_exit(1);
	}
	CHECK_FOR_INTERRUPTS();
	if (catchupInterruptPending)
		ProcessCatchupInterrupt();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

[[noreturn]] static void
LauncherMain()
{
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	Introduce();
	BackgroundWorkerInitializeConnection(nullptr, nullptr, 0);
	pgstat_report_appname("worker_pool");

	MemoryContext const context =
		AllocSetContextCreate(TopMemoryContext, "worker_pool launcher", ALLOCSET_DEFAULT_SIZES);

	cycle_context =
		AllocSetContextCreate(context, "worker_pool launcher cycle", ALLOCSET_DEFAULT_SIZES);
	InitSpawner(context);
	InitStarts(context);
	InitSight(context);
	InitTaskDemands(context);
	AdoptSlots();
	RemoveForeignSpillFolders();
	WP_FAULT("launcher.before_discovery");
	DiscoverDatabases();

	for (;;)
	{
		MemoryContextSwitchTo(cycle_context);
		MemoryContextReset(cycle_context);
		ServeInterrupts();
		Sleep(LookOnce());
	}
}

void
RegisterLauncher()
{
	BackgroundWorker worker = {};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	/* on a hot standby too: commands that only read are welcome there */
	worker.bgw_start_time = BgWorkerStart_ConsistentState;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, kLibraryName, sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, kLauncherFunction, sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "worker_pool launcher", sizeof(worker.bgw_name));
	strlcpy(worker.bgw_type, "worker_pool launcher", sizeof(worker.bgw_type));
	RegisterBackgroundWorker(&worker);
}

} // namespace worker_pool

void
worker_pool_launcher_main(Datum main_arg)
{
	(void) main_arg;
	worker_pool::EnterCpp([]() { worker_pool::LauncherMain(); });
}
