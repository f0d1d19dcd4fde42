/*
 * schedules.cpp
 *	  What sessions and workers share about schedules: texts and zones checked with errors that name what is
 *	  wrong, the next due time, and the task that a row stands for. Reads, and raises; changes nothing.
 */
#include "feature/schedules.hpp"

#include "catalog/queue_row.hpp"
#include "config/settings.hpp"
#include "core/retry.hpp"

namespace worker_pool
{

/* What of an invalid text an error repeats. */
static constexpr int kShownBytes = 100;

/* The text as far as an error shows it. */
static const char *
ShownText(const char *text)
{
	const int length = static_cast<int>(strlen(text));

	if (length <= kShownBytes)
		return text;
	return psprintf("%.*s...", pg_mbcliplen(text, length, kShownBytes), text);
}

ScheduleSpec
RequireSchedule(const char *text)
{
	ScheduleSpec spec;
	ScheduleError error;

	if (ParseSchedule(text, &spec, &error))
		return spec;

	/* the parser counts bytes */
	const int position = pg_mbstrlen_with_len(text, error.position - 1) + 1;

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid schedule \"%s\"", ShownText(text)),
			 error.field == nullptr
				 ? errdetail("position %d: %s", position, error.reason)
				 : errdetail("field \"%s\", position %d: %s", error.field, position, error.reason),
			 error.hint == nullptr ? 0 : errhint("%s", error.hint)));
	pg_unreachable();
}

pg_tz *
RequireTimeZone(const char *name)
{
	const char *const wanted = name == nullptr ? settings::timezone : name;
	pg_tz *const zone = FindTimeZone(wanted);

	if (zone == nullptr)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone \"%s\" not recognized", ShownText(wanted)),
				 errhint("The view pg_timezone_names lists the names.")));
	return zone;
}

TimestampTz
NextRunAfter(const ScheduleSpec &spec, const pg_tz *zone, TimestampTz after)
{
	int64 next = 0;

	if (!NextTime(spec, ZoneOf(zone), UnixSecondsOf(after), &next))
		return DT_NOEND;
	return TimestampOf(next);
}

NewTask
TaskOfSchedule(Relation relation, HeapTuple tuple, TimestampTz scheduled_for, TimestampTz now)
{
	const FormSchedule &from = *ScheduleFormOf(tuple);
	const bool is_due = !TIMESTAMP_IS_NOBEGIN(scheduled_for);
	QueueInfo queue = {};
	NewTask task = {};

	task.form.run_at = is_due ? scheduled_for : now;
	task.form.enqueued_at = now;
	task.form.expires_at = DT_NOEND;
	if (from.expires_after_ms > 0)
		task.form.expires_at = TimestampTzPlusMilliseconds(task.form.run_at, from.expires_after_ms);
	task.form.scheduled_for = scheduled_for;
	task.form.retry_delay_ms = from.retry_delay_ms;
	task.form.timeout_ms = from.timeout_ms;
	task.form.schedule_id = from.id;
	task.form.owner = from.owner;
	task.form.run_as = from.run_as;
	task.form.max_attempts = from.max_attempts;
	if (from.max_attempts == 0)
		task.form.max_attempts = from.atomic ? kDefaultAttemptsAtomic : kDefaultAttemptsOther;
	task.form.priority = from.priority;
	task.form.queue_id = from.queue_id;
	task.form.atomic = from.atomic;
	task.form.history = static_cast<char>(settings::history_mode);
	task.command = TextOf(relation, tuple, kScheduleCommand);
	task.args = ColumnOf(relation, tuple, kScheduleArgs);
	task.settings = ColumnOf(relation, tuple, kScheduleSettings);
	task.queue = TextOf(relation, tuple, kScheduleQueue);
	task.run_as_name = TextOf(relation, tuple, kScheduleRunAsName);
	task.owner_name = TextOf(relation, tuple, kScheduleOwnerName);
	task.name = TextOf(relation, tuple, kScheduleName);
	if (FindQueue(task.queue, &queue))
		task.queue_priority = queue.priority;
	return task;
}

} // namespace worker_pool
