/*
 * table_quota.c
 *	  Limits on the size of schemas. A service of worker_pool, one a database, measures; every session refuses
 *	  INSERT, UPDATE and COPY into what is over its limit.
 *
 * The service runs MeasureSchemas() again and again (create_service(..., every => '5s')): one SQL statement, which
 * writes sizes and flags into table_quota.quota. There is no launcher here, no shared memory, no signal handler: with
 * more databases than workers the rounds take turns, a round that fails is tried again, a crash is survived. The
 * flags are in a table, so they hold from the first statement after a restart.
 *
 * A session reads the flags once, into over_limit, and forgets them when a relcache invalidation of the table tells
 * that they have changed (table_quota_flags_changed, a trigger, sends it). So a statement costs a look into a
 * small array, and nobody polls.
 *
 * Without worker_pool the hook still works; the flags stay as they are, or measure() is called by something else.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/parallel.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "nodes/parsenodes.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "worker_pool/worker_pool.h"

PG_MODULE_MAGIC;

void _PG_init(void);

PG_FUNCTION_INFO_V1(table_quota_flags_changed);

/* Columns of table_quota.quota that are read here. */
enum
{
	kQuotaSchemaName = 1,
	kQuotaOverLimit = 5
};

static ExecutorCheckPerms_hook_type next_check = NULL;

/*
 * The schemas that are over their limit, as this session knows them: good while read_at equals changes, which each
 * invalidation counts up.
 */
static Oid *over_limit = NULL;
static int over_limit_count = 0;
static uint64 changes = 1;
static uint64 read_at = 0;
/* table_quota.quota of this database; InvalidOid: not known, so that any change in the catalogs makes us look. */
static Oid quota_table = InvalidOid;

/* --- the service ------------------------------------------------------------------------------------------------ */

/* One round. worker_pool has begun a transaction, and commits it when we return. */
static void
MeasureSchemas(void)
{
	SPI_connect();
	if (SPI_execute("SELECT table_quota.measure()", false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not measure schemas");
	SPI_finish();
}

static const WorkerPoolService measure_service = {
	.size = sizeof(WorkerPoolService),
	.name = "measure",
	.cycle = MeasureSchemas,
};

/* --- the flags --------------------------------------------------------------------------------------------------- */

/* Trigger of table_quota.quota: tells all sessions, at commit, that the flags have changed. */
Datum
table_quota_flags_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("table_quota.flags_changed() is a trigger's function")));
	CacheInvalidateRelcache(trigger->tg_relation);
	PG_RETURN_POINTER(NULL);
}

/* Called for each invalidation that reaches this process. Must not look into any catalog. */
static void
RelcacheChanged(Datum argument, Oid relation)
{
	(void) argument;
	if (!OidIsValid(relation) || !OidIsValid(quota_table) || relation == quota_table)
		changes++;
}

/* The table of the extension, and of nobody else who made one of that name; InvalidOid: not in this database. */
static Oid
FindQuotaTable(void)
{
	Oid schema = get_namespace_oid("table_quota", true);
	Oid table = OidIsValid(schema) ? get_relname_relid("quota", schema) : InvalidOid;

	if (OidIsValid(table) &&
		getExtensionOfObject(RelationRelationId, table) != get_extension_oid("table_quota", false))
		return InvalidOid;
	return table;
}

/* Adds a schema to over_limit, in memory that stays. */
static void
RememberSchema(Oid schema, int *room)
{
	if (over_limit_count == *room)
	{
		int more = Max(8, *room * 2);

		if (over_limit == NULL)
			over_limit = MemoryContextAlloc(TopMemoryContext, more * sizeof(Oid));
		else
			over_limit = repalloc(over_limit, more * sizeof(Oid));
		*room = more;
	}
	over_limit[over_limit_count++] = schema;
}

