/*
 * service_main.cpp
 *	  What an entry point asks of its service while it runs: to stop? what has changed? its config. Worker process, called
 *	  through the C interface (src/api) from inside cycle or main.
 *
 * A resident main runs outside of our loop, so what that does between two cycles is done here, whenever main sleeps or
 * says that a round is done: interrupts, invalidations, the configuration, statistics, the check of its role, and
 * the end of suspicion (service_check.cpp) once it has lived for a while. A main that does neither sees only
 * ServiceIsToStop, which looks at shared memory and nothing else.
 *
 * Whatever is done here in a transaction of ours is done outside of the caller's, and leaves his memory context and
 * resource owner as they were.
 */
#include "process/service_work.hpp"

#include "config/settings.hpp"
#include "process/bookkeeping.hpp"
#include "process/executor.hpp"
#include "shmem/databases.hpp"
#include "shmem/memory.hpp"
#include "shmem/ready.hpp"

namespace worker_pool
{

/* a sleep of so many ms is worth forcing the statistics out before */
static constexpr int64 kLongSleepMs = 500;

/* Closed for DDL, which has asked it to give way. */
static bool
IsDrained(const WorkerSlot &slot)
{
	if (!slot.give_way)
		return false;

	LockScope lock(PoolLock(), LW_SHARED);

	return IsBlocked(slot.target.database);
}

bool
ServiceIsToStop()
{
	if (service_work.phase == ServicePhase::kNone || entry_point_state.service == kNone ||
		entry_point_state.name == nullptr)
		return false;

	const WorkerSlot &slot = SlotAt(my_slot);
	const ServiceEntry &entry = ServiceAt(service_work.index);

	if (service_work.authority_gone || !settings::enabled || ProcDiePending ||
		slot.terminate_sent || !IsMine(entry))
		return true;
	/* a cycle may end before another process takes its place, or others their turn */
	return IsResident() ? MustLeave(entry) : IsToLeaveNow(entry) || IsDrained(slot);
}

/* Whose memory and resources these are: a transaction of ours in between leaves others current. */
struct Caller
{
	MemoryContext context;
	ResourceOwner owner;
};

static Caller
RememberCaller()
{
	return {CurrentMemoryContext, CurrentResourceOwner};
}

static void
ReturnTo(const Caller &caller)
{
	MemoryContextSwitchTo(caller.context);
	CurrentResourceOwner = caller.owner;
}

/* Between two waits of a main: has it lived long enough not to be a suspect? */
static void
EndSuspicion()
{
	if (!IsResident() || (!service_work.suspect && service_work.row_crashes == 0) ||
		GetCurrentTimestamp() < service_work.begun_at + kCarefulLimitUs)
		return;
	ProveHarmless();
}

bool
TendService(int64 sleep_ms)
{
	const Caller caller = RememberCaller();
	const bool reloaded = ConfigReloadPending;

	CHECK_FOR_INTERRUPTS();
	ReloadConfiguration();
	if (!service_work.connected)
		AskForConfig();
	if (!IsTransactionOrTransactionBlock())
	{
		/* the now() of the caller's next transaction: he has no statements that would set it */
		SetCurrentStatementStartTimestamp();
		if (catchupInterruptPending)
			ProcessCatchupInterrupt();
		if (AuthorityIsGone())
			service_work.authority_gone = true;
		EndSuspicion();
		if (service_work.connected && sleep_ms != 0)
			(void) ReportStatistics(sleep_ms < 0 || sleep_ms >= kLongSleepMs);
	}
	ReturnTo(caller);
	return reloaded;
}

uint64
ServiceConfigVersion()
{
	const ServiceEntry &entry = ServiceAt(service_work.index);

	if (!IsMine(entry))
		return entry_point_state.reload_seen;
	return service_work.connected ? entry.version : entry.config_version;
}

/* Of a process without a database: as the last visit has left it. */
static char *
CopySharedConfig()
{
	const ServiceEntry &entry = ServiceAt(service_work.index);

	for (;;)
	{
		Size size = 0;
		bool copied = false;

		{
			LockScope lock(PoolLock(), LW_SHARED);

			if (IsMine(entry) && DsaPointerIsValid(entry.config))
				size = SharedSize(entry.config);
		}
		if (size == 0)
			return pstrdup("{}");

		char *copy = static_cast<char *>(palloc(size + 1));

		{
			LockScope lock(PoolLock(), LW_SHARED);

			copied = IsMine(entry) && DsaPointerIsValid(entry.config) &&
					 SharedSize(entry.config) == size;
			if (copied)
				memcpy(copy, SharedAddress(entry.config), size);
		}
		copy[size] = '\0';
		if (copied)
			return copy;
		/* another one has come meanwhile */
		pfree(copy);
	}
}

/* The row's, as it is now; nullptr where it is gone. In the caller's transaction, or one of ours. */
static char *
ReadConfigNow()
{
	const Caller caller = RememberCaller();
	MemoryContext const scratch =
		AllocSetContextCreate(caller.context, "worker_pool service row", ALLOCSET_DEFAULT_SIZES);
	const bool own = !IsTransactionState();
	ServiceDefinition definition = {};
	char *config = nullptr;

	if (own)
		BeginBookkeeping(Durability::kLazy);
	MemoryContextSwitchTo(scratch);
	if (ReadService(service_work.id, &definition))
		config = MemoryContextStrdup(caller.context, definition.config);
	if (own)
		EndBookkeeping();
	ReturnTo(caller);
	MemoryContextDelete(scratch);
	return config;
}

char *
ServiceConfig()
{
	if (service_work.phase == ServicePhase::kNone || entry_point_state.name == nullptr)
		return nullptr;

	const bool first = entry_point_state.config == nullptr;

	if (!service_work.connected && (IsResident() || first))
		return CopySharedConfig();
	/* nothing can be read in an aborted transaction */
	if (IsResident() && (IsTransactionState() || !IsTransactionOrTransactionBlock()))
	{
		char *config = ReadConfigNow();

		if (config != nullptr)
			return config;
	}
	return pstrdup(entry_point_state.config);
}

void
ServiceRoundDone()
{
	const Caller caller = RememberCaller();

	if (!IsResident() || !entry_point_state.in_call)
		return;
	{
		LockScope lock(PoolLock());
		const ServiceEntry &entry = ServiceAt(service_work.index);

		if (IsMine(entry) && entry.state == ServiceState::kRunning)
			ServiceRound(service_work.index);
	}
	WakeServiceWaiters();
	if (IsTransactionOrTransactionBlock())
		return;
	if (service_work.suspect || service_work.row_crashes > 0)
		ProveHarmless();
	if (AuthorityIsGone())
		service_work.authority_gone = true;
	if (service_work.connected)
		(void) ReportStatistics(false);
	ReturnTo(caller);
}

} // namespace worker_pool
