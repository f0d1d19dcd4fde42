/*
 * service_runner.hpp
 *	  A worker process whose slot is of kind kService: what the worker's loop calls, and what the C interface is
 *	  made of. Its protocol stands at the head of service_runner.cpp.
 */
#pragma once

#include "process/worker_command.hpp"
#include "shmem/service_table.hpp"

namespace worker_pool
{

/*
 * Before the process connects, the slot being attached: finds the entry, loads the entry point. False: it is to run without
 * a database. What it raises is the reason why the process could not start.
 */
bool PrepareService();
/*
 * Connected (or not to be), started: runs cycles until it is to leave; ends the process. Called again from the top after
 * RecoverService.
 */
[[noreturn]] void ServeService();
/* Is an ERROR that comes now one of a service's process? Then the recovery block of worker.cpp calls this. */
bool InServiceWork();
/* The error on elog's stack, interrupts held; ServeService goes on. */
void RecoverService();
/*
 * Exit callback, pool lock held, before FreeSlot, of a process that did start or was told to go: tells the entry that it
 * is gone (ServiceGone). Never raises.
 */
void LeaveService(const BriefError *reason, TimestampTz now);
/* After it, without the lock: wakes who waits for the service. Never raises. */
void LeftService();
/* Is a command or cycle of a service running (ExplainCancel)? */
bool ServiceIsRunning();

/* --- for the C interface and current_service_config() -------------------------------------------------------------- */

/* should_stop(). Cheap, never raises; false in any other process. */
bool ServiceIsToStop();
/*
 * What sleep() does before it waits and after each wake, in a transaction or outside: serves interrupts, keeps the
 * statistics (before a sleep of that many ms; -1 without limit; 0 after one), sees whether the roles still may.
 * True: the configuration was read again.
 */
bool TendService(int64 sleep_ms);
/* Changes with what config() returns: to be compared with entry_point_state.reload_seen. Never raises. */
uint64 ServiceConfigVersion();
/*
 * The config as json text in CurrentMemoryContext: as of this cycle; of a main as it is now. nullptr in any other
 * process.
 */
char *ServiceConfig();
/* main has done a round; without effect in a cycle. */
void ServiceRoundDone();

} // namespace worker_pool
