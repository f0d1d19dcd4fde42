/*
 * worker_command.hpp
 *	  One command in a worker, from the moment its slot is running to the moment its outcome is published.
 */
#pragma once

#include <csignal>

#include "process/worker.hpp"

namespace worker_pool
{

/* SIGINTs received so far; written by the signal handler in worker.cpp. */
extern volatile sig_atomic_t cancel_signals;

/* Under the lock, as a command's slot begins to run: cancels from here on may be meant for it. */
void NoteCommandBegins();

/*
 * Takes the SIGINT that stop_worker or cancel_task sent, if it has not arrived yet, and clears it. Nobody can
 * send another for the command or task in question.
 */
void AbsorbLateCancel();

/* Runs the command of this worker's slot and gives its outcome; raises what the command raises. */
void RunAssignedCommand();

/*
 * The sigsetjmp landing of the worker: rolls back, publishes the error as the command's outcome, resets the
 * session. Retires the process where the error was not a command's.
 */
void RecoverFromError();

/* Of a task that is ended by cancel_task. */
inline constexpr char kCancelledMessage[] = "canceling task due to cancel_task";
/* Of a service that is told to stop and does not by itself (SignalService). */
inline constexpr char kServiceStoppedMessage[] = "canceling service because it is to stop";

/*
 * Takes the error from elog's stack, in the words the user is to see, into MessageContext; logs it. Before
 * anything is rolled back.
 */
ErrorData *TakeError();
/*
 * What PostgresMain's handler does, in its order, and what AutoVacLauncherMain adds outside a transaction. Also in a
 * process without a database.
 */
void RollBack();

/* Shows in pg_stat_activity what runs, as application_name: "<prefix><id> (<name>)". */
void ReportWork(std::string_view prefix, uint64 id, const char *name);
/* Shows that nothing runs. MessageContext is current afterwards. */
void ReportIdle();

/*
 * Under the lock, the slot having moved on: is there something that only the launcher can do about that?
 * (what waits for a process, or the idle worker's time-out, which that of a service has not)
 */
bool LauncherIsToKnow(AfterCommand after);

/*
 * The true words for a cancel (57014) that hit the running command, task or service: its own time-out, or whoever
 * stopped it. False where the server's words are right.
 */
bool ExplainCancel(const ErrorData *error, char *message, Size size);

/* Did the own time-out of the running command, task or service go off, and is it still running? Its words, then. */
bool TimedOutAndRunning(char *message, Size size);

/* Leaves with exit code 0 (worker.cpp). */
[[noreturn]] void RetireWorker();
/* The same, with the slot moved to stopping first. */
[[noreturn]] void LeaveForGood();

/* Reads the configuration again if SIGHUP asked for it; between commands only (worker.cpp). */
void ReloadConfiguration();

/* Inside a transaction: is everything that allows this process to run as at connect? (worker.cpp) */
bool AuthorityStillHolds();

/*
 * Called by the executor inside the command's first transaction, before anything of the command is looked
 * at. Does not return where the authority is gone: the command goes back to the head of its queue and the
 * process retires.
 */
void CheckAuthorityBeforeCommand();

} // namespace worker_pool
