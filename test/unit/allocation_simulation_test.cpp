/*
 * allocation_simulation_test.cpp
 *	  A pool in small, driven by PlanActions alone: processes that take time to start and to leave, commands
 *	  and tasks of any length, and a launcher that sleeps until an event or the wake time of its last plan.
 *	  No limit is exceeded at any moment, everything runs, no pair waits longer for a worker than the bound
 *	  at the head of core/allocation.cpp, and no command waits for a task while a reserved slot runs none.
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

/* What the pairs have. */
enum class Mix
{
	kCommands,
	kTasks,
	kSplit, /* every other pair commands, the rest tasks */
	kBoth,
};

struct World
{
	int slots = 4;
	int databases = 2;
	int roles = 2;
	int per_database = 0;
	int role_limit = 0;
	int reserved = 0;
	Mix mix = Mix::kCommands;
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
	std::deque<Queued> tasks;
	std::int64_t gave_way_us = INT64_MIN;
	std::int64_t waiting_since_us = -1;		 /* queued and no worker; -1 = not so */
	std::int64_t task_waiting_since_us = -1; /* tasks and no worker for them */
	std::int64_t reserved_since_us =
		-1; /* its oldest command waits although a reserved slot runs none */
	std::uint64_t oldest_seen = 0;
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
	std::int64_t longest_task_wait_us_ = 0;
	/* a command waited, and fewer than the reserved slots ran commands */
	std::int64_t longest_reserved_wait_us_ = 0;
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

	void Enqueue(std::deque<Queued> &queue)
	{
		/* mostly short ones, some as long as they may be */
		const int length = Pick(5) == 0 ? 1 + Pick(world_.longest_ms) : 1 + Pick(3);

		queue.push_back({now_us_, ++submitted_, length * kMs});
	}

	bool HasCommands(std::size_t pair) const
	{
		return world_.mix == Mix::kCommands || world_.mix == Mix::kBoth ||
			   (world_.mix == Mix::kSplit && pair % 2 == 0);
	}

	bool HasTasks(std::size_t pair) const
	{
		return world_.mix == Mix::kBoth || world_.mix == Mix::kTasks ||
			   (world_.mix == Mix::kSplit && pair % 2 == 1);
	}

	int TaskLimit() const
	{
		return std::max(1, world_.slots - world_.reserved);
	}

	static bool IsTask(const SlotView &slot)
	{
		return slot.kind == SlotKind::kTask &&
			   (slot.state == SlotState::kStarting || slot.state == SlotState::kRunning);
	}

	std::int64_t TaskSlots() const
	{
		return std::count_if(slots_.begin(), slots_.end(), IsTask);
	}

	/* The session: to an idle worker when nothing is queued, else into the queue. */
	bool Submit()
	{
		bool queued = false;

		if (world_.floods)
		{
			for (std::size_t i = 0; i < pairs_.size(); ++i)
			{
				while (HasCommands(i) && pairs_[i].queue.size() < 5)
				{
					Enqueue(pairs_[i].queue);
					queued = true;
				}
				while (HasTasks(i) && pairs_[i].tasks.size() < 5)
				{
					Enqueue(pairs_[i].tasks);
					queued |= !WakePair(pairs_[i]);
				}
			}
			return queued;
		}
		for (double more = world_.commands_ms; more > 0; more -= 1)
		{
			if (more < 1 && Pick(1000) >= more * 1000)
				break;

			const auto at = static_cast<std::size_t>(Pick(static_cast<int>(pairs_.size())));
			PairState &pair = pairs_[at];

			if (HasTasks(at) && (!HasCommands(at) || Pick(2) == 0))
			{
				Enqueue(pair.tasks);
				queued |= !WakePair(pair);
				continue;
			}
			Enqueue(pair.queue);
			queued |= !HandOver(pair);
		}
		return queued;
	}

	/* An idle worker takes up the pair's tasks; else the launcher is to know. */
	bool WakePair(PairState &pair)
	{
		if (contended_)
			return false;
		for (std::size_t i = 0; i < slots_.size(); ++i)
		{
			if (slots_[i].state == SlotState::kIdle && &PairOf(slots_[i]) == &pair)
				return TurnToTasks(i);
		}
		return false;
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

		slots_[slot].kind = SlotKind::kCommand;
		Move(slot, SlotState::kRunning, now_us_ + pair.queue.front().takes_us);
		pair.queue.pop_front();
	}

