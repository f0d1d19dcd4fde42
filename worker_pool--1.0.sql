/* worker_pool--1.0.sql: the SQL objects of worker_pool 1.0 */

-- complain if the script is sourced in psql, rather than by CREATE EXTENSION
\echo Use "CREATE EXTENSION worker_pool" to load this file. \quit

-- The schema is new or the script fails: nothing in it can be somebody else's. USAGE on it is what admits a
-- role; the functions in it stay executable by PUBLIC and check the caller's rights themselves.
CREATE SCHEMA worker_pool;

COMMENT ON SCHEMA worker_pool IS
'worker_pool: one bounded, supervised pool of background workers. GRANT USAGE ON SCHEMA worker_pool admits a role.';

-- Functions

CREATE FUNCTION worker_pool.start_worker(
	command pg_catalog.text,
	args pg_catalog.text[] DEFAULT '{}'::pg_catalog.text[],
	database pg_catalog.name DEFAULT pg_catalog.current_database(),
	run_as pg_catalog.name DEFAULT CURRENT_USER,
	name pg_catalog.text DEFAULT NULL::pg_catalog.text,
	timeout pg_catalog."interval" DEFAULT NULL::pg_catalog."interval",
	settings pg_catalog.jsonb DEFAULT '{}'::pg_catalog.jsonb,
	on_full pg_catalog.text DEFAULT 'queue'::pg_catalog.text,
	fresh pg_catalog.bool DEFAULT false)
RETURNS pg_catalog.int8
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_start_worker';

COMMENT ON FUNCTION worker_pool.start_worker(pg_catalog.text, pg_catalog.text[], pg_catalog.name, pg_catalog.name, pg_catalog.text, pg_catalog."interval", pg_catalog.jsonb, pg_catalog.text, pg_catalog.bool) IS
'Starts an SQL command in a background worker and returns its id at once. Immediate, not transactional: it runs even if the calling transaction rolls back.

command: one or several SQL statements; the syntax is checked at once (42601), COPY FROM STDIN and COPY TO STDOUT are refused (0A000).
args: texts bound to $1..$n of a single statement; see worker_pool.args().
database: where it runs (3D000, 55000 for templates and closed databases); another one than the current needs CONNECT there and, for a role that is no superuser, worker_pool.allow_cross_database (42501).
run_as: the role it runs as (42704); another one than the current needs the right to SET ROLE to it (42501) and must be able to log in (28000).
name: shown in views, at most 63 bytes (42622).
timeout: how long it may run, then it fails with 57014; NULL is worker_pool.default_timeout, ''0'' is none; without months, up to 24 days (22023).
settings: an object of settings for this command only, such as {"work_mem": "64MB"}; null takes one to its default (22023).
on_full: ''queue'' waits for a worker, ''error'' raises 53400 if none could take it now.
fresh: true runs it in a process of its own.

Errors besides: 22004 command is null; 53400 queue full (worker_pool.max_queued_commands); 53200 out of worker_pool.shared_memory; 55000 worker_pool not preloaded or not enabled.';

CREATE FUNCTION worker_pool.stop_worker(
	id pg_catalog.int8,
	grace pg_catalog."interval" DEFAULT '5 seconds'::pg_catalog."interval")
RETURNS pg_catalog.bool
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_stop_worker';

COMMENT ON FUNCTION worker_pool.stop_worker(pg_catalog.int8, pg_catalog."interval") IS
'Stops a command and does not wait for its end: a queued one is cancelled before it starts, a running one is cancelled and, if it still runs after the grace period, its process is terminated (never killed). Returns whether there was something to stop: false for a command that is finished.

id: what start_worker returned (42704 unknown, 22004 null).
grace: time between cancel and terminate; NULL is 5 seconds, ''0'' terminates at once (22023 when negative or with months).

Allowed to the owner, to members of the owner''s role and, where no superuser is involved, to members of pg_signal_backend (42501).';

CREATE FUNCTION worker_pool.wait_worker(
	id pg_catalog.int8,
	timeout pg_catalog."interval" DEFAULT NULL::pg_catalog."interval")
RETURNS pg_catalog.text
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_wait_worker';

