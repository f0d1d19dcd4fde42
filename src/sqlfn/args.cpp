/*
 * args.cpp
 *	  worker_pool.args(VARIADIC "any") -> text[]: makes the `args` of a command from values of any types.
 *
 * Runs in the caller's session. Each value goes through its type's output function under the fixed formats
 * (process/transmission.hpp), the ones under which workers read arguments, so that a date or an interval
 * means the same there whatever this session has set. NULL stays NULL. Called with VARIADIC, the elements of
 * the array are the values; a NULL array gives NULL.
 *
 * STABLE, as output functions are; not STRICT. If an output function fails, its error is the caller's, and
 * the settings go back with the (sub)transaction.
 */
#include "process/transmission.hpp"

#include "pg/guard.hpp"

namespace worker_pool
{

/* The values to print: parallel arrays. */
struct Values
{
	int count;
	Datum *values;
	bool *nulls;
	Oid *types;
};

static Values
MakeValues(int count)
{
	const Size size = static_cast<Size>(count) + 1;

	return {count, static_cast<Datum *>(palloc0(sizeof(Datum) * size)),
			static_cast<bool *>(palloc0(sizeof(bool) * size)),
			static_cast<Oid *>(palloc0(sizeof(Oid) * size))};
}

/* The elements of the array of a call with VARIADIC. */
static Values
ValuesOfArray(ArrayType *array)
{
	const Oid type = ARR_ELEMTYPE(array);
	int16 length = 0;
	bool by_value = false;
	char alignment = '\0';
	Values values = {};

	get_typlenbyvalalign(type, &length, &by_value, &alignment);
	deconstruct_array(array, type, length, by_value, alignment, &values.values, &values.nulls,
					  &values.count);
	values.types = static_cast<Oid *>(palloc(sizeof(Oid) * (static_cast<Size>(values.count) + 1)));
	for (int i = 0; i < values.count; i++)
		values.types[i] = type;
	return values;
}

/* The arguments of an ordinary call. */
static Values
ValuesOfCall(FunctionCallInfo fcinfo)
{
	const Values values = MakeValues(PG_NARGS());

	for (int i = 0; i < values.count; i++)
	{
		values.types[i] = get_fn_expr_argtype(fcinfo->flinfo, i);
		if (!OidIsValid(values.types[i]))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("could not determine the type of argument %d", i + 1)));
		values.nulls[i] = PG_ARGISNULL(i);
		values.values[i] = PG_GETARG_DATUM(i);
	}
	return values;
}

/* Replaces each value by its text. */
static void
PrintValues(Values *values)
{
	int flags = 0;
	Oid known_type = InvalidOid;
	FmgrInfo output = {};

	for (int i = 0; i < values->count; i++)
		if (i == 0 || values->types[i] != values->types[i - 1])
			flags |= TransmissionFlags(values->types[i]) & kTransmitNames;

	const int nest_level = BeginTransmission(flags);

	for (int i = 0; i < values->count; i++)
	{
		if (values->nulls[i])
			continue;
		if (values->types[i] != known_type)
		{
			Oid function = InvalidOid;
			bool is_varlena = false;

			known_type = values->types[i];
			getTypeOutputInfo(known_type, &function, &is_varlena);
			fmgr_info(function, &output);
		}
		values->values[i] = CStringGetTextDatum(OutputFunctionCall(&output, values->values[i]));
	}
	EndTransmission(nest_level);
}

} // namespace worker_pool

WP_SQL_FUNCTION(worker_pool_args)
{
	worker_pool::Values values = {};

	if (PG_NARGS() == 1 && get_fn_expr_variadic(fcinfo->flinfo))
	{
		if (PG_ARGISNULL(0))
			PG_RETURN_NULL();
		values = worker_pool::ValuesOfArray(PG_GETARG_ARRAYTYPE_P(0));
	}
	else
		values = worker_pool::ValuesOfCall(fcinfo);
	if (values.count == 0)
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(TEXTOID));

	worker_pool::PrintValues(&values);

	int lower_bound = 1;

	PG_RETURN_ARRAYTYPE_P(construct_md_array(values.values, values.nulls, 1, &values.count,
											 &lower_bound, TEXTOID, -1, false, TYPALIGN_INT));
}
