-- DDL on databases in which the pool has workers: it takes no notice of them.
create function db_quick(since timestamptz) returns bool language sql volatile as $$ select clock_timestamp() - since < '2 s' $$;
set client_min_messages = warning;
drop database if exists regress_wp_db;
drop database if exists regress_wp_db2;
reset client_min_messages;
create database regress_wp_db;

-- an idle worker in it
select worker_pool.run('select 1', database => 'regress_wp_db');
select count(*) from worker_pool.workers where database = 'regress_wp_db' and kind = 'command';
select clock_timestamp() as t \gset
alter database regress_wp_db rename to regress_wp_db2;
select db_quick(:'t');
select worker_pool.run('select 1', database => 'regress_wp_db2');
select clock_timestamp() as t \gset
alter database regress_wp_db2 rename to regress_wp_db;
select db_quick(:'t');
select worker_pool.run('create table db_table as select 1 as n', database => 'regress_wp_db');
select clock_timestamp() as t \gset
create database regress_wp_db2 template regress_wp_db;
select db_quick(:'t');
select * from worker_pool.query('select n from db_table', database => 'regress_wp_db2') as (n int);
select clock_timestamp() as t \gset
drop database regress_wp_db2;
select db_quick(:'t');
select count(*) from worker_pool.workers where database = 'regress_wp_db2' or database is null;
select wpt.try($$select worker_pool.run('select 1', database => 'regress_wp_db2')$$);

-- busy ones: terminated, their commands are lost
create temp table db_ids as select worker_pool.start_worker('select 1 from pg_sleep(60)', database => 'regress_wp_db') as id from generate_series(1, 3);
select wpt.wait_until('(select count(*) from pg_stat_activity where datname = ''regress_wp_db'' and wait_event = ''PgSleep'') = 3');
select clock_timestamp() as t \gset
drop database regress_wp_db;
select db_quick(:'t');
select worker_pool.wait_worker(id), count(*) from db_ids group by 1;
\a
select wpt.try(format('select * from worker_pool.worker_result(%s) as (n int)', id)), count(*) from db_ids group by 1;
\a

-- queued ones: fail, for their database is gone
create database regress_wp_db;
select pg_advisory_lock(815);
truncate db_ids;
insert into db_ids select worker_pool.start_worker('select 1 from (select pg_advisory_xact_lock_shared(815)) as l') from generate_series(1, 4);
select worker_pool.start_worker('select 1', database => 'regress_wp_db') as id \gset
drop database regress_wp_db;
select pg_advisory_unlock(815);
select worker_pool.wait_worker(:id);
select database, state, sqlstate from worker_pool.commands where id = :id;
select wpt.try(format('select * from worker_pool.worker_result(%s) as (n int)', :id));
select sum(r.n) from db_ids, worker_pool.worker_result(id) as r (n int);

-- a failing DROP of somebody who may not, or that cannot run here, stops nobody
create database regress_wp_db;
create role regress_wp_alice login;
select worker_pool.start_worker('select ''unharmed'' from pg_sleep(0.5)', database => 'regress_wp_db') as id \gset
select wpt.wait_until('exists (select from pg_stat_activity where datname = ''regress_wp_db'' and wait_event = ''PgSleep'')');
set session authorization regress_wp_alice;
drop database regress_wp_db;
alter database regress_wp_db rename to regress_wp_db2;
reset session authorization;
begin;
drop database regress_wp_db;
rollback;
alter database regress_wp_db rename to postgres;
select * from worker_pool.worker_result(:id) as (t text);
drop role regress_wp_alice;

-- in a transaction that is rolled back: commands wait meanwhile, then run
select worker_pool.run('select 1', database => 'regress_wp_db');
begin;
alter database regress_wp_db rename to regress_wp_db2;
select worker_pool.start_worker('select current_database()', database => 'regress_wp_db2') as id \gset
select worker_pool.wait_worker(:id, '100ms');
-- its end cannot be waited for here
savepoint s;
select worker_pool.wait_worker(:id);
rollback to s;
select worker_pool.run('select 1', database => 'regress_wp_db2');
rollback to s;
-- other databases are not closed
select worker_pool.run('select 1');
rollback;
select * from worker_pool.worker_result(:id) as (d name);
-- the same with a savepoint
begin;
savepoint s;
alter database regress_wp_db rename to regress_wp_db2;
rollback to s;
select * from worker_pool.query('select current_database()', database => 'regress_wp_db') as (d name);
commit;

-- no connections, and a template
select worker_pool.run('select 1', database => 'regress_wp_db');
alter database regress_wp_db allow_connections false;
select count(*) from pg_stat_activity where datname = 'regress_wp_db';
select wpt.try($$select worker_pool.run('select 1', database => 'regress_wp_db')$$);
alter database regress_wp_db allow_connections true;
select worker_pool.run('select 1', database => 'regress_wp_db');
alter database regress_wp_db is_template true;
select wpt.wait_until('not exists (select from pg_stat_activity where datname = ''regress_wp_db'')');
select wpt.try($$select worker_pool.run('select 1', database => 'regress_wp_db')$$);
alter database regress_wp_db is_template false;

-- out of a command, too: the pool's own
select worker_pool.run('select 1', database => 'regress_wp_db');
select worker_pool.run('drop database regress_wp_db');

-- a name that wants quoting
create database "regress wp ""db""";
select * from worker_pool.query('select current_database()', database => 'regress wp "db"') as (d name);
drop database "regress wp ""db""";
drop function db_quick;

-- nothing is left
select state, command from worker_pool.commands;
select shared_memory_used, queued, running from worker_pool.status;
