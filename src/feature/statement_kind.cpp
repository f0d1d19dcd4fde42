/*
 * statement_kind.cpp
 *	  Tells from a command's raw parse tree whether it can run inside a transaction block. Runs in sessions
 *	  (enqueue, schedule) and wherever a task is made.
 *
 * The list is that of the statements for which the server itself calls PreventInTransactionBlock, on 13 to 18.
 * Where the server decides by the catalogs (REINDEX TABLE and CLUSTER of a partitioned table, DROP SUBSCRIPTION
 * without a slot) the raw tree cannot tell: DROP SUBSCRIPTION counts as one that cannot, the others as ordinary;
 * they fail at run time with the server's 25001, and run with atomic => false. CALL and DO are ordinary, too: a
 * COMMIT in them fails at run time.
 *
 * What was found for the last few texts is remembered in this process, as in the check of the syntax.
 *
 * Nothing shared is touched; an error of the parser is the caller's.
 */
#include "feature/statement_kind.hpp"

namespace worker_pool
{

/* --- one statement -------------------------------------------------------------------------------------- */

/* The boolean option of that name; `otherwise` where it is not given. */
static bool
BooleanOption(List *options, const char *name, bool otherwise)
{
	ListCell *cell = nullptr;

	foreach(cell, options)
	{
		auto *option = static_cast<DefElem *>(lfirst(cell));

		if (strcmp(option->defname, name) == 0)
			return defGetBoolean(option);
	}
	return otherwise;
}

static bool
HasOption(List *options, const char *name)
{
	ListCell *cell = nullptr;

	foreach(cell, options)
		if (strcmp(static_cast<DefElem *>(lfirst(cell))->defname, name) == 0)
			return true;
	return false;
}

static const char *
ReindexOutsideBlock(const ReindexStmt *statement)
{
	if (compat::ReindexesConcurrently(statement))
		return "REINDEX CONCURRENTLY";
	switch (statement->kind)
	{
		case REINDEX_OBJECT_SCHEMA:
			return "REINDEX SCHEMA";
		case REINDEX_OBJECT_SYSTEM:
			return "REINDEX SYSTEM";
		case REINDEX_OBJECT_DATABASE:
			return "REINDEX DATABASE";
		default:
			return nullptr;
	}
}

static const char *
AlterSubscriptionOutsideBlock(const AlterSubscriptionStmt *statement)
{
	if (statement->kind == ALTER_SUBSCRIPTION_REFRESH)
		return "ALTER SUBSCRIPTION ... REFRESH";
	if (compat::SetsPublications(statement->kind) &&
		BooleanOption(statement->options, "refresh", true))
		return "ALTER SUBSCRIPTION with refresh";
	/* they change the slot on the publisher at once (17, 18) */
	if (statement->kind == ALTER_SUBSCRIPTION_OPTIONS &&
		(HasOption(statement->options, "failover") || HasOption(statement->options, "two_phase")))
		return "ALTER SUBSCRIPTION ... SET (failover, two_phase)";
	return nullptr;
}

static const char *
AlterTableOutsideBlock(const AlterTableStmt *statement)
{
	ListCell *cell = nullptr;

	foreach(cell, statement->cmds)
		if (compat::DetachesConcurrently(static_cast<AlterTableCmd *>(lfirst(cell))))
			return "ALTER TABLE ... DETACH CONCURRENTLY";
	return nullptr;
}

static const char *
CreateSubscriptionOutsideBlock(const CreateSubscriptionStmt *statement)
{
	const bool connects = BooleanOption(statement->options, "connect", true);

	return BooleanOption(statement->options, "create_slot", connects)
			   ? "CREATE SUBSCRIPTION ... WITH (create_slot = true)"
			   : nullptr;
}

static const char *
TransactionOutsideBlock(const TransactionStmt *statement)
{
	if (statement->kind == TRANS_STMT_COMMIT_PREPARED)
		return "COMMIT PREPARED";
	return statement->kind == TRANS_STMT_ROLLBACK_PREPARED ? "ROLLBACK PREPARED" : nullptr;
}

/* Statements that are only sometimes refused in a block: by their options. */
static const char *
OptionOutsideBlock(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_VacuumStmt:
			return reinterpret_cast<VacuumStmt *>(statement)->is_vacuumcmd ? "VACUUM" : nullptr;
		case T_IndexStmt:
			return reinterpret_cast<IndexStmt *>(statement)->concurrent
					   ? "CREATE INDEX CONCURRENTLY"
					   : nullptr;
		case T_DropStmt:
		{
			const auto *drop = reinterpret_cast<DropStmt *>(statement);

			return drop->removeType == OBJECT_INDEX && drop->concurrent ? "DROP INDEX CONCURRENTLY"
																		: nullptr;
		}
		case T_ClusterStmt:
			return reinterpret_cast<ClusterStmt *>(statement)->relation == nullptr ? "CLUSTER"
																				   : nullptr;
		case T_DiscardStmt:
			return reinterpret_cast<DiscardStmt *>(statement)->target == DISCARD_ALL ? "DISCARD ALL"
																					 : nullptr;
		case T_AlterDatabaseStmt:
			return HasOption(reinterpret_cast<AlterDatabaseStmt *>(statement)->options,
							 "tablespace")
					   ? "ALTER DATABASE SET TABLESPACE"
					   : nullptr;
		case T_ReindexStmt:
			return ReindexOutsideBlock(reinterpret_cast<ReindexStmt *>(statement));
		case T_AlterTableStmt:
			return AlterTableOutsideBlock(reinterpret_cast<AlterTableStmt *>(statement));
		case T_CreateSubscriptionStmt:
			return CreateSubscriptionOutsideBlock(
				reinterpret_cast<CreateSubscriptionStmt *>(statement));
		case T_AlterSubscriptionStmt:
			return AlterSubscriptionOutsideBlock(
				reinterpret_cast<AlterSubscriptionStmt *>(statement));
		case T_TransactionStmt:
			return TransactionOutsideBlock(reinterpret_cast<TransactionStmt *>(statement));
		default:
			return nullptr;
	}
}

