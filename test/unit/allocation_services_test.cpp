/*
 * allocation_services_test.cpp
 *	  Services, resident mains and leases in core/allocation.cpp; and many services on few slots, driven by
 *	  PlanActions alone: each takes its turn within the bound that stands at its head.
 */
#include "allocation_scene.hpp"

#include <algorithm>
#include <random>

namespace worker_pool
{

namespace
{

/* Its pair is one of its own. */
constexpr std::uint64_t
PairOf(std::uint64_t service)
{
	return UINT64_C(1) << 63 | service;
}

int
ServiceSlot(Scene &scene, std::uint64_t service, SlotState state, double since = 0)
{
	const int index = scene.Slot(1, 1, state, since);

	scene.slots.back().kind = SlotKind::kService;
	scene.slots.back().fresh_id = PairOf(service);
	return index;
}

int
Resident(Scene &scene, std::uint64_t service, double since = 0)
{
	const int index = ServiceSlot(scene, service, SlotState::kRunning, since);

	scene.slots.back().resident = true;
	return index;
}

int
Lease(Scene &scene, std::uint64_t number)
{
	const int index = scene.Slot(0, 0, SlotState::kRunning, 500);

	scene.slots.back().kind = SlotKind::kLease;
	scene.slots.back().fresh_id = UINT64_C(1) << 62 | number;
	return index;
}

/* A service that has been due for so long. */
int
Due(Scene &scene, std::uint64_t service, double oldest = 0)
{
	const int index = scene.Demand(1, 1, 1, oldest);

	scene.demands.back().kind = SlotKind::kService;
	scene.demands.back().fresh_id = PairOf(service);
	return index;
}

Scene
Shared(int free_slots, int task_slots)
{
	Scene scene(free_slots);

	scene.limits.task_slots = task_slots;
	return scene;
}

/* --- one by one ----------------------------------------------------------------------------------- */

TEST(AllocationServices, TheyShareTheSlotsOfTasks)
{
	Scene scene = Shared(4, 3);
	const int tasks = scene.Tasks(2, 1, 1, 0.2);
	const int first = Due(scene, 1, 0.3);
	const int second = Due(scene, 2, 0.1);

	Due(scene, 3, 0.05);
	EXPECT_EQ(scene.Plan().Starts(), (Indexes{first, tasks, second}));
}

TEST(AllocationServices, RunningStartingAndLeavingOnesCountIdleOnesDoNot)
{
	for (const SlotState state : {SlotState::kStarting, SlotState::kRunning, SlotState::kStopping})
	{
		Scene scene = Shared(4, 1);

		ServiceSlot(scene, 1, state, 0.1);
		scene.Tasks(2, 1, 1);
		Due(scene, 2);
		EXPECT_TRUE(scene.Plan().actions.empty());
	}

	Scene idle = Shared(4, 1);

	ServiceSlot(idle, 1, SlotState::kIdle);
	EXPECT_EQ(idle.Tasks(2, 1, 1), 0);
	EXPECT_EQ(idle.Plan().Starts(), (Indexes{0}));
}

TEST(AllocationServices, IdleOneIsWokenAndNeverDoubled)
{
	Scene scene = Shared(4, 4);
	const int idle = ServiceSlot(scene, 1, SlotState::kIdle, 100);

	Due(scene, 1, 0.1);
	/* however long it does not come */
	for (const double due : {0.1, 2.0, 90.0})
	{
		scene.demands[0].oldest_us = Scene::Ago(due);
		scene.Plan();
		EXPECT_EQ(scene.Wakes(), (Indexes{idle}));
		EXPECT_EQ(scene.actions.size(), 1U);
	}
}

TEST(AllocationServices, EvictedOneIsNotStartedInTheSamePlan)
{
	Scene scene = Shared(0, 1);
	const int idle = ServiceSlot(scene, 1, SlotState::kIdle, 5);

	Due(scene, 1, 0.1);
	scene.Demand(2, 1, 1, 0.2);
	scene.Plan();
	EXPECT_EQ(scene.Evicts(), (Indexes{idle}));
	EXPECT_EQ(scene.actions.size(), 1U);
}

TEST(AllocationServices, IdleOnesOutlastTheIdleTimeout)
{
	Scene scene = Shared(1, 1);

	ServiceSlot(scene, 1, SlotState::kIdle, 900);
	scene.Plan();
	EXPECT_TRUE(scene.actions.empty());
	EXPECT_EQ(scene.wake_at, kNever);
	scene.limits.enabled = false;
	EXPECT_EQ(scene.Plan().Evicts(), (Indexes{1}));
}

TEST(AllocationServices, IdleOnesAreEvictedLongestFirst)
{
	Scene scene = Shared(0, 2);

	ServiceSlot(scene, 1, SlotState::kIdle, 1);
	const int longest = ServiceSlot(scene, 2, SlotState::kIdle, 3);

	scene.Slot(3, 1, SlotState::kIdle, 2);
	scene.Demand(2, 1, 1, 0.1);
	EXPECT_EQ(scene.Plan().Evicts(), (Indexes{longest}));
}

TEST(AllocationServices, RunningOneGivesWay)
{
	Scene scene = Shared(2, 1);
	const int busy = ServiceSlot(scene, 1, SlotState::kRunning, 9);

	Due(scene, 2, 0.5);
	EXPECT_TRUE(scene.Plan().actions.empty());
	EXPECT_EQ(scene.wake_at, Scene::Ago(0.5) + kSecond);
	scene.demands[0].oldest_us = Scene::Ago(1);
	EXPECT_EQ(scene.Plan().GiveWays(), (Indexes{busy}));
}

TEST(AllocationServices, LoweredLimitIsComeDownTo)
{
	Scene scene = Shared(0, 1);

	ServiceSlot(scene, 1, SlotState::kRunning, 9);
	ServiceSlot(scene, 2, SlotState::kRunning, 9);
	EXPECT_EQ(scene.Plan().GiveWays().size(), 1U);
}

TEST(AllocationServices, ResidentsAndLeasesAreAskedForNothing)
{
	Scene scene = Shared(0, 3);

	Resident(scene, 1, 800);
	Lease(scene, 1);
	const int task = scene.TaskSlot(3, 1, SlotState::kRunning, 0.1);

	scene.Demand(2, 1, 9, 700);
	Due(scene, 2, 700);
	scene.limits.per_database = 1;
	scene.Plan();
	EXPECT_EQ(scene.actions.size(), 1U);
	EXPECT_EQ(scene.GiveWays(), (Indexes{task}));

	/* switched off, or with fewer slots than they are: whoever runs them ends them */
	scene.limits.enabled = false;
	EXPECT_TRUE(scene.Plan().actions.empty());
	scene.limits.enabled = true;
	scene.demands.clear();
	scene.limits.task_slots = 1;
	EXPECT_EQ(scene.Plan().GiveWays(), (Indexes{task}));
}

TEST(AllocationServices, ResidentThatIsAskedToLeaveCountsAsRoomToCome)
{
	Scene scene = Shared(0, 2);
	const int resident = Resident(scene, 1, 800);

	scene.TaskSlot(3, 1, SlotState::kRunning, 5);
	scene.slots[static_cast<std::size_t>(resident)].give_way = true;
	Due(scene, 2, 1.5);
	EXPECT_TRUE(scene.Plan().actions.empty());
}

TEST(AllocationServices, CommandFindsTheReservedSlot)
{
	Scene scene = Shared(1, 3);

	for (std::uint64_t service = 1; service <= 3; ++service)
		ServiceSlot(scene, service, SlotState::kRunning, 100);
	Due(scene, 4, 100);
	const int command = scene.Demand(5, 1, 1);

	EXPECT_EQ(scene.Plan().Starts(), (Indexes{command}));
	EXPECT_TRUE(scene.CouldStart(0, 5, 1));
}

/* --- many on few slots -------------------------------------------------------------------------------- */

constexpr std::int64_t kMs = 1000;

struct Town
{
	int services = 200;
	int slots = 4;
	int task_slots = 3;
	int residents = 0;
	int every_ms = 1;
	int longest_ms = 20;
	int start_ms = 3;
	int leave_ms = 2;
	int fairness_ms = 1000;
	bool tasks = false; /* a pair has tasks without end, beside them */
	int run_ms = 30000;
	unsigned seed = 1;
};

/*
 * Processes take time to start and to leave; a cycle runs, then the service is due again `every` after its begin.
 * The launcher looks at each event and at the wake time of its last plan.
 */
class TurnTaking
{
public:
	explicit TurnTaking(const Town &town)
		: town_(town),
		  random_(town.seed),
		  services_(static_cast<std::size_t>(town.services)),
		  due_us_(static_cast<std::size_t>(town.slots), INT64_MAX)
	{
		scene_.limits = {town.slots, 0,	   town.fairness_ms * kMs, 500 * kMs,
						 0,			 true, town.task_slots};
		for (int i = 0; i < town.slots; ++i)
			scene_.slots.push_back({0, 0, 0, SlotState::kFree, SlotKind::kCommand, false, 0});
		for (int i = 0; i < town.residents; ++i)
		{
			SlotView &slot = scene_.slots[static_cast<std::size_t>(i)];

			slot = {9,
					9,
					PairOf(100000 + static_cast<std::uint64_t>(i)),
					SlotState::kRunning,
					SlotKind::kService,
					false,
					0};
			slot.resident = true;
		}
	}

