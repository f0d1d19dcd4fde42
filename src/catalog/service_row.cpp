/*
 * service_row.cpp
 *	  Rows of worker_pool.service, read: by visits, which tell memory all of them, and by the process of a service,
 *	  which reads its own at the begin of each cycle. Also in recovery: nothing here writes.
 *
 * What a row says is what a service *is*; how it does stands in memory (shmem/service_table.hpp). A row of another
 * installation, or of a database that is a copy and was not adopted, is told as one that is not to run.
 *
 * The load. BeginServiceLoad comes before the snapshot: an entry that is made or changed meanwhile, by a transaction that
 * this snapshot does not see, is newer than what the load tells of it (told), and is not dropped by EndServiceLoad. An
 * ERROR halfway leaves the entries as they are: a load that has begun and does not end drops nothing.
 */
#include "catalog/service_row.hpp"

#include "catalog/row_scan.hpp"

namespace worker_pool
{

static_assert(offsetof(FormService, installation) == 48 && offsetof(FormService, database) == 64 &&
				  offsetof(FormService, owner) == 68 && offsetof(FormService, run_as) == 72 &&
				  offsetof(FormService, crashes) == 76 && offsetof(FormService, active) == 80 &&
				  offsetof(FormService, run_on) == 81 && kServiceName == 14,
			  "FormService must be laid out as worker_pool.service");

ServiceSpec
SpecOfService(Relation relation, HeapTuple tuple)
{
	const FormService &form = *ServiceFormOf(tuple);
	const char *const entry_point = TextOf(relation, tuple, kServiceEntryPoint);
	ServiceSpec spec = {};

	spec.id = form.id;
	/* whatever stands in a foreign row */
	spec.database = MyDatabaseId;
	spec.owner = form.owner;
	spec.run_as = form.run_as;
	strlcpy(spec.name, TextOf(relation, tuple, kServiceName), sizeof(spec.name));
	if (entry_point != nullptr)
		strlcpy(spec.entry_point, entry_point, sizeof(spec.entry_point));
	spec.every_ms = form.every_ms;
	spec.timeout_ms = form.timeout_ms;
	spec.crashes = form.crashes;
	spec.run_epoch = static_cast<uint64>(form.run_epoch);
	/* one that was stopped is stopped; start_service lifts its quarantine, too */
	spec.quarantined = form.active && IsQuarantined(form);
	spec.wanted = form.active && !spec.quarantined && IsOwnRow(form.installation, form.database);
	spec.any_server = form.run_on == 'a';
	return spec;
}

/* --- the process ------------------------------------------------------------------------------------------- */

bool
ReadService(int64 id, ServiceDefinition *definition)
{
	Relation relation = TryOpenTable(Table::kService, AccessShareLock);

	if (relation == nullptr)
		return false;

	const HeapTuple tuple = FetchById(relation, Index::kServiceId, id);
	const bool runs = tuple != nullptr && ServiceFormOf(tuple)->active &&
					  !IsQuarantined(*ServiceFormOf(tuple)) &&
					  IsOwnRow(ServiceFormOf(tuple)->installation, ServiceFormOf(tuple)->database);

	if (runs)
	{
		Jsonb *const config = DatumGetJsonbP(ColumnOf(relation, tuple, kServiceConfig));

		*definition = {};
		definition->form = *ServiceFormOf(tuple);
		definition->name = TextOf(relation, tuple, kServiceName);
		definition->command = TextOf(relation, tuple, kServiceCommand);
		definition->entry_point = TextOf(relation, tuple, kServiceEntryPoint);
		definition->config =
			JsonbToCString(nullptr, &config->root, static_cast<int>(VARSIZE(config)));
		definition->settings = ColumnOf(relation, tuple, kServiceSettings);
		definition->owner_name = TextOf(relation, tuple, kServiceOwnerName);
		definition->run_as_name = TextOf(relation, tuple, kServiceRunAsName);
	}
	table_close(relation, AccessShareLock);
	return runs;
}

/* Has that role still that name? *why otherwise. `what`: "owner". */
static bool
RoleHolds(const char *what, Oid role, const char *name, BriefError *why)
{
	const char *const now = GetUserNameFromId(role, true);

	if (now != nullptr && strcmp(now, name) == 0)
		return true;
	if (now == nullptr)
		SetBriefError(
			why, ERRCODE_UNDEFINED_OBJECT,
			psprintf("role \"%s\", the %s of the service, does not exist any more", name, what),
			nullptr, "Drop the service, or create it anew as another role.");
	else
		SetBriefError(
			why, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
			psprintf("role \"%s\", the %s of the service, is now \"%s\"", name, what, now), nullptr,
			"Any worker_pool.alter_service() of it by its owner takes the new name over.");
	return false;
}

bool
ServiceRolesHold(const ServiceDefinition &definition, BriefError *why)
{
	return RoleHolds("owner", definition.form.owner, definition.owner_name, why) &&
		   RoleHolds("run_as", definition.form.run_as, definition.run_as_name, why);
}

/* --- a visit ------------------------------------------------------------------------------------------------- */

/* Tells memory one row. What is not to run needs no entry. */
static void
TellService(const ServiceSpec &spec, TimestampTz now)
{
	LockScope lock(PoolLock());

	/* what finds no room is counted there, and comes with a later load */
	if (spec.wanted || FindService(spec.database, spec.id) != kNone)
		(void) PutService(spec, ServiceChange::kReload, now);
}

static void
TellRows(Relation relation, TimestampTz now)
{
	MemoryContext const scratch = AllocSetContextCreate(
		CurrentMemoryContext, "worker_pool load services", ALLOCSET_SMALL_SIZES);
	RowScan scan = BeginTableScan(relation);
	HeapTuple tuple;

	while ((tuple = NextRow(scan)) != nullptr)
	{
		MemoryContext const caller = MemoryContextSwitchTo(scratch);

		TellService(SpecOfService(relation, tuple), now);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(scratch);
	}
	EndRowScan(&scan);
	MemoryContextDelete(scratch);
}

/* Caller: a visit, inside a transaction. */
void
LoadServices()
{
	Relation relation = TryOpenTable(Table::kService, AccessShareLock);
	const TimestampTz now = GetCurrentTimestamp();

	if (relation == nullptr)
		return;
	{
		LockScope lock(PoolLock());

		BeginServiceLoad();
	}
	WP_FAULT("service.in_load");
	TellRows(relation, now);
	{
		LockScope lock(PoolLock());

		EndServiceLoad(MyDatabaseId, now);
	}
	table_close(relation, AccessShareLock);
	WakeServiceWaiters();
	WakeLauncher();
}

} // namespace worker_pool
