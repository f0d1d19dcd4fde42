/*
 * target.hpp
 *	  The connection to the central database: libpq, never blocking, awake for stop and cancel. One a process; it
 *	  outlives a round and is thrown away as soon as anything about it is doubtful.
 */
#pragma once

extern "C"
{
#include "postgres.h"
}

namespace metadata_sync
{

/* The central database has applied all changes up to there. */
struct Position
{
	const char *number;
	const char *mark; /* nullptr: it has none yet */
};

/*
 * Connects, unless the connection of the last round still stands; *fresh: it does not. False: the service is to
 * stop. ERROR 08006 where the target does not answer within timeout_s.
 */
bool OpenTarget(const char *conninfo, int timeout_s, bool *fresh);
/*
 * Sends changes (json; "[]": only asks) and waits for the answer, in CurrentMemoryContext. False: the service is to
 * stop, and whether they have been applied is not known. ERROR: the target's own, or 08006.
 */
bool ApplyAtTarget(const char *source, const char *database, const char *changes, int timeout_s,
				   Position *position);

} // namespace metadata_sync
