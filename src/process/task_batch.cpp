/*
 * task_batch.cpp
 *	  Takes items from the ready queue and claims their rows. Worker process.
 *
 * TakeItems is the claim in memory: no other worker of this server has these items from then on. The claim in
 * the rows, which a crash, a failover and the fence need, is one transaction for the whole batch that nobody
 * waits for: what a crash loses of it is claimed again. Its result says of each entry what is to be done; what
 * is quick (drop it, put it off) is done after its commit.
 *
 * Size. A batch begins with one item and doubles while a full one runs in 5 ms; when one takes longer the next
 * is half as large. If a batch still runs after 20 ms and others wait in it, a timer tells the launcher, which
 * takes those back (StealBatch): BeginItem then refuses them, and the next batch is one item again. So a claim
 * shares its commit with many short tasks, and no task waits long behind another while workers are free.
 *
 * If the process dies: before the commit of the claims, rows are untouched; after it, they carry a claim that
 * nobody has run. Either way the exit callback gives all items back with (slot, generation) as void claim, and
 * the next worker claims over it. If the server dies, the claims are of a foreign epoch.
 *
 * On ERROR the transaction is rolled back, the entry that it was about is put off for ten seconds (it may be
 * the one bad row), and the rest goes back; the process then leaves (task_failure.cpp), so nothing loops hot.
 */
#include "process/task_batch.hpp"

#include "feature/authority.hpp"
#include "process/bookkeeping.hpp"
#include "process/task_request.hpp"
#include "process/worker_command.hpp"

