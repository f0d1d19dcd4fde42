/*
 * statement_checks.hpp
 *	  What a command may not contain, looked for before anything of it runs. Worker process.
 */
#pragma once

#include "feature/request.hpp"

namespace worker_pool
{

/*
 * Raises 0A000 when a statement of the string would read from or write to a client (COPY FROM
 * STDIN, COPY TO STDOUT) or wait for one (LISTEN), and 42601 when there are arguments but not
 * exactly one statement. Notes that the process must retire when a statement loads a library.
 */
void CheckStatements(List *statements, const Request &request);

/* Did a command of this process contain a top-level LOAD? */
bool LibraryWasLoaded();

} // namespace worker_pool
