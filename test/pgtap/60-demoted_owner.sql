-- The same matrix when the extension's owner was a superuser only to create it. He has no rights but USAGE.
\set QUIET 1
SET client_min_messages = warning;
DROP EXTENSION worker_pool;
DROP ROLE IF EXISTS regress_wp_extowner;
CREATE ROLE regress_wp_extowner SUPERUSER LOGIN;
SET SESSION AUTHORIZATION regress_wp_extowner;
CREATE EXTENSION worker_pool;
RESET SESSION AUTHORIZATION;
ALTER ROLE regress_wp_extowner NOSUPERUSER;
\ir permissions.inc
SELECT plan((SELECT 8 * count(*)::int FROM tap.matrix) + 8);

SELECT is((SELECT pg_get_userbyid(extowner) FROM pg_extension WHERE extname = 'worker_pool'), 'regress_wp_extowner', 'owner of the extension');
SELECT ok(NOT (SELECT rolsuper FROM pg_roles WHERE rolname = 'regress_wp_extowner'), 'who is no superuser');
-- a label is the name of a column of the matrix and, maybe, more words
SELECT tap.cells('{"super": "regress_wp_super", "owner": "regress_wp_alice", "member": "regress_wp_carol", "other": "regress_wp_bob", "outsider": "regress_wp_dave", "stats": "regress_wp_stats", "signal": "regress_wp_signal", "other (owner of the extension)": "regress_wp_extowner"}',
	(SELECT array_agg(m ORDER BY n) FROM tap.matrix AS m), 'demoted owner');

-- as the session's user himself, not by SET SESSION AUTHORIZATION in a function
SET SESSION AUTHORIZATION regress_wp_extowner;
SELECT is(worker_pool.run('SELECT 1'), 'SELECT 1', 'he runs');
SELECT is((SELECT who || ' ' || super FROM worker_pool.query('SELECT session_user, current_setting(''is_superuser'')') AS (who name, super text)),
	'regress_wp_extowner off', 'as himself, no superuser');
SELECT throws_ok('SELECT worker_pool.run(''CREATE ROLE regress_wp_no SUPERUSER'')', '42501', NULL, 'he has no superuser at hand');
SELECT throws_ok('SELECT worker_pool.run(''SET SESSION AUTHORIZATION regress_wp_super'')', '42501', NULL, 'and cannot become one');
-- he may grant USAGE on what is his
SELECT lives_ok('GRANT USAGE ON SCHEMA worker_pool TO regress_wp_dave', 'he admits another');
RESET SESSION AUTHORIZATION;
SELECT is(tap.attempt('regress_wp_dave', $$SELECT worker_pool.run('SELECT 1')$$), 'SELECT 1', 'who is admitted');

SELECT * FROM finish();
\ir permissions_cleanup.inc
-- as run.sh made it
DROP EXTENSION worker_pool;
DROP ROLE regress_wp_extowner;
CREATE EXTENSION worker_pool;
