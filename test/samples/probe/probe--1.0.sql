\echo Use "CREATE EXTENSION probe" to load this file. \quit

CREATE TABLE @extschema@.probe_events (
	id bigserial PRIMARY KEY,
	service text,
	what text NOT NULL,
	detail text,
	pid int,
	at timestamptz NOT NULL DEFAULT clock_timestamp());

GRANT ALL ON @extschema@.probe_events TO PUBLIC;
GRANT ALL ON SEQUENCE @extschema@.probe_events_id_seq TO PUBLIC;

CREATE FUNCTION @extschema@.probe_api_present() RETURNS bool LANGUAGE c AS 'MODULE_PATHNAME';
CREATE FUNCTION @extschema@.probe_api_version() RETURNS int LANGUAGE c AS 'MODULE_PATHNAME';
CREATE FUNCTION @extschema@.probe_api_size() RETURNS bigint LANGUAGE c AS 'MODULE_PATHNAME';

CREATE FUNCTION @extschema@.probe_start_worker(command text, args text[] = NULL, database text = NULL,
	run_as text = NULL, name text = NULL, timeout_ms bigint = 0, settings text = NULL,
	error_when_full bool = false, fresh bool = false)
RETURNS bigint LANGUAGE c AS 'MODULE_PATHNAME';

CREATE FUNCTION @extschema@.probe_enqueue(command text, args text[] = NULL, queue text = NULL,
	priority int = 0, delay_ms bigint = 0, max_attempts int = 0, retry_delay_ms bigint = 0,
	timeout_ms bigint = 0, expires_ms bigint = 0, key text = NULL, on_conflict text = NULL,
	concurrency_key text = NULL, depends_on bigint[] = NULL, run_as text = NULL, settings text = NULL,
	history text = NULL, name text = NULL, atomic int = 0)
RETURNS bigint LANGUAGE c AS 'MODULE_PATHNAME';

CREATE FUNCTION @extschema@.probe_wait(what text, id bigint, timeout_ms bigint = -1)
RETURNS text LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION @extschema@.probe_cancel(what text, id bigint, grace_ms bigint = 5000)
RETURNS bool LANGUAGE c STRICT AS 'MODULE_PATHNAME';

CREATE FUNCTION @extschema@.probe_report_progress(fraction float8, message text = NULL)
RETURNS void LANGUAGE c AS 'MODULE_PATHNAME';
CREATE FUNCTION @extschema@.probe_should_stop() RETURNS bool LANGUAGE c AS 'MODULE_PATHNAME';
CREATE FUNCTION @extschema@.probe_sleep(ms bigint) RETURNS int LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION @extschema@.probe_config() RETURNS text LANGUAGE c AS 'MODULE_PATHNAME';
CREATE FUNCTION @extschema@.probe_service_name() RETURNS text LANGUAGE c AS 'MODULE_PATHNAME';
CREATE FUNCTION @extschema@.probe_cycle_done() RETURNS void LANGUAGE c AS 'MODULE_PATHNAME';

CREATE FUNCTION @extschema@.probe_register(name text, kind text)
RETURNS void LANGUAGE c AS 'MODULE_PATHNAME';
CREATE FUNCTION @extschema@.probe_bad_struct(kind text)
RETURNS void LANGUAGE c STRICT AS 'MODULE_PATHNAME';

CREATE FUNCTION @extschema@.probe_acquire_slot(name text, timeout_ms bigint, seconds float8 = 60,
	how text = 'attach')
RETURNS int LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION @extschema@.probe_take_slot(name text, timeout_ms bigint)
RETURNS bigint LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION @extschema@.probe_attach_slot(ticket bigint)
RETURNS bool LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION @extschema@.probe_release_slot(ticket bigint)
RETURNS void LANGUAGE c STRICT AS 'MODULE_PATHNAME';

CREATE FUNCTION @extschema@.probe_cpp_start_worker(command text)
RETURNS bigint LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION @extschema@.probe_cpp_run(what text)
RETURNS text LANGUAGE c STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION @extschema@.probe_destroyed() RETURNS int LANGUAGE c AS 'MODULE_PATHNAME';
