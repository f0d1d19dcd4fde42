/*
 * log_hook.cpp
 *	  Catches why a worker could not start.
 *
 * A worker that cannot connect (role may not log in, database gone, library missing, ...) ends with a FATAL
 * or ERROR before it ever serves. This hook, inherited by every process from the postmaster, looks at the
 * report on its way to the log and, in a worker of ours that has not started yet, copies it in fixed size
 * into the slot. The launcher hands it to the commands that wait (launcher_starts.cpp).
 *
 * It also gives the log line of a cancel its true words (the own time-out of a command, task or service,
 * stop_worker, cancel_task, a service that is to stop): the server knows only that somebody asked for it.
 */
#include "process/worker_command.hpp"

namespace worker_pool
{

static emit_log_hook_type previous_log_hook = nullptr;

static void
CatchStartError(const ErrorData *error)
{
	WorkerTicket ticket = {};

	memcpy(&ticket, MyBgworkerEntry->bgw_extra, sizeof(ticket));
	if (pool == nullptr || ticket.epoch != pool->epoch || ticket.slot < 0 ||
		ticket.slot >= SlotCount() || MyProc == nullptr || LWLockHeldByMe(PoolLock()))
		return;

	LockScope lock(PoolLock());
	WorkerSlot &slot = SlotAt(ticket.slot);

	/* one that was told to go says only that it goes */
	if (slot.generation == ticket.generation && slot.state == SlotState::kStarting &&
		!slot.terminate_sent)
		SetBriefError(&slot.start_error, error->sqlerrcode, error->message, error->detail,
					  error->hint);
}

static void
LogHook(ErrorData *error)
{
	if (error->elevel >= ERROR && MyBgworkerEntry != nullptr &&
		strcmp(MyBgworkerEntry->bgw_function_name, kWorkerFunction) == 0)
	{
		char message[160];

		CatchStartError(error);
		if (ExplainCancel(error, message, sizeof(message)))
			error->message = MemoryContextStrdup(error->assoc_context, message);
	}
	if (previous_log_hook)
		previous_log_hook(error);
}

void
InstallLogHook()
{
	previous_log_hook = emit_log_hook;
	emit_log_hook = LogHook;
}

} // namespace worker_pool
