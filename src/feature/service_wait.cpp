/*
 * service_wait.cpp
 *	  How a service does, and waiting for it. Sessions, also on a hot standby, and workers whose command calls
 *	  wait_service.
 *
 * The waiter counts itself in (pool->service_waiters), prepares to sleep on pool->service_changed, then looks, then
 * sleeps: whatever changes an entry broadcasts after it, when anybody is counted. Each look reads the row, by id with
 * a fresh snapshot, and then the entry:
 *
 *		no row									dropped: 42704; who waits for `stopped` waits until the process is gone
 *		the state, and the cycles, are there	true
 *		in quarantine							55000 with the reason
 *		else									sleep until woken, or the limit
 *
 * A row that changes without a word (by replay on a standby, by a superuser's own DML) is found after a few seconds.
 *
 * Which cycles count. Those that began after the call: one that runs at the call is left out. When its end is seen, the
 * count starts there; should the next one have begun before this process looked again, it starts one success later, for
 * nobody knows whether the first one succeeded. An entry that goes and comes again begins at zero: all of its
 * cycles began after the call.
 *
 * An interrupted wait leaves the service alone. What was counted in is counted out on ERROR and on FATAL.
 */
#include "feature/services.hpp"

#include "feature/authority.hpp"
#include "feature/session.hpp"
#include "feature/task_authority.hpp"
#include "feature/tasks.hpp"
#include "pg/encoding.hpp"
#include "pg/guard.hpp"
#include "shmem/slots.hpp"

namespace worker_pool
{

/* A look without being woken: for rows that changed without a word. */
static constexpr int64 kLookAgainUs = 5 * USECS_PER_SEC;

struct ServiceWait
{
	int64 id;
	const char *name;
	const ServiceState *state; /* nullptr: any */
	int64 cycles;
	TimestampTz deadline;  /* DT_NOEND = none */
	MemoryContext context; /* for one look */

	bool looked;	  /* the rest is of an earlier look */
	uint64 serial;	  /* of the entry that is counted; 0: none */
	bool leave_out;	  /* the cycle that ran at the call may still come into cycles_done */
	uint64 begun;	  /* cycles_begun at the call */
	uint64 base;	  /* cycles_done that do not count */
	uint64 seen_done; /* cycles_done at the last look */
	uint64 carried;	  /* counted of entries before */
};

/* --- looking ------------------------------------------------------------------------------------------------- */

ServiceState
StateWithoutEntry(bool active, bool quarantined, bool own)
{
	if (!own || !active)
		return ServiceState::kStopped;
	return quarantined ? ServiceState::kQuarantined : ServiceState::kStarting;
}

/* Does that time mean anything in that state? */
static bool
HasNextStart(const ServiceEntry &entry)
{
	return entry.wanted && !TIMESTAMP_NOT_FINITE(entry.next_start) &&
		   (entry.state == ServiceState::kStarting || entry.state == ServiceState::kWaiting ||
			entry.state == ServiceState::kBackingOff);
}

void
LookAtEntry(int index, ServiceLook *look)
{
	const ServiceEntry &entry = ServiceAt(index);

	look->state = entry.state;
	/* one for the primary waits for nothing that would come while this is a standby */
	if (entry.state == ServiceState::kStarting && !entry.any_server && RecoveryInProgress())
		look->state = ServiceState::kStopped;
	look->has_entry = true;
	look->is_leaving = entry.slot != kNone && entry.leave && entry.leave_how == ServiceChange::kNow;
	look->serial = entry.serial;
	look->has_slot = entry.slot != kNone;
	look->pid = 0;
	if (entry.slot != kNone && SlotAt(entry.slot).generation == entry.slot_generation)
		look->pid = SlotAt(entry.slot).pid;
	look->cycles_begun = entry.cycles_begun;
	look->cycles_done = entry.cycles_done;
	look->restarts = entry.restarts;
	look->failures = entry.failures;
	look->next_start = HasNextStart(entry) ? entry.next_start : 0;
	look->started_at = entry.state == ServiceState::kRunning ? entry.begun_at : 0;
	look->leave_since = entry.slot != kNone ? entry.leave_since : 0;
	look->trouble = entry.trouble;
}

int64
MyServiceId()
{
	if (pool == nullptr || MyBgworkerEntry == nullptr)
		return 0;

	LockScope lock(PoolLock(), LW_SHARED);

	for (int i = 0; i < SlotCount(); i++)
	{
		const WorkerSlot &slot = SlotAt(i);

		if (slot.state == SlotState::kFree || slot.pid != MyProcPid)
			continue;
		return slot.kind == SlotKind::kService && slot.service != kNone ? ServiceAt(slot.service).id
																		: 0;
	}
	return 0;
}

/* What the entry says; nothing where there is none. */
static void
LookInMemory(int64 id, ServiceLook *look)
{
	LockScope lock(PoolLock(), LW_SHARED);
	const int index = FindService(MyDatabaseId, id);

	if (index != kNone)
		LookAtEntry(index, look);
}

/* --- the count ------------------------------------------------------------------------------------------------ */

/* Takes a look into account; how many cycles have come that count. */
static uint64
CountCycles(ServiceWait *wait, const ServiceLook &look)
{
	const bool runs = look.has_entry && look.state == ServiceState::kRunning;

	if (look.has_entry && look.serial != wait->serial)
	{
		wait->carried += wait->seen_done - std::min(wait->seen_done, wait->base);
		wait->serial = look.serial;
		wait->base = wait->looked ? 0 : look.cycles_done;
		wait->leave_out = !wait->looked && runs;
		wait->begun = look.cycles_begun;
		wait->seen_done = wait->base;
	}
	wait->looked = true;
	if (look.has_entry)
	{
		if (wait->leave_out && (!runs || look.cycles_begun != wait->begun))
		{
			wait->base = look.cycles_begun == wait->begun ? look.cycles_done : wait->base + 1;
			wait->leave_out = false;
		}
		wait->seen_done = look.cycles_done;
	}

	/* a resident main that does its rounds in one cycle: the one that was under way at the call is left out */
	const uint64 base = wait->base + (wait->leave_out ? 1 : 0);

	return wait->carried + wait->seen_done - std::min(wait->seen_done, base);
}

/* --- one look -------------------------------------------------------------------------------------------------- */

[[noreturn]] static void
RaiseUnknown(const char *name, bool dropped)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 dropped ? errmsg("service \"%s\" was dropped", name)
					 : errmsg("service \"%s\" does not exist", name),
			 dropped
				 ? 0
				 : errhint("The view worker_pool.services lists the services of this database.")));
	pg_unreachable();
}

