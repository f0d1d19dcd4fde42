/*
 * retry.hpp
 *	  When a failed task is tried again. Pure C++: no server here.
 */
#pragma once

#include "core/backoff.hpp"

namespace worker_pool
{

inline constexpr std::int64_t kMaxRetryDelayMs = INT64_C(3600000);
/* After so many attempts, a failure that is repeated at once is repeated after a pause. */
inline constexpr int kAttemptsAtOnce = 10;
inline constexpr std::int64_t kPauseMs = 1000;
inline constexpr int kDefaultAttemptsAtomic = 3;
inline constexpr int kDefaultAttemptsOther = 1;

struct RetryDecision
{
	bool final;
	std::int64_t delay_ms;
};

/*
 * After `attempts` attempts of `max_attempts`. The delay doubles from retry_delay_ms to one hour (a longer
 * retry_delay_ms is taken as it is), give or take a tenth: `jitter` is a number from 0 to 1. `at_once`: a
 * serialization failure or a deadlock, which the next attempt is unlikely to meet again; after
 * the tenth attempt it pauses for one second, and up to a fifth more.
 */
RetryDecision DecideRetry(int attempts, int max_attempts, std::int64_t retry_delay_ms, bool at_once,
						  double jitter) noexcept;

} // namespace worker_pool
