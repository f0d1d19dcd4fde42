/*
 * row_collector.cpp
 *	  Gathers the rows of the running command in a worker.
 *
 * Each statement that returns rows goes through rStartup, receiveSlot for every row, rShutdown. rStartup
 * throws away what the statement before has left, so the last one's rows are the result.
 *
 * A row is formed straight in a static buffer of 64 kB. When that is full it goes to the record's file
 * (row_file.cpp), which is made at that moment. At rShutdown few rows stay in the buffer, for the blob; more
 * of them follow into the file, which is then closed. So the file is open only between two points of one
 * portal's run, under one resource owner, and a COMMIT inside the command never meets it.
 *
 * If something fails in between (row too large, disk full, a cancel), the ERROR aborts the transaction, which
 * closes the file; ForgetRows only unlinks it.
 *
 * Row formats. A submitter in this database gets MinimalTuples that refer to nothing outside: values stored
 * out of line are fetched (what is compressed stays so), expanded objects are flattened by forming the tuple,
 * records go through record_codec.hpp and stand there as bytea. A submitter elsewhere gets text.
 */
#include "process/row_collector.hpp"

#include "config/settings.hpp"
#include "pg/guard.hpp"
#include "process/record_codec.hpp"
#include "process/result_writer.hpp"
#include "process/row_file.hpp"
#include "process/transmission.hpp"
#include "process/type_shape.hpp"

extern "C"
{
#include "access/detoast.h"
}

namespace worker_pool
{

static constexpr Size kBufferSize = Size{64} * 1024;
static_assert(kBufferSize >= kInlineRowsPrivate);

/* Rows not yet in the file. */
alignas(MAXIMUM_ALIGNOF) static char buffer[kBufferSize];

static MemoryContext statement_context = nullptr; /* reset at each rStartup */
static MemoryContext row_context = nullptr;		  /* reset after a row that needed it */

/* One for the process; about the running command and its last statement that returned rows. */
struct Collector
{
	int command;
	Size inline_limit;
	bool discard; /* count only */
	bool any;
	bool in_file;
	RowFormat format;
	uint64 rows;
	uint64 row_bytes;
	Size buffered;

	int32 column_count;

	/* in statement_context; row_desc may be the statement's own and is gone when that has ended */
	TupleDesc row_desc; /* as formed: bytea for records */
	StringInfoData columns;
	int varlena_count;
	int *varlenas;		/* column indexes */
	bool has_converted; /* a column that does not travel as it is: record, pseudo-type */
	bool *as_text;		/* columns that travel as text, see TravelsAsText */
	Datum *values;
	FmgrInfo *out; /* kText */
	int transmission_flags;
	StringInfoData text_row;
};

static Collector now = {};

static CommandRecord &
Record()
{
	return CommandAt(now.command);
}

static void
WriteRows(char *bytes, Size length)
{
	now.in_file = true;
	AppendToRowFile(Record(), bytes, length);
}

static void
FlushBuffer()
{
	if (now.buffered > 0)
		WriteRows(buffer, now.buffered);
	now.buffered = 0;
}

/* --- one row ------------------------------------------------------------------------------------------- */

static void
CheckResultSize(Size more)
{
	if (now.row_bytes + more <= static_cast<uint64>(settings::max_result_size_kb) * 1024)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("result of the command is larger than worker_pool.max_result_size (%d kB)",
					settings::max_result_size_kb),
			 errhint("Return fewer or smaller rows, write them into a table, or increase "
					 "\"worker_pool.max_result_size\".")));
}

/* Zeroed, MAXALIGNed room for a row: in the buffer, or of its own when it does not fit there at all. */
static char *
ReserveRow(Size length)
{
	const Size padded = MAXALIGN(length);

	if (padded > MaxAllocSize)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("a row of the command's result is too large"),
						errdetail("The row has %zu bytes, the limit is %zu.", length, MaxAllocSize)));
	CheckResultSize(padded);
	if (now.buffered + padded > kBufferSize)
		FlushBuffer();
	if (padded > kBufferSize)
		return static_cast<char *>(MemoryContextAllocZero(row_context, padded));

	char *const place = buffer + now.buffered;

	memset(place, 0, padded);
	return place;
}

