/*
 * result_writer.cpp
 *	  Publishes the outcome of a command in its record. Worker process, outside of any transaction.
 *
 * Rows were gathered by row_collector.cpp, notices by message_capture.cpp. What is left is to compute the size
 * of the blob, take a chunk of that size (old outcomes are pushed out to make room) and write it there:
 * nothing on this path raises, and for a command that has only its tag nothing is allocated at all.
 *
 * If there is no chunk to be had, the blob goes to the end of the record's file. That is written with plain
 * system calls: fd.c's temporary files need a resource owner, which there is none of here, and their writes
 * raise. If that fails too, an error still has its short form in record.brief; a success becomes the failure
 * "could not be kept".
 *
 * All this happens while the record is kRunning on this worker's slot, so nobody else looks at these fields;
 * the pool lock of FinishCommand makes them visible.
 */
#include "process/result_writer.hpp"

#include "process/message_capture.hpp"
#include "process/message_codec.hpp"
#include "process/result_format.hpp"
#include "process/row_collector.hpp"
#include "shmem/memory.hpp"
#include "shmem/spill.hpp"

extern "C"
{
#include <fcntl.h>
#include <unistd.h>
}

namespace worker_pool
{

static int running_command = kNone;

void
InitResultWriter()
{
	AttachMemory();
	InitRowCollector();
	RedirectMessages();
}

void
BeginOutcome(int command)
{
	running_command = command;
	BeginRows(command);
	BeginMessages();
}

void
DropCollectedRows()
{
	ForgetRows();
}

/* --- the blob ------------------------------------------------------------------------------------------ */

/* All that goes into one blob. */
struct Parts
{
	OutcomeHeader header;
	CollectedRows rows;
	KeptMessages messages;
	const ErrorData *error; /* nullptr: success */
	Size error_size;
};

static Parts
GatherParts(const char *tag, const ErrorData *error)
{
	Parts parts = {};

	parts.rows = GetCollectedRows();
	parts.messages = GetKeptMessages();
	parts.error = error;
	parts.error_size = error == nullptr ? 0 : ErrorFieldsSize(error);

	OutcomeHeader &header = parts.header;

	header.magic = kOutcomeMagic;
	header.database = MyDatabaseId;
	header.encoding = GetDatabaseEncoding();
	header.command_id = CommandAt(running_command).id;
	header.format = parts.rows.format;
	header.column_count = parts.rows.column_count;
	header.rows = parts.rows.rows;
	header.row_bytes = parts.rows.row_bytes;
	header.columns_size = parts.rows.columns_size;
	header.rows_in_file = parts.rows.in_file;
	header.messages_size = parts.messages.size;
	header.message_count = parts.messages.count;
	header.messages_dropped = parts.messages.dropped;
	header.has_error = error != nullptr;
	if (error != nullptr)
	{
		header.messages_size +=
			static_cast<uint32>(sizeof(MessageHead) + MAXALIGN(parts.error_size));
		header.message_count++;
	}
	strlcpy(header.tag, tag, sizeof(header.tag));
	return parts;
}

static void
WriteBlob(const Parts &parts, char *blob)
{
	const OutcomeHeader &header = parts.header;
	char *const messages = blob + MessagesOffset(header);

	memset(blob, 0, ColumnsOffset());
	memcpy(blob, &header, sizeof(header));
	if (header.columns_size > 0)
		memcpy(blob + ColumnsOffset(), parts.rows.columns, header.columns_size);
	if (parts.messages.size > 0)
		memcpy(messages, parts.messages.bytes, parts.messages.size);
	if (parts.error != nullptr)
	{
		const MessageHead head = {static_cast<uint32>(parts.error_size), header.encoding};

		memcpy(messages + parts.messages.size, &head, sizeof(head));
		WriteErrorFields(parts.error, messages + parts.messages.size + sizeof(head));
	}
	if (!header.rows_in_file && header.row_bytes > 0)
		memcpy(blob + RowsOffset(header), parts.rows.bytes, static_cast<Size>(header.row_bytes));
}

/* --- where it goes ------------------------------------------------------------------------------------- */

/* Appends to an open file; false with errno set. */
static bool
Append(int descriptor, const char *bytes, Size length)
{
	while (length > 0)
	{
		errno = 0;
		const ssize_t written = write(descriptor, bytes, length);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
		{
			errno = errno == 0 ? ENOSPC : errno;
			return false;
		}
		bytes += written;
		length -= static_cast<Size>(written);
	}
	return true;
}

/* Puts the blob behind the rows that are in the record's file, or into a new one. False with errno set. */
static bool
AppendToFile(const Parts &parts, const char *blob, Size size)
{
	CommandRecord &record = CommandAt(running_command);
	const OutcomeFooter footer = {record.id, parts.header.rows_in_file ? parts.header.row_bytes : 0,
								  size, kOutcomeMagic};
	char path[kSpillPathSize];

	record.spilled = true;
	if (WP_FAULT_FALSE("result.no_file"))
	{
		errno = ENOSPC;
		return false;
	}
	if (!TryEnsureSpillFolder())
		return false;
	SpillPath(record.id, path);

	const int descriptor = BasicOpenFile(path, O_WRONLY | O_CREAT | PG_BINARY | O_APPEND |
												   (parts.header.rows_in_file ? 0 : O_TRUNC));

	if (descriptor < 0)
		return false;

	bool done = Append(descriptor, blob, size) &&
				Append(descriptor, reinterpret_cast<const char *>(&footer), sizeof(footer));
	const int write_error = errno;

	if (close(descriptor) != 0)
		return false;
	errno = write_error;
	return done;
}

static bool
StoreInFile(const Parts &parts, Size size)
{
	char *const blob = static_cast<char *>(
		MemoryContextAllocExtended(TopMemoryContext, size, MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM));

	if (blob == nullptr)
	{
		errno = ENOMEM;
		return false;
	}
	WriteBlob(parts, blob);

	const bool done = AppendToFile(parts, blob, size);
	const int write_error = errno;

	pfree(blob);
	errno = write_error;
	return done;
}

/* Puts the blob into shared memory, else into the record's file. False with errno set. */
static bool
StoreBlob(const Parts &parts)
{
	CommandRecord &record = CommandAt(running_command);
	const Size size = BlobSize(parts.header);
	const dsa_pointer chunk =
		WP_FAULT_FALSE("result.no_memory") ? InvalidDsaPointer : AllocateSharedEvicting(size);

	if (!DsaPointerIsValid(chunk))
		return StoreInFile(parts, size);
	WriteBlob(parts, SharedAddress(chunk));
	record.outcome = chunk;
	return true;
}

/* --- publication --------------------------------------------------------------------------------------- */

static void
SayNotKept(int cause)
{
	CommandRecord &record = CommandAt(running_command);
	char detail[sizeof(record.brief.detail)];

	errno = cause;
	snprintf(detail, sizeof(detail),
			 "The pool's shared memory is full and a temporary file could not be written: %m.");
	SetBriefError(&record.brief, cause == ENOSPC ? ERRCODE_DISK_FULL : ERRCODE_OUT_OF_MEMORY,
				  "the command succeeded but its result could not be kept", detail,
				  "Do not repeat it blindly: its effects are committed. Increase "
				  "\"worker_pool.shared_memory\".");
	record.sqlstate = record.brief.sqlstate;
}

bool
PublishSuccess(const char *tag)
{
	WP_FAULT("result.before_publish");

	CommandRecord &record = CommandAt(running_command);
	bool published = true;

	EndMessages();
	HOLD_INTERRUPTS();

	const Parts parts = GatherParts(tag, nullptr);

	record.rows = static_cast<int64>(parts.header.rows);
	if (!parts.rows.any && parts.messages.count == 0 && parts.messages.dropped == 0)
		SetBriefError(&record.brief, 0, tag, nullptr, nullptr);
	else if (!StoreBlob(parts))
	{
		SayNotKept(errno);
		ForgetRows();
		record.rows = -1;
		published = false;
	}
	RESUME_INTERRUPTS();
	return published;
}

void
PublishError(const ErrorData *error)
{
	CommandRecord &record = CommandAt(running_command);

	EndMessages();
	HOLD_INTERRUPTS();
	ForgetRows();
	record.sqlstate = error->sqlerrcode;
	SetBriefError(&record.brief, error->sqlerrcode, error->message, error->detail, error->hint);
	if (!StoreBlob(GatherParts("", error)))
		ForgetRows(); /* the short form must do; away with a half-written file */
	RESUME_INTERRUPTS();
}

} // namespace worker_pool
