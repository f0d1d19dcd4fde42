/*
 * adopt.cpp
 *	  adopt(): rows that came by TEMPLATE, restore or logical replication become this database's. A session.
 *
 *	1. The identity. A clone has a copy of its template's: it gets one of its own. The table's lock lets one
 *	   adopt() in at a time, to the end of its transaction; every process forgets what it knew of the identity
 *	   when that commits.
 *	2. Queues, tasks, schedules, services, in this order: each foreign row gets the identity; the roles are looked up by
 *	   name, since the same OID may be another role here. A row whose role is missing stays foreign, and a
 *	   WARNING a role tells how many; adopt() may be called again.
 *	3. Sequences: ids that came with the rows are not given out a second time.
 *	4. A rescan at commit loads it all.
 *
 * A schedule begins anew: due times before now are not missed ones. FireSchedule looks at once (next_run = now),
 * finds nothing to make, and computes the next due time; @reboot has had its start.
 *
 * A service begins anew, too: neither a quarantine nor crashes came with it.
 *
 * All at heap level in the caller's transaction: an ERROR leaves everything foreign.
 */
#include "catalog/adopt_rows.hpp"

#include "catalog/queue_row.hpp"
#include "catalog/row_scan.hpp"
#include "catalog/schedule_row.hpp"
#include "catalog/service_row.hpp"
#include "catalog/task_store.hpp"

namespace worker_pool
{

/* --- shared by the parts -------------------------------------------------------------------------------- */

struct MissingRole
{
	NameData name;
	int rows;
};

bool
IsForeign(const Adoption &adoption, const pg_uuid_t &installation, Oid database)
{
	return database != MyDatabaseId ||
		   memcmp(&installation, &adoption.identity, sizeof(installation)) != 0;
}

Oid
RoleNamed(const char *name)
{
	return get_role_oid(name, true);
}

void
NoteMissingRole(Adoption *adoption, const char *name)
{
	ListCell *cell;

	foreach(cell, adoption->missing)
	{
		auto *known = static_cast<MissingRole *>(lfirst(cell));

		if (strcmp(NameStr(known->name), name) == 0)
		{
			known->rows++;
			return;
		}
	}

	MemoryContext const caller = MemoryContextSwitchTo(MemoryContextGetParent(adoption->scratch));
	auto *role = static_cast<MissingRole *>(palloc0(sizeof(MissingRole)));

	strlcpy(NameStr(role->name), name, NAMEDATALEN);
	role->rows = 1;
	adoption->missing = lappend(adoption->missing, role);
	MemoryContextSwitchTo(caller);
}

bool
ResolveRoles(Adoption *adoption, const char *owner_name, const char *run_as_name, Oid *owner,
			 Oid *run_as)
{
	*owner = RoleNamed(owner_name);
	*run_as = RoleNamed(run_as_name);
	if (!OidIsValid(*owner))
		NoteMissingRole(adoption, owner_name);
	else if (!OidIsValid(*run_as))
		NoteMissingRole(adoption, run_as_name);
	else if (!compat::MaySetRole(GetUserId(), *owner) || !compat::MaySetRole(GetUserId(), *run_as))
	{
		/* who owns a copied database makes nobody's commands run again whom he may not become */
		adoption->refused++;
		return false;
	}
	return OidIsValid(*owner) && OidIsValid(*run_as);
}

/* setval() asks for a privilege that only the extension's owner has. */
void
AdvanceSequence(Relation table, Sequence sequence, const char *name, int64 used)
{
	if (used <= 0 || NextId(sequence) > used)
		return;

	const Oid oid = get_relname_relid(name, RelationGetNamespace(table));
	Oid user;
	int security_context;

	GetUserIdAndSecContext(&user, &security_context);
	SetUserIdAndSecContext(table->rd_rel->relowner,
						   security_context | SECURITY_LOCAL_USERID_CHANGE);
	(void) DirectFunctionCall2(setval_oid, ObjectIdGetDatum(oid), Int64GetDatum(used));
	/* after an ERROR the end of the (sub)transaction does this */
	SetUserIdAndSecContext(user, security_context);
}

static void
WarnOfMissingRoles(const Adoption &adoption)
{
	ListCell *cell;

	foreach(cell, adoption.missing)
	{
		const auto *role = static_cast<const MissingRole *>(lfirst(cell));

		ereport(WARNING,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg_plural("%d row was not adopted because role \"%s\" does not exist",
							   "%d rows were not adopted because role \"%s\" does not exist",
							   role->rows, role->rows, NameStr(role->name)),
				 errhint("Create the role and call adopt() again.")));
	}
	if (adoption.refused > 0)
		ereport(WARNING,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg_plural("%d row was not adopted because you may not act as its role",
							   "%d rows were not adopted because you may not act as their roles",
							   adoption.refused, adoption.refused),
				 errhint("Let a superuser or a member of those roles call adopt().")));
}