COMMENT ON FUNCTION worker_pool.wait_worker(pg_catalog.int8, pg_catalog."interval") IS
'Waits for the end of a command and returns its state: succeeded, failed, cancelled or lost; queued or running when the time-out came first. The outcome stays to be fetched; an interrupted wait leaves the command alone.

id: what start_worker returned (42704 unknown, 22004 null).
timeout: how long to wait; NULL is worker_pool.default_timeout, ''0'' waits without limit (22023 when negative or with months).

The caller''s statement holds a snapshot while it waits; CALL worker_pool.await_worker(id) waits without one. A wait that can never end fails with 40P01. Allowed to the owner, to members of the owner''s role and of pg_read_all_stats (42501).';

CREATE PROCEDURE worker_pool.await_worker(
	id pg_catalog.int8,
	timeout pg_catalog."interval" DEFAULT NULL::pg_catalog."interval")
LANGUAGE c
AS 'MODULE_PATHNAME', 'worker_pool_await_worker';

COMMENT ON PROCEDURE worker_pool.await_worker(pg_catalog.int8, pg_catalog."interval") IS
'Ends the current transaction and waits for the end of a command without holding a snapshot, so that commands such as CREATE INDEX CONCURRENTLY or VACUUM do not wait for their own caller. Returns when the command is finished or the time-out came first; worker_pool.wait_worker(id) tells which.

id: what start_worker returned (42704 unknown, 22004 null).
timeout: how long to wait; NULL is worker_pool.default_timeout, ''0'' waits without limit (22023 when negative or with months).

Cannot be called in a transaction block or from a function (25001). Allowed as wait_worker.';

CREATE FUNCTION worker_pool.worker_result(
	id pg_catalog.int8)
RETURNS SETOF pg_catalog.record
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_worker_result';

COMMENT ON FUNCTION worker_pool.worker_result(pg_catalog.int8) IS
'Waits for the end of a command and returns its result: the rows of the last statement that returned rows, or the command tag as one text. Call it in FROM with a column definition list; one that does not fit (42804) leaves the outcome to be fetched with another. If the command failed, raises its own error. An outcome can be fetched once.

id: what start_worker returned (22004 null; 42704 unknown, already fetched, or pushed out by worker_pool.keep_outcomes or worker_pool.shared_memory; 55006 another session is fetching it).

Allowed to the owner and to members of the owner''s role (42501).';

CREATE FUNCTION worker_pool.worker_results(
	ids pg_catalog.int8[])
RETURNS SETOF pg_catalog.record
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_worker_results';

COMMENT ON FUNCTION worker_pool.worker_results(pg_catalog.int8[]) IS
'Waits for the end of several commands and returns the rows of all, in order of completion. If one failed, raises its error and consumes only that outcome; the others can be fetched as before. Otherwise as worker_result.

ids: what start_worker returned, each once (22023 twice, 22004 null, 2202E more than one dimension).';

CREATE FUNCTION worker_pool.run(
	command pg_catalog.text,
	args pg_catalog.text[] DEFAULT '{}'::pg_catalog.text[],
	database pg_catalog.name DEFAULT pg_catalog.current_database(),
	run_as pg_catalog.name DEFAULT CURRENT_USER,
	timeout pg_catalog."interval" DEFAULT NULL::pg_catalog."interval",
	settings pg_catalog.jsonb DEFAULT '{}'::pg_catalog.jsonb,
	fresh pg_catalog.bool DEFAULT false)
RETURNS pg_catalog.text
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_run';

COMMENT ON FUNCTION worker_pool.run(pg_catalog.text, pg_catalog.text[], pg_catalog.name, pg_catalog.name, pg_catalog."interval", pg_catalog.jsonb, pg_catalog.bool) IS
'Starts an SQL command in a background worker, waits for its end and returns its command tag, such as INSERT 0 1: an autonomous transaction. Raises the command''s own error if it failed; its notices and warnings reach the caller. Interrupting the call cancels the command.

Arguments and their errors as start_worker. Errors besides: 40P01 a wait that can never end; 08006 the process of the command went away.';

