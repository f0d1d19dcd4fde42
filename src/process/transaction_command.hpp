/*
 * transaction_command.hpp
 *	  What start_xact_command and finish_xact_command are in postgres.c. Worker process.
 *
 * A "transaction command" lasts from one statement's start to its end; the transaction itself may
 * last longer (BEGIN, or the block of an atomic task) or be several (CALL with COMMIT). StartStatement and
 * FinishStatement may be called again without harm.
 */
#pragma once

#include "feature/request.hpp"

namespace worker_pool
{

/*
 * Before a command: no transaction command is open, whatever the one before left. `check_authority` is called
 * inside the first transaction, before anything of the command is looked at; it raises where the process may
 * not run it.
 */
void ForgetTransactionCommand(void (*check_authority)());
/*
 * Opens a transaction command unless one is open, and arms statement_timeout unless it runs. Leaves
 * CurrentMemoryContext in the transaction's context when it opened one.
 */
void StartStatement();
/* Ends the transaction command, if one is open: commits, unless inside a transaction block. */
void FinishStatement();

/* Outside a transaction: what BEGIN does. Statements follow, then FinishBlock. */
void StartBlock();
/*
 * Between two statements of the block: calls `mark` without statement_timeout, then does what COMMIT does, with
 * it: deferred constraints and triggers are the user's.
 */
void FinishBlock(void (*mark)());

} // namespace worker_pool
