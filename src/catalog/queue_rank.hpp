/*
 * queue_rank.hpp
 *	  What a change of a queue means for the rows that are in it.
 */
#pragma once

#include "catalog/task_row.hpp"

namespace worker_pool
{

/* Gives the waiting tasks of the queue the rank that follows from its new priority; arms a rescan. */
void RankTasksAnew(int32 queue, int32 priority);
/* Tasks and schedules that name the queue. Reads both tables whole. */
int64 CountUsersOfQueue(int32 queue);

} // namespace worker_pool
