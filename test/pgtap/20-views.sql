-- The views: every column with its type, in order; comments; what docs/reference.md says of them.
\set QUIET 1
SET client_min_messages = warning;
CREATE TEMP TABLE expected (view text, columns text);
INSERT INTO expected VALUES
	('workers', 'slot integer, pid integer, kind text, state text, database name, username name, command_id bigint, task_id bigint, service text, name text, command text, started_at timestamp with time zone, state_changed_at timestamp with time zone, commands_done bigint, progress double precision, message text'),
	('commands', 'id bigint, name text, state text, database name, username name, slot integer, pid integer, command text, submitted_at timestamp with time zone, started_at timestamp with time zone, finished_at timestamp with time zone, rows bigint, sqlstate text, error text'),
	('status', 'version text, launcher_pid integer, launcher_started_at timestamp with time zone, max_workers integer, free integer, starting integer, idle integer, running integer, stopping integer, queued integer, oldest_queued_at timestamp with time zone, in_recovery boolean, enabled boolean, shared_memory_used bigint, shared_memory_size bigint'),
	('databases', 'database name, version text, paused boolean, ready bigint, running bigint, failed bigint, oldest_ready_at timestamp with time zone, next_due timestamp with time zone, idle text, last_error text'),
	('tasks', 'id bigint, name text, queue text, state text, priority integer, attempt integer, max_attempts integer, owner name, run_as name, command text, args text[], settings jsonb, key text, concurrency_key text, depends_on bigint[], enqueued_at timestamp with time zone, run_at timestamp with time zone, due timestamp with time zone, started_at timestamp with time zone, expires_at timestamp with time zone, schedule text, atomic boolean, pid integer, slot integer, progress double precision, message text, last_sqlstate text, last_error text, adopted boolean'),
	('task_history', 'id bigint, attempt integer, state text, name text, queue text, owner name, run_as name, command text, args text[], started_at timestamp with time zone, finished_at timestamp with time zone, duration interval, sqlstate text, message text, detail text, hint text, context text, tag text, pid integer, schedule text, is_final boolean, has_result boolean'),
	('queues', 'id integer, name text, max_running integer, priority integer, owner name, paused boolean, paused_by name, paused_at timestamp with time zone, pause_reason text, ready bigint, waiting bigint, running bigint, adopted boolean'),
	('schedules', 'id bigint, name text, schedule text, timezone text, command text, args text[], active boolean, overlap text, missed text, queue text, priority integer, max_attempts integer, retry_delay interval, timeout interval, expires_after interval, run_as name, owner name, atomic boolean, settings jsonb, next_run timestamp with time zone, last_run timestamp with time zone, last_status text, last_error text, adopted boolean'),
	('services', 'id bigint, name text, state text, pid integer, cycle bigint, restarts bigint, failures integer, next_start timestamp with time zone, last_error text, quarantine_reason text, command text, entry_point text, every interval, timeout interval, config jsonb, settings jsonb, run_as name, owner name, active boolean, run_on text, started_at timestamp with time zone, stopping_since timestamp with time zone, adopted boolean'),
	('job_run_details', 'jobid bigint, runid bigint, job_pid integer, database text, username text, command text, status text, return_message text, start_time timestamp with time zone, end_time timestamp with time zone'),
	('stats', 'queue text, enqueued bigint, succeeded bigint, failed bigint, retried bigint, cancelled bigint, expired bigint, skipped bigint, avg_wait interval, avg_run interval, since timestamp with time zone'),
	('latency', 'queue text, kind text, le interval, count bigint');
-- the tables and sequences behind them, and that the library reads the rows of some in place
CREATE TEMP TABLE tables (name text, kind "char");
INSERT INTO tables VALUES ('installation', 'r'), ('task', 'r'), ('task_key', 'r'), ('dependency', 'r'), ('history', 'r'), ('queue', 'r'), ('schedule', 'r'), ('service', 'r'),
	('task_id_seq', 'S'), ('schedule_id_seq', 'S'), ('queue_id_seq', 'S'), ('service_id_seq', 'S');
SELECT 27 + 6 * count(*) + (SELECT count(*) FROM tables) AS tests FROM expected \gset
SELECT plan(:tests);

