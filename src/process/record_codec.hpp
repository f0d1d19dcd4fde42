/*
 * record_codec.hpp
 *	  Values of type record and record[]: the only ones whose bytes mean nothing in another process.
 *
 * An anonymous record carries a typmod that names its row type in a table of the process that made it. So it
 * is shipped with its row type: for each field its type, typmod and name, and its value, again so where that
 * is a record. Named composite values, and everything else, hold only OIDs of their database and travel as
 * they are.
 */
#pragma once

#include "pg/prelude.hpp"

namespace worker_pool
{

/* Must values of this column type go through this codec? */
constexpr bool
NeedsRecordCodec(Oid type)
{
	return type == RECORDOID || type == RECORDARRAYOID;
}

/* A bytea in CurrentMemoryContext that holds the value and its row types. */
bytea *EncodeRecordValue(Oid type, Datum value);

/*
 * The value, made in CurrentMemoryContext, its row types known to this process. Raises XX001 when the bytes
 * make no sense.
 */
Datum DecodeRecordValue(Oid type, const char *bytes, Size length);

} // namespace worker_pool
