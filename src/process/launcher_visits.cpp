/*
 * launcher_visits.cpp
 *	  Which databases are there, and which of them have the extension. Launcher only.
 *
 * The launcher reads pg_database once after its start and notes each database that could be entered. Each one
 * is then visited once by a short-lived worker (visit.cpp), one at a time, when no command waits for a slot;
 * later visits are asked for by DDL (CREATE/ALTER/DROP EXTENSION, CREATE DATABASE: ddl_hooks.cpp). Nothing
 * polls.
 */
#include "process/launcher.hpp"

#include "config/settings.hpp"
#include "shmem/databases.hpp"

namespace worker_pool
{

void
DiscoverDatabases()
{
	StartTransactionCommand();

	Relation relation = table_open(DatabaseRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(relation, InvalidOid, false, nullptr, 0, nullptr);

	for (HeapTuple tuple = systable_getnext(scan); HeapTupleIsValid(tuple);
		 tuple = systable_getnext(scan))
	{
		const auto *database = reinterpret_cast<Form_pg_database>(GETSTRUCT(tuple));
		const Oid oid = database->oid;

		if (!database->datallowconn || database->datistemplate)
			continue;
		LockScope lock(PoolLock());

		NoteDatabase(oid);
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
}

/* The first database that wants a visit, if none is under way; InvalidOid otherwise. */
static Oid
NextVisit(int *idle_slot)
{
	Oid database = InvalidOid;
	LockScope lock(PoolLock());

	*idle_slot = kNone;
	for (int i = 0; i < SlotCount(); i++)
	{
		const WorkerSlot &slot = SlotAt(i);

		if (slot.state == SlotState::kFree)
			continue;
		if (slot.kind == SlotKind::kVisit)
			return InvalidOid;
		if (slot.state == SlotState::kIdle &&
			(*idle_slot == kNone || slot.state_changed_at < SlotAt(*idle_slot).state_changed_at))
			*idle_slot = i;
	}
	if (DatabasesToVisit(&database, 1) == 0)
		return InvalidOid;
	if (!dlist_is_empty(&pool->free_slots))
		*idle_slot = kNone;
	else if (*idle_slot == kNone)
		return InvalidOid; /* all are busy: one that ends wakes the launcher */
	return database;
}

TimestampTz
SendVisits(TimestampTz now, bool demand_unmet)
{
	int idle_slot = kNone;

	if (!settings::enabled || demand_unmet)
		return DT_NOEND;

	const Oid database = NextVisit(&idle_slot);

	if (!OidIsValid(database))
		return DT_NOEND;
	if (idle_slot != kNone)
	{
		/* its exit wakes the launcher, which then finds a free slot */
		int proc = kNone;
		{
			LockScope lock(PoolLock());

			if (SlotAt(idle_slot).state != SlotState::kIdle)
				return now;
			StopSlot(idle_slot);
			proc = SlotAt(idle_slot).proc;
		}
		compat::SetLatchOf(proc);
		return DT_NOEND;
	}

	const PairKey target = {database, InvalidOid, 0};

	if (PairNotBefore(target) > now)
		return PairNotBefore(target);
	if (!Spawn(target, SlotKind::kVisit))
		return std::max(SpawnNotBefore(), now);
	return DT_NOEND;
}

} // namespace worker_pool
