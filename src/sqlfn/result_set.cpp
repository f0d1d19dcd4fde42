/*
 * result_set.cpp
 *	  See result_set.hpp. Runs in the session that calls query(), worker_result() or worker_results().
 */
#include "sqlfn/result_set.hpp"

namespace worker_pool
{

Tuplestorestate *
BeginResultSet(FunctionCallInfo fcinfo, TupleDesc *expected)
{
	auto *info = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);

	if (info == nullptr || !IsA(info, ReturnSetInfo) ||
		(info->allowedModes & SFRM_Materialize) == 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("set-valued function called in context that cannot accept a set")));
	if (info->expectedDesc == nullptr)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("a column definition list is required for functions returning \"record\""),
				 errhint("Call it in FROM and name the columns: ... AS (id bigint, name text).")));

	MemoryContext const old_context = MemoryContextSwitchTo(info->econtext->ecxt_per_query_memory);
	Tuplestorestate *store =
		tuplestore_begin_heap((info->allowedModes & SFRM_Materialize_Random) != 0, false, work_mem);

	*expected = CreateTupleDescCopy(info->expectedDesc);
	MemoryContextSwitchTo(old_context);
	info->returnMode = SFRM_Materialize;
	info->setResult = store;
	info->setDesc = *expected;
	return store;
}

} // namespace worker_pool
