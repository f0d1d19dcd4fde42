/*
 * reset.cpp
 *	  Between two commands of a warm worker: gives the session back as it was, or says that the
 *	  process should go. Worker process.
 *
 * ResetSession does what DISCARD ALL does (DiscardAll in discard.c) but for the plan cache, in its
 * order and in a transaction of its own; as SQL it could not run here. It also gives random() a new
 * seed, which DISCARD ALL leaves as setseed() set it. It is never skipped. When it fails the
 * process retires: a fresh one is clean.
 *
 * What even that leaves behind, and what is done about it:
 * - an open connection of dblink or postgres_fdw: the process retires (ForeignConnectionOpen);
 * - a library that a top-level LOAD brought in: the process retires, because its hooks would act on
 *   the next commands. One that came in because a function of it was called stays: that is what a
 *   warm process is for;
 * - a custom setting that a command made (SET app.user = ...): reads '' instead of NULL in later
 *   commands, as it does in any session after RESET. The process does not retire: programs that set
 *   one for each command would have a cold start each time, for a difference that every pooled
 *   connection has;
 * - what a procedural language keeps per session (%_SHARED of PL/Perl, GD of PL/Python): `fresh =>
 *   true` gives a command a process of its own;
 * - cache memory: the process retires above a high-water mark.
 */
#include "process/executor.hpp"
#include "process/command_settings.hpp"
#include "process/statement_checks.hpp"

#include <dlfcn.h>
#include <sys/stat.h>

extern "C"
{
#include "utils/fmgrprotos.h"
}

namespace worker_pool
{

static constexpr uint64 kMostCommands = 100000;
/* they may all have other names, and the server sorts its table for each new one */
static constexpr uint64 kMostCustomSettings = 10000;
static constexpr int64 kLongestLifeMs = int64{3600} * 1000;
static constexpr Size kMostMemory = static_cast<Size>(64) * 1024 * 1024;
/* walking all memory contexts costs from 1 us up to 100 us and more: only now and then... */
static constexpr uint64 kMemoryCheckEvery = 64;
/* ...and after a command beside which that is nothing */
static constexpr int kLongCommandMs = 10;
/* above this many descriptors counting them is not for each command either */
static constexpr int kCheapDescriptors = 4096;
/* descriptors are the lowest free numbers; some stand outside fd.c's count */
static constexpr int kMoreDescriptors = 64;

/* as of the last time that no connection was open */
static int free_descriptors = 0;
static int sockets_at_start = 0;
static Size library_size_seen = 0;
static bool may_hold_connections = false;

/* who the session is when nothing is SET */
static Oid session_user_at_start = InvalidOid;
static Oid role_at_start = InvalidOid;

/* --- reset ------------------------------------------------------------------------------------ */

/*
 * Makes random() unpredictable again, from a generator of our own (splitmix64) that is seeded
 * once.
 */
static void
Reseed()
{
	static uint64 state = 0;

	if (state == 0 && !pg_strong_random(&state, sizeof(state)))
		state = static_cast<uint64>(GetCurrentTimestamp()) ^ static_cast<uint64>(MyProcPid);
	state += UINT64CONST(0x9e3779b97f4a7c15);

	uint64 bits = state;

	bits = (bits ^ (bits >> 30)) * UINT64CONST(0xbf58476d1ce4e5b9);
	bits = (bits ^ (bits >> 27)) * UINT64CONST(0x94d049bb133111eb);
	bits ^= bits >> 31;

	/* 53 bits, from -1 to 1 */
	const double seed =
		static_cast<double>(bits >> 11) / static_cast<double>(UINT64CONST(1) << 52) - 1.0;

	(void) DirectFunctionCall1(setseed, Float8GetDatum(seed));
}

/* Drops the session's temporary objects, if it ever made any; that needs a snapshot. */
static void
DropTemporaryObjects()
{
	Oid temp_schema = InvalidOid;
	Oid toast_schema = InvalidOid;

	GetTempNamespaceState(&temp_schema, &toast_schema);
	if (!OidIsValid(temp_schema))
		return;
	PushActiveSnapshot(GetTransactionSnapshot());
	ResetTempTableNamespace();
	PopActiveSnapshot();
}

/*
 * Takes back SET SESSION AUTHORIZATION and SET ROLE. Where neither stands there is nothing to do,
 * and the server would need 1 us for it: it visits every setting at the end of a transaction that
 * touched one.
 */
static void
ResetIdentity()
{
	if (GetSessionUserId() != session_user_at_start || GetCurrentRoleId() != role_at_start)
		SetPGVariable("session_authorization", NIL, false);
}

void
ResetSession()
{
	WP_FAULT("reset.fail");
	StartTransactionCommand();
	/*
	 * whatever default_transaction_* the command or its role set: never wait for a safe snapshot
	 * here
	 */
	XactIsoLevel = XACT_READ_COMMITTED;
	XactDeferrable = false;

	/* closing portals may run user-defined code: first */
	PortalHashTableDeleteAll();
	ResetIdentity();
	ResetAllOptions();
	DropAllPreparedStatements();
	Async_UnlistenAll();
	LockReleaseAll(USER_LOCKMETHOD, true);
	DropTemporaryObjects();
	/* DISCARD ALL leaves these to the end of the session, which may be far away here */
	compat::DropTemporaryReplicationSlots();
	ResetSequenceCaches();
	Reseed();
	CommitTransactionCommand();
}

/* --- retirement ------------------------------------------------------------------------------- */

/*
 * How many more descriptors this process could announce to fd.c, which limits them to a third of
 * what it may open. dblink and postgres_fdw announce each connection; so does the server an open
 * WAL file. Costs about 1 us for the usual 1,000 files. (Cached file handles may be closed on the
 * way in a process that has nearly as many files open as it may; they are opened again when
 * needed.)
 */
static int
CountFreeDescriptors()
{
	int count = 0;

	while (AcquireExternalFD())
		count++;
	for (int i = 0; i < count; i++)
		ReleaseExternalFD();
	return count;
}

/* How many sockets are open. Costs a system call for each descriptor that could be. */
static int
CountSockets()
{
	int count = 0;

	for (int fd = 0; fd < max_safe_fds + kMoreDescriptors; fd++)
	{
		struct stat status;

		if (fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode))
			count++;
	}
	return count;
}

