/*
 * ddl_hooks.cpp
 *	  ProcessUtility_hook: runs in any session, before every utility statement.
 *
 * A statement that changes what roles may do, or the settings of roles and databases, leaves a note that
 * fires at commit (ddl_effects.cpp): warm workers keep what they could when they connected and must look
 * again. The end of a prepared transaction makes known, or frees, rows of durable tasks that nobody pushed into
 * the ready queue: PREPARE TRANSACTION has dropped their notes (task_wake.hpp). A statement that the server refuses while sessions are in a database gets the pool's workers out
 * of it first (drain.cpp), if the server would let it run otherwise (ddl_rights.cpp). Then the statement
 * runs as ever, through the previous hook. If it fails, the notes are dropped and the database is open for
 * the pool again when its (sub)transaction has ended: the next command there starts a worker.
 */
#include "process/worker.hpp"

#include "catalog/tables.hpp"
#include "pg/guard.hpp"
#include "process/ddl_effects.hpp"
#include "process/ddl_rights.hpp"
#include "shmem/task_wake.hpp"

namespace worker_pool
{

static ProcessUtility_hook_type previous_utility = nullptr;

/* What the prepared transaction changed is not known here; it belongs to this database. */
static void
NotePreparedEnd(TransactionStmtKind kind)
{
	if (kind != TRANS_STMT_COMMIT_PREPARED && kind != TRANS_STMT_ROLLBACK_PREPARED)
		return;
	if (kind == TRANS_STMT_COMMIT_PREPARED)
	{
		ArmAuthorityChange();
		ArmSettingChange();
	}
	if (HasTables())
		ArmRescan();
}

/* Leaves the notes that the statement deserves. */
static void
NoteEffects(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_AlterRoleStmt:
		case T_DropRoleStmt:
		case T_GrantRoleStmt:
		case T_DropOwnedStmt:
		case T_ReassignOwnedStmt:
		case T_AlterDatabaseStmt:
			ArmAuthorityChange();
			break;
		case T_GrantStmt:
			if (reinterpret_cast<GrantStmt *>(statement)->objtype == OBJECT_DATABASE)
				ArmAuthorityChange();
			break;
		case T_AlterOwnerStmt:
			if (reinterpret_cast<AlterOwnerStmt *>(statement)->objectType == OBJECT_DATABASE)
				ArmAuthorityChange();
			break;
		case T_RenameStmt:
		{
			const ObjectType type = reinterpret_cast<RenameStmt *>(statement)->renameType;

			if (type == OBJECT_ROLE || type == OBJECT_DATABASE)
				ArmAuthorityChange();
			break;
		}
		case T_AlterRoleSetStmt:
		case T_AlterDatabaseSetStmt:
			ArmSettingChange();
			break;
		case T_TransactionStmt:
			NotePreparedEnd(reinterpret_cast<TransactionStmt *>(statement)->kind);
			break;
		default:
			break;
	}
}

/* What the pool has to do before the statement. */
static void
Prepare(Node *statement, bool is_top_level)
{
	DrainRequest request;

	NoteEffects(statement);
	if (!NeedsDrain(statement, is_top_level, &request))
		return;
	WP_FAULT("ddl.before_drain");
	DrainDatabase(request.database, request.busy);
	WP_FAULT("ddl.after_drain");
}

static void
WatchUtility(WP_UTILITY_PARAMETERS)
{
	if (pool != nullptr && !IsBinaryUpgrade)
	{
		Node *const statement = pstmt->utilityStmt;
		const bool is_top_level = context == PROCESS_UTILITY_TOPLEVEL;

		EnterCpp([statement, is_top_level]() { Prepare(statement, is_top_level); });
	}
	if (previous_utility != nullptr)
		previous_utility(WP_UTILITY_ARGUMENTS);
	else
		standard_ProcessUtility(WP_UTILITY_ARGUMENTS);
}

void
InstallDdlHooks()
{
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = WatchUtility;
	InstallDdlEffects();
}

} // namespace worker_pool
