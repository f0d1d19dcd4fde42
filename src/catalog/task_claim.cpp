/*
 * task_claim.cpp
 *	  Claims tasks for a worker. Worker processes, in a transaction of their own.
 *
 * The ready queue has given the item to this worker alone; the row tells whether it may run. One look by primary
 * key with a fresh snapshot, then one update of fixed-width columns that no index has: a HOT update, so a claim
 * costs no index entry, and the dead version goes with the next look at its page.
 *
 *		ClaimTask -> kClaimed, commit, run, MarkSucceeded or MarkFailed
 *							 \-> not run after all: ReleaseClaim
 *
 * Never waits. A row that another transaction holds is kLocked: what locks rows of waiting tasks (enqueue with
 * key => 'keep' or depends_on, cancel_task) pushes the item again when it ends. A row that changed between look
 * and update is looked at once more; if it changes again, whoever changed it has told the ready queue.
 *
 * When the process dies before the commit, the row is as before; after it, the claim stands in the row until the
 * next worker overwrites it (or, where it has counted its attempt, records that attempt as lost).
 */
#include "catalog/task_store.hpp"

#include "catalog/order_scan.hpp"
#include "catalog/task_end.hpp"

namespace worker_pool
{

static bool
IsClaimOf(const FormTask &form, int64 slot, uint64 generation)
{
	return slot >= 0 && form.claim_slot == slot &&
		   static_cast<uint64>(form.claim_generation) == generation;
}

/*
 * Does another process hold it? A claim of our own is one that we did not run: memory has given us the item
 * anew.
 */
static bool
IsHeldByOther(const FormTask &form, const ClaimRequest &request)
{
	if (form.claim_epoch == 0 || !IsClaimHeld(form))
		return false;
	return !IsClaimOf(form, request.claim.slot, static_cast<uint64>(request.claim.generation)) &&
		   !IsClaimOf(form, request.void_claim.slot, request.void_claim.generation);
}

/* Has the role that it runs as still the name that the row knows? */
static bool
RoleStands(Relation task, HeapTuple tuple)
{
	const char *now = GetUserNameFromId(FormOf(tuple)->run_as, true);
	const char *then = TextOf(task, tuple, kTaskRunAsName);

	return now != nullptr && then != nullptr && strcmp(now, then) == 0;
}

static bool
MustBeAlone(const FormTask &form)
{
	return !form.atomic || (pool->careful && form.trusted_epoch != static_cast<int64>(pool->epoch));
}

/*
 * Is the row as memory knows it? A worker runs its own role's tasks, and what counts against a queue or a key is
 * counted when it is taken. Where it is not, memory is told.
 */
static bool
IsKnown(Relation task, HeapTuple tuple, const ItemSpec &known)
{
	const ItemSpec spec = SpecOf(task, tuple);

	if (likely(spec.role == GetUserId() && spec.queue == known.queue &&
			   spec.concurrency == known.concurrency))
		return true;
	ArmItem(spec);
	return false;
}

/* What stands in the way of a claim, in order of precedence; kClaimed: nothing. */
static ClaimResult
Judge(Relation task, HeapTuple tuple, const ClaimRequest &request, TimestampTz *due)
{
	const FormTask &form = *FormOf(tuple);
	const TimestampTz now = GetCurrentTimestamp();

	if (!IsOwnRow(form.installation, form.database) || form.waits_for > 0)
		return ClaimResult::kGone;
	if (!IsKnown(task, tuple, request.known))
		return ClaimResult::kGone;
	if (IsHeldByOther(form, request))
		return ClaimResult::kHeld;
	if (form.claim_epoch != 0 && form.counted)
		return ClaimResult::kLost;
	if (form.expires_at <= now)
		return ClaimResult::kExpired;
	if (form.due > now)
	{
		*due = form.due;
		return ClaimResult::kNotDue;
	}
	if (!RoleStands(task, tuple))
		return ClaimResult::kRole;
	if (MustBeAlone(form) && !request.alone && !request.trust)
		return ClaimResult::kCareful;
	return ClaimResult::kClaimed;
}

static void
SetClaim(FormTask *form, const ClaimRequest &request)
{
	form->claim_epoch = request.claim.epoch;
	form->claim_slot = request.claim.slot;
	form->claim_generation = request.claim.generation;
	form->claimed_at = GetCurrentTimestamp();
	form->counted = request.alone;
	form->keyed = false;
	if (request.alone)
	{
		form->attempt++;
		form->trusted_epoch = static_cast<int64>(pool->epoch);
	}
}

/*
 * Writes the claim. A keyed row gives its key up with it; so that neither happens without the other, the row is
 * locked first: from then on nobody makes us wait for it.
 */
static TM_Result
WriteClaim(Relation task, HeapTuple tuple, const ClaimRequest &request)
{
	const ItemPointerData place = tuple->t_self;
	const bool keyed = FormOf(tuple)->keyed;

	if (keyed)
	{
		const char *key = TextOf(task, tuple, kTaskKeyText);
		TM_Result result = LockRow(task, place, LockTupleNoKeyExclusive, false);

		if (result == TM_Ok && key != nullptr)
			result = DeleteKey(FormOf(tuple)->owner, key, FormOf(tuple)->id, false);
		if (result != TM_Ok)
			return result;
	}
	SetClaim(FormOf(tuple), request);
	return UpdateRow(task, place, tuple, keyed);
}

/* One look and, if it may be, one update. TM_Updated and TM_Deleted: the row changed in between. */
static TM_Result
TryClaim(Relation task, int64 id, const ClaimRequest &request, ClaimedTask *claimed,
		 TimestampTz *due, ClaimResult *result)
{
	const Snapshot snapshot = HoldSnapshot();
	HeapTuple tuple = FetchPlain(task, Index::kTaskId, id, snapshot);
	TM_Result written = TM_Ok;

	*result = ClaimResult::kGone;
	if (tuple != nullptr)
	{
		*result = Judge(task, tuple, request, due);
		if (*result == ClaimResult::kClaimed)
			written = WriteClaim(task, tuple, request);
		if (written == TM_BeingModified)
			*result = ClaimResult::kLocked;
		claimed->place = tuple->t_self;
		claimed->tuple = Detoast(task, tuple);
	}
	LetGoSnapshot(snapshot);
	return written == TM_BeingModified ? TM_Ok : written;
}

ClaimResult
ClaimTask(Relation task, int64 id, const ClaimRequest &request, ClaimedTask *claimed,
		  TimestampTz *due)
{
	ClaimResult result = ClaimResult::kGone;

	claimed->tuple = nullptr;
	ItemPointerSetInvalid(&claimed->place);
	WP_FAULT("task.before_claim");
	if (TryClaim(task, id, request, claimed, due, &result) != TM_Ok &&
		TryClaim(task, id, request, claimed, due, &result) != TM_Ok)
		result = ClaimResult::kGone;
	WP_FAULT("task.after_claim");
	return result;
}

void
ReleaseClaim(Relation task, const ClaimedTask &claimed)
{
	const Snapshot snapshot = HoldSnapshot();
	HeapTuple tuple = FetchAt(task, claimed.place);

	if (tuple != nullptr && IsSameClaim(*FormOf(tuple), *FormOf(claimed.tuple)))
	{
		FormTask *form = FormOf(tuple);

		if (form->counted)
		{
			/* the attempt was not made, and the task has not shown that it can be trusted */
			form->attempt--;
			form->trusted_epoch = 0;
		}
		ClearClaim(form);
		(void) UpdateRow(task, tuple->t_self, tuple, false);
	}
	LetGoSnapshot(snapshot);
}

} // namespace worker_pool
