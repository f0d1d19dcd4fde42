/*
 * services.hpp
 *	  What sessions do with services: define, change, drop, start, stop, wait. All changes are to the row, and
 *	  reach memory and processes when the transaction commits (service_wake.hpp); nothing here waits but WaitForService.
 */
#pragma once

#include "catalog/service_row.hpp"

namespace worker_pool
{

/* Resolved and checked by the caller: rights, syntax, entry point. */
struct ServiceRequest
{
	const char *name;
	const char *command; /* one of these two */
	const char *entry_point;
	Datum config;	/* jsonb */
	Datum settings; /* jsonb */
	int64 every_ms;
	int64 timeout_ms;
	Oid owner;
	Oid run_as;
	bool active;
	char run_on; /* p(rimary), a(ny) */
};

/*
 * Stores it and returns its id. 42710 where the name is taken, unless if_not_exists: then the id of that one, with a
 * NOTICE. 53400 where memory has no room, or the role owns too many.
 */
int64 DefineService(const ServiceRequest &request, bool if_not_exists);

/* A row that this transaction has locked, with its table open. */
struct HeldService
{
	Relation relation;
	HeapTuple tuple; /* detoasted; nullptr: see HoldService */
	FormService form;
	ServiceRequest request;
};

/*
 * Locks the row. 42704 with the name; 42501 unless the caller owns it; 55000 foreign (adopt), unless for_drop. for_drop
 * also returns without a tuple, and with the table closed, where another session has just dropped it.
 */
HeldService HoldService(const char *name, bool for_drop);
/*
 * Stores what has changed; nothing: nothing is told. request.active is as StartService and StopService: with
 * `start`, one that is active already comes out of quarantine, too.
 */
void SaveService(const HeldService &held, const ServiceRequest &request, bool start);
void RemoveService(const HeldService &held);
/* start: also out of quarantine, and at once out of a back-off. False: there was nothing to do. */
bool StartService(const HeldService &held);
bool StopService(const HeldService &held);
/* False: it is not active. */
bool RestartService(const HeldService &held);

/* How a service does: its row, and its entry if it has one. Any session, also on a standby. */
struct ServiceLook
{
	ServiceState state;
	bool has_entry;
	/* of the entry; zeroes where there is none */
	uint64 serial;
	pid_t pid; /* 0: no process, or it has not come up */
	bool has_slot;
	bool is_leaving; /* its process was told to leave now, for another one or none */
	uint64 cycles_begun;
	uint64 cycles_done;
	uint64 restarts;
	int failures;
	TimestampTz next_start;	 /* 0: it runs, or is not to run */
	TimestampTz started_at;	 /* of the cycle or main that runs; 0: none */
	TimestampTz leave_since; /* 0: it is not asked to leave */
	BriefError trouble;
};

/* What is known without an entry: active, quarantined and own as the row says. */
ServiceState StateWithoutEntry(bool active, bool quarantined, bool own);
/* Copies an entry; the lock is held, shared suffices. */
void LookAtEntry(int index, ServiceLook *look);

/* The service whose process this is; 0: none. Any process. */
int64 MyServiceId();

/*
 * Waits until the service is in that state (nullptr: any) and has begun and done `cycles` cycles since the call (0: any
 * number), for timeout_ms at most (0: no limit). False: the time was over. 42704 unknown, or dropped meanwhile (unless
 * for `stopped`: true); 42501; 55000 changed by this transaction, or in quarantine while waiting for something else.
 */
bool WaitForService(const char *name, const ServiceState *state, int64 cycles, int64 timeout_ms);

} // namespace worker_pool
