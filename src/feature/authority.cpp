/*
 * authority.cpp
 *	  May this role run commands in this database? Asked in two kinds of processes.
 *
 * Session. Each verb that starts a command asks CheckMayStart(). A verdict "yes" is kept in this process
 * with the number of the catalog generation it was given in; syscache callbacks on roles, memberships and
 * databases count the generation up, so a repeated run() pays a few comparisons, and a REVOKE that this
 * session has heard of is obeyed at once. A "no" is never kept. Names given as text are resolved the same
 * way: the last one of each sort is remembered within a generation.
 *
 * Worker. A warm process keeps what it was allowed when it connected: a role demoted from superuser could
 * still SET SESSION AUTHORIZATION. So the worker remembers what it connected with and, before each command,
 * compares it with the catalogs if anything was said to have changed: a syscache invalidation, or one of the
 * two shared counters that sessions bump after the commit of such DDL. pg_db_role_setting has no syscache;
 * its row versions are compared. The settings are applied once more when they are remembered, from the same
 * snapshot, so that a change between connecting and remembering is not lost. On a difference the worker
 * gives its command back and exits (worker_command.cpp).
 *
 * A step that fails raises the catalogs' own error: the verb fails, the worker retires.
 */
#include "feature/authority.hpp"

#include "config/settings.hpp"

namespace worker_pool
{

/* Counted up whenever a role, a membership or a database changed as far as this process knows. */
static uint64 catalog_generation = 1;

static void
CountGeneration(Datum, int, uint32)
{
	catalog_generation++;
}

static void
RegisterCallbacks()
{
	static bool registered = false;

	if (likely(registered))
		return;
	CacheRegisterSyscacheCallback(AUTHOID, CountGeneration, 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, CountGeneration, 0);
	CacheRegisterSyscacheCallback(DATABASEOID, CountGeneration, 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, CountGeneration, 0);
	registered = true;
}

/* --- names --------------------------------------------------------------------------------------------- */

/* The last name that was resolved. */
struct KnownName
{
	uint64 generation; /* 0 = nothing is known */
	NameData name;
	Oid oid;
};

/*
 * Resolves the name with the server's function unless it is the one resolved last. The generation is read
 * first: what changes during the look-up makes the entry stale.
 */
static Oid
Resolve(KnownName *known, const char *name, Oid (*look_up)(const char *, bool))
{
	RegisterCallbacks();
	if (known->generation == catalog_generation && strcmp(NameStr(known->name), name) == 0)
		return known->oid;

	const uint64 generation = catalog_generation;
	const Oid oid = look_up(name, false);

	namestrcpy(&known->name, name);
	known->oid = oid;
	known->generation = generation;
	return oid;
}

Oid
ResolveRole(const char *name)
{
	static KnownName known = {};

	return Resolve(&known, name, get_role_oid);
}

Oid
ResolveDatabase(const char *name)
{
	static KnownName known = {};

	return Resolve(&known, name, get_database_oid);
}

/* --- may the server let it in? -------------------------------------------------------------------------- */

/* Exists and may log in; copies its name. */
static bool
RoleMayLogin(Oid role, char *name, BriefError *why)
{
	char message[NAMEDATALEN + 64];
	HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));

	if (!HeapTupleIsValid(tuple))
	{
		snprintf(message, sizeof(message), "role with OID %u does not exist", role);
		SetBriefError(why, ERRCODE_UNDEFINED_OBJECT, message, nullptr, nullptr);
		return false;
	}

	const auto *form = reinterpret_cast<Form_pg_authid>(GETSTRUCT(tuple));
	const bool may_login = form->rolcanlogin;

	strlcpy(name, NameStr(form->rolname), NAMEDATALEN);
	ReleaseSysCache(tuple);
	if (may_login)
		return true;
	snprintf(message, sizeof(message), "role \"%s\" is not permitted to log in", name);
	SetBriefError(why, ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION, message,
				  "A worker connects to the database as the role that its commands run as.",
				  "Choose another role with \"run_as\", or ALTER ROLE ... LOGIN.");
	return false;
}