/* --- identity ------------------------------------------------------------------------------------------- */

/* This database's identity, made if it has none. Adopting sessions take turns from here on. */
static pg_uuid_t
TakeIdentity()
{
	Relation relation = OpenTable(Table::kInstallation, ShareRowExclusiveLock);
	pg_uuid_t identity;

	if (!GetIdentity(&identity))
	{
		RowScan scan = BeginTableScan(relation);
		HeapTuple tuple;

		while ((tuple = NextRow(scan)) != nullptr)
			(void) DeleteRow(relation, tuple->t_self, true);
		EndRowScan(&scan);

		identity = *DatumGetUUIDP(DirectFunctionCall1(gen_random_uuid, static_cast<Datum>(0)));

		Datum values[] = {UUIDPGetDatum(&identity), ObjectIdGetDatum(MyDatabaseId)};
		bool nulls[] = {false, false};

		InsertRow(relation, heap_form_tuple(RelationGetDescr(relation), values, nulls));
		CacheInvalidateRelcache(relation);
		CommandCounterIncrement();
	}
	table_close(relation, NoLock);
	return identity;
}

/* --- queues ---------------------------------------------------------------------------------------------- */

static void
AdoptQueue(Adoption *adoption, Relation relation, HeapTuple tuple)
{
	const HeapTuple copy = heap_copytuple(tuple);
	auto *form = reinterpret_cast<FormQueue *>(GETSTRUCT(copy));
	const char *owner_name = TextOf(relation, tuple, kQueueOwnerName);

	/* the built-in ones belong to whoever owns the database */
	form->owner = form->id <= kDefaultQueueId ? DatabaseOwner() : RoleNamed(owner_name);
	if (!OidIsValid(form->owner))
	{
		NoteMissingRole(adoption, owner_name);
		return;
	}
	form->installation = adoption->identity;
	form->database = MyDatabaseId;
	/* who paused it there may be nobody here; who takes it over keeps it paused */
	form->paused_by = form->paused ? GetUserId() : InvalidOid;
	if (UpdateRow(relation, tuple->t_self, copy, true) == TM_Ok)
		adoption->adopted++;
}

static void
AdoptQueues(Adoption *adoption)
{
	Relation relation = OpenTable(Table::kQueue, RowExclusiveLock);
	RowScan scan = BeginTableScan(relation);
	int64 used = 0;
	HeapTuple tuple;

	while ((tuple = NextRow(scan)) != nullptr)
	{
		const auto *form = reinterpret_cast<const FormQueue *>(GETSTRUCT(tuple));

		if (!IsForeign(*adoption, form->installation, form->database))
			continue;
		used = std::max<int64>(used, form->id);

		MemoryContext const caller = MemoryContextSwitchTo(adoption->scratch);

		AdoptQueue(adoption, relation, tuple);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(adoption->scratch);
	}
	EndRowScan(&scan);
	AdvanceSequence(relation, Sequence::kQueueId, "queue_id_seq", used);
	table_close(relation, NoLock);
}

/* --- schedules -------------------------------------------------------------------------------------------- */

/* Is that the schedule's own last task? A restore brings the number without the task. */
static bool
HasLastTask(Relation task, const FormSchedule &form)
{
	const HeapTuple last =
		form.last_task == 0 ? nullptr : FetchById(task, Index::kTaskId, form.last_task);

	return last != nullptr && FormOf(last)->schedule_id == form.id;
}

