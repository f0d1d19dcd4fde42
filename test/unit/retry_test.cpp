/*
 * retry_test.cpp
 *	  A failed task is tried again after a delay that doubles, is bounded, and is spread by a tenth.
 */
#include "core/retry.hpp"

#include <gtest/gtest.h>

#include <climits>
#include <cmath>
#include <limits>

namespace worker_pool
{

namespace
{

constexpr double kMiddle = 0.5;

std::int64_t
Delay(int attempts, std::int64_t retry_delay_ms, double jitter = kMiddle)
{
	const RetryDecision decision = DecideRetry(attempts, INT_MAX, retry_delay_ms, false, jitter);

	EXPECT_FALSE(decision.final);
	return decision.delay_ms;
}

TEST(Retry, TheLastAttemptIsFinal)
{
	EXPECT_FALSE(DecideRetry(1, 3, 5000, false, kMiddle).final);
	EXPECT_FALSE(DecideRetry(2, 3, 5000, false, kMiddle).final);
	EXPECT_TRUE(DecideRetry(3, 3, 5000, false, kMiddle).final);
	EXPECT_TRUE(DecideRetry(4, 3, 5000, false, kMiddle).final);
	EXPECT_TRUE(DecideRetry(1, 1, 5000, false, kMiddle).final);
	EXPECT_TRUE(DecideRetry(1, 0, 5000, false, kMiddle).final);
	EXPECT_TRUE(DecideRetry(INT_MAX, INT_MAX, 5000, false, kMiddle).final);
}

TEST(Retry, ASerializationFailureIsTriedAtOnceButNotForEver)
{
	EXPECT_FALSE(DecideRetry(1, 3, 5000, true, kMiddle).final);
	EXPECT_EQ(DecideRetry(1, 3, 5000, true, kMiddle).delay_ms, 0);
	EXPECT_TRUE(DecideRetry(3, 3, 5000, true, kMiddle).final);
}

TEST(Retry, ASerializationFailureThatStaysPauses)
{
	EXPECT_EQ(DecideRetry(10, 1000, 5000, true, kMiddle).delay_ms, 0);
	EXPECT_EQ(DecideRetry(11, 1000, 5000, true, 0.0).delay_ms, 1000);
	EXPECT_EQ(DecideRetry(11, 1000, 5000, true, kMiddle).delay_ms, 1100);
	EXPECT_EQ(DecideRetry(999, 1000, 0, true, 1.0).delay_ms, 1200);
	EXPECT_EQ(DecideRetry(11, 1000, 5000, true, std::numeric_limits<double>::quiet_NaN()).delay_ms,
			  1000);
	EXPECT_TRUE(DecideRetry(1000, 1000, 5000, true, kMiddle).final);
}

TEST(Retry, TheDelayDoublesUpToAnHour)
{
	EXPECT_EQ(Delay(1, 5000), 5000);
	EXPECT_EQ(Delay(2, 5000), 10000);
	EXPECT_EQ(Delay(3, 5000), 20000);
	EXPECT_EQ(Delay(10, 5000), 2560000);
	EXPECT_EQ(Delay(11, 5000), kMaxRetryDelayMs);
	EXPECT_EQ(Delay(1000, 5000), kMaxRetryDelayMs);
}

TEST(Retry, JitterIsATenthAndNeverLeadsAboveTheHour)
{
	EXPECT_EQ(Delay(1, 10000, 0.0), 9000);
	EXPECT_EQ(Delay(1, 10000, 0.25), 9500);
	EXPECT_EQ(Delay(1, 10000, 1.0), 11000);
	EXPECT_EQ(Delay(1000, 5000, 0.0), kMaxRetryDelayMs - kMaxRetryDelayMs / 10);
	EXPECT_EQ(Delay(1000, 5000, 1.0), kMaxRetryDelayMs);
	/* too short to be spread */
	EXPECT_EQ(Delay(1, 3, 0.0), 3);
	EXPECT_EQ(Delay(1, 3, 1.0), 3);
}

TEST(Retry, ALongerDelayIsTakenAsItIs)
{
	const std::int64_t day_ms = INT64_C(86400000);

	EXPECT_EQ(Delay(1, day_ms), day_ms);
	EXPECT_EQ(Delay(7, day_ms), day_ms);
	EXPECT_EQ(Delay(1, day_ms, 1.0), day_ms);
	EXPECT_EQ(Delay(1, day_ms, 0.0), day_ms - day_ms / 10);
}

TEST(Retry, NoDelayIsNoDelay)
{
	EXPECT_EQ(Delay(1, 0), 0);
	EXPECT_EQ(Delay(9, 0, 1.0), 0);
	EXPECT_EQ(Delay(1, -5), 0);
	EXPECT_EQ(Delay(1, INT64_MIN, 1.0), 0);
}

TEST(Retry, NonsenseNeverOverflows)
{
	const double nan = std::numeric_limits<double>::quiet_NaN();
	const double infinity = std::numeric_limits<double>::infinity();

	EXPECT_EQ(Delay(1, 10000, nan), 9000);
	EXPECT_EQ(Delay(1, 10000, -3.0), 9000);
	EXPECT_EQ(Delay(1, 10000, infinity), 11000);
	EXPECT_EQ(Delay(1, 10000, 17.0), 11000);
	EXPECT_EQ(Delay(0, 5000), 5000);
	EXPECT_EQ(Delay(INT_MIN, 5000), 5000);
	for (const double jitter : {0.0, 0.3, 0.999, 1.0})
	{
		const std::int64_t delay_ms = Delay(INT_MAX - 1, INT64_MAX, jitter);

		EXPECT_GT(delay_ms, INT64_MAX / 2);
	}
}

TEST(Retry, NeverShrinksWithTheAttempts)
{
	std::int64_t before = 0;

	for (int attempts = 1; attempts < 100; ++attempts)
	{
		const std::int64_t delay_ms = Delay(attempts, 7);

		EXPECT_GE(delay_ms, before);
		EXPECT_LE(delay_ms, kMaxRetryDelayMs);
		before = delay_ms;
	}
}

} // namespace

} // namespace worker_pool
