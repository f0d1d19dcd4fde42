/*
 * executor.cpp
 *	  Runs a command at the top level of a worker process, as exec_simple_query (postgres.c) runs a
 *	  string that a client sent; a command with arguments as exec_parse_message, exec_bind_message
 *	  and exec_execute_message together run it. Those are static functions of the server, so their
 *	  parts are put together here again.
 *
 *	ArmCommandTimer; settings, in a transaction of their own that commits, like SET
 *	   |
 *	is there a kept plan? -- yes --> portal over the kept plan --------------------------+
 *	   | no                                                                              |
 *	raw parse of the whole string; statements that cannot run here are refused first     |
 *	   |                                                                                 |
 *	for each statement: analyze, rewrite, plan (keep), portal, run into the receiver     |
 *	   |  between statements: CommandCounterIncrement inside the implicit block,         |
 *	   |  commit after BEGIN, COMMIT, ROLLBACK                                           |
 *	   v                                                                                 v
 *	commit; a transaction block left open is an error --------> timer off, duration line
 *
 * An atomic task runs in between StartBlock and FinishBlock (transaction_command.hpp), as between BEGIN
 * and COMMIT of a session: its statements' ends commit nothing, the server itself refuses COMMIT in
 * procedures and VACUUM, and the mark is the last thing before the one commit.
 *
 * Top level is what makes VACUUM, CREATE INDEX CONCURRENTLY, CREATE DATABASE and procedures that
 * COMMIT work, and what pg_stat_statements and auto_explain, which hook executor and utility, count
 * as a statement of its own. The query id is reported by parse analysis and, for a kept plan, by
 * ExecutorStart.
 *
 * On ERROR this file does nothing: portals, snapshots, plan references, settings of an open nest
 * level and the transaction go with the abort in the worker's recovery block, parse trees with
 * MessageContext. An aborted transaction block never meets another statement, because the first
 * ERROR ends the command.
 */
#include "process/executor.hpp"

#include "process/arguments.hpp"
#include "process/command_settings.hpp"
#include "process/command_timer.hpp"
#include "process/plan_cache.hpp"
#include "process/statement_checks.hpp"
#include "process/statement_log.hpp"
#include "process/transaction_command.hpp"

