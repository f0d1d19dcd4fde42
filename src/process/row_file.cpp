/*
 * row_file.cpp
 *	  The file that takes the rows of the running command. See row_collector.cpp for its part in the story.
 *
 * A temporary file for the server while it is open: it belongs to the current resource owner, which closes it
 * after an ERROR; temp_file_limit counts it; log_temp_files and pg_stat_database see it when it is whole.
 * Afterwards it is a plain file of the record, which may outlive this worker.
 *
 * If the process dies, the record takes the file with it: `spilled` was set before there was one.
 */
#include "process/row_file.hpp"

#include "shmem/spill.hpp"

namespace worker_pool
{

static File file = 0; /* open only inside one portal's run; 0 = none */
static uint64 file_bytes = 0;
static uint64 kept_bytes = 0; /* of the owner's other files, when this one was opened */

/* What the files of this owner's other outcomes take, which wait to be fetched. */
static uint64
BytesKept(Oid owner)
{
	uint64 bytes = 0;
	dlist_iter iter;
	LockScope lock(PoolLock(), LW_SHARED);

	dlist_foreach(iter, &pool->finished_commands)
	{
		const CommandRecord &record = *dlist_container(CommandRecord, node, iter.cur);

		if (record.owner == owner)
			bytes += record.spill_bytes;
	}
	return bytes;
}

/* temp_file_limit, over all of a role's results: the server itself counts only while a file is open. */
static void
CheckFileLimit(const CommandRecord &record, Size more)
{
	if (temp_file_limit < 0 ||
		kept_bytes + file_bytes + more <= static_cast<uint64>(temp_file_limit) * 1024)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("result of the command exceeds temp_file_limit (%dkB)", temp_file_limit),
			 kept_bytes == 0 ? 0
							 : errdetail("Results of role \"%s\" that wait to be fetched take " UINT64_FORMAT
										 " kB.",
										 GetUserNameFromId(record.owner, true), kept_bytes / 1024),
			 errhint("Fetch results that wait, return less, or increase \"temp_file_limit\".")));
}

static void
OpenRowFile(CommandRecord &record)
{
	char path[kSpillPathSize];

	record.spilled = true; /* before there is a file */
	EnsureSpillFolder();
	SpillPath(record.id, path);
	file = PathNameCreateTemporaryFile(path, true);
	file_bytes = 0;
	kept_bytes = temp_file_limit < 0 ? 0 : BytesKept(record.owner);
}

void
AppendToRowFile(CommandRecord &record, char *bytes, Size length)
{
	if (file == 0)
		OpenRowFile(record);
	CheckFileLimit(record, length);
	WP_FAULT("result.spill_write");

	const auto written = FileWrite(file, bytes, static_cast<int>(length),
								   static_cast<off_t>(file_bytes), WAIT_EVENT_BUFFILE_WRITE);

	if (written < 0 || static_cast<Size>(written) != length)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not write the result of a worker_pool command to file \"%s\": %m",
						FilePathName(file))));
	file_bytes += length;
}

bool
IsRowFileOpen()
{
	return file != 0;
}

/* Closes it and reports it, as ReportTemporaryFileUsage in storage/file/fd.c does. */
void
CloseRowFile(CommandRecord &record)
{
	char path[kSpillPathSize];
	const File open_file = file;

	file = 0;
	FileClose(open_file);
	record.spill_bytes = file_bytes;
	pgstat_report_tempfile(file_bytes);
	if (log_temp_files < 0 || file_bytes / 1024 < static_cast<uint64>(log_temp_files))
		return;
	SpillPath(record.id, path);
	ereport(LOG, (errmsg("temporary file: path \"%s\", size " UINT64_FORMAT, path, file_bytes)));
}

void
ForgetRowFile(CommandRecord &record)
{
	file = 0; /* never closed here: the number may be another file's by now */
	if (!record.spilled)
		return;
	RemoveSpill(record.id);
	record.spilled = false;
	record.spill_bytes = 0;
}

} // namespace worker_pool
