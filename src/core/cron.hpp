/*
 * cron.hpp
 *	  Schedules as text: parsed, and searched for the next due time. Pure C++: no server here, nothing
 *	  throws or allocates.
 *
 * Accepted, letters in any case, fields separated by blanks:
 *
 *	minute hour day-of-month month day-of-week		as cron
 *	second minute hour day-of-month month day-of-week
 *	@hourly @daily @midnight @weekly @monthly @yearly @annually @reboot
 *	[every] N second(s) | minute(s) | hour(s) | day(s)	a fixed rate, 1 second to 366 days
 *
 * A field is a list (,) of *, values, ranges (a-b), each with a step (/n): a/n is a to the end of the field.
 * Months and weekdays have their three-letter English names; Sunday is 0 and 7; a range may end with Sunday.
 * $ is the last day of the month. When day-of-month and day-of-week are both restricted, a day matches if
 * either does; a field that begins with * is not restricted, and then both must match (Vixie cron's rule).
 *
 * Time. The fields are wall-clock times of a zone. A wall-clock time that the zone skips is due once, at the
 * instant at which it would have come had the clock not been changed: 02:30 in the gap from 02:00 to 03:00 is
 * due at 03:30. One that the zone repeats is due once, the first time. Two wall-clock times that fall upon
 * the same instant by this are one due time. A fixed rate knows no zone: its due times are the multiples of
 * the period since 1970-01-01 00:00:00 UTC.
 */
#pragma once

#include "core/zone.hpp"

#include <string_view>

namespace worker_pool
{

enum class ScheduleKind : std::uint8_t
{
	kFields, /* wall-clock times */
	kRate,	 /* a fixed rate */
	kReboot, /* once in the life of a server */
};

/* A parsed schedule. Bit n of a set stands for the value n. */
struct ScheduleSpec
{
	ScheduleKind kind;
	bool any_day;	  /* the day-of-month field begins with * */
	bool any_weekday; /* the day-of-week field does */
	bool last_day;	  /* $ */
	std::uint64_t seconds;
	std::uint64_t minutes;
	std::uint32_t hours;
	std::uint32_t days;		/* 1 to 31 */
	std::uint32_t months;	/* 1 to 12 */
	std::uint32_t weekdays; /* 0 to 6, Sunday first */
	std::int64_t period_s;	/* kRate */
};

struct ScheduleError
{
	const char *field; /* nullptr: no field, the whole text */
	int position;	   /* of the byte, from 1 */
	char reason[80];
	const char *hint; /* nullptr: none */
};

inline constexpr int kMostScheduleBytes = 1000;
inline constexpr std::int64_t kLongestPeriod = INT64_C(366) * 86400;

/* Parses the text. False: *error says what is wrong with it; dates that never come are an error, too. */
bool ParseSchedule(std::string_view text, ScheduleSpec *spec, ScheduleError *error) noexcept;

/*
 * The first due time after `after`, not that instant itself. False: there is none that timestamptz can hold,
 * or it is a @reboot. Time and effort do not depend on how far away it is, but for a step a month.
 */
bool NextTime(const ScheduleSpec &spec, const Zone &zone, std::int64_t after,
			  std::int64_t *next) noexcept;

/*
 * The last due time in (after, until]. False: there is none. A binary search over NextTime, because that
 * moves in one direction.
 */
bool LastTime(const ScheduleSpec &spec, const Zone &zone, std::int64_t after, std::int64_t until,
			  std::int64_t *last) noexcept;

} // namespace worker_pool
