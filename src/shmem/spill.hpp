/*
 * spill.hpp
 *	  Names of the files that hold outcomes too large for shared memory.
 *
 * base/pgsql_tmp/pgsql_tmp_worker_pool.<epoch>/<command id>: the prefix is the one that the server cleans
 * at start, the folder is one an epoch. Always in the default tablespace, because writer, reader and
 * remover may be in databases with different ones and must find the same file. The file belongs to the
 * record: whoever empties the record removes it (commands.hpp).
 */
#pragma once

#include "shmem/root.hpp"

namespace worker_pool
{

inline constexpr int kSpillPathSize = MAXPGPATH;

/* Writes the path of that command's file. */
void SpillPath(uint64 command_id, char *path);
/* Makes the folder of this epoch (and pgsql_tmp itself) if it is missing. Raises when it cannot. */
void EnsureSpillFolder();
/* The same, but returns false with errno set. Never raises. */
bool TryEnsureSpillFolder();
/* Removes the file; silent when there is none, a LOG line when it cannot. Never raises. */
void RemoveSpill(uint64 command_id);
/* Launcher, at start: removes folders of other epochs, left where remove_temp_files_after_crash = off. */
void RemoveForeignSpillFolders();

} // namespace worker_pool
