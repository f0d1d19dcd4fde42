/*
 * row_source.hpp
 *	  The rows of an outcome one after the other, from shared memory or from the file.
 */
#pragma once

#include "process/outcome.hpp"

namespace worker_pool
{

struct RowSource
{
	uint64 command_id;
	uint64 left; /* bytes of rows not yet handed out */
	const char *at;
	Size ready; /* bytes at `at` */

	/* rows in the file */
	File file; /* 0: rows in memory */
	off_t offset;
	char *buffer;
	Size capacity;
};

/* Opens the rows; the buffer is made in CurrentMemoryContext, the file under the current resource owner. */
RowSource OpenRows(const Outcome &outcome);
/*
 * The next row, MAXALIGNed, at least `least` bytes long by its own word; valid until the next call. nullptr
 * at the end. XX001 where the rows do not fit together.
 */
const char *NextRow(RowSource *source, Size least);
void CloseRows(RowSource *source);

} // namespace worker_pool
