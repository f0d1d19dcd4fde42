/*
 * task_runner.hpp
 *	  Durable work in a worker: what the worker's loop calls. Worker process only.
 */
#pragma once

#include "process/worker_command.hpp"

namespace worker_pool
{

/* Worker, once, connected. */
void InitTasks();

/* --- idle ------------------------------------------------------------------------------------------------ */

/* idle -> running for tasks, where there are any that this worker may take now. */
bool StartTaskWork();
/* In how many ms the idle worker is to look again by itself; -1: never. */
long TaskWaitMs();
/* After trouble with the tables: the process takes no more tasks, and leaves when its rest is over. */
bool IsResting();
bool IsRestOver();

/* --- running, kind kTask ----------------------------------------------------------------------------------- */

/*
 * One step: takes a batch, or does what is to be done about the next task of it, or goes on after an ERROR.
 * Afterwards the slot runs for tasks still, runs a command, or is idle.
 */
void TaskStep();
/* Is an ERROR that comes now one of durable work? */
bool InTaskWork();
/* Recovery block of that, the error being on elog's stack and interrupts held; TaskStep goes on. */
void RecoverTask();
/* Are a task's own statements running? */
bool TaskIsRunning();

/*
 * Exit callback, no lock held: gives back all items of the slot; `reason` as EndReason() of the worker. Never
 * raises.
 */
void GiveTasksBack(uint64 generation, const BriefError *reason);

} // namespace worker_pool