	void Run()
	{
		for (now_us_ = kMs; now_us_ < town_.run_ms * kMs; now_us_ += kMs)
		{
			/* the launcher sleeps to the moment at which one without a process is due; one with wakes by itself */
			bool event = wake_at_us_ <= now_us_ || BecameDue();

			for (std::size_t i = 0; i < scene_.slots.size(); ++i)
			{
				if (due_us_[i] > now_us_)
					continue;
				Advance(i);
				event = true;
			}
			if (event)
				Launch();
			Watch();
			if (testing::Test::HasFailure())
				return;
		}
	}

	std::int64_t longest_wait_us_ = 0; /* from due to the begin of the cycle */
	std::int64_t longest_gap_us_ = 0;  /* between two begins */
	std::uint64_t evictions_ = 0;
	std::uint64_t starts_ = 0;

	std::uint64_t FewestCycles() const
	{
		return std::min_element(services_.begin(), services_.end(),
								[](const Service &a, const Service &b)
								{ return a.cycles < b.cycles; })
			->cycles;
	}

	std::uint64_t MostCycles() const
	{
		return std::max_element(services_.begin(), services_.end(),
								[](const Service &a, const Service &b)
								{ return a.cycles < b.cycles; })
			->cycles;
	}

private:
	struct Service
	{
		std::int64_t next_us = 0;
		std::int64_t begun_us = -1;
		std::uint64_t cycles = 0;
		int slot = -1;
	};

