/*
 * compat.hpp
 *	  Every difference between PostgreSQL 13 and 18 that this extension meets. PG_VERSION_NUM stands in
 *	  no other file. Included by prelude.hpp only.
 */
#pragma once

#if PG_VERSION_NUM < 150000
extern "C"
{
#include "postmaster/autovacuum.h"
#include "replication/walsender.h"
}
#else
extern "C"
{
#include "common/pg_prng.h"
}
#endif

namespace worker_pool::compat
{

/*
 * How many processes can have a PGPROC, prepared transactions (which never run) left out: every PGPROC
 * index of a living process is below. Before 15 the server knows MaxBackends only after _PG_init, when
 * shared memory was asked for already: the sum is that of its InitializeMaxBackends().
 */
inline int
MaxProcesses()
{
#if PG_VERSION_NUM >= 150000
	return MaxBackends + NUM_AUXILIARY_PROCS;
#else
	return MaxConnections + autovacuum_max_workers + 1 + max_worker_processes + max_wal_senders +
		   NUM_AUXILIARY_PROCS;
#endif
}

/* The index of this process's PGPROC: what another process needs to find its latch. */
inline int
MyProcIndex()
{
#if PG_VERSION_NUM >= 170000
	return static_cast<int>(MyProcNumber);
#else
	return MyProc->pgprocno;
#endif
}

/* Sets the latch of the process with that PGPROC index; harmless when the process is another by now. */
inline void
SetLatchOf(int proc_index)
{
	if (proc_index >= 0)
		SetLatch(&GetPGProcByNumber(proc_index)->procLatch);
}

/* Changes with each top transaction of this process. */
inline LocalTransactionId
MyLocalTransaction()
{
#if PG_VERSION_NUM >= 170000
	return MyProc->vxid.lxid;
#else
	return MyProc->lxid;
#endif
}

inline List *
RawParse(const char *text)
{
#if PG_VERSION_NUM >= 140000
	return raw_parser(text, RAW_PARSE_DEFAULT);
#else
	return raw_parser(text);
#endif
}

/* Parse analysis and rewriting of one raw statement without parameters. */
inline List *
AnalyzeAndRewrite(RawStmt *raw, const char *text)
{
#if PG_VERSION_NUM >= 150000
	return pg_analyze_and_rewrite_fixedparams(raw, text, nullptr, 0, nullptr);
#else
	return pg_analyze_and_rewrite(raw, text, nullptr, 0, nullptr);
#endif
}

inline CachedPlan *
GetPlan(CachedPlanSource *source, ParamListInfo params)
{
#if PG_VERSION_NUM >= 140000
	return GetCachedPlan(source, params, nullptr, nullptr);
#else
	return GetCachedPlan(source, params, false, nullptr);
#endif
}

inline void
RunPortal(Portal portal, DestReceiver *receiver, QueryCompletion *completion)
{
#if PG_VERSION_NUM >= 180000
	(void) PortalRun(portal, FETCH_ALL, true, receiver, receiver, completion);
#else
	(void) PortalRun(portal, FETCH_ALL, true, true, receiver, receiver, completion);
#endif
}

/* May `member` SET ROLE to `role`? */
inline bool
MaySetRole(Oid member, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return member_can_set_role(member, role);
#else
	return is_member_of_role(member, role);
#endif
}

/* The predefined roles were named otherwise in 13. */
#if PG_VERSION_NUM >= 140000
inline constexpr Oid kRoleReadAllStats = ROLE_PG_READ_ALL_STATS;
inline constexpr Oid kRoleSignalBackend = ROLE_PG_SIGNAL_BACKEND;
#else
inline constexpr Oid kRoleReadAllStats = DEFAULT_ROLE_READ_ALL_STATS;
inline constexpr Oid kRoleSignalBackend = DEFAULT_ROLE_SIGNAL_BACKENDID;
#endif

inline bool
OwnsDatabase(Oid database, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(DatabaseRelationId, database, role);
#else
	return pg_database_ownercheck(database, role);
#endif
}

inline bool
MayConnect(Oid database, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(DatabaseRelationId, database, role, ACL_CONNECT) == ACLCHECK_OK;
#else
	return pg_database_aclcheck(database, role, ACL_CONNECT) == ACLCHECK_OK;
#endif
}

inline bool
MayCreateInTablespace(Oid tablespace, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(TableSpaceRelationId, tablespace, role, ACL_CREATE) == ACLCHECK_OK;
#else
	return pg_tablespace_aclcheck(tablespace, role, ACL_CREATE) == ACLCHECK_OK;
#endif
}

/*
 * Converts as much of `source` as has equivalents; *dest (4 bytes for each of the source's, plus 1) ends
 * with NUL. Returns how many bytes of the source were done. 13 can only convert all or raise, so there it
 * is the bytes before the first one that is not ASCII.
 */
inline int
ConvertPrefix([[maybe_unused]] Oid function, [[maybe_unused]] int from, [[maybe_unused]] int to,
			  const char *source, int length, char *dest, [[maybe_unused]] int dest_size)
{
#if PG_VERSION_NUM >= 140000
	return pg_do_encoding_conversion_buf(
		function, from, to, reinterpret_cast<unsigned char *>(const_cast<char *>(source)), length,
		reinterpret_cast<unsigned char *>(dest), dest_size, true);
#else
	int done = 0;

	for (; done < length && !IS_HIGHBIT_SET(source[done]); done++)
		dest[done] = source[done];
	dest[done] = '\0';
	return done;
#endif
}

/* Under the current resource owner; 0 or less when there is no such file. */
inline File
OpenTemporaryFileForReading(const char *path)
{
#if PG_VERSION_NUM >= 140000
	return PathNameOpenTemporaryFile(path, O_RDONLY);
#else
	return PathNameOpenTemporaryFile(path);
#endif
}

inline void
ResetQueryId()
{
#if PG_VERSION_NUM >= 140000
	pgstat_report_query_id(0, true);
#endif
}

inline void
ReserveSettingPrefix(const char *prefix)
{
#if PG_VERSION_NUM >= 150000
	MarkGUCPrefixReserved(prefix);
#else
	EmitWarningsOnPlaceholders(prefix);
#endif
}

/* The value of pg_stat_activity.wait_event where the server lets an extension name its own (17). */
inline uint32
WaitEvent([[maybe_unused]] const char *name, [[maybe_unused]] uint32 *cache)
{
#if PG_VERSION_NUM >= 170000
	if (*cache == 0)
		*cache = WaitEventExtensionNew(name);
	return *cache;
#else
	return PG_WAIT_EXTENSION;
#endif
}

/*
 * Parse analysis and rewriting of one raw statement whose parameter types are inferred from the text. Raises
 * 42P18 for one that cannot be.
 */
inline List *
AnalyzeAndRewriteInferring(RawStmt *raw, const char *text, Oid **types, int *count)
{
#if PG_VERSION_NUM >= 150000
	return pg_analyze_and_rewrite_varparams(raw, text, types, count, nullptr);
#else
	Query *query = parse_analyze_varparams(raw, text, types, count);

	for (int i = 0; i < *count; i++)
		if ((*types)[i] == InvalidOid || (*types)[i] == UNKNOWNOID)
			ereport(ERROR,
					(errcode(ERRCODE_INDETERMINATE_DATATYPE),
					 errmsg("could not determine data type of parameter $%d", i + 1)));
	if (query->commandType == CMD_UTILITY)
		return lappend(NIL, query);
	return QueryRewrite(query);
#endif
}

inline bool
IsMerge([[maybe_unused]] const Node *statement)
{
#if PG_VERSION_NUM >= 150000
	return IsA(statement, MergeStmt);
#else
	return false;
#endif
}

/* The words of a CommandComplete message: "INSERT 0 1". */
inline void
WriteCompletionTag(char tag[COMPLETION_TAG_BUFSIZE], const QueryCompletion *completion)
{
#if PG_VERSION_NUM >= 160000
	(void) BuildQueryCompletionString(tag, completion, false);
#else
	const char *name = GetCommandTagName(completion->commandTag);

	if (!command_tag_display_rowcount(completion->commandTag))
		strlcpy(tag, name, COMPLETION_TAG_BUFSIZE);
	else if (completion->commandTag == CMDTAG_INSERT)
		snprintf(tag, COMPLETION_TAG_BUFSIZE, "%s 0 " UINT64_FORMAT, name, completion->nprocessed);
	else
		snprintf(tag, COMPLETION_TAG_BUFSIZE, "%s " UINT64_FORMAT, name, completion->nprocessed);
#endif
}

/* statement_timeout in ms as it is armed for a statement; 0 = none. 17 leaves it to transaction_timeout. */
inline int
StatementTimeoutMs()
{
#if PG_VERSION_NUM >= 170000
	if (TransactionTimeout > 0 && TransactionTimeout <= StatementTimeout)
		return 0;
#endif
	return StatementTimeout;
}

/* Arms a timer that goes off at that time and (15) again every `again_ms` after it. */
inline void
EnableTimeoutFrom(TimeoutId id, TimestampTz at, [[maybe_unused]] int again_ms)
{
#if PG_VERSION_NUM >= 150000
	enable_timeout_every(id, at, again_ms);
#else
	enable_timeout_at(id, at);
#endif
}

/*
 * Reports this process's statistics, outside a transaction. Returns in how many ms one that was put off is to
 * be forced; 0 = nothing is left. 13 and 14 do not say whether they put it off: then always, their interval.
 */
inline long
ReportStatistics(bool force)
{
#if PG_VERSION_NUM >= 150000
	return pgstat_report_stat(force);
#else
	pgstat_report_stat(force);
	return force ? 0 : 500;
#endif
}

/* Temporary slots of this session, which would hold back WAL and xmin for as long as it lives. */
inline void
DropTemporaryReplicationSlots()
{
#if PG_VERSION_NUM >= 170000
	ReplicationSlotCleanup(false);
#else
	ReplicationSlotCleanup();
#endif
}

/* DROP DATABASE ... WITH (FORCE) */
inline bool
DropsWithForce(const DropdbStmt *statement)
{
	ListCell *cell;

	foreach(cell, statement->options)
		if (strcmp(static_cast<DefElem *>(lfirst(cell))->defname, "force") == 0)
			return true;
	return false;
}

inline bool
MayUseNamespace(Oid name_space, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(NamespaceRelationId, name_space, role, ACL_USAGE) == ACLCHECK_OK;
#else
	return pg_namespace_aclcheck(name_space, role, ACL_USAGE) == ACLCHECK_OK;
#endif
}

/* The range type of a multirange type (14), InvalidOid for any other type. */
inline Oid
RangeOfMultirange([[maybe_unused]] Oid type)
{
#if PG_VERSION_NUM >= 140000
	return get_multirange_range(type);
#else
	return InvalidOid;
#endif
}

/* Which index entries a new version of a row needs: since 16 a HOT update can need those of BRIN indexes. */
enum class IndexNeed : uint8
{
	kNone,
	kAll,
	kSummarizing,
};

/* heap_update asserts that its caller waits; in a server without assertions it can be told not to. */
#ifdef USE_ASSERT_CHECKING
inline constexpr bool kUpdateMustWait = true;
#else
inline constexpr bool kUpdateMustWait = false;
#endif

/* heap_update by a caller who knows that nothing of its own wrote the row in this command. */
inline TM_Result
UpdateTuple(Relation relation, ItemPointer place, HeapTuple tuple, bool wait, IndexNeed *need)
{
	TM_FailureData failure;
	LockTupleMode mode;
#if PG_VERSION_NUM >= 160000
	TU_UpdateIndexes update = TU_All;
	const TM_Result result = heap_update(relation, place, tuple, GetCurrentCommandId(true),
										 InvalidSnapshot, wait, &failure, &mode, &update);

	*need = update == TU_None		   ? IndexNeed::kNone
			: update == TU_Summarizing ? IndexNeed::kSummarizing
									   : IndexNeed::kAll;
#else
	const TM_Result result = heap_update(relation, place, tuple, GetCurrentCommandId(true),
										 InvalidSnapshot, wait, &failure, &mode);

	*need = HeapTupleIsHeapOnly(tuple) ? IndexNeed::kNone : IndexNeed::kAll;
#endif
	return result;
}

/* One entry of an index without expressions and predicate. */
inline void
InsertIndexEntry(Relation index, Relation relation, Datum *values, bool *nulls, ItemPointer place,
				 IndexInfo *info)
{
	const IndexUniqueCheck unique =
		index->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO;

#if PG_VERSION_NUM >= 140000
	(void) index_insert(index, values, nulls, place, relation, unique, false, info);
#else
	(void) index_insert(index, values, nulls, place, relation, unique, info);
#endif
}

/* The entries of all open indexes of `target`, whatever these are. */
inline void
InsertIndexTuples(ResultRelInfo *target, TupleTableSlot *slot, EState *state,
				  [[maybe_unused]] bool only_summarizing)
{
#if PG_VERSION_NUM >= 160000
	(void) ExecInsertIndexTuples(target, slot, state, false, false, nullptr, NIL, only_summarizing);
#elif PG_VERSION_NUM >= 140000
	(void) ExecInsertIndexTuples(target, slot, state, false, false, nullptr, NIL);
#else
	state->es_result_relation_info = target;
	(void) ExecInsertIndexTuples(slot, state, false, nullptr, NIL);
#endif
}

/* True: the tuple at tuple->t_self is visible; its buffer is pinned. */
inline bool
FetchTuple(Relation relation, Snapshot snapshot, HeapTuple tuple, Buffer *buffer)
{
#if PG_VERSION_NUM >= 150000
	return heap_fetch(relation, snapshot, tuple, buffer, false);
#else
	return heap_fetch(relation, snapshot, tuple, buffer);
#endif
}

/* A random number, 0 <= n < 1, from the process's own generator. */
inline double
RandomFraction()
{
#if PG_VERSION_NUM >= 150000
	return pg_prng_double(&pg_global_prng_state);
#else
	return static_cast<double>(random()) / (static_cast<double>(MAX_RANDOM_VALUE) + 1);
#endif
}

/* REINDEX ... CONCURRENTLY; an option list since 14. */
inline bool
ReindexesConcurrently(const ReindexStmt *statement)
{
#if PG_VERSION_NUM >= 140000
	ListCell *cell;

	foreach(cell, statement->params)
	{
		auto *option = static_cast<DefElem *>(lfirst(cell));

		if (strcmp(option->defname, "concurrently") == 0)
			return defGetBoolean(option);
	}
	return false;
#else
	return statement->concurrent;
#endif
}

/* ALTER TABLE ... DETACH PARTITION ... CONCURRENTLY (14) */
inline bool
DetachesConcurrently([[maybe_unused]] const AlterTableCmd *command)
{
#if PG_VERSION_NUM >= 140000
	return command->subtype == AT_DetachPartition &&
		   reinterpret_cast<const PartitionCmd *>(command->def)->concurrent;
#else
	return false;
#endif
}

/* Forms of ALTER SUBSCRIPTION that change its list of publications, which by default refreshes it. */
inline bool
SetsPublications(AlterSubscriptionType kind)
{
#if PG_VERSION_NUM >= 140000
	return kind == ALTER_SUBSCRIPTION_SET_PUBLICATION ||
		   kind == ALTER_SUBSCRIPTION_ADD_PUBLICATION ||
		   kind == ALTER_SUBSCRIPTION_DROP_PUBLICATION;
#else
	return kind == ALTER_SUBSCRIPTION_PUBLICATION;
#endif
}

/* TupleDesc->attrs went away in 18. */
inline Form_pg_attribute
Attribute(TupleDesc desc, int index)
{
	return TupleDescAttr(desc, index);
}

} // namespace worker_pool::compat

