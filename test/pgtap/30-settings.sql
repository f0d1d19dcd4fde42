-- The settings: names, types, units, contexts, defaults, ranges; the same in docs/reference.md.
\set QUIET 1
SET client_min_messages = warning;
CREATE TEMP TABLE expected (name text, vartype text, unit text, context text, boot_val text, min_val text, max_val text);
INSERT INTO expected VALUES
	('max_workers', 'integer', NULL, 'postmaster', '4', '1', '4096'),
	('max_databases', 'integer', NULL, 'postmaster', '1024', '1', '1000000'),
	('max_queued_commands', 'integer', NULL, 'postmaster', '1024', '1', '1000000'),
	('keep_outcomes', 'integer', NULL, 'postmaster', '256', '1', '1000000'),
	('shared_memory', 'integer', 'kB', 'postmaster', '16384', '4096', '1073741824'),
	('enabled', 'bool', NULL, 'sighup', 'on', NULL, NULL),
	('reserved_workers', 'integer', NULL, 'sighup', '1', '0', '4096'),
	('max_workers_per_database', 'integer', NULL, 'sighup', '0', '0', '4096'),
	('allow_cross_database', 'bool', NULL, 'sighup', 'off', NULL, NULL),
	('idle_timeout', 'integer', 'ms', 'sighup', '60000', '0', '2147483647'),
	('start_timeout', 'integer', 'ms', 'sighup', '30000', '100', '2147483647'),
	('fairness_interval', 'integer', 'ms', 'sighup', '1000', '0', '2147483647'),
	('default_timeout', 'integer', 'ms', 'sighup', '0', '0', '2147483647'),
	('max_result_size', 'integer', 'kB', 'sighup', '1048576', '1', '2147483647'),
	('timezone', 'string', NULL, 'sighup', 'UTC', NULL, NULL),
	('missed_grace', 'integer', 's', 'sighup', '3600', '0', '2147483647'),
	('history', 'enum', NULL, 'sighup', 'all', NULL, NULL),
	('history_retention', 'integer', 's', 'sighup', '86400', '0', '2147483647'),
	('history_retention_failed', 'integer', 's', 'sighup', '604800', '0', '2147483647'),
	('notify', 'bool', NULL, 'sighup', 'off', NULL, NULL),
	('restart_backoff_initial', 'integer', 'ms', 'sighup', '1000', '1', '2147483647'),
	('restart_backoff_max', 'integer', 'ms', 'sighup', '300000', '1', '2147483647'),
	('restart_backoff_reset', 'integer', 'ms', 'sighup', '60000', '1', '2147483647'),
	('max_workers_per_role', 'integer', NULL, 'superuser', '0', '0', '4096'),
	('max_tasks_per_role', 'integer', NULL, 'superuser', '0', '0', '2147483647');
SELECT 16 + 4 * count(*) AS tests FROM expected \gset
SELECT plan(:tests);

-- `fault` is there in test builds only
SELECT set_eq($$SELECT substr(name, 13) FROM pg_settings WHERE name LIKE 'worker\_pool.%' AND name <> 'worker_pool.fault'$$,
	'SELECT name FROM expected', 'the settings');
SELECT is(s.vartype || coalesce(' in ' || s.unit, ''), e.vartype || coalesce(' in ' || e.unit, ''), e.name || ': type and unit')
	FROM expected AS e LEFT JOIN pg_settings AS s ON s.name = 'worker_pool.' || e.name;
SELECT is(s.context, e.context, e.name || ': context')
	FROM expected AS e LEFT JOIN pg_settings AS s ON s.name = 'worker_pool.' || e.name;
SELECT is(s.boot_val || coalesce(', ' || s.min_val || ' to ' || s.max_val, ''), e.boot_val || coalesce(', ' || e.min_val || ' to ' || e.max_val, ''), e.name || ': default and range')
	FROM expected AS e LEFT JOIN pg_settings AS s ON s.name = 'worker_pool.' || e.name;
SELECT ok(length(s.short_desc) > 20 AND s.short_desc LIKE '%.', e.name || ': a description')
	FROM expected AS e LEFT JOIN pg_settings AS s ON s.name = 'worker_pool.' || e.name;

-- nobody makes one up, and none can be set where it must not be
SELECT throws_ok('SET worker_pool.no_such_setting = 1', CASE WHEN current_setting('server_version_num')::int >= 150000 THEN '42602' ELSE '42704' END, NULL, 'an unknown one is refused')
	WHERE current_setting('server_version_num')::int >= 150000
	UNION ALL SELECT pass('an unknown one is refused from PostgreSQL 15 on') WHERE current_setting('server_version_num')::int < 150000;
