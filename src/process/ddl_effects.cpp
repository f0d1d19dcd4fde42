/*
 * ddl_effects.cpp
 *	  Runs in any session. Notes what its transaction changed that the pool must know of, and tells the
 *	  pool when the transaction has committed.
 *
 * When. XACT_EVENT_COMMIT comes before the invalidation messages are sent and before the locks are
 * released (xact.c, CommitTransaction): a worker woken then could look too early and find everything as it
 * was. So we act in a resource-release callback of the top transaction, in the phase after locks. Nothing
 * there may raise: an ERROR would be a PANIC (commit) or a loop (abort). All memory is taken when the note
 * is made.
 *
 * What. Notes are not taken back when a subtransaction aborts: a spurious check costs a worker some
 * microseconds, a spurious visit some milliseconds. An aborted transaction drops them. At PREPARE
 * TRANSACTION they fire too early to see the change, so COMMIT PREPARED makes its own (ddl_hooks.cpp).
 *
 * Databases that the transaction holds closed (drain.cpp) are opened at the same place, whether it commits
 * or aborts, and when the subtransaction that closed them aborts.
 *
 * The extension and databases are watched through object_access_hook, which sees every way in which they
 * come and go: CREATE EXTENSION ... CASCADE, DROP SCHEMA ... CASCADE, DROP OWNED, and so on.
 *
 * DROP EXTENSION while tasks run. They hold locks on its tables only while they are claimed and from their mark
 * to their commit, so the DROP waits for moments. At its commit the ready queue forgets the database: nothing
 * new begins. A task that is running then finds no table to mark itself in; it fails, and its effect is rolled
 * back, as nobody could know that it has succeeded. If the DROP was rolled back to a savepoint, the note stands
 * all the same: the visit then loads what was forgotten.
 *
 * Services of a database or extension that is gone are forgotten likewise: their processes are told to leave at once.
 * ALTER DATABASE RENAME changes nothing for them, as they know their database by its OID; ALTER EXTENSION UPDATE asks
 * for a visit, which reads their rows anew.
 */
#include "process/ddl_effects.hpp"

#include "catalog/extension.hpp"
#include "shmem/databases.hpp"
#include "shmem/ready.hpp"
#include "shmem/service_table.hpp"

