/*
 * databases.hpp
 *	  What the pool knows of each database: is the extension there, in which version, is it closed for
 *	  DDL, does it want a visit. worker_pool.max_databases entries, found by linear search over the used
 *	  prefix. Only DDL, visits and the view search; the warm path asks IsBlocked(), which looks at one
 *	  counter first.
 *
 *	field						written by
 *	database					whoever first has something to say about it
 *	visited, has_extension,		the visiting worker; last_error also the launcher, for a visit whose
 *	version, last_error			process could not start
 *	visit_wanted				set: launcher (discovery after a start), sessions at the commit of DDL;
 *								cleared: the visiting worker when it begins, RecordVisitError
 *	blocks						the session whose DDL closes the database; see below
 *
 * Everything under the pool lock. What is known may be pushed out when the table is full (an entry that
 * is closed, wanted or has the extension last); then the `databases` view knows less, nothing else.
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
	bool has_extension;
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
/*
 * Fills in up to `capacity` databases that want a visit and are not closed; returns how many. Shared lock
 * suffices.
 */
int DatabasesToVisit(Oid *databases, int capacity);
/* A visit begins: what changes from now on wants another one. */
void BeginVisit(Oid database);
/* A visit has looked; version nullptr: the extension is not there. */
void ReportVisit(Oid database, const char *version);
/* A visit failed, or its process could not start: it is not tried again until something changes. */
void RecordVisitError(Oid database, const BriefError &error);

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
