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

id: what start_worker returned (42704 unknown, 22004 null), or what enqueue returned: then as cancel_task; that of a service is refused (0A000, see stop_service).
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
COMMENT ON COLUMN worker_pool.workers.kind IS 'what the worker is for: command, task, service, visit, or lease (a background worker of another extension)';
COMMENT ON COLUMN worker_pool.workers.state IS 'starting, idle, running or stopping';
COMMENT ON COLUMN worker_pool.workers.database IS 'database that the worker is connected to, or that its service belongs to; NULL when it was dropped, and for a lease';
COMMENT ON COLUMN worker_pool.workers.username IS 'role that the worker is connected as; NULL when it was dropped, and for a lease';
COMMENT ON COLUMN worker_pool.workers.command_id IS 'id of the command that it runs; NULL when none';
COMMENT ON COLUMN worker_pool.workers.task_id IS 'id of the task that it runs, in its database; NULL when none';
COMMENT ON COLUMN worker_pool.workers.service IS 'name of the service whose process it is; NULL for other kinds';
COMMENT ON COLUMN worker_pool.workers.name IS 'name that the command or task was given; name of the service, or of the lease';
COMMENT ON COLUMN worker_pool.workers.command IS 'text of the command; NULL for those who may not see it';
COMMENT ON COLUMN worker_pool.workers.started_at IS 'when its process came up';
COMMENT ON COLUMN worker_pool.workers.state_changed_at IS 'when it entered its state, or began its command';
COMMENT ON COLUMN worker_pool.workers.commands_done IS 'number of commands, tasks and cycles that the process has run to their end';
COMMENT ON COLUMN worker_pool.workers.progress IS 'what the task or service reported by report_progress(), from 0 to 1; NULL when nothing';
COMMENT ON COLUMN worker_pool.workers.message IS 'message of the last report_progress(); NULL for those who may not see it';
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
COMMENT ON COLUMN worker_pool.databases.paused IS 'is the whole database paused?';
COMMENT ON COLUMN worker_pool.databases.ready IS 'tasks that could run now, as memory knows them: a lower bound while more wait than it holds';
COMMENT ON COLUMN worker_pool.databases.running IS 'tasks that run at this moment';
COMMENT ON COLUMN worker_pool.databases.failed IS 'tasks that failed finally since the counters were reset or the server started';
COMMENT ON COLUMN worker_pool.databases.oldest_ready_at IS 'since when the oldest of the ready tasks could run; NULL when there is none';
COMMENT ON COLUMN worker_pool.databases.next_due IS 'when the next task or schedule is due; NULL when none is known';
COMMENT ON COLUMN worker_pool.databases.idle IS 'why the pool does not serve the database, and what to do about it; NULL when it does';
COMMENT ON COLUMN worker_pool.databases.last_error IS 'why the last look into the database failed; NULL for those who may not see it';
GRANT SELECT ON worker_pool.databases TO PUBLIC;

