/*
 * verb_arguments.cpp
 *	  See verb_arguments.hpp. Runs in the session that calls an SQL function; nothing here touches the pool,
 *	  so an error leaves nothing behind.
 */
#include "sqlfn/verb_arguments.hpp"

#include "config/settings.hpp"
#include "feature/authority.hpp"

extern "C"
{
#include "common/int.h"
}

namespace worker_pool
{

/* What a statement's parameters are counted in by the protocol. */
static constexpr int kMaxArgs = 65535;

void
EnterVerb()
{
	RequirePool();
	if (InSecurityRestrictedOperation())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("cannot use worker_pool within a security-restricted operation")));
	CheckAdmitted();
}

/* 22004 */
static void
RefuseNull(FunctionCallInfo fcinfo, int n, const char *argument)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"%s\" must not be null", argument)));
}

uint64
ReadCommandId(FunctionCallInfo fcinfo, int n)
{
	RefuseNull(fcinfo, n, "id");
	return static_cast<uint64>(PG_GETARG_INT64(n));
}

const char *
ReadCommandText(FunctionCallInfo fcinfo, int n)
{
	RefuseNull(fcinfo, n, "command");
	return text_to_cstring(PG_GETARG_TEXT_PP(n));
}

void
ReadArgs(FunctionCallInfo fcinfo, int n, Request *request)
{
	request->arg_count = 0;
	request->args = nullptr;
	if (PG_ARGISNULL(n))
		return;

	ArrayType *array = PG_GETARG_ARRAYTYPE_P(n);

	if (ARR_NDIM(array) == 0)
		return;
	if (ARR_NDIM(array) != 1)
		ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
						errmsg("argument \"args\" must be a one-dimensional array")));

	Datum *elements = nullptr;
	bool *nulls = nullptr;
	int count = 0;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	if (count > kMaxArgs)
		ereport(ERROR, (errcode(ERRCODE_TOO_MANY_ARGUMENTS),
						errmsg("a command can have at most %d arguments", kMaxArgs)));
	request->arg_count = count;
	request->args =
		static_cast<const char **>(palloc(static_cast<Size>(count) * sizeof(const char *)));
	for (int i = 0; i < count; i++)
		request->args[i] = nulls[i] ? nullptr : TextDatumGetCString(elements[i]);
}

/* One scalar of the settings object as the text that SET would take; nullptr for null. */
static const char *
SettingValue(const JsonbValue &value, const char *name)
{
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
			break;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for setting \"%s\" in argument \"settings\"", name),
			 errdetail("A value must be a string, a number, a boolean or null.")));
	return nullptr;
}

/* More than a server has of its own; each costs the worker a search and maybe a sort of its table. */
static constexpr uint32 kMostSettings = 400;


void
ReadSettings(FunctionCallInfo fcinfo, int n, Request *request)
{
	request->setting_count = 0;
	request->settings = nullptr;
	if (PG_ARGISNULL(n))
		return;

	Jsonb *object = PG_GETARG_JSONB_P(n);

	if (!JB_ROOT_IS_OBJECT(object))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"settings\" must be a JSON object"),
						errhint("For example: settings => '{\"work_mem\": \"64MB\"}'.")));
	if (JB_ROOT_COUNT(object) == 0)
		return;
	if (JB_ROOT_COUNT(object) > kMostSettings)
		ereport(ERROR, (errcode(ERRCODE_TOO_MANY_ARGUMENTS),
						errmsg("argument \"settings\" has too many settings"),
						errdetail("It has %u, the limit is %u.", JB_ROOT_COUNT(object), kMostSettings)));
	request->settings = static_cast<SettingItem *>(
		palloc(static_cast<Size>(JB_ROOT_COUNT(object)) * sizeof(SettingItem)));

	JsonbIterator *iterator = JsonbIteratorInit(&object->root);
	JsonbValue value;
	JsonbIteratorToken token = WJB_DONE;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		SettingItem &item = request->settings[request->setting_count];

		if (token == WJB_KEY)
			item.name = pnstrdup(value.val.string.val, static_cast<Size>(value.val.string.len));
		else if (token == WJB_VALUE)
		{
			item.value = SettingValue(value, item.name);
			request->setting_count++;
		}
	}
}

Oid
ReadDatabase(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? MyDatabaseId : ResolveDatabase(NameStr(*PG_GETARG_NAME(n)));
}

Oid
ReadRole(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? GetUserId() : ResolveRole(NameStr(*PG_GETARG_NAME(n)));
}

static void
RefuseInterval(const char *argument, const char *reason)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("argument \"%s\" %s", argument, reason)));
}