	static bool IsTaken(const SlotView &slot)
	{
		return IsShared(slot.kind) &&
			   (slot.state == SlotState::kStarting || slot.state == SlotState::kRunning);
	}

	int Taken() const
	{
		return static_cast<int>(std::count_if(scene_.slots.begin(), scene_.slots.end(), IsTaken));
	}

	std::int64_t Length()
	{
		const auto longest = static_cast<unsigned>(town_.longest_ms);

		return (1 + static_cast<std::int64_t>(random_() % longest)) * kMs;
	}

	Service &ServiceOf(const SlotView &slot)
	{
		return services_[static_cast<std::size_t>(slot.fresh_id & ~PairOf(0))];
	}

	void Move(std::size_t slot, SlotState state, std::int64_t due_us)
	{
		scene_.slots[slot].state = state;
		scene_.slots[slot].since_us = now_us_;
		due_us_[slot] = due_us;
	}

	bool BecameDue()
	{
		bool event = false;

		for (Service &service : services_)
		{
			if (service.next_us > now_us_ || service.next_us <= now_us_ - kMs)
				continue;
			if (service.slot < 0 ||
				scene_.slots[static_cast<std::size_t>(service.slot)].state != SlotState::kIdle ||
				!BeginByItself(static_cast<std::size_t>(service.slot)))
				event = true;
		}
		return event;
	}

	/* StartServiceCycle */
	bool BeginByItself(std::size_t slot)
	{
		if (Taken() >= town_.task_slots || contended_)
			return false;
		Begin(slot);
		return true;
	}

