-- The views: every column with its type, in order; comments; what docs/reference.md says of them.
\set QUIET 1
SET client_min_messages = warning;
CREATE TEMP TABLE expected (view text, columns text);
INSERT INTO expected VALUES
	('workers', 'slot integer, pid integer, kind text, state text, database name, username name, command_id bigint, task_id bigint, service text, name text, command text, started_at timestamp with time zone, state_changed_at timestamp with time zone, commands_done bigint, progress double precision, message text'),
	('commands', 'id bigint, name text, state text, database name, username name, slot integer, pid integer, command text, submitted_at timestamp with time zone, started_at timestamp with time zone, finished_at timestamp with time zone, rows bigint, sqlstate text, error text'),
	('status', 'version text, launcher_pid integer, launcher_started_at timestamp with time zone, max_workers integer, free integer, starting integer, idle integer, running integer, stopping integer, queued integer, oldest_queued_at timestamp with time zone, in_recovery boolean, enabled boolean, shared_memory_used bigint, shared_memory_size bigint'),
	('databases', 'database name, version text, paused boolean, ready bigint, running bigint, failed bigint, oldest_ready_at timestamp with time zone, next_due timestamp with time zone, idle text, last_error text');
SELECT 9 + 6 * count(*) AS tests FROM expected \gset
SELECT plan(:tests);

SELECT set_eq($$SELECT relname::text, relkind FROM pg_class WHERE relnamespace = 'worker_pool'::regnamespace$$,
	$$SELECT view, 'v'::"char" FROM expected$$, 'four views and no other relation');
SELECT is((SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum) FROM pg_attribute
	WHERE attrelid = ('worker_pool.' || view)::regclass AND attnum > 0 AND NOT attisdropped), columns, view || ': columns') FROM expected;
SELECT is_empty(format($$SELECT attname FROM pg_attribute WHERE attrelid = 'worker_pool.%s'::regclass AND attnum > 0 AND coalesce(length(col_description(attrelid, attnum)), 0) < 10$$, view),
	view || ': every column has a comment') FROM expected;
SELECT ok(length(obj_description(('worker_pool.' || view)::regclass, 'pg_class')) > 10, view || ': has a comment') FROM expected;
SELECT ok(EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = ('worker_pool.' || view)::regclass AND deptype = 'e'),
	view || ': is a member of the extension') FROM expected;
SELECT lives_ok('SELECT * FROM worker_pool.' || view, view || ': can be read') FROM expected;
SELECT is(pg_get_userbyid(relowner), (SELECT pg_get_userbyid(extowner) FROM pg_extension WHERE extname = 'worker_pool'), relname || ': belongs to the owner of the extension')
	FROM pg_class WHERE relnamespace = 'worker_pool'::regnamespace;

SELECT results_eq('SELECT count(*) FROM worker_pool.status', ARRAY[1::bigint], 'status has one row');
SELECT results_eq('SELECT count(*) FROM worker_pool.databases', 'SELECT count(*) FROM pg_database', 'databases has a row a database');
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
SELECT set_eq('SELECT view FROM doc_columns', 'SELECT view FROM expected', 'and tells of the four views');
SELECT is_empty('SELECT d.view, d.columns AS documented, e.columns AS real FROM doc_columns AS d JOIN expected AS e USING (view) WHERE d.columns IS DISTINCT FROM e.columns',
	'with the columns as they are');

SELECT * FROM finish();
