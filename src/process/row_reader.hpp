/*
 * row_reader.hpp
 *	  Brings the rows of an outcome into a tuplestore of the caller's shape.
 */
#pragma once

#include "process/outcome.hpp"

namespace worker_pool
{

/*
 * Checks the column list (42804, 0A000), then appends all rows to `store`. is_private: the command has no id
 * that its caller knows, so none stands in the errors' context.
 */
void CopyRows(const Outcome &outcome, TupleDesc expected, Tuplestorestate *store, bool is_private);

} // namespace worker_pool
