/*
 * slots.hpp
 *	  Worker slots: the free and the running list. Every change of a slot's state is made in slots.cpp and
 *	  slots_shared.cpp (tasks, services, leases), by one function, and asserted against core/states.hpp.
 *
 *	field						written by
 *	generation, pair, kind		launcher, with free -> starting; generation also when it reclaims
 *	pid, proc, started_at		the worker at its handshake; cleared when the slot is freed
 *	state						launcher: free -> starting, starting -> free (process gone), idle -> stopping
 *								session: idle -> assigned; DDL session: idle -> stopping
 *								worker: all else on its own slot; exit callback: -> free
 *	command						session with idle -> assigned; worker
 *	give_way, task_permit		launcher; task_permit is used up by StartTasks, StartServiceCycle
 *	service						launcher, with free -> starting; cleared when the slot is freed
 *	cancel_*, terminate_*		stop_worker's session, DDL session; terminate_sent: launcher; of a service,
 *								cancel_sent: whoever stops it (SignalService)
 *	start_error					the worker that cannot start (log hook); the launcher, for one that it gave up
 *								(launcher_starts.cpp); read and cleared by the launcher
 *	all of it, kind kLease		the process that took the lease; pid and proc: the one that attached to it
 *	task_name, progress, ...	the worker: of its task; a lease: its name; a service: progress and message of
 *								the cycle, set back when one begins
 *
 * Identity of a slot's user is (index, generation, epoch), never a pid or a pointer.
 * Functions expect the pool lock held exclusively unless they say otherwise.
 */
#pragma once

#include "shmem/commands.hpp"

namespace worker_pool
{

struct WorkerSlot
{
	uint64 generation;
	SlotState state;
	SlotKind kind;
	bool give_way;		 /* exit after the command or cycle instead of taking the next one */
	bool terminate_sent; /* SIGTERM is on its way: the process takes nothing more */
	bool
		task_permit; /* launcher: idle, it may turn to tasks, or begin its cycle, although others wait for that */
	bool start_failed; /* start_error stands and the launcher has not looked at it yet */
	StopReason stop_reason;

	PairKey target;
	int pair;	 /* index of its pair; kNone when free */
	int command; /* index of the record it runs or was assigned; kNone otherwise */
	int service; /* kService: index of its entry (service_table.hpp); kNone otherwise */

	pid_t pid; /* 0 until the handshake */
	int proc;  /* PGPROC index; kNone until the handshake */

	TimestampTz registered_at; /* free -> starting */
	uint64 next_id;			   /* the next command id at that moment */
	bool begun;				   /* the worker has looked at its command: it may have had an effect */
	TimestampTz started_at;	   /* handshake */
	TimestampTz state_changed_at;
	uint64 commands_done;

	uint64 cancel_id; /* id of the command that is to be cancelled; 0 = none */
	bool cancel_sent; /* SIGINT was sent for it (or for the cycle); not while it is only assigned */
	uint64 terminate_id;	  /* id of the command whose process is to be terminated ... */
	TimestampTz terminate_at; /* ... at this time if it still runs; DT_NOEND = never */

	/* the task that it runs; written by its worker under the lock */
	int64 task_id; /* 0 = none */
	Oid task_owner;
	char task_name[NAMEDATALEN];
	TimestampTz task_started_at;
	bool batch_stuck;		 /* set by the worker's timer: its batch hangs behind a slow task */
	float progress;			 /* report_progress: 0..1, -1 = none */
	TimestampTz progress_at; /* when it was reported */
	char message[128];		 /* report_progress */

	BriefError start_error;
	PairKey failed_target; /* target of the start that failed (the slot is free by then) */
	TimestampTz failed_registered_at;

