/*
 * transaction_command.hpp
 *	  What start_xact_command and finish_xact_command are in postgres.c. Worker process.
 *
 * A "transaction command" lasts from one statement's start to its end; the transaction itself may
 * last longer (BEGIN) or be several (CALL with COMMIT). Both functions may be called again without
 * harm.
 */
#pragma once

#include "feature/request.hpp"

namespace worker_pool
{

/* Before a command: no transaction command is open, whatever the one before left. */
void ForgetTransactionCommand();
/*
 * Opens a transaction command unless one is open, and arms statement_timeout unless it runs. Leaves
 * CurrentMemoryContext in the transaction's context when it opened one. The first one of a command
 * also checks the process's authority and does not return where that is gone.
 */
void StartStatement();
/* Ends the transaction command, if one is open: commits, unless inside a transaction block. */
void FinishStatement();

} // namespace worker_pool
