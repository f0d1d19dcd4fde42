/*
 * views.cpp
 *	  The functions behind the views `workers` and `commands`. Any session, also on a hot standby.
 *
 * What the rows have in common is copied under one shared hold of the pool lock, so that a view shows one
 * moment. The texts are fetched afterwards, record by record; where the record has gone meanwhile, the row
 * stands without its text. Names are looked up when they are shown; a database or role that was dropped is
 * NULL. The text of a running task, or of a service, is read from the table, so only those of the current database
 * show.
 *
 * Everybody who may use the schema sees every row, but command text and error only where MaySeeCommand()
 * allows it. A function in a view runs as the user of the view, so GetUserId() is who asks.
 */
#include "sqlfn/rows.hpp"

#include "catalog/service_row.hpp"
#include "catalog/task_row.hpp"
#include "feature/authority.hpp"
#include "feature/request.hpp"
#include "pg/encoding.hpp"
#include "pg/guard.hpp"
#include "shmem/slots.hpp"

namespace worker_pool
{

/* What is needed of a record; a slot's row has one too. id 0: none. */
struct CommandCopy
{
	int index;
	uint64 id;
	CommandState state;
	Oid owner;
	Oid database;
	Oid role;
	int encoding;
	int slot;
	pid_t pid;
	TimestampTz submitted_at;
	TimestampTz started_at;
	TimestampTz finished_at;
	int64 rows;
	int sqlstate;
	char name[NAMEDATALEN];
	char message[sizeof(BriefError::message)];
};

struct SlotCopy
{
	int index;
	pid_t pid;
	SlotKind kind;
	SlotState state;
	Oid database;
	Oid role;
	TimestampTz started_at;
	TimestampTz state_changed_at;
	uint64 commands_done;
	CommandCopy command;

	int64 task_id;			/* 0: none */
	int64 service_id;		/* 0: none */
	Oid owner;				/* of the task or service */
	char name[NAMEDATALEN]; /* of the task, service or lease */
	float progress;			/* -1: none */
	char message[sizeof(WorkerSlot::message)];
};

/* Lock held, shared suffices. */
static void
CopyCommand(CommandCopy *copy, int index)
{
	const CommandRecord &record = CommandAt(index);

	copy->index = index;
	copy->id = record.id;
	copy->state = record.state;
	copy->owner = record.owner;
	copy->database = record.target.database;
	copy->role = record.target.role;
	copy->encoding = record.submit_encoding;
	copy->slot = record.slot;
	copy->pid = record.slot == kNone ? 0 : SlotAt(record.slot).pid;
	copy->submitted_at = record.submitted_at;
	copy->started_at = record.started_at;
	copy->finished_at = record.finished_at;
	copy->rows = record.rows;
	copy->sqlstate = record.sqlstate != 0 ? record.sqlstate : record.brief.sqlstate;
	memcpy(copy->name, record.name, sizeof(copy->name));
	memcpy(copy->message, record.brief.message, sizeof(copy->message));
}

/* Copies every record in use; returns how many. */
static int
CopyCommands(CommandCopy *copies)
{
	LockScope lock(PoolLock(), LW_SHARED);
	int count = 0;

	for (int i = 0; i < CommandCount(); i++)
		if (CommandAt(i).state != CommandState::kVacant)
			CopyCommand(&copies[count++], i);
	return count;
}

/* What the slot is used for beside commands: its task, service or lease. Lock held, shared suffices. */
static void
CopyWork(SlotCopy *copy, const WorkerSlot &slot)
{
	const char *name = "";

	copy->task_id = slot.task_id;
	copy->service_id = 0;
	copy->owner = InvalidOid;
	copy->progress = slot.progress;
	memcpy(copy->message, slot.message, sizeof(copy->message));
	if (slot.task_id != 0)
	{
		copy->owner = slot.task_owner;
		name = slot.task_name;
	}
	else if (slot.kind == SlotKind::kService && slot.service != kNone)
	{
		const ServiceEntry &entry = ServiceAt(slot.service);

		copy->service_id = entry.id;
		copy->owner = entry.owner;
		name = entry.name;
	}
	else if (slot.kind == SlotKind::kLease)
		name = slot.task_name;
	strlcpy(copy->name, name, sizeof(copy->name));
}

/* Copies every slot in use with the command it runs; returns how many. */
static int
CopySlots(SlotCopy *copies)
{
	LockScope lock(PoolLock(), LW_SHARED);
	int count = 0;

	for (int i = 0; i < SlotCount(); i++)
	{
		const WorkerSlot &slot = SlotAt(i);

		if (slot.state == SlotState::kFree)
			continue;

		SlotCopy &copy = copies[count++];

		copy.index = i;
		copy.pid = slot.pid;
		copy.kind = slot.kind;
		copy.state = slot.state;
		copy.database = slot.target.database;
		copy.role = slot.target.role;
		copy.started_at = slot.started_at;
		copy.state_changed_at = slot.state_changed_at;
		copy.commands_done = slot.commands_done;
		CopyWork(&copy, slot);
		copy.command.id = 0;
		if (slot.command != kNone)
			CopyCommand(&copy.command, slot.command);
	}
	return count;
}

/* The command's text, or nullptr where the record or its text has gone. */
static char *
CommandText(const CommandCopy &command)
{
	int capacity = 1024;
	char *buffer = static_cast<char *>(palloc(capacity));

	for (;;)
	{
		int length = -1;

		{
			LockScope lock(PoolLock(), LW_SHARED);
			const CommandRecord &record = CommandAt(command.index);

			if (record.id == command.id && DsaPointerIsValid(record.request))
			{
				const char *text = RequestText(SharedAddress(record.request), &length);

				if (length < capacity)
					memcpy(buffer, text, length);
			}
		}
		if (length < 0)
			return nullptr;
		if (length < capacity)
		{
			buffer[length] = '\0';
			return ToServerEncoding(buffer, length, command.encoding);
		}
		/* the text of an id never changes, so the next turn has room */
		capacity = length + 1;
		pfree(buffer);
		buffer = static_cast<char *>(palloc(capacity));
	}
}

static void
AddDatabase(RowWriter *row, Oid database)
{
	AddName(row, get_database_name(database));
}

static void
AddRole(RowWriter *row, Oid role)
{
	AddName(row, OidIsValid(role) ? GetUserNameFromId(role, true) : nullptr);
}

static void
AddCommandName(RowWriter *row, const CommandCopy &command)
{
	const int length = static_cast<int>(strlen(command.name));

	AddText(row, length > 0 ? ToServerEncoding(command.name, length, command.encoding) : nullptr);
}

static void
AddPid(RowWriter *row, pid_t pid)
{
	if (pid == 0)
		AddNull(row);
	else
		AddInt(row, pid);
}

/* The encoding of a database, or -1 when it was dropped. */
static int
EncodingOf(Oid database)
{
	HeapTuple tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));

	if (!HeapTupleIsValid(tuple))
		return -1;

	const int encoding = reinterpret_cast<Form_pg_database>(GETSTRUCT(tuple))->encoding;

	ReleaseSysCache(tuple);
	return encoding;
}