namespace worker_pool
{

/* How the command that runs is run. */
static Execution running = {};

void
ShowActivity(const char *word)
{
	static const char *shown = nullptr;

	if (!update_process_title || word == shown)
		return;
	set_ps_display(word);
	shown = word;
}

long
ReportStatistics(bool force)
{
	return compat::ReportStatistics(force);
}

/* A fresh unnamed portal, hidden from pg_cursors. */
static Portal
OpenPortal()
{
	Portal portal = CreatePortal("", true, true);

	portal->visible = false;
	return portal;
}

/* While entered, errors name the parameters where log_parameter_max_length_on_error says so. */
struct ParamsContext
{
	ParamsErrorCbData data;
	ErrorContextCallback callback;
};

static void
EnterParamsContext(ParamsContext *context, Portal portal, ParamListInfo params)
{
	context->data = {portal->name, params};
	context->callback = {error_context_stack, ParamsErrorCallback, &context->data};
	error_context_stack = &context->callback;
}

static void
LeaveParamsContext(const ParamsContext &context)
{
	error_context_stack = context.callback.previous;
}

/*
 * Runs a defined portal to its end and drops it. `run_context`: the transaction's context;
 * PortalRun follows a statement that commits (VACUUM, CALL) only from there. With parameters the
 * log lines are written here, while their values still live.
 */
static void
RunDefinedPortal(Portal portal, const Request &request, ParamListInfo params,
				 MemoryContext run_context, QueryCompletion *completion)
{
	const bool log_here = params != nullptr;
	ParamsContext context;

	PortalStart(portal, params, 0, InvalidSnapshot);
	MemoryContextSwitchTo(run_context);

	const bool was_logged = log_here && LogsStatements(portal->stmts);

	if (was_logged)
		WriteStatementLine(request, params);
	EnterParamsContext(&context, portal, params);
	compat::RunPortal(portal, running.receiver, completion);
	LeaveParamsContext(context);
	if (log_here)
		WriteDurationLine(request, params, was_logged);
	PortalDrop(portal, false);
	CheckClientEncoding();
}

/*
 * Binds the arguments in the portal's context; an active snapshot is set. nullptr without
 * arguments.
 */
static ParamListInfo
BindForPortal(Portal portal, const Request &request, const Oid *types)
{
	if (request.arg_count == 0)
		return nullptr;

	MemoryContext old_context = MemoryContextSwitchTo(portal->portalContext);
	ParamListInfo params = BindArguments(request, types);

	MemoryContextSwitchTo(old_context);
	return params;
}

/*
 * Runs a kept plan. Called in the transaction's context; planning leaves its scraps in
 * MessageContext.
 */
static void
RunKeptPlan(CachedPlanSource *source, const Request &request, QueryCompletion *completion)
{
	MemoryContext run_context = MemoryContextSwitchTo(MessageContext);
	Portal portal = OpenPortal();
	const bool needs_snapshot = request.arg_count > 0;
	ParamsContext context;

	/* without arguments the plan cache takes one itself in the rare case that it must plan again */
	if (needs_snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());

	ParamListInfo params = BindForPortal(portal, request, source->param_types);

	EnterParamsContext(&context, portal, params);

	CachedPlan *plan = compat::GetPlan(source, params);

	LeaveParamsContext(context);
	/* nothing that can fail stands between these two: the portal takes over the plan's reference */
	PortalDefineQuery(portal, nullptr, request.text, source->commandTag, plan->stmt_list, plan);
	if (needs_snapshot)
		PopActiveSnapshot();
	RunDefinedPortal(portal, request, params, run_context, completion);
}

/* Analyzed and rewritten; the parameter types where there are arguments. */
struct Analysis
{
	List *queries;
	Oid *types;
	int count;
};

static Analysis
Analyze(RawStmt *raw, const Request &request)
{
	Analysis analysis = {NIL, nullptr, 0};
	const bool needs_snapshot = analyze_requires_snapshot(raw);

	if (needs_snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	if (request.arg_count == 0)
		analysis.queries = compat::AnalyzeAndRewrite(raw, request.text);
	else
	{
		analysis.queries =
			compat::AnalyzeAndRewriteInferring(raw, request.text, &analysis.types, &analysis.count);
		CheckArgumentCount(request, analysis.count);
	}
	if (needs_snapshot)
		PopActiveSnapshot();
	return analysis;
}

/* Plans and runs what was analyzed, for this one time. The current context outlives the portal. */
static void
RunAnalyzed(const Analysis &analysis, const Request &request, CommandTag command_tag,
			bool needs_snapshot, MemoryContext run_context, QueryCompletion *completion)
{
	Portal portal = OpenPortal();
	ParamsContext context;

	/* the input functions and the planner need one; execution takes its own, after the locks */
	needs_snapshot = needs_snapshot || request.arg_count > 0;
	if (needs_snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());

	ParamListInfo params = BindForPortal(portal, request, analysis.types);

	EnterParamsContext(&context, portal, params);

	List *plans = pg_plan_queries(analysis.queries, request.text, CURSOR_OPT_PARALLEL_OK, params);

	LeaveParamsContext(context);
	if (needs_snapshot)
		PopActiveSnapshot();
	CHECK_FOR_INTERRUPTS();
	PortalDefineQuery(portal, nullptr, request.text, command_tag, plans, nullptr);
	RunDefinedPortal(portal, request, params, run_context, completion);
}

/*
 * Runs one statement inside a started transaction command. Trees are made in `tree_context`. `key`:
 * keep the plan under it if possible; nullptr: do not.
 */
static void
RunStatement(RawStmt *raw, const Request &request, const PlanKey *key, MemoryContext tree_context,
			 QueryCompletion *completion)
{
	const CommandTag command_tag = CreateCommandTag(raw->stmt);
	MemoryContext run_context = MemoryContextSwitchTo(tree_context);
	const bool needs_snapshot = analyze_requires_snapshot(raw);
	CachedPlanSource *source = nullptr;

	/* before the analysis, which scribbles on the raw tree */
	if (key != nullptr)
		source = CreateCachedPlan(raw, request.text, command_tag);

	const Analysis analysis = Analyze(raw, request);

	if (source != nullptr && MayBeKept(analysis.queries))
	{
		KeepPlan(*key, source, analysis.queries, analysis.types, analysis.count);
		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(run_context);
		RunKeptPlan(source, request, completion);
		return;
	}
	RunAnalyzed(analysis, request, command_tag, needs_snapshot, run_context, completion);
}

/* What follows a statement that is not the last of the string. */
static void
FinishInnerStatement(const RawStmt *raw)
{
	if (IsA(raw->stmt, TransactionStmt))
	{
		FinishStatement();
		return;
	}
	CommandCounterIncrement();
	/* statement_timeout applies to each statement separately */
	DisarmStatementTimer();
}

/*
 * Runs the statements of a parsed string. Several are one implicit transaction block, but for the
 * parts that explicit transaction control makes separate; BeginImplicitTransactionBlock is
 * therefore repeated.
 */
static void
RunStatements(List *statements, const Request &request, const PlanKey *key, char *tag)
{
	const bool implicit_block = list_length(statements) > 1;
	ListCell *cell = nullptr;

	foreach(cell, statements)
	{
		RawStmt *raw = lfirst_node(RawStmt, cell);
		const bool last = lnext(statements, cell) == nullptr;
		MemoryContext tree_context = MessageContext;
		QueryCompletion completion = {};

		compat::ResetQueryId();
		ShowActivity(GetCommandTagName(CreateCommandTag(raw->stmt)));
		StartStatement();
		if (implicit_block)
			BeginImplicitTransactionBlock();
		CHECK_FOR_INTERRUPTS();
		if (!last)
			tree_context = AllocSetContextCreate(MessageContext, "worker_pool statement",
												 ALLOCSET_DEFAULT_SIZES);
		RunStatement(raw, request, key, tree_context, &completion);
		if (!last)
		{
			FinishInnerStatement(raw);
			MemoryContextDelete(tree_context);
			continue;
		}
		if (implicit_block)
			EndImplicitTransactionBlock();
		FinishStatement();
		compat::WriteCompletionTag(tag, &completion);
	}
}

/* Parses and runs a text of which no plan is kept. Returns whether log_statement logged it. */
static bool
RunText(const Request &request, const PlanKey &key, char *tag)
{
	MemoryContext run_context = MemoryContextSwitchTo(MessageContext);
	List *statements = pg_parse_query(request.text);
	const bool was_logged = request.arg_count == 0 && LogsStatements(statements);

	if (was_logged)
		WriteStatementLine(request, nullptr);
	CheckStatements(statements, request);
	if (running.mark != nullptr)
		RefuseTransactionControl(statements);
	MemoryContextSwitchTo(run_context);

	const bool keep = list_length(statements) == 1 &&
					  MayBeKept(linitial_node(RawStmt, statements)) && CameBefore(key);

	RunStatements(statements, request, keep ? &key : nullptr, tag);
	return was_logged;
}

/* The warm path: the text came before and its plan is still good. Returns as RunText does. */
static bool
RunKeptText(CachedPlanSource *source, const Request &request, char *tag)
{
	const bool was_logged =
		request.arg_count == 0 && LogsStatement(reinterpret_cast<Node *>(source->raw_parse_tree));
	QueryCompletion completion = {};

	if (was_logged)
		WriteStatementLine(request, nullptr);
	compat::ResetQueryId();
	ShowActivity(GetCommandTagName(source->commandTag));
	CHECK_FOR_INTERRUPTS();
	RunKeptPlan(source, request, &completion);
	FinishStatement();
	compat::WriteCompletionTag(tag, &completion);
	return was_logged;
}

/*
 * A string that ends inside a transaction block fails; the recovery block rolls the
 * transaction back.
 */
static void
RefuseOpenBlock()
{
	if (!IsTransactionBlock())
		return;
	ereport(ERROR,
			(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
			 errmsg("the command ended inside an open transaction block"),
			 errdetail("What was not committed was rolled back."),
			 errhint("End the block with COMMIT in the same command, or leave BEGIN out: a command "
					 "without transaction control is one transaction.")));
}

/* The settings in a transaction of their own, which also checks the authority. */
static void
ApplySettingsFirst(const Request &request)
{
	StartStatement();
	ApplySettings(request, running.of_task);
	FinishStatement();
	MemoryContextSwitchTo(MessageContext);
}

/* Runs the text; outside of a block everything is committed then. Returns whether log_statement logged it. */
static bool
RunWholeText(const Request &request, char *tag)
{
	const PlanKey key = MakePlanKey(request);

	StartStatement();

	CachedPlanSource *source = FindPlan(key);
	const bool was_logged =
		source != nullptr ? RunKeptText(source, request, tag) : RunText(request, key, tag);

	/* does something only for an empty string */
	FinishStatement();
	return was_logged;
}

/* The same inside the block of an atomic task, with the mark and the commit. */
static bool
RunInBlock(const Request &request, char *tag)
{
	StartBlock();

	const bool was_logged = RunWholeText(request, tag);

	/* nothing that is known of ends the block; its effect would not be tied to the mark */
	if (!IsTransactionBlock())
		ereport(ERROR, (errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
						errmsg("an atomic task ended its transaction")));
	FinishBlock(running.mark);
	return was_logged;
}

void
ExecuteCommand(const Request &request, const Execution &execution, char tag[COMPLETION_TAG_BUFSIZE])
{
	/* as found now: a command may switch it on for those after it */
	const bool show_usage = log_statement_stats;
	bool was_logged = false;

	Assert(!IsTransactionOrTransactionBlock());
	tag[0] = '\0';
	running = execution;
	SetCurrentStatementStartTimestamp();
	debug_query_string = request.text;
	pgstat_report_activity(STATE_RUNNING, request.text);
	ForgetTransactionCommand(execution.check_authority);
	ArmCommandTimer(execution.timeout_ms);
	if (show_usage)
		ResetUsage();
	if (request.setting_count > 0)
		ApplySettingsFirst(request);
	if (execution.mark != nullptr)
		was_logged = RunInBlock(request, tag);
	else
	{
		was_logged = RunWholeText(request, tag);
		RefuseOpenBlock();
	}
	DisarmCommandTimer();
	MemoryContextSwitchTo(MessageContext);
	if (request.arg_count == 0)
		WriteDurationLine(request, nullptr, was_logged);
	if (show_usage)
		ShowUsage("QUERY STATISTICS");
	debug_query_string = nullptr;
}

} // namespace worker_pool
