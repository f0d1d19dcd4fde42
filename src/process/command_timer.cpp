/*
 * command_timer.cpp
 *	  The command's `timeout` and statement_timeout. Worker process.
 *
 * statement_timeout is armed per statement with the server's own timer, whose handler every process
 * with a database connection has. The command's `timeout` spans the whole string, so it has a timer
 * of its own, registered once in the process's life. Its handler does what the server's does,
 * SIGINT to the process group (a program that COPY ... FROM PROGRAM started must end too), and also
 * sets the flags itself. The cancel is raised at the next CHECK_FOR_INTERRUPTS as 57014 "due to
 * user request"; CommandTimedOut supplies the words.
 *
 * A procedure that catches query_canceled and goes on would outlive its time: from 15 on the timer
 * goes off again each second until the command has ended, and at the sixth time terminates the
 * process; the exit callback then gives the command this same error. On 13 and 14 it goes off once,
 * like statement_timeout.
 *
 * The race at the end: the timer may go off when there is nothing left to cancel. Both ways out,
 * success and the recovery block, stop the timer first; if it had gone off, QueryCancelPending is
 * cleared, unless a cancel was pending already when it did: that one is not ours to take back.
 */
#include "process/command_timer.hpp"

#include <csignal>

namespace worker_pool
{

static constexpr int kRepeatMs = 1000;
/* so many times it cancels before it terminates */
static constexpr int kCancels = 5;
/* ten years; keeps the sum with the clock far from overflow */
static constexpr int64 kLongestMs = INT64CONST(10) * 366 * 24 * 3600 * 1000;

static TimeoutId timer = MAX_TIMEOUTS; /* until registered */
static bool armed = false;
static int64 armed_ms = 0;
static volatile sig_atomic_t went_off = 0; /* how often */
static volatile sig_atomic_t cancel_was_pending = false;

/* Signal handler. */
static void
CommandTimerHandler()
{
	if (went_off == 0)
		cancel_was_pending = QueryCancelPending;
	went_off = went_off + 1;
	if (went_off > kCancels)
		ProcDiePending = true;
	QueryCancelPending = true;
	InterruptPending = true;
	(void) kill(-MyProcPid, SIGINT);
	SetLatch(MyLatch);
}

void
ArmCommandTimer(int64 timeout_ms)
{
	went_off = 0;
	if (timeout_ms <= 0)
		return;
	if (timer == MAX_TIMEOUTS)
		timer = RegisterTimeout(USER_TIMEOUT, CommandTimerHandler);
	armed_ms = timeout_ms;
	cancel_was_pending = false;
	armed = true;

	const TimestampTz end =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), std::min(timeout_ms, kLongestMs));

	compat::EnableTimeoutFrom(timer, end, kRepeatMs);
}

void
DisarmCommandTimer()
{
	if (!armed)
		return;
	disable_timeout(timer, false);
	armed = false;
	if (went_off > 0 && !cancel_was_pending)
		QueryCancelPending = false;
}

void
DisarmCommandTimers()
{
	DisarmStatementTimer();
	DisarmCommandTimer();
}

bool
CommandTimedOut(char *message, Size size)
{
	if (went_off == 0)
		return false;
	snprintf(message, size,
			 "canceling command due to its worker_pool timeout of " INT64_FORMAT " ms", armed_ms);
	return true;
}

void
ArmStatementTimer()
{
	const int timeout_ms = compat::StatementTimeoutMs();

	if (timeout_ms <= 0)
		DisarmStatementTimer();
	else if (!get_timeout_active(STATEMENT_TIMEOUT))
		enable_timeout_after(STATEMENT_TIMEOUT, timeout_ms);
}

void
DisarmStatementTimer()
{
	if (get_timeout_active(STATEMENT_TIMEOUT))
		disable_timeout(STATEMENT_TIMEOUT, false);
}

} // namespace worker_pool
