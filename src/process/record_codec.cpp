/*
 * record_codec.cpp
 *	  Values of type record and record[] as bytes. See record_codec.hpp.
 *
 *	value		kAsIs: type and shape, the varlena itself (a named composite type, or an array of one)
 *				kAnonymous, for a record: int32 number of fields, then for each: type, shape, typmod, name with
 *					NUL, null flag, and unless it is null the field's value
 *				kAnonymous, for an array: int32 dimensions, lengths, lower bounds, int32 number of elements,
 *					then for each: null flag, and unless it is null the record
 *	field		record or record[]: a value as above; by value: a Datum; else int32 length, bytes
 *
 * Written in the worker while rows are collected, read in the session, both inside a transaction; both may
 * raise. Dropped fields of a row type are left out: nobody can name them.
 */
#include "process/record_codec.hpp"

#include "process/type_shape.hpp"

extern "C"
{
#include "access/detoast.h"
}

namespace worker_pool
{

static constexpr char kAsIs = 'v';
static constexpr char kAnonymous = 'a';

/* --- writing ------------------------------------------------------------------------------------------- */

static void EncodeValue(StringInfo out, Oid type, Datum value);

template <typename Number>
static void
PutRaw(StringInfo out, Number number)
{
	appendBinaryStringInfo(out, reinterpret_cast<const char *>(&number), sizeof(number));
}

static void
PutVarlena(StringInfo out, struct varlena *value)
{
	if (VARATT_IS_EXTERNAL(value))
		value = detoast_external_attr(value);

	const int32 length = static_cast<int32>(VARSIZE_ANY(value));

	PutRaw(out, length);
	appendBinaryStringInfo(out, reinterpret_cast<const char *>(value), length);
}

/* A value of any type but record and record[]. */
static void
PutPlain(StringInfo out, int16 type_length, bool by_value, Datum value)
{
	if (by_value)
		PutRaw(out, value);
	else if (type_length == -1)
		PutVarlena(out, reinterpret_cast<struct varlena *>(DatumGetPointer(value)));
	else
	{
		const int32 length = type_length == -2
								 ? static_cast<int32>(strlen(DatumGetCString(value))) + 1
								 : type_length;

		PutRaw(out, length);
		appendBinaryStringInfo(out, DatumGetPointer(value), length);
	}
}

static void
EncodeFields(StringInfo out, HeapTupleHeader record)
{
	const TupleDesc desc =
		lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(record), HeapTupleHeaderGetTypMod(record));
	Datum *const values = static_cast<Datum *>(palloc(sizeof(Datum) * (desc->natts + 1)));
	bool *const nulls = static_cast<bool *>(palloc(sizeof(bool) * (desc->natts + 1)));
	HeapTupleData tuple = {};
	int32 fields = 0;

	tuple.t_len = HeapTupleHeaderGetDatumLength(record);
	tuple.t_data = record;
	heap_deform_tuple(&tuple, desc, values, nulls);

	for (int i = 0; i < desc->natts; i++)
		fields += compat::Attribute(desc, i)->attisdropped ? 0 : 1;
	PutRaw(out, fields);
	for (int i = 0; i < desc->natts; i++)
	{
		const Form_pg_attribute attribute = compat::Attribute(desc, i);

		if (attribute->attisdropped)
			continue;
		PutRaw(out, attribute->atttypid);
		PutRaw(out, TypeShape(attribute->atttypid));
		PutRaw(out, attribute->atttypmod);
		appendBinaryStringInfo(out, NameStr(attribute->attname),
							   static_cast<int>(strlen(NameStr(attribute->attname))) + 1);
		PutRaw(out, nulls[i]);
		if (nulls[i])
			continue;
		if (NeedsRecordCodec(attribute->atttypid))
			EncodeValue(out, attribute->atttypid, values[i]);
		else
			PutPlain(out, attribute->attlen, attribute->attbyval, values[i]);
	}
	ReleaseTupleDesc(desc);
}

