/*
 * queue_verbs.cpp
 *	  create_queue, alter_queue, drop_queue, pause, resume, drain. Run in the session that calls them.
 *
 * A queue is a row, changed with the caller's transaction; memory hears of a new limit at the commit. Two who create,
 * alter or drop a queue of the same name take turns until the end of the transaction, by a lock of the class of
 * table queue: so an existing name is 42710 in every isolation level, not a failure of the index. A queue that
 * an open transaction enqueues into cannot be dropped before that has ended (UseQueue).
 *
 * Pauses are immediate: feature/pause.cpp.
 */
#include "feature/tasks.hpp"

#include "feature/task_authority.hpp"
#include "pg/guard.hpp"
#include "sqlfn/verb_arguments.hpp"

namespace worker_pool
{

/* --- names ------------------------------------------------------------------------------------------------- */

/* The name of an existing or new queue; NULL: 22004. */
static const char *
RequireQueueName(FunctionCallInfo fcinfo, int n)
{
	const char *name = ReadQueueName(fcinfo, n);

	if (name == nullptr)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"name\" must not be null")));
	return name;
}

[[noreturn]] static void
RaiseNoQueue(const char *name)
{
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("queue \"%s\" does not exist", name),
					errhint("worker_pool.queues lists the queues of this database.")));
	pg_unreachable();
}

static QueueInfo
RequireQueue(const char *name)
{
	QueueInfo queue = {};

	if (!FindQueue(name, &queue))
		RaiseNoQueue(name);
	return queue;
}

/* `what` for CheckOwns: queue "mail". */
static const char *
Describe(const char *name)
{
	return psprintf("queue \"%s\"", name);
}

/* Nobody else creates, alters or drops a queue of that name before this transaction ends. */
static void
LockQueueName(const char *name)
{
	Relation relation = OpenTable(Table::kQueue, RowExclusiveLock);
	const uint32 hash =
		hash_bytes(reinterpret_cast<const unsigned char *>(name), static_cast<int>(strlen(name)));

	/* objsubid 1: numbers of queues have 0 */
	LockDatabaseObject(RelationGetRelid(relation), hash, 1, ExclusiveLock);
	table_close(relation, NoLock);
}

/* No open transaction uses it, and none does before this one ends. */
static void
LockQueueAgainstUse(int32 id)
{
	Relation relation = OpenTable(Table::kQueue, RowExclusiveLock);

	LockDatabaseObject(RelationGetRelid(relation), static_cast<Oid>(id), 0, AccessExclusiveLock);
	table_close(relation, NoLock);
}

/* --- create, alter, drop ------------------------------------------------------------------------------------ */

/* The options of a queue as arguments name them; NULL is no limit and priority 0. */
static constexpr const char *kQueueOptions[] = {"max_running", "priority", nullptr};

/* False: it is there already, and that is allowed. */
static bool
CreateQueue(const char *name, int32 max_running, int32 priority, bool if_not_exists)
{
	QueueInfo queue = {};

	LockQueueName(name);
	if (!FindQueue(name, &queue))
	{
		(void) InsertQueue(name, max_running, priority, GetUserId());
		return true;
	}
	if (!if_not_exists)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT), errmsg("queue \"%s\" already exists", name),
						errhint("Use worker_pool.alter_queue(), or if_not_exists => true.")));
	ereport(NOTICE, (errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("queue \"%s\" already exists, skipping", name)));
	return false;
}

static void
AlterQueue(FunctionCallInfo fcinfo, const char *name)
{
	const uint32 reset = ReadReset(fcinfo, 3, kQueueOptions);
	const int32 max_running = ReadCount(fcinfo, 1, "max_running", 0, 1);
	const int32 priority = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT32(2);
	const bool changes_limit = !PG_ARGISNULL(1) || (reset & 1) != 0;
	const bool changes_priority = !PG_ARGISNULL(2) || (reset & 2) != 0;

	RefuseSetAndReset(!PG_ARGISNULL(1), (reset & 1) != 0, kQueueOptions[0]);
	RefuseSetAndReset(!PG_ARGISNULL(2), (reset & 2) != 0, kQueueOptions[1]);
	LockQueueName(name);

	const QueueInfo queue = RequireQueue(name);

	CheckOwns(Describe(name), queue.owner);
	if (changes_limit || changes_priority)
		UpdateQueue(queue.id, name, changes_limit ? &max_running : nullptr,
					changes_priority ? &priority : nullptr);
}

