-- Order, and limits: per role, per database, on and off.
create role regress_wp_limited login;
create table lim_log (n int generated always as identity, what text);
grant insert on lim_log to regress_wp_limited;

-- one at a time: in the order in which they came
alter role regress_wp_limited set worker_pool.max_workers_per_role = 1;
select pg_advisory_lock(815);
create temp table lim_ids as
	select g, worker_pool.start_worker(format('insert into lim_log (what) select %L from (select pg_advisory_xact_lock_shared(815)) as l', 'number ' || g), run_as => 'regress_wp_limited') as id
	from generate_series(1, 6) as g;
select wpt.wait_locked(815);
select (select count(*) from worker_pool.workers where username = 'regress_wp_limited') as workers, queued, free + idle >= 1 as room from worker_pool.status;
select g, state from lim_ids join worker_pool.commands using (id) order by g;
-- others are not held up
select worker_pool.run('select 1');
select wpt.try($$select worker_pool.start_worker('select 1', run_as => 'regress_wp_limited', on_full => 'error')$$);
select worker_pool.stop_worker(id) from lim_ids where g = 3;
select pg_advisory_unlock(815);
select g, worker_pool.wait_worker(id) from lim_ids order by g;
select * from lim_log;
select wpt.try(format('select * from worker_pool.worker_result(%s) as (tag text)', id)) from lim_ids order by g;
-- two
alter role regress_wp_limited set worker_pool.max_workers_per_role = 2;
select pg_advisory_lock(815);
truncate lim_ids;
insert into lim_ids select g, worker_pool.start_worker('select 1 from (select pg_advisory_xact_lock_shared(815)) as l', run_as => 'regress_wp_limited') from generate_series(1, 4) as g;
select wpt.wait_locked(815, 2);
select state, count(*) from lim_ids join worker_pool.commands using (id) group by 1 order by 1;
select pg_advisory_unlock(815);
select sum(r.n) from lim_ids, worker_pool.worker_result(id) as r (n int);
-- nobody but a superuser sets it
set session authorization regress_wp_limited;
alter role regress_wp_limited set worker_pool.max_workers_per_role = 10;
set worker_pool.max_workers_per_role = 10;
reset session authorization;
drop owned by regress_wp_limited;
drop role regress_wp_limited;

-- per database
alter system set worker_pool.max_workers_per_database = 1;
select wpt.reload_until('worker_pool.max_workers_per_database', '1');
-- the launcher has heard of it before a process that starts later
select * from worker_pool.query('show worker_pool.max_workers_per_database', database => 'regress_wp_other', fresh => true) as (v text);
select pg_advisory_lock(815);
truncate lim_ids;
insert into lim_ids select g, worker_pool.start_worker('select 1 from (select pg_advisory_xact_lock_shared(815)) as l') from generate_series(1, 3) as g;
select wpt.wait_locked(815);
select state, count(*) from lim_ids join worker_pool.commands using (id) group by 1 order by 1;
select worker_pool.run('select 1', database => 'regress_wp_other');
select pg_advisory_unlock(815);
select sum(r.n) from lim_ids, worker_pool.worker_result(id) as r (n int);
alter system reset worker_pool.max_workers_per_database;
select wpt.reload_until('worker_pool.max_workers_per_database', '0');

-- off: nothing new, what runs ends
select pg_advisory_lock(815);
select worker_pool.start_worker('select ''ended'' from (select pg_advisory_xact_lock_shared(815)) as l') as id \gset
select wpt.wait_locked(815);
alter system set worker_pool.enabled = off;
select wpt.reload_until('worker_pool.enabled', 'off');
select enabled from worker_pool.status;
select wpt.try($$select worker_pool.start_worker('select 1')$$);
select wpt.try($$select worker_pool.run('select 1')$$);
select wpt.try($$select * from worker_pool.query('select 1') as (n int)$$);
select pg_advisory_unlock(815);
select * from worker_pool.worker_result(:id) as (t text);
alter system reset worker_pool.enabled;
select wpt.reload_until('worker_pool.enabled', 'on');
select enabled from worker_pool.status;
select worker_pool.run('select 1');

-- another database: for superusers, or with the setting
create role regress_wp_alice login;
grant usage on schema worker_pool to regress_wp_alice;
set session authorization regress_wp_alice;
select wpt.try($$select worker_pool.run('select 1', database => 'regress_wp_other')$$);
select worker_pool.run('select 1', database => current_database());
reset session authorization;
alter system set worker_pool.allow_cross_database = on;
select wpt.reload_until('worker_pool.allow_cross_database', 'on');
set session authorization regress_wp_alice;
select * from worker_pool.query('select current_database(), current_user', database => 'regress_wp_other') as (d name, u name);
reset session authorization;
alter system reset worker_pool.allow_cross_database;
select wpt.reload_until('worker_pool.allow_cross_database', 'off');
set session authorization regress_wp_alice;
select wpt.try($$select worker_pool.run('select 1', database => 'regress_wp_other')$$);
reset session authorization;
drop owned by regress_wp_alice;
drop role regress_wp_alice;

-- workers of other pairs make room
select count(worker_pool.run('select 1', database => d)) from generate_series(1, 3), (values ('postgres'), ('regress_wp_other'), (current_database())) as v (d);
create role regress_wp_r1 login;
create role regress_wp_r2 login;
create role regress_wp_r3 login;
create role regress_wp_r4 login;
create role regress_wp_r5 login;
create role regress_wp_r6 login;
select count(*), count(distinct u) from generate_series(1, 3), generate_series(1, 6) as g, lateral worker_pool.query('select current_user', run_as => ('regress_wp_r' || g)::name) as (u name);
drop role regress_wp_r1, regress_wp_r2, regress_wp_r3, regress_wp_r4, regress_wp_r5, regress_wp_r6;

drop table lim_log;
-- nothing is left
select state, command from worker_pool.commands;
select shared_memory_used, queued, running from worker_pool.status;