static void
EncodeArray(StringInfo out, ArrayType *array)
{
	const int dimensions = ARR_NDIM(array);
	Datum *elements = nullptr;
	bool *nulls = nullptr;
	int count = 0;

	deconstruct_array(array, RECORDOID, -1, false, TYPALIGN_DOUBLE, &elements, &nulls, &count);
	PutRaw(out, static_cast<int32>(dimensions));
	for (int i = 0; i < dimensions; i++)
	{
		PutRaw(out, static_cast<int32>(ARR_DIMS(array)[i]));
		PutRaw(out, static_cast<int32>(ARR_LBOUND(array)[i]));
	}
	PutRaw(out, static_cast<int32>(count));
	for (int i = 0; i < count; i++)
	{
		PutRaw(out, nulls[i]);
		if (!nulls[i])
			EncodeValue(out, RECORDOID, elements[i]);
	}
}

static void
EncodeValue(StringInfo out, Oid type, Datum value)
{
	Oid named = InvalidOid;

	check_stack_depth();
	if (type == RECORDOID)
	{
		const HeapTupleHeader record = DatumGetHeapTupleHeader(value);

		named = HeapTupleHeaderGetTypeId(record);

		if (HeapTupleHeaderGetTypeId(record) == RECORDOID)
		{
			appendStringInfoChar(out, kAnonymous);
			EncodeFields(out, record);
			return;
		}
	}
	else
	{
		ArrayType *const array = DatumGetArrayTypeP(value);

		named = ARR_ELEMTYPE(array);
		if (ARR_ELEMTYPE(array) == RECORDOID)
		{
			appendStringInfoChar(out, kAnonymous);
			EncodeArray(out, array);
			return;
		}
	}
	appendStringInfoChar(out, kAsIs);
	PutRaw(out, named);
	PutRaw(out, TypeShape(named));
	PutVarlena(out, reinterpret_cast<struct varlena *>(DatumGetPointer(value)));
}

bytea *
EncodeRecordValue(Oid type, Datum value)
{
	StringInfoData out;

	initStringInfo(&out);
	out.len = VARHDRSZ;
	EncodeValue(&out, type, value);
	SET_VARSIZE(out.data, out.len);
	return reinterpret_cast<bytea *>(out.data);
}

/* --- reading ------------------------------------------------------------------------------------------- */

struct Bytes
{
	const char *at;
	const char *end;
};

static Datum DecodeValue(Bytes *in, Oid type);

[[noreturn]] static void
RaiseCorrupt()
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("a record in the result of a worker_pool command is corrupt")));
	pg_unreachable();
}

static const char *
Take(Bytes *in, int64 length)
{
	const char *const taken = in->at;

	if (length < 0 || length > in->end - in->at)
		RaiseCorrupt();
	in->at += length;
	return taken;
}

template <typename Number>
static Number
TakeRaw(Bytes *in)
{
	Number number;

	memcpy(&number, Take(in, sizeof(number)), sizeof(number));
	return number;
}

/* A type that is read as it was written, and its shape; see type_shape.hpp. */
static Oid
TakeType(Bytes *in)
{
	const Oid type = TakeRaw<Oid>(in);

	if (TakeRaw<uint32>(in) == TypeShape(type) &&
		SearchSysCacheExists1(TYPEOID, ObjectIdGetDatum(type)))
		return type;
	ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
					errmsg("a type in the result was changed or dropped since the command ran"),
					errdetail("It stands in a record of the result."),
					errhint("Run the command again.")));
	pg_unreachable();
}

/* A number of things of which each takes at least one byte. */
static int32
TakeCount(Bytes *in, int32 limit)
{
	const int32 count = TakeRaw<int32>(in);

	if (count < 0 || count > limit || count > in->end - in->at)
		RaiseCorrupt();
	return count;
}

