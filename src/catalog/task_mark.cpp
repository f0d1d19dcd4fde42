/*
 * task_mark.cpp
 *	  Ends attempts and tasks. Workers (marks), sessions (cancel_task), visits (roles that cannot start).
 *
 * The fence. A worker names the row version that carries its claim. MarkSucceeded pins that very version,
 * compares id and claim, and deletes it; the delete waits for who has locked the row, and where somebody has
 * changed it meanwhile the new version must carry the claim as well. So at most one process ever marks a claim,
 * and its mark commits with its effect or not at all: the ERROR of a lost claim rolls the effect back. VACUUM
 * FULL and CLUSTER move rows to other places: then the row is looked for by its id and must carry the claim all
 * the same.
 *
 *		MarkSucceeded	in the task's transaction: row deleted, history, dependants released, waiters woken
 *		MarkFailed		in the worker's own, after the task's was rolled back: a new version that is due later, or
 *						row deleted, history, dependants cancelled
 *		FinishTask		of a task that does not run, by anybody
 *
 * What is told to others (ready queue, waiters, NOTIFY) is armed and goes out at the commit. Where the process
 * dies before it, nothing has happened, and the claim that stands in the row is a dead process's.
 */
#include "catalog/task_store.hpp"

#include "catalog/order_scan.hpp"
#include "catalog/task_end.hpp"
#include "config/settings.hpp"
#include "core/retry.hpp"

extern "C"
{
#include "utils/json.h"
}

namespace worker_pool
{

/* worker_pool.task.last_error is for a glance; the history has all of it. */
static constexpr int kLastErrorBytes = 1000;
/* A NOTIFY payload is bounded by the server; a name is escaped and may grow sixfold. */
static constexpr int kNotifyNameBytes = 1000;

/* --- what an end brings with it ------------------------------------------------------------------------ */

static char *
Clip(const char *text, int bytes)
{
	const int length = static_cast<int>(strlen(text));

	return pnstrdup(text, pg_mbcliplen(text, length, Min(length, bytes)));
}

/* NOTIFY worker_pool, '{"id":1,"state":"succeeded","name":"nightly"}', at the commit. */
static void
NotifyEnd(int64 id, const char *state, const char *name)
{
	StringInfoData payload;

	initStringInfo(&payload);
	appendStringInfo(&payload, "{\"id\":" INT64_FORMAT ",\"state\":\"%s\",\"name\":", id, state);
	if (name == nullptr)
		appendStringInfoString(&payload, "null");
	else
		escape_json(&payload, Clip(name, kNotifyNameBytes));
	appendStringInfoChar(&payload, '}');
	Async_Notify(kExtensionName, payload.data);
	pfree(payload.data);
}

void
CloseTask(Relation task, HeapTuple tuple, const AttemptOutcome &outcome, int32 attempt)
{
	const FormTask &form = *FormOf(tuple);

	if (form.keyed)
	{
		const char *key = TextOf(task, tuple, kTaskKeyText);

		if (key != nullptr)
			(void) DeleteKey(form.owner, key, form.id, true);
	}
	if (form.waits_for > 0)
		DeleteDependenciesOf(form.id);
	WriteAttempt(task, tuple, outcome, {attempt, true});
	if (settings::notify)
		NotifyEnd(form.id, outcome.state, TextOf(task, tuple, kTaskName));
	ArmTaskFinished(form.id);
}

/* For the server's log: control characters could pass for lines of their own. Other bytes may be of UTF-8. */
static const char *
ForLog(const char *text)
{
	if (text == nullptr)
		return nullptr;

	char *clean = pstrdup(text);

	for (char *at = clean; *at != '\0'; at++)
	{
		const auto byte = static_cast<unsigned char>(*at);

		if (byte < 32 || byte == 127)
			*at = '?';
	}
	return clean;
}

void
WarnFinalFailure(Relation task, HeapTuple tuple, const AttemptOutcome &outcome, int32 attempts)
{
	const char *name = ForLog(TextOf(task, tuple, kTaskName));
	const char *sqlstate = outcome.sqlstate[0] == '\0' ? "XX000" : outcome.sqlstate;

	ereport(WARNING,
			(errmsg("task %lld%s%s%s failed finally after %d %s: SQLSTATE %s",
					static_cast<long long>(FormOf(tuple)->id), name == nullptr ? "" : " (\"",
					name == nullptr ? "" : name, name == nullptr ? "" : "\")", attempts,
					attempts == 1 ? "attempt" : "attempts", sqlstate),
			 errhidestmt(true), errhidecontext(true)));
}

static bool
IsFailure(const AttemptOutcome &outcome)
{
	return strcmp(outcome.state, "failed") == 0;
}

static bool
Began(const AttemptOutcome &outcome)
{
	return outcome.started_at != 0 && outcome.started_at != DT_NOBEGIN;
}

/*
 * How many attempts there are with this one. A failure is one in any case: that of a process that went away may
 * not know when it began.
 */
static int32
AttemptsWith(const FormTask &form, const AttemptOutcome &outcome)
{
	const bool made = Began(outcome) || IsFailure(outcome);

	return made && !form.counted ? form.attempt + 1 : form.attempt;
}

/* --- success ------------------------------------------------------------------------------------------- */

/* Pins the version that carries the claim; false: there is none any more. */
static bool
PinClaimed(Relation task, const ClaimedTask &claimed, PinnedRow *row)
{
	const FormTask &mine = *FormOf(claimed.tuple);

	if (PinRow(task, claimed.place, row))
	{
		if (IsSameClaim(*FormOf(&row->tuple), mine))
			return true;
		UnpinRow(*row);
	}

	/* the table was rewritten, or the claim is not ours any more */
	const HeapTuple moved = FetchById(task, Index::kTaskId, mine.id);

	if (moved == nullptr || !IsSameClaim(*FormOf(moved), mine) || !PinRow(task, moved->t_self, row))
		return false;
	if (IsSameClaim(*FormOf(&row->tuple), mine))
		return true;
	UnpinRow(*row);
	return false;
}

[[noreturn]] static void
RaiseClaimLost(const FormTask &form)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("the claim on task %lld was lost", static_cast<long long>(form.id)),
			 form.atomic ? errdetail("Its row was changed while it ran. What it did is rolled back.")
						 : errdetail("Its row was changed while it ran. What it has committed stays.")));
	pg_unreachable();
}