int64
ReadInterval(FunctionCallInfo fcinfo, int n, const char *argument, int64 default_ms)
{
	if (PG_ARGISNULL(n))
		return default_ms;

	const Interval *interval = PG_GETARG_INTERVAL_P(n);
	int64 microseconds = 0;

	/* what infinite intervals (17) are made of; before that, out of any range */
	if (interval->month == PG_INT32_MAX || interval->month == PG_INT32_MIN)
		RefuseInterval(argument, "must be finite");
	if (interval->month != 0)
		RefuseInterval(argument, "must not contain months or years, because their length varies");
	if (pg_mul_s64_overflow(interval->day, USECS_PER_DAY, &microseconds) ||
		pg_add_s64_overflow(microseconds, interval->time, &microseconds) ||
		microseconds > INT64CONST(1000) * INT_MAX)
		RefuseInterval(argument, "must not be longer than 24 days 20 hours");
	if (microseconds < 0)
		RefuseInterval(argument, "must not be negative");
	return (microseconds + 999) / 1000;
}

int64
ReadTimeout(FunctionCallInfo fcinfo, int n)
{
	return ReadInterval(fcinfo, n, "timeout", settings::default_timeout_ms);
}

const char *
ReadName(FunctionCallInfo fcinfo, int n)
{
	if (PG_ARGISNULL(n))
		return nullptr;

	const char *name = text_to_cstring(PG_GETARG_TEXT_PP(n));

	if (strlen(name) >= NAMEDATALEN)
		ereport(ERROR, (errcode(ERRCODE_NAME_TOO_LONG),
						errmsg("argument \"name\" must not be longer than %d bytes",
							   NAMEDATALEN - 1)));
	return name;
}

bool
ReadFlag(FunctionCallInfo fcinfo, int n)
{
	return !PG_ARGISNULL(n) && PG_GETARG_BOOL(n);
}

bool
ReadErrorWhenFull(FunctionCallInfo fcinfo, int n)
{
	if (PG_ARGISNULL(n))
		return false;

	const char *word = text_to_cstring(PG_GETARG_TEXT_PP(n));

	if (strcmp(word, "queue") == 0)
		return false;
	if (strcmp(word, "error") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid value for argument \"on_full\": \"%s\"", word),
						errhint("It can be 'queue' or 'error'.")));
	return true;
}

/* --- of tasks, queues and schedules ------------------------------------------------------------------------ */

/* Keys stand in an index: a page has room for a few of them. */
static constexpr Size kLongestKey = 1024;
/* Each is looked at and locked by the session that enqueues. */
static constexpr int kMostTaskIds = 1000;
static constexpr int32 kMostAttempts = 1000;

int64
ReadTaskId(FunctionCallInfo fcinfo, int n)
{
	RefuseNull(fcinfo, n, "id");
	return PG_GETARG_INT64(n);
}

int64 *
ReadTaskIds(FunctionCallInfo fcinfo, int n, const char *argument, int *count)
{
	Datum *elements = nullptr;
	bool *nulls = nullptr;

	*count = 0;
	if (PG_ARGISNULL(n))
		return nullptr;

	ArrayType *array = PG_GETARG_ARRAYTYPE_P(n);

	if (ARR_NDIM(array) == 0)
		return nullptr;
	if (ARR_NDIM(array) != 1)
		ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
						errmsg("argument \"%s\" must be a one-dimensional array", argument)));
	deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &elements,
					  &nulls, count);
	if (*count > kMostTaskIds)
		ereport(ERROR, (errcode(ERRCODE_TOO_MANY_ARGUMENTS),
						errmsg("argument \"%s\" has too many tasks", argument),
						errdetail("It has %d, the limit is %d.", *count, kMostTaskIds),
						errhint("Let tasks in between wait for some of them each, and wait for "
								"those.")));

	auto *ids = static_cast<int64 *>(palloc(static_cast<Size>(*count) * sizeof(int64)));

	for (int i = 0; i < *count; i++)
	{
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("argument \"%s\" must not contain nulls", argument)));
		ids[i] = DatumGetInt64(elements[i]);
	}
	std::sort(ids, ids + *count);
	*count = static_cast<int>(std::unique(ids, ids + *count) - ids);
	return ids;
}

Datum
ReadArgsToStore(FunctionCallInfo fcinfo, int n)
{
	return PointerGetDatum(PG_ARGISNULL(n) ? construct_empty_array(TEXTOID)
										   : PG_GETARG_ARRAYTYPE_P(n));
}

Datum
ReadSettingsToStore(FunctionCallInfo fcinfo, int n)
{
	if (PG_ARGISNULL(n))
		return DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"));
	return JsonbPGetDatum(PG_GETARG_JSONB_P(n));
}

