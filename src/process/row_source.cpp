/*
 * row_source.cpp
 *	  The rows of an outcome one after the other. Session.
 *
 * Rows in shared memory are handed out where they are. Those in the file pass through a buffer, read in large
 * pieces; a row that the buffer's end cuts is moved to its beginning before the next piece is read behind it,
 * and a row larger than the buffer makes it grow. Rows are padded to MAXALIGN, so they stay aligned.
 */
#include "process/row_source.hpp"

namespace worker_pool
{

static constexpr Size kReadSize = Size{256} * 1024;

RowSource
OpenRows(const Outcome &outcome)
{
	RowSource source = {};

	source.command_id = outcome.header.command_id;
	source.left = outcome.header.row_bytes;
	if (!outcome.header.rows_in_file)
	{
		source.at = outcome.rows;
		source.ready = static_cast<Size>(outcome.header.row_bytes);
		return source;
	}
	source.file = OpenOutcomeFile(source.command_id);
	source.capacity = kReadSize;
	source.buffer = static_cast<char *>(palloc(source.capacity));
	source.at = source.buffer;
	return source;
}

/* Makes at least `wanted` bytes stand at source->at; reads as much as there is room for. */
static void
Fill(RowSource *source, Size wanted)
{
	if (wanted > source->left || source->file == 0)
		RaiseCorruptOutcome(source->command_id);
	if (wanted > source->capacity)
	{
		const Size done = static_cast<Size>(source->at - source->buffer);

		source->capacity = wanted;
		source->buffer = static_cast<char *>(repalloc_huge(source->buffer, source->capacity));
		source->at = source->buffer + done;
	}
	memmove(source->buffer, source->at, source->ready);
	source->at = source->buffer;

	const Size amount =
		static_cast<Size>(std::min(static_cast<uint64>(source->capacity - source->ready),
								   source->left - static_cast<uint64>(source->ready)));

	ReadOutcomeFile(source->file, source->buffer + source->ready, amount, source->offset,
					source->command_id);
	source->offset += static_cast<off_t>(amount);
	source->ready += amount;
}

const char *
NextRow(RowSource *source, Size least)
{
	if (source->left == 0)
		return nullptr;
	if (source->ready < sizeof(uint32))
		Fill(source, sizeof(uint32));

	uint32 length = 0;

	memcpy(&length, source->at, sizeof(length));

	const Size padded = MAXALIGN(static_cast<Size>(length));

	if (length < least || padded > MaxAllocSize)
		RaiseCorruptOutcome(source->command_id);
	if (source->ready < padded)
		Fill(source, padded);

	const char *const row = source->at;

	source->at += padded;
	source->ready -= padded;
	source->left -= padded;
	return row;
}

void
CloseRows(RowSource *source)
{
	if (source->file == 0)
		return;
	FileClose(source->file);
	source->file = 0;
	pfree(source->buffer);
}

} // namespace worker_pool
