/*
 * waiters.cpp
 *	  The array of waiters.hpp: one entry for each PGPROC that a living process can have.
 *
 * A session enters itself, under the pool lock, before it sleeps on a command's condition variable or, for a
 * task, on its latch, and leaves when its wait ends: normally, by an ERROR, or in its exit callback
 * (feature/session.cpp). Those who wait for a task are counted, so that the end of a task costs one look at a
 * counter where nobody waits: the waiter counts itself before it looks at the row. An entry
 * is only ever written by its own process, so a process that finds itself in a knot has seen itself there.
 * After a crash of any process the server rebuilds shared memory, and nobody waits.
 */
#include "shmem/waiters.hpp"

namespace worker_pool
{

static_assert(std::is_standard_layout_v<Waiter> && std::is_trivially_copyable_v<Waiter>);

static Waiter *waiters = nullptr;

int
WaiterCount()
{
	return compat::MaxProcesses();
}

Size
WaiterMemorySize()
{
	return mul_size(WaiterCount(), sizeof(Waiter));
}

void
InitWaiters(char *memory, bool found)
{
	waiters = reinterpret_cast<Waiter *>(memory);
	if (!found)
		memset(waiters, 0, WaiterMemorySize());
}

Waiter &
WaiterAt(int proc_index)
{
	Assert(proc_index >= 0 && proc_index < WaiterCount());
	Assert(LWLockHeldByMe(PoolLock()));
	return waiters[proc_index];
}

/* This process's entry, from its first wait on. */
static Waiter *my_waiter = nullptr;

Waiter &
EnterWaiters(bool may_time_out, TimestampTz since)
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	LeaveWaiters();
	my_waiter = &WaiterAt(compat::MyProcIndex());
	my_waiter->may_time_out = may_time_out;
	my_waiter->command_id = 0;
	my_waiter->task_id = 0;
	my_waiter->database = InvalidOid;
	my_waiter->since = since;
	my_waiter->pid = MyProcPid;
	return *my_waiter;
}

void
LeaveWaiters()
{
	if (my_waiter == nullptr || my_waiter->pid == 0)
		return;
	my_waiter->pid = 0;
	if (my_waiter->task_id != 0)
		pg_atomic_fetch_sub_u32(&pool->task_waiters, 1);
}

} // namespace worker_pool
