/*
 * cron_test.cpp
 *	  Schedules are parsed as cron does, what is wrong is named with its field and place, and the due times
 *	  are those of an independent source: cron_oracle.py, which looks at every day, hour and minute with
 *	  Python's zoneinfo.
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

struct Case
{
	const char *schedule;
	const char *zone;
	std::int64_t after;
	std::vector<std::int64_t> times;
};

/* a Case owns a vector: its table cannot be constexpr */
#define constexpr static const
#include "cron_expected.inc"
#undef constexpr

ScheduleSpec
Parse(const std::string &text)
{
	ScheduleSpec spec;
	ScheduleError error;

	EXPECT_TRUE(ParseSchedule(text, &spec, &error)) << text << ": " << error.reason;
	return spec;
}

TEST(Cron, ComesAsTheIndependentSourceSays)
{
	EXPECT_GE(std::size(kCases), 60u);
	for (const Case &row : kCases)
	{
		const ScheduleSpec spec = Parse(row.schedule);
		const NamedZone *zone = nullptr;
		std::int64_t at = row.after;

		for (const NamedZone &candidate : kNamedZones)
			if (std::string(candidate.name) == row.zone)
				zone = &candidate;
		ASSERT_NE(zone, nullptr) << row.zone;
		for (const std::int64_t expected : row.times)
		{
			std::int64_t next = 0;

			ASSERT_TRUE(NextTime(spec, ZoneOf(*zone), at, &next)) << row.schedule;
			EXPECT_EQ(next, expected) << row.schedule << " in " << row.zone << " after " << at;
			at = expected;
		}
	}
}

struct Wrong
{
	const char *schedule;
	const char *field; /* "": none */
	int position;
	const char *reason;
};

const Wrong kWrong[] = {
	{"", "", 1, "the text is empty"},
	{"  \t ", "", 1, "the text is empty"},
	{"0 25 * * *", "hour", 3, "25 is not between 0 and 23"},
	{"60 * * * *", "minute", 1, "60 is not between 0 and 59"},
	{"0 0 0 * *", "day of month", 5, "0 is not between 1 and 31"},
	{"0 0 32 * *", "day of month", 5, "32 is not between 1 and 31"},
	{"0 0 1 13 *", "month", 7, "13 is not between 1 and 12"},
	{"0 0 * * 8", "day of week", 9, "8 is not between 0 and 7"},
	{"61 0 0 * * *", "second", 1, "61 is not between 0 and 59"},
	{"0 99999999999999999999 * * *", "hour", 3, "the number is not between 0 and 23"},
	{"0 9-25 * * *", "hour", 5, "25 is not between 0 and 23"},
	{"0 17-9 * * *", "hour", 3, "the range ends before it begins"},
	{"0 0 * nov-feb *", "month", 7, "the range ends before it begins"},
	{"*/0 * * * *", "minute", 3, "0 is not between 1 and 999"},
	{"*/1000 * * * *", "minute", 3, "1000 is not between 1 and 999"},
	{"*/ * * * *", "minute", 3, "a step must be a number"},
	{"*/x * * * *", "minute", 3, "a step must be a number"},
	{"1,,2 * * * *", "minute", 3, "a value is missing"},
	{"1, * * * *", "minute", 3, "a value is missing"},
	{"1- * * * *", "minute", 3, "a value is missing"},
	{"-1 * * * *", "minute", 1, "unexpected character"},
	{"? * * * *", "minute", 1, "unexpected character"},
	{"5x * * * *", "minute", 2, "unexpected character"},
	{"** * * * *", "minute", 2, "unexpected character"},
	{"1-2-3 * * * *", "minute", 4, "unexpected character"},
	{"1/2/3 * * * *", "minute", 4, "unexpected character"},
	{"\xC3\xA4 * * * *", "minute", 1, "unexpected character"},
	{"0 noon * * *", "hour", 3, "\"noon\" is not a number"},
	{"0 0 * janx *", "month", 7, "\"janx\" is not a name of a month"},
	{"0 0 * mon *", "month", 7, "\"mon\" is not a name of a month"},
	{"0 0 * * monday", "day of week", 9, "\"monday\" is not a name of a weekday"},
	{"0 0 * * abcdefghijklmnopqrstuvwxyz", "day of week", 9,
	 "\"abcdefghijklmno\" is not a name of a weekday"},
	{"0 0 $-3 * *", "day of month", 5, "$ can have neither a range nor a step"},
	{"0 0 $/2 * *", "day of month", 5, "$ can have neither a range nor a step"},
	{"0 $ * * *", "hour", 3, "unexpected character"},
	{"0 0 3-$ * *", "day of month", 7, "unexpected character"},
	{"* * * *", "", 8, "there are fewer than five fields"},
	{"* * * * * * *", "", 13, "there are more than six fields"},
	{"0 0 * * * * 2027", "", 13, "there are more than six fields"},
	{"@never", "", 1, "unknown word"},
	{"@daily *", "", 7, "nothing may follow the word"},
	{"@", "", 1, "unknown word"},
	{"every", "rate", 6, "a number is expected"},
	{"every minute", "rate", 7, "a number is expected"},
	{"30 fortnights", "rate", 4, "unknown unit"},
	{"0 seconds", "rate", 1, "the period is not between 1 second and 366 days"},
	{"every 367 days", "rate", 7, "the period is not between 1 second and 366 days"},
	{"99999999999999999999 seconds", "rate", 1, "the period is not between 1 second and 366 days"},
	{"every 30", "rate", 9, "a unit is missing"},
	{"every 30s", "rate", 9, "unexpected character"},
	{"every 30 seconds now", "rate", 17, "nothing may follow the unit"},
	{"0 0 31 2 *", "day of month", 5, "the date never comes"},
	{"0 0 30 feb *", "day of month", 5, "the date never comes"},
	{"0 0 31 2,4,6,9,11 *", "day of month", 5, "the date never comes"},
	{"0 0 0 30,31 2 *", "day of month", 7, "the date never comes"},
	{"0 0 31 2 */2", "day of month", 5, "the date never comes"},
};