	void Begin(std::size_t slot)
	{
		Service &service = ServiceOf(scene_.slots[slot]);

		longest_wait_us_ = std::max(longest_wait_us_, now_us_ - service.next_us);
		if (service.begun_us >= 0)
			longest_gap_us_ = std::max(longest_gap_us_, now_us_ - service.begun_us);
		service.begun_us = now_us_;
		++service.cycles;
		Move(slot, SlotState::kRunning, now_us_ + Length());
	}

	void Advance(std::size_t index)
	{
		SlotView &slot = scene_.slots[index];

		if (slot.kind == SlotKind::kTask && slot.state != SlotState::kStopping)
		{
			/* there is always another task */
			Move(index, slot.give_way ? SlotState::kStopping : SlotState::kRunning,
				 now_us_ + (slot.give_way ? town_.leave_ms * kMs : Length()));
			if (slot.give_way)
				tasks_gave_way_us_ = tasks_since_us_ = now_us_;
			return;
		}
		switch (slot.state)
		{
			case SlotState::kStarting:
				Begin(index);
				break;
			case SlotState::kRunning:
			{
				Service &service = ServiceOf(slot);

				service.next_us = std::max(service.begun_us + town_.every_ms * kMs, now_us_);
				if (slot.give_way)
					Move(index, SlotState::kStopping, now_us_ + town_.leave_ms * kMs);
				else
					Move(index, SlotState::kIdle, INT64_MAX);
				if (!slot.give_way && service.next_us <= now_us_)
					(void) BeginByItself(index);
				break;
			}
			default:
				if (slot.kind == SlotKind::kService)
					ServiceOf(slot).slot = -1;
				slot = {0, 0, 0, SlotState::kFree, SlotKind::kCommand, false, now_us_};
				due_us_[index] = INT64_MAX;
				break;
		}
	}

	void AddDemands()
	{
		scene_.demands.clear();
		for (std::size_t i = 0; i < services_.size(); ++i)
		{
			const Service &service = services_[i];

			if (service.next_us > now_us_ ||
				(service.slot >= 0 &&
				 scene_.slots[static_cast<std::size_t>(service.slot)].state != SlotState::kIdle))
				continue;
			scene_.demands.push_back({1 + static_cast<std::uint32_t>(i), 1, PairOf(i),
									  service.next_us, i, 1, 0, 0, false, INT64_MIN,
									  SlotKind::kService});
		}
		if (town_.tasks)
			scene_.demands.push_back({7777, 7, 0, tasks_since_us_, 1, 100, 0, 0, false,
									  tasks_gave_way_us_, SlotKind::kTask});
	}

	void Launch()
	{
		const int demands = (AddDemands(), static_cast<int>(scene_.demands.size()));
		std::vector<std::max_align_t> scratch(
			PolicyScratchSize(town_.slots, demands) / sizeof(std::max_align_t) + 1);
		std::vector<Action> actions(static_cast<std::size_t>(town_.slots));

		scene_.limits.now_us = now_us_;

		const int count = PlanActions(scene_.slots.data(), town_.slots, scene_.demands.data(),
									  demands, scene_.limits, actions.data(), town_.slots,
									  &wake_at_us_, scratch.data(), &contended_);

		EXPECT_GT(wake_at_us_, now_us_);
		for (int i = 0; i < count; ++i)
			Carry(actions[static_cast<std::size_t>(i)]);
	}

	void Carry(const Action &action)
	{
		const auto at = static_cast<std::size_t>(action.index);

		switch (action.kind)
		{
			case ActionKind::kEvict:
				++evictions_;
				Move(at, SlotState::kStopping, now_us_ + town_.leave_ms * kMs);
				break;
			case ActionKind::kGiveWay:
				EXPECT_FALSE(scene_.slots[at].resident);
				scene_.slots[at].give_way = true;
				break;
			case ActionKind::kWake:
				ASSERT_LT(Taken(), town_.task_slots);
				Begin(at);
				break;
			case ActionKind::kStart:
				Start(scene_.demands[at]);
				break;
			case ActionKind::kNone:
				break;
		}
	}

