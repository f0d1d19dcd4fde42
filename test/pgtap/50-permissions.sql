-- The permission matrix with an extension that belongs to a superuser.
\set QUIET 1
\ir permissions.inc
-- tables x verbs: nobody but superusers
CREATE TABLE tap.tables AS SELECT relname AS name FROM pg_class WHERE relnamespace = 'worker_pool'::regnamespace AND relkind = 'r';
CREATE TABLE tap.verbs (verb text, statement text);
INSERT INTO tap.verbs VALUES
	('SELECT', 'SELECT count(*) FROM worker_pool.%I'),
	('INSERT', 'INSERT INTO worker_pool.%I SELECT t.* FROM worker_pool.%1$I AS t WHERE false'),
	('INSERT alone', 'INSERT INTO worker_pool.%I DEFAULT VALUES'),
	('DELETE', 'DELETE FROM worker_pool.%I'),
	('TRUNCATE', 'TRUNCATE worker_pool.%I'),
	('LOCK', 'LOCK worker_pool.%I IN ACCESS EXCLUSIVE MODE'),
	('COPY', 'COPY worker_pool.%I FROM PROGRAM ''true'''),
	('TRIGGER', 'CREATE TRIGGER t BEFORE INSERT ON worker_pool.%I EXECUTE FUNCTION suppress_redundant_updates_trigger()'),
	('ALTER', 'ALTER TABLE worker_pool.%I DISABLE TRIGGER ALL'),
	('DROP', 'DROP TABLE worker_pool.%I');
SELECT plan((SELECT 7 * count(*)::int FROM tap.matrix) + 2 * 7 + 2 + 6 * (SELECT count(*)::int FROM tap.tables, tap.verbs) + 6 * 4);

SELECT tap.cells('{"super": "regress_wp_super", "owner": "regress_wp_alice", "member": "regress_wp_carol", "other": "regress_wp_bob", "outsider": "regress_wp_dave", "stats": "regress_wp_stats", "signal": "regress_wp_signal"}',
	(SELECT array_agg(m ORDER BY n) FROM tap.matrix AS m), 'superuser''s extension');

SELECT is(tap.attempt(who, format(v.statement, t.name)), '42501', format('tables: %s: %s on %s', who, v.verb, t.name))
	FROM tap.tables AS t, tap.verbs AS v, unnest('{regress_wp_alice,regress_wp_carol,regress_wp_bob,regress_wp_dave,regress_wp_stats,regress_wp_signal}'::name[]) AS who
	ORDER BY t.name, v.verb, who;
SELECT is(tap.attempt(who, format('SELECT nextval(''worker_pool.%I'')', relname)), '42501', format('sequences: %s: %s', who, relname))
	FROM pg_class, unnest('{regress_wp_alice,regress_wp_carol,regress_wp_bob,regress_wp_dave,regress_wp_stats,regress_wp_signal}'::name[]) AS who
	WHERE relnamespace = 'worker_pool'::regnamespace AND relkind = 'S';

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
