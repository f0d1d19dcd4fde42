/*
 * allocation_simulation_test.cpp
 *	  A pool in small, driven by PlanActions alone: processes that take time to start and to leave, commands
 *	  of any length, and a launcher that sleeps until an event or the wake time of its last plan. No limit
 *	  is exceeded at any moment, every command runs, and no pair waits longer for a worker than the bound
 *	  at the head of core/allocation.cpp.
 */
#include "core/allocation.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <deque>
#include <functional>
#include <random>
#include <vector>

namespace worker_pool
{

namespace
{

constexpr std::int64_t kMs = 1000;

struct World
{
	int slots = 4;
	int databases = 2;
	int roles = 2;
	int per_database = 0;
	int role_limit = 0;
	int longest_ms = 50;
	int start_ms = 3;
	int leave_ms = 2;
	int fairness_ms = 100;
	int idle_timeout_ms = 500;
	int run_ms = 5000;		/* commands are submitted for so long */
	double commands_ms = 1; /* and so many a millisecond */
	bool floods = false;	/* each pair has always something queued */
	bool stop_when_done = true;
	unsigned seed = 1;
};

struct Queued
{
	std::int64_t submitted_us;
	std::uint64_t id;
	std::int64_t takes_us;
};

struct PairState
{
	std::deque<Queued> queue;
	std::int64_t gave_way_us = INT64_MIN;
	std::int64_t waiting_since_us = -1; /* queued and no worker; -1 = not so */
	int workers = 0;
};

class Simulation
{
public:
	explicit Simulation(const World &world)
		: world_(world),
		  random_(world.seed),
		  slots_(static_cast<std::size_t>(world.slots)),
		  due_us_(static_cast<std::size_t>(world.slots), INT64_MAX),
		  pairs_(static_cast<std::size_t>(world.databases * world.roles))
	{
		for (SlotView &slot : slots_)
			slot = {0, 0, 0, SlotState::kFree, SlotKind::kCommand, false, 0};
	}

	/* Runs until everything submitted was run, or `limit_ms` is over. */
	void Run(std::int64_t limit_ms)
	{
		for (; now_us_ < limit_ms * kMs; now_us_ += kMs)
		{
			bool event = wake_at_us_ <= now_us_;

			if (now_us_ < world_.run_ms * kMs)
				event |= Submit();
			else if (submitted_ == finished_ && world_.stop_when_done)
				return;
			for (std::size_t i = 0; i < slots_.size(); ++i)
			{
				if (due_us_[i] <= now_us_)
				{
					Advance(i);
					event = true;
				}
			}
			if (event)
				Launch();
			Watch();
			if (testing::Test::HasFailure())
				return;
		}
	}

	bool IsEmpty() const
	{
		return std::all_of(slots_.begin(), slots_.end(),
						   [](const SlotView &slot) { return slot.state == SlotState::kFree; });
	}

	std::int64_t longest_wait_us_ = 0;
	std::int64_t wake_at_us_ = INT64_MAX;
	std::uint64_t submitted_ = 0;
	std::uint64_t finished_ = 0;
	std::uint64_t started_ = 0;
	std::uint64_t plans_ = 0;

private:
	PairState &PairOf(const SlotView &slot)
	{
		return pairs_[(slot.database - 1) * static_cast<std::size_t>(world_.roles) + slot.role - 1];
	}

	int Pick(int n)
	{
		return static_cast<int>(random_() % static_cast<unsigned>(n));
	}

	void Enqueue(PairState &pair)
	{
		/* mostly short ones, some as long as they may be */
		const int length = Pick(5) == 0 ? 1 + Pick(world_.longest_ms) : 1 + Pick(3);

		pair.queue.push_back({now_us_, ++submitted_, length * kMs});
	}

	/* The session: to an idle worker when nothing is queued, else into the queue. */
	bool Submit()
	{
		bool queued = false;

		if (world_.floods)
		{
			for (PairState &pair : pairs_)
			{
				while (pair.queue.size() < 5)
				{
					Enqueue(pair);
					queued = true;
				}
			}
			return queued;
		}
		for (double more = world_.commands_ms; more > 0; more -= 1)
		{
			if (more < 1 && Pick(1000) >= more * 1000)
				break;

			PairState &pair =
				pairs_[static_cast<std::size_t>(Pick(static_cast<int>(pairs_.size())))];

			Enqueue(pair);
			queued |= !HandOver(pair);
		}
		return queued;
	}

	bool HandOver(PairState &pair)
	{
		if (pair.queue.size() > 1)
			return false;
		for (std::size_t i = 0; i < slots_.size(); ++i)
		{
			if (slots_[i].state == SlotState::kIdle && &PairOf(slots_[i]) == &pair)
			{
				Take(i);
				return true;
			}
		}
		return false;
	}

