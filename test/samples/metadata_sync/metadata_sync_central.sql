-- The central database: psql -f metadata_sync_central.sql. No extension, no special rights: who pushes needs
--	 grant usage on schema metadata_central to pusher; grant execute on function metadata_central.apply to pusher;

BEGIN;

CREATE SCHEMA metadata_central;

CREATE TABLE metadata_central.source
(
	id uuid PRIMARY KEY,
	database text NOT NULL,
	last_number bigint NOT NULL DEFAULT 0,	-- of the last change that was applied
	last_mark uuid,
	applied_at timestamptz
);

CREATE TABLE metadata_central.entry
(
	source uuid NOT NULL REFERENCES metadata_central.source ON DELETE CASCADE,
	relation oid NOT NULL,
	attribute smallint NOT NULL,	-- 0: the table itself
	definition jsonb NOT NULL,
	number bigint NOT NULL,	-- of the change
	PRIMARY KEY (source, relation, attribute)
);

-- Every table and column of every database.
CREATE VIEW metadata_central.columns AS
SELECT s.database, t.definition ->> 'schema' AS schema, t.definition ->> 'name' AS "table", t.definition ->> 'kind' AS kind,
	c.definition ->> 'name' AS "column", c.definition ->> 'type' AS type, s.applied_at, s.id AS source
FROM metadata_central.source s
	JOIN metadata_central.entry t ON t.source = s.id AND t.attribute = 0
	LEFT JOIN metadata_central.entry c ON c.source = s.id AND c.relation = t.relation AND c.attribute > 0;

-- The whole protocol. Applies, in this one transaction, those of the changes that have not been applied, and
-- returns number and mark of the last one that has been. So whoever does not hear the answer sends them again; with no
-- changes it is the question how far we are. A gap is an error (22023): the source asks and finds out.
CREATE FUNCTION metadata_central.apply(source_id uuid, source_database text, changes jsonb, OUT last bigint, OUT mark uuid)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
	had bigint;
	change record;
BEGIN
	INSERT INTO metadata_central.source (id, database) VALUES (source_id, source_database) ON CONFLICT DO NOTHING;
	SELECT s.last_number, s.last_mark INTO STRICT had, mark
	FROM metadata_central.source s WHERE s.id = source_id FOR UPDATE;
	last := had;
	FOR change IN
		SELECT *
		FROM jsonb_to_recordset(changes)
			AS c (number bigint, mark uuid, relation oid, attribute smallint, definition jsonb)
		WHERE c.number > had
		ORDER BY c.number
	LOOP
		IF change.relation IS NULL THEN
			DELETE FROM metadata_central.entry e WHERE e.source = source_id;
		ELSIF change.number <> last + 1 THEN
			RAISE EXCEPTION 'change % of source % does not follow %', change.number, source_id, last
				USING ERRCODE = 'invalid_parameter_value';
		ELSIF change.definition IS NULL THEN
			DELETE FROM metadata_central.entry e
			WHERE e.source = source_id AND e.relation = change.relation AND e.attribute = change.attribute;
		ELSE
			INSERT INTO metadata_central.entry
			VALUES (source_id, change.relation, change.attribute, change.definition, change.number)
			ON CONFLICT ON CONSTRAINT entry_pkey DO UPDATE SET definition = excluded.definition, number = excluded.number;
		END IF;
		last := change.number;
		mark := change.mark;
	END LOOP;
	IF last > had THEN
		UPDATE metadata_central.source s
		SET database = source_database, last_number = last, last_mark = mark, applied_at = clock_timestamp()
		WHERE s.id = source_id;
	END IF;
END
$$;
REVOKE ALL ON FUNCTION metadata_central.apply(uuid, text, jsonb) FROM PUBLIC;

COMMIT;
