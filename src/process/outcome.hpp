/*
 * outcome.hpp
 *	  An outcome as a session sees it: its parts located and checked.
 */
#pragma once

#include "process/result_format.hpp"
#include "shmem/commands.hpp"

namespace worker_pool
{

struct Outcome
{
	OutcomeHeader header; /* a copy */
	const char *columns;
	const char *messages;
	const char *rows; /* nullptr when they are in the file */
};

/*
 * Finds the blob of a finished command, in shared memory or in its file, and checks that its parts lie in it.
 * False when there is none: then CommandRecord.brief is all. The record is claimed by the caller; what is
 * read from a file is allocated in CurrentMemoryContext. XX001 when it makes no sense, 58P01 or another code
 * of the system when the file cannot be read.
 */
bool LoadOutcome(int command, Outcome *outcome);

/* Opens the record's file for reading, under the current resource owner. Raises. */
File OpenOutcomeFile(uint64 command_id);
/* Reads exactly that much, or raises. */
void ReadOutcomeFile(File file, char *target, Size length, off_t offset, uint64 command_id);

/* A column of the result; texts in the server's encoding. */
struct ResultColumn
{
	Oid type; /* of the writer's database */
	int32 typmod;
	uint32 shape;
	const char *name;
	const char *type_name; /* nullptr: a built-in type */
};

/* header.column_count of them, in CurrentMemoryContext. */
ResultColumn *ReadColumns(const Outcome &outcome);

/*
 * The index-th message, made in CurrentMemoryContext; *place is where the one before it ended (nullptr: the
 * first).
 */
ErrorData *ReadMessage(const Outcome &outcome, const char **place);

[[noreturn]] void RaiseCorruptOutcome(uint64 command_id);

} // namespace worker_pool
