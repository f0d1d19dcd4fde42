/*
 * request.cpp
 *	  Flattens a request in the session that submits it, and unfolds it in the worker that runs it.
 *
 * A chunk is one header and then all strings, each in front of its length so that neither side searches for
 * an end:
 *
 *		RequestHeader | text | argument ... | name value | name value | ...
 *		each string:	int32 length (-1: NULL, no bytes follow) | bytes | NUL
 *
 * Lengths stand unaligned and are copied out with memcpy. The chunk is written before the record is handed
 * over under the pool lock and not changed afterwards, so the worker reads it without a lock.
 *
 * If the session dies between writing and handing over, its exit callback frees the chunk (submit.cpp);
 * afterwards the chunk goes with its record.
 */
#include "feature/request.hpp"

namespace worker_pool
{

struct RequestHeader
{
	uint64 size; /* of the whole chunk */
	int32 arg_count;
	int32 setting_count;
};

static constexpr int32 kNullString = -1;

static Size
StringSize(const char *string)
{
	return sizeof(int32) + (string == nullptr ? 0 : strlen(string) + 1);
}

Size
RequestSize(const Request &request)
{
	Size size = sizeof(RequestHeader) + StringSize(request.text);

	for (int i = 0; i < request.arg_count; i++)
		size += StringSize(request.args[i]);
	for (int i = 0; i < request.setting_count; i++)
		size += StringSize(request.settings[i].name) + StringSize(request.settings[i].value);
	return size;
}

/* Writes one string and returns the place after it. */
static char *
WriteString(char *place, const char *string)
{
	const int32 length = string == nullptr ? kNullString : static_cast<int32>(strlen(string));

	memcpy(place, &length, sizeof(length));
	place += sizeof(length);
	if (string == nullptr)
		return place;
	memcpy(place, string, static_cast<Size>(length) + 1);
	return place + length + 1;
}

void
WriteRequest(const Request &request, char *chunk)
{
	RequestHeader header = {};
	char *place = chunk + sizeof(header);

	header.arg_count = request.arg_count;
	header.setting_count = request.setting_count;
	place = WriteString(place, request.text);
	for (int i = 0; i < request.arg_count; i++)
		place = WriteString(place, request.args[i]);
	for (int i = 0; i < request.setting_count; i++)
	{
		place = WriteString(place, request.settings[i].name);
		place = WriteString(place, request.settings[i].value);
	}
	header.size = static_cast<uint64>(place - chunk);
	memcpy(chunk, &header, sizeof(header));
}

/* Where a reader stands in a local copy of a chunk. */
struct RequestReader
{
	char *place;
	int encoding; /* of the strings; -1: the server's own, nothing to convert */
};

/* The next string; nullptr for NULL. Stays in the copy unless it must be converted. */
static const char *
ReadString(RequestReader *reader)
{
	int32 length = 0;

	memcpy(&length, reader->place, sizeof(length));
	reader->place += sizeof(length);
	if (length == kNullString)
		return nullptr;

	char *string = reader->place;

	reader->place += length + 1;
	return reader->encoding < 0 ? string : pg_any_to_server(string, length, reader->encoding);
}

Request
ReadRequest(const char *chunk, int encoding)
{
	RequestHeader header = {};

	memcpy(&header, chunk, sizeof(header));

	/* a request may be larger than palloc's ordinary limit of 1 GB */
	char *copy = static_cast<char *>(
		MemoryContextAllocHuge(CurrentMemoryContext, static_cast<Size>(header.size)));
	RequestReader reader = {copy + sizeof(header),
							encoding == GetDatabaseEncoding() ? -1 : encoding};
	Request request = {};

	memcpy(copy, chunk, static_cast<Size>(header.size));
	request.text = ReadString(&reader);
	request.arg_count = header.arg_count;
	request.setting_count = header.setting_count;
	if (request.arg_count > 0)
		request.args = static_cast<const char **>(
			palloc(static_cast<Size>(request.arg_count) * sizeof(char *)));
	for (int i = 0; i < request.arg_count; i++)
		request.args[i] = ReadString(&reader);
	if (request.setting_count > 0)
		request.settings = static_cast<SettingItem *>(
			palloc(static_cast<Size>(request.setting_count) * sizeof(SettingItem)));
	for (int i = 0; i < request.setting_count; i++)
	{
		request.settings[i].name = ReadString(&reader);
		request.settings[i].value = ReadString(&reader);
	}
	return request;
}

const char *
RequestText(const char *chunk, int *length)
{
	int32 text_length = 0;

	memcpy(&text_length, chunk + sizeof(RequestHeader), sizeof(text_length));
	*length = text_length;
	return chunk + sizeof(RequestHeader) + sizeof(text_length);
}

} // namespace worker_pool
