/*
 * tables.cpp
 *	  Finds and opens the durable tables. Any process with a database: sessions, workers, visits.
 *
 * What is found. The row of pg_extension names a version; in the schema worker_pool each table and sequence must
 * belong to the extension (pg_depend, deptype e) and each index to its table. Anything less is "not
 * there": a database's owner can make a schema worker_pool with tables of his own before the extension comes,
 * and commands in those would run as any role he writes into them.
 *
 * What is remembered. The answer, a "no" as well as a "yes", with the OIDs, until an invalidation says that it
 * may be wrong: of one of our relations, or of any while the answer is "no" (CREATE EXTENSION makes relations);
 * of any function, for the version only (ALTER EXTENSION UPDATE replaces functions, and pg_extension has no
 * cache that could tell). An invalidation that comes while we look makes the next call look again.
 *
 * When it fails. TryOpenTable locks first and compares then: taking the lock takes invalidations in, so a
 * table that was dropped meanwhile is not used. Errors are 55000, or what the catalogs raise.
 */
#include "catalog/tables.hpp"

#include "core/version.hpp"
#include "pg/lock_scope.hpp"

extern "C"
{
#include "access/relation.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
}

namespace worker_pool
{

struct TableName
{
	const char *name;
	int columns;
};

/* By Table. */
static constexpr TableName kTables[kTableCount] = {
	{"installation", 2}, {"task", 39},	{"task_key", 3},  {"dependency", 3},
	{"history", 37},	 {"queue", 12}, {"schedule", 30}, {"service", 21},
};

struct IndexName
{
	const char *name;
	Table table;
};

/* By Index. */
static constexpr IndexName kIndexes[kIndexCount] = {
	{"task_pkey", Table::kTask},
	{"task_order", Table::kTask},
	{"task_key_pkey", Table::kTaskKey},
	{"dependency_pkey", Table::kDependency},
	{"dependency_task", Table::kDependency},
	{"history_task", Table::kHistory},
	{"history_finished", Table::kHistory},
	{"history_schedule", Table::kHistory},
	{"queue_pkey", Table::kQueue},
	{"queue_name", Table::kQueue},
	{"schedule_pkey", Table::kSchedule},
	{"schedule_name", Table::kSchedule},
	{"service_pkey", Table::kService},
	{"service_name", Table::kService},
};

static constexpr int kSequenceCount = 4;
static constexpr const char *kSequences[kSequenceCount] = {
	"task_id_seq",
	"schedule_id_seq",
	"queue_id_seq",
	"service_id_seq",
};

/* What this process knows of its database. */
struct Known
{
	bool looked;  /* the rest is what was found */
	bool version; /* the version was found to be served since the last function changed */
	bool there;
	bool has_identity;
	pg_uuid_t identity;
	Oid extension;
	Oid tables[kTableCount];
	Oid indexes[kIndexCount];
	Oid sequences[kSequenceCount];
};

static Known known = {};
static uint64 changes = 0; /* invalidations that concern us */

/* The row of pg_extension. */
struct ExtensionRow
{
	Oid oid; /* InvalidOid: there is none */
	bool served;
};

static bool
IsOurs(Oid relation)
{
	for (const Oid table : known.tables)
		if (table == relation)
			return true;
	for (const Oid index : known.indexes)
		if (index == relation)
			return true;
	for (const Oid sequence : known.sequences)
		if (sequence == relation)
			return true;
	return false;
}

/* Relcache callback; may come at any moment at which invalidations are taken in. */
static void
RelationChanged(Datum, Oid relation)
{
	if (known.looked && known.there && OidIsValid(relation) && !IsOurs(relation))
		return;
	known.looked = false;
	known.has_identity = false;
	changes++;
}

static void
FunctionChanged(Datum, int, uint32)
{
	known.version = false;
	changes++;
}

/* Registers the callbacks, once a process. */
static void
WatchCatalogs()
{
	static bool watching = false;

	if (watching)
		return;
	CacheRegisterRelcacheCallback(RelationChanged, static_cast<Datum>(0));
	CacheRegisterSyscacheCallback(PROCOID, FunctionChanged, static_cast<Datum>(0));
	watching = true;
}

static ExtensionRow
ReadExtension()
{
	ExtensionRow row = {};
	ScanKeyData key;
	Relation relation = table_open(ExtensionRelationId, AccessShareLock);

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum(kExtensionName));

	SysScanDesc scan = systable_beginscan(relation, ExtensionNameIndexId, true, nullptr, 1, &key);
	HeapTuple tuple = systable_getnext(scan);

