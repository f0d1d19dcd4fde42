/*
 * finished_task.hpp
 *	  What the history says of a task that has ended.
 */
#pragma once

#include "catalog/tables.hpp"

namespace worker_pool
{

/* The last row of a task; texts palloc'd, nullptr = NULL. */
struct FinishedTask
{
	Oid owner;
	int32 attempt;
	int32 max_attempts;
	TimestampTz started_at; /* DT_NOBEGIN: it never began */
	TimestampTz finished_at;
	const char *state;
	const char *queue;
	const char *name;
	const char *sqlstate;
	const char *message;
	const char *detail;
	const char *hint;
	const char *context;
	bool has_result;
	Datum result; /* jsonb, palloc'd */
};

/*
 * The newest final row of that task. Looks with a fresh snapshot, whatever the isolation level of the
 * transaction. False: none (it is not finished, or its history is not there). 55000 where the extension is not
 * there.
 */
bool FindFinished(int64 id, FinishedTask *task);

/* Did this database ever give that id to a task? */
bool WasTaskIssued(int64 id);

/* 42704: neither the tasks nor the history have it; the DETAIL tells whether it was there once. */
[[noreturn]] void RaiseTaskNotFound(int64 id);

} // namespace worker_pool