/* Exists, accepts connections and is no template; copies its name. */
static bool
DatabaseIsOpen(Oid database, char *name, BriefError *why)
{
	/* what DROP DATABASE leaves in datconnlimit when it was interrupted; older minors do not name it */
	constexpr int32 kInvalidDatabase = -2;
	char message[NAMEDATALEN + 64];
	HeapTuple tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));

	if (!HeapTupleIsValid(tuple))
	{
		snprintf(message, sizeof(message), "database with OID %u does not exist", database);
		SetBriefError(why, ERRCODE_UNDEFINED_DATABASE, message, nullptr, nullptr);
		return false;
	}

	const auto *form = reinterpret_cast<Form_pg_database>(GETSTRUCT(tuple));
	const char *reason = nullptr;

	if (form->datconnlimit == kInvalidDatabase)
		reason = "is invalid: dropping it was interrupted";
	else if (!form->datallowconn)
		reason = "does not accept connections";
	else if (form->datistemplate)
		reason = "is a template";
	strlcpy(name, NameStr(form->datname), NAMEDATALEN);
	ReleaseSysCache(tuple);
	if (reason == nullptr)
		return true;
	snprintf(message, sizeof(message), "database \"%s\" %s", name, reason);
	SetBriefError(why, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, message,
				  "No workers are started in such databases.", nullptr);
	return false;
}

bool
MayRunIn(Oid database, Oid role, BriefError *why)
{
	char role_name[NAMEDATALEN];
	char database_name[NAMEDATALEN];
	char message[2 * NAMEDATALEN + 64];

	if (!RoleMayLogin(role, role_name, why) || !DatabaseIsOpen(database, database_name, why))
		return false;
	if (compat::MayConnect(database, role))
		return true;
	snprintf(message, sizeof(message), "role \"%s\" has no CONNECT privilege on database \"%s\"",
			 role_name, database_name);
	SetBriefError(why, ERRCODE_INSUFFICIENT_PRIVILEGE, message, nullptr,
				  "GRANT CONNECT ON DATABASE to the role.");
	return false;
}

/* --- session ------------------------------------------------------------------------------------------- */

/* A verdict "yes". */
struct Verdict
{
	uint64 generation; /* 0 = none */
	uint64 authority_changes;
	Oid caller;
	Oid database;
	Oid role;
	bool allow_cross_database;
};

static constexpr uint32 kVerdicts = 8; /* a power of two */

/* For messages; a role may be dropped while we look. */
static const char *
RoleName(Oid role)
{
	const char *name = GetUserNameFromId(role, true);

	return name != nullptr ? name : "(dropped)";
}

/* Another role than one's own: needs the right to SET ROLE to it (42501). */
static void
CheckRole(Oid caller, Oid role)
{
	if (role == caller || compat::MaySetRole(caller, role))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to run a command as role \"%s\"", RoleName(role)),
			 errdetail("Role \"%s\" may not SET ROLE to it.", RoleName(caller)),
			 errhint("GRANT the one role to the other, or leave \"run_as\" out.")));
}

/* Another database than one's own: for superusers, or where the setting allows it (42501). */
static void
CheckDatabase(Oid caller, Oid database)
{
	if (database == MyDatabaseId || settings::allow_cross_database || superuser_arg(caller))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to run a command in another database"),
			 errdetail("A worker connects without passing pg_hba.conf, so only superusers may "
					   "choose its database."),
			 errhint("A superuser can set \"worker_pool.allow_cross_database\" to on.")));
}

void
CheckAdmitted()
{
	static uint64 generation = 0;
	static Oid admitted = InvalidOid;
	const Oid caller = GetUserId();

	RegisterCallbacks();
	if (likely(generation == catalog_generation && admitted == caller))
		return;

	const uint64 generation_now = catalog_generation;
	const Oid name_space = get_namespace_oid("worker_pool", true);

	if (OidIsValid(name_space) && !compat::MayUseNamespace(name_space, caller))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for schema worker_pool"),
				 errdetail("USAGE on the schema is what admits a role to the pool, through a function "
						   "or view of somebody else, too."),
				 errhint("GRANT USAGE ON SCHEMA worker_pool TO the role.")));
	generation = generation_now;
	admitted = caller;
}

