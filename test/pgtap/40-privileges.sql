-- What PUBLIC may, and what USAGE on the schema changes. Nobody may touch a table: not with USAGE, not by default
-- privileges that the administrator set for whatever is created.
\set QUIET 1
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_wp_dave;
CREATE ROLE regress_wp_dave LOGIN;
CREATE TEMP TABLE guarded AS SELECT oid, relname, relkind FROM pg_class WHERE relnamespace = 'worker_pool'::regnamespace AND relkind IN ('r', 'S');
CREATE TEMP TABLE views AS SELECT relname FROM pg_class WHERE relnamespace = 'worker_pool'::regnamespace AND relkind = 'v';
GRANT SELECT ON guarded, views TO PUBLIC;
SELECT 45 + (SELECT count(*) FROM guarded) + 2 * (SELECT count(*) FROM views) AS tests \gset
SELECT plan(:tests);

SELECT ok(NOT has_schema_privilege('regress_wp_dave', 'worker_pool', 'USAGE'), 'USAGE on the schema is not for everybody');
SELECT ok(NOT has_schema_privilege('regress_wp_dave', 'worker_pool', 'CREATE'), 'nor is CREATE');
SELECT is_empty($$SELECT proname FROM pg_proc WHERE pronamespace = 'worker_pool'::regnamespace AND NOT has_function_privilege('regress_wp_dave', oid, 'EXECUTE')$$,
	'EXECUTE on all functions is: USAGE is the gate');
SELECT is_empty($$SELECT relname FROM pg_class WHERE relnamespace = 'worker_pool'::regnamespace AND relkind = 'v' AND NOT has_table_privilege('regress_wp_dave', oid, 'SELECT')$$,
	'and SELECT on all views');
SELECT is_empty($$SELECT relname, p FROM pg_class, unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS p
	WHERE relnamespace = 'worker_pool'::regnamespace AND relkind = 'v' AND has_table_privilege('regress_wp_dave', oid, p)$$, 'nobody may change anything by way of them');
SELECT is_empty($$SELECT relname, p FROM guarded, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS p
	WHERE relkind = 'r' AND has_table_privilege('regress_wp_dave', oid, p)$$, 'tables are for nobody');
SELECT is_empty($$SELECT relname, p FROM guarded, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) AS p
	WHERE relkind = 'r' AND has_any_column_privilege('regress_wp_dave', oid, p)$$, 'nor is a column of one');
SELECT is_empty($$SELECT relname, p FROM guarded, unnest(ARRAY['USAGE', 'SELECT', 'UPDATE']) AS p
	WHERE relkind = 'S' AND has_sequence_privilege('regress_wp_dave', oid, p)$$, 'nor are sequences');
SELECT is_empty($$SELECT relname, a.grantee::regrole FROM pg_class AS c, aclexplode(c.relacl) AS a WHERE relnamespace = 'worker_pool'::regnamespace AND relkind IN ('r', 'S') AND a.grantee <> c.relowner$$,
	'nothing was granted on them to anybody');
SELECT is_empty($$SELECT relname FROM pg_class WHERE relnamespace = 'worker_pool'::regnamespace AND relkind = 'r' AND relrowsecurity$$, 'no policies: rights are checked by the functions');
SELECT is_empty($$SELECT defaclnamespace FROM pg_default_acl WHERE defaclnamespace = 'worker_pool'::regnamespace$$, 'no default privileges');
SELECT is((SELECT nspacl FROM pg_namespace WHERE nspname = 'worker_pool'), NULL, 'the schema''s privileges are the owner''s alone');

