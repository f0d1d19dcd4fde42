/*
 * services.cpp
 *	  Services made, changed, dropped, started and stopped. Sessions, in the caller's transaction.
 *
 * Transactional: the row changes with the caller's transaction; memory, the process and the launcher hear of it when
 * that has committed (service_wake.hpp), and of nothing when it has not. Nothing here waits for a service. Two who work
 * on services of the same name take turns by a lock on the name (name_lock.hpp), which is held to the end of the
 * transaction, then by the row's lock, which a visit or a process takes for a moment, too. What is told of a row is
 * ordered while that lock is held.
 *
 * What kind of change it is decides how soon it reaches a process that is there (ServiceChange): see SaveService.
 * start_service may have nothing to write, when only memory knows of a back-off: then the row is locked and told all
 * the same.
 *
 * An ERROR leaves the service as it was.
 */
#include "feature/services.hpp"

#include "feature/name_lock.hpp"
#include "feature/task_authority.hpp"

namespace worker_pool
{

/* Services that a role which is no superuser may own in one database. */
static constexpr int kMostOwned = 100;

/* --- rows ------------------------------------------------------------------------------------------------ */

/* What a detoasted row says. The data stays the tuple's. */
static ServiceRequest
ReadRequest(Relation relation, HeapTuple tuple)
{
	const FormService &form = *ServiceFormOf(tuple);
	ServiceRequest request = {};

	request.name = TextOf(relation, tuple, kServiceName);
	request.command = TextOf(relation, tuple, kServiceCommand);
	request.entry_point = TextOf(relation, tuple, kServiceEntryPoint);
	request.config = ColumnOf(relation, tuple, kServiceConfig);
	request.settings = ColumnOf(relation, tuple, kServiceSettings);
	request.every_ms = form.every_ms;
	request.timeout_ms = form.timeout_ms;
	request.owner = form.owner;
	request.run_as = form.run_as;
	request.active = form.active;
	request.run_on = form.run_on;
	return request;
}

static void
SetFixedColumns(FormService *form, Datum *values)
{
	int at = 0;
	const auto add = [&](Datum value) { values[at++] = value; };

	add(Int64GetDatum(form->id));
	add(Int64GetDatum(form->every_ms));
	add(Int64GetDatum(form->timeout_ms));
	add(TimestampTzGetDatum(form->created_at));
	add(TimestampTzGetDatum(form->quarantined_at));
	add(Int64GetDatum(form->run_epoch));
	add(UUIDPGetDatum(&form->installation));
	add(ObjectIdGetDatum(form->database));
	add(ObjectIdGetDatum(form->owner));
	add(ObjectIdGetDatum(form->run_as));
	add(Int32GetDatum(form->crashes));
	add(BoolGetDatum(form->active));
	add(CharGetDatum(form->run_on));
	Assert(at == kServiceName - 1);
}

/* The name of a role; of one that is gone, what stands in that column of the row that is there, if one is. */
static const char *
RoleName(Oid role, const HeldService *held, ServiceColumn column)
{
	if (held == nullptr)
		return GetUserNameFromId(role, false);

	const char *const name = GetUserNameFromId(role, true);

	return name != nullptr ? name : TextOf(held->relation, held->tuple, column);
}

/* held: the row that this one takes the place of; nullptr: none. */
static HeapTuple
MakeTuple(Relation relation, FormService *form, const ServiceRequest &request,
		  const HeldService *held)
{
	Datum values[kServiceColumns] = {};
	bool nulls[kServiceColumns] = {};
	const auto set = [&](ServiceColumn column, Datum value) { values[column - 1] = value; };
	const auto set_text = [&](ServiceColumn column, const char *text)
	{
		if (text == nullptr)
			nulls[column - 1] = true;
		else
			values[column - 1] = CStringGetTextDatum(text);
	};

	SetFixedColumns(form, values);
	set_text(kServiceName, request.name);
	set_text(kServiceCommand, request.command);
	set_text(kServiceEntryPoint, request.entry_point);
	set(kServiceConfig, request.config);
	set(kServiceSettings, request.settings);
	set_text(kServiceRunAsName, RoleName(form->run_as, held, kServiceRunAsName));
	set_text(kServiceOwnerName, RoleName(form->owner, held, kServiceOwnerName));
	set_text(kServiceReason, held != nullptr && IsQuarantined(*form)
								 ? TextOf(held->relation, held->tuple, kServiceReason)
								 : nullptr);
	return heap_form_tuple(RelationGetDescr(relation), values, nulls);
}

static void
ApplyRequest(const ServiceRequest &request, FormService *form)
{
	form->every_ms = request.every_ms;
	form->timeout_ms = request.timeout_ms;
	form->owner = request.owner;
	form->run_as = request.run_as;
	form->active = request.active;
	form->run_on = request.run_on;
}

/* What start_service forgets. */
static void
ForgetTrouble(FormService *form)
{
	form->quarantined_at = DT_NOBEGIN;
	form->run_epoch = 0;
	form->crashes = 0;
}

/* 55000 for a row that was not adopted, 42501 for one that the caller does not own. */
static void
CheckMayUse(const FormService &form, const char *name, bool for_drop)
{
	const bool own = IsOwnRow(form.installation, form.database);

	if (!own && !for_drop)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("service \"%s\" came from another database", name),
						errhint("worker_pool.adopt() takes such rows over.")));
	/* the owner's number may be anybody's here */
	CheckOwns(psprintf("service \"%s\"", name), own ? form.owner : InvalidOid);
}