/*
 * Is libpq in this process, brought in by whatever library? Looked for again only when there
 * are new ones.
 */
static bool
MayHoldConnections()
{
	const Size size = EstimateLibraryStateSpace();

	if (size != library_size_seen && !may_hold_connections)
	{
		library_size_seen = size;
		may_hold_connections = dlsym(RTLD_DEFAULT, "PQsocket") != nullptr;
	}
	return may_hold_connections;
}

/*
 * Did a command leave a connection open? Sockets are counted only when there are more
 * descriptors than known.
 */
static bool
ForeignConnectionOpen(uint64 commands_done)
{
	if (!MayHoldConnections())
		return false;
	if (free_descriptors > kCheapDescriptors && commands_done % kMemoryCheckEvery != 0)
		return false;

	const int free_now = CountFreeDescriptors();

	if (free_now < free_descriptors && CountSockets() > sockets_at_start)
		return true;
	free_descriptors = free_now;
	return false;
}

/* Allocated over all contexts but what belongs to the last command alone. */
static Size
MemoryHeld()
{
	const Size all = MemoryContextMemAllocated(TopMemoryContext, true);
	const Size command = MemoryContextMemAllocated(MessageContext, true);

	return all > command ? all - command : 0;
}

bool
IsWornOut(uint64 commands_done, TimestampTz started_at)
{
	const TimestampTz now = GetCurrentTimestamp();

	if (commands_done >= kMostCommands || CustomSettingsApplied() >= kMostCustomSettings ||
		TimestampDifferenceExceeds(started_at, now, kLongestLifeMs))
		return true;
	return (commands_done % kMemoryCheckEvery == 0 ||
			TimestampDifferenceExceeds(GetCurrentStatementStartTimestamp(), now, kLongCommandMs)) &&
		   MemoryHeld() > kMostMemory;
}

bool
ShouldRetire(uint64 commands_done, TimestampTz started_at)
{
	return LibraryWasLoaded() || IsWornOut(commands_done, started_at) ||
		   ForeignConnectionOpen(commands_done);
}

void
RememberBaseline()
{
	free_descriptors = CountFreeDescriptors();
	sockets_at_start = CountSockets();
	session_user_at_start = GetSessionUserId();
	/* ALTER ROLE ... SET role may have given it one */
	role_at_start = GetCurrentRoleId();
	/* as its reset value: neither ALTER ROLE nor the configuration changes it any more */
	SetConfigOption("client_encoding", GetDatabaseEncodingName(), PGC_BACKEND, PGC_S_OVERRIDE);
}

} // namespace worker_pool
