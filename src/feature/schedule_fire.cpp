/*
 * schedule_fire.cpp
 *	  Fires a schedule: the worker that took its item, in a transaction of its own; a visit for roles that
 *	  cannot start.
 *
 * The row is locked first, without waiting: who holds it (alter_schedule, schedule, unschedule, a stranger) may
 * commit or fail, so the item is dropped and a rescan a little later pushes what it finds. Then core's
 * PlanFiring says which due times between checked_at and now run and which were missed. Task, history, the
 * row's next_run and the armed next item all belong to the caller's transaction: if anything fails, or the
 * process dies, none of it happened and the due time is still to come.
 *
 * A pause of the database or of the queue is known from memory: nothing is made then, and what was due before
 * its end is not called missed. Memory remembers the end until a visit has stored it; that visit writes it into
 * checked_at of the schedules concerned, so it does not matter how long after the end one is fired.
 *
 * @reboot has no due times: it runs when the row's boot_epoch is not that of this server's shared memory, and
 * then stores it. So it runs at a start, after a crash restart and after a promotion, and not when it was made.
 *
 * A row whose schedule or zone this server does not understand (it came from elsewhere, the zone data changed)
 * stops: next_run becomes infinity, the history and the log say why. alter_schedule sets it going again.
 */
#include "feature/schedules.hpp"

#include "catalog/queue_row.hpp"
#include "catalog/row_scan.hpp"
#include "config/settings.hpp"
#include "core/firing.hpp"
#include "pg/fault.hpp"

