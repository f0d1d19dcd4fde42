/*
 * lease.c
 *	  A background worker of the probe's own, in a slot of the pool.
 *
 *		probe_acquire_slot(name, timeout_ms, seconds, how)
 *				takes a slot, starts the worker, waits until that has attached, returns its pid; NULL: there was no slot.
 *				how = attach	the worker lives for so many seconds
 *					  die		and exits with 1 then
 *					  release	gives the slot back then, and lives for 60 s more
 *					  late		the slot is given back before the worker comes: it exits; -1
 *		probe_take_slot, probe_attach_slot, probe_release_slot
 *				each function of the interface, in this session
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "probe.h"

/* In bgw_extra. */
typedef struct LeaseOrder
{
	uint64 ticket;
	double seconds;
	char how; /* the first letter */
} LeaseOrder;

extern PGDLLEXPORT void probe_worker_main(Datum main_arg);

static void
live_for(double seconds)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), seconds * 1000);

	for (;;)
	{
		long left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until);

		if (left <= 0)
			return;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, left,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

void
probe_worker_main(Datum main_arg)
{
	const WorkerPoolApi *api = worker_pool_api();
	LeaseOrder order;

	memcpy(&order, MyBgworkerEntry->bgw_extra, sizeof(order));
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	if (api == NULL || !api->attach_slot(order.ticket))
		proc_exit(0);
	live_for(order.seconds);
	if (order.how == 'r')
	{
		api->release_slot(order.ticket);
		live_for(60);
	}
	proc_exit(order.how == 'd' ? 1 : 0);
}

/* Does the view show the process in its slot? */
static bool
has_attached(pid_t pid)
{
	Oid types[1] = {INT4OID};
	Datum values[1];
	bool found;

	values[0] = Int32GetDatum((int32) pid);
	SPI_connect();
	SPI_execute_with_args("SELECT FROM worker_pool.workers WHERE pid = $1 AND kind = 'lease'", 1,
						  types, values, NULL, false, 1);
	found = SPI_processed > 0;
	SPI_finish();
	return found;
}

/* Starts the worker; NULL: there is no room for it. */
static BackgroundWorkerHandle *
start(const LeaseOrder *order, const char *name)
{
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle = NULL;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS;
	worker.bgw_start_time = BgWorkerStart_ConsistentState;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	snprintf(worker.bgw_library_name, sizeof(worker.bgw_library_name), "probe");
	snprintf(worker.bgw_function_name, sizeof(worker.bgw_function_name), "probe_worker_main");
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "probe %s", name);
	snprintf(worker.bgw_type, sizeof(worker.bgw_type), "probe");
	memcpy(worker.bgw_extra, order, sizeof(*order));
	return RegisterDynamicBackgroundWorker(&worker, &handle) ? handle : NULL;
}

PG_FUNCTION_INFO_V1(probe_acquire_slot);
Datum
probe_acquire_slot(PG_FUNCTION_ARGS)
{
	const WorkerPoolApi *api = probe_api();
	char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char *how = text_to_cstring(PG_GETARG_TEXT_PP(3));
	LeaseOrder order;
	BackgroundWorkerHandle *handle;
	pid_t pid = 0;

	memset(&order, 0, sizeof(order));
	order.seconds = PG_GETARG_FLOAT8(2);
	order.how = how[0];
	order.ticket = api->acquire_slot(name, PG_GETARG_INT64(1));
	if (order.ticket == 0)
		PG_RETURN_NULL();
	if (order.how == 'l')
		api->release_slot(order.ticket);
	handle = start(&order, name);
	if (handle == NULL)
	{
		api->release_slot(order.ticket);
		elog(ERROR, "no room for another background worker");
	}
	if (order.how == 'l')
	{
		WaitForBackgroundWorkerShutdown(handle);
		PG_RETURN_INT32(-1);
	}
	if (WaitForBackgroundWorkerStartup(handle, &pid) != BGWH_STARTED)
	{
		api->release_slot(order.ticket);
		elog(ERROR, "the background worker did not start");
	}
	while (!has_attached(pid))
	{
		if (GetBackgroundWorkerPid(handle, &pid) != BGWH_STARTED)
			elog(ERROR, "the background worker is gone");
		CHECK_FOR_INTERRUPTS();
		pg_usleep(10000);
	}
	PG_RETURN_INT32((int32) pid);
}

PG_FUNCTION_INFO_V1(probe_take_slot);
Datum
probe_take_slot(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) probe_api()->acquire_slot(text_to_cstring(PG_GETARG_TEXT_PP(0)),
													  PG_GETARG_INT64(1)));
}

PG_FUNCTION_INFO_V1(probe_attach_slot);
Datum
probe_attach_slot(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(probe_api()->attach_slot((uint64) PG_GETARG_INT64(0)));
}

PG_FUNCTION_INFO_V1(probe_release_slot);
Datum
probe_release_slot(PG_FUNCTION_ARGS)
{
	probe_api()->release_slot((uint64) PG_GETARG_INT64(0));
	PG_RETURN_VOID();
}
