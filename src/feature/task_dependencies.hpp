/*
 * task_dependencies.hpp
 *	  What a new task waits for.
 */
#pragma once

#include "feature/tasks.hpp"

namespace worker_pool
{

struct Dependencies
{
	int64 *ids;	 /* tasks that are not finished; their rows are locked in key-share mode */
	Oid *owners; /* theirs */
	int count;
	int64 failed; /* one that has ended without success: the new task is cancelled; 0 = none */
};

/* Looks at each: 42704 unknown, 42501 for one of another owner, which is not locked then. */
Dependencies CheckDependencies(const int64 *ids, int count);

/* The value of waits_for in the new row: more than 0 also for one that is about to be cancelled. */
int WaitsFor(const Dependencies &dependencies);

/* The row is there: says what it waits for, or cancels it with the reason. */
void AddDependencies(int64 id, const Dependencies &dependencies);

/*
 * 22023 if a waiting task would wait for itself by that. New tasks cannot: nobody knows their id. Two that are
 * replaced at once take turns until the end of the transaction, if they or what they are to wait for have an
 * owner in common. 54000: too many tasks would have to be looked at.
 */
void RefuseCycle(int64 id, const Dependencies &dependencies);

} // namespace worker_pool
