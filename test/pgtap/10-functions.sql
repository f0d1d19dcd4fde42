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
	('args', $$VARIADIC "any"$$, 'text[]', 'f', 's', 'u', false);
SELECT 11 + 8 * count(*) AS tests FROM expected \gset
SELECT plan(:tests);

-- what there is
SELECT set_eq($$SELECT proname::text FROM pg_proc WHERE pronamespace = 'worker_pool'::regnamespace AND proname NOT LIKE '\_%'$$,
	'SELECT name FROM expected', 'the functions of the interface');
SELECT set_eq($$SELECT proname::text FROM pg_proc WHERE pronamespace = 'worker_pool'::regnamespace AND proname LIKE '\_%'$$,
	ARRAY['_workers', '_commands', '_status', '_databases'], 'and those behind the views');
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
SELECT is(p.proparallel, e.parallel, e.name || ': parallel unsafe')
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