void
CheckMayStart(Oid database, Oid role)
{
	static Verdict verdicts[kVerdicts] = {};
	const Oid caller = GetUserId();

	if (InSecurityRestrictedOperation())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("cannot use worker_pool within a security-restricted operation")));
	RegisterCallbacks();

	Verdict &verdict = verdicts[(database * 31 + role * 7 + caller) & (kVerdicts - 1)];

	const uint64 authority_changes = pg_atomic_read_u64(&pool->authority_changes);

	if (likely(verdict.generation == catalog_generation &&
			   verdict.authority_changes == authority_changes && verdict.caller == caller &&
			   verdict.database == database && verdict.role == role &&
			   verdict.allow_cross_database == settings::allow_cross_database))
		return;

	/* inside one long statement nobody else takes them in */
	AcceptInvalidationMessages();

	const uint64 generation = catalog_generation;
	BriefError why = {};

	CheckRole(caller, role);
	CheckDatabase(caller, database);
	if (!MayRunIn(database, role, &why))
		ereport(ERROR, (errcode(why.sqlstate), errmsg_internal("%s", why.message),
						why.detail[0] != '\0' ? errdetail_internal("%s", why.detail) : 0,
						why.hint[0] != '\0' ? errhint("%s", why.hint) : 0));
	verdict = {
		generation, authority_changes, caller, database, role, settings::allow_cross_database};
}

bool
OwnsCommand(Oid role, Oid owner)
{
	return role == owner || has_privs_of_role(role, owner);
}

bool
MaySeeCommand(Oid role, Oid owner)
{
	return OwnsCommand(role, owner) || has_privs_of_role(role, compat::kRoleReadAllStats);
}

bool
MayStopCommand(Oid role, Oid owner, Oid target_role)
{
	if (OwnsCommand(role, owner))
		return true;
	return has_privs_of_role(role, compat::kRoleSignalBackend) && !superuser_arg(owner) &&
		   !superuser_arg(target_role);
}

/* --- worker -------------------------------------------------------------------------------------------- */

/* Which version of a pg_db_role_setting row is meant; all zero = there is none. */
struct SettingVersion
{
	TransactionId xmin;
	BlockNumber block;
	OffsetNumber offset;
};

static constexpr int kSettingRows = 4;

/* The rows that concern a session of a (database, role), in the order in which the server applies them. */
struct SettingVersions
{
	SettingVersion rows[kSettingRows];
};

/* What this worker connected with. */
struct Connected
{
	Oid database;
	Oid role;
	bool superuser;
	SettingVersions settings;
	/* where the signs of a change stood when all of this was last found unchanged */
	uint64 generation;
	uint64 authority_changes;
	uint64 setting_changes;
};

static Connected connected = {};

static bool
operator==(const SettingVersions &a, const SettingVersions &b)
{
	for (int i = 0; i < kSettingRows; i++)
		if (a.rows[i].xmin != b.rows[i].xmin || a.rows[i].block != b.rows[i].block ||
			a.rows[i].offset != b.rows[i].offset)
			return false;
	return true;
}

/* The version of one row; its key is unique. */
static SettingVersion
ReadSettingVersion(Relation relation, Snapshot snapshot, Oid database, Oid role)
{
	ScanKeyData keys[2];
	SettingVersion version = {};

	ScanKeyInit(&keys[0], Anum_pg_db_role_setting_setdatabase, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(database));
	ScanKeyInit(&keys[1], Anum_pg_db_role_setting_setrole, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(role));

	SysScanDesc scan =
		systable_beginscan(relation, DbRoleSettingDatidRolidIndexId, true, snapshot, 2, keys);
	HeapTuple tuple = systable_getnext(scan);

	if (HeapTupleIsValid(tuple))
	{
		version.xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
		version.block = ItemPointerGetBlockNumber(&tuple->t_self);
		version.offset = ItemPointerGetOffsetNumber(&tuple->t_self);
	}
	systable_endscan(scan);
	return version;
}

/*
 * The versions of all rows that concern this process; with `apply`, their settings are set from the same
 * snapshot. Follows process_settings in postinit.c.
 */