TEST(Cron, SaysWhatIsWrongAndWhere)
{
	for (const Wrong &row : kWrong)
	{
		ScheduleSpec spec;
		ScheduleError error;

		ASSERT_FALSE(ParseSchedule(row.schedule, &spec, &error)) << row.schedule;
		EXPECT_EQ(std::string(error.field == nullptr ? "" : error.field), row.field)
			<< row.schedule;
		EXPECT_EQ(error.position, row.position) << row.schedule;
		EXPECT_EQ(std::string(error.reason), row.reason) << row.schedule;
	}
}

TEST(Cron, RefusesAVeryLongText)
{
	ScheduleSpec spec;
	ScheduleError error;

	EXPECT_FALSE(ParseSchedule(std::string(kMostScheduleBytes + 1, ' '), &spec, &error));
	EXPECT_STREQ(error.reason, "the text is too long");
}

TEST(Cron, TakesDatesThatComeOnlyByTheWeekday)
{
	/* both restricted: either matches, so it comes every Monday in February */
	Parse("0 0 31 2 1");
	Parse("0 0 29 2 *");
	Parse("0 0 $ 2 *");
	Parse("0 0 31 2,3 *");
	Parse("0 0 */30 2 1");
}

TEST(Cron, WordsStandForFields)
{
	const ScheduleSpec hourly = Parse("@hourly");
	const ScheduleSpec fields = Parse("0 * * * *");

	EXPECT_EQ(hourly.minutes, fields.minutes);
	EXPECT_EQ(hourly.hours, fields.hours);
	EXPECT_EQ(hourly.days, fields.days);
	EXPECT_EQ(Parse("@Reboot").kind, ScheduleKind::kReboot);
	EXPECT_EQ(Parse("@yearly").months, 2u);
	EXPECT_EQ(Parse(" @weekly ").weekdays, 1u);
}

TEST(Cron, RebootIsNeverDueByTheClock)
{
	std::int64_t next = 0;

	EXPECT_FALSE(NextTime(Parse("@reboot"), kUtc, 0, &next));
	EXPECT_FALSE(LastTime(Parse("@reboot"), kUtc, 0, INT64_C(1) << 40, &next));
}

TEST(Cron, RatesAreAnchoredAndDoNotDrift)
{
	const ScheduleSpec spec = Parse("every 7 seconds");
	std::int64_t next = 0;

	EXPECT_EQ(Parse("366 DAYS").period_s, kLongestPeriod);
	for (std::int64_t after = -30; after < 30; after++)
	{
		ASSERT_TRUE(NextTime(spec, kUtc, after, &next));
		EXPECT_EQ(next % 7, 0);
		EXPECT_GT(next, after);
		EXPECT_LE(next, after + 7);
	}
}

TEST(Cron, KeepsToWhatTimestamptzCanHold)
{
	const ScheduleSpec spec = Parse("0 0 29 2 *");
	std::int64_t next = 0;

	ASSERT_TRUE(NextTime(spec, kUtc, INT64_MIN, &next));
	EXPECT_GT(next, kFirstInstant);
	ASSERT_TRUE(NextTime(spec, kUtc, kEndOfInstants - INT64_C(86400) * 366 * 5, &next));
	EXPECT_LT(next, kEndOfInstants);
	EXPECT_FALSE(NextTime(spec, kUtc, kEndOfInstants - 86400, &next));
	EXPECT_FALSE(NextTime(spec, kUtc, kEndOfInstants, &next));
	EXPECT_FALSE(NextTime(spec, kUtc, INT64_MAX, &next));
	EXPECT_FALSE(NextTime(Parse("366 days"), kUtc, kEndOfInstants - 1, &next));
}

/* The leap day on a Sunday comes after at most 40 years, and that is found by steps of a month. */
TEST(Cron, RareDatesAreFound)
{
	const ScheduleSpec spec = Parse("0 0 29 2 */7");
	std::int64_t at = 0;

	for (int i = 0; i < 2000; i++)
	{
		const std::int64_t before = at;

		ASSERT_TRUE(NextTime(spec, kUtc, before, &at));
		EXPECT_LE(at - before, INT64_C(86400) * 14975);
		EXPECT_EQ(at % (7 * 86400), 3 * 86400);
	}
}

TEST(Cron, LooksBackToTheLastDueTime)
{
	const ScheduleSpec spec = Parse("30 6 * * *");
	std::int64_t last = 0;

	EXPECT_FALSE(LastTime(spec, kUtc, 0, 6 * 3600 + 1799, &last));
	ASSERT_TRUE(LastTime(spec, kUtc, 0, 6 * 3600 + 1800, &last));
	EXPECT_EQ(last, 6 * 3600 + 1800);
	ASSERT_TRUE(LastTime(spec, kUtc, 0, 10 * 86400, &last));
	EXPECT_EQ(last, 9 * 86400 + 6 * 3600 + 1800);
	EXPECT_FALSE(LastTime(spec, kUtc, 9 * 86400 + 6 * 3600 + 1800, 10 * 86400, &last));
	EXPECT_FALSE(LastTime(spec, kUtc, 86400, 0, &last));
}

} // namespace

} // namespace worker_pool
