/*
 * schedule_row.cpp
 *	  Schedules into the ready queue: in a visit.
 *
 * Each active schedule of this database is one item, due at its next_run. The load reads the whole table (it is
 * small beside the tasks) and writes only for @reboot: such a schedule waits with next_run = infinity, and is
 * due at once where its boot_epoch is not that of this server's shared memory: a start, a crash restart or a
 * promotion lies between. FireSchedule stores the new epoch with the task it makes, so the start counts once.
 * Where another transaction holds the row the load comes back a second later. A schedule that finds no room in
 * memory makes PushItem lower the time of the next load.
 */
#include "catalog/schedule_row.hpp"

#include "catalog/row_scan.hpp"

namespace worker_pool
{

static_assert(offsetof(FormSchedule, installation) == 80 && offsetof(FormSchedule, owner) == 100 &&
				  offsetof(FormSchedule, active) == 120 && offsetof(FormSchedule, missed) == 123,
			  "FormSchedule must be laid out as worker_pool.schedule");

static constexpr int kLockedAgainMs = 1000;

ItemSpec
SpecOfSchedule(const FormSchedule &form)
{
	ItemSpec spec = {};

	spec.kind = ItemKind::kSchedule;
	spec.id = form.id;
	spec.database = form.database;
	spec.role = form.run_as;
	spec.rank = PG_INT64_MIN;
	spec.due = form.next_run;
	spec.queue = form.queue_id;
	return spec;
}

/* As the parser of schedules takes it: in any case, with blanks around. */
bool
IsRebootSchedule(Relation relation, HeapTuple tuple)
{
	static constexpr std::string_view kWord = "@reboot";
	static constexpr std::string_view kBlanks = " \t\n\r\f\v";
	bool is_null = false;
	const Datum value = heap_getattr(tuple, kScheduleText, RelationGetDescr(relation), &is_null);

	if (is_null)
		return false;

	std::string_view word = TextDatumGetCString(value);
	const size_t first = word.find_first_not_of(kBlanks);

	if (first == std::string_view::npos)
		return false;
	word = word.substr(first, word.find_last_not_of(kBlanks) - first + 1);
	return word.size() == kWord.size() &&
		   pg_strncasecmp(word.data(), kWord.data(), kWord.size()) == 0;
}

/*
 * Makes a @reboot schedule that has not fired in this epoch due at `now`. False: another transaction holds the
 * row, or has changed it.
 */
static bool
MakeDue(Relation relation, HeapTuple tuple, TimestampTz now, FormSchedule *form)
{
	HeapTuple copy = heap_copytuple(tuple);

	ScheduleFormOf(copy)->next_run = now;
	if (UpdateRow(relation, tuple->t_self, copy, false) != TM_Ok)
		return false;
	form->next_run = now;
	return true;
}

/* Caller: inside a transaction. In a standby nothing is written. */
void
LoadSchedules()
{
	const TimestampTz now = GetCurrentTimestamp();
	const bool writes = !RecoveryInProgress();
	Relation relation = TryOpenTable(Table::kSchedule, writes ? RowExclusiveLock : AccessShareLock);
	bool locked = false;
	Oid woken = InvalidOid;
	HeapTuple tuple;

	if (relation == nullptr)
		return;

	MemoryContext const scratch =
		AllocSetContextCreate(CurrentMemoryContext, "worker_pool schedules", ALLOCSET_SMALL_SIZES);
	RowScan scan = BeginTableScan(relation);

	while ((tuple = NextRow(scan)) != nullptr)
	{
		FormSchedule form = *ScheduleFormOf(tuple);

		if (!form.active || !IsOwnRow(form.installation, form.database))
			continue;
		if (writes && TIMESTAMP_IS_NOEND(form.next_run) &&
			form.boot_epoch != static_cast<int64>(pool->epoch))
		{
			MemoryContext const caller = MemoryContextSwitchTo(scratch);

			if (IsRebootSchedule(relation, tuple) && !MakeDue(relation, tuple, now, &form))
				locked = true;
			MemoryContextSwitchTo(caller);
			MemoryContextReset(scratch);
		}
		if (TIMESTAMP_IS_NOEND(form.next_run))
			continue;
		ItemSpec spec = SpecOfSchedule(form);

		/* the clock went far back: firing it starts it anew, instead of waiting for a time of before */
		if (form.checked_at > now + USECS_PER_HOUR)
			spec.due = now;
		(void) PushItem(spec, now);
		if (form.run_as != woken)
			WakePair(MyDatabaseId, form.run_as);
		woken = form.run_as;
	}
	EndRowScan(&scan);
	MemoryContextDelete(scratch);
	table_close(relation, NoLock);
	if (locked)
		MarkRescan(MyDatabaseId, TimestampTzPlusMilliseconds(now, kLockedAgainMs));
}

} // namespace worker_pool
