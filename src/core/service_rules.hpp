/*
 * service_rules.hpp
 *	  When a service runs again, when it is given up, and how hard one that is to stop is pressed. Pure C++: no server
 *	  here. Times are microseconds of one clock.
 */
#pragma once

#include "core/backoff.hpp"

#include <cstdint>

namespace worker_pool
{

/* Crashes or overruns in a row that bring a service into quarantine. */
inline constexpr int kMostCrashes = 3;
/* As long as a service that is asked to stop is left alone: then SIGINT, then SIGTERM, then a WARNING. */
inline constexpr std::int64_t kStopCancelMs = 5000;
inline constexpr std::int64_t kStopTerminateMs = 10000;
inline constexpr std::int64_t kStopWarnMs = 15000;

/* Later by so many ms; never past the end of time. */
constexpr std::int64_t
LaterByMs(std::int64_t time_us, std::int64_t ms) noexcept
{
	if (ms > 0 && (ms > INT64_MAX / 1000 || time_us > INT64_MAX - ms * 1000))
		return INT64_MAX;
	return ms > 0 ? time_us + ms * 1000 : time_us;
}

/*
 * When the next cycle is due: `every` counts from begin to begin, and what was missed is not made up for. Never later
 * than `every` from now, wherever the clock was set meanwhile.
 */
constexpr std::int64_t
NextCycleUs(std::int64_t begun_us, std::int64_t every_ms, std::int64_t now_us) noexcept
{
	const std::int64_t next_us = LaterByMs(begun_us, every_ms);
	const std::int64_t last_us = LaterByMs(now_us, every_ms);

	if (next_us <= now_us)
		return now_us;
	return next_us < last_us ? next_us : last_us;
}

/*
 * Is it due? Also where its time is further away than any delay that there is now: then the clock was set back, or
 * the delays were made shorter.
 */
constexpr bool
IsDueUs(std::int64_t due_us, std::int64_t longest_ms, std::int64_t now_us) noexcept
{
	return due_us <= now_us || due_us > LaterByMs(LaterByMs(now_us, longest_ms), 1000);
}

/*
 * The step of the back-off after one more failure. It starts anew where the service has been healthy for longer than
 * reset_ms: from its first begin after the last failure, so that the time for which it was held back does not count.
 * healthy_since_us 0: it has not begun since.
 */
constexpr int
NextBackoffStep(int step, std::int64_t healthy_since_us, std::int64_t now_us,
				std::int64_t reset_ms) noexcept
{
	const bool anew = healthy_since_us != 0 && LaterByMs(healthy_since_us, reset_ms) < now_us;

	if (anew || step < 0)
		return 1;
	return step < INT32_MAX ? step + 1 : step;
}

/* How far a process that is to stop has been pressed. */
struct StopProgress
{
	bool cancelled;	 /* SIGINT was sent */
	bool terminated; /* SIGTERM was */
	bool warned;
};

enum class StopStep : std::uint8_t
{
	kNone,
	kCancel,
	kTerminate,
	kWarn,
};

/* What is to be done next with a process that was told to stop then; kNone: nothing yet, see StopLookUs. */
constexpr StopStep
NextStopStep(const StopProgress &done, std::int64_t told_us, std::int64_t now_us) noexcept
{
	if (!done.terminated && now_us >= LaterByMs(told_us, kStopTerminateMs))
		return StopStep::kTerminate;
	if (!done.cancelled && !done.terminated && now_us >= LaterByMs(told_us, kStopCancelMs))
		return StopStep::kCancel;
	if (!done.warned && now_us >= LaterByMs(told_us, kStopWarnMs))
		return StopStep::kWarn;
	return StopStep::kNone;
}

/* When NextStopStep says something else than now; INT64_MAX: never. */
constexpr std::int64_t
StopLookUs(const StopProgress &done, std::int64_t told_us) noexcept
{
	if (!done.cancelled && !done.terminated)
		return LaterByMs(told_us, kStopCancelMs);
	if (!done.terminated)
		return LaterByMs(told_us, kStopTerminateMs);
	return done.warned ? INT64_MAX : LaterByMs(told_us, kStopWarnMs);
}

} // namespace worker_pool
