/*
 * result_reader.hpp
 *	  The session's side of an outcome: emits the notices, raises the error, checks the column list, brings
 *	  the rows.
 *
 * The order of calls in a session, for a record that it has claimed (feature/submit.hpp), so that nobody
 * frees it meanwhile, and that is finished; inside a transaction, under a resource owner:
 *
 *		RaiseCommandError(command)	returns when it succeeded; emits the notices before it raises
 *		EmitNotices(command)		of a command that succeeded
 *		ReadTag(command)			run()
 *	 or	ReadRows(command, ...)		query(), worker_result(), worker_results(): once for each command, into one
 *									tuplestore
 *		ConsumeOutcome / ReleaseClaim
 *
 * Each may raise; the caller's PG_CATCH decides: after an error of RaiseCommandError the outcome is consumed
 * (it was told), after one of ReadRows the claim is released (the column list can be mended).
 */
#pragma once

#include "shmem/commands.hpp"

namespace worker_pool
{

/*
 * Emits the messages below ERROR in this session, each at its own level (the session's client_min_messages
 * applies), and a WARNING that counts those that were not kept.
 */
void EmitNotices(int command);
/*
 * If the command did not succeed: emits its notices, then raises its error with all fields (lost: 08006;
 * cancelled: 57014). The position in the command's text becomes the internal position in an internal query,
 * because the text that the caller's client sent is another one.
 */
void RaiseCommandError(int command);
/* The command tag, palloc'd. */
char *ReadTag(int command);
/*
 * Checks the caller's column list against the result (42804 naming the column; 0A000 naming the database to
 * read from) before anything is consumed, then appends all rows to `store`, whose rows have the shape of
 * `expected`. A command without a result gives one row of one text column, its tag.
 */
void ReadRows(int command, TupleDesc expected, Tuplestorestate *store);

} // namespace worker_pool