/* The reason stands in the row, and until that is written, in memory. */
[[noreturn]] static void
RaiseQuarantine(const ServiceWait &wait, const ServiceLook &look, const char *reason)
{
	if (reason == nullptr)
		reason =
			ToServerEncoding(look.trouble.message, static_cast<int>(strlen(look.trouble.message)),
							 GetDatabaseEncoding());
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("service \"%s\" is in quarantine", wait.name),
					*reason != '\0' ? errdetail("%s", reason) : 0,
					errhint("worker_pool.start_service() starts it again.")));
	pg_unreachable();
}

/* Is what is waited for there? */
static bool
IsReached(const ServiceWait &wait, const ServiceLook &look, uint64 counted)
{
	if (wait.state != nullptr && look.state != *wait.state)
		return false;
	/* the process of before, which is to make way for the one that is waited for */
	if (wait.state != nullptr && *wait.state != ServiceState::kStopped && look.is_leaving)
		return false;
	/* its process may still be leaving */
	if (wait.state != nullptr && *wait.state == ServiceState::kStopped && look.has_slot)
		return false;
	return counted >= static_cast<uint64>(wait.cycles);
}

/* True: the wait is over. */
static bool
LookAtService(ServiceWait *wait)
{
	MemoryContext const caller = MemoryContextSwitchTo(wait->context);
	Relation relation = OpenTable(Table::kService, AccessShareLock);
	const HeapTuple tuple = FetchById(relation, Index::kServiceId, wait->id);
	const char *reason = nullptr;
	ServiceLook look = {};
	bool over = false;

	if (tuple != nullptr)
	{
		const FormService &form = *ServiceFormOf(tuple);

		look.state = StateWithoutEntry(form.active, IsQuarantined(form),
									   IsOwnRow(form.installation, form.database));
		reason = TextOf(relation, tuple, kServiceReason);
	}
	CloseTableForWait(relation, AccessShareLock);
	LookInMemory(wait->id, &look);

	const uint64 counted = CountCycles(wait, look);

	if (tuple == nullptr)
	{
		if (wait->state == nullptr || *wait->state != ServiceState::kStopped)
			RaiseUnknown(wait->name, true);
		over = !look.has_slot;
	}
	else
		over = IsReached(*wait, look, counted);
	if (!over && tuple != nullptr && look.state == ServiceState::kQuarantined &&
		(wait->state == nullptr || *wait->state != ServiceState::kQuarantined))
		RaiseQuarantine(*wait, look, reason);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(wait->context);
	return over;
}