	void Move(std::size_t slot, SlotState state, std::int64_t due_us)
	{
		slots_[slot].state = state;
		slots_[slot].since_us = now_us_;
		due_us_[slot] = due_us;
	}

	/* The worker takes the oldest command of its pair. */
	void Take(std::size_t slot)
	{
		PairState &pair = PairOf(slots_[slot]);

		Move(slot, SlotState::kRunning, now_us_ + pair.queue.front().takes_us);
		pair.queue.pop_front();
	}

	/* What the process in the slot does when its time has come. */
	void Advance(std::size_t index)
	{
		SlotView &slot = slots_[index];
		PairState &pair = PairOf(slot);

		if (slot.state == SlotState::kStopping)
		{
			--pair.workers;
			slot.give_way = false;
			Move(index, SlotState::kFree, INT64_MAX);
			return;
		}
		if (slot.state == SlotState::kRunning)
			++finished_;
		if (slot.give_way)
		{
			pair.gave_way_us = now_us_;
			Move(index, SlotState::kStopping, now_us_ + world_.leave_ms * kMs);
		}
		else if (!pair.queue.empty())
			Take(index);
		else
			Move(index, SlotState::kIdle, INT64_MAX);
	}

	void Launch()
	{
		std::vector<DemandView> demands;
		std::vector<Action> actions(slots_.size());
		const PolicyLimits limits = {world_.slots,
									 world_.per_database,
									 world_.fairness_ms * kMs,
									 world_.idle_timeout_ms * kMs,
									 now_us_,
									 true};

		for (std::size_t i = 0; i < pairs_.size(); ++i)
		{
			const PairState &pair = pairs_[i];

			if (pair.queue.empty())
				continue;
			demands.push_back(
				{1 + static_cast<std::uint32_t>(i) / static_cast<unsigned>(world_.roles),
				 1 + static_cast<std::uint32_t>(i) % static_cast<unsigned>(world_.roles), 0,
				 pair.queue.front().submitted_us, pair.queue.front().id,
				 static_cast<int>(pair.queue.size()), world_.role_limit, 0, false,
				 pair.gave_way_us});
		}

		std::vector<std::max_align_t> scratch(
			PolicyScratchSize(world_.slots, static_cast<int>(demands.size())) /
				sizeof(std::max_align_t) +
			1);

		actions.resize(static_cast<std::size_t>(PlanActions(
			slots_.data(), world_.slots, demands.data(), static_cast<int>(demands.size()), limits,
			actions.data(), world_.slots, &wake_at_us_, scratch.data())));
		++plans_;
		EXPECT_GT(wake_at_us_, now_us_);
		for (const Action &action : actions)
			Carry(action, demands);
	}

	void Carry(const Action &action, const std::vector<DemandView> &demands)
	{
		const auto at = static_cast<std::size_t>(action.index);

		if (action.kind == ActionKind::kEvict)
			Move(at, SlotState::kStopping, now_us_ + world_.leave_ms * kMs);
		else if (action.kind == ActionKind::kGiveWay)
			slots_[at].give_way = true;
		if (action.kind != ActionKind::kStart)
			return;

		const auto free =
			std::find_if(slots_.begin(), slots_.end(),
						 [](const SlotView &slot) { return slot.state == SlotState::kFree; });

		ASSERT_NE(free, slots_.end());
		free->database = demands[at].database;
		free->role = demands[at].role;
		++PairOf(*free).workers;
		++started_;
		Move(static_cast<std::size_t>(free - slots_.begin()), SlotState::kStarting,
			 now_us_ + world_.start_ms * kMs);
	}

	/* Looks whether everybody keeps to the limits, and who waits. */
	void Watch()
	{
		const auto held = [this](const std::function<bool(const SlotView &)> &test)
		{
			return std::count_if(slots_.begin(), slots_.end(),
								 [&test](const SlotView &slot)
								 { return slot.state != SlotState::kFree && test(slot); });
		};

		for (std::uint32_t i = 1; world_.per_database > 0 && i <= unsigned(world_.databases); ++i)
			EXPECT_LE(held([i](const SlotView &slot) { return slot.database == i; }),
					  world_.per_database);
		for (std::uint32_t i = 1; world_.role_limit > 0 && i <= unsigned(world_.roles); ++i)
			EXPECT_LE(held([i](const SlotView &slot) { return slot.role == i; }),
					  world_.role_limit);
		for (PairState &pair : pairs_)
		{
			if (pair.queue.empty() || pair.workers > 0)
				pair.waiting_since_us = -1;
			else if (pair.waiting_since_us < 0)
				pair.waiting_since_us = now_us_;
			else
				longest_wait_us_ = std::max(longest_wait_us_, now_us_ - pair.waiting_since_us);
		}
	}

