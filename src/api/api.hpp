/*
 * api.hpp
 *	  The C interface of worker_pool.h, as its functions stand in the one struct that other extensions find.
 */
#pragma once

#include "feature/entry_points.hpp"

namespace worker_pool
{

/* Puts the struct into its rendezvous variable; _PG_init, where the pool is made. */
void PublishApi();

/* --- api_work.cpp: commands and tasks, by the SQL functions' own bodies ---------------------------------------------- */

void ApiReportProgress(double fraction, const char *message);
int64 ApiStartWorker(const WorkerPoolCommand *command);
int64 ApiEnqueue(const WorkerPoolTask *task);
const char *ApiWait(WorkerPoolWork what, int64 id, int64 timeout_ms);
bool ApiCancel(WorkerPoolWork what, int64 id, int64 grace_ms);

} // namespace worker_pool