/*
 * Locks name and row. nullptr: there is no such service. *waited_out: there was one, until somebody dropped it. Whoever
 * may not use it is refused (CheckMayUse) before he can hold anybody up by a lock.
 */
static HeapTuple
LockByName(Relation relation, const char *name, bool for_drop, bool *waited_out)
{
	const HeapTuple seen = FetchByName(relation, Index::kServiceName, name);
	const bool was_there = seen != nullptr;

	if (was_there)
		CheckMayUse(*ServiceFormOf(seen), name, for_drop);
	LockName(relation, name);
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();

		const HeapTuple tuple = FetchByName(relation, Index::kServiceName, name);

		*waited_out = was_there && tuple == nullptr;
		if (tuple == nullptr ||
			LockRow(relation, tuple->t_self, LockTupleNoKeyExclusive, true) == TM_Ok)
			return tuple;
	}
}

/* --- limits ----------------------------------------------------------------------------------------------- */

/* 53400 where memory has no room for one more that runs: roles that are no superusers may use three quarters of it. */
static void
CheckRoom(Oid owner)
{
	const int capacity = ServiceCapacity();
	const int kept = superuser_arg(owner) ? 0 : capacity / 4;
	int room = 0;

	{
		LockScope lock(PoolLock(), LW_SHARED);

		room = ServiceRoom();
	}
	if (room > kept)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED), errmsg("too many services"),
			 errdetail("There is room for %d in all databases of the server, %d of them for roles that "
					   "are no superusers.",
					   capacity, capacity - capacity / 4),
			 errhint("Stop services that are not needed, or increase \"worker_pool.max_databases\".")));
}

/* The same for one that is in the table, and has a place in memory if it runs already. */
static void
CheckRoomFor(const FormService &form)
{
	bool known = false;

	{
		LockScope lock(PoolLock(), LW_SHARED);

		known = FindService(MyDatabaseId, form.id) != kNone;
	}
	if (!known)
		CheckRoom(form.owner);
}

/*
 * 53400 where the role, which is no superuser, owns as many as it may. Those that other transactions have made and not
 * committed count, too: else many sessions of the role could each make so many. A row that another transaction is
 * changing is seen in both versions, so what is counted are ids.
 */
static void
CheckOwned(Relation relation, Oid owner)
{
	std::array<int64, kMostOwned> ids;
	SnapshotData uncommitted;
	int count = 0;
	HeapTuple tuple;

	if (superuser_arg(owner))
		return;
	InitDirtySnapshot(uncommitted);

	const SysScanDesc scan =
		systable_beginscan(relation, InvalidOid, false, &uncommitted, 0, nullptr);

	while (count < kMostOwned && (tuple = systable_getnext(scan)) != nullptr)
	{
		const FormService &form = *ServiceFormOf(tuple);

		CHECK_FOR_INTERRUPTS();
		if (form.owner == owner &&
			std::find(ids.begin(), ids.begin() + count, form.id) == ids.begin() + count)
			ids[count++] = form.id;
	}
	systable_endscan(scan);
	if (count >= kMostOwned)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("role \"%s\" has too many services", GetUserNameFromId(owner, false)),
				 errdetail("A role that is no superuser can own at most %d in a database.", kMostOwned),
				 errhint("Drop services that are not needed.")));
}

