/*
 * submit.cpp
 *	  Hands a command to the pool. Runs in the session that starts it, or in a worker whose command does.
 *
 * The story. The request is written into shared memory first, without the lock. Then, in one hold of the
 * lock, a record is taken and filled and
 *
 *	 - given to an idle worker of its pair, if there is one and nobody of that pair waits already: the fast
 *	   path. The worker's latch is set after the lock is released; the launcher is not involved;
 *	 - else queued at the tail of its pair, and the launcher woken. Before that the lock was let go once, to
 *	   read the role's worker limit from the catalogs, so an idle worker is looked for again.
 *
 * A fresh command has a pair of its own, which nobody can serve yet: it is always queued.
 *
 * When a step fails: no memory for the request: 53200, nothing was taken. An ERROR between the allocation
 * and the hand-over (the catalogs, a full queue, an interrupt): PG_CATCH frees the request; on FATAL the
 * exit callback does. After the hand-over the record owns it. If the session dies right then, a public
 * command runs all the same and a private one is given up by the exit callback. A worker that dies before
 * it looks at the command gives it back to the queue (slots.cpp). A latch that was set for a worker that is
 * gone is harmless.
 */
#include "feature/submit.hpp"

#include "config/settings.hpp"
#include "core/allocation.hpp"
#include "feature/session.hpp"
#include "pg/guard.hpp"
#include "shmem/databases.hpp"
#include "shmem/slots.hpp"

namespace worker_pool
{

enum class Placement : uint8
{
	kAssigned, /* a worker has it */
	kQueued,
	kNoIdleWorker, /* nothing was done: the fast path is not open */
	kQueueFull,
	kNoRecord,
	kNoWorker, /* on_full => 'error' */
};

/* The record that the Submit in progress handed over; static, because longjmp spares statics. */
static CommandRef submitted = {kNone, 0};

/* Takes and fills a record; the request is its own from here on. kNone when no record is free. */
static int
TakeRecord(const Submission &submission, TimestampTz now)
{
	const int index = AllocateCommand();

	if (index == kNone)
		return kNone;

	CommandRecord &record = CommandAt(index);

	record.is_private = submission.is_private;
	record.discard_rows = submission.discard_rows;
	record.owner = GetUserId();
	record.submit_database = MyDatabaseId;
	record.submit_encoding = GetDatabaseEncoding();
	record.target = {submission.database, submission.role,
					 submission.fresh ? record.id : UINT64CONST(0)};
	if (submission.name != nullptr)
		strlcpy(record.name, submission.name, sizeof(record.name));
	record.submitted_at = now;
	record.timeout_ms = submission.timeout_ms;
	record.request = unsent_request;
	unsent_request = InvalidDsaPointer;
	if (submission.is_private)
	{
		record.submitter_proc = compat::MyProcIndex();
		held_records++;
		BeginWait(record.id, false, now);
	}
	submitted = {index, record.id};
	return index;
}

/* An idle worker that may be given the command; kNone when it must be queued. */
static int
FindWorker(const Submission &submission)
{
	const PairKey target = {submission.database, submission.role, 0};

	if (submission.fresh)
		return kNone;

	const int pair = FindPair(target);

	/* those who wait come first; their worker takes them from the queue by itself */
	if (pair == kNone || PairAt(pair).queued > 0 || IsBlocked(submission.database))
		return kNone;
	return FindIdleSlot(target);
}

/* Pool lock held: would a new worker be possible at once? `views` has room for every slot. */
static bool
CouldStart(const Submission &submission, int role_limit, SlotView *views)
{
	PolicyLimits limits = {};

	limits.slots = settings::max_workers;
	limits.per_database = settings::max_workers_per_database;
	limits.enabled = settings::enabled;
	for (int i = 0; i < SlotCount(); i++)
	{
		const WorkerSlot &slot = SlotAt(i);

		views[i] = {slot.target.database, slot.target.role, slot.target.fresh_id,
					slot.state,			  slot.kind,		slot.give_way,
					slot.state_changed_at};
	}
	return !IsBlocked(submission.database) &&
		   CouldStartNow(views, SlotCount(), pool->queued_total, submission.database,
						 submission.role, role_limit, limits);
}

/* The fast path, in one hold of the lock. */
static Placement
TryAssign(const Submission &submission, TimestampTz now)
{
	int worker_proc = kNone;

	{
		LockScope lock(PoolLock());
		const int slot = FindWorker(submission);

		if (slot == kNone)
			return Placement::kNoIdleWorker;

		const int index = TakeRecord(submission, now);

		if (index == kNone)
			return Placement::kNoRecord;
		AssignSlot(slot, index);
		worker_proc = SlotAt(slot).proc;
	}
	compat::SetLatchOf(worker_proc);
	return Placement::kAssigned;
}

/* The other path: looks once more for an idle worker, then queues. `views` as for CouldStart, or nullptr. */
static Placement
AssignOrQueue(const Submission &submission, TimestampTz now, int role_limit, SlotView *views)
{
	int worker_proc = kNone;

	{
		LockScope lock(PoolLock());
		const int slot = FindWorker(submission);

		if (slot == kNone && IsQueueFull(submission.role))
			return Placement::kQueueFull;
		if (slot == kNone && views != nullptr && !CouldStart(submission, role_limit, views))
			return Placement::kNoWorker;

		const int index = TakeRecord(submission, now);

		if (index == kNone)
			return Placement::kNoRecord;
		if (slot != kNone)
		{
			AssignSlot(slot, index);
			worker_proc = SlotAt(slot).proc;
		}
		else
		{
			QueueCommand(index);
			PairAt(CommandAt(index).pair).role_limit = role_limit;
		}
	}
	if (worker_proc == kNone)
	{
		WakeLauncher();
		return Placement::kQueued;
	}
	compat::SetLatchOf(worker_proc);
	return Placement::kAssigned;
}

/* Pushes one outcome out, so that its record can be taken; false when there is none. */
static bool
EvictForRecord()
{
	Leftovers evicted = {};
	bool evicted_one = false;

	HOLD_INTERRUPTS();
	{
		LockScope lock(PoolLock());

		evicted_one = EvictOneOutcome(Fate::kEvicted, &evicted);
	}
	FreeLeftovers(evicted);
	RESUME_INTERRUPTS();
	return evicted_one;
}

/* Raises what a placement that took nothing means to the caller. */
static void
RaiseNotPlaced(Placement placement)
{
	switch (placement)
	{
		case Placement::kQueueFull:
			ereport(ERROR,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("too many commands wait for a worker"),
					 errdetail("The queue of worker_pool holds %d commands.",
							   settings::max_queued_commands),
					 errhint("Try again later, or increase \"worker_pool.max_workers\" or "
							 "\"worker_pool.max_queued_commands\".")));
			break;
		case Placement::kNoRecord:
			ereport(ERROR,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("too many commands are known to worker_pool"),
					 errdetail("Every command record is queued, running, or has an outcome that is "
							   "being fetched."),
					 errhint("Try again later, or increase \"worker_pool.max_queued_commands\".")));
			break;
		case Placement::kNoWorker:
			ereport(ERROR,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("no worker is free for the command"),
					 errdetail("on_full => 'error' was asked for, and the command would have to wait."),
					 errhint("Leave \"on_full\" at 'queue', or increase \"worker_pool.max_workers\", "
							 "\"worker_pool.max_workers_per_database\" or the role's "
							 "\"worker_pool.max_workers_per_role\".")));
			break;
		case Placement::kAssigned:
		case Placement::kQueued:
		case Placement::kNoIdleWorker:
			break;
	}
}

