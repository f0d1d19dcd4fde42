/*
 * pool_views.cpp
 *	  The functions behind the views `status` and `databases`. Any session, also on a hot standby.
 *
 * `status` is one moment, counted under one shared hold of the pool lock. `databases` walks pg_database
 * and adds what visits have reported and what the ready queue holds; of the current database it reads the
 * extension's version itself, so that CREATE EXTENSION shows at once.
 */
#include "sqlfn/rows.hpp"

#include "catalog/extension.hpp"
#include "config/settings.hpp"
#include "core/version.hpp"
#include "feature/authority.hpp"
#include "pg/encoding.hpp"
#include "pg/guard.hpp"
#include "shmem/databases.hpp"
#include "shmem/ready.hpp"
#include "shmem/slots.hpp"

namespace worker_pool
{

/* --- status --------------------------------------------------------------------------------------------- */

struct PoolCounts
{
	pid_t launcher_pid;
	TimestampTz launcher_started_at;
	int slots[kSlotStateCount];
	int queued;
	TimestampTz oldest_queued_at;
};

static PoolCounts
CountPool()
{
	LockScope lock(PoolLock(), LW_SHARED);
	PoolCounts counts = {};
	dlist_iter iter;

	if (pool->launcher_proc != kNone)
	{
		counts.launcher_pid = pool->launcher_pid;
		counts.launcher_started_at = pool->launcher_started_at;
	}
	for (int i = 0; i < SlotCount(); i++)
		counts.slots[static_cast<int>(SlotAt(i).state)]++;
	counts.queued = pool->queued_total;
	dlist_foreach(iter, &pool->used_pairs)
	{
		Pair *const pair = dlist_container(Pair, node, iter.cur);

		if (pair->queued == 0)
			continue;

		/* the head is the oldest of its pair */
		const CommandRecord *const record =
			dlist_container(CommandRecord, node, dlist_head_node(&pair->queue));

		if (counts.oldest_queued_at == 0 || record->submitted_at < counts.oldest_queued_at)
			counts.oldest_queued_at = record->submitted_at;
	}
	return counts;
}

static void
WriteStatus(RowWriter *row, const PoolCounts &counts)
{
	const auto slots = [&counts](SlotState state) { return counts.slots[static_cast<int>(state)]; };

	AddText(row, kVersion);
	if (counts.launcher_pid == 0)
		AddNull(row);
	else
		AddInt(row, counts.launcher_pid);
	AddTime(row, counts.launcher_started_at);
	AddInt(row, SlotCount());
	AddInt(row, slots(SlotState::kFree));
	AddInt(row, slots(SlotState::kStarting));
	AddInt(row, slots(SlotState::kIdle));
	AddInt(row, slots(SlotState::kAssigned) + slots(SlotState::kRunning));
	AddInt(row, slots(SlotState::kStopping));
	AddInt(row, counts.queued);
	AddTime(row, counts.oldest_queued_at);
	AddBool(row, RecoveryInProgress());
	AddBool(row, settings::enabled);
	AddBigint(row, static_cast<int64>(pg_atomic_read_u64(&pool->bytes_used)));
	AddBigint(row, static_cast<int64>(settings::shared_memory_kb) * 1024);
	EndRow(row);
}

/* --- databases ------------------------------------------------------------------------------------------ */

/* Copies what is known of the database; all zeroes where nothing is. */
static DatabaseEntry
CopyEntry(Oid database)
{
	LockScope lock(PoolLock(), LW_SHARED);
	const DatabaseEntry *entry = FindDatabase(database);

	return entry != nullptr ? *entry : DatabaseEntry{};
}

/* Why a database with these SQL objects is not served, or nullptr. */
static const char *
VersionReason(const char *version)
{
	switch (MatchVersion(kVersion, version))
	{
		case VersionMatch::kServed:
			return nullptr;
		case VersionMatch::kTooNew:
			return psprintf(
				"the SQL objects are of version %s, newer than the library's %s: install "
				"worker_pool %s and restart the server",
				version, kVersion, version);
		case VersionMatch::kTooOld:
		case VersionMatch::kUnknown:
			break;
	}
	return psprintf("the SQL objects are of version %s, the library is %s: run ALTER EXTENSION "
					"worker_pool UPDATE in this database",
					version, kVersion);
}

/* Why the database is not served at all and what to do about it, or nullptr. */
static const char *
ClosedReason(const FormData_pg_database *form, const DatabaseEntry &entry)
{
	/* what DROP DATABASE leaves in datconnlimit when it was interrupted; older minors do not name it */
	constexpr int32 kInvalidDatabase = -2;
	const char *const name = quote_identifier(NameStr(form->datname));

	if (form->datconnlimit == kInvalidDatabase)
		return psprintf("its DROP DATABASE was interrupted: run DROP DATABASE %s", name);
	if (form->datistemplate)
		return pstrdup("it is a template: workers never run there");
	if (!form->datallowconn)
		return psprintf("it accepts no connections: run ALTER DATABASE %s ALLOW_CONNECTIONS true",
						name);
	if (entry.blocks > 0)
		return "a session's DDL on the database has not ended yet: wait, or end that transaction";
	if (!settings::enabled)
		return "the pool is off: set worker_pool.enabled = on and reload the configuration";
	if (entry.has_extension)
		return VersionReason(entry.version);
	if (entry.visited)
		return "the extension is not installed: run CREATE EXTENSION worker_pool in this database";
	return "no worker has looked into it since the server's start";
}

/* Who paused the database, when and why, and how it goes on. */
static const char *
PauseReason(const FormData_pg_database *form, const PauseNote &pause)
{
	const char *by = GetUserNameFromId(pause.by, true);
	const char *why = "";

	if (pause.reason[0] != '\0')
		why =
			psprintf(" (%s)", ToServerEncoding(pause.reason, static_cast<int>(strlen(pause.reason)),
											   form->encoding));
	return psprintf("it was paused by %s at %s%s: run SELECT worker_pool.resume() in this database",
					by != nullptr ? by : "a role that is gone", timestamptz_to_str(pause.at), why);
}

/* Why no tasks run in the database, or nullptr when nothing is in their way. */
static const char *
IdleReason(const FormData_pg_database *form, const DatabaseEntry &entry, const DatabaseTasks &tasks)
{
	const char *const closed = ClosedReason(form, entry);

	if (closed != nullptr)
		return closed;
	if (tasks.pause.paused)
		return PauseReason(form, tasks.pause);
	if (RecoveryInProgress())
		return "the server is a standby: tasks and schedules run on the primary";
	return nullptr;
}

/* Message of the last visit or start that failed; in the encoding of the database, or plain ASCII. */
static void
AddLastError(RowWriter *row, const FormData_pg_database *form, const DatabaseEntry &entry)
{
	if (entry.last_error.sqlstate == 0 || !MaySeeCommand(GetUserId(), form->datdba))
		AddNull(row);
	else
		AddText(row, ToServerEncoding(entry.last_error.message,
									  static_cast<int>(strlen(entry.last_error.message)),
									  form->encoding));
}

static void
WriteDatabase(RowWriter *row, const FormData_pg_database *form)
{
	DatabaseEntry entry = CopyEntry(form->oid);
	DatabaseTasks tasks = {};

	if (!GetDatabaseTasks(form->oid, &tasks))
		tasks = {};
	if (form->oid == MyDatabaseId)
	{
		const char *version = InstalledVersion();

		entry.visited = true;
		entry.has_extension = version != nullptr;
		strlcpy(entry.version, version != nullptr ? version : "", sizeof(entry.version));
	}
	AddName(row, NameStr(form->datname));
	AddText(row, entry.has_extension ? entry.version : nullptr);
	AddBool(row, tasks.pause.paused);
	AddBigint(row, tasks.ready);
	AddBigint(row, tasks.running);
	AddBigint(row, tasks.failed);
	AddTime(row, tasks.oldest_ready);
	AddTime(row, TIMESTAMP_IS_NOEND(tasks.next_due) ? 0 : tasks.next_due);
	AddText(row, IdleReason(form, entry, tasks));
	AddLastError(row, form, entry);
	EndRow(row);
}

} // namespace worker_pool

using namespace worker_pool;

/* worker_pool._status(): one row. 55000 when the library was not preloaded. */
WP_SQL_FUNCTION(worker_pool_status)
{
	RequirePool();

	RowWriter row = BeginRows(fcinfo);

	WriteStatus(&row, CountPool());
	return static_cast<Datum>(0);
}

/* worker_pool._databases(): a row a database of the cluster. 55000 when the library was not preloaded. */
WP_SQL_FUNCTION(worker_pool_databases)
{
	RequirePool();

	RowWriter row = BeginRows(fcinfo);
	Relation relation = table_open(DatabaseRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(relation, InvalidOid, false, nullptr, 0, nullptr);

	for (HeapTuple tuple = systable_getnext(scan); HeapTupleIsValid(tuple);
		 tuple = systable_getnext(scan))
	{
		CHECK_FOR_INTERRUPTS();
		WriteDatabase(&row, reinterpret_cast<Form_pg_database>(GETSTRUCT(tuple)));
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return static_cast<Datum>(0);
}
