/*
 * task_row.hpp
 *	  Rows of worker_pool.task as C++ sees them. The struct and the column list of worker_pool--1.0.sql are the
 *	  same; a static_assert and a test (pgTAP) hold that.
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

/* The fixed-width front of a row: GETSTRUCT(tuple). */
struct FormTask
{
	int64 id;
	int64 rank; /* RankOf(queue's priority, priority): smaller first */
	/* when it may run: run_at, or the time of its retry; infinity while waits_for > 0 */
	TimestampTz due;
	TimestampTz run_at;
	TimestampTz enqueued_at;
	TimestampTz expires_at;	   /* infinity: never */
	TimestampTz claimed_at;	   /* of the claim; -infinity: none */
	TimestampTz scheduled_for; /* of a schedule's task: its due time; -infinity: none */
	int64 retry_delay_ms;
	int64 timeout_ms;  /* 0 = none */
	int64 claim_epoch; /* 0 = not claimed */
	int64 claim_generation;
	/* epoch in which it was enqueued, or last claimed alone: another one after a crash means careful mode */
	int64 trusted_epoch;
	int64 schedule_id; /* 0 = none */
	pg_uuid_t installation;
	Oid database;
	Oid owner; /* GetUserId() of the caller */
	Oid run_as;
	int32 claim_slot; /* -1 = none */
	int32 attempt;	  /* attempts made (counted) */
	int32 max_attempts;
	int32 priority;
	int32 queue_id;	 /* 0 = default */
	int32 waits_for; /* dependencies that have not ended */
	bool atomic;
	bool counted; /* the claim has counted its attempt already: careful, or not atomic */
	bool keyed;	  /* a row in task_key is ours (not begun, key is set) */
	char history; /* a(ll), e(rrors), o(ff) */
};

/* Columns by attribute number: the one of the front that is passed by reference, and those behind it. */
enum TaskColumn : int
{
	kTaskInstallation = 15,
	kTaskCommand = 29,
	kTaskArgs,
	kTaskSettings,
	kTaskQueue,
	kTaskRunAsName,
	kTaskOwnerName,
	kTaskName,
	kTaskKeyText,
	kTaskConcurrencyKey,
	kTaskLastSqlstate,
	kTaskLastError,
	kTaskColumns = kTaskLastError,
};

inline FormTask *
FormOf(HeapTuple tuple)
{
	return reinterpret_cast<FormTask *>(GETSTRUCT(tuple));
}

/* What is to be stored; texts palloc'd, nullptr = NULL. Used by enqueue, schedules and retry_task. */
struct NewTask
{
	FormTask form; /* id, rank, due, identity, claim are filled by InsertTask */
	const char *command;
	Datum args;		/* text[] */
	Datum settings; /* jsonb */
	const char *queue;
	const char *run_as_name;
	const char *owner_name;
	const char *name;
	const char *key;
	const char *concurrency_key;
	int32 queue_priority;
};

/*
 * Smaller first: queue's priority before task's priority. Above INT64_MIN, which is a schedule's rank; never
 * overflows.
 */
constexpr int64
RankOf(int32 queue_priority, int32 priority)
{
	const int64 of_queue = queue_priority == PG_INT32_MIN ? PG_INT32_MIN + 1 : queue_priority;

	return -(of_queue * INT64CONST(4294967296) + priority);
}

/* Of an owner's concurrency key: those of different owners have nothing to do with each other. Never 0. */
uint64 HashOfKey(Oid owner, const char *key);

/* What the ready queue is to know of a row. */
ItemSpec SpecOf(Relation task, HeapTuple tuple);

/*
 * ArmLockedItem for a row that this transaction holds. Not for a version that this very transaction made: what
 * made it has armed it, and at an abort there must be no item of a row that never was.
 */
void ArmLockedRow(Relation task, HeapTuple tuple);


/* Are these the same task under the same claim? */
bool IsSameClaim(const FormTask &one, const FormTask &other);
/* Takes the claim out of a row that is to be written; nothing is said about the attempt. */
void ClearClaim(FormTask *form);

} // namespace worker_pool
