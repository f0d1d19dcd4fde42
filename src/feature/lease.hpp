/*
 * lease.hpp
 *	  Slots of the pool's budget for background workers of other extensions: taken here, attached to there. The head of
 *	  lease.cpp has the protocol.
 */
#pragma once

#include "shmem/slots.hpp"

namespace worker_pool
{

/*
 * Takes a slot and returns its ticket; 0 when there was none within timeout_ms (0: not at all, -1: no limit), or
 * worker_pool.enabled is off. 22023 (name), 55000 (no pool). May be interrupted; nothing is held then.
 */
uint64 AcquireLease(const char *name, int64 timeout_ms);
/* The slot is this process's from now on. False: the ticket is no longer good. Never raises. */
bool AttachToLease(uint64 ticket);
/* Gives the slot back, if it is this process's; else nothing. Never raises. */
void ReleaseLease(uint64 ticket);

} // namespace worker_pool
