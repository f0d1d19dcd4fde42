/*
 * row_file.hpp
 *	  The file that takes the rows of the running command when they are many. Worker.
 */
#pragma once

#include "shmem/commands.hpp"

namespace worker_pool
{

/*
 * Appends to the record's file, and makes it first if none is open. 53100 when the disk is full, 53400 past
 * temp_file_limit. Between the first append and CloseRowFile no transaction and no portal may end well.
 */
void AppendToRowFile(CommandRecord &record, char *bytes, Size length);
bool IsRowFileOpen();
/* The file is whole. */
void CloseRowFile(CommandRecord &record);
/*
 * Removes the file if there is one. If it is open still, an ERROR came in between: the abort closes it, or has
 * done so. Never raises.
 */
void ForgetRowFile(CommandRecord &record);

} // namespace worker_pool
