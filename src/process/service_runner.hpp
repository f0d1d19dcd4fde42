/*
 * service_runner.hpp
 *	  A worker process whose slot is of kind kService: what the worker's loop calls. Its protocol stands at the head of
 *	  service_runner.cpp.
 */
#pragma once

#include "process/worker_command.hpp"
#include "shmem/service_table.hpp"

namespace worker_pool
{

/*
 * Before the process connects, the slot being attached: finds the entry, loads the entry point. False: it is to run without
 * a database.
 */
bool PrepareService();
/* Connected (or not to be), started: runs cycles until it is to leave; ends the process. */
[[noreturn]] void ServeService();
/* Is an ERROR that comes now one of a service's process? Then the recovery block of worker.cpp calls this. */
bool InServiceWork();
/* The error on elog's stack, interrupts held; ServeService goes on. */
void RecoverService();
/* Exit callback, pool lock held, before FreeSlot: tells the entry that the process is gone (ServiceGone). Never raises. */
void LeaveService(const BriefError *reason, TimestampTz now);
/* After it, without the lock: wakes who waits for the service. */
void LeftService();
/* Is a command or cycle of a service running (ExplainCancel)? */
bool ServiceIsRunning();

} // namespace worker_pool