/* The row formed at `place` is part of the result. */
static void
KeepRow(char *place, Size length)
{
	const Size padded = MAXALIGN(length);

	if (padded > kBufferSize)
		WriteRows(place, padded);
	else
		now.buffered += padded;
	now.rows++;
	now.row_bytes += padded;
}

/*
 * A pseudo-type (void, cstring, anyarray of pg_statistic) can be a result column but stands in no column
 * definition list: its values travel as text.
 */
static bool
TravelsAsText(Oid type)
{
	return get_typtype(type) == TYPTYPE_PSEUDO && !NeedsRecordCodec(type);
}

static Datum
OutputAsText(Oid type, Datum value)
{
	Oid function = InvalidOid;
	bool is_varlena = false;

	getTypeOutputInfo(type, &function, &is_varlena);
	return CStringGetTextDatum(OidOutputFunctionCall(function, value));
}

/* Copies the values with what may not travel replaced; row_context is current. */
static Datum *
MovableValues(const TupleTableSlot *slot)
{
	memcpy(now.values, slot->tts_values, sizeof(Datum) * static_cast<Size>(now.row_desc->natts));
	for (int i = 0; i < now.varlena_count; i++)
	{
		const int column = now.varlenas[i];
		const Oid type = compat::Attribute(slot->tts_tupleDescriptor, column)->atttypid;
		Datum &value = now.values[column];

		if (slot->tts_isnull[column])
			continue;
		if (now.as_text[column])
			value = OutputAsText(type, value);
		else if (NeedsRecordCodec(type))
			value = PointerGetDatum(EncodeRecordValue(type, value));
		else if (VARATT_IS_EXTERNAL_NON_EXPANDED(DatumGetPointer(value)))
			value = PointerGetDatum(
				detoast_external_attr(reinterpret_cast<struct varlena *>(DatumGetPointer(value))));
	}
	return now.values;
}

static bool
HasImmovable(const TupleTableSlot *slot)
{
	if (now.has_converted)
		return true;
	for (int i = 0; i < now.varlena_count; i++)
	{
		const int column = now.varlenas[i];

		if (!slot->tts_isnull[column] &&
			VARATT_IS_EXTERNAL_NON_EXPANDED(DatumGetPointer(slot->tts_values[column])))
			return true;
	}
	return false;
}

/* Forms a MinimalTuple in place; after heap_form_minimal_tuple, without its allocation and copy. */
static void
FormTuple(Datum *values, bool *nulls)
{
	const int natts = now.row_desc->natts;
	Size header_size = SizeofMinimalTupleHeader;
	bool has_null = false;

	for (int i = 0; i < natts && !has_null; i++)
		has_null = nulls[i];
	if (has_null)
		header_size += static_cast<Size>(BITMAPLEN(natts));
	header_size = MAXALIGN(header_size);

	const Size data_size = heap_compute_data_size(now.row_desc, values, nulls);
	const Size length = header_size + data_size;
	char *const place = ReserveRow(length);
	const MinimalTuple tuple = reinterpret_cast<MinimalTuple>(place);

	tuple->t_len = static_cast<uint32>(length);
	HeapTupleHeaderSetNatts(tuple, natts);
	tuple->t_hoff = static_cast<uint8>(header_size + MINIMAL_TUPLE_OFFSET);
	heap_fill_tuple(now.row_desc, values, nulls, place + header_size, data_size, &tuple->t_infomask,
					has_null ? tuple->t_bits : nullptr);
	KeepRow(place, length);
}

static void
PutTuple(TupleTableSlot *slot)
{
	if (likely(!HasImmovable(slot)))
	{
		FormTuple(slot->tts_values, slot->tts_isnull);
		return;
	}

	MemoryContext const old_context = MemoryContextSwitchTo(row_context);

	FormTuple(MovableValues(slot), slot->tts_isnull);
	MemoryContextSwitchTo(old_context);
}

