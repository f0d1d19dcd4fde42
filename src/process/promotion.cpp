/*
 * promotion.cpp
 *	  The promotion worker: the pool's second static background worker. It starts at the end of recovery, tells
 *	  the launcher, and leaves for good.
 *
 * A launcher on a standby serves commands that only read, and its visits load nothing. At promotion the server
 * signals no background worker, and nobody here polls; but the postmaster starts what was registered for
 * BgWorkerStart_RecoveryFinished. So this process asks for what a launcher does after a start: that pg_database
 * is read again (databases came and went by replication), and that each database that was visited in recovery
 * is visited anew, which loads its tasks. Claims of the old primary are of another epoch, which is made with
 * shared memory, so they need nothing done to them.
 *
 * After a start as a primary it runs, too, and finds the launcher at the same work: what has not been visited
 * yet is wanted already, and no visit was made in recovery, so it costs one look at pg_database.
 *
 * It has a restart time although it is to run once: exit code 0 makes the postmaster forget it. With
 * BGW_NEVER_RESTART it would be forgotten already when a standby goes through a crash restart
 * (ResetBackgroundWorkerCrashTimes in bgworker.c), and a later promotion would go unnoticed. Should it fail,
 * it is started again after a second. Until it has run it has a place of max_worker_processes: on a standby the
 * pool has one less.
 */
#include "process/worker.hpp"

#include "pg/guard.hpp"
#include "shmem/databases.hpp"

extern "C"
{
	PGDLLEXPORT void worker_pool_promotion_main(Datum main_arg);
}

namespace worker_pool
{

static void
AnnouncePromotion()
{
	BackgroundWorkerUnblockSignals();
	{
		LockScope lock(PoolLock());

		AskForDiscovery();
	}
	WakeLauncher();
}

void
RegisterPromotionWorker()
{
	BackgroundWorker worker = {};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, kLibraryName, sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "worker_pool_promotion_main",
			sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "worker_pool promotion", sizeof(worker.bgw_name));
	strlcpy(worker.bgw_type, "worker_pool promotion", sizeof(worker.bgw_type));
	RegisterBackgroundWorker(&worker);
}

} // namespace worker_pool

void
worker_pool_promotion_main(Datum main_arg)
{
	(void) main_arg;
	worker_pool::EnterCpp([]() { worker_pool::AnnouncePromotion(); });
	proc_exit(0);
}
