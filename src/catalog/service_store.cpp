/*
 * service_store.cpp
 *	  What stands in a row of worker_pool.service although memory knows it first: the quarantine, and crashes of the
 *	  server. And the other way round: the config of services whose process can read no row. Visits, and the
 *	  process of a service.
 *
 * Quarantine. Three crashes in a row: the entry says quarantined at once, and `store` asks for a visit, which writes
 * it down (StoreOneQuarantine), and takes the wish away when that has committed (QuarantineStored): a visit that dies
 * in between leaves it. The row is locked before the entry is looked at again, so that a start_service that has
 * committed is not undone; one whose commit is just being told to memory is the only one that can lose. A row that
 * a transaction of a user holds is passed over, since there is one visit at a time: another one comes later.
 *
 * Careful start. After a crash of the server a service under suspicion counts its start in the row, flushed, before it
 * runs (CountCarefulStart): should it bring the server down again, the count outlives that. When it has run, the count
 * goes (ForgetCrashes). Neither waits for a transaction of a user: the one would hold up every other careful
 * start, the other comes again with the next success.
 *
 * Config. A process without a database says config_wanted and leaves; the visit brings the text into shared memory, for
 * an owner who is a superuser at that moment. It is stored with the version that the entry had before the row was
 * read: what was changed since makes it out of date by itself. Such a process cannot count its careful start either: the
 * visit does, and brings the config in a later transaction. One such start at a time in the whole cluster, so that a
 * crash is counted for the one that ran; when it has run, the visit that its process asks for takes the count back
 * (ForgetUnconnectedCrashes) and sends visits for the others.
 */
#include "catalog/service_row.hpp"

#include "pg/encoding.hpp"
#include "shmem/databases.hpp"
#include "shmem/memory.hpp"
#include "shmem/ready.hpp"

namespace worker_pool
{

/* How often, and how long in between, CountCarefulStart tries a row that somebody holds. */
static constexpr int kLockTries = 20;
static constexpr long kLockNapMs = 50;
/* When to ask again whether the one that is under suspicion has run, or whether a row is free. */
static constexpr int64 kTurnAgainMs = 10000;
/* A row that changes under our eyes so often is for another visit. */
static constexpr int kStoreTries = 3;

/* An entry at one moment. index kNone: none. */
struct EntryCopy
{
	int index;
	uint64 serial;
	uint64 version;
	int64 id;
	bool suspect;
	char reason[sizeof(BriefError::message)];
};

/* --- quarantine --------------------------------------------------------------------------------------------- */

/* The one that StoreOneQuarantine wrote last; kNone: it was passed over. */
static EntryCopy stored = {};
/* Where to look on: a visit looks at each entry once. */
static int next_unstored = 0;

/* The next entry of this database from that index on that is to be written down. */
static EntryCopy
FindUnstored(int from)
{
	EntryCopy copy = {};
	LockScope lock(PoolLock(), LW_SHARED);

	copy.index = kNone;
	for (int i = from; i < ServiceCount() && copy.index == kNone; i++)
	{
		const ServiceEntry &entry = ServiceAt(i);

		if (entry.serial == 0 || entry.database != MyDatabaseId || !entry.store)
			continue;
		copy.index = i;
		copy.serial = entry.serial;
		copy.id = entry.id;
		memcpy(copy.reason, entry.trouble.message, sizeof(copy.reason));
	}
	return copy;
}

/* Does it still want that? */
static bool
IsUnstored(const EntryCopy &copy)
{
	LockScope lock(PoolLock(), LW_SHARED);
	const ServiceEntry &entry = ServiceAt(copy.index);

	return entry.serial == copy.serial && entry.store;
}

/* The row with the quarantine in it. */
static HeapTuple
QuarantinedRow(Relation relation, HeapTuple tuple, const char *reason)
{
	Datum values[kServiceColumns] = {};
	bool nulls[kServiceColumns] = {};
	bool replaces[kServiceColumns] = {};
	const HeapTuple copy = heap_copytuple(tuple);
	const char *const text =
		ToServerEncoding(reason, static_cast<int>(strlen(reason)), GetDatabaseEncoding());

	ServiceFormOf(copy)->quarantined_at = GetCurrentTimestamp();
	values[kServiceReason - 1] = CStringGetTextDatum(text);
	replaces[kServiceReason - 1] = true;

	const HeapTuple changed =
		heap_modify_tuple(copy, RelationGetDescr(relation), values, nulls, replaces);

	changed->t_self = tuple->t_self;
	return changed;
}

/* One attempt; does not wait. Other than TM_Ok: somebody changed the row in between, or holds it (TM_BeingModified). */
static TM_Result
TryStore(Relation relation, const EntryCopy &copy)
{
	const HeapTuple tuple = FetchById(relation, Index::kServiceId, copy.id);

	if (tuple == nullptr || IsQuarantined(*ServiceFormOf(tuple)) ||
		!IsOwnRow(ServiceFormOf(tuple)->installation, ServiceFormOf(tuple)->database))
		return TM_Ok;

	TM_Result result = LockRow(relation, tuple->t_self, LockTupleNoKeyExclusive, false);

	if (result != TM_Ok || !IsUnstored(copy))
		return result;

	const HeapTuple changed = QuarantinedRow(relation, tuple, copy.reason);

	WP_FAULT("service.before_store");
	result = UpdateRow(relation, tuple->t_self, changed, true);
	/* in the order of the rows: what start_service tells after this is newer */
	if (result == TM_Ok)
		ArmService(SpecOfService(relation, changed), ServiceChange::kReload);
	return result;
}

/* Caller: a visit, inside a transaction. */
bool
StoreOneQuarantine()
{
	stored = FindUnstored(next_unstored);
	if (stored.index == kNone)
		return false;
	next_unstored = stored.index + 1;

	Relation relation = TryOpenTable(Table::kService, RowExclusiveLock);
	TM_Result result = TM_Updated;

	if (relation == nullptr)
		return false;
	for (int i = 0; i < kStoreTries && result != TM_Ok && result != TM_BeingModified; i++)
		result = TryStore(relation, stored);
	table_close(relation, NoLock);
	if (result != TM_Ok)
	{
		stored.index = kNone;
		MarkRescan(MyDatabaseId, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), kTurnAgainMs));
	}
	return true;
}