CREATE FUNCTION worker_pool.query(
	command pg_catalog.text,
	args pg_catalog.text[] DEFAULT '{}'::pg_catalog.text[],
	database pg_catalog.name DEFAULT pg_catalog.current_database(),
	run_as pg_catalog.name DEFAULT CURRENT_USER,
	timeout pg_catalog."interval" DEFAULT NULL::pg_catalog."interval",
	settings pg_catalog.jsonb DEFAULT '{}'::pg_catalog.jsonb,
	fresh pg_catalog.bool DEFAULT false)
RETURNS SETOF pg_catalog.record
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_query';

COMMENT ON FUNCTION worker_pool.query(pg_catalog.text, pg_catalog.text[], pg_catalog.name, pg_catalog.name, pg_catalog."interval", pg_catalog.jsonb, pg_catalog.bool) IS
'Starts an SQL command in a background worker, waits for its end and returns its rows. Call it in FROM with a column definition list (42804 if it does not fit), as in: SELECT * FROM worker_pool.query(''select version()'') AS (v text). Otherwise as run.

Arguments and their errors as start_worker.';

CREATE FUNCTION worker_pool.args(VARIADIC pg_catalog."any")
RETURNS pg_catalog.text[]
LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_args';

COMMENT ON FUNCTION worker_pool.args(pg_catalog."any") IS
'The values as texts for the argument args of other functions: each value''s output function under fixed DateStyle, IntervalStyle and extra_float_digits, whatever the session''s are; a worker reads them under the same. As in: worker_pool.run(''insert into t values ($1, $2)'', worker_pool.args(now(), 0.1)).';

-- Views
--
-- Each is a SELECT over a C function. USAGE on the schema is the gate: who has it sees every row, but
-- command texts and errors only where the function lets him (owner, members of the owner's role, superusers,
-- pg_read_all_stats).

CREATE FUNCTION worker_pool._workers(
	OUT slot integer,
	OUT pid integer,
	OUT kind pg_catalog.text,
	OUT state pg_catalog.text,
	OUT database pg_catalog.name,
	OUT username pg_catalog.name,
	OUT command_id bigint,
	OUT task_id bigint,
	OUT service pg_catalog.text,
	OUT name pg_catalog.text,
	OUT command pg_catalog.text,
	OUT started_at pg_catalog.timestamptz,
	OUT state_changed_at pg_catalog.timestamptz,
	OUT commands_done bigint,
	OUT progress double precision,
	OUT message pg_catalog.text)
RETURNS SETOF pg_catalog.record
LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 8
AS 'MODULE_PATHNAME', 'worker_pool_workers';
COMMENT ON FUNCTION worker_pool._workers() IS 'rows of the view worker_pool.workers';

CREATE VIEW worker_pool.workers AS
	SELECT w.slot, w.pid, w.kind, w.state, w.database, w.username, w.command_id, w.task_id, w.service,
		w.name, w.command, w.started_at, w.state_changed_at, w.commands_done, w.progress, w.message
	FROM worker_pool._workers() AS w;
COMMENT ON VIEW worker_pool.workers IS 'workers of the pool, one row for each slot in use';
COMMENT ON COLUMN worker_pool.workers.slot IS 'number of the slot, from 0 to worker_pool.max_workers - 1';
COMMENT ON COLUMN worker_pool.workers.pid IS 'process ID; NULL until the process has come up';
COMMENT ON COLUMN worker_pool.workers.kind IS 'what the worker is for: command or visit';
COMMENT ON COLUMN worker_pool.workers.state IS 'starting, idle, running or stopping';
COMMENT ON COLUMN worker_pool.workers.database IS 'database that the worker is connected to; NULL when it was dropped';
COMMENT ON COLUMN worker_pool.workers.username IS 'role that the worker is connected as; NULL when it was dropped';
COMMENT ON COLUMN worker_pool.workers.command_id IS 'id of the command that it runs; NULL when none';
COMMENT ON COLUMN worker_pool.workers.task_id IS 'always NULL in this version';
COMMENT ON COLUMN worker_pool.workers.service IS 'always NULL in this version';
COMMENT ON COLUMN worker_pool.workers.name IS 'name that the command was given';
COMMENT ON COLUMN worker_pool.workers.command IS 'text of the command; NULL for those who may not see it';
COMMENT ON COLUMN worker_pool.workers.started_at IS 'when its process came up';
COMMENT ON COLUMN worker_pool.workers.state_changed_at IS 'when it entered its state, or began its command';
COMMENT ON COLUMN worker_pool.workers.commands_done IS 'number of commands that the process has run to their end';
COMMENT ON COLUMN worker_pool.workers.progress IS 'always NULL in this version';
COMMENT ON COLUMN worker_pool.workers.message IS 'always NULL in this version';
GRANT SELECT ON worker_pool.workers TO PUBLIC;

