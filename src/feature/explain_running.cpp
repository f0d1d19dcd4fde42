/*
 * explain_running.cpp
 *	  The part of explain_task for a task that runs: since when, what its process waits for, who blocks it,
 *	  what it reported.
 *
 * What its process waits for is read from shared memory as pg_stat_activity does; who blocks it is what
 * pg_blocking_pids says, which looks at the lock tables as a whole and is not for a loop. The task may end
 * meanwhile: then these show what the process does next, or nothing.
 */
#include "feature/explain_parts.hpp"

#include "pg/encoding.hpp"

namespace worker_pool::explain
{

/* The processes that hold, or wait before it for, the lock that this one waits for; 0: a prepared transaction. */
static int
BlockingProcesses(pid_t pid, int32 **pids)
{
	const Datum result = DirectFunctionCall1(pg_blocking_pids, Int32GetDatum(pid));
	ArrayType *const array = DatumGetArrayTypeP(result);

	*pids = reinterpret_cast<int32 *>(ARR_DATA_PTR(array));
	return ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
}

static void
ExplainBlocker(int32 pid, Explanation *explanation)
{
	if (pid == 0)
	{
		Add(explanation, "a prepared transaction blocks it", nullptr,
			"SELECT * FROM pg_prepared_xacts;");
		return;
	}

	const PGPROC *const proc = BackendPidGetProc(pid);
	const Oid role = proc != nullptr ? proc->roleId : InvalidOid;

	Add(explanation,
		OidIsValid(role) ? psprintf("process %d of role \"%s\" blocks it", pid, RoleText(role))
						 : psprintf("process %d blocks it", pid),
		"It holds the lock that the task waits for, or waits for it before the task.",
		psprintf("SELECT * FROM pg_stat_activity WHERE pid = %d;", pid));
}

static void
ExplainWaits(const SlotLook &slot, Explanation *explanation)
{
	constexpr int kShown = 8;
	const PGPROC *const proc = slot.proc != kNone ? GetPGProcByNumber(slot.proc) : nullptr;
	const uint32 event = proc != nullptr && proc->pid == slot.pid ? proc->wait_event_info : 0;
	int32 *pids = nullptr;

	if (event != 0)
		Add(explanation,
			psprintf("it waits: %s / %s", pgstat_get_wait_event_type(event),
					 pgstat_get_wait_event(event)),
			"wait_event_type and wait_event of its process, as in pg_stat_activity.", nullptr);
	if (slot.pid == 0)
		return;

	const int count = BlockingProcesses(slot.pid, &pids);

	for (int i = 0; i < std::min(count, kShown); i++)
		ExplainBlocker(pids[i], explanation);
	if (count > kShown)
		Add(explanation, psprintf("%d more processes block it", count - kShown), nullptr,
			psprintf("SELECT pg_blocking_pids(%d);", slot.pid));
}

static const char *
ProgressText(const SlotLook &slot, TimestampTz now)
{
	if (slot.progress < 0 && slot.message[0] == '\0')
		return "It has reported no progress.";

	const char *const message =
		slot.message[0] == '\0'
			? ""
			: psprintf(": %s",
					   ToServerEncoding(slot.message, static_cast<int>(strlen(slot.message)),
										GetDatabaseEncoding()));
	const char *const age = DurationText(now - slot.progress_at);

	if (slot.progress < 0)
		return psprintf("It reported %s ago%s", age, message);
	return psprintf("It reported %d %% %s ago%s",
					static_cast<int>(std::lround(slot.progress * 100)), age, message);
}

void
ExplainRunning(const Subject &task, const SlotLook &slot, Explanation *explanation)
{
	/* an attempt of an atomic task counts when it fails, any other when it is claimed */
	const int attempt = task.form.attempt + (task.form.counted ? 0 : 1);

	Add(explanation,
		psprintf("it runs in process %d since %s, for %s, attempt %d of %d", slot.pid,
				 TimeText(slot.task_started_at), DurationText(task.now - slot.task_started_at),
				 attempt, std::max(attempt, task.form.max_attempts)),
		ProgressText(slot, task.now),
		psprintf("SELECT worker_pool.cancel_task(" INT64_FORMAT ");", task.id));
	if (slot.stop_asked)
		Add(explanation, "it has been asked to stop",
			"It ends when it looks at interrupts next; after the grace period its process is "
			"terminated.",
			nullptr);
	ExplainWaits(slot, explanation);
}

} // namespace worker_pool::explain
