/*
 * task_request.hpp
 *	  A task's row as the executor's request. Worker process only.
 */
#pragma once

#include "catalog/task_row.hpp"
#include "feature/request.hpp"

namespace worker_pool
{

/* The command, arguments and settings of a row, in CurrentMemoryContext. */
Request RequestOfTask(Relation task, HeapTuple tuple);
/* The `settings` of a row, a jsonb object, into a request. */
void ReadSettings(Datum object, Request *request);

} // namespace worker_pool
