/*
 * launcher_visits.cpp
 *	  Which databases are there, and which of them want a look from inside. Launcher only.
 *
 * The launcher reads pg_database once after its start, and again at the end of recovery, and notes each database
 * that could be entered. Each one is then visited once by a short-lived worker (visit.cpp); later visits are
 * asked for by DDL (CREATE/ALTER/DROP EXTENSION, CREATE DATABASE: ddl_effects.cpp), and by the ready queue, where
 * durable rows want one: rows that nobody pushed, a pause to be stored, old history (DatabaseToLookAt). Nothing
 * polls.
 *
 * Databases take turns, and so do those that somebody wants visited and those whose rows want it: whoever makes one
 * want visits all the time (services that go into quarantine, for example) keeps no other from its own.
 *
 * One visit at a time. The next one is a demand like any other for the policy, which says how it gets its slot
 * (core/allocation.hpp). The stream of visits counts as one who waits: since nobody had to wait, or since an
 * interval before the last visit, so that many databases do not make it older than it is.
 *
 * A database that cannot be visited now does not hold up the others: one that is closed, or whose last visit could
 * not start and backs off, is passed over. What the ready queue named and cannot be visited is given back to it
 * with NoteLook, and comes again later.
 */
#include "process/launcher.hpp"

#include "config/settings.hpp"
#include "shmem/databases.hpp"
#include "shmem/ready.hpp"

namespace worker_pool
{

/* As many wanted databases are looked through for one that can be visited now. */
static constexpr int kCandidates = 64;
static constexpr int kMostNamed = 16;

static Oid chosen = InvalidOid; /* the next one, until its process is registered */
static Oid last_wanted = InvalidOid;
static bool named_first = false;
static TimestampTz waiting_since = 0;
static TimestampTz last_sent = 0;

void
DiscoverDatabases()
{
	{
		LockScope lock(PoolLock());

		/* whoever asks from now on gets another one */
		(void) TakeDiscovery();
	}
	StartTransactionCommand();

	Relation relation = table_open(DatabaseRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(relation, InvalidOid, false, nullptr, 0, nullptr);

	for (HeapTuple tuple = systable_getnext(scan); HeapTupleIsValid(tuple);
		 tuple = systable_getnext(scan))
	{
		const auto *database = reinterpret_cast<Form_pg_database>(GETSTRUCT(tuple));
		const Oid oid = database->oid;

		if (!database->datallowconn || database->datistemplate)
			continue;
		LockScope lock(PoolLock());

		NoteDatabase(oid);
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
}

void
DiscoverAgain()
{
	MemoryContext const context = CurrentMemoryContext;
	bool wanted = false;

	{
		LockScope lock(PoolLock());

		wanted = TakeDiscovery();
	}
	if (!wanted)
		return;
	DiscoverDatabases();
	MemoryContextSwitchTo(context);
}

/* Is a visit on its way or at work? */
static bool
IsVisitUnderWay(const Sight &sight)
{
	for (int i = 0; i < SlotCount(); i++)
		if (sight.slots[i].state != SlotState::kFree && sight.slots[i].kind == SlotKind::kVisit)
			return true;
	return false;
}

/* A database of which somebody said that it wants a visit, and which can have one: the next one after the last. */
static Oid
ChooseWanted(TimestampTz now, TimestampTz *next)
{
	Oid databases[kCandidates];
	int count = 0;

	{
		LockScope lock(PoolLock(), LW_SHARED);

		count = DatabasesToVisit(last_wanted, databases, kCandidates);
	}
	for (int i = 0; i < count; i++)
	{
		const TimestampTz not_before = PairNotBefore({databases[i], InvalidOid, 0});

		if (not_before <= now)
			return last_wanted = databases[i];
		*next = std::min(*next, not_before);
	}
	return InvalidOid;
}

static bool
IsOpen(Oid database)
{
	LockScope lock(PoolLock(), LW_SHARED);

	return !IsBlocked(database);
}

/*
 * A database whose rows want a look. Also one of which we know no extension: should there be none, the visit
 * makes the ready queue forget it.
 */
static Oid
ChooseNamed(TimestampTz now)
{
	uint32 reasons = 0;

	/* nothing can be written, and nothing runs */
	if (RecoveryInProgress())
		return InvalidOid;
	for (int i = 0; i < kMostNamed; i++)
	{
		const Oid database = DatabaseToLookAt(now, &reasons);

		if (!OidIsValid(database))
			break;
		if (IsOpen(database) && PairNotBefore({database, InvalidOid, 0}) <= now)
			return database;
		NoteLook(database, true);
	}
	return InvalidOid;
}

/* The two sorts take turns. */
static Oid
Choose(TimestampTz now, TimestampTz *next)
{
	Oid database = named_first ? ChooseNamed(now) : InvalidOid;
	bool named = OidIsValid(database);

	if (!named)
		database = ChooseWanted(now, next);
	if (!OidIsValid(database) && !named_first)
	{
		database = ChooseNamed(now);
		named = OidIsValid(database);
	}
	if (OidIsValid(database))
		named_first = !named;
	return database;
}

TimestampTz
AddVisitDemand(Sight *sight, TimestampTz now)
{
	TimestampTz next = DT_NOEND;

	/* its end wakes the launcher */
	if (!settings::enabled || IsVisitUnderWay(*sight))
		return DT_NOEND;
	if (OidIsValid(chosen) && !IsOpen(chosen))
		chosen = InvalidOid;
	if (!OidIsValid(chosen))
		chosen = Choose(now, &next);
	if (!OidIsValid(chosen))
	{
		waiting_since = 0;
		return next;
	}
	if (waiting_since == 0)
		waiting_since = now;

	const TimestampTz since =
		std::max(waiting_since, last_sent - settings::fairness_interval_ms * INT64CONST(1000));

	sight->targets[sight->demand_count] = {chosen, InvalidOid, 0};
	sight->demands[sight->demand_count] = {chosen, InvalidOid, 0,	  since,	 chosen,		  1,
										   0,	   0,		   false, INT64_MIN, SlotKind::kVisit};
	sight->demand_count++;
	return next;
}

void
NoteVisitSent(TimestampTz now)
{
	chosen = InvalidOid;
	last_sent = now;
}

} // namespace worker_pool