/* The name of a statement that the server refuses in a transaction block; nullptr for any other. */
static const char *
OutsideBlock(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_CreatedbStmt:
			return "CREATE DATABASE";
		case T_DropdbStmt:
			return "DROP DATABASE";
		case T_CreateTableSpaceStmt:
			return "CREATE TABLESPACE";
		case T_DropTableSpaceStmt:
			return "DROP TABLESPACE";
		case T_AlterSystemStmt:
			return "ALTER SYSTEM";
		case T_DropSubscriptionStmt:
			return "DROP SUBSCRIPTION";
		default:
			return OptionOutsideBlock(statement);
	}
}

/* The name of a statement that would end or begin the transaction of an atomic task; nullptr for any other. */
static const char *
Control(Node *statement)
{
	if (!IsA(statement, TransactionStmt))
		return nullptr;
	switch (reinterpret_cast<TransactionStmt *>(statement)->kind)
	{
		case TRANS_STMT_BEGIN:
			return "BEGIN";
		case TRANS_STMT_START:
			return "START TRANSACTION";
		case TRANS_STMT_COMMIT:
			return "COMMIT";
		case TRANS_STMT_ROLLBACK:
			return "ROLLBACK";
		case TRANS_STMT_PREPARE:
			return "PREPARE TRANSACTION";
		default:
			return nullptr;
	}
}

/* --- a text ----------------------------------------------------------------------------------------------- */

/* A text and what it was found to be. */
struct KnownText
{
	char *text; /* nullptr = unused */
	Size length;
	bool standard_strings; /* they change what a text means to the parser */
	StatementKind kind;
	const char *what;
};

static constexpr int kKnownTexts = 16;
static constexpr Size kLongestKept = 4096;