static Datum
TakePlain(Bytes *in, int16 type_length, bool by_value)
{
	if (by_value)
		return TakeRaw<Datum>(in);

	const int32 length = TakeRaw<int32>(in);
	const char *const bytes = Take(in, length);
	char *const copy = static_cast<char *>(palloc(length + 1));

	memcpy(copy, bytes, length);
	copy[length] = '\0';
	if ((type_length > 0 && length != type_length) || (type_length == -2 && length < 1) ||
		(type_length == -1 && (length < 1 || VARATT_IS_EXTERNAL(copy) ||
							   (!VARATT_IS_1B(copy) && length < static_cast<int32>(VARHDRSZ)) ||
							   static_cast<int32>(VARSIZE_ANY(copy)) != length)))
		RaiseCorrupt();
	return PointerGetDatum(copy);
}

static Datum
DecodeFields(Bytes *in)
{
	const int32 fields = TakeCount(in, MaxTupleAttributeNumber);
	const TupleDesc desc = CreateTemplateTupleDesc(fields);
	Datum *const values = static_cast<Datum *>(palloc0(sizeof(Datum) * (fields + 1)));
	bool *const nulls = static_cast<bool *>(palloc0(sizeof(bool) * (fields + 1)));

	for (int i = 0; i < fields; i++)
	{
		const Oid type = TakeType(in);
		const int32 typmod = TakeRaw<int32>(in);
		const char *const name = in->at;
		const void *const stop = memchr(name, '\0', static_cast<Size>(in->end - name));

		if (stop == nullptr)
			RaiseCorrupt();
		(void) Take(in, static_cast<const char *>(stop) - name + 1);
		TupleDescInitEntry(desc, static_cast<AttrNumber>(i + 1), name, type, typmod, 0);
		nulls[i] = TakeRaw<char>(in) != 0;
		if (nulls[i])
			continue;

		const Form_pg_attribute attribute = compat::Attribute(desc, i);

		if (NeedsRecordCodec(type))
			values[i] = DecodeValue(in, type);
		else
			values[i] = TakePlain(in, attribute->attlen, attribute->attbyval);
	}
	BlessTupleDesc(desc);
	return HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
}

static Datum
DecodeArray(Bytes *in)
{
	const int32 dimensions = TakeCount(in, MAXDIM);
	int lengths[MAXDIM];
	int lower_bounds[MAXDIM];

	for (int i = 0; i < dimensions; i++)
	{
		lengths[i] = TakeRaw<int32>(in);
		lower_bounds[i] = TakeRaw<int32>(in);
	}

	const int32 count = TakeCount(in, static_cast<int32>(MaxArraySize));
	Datum *const elements = static_cast<Datum *>(palloc0(sizeof(Datum) * (count + 1)));
	bool *const nulls = static_cast<bool *>(palloc0(sizeof(bool) * (count + 1)));

	if (ArrayGetNItems(dimensions, lengths) != count)
		RaiseCorrupt();
	for (int i = 0; i < count; i++)
	{
		nulls[i] = TakeRaw<char>(in) != 0;
		if (!nulls[i])
			elements[i] = DecodeValue(in, RECORDOID);
	}
	return PointerGetDatum(construct_md_array(elements, nulls, dimensions, lengths, lower_bounds,
											  RECORDOID, -1, false, TYPALIGN_DOUBLE));
}

static Datum
DecodeValue(Bytes *in, Oid type)
{
	check_stack_depth();

	const char kind = *Take(in, 1);

	if (kind == kAsIs)
	{
		(void) TakeType(in);
		return TakePlain(in, -1, false);
	}
	if (kind != kAnonymous)
		RaiseCorrupt();
	return type == RECORDOID ? DecodeFields(in) : DecodeArray(in);
}

Datum
DecodeRecordValue(Oid type, const char *bytes, Size length)
{
	Bytes in = {bytes, bytes + length};
	const Datum value = DecodeValue(&in, type);

	if (in.at != in.end)
		RaiseCorrupt();
	return value;
}

} // namespace worker_pool