static void
DropQueue(const char *name)
{
	int64 users = 0;

	LockQueueName(name);

	const QueueInfo queue = RequireQueue(name);

	CheckOwns(Describe(name), queue.owner);
	if (queue.id <= kDefaultQueueId)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("queue \"%s\" cannot be dropped", name),
						errdetail("It is always there.")));
	LockQueueAgainstUse(queue.id);
	if (!DeleteQueue(queue.id, name, &users))
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("queue \"%s\" cannot be dropped while it is in use", name),
				 errdetail_plural(INT64_FORMAT " unfinished task or schedule is in it.",
								  INT64_FORMAT " unfinished tasks and schedules are in it.",
								  static_cast<unsigned long>(users), users),
				 errhint("Let them finish or cancel them, and drop or alter the schedules.")));
}

/* --- pause --------------------------------------------------------------------------------------------------- */

/* The queue that argument 0 names, or the whole database; the caller may pause it. */
static int32
ReadPausable(FunctionCallInfo fcinfo)
{
	const char *name = ReadQueueName(fcinfo, 0);

	if (name == nullptr)
	{
		CheckMayPause(kWholeDatabase, InvalidOid);
		return kWholeDatabase;
	}

	const QueueInfo queue = RequireQueue(name);

	CheckMayPause(queue.id, queue.owner);
	return queue.id;
}

} // namespace worker_pool

/* create_queue(name, max_running, priority, if_not_exists) */
WP_SQL_FUNCTION(worker_pool_create_queue)
{
	using namespace worker_pool;
	EnterVerb();
	EnterDurableVerb();
	RefuseReadOnly("create_queue");

	const char *name = RequireQueueName(fcinfo, 0);
	const int32 max_running = ReadCount(fcinfo, 1, "max_running", 0, 1);
	const int32 priority = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT32(2);

	PG_RETURN_BOOL(CreateQueue(name, max_running, priority, ReadFlag(fcinfo, 3)));
}

/* alter_queue(name, max_running, priority, reset) */
WP_SQL_FUNCTION(worker_pool_alter_queue)
{
	using namespace worker_pool;
	EnterVerb();
	EnterDurableVerb();
	RefuseReadOnly("alter_queue");
	AlterQueue(fcinfo, RequireQueueName(fcinfo, 0));
	PG_RETURN_VOID();
}

/* drop_queue(name) */
WP_SQL_FUNCTION(worker_pool_drop_queue)
{
	using namespace worker_pool;
	EnterVerb();
	EnterDurableVerb();
	RefuseReadOnly("drop_queue");
	DropQueue(RequireQueueName(fcinfo, 0));
	PG_RETURN_BOOL(true);
}

/* pause(queue, reason) */
WP_SQL_FUNCTION(worker_pool_pause)
{
	using namespace worker_pool;
	EnterVerb();
	EnterDurableVerb();

	const int32 queue = ReadPausable(fcinfo);
	const char *reason = PG_ARGISNULL(1) ? nullptr : text_to_cstring(PG_GETARG_TEXT_PP(1));

	PG_RETURN_BOOL(PauseTasks(queue, reason));
}

/* resume(queue) */
WP_SQL_FUNCTION(worker_pool_resume)
{
	using namespace worker_pool;
	EnterVerb();
	EnterDurableVerb();
	PG_RETURN_BOOL(ResumeTasks(ReadPausable(fcinfo)));
}

/* drain(queue, timeout) */
WP_SQL_FUNCTION(worker_pool_drain)
{
	using namespace worker_pool;
	EnterVerb();
	EnterDurableVerb();

	const int32 queue = ReadPausable(fcinfo);
	const int64 timeout_ms = ReadTimeout(fcinfo, 1);

	(void) PauseTasks(queue, "drain");
	PG_RETURN_INT32(AwaitRunningTasks(queue, timeout_ms));
}
