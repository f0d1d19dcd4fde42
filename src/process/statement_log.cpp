/*
 * statement_log.cpp
 *	  Statement and duration lines in the log. Worker process.
 *
 * Follows check_log_statement, errdetail_params and the ereports of exec_simple_query and
 * exec_execute_message (postgres.c); whether a duration is due the server's check_log_duration
 * says. Two differences, both because a command is one round trip: there are no separate parse and
 * bind lines for a command with arguments, its execute line spans all three; and no "prepare:"
 * detail for EXECUTE, because no statement was prepared before the command began.
 */
#include "process/statement_log.hpp"

namespace worker_pool
{

bool
LogsStatement(Node *statement)
{
	if (log_statement == LOGSTMT_NONE)
		return false;
	if (log_statement == LOGSTMT_ALL)
		return true;
	return GetCommandLogLevel(statement) <= log_statement;
}

bool
LogsStatements(List *statements)
{
	ListCell *cell = nullptr;

	/* an empty string is logged too when everything is */
	if (log_statement == LOGSTMT_ALL)
		return true;
	if (log_statement == LOGSTMT_NONE)
		return false;
	foreach(cell, statements)
		if (LogsStatement(static_cast<Node *>(lfirst(cell))))
			return true;
	return false;
}

/* The DETAIL of a line about a command with arguments. */
static int
ParameterDetail(ParamListInfo params)
{
	if (params == nullptr || params->numParams == 0 || log_parameter_max_length == 0)
		return 0;

	const char *values = BuildParamLogString(params, nullptr, log_parameter_max_length);

	if (values == nullptr || values[0] == '\0')
		return 0;
	return errdetail("parameters: %s", values);
}

void
WriteStatementLine(const Request &request, ParamListInfo params)
{
	if (params == nullptr)
		ereport(LOG, (errmsg("statement: %s", request.text), errhidestmt(true)));
	else
		ereport(LOG, (errmsg("execute <unnamed>: %s", request.text), errhidestmt(true),
					  ParameterDetail(params)));
}

void
WriteDurationLine(const Request &request, ParamListInfo params, bool was_logged)
{
	char milliseconds[32];

	switch (check_log_duration(milliseconds, was_logged))
	{
		case 1:
			ereport(LOG, (errmsg("duration: %s ms", milliseconds), errhidestmt(true)));
			break;
		case 2:
			if (params == nullptr)
				ereport(LOG, (errmsg("duration: %s ms  statement: %s", milliseconds, request.text),
							  errhidestmt(true)));
			else
				ereport(LOG, (errmsg("duration: %s ms  execute <unnamed>: %s", milliseconds,
									 request.text),
							  errhidestmt(true), ParameterDetail(params)));
			break;
		default:
			break;
	}
}

} // namespace worker_pool
