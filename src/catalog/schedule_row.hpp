/*
 * schedule_row.hpp
 *	  Rows of worker_pool.schedule.
 */
#pragma once

#include "catalog/task_row.hpp"

namespace worker_pool
{

struct FormSchedule
{
	int64 id;
	TimestampTz next_run;	/* infinity: never (inactive, @reboot that has fired) */
	TimestampTz last_run;	/* due time of the last task made; -infinity: none */
	TimestampTz checked_at; /* due times up to here were dealt with */
	TimestampTz created_at;
	int64 retry_delay_ms;
	int64 timeout_ms;
	int64 expires_after_ms; /* 0 = none */
	int64 last_task;		/* id of the last task made; 0 none */
	int64 boot_epoch;		/* @reboot: epoch in which it fired or was made */
	pg_uuid_t installation;
	Oid database;
	Oid owner;
	Oid run_as;
	int32 max_attempts; /* 0: by atomic */
	int32 priority;
	int32 queue_id;
	bool active;
	bool atomic;
	char overlap; /* s(kip), q(ueue), a(llow) */
	char missed;  /* s(kip), o(nce) */
};

enum ScheduleColumn : int
{
	kScheduleName = 22,
	kScheduleText,
	kScheduleTimezone,
	kScheduleCommand,
	kScheduleArgs,
	kScheduleSettings,
	kScheduleQueue,
	kScheduleRunAsName,
	kScheduleOwnerName,
	kScheduleColumns = kScheduleOwnerName,
};

inline FormSchedule *
ScheduleFormOf(HeapTuple tuple)
{
	return reinterpret_cast<FormSchedule *>(GETSTRUCT(tuple));
}

/* The item that stands for it: kind kSchedule, due = next_run, rank INT64_MIN, role = run_as. */
ItemSpec SpecOfSchedule(const FormSchedule &form);

/* Is its text '@reboot'? */
bool IsRebootSchedule(Relation schedule, HeapTuple tuple);

/* Pushes all active own schedules, and sets next_run of @reboot ones that have not fired in this epoch. Part of LoadDatabase. */
void LoadSchedules();

} // namespace worker_pool