/* --- definition ------------------------------------------------------------------------------------------ */

static int64
InsertService(Relation relation, const ServiceRequest &request)
{
	FormService form = {};

	form.id = NextId(Sequence::kServiceId);
	form.created_at = GetCurrentTimestamp();
	form.installation = RequireIdentity();
	form.database = MyDatabaseId;
	ApplyRequest(request, &form);
	ForgetTrouble(&form);

	const HeapTuple tuple = MakeTuple(relation, &form, request, nullptr);

	InsertRow(relation, tuple);
	ArmService(SpecOfService(relation, tuple), ServiceChange::kFresh);
	return form.id;
}

int64
DefineService(const ServiceRequest &request, bool if_not_exists)
{
	Relation relation = OpenTable(Table::kService, RowExclusiveLock);
	HeapTuple tuple = FetchByName(relation, Index::kServiceName, request.name);
	int64 id = 0;

	/* a name that is taken is not locked: that would hold its owner up */
	if (tuple == nullptr)
	{
		LockName(relation, request.name);
		tuple = FetchByName(relation, Index::kServiceName, request.name);
	}
	if (tuple != nullptr)
	{
		id = ServiceFormOf(tuple)->id;
		ereport(if_not_exists ? NOTICE : ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 if_not_exists ? errmsg("service \"%s\" already exists, skipping", request.name)
							   : errmsg("service \"%s\" already exists", request.name),
				 if_not_exists
					 ? 0
					 : errhint("Use worker_pool.alter_service(), or if_not_exists => true.")));
	}
	else
	{
		CheckOwned(relation, request.owner);
		if (request.active)
			CheckRoom(request.owner);
		id = InsertService(relation, request);
	}
	table_close(relation, NoLock);
	return id;
}

/* --- change ---------------------------------------------------------------------------------------------- */

HeldService
HoldService(const char *name, bool for_drop)
{
	HeldService held = {};
	bool waited_out = false;

	held.relation = OpenTable(Table::kService, RowExclusiveLock);
	held.tuple = LockByName(held.relation, name, for_drop, &waited_out);
	if (held.tuple == nullptr && for_drop && waited_out)
	{
		table_close(held.relation, NoLock);
		return held;
	}
	if (held.tuple == nullptr)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("service \"%s\" does not exist", name),
				 errhint("The view worker_pool.services lists the services of this database.")));
	held.form = *ServiceFormOf(held.tuple);
	CheckMayUse(held.form, name, for_drop);
	held.request = ReadRequest(held.relation, held.tuple);
	return held;
}

/* Stores the row, and tells of it at commit. */
static void
WriteService(const HeldService &held, FormService *form, const ServiceRequest &request,
			 ServiceChange how)
{
	const HeapTuple tuple = MakeTuple(held.relation, form, request, &held);

	if (UpdateRow(held.relation, held.tuple->t_self, tuple, true) != TM_Ok)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("service \"%s\" was changed meanwhile", request.name)));
	ArmService(SpecOfService(held.relation, tuple), how);
}

static bool
IsSameText(const char *one, const char *other)
{
	return one == nullptr || other == nullptr ? one == other : strcmp(one, other) == 0;
}

static bool
IsSameJson(Datum one, Datum other)
{
	return compareJsonbContainers(&DatumGetJsonbP(one)->root, &DatumGetJsonbP(other)->root) == 0;
}

/* Have the roles of the row still the names that stand in it? One that is gone has no other. */
static bool
HasRoleNames(const HeldService &held)
{
	const auto has = [&held](Oid role, ServiceColumn column) {
		return IsSameText(RoleName(role, &held, column), TextOf(held.relation, held.tuple, column));
	};

	return has(held.form.owner, kServiceOwnerName) && has(held.form.run_as, kServiceRunAsName);
}

