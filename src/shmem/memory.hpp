/*
 * memory.hpp
 *	  Variable-sized shared memory: a DSA inside the main segment (the model is the statistics' one in
 *	  PostgreSQL 15). It never grows into DSM segments: worker_pool.shared_memory is the whole of it.
 *
 * Never called with the pool lock held. A chunk remembers its size, so `bytes_used` is exact.
 */
#pragma once

#include "shmem/root.hpp"

namespace worker_pool
{

Size DsaMemorySize();
void InitMemory(char *memory, bool found);

/* InvalidDsaPointer when memory is short; never raises for that. */
dsa_pointer AllocateShared(Size size);
/*
 * The same, but pushes old outcomes out to make room (Fate::kEvictedMemory) unless the chunk is larger than
 * an eighth of the whole, and raises 53200 naming
 * worker_pool.shared_memory when even that does not help.
 */
dsa_pointer AllocateSharedOrRaise(Size size);
/* Like AllocateSharedOrRaise, but returns InvalidDsaPointer instead of raising. */
dsa_pointer AllocateSharedEvicting(Size size);
void FreeShared(dsa_pointer pointer);
/* The address of a chunk in this process. Safe under the pool lock once AttachMemory() was called. */
char *SharedAddress(dsa_pointer pointer);
/* The size that was asked for. */
Size SharedSize(dsa_pointer pointer);
/* Maps the DSA into this process; done by the allocating functions by themselves. */
void AttachMemory();

} // namespace worker_pool
