/*
 * result_writer.hpp
 *	  The worker's side of an outcome: collects rows, notices and the error of the running command and
 *	  publishes them in the command's record as one blob (result_format.hpp), in shared memory, with the rows
 *	  in a file (spill.hpp) when they are many.
 *
 * The order of calls in a worker:
 *
 *	once		InitResultWriter()					connected, outside a transaction
 *	a command	BeginOutcome(record)				the record is kRunning on this slot
 *				ExecuteCommand -> ResultReceiver()	rows, inside transactions; messages come by themselves
 *	then		PublishSuccess(tag)					after the last commit, outside a transaction
 *	 or			DropCollectedRows()					first thing after an ERROR, before or after the abort
 *				PublishError(error)					after the abort, outside a transaction
 *	then		FinishCommand(record, state)		under the pool lock; nobody looks at the outcome before
 *
 * Between execution and publication the session may be reset: what was collected lives in static memory, in
 * contexts of this writer and in the file.
 *
 * If the process dies: before FinishCommand the record becomes lost; FreeLeftovers takes chunk and file.
 */
#pragma once

#include "shmem/commands.hpp"

namespace worker_pool
{

/* Worker, once: makes the writer's memory contexts and redirects messages to it (PqCommMethods). */
void InitResultWriter();

/* Starts collecting for the record that this worker runs. Never raises. */
void BeginOutcome(int command);

/*
 * The receiver for every portal of the command: each rStartup throws away the rows of the statement before,
 * so the result is that of the last statement that returned rows. Counts bytes against
 * worker_pool.max_result_size (53400).
 */
DestReceiver *ResultReceiver();

/*
 * Publishes success: rows, or one text row with the tag; notices. Sets outcome, spilled, rows of the record;
 * where there is nothing but the tag it stands in record.brief.message (sqlstate 0).
 *
 * False: the command succeeded but its result could not be kept (shared memory full and the file could not
 * be written either). record.brief and sqlstate say so (53100 or 53200), rows and file are gone; the caller
 * finishes the record as failed. Never raises.
 */
bool PublishSuccess(const char *tag);
/*
 * Publishes an error with all its fields, and the notices. record.brief has the error too, cut, for the
 * views, and for the reader where there is no room for the whole. Never raises.
 */
void PublishError(const ErrorData *error);
/* After an ERROR, before PublishError: drops rows and file collected so far. Never raises. */
void DropCollectedRows();

/* The last FATAL this process reported; for the exit callback. nullptr when there was none. */
const BriefError *LastFatal();

} // namespace worker_pool
