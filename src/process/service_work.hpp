/*
 * service_work.hpp
 *	  Where this process stands with its service: shared by service_*.cpp. Worker process only.
 */
#pragma once

#include "catalog/service_row.hpp"
#include "feature/entry_points.hpp"
#include "process/service_runner.hpp"

namespace worker_pool
{

/*
 * What an ERROR means depends on where it comes:
 *
 *	kNone --> kIdle <--> kChecking --> kRunning --> kMarking --> kResetting --> kEnding --> kIdle
 *	                                      |                          ^
 *	                                      | ERROR                    |
 *	                                      +-----> kFailed -----------+
 */
enum class ServicePhase : uint8
{
	kNone,	   /* does not serve yet: the process could not start */
	kIdle,	   /* between two cycles: the process leaves */
	kChecking, /* the row is read, rights are checked: as a start that failed; the process leaves */
	kRunning,  /* the cycle: it has failed */
	kMarking,  /* it has succeeded; what is to be written of that: the process leaves */
	kFailed,   /* its error is kept and all is rolled back */
	kResetting, /* the process leaves */
	kEnding,	/* only entry and slot are to be moved on: the process leaves */
};

/* How the cycle ended. */
enum class CycleEnd : uint8
{
	kSucceeded,
	kFailed,
	kInterrupted, /* because it is to leave: it counts as nothing */
};

struct ServiceWork
{
	ServicePhase phase;

	/* for the life of the process */
	int index; /* of the entry; kNone until it was found */
	uint64 serial;
	int64 id;
	char name[NAMEDATALEN];
	char entry_point[kEntryPointSize]; /* '' for a command */
	char database[NAMEDATALEN + 16];   /* for messages: 'database "name"' */
	bool database_known;			   /* not only its OID */
	const WorkerPoolService *entry;	   /* nullptr: a command */
	bool connected;
	bool settings_applied; /* entry points: once a process */
	bool counted;		   /* its careful start stands in the row */
	int careful_waits;	   /* how often in a row another suspect ran */
	uint64 authority_seen;
	uint64 settings_seen;
	MemoryContext context; /* of what one cycle needs; reset before the next */

	/* of the cycle */
	ServiceDefinition definition; /* connected; in `context` */
	int64 timeout_ms;			  /* 0 = none */
	int64 every_ms;
	uint64 version; /* of the entry, before the row was read */
	TimestampTz begun_at;
	int row_crashes; /* as the row says */
	bool suspect;	 /* careful: not known yet whether it brings the server down */
	bool holds_careful;
	bool authority_gone;
	bool retire; /* afterwards */
	CycleEnd end;
	ErrorData *error; /* in `context` */
	bool overran;	  /* its timeout ended it */

	/* a leaving process that counts as one that could not start; sqlstate 0: it does not */
	BriefError not_started;
};

extern ServiceWork service_work;

inline bool
IsResident()
{
	return service_work.entry != nullptr && service_work.entry->main != nullptr;
}

/* Is the entry still that of this process's service? With the pool lock, or for what only this process writes. */
inline bool
IsMine(const ServiceEntry &entry)
{
	return entry.serial == service_work.serial;
}

/* --- service_slot.cpp ---------------------------------------------------------------------------------- */

/* idle: sleeps until the next cycle is due and there is room for it, or leaves. The slot runs afterwards. */
void WaitForTurn();
/* The slot runs, but there is no cycle to be made (any more, or yet): it is idle again, or leaves. */
void GiveTurnBack();
/* Tells the entry how the cycle ended and moves the slot on; leaves where it is to. */
void EndCycle();
/* Shows in pg_stat_activity that it waits. */
void ShowWaiting();
/* Leaves in peace: that is no crash. */
[[noreturn]] void GoAway();
/* Leaves; it counts as a start that failed with that error. */
[[noreturn]] void GoAwayUnstarted(const BriefError &why);
/* The next cycle does not begin before so much later. */
void PutOff(int64 delay_ms);
/* Asks for what a process without a database needs of the row, where it has not got it. Wakes the launcher. */
void AskForConfig();

/* --- service_check.cpp --------------------------------------------------------------------------------- */

/*
 * Phase kChecking: reads the row, checks rights, applies the settings of an entry point, takes the careful limit and
 * counts the start where it is suspect. Does not return where the process is to leave for that; raises why it could not
 * start. False: no cycle now.
 */
bool CheckBeforeCycle();
/*
 * Is the role no longer what it was at connect, or may the owner of a main that runs no longer have it? Outside a
 * transaction; free unless somebody changed roles.
 */
bool AuthorityIsGone();
/* It runs and the server stands: no suspect any more; the row is told. Outside a transaction. */
void ProveHarmless();
/* Lets the next suspect begin. */
void ReleaseCareful();

/* --- service_cycle.cpp --------------------------------------------------------------------------------- */

/* Phase kRunning: one cycle, or main until it returns. Everything is committed then. Raises what it raises. */
void RunCycle();

/* --- service_failure.cpp ------------------------------------------------------------------------------- */

/* Phase kFailed: decides what the error means. */
void FinishFailed();
/* After EndCycle has told the entry: a WARNING for the first of an episode, DEBUG1 for those that follow. */
void LogFailure(bool first, TimestampTz next_start, TimestampTz now);

} // namespace worker_pool
