/*
 * lease.cpp
 *	  Slots for background workers of other extensions. Runs in the process that starts such a worker (the taker), and in
 *	  the worker itself; neither need be a process of ours.
 *
 *		taker										worker
 *		AcquireLease: a slot, pid = taker
 *		RegisterDynamicBackgroundWorker,
 *			  the ticket in its arguments ------->	AttachToLease: pid = worker
 *														|
 *													exits: slot free
 *
 * The slot belongs to whose pid stands in it, and only that process frees it: by ReleaseLease, or by its exit callback,
 * which every process registers once, at its first ticket. So:
 *
 *	the worker could not be registered		the taker releases, or exits
 *	it was forked and died before it attached	the same: the taker notices (WaitForBackgroundWorkerStartup)
 *	the taker dies first					the slot is free; the ticket is not good when the worker comes
 *	the worker dies							its exit callback; SIGKILL: shared memory is made anew
 *	two workers come with one ticket		the second is refused: an attached slot is not the taker's any more
 *	crash restart							the epoch is another: refused
 *
 * A ticket is a number that fits a Datum: slot, generation and epoch, the latter two cut to 28 and 24 bits. A stale one
 * passes for good only if its slot was reserved 2^28 times since and is a lease that nobody has attached to yet, or
 * after a crash with one chance in 2^23.
 *
 * Waiting. A lease competes with the launcher, which gives free slots to demands; it is no demand itself, since its
 * process is not the launcher's to start. The waiter asks for room: an idle worker, the one idle longest, leaves for it;
 * where none is idle, and fairness_interval has passed, one that runs tasks or cycles leaves after its task or
 * cycle. Then it takes part in the race for the slot that comes free, again and again. It sleeps on pool->slot_freed, and
 * looks again each kLookMs, since a task that ends makes room among the shared slots without freeing one.
 */
#include "feature/lease.hpp"

#include "config/settings.hpp"
#include "shmem/service_table.hpp"

