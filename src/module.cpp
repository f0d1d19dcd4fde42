/*
 * module.cpp
 *	  The module's magic block and _PG_init: settings, shared memory, static workers, hooks, the C interface.
 *
 * Loaded by shared_preload_libraries it makes the pool. Loaded later (CREATE EXTENSION on a server without
 * the preload, LOAD), in single-user mode or in binary upgrade it registers nothing; the verbs then say
 * what is missing (RequirePool).
 */
#include "api/api.hpp"
#include "config/settings.hpp"
#include "process/worker.hpp"
#include "shmem/task_wake.hpp"

extern "C"
{
	PG_MODULE_MAGIC;

	PGDLLEXPORT void _PG_init(void);
}

namespace worker_pool
{

/*
 * The server has other users of max_worker_processes: say at start when ours cannot fit. The promotion worker is
 * not counted: it is gone as soon as the server is up.
 */
static void
WarnWhenTooSmall()
{
	if (settings::max_workers + 1 <= max_worker_processes || IsUnderPostmaster)
		return;
	ereport(WARNING,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("worker_pool.max_workers (%d) does not fit in max_worker_processes (%d)",
					settings::max_workers, max_worker_processes),
			 errdetail("The pool needs %d background worker processes, one of them for its launcher.",
					   settings::max_workers + 1),
			 errhint("Increase \"max_worker_processes\" or decrease \"worker_pool.max_workers\".")));
}

} // namespace worker_pool

void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade ||
		!IsPostmasterEnvironment)
		return;

	worker_pool::settings::DefineSettings();
	worker_pool::WarnWhenTooSmall();
	worker_pool::RequestSharedMemory();
	worker_pool::RegisterLauncher();
	worker_pool::RegisterPromotionWorker();
	worker_pool::InstallDdlHooks();
	worker_pool::InstallTaskWake();
	worker_pool::InstallLogHook();
	worker_pool::PublishApi();
}
