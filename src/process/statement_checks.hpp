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

/*
 * Of an atomic task: raises 2D000 for transaction control other than savepoints, PREPARE TRANSACTION too. What
 * procedures and DO blocks try the server refuses itself, inside the task's transaction block.
 */
void RefuseTransactionControl(List *statements);

/* Did a command of this process contain a top-level LOAD? */
bool LibraryWasLoaded();

} // namespace worker_pool
