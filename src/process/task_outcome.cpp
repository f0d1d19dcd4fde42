/*
 * task_outcome.cpp
 *	  Gathers what task_result() shows. Worker process.
 *
 * Each statement that returns rows goes through the receiver: its start throws away what the statement before
 * has left, each row becomes a JSON object by the server's row_to_json, run as the task's user in its own
 * transaction, so output functions and casts to json see what the task sees. An ERROR of theirs is the task's,
 * as it would be in a session that asked for the rows.
 *
 * A result must not make a task fail by its size: a row that is too large as it stands is not converted, and
 * once the limit is reached rows are only counted. Nor by its content: what json allows and jsonb does not (a
 * NUL character, half a surrogate pair, a number beyond numeric) is found when the array is converted, in a
 * subtransaction of its own, and the history says so.
 *
 * All is kept in memory contexts of this file, emptied at the next task; an ERROR leaves nothing else behind.
 */
#include "process/task_outcome.hpp"

#include "pg/guard.hpp"

extern "C"
{
#include "access/detoast.h"
#include "utils/fmgrprotos.h"
}

namespace worker_pool
{

static MemoryContext statement_context = nullptr; /* reset at each statement's start */
static MemoryContext row_context = nullptr;		  /* reset after each row */

/* The last statement that returned rows. */
struct Gathered
{
	TupleDesc desc;		 /* a blessed copy */
	StringInfoData json; /* '[{...},{...}' */
	uint64 rows;
	bool too_large;
};

static Gathered gathered = {};

void
InitTaskOutcome()
{
	statement_context =
		AllocSetContextCreate(TopMemoryContext, "worker_pool task result", ALLOCSET_SMALL_SIZES);
	row_context = AllocSetContextCreate(TopMemoryContext, "worker_pool task result row",
										ALLOCSET_DEFAULT_SIZES);
}

static void
Forget()
{
	gathered = {};
	MemoryContextReset(statement_context);
	MemoryContextReset(row_context);
}

static void
BeginRowsOf(TupleDesc type)
{
	Forget();

	MemoryContext const old_context = MemoryContextSwitchTo(statement_context);

	gathered.desc = BlessTupleDesc(CreateTupleDescCopy(type));
	initStringInfo(&gathered.json);
	MemoryContextSwitchTo(old_context);
}

/* Would the row alone, before anything is made of it, go beyond the limit? */
static bool
IsLarge(const TupleTableSlot *slot)
{
	Size size = 0;

	for (int i = 0; i < gathered.desc->natts; i++)
		if (!slot->tts_isnull[i] && compat::Attribute(gathered.desc, i)->attlen == -1)
			size += toast_raw_datum_size(slot->tts_values[i]);
	return size > kMostResult;
}

static void
AddRow(TupleTableSlot *slot)
{
	gathered.rows++;
	if (gathered.too_large)
		return;
	slot_getallattrs(slot);
	gathered.too_large = IsLarge(slot);
	if (gathered.too_large)
		return;

	MemoryContext const old_context = MemoryContextSwitchTo(row_context);
	HeapTuple tuple = heap_form_tuple(gathered.desc, slot->tts_values, slot->tts_isnull);
	const text *object = DatumGetTextPP(DirectFunctionCall1(row_to_json, HeapTupleGetDatum(tuple)));
	const int length = static_cast<int>(VARSIZE_ANY_EXHDR(object));

	if (static_cast<Size>(gathered.json.len) + static_cast<Size>(length) + 2 > kMostResult)
		gathered.too_large = true;
	else
	{
		appendStringInfoChar(&gathered.json, gathered.json.len == 0 ? '[' : ',');
		appendBinaryStringInfo(&gathered.json, VARDATA_ANY(object), length);
	}
	MemoryContextSwitchTo(old_context);
	MemoryContextReset(row_context);
}

DestReceiver *
TaskReceiver(bool keep)
{
	/* called back from the server's executor: no C++ exception may leave */
	static DestReceiver receiver = {[](TupleTableSlot *slot, DestReceiver *)
									{
										EnterCpp([slot]() { AddRow(slot); });
										return true;
									},
									[](DestReceiver *, int, TupleDesc type)
									{ EnterCpp([type]() { BeginRowsOf(type); }); },
									[](DestReceiver *) {}, [](DestReceiver *) {}, DestTuplestore};

	if (gathered.rows > 0 || gathered.desc != nullptr)
		Forget();
	return keep ? &receiver : None_Receiver;
}

/* Is it something that is wrong with the data, and not with the server or the transaction? */
static bool
IsAboutData(int sqlstate)
{
	return ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_DATA_EXCEPTION ||
		   ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_PROGRAM_LIMIT_EXCEEDED;
}

/* The array as jsonb; false when jsonb cannot hold it. The error, if any, is gone then. */
static bool
ConvertArray(char *json, Datum *result)
{
	MemoryContext const context = CurrentMemoryContext;
	ResourceOwner const owner = CurrentResourceOwner;
	volatile bool converted = true;

	BeginInternalSubTransaction(nullptr);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		*result = DirectFunctionCall1(jsonb_in, CStringGetDatum(json));
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		if (!IsAboutData(geterrcode()))
			PG_RE_THROW();
		converted = false;
		MemoryContextSwitchTo(context);
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return converted;
}

TaskResult
TakeTaskResult()
{
	if (gathered.rows == 0)
		return {};
	if (gathered.too_large)
		return {false, Datum{0}, "the result is not kept: it is larger than 256 kB"};
	appendStringInfoChar(&gathered.json, ']');

	Datum result = {};

	if (!ConvertArray(gathered.json.data, &result))
		return {false, Datum{0}, "the result is not kept: it holds a value that jsonb cannot hold"};
	return {true, result, nullptr};
}

} // namespace worker_pool
