/*
 * launcher_notices.cpp
 *	  Logs what befell services: crashes, starts that failed, quarantines, processes that do not leave. Launcher only.
 *
 * It is the launcher that says so since a process that crashed can say nothing any more, and what happens in an exit
 * callback or under the lock may not be logged there. An ERROR of a cycle is its process's to log (service_failure.cpp).
 *
 * launcher_services.cpp has copied the notices, and noted in the entries that they are told: if the launcher dies in here,
 * they are lost, and none comes twice. When the postmaster stops the server it terminates services as well, and then us: an
 * end by that SIGTERM looks like a crash, so where there is one and the server is being stopped, nothing is logged.
 */
#include "process/launcher_notices.hpp"

#include "core/service_rules.hpp"
#include "pg/fault.hpp"

extern "C"
{
#include "utils/pidfile.h"
}

namespace worker_pool
{

static long
SecondsSince(TimestampTz since)
{
	return static_cast<long>(std::max<int64>(0, (GetCurrentTimestamp() - since) / USECS_PER_SEC));
}

/*
 * Its name as it is now, its number where it is gone. Read from the table, as its rows need no look-up of anything that
 * a process without a database does not have.
 */
static const char *
DatabaseName(Oid database)
{
	Relation relation = table_open(DatabaseRelationId, AccessShareLock);
	const char *name = nullptr;
	ScanKeyData key;

	ScanKeyInit(&key, Anum_pg_database_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(database));

	SysScanDesc scan = systable_beginscan(relation, InvalidOid, false, nullptr, 1, &key);
	HeapTuple tuple = systable_getnext(scan);

	if (HeapTupleIsValid(tuple))
		name = pstrdup(NameStr(reinterpret_cast<Form_pg_database>(GETSTRUCT(tuple))->datname));
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return name != nullptr ? name : psprintf("%u", database);
}

static void
LogTrouble(const Notice &notice, const char *database)
{
	const BriefError &trouble = notice.trouble;
	const int hint = trouble.hint[0] != '\0';

	if (notice.no_room)
		ereport(WARNING,
				(errcode(trouble.sqlstate),
				 errmsg("service \"%s\" of database \"%s\" has to wait for a slot: %s", notice.name,
						database, trouble.message),
				 errdetail_internal("%s", trouble.detail), errhint("%s", trouble.hint)));
	else if (notice.start_failed)
		ereport(WARNING,
				(errcode(trouble.sqlstate),
				 errmsg("service \"%s\" of database \"%s\" could not be started: %s", notice.name,
						database, trouble.message),
				 errdetail("It will be tried again at %s, then later and later, and at once when "
						   "roles or databases have changed.",
						   timestamptz_to_str(notice.next_start)),
				 hint ? errhint("%s", trouble.hint) : 0));
	else
		ereport(WARNING,
				(errcode(trouble.sqlstate),
				 errmsg("service \"%s\" of database \"%s\" crashed: %s", notice.name, database,
						trouble.message),
				 errdetail("It will be started again at %s; after %d crashes in a row it is "
						   "quarantined.",
						   timestamptz_to_str(notice.next_start), kMostCrashes),
				 hint ? errhint("%s", trouble.hint) : 0));
}

static void
LogNotice(const Notice &notice)
{
	const char *const name = DatabaseName(notice.database);

	switch (notice.kind)
	{
		case NoticeKind::kTrouble:
			LogTrouble(notice, name);
			break;
		case NoticeKind::kQuarantine:
			ereport(WARNING, (errcode(notice.trouble.sqlstate),
							  errmsg("service \"%s\" of database \"%s\" was quarantined: %s",
									 notice.name, name, notice.trouble.message),
							  errdetail("It has crashed, or outlived its timeout, too often in a row, "
										"and is not started any more."),
							  errhint("When the cause is mended, use worker_pool.start_service().")));
			break;
		case NoticeKind::kDoesNotStop:
			ereport(WARNING,
					(errmsg("service \"%s\" of database \"%s\" does not stop", notice.name, name),
					 errdetail("Process %d was told to %ld seconds ago, and has been sent SIGINT and "
							   "SIGTERM.",
							   static_cast<int>(notice.pid), SecondsSince(notice.since)),
					 errhint("It does not check for interrupts. Killing it would restart the whole "
							 "server.")));
			break;
		case NoticeKind::kOverrun:
			ereport(WARNING,
					(errmsg("service \"%s\" of database \"%s\" does not react to its timeout",
							notice.name, name),
					 errdetail("The time of process %d was over %ld seconds ago.",
							   static_cast<int>(notice.pid), SecondsSince(notice.since)),
					 errhint("It does not check for interrupts. Killing it would restart the whole "
							 "server.")));
			break;
	}
}

/* Does the postmaster stop the server? It says so in its lock file, before it signals anybody. */
static bool
ServerIsStopping()
{
	FILE *file = AllocateFile("postmaster.pid", "r");
	char line[MAXPGPATH];
	bool stopping = false;

	if (file == nullptr)
		return false;
	for (int i = 1; !stopping && fgets(line, sizeof(line), file) != nullptr; i++)
		stopping = i == LOCK_FILE_LINE_PM_STATUS &&
				   strncmp(line, PM_STATUS_STOPPING, strlen(PM_STATUS_STOPPING)) == 0;
	FreeFile(file);
	return stopping;
}

/* Ended by SIGTERM because the server stops, as we shall be in a moment? That is no crash. */
static bool
IsShutdown(const Notice *notices, int count)
{
	bool any = false;

	for (int i = 0; i < count; i++)
		any = any || notices[i].trouble.sqlstate == ERRCODE_ADMIN_SHUTDOWN;
	return any && (ProcDiePending || ServerIsStopping());
}

void
LogNotices(const Notice *notices, int count)
{
	MemoryContext const context = CurrentMemoryContext;

	if (count == 0 || IsShutdown(notices, count))
		return;
	WP_FAULT("launcher.before_service_log");
	StartTransactionCommand();
	for (int i = 0; i < count; i++)
		LogNotice(notices[i]);
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
}

} // namespace worker_pool
