/*
 * row_collector.hpp
 *	  The worker's DestReceiver: gathers the rows of the running command, in memory while they are few, else
 *	  in the record's file.
 */
#pragma once

#include "process/result_format.hpp"
#include "shmem/commands.hpp"

namespace worker_pool
{

/*
 * Rows up to this size stand in the blob in shared memory. Those of run() and query() may be larger: their
 * caller waits for them, so they leave shared memory at once.
 */
inline constexpr Size kInlineRows = Size{16} * 1024;
inline constexpr Size kInlineRowsPrivate = Size{64} * 1024;

/* What was gathered; valid until the next BeginRows. */
struct CollectedRows
{
	bool any; /* some statement returned rows (perhaps none at all) */
	RowFormat format;
	bool in_file;
	int32 column_count;
	uint64 rows;
	uint64 row_bytes;
	const char *columns; /* ColumnHeads and names */
	uint32 columns_size;
	const char *bytes; /* the rows, when they are not in the file */
};

/* Worker, once: makes the memory contexts. */
void InitRowCollector();
/* Starts anew for the record that this worker runs. Never raises. */
void BeginRows(int command);
/* Forgets all rows and removes the file. Never raises; with or without a transaction. */
void ForgetRows();
CollectedRows GetCollectedRows();

} // namespace worker_pool