static void
PutText(TupleTableSlot *slot)
{
	MemoryContext const old_context = MemoryContextSwitchTo(row_context);
	StringInfo row = &now.text_row;
	const int nest_level = BeginTransmission(now.transmission_flags);

	resetStringInfo(row);
	row->len = sizeof(uint32);
	for (int i = 0; i < slot->tts_tupleDescriptor->natts; i++)
	{
		int32 length = -1;

		if (slot->tts_isnull[i])
		{
			appendBinaryStringInfo(row, reinterpret_cast<const char *>(&length), sizeof(length));
			continue;
		}

		const char *const text = OutputFunctionCall(&now.out[i], slot->tts_values[i]);

		length = static_cast<int32>(strlen(text));
		appendBinaryStringInfo(row, reinterpret_cast<const char *>(&length), sizeof(length));
		appendBinaryStringInfo(row, text, length + 1);
	}
	EndTransmission(nest_level);

	const uint32 row_length = static_cast<uint32>(row->len);

	memcpy(row->data, &row_length, sizeof(row_length));

	char *const place = ReserveRow(row_length);

	memcpy(place, row->data, row_length);
	KeepRow(place, row_length);
	MemoryContextSwitchTo(old_context);
}

/* --- the receiver -------------------------------------------------------------------------------------- */

static void
DescribeColumn(Form_pg_attribute attribute)
{
	const char *const name = NameStr(attribute->attname);
	const char *const type_name =
		attribute->atttypid < FirstNormalObjectId
			? ""
			: format_type_with_typemod(attribute->atttypid, attribute->atttypmod);
	const Oid type = TravelsAsText(attribute->atttypid) ? TEXTOID : attribute->atttypid;
	const uint32 shape = now.format == RowFormat::kTuples ? TypeShape(type) : 0;
	const ColumnHead head = {type, attribute->atttypmod, shape, static_cast<uint16>(strlen(name)),
							 static_cast<uint16>(strlen(type_name))};

	appendBinaryStringInfo(&now.columns, reinterpret_cast<const char *>(&head), sizeof(head));
	appendBinaryStringInfo(&now.columns, name, head.name_length + 1);
	appendBinaryStringInfo(&now.columns, type_name, head.type_name_length + 1);
}

/* What PutTuple needs to know of the columns. */
static void
PrepareTuples(TupleDesc type)
{
	const Size count = static_cast<Size>(type->natts) + 1;

	now.row_desc = type;
	now.has_converted = false;
	now.varlena_count = 0;
	now.varlenas = static_cast<int *>(palloc(sizeof(int) * count));
	now.as_text = static_cast<bool *>(palloc(sizeof(bool) * count));
	now.values = static_cast<Datum *>(palloc(sizeof(Datum) * count));
	for (int i = 0; i < type->natts; i++)
	{
		const Form_pg_attribute attribute = compat::Attribute(type, i);

		now.as_text[i] = TravelsAsText(attribute->atttypid);
		if (attribute->attlen == -1 || now.as_text[i])
			now.varlenas[now.varlena_count++] = i;
		if (NeedsRecordCodec(attribute->atttypid) || now.as_text[i])
			now.has_converted = true;
	}
	if (!now.has_converted)
		return;
	now.row_desc = CreateTupleDescCopy(type);
	for (int i = 0; i < type->natts; i++)
		if (NeedsRecordCodec(compat::Attribute(type, i)->atttypid))
			TupleDescInitEntry(now.row_desc, static_cast<AttrNumber>(i + 1), nullptr, BYTEAOID, -1,
							   0);
		else if (now.as_text[i])
			TupleDescInitEntry(now.row_desc, static_cast<AttrNumber>(i + 1), nullptr, TEXTOID, -1,
							   0);
}