/* Is another process to run it? */
static bool
WantsNewProcess(const ServiceRequest &old, const ServiceRequest &request)
{
	return old.run_as != request.run_as || !IsSameText(old.entry_point, request.entry_point) ||
		   !IsSameJson(old.settings, request.settings);
}

static bool
WantsReload(const ServiceRequest &old, const ServiceRequest &request)
{
	return old.every_ms != request.every_ms || old.timeout_ms != request.timeout_ms ||
		   old.run_on != request.run_on || !IsSameText(old.command, request.command) ||
		   !IsSameJson(old.config, request.config);
}

/* Does memory know of anything that keeps an active service from running well, or does it not know the service? */
static bool
IsInTrouble(int64 id)
{
	LockScope lock(PoolLock(), LW_SHARED);
	const int index = FindService(MyDatabaseId, id);

	if (index == kNone)
		return true;

	const ServiceEntry &entry = ServiceAt(index);

	return !entry.wanted || entry.state == ServiceState::kStopped ||
		   entry.state == ServiceState::kQuarantined || entry.state == ServiceState::kBackingOff ||
		   (entry.state == ServiceState::kStarting && entry.trouble.sqlstate != 0);
}

static bool
NeedsStart(const HeldService &held)
{
	return !held.form.active || IsQuarantined(held.form) || IsInTrouble(held.form.id);
}

/*
 * A command alone, `every`, `config`, `timeout`, `run_on`: read by the next cycle. What a process has from its begin,
 * role, settings, entry point: another process after the cycle. Made inactive: at once, as stop_service.
 */
void
SaveService(const HeldService &held, const ServiceRequest &request, bool start)
{
	const bool new_process = WantsNewProcess(held.request, request);
	const bool starts = request.active && (!held.form.active || (start && NeedsStart(held)));
	const bool stops = !request.active && held.form.active;
	FormService form = held.form;
	ServiceChange how = new_process ? ServiceChange::kAfterCycle : ServiceChange::kReload;

	if (starts || stops || new_process || WantsReload(held.request, request) || !HasRoleNames(held))
	{
		if (starts)
		{
			CheckRoomFor(form);
			ForgetTrouble(&form);
			how = ServiceChange::kFresh;
		}
		else if (stops)
			how = ServiceChange::kNow;
		ApplyRequest(request, &form);
		WriteService(held, &form, request, how);
	}
	table_close(held.relation, NoLock);
}

void
RemoveService(const HeldService &held)
{
	if (DeleteRow(held.relation, held.tuple->t_self, true) != TM_Ok)
		ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
						errmsg("service \"%s\" was changed meanwhile", held.request.name)));
	ArmServiceDrop(held.form.id);
	table_close(held.relation, NoLock);
}

/* --- start and stop -------------------------------------------------------------------------------------- */

/* Makes it active and well again; writes only what is new. */
static void
StartHeld(const HeldService &held, ServiceChange how)
{
	FormService form = held.form;
	ServiceRequest request = held.request;

	CheckRoomFor(form);
	request.active = form.active = true;
	ForgetTrouble(&form);
	if (!held.form.active || IsQuarantined(held.form) || held.form.crashes != 0)
		WriteService(held, &form, request, how);
	else
		ArmService(SpecOfService(held.relation, held.tuple), how);
}

bool
StartService(const HeldService &held)
{
	const bool needed = NeedsStart(held);

	if (needed)
		StartHeld(held, ServiceChange::kFresh);
	table_close(held.relation, NoLock);
	return needed;
}

bool
StopService(const HeldService &held)
{
	FormService form = held.form;
	ServiceRequest request = held.request;

	if (held.form.active)
	{
		request.active = form.active = false;
		WriteService(held, &form, request, ServiceChange::kNow);
	}
	table_close(held.relation, NoLock);
	return held.form.active;
}

bool
RestartService(const HeldService &held)
{
	if (held.form.active)
		StartHeld(held, ServiceChange::kNow);
	table_close(held.relation, NoLock);
	return held.form.active;
}

} // namespace worker_pool