const char *
ReadQueueName(FunctionCallInfo fcinfo, int n)
{
	if (PG_ARGISNULL(n))
		return nullptr;

	const char *name = text_to_cstring(PG_GETARG_TEXT_PP(n));

	if (strlen(name) >= NAMEDATALEN)
		ereport(ERROR, (errcode(ERRCODE_NAME_TOO_LONG),
						errmsg("name of a queue must not be longer than %d bytes", NAMEDATALEN - 1)));
	if (name[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("name of a queue must not be empty")));
	return name;
}

const char *
ReadKey(FunctionCallInfo fcinfo, int n, const char *argument)
{
	if (PG_ARGISNULL(n))
		return nullptr;

	const char *key = text_to_cstring(PG_GETARG_TEXT_PP(n));

	if (strlen(key) > kLongestKey)
		ereport(ERROR, (errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
						errmsg("argument \"%s\" must not be longer than %zu bytes", argument,
							   kLongestKey),
						errhint("Use a hash of it, such as md5(...).")));
	return key;
}

int32
ReadCount(FunctionCallInfo fcinfo, int n, const char *argument, int32 otherwise, int32 least)
{
	if (PG_ARGISNULL(n))
		return otherwise;

	const int32 value = PG_GETARG_INT32(n);

	if (value < least)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must be at least %d, not %d", argument, least, value)));
	return value;
}

int32
ReadMaxAttempts(FunctionCallInfo fcinfo, int n)
{
	const int32 value = ReadCount(fcinfo, n, "max_attempts", 0, 1);

	if (value > kMostAttempts)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"max_attempts\" must be at most %d, not %d", kMostAttempts,
							   value)));
	return value;
}

TimestampTz
ReadTime(FunctionCallInfo fcinfo, int n, const char *argument, TimestampTz otherwise)
{
	if (PG_ARGISNULL(n))
		return otherwise;

	const TimestampTz value = PG_GETARG_TIMESTAMPTZ(n);

	if (TIMESTAMP_NOT_FINITE(value))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"%s\" must be finite", argument)));
	return value;
}

int
ReadTristate(FunctionCallInfo fcinfo, int n)
{
	if (PG_ARGISNULL(n))
		return -1;
	return PG_GETARG_BOOL(n) ? 1 : 0;
}

/* "'a', 'b' or 'c'" */
static const char *
ListWords(const char *const *words)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; words[i] != nullptr; i++)
		appendStringInfo(&list, "%s'%s'",
						 i == 0					   ? ""
						 : words[i + 1] == nullptr ? " or "
												   : ", ",
						 words[i]);
	return list.data;
}

static int
FindWord(const char *word, const char *const *words)
{
	for (int i = 0; words[i] != nullptr; i++)
		if (strcmp(word, words[i]) == 0)
			return i;
	return -1;
}

int
ReadWord(FunctionCallInfo fcinfo, int n, const char *argument, const char *const *words)
{
	if (PG_ARGISNULL(n))
		return 0;

	const char *word = text_to_cstring(PG_GETARG_TEXT_PP(n));
	const int found = FindWord(word, words);

	if (found < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid value for argument \"%s\": \"%s\"", argument, word),
						errhint("It can be %s.", ListWords(words))));
	return found;
}

char
ReadHistory(FunctionCallInfo fcinfo, int n)
{
	static constexpr const char *kWords[] = {"all", "errors", "off", nullptr};
	static constexpr char kLetters[] = {settings::kHistoryAll, settings::kHistoryErrors,
										settings::kHistoryOff};

	if (PG_ARGISNULL(n))
		return static_cast<char>(settings::history_mode);
	return kLetters[ReadWord(fcinfo, n, "history", kWords)];
}

uint32
ReadReset(FunctionCallInfo fcinfo, int n, const char *const *words)
{
	Datum *elements = nullptr;
	bool *nulls = nullptr;
	int count = 0;
	uint32 reset = 0;

	if (PG_ARGISNULL(n))
		return 0;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(n), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls,
					  &count);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("argument \"reset\" must not contain nulls")));

		const char *word = TextDatumGetCString(elements[i]);
		const int found = FindWord(word, words);

		if (found < 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("option \"%s\" in argument \"reset\" has no default to return to",
								   word),
							errhint("It can be %s.", ListWords(words))));
		reset |= 1U << found;
	}
	return reset;
}

void
RefuseSetAndReset(bool set, bool reset, const char *option)
{
	if (set && reset)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\" cannot be set and reset at once", option)));
}

} // namespace worker_pool
