/*
 * task_authority.hpp
 *	  Who may see and touch a task, a queue, a schedule. As for commands (authority.hpp), of this database.
 */
#pragma once

#include "feature/authority.hpp"

namespace worker_pool
{

/* What every durable verb begins with: EnterVerb's checks were made; the extension is here, not in recovery (55000). */
void EnterDurableVerb();
/* 25006 in a read-only transaction, for a verb that writes rows: "enqueue". */
void RefuseReadOnly(const char *verb);

/*
 * Raises 42501: not the owner, a member of the owner's role (or, no superuser involved, the owner of the queue of that
 * name or a member of its role, pg_signal_backend).
 */
void CheckMayCancelTask(int64 id, Oid owner, Oid run_as, const char *queue);
/* The same for letting a task wait for it, which holds it up: owner, member of the owner's role. */
void CheckMayDependOn(int64 id, Oid owner);
/* The same for seeing it: owner, member of the owner's role, pg_read_all_stats. */
void CheckMaySeeTask(int64 id, Oid owner);
/* Owner, member of the owner's role, or superuser; else 42501. `what`: "schedule \"nightly\"". */
void CheckOwns(const char *what, Oid owner);
/* pause, resume, drain, adopt, rescan of the whole database, stats_reset: its owner, or a superuser (42501). A queue's: its owner too. */
void CheckMayPause(int32 queue, Oid queue_owner);
/* what: "reset the statistics" */
void CheckMayAdminister(const char *what);

} // namespace worker_pool
