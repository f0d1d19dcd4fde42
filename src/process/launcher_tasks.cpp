/*
 * launcher_tasks.cpp
 *	  What the ready queue wants of the launcher. Launcher only.
 *
 * The ready queue has a lock of its own, which is never held together with the pool's: so a look asks it first
 * (SeeTasks), and puts the answer together with what stands under the pool lock afterwards (AddTaskDemands). What
 * changes in between is seen by the next look, for which whoever changed it has set the latch.
 *
 * Besides
 *	- a worker whose batch hangs behind a slow task has said so in its slot (batch_stuck): what it has not begun
 *	  becomes ready for others;
 *	- a careful task that runs for long lets the next one begin (RelaxCareful);
 *	- limits of roles stand in pg_db_role_setting, which a process without a database cannot read: they come from
 *	  visits (databases.hpp). When settings of roles have changed since, one database is asked for a visit;
 *	- a database that has run tasks gets a time at which its history is to be purged, where a visit left that
 *	  open because there was nothing. So an idle database keeps none.
 *
 * Who gave way waits anew (core/allocation.hpp). For commands that stands with the pair, which lives as long as
 * one of them is queued; a pair of which only tasks are left is gone with its last worker. So what a freed slot
 * tells, that its worker gave way and when, is kept here while the pair has tasks. A launcher that dies takes
 * it along: then a pair may be served once before its turn.
 */
#include "process/launcher.hpp"

#include "config/settings.hpp"
#include "shmem/databases.hpp"
#include "shmem/ready.hpp"