void
MarkSucceeded(const ClaimedTask &claimed, const AttemptOutcome &outcome)
{
	Relation task = OpenTable(Table::kTask, RowExclusiveLock);
	const Snapshot snapshot = HoldSnapshot();
	const FormTask &form = *FormOf(claimed.tuple);
	TM_Result result = TM_Updated;

	Assert(form.claim_epoch != 0);
	WP_FAULT("task.before_mark");
	/* a new version that carries our claim still does not hurt (a queue's new priority) */
	while (result == TM_Updated)
	{
		PinnedRow row;

		CHECK_FOR_INTERRUPTS();
		if (!PinClaimed(task, claimed, &row))
			RaiseClaimLost(form);
		result = DeleteRow(task, row.tuple.t_self, true);
		UnpinRow(row);
	}
	if (result != TM_Ok)
		RaiseClaimLost(form);
	CloseTask(task, claimed.tuple, outcome, AttemptsWith(form, outcome));
	SettleDependants(task, form.id, outcome.state);
	LetGoSnapshot(snapshot);
	table_close(task, NoLock);
	WP_FAULT("task.after_mark");
}

/* --- failure ------------------------------------------------------------------------------------------- */

/* The version that carries the claim, copied, not detoasted; nullptr: there is none any more. */
static HeapTuple
FetchClaimed(Relation task, const ClaimedTask &claimed, Snapshot snapshot)
{
	const FormTask &mine = *FormOf(claimed.tuple);
	HeapTuple tuple = FetchAt(task, claimed.place);

	if (tuple == nullptr || !IsSameClaim(*FormOf(tuple), mine))
		tuple = FetchPlain(task, Index::kTaskId, mine.id, snapshot);
	return tuple != nullptr && IsSameClaim(*FormOf(tuple), mine) ? tuple : nullptr;
}

static RetryDecision
Decide(const FormTask &form, const AttemptOutcome &outcome, bool retryable)
{
	const bool at_once =
		strcmp(outcome.sqlstate, "40001") == 0 || strcmp(outcome.sqlstate, "40P01") == 0;

	if (!retryable)
		return {true, 0};
	return DecideRetry(AttemptsWith(form, outcome), form.max_attempts, form.retry_delay_ms, at_once,
					   compat::RandomFraction());
}

/* The version that waits for its next attempt. One that expires before it is due then, to be told so in time. */
static HeapTuple
FormRetry(Relation task, HeapTuple tuple, const AttemptOutcome &outcome, int64 delay_ms)
{
	Datum values[kTaskColumns] = {};
	bool nulls[kTaskColumns] = {};
	bool replace[kTaskColumns] = {};
	TimestampTz due = DT_NOEND;
	const TimestampTz now = GetCurrentTimestamp();

	if (delay_ms < (DT_NOEND - now) / 1000)
		due = now + delay_ms * 1000;
	replace[kTaskLastSqlstate - 1] = replace[kTaskLastError - 1] = true;
	nulls[kTaskLastSqlstate - 1] = outcome.sqlstate[0] == '\0';
	if (!nulls[kTaskLastSqlstate - 1])
		values[kTaskLastSqlstate - 1] = CStringGetTextDatum(outcome.sqlstate);
	nulls[kTaskLastError - 1] = outcome.message == nullptr;
	if (!nulls[kTaskLastError - 1])
		values[kTaskLastError - 1] = CStringGetTextDatum(Clip(outcome.message, kLastErrorBytes));

	HeapTuple changed = heap_modify_tuple(tuple, RelationGetDescr(task), values, nulls, replace);
	FormTask *form = FormOf(changed);

	form->attempt = AttemptsWith(*form, outcome);
	form->due = Min(due, form->expires_at);
	form->keyed = false;
	ClearClaim(form);
	return changed;
}

