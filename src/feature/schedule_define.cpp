/*
 * schedule_define.cpp
 *	  Schedules made, changed, dropped and run by hand. Sessions, in the caller's transaction.
 *
 * Transactional: the row changes with the caller's transaction, and the ready queue is told at its end. Two who
 * work on schedules of the same name take turns by a heavyweight lock on the name (deadlocks are found as any);
 * it is held to the end of the transaction, so that nobody makes a second row of the name meanwhile. After it
 * the row's lock is waited for, too: the worker that fires the schedule holds that for a moment.
 *
 * A firing that comes while the row is held passes over it and marks the database for a rescan a little later,
 * which finds the row as this transaction left it. An ERROR leaves the schedule as it was.
 */
#include "feature/schedules.hpp"

#include "catalog/queue_row.hpp"
#include "catalog/row_scan.hpp"
#include "feature/name_lock.hpp"
#include "feature/task_authority.hpp"
#include "feature/tasks.hpp"

namespace worker_pool
{

/* --- rows ------------------------------------------------------------------------------------------------ */

/* What a detoasted row says. The data stays the tuple's. */
static ScheduleDefinition
ReadDefinition(Relation relation, HeapTuple tuple)
{
	const FormSchedule &form = *ScheduleFormOf(tuple);
	ScheduleDefinition definition = {};

	definition.name = TextOf(relation, tuple, kScheduleName);
	definition.schedule = TextOf(relation, tuple, kScheduleText);
	definition.timezone = TextOf(relation, tuple, kScheduleTimezone);
	definition.command = TextOf(relation, tuple, kScheduleCommand);
	definition.args = ColumnOf(relation, tuple, kScheduleArgs);
	definition.settings = ColumnOf(relation, tuple, kScheduleSettings);
	definition.queue = TextOf(relation, tuple, kScheduleQueue);
	definition.queue_id = form.queue_id;
	definition.owner = form.owner;
	definition.run_as = form.run_as;
	definition.retry_delay_ms = form.retry_delay_ms;
	definition.timeout_ms = form.timeout_ms;
	definition.expires_after_ms = form.expires_after_ms;
	definition.max_attempts = form.max_attempts;
	definition.priority = form.priority;
	definition.active = form.active;
	definition.atomic = form.atomic;
	definition.overlap = form.overlap;
	definition.missed = form.missed;
	return definition;
}

static void
SetFixedColumns(const FormSchedule &form, pg_uuid_t *installation, Datum *values)
{
	int at = 0;
	const auto add = [&](Datum value) { values[at++] = value; };

	add(Int64GetDatum(form.id));
	add(TimestampTzGetDatum(form.next_run));
	add(TimestampTzGetDatum(form.last_run));
	add(TimestampTzGetDatum(form.checked_at));
	add(TimestampTzGetDatum(form.created_at));
	add(Int64GetDatum(form.retry_delay_ms));
	add(Int64GetDatum(form.timeout_ms));
	add(Int64GetDatum(form.expires_after_ms));
	add(Int64GetDatum(form.last_task));
	add(Int64GetDatum(form.boot_epoch));
	add(UUIDPGetDatum(installation));
	add(ObjectIdGetDatum(form.database));
	add(ObjectIdGetDatum(form.owner));
	add(ObjectIdGetDatum(form.run_as));
	add(Int32GetDatum(form.max_attempts));
	add(Int32GetDatum(form.priority));
	add(Int32GetDatum(form.queue_id));
	add(BoolGetDatum(form.active));
	add(BoolGetDatum(form.atomic));
	add(CharGetDatum(form.overlap));
	add(CharGetDatum(form.missed));
	Assert(at == kScheduleName - 1);
}

static HeapTuple
MakeTuple(Relation relation, FormSchedule *form, const ScheduleDefinition &definition)
{
	Datum values[kScheduleColumns] = {};
	bool nulls[kScheduleColumns] = {};
	const auto set = [&](ScheduleColumn column, Datum value) { values[column - 1] = value; };

	SetFixedColumns(*form, &form->installation, values);
	set(kScheduleName, CStringGetTextDatum(definition.name));
	set(kScheduleText, CStringGetTextDatum(definition.schedule));
	set(kScheduleTimezone, CStringGetTextDatum(definition.timezone));
	set(kScheduleCommand, CStringGetTextDatum(definition.command));
	set(kScheduleArgs, definition.args);
	set(kScheduleSettings, definition.settings);
	set(kScheduleQueue, CStringGetTextDatum(definition.queue));
	set(kScheduleRunAsName, CStringGetTextDatum(GetUserNameFromId(form->run_as, false)));
	set(kScheduleOwnerName, CStringGetTextDatum(GetUserNameFromId(form->owner, false)));
	return heap_form_tuple(RelationGetDescr(relation), values, nulls);
}

/* Moves what the definition says into the form. */
static void
ApplyDefinition(const ScheduleDefinition &definition, FormSchedule *form)
{
	form->owner = definition.owner;
	form->run_as = definition.run_as;
	form->retry_delay_ms = definition.retry_delay_ms;
	form->timeout_ms = definition.timeout_ms;
	form->expires_after_ms = definition.expires_after_ms;
	form->max_attempts = definition.max_attempts;
	form->priority = definition.priority;
	form->queue_id = definition.queue_id;
	form->active = definition.active;
	form->atomic = definition.atomic;
	form->overlap = definition.overlap;
	form->missed = definition.missed;
}

/* Due times begin after now: none before was missed, and a @reboot has had its start. */
static void
StartClock(const ScheduleDefinition &definition, FormSchedule *form)
{
	const TimestampTz now = GetCurrentTimestamp();
	const ScheduleSpec spec = RequireSchedule(definition.schedule);
	const pg_tz *const zone = RequireTimeZone(definition.timezone);

	form->checked_at = now;
	form->boot_epoch = static_cast<int64>(pool->epoch);
	form->next_run = form->active ? NextRunAfter(spec, zone, now) : DT_NOEND;
}

/* --- the locks ------------------------------------------------------------------------------------------- */

/* Locks name and row. nullptr: there is no such schedule. *waited_out: there was one, until somebody dropped it. */
static HeapTuple
LockByName(Relation relation, const char *name, bool *waited_out)
{
	const bool was_there = FetchByName(relation, Index::kScheduleName, name) != nullptr;

	LockName(relation, name);
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();

		const HeapTuple tuple = FetchByName(relation, Index::kScheduleName, name);

		*waited_out = was_there && tuple == nullptr;
		if (tuple == nullptr ||
			LockRow(relation, tuple->t_self, LockTupleNoKeyExclusive, true) == TM_Ok)
			return tuple;
	}
}

