/*
 * executor.hpp
 *	  Runs one command the way exec_simple_query does, and gives the session back as it was. Worker
 *	  process only. What the worker's loop calls; the executor's own parts are in the headers that
 *	  executor.cpp names.
 *
 * In order: RememberBaseline() once; then for each command
 *
 *		MemoryContextReset(MessageContext); ReadRequest; BeginOutcome;
 *		ExecuteCommand		on ERROR the recovery block: DisarmCommandTimers; then, before anything
 *							is rolled back, CopyErrorData, CommandTimedOut, AddSearchPathHint
 *		ResetSession		on ERROR: the process retires
 *		publish; ShouldRetire; ReportStatistics when there is nothing to do
 */
#pragma once

#include "feature/request.hpp"

namespace worker_pool
{

/* How a command is run. */
struct Execution
{
	int64 timeout_ms;		/* 0 = none */
	DestReceiver *receiver; /* of the rows of every portal */
	/* called inside the first transaction, before anything of the command is looked at */
	void (*check_authority)();
	bool of_task; /* of a durable task: some names in its `settings` mean another */
	/*
	 * nullptr: top-level statements. Else an atomic task: everything is one transaction block, in
	 * which transaction control is refused (2D000), and this is called as its last act before the
	 * commit, when the tag is known. Deferred constraints come after it.
	 */
	void (*mark)();
};

/*
 * Runs the whole command: settings, time-outs, parse, plan (or a kept plan), portals, transactions;
 * rows go to the receiver. Outside a transaction on entry and, when it returns, on exit: everything
 * is committed. On failure it raises; the caller's recovery block does the rest. *tag: the command
 * tag of the last statement ('' for an empty string). Runs in MessageContext, which the caller
 * resets.
 */
void ExecuteCommand(const Request &request, const Execution &execution,
					char tag[COMPLETION_TAG_BUFSIZE]);

/*
 * Given an error 57014 that ended the command: was it raised because the command's own `timeout`
 * went off? Then *message is what to say instead of the server's "due to user request". The same
 * answer before and after DisarmCommandTimers; cleared by the next ExecuteCommand.
 */
bool CommandTimedOut(char *message, Size size);

/*
 * Disarms the timers of ExecuteCommand and takes back a cancel that the command's time-out left
 * pending; called by the recovery block. Twice does no harm.
 */
void DisarmCommandTimers();

/*
 * Tells in the error's hint under which search_path a name was not found (42P01, 42883, 42704 of a
 * type, 3F000): a command inherits nothing of its caller. Before the rollback, which takes the
 * command's own SET away; allocates in CurrentMemoryContext. Leaves every other error alone.
 */
void AddSearchPathHint(ErrorData *error);

/*
 * Drops all kept plans: after a reload of the configuration, whose settings may change what a
 * text means.
 */
void ForgetPlans();

/*
 * Reports statistics, outside a transaction; forced, or when the server thinks it is time. Returns
 * in how many ms to call it again, forced, if nothing else happens; 0 = all is reported.
 */
long ReportStatistics(bool force);

/*
 * The last word of the process title, as the server's sessions have it: a command tag, "idle".
 * Constant strings only; free when it is shown already or update_process_title is off.
 */
void ShowActivity(const char *word);

/* --- session reset (reset.cpp) ---------------------------------------------------------------- */

/*
 * What DISCARD ALL resets but for the plan cache, in a transaction of its own. Raises when it
 * fails: the process must then retire.
 */
void ResetSession();

/*
 * Should the process retire after this command: too many commands, too old, too much memory, a
 * foreign connection left open, a library loaded by LOAD? Outside a transaction, after the session
 * was reset.
 */
bool ShouldRetire(uint64 commands_done, TimestampTz started_at);
/* The same but for connections and libraries, which are the matter of a C entry point that has them. */
bool IsWornOut(uint64 commands_done, TimestampTz started_at);
/*
 * Called once when the worker is connected, before the first command: the base lines for
 * ShouldRetire, and client_encoding becomes the server's for good (results and notices are taken in
 * it), whatever ALTER ROLE or the configuration says.
 */
void RememberBaseline();

} // namespace worker_pool