void
QuarantineStored()
{
	WP_FAULT("service.after_store");
	if (stored.index == kNone)
		return;

	LockScope lock(PoolLock());
	ServiceEntry &entry = ServiceAt(stored.index);

	if (entry.serial == stored.serial)
		entry.store = false;
}

/* --- careful start --------------------------------------------------------------------------------------------- */

/*
 * Changes the front of a row; does not wait. TM_BeingModified, TM_Updated, TM_Deleted: somebody was faster. *found:
 * there is such a row.
 */
template <typename Change>
static TM_Result
ChangeForm(Relation relation, int64 id, bool *found, Change change)
{
	const Snapshot snapshot = HoldSnapshot();
	const HeapTuple tuple = FetchPlain(relation, Index::kServiceId, id, snapshot);
	TM_Result result = TM_Ok;

	*found = tuple != nullptr;
	if (tuple != nullptr && change(ServiceFormOf(tuple)))
		result = UpdateRow(relation, tuple->t_self, tuple, false);
	LetGoSnapshot(snapshot);
	return result;
}

static void
NapForRow()
{
	static uint32 event_cache = 0;

	(void) WaitLatch(MyLatch, WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, kLockNapMs,
					 compat::WaitEvent("WorkerPoolServiceRow", &event_cache));
	CHECK_FOR_INTERRUPTS();
}

int
CountCarefulStart(int64 id)
{
	int before = -1;
	bool found = false;
	const auto count = [&before](FormService *form)
	{
		before = form->crashes;
		form->crashes = before + 1;
		form->run_epoch = static_cast<int64>(pool->epoch);
		return true;
	};
	Relation relation = TryOpenTable(Table::kService, RowExclusiveLock);

	if (relation == nullptr)
		return -1;
	for (int i = 0; ChangeForm(relation, id, &found, count) != TM_Ok; i++)
	{
		if (i == kLockTries)
			ereport(ERROR,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("the row of the service is locked by another transaction"),
					 errdetail("After a crash of the server a service notes there that it starts.")));
		NapForRow();
	}
	table_close(relation, NoLock);
	return found ? before : -1;
}

