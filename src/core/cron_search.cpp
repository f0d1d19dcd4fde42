/*
 * cron_search.cpp
 *	  When a schedule is due next. Runs in any process that defines or fires one.
 *
 * In two storeys. Below, wall-clock times only: the first match at or after a given one, found by month, then
 * by day in a bit set, then by hour, minute and second in bit sets. Above, the zone: its spans of one offset
 * are walked forward from a few days before `after`, and each answers for the wall-clock times that begin in
 * it and, where the next one begins with a gap, for those of the gap. `passed` is the wall-clock time up to
 * which spans have answered already: a repeated wall-clock time is behind it.
 */
#include "core/cron.hpp"

#include <algorithm>

namespace worker_pool
{

namespace
{

constexpr std::int64_t kDaySeconds = 86400;
/* Dates and weekdays repeat after 400 years: what did not come by then never comes. */
constexpr int kMonthsSearched = 401 * 12;
/* More than any change of an offset: 26 hours in one direction and in the other. */
constexpr std::int64_t kLookBack = 3 * kDaySeconds;

constexpr std::int64_t
FloorDivide(std::int64_t value, std::int64_t by)
{
	return value / by - (value % by < 0 ? 1 : 0);
}

/* Days since 1970-01-01 of the first of that month (1 to 12) in the proleptic Gregorian calendar. */
constexpr std::int64_t
DayOfMonthStart(std::int64_t year, int month)
{
	/* years begin with March here, so that the leap day is the last */
	const std::int64_t y = year - (month <= 2 ? 1 : 0);
	const std::int64_t era = FloorDivide(y, 400);
	const std::int64_t year_of_era = y - era * 400;
	const std::int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5;

	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
		   719468;
}

struct Date
{
	std::int64_t year;
	int month;
	int day;
};

constexpr Date
DateOf(std::int64_t days)
{
	const std::int64_t shifted = days + 719468;
	const std::int64_t era = FloorDivide(shifted, 146097);
	const std::int64_t day_of_era = shifted - era * 146097;
	const std::int64_t year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	const std::int64_t day_of_year =
		day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	const std::int64_t month = (5 * day_of_year + 2) / 153;
	const int calendar_month = static_cast<int>(month < 10 ? month + 3 : month - 9);

	return {year_of_era + era * 400 + (calendar_month <= 2 ? 1 : 0), calendar_month,
			static_cast<int>(day_of_year - (153 * month + 2) / 5 + 1)};
}

static_assert(DayOfMonthStart(1970, 1) == 0 && DayOfMonthStart(2000, 3) == 11017);
static_assert(DateOf(11016).month == 2 && DateOf(11016).day == 29 && DateOf(-1).year == 1969);

constexpr bool
IsLeap(std::int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

constexpr int
DaysIn(std::int64_t year, int month)
{
	return month == 2 ? (IsLeap(year) ? 29 : 28) : 30 + ((month + (month >> 3)) & 1);
}

/* The smallest member of the set that is at least `from` (0 to 63); -1: there is none. */
int
FirstFrom(std::uint64_t set, int from)
{
	const std::uint64_t rest = from > 63 ? 0 : set >> from << from;

	return rest == 0 ? -1 : __builtin_ctzll(rest);
}

/* The days of a month that match, as a set. */
std::uint64_t
DaysOf(const ScheduleSpec &spec, std::int64_t year, int month)
{
	const int count = DaysIn(year, month);
	const std::int64_t start = DayOfMonthStart(year, month);
	/* 1970-01-01 was a Thursday */
	const int first_weekday = static_cast<int>((start % 7 + 11) % 7);
	std::uint64_t by_day = spec.days;
	std::uint64_t by_weekday = 0;

	if (spec.last_day)
		by_day |= UINT64_C(1) << count;
	for (int day = 1; day <= 7; day++)
		if ((spec.weekdays >> ((first_weekday + day - 1) % 7) & 1) != 0)
			by_weekday |= UINT64_C(0x10204081) << day;

	const std::uint64_t days =
		spec.any_day || spec.any_weekday ? by_day & by_weekday : by_day | by_weekday;

	return days & ((UINT64_C(1) << (count + 1)) - 1);
}

/* The first matching second of a day at or after `from`; -1: none that day. */
int
TimeOfDay(const ScheduleSpec &spec, int from)
{
	int hour = from / 3600;
	int minute = from / 60 % 60;
	int second = FirstFrom(spec.seconds, from % 60);

	if (second < 0)
	{
		second = FirstFrom(spec.seconds, 0);
		minute++;
	}

	const int first_minute = FirstFrom(spec.minutes, minute);

	/* a later minute or hour begins with its first second, a later hour with its first minute */
	if (first_minute != minute)
		second = FirstFrom(spec.seconds, 0);
	minute = first_minute;
	if (minute < 0)
		hour++;

	const int first_hour = FirstFrom(spec.hours, hour);

	if (first_hour < 0)
		return -1;
	if (minute < 0 || first_hour != hour)
	{
		minute = FirstFrom(spec.minutes, 0);
		second = FirstFrom(spec.seconds, 0);
	}
	return first_hour * 3600 + minute * 60 + second;
}

/* The first wall-clock time at or after `from` that matches. False: none in 400 years. */
bool
NextWallTime(const ScheduleSpec &spec, std::int64_t from, std::int64_t *wall)
{
	const std::int64_t from_day = FloorDivide(from, kDaySeconds);
	Date date = DateOf(from_day);
	const int rest = TimeOfDay(spec, static_cast<int>(from - from_day * kDaySeconds));

	for (int months = 0; months < kMonthsSearched; months++)
	{
		const std::uint64_t days =
			(spec.months >> date.month & 1) != 0 ? DaysOf(spec, date.year, date.month) : 0;

		/* today counts only if there is a time left */
		if (months == 0 && rest >= 0 && (days >> date.day & 1) != 0)
		{
			*wall = from_day * kDaySeconds + rest;
			return true;
		}

		const int day = FirstFrom(days, months == 0 ? date.day + 1 : 1);

		if (day >= 0)
		{
			*wall = (DayOfMonthStart(date.year, date.month) + day - 1) * kDaySeconds +
					TimeOfDay(spec, 0);
			return true;
		}
		if (++date.month > 12)
		{
			date.month = 1;
			date.year++;
		}
	}
	return false;
}

bool
NextOfFields(const ScheduleSpec &spec, const Zone &zone, std::int64_t after, std::int64_t *next)
{
	std::int64_t wall = INT64_MIN; /* the first match at or behind what was asked for last */
	std::int64_t passed = INT64_MIN;
	std::int64_t best = INT64_MAX;
	ZoneSpan span = zone.span_at(zone.data, after - kLookBack);

	for (;;)
	{
		const bool last = span.end == kNoEnd;
		const ZoneSpan following = last ? span : zone.span_at(zone.data, span.end);
		const std::int64_t from = std::max(passed, after + 1 + span.offset);
		const std::int64_t to =
			last ? INT64_MAX : span.end + std::max(span.offset, following.offset);

		if (from < to)
		{
			if (wall < from && !NextWallTime(spec, from, &wall))
				break;
			if (wall < to)
				best = std::min(best, wall - span.offset);
		}
		/* what follows answers for later instants only */
		if (last || best <= span.end)
			break;
		passed = std::max(passed, to);
		/* nothing is due in between, and no change of an offset reaches that far */
		if (wall != INT64_MIN && wall - 2 * kLookBack > span.end)
			span = zone.span_at(zone.data, wall - 2 * kLookBack);
		else
			span = following;
	}
	*next = best;
	return best < kEndOfInstants;
}

} // namespace

bool
NextTime(const ScheduleSpec &spec, const Zone &zone, std::int64_t after,
		 std::int64_t *next) noexcept
{
	if (after >= kEndOfInstants || spec.kind == ScheduleKind::kReboot)
		return false;
	after = std::max(after, kFirstInstant);
	if (spec.kind == ScheduleKind::kRate)
	{
		*next = (FloorDivide(after, spec.period_s) + 1) * spec.period_s;
		return *next < kEndOfInstants;
	}
	return NextOfFields(spec, zone, after, next);
}

bool
LastTime(const ScheduleSpec &spec, const Zone &zone, std::int64_t after, std::int64_t until,
		 std::int64_t *last) noexcept
{
	std::int64_t next = 0;

	after = std::max(after, kFirstInstant);
	if (!NextTime(spec, zone, after, &next) || next > until)
		return false;

	/* something is due in (low, until], nothing in (high, until] */
	std::int64_t low = after;
	std::int64_t high = until;

	while (high - low > 1)
	{
		const std::int64_t middle = low + (high - low) / 2;

		if (NextTime(spec, zone, middle, &next) && next <= until)
			low = middle;
		else
			high = middle;
	}
	*last = high;
	return true;
}

} // namespace worker_pool
