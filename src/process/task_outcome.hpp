/*
 * task_outcome.hpp
 *	  The rows that a task returned, as one JSON array of objects for its history. Worker process only.
 *
 * They are those of the last statement that returned any; none: there is no result.
 */
#pragma once

#include "pg/prelude.hpp"

namespace worker_pool
{

/* What is kept of one task's rows, in JSON. */
inline constexpr Size kMostResult = Size{256} * 1024;

/* Worker, once: makes the memory contexts. */
void InitTaskOutcome();

/*
 * The receiver for every portal of the task that begins now. keep: the history will hold the rows; else they
 * are thrown away as they come.
 */
DestReceiver *TaskReceiver(bool keep);

/* What goes into the history. */
struct TaskResult
{
	bool has_result;
	Datum result;		 /* jsonb, in CurrentMemoryContext */
	const char *message; /* why rows are not kept; nullptr: they are, or there were none */
};

/* Inside a transaction, in its own context, after the statements have ended. Raises only what a cancel raises. */
TaskResult TakeTaskResult();

} // namespace worker_pool
