/*
 * sync.cpp
 *	  The service metadata_sync:sync. A round compares the catalogs with the registry, logs what has changed, and sends
 *	  the log to the central database, batch by batch, until it is empty.
 *
 *	1. begin_round(): one transaction here; a change gets the next number, without gaps, and a mark.
 *	2. On a new connection: what do you have? acknowledge() compares number and mark with what is known here, forgets what
 *	   has arrived, and logs everything anew where one of the two went back to a backup.
 *	3. next_batch(), ApplyAtTarget(), acknowledge(), until there is no batch. The target applies a batch in one
 *	   transaction, together with the number of its last change, and skips what it has.
 *
 * A process that dies, a connection that breaks, a target that is away: after each of these lines the next round
 * begins at 1, and what was sent and not acknowledged is sent again. No transaction is open while the network is waited
 * for. All of this is PG code in the words of worker_pool.hpp: it owns nothing that has a destructor.
 *
 * That there is one process for each database, that it is started again, that a target which is away is tried
 * less and less often, stop and cancel: that is worker_pool's part.
 */
#include "target.hpp"

extern "C"
{
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

	PG_MODULE_MAGIC;

	PGDLLEXPORT void _PG_init(void);
}

#include "worker_pool/worker_pool.hpp"

namespace metadata_sync
{

namespace
{

constexpr int kMostColumns = 5;

/* The first row of a statement, as text. */
struct Row
{
	bool found;
	const char *values[kMostColumns];
};

/*
 * Runs a statement with text parameters (nullptr: NULL) in a transaction of its own. The row is in
 * CurrentMemoryContext, which is the same afterwards.
 */
template <int count>
Row
RunSql(const char *sql, const char *const (&arguments)[count])
{
	MemoryContext caller = CurrentMemoryContext;
	Oid types[count];
	Datum values[count];
	char nulls[count];
	Row row = {};

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	for (int i = 0; i < count; i++)
	{
		types[i] = TEXTOID;
		values[i] = arguments[i] != nullptr ? CStringGetTextDatum(arguments[i]) : (Datum) 0;
		nulls[i] = arguments[i] != nullptr ? ' ' : 'n';
	}
	if (SPI_execute_with_args(sql, count, types, values, nulls, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "metadata_sync: \"%s\" did not run", sql);
	row.found = SPI_processed > 0;
	for (int i = 0; row.found && i < SPI_tuptable->tupdesc->natts && i < kMostColumns; i++)
	{
		const char *value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1);

		row.values[i] = value != nullptr ? MemoryContextStrdup(caller, value) : nullptr;
	}
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(caller);
	return row;
}

/* Sends a batch, or asks, and takes down what the target has. False: the service is to stop. */
bool
Push(const Row &round, const char *changes)
{
	Position position;

	if (!ApplyAtTarget(round.values[0], round.values[1], changes, atoi(round.values[4]), &position))
		return false;
	RunSql("SELECT metadata_sync.acknowledge($1::bigint, $2::uuid)",
		   {position.number, position.mark});
	return true;
}

void
SyncRound()
{
	MemoryContext batch =
		AllocSetContextCreate(CurrentMemoryContext, "metadata_sync batch", ALLOCSET_DEFAULT_SIZES);
	const Row round = RunSql("SELECT source, database, target, batch, timeout_s FROM "
							 "metadata_sync.begin_round($1::jsonb)",
							 {worker_pool_cpp::Api()->config()});
	bool fresh = false;

	if (!OpenTarget(round.values[2], atoi(round.values[4]), &fresh))
		return;
	MemoryContextSwitchTo(batch);
	if (fresh && !Push(round, "[]"))
		return;
	for (;;)
	{
		MemoryContextReset(batch);
		const Row changes =
			RunSql("SELECT changes FROM metadata_sync.next_batch($1::int)", {round.values[3]});

		if (!changes.found || !Push(round, changes.values[0]))
			return;
	}
}

} // namespace

} // namespace metadata_sync

/* Loaded by the service's process; where it is preloaded, by the postmaster. Without worker_pool there is nothing to do. */
void
_PG_init(void)
{
	worker_pool_cpp::RegisterCycle<metadata_sync::SyncRound>("sync", WORKER_POOL_OWN_TRANSACTIONS);
}
