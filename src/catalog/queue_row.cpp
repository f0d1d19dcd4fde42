/*
 * queue_row.cpp
 *	  Rows of worker_pool.queue: read and changed by sessions (create_queue, alter_queue, drop_queue), by visits
 *	  (pauses, and the load that tells memory the limits).
 *
 * A limit is transactional: the row changes, memory is told at commit. A pause is not: memory comes first, and a
 * visit writes it here so that it outlives the server. The two built-in rows, 'default' and the whole
 * database's, are made when there is first something to write; two who do that at once take turns by a table
 * lock. They belong to whoever owns the database at the time of asking.
 *
 * A row that is changed by two at once: the second waits for the first, then changes the newer version.
 */
#include "catalog/queue_row.hpp"

#include "catalog/queue_rank.hpp"
#include "catalog/row_scan.hpp"

namespace worker_pool
{

static_assert(offsetof(FormQueue, paused_at) == 24 && offsetof(FormQueue, database) == 48 &&
				  offsetof(FormQueue, paused) == 52,
			  "FormQueue must be laid out as worker_pool.queue");

static constexpr int kMostQueuesOfARole = 100;

/* What is to become of a row; nullptr = unchanged. */
struct QueueChange
{
	const int32 *max_running;
	const int32 *priority;
	const PauseNote *pause;
};

static FormQueue *
QueueFormOf(HeapTuple tuple)
{
	return reinterpret_cast<FormQueue *>(GETSTRUCT(tuple));
}

Oid
DatabaseOwner()
{
	HeapTuple tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(MyDatabaseId));

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_DATABASE),
				 errmsg("database with OID %u does not exist", MyDatabaseId)));

	const Oid owner = reinterpret_cast<Form_pg_database>(GETSTRUCT(tuple))->datdba;

	ReleaseSysCache(tuple);
	return owner;
}

/* --- read ----------------------------------------------------------------------------------------------- */

bool
FindQueue(const char *name, QueueInfo *info)
{
	if (*name == '\0')
		return false;

	Relation relation = OpenTable(Table::kQueue, AccessShareLock);
	HeapTuple tuple = FetchByName(relation, Index::kQueueName, name);
	bool found = true;

	*info = {};
	if (HeapTupleIsValid(tuple))
	{
		const FormQueue &form = *QueueFormOf(tuple);

		info->id = form.id;
		info->priority = form.priority;
		info->max_running = form.max_running;
		info->paused = form.paused;
		/* the owner's OID in a row of another database may be anybody's here */
		if (IsOwnRow(form.installation, form.database))
			info->owner = form.owner;
	}
	else
		found = strcmp(name, kDefaultQueue) == 0;
	if (found && info->id <= kDefaultQueueId)
		info->owner = DatabaseOwner();
	/* pause and drain wait afterwards */
	CloseTableForWait(relation, AccessShareLock);
	return found;
}

/* --- written -------------------------------------------------------------------------------------------- */

static void
StoreNewRow(Relation relation, const FormQueue &form, const char *name)
{
	Datum values[kQueueColumns] = {};
	bool nulls[kQueueColumns] = {};
	pg_uuid_t installation = form.installation;
	const auto set = [&values](int column, Datum value) { values[column - 1] = value; };

	set(kQueueId, Int32GetDatum(form.id));
	set(kQueueMaxRunning, Int32GetDatum(form.max_running));
	set(kQueuePriority, Int32GetDatum(form.priority));
	set(kQueueOwner, ObjectIdGetDatum(form.owner));
	set(kQueuePausedBy, ObjectIdGetDatum(form.paused_by));
	set(kQueuePausedAt, TimestampTzGetDatum(form.paused_at));
	set(kQueueInstallation, UUIDPGetDatum(&installation));
	set(kQueueDatabase, ObjectIdGetDatum(form.database));
	set(kQueuePaused, BoolGetDatum(form.paused));
	set(kQueueName, CStringGetTextDatum(name));
	set(kQueueOwnerName, CStringGetTextDatum(GetUserNameFromId(form.owner, false)));
	nulls[kQueueReason - 1] = true;

	InsertRow(relation, heap_form_tuple(RelationGetDescr(relation), values, nulls));
}

/* The row of a queue without limit and pause. */
static FormQueue
MakeForm(int32 id, Oid owner, const pg_uuid_t &identity)
{
	FormQueue form = {};

	form.id = id;
	form.owner = owner;
	form.paused_at = DT_NOBEGIN;
	form.installation = identity;
	form.database = MyDatabaseId;
	return form;
}

