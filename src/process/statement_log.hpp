/*
 * statement_log.hpp
 *	  The log lines of log_statement, log_duration and log_min_duration_*, word for word as the
 *	  server writes them for a session: "statement: ..." for a plain command, "execute <unnamed>:
 *	  ..." with the parameters as DETAIL for one with arguments. Worker process only.
 */
#pragma once

#include "feature/request.hpp"

namespace worker_pool
{

/* Does log_statement want a line for one of these (raw or planned) statements? */
bool LogsStatements(List *statements);
/* The same for one node. */
bool LogsStatement(Node *statement);

/* Writes the line; `params` nullptr for a command without arguments. Inside a transaction. */
void WriteStatementLine(const Request &request, ParamListInfo params);
/*
 * Writes the duration line where the settings ask for one. was_logged: the text stands in the log
 * already. Inside a transaction when there are params: their output functions run.
 */
void WriteDurationLine(const Request &request, ParamListInfo params, bool was_logged);

} // namespace worker_pool
