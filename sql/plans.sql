-- A repeated text is not planned again by a warm worker. An immutable function is evaluated when the statement
-- is planned: its NOTICE tells of each planning.
create function plan_seen(n int) returns int immutable language plpgsql as $$
begin
	raise notice 'planned';
	return n;
end $$;
create table plan_table (n int, t text);
insert into plan_table values (1, 'one');
select wpt.worker_pid() as pid \gset

-- the first time it is only remembered, the second time the plan is kept, from then on it is used
select * from worker_pool.query('select plan_seen(1), 1') as (a int, b int);
select * from worker_pool.query('select plan_seen(1), 1') as (a int, b int);
select * from worker_pool.query('select plan_seen(1), 1') as (a int, b int);
select * from worker_pool.query('select plan_seen(1), 1') as (a int, b int);
select worker_pool.run('select plan_seen(1), 1');
select * from worker_pool.worker_result(worker_pool.start_worker('select plan_seen(1), 1')) as (a int, b int);
-- another text, other settings: another plan
select * from worker_pool.query('select plan_seen(1), 2') as (a int, b int);
select * from worker_pool.query('select plan_seen(1), 1', settings => '{"work_mem": "1MB"}') as (a int, b int);
-- with arguments: as any prepared statement, custom plans at first, then one for all
select worker_pool.run('insert into plan_table values (plan_seen(2), $1)', worker_pool.args(g)) from generate_series(1, 8) as g;
set client_min_messages = warning;
select worker_pool.run('insert into plan_table values (plan_seen(2), $1)', worker_pool.args(g)) is null as bad, count(*) from generate_series(1, 3) as g group by 1;
reset client_min_messages;
select worker_pool.run('insert into plan_table values (plan_seen(2), $1)', worker_pool.args('last'));
select n, t from plan_table order by t;
-- the number of arguments is part of the key
select * from worker_pool.query('select 1 where $1::int = 1', array['1']) as (n int);
select * from worker_pool.query('select 1 where $1::int = 1', array['1']) as (n int);
select wpt.try($$select worker_pool.run('select 1 where $1::int = 1')$$);
select wpt.try($$select worker_pool.run('select 1 where $1::int = 1', array['1', '2'])$$);
select * from worker_pool.query('select 1 where $1::int = 1', array['1']) as (n int);

-- what changes between two runs is noticed
select * from worker_pool.query('select * from plan_table where n = 1') as (n int, t text);
select * from worker_pool.query('select * from plan_table where n = 1') as (n int, t text);
select * from worker_pool.query('select * from plan_table where n = 1') as (n int, t text);
alter table plan_table add column more int default 5;
select * from worker_pool.query('select * from plan_table where n = 1') as (n int, t text, more int);
alter table plan_table alter n type bigint;
select * from worker_pool.query('select * from plan_table where n = 1') as (n bigint, t text, more int);
alter table plan_table drop column t;
select * from worker_pool.query('select * from plan_table where n = 1') as (n bigint, more int);
alter table plan_table rename to plan_table2;
select wpt.try($$select worker_pool.run('select * from plan_table where n = 1')$$);
create view plan_table as select 1 as n, 'a view' as t;
select * from worker_pool.query('select * from plan_table where n = 1') as (n int, t text);
drop view plan_table;
alter table plan_table2 rename to plan_table;
select * from worker_pool.query('select * from plan_table where n = 1') as (n bigint, more int);
-- a function is replaced
create function plan_value() returns int immutable language sql as 'select 1';
select * from worker_pool.query('select plan_value()') as (n int);
select * from worker_pool.query('select plan_value()') as (n int);
select * from worker_pool.query('select plan_value()') as (n int);
create or replace function plan_value() returns int immutable language sql as 'select 2';
select * from worker_pool.query('select plan_value()') as (n int);
drop function plan_value();
create function plan_value() returns text immutable language sql as 'select ''three''';
select * from worker_pool.query('select plan_value()') as (t text);
-- rights are taken away
create role regress_wp_alice login;
grant select on plan_table to regress_wp_alice;
select * from worker_pool.query('select more from plan_table where n = 1', run_as => 'regress_wp_alice') as (more int) union all
select * from worker_pool.query('select more from plan_table where n = 1', run_as => 'regress_wp_alice') as (more int) union all
select * from worker_pool.query('select more from plan_table where n = 1', run_as => 'regress_wp_alice') as (more int);
revoke select on plan_table from regress_wp_alice;
select wpt.try($$select worker_pool.run('select more from plan_table where n = 1', run_as => 'regress_wp_alice')$$);
-- row security
grant select on plan_table to regress_wp_alice;
alter table plan_table enable row level security;
select count(*) from worker_pool.query('select more from plan_table where n = 1', run_as => 'regress_wp_alice') as (more int);
alter table plan_table disable row level security;
select count(*) from worker_pool.query('select more from plan_table where n = 1', run_as => 'regress_wp_alice') as (more int);
-- the search_path decides which table is meant
create schema plan_schema;
create table plan_schema.plan_table (n int);
insert into plan_schema.plan_table values (77);
select * from worker_pool.query('select n::int from plan_table limit 1', settings => '{"search_path": "plan_schema"}') as (n int);
select * from worker_pool.query('select n::int from plan_table limit 1', settings => '{"search_path": "plan_schema"}') as (n int);
select * from worker_pool.query('select n::int from plan_table limit 1', settings => '{"search_path": "plan_schema"}') as (n int);
select * from worker_pool.query('select n::int from plan_table limit 1', settings => '{"search_path": "public"}') as (n int);
select * from worker_pool.query('select n::int from plan_table limit 1') as (n int);
-- more texts than are kept: the ones used last stay; nothing breaks
set client_min_messages = warning;
select count(worker_pool.run('select ' || g % 300 || ' from plan_table')) from generate_series(1, 1500) as g;
reset client_min_messages;
-- all of this in one process, whose memory stays small
select pid = :pid as same_process from worker_pool.query('select pg_backend_pid()') as (pid int);
select * from worker_pool.query('select count(*) between 100 and 140, sum(total_bytes) < 8000000 from pg_backend_memory_contexts where name = ''CachedPlanSource''') as (count bool, bytes bool);

drop table plan_table;
drop function plan_seen, plan_value;
drop role regress_wp_alice;
set client_min_messages = warning;
drop schema plan_schema cascade;

-- nothing is left
select state, command from worker_pool.commands;
select shared_memory_used, queued, running from worker_pool.status;