-- Durable rows
--
-- Nobody but the owner of the extension has any right on these tables: all writes go through the functions
-- below, all reads through the views. The columns that come first are fixed-width and never null: the library
-- reads and writes them in place (src/catalog/*_row.hpp has the same lists).

-- Who this database is: a row of a durable table that does not carry this identity came by TEMPLATE, restore or
-- replication and does not run until worker_pool.adopt(). Never dumped.
CREATE TABLE worker_pool.installation (
	id pg_catalog.uuid NOT NULL,
	database pg_catalog.oid NOT NULL
);

INSERT INTO worker_pool.installation
SELECT pg_catalog.gen_random_uuid(), d.oid
FROM pg_catalog.pg_database d
WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database();

CREATE SEQUENCE worker_pool.task_id_seq AS pg_catalog.int8;
CREATE SEQUENCE worker_pool.schedule_id_seq AS pg_catalog.int8;
CREATE SEQUENCE worker_pool.queue_id_seq AS pg_catalog.int4;
CREATE SEQUENCE worker_pool.service_id_seq AS pg_catalog.int8;

-- Unfinished tasks.
CREATE TABLE worker_pool.task (
	id pg_catalog.int8 NOT NULL,
	rank pg_catalog.int8 NOT NULL,
	due pg_catalog.timestamptz NOT NULL,
	run_at pg_catalog.timestamptz NOT NULL,
	enqueued_at pg_catalog.timestamptz NOT NULL,
	expires_at pg_catalog.timestamptz NOT NULL,
	claimed_at pg_catalog.timestamptz NOT NULL,
	scheduled_for pg_catalog.timestamptz NOT NULL,
	retry_delay_ms pg_catalog.int8 NOT NULL,
	timeout_ms pg_catalog.int8 NOT NULL,
	claim_epoch pg_catalog.int8 NOT NULL,
	claim_generation pg_catalog.int8 NOT NULL,
	trusted_epoch pg_catalog.int8 NOT NULL,
	schedule_id pg_catalog.int8 NOT NULL,
	installation pg_catalog.uuid NOT NULL,
	database pg_catalog.oid NOT NULL,
	owner pg_catalog.oid NOT NULL,
	run_as pg_catalog.oid NOT NULL,
	claim_slot pg_catalog.int4 NOT NULL,
	attempt pg_catalog.int4 NOT NULL,
	max_attempts pg_catalog.int4 NOT NULL,
	priority pg_catalog.int4 NOT NULL,
	queue_id pg_catalog.int4 NOT NULL,
	waits_for pg_catalog.int4 NOT NULL,
	atomic pg_catalog.bool NOT NULL,
	counted pg_catalog.bool NOT NULL,
	keyed pg_catalog.bool NOT NULL,
	history pg_catalog."char" NOT NULL,
	command pg_catalog.text NOT NULL,
	args pg_catalog.text[] NOT NULL,
	settings pg_catalog.jsonb NOT NULL,
	queue pg_catalog.text NOT NULL,
	run_as_name pg_catalog.text NOT NULL,
	owner_name pg_catalog.text NOT NULL,
	name pg_catalog.text,
	key pg_catalog.text,
	concurrency_key pg_catalog.text,
	last_sqlstate pg_catalog.text,
	last_error pg_catalog.text,
	CONSTRAINT task_pkey PRIMARY KEY (id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

CREATE INDEX task_order ON worker_pool.task (run_as, rank, due, id);

-- Keys of tasks that have not begun.
CREATE TABLE worker_pool.task_key (
	owner pg_catalog.oid NOT NULL,
	key pg_catalog.text NOT NULL,
	task_id pg_catalog.int8 NOT NULL,
	CONSTRAINT task_key_pkey PRIMARY KEY (owner, key)
);

-- task_id waits for depends_on: for its success, or (on_end) only for its end.
CREATE TABLE worker_pool.dependency (
	depends_on pg_catalog.int8 NOT NULL,
	task_id pg_catalog.int8 NOT NULL,
	on_end pg_catalog.bool NOT NULL,
	CONSTRAINT dependency_pkey PRIMARY KEY (depends_on, task_id)
);

CREATE INDEX dependency_task ON worker_pool.dependency (task_id);

-- A row an attempt; is_final marks a task's last. It holds what is needed to run the task again.
CREATE TABLE worker_pool.history (
	task_id pg_catalog.int8 NOT NULL,
	started_at pg_catalog.timestamptz NOT NULL,
	finished_at pg_catalog.timestamptz NOT NULL,
	run_at pg_catalog.timestamptz NOT NULL,
	enqueued_at pg_catalog.timestamptz NOT NULL,
	expires_at pg_catalog.timestamptz NOT NULL,
	scheduled_for pg_catalog.timestamptz NOT NULL,
	retry_delay_ms pg_catalog.int8 NOT NULL,
	timeout_ms pg_catalog.int8 NOT NULL,
	schedule_id pg_catalog.int8 NOT NULL,
	owner pg_catalog.oid NOT NULL,
	run_as pg_catalog.oid NOT NULL,
	attempt pg_catalog.int4 NOT NULL,
	max_attempts pg_catalog.int4 NOT NULL,
	priority pg_catalog.int4 NOT NULL,
	queue_id pg_catalog.int4 NOT NULL,
	pid pg_catalog.int4 NOT NULL,
	is_final pg_catalog.bool NOT NULL,
	atomic pg_catalog.bool NOT NULL,
	history pg_catalog."char" NOT NULL,
	state pg_catalog.text NOT NULL,
	command pg_catalog.text NOT NULL,
	args pg_catalog.text[] NOT NULL,
	settings pg_catalog.jsonb NOT NULL,
	queue pg_catalog.text NOT NULL,
	run_as_name pg_catalog.text NOT NULL,
	owner_name pg_catalog.text NOT NULL,
	name pg_catalog.text,
	key pg_catalog.text,
	concurrency_key pg_catalog.text,
	tag pg_catalog.text,
	sqlstate pg_catalog.text,
	message pg_catalog.text,
	detail pg_catalog.text,
	hint pg_catalog.text,
	context pg_catalog.text,
	result pg_catalog.jsonb
);

CREATE INDEX history_task ON worker_pool.history (task_id, attempt);
CREATE INDEX history_finished ON worker_pool.history (finished_at);
CREATE INDEX history_schedule ON worker_pool.history (schedule_id, finished_at);

CREATE TABLE worker_pool.queue (
	id pg_catalog.int4 NOT NULL,
	max_running pg_catalog.int4 NOT NULL,
	priority pg_catalog.int4 NOT NULL,
	owner pg_catalog.oid NOT NULL,
	paused_by pg_catalog.oid NOT NULL,
	paused_at pg_catalog.timestamptz NOT NULL,
	installation pg_catalog.uuid NOT NULL,
	database pg_catalog.oid NOT NULL,
	paused pg_catalog.bool NOT NULL,
	name pg_catalog.text NOT NULL,
	owner_name pg_catalog.text NOT NULL,
	reason pg_catalog.text,
	CONSTRAINT queue_pkey PRIMARY KEY (id),
	CONSTRAINT queue_name UNIQUE (name)
);

CREATE TABLE worker_pool.schedule (
	id pg_catalog.int8 NOT NULL,
	next_run pg_catalog.timestamptz NOT NULL,
	last_run pg_catalog.timestamptz NOT NULL,
	checked_at pg_catalog.timestamptz NOT NULL,
	created_at pg_catalog.timestamptz NOT NULL,
	retry_delay_ms pg_catalog.int8 NOT NULL,
	timeout_ms pg_catalog.int8 NOT NULL,
	expires_after_ms pg_catalog.int8 NOT NULL,
	last_task pg_catalog.int8 NOT NULL,
	boot_epoch pg_catalog.int8 NOT NULL,
	installation pg_catalog.uuid NOT NULL,
	database pg_catalog.oid NOT NULL,
	owner pg_catalog.oid NOT NULL,
	run_as pg_catalog.oid NOT NULL,
	max_attempts pg_catalog.int4 NOT NULL,
	priority pg_catalog.int4 NOT NULL,
	queue_id pg_catalog.int4 NOT NULL,
	active pg_catalog.bool NOT NULL,
	atomic pg_catalog.bool NOT NULL,
	overlap pg_catalog."char" NOT NULL,
	missed pg_catalog."char" NOT NULL,
	name pg_catalog.text NOT NULL,
	schedule pg_catalog.text NOT NULL,
	timezone pg_catalog.text NOT NULL,
	command pg_catalog.text NOT NULL,
	args pg_catalog.text[] NOT NULL,
	settings pg_catalog.jsonb NOT NULL,
	queue pg_catalog.text NOT NULL,
	run_as_name pg_catalog.text NOT NULL,
	owner_name pg_catalog.text NOT NULL,
	CONSTRAINT schedule_pkey PRIMARY KEY (id),
	CONSTRAINT schedule_name UNIQUE (name)
);

-- What a service is. How it does stands in memory, but for the quarantine and crashes of the server.
CREATE TABLE worker_pool.service (
	id pg_catalog.int8 NOT NULL,
	every_ms pg_catalog.int8 NOT NULL,
	timeout_ms pg_catalog.int8 NOT NULL,
	created_at pg_catalog.timestamptz NOT NULL,
	quarantined_at pg_catalog.timestamptz NOT NULL,
	run_epoch pg_catalog.int8 NOT NULL,
	installation pg_catalog.uuid NOT NULL,
	database pg_catalog.oid NOT NULL,
	owner pg_catalog.oid NOT NULL,
	run_as pg_catalog.oid NOT NULL,
	crashes pg_catalog.int4 NOT NULL,
	active pg_catalog.bool NOT NULL,
	run_on pg_catalog."char" NOT NULL,
	name pg_catalog.text NOT NULL,
	command pg_catalog.text,
	entry_point pg_catalog.text,
	config pg_catalog.jsonb NOT NULL,
	settings pg_catalog.jsonb NOT NULL,
	run_as_name pg_catalog.text NOT NULL,
	owner_name pg_catalog.text NOT NULL,
	quarantine_reason pg_catalog.text,
	CONSTRAINT service_pkey PRIMARY KEY (id),
	CONSTRAINT service_name UNIQUE (name),
	-- for what is copied in by SQL
	CONSTRAINT service_runs_one CHECK ((command IS NULL) OPERATOR(pg_catalog.<>) (entry_point IS NULL))
);

CREATE FUNCTION worker_pool.note_rows()
RETURNS pg_catalog.trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'worker_pool_note_rows';

COMMENT ON FUNCTION worker_pool.note_rows() IS
'Internal: tells the pool at commit that rows came by another way than its functions (COPY, restore, logical replication).';

-- A row of another installation that replication brings is left out: it must not pass for this one's.
CREATE TRIGGER note_rows BEFORE INSERT ON worker_pool.installation
FOR EACH ROW EXECUTE FUNCTION worker_pool.note_rows();
ALTER TABLE worker_pool.installation ENABLE ALWAYS TRIGGER note_rows;
CREATE TRIGGER note_rows BEFORE INSERT OR UPDATE ON worker_pool.task
FOR EACH ROW EXECUTE FUNCTION worker_pool.note_rows();
ALTER TABLE worker_pool.task ENABLE ALWAYS TRIGGER note_rows;
CREATE TRIGGER note_rows BEFORE INSERT OR UPDATE ON worker_pool.schedule
FOR EACH ROW EXECUTE FUNCTION worker_pool.note_rows();
ALTER TABLE worker_pool.schedule ENABLE ALWAYS TRIGGER note_rows;
CREATE TRIGGER note_rows BEFORE INSERT OR UPDATE ON worker_pool.queue
FOR EACH ROW EXECUTE FUNCTION worker_pool.note_rows();
ALTER TABLE worker_pool.queue ENABLE ALWAYS TRIGGER note_rows;
CREATE TRIGGER note_rows BEFORE INSERT OR UPDATE ON worker_pool.service
FOR EACH ROW EXECUTE FUNCTION worker_pool.note_rows();
ALTER TABLE worker_pool.service ENABLE ALWAYS TRIGGER note_rows;

-- pg_dump carries schedules, services and queues, not tasks, history or the identity.
SELECT pg_catalog.pg_extension_config_dump('worker_pool.queue', '');
SELECT pg_catalog.pg_extension_config_dump('worker_pool.queue_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('worker_pool.schedule', '');
SELECT pg_catalog.pg_extension_config_dump('worker_pool.schedule_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('worker_pool.service', '');
SELECT pg_catalog.pg_extension_config_dump('worker_pool.service_id_seq', '');

-- Tasks
--
-- Functions stay executable by PUBLIC: USAGE on the schema admits, and they check the caller's rights themselves.

CREATE FUNCTION worker_pool.enqueue(
	command pg_catalog.text,
	args pg_catalog.text[] DEFAULT '{}'::pg_catalog.text[],
	queue pg_catalog.text DEFAULT 'default'::pg_catalog.text,
	priority pg_catalog.int4 DEFAULT 0,
	run_at pg_catalog.timestamptz DEFAULT pg_catalog.now(),
	max_attempts pg_catalog.int4 DEFAULT NULL::pg_catalog.int4,
	retry_delay pg_catalog."interval" DEFAULT '5 seconds'::pg_catalog."interval",
	timeout pg_catalog."interval" DEFAULT NULL::pg_catalog."interval",
	expires_at pg_catalog.timestamptz DEFAULT NULL::pg_catalog.timestamptz,
	key pg_catalog.text DEFAULT NULL::pg_catalog.text,
	on_conflict pg_catalog.text DEFAULT 'keep'::pg_catalog.text,
	concurrency_key pg_catalog.text DEFAULT NULL::pg_catalog.text,
	depends_on pg_catalog.int8[] DEFAULT '{}'::pg_catalog.int8[],
	run_as pg_catalog.name DEFAULT CURRENT_USER,
	atomic pg_catalog.bool DEFAULT NULL::pg_catalog.bool,
	settings pg_catalog.jsonb DEFAULT '{}'::pg_catalog.jsonb,
	history pg_catalog.text DEFAULT NULL::pg_catalog.text,
	name pg_catalog.text DEFAULT NULL::pg_catalog.text)
RETURNS pg_catalog.int8
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_enqueue';

COMMENT ON FUNCTION worker_pool.enqueue(pg_catalog.text, pg_catalog.text[], pg_catalog.text, pg_catalog.int4, pg_catalog.timestamptz, pg_catalog.int4, pg_catalog."interval", pg_catalog."interval", pg_catalog.timestamptz, pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.int8[], pg_catalog.name, pg_catalog.bool, pg_catalog.jsonb, pg_catalog.text, pg_catalog.text) IS
'Stores a task in the calling transaction and returns its id. It begins when the transaction has committed, survives crashes, and is run until it succeeds or its attempts are used up. A rollback takes it back.

command: one or several SQL statements; the syntax is checked at once (42601, 22004 null), COPY FROM STDIN and COPY TO STDOUT are refused (0A000).
args: texts bound to $1..$n of a single statement; see worker_pool.args() (2202E more than one dimension).
queue: where it counts against max_running (42704); see create_queue().
priority: larger first, within the queue''s priority; equal ones by due time, then by id.
run_at: when it may begin first; a time that is over means now (22023 when infinite).
max_attempts: from 1 to 1000 (22023); NULL is 3 for an atomic task, 1 for another.
retry_delay: time before the second attempt, doubled for each further one up to an hour, give or take a tenth; after 40001 and 40P01 it is repeated at once, from the eleventh attempt on after a second (22023 when negative or with months).
timeout: how long an attempt may run, then it fails with 57014; NULL is worker_pool.default_timeout, ''0'' is none (22023).
expires_at: it is not begun any more after this time; NULL for never (22023 when it is over, or not after run_at).
key: unique among the caller''s tasks that have not begun; at most 1024 bytes (22001).
on_conflict: when such a task has the key: ''keep'' returns its id and keeps it from beginning before this transaction ends, ''replace'' gives it the new definition under the same id, ''error'' raises 23505. A task that has begun is left alone. Another transaction that is about to take or free the key is waited for.
concurrency_key: tasks of the same owner with the same one run one at a time; keys are per owner; at most 1024 bytes (22001).
depends_on: ids of tasks that must have succeeded before; if one fails, expires or is cancelled, this one is cancelled, also at once (42704 unknown, or its history is gone; 42501 one of an owner of whose role the caller is no member; 54023 more than 1000; 22023 a replaced task that would wait for itself, 54000 one that would wait for more than 100000, directly or by others). The transaction holds up their end.
run_as: the role it runs as (42704); another one than the current needs the right to SET ROLE to it (42501) and must be able to log in (28000).
atomic: true runs it in one transaction, in which its effect and its end are committed together; false as top-level statements, at most once for each attempt. NULL: false for a single statement that cannot run in a transaction block, else true (0A000 true for such a statement, or such a statement among others; 2D000 transaction control in an atomic task). A procedure or DO that commits needs false.
settings: an object of settings for this task only, such as {"work_mem": "64MB"}; null takes one to its default (22023).
history: ''all'', ''errors'' or ''off'': what is kept of it; NULL is worker_pool.history, as it is now (22023).
name: shown in views, at most 63 bytes (42622).

Errors besides: 53400 worker_pool.max_tasks_per_role; 25006 read-only transaction; 55000 standby server, extension not installed in this database, a copy of a database before adopt(), worker_pool not preloaded.';

CREATE FUNCTION worker_pool.cancel_task(
	id pg_catalog.int8,
	grace pg_catalog."interval" DEFAULT '5 seconds'::pg_catalog."interval")
RETURNS pg_catalog.bool
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_cancel_task';

COMMENT ON FUNCTION worker_pool.cancel_task(pg_catalog.int8, pg_catalog."interval") IS
'Cancels a task for good. One that waits is ended with the calling transaction, and is as before if that rolls back; one that a worker has taken is cancelled at once, whatever becomes of the transaction, and the call does not wait for its end. Tasks that depend on it are cancelled, too. Returns whether there was something to cancel: false for a task that has ended.

id: what enqueue returned (42704 an id that was never given, 22004 null).
grace: time between cancel and terminate for one that runs; NULL is 5 seconds, ''0'' terminates at once (22023 when negative or with months).

Allowed to the owner, to members of the owner''s role and, where no superuser is involved, to the owner of its queue, members of that role and of pg_signal_backend (42501). A task cannot cancel itself (55000). Errors besides: 55006 its worker neither runs it nor gives it back; 25006 a waiting one in a read-only transaction; 55000 as enqueue.';

CREATE FUNCTION worker_pool.retry_task(
	id pg_catalog.int8)
RETURNS pg_catalog.bool
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_retry_task';

COMMENT ON FUNCTION worker_pool.retry_task(pg_catalog.int8) IS
'Tries a task again when the calling transaction has committed. One that waits for its retry is due now. One that has failed, expired, was cancelled or skipped is made anew from its history under the same id, with all its attempts; what it depended on is not waited for again, and an expiry that is over is dropped. Returns whether there was something to do: false for a task that runs, is ready or blocked, is not due for the first time or has succeeded, and for one whose key another waiting task has.

id: what enqueue returned (42704 unknown, or its history is gone; 22004 null).

Allowed to the owner and to members of the owner''s role who may also run as its role (42501, 28000). Errors besides: 42704 its queue was dropped; 53400 worker_pool.max_tasks_per_role; 25006; 55000 as enqueue.';

CREATE FUNCTION worker_pool.wait_task(
	id pg_catalog.int8,
	timeout pg_catalog."interval" DEFAULT NULL::pg_catalog."interval")
RETURNS pg_catalog.text
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_wait_task';

COMMENT ON FUNCTION worker_pool.wait_task(pg_catalog.int8, pg_catalog."interval") IS
'Waits until a task has ended for good and returns its state: succeeded, failed, cancelled, expired or skipped. Blocked, scheduled, ready or running when the time-out came first. Finished when the task is gone and no history tells how it ended (history ''off'', purged history; also for an enqueue that was rolled back); with history ''errors'' a task that ends during the wait and leaves no history has succeeded. An interrupted wait leaves the task alone.

id: what enqueue returned (42704 an id that was never given, 22004 null).
timeout: how long to wait; NULL is worker_pool.default_timeout, ''0'' waits without limit (22023 when negative or with months).

A task that the calling transaction has enqueued, changed or locked cannot be waited for in it (55000), nor can a task wait for itself (55000). The caller''s statement holds a snapshot while it waits; CALL worker_pool.await_task(id) waits without one. A wait that can never end fails with 40P01. Allowed to the owner, to members of the owner''s role and of pg_read_all_stats (42501). Errors besides: 55000 as enqueue.';

CREATE PROCEDURE worker_pool.await_task(
	id pg_catalog.int8,
	timeout pg_catalog."interval" DEFAULT NULL::pg_catalog."interval")
LANGUAGE c
AS 'MODULE_PATHNAME', 'worker_pool_await_task';

COMMENT ON PROCEDURE worker_pool.await_task(pg_catalog.int8, pg_catalog."interval") IS
'Commits the current transaction and waits until a task has ended for good, without holding a snapshot. Returns when it has ended or the time-out came first; worker_pool.wait_task(id) tells which. A task that the transaction has enqueued begins with that commit.

id: what enqueue returned (42704 an id that was never given, 22004 null).
timeout: how long to wait; NULL is worker_pool.default_timeout, ''0'' waits without limit (22023 when negative or with months).

Cannot be called in a transaction block or from a function (25001). Allowed as wait_task; errors as wait_task.';

CREATE FUNCTION worker_pool.current_task()
RETURNS pg_catalog.int8
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_current_task';

COMMENT ON FUNCTION worker_pool.current_task() IS
'Id of the task that runs the calling statement; NULL outside of tasks.';

CREATE FUNCTION worker_pool.report_progress(
	fraction pg_catalog.float4,
	message pg_catalog.text DEFAULT NULL::pg_catalog.text)
RETURNS pg_catalog.void
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_report_progress';

COMMENT ON FUNCTION worker_pool.report_progress(pg_catalog.float4, pg_catalog.text) IS
'Called by a task or service: shows how far it is, at once, in worker_pool.workers and, for a task, in worker_pool.tasks. Does nothing elsewhere.

fraction: from 0 to 1 (22023); NULL shows none.
message: cut to 127 bytes; NULL shows none.';

-- Queues

CREATE FUNCTION worker_pool.create_queue(
	name pg_catalog.text,
	max_running pg_catalog.int4 DEFAULT NULL::pg_catalog.int4,
	priority pg_catalog.int4 DEFAULT 0,
	if_not_exists pg_catalog.bool DEFAULT false)
RETURNS pg_catalog.bool
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_create_queue';

COMMENT ON FUNCTION worker_pool.create_queue(pg_catalog.text, pg_catalog.int4, pg_catalog.int4, pg_catalog.bool) IS
'Makes a queue for tasks of this database, owned by the caller. Takes effect at commit. Returns whether it was made. The queue ''default'' is always there.

name: at most 63 bytes (42622; 42710 exists, 22004 null, 22023 empty).
max_running: how many of its tasks may run at a time, at least 1 (22023); NULL for no limit.
priority: tasks of a queue with a larger one come first; NULL is 0.
if_not_exists: true returns false, with a NOTICE, for a queue that exists.

Errors besides: 25006 read-only transaction; 55000 as enqueue.';

CREATE FUNCTION worker_pool.alter_queue(
	name pg_catalog.text,
	max_running pg_catalog.int4 DEFAULT NULL::pg_catalog.int4,
	priority pg_catalog.int4 DEFAULT NULL::pg_catalog.int4,
	reset pg_catalog.text[] DEFAULT '{}'::pg_catalog.text[])
RETURNS pg_catalog.void
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_alter_queue';

COMMENT ON FUNCTION worker_pool.alter_queue(pg_catalog.text, pg_catalog.int4, pg_catalog.int4, pg_catalog.text[]) IS
'Changes a queue at commit; tasks that wait in it get its new priority.

name: of the queue (42704, 22004 null); ''default'' belongs to the owner of the database.
max_running: at least 1 (22023); NULL is unchanged.
priority: NULL is unchanged.
reset: options that return to their defaults: ''max_running'' to no limit, ''priority'' to 0 (22023 for others, and for one that is also set).

Allowed to the owner of the queue, to members of the owner''s role and to superusers (42501). Errors besides: 25006; 55000 as enqueue.';

CREATE FUNCTION worker_pool.drop_queue(
	name pg_catalog.text)
RETURNS pg_catalog.bool
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_drop_queue';

COMMENT ON FUNCTION worker_pool.drop_queue(pg_catalog.text) IS
'Drops a queue at commit, if no unfinished task and no schedule is in it (2BP01). Waits for transactions that are about to enqueue into it. Returns true.

name: of the queue (42704, 22004 null; 0A000 ''default'').

Allowed to the owner of the queue, to members of the owner''s role and to superusers (42501). Errors besides: 25006; 55000 as enqueue.';

CREATE FUNCTION worker_pool.pause(
	queue pg_catalog.text DEFAULT NULL::pg_catalog.text,
	reason pg_catalog.text DEFAULT NULL::pg_catalog.text)
RETURNS pg_catalog.bool
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_pause';

COMMENT ON FUNCTION worker_pool.pause(pg_catalog.text, pg_catalog.text) IS
'Keeps tasks and schedules from beginning until resume(). Immediate, not transactional: a rollback does not undo it. What runs goes on. Returns false if it was paused already. The pause is stored by a worker of the pool, for which the call waits up to 5 seconds; a WARNING tells when it is not stored yet.

queue: which one (42704); NULL pauses the whole database.
reason: shown by explain_task() and in worker_pool.queues; cut to 159 bytes.

Allowed to the owner of the database, to superusers and, for a queue, to its owner and members of the owner''s role (42501). Errors besides: 54000 no room in memory for another paused queue; 55000 as enqueue.';

CREATE FUNCTION worker_pool.resume(
	queue pg_catalog.text DEFAULT NULL::pg_catalog.text)
RETURNS pg_catalog.bool
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_resume';

COMMENT ON FUNCTION worker_pool.resume(pg_catalog.text) IS
'Ends a pause. Immediate, not transactional. Returns false if it was not paused. Due times of schedules that fell into the pause are not missed: see worker_pool.schedule().

queue: which one (42704); NULL ends the pause of the whole database, not those of single queues.

Allowed and errors as pause.';

CREATE FUNCTION worker_pool.drain(
	queue pg_catalog.text DEFAULT NULL::pg_catalog.text,
	timeout pg_catalog."interval" DEFAULT '1 minute'::pg_catalog."interval")
RETURNS pg_catalog.int4
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_drain';

COMMENT ON FUNCTION worker_pool.drain(pg_catalog.text, pg_catalog."interval") IS
'Pauses, if it is not paused yet, waits until no task runs any more, and returns how many still run: 0 unless the time-out came first. It stays paused until resume(). Called by a task, that task is not counted.

queue: which one (42704); NULL is the whole database.
timeout: how long to wait; NULL is worker_pool.default_timeout, ''0'' waits without limit (22023 when negative or with months).

Allowed and errors as pause.';

-- Rows that came by another way

CREATE FUNCTION worker_pool.adopt()
RETURNS pg_catalog.int4
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_adopt';

COMMENT ON FUNCTION worker_pool.adopt() IS
'Makes tasks, schedules, services and queues that came by CREATE DATABASE ... TEMPLATE, dump and restore or logical replication this database''s own, at commit: until then they do not run. Roles are found anew by their names; rows whose role does not exist stay as they are. Returns the number of rows.

Only for the owner of the database and superusers (42501). Make sure that the database they came from does not run them as well. Errors besides: 25006 read-only transaction; 55000 as enqueue.';

CREATE FUNCTION worker_pool.rescan()
RETURNS pg_catalog.void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_rescan';

COMMENT ON FUNCTION worker_pool.rescan() IS
'Has the pool read the tasks, schedules, services and queues of this database again, now and at the end of the transaction. Never needed unless rows were written with triggers disabled; and on a standby server, to let it know of services that the primary has made or changed since it looked last.

Only for the owner of the database and superusers (42501). Errors besides: 55000 extension not installed in this database, worker_pool not preloaded.';

-- Schedules

CREATE FUNCTION worker_pool.schedule(
	name pg_catalog.text,
	schedule pg_catalog.text,
	command pg_catalog.text,
	args pg_catalog.text[] DEFAULT '{}'::pg_catalog.text[],
	timezone pg_catalog.text DEFAULT NULL::pg_catalog.text,
	active pg_catalog.bool DEFAULT true,
	overlap pg_catalog.text DEFAULT 'skip'::pg_catalog.text,
	missed pg_catalog.text DEFAULT 'once'::pg_catalog.text,
	queue pg_catalog.text DEFAULT 'default'::pg_catalog.text,
	priority pg_catalog.int4 DEFAULT 0,
	max_attempts pg_catalog.int4 DEFAULT NULL::pg_catalog.int4,
	retry_delay pg_catalog."interval" DEFAULT '5 seconds'::pg_catalog."interval",
	timeout pg_catalog."interval" DEFAULT NULL::pg_catalog."interval",
	expires_after pg_catalog."interval" DEFAULT NULL::pg_catalog."interval",
	run_as pg_catalog.name DEFAULT CURRENT_USER,
	atomic pg_catalog.bool DEFAULT NULL::pg_catalog.bool,
	settings pg_catalog.jsonb DEFAULT '{}'::pg_catalog.jsonb)
RETURNS pg_catalog.int8
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_schedule';

COMMENT ON FUNCTION worker_pool.schedule(pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text[], pg_catalog.text, pg_catalog.bool, pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.int4, pg_catalog.int4, pg_catalog."interval", pg_catalog."interval", pg_catalog."interval", pg_catalog.name, pg_catalog.bool, pg_catalog.jsonb) IS
'Makes a task of the command each time the schedule is due, and returns the id of the schedule. Takes effect at commit. A schedule of the same name is replaced: same id, its history stays, it belongs to the caller from then on.

name: unique in the database, at most 63 bytes (22004 null, 42622 too long, 22023 empty).
schedule: when it is due (22023 with field, position and reason; also for a date that never comes):
 - five fields of cron: minute hour day-of-month month day-of-week; or six, with seconds first. A field is *, a value, a range (1-5), or a list of these (1,3-5), each with a step (*/10, 8-18/2; 5/10 is from 5 on). Months jan to dec and weekdays sun to sat have names; Sunday is 0 and 7; $ is the last day of the month. With both days restricted either matches; a field that begins with * is not restricted.
 - @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually.
 - @reboot: once after each start, crash restart or promotion of the server; not when it is made.
 - a rate: 30 seconds, every 2 hours; second(s), minute(s), hour(s), day(s); 1 second to 366 days. It is counted from 1970-01-01 00:00 UTC, so it does not drift and knows no daylight saving.
