/*
 * task_views.cpp
 *	  What the views of durable rows ask of memory and of the caller's rights: a function a question. Any
 *	  session, also on a hot standby.
 *
 * The views are plain SQL over the tables, so that a condition on the id uses the primary key and a count
 * reads nothing but the table. Only these columns need C: whether the worker that claimed a row runs it at
 * this moment and what it reported (shared memory), and whether the caller may see the command (a function
 * in a view runs as the user of the view, so GetUserId() is who asks). They are called for the rows and
 * columns that a query names.
 *
 * A claim is (epoch, slot, generation): it stands when the epoch is this server's and the slot has that
 * generation still. The task runs when the slot says its id. On a standby no claim of the primary stands.
 * Where the library was not preloaded the helpers of a row say no, the sets raise 55000.
 */
#include "sqlfn/rows.hpp"

#include "catalog/queue_row.hpp"
#include "feature/authority.hpp"
#include "pg/encoding.hpp"
#include "pg/guard.hpp"
#include "shmem/ready.hpp"
#include "shmem/slots.hpp"

namespace worker_pool
{

/* What a slot says of the task that it runs. */
struct RunningTask
{
	Oid owner;
	pid_t pid;
	TimestampTz started_at;
	float progress; /* -1: none */
	char message[sizeof(WorkerSlot::message)];
};

/* Arguments epoch, slot, generation, id: is the task running under that claim? */
static bool
FindRunning(FunctionCallInfo fcinfo, RunningTask *task)
{
	const uint64 epoch = static_cast<uint64>(PG_GETARG_INT64(0));
	const int32 index = PG_GETARG_INT32(1);
	const uint64 generation = static_cast<uint64>(PG_GETARG_INT64(2));
	const int64 id = PG_GETARG_INT64(3);

	if (pool == nullptr || epoch != pool->epoch || index < 0 || index >= SlotCount() || id == 0)
		return false;

	LockScope lock(PoolLock(), LW_SHARED);
	const WorkerSlot &slot = SlotAt(index);

	if (slot.state == SlotState::kFree || slot.generation != generation || slot.task_id != id)
		return false;
	task->owner = slot.task_owner;
	task->pid = slot.pid;
	task->started_at = slot.task_started_at;
	task->progress = slot.progress;
	memcpy(task->message, slot.message, sizeof(task->message));
	return true;
}

/* --- queues ----------------------------------------------------------------------------------------------- */

/*
 * The pause of a queue as one row. NULLs where memory has none to tell of: the table knows then, which may not
 * have been loaded yet. A resume that is not stored yet is told.
 */
static HeapTuple
PauseTuple(FunctionCallInfo fcinfo, int32 queue)
{
	constexpr int kColumns = 4;
	Datum values[kColumns] = {};
	bool nulls[kColumns] = {true, true, true, true};
	TupleDesc desc = nullptr;
	PauseNote note = {};

	if (get_call_result_type(fcinfo, nullptr, &desc) != TYPEFUNC_COMPOSITE ||
		desc->natts != kColumns)
		elog(ERROR, "return type must be a row type");
	if (pool != nullptr && (GetPause(MyDatabaseId, queue, &note) || note.dirty))
	{
		const int length = static_cast<int>(strlen(note.reason));

		values[0] = BoolGetDatum(note.paused);
		values[1] = ObjectIdGetDatum(note.by);
		values[2] = TimestampTzGetDatum(note.at);
		nulls[0] = nulls[1] = nulls[2] = false;
		if (length > 0)
		{
			values[3] =
				CStringGetTextDatum(ToServerEncoding(note.reason, length, GetDatabaseEncoding()));
			nulls[3] = false;
		}
	}
	return heap_form_tuple(BlessTupleDesc(desc), values, nulls);
}

} // namespace worker_pool

using namespace worker_pool;

/* worker_pool._may_see(owner) */
WP_SQL_FUNCTION(worker_pool_may_see)
{
	PG_RETURN_BOOL(MaySeeCommand(GetUserId(), PG_GETARG_OID(0)));
}

/* worker_pool._may_see_row(owner, installation, database) */
WP_SQL_FUNCTION(worker_pool_may_see_row)
{
	if (IsOwnRow(*PG_GETARG_UUID_P(1), PG_GETARG_OID(2)))
		PG_RETURN_BOOL(MaySeeCommand(GetUserId(), PG_GETARG_OID(0)));
	PG_RETURN_BOOL(superuser() || compat::OwnsDatabase(MyDatabaseId, GetUserId()));
}

/* worker_pool._is_own_row(installation, database) */
WP_SQL_FUNCTION(worker_pool_is_own_row)
{
	PG_RETURN_BOOL(IsOwnRow(*PG_GETARG_UUID_P(0), PG_GETARG_OID(1)));
}

/* worker_pool._task_is_running(epoch, slot, generation, id) */
WP_SQL_FUNCTION(worker_pool_task_is_running)
{
	RunningTask task;

	PG_RETURN_BOOL(FindRunning(fcinfo, &task));
}

/* worker_pool._task_pid(epoch, slot, generation, id) */
WP_SQL_FUNCTION(worker_pool_task_pid)
{
	RunningTask task;

	if (!FindRunning(fcinfo, &task) || task.pid == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT32(task.pid);
}

/* worker_pool._task_started_at(epoch, slot, generation, id) */
WP_SQL_FUNCTION(worker_pool_task_started_at)
{
	RunningTask task;

	if (!FindRunning(fcinfo, &task))
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(task.started_at);
}

/* worker_pool._task_progress(epoch, slot, generation, id) */
WP_SQL_FUNCTION(worker_pool_task_progress)
{
	RunningTask task;

	if (!FindRunning(fcinfo, &task) || task.progress < 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(PlainFraction(task.progress));
}

/* worker_pool._task_message(epoch, slot, generation, id) */
WP_SQL_FUNCTION(worker_pool_task_message)
{
	RunningTask task;

	if (!FindRunning(fcinfo, &task) || task.message[0] == '\0' ||
		!MaySeeCommand(GetUserId(), task.owner))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(ToServerEncoding(
		task.message, static_cast<int>(strlen(task.message)), GetDatabaseEncoding())));
}

/* worker_pool._queue_pause(queue_id) */
WP_SQL_FUNCTION(worker_pool_queue_pause)
{
	PG_RETURN_DATUM(HeapTupleGetDatum(PauseTuple(fcinfo, PG_GETARG_INT32(0))));
}

/* worker_pool._queue_counts(): a row a queue with tasks in memory. 55000 when the library was not preloaded. */
WP_SQL_FUNCTION(worker_pool_queue_counts)
{
	RequirePool();

	RowWriter row = BeginRows(fcinfo);
	auto *const queues = static_cast<QueueTasks *>(palloc(kLimits * sizeof(QueueTasks)));
	const int count = GetQueueTasks(MyDatabaseId, queues, kLimits);

	for (int i = 0; i < count; i++)
	{
		AddInt(&row, queues[i].queue);
		AddBigint(&row, queues[i].ready);
		AddBigint(&row, queues[i].waiting);
		AddBigint(&row, queues[i].running);
		EndRow(&row);
	}
	pfree(queues);
	return static_cast<Datum>(0);
}
