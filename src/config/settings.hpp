/*
 * settings.hpp
 *	  Every setting of worker_pool, its unit in its name. Defined once, in DefineSettings().
 */
#pragma once

#include "pg/prelude.hpp"

namespace worker_pool::settings
{

/* postmaster: fixed at server start, they size shared memory */
extern int max_workers;			/* slots */
extern int max_databases;		/* rows of the database table */
extern int max_queued_commands; /* commands that wait for a worker */
extern int keep_outcomes;		/* finished commands whose outcome nobody fetched yet */
extern int shared_memory_kb;	/* texts, arguments, small results, errors */

/* reload */
extern bool enabled;
extern int reserved_workers;
extern int max_workers_per_database; /* 0 = no limit */
extern bool allow_cross_database;
extern int idle_timeout_ms;
extern int start_timeout_ms;
extern int fairness_interval_ms;
extern int default_timeout_ms; /* 0 = none */
extern int max_result_size_kb;
/* services: how long the next start waits after a failure, doubling; and what counts as healthy again */
extern int restart_backoff_initial_ms;
extern int restart_backoff_max_ms; /* below the initial one: the delay each time */
extern int restart_backoff_reset_ms;
extern char *timezone;	   /* of schedules that name none; resolved and stored at creation */
extern int missed_grace_s; /* how late a missed due time may still run */
extern int history_mode;   /* HistoryMode */
extern int history_retention_s;
extern int history_retention_failed_s;
extern bool notify; /* NOTIFY worker_pool at the end of each task */

/* What is kept of finished tasks; the letters stand in worker_pool.task.history. */
enum HistoryMode : int
{
	kHistoryAll = 'a',
	kHistoryErrors = 'e',
	kHistoryOff = 'o',
};

/* by ALTER ROLE ... SET, superuser only */
extern int max_workers_per_role; /* 0 = no limit */
extern int
	max_tasks_per_role; /* unfinished tasks that run as the role in one database; 0 = no limit */

/* Defines all of them; called from _PG_init while shared_preload_libraries is processed. */
void DefineSettings();

/*
 * The value that ALTER ROLE ... SET gave the role for worker_pool.max_workers_per_role, read from
 * pg_db_role_setting (0 = no limit). Needs a transaction.
 */
int WorkerLimitOfRole(Oid role);
/* The same for worker_pool.max_tasks_per_role. */
int TaskLimitOfRole(Oid role);

} // namespace worker_pool::settings