command, args, settings: as for enqueue (42601 syntax, 22004 null).
timezone: in which the fields are meant; NULL is worker_pool.timezone as it is now (22023 unknown). A wall-clock time that daylight saving skips is due once, at the shifted instant (02:30 in the gap from 02:00 to 03:00 at 03:30); one that comes twice is due once, the first time. So */5 * * * * rests during a repeated hour: 5 minutes, or UTC, does not.
active: false makes no tasks.
overlap: what to do when the last task of the schedule has not ended (a wait for its retry counts): skip (a row skipped in the history), queue (the new task waits for the end of that one), allow.
missed: what to do with due times that passed without a task (server down, clock moved forward): once runs the last of them if it is not older than worker_pool.missed_grace, skip only one that is not older than 60 seconds. The others become skipped in the history, at most 100 at a time. What was due while the queue or the database was paused is not missed.
queue: 42704 unknown. priority: greater first.
max_attempts: NULL is 3 when atomic, else 1 (22023 below 1 or above 1000). retry_delay: before the second attempt; doubles.
timeout: of each attempt; NULL is worker_pool.default_timeout, ''0'' none. expires_after: a task that has not begun so long after its due time is not run; NULL or ''0'': never (22023 for intervals that are negative or have months).
run_as: 42704 unknown; 42501 unless the caller is a member; 28000 may not log in.
atomic: NULL: false for a single statement that no transaction block allows, else true (0A000, 2D000 as for enqueue).

Errors besides: 42501 a schedule of that name belongs to a role that the caller is no member of; 55000 on a standby.';

CREATE FUNCTION worker_pool.alter_schedule(
	name pg_catalog.text,
	schedule pg_catalog.text DEFAULT NULL::pg_catalog.text,
	command pg_catalog.text DEFAULT NULL::pg_catalog.text,
	args pg_catalog.text[] DEFAULT NULL::pg_catalog.text[],
	timezone pg_catalog.text DEFAULT NULL::pg_catalog.text,
	active pg_catalog.bool DEFAULT NULL::pg_catalog.bool,
	overlap pg_catalog.text DEFAULT NULL::pg_catalog.text,
	missed pg_catalog.text DEFAULT NULL::pg_catalog.text,
	queue pg_catalog.text DEFAULT NULL::pg_catalog.text,
	priority pg_catalog.int4 DEFAULT NULL::pg_catalog.int4,
	max_attempts pg_catalog.int4 DEFAULT NULL::pg_catalog.int4,
	retry_delay pg_catalog."interval" DEFAULT NULL::pg_catalog."interval",
	timeout pg_catalog."interval" DEFAULT NULL::pg_catalog."interval",
	expires_after pg_catalog."interval" DEFAULT NULL::pg_catalog."interval",
	run_as pg_catalog.name DEFAULT NULL::pg_catalog.name,
	atomic pg_catalog.bool DEFAULT NULL::pg_catalog.bool,
	settings pg_catalog.jsonb DEFAULT NULL::pg_catalog.jsonb,
	reset pg_catalog.text[] DEFAULT '{}'::pg_catalog.text[])
