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

/* Runs the command of this worker's slot and gives its outcome; raises what the command raises. */
void RunAssignedCommand();

/*
 * The sigsetjmp landing of the worker: rolls back, publishes the error as the command's outcome, resets the
 * session. Retires the process where the error was not a command's.
 */
void RecoverFromError();

/*
 * The true words for a cancel (57014) that hit the running command: its own time-out, or stop_worker. False
 * where the server's words are right.
 */
bool ExplainCancel(const ErrorData *error, char *message, Size size);

/* Did the running command's own time-out go off, and is it still running? Its words, then. */
bool TimedOutAndRunning(char *message, Size size);

/* Leaves with exit code 0 (worker.cpp). */
[[noreturn]] void RetireWorker();

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
