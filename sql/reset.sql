-- Nothing of a command leaks into the next one of the same warm process.
create schema res;
create sequence res.seq;
create table res.log (n int);
select wpt.worker_pid() as pid \gset
-- does a command still run in that process?
create function res.same_process(pid int) returns bool language sql as 'select pid = wpt.worker_pid()';

-- temporary tables
select worker_pool.run('create temp table res_temp (n int); insert into res_temp values (1)');
select wpt.try($$select worker_pool.run('select * from res_temp')$$);
select * from worker_pool.query('select count(*) from pg_class where relnamespace = pg_my_temp_schema()') as (n bigint);
select worker_pool.run('create temp table res_temp (other text)');
select worker_pool.run('create temp table res_drop (n int) on commit drop');
select worker_pool.run('create temp view res_view as select 1');
select worker_pool.run('create function pg_temp.res_function() returns int language sql as ''select 1''');
select wpt.try($$select worker_pool.run('select pg_temp.res_function()')$$);
select res.same_process(:pid);
-- prepared statements
select worker_pool.run('prepare res_statement as select 1');
select * from worker_pool.query('select count(*) from pg_prepared_statements') as (n bigint);
select wpt.try($$select worker_pool.run('execute res_statement')$$);
select res.same_process(:pid);
-- settings: SET, set_config, SET SESSION CHARACTERISTICS, custom ones
select worker_pool.run('set work_mem = ''99MB''; set search_path = res; set session characteristics as transaction read only');
select worker_pool.run('select set_config(''res.custom'', ''secret'', false)');
select * from worker_pool.query('select current_setting(''work_mem''), current_setting(''search_path''), current_setting(''default_transaction_read_only''), current_setting(''res.custom'', true)') as (w text, s text, r text, c text);
select worker_pool.run('insert into res.log values (1)');
select res.same_process(:pid);
-- advisory locks
select worker_pool.run('select pg_advisory_lock(4711), pg_advisory_lock_shared(4712)');
select pg_try_advisory_lock(4711), pg_try_advisory_lock(4712);
select pg_advisory_unlock_all();
select res.same_process(:pid);
-- sequences
select * from worker_pool.query('select nextval(''res.seq''), currval(''res.seq''), lastval()') as (n bigint, c bigint, l bigint);
select wpt.try($$select worker_pool.run('select currval(''res.seq'')')$$);
select wpt.try($$select worker_pool.run('select lastval()')$$);
-- a cached stretch is given up
alter sequence res.seq cache 10;
select * from worker_pool.query('select nextval(''res.seq'')') as (n bigint);
select * from worker_pool.query('select nextval(''res.seq'')') as (n bigint);
select res.same_process(:pid);
-- session authorization and role
create role regress_wp_alice login;
select * from worker_pool.query('set session authorization regress_wp_alice; select session_user, current_user') as (s name, c name);
select * from worker_pool.query('select session_user, current_user') as (s name, c name);
select * from worker_pool.query('set role regress_wp_alice; select session_user, current_user') as (s name, c name);
select * from worker_pool.query('select session_user, current_user') as (s name, c name);
select res.same_process(:pid);
-- cursors
select worker_pool.run('declare res_cursor cursor with hold for select 1');
select * from worker_pool.query('select count(*) from pg_cursors') as (n bigint);
select wpt.try($$select worker_pool.run('fetch res_cursor')$$);
-- random
select worker_pool.run('select setseed(0.5)');
select * from worker_pool.query('select random()') as (r1 float8) \gset
select worker_pool.run('select setseed(0.5)');
select * from worker_pool.query('select random()') as (r2 float8) \gset
select :r1 <> :r2 as unpredictable;
-- transactions: isolation, read only, an open block, a failed one
select worker_pool.run('begin isolation level serializable read only; select 1; commit');
select wpt.try($$select worker_pool.run('begin isolation level serializable; insert into res.log values (2)')$$);
select wpt.try($$select worker_pool.run('begin; savepoint s; select 1/0')$$);
select * from worker_pool.query('select current_setting(''transaction_isolation''), current_setting(''transaction_read_only''), count(*) from res.log') as (i text, r text, n bigint);
select count(*) from pg_locks where pid = :pid and locktype <> 'virtualxid';
select res.same_process(:pid);
-- the same after a command that failed half-way
select wpt.try($$select worker_pool.run('create temp table res_temp2 (n int); set work_mem = ''98MB''; select pg_advisory_lock(4713), nextval(''res.seq''); prepare p as select 1; commit; select 1/0')$$);
select * from worker_pool.query('select current_setting(''work_mem''), (select count(*) from pg_prepared_statements), to_regclass(''res_temp2'') is null, pg_backend_pid()') as (w text, p bigint, t bool, pid int) \gset after_
select :'after_w', :after_p, :'after_t', :after_pid = :pid as same_process;
select pg_try_advisory_lock(4713);
select pg_advisory_unlock_all();
-- and after one that was cancelled by its time-out
select wpt.try($$select worker_pool.run('create temp table res_temp3 (n int); commit; set work_mem = ''97MB''; select pg_advisory_lock(4714), pg_sleep(60)', timeout => '100ms')$$);
select * from worker_pool.query('select current_setting(''work_mem''), to_regclass(''res_temp3'') is null') as (w text, t bool);
select pg_try_advisory_lock(4714);
select pg_advisory_unlock_all();
select res.same_process(:pid);
-- DISCARD ALL and RESET ALL inside are harmless
select worker_pool.run('discard all');
select worker_pool.run('reset all');
select res.same_process(:pid);
-- idle, it holds no transaction and shows as idle
select state, query = '' or state = 'idle' as idle, xact_start, backend_xid, backend_xmin, backend_type from pg_stat_activity where pid = :pid;

-- what a reset cannot take back ends the process: a library, a connection
select worker_pool.run('load ''plpgsql''');
select res.same_process(:pid);
select format('host=%s port=%s dbname=%s user=%s', split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'), current_database(), current_user) as conninfo \gset
select wpt.worker_pid() as pid \gset
select worker_pool.run(format('select wpt.dblink_connect(''res_connection'', %L)', :'conninfo'));
select res.same_process(:pid);
select * from worker_pool.query('select wpt.dblink_get_connections()') as (c text[]);
-- a connection that the command closes itself is no reason
select wpt.worker_pid() as pid \gset
select * from worker_pool.query(format('select n from wpt.dblink(%L, ''select 1'') as (n int)', :'conninfo')) as (n int);
select res.same_process(:pid);

drop role regress_wp_alice;
set client_min_messages = warning;
drop schema res cascade;

-- nothing is left
select state, command from worker_pool.commands;
select shared_memory_used, queued, running from worker_pool.status;
