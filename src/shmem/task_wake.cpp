/*
 * task_wake.cpp
 *	  The notes of one transaction, and when they fire. See task_wake.hpp. Any process but parallel workers,
 *	  which cannot write.
 *
 * The notes are plain static memory, so arming cannot fail and firing allocates nothing. They fire in the
 * resource-release callback of the top transaction's own resource owner, in the phase after locks: the
 * transaction is out of the procarray, its invalidations are sent and its locks are gone, so whoever is woken
 * sees all it made. An error there is not possible: pushing only moves indexes under a leaf lock and sets latches.
 *
 *	event						what happens to the notes
 *	end of the transaction		commit: all fire; abort: those that say so; then there are none
 *	subtransaction commits		they are its parent's
 *	subtransaction aborts		those that say so fire, all of it are dropped
 *	PREPARE TRANSACTION			dropped; COMMIT or ROLLBACK PREPARED marks its database for a rescan
 *	the process dies			its transaction aborts first, where it still can; otherwise the server crashes
 *
 * What does not fit into the array becomes a mark for the whole database at the end of the transaction, whatever
 * became of the subtransaction that did not fit: a rescan too many does no harm.
 *
 * Notes of services are kept in service_wake.cpp and fire with these, at commit only, after the tasks.
 */
#include "shmem/task_wake.hpp"

#include "shmem/service_wake.hpp"
#include "shmem/waiters.hpp"

