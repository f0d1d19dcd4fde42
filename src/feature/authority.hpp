/*
 * authority.hpp
 *	  May this role run commands in this database? Asked by the session when a verb is called and by the
 *	  worker before each command, because a warm process keeps what it was allowed when it connected.
 */
#pragma once

#include "shmem/commands.hpp"

namespace worker_pool
{

/* Names resolved; OIDs checked to exist. */
Oid ResolveRole(const char *name);	   /* 42704 */
Oid ResolveDatabase(const char *name); /* 3D000 */

/*
 * The conditions under which the server would let the role connect: role exists and may log in (28000),
 * database exists (3D000), accepts connections and is no template (55000), CONNECT is granted (42501).
 * True when all hold; else fills *why. Needs a transaction; raises only what the catalogs raise.
 */
bool MayRunIn(Oid database, Oid role, BriefError *why);

/* Has the caller USAGE on schema worker_pool at this moment (42501)? Asked by every verb. */
void CheckAdmitted();

/*
 * All checks of a verb that starts a command: not InSecurityRestrictedOperation (42501), role membership
 * (42501), cross-database permission (42501 with a hint naming worker_pool.allow_cross_database), MayRunIn.
 * Raises.
 */
void CheckMayStart(Oid database, Oid role);

/* Is `role` the owner, or a member of the owner's role (or superuser)? */
bool OwnsCommand(Oid role, Oid owner);
/* May it see text, arguments, error: OwnsCommand or pg_read_all_stats. */
bool MaySeeCommand(Oid role, Oid owner);
/* May it stop: OwnsCommand, or pg_signal_backend where neither owner nor target role is a superuser. */
bool MayStopCommand(Oid role, Oid owner, Oid target_role);

/* --- worker side ------------------------------------------------------------------------------------- */

/* Worker, once after it connected: remembers what it connected with and registers the syscache callbacks. */
void RememberAuthority(Oid database, Oid role);
/*
 * Worker, inside a transaction, before each command and when woken by an authority change: true while
 * everything is as at connect (MayRunIn, rolsuper, role and database settings' row versions). Free when no
 * invalidation arrived and neither shared counter moved (on a standby the settings' rows are compared every
 * time: replayed ALTER ROLE ... SET moves no counter).
 */
bool AuthorityUnchanged();

/*
 * Worker, inside the command's first transaction: what the verb checked of the submitter holds still, its
 * membership in the role to run as and its right to name another database (42501). Free for a command of
 * the process's own role and database.
 */
void CheckOwnerMayStill(const CommandRecord &record);

} // namespace worker_pool
