/*
 * cron_zone_test.cpp
 *	  Wall-clock times where clocks are changed: skipped ones come once, at the shifted instant; repeated ones
 *	  once, the first time. Every change of ten zones from 2020 to 2040 as cron_oracle.py saw it, and zones
 *	  that no country has thought of yet.
 */
#include "cron_zones.hpp"

#include <gtest/gtest.h>

#include <iterator>
#include <string>
#include <vector>

namespace worker_pool
{

namespace
{

struct Transition
{
	std::int64_t at;
	std::int32_t before;
	std::int32_t after;
	const char *daily;
	std::vector<int> daily_minutes;
	std::vector<int> dense_minutes;
};

struct TransitionZone
{
	const char *name;
	const Transition *changes;
	std::size_t count;
};

#include "cron_transitions.inc"

ScheduleSpec
Parse(const char *text)
{
	ScheduleSpec spec;
	ScheduleError error;

	EXPECT_TRUE(ParseSchedule(text, &spec, &error)) << text << ": " << error.reason;
	return spec;
}

/* All due times in (after, until], in minutes from `origin`. */
std::vector<int>
MinutesFrom(std::int64_t origin, const char *text, const Zone &zone, std::int64_t after,
			std::int64_t until)
{
	const ScheduleSpec spec = Parse(text);
	std::vector<int> minutes;
	std::int64_t next = after;

	while (NextTime(spec, zone, next, &next) && next <= until)
		minutes.push_back(static_cast<int>((next - origin) / 60));
	return minutes;
}

TEST(CronZone, EveryChangeOfTenZones)
{
	std::size_t changes = 0;

	EXPECT_EQ(std::size(kTransitionZones), 10u);
	for (const TransitionZone &row : kTransitionZones)
	{
		std::vector<Step> steps = {{row.changes[0].at - 1, row.changes[0].before}};

		for (std::size_t i = 0; i < row.count; i++)
			steps.push_back({row.changes[i].at, row.changes[i].after});

		const NamedZone named = {row.name, steps.data(), steps.size()};
		const Zone zone = ZoneOf(named);

		for (std::size_t i = 0; i < row.count; i++, changes++)
		{
			const Transition &change = row.changes[i];

			EXPECT_EQ(MinutesFrom(change.at, change.daily, zone, change.at - 2 * 86400,
								  change.at + 2 * 86400),
					  change.daily_minutes)
				<< row.name << " at " << change.at;
			EXPECT_EQ(MinutesFrom(change.at, "15,45 * * * *", zone, change.at - 4 * 3600,
								  change.at + 4 * 3600),
					  change.dense_minutes)
				<< row.name << " at " << change.at;
		}
	}
	EXPECT_GT(changes, 400u);
}

/* 2027-03-28 01:00 UTC: 02:00 becomes 03:00. */
constexpr std::int64_t kSpring = INT64_C(1806195600);
constexpr Step kSpringSteps[] = {{0, 3600}, {kSpring, 7200}};
constexpr NamedZone kSpringZone = {"spring", kSpringSteps, 2};

/* The same instant, 03:00 becomes 02:00. */
constexpr Step kAutumnSteps[] = {{0, 7200}, {kSpring, 3600}};
constexpr NamedZone kAutumnZone = {"autumn", kAutumnSteps, 2};

TEST(CronZone, ASkippedTimeComesAtTheShiftedInstant)
{
	std::int64_t next = 0;

	ASSERT_TRUE(NextTime(Parse("30 2 28 3 *"), ZoneOf(kSpringZone), kSpring - 86400, &next));
	EXPECT_EQ(next, kSpring + 1800);
	/* and 03:30, which is the same instant, is the same due time */
	EXPECT_EQ(
		MinutesFrom(kSpring, "30 2,3 * * *", ZoneOf(kSpringZone), kSpring - 7200, kSpring + 7200),
		std::vector<int>({30}));
	/* due times of the gap lie among those behind it, in order */
	EXPECT_EQ(MinutesFrom(kSpring, "40 2,3 * * *", ZoneOf(kSpringZone), kSpring, kSpring + 7200),
			  std::vector<int>({40}));
	EXPECT_EQ(MinutesFrom(kSpring, "50,20 2,3 * * *", ZoneOf(kSpringZone), kSpring, kSpring + 7200),
			  std::vector<int>({20, 50}));
}

TEST(CronZone, ARepeatedTimeComesOnceTheFirstTime)
{
	EXPECT_EQ(
		MinutesFrom(kSpring, "30 2 * * *", ZoneOf(kAutumnZone), kSpring - 7200, kSpring + 7200),
		std::vector<int>({-30}));
	/* also for one who looks from within the second pass */
	EXPECT_EQ(
		MinutesFrom(kSpring, "*/30 * * * *", ZoneOf(kAutumnZone), kSpring + 600, kSpring + 7200),
		std::vector<int>({60, 90, 120}));
	/* the instant of the change itself shows 02:00 for the second time */
	EXPECT_EQ(MinutesFrom(kSpring, "0 2 * * *", ZoneOf(kAutumnZone), kSpring - 1, kSpring + 7200),
			  std::vector<int>());
}

TEST(CronZone, ARateKnowsNoZone)
{
	EXPECT_EQ(
		MinutesFrom(kSpring, "30 minutes", ZoneOf(kAutumnZone), kSpring - 3600, kSpring + 3600),
		std::vector<int>({-30, 0, 30, 60}));
}

/* Two changes within the gap of the first, a change of a day in both directions, and the like. */
TEST(CronZone, SurvivesZonesThatNobodyHas)
{
	static constexpr Step kWild[] = {
		{0, 0},			  {1000000, 7200},	{1001800, 3600}, {1002400, 10800}, {2000000, -75600},
		{3000000, 10800}, {3000900, 11700}, {3001800, 0},	 {9000000, 86400}, {9000600, -86400},
	};
	static constexpr NamedZone kWildZone = {"wild", kWild, std::size(kWild)};

	for (const char *text : {"* * * * *", "*/7 * * * *", "*/10 */5 * * *", "30 2 * * *",
							 "0 0 * * *", "15,16 13 */2 * *", "5/13 * * * * *"})
	{
		const ScheduleSpec spec = Parse(text);
		std::vector<std::int64_t> walk;
		std::int64_t next = 900000;

		/* whoever looks from any instant finds what a walk from the beginning found */
		while (NextTime(spec, ZoneOf(kWildZone), next, &next) && next < 10000000)
			walk.push_back(next);

		std::size_t behind = 0;

		for (std::int64_t after = 900000; after < 9900000; after += 311)
		{
			while (behind < walk.size() && walk[behind] <= after)
				behind++;
			ASSERT_LT(behind, walk.size());
			ASSERT_TRUE(NextTime(spec, ZoneOf(kWildZone), after, &next));
			ASSERT_EQ(next, walk[behind]) << text << " after " << after;
		}
	}
}

} // namespace

} // namespace worker_pool
