/*
 * transaction_command.cpp
 *	  Starts and ends the transaction commands of a command's statements. Worker process.
 *
 * On ERROR nothing here is called: the recovery block rolls back, and the next command begins with
 * ForgetTransactionCommand.
 */
#include "process/transaction_command.hpp"

#include "process/command_timer.hpp"
#include "process/worker_command.hpp"

namespace worker_pool
{

static bool started = false;
static bool authority_checked = false;

void
ForgetTransactionCommand()
{
	started = false;
	authority_checked = false;
}

void
StartStatement()
{
	if (!started)
	{
		StartTransactionCommand();
		started = true;
	}
	if (!authority_checked)
	{
		CheckAuthorityBeforeCommand();
		authority_checked = true;
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

} // namespace worker_pool
