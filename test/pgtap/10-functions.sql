-- The catalogue of functions: names, arguments, defaults, results, properties, comments.
-- psql -f, by pg_prove (run.sh); the database has pgtap and worker_pool.
\set QUIET 1
SET client_min_messages = warning;
CREATE TEMP TABLE expected (name text, arguments text, result text, kind "char", volatility "char", parallel "char", set bool);
INSERT INTO expected VALUES
	('start_worker', $$command text, args text[] DEFAULT '{}'::text[], database name DEFAULT current_database(), run_as name DEFAULT CURRENT_USER, name text DEFAULT NULL::text, timeout interval DEFAULT NULL::interval, settings jsonb DEFAULT '{}'::jsonb, on_full text DEFAULT 'queue'::text, fresh boolean DEFAULT false$$, 'bigint', 'f', 'v', 'u', false),
	('stop_worker', $$id bigint, grace interval DEFAULT '00:00:05'::interval$$, 'boolean', 'f', 'v', 'u', false),
	('wait_worker', $$id bigint, timeout interval DEFAULT NULL::interval$$, 'text', 'f', 'v', 'u', false),
	('await_worker', $$IN id bigint, IN timeout interval DEFAULT NULL::interval$$, NULL, 'p', 'v', 'u', false),
	('worker_result', $$id bigint$$, 'SETOF record', 'f', 'v', 'u', true),
	('worker_results', $$ids bigint[]$$, 'SETOF record', 'f', 'v', 'u', true),
	('run', $$command text, args text[] DEFAULT '{}'::text[], database name DEFAULT current_database(), run_as name DEFAULT CURRENT_USER, timeout interval DEFAULT NULL::interval, settings jsonb DEFAULT '{}'::jsonb, fresh boolean DEFAULT false$$, 'text', 'f', 'v', 'u', false),
	('query', $$command text, args text[] DEFAULT '{}'::text[], database name DEFAULT current_database(), run_as name DEFAULT CURRENT_USER, timeout interval DEFAULT NULL::interval, settings jsonb DEFAULT '{}'::jsonb, fresh boolean DEFAULT false$$, 'SETOF record', 'f', 'v', 'u', true),
	('args', $$VARIADIC "any"$$, 'text[]', 'f', 's', 'u', false),
	('enqueue', $$command text, args text[] DEFAULT '{}'::text[], queue text DEFAULT 'default'::text, priority integer DEFAULT 0, run_at timestamp with time zone DEFAULT now(), max_attempts integer DEFAULT NULL::integer, retry_delay interval DEFAULT '00:00:05'::interval, timeout interval DEFAULT NULL::interval, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone, key text DEFAULT NULL::text, on_conflict text DEFAULT 'keep'::text, concurrency_key text DEFAULT NULL::text, depends_on bigint[] DEFAULT '{}'::bigint[], run_as name DEFAULT CURRENT_USER, atomic boolean DEFAULT NULL::boolean, settings jsonb DEFAULT '{}'::jsonb, history text DEFAULT NULL::text, name text DEFAULT NULL::text$$, 'bigint', 'f', 'v', 'u', false),
	('cancel_task', $$id bigint, grace interval DEFAULT '00:00:05'::interval$$, 'boolean', 'f', 'v', 'u', false),
	('retry_task', $$id bigint$$, 'boolean', 'f', 'v', 'u', false),
	('wait_task', $$id bigint, timeout interval DEFAULT NULL::interval$$, 'text', 'f', 'v', 'u', false),
	('await_task', $$IN id bigint, IN timeout interval DEFAULT NULL::interval$$, NULL, 'p', 'v', 'u', false),
	('current_task', $$$$, 'bigint', 'f', 'v', 'u', false),
	('report_progress', $$fraction real, message text DEFAULT NULL::text$$, 'void', 'f', 'v', 'u', false),
	('create_queue', $$name text, max_running integer DEFAULT NULL::integer, priority integer DEFAULT 0, if_not_exists boolean DEFAULT false$$, 'boolean', 'f', 'v', 'u', false),
	('alter_queue', $$name text, max_running integer DEFAULT NULL::integer, priority integer DEFAULT NULL::integer, reset text[] DEFAULT '{}'::text[]$$, 'void', 'f', 'v', 'u', false),
	('drop_queue', $$name text$$, 'boolean', 'f', 'v', 'u', false),
	('pause', $$queue text DEFAULT NULL::text, reason text DEFAULT NULL::text$$, 'boolean', 'f', 'v', 'u', false),
	('resume', $$queue text DEFAULT NULL::text$$, 'boolean', 'f', 'v', 'u', false),
	('drain', $$queue text DEFAULT NULL::text, timeout interval DEFAULT '00:01:00'::interval$$, 'integer', 'f', 'v', 'u', false),
	('adopt', $$$$, 'integer', 'f', 'v', 'u', false),
	('rescan', $$$$, 'void', 'f', 'v', 'u', false),
	('schedule', $$name text, schedule text, command text, args text[] DEFAULT '{}'::text[], timezone text DEFAULT NULL::text, active boolean DEFAULT true, overlap text DEFAULT 'skip'::text, missed text DEFAULT 'once'::text, queue text DEFAULT 'default'::text, priority integer DEFAULT 0, max_attempts integer DEFAULT NULL::integer, retry_delay interval DEFAULT '00:00:05'::interval, timeout interval DEFAULT NULL::interval, expires_after interval DEFAULT NULL::interval, run_as name DEFAULT CURRENT_USER, atomic boolean DEFAULT NULL::boolean, settings jsonb DEFAULT '{}'::jsonb$$, 'bigint', 'f', 'v', 'u', false),
	('alter_schedule', $$name text, schedule text DEFAULT NULL::text, command text DEFAULT NULL::text, args text[] DEFAULT NULL::text[], timezone text DEFAULT NULL::text, active boolean DEFAULT NULL::boolean, overlap text DEFAULT NULL::text, missed text DEFAULT NULL::text, queue text DEFAULT NULL::text, priority integer DEFAULT NULL::integer, max_attempts integer DEFAULT NULL::integer, retry_delay interval DEFAULT NULL::interval, timeout interval DEFAULT NULL::interval, expires_after interval DEFAULT NULL::interval, run_as name DEFAULT NULL::name, atomic boolean DEFAULT NULL::boolean, settings jsonb DEFAULT NULL::jsonb, reset text[] DEFAULT '{}'::text[]$$, 'void', 'f', 'v', 'u', false),
	('unschedule', $$name text$$, 'boolean', 'f', 'v', 'u', false),
	('run_schedule', $$name text$$, 'bigint', 'f', 'v', 'u', false),
	('next_runs', $$schedule text, timezone text DEFAULT NULL::text, n integer DEFAULT 5, after timestamp with time zone DEFAULT now()$$, 'SETOF timestamp with time zone', 'f', 's', 's', true),
	('import_pg_cron', $$dry_run boolean DEFAULT true$$, 'TABLE(jobid bigint, name text, schedule text, command text, database text, username text, active boolean, action text, note text)', 'f', 'v', 'u', true),
	('create_service', $$name text, command text DEFAULT NULL::text, every interval DEFAULT '00:01:00'::interval, entry_point text DEFAULT NULL::text, config jsonb DEFAULT '{}'::jsonb, timeout interval DEFAULT NULL::interval, run_as name DEFAULT CURRENT_USER, settings jsonb DEFAULT '{}'::jsonb, active boolean DEFAULT true, run_on text DEFAULT 'primary'::text, if_not_exists boolean DEFAULT false$$, 'bigint', 'f', 'v', 'u', false),
	('alter_service', $$name text, command text DEFAULT NULL::text, every interval DEFAULT NULL::interval, entry_point text DEFAULT NULL::text, config jsonb DEFAULT NULL::jsonb, timeout interval DEFAULT NULL::interval, run_as name DEFAULT NULL::name, settings jsonb DEFAULT NULL::jsonb, active boolean DEFAULT NULL::boolean, run_on text DEFAULT NULL::text, reset text[] DEFAULT '{}'::text[]$$, 'void', 'f', 'v', 'u', false),
	('drop_service', $$name text$$, 'boolean', 'f', 'v', 'u', false),
	('start_service', $$name text$$, 'boolean', 'f', 'v', 'u', false),
	('stop_service', $$name text$$, 'boolean', 'f', 'v', 'u', false),
	('restart_service', $$name text$$, 'boolean', 'f', 'v', 'u', false),
	('wait_service', $$name text, state text DEFAULT NULL::text, cycles integer DEFAULT NULL::integer, timeout interval DEFAULT NULL::interval$$, 'boolean', 'f', 'v', 'u', false),
	('current_service_config', '', 'jsonb', 'f', 'v', 'u', false),
	('task_result', $$id bigint$$, 'jsonb', 'f', 'v', 'u', false),
	('explain_task', $$id bigint, OUT reason text, OUT detail text, OUT hint text$$, 'SETOF record', 'f', 'v', 'u', true),
	('stats_reset', '', 'void', 'f', 'v', 'u', false);
