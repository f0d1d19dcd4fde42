/*
 * worker.hpp
 *	  Entry points and identity of the processes of the pool.
 */
#pragma once

#include "shmem/slots.hpp"

namespace worker_pool
{

/* What the launcher passes to a worker in bgw_extra. */
struct WorkerTicket
{
	int32 slot;
	SlotKind kind;
	uint64 generation;
	uint64 epoch;
};
static_assert(sizeof(WorkerTicket) <= BGW_EXTRALEN);

inline constexpr char kLibraryName[] = "worker_pool";
inline constexpr char kWorkerFunction[] = "worker_pool_worker_main";
inline constexpr char kLauncherFunction[] = "worker_pool_launcher_main";

/* Registers the launcher; _PG_init. */
void RegisterLauncher();
/* Registers the worker that tells the launcher of the end of recovery (promotion.cpp); _PG_init. */
void RegisterPromotionWorker();

/* Installs ProcessUtility_hook and the transaction callbacks for database and role DDL; _PG_init. */
void InstallDdlHooks();
/* Installs emit_log_hook, which catches why a worker could not start; _PG_init. */
void InstallLogHook();

/* In a worker: its slot; kNone in any other process. */
extern int my_slot;

/* Body of a visit (visit.cpp): looks for the extension in this database, and does what its rows want. */
void RunVisit();

} // namespace worker_pool
