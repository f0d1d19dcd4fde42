/*
 * deadlock_words.cpp
 *	  Tells a knot in words: the chain, a line a process, and the error. Runs in the process that gives up.
 */
#include "feature/deadlock.hpp"

#include "feature/wait_picture.hpp"

namespace worker_pool
{

/* Lines of a chain; the rest is counted. */
static constexpr int kMaxChainLines = 40;

/* Says which of its limits keeps a queued command, or a task that is ready, waiting. */
static void
AppendSet(StringInfo chain, const Picture &picture, const NodeNote &set)
{
	switch (set.place)
	{
		case Place::kDatabaseSlots:
			appendStringInfo(chain,
							 "its database has all %d workers that "
							 "worker_pool.max_workers_per_database allows.",
							 CountTaken(picture, set));
			break;
		case Place::kRoleSlots:
			appendStringInfo(chain,
							 "its role has all %d workers that "
							 "worker_pool.max_workers_per_role allows.",
							 CountTaken(picture, set));
			break;
		case Place::kTaskSlots:
			appendStringInfo(chain,
							 "tasks and services hold all %d slots that "
							 "worker_pool.reserved_workers leaves them.",
							 CountTaken(picture, set));
			break;
		case Place::kQueueTasks:
			appendStringInfo(chain, "it runs all %d tasks that it may.", CountTaken(picture, set));
			break;
		case Place::kPoolSlots:
		case Place::kProcess:
			appendStringInfo(chain, "all %d slots of the pool are taken.", picture.slot_count);
			break;
	}
}

/* What holds up the command or task that the waiter waits for. */
static void
AppendReason(StringInfo chain, const Picture &picture, int index, const bool *stuck)
{
	const WaitNode &node = picture.nodes[index];
	const WaiterSeen &waiter = picture.waiters[picture.notes[index].waiter];
	const int *const targets = picture.targets + node.first_target;

	switch (waiter.what)
	{
		case WaitsFor::kNothing:
			return;
		case WaitsFor::kWorker:
			appendStringInfo(chain, "run by process %d.", waiter.worker_pid);
			return;
		case WaitsFor::kHolder:
			appendStringInfo(
				chain, "whose concurrency key is held by task " INT64_FORMAT ", run by process %d.",
				waiter.holder, waiter.worker_pid);
			return;
		case WaitsFor::kQueue:
			appendStringInfoString(chain, "which waits for its queue; ");
			break;
		case WaitsFor::kSlot:
			appendStringInfoString(chain, waiter.command_id != 0 ? "which is queued; "
																 : "which is ready; ");
			break;
	}
	if (waiter.closer_pid != 0)
	{
		appendStringInfo(chain, "its database is closed by DDL of process %d.", waiter.closer_pid);
		return;
	}
	for (int i = 0; i < node.target_count; ++i)
	{
		if (stuck[targets[i]])
		{
			AppendSet(chain, picture, picture.notes[targets[i]]);
			break;
		}
	}
}

/* Whose lock a process waits for. */
static void
AppendLocks(StringInfo chain, const Picture &picture, const WaitNode &node, const bool *stuck)
{
	const int *const targets = picture.targets + node.first_target;
	const char *separator = "waits for a lock held by process ";

	for (int i = 0; i < node.target_count; ++i)
	{
		if (!stuck[targets[i]])
			continue;
		appendStringInfo(chain, "%s%d", separator, picture.nodes[targets[i]].pid);
		separator = ", process ";
	}
	appendStringInfoChar(chain, '.');
}

/* One line: whom or what a process of the knot waits for. */
static void
AppendEdge(StringInfo chain, const Picture &picture, int index, const bool *stuck)
{
	const WaitNode &node = picture.nodes[index];
	const NodeNote &note = picture.notes[index];

	if (chain->len > 0)
		appendStringInfoChar(chain, '\n');
	appendStringInfo(chain, "Process %d ", node.pid);
	if (note.slot != kNone && picture.slots[note.slot].command_id != 0)
		appendStringInfo(chain, "runs command " UINT64_FORMAT " and ",
						 picture.slots[note.slot].command_id);
	else if (note.slot != kNone && picture.slots[note.slot].task_id != 0)
		appendStringInfo(chain, "runs task " INT64_FORMAT " and ",
						 picture.slots[note.slot].task_id);
	if (note.waiter == kNone)
	{
		AppendLocks(chain, picture, node, stuck);
		return;
	}

	const WaiterSeen &waiter = picture.waiters[note.waiter];

	if (waiter.command_id != 0)
		appendStringInfo(chain, "waits for command " UINT64_FORMAT ", ", waiter.command_id);
	else
		appendStringInfo(chain, "waits for task " INT64_FORMAT ", ", waiter.task_id);
	AppendReason(chain, picture, index, stuck);
}

char *
DescribeKnot(const Picture &picture, const WaitScratch &scratch, MemoryContext context)
{
	MemoryContext const old_context = MemoryContextSwitchTo(context);
	StringInfoData chain;
	int lines = 0;

	initStringInfo(&chain);
	for (int i = 0; i < scratch.order_count; ++i)
	{
		if (picture.notes[scratch.order[i]].place != Place::kProcess)
			continue;
		if (++lines <= kMaxChainLines)
			AppendEdge(&chain, picture, scratch.order[i], scratch.stuck);
	}
	if (lines > kMaxChainLines)
		appendStringInfo(&chain, "\nAnd %d more processes.", lines - kMaxChainLines);
	MemoryContextSwitchTo(old_context);
	return chain.data;
}

/* Does this process wait for a task? */
static bool
WaitsForTask()
{
	LockScope lock(PoolLock(), LW_SHARED);

	return WaiterAt(compat::MyProcIndex()).task_id != 0;
}

void
RaiseDeadlock(const char *chain)
{
	if (WaitsForTask())
		ereport(ERROR,
				(errcode(ERRCODE_T_R_DEADLOCK_DETECTED),
				 errmsg("deadlock detected: this wait for a task of worker_pool can never end"),
				 errdetail_internal("%s", chain),
				 errhint("Tasks that wait for tasks need slots for all of them: let one depend on "
						 "the other (depends_on), or raise worker_pool.max_workers, or the limit "
						 "named above. A session that waits inside a statement keeps its locks: "
						 "commit first, and wait with CALL worker_pool.await_task(id).")));
	ereport(ERROR,
			(errcode(ERRCODE_T_R_DEADLOCK_DETECTED),
			 errmsg("deadlock detected: this wait for a command of worker_pool can never end"),
			 errdetail_internal("%s", chain),
			 errhint("Commands that wait for commands need slots for all of them: raise "
					 "worker_pool.max_workers, or the limit named above. A session that waits "
					 "inside a statement keeps its locks and its snapshot: commit first, and wait "
					 "with CALL worker_pool.await_worker(id).")));
	pg_unreachable();
}

} // namespace worker_pool
