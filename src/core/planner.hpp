/*
 * planner.hpp
 *	  The inside of PlanActions: one plan in the making. demands.cpp says who wants workers, allocation.cpp who
 *	  is served, room.cpp who makes room. Used by these files only.
 */
#pragma once

#include "core/allocation.hpp"
#include "core/slot_ledger.hpp"

#include <cstdint>

namespace worker_pool::policy
{

/* A worker that has not left after so long may hang: it stops counting as "about to be free". */
inline constexpr std::int64_t kLeavePatienceUs = INT64_C(5000000);
/* A worker that has turned to tasks takes its first one within that time; later it is not waited for. */
inline constexpr std::int64_t kTakePatienceUs = INT64_C(100000);
/* The least time between two workers that one pair asks to give way. */
inline constexpr std::int64_t kAskAgainUs = INT64_C(1000000);

inline constexpr int kNoIndex = -1;

/* What can be done with a slot. */
enum class Use : std::uint8_t
{
	kFixed, /* free, starting, leaving now or later, or there for ever */
	kIdle,	/* can be evicted */
	kBusy,	/* can be asked to give way */
};

struct SlotNote
{
	Membership member;
	Use use;
};

struct DemandNote
{
	Membership member;
	int limit[kLimitedScopes];
	int need;	/* workers, of which ... */
	int idle;	/* ... so many are there and idle: they have only to turn to the pair's tasks */
	int coming; /* workers that are on their way, and will serve it */
	int got;
	bool task; /* of tasks or of a service */
	bool overdue;
	bool starving; /* overdue and without any worker */
	bool last;	   /* a visit that can wait */
	std::int64_t since_us;
};

inline std::int64_t
Later(std::int64_t time_us, std::int64_t delay_us) noexcept
{
	if (delay_us <= 0)
		return time_us;
	return time_us > INT64_MAX - delay_us ? INT64_MAX : time_us + delay_us;
}

/* How long ago; 0 for a time to come (the clock was set back). */
inline std::int64_t
Elapsed(std::int64_t since_us, std::int64_t now_us) noexcept
{
	if (since_us >= now_us)
		return 0;
	return since_us < 0 && now_us > INT64_MAX + since_us ? INT64_MAX : now_us - since_us;
}

class Planner
{
public:
	Planner(const SlotView *slots, int slot_count, const DemandView *demands, int demand_count,
			const PolicyLimits &limits, Action *actions, int capacity, void *scratch) noexcept;
	int Run(std::int64_t *wake_at_us) noexcept;
	/* After Run: did tasks of some pair not get the room that they want? */
	bool TasksWait() const noexcept
	{
		return tasks_wait_;
	}

private:
	bool IsFull(const DemandNote &demand, int scope, Ledger ledger) const noexcept;
	bool Fits(const DemandNote &demand, Ledger ledger) const noexcept;
	void Enter(const DemandNote &demand, Ledger first) noexcept;
	void WakeAt(std::int64_t time_us) noexcept;
	void Emit(ActionKind kind, int index) noexcept;

	void LookAtSlots() noexcept;
	bool IsTooMany(int slot) const noexcept;
	void Retire() noexcept;
	void LookAtDemands() noexcept;
	bool LookAtDemand(int index) noexcept;
	void CountOwnWorkers(const DemandView &demand, DemandNote &note) noexcept;
	bool ComesBefore(int a, int b) const noexcept;
	void ServeInRounds() noexcept;
	bool Serve(int index) noexcept;
	int OwnIdle(const DemandNote &demand) const noexcept;
	bool TurnToTasks(DemandNote &demand, int slot) noexcept;
	void AskForRoom() noexcept;
	void AskForRoom(int index) noexcept;

	bool MakeRoom(const DemandNote &demand, Ledger ledger, bool for_real) noexcept;
	int BestSlot(const DemandNote &demand, Ledger ledger) const noexcept;
	int Relief(const DemandNote &demand, const SlotNote &slot, Ledger ledger) const noexcept;
	bool MayTake(const DemandNote &demand, const SlotNote &slot, Ledger ledger) const noexcept;
	bool Better(int a, int b, Ledger ledger) const noexcept;

	const SlotView *const slots_;
	const int slot_count_;
	const DemandView *const demands_;
	const int demand_count_;
	const PolicyLimits &limits_;
	Action *const actions_;
	const int capacity_;

	SlotLedger ledger_;
	DemandNote *demand_notes_;
	SlotNote *slot_notes_;
	int *order_; /* demands to serve, in the order of service */
	int *picks_; /* slots that MakeRoom has chosen */

	int order_count_ = 0;
	int action_count_ = 0;
	int idle_count_ = 0; /* slots that can be evicted */
	int busy_count_ = 0; /* slots that can be asked to give way */
	bool full_ = false;	 /* an action found no place in actions_ */
	bool promised_ = false;
	bool tasks_wait_ = false;
	std::int64_t wake_at_us_ = INT64_MAX;
};

} // namespace worker_pool::policy
