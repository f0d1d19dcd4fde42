-- How long outcomes are kept, and what is said of those that are not.
-- more than keep_outcomes: the oldest goes
show worker_pool.keep_outcomes;
select worker_pool.start_worker('select 1') as id \gset
select worker_pool.wait_worker(:id);
create temp table out_ids as select g, worker_pool.start_worker('select ' || g) as id from generate_series(1, 260) as g;
select count(*) from out_ids where worker_pool.wait_worker(id) <> 'succeeded';
select count(*) from worker_pool.commands;
select wpt.try(format('select * from worker_pool.worker_result(%s) as (n int)', :id));
select worker_pool.wait_worker(:id);
select worker_pool.stop_worker(:id);
-- those that are there are whole
select count(*), sum(r.n) = sum(g) as right_ones from out_ids join worker_pool.commands as c using (id), worker_pool.worker_result(id) as r (n int);
select count(*) from worker_pool.commands;
-- the id of a run or query is known only while it runs, and then to nobody else
select wpt.try(format('select worker_pool.wait_worker(%s)', :id + 1000000));
select * from worker_pool.query($$select wpt.try(format('select worker_pool.wait_worker(%s)', id)) from worker_pool.commands where pid = pg_backend_pid()$$) as (w text);
select * from worker_pool.query($$select wpt.try(format('select * from worker_pool.worker_result(%s) as (n int)', id)) from worker_pool.commands where pid = pg_backend_pid()$$) as (w text);
select worker_pool.run('select 1');
select wpt.try(format('select worker_pool.wait_worker(%s)', worker_pool.start_worker('select 1') - 1));

select count(*) from worker_pool.commands as c, worker_pool.worker_result(c.id) as r (n int);

-- shared memory short: outcomes are pushed out, and only then an error
select shared_memory_used from worker_pool.status;
truncate out_ids;
insert into out_ids select g, worker_pool.start_worker('select repeat(''x'', 15000) -- ' || repeat('y', 100000)) from generate_series(1, 200) as g;
select count(*) from out_ids where worker_pool.wait_worker(id) <> 'succeeded';
select shared_memory_used between 10000000 and 16777216 as nearly_full from worker_pool.status;
select wpt.try(format('select * from worker_pool.worker_result(%s) as (x text)', id)) from out_ids where g = 1;
select count(*) > 100 as many, bool_and(length(x) = 15000) as whole from out_ids join worker_pool.commands as c using (id), worker_pool.worker_result(id) as r (x text);
select shared_memory_used from worker_pool.status;
-- a command too large for it
select wpt.try(format('select worker_pool.run(%L)', '-- ' || repeat('x', 20000000)));
-- texts that fill it: queued behind a lock, until there is no room
select pg_advisory_lock(815);
create temp table out_blockers as select worker_pool.start_worker('select 1 from (select pg_advisory_xact_lock_shared(815)) as l') as id from generate_series(1, 4);
select wpt.wait_locked(815, 4);
truncate out_ids;
do $$
begin
	for i in 1 .. 40 loop
		insert into out_ids values (i, worker_pool.start_worker('select 1 -- ' || repeat('x', 1000000)));
	end loop;
exception when others then
	raise notice '% % / %', sqlstate, sqlerrm, sqlstate = '53200';
end $$;
-- these started although their rows were rolled back
select count(*) between 10 and 16 as some from worker_pool.commands where state = 'queued';
select count(worker_pool.stop_worker(id)) between 10 and 16 as some from worker_pool.commands where state = 'queued';
select pg_advisory_unlock(815);
select sum(r.n) from out_blockers, worker_pool.worker_result(id) as r (n int);
select count(*) from worker_pool.commands where state <> 'cancelled';
-- unread, cancelled ones make room for new ones
select count(*) as kept from worker_pool.commands \gset
select worker_pool.run('select 1 -- ' || repeat('x', 1500000));
select :kept - count(*) between 1 and 3 as some_went from worker_pool.commands;
-- but nobody's are pushed out for a text that may not fit even then
select count(*) as kept from worker_pool.commands \gset
select wpt.try(format('select worker_pool.run(%L)', 'select 1 -- ' || repeat('x', 14000000))) ~ '^53200' as refused;
select :kept - count(*) as went from worker_pool.commands;

-- max_result_size
alter system set worker_pool.max_result_size = '200kB';
select wpt.reload_until('worker_pool.max_result_size', '200kB');
select wpt.wait_until('exists (select from worker_pool.query(''show worker_pool.max_result_size'') as (v text) where v = ''200kB'')');
select count(*) from worker_pool.query('select repeat(''x'', 100) from generate_series(1, 1000)') as (x text);
select wpt.try($$select * from worker_pool.query('select repeat(''x'', 100) from generate_series(1, 10000)') as (x text)$$);
select wpt.try($$select * from worker_pool.query('select repeat(md5(''x''), 10000)') as (x text)$$);
select worker_pool.run('select repeat(''x'', 100) from generate_series(1, 10000)');
alter system reset worker_pool.max_result_size;
select wpt.reload_until('worker_pool.max_result_size', '1GB');
-- temp_file_limit of the command counts too
select wpt.try($$select * from worker_pool.query('select repeat(''x'', 100) from generate_series(1, 10000)', settings => '{"temp_file_limit": "100kB"}') as (x text)$$);
select count(*) from pg_ls_dir('base/pgsql_tmp') as d, pg_ls_dir('base/pgsql_tmp/' || d) as f where d like 'pgsql_tmp_worker_pool.%';
-- everything that is left is what was stopped above
select worker_pool.wait_worker(id), wpt.try(format('select * from worker_pool.worker_result(%s) as (n int)', id)) as outcome from worker_pool.commands group by 1, 2;
select shared_memory_used, queued, running from worker_pool.status;
