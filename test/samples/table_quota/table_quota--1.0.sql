\echo Use "CREATE EXTENSION table_quota" to load this file. \quit

CREATE SCHEMA table_quota;

-- Limits, what the service measured, and the flag that the hook looks at. By name, so that a dump keeps them.
-- It must not be able to close itself.
CREATE TABLE table_quota.quota
(
	schema_name name PRIMARY KEY CHECK (schema_name OPERATOR(pg_catalog.<>) 'table_quota'),
	max_bytes bigint NOT NULL CHECK (max_bytes OPERATOR(pg_catalog.>=) 0),
	bytes bigint,
	measured_at timestamptz,
	over_limit boolean NOT NULL DEFAULT false
);

SELECT pg_catalog.pg_extension_config_dump('table_quota.quota', '');

-- Whoever changes a flag, at its commit every session forgets the flags that it knows.
CREATE FUNCTION table_quota.flags_changed() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'table_quota_flags_changed';

CREATE TRIGGER flag_set AFTER INSERT OR DELETE ON table_quota.quota
	FOR EACH ROW EXECUTE FUNCTION table_quota.flags_changed();
CREATE TRIGGER flag_changed AFTER UPDATE ON table_quota.quota
	FOR EACH ROW WHEN (old.over_limit OPERATOR(pg_catalog.<>) new.over_limit
		OR old.schema_name OPERATOR(pg_catalog.<>) new.schema_name)
	EXECUTE FUNCTION table_quota.flags_changed();
CREATE TRIGGER flags_gone AFTER TRUNCATE ON table_quota.quota
	FOR EACH STATEMENT EXECUTE FUNCTION table_quota.flags_changed();

ALTER TABLE table_quota.quota ENABLE ALWAYS TRIGGER flag_set;
ALTER TABLE table_quota.quota ENABLE ALWAYS TRIGGER flag_changed;
ALTER TABLE table_quota.quota ENABLE ALWAYS TRIGGER flags_gone;

-- NULL takes the limit away. A new one holds from the next round of the service on.
CREATE FUNCTION table_quota.set_quota(schema_name name, size text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
BEGIN
	IF size IS NULL THEN
		DELETE FROM table_quota.quota q WHERE q.schema_name = set_quota.schema_name;
		RETURN;
	END IF;
	PERFORM schema_name::regnamespace; -- raises an error for one that is not there
	INSERT INTO table_quota.quota AS q (schema_name, max_bytes)
	VALUES (set_quota.schema_name, pg_size_bytes(size))
	ON CONFLICT ON CONSTRAINT quota_pkey DO UPDATE SET max_bytes = excluded.max_bytes;
END
$$;
REVOKE ALL ON FUNCTION table_quota.set_quota(name, text) FROM PUBLIC;

-- What one round does.
CREATE FUNCTION table_quota.measure() RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp AS
$$
	WITH used AS
	(
		SELECT q.schema_name, coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint AS bytes
		FROM table_quota.quota q
		LEFT JOIN pg_namespace n ON n.nspname = q.schema_name
		LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'm')
		GROUP BY q.schema_name
	)
	UPDATE table_quota.quota q
	SET bytes = u.bytes, over_limit = u.bytes > q.max_bytes, measured_at = clock_timestamp()
	FROM used u
	WHERE u.schema_name = q.schema_name
		AND (q.bytes IS DISTINCT FROM u.bytes OR q.over_limit <> (u.bytes > q.max_bytes))
$$;
REVOKE ALL ON FUNCTION table_quota.measure() FROM PUBLIC;

CREATE VIEW table_quota.status AS
SELECT schema_name AS schema, max_bytes, bytes,
	pg_catalog.round(100.0 OPERATOR(pg_catalog.*) bytes OPERATOR(pg_catalog./) nullif(max_bytes, 0), 1) AS percent,
	over_limit, measured_at
FROM table_quota.quota;

GRANT USAGE ON SCHEMA table_quota TO PUBLIC;
GRANT SELECT ON table_quota.status TO PUBLIC;
