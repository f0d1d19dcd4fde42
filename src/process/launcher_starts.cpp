/*
 * launcher_starts.cpp
 *	  Starts that fail: reclaims their slots and tells the commands that wait. Launcher only.
 *
 * A start can end badly in four ways, and each comes back here:
 *	- the worker died after it had registered its exit callback: the callback freed the slot and left
 *	  start_failed with the reason that the log hook caught; the entry of a service it has told itself;
 *	- the process died before (library missing: the reason stands in the slot, no callback ran) or was never
 *	  forked: the postmaster's handle says "stopped" while the slot is still starting and has no pid;
 *	- nothing happened for start_timeout: the slot is reclaimed, the process asked to end; should it come
 *	  all the same, the generation tells it to go;
 *	- the launcher died meanwhile: its successor has no handles, so it cannot know whether a slot without a
 *	  process was ever registered. It frees them all (AdoptSlots), which fails nothing: what waits is
 *	  started anew, and a process that comes late finds that the slot is not its own.
 *
 * A reason that will be the same next time (role may not log in, no CONNECT, database gone, library missing)
 * fails all commands that wait for the pair at once. One that may pass (too many connections, fork failed, a
 * time-out) makes the pair wait with a back-off, and fails a command when it has waited start_timeout.
 *
 * Tasks stand in tables, which the launcher cannot write. A lasting reason is left with the ready queue
 * (SetStartError), which offers the pair no more, and wants a visit to its database: that fails the tasks that
 * are due, and fires schedules that are. Only tasks of the pair wait with a back-off then, a longer one: whatever
 * the visit finds or leaves, starts do not follow each other at once. A passing reason fails no task; it waits for
 * the back-off.
 *
 * A service keeps its own back-off, for ever, whatever the reason (ServiceNotStarted): its entry is told in the
 * lock hold that frees the slot, so that it names a slot only while that is its own. One that has attached and
 * hangs keeps both until its process is gone; why it was given up stands in its slot until then.
 */
#include "process/launcher.hpp"

#include <csignal>

#include "config/settings.hpp"
#include "core/backoff.hpp"
#include "shmem/databases.hpp"
#include "shmem/ready.hpp"
#include "shmem/service_table.hpp"

