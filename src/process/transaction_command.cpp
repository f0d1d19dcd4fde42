/*
 * transaction_command.cpp
 *	  Starts and ends the transaction commands of a command's statements. Worker process.
 *
 * On ERROR nothing here is called: the recovery block rolls back, and the next command begins with
 * ForgetTransactionCommand.
 */
#include "process/transaction_command.hpp"

#include "process/command_timer.hpp"

namespace worker_pool
{

static bool started = false;
static void (*unchecked_authority)() = nullptr; /* nullptr: was checked */

void
ForgetTransactionCommand(void (*check_authority)())
{
	started = false;
	unchecked_authority = check_authority;
}

void
StartStatement()
{
	if (!started)
	{
		StartTransactionCommand();
		started = true;
	}
	if (unchecked_authority != nullptr)
	{
		unchecked_authority();
		unchecked_authority = nullptr;
		WP_FAULT("executor.before_command");
	}
	ArmStatementTimer();
}

void
FinishStatement()
{
	DisarmStatementTimer();
	if (!started)
		return;
	WP_FAULT("executor.before_commit");
	CommitTransactionCommand();
	started = false;
	WP_FAULT("executor.after_commit");
}

void
StartBlock()
{
	StartStatement();
	BeginTransactionBlock();
	CommitTransactionCommand();
	started = false;
}

void
FinishBlock(void (*mark)())
{
	FinishStatement();
	StartTransactionCommand();
	mark();
	ArmStatementTimer();
	(void) EndTransactionBlock(false);
	CommitTransactionCommand();
	DisarmStatementTimer();
}

} // namespace worker_pool