namespace worker_pool
{

static constexpr int kMostTasks = 100;
static constexpr int64 kShortBatchUs = 5000;
static constexpr int kStuckAfterMs = 20;
static constexpr int kMostRefills = 3;
static constexpr int64 kPutOffUs = 10 * USECS_PER_SEC;
/* who locks rows of waiting tasks pushes the item again when it ends; a stranger (SELECT FOR UPDATE) does not */
static constexpr int64 kLockedUs = 1 * USECS_PER_SEC;
/* it should not be: an item is one worker's at a time. Should memory and table differ, the table is right */
static constexpr int64 kHeldUs = 5 * USECS_PER_SEC;

/* One for the process. */
struct Batch
{
	int count;
	int next;	  /* the first that was not handed out */
	int size;	  /* how many to take */
	int claiming; /* the entry that the claim transaction is about; kNone: none */
	bool claimed; /* the claims are committed */
	TimestampTz begun_at;
};

static Batch batch = {0, 0, 1, kNone, false, 0};
static BatchEntry entries[kMostTasks];
static MemoryContext batch_context = nullptr;

static TimeoutId timer = MAX_TIMEOUTS; /* until registered */
static volatile sig_atomic_t stuck = false;

/* Signal handler. */
static void
BatchTimerHandler()
{
	stuck = true;
	SlotAt(my_slot).batch_stuck = true;
	WakeLauncher();
}

void
InitTaskBatch()
{
	batch_context =
		AllocSetContextCreate(TopMemoryContext, "worker_pool batch", ALLOCSET_DEFAULT_SIZES);
	timer = RegisterTimeout(USER_TIMEOUT, BatchTimerHandler);
}

Claim
MyClaim()
{
	return {static_cast<int64>(pool->epoch), my_slot,
			static_cast<int64>(SlotAt(my_slot).generation)};
}

VoidClaim
MyVoidClaim()
{
	return {my_slot, SlotAt(my_slot).generation};
}

/* What is said of a claim that was not made. */
static constexpr VoidClaim kNoClaim = {kNone, 0};

/* --- claiming ------------------------------------------------------------------------------------------- */

static bool
IsOf(const FormTask &form, const VoidClaim &claim)
{
	return claim.slot != kNone && form.claim_slot == claim.slot &&
		   form.claim_generation == static_cast<int64>(claim.generation);
}

/* Does the row still carry the claim under which the item was begun? Else that attempt is recorded already. */
static bool
WasLost(Relation task, BatchEntry *entry)
{
	if (likely(!entry->item.lost))
		return false;

	HeapTuple tuple = FetchById(task, Index::kTaskId, entry->item.spec.id);

	if (tuple == nullptr)
		return false;

	const FormTask &form = *FormOf(tuple);

	entry->lost_since = form.claimed_at;
	/* the older one: who had the item since has died before it claimed the row */
	return form.claim_epoch == static_cast<int64>(pool->epoch) &&
		   (IsOf(form, entry->item.void_claim) || IsOf(form, entry->item.older_claim));
}

/* How is a row that cannot be claimed with others to be claimed? */
static Errand
LookAtAlone(Relation task, BatchEntry *entry)
{
	HeapTuple tuple = FetchById(task, Index::kTaskId, entry->item.spec.id);

	if (tuple == nullptr)
		return Errand::kDrop;

	const FormTask &form = *FormOf(tuple);

	entry->claimed.tuple = tuple;
	entry->careful = pool->careful && form.trusted_epoch != static_cast<int64>(pool->epoch);
	entry->name = TextOf(task, tuple, kTaskName);
	return Errand::kAlone;
}

/* The row is claimed: what is needed to run it, while the table is open. */
static Errand
Prepare(Relation task, BatchEntry *entry, bool lost)
{
	entry->ours = true;
	if (lost)
		return Errand::kLost;
	entry->request = RequestOfTask(task, entry->claimed.tuple);
	entry->name = TextOf(task, entry->claimed.tuple, kTaskName);
	return Errand::kRun;
}

/*
 * The row carries the claim of a living process. As the item is ours, that one may run the task only if it does so
 * already: where it does not, it has given the task back, and the note of that was lost.
 */
static bool
IsAbandoned(const FormTask &form)
{
	LockScope lock(PoolLock(), LW_SHARED);
	const WorkerSlot &slot = SlotAt(form.claim_slot);

	return slot.generation != static_cast<uint64>(form.claim_generation) ||
		   slot.task_id != form.id || slot.target.database != MyDatabaseId;
}

/* Claims over what the item knows to be void, or what turns out to be. */
static ClaimResult
ClaimOver(Relation task, BatchEntry *entry, bool alone)
{
	const TakenItem &item = entry->item;
	ClaimRequest request = {MyClaim(), item.void_claim, item.spec, alone, alone};
	const ClaimResult result = ClaimTask(task, item.spec.id, request, &entry->claimed, &entry->due);

	if (result != ClaimResult::kHeld)
		return result;

	const FormTask &form = *FormOf(entry->claimed.tuple);

	if (!IsAbandoned(form))
		return result;
	request.void_claim = {form.claim_slot, static_cast<uint64>(form.claim_generation)};
	return ClaimTask(task, item.spec.id, request, &entry->claimed, &entry->due);
}

/* Claims the row and says what is to be done. The table is open; batch_context is current. */
static Errand
ClaimEntry(Relation task, BatchEntry *entry, bool alone)
{
	const bool lost = WasLost(task, entry);

	switch (ClaimOver(task, entry, alone))
	{
		case ClaimResult::kClaimed:
			return Prepare(task, entry, lost);
		case ClaimResult::kGone:
			return Errand::kDrop;
		case ClaimResult::kLocked:
			return Errand::kLocked;
		case ClaimResult::kHeld:
			return Errand::kHeld;
		case ClaimResult::kNotDue:
			return Errand::kLater;
		case ClaimResult::kExpired:
			return Errand::kExpired;
		case ClaimResult::kLost:
			entry->lost_since = FormOf(entry->claimed.tuple)->claimed_at;
			entry->foreign =
				FormOf(entry->claimed.tuple)->claim_epoch != static_cast<int64>(pool->epoch);
			return Errand::kLost;
		case ClaimResult::kCareful:
			return LookAtAlone(task, entry);
		case ClaimResult::kRole:
			entry->role_name = TextOf(task, entry->claimed.tuple, kTaskRunAsName);
			return Errand::kRole;
	}
	return Errand::kDrop;
}

/* One transaction for all. False: the process may not run here any more. */
static bool
ClaimBatch()
{
	BeginBookkeeping(Durability::kLazy);

	const bool allowed = AuthorityStillHolds();
	Relation task = allowed ? TryOpenTable(Table::kTask, RowExclusiveLock) : nullptr;

	MemoryContextSwitchTo(batch_context);
	for (int i = 0; allowed && i < batch.count; i++)
	{
		BatchEntry &entry = entries[i];

		batch.claiming = i;
		if (task == nullptr)
			entry.errand = Errand::kDrop; /* the extension went away */
		else if (entry.item.spec.kind == ItemKind::kSchedule)
			entry.errand = Errand::kSchedule;
		else
			entry.errand = ClaimEntry(task, &entry, false);
	}
	batch.claiming = kNone;
	if (task != nullptr)
		table_close(task, NoLock);
	EndBookkeeping();
	batch.claimed = true;
	WP_FAULT("task.claim_committed");
	return allowed;
}

void
ClaimAlone(BatchEntry *entry)
{
	BeginBookkeeping(Durability::kFlushed);

	Relation task = TryOpenTable(Table::kTask, RowExclusiveLock);
	Errand errand = Errand::kDrop;

	MemoryContextSwitchTo(batch_context);
	if (task != nullptr)
	{
		errand = ClaimEntry(task, entry, true);
		table_close(task, NoLock);
	}
	EndBookkeeping();
	/* it was satisfied: "alone" again would be for ever */
	entry->errand = errand == Errand::kAlone ? Errand::kHeld : errand;
	WP_FAULT("task.claim_committed");
}

/* --- taking --------------------------------------------------------------------------------------------- */

/* Takes items, loading on from the table where the next in order may stand there only. */
static TakeResult
TakeAndLoad(TimestampTz now)
{
	static TakenItem items[kMostTasks];
	const Oid role = SlotAt(my_slot).target.role;
	TakeResult result = TakeResult::kEmpty;
	int count = 0;

	for (int refills = 0; refills <= kMostRefills; refills++)
	{
		if (refills > 0)
		{
			BeginBookkeeping(Durability::kLazy);
			LoadPair(role);
			EndBookkeeping();
		}
		result = TakeItems(MyDatabaseId, role, my_slot, now, batch.size, items, &count);
		if (result != TakeResult::kRefill)
			break;
	}
	batch.count = result == TakeResult::kTaken ? count : 0;
	for (int i = 0; i < batch.count; i++)
	{
		entries[i] = {};
		entries[i].item = items[i];
		entries[i].errand = Errand::kTaken;
	}
	return result;
}

Take
TakeBatch()
{
	const TimestampTz now = GetCurrentTimestamp();

	batch.count = batch.next = 0;
	batch.claimed = false;
	batch.claiming = kNone;
	stuck = false;
	SlotAt(my_slot).batch_stuck = false;
	MemoryContextSwitchTo(MessageContext);
	MemoryContextReset(MessageContext);
	MemoryContextReset(batch_context);

	const TakeResult result = TakeAndLoad(now);

	if (result == TakeResult::kRefill)
		return Take::kNotNow;
	if (batch.count == 0)
		return Take::kNothing;
	batch.begun_at = now;
	if (!ClaimBatch())
		return Take::kForbidden;
	for (int i = 0; i < batch.count; i++)
		SettleEntry(&entries[i]);
	return Take::kBatch;
}

void
AbandonTake()
{
	if (batch.claiming != kNone)
		PutOff(&entries[batch.claiming]);
	batch.claiming = kNone;
	DropBatch();
}

/* --- the entries ---------------------------------------------------------------------------------------- */

/* The batch is through: was its size right? */
static void
AdjustSize()
{
	const int64 took_us = GetCurrentTimestamp() - batch.begun_at;

	if (timer != MAX_TIMEOUTS && get_timeout_active(timer))
		disable_timeout(timer, false);
	if (batch.count == 0)
		return;
	if (stuck)
		batch.size = 1;
	else if (took_us > kShortBatchUs)
		batch.size = std::max(1, batch.size / 2);
	else if (batch.count == batch.size)
		batch.size = std::min(kMostTasks, batch.size * 2);
}

BatchEntry *
NextEntry()
{
	while (batch.next < batch.count && entries[batch.next].errand == Errand::kNone)
		batch.next++;
	if (batch.next >= batch.count)
	{
		AdjustSize();
		batch.count = batch.next = 0;
		return nullptr;
	}

	BatchEntry &entry = entries[batch.next++];

	/* an ERROR of a task disarms all timers */
	if (batch.next < batch.count && !stuck && !get_timeout_active(timer))
		enable_timeout_after(timer, kStuckAfterMs);
	return &entry;
}

void
DropBatch()
{
	for (; batch.next < batch.count; batch.next++)
	{
		BatchEntry &entry = entries[batch.next];

		if (entry.errand == Errand::kNone)
			continue;
		/* the claim that stands in the row, unless its transaction was rolled back */
		GiveBackItem(entry.item.index, entry.item.serial,
					 entry.ours && batch.claimed ? MyVoidClaim() : kNoClaim);
	}
	if (timer != MAX_TIMEOUTS && get_timeout_active(timer))
		disable_timeout(timer, false);
	batch.count = batch.next = 0;
}

/* Taken -> delayed until then; who pushes it meanwhile makes it ready. due: the row says so. */
static void
LookAgainAt(BatchEntry *entry, TimestampTz until, bool due)
{
	PostponeItem(entry->item.index, entry->item.serial, until, due);
	entry->errand = Errand::kNone;
}

void
SettleEntry(BatchEntry *entry)
{
	switch (entry->errand)
	{
		case Errand::kLocked:
			LookAgainAt(entry, GetCurrentTimestamp() + kLockedUs, false);
			break;
		case Errand::kHeld:
			LookAgainAt(entry, GetCurrentTimestamp() + kHeldUs, false);
			break;
		case Errand::kLater:
			LookAgainAt(entry, entry->due, true);
			break;
		case Errand::kDrop:
			FinishItem(entry->item.index, entry->item.serial, FinishHow::kDropped, -1, -1);
			entry->errand = Errand::kNone;
			break;
		default:
			break;
	}
}

void
PutOff(BatchEntry *entry)
{
	LookAgainAt(entry, GetCurrentTimestamp() + kPutOffUs, false);
}

} // namespace worker_pool
