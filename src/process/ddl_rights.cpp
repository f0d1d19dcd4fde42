/*
 * ddl_rights.cpp
 *	  Runs in any session, in the utility hook, before DDL on a database.
 *
 * The checks follow the server's own (commands/dbcommands.c: dropdb, RenameDatabase, movedb,
 * AlterDatabase, createdb): ownership, CREATEDB, "not in a transaction block", "not the current database",
 * a name that is taken. They are looked at without locks, so the answer can be out of date by the time the
 * statement runs; then workers were stopped for a statement that fails, which costs a start, or the
 * statement finds a worker and fails as it does for any session. Where a check fails we say "no drain" and
 * let the server raise its own error.
 */
#include "process/ddl_rights.hpp"

namespace worker_pool
{

/* have_createdb_privilege() of dbcommands.c, which is static. */
static bool
MayCreateDatabases()
{
	if (superuser())
		return true;

	HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	bool allowed = false;

	if (HeapTupleIsValid(tuple))
	{
		allowed = reinterpret_cast<Form_pg_authid>(GETSTRUCT(tuple))->rolcreatedb;
		ReleaseSysCache(tuple);
	}
	return allowed;
}

/* The fields of pg_database that matter here. */
struct DatabaseFacts
{
	bool is_template;
	Oid tablespace;
};

static bool
ReadFacts(Oid database, DatabaseFacts *facts)
{
	HeapTuple tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));

	if (!HeapTupleIsValid(tuple))
		return false;

	const auto *form = reinterpret_cast<Form_pg_database>(GETSTRUCT(tuple));

	*facts = {form->datistemplate, form->dattablespace};
	ReleaseSysCache(tuple);
	return true;
}

/* The database of that name if it exists and the current user owns it; else InvalidOid. */
static Oid
OwnedDatabase(const char *name)
{
	const Oid database = get_database_oid(name, true);

	if (!OidIsValid(database) || !compat::OwnsDatabase(database, GetUserId()))
		return InvalidOid;
	return database;
}

static bool
ForDrop(const DropdbStmt *statement, bool is_top_level, DrainRequest *request)
{
	DatabaseFacts facts;
	const Oid database = OwnedDatabase(statement->dbname);

	if (IsInTransactionBlock(is_top_level) || !OidIsValid(database) || database == MyDatabaseId ||
		!ReadFacts(database, &facts) || facts.is_template)
		return false;
	*request = {database,
				compat::DropsWithForce(statement) ? Busy::kTerminate : Busy::kTerminateWhenAlone};
	return true;
}

static bool
ForRename(const RenameStmt *statement, DrainRequest *request)
{
	if (statement->renameType != OBJECT_DATABASE)
		return false;

	const Oid database = OwnedDatabase(statement->subname);

	if (!OidIsValid(database) || database == MyDatabaseId || !MayCreateDatabases() ||
		OidIsValid(get_database_oid(statement->newname, true)))
		return false;
	*request = {database, Busy::kTerminateWhenAlone};
	return true;
}

/* ALTER DATABASE ... SET TABLESPACE */
static bool
ForMove(const AlterDatabaseStmt *statement, DefElem *option, bool is_top_level,
		DrainRequest *request)
{
	if (IsInTransactionBlock(is_top_level) || list_length(statement->options) != 1)
		return false;

	DatabaseFacts facts;
	const Oid database = OwnedDatabase(statement->dbname);
	const Oid tablespace = get_tablespace_oid(defGetString(option), true);

	if (!OidIsValid(database) || database == MyDatabaseId || !OidIsValid(tablespace) ||
		tablespace == GLOBALTABLESPACE_OID ||
		!compat::MayCreateInTablespace(tablespace, GetUserId()) || !ReadFacts(database, &facts) ||
		facts.tablespace == tablespace)
		return false;
	*request = {database, Busy::kTerminateWhenAlone};
	return true;
}

/* ALTER DATABASE ... ALLOW_CONNECTIONS false | TABLESPACE x */
static bool
ForAlter(const AlterDatabaseStmt *statement, bool is_top_level, DrainRequest *request)
{
	bool closes = false;
	ListCell *cell;

	foreach(cell, statement->options)
	{
		auto *option = static_cast<DefElem *>(lfirst(cell));

		if (strcmp(option->defname, "tablespace") == 0)
			return ForMove(statement, option, is_top_level, request);
		if (option->arg != nullptr && strcmp(option->defname, "allow_connections") == 0)
			closes = !defGetBoolean(option);
	}
	if (!closes)
		return false;

	const Oid database = OwnedDatabase(statement->dbname);

	if (!OidIsValid(database) || database == MyDatabaseId)
		return false;
	*request = {database, Busy::kTerminate};
	return true;
}

/* CREATE DATABASE copies a database, which nobody may be using meanwhile. */
static bool
ForCreate(const CreatedbStmt *statement, bool is_top_level, DrainRequest *request)
{
	const char *source_name = "template1";
	const char *owner_name = nullptr;
	ListCell *cell;

	if (IsInTransactionBlock(is_top_level) || !MayCreateDatabases())
		return false;
	foreach(cell, statement->options)
	{
		auto *option = static_cast<DefElem *>(lfirst(cell));

		if (option->arg == nullptr)
			continue;
		if (strcmp(option->defname, "template") == 0)
			source_name = defGetString(option);
		else if (strcmp(option->defname, "owner") == 0)
			owner_name = defGetString(option);
	}

	DatabaseFacts facts;
	const Oid owner = owner_name == nullptr ? GetUserId() : get_role_oid(owner_name, true);
	const Oid source = get_database_oid(source_name, true);

	if (!OidIsValid(owner) || !compat::MaySetRole(GetUserId(), owner) || !OidIsValid(source) ||
		!ReadFacts(source, &facts) ||
		(!facts.is_template && !compat::OwnsDatabase(source, GetUserId())) ||
		OidIsValid(get_database_oid(statement->dbname, true)))
		return false;
	*request = {source, Busy::kLeave};
	return true;
}

bool
NeedsDrain(Node *statement, bool is_top_level, DrainRequest *request)
{
	/* what the server refuses for DDL of any kind */
	const bool refused = XactReadOnly || IsInParallelMode();

	switch (nodeTag(statement))
	{
		case T_DropdbStmt:
			return !refused &&
				   ForDrop(reinterpret_cast<DropdbStmt *>(statement), is_top_level, request);
		case T_RenameStmt:
			return !refused && ForRename(reinterpret_cast<RenameStmt *>(statement), request);
		case T_AlterDatabaseStmt:
			return !refused && ForAlter(reinterpret_cast<AlterDatabaseStmt *>(statement),
										is_top_level, request);
		case T_CreatedbStmt:
			return !refused &&
				   ForCreate(reinterpret_cast<CreatedbStmt *>(statement), is_top_level, request);
		default:
			return false;
	}
}

} // namespace worker_pool
