/*
 * raw_bgworker.c
 *	  The least that a command in a new process can cost: registers a dynamic background worker, which connects to
 *	  the caller's database as the caller, runs "select 1" through SPI, commits, sets a mark in shared memory and the
 *	  caller's latch, and ends. The caller waits for the mark, not for the end of the process, as the pool's callers
 *	  do. Nothing is checked, nothing is cleaned up after a failure: a yardstick, for one caller at a time.
 *
 *	  Has to be preloaded, because of its shared memory.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_MODULE_MAGIC;

typedef struct Mark
{
	Latch *caller;
	Oid database;
	Oid role;
	uint32 done; /* number of the last call that is done */
} Mark;

static Mark *mark = NULL;

#if PG_VERSION_NUM >= 150000
static shmem_request_hook_type previous_request = NULL;
#endif
static shmem_startup_hook_type previous_startup = NULL;

void _PG_init(void);
PGDLLEXPORT void raw_bgworker_main(Datum argument);

static void
request_memory(void)
{
#if PG_VERSION_NUM >= 150000
	if (previous_request)
		previous_request();
#endif
	RequestAddinShmemSpace(MAXALIGN(sizeof(Mark)));
}

static void
attach_memory(void)
{
	bool found;

	if (previous_startup)
		previous_startup();
	mark = ShmemInitStruct("raw_bgworker", sizeof(Mark), &found);
	if (!found)
		memset(mark, 0, sizeof(Mark));
}

void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
#if PG_VERSION_NUM >= 150000
	previous_request = shmem_request_hook;
	shmem_request_hook = request_memory;
#else
	request_memory();
#endif
	previous_startup = shmem_startup_hook;
	shmem_startup_hook = attach_memory;
}

/* The worker. */
void
raw_bgworker_main(Datum argument)
{
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(mark->database, mark->role, 0);

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, "select 1");
	if (SPI_execute("select 1", false, 0) != SPI_OK_SELECT)
		elog(FATAL, "select 1 failed");
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();

	mark->done = DatumGetUInt32(argument);
	pg_memory_barrier();
	SetLatch(mark->caller);
}

PG_FUNCTION_INFO_V1(raw_bgworker);

/* Starts the worker and returns once it is done; an ERROR after 10 seconds. */
Datum
raw_bgworker(PG_FUNCTION_ARGS)
{
	static uint32 calls = 0;
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;
	TimestampTz start = GetCurrentTimestamp();

	if (mark == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("raw_bgworker is not in shared_preload_libraries")));

	calls++;
	mark->caller = MyLatch;
	mark->database = MyDatabaseId;
	mark->role = GetUserId();
	mark->done = 0;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_ConsistentState;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "raw_bgworker", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "raw_bgworker_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "raw_bgworker", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "raw_bgworker", BGW_MAXLEN);
	worker.bgw_main_arg = UInt32GetDatum(calls);

	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("no background worker slot is free")));

	while (*(volatile uint32 *) &mark->done != calls)
	{
		WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 1000,
				  PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (TimestampDifferenceExceeds(start, GetCurrentTimestamp(), 10000))
			elog(ERROR, "the worker did not answer");
	}
	PG_RETURN_VOID();
}