namespace worker_pool
{

/* Lists are in TopMemoryContext. */
struct Pending
{
	bool any;
	bool authority;
	bool settings;
	List *visits;
	List *dropped;
	List *forgotten; /* the extension was dropped there */
};

static Pending pending = {};
static object_access_hook_type previous_object_access = nullptr;

/* --- making notes --------------------------------------------------------------------------------------- */

static List *
Remember(List *list, Oid database)
{
	MemoryContext const context = MemoryContextSwitchTo(TopMemoryContext);
	List *const longer = list_append_unique_oid(list, database);

	MemoryContextSwitchTo(context);
	pending.any = true;
	return longer;
}

void
ArmAuthorityChange()
{
	pending.authority = pending.any = true;
}

void
ArmSettingChange()
{
	pending.settings = pending.any = true;
}

/*
 * May a worker look into the database: no template, and open to connections? With SnapshotSelf, which sees
 * what the current command has just written.
 */
static bool
AcceptsVisits(Oid database)
{
	Relation relation = table_open(DatabaseRelationId, AccessShareLock);
	ScanKeyData key;
	bool accepts = false;

	ScanKeyInit(&key, Anum_pg_database_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(database));

	SysScanDesc scan =
		systable_beginscan(relation, DatabaseOidIndexId, true, SnapshotSelf, 1, &key);
	HeapTuple tuple = systable_getnext(scan);

	if (HeapTupleIsValid(tuple))
	{
		const auto *form = reinterpret_cast<Form_pg_database>(GETSTRUCT(tuple));

		accepts = form->datallowconn && !form->datistemplate;
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return accepts;
}

/* object_access_hook: a row of pg_extension or pg_database was made, changed, or is about to go. */
static void
WatchObject(ObjectAccessType access, Oid class_id, Oid object, int sub_object, void *argument)
{
	if (previous_object_access != nullptr)
		previous_object_access(access, class_id, object, sub_object, argument);
	if (pool == nullptr || IsBinaryUpgrade)
		return;
	if (access != OAT_POST_CREATE && access != OAT_DROP && access != OAT_POST_ALTER)
		return;
	if (class_id == ExtensionRelationId)
	{
		if (!IsOurExtension(object))
			return;
		if (access == OAT_DROP)
			pending.forgotten = Remember(pending.forgotten, MyDatabaseId);
		if (AcceptsVisits(MyDatabaseId))
			pending.visits = Remember(pending.visits, MyDatabaseId);
	}
	else if (class_id == DatabaseRelationId)
	{
		/* a clone may have the extension; one that was closed or a template may have it by now */
		if (access == OAT_DROP)
			pending.dropped = Remember(pending.dropped, object);
		else if (AcceptsVisits(object))
			pending.visits = Remember(pending.visits, object);
	}
}

/* --- acting on them ------------------------------------------------------------------------------------- */

/* Tells shared memory, and wakes who must look. Never raises. */
static void
Publish(const Pending &notes)
{
	const TimestampTz now = GetCurrentTimestamp();
	ListCell *cell;

	if (notes.authority)
		pg_atomic_fetch_add_u64(&pool->authority_changes, 1);
	if (notes.settings)
		pg_atomic_fetch_add_u64(&pool->setting_changes, 1);
	/* before the visit that the same note asks for: should it find the extension, it loads everything anew */
	foreach(cell, notes.forgotten)
		ForgetItems(lfirst_oid(cell));
	foreach(cell, notes.dropped)
		ForgetItems(lfirst_oid(cell));

	{
		LockScope scope(PoolLock());
		dlist_iter iter;

		foreach(cell, notes.forgotten)
			ForgetServices(lfirst_oid(cell), now);
		foreach(cell, notes.dropped)
		{
			ForgetServices(lfirst_oid(cell), now);
			ForgetDatabase(lfirst_oid(cell));
		}
		foreach(cell, notes.visits)
			WantVisit(lfirst_oid(cell));
		if (notes.authority || notes.settings)
		{
			dlist_foreach(iter, &pool->running_slots)
			{
				const WorkerSlot &slot = *dlist_container(WorkerSlot, node, iter.cur);

				/* a resident main may sleep for long */
				if (slot.state == SlotState::kIdle ||
					(slot.state == SlotState::kRunning && slot.kind == SlotKind::kService))
					compat::SetLatchOf(slot.proc);
			}
		}
	}
	if (notes.forgotten != NIL || notes.dropped != NIL)
		WakeServiceWaiters();
	WakeLauncher();
}

/* Resource-release callback: the transaction ended, its locks and invalidations are out. */
static void
AfterTransaction(ResourceReleasePhase phase, bool is_commit, bool is_top_level, void *)
{
	if (phase != RESOURCE_RELEASE_AFTER_LOCKS || !is_top_level)
		return;
	if (pending.any)
	{
		const Pending notes = pending;

		pending = {};
		if (is_commit && pool != nullptr)
			Publish(notes);
		list_free(notes.visits);
		list_free(notes.dropped);
		list_free(notes.forgotten);
	}
	ReopenDatabases(InvalidSubTransactionId);
}

static void
AfterSubtransaction(SubXactEvent event, SubTransactionId self, SubTransactionId parent, void *)
{
	if (!HoldsAnyClosed())
		return;
	if (event == SUBXACT_EVENT_COMMIT_SUB)
		ReparentClosed(self, parent);
	else if (event == SUBXACT_EVENT_ABORT_SUB)
		ReopenDatabases(self);
}

void
InstallDdlEffects()
{
	previous_object_access = object_access_hook;
	object_access_hook = WatchObject;
	RegisterResourceReleaseCallback(AfterTransaction, nullptr);
	RegisterSubXactCallback(AfterSubtransaction, nullptr);
}

} // namespace worker_pool