	if (HeapTupleIsValid(tuple))
	{
		const auto *form = reinterpret_cast<Form_pg_extension>(GETSTRUCT(tuple));
		bool is_null = false;
		const Datum version =
			heap_getattr(tuple, Anum_pg_extension_extversion, RelationGetDescr(relation), &is_null);

		row.oid = form->oid;
		if (!is_null)
			row.served =
				MatchVersion(kVersion, TextDatumGetCString(version)) == VersionMatch::kServed;
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return row;
}

/* InvalidOid unless that name is such a relation and belongs to the extension. */
static Oid
FindMember(Oid extension, Oid schema, const char *name, char kind)
{
	const Oid relation = get_relname_relid(name, schema);

	if (!OidIsValid(relation) || get_rel_relkind(relation) != kind ||
		getExtensionOfObject(RelationRelationId, relation) != extension)
		return InvalidOid;
	return relation;
}

/* Fills the OIDs in; false: something is missing. */
static bool
FindMembers(Oid extension, Known *found)
{
	const Oid schema = get_namespace_oid(kExtensionName, true);

	if (!OidIsValid(schema))
		return false;
	for (int i = 0; i < kTableCount; i++)
	{
		found->tables[i] = FindMember(extension, schema, kTables[i].name, RELKIND_RELATION);
		if (!OidIsValid(found->tables[i]))
			return false;
	}
	for (int i = 0; i < kSequenceCount; i++)
	{
		found->sequences[i] = FindMember(extension, schema, kSequences[i], RELKIND_SEQUENCE);
		if (!OidIsValid(found->sequences[i]))
			return false;
	}
	for (int i = 0; i < kIndexCount; i++)
	{
		const Oid index = get_relname_relid(kIndexes[i].name, schema);

		if (!OidIsValid(index) ||
			IndexGetRelation(index, true) != found->tables[static_cast<int>(kIndexes[i].table)])
			return false;
		found->indexes[i] = index;
	}
	return true;
}

/* Looks everything up and remembers it. */
static void
LookAgain()
{
	const uint64 before = changes;
	Known found = {};

	/* until we are done, every invalidation counts */
	known = found;

	const ExtensionRow extension = ReadExtension();

	found.there =
		OidIsValid(extension.oid) && extension.served && FindMembers(extension.oid, &found);
	found.extension = extension.oid;
	found.looked = found.version = changes == before;
	known = found;
}

bool
HasTables()
{
	if (known.looked && known.version)
		return known.there;
	WatchCatalogs();
	if (known.looked && known.there)
	{
		/* a function changed: is the version served still? */
		const uint64 before = changes;

		if (ReadExtension().served && changes == before)
		{
			known.version = true;
			return true;
		}
	}
	LookAgain();
	return known.there;
}

/* Which one LockExtension has locked last. */
static Oid locked_extension = InvalidOid;

/* One of the locks that LockExtension has taken; those that the transaction has besides, it keeps. */
static void
UnlockExtension()
{
	UnlockDatabaseObject(ExtensionRelationId, locked_extension, 0, AccessShareLock);
}

/*
 * DROP EXTENSION locks the extension first and its tables after that, in an order that nobody can follow: whoever
 * opens several of them would meet it halfway, in a deadlock. Behind this lock we come before all of it, or after.
 */
static bool
LockExtension()
{
	while (HasTables())
	{
		locked_extension = known.extension;
		LockDatabaseObject(ExtensionRelationId, locked_extension, 0, AccessShareLock);
		/* it may have been dropped, and made anew, while we waited */
		if (HasTables() && known.extension == locked_extension)
			return true;
		UnlockExtension();
	}
	return false;
}

Relation
TryOpenTable(Table table, LOCKMODE mode)
{
	const int number = static_cast<int>(table);

	for (;;)
	{
		if (!LockExtension())
			return nullptr;

		const Oid oid = known.tables[number];
		Relation relation = try_relation_open(oid, mode);

		/* the lock has taken in what changed until now */
		if (relation != nullptr && HasTables() && known.tables[number] == oid)
		{
			/* its owner can write into it whatever he likes, and with that run commands as anybody */
			if (!superuser_arg(relation->rd_rel->relowner))
			{
				relation_close(relation, mode);
				return nullptr;
			}
			if (relation->rd_tableam != GetHeapamTableAmRoutine() ||
				RelationGetNumberOfAttributes(relation) != kTables[number].columns)
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 errmsg("table \"%s\" of extension %s was changed",
								RelationGetRelationName(relation), kExtensionName),
						 errdetail("It must have %d columns, none of them dropped, and the access method heap.",
								   kTables[number].columns),
						 errhint("Change it back, or drop the extension and create it again.")));
			return relation;
		}
		if (relation != nullptr)
			relation_close(relation, mode);
		UnlockExtension();
	}
}

