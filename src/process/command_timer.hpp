/*
 * command_timer.hpp
 *	  The two clocks that run over a command: its own `timeout`, and statement_timeout for each
 *	  statement. Worker process only. What the worker's loop may call stands in executor.hpp.
 */
#pragma once

#include "process/executor.hpp"

namespace worker_pool
{

/* Starts the command's clock (0 = none) and forgets the last command's. */
void ArmCommandTimer(int64 timeout_ms);

/* After success: stops the clock; a cancel that it asked for too late is taken back. */
void DisarmCommandTimer();

/*
 * Inside a transaction command: arms statement_timeout unless it runs already, as the server
 * does.
 */
void ArmStatementTimer();
void DisarmStatementTimer();

} // namespace worker_pool
