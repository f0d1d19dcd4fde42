/*
 * time_zone.hpp
 *	  The server's time zones behind core's seam, and its timestamps as seconds. Any process; nothing here
 *	  raises, but for FindTimeZone, which may run out of memory the first time it sees a zone.
 */
#pragma once

#include "pg/prelude.hpp"

#include "core/zone.hpp"

namespace worker_pool
{

/* A zone by any name that SET TimeZone takes. nullptr: there is none, or it counts leap seconds. */
pg_tz *FindTimeZone(const char *name);
/* Valid for the life of the process. */
Zone ZoneOf(const pg_tz *zone);

/* Seconds since 1970 (UTC), a fraction cut off downwards; INT64_MIN and INT64_MAX for the infinite ones. */
int64 UnixSecondsOf(TimestampTz time);
/* The instant; infinity from kEndOfInstants on, -infinity before kFirstInstant. */
TimestampTz TimestampOf(int64 unix_seconds);

} // namespace worker_pool
