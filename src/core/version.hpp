/*
 * version.hpp
 *	  The version of the library, and which versions of the extension's SQL objects it serves. Pure C++.
 *
 * Versions are "major.minor". A library serves the SQL objects of its own and earlier minor versions of
 * its major; a database with others is left alone and shown in the view `databases` with what to run.
 */
#pragma once

namespace worker_pool
{

/* Also default_version of worker_pool.control. */
inline constexpr char kVersion[] = "1.0";

enum class VersionMatch : unsigned char
{
	kServed,
	kTooOld,  /* ALTER EXTENSION ... UPDATE */
	kTooNew,  /* the library is to be updated */
	kUnknown, /* not a version of ours */
};

/* Reads digits at *text and moves it behind them; -1 when there are none, or too many. */
constexpr int
ReadNumber(const char **text)
{
	int number = -1;

	for (; **text >= '0' && **text <= '9'; ++*text)
	{
		number = (number < 0 ? 0 : number * 10) + (**text - '0');
		if (number > 999999)
			return -1;
	}
	return number;
}

/* Does a library of version `library` serve SQL objects of version `objects`? */
constexpr VersionMatch
MatchVersion(const char *library, const char *objects)
{
	const int library_major = ReadNumber(&library);
	const int objects_major = ReadNumber(&objects);

	if (library_major < 0 || objects_major < 0 || *library++ != '.' || *objects++ != '.')
		return VersionMatch::kUnknown;

	const int library_minor = ReadNumber(&library);
	const int objects_minor = ReadNumber(&objects);

	if (library_minor < 0 || objects_minor < 0 || *library != '\0' || *objects != '\0')
		return VersionMatch::kUnknown;
	if (objects_major != library_major)
		return objects_major < library_major ? VersionMatch::kTooOld : VersionMatch::kTooNew;
	return objects_minor <= library_minor ? VersionMatch::kServed : VersionMatch::kTooNew;
}

static_assert(MatchVersion("1.2", "1.0") == VersionMatch::kServed);
static_assert(MatchVersion(kVersion, kVersion) == VersionMatch::kServed);

} // namespace worker_pool
