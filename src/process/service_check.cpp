/*
 * service_check.cpp
 *	  What comes before a cycle: may it run, here and now? Worker process, phase kChecking.
 *
 * In one transaction of ours the row is read, as it is now: so a changed timeout, config or command holds from the next
 * cycle on, and a hot standby, which nobody tells of changes, learns of them by replay. What can be found:
 *	- there is no row, it is not active, or it is for another process (role, entry point, server): leaves. Memory is told,
 *	  unless its entry has changed since before the row was read: then it knows better already;
 *	- this process's own role is not what it was at connect: leaves; the next start says what is wrong, if anything is;
 *	- owner or role have another name, the owner may not become the role any more, or have that entry point: leaves, as a
 *	  start that failed with that reason. So does a `settings` that is refused.
 *
 * Careful mode. A service that memory calls suspect may have brought the server down. It begins only while no other suspect
 * (service or task) runs, and a flushed transaction counts the start in its row first; a success takes that back. So a
 * service that kills the server each time is found at its fourth start, and goes into quarantine, and nobody else is
 * blamed. One without a database cannot count: the visit that brings its config does. In recovery nothing is written.
 *
 * If the process dies here: nothing was run. After the count, the row says one start more than there were; it takes
 * as many deaths of the server to matter, since each life of it counts once.
 */
#include "process/service_work.hpp"

#include "feature/authority.hpp"
#include "process/bookkeeping.hpp"
#include "process/command_settings.hpp"
#include "process/task_request.hpp"
#include "shmem/databases.hpp"
#include "shmem/ready.hpp"

