/*
 * task_request.cpp
 *	  Unfolds a task's row into what the executor runs. Worker process, inside the transaction that claims.
 *
 * What stands in the row was checked when it was written (enqueue, schedule); what came in by another way is
 * taken as far as it makes sense: nested values in `settings` are passed over, NULL arguments are NULL.
 */
#include "process/task_request.hpp"

extern "C"
{
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
}

namespace worker_pool
{

static void
ReadArguments(Datum column, Request *request)
{
	ArrayType *array = DatumGetArrayTypeP(column);
	Datum *values = nullptr;
	bool *nulls = nullptr;

	if (ARR_NDIM(array) == 0)
		return;
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls,
					  &request->arg_count);
	request->args =
		static_cast<const char **>(palloc(sizeof(char *) * static_cast<Size>(request->arg_count)));
	for (int i = 0; i < request->arg_count; i++)
		request->args[i] = nulls[i] ? nullptr : TextDatumGetCString(values[i]);
}

/* As SET takes it; *known false for what is no value of a setting. */
static const char *
SettingText(const JsonbValue &value, bool *known)
{
	*known = true;
	switch (value.type)
	{
		case jbvNull:
			return nullptr;
		case jbvString:
			return pnstrdup(value.val.string.val, static_cast<Size>(value.val.string.len));
		case jbvNumeric:
			return DatumGetCString(
				DirectFunctionCall1(numeric_out, NumericGetDatum(value.val.numeric)));
		case jbvBool:
			return value.val.boolean ? "on" : "off";
		default:
			*known = false;
			return nullptr;
	}
}

void
ReadSettings(Datum column, Request *request)
{
	Jsonb *object = DatumGetJsonbP(column);

	if (!JB_ROOT_IS_OBJECT(object) || JB_ROOT_COUNT(object) == 0)
		return;
	request->settings = static_cast<SettingItem *>(
		palloc(sizeof(SettingItem) * static_cast<Size>(JB_ROOT_COUNT(object))));

	JsonbIterator *iterator = JsonbIteratorInit(&object->root);
	JsonbValue value;
	JsonbIteratorToken token = WJB_DONE;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		SettingItem &item = request->settings[request->setting_count];
		bool known = false;

		if (token == WJB_KEY)
			item.name = pnstrdup(value.val.string.val, static_cast<Size>(value.val.string.len));
		else if (token == WJB_VALUE)
		{
			item.value = SettingText(value, &known);
			request->setting_count += known ? 1 : 0;
		}
	}
}

Request
RequestOfTask(Relation task, HeapTuple tuple)
{
	Request request = {};

	request.text = TextOf(task, tuple, kTaskCommand);
	ReadArguments(ColumnOf(task, tuple, kTaskArgs), &request);
	ReadSettings(ColumnOf(task, tuple, kTaskSettings), &request);
	return request;
}

} // namespace worker_pool
