/*
 * deadlock.hpp
 *	  Waits that can never end: a waiter asks after deadlock_timeout whether it is part of a knot.
 */
#pragma once

#include "shmem/waiters.hpp"

namespace worker_pool
{

/*
 * Looks at all waits of the cluster once. Returns true when this process is in a knot in which nobody can
 * ever move and it is the one to give up; *chain (palloc'd) then tells the chain in words, a line an edge.
 * The caller raises 40P01 when two calls in a row, deadlock_timeout apart, said true.
 */
bool FindDeadlock(char **chain);

/* Raises 40P01 with the chain as DETAIL and a hint. */
[[noreturn]] void RaiseDeadlock(const char *chain);

} // namespace worker_pool
