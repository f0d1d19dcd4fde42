/*
 * backoff.hpp
 *	  Bounded exponential back-off. Pure C++: no server here.
 */
#pragma once

#include <cstdint>

namespace worker_pool
{

/*
 * How long to wait after so many failures in a row: nothing after none, `initial_ms` after the first, then
 * twice as long each time, never more than `max_ms`. No argument makes it overflow.
 */
constexpr std::int64_t
BackoffDelayMs(int failures, std::int64_t initial_ms, std::int64_t max_ms) noexcept
{
	if (failures <= 0 || initial_ms <= 0 || max_ms <= 0)
		return 0;

	std::int64_t delay_ms = initial_ms < max_ms ? initial_ms : max_ms;

	for (int i = 1; i < failures && delay_ms < max_ms; ++i)
		delay_ms = delay_ms > max_ms / 2 ? max_ms : delay_ms * 2;
	return delay_ms;
}

} // namespace worker_pool
