-- start_worker, wait_worker, worker_result: the plain way, and every bad argument.
create table start_log (n int, who name, note text);

select worker_pool.start_worker('insert into start_log values (1, current_user)') as id \gset
select :id > 0 as is_positive;
select worker_pool.wait_worker(:id);
-- waiting changes nothing
select worker_pool.wait_worker(:id, '1s');
select * from worker_pool.worker_result(:id) as (tag text);
table start_log;

-- fetched is fetched; the state is still known
select wpt.try(format('select * from worker_pool.worker_result(%s) as (tag text)', :id));
select worker_pool.wait_worker(:id);

-- ids only grow
select worker_pool.start_worker('select 1') as id2 \gset
select :id2 > :id as grows;
-- worker_result waits by itself
select * from worker_pool.worker_result(:id2) as (n int);

-- NULL means the default, for each argument
select * from worker_pool.worker_result(
	worker_pool.start_worker('select current_database(), current_user', null, null, null, null, null, null, null, null))
	as (d name, u name);
select worker_pool.run('select 1', null, null, null, null, null, null);
select * from worker_pool.query('select 1', null, null, null, null, null, null) as (n int);

-- all arguments by name
select worker_pool.start_worker(
	command => 'insert into start_log values ($1, current_user, $2)', args => array['2', null],
	database => current_database(), run_as => current_user, name => 'by name', timeout => '1min',
	settings => '{"work_mem": "1MB"}', on_full => 'error', fresh => true) as id \gset
select worker_pool.wait_worker(:id);
select name, state, database = current_database() as here, username = current_user as by_me, slot, pid, command,
	submitted_at <= started_at and started_at <= finished_at as times, rows, sqlstate, error
	from worker_pool.commands where id = :id;
select * from worker_pool.worker_result(id => :id) as (tag text);
select count(*) from worker_pool.commands where id = :id;
select n, note from start_log order by n;

-- immediate, not transactional: it has run although the caller rolls back
begin;
select worker_pool.start_worker('insert into start_log values (3)') as id \gset
select worker_pool.wait_worker(:id);
rollback;
select n from start_log where n = 3;
select * from worker_pool.worker_result(:id) as (tag text);

-- another database, another role
select * from worker_pool.worker_result(worker_pool.start_worker('select current_database()', database => 'regress_wp_other')) as (d name);
create role regress_wp_alice login;
select * from worker_pool.worker_result(worker_pool.start_worker('select session_user, current_user, current_setting(''is_superuser'')', run_as => 'regress_wp_alice')) as (s name, u name, super text);
drop role regress_wp_alice;

-- a name as long as it can be
select worker_pool.start_worker('select 1', name => repeat('n', 63)) as id \gset
select worker_pool.wait_worker(:id);
select name = repeat('n', 63) as whole from worker_pool.commands where id = :id;
select * from worker_pool.worker_result(:id) as (n int);

-- fresh: a process of its own, which ends with its command
select wpt.worker_pid() as warm \gset
select * from worker_pool.query('select pg_backend_pid()', fresh => true) as (fresh int) \gset
select :warm <> :fresh as own_process, :warm = wpt.worker_pid() as warm_one_is_still_there;
select wpt.wait_until(format('not exists (select from pg_stat_activity where pid = %s)', :fresh));

-- a wait with a limit; the command goes on
select pg_advisory_lock(815);
select worker_pool.start_worker('select count(pg_advisory_xact_lock(815))') as id \gset
select wpt.wait_until(format('state = ''running'' from worker_pool.commands where id = %s', :id));
select worker_pool.wait_worker(:id, '10ms');
select worker_pool.wait_worker(:id, '1us');
select pg_advisory_unlock(815);
select worker_pool.wait_worker(:id, '1min');
select rows from worker_pool.commands where id = :id;
select * from worker_pool.worker_result(:id) as (n bigint);

-- on_full: every worker is busy
select pg_advisory_lock(815);
create table start_ids as
	select n, worker_pool.start_worker('select ' || n || ' from (select pg_advisory_xact_lock_shared(815)) as l') as id
	from generate_series(1, (select max_workers from worker_pool.status)) as n;
select wpt.wait_locked(815, (select max_workers from worker_pool.status));
select wpt.try($$select worker_pool.start_worker('select 1', on_full => 'error')$$);
select worker_pool.start_worker('select ''was queued''', on_full => 'queue') as id \gset
select worker_pool.wait_worker(:id, '1ms');
select queued, oldest_queued_at is not null as since, free, idle, running = max_workers as all_run from worker_pool.status;
select state, slot, pid, started_at, finished_at from worker_pool.commands where id = :id;
select pg_advisory_unlock(815);
select * from worker_pool.worker_result(:id) as (t text);
select r.n from start_ids, worker_pool.worker_result(id) as r (n int) order by 1;
select queued, oldest_queued_at from worker_pool.status;

