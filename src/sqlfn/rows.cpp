/*
 * rows.cpp
 *	  Materialize mode by hand: the server's helper for it has another name in each major. Any session.
 */
#include "sqlfn/rows.hpp"

namespace worker_pool
{

RowWriter
BeginRows(FunctionCallInfo fcinfo)
{
	auto *const result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
	RowWriter row = {};

	if (result == nullptr || !IsA(result, ReturnSetInfo) ||
		(result->allowedModes & SFRM_Materialize) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-valued function called in context that cannot accept a set")));

	MemoryContext const context = MemoryContextSwitchTo(result->econtext->ecxt_per_query_memory);

	if (get_call_result_type(fcinfo, nullptr, &row.desc) != TYPEFUNC_COMPOSITE ||
		row.desc->natts > RowWriter::kMaxColumns)
		elog(ERROR, "return type must be a row type");
	row.store = tuplestore_begin_heap((result->allowedModes & SFRM_Materialize_Random) != 0, false,
									  work_mem);
	result->returnMode = SFRM_Materialize;
	result->setResult = row.store;
	result->setDesc = row.desc;
	MemoryContextSwitchTo(context);
	return row;
}

static void
Add(RowWriter *row, Datum value, bool is_null)
{
	if (row->column >= row->desc->natts)
		elog(ERROR, "worker_pool: the function returns more columns than its SQL declaration has");
	row->values[row->column] = value;
	row->nulls[row->column] = is_null;
	row->column++;
}

void
AddNull(RowWriter *row)
{
	Add(row, static_cast<Datum>(0), true);
}

void
AddInt(RowWriter *row, int32 value)
{
	Add(row, Int32GetDatum(value), false);
}

void
AddBigint(RowWriter *row, int64 value)
{
	Add(row, Int64GetDatum(value), false);
}

void
AddBool(RowWriter *row, bool value)
{
	Add(row, BoolGetDatum(value), false);
}

void
AddDouble(RowWriter *row, double value)
{
	Add(row, Float8GetDatum(value), false);
}

void
AddMicroseconds(RowWriter *row, int64 microseconds)
{
	auto *const interval = static_cast<Interval *>(palloc0(sizeof(Interval)));

	interval->time = microseconds;
	Add(row, IntervalPGetDatum(interval), false);
}

void
AddText(RowWriter *row, const char *value)
{
	if (value == nullptr)
		AddNull(row);
	else
		Add(row, CStringGetTextDatum(value), false);
}

void
AddName(RowWriter *row, const char *value)
{
	if (value == nullptr)
	{
		AddNull(row);
		return;
	}

	auto *const name = static_cast<Name>(palloc(sizeof(NameData)));

	namestrcpy(name, value);
	Add(row, NameGetDatum(name), false);
}

void
AddTime(RowWriter *row, TimestampTz value)
{
	if (value == 0)
		AddNull(row);
	else
		Add(row, TimestampTzGetDatum(value), false);
}

void
EndRow(RowWriter *row)
{
	if (row->column != row->desc->natts)
		elog(ERROR, "worker_pool: the function returns fewer columns than its SQL declaration has");
	tuplestore_putvalues(row->store, row->desc, row->values, row->nulls);
	row->column = 0;
}

} // namespace worker_pool
