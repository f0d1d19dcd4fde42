/*
 * firing_test.cpp
 *	  Which due times run and which are skipped: on time, late, after a long sleep, a pause, and a clock that
 *	  jumps.
 */
#include "core/firing.hpp"

#include <gtest/gtest.h>

namespace worker_pool
{

namespace
{

constexpr std::int64_t kHour = 3600;
constexpr std::int64_t kNoon = INT64_C(20000) * 86400 + 12 * kHour; /* some day in UTC */

FiringPlan
Plan(const char *text, FiringRequest request)
{
	ScheduleSpec spec;
	ScheduleError error;
	FiringPlan plan;

	EXPECT_TRUE(ParseSchedule(text, &spec, &error)) << text << ": " << error.reason;
	PlanFiring(spec, kUtc, request, &plan);
	return plan;
}

FiringRequest
At(std::int64_t checked, std::int64_t now)
{
	return {checked, now, INT64_MIN, false, true, kHour};
}

TEST(Firing, RunsWhatIsDueAndComesAgain)
{
	const FiringPlan plan = Plan("0 * * * *", At(kNoon - 10, kNoon));

	EXPECT_TRUE(plan.run);
	EXPECT_EQ(plan.run_s, kNoon);
	EXPECT_EQ(plan.skipped_count, 0);
	EXPECT_EQ(plan.checked_s, kNoon);
	EXPECT_TRUE(plan.has_next);
	EXPECT_EQ(plan.next_s, kNoon + kHour);
}

TEST(Firing, DoesNothingBeforeItIsDue)
{
	const FiringPlan plan = Plan("0 * * * *", At(kNoon, kNoon + 1800));

	EXPECT_FALSE(plan.run);
	EXPECT_EQ(plan.skipped_count, 0);
	EXPECT_EQ(plan.next_s, kNoon + kHour);
}

TEST(Firing, RunsNothingTwice)
{
	EXPECT_FALSE(Plan("0 * * * *", At(kNoon, kNoon)).run);
	EXPECT_FALSE(Plan("0 * * * *", At(kNoon, kNoon + 59)).run);
}

TEST(Firing, RunsTheLastMissedOneOnce)
{
	const FiringPlan plan = Plan("0 * * * *", At(kNoon - 5 * kHour, kNoon + 1800));

	EXPECT_TRUE(plan.run);
	EXPECT_EQ(plan.run_s, kNoon);
	ASSERT_EQ(plan.skipped_count, 4);
	EXPECT_EQ(plan.skipped_s[0], kNoon - 4 * kHour);
	EXPECT_EQ(plan.skipped_s[3], kNoon - kHour);
	EXPECT_EQ(plan.skipped_before, 0);
	EXPECT_TRUE(plan.counted_all);
}

TEST(Firing, GraceBoundsHowLateItMayRun)
{
	FiringRequest request = At(kNoon - 10, kNoon + kHour - 1);

	EXPECT_TRUE(Plan("0 12 * * *", request).run);
	request.now_s++;
	EXPECT_TRUE(Plan("0 12 * * *", request).run);
	request.now_s++;

	const FiringPlan late = Plan("0 12 * * *", request);

	EXPECT_FALSE(late.run);
	ASSERT_EQ(late.skipped_count, 1);
	EXPECT_EQ(late.skipped_s[0], kNoon);
	EXPECT_EQ(late.next_s, kNoon + 24 * kHour);
}

TEST(Firing, SkipRunsOnlyWhatIsPresent)
{
	FiringRequest request = At(kNoon - 10, kNoon + 59);

	request.run_missed = false;
	EXPECT_TRUE(Plan("0 12 * * *", request).run);
	request.now_s = kNoon + 60;
	EXPECT_FALSE(Plan("0 12 * * *", request).run);
	EXPECT_EQ(Plan("0 12 * * *", request).skipped_count, 1);
	/* a dense schedule always has a present one */
	EXPECT_TRUE(Plan("10 seconds", request).run);
}

TEST(Firing, NoGraceStillRunsWhatIsOnTime)
{
	FiringRequest request = At(kNoon - 10, kNoon + 30);

	request.grace_s = 0;
	EXPECT_TRUE(Plan("0 12 * * *", request).run);
	request.now_s = kNoon + 61;
	EXPECT_FALSE(Plan("0 12 * * *", request).run);
}

TEST(Firing, APauseIsNeverMissed)
{
	FiringRequest request = At(kNoon - 5 * kHour, kNoon + 1800);

	request.paused = true;

	const FiringPlan paused = Plan("0 * * * *", request);

	EXPECT_FALSE(paused.run);
	EXPECT_EQ(paused.skipped_count, 0);
	EXPECT_EQ(paused.checked_s, kNoon + 1800);
	EXPECT_EQ(paused.next_s, kNoon + kHour);

	/* looked at only after its end: what was due before that is passed over, what came then runs */
	request.paused = false;
	request.resumed_s = kNoon + 600;
	EXPECT_FALSE(Plan("0 * * * *", request).run);
	EXPECT_EQ(Plan("0 * * * *", request).skipped_count, 0);
	request.resumed_s = kNoon - 600;
	EXPECT_TRUE(Plan("0 * * * *", request).run);
	EXPECT_EQ(Plan("0 * * * *", request).skipped_count, 0);
}

TEST(Firing, AClockThatJumpsForwardMakesNoStorm)
{
	const FiringPlan plan = Plan("1 second", At(kNoon, kNoon + 365 * 24 * kHour));

	EXPECT_TRUE(plan.run);
	EXPECT_EQ(plan.skipped_count, kMostSkipped);
	EXPECT_EQ(plan.skipped_before, 365 * 24 * kHour - 1 - kMostSkipped);
	EXPECT_TRUE(plan.counted_all);

	const FiringPlan cron = Plan("* * * * *", At(kNoon, kNoon + 365 * 24 * kHour));

	EXPECT_TRUE(cron.run);
	EXPECT_EQ(cron.skipped_count, kMostSkipped);
	EXPECT_EQ(cron.skipped_s[kMostSkipped - 1], cron.run_s - 60);
	EXPECT_EQ(cron.skipped_before, kMostCounted);
	EXPECT_FALSE(cron.counted_all);
}

TEST(Firing, AClockThatGoesBackALittleRunsNothingTwice)
{
	const FiringPlan plan = Plan("* * * * *", At(kNoon, kNoon - 1800));

	EXPECT_FALSE(plan.clock_went_back);
	EXPECT_FALSE(plan.run);
	EXPECT_EQ(plan.skipped_count, 0);
	EXPECT_EQ(plan.checked_s, kNoon);
	EXPECT_EQ(plan.next_s, kNoon + 60);
}

TEST(Firing, AClockThatGoesBackFarStartsAnew)
{
	const FiringPlan plan = Plan("* * * * *", At(kNoon + 365 * 24 * kHour, kNoon + 5));

	EXPECT_TRUE(plan.clock_went_back);
	EXPECT_FALSE(plan.run);
	EXPECT_EQ(plan.skipped_count, 0);
	EXPECT_EQ(plan.checked_s, kNoon + 5);
	EXPECT_EQ(plan.next_s, kNoon + 60);
}

TEST(Firing, ListsTheYoungestAndCountsTheRest)
{
	const FiringPlan plan = Plan("* * * * *", At(kNoon, kNoon + 250 * 60));

	EXPECT_EQ(plan.run_s, kNoon + 250 * 60);
	EXPECT_EQ(plan.skipped_count, 100);
	EXPECT_EQ(plan.skipped_s[0], kNoon + 150 * 60);
	EXPECT_EQ(plan.skipped_s[99], kNoon + 249 * 60);
	EXPECT_EQ(plan.skipped_before, 149);
}

TEST(Firing, RebootHasNoDueTimes)
{
	const FiringPlan plan = Plan("@reboot", At(kNoon, kNoon + 24 * kHour));

	EXPECT_FALSE(plan.run);
	EXPECT_FALSE(plan.has_next);
}

} // namespace

} // namespace worker_pool
