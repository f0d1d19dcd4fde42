/*
 * extension.hpp
 *	  The extension's own row in pg_extension.
 */
#pragma once

#include "pg/prelude.hpp"

namespace worker_pool
{

/* Name of the extension, of its schema and of its library. */
inline constexpr char kExtensionName[] = "worker_pool";

/*
 * The version of the extension's SQL objects in this database, in CurrentMemoryContext, or nullptr where it
 * is not installed. Inside a transaction.
 */
char *InstalledVersion();

/*
 * Is that row of pg_extension ours? With SnapshotSelf, so a row that the current command has just inserted
 * is seen. Inside a transaction.
 */
bool IsOurExtension(Oid extension);

} // namespace worker_pool
