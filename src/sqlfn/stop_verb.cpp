/*
 * stop_verb.cpp
 *	  stop_worker. Runs in the session that calls it; what it does stands in feature/stop.cpp, and for a task in
 *	  feature/tasks.hpp.
 *
 * Ids of commands come from the clock and are above 10^13 since 2025; ids of tasks come from a sequence of the
 * database. So an id tells what it is of. Ids of services come from a sequence of their own: one that is of no unfinished
 * task but of a service is refused, with the verb that stops it.
 */
#include "feature/submit.hpp"

#include "catalog/service_row.hpp"
#include "feature/tasks.hpp"
#include "pg/guard.hpp"
#include "sqlfn/verb_arguments.hpp"

namespace worker_pool
{

static constexpr int64 kDefaultGraceMs = 5000;
/* below: of a task of the current database */
static constexpr uint64 kFirstCommandId = UINT64CONST(1000000000000);

/* 0A000 for a service's id that no unfinished task has. */
static void
RefuseService(int64 id)
{
	Relation task = OpenTable(Table::kTask, AccessShareLock);
	const bool is_task = FetchById(task, Index::kTaskId, id) != nullptr;

	table_close(task, AccessShareLock);
	if (is_task)
		return;

	Relation service = OpenTable(Table::kService, AccessShareLock);
	const HeapTuple tuple = FetchById(service, Index::kServiceId, id);

	if (tuple != nullptr)
	{
		const char *const name = TextOf(service, tuple, kServiceName);

		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg(INT64_FORMAT " is the id of service \"%s\", not of a command or task", id,
						name),
				 errhint("SELECT worker_pool.stop_service(%s) stops the service.",
						 quote_literal_cstr(name))));
	}
	table_close(service, AccessShareLock);
}

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
	RefuseService(static_cast<int64>(id));
	PG_RETURN_BOOL(CancelTask(static_cast<int64>(id), grace_ms));
}
