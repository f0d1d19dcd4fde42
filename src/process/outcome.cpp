/*
 * outcome.cpp
 *	  Finds an outcome and takes it apart, in the session that claimed its record.
 *
 * The blob in shared memory is read where it is: nobody frees it while the record is claimed, and nobody
 * writes it any more. It is not trusted all the same, for a file may be damaged: every length is checked
 * against the part that it lies in before anything is read by it.
 *
 * If the session fails on the way, the file is closed with its resource owner and the claim given back by
 * the caller (feature/submit.hpp).
 */
#include "process/outcome.hpp"

#include "pg/encoding.hpp"
#include "process/message_codec.hpp"
#include "shmem/memory.hpp"
#include "shmem/spill.hpp"

namespace worker_pool
{

void
RaiseCorruptOutcome(uint64 command_id)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("the outcome of worker_pool command " UINT64_FORMAT " is corrupt",
						   command_id)));
	pg_unreachable();
}

File
OpenOutcomeFile(uint64 command_id)
{
	char path[kSpillPathSize];

	SpillPath(command_id, path);

	const File file = compat::OpenTemporaryFileForReading(path);

	if (file <= 0)
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not open file \"%s\", which holds the result of worker_pool "
							   "command " UINT64_FORMAT ": %m",
							   path, command_id)));
	return file;
}

void
ReadOutcomeFile(File file, char *target, Size length, off_t offset, uint64 command_id)
{
	while (length > 0)
	{
		const int amount = static_cast<int>(std::min(length, static_cast<Size>(INT_MAX / 2)));
		const auto got = FileRead(file, target, amount, offset, WAIT_EVENT_BUFFILE_READ);

		if (got < 0)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not read file \"%s\", which holds the result of worker_pool "
							"command " UINT64_FORMAT ": %m",
							FilePathName(file), command_id)));
		if (got == 0)
			RaiseCorruptOutcome(command_id);
		target += got;
		offset += got;
		length -= static_cast<Size>(got);
	}
}

/* The blob at the end of the record's file: shared memory had no room for it. */
static const char *
LoadBlobFromFile(uint64 command_id, Size *size)
{
	const File file = OpenOutcomeFile(command_id);
	const off_t file_size = FileSize(file);
	OutcomeFooter footer = {};

	if (file_size < static_cast<off_t>(sizeof(footer)))
		RaiseCorruptOutcome(command_id);

	const uint64 body_size = static_cast<uint64>(file_size) - sizeof(footer);

	ReadOutcomeFile(file, reinterpret_cast<char *>(&footer), sizeof(footer),
					static_cast<off_t>(body_size), command_id);
	if (footer.magic != kOutcomeMagic || footer.command_id != command_id ||
		footer.blob_offset > body_size || footer.blob_size != body_size - footer.blob_offset)
		RaiseCorruptOutcome(command_id);

	char *const blob = static_cast<char *>(
		MemoryContextAllocHuge(CurrentMemoryContext, static_cast<Size>(footer.blob_size) + 1));

	*size = static_cast<Size>(footer.blob_size);
	ReadOutcomeFile(file, blob, *size, static_cast<off_t>(footer.blob_offset), command_id);
	FileClose(file);
	return blob;
}

bool
LoadOutcome(int command, Outcome *outcome)
{
	const CommandRecord &record = CommandAt(command);
	const char *blob = nullptr;
	Size size = 0;

	if (DsaPointerIsValid(record.outcome))
	{
		AttachMemory();
		blob = SharedAddress(record.outcome);
		size = SharedSize(record.outcome);
	}
	/* a command that was lost may have left a file that never became whole */
	else if (record.spilled && record.state != CommandState::kLost)
		blob = LoadBlobFromFile(record.id, &size);
	else
		return false;

	OutcomeHeader &header = outcome->header;

	if (size < ColumnsOffset())
		RaiseCorruptOutcome(record.id);
	memcpy(&header, blob, sizeof(header));
	header.tag[sizeof(header.tag) - 1] = '\0';
	if (header.magic != kOutcomeMagic || header.command_id != record.id ||
		header.column_count < kNoColumns || header.column_count > MaxTupleAttributeNumber ||
		RowsOffset(header) > size ||
		(!header.rows_in_file && header.row_bytes != size - RowsOffset(header)))
		RaiseCorruptOutcome(record.id);
	outcome->columns = blob + ColumnsOffset();
	outcome->messages = blob + MessagesOffset(header);
	outcome->rows = header.rows_in_file ? nullptr : blob + RowsOffset(header);
	return true;
}

ResultColumn *
ReadColumns(const Outcome &outcome)
{
	const OutcomeHeader &header = outcome.header;
	const char *at = outcome.columns;
	const char *const end = at + header.columns_size;
	const int count = std::max(header.column_count, 0);
	ResultColumn *const columns =
		static_cast<ResultColumn *>(palloc0(sizeof(ResultColumn) * static_cast<Size>(count + 1)));

	for (int i = 0; i < count; i++)
	{
		ColumnHead head = {};

		if (static_cast<Size>(end - at) < sizeof(head))
			RaiseCorruptOutcome(header.command_id);
		memcpy(&head, at, sizeof(head));
		at += sizeof(head);

		const Size names_size = static_cast<Size>(head.name_length) + head.type_name_length + 2;

		if (static_cast<Size>(end - at) < names_size)
			RaiseCorruptOutcome(header.command_id);
		columns[i].type = head.type;
		columns[i].typmod = head.typmod;
		columns[i].shape = head.shape;
		columns[i].name = ToServerEncoding(at, head.name_length, header.encoding);
		if (head.type_name_length > 0)
			columns[i].type_name =
				ToServerEncoding(at + head.name_length + 1, head.type_name_length, header.encoding);
		at += names_size;
	}
	return columns;
}

ErrorData *
ReadMessage(const Outcome &outcome, const char **place)
{
	const OutcomeHeader &header = outcome.header;
	const char *const end = outcome.messages + header.messages_size;
	const char *at = *place == nullptr ? outcome.messages : *place;
	MessageHead head = {};

	if (static_cast<Size>(end - at) < sizeof(head))
		RaiseCorruptOutcome(header.command_id);
	memcpy(&head, at, sizeof(head));
	at += sizeof(head);
	if (static_cast<Size>(end - at) < MAXALIGN(static_cast<Size>(head.length)))
		RaiseCorruptOutcome(header.command_id);

	ErrorData *const message = ReadErrorFields(at, head.length, head.encoding);

	if (message == nullptr)
		RaiseCorruptOutcome(header.command_id);
	*place = at + MAXALIGN(static_cast<Size>(head.length));
	return message;
}

} // namespace worker_pool
