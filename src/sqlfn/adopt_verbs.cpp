/*
 * adopt_verbs.cpp
 *	  adopt and rescan. Run in the session that calls them.
 *
 * adopt changes rows in the caller's transaction; what became this database's is told to the ready queue by a rescan at
 * the commit. rescan asks for one at once, for rows that are committed already, and for another at the end of the
 * transaction, for those that it has written itself. On a standby rescan sends a visit, which tells memory the services
 * that may run there: nothing else does when the primary makes one.
 */
#include "feature/tasks.hpp"

#include "feature/task_authority.hpp"
#include "pg/guard.hpp"
#include "shmem/databases.hpp"
#include "sqlfn/verb_arguments.hpp"

namespace worker_pool
{

/* 55000 without the extension. */
static void
VisitStandby()
{
	table_close(OpenTable(Table::kService, AccessShareLock), AccessShareLock);
	{
		LockScope lock(PoolLock());

		WantVisit(MyDatabaseId);
	}
	WakeLauncher();
}

} // namespace worker_pool

WP_SQL_FUNCTION(worker_pool_adopt)
{
	using namespace worker_pool;
	(void) fcinfo;
	EnterVerb();
	EnterDurableVerb();
	RefuseReadOnly("adopt");
	CheckMayAdminister("adopt tasks and schedules");

	const int adopted = AdoptRows();

	ArmRescan();
	PG_RETURN_INT32(adopted);
}

WP_SQL_FUNCTION(worker_pool_rescan)
{
	using namespace worker_pool;
	(void) fcinfo;
	EnterVerb();
	if (!RecoveryInProgress())
		EnterDurableVerb();
	CheckMayAdminister("rescan the tasks of this database");
	if (RecoveryInProgress())
	{
		VisitStandby();
		PG_RETURN_VOID();
	}
	MarkRescan(MyDatabaseId, DT_NOBEGIN);
	ArmRescan();
	PG_RETURN_VOID();
}