SELECT set_eq($$SELECT relname::text, relkind FROM pg_class WHERE relnamespace = 'worker_pool'::regnamespace$$,
	$$SELECT view, 'v'::"char" FROM expected UNION ALL SELECT name, kind FROM tables UNION ALL SELECT relname, 'i' FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
		WHERE indrelid IN (SELECT ('worker_pool.' || name)::regclass FROM tables)$$, 'the views, the tables with their indexes, the sequences, and no other relation');
SELECT is((SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum) FROM pg_attribute
	WHERE attrelid = ('worker_pool.' || view)::regclass AND attnum > 0 AND NOT attisdropped), columns, view || ': columns') FROM expected;
SELECT is_empty(format($$SELECT attname FROM pg_attribute WHERE attrelid = 'worker_pool.%s'::regclass AND attnum > 0 AND coalesce(length(col_description(attrelid, attnum)), 0) < 10$$, view),
	view || ': every column has a comment') FROM expected;
SELECT ok(length(obj_description(('worker_pool.' || view)::regclass, 'pg_class')) > 10, view || ': has a comment') FROM expected;
SELECT ok(EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = ('worker_pool.' || view)::regclass AND deptype = 'e'),
	view || ': is a member of the extension') FROM expected;
SELECT lives_ok('SELECT * FROM worker_pool.' || view, view || ': can be read') FROM expected;
SELECT is(pg_get_userbyid(relowner), (SELECT pg_get_userbyid(extowner) FROM pg_extension WHERE extname = 'worker_pool'), relname || ': belongs to the owner of the extension')
	FROM pg_class WHERE relnamespace = 'worker_pool'::regnamespace AND relkind IN ('v', 'r', 'S');

SELECT results_eq('SELECT count(*) FROM worker_pool.status', ARRAY[1::bigint], 'status has one row');
SELECT results_eq('SELECT count(*) FROM worker_pool.databases', 'SELECT count(*) FROM pg_database', 'databases has a row a database');
SELECT ok(EXISTS (SELECT FROM worker_pool.queues WHERE id = 0 AND name = 'default'), 'queues has default, which needs no row');

-- a view is taken apart by the planner: a count reads the table alone, an id goes to the primary key
CREATE FUNCTION pg_temp.plan_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	whole text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (VERBOSE, COSTS off) ' || statement LOOP
		whole := whole || line || E'\n';
	END LOOP;
	RETURN whole;
END $$;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT unalike(pg_temp.plan_of('SELECT count(*) FROM worker_pool.tasks'), '%worker_pool.\_%', 'tasks: a count calls nothing');
SELECT unalike(pg_temp.plan_of('SELECT count(*) FROM worker_pool.tasks'), '%SubPlan%', 'tasks: and reads nothing else');
SELECT alike(pg_temp.plan_of('SELECT * FROM worker_pool.tasks WHERE id = 7'), '%Index Scan using task_pkey%Index Cond: (t.id = 7)%', 'tasks: an id goes to the primary key');
SELECT alike(pg_temp.plan_of('SELECT state FROM worker_pool.task_history WHERE id = 7'), '%Index Scan using history_task%Index Cond: (h.task_id = 7)%', 'task_history: an id goes to the index');
SELECT unalike(pg_temp.plan_of('SELECT count(*) FROM worker_pool.task_history'), '%worker_pool.\_%', 'task_history: a count calls nothing');
SELECT unalike(pg_temp.plan_of('SELECT count(*) FROM worker_pool.schedules'), '%SubPlan%', 'schedules: a count reads no history');
RESET enable_seqscan;
RESET enable_bitmapscan;

-- src/catalog has these columns by number, the fixed ones as a struct: none of them is null or of varying length
SELECT is_empty(format($$SELECT attname FROM pg_attribute WHERE attrelid = 'worker_pool.%1$s'::regclass AND attnum > 0 AND (NOT attnotnull OR attlen < 0)
	AND attnum <= (SELECT max(attnum) FROM pg_attribute WHERE attrelid = 'worker_pool.%1$s'::regclass AND attnum > 0 AND attlen > 0)$$, name), name || ': what is read in place comes first and is never null')
	FROM (VALUES ('task'), ('history'), ('queue'), ('schedule'), ('service')) AS v (name);
SELECT is((SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'worker_pool.task'::regclass AND attnum > 0),
	'id rank due run_at enqueued_at expires_at claimed_at scheduled_for retry_delay_ms timeout_ms claim_epoch claim_generation trusted_epoch schedule_id installation database owner run_as claim_slot attempt max_attempts priority queue_id waits_for atomic counted keyed history command args settings queue run_as_name owner_name name key concurrency_key last_sqlstate last_error',
	'task: the columns of task_row.hpp');
