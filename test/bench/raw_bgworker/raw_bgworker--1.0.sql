\echo Use "CREATE EXTENSION raw_bgworker" to load this file. \quit

CREATE FUNCTION raw_bgworker() RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION raw_bgworker() IS 'starts a background worker that connects, runs select 1 and is waited for';