namespace worker_pool
{

/* How soon a suspect asks for its turn again, and how late; IsDueUs takes much more for a clock that was set back. */
static constexpr int64 kCarefulAgainMs = 100;
static constexpr int64 kCarefulLatestMs = 1000;

enum class Finding : uint8
{
	kFine,
	kGone,		   /* there is no row */
	kUnwanted,	   /* it is not to run */
	kOther,		   /* for another process than this one */
	kRoleIsGone,   /* of this process */
	kNotPermitted, /* the reason stands in a BriefError */
};

/* --- the row -------------------------------------------------------------------------------------------- */

/* Is the row for this process, or has it changed so that another one is to run it? */
static bool
FitsProcess(const ServiceDefinition &definition)
{
	const char *entry_point = definition.entry_point == nullptr ? "" : definition.entry_point;

	return definition.form.run_as == SlotAt(my_slot).target.role &&
		   strcmp(entry_point, service_work.entry_point) == 0 &&
		   (definition.form.run_on == 'a' || !RecoveryInProgress());
}

/* Inside the transaction: may owner and role still? Raises what FindEntryPoint does for what is gone. */
static bool
IsPermitted(const ServiceDefinition &definition, BriefError *why)
{
	const FormService &form = definition.form;

	if (!ServiceRolesHold(definition, why))
		return false;
	if (form.owner != form.run_as && !compat::MaySetRole(form.owner, form.run_as))
	{
		char message[sizeof(why->message)];

		snprintf(message, sizeof(message), "permission denied to run the service as role \"%s\"",
				 definition.run_as_name);
		SetBriefError(why, ERRCODE_INSUFFICIENT_PRIVILEGE, message,
					  "The owner of the service has lost the right since.",
					  "Grant the role to the owner, or change \"run_as\".");
		return false;
	}
	if (definition.entry_point != nullptr)
		CheckEntryPointAllowed(definition.entry_point, form.owner);
	return true;
}

/* Inside the transaction; once a process, which ends when its database is renamed. */
static void
NameDatabase()
{
	if (service_work.database_known)
		return;

	const char *name = get_database_name(MyDatabaseId);

	if (name != nullptr)
		snprintf(service_work.database, sizeof(service_work.database), "database \"%s\"", name);
	service_work.database_known = true;
}

/* Inside the transaction: is there a row at all, as far as can be told? */
static bool
RowIsThere()
{
	Relation service = TryOpenTable(Table::kService, AccessShareLock);

	if (service == nullptr)
		return true;

	const bool there = FetchById(service, Index::kServiceId, service_work.id) != nullptr;

	table_close(service, AccessShareLock);
	return there;
}

/* Reads and checks, in a transaction of its own. */
static Finding
ReadRow(BriefError *why)
{
	ServiceDefinition &definition = service_work.definition;
	Finding finding = Finding::kFine;

	BeginBookkeeping(Durability::kLazy);
	MemoryContextSwitchTo(service_work.context);
	NameDatabase();
	if (!AuthorityStillHolds())
		finding = Finding::kRoleIsGone;
	else if (!ReadService(service_work.id, &definition))
		finding = RowIsThere() ? Finding::kUnwanted : Finding::kGone;
	else if (!FitsProcess(definition))
		finding = Finding::kOther;
	else if (!IsPermitted(definition, why))
		finding = Finding::kNotPermitted;
	EndBookkeeping();
	return finding;
}

/* What memory is to know of the row. */
static ServiceSpec
SpecOfDefinition(const ServiceDefinition &definition)
{
	const FormService &form = definition.form;
	ServiceSpec spec = {};

	spec.id = form.id;
	spec.database = MyDatabaseId;
	spec.owner = form.owner;
	spec.run_as = form.run_as;
	strlcpy(spec.name, definition.name, sizeof(spec.name));
	if (definition.entry_point != nullptr)
		strlcpy(spec.entry_point, definition.entry_point, sizeof(spec.entry_point));
	spec.every_ms = form.every_ms;
	spec.timeout_ms = form.timeout_ms;
	spec.crashes = form.crashes;
	spec.run_epoch = static_cast<uint64>(form.run_epoch);
	spec.wanted = true;
	spec.any_server = form.run_on == 'a';
	return spec;
}

/*
 * The row is not, or is for another process: corrects what memory knows, unless that was told something since the row
 * was read, and leaves.
 */
[[noreturn]] static void
FollowRow(Finding finding)
{
	const ServiceSpec spec =
		finding == Finding::kOther ? SpecOfDefinition(service_work.definition) : ServiceSpec{};
	const TimestampTz now = GetCurrentTimestamp();

	{
		LockScope lock(PoolLock());
		const ServiceEntry &entry = ServiceAt(service_work.index);

		if (IsMine(entry) && entry.version == service_work.version)
		{
			if (finding == Finding::kOther)
				(void) PutService(spec, ServiceChange::kAfterCycle, now);
			else
				ServiceFoundUnwanted(service_work.index, entry.version, finding == Finding::kGone,
									 now);
		}
	}
	GoAway();
}

/* The settings of an entry point, once a process, for the session. As the role, like SET. */
static void
ApplySettingsOnce()
{
	Request request = {};

	if (service_work.entry == nullptr || service_work.settings_applied)
		return;
	HOLD_CANCEL_INTERRUPTS();
	MemoryContextSwitchTo(MessageContext);
	ReadSettings(service_work.definition.settings, &request);
	if (request.setting_count > 0)
	{
		StartTransactionCommand();
		ApplySettings(request, true);
		CommitTransactionCommand();
	}
	MemoryContextSwitchTo(MessageContext);
	RESUME_CANCEL_INTERRUPTS();
	service_work.settings_applied = true;
}

/* --- careful -------------------------------------------------------------------------------------------- */

/* It has brought the server down as often as it may: never again, until somebody says start_service(). */
[[noreturn]] static void
Quarantine()
{
	const TimestampTz now = GetCurrentTimestamp();

	{
		LockScope lock(PoolLock());

		if (IsMine(ServiceAt(service_work.index)))
			ServiceBringsServerDown(service_work.index, now);
	}
	GoAway();
}

/* Counts the start in the row, flushed before anything runs; once in a life of the server. */
static void
CountStart()
{
	const bool counted_before = service_work.connected && service_work.definition.form.run_epoch ==
															  static_cast<int64>(pool->epoch);

	if (!service_work.connected || service_work.counted || counted_before || RecoveryInProgress())
		return;
	BeginBookkeeping(Durability::kFlushed);

	const int before = CountCarefulStart(service_work.id);

	EndBookkeeping();
	service_work.counted = true;
	WP_FAULT("service.after_count");
	if (before < 0)
		FollowRow(Finding::kGone);
	service_work.row_crashes = before + 1;
	if (before >= kMostCrashes)
		Quarantine();
}

/* False: another suspect runs. It asks again, later and later, from its idle slot unless somebody needs that. */
static bool
BeginCarefully()
{
	if (!service_work.suspect)
		return true;
	if (!service_work.holds_careful && !TakeCarefulForService(GetCurrentTimestamp()))
	{
		PutOff(BackoffDelayMs(++service_work.careful_waits, kCarefulAgainMs, kCarefulLatestMs));
		return false;
	}
	service_work.careful_waits = 0;
	service_work.holds_careful = true;
	{
		LockScope lock(PoolLock());
		ServiceEntry &entry = ServiceAt(service_work.index);

		if (IsMine(entry))
			entry.careful = true;
	}
	CountStart();
	return true;
}

void
ReleaseCareful()
{
	if (!service_work.holds_careful)
		return;
	service_work.holds_careful = false;
	LeaveCarefulOfService();
}

void
ProveHarmless()
{
	if (service_work.suspect)
	{
		LockScope lock(PoolLock());
		ServiceEntry &entry = ServiceAt(service_work.index);

		if (IsMine(entry))
			entry.suspect = entry.careful = false;
		/* which takes back what it has counted */
		if (!service_work.connected)
			WantVisit(entry.database);
	}
	if (service_work.suspect && !service_work.connected)
		WakeLauncher();
	service_work.suspect = false;
	ReleaseCareful();
	if (service_work.row_crashes == 0 || !service_work.connected || RecoveryInProgress())
		return;
	service_work.row_crashes = 0;
	BeginBookkeeping(Durability::kLazy);
	ForgetCrashes(service_work.id);
	EndBookkeeping();
}

/* --- all of it ------------------------------------------------------------------------------------------ */

/* Inside a transaction: may the owner still have the main that runs, which reads its row only once? */
static bool
OwnerMayStill()
{
	const ServiceDefinition &definition = service_work.definition;
	BriefError unused = {};

	/* between two cycles there is no definition; the next one looks */
	if (!IsResident() || !entry_point_state.in_call)
		return true;
	return ServiceRolesHold(definition, &unused) &&
		   (definition.form.owner == definition.form.run_as ||
			compat::MaySetRole(definition.form.owner, definition.form.run_as)) &&
		   IsEntryPointAllowed(service_work.entry_point, definition.form.owner);
}

bool
AuthorityIsGone()
{
	const uint64 authority = pg_atomic_read_u64(&pool->authority_changes);
	const uint64 changed_settings = pg_atomic_read_u64(&pool->setting_changes);

	if (!service_work.connected || (authority == service_work.authority_seen &&
									changed_settings == service_work.settings_seen))
		return false;
	service_work.authority_seen = authority;
	service_work.settings_seen = changed_settings;

	MemoryContext const context = CurrentMemoryContext;

	StartTransactionCommand();
	const bool unchanged = AuthorityStillHolds() && OwnerMayStill();

	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	return !unchanged;
}

/* What the entry says, before the row is read; false: there is to be no cycle. */
static bool
SeeEntry()
{
	LockScope lock(PoolLock());
	ServiceEntry &entry = ServiceAt(service_work.index);

	if (!IsMine(entry) || MustLeave(entry))
		return false;
	/* what changes from now on, the checks may not see */
	entry.authority_seen = pg_atomic_read_u64(&pool->authority_changes);
	service_work.version = entry.version;
	service_work.suspect = entry.suspect;
	service_work.every_ms = entry.every_ms;
	service_work.timeout_ms = entry.timeout_ms;
	return service_work.connected || entry.config_version == entry.version;
}

bool
CheckBeforeCycle()
{
	BriefError why = {};

	if (!SeeEntry())
		return false;
	if (service_work.connected)
	{
		const Finding finding = ReadRow(&why);

		if (finding == Finding::kGone || finding == Finding::kUnwanted ||
			finding == Finding::kOther)
			FollowRow(finding);
		if (finding == Finding::kRoleIsGone)
			GoAway();
		if (finding == Finding::kNotPermitted)
			GoAwayUnstarted(why);
		service_work.every_ms = service_work.definition.form.every_ms;
		service_work.timeout_ms = service_work.definition.form.timeout_ms;
		service_work.row_crashes = service_work.definition.form.crashes;
		ApplySettingsOnce();
	}
	/* the timeout is for a cycle */
	if (IsResident())
		service_work.timeout_ms = 0;
	return BeginCarefully();
}

} // namespace worker_pool
