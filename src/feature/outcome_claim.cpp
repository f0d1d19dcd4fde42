/*
 * outcome_claim.cpp
 *	  Who may fetch an outcome, and when. Runs in the session that fetches.
 *
 * A public outcome can be pushed out at any moment to make room. A session that wants it claims the record
 * first (reader_proc), finished or not; from then on nobody empties it, and no second session fetches it.
 * The session waits, reads, and then either consumes the outcome (the record is vacant, its id goes to the
 * tombstones as "fetched") or releases the claim, and it is as it was.
 *
 * The right to fetch needs catalogs, which the pool lock does not allow: the owner is looked at, checked
 * without the lock, and compared again when the claim is made. If the session dies in between, its exit
 * callback releases the claim (session.cpp).
 */
#include "config/settings.hpp"
#include "feature/authority.hpp"
#include "feature/session.hpp"

namespace worker_pool
{

CommandGlance
GlanceAt(uint64 id)
{
	CommandGlance glance = {};
	LockScope lock(PoolLock(), LW_SHARED);
	const int index = FindCommand(id);

	glance.ref = {index, id};
	if (index == kNone)
	{
		const Tombstone tombstone = FindFate(id);

		glance.fate = tombstone.fate;
		glance.state = tombstone.state;
		glance.owner = tombstone.owner;
		return glance;
	}

	const CommandRecord &record = CommandAt(index);

	glance.state = record.state;
	glance.is_private = record.is_private;
	glance.owner = record.owner;
	glance.target_role = record.target.role;
	return glance;
}

/* What the error for a record that is not there says. */
struct FateWords
{
	const char *detail;
	const char *hint;
};

static FateWords
WordsFor(Fate fate, uint64 id)
{
	switch (fate)
	{
		case Fate::kFetched:
			return {"Its outcome was already fetched; an outcome can be fetched once.", nullptr};
		case Fate::kEvicted:
			return {"It finished, and its outcome was pushed out by later ones.",
					"Fetch outcomes sooner, or increase \"worker_pool.keep_outcomes\"."};
		case Fate::kEvictedMemory:
			return {"It finished, and its outcome was pushed out because shared memory was short.",
					"Fetch outcomes sooner, or increase \"worker_pool.shared_memory\"."};
		case Fate::kAbandoned:
			return {"The session that waited for it went away, and its outcome with it.", nullptr};
		case Fate::kRemoved:
			return {"It was removed from the queue before it started.", nullptr};
		case Fate::kEarlierLife:
			return {"Its id is older than the server's last start: it was started before, or "
					"never. Commands and their outcomes live in memory.",
					nullptr};
		case Fate::kUnknown:
			break;
	}

	LockScope lock(PoolLock(), LW_SHARED);

	if (id == 0 || id >= pool->next_command_id)
		return {"No command of that id was ever started.", nullptr};
	return {"It was started by run() or query(), or ended so long ago that nothing is known of it.",
			nullptr};
}

void
RaiseNoCommand(uint64 id)
{
	const FateWords words = WordsFor(GlanceAt(id).fate, id);

	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
					errmsg("command " INT64_FORMAT " does not exist", static_cast<int64>(id)),
					errdetail_internal("%s", words.detail),
					words.hint != nullptr ? errhint("%s", words.hint) : 0));
	pg_unreachable();
}

/* The record belongs to somebody who is fetching it right now. */
[[noreturn]] static void
RaiseInUse(uint64 id, bool is_private)
{
	ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
					errmsg("the outcome of command " INT64_FORMAT " is being fetched by another session",
						   static_cast<int64>(id)),
					is_private ? errdetail("It was started by run() or query(), which waits for it.")
							   : errdetail("An outcome can be fetched once.")));
	pg_unreachable();
}

/* What came of an attempt to claim. */
enum class ClaimResult : uint8
{
	kClaimed,
	kMissing,
	kInUse,
	kPrivate,
	kTooMany,
	kOtherOwner, /* whose right must be checked first */
};

/* Claims the record if its owner is one of the two; else tells who it is. */
static ClaimResult
TryClaim(uint64 id, Oid caller, Oid *owner, CommandRef *claimed)
{
	LockScope lock(PoolLock());
	const int index = FindCommand(id);

	if (index == kNone)
		return ClaimResult::kMissing;

	CommandRecord &record = CommandAt(index);

	if (record.owner != caller && record.owner != *owner)
	{
		*owner = record.owner;
		return ClaimResult::kOtherOwner;
	}
	if (record.is_private)
		return ClaimResult::kPrivate;
	if (record.reader_proc != kNone)
		return ClaimResult::kInUse;
	/* a session that holds none can always claim one, so that no other can shut it out */
	if (pool->claimed_total >= MostClaims() && held_records > 0)
		return ClaimResult::kTooMany;
	SetReader(index, compat::MyProcIndex());
	held_records++;
	*claimed = {index, id};
	return ClaimResult::kClaimed;
}

CommandRef
ClaimOutcome(uint64 id)
{
	const Oid caller = GetUserId();
	Oid owner = caller;
	CommandRef claimed = {kNone, id};

	PrepareSession();
	for (;;)
	{
		switch (TryClaim(id, caller, &owner, &claimed))
		{
			case ClaimResult::kClaimed:
				return claimed;
			case ClaimResult::kMissing:
				RaiseNoCommand(id);
			case ClaimResult::kInUse:
				RaiseInUse(id, false);
			case ClaimResult::kPrivate:
				RaiseInUse(id, true);
			case ClaimResult::kTooMany:
				ereport(ERROR,
						(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						 errmsg("too many outcomes are being fetched or waited for"),
						 errhint("Fetch fewer at a time, or increase \"worker_pool.keep_outcomes\".")));
				break;
			case ClaimResult::kOtherOwner:
				if (!OwnsCommand(caller, owner))
					ereport(ERROR,
							(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
							 errmsg("permission denied to fetch the outcome of command " INT64_FORMAT,
									static_cast<int64>(id)),
							 errdetail("Only its owner and members of the owner's role may.")));
				break;
		}
	}
}

void
TrimOutcomes()
{
	bool more = true;

	while (more)
	{
		Leftovers evicted = {};

		{
			LockScope lock(PoolLock());

			more = pool->finished_total > settings::keep_outcomes &&
				   EvictOneOutcome(Fate::kEvicted, &evicted);
		}
		FreeLeftovers(evicted);
	}
}

void
ReleaseClaim(const CommandRef &command)
{
	held_records--;
	HOLD_INTERRUPTS();
	{
		LockScope lock(PoolLock());

		if (CommandAt(command.index).id == command.id)
			SetReader(command.index, kNone);
	}
	TrimOutcomes();
	RESUME_INTERRUPTS();
}

void
ConsumeOutcome(const CommandRef &command)
{
	Leftovers leftovers = {};

	HOLD_INTERRUPTS();
	{
		LockScope lock(PoolLock());

		if (CommandAt(command.index).id == command.id)
			leftovers = EmptyCommand(command.index, Fate::kFetched);
	}
	held_records--;
	FreeLeftovers(leftovers);
	RESUME_INTERRUPTS();
}

} // namespace worker_pool