/* True: there was something to forget. */
static bool
ForgetIn(Relation relation, int64 id)
{
	bool found = false;
	bool changes = false;
	const auto forget = [&changes](FormService *form)
	{
		changes = form->crashes != 0;
		form->crashes = 0;
		return changes;
	};

	return ChangeForm(relation, id, &found, forget) == TM_Ok && changes;
}

void
ForgetCrashes(int64 id)
{
	Relation relation = TryOpenTable(Table::kService, RowExclusiveLock);

	if (relation == nullptr)
		return;
	(void) ForgetIn(relation, id);
	table_close(relation, NoLock);
}

/* --- config ------------------------------------------------------------------------------------------------------ */

/* Has its process, which can read no row, no config, or an old one? */
static bool
LacksConfig(const ServiceEntry &entry)
{
	return entry.serial != 0 && entry.wanted && !entry.outdated &&
		   (entry.config_wanted || (entry.unconnected && entry.config_version != entry.version));
}

/* The next entry of this database from that index on that lacks it; kNone: none. */
static EntryCopy
FindWithoutConfig(int from)
{
	EntryCopy copy = {};
	LockScope lock(PoolLock(), LW_SHARED);

	copy.index = kNone;
	for (int i = from; i < ServiceCount() && copy.index == kNone; i++)
	{
		const ServiceEntry &entry = ServiceAt(i);

		if (entry.database != MyDatabaseId || !LacksConfig(entry))
			continue;
		copy.index = i;
		copy.serial = entry.serial;
		copy.version = entry.version;
		copy.id = entry.id;
		copy.suspect = entry.suspect;
	}
	return copy;
}

/* Hands the text over, and tells a process that runs; `refused`: why there is none. Frees what stood there. */
static void
SetConfig(const EntryCopy &copy, dsa_pointer config, uint64 authority, const BriefError *refused)
{
	dsa_pointer unused = config;

	{
		LockScope lock(PoolLock());
		ServiceEntry &entry = ServiceAt(copy.index);

		if (entry.serial == copy.serial)
		{
			unused = entry.config;
			entry.config = config;
			entry.config_authority = authority;
			entry.config_version = refused == nullptr ? copy.version : 0;
			entry.config_wanted = refused == nullptr && entry.version != copy.version;
			if (refused != nullptr)
				entry.trouble = *refused;
			else if (entry.config_refused)
				entry.trouble = {};
			entry.config_refused = refused != nullptr;
			if (entry.slot != kNone)
				compat::SetLatchOf(SlotAt(entry.slot).proc);
		}
	}
	if (DsaPointerIsValid(unused))
		FreeShared(unused);
}

/* The text in shared memory; *refused: why there is none. */
static dsa_pointer
StoreText(const char *config, BriefError *refused)
{
	const Size size = strlen(config) + 1;
	const dsa_pointer chunk = AllocateSharedEvicting(size);

	if (DsaPointerIsValid(chunk))
		memcpy(SharedAddress(chunk), config, size);
	else
		SetBriefError(refused, ERRCODE_OUT_OF_MEMORY,
					  "out of shared memory for the config of the service", nullptr,
					  "Increase \"worker_pool.shared_memory\", or make the config smaller.");
	return chunk;
}

static bool
IsCounted(const FormService &form)
{
	return form.run_epoch == static_cast<int64>(pool->epoch);
}

static void
BringConfig(const EntryCopy &copy)
{
	const uint64 authority = pg_atomic_read_u64(&pool->authority_changes);
	BriefError refused = {};
	ServiceDefinition definition = {};
	dsa_pointer chunk = InvalidDsaPointer;

	/* what is known of roles is to be as new as that */
	AcceptInvalidationMessages();
	/* one that is not to run any more is for those who know */
	if (!ReadService(copy.id, &definition))
		return;
	if (copy.suspect && !RecoveryInProgress() && !IsCounted(definition.form))
		return;
	if (superuser_arg(definition.form.owner))
		chunk = StoreText(definition.config, &refused);
	else
		SetBriefError(&refused, ERRCODE_INSUFFICIENT_PRIVILEGE,
					  "the owner of a service without a database must be a superuser",
					  "Its process is not bound by the rights of a role.", nullptr);
	SetConfig(copy, chunk, authority, refused.sqlstate != 0 ? &refused : nullptr);
}

