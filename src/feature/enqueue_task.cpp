/*
 * enqueue_task.cpp
 *	  Stores a task in the caller's transaction. Runs in sessions, and in workers whose command enqueues.
 *
 *		queue found and kept	->	tasks it depends on looked at and locked	->	row (and key) stored
 *											one has failed: cancelled at once  <-/    at commit: pushed, a worker woken
 *
 * The row and what is armed for it go with the transaction or savepoint: a rollback leaves nothing, not even a dead
 * id for the ready queue. With a key, another waiting task of the owner may serve instead (task_key.cpp); then
 * its id is returned and the sequence has given one away.
 *
 * The count for worker_pool.max_tasks_per_role sees what is committed and what this transaction made: two
 * transactions at once can exceed it by what the other has not committed.
 */
#include "feature/tasks.hpp"

#include "catalog/order_scan.hpp"
#include "config/settings.hpp"
#include "core/retry.hpp"
#include "feature/task_authority.hpp"
#include "feature/task_key.hpp"

namespace worker_pool
{

/* --- queue and quota -------------------------------------------------------------------------------------- */

[[noreturn]] static void
RaiseNoQueue(const char *name)
{
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("queue \"%s\" does not exist", name),
					errhint("Make it with worker_pool.create_queue(), or use queue '%s'.",
							kDefaultQueue)));
	pg_unreachable();
}

/* Keeps a queue from being dropped until the end of this transaction. */
static void
LockQueue(int32 id)
{
	Relation relation = OpenTable(Table::kQueue, AccessShareLock);

	LockDatabaseObject(RelationGetRelid(relation), static_cast<Oid>(id), 0, AccessShareLock);
	table_close(relation, AccessShareLock);
}

QueueInfo
UseQueue(const char *name)
{
	QueueInfo queue = {};

	for (;;)
	{
		if (!FindQueue(name, &queue))
			RaiseNoQueue(name);
		if (queue.id <= kDefaultQueueId)
			return queue;

		const int32 id = queue.id;

		LockQueue(id);
		/* another session may have dropped it while we waited for the lock, and made it anew */
		if (FindQueue(name, &queue) && queue.id == id)
			return queue;
	}
}

/* worker_pool.max_tasks_per_role of the role; what was read last is remembered until such a setting changes. */
static int
TaskLimit(Oid role)
{
	static Oid known_role = InvalidOid;
	static uint64 known_changes = 0;
	static int known_limit = 0;
	const uint64 changes = pg_atomic_read_u64(&pool->setting_changes);

	if (likely(known_role == role && known_changes == changes))
		return known_limit;

	const int limit = settings::TaskLimitOfRole(role);

	known_role = role;
	known_changes = changes;
	known_limit = limit;
	return limit;
}

/* How many rows the role has, counted no further than `most`. */
static int
CountTasks(Oid role, int most)
{
	Relation task = OpenTable(Table::kTask, AccessShareLock);
	OrderScan scan = OpenOrder(task);
	int count = 0;

	SeekRole(&scan, role);
	while (count < most && NextInOrder(&scan) != nullptr)
		count++;
	CloseOrder(&scan);
	table_close(task, AccessShareLock);
	return count;
}

void
CheckTaskQuota(Oid role)
{
	const int limit = TaskLimit(role);

	if (likely(limit == 0) || CountTasks(role, limit) < limit)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("role \"%s\" has too many unfinished tasks in this database",
					GetUserNameFromId(role, false)),
			 errdetail("At most %d may run as it.", limit),
			 errhint("Enqueue again when some have finished; a superuser can raise "
					 "\"worker_pool.max_tasks_per_role\" with ALTER ROLE ... SET.")));
}

/* --- enqueue ------------------------------------------------------------------------------------------------ */

/* Fills in what follows from the caller and the arguments. */
static void
CompleteTask(NewTask *task, const Dependencies &dependencies)
{
	FormTask &form = task->form;

	form.scheduled_for = DT_NOBEGIN;
	form.owner = GetUserId();
	form.waits_for = WaitsFor(dependencies);
	form.keyed = task->key != nullptr;
	if (form.max_attempts == 0)
		form.max_attempts = form.atomic ? kDefaultAttemptsAtomic : kDefaultAttemptsOther;
	task->owner_name = GetUserNameFromId(form.owner, false);
	task->run_as_name = GetUserNameFromId(form.run_as, false);
}

[[noreturn]] static void
RaiseKeyTaken(const char *key, int64 holder)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("a task with key \"%s\" is waiting already", key),
			 errdetail("Task " INT64_FORMAT " has the key and has not begun.", holder),
			 errhint("With on_conflict => 'keep' its id is returned; 'replace' gives it the new "
					 "definition.")));
	pg_unreachable();
}

/* A task with a key: stored, or the waiting one is used. */
static int64
StoreWithKey(EnqueueRequest *request, const Dependencies &dependencies)
{
	NewTask &task = request->task;
	Relation relation = OpenTable(Table::kTask, RowExclusiveLock);
	int64 id = 0;

	task.form.id = NextId(Sequence::kTaskId);
	while (id == 0)
	{
		int64 holder = 0;

		if (TakeKey(relation, task.form.owner, task.key, task.form.id, &holder))
		{
			WP_FAULT("task.after_key");
			CheckTaskQuota(task.form.run_as);
			id = InsertTask(&task);
			AddDependencies(id, dependencies);
		}
		else if (request->on_conflict == OnConflict::kError)
			RaiseKeyTaken(task.key, holder);
		else if (request->on_conflict == OnConflict::kKeep)
			id = KeepTask(relation, task, holder) ? holder : 0;
		else if (ReplaceTask(relation, task, dependencies, holder))
		{
			id = holder;
			AddDependencies(id, dependencies);
		}
	}
	table_close(relation, NoLock);
	return id;
}

int64
EnqueueTask(EnqueueRequest *request)
{
	NewTask &task = request->task;

	RefuseReadOnly("enqueue");

	const QueueInfo queue = UseQueue(task.queue);
	const Dependencies dependencies = CheckDependencies(request->depends_on, request->depend_count);

	task.form.queue_id = queue.id;
	task.queue_priority = queue.priority;
	CompleteTask(&task, dependencies);
	if (task.key != nullptr)
		return StoreWithKey(request, dependencies);
	CheckTaskQuota(task.form.run_as);

	const int64 id = InsertTask(&task);

	AddDependencies(id, dependencies);
	return id;
}

} // namespace worker_pool