SELECT is((SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'worker_pool.history'::regclass AND attnum > 0),
	'task_id started_at finished_at run_at enqueued_at expires_at scheduled_for retry_delay_ms timeout_ms schedule_id owner run_as attempt max_attempts priority queue_id pid is_final atomic history state command args settings queue run_as_name owner_name name key concurrency_key tag sqlstate message detail hint context result',
	'history: the columns of task_store and finished_task');
SELECT is((SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'worker_pool.queue'::regclass AND attnum > 0),
	'id max_running priority owner paused_by paused_at installation database paused name owner_name reason', 'queue: the columns of queue_row.hpp');
SELECT is((SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'worker_pool.schedule'::regclass AND attnum > 0),
	'id next_run last_run checked_at created_at retry_delay_ms timeout_ms expires_after_ms last_task boot_epoch installation database owner run_as max_attempts priority queue_id active atomic overlap missed name schedule timezone command args settings queue run_as_name owner_name',
	'schedule: the columns of schedule_row.hpp');
SELECT is((SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'worker_pool.service'::regclass AND attnum > 0),
	'id every_ms timeout_ms created_at quarantined_at run_epoch installation database owner run_as crashes active run_on name command entry_point config settings run_as_name owner_name quarantine_reason',
	'service: the columns of service_row.hpp');
SELECT set_eq($$SELECT extconfig_table::regclass::text, condition FROM pg_extension, unnest(extconfig, extcondition) AS c (extconfig_table, condition) WHERE extname = 'worker_pool'$$,
	$$VALUES ('worker_pool.queue', ''), ('worker_pool.queue_id_seq', ''), ('worker_pool.schedule', ''), ('worker_pool.schedule_id_seq', ''), ('worker_pool.service', ''), ('worker_pool.service_id_seq', '')$$, 'pg_dump carries queues, schedules and services, no tasks, no history, no identity');

SELECT ok(obj_description('worker_pool'::regnamespace, 'pg_namespace') IS NOT NULL, 'the schema has a comment');
SELECT ok(obj_description((SELECT oid FROM pg_extension WHERE extname = 'worker_pool'), 'pg_extension') IS NOT NULL, 'the extension has a comment');
SELECT is_empty($$SELECT attrelid::regclass, attname FROM pg_attribute JOIN pg_class AS c ON c.oid = attrelid JOIN pg_get_keywords() AS k ON k.word = attname
	WHERE relnamespace = 'worker_pool'::regnamespace AND attnum > 0 AND k.catcode = 'R'$$, 'no column needs quoting');

-- docs/reference.md lists the columns with the same types; it stands beside the folder of this file
\set doc `f=$(tr '\0' '\n' </proc/$PPID/cmdline | grep '20-views\.sql$' | head -n 1); cat "$(dirname "$f")/../../docs/reference.md" 2>/dev/null`
CREATE TEMP TABLE doc AS
	SELECT n, line, max(heading) OVER (PARTITION BY part) AS heading FROM (
		SELECT n, line, substring(line from '^### `(\w+)`') AS heading, count(*) FILTER (WHERE line ~ '^#') OVER (ORDER BY n) AS part
		FROM regexp_split_to_table(:'doc', E'\n') WITH ORDINALITY AS l (line, n)) AS q;
CREATE TEMP TABLE doc_columns AS
	SELECT heading AS view, string_agg(substring(line from '^\| `(\w+)` \|') || ' ' || substring(line from '^\| `\w+` \| ([^|]+) \|'), ', ' ORDER BY n) AS columns
	FROM doc WHERE heading IN (SELECT view FROM expected) AND line ~ '^\| `\w+` \| [^|]+ \|' GROUP BY 1;
SELECT ok(length(:'doc') > 1000, 'docs/reference.md is there');
SELECT set_eq('SELECT view FROM doc_columns', 'SELECT view FROM expected', 'and tells of the views');
SELECT is_empty('SELECT d.view, d.columns AS documented, e.columns AS real FROM doc_columns AS d JOIN expected AS e USING (view) WHERE d.columns IS DISTINCT FROM e.columns',
	'with the columns as they are');

SELECT * FROM finish();