namespace worker_pool
{

/* How soon to look again after a row that somebody held. */
static constexpr int kHeldAgainMs = 2000;

/* The row while it is fired. */
struct Firing
{
	Relation relation;
	HeapTuple tuple;   /* detoasted, for the texts */
	FormSchedule form; /* as it will be stored */
	TimestampTz now;
};

/* Writes down a due time that made no task, and why. */
static void
NoteSkipped(const Firing &firing, TimestampTz due, const char *reason, const char *detail,
			const char *hint)
{
	NewTask task = TaskOfSchedule(firing.relation, firing.tuple, due, firing.now);
	AttemptOutcome outcome = {};

	task.form.id = NextId(Sequence::kTaskId);
	outcome.state = "skipped";
	outcome.message = psprintf("not run at %s: %s", timestamptz_to_str(due), reason);
	outcome.detail = detail;
	outcome.hint = hint;
	InsertHistory(task, outcome);
}

static void
NoteMissed(const Firing &firing, const FiringPlan &plan)
{
	const char *hint = nullptr;

	if (settings::history_mode == settings::kHistoryOff)
		return;
	if (!plan.run)
		hint = firing.form.missed == 's'
				   ? "With missed => 'once' the last one would run within worker_pool.missed_grace."
				   : "worker_pool.missed_grace says how late a due time may still run.";
	for (int i = 0; i < plan.skipped_count; i++)
	{
		const char *detail = nullptr;

		if (i == 0 && plan.skipped_before > 0)
			detail = psprintf("%s" INT64_FORMAT " due times before it were missed, too.",
							  plan.counted_all ? "" : "More than ", plan.skipped_before);
		NoteSkipped(firing, TimestampOf(plan.skipped_s[i]), "the due time was missed", detail,
					hint);
	}
}

/* Has the task not ended yet? A wait for its retry counts. */
static bool
IsUnfinished(int64 id)
{
	if (id == 0)
		return false;

	Relation relation = OpenTable(Table::kTask, AccessShareLock);
	const Snapshot snapshot = HoldSnapshot();
	const bool unfinished = FetchPlain(relation, Index::kTaskId, id, snapshot) != nullptr;

	LetGoSnapshot(snapshot);
	table_close(relation, AccessShareLock);
	return unfinished;
}

/* Makes the task of a due time, unless overlap or expires_after speak against it. */
static void
MakeTask(Firing *firing, TimestampTz due)
{
	FormSchedule &form = firing->form;
	NewTask task = TaskOfSchedule(firing->relation, firing->tuple, due, firing->now);

	if (task.form.expires_at <= firing->now)
	{
		NoteSkipped(*firing, due, "too late for expires_after", nullptr, nullptr);
		return;
	}
	if (form.overlap == 's' && IsUnfinished(form.last_task))
	{
		NoteSkipped(
			*firing, due,
			psprintf("task " INT64_FORMAT " of the schedule has not ended", form.last_task),
			nullptr,
			"With overlap => 'queue' it would wait for that one, with 'allow' run beside it.");
		return;
	}

	Oid owner = InvalidOid;
	const int64 before = form.last_task;
	const bool waits = form.overlap == 'q' && before != 0 &&
					   CheckDependency(before, &owner) == DependencyState::kWaits;

	task.form.waits_for = waits ? 1 : 0;
	form.last_task = InsertTask(&task);
	form.last_run = due;
	if (waits)
		InsertDependency(before, form.last_task, true);
}

/* When the last pause of the database or the queue ended; *paused: one of them is paused now. */
static TimestampTz
LastResume(const FormSchedule &form, bool *paused)
{
	TimestampTz resumed = DT_NOBEGIN;

	*paused = false;
	for (const int32 queue : {kWholeDatabase, form.queue_id})
	{
		PauseNote note = {};

		if (GetPause(MyDatabaseId, queue, &note))
			*paused = true;
		else
			resumed = std::max(resumed, note.at);
	}
	return resumed;
}

/* By the clock. */
static void
FireDueTimes(Firing *firing, const ScheduleSpec &spec, const Zone &zone)
{
	FormSchedule &form = firing->form;
	FiringRequest request = {};
	FiringPlan plan;

	request.checked_s = UnixSecondsOf(form.checked_at);
	request.now_s = UnixSecondsOf(firing->now);
	request.resumed_s = UnixSecondsOf(LastResume(form, &request.paused));
	request.run_missed = form.missed == 'o';
	request.grace_s = settings::missed_grace_s;
	PlanFiring(spec, zone, request, &plan);
	if (plan.clock_went_back)
		ereport(LOG,
				(errmsg("schedule " INT64_FORMAT " starts anew: the clock went back by more than an hour",
						form.id)));
	NoteMissed(*firing, plan);
	if (plan.run)
		MakeTask(firing, TimestampOf(plan.run_s));
	form.checked_at = TimestampOf(plan.checked_s);
	form.next_run = plan.has_next ? TimestampOf(plan.next_s) : DT_NOEND;
}

static void
FireReboot(Firing *firing)
{
	FormSchedule &form = firing->form;
	bool paused = false;

	form.next_run = DT_NOEND;
	if (form.boot_epoch == static_cast<int64>(pool->epoch))
		return;
	form.boot_epoch = static_cast<int64>(pool->epoch);
	(void) LastResume(form, &paused);
	if (!paused)
		MakeTask(firing, firing->now);
}

/* A row that cannot be understood: it stops, and says why. */
static void
StopSchedule(Firing *firing, const char *reason)
{
	NewTask task =
		TaskOfSchedule(firing->relation, firing->tuple, firing->form.next_run, firing->now);
	AttemptOutcome outcome = {};

	task.form.id = NextId(Sequence::kTaskId);
	outcome.state = "failed";
	strlcpy(outcome.sqlstate, "22023", sizeof(outcome.sqlstate));
	outcome.message = reason;
	outcome.hint = "worker_pool.alter_schedule() sets it going again.";
	InsertHistory(task, outcome);
	firing->form.next_run = DT_NOEND;
	ereport(WARNING,
			(errmsg("schedule \"%s\" (" INT64_FORMAT ") was stopped: %s", task.name, firing->form.id, reason),
			 errhint("worker_pool.alter_schedule() sets it going again.")));
}

static const char *
ColumnText(const Firing &firing, ScheduleColumn column)
{
	return TextOf(firing.relation, firing.tuple, column);
}

static void
Fire(Firing *firing)
{
	const char *const timezone = ColumnText(*firing, kScheduleTimezone);
	const pg_tz *const zone = FindTimeZone(timezone);
	ScheduleSpec spec;
	ScheduleError error;

	if (!ParseSchedule(ColumnText(*firing, kScheduleText), &spec, &error))
		StopSchedule(firing, psprintf("its schedule is invalid at position %d: %s", error.position,
									  error.reason));
	else if (zone == nullptr)
		StopSchedule(firing, psprintf("its time zone \"%s\" is not recognized", timezone));
	else if (spec.kind == ScheduleKind::kReboot)
		FireReboot(firing);
	else
		FireDueTimes(firing, spec, ZoneOf(zone));
}

/* Has firing found anything to be stored? An item may be taken before it is due: its row was changed meanwhile. */
static bool
HasMoved(const Firing &firing, const FormSchedule &before)
{
	const FormSchedule &form = firing.form;

	return form.next_run != before.next_run || form.last_task != before.last_task ||
		   form.boot_epoch != before.boot_epoch || form.checked_at < before.checked_at;
}

/* Stores what firing changed. The row is locked. */
static void
StoreFired(const Firing &firing, HeapTuple plain)
{
	const HeapTuple changed = heap_copytuple(plain);
	FormSchedule &form = *ScheduleFormOf(changed);

	form.next_run = firing.form.next_run;
	form.last_run = firing.form.last_run;
	form.checked_at = firing.form.checked_at;
	form.last_task = firing.form.last_task;
	form.boot_epoch = firing.form.boot_epoch;

	/* the lock is ours: it waits for nobody, and heap_update takes an own lock only where it may wait */
	const TM_Result result = UpdateRow(firing.relation, plain->t_self, changed, true);

	if (result != TM_Ok)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("schedule " INT64_FORMAT " changed while it was fired", form.id)));
}

