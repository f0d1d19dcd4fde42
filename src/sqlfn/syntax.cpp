/*
 * syntax.cpp
 *	  See syntax.hpp. Runs in the session that calls a verb.
 *
 * A few texts that passed are remembered in this process with the number of their statements, so that a
 * session that starts the same command again and again parses it once. Only standard_conforming_strings can
 * change what a text means to the parser, so it is part of what is remembered. The worker parses the text
 * again, under its own settings; that is the parse that counts.
 */
#include "sqlfn/syntax.hpp"

namespace worker_pool
{

/* A text that passed. */
struct CheckedText
{
	char *text; /* nullptr = unused */
	Size length;
	bool standard_strings;
	int statements;
};

static constexpr int kCheckedTexts = 16;
static constexpr Size kLongestKept = 4096;

static CheckedText checked[kCheckedTexts] = {};
static int latest = 0; /* the one used last is looked at first */

static const CheckedText *
FindChecked(const char *text, Size length)
{
	for (int i = 0; i < kCheckedTexts; i++)
	{
		const int place = (latest + i) % kCheckedTexts;
		const CheckedText &entry = checked[place];

		if (entry.text == nullptr || entry.length != length ||
			entry.standard_strings != standard_conforming_strings ||
			memcmp(entry.text, text, length) != 0)
			continue;
		latest = place;
		return &entry;
	}
	return nullptr;
}

/* Remembers a text in place of the one that was remembered first. */
static void
KeepChecked(const char *text, Size length, int statements)
{
	static MemoryContext context = nullptr;
	static int next = 0;

	if (length > kLongestKept)
		return;
	if (context == nullptr)
		context = AllocSetContextCreate(TopMemoryContext, "worker_pool checked texts",
										ALLOCSET_SMALL_SIZES);

	char *copy = static_cast<char *>(MemoryContextAlloc(context, length + 1));

	memcpy(copy, text, length + 1);
	if (checked[next].text != nullptr)
		pfree(checked[next].text);
	checked[next] = {copy, length, standard_conforming_strings, statements};
	latest = next;
	next = (next + 1) % kCheckedTexts;
}

/*
 * Error context: a position in the command text is no position in the statement that the client sent. Moves
 * it to where clients look for such (the model is _SPI_error_callback).
 */
static void
PointIntoCommand(void *argument)
{
	const char *text = static_cast<const char *>(argument);
	const int position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(text);
	}
	errcontext("checking the command for worker_pool");
}

/* COPY that would talk to a client, which a worker does not have. */
static bool
IsClientCopy(const Node *statement)
{
	if (!IsA(statement, CopyStmt))
		return false;

	const auto *copy = reinterpret_cast<const CopyStmt *>(statement);

	return copy->filename == nullptr && !copy->is_program;
}

/* Parses the text in a context of its own and returns how many statements it has. */
static int
ParseText(const char *text)
{
	MemoryContext const context = AllocSetContextCreate(
		CurrentMemoryContext, "worker_pool syntax check", ALLOCSET_DEFAULT_SIZES);
	MemoryContext const old_context = MemoryContextSwitchTo(context);
	ErrorContextCallback callback = {};

	callback.callback = PointIntoCommand;
	callback.arg = const_cast<char *>(text);
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	List *statements = compat::RawParse(text);
	const int count = list_length(statements);
	ListCell *cell = nullptr;

	foreach(cell, statements)
		if (IsClientCopy(lfirst_node(RawStmt, cell)->stmt))
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							errmsg("COPY FROM STDIN and COPY TO STDOUT cannot run in a worker"),
							errdetail("A worker has no client to exchange the data with."),
							errhint("Use COPY with a file or a program, or INSERT and SELECT.")));
	error_context_stack = callback.previous;
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(context);
	return count;
}

void
CheckSyntax(const Request &request)
{
	const Size length = strlen(request.text);
	const CheckedText *known = FindChecked(request.text, length);
	int statements = 0;

	if (likely(known != nullptr))
		statements = known->statements;
	else
	{
		statements = ParseText(request.text);
		KeepChecked(request.text, length, statements);
	}
	if (request.arg_count > 0 && statements != 1)
		ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR),
						errmsg("a command with arguments must be a single statement"),
						errdetail("It has %d statements.", statements)));
}

} // namespace worker_pool
