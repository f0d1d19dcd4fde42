/*
 * visit.cpp
 *	  A visit: one short look into a database, by a worker of its own that connected to it as the bootstrap
 *	  superuser. Is the extension there, and in which version? If so, what do its rows want?
 *
 * The launcher sends one to each database after a start and at the end of recovery; to a database in which the
 * extension came, changed or went, or which was just made or opened (ddl_effects.cpp); and where the ready queue
 * says that rows want a look (launcher_visits.cpp). The worker's loop calls RunVisit() outside of any
 * transaction, then the process leaves.
 *
 *	1. It says "begun" before it takes its first snapshot, so what is committed later asks for another visit.
 *	   Before that it marks the database for a load, if it is to make one: should it die halfway, the mark
 *	   stands, and another visit comes.
 *	2. It looks, and reports.
 *	3. No extension, or one in a version that is not ours: the ready queue forgets the database, and so do the
 *	   services. In recovery nothing can be written, and only services run that may: memory is told of them, and
 *	   it ends here.
 *	4. What the rows want (visit_work.cpp): steps that do not depend on each other, each in a transaction of its
 *	   own. It says how the look went (NoteLook), so that one that failed comes again later.
 *
 * It reads pg_extension through the catalog's own access methods (catalog/extension.cpp), and the durable tables
 * at heap level, so nothing that a user made is run by the superuser. It waits for no lock for long and for no
 * standby: there is only one visit at a time. An ERROR is rolled back, logged, and shown as last_error in the
 * view `databases`, and does not hinder the other steps.
 */
#include "process/visit.hpp"

#include "catalog/tables.hpp"
#include "pg/guard.hpp"
#include "shmem/databases.hpp"
#include "shmem/ready.hpp"
#include "shmem/service_table.hpp"

namespace worker_pool
{

/* As long as a visit waits for a lock of somebody else's (DROP EXTENSION in a long transaction, VACUUM FULL). */
static constexpr char kLockTimeout[] = "5s";

static bool in_recovery = false; /* as this visit began */
static bool served = false;		 /* what it found */

/* The step failed: rolls back, writes the error to the server's log and to the database's entry. */
static void
RecordFailure(MemoryContext context)
{
	BriefError brief = {};

	HOLD_INTERRUPTS();
	disable_all_timeouts(false);
	MemoryContextSwitchTo(context);

	const ErrorData *error = CopyErrorData();

	SetBriefError(&brief, error->sqlerrcode, error->message, error->detail, error->hint);
	EmitErrorReport();
	AbortCurrentTransaction();
	LWLockReleaseAll();
	FlushErrorState();
	{
		LockScope scope(PoolLock());
		RecordVisitError(MyDatabaseId, brief);
	}
	RESUME_INTERRUPTS();
}

bool
RunVisitStep(void (*step)())
{
	MemoryContext const context = CurrentMemoryContext;
	volatile bool done = false;

	PG_TRY();
	{
		StartTransactionCommand();
		/* whatever the database's settings say */
		XactIsoLevel = XACT_READ_COMMITTED;
		XactDeferrable = false;
		if (!in_recovery)
			XactReadOnly = false;
		/* no C++ exception may pass this PG_TRY */
		EnterCpp([step]() { step(); });
		CommitTransactionCommand();
		done = true;
	}
	PG_CATCH();
	{
		RecordFailure(context);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return done;
}

/* Looks and reports. */
static void
Look()
{
	const char *version = InstalledVersion();

	served = version != nullptr && HasTables();
	WP_FAULT("visit.before_report");

	LockScope scope(PoolLock());

	ReportVisit(MyDatabaseId, version, in_recovery);
}

static void
SetUp()
{
	SetConfigOption("lock_timeout", kLockTimeout, PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("synchronous_commit", "local", PGC_USERSET, PGC_S_SESSION);
	/* since 17; the database may have one that no load would survive */
	if (GetConfigOption("transaction_timeout", true, false) != nullptr)
		SetConfigOption("transaction_timeout", "0", PGC_USERSET, PGC_S_SESSION);
}

/* Was a visit asked for, or do only rows want one? */
static bool
Begin()
{
	bool wanted = false;

	{
		LockScope scope(PoolLock(), LW_SHARED);
		const DatabaseEntry *entry = FindDatabase(MyDatabaseId);

		wanted = entry == nullptr || entry->visit_wanted;
	}
	in_recovery = RecoveryInProgress();
	if (wanted && !in_recovery)
		MarkRescan(MyDatabaseId, DT_NOBEGIN);

	LockScope scope(PoolLock());

	BeginVisit(MyDatabaseId);
	return wanted;
}

/* Nothing of this database runs. */
static void
ForgetRows()
{
	const TimestampTz now = GetCurrentTimestamp();

	ForgetItems(MyDatabaseId);
	{
		LockScope lock(PoolLock());

		ForgetServices(MyDatabaseId, now);
	}
	WakeServiceWaiters();
	WakeLauncher();
}

void
RunVisit()
{
	SetUp();

	const bool wanted = Begin();

	if (!RunVisitStep(Look))
	{
		NoteLook(MyDatabaseId, true);
		return;
	}
	if (!served)
		ForgetRows();
	else if (in_recovery)
		TendRowsInRecovery();
	else
		TendRows(wanted);
}

} // namespace worker_pool