RETURNS pg_catalog.void
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_alter_schedule';

COMMENT ON FUNCTION worker_pool.alter_schedule(pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.text[], pg_catalog.text, pg_catalog.bool, pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.int4, pg_catalog.int4, pg_catalog."interval", pg_catalog."interval", pg_catalog."interval", pg_catalog.name, pg_catalog.bool, pg_catalog.jsonb, pg_catalog.text[]) IS
'Changes a schedule; takes effect at commit. What is NULL stays as it is. Tasks that it has made stay as they are.

name: 42704 unknown. Others as for schedule.
atomic: where it is what the command by itself makes it, it follows a new command.
reset: names of options to be taken back to their defaults: args, timezone, active, overlap, missed, queue, priority, max_attempts, retry_delay, timeout, expires_after, run_as (the owner), atomic, settings (22023 for another name, or one that is also given).

With a new schedule or timezone, or set active again, it begins anew: what was due before is not missed. Allowed to the owner, members of the owner''s role and superusers (42501); a change of what is run also needs the right to run it as run_as, of the caller and of the owner. 55000: the schedule came from another database and was not adopted.';

CREATE FUNCTION worker_pool.unschedule(
	name pg_catalog.text)
RETURNS pg_catalog.bool
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_unschedule';

COMMENT ON FUNCTION worker_pool.unschedule(pg_catalog.text) IS
'Drops a schedule, at commit. Its tasks that are not running are cancelled, also those that wait for a retry; one that runs goes on. Its history stays. False if another session dropped it at the same time.

name: 42704 unknown, 22004 null. Allowed as alter_schedule; one that came from another database and was not adopted may be dropped by the owner of the database.';

CREATE FUNCTION worker_pool.run_schedule(
	name pg_catalog.text)
RETURNS pg_catalog.int8
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_run_schedule';

COMMENT ON FUNCTION worker_pool.run_schedule(pg_catalog.text) IS
'Makes a task of a schedule now, also of an inactive one, and returns the id of the task. Its plan knows nothing of it: the next due time stays, and the task does not count for overlap.

name: 42704 unknown, 22004 null. Allowed as alter_schedule. 53400: as many tasks run as its role as worker_pool.max_tasks_per_role allows.';

CREATE FUNCTION worker_pool.next_runs(
	schedule pg_catalog.text,
	timezone pg_catalog.text DEFAULT NULL::pg_catalog.text,
	n pg_catalog.int4 DEFAULT 5,
	after pg_catalog.timestamptz DEFAULT pg_catalog.now())
RETURNS SETOF pg_catalog.timestamptz
LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL SAFE ROWS 5
AS 'MODULE_PATHNAME', 'worker_pool_next_runs';

COMMENT ON FUNCTION worker_pool.next_runs(pg_catalog.text, pg_catalog.text, pg_catalog.int4, pg_catalog.timestamptz) IS
'The next due times of a schedule, as schedule() would take it; it need not exist.

schedule: 22023 with field, position and reason; 22004 null. None for @reboot.
timezone: NULL is worker_pool.timezone (22023 unknown).
n: how many, at most 1000; NULL is 5 (22023).
after: only due times after this one; NULL is now (22023 infinite).';

CREATE FUNCTION worker_pool.import_pg_cron(
	dry_run pg_catalog.bool DEFAULT true)
RETURNS TABLE (
	jobid pg_catalog.int8,
	name pg_catalog.text,
	schedule pg_catalog.text,
	command pg_catalog.text,
	database pg_catalog.text,
	username pg_catalog.text,
	active pg_catalog.bool,
	action pg_catalog.text,
	note pg_catalog.text)
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE ROWS 20
AS 'MODULE_PATHNAME', 'worker_pool_import_pg_cron';

COMMENT ON FUNCTION worker_pool.import_pg_cron(pg_catalog.bool) IS
'Makes schedules of the jobs of pg_cron that the caller may see, and deactivates those jobs, both at commit. Call it in the database that holds pg_cron (42P01 elsewhere, with a hint). Calling it again is harmless.

dry_run: true or NULL tells what would be done, and does nothing.

A row a job: name is that of the schedule (pg_cron_<jobid> for a job without one, <name>_<jobid> where the name is taken). action: import (dry run) or imported; already imported; other database, where note has the statements to run there and here; not imported, where note has the reason. note also tells the time zone and what is different.

A schedule keeps the job''s text, cron.timezone (GMT), user (who becomes its owner) and whether it is active; it runs one at a time with others waiting (overlap => queue; skip for rates), makes up for nothing (missed => skip) and retries nothing (max_attempts => 1). A single CALL or DO runs as a top-level statement and may commit.

Needs the right to run commands as the job''s user, and for others than superusers EXECUTE on cron.alter_job.';

-- Services

CREATE FUNCTION worker_pool.create_service(
	name pg_catalog.text,
	command pg_catalog.text DEFAULT NULL::pg_catalog.text,
	every pg_catalog."interval" DEFAULT '1 minute'::pg_catalog."interval",
	entry_point pg_catalog.text DEFAULT NULL::pg_catalog.text,
	config pg_catalog.jsonb DEFAULT '{}'::pg_catalog.jsonb,
	timeout pg_catalog."interval" DEFAULT NULL::pg_catalog."interval",
	run_as pg_catalog.name DEFAULT CURRENT_USER,
	settings pg_catalog.jsonb DEFAULT '{}'::pg_catalog.jsonb,
	active pg_catalog.bool DEFAULT true,
	run_on pg_catalog.text DEFAULT 'primary'::pg_catalog.text,
	if_not_exists pg_catalog.bool DEFAULT false)
RETURNS pg_catalog.int8
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_create_service';

COMMENT ON FUNCTION worker_pool.create_service(pg_catalog.text, pg_catalog.text, pg_catalog."interval", pg_catalog.text, pg_catalog.jsonb, pg_catalog."interval", pg_catalog.name, pg_catalog.jsonb, pg_catalog.bool, pg_catalog.text, pg_catalog.bool) IS
'Makes a service of this database, owned by the caller: a command that is repeated, or a C function that is kept running, in a process of its own. Returns its id. It starts when the transaction has committed, outlives restarts and crashes, and is tried again after failures, for ever, with a growing delay (worker_pool.restart_backoff_initial, restart_backoff_max, restart_backoff_reset). Three crashes or overruns of its timeout in a row bring it into quarantine, until start_service. At most one process runs it.

name: unique in the database, at most 63 bytes (42710 exists, 22004 null, 42622 too long, 22023 empty).
command: one or several SQL statements, run again and again, each cycle in a transaction of its own; the syntax is checked at once (42601), COPY FROM STDIN and COPY TO STDOUT are refused (0A000). Exactly one of command and entry_point is given (22023).
every: from the begin of a cycle to the begin of the next, at least 1 ms; the first begins at once, one that takes longer is followed at once, and none is made up for (22023 when 0, negative or with months). NULL is 1 minute.
entry_point: ''library:name'', or ''name'' of a preloaded library, at most 127 bytes (22023; 42883 the library registers no such name, 58P01 no such library). For superusers; for others only one that is public and preloaded (42501). See docs/extension-authors.md.
config: any json, for the service itself: worker_pool.current_service_config(). Not for secrets.
timeout: how long a cycle may run, then it is cancelled, and its process terminated if it catches that; NULL is worker_pool.default_timeout, ''0'' is none (22023). It does not end a resident entry point.
run_as: the role it runs as (42704); another one than the current needs the right to SET ROLE to it (42501) and must be able to log in (28000).
settings: an object of settings for its cycles, such as {"work_mem": "64MB"}; null takes one to its default (22023).
active: false stores it; start_service() starts it.
run_on: ''primary'', or ''any'': also on a hot standby (22023).
if_not_exists: true returns the id of a service that exists, unchanged, with a NOTICE.

Errors besides: 53400 a role that is no superuser owns 100 services in this database, or memory has no room for more (worker_pool.max_databases); 25006 read-only transaction; 55000 standby server, extension not installed in this database, a copy of a database before adopt(), worker_pool not preloaded.';

CREATE FUNCTION worker_pool.alter_service(
	name pg_catalog.text,
	command pg_catalog.text DEFAULT NULL::pg_catalog.text,
	every pg_catalog."interval" DEFAULT NULL::pg_catalog."interval",
	entry_point pg_catalog.text DEFAULT NULL::pg_catalog.text,
	config pg_catalog.jsonb DEFAULT NULL::pg_catalog.jsonb,
	timeout pg_catalog."interval" DEFAULT NULL::pg_catalog."interval",
	run_as pg_catalog.name DEFAULT NULL::pg_catalog.name,
	settings pg_catalog.jsonb DEFAULT NULL::pg_catalog.jsonb,
	active pg_catalog.bool DEFAULT NULL::pg_catalog.bool,
	run_on pg_catalog.text DEFAULT NULL::pg_catalog.text,
	reset pg_catalog.text[] DEFAULT '{}'::pg_catalog.text[])
RETURNS pg_catalog.void
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_alter_service';

COMMENT ON FUNCTION worker_pool.alter_service(pg_catalog.text, pg_catalog.text, pg_catalog."interval", pg_catalog.text, pg_catalog.jsonb, pg_catalog."interval", pg_catalog.name, pg_catalog.jsonb, pg_catalog.bool, pg_catalog.text, pg_catalog.text[]) IS
'Changes a service; takes effect at commit. What is NULL stays as it is. A cycle that runs goes on as it began. The next one has the new command, every, config, timeout and run_on; a resident entry point is told of them. A new entry point, run_as or settings are run by a new process, after the cycle; a resident one is asked to stop.

name: of the service (42704, 22004 null). Others as for create_service; a command takes the place of an entry point, and the other way round.
active: true is as start_service, false as stop_service.
reset: names of options to be taken back to their defaults: every, config, timeout, run_as (the owner), settings, active, run_on (22023 for another name, or one that is also given).

Allowed to the owner, to members of the owner''s role and to superusers (42501); a change of what is run, of config, settings, run_as, or active => true also needs the right to run it as run_as, of the caller and of the owner. Errors besides: 53400; 25006; 55000 as create_service, and for one that came from another database and was not adopted.';

CREATE FUNCTION worker_pool.drop_service(
	name pg_catalog.text)
RETURNS pg_catalog.bool
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_drop_service';

COMMENT ON FUNCTION worker_pool.drop_service(pg_catalog.text) IS
'Drops a service, at commit, and stops it as stop_service does, without waiting. False if another session dropped it at the same time.

name: of the service (42704, 22004 null).

Allowed to the owner, to members of the owner''s role and to superusers (42501); one that came from another database and was not adopted may be dropped by the owner of the database. Errors besides: 25006; 55000 as create_service.';

CREATE FUNCTION worker_pool.start_service(
	name pg_catalog.text)
RETURNS pg_catalog.bool
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_start_service';

COMMENT ON FUNCTION worker_pool.start_service(pg_catalog.text) IS
'Makes a service active, takes it out of quarantine or a back-off, and forgets what went wrong with it: it is due at once. Takes effect at commit. False if it was active and well.

name: of the service (42704, 22004 null).

Allowed to the owner, to members of the owner''s role and to superusers who may also run it as its role (42501, 28000). Errors besides: 53400 no room in memory; 25006; 55000 as alter_service.';

CREATE FUNCTION worker_pool.stop_service(
	name pg_catalog.text)
RETURNS pg_catalog.bool
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_stop_service';

COMMENT ON FUNCTION worker_pool.stop_service(pg_catalog.text) IS
'Makes a service inactive, at commit, until start_service; it stays so after a restart of the server. A command that runs is cancelled and rolled back; an entry point is asked to stop, cancelled after 5 seconds, its process terminated after 10, never killed. Does not wait: worker_pool.wait_service(name, ''stopped'') does. False if it was inactive.

name: of the service (42704, 22004 null).

