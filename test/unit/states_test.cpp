/*
 * states_test.cpp
 *	  The transition tables against the diagrams of src/README.md, cell by cell, and the words of the views.
 */
#include "core/states.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>

namespace worker_pool
{

namespace
{

template <typename State>
using Moves = std::set<std::pair<State, State>>;

template <typename State>
void
ExpectExactly(const Moves<State> &legal, std::size_t count)
{
	for (std::size_t from = 0; from < count; ++from)
	{
		for (std::size_t to = 0; to < count; ++to)
		{
			const auto a = static_cast<State>(from);
			const auto b = static_cast<State>(to);

			EXPECT_EQ(IsLegalMove(a, b), legal.count({a, b}) == 1)
				<< "from " << from << " to " << to;
		}
	}
}

TEST(SlotStates, TableIsTheDiagram)
{
	using S = SlotState;

	ExpectExactly<S>(
		{
			{S::kFree, S::kStarting},
			{S::kStarting, S::kIdle},
			{S::kStarting, S::kRunning},
			{S::kStarting, S::kStopping},
			{S::kStarting, S::kFree},
			{S::kIdle, S::kAssigned},
			{S::kIdle, S::kRunning}, /* it takes tasks, or begins the cycle of its service */
			{S::kIdle, S::kStopping},
			{S::kIdle, S::kFree},
			{S::kAssigned, S::kRunning},
			{S::kAssigned, S::kStopping},
			{S::kAssigned, S::kFree},
			{S::kRunning, S::kIdle},
			{S::kRunning, S::kRunning}, /* the next command of its pair, or a command after tasks */
			{S::kRunning, S::kStopping},
			{S::kRunning, S::kFree},
			{S::kStopping, S::kFree},
		},
		kSlotStateCount);
}

TEST(SlotStates, EveryStateButFreeCanBeFreed)
{
	for (std::size_t from = 1; from < kSlotStateCount; ++from)
		EXPECT_TRUE(IsLegalMove(static_cast<SlotState>(from), SlotState::kFree)) << from;
	EXPECT_FALSE(IsLegalMove(SlotState::kFree, SlotState::kFree));
}

TEST(CommandStates, TableIsTheDiagram)
{
	using C = CommandState;

	ExpectExactly<C>(
		{
			{C::kVacant, C::kQueued},
			{C::kVacant, C::kRunning},
			{C::kQueued, C::kVacant},
			{C::kQueued, C::kRunning},
			{C::kQueued, C::kFailed},
			{C::kQueued, C::kCancelled},
			{C::kRunning, C::kQueued}, /* assigned, but the worker may not run it */
			{C::kRunning, C::kSucceeded},
			{C::kRunning, C::kFailed},
			{C::kRunning, C::kCancelled},
			{C::kRunning, C::kLost},
			{C::kSucceeded, C::kVacant},
			{C::kFailed, C::kVacant},
			{C::kCancelled, C::kVacant},
			{C::kLost, C::kVacant},
		},
		kCommandStateCount);
}

TEST(CommandStates, FinishedOnesOnlyBecomeVacant)
{
	for (std::size_t from = 0; from < kCommandStateCount; ++from)
	{
		const auto state = static_cast<CommandState>(from);

		EXPECT_EQ(IsFinished(state), from >= static_cast<std::size_t>(CommandState::kSucceeded));
		if (!IsFinished(state))
			continue;
		for (std::size_t to = 0; to < kCommandStateCount; ++to)
			EXPECT_EQ(IsLegalMove(state, static_cast<CommandState>(to)), to == 0);
	}
}

TEST(ServiceStates, TableIsTheDiagram)
{
	using V = ServiceState;

	ExpectExactly<V>(
		{
			{V::kStopped, V::kStarting},	   {V::kStopped, V::kQuarantined},
			{V::kStarting, V::kStopped},	   {V::kStarting, V::kRunning},
			{V::kStarting, V::kWaiting},	   {V::kStarting, V::kBackingOff},
			{V::kStarting, V::kQuarantined},   {V::kRunning, V::kStopped},
			{V::kRunning, V::kStarting},	   {V::kRunning, V::kWaiting},
			{V::kRunning, V::kBackingOff},	   {V::kRunning, V::kQuarantined},
			{V::kWaiting, V::kStopped},		   {V::kWaiting, V::kStarting},
			{V::kWaiting, V::kRunning}, /* its process is there */
			{V::kWaiting, V::kBackingOff},	   {V::kWaiting, V::kQuarantined},
			{V::kBackingOff, V::kStopped},	   {V::kBackingOff, V::kStarting},
			{V::kBackingOff, V::kRunning},	   {V::kBackingOff, V::kWaiting},
			{V::kBackingOff, V::kQuarantined}, {V::kQuarantined, V::kStopped},
			{V::kQuarantined, V::kStarting}, /* start_service */
		},
		kServiceStateCount);
}

TEST(ServiceStates, OnlyWhatIsWantedRuns)
{
	EXPECT_FALSE(IsLegalMove(ServiceState::kStopped, ServiceState::kRunning));
	EXPECT_FALSE(IsLegalMove(ServiceState::kQuarantined, ServiceState::kRunning));
	for (std::size_t from = 1; from < kServiceStateCount; ++from)
		EXPECT_TRUE(IsLegalMove(static_cast<ServiceState>(from), ServiceState::kStopped)) << from;
}

TEST(SlotKinds, SharedOnesCountAgainstWhatIsNotReserved)
{
	EXPECT_FALSE(IsShared(SlotKind::kCommand));
	EXPECT_FALSE(IsShared(SlotKind::kVisit));
	EXPECT_TRUE(IsShared(SlotKind::kTask));
	EXPECT_TRUE(IsShared(SlotKind::kService));
	EXPECT_TRUE(IsShared(SlotKind::kLease));
}

TEST(StateNames, AreTheWordsOfTheViews)
{
	const char *const slots[] = {"free", "starting", "idle", "running", "running", "stopping"};
	const char *const services[] = {"stopped", "starting",	  "running",
									"waiting", "backing off", "quarantined"};
	const char *const commands[] = {"vacant", "queued",	   "running", "succeeded",
									"failed", "cancelled", "lost"};

	for (std::size_t i = 0; i < kSlotStateCount; ++i)
		EXPECT_STREQ(SlotStateName(static_cast<SlotState>(i)), slots[i]);
	for (std::size_t i = 0; i < kCommandStateCount; ++i)
		EXPECT_STREQ(CommandStateName(static_cast<CommandState>(i)), commands[i]);
	EXPECT_STREQ(SlotKindName(SlotKind::kCommand), "command");
	EXPECT_STREQ(SlotKindName(SlotKind::kVisit), "visit");
	EXPECT_STREQ(SlotKindName(SlotKind::kTask), "task");
	EXPECT_STREQ(SlotKindName(SlotKind::kService), "service");
	EXPECT_STREQ(SlotKindName(SlotKind::kLease), "lease");
	EXPECT_STREQ(SlotKindName(static_cast<SlotKind>(99)), "?");
	for (std::size_t i = 0; i < kServiceStateCount; ++i)
		EXPECT_STREQ(ServiceStateName(static_cast<ServiceState>(i)), services[i]);
	EXPECT_STREQ(ServiceStateName(static_cast<ServiceState>(99)), "?");
	EXPECT_STREQ(SlotStateName(static_cast<SlotState>(99)), "?");
	EXPECT_STREQ(CommandStateName(static_cast<CommandState>(99)), "?");
}

} // namespace

} // namespace worker_pool