/* --- definition ------------------------------------------------------------------------------------------ */

bool
FindSchedule(const char *name, ScheduleDefinition *definition)
{
	Relation relation = OpenTable(Table::kSchedule, AccessShareLock);
	const HeapTuple tuple = FetchByName(relation, Index::kScheduleName, name);

	if (tuple != nullptr)
		*definition = ReadDefinition(relation, tuple);
	table_close(relation, AccessShareLock);
	return tuple != nullptr;
}

static int64
InsertSchedule(Relation relation, const ScheduleDefinition &definition)
{
	FormSchedule form = {};

	form.id = NextId(Sequence::kScheduleId);
	form.last_run = DT_NOBEGIN;
	form.installation = RequireIdentity();
	form.database = MyDatabaseId;
	ApplyDefinition(definition, &form);
	StartClock(definition, &form);
	form.created_at = form.checked_at;
	InsertRow(relation, MakeTuple(relation, &form, definition));
	ArmItem(SpecOfSchedule(form));
	return form.id;
}

/* Writes the definition in place of what stands in the row, which is locked. */
static void
WriteSchedule(Relation relation, HeapTuple tuple, const ScheduleDefinition &definition)
{
	const FormSchedule before = *ScheduleFormOf(tuple);
	const ScheduleDefinition old = ReadDefinition(relation, tuple);
	const bool own = IsOwnRow(before.installation, before.database);
	FormSchedule form = before;

	form.installation = RequireIdentity();
	form.database = MyDatabaseId;
	ApplyDefinition(definition, &form);
	if (!own)
	{
		/* what it remembers belongs to another database */
		form.last_task = 0;
		form.last_run = DT_NOBEGIN;
	}
	/* a deployment that defines it again as it was must not lose a due time that is just coming */
	if (!own || !old.active || !definition.active || before.next_run == DT_NOEND ||
		strcmp(old.schedule, definition.schedule) != 0 ||
		strcmp(old.timezone, definition.timezone) != 0)
		StartClock(definition, &form);
	if (UpdateRow(relation, tuple->t_self, MakeTuple(relation, &form, definition), true) != TM_Ok)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("schedule \"%s\" was changed meanwhile", definition.name)));
	/* at infinity: takes the item out */
	ArmItem(SpecOfSchedule(form));
}

/*
 * Who owns it may replace it, as alter_schedule; a row of another database only its owner by name as well, since
 * the owner's OID in it may be anybody's here.
 */
static void
CheckMayReplace(Relation relation, HeapTuple tuple, const ScheduleDefinition &definition)
{
	const FormSchedule &form = *ScheduleFormOf(tuple);

	if (IsOwnRow(form.installation, form.database)
			? OwnsCommand(GetUserId(), form.owner)
			: strcmp(TextOf(relation, tuple, kScheduleOwnerName),
					 GetUserNameFromId(GetUserId(), false)) == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("schedule \"%s\" belongs to another owner", definition.name),
			 IsOwnRow(form.installation, form.database)
				 ? errhint("Choose another name.")
				 : errhint("It came from another database: worker_pool.adopt() takes it over.")));
}

