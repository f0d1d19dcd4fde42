/*
 * command_settings.hpp
 *	  The `settings` of a command. Worker process.
 */
#pragma once

#include "feature/request.hpp"

namespace worker_pool
{

/*
 * Applies each setting as the role's own SET would, for the session: ResetSession takes them back.
 * Inside a transaction that the caller commits. Raises the server's error of SET (42501 not
 * allowed, 22023 bad value, 42704 unknown), and 0A000 for the few that make no sense here, with a
 * CONTEXT line that names the item.
 *
 * Of a task: transaction_isolation, transaction_read_only and transaction_deferrable mean the default_ setting
 * of the same kind, so that they hold for the transaction that follows, from before its snapshot.
 */
void ApplySettings(const Request &request, bool of_task);

/*
 * Raises 0A000 when client_encoding is not the server's: a worker has no client, its notices and
 * errors are taken in the server's encoding, and the text of the command was in it.
 */
void CheckClientEncoding();

/* How many settings with a dot in their name were applied in this process: a reason to retire. */
uint64 CustomSettingsApplied();

} // namespace worker_pool
