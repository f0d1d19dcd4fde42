-- stop_worker.
-- running
select worker_pool.start_worker('select pg_sleep(60)') as id \gset
select wpt.wait_asleep(:id);
select worker_pool.stop_worker(:id);
select worker_pool.wait_worker(:id);
select state, slot, rows, sqlstate, error from worker_pool.commands where id = :id;
-- stopped before its worker looked at it, or just after: cancelled all the same
create temp table stop_early as select worker_pool.start_worker('select pg_sleep(60)') as id from generate_series(1, 20);
select count(worker_pool.stop_worker(id)) from stop_early;
select worker_pool.wait_worker(id), count(*) from stop_early group by 1;
select wpt.try(format('select * from worker_pool.worker_result(%s) as (n int)', id)) ~ '^57014' as cancelled, count(*) from stop_early group by 1;
-- over: nothing to do
select worker_pool.stop_worker(:id);
select wpt.try(format('select * from worker_pool.worker_result(%s) as (n int)', :id));
select worker_pool.stop_worker(:id);
select worker_pool.wait_worker(:id);
-- succeeded, failed
select worker_pool.start_worker('select 1') as id \gset
select worker_pool.wait_worker(:id);
select worker_pool.stop_worker(:id);
select * from worker_pool.worker_result(:id) as (n int);
select worker_pool.stop_worker(:id);
select worker_pool.start_worker('select 1/0') as id \gset
select worker_pool.wait_worker(:id);
select worker_pool.stop_worker(:id, '0');
-- unknown
select wpt.try('select worker_pool.stop_worker(5)');

-- queued
select pg_advisory_lock(815);
create table stop_ids as
	select worker_pool.start_worker('select 1 from (select pg_advisory_xact_lock_shared(815)) as l') as id
	from generate_series(1, (select max_workers from worker_pool.status));
create table stop_table (n int);
select wpt.wait_locked(815, (select max_workers from worker_pool.status));
select worker_pool.start_worker('insert into stop_table values (1)') as id \gset
select worker_pool.start_worker('insert into stop_table values (2)') as id2 \gset
select worker_pool.stop_worker(:id);
select worker_pool.wait_worker(:id);
select worker_pool.wait_worker(:id2, '1ms');
select state, started_at, finished_at is not null as finished, sqlstate from worker_pool.commands where id = :id;
select worker_pool.stop_worker(:id);
select wpt.try(format('select * from worker_pool.worker_result(%s) as (tag text)', :id));
select pg_advisory_unlock(815);
select worker_pool.wait_worker(:id2);
select * from worker_pool.worker_result(:id2) as (tag text);
table stop_table;
select sum(r.n) from stop_ids, worker_pool.worker_result(id) as r (n int);

-- what does not listen to a cancel is terminated after the grace
create procedure stop_deaf() language plpgsql as $$
begin
	loop
		begin
			perform pg_sleep(60);
		exception when query_canceled then
			null;
		end;
	end loop;
end $$;
select worker_pool.start_worker('call stop_deaf()') as id \gset
select wpt.wait_asleep(:id);
select worker_pool.stop_worker(:id, '100ms');
select worker_pool.wait_worker(:id, '5s');
select wpt.try(format('select * from worker_pool.worker_result(%s) as (tag text)', :id));
select worker_pool.start_worker('call stop_deaf()') as id \gset
select wpt.wait_asleep(:id);
select worker_pool.stop_worker(:id, grace => '0');
select worker_pool.wait_worker(:id, '5s');
-- a second call with less grace hurries it
select worker_pool.start_worker('call stop_deaf()') as id \gset
select wpt.wait_asleep(:id);
select worker_pool.stop_worker(:id, '1h');
select worker_pool.wait_worker(:id, '200ms');
select worker_pool.stop_worker(:id, '1ms');
select worker_pool.wait_worker(:id, '5s');
-- its work is undone, and the pool is whole
select wpt.wait_until('max_workers = free + idle from worker_pool.status');
select worker_pool.start_worker('insert into stop_table values (3); select pg_sleep(60)') as id \gset
select wpt.wait_asleep(:id);
select worker_pool.stop_worker(:id);
select worker_pool.wait_worker(:id);
select count(*) from stop_table where n = 3;

-- a late cancel never hits the next command: stop while commands end and begin
do $$
declare
	stop_id bigint;
	state text;
begin
	for i in 1 .. 200 loop
		stop_id := worker_pool.start_worker('select count(pg_sleep(0.0005))');
		perform pg_sleep(0.0001 * (i % 10));
		perform worker_pool.stop_worker(stop_id);
		-- of the same process, by the same caller
		perform worker_pool.run('select 1');
		state := worker_pool.wait_worker(stop_id);
		if state not in ('succeeded', 'cancelled') then
			raise exception 'state % (%)', state, (select error from worker_pool.commands as c where c.id = stop_id);
		end if;
		begin
			perform * from worker_pool.worker_result(stop_id) as (n bigint);
		exception when query_canceled then
			null;
		end;
	end loop;
end $$;
select wpt.try(format('select * from worker_pool.worker_result(%s) as (n int)', id)) from worker_pool.commands order by id;
drop table stop_ids, stop_table;
drop procedure stop_deaf;

-- nothing is left
select state, command from worker_pool.commands;
select shared_memory_used, queued, running from worker_pool.status;
