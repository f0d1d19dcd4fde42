/*
 * column_check.cpp
 *	  Does the caller's column definition list fit the result? Session, before anything is consumed.
 *
 * Tuples enter the caller's rows as bytes, so nothing but the very type will do: the same, or one that is
 * binary-coercible to the declared one. A domain is not: its constraints hold in the command, or they are
 * not known to hold; nor is a declared varchar(3) over text, which would let longer values through. Who
 * wants them casts in the command, and the errors say so.
 */
#include "process/column_check.hpp"

#include "process/type_shape.hpp"

#include "process/record_codec.hpp"
#include "process/transmission.hpp"

extern "C"
{
#include "catalog/pg_cast.h"
#include "parser/parse_coerce.h"
}

namespace worker_pool
{

static const char *
LocalTypeName(Oid type, int32 typmod)
{
	return format_type_extended(type, typmod,
								FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_ALLOW_INVALID);
}

static const char *
TypeNameOf(const ResultColumn &column)
{
	return column.type_name != nullptr ? column.type_name
									   : LocalTypeName(column.type, column.typmod);
}

/* "a integer, b text", for a DETAIL. */
static char *
ListColumns(const ResultColumn *columns, int count)
{
	static constexpr int kShown = 20;
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < std::min(count, kShown); i++)
		appendStringInfo(&list, "%s%s %s", i == 0 ? "" : ", ", quote_identifier(columns[i].name),
						 TypeNameOf(columns[i]));
	if (count > kShown)
		appendStringInfoString(&list, ", ...");
	return list.data;
}

int *
PairColumns(const ResultColumn *columns, int count, TupleDesc expected)
{
	int *const targets = static_cast<int *>(palloc(sizeof(int) * static_cast<Size>(count + 1)));
	int declared = 0;

	for (int i = 0; i < expected->natts; i++)
	{
		if (compat::Attribute(expected, i)->attisdropped)
			continue;
		if (declared < count)
			targets[declared] = i;
		declared++;
	}
	if (declared == count)
		return targets;
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg_plural("the result has %d column, but the column definition list has %d",
						   "the result has %d columns, but the column definition list has %d",
						   static_cast<unsigned long>(count), count, declared),
			 count == 0 ? 0 : errdetail("The result is (%s).", ListColumns(columns, count)),
			 errhint("Declare the columns as the command returns them.")));
	pg_unreachable();
}

/* Can bytes of that type stand in a row where the attribute is declared? */
static bool
FitsAsBytes(const ResultColumn &column, Form_pg_attribute attribute)
{
	Oid type = column.type;
	int32 typmod = column.typmod;
	int16 length = 0;
	bool by_value = false;
	char alignment = '\0';

	if (type == attribute->atttypid)
		return attribute->atttypmod == -1 || attribute->atttypmod == typmod;

	/* a type may have been dropped since */
	if (!SearchSysCacheExists1(TYPEOID, ObjectIdGetDatum(type)))
		return false;
	/* a domain over varchar(3) is as good as varchar(3) */
	if (typmod == -1)
		type = getBaseTypeAndTypmod(type, &typmod);
	if (attribute->atttypmod != -1 &&
		(attribute->atttypid != type || attribute->atttypmod != typmod))
		return false;
	if (!IsBinaryCoercible(type, attribute->atttypid))
		return false;
	get_typlenbyvalalign(type, &length, &by_value, &alignment);
	return length == attribute->attlen && by_value == attribute->attbyval &&
		   alignment == attribute->attalign;
}

/* The rows were written under another definition of a type: nobody can read them any more. */
static void
CheckShape(const ResultColumn &column)
{
	if (likely(TypeShape(column.type) == column.shape))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("the type of column \"%s\" of the result was changed since the command ran",
					column.name),
			 errdetail("The result was written when %s was defined otherwise.", TypeNameOf(column)),
			 errhint("Run the command again.")));
}

void
CheckTupleColumns(const ResultColumn *columns, int count, TupleDesc expected, const int *targets)
{
	for (int i = 0; i < count; i++)
	{
		const Form_pg_attribute attribute = compat::Attribute(expected, targets[i]);

		CheckShape(columns[i]);
		if (FitsAsBytes(columns[i], attribute))
			continue;

		const char *const declared = LocalTypeName(attribute->atttypid, attribute->atttypmod);
		const char *const actual = TypeNameOf(columns[i]);

		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of the result has type %s, but the column definition list "
						"says %s",
						NameStr(attribute->attname), actual, declared),
				 strcmp(columns[i].name, NameStr(attribute->attname)) == 0
					 ? 0
					 : errdetail("The command calls the column \"%s\".", columns[i].name),
				 errhint("Cast the column to %s in the command, or declare it as %s.", declared,
						 actual)));
	}
}

/* Has the type the same OID, the same bytes and the same meaning in every database? */
static bool
IsSameEverywhere(Oid type)
{
	const Oid element = get_element_type(type);
	const char kind = get_typtype(type);

	if (OidIsValid(element))
		return type < FirstGenbkiObjectId && IsSameEverywhere(element);
	return type < FirstGenbkiObjectId && !NamesLocalObjects(type) && !NeedsRecordCodec(type) &&
		   kind != TYPTYPE_COMPOSITE && kind != TYPTYPE_DOMAIN && kind != TYPTYPE_ENUM &&
		   kind != TYPTYPE_PSEUDO;
}

/* `more` is what else than the hint's first advice would help. */
[[noreturn]] static void
RaiseReadElsewhere(const OutcomeHeader &header, const char *detail, const char *more)
{
	const char *const database = get_database_name(header.database);

	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("the result of worker_pool command " UINT64_FORMAT
					" cannot be read from this database",
					header.command_id),
			 errdetail("%s", detail),
			 database == nullptr
				 ? 0
				 : errhint("Read it from database \"%s\"%s.", database, more)));
	pg_unreachable();
}

void
CheckForeignTuples(const OutcomeHeader &header, const ResultColumn *columns)
{
	if (header.encoding != GetDatabaseEncoding())
		RaiseReadElsewhere(header, "It was made in a database with another encoding.", "");
	for (int i = 0; i < header.column_count; i++)
		if (columns[i].type_name != nullptr || !IsSameEverywhere(columns[i].type))
			RaiseReadElsewhere(
				header,
				psprintf("Column \"%s\" has type %s, whose values mean something only "
						 "in the database they were made in.",
						 columns[i].name, TypeNameOf(columns[i])),
				", or cast the column to text in the command");
}

int
CheckTagColumn(TupleDesc expected)
{
	int target = -1;
	int declared = 0;

	for (int i = 0; i < expected->natts; i++)
	{
		if (compat::Attribute(expected, i)->attisdropped)
			continue;
		target = i;
		declared++;
	}

	const Form_pg_attribute attribute =
		declared == 1 ? compat::Attribute(expected, target) : nullptr;

	if (attribute == nullptr || attribute->atttypmod != -1 ||
		!IsBinaryCoercible(TEXTOID, attribute->atttypid))
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("the command returned no rows; its result is its command tag"),
						errhint("Declare one column of type text.")));
	return target;
}

} // namespace worker_pool