/* Raises what keeps the tables from being used. */
[[noreturn]] static void
RaiseNoTables()
{
	const char *version = InstalledVersion();

	if (version == nullptr)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension %s is not installed in this database", kExtensionName),
				 errhint("Run CREATE EXTENSION %s.", kExtensionName)));

	const VersionMatch match = MatchVersion(kVersion, version);

	if (match == VersionMatch::kServed && HasTables())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("tables of extension %s belong to a role that is no superuser", kExtensionName),
				 errdetail("Whoever owns them could run commands as any role, so tasks, schedules and services rest."),
				 errhint("Give all tables in schema %s to a superuser by ALTER TABLE ... OWNER TO.",
						 kExtensionName)));
	if (match == VersionMatch::kServed)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("tables of extension %s are missing in this database", kExtensionName),
				 errdetail("A table, sequence or index was dropped, or does not belong to the extension."),
				 errhint("Drop the extension and create it again.")));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("version %s of extension %s is not served by the library, which has version %s",
					version, kExtensionName, kVersion),
			 match == VersionMatch::kTooOld
				 ? errhint("Run ALTER EXTENSION %s UPDATE.", kExtensionName)
				 : errhint("Install the library of that version and restart the server.")));
	pg_unreachable();
}

Relation
OpenTable(Table table, LOCKMODE mode)
{
	Relation relation = TryOpenTable(table, mode);

	if (relation == nullptr)
		RaiseNoTables();
	return relation;
}

void
CloseTableForWait(Relation relation, LOCKMODE mode)
{
	table_close(relation, mode);
	UnlockExtension();
}

Oid
IndexOid(Index index)
{
	if (!HasTables())
		RaiseNoTables();
	return known.indexes[static_cast<int>(index)];
}

/* nextval() asks whether the transaction may write: our own bookkeeping may, whatever the role has set. */
int64
NextId(Sequence sequence)
{
	if (!HasTables())
		RaiseNoTables();

	const Oid oid = known.sequences[static_cast<int>(sequence)];
	const bool read_only = XactReadOnly;

	/* after an ERROR the end of the (sub)transaction puts it back */
	XactReadOnly = false;

	const int64 id = nextval_internal(oid, false);

	XactReadOnly = read_only;
	return id;
}

void
RequireDurable()
{
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("tasks, schedules and services cannot be changed on a standby server"),
				 errhint("Call the function on the primary server, or after the promotion.")));
	if (!HasTables())
		RaiseNoTables();
}

/* --- identity ------------------------------------------------------------------------------------------ */

/*
 * The row of this database in worker_pool.installation; a clone's still names the database it was made from.
 * *committed: it was not written by this transaction, whose end could undo it.
 */
static bool
ReadIdentity(Relation relation, pg_uuid_t *identity, bool *committed)
{
	bool found = false;
	const Snapshot snapshot = HoldSnapshot();
	SysScanDesc scan = systable_beginscan(relation, InvalidOid, false, snapshot, 0, nullptr);
	HeapTuple tuple = nullptr;

	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool id_is_null = false;
		bool database_is_null = false;
		const Datum id = heap_getattr(tuple, 1, RelationGetDescr(relation), &id_is_null);
		const Datum database =
			heap_getattr(tuple, 2, RelationGetDescr(relation), &database_is_null);

		if (id_is_null || database_is_null || DatumGetObjectId(database) != MyDatabaseId)
			continue;
		found = true;
		*identity = *DatumGetUUIDP(id);
		*committed = !TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data));
	}
	systable_endscan(scan);
	LetGoSnapshot(snapshot);
	return found;
}

bool
GetIdentity(pg_uuid_t *identity)
{
	if (known.looked && known.version && known.has_identity)
	{
		*identity = known.identity;
		return true;
	}

	Relation relation = TryOpenTable(Table::kInstallation, AccessShareLock);
	const uint64 before = changes;
	bool committed = false;

	if (relation == nullptr)
		return false;

	const bool found = ReadIdentity(relation, identity, &committed);

	CloseTableForWait(relation, AccessShareLock);
	if (found && committed && known.looked && changes == before)
	{
		known.identity = *identity;
		known.has_identity = true;
	}
	return found;
}

pg_uuid_t
RequireIdentity()
{
	pg_uuid_t identity = {};

	if (!GetIdentity(&identity))
	{
		if (!HasTables())
			RaiseNoTables();
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this database is a copy that extension %s has not taken over", kExtensionName),
				 errdetail("Its tasks, queues, schedules and services are those of another database."),
				 errhint("Run SELECT %s.adopt().", kExtensionName)));
	}
	return identity;
}

bool
IsOwnRow(const pg_uuid_t &installation, Oid database)
{
	pg_uuid_t identity;

	return database == MyDatabaseId && GetIdentity(&identity) &&
		   memcmp(&identity, &installation, sizeof(identity)) == 0;
}

} // namespace worker_pool
