/*
 * service_verbs.cpp
 *	  create_service, alter_service, drop_service, start_service, stop_service, restart_service, wait_service;
 *	  current_service_config. Run in the session that calls them, the last one in the process of a service.
 *
 * Everything that can be wrong with a call is found before a row is written: the arguments, the rights, the command's
 * syntax, the entry point, whose library is loaded for that where the caller may have it loaded. Then
 * feature/services.cpp does it, in the caller's transaction.
 *
 * In alter_service a null leaves the option as it is; `reset` names options to be taken back to their default. A command
 * takes the place of an entry point, and the other way round.
 */
#include "feature/services.hpp"

#include "feature/authority.hpp"
#include "feature/entry_points.hpp"
#include "feature/task_authority.hpp"
#include "pg/guard.hpp"
#include "process/service_runner.hpp"
#include "sqlfn/syntax.hpp"
#include "sqlfn/verb_arguments.hpp"

namespace worker_pool
{

/* The arguments of create_service and alter_service. */
enum ServiceArgument : int
{
	kName,
	kCommand,
	kEvery,
	kEntryPoint,
	kConfig,
	kTimeout,
	kRunAs,
	kSettings,
	kActive,
	kRunOn,
	kIfNotExists,		   /* create_service only */
	kReset = kIfNotExists, /* alter_service only */
};

/* What `reset` can name, and where the option stands among the arguments. */
static constexpr const char *kOptionNames[] = {"every",	   "config", "timeout", "run_as",
											   "settings", "active", "run_on",	nullptr};
static constexpr int kOptions[] = {kEvery, kConfig, kTimeout, kRunAs, kSettings, kActive, kRunOn};
static_assert(std::size(kOptionNames) - 1 == std::size(kOptions));

/* The stored letters are their first ones; the first word is the default. */
static constexpr const char *kRunOnWords[] = {"primary", "any", nullptr};

static constexpr int64 kDefaultEveryMs = 60000;

/* --- single arguments ---------------------------------------------------------------------------------- */

/* A service's name: 22004 null, 42622 too long, 22023 empty. */
static const char *
ReadServiceName(FunctionCallInfo fcinfo)
{
	const char *const name = ReadName(fcinfo, kName);

	if (name == nullptr)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("argument \"name\" must not be null")));
	if (*name == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"name\" must not be empty")));
	return name;
}

/* 22023 for none at all: it would never rest. */
static int64
ReadEvery(FunctionCallInfo fcinfo)
{
	const int64 every_ms = ReadInterval(fcinfo, kEvery, "every", kDefaultEveryMs);

	if (every_ms < 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"every\" must be at least 1 ms")));
	return every_ms;
}

/* Any json; NULL: an empty object. */
static Datum
ReadConfig(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(kConfig))
		return DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"));
	return JsonbPGetDatum(PG_GETARG_JSONB_P(kConfig));
}

/* Checked as for a command. */
static Datum
ReadStoredSettings(FunctionCallInfo fcinfo)
{
	Request request = {};

	ReadSettings(fcinfo, kSettings, &request);
	return ReadSettingsToStore(fcinfo, kSettings);
}

/* 22023 too long for memory. */
static const char *
ReadEntryPoint(FunctionCallInfo fcinfo)
{
	const char *const entry_point = text_to_cstring(PG_GETARG_TEXT_PP(kEntryPoint));

	if (strlen(entry_point) >= static_cast<Size>(kEntryPointSize))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"entry_point\" must not be longer than %d bytes",
							   kEntryPointSize - 1)));
	return entry_point;
}

/* --- all of them --------------------------------------------------------------------------------------- */

/* Reads the argument into the request; a null is the default. Not those that say what is run, and as whom. */
static void
ReadOption(FunctionCallInfo fcinfo, int n, ServiceRequest *request)
{
	switch (n)
	{
		case kEvery:
			request->every_ms = ReadEvery(fcinfo);
			break;
		case kConfig:
			request->config = ReadConfig(fcinfo);
			break;
		case kTimeout:
			request->timeout_ms = ReadTimeout(fcinfo, kTimeout);
			break;
		case kSettings:
			request->settings = ReadStoredSettings(fcinfo);
			break;
		case kActive:
			request->active = PG_ARGISNULL(kActive) || PG_GETARG_BOOL(kActive);
			break;
		case kRunOn:
			request->run_on = *kRunOnWords[ReadWord(fcinfo, kRunOn, "run_on", kRunOnWords)];
			break;
		default:
			break;
	}
}

