\echo Use "CREATE EXTENSION metadata_sync" to load this file. \quit

CREATE SCHEMA metadata_sync;
REVOKE ALL ON SCHEMA metadata_sync FROM PUBLIC;

-- Who we are for the central database, and how far we have come. One row. None of these tables is dumped: a restored
-- database is another source.
CREATE TABLE metadata_sync.state
(
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	source uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
	database oid NOT NULL,
	last_number bigint NOT NULL DEFAULT 0,	-- of the last change; there are no gaps
	acknowledged bigint NOT NULL DEFAULT 0,	-- the central database has all up to this
	acknowledged_mark uuid
);

INSERT INTO metadata_sync.state (database)
SELECT oid FROM pg_catalog.pg_database WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database();

-- The registry: what the catalogs said the last time. attribute 0 is the table itself.
CREATE TABLE metadata_sync.registry
(
	relation oid NOT NULL,
	attribute smallint NOT NULL,
	definition jsonb NOT NULL,
	PRIMARY KEY (relation, attribute)
);

-- The change log: what the central database has not acknowledged yet. Without relation: forget all of this source.
-- The mark tells a change from another of the same number, which there is where one side went back to a backup.
CREATE TABLE metadata_sync.change
(
	number bigint PRIMARY KEY,
	mark uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
	at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	relation oid,
	attribute smallint,
	definition jsonb	-- NULL: it is gone
);

-- Tables and columns as they are now.
CREATE VIEW metadata_sync.current AS
SELECT c.oid AS relation, 0::smallint AS attribute,
	pg_catalog.jsonb_build_object('schema', n.nspname, 'name', c.relname, 'kind', c.relkind,
		'owner', pg_catalog.pg_get_userbyid(c.relowner)) AS definition
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,v,m,f}') AND c.relpersistence OPERATOR(pg_catalog.<>) 't'
	AND n.nspname OPERATOR(pg_catalog.<>) ALL ('{pg_catalog,information_schema,pg_toast}')
UNION ALL
SELECT a.attrelid, a.attnum,
	pg_catalog.jsonb_build_object('name', a.attname, 'type', pg_catalog.format_type(a.atttypid, a.atttypmod),
		'not_null', a.attnotnull, 'position', a.attnum)
FROM pg_catalog.pg_attribute a
	JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) a.attrelid
	JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,v,m,f}') AND c.relpersistence OPERATOR(pg_catalog.<>) 't'
	AND n.nspname OPERATOR(pg_catalog.<>) ALL ('{pg_catalog,information_schema,pg_toast}')
	AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped;

-- Compares the catalogs with the registry and logs what differs. Returns how many changes there were; where there
-- were none it writes nothing.
CREATE FUNCTION metadata_sync.capture() RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
	s metadata_sync.state;
	here oid := (SELECT oid FROM pg_database WHERE datname = current_database());
	found_changes bigint;
BEGIN
	-- Two services by mistake: one after the other.
	LOCK TABLE metadata_sync.state IN SHARE ROW EXCLUSIVE MODE;
	SELECT * INTO STRICT s FROM metadata_sync.state;
	IF s.database <> here THEN
		-- A copy of the database that we were made in: another source, which begins anew.
		DELETE FROM metadata_sync.change;
		DELETE FROM metadata_sync.registry;
		UPDATE metadata_sync.state
		SET source = gen_random_uuid(), database = here, last_number = 0, acknowledged = 0, acknowledged_mark = NULL
		RETURNING * INTO s;
	END IF;

	WITH gone AS
	(
		DELETE FROM metadata_sync.registry r
		WHERE NOT EXISTS (SELECT FROM metadata_sync.current n
			WHERE n.relation = r.relation AND n.attribute = r.attribute)
		RETURNING r.relation, r.attribute
	),
	put AS
	(
		INSERT INTO metadata_sync.registry
		SELECT n.*
		FROM metadata_sync.current n LEFT JOIN metadata_sync.registry r
			ON r.relation = n.relation AND r.attribute = n.attribute
		WHERE r.definition IS DISTINCT FROM n.definition
		ON CONFLICT ON CONSTRAINT registry_pkey DO UPDATE SET definition = excluded.definition
		RETURNING relation, attribute, definition
	)
	INSERT INTO metadata_sync.change (number, relation, attribute, definition)
	SELECT s.last_number + row_number() OVER (ORDER BY c.relation, c.attribute), c.*
	FROM (SELECT relation, attribute, NULL::jsonb AS definition FROM gone UNION ALL SELECT * FROM put) c;
	GET DIAGNOSTICS found_changes = ROW_COUNT;

	IF found_changes > 0 THEN
		UPDATE metadata_sync.state SET last_number = s.last_number + found_changes;
	END IF;
	RETURN found_changes;
