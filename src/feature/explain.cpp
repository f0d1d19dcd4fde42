/*
 * explain.cpp
 *	  explain_task: goes through everything that can keep a task from running, in the order in which somebody
 *	  would have to deal with it. Runs in the session that asks.
 *
 *		no row					how it ended (history), or 42704
 *		a slot runs it			where, since when, what blocks it, what it reported
 *		else, all that holds:
 *			this server			standby, pool off, no launcher, DDL on the database
 *			the row				not adopted, not committed, locked, expired, blocked, not due (explain_row.cpp)
 *			the role			gone, renamed, may not log in, owner may not run as it any more
 *			pauses				of the database, of the queue
 *			if none of these	its place in the ready queue and in the pool (explain_place.cpp)
 *
 * The row is read with a fresh snapshot and kept with its header. Each look at shared memory holds one lock
 * once; the parts are not one moment, and need not be: the answer is for a reader.
 */
#include "feature/explain_parts.hpp"

#include "catalog/queue_row.hpp"
#include "catalog/row_scan.hpp"
#include "config/settings.hpp"
#include "core/version.hpp"
#include "feature/task_authority.hpp"
#include "pg/encoding.hpp"
#include "shmem/databases.hpp"

namespace worker_pool
{

namespace explain
{

void
Add(Explanation *explanation, const char *reason, const char *detail, const char *hint)
{
	if (explanation->count < Explanation::kMost)
		explanation->reasons[explanation->count++] = {reason, detail, hint};
}

const char *
CountText(int64 count, const char *thing)
{
	return psprintf(INT64_FORMAT " %s%s", count, thing, count == 1 ? "" : "s");
}

const char *
DurationText(int64 microseconds)
{
	const int64 ms = std::max<int64>(microseconds, 0) / 1000;
	const int64 seconds = ms / 1000;
	const int64 minutes = seconds / 60;

	if (ms < 1000)
		return psprintf(INT64_FORMAT " ms", ms);
	if (seconds < 60)
		return psprintf(INT64_FORMAT "." INT64_FORMAT " s", seconds, ms % 1000 / 100);
	if (minutes < 60)
		return psprintf(INT64_FORMAT " min " INT64_FORMAT " s", minutes, seconds % 60);
	if (minutes < int64{2} * 24 * 60)
		return psprintf(INT64_FORMAT " h " INT64_FORMAT " min", minutes / 60, minutes % 60);
	return psprintf(INT64_FORMAT " days", minutes / (int64{24} * 60));
}

const char *
TimeText(TimestampTz time)
{
	return pstrdup(timestamptz_to_str(time));
}

const char *
RoleText(Oid role)
{
	const char *const name = GetUserNameFromId(role, true);

	return name != nullptr ? name : "(dropped)";
}

/* Pool lock held. */
static void
CopySlot(SlotLook *look, int index)
{
	const WorkerSlot &slot = SlotAt(index);

	look->index = index;
	look->state = slot.state;
	look->kind = slot.kind;
	look->target = slot.target;
	look->pid = slot.pid;
	look->proc = slot.proc;
	look->registered_at = slot.registered_at;
	look->state_changed_at = slot.state_changed_at;
	look->task_id = slot.state == SlotState::kFree ? 0 : slot.task_id;
	look->task_started_at = slot.task_started_at;
	look->stop_asked =
		slot.terminate_sent || (slot.cancel_id != 0 && slot.cancel_id == WorkId(slot));
	look->progress = slot.progress;
	look->progress_at = slot.progress_at;
	memcpy(look->message, slot.message, sizeof(look->message));
	look->failed = slot.state == SlotState::kFree && slot.start_error.sqlstate != 0;
	look->failed_registered_at = slot.failed_registered_at;
	look->failed_target = slot.failed_target;
	look->start_error = slot.start_error;
}

SlotLook *
LookAtSlots(int *count)
{
	auto *const looks = static_cast<SlotLook *>(MemoryContextAllocHuge(
		CurrentMemoryContext, mul_size(static_cast<Size>(SlotCount()), sizeof(SlotLook))));
	LockScope lock(PoolLock(), LW_SHARED);

	*count = 0;
	for (int i = 0; i < SlotCount(); i++)
	{
		const WorkerSlot &slot = SlotAt(i);

		if (slot.state != SlotState::kFree || slot.start_error.sqlstate != 0)
			CopySlot(&looks[(*count)++], i);
	}
	return looks;
}

/* --- the subject ------------------------------------------------------------------------------------------ */

/* Reads the row and memory; false: there is no row. */
static bool
ReadSubject(int64 id, Subject *subject)
{
	Relation task = OpenTable(Table::kTask, AccessShareLock);
	ScanKeyData key;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));

