/*
 * task_authority.cpp
 *	  Decides about tasks, queues and schedules of this database. Runs in the session that calls a verb.
 *
 * The owner of a row is the role that made it (GetUserId() of the call), which the row stores; a row that came
 * by a copy of a database has an owner of elsewhere, which the callers pass as InvalidOid: then only superusers
 * and the owner of the database pass. A "no" is an ERROR and nothing else has happened.
 */
#include "feature/task_authority.hpp"

#include "catalog/queue_row.hpp"

namespace worker_pool
{

void
EnterDurableVerb()
{
	RequireDurable();
}

void
RefuseReadOnly(const char *verb)
{
	char name[NAMEDATALEN + 32];

	snprintf(name, sizeof(name), "worker_pool.%s()", verb);
	PreventCommandIfReadOnly(name);
}

/* The owner of the database, a member of its role, or a superuser. */
static bool
MayAdminister()
{
	return superuser() || compat::OwnsDatabase(MyDatabaseId, GetUserId());
}

/* As pg_signal_backend: not where a superuser is involved. */
static bool
OwnsQueueOf(const char *queue, Oid owner, Oid run_as)
{
	QueueInfo info = {};

	return queue != nullptr && !superuser_arg(owner) && !superuser_arg(run_as) &&
		   FindQueue(queue, &info) && OidIsValid(info.owner) &&
		   OwnsCommand(GetUserId(), info.owner);
}

void
CheckMayCancelTask(int64 id, Oid owner, Oid run_as, const char *queue)
{
	if (OidIsValid(owner)
			? MayStopCommand(GetUserId(), owner, run_as) || OwnsQueueOf(queue, owner, run_as)
			: MayAdminister())
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to cancel task " INT64_FORMAT, id),
			 errdetail("Its owner, members of the owner's role and, unless a superuser is involved, "
					   "the owner of its queue and members of pg_signal_backend may.")));
}

void
CheckMayDependOn(int64 id, Oid owner)
{
	if (OidIsValid(owner) ? OwnsCommand(GetUserId(), owner) : MayAdminister())
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to let a task depend on task " INT64_FORMAT, id),
			 errdetail("Its owner, members of the owner's role and superusers may.")));
}

void
CheckMaySeeTask(int64 id, Oid owner)
{
	if (OidIsValid(owner) ? MaySeeCommand(GetUserId(), owner) : MayAdminister())
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for task " INT64_FORMAT, id),
			 errdetail("Its owner, members of the owner's role and of pg_read_all_stats may see it.")));
}

void
CheckOwns(const char *what, Oid owner)
{
	if (OidIsValid(owner) ? OwnsCommand(GetUserId(), owner) : MayAdminister())
		return;
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("must be owner of %s", what),
					errdetail("Its owner, members of the owner's role and superusers may do this.")));
}

void
CheckMayPause(int32 queue, Oid queue_owner)
{
	if (MayAdminister() || (queue != kWholeDatabase && OidIsValid(queue_owner) &&
							OwnsCommand(GetUserId(), queue_owner)))
		return;
	if (queue == kWholeDatabase)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to pause or resume the tasks of this database"),
				 errdetail("The owner of the database and superusers may."),
				 errhint("The owner of a queue may pause that one.")));
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					errmsg("permission denied to pause or resume this queue"),
					errdetail("The owner of the queue, the owner of the database and superusers may.")));
}

void
CheckMayAdminister(const char *what)
{
	if (MayAdminister())
		return;
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("permission denied to %s", what),
					errdetail("The owner of the database and superusers may.")));
}

} // namespace worker_pool