	dlist_node node; /* free_slots or running_slots */
};

static_assert(std::is_standard_layout_v<WorkerSlot> && std::is_trivially_copyable_v<WorkerSlot>);

/* How another process names a slot. */
struct SlotRef
{
	int index;
	uint64 generation;
	uint64 epoch;
};

Size SlotMemorySize();
void InitSlots(char *memory, bool found);
WorkerSlot &SlotAt(int index);
int SlotCount(); /* worker_pool.max_workers */

/* free -> starting, service kNone. kNone when the free list is empty. */
int ReserveSlot(const PairKey &target, SlotKind kind, TimestampTz now);
/*
 * starting -> idle, or -> running: a visit, a worker started for tasks, a service, one whose pair has a queued
 * command. Returns the command or kNone.
 */
int SlotStarted(int index);
/* idle -> assigned, with a vacant record. The caller sets the latch of slot.proc afterwards. */
void AssignSlot(int index, int command);
/* assigned -> running: the worker looks at its command. */
void SlotAccepts(int index);
/* The warmest idle slot of the pair, or kNone. Shared lock suffices. */
int FindIdleSlot(const PairKey &target);

/*
 * The slot's command, of which nothing has run, goes back to the head of its queue, or straight to an idle
 * worker of its pair, whose latch is set. The slot itself is on its way out.
 */
void GiveBackCommand(int index);

enum class AfterCommand : uint8
{
	kIdle,
	kNext, /* slot.command is the next one */
	kExit, /* the slot is stopping */
};
/*
 * running -> idle | running (next command of its pair) | stopping. The record was finished before.
 * may_continue false: the process wants to retire.
 */
AfterCommand SlotFinished(int index, bool may_continue);
/* idle | starting | assigned | running -> stopping. The caller sets the latch. */
void StopSlot(int index);
/* The error of a command that was cancelled by stop_worker or whose waiting caller was interrupted. */
inline constexpr char kStoppedMessage[] = "canceling command due to stop_worker";

/*
 * Anything -> free. What the slot still holds is given back: an assigned command (not begun) goes back to
 * the head of its queue; a running one becomes lost (or cancelled, where its stop was requested) with
 * `brief` as its error; one whose `brief` is 57014 (its time-out) failed with it. Returns the record that was finished, or kNone; *leftovers as FinishCommand.
 */
int FreeSlot(int index, const BriefError *brief, Leftovers *leftovers);

/*
 * Signals a running command's process under the lock, so that the signal cannot hit the next command:
 * SIGINT now, and SIGTERM by the launcher at terminate_at where that is not DT_NOEND.
 */
void SignalCommand(int slot, StopReason reason, TimestampTz terminate_at);

/* --- tasks ---------------------------------------------------------------------------------------------- */

/* How many slots tasks (and services) may use at a time: all but worker_pool.reserved_workers, at least one. */
int TaskSlotLimit();
/*
 * idle -> running, kind kTask, to take tasks from the ready queue; false: the limit is reached, or others wait for
 * room and it has no permit: stay idle.
 */
bool StartTasks(int index);
/* The slot runs this task from now on; cancels may be meant for it. `begun` as for a command. */
void BeginTask(int index, int64 id, Oid owner, const char *name);
/*
 * Its task is over. A command of its pair that is queued comes first (kNext, kind kCommand, command set); else
 * kNext with kind kTask where may_continue: the worker looks for more; kExit as SlotFinished.
 */
AfterCommand TaskDone(int index, bool may_continue);
/* running, kind kTask, found nothing more -> idle (or kNext with a command that came meanwhile, or kExit). */
AfterCommand TasksOver(int index);
/* SignalCommand for the task `task_id` of the current database; false when the slot does not run it any more. */
bool SignalTask(int slot, int64 task_id, StopReason reason, TimestampTz terminate_at);
/* --- services and leases ------------------------------------------------------------------------------------ */

/*
 * idle -> running for the slot's own service, which is due; false as StartTasks (or it is on its way out). Progress
 * and what was asked of the last cycle are forgotten.
 */
bool StartServiceCycle(int index);
/* running -> idle between two cycles, or -> stopping (kExit) where it is to give way or may_continue is false. */
AfterCommand ServiceOver(int index, bool may_continue);
/*
 * SIGINT (or SIGTERM) to the process of a service that runs, or is coming up, under the lock; one that is idle or leaving
 * gets nothing. SIGINT leaves cancel_sent and stop_reason kRequested, until ServiceOver: where it stands then, the process
 * absorbs the signal first (AbsorbLateCancel), under no lock, as for a command.
 */
void SignalService(int index, bool terminate);
/*
 * A slot for another extension's own background worker, held by this process until that one attaches: free -> starting ->
 * running, kind kLease, with the name in task_name. kNone: none is free, the pool is switched off, or they have all that
 * they may have (leases.hpp asks idle workers to go). Freed with FreeSlot, by whom pid names, as any other.
 */
int TakeLease(const char *name, TimestampTz now);
/* The slot of that generation is this process's from now on. False: it is not a lease (any more). */
bool AttachLease(int index, uint64 generation);

/* Id of the command or task that the slot runs; 0 = none. Command ids are above all task ids. */
uint64 WorkId(const WorkerSlot &slot);

/* Sends SIGTERM now. Works for every state in which a process is there. */
void TerminateSlot(int slot, StopReason reason);

} // namespace worker_pool
