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

static void
OpenRowFile(CommandRecord &record)
{
	char path[kSpillPathSize];

	record.spilled = true; /* before there is a file */
	EnsureSpillFolder();
	SpillPath(record.id, path);
	file = PathNameCreateTemporaryFile(path, true);
	file_bytes = 0;
}

void
AppendToRowFile(CommandRecord &record, char *bytes, Size length)
{
	if (file == 0)
		OpenRowFile(record);
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
}

} // namespace worker_pool
