/*
 * service_row.hpp
 *	  Rows of worker_pool.service.
 */
#pragma once

#include "catalog/tables.hpp"
#include "shmem/service_wake.hpp"

namespace worker_pool
{

struct FormService
{
	int64 id;
	int64 every_ms;
	int64 timeout_ms; /* 0 = none */
	TimestampTz created_at;
	TimestampTz quarantined_at; /* -infinity: it is not */
	int64 run_epoch;			/* of the last careful start */
	pg_uuid_t installation;
	Oid database;
	Oid owner;
	Oid run_as;
	int32 crashes; /* of the server while it ran alone, in a row */
	bool active;
	char run_on; /* p(rimary), a(ny) */
};

enum ServiceColumn : int
{
	kServiceName = 14,
	kServiceCommand,	/* null: an entry point */
	kServiceEntryPoint, /* null: a command */
	kServiceConfig,
	kServiceSettings,
	kServiceRunAsName,
	kServiceOwnerName,
	kServiceReason, /* of the quarantine; null */
	kServiceColumns = kServiceReason,
};

inline FormService *
ServiceFormOf(HeapTuple tuple)
{
	return reinterpret_cast<FormService *>(GETSTRUCT(tuple));
}

/* Is it in quarantine, as the row says? */
inline bool
IsQuarantined(const FormService &form)
{
	return !TIMESTAMP_IS_NOBEGIN(form.quarantined_at);
}

/* What memory is to know of it; order 0. */
ServiceSpec SpecOfService(Relation relation, HeapTuple tuple);

/* What a process needs to run it, in CurrentMemoryContext. */
struct ServiceDefinition
{
	FormService form;
	const char *name;
	const char *command;	 /* nullptr: an entry point */
	const char *entry_point; /* nullptr: a command */
	const char *config;		 /* json text */
	Datum settings;			 /* jsonb */
	const char *owner_name;
	const char *run_as_name;
};

/*
 * The row as it is now; false: there is none, it is not active, in quarantine or foreign. In a transaction;
 * also in recovery.
 */
bool ReadService(int64 id, ServiceDefinition *definition);
/* Do owner and run_as still have the names that stand in the row? False: *why. */
bool ServiceRolesHold(const ServiceDefinition &definition, BriefError *why);

/* --- a visit; part of LoadDatabase and of visits in recovery ------------------------------------------------------ */

/* Tells memory all rows, and forgets entries without one. */
void LoadServices();
/*
 * Brings the config of services whose process has no database, where it is wanted. One under suspicion (careful mode) gets
 * none before its start was counted, in a transaction before this one: the process cannot do that itself.
 */
void LoadServiceConfigs();
/* Not in recovery: counts the start of such a service, one at a time in the cluster; or brings it into quarantine. */
void CountUnconnectedStart();
/* Not in recovery: what was counted of those that have run since, goes; the next one has its turn. */
void ForgetUnconnectedCrashes();
/*
 * Writes down the quarantine of one service whose entry says so. False: there is none (more). Not in recovery. When the
 * transaction has committed, QuarantineStored() takes that from the entry; until then the entry wants it still. Does not
 * wait: one whose row another transaction holds is passed over, and the database marked for a later visit.
 */
bool StoreOneQuarantine();
void QuarantineStored();

/* --- the process, outside of recovery ------------------------------------------------------------------------------ */

/*
 * Careful mode: counts the start in the row, crashes + 1 and this epoch; the caller flushes the commit before it
 * goes on. Returns the number of crashes before; -1: the row is gone. 55P03 where another transaction holds the row for
 * long: whoever waits here holds up all others.
 */
int CountCarefulStart(int64 id);
/* It has run: crashes = 0. Does not wait: where another transaction holds the row, another time will do. */
void ForgetCrashes(int64 id);

} // namespace worker_pool