/* What PutText needs to know of the columns. */
static void
PrepareText(TupleDesc type)
{
	now.out =
		static_cast<FmgrInfo *>(palloc(sizeof(FmgrInfo) * static_cast<Size>(type->natts + 1)));
	now.transmission_flags = 0;
	for (int i = 0; i < type->natts; i++)
	{
		const Oid type_oid = compat::Attribute(type, i)->atttypid;
		Oid function = InvalidOid;
		bool is_varlena = false;

		getTypeOutputInfo(type_oid, &function, &is_varlena);
		fmgr_info(function, &now.out[i]);
		now.transmission_flags |= TransmissionFlags(type_oid);
	}
	initStringInfo(&now.text_row);
}

static void
StartStatement(DestReceiver *self, int operation, TupleDesc type)
{
	(void) self;
	(void) operation;
	ForgetRows();
	if (now.discard)
		return;

	MemoryContextReset(statement_context);

	MemoryContext const old_context = MemoryContextSwitchTo(statement_context);

	initStringInfo(&now.columns);
	for (int i = 0; i < type->natts; i++)
		DescribeColumn(compat::Attribute(type, i));
	now.row_desc = type;
	now.column_count = type->natts;
	if (now.format == RowFormat::kTuples)
		PrepareTuples(type);
	else
		PrepareText(type);
	now.any = true;
	MemoryContextSwitchTo(old_context);
}

static bool
ReceiveRow(TupleTableSlot *slot, DestReceiver *self)
{
	(void) self;
	if (now.discard)
	{
		now.rows++;
		return true;
	}
	slot_getallattrs(slot);
	if (now.format == RowFormat::kTuples)
		PutTuple(slot);
	else
		PutText(slot);
	MemoryContextReset(row_context);
	return true;
}

static void
EndStatement(DestReceiver *self)
{
	(void) self;
	if (IsRowFileOpen() || now.buffered > now.inline_limit)
		FlushBuffer();
	if (IsRowFileOpen())
		CloseRowFile(Record());
}

static void
DestroyReceiver(DestReceiver *self)
{
	(void) self; /* static */
}

DestReceiver *
ResultReceiver()
{
	/* called back from the server's executor: no C++ exception may leave */
	static DestReceiver receiver = {
		[](TupleTableSlot *slot, DestReceiver *self)
		{ return EnterCpp([slot, self]() { return ReceiveRow(slot, self); }); },
		[](DestReceiver *self, int operation, TupleDesc type)
		{ EnterCpp([self, operation, type]() { StartStatement(self, operation, type); }); },
		[](DestReceiver *self) { EnterCpp([self]() { EndStatement(self); }); }, DestroyReceiver,
		DestTuplestore};

	return &receiver;
}

/* --- the command --------------------------------------------------------------------------------------- */

void
InitRowCollector()
{
	statement_context =
		AllocSetContextCreate(TopMemoryContext, "worker_pool result", ALLOCSET_SMALL_SIZES);
	row_context =
		AllocSetContextCreate(TopMemoryContext, "worker_pool result row", ALLOCSET_DEFAULT_SIZES);
}

void
ForgetRows()
{
	now.any = false;
	now.rows = now.row_bytes = 0;
	now.buffered = 0;
	now.in_file = false;
	ForgetRowFile(Record());
}

void
BeginRows(int command)
{
	CommandRecord &record = CommandAt(command);

	now = {};
	now.command = command;
	ForgetRowFile(record);
	now.discard = record.discard_rows;
	now.inline_limit = record.is_private ? kInlineRowsPrivate : kInlineRows;
	now.format = record.submit_database == MyDatabaseId ? RowFormat::kTuples : RowFormat::kText;
	/* after an ERROR they may hold what it left */
	MemoryContextReset(statement_context);
	MemoryContextReset(row_context);
}

CollectedRows
GetCollectedRows()
{
	CollectedRows rows = {};

	rows.any = now.any;
	rows.format = now.format;
	rows.in_file = now.in_file;
	rows.column_count = now.any ? now.column_count : kNoColumns;
	rows.rows = now.rows;
	rows.row_bytes = now.row_bytes;
	rows.columns = now.any ? now.columns.data : nullptr;
	rows.columns_size = now.any ? static_cast<uint32>(now.columns.len) : 0;
	rows.bytes = buffer;
	return rows;
}

} // namespace worker_pool