Allowed to the owner, to members of the owner''s role and to superusers (42501). Errors besides: 25006; 55000 as alter_service.';

CREATE FUNCTION worker_pool.restart_service(
	name pg_catalog.text)
RETURNS pg_catalog.bool
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_restart_service';

COMMENT ON FUNCTION worker_pool.restart_service(pg_catalog.text) IS
'Stops the process of a service as stop_service does, and starts another, at commit; it takes the service out of quarantine, too. False if it is not active.

name: of the service (42704, 22004 null).

Allowed and errors as start_service.';

CREATE FUNCTION worker_pool.wait_service(
	name pg_catalog.text,
	state pg_catalog.text DEFAULT NULL::pg_catalog.text,
	cycles pg_catalog.int4 DEFAULT NULL::pg_catalog.int4,
	timeout pg_catalog."interval" DEFAULT NULL::pg_catalog."interval")
RETURNS pg_catalog.bool
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_wait_service';

COMMENT ON FUNCTION worker_pool.wait_service(pg_catalog.text, pg_catalog.text, pg_catalog.int4, pg_catalog."interval") IS
'Waits until a service is in a state and has done so many new cycles: those that began after the call and succeeded. True then; false when the time-out came first. An interrupted wait leaves the service alone.

name: of the service (42704 unknown, or dropped meanwhile, unless state is ''stopped''; 22004 null).
state: stopped (also: its process is gone), starting, running, waiting, backing off or quarantined (22023); NULL is any.
cycles: how many, from 0 on (22023); NULL is 1 when state is NULL, too, else 0. Of a resident entry point its rounds count.
timeout: how long to wait; NULL is worker_pool.default_timeout, ''0'' waits without limit (22023 when negative or with months).

A service that the calling transaction has changed cannot be waited for in it (55000), nor can a service wait for itself (55000); one in quarantine raises 55000 with the reason, unless that is waited for. Allowed to the owner, to members of the owner''s role and of pg_read_all_stats (42501). Works on a hot standby. Errors besides: 55000 extension not installed in this database, worker_pool not preloaded.';

CREATE FUNCTION worker_pool.current_service_config()
RETURNS pg_catalog.jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_current_service_config';

COMMENT ON FUNCTION worker_pool.current_service_config() IS
'Config of the service that runs the calling statement, as it was when the cycle began; NULL outside of services.';

-- What memory knows of a row
--
-- Asked for by the views below, a row at a time and only for the columns that a query names. STABLE, so that
-- the planner takes a view apart: a count reads the table alone, an id goes to the primary key. They tell
-- nothing that the views do not show; where the library was not preloaded they say "no" or NULL.

CREATE FUNCTION worker_pool._may_see(owner pg_catalog.oid)
RETURNS pg_catalog.bool
LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10
AS 'MODULE_PATHNAME', 'worker_pool_may_see';
COMMENT ON FUNCTION worker_pool._may_see(pg_catalog.oid) IS
'Internal: may the caller see command, arguments, error and result of what belongs to this role? He is a member of it, a superuser, or a member of pg_read_all_stats.';

CREATE FUNCTION worker_pool._may_see_row(owner pg_catalog.oid, installation pg_catalog.uuid, database pg_catalog.oid)
RETURNS pg_catalog.bool
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED COST 10
AS 'MODULE_PATHNAME', 'worker_pool_may_see_row';
COMMENT ON FUNCTION worker_pool._may_see_row(pg_catalog.oid, pg_catalog.uuid, pg_catalog.oid) IS
'Internal: _may_see() for a row that may have come from elsewhere, where that number meant another role: then only the owner of the database and superusers may.';

CREATE FUNCTION worker_pool._is_own_row(installation pg_catalog.uuid, database pg_catalog.oid)
RETURNS pg_catalog.bool
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED COST 10
AS 'MODULE_PATHNAME', 'worker_pool_is_own_row';
COMMENT ON FUNCTION worker_pool._is_own_row(pg_catalog.uuid, pg_catalog.oid) IS
'Internal: was the row made in this database, or adopted by it?';

CREATE FUNCTION worker_pool._task_is_running(epoch pg_catalog.int8, slot pg_catalog.int4, generation pg_catalog.int8, id pg_catalog.int8)
RETURNS pg_catalog.bool
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED COST 10
AS 'MODULE_PATHNAME', 'worker_pool_task_is_running';
COMMENT ON FUNCTION worker_pool._task_is_running(pg_catalog.int8, pg_catalog.int4, pg_catalog.int8, pg_catalog.int8) IS
'Internal: does the claim (epoch, slot, generation) stand, and has its worker begun the task?';

CREATE FUNCTION worker_pool._task_pid(epoch pg_catalog.int8, slot pg_catalog.int4, generation pg_catalog.int8, id pg_catalog.int8)
RETURNS pg_catalog.int4
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED COST 10
AS 'MODULE_PATHNAME', 'worker_pool_task_pid';
COMMENT ON FUNCTION worker_pool._task_pid(pg_catalog.int8, pg_catalog.int4, pg_catalog.int8, pg_catalog.int8) IS
'Internal: process ID of the worker that runs the task under this claim; NULL when it does not run.';

CREATE FUNCTION worker_pool._task_started_at(epoch pg_catalog.int8, slot pg_catalog.int4, generation pg_catalog.int8, id pg_catalog.int8)
RETURNS pg_catalog.timestamptz
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED COST 10
AS 'MODULE_PATHNAME', 'worker_pool_task_started_at';
COMMENT ON FUNCTION worker_pool._task_started_at(pg_catalog.int8, pg_catalog.int4, pg_catalog.int8, pg_catalog.int8) IS
'Internal: when the task that runs under this claim was begun; NULL when it does not run.';

CREATE FUNCTION worker_pool._task_progress(epoch pg_catalog.int8, slot pg_catalog.int4, generation pg_catalog.int8, id pg_catalog.int8)
RETURNS pg_catalog.float8
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED COST 10
AS 'MODULE_PATHNAME', 'worker_pool_task_progress';
COMMENT ON FUNCTION worker_pool._task_progress(pg_catalog.int8, pg_catalog.int4, pg_catalog.int8, pg_catalog.int8) IS
'Internal: what the task that runs under this claim reported last, from 0 to 1; NULL when it reported nothing.';

CREATE FUNCTION worker_pool._task_message(epoch pg_catalog.int8, slot pg_catalog.int4, generation pg_catalog.int8, id pg_catalog.int8)
RETURNS pg_catalog.text
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED COST 10
AS 'MODULE_PATHNAME', 'worker_pool_task_message';
COMMENT ON FUNCTION worker_pool._task_message(pg_catalog.int8, pg_catalog.int4, pg_catalog.int8, pg_catalog.int8) IS
'Internal: the message that the task that runs under this claim reported last; NULL when none, and for those who may not see it.';

-- Durable views
--
-- USAGE on the schema is the gate, as for the views of the pool: who has it sees every row, but what may be
-- secret (command, arguments, settings, keys, errors, messages) only where _may_see() or _may_see_row() allows it. It is asked
-- around each such column, so a condition on one cannot look behind it either.

CREATE VIEW worker_pool.tasks AS
	SELECT t.id, t.name, t.queue,
		CASE
			WHEN t.claim_epoch OPERATOR(pg_catalog.<>) 0 AND worker_pool._task_is_running(t.claim_epoch, t.claim_slot, t.claim_generation, t.id) THEN 'running'
			WHEN t.expires_at OPERATOR(pg_catalog.<=) pg_catalog.statement_timestamp() THEN 'expired'
			WHEN t.waits_for OPERATOR(pg_catalog.>) 0 THEN 'blocked'
			WHEN t.due OPERATOR(pg_catalog.>) pg_catalog.statement_timestamp() THEN 'scheduled'
			ELSE 'ready'
		END::pg_catalog.text AS state,
		t.priority, t.attempt, t.max_attempts,
		t.owner_name::pg_catalog.name AS owner,
		t.run_as_name::pg_catalog.name AS run_as,
		CASE WHEN worker_pool._may_see_row(t.owner, t.installation, t.database) THEN t.command END AS command,
		CASE WHEN worker_pool._may_see_row(t.owner, t.installation, t.database) THEN t.args END AS args,
		CASE WHEN worker_pool._may_see_row(t.owner, t.installation, t.database) THEN t.settings END AS settings,
		CASE WHEN worker_pool._may_see_row(t.owner, t.installation, t.database) THEN t.key END AS key,
		CASE WHEN worker_pool._may_see_row(t.owner, t.installation, t.database) THEN t.concurrency_key END AS concurrency_key,
		ARRAY(
			SELECT d.depends_on
			FROM worker_pool.dependency AS d
			WHERE d.task_id OPERATOR(pg_catalog.=) t.id
			ORDER BY d.depends_on) AS depends_on,
		t.enqueued_at, t.run_at,
		CASE WHEN t.waits_for OPERATOR(pg_catalog.=) 0 AND t.due OPERATOR(pg_catalog.<) 'infinity'::pg_catalog.timestamptz THEN t.due END AS due,
		CASE WHEN t.claim_epoch OPERATOR(pg_catalog.<>) 0 THEN worker_pool._task_started_at(t.claim_epoch, t.claim_slot, t.claim_generation, t.id) END AS started_at,
		CASE WHEN t.expires_at OPERATOR(pg_catalog.<) 'infinity'::pg_catalog.timestamptz THEN t.expires_at END AS expires_at,
		CASE WHEN t.schedule_id OPERATOR(pg_catalog.<>) 0 THEN (
			SELECT s.name
			FROM worker_pool.schedule AS s
			WHERE s.id OPERATOR(pg_catalog.=) t.schedule_id) END AS schedule,
		t.atomic,
		CASE WHEN t.claim_epoch OPERATOR(pg_catalog.<>) 0 THEN worker_pool._task_pid(t.claim_epoch, t.claim_slot, t.claim_generation, t.id) END AS pid,
		CASE WHEN t.claim_epoch OPERATOR(pg_catalog.<>) 0 AND worker_pool._task_is_running(t.claim_epoch, t.claim_slot, t.claim_generation, t.id) THEN t.claim_slot END AS slot,
		CASE WHEN t.claim_epoch OPERATOR(pg_catalog.<>) 0 THEN worker_pool._task_progress(t.claim_epoch, t.claim_slot, t.claim_generation, t.id) END AS progress,
		CASE WHEN t.claim_epoch OPERATOR(pg_catalog.<>) 0 AND worker_pool._may_see_row(t.owner, t.installation, t.database) THEN worker_pool._task_message(t.claim_epoch, t.claim_slot, t.claim_generation, t.id) END AS message,
		CASE WHEN worker_pool._may_see_row(t.owner, t.installation, t.database) THEN t.last_sqlstate END AS last_sqlstate,
		CASE WHEN worker_pool._may_see_row(t.owner, t.installation, t.database) THEN t.last_error END AS last_error,
		worker_pool._is_own_row(t.installation, t.database) AS adopted
	FROM worker_pool.task AS t;
