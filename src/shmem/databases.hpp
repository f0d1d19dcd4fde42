/*
 * databases.hpp
 *	  What the pool knows of each database: is the extension there, in which version, is it closed for
 *	  DDL, does it want a visit. worker_pool.max_databases entries, found by linear search over the used
 *	  prefix. Only DDL, visits and the view search; the warm path asks IsBlocked(), which looks at one
 *	  counter first.
 *
 *	field						written by
 *	database					whoever first has something to say about it
 *	visited, in_recovery,		the visiting worker; last_error also the launcher, for a visit whose
 *	has_extension, version,		process could not start
 *	last_error
 *	visit_wanted				set: launcher (discovery after a start), sessions at the commit of DDL, the
 *								promotion worker; cleared: the visiting worker when it begins, the launcher
 *								when it can never start
 *	purge_open					set: the visiting worker that found no history which will be too old;
 *								cleared: the launcher, when tasks run there again
 *	blocks						the session whose DDL closes the database; see below
 *
 * Everything under the pool lock. What is known may be pushed out when the table is full (an entry that
 * is closed, wanted or has the extension last); then the `databases` view knows less, nothing else.
 *
 * Role limits. max_workers_per_role stands in pg_db_role_setting, which the launcher cannot read: it is connected
 * to no database. So a visit reads all of them, and leaves them here with the counter of setting changes
 * (pool->setting_changes) that stood before it looked. Where that is not the counter of now, the launcher asks
 * for another visit. Limits of commands come with the commands (submit.cpp); these are those of tasks.
 *
 * Closing. While a database is closed for the pool nothing starts there and no idle worker of it is given
 * a command. A session that closes one remembers that in its own memory, with the subtransaction in which
 * it did so, and opens it when that subtransaction aborts, when the transaction ends in any way, or, should
 * neither have run, in an on_shmem_exit callback. process/ddl_hooks.cpp calls in from the callbacks.
 *
 * Functions expect the pool lock held exclusively unless they say otherwise.
 */
#pragma once

#include "shmem/root.hpp"

namespace worker_pool
{

struct DatabaseEntry
{
	Oid database;	   /* InvalidOid = unused */
	bool visited;	   /* a visit has reported since the start */
	bool visit_wanted; /* the launcher is to send a visit */
	bool in_recovery;  /* the last visit was made in recovery: it has loaded nothing */
	bool has_extension;
	bool purge_open;	   /* no time was set at which history is to be purged */
	char version[32];	   /* of the extension's SQL objects */
	BriefError last_error; /* of the last visit or start that failed */

	/* DDL: number of sessions that hold the database closed for the pool; nothing starts there */
	int blocks;
	pid_t closer; /* the session that closed it last */
};

static_assert(std::is_standard_layout_v<DatabaseEntry> &&
			  std::is_trivially_copyable_v<DatabaseEntry>);

Size DatabaseMemorySize();
void InitDatabases(char *memory, bool found);
/* The entry, or nullptr. Shared lock suffices. */
DatabaseEntry *FindDatabase(Oid database);
/* The entry, made when it is missing; nullptr when the table is full. */
DatabaseEntry *NeedDatabase(Oid database);
/* Forgets what is known of it; an entry that somebody holds closed stays closed. */
void ForgetDatabase(Oid database);
/* Iteration: entries 0 .. DatabaseCount()-1, unused ones among them. Shared lock suffices. */
int DatabaseCount();
DatabaseEntry &DatabaseAt(int index);
/* Is the database closed for the pool by somebody's DDL? Shared lock suffices. */
bool IsBlocked(Oid database);

/* --- visits ------------------------------------------------------------------------------------------- */

/* Asks for a visit, whatever is known already; the caller wakes the launcher. */
void WantVisit(Oid database);
/* The launcher's discovery after a start: asks for a visit unless one has reported. */
void NoteDatabase(Oid database);
/* Asks for a visit of each database that has the extension; the caller wakes the launcher. */
void WantVisitsWhereServed();
/*
 * Fills in up to `capacity` databases that want a visit and are not closed, from the one behind `after` on, and then
 * from the first on; returns how many. Shared lock suffices.
 */
int DatabasesToVisit(Oid after, Oid *databases, int capacity);
/* A visit begins: what changes from now on wants another one. */
void BeginVisit(Oid database);
/* A visit has looked; version nullptr: the extension is not there. in_recovery: as it was when it began. */
void ReportVisit(Oid database, const char *version, bool in_recovery);
/* Has the database the extension in a version that the library serves, as far as is known? Shared lock suffices. */
bool IsServed(const DatabaseEntry &entry);
/* A visit failed, in whole or in part. What it was asked for is over: something must change, or rows want one. */
void RecordVisitError(Oid database, const BriefError &error);

/*
 * Recovery is over: what was visited before wants another visit, and pg_database another look. The caller wakes
 * the launcher.
 */
void AskForDiscovery();
/* The launcher: was that asked for since the last time? */
bool TakeDiscovery();

/* --- role limits -------------------------------------------------------------------------------------- */

struct RoleLimit
{
	Oid role;
	int workers; /* max_workers_per_role */
};
/* So many there is room for; tasks of roles beyond that, by OID, know no limit. */
inline constexpr int kRoleLimits = 1024;
/*
 * A visit: all of them, sorted by role, as of that value of pool->setting_changes. Dropped where what stands there
 * is newer.
 */
void SetRoleLimits(const RoleLimit *limits, int count, uint64 setting_changes);
/* Are they as of that value? Shared lock suffices. */
bool RoleLimitsAreOf(uint64 setting_changes);
/* 0 = none. Shared lock suffices. */
int RoleLimitOf(Oid role);

/* --- closing; the lock is not held ---------------------------------------------------------------------- */

/*
 * Closes the database for the pool until the current subtransaction aborts or the transaction ends. No-op
 * when this session holds it closed already. May raise (53200).
 */
void CloseDatabase(Oid database);
/* Does this session hold it closed? Then a command for it could never begin while the caller waits. */
bool IsClosedByMe(Oid database);
/* Is anything held closed by this session? */
bool HoldsAnyClosed();
/* Opens what was closed in that subtransaction, or everything (InvalidSubTransactionId). Never raises. */
void ReopenDatabases(SubTransactionId subtransaction);
/* A subtransaction committed: its parent holds what it closed. */
void ReparentClosed(SubTransactionId subtransaction, SubTransactionId parent);

} // namespace worker_pool