/* Caller: a visit, inside a transaction; also in recovery. */
void
LoadServiceConfigs()
{
	EntryCopy copy = FindWithoutConfig(0);

	if (copy.index == kNone)
		return;
	AttachMemory();
	for (; copy.index != kNone; copy = FindWithoutConfig(copy.index + 1))
		BringConfig(copy);
	WakeServiceWaiters();
	WakeLauncher();
}

/* Has one that was under suspicion its config, and has not run since? Then a crash of the server is to be its own. */
static bool
IsOneUnderSuspicion()
{
	LockScope lock(PoolLock(), LW_SHARED);

	for (int i = 0; i < ServiceCount(); i++)
	{
		const ServiceEntry &entry = ServiceAt(i);

		if (entry.serial != 0 && entry.wanted && entry.suspect && entry.unconnected &&
			!LacksConfig(entry) && entry.state != ServiceState::kQuarantined)
			return true;
	}
	return false;
}

static void
Quarantine(const EntryCopy &copy)
{
	const TimestampTz now = GetCurrentTimestamp();
	LockScope lock(PoolLock());

	if (ServiceAt(copy.index).serial == copy.serial)
		ServiceBringsServerDown(copy.index, now);
}

/* Caller: a visit, inside a transaction. */
void
CountUnconnectedStart()
{
	for (EntryCopy copy = FindWithoutConfig(0); copy.index != kNone;
		 copy = FindWithoutConfig(copy.index + 1))
	{
		ServiceDefinition definition = {};

		if (!copy.suspect || !ReadService(copy.id, &definition))
			continue;
		if (IsCounted(definition.form))
			return;
		if (IsOneUnderSuspicion())
		{
			/* its visit lets us know, unless it is stopped or dropped before that */
			MarkRescan(MyDatabaseId,
					   TimestampTzPlusMilliseconds(GetCurrentTimestamp(), kTurnAgainMs));
			return;
		}
		if (CountCarefulStart(copy.id) < kMostCrashes)
			return;
		Quarantine(copy);
	}
}

/* The next entry of this database from that index on that has run, without a database, since it was counted. */
static EntryCopy
FindUnsuspected(int from)
{
	EntryCopy copy = {};
	LockScope lock(PoolLock(), LW_SHARED);

	copy.index = kNone;
	for (int i = from; i < ServiceCount() && copy.index == kNone; i++)
	{
		const ServiceEntry &entry = ServiceAt(i);

		if (entry.serial == 0 || entry.database != MyDatabaseId || !entry.unconnected ||
			entry.suspect || !entry.wanted)
			continue;
		copy.index = i;
		copy.id = entry.id;
	}
	return copy;
}

/* Whoever waits for its turn to be counted gets a visit, if it is another database's. */
static void
LetNextBeCounted()
{
	LockScope lock(PoolLock());

	for (int i = 0; i < ServiceCount(); i++)
	{
		const ServiceEntry &entry = ServiceAt(i);

		if (entry.suspect && LacksConfig(entry) && entry.database != MyDatabaseId)
			WantVisit(entry.database);
	}
}

/* Caller: a visit, inside a transaction. */
void
ForgetUnconnectedCrashes()
{
	Relation relation = pool->careful ? TryOpenTable(Table::kService, RowExclusiveLock) : nullptr;
	bool forgot = false;

	if (relation == nullptr)
		return;
	for (EntryCopy copy = FindUnsuspected(0); copy.index != kNone;
		 copy = FindUnsuspected(copy.index + 1))
		forgot = ForgetIn(relation, copy.id) || forgot;
	table_close(relation, NoLock);
	if (!forgot)
		return;
	LetNextBeCounted();
	WakeLauncher();
}

} // namespace worker_pool
