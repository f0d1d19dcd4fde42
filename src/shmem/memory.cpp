/*
 * memory.cpp
 *	  The DSA inside the main segment. See memory.hpp.
 *
 * The area is created by the postmaster, pinned (it lives as long as the segment does) and limited to its
 * own size, so that it can never ask for a DSM segment. Each process attaches at its first use and stays
 * attached. Nothing here is called with the pool lock held, but SharedAddress(), which only computes.
 */
#include "shmem/memory.hpp"

#include "config/settings.hpp"
#include "shmem/commands.hpp"

namespace worker_pool
{

static char *area_place = nullptr;
static dsa_area *area = nullptr;

/* In front of every chunk. */
struct ChunkHeader
{
	uint64 size;
};

/* The largest size that the DSA serves from a size class (dsa_size_classes). */
static constexpr Size kLargestSmallChunk = 8192;

Size
DsaMemorySize()
{
	return MAXALIGN(mul_size(settings::shared_memory_kb, 1024));
}

void
InitMemory(char *memory, bool found)
{
	area_place = memory;
	if (found)
		return;

	dsa_area *created = dsa_create_in_place(area_place, DsaMemorySize(), PoolTranche(), nullptr);

	dsa_pin(created);
	dsa_set_size_limit(created, DsaMemorySize());
	/* the postmaster itself never uses it */
	dsa_detach(created);
}

void
AttachMemory()
{
	if (likely(area != nullptr))
		return;

	MemoryContext const old_context = MemoryContextSwitchTo(TopMemoryContext);

	area = dsa_attach_in_place(area_place, nullptr);
	dsa_pin_mapping(area);
	MemoryContextSwitchTo(old_context);
}

dsa_pointer
AllocateShared(Size size)
{
	AttachMemory();
	if (size > DsaMemorySize())
		return InvalidDsaPointer;

	const Size whole = size + sizeof(ChunkHeader);
	dsa_pointer pointer = dsa_allocate_extended(area, whole, DSA_ALLOC_NO_OOM | DSA_ALLOC_HUGE);

	/*
	 * Small chunks come from superblocks of 64 kB, one kind for each size class, which keep what they once
	 * took; a chunk of more than 8 kB takes pages as they are. When the one fails the other may not.
	 */
	if (!DsaPointerIsValid(pointer) && whole <= kLargestSmallChunk)
		pointer = dsa_allocate_extended(area, kLargestSmallChunk + 1, DSA_ALLOC_NO_OOM);

	if (!DsaPointerIsValid(pointer))
		return InvalidDsaPointer;
	static_cast<ChunkHeader *>(dsa_get_address(area, pointer))->size = size;
	pg_atomic_fetch_add_u64(&pool->bytes_used, static_cast<int64>(size));
	return pointer;
}

dsa_pointer
AllocateSharedEvicting(Size size)
{
	/* nobody's outcomes are pushed out for something that might not fit even then */
	const bool may_evict = size <= DsaMemorySize() / 8;

	for (;;)
	{
		const dsa_pointer pointer = AllocateShared(size);

		if (DsaPointerIsValid(pointer) || !may_evict)
			return pointer;

		Leftovers evicted = {};
		bool evicted_one = false;

		HOLD_INTERRUPTS();
		{
			LockScope lock(PoolLock());

			evicted_one = EvictOneOutcome(Fate::kEvictedMemory, &evicted);
		}
		FreeLeftovers(evicted);
		RESUME_INTERRUPTS();
		if (!evicted_one)
			return InvalidDsaPointer;
	}
}

dsa_pointer
AllocateSharedOrRaise(Size size)
{
	const dsa_pointer pointer = AllocateSharedEvicting(size);

	if (!DsaPointerIsValid(pointer))
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of shared memory of worker_pool"),
				 errdetail("A command with its arguments needs %zu bytes in one piece; %zu of %zu kB "
						   "are in use.",
						   size, static_cast<Size>(pg_atomic_read_u64(&pool->bytes_used) / 1024),
						   DsaMemorySize() / 1024),
				 errhint("Fetch results that wait to be read, send smaller texts, or increase "
						 "\"worker_pool.shared_memory\".")));
	return pointer;
}

void
FreeShared(dsa_pointer pointer)
{
	if (!DsaPointerIsValid(pointer))
		return;
	AttachMemory();
	pg_atomic_fetch_sub_u64(&pool->bytes_used, static_cast<int64>(SharedSize(pointer)));
	dsa_free(area, pointer);
}

char *
SharedAddress(dsa_pointer pointer)
{
	Assert(area != nullptr);
	return static_cast<char *>(dsa_get_address(area, pointer)) + sizeof(ChunkHeader);
}

Size
SharedSize(dsa_pointer pointer)
{
	return static_cast<ChunkHeader *>(dsa_get_address(area, pointer))->size;
}

} // namespace worker_pool
