/*
 * command_settings.cpp
 *	  Applies the `settings` of a command. Worker process.
 *
 * set_config_option does for a setting what SET does: the role's rights are checked (also GRANT SET
 * ON PARAMETER, from 15 on), a name with a dot that nobody defined becomes a custom setting, one
 * without is refused. The values are whole strings, as for set_config(): "a, b" is a list of two
 * for search_path. If one fails the transaction is rolled back and with it those before it.
 */
#include "process/command_settings.hpp"

namespace worker_pool
{

/* What SET would accept, but what would do nothing, or harm, in a worker. */
struct Refusal
{
	const char *name;
	const char *hint;
};

static constexpr Refusal kRefusals[] = {
	{"transaction_isolation",
	 "It ends with a transaction; set \"default_transaction_isolation\" instead."},
	{"transaction_read_only",
	 "It ends with a transaction; set \"default_transaction_read_only\" instead."},
	{"transaction_deferrable",
	 "It ends with a transaction; set \"default_transaction_deferrable\" instead."},
	{"session_authorization", "Use the argument \"run_as\" to run a command as another role."},
	{"role",
	 "Use the argument \"run_as\" to run a command as another role, or SET ROLE in the command."},
};

/* Error context callback: which item is being applied. */
static void
SettingContext(void *name)
{
	errcontext("setting \"%s\" in \"settings\" of a worker_pool command",
			   static_cast<const char *>(name));
}

static void
RefuseSenseless(const SettingItem &item)
{
	for (const Refusal &refusal : kRefusals)
		if (pg_strcasecmp(item.name, refusal.name) == 0)
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							errmsg("\"%s\" cannot be set for a command", refusal.name),
							errhint("%s", refusal.hint)));
}

/* A characteristic of a transaction, and the setting that gives it to the next one. */
struct Characteristic
{
	const char *name;
	const char *default_name;
};

static constexpr Characteristic kCharacteristics[] = {
	{"transaction_isolation", "default_transaction_isolation"},
	{"transaction_read_only", "default_transaction_read_only"},
	{"transaction_deferrable", "default_transaction_deferrable"},
};

/* The setting that an item of a task means. */
static const char *
MeantByTask(const char *name)
{
	for (const Characteristic &characteristic : kCharacteristics)
		if (pg_strcasecmp(name, characteristic.name) == 0)
			return characteristic.default_name;
	return name;
}

void
CheckClientEncoding()
{
	const int client = pg_get_client_encoding();
	const int server = GetDatabaseEncoding();

	if (client == server || client == PG_SQL_ASCII || server == PG_SQL_ASCII)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("\"client_encoding\" cannot be \"%s\" in a worker: it must stay \"%s\"",
					pg_encoding_to_char(client), pg_encoding_to_char(server)),
			 errdetail("A worker has no client; commands, results and notices are in the encoding of "
					   "its database."),
			 errhint("Leave the setting out: texts are converted between databases as needed.")));
}

/* Applied so far in this process; each new one stays in the server's table of settings for good. */
static uint64 custom_settings = 0;

uint64
CustomSettingsApplied()
{
	return custom_settings;
}

void
ApplySettings(const Request &request, bool of_task)
{
	const GucContext right = superuser() ? PGC_SUSET : PGC_USERSET;
	ErrorContextCallback context = {};

	context.previous = error_context_stack;
	context.callback = SettingContext;
	error_context_stack = &context;
	for (int i = 0; i < request.setting_count; i++)
	{
		SettingItem item = request.settings[i];

		CHECK_FOR_INTERRUPTS();
		if (strchr(item.name, '.') != nullptr)
			custom_settings++;
		context.arg = const_cast<char *>(item.name);
		if (of_task)
			item.name = MeantByTask(item.name);
		RefuseSenseless(item);
		(void) set_config_option(item.name, item.value, right, PGC_S_SESSION, GUC_ACTION_SET, true,
								 0, false);
		if (pg_strcasecmp(item.name, "client_encoding") == 0)
			CheckClientEncoding();
	}
	error_context_stack = context.previous;
}

} // namespace worker_pool
