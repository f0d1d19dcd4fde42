/*
 * databases.cpp
 *	  The table of databases and the sessions that hold some of them closed. See databases.hpp.
 *
 * Runs in every process: the launcher asks for visits, visiting workers report, DDL sessions close and
 * open, the promotion worker asks for another discovery. If a session dies without its transaction callbacks having run, the exit callback opens what it
 * held; if the server crashes, the table is made anew.
 */
#include "shmem/databases.hpp"

#include "config/settings.hpp"
#include "core/version.hpp"

namespace worker_pool
{

struct DatabaseTable
{
	int used;			   /* entries at or past this index were never used */
	int closed;			   /* sum of all entries' blocks: IsBlocked's short cut */
	bool discovery_wanted; /* the launcher is to read pg_database again */
	int limit_count;
	uint64 limits_as_of; /* one more than setting_changes was; 0: nobody has read them */
	RoleLimit limits[kRoleLimits];
	DatabaseEntry entries[FLEXIBLE_ARRAY_MEMBER];
};

/* A database that this session holds closed. */
struct HeldDatabase
{
	Oid database;
	SubTransactionId subtransaction;
};

static DatabaseTable *table = nullptr;

/* Process-local, in TopMemoryContext. */
static HeldDatabase *held = nullptr;
static int held_count = 0;
static int held_capacity = 0;

Size
DatabaseMemorySize()
{
	return add_size(offsetof(DatabaseTable, entries),
					mul_size(settings::max_databases, sizeof(DatabaseEntry)));
}

void
InitDatabases(char *memory, bool found)
{
	table = reinterpret_cast<DatabaseTable *>(memory);
	if (!found)
		memset(memory, 0, DatabaseMemorySize());
}

int
DatabaseCount()
{
	return table->used;
}

DatabaseEntry &
DatabaseAt(int index)
{
	Assert(index >= 0 && index < settings::max_databases);
	return table->entries[index];
}

DatabaseEntry *
FindDatabase(Oid database)
{
	Assert(LWLockHeldByMe(PoolLock()));
	for (int i = 0; i < table->used; i++)
		if (table->entries[i].database == database)
			return &table->entries[i];
	return nullptr;
}

/* How much would be lost with the entry? Three: it cannot be pushed out. */
static int
Worth(const DatabaseEntry &entry)
{
	if (!OidIsValid(entry.database))
		return 0;
	if (entry.blocks > 0)
		return 3;
	return entry.has_extension || entry.visit_wanted ? 2 : 1;
}

/*
 * Makes an entry of the unused one, or of the one that is worth the least among those below `limit`;
 * nullptr when there is none.
 */
static DatabaseEntry *
MakeEntry(Oid database, int limit)
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	DatabaseEntry *best = nullptr;

	for (int i = 0; i < table->used; i++)
	{
		DatabaseEntry &entry = table->entries[i];

		if (best == nullptr || Worth(entry) < Worth(*best))
			best = &entry;
	}
	if ((best == nullptr || Worth(*best) > 0) && table->used < settings::max_databases)
		best = &table->entries[table->used++];
	if (best == nullptr || Worth(*best) >= limit)
		return nullptr;
	memset(best, 0, sizeof(*best));
	best->database = database;
	return best;
}

DatabaseEntry *
NeedDatabase(Oid database)
{
	DatabaseEntry *entry = FindDatabase(database);

	return entry != nullptr ? entry : MakeEntry(database, 2);
}

void
ForgetDatabase(Oid database)
{
	DatabaseEntry *entry = FindDatabase(database);

	if (entry == nullptr)
		return;

	const int blocks = entry->blocks;
	const pid_t closer = entry->closer;

	memset(entry, 0, sizeof(*entry));
	if (blocks > 0)
	{
		entry->database = database;
		entry->blocks = blocks;
		entry->closer = closer;
	}
}

bool
IsBlocked(Oid database)
{
	Assert(LWLockHeldByMe(PoolLock()));
	if (likely(table->closed == 0))
		return false;

	const DatabaseEntry *entry = FindDatabase(database);

	return entry != nullptr && entry->blocks > 0;
}

/* --- visits ------------------------------------------------------------------------------------------- */

void
WantVisit(Oid database)
{
	DatabaseEntry *entry = NeedDatabase(database);

	if (entry != nullptr)
		entry->visit_wanted = true;
}

void
NoteDatabase(Oid database)
{
	DatabaseEntry *entry = NeedDatabase(database);

	if (entry != nullptr && !entry->visited)
		entry->visit_wanted = true;
}

void
WantVisitsWhereServed()
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	for (int i = 0; i < table->used; i++)
	{
		DatabaseEntry &entry = table->entries[i];

		if (OidIsValid(entry.database) && IsServed(entry))
			entry.visit_wanted = true;
	}
}

int
DatabasesToVisit(Oid after, Oid *databases, int capacity)
{
	Assert(LWLockHeldByMe(PoolLock()));
	int first = 0;
	int count = 0;

	for (int i = 0; i < table->used && OidIsValid(after); i++)
		if (table->entries[i].database == after)
			first = i + 1;
	for (int i = 0; i < table->used && count < capacity; i++)
	{
		const DatabaseEntry &entry = table->entries[(first + i) % table->used];

		if (OidIsValid(entry.database) && entry.visit_wanted && entry.blocks == 0)
			databases[count++] = entry.database;
	}
	return count;
}