CREATE FUNCTION worker_pool._commands(
	OUT id bigint,
	OUT name pg_catalog.text,
	OUT state pg_catalog.text,
	OUT database pg_catalog.name,
	OUT username pg_catalog.name,
	OUT slot integer,
	OUT pid integer,
	OUT command pg_catalog.text,
	OUT submitted_at pg_catalog.timestamptz,
	OUT started_at pg_catalog.timestamptz,
	OUT finished_at pg_catalog.timestamptz,
	OUT rows bigint,
	OUT sqlstate pg_catalog.text,
	OUT error pg_catalog.text)
RETURNS SETOF pg_catalog.record
LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 100
AS 'MODULE_PATHNAME', 'worker_pool_commands';
COMMENT ON FUNCTION worker_pool._commands() IS 'rows of the view worker_pool.commands';

CREATE VIEW worker_pool.commands AS
	SELECT c.id, c.name, c.state, c.database, c.username, c.slot, c.pid, c.command, c.submitted_at,
		c.started_at, c.finished_at, c.rows, c.sqlstate, c.error
	FROM worker_pool._commands() AS c;
COMMENT ON VIEW worker_pool.commands IS 'commands that are queued, running, or finished and not yet fetched';
COMMENT ON COLUMN worker_pool.commands.id IS 'id that start_worker returned';
COMMENT ON COLUMN worker_pool.commands.name IS 'name that the command was given';
COMMENT ON COLUMN worker_pool.commands.state IS 'queued, running, succeeded, failed, cancelled or lost';
COMMENT ON COLUMN worker_pool.commands.database IS 'database in which it runs; NULL when it was dropped';
COMMENT ON COLUMN worker_pool.commands.username IS 'role as which it runs; NULL when it was dropped';
COMMENT ON COLUMN worker_pool.commands.slot IS 'slot of the worker that runs it; NULL otherwise';
COMMENT ON COLUMN worker_pool.commands.pid IS 'process ID of the worker that runs it; NULL otherwise';
COMMENT ON COLUMN worker_pool.commands.command IS 'text of the command; NULL for those who may not see it';
COMMENT ON COLUMN worker_pool.commands.submitted_at IS 'when it was submitted';
COMMENT ON COLUMN worker_pool.commands.started_at IS 'when a worker took it';
COMMENT ON COLUMN worker_pool.commands.finished_at IS 'when it ended';
COMMENT ON COLUMN worker_pool.commands.rows IS 'number of rows of its result, once it has succeeded';
COMMENT ON COLUMN worker_pool.commands.sqlstate IS 'SQLSTATE of its error; NULL for those who may not see it';
COMMENT ON COLUMN worker_pool.commands.error IS 'message of its error, cut to 191 bytes; NULL for those who may not see it';
GRANT SELECT ON worker_pool.commands TO PUBLIC;

CREATE FUNCTION worker_pool._status(
	OUT version pg_catalog.text,
	OUT launcher_pid integer,
	OUT launcher_started_at pg_catalog.timestamptz,
	OUT max_workers integer,
	OUT free integer,
	OUT starting integer,
	OUT idle integer,
	OUT running integer,
	OUT stopping integer,
	OUT queued integer,
	OUT oldest_queued_at pg_catalog.timestamptz,
	OUT in_recovery boolean,
	OUT enabled boolean,
	OUT shared_memory_used bigint,
	OUT shared_memory_size bigint)
RETURNS SETOF pg_catalog.record
LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 1
AS 'MODULE_PATHNAME', 'worker_pool_status';
COMMENT ON FUNCTION worker_pool._status() IS 'the row of the view worker_pool.status';