-- start_worker: bad arguments
\a
select wpt.try('select worker_pool.start_worker(' || arguments || ')') as outcome, arguments from (values
	(1, 'null'),
	(2, $$'selec 1'$$),
	(3, $$'select 1; selec 2'$$),
	(4, $$'select ''open'$$),
	(5, $$'select 1', array[array['1']]$$),
	(6, $$'select 1; select 2', array['1']$$),
	(7, $$'', array['1']$$),
	(8, $$'select $1', database => 'regress_wp_none'$$),
	(9, $$'select 1', database => 'template0'$$),
	(10, $$'select 1', database => 'template1'$$),
	(11, $$'select 1', run_as => 'regress_wp_none'$$),
	(12, $$'select 1', name => repeat('n', 64)$$),
	(13, $$'select 1', timeout => '-1s'$$),
	(14, $$'select 1', timeout => '1 month'$$),
	(15, $$'select 1', timeout => '25 days'$$),
	(16, $$'select 1', timeout => '1000000000 days'$$),
	(17, $$'select 1', settings => '[]'$$),
	(18, $$'select 1', settings => '1'$$),
	(19, $$'select 1', settings => '"work_mem"'$$),
	(20, $$'select 1', settings => 'null'$$),
	(21, $$'select 1', settings => '{"work_mem": {"a": 1}}'$$),
	(22, $$'select 1', settings => '{"work_mem": ["1MB"]}'$$),
	(23, $$'select 1', on_full => 'wait'$$),
	(24, $$'select 1', on_full => ''$$),
	(25, $$'copy start_log from stdin'$$),
	(26, $$'copy start_log to stdout'$$),
	(27, $$'select 1; copy (select 1) to stdout'$$)
	) as bad (n, arguments) order by n;
\a
-- the syntax error points into the command
select worker_pool.start_worker('select 1 +; select 2');
-- a role that may not log in
create role regress_wp_nologin nologin;
select wpt.try($$select worker_pool.start_worker('select 1', run_as => 'regress_wp_nologin')$$);
drop role regress_wp_nologin;
-- a database that takes no connections
alter database regress_wp_other allow_connections false;
select wpt.try($$select worker_pool.start_worker('select 1', database => 'regress_wp_other')$$);
alter database regress_wp_other allow_connections true;
select worker_pool.run('select 1', database => 'regress_wp_other');
alter database regress_wp_other is_template true;
select wpt.try($$select worker_pool.start_worker('select 1', database => 'regress_wp_other')$$);
alter database regress_wp_other is_template false;
-- none of these has left a record
select count(*) from worker_pool.commands;

-- the other verbs: bad arguments
\a
select wpt.try('select ' || call) as outcome, call from (values
	(1, 'worker_pool.wait_worker(null)'),
	(2, 'worker_pool.wait_worker(1)'),
	(3, 'worker_pool.wait_worker(0)'),
	(4, 'worker_pool.wait_worker(-1)'),
	(5, 'worker_pool.wait_worker(9223372036854775807)'),
	(6, 'worker_pool.wait_worker(1, ''-1s'')'),
	(7, 'worker_pool.wait_worker(1, ''1 year'')'),
	(8, 'worker_pool.stop_worker(null)'),
	(9, 'worker_pool.stop_worker(1)'),
	(10, 'worker_pool.stop_worker(0)'),
	(11, 'worker_pool.stop_worker(1, ''-1s'')'),
	(12, 'worker_pool.stop_worker(1, ''1 month'')'),
	(13, 'worker_pool.worker_result(1)'),
	(14, '* from worker_pool.worker_result(null) as (n int)'),
	(15, '* from worker_pool.worker_result(1) as (n int)'),
	(16, '* from worker_pool.worker_result(9223372036854775807) as (n int)'),
	(17, '* from worker_pool.worker_results(null) as (n int)'),
	(18, '* from worker_pool.worker_results(array[null::bigint]) as (n int)'),
	(19, '* from worker_pool.worker_results(array[array[1::bigint]]) as (n int)'),
	(20, '* from worker_pool.worker_results(array[1::bigint, 2, 1]) as (n int)'),
	(21, '* from worker_pool.worker_results(array[1::bigint, 2]) as (n int)'),
	(22, '* from worker_pool.worker_results(''{}'') as (n int)'),
	(23, 'worker_pool.run(null)'),
	(24, 'worker_pool.run(''selec'')'),
	(25, '* from worker_pool.query(null) as (n int)'),
	(26, 'worker_pool.query(''select 1'')'),
	(27, '* from worker_pool.query(''selec'') as (n int)')
	) as bad (n, call) order by n;
\a
select * from worker_pool.query('select 1');
call worker_pool.await_worker(null);
call worker_pool.await_worker(1);
call worker_pool.await_worker(1, '-1s');

drop table start_log, start_ids;

-- nothing is left
select state, command from worker_pool.commands;
select shared_memory_used, queued, running from worker_pool.status;
