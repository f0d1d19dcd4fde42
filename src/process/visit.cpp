/*
 * visit.cpp
 *	  A visit: one short look into a database, by a worker of its own that connected to it as the bootstrap
 *	  superuser. Is the extension there, and in which version?
 *
 * The launcher sends one to each database after a start, and to a database in which the extension came,
 * changed or went, or which was just made or opened (ddl_effects.cpp). The worker's loop calls RunVisit()
 * outside of any transaction, then the process leaves.
 *
 * It says "begun" before it takes its snapshot, so what is committed later asks for another visit. It
 * reads pg_extension through the catalog's own access methods (catalog/extension.cpp), so nothing that a
 * user made is run by the superuser. An ERROR is rolled back, logged, and shown as last_error in the view
 * `databases`; a process that dies halfway leaves the database as unknown as it was, and the next change
 * or start looks again.
 */
#include "process/worker.hpp"

#include "catalog/extension.hpp"
#include "shmem/commands.hpp"
#include "shmem/databases.hpp"

namespace worker_pool
{

/* Looks and reports, in a transaction of its own. */
static void
Look()
{
	StartTransactionCommand();

	const char *version = InstalledVersion();

	WP_FAULT("visit.before_report");
	{
		LockScope scope(PoolLock());
		ReportVisit(MyDatabaseId, version);
	}
	CommitTransactionCommand();
}

/* The look failed: rolls back, writes the error to the server's log and to the database's entry. */
static void
RecordFailure(MemoryContext context)
{
	BriefError brief = {};

	HOLD_INTERRUPTS();
	MemoryContextSwitchTo(context);

	const ErrorData *error = CopyErrorData();

	SetBriefError(&brief, error->sqlerrcode, error->message, error->detail, error->hint);
	EmitErrorReport();
	AbortCurrentTransaction();
	FlushErrorState();
	{
		LockScope scope(PoolLock());
		RecordVisitError(MyDatabaseId, brief);
	}
	RESUME_INTERRUPTS();
}

void
RunVisit()
{
	MemoryContext const context = CurrentMemoryContext;

	{
		LockScope scope(PoolLock());
		BeginVisit(MyDatabaseId);
	}
	PG_TRY();
	{
		Look();
	}
	PG_CATCH();
	{
		RecordFailure(context);
	}
	PG_END_TRY();
}

} // namespace worker_pool
