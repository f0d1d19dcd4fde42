-- What PUBLIC may, and what USAGE on the schema changes.
\set QUIET 1
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_wp_dave;
CREATE ROLE regress_wp_dave LOGIN;
SELECT plan(23);

SELECT ok(NOT has_schema_privilege('regress_wp_dave', 'worker_pool', 'USAGE'), 'USAGE on the schema is not for everybody');
SELECT ok(NOT has_schema_privilege('regress_wp_dave', 'worker_pool', 'CREATE'), 'nor is CREATE');
SELECT is_empty($$SELECT proname FROM pg_proc WHERE pronamespace = 'worker_pool'::regnamespace AND NOT has_function_privilege('regress_wp_dave', oid, 'EXECUTE')$$,
	'EXECUTE on all functions is: USAGE is the gate');
SELECT is_empty($$SELECT relname FROM pg_class WHERE relnamespace = 'worker_pool'::regnamespace AND NOT has_table_privilege('regress_wp_dave', oid, 'SELECT')$$,
	'and SELECT on all views');
SELECT is_empty($$SELECT relname, p FROM pg_class, unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS p
	WHERE relnamespace = 'worker_pool'::regnamespace AND has_table_privilege('regress_wp_dave', oid, p)$$, 'nobody may change anything by way of them');
SELECT is_empty($$SELECT defaclnamespace FROM pg_default_acl WHERE defaclnamespace = 'worker_pool'::regnamespace$$, 'no default privileges');
SELECT is((SELECT nspacl FROM pg_namespace WHERE nspname = 'worker_pool'), NULL, 'the schema''s privileges are the owner''s alone');

SET SESSION AUTHORIZATION regress_wp_dave;
SELECT throws_ok(statement, '42501', 'permission denied for schema worker_pool', 'without USAGE: ' || statement) FROM (VALUES
	('SELECT worker_pool.run(''SELECT 1'')'), ('SELECT worker_pool.start_worker(''SELECT 1'')'), ('SELECT * FROM worker_pool.query(''SELECT 1'') AS (n int)'),
	('SELECT worker_pool.wait_worker(1)'), ('SELECT worker_pool.stop_worker(1)'), ('SELECT * FROM worker_pool.worker_result(1) AS (n int)'),
	('SELECT * FROM worker_pool.worker_results(''{1}'') AS (n int)'), ('CALL worker_pool.await_worker(1)'), ('SELECT worker_pool.args(1)'),
	('SELECT * FROM worker_pool.workers'), ('SELECT * FROM worker_pool.commands'), ('SELECT * FROM worker_pool.status'), ('SELECT * FROM worker_pool.databases')) AS v (statement);
RESET SESSION AUTHORIZATION;

GRANT USAGE ON SCHEMA worker_pool TO regress_wp_dave;
SET SESSION AUTHORIZATION regress_wp_dave;
SELECT is(worker_pool.run('SELECT 1'), 'SELECT 1', 'with USAGE: run');
SELECT is((SELECT who::text FROM worker_pool.query('SELECT current_user') AS (who name)), 'regress_wp_dave', 'as himself');
SELECT lives_ok('SELECT * FROM worker_pool.workers, worker_pool.commands, worker_pool.status, worker_pool.databases', 'the views');
RESET SESSION AUTHORIZATION;
REVOKE USAGE ON SCHEMA worker_pool FROM regress_wp_dave;
DROP ROLE regress_wp_dave;

SELECT * FROM finish();
