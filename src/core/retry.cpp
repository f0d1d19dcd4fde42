/*
 * retry.cpp
 *	  See retry.hpp.
 */
#include "core/retry.hpp"

#include <algorithm>
#include <cmath>

namespace worker_pool
{

RetryDecision
DecideRetry(int attempts, int max_attempts, std::int64_t retry_delay_ms, bool at_once,
			double jitter) noexcept
{
	if (attempts >= max_attempts)
		return {true, 0};
	/* written so that not-a-number counts as 0 */
	const double fraction = jitter > 0 ? std::min(jitter, 1.0) : 0.0;

	if (at_once && attempts <= kAttemptsAtOnce)
		return {false, 0};
	if (at_once)
		return {false, kPauseMs + static_cast<std::int64_t>(
									  std::llround(static_cast<double>(kPauseMs) / 5 * fraction))};

	const std::int64_t limit_ms = std::max(kMaxRetryDelayMs, retry_delay_ms);
	const std::int64_t delay_ms = BackoffDelayMs(std::max(attempts, 1), retry_delay_ms, limit_ms);
	const std::int64_t tenth_ms = delay_ms / 10;
	/* rounded: 2 * tenth is below 2^61, so is the product */
	const auto more_ms =
		static_cast<std::int64_t>(std::llround(2.0 * static_cast<double>(tenth_ms) * fraction));

	/* the tenth that is added never leads above the limit, nor above what fits */
	return {false, delay_ms - tenth_ms + std::min(more_ms, limit_ms - (delay_ms - tenth_ms))};
}

} // namespace worker_pool