static void
AdoptSchedule(Adoption *adoption, Relation relation, Relation task, HeapTuple tuple)
{
	const HeapTuple copy = heap_copytuple(tuple);
	FormSchedule *form = ScheduleFormOf(copy);

	if (!ResolveRoles(adoption, TextOf(relation, tuple, kScheduleOwnerName),
					  TextOf(relation, tuple, kScheduleRunAsName), &form->owner, &form->run_as))
		return;
	form->installation = adoption->identity;
	form->database = MyDatabaseId;
	form->checked_at = adoption->now;
	form->boot_epoch = static_cast<int64>(pool->epoch);
	if (IsRebootSchedule(relation, tuple))
		form->next_run = DT_NOEND;
	else if (form->active)
		form->next_run = adoption->now;
	if (!HasLastTask(task, *form))
		form->last_task = 0;
	if (UpdateRow(relation, tuple->t_self, copy, true) == TM_Ok)
		adoption->adopted++;
}

static void
AdoptSchedules(Adoption *adoption)
{
	Relation relation = OpenTable(Table::kSchedule, RowExclusiveLock);
	Relation task = OpenTable(Table::kTask, AccessShareLock);
	RowScan scan = BeginTableScan(relation);
	int64 used = 0;
	HeapTuple tuple;

	while ((tuple = NextRow(scan)) != nullptr)
	{
		const FormSchedule &form = *ScheduleFormOf(tuple);

		if (!IsForeign(*adoption, form.installation, form.database))
			continue;
		used = std::max(used, form.id);

		MemoryContext const caller = MemoryContextSwitchTo(adoption->scratch);

		AdoptSchedule(adoption, relation, task, tuple);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(adoption->scratch);
	}
	EndRowScan(&scan);
	AdvanceSequence(relation, Sequence::kScheduleId, "schedule_id_seq", used);
	table_close(task, AccessShareLock);
	table_close(relation, NoLock);
}

/* --- services --------------------------------------------------------------------------------------------- */

static void
AdoptService(Adoption *adoption, Relation relation, HeapTuple tuple)
{
	Datum values[kServiceColumns] = {};
	bool nulls[kServiceColumns] = {};
	bool replaces[kServiceColumns] = {};
	const HeapTuple copy = heap_copytuple(tuple);
	FormService *form = ServiceFormOf(copy);

	if (!ResolveRoles(adoption, TextOf(relation, tuple, kServiceOwnerName),
					  TextOf(relation, tuple, kServiceRunAsName), &form->owner, &form->run_as))
		return;
	form->installation = adoption->identity;
	form->database = MyDatabaseId;
	form->quarantined_at = DT_NOBEGIN;
	form->run_epoch = 0;
	form->crashes = 0;
	nulls[kServiceReason - 1] = replaces[kServiceReason - 1] = true;
	if (UpdateRow(relation, tuple->t_self,
				  heap_modify_tuple(copy, RelationGetDescr(relation), values, nulls, replaces),
				  true) == TM_Ok)
		adoption->adopted++;
}

static void
AdoptServices(Adoption *adoption)
{
	Relation relation = OpenTable(Table::kService, RowExclusiveLock);
	RowScan scan = BeginTableScan(relation);
	int64 used = 0;
	HeapTuple tuple;

	while ((tuple = NextRow(scan)) != nullptr)
	{
		const FormService &form = *ServiceFormOf(tuple);

		if (!IsForeign(*adoption, form.installation, form.database))
			continue;
		used = std::max(used, form.id);

		MemoryContext const caller = MemoryContextSwitchTo(adoption->scratch);

		AdoptService(adoption, relation, tuple);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(adoption->scratch);
	}
	EndRowScan(&scan);
	AdvanceSequence(relation, Sequence::kServiceId, "service_id_seq", used);
	table_close(relation, NoLock);
}

/* Caller: a session that may administer the database; the pool is there, the server is no standby. */
int
AdoptRows()
{
	Adoption adoption = {};

	adoption.identity = TakeIdentity();
	adoption.now = GetCurrentTimestamp();
	adoption.scratch =
		AllocSetContextCreate(CurrentMemoryContext, "worker_pool adopt", ALLOCSET_DEFAULT_SIZES);
	AdoptQueues(&adoption);
	AdoptTasks(&adoption);
	AdoptSchedules(&adoption);
	AdoptServices(&adoption);
	MemoryContextDelete(adoption.scratch);
	WarnOfMissingRoles(adoption);
	ArmRescan();
	return adoption.adopted;
}

} // namespace worker_pool
