/*
 * arguments.hpp
 *	  The arguments of a command: text values bound to $1..$n as PQexecParams would bind them.
 *	  Worker process.
 */
#pragma once

#include "feature/request.hpp"

namespace worker_pool
{

/*
 * Raises 08P01, as the server does for a Bind message, unless the statement takes as many as
 * were given.
 */
void CheckArgumentCount(const Request &request, int needed);

/*
 * Turns the arguments into parameter values of those types, by the types' input functions under
 * fixed DateStyle and IntervalStyle. In a transaction, under an active snapshot; everything is
 * allocated in CurrentMemoryContext. Raises what an input function raises, with a CONTEXT line that
 * names the argument.
 */
ParamListInfo BindArguments(const Request &request, const Oid *types);

} // namespace worker_pool
