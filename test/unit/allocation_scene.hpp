/*
 * allocation_scene.hpp
 *	  A pool, its demands and the plan for them, for the tests of core/allocation.cpp.
 */
#pragma once

#include "core/allocation.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <vector>

namespace worker_pool
{

inline constexpr std::int64_t kSecond = 1000000;
inline constexpr std::int64_t kNowUs = 1000 * kSecond;
inline constexpr std::int64_t kNever = INT64_MAX;

/* A pool, its demands, and the plan for them. */
struct Scene
{
	std::vector<SlotView> slots;
	std::vector<DemandView> demands;
	PolicyLimits limits = {0, 0, kSecond, 60 * kSecond, kNowUs, true};
	std::vector<Action> actions;
	std::int64_t wake_at = 0;

	explicit Scene(int free_slots = 0)
	{
		for (int i = 0; i < free_slots; ++i)
			slots.push_back({0, 0, 0, SlotState::kFree, SlotKind::kCommand, false, 0});
	}

	/* Times are seconds ago. */
	int Slot(std::uint32_t database, std::uint32_t role, SlotState state, double since = 0)
	{
		slots.push_back({database, role, 0, state, SlotKind::kCommand, false, Ago(since)});
		return static_cast<int>(slots.size()) - 1;
	}

	int Demand(std::uint32_t database, std::uint32_t role, int queued, double oldest = 0,
			   int role_limit = 0)
	{
		const auto index = demands.size();

		demands.push_back(
			{database, role, 0, Ago(oldest), 100 + index, queued, role_limit, 0, false});
		return static_cast<int>(index);
	}

	/* The same, used for tasks. */
	int TaskSlot(std::uint32_t database, std::uint32_t role, SlotState state, double since = 0)
	{
		const int index = Slot(database, role, state, since);

		slots.back().kind = SlotKind::kTask;
		return index;
	}

	/* Tasks that are ready. */
	int Tasks(std::uint32_t database, std::uint32_t role, int ready, double oldest = 0,
			  int role_limit = 0)
	{
		const int index = Demand(database, role, ready, oldest, role_limit);

		demands.back().kind = SlotKind::kTask;
		return index;
	}

	static std::int64_t Ago(double seconds)
	{
		return kNowUs - static_cast<std::int64_t>(seconds * kSecond);
	}

	Scene &Plan(int capacity = -1)
	{
		const int slot_count = static_cast<int>(slots.size());
		const int demand_count = static_cast<int>(demands.size());
		std::vector<std::max_align_t> scratch(
			PolicyScratchSize(slot_count, demand_count) / sizeof(std::max_align_t) + 1);

		if (limits.slots == 0)
			limits.slots = slot_count;
		actions.resize(static_cast<std::size_t>(capacity < 0 ? slot_count : capacity));
		actions.resize(static_cast<std::size_t>(PlanActions(
			slots.data(), slot_count, demands.data(), demand_count, limits, actions.data(),
			static_cast<int>(actions.size()), &wake_at, scratch.data())));
		return *this;
	}

	/* The indexes of the actions of one kind, in their order. */
	std::vector<int> Of(ActionKind kind) const
	{
		std::vector<int> indexes;

		for (const Action &action : actions)
		{
			if (action.kind == kind)
				indexes.push_back(action.index);
		}
		return indexes;
	}

	std::vector<int> Starts() const
	{
		return Of(ActionKind::kStart);
	}

	std::vector<int> Evicts() const
	{
		return Of(ActionKind::kEvict);
	}

	std::vector<int> GiveWays() const
	{
		return Of(ActionKind::kGiveWay);
	}

	std::vector<int> Wakes() const
	{
		return Of(ActionKind::kWake);
	}

	bool
	CouldStart(int queued_total, std::uint32_t database, std::uint32_t role, int role_limit = 0)
	{
		if (limits.slots == 0)
			limits.slots = static_cast<int>(slots.size());
		return CouldStartNow(slots.data(), static_cast<int>(slots.size()), queued_total, database,
							 role, role_limit, limits);
	}
};

using Indexes = std::vector<int>;

} // namespace worker_pool