-- those behind the views and the trigger
CREATE TEMP TABLE internals (name text);
INSERT INTO internals VALUES ('_workers'), ('_commands'), ('_status'), ('_databases'), ('_may_see'), ('_may_see_row'), ('_is_own_row'), ('_task_is_running'), ('_task_pid'),
	('_task_started_at'), ('_task_progress'), ('_task_message'), ('_queue_pause'), ('_queue_counts'), ('_services'), ('_stats'), ('_latency'), ('note_rows');
SELECT 12 + 8 * count(*) AS tests FROM expected \gset
SELECT plan(:tests);

-- what there is
SELECT set_eq($$SELECT proname::text FROM pg_proc WHERE pronamespace = 'worker_pool'::regnamespace AND proname NOT IN (SELECT name FROM internals)$$,
	'SELECT name FROM expected', 'the functions of the interface');
SELECT set_eq($$SELECT proname::text FROM pg_proc WHERE pronamespace = 'worker_pool'::regnamespace AND (proname LIKE '\_%' OR prorettype = 'trigger'::regtype)$$,
	'SELECT name FROM internals', 'and those behind the views and tables');
SELECT is_empty($$SELECT proname FROM pg_proc WHERE pronamespace = 'worker_pool'::regnamespace AND proname IN (SELECT name FROM internals) AND prorettype <> 'trigger'::regtype AND NOT (provolatile = 's' OR proretset)$$,
	'which the planner may take out of a view: they are stable');
