/*
 * service_table.hpp
 *	  What memory knows of services: an entry for each one that should run or has run since the start, in the whole
 *	  cluster. All under the pool lock, held exclusively unless a function says otherwise.
 *
 * The table worker_pool.service in each database is the truth of what a service *is*; the entry is the truth of
 * how it *does*: state, process, cycles, failures. Only the quarantine, and crashes of the server, are kept in
 * the row as well, since they must outlive shared memory.
 *
 *	field							written by
 *	database .. any_server			PutService: at the end of the transaction that changed the row
 *									(service_wake.hpp), or a visit that read it
 *	resident, unconnected			the process, once it has loaded the entry point; cleared where another one is set
 *	config, config_version			a visit, for a service whose process has no database; launcher, which frees it
 *	config_authority				a visit; launcher
 *	state							MoveService, for the functions below, each named after what has happened
 *	slot							launcher (reserved); cleared by ServiceGone, ServiceNotStarted
 *	cycles_*, failures, trouble		the process; ServiceGone
 *	suspect, careful				the process; careful is cleared by ServiceGone, too: who leaves the limit has looked
 *									before
 *	store							with the quarantine: a visit is to write it down; cleared by it, and by who lifts it
 *	warned							whoever logs the first failure of an episode, or has the launcher log it (untold)
 *	untold							ServiceGone, ServiceNotStarted, ServiceLacksRoom; cleared by the launcher
 *	*_warned						launcher
 *
 * The states, and who moves them:
 *
 *	               wanted                    ServiceReserved            ServiceBegins
 *	  stopped ----------------> starting --------------------> starting -----------------> running
 *	     ^                         ^    (no slot)     (with a slot)                         |  |  ServiceEnds
 *	     | not wanted, and         |                                                        |  v
 *	     | the process is gone     +---- restart, start_service ----- waiting <-------------+  +--> backing off
 *	     |                                                            (process or not)          (process or not)
 *	     +--------- from every state                    ServiceGone, unasked: backing off, or, the third in a row,
 *	                                                    quarantined
 *
 * "With a slot" means entry.slot is not kNone. A waiting service keeps its process, idle in its slot, until
 * somebody else needs that: then it is reserved anew when it is due. At most one entry of a (database, name) has
 * a slot: a service that was dropped and made anew waits until the old process is gone (CanStart).
 *
 * An entry outlives its process: a service that was stopped keeps its counters. It goes with its row, once the process
 * is gone, too; or, a stopped one or one in quarantine, when another service needs the room: the row tells then.
 *
 * Which word is newer. A change of a row takes a number while the row is locked (order), so two that are told in the
 * wrong order do no harm. A load reads without locks: what was told since it began (told) is newer than what it read,
 * what was told before is older. A change that comes too late for an entry that is gone makes a ghost, which goes when
 * its process finds no row (ServiceFoundUnwanted).
 *
 * A quarantine that is not written down yet (store) is newer than any row, but for start_service and restart_service.
 * On a standby it cannot be written: there it ends with the server, or is written at promotion.
 *
 * Identity: index and serial; a process that finds another serial has outlived its service. The pair of its slot is
 * {database, role, ServicePair(serial)}: no command is ever handed to it.
 */
#pragma once

#include "core/service_rules.hpp"
#include "shmem/slots.hpp"

namespace worker_pool
{

/* The longest text of an entry point, with its end. */
inline constexpr int kEntryPointSize = 2 * NAMEDATALEN;

/* What a session or visit knows of a row. */
struct ServiceSpec
{
	int64 id;
	Oid database;
	Oid owner;
	Oid run_as;
	char name[NAMEDATALEN];
	char entry_point[kEntryPointSize]; /* '' for a command */
	int64 every_ms;
	int64 timeout_ms; /* 0 = none; for a process that cannot read the row */
	int32 crashes;	  /* of the server, as the row says */
	uint64 run_epoch; /* of the last careful start, as the row says */
	bool wanted;	  /* active, not in quarantine, of this database */
	bool quarantined;
	bool any_server; /* run_on any */
	uint64 order;	 /* NextPushOrder() while the row was locked; 0: read without that */
};

/* How soon a change reaches a process that is there. */
enum class ServiceChange : uint8
{
	kReload, /* the next cycle reads the row; a resident main is woken */
	kAfterCycle, /* another process is to run it: this one leaves after its cycle; a resident main is asked to */
	kNow,	/* restart_service: as stop_service, then start_service */
	kFresh, /* start_service, create_service: what went wrong before is forgotten, due at once */
};

struct ServiceEntry
{
	uint64 serial; /* 0 = unused */
	int64 id;
	Oid database;
	Oid owner;
	Oid run_as;
	char name[NAMEDATALEN];
	char entry_point[kEntryPointSize];
	int64 every_ms;
	int64 timeout_ms;
	uint64 order;	/* of the last change that was taken over */
	uint64 version; /* counts changes; a process compares */
	uint64 told;	/* counts what changes have told of all entries; see "which word is newer" */
	uint64 seen;	/* number of the last load that saw its row */
	bool wanted;
	bool any_server;
	bool
		dropped; /* the row is gone, or another one has its name: the entry goes with the process */
	bool quarantined; /* without a process it is in quarantine, not stopped */
	bool resident;
	bool unconnected;
	bool
		outdated; /* resident and unconnected are of the entry point that its process runs, no more of this one */
	bool
		config_refused; /* an unconnected one: the visit did not give it a config; trouble tells why */
	dsa_pointer config;		 /* unconnected: json text */
	uint64 config_version;	 /* of it; 0 = never */
	uint64 config_authority; /* authority_changes when somebody last asked whether the owner may */
	bool config_wanted;		 /* a visit is to bring it */