	RowScan scan = BeginIndexScan(task, Index::kTaskId, 1, &key);
	HeapTuple tuple = NextRow(scan);
	const bool found = HeapTupleIsValid(tuple);

	if (found)
	{
		subject->id = id;
		subject->tuple = heap_copytuple(tuple);
		subject->form = *FormOf(subject->tuple);
		subject->queue = TextOf(task, tuple, kTaskQueue);
		subject->run_as_name = TextOf(task, tuple, kTaskRunAsName);
		subject->last_sqlstate = TextOf(task, tuple, kTaskLastSqlstate);
		subject->last_error = TextOf(task, tuple, kTaskLastError);
	}
	EndRowScan(&scan);
	table_close(task, AccessShareLock);
	if (found)
	{
		subject->view = ViewItem(MyDatabaseId, id);
		subject->now = GetCurrentTimestamp();
	}
	return found;
}

/* The slot that runs it, or nullptr. */
static const SlotLook *
RunningSlot(const Subject &task, const SlotLook *slots, int count)
{
	for (int i = 0; i < count; i++)
		if (slots[i].task_id == task.id && slots[i].target.database == MyDatabaseId)
			return &slots[i];
	return nullptr;
}

/* --- this server ------------------------------------------------------------------------------------------ */

/*
 * The SQL objects are not those of this library: true, and nothing else can be said, for the tables may have
 * another shape.
 */
static bool
ExplainVersion(Explanation *explanation)
{
	const char *const version = InstalledVersion();

	if (version == nullptr)
		return false; /* opening the table raises */

	const VersionMatch match = MatchVersion(kVersion, version);

	if (match == VersionMatch::kServed)
		return false;
	Add(explanation,
		psprintf(
			"the extension's SQL objects here are of version %s, which the loaded library %s does "
			"not serve",
			version, kVersion),
		"No task or schedule of this database runs.",
		match == VersionMatch::kTooNew
			? psprintf("Install worker_pool %s and restart the server.", version)
			: "ALTER EXTENSION worker_pool UPDATE;");
	return true;
}

/* What keeps everything of this database from running. */
static void
ExplainServer(Explanation *explanation)
{
	pid_t closer = 0;
	bool closed = false;
	bool no_launcher = false;

	{
		LockScope lock(PoolLock(), LW_SHARED);
		const DatabaseEntry *const entry = FindDatabase(MyDatabaseId);

		closed = entry != nullptr && entry->blocks > 0;
		closer = closed ? entry->closer : 0;
		no_launcher = pool->launcher_proc == kNone;
	}
	if (RecoveryInProgress())
		Add(explanation, "this server is a standby: tasks run on the primary",
			"After a promotion they run here.", nullptr);
	if (!settings::enabled)
		Add(explanation, "the pool is off (worker_pool.enabled)", "Nothing new starts anywhere.",
			"ALTER SYSTEM SET worker_pool.enabled = on; SELECT pg_reload_conf();");
	if (no_launcher)
		Add(explanation, "the launcher of the pool is not running",
			"The server starts it again by itself; its log tells why it ended.", nullptr);
	if (closed)
		Add(explanation, psprintf("DDL on this database is under way in process %d", closer),
			"Nothing starts in the database until that transaction has ended.",
			psprintf("SELECT * FROM pg_stat_activity WHERE pid = %d;", closer));
}

/* --- role, pauses ------------------------------------------------------------------------------------------ */