SELECT is_empty($$SELECT proname FROM pg_proc WHERE pronamespace = 'worker_pool'::regnamespace GROUP BY 1 HAVING count(*) > 1$$,
	'no overloads');

-- each one
SELECT is(pg_get_function_arguments(p.oid), replace(e.arguments, 'IN ', CASE WHEN current_setting('server_version_num')::int < 140000 THEN '' ELSE 'IN ' END), e.name || ': arguments and defaults')
	FROM expected AS e LEFT JOIN pg_proc AS p ON p.proname = e.name AND p.pronamespace = 'worker_pool'::regnamespace;
SELECT is(pg_get_function_result(p.oid), e.result, e.name || ': result')
	FROM expected AS e LEFT JOIN pg_proc AS p ON p.proname = e.name AND p.pronamespace = 'worker_pool'::regnamespace;
SELECT is(p.prokind, e.kind, e.name || ': function or procedure')
	FROM expected AS e LEFT JOIN pg_proc AS p ON p.proname = e.name AND p.pronamespace = 'worker_pool'::regnamespace;
SELECT is(p.provolatile, e.volatility, e.name || ': volatility')
	FROM expected AS e LEFT JOIN pg_proc AS p ON p.proname = e.name AND p.pronamespace = 'worker_pool'::regnamespace;
SELECT is(p.proparallel, e.parallel, e.name || ': parallel or not')
	FROM expected AS e LEFT JOIN pg_proc AS p ON p.proname = e.name AND p.pronamespace = 'worker_pool'::regnamespace;
SELECT is(p.proretset, e.set, e.name || ': set or not')
	FROM expected AS e LEFT JOIN pg_proc AS p ON p.proname = e.name AND p.pronamespace = 'worker_pool'::regnamespace;
SELECT ok(NOT p.proisstrict, e.name || ': called on NULL, which means the default')
	FROM expected AS e LEFT JOIN pg_proc AS p ON p.proname = e.name AND p.pronamespace = 'worker_pool'::regnamespace;
SELECT cmp_ok(length(obj_description(p.oid, 'pg_proc')), '>', 50, e.name || ': a comment that tells something')
	FROM expected AS e LEFT JOIN pg_proc AS p ON p.proname = e.name AND p.pronamespace = 'worker_pool'::regnamespace;

-- all of them
SELECT is_empty($$SELECT p.proname, a.name FROM pg_proc AS p, unnest(p.proargnames) AS a (name) JOIN pg_get_keywords() AS k ON k.word = a.name
	WHERE p.pronamespace = 'worker_pool'::regnamespace AND p.proname NOT LIKE '\_%' AND k.catcode IN ('R', 'T')$$, 'no argument is a keyword that needs quoting');
SELECT is_empty($$SELECT p.proname FROM pg_proc AS p WHERE p.pronamespace = 'worker_pool'::regnamespace AND quote_ident(p.proname) <> p.proname$$,
	'nor is a name');
SELECT is_empty($$SELECT p.proname, a.name FROM pg_proc AS p, unnest(p.proargnames) AS a (name) WHERE p.pronamespace = 'worker_pool'::regnamespace AND coalesce(a.name, '') = ''$$,
	'every argument has a name');
SELECT is_empty($$SELECT proname FROM pg_proc WHERE pronamespace = 'worker_pool'::regnamespace AND (prosecdef OR proleakproof OR proconfig IS NOT NULL)$$,
	'none is SECURITY DEFINER, leakproof or has settings');
SELECT is_empty($$SELECT proname FROM pg_proc JOIN pg_language AS l ON l.oid = prolang WHERE pronamespace = 'worker_pool'::regnamespace AND lanname <> 'c'$$,
	'all are in C');
SELECT is_empty($$SELECT proname FROM pg_proc WHERE pronamespace = 'worker_pool'::regnamespace AND (probin <> '$libdir/worker_pool' OR prosrc NOT LIKE 'worker\_pool\_%')$$,
	'all are in the library of the extension, under names of its own');
SELECT is_empty($$SELECT proname FROM pg_proc WHERE pronamespace = 'worker_pool'::regnamespace AND obj_description(oid, 'pg_proc') IS NULL$$,
	'all have a comment');
SELECT is_empty($$SELECT p.proname FROM pg_proc AS p WHERE pronamespace = 'worker_pool'::regnamespace AND NOT EXISTS (
	SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'worker_pool'))$$,
	'all are members of the extension');

SELECT * FROM finish();