/* Reads the flags, with a snapshot of now, whatever the transaction sees, and whoever the current user is. */
static void
ReadFlags(void)
{
	static int room = 0;
	Relation table;
	SysScanDesc scan;
	HeapTuple tuple;
	uint64 seen = changes;

	over_limit_count = 0;
	quota_table = FindQuotaTable();
	if (!OidIsValid(quota_table))
	{
		read_at = seen;
		return;
	}
	table = table_open(quota_table, AccessShareLock);
	/* What changes from here on is counted, and read the next time. */
	seen = changes;
	scan = systable_beginscan(table, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool is_null;
		Datum over = heap_getattr(tuple, kQuotaOverLimit, RelationGetDescr(table), &is_null);

		if (!is_null && DatumGetBool(over))
		{
			Datum name = heap_getattr(tuple, kQuotaSchemaName, RelationGetDescr(table), &is_null);
			Oid schema = get_namespace_oid(NameStr(*DatumGetName(name)), true);

			if (OidIsValid(schema))
				RememberSchema(schema, &room);
		}
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	read_at = seen;
}

static bool
IsOverLimit(Oid schema)
{
	int i;

	for (i = 0; i < over_limit_count; i++)
		if (over_limit[i] == schema)
			return true;
	return false;
}

/* --- the hook ---------------------------------------------------------------------------------------------------- */

/*
 * May a statement that needs these rights go on? Raises 53100, or returns false, for a table in a schema that is over
 * its limit. DELETE and TRUNCATE stay possible, SELECT FOR UPDATE (which asks for the same right as UPDATE, but for
 * no column) too.
 */
static bool
CheckTable(Oid relation, AclMode required, Bitmapset *updated, bool raise)
{
	Oid schema;

	if (!(required & ACL_INSERT) && (!(required & ACL_UPDATE) || bms_is_empty(updated)))
		return true;
	if (read_at != changes)
		ReadFlags();
	if (over_limit_count == 0)
		return true;
	schema = get_rel_namespace(relation);
	if (!IsOverLimit(schema))
		return true;
	if (raise)
		ereport(ERROR,
				(errcode(ERRCODE_DISK_FULL),
				 errmsg("schema \"%s\" is over its quota", get_namespace_name(schema)),
				 errdetail("Nothing can be added to table \"%s\".", get_rel_name(relation)),
				 errhint("TRUNCATE or DROP what is not needed, or raise the limit with "
						 "table_quota.set_quota(). The view table_quota.status shows sizes.")));
	return false;
}

#if PG_VERSION_NUM >= 160000
static bool
CheckQuotas(List *range_table, List *permissions, bool raise)
{
	ListCell *cell;

	if (next_check != NULL && !next_check(range_table, permissions, raise))
		return false;
	if (IsParallelWorker())
		return true;
	foreach(cell, permissions)
	{
		RTEPermissionInfo *info = lfirst_node(RTEPermissionInfo, cell);

		if (!CheckTable(info->relid, info->requiredPerms, info->updatedCols, raise))
			return false;
	}
	return true;
}
#else
static bool
CheckQuotas(List *range_table, bool raise)
{
	ListCell *cell;

	if (next_check != NULL && !next_check(range_table, raise))
		return false;
	if (IsParallelWorker())
		return true;
	foreach(cell, range_table)
	{
		RangeTblEntry *entry = lfirst_node(RangeTblEntry, cell);

		if (entry->rtekind == RTE_RELATION &&
			!CheckTable(entry->relid, entry->requiredPerms, entry->updatedCols, raise))
			return false;
	}
	return true;
}
#endif

void
_PG_init(void)
{
	const WorkerPoolApi *pool = worker_pool_api();

	if (pool != NULL)
		pool->register_service(&measure_service);
	CacheRegisterRelcacheCallback(RelcacheChanged, (Datum) 0);
	next_check = ExecutorCheckPerms_hook;
	ExecutorCheckPerms_hook = CheckQuotas;
}
