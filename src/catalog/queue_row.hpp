/*
 * queue_row.hpp
 *	  Rows of worker_pool.queue. Queue 'default' has the id 0 and a row only once it was altered or paused; the
 *	  row with the name '' and id -1 stands for the whole database's pause.
 */
#pragma once

#include "catalog/tables.hpp"
#include "shmem/task_wake.hpp"

extern "C"
{
#include "utils/uuid.h"
}

namespace worker_pool
{

inline constexpr char kDefaultQueue[] = "default";
inline constexpr int32 kDefaultQueueId = 0;
inline constexpr int32 kWholeDatabase = -1;

struct FormQueue
{
	int32 id;
	int32 max_running; /* 0 = no limit */
	int32 priority;
	Oid owner;
	Oid paused_by;
	TimestampTz paused_at;
	pg_uuid_t installation;
	Oid database;
	bool paused;
};

/* The columns, by attribute number. */
enum QueueColumn : int
{
	kQueueId = 1,
	kQueueMaxRunning,
	kQueuePriority,
	kQueueOwner,
	kQueuePausedBy,
	kQueuePausedAt,
	kQueueInstallation,
	kQueueDatabase,
	kQueuePaused,
	kQueueName,
	kQueueOwnerName,
	kQueueReason,
	kQueueColumns = kQueueReason,
};

struct QueueInfo
{
	int32 id;
	int32 priority;
	int32 max_running;
	Oid owner;
	bool paused;
};

/* Who owns this database: the owner of its built-in queues. */
Oid DatabaseOwner();
/*
 * False: no such queue. 'default' is always there. Of a row that was not adopted the owner is InvalidOid: only
 * who may administer the database may touch it.
 */
bool FindQueue(const char *name, QueueInfo *info);
int32 InsertQueue(const char *name, int32 max_running, int32 priority, Oid owner);
/* Changes what is given (nullptr = unchanged). A changed priority re-ranks the waiting tasks. Arms the new limit. */
void UpdateQueue(int32 id, const char *name, const int32 *max_running, const int32 *priority);
/* False: tasks or schedules are in it (*users > 0). */
bool DeleteQueue(int32 id, const char *name, int64 *users);
/* Visit: writes a pause to the table (upsert). */
void StorePause(int32 id, const PauseNote &note);
/* At a load: tells memory the limits and pauses of all own rows. */
void LoadQueues();

} // namespace worker_pool