/* Fires the row if it is for us and nobody holds it. The caller holds a snapshot. */
static void
FireRow(Relation relation, HeapTuple plain)
{
	const FormSchedule form = *ScheduleFormOf(plain);
	Firing firing = {};

	if (!form.active || !IsOwnRow(form.installation, form.database))
		return;

	const TM_Result lock = LockRow(relation, plain->t_self, LockTupleNoKeyExclusive, false);

	firing.now = GetCurrentTimestamp();
	/* whoever has changed it already has pushed its new version */
	if (lock == TM_BeingModified)
		MarkRescan(MyDatabaseId, TimestampTzPlusMilliseconds(firing.now, kHeldAgainMs));
	if (lock != TM_Ok)
		return;
	firing.relation = relation;
	firing.tuple = Detoast(relation, plain);
	firing.form = form;
	Fire(&firing);
	if (HasMoved(firing, form))
		StoreFired(firing, plain);
	/* at infinity: takes the item out */
	ArmItem(SpecOfSchedule(firing.form));
}

void
FireSchedule(int64 id)
{
	WP_FAULT("schedule.before_fire");

	Relation relation = TryOpenTable(Table::kSchedule, RowExclusiveLock);

	if (relation == nullptr)
		return;

	const Snapshot snapshot = HoldSnapshot();
	const HeapTuple plain = FetchPlain(relation, Index::kScheduleId, id, snapshot);

	if (plain != nullptr)
		FireRow(relation, plain);
	LetGoSnapshot(snapshot);
	table_close(relation, NoLock);
	WP_FAULT("schedule.after_fire");
}

/* --- the end of a pause ----------------------------------------------------------------------------------- */

void
PassOverPause(int32 queue, TimestampTz resumed_at)
{
	Relation relation = TryOpenTable(Table::kSchedule, RowExclusiveLock);

	if (relation == nullptr)
		return;

	RowScan scan = BeginTableScan(relation);
	HeapTuple tuple;

	while ((tuple = NextRow(scan)) != nullptr)
	{
		const FormSchedule form = *ScheduleFormOf(tuple);

		if (!form.active || form.checked_at >= resumed_at ||
			!IsOwnRow(form.installation, form.database) ||
			(queue != kWholeDatabase && form.queue_id != queue))
			continue;

		const ItemPointerData place = tuple->t_self;
		const HeapTuple changed = heap_copytuple(tuple);

		ScheduleFormOf(changed)->checked_at = resumed_at;
		/* whoever holds the row is changing it (it begins anew) or fires it (with what memory knows) */
		(void) UpdateRow(relation, place, changed, false);
		heap_freetuple(changed);
	}
	EndRowScan(&scan);
	table_close(relation, NoLock);
}

} // namespace worker_pool
