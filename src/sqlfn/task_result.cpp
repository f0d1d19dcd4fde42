/*
 * task_result.cpp
 *	  task_result(id): the rows of a task that has succeeded, or the error of one that has not. Any session,
 *	  also on a hot standby.
 *
 *		no final row, but a task		55000: not finished
 *		neither							55000 when the id was given to a task once, else 42704
 *		succeeded, result kept			the result; it stays, as long as the history does
 *		succeeded without rows			[]
 *		succeeded, rows not kept		55000, with the message that the worker left in the history
 *		failed, cancelled ...			the error of the last attempt, with all fields
 *
 * A task that was run again (retry_task) has a final row of its earlier run and a row of its own: then it is
 * not finished. Both are read with fresh snapshots, the task first: it ends by one commit that takes the one
 * away and makes the other, so a task that ends in between is found.
 */
#include "catalog/task_row.hpp"
#include "feature/authority.hpp"
#include "feature/finished_task.hpp"
#include "pg/guard.hpp"
#include "sqlfn/verb_arguments.hpp"

namespace worker_pool
{

/* 42501 */
static void
CheckOwner(int64 id, Oid owner)
{
	if (!OwnsCommand(GetUserId(), owner))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied to read the result of task " INT64_FORMAT, id),
						errdetail("Its owner and members of the owner's role may.")));
}

/* 55000 when the task is there; 42501 first. */
static void
RefuseUnfinished(int64 id)
{
	Relation task = OpenTable(Table::kTask, AccessShareLock);
	HeapTuple tuple = FetchById(task, Index::kTaskId, id);

	if (HeapTupleIsValid(tuple))
	{
		const FormTask &form = *FormOf(tuple);

		/* the owner of a row from elsewhere is a number that means another role here */
		CheckOwner(id, IsOwnRow(form.installation, form.database) ? form.owner : InvalidOid);
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("task " INT64_FORMAT " is not finished", id),
				 errhint("Wait with worker_pool.wait_task(" INT64_FORMAT
						 "); worker_pool.explain_task(" INT64_FORMAT ") tells what it waits for.",
						 id, id)));
	}
	table_close(task, AccessShareLock);
}

/* 55000 for an id that a task once had, else 42704. */
[[noreturn]] static void
RaiseGone(int64 id)
{
	if (!WasTaskIssued(id))
		RaiseTaskNotFound(id);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the result of task " INT64_FORMAT " is not there", id),
			 errdetail("The task has ended, or its enqueue was rolled back, and the history has no row "
					   "of it (any more)."),
			 errhint("Set \"worker_pool.history\" or the task's own history option to \"all\", and "
					 "\"worker_pool.history_retention\" to as long as results are needed.")));
	pg_unreachable();
}

/* The task's own error. One that came without a SQLSTATE gets that of its state. */
[[noreturn]] static void
RaiseTaskError(int64 id, const FinishedTask &task)
{
	auto *const error = static_cast<ErrorData *>(palloc0(sizeof(ErrorData)));

	error->elevel = ERROR;
	if (task.sqlstate != nullptr && strlen(task.sqlstate) == 5)
		error->sqlerrcode = MAKE_SQLSTATE(task.sqlstate[0], task.sqlstate[1], task.sqlstate[2],
										  task.sqlstate[3], task.sqlstate[4]);
	else if (strcmp(task.state, "cancelled") == 0)
		error->sqlerrcode = ERRCODE_QUERY_CANCELED;
	else
		error->sqlerrcode = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
	error->message =
		task.message != nullptr
			? const_cast<char *>(task.message)
			: psprintf("task " INT64_FORMAT " was not run to its end: %s", id, task.state);
	error->detail = const_cast<char *>(task.detail);
	error->hint = const_cast<char *>(task.hint);
	error->context = const_cast<char *>(task.context);
	error->assoc_context = CurrentMemoryContext;
	ThrowErrorData(error);
	pg_unreachable();
}

} // namespace worker_pool

WP_SQL_FUNCTION(worker_pool_task_result)
{
	using namespace worker_pool;
	EnterVerb();

	const int64 id = static_cast<int64>(ReadCommandId(fcinfo, 0));
	FinishedTask task = {};

	RefuseUnfinished(id);
	if (!FindFinished(id, &task))
		RaiseGone(id);
	CheckOwner(id, task.owner);
	if (strcmp(task.state, "succeeded") != 0)
		RaiseTaskError(id, task);
	if (task.has_result)
		PG_RETURN_DATUM(task.result);
	if (task.message != nullptr)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("task " INT64_FORMAT " has succeeded, but its result is not there", id),
				 errdetail("Its history says: %s.", task.message),
				 errhint("Let the command write into a table what is to be kept.")));
	PG_RETURN_DATUM(DirectFunctionCall1(jsonb_in, CStringGetDatum("[]")));
}