SET SESSION AUTHORIZATION regress_wp_dave;
SELECT throws_ok(statement, '42501', 'permission denied for schema worker_pool', 'without USAGE: ' || statement) FROM (VALUES
	('SELECT worker_pool.run(''SELECT 1'')'), ('SELECT worker_pool.start_worker(''SELECT 1'')'), ('SELECT * FROM worker_pool.query(''SELECT 1'') AS (n int)'),
	('SELECT worker_pool.wait_worker(1)'), ('SELECT worker_pool.stop_worker(1)'), ('SELECT * FROM worker_pool.worker_result(1) AS (n int)'),
	('SELECT * FROM worker_pool.worker_results(''{1}'') AS (n int)'), ('CALL worker_pool.await_worker(1)'), ('SELECT worker_pool.args(1)'),
	('SELECT worker_pool.enqueue(''SELECT 1'')'), ('SELECT worker_pool.cancel_task(1)'), ('SELECT worker_pool.task_result(1)'), ('SELECT * FROM worker_pool.explain_task(1)'),
	('SELECT worker_pool.schedule(''s'', ''@daily'', ''SELECT 1'')'), ('SELECT worker_pool.create_queue(''q'')'), ('SELECT worker_pool.pause()'), ('SELECT worker_pool.adopt()'),
	('SELECT worker_pool.create_service(''s'', ''SELECT 1'')'), ('SELECT worker_pool.stop_service(''s'')'), ('SELECT worker_pool.wait_service(''s'')'), ('SELECT worker_pool.current_service_config()'),
	('SELECT worker_pool.stats_reset()')) AS v (statement);
SELECT throws_ok(format('SELECT * FROM worker_pool.%I', relname), '42501', 'permission denied for schema worker_pool', 'without USAGE: view ' || relname) FROM views;
RESET SESSION AUTHORIZATION;

GRANT USAGE ON SCHEMA worker_pool TO regress_wp_dave;
SET SESSION AUTHORIZATION regress_wp_dave;
SELECT is(worker_pool.run('SELECT 1'), 'SELECT 1', 'with USAGE: run');
SELECT is((SELECT who::text FROM worker_pool.query('SELECT current_user') AS (who name)), 'regress_wp_dave', 'as himself');
SELECT throws_ok(format('SELECT * FROM worker_pool.%I', relname), '42501', NULL, 'with USAGE: still not ' || relname) FROM guarded;
SELECT throws_ok('INSERT INTO worker_pool.task_key VALUES (10, ''k'', 1)', '42501', NULL, 'no INSERT');
SELECT throws_ok('UPDATE worker_pool.task SET command = ''SELECT 1''', '42501', NULL, 'no UPDATE');
SELECT throws_ok('DELETE FROM worker_pool.history', '42501', NULL, 'no DELETE');
SELECT throws_ok('TRUNCATE worker_pool.schedule', '42501', NULL, 'no TRUNCATE');
SELECT throws_ok('INSERT INTO worker_pool.service SELECT s.* FROM worker_pool.service AS s', '42501', NULL, 'no INSERT of services');
SELECT throws_ok('DELETE FROM worker_pool.service', '42501', NULL, 'nor DELETE');
SELECT throws_ok('UPDATE worker_pool.tasks SET priority = 9', '42501', NULL, 'none through a view that the server could write through');
SELECT lives_ok(format('SELECT * FROM worker_pool.%I', relname), 'with USAGE: view ' || relname) FROM views;
RESET SESSION AUTHORIZATION;
REVOKE USAGE ON SCHEMA worker_pool FROM regress_wp_dave;

-- ALTER DEFAULT PRIVILEGES counts for what an extension creates, too
DROP EXTENSION worker_pool;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO regress_wp_dave;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO PUBLIC;
CREATE EXTENSION worker_pool;
SELECT is_empty($$SELECT relname, a.privilege_type FROM pg_class AS c, aclexplode(c.relacl) AS a WHERE relnamespace = 'worker_pool'::regnamespace AND a.grantee <> c.relowner
	AND NOT (relkind = 'v' AND a.privilege_type = 'SELECT')$$, 'default privileges give nothing');
SELECT ok(NOT has_table_privilege('regress_wp_dave', 'worker_pool.task', 'INSERT'), 'no INSERT by them');
ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM regress_wp_dave;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON SEQUENCES FROM PUBLIC;
DROP EXTENSION worker_pool;
CREATE EXTENSION worker_pool;
DROP ROLE regress_wp_dave;

SELECT * FROM finish();