COMMENT ON VIEW worker_pool.tasks IS 'tasks of this database that are not finished';
COMMENT ON COLUMN worker_pool.tasks.id IS 'id that enqueue returned';
COMMENT ON COLUMN worker_pool.tasks.name IS 'name that it was given; a schedule''s task has the name of the schedule';
COMMENT ON COLUMN worker_pool.tasks.queue IS 'queue that it is in';
COMMENT ON COLUMN worker_pool.tasks.state IS 'blocked (waits for other tasks), scheduled (not due yet), ready, running, or expired (about to be ended)';
COMMENT ON COLUMN worker_pool.tasks.priority IS 'larger runs first';
COMMENT ON COLUMN worker_pool.tasks.attempt IS 'attempts that count already';
COMMENT ON COLUMN worker_pool.tasks.max_attempts IS 'attempts that it may have';
COMMENT ON COLUMN worker_pool.tasks.owner IS 'role that enqueued it, by the name it had then';
COMMENT ON COLUMN worker_pool.tasks.run_as IS 'role that it runs as, by the name it had then';
COMMENT ON COLUMN worker_pool.tasks.command IS 'text of the command; NULL for those who may not see it';
COMMENT ON COLUMN worker_pool.tasks.args IS 'arguments of the command; NULL for those who may not see them';
COMMENT ON COLUMN worker_pool.tasks.settings IS 'settings of the command; NULL for those who may not see them';
COMMENT ON COLUMN worker_pool.tasks.key IS 'key that no other waiting task of the owner has; NULL for those who may not see it';
COMMENT ON COLUMN worker_pool.tasks.concurrency_key IS 'key of which one task of its owner runs at a time; NULL for those who may not see it';
COMMENT ON COLUMN worker_pool.tasks.depends_on IS 'ids of the tasks that it still waits for';
COMMENT ON COLUMN worker_pool.tasks.enqueued_at IS 'when it was enqueued';
COMMENT ON COLUMN worker_pool.tasks.run_at IS 'when it was to run first';
COMMENT ON COLUMN worker_pool.tasks.due IS 'when it may run next: run_at, or the time of its retry; NULL while blocked';
COMMENT ON COLUMN worker_pool.tasks.started_at IS 'when the attempt that runs was begun; NULL when none runs';
COMMENT ON COLUMN worker_pool.tasks.expires_at IS 'when it is ended if it has not begun; NULL for never';
COMMENT ON COLUMN worker_pool.tasks.schedule IS 'name of the schedule that made it; NULL when none did';
COMMENT ON COLUMN worker_pool.tasks.atomic IS 'true: its effect and its end are committed together; false: it runs as top-level statements';
COMMENT ON COLUMN worker_pool.tasks.pid IS 'process ID of the worker that runs it; NULL when it does not run';
COMMENT ON COLUMN worker_pool.tasks.slot IS 'slot of that worker';
COMMENT ON COLUMN worker_pool.tasks.progress IS 'what it reported with report_progress, from 0 to 1';
COMMENT ON COLUMN worker_pool.tasks.message IS 'message that it reported with report_progress; NULL for those who may not see it';
COMMENT ON COLUMN worker_pool.tasks.last_sqlstate IS 'SQLSTATE of its last failed attempt; NULL for those who may not see it';
COMMENT ON COLUMN worker_pool.tasks.last_error IS 'message of its last failed attempt; NULL for those who may not see it';
COMMENT ON COLUMN worker_pool.tasks.adopted IS 'false: the row came by a copy, restore or replication and does not run until worker_pool.adopt()';

CREATE VIEW worker_pool.task_history AS
	SELECT h.task_id AS id, h.attempt, h.state, h.name, h.queue,
		h.owner_name::pg_catalog.name AS owner,
		h.run_as_name::pg_catalog.name AS run_as,
		CASE WHEN worker_pool._may_see(h.owner) THEN h.command END AS command,
		CASE WHEN worker_pool._may_see(h.owner) THEN h.args END AS args,
		CASE WHEN h.started_at OPERATOR(pg_catalog.>) '-infinity'::pg_catalog.timestamptz THEN h.started_at END AS started_at,
		h.finished_at,
		CASE WHEN h.started_at OPERATOR(pg_catalog.>) '-infinity'::pg_catalog.timestamptz THEN h.finished_at OPERATOR(pg_catalog.-) h.started_at END AS duration,
		CASE WHEN worker_pool._may_see(h.owner) THEN h.sqlstate END AS sqlstate,
		CASE WHEN worker_pool._may_see(h.owner) THEN h.message END AS message,
		CASE WHEN worker_pool._may_see(h.owner) THEN h.detail END AS detail,
		CASE WHEN worker_pool._may_see(h.owner) THEN h.hint END AS hint,
		CASE WHEN worker_pool._may_see(h.owner) THEN h.context END AS context,
		h.tag,
		CASE WHEN h.pid OPERATOR(pg_catalog.>) 0 THEN h.pid END AS pid,
		CASE WHEN h.schedule_id OPERATOR(pg_catalog.<>) 0 THEN (
			SELECT s.name
			FROM worker_pool.schedule AS s
			WHERE s.id OPERATOR(pg_catalog.=) h.schedule_id) END AS schedule,
		h.is_final,
		h.result IS NOT NULL AS has_result
	FROM worker_pool.history AS h;
COMMENT ON VIEW worker_pool.task_history IS 'attempts of tasks of this database that have ended, one row each, as worker_pool.history keeps them';
COMMENT ON COLUMN worker_pool.task_history.id IS 'id of the task';
COMMENT ON COLUMN worker_pool.task_history.attempt IS 'number of the attempt, from 1; 0 for an end without one';
COMMENT ON COLUMN worker_pool.task_history.state IS 'how the attempt ended: succeeded, failed, cancelled, expired or skipped';
COMMENT ON COLUMN worker_pool.task_history.name IS 'name that the task was given';
COMMENT ON COLUMN worker_pool.task_history.queue IS 'queue that the task was in';
COMMENT ON COLUMN worker_pool.task_history.owner IS 'role that enqueued the task, by the name it had then';
COMMENT ON COLUMN worker_pool.task_history.run_as IS 'role that it ran as, by the name it had then';
COMMENT ON COLUMN worker_pool.task_history.command IS 'text of the command; NULL for those who may not see it';
COMMENT ON COLUMN worker_pool.task_history.args IS 'arguments of the command; NULL for those who may not see them';
COMMENT ON COLUMN worker_pool.task_history.started_at IS 'when the attempt was begun; NULL when none was';
COMMENT ON COLUMN worker_pool.task_history.finished_at IS 'when it ended';
COMMENT ON COLUMN worker_pool.task_history.duration IS 'how long it ran';
COMMENT ON COLUMN worker_pool.task_history.sqlstate IS 'SQLSTATE of its error; NULL for those who may not see it';
COMMENT ON COLUMN worker_pool.task_history.message IS 'message of its error; NULL for those who may not see it';
COMMENT ON COLUMN worker_pool.task_history.detail IS 'DETAIL of its error; NULL for those who may not see it';
COMMENT ON COLUMN worker_pool.task_history.hint IS 'HINT of its error; NULL for those who may not see it';
COMMENT ON COLUMN worker_pool.task_history.context IS 'CONTEXT of its error; NULL for those who may not see it';
COMMENT ON COLUMN worker_pool.task_history.tag IS 'command tag of one that succeeded, such as INSERT 0 1';
COMMENT ON COLUMN worker_pool.task_history.pid IS 'process ID of the worker that ran it';
COMMENT ON COLUMN worker_pool.task_history.schedule IS 'name of the schedule that made the task; NULL when none did, or when that was dropped';
COMMENT ON COLUMN worker_pool.task_history.is_final IS 'true: the last row of its task';
COMMENT ON COLUMN worker_pool.task_history.has_result IS 'true: worker_pool.task_result(id) has it';

CREATE FUNCTION worker_pool._queue_pause(
	queue_id pg_catalog.int4,
	OUT paused pg_catalog.bool,
	OUT paused_by pg_catalog.oid,
	OUT paused_at pg_catalog.timestamptz,
	OUT reason pg_catalog.text)
RETURNS pg_catalog.record
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'worker_pool_queue_pause';
COMMENT ON FUNCTION worker_pool._queue_pause(pg_catalog.int4) IS
'Internal: the pause of a queue (-1: of the whole database) as memory has it; NULLs where it has none to tell of.';

CREATE FUNCTION worker_pool._queue_counts(
	OUT queue_id pg_catalog.int4,
	OUT ready pg_catalog.int8,
	OUT waiting pg_catalog.int8,
	OUT running pg_catalog.int8)
RETURNS SETOF pg_catalog.record
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 10
AS 'MODULE_PATHNAME', 'worker_pool_queue_counts';
COMMENT ON FUNCTION worker_pool._queue_counts() IS
'Internal: tasks of this database in the ready queue, by the id of their queue.';

CREATE VIEW worker_pool.queues AS
	WITH known AS (
		SELECT q.id, q.name, q.max_running, q.priority, q.owner_name, q.paused, q.paused_by, q.paused_at, q.reason,
			worker_pool._is_own_row(q.installation, q.database) AS adopted
		FROM worker_pool.queue AS q
		UNION ALL
		SELECT 0, 'default', 0, 0, NULL, false, 0::pg_catalog.oid, '-infinity'::pg_catalog.timestamptz, NULL, true
		WHERE NOT EXISTS (SELECT FROM worker_pool.queue AS q WHERE q.id OPERATOR(pg_catalog.=) 0)
		UNION ALL
		SELECT -1, '', 0, 0, NULL, false, 0::pg_catalog.oid, '-infinity'::pg_catalog.timestamptz, NULL, true
		WHERE NOT EXISTS (SELECT FROM worker_pool.queue AS q WHERE q.id OPERATOR(pg_catalog.=) (-1))
	), pause AS (
		-- memory first: what it says may not be stored yet
		SELECT k.id,
			CASE WHEN m.paused IS NULL THEN k.paused AND k.adopted ELSE m.paused END AS paused,
			CASE WHEN m.paused IS NULL THEN k.paused_by ELSE m.paused_by END AS paused_by,
			CASE WHEN m.paused IS NULL THEN k.paused_at ELSE m.paused_at END AS paused_at,
			CASE WHEN m.paused IS NULL THEN k.reason ELSE m.reason END AS reason
		FROM known AS k
		CROSS JOIN LATERAL worker_pool._queue_pause(k.id) AS m
	)
	SELECT k.id, k.name,
		CASE WHEN k.max_running OPERATOR(pg_catalog.>) 0 THEN k.max_running END AS max_running,
		k.priority,
		CASE WHEN k.owner_name OPERATOR(pg_catalog.<>) '' THEN k.owner_name::pg_catalog.name END AS owner,
		own.id IS NOT NULL OR whole.id IS NOT NULL AS paused,
		CASE
			WHEN own.id IS NOT NULL THEN pg_catalog.pg_get_userbyid(own.paused_by)
			WHEN whole.id IS NOT NULL THEN pg_catalog.pg_get_userbyid(whole.paused_by)
		END AS paused_by,
		CASE WHEN own.id IS NOT NULL THEN own.paused_at ELSE whole.paused_at END AS paused_at,
		CASE WHEN own.id IS NOT NULL THEN own.reason ELSE whole.reason END AS pause_reason,
		CASE WHEN n.ready IS NULL THEN 0 ELSE n.ready END AS ready,
		CASE WHEN n.waiting IS NULL THEN 0 ELSE n.waiting END AS waiting,
		CASE WHEN n.running IS NULL THEN 0 ELSE n.running END AS running,
		k.adopted
	FROM known AS k
	LEFT JOIN pause AS own ON own.id OPERATOR(pg_catalog.=) k.id AND own.paused
	LEFT JOIN pause AS whole ON whole.id OPERATOR(pg_catalog.=) (-1) AND whole.paused
	LEFT JOIN worker_pool._queue_counts() AS n ON n.queue_id OPERATOR(pg_catalog.=) k.id
	WHERE k.id OPERATOR(pg_catalog.>=) 0;
COMMENT ON VIEW worker_pool.queues IS 'queues of this database, the one named default among them';
COMMENT ON COLUMN worker_pool.queues.id IS 'number of the queue; 0 is default';
COMMENT ON COLUMN worker_pool.queues.name IS 'name of the queue';
COMMENT ON COLUMN worker_pool.queues.max_running IS 'how many of its tasks may run at a time; NULL for no limit';
COMMENT ON COLUMN worker_pool.queues.priority IS 'comes before the priority of a task: larger runs first';
COMMENT ON COLUMN worker_pool.queues.owner IS 'role that created it; NULL for default';
COMMENT ON COLUMN worker_pool.queues.paused IS 'true: nothing of it starts, because it or the whole database is paused';
COMMENT ON COLUMN worker_pool.queues.paused_by IS 'role that paused it';
COMMENT ON COLUMN worker_pool.queues.paused_at IS 'when it was paused';
COMMENT ON COLUMN worker_pool.queues.pause_reason IS 'the reason that was given';
COMMENT ON COLUMN worker_pool.queues.ready IS 'its tasks in the ready queue that are due; a lower bound while there is more to do than memory holds';
COMMENT ON COLUMN worker_pool.queues.waiting IS 'its tasks in the ready queue in all, not yet due ones too; a lower bound likewise';
COMMENT ON COLUMN worker_pool.queues.running IS 'its tasks that run';
COMMENT ON COLUMN worker_pool.queues.adopted IS 'false: the row came by a copy, restore or replication and is not in force until worker_pool.adopt()';

