/*
 * message_codec.cpp
 *	  Errors and notices as bytes. See message_codec.hpp.
 *
 * The worker writes an error straight into shared memory when it publishes, outside of any transaction and
 * perhaps just after it ran out of memory: nothing here that it calls allocates. The session reads inside a
 * transaction, so it may allocate, and looks up conversions.
 */
#include "process/message_codec.hpp"

#include "pg/encoding.hpp"

namespace worker_pool
{

/* A field of our own, next to the PG_DIAG_ codes: DETAIL as it goes to the log only. */
static constexpr char kDiagDetailLog = 'l';

bool
FieldReader::Next(char *code, const char **value)
{
	if (at >= end)
	{
		corrupt = true;
		return false;
	}
	*code = *at;
	if (*code == '\0')
		return false;

	const char *const text = at + 1;
	const void *const stop = memchr(text, '\0', static_cast<Size>(end - text));

	if (stop == nullptr)
	{
		corrupt = true;
		return false;
	}
	*value = text;
	at = static_cast<const char *>(stop) + 1;
	return true;
}

const char *
FindField(const char *fields, Size length, char code)
{
	FieldReader reader = {fields, fields + length, false};
	char found = '\0';
	const char *value = nullptr;

	while (reader.Next(&found, &value))
		if (found == code)
			return value;
	return nullptr;
}

/* Counts, or counts and writes, the same fields. */
struct FieldWriter
{
	char *at; /* nullptr: count only */
	Size size;

	void Byte(char byte)
	{
		if (at != nullptr)
			*at++ = byte;
		size++;
	}

	void Text(char code, const char *text)
	{
		if (text == nullptr)
			return;

		const Size length = strlen(text) + 1;

		Byte(code);
		if (at != nullptr)
		{
			memcpy(at, text, length);
			at += length;
		}
		size += length;
	}

	void Number(char code, int number)
	{
		char digits[16];

		if (number <= 0)
			return;
		snprintf(digits, sizeof(digits), "%d", number);
		Text(code, digits);
	}
};

static void
PutErrorFields(const ErrorData *error, FieldWriter *writer)
{
	writer->Text(PG_DIAG_SEVERITY_NONLOCALIZED, "ERROR");
	writer->Text(PG_DIAG_SQLSTATE, unpack_sql_state(error->sqlerrcode));
	writer->Text(PG_DIAG_MESSAGE_PRIMARY, error->message ? error->message : "missing error text");
	writer->Text(PG_DIAG_MESSAGE_DETAIL, error->detail);
	writer->Text(kDiagDetailLog, error->detail_log);
	writer->Text(PG_DIAG_MESSAGE_HINT, error->hint);
	writer->Text(PG_DIAG_CONTEXT, error->context);
	writer->Text(PG_DIAG_SCHEMA_NAME, error->schema_name);
	writer->Text(PG_DIAG_TABLE_NAME, error->table_name);
	writer->Text(PG_DIAG_COLUMN_NAME, error->column_name);
	writer->Text(PG_DIAG_DATATYPE_NAME, error->datatype_name);
	writer->Text(PG_DIAG_CONSTRAINT_NAME, error->constraint_name);
	writer->Number(PG_DIAG_STATEMENT_POSITION, error->cursorpos);
	writer->Number(PG_DIAG_INTERNAL_POSITION, error->internalpos);
	writer->Text(PG_DIAG_INTERNAL_QUERY, error->internalquery);
	writer->Byte('\0');
}

Size
ErrorFieldsSize(const ErrorData *error)
{
	FieldWriter writer = {nullptr, 0};

	PutErrorFields(error, &writer);
	return writer.size;
}

void
WriteErrorFields(const ErrorData *error, char *target)
{
	FieldWriter writer = {target, 0};

	PutErrorFields(error, &writer);
}

/* The level of a message by its untranslated name; -1 for a word that is none. */
static int
LevelOf(const char *severity)
{
	/* which DEBUG it was is not sent; it passed the worker's client_min_messages */
	if (strcmp(severity, "DEBUG") == 0)
		return DEBUG1;
	if (strcmp(severity, "LOG") == 0)
		return LOG;
	if (strcmp(severity, "INFO") == 0)
		return INFO;
	if (strcmp(severity, "NOTICE") == 0)
		return NOTICE;
	if (strcmp(severity, "WARNING") == 0)
		return WARNING;
	if (strcmp(severity, "ERROR") == 0)
		return ERROR;
	return -1;
}

static int
PositionOf(const char *digits)
{
	const long number = strtol(digits, nullptr, 10);

	return number > 0 && number < INT_MAX ? static_cast<int>(number) : 0;
}

/* Where the text of that field goes in an ErrorData; nullptr for a field that is none or not kept. */
static char **
TextOf(ErrorData *error, char code)
{
	switch (code)
	{
		case PG_DIAG_MESSAGE_PRIMARY:
			return &error->message;
		case PG_DIAG_MESSAGE_DETAIL:
			return &error->detail;
		case kDiagDetailLog:
			return &error->detail_log;
		case PG_DIAG_MESSAGE_HINT:
			return &error->hint;
		case PG_DIAG_CONTEXT:
			return &error->context;
		case PG_DIAG_SCHEMA_NAME:
			return &error->schema_name;
		case PG_DIAG_TABLE_NAME:
			return &error->table_name;
		case PG_DIAG_COLUMN_NAME:
			return &error->column_name;
		case PG_DIAG_DATATYPE_NAME:
			return &error->datatype_name;
		case PG_DIAG_CONSTRAINT_NAME:
			return &error->constraint_name;
		case PG_DIAG_INTERNAL_QUERY:
			return &error->internalquery;
		default:
			return nullptr;
	}
}

ErrorData *
ReadErrorFields(const char *fields, Size length, int encoding)
{
	ErrorData *const error = static_cast<ErrorData *>(palloc0(sizeof(ErrorData)));
	FieldReader reader = {fields, fields + length, false};
	char code = '\0';
	const char *value = nullptr;

	error->elevel = -1;
	error->assoc_context = CurrentMemoryContext;
	while (reader.Next(&code, &value))
	{
		char **const text = TextOf(error, code);

		if (text != nullptr)
			*text = ToServerEncoding(value, static_cast<int>(strlen(value)), encoding);
		else if (code == PG_DIAG_SEVERITY_NONLOCALIZED)
			error->elevel = LevelOf(value);
		else if (code == PG_DIAG_SQLSTATE && strlen(value) == 5)
			error->sqlerrcode = MAKE_SQLSTATE(value[0], value[1], value[2], value[3], value[4]);
		else if (code == PG_DIAG_STATEMENT_POSITION)
			error->cursorpos = PositionOf(value);
		else if (code == PG_DIAG_INTERNAL_POSITION)
			error->internalpos = PositionOf(value);
	}
	return reader.corrupt || error->elevel < 0 ? nullptr : error;
}

} // namespace worker_pool
