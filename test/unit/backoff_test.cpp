/*
 * backoff_test.cpp
 *	  The back-off doubles, is bounded, and no argument makes it overflow.
 */
#include "core/backoff.hpp"

#include <gtest/gtest.h>

#include <climits>

namespace worker_pool
{

namespace
{

static_assert(BackoffDelayMs(3, 100, 10000) == 400, "usable at compile time");

TEST(Backoff, DoublesUpToTheMaximum)
{
	EXPECT_EQ(BackoffDelayMs(0, 1000, 300000), 0);
	EXPECT_EQ(BackoffDelayMs(1, 1000, 300000), 1000);
	EXPECT_EQ(BackoffDelayMs(2, 1000, 300000), 2000);
	EXPECT_EQ(BackoffDelayMs(9, 1000, 300000), 256000);
	EXPECT_EQ(BackoffDelayMs(10, 1000, 300000), 300000);
	EXPECT_EQ(BackoffDelayMs(11, 1000, 300000), 300000);
}

TEST(Backoff, InitialAboveTheMaximumIsTheMaximum)
{
	EXPECT_EQ(BackoffDelayMs(1, 5000, 1000), 1000);
}

TEST(Backoff, NeverOverflows)
{
	EXPECT_EQ(BackoffDelayMs(INT_MAX, 1, INT64_MAX), INT64_MAX);
	EXPECT_EQ(BackoffDelayMs(INT_MAX, INT64_MAX, INT64_MAX), INT64_MAX);
	EXPECT_EQ(BackoffDelayMs(64, 3, INT64_MAX), INT64_MAX);
	EXPECT_EQ(BackoffDelayMs(63, 1, INT64_MAX), INT64_C(1) << 62);
}

TEST(Backoff, NonsenseIsNoDelay)
{
	EXPECT_EQ(BackoffDelayMs(-1, 1000, 1000), 0);
	EXPECT_EQ(BackoffDelayMs(5, 0, 1000), 0);
	EXPECT_EQ(BackoffDelayMs(5, -7, 1000), 0);
	EXPECT_EQ(BackoffDelayMs(5, 1000, 0), 0);
	EXPECT_EQ(BackoffDelayMs(INT_MIN, INT64_MIN, INT64_MIN), 0);
}

TEST(Backoff, NeverShrinks)
{
	std::int64_t before = 0;

	for (int failures = 0; failures < 200; ++failures)
	{
		const std::int64_t delay = BackoffDelayMs(failures, 7, 123456789);

		EXPECT_GE(delay, before);
		EXPECT_LE(delay, 123456789);
		before = delay;
	}
}

} // namespace

} // namespace worker_pool
