/*
 * task_work.hpp
 *	  Where this worker stands with its task: shared by task_runner.cpp, task_slot.cpp and task_failure.cpp. Worker
 *	  process only.
 */
#pragma once

#include "process/task_batch.hpp"
#include "process/task_runner.hpp"

namespace worker_pool
{

/*
 * What an ERROR means depends on where it comes:
 *
 *	kBetween ----> kTaking ----> kBetween
 *	   |
 *	   +--> kSettling --> kRunning --> kCommitted --> kResetting --> kEnding --> kBetween
 *	        (alone)          |                             ^
 *	                         | ERROR                       |
 *	                         +-----> kFailed --> kSettling +
 *	                         +-----> kUnwanted --> leaves
 */
enum class TaskPhase : uint8
{
	kBetween, /* of no task: the end of the process */
	kTaking, /* taking and claiming a batch: the entry in question is put off, the process leaves */
	kSettling,	/* a transaction of ours about the entry: the same */
	kRunning,	/* the task's statements, mark and commit: its attempt has failed */
	kCommitted, /* it has succeeded for good: the process leaves */
	kFailed,	/* its error is kept and all is rolled back; to be recorded */
	kUnwanted,	/* the process may not run it any more; to be given back */
	kDirty,		/* nothing more can be done about it; the session is to be reset */
	kResetting, /* the process leaves */
	kEnding,	/* only the slot is to be moved on; the process leaves */
};

struct TaskWork
{
	TaskPhase phase;
	BatchEntry *entry;	 /* of the task in question */
	bool retire;		 /* after this task */
	bool authority_gone; /* with kRunning */
	bool retried;		 /* its item was put off for another attempt */
	ErrorData *error;	 /* kFailed: in MessageContext */
	char tag[COMPLETION_TAG_BUFSIZE];
	TimestampTz rest_until;		 /* 0: no trouble; else it takes no tasks, and leaves then */
	TimestampTz look_not_before; /* 0: at once */
};

extern TaskWork work;

/* The task's row. */
inline const FormTask &
FormOfEntry(const BatchEntry &entry)
{
	return *FormOf(entry.claimed.tuple);
}

/* --- task_slot.cpp ------------------------------------------------------------------------------------- */

/* Taken -> gone. */
void EndItem(BatchEntry *entry, FinishHow how, int64 waited_us, int64 ran_us);
/* The same, counted in the latency histograms, of the task that the slot runs. */
void EndRunItem(BatchEntry *entry, FinishHow how);

/* Is cancel_task's mark on the task that the slot runs? */
bool CancelRequested();

/* After a task: resets the session, then moves the slot on. */
void ResetAndEnd();
/* Moves the slot on: to the next task, a command of its pair, idle, or the end of the process. */
void EndTask();
/* No more tasks for now: to a command of its pair, idle, or the end of the process. */
void LeaveTasks();

/* --- task_failure.cpp ---------------------------------------------------------------------------------- */

/* Phase kFailed: writes the attempt down, and says when the next one comes. */
void RecordFailure();
/* Phase kUnwanted: gives the task back and leaves. */
[[noreturn]] void GiveBackAndLeave();
/* kLost: writes the lost attempt down. */
void RecordLost(BatchEntry *entry);
/* kExpired, kRole: ends the task. */
void EndUnrun(BatchEntry *entry);
/* cancel_task came before it was begun. */
void CancelUnrun(BatchEntry *entry);
/* cancel_task's signal came when the attempt had failed already and another was due. */
void CancelRetried(int64 id);

} // namespace worker_pool
