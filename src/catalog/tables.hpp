/*
 * tables.hpp
 *	  The durable tables of this database: found, opened, changed at heap level.
 *
 * Heap level, by primary key, not SPI: what a user's command left behind (settings, search_path, READ ONLY,
 * row security, isolation level) cannot touch it, no trigger fires, no privilege is asked for: the callers
 * have checked what there is to check. Always inside a transaction.
 *
 * A table is ours only if it belongs to the extension (pg_depend): the owner of a database may make a schema
 * and tables of these names himself, and must not get commands run as other roles by that. What was found is
 * remembered until the relcache says that something changed.
 */
#pragma once

#include "catalog/extension.hpp"

extern "C"
{
#include "utils/uuid.h"
}

namespace worker_pool
{

enum class Table : uint8
{
	kInstallation,
	kTask,
	kTaskKey,
	kDependency,
	kHistory,
	kQueue,
	kSchedule,
	kService,
};
inline constexpr int kTableCount = 8;

enum class Index : uint8
{
	kTaskId,
	kTaskOrder,
	kTaskKey,
	kDependency,
	kDependencyTask,
	kHistoryTask,
	kHistoryFinished,
	kHistorySchedule,
	kQueueId,
	kQueueName,
	kScheduleId,
	kScheduleName,
	kServiceId,
	kServiceName,
};
inline constexpr int kIndexCount = 14;

enum class Sequence : uint8
{
	kTaskId,
	kScheduleId,
	kQueueId,
	kServiceId,
};

/*
 * Is the extension here, in a version that this library serves, with its tables? Free when nothing changed since
 * the last call.
 */
bool HasTables();
/* Opens one; nullptr where HasTables() is false (also when it went away while we waited for the lock). */
Relation TryOpenTable(Table table, LOCKMODE mode);
/* The same, but raises 55000 with a hint (CREATE EXTENSION, or ALTER EXTENSION ... UPDATE). */
Relation OpenTable(Table table, LOCKMODE mode);
/*
 * Before a sleep: closes it, and gives back the lock on the extension that came with it. DROP EXTENSION would wait for
 * who waits, and what he waits for behind DROP EXTENSION: a ring that nobody sees. What the transaction has locked
 * besides (it has written a row, say) stays locked.
 */
void CloseTableForWait(Relation relation, LOCKMODE mode);
/* 55000 as OpenTable. */
Oid IndexOid(Index index);
/* Also in a read-only transaction: whether that may write is for the verb to say. */
int64 NextId(Sequence sequence);

/* Verbs: 55000 in recovery with a hint that the primary takes it; 55000 where the extension is missing. */
void RequireDurable();

/* --- rows -------------------------------------------------------------------------------------------- */

/*
 * A place (TID) names a row version only as long as nobody may prune it: between the fetch and the change the
 * caller has a snapshot, the active one of a statement or this one. Detoasting needs one, too.
 */
Snapshot HoldSnapshot();
void LetGoSnapshot(Snapshot snapshot);

/*
 * What these three write is visible at once to everything that looks afterwards (CommandCounterIncrement): also
 * to a second call in the same statement. In a standby and a parallel worker they raise what the server raises.
 */

/* heap_insert and all index entries. 23505 from a unique index. */
void InsertRow(Relation relation, HeapTuple tuple);
/*
 * heap_update with the index entries it needs. wait false: TM_BeingModified where another transaction holds
 * the row by any lock. Other results as heap_update; tuple->t_self is the new place after TM_Ok.
 */
TM_Result UpdateRow(Relation relation, const ItemPointerData &place, HeapTuple tuple, bool wait);
TM_Result DeleteRow(Relation relation, const ItemPointerData &place, bool wait);
/*
 * Locks a row (heap_lock_tuple), with the newer versions that a running transaction made of it; TM_Ok,
 * TM_Updated, TM_Deleted, TM_BeingModified (wait false).
 */
TM_Result LockRow(Relation relation, const ItemPointerData &place, LockTupleMode mode, bool wait);

/*
 * The newest committed (or own) version of the row with that key, copied into CurrentMemoryContext with
 * everything detoasted; nullptr when there is none. Looks with a fresh snapshot, whatever the isolation
 * level of the transaction.
 */
HeapTuple FetchById(Relation relation, Index index, int64 id);
HeapTuple FetchByName(Relation relation, Index index, const char *name);
/*
 * The same with a snapshot of the caller's, and not detoasted: what UpdateRow wants, which then keeps what stands
 * out of line.
 */
HeapTuple FetchPlain(Relation relation, Index index, int64 id, Snapshot snapshot);
/* The tuple, or a copy with what stands out of line brought in. A snapshot is held. */
HeapTuple Detoast(Relation relation, HeapTuple tuple);
/* A column that is never null; its data stays the tuple's. */
Datum ColumnOf(Relation relation, HeapTuple tuple, int column);
/* A column as text (palloc'd), nullptr when NULL. A snapshot is held, or the tuple is detoasted. */
const char *TextOf(Relation relation, HeapTuple tuple, int column);
/*
 * The tuple at that very place, if it still is that version (id compared by the caller); nullptr otherwise.
 * Copied, not detoasted.
 */
HeapTuple FetchAt(Relation relation, const ItemPointerData &place);

/*
 * The same without a copy: nothing can prune or reuse the place before UnpinRow. False: not there, and nothing is
 * pinned.
 */
struct PinnedRow
{
	HeapTupleData tuple;
	Buffer buffer;
};
bool PinRow(Relation relation, const ItemPointerData &place, PinnedRow *row);
void UnpinRow(const PinnedRow &row);

/* --- identity ------------------------------------------------------------------------------------------- */

/*
 * This database's installation uuid. False: there is none, or it is another database's (TEMPLATE clone): nothing
 * runs. A committed one is remembered until the relcache says that its table changed: whoever rewrites it also
 * calls CacheInvalidateRelcacheByRelid on the table.
 */
bool GetIdentity(pg_uuid_t *identity);
/* The same, but raises 55000 with a hint (adopt) where there is none. */
pg_uuid_t RequireIdentity();
/* Is a row with this identity of this database? */
bool IsOwnRow(const pg_uuid_t &installation, Oid database);

} // namespace worker_pool