/* The text of a task of the current database, or nullptr where it has ended meanwhile. */
static const char *
TaskCommandText(int64 id)
{
	Relation task = TryOpenTable(Table::kTask, AccessShareLock);
	const char *text = nullptr;

	if (task == nullptr)
		return nullptr;

	HeapTuple tuple = FetchById(task, Index::kTaskId, id);

	if (HeapTupleIsValid(tuple))
		text = TextOf(task, tuple, kTaskCommand);
	table_close(task, AccessShareLock);
	return text;
}

/* The text of a service of the current database; nullptr for an entry point, and where it was dropped meanwhile. */
static const char *
ServiceCommandText(int64 id)
{
	Relation service = TryOpenTable(Table::kService, AccessShareLock);
	const char *text = nullptr;

	if (service == nullptr)
		return nullptr;

	HeapTuple tuple = FetchById(service, Index::kServiceId, id);

	if (HeapTupleIsValid(tuple))
		text = TextOf(service, tuple, kServiceCommand);
	table_close(service, AccessShareLock);
	return text;
}

/* What the slot's worker wrote about its task or service; in the encoding of its database. */
static const char *
WorkNote(const SlotCopy &slot, const char *note)
{
	if (note[0] == '\0')
		return nullptr;
	return ToServerEncoding(note, static_cast<int>(strlen(note)), EncodingOf(slot.database));
}

/* Is there a task or service, and may the caller see what it is about? */
static bool
MaySeeWork(const SlotCopy &slot)
{
	return (slot.task_id != 0 || slot.service_id != 0) && MaySeeCommand(GetUserId(), slot.owner);
}

/* Columns command_id, task_id, service, name, command. */
static void
AddWork(RowWriter *row, const SlotCopy &slot)
{
	const CommandCopy &command = slot.command;

	if (command.id != 0)
		AddBigint(row, static_cast<int64>(command.id));
	else
		AddNull(row);
	if (slot.task_id != 0)
		AddBigint(row, slot.task_id);
	else
		AddNull(row);
	AddText(row, slot.service_id != 0 ? WorkNote(slot, slot.name) : nullptr);
	if (command.id != 0)
	{
		AddCommandName(row, command);
		AddText(row, MaySeeCommand(GetUserId(), command.owner) ? CommandText(command) : nullptr);
		return;
	}
	AddText(row, WorkNote(slot, slot.name));
	if (slot.database != MyDatabaseId || !MaySeeWork(slot))
		AddNull(row);
	else if (slot.task_id != 0)
		AddText(row, TaskCommandText(slot.task_id));
	else
		AddText(row, ServiceCommandText(slot.service_id));
}

