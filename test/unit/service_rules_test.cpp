/*
 * service_rules_test.cpp
 *	  Cycles keep their beat without a backlog, the back-off starts anew after healthy time only, and a service that does
 *	  not stop is pressed step by step.
 */
#include "core/service_rules.hpp"

#include <gtest/gtest.h>

#include <climits>

namespace worker_pool
{

namespace
{

constexpr std::int64_t kSecond = 1000000;

static_assert(NextCycleUs(0, 1000, 1) == kSecond, "usable at compile time");

TEST(ServiceRules, CyclesKeepTheirBeat)
{
	EXPECT_EQ(NextCycleUs(10 * kSecond, 60000, 11 * kSecond), 70 * kSecond);
	EXPECT_EQ(NextCycleUs(10 * kSecond, 60000, 70 * kSecond), 70 * kSecond);
}

TEST(ServiceRules, MissedCyclesAreNotMadeUpFor)
{
	EXPECT_EQ(NextCycleUs(10 * kSecond, 1000, 500 * kSecond), 500 * kSecond);
	EXPECT_EQ(NextCycleUs(10 * kSecond, 1, 500 * kSecond), 500 * kSecond);
}

TEST(ServiceRules, AClockThatWasSetBackStopsNothing)
{
	EXPECT_EQ(NextCycleUs(1000 * kSecond, 1000, 10 * kSecond), 11 * kSecond);
	/* it was set back while a service waited: not until the old time comes again */
	EXPECT_TRUE(IsDueUs(1000 * kSecond, 60000, 10 * kSecond));
	EXPECT_FALSE(IsDueUs(70 * kSecond, 60000, 10 * kSecond));
	EXPECT_FALSE(IsDueUs(10 * kSecond + 1, 60000, 10 * kSecond));
	EXPECT_TRUE(IsDueUs(10 * kSecond, 60000, 10 * kSecond));
}

TEST(ServiceRules, NothingOverflows)
{
	EXPECT_EQ(NextCycleUs(1, INT64_MAX, 2), INT64_MAX);
	EXPECT_EQ(NextCycleUs(INT64_MAX - 5, 1, INT64_MAX - 6), INT64_MAX);
	EXPECT_EQ(LaterByMs(INT64_MAX, 0), INT64_MAX);
	EXPECT_EQ(LaterByMs(5, -1), 5);
	EXPECT_EQ(LaterByMs(INT64_MIN, INT64_MAX), INT64_MAX);
	EXPECT_EQ(NextBackoffStep(INT_MAX, 0, 1, 1), INT_MAX);
}

TEST(ServiceRules, BackoffGrowsWhileNothingIsHealthy)
{
	/* it could not even begin, however long that took */
	EXPECT_EQ(NextBackoffStep(0, 0, 100 * kSecond, 60000), 1);
	EXPECT_EQ(NextBackoffStep(7, 0, 100000 * kSecond, 60000), 8);
	/* it began a moment ago */
	EXPECT_EQ(NextBackoffStep(7, 100 * kSecond, 101 * kSecond, 60000), 8);
	EXPECT_EQ(NextBackoffStep(7, 100 * kSecond, 160 * kSecond, 60000), 8);
}

TEST(ServiceRules, BackoffStartsAnewAfterHealthyTime)
{
	EXPECT_EQ(NextBackoffStep(7, 100 * kSecond, 160 * kSecond + 1, 60000), 1);
	EXPECT_EQ(NextBackoffStep(7, 100 * kSecond, 100 * kSecond + 1, 0), 1);
	EXPECT_EQ(NextBackoffStep(-3, 0, 1, 60000), 1);
}

/*
 * A service that fails at once, each time, waits ever longer, also where the maximum is above the reset time: the
 * wait itself is not healthy time.
 */
TEST(ServiceRules, WaitingIsNotHealthy)
{
	std::int64_t now = kSecond;
	std::int64_t before = 0;
	int step = 0;

	for (int i = 0; i < 40; ++i)
	{
		const std::int64_t begun = now;

		now += 1000;
		step = NextBackoffStep(step, begun, now, 60000);

		const std::int64_t delay = BackoffDelayMs(step, 1000, 300000);

		EXPECT_GE(delay, before);
		before = delay;
		now = LaterByMs(now, delay);
	}
	EXPECT_EQ(before, 300000);
}

TEST(ServiceRules, WhoDoesNotStopIsPressed)
{
	StopProgress done = {};
	const std::int64_t told = 50 * kSecond;

	EXPECT_EQ(NextStopStep(done, told, told), StopStep::kNone);
	EXPECT_EQ(StopLookUs(done, told), told + 5 * kSecond);
	EXPECT_EQ(NextStopStep(done, told, told + 5 * kSecond - 1), StopStep::kNone);
	EXPECT_EQ(NextStopStep(done, told, told + 5 * kSecond), StopStep::kCancel);
	done.cancelled = true;
	EXPECT_EQ(NextStopStep(done, told, told + 5 * kSecond), StopStep::kNone);
	EXPECT_EQ(StopLookUs(done, told), told + 10 * kSecond);
	EXPECT_EQ(NextStopStep(done, told, told + 10 * kSecond), StopStep::kTerminate);
	done.terminated = true;
	EXPECT_EQ(StopLookUs(done, told), told + 15 * kSecond);
	EXPECT_EQ(NextStopStep(done, told, told + 15 * kSecond), StopStep::kWarn);
	done.warned = true;
	EXPECT_EQ(NextStopStep(done, told, told + 1000 * kSecond), StopStep::kNone);
	EXPECT_EQ(StopLookUs(done, told), INT64_MAX);
}

/* A launcher that slept too long, or is new, takes the steps one after the other, and ends. */
TEST(ServiceRules, LateLooksCatchUp)
{
	StopProgress done = {};

	EXPECT_EQ(NextStopStep(done, 1, 100 * kSecond), StopStep::kTerminate);
	done.terminated = true;
	EXPECT_EQ(NextStopStep(done, 1, 100 * kSecond), StopStep::kWarn);
	done.warned = true;
	EXPECT_EQ(NextStopStep(done, 1, 100 * kSecond), StopStep::kNone);
}

} // namespace

} // namespace worker_pool