/* The command or the entry point, if one is given; 22023 for both. */
static void
ReadWhat(FunctionCallInfo fcinfo, ServiceRequest *request)
{
	if (!PG_ARGISNULL(kCommand) && !PG_ARGISNULL(kEntryPoint))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("arguments \"command\" and \"entry_point\" cannot both be given"),
				 errdetail("A service repeats a command, or runs an entry point of a library.")));
	if (!PG_ARGISNULL(kCommand))
	{
		request->command = ReadCommandText(fcinfo, kCommand);
		request->entry_point = nullptr;
	}
	if (!PG_ARGISNULL(kEntryPoint))
	{
		request->entry_point = ReadEntryPoint(fcinfo);
		request->command = nullptr;
	}
}

static void
CheckCommand(const char *command)
{
	Request request = {};

	request.text = command;
	CheckSyntax(request);
}

/* May the caller and the owner have a service of that entry point, and is there one? */
static void
CheckEntryPoint(const ServiceRequest &request)
{
	CheckEntryPointAllowed(request.entry_point, GetUserId());
	if (request.owner != GetUserId())
		CheckEntryPointAllowed(request.entry_point, request.owner);

	/* the library is loaded here as by LOAD: a text that names nothing is told at once */
	(void) FindEntryPoint(request.entry_point);
}

static void
CheckWhat(const ServiceRequest &request)
{
	if (request.command != nullptr)
		CheckCommand(request.command);
	else
		CheckEntryPoint(request);
}

/* Whoever changes what is run, or sets it going, must be allowed to run it as that role; its owner, too. */
static void
CheckMayRun(const ServiceRequest &request)
{
	CheckMayStart(MyDatabaseId, request.run_as);
	if (request.owner != GetUserId() && request.owner != request.run_as &&
		!compat::MaySetRole(request.owner, request.run_as))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("the owner of service \"%s\" must be able to SET ROLE \"%s\"", request.name,
						GetUserNameFromId(request.run_as, false))));
}

/* The options that `reset` names: bit n for argument n. 22023 for one that is given, too. */
static uint32
ReadResetOptions(FunctionCallInfo fcinfo)
{
	const uint32 words = ReadReset(fcinfo, kReset, kOptionNames);
	uint32 reset = 0;

	for (size_t i = 0; i < std::size(kOptions); i++)
	{
		const bool named = (words & (1U << i)) != 0;

		RefuseSetAndReset(!PG_ARGISNULL(kOptions[i]), named, kOptionNames[i]);
		if (named)
			reset |= 1U << kOptions[i];
	}
	return reset;
}

/* What every verb that changes something begins with. */
static void
EnterServiceVerb(const char *verb)
{
	EnterVerb();
	EnterDurableVerb();
	RefuseReadOnly(verb);
}

/* The changed request of alter_service, checked. */
static ServiceRequest
ReadChanges(FunctionCallInfo fcinfo, uint32 reset, const HeldService &held)
{
	const auto touched = [&](int n) { return !PG_ARGISNULL(n) || (reset & (1U << n)) != 0; };
	ServiceRequest request = held.request;

	for (const int n : kOptions)
		if (touched(n))
			ReadOption(fcinfo, n, &request);
	ReadWhat(fcinfo, &request);
	if (!PG_ARGISNULL(kRunAs))
		request.run_as = ReadRole(fcinfo, kRunAs);
	else if (touched(kRunAs))
		request.run_as = request.owner;

	const bool what = touched(kCommand) || touched(kEntryPoint);

	if (what || touched(kConfig) || touched(kSettings) || touched(kRunAs) ||
		(touched(kActive) && request.active))
		CheckMayRun(request);
	if (what)
		CheckWhat(request);
	return request;
}

/* --- waiting ------------------------------------------------------------------------------------------------ */

