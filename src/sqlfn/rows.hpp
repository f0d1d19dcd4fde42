/*
 * rows.hpp
 *	  The rows of a set-returning function, column by column, into a tuplestore.
 */
#pragma once

#include "pg/prelude.hpp"

namespace worker_pool
{

/*
 * Made by BeginRows(); lives in the function's frame. Each Add* fills the next column, EndRow() stores the
 * row. Values may be in a context that is reset after EndRow().
 */
struct RowWriter
{
	static constexpr int kMaxColumns = 24;

	TupleDesc desc;
	Tuplestorestate *store;
	int column;
	Datum values[kMaxColumns];
	bool nulls[kMaxColumns];
};

/* 0A000 where the caller takes no set; the function's columns come from its OUT list. */
RowWriter BeginRows(FunctionCallInfo fcinfo);

void AddNull(RowWriter *row);
void AddInt(RowWriter *row, int32 value);
void AddBigint(RowWriter *row, int64 value);
void AddBool(RowWriter *row, bool value);
/* nullptr: NULL. */
void AddText(RowWriter *row, const char *value);
/* nullptr: NULL. Type name. */
void AddName(RowWriter *row, const char *value);
/* 0: NULL. */
void AddTime(RowWriter *row, TimestampTz value);
void EndRow(RowWriter *row);

} // namespace worker_pool
