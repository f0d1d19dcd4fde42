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
void AddDouble(RowWriter *row, double value);
/* Type interval. */
void AddMicroseconds(RowWriter *row, int64 microseconds);
/* nullptr: NULL. */
void AddText(RowWriter *row, const char *value);
/* nullptr: NULL. Type name. */
void AddName(RowWriter *row, const char *value);
/* 0: NULL. */
void AddTime(RowWriter *row, TimestampTz value);
void EndRow(RowWriter *row);

/* A fraction from 0 to 1 as it was typed: 0.1 as real is 0.10000000149 as double precision. */
inline double
PlainFraction(float fraction)
{
	return static_cast<double>(std::llround(static_cast<double>(fraction) * 1e6)) / 1e6;
}

} // namespace worker_pool