END
$$;

-- What a round begins with: captures, and reads the service's config: target, a connection string; batch, how many changes
-- are sent at a time; timeout_s, after which an answer is given up.
CREATE FUNCTION metadata_sync.begin_round(config jsonb, OUT source text, OUT database text, OUT target text, OUT batch int,
	OUT timeout_s int)
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
BEGIN
	IF config ->> 'target' IS NULL THEN
		RAISE EXCEPTION 'the config of the service names no target'
			USING ERRCODE = 'invalid_parameter_value',
				HINT = 'Give it one with worker_pool.alter_service(): {"target": "host=... dbname=..."}.';
	END IF;
	PERFORM metadata_sync.capture();
	SELECT s.source::text INTO STRICT source FROM metadata_sync.state s;
	database := current_database();
	target := config ->> 'target';
	batch := greatest(coalesce((config ->> 'batch')::int, 1000), 1);
	timeout_s := greatest(coalesce((config ->> 'timeout_s')::int, 30), 1);
END
$$;

-- The next changes for the central database, in order; no row: it has them all.
CREATE FUNCTION metadata_sync.next_batch(size int, OUT changes text) RETURNS SETOF text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS
$$
	SELECT jsonb_agg(to_jsonb(c) ORDER BY number)::text
	FROM (SELECT number, mark, relation, attribute, definition FROM metadata_sync.change ORDER BY number LIMIT size) c
	HAVING count(*) > 0
$$;

-- The central database says that it has all up to that number, which had that mark. Forgets these. Where that does not
-- agree with what is known here (one of the two went back to a backup), all is told anew.
CREATE FUNCTION metadata_sync.acknowledge(said bigint, said_mark uuid) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
	s metadata_sync.state;
	last bigint;
BEGIN
	LOCK TABLE metadata_sync.state IN SHARE ROW EXCLUSIVE MODE;
	SELECT * INTO STRICT s FROM metadata_sync.state;
	IF said = s.acknowledged AND said_mark IS NOT DISTINCT FROM s.acknowledged_mark THEN
		RETURN;
	END IF;
	IF EXISTS (SELECT FROM metadata_sync.change c WHERE c.number = said AND c.mark = said_mark) THEN
		DELETE FROM metadata_sync.change c WHERE c.number <= said;
		UPDATE metadata_sync.state SET acknowledged = said, acknowledged_mark = said_mark;
		RETURN;
	END IF;

	RAISE LOG 'metadata_sync: the central database has changes up to %, here these are % to %, or others: telling all anew',
		said, s.acknowledged, s.last_number;
	last := greatest(said, s.last_number);
	DELETE FROM metadata_sync.change;
	INSERT INTO metadata_sync.change (number) VALUES (last + 1);
	INSERT INTO metadata_sync.change (number, relation, attribute, definition)
	SELECT last + 1 + row_number() OVER (ORDER BY r.relation, r.attribute), r.relation, r.attribute, r.definition
	FROM metadata_sync.registry r;
	UPDATE metadata_sync.state
	SET last_number = (SELECT max(c.number) FROM metadata_sync.change c), acknowledged = said, acknowledged_mark = said_mark;
END
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA metadata_sync FROM PUBLIC;
