/*
 * zone.hpp
 *	  The seam between schedules and time zones: what the search for due times asks of a zone. Pure C++: no
 *	  server here. The server's zones stand behind it in pg/time_zone.cpp, tests bring tables of their own.
 *
 * Times are seconds since 1970-01-01 00:00:00 UTC. A wall-clock time is written as the instant at which a
 * clock in UTC would show the same digits, so wall = instant + offset. Nothing in core asks what time it is:
 * whoever calls says it, which makes the clock a seam, too.
 */
#pragma once

#include <cstdint>

namespace worker_pool
{

/* What timestamptz can hold: 4713-11-24 BC to (not including) 294277-01-01. */
inline constexpr std::int64_t kFirstInstant = INT64_C(-210866803200);
inline constexpr std::int64_t kEndOfInstants = INT64_C(9224318016000);

/* "The offset never changes again." */
inline constexpr std::int64_t kNoEnd = INT64_MAX;

/* A time during which the zone keeps one offset: it holds the instant asked for and ends before `end`. */
struct ZoneSpan
{
	std::int64_t end;	 /* kNoEnd: never */
	std::int32_t offset; /* seconds east of UTC */
};

/*
 * A zone: span_at(data, at) gives the span that holds `at`. It must not throw, `end` is behind `at`, and no
 * offset is more than 26 hours from UTC (zones reach from -12 to +14, POSIX rules a little further).
 */
struct Zone
{
	ZoneSpan (*span_at)(const void *data, std::int64_t at);
	const void *data;
};

inline ZoneSpan
UtcSpanAt(const void *, std::int64_t)
{
	return {kNoEnd, 0};
}

inline constexpr Zone kUtc = {UtcSpanAt, nullptr};

} // namespace worker_pool
