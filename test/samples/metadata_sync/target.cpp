/*
 * target.cpp
 *	  libpq inside a service. All waiting is done in WaitForTarget(): on the socket, the latch and the time at once.
 *
 * No C++ object here has a destructor, because every call of the server may longjmp. What has to be given back is
 * owned otherwise: the connection by a static variable that the next round looks at, a result by the memory context of
 * the batch. After an ERROR or a stop in the middle of an exchange the connection is closed, whoever finds it first;
 * the target then rolls back, or has committed already, which the next connection asks it.
 */
#include "target.hpp"

extern "C"
{
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
}

#include "libpq-fe.h"
#include "worker_pool/worker_pool.hpp"

/* In another header from 14 on. */
#ifndef PG_WAIT_EXTENSION
extern "C"
{
#include "utils/wait_event.h"
}
#endif

namespace metadata_sync
{

namespace
{

PGconn *connection = nullptr;
char *connected_to = nullptr;

void
CloseTarget()
{
	if (connection == nullptr)
		return;
	PQfinish(connection);
	connection = nullptr;
	ReleaseExternalFD();
}

/* Raises what libpq says, and closes. */
[[noreturn]] void
RaiseLost(const char *what)
{
	const char *why = pchomp(PQerrorMessage(connection));

	CloseTarget();
	ereport(ERROR,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("%s", what),
			 errdetail_internal("%s", why)));
}

/*
 * Sleeps until the socket can be read or written (events), or somebody sets the latch. False: the service is to stop,
 * and the connection is closed.
 */
bool
WaitForTarget(int events, TimestampTz deadline)
{
	const long left = static_cast<long>((deadline - GetCurrentTimestamp()) / 1000);

	if (left <= 0)
	{
		CloseTarget();
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("the central database does not answer in time")));
	}
	const int fired =
		WaitLatchOrSocket(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH | events,
						  PQsocket(connection), left, PG_WAIT_EXTENSION);

	if (fired & WL_LATCH_SET)
		ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (worker_pool_cpp::Api()->should_stop())
	{
		CloseTarget();
		return false;
	}
	return true;
}

TimestampTz
DeadlineAfter(int seconds)
{
	return GetCurrentTimestamp() + seconds * USECS_PER_SEC;
}

/* Is the connection of the last round as it should be? Reads twice: the target's last words, and then its end. */
bool
StillConnected(const char *conninfo)
{
	return connection != nullptr && strcmp(connected_to, conninfo) == 0 &&
		   PQtransactionStatus(connection) == PQTRANS_IDLE && PQconsumeInput(connection) &&
		   PQconsumeInput(connection) && PQstatus(connection) == CONNECTION_OK;
}

void
BeginToConnect(const char *conninfo)
{
	/* In the encoding of this database: the target converts. The last word is the user's, if he sets one. */
	const char *const keywords[] = {"client_encoding", "fallback_application_name", "dbname",
									nullptr};
	const char *const values[] = {GetDatabaseEncodingName(), "metadata_sync", conninfo, nullptr};

	if (connected_to != nullptr)
		pfree(connected_to);
	connected_to = nullptr;
	connected_to = MemoryContextStrdup(TopMemoryContext, conninfo);
	if (!AcquireExternalFD())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("no file descriptor is left for a connection to the central database")));
	connection = PQconnectStartParams(keywords, values, 1);
	if (connection == nullptr)
	{
		ReleaseExternalFD();
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	}
}

void
ClearResult(void *result)
{
	PQclear(static_cast<PGresult *>(result));
}

/* The next result; nullptr: there is no more. Goes with CurrentMemoryContext. False: the service is to stop. */
bool
NextResult(TimestampTz deadline, PGresult **result)
{
	auto *owner = static_cast<MemoryContextCallback *>(
		MemoryContextAllocZero(CurrentMemoryContext, sizeof(MemoryContextCallback)));

	while (PQisBusy(connection))
	{
		if (!WaitForTarget(WL_SOCKET_READABLE, deadline))
			return false;
		if (!PQconsumeInput(connection))
			RaiseLost("lost the connection to the central database");
	}
	*result = PQgetResult(connection);
	owner->func = ClearResult;
	owner->arg = *result;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, owner);
	return true;
}

/* Sends what libpq still has, taking in what comes meanwhile. False: the service is to stop. */
bool
Flush(TimestampTz deadline)
{
	for (;;)
	{
		const int left = PQflush(connection);

		if (left == 0)
			return true;
		if (left < 0)
			RaiseLost("lost the connection to the central database");
		if (!WaitForTarget(WL_SOCKET_READABLE | WL_SOCKET_WRITEABLE, deadline))
			return false;
		if (!PQconsumeInput(connection))
			RaiseLost("lost the connection to the central database");
	}
}

/* Raises the error that the target has answered with. */
[[noreturn]] void
RaiseRefused(const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	if (state == nullptr || message == nullptr)
		RaiseLost("lost the connection to the central database");
	/* In doubt whether the two agree: the next connection asks. */
	CloseTarget();
	ereport(ERROR,
			(errcode(MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4])),
			 errmsg("the central database refused changes: %s", message)));
}

} // namespace

bool
OpenTarget(const char *conninfo, int timeout_s, bool *fresh)
{
	const TimestampTz deadline = DeadlineAfter(timeout_s);

	*fresh = !StillConnected(conninfo);
	if (!*fresh)
		return true;
	CloseTarget();
	BeginToConnect(conninfo);

	PostgresPollingStatusType next = PGRES_POLLING_WRITING;

	while (PQstatus(connection) != CONNECTION_BAD && next != PGRES_POLLING_OK)
	{
		if (!WaitForTarget(next == PGRES_POLLING_READING ? WL_SOCKET_READABLE : WL_SOCKET_WRITEABLE,
						   deadline))
			return false;
		next = PQconnectPoll(connection);
		if (next == PGRES_POLLING_FAILED)
			break;
	}
	if (PQstatus(connection) != CONNECTION_OK || PQsetnonblocking(connection, 1) != 0)
		RaiseLost("could not connect to the central database");
	return true;
}

bool
ApplyAtTarget(const char *source, const char *database, const char *changes, int timeout_s,
			  Position *position)
{
	const TimestampTz deadline = DeadlineAfter(timeout_s);
	const char *const values[] = {source, database, changes};
	PGresult *result = nullptr;
	PGresult *end = nullptr;

	if (!PQsendQueryParams(
			connection,
			"SELECT last, mark FROM metadata_central.apply($1::uuid, $2::text, $3::jsonb)", 3,
			nullptr, values, nullptr, nullptr, 0))
		RaiseLost("could not send to the central database");
	if (!Flush(deadline) || !NextResult(deadline, &result))
		return false;
	if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1)
		RaiseRefused(result);
	/* The connection is idle, and the transaction there committed, only after the end. */
	if (!NextResult(deadline, &end))
		return false;
	position->number = PQgetvalue(result, 0, 0);
	position->mark = PQgetisnull(result, 0, 1) ? nullptr : PQgetvalue(result, 0, 1);
	return true;
}

} // namespace metadata_sync
