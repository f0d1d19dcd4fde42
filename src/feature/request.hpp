/*
 * request.hpp
 *	  A command's text, arguments and settings as one flat chunk: written by the session, read by the worker.
 *
 * All strings are NUL-terminated and in the submitter's server encoding (CommandRecord.submit_encoding);
 * the worker converts them when its database's encoding differs.
 */
#pragma once

#include "shmem/commands.hpp"
#include "shmem/memory.hpp"

namespace worker_pool
{

/* One name and value of the `settings` argument. */
struct SettingItem
{
	const char *name;
	const char *value; /* nullptr: back to the default */
};

/* In local memory; the strings belong to the memory context they were made in. */
struct Request
{
	const char *text;
	int arg_count;
	const char **args; /* nullptr entries are SQL NULL */
	int setting_count;
	SettingItem *settings;
};

/* The bytes that WriteRequest needs. */
Size RequestSize(const Request &request);
/* Flattens it into a chunk of RequestSize bytes. Cannot fail. */
void WriteRequest(const Request &request, char *chunk);
/*
 * Reads a chunk into CurrentMemoryContext, converting from `encoding` to the server's. May raise
 * 22021/22P05 when a character has no equivalent.
 */
Request ReadRequest(const char *chunk, int encoding);
/* The command text inside the chunk, and its length; for the views, which copy it under the lock. */
const char *RequestText(const char *chunk, int *length);

} // namespace worker_pool
