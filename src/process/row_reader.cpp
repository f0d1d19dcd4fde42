/*
 * row_reader.cpp
 *	  Brings the rows of an outcome into a tuplestore of the caller's shape. Session.
 *
 * Three ways, by where the rows were made and for whom:
 *	 tuples of this database	the bytes are copied as they are (the way of nearly all results, and the fast
 *								one); where a column is a record, the row is taken apart for it
 *	 tuples of another one		(submitted there and read here) local output function, then the declared column's
 *								input function
 *	 text						converted to this database's encoding, then the input function
 *
 * The column list was checked before the first row. An ERROR in a value leaves the tuplestore half full, which
 * dies with the statement; file, slots and settings go with their resource owner and nest level.
 */
#include "process/row_reader.hpp"

#include "process/column_check.hpp"
#include "process/record_codec.hpp"
#include "process/row_source.hpp"
#include "process/transmission.hpp"

namespace worker_pool
{

/* What the ways that touch single values share. */
struct ValueReader
{
	const Outcome *outcome;
	const ResultColumn *columns;
	int count;
	TupleDesc expected;
	const int *targets; /* attribute index of each result column */
	Tuplestorestate *store;
	bool is_private;

	int column; /* the one in work, for the error context; -1: none */
	FmgrInfo *in;
	Oid *io_params;
	FmgrInfo *out;
	Datum *values; /* of expected's shape */
	bool *nulls;
	int transmission_flags;
};

static void
ReportColumn(void *argument)
{
	const ValueReader *const reader = static_cast<ValueReader *>(argument);

	if (reader->column < 0)
		return;

	const Form_pg_attribute attribute =
		compat::Attribute(reader->expected, reader->targets[reader->column]);

	if (reader->is_private)
		errcontext("column \"%s\" of the result", NameStr(attribute->attname));
	else
		errcontext("column \"%s\" of the result of worker_pool command " UINT64_FORMAT,
				   NameStr(attribute->attname), reader->outcome->header.command_id);
}

template <typename Element>
static Element *
NewArray(int count)
{
	return static_cast<Element *>(palloc0(sizeof(Element) * static_cast<Size>(count + 1)));
}

static void
PrepareInput(ValueReader *reader)
{
	reader->in = NewArray<FmgrInfo>(reader->count);
	reader->io_params = NewArray<Oid>(reader->count);
	for (int i = 0; i < reader->count; i++)
	{
		const Oid type = compat::Attribute(reader->expected, reader->targets[i])->atttypid;
		Oid function = InvalidOid;

		getTypeInputInfo(type, &function, &reader->io_params[i]);
		fmgr_info(function, &reader->in[i]);
		reader->transmission_flags |= TransmissionFlags(type) & kTransmitMoney;
	}
}

static void
PrepareOutput(ValueReader *reader)
{
	reader->out = NewArray<FmgrInfo>(reader->count);
	for (int i = 0; i < reader->count; i++)
	{
		Oid function = InvalidOid;
		bool is_varlena = false;

		getTypeOutputInfo(reader->columns[i].type, &function, &is_varlena);
		fmgr_info(function, &reader->out[i]);
		reader->transmission_flags |= TransmissionFlags(reader->columns[i].type);
	}
}

/* The rows' own shape: bytea where a record was encoded. */
static TupleDesc
MakeRowDesc(const ResultColumn *columns, int count)
{
	const TupleDesc desc = CreateTemplateTupleDesc(count);

	for (int i = 0; i < count; i++)
	{
		const bool encoded = NeedsRecordCodec(columns[i].type);

		TupleDescInitEntry(desc, static_cast<AttrNumber>(i + 1), columns[i].name,
						   encoded ? BYTEAOID : columns[i].type, encoded ? -1 : columns[i].typmod,
						   0);
	}
	return desc;
}

/* Checks what a damaged file could have done to the head of a tuple. */
static MinimalTuple
TupleAt(const char *row, int count, uint64 command_id)
{
	const MinimalTuple tuple = reinterpret_cast<MinimalTuple>(const_cast<char *>(row));
	const Size bitmap =
		(tuple->t_infomask & HEAP_HASNULL) ? static_cast<Size>(BITMAPLEN(count)) : 0;
	const Size header = MAXALIGN(SizeofMinimalTupleHeader + bitmap);

	if (HeapTupleHeaderGetNatts(tuple) != count || header > tuple->t_len ||
		tuple->t_hoff != static_cast<uint8>(header + MINIMAL_TUPLE_OFFSET))
		RaiseCorruptOutcome(command_id);
	return tuple;
}

/* --- tuples of this database, as they are -------------------------------------------------------------- */

static uint64
CopyTuples(const ValueReader &reader, RowSource *source)
{
	TupleTableSlot *const slot = MakeSingleTupleTableSlot(reader.expected, &TTSOpsMinimalTuple);
	uint64 rows = 0;

	for (const char *row = NextRow(source, SizeofMinimalTupleHeader); row != nullptr;
		 row = NextRow(source, SizeofMinimalTupleHeader))
	{
		CHECK_FOR_INTERRUPTS();
		ExecStoreMinimalTuple(TupleAt(row, reader.count, source->command_id), slot, false);
		tuplestore_puttupleslot(reader.store, slot);
		rows++;
	}
	ExecDropSingleTupleTableSlot(slot);
	return rows;
}

/* --- value by value ------------------------------------------------------------------------------------ */

/* Sets the declared column from a text in the server's encoding; nullptr is NULL. */
static void
InputValue(ValueReader *reader, char *text)
{
	const int target = reader->targets[reader->column];

	/* called for NULL too: a domain may forbid it */
	reader->values[target] =
		InputFunctionCall(&reader->in[reader->column], text, reader->io_params[reader->column],
						  compat::Attribute(reader->expected, target)->atttypmod);
	reader->nulls[target] = text == nullptr;
}

static void
TakeTupleRow(ValueReader *reader, TupleTableSlot *slot, const char *row)
{
	ExecStoreMinimalTuple(TupleAt(row, reader->count, reader->outcome->header.command_id), slot,
						  false);
	slot_getallattrs(slot);
	for (reader->column = 0; reader->column < reader->count; reader->column++)
	{
		const int column = reader->column;
		const int target = reader->targets[column];
		const Datum value = slot->tts_values[column];

		if (reader->out != nullptr)
			InputValue(reader, slot->tts_isnull[column]
								   ? nullptr
								   : OutputFunctionCall(&reader->out[column], value));
		else
		{
			reader->nulls[target] = slot->tts_isnull[column];
			reader->values[target] = value;
			if (!slot->tts_isnull[column] && NeedsRecordCodec(reader->columns[column].type))
			{
				bytea *const encoded = DatumGetByteaPP(value);

				reader->values[target] = DecodeRecordValue(
					reader->columns[column].type, VARDATA_ANY(encoded), VARSIZE_ANY_EXHDR(encoded));
			}
		}
	}
	reader->column = -1;
}

static void
TakeTextRow(ValueReader *reader, const char *row)
{
	const OutcomeHeader &header = reader->outcome->header;
	uint32 row_length = 0;

	memcpy(&row_length, row, sizeof(row_length));

	const char *at = row + sizeof(row_length);
	const char *const end = row + row_length;

	for (reader->column = 0; reader->column < reader->count; reader->column++)
	{
		int32 length = 0;

		if (end - at < static_cast<int64>(sizeof(length)))
			RaiseCorruptOutcome(header.command_id);
		memcpy(&length, at, sizeof(length));
		at += sizeof(length);
		if (length < 0)
		{
			InputValue(reader, nullptr);
			continue;
		}
		if (end - at < static_cast<int64>(length) + 1 || at[length] != '\0')
			RaiseCorruptOutcome(header.command_id);
		/* input functions do not write into their argument, but they take it as one that may be written */
		InputValue(reader, header.encoding == GetDatabaseEncoding()
							   ? const_cast<char *>(at)
							   : pg_any_to_server(at, length, header.encoding));
		at += length + 1;
	}
	reader->column = -1;
}

static uint64
CopyValues(ValueReader *reader, RowSource *source)
{
	const bool is_text = reader->outcome->header.format == RowFormat::kText;
	TupleTableSlot *const slot =
		is_text ? nullptr
				: MakeSingleTupleTableSlot(MakeRowDesc(reader->columns, reader->count),
										   &TTSOpsMinimalTuple);
	MemoryContext const row_context =
		AllocSetContextCreate(CurrentMemoryContext, "worker_pool row", ALLOCSET_DEFAULT_SIZES);
	MemoryContext const old_context = MemoryContextSwitchTo(row_context);
	const Size least = is_text ? sizeof(uint32) : SizeofMinimalTupleHeader;
	ErrorContextCallback callback = {error_context_stack, ReportColumn, reader};
	uint64 rows = 0;

	error_context_stack = &callback;
	for (const char *row = NextRow(source, least); row != nullptr; row = NextRow(source, least))
	{
		CHECK_FOR_INTERRUPTS();
		if (is_text)
			TakeTextRow(reader, row);
		else
			TakeTupleRow(reader, slot, row);
		tuplestore_putvalues(reader->store, reader->expected, reader->values, reader->nulls);
		MemoryContextReset(row_context);
		rows++;
	}
	error_context_stack = callback.previous;
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(row_context);
	if (slot != nullptr)
		ExecDropSingleTupleTableSlot(slot);
	return rows;
}

/* --- all of it ----------------------------------------------------------------------------------------- */

/* Can the rows' bytes be copied as they are? */
static bool
SameShape(const ValueReader &reader)
{
	if (reader.count != reader.expected->natts)
		return false;
	for (int i = 0; i < reader.count; i++)
		if (NeedsRecordCodec(reader.columns[i].type))
			return false;
	return true;
}

static uint64
CopyFrom(ValueReader *reader, RowSource *source, bool as_bytes)
{
	if (as_bytes && SameShape(*reader))
		return CopyTuples(*reader, source);

	reader->values = NewArray<Datum>(reader->expected->natts);
	reader->nulls = NewArray<bool>(reader->expected->natts);
	memset(reader->nulls, true, static_cast<Size>(reader->expected->natts));
	if (as_bytes)
		return CopyValues(reader, source);

	PrepareInput(reader);
	if (reader->outcome->header.format == RowFormat::kTuples)
		PrepareOutput(reader);

	const int nest_level = BeginTransmission(reader->transmission_flags);
	const uint64 rows = CopyValues(reader, source);

	EndTransmission(nest_level);
	return rows;
}

void
CopyRows(const Outcome &outcome, TupleDesc expected, Tuplestorestate *store, bool is_private)
{
	const OutcomeHeader &header = outcome.header;
	const bool is_tuples = header.format == RowFormat::kTuples;
	const bool as_bytes = is_tuples && header.database == MyDatabaseId;
	ValueReader reader = {};

	reader.outcome = &outcome;
	reader.columns = ReadColumns(outcome);
	reader.count = header.column_count;
	reader.expected = expected;
	reader.targets = PairColumns(reader.columns, reader.count, expected);
	reader.store = store;
	reader.is_private = is_private;
	reader.column = -1;
	if (as_bytes)
		CheckTupleColumns(reader.columns, reader.count, expected, reader.targets);
	else if (is_tuples)
		CheckForeignTuples(header, reader.columns);

	RowSource source = OpenRows(outcome);

	if (CopyFrom(&reader, &source, as_bytes) != header.rows)
		RaiseCorruptOutcome(header.command_id);
	CloseRows(&source);
}

} // namespace worker_pool