/*
 * The arguments that ProcessUtility_hook gained in 14, so that one hook body serves every major.
 */
#if PG_VERSION_NUM >= 140000
#define WP_UTILITY_PARAMETERS                                                                      \
	PlannedStmt *pstmt, const char *query_string, bool read_only_tree,                             \
		ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *query_env,          \
		DestReceiver *dest, QueryCompletion *completion
#define WP_UTILITY_ARGUMENTS                                                                       \
	pstmt, query_string, read_only_tree, context, params, query_env, dest, completion
#else
#define WP_UTILITY_PARAMETERS                                                                      \
	PlannedStmt *pstmt, const char *query_string, ProcessUtilityContext context,                   \
		ParamListInfo params, QueryEnvironment *query_env, DestReceiver *dest,                     \
		QueryCompletion *completion
#define WP_UTILITY_ARGUMENTS pstmt, query_string, context, params, query_env, dest, completion
#endif

/* startcopyout and endcopyout left PQcommMethods in 14. */
#if PG_VERSION_NUM >= 140000
#define WP_COMM_COPY_METHODS
#else
#define WP_COMM_COPY_METHODS +[]() {}, +[](bool) {},
#endif

#if PG_VERSION_NUM >= 150000
#define WP_HAVE_SHMEM_REQUEST_HOOK 1
#endif
