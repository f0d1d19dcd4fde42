/*
 * message_codec.hpp
 *	  Errors and notices as bytes: the fields of the protocol's ErrorResponse and NoticeResponse.
 *
 * A message is a list of (one byte code, text, NUL), ended by a zero byte: what the server itself sends to
 * a client, so that a notice is kept just as elog.c wrote it. The worker writes without allocating and
 * without raising; the session reads with every length checked.
 */
#pragma once

#include "pg/prelude.hpp"

namespace worker_pool
{

/* Reads the fields of one message in place. */
struct FieldReader
{
	const char *at;
	const char *end;
	bool corrupt; /* the list ended without its zero byte */

	/* Moves to the next field; false at the end. */
	bool Next(char *code, const char **value);
};

/* The value of the field with that code, or nullptr. Allocates nothing. */
const char *FindField(const char *fields, Size length, char code);

/* The bytes that WriteErrorFields needs. */
Size ErrorFieldsSize(const ErrorData *error);
/* Writes all fields of an error; its level is written as ERROR. Cannot fail. */
void WriteErrorFields(const ErrorData *error, char *target);

/*
 * Makes an ErrorData in CurrentMemoryContext, its texts converted to the server's encoding; what has no
 * equivalent there becomes '?', so that an error message is not lost to another. nullptr when the bytes make
 * no sense. Needs a transaction.
 */
ErrorData *ReadErrorFields(const char *fields, Size length, int encoding);

} // namespace worker_pool