	ServiceState state;
	bool suspect; /* careful: not known yet whether it brings the server down */
	bool careful; /* it holds the careful limit (ready.hpp) */
	bool leave;	  /* the process is to leave: see leave_how */
	ServiceChange leave_how;
	bool
		by_itself; /* it was that process that said so (kNow): the next one does not begin at once */
	bool signalled_cancel; /* launcher: SIGINT was sent for it */
	bool leave_warned;	   /* launcher: "does not stop" was logged */
	bool overrun_warned;   /* launcher: "does not react to its timeout" was logged */
	int slot;			   /* kNone: no process, and none on its way */
	uint64 slot_generation;
	TimestampTz state_changed_at;
	TimestampTz leave_since; /* when it was told; 0 = it was not */
	TimestampTz next_start;	 /* starting, waiting, backing off: not before */
	TimestampTz begun_at;	 /* of the last cycle */
	/* running: its timeout, DT_NOEND = none; for the launcher's WARNING only */
	TimestampTz deadline;

	uint64 cycles_begun;
	uint64 cycles_done;
	uint64 restarts; /* processes after a crash, a failed start or restart_service */
	bool restarting; /* the next one is one of these */
	int failures;	 /* in a row */
	int crashes;	 /* and overruns, in a row */
	int backoff_step;
	TimestampTz last_failure_at;
	TimestampTz healthy_since; /* its first begin after that; 0: there was none */
	uint64
		authority_seen; /* before the last start or check: if that failed, a change is a reason to try at once */
	bool start_failed;
	bool warned;  /* the WARNING of this episode was logged, or is `untold` */
	bool untold;  /* launcher: is to log the trouble: a crash, a failed start, or no_room */
	bool no_room; /* trouble says that too many residents run */
	bool quarantine_warned;
	bool store;			/* the quarantine is to be written down */
	BriefError trouble; /* last error; sqlstate 0 = none */
};

static_assert(std::is_standard_layout_v<ServiceEntry> &&
			  std::is_trivially_copyable_v<ServiceEntry>);

Size ServiceMemorySize();
void InitServices(char *memory, bool found);
/* How many there is room for: twice max_databases. */
int ServiceCapacity();
/* Entries 0 .. ServiceCount()-1, unused ones among them. Shared lock suffices. */
int ServiceCount();
ServiceEntry &ServiceAt(int index);
/* For how many more there is room, those that would push a stopped one out among them. Shared lock suffices. */
int ServiceRoom();
/* kNone where there is none; also one that is dropped and still has a process. Shared lock suffices. */
int FindService(Oid database, int64 id);
/* The fresh_id of its pair; the entry of a slot whose target has it. */
uint64 ServicePair(uint64 serial);
bool IsServicePair(uint64 fresh_id);
/* kNone: it is no service's, or of one that is gone. Shared lock suffices. */
int FindServiceOfPair(uint64 fresh_id);
/* The entry whose process is, or is to be, in that slot; kNone. Shared lock suffices. */
int ServiceOfSlot(int slot);

/* --- what should run --------------------------------------------------------------------------------------- */

/*
 * Takes a row over: makes the entry or changes it, tells the process. An older order than the entry's is left out.
 * False: there is no room (nothing was changed). Sets latches and sends SIGINT to a command's process; the
 * caller wakes the launcher and whoever waits (WakeServiceWaiters).
 */
bool PutService(const ServiceSpec &spec, ServiceChange how, TimestampTz now);
/* The row is gone. The entry goes when the process has. order as ServiceSpec. */
void DropServiceEntry(Oid database, int64 id, uint64 order, TimestampTz now);
/* The extension, or the database, is gone: all of its entries. */
void ForgetServices(Oid database, TimestampTz now);
/*
 * A visit reads the whole table: BeginServiceLoad, PutService for each row (kReload: what is known stays; spec.order 0),
 * EndServiceLoad, which drops entries that the load has not seen and that were there when it began. Entries of which
 * something was told since the begin are left alone. Begin comes before the snapshot. One process at a time, or several;
 * one that breaks off drops nothing.
 */
void BeginServiceLoad();
void EndServiceLoad(Oid database, TimestampTz now);
/* Has PutService found no room since there was some? The launcher has all databases visited when there is again. */
bool ServiceTableIsFull();
/*
 * Its process has read the row, when the entry had that version: it is gone, or not to run. Left out where the entry has
 * another version by now: then something newer was told.
 */
void ServiceFoundUnwanted(int index, uint64 version, bool gone, TimestampTz now);
/*
 * A config that no entry needs any more, taken out of its entry (which may go by that): to be freed without the lock.
 * InvalidDsaPointer: there is none.
 */
dsa_pointer TakeUnusedConfig();

/*
 * Has its process to leave, at once or after its cycle? Told to, not wanted, for another role, asked to give way, being
 * terminated, the pool switched off, a standby that is not to run it, without a database and its owner may no longer.
 * Shared lock suffices, or, in the process itself, none.
 */
bool MustLeave(const ServiceEntry &entry);
/*
 * Its process, if there is one, is to leave: kAfterCycle or kNow. kNow: a command that runs gets SIGINT. Sets its latch.
 * What it was told before and is as strong stays, with its time.
 */
void TellToLeave(int index, ServiceChange how, TimestampTz now);
/* Must it have left by now, cycle or not: is the launcher to signal it, and to complain? */
bool IsToLeaveNow(const ServiceEntry &entry);

/* --- what happens to it -------------------------------------------------------------------------------------- */

/*
 * Should a process be started (or the idle one be woken): wanted, due, not closed, no other process of that
 * (database, name), for this server (in_recovery: any_server only), resident within limits, its config there?
 * *next is lowered to when to ask again, if time alone changes the answer. Shared lock suffices.
 */
bool CanStart(const ServiceEntry &entry, bool in_recovery, TimestampTz now, TimestampTz *next);
/* Is it only the limit of residents that keeps it from being started? Shared lock suffices. */
bool LacksRoom(const ServiceEntry &entry, bool in_recovery, TimestampTz now);
/* Is it time for its next cycle? Shared lock suffices, or, in the process itself, none. */
bool IsServiceDue(const ServiceEntry &entry, TimestampTz now);
/* How many slots resident mains and leases may hold: all that tasks and services may have but one. */
int ResidentLimit();
/* How many they hold. Shared lock suffices. */
int ResidentCount();
/*
 * May the resident main have a slot, or keep it, with leases and those that have been there for longer? Less than
 * ResidentLimit(), and than max_workers_per_database in its database. Shared lock suffices.
 */
bool HasResidentRoom(const ServiceEntry &entry);

/* Launcher, with ReserveSlot: a process is on its way. Sets slot.service. */
void ServiceReserved(int index, int slot);
/*
 * Its process, in running state of the slot: a cycle (or main) begins. False: it is not to run any more, or not
 * yet (nothing was changed). deadline: DT_NOEND = none.
 */
bool ServiceBegins(int index, TimestampTz deadline);
/* The cycle succeeded; next: when the following one is due. Clears failures and crashes in a row. */
void ServiceSucceeded(int index, TimestampTz next, TimestampTz now);
/* main has done a round: as ServiceSucceeded, but stays running. */
void ServiceRound(int index);
/* The cycle failed with that error, or its timeout ended it (overran). State backing off, or quarantined. */
void ServiceFailed(int index, const BriefError &error, bool overran, TimestampTz now);
/* The cycle was ended because it is to leave: it counts as nothing. */
void ServiceInterrupted(int index, TimestampTz now);
/*
 * Its process is gone, or never came; with FreeSlot, in the same lock hold. asked: it was told to leave, or had
 * nothing to do (a turn for others); else a crash, with the reason if there is one.
 */
void ServiceGone(int index, bool asked, const BriefError *reason, TimestampTz now);
/*
 * Its process could not be started: no crash, but a failure; backing off. With FreeSlot, in place of ServiceGone; or by
 * the process itself, which then leaves with ServiceGone(asked). error.sqlstate 0: nobody knows why.
 */
void ServiceNotStarted(int index, const BriefError &error, TimestampTz now);
/* It has brought the server down too often, and is not to run again until start_service. */
void ServiceBringsServerDown(int index, TimestampTz now);
/* Launcher: what keeps it from starting may be over: due now. */
void ServiceRetries(int index, TimestampTz now);
/* Launcher: a resident has run for restart_backoff_reset: nothing is left of what went wrong before. */
void ServiceIsHealthy(int index);
/* Launcher: too many residents run. It stays starting, with that as its trouble. */
void ServiceLacksRoom(int index);

/* --- sleepers -------------------------------------------------------------------------------------------------- */

/* Broadcasts pool->service_changed, if anybody sleeps on it. Without the lock. Never raises. */
void WakeServiceWaiters();

} // namespace worker_pool
