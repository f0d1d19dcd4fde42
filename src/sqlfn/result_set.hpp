/*
 * result_set.hpp
 *	  The receiving end of functions that return SETOF record.
 */
#pragma once

#include "pg/prelude.hpp"

namespace worker_pool
{

/*
 * Prepares the call to return a tuplestore of the shape of its column definition list, which is in
 * rsinfo->expectedDesc. Raises 42601 where there is no such list and 0A000 where no set can be returned. Call
 * it first: what is started after it finds its way back.
 */
Tuplestorestate *BeginResultSet(FunctionCallInfo fcinfo, TupleDesc *expected);

} // namespace worker_pool
