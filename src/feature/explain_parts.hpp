/*
 * explain_parts.hpp
 *	  The parts of explain_task: what each looks at, and the copies that they share. Used by explain*.cpp only.
 */
#pragma once

#include "catalog/task_row.hpp"
#include "feature/explain.hpp"
#include "shmem/slots.hpp"

namespace worker_pool::explain
{

/* The task's row with its header (who made it, who locks it), and what memory says of it at that moment. */
struct Subject
{
	int64 id;
	HeapTuple tuple; /* a copy */
	FormTask form;	 /* a copy */
	const char *queue;
	const char *run_as_name;
	const char *last_sqlstate; /* nullptr: no attempt has failed */
	const char *last_error;
	ItemView view;
	TimestampTz now;
};

/* A slot in use, or one whose last start failed, as it was at one moment. */
struct SlotLook
{
	int index;
	SlotState state;
	SlotKind kind;
	PairKey target;
	pid_t pid;
	int proc;
	TimestampTz registered_at;
	TimestampTz state_changed_at;
	int64 task_id;
	TimestampTz task_started_at;
	bool stop_asked; /* its task is to be cancelled, or its process terminated */
	float progress;
	TimestampTz progress_at;
	char message[sizeof(WorkerSlot::message)];
	bool failed; /* the last start in this slot failed ... */
	TimestampTz failed_registered_at;
	PairKey failed_target;
	BriefError start_error;
};

/* Copies all slots under one hold of the pool lock, palloc'd; free ones without a failure are left out. */
SlotLook *LookAtSlots(int *count);

void Add(Explanation *explanation, const char *reason, const char *detail, const char *hint);
/* "1 task", "2 tasks" */
const char *CountText(int64 count, const char *thing);
/* "12 ms", "3.2 s", "5 min", "2 h 3 min", "4 days": for a reader. */
const char *DurationText(int64 microseconds);
/* timestamptz in the session's time zone, palloc'd. */
const char *TimeText(TimestampTz time);
/* Name of a role, or "(dropped)". */
const char *RoleText(Oid role);

/* explain_running.cpp: the task runs in that slot. */
void ExplainRunning(const Subject &task, const SlotLook &slot, Explanation *explanation);
/* explain_place.cpp: nothing stands against the task itself; its place in the ready queue and in the pool. */
void ExplainPlace(const Subject &task, const SlotLook *slots, int count, Explanation *explanation);
/* explain_row.cpp: what stands in the row, in the rows it waits for, or holds the row. */
void ExplainRow(const Subject &task, Explanation *explanation);
/* explain_row.cpp: how a task ended that is no more; raises 42704 and 42501. */
void ExplainFinished(int64 id, Explanation *explanation);

} // namespace worker_pool::explain
