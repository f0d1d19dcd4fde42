/*
 * task_key.hpp
 *	  The key of a task: one waiting task for each (owner, key).
 */
#pragma once

#include "feature/task_dependencies.hpp"
#include "feature/tasks.hpp"

namespace worker_pool
{

/*
 * Makes the key's row for task `id`. False: the waiting task *holder has it. Waits for transactions that are
 * about to take or to free the key.
 */
bool TakeKey(Relation task, Oid owner, const char *key, int64 id, int64 *holder);

/*
 * Locks the waiting task, so that it cannot begin before this transaction ends. False: it is not waiting any
 * more, or was changed meanwhile: take the key again.
 */
bool KeepTask(Relation task, const NewTask &kept_for, int64 holder);

/* Gives the waiting task the new definition. False: as KeepTask. */
bool ReplaceTask(Relation task, const NewTask &definition, const Dependencies &dependencies,
				 int64 holder);

/*
 * With a lock that keeps others from making it: does a row with that id exist in any state? Then *wait_for is
 * the transaction that has made it, or is about to delete it (Invalid: none).
 */
bool IsIdTaken(Relation task, int64 id, TransactionId *wait_for);

} // namespace worker_pool