namespace worker_pool
{

/* A pair whose worker gave way. */
struct GaveWay
{
	PairKey target; /* hash key */
	TimestampTz at;
	uint64 look; /* when it last had tasks */
};

static HTAB *gave_way = nullptr;
static GaveWay *left = nullptr; /* what the slots of this look tell; SlotCount() elements */
static int left_count = 0;
static TaskDemand *tasks = nullptr; /* PairCapacity() elements */
static int task_count = 0;
static int first_demand = 0; /* theirs in the sight */
static int *stuck_slots = nullptr;
static uint64 *stuck_generations = nullptr;
static Oid *task_databases_seen = nullptr;
static uint64 looks = 0;
static uint64 limits_asked_for = 0; /* one more than setting_changes was */
static TimestampTz limits_asked_at = 0;
static bool limits_known = false; /* in this look */

static constexpr int64 kLimitsPatienceUs = 5 * USECS_PER_SEC;

void
InitTaskDemands(MemoryContext context)
{
	const auto slots = static_cast<Size>(SlotCount());
	HASHCTL control = {};

	control.keysize = sizeof(PairKey);
	control.entrysize = sizeof(GaveWay);
	control.hcxt = context;
	gave_way = hash_create("worker_pool pairs that gave way", 32, &control,
						   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	left = static_cast<GaveWay *>(MemoryContextAlloc(context, sizeof(GaveWay) * slots));
	tasks = static_cast<TaskDemand *>(
		MemoryContextAlloc(context, sizeof(TaskDemand) * static_cast<Size>(PairCapacity())));
	stuck_slots = static_cast<int *>(MemoryContextAlloc(context, sizeof(int) * slots));
	stuck_generations = static_cast<uint64 *>(MemoryContextAlloc(context, sizeof(uint64) * slots));
	task_databases_seen = static_cast<Oid *>(MemoryContextAlloc(context, sizeof(Oid) * slots));
}

TimestampTz
TendTasks(TimestampTz now)
{
	int count = 0;

	{
		LockScope lock(PoolLock());

		for (int i = 0; i < SlotCount(); i++)
		{
			WorkerSlot &slot = SlotAt(i);

			if (likely(!slot.batch_stuck))
				continue;
			/* first the mark, then the batch: a worker that gets stuck again says so again */
			slot.batch_stuck = false;
			if (slot.state != SlotState::kRunning || slot.kind != SlotKind::kTask)
				continue;
			stuck_slots[count] = i;
			stuck_generations[count] = slot.generation;
			count++;
		}
	}
	for (int i = 0; i < count; i++)
		(void) StealBatch(stuck_slots[i], stuck_generations[i]);
	return RelaxCareful(now);
}

TimestampTz
SeeTasks(TimestampTz now)
{
	TimestampTz next = DT_NOEND;

	task_count = TaskDemands(tasks, PairCapacity(), now, &next);
	return next;
}

/* Notes slots whose worker gave way and is gone: only the launcher takes them into use again. */
static void
NoteWhoLeft()
{
	left_count = 0;
	for (int i = 0; i < SlotCount(); i++)
	{
		const WorkerSlot &slot = SlotAt(i);

		if (slot.state == SlotState::kFree && slot.give_way && slot.failed_target.fresh_id == 0)
			left[left_count++] = {slot.failed_target, slot.state_changed_at, 0};
	}
}

/*
 * Limits of roles that may be out of date are read anew by a visit to a database that has tasks. Until it has read
 * them, or for a while if it cannot, each role is taken to have a limit of one: false.
 */
static bool
KnowRoleLimits(TimestampTz now)
{
	const uint64 changes = pg_atomic_read_u64(&pool->setting_changes);

	if (task_count == 0 || RoleLimitsAreOf(changes))
		return true;
	if (limits_asked_for != changes + 1)
	{
		limits_asked_for = changes + 1;
		limits_asked_at = now;
		WantVisit(tasks[0].database);
	}
	return now >= limits_asked_at + kLimitsPatienceUs;
}

void
AddTaskDemands(Sight *sight, TimestampTz now)
{
	NoteWhoLeft();
	limits_known = KnowRoleLimits(now);
	first_demand = sight->demand_count;
	for (int i = 0; i < task_count; i++)
	{
		const TaskDemand &task = tasks[i];
		const PairKey target = {task.database, task.role, 0};
		const int pair = FindPair(target);
		const int limit = limits_known ? RoleLimitOf(task.role) : 1;

		sight->targets[sight->demand_count] = target;
		sight->demands[sight->demand_count] = {task.database,
											   task.role,
											   0,
											   task.oldest,
											   task.order,
											   task.ready,
											   limit > 0 ? limit : task.role_limit,
											   0,
											   IsBlocked(task.database),
											   pair == kNone ? 0 : PairAt(pair).gave_way_at,
											   SlotKind::kTask};
		sight->demand_count++;
	}
}

/* Takes over what the slots told, and tells the demands. */
static void
RememberWhoGaveWay(const Sight &sight)
{
	HASH_SEQ_STATUS scan;

	for (int i = 0; i < left_count; i++)
	{
		bool found = false;
		auto *entry =
			static_cast<GaveWay *>(hash_search(gave_way, &left[i].target, HASH_ENTER, &found));

		entry->at = found ? std::max(entry->at, left[i].at) : left[i].at;
	}
	looks++;
	for (int i = first_demand; i < first_demand + task_count; i++)
	{
		auto *entry =
			static_cast<GaveWay *>(hash_search(gave_way, &sight.targets[i], HASH_FIND, nullptr));

		if (entry == nullptr)
			continue;
		entry->look = looks;
		sight.demands[i].gave_way_us = std::max(sight.demands[i].gave_way_us, entry->at);
	}
	hash_seq_init(&scan, gave_way);
	while (auto *entry = static_cast<GaveWay *>(hash_seq_search(&scan)))
		if (entry->look != looks)
			(void) hash_search(gave_way, &entry->target, HASH_REMOVE, nullptr);
}

/* Is that left open in the database? It is no more then. */
static bool
TakeOpenPurge(Oid database)
{
	LockScope lock(PoolLock());
	DatabaseEntry *entry = FindDatabase(database);

	if (entry == nullptr || !entry->purge_open)
		return false;
	entry->purge_open = false;
	return true;
}

/* Databases that run tasks, or have just done so, get a time for their purge where it was left open. */
static void
PlanPurges(const Sight &sight, TimestampTz now)
{
	const int64 retention_us =
		std::min(settings::history_retention_s, settings::history_retention_failed_s) *
		USECS_PER_SEC;
	int count = 0;

	for (int i = 0; i < SlotCount(); i++)
		if (sight.slots[i].state != SlotState::kFree && sight.slots[i].kind == SlotKind::kTask)
			task_databases_seen[count++] = sight.slots[i].database;
	std::sort(task_databases_seen, task_databases_seen + count);
	for (int i = 0; i < count; i++)
	{
		const Oid database = task_databases_seen[i];

		if (i > 0 && database == task_databases_seen[i - 1])
			continue;
		if (TakeOpenPurge(database))
			SetPurgeAt(database, now + std::max(retention_us, USECS_PER_MINUTE));
	}
}

TimestampTz
CompleteTaskDemands(const Sight &sight, TimestampTz now)
{
	RememberWhoGaveWay(sight);
	PlanPurges(sight, now);
	return limits_known ? DT_NOEND : limits_asked_at + kLimitsPatienceUs;
}

} // namespace worker_pool