/* Memory has room for so many limits and pauses only: one role must not use them up for all others. */
static void
CheckQueueCount(Relation relation, Oid owner)
{
	HeapTuple tuple;
	int count = 0;

	if (superuser_arg(owner) || owner == DatabaseOwner())
		return;
	/* two sessions of the role take turns, so that each sees what the other has made */
	LockDatabaseObject(RelationGetRelid(relation), owner, 0, ExclusiveLock);

	RowScan scan = BeginTableScan(relation);

	while ((tuple = NextRow(scan)) != nullptr)
	{
		const FormQueue &form = *QueueFormOf(tuple);

		if (form.id > kDefaultQueueId && form.owner == owner &&
			IsOwnRow(form.installation, form.database))
			count++;
	}
	EndRowScan(&scan);
	if (count >= kMostQueuesOfARole)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("role \"%s\" owns too many queues", GetUserNameFromId(owner, false)),
				 errdetail("A role that is neither a superuser nor the owner of the database can own "
						   "at most %d queues in it.",
						   kMostQueuesOfARole),
				 errhint("Drop queues that are not needed with worker_pool.drop_queue(), or let the "
						 "owner of the database create the queue.")));
}

int32
InsertQueue(const char *name, int32 max_running, int32 priority, Oid owner)
{
	Relation relation = OpenTable(Table::kQueue, RowExclusiveLock);

	CheckQueueCount(relation, owner);

	FormQueue form =
		MakeForm(static_cast<int32>(NextId(Sequence::kQueueId)), owner, RequireIdentity());

	form.max_running = max_running;
	form.priority = priority;
	StoreNewRow(relation, form, name);
	table_close(relation, RowExclusiveLock);
	if (max_running > 0)
		ArmQueueLimit(form.id, max_running);
	return form.id;
}

/* A built-in queue gets its row, unless another session was first. False: there is no identity to give it. */
static bool
MakeBuiltIn(Relation relation, int32 id)
{
	pg_uuid_t identity;

	if (!GetIdentity(&identity))
		return false;
	LockRelationOid(RelationGetRelid(relation), ShareUpdateExclusiveLock);
	if (FetchById(relation, Index::kQueueId, id) == nullptr)
		StoreNewRow(relation, MakeForm(id, DatabaseOwner(), identity),
					id == kDefaultQueueId ? kDefaultQueue : "");
	return true;
}

static HeapTuple
ChangedRow(Relation relation, HeapTuple old, const QueueChange &change)
{
	Datum values[kQueueColumns] = {};
	bool nulls[kQueueColumns] = {};
	bool replaced[kQueueColumns] = {};
	const auto set = [&](int column, Datum value)
	{
		values[column - 1] = value;
		replaced[column - 1] = true;
	};

	if (change.max_running != nullptr)
		set(kQueueMaxRunning, Int32GetDatum(*change.max_running));
	if (change.priority != nullptr)
		set(kQueuePriority, Int32GetDatum(*change.priority));
	if (change.pause != nullptr)
	{
		const PauseNote &pause = *change.pause;
		const bool has_reason = pause.paused && pause.reason[0] != '\0';

		set(kQueuePaused, BoolGetDatum(pause.paused));
		set(kQueuePausedBy, ObjectIdGetDatum(pause.paused ? pause.by : InvalidOid));
		set(kQueuePausedAt, TimestampTzGetDatum(pause.paused ? pause.at : DT_NOBEGIN));
		set(kQueueReason, has_reason ? CStringGetTextDatum(pause.reason) : 0);
		nulls[kQueueReason - 1] = !has_reason;
	}
	return heap_modify_tuple(old, RelationGetDescr(relation), values, nulls, replaced);
}

/*
 * Changes the row, which a built-in queue gets if it has none. False: there is none. *before: as it was, the
 * texts left out.
 */
static bool
ChangeQueue(Relation relation, int32 id, const QueueChange &change, FormQueue *before)
{
	TM_Result result = TM_Updated;

	while (result != TM_Ok)
	{
		CHECK_FOR_INTERRUPTS();

		const Snapshot snapshot = HoldSnapshot();
		const HeapTuple old = FetchPlain(relation, Index::kQueueId, id, snapshot);

		if (old != nullptr)
		{
			/* the struct's padding lies beyond a short row */
			*before = {};
			memcpy(before, QueueFormOf(old), offsetof(FormQueue, paused) + sizeof(bool));
			result = UpdateRow(relation, old->t_self, ChangedRow(relation, old, change), true);
		}
		LetGoSnapshot(snapshot);
		if (old == nullptr && (id > kDefaultQueueId || !MakeBuiltIn(relation, id)))
			return false;
	}
	return true;
}

