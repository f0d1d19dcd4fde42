-- Waits that can never end, in all their forms, end with 40P01 after deadlock_timeout.
create table dl_table (n int);
insert into dl_table values (1);
set deadlock_timeout = '50ms';
\set VERBOSITY terse

-- the command wants a lock that its caller holds
begin;
update dl_table set n = 2;
select worker_pool.run('update dl_table set n = 3');
rollback;
begin;
lock table dl_table;
select * from worker_pool.query('select n from dl_table') as (n int);
rollback;
begin;
lock table dl_table;
select worker_pool.start_worker('select n from dl_table') as id \gset
savepoint s;
select worker_pool.wait_worker(:id);
rollback to s;
-- the command itself lives on: it was not the one to give up
select worker_pool.wait_worker(:id, '10ms');
savepoint s;
select * from worker_pool.worker_result(:id) as (n int);
rollback to s;
rollback;
select * from worker_pool.worker_result(:id) as (n int);
select pg_advisory_lock(815);
select worker_pool.run('select pg_advisory_xact_lock(815)');
select pg_advisory_unlock(815);
-- the error tells the chain and what to do
select pg_advisory_lock(815);
do $$
declare
	detail text;
	hint text;
begin
	perform worker_pool.run('select pg_advisory_xact_lock(815)');
exception when deadlock_detected then
	get stacked diagnostics detail = pg_exception_detail, hint = pg_exception_hint;
	raise notice '%', sqlerrm;
	raise notice '%', regexp_replace(detail, '\d+', 'N', 'g');
	raise notice '%', hint;
end $$;
select pg_advisory_unlock(815);
-- DDL of the caller's transaction that nobody else can get past
begin;
create table dl_new (n int primary key);
insert into dl_new values (1);
select wpt.try($$select worker_pool.run('select * from dl_new')$$);
create unique index dl_unique on dl_table (n);
select worker_pool.run('insert into dl_table values (1)');
rollback;

-- what waits for all snapshots waits for its caller's too
select worker_pool.run('create index concurrently dl_index on dl_table (n)');
select wpt.wait_until('not exists (select from worker_pool.commands where state = ''running'')');
select indisvalid from pg_index where indexrelid = 'dl_index'::regclass;
drop index dl_index;

-- a pool full of commands that wait for commands
create function dl_nest(depth int) returns text language plpgsql as $$
begin
	if depth = 0 then
		return 'done';
	end if;
	return (select r from worker_pool.query(format('select dl_nest(%s)', depth - 1), settings => '{"deadlock_timeout": "50ms"}') as (r text));
end $$;
select max_workers from worker_pool.status;
select dl_nest(4);
select wpt.try('select dl_nest(5)') ~ '^40P01' as deadlock;
select wpt.try('select dl_nest(8)') ~ '^40P01' as deadlock;
select wpt.wait_until('running = 0 and queued = 0 from worker_pool.status');
-- as many at once as there are slots, each of which wants one more: one gives up, the others get through
create temp table dl_ids as select worker_pool.start_worker('select pg_sleep(0.2); select dl_nest(1)', settings => '{"deadlock_timeout": "50ms"}') as id from generate_series(1, 4);
select worker_pool.wait_worker(id) as state, count(*) from dl_ids group by 1 order by 1;
select wpt.try(format('select * from worker_pool.worker_result(%s) as (t text)', id)) ~ '^(40P01|no error)' as told, count(*) from dl_ids group by 1;

-- no false alarm: a long wait that ends, and a wait behind others
select worker_pool.run('select pg_sleep(0.3)');
create temp table dl_long as select worker_pool.start_worker('select 1 from pg_sleep(0.3)') as id from generate_series(1, 4);
select * from worker_pool.query('select ''after them''') as (t text);
select sum(r.n) from dl_long, worker_pool.worker_result(id) as r (n int);
-- a wait with a limit ends by itself
begin;
lock table dl_table;
select worker_pool.start_worker('select n from dl_table') as id \gset
select worker_pool.wait_worker(:id, '300ms');
rollback;
select * from worker_pool.worker_result(:id) as (n int);

reset deadlock_timeout;
drop table dl_table;
drop function dl_nest;
\set VERBOSITY default

-- nothing is left
select state, command from worker_pool.commands;
select shared_memory_used, queued, running from worker_pool.status;