	void Start(const DemandView &demand)
	{
		const auto free =
			std::find_if(scene_.slots.begin(), scene_.slots.end(),
						 [](const SlotView &slot) { return slot.state == SlotState::kFree; });

		ASSERT_NE(free, scene_.slots.end());
		*free = {demand.database, demand.role, demand.fresh_id, SlotState::kFree,
				 demand.kind,	  false,	   now_us_};
		++starts_;

		const auto index = static_cast<std::size_t>(free - scene_.slots.begin());

		if (demand.kind == SlotKind::kService)
		{
			ASSERT_EQ(ServiceOf(*free).slot, -1); /* one process at most */
			ServiceOf(*free).slot = static_cast<int>(index);
		}
		Move(index, SlotState::kStarting, now_us_ + town_.start_ms * kMs);
	}

	void Watch() const
	{
		EXPECT_LE(Taken(), town_.task_slots);
		for (int i = 0; i < town_.residents; ++i)
			EXPECT_TRUE(scene_.slots[static_cast<std::size_t>(i)].resident);
	}

	const Town town_;
	std::mt19937 random_;
	Scene scene_;
	std::vector<Service> services_;
	std::vector<std::int64_t> due_us_; /* when the process in the slot does its next step */
	std::int64_t now_us_ = 0;
	std::int64_t wake_at_us_ = 0;
	std::int64_t tasks_since_us_ = 0;
	std::int64_t tasks_gave_way_us_ = INT64_MIN;
	bool contended_ = false;
};

/* That of core/allocation.cpp, from due to begin, in milliseconds; one step of the clock for each hand-over. */
std::int64_t
TurnBound(const Town &town, bool alone)
{
	const std::int64_t turn = town.longest_ms + town.start_ms + town.leave_ms + 3;
	const int slots = town.task_slots - town.residents;
	const int others = town.services - 1 + (town.tasks ? 1 : 0);

	return (alone ? 0 : town.fairness_ms) + (others / slots + 1) * turn;
}

TEST(AllocationTurns, TwoHundredServicesOnThreeSlots)
{
	for (unsigned seed = 1; seed <= 4; ++seed)
	{
		Town town;

		town.seed = seed;
		town.every_ms = seed % 2 == 0 ? 1 : 500;

		TurnTaking simulation(town);

		simulation.Run();
		EXPECT_LE(simulation.longest_wait_us_, TurnBound(town, true) * kMs) << "seed " << seed;
		EXPECT_LE(simulation.longest_gap_us_,
				  (std::max(town.every_ms, town.longest_ms) + TurnBound(town, true)) * kMs);
		EXPECT_GT(simulation.FewestCycles(), 5U);
		/* turns: nobody is a round ahead of anybody */
		EXPECT_LE(simulation.MostCycles(), simulation.FewestCycles() + 2);
	}
}

TEST(AllocationTurns, BesideResidents)
{
	for (int residents = 1; residents <= 2; ++residents)
	{
		Town town;

		town.residents = residents;

		TurnTaking simulation(town);

		simulation.Run();
		EXPECT_LE(simulation.longest_wait_us_, TurnBound(town, true) * kMs) << residents;
		EXPECT_GT(simulation.FewestCycles(), 3U);
	}
}

TEST(AllocationTurns, BesideTasksWithoutEnd)
{
	for (unsigned seed = 1; seed <= 4; ++seed)
	{
		Town town;

		town.seed = seed;
		town.tasks = true;
		town.fairness_ms = 100;
		town.services = 40;

		TurnTaking simulation(town);

		simulation.Run();
		EXPECT_LE(simulation.longest_wait_us_, TurnBound(town, false) * kMs) << "seed " << seed;
		EXPECT_GT(simulation.FewestCycles(), 5U);
	}
}

TEST(AllocationTurns, AsManyAsSlotsKeepTheirProcesses)
{
	Town town;

	town.services = 3;
	town.every_ms = 100;

	TurnTaking simulation(town);

	simulation.Run();
	EXPECT_EQ(simulation.starts_, 3U);
	EXPECT_EQ(simulation.evictions_, 0U);
	EXPECT_GT(simulation.FewestCycles(), 290U);
}

} // namespace

} // namespace worker_pool