int64
DefineSchedule(const ScheduleDefinition &definition)
{
	Relation relation = OpenTable(Table::kSchedule, RowExclusiveLock);
	bool waited_out = false;
	const HeapTuple tuple = LockByName(relation, definition.name, &waited_out);
	int64 id = 0;

	if (tuple == nullptr)
		id = InsertSchedule(relation, definition);
	else
	{
		CheckMayReplace(relation, tuple, definition);
		WriteSchedule(relation, tuple, definition);
		id = ScheduleFormOf(tuple)->id;
	}
	table_close(relation, NoLock);
	return id;
}

/* --- change ---------------------------------------------------------------------------------------------- */

/* 42704 */
static void
RaiseUnknown(const char *name)
{
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("schedule \"%s\" does not exist", name),
					errhint("The view worker_pool.schedules lists the schedules of this database.")));
}

/* 55000 for a row that was not adopted, 42501 for one that the caller does not own. */
static void
CheckMayUse(HeapTuple tuple, const char *name)
{
	const FormSchedule &form = *ScheduleFormOf(tuple);

	if (!IsOwnRow(form.installation, form.database))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("schedule \"%s\" came from another database", name),
				 errhint("worker_pool.adopt() takes such rows over.")));
	CheckOwns(psprintf("schedule \"%s\"", name), form.owner);
}

HeldSchedule
HoldSchedule(const char *name)
{
	HeldSchedule held = {};
	bool waited_out = false;

	held.relation = OpenTable(Table::kSchedule, RowExclusiveLock);
	held.tuple = LockByName(held.relation, name, &waited_out);
	if (held.tuple == nullptr)
		RaiseUnknown(name);
	CheckMayUse(held.tuple, name);
	held.definition = ReadDefinition(held.relation, held.tuple);
	return held;
}

void
SaveSchedule(const HeldSchedule &held, const ScheduleDefinition &definition)
{
	WriteSchedule(held.relation, held.tuple, definition);
	table_close(held.relation, NoLock);
}

/* --- drop ------------------------------------------------------------------------------------------------ */

/* The unfinished tasks of a schedule. A scan of the whole table: no other verb asks for them by schedule. */
static List *
TasksOf(int64 schedule)
{
	Relation relation = OpenTable(Table::kTask, AccessShareLock);
	RowScan scan = BeginTableScan(relation);
	List *ids = NIL;
	HeapTuple tuple;

	while ((tuple = NextRow(scan)) != nullptr)
		if (FormOf(tuple)->schedule_id == schedule)
		{
			auto *id = static_cast<int64 *>(palloc(sizeof(int64)));

			*id = FormOf(tuple)->id;
			ids = lappend(ids, id);
		}
	EndRowScan(&scan);
	table_close(relation, AccessShareLock);
	return ids;
}

/* Cancels the tasks that are not running. */
static void
CancelTasksOf(int64 schedule, const char *name)
{
	AttemptOutcome outcome = {};
	ListCell *cell = nullptr;

	outcome.state = "cancelled";
	outcome.started_at = DT_NOBEGIN;
	strlcpy(outcome.sqlstate, "57014", sizeof(outcome.sqlstate));
	outcome.message = psprintf("schedule \"%s\" was dropped", name);
	foreach(cell, TasksOf(schedule))
	{
		int claimed_by = kNone;

		(void) FinishTask(*static_cast<int64 *>(lfirst(cell)), outcome, &claimed_by);
	}
}

bool
DropSchedule(const char *name)
{
	Relation relation = OpenTable(Table::kSchedule, RowExclusiveLock);
	bool waited_out = false;
	const HeapTuple tuple = LockByName(relation, name, &waited_out);

	if (tuple == nullptr && !waited_out)
		RaiseUnknown(name);
	if (tuple == nullptr)
	{
		table_close(relation, NoLock);
		return false;
	}

	const FormSchedule form = *ScheduleFormOf(tuple);
	const bool own = IsOwnRow(form.installation, form.database);

	CheckOwns(psprintf("schedule \"%s\"", name), own ? form.owner : InvalidOid);
	if (DeleteRow(relation, tuple->t_self, true) != TM_Ok)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("schedule \"%s\" was changed meanwhile", name)));
	if (own)
	{
		ArmRemoval(ItemKind::kSchedule, form.id);
		CancelTasksOf(form.id, name);
	}
	table_close(relation, NoLock);
	return true;
}

/* --- by hand --------------------------------------------------------------------------------------------- */

int64
RunSchedule(const char *name)
{
	Relation relation = OpenTable(Table::kSchedule, AccessShareLock);
	const HeapTuple tuple = FetchByName(relation, Index::kScheduleName, name);

	if (tuple == nullptr)
		RaiseUnknown(name);
	CheckMayUse(tuple, name);
	CheckTaskQuota(ScheduleFormOf(tuple)->run_as);

	NewTask task = TaskOfSchedule(relation, tuple, DT_NOBEGIN, GetCurrentTimestamp());
	const int64 id = InsertTask(&task);

	table_close(relation, AccessShareLock);
	return id;
}

} // namespace worker_pool
