-- What the verbs of tasks refuse, with their words.
create role regress_wp_alice login;
create role regress_wp_bob login;
create role regress_wp_nologin;
create role regress_wp_stats login;
grant pg_read_all_stats to regress_wp_stats;
grant usage on schema worker_pool to regress_wp_alice, regress_wp_bob, regress_wp_stats;

-- the command
select wpt.try($$select worker_pool.enqueue(null)$$);
select wpt.try($$select worker_pool.enqueue('selekt 1')$$);
select wpt.try($$select worker_pool.enqueue('')$$);
select wpt.try($$select worker_pool.enqueue('copy pg_class to stdout')$$);
select wpt.try($$select worker_pool.enqueue('copy pg_class from stdin')$$);
select wpt.try($$select worker_pool.enqueue('select $1; select 2', args => '{1}')$$);
select wpt.try($$select worker_pool.enqueue('select $1', args => '{{1,2},{3,4}}')$$);
-- what an atomic one may not have in it
select wpt.try(format('select worker_pool.enqueue(%L)', c)) from (values ('begin; select 1'), ('select 1; commit'), ('rollback'), ('abort'), ('start transaction'), ('commit and chain'), ('prepare transaction ''x'''), ('commit prepared ''x'''), ('rollback prepared ''x'''), ('select 1; vacuum')) as v (c);
select wpt.try(format('select worker_pool.enqueue(%L, atomic => true)', c)) from (values ('vacuum'), ('create index concurrently on x (y)'), ('create database x'), ('drop database x'), ('alter system set work_mem = 1'), ('reindex database x'), ('create tablespace x location ''/x''')) as v (c);
-- numbers and times
select regexp_replace(wpt.try(format('select worker_pool.enqueue(''select 1'', %s)', o)), 'It is .*', 'It is <time>.') from (values
	('max_attempts => 0'), ('max_attempts => -1'), ('max_attempts => 1001'), ('retry_delay => ''-1s'''), ('retry_delay => ''1 month'''), ('timeout => ''-1s'''), ('timeout => ''1 year'''),
	('run_at => ''infinity'''), ('run_at => ''-infinity'''), ('expires_at => now() - interval ''1s'''), ('run_at => now() + interval ''2h'', expires_at => now() + interval ''1h'''),
	('queue => ''no such queue'''), ('queue => repeat(''q'', 64)'), ('on_conflict => ''maybe'', key => ''k'''), ('history => ''some'''), ('key => repeat(''k'', 1025)'),
	('concurrency_key => repeat(''k'', 1025)'), ('name => repeat(''n'', 64)'), ('settings => ''[]'''),
	('depends_on => ''{999999999}'''), ('depends_on => ''{{1},{2}}'''), ('depends_on => array[null::bigint]'), ('depends_on => array(select generate_series(1::bigint, 1001))'), ('run_as => ''no such role'''), ('run_as => ''regress_wp_nologin''')) as v (o);
-- settings are looked at where it runs
select count(worker_pool.enqueue('select 1', settings => format('{"%s": "%s"}', n, v)::jsonb, max_attempts => 1, name => n)) from (values ('no_such_setting', '1'), ('work_mem', 'lots'), ('shared_buffers', '1GB')) as s (n, v);
select wpt.tasks_done();
select name, state, sqlstate, message, detail, hint from worker_pool.task_history where name in ('no_such_setting', 'work_mem', 'shared_buffers') order by name;
-- what is null is the default
begin;
select count(worker_pool.enqueue('select 1', null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null)) from generate_series(1, 1);
select queue, priority, max_attempts, args, settings, key, atomic, run_as = current_user as run_as from worker_pool.tasks;
rollback;
-- ids
select wpt.try(format('select worker_pool.%s(%s)', f, i)) from (values ('cancel_task'), ('retry_task'), ('wait_task'), ('task_result'), ('explain_task')) as v (f), (values ('null'), ('0'), ('-1'), ('999999999'), ('9223372036854775807')) as w (i);
call worker_pool.await_task(null);
call worker_pool.await_task(999999999);
select wpt.try($$select worker_pool.cancel_task(1, '-1s')$$);
select wpt.try($$select worker_pool.cancel_task(1, '1 month')$$);
select wpt.try($$select worker_pool.wait_task(1, '-1s')$$);
select wpt.try($$select worker_pool.report_progress(1.5)$$);
select wpt.try($$select worker_pool.report_progress('NaN')$$);
-- a read-only transaction
begin read only;
select wpt.try($$select worker_pool.enqueue('select 1')$$);
select wpt.try($$select worker_pool.create_queue('q')$$);
select wpt.try($$select worker_pool.schedule('s', '* * * * *', 'select 1')$$);
select wpt.try($$select worker_pool.adopt()$$);
rollback;