	const World world_;
	std::mt19937 random_;
	std::vector<SlotView> slots_;
	std::vector<std::int64_t> due_us_; /* when the process in the slot does its next step */
	std::vector<PairState> pairs_;
	std::int64_t now_us_ = 0;
};

/* The bound of core/allocation.cpp for `pairs` that compete for `slots`, in milliseconds. */
std::int64_t
Bound(const World &world, int pairs, int slots)
{
	const std::int64_t turn = world.longest_ms + world.start_ms + world.leave_ms + 3;

	return world.fairness_ms + ((pairs - 1) / slots + 1) * turn;
}

TEST(AllocationSimulation, FewPairsWaitTheIntervalAndOneCommand)
{
	for (unsigned seed = 1; seed <= 20; ++seed)
	{
		World world;

		world.seed = seed;
		world.floods = true;

		Simulation simulation(world);

		simulation.Run(1000000);
		EXPECT_EQ(simulation.finished_, simulation.submitted_);
		EXPECT_LE(simulation.longest_wait_us_, Bound(world, 4, 4) * kMs) << "seed " << seed;
	}
}

TEST(AllocationSimulation, ManyPairsTakeTurns)
{
	for (unsigned seed = 1; seed <= 20; ++seed)
	{
		World world;

		world.seed = seed;
		world.slots = 1 + static_cast<int>(seed % 4);
		world.databases = 5;
		world.roles = 3;
		world.floods = true;
		world.run_ms = 20000;

		Simulation simulation(world);

		simulation.Run(1000000);
		EXPECT_EQ(simulation.finished_, simulation.submitted_);
		EXPECT_LE(simulation.longest_wait_us_, Bound(world, 15, world.slots) * kMs)
			<< "seed " << seed;
	}
}

TEST(AllocationSimulation, OneFloodDoesNotStarveTheOthers)
{
	/* commands of very different length: the one asked first to give way may be the long one */
	for (unsigned seed = 1; seed <= 10; ++seed)
	{
		World world;

		world.seed = seed;
		world.databases = 3;
		world.longest_ms = 5000;
		world.floods = true;
		world.run_ms = 30000;

		Simulation simulation(world);

		simulation.Run(10000000);
		EXPECT_EQ(simulation.finished_, simulation.submitted_);
		EXPECT_LE(simulation.longest_wait_us_, Bound(world, 6, 4) * kMs) << "seed " << seed;
	}
}

TEST(AllocationSimulation, LimitsHoldAtEveryMomentAndEverythingRuns)
{
	for (unsigned seed = 1; seed <= 40; ++seed)
	{
		World world;

		world.seed = seed;
		world.slots = 2 + static_cast<int>(seed % 7);
		world.databases = 1 + static_cast<int>(seed % 4);
		world.roles = 1 + static_cast<int>(seed % 5);
		world.per_database = static_cast<int>(seed % 3);
		world.role_limit = static_cast<int>(seed / 3 % 3);
		world.commands_ms = 0.2;
		world.floods = seed % 2 == 0;

		Simulation simulation(world);

		simulation.Run(1000000);
		EXPECT_EQ(simulation.finished_, simulation.submitted_) << "seed " << seed;
		/* two limits at once: each can cost a turn of its own among all pairs */
		EXPECT_LE(simulation.longest_wait_us_,
				  3 * Bound(world, world.databases * world.roles, 1) * kMs)
			<< "seed " << seed;
	}
}

TEST(AllocationSimulation, LightLoadKeepsWorkersWarm)
{
	World world;

	world.commands_ms = 0.1;
	world.run_ms = 60000;

	Simulation simulation(world);

	simulation.Run(1000000);
	EXPECT_EQ(simulation.finished_, simulation.submitted_);
	/* a new process only where a pair has two commands at the same time */
	EXPECT_LT(simulation.started_ * 3, simulation.finished_);
}

TEST(AllocationSimulation, IdlePoolEmptiesAndSleeps)
{
	World world;

	world.run_ms = 100;
	world.stop_when_done = false;

	Simulation simulation(world);

	simulation.Run(2000);
	EXPECT_EQ(simulation.finished_, simulation.submitted_);
	EXPECT_TRUE(simulation.IsEmpty());

	const std::uint64_t plans = simulation.plans_;

	simulation.Run(3000);
	EXPECT_EQ(simulation.plans_, plans);
	EXPECT_EQ(simulation.wake_at_us_, INT64_MAX);
}

} // namespace

} // namespace worker_pool
