/*
 * allocation_tasks_test.cpp
 *	  Tasks and visits in core/allocation.cpp: the slots that are kept free of them, workers that serve both,
 *	  who gives way to whom.
 */
#include "allocation_scene.hpp"

namespace worker_pool
{

namespace
{

using Indexes = std::vector<int>;

/* A pool of free slots, so many of which tasks may hold. */
Scene
Reserved(int free_slots, int task_slots)
{
	Scene scene(free_slots);

	scene.limits.task_slots = task_slots;
	return scene;
}

/* --- what is kept free ---------------------------------------------------------------------------- */

TEST(AllocationTasks, TheyTakeNoMoreThanTheirSlots)
{
	Scene scene = Reserved(4, 3);

	scene.Tasks(1, 1, 10);
	scene.Tasks(2, 1, 10);
	EXPECT_EQ(scene.Plan().Starts(), (Indexes{0, 1, 0}));
}

TEST(AllocationTasks, StartingAssignedRunningAndLeavingOnesCount)
{
	for (const SlotState state : {SlotState::kStarting, SlotState::kAssigned, SlotState::kRunning})
	{
		Scene scene = Reserved(4, 1);

		scene.TaskSlot(1, 1, state);
		scene.Tasks(2, 1, 1);
		EXPECT_TRUE(scene.Plan().actions.empty());
	}

	/* else a command would find no slot but this one */
	Scene leaving = Reserved(4, 1);

	leaving.TaskSlot(1, 1, SlotState::kStopping, 0.1);
	leaving.Tasks(2, 1, 1);
	EXPECT_TRUE(leaving.Plan().actions.empty());
	/* it may hang */
	EXPECT_EQ(leaving.wake_at, Scene::Ago(0.1) + 5 * kSecond);
}

TEST(AllocationTasks, IdleWorkersAndCommandsDoNotCount)
{
	Scene scene = Reserved(2, 1);

	scene.TaskSlot(1, 1, SlotState::kIdle);
	scene.Slot(1, 1, SlotState::kRunning);
	scene.Tasks(2, 1, 2);
	EXPECT_EQ(scene.Plan().Starts(), (Indexes{0}));
}

TEST(AllocationTasks, CommandsUseEverySlot)
{
	Scene scene = Reserved(4, 1);

	scene.Demand(1, 1, 9);
	EXPECT_EQ(scene.Plan().Starts().size(), 4U);
}

TEST(AllocationTasks, CommandGetsTheReservedSlotAtOnce)
{
	Scene scene = Reserved(1, 3);

	for (std::uint32_t database = 1; database <= 3; ++database)
		scene.TaskSlot(database, 1, SlotState::kRunning, 100);
	scene.Tasks(4, 1, 9, 100); /* older, and overdue */
	const int command = scene.Demand(5, 1, 1);

	scene.Plan();
	EXPECT_EQ(scene.Starts(), (Indexes{command}));
	EXPECT_EQ(scene.GiveWays().size(), 3U); /* for the tasks */
}

TEST(AllocationTasks, LoweredLimitIsComeDownTo)
{
	Scene scene = Reserved(0, 1);

	scene.TaskSlot(1, 1, SlotState::kRunning);
	scene.TaskSlot(1, 1, SlotState::kRunning);
	scene.Slot(1, 1, SlotState::kRunning);
	scene.TaskSlot(1, 1, SlotState::kIdle);
	scene.Plan();
	EXPECT_EQ(scene.GiveWays(), (Indexes{0}));
	EXPECT_TRUE(scene.Evicts().empty());
}

TEST(AllocationTasks, OtherLimitsHoldForThemToo)
{
	Scene scene = Reserved(4, 4);

	scene.limits.per_database = 2;
	scene.Slot(1, 2, SlotState::kRunning);
	scene.Tasks(1, 1, 9, 0.2);
	scene.Tasks(2, 1, 9, 0.1, 2);
	EXPECT_EQ(scene.Plan().Starts(), (Indexes{0, 1}));
}

/* --- a pair with both ------------------------------------------------------------------------------- */

TEST(AllocationTasks, StartingWorkerCountsOnce)
{
	Scene scene = Reserved(4, 4);

	scene.Slot(1, 1, SlotState::kStarting);
	scene.Demand(1, 1, 1, 0.1);
	const int tasks = scene.Tasks(1, 1, 1, 0.2);

	/* the command has it, so the task needs another */
	EXPECT_EQ(scene.Plan().Starts(), (Indexes{tasks}));

	scene.TaskSlot(1, 1, SlotState::kStarting);
	EXPECT_TRUE(scene.Plan().actions.empty());
}

TEST(AllocationTasks, WorkerAboutToTakeOneCounts)
{
	Scene scene = Reserved(4, 4);
	const int slot = scene.TaskSlot(1, 1, SlotState::kRunning, 0.01);

	scene.slots[static_cast<std::size_t>(slot)].taking = true;
	scene.Tasks(1, 1, 1);
	EXPECT_TRUE(scene.Plan().actions.empty());
	EXPECT_EQ(scene.wake_at, kNowUs + kSecond / 10);

	/* a command has to wait for the task */
	scene.Demand(1, 1, 1);
	EXPECT_EQ(scene.Plan().Starts(), (Indexes{1}));

	/* one that has run for longer is between two tasks: the next may be long */
	scene.demands.pop_back();
	scene.slots[static_cast<std::size_t>(slot)].since_us = Scene::Ago(0.2);
	EXPECT_EQ(scene.Plan().Starts(), (Indexes{0}));
}

TEST(AllocationTasks, IdleWorkerCountsOnce)
{
	Scene scene = Reserved(4, 4);
	const int idle = scene.Slot(1, 1, SlotState::kIdle);

	scene.Tasks(1, 1, 1, 0.2);
	EXPECT_EQ(scene.Plan().Wakes(), (Indexes{idle}));
	EXPECT_TRUE(scene.Starts().empty());

	scene.Demand(1, 1, 1, 0.1);
	scene.Plan();
	EXPECT_TRUE(scene.Wakes().empty());
	EXPECT_EQ(scene.Starts(), (Indexes{0}));
}

TEST(AllocationTasks, NobodyStartsForTasksWhileCommandsOfThePairWait)
{
	Scene scene = Reserved(4, 4);

	scene.Tasks(1, 1, 9, 0.5);
	const int command = scene.Demand(1, 1, 1, 0.1);

	EXPECT_EQ(scene.Plan().Starts(), (Indexes{command}));
	EXPECT_EQ(scene.wake_at, Scene::Ago(0.5) + kSecond);
}

TEST(AllocationTasks, TasksOfABusyPairAreLookedAtAgain)
{
	Scene scene = Reserved(0, 4);

	scene.Slot(1, 1, SlotState::kRunning, 5);
	scene.Tasks(1, 1, 9, 5);
	scene.Demand(1, 1, 1, 5);
	EXPECT_TRUE(scene.Plan().actions.empty());
	EXPECT_EQ(scene.wake_at, kNowUs + kSecond);
}

TEST(AllocationTasks, CommandBreaksTheTie)
{
	Scene scene = Reserved(1, 1);

	scene.Tasks(1, 1, 1, 0.1);
	scene.Demand(2, 1, 1, 0.1);
	EXPECT_EQ(scene.Plan().Starts(), (Indexes{1}));
}

/* --- idle workers -------------------------------------------------------------------------------- */

TEST(AllocationTasks, IdleWorkersAreToldAndTheRestIsStarted)
{
	Scene scene = Reserved(4, 3);
	const int colder = scene.Slot(1, 1, SlotState::kIdle, 2);
	const int warmer = scene.TaskSlot(1, 1, SlotState::kIdle, 1);

	scene.Tasks(1, 1, 9);
	scene.Plan();
	EXPECT_EQ(scene.Wakes(), (Indexes{warmer, colder}));
	EXPECT_EQ(scene.Starts(), (Indexes{0}));
}

TEST(AllocationTasks, IdleWorkerIsLeftAloneWhileThereIsNoRoom)
{
	Scene scene = Reserved(4, 1);

	scene.TaskSlot(2, 1, SlotState::kRunning);
	scene.Slot(1, 1, SlotState::kIdle);
	scene.Tasks(1, 1, 1, 0.25);
	EXPECT_TRUE(scene.Plan().actions.empty());
	EXPECT_EQ(scene.wake_at, Scene::Ago(0.25) + kSecond);
}

TEST(AllocationTasks, RoomGoesToTheOldestWhoeverHasAWorker)
{
	Scene scene = Reserved(1, 1);

	scene.Slot(1, 1, SlotState::kIdle);
	scene.Tasks(1, 1, 1, 0.1);
	scene.Tasks(2, 1, 1, 0.2);
	scene.Plan();
	EXPECT_EQ(scene.Starts(), (Indexes{1}));
	EXPECT_TRUE(scene.Wakes().empty());
}

TEST(AllocationTasks, IdleWorkerThatDoesNotComeIsReplaced)
{
	Scene scene = Reserved(1, 4);

	scene.Slot(1, 1, SlotState::kIdle, 5);
	scene.Tasks(1, 1, 1, 5.5);
	EXPECT_EQ(scene.Plan().Wakes(), (Indexes{1}));
	EXPECT_EQ(scene.wake_at, kNowUs + kSecond / 2);
	scene.demands[0].oldest_us = Scene::Ago(6);
	EXPECT_EQ(scene.Plan().Starts(), (Indexes{0}));
}

/* --- giving way ----------------------------------------------------------------------------------- */

TEST(AllocationTasks, TasksOfAnotherPairGiveWay)
{
	Scene scene = Reserved(2, 2);

	scene.Slot(3, 1, SlotState::kRunning, 50); /* a command helps nobody here */
	scene.TaskSlot(1, 1, SlotState::kRunning, 5);
	const int longest = scene.TaskSlot(1, 1, SlotState::kRunning, 7);

	scene.Tasks(2, 1, 1, 0.25);
	EXPECT_TRUE(scene.Plan().actions.empty());
	EXPECT_EQ(scene.wake_at, Scene::Ago(0.25) + kSecond);
	scene.demands[0].oldest_us = Scene::Ago(1);
	EXPECT_EQ(scene.Plan().GiveWays(), (Indexes{longest}));
}

TEST(AllocationTasks, PairWithAnIdleWorkerMayAsk)
{
	/* its worker needs no slot, but room among the tasks; and the role has all workers it may have */
	Scene scene = Reserved(2, 1);
	const int busy = scene.TaskSlot(2, 2, SlotState::kRunning, 50);

	scene.Slot(1, 1, SlotState::kIdle, 50);
	scene.Tasks(1, 1, 1, 2, 1);
	scene.Plan();
	EXPECT_EQ(scene.GiveWays(), (Indexes{busy}));
	EXPECT_TRUE(scene.Evicts().empty());
	scene.demands[0].oldest_us = Scene::Ago(0.5);
	EXPECT_TRUE(scene.Plan().actions.empty());
	EXPECT_EQ(scene.wake_at, Scene::Ago(0.5) + kSecond);
}

TEST(AllocationTasks, PairThatRunsCommandsMayAsk)
{
	Scene scene = Reserved(2, 1);
	const int busy = scene.TaskSlot(2, 2, SlotState::kRunning, 50);

	scene.Slot(1, 1, SlotState::kRunning, 50);
	scene.Tasks(1, 1, 1, 1.5);
	EXPECT_EQ(scene.Plan().GiveWays(), (Indexes{busy}));
}

TEST(AllocationTasks, PairWithTasksTakesOnlyFromAMuchLargerOne)
{
	Scene scene = Reserved(2, 3);

	scene.TaskSlot(1, 1, SlotState::kRunning, 5);
	scene.TaskSlot(2, 1, SlotState::kRunning, 5);
	scene.TaskSlot(2, 1, SlotState::kRunning, 5);
	scene.Tasks(1, 1, 9, 1.5);
	EXPECT_TRUE(scene.Plan().actions.empty());
	scene.TaskSlot(2, 1, SlotState::kRunning, 5);
	scene.limits.slots = 6;
	scene.limits.task_slots = 4;
	EXPECT_EQ(scene.Plan().GiveWays().size(), 1U);
}

TEST(AllocationTasks, FullPoolIsSharedWithCommands)
{
	Scene scene = Reserved(0, 3);
	const int longest = scene.Slot(1, 1, SlotState::kRunning, 9);

	for (int i = 0; i < 3; ++i)
		scene.Slot(1, 1, SlotState::kRunning, 5);
	scene.Tasks(2, 1, 1, 1.5);
	EXPECT_EQ(scene.Plan().GiveWays(), (Indexes{longest}));
}

TEST(AllocationTasks, WhoGaveWayWaitsAnew)
{
	Scene scene = Reserved(2, 1);

	scene.Tasks(1, 1, 9, 100);
	scene.Tasks(2, 1, 1, 2);
	EXPECT_EQ(scene.Plan().Starts(), (Indexes{0}));
	scene.demands[0].gave_way_us = Scene::Ago(0.001);
	EXPECT_EQ(scene.Plan().Starts(), (Indexes{1}));
}

/* --- visits --------------------------------------------------------------------------------------- */

int
Visit(Scene &scene, double oldest)
{
	const int index = scene.Demand(9, 0, 1, oldest);

	scene.demands.back().kind = SlotKind::kVisit;
	return index;
}

TEST(AllocationVisits, LastUntilTheIntervalIsOver)
{
	Scene scene = Reserved(1, 1);
	const int visit = Visit(scene, 0.9);
	const int command = scene.Demand(1, 1, 1, 0.1);

	EXPECT_EQ(scene.Plan().Starts(), (Indexes{command}));
	scene.demands[0].oldest_us = Scene::Ago(1);
	EXPECT_EQ(scene.Plan().Starts(), (Indexes{visit}));
	/* but never before who starves */
	scene.demands[1].oldest_us = Scene::Ago(1.1);
	EXPECT_EQ(scene.Plan().Starts(), (Indexes{command}));
	scene.demands[0].oldest_us = Scene::Ago(5);
	EXPECT_EQ(scene.Plan().Starts(), (Indexes{command}));
}

TEST(AllocationVisits, TakeAnIdleWorkersSlot)
{
	Scene scene = Reserved(0, 1);
	const int idle = scene.Slot(1, 1, SlotState::kIdle, 5);

	Visit(scene, 0);
	EXPECT_EQ(scene.Plan().Evicts(), (Indexes{idle}));
}

TEST(AllocationVisits, KnowNoLimitButThePools)
{
	Scene scene(1);

	scene.limits.per_database = 1;
	scene.Slot(9, 1, SlotState::kRunning, 5);
	const int visit = Visit(scene, 0);

	EXPECT_EQ(scene.Plan().Starts(), (Indexes{visit}));
	EXPECT_EQ(scene.actions.size(), 1U);
}

TEST(AllocationVisits, BusyWorkerGivesWay)
{
	Scene scene = Reserved(0, 1);

	scene.Slot(1, 1, SlotState::kRunning, 5);
	scene.Demand(1, 1, 9, 0.1);
	Visit(scene, 0.5);
	EXPECT_TRUE(scene.Plan().actions.empty());
	EXPECT_EQ(scene.wake_at, Scene::Ago(0.5) + kSecond);
	scene.demands[1].oldest_us = Scene::Ago(1);
	EXPECT_EQ(scene.Plan().GiveWays(), (Indexes{0}));
}

TEST(AllocationVisits, TasksLeaveRoomForThem)
{
	Scene scene = Reserved(2, 1);

	scene.Tasks(1, 1, 9, 5);
	const int visit = Visit(scene, 0);

	EXPECT_EQ(scene.Plan().Starts(), (Indexes{0, visit}));
}

} // namespace

} // namespace worker_pool