static void
CheckAcceptsCommands(const Submission &submission)
{
	if (!settings::enabled)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("worker_pool is disabled"),
						errhint("Set \"worker_pool.enabled\" to on and reload the configuration.")));
	RefuseWithoutLauncher();
	if (submission.is_private)
		RefuseClosedByMe(submission.database);
}

CommandRef
Submit(const Submission &submission)
{
	const TimestampTz now = GetCurrentTimestamp();

	PrepareSession();
	CheckAcceptsCommands(submission);
	submitted = {kNone, 0};
	unsent_request = AllocateSharedOrRaise(RequestSize(submission.request));
	PG_TRY();
	{
		WriteRequest(submission.request, SharedAddress(unsent_request));
		WP_FAULT_IN_TRY("submit.before_queue");

		Placement placement = TryAssign(submission, now);

		/* every record is taken: an outcome that nobody fetched makes room */
		if (placement == Placement::kNoRecord && EvictForRecord())
			placement = TryAssign(submission, now);

		if (placement == Placement::kNoIdleWorker)
		{
			const int role_limit = settings::WorkerLimitOfRole(submission.role);
			SlotView *views = nullptr;

			if (submission.error_when_full)
				views = static_cast<SlotView *>(
					palloc(static_cast<Size>(SlotCount()) * sizeof(SlotView)));
			placement = AssignOrQueue(submission, now, role_limit, views);
			if (placement == Placement::kNoRecord && EvictForRecord())
				placement = AssignOrQueue(submission, now, role_limit, views);
		}
		RaiseNotPlaced(placement);
		WP_FAULT_IN_TRY("submit.after_queue");
	}
	PG_CATCH();
	{
		DropUnsentRequest();
		if (submitted.index != kNone && submission.is_private)
			AbandonPrivate(submitted);
		PG_RE_THROW();
	}
	PG_END_TRY();
	return submitted;
}

} // namespace worker_pool