namespace worker_pool
{

static constexpr int64 kLookMs = 100;

/* --- tickets ---------------------------------------------------------------------------------------------------- */

static constexpr int kSlotBits = 12;
static constexpr int kGenerationBits = 28;
static constexpr int kEpochBits = 24;
static_assert(kSlotBits + kGenerationBits + kEpochBits == 64);

static constexpr uint64
LowBits(uint64 value, int bits)
{
	return value & ((UINT64CONST(1) << bits) - 1);
}

/* Never 0, so that no ticket is. */
static uint64
EpochMark()
{
	return LowBits(pool->epoch, kEpochBits) | 1;
}

/* Pool lock held. */
static uint64
TicketOf(int slot)
{
	return (EpochMark() << (kSlotBits + kGenerationBits)) |
		   (LowBits(SlotAt(slot).generation, kGenerationBits) << kSlotBits) |
		   static_cast<uint64>(slot);
}

/* Pool lock held: the slot that the ticket names, if it is the one that was meant; kNone. */
static int
SlotOfTicket(uint64 ticket)
{
	const auto slot = static_cast<int>(LowBits(ticket, kSlotBits));

	if (slot >= SlotCount() || ticket != TicketOf(slot) || SlotAt(slot).kind != SlotKind::kLease ||
		SlotAt(slot).state != SlotState::kRunning)
		return kNone;
	return slot;
}

/* --- giving back ------------------------------------------------------------------------------------------------ */

/* Is this a process with shared memory, of a server with a pool? */
static bool
HasPool()
{
	return pool != nullptr && MyProc != nullptr;
}

/* Frees that slot if it is this process's. */
static bool
FreeIfMine(int slot)
{
	Leftovers leftovers = {};

	if (slot == kNone || SlotAt(slot).pid != MyProcPid || SlotAt(slot).kind != SlotKind::kLease ||
		SlotAt(slot).state == SlotState::kFree)
		return false;
	(void) FreeSlot(slot, nullptr, &leftovers);
	return true;
}

/* Without the lock. */
static void
TellFreed()
{
	ConditionVariableBroadcast(&pool->slot_freed);
	WakeLauncher();
}

/* on_shmem_exit: gives back whatever slots are still this process's. Changes fields only. */
static void
GiveLeasesBack(int, Datum)
{
	bool freed = false;

	/* 13 does not do this before the callbacks: the pool lock must not be ours already */
	LWLockReleaseAll();
	{
		LockScope lock(PoolLock());

		for (int i = 0; i < SlotCount(); i++)
			freed |= FreeIfMine(i);
	}
	if (freed)
		TellFreed();
}

static void
RegisterExit()
{
	static bool registered = false;

	if (registered)
		return;
	on_shmem_exit(GiveLeasesBack, 0);
	registered = true;
}

/* --- taking ----------------------------------------------------------------------------------------------------- */

/* The slot of that kind of work that has been at it longest, and could go; kNone. */
static int
LongestIn(SlotState state)
{
	int longest = kNone;

	for (int i = 0; i < SlotCount(); i++)
	{
		const WorkerSlot &slot = SlotAt(i);

		if (slot.state != state || slot.terminate_sent || slot.give_way)
			continue;
		if (state == SlotState::kRunning && slot.kind != SlotKind::kTask &&
			(slot.kind != SlotKind::kService || slot.service == kNone ||
			 ServiceAt(slot.service).resident))
			continue;
		if (longest == kNone || slot.state_changed_at < SlotAt(longest).state_changed_at)
			longest = i;
	}
	return longest;
}

/* Is somebody on its way out already? */
static bool
IsAnyoneLeaving()
{
	for (int i = 0; i < SlotCount(); i++)
		if (SlotAt(i).state == SlotState::kStopping)
			return true;
	return false;
}

/*
 * Asks one worker to go. *asked_busy_at: when a busy one was asked last, or the wait began; one each fairness_interval.
 */
static void
AskForRoom(TimestampTz now, TimestampTz *asked_busy_at)
{
	/* theirs is the limit of leases, and no worker that goes changes that */
	if (!settings::enabled || ResidentCount() >= ResidentLimit())
		return;

	const bool is_shared_full = pool->task_slots >= TaskSlotLimit();
	const bool is_slot_free = !dlist_is_empty(&pool->free_slots);

	if (!is_shared_full && !is_slot_free && !IsAnyoneLeaving())
	{
		const int idle = LongestIn(SlotState::kIdle);

		if (idle != kNone)
		{
			StopSlot(idle);
			compat::SetLatchOf(SlotAt(idle).proc);
			return;
		}
	}
	if ((!is_shared_full && is_slot_free) ||
		now - *asked_busy_at < settings::fairness_interval_ms * INT64CONST(1000))
		return;

	const int busy = LongestIn(SlotState::kRunning);

	if (busy == kNone)
		return;
	SlotAt(busy).give_way = true;
	*asked_busy_at = now;
}

/* One try; the ticket, or 0. */
static uint64
TryAcquire(const char *name, bool ask_for_room, TimestampTz *asked_busy_at)
{
	const TimestampTz now = GetCurrentTimestamp();
	LockScope lock(PoolLock());
	const int slot = TakeLease(name, now);

	if (slot != kNone)
		return TicketOf(slot);
	if (ask_for_room)
		AskForRoom(now, asked_busy_at);
	return 0;
}

/* Tries until there is a slot, or the deadline came. */
static uint64
AcquireUntil(const char *name, TimestampTz deadline)
{
	static uint32 wait_event = 0;
	TimestampTz asked_busy_at = GetCurrentTimestamp();

	for (;;)
	{
		const uint64 ticket = TryAcquire(name, true, &asked_busy_at);
		const int64 left_us = deadline - GetCurrentTimestamp();

		if (ticket != 0 || left_us <= 0)
			return ticket;
		(void) ConditionVariableTimedSleep(
			&pool->slot_freed,
			static_cast<long>(std::clamp<int64>((left_us + 999) / 1000, 1, kLookMs)),
			compat::WaitEvent("WorkerPoolSlot", &wait_event));
	}
}

uint64
AcquireLease(const char *name, int64 timeout_ms)
{
	volatile uint64 ticket = 0;
	TimestampTz unused = 0;

	RequirePool();
	if (!HasPool())
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("cannot take a slot of worker_pool in this process"),
						errdetail("It has no access to the server's shared memory.")));
	if (name == nullptr || *name == '\0' || strlen(name) >= NAMEDATALEN)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("the name of a slot of the pool must have 1 to %d bytes",
							   NAMEDATALEN - 1)));
	if (timeout_ms < -1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("the time-out for a slot of the pool must not be negative"),
						errhint("-1 waits without limit.")));
	RegisterExit();
	if (timeout_ms == 0 || !settings::enabled)
		return TryAcquire(name, false, &unused);

	const TimestampTz deadline =
		timeout_ms < 0 ? DT_NOEND
					   : GetCurrentTimestamp() +
							 std::min<int64>(timeout_ms, INT64CONST(86400000) * 36500) * 1000;

	PG_TRY();
	{
		ConditionVariablePrepareToSleep(&pool->slot_freed);
		ticket = AcquireUntil(name, deadline);
	}
	PG_FINALLY();
	{
		ConditionVariableCancelSleep();
	}
	PG_END_TRY();
	return ticket;
}

bool
AttachToLease(uint64 ticket)
{
	if (!HasPool())
		return false;
	RegisterExit();

	LockScope lock(PoolLock());
	const int slot = SlotOfTicket(ticket);

	/* of a lease, begun says that somebody has attached to it */
	if (slot == kNone || SlotAt(slot).begun || !AttachLease(slot, SlotAt(slot).generation))
		return false;
	SlotAt(slot).begun = true;
	return true;
}

void
ReleaseLease(uint64 ticket)
{
	bool freed = false;

	if (!HasPool())
		return;
	{
		LockScope lock(PoolLock());

		freed = FreeIfMine(SlotOfTicket(ticket));
	}
	if (freed)
		TellFreed();
}

} // namespace worker_pool
