/*
 * root.cpp
 *	  Requests, lays out and initialises the shared memory of worker_pool.
 *
 * Runs in the postmaster at start (and again after a crash restart), and once in every process of an
 * EXEC_BACKEND build, which attaches to what is there. The parts follow one another in a single
 * allocation; each part's own file knows its size and how to make it.
 *
 * Where nothing was requested (library not preloaded, single-user mode, binary upgrade) `pool` stays
 * null, and RequirePool() tells the user what to do.
 */
#include "shmem/root.hpp"

#include "config/settings.hpp"
#include "shmem/commands.hpp"
#include "shmem/databases.hpp"
#include "shmem/memory.hpp"
#include "shmem/ready.hpp"
#include "shmem/service_table.hpp"
#include "shmem/slots.hpp"
#include "shmem/waiters.hpp"

extern "C"
{
#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
}

namespace worker_pool
{

PoolRoot *pool = nullptr;

static shmem_startup_hook_type previous_startup_hook = nullptr;
#ifdef WP_HAVE_SHMEM_REQUEST_HOOK
static shmem_request_hook_type previous_request_hook = nullptr;
#endif

static const char kShmemName[] = "worker_pool";

/* One part of the allocation. */
struct Part
{
	Size (*size)();
	void (*init)(char *memory, bool found);
};

static const Part kParts[] = {
	{SlotMemorySize, InitSlots},		 {PairMemorySize, InitPairs},
	{CommandMemorySize, InitCommands},	 {WaiterMemorySize, InitWaiters},
	{DatabaseMemorySize, InitDatabases}, {ServiceMemorySize, InitServices},
	{ReadyMemorySize, InitReady},		 {DsaMemorySize, InitMemory},
};

static Size
TotalSize()
{
	Size size = CACHELINEALIGN(sizeof(PoolRoot));

	for (const Part &part : kParts)
		size = add_size(size, CACHELINEALIGN(part.size()));
	return size;
}

/*
 * Was the server not shut down cleanly as a primary? Then tasks that were unfinished may have been the cause.
 * The control file tells it until the startup process has begun; after a crash of a backend it says "in
 * production". A standby's tasks come from its primary, which may have crashed over them. The current folder
 * is the data directory.
 */
static bool
IsAfterCrash()
{
	bool crc_ok = false;
	ControlFileData *control = get_controlfile(DataDir, &crc_ok);
	const bool clean =
		crc_ok && control->state == DB_SHUTDOWNED && access(STANDBY_SIGNAL_FILE, F_OK) != 0;

	pfree(control);
	return !clean;
}

/* Fills the root of a fresh allocation. The lists must be there before the parts put nodes on them. */
static void
InitRoot(PoolRoot *root)
{
	memset(root, 0, sizeof(*root));
	LWLockPadded *const locks = GetNamedLWLockTranche(kShmemName);

	root->lock = &locks[0].lock;
	root->task_lock = &locks[1].lock;
	/* 0 stands for "no claim" in the rows */
	if (!pg_strong_random(&root->epoch, sizeof(root->epoch)) || root->epoch == 0)
		root->epoch = static_cast<uint64>(GetCurrentTimestamp());
	root->started_at = GetCurrentTimestamp();
	root->careful = IsAfterCrash();
	root->launcher_proc = kNone;
	root->launcher_wake_at = DT_NOEND;

	/* 2025-01-01 in PostgreSQL's count of microseconds since 2000-01-01 */
	constexpr TimestampTz kIdOrigin = INT64CONST(9132) * USECS_PER_DAY;

	root->first_command_id =
		static_cast<uint64>(std::max<TimestampTz>(root->started_at - kIdOrigin, 1000)) + 1;
	root->next_command_id = root->first_command_id;
	root->next_finish_number = 1;

	dlist_init(&root->free_slots);
	dlist_init(&root->running_slots);
	dlist_init(&root->free_commands);
	dlist_init(&root->finished_commands);
	dlist_init(&root->free_pairs);
	dlist_init(&root->used_pairs);
	ConditionVariableInit(&root->slot_freed);
	ConditionVariableInit(&root->task_ended);
	ConditionVariableInit(&root->pause_stored);
	ConditionVariableInit(&root->service_changed);
	pg_atomic_init_u32(&root->drain_waiters, 0);
	pg_atomic_init_u32(&root->task_waiters, 0);
	pg_atomic_init_u32(&root->service_waiters, 0);
	pg_atomic_init_u64(&root->authority_changes, 0);
	pg_atomic_init_u64(&root->setting_changes, 0);
	pg_atomic_init_u64(&root->bytes_used, 0);
}

static void
RequestMemory()
{
#ifdef WP_HAVE_SHMEM_REQUEST_HOOK
	if (previous_request_hook)
		previous_request_hook();
#endif
	RequestAddinShmemSpace(TotalSize());
	/* one lock for the pool, one for the ready queue; the DSA's own locks share the tranche */
	RequestNamedLWLockTranche(kShmemName, 2);
}

static void
StartUp()
{
	if (previous_startup_hook)
		previous_startup_hook();

	bool found = false;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	auto *root = static_cast<PoolRoot *>(ShmemInitStruct(kShmemName, TotalSize(), &found));

	pool = root;
	if (!found)
		InitRoot(root);

	char *memory = reinterpret_cast<char *>(root) + CACHELINEALIGN(sizeof(PoolRoot));

	for (const Part &part : kParts)
	{
		part.init(memory, found);
		memory += CACHELINEALIGN(part.size());
	}
#ifdef WORKER_POOL_FAULTS
	AttachFaults(&root->faults, found);
#endif
	LWLockRelease(AddinShmemInitLock);
}

void
RequestSharedMemory()
{
#ifdef WP_HAVE_SHMEM_REQUEST_HOOK
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = RequestMemory;
#else
	RequestMemory();
#endif
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = StartUp;
}

int
PoolTranche()
{
	return pool->lock->tranche;
}

void
RequirePool()
{
	if (pool != nullptr)
		return;
	if (!IsPostmasterEnvironment)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("worker_pool is not available in single-user mode")));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("worker_pool is not loaded by this server"),
			 errdetail("The pool's shared memory and launcher are made at server start."),
			 errhint("Add worker_pool to \"shared_preload_libraries\" in postgresql.conf and "
					 "restart the server.")));
}

void
WakeLauncher()
{
	compat::SetLatchOf(pool->launcher_proc);
}

} // namespace worker_pool
