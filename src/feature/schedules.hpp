/*
 * schedules.hpp
 *	  Schedules: defined, changed and dropped by sessions, fired by workers. A schedule makes a row of
 *	  worker_pool.task for each of its due times; nothing else runs schedules.
 *
 * A row's next_run is when its item in the ready queue is due; checked_at is up to when its due times were dealt
 * with. FireSchedule moves both on in the transaction that stores the task, so a due time makes one task
 * however often its item is taken.
 */
#pragma once

#include "catalog/schedule_row.hpp"
#include "catalog/task_store.hpp"
#include "core/cron.hpp"
#include "pg/time_zone.hpp"

namespace worker_pool
{

/* --- texts and times ------------------------------------------------------------------------------------- */

/* Parses the text; 22023 with field, position and reason. */
ScheduleSpec RequireSchedule(const char *text);
/* nullptr is worker_pool.timezone. 22023 with a hint where there is no such zone. */
pg_tz *RequireTimeZone(const char *name);
/* The first due time after `after`; infinity: none. */
TimestampTz NextRunAfter(const ScheduleSpec &spec, const pg_tz *zone, TimestampTz after);

/* --- definition: sessions (schedule_define.cpp) ------------------------------------------------------------ */

/* What a schedule is, resolved and checked by the caller: the rights, the command, schedule and timezone. */
struct ScheduleDefinition
{
	const char *name;
	const char *schedule;
	const char *timezone; /* as the server spells it */
	const char *command;
	Datum args;		/* text[] */
	Datum settings; /* jsonb */
	const char *queue;
	int32 queue_id;
	Oid owner;
	Oid run_as;
	int64 retry_delay_ms;
	int64 timeout_ms;		/* 0 = none */
	int64 expires_after_ms; /* 0 = none */
	int32 max_attempts;		/* 0: by atomic */
	int32 priority;
	bool active;
	bool atomic;
	char overlap; /* s(kip), q(ueue), a(llow) */
	char missed;  /* s(kip), o(nce) */
};

/* A row that this transaction has locked, with its table open. */
struct HeldSchedule
{
	Relation relation;
	HeapTuple tuple; /* detoasted */
	ScheduleDefinition definition;
};

/* Is there a schedule of that name? *definition: what it is (foreign ones, too). Locks nothing. */
bool FindSchedule(const char *name, ScheduleDefinition *definition);
/*
 * Stores it, in place of the one of that name if there is one (same id, history kept). 42501: that one belongs
 * to somebody whose schedules the caller may not touch. Returns the id. The next due time is one after now,
 * unless text, zone and activity are as they were.
 */
int64 DefineSchedule(const ScheduleDefinition &definition);
/*
 * Locks the row; waits for others. 42704: there is none; 42501: the caller does not own it; 55000: it was
 * not adopted.
 */
HeldSchedule HoldSchedule(const char *name);
/* Writes the definition into the held row and lets the table go. */
void SaveSchedule(const HeldSchedule &held, const ScheduleDefinition &definition);
/*
 * Deletes it and cancels its tasks that are not running, also those that wait for a retry. False: another
 * session did so at the same time. Errors as HoldSchedule, but a foreign one may be deleted by who administers
 * the database.
 */
bool DropSchedule(const char *name);
/* Makes a task of it now; its due times and overlap know nothing of that one. Returns its id. */
int64 RunSchedule(const char *name);

/* --- firing: workers (schedule_fire.cpp) -------------------------------------------------------------------- */

/*
 * Makes the task of the due time that has come, notes those that were missed, and arms the next one. In a
 * transaction of the caller. A schedule that is gone, inactive, foreign or not due is passed over; one that is
 * locked by a transaction, too, and a rescan is marked.
 */
void FireSchedule(int64 id);

/*
 * A pause has ended at that time, of the queue or (-1) of the database: what was due before is not missed. For
 * the visit that stores the resume, in the same transaction as StorePause: until then memory knows it.
 */
void PassOverPause(int32 queue, TimestampTz resumed_at);

/* What a schedule's row makes: the task for that due time; -infinity: one that was asked for by hand. */
NewTask
TaskOfSchedule(Relation relation, HeapTuple tuple, TimestampTz scheduled_for, TimestampTz now);

} // namespace worker_pool
