/*
 * task_end.hpp
 *	  What the end of a task brings with it. For the files that implement task_store.hpp.
 *
 * Order of locks, the same for everybody: a task's own row first, then its key and dependency rows, then the
 * rows of the tasks that depend on it, by rising id, each again with its own first. A dependency row is touched
 * only by who holds the row of the task that waits.
 */
#pragma once

#include "catalog/history.hpp"

namespace worker_pool
{

/*
 * The task's row was deleted by this transaction; `tuple` is the row as it was, detoasted. Writes the final
 * attempt to history, takes out its key and what it waited for, tells who waits for it (at commit), NOTIFY.
 */
void CloseTask(Relation task, HeapTuple tuple, const AttemptOutcome &outcome, int32 attempt);

/*
 * The tasks that depend on it: released where it has succeeded or they wait for its end only, else cancelled,
 * and what depends on those in turn. A snapshot is held.
 */
void SettleDependants(Relation task, int64 id, const char *state);

/* Takes out all rows that say that this task waits for another. */
void DeleteDependenciesOf(int64 task_id);

/*
 * Takes the key's row out where it is this task's. wait false: TM_BeingModified where somebody holds it; TM_Ok
 * also where there is none.
 */
TM_Result DeleteKey(Oid owner, const char *key, int64 task_id, bool wait);

/* The one line in the server's log about a task that failed for good. No SQL text. */
void
WarnFinalFailure(Relation task, HeapTuple tuple, const AttemptOutcome &outcome, int32 attempts);

} // namespace worker_pool