static SettingVersions
ReadSettings(bool apply)
{
	const struct
	{
		Oid database;
		Oid role;
		GucSource source;
	} keys[kSettingRows] = {
		{connected.database, connected.role, PGC_S_DATABASE_USER},
		{InvalidOid, connected.role, PGC_S_USER},
		{connected.database, InvalidOid, PGC_S_DATABASE},
		{InvalidOid, InvalidOid, PGC_S_GLOBAL},
	};
	SettingVersions versions = {};
	Relation relation = table_open(DbRoleSettingRelationId, AccessShareLock);
	Snapshot snapshot = RegisterSnapshot(GetCatalogSnapshot(DbRoleSettingRelationId));

	for (int i = 0; i < kSettingRows; i++)
	{
		versions.rows[i] = ReadSettingVersion(relation, snapshot, keys[i].database, keys[i].role);
		if (apply)
			ApplySetting(snapshot, keys[i].database, keys[i].role, relation, keys[i].source);
	}
	UnregisterSnapshot(snapshot);
	table_close(relation, AccessShareLock);
	return versions;
}

/* rolsuper as the catalog has it now; false for a role that is gone. */
static bool
IsSuperuserNow(Oid role)
{
	HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));

	if (!HeapTupleIsValid(tuple))
		return false;

	const bool result = reinterpret_cast<Form_pg_authid>(GETSTRUCT(tuple))->rolsuper;

	ReleaseSysCache(tuple);
	return result;
}

void
RememberAuthority(Oid database, Oid role)
{
	RegisterCallbacks();
	connected.database = database;
	connected.role = role;
	/* signs first: what changes from here on is looked at again */
	connected.generation = catalog_generation;
	connected.authority_changes = pg_atomic_read_u64(&pool->authority_changes);
	connected.setting_changes = pg_atomic_read_u64(&pool->setting_changes);
	/*
	 * What the server found when it connected, not what the catalog says by now. The role's own `role`
	 * setting would make is_superuser another role's.
	 */
	if (GetUserId() == role)
		connected.superuser = strcmp(GetConfigOption("is_superuser", false, false), "on") == 0;
	else
		connected.superuser = IsSuperuserNow(role);
	connected.settings = ReadSettings(true);
}

bool
AuthorityUnchanged()
{
	if (likely(connected.generation == catalog_generation &&
			   connected.authority_changes == pg_atomic_read_u64(&pool->authority_changes) &&
			   connected.setting_changes == pg_atomic_read_u64(&pool->setting_changes)) &&
		!RecoveryInProgress())
		return true;

	/* the counters may be ahead of the invalidations that this process has taken in */
	AcceptInvalidationMessages();

	const uint64 generation = catalog_generation;
	const uint64 authority_changes = pg_atomic_read_u64(&pool->authority_changes);
	const uint64 setting_changes = pg_atomic_read_u64(&pool->setting_changes);

	if (generation != connected.generation || authority_changes != connected.authority_changes)
	{
		BriefError why = {};

		if (!MayRunIn(connected.database, connected.role, &why) ||
			IsSuperuserNow(connected.role) != connected.superuser)
			return false;
		/* a role that ALTER ROLE ... SET role gave the session, and that it may have lost since */
		if (OidIsValid(GetCurrentRoleId()) &&
			!compat::MaySetRole(connected.role, GetCurrentRoleId()))
			return false;
	}
	if (!(ReadSettings(false) == connected.settings))
		return false;
	connected.generation = generation;
	connected.authority_changes = authority_changes;
	connected.setting_changes = setting_changes;
	return true;
}

void
CheckOwnerMayStill(const CommandRecord &record)
{
	const bool other_role = record.owner != record.target.role;
	const bool other_database = record.submit_database != record.target.database;

	if (likely(!other_role && !other_database))
		return;
	if (other_role && !compat::MaySetRole(record.owner, record.target.role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to run a command as role \"%s\"",
						GetUserNameFromId(record.target.role, true)),
				 errdetail("The role that started the command has lost the right since.")));
	if (other_database && !settings::allow_cross_database && !superuser_arg(record.owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to run a command in another database"),
				 errdetail("It was allowed when the command was started, and is no longer."),
				 errhint("A superuser can set \"worker_pool.allow_cross_database\" to on.")));
}

} // namespace worker_pool