CREATE VIEW worker_pool.schedules AS
	SELECT s.id, s.name, s.schedule, s.timezone,
		CASE WHEN worker_pool._may_see_row(s.owner, s.installation, s.database) THEN s.command END AS command,
		CASE WHEN worker_pool._may_see_row(s.owner, s.installation, s.database) THEN s.args END AS args,
		s.active,
		CASE
			WHEN s.overlap OPERATOR(pg_catalog.=) 'q'::pg_catalog."char" THEN 'queue'
			WHEN s.overlap OPERATOR(pg_catalog.=) 'a'::pg_catalog."char" THEN 'allow'
			ELSE 'skip'
		END::pg_catalog.text AS overlap,
		CASE WHEN s.missed OPERATOR(pg_catalog.=) 's'::pg_catalog."char" THEN 'skip' ELSE 'once' END::pg_catalog.text AS missed,
		s.queue, s.priority,
		CASE
			WHEN s.max_attempts OPERATOR(pg_catalog.>) 0 THEN s.max_attempts
			WHEN s.atomic THEN 3
			ELSE 1
		END AS max_attempts,
		pg_catalog.make_interval(secs => s.retry_delay_ms::pg_catalog.float8 OPERATOR(pg_catalog./) 1000) AS retry_delay,
		CASE WHEN s.timeout_ms OPERATOR(pg_catalog.>=) 0 THEN pg_catalog.make_interval(secs => s.timeout_ms::pg_catalog.float8 OPERATOR(pg_catalog./) 1000) END AS timeout,
		CASE WHEN s.expires_after_ms OPERATOR(pg_catalog.>) 0 THEN pg_catalog.make_interval(secs => s.expires_after_ms::pg_catalog.float8 OPERATOR(pg_catalog./) 1000) END AS expires_after,
		s.run_as_name::pg_catalog.name AS run_as,
		s.owner_name::pg_catalog.name AS owner,
		s.atomic,
		CASE WHEN worker_pool._may_see_row(s.owner, s.installation, s.database) THEN s.settings END AS settings,
		CASE WHEN s.next_run OPERATOR(pg_catalog.<) 'infinity'::pg_catalog.timestamptz THEN s.next_run END AS next_run,
		CASE WHEN s.last_run OPERATOR(pg_catalog.>) '-infinity'::pg_catalog.timestamptz THEN s.last_run END AS last_run,
		COALESCE(
			(SELECT t.state FROM worker_pool.tasks AS t WHERE t.id OPERATOR(pg_catalog.=) s.last_task),
			(SELECT h.state
				FROM worker_pool.history AS h
				WHERE h.schedule_id OPERATOR(pg_catalog.=) s.id AND h.is_final
				ORDER BY h.finished_at DESC
				LIMIT 1)) AS last_status,
		CASE
			WHEN NOT worker_pool._may_see_row(s.owner, s.installation, s.database) THEN NULL
			WHEN EXISTS (SELECT FROM worker_pool.task AS t WHERE t.id OPERATOR(pg_catalog.=) s.last_task) THEN (
				SELECT t.last_error
				FROM worker_pool.task AS t
				WHERE t.id OPERATOR(pg_catalog.=) s.last_task)
			ELSE (
				SELECT h.message
				FROM worker_pool.history AS h
				WHERE h.schedule_id OPERATOR(pg_catalog.=) s.id AND h.is_final
				ORDER BY h.finished_at DESC
				LIMIT 1)
		END AS last_error,
		worker_pool._is_own_row(s.installation, s.database) AS adopted
	FROM worker_pool.schedule AS s;
COMMENT ON VIEW worker_pool.schedules IS 'schedules of this database';
COMMENT ON COLUMN worker_pool.schedules.id IS 'id that schedule returned';
COMMENT ON COLUMN worker_pool.schedules.name IS 'name of the schedule';
COMMENT ON COLUMN worker_pool.schedules.schedule IS 'when it is due, as it was given';
COMMENT ON COLUMN worker_pool.schedules.timezone IS 'time zone in which that is meant';
COMMENT ON COLUMN worker_pool.schedules.command IS 'text of the command; NULL for those who may not see it';
COMMENT ON COLUMN worker_pool.schedules.args IS 'arguments of the command; NULL for those who may not see them';
COMMENT ON COLUMN worker_pool.schedules.active IS 'false: it makes no tasks';
COMMENT ON COLUMN worker_pool.schedules.overlap IS 'skip, queue or allow: what happens when it is due while its last task is unfinished';
COMMENT ON COLUMN worker_pool.schedules.missed IS 'skip or once: what happens with due times that passed while the server was away';
COMMENT ON COLUMN worker_pool.schedules.queue IS 'queue that its tasks go to';
COMMENT ON COLUMN worker_pool.schedules.priority IS 'priority of its tasks';
COMMENT ON COLUMN worker_pool.schedules.max_attempts IS 'attempts that its tasks may have';
COMMENT ON COLUMN worker_pool.schedules.retry_delay IS 'time before the second attempt; doubles with each one';
COMMENT ON COLUMN worker_pool.schedules.timeout IS 'how long a task may run; 0 for no limit';
COMMENT ON COLUMN worker_pool.schedules.expires_after IS 'a task that has not begun so long after its due time is ended; NULL for never';
COMMENT ON COLUMN worker_pool.schedules.run_as IS 'role that its tasks run as';
COMMENT ON COLUMN worker_pool.schedules.owner IS 'role that the schedule belongs to';
COMMENT ON COLUMN worker_pool.schedules.atomic IS 'as for a task';
COMMENT ON COLUMN worker_pool.schedules.settings IS 'settings of the command; NULL for those who may not see them';
COMMENT ON COLUMN worker_pool.schedules.next_run IS 'next due time; NULL when there is none';
COMMENT ON COLUMN worker_pool.schedules.last_run IS 'due time of the last task made; NULL when there was none';
COMMENT ON COLUMN worker_pool.schedules.last_status IS 'state of its last task: blocked, scheduled, ready, running, or how it ended';
COMMENT ON COLUMN worker_pool.schedules.last_error IS 'message of the last error of that task; NULL for those who may not see it';
COMMENT ON COLUMN worker_pool.schedules.adopted IS 'false: the row came by a copy, restore or replication and does not run until worker_pool.adopt()';

CREATE FUNCTION worker_pool._services(
	OUT id pg_catalog.int8,
	OUT state pg_catalog.text,
	OUT pid pg_catalog.int4,
	OUT cycle pg_catalog.int8,
	OUT restarts pg_catalog.int8,
	OUT failures pg_catalog.int4,
	OUT next_start pg_catalog.timestamptz,
	OUT last_error pg_catalog.text,
	OUT started_at pg_catalog.timestamptz,
	OUT stopping_since pg_catalog.timestamptz)
RETURNS SETOF pg_catalog.record
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 10
AS 'MODULE_PATHNAME', 'worker_pool_services';
COMMENT ON FUNCTION worker_pool._services() IS
'Internal: how the services of this database do that memory knows of, by id; the error only for those who may see it.';

CREATE VIEW worker_pool.services AS
	SELECT s.id, s.name,
		CASE
			WHEN NOT worker_pool._is_own_row(s.installation, s.database) THEN 'stopped'
			WHEN m.state IS NOT NULL THEN m.state
			WHEN NOT s.active THEN 'stopped'
			WHEN s.quarantined_at OPERATOR(pg_catalog.>) '-infinity'::pg_catalog.timestamptz THEN 'quarantined'
			ELSE 'starting'
		END::pg_catalog.text AS state,
		m.pid,
		CASE WHEN m.cycle IS NULL THEN 0 ELSE m.cycle END AS cycle,
		CASE WHEN m.restarts IS NULL THEN 0 ELSE m.restarts END AS restarts,
		CASE WHEN m.failures IS NULL THEN 0 ELSE m.failures END AS failures,
		m.next_start, m.last_error,
		CASE
			WHEN NOT worker_pool._may_see_row(s.owner, s.installation, s.database) THEN NULL
			WHEN s.quarantine_reason IS NOT NULL THEN s.quarantine_reason
			WHEN m.state OPERATOR(pg_catalog.=) 'quarantined' THEN m.last_error
		END AS quarantine_reason,
		CASE WHEN worker_pool._may_see_row(s.owner, s.installation, s.database) THEN s.command END AS command,
		CASE WHEN worker_pool._may_see_row(s.owner, s.installation, s.database) THEN s.entry_point END AS entry_point,
		pg_catalog.make_interval(secs => s.every_ms::pg_catalog.float8 OPERATOR(pg_catalog./) 1000) AS every,
		pg_catalog.make_interval(secs => s.timeout_ms::pg_catalog.float8 OPERATOR(pg_catalog./) 1000) AS timeout,
		CASE WHEN worker_pool._may_see_row(s.owner, s.installation, s.database) THEN s.config END AS config,
		CASE WHEN worker_pool._may_see_row(s.owner, s.installation, s.database) THEN s.settings END AS settings,
		s.run_as_name::pg_catalog.name AS run_as,
		s.owner_name::pg_catalog.name AS owner,
		s.active,
		CASE WHEN s.run_on OPERATOR(pg_catalog.=) 'a'::pg_catalog."char" THEN 'any' ELSE 'primary' END::pg_catalog.text AS run_on,
		m.started_at, m.stopping_since,
		worker_pool._is_own_row(s.installation, s.database) AS adopted
	FROM worker_pool.service AS s
	LEFT JOIN worker_pool._services() AS m ON m.id OPERATOR(pg_catalog.=) s.id;
COMMENT ON VIEW worker_pool.services IS 'services of this database';
COMMENT ON COLUMN worker_pool.services.id IS 'id that create_service returned';
COMMENT ON COLUMN worker_pool.services.name IS 'name of the service';
COMMENT ON COLUMN worker_pool.services.state IS 'stopped, starting (waits for a slot, or its process is coming up), running, waiting (between two cycles), backing off (after a failure), or quarantined';
COMMENT ON COLUMN worker_pool.services.pid IS 'process ID of its process; NULL when it has none';
COMMENT ON COLUMN worker_pool.services.cycle IS 'cycles that have succeeded since the server''s start';
COMMENT ON COLUMN worker_pool.services.restarts IS 'processes started after a crash, a failed start or restart_service, since the server''s start';
COMMENT ON COLUMN worker_pool.services.failures IS 'failures in a row';
COMMENT ON COLUMN worker_pool.services.next_start IS 'when its next cycle or attempt is due; NULL when it runs or is not to run';
COMMENT ON COLUMN worker_pool.services.last_error IS 'message of its last error; NULL for those who may not see it';
COMMENT ON COLUMN worker_pool.services.quarantine_reason IS 'why it is in quarantine; NULL for those who may not see it';
COMMENT ON COLUMN worker_pool.services.command IS 'text of the command; NULL for an entry point, and for those who may not see it';
COMMENT ON COLUMN worker_pool.services.entry_point IS 'entry point that it runs; NULL for a command, and for those who may not see it';
COMMENT ON COLUMN worker_pool.services.every IS 'time from the begin of a cycle to the begin of the next';
COMMENT ON COLUMN worker_pool.services.timeout IS 'how long a cycle may run; 0 for no limit';
COMMENT ON COLUMN worker_pool.services.config IS 'what it finds in current_service_config(); NULL for those who may not see it';
COMMENT ON COLUMN worker_pool.services.settings IS 'settings of its cycles; NULL for those who may not see them';
COMMENT ON COLUMN worker_pool.services.run_as IS 'role that it runs as, by the name it had then';
COMMENT ON COLUMN worker_pool.services.owner IS 'role that it belongs to, by the name it had then';
COMMENT ON COLUMN worker_pool.services.active IS 'false: it was stopped, and does not run until start_service';
COMMENT ON COLUMN worker_pool.services.run_on IS 'primary, or any: also on a hot standby';
COMMENT ON COLUMN worker_pool.services.started_at IS 'when the cycle or resident main that runs was begun; NULL when none runs';
COMMENT ON COLUMN worker_pool.services.stopping_since IS 'since when its process is asked to leave; NULL when it is not';
COMMENT ON COLUMN worker_pool.services.adopted IS 'false: the row came by a copy, restore or replication and does not run until worker_pool.adopt()';

