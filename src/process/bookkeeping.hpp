/*
 * bookkeeping.hpp
 *	  Transactions of the worker's own, in which it claims and marks tasks. Worker process only.
 *
 * Whatever a command or its role has set must not touch them: they are read committed, read-write, of the
 * worker's own role, wait for locks without limit, and no cancel that was meant for a task ends them. How far
 * their commit waits is said by the caller.
 *
 *		BeginBookkeeping(...); ...; EndBookkeeping();		ERROR: AbandonBookkeeping, then roll back
 *
 * Inside a task's own transaction only the mark is ours: EnterMark(); ...; LeaveMark();
 */
#pragma once

#include "pg/prelude.hpp"

namespace worker_pool
{

/* How far the commit waits. */
enum class Durability : uint8
{
	kLazy,	  /* not at all: what is lost by a crash is done again */
	kAsRole,  /* as synchronous_commit says in this session */
	kFlushed, /* as it says, but at least until the WAL is on this server's disk */
};

/* Outside a transaction. Starts one; MessageContext is current afterwards. */
void BeginBookkeeping(Durability durability);
/* Commits it; MessageContext is current afterwards. */
void EndBookkeeping();

/* Inside a task's transaction: the mark waits for row locks of ours without limit. */
void EnterMark();
void LeaveMark();

/*
 * Recovery block, before anything is rolled back: puts back what was pinned. The order matters: a SET LOCAL of
 * the task is undone by the rollback, on top of the value that stood before the mark. Twice does no harm.
 */
void AbandonBookkeeping();

} // namespace worker_pool