static void
WriteWorker(RowWriter *row, const SlotCopy &slot)
{
	AddInt(row, slot.index);
	AddPid(row, slot.pid);
	AddText(row, SlotKindName(slot.kind));
	AddText(row, SlotStateName(slot.state));
	AddDatabase(row, slot.database);
	/* InvalidOid: the bootstrap superuser, as which a visit connects; a lease has none that we know */
	AddRole(row, OidIsValid(slot.role) || slot.kind == SlotKind::kLease ? slot.role
																		: BOOTSTRAP_SUPERUSERID);
	AddWork(row, slot);
	AddTime(row, slot.started_at);
	AddTime(row, slot.state_changed_at);
	AddBigint(row, static_cast<int64>(slot.commands_done));
	if ((slot.task_id != 0 || slot.service_id != 0) && slot.progress >= 0)
		AddDouble(row, PlainFraction(slot.progress));
	else
		AddNull(row);
	AddText(row, MaySeeWork(slot) ? WorkNote(slot, slot.message) : nullptr);
	EndRow(row);
}

/* Columns sqlstate and error; the worker wrote the message in the encoding of its own database. */
static void
AddError(RowWriter *row, const CommandCopy &command)
{
	const int length = static_cast<int>(strlen(command.message));

	if (command.sqlstate == 0)
	{
		AddNull(row);
		AddNull(row);
		return;
	}
	AddText(row, unpack_sql_state(command.sqlstate));
	AddText(row, length > 0
					 ? ToServerEncoding(command.message, length, EncodingOf(command.database))
					 : nullptr);
}

static void
WriteCommand(RowWriter *row, const CommandCopy &command)
{
	const bool visible = MaySeeCommand(GetUserId(), command.owner);

	AddBigint(row, static_cast<int64>(command.id));
	AddCommandName(row, command);
	AddText(row, CommandStateName(command.state));
	AddDatabase(row, command.database);
	AddRole(row, command.role);
	if (command.slot == kNone)
		AddNull(row);
	else
		AddInt(row, command.slot);
	AddPid(row, command.pid);
	AddText(row, visible ? CommandText(command) : nullptr);
	AddTime(row, command.submitted_at);
	AddTime(row, command.started_at);
	AddTime(row, command.finished_at);
	if (command.rows < 0 || command.state != CommandState::kSucceeded)
		AddNull(row);
	else
		AddBigint(row, command.rows);
	if (visible)
		AddError(row, command);
	else
	{
		AddNull(row);
		AddNull(row);
	}
	EndRow(row);
}

/* Writes `count` rows, each in a scratch context of its own. */
template <typename Copy>
static void
WriteRows(RowWriter *row, const Copy *copies, int count, void (*write)(RowWriter *, const Copy &))
{
	MemoryContext const scratch =
		AllocSetContextCreate(CurrentMemoryContext, "worker_pool view row", ALLOCSET_DEFAULT_SIZES);
	MemoryContext const context = MemoryContextSwitchTo(scratch);

	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		write(row, copies[i]);
		MemoryContextReset(scratch);
	}
	MemoryContextSwitchTo(context);
	MemoryContextDelete(scratch);
}

/* Room for that many copies; pages of it that are never written cost nothing. */
template <typename Copy>
static Copy *
AllocateCopies(int count)
{
	return static_cast<Copy *>(
		MemoryContextAllocHuge(CurrentMemoryContext, mul_size(count, sizeof(Copy))));
}

} // namespace worker_pool

using namespace worker_pool;

/* worker_pool._workers(): a row a slot in use. 55000 when the library was not preloaded. */
WP_SQL_FUNCTION(worker_pool_workers)
{
	RequirePool();
	AttachMemory();

	RowWriter row = BeginRows(fcinfo);
	auto *const copies = AllocateCopies<SlotCopy>(SlotCount());

	WriteRows(&row, copies, CopySlots(copies), WriteWorker);
	pfree(copies);
	return static_cast<Datum>(0);
}

/* worker_pool._commands(): a row a command record. 55000 when the library was not preloaded. */
WP_SQL_FUNCTION(worker_pool_commands)
{
	RequirePool();
	AttachMemory();

	RowWriter row = BeginRows(fcinfo);
	auto *const copies = AllocateCopies<CommandCopy>(CommandCount());

	WriteRows(&row, copies, CopyCommands(copies), WriteCommand);
	pfree(copies);
	return static_cast<Datum>(0);
}
