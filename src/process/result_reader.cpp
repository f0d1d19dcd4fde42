/*
 * result_reader.cpp
 *	  The session's side of an outcome. See result_reader.hpp for the order of calls.
 *
 * Where the record has a blob (outcome.hpp) all comes from there. Else the record's `brief` is what there is:
 * the tag of a command that has nothing more to tell, an error that was written without memory (by the
 * launcher, an exit callback, or a worker in need), or nothing at all, when a process died without a word.
 */
#include "process/result_reader.hpp"

#include "feature/request.hpp"
#include "pg/encoding.hpp"
#include "process/column_check.hpp"
#include "process/outcome.hpp"
#include "process/row_reader.hpp"

namespace worker_pool
{

/* The command's text in this server's encoding; nullptr when it is gone. */
static char *
CommandText(const CommandRecord &record)
{
	int length = 0;

	if (!DsaPointerIsValid(record.request))
		return nullptr;
	AttachMemory();

	const char *const text = RequestText(SharedAddress(record.request), &length);

	return ToServerEncoding(text, length, record.submit_encoding);
}

/*
 * The position counts in the text of the command; to the session's client it would point into the statement
 * that called us. As _SPI_error_callback does (executor/spi.c).
 */
static void
MovePosition(ErrorData *error, const CommandRecord &record)
{
	const int position = error->cursorpos;

	error->cursorpos = 0;
	if (position <= 0 || error->internalquery != nullptr)
		return;
	error->internalquery = CommandText(record);
	error->internalpos = error->internalquery == nullptr ? 0 : position;
}

void
EmitNotices(int command)
{
	const CommandRecord &record = CommandAt(command);
	Outcome outcome = {};
	const char *place = nullptr;

	if (!LoadOutcome(command, &outcome))
		return;

	const uint32 notices = outcome.header.message_count - (outcome.header.has_error ? 1 : 0);

	for (uint32 i = 0; i < notices; i++)
	{
		ErrorData *const message = ReadMessage(outcome, &place);

		/* an error among the notices would end us here */
		if (message->elevel >= ERROR)
			RaiseCorruptOutcome(record.id);
		MovePosition(message, record);
		ThrowErrorData(message);
	}
	if (outcome.header.messages_dropped > 0)
		ereport(WARNING,
				(errmsg("%u more messages of the command were dropped",
						outcome.header.messages_dropped),
				 errdetail("The messages of one command are kept up to 64 kB.")));
}

/* --- errors -------------------------------------------------------------------------------------------- */

static char *
BriefText(const char *text)
{
	return ToServerEncoding(text, static_cast<int>(strlen(text)), GetDatabaseEncoding());
}

[[noreturn]] static void
RaiseBrief(const BriefError &brief)
{
	ereport(ERROR, (errcode(brief.sqlstate), errmsg_internal("%s", BriefText(brief.message)),
					brief.detail[0] == '\0' ? 0 : errdetail_internal("%s", BriefText(brief.detail)),
					brief.hint[0] == '\0' ? 0 : errhint("%s", BriefText(brief.hint))));
	pg_unreachable();
}

/* What the process said last, if anything, is a detail: the caller asks what became of the command. */
[[noreturn]] static void
RaiseLost(const CommandRecord &record)
{
	const BriefError &brief = record.brief;

	if (brief.sqlstate == ERRCODE_CONNECTION_FAILURE)
		RaiseBrief(brief);
	ereport(ERROR,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("worker_pool command " UINT64_FORMAT " was lost: its process went away",
					record.id),
			 brief.sqlstate == 0
				 ? errdetail("Its outcome is unknown.")
				 : errdetail("Its outcome is unknown. The process ended with: %s",
							 BriefText(brief.message))));
	pg_unreachable();
}

static void
RaiseFromBlob(const CommandRecord &record, const Outcome &outcome)
{
	const char *place = nullptr;
	ErrorData *error = nullptr;

	for (uint32 i = 0; i < outcome.header.message_count; i++)
		error = ReadMessage(outcome, &place);
	if (error == nullptr || error->elevel != ERROR)
		RaiseCorruptOutcome(record.id);
	MovePosition(error, record);
	ThrowErrorData(error);
}

void
RaiseCommandError(int command)
{
	const CommandRecord &record = CommandAt(command);
	Outcome outcome = {};

	if (record.state == CommandState::kSucceeded)
		return;
	Assert(IsFinished(record.state));
	EmitNotices(command);
	if (record.state == CommandState::kLost)
		RaiseLost(record);
	if (LoadOutcome(command, &outcome) && outcome.header.has_error)
		RaiseFromBlob(record, outcome);
	if (record.brief.sqlstate != 0)
		RaiseBrief(record.brief);
	if (record.state == CommandState::kCancelled)
		ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED),
						errmsg("worker_pool command " UINT64_FORMAT " was cancelled", record.id)));
	ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
					errmsg("worker_pool command " UINT64_FORMAT " failed", record.id),
					errdetail("No error was recorded.")));
}

/* --- results ------------------------------------------------------------------------------------------- */

char *
ReadTag(int command)
{
	Outcome outcome = {};

	if (LoadOutcome(command, &outcome))
		return pstrdup(outcome.header.tag);
	return pstrdup(CommandAt(command).brief.message);
}

/* One row: the tag. */
static void
PutTag(const char *tag, TupleDesc expected, Tuplestorestate *store)
{
	const int target = CheckTagColumn(expected);
	const Size natts = static_cast<Size>(expected->natts);
	Datum *const values = static_cast<Datum *>(palloc0(sizeof(Datum) * natts));
	bool *const nulls = static_cast<bool *>(palloc(sizeof(bool) * natts));

	memset(nulls, true, natts);
	values[target] = CStringGetTextDatum(tag);
	nulls[target] = false;
	tuplestore_putvalues(store, expected, values, nulls);
}

void
ReadRows(int command, TupleDesc expected, Tuplestorestate *store)
{
	const CommandRecord &record = CommandAt(command);
	Outcome outcome = {};

	Assert(record.state == CommandState::kSucceeded);
	if (!LoadOutcome(command, &outcome))
		PutTag(record.brief.message, expected, store);
	else if (outcome.header.column_count == kNoColumns)
		PutTag(outcome.header.tag, expected, store);
	else
		CopyRows(outcome, expected, store, record.is_private);
}

} // namespace worker_pool