namespace worker_pool
{

enum class NoteKind : uint8
{
	kItem,
	kQueueLimit,
	kFinished,
};

struct Note
{
	NoteKind kind;
	bool remove;   /* kItem: at commit it goes */
	bool on_abort; /* kItem: pushed at abort, too */
	SubTransactionId subtransaction;
	int max_running; /* kQueueLimit: of spec.queue */
	ItemSpec spec;	 /* kItem; kFinished: the id */
	ItemSpec locked; /* on_abort: the row as it was, which an abort leaves */
};

/* Events are added up. */
struct EventNote
{
	int32 queue;
	StatEvent event;
	SubTransactionId subtransaction;
	int64 count;
};

static constexpr int kArmedEvents = 16;
static constexpr int kEventKinds = 5;
/* What does not fit is counted under it; one place for each kind of event is kept back. */
static constexpr int32 kOtherQueues = -1;

static Note notes[kArmed];
static int note_count = 0;
static EventNote events[kArmedEvents];
static int event_count = 0;

/* What did not fit, and what is only a mark. */
static bool overflowed = false;				/* rows nobody pushes; at commit */
static TimestampTz overflow_due = DT_NOEND; /* the earliest of them */
static bool rescan_anyway = false;			/* also at abort */
static bool finished_overflowed = false;	/* wake all who wait for a task */

/* --- arming ---------------------------------------------------------------------------------------------- */

/*
 * The note of that item in this subtransaction, the last where a child that has committed left one, too; a new one
 * with everything unset; nullptr: no room.
 */
static Note *
NeedNote(NoteKind kind, const ItemSpec &spec)
{
	const SubTransactionId current = GetCurrentSubTransactionId();

	for (int i = note_count - 1; i >= 0; i--)
	{
		Note &note = notes[i];

		if (note.kind == kind && note.subtransaction == current && note.spec.id == spec.id &&
			note.spec.kind == spec.kind &&
			(kind != NoteKind::kQueueLimit || note.spec.queue == spec.queue))
			return &note;
	}
	if (note_count == kArmed)
		return nullptr;

	Note &note = notes[note_count++];

	memset(&note, 0, sizeof(note));
	note.kind = kind;
	note.subtransaction = current;
	note.spec = spec;
	return &note;
}

static void
NoteOverflow(TimestampTz due)
{
	overflowed = true;
	overflow_due = std::min(overflow_due, due);
}

void
ArmItem(const ItemSpec &spec)
{
	Note *note = NeedNote(NoteKind::kItem, spec);

	if (note == nullptr)
	{
		NoteOverflow(spec.due);
		DoubtItem(spec.kind, spec.database, spec.id);
		return;
	}
	note->spec = spec;
	note->spec.order = NextPushOrder();
	note->remove = false;
}

void
ArmLockedItem(const ItemSpec &spec)
{
	Note *note = NeedNote(NoteKind::kItem, spec);

	if (note == nullptr)
	{
		rescan_anyway = true;
		return;
	}
	/* a new version that this transaction has armed already stays what a commit tells */
	if (!OidIsValid(note->spec.role))
		note->spec = spec;
	if (!note->on_abort)
		note->locked = spec;
	note->on_abort = true;
}

void
ArmRemoval(ItemKind kind, int64 id)
{
	ItemSpec spec = {};

	spec.kind = kind;
	spec.id = id;
	spec.database = MyDatabaseId;

	/* one that does not fit stays in memory until a worker finds that its row is gone */
	Note *note = NeedNote(NoteKind::kItem, spec);

	if (note == nullptr)
		return;
	note->remove = true;
	note->spec.order = NextPushOrder();
}

void
ArmRescan()
{
	rescan_anyway = true;
}

void
ArmQueueLimit(int32 queue, int max_running)
{
	ItemSpec spec = {};

	spec.queue = queue;
	spec.database = MyDatabaseId;

	Note *note = NeedNote(NoteKind::kQueueLimit, spec);

	if (note != nullptr)
		note->max_running = max_running;
	else
		NoteOverflow(DT_NOBEGIN); /* a load tells memory the limits, too */
}

void
ArmTaskFinished(int64 id)
{
	ItemSpec spec = {};

	spec.id = id;
	spec.database = MyDatabaseId;
	if (NeedNote(NoteKind::kFinished, spec) == nullptr)
		finished_overflowed = true;
}

void
ArmEvent(int32 queue, StatEvent event)
{
	const SubTransactionId current = GetCurrentSubTransactionId();

	for (int i = 0; i < event_count; i++)
		if (events[i].queue == queue && events[i].event == event &&
			events[i].subtransaction == current)
		{
			events[i].count++;
			return;
		}
	if (event_count < (queue == kOtherQueues ? kArmedEvents : kArmedEvents - kEventKinds))
		events[event_count++] = {queue, event, current, 1};
	else if (queue != kOtherQueues)
		ArmEvent(kOtherQueues, event);
}

/* --- firing ------------------------------------------------------------------------------------------------ */

static void
FireNote(const Note &note, bool committed, TimestampTz now)
{
	switch (note.kind)
	{
		case NoteKind::kItem:
			if (committed && note.remove)
				(void) RemoveItem(note.spec.kind, note.spec.database, note.spec.id,
								  note.spec.order);
			else if (committed && OidIsValid(note.spec.role))
				(void) PushItem(note.spec, now);
			else if (!committed && note.on_abort)
				(void) PushItem(note.locked, now);
			break;
		case NoteKind::kQueueLimit:
			if (committed)
				(void) SetQueueLimit(note.spec.database, note.spec.queue, note.max_running);
			break;
		case NoteKind::kFinished:
			if (committed)
				WakeTaskWaiters(note.spec.database, note.spec.id);
			break;
	}
}

/* The item as it is told at that end. */
static const ItemSpec &
SpecAt(const Note &note, bool committed)
{
	return committed ? note.spec : note.locked;
}

/* Was the item pushed, and is it ready? Then its pair is to be woken. */
static bool
WantsWake(const Note &note, bool committed, TimestampTz now)
{
	const ItemSpec &spec = SpecAt(note, committed);

	return note.kind == NoteKind::kItem && OidIsValid(spec.role) && spec.due <= now &&
		   (committed ? !note.remove : note.on_abort);
}

/* Wakes each pair once; all of them were pushed before. */
static void
WakePairs(int from, int to, bool committed, TimestampTz now)
{
	for (int i = from; i < to; i++)
	{
		bool woken = false;

		if (!WantsWake(notes[i], committed, now))
			continue;
		for (int j = from; j < i && !woken; j++)
			woken = WantsWake(notes[j], committed, now) &&
					SpecAt(notes[j], committed).role == SpecAt(notes[i], committed).role &&
					notes[j].spec.database == notes[i].spec.database;
		if (!woken)
			WakePair(notes[i].spec.database, SpecAt(notes[i], committed).role);
	}
}

static void
Drop()
{
	note_count = 0;
	event_count = 0;
	overflowed = rescan_anyway = finished_overflowed = false;
	overflow_due = DT_NOEND;
	DropServiceNotes();
}

static void
Fire(bool committed)
{
	const TimestampTz now = GetCurrentTimestamp();

	for (int i = 0; i < note_count; i++)
		FireNote(notes[i], committed, now);
	WakePairs(0, note_count, committed, now);
	for (int i = 0; i < event_count && committed; i++)
		CountEvent(MyDatabaseId, events[i].queue, events[i].event, events[i].count);
	if (finished_overflowed && committed)
		WakeTaskWaiters(MyDatabaseId, 0);
	if (rescan_anyway)
		MarkRescan(MyDatabaseId, DT_NOBEGIN);
	else if (overflowed && committed)
		MarkRescan(MyDatabaseId, overflow_due);
	if (committed && HasServiceNotes())
		FireServiceNotes(now);
	Drop();
}

static bool
IsNothingArmed()
{
	return note_count == 0 && event_count == 0 && !overflowed && !rescan_anyway &&
		   !finished_overflowed && !HasServiceNotes();
}

static void
AtRelease(ResourceReleasePhase phase, bool is_commit, bool is_top_level, void *)
{
	/* its children, and owners beside the transaction's (a portal's, of WAL senders), come here, too */
	if (phase != RESOURCE_RELEASE_AFTER_LOCKS || !is_top_level || likely(IsNothingArmed()) ||
		CurrentResourceOwner != TopTransactionResourceOwner)
		return;
	if (IsParallelWorker() || pool == nullptr)
		Drop();
	else
		Fire(is_commit);
}

static void
AtTransactionEnd(XactEvent event, void *)
{
	if (event == XACT_EVENT_PREPARE)
		Drop();
}

/* Its locks are gone, so what it had locked can be taken: pushed now, not at the end of the transaction. */
static void
AbortSubtransaction(SubTransactionId subtransaction)
{
	const TimestampTz now = GetCurrentTimestamp();
	int kept = 0;

	for (int i = 0; i < note_count; i++)
	{
		const Note note = notes[i];

		if (note.subtransaction != subtransaction)
		{
			notes[kept++] = note;
			continue;
		}
		FireNote(note, false, now);
		if (WantsWake(note, false, now))
			WakePair(note.locked.database, note.locked.role);
	}
	note_count = kept;
	kept = 0;
	for (int i = 0; i < event_count; i++)
		if (events[i].subtransaction != subtransaction)
			events[kept++] = events[i];
	event_count = kept;
}

static void
AtSubtransactionEnd(SubXactEvent event, SubTransactionId subtransaction, SubTransactionId parent,
					void *)
{
	if (likely(note_count == 0 && event_count == 0 && !HasServiceNotes()))
		return;
	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		AbortSubtransaction(subtransaction);
		AbortServiceNotes(subtransaction);
	}
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		ReparentServiceNotes(subtransaction, parent);
		for (int i = 0; i < note_count; i++)
			if (notes[i].subtransaction == subtransaction)
				notes[i].subtransaction = parent;
		for (int i = 0; i < event_count; i++)
			if (events[i].subtransaction == subtransaction)
				events[i].subtransaction = parent;
	}
}