	void TakeTask(std::size_t slot)
	{
		PairState &pair = PairOf(slots_[slot]);

		slots_[slot].kind = SlotKind::kTask;
		Move(slot, SlotState::kRunning, now_us_ + pair.tasks.front().takes_us);
		pair.tasks.pop_front();
	}

	/* The idle worker takes up tasks if there are some, and room for one more. */
	bool TurnToTasks(std::size_t slot)
	{
		if (PairOf(slots_[slot]).tasks.empty() || TaskSlots() >= TaskLimit())
			return false;
		TakeTask(slot);
		return true;
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
		else if (slot.kind == SlotKind::kTask && !pair.tasks.empty())
			TakeTask(index);
		else
		{
			Move(index, SlotState::kIdle, INT64_MAX);
			if (!contended_)
				(void) TurnToTasks(index);
		}
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
									 true,
									 TaskLimit()};
		const auto demand = [&](std::size_t i, const std::deque<Queued> &queue, SlotKind kind)
		{
			const auto roles = static_cast<unsigned>(world_.roles);

			if (!queue.empty())
				demands.push_back({1 + static_cast<std::uint32_t>(i) / roles,
								   1 + static_cast<std::uint32_t>(i) % roles, 0,
								   queue.front().submitted_us, queue.front().id,
								   static_cast<int>(queue.size()), world_.role_limit, 0, false,
								   pairs_[i].gave_way_us, kind});
		};

		for (std::size_t i = 0; i < pairs_.size(); ++i)
		{
			demand(i, pairs_[i].tasks, SlotKind::kTask);
			demand(i, pairs_[i].queue, SlotKind::kCommand);
		}

		std::vector<std::max_align_t> scratch(
			PolicyScratchSize(world_.slots, static_cast<int>(demands.size())) /
				sizeof(std::max_align_t) +
			1);

		actions.resize(static_cast<std::size_t>(PlanActions(
			slots_.data(), world_.slots, demands.data(), static_cast<int>(demands.size()), limits,
			actions.data(), world_.slots, &wake_at_us_, scratch.data(), &contended_)));
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
		else if (action.kind == ActionKind::kWake)
			(void) TurnToTasks(at);
		if (action.kind != ActionKind::kStart)
			return;

		const auto free =
			std::find_if(slots_.begin(), slots_.end(),
						 [](const SlotView &slot) { return slot.state == SlotState::kFree; });

		ASSERT_NE(free, slots_.end());
		free->database = demands[at].database;
		free->role = demands[at].role;
		free->kind = demands[at].kind;
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
		EXPECT_LE(TaskSlots(), TaskLimit());
		for (PairState &pair : pairs_)
		{
			const bool no_task_worker =
				!held([&](const SlotView &slot) { return IsTask(slot) && &PairOf(slot) == &pair; });

			Note(!pair.queue.empty() && pair.workers == 0, &pair.waiting_since_us,
				 &longest_wait_us_);
			Note(!pair.tasks.empty() && no_task_worker, &pair.task_waiting_since_us,
				 &longest_task_wait_us_);
		}
		WatchReserved(held(
			[](const SlotView &slot)
			{
				return slot.kind == SlotKind::kCommand &&
					   (slot.state == SlotState::kStarting || slot.state == SlotState::kRunning);
			}));
	}

	/* How long does the oldest command of a pair wait while a reserved slot runs none? */
	void WatchReserved(std::int64_t with_commands)
	{
		for (PairState &pair : pairs_)
		{
			const std::uint64_t oldest = pair.queue.empty() ? 0 : pair.queue.front().id;

			if (oldest != pair.oldest_seen)
				pair.reserved_since_us = -1;
			pair.oldest_seen = oldest;
			Note(oldest != 0 && with_commands < world_.reserved, &pair.reserved_since_us,
				 &longest_reserved_wait_us_);
		}
	}

	void Note(bool waits, std::int64_t *since_us, std::int64_t *longest_us) const
	{
		if (!waits)
			*since_us = -1;
		else if (*since_us < 0)
			*since_us = now_us_;
		else
			*longest_us = std::max(*longest_us, now_us_ - *since_us);
	}

	const World world_;
	std::mt19937 random_;
	std::vector<SlotView> slots_;
	std::vector<std::int64_t> due_us_; /* when the process in the slot does its next step */
	std::vector<PairState> pairs_;
	std::int64_t now_us_ = 0;
	bool contended_ = false; /* idle workers turn to tasks only when they are told */
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

