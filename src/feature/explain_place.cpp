/*
 * explain_place.cpp
 *	  The part of explain_task for a task that could run: its place in the ready queue, and in the pool.
 *
 *		parked			which limit, and who holds it: concurrency key, queue, careful mode
 *		taken			a worker has it among others and has not come to it
 *		not in memory	overflow, or rows that nobody has told the pool of
 *		ready			how many come first; then why no (more) worker of its role comes: starts that fail,
 *						limits of role and database, the slots that tasks may use, the slots of the pool
 *
 * Each slot counts for what it is used for at the moment of the look; who may come next is the launcher's
 * decision (core/allocation.cpp), which is not repeated here.
 */
#include "feature/explain_parts.hpp"

#include "catalog/queue_row.hpp"
#include "config/settings.hpp"
#include "pg/encoding.hpp"

namespace worker_pool::explain
{

/* Does it have one of the slots that tasks and services may use? */
static bool
IsTaskPlace(const SlotLook &slot)
{
	return IsShared(slot.kind) &&
		   (slot.state == SlotState::kStarting || slot.state == SlotState::kAssigned ||
			slot.state == SlotState::kRunning);
}

/* The slots as somebody who waits for one sees them. */
struct PoolLook
{
	int used;
	int task_slots;	   /* that tasks, services and leases have */
	int others_places; /* of these, not of tasks */
	int idle;		   /* that could be evicted */
	int of_database;
	int of_role;
	int of_pair;
	int starting_of_pair;
	TimestampTz starting_since;
};

static bool
IsOfPair(const PairKey &key, const Subject &task)
{
	return key.database == MyDatabaseId && key.role == task.form.run_as && key.fresh_id == 0;
}

static PoolLook
CountSlots(const Subject &task, const SlotLook *slots, int count)
{
	PoolLook look = {};

	for (int i = 0; i < count; i++)
	{
		const SlotLook &slot = slots[i];

		if (slot.state == SlotState::kFree)
			continue;
		look.used++;
		look.task_slots += IsTaskPlace(slot) ? 1 : 0;
		look.others_places += IsTaskPlace(slot) && slot.kind != SlotKind::kTask ? 1 : 0;
		if (slot.state == SlotState::kIdle)
			look.idle++;
		if (slot.target.database == MyDatabaseId)
			look.of_database++;
		if (slot.target.role == task.form.run_as)
			look.of_role++;
		if (!IsOfPair(slot.target, task))
			continue;
		look.of_pair++;
		if (slot.state == SlotState::kStarting)
		{
			look.starting_of_pair++;
			look.starting_since = slot.registered_at;
		}
	}
	return look;
}

/* --- who has the slots ------------------------------------------------------------------------------------------ */

/* "2 by alice in app (task)" */
static void
AppendUser(StringInfo text, const SlotLook &slot, int same)
{
	/* another extension's own worker: the pool does not know where it is */
	if (slot.kind == SlotKind::kLease)
	{
		appendStringInfo(text, "%d leased to other extensions", same);
		return;
	}

	const char *const database = get_database_name(slot.target.database);
	const Oid role = slot.target.role;

	appendStringInfo(text, "%d by %s in %s (%s)", same,
					 RoleText(OidIsValid(role) ? role : BOOTSTRAP_SUPERUSERID),
					 database != nullptr ? database : "(dropped)", SlotKindName(slot.kind));
}

/* "2 by alice in app (task), 1 by bob in app (service)": the slots in use, grouped; tasks_only: those of IsTaskPlace. */
static const char *
SlotUsers(const SlotLook *slots, int count, bool tasks_only)
{
	constexpr int kShown = 8;
	StringInfoData text;
	int shown = 0;
	int rest = 0;
	auto *const seen = static_cast<bool *>(palloc0(static_cast<Size>(std::max(count, 1))));
	const auto counts = [tasks_only](const SlotLook &slot)
	{ return slot.state != SlotState::kFree && (!tasks_only || IsTaskPlace(slot)); };

	initStringInfo(&text);
	for (int i = 0; i < count; i++)
	{
		int same = 0;

		if (seen[i] || !counts(slots[i]))
			continue;
		for (int k = i; k < count; k++)
			if (!seen[k] && counts(slots[k]) && slots[k].kind == slots[i].kind &&
				slots[k].target.database == slots[i].target.database &&
				slots[k].target.role == slots[i].target.role)
			{
				seen[k] = true;
				same++;
			}
		if (++shown > kShown)
		{
			rest += same;
			continue;
		}
		if (shown > 1)
			appendStringInfoString(&text, ", ");
		AppendUser(&text, slots[i], same);
	}
	if (rest > 0)
		appendStringInfo(&text, ", %d by others", rest);
	pfree(seen);
	return text.data;
}

static void
ExplainFailedStart(const Subject &task, const SlotLook *slots, int count, Explanation *explanation)
{
	const SlotLook *last = nullptr;

	for (int i = 0; i < count; i++)
		if (slots[i].failed && IsOfPair(slots[i].failed_target, task) &&
			(last == nullptr || slots[i].failed_registered_at > last->failed_registered_at))
			last = &slots[i];
	if (last == nullptr)
		return;

	const BriefError &error = last->start_error;

	Add(explanation,
		psprintf("the last worker for it, of %s, could not start",
				 TimeText(last->failed_registered_at)),
		psprintf("%s: %s", unpack_sql_state(error.sqlstate),
				 ToServerEncoding(error.message, static_cast<int>(strlen(error.message)),
								  GetDatabaseEncoding())),
		error.hint[0] != '\0' ? pstrdup(error.hint) : nullptr);
}

/* A limit of the role or the database that is reached. */
static void
ExplainLimits(const Subject &task, const PoolLook &look, Explanation *explanation)
{
	const int of_role = settings::WorkerLimitOfRole(task.form.run_as);
	const int of_database = settings::max_workers_per_database;

	if (of_role > 0 && look.of_role >= of_role)
		Add(explanation,
			psprintf("role \"%s\" has %s, as many as it may (worker_pool.max_workers_per_role)",
					 task.run_as_name, CountText(look.of_role, "worker")),
			"They may be in other databases.",
			psprintf("ALTER ROLE %s SET worker_pool.max_workers_per_role = %d;",
					 quote_identifier(task.run_as_name), look.of_role + 1));
	if (of_database > 0 && look.of_database >= of_database)
		Add(explanation,
			psprintf("this database has %s, as many as it may "
					 "(worker_pool.max_workers_per_database)",
					 CountText(look.of_database, "worker")),
			nullptr,
			psprintf("ALTER SYSTEM SET worker_pool.max_workers_per_database = %d; SELECT "
					 "pg_reload_conf();",
					 look.of_database + 1));
}

/* Why no worker takes it at this moment. */
static void
ExplainPool(const Subject &task, const SlotLook *slots, int count, Explanation *explanation)
{
	const PoolLook look = CountSlots(task, slots, count);
	const int limit = TaskSlotLimit();

	ExplainFailedStart(task, slots, count, explanation);
	if (look.starting_of_pair > 0)
		Add(explanation,
			psprintf("a worker for role \"%s\" is starting, for %s", task.run_as_name,
					 DurationText(task.now - look.starting_since)),
			nullptr, nullptr);
	ExplainLimits(task, look, explanation);
	if (look.task_slots >= limit)
		Add(explanation,
			psprintf("the pool is full: %s have all of the %d slots they may use",
					 look.others_places > 0 ? "tasks and services" : "tasks", limit),
			psprintf("%s. Reserved for start_worker, run and query: %d of the pool's %d slots "
					 "(worker_pool.reserved_workers).",
					 SlotUsers(slots, count, true), SlotCount() - limit, SlotCount()),
			"Wait, raise worker_pool.max_workers (server start), or lower "
			"worker_pool.reserved_workers.");
	else if (look.used >= SlotCount() && look.idle == 0)
		Add(explanation, psprintf("the pool is full: all %d slots are in use", SlotCount()),
			SlotUsers(slots, count, false),
			psprintf("Wait: a worker gives way after worker_pool.fairness_interval (%s), when its "
					 "command ends. Or raise worker_pool.max_workers (server start).",
					 DurationText(INT64CONST(1000) * settings::fairness_interval_ms)));
}

/* --- ready ----------------------------------------------------------------------------------------------------- */

static void
ExplainReady(const Subject &task, const SlotLook *slots, int count, Explanation *explanation)
{
	constexpr int kCounted = 1000; /* ViewItem counts no further */
	const int before = task.view.ready_before;

	if (before > 0)
		Add(explanation,
			psprintf(before == 1 ? "%s%s of role \"%s\" comes before it"
								 : "%s%s of role \"%s\" come before it",
					 before >= kCounted ? "at least " : "", CountText(before, "task"),
					 task.run_as_name),
			"By the priority of their queue, their own priority, their due time.", nullptr);
	ExplainPool(task, slots, count, explanation);
	if (explanation->count == 0)
		Add(explanation, "it is ready and about to start",
			psprintf("It has been due for %s.", DurationText(task.now - task.form.due)), nullptr);
}

static void
ExplainNotLoaded(const Subject &task, const SlotLook *slots, int count, Explanation *explanation)
{
	DatabaseTasks tasks = {};

	if (GetDatabaseTasks(MyDatabaseId, &tasks) && tasks.overflowed)
		Add(explanation, "it is not in the ready queue yet: more tasks wait than memory holds",
			psprintf(INT64_FORMAT
					 " of this database are in memory; the others are loaded in order as "
					 "these are done.",
					 tasks.ready + tasks.delayed + tasks.parked),
			nullptr);
	else
		Add(explanation, "it is not in the ready queue: the pool does not know of it (any more)",
			"It may have ended or begun just now, or its row came by a way that the pool does not "
			"see.",
			"SELECT worker_pool.rescan();");
	ExplainPool(task, slots, count, explanation);
}

static void
ExplainTaken(const Subject &task, const SlotLook *slots, int count, Explanation *explanation)
{
	for (int i = 0; i < count; i++)
	{
		const SlotLook &slot = slots[i];

		if (slot.index != task.view.slot || slot.state == SlotState::kFree)
			continue;
		if (slot.task_id != 0)
			Add(explanation,
				psprintf("process %d has taken it among others and runs task " INT64_FORMAT
						 " first, since %s",
						 slot.pid, slot.task_id, TimeText(slot.task_started_at)),
				"If that goes on, other workers take the rest.",
				psprintf("SELECT * FROM worker_pool.explain_task(" INT64_FORMAT ");",
						 slot.task_id));
		else
			Add(explanation, psprintf("process %d has taken it and is about to begin it", slot.pid),
				nullptr, nullptr);
		return;
	}
	Add(explanation, "a worker has taken it and is about to begin it", nullptr, nullptr);
}

/* --- parked ---------------------------------------------------------------------------------------------------- */

/* Ids of the running tasks of that queue, as a list; the slots tell the ids, the rows the queue. */
static const char *
RunningOfQueue(int32 queue, const SlotLook *slots, int count)
{
	constexpr int kShown = 10;
	StringInfoData text;
	int shown = 0;
	Relation table = OpenTable(Table::kTask, AccessShareLock);

	initStringInfo(&text);
	for (int i = 0; i < count && shown < kShown; i++)
	{
		if (slots[i].task_id == 0 || slots[i].target.database != MyDatabaseId)
			continue;

		HeapTuple tuple = FetchById(table, Index::kTaskId, slots[i].task_id);

		if (HeapTupleIsValid(tuple) && FormOf(tuple)->queue_id == queue)
			appendStringInfo(&text, "%s" INT64_FORMAT " (process %d)", shown++ > 0 ? ", " : "",
							 slots[i].task_id, slots[i].pid);
	}
	table_close(table, AccessShareLock);
	return shown > 0 ? psprintf("Running: %s.", text.data) : nullptr;
}

static void
ExplainQueueLimit(const Subject &task, const SlotLook *slots, int count, Explanation *explanation)
{
	const int most = QueueMaxRunning(MyDatabaseId, task.form.queue_id);

	Add(explanation,
		psprintf("queue \"%s\" has %s running, its limit is %d (max_running)", task.queue,
				 CountText(RunningTasks(MyDatabaseId, task.form.queue_id), "task"), most),
		RunningOfQueue(task.form.queue_id, slots, count),
		psprintf("SELECT worker_pool.alter_queue(%s, max_running => %d);",
				 quote_literal_cstr(task.queue), most + 1));
}

static void
ExplainParked(const Subject &task, const SlotLook *slots, int count, Explanation *explanation)
{
	const int64 holder = task.view.limit_holder;
	const char *const other = holder != 0 ? psprintf("task " INT64_FORMAT, holder) : "another task";
	const char *const look =
		holder != 0 ? psprintf("SELECT * FROM worker_pool.explain_task(" INT64_FORMAT ");", holder)
					: nullptr;

	switch (task.view.limit)
	{
		case LimitKind::kConcurrency:
			Add(explanation, psprintf("its concurrency key is held by %s", other),
				"Of an owner's tasks with the same concurrency_key one runs at a time.", look);
			break;
		case LimitKind::kQueue:
			ExplainQueueLimit(task, slots, count, explanation);
			break;
		case LimitKind::kCareful:
			Add(explanation,
				psprintf("it was unfinished when the server went down, and waits for %s, which "
						 "runs alone",
						 other),
				"After a crash such tasks run one after the other, so that one that brings the "
				"server "
				"down is found.",
				look);
			break;
	}
}

void
ExplainPlace(const Subject &task, const SlotLook *slots, int count, Explanation *explanation)
{
	switch (task.view.state)
	{
		case ItemState::kFree:
			ExplainNotLoaded(task, slots, count, explanation);
			break;
		case ItemState::kReady:
		case ItemState::kDelayed: /* due a moment ago */
			ExplainReady(task, slots, count, explanation);
			break;
		case ItemState::kParked:
			ExplainParked(task, slots, count, explanation);
			break;
		case ItemState::kTaken:
			ExplainTaken(task, slots, count, explanation);
			break;
	}
}

} // namespace worker_pool::explain
