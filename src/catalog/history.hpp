/*
 * history.hpp
 *	  Rows of worker_pool.history: one an attempt, is_final marks a task's last. Written with the transaction
 *	  that ends the attempt, never changed, deleted by the purge.
 */
#pragma once

#include "catalog/task_store.hpp"

namespace worker_pool
{

/* The fixed-width front of a row: GETSTRUCT(tuple). */
struct FormHistory
{
	int64 task_id;
	TimestampTz started_at; /* -infinity: it never began */
	TimestampTz finished_at;
	TimestampTz run_at;
	TimestampTz enqueued_at;
	TimestampTz expires_at;
	TimestampTz scheduled_for;
	int64 retry_delay_ms;
	int64 timeout_ms;
	int64 schedule_id;
	Oid owner;
	Oid run_as;
	int32 attempt;
	int32 max_attempts;
	int32 priority;
	int32 queue_id;
	int32 pid; /* 0 = none, or unknown */
	bool is_final;
	bool atomic;
	char history;
};

/* The columns behind it, by attribute number. */
enum HistoryColumn : int
{
	kHistoryState = 21,
	kHistoryCommand,
	kHistoryArgs,
	kHistorySettings,
	kHistoryQueue,
	kHistoryRunAsName,
	kHistoryOwnerName,
	kHistoryName,
	kHistoryKeyText,
	kHistoryConcurrencyKey,
	kHistoryTag,
	kHistorySqlstate,
	kHistoryMessage,
	kHistoryDetail,
	kHistoryHint,
	kHistoryContext,
	kHistoryResult,
	kHistoryColumns = kHistoryResult,
};

inline FormHistory *
HistoryFormOf(HeapTuple tuple)
{
	return reinterpret_cast<FormHistory *>(GETSTRUCT(tuple));
}

/* What is told of an attempt besides its outcome. */
struct AttemptNote
{
	int32 attempt;
	bool is_final;
};

/*
 * Writes the attempt of a task (its row as it is before the transaction changes it, detoasted), if the row's
 * own history option wants it: 'a' all, 'e' what did not succeed, 'o' nothing.
 */
void WriteAttempt(Relation task, HeapTuple tuple, const AttemptOutcome &outcome,
				  const AttemptNote &note);

/*
 * How a task that is not in worker_pool.task any more has ended: true where the history knows. Looks with a
 * fresh snapshot.
 */
bool FindEnd(int64 id, bool *succeeded, Oid *owner);

} // namespace worker_pool