CREATE VIEW worker_pool.job_run_details AS
	SELECT t.schedule_id AS jobid, t.id AS runid, k.pid AS job_pid,
		pg_catalog.current_database()::pg_catalog.text AS database,
		t.run_as_name AS username, k.command,
		CASE WHEN k.state OPERATOR(pg_catalog.=) 'running' THEN 'running' ELSE 'starting' END::pg_catalog.text AS status,
		k.last_error AS return_message, k.started_at AS start_time,
		NULL::pg_catalog.timestamptz AS end_time
	FROM worker_pool.task AS t
	JOIN worker_pool.tasks AS k ON k.id OPERATOR(pg_catalog.=) t.id
	WHERE t.schedule_id OPERATOR(pg_catalog.<>) 0
	UNION ALL
	SELECT h.schedule_id, h.task_id,
		CASE WHEN h.pid OPERATOR(pg_catalog.>) 0 THEN h.pid END,
		pg_catalog.current_database()::pg_catalog.text,
		h.run_as_name,
		CASE WHEN worker_pool._may_see(h.owner) THEN h.command END,
		CASE WHEN h.state OPERATOR(pg_catalog.=) 'succeeded' THEN 'succeeded' ELSE 'failed' END::pg_catalog.text,
		CASE
			WHEN NOT worker_pool._may_see(h.owner) THEN NULL
			WHEN h.message IS NOT NULL THEN h.message
			WHEN h.tag IS NOT NULL THEN h.tag
			ELSE h.state
		END,
		CASE WHEN h.started_at OPERATOR(pg_catalog.>) '-infinity'::pg_catalog.timestamptz THEN h.started_at END,
		h.finished_at
	FROM worker_pool.history AS h
	WHERE h.schedule_id OPERATOR(pg_catalog.<>) 0 AND h.is_final AND h.state OPERATOR(pg_catalog.<>) 'skipped';
COMMENT ON VIEW worker_pool.job_run_details IS 'the tasks of schedules with the columns and words of pg_cron''s cron.job_run_details';
COMMENT ON COLUMN worker_pool.job_run_details.jobid IS 'id of the schedule';
COMMENT ON COLUMN worker_pool.job_run_details.runid IS 'id of the task';
COMMENT ON COLUMN worker_pool.job_run_details.job_pid IS 'process ID of the worker that runs it, or ran its last attempt';
COMMENT ON COLUMN worker_pool.job_run_details.database IS 'always the current database';
COMMENT ON COLUMN worker_pool.job_run_details.username IS 'role that it runs as';
COMMENT ON COLUMN worker_pool.job_run_details.command IS 'text of the command; NULL for those who may not see it';
COMMENT ON COLUMN worker_pool.job_run_details.status IS 'starting (it waits), running, succeeded, or failed (also: cancelled, expired)';
COMMENT ON COLUMN worker_pool.job_run_details.return_message IS 'message of its last error, or the command tag; NULL for those who may not see it';
COMMENT ON COLUMN worker_pool.job_run_details.start_time IS 'when its last attempt was begun';
COMMENT ON COLUMN worker_pool.job_run_details.end_time IS 'when it ended';

CREATE FUNCTION worker_pool._stats(
	OUT queue_id pg_catalog.int4,
	OUT enqueued pg_catalog.int8,
	OUT succeeded pg_catalog.int8,
	OUT failed pg_catalog.int8,
	OUT retried pg_catalog.int8,
	OUT cancelled pg_catalog.int8,
	OUT expired pg_catalog.int8,
	OUT skipped pg_catalog.int8,
	OUT avg_wait pg_catalog."interval",
	OUT avg_run pg_catalog."interval",
	OUT since pg_catalog.timestamptz)
RETURNS SETOF pg_catalog.record
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 10
AS 'MODULE_PATHNAME', 'worker_pool_stats';
COMMENT ON FUNCTION worker_pool._stats() IS 'rows of the view worker_pool.stats';

CREATE VIEW worker_pool.stats AS
	SELECT
		CASE
			WHEN s.queue_id OPERATOR(pg_catalog.=) 0 THEN 'default'
			ELSE (SELECT q.name FROM worker_pool.queue AS q WHERE q.id OPERATOR(pg_catalog.=) s.queue_id AND q.id OPERATOR(pg_catalog.>) 0)
		END AS queue,
		s.enqueued, s.succeeded, s.failed, s.retried, s.cancelled, s.expired, s.skipped, s.avg_wait, s.avg_run, s.since
	FROM worker_pool._stats() AS s;
COMMENT ON VIEW worker_pool.stats IS 'what became of the tasks of this database since the server''s start or worker_pool.stats_reset()';
COMMENT ON COLUMN worker_pool.stats.queue IS 'name of the queue; NULL for one that was dropped, and for those beyond the number that memory has room for';
COMMENT ON COLUMN worker_pool.stats.enqueued IS 'tasks enqueued';
COMMENT ON COLUMN worker_pool.stats.succeeded IS 'tasks that succeeded';
COMMENT ON COLUMN worker_pool.stats.failed IS 'tasks that failed for good';
COMMENT ON COLUMN worker_pool.stats.retried IS 'attempts that failed and were followed by another';
COMMENT ON COLUMN worker_pool.stats.cancelled IS 'tasks that were cancelled';
COMMENT ON COLUMN worker_pool.stats.expired IS 'tasks that expired before they began';
COMMENT ON COLUMN worker_pool.stats.skipped IS 'due times of schedules that were skipped';
COMMENT ON COLUMN worker_pool.stats.avg_wait IS 'mean time from due to begin; NULL when nothing was begun';
COMMENT ON COLUMN worker_pool.stats.avg_run IS 'mean time of an attempt; NULL when nothing was run';
COMMENT ON COLUMN worker_pool.stats.since IS 'since when it is counted';

CREATE FUNCTION worker_pool._latency(
	OUT queue_id pg_catalog.int4,
	OUT kind pg_catalog.text,
	OUT le pg_catalog."interval",
	OUT count pg_catalog.int8)
RETURNS SETOF pg_catalog.record
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 100
AS 'MODULE_PATHNAME', 'worker_pool_latency';
COMMENT ON FUNCTION worker_pool._latency() IS 'rows of the view worker_pool.latency';

CREATE VIEW worker_pool.latency AS
	SELECT
		CASE
			WHEN l.queue_id OPERATOR(pg_catalog.=) 0 THEN 'default'
			ELSE (SELECT q.name FROM worker_pool.queue AS q WHERE q.id OPERATOR(pg_catalog.=) l.queue_id AND q.id OPERATOR(pg_catalog.>) 0)
		END AS queue,
		l.kind, l.le, l.count
	FROM worker_pool._latency() AS l;
COMMENT ON VIEW worker_pool.latency IS 'how long tasks of this database waited and ran, as cumulative histograms';
COMMENT ON COLUMN worker_pool.latency.queue IS 'name of the queue; NULL as in stats';
COMMENT ON COLUMN worker_pool.latency.kind IS 'wait: from due to begin; run: of an attempt';
COMMENT ON COLUMN worker_pool.latency.le IS 'upper bound; NULL for infinity';
COMMENT ON COLUMN worker_pool.latency.count IS 'how many took no longer than that';

-- Functions about tasks that only look

CREATE FUNCTION worker_pool.task_result(
	id pg_catalog.int8)
RETURNS pg_catalog.jsonb
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_task_result';

COMMENT ON FUNCTION worker_pool.task_result(pg_catalog.int8) IS
'Returns the rows of a task that has succeeded, as a json array of objects, from the history: those of its last statement that returned any, [] when none did. It can be called any number of times while the history is kept. If the task failed, raises the error of its last attempt, with all fields; 57014 if it was cancelled. Does not wait: worker_pool.wait_task(id) does.

id: what enqueue returned (22004 null; 42704 unknown; 55000 not finished, its history is not kept, or its result was larger than 256 kB or nothing that jsonb can hold).

Allowed to the owner and to members of the owner''s role (42501).';

CREATE FUNCTION worker_pool.explain_task(
	id pg_catalog.int8,
	OUT reason pg_catalog.text,
	OUT detail pg_catalog.text,
	OUT hint pg_catalog.text)
RETURNS SETOF pg_catalog.record
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE ROWS 5
AS 'MODULE_PATHNAME', 'worker_pool_explain_task';

COMMENT ON FUNCTION worker_pool.explain_task(pg_catalog.int8) IS
'Tells in words why a task does not run, all reasons that hold at this moment, the first to be dealt with first; if it runs, since when, where, and what it waits for; if it is finished, how it ended. hint has the statement to run, where there is one.

id: what enqueue returned (22004 null, 42704 unknown).

Allowed to the owner, to members of the owner''s role and of pg_read_all_stats (42501). Works on a hot standby.';

CREATE FUNCTION worker_pool.stats_reset()
RETURNS pg_catalog.void
LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'worker_pool_stats_reset';

COMMENT ON FUNCTION worker_pool.stats_reset() IS
'Sets the counters and histograms of this database back to zero: views stats and latency, column failed of databases. Allowed to the owner of the database and to superusers (42501). Immediate, not transactional.';

-- Who may what: views are for everybody with USAGE on the schema, tables and sequences for nobody. Rights that
-- the administrator's ALTER DEFAULT PRIVILEGES gives on whatever is created would let others write rows that
-- run as any role: they are taken away. For the same reason tables, views and functions belong to the superuser that initdb made,
-- not to who creates the extension, who may be a superuser only for that moment; the library does not serve tables
-- whose owner is no superuser.
GRANT SELECT ON worker_pool.tasks, worker_pool.task_history, worker_pool.queues, worker_pool.schedules,
	worker_pool.services, worker_pool.job_run_details, worker_pool.stats, worker_pool.latency TO PUBLIC;

DO LANGUAGE plpgsql $$
DECLARE
	given record;
BEGIN
	FOR given IN
		SELECT c.relname AS relation, c.relkind OPERATOR(pg_catalog.=) 'S'::pg_catalog."char" AS is_sequence,
			a.privilege_type AS privilege,
			CASE WHEN a.grantee OPERATOR(pg_catalog.=) 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END AS grantee
		FROM pg_catalog.pg_class AS c
		CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS a
		WHERE c.relnamespace OPERATOR(pg_catalog.=) 'worker_pool'::pg_catalog.regnamespace
			AND c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'v', 'S']::pg_catalog."char"[])
			AND a.grantee OPERATOR(pg_catalog.<>) c.relowner
			AND NOT (c.relkind OPERATOR(pg_catalog.=) 'v'::pg_catalog."char" AND a.privilege_type OPERATOR(pg_catalog.=) 'SELECT')
	LOOP
		EXECUTE pg_catalog.format('REVOKE %s ON %s worker_pool.%I FROM %s', given.privilege,
			CASE WHEN given.is_sequence THEN 'SEQUENCE' ELSE 'TABLE' END, given.relation, given.grantee);
	END LOOP;
	FOR given IN
		SELECT c.relname AS relation,
			CASE c.relkind WHEN 'S'::pg_catalog."char" THEN 'SEQUENCE' WHEN 'v'::pg_catalog."char" THEN 'VIEW' ELSE 'TABLE' END AS kind,
			pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(10)) AS owner
		FROM pg_catalog.pg_class AS c
		WHERE c.relnamespace OPERATOR(pg_catalog.=) 'worker_pool'::pg_catalog.regnamespace
			AND c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'v', 'S']::pg_catalog."char"[])
	LOOP
		EXECUTE pg_catalog.format('ALTER %s worker_pool.%I OWNER TO %s', given.kind, given.relation, given.owner);
	END LOOP;
	FOR given IN
		SELECT p.oid::pg_catalog.regprocedure::pg_catalog.text AS routine, pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(10)) AS owner
		FROM pg_catalog.pg_proc AS p
		WHERE p.pronamespace OPERATOR(pg_catalog.=) 'worker_pool'::pg_catalog.regnamespace
	LOOP
		EXECUTE pg_catalog.format('ALTER ROUTINE %s OWNER TO %s', given.routine, given.owner);
	END LOOP;
END
$$;
