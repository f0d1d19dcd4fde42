/*
 * allocation_test.cpp
 *	  Each rule of core/allocation.cpp in a case of its own. The bound on a wait is in
 *	  allocation_simulation_test.cpp.
 */
#include "allocation_scene.hpp"

#include <chrono>
#include <random>
#include <vector>

namespace worker_pool
{

namespace
{

/* --- starting ------------------------------------------------------------------------------------- */

TEST(Allocation, NothingWantedNothingDone)
{
	Scene scene(4);

	EXPECT_TRUE(scene.Plan().actions.empty());
	EXPECT_EQ(scene.wake_at, kNever);
}

TEST(Allocation, EmptyPoolDoesNothing)
{
	Scene scene(0);

	scene.Demand(1, 1, 5, 100);
	EXPECT_TRUE(scene.Plan().actions.empty());
	EXPECT_EQ(scene.wake_at, kNever);
}

TEST(Allocation, OldestCommandFirst)
{
	Scene scene(1);

	scene.Demand(1, 1, 1, 0.1);
	scene.Demand(2, 1, 1, 0.3);
	scene.Demand(3, 1, 1, 0.2);
	EXPECT_EQ(scene.Plan().Starts(), (Indexes{1}));
}

TEST(Allocation, CommandIdBreaksTheTie)
{
	Scene scene(1);

	scene.Demand(1, 1, 1, 0.1);
	scene.Demand(2, 1, 1, 0.1);
	scene.demands[1].order = 7;
	EXPECT_EQ(scene.Plan().Starts(), (Indexes{1}));
}

TEST(Allocation, OneWorkerARoundForEachPair)
{
	Scene scene(4);

	scene.Demand(1, 1, 1000, 0.3);
	scene.Demand(2, 1, 1, 0.1);
	EXPECT_EQ(scene.Plan().Starts(), (Indexes{0, 1, 0, 0}));
}

TEST(Allocation, StartingWorkersCountRunningOnesDoNot)
{
	Scene scene(4);

	scene.Slot(1, 1, SlotState::kStarting);
	scene.Slot(1, 1, SlotState::kRunning);
	scene.Slot(1, 1, SlotState::kAssigned);
	scene.Demand(1, 1, 2, 0.1);
	EXPECT_EQ(scene.Plan().Starts(), (Indexes{0}));
}

TEST(Allocation, StartingVisitTakesNoCommand)
{
	Scene scene(1);

	scene.slots[static_cast<std::size_t>(scene.Slot(1, 1, SlotState::kStarting))].kind =
		SlotKind::kVisit;
	scene.Demand(1, 1, 1);
	EXPECT_EQ(scene.Plan().Starts(), (Indexes{0}));
}

TEST(Allocation, FreshCommandIsAPairOfItsOwn)
{
	Scene scene(1);

	scene.Slot(1, 1, SlotState::kStarting);
	scene.Slot(1, 1, SlotState::kIdle, 1);
	scene.Demand(1, 1, 1);
	scene.demands[0].fresh_id = 77;
	EXPECT_EQ(scene.Plan().Starts(), (Indexes{0}));
}

TEST(Allocation, SwitchedOffStartsNothingAndEndsIdleWorkers)
{
	Scene scene(2);

	scene.limits.enabled = false;
	scene.Slot(1, 1, SlotState::kIdle);
	scene.Slot(2, 1, SlotState::kRunning, 500);
	scene.Demand(1, 2, 3, 100);
	scene.Plan();
	EXPECT_TRUE(scene.Starts().empty());
	EXPECT_TRUE(scene.GiveWays().empty());
	EXPECT_EQ(scene.Evicts(), (Indexes{2}));
}

TEST(Allocation, BlockedDatabaseIsLeftAlone)
{
	Scene scene(2);

	scene.Demand(1, 1, 1, 100);
	scene.demands[0].blocked = true;
	EXPECT_TRUE(scene.Plan().actions.empty());
	EXPECT_EQ(scene.wake_at, kNever);
}

TEST(Allocation, BackOffIsWaitedFor)
{
	Scene scene(1);

	scene.Demand(1, 1, 1, 100);
	scene.Demand(2, 1, 1, 1);
	scene.demands[0].not_before_us = kNowUs + 5;
	EXPECT_EQ(scene.Plan().Starts(), (Indexes{1}));
	EXPECT_EQ(scene.wake_at, kNowUs + 5);
	scene.demands[0].not_before_us = kNowUs;
	EXPECT_EQ(scene.Plan().Starts(), (Indexes{0}));
}

TEST(Allocation, FewerSlotsThanTheArrayHas)
{
	Scene scene(4);

	scene.limits.slots = 2;
	scene.Demand(1, 1, 9);
	EXPECT_EQ(scene.Plan().Starts().size(), 2U);
}

/* --- limits --------------------------------------------------------------------------------------- */

TEST(Allocation, DatabaseLimitCountsEveryKind)
{
	Scene scene(4);

	scene.limits.per_database = 2;
	scene.slots[static_cast<std::size_t>(scene.Slot(1, 9, SlotState::kRunning))].kind =
		SlotKind::kVisit;
	scene.Demand(1, 1, 9, 0.2);
	scene.Demand(2, 1, 9, 0.1);
	EXPECT_EQ(scene.Plan().Starts(), (Indexes{0, 1, 1}));
}

TEST(Allocation, RoleLimitSpansDatabases)
{
	Scene scene(4);

	scene.Slot(5, 1, SlotState::kRunning);
	scene.Demand(1, 1, 9, 0.2, 3);
	scene.Demand(2, 1, 9, 0.1, 3);
	EXPECT_EQ(scene.Plan().Starts(), (Indexes{0, 1}));
}

TEST(Allocation, StoppingWorkerStillCountsAgainstTheLimit)
{
	Scene scene(4);

	scene.limits.per_database = 1;
	scene.Slot(1, 2, SlotState::kStopping, 0.1);
	scene.Demand(1, 1, 1, 50);
	scene.Plan();
	EXPECT_TRUE(scene.actions.empty());
	/* it may hang */
	EXPECT_EQ(scene.wake_at, Scene::Ago(0.1) + 5 * kSecond);
}

TEST(Allocation, LimitIsRelievedOnlyByThoseItCounts)
{
	Scene scene(4);

	scene.limits.per_database = 2;
	scene.Slot(2, 2, SlotState::kIdle, 50); /* longer idle, but elsewhere */
	const int idle = scene.Slot(1, 2, SlotState::kIdle, 10);
	scene.Slot(1, 3, SlotState::kRunning, 10);
	scene.Demand(1, 1, 1);
	EXPECT_EQ(scene.Plan().Evicts(), (Indexes{idle}));
	EXPECT_TRUE(scene.Starts().empty());
}

TEST(Allocation, TwoLimitsMayNeedTwoSlots)
{
	Scene scene(4);

	scene.limits.per_database = 1;
	const int in_database = scene.Slot(1, 2, SlotState::kIdle, 10);
	const int of_role = scene.Slot(2, 1, SlotState::kIdle, 20);
	scene.Demand(1, 1, 1, 0, 1);
	EXPECT_EQ(scene.Plan().Evicts().size(), 2U);
	EXPECT_EQ(scene.actions[0].index, of_role);
	EXPECT_EQ(scene.actions[1].index, in_database);
}

TEST(Allocation, NobodyIsEvictedInVain)
{
	Scene scene(4);

	scene.limits.per_database = 1;
	scene.Slot(1, 2, SlotState::kRunning, 0.5); /* the database stays full */
	scene.Slot(2, 1, SlotState::kIdle, 20);
	scene.Demand(1, 1, 1, 0, 1);
	EXPECT_TRUE(scene.Plan().actions.empty());
}

TEST(Allocation, LoweredDatabaseLimitIsComeDownTo)
{
	Scene scene;

	scene.limits.per_database = 1;
	scene.Slot(1, 1, SlotState::kIdle, 1);
	scene.Slot(1, 2, SlotState::kRunning, 1);
	scene.Slot(1, 3, SlotState::kRunning, 1);
	scene.Slot(2, 1, SlotState::kRunning, 1);
	scene.Plan();
	EXPECT_EQ(scene.Evicts(), (Indexes{0}));
	EXPECT_EQ(scene.GiveWays(), (Indexes{1}));
}

/* --- eviction ------------------------------------------------------------------------------------- */

TEST(Allocation, LongestIdleMakesRoom)
{
	Scene scene;

	scene.Slot(1, 1, SlotState::kIdle, 5);
	const int longest = scene.Slot(2, 1, SlotState::kIdle, 9);
	scene.Slot(3, 1, SlotState::kAssigned, 50);
	scene.Slot(4, 1, SlotState::kIdle, 7);
	scene.Demand(9, 1, 1);
	scene.Plan();
	EXPECT_EQ(scene.Evicts(), (Indexes{longest}));
	EXPECT_EQ(scene.actions.size(), 1U);
}

TEST(Allocation, OneCommandDrivesOneWorkerOut)
{
	Scene scene;

	scene.Slot(1, 1, SlotState::kStopping, 0.1);
	scene.Slot(2, 1, SlotState::kIdle, 9);
	scene.Demand(9, 1, 1, 0.2);
	EXPECT_TRUE(scene.Plan().actions.empty());

	/* the second command needs a second slot */
	scene.Demand(8, 1, 1, 0.1);
	EXPECT_EQ(scene.Plan().Evicts(), (Indexes{1}));
}

TEST(Allocation, WorkerThatHangsWhileLeavingCountsNoMore)
{
	Scene scene;

	scene.Slot(1, 1, SlotState::kStopping, 6);
	scene.Slot(2, 1, SlotState::kIdle, 9);
	scene.Demand(9, 1, 1, 0.2);
	EXPECT_EQ(scene.Plan().Evicts(), (Indexes{1}));
}

TEST(Allocation, PromisedRoomIsNotTakenByAYoungerCommand)
{
	Scene scene(1);

	scene.limits.per_database = 1;
	scene.Slot(1, 2, SlotState::kStopping, 0.1);
	scene.Demand(1, 1, 1, 0.5, 1); /* waits for the database, holds the role's only worker */
	scene.Demand(2, 1, 1, 0.1, 1);
	EXPECT_TRUE(scene.Plan().actions.empty());
}

TEST(Allocation, OwnIdleWorkerTakesTheCommandByItself)
{
	Scene scene(2);

	scene.Slot(1, 1, SlotState::kIdle, 5);
	scene.Demand(1, 1, 1, 0.25);
	EXPECT_TRUE(scene.Plan().actions.empty());
	EXPECT_EQ(scene.wake_at, Scene::Ago(0.25) + kSecond);
}

TEST(Allocation, OwnIdleWorkerThatDoesNotIsReplaced)
{
	Scene full;

	full.Slot(1, 1, SlotState::kIdle, 5);
	full.Demand(1, 1, 1, 2);
	EXPECT_EQ(full.Plan().Evicts(), (Indexes{0}));

	Scene roomy(1);

	roomy.Slot(1, 1, SlotState::kIdle, 5);
	roomy.Demand(1, 1, 1, 2);
	EXPECT_EQ(roomy.Plan().Starts(), (Indexes{0}));
}

TEST(Allocation, IdleTimeOut)
{
	Scene scene(1);

	scene.Slot(1, 1, SlotState::kIdle, 60);
	scene.Slot(2, 1, SlotState::kIdle, 59);
	scene.Slot(3, 1, SlotState::kRunning, 600);
	scene.Plan();
	EXPECT_EQ(scene.Evicts(), (Indexes{1}));
	EXPECT_EQ(scene.wake_at, kNowUs + kSecond);
}

TEST(Allocation, IdleTimeOutOfZeroIsAtOnce)
{
	Scene scene;

	scene.limits.idle_timeout_us = 0;
	scene.Slot(1, 1, SlotState::kIdle, 0);
	EXPECT_EQ(scene.Plan().Evicts(), (Indexes{0}));
}

TEST(Allocation, WhoIsOverdueAnywayMakesRoom)
{
	Scene scene;

	scene.Slot(1, 1, SlotState::kIdle, 60);
	scene.Slot(2, 1, SlotState::kIdle, 10);
	scene.Demand(9, 1, 1);
	EXPECT_EQ(scene.Plan().Evicts(), (Indexes{0}));
}

/* --- giving way ----------------------------------------------------------------------------------- */

TEST(Allocation, GiveWayOnlyAfterTheFairnessInterval)
{
	Scene scene;

	scene.Slot(1, 1, SlotState::kRunning, 5);
	scene.Demand(2, 1, 1, 0.25);
	EXPECT_TRUE(scene.Plan().actions.empty());
	EXPECT_EQ(scene.wake_at, Scene::Ago(0.25) + kSecond);
	scene.demands[0].oldest_us = Scene::Ago(1);
	EXPECT_EQ(scene.Plan().GiveWays(), (Indexes{0}));
}

TEST(Allocation, LargestPairGivesWayWithItsLongestCommand)
{
	Scene scene;

	scene.Slot(1, 1, SlotState::kRunning, 90);
	scene.Slot(2, 1, SlotState::kRunning, 3);
	const int longest = scene.Slot(2, 1, SlotState::kAssigned, 7);
	scene.Slot(2, 1, SlotState::kRunning, 5);
	scene.Demand(9, 1, 1, 1);
	EXPECT_EQ(scene.Plan().GiveWays(), (Indexes{longest}));
}

TEST(Allocation, WhoGivesWayAlreadyCounts)
{
	Scene scene;

	scene.Slot(1, 1, SlotState::kRunning, 5);
	scene.Slot(1, 1, SlotState::kRunning, 6);
	scene.slots[0].give_way = true;
	scene.Demand(9, 1, 1, 1.5);
	EXPECT_TRUE(scene.Plan().actions.empty());
	/* looks again when it may ask one more */
	EXPECT_EQ(scene.wake_at, Scene::Ago(1.5) + 2 * kSecond);

	/* a second pair in need asks for a second slot */
	scene.Demand(8, 1, 1, 1.2);
	EXPECT_EQ(scene.Plan().GiveWays(), (Indexes{1}));
}

TEST(Allocation, AnotherOneIsAskedEachInterval)
{
	Scene scene;

	scene.Slot(1, 1, SlotState::kRunning, 3600); /* may run for hours */
	scene.Slot(1, 1, SlotState::kRunning, 0.01);
	scene.Slot(1, 1, SlotState::kRunning, 0.02);
	scene.slots[0].give_way = true;
	scene.Demand(9, 1, 1, 2);
	EXPECT_EQ(scene.Plan().GiveWays(), (Indexes{2}));
	scene.slots[2].give_way = true;
	scene.demands[0].oldest_us = Scene::Ago(3);
	EXPECT_EQ(scene.Plan().GiveWays(), (Indexes{1}));
	scene.slots[1].give_way = true;
	scene.demands[0].oldest_us = Scene::Ago(4);
	EXPECT_TRUE(scene.Plan().actions.empty());
	EXPECT_EQ(scene.wake_at, kNever);
}

TEST(Allocation, VisitsAndFreshWorkersLeaveByThemselves)
{
	Scene scene;

	scene.Slot(1, 1, SlotState::kRunning, 5);
	scene.slots[static_cast<std::size_t>(scene.Slot(2, 1, SlotState::kRunning, 5))].kind =
		SlotKind::kVisit;
	scene.Demand(9, 1, 1, 1);
	EXPECT_TRUE(scene.Plan().actions.empty());
	scene.slots[1].kind = SlotKind::kCommand;
	scene.slots[1].fresh_id = 3;
	EXPECT_TRUE(scene.Plan().actions.empty());
	scene.slots[1].fresh_id = 0;
	EXPECT_EQ(scene.Plan().GiveWays().size(), 1U);
}

TEST(Allocation, OwnPairDoesNotGiveWayToItself)
{
	Scene scene;

	scene.Slot(1, 1, SlotState::kRunning, 5);
	scene.Slot(1, 1, SlotState::kRunning, 5);
	scene.Demand(1, 1, 9, 100);
	EXPECT_TRUE(scene.Plan().actions.empty());
	EXPECT_EQ(scene.wake_at, kNever);
}

TEST(Allocation, LimitsDecideWhoCanHelp)
{
	Scene scene(1);

	scene.limits.per_database = 2;
	scene.Slot(2, 2, SlotState::kRunning, 50);
	scene.Slot(2, 2, SlotState::kRunning, 50);
	scene.Slot(1, 2, SlotState::kRunning, 3);
	const int helps = scene.Slot(1, 2, SlotState::kRunning, 5);
	scene.Demand(1, 1, 1, 1);
	EXPECT_EQ(scene.Plan().GiveWays(), (Indexes{helps}));
}

TEST(Allocation, PairWithWorkersTakesOnlyFromAMuchLargerOne)
{
	Scene scene;

	scene.Slot(1, 1, SlotState::kRunning, 5);
	scene.Slot(2, 1, SlotState::kRunning, 5);
	scene.Slot(2, 1, SlotState::kRunning, 5);
	scene.Demand(1, 1, 9, 100);
	EXPECT_TRUE(scene.Plan().actions.empty());
	scene.Slot(2, 1, SlotState::kRunning, 5);
	scene.limits.slots = 4;
	EXPECT_EQ(scene.Plan().GiveWays().size(), 1U);
}

TEST(Allocation, StarvingPairGoesFirst)
{
	Scene scene(1);

	scene.Slot(1, 1, SlotState::kRunning, 5);
	scene.Demand(1, 1, 9, 100);
	scene.Demand(2, 1, 1, 2);
	EXPECT_EQ(scene.Plan().Starts(), (Indexes{1}));
	/* before the interval is over the older command comes first */
	scene.demands[1].oldest_us = Scene::Ago(0.5);
	EXPECT_EQ(scene.Plan().Starts(), (Indexes{0}));
}

TEST(Allocation, WhoGaveWayWaitsAnew)
{
	Scene scene(1);

	scene.Demand(1, 1, 9, 100);
	scene.Demand(2, 1, 1, 2);
	EXPECT_EQ(scene.Plan().Starts(), (Indexes{0}));
	scene.demands[0].gave_way_us = Scene::Ago(0.001);
	EXPECT_EQ(scene.Plan().Starts(), (Indexes{1}));
}

TEST(Allocation, PairWhoseWorkerGivesWayAsksForNoOther)
{
	Scene scene;

	scene.Slot(1, 1, SlotState::kRunning, 5);
	scene.Slot(2, 1, SlotState::kRunning, 5);
	scene.slots[0].give_way = true;
	scene.Demand(1, 1, 9, 100);
	scene.Demand(3, 1, 1, 1);
	EXPECT_TRUE(scene.Plan().actions.empty());
}

TEST(Allocation, SmallCapacityIsFinishedByTheNextCall)
{
	Scene scene(3);

	scene.Demand(1, 1, 3);
	EXPECT_EQ(scene.Plan(2).Starts().size(), 2U);
	EXPECT_EQ(scene.wake_at, kNowUs);
	EXPECT_TRUE(scene.Plan(0).actions.empty());
	EXPECT_EQ(scene.wake_at, kNowUs);
	EXPECT_EQ(scene.Plan(3).Starts().size(), 3U);
	EXPECT_EQ(scene.wake_at, kNever);
}

TEST(Allocation, ExtremeTimesDoNotOverflow)
{
	Scene scene;

	scene.limits.fairness_us = INT64_MAX;
	scene.limits.idle_timeout_us = INT64_MAX;
	scene.Slot(1, 1, SlotState::kIdle);
	scene.slots[0].since_us = INT64_MAX;
	scene.Slot(2, 1, SlotState::kRunning);
	scene.slots[1].since_us = INT64_MIN;
	scene.Demand(1, 1, 1);
	scene.demands[0].oldest_us = INT64_MIN;
	scene.Demand(2, 2, 1000000);
	scene.demands[1].oldest_us = INT64_MAX;
	scene.Plan();
	scene.limits.fairness_us = 0;
	scene.limits.idle_timeout_us = 0;
	scene.Plan();
	EXPECT_LE(scene.actions.size(), 2U);
}

/* --- on_full => 'error' --------------------------------------------------------------------------- */

TEST(CouldStartNow, FreeIdleAndLeavingSlotsCount)
{
	Scene scene;

	scene.Slot(1, 1, SlotState::kRunning);
	scene.Slot(1, 1, SlotState::kAssigned);
	EXPECT_FALSE(scene.CouldStart(0, 9, 9));
	scene.slots[0].state = SlotState::kIdle;
	EXPECT_TRUE(scene.CouldStart(0, 9, 9));
	scene.slots[0].state = SlotState::kStopping;
	EXPECT_TRUE(scene.CouldStart(0, 9, 9));
	scene.slots[0].state = SlotState::kFree;
	EXPECT_TRUE(scene.CouldStart(0, 9, 9));
	scene.limits.enabled = false;
	EXPECT_FALSE(scene.CouldStart(0, 9, 9));
}

TEST(CouldStartNow, CommandsThatWaitComeFirst)
{
	Scene scene(2);

	EXPECT_TRUE(scene.CouldStart(1, 9, 9));
	EXPECT_FALSE(scene.CouldStart(2, 9, 9));
	/* a starting worker takes one of them */
	scene.Slot(1, 1, SlotState::kStarting);
	scene.limits.slots = 3;
	EXPECT_TRUE(scene.CouldStart(2, 9, 9));
	EXPECT_FALSE(scene.CouldStart(3, 9, 9));
}

TEST(CouldStartNow, LimitsHold)
{
	Scene scene(4);

	scene.limits.per_database = 1;
	scene.Slot(1, 1, SlotState::kRunning);
	EXPECT_FALSE(scene.CouldStart(0, 1, 2));
	EXPECT_TRUE(scene.CouldStart(0, 2, 2));
	EXPECT_FALSE(scene.CouldStart(0, 2, 1, 1));
	EXPECT_TRUE(scene.CouldStart(0, 2, 1, 2));
}

/* --- random scenes -------------------------------------------------------------------------------- */

/* Whatever the scene: each slot acted on once, starts within every limit, no wake in the past. */
TEST(AllocationProperty, PlansAreSound)
{
	std::mt19937 random(20240614);
	const auto pick = [&random](int n) { return static_cast<int>(random() % unsigned(n)); };

	for (int round = 0; round < 20000; ++round)
	{
		Scene scene;
		const int slot_count = pick(12);
		const int databases = 1 + pick(3);
		const int roles = 1 + pick(3);
		const int role_limit = pick(4);

		scene.limits.per_database = pick(5);
		scene.limits.slots = slot_count;
		scene.limits.task_slots = 1 + pick(12);
		scene.limits.enabled = pick(20) != 0;
		for (int i = 0; i < slot_count; ++i)
		{
			const int at = scene.Slot(1 + unsigned(pick(databases)), 1 + unsigned(pick(roles)),
									  static_cast<SlotState>(pick(6)), pick(700) / 10.0);

			scene.slots[static_cast<std::size_t>(at)].give_way = pick(4) == 0;
			scene.slots[static_cast<std::size_t>(at)].kind = pick(6) == 0	? SlotKind::kVisit
															 : pick(2) == 0 ? SlotKind::kTask
																			: SlotKind::kCommand;
		}
		for (int database = 1; database <= databases; ++database)
		{
			for (int role = 1; role <= roles; ++role)
			{
				if (pick(2) == 0)
					scene.Demand(unsigned(database), unsigned(role), 1 + pick(5), pick(50) / 10.0,
								 role_limit);
				if (pick(2) == 0)
					scene.Tasks(unsigned(database), unsigned(role), 1 + pick(5), pick(100) / 10.0,
								role_limit);
			}
		}
		if (pick(4) == 0)
		{
			scene.Demand(unsigned(databases), 0, 1, pick(50) / 10.0);
			scene.demands.back().kind = SlotKind::kVisit;
		}
		scene.Plan();

		std::vector<int> acted(static_cast<std::size_t>(slot_count), 0);
		std::vector<int> in_database(10, 0);
		std::vector<int> of_role(10, 0);
		int held = 0;
		int by_tasks = 0;

		for (const SlotView &slot : scene.slots)
		{
			const int one = slot.state != SlotState::kFree;

			held += one;
			by_tasks += one != 0 && slot.kind == SlotKind::kTask && slot.state != SlotState::kIdle;
			in_database[slot.database] += one;
			of_role[slot.role] += one;
		}
		for (const Action &action : scene.actions)
		{
			if (action.kind == ActionKind::kStart)
			{
				const DemandView &demand = scene.demands[static_cast<std::size_t>(action.index)];

				EXPECT_LE(++held, slot_count);
				++in_database[demand.database];
				++of_role[demand.role];
				EXPECT_TRUE(scene.limits.per_database == 0 || demand.kind == SlotKind::kVisit ||
							in_database[demand.database] <= scene.limits.per_database);
				EXPECT_TRUE(role_limit == 0 || demand.role == 0 ||
							of_role[demand.role] <= role_limit);
				by_tasks += demand.kind == SlotKind::kTask;
				EXPECT_TRUE(demand.kind != SlotKind::kTask || by_tasks <= scene.limits.task_slots);
				continue;
			}

			const auto at = static_cast<std::size_t>(action.index);
			const SlotState state = scene.slots[at].state;

			EXPECT_EQ(++acted[at], 1);
			by_tasks += action.kind == ActionKind::kWake;
			EXPECT_TRUE(action.kind != ActionKind::kWake || by_tasks <= scene.limits.task_slots);
			if (action.kind == ActionKind::kEvict || action.kind == ActionKind::kWake)
				EXPECT_EQ(state, SlotState::kIdle);
			else
				EXPECT_TRUE(state == SlotState::kRunning || state == SlotState::kAssigned);
			EXPECT_FALSE(action.kind == ActionKind::kGiveWay && scene.slots[at].give_way);
		}
		EXPECT_GT(scene.wake_at, kNowUs);
		if (HasFailure())
			return;
	}
}

TEST(AllocationProperty, LargeScenesAreQuick)
{
	std::mt19937 random(7);
	Scene scene;

	for (unsigned i = 0; i < 1000; ++i)
		scene.Slot(random() % 300, random() % 50, i % 2 ? SlotState::kIdle : SlotState::kRunning,
				   30);
	for (unsigned i = 0; i < 1100; ++i)
		scene.Demand(1000 + i, random() % 50, 1 + static_cast<int>(random() % 1000), 5);

	const auto begin = std::chrono::steady_clock::now();

	scene.Plan();
	EXPECT_EQ(scene.Evicts().size(), 500U);
	EXPECT_EQ(scene.GiveWays().size(), 500U);
	EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
}

} // namespace

} // namespace worker_pool
