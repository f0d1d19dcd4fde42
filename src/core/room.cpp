/*
 * room.cpp
 *	  Whose slot comes free for a pair that found none: the half of the plan that takes slots away. The
 *	  rules stand at the head of allocation.cpp. Pure, bounded, cannot fail.
 */
#include "core/planner.hpp"

#include <algorithm>

namespace worker_pool::policy
{

/* Lets those who got nothing, and whose pair has nothing coming, ask busy workers to give way. */
void
Planner::AskForRoom() noexcept
{
	for (int i = 0; i < order_count_ && !full_; ++i)
	{
		const DemandNote &note = demand_notes_[order_[i]];

		if (note.got == 0 && note.coming == 0)
			AskForRoom(order_[i]);
	}
}

void
Planner::AskForRoom(int index) noexcept
{
	const DemandNote &note = demand_notes_[index];

	if (!note.overdue)
	{
		if (Fits(note, kLater) || MakeRoom(note, kLater, false))
			WakeAt(Later(note.since_us, limits_.fairness_us));
		return;
	}

	/* how many slots may be leaving for its sake by now */
	const std::int64_t interval_us = std::max(limits_.fairness_us, kAskAgainUs);
	const std::int64_t overdue_us =
		Elapsed(note.since_us, limits_.now_us) - std::max(limits_.fairness_us, INT64_C(0));
	const std::int64_t intervals = overdue_us / interval_us;
	const int most = static_cast<int>(std::min<std::int64_t>(intervals + 1, slot_count_));

	for (int asked = 0; asked < most; ++asked)
	{
		if (!Fits(note, kLater) && !MakeRoom(note, kLater, true))
			return;
		Enter(note, kLater);
	}
	if (most < slot_count_)
		WakeAt(limits_.now_us + (interval_us - overdue_us % interval_us));
}

/* --- who makes room ------------------------------------------------------------------------------- */

/*
 * Chooses slots whose leaving lets the demand fit on the ledger: all that is needed, or none. For kSoon
 * idle workers only, which are evicted; for kLater also busy ones, which are asked to give way (an idle
 * one among them is left for later: evicted now, its place would go to somebody else meanwhile). Not
 * for_real: only says whether it could.
 */
bool
Planner::MakeRoom(const DemandNote &demand, Ledger ledger, bool for_real) noexcept
{
	int pick_count = 0;
	bool fits = false;

	while (!(fits = Fits(demand, ledger)))
	{
		const int slot = BestSlot(demand, ledger);

		if (slot == kNoIndex)
			break;
		if (for_real && action_count_ + pick_count >= capacity_)
		{
			full_ = true;
			break;
		}
		picks_[pick_count++] = slot;
		ledger_.Enter(slot_notes_[slot].member, ledger, -1);
		slot_notes_[slot].use = Use::kFixed;
	}

	for (int i = 0; i < pick_count; ++i)
	{
		SlotNote &note = slot_notes_[picks_[i]];
		const bool idle = slots_[picks_[i]].state == SlotState::kIdle;

		if (!fits || !for_real)
		{
			ledger_.Enter(note.member, ledger, 1);
			note.use = idle ? Use::kIdle : Use::kBusy;
			continue;
		}
		--(idle ? idle_count_ : busy_count_);
		if (ledger == kSoon)
			Emit(ActionKind::kEvict, picks_[i]);
		else if (!idle)
			Emit(ActionKind::kGiveWay, picks_[i]);
	}
	return fits;
}

int
Planner::BestSlot(const DemandNote &demand, Ledger ledger) const noexcept
{
	int best = kNoIndex;
	int best_relief = 0;

	if (idle_count_ == 0 && (ledger == kSoon || busy_count_ == 0))
		return kNoIndex;
	for (int i = 0; i < slot_count_; ++i)
	{
		const SlotNote &slot = slot_notes_[i];

		if (!MayTake(demand, slot, ledger))
			continue;

		const int relief = Relief(demand, slot, ledger);

		if (relief > best_relief ||
			(relief > 0 && relief == best_relief && Better(i, best, ledger)))
		{
			best = i;
			best_relief = relief;
		}
	}
	return best;
}

/* May the demand have this slot emptied? */
bool
Planner::MayTake(const DemandNote &demand, const SlotNote &slot, Ledger ledger) const noexcept
{
	const bool own = slot.member.group[kPair] == demand.member.group[kPair];

	if (slot.use == Use::kIdle)
		return !own || demand.overdue;
	if (slot.use != Use::kBusy || ledger != kLater || own)
		return false;

	/*
	 * A pair that has workers takes from another only where that still has as many afterwards. Where it is the
	 * limit of tasks that stops it, workers that do something else do not help it: tasks against tasks.
	 */
	const bool task_for_task = demand.task && IsFull(demand, kTasks, ledger) &&
							   slot.member.group[kTasks] == demand.member.group[kTasks];
	const Scope scope = task_for_task ? kPairTasks : kPair;
	const Group &mine = ledger_.At(demand.member, scope);
	const Group &theirs = ledger_.At(slot.member, scope);

	return mine.count[kSoon] == 0 || theirs.count[kLater] > mine.count[kLater] + 1;
}

/* The number of exhausted limits of the demand against which the slot counts. */
int
Planner::Relief(const DemandNote &demand, const SlotNote &slot, Ledger ledger) const noexcept
{
	int relief = 0;

	for (int scope = demand.idle > 0 ? kTasks : kPool; scope < kLimitedScopes; ++scope)
	{
		if (slot.member.group[scope] == demand.member.group[scope] && IsFull(demand, scope, ledger))
			++relief;
	}
	return relief;
}

/* Of two slots that relieve as much, is `a` to go rather than `b`? */
bool
Planner::Better(int a, int b, Ledger ledger) const noexcept
{
	const SlotNote &note_a = slot_notes_[a];
	const SlotNote &note_b = slot_notes_[b];

	if (note_a.use != note_b.use)
		return note_a.use == Use::kIdle;
	if (note_a.use == Use::kBusy)
	{
		const int slots_a = ledger_.At(note_a.member, kPair).count[ledger];
		const int slots_b = ledger_.At(note_b.member, kPair).count[ledger];

		if (slots_a != slots_b)
			return slots_a > slots_b;
	}
	return slots_[a].since_us < slots_[b].since_us;
}

} // namespace worker_pool::policy