void
InstallTaskWake()
{
	RegisterXactCallback(AtTransactionEnd, nullptr);
	RegisterSubXactCallback(AtSubtransactionEnd, nullptr);
	RegisterResourceReleaseCallback(AtRelease, nullptr);
}

/* --- waiting for a task ------------------------------------------------------------------------------------ */

void
BeginTaskWait(int64 id, bool may_time_out, TimestampTz since)
{
	LockScope lock(PoolLock());
	Waiter &waiter = EnterWaiters(may_time_out, since);

	waiter.task_id = id;
	waiter.database = MyDatabaseId;
	/* a full barrier: the caller looks at the row after it, who ends the task asks for it after its commit */
	pg_atomic_fetch_add_u32(&pool->task_waiters, 1);
}

void
WakeTaskWaiters(Oid database, int64 id)
{
	pg_memory_barrier();
	if (pg_atomic_read_u32(&pool->task_waiters) == 0)
		return;

	LockScope lock(PoolLock(), LW_SHARED);

	for (int i = 0; i < WaiterCount(); i++)
	{
		const Waiter &waiter = WaiterAt(i);

		if (waiter.pid != 0 && waiter.task_id != 0 && waiter.database == database &&
			(id == 0 || waiter.task_id == id))
			compat::SetLatchOf(i);
	}
}

} // namespace worker_pool