-- whose it is
set session authorization regress_wp_alice;
select worker_pool.enqueue('select ''secret'' as s', run_at => now() + interval '1 hour', key => 'k', concurrency_key => 'c', settings => '{"work_mem": "9MB"}', name => 'shown') as id \gset
select worker_pool.enqueue('select ''done'' as s') as done \gset
select worker_pool.wait_task(:done, '30s');
select worker_pool.enqueue('select 1 / 0', max_attempts => 1) as bad \gset
select worker_pool.wait_task(:bad, '30s');
select wpt.try($$select worker_pool.enqueue('select 1', run_as => 'regress_wp_bob')$$);
select wpt.try($$select worker_pool.enqueue('select 1', run_as => 'regress_wp_nologin')$$);
-- not for another one: he sees that it is there
set session authorization regress_wp_bob;
select name, state, owner, run_as, command, args, settings, key, concurrency_key, last_error from worker_pool.tasks where id = :id;
select state, owner, command, args, sqlstate, message, context from worker_pool.task_history where id in (:done, :bad) order by id;
select wpt.try_task(format('select worker_pool.%s(%s)', f, :id)) from (values ('cancel_task'), ('retry_task'), ('wait_task'), ('task_result'), ('explain_task')) as v (f);
select wpt.try_task(format('select worker_pool.%s(%s)', f, :done)) from (values ('cancel_task'), ('retry_task'), ('wait_task'), ('task_result'), ('explain_task')) as v (f);
select wpt.try_task(format('select worker_pool.enqueue(''select 1'', depends_on => array[%s])', :id));
-- his key is another one
begin;
select worker_pool.enqueue('select 1', key => 'k') <> :id as another;
rollback;
-- nobody has rights on the tables
select wpt.try(format(s, t)) from (values ('select from worker_pool.%s'), ('insert into worker_pool.%s default values'), ('delete from worker_pool.%s'), ('update worker_pool.%s set database = 1'), ('truncate worker_pool.%s'), ('lock worker_pool.%s')) as v (s), (values ('task'), ('history'), ('schedule'), ('installation')) as w (t) where not (s ~ 'update' and t = 'history');
select wpt.try($$select nextval('worker_pool.task_id_seq')$$);
-- pausing is for the owner of the database
select wpt.try($$select worker_pool.pause()$$);
select wpt.try($$select worker_pool.resume()$$);
select wpt.try($$select worker_pool.drain()$$);
select wpt.try($$select worker_pool.adopt()$$);
select wpt.try($$select worker_pool.rescan()$$);
select wpt.try($$select worker_pool.stats_reset()$$);
-- who reads statistics sees, and does no more
set session authorization regress_wp_stats;
select name, state, command, key from worker_pool.tasks where id = :id;
select state, command, message from worker_pool.task_history where id in (:done, :bad) order by id;
select worker_pool.wait_task(:id, '1 ms');
select wpt.try_task(format('select worker_pool.%s(%s)', f, :id)) from (values ('cancel_task'), ('retry_task'), ('task_result')) as v (f);
reset session authorization;
-- a member
grant regress_wp_alice to regress_wp_bob;
set session authorization regress_wp_bob;
select name, state, command, key from worker_pool.tasks where id = :id;
select worker_pool.task_result(:done);
select worker_pool.cancel_task(:id);
select worker_pool.enqueue('select current_user as me', run_as => 'regress_wp_alice') as id \gset
select worker_pool.wait_task(:id, '30s');
select worker_pool.task_result(:id);
reset session authorization;
-- how many a role may have
alter role regress_wp_alice set worker_pool.max_tasks_per_role = 2;
set session authorization regress_wp_alice;
select count(worker_pool.enqueue('select 1', run_at => now() + interval '1 hour')) from generate_series(1, 2);
select wpt.try($$select worker_pool.enqueue('select 1')$$);
set worker_pool.max_tasks_per_role = 10;
reset session authorization;
select count(worker_pool.cancel_task(id)) from worker_pool.tasks;
set session authorization regress_wp_alice;
select wpt.try($$select worker_pool.enqueue('select 1', run_at => now() + interval '1 hour')$$);
reset session authorization;
select count(worker_pool.cancel_task(id)) from worker_pool.tasks;

-- in a task: it cannot cancel itself, nor wait for itself
select worker_pool.enqueue('select worker_pool.cancel_task(worker_pool.current_task())', max_attempts => 1) as id \gset
select wpt.end_of(:id);
select wpt.try_task(format('select worker_pool.task_result(%s)', :id));
select worker_pool.enqueue('select worker_pool.wait_task(worker_pool.current_task())', max_attempts => 1) as id \gset
select wpt.end_of(:id);
select wpt.try_task(format('select worker_pool.task_result(%s)', :id));
select worker_pool.enqueue('select pg_sleep(600)') as id \gset
select wpt.wait_until(format('(select state = ''running'' from worker_pool.tasks where id = %s)', :id));
select worker_pool.cancel_task(:id);
select wpt.end_of(:id);
select wpt.try_task(format('select worker_pool.task_result(%s)', :id));
-- a role that cannot log in any more
select worker_pool.pause();
set session authorization regress_wp_bob;
select worker_pool.enqueue('select 1', max_attempts => 1) as id \gset
reset session authorization;
alter role regress_wp_bob nologin;
select worker_pool.resume();
select wpt.end_of(:id);
select state, sqlstate, message from worker_pool.task_history where id = :id;

drop owned by regress_wp_alice, regress_wp_bob, regress_wp_stats;
drop role regress_wp_alice, regress_wp_bob, regress_wp_nologin, regress_wp_stats;
select * from worker_pool.tasks;
