/*
 * allocation.hpp
 *	  Which pair gets the next slot, and who makes room for it: the pool's allocation policy as a pure
 *	  function of what the launcher sees. Pure C++: no server here.
 *
 * The launcher copies slots and demands under the pool lock, asks PlanActions outside of it, and carries
 * the actions out. Nothing is remembered between two calls, so a lost wake or a restarted launcher changes
 * nothing: the next call sees the same need and plans the same. The rules and the bound on a wait stand at
 * the head of allocation.cpp.
 */
#pragma once

#include "core/states.hpp"

#include <climits>
#include <cstddef>
#include <cstdint>

namespace worker_pool
{

/* One slot, free ones included. Times are microseconds of one clock. */
struct SlotView
{
	std::uint32_t database;
	std::uint32_t role;
	std::uint64_t fresh_id; /* not 0: a pair of its own, for one command or one service */
	SlotState state;
	SlotKind kind; /* IsShared(): it counts among the slots that tasks hold, unless it is idle */
	bool give_way; /* already asked to leave after its command */
	std::int64_t since_us; /* when it came into its state */
	bool taking = false;   /* it runs for tasks and has none at the moment: about to take one */
	bool resident = false; /* it never ends by itself: asked for nothing */
};

/*
 * One pair with queued commands, or with tasks that could run, a service that is due, or a database that wants a
 * visit. A pair that has both is there twice; a worker of the pair serves either.
 */
struct DemandView
{
	std::uint32_t database;
	std::uint32_t role;
	std::uint64_t fresh_id;
	std::int64_t
		oldest_us; /* when its oldest command was submitted, its oldest task or the service became due */
	std::uint64_t order;		/* id of that command, task or service: the tie-break */
	int queued;					/* commands or tasks; 1 for a service */
	int role_limit;				/* workers of the role; 0 = no limit */
	std::int64_t not_before_us; /* backing off until then */
	bool blocked;				/* the database is closed by DDL */
	/*
	 * When a worker of this pair last left because it gave way. From then on the pair waits anew: else the
	 * pair that gave way would, with its older commands, take the slot back for itself.
	 */
	std::int64_t gave_way_us = INT64_MIN;
	SlotKind kind = SlotKind::kCommand;
};

struct PolicyLimits
{
	int slots;		  /* of the pool */
	int per_database; /* 0 = no limit */
	std::int64_t fairness_us;
	std::int64_t idle_timeout_us; /* 0 = an idle worker leaves at once */
	std::int64_t now_us;
	bool enabled;
	int task_slots =
		INT_MAX; /* how many of the slots tasks, services and leases may hold at a time */
};

enum class ActionKind : std::uint8_t
{
	kNone,
	kStart,	  /* a worker for the demand, in a free slot */
	kEvict,	  /* the idle worker in the slot leaves now */
	kGiveWay, /* the busy worker in the slot leaves after its command, task or cycle */
	kWake, /* the idle worker in the slot looks for tasks of its pair, or begins the cycle of its service: there
				 is room for one more */
};

struct Action
{
	ActionKind kind;
	int index; /* of the demand for kStart, of the slot otherwise */
};

/* Bytes that PlanActions needs to work in; from any allocator that aligns for every type. */
std::size_t PolicyScratchSize(int slot_count, int demand_count) noexcept;

/*
 * Plans what to do now. Returns the number of actions written; slot_count of them are always enough, and
 * where `capacity` is smaller the rest comes with the next call. *wake_at_us: when to look again if
 * nothing happens before (INT64_MAX = never; not after now_us = at once, capacity was used up).
 * *tasks_wait (or nullptr): tasks of some pair wait for room; until that is over, an idle worker of another pair
 * must not turn to tasks by itself.
 * O(n log n + (starts + unserved demands) * slots).
 */
int PlanActions(const SlotView *slots, int slot_count, const DemandView *demands, int demand_count,
				const PolicyLimits &limits, Action *actions, int capacity, std::int64_t *wake_at_us,
				void *scratch, bool *tasks_wait = nullptr) noexcept;

/*
 * Would one more command of this pair find a worker at once, in a free slot or in that of an idle worker,
 * although the `queued_total` commands of the whole pool that wait already come first? Every idle worker
 * counts, and every one that is leaving. Tasks that wait are not counted: a free slot that they may have is
 * theirs by the time somebody asks.
 */
bool CouldStartNow(const SlotView *slots, int slot_count, int queued_total, std::uint32_t database,
				   std::uint32_t role, int role_limit, const PolicyLimits &limits) noexcept;

} // namespace worker_pool
