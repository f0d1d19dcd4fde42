/*
 * demands.cpp
 *	  Who wants workers, how many, and in which order: the part of the plan that reads the demands. The rules
 *	  stand at the head of allocation.cpp. Pure, bounded, cannot fail.
 */
#include "core/planner.hpp"

#include <algorithm>
#include <climits>
#include <new>

namespace worker_pool::policy
{

/* Fills the note of a demand; false when it wants nothing now. Those of commands come before all others. */
bool
Planner::LookAtDemand(int index) noexcept
{
	const DemandView &demand = demands_[index];
	DemandNote &note = *new (&demand_notes_[index]) DemandNote{};

	if (demand.blocked || demand.queued <= 0)
		return false;
	if (demand.not_before_us > limits_.now_us)
	{
		WakeAt(demand.not_before_us);
		return false;
	}

	const bool visit = demand.kind == SlotKind::kVisit;

	note.task = IsShared(demand.kind);
	note.member = ledger_.Find(demand.database, demand.role, demand.fresh_id, note.task);
	note.limit[kPool] = std::max(0, std::min(limits_.slots, slot_count_));
	note.limit[kDatabase] = limits_.per_database > 0 && !visit ? limits_.per_database : INT_MAX;
	note.limit[kRole] = demand.role_limit > 0 ? demand.role_limit : INT_MAX;
	note.limit[kTasks] = note.task ? std::max(0, limits_.task_slots) : INT_MAX;
	note.since_us = std::max(demand.oldest_us, demand.gave_way_us);
	note.overdue = Elapsed(note.since_us, limits_.now_us) >= limits_.fairness_us;
	note.need = demand.queued;
	if (visit)
	{
		note.last = !note.overdue;
		return true;
	}
	note.starving =
		note.overdue && ledger_.At(note.member, note.task ? kPairTasks : kPair).count[kSoon] == 0;
	CountOwnWorkers(demand, note);
	return note.need > 0;
}

/* Finds out how far the pair's own workers, starting and idle, serve the demand. */
void
Planner::CountOwnWorkers(const DemandView &demand, DemandNote &note) noexcept
{
	Group &pair = ledger_.At(note.member, kPair);

	if (note.task && pair.unassigned > 0)
	{
		/* a new worker would take a command; nobody tells when a busy one has taken the last */
		note.need = 0;
		WakeAt(note.overdue ? Later(limits_.now_us, kAskAgainUs)
							: Later(note.since_us, limits_.fairness_us));
		return;
	}
	note.coming = std::min(demand.queued, pair.starting);
	note.need -= note.coming;
	pair.starting -= note.coming;
	if (note.task)
	{
		const int taking = std::min(note.need, pair.taking);

		note.coming += taking;
		note.need -= taking;
		if (taking > 0)
			WakeAt(Later(limits_.now_us, kTakePatienceUs));

		/* One that has been told and does not come is no worker to count on; but a service has no other. */
		const std::int64_t patience_us = demand.kind == SlotKind::kService
											 ? INT64_MAX
											 : Later(limits_.fairness_us, kLeavePatienceUs);

		if (pair.idle > 0 && Elapsed(note.since_us, limits_.now_us) < patience_us)
		{
			note.idle = std::min(note.need, pair.idle);
			pair.idle -= note.idle;
			WakeAt(Later(note.since_us, note.overdue ? patience_us : limits_.fairness_us));
		}
		return;
	}
	if (!note.overdue && pair.idle > 0)
	{
		/*
		 * An idle worker of the pair takes the command by itself. One that has not done so for a whole
		 * interval never will: then it counts for nothing, and may be evicted like any other.
		 */
		const int taken = std::min(note.need, pair.idle);

		note.need -= taken;
		pair.idle -= taken;
		WakeAt(Later(note.since_us, limits_.fairness_us));
	}
	pair.unassigned = note.need;
}

bool
Planner::ComesBefore(int a, int b) const noexcept
{
	const DemandNote &note_a = demand_notes_[a];
	const DemandNote &note_b = demand_notes_[b];

	if (note_a.starving != note_b.starving)
		return note_a.starving;
	if (note_a.last != note_b.last)
		return note_b.last;
	if (note_a.since_us != note_b.since_us)
		return note_a.since_us < note_b.since_us;
	if (note_a.task != note_b.task)
		return note_b.task;
	if (demands_[a].order != demands_[b].order)
		return demands_[a].order < demands_[b].order;
	return a < b;
}

void
Planner::LookAtDemands() noexcept
{
	for (const bool commands : {true, false})
	{
		for (int i = 0; i < demand_count_; ++i)
		{
			if ((demands_[i].kind == SlotKind::kCommand) == commands && LookAtDemand(i))
				order_[order_count_++] = i;
		}
	}
	std::sort(order_, order_ + order_count_, [this](int a, int b) { return ComesBefore(a, b); });
}

} // namespace worker_pool::policy
