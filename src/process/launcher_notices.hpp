/*
 * launcher_notices.hpp
 *	  What the launcher writes into the server's log about services. Launcher only; launcher_services.cpp finds it.
 */
#pragma once

#include "process/launcher.hpp"

namespace worker_pool
{

enum class NoticeKind : uint8
{
	kTrouble, /* a crash, a start that failed, no room */
	kQuarantine,
	kDoesNotStop,
	kOverrun,
};

/* Something to be logged, copied under the lock. */
struct Notice
{
	NoticeKind kind;
	bool start_failed;
	bool no_room;
	Oid database;
	char name[NAMEDATALEN];
	pid_t pid;
	TimestampTz since;		/* kDoesNotStop: it was told; kOverrun: its time was over */
	TimestampTz next_start; /* kTrouble */
	BriefError trouble;
};

/*
 * Logs them, a WARNING each, in a transaction of its own: the names of databases stand in the catalog. None where
 * the server is being stopped and one of them is of a process that this has ended. Without a lock.
 */
void LogNotices(const Notice *notices, int count);

} // namespace worker_pool
