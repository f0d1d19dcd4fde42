/*
 * states.hpp
 *	  The states of slots and commands, and which moves between them are legal. Pure C++: no server here.
 *
 * The drawn diagrams stand in src/README.md; these tables are the same diagrams in a form that
 * src/shmem asserts on every move and the unit tests compare cell by cell.
 */
#pragma once

#include <cstddef>
#include <cstdint>

namespace worker_pool
{

enum class SlotState : std::uint8_t
{
	kFree,	   /* no process; on the free list */
	kStarting, /* registered with the postmaster; the worker has not finished its handshake */
	kIdle,	   /* a warm worker without a command */
	kAssigned, /* a session handed it a command that it has not looked at yet */
	kRunning,  /* runs a command, or takes tasks */
	kStopping, /* told to leave, or on its way out; takes nothing more */
};
inline constexpr std::size_t kSlotStateCount = 6;

enum class CommandState : std::uint8_t
{
	kVacant, /* the record is unused */
	kQueued,
	kRunning, /* also: assigned to a worker that has not looked at it yet */
	kSucceeded,
	kFailed,
	kCancelled,
	kLost, /* the process went away: outcome unknown */
};
inline constexpr std::size_t kCommandStateCount = 7;

/* What a slot is used for at the moment; an idle one keeps its last. */
enum class SlotKind : std::uint8_t
{
	kCommand,
	kVisit,	  /* a short look into a database: is the extension there, which version, what is due */
	kTask,	  /* started for tasks, or runs them: counts against what reserved_workers leaves */
	kService, /* the process of one service: counts likewise while it runs */
	kLease,	  /* an own background worker of another extension: counts likewise, always running */
};

/* Does a slot of that kind, while it is not idle, count against what reserved_workers leaves? */
constexpr bool
IsShared(SlotKind kind)
{
	return kind == SlotKind::kTask || kind == SlotKind::kService || kind == SlotKind::kLease;
}

/* Of a service; shmem/service_table.hpp has the diagram. */
enum class ServiceState : std::uint8_t
{
	kStopped,	  /* not wanted; its process may still be leaving */
	kStarting,	  /* wanted: waits for a slot, or its process is coming up */
	kRunning,	  /* a cycle, or its resident main, runs */
	kWaiting,	  /* between two cycles, with a process or without */
	kBackingOff,  /* after a failure, a crash or a failed start, likewise */
	kQuarantined, /* three crashes or overruns in a row */
};
inline constexpr std::size_t kServiceStateCount = 6;

/* [from][to]: from and to itself is no move. */
inline constexpr bool kServiceMoves[kServiceStateCount][kServiceStateCount] = {
	/* from \ to:      stopped starting running waiting backing quarantined */
	/* kStopped */ {false, true, false, false, false, true},
	/* kStarting */ {true, false, true, true, true, true},
	/* kRunning */ {true, true, false, true, true, true},
	/* kWaiting */ {true, true, true, false, true, true},
	/* kBackingOff */ {true, true, true, true, false, true},
	/* kQuarantined */ {true, true, false, false, false, false},
};

/* Why a running command was asked to stop; decides the state and error of one that ends by it. */
enum class StopReason : std::uint8_t
{
	kNone,
	kRequested,	  /* stop_worker, or the waiting caller of run/query was interrupted */
	kDatabaseDdl, /* its database is being dropped, renamed, moved or closed */
	kShutdown,
};

/* [from][to] */
inline constexpr bool kSlotMoves[kSlotStateCount][kSlotStateCount] = {
	/* from \ to:     free   starting idle   assigned running stopping */
	/* kFree */ {false, true, false, false, false, false},
	/* kStarting */ {true, false, true, false, true, true},
	/* kIdle */ {true, false, false, true, true, true},
	/* kAssigned */ {true, false, false, false, true, true},
	/* kRunning */ {true, false, true, false, true, true},
	/* kStopping */ {true, false, false, false, false, false},
};

/* [from][to] */
inline constexpr bool kCommandMoves[kCommandStateCount][kCommandStateCount] = {
	/* from \ to:      vacant queued running succeeded failed cancelled lost */
	/* kVacant */ {false, true, true, false, false, false, false},
	/* kQueued */ {true, false, true, false, true, true, false},
	/* kRunning */ {false, true, false, true, true, true, true},
	/* kSucceeded */ {true, false, false, false, false, false, false},
	/* kFailed */ {true, false, false, false, false, false, false},
	/* kCancelled */ {true, false, false, false, false, false, false},
	/* kLost */ {true, false, false, false, false, false, false},
};

constexpr bool
IsLegalMove(SlotState from, SlotState to)
{
	return kSlotMoves[static_cast<std::size_t>(from)][static_cast<std::size_t>(to)];
}

constexpr bool
IsLegalMove(ServiceState from, ServiceState to)
{
	return kServiceMoves[static_cast<std::size_t>(from)][static_cast<std::size_t>(to)];
}

constexpr bool
IsLegalMove(CommandState from, CommandState to)
{
	return kCommandMoves[static_cast<std::size_t>(from)][static_cast<std::size_t>(to)];
}

/* Has the command an outcome? */
constexpr bool
IsFinished(CommandState state)
{
	return state >= CommandState::kSucceeded;
}

/* The word that the views show. "assigned" is shown as running: the caller's command has a process. */
constexpr const char *
SlotStateName(SlotState state)
{
	switch (state)
	{
		case SlotState::kFree:
			return "free";
		case SlotState::kStarting:
			return "starting";
		case SlotState::kIdle:
			return "idle";
		case SlotState::kAssigned:
		case SlotState::kRunning:
			return "running";
		case SlotState::kStopping:
			return "stopping";
	}
	return "?";
}

constexpr const char *
CommandStateName(CommandState state)
{
	switch (state)
	{
		case CommandState::kVacant:
			return "vacant";
		case CommandState::kQueued:
			return "queued";
		case CommandState::kRunning:
			return "running";
		case CommandState::kSucceeded:
			return "succeeded";
		case CommandState::kFailed:
			return "failed";
		case CommandState::kCancelled:
			return "cancelled";
		case CommandState::kLost:
			return "lost";
	}
	return "?";
}

constexpr const char *
SlotKindName(SlotKind kind)
{
	switch (kind)
	{
		case SlotKind::kCommand:
			return "command";
		case SlotKind::kVisit:
			return "visit";
		case SlotKind::kTask:
			return "task";
		case SlotKind::kService:
			return "service";
		case SlotKind::kLease:
			return "lease";
	}
	return "?";
}

constexpr const char *
ServiceStateName(ServiceState state)
{
	switch (state)
	{
		case ServiceState::kStopped:
			return "stopped";
		case ServiceState::kStarting:
			return "starting";
		case ServiceState::kRunning:
			return "running";
		case ServiceState::kWaiting:
			return "waiting";
		case ServiceState::kBackingOff:
			return "backing off";
		case ServiceState::kQuarantined:
			return "quarantined";
	}
	return "?";
}

} // namespace worker_pool