/* One try on the version that is there now; TM_Ok: done, and *decision says what. */
static TM_Result
WriteFailure(Relation task, HeapTuple tuple, const AttemptOutcome &outcome,
			 const RetryDecision &decision, ItemSpec *next)
{
	if (decision.final)
		return DeleteRow(task, tuple->t_self, true);

	HeapTuple changed = FormRetry(task, tuple, outcome, decision.delay_ms);
	const TM_Result result = UpdateRow(task, tuple->t_self, changed, true);

	if (result == TM_Ok)
		*next = SpecOf(task, changed);
	return result;
}

/* The row was written: everything else. `claimed` is the row as it was, detoasted. */
static void
FollowFailure(Relation task, HeapTuple claimed, const AttemptOutcome &outcome, bool final)
{
	const FormTask &form = *FormOf(claimed);
	const int32 attempts = AttemptsWith(form, outcome);

	if (!final)
	{
		WriteAttempt(task, claimed, outcome, {attempts, false});
		return;
	}
	CloseTask(task, claimed, outcome, attempts);
	SettleDependants(task, form.id, outcome.state);
	if (IsFailure(outcome))
		WarnFinalFailure(task, claimed, outcome, attempts);
}

Verdict
MarkFailed(const ClaimedTask &claimed, const AttemptOutcome &outcome, bool retryable,
		   ItemSpec *next)
{
	/* where the extension is gone, so is the task */
	Relation task = TryOpenTable(Table::kTask, RowExclusiveLock);
	RetryDecision decision = {};
	TM_Result result = TM_Updated;

	if (task == nullptr)
		return Verdict::kNotOurs;
	Assert(FormOf(claimed.tuple)->claim_epoch != 0);
	WP_FAULT("task.before_fail_mark");

	const Snapshot snapshot = HoldSnapshot();

	while (result != TM_Ok)
	{
		CHECK_FOR_INTERRUPTS();

		const Snapshot now = HoldSnapshot();
		HeapTuple tuple = FetchClaimed(task, claimed, now);

		if (tuple != nullptr)
		{
			decision = Decide(*FormOf(tuple), outcome, retryable);
			result = WriteFailure(task, tuple, outcome, decision, next);
		}
		LetGoSnapshot(now);
		if (tuple == nullptr)
			break;
	}
	if (result == TM_Ok)
		FollowFailure(task, claimed.tuple, outcome, decision.final);
	LetGoSnapshot(snapshot);
	table_close(task, NoLock);
	WP_FAULT("task.after_fail_mark");
	if (result != TM_Ok)
		return Verdict::kNotOurs;
	return decision.final ? Verdict::kFinal : Verdict::kRetry;
}

/* --- by others ----------------------------------------------------------------------------------------- */

static StatEvent
EventOf(const AttemptOutcome &outcome)
{
	return strcmp(outcome.state, "cancelled") == 0 ? StatEvent::kCancelled
		   : strcmp(outcome.state, "expired") == 0 ? StatEvent::kExpired
		   : strcmp(outcome.state, "skipped") == 0 ? StatEvent::kSkipped
												   : StatEvent::kFailed;
}

/* The row was deleted by this transaction: a worker that came by has passed over it, so an abort pushes it anew. */
static void
FollowFinish(Relation task, HeapTuple tuple, const AttemptOutcome &outcome)
{
	const FormTask &form = *FormOf(tuple);

	if (form.waits_for == 0)
		ArmLockedItem(SpecOf(task, tuple));
	ArmRemoval(ItemKind::kTask, form.id);
	ArmEvent(form.queue_id, EventOf(outcome));
	CloseTask(task, tuple, outcome, form.attempt);
	SettleDependants(task, form.id, outcome.state);
	if (IsFailure(outcome))
		WarnFinalFailure(task, tuple, outcome, form.attempt);
}

bool
FinishTask(int64 id, const AttemptOutcome &outcome, int *claimed_by_slot)
{
	Relation task = OpenTable(Table::kTask, RowExclusiveLock);
	const Snapshot snapshot = HoldSnapshot();
	HeapTuple tuple = nullptr;
	TM_Result result = TM_Updated;
	int slot = kNone;

	while (result != TM_Ok && slot == kNone &&
		   (tuple = FetchById(task, Index::kTaskId, id)) != nullptr)
	{
		CHECK_FOR_INTERRUPTS();
		if (IsClaimHeld(*FormOf(tuple)))
			slot = FormOf(tuple)->claim_slot;
		else
			result = DeleteRow(task, tuple->t_self, true);
	}
	if (result == TM_Ok)
		FollowFinish(task, tuple, outcome);
	LetGoSnapshot(snapshot);
	table_close(task, NoLock);
	if (claimed_by_slot != nullptr)
		*claimed_by_slot = slot;
	return result == TM_Ok;
}

} // namespace worker_pool