CREATE VIEW worker_pool.status AS
	SELECT s.version, s.launcher_pid, s.launcher_started_at, s.max_workers, s.free, s.starting, s.idle,
		s.running, s.stopping, s.queued, s.oldest_queued_at, s.in_recovery, s.enabled,
		s.shared_memory_used, s.shared_memory_size
	FROM worker_pool._status() AS s;
COMMENT ON VIEW worker_pool.status IS 'the pool in one row';
COMMENT ON COLUMN worker_pool.status.version IS 'version of the loaded library';
COMMENT ON COLUMN worker_pool.status.launcher_pid IS 'process ID of the launcher; NULL when it is not running';
COMMENT ON COLUMN worker_pool.status.launcher_started_at IS 'when the launcher came up';
COMMENT ON COLUMN worker_pool.status.max_workers IS 'number of slots';
COMMENT ON COLUMN worker_pool.status.free IS 'slots without a worker';
COMMENT ON COLUMN worker_pool.status.starting IS 'workers that are coming up';
COMMENT ON COLUMN worker_pool.status.idle IS 'warm workers without a command';
COMMENT ON COLUMN worker_pool.status.running IS 'workers that run a command';
COMMENT ON COLUMN worker_pool.status.stopping IS 'workers on their way out';
COMMENT ON COLUMN worker_pool.status.queued IS 'commands that wait for a worker';
COMMENT ON COLUMN worker_pool.status.oldest_queued_at IS 'when the oldest of them was submitted';
COMMENT ON COLUMN worker_pool.status.in_recovery IS 'true on a standby';
COMMENT ON COLUMN worker_pool.status.enabled IS 'value of worker_pool.enabled';
COMMENT ON COLUMN worker_pool.status.shared_memory_used IS 'bytes of worker_pool.shared_memory in use for texts, arguments, errors and results';
COMMENT ON COLUMN worker_pool.status.shared_memory_size IS 'bytes of worker_pool.shared_memory';
GRANT SELECT ON worker_pool.status TO PUBLIC;

CREATE FUNCTION worker_pool._databases(
	OUT database pg_catalog.name,
	OUT version pg_catalog.text,
	OUT paused boolean,
	OUT ready bigint,
	OUT running bigint,
	OUT failed bigint,
	OUT oldest_ready_at pg_catalog.timestamptz,
	OUT next_due pg_catalog.timestamptz,
	OUT idle pg_catalog.text,
	OUT last_error pg_catalog.text)
RETURNS SETOF pg_catalog.record
LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 20
AS 'MODULE_PATHNAME', 'worker_pool_databases';
COMMENT ON FUNCTION worker_pool._databases() IS 'rows of the view worker_pool.databases';

CREATE VIEW worker_pool.databases AS
	SELECT d.database, d.version, d.paused, d.ready, d.running, d.failed, d.oldest_ready_at, d.next_due,
		d.idle, d.last_error
	FROM worker_pool._databases() AS d;
COMMENT ON VIEW worker_pool.databases IS 'all databases of the cluster as the pool knows them';
COMMENT ON COLUMN worker_pool.databases.database IS 'name of the database';
COMMENT ON COLUMN worker_pool.databases.version IS 'version of the extension there; NULL where it is not installed, or not known yet';
COMMENT ON COLUMN worker_pool.databases.paused IS 'always false in this version';
COMMENT ON COLUMN worker_pool.databases.ready IS 'always 0 in this version';
COMMENT ON COLUMN worker_pool.databases.running IS 'always 0 in this version';
COMMENT ON COLUMN worker_pool.databases.failed IS 'always 0 in this version';
COMMENT ON COLUMN worker_pool.databases.oldest_ready_at IS 'always NULL in this version';
COMMENT ON COLUMN worker_pool.databases.next_due IS 'always NULL in this version';
COMMENT ON COLUMN worker_pool.databases.idle IS 'why the pool does not serve the database, and what to do about it; NULL when it does';
COMMENT ON COLUMN worker_pool.databases.last_error IS 'why the last look into the database failed; NULL for those who may not see it';
GRANT SELECT ON worker_pool.databases TO PUBLIC;
