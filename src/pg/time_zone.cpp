/*
 * time_zone.cpp
 *	  See time_zone.hpp. Sessions that define schedules, workers that fire them.
 *
 * The server asks a zone for an offset (pg_localtime) and for the next change (pg_next_dst_boundary). The
 * latter says of the last change in its table that none follows, although the table goes on in a cycle of 400
 * years: one second later it knows better.
 */
#include "pg/time_zone.hpp"

namespace worker_pool
{

static constexpr int64 kEpochDifferenceS =
	static_cast<int64>(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY;

pg_tz *
FindTimeZone(const char *name)
{
	pg_tz *const zone = strlen(name) > TZ_STRLEN_MAX ? nullptr : pg_tzset(name);

	return zone != nullptr && pg_tz_acceptable(zone) ? zone : nullptr;
}

static ZoneSpan
SpanAt(const void *data, int64 at)
{
	const auto *const zone = static_cast<const pg_tz *>(data);
	ZoneSpan span = {kNoEnd, 0};

	for (int64 from = at; from <= at + 1; from++)
	{
		const pg_time_t time = from;
		pg_time_t boundary = 0;
		long offset = 0;
		long next_offset = 0;
		int is_dst = 0;
		int next_is_dst = 0;
		const int found = pg_next_dst_boundary(&time, &offset, &is_dst, &boundary, &next_offset,
											   &next_is_dst, zone);

		if (from == at)
			span.offset = static_cast<int32>(offset);
		if (found == 1 && boundary > at)
		{
			span.end = boundary;
			break;
		}
	}

	/* before its first change the zone has a local mean time that only this one knows */
	const pg_time_t time = at;
	const struct pg_tm *const local = pg_localtime(&time, zone);

	if (local != nullptr)
		span.offset = static_cast<int32>(local->tm_gmtoff);
	return span;
}

Zone
ZoneOf(const pg_tz *zone)
{
	return {SpanAt, zone};
}

int64
UnixSecondsOf(TimestampTz time)
{
	if (TIMESTAMP_IS_NOBEGIN(time))
		return PG_INT64_MIN;
	if (TIMESTAMP_IS_NOEND(time))
		return PG_INT64_MAX;
	return time / USECS_PER_SEC - (time % USECS_PER_SEC < 0 ? 1 : 0) + kEpochDifferenceS;
}

TimestampTz
TimestampOf(int64 unix_seconds)
{
	if (unix_seconds >= kEndOfInstants)
		return DT_NOEND;
	if (unix_seconds < kFirstInstant)
		return DT_NOBEGIN;
	return (unix_seconds - kEpochDifferenceS) * USECS_PER_SEC;
}

} // namespace worker_pool
