/*
 * waiters.cpp
 *	  The array of waiters.hpp: one entry for each PGPROC that a living process can have.
 *
 * A session enters itself, under the pool lock, before it sleeps on a command's condition variable, and
 * leaves when its wait ends: normally, by an ERROR, or in its exit callback (feature/submit.hpp). An entry
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

} // namespace worker_pool
