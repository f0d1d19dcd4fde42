/*
 * statement_checks.cpp
 *	  Refuses statements that need a client, and puts the search_path into the hint of a name not
 *	  found. Worker process.
 *
 * Only the top level can reach the client: COPY FROM STDIN and TO STDOUT are refused by the server
 * itself inside functions (SPI, SQL, PL/pgSQL) and do not occur in rules. In a worker they would
 * use the postmaster's own standard input and output. LISTEN the server refuses in background
 * processes by itself, but only when it is its turn; here nothing of the command has run yet.
 */
#include "process/statement_checks.hpp"

#include "process/executor.hpp"

namespace worker_pool
{

static bool library_was_loaded = false;

bool
LibraryWasLoaded()
{
	return library_was_loaded;
}

static void
RefuseClientCopy(const CopyStmt *copy)
{
	if (copy->filename != nullptr)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("a worker cannot run %s", copy->is_from ? "COPY FROM STDIN" : "COPY TO STDOUT"),
			 errdetail("It has no client to exchange the data with."),
			 copy->is_from
				 ? errhint("Use INSERT, or COPY from a file or program of the server.")
				 : errhint("Use SELECT or TABLE and fetch the rows, or COPY to a file or program of "
						   "the server.")));
}

void
CheckStatements(List *statements, const Request &request)
{
	ListCell *cell = nullptr;

	if (request.arg_count > 0 && list_length(statements) != 1)
		ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR),
						errmsg("a command with arguments must be a single statement"),
						errdetail("The command holds %d statements.", list_length(statements))));
	foreach(cell, statements)
	{
		Node *statement = lfirst_node(RawStmt, cell)->stmt;

		switch (nodeTag(statement))
		{
			case T_CopyStmt:
				RefuseClientCopy(reinterpret_cast<CopyStmt *>(statement));
				break;
			case T_ListenStmt:
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("a worker cannot run LISTEN"),
						 errdetail("It has no client to pass notifications to."),
						 errhint("LISTEN in a session; a command may NOTIFY it.")));
				break;
			case T_LoadStmt:
				library_was_loaded = true;
				break;
			default:
				break;
		}
	}
}

static bool
IsSavepoint(const TransactionStmt *statement)
{
	return statement->kind == TRANS_STMT_SAVEPOINT || statement->kind == TRANS_STMT_RELEASE ||
		   statement->kind == TRANS_STMT_ROLLBACK_TO;
}

void
RefuseTransactionControl(List *statements)
{
	ListCell *cell = nullptr;

	foreach(cell, statements)
	{
		Node *statement = lfirst_node(RawStmt, cell)->stmt;

		if (!IsA(statement, TransactionStmt) ||
			IsSavepoint(reinterpret_cast<TransactionStmt *>(statement)))
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				 errmsg("an atomic task cannot run %s",
						GetCommandTagName(CreateCommandTag(statement))),
				 errdetail("It is one transaction together with the note that it has succeeded."),
				 errhint("Leave transaction control out but for savepoints, or enqueue the task with "
						 "atomic => false.")));
	}
}

/* --- the hint --------------------------------------------------------------------------------- */

/*
 * Is it a name that search_path decides on? What the server says about others has nothing to
 * do with it.
 */
static bool
DependsOnSearchPath(const ErrorData *error)
{
	const char *function = error->funcname != nullptr ? error->funcname : "";
	const char *file = error->filename != nullptr ? error->filename : "";
	/* a schema in the name: "app.t" or app.f(integer) */
	const bool qualified = error->message != nullptr &&
						   memchr(error->message, '.', strcspn(error->message, "(")) != nullptr;

	/* raised by a user's own RAISE or THROW */
	if (strncmp(file, "pl", 2) == 0 && strcmp(file, "plancache.c") != 0)
		return false;
	switch (error->sqlerrcode)
	{
		case ERRCODE_UNDEFINED_TABLE:
			return !qualified && error->hint == nullptr && strcmp(function, "errorMissingRTE") != 0;
		case ERRCODE_UNDEFINED_FUNCTION:
			/*
			 * operators show the types, which may be qualified just because they are not in the path
			 */
			return !qualified || strcmp(function, "op_error") == 0;
		case ERRCODE_UNDEFINED_OBJECT:
			return !qualified && strcmp(file, "parse_type.c") == 0;
		case ERRCODE_UNDEFINED_SCHEMA:
			/* "no schema has been selected to create in", but not a schema that does not exist */
			return strcmp(function, "get_namespace_oid") != 0;
		default:
			return false;
	}
}

void
AddSearchPathHint(ErrorData *error)
{
	if (!DependsOnSearchPath(error))
		return;

	const char *path = namespace_search_path != nullptr ? namespace_search_path : "";
	char *hint =
		psprintf("A command inherits nothing of its caller's settings; its search_path is %s. "
				 "Qualify the name, or set search_path in \"settings\".",
				 path[0] != '\0' ? path : "\"\"");

	error->hint = error->hint != nullptr ? psprintf("%s %s", error->hint, hint) : hint;
}

} // namespace worker_pool