void
BeginVisit(Oid database)
{
	DatabaseEntry *entry = FindDatabase(database);

	if (entry != nullptr)
		entry->visit_wanted = false;
}

void
ReportVisit(Oid database, const char *version, bool in_recovery)
{
	DatabaseEntry *entry = NeedDatabase(database);

	if (entry == nullptr)
		return;
	entry->visited = true;
	entry->in_recovery = in_recovery;
	entry->has_extension = version != nullptr;
	strlcpy(entry->version, version != nullptr ? version : "", sizeof(entry->version));
	entry->last_error.sqlstate = 0;
}

void
RecordVisitError(Oid database, const BriefError &error)
{
	DatabaseEntry *entry = FindDatabase(database);

	if (entry != nullptr)
		entry->last_error = error;
}

bool
IsServed(const DatabaseEntry &entry)
{
	return entry.has_extension && MatchVersion(kVersion, entry.version) == VersionMatch::kServed;
}

void
AskForDiscovery()
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	table->discovery_wanted = true;
	for (int i = 0; i < table->used; i++)
	{
		DatabaseEntry &entry = table->entries[i];

		/* one whose visit failed may do better now */
		if (OidIsValid(entry.database) && (!entry.visited || entry.in_recovery))
			entry.visit_wanted = true;
	}
}

bool
TakeDiscovery()
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	const bool wanted = table->discovery_wanted;

	table->discovery_wanted = false;
	return wanted;
}

/* --- role limits ---------------------------------------------------------------------------------------- */

void
SetRoleLimits(const RoleLimit *limits, int count, uint64 setting_changes)
{
	Assert(LWLockHeldByMeInMode(PoolLock(), LW_EXCLUSIVE));
	Assert(count <= kRoleLimits);
	if (setting_changes + 1 < table->limits_as_of)
		return;
	table->limits_as_of = setting_changes + 1;
	table->limit_count = count;
	memcpy(table->limits, limits, sizeof(RoleLimit) * static_cast<Size>(count));
}

bool
RoleLimitsAreOf(uint64 setting_changes)
{
	Assert(LWLockHeldByMe(PoolLock()));
	return table->limits_as_of == setting_changes + 1;
}

int
RoleLimitOf(Oid role)
{
	Assert(LWLockHeldByMe(PoolLock()));
	const RoleLimit *const first = table->limits;
	const RoleLimit *const end = first + table->limit_count;
	const RoleLimit *const found = std::lower_bound(
		first, end, role, [](const RoleLimit &limit, Oid wanted) { return limit.role < wanted; });

	return found != end && found->role == role ? found->workers : 0;
}

/* --- closing -------------------------------------------------------------------------------------------- */

/* Counts this session out of the entry, which stays if it still tells anything. */
static void
Open(Oid database)
{
	DatabaseEntry *entry = FindDatabase(database);

	Assert(entry != nullptr && entry->blocks > 0);
	if (entry == nullptr || entry->blocks == 0)
		return;
	entry->blocks--;
	if (entry->closer == MyProcPid)
		entry->closer = 0;
	table->closed--;
	if (entry->blocks == 0 && !entry->visited && !entry->visit_wanted)
		entry->database = InvalidOid;
}

/* on_shmem_exit: opens what no transaction callback has opened. */
static void
ReopenAtExit(int, Datum)
{
	ReopenDatabases(InvalidSubTransactionId);
}

/* Makes room for one more, and registers the exit callback at the first time. May raise. */
static void
PrepareToHold()
{
	static bool registered = false;

	if (held_count == held_capacity)
	{
		const int capacity = held_capacity == 0 ? 8 : held_capacity * 2;
		const Size size = mul_size(capacity, sizeof(HeldDatabase));

		held = static_cast<HeldDatabase *>(
			held == nullptr ? MemoryContextAlloc(TopMemoryContext, size) : repalloc(held, size));
		held_capacity = capacity;
	}
	if (!registered)
	{
		on_shmem_exit(ReopenAtExit, 0);
		registered = true;
	}
}

bool
IsClosedByMe(Oid database)
{
	for (int i = 0; i < held_count; i++)
		if (held[i].database == database)
			return true;
	return false;
}

bool
HoldsAnyClosed()
{
	return held_count > 0;
}

void
CloseDatabase(Oid database)
{
	if (IsClosedByMe(database))
		return;
	PrepareToHold();

	LockScope scope(PoolLock());
	DatabaseEntry *entry = FindDatabase(database);

	/* closing matters more than anything that is known of another database */
	if (entry == nullptr)
		entry = MakeEntry(database, 3);
	/* every entry closed by somebody: the drain that follows does what it can */
	if (entry == nullptr)
		return;
	entry->blocks++;
	entry->closer = MyProcPid;
	table->closed++;
	held[held_count++] = {database, GetCurrentSubTransactionId()};
}

void
ReopenDatabases(SubTransactionId subtransaction)
{
	if (held_count == 0)
		return;

	int kept = 0;

	{
		LockScope scope(PoolLock());

		for (int i = 0; i < held_count; i++)
		{
			if (subtransaction == InvalidSubTransactionId ||
				held[i].subtransaction == subtransaction)
				Open(held[i].database);
			else
				held[kept++] = held[i];
		}
		held_count = kept;
	}
	WakeLauncher();
}

void
ReparentClosed(SubTransactionId subtransaction, SubTransactionId parent)
{
	for (int i = 0; i < held_count; i++)
		if (held[i].subtransaction == subtransaction)
			held[i].subtransaction = parent;
}

} // namespace worker_pool
