/*
 * stop_verb.cpp
 *	  stop_worker. Runs in the session that calls it; what it does stands in feature/stop.cpp.
 */
#include "feature/submit.hpp"
#include "pg/guard.hpp"
#include "sqlfn/verb_arguments.hpp"

namespace worker_pool
{

static constexpr int64 kDefaultGraceMs = 5000;

} // namespace worker_pool

WP_SQL_FUNCTION(worker_pool_stop_worker)
{
	using namespace worker_pool;
	EnterVerb();

	const uint64 id = ReadCommandId(fcinfo, 0);
	const int64 grace_ms = ReadInterval(fcinfo, 1, "grace", kDefaultGraceMs);

	PG_RETURN_BOOL(StopCommand(id, grace_ms));
}
