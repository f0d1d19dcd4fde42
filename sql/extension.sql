-- The extension comes and goes; what runs does not mind.
-- there is no choice of schema, and no second one
set client_min_messages = warning;
create extension worker_pool;
create extension if not exists worker_pool;
alter extension worker_pool set schema public;
reset client_min_messages;
\c regress_wp_other
create schema elsewhere;
create extension worker_pool schema elsewhere;
-- a schema of that name that is somebody else's is not taken over
create schema worker_pool;
create extension worker_pool;
drop schema worker_pool, elsewhere;
create role regress_wp_alice login;
set role regress_wp_alice;
create extension worker_pool;
reset role;
drop role regress_wp_alice;
create extension worker_pool;
select worker_pool.start_worker('select ''ran on'' from pg_sleep(0.3)') as id \gset
drop extension worker_pool;
select worker_pool.run('select 1');
select count(*) from pg_namespace where nspname = 'worker_pool';
create extension worker_pool;
-- the command did not need it
select * from worker_pool.worker_result(:id) as (t text);
-- in a transaction that rolls back, by DROP SCHEMA, by DROP OWNED
begin;
drop extension worker_pool;
rollback;
select worker_pool.run('select 1');
set client_min_messages = warning;
drop schema worker_pool cascade;
select count(*) from pg_extension where extname = 'worker_pool';
drop extension worker_pool;
create role regress_wp_alice superuser;
set role regress_wp_alice;
create extension worker_pool;
select worker_pool.run('select 1', run_as => 'postgres');
reset role;
drop owned by regress_wp_alice;
drop role regress_wp_alice;
select count(*) from pg_extension where extname = 'worker_pool';
-- a command can do it too, to the ground it stands on
create extension worker_pool;
select worker_pool.run('drop extension worker_pool');
select worker_pool.run('create extension worker_pool', database => 'regress_wp_other');
create extension worker_pool;
select worker_pool.run('select 1');
-- members of the extension cannot be dropped or taken out one by one
drop function worker_pool.run;
drop view worker_pool.status;
drop extension worker_pool;
\c contrib_regression
select worker_pool.run('select 1', database => 'regress_wp_other');

-- what goes into a dump beside CREATE EXTENSION: schedules, services and queues, not tasks
select c::regclass from pg_extension, unnest(extconfig) as c where extname = 'worker_pool' order by c::regclass::text;
-- and whose the tables are: not the extension's owner's, who is no superuser any more
select relkind, rolsuper, count(*) from pg_class join pg_roles r on r.oid = relowner
where relnamespace = 'worker_pool'::regnamespace group by 1, 2 order by 1, 2;

-- nothing is left
select state, command from worker_pool.commands;
select shared_memory_used, queued, running from worker_pool.status;

-- what setup made
drop database regress_wp_other;
set client_min_messages = warning;
drop schema wpt cascade;
drop extension worker_pool;
drop role regress_wp_owner;