namespace worker_pool
{

struct PairFailure
{
	PairKey target;	   /* hash key */
	int failures;	   /* in a row */
	TimestampTz first; /* when the first of them was registered */
	TimestampTz not_before;
};

static HTAB *pair_failures = nullptr;
static HTAB *task_failures = nullptr; /* for lasting reasons; of no concern to commands */

static constexpr int64 kFirstDelayMs = 100;
static constexpr int64 kMaxDelayMs = 5000;
static constexpr int64 kFirstTaskDelayMs = 1000;
static constexpr int64 kMaxTaskDelayMs = int64{60} * 1000;

void
InitStarts(MemoryContext context)
{
	HASHCTL control = {};

	control.keysize = sizeof(PairKey);
	control.entrysize = sizeof(PairFailure);
	control.hcxt = context;
	pair_failures = hash_create("worker_pool pair failures", 32, &control,
								HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	task_failures = hash_create("worker_pool task failures", 32, &control,
								HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

void
AdoptSlots()
{
	bool freed = false;

	{
		const TimestampTz now = GetCurrentTimestamp();
		Leftovers leftovers = {};
		LockScope lock(PoolLock());

		for (int i = 0; i < SlotCount(); i++)
		{
			const WorkerSlot &slot = SlotAt(i);

			if (slot.state != SlotState::kStarting || slot.pid != 0)
				continue;
			/* started anew, and no failure */
			if (slot.kind == SlotKind::kService)
				ServiceGone(slot.service, true, nullptr, now);
			(void) FreeSlot(i, nullptr, &leftovers);
			freed = true;
		}
	}
	if (freed)
		ConditionVariableBroadcast(&pool->slot_freed);
}

static TimestampTz
NotBefore(HTAB *failures, const PairKey &target)
{
	const auto *failure =
		static_cast<PairFailure *>(hash_search(failures, &target, HASH_FIND, nullptr));

	return failure ? failure->not_before : DT_NOBEGIN;
}

TimestampTz
PairNotBefore(const PairKey &target)
{
	return NotBefore(pair_failures, target);
}

TimestampTz
TasksNotBefore(const PairKey &target)
{
	return std::max(PairNotBefore(target), NotBefore(task_failures, target));
}

/* Will the same start fail the same way? */
static bool
IsLasting(int sqlstate)
{
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case ERRCODE_INSUFFICIENT_RESOURCES: /* 53: too many connections, out of memory */
		case ERRCODE_OPERATOR_INTERVENTION:	 /* 57: terminated, cannot connect now */
		case ERRCODE_TRANSACTION_ROLLBACK:	 /* 40: recovery conflict */
		case ERRCODE_CONNECTION_EXCEPTION:	 /* 08 */
		case ERRCODE_SYSTEM_ERROR:			 /* 58: I/O, but not "undefined file" */
			return sqlstate == ERRCODE_UNDEFINED_FILE;
		case ERRCODE_INTERNAL_ERROR:
			return sqlstate == ERRCODE_DATA_CORRUPTED || sqlstate == ERRCODE_INDEX_CORRUPTED;
		default:
			/* waiting for somebody else's lock or session, which will end */
			return sqlstate != ERRCODE_LOCK_NOT_AVAILABLE && sqlstate != ERRCODE_OBJECT_IN_USE;
	}
}

/* A finished record whose waiters must be told, outside the lock. */
struct Told
{
	int command;
	int submitter;
	Leftovers leftovers;
};

/* Fails commands that wait for the pair: those submitted before the given time, with ids below the given one. */
static void
FailQueued(const PairKey &target, const BriefError &error, TimestampTz submitted_before,
		   uint64 below_id)
{
	static constexpr int kBatch = 32;
	Told told[kBatch];
	int count = 0;

	do
	{
		count = 0;
		{
			LockScope lock(PoolLock());

			while (count < kBatch)
			{
				const int pair = FindPair(target);

				if (pair == kNone || PairAt(pair).queued == 0)
					break;

				CommandRecord &record =
					*dlist_container(CommandRecord, node, dlist_head_node(&PairAt(pair).queue));

				if (record.submitted_at >= submitted_before || record.id >= below_id)
					break;
				Told &next = told[count++];

				next.command = static_cast<int>(&record - &CommandAt(0));
				next.submitter = record.submitter_proc;
				record.brief = error;
				record.sqlstate = error.sqlstate;
				FinishCommand(next.command, CommandState::kFailed, &next.leftovers);
			}
		}
		for (int i = 0; i < count; i++)
		{
			WakeWaiters(told[i].command, told[i].submitter);
			FreeLeftovers(told[i].leftovers);
		}
	} while (count == kBatch);
}

/* One failed start, taken out of its slot. */
struct FailedStart
{
	PairKey target;
	SlotKind kind;
	BriefError error;
	TimestampTz registered_at;
	uint64 next_id; /* ids from here on are of commands that came after the start was tried */
};

/* The database is gone: nothing is left to be done there. */
static void
HandleGoneDatabase(Oid database)
{
	ForgetItems(database);
	{
		LockScope lock(PoolLock());

		ForgetServices(database, GetCurrentTimestamp());
		ForgetDatabase(database);
	}
	WakeServiceWaiters();
}

static void
HandleFailedVisit(const FailedStart &failed)
{
	/* what its rows want is tried again, later and later */
	NoteLook(failed.target.database, true);

	LockScope lock(PoolLock());
	DatabaseEntry *entry = FindDatabase(failed.target.database);

	if (entry == nullptr)
		return;
	entry->last_error = failed.error;
	/* a lasting reason: no further visit until something changes */
	if (IsLasting(failed.error.sqlstate))
		entry->visit_wanted = false;
}

/* No worker of the pair could start for its tasks, for a lasting reason. */
static void
DelayTasks(const FailedStart &failed, TimestampTz now)
{
	bool found = false;
	auto *failure =
		static_cast<PairFailure *>(hash_search(task_failures, &failed.target, HASH_ENTER, &found));

	/* started together with one that has failed before it: one failure */
	if (found && failed.registered_at < failure->not_before)
		return;
	if (!found ||
		TimestampDifferenceExceeds(failure->not_before, failed.registered_at, kMaxTaskDelayMs))
	{
		failure->failures = 0;
		failure->first = failed.registered_at;
	}
	failure->failures++;
	failure->not_before = TimestampTzPlusMilliseconds(
		now, BackoffDelayMs(failure->failures, kFirstTaskDelayMs, kMaxTaskDelayMs));
}

static void
HandleFailedStart(const FailedStart &failed, TimestampTz now)
{
	if (failed.error.sqlstate == ERRCODE_UNDEFINED_DATABASE)
		HandleGoneDatabase(failed.target.database);
	else if (failed.kind == SlotKind::kVisit)
		HandleFailedVisit(failed);
	/* it has its own back-off (ReclaimStarting, worker.cpp), and nobody else waits for its pair */
	if (failed.kind == SlotKind::kService)
	{
		WakeServiceWaiters();
		return;
	}
	if (IsLasting(failed.error.sqlstate))
	{
		if (failed.kind == SlotKind::kTask)
		{
			DelayTasks(failed, now);
			SetStartError(failed.target.database, failed.target.role, failed.error);
		}
		/* a command that came after the start was tried may find things mended: it gets a start of its own */
		FailQueued(failed.target, failed.error, DT_NOEND, failed.next_id);
		return;
	}

	bool found = false;
	auto *failure =
		static_cast<PairFailure *>(hash_search(pair_failures, &failed.target, HASH_ENTER, &found));

	/* a start that was registered long after it might have been: others succeeded in between */
	if (!found ||
		TimestampDifferenceExceeds(failure->not_before, failed.registered_at, kMaxDelayMs))
	{
		failure->failures = 0;
		failure->first = failed.registered_at;
	}
	failure->failures++;
	failure->not_before = TimestampTzPlusMilliseconds(
		now, BackoffDelayMs(failure->failures, kFirstDelayMs, kMaxDelayMs));
	if (!found)
		ereport(LOG, (errcode(failed.error.sqlstate),
					  errmsg("worker_pool could not start a worker, will try again: %s",
							 failed.error.message)));
	/* a command that has waited start_timeout fails, but not for time spent before the first failure */
	if (TimestampDifferenceExceeds(failure->first, now, settings::start_timeout_ms))
		FailQueued(
			failed.target, failed.error,
			TimestampTzPlusMilliseconds(now, -static_cast<int64>(settings::start_timeout_ms)),
			PG_UINT64_MAX);
}

/*
 * Under the lock: takes a start that never came, or not in time, out of its slot; one that has attached and hangs
 * is told to go: its own exit gives the slot back. False: it was told before.
 */
static bool
ReclaimStarting(int index, const BriefError &error, TimestampTz now)
{
	WorkerSlot &slot = SlotAt(index);
	Leftovers leftovers = {};

	if (slot.pid != 0)
	{
		if (slot.terminate_sent)
			return false;
		slot.start_error = error; /* for the exit callback of a service */
		TerminateSlot(index, StopReason::kShutdown);
		return true;
	}
	if (slot.kind == SlotKind::kService)
		ServiceNotStarted(slot.service, error, now);
	(void) FreeSlot(index, nullptr, &leftovers);
	return true;
}

/* Under the lock: did the start in this slot fail? Takes it out of the slot then. */
static bool
TakeFailedStart(int index, BgwHandleStatus status, TimestampTz now, FailedStart *failed,
				bool *overdue)
{
	WorkerSlot &slot = SlotAt(index);

	*overdue = false;
	if (slot.start_failed)
	{
		*failed = {slot.failed_target, slot.kind, slot.start_error, slot.failed_registered_at,
				   slot.next_id};
		slot.start_failed = false;
		if (failed->error.sqlstate == 0)
			SetUnexplainedStart(&failed->error);
		return true;
	}
	if (slot.state != SlotState::kStarting)
		return false;

	const bool never_came = slot.pid == 0 && status == BGWH_STOPPED;

	*overdue = TimestampDifferenceExceeds(slot.registered_at, now, settings::start_timeout_ms);
	if (!never_came && !*overdue)
		return false;

	*failed = {slot.target, slot.kind, slot.start_error, slot.registered_at, slot.next_id};
	if (failed->error.sqlstate == 0 && never_came)
		SetBriefError(&failed->error, ERRCODE_INSUFFICIENT_RESOURCES,
					  "could not start a worker: its process could not be forked",
					  "The server log tells why.", nullptr);
	else if (failed->error.sqlstate == 0)
		SetBriefError(&failed->error, ERRCODE_CANNOT_CONNECT_NOW,
					  "could not start a worker within worker_pool.start_timeout",
					  "Its process did not finish connecting.",
					  "See the server log, or increase \"worker_pool.start_timeout\".");
	return ReclaimStarting(index, failed->error, now);
}

/* Drops what is remembered of pairs that failed some time ago. */
static void
ForgetOldFailures(HTAB *failures, TimestampTz now)
{
	HASH_SEQ_STATUS scan;

	hash_seq_init(&scan, failures);
	while (auto *failure = static_cast<PairFailure *>(hash_seq_search(&scan)))
		if (TimestampDifferenceExceeds(failure->not_before, now, 60 * 1000))
			(void) hash_search(failures, &failure->target, HASH_REMOVE, nullptr);
}

TimestampTz
ReapStarts(TimestampTz now)
{
	TimestampTz next = DT_NOEND;

	for (int i = 0; i < SlotCount(); i++)
	{
		FailedStart failed = {};
		bool is_failed = false;
		bool overdue = false;
		uint64 generation = 0;
		bool starting = false;

		{
			LockScope lock(PoolLock(), LW_SHARED);

			generation = SlotAt(i).generation;
			starting = SlotAt(i).state == SlotState::kStarting;
			if (!starting && !SlotAt(i).start_failed)
				continue;
		}

		const BgwHandleStatus status = starting ? ProcessStatus(i, generation) : BGWH_STARTED;

		{
			LockScope lock(PoolLock());

			if (SlotAt(i).generation != generation)
				continue;
			is_failed = TakeFailedStart(i, status, now, &failed, &overdue);
			/* one that is overdue and was told to leave wakes us when it does */
			if (!is_failed && !overdue && SlotAt(i).state == SlotState::kStarting)
				next = std::min(next, TimestampTzPlusMilliseconds(SlotAt(i).registered_at,
																  settings::start_timeout_ms + 1));
		}
		if (!is_failed)
			continue;
		if (overdue)
			TerminateUnattached(i, generation);
		ConditionVariableBroadcast(&pool->slot_freed);
		/* a process that did not come up has begun nothing; whatever it holds all the same goes back */
		if (failed.kind == SlotKind::kTask)
			(void) GiveBackAll(i, generation, &failed.error, true);
		HandleFailedStart(failed, now);
	}
	ForgetOldFailures(pair_failures, now);
	ForgetOldFailures(task_failures, now);
	return next;
}

} // namespace worker_pool
