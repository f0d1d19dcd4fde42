/*
 * stop_verb.cpp
 *	  stop_worker. Runs in the session that calls it; what it does stands in feature/stop.cpp, and for a task in
 *	  feature/tasks.hpp.
 *
 * Ids of commands come from the clock and are above 10^13 since 2025; ids of tasks come from a sequence of the
 * database. So an id tells what it is of.
 */
#include "feature/submit.hpp"
#include "catalog/tables.hpp"
#include "feature/tasks.hpp"
#include "pg/guard.hpp"
#include "sqlfn/verb_arguments.hpp"

namespace worker_pool
{

static constexpr int64 kDefaultGraceMs = 5000;
/* below: of a task of the current database */
static constexpr uint64 kFirstCommandId = UINT64CONST(1000000000000);

} // namespace worker_pool

WP_SQL_FUNCTION(worker_pool_stop_worker)
{
	using namespace worker_pool;
	EnterVerb();

	const uint64 id = ReadCommandId(fcinfo, 0);
	const int64 grace_ms = ReadInterval(fcinfo, 1, "grace", kDefaultGraceMs);

	/* where there can be no task it is an id that is not known */
	if (id == 0 || id >= kFirstCommandId || RecoveryInProgress() || !HasTables())
		PG_RETURN_BOOL(StopCommand(id, grace_ms));
	PG_RETURN_BOOL(CancelTask(static_cast<int64>(id), grace_ms));
}
