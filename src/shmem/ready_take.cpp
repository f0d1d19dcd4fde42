/*
 * ready_take.cpp
 *	  Items out of the ready queue and back: what a worker takes, and what becomes of it.
 *
 * Runs in workers, for their own pair; in their exit callbacks; in the launcher for a process that hangs or never
 * came back; and in the session that cancels a task.
 *
 * An item that is taken stands in the list of its slot, under a serial that is new each time. Whoever holds an
 * older serial holds nothing: that is how a worker whose batch was stolen learns of it. If a worker dies at any
 * point, its exit callback gives back all it had: what it had not begun as if nothing had been, what it had begun
 * as lost, with its last words. If it dies without one, the server crashes and memory is made anew.
 */
#include "shmem/ready_table.hpp"

#include "shmem/slots.hpp"

namespace worker_pool
{

/* How many items may be parked or delayed on the way in one hold of the lock. */
static constexpr int kAsideAHold = 200;
/* How long an item waits for an entry of its limit. */
static constexpr int64 kLimitRetryUs = 200 * INT64CONST(1000);

/* The item, if it is still taken under that serial. */
static ReadyItem *
TakenUnder(int32 index, uint64 serial)
{
	Assert(LWLockHeldByMeInMode(TaskLock(), LW_EXCLUSIVE));
	if (index < 0 || index >= kItems)
		return nullptr;

	ReadyItem &item = ItemAt(index);

	return item.state == ItemState::kTaken && item.serial == serial ? &item : nullptr;
}

int32
LeaveTaken(int32 index, WakeSet *wakes)
{
	ReadyItem &item = ItemAt(index);
	const int32 pair = item.pair;

	Assert(item.state == ItemState::kTaken);
	if (item.links.left != kNone)
		ItemAt(item.links.left).links.right = item.links.right;
	else
		taken_lists[item.slot] = item.links.right;
	if (item.links.right != kNone)
		ItemAt(item.links.right).links.left = item.links.left;
	TaskPairAt(pair).taken--;
	if (item.begun)
		TaskDatabaseAt(item.database).begun--;
	item.begun = false;
	item.slot = kNone;
	item.state = ItemState::kFree;
	CountOut(index, wakes);
	return pair;
}

/* --- taking ---------------------------------------------------------------------------------------------- */

/* One call of TakeItems. */
struct Taking
{
	Oid database;
	Oid role;
	int slot;
	TimestampTz now;
	int most;
	int workers; /* of the pair */
	TakenItem *items;
	int count;
	bool unfinished; /* the lock was held for long enough: go on in another hold */
	bool left;		 /* there is more for others */
};

static void
Describe(int32 index, TakenItem *taken)
{
	const ReadyItem &item = ItemAt(index);

	taken->index = index;
	taken->serial = item.serial;
	taken->spec = item.spec;
	taken->void_claim = item.void_claim;
	taken->older_claim = item.older_claim;
	taken->lost = item.lost;
	taken->lost_error.sqlstate = 0;
	if (item.note != kNone && ready_table->notes[item.note].serial == item.note_serial)
		taken->lost_error = ready_table->notes[item.note].error;
}

/* Ready -> taken; it counts against its limits already. */
static void
Take(int32 index, int slot)
{
	ReadyItem &item = ItemAt(index);
	int32 &list = taken_lists[slot];

	LeaveReady(index);
	item.state = ItemState::kTaken;
	item.serial = ++ready_table->serial;
	item.slot = slot;
	item.again = false;
	item.links.left = kNone;
	item.links.right = list;
	if (list != kNone)
		ItemAt(list).links.left = index;
	list = index;
	TaskPairAt(item.pair).taken++;
}

/* Puts an item that cannot be taken aside: on the limit that is exhausted, or for a moment. */
static void
PutAside(int32 index, int32 limit, TimestampTz now, WakeSet *wakes)
{
	const ReadyItem &item = ItemAt(index);

	LeaveReady(index);
	if (limit != kNone)
		ParkItem(index, limit);
	else
	{
		const int32 pair = item.pair;

		DelayItem(index, now + kLimitRetryUs, wakes);
		ReleaseTaskPair(pair);
	}
	UnparkInPlaceOf(item.spec, wakes);
}

/* One hold of the lock. */
static TakeResult
TakeSome(Taking *taking, WakeSet *wakes)
{
	const TimestampTz now = taking->now;
	int aside = 0;

	taking->unfinished = false;
	for (;;)
	{
		const int32 index = FindTaskPair(taking->database, taking->role);

		if (index == kNone || TaskDatabaseAt(TaskPairAt(index).database).pause.paused)
			break;

		TaskPair &pair = TaskPairAt(index);

		if (taking->count == 0 && WantsRefill(pair, now))
			return TakeResult::kRefill;
		/* also of what was ready before this call took some */
		if (taking->count > 0 && taking->count >= (pair.ready + taking->count) / taking->workers)
			break;
		if (pair.ready == 0 || taking->count == taking->most)
			break;

		const int32 best = BestOf(pair);
		const int32 limit = BlockingLimit(ItemAt(best).spec);

		if (IsBehindScan(pair, best, now))
			break;
		if (limit == kNone && CountIn(best))
		{
			Take(best, taking->slot);
			Describe(best, &taking->items[taking->count++]);
			pair.waiting_since = pair.ready > 0 ? ItemAt(BestOf(pair)).ready_at : 0;
			continue;
		}
		PutAside(best, limit, now, wakes);
		if (++aside >= kAsideAHold)
		{
			taking->unfinished = true;
			break;
		}
	}
	return taking->count > 0 ? TakeResult::kTaken : TakeResult::kEmpty;
}

/* How many processes the pair has, at least one. */
static int
WorkersOf(Oid database, Oid role)
{
	LockScope lock(PoolLock(), LW_SHARED);
	const int pair = FindPair({database, role, 0});

	return pair == kNone ? 1 : std::max(1, PairAt(pair).slots);
}

TakeResult
TakeItems(Oid database, Oid role, int slot, TimestampTz now, int most, TakenItem *items, int *count)
{
	Taking taking = {database, role, slot, now, most, 1, items, 0, true, false};
	TakeResult result = TakeResult::kEmpty;

	Assert(most > 0 && slot >= 0 && slot < settings::max_workers);
	/* without the lock: what is missed now comes with the next call, and the launcher looks, too */
	if (ready_table->nearest_due <= now)
		MoveDueItems(now, false);
	if (most > 1)
		taking.workers = WorkersOf(database, role);
	while (taking.unfinished)
	{
		WakeSet wakes = {};

		wakes.own_database = database;
		wakes.own_role = role;
		{
			LockScope lock(TaskLock());

			result = TakeSome(&taking, &wakes);

			const int32 pair = FindTaskPair(database, role);

			taking.left = pair != kNone && HasPairWork(TaskPairAt(pair), now);
		}
		FireWakes(wakes);
	}
	if (taking.left && result == TakeResult::kTaken)
		WakePair(database, role);
	*count = taking.count;
	return result;
}

bool
HasWork(Oid database, Oid role, TimestampTz now)
{
	if (ready_table->nearest_due <= now)
		MoveDueItems(now, false);

	LockScope lock(TaskLock(), LW_SHARED);
	const int32 pair = FindTaskPair(database, role);

	return pair != kNone && HasPairWork(TaskPairAt(pair), now);
}

bool
BeginItem(int index, uint64 serial, bool *cancelled)
{
	WakeSet wakes = {};
	bool begins = false;

	*cancelled = false;
	{
		LockScope lock(TaskLock());
		ReadyItem *item = TakenUnder(index, serial);

		if (item == nullptr)
			return false;
		begins = !item->forgotten;
		if (!begins)
		{
			const int32 pair = LeaveTaken(index, &wakes);

			FreeItem(index);
			ReleaseTaskPair(pair);
		}
		else if (item->cancelled)
			*cancelled = true;
		else if (!item->begun)
		{
			item->begun = true;
			item->lost = false;
			item->note = kNone;
			TaskDatabaseAt(item->database).begun++;
		}
	}
	FireWakes(wakes);
	return begins;
}

/* --- the end of it --------------------------------------------------------------------------------------- */

/* What was known of an attempt is over. */
static void
ClearAttempt(ReadyItem *item)
{
	item->lost = false;
	item->note = kNone;
	item->void_claim.slot = item->older_claim.slot = kNone;
}

/* Detached -> its new place, and its pair is told; gone with its database. */
static void
Return(int32 index, TimestampTz now, WakeSet *wakes)
{
	ReadyItem &item = ItemAt(index);

	item.again = false;
	if (item.forgotten)
	{
		FreeItem(index);
		return;
	}
	PlaceItem(index, now, wakes);
	WakeFor(index, wakes);
}

void
FinishItem(int index, uint64 serial, FinishHow how, int64 waited_us, int64 ran_us)
{
	const TimestampTz now = GetCurrentTimestamp();
	WakeSet wakes = {};

	{
		LockScope lock(TaskLock());
		ReadyItem *item = TakenUnder(index, serial);

		if (item == nullptr)
			return;
		if (item->spec.kind == ItemKind::kTask && !item->forgotten)
			CountFinish(item->spec.database, item->held_queue, how, waited_us, ran_us);
		wakes.own_database = item->spec.database;
		wakes.own_role = TaskPairAt(item->pair).role;

		const int32 pair = LeaveTaken(index, &wakes);

		ClearAttempt(item);
		item->cancelled = false;
		if (item->again)
			Return(index, now, &wakes);
		else
			FreeItem(index);
		ReleaseTaskPair(pair);
	}
	FireWakes(wakes);
	WakeDrains();
}

void
GiveBackItem(int index, uint64 serial, const VoidClaim &void_claim)
{
	const TimestampTz now = GetCurrentTimestamp();
	WakeSet wakes = {};

	{
		LockScope lock(TaskLock());
		ReadyItem *item = TakenUnder(index, serial);

		if (item == nullptr)
			return;

		const int32 pair = LeaveTaken(index, &wakes);

		if (void_claim.slot != kNone)
		{
			item->older_claim = item->void_claim;
			item->void_claim = void_claim;
		}
		Return(index, now, &wakes);
		ReleaseTaskPair(pair);
	}
	FireWakes(wakes);
	WakeDrains();
}

void
PostponeItem(int index, uint64 serial, TimestampTz until, bool due)
{
	const TimestampTz now = GetCurrentTimestamp();
	WakeSet wakes = {};

	{
		LockScope lock(TaskLock());
		ReadyItem *item = TakenUnder(index, serial);

		if (item == nullptr)
			return;

		const int32 pair = LeaveTaken(index, &wakes);

		if (item->again || item->forgotten)
			Return(index, now, &wakes);
		else
		{
			if (due)
				item->spec.due = until;
			DelayItem(index, until, &wakes);
		}
		ReleaseTaskPair(pair);
	}
	FireWakes(wakes);
	WakeDrains();
}

void
DeferItem(int index, uint64 serial, const ItemSpec &spec, TimestampTz now)
{
	WakeSet wakes = {};
	bool was_ours = false;

	{
		LockScope lock(TaskLock());
		ReadyItem *item = TakenUnder(index, serial);

		was_ours = item != nullptr;
		if (was_ours)
		{
			if (!item->forgotten)
				CountFinish(spec.database, item->held_queue, FinishHow::kRetried, -1, -1);

			const int32 pair = LeaveTaken(index, &wakes);

			ClearAttempt(item);
			/* pushed meanwhile with an earlier time: somebody wants it sooner, and the claim decides */
			if (!item->again || spec.due <= item->spec.due)
			{
				const uint64 order = item->spec.order;

				item->spec = spec;
				item->spec.order = order;
			}
			Return(index, now, &wakes);
			ReleaseTaskPair(pair);
		}
	}
	FireWakes(wakes);
	if (!was_ours)
	{
		(void) PushItem(spec, now);
		if (spec.due <= now)
			WakePair(spec.database, spec.role);
	}
	WakeDrains();
}

/* --- processes that went away, or hang ----------------------------------------------------------------------- */

/* Keeps the last words of a process; kNone where it said nothing. */
static int32
KeepNote(const BriefError *error)
{
	if (error == nullptr || error->sqlstate == 0)
		return kNone;

	const uint32 serial = ++ready_table->note_serial;
	const auto index = static_cast<int32>(serial % kLostNotes);

	ready_table->notes[index].serial = serial;
	ready_table->notes[index].error = *error;
	return index;
}

/* One of the slot's items is taken from it. */
static void
TakeAway(int32 index, const VoidClaim &claim, int32 note, bool blameless, TimestampTz now,
		 WakeSet *wakes)
{
	ReadyItem &item = ItemAt(index);
	const bool begun = item.begun;
	const int32 pair = LeaveTaken(index, wakes);

	item.older_claim = begun ? VoidClaim{kNone, 0} : item.void_claim;
	item.void_claim = claim;
	if (begun && !blameless)
	{
		item.lost = true;
		item.note = note;
		item.note_serial = note == kNone ? 0 : ready_table->notes[note].serial;
	}
	Return(index, now, wakes);
	ReleaseTaskPair(pair);
}

bool
GiveBackAll(int slot, uint64 generation, const BriefError *error, bool blameless)
{
	const TimestampTz now = GetCurrentTimestamp();
	WakeSet wakes = {};
	bool any = false;

	{
		LockScope lock(TaskLock());
		const int32 note = blameless || taken_lists[slot] == kNone ? kNone : KeepNote(error);

		DropMyLoads();
		while (taken_lists[slot] != kNone)
		{
			TakeAway(taken_lists[slot], {slot, generation}, note, blameless, now, &wakes);
			any = true;
		}
	}
	FireWakes(wakes);
	if (any)
		WakeDrains();
	return any;
}

int
StealBatch(int slot, uint64 generation)
{
	const TimestampTz now = GetCurrentTimestamp();
	WakeSet wakes = {};
	int stolen = 0;

	{
		LockScope lock(TaskLock());
		int32 next = kNone;

		for (int32 i = taken_lists[slot]; i != kNone; i = next)
		{
			next = ItemAt(i).links.right;
			/* one that may run alone is about to begin */
			if (ItemAt(i).begun || ItemAt(i).careful)
				continue;
			TakeAway(i, {slot, generation}, kNone, true, now, &wakes);
			stolen++;
		}
	}
	FireWakes(wakes);
	return stolen;
}

/* --- cancel ------------------------------------------------------------------------------------------------ */

CancelResult
CancelItem(Oid database, int64 id, int *slot)
{
	LockScope lock(TaskLock());
	const int32 index = FindItem(ItemKind::kTask, database, id);

	*slot = kNone;
	if (index == kNone || ItemAt(index).state != ItemState::kTaken)
		return CancelResult::kNotThere;

	ReadyItem &item = ItemAt(index);

	item.cancelled = true;
	*slot = item.slot;
	return item.begun ? CancelResult::kRunning : CancelResult::kMarked;
}

} // namespace worker_pool