SELECT throws_ok('SET worker_pool.max_workers = 5', '55P02', NULL, 'max_workers wants a restart');
SELECT throws_ok('SET worker_pool.enabled = off', '55P02', NULL, 'enabled wants a reload');
SELECT throws_ok('ALTER DATABASE ' || current_database() || ' SET worker_pool.idle_timeout = 1', '55P02', NULL, 'idle_timeout cannot be set for a database');
SELECT throws_ok('SET worker_pool.max_workers_per_role = -1', '22023', NULL, 'out of range');
SELECT is((SELECT enumvals FROM pg_settings WHERE name = 'worker_pool.history'), '{all,errors,off}', 'history: its values');
SELECT throws_ok($$SELECT worker_pool.run('ALTER SYSTEM SET worker_pool.history = ''some''')$$, '22023', NULL, 'history: and no other');
SELECT throws_ok($$SELECT worker_pool.run('ALTER SYSTEM SET worker_pool.timezone = ''Europe/Atlantis''')$$, '22023', NULL, 'timezone: must be one that the server knows');
SELECT throws_ok('SET worker_pool.timezone = ''Europe/Berlin''', '55P02', NULL, 'timezone: is for everybody');
SELECT throws_ok('SET worker_pool.history = ''off''', '55P02', NULL, 'history: wants a reload');

-- docs/reference.md
\set doc `f=$(tr '\0' '\n' </proc/$PPID/cmdline | grep '30-settings\.sql$' | head -n 1); cat "$(dirname "$f")/../../docs/reference.md" 2>/dev/null`
CREATE TEMP TABLE doc AS
	SELECT cells[2] AS name, nullif(trim(cells[3]), '') AS unit, trim(cells[4]) AS boot_val,
		string_to_array(trim(cells[5]), ' to ') AS range, trim(cells[6]) AS context
	FROM (SELECT n, string_to_array(replace(line, '`', ''), '|') AS cells, count(*) FILTER (WHERE line ~ '^## ') OVER (ORDER BY n) AS part,
		line FROM regexp_split_to_table(:'doc', E'\n') WITH ORDINALITY AS l (line, n)) AS q
	WHERE part = (SELECT count(*) FROM regexp_split_to_table(:'doc', E'\n') WITH ORDINALITY AS l (line, n)
		WHERE line ~ '^## ' AND n <= (SELECT h.n FROM regexp_split_to_table(:'doc', E'\n') WITH ORDINALITY AS h (line, n) WHERE h.line = '## Settings'))
	AND line ~ '^\| `';
SELECT set_eq('SELECT trim(name) FROM doc', 'SELECT name FROM expected', 'docs/reference.md tells of all settings');
SELECT is_empty($$SELECT e.name, d.unit, e.unit, d.context, e.context FROM doc AS d JOIN expected AS e ON e.name = trim(d.name)
	WHERE d.unit IS DISTINCT FROM e.unit OR d.context <> CASE e.context WHEN 'postmaster' THEN 'server start' WHEN 'sighup' THEN 'reload' ELSE 'superuser' END$$,
	'their units and contexts');
-- the defaults as a reader would type them
CREATE FUNCTION pg_temp.as_number(value text, unit text) RETURNS numeric LANGUAGE sql AS $$
	SELECT CASE WHEN value ~ '^\d+$' THEN value::numeric
		WHEN unit = 's' THEN extract(epoch FROM value::interval)::numeric
		WHEN unit = 'ms' THEN extract(epoch FROM value::interval)::numeric * 1000
		WHEN unit = 'kB' THEN pg_size_bytes(value) / 1024
		WHEN value IN ('on', 'off') THEN (value = 'on')::int END
$$;
SELECT is_empty($$SELECT e.name, d.boot_val, e.boot_val FROM doc AS d JOIN expected AS e ON e.name = trim(d.name)
	WHERE pg_temp.as_number(d.boot_val, e.unit) IS DISTINCT FROM pg_temp.as_number(e.boot_val, e.unit)$$, 'their defaults');
SELECT is_empty($$SELECT e.name, d.boot_val, e.boot_val FROM doc AS d JOIN expected AS e ON e.name = trim(d.name)
	WHERE e.vartype IN ('string', 'enum') AND d.boot_val IS DISTINCT FROM e.boot_val$$, 'those that are words');
SELECT is_empty($$SELECT e.name, d.range, e.min_val, e.max_val FROM doc AS d JOIN expected AS e ON e.name = trim(d.name) WHERE e.vartype = 'integer'
	-- a large one may be rounded
	AND (pg_temp.as_number(d.range[1], e.unit) IS DISTINCT FROM e.min_val::numeric OR round(pg_temp.as_number(d.range[2], e.unit) / 1024) IS DISTINCT FROM round(e.max_val::numeric / 1024))$$, 'their ranges');

SELECT * FROM finish();