TEST(AllocationSimulation, TasksOfManyPairsTakeTurns)
{
	for (unsigned seed = 1; seed <= 20; ++seed)
	{
		World world;

		world.seed = seed;
		world.slots = 2 + static_cast<int>(seed % 4);
		world.reserved = 1;
		world.databases = 4;
		world.mix = Mix::kTasks;
		world.floods = seed % 2 == 0;
		world.run_ms = 20000;

		Simulation simulation(world);

		simulation.Run(1000000);
		EXPECT_EQ(simulation.finished_, simulation.submitted_) << "seed " << seed;
		EXPECT_LE(simulation.longest_task_wait_us_, Bound(world, 8, world.slots - 1) * kMs)
			<< "seed " << seed;
	}
}

TEST(AllocationSimulation, CommandsDoNotWaitForTasks)
{
	for (unsigned seed = 1; seed <= 60; ++seed)
	{
		World world;

		world.seed = seed;
		world.slots = 3 + static_cast<int>(seed % 4);
		world.reserved = 1 + static_cast<int>(seed % 2);
		world.databases = 3;
		world.longest_ms = 1000;
		world.mix = seed % 4 < 2 ? Mix::kSplit : Mix::kBoth;
		world.floods = seed % 3 == 0;
		world.commands_ms = 0.05;
		world.run_ms = 20000;

		Simulation simulation(world);

		simulation.Run(10000000);
		EXPECT_EQ(simulation.finished_, simulation.submitted_) << "seed " << seed;
		/* one process leaves and another starts; twice where a pair that starves came between */
		EXPECT_LE(simulation.longest_reserved_wait_us_, 2 * (world.leave_ms + world.start_ms) * kMs)
			<< "seed " << seed;
	}
}

TEST(AllocationSimulation, CommandsAndTasksKeepToTheBound)
{
	for (unsigned seed = 1; seed <= 20; ++seed)
	{
		World world;

		world.seed = seed;
		world.slots = 2 + static_cast<int>(seed % 5);
		world.reserved = 1 + static_cast<int>(seed % 2);
		world.databases = 3;
		world.mix = Mix::kSplit;
		world.floods = true;

		Simulation simulation(world);

		simulation.Run(1000000);
		EXPECT_EQ(simulation.finished_, simulation.submitted_);
		EXPECT_LE(simulation.longest_wait_us_, Bound(world, 6, world.slots) * kMs)
			<< "seed " << seed;
		EXPECT_LE(simulation.longest_task_wait_us_,
				  Bound(world, 6, std::max(1, world.slots - world.reserved)) * kMs)
			<< "seed " << seed;
	}
}

TEST(AllocationSimulation, TasksUnderEveryLimitAtOnce)
{
	for (unsigned seed = 1; seed <= 40; ++seed)
	{
		World world;

		world.seed = seed;
		world.slots = 2 + static_cast<int>(seed % 7);
		world.reserved = static_cast<int>(seed % 3);
		world.databases = 1 + static_cast<int>(seed % 4);
		world.roles = 1 + static_cast<int>(seed % 5);
		world.per_database = static_cast<int>(seed % 3);
		world.role_limit = static_cast<int>(seed / 3 % 3);
		world.commands_ms = 0.2;
		world.mix = seed % 2 == 0 ? Mix::kBoth : Mix::kTasks;
		world.floods = seed % 4 < 2;

		Simulation simulation(world);

		simulation.Run(1000000);
		EXPECT_EQ(simulation.finished_, simulation.submitted_) << "seed " << seed;
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
	world.mix = Mix::kBoth;
	world.reserved = 1;
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
