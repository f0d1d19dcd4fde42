/*
 * result_format.hpp
 *	  The layout of an outcome: what a worker leaves behind and a session reads.
 *
 * An outcome is one blob in a DSA chunk of its record (CommandRecord.outcome):
 *
 *		OutcomeHeader | columns | messages | rows, where they are few
 *
 *	columns		one ColumnHead each, followed by the column's name and, for a type that is not built in, the
 *				type's name as the writer's format_type printed it; both end with NUL
 *	messages	one MessageHead each, followed by the fields (message_codec.hpp): first the notices in their
 *				order, then the error, if there is one
 *	rows		each starts with its own length as uint32 (itself included, padding not) at a MAXALIGNed
 *				place. RowFormat::kTuples: a MinimalTuple, which begins with just that length.
 *				RowFormat::kText: the length, then for each column an int32 length (-1: NULL), the text, NUL.
 *
 * Where the rows are many they stand in the record's file (shmem/spill.hpp) from offset 0 on. Where shared
 * memory has no room even for the blob without them, the blob follows the rows in that file, and an
 * OutcomeFooter ends the file; the record then has `spilled` and no chunk.
 *
 * No blob at all, the warm path of run(): a command that succeeded without rows to keep and without
 * messages has only its command tag, which stands in CommandRecord.brief.message (brief.sqlstate is 0).
 *
 * All multi-byte values are in the machine's own order: the blob never leaves the server it was made on.
 */
#pragma once

#include "pg/prelude.hpp"

namespace worker_pool
{

inline constexpr uint32 kOutcomeMagic = 0x57504f31; /* "WPO1" */

enum class RowFormat : uint8
{
	kTuples, /* for the database of the writer */
	kText,	 /* for any other */
};

/* OutcomeHeader.column_count of a command of which no statement returned rows. */
inline constexpr int32 kNoColumns = -1;

struct OutcomeHeader
{
	uint32 magic;
	Oid database;	/* the writer's */
	int32 encoding; /* its server encoding: of names and of text rows */
	int32 column_count;
	uint64 command_id;
	uint64 rows;
	uint64 row_bytes; /* padding included */
	uint32 columns_size;
	uint32 messages_size;
	uint32 message_count;
	uint32 messages_dropped;
	RowFormat format;
	bool rows_in_file;
	bool has_error; /* the last message is the error */
	char tag[COMPLETION_TAG_BUFSIZE];
};

struct ColumnHead
{
	Oid type;
	int32 typmod;
	uint32 shape; /* type_shape.hpp; of rows in the format kTuples */
	uint16 name_length;
	uint16 type_name_length; /* 0: a built-in type, its name is the same everywhere */
};

struct MessageHead
{
	uint32
		length; /* of the fields that follow; the next head stands at the next MAXALIGNed place */
	int32 encoding; /* of the fields' texts */
};

struct OutcomeFooter
{
	uint64 command_id;
	uint64 blob_offset;
	uint64 blob_size;
	uint64 magic;
};

static_assert(std::is_standard_layout_v<OutcomeHeader> &&
			  std::is_trivially_copyable_v<OutcomeHeader>);
static_assert(sizeof(OutcomeFooter) == 32 && sizeof(ColumnHead) == 16 && sizeof(MessageHead) == 8);
/* MinimalTupleData begins with the length that every row begins with. */
static_assert(offsetof(MinimalTupleData, t_len) == 0 &&
			  sizeof(std::declval<MinimalTupleData>().t_len) == sizeof(uint32));

/* Offsets of the parts in the blob. */
inline Size
ColumnsOffset()
{
	return MAXALIGN(sizeof(OutcomeHeader));
}

inline Size
MessagesOffset(const OutcomeHeader &header)
{
	return ColumnsOffset() + MAXALIGN(static_cast<Size>(header.columns_size));
}

inline Size
RowsOffset(const OutcomeHeader &header)
{
	return MessagesOffset(header) + MAXALIGN(static_cast<Size>(header.messages_size));
}

inline Size
BlobSize(const OutcomeHeader &header)
{
	return RowsOffset(header) + (header.rows_in_file ? 0 : static_cast<Size>(header.row_bytes));
}

} // namespace worker_pool
