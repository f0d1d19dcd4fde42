/*
 * explain_task.cpp
 *	  explain_task(id): a row a reason. Any session, also on a hot standby. See feature/explain.hpp.
 */
#include "sqlfn/rows.hpp"

#include "feature/explain.hpp"
#include "pg/guard.hpp"
#include "sqlfn/verb_arguments.hpp"

/* 22004 null, 42704 unknown, 42501 not allowed, 55000 no extension here. */
WP_SQL_FUNCTION(worker_pool_explain_task)
{
	using namespace worker_pool;
	EnterVerb();

	RowWriter row = BeginRows(fcinfo);
	auto *const explanation = static_cast<Explanation *>(palloc(sizeof(Explanation)));

	ExplainTask(static_cast<int64>(ReadCommandId(fcinfo, 0)), explanation);
	for (int i = 0; i < explanation->count; i++)
	{
		AddText(&row, explanation->reasons[i].reason);
		AddText(&row, explanation->reasons[i].detail);
		AddText(&row, explanation->reasons[i].hint);
		EndRow(&row);
	}
	pfree(explanation);
	return static_cast<Datum>(0);
}
