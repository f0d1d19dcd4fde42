/*
 * waiters.hpp
 *	  Who waits for which command: the edges that the wait graph (feature/deadlock.hpp) needs.
 *
 * One entry a PGPROC, written by that process under the pool lock; shown to others under the lock. A process
 * waits for one thing at a time: a command (feature/session.hpp) or a task (task_wake.hpp).
 */
#pragma once

#include "shmem/root.hpp"

namespace worker_pool
{

struct Waiter
{
	pid_t pid;		   /* 0 = not waiting */
	bool may_time_out; /* the wait has a limit: it ends by itself and is never stuck */
	uint64 command_id; /* 0: it waits for a task */
	int64 task_id;	   /* with the database it belongs to; 0: it waits for a command */
	Oid database;
	TimestampTz since;
};

Size WaiterMemorySize();
void InitWaiters(char *memory, bool found);
int WaiterCount();
Waiter &WaiterAt(int proc_index);

/*
 * Pool lock held exclusively: this process waits from now on. The caller fills in for what, and leaves in any
 * case, also when it dies: see PrepareSession().
 */
Waiter &EnterWaiters(bool may_time_out, TimestampTz since);
/*
 * It waits no more. Needs no lock: others only ask whether pid is set, a word that is written whole, and
 * only this process sets it again. Never raises.
 */
void LeaveWaiters();

} // namespace worker_pool
