/*
 * commit_to_start.c
 *	  Row 10: how long after a COMMIT does work start that the transaction asked for? Prints two medians in
 *	  microseconds, of a task (worker_pool.enqueue) and of LISTEN/NOTIFY, alternated.
 *
 * Both times are clock_timestamp() of the server: one taken by the last statement before COMMIT, the other by the first
 * statement of the work: the task's own, or the one that a listening client sends when it has the notification.
 *
 *	commit_to_start ROUNDS
 */
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

static void
Fail(PGconn *connection)
{
	fprintf(stderr, "commit_to_start: %s", PQerrorMessage(connection));
	exit(1);
}

/* The first column of the first row, as a number; 0 where there is none. */
static double
Number(PGconn *connection, const char *sql)
{
	PGresult *result = PQexec(connection, sql);
	double value = 0;

	if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
		Fail(connection);
	if (PQntuples(result) > 0)
		value = atof(PQgetvalue(result, 0, 0));
	PQclear(result);
	return value;
}

static int
Compare(const void *a, const void *b)
{
	const double x = *(const double *) a;
	const double y = *(const double *) b;

	return x < y ? -1 : x > y;
}

static const char kNow[] = "select extract(epoch from clock_timestamp()) * 1e6";

static double
Task(PGconn *session)
{
	double started;
	double before;

	Number(session, "begin");
	Number(session,
		   "select worker_pool.enqueue('insert into bench.started (kind, late) "
		   "values (''task'', extract(epoch from clock_timestamp()) * 1e6)', history => 'off')");
	before = Number(session, kNow);
	Number(session, "commit");
	do
		started = Number(session, "delete from bench.started where kind = 'task' returning late");
	while (started == 0);
	return started - before;
}

static double
Notify(PGconn *session, PGconn *listener)
{
	double before;
	double started;
	PGnotify *notification = NULL;

	Number(session, "begin");
	Number(session, "notify bench");
	before = Number(session, kNow);
	Number(session, "commit");
	while ((notification = PQnotifies(listener)) == NULL)
	{
		struct pollfd wait = {PQsocket(listener), POLLIN, 0};

		poll(&wait, 1, 1000);
		if (!PQconsumeInput(listener))
			Fail(listener);
	}
	PQfreemem(notification);
	started = Number(listener, kNow);
	return started - before;
}

int
main(int argc, char **argv)
{
	const int rounds = argc > 1 ? atoi(argv[1]) : 200;
	PGconn *session = PQconnectdb("");
	PGconn *listener = PQconnectdb("");
	double *tasks = malloc(sizeof(double) * (size_t) rounds);
	double *notifications = malloc(sizeof(double) * (size_t) rounds);

	if (PQstatus(session) != CONNECTION_OK || PQstatus(listener) != CONNECTION_OK)
		Fail(session);
	Number(listener, "listen bench");
	for (int i = 0; i < 20; i++)
	{
		Task(session);
		Notify(session, listener);
	}
	for (int i = 0; i < rounds; i++)
	{
		tasks[i] = Task(session);
		notifications[i] = Notify(session, listener);
	}
	qsort(tasks, (size_t) rounds, sizeof(double), Compare);
	qsort(notifications, (size_t) rounds, sizeof(double), Compare);
	printf("%.1f %.1f\n", tasks[rounds / 2], notifications[rounds / 2]);
	PQfinish(session);
	PQfinish(listener);
	return 0;
}