void
UpdateQueue(int32 id, const char *name, const int32 *max_running, const int32 *priority)
{
	Relation relation = OpenTable(Table::kQueue, RowExclusiveLock);
	FormQueue before;

	(void) RequireIdentity();
	if (!ChangeQueue(relation, id, {max_running, priority, nullptr}, &before))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("queue \"%s\" does not exist", name)));
	table_close(relation, NoLock);
	if (max_running != nullptr && *max_running != before.max_running)
		ArmQueueLimit(id, *max_running);
	if (priority != nullptr && *priority != before.priority)
		RankTasksAnew(id, *priority);
}

/* Deletes the newest version of the row, whoever changes it meanwhile. */
static void
DeleteRowOf(Relation relation, int32 id)
{
	TM_Result result = TM_Updated;

	while (result == TM_Updated)
	{
		CHECK_FOR_INTERRUPTS();

		const Snapshot snapshot = HoldSnapshot();
		const HeapTuple row = FetchPlain(relation, Index::kQueueId, id, snapshot);

		/* none: another session was first */
		result = row == nullptr ? TM_Ok : DeleteRow(relation, row->t_self, true);
		LetGoSnapshot(snapshot);
	}
}

bool
DeleteQueue(int32 id, const char *, int64 *users)
{
	Relation relation = OpenTable(Table::kQueue, RowExclusiveLock);
	PauseNote pause = {};

	*users = CountUsersOfQueue(id);
	if (*users > 0)
	{
		table_close(relation, RowExclusiveLock);
		return false;
	}
	DeleteRowOf(relation, id);
	table_close(relation, NoLock);
	ArmQueueLimit(id, 0);
	if (GetPause(MyDatabaseId, id, &pause))
	{
		/* nothing is in it, so it may be lifted before the commit; a rollback loads it again */
		ArmRescan();
		pause = {};
		(void) SetPause(MyDatabaseId, id, pause);
	}
	return true;
}

void
StorePause(int32 id, const PauseNote &note)
{
	Relation relation = TryOpenTable(Table::kQueue, RowExclusiveLock);
	FormQueue before;

	if (relation == nullptr)
		return;
	/* a queue that was dropped, or a copy before adopt(): there is nothing to write it to */
	(void) ChangeQueue(relation, id, {nullptr, nullptr, &note}, &before);
	table_close(relation, NoLock);
}

/* --- told to memory ------------------------------------------------------------------------------------- */

/* What pause() said in memory and is not stored yet is newer than the table. */
static bool
TellPause(const FormQueue &form, const char *reason)
{
	PauseNote note = {};
	const bool paused = GetPause(MyDatabaseId, form.id, &note);

	if (note.dirty || (!paused && !form.paused))
		return true;
	note = {};
	note.paused = form.paused;
	if (form.paused)
	{
		note.by = form.paused_by;
		note.at = form.paused_at;
		if (reason != nullptr)
			memcpy(note.reason, reason,
				   pg_mbcliplen(reason, static_cast<int>(strlen(reason)),
								static_cast<int>(sizeof(note.reason)) - 1));
	}
	return SetPause(MyDatabaseId, form.id, note);
}

void
LoadQueues()
{
	Relation relation = TryOpenTable(Table::kQueue, AccessShareLock);
	HeapTuple tuple;
	int untold = 0;

	if (relation == nullptr)
		return;

	MemoryContext const scratch =
		AllocSetContextCreate(CurrentMemoryContext, "worker_pool queues", ALLOCSET_SMALL_SIZES);
	RowScan scan = BeginTableScan(relation);

	while ((tuple = NextRow(scan)) != nullptr)
	{
		const FormQueue &form = *QueueFormOf(tuple);
		MemoryContext const caller = MemoryContextSwitchTo(scratch);
		bool told = true;

		if (IsOwnRow(form.installation, form.database))
		{
			if (form.id != kWholeDatabase)
				told = SetQueueLimit(MyDatabaseId, form.id, form.max_running);
			told = TellPause(form, TextOf(relation, tuple, kQueueReason)) && told;
		}
		if (!told)
			untold++;
		MemoryContextSwitchTo(caller);
		MemoryContextReset(scratch);
	}
	EndRowScan(&scan);
	MemoryContextDelete(scratch);
	table_close(relation, AccessShareLock);
	if (untold > 0)
		ereport(WARNING,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg_plural("worker_pool does not enforce the limit or pause of %d queue",
							   "worker_pool does not enforce the limits and pauses of %d queues",
							   untold, untold),
				 errdetail("At most %d queues and concurrency keys can have one at a time.",
						   kLimits)));
}

} // namespace worker_pool