/* What would let the role run commands here; nullptr: nothing that is a statement or a word. */
static const char *
RoleHint(const char *name, const BriefError &why)
{
	if (why.sqlstate == ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION)
		return psprintf("ALTER ROLE %s LOGIN;", quote_identifier(name));
	if (why.sqlstate == ERRCODE_INSUFFICIENT_PRIVILEGE)
		return psprintf("GRANT CONNECT ON DATABASE %s TO %s;",
						quote_identifier(get_database_name(MyDatabaseId)), quote_identifier(name));
	return why.hint[0] != '\0' ? pstrdup(why.hint) : nullptr;
}

/* May it run as its role at all? What is wrong here makes it fail when its turn comes. */
static void
ExplainRole(const Subject &task, Explanation *explanation)
{
	const char *const name = GetUserNameFromId(task.form.run_as, true);
	BriefError why = {};

	if (name == nullptr)
		Add(explanation,
			psprintf("role \"%s\", which it is to run as, does not exist any more",
					 task.run_as_name),
			"It fails when its turn comes.", nullptr);
	else if (strcmp(name, task.run_as_name) != 0)
		Add(explanation,
			psprintf("role \"%s\", which it is to run as, has the name \"%s\" now",
					 task.run_as_name, name),
			"It fails when its turn comes: a role is meant by its number and its name.",
			psprintf("ALTER ROLE %s RENAME TO %s;", quote_identifier(name),
					 quote_identifier(task.run_as_name)));
	else if (!MayRunIn(MyDatabaseId, task.form.run_as, &why))
		Add(explanation, pstrdup(why.message), "It fails when its turn comes.",
			RoleHint(name, why));
	else if (task.form.owner != task.form.run_as &&
			 !compat::MaySetRole(task.form.owner, task.form.run_as))
		Add(explanation,
			psprintf("its owner, role \"%s\", may not run commands as role \"%s\" any more",
					 RoleText(task.form.owner), name),
			"It fails when its turn comes.",
			psprintf("GRANT %s TO %s;", quote_identifier(name),
					 quote_identifier(RoleText(task.form.owner))));
}

/* A pause of the queue, or (kWholeDatabase) of everything. */
static void
ExplainPause(int32 queue, const char *name, Explanation *explanation)
{
	PauseNote note = {};

	if (!GetPause(MyDatabaseId, queue, &note) || !note.paused)
		return;

	const bool whole = queue == kWholeDatabase;
	const char *const what = whole ? "this database" : psprintf("queue \"%s\"", name);

	Add(explanation,
		psprintf("%s was paused by %s at %s", what, RoleText(note.by), TimeText(note.at)),
		note.reason[0] != '\0'
			? psprintf("Reason: %s",
					   ToServerEncoding(note.reason, static_cast<int>(strlen(note.reason)),
										GetDatabaseEncoding()))
			: nullptr,
		whole ? "SELECT worker_pool.resume();"
			  : psprintf("SELECT worker_pool.resume(%s);", quote_literal_cstr(name)));
}

static void
ExplainWaiting(const Subject &task, const SlotLook *slots, int count, Explanation *explanation)
{
	ExplainServer(explanation);
	ExplainRow(task, explanation);
	ExplainRole(task, explanation);
	ExplainPause(kWholeDatabase, nullptr, explanation);
	ExplainPause(task.form.queue_id, task.queue, explanation);
	if (explanation->count == 0)
		ExplainPlace(task, slots, count, explanation);
}

} // namespace explain

void
ExplainTask(int64 id, Explanation *explanation)
{
	explain::Subject task = {};
	int count = 0;

	explanation->count = 0;
	if (explain::ExplainVersion(explanation))
		return;
	if (!explain::ReadSubject(id, &task))
	{
		explain::ExplainFinished(id, explanation);
		return;
	}
	/* the owner of a row from elsewhere is a number that means another role here */
	CheckMaySeeTask(id, IsOwnRow(task.form.installation, task.form.database) ? task.form.owner
																			 : InvalidOid);

	explain::SlotLook *const slots = explain::LookAtSlots(&count);
	const explain::SlotLook *const running = explain::RunningSlot(task, slots, count);

	if (running != nullptr)
		explain::ExplainRunning(task, *running, explanation);
	else
		explain::ExplainWaiting(task, slots, count, explanation);
	pfree(slots);
}

} // namespace worker_pool