/* --- the wait --------------------------------------------------------------------------------------------------- */

/* Also an exit callback: what WaitForService counted in. */
static void
LeaveServiceWait(int, Datum)
{
	pg_atomic_fetch_sub_u32(&pool->service_waiters, 1);
	ConditionVariableCancelSleep();
}

/* The loop of the story above. False when the limit came first. */
static bool
WaitUntilReached(ServiceWait *wait)
{
	static uint32 event_cache = 0;

	while (!LookAtService(wait))
	{
		const TimestampTz now = GetCurrentTimestamp();

		if (now >= wait->deadline)
			return false;

		const TimestampTz until = std::min(wait->deadline, now + kLookAgainUs);
		const long timeout_ms = static_cast<long>(std::max<int64>((until - now + 999) / 1000, 1));

		WP_FAULT_IN_TRY("wait_service.before_sleep");
		/* outside of a statement nothing may be held back from VACUUM */
		if (!ActiveSnapshotSet())
			InvalidateCatalogSnapshot();
		(void) ConditionVariableTimedSleep(&pool->service_changed, timeout_ms,
										   compat::WaitEvent("WorkerPoolService", &event_cache));
	}
	return true;
}

/* 55000: what this transaction changed reaches the service when it has ended, and what runs in it cannot wait for its own end. */
static void
RefuseHopeless(const char *name, HeapTuple tuple)
{
	const int64 id = ServiceFormOf(tuple)->id;

	if (id == MyServiceId())
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("service \"%s\" cannot wait for itself", name)));
	if (IsServiceArmed(id) || IsHeldByMe(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot wait for service \"%s\" in this transaction", name),
				 errdetail("This transaction has changed it, which takes effect when it commits."),
				 errhint("COMMIT first.")));
}

/* Finds the row, and checks what can be checked before the wait. Returns the id. */
static int64
EnterWait(const char *name)
{
	Relation relation = OpenTable(Table::kService, AccessShareLock);
	const HeapTuple tuple = FetchByName(relation, Index::kServiceName, name);

	if (tuple == nullptr)
		RaiseUnknown(name, false);

	const FormService &form = *ServiceFormOf(tuple);

	/* the owner of a foreign row is a number of elsewhere */
	if (IsOwnRow(form.installation, form.database))
	{
		if (!MaySeeCommand(GetUserId(), form.owner))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied for service \"%s\"", name),
					 errdetail("Its owner, members of the owner's role and of pg_read_all_stats may "
							   "wait for it.")));
	}
	else
		CheckOwns(psprintf("service \"%s\"", name), InvalidOid);
	RefuseHopeless(name, tuple);
	CloseTableForWait(relation, AccessShareLock);
	return form.id;
}

bool
WaitForService(const char *name, const ServiceState *state, int64 cycles, int64 timeout_ms)
{
	ServiceWait wait = {};
	volatile bool reached = false;

	wait.id = EnterWait(name);
	wait.name = name;
	wait.state = state;
	wait.cycles = cycles;
	wait.deadline =
		timeout_ms == 0 ? DT_NOEND : GetCurrentTimestamp() + timeout_ms * INT64CONST(1000);
	wait.context = AllocSetContextCreate(CurrentMemoryContext, "worker_pool wait for a service",
										 ALLOCSET_SMALL_SIZES);
	pg_atomic_fetch_add_u32(&pool->service_waiters, 1);
	PG_ENSURE_ERROR_CLEANUP(LeaveServiceWait, static_cast<Datum>(0));
	{
		/* first the condition variable, then the look: a broadcast in between is not lost */
		ConditionVariablePrepareToSleep(&pool->service_changed);
		reached = WaitUntilReached(&wait);
	}
	PG_END_ENSURE_ERROR_CLEANUP(LeaveServiceWait, static_cast<Datum>(0));
	LeaveServiceWait(0, static_cast<Datum>(0));
	MemoryContextDelete(wait.context);
	return reached;
}

} // namespace worker_pool
