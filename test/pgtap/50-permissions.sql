-- The permission matrix with an extension that belongs to a superuser.
\set QUIET 1
\ir permissions.inc
SELECT plan((SELECT 7 * count(*)::int FROM tap.matrix) + 2 * 7 + 2);

SELECT tap.cells('{"super": "regress_wp_super", "owner": "regress_wp_alice", "member": "regress_wp_carol", "other": "regress_wp_bob", "outsider": "regress_wp_dave", "stats": "regress_wp_stats", "signal": "regress_wp_signal"}',
	(SELECT array_agg(m ORDER BY n) FROM tap.matrix AS m), 'superuser''s extension');

-- with worker_pool.allow_cross_database
ALTER SYSTEM SET worker_pool.allow_cross_database = on;
\o /dev/null
SELECT pg_reload_conf();
\o
-- A new process has what the postmaster has, which signals its children before it starts one. This session takes
-- it in before its next statement.
CREATE FUNCTION tap.wait_for_setting(wanted text) RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 1000 LOOP
		IF EXISTS (SELECT FROM worker_pool.query('SHOW worker_pool.allow_cross_database', fresh => true) AS (v text) WHERE v = wanted) THEN
			RETURN true;
		END IF;
		PERFORM pg_sleep(0.01);
	END LOOP;
	RETURN false;
END $$;
SELECT ok(tap.wait_for_setting('on'), 'worker_pool.allow_cross_database is on');
UPDATE tap.matrix SET owner = 'SELECT 1', member = 'SELECT 1', other = 'SELECT 1', stats = 'SELECT 1', signal = 'SELECT 1' WHERE what = 'run in another database';
SELECT tap.cells('{"super": "regress_wp_super", "owner": "regress_wp_alice", "member": "regress_wp_carol", "other": "regress_wp_bob", "outsider": "regress_wp_dave", "stats": "regress_wp_stats", "signal": "regress_wp_signal"}',
	(SELECT array_agg(m ORDER BY n) FROM tap.matrix AS m WHERE what ~ 'database' AND what ~ '^run'), 'allow_cross_database');
ALTER SYSTEM RESET worker_pool.allow_cross_database;
\o /dev/null
SELECT pg_reload_conf();
\o
SELECT ok(tap.wait_for_setting('off'), 'worker_pool.allow_cross_database is off');

SELECT * FROM finish();
\ir permissions_cleanup.inc
