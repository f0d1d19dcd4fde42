/*
 * service_cycle.cpp
 *	  Runs one cycle of a service, or its resident main. Worker process, phase kRunning.
 *
 * A command runs at the top level, as commands and tasks do (executor.cpp): it may be VACUUM, a procedure that commits, or
 * several statements; rows are thrown away. The session is reset after it.
 *
 * The cycle of an entry point runs inside a transaction of ours with a snapshot, in MessageContext, which is emptied for each
 * cycle, under the command timer. We commit. An entry point that ended that transaction, or left another one or a
 * subtransaction open, has failed: nobody can say what of it was meant to be committed. The session is left as it is: that
 * is what a warm process of one's own is for; only advisory locks of the session go, since others may have their turn now.
 *
 * With WORKER_POOL_OWN_TRANSACTIONS, without a database, and in a resident main there is no transaction of ours: what
 * is left open at the end is a failure, too, and rolled back.
 *
 * A cycle that looks at no interrupts, or catches the one that it gets, may come to its end after its timeout: it has
 * failed all the same, by an overrun (RefuseLate). What it has committed by then stays.
 *
 * On ERROR this file does nothing: service_failure.cpp rolls back. A C++ exception that leaves an entry point becomes
 * an ERROR in EnterCpp, and the process retires after the cycle.
 */
#include "process/service_work.hpp"

#include "pg/guard.hpp"
#include "process/command_timer.hpp"
#include "process/executor.hpp"
#include "process/task_request.hpp"

namespace worker_pool
{

/* --- commands ------------------------------------------------------------------------------------------- */

/* Inside the command's first transaction: nothing has changed since the row was read? */
static void
CheckStillAllowed()
{
	if (AuthorityStillHolds())
		return;
	service_work.authority_gone = true;
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					errmsg("the role may no longer run services in this database")));
}

static void
RunCommand()
{
	const ServiceDefinition &definition = service_work.definition;
	char tag[COMPLETION_TAG_BUFSIZE];
	Request request = {};

	MemoryContextSwitchTo(MessageContext);
	request.text = definition.command;
	ReadSettings(definition.settings, &request);
	ExecuteCommand(request,
				   {service_work.timeout_ms, None_Receiver, CheckStillAllowed, true, nullptr}, tag);
}

/* It has come to its end, but too late: nobody looked at the cancel, or somebody caught it. */
static void
RefuseLate()
{
	char message[160];

	if (CommandTimedOut(message, sizeof(message)))
		ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED), errmsg_internal("%s", message)));
}

/* --- entry points --------------------------------------------------------------------------------------- */

/* Calls it, whatever language it is written in. */
static void
CallEntryPoint()
{
	entry_point_state.in_call = true;
	WP_FAULT("service.in_cycle");
	EnterCpp(
		[]()
		{
			if (IsResident())
				service_work.entry->main();
			else
				service_work.entry->cycle();
		});
	entry_point_state.in_call = false;
}

[[noreturn]] static void
RaiseLeftOpen()
{
	ereport(ERROR, (errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
					errmsg("entry point \"%s\" returned with a transaction of its own left open",
						   service_work.entry_point),
					errdetail("What was not committed was rolled back.")));
	pg_unreachable();
}

/* The entry point has returned: is our transaction, which is `ours`, as it was? */
static void
CheckTransaction(LocalTransactionId ours)
{
	if (!IsTransactionOrTransactionBlock() || compat::MyLocalTransaction() != ours)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				 errmsg("entry point \"%s\" ended the transaction in which it was called",
						service_work.entry_point),
				 errhint("Register it with WORKER_POOL_OWN_TRANSACTIONS, or use subtransactions.")));
	if (!IsTransactionState() || IsAbortedTransactionBlockState())
		ereport(ERROR, (errcode(ERRCODE_IN_FAILED_SQL_TRANSACTION),
						errmsg("entry point \"%s\" returned inside an aborted transaction",
							   service_work.entry_point),
						errdetail("It was rolled back."),
						errhint("Whoever catches an error rolls a subtransaction back, or raises the "
								"error again.")));
	if (GetCurrentTransactionNestLevel() > 1 || IsTransactionBlock())
		RaiseLeftOpen();
}

static void
RunInTransaction()
{
	StartTransactionCommand();

	const LocalTransactionId ours = compat::MyLocalTransaction();

	PushActiveSnapshot(GetTransactionSnapshot());
	MemoryContextSwitchTo(MessageContext);
	CallEntryPoint();
	CheckTransaction(ours);
	RefuseLate();
	while (ActiveSnapshotSet())
		PopActiveSnapshot();
	WP_FAULT("service.before_commit");
	CommitTransactionCommand();
}

static void
RunOutside()
{
	MemoryContextSwitchTo(MessageContext);
	CallEntryPoint();
	if (IsTransactionOrTransactionBlock())
		RaiseLeftOpen();
}

static bool
HasOwnTransactions()
{
	return IsResident() || (service_work.entry->flags &
							(WORKER_POOL_OWN_TRANSACTIONS | WORKER_POOL_NO_DATABASE)) != 0;
}

static void
RunEntryPoint()
{
	SetCurrentStatementStartTimestamp();
	pgstat_report_activity(STATE_RUNNING, service_work.entry_point);
	ShowActivity("service");
	ArmCommandTimer(service_work.timeout_ms);
	if (HasOwnTransactions())
		RunOutside();
	else
		RunInTransaction();
	DisarmCommandTimer();
	MemoryContextSwitchTo(MessageContext);
	if (service_work.connected)
		LockReleaseAll(USER_LOCKMETHOD, true);
}

/* --- either --------------------------------------------------------------------------------------------- */

void
RunCycle()
{
	/* forgets the cycle before */
	ArmCommandTimer(0);
	if (service_work.entry == nullptr)
	{
		WP_FAULT("service.in_cycle");
		RunCommand();
	}
	else
		RunEntryPoint();
	RefuseLate();

	/* a main that was asked to return has not done a round by that */
	if (IsResident() && ServiceIsToStop())
		service_work.end = CycleEnd::kInterrupted;
	service_work.phase = ServicePhase::kMarking;
	WP_FAULT("service.before_mark");
	if (service_work.end == CycleEnd::kSucceeded)
		ProveHarmless();
	if (service_work.entry != nullptr)
		return;
	service_work.phase = ServicePhase::kResetting;
	HOLD_CANCEL_INTERRUPTS();
	ResetSession();
	RESUME_CANCEL_INTERRUPTS();
}

} // namespace worker_pool
