/*
 * version_test.cpp
 *	  Which SQL objects a library serves.
 */
#include "core/version.hpp"

#include <gtest/gtest.h>

namespace worker_pool
{

namespace
{

TEST(Version, OwnAndEarlierMinorsOfTheMajorAreServed)
{
	EXPECT_EQ(MatchVersion("1.3", "1.3"), VersionMatch::kServed);
	EXPECT_EQ(MatchVersion("1.3", "1.0"), VersionMatch::kServed);
	EXPECT_EQ(MatchVersion("1.10", "1.9"), VersionMatch::kServed);
	EXPECT_EQ(MatchVersion(kVersion, kVersion), VersionMatch::kServed);
}

TEST(Version, LaterMinorsAndOtherMajorsAreNot)
{
	EXPECT_EQ(MatchVersion("1.3", "1.4"), VersionMatch::kTooNew);
	EXPECT_EQ(MatchVersion("1.9", "1.10"), VersionMatch::kTooNew);
	EXPECT_EQ(MatchVersion("1.3", "2.0"), VersionMatch::kTooNew);
	EXPECT_EQ(MatchVersion("2.0", "1.9"), VersionMatch::kTooOld);
}

TEST(Version, NonsenseIsUnknown)
{
	for (const char *text : {"", "1", "1.", ".1", "1.x", "x.1", "1.2.3", "1.2beta", " 1.2", "-1.2",
							 "1.99999999999999999999"})
		EXPECT_EQ(MatchVersion("1.3", text), VersionMatch::kUnknown) << text;
}

TEST(Version, NumbersAreReadUpToTheFirstOtherCharacter)
{
	const char *text = "042.7";

	EXPECT_EQ(ReadNumber(&text), 42);
	EXPECT_STREQ(text, ".7");
	EXPECT_EQ(ReadNumber(&text), -1);
	EXPECT_STREQ(text, ".7");
}

} // namespace

} // namespace worker_pool
