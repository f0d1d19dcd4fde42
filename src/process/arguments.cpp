/*
 * arguments.cpp
 *	  Binds a command's arguments. Worker process.
 *
 * Follows exec_bind_message (postgres.c) for text parameters. worker_pool.args() wrote the values
 * under fixed DateStyle and IntervalStyle, so they are read under the same: where the session's
 * differ (by ALTER ROLE, or the command's settings) they are switched for the time of the input
 * functions alone, the way set_transmission_modes of postgres_fdw does. An ERROR meanwhile undoes
 * that with the transaction.
 */
#include "process/arguments.hpp"

namespace worker_pool
{

void
CheckArgumentCount(const Request &request, int needed)
{
	if (needed == request.arg_count)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_PROTOCOL_VIOLATION),
			 errmsg("wrong number of arguments for the command: it takes %d, but %d given", needed,
					request.arg_count),
			 needed > 0 ? errdetail("The highest parameter in the command's text is $%d.", needed)
						: errdetail("The command's text has no parameters."),
			 errhint("\"args\" holds one value for each of $1, $2, ...; NULL is a value too.")));
}

/*
 * Puts the fixed input styles in force; returns the nest level to leave, 0 where nothing had
 * to change.
 */
static int
EnterFixedStyles()
{
	const bool dates = DateStyle == USE_ISO_DATES && DateOrder == DATEORDER_MDY;
	const bool intervals = IntervalStyle == INTSTYLE_POSTGRES;

	if (dates && intervals)
		return 0;

	const int nest_level = NewGUCNestLevel();

	if (!dates)
		(void) set_config_option("datestyle", "ISO, MDY", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	if (!intervals)
		(void) set_config_option("intervalstyle", "postgres", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	return nest_level;
}

/* Error context callback: which argument is being read. */
static void
ArgumentContext(void *number)
{
	errcontext("worker_pool argument $%d", *static_cast<int *>(number));
}

ParamListInfo
BindArguments(const Request &request, const Oid *types)
{
	ParamListInfo params = makeParamList(request.arg_count);
	ErrorContextCallback context = {};
	int number = 0;

	context.previous = error_context_stack;
	context.callback = ArgumentContext;
	context.arg = &number;
	error_context_stack = &context;

	const int nest_level = EnterFixedStyles();

	for (int i = 0; i < request.arg_count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		ParamExternData &param = params->params[i];
		Oid input_function = InvalidOid;
		Oid type_parameter = InvalidOid;

		number = i + 1;
		getTypeInputInfo(types[i], &input_function, &type_parameter);
		param.value = OidInputFunctionCall(input_function, const_cast<char *>(request.args[i]),
										   type_parameter, -1);
		param.isnull = request.args[i] == nullptr;
		/* CONST: a custom plan may use the value */
		param.pflags = PARAM_FLAG_CONST;
		param.ptype = types[i];
	}
	if (nest_level != 0)
		AtEOXact_GUC(true, nest_level);
	error_context_stack = context.previous;

	/* what later errors say about the parameters, where the setting wants that */
	if (log_parameter_max_length_on_error != 0)
		params->paramValuesStr = BuildParamLogString(params, const_cast<char **>(request.args),
													 log_parameter_max_length_on_error);
	return params;
}

} // namespace worker_pool