static constexpr ServiceState kStates[] = {ServiceState::kStopped,	  ServiceState::kStarting,
										   ServiceState::kRunning,	  ServiceState::kWaiting,
										   ServiceState::kBackingOff, ServiceState::kQuarantined};
static_assert(std::size(kStates) == kServiceStateCount);

/* The state that is named; nullptr for NULL. 22023 */
static const ServiceState *
ReadState(FunctionCallInfo fcinfo, int n)
{
	const char *words[kServiceStateCount + 1] = {};

	if (PG_ARGISNULL(n))
		return nullptr;
	for (size_t i = 0; i < kServiceStateCount; i++)
		words[i] = ServiceStateName(kStates[i]);
	return &kStates[ReadWord(fcinfo, n, "state", words)];
}

} // namespace worker_pool

WP_SQL_FUNCTION(worker_pool_create_service)
{
	using namespace worker_pool;
	ServiceRequest request = {};

	EnterServiceVerb("create_service");
	request.name = ReadServiceName(fcinfo);
	ReadWhat(fcinfo, &request);
	if (request.command == nullptr && request.entry_point == nullptr)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"command\" or \"entry_point\" must be given")));
	for (const int n : kOptions)
		ReadOption(fcinfo, n, &request);
	request.owner = GetUserId();
	request.run_as = ReadRole(fcinfo, kRunAs);
	CheckMayRun(request);
	CheckWhat(request);
	PG_RETURN_INT64(DefineService(request, ReadFlag(fcinfo, kIfNotExists)));
}

WP_SQL_FUNCTION(worker_pool_alter_service)
{
	using namespace worker_pool;

	EnterServiceVerb("alter_service");

	const char *const name = ReadServiceName(fcinfo);
	const uint32 reset = ReadResetOptions(fcinfo);
	const HeldService held = HoldService(name, false);
	const ServiceRequest request = ReadChanges(fcinfo, reset, held);

	SaveService(held, request, !PG_ARGISNULL(kActive) && request.active);
	PG_RETURN_VOID();
}

WP_SQL_FUNCTION(worker_pool_drop_service)
{
	using namespace worker_pool;

	EnterServiceVerb("drop_service");

	const HeldService held = HoldService(ReadServiceName(fcinfo), true);

	if (held.tuple == nullptr)
		PG_RETURN_BOOL(false);
	RemoveService(held);
	PG_RETURN_BOOL(true);
}

WP_SQL_FUNCTION(worker_pool_start_service)
{
	using namespace worker_pool;

	EnterServiceVerb("start_service");

	const HeldService held = HoldService(ReadServiceName(fcinfo), false);

	CheckMayRun(held.request);
	PG_RETURN_BOOL(StartService(held));
}

WP_SQL_FUNCTION(worker_pool_stop_service)
{
	using namespace worker_pool;

	EnterServiceVerb("stop_service");
	PG_RETURN_BOOL(StopService(HoldService(ReadServiceName(fcinfo), false)));
}

WP_SQL_FUNCTION(worker_pool_restart_service)
{
	using namespace worker_pool;

	EnterServiceVerb("restart_service");

	const HeldService held = HoldService(ReadServiceName(fcinfo), false);

	if (held.form.active)
		CheckMayRun(held.request);
	PG_RETURN_BOOL(RestartService(held));
}

/* wait_service(name, state, cycles, timeout) */
WP_SQL_FUNCTION(worker_pool_wait_service)
{
	using namespace worker_pool;

	EnterVerb();

	const char *const name = ReadServiceName(fcinfo);
	const ServiceState *const state = ReadState(fcinfo, 1);
	const int32 cycles = ReadCount(fcinfo, 2, "cycles", state == nullptr ? 1 : 0, 0);
	const int64 timeout_ms = ReadTimeout(fcinfo, 3);

	PG_RETURN_BOOL(WaitForService(name, state, cycles, timeout_ms));
}

WP_SQL_FUNCTION(worker_pool_current_service_config)
{
	using namespace worker_pool;
	(void) fcinfo;

	const char *const config = ServiceConfig();

	if (config == nullptr)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(DirectFunctionCall1(jsonb_in, CStringGetDatum(config)));
}