static KnownText known_texts[kKnownTexts] = {};
static int latest_text = 0;

static const KnownText *
FindKnown(const char *text, Size length)
{
	for (int i = 0; i < kKnownTexts; i++)
	{
		const int place = (latest_text + i) % kKnownTexts;
		const KnownText &known = known_texts[place];

		if (known.text == nullptr || known.length != length ||
			known.standard_strings != standard_conforming_strings ||
			memcmp(known.text, text, length) != 0)
			continue;
		latest_text = place;
		return &known;
	}
	return nullptr;
}

/* Remembers a text in place of the one that was remembered first. */
static void
KeepKnown(const char *text, Size length, StatementKind kind, const char *what)
{
	static MemoryContext context = nullptr;
	static int next = 0;

	if (length > kLongestKept)
		return;
	if (context == nullptr)
		context = AllocSetContextCreate(TopMemoryContext, "worker_pool classified texts",
										ALLOCSET_SMALL_SIZES);

	char *copy = static_cast<char *>(MemoryContextAlloc(context, length + 1));

	memcpy(copy, text, length + 1);
	if (known_texts[next].text != nullptr)
		pfree(known_texts[next].text);
	known_texts[next] = {copy, length, standard_conforming_strings, kind, what};
	latest_text = next;
	next = (next + 1) % kKnownTexts;
}

/* Parses the text in a context of its own. */
static StatementKind
Classify(const char *text, const char **what)
{
	MemoryContext const context = AllocSetContextCreate(
		CurrentMemoryContext, "worker_pool statement kind", ALLOCSET_DEFAULT_SIZES);
	MemoryContext const old_context = MemoryContextSwitchTo(context);
	List *statements = compat::RawParse(text);
	const char *outside = nullptr;
	const char *control = nullptr;
	StatementKind kind = StatementKind::kOrdinary;
	ListCell *cell = nullptr;

	foreach(cell, statements)
	{
		Node *statement = lfirst_node(RawStmt, cell)->stmt;

		if (outside == nullptr)
			outside = OutsideBlock(statement);
		if (control == nullptr)
			control = Control(statement);
	}
	if (outside != nullptr)
		kind = list_length(statements) == 1 ? StatementKind::kOutsideBlock : StatementKind::kMixed;
	else if (control != nullptr)
		kind = StatementKind::kControl;
	*what = outside != nullptr ? outside : control;
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(context);
	return kind;
}

StatementKind
ClassifyCommand(const char *text, const char **what)
{
	const Size length = strlen(text);
	const KnownText *known = FindKnown(text, length);

	if (likely(known != nullptr))
	{
		*what = known->what;
		return known->kind;
	}

	const StatementKind kind = Classify(text, what);

	KeepKnown(text, length, kind, *what);
	return kind;
}

bool
ResolveAtomic(const char *text, int given)
{
	const char *what = nullptr;

	switch (ClassifyCommand(text, &what))
	{
		case StatementKind::kOrdinary:
			break;
		case StatementKind::kOutsideBlock:
			if (given == 1)
				ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
								errmsg("%s cannot run as an atomic task", what),
								errdetail("An atomic task runs in a transaction block, in which the "
										  "server does not allow this statement."),
								errhint("Leave \"atomic\" out, or set it to false.")));
			return false;
		case StatementKind::kMixed:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("%s cannot be one of several statements of a task", what),
					 errdetail("Statements in one text run in one transaction block, in which the "
							   "server does not allow this one."),
					 errhint("Make a task of its own of it; \"depends_on\" keeps tasks in order.")));
			break;
		case StatementKind::kControl:
			if (given != 0)
				ereport(ERROR, (errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
								errmsg("%s is not allowed in an atomic task", what),
								errdetail("The effect of an atomic task and its end are committed "
										  "together; only savepoints can be used in it."),
								errhint("Leave the statement out, or set \"atomic\" to false: the "
										"task then runs at most once for each attempt.")));
			break;
	}
	return given != 0;
}

} // namespace worker_pool
