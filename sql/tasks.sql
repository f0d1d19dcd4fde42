-- Durable tasks: what enqueue takes, in what order tasks run, what they leave, and what the views show of it.
create table task_log (n int generated always as identity, what text);
-- Enqueues, and waits for the end of a task that the statement before has committed.
create function wpt.end_of(task bigint) returns text language sql as $$ select worker_pool.wait_task(task, '30 seconds') $$;
-- As wpt.try, with the ids of tasks hidden, however short.
create function wpt.try_task(statement text) returns text language sql as $$ select regexp_replace(wpt.try(statement), '([Tt]ask )\d+', '\1<id>', 'g') $$;
-- Waits until nothing is unfinished.
create function wpt.tasks_done() returns bool language sql as $$ select wpt.wait_until('not exists (select from worker_pool.tasks)') $$;

-- a statement, with arguments, with a name; the result and the history
select worker_pool.enqueue('insert into task_log (what) values ($1) returning what', worker_pool.args('it''s'), name => 'with a name') as id \gset
select wpt.end_of(:id);
select what from task_log;
select worker_pool.task_result(:id);
select attempt, state, name, queue, owner = current_user as owner, run_as = current_user as run_as, command, args,
	started_at <= finished_at as times, duration = finished_at - started_at as duration, sqlstate, message, detail,
	hint, context, tag, pid > 0 as pid, schedule, is_final, has_result
from worker_pool.task_history where id = :id;
select * from worker_pool.tasks;
-- several statements; the result is that of the last which returned rows
select worker_pool.enqueue('select 1 as a; insert into task_log (what) values (''second''); select 2 as b, null as c') as id \gset
select wpt.end_of(:id);
select worker_pool.task_result(:id);
-- none returned any
select worker_pool.enqueue('insert into task_log (what) values (''third'')') as id \gset
select wpt.end_of(:id);
select worker_pool.task_result(:id);
select tag, has_result from worker_pool.task_history where id = :id;
-- types in a result
select worker_pool.enqueue($$select 1.50 as n, true as t, array[1, 2] as a, '{"x": [1]}'::jsonb as j, date '2024-02-29' as d, null::int as z, 'é"' as s$$) as id \gset
select wpt.end_of(:id);
select worker_pool.task_result(:id);
-- more than is kept: the effect counts, the result does not
select worker_pool.enqueue($$select repeat('x', 1000) from generate_series(1, 1000)$$) as id \gset
select wpt.end_of(:id);
select wpt.try_task(format('select worker_pool.task_result(%s)', :id));
select has_result from worker_pool.task_history where id = :id;
-- all defaults, as the view shows them
begin;
select worker_pool.enqueue('select 1') as id \gset
select id = :id as id, name, queue, state, priority, attempt, max_attempts, owner = current_user as owner, run_as = current_user as run_as,
	command, args, settings, key, concurrency_key, depends_on, enqueued_at = now() as enqueued, run_at = now() as run_at, due = now() as due,
	started_at, expires_at, schedule, atomic, pid, slot, progress, message, last_sqlstate, last_error, adopted
from worker_pool.tasks where id = :id;
rollback;
select count(*) from worker_pool.tasks where id = :id;
-- and all options
begin;
select worker_pool.create_queue('all options');
select worker_pool.enqueue('select $1', args => '{7}', queue => 'all options', priority => -3, run_at => '2099-01-01 00:00+00', max_attempts => 9,
	retry_delay => '1 minute', timeout => '2 minutes', expires_at => '2099-01-02 00:00+00', key => 'k', on_conflict => 'error', concurrency_key => 'c',
	run_as => current_user, atomic => true, settings => '{"work_mem": "7MB"}', history => 'off', name => 'all') as id \gset
select name, queue, state, priority, max_attempts, command, args, settings, key, concurrency_key, run_at at time zone 'UTC' as run_at,
	due = run_at as due, expires_at at time zone 'UTC' as expires_at, atomic
from worker_pool.tasks where id = :id;
rollback;
-- a number of attempts that is not named: 3 when atomic, 1 when not
begin;
create temp table picked as select g, worker_pool.enqueue(c) as id
from (values (1, 'select 1'), (2, 'vacuum task_log'), (3, 'create index concurrently on task_log (what)'), (4, 'reindex (concurrently) table task_log'), (5, 'create database x'), (6, 'cluster'), (7, 'cluster task_log using x'), (8, 'select 1; select 2')) as v (g, c);
select k.atomic, k.max_attempts, k.command from picked join worker_pool.tasks as k using (id) order by g;
rollback;

-- rolled back, also with a subtransaction
begin;
insert into task_log (what) select 'x' from worker_pool.enqueue('insert into task_log (what) values (''rolled back'')');
rollback;
begin;
select worker_pool.enqueue('insert into task_log (what) values (''kept 1'')') as kept \gset
savepoint a;
select count(worker_pool.enqueue('insert into task_log (what) values (''lost with its savepoint'')'));
rollback to a;
savepoint b;
select worker_pool.enqueue('insert into task_log (what) values (''kept 2'')', depends_on => array[:kept]) as id \gset
release b;
commit;
select wpt.end_of(:id);
do $$
begin
	begin
		perform worker_pool.enqueue('insert into task_log (what) values (''lost with its block'')');
		raise exception 'back';
	exception when raise_exception then
		null;
	end;
	perform worker_pool.enqueue('insert into task_log (what) values (''kept 3'')');
end $$;
select wpt.tasks_done();
select what from task_log order by n;
truncate task_log;

-- order: priority, then due time, then id. A time that is over means now. One at a time.
select worker_pool.create_queue('narrow', max_running => 1);
select worker_pool.pause('narrow');
insert into task_log (what) values ('start');
select count(worker_pool.enqueue(format('insert into task_log (what) values (%L)', w), queue => 'narrow', priority => p, run_at => now() - d))
from (values ('id 1, priority 0', 0, interval '0'), ('id 2, priority 5', 5, '0'), ('id 3, priority 0', 0, '0'), ('id 4, priority -1', -1, '1 hour'), ('id 5, priority 5', 5, '0')) as v (w, p, d);
select worker_pool.resume('narrow');
select wpt.tasks_done();
select what from task_log order by n;
truncate task_log;
select worker_pool.drop_queue('narrow');

-- effect and end are one: what the task did is seen when its end is
select worker_pool.enqueue('insert into task_log (what) select current_setting(''work_mem'') || '' '' || current_setting(''application_name'')', settings => '{"work_mem": "9MB", "application_name": "mine"}') as id \gset
select wpt.end_of(:id);
select what from task_log;
-- current_task, in a task and outside
select worker_pool.enqueue('select worker_pool.current_task() as me') as id \gset
select wpt.end_of(:id);
select (worker_pool.task_result(:id) -> 0 ->> 'me')::bigint = :id as me, worker_pool.current_task();
-- outside of a task there is no progress
select worker_pool.report_progress(0.5, 'half');
-- a task that enqueues
select worker_pool.enqueue('select worker_pool.enqueue(''insert into task_log (what) values (''''child'''')'') > 0 as child') as id \gset
select wpt.end_of(:id);
select wpt.tasks_done();
select what from task_log where what = 'child';
-- a task sees its settings before its snapshot is taken
select worker_pool.enqueue('select current_setting(''transaction_isolation'') as i, current_setting(''transaction_read_only'') as r', settings => '{"default_transaction_isolation": "repeatable read", "default_transaction_read_only": "on"}') as id \gset
select wpt.end_of(:id);
select worker_pool.task_result(:id);
truncate task_log;

-- attempts: each is kept, with its error
create sequence task_tries;
select worker_pool.enqueue($$do 'begin if nextval(''task_tries'') < 3 then raise ''try %'', currval(''task_tries'') using errcode = ''P0042'', detail = ''d'', hint = ''h''; end if; end'$$, retry_delay => '10 ms') as id \gset
select wpt.end_of(:id);
select attempt, state, sqlstate, message, detail, hint, context, tag, is_final from worker_pool.task_history where id = :id order by attempt;
-- 40001 and 40P01 at once, whatever the delay
drop sequence task_tries;
create sequence task_tries;
select worker_pool.enqueue($$do 'begin if nextval(''task_tries'') < 3 then raise ''again'' using errcode = ''40001''; end if; end'$$, retry_delay => '1 hour') as id \gset
select wpt.end_of(:id);
select attempt, state, sqlstate from worker_pool.task_history where id = :id order by attempt;
-- one that waits for its retry
select worker_pool.enqueue('select 1 / 0', retry_delay => '1 hour') as id \gset
select wpt.wait_until(format('exists (select from worker_pool.tasks where id = %s and attempt = 1)', :id));
select state, attempt, due > now() + interval '53 minutes' and due < now() + interval '67 minutes' as due, last_sqlstate, last_error from worker_pool.tasks where id = :id;
select worker_pool.wait_task(:id, '10 ms');
select reason is not null as told from worker_pool.explain_task(:id);
select wpt.try_task(format('select worker_pool.task_result(%s)', :id));
select worker_pool.retry_task(:id);
select wpt.wait_until(format('exists (select from worker_pool.tasks where id = %s and attempt = 2)', :id));
select worker_pool.cancel_task(:id);
select wpt.end_of(:id);
select attempt, state, sqlstate, is_final from worker_pool.task_history where id = :id order by attempt, is_final;
select worker_pool.cancel_task(:id);
-- retry_task from the history, of one that failed and one that succeeded
create table task_switch (n int);
select worker_pool.enqueue('select 1 / n from task_switch', max_attempts => 1) as id \gset
insert into task_switch values (0);
select wpt.end_of(:id) in ('failed', 'succeeded') as ended;
select worker_pool.enqueue('select 12 / n as r from task_switch', max_attempts => 1, name => 'again') as id \gset
select wpt.end_of(:id);
update task_switch set n = 4;
select worker_pool.retry_task(:id);
select wpt.end_of(:id);
select worker_pool.task_result(:id), worker_pool.retry_task(:id);
select state, name, is_final from worker_pool.task_history where id = :id order by finished_at;
drop table task_switch;

-- timeout and expiry
select worker_pool.enqueue('select pg_sleep(60)', timeout => '50 ms', max_attempts => 1) as id \gset
select wpt.end_of(:id);
select state, sqlstate from worker_pool.task_history where id = :id;
select worker_pool.pause();
select worker_pool.enqueue('insert into task_log (what) values (''expired'')', expires_at => clock_timestamp() + interval '100 ms') as id \gset
select count(pg_sleep_until(expires_at)) from worker_pool.tasks where id = :id;
select state from worker_pool.tasks where id = :id;
select worker_pool.resume();
select wpt.end_of(:id);
select attempt, state, started_at, is_final from worker_pool.task_history where id = :id;
select count(*) from task_log;

-- atomic and not
select worker_pool.enqueue($$do 'begin insert into task_log (what) values (''b''); commit; perform 1 / 0; end'$$, atomic => false) as id \gset
select wpt.end_of(:id);
select what from task_log order by n;
select attempt, state, sqlstate from worker_pool.task_history where id = :id;
truncate task_log;
select worker_pool.enqueue($$insert into task_log (what) values ('a'); savepoint s; insert into task_log (what) values ('b'); rollback to s; release s$$) as id \gset
select wpt.end_of(:id);
select what from task_log order by n;
select worker_pool.enqueue($$insert into task_log (what) values ('c'); select 1 / 0$$, max_attempts => 1) as id \gset
select wpt.end_of(:id);
select what from task_log order by n;
select worker_pool.enqueue('vacuum task_log') as id \gset
select wpt.end_of(:id);
select tag from worker_pool.task_history where id = :id;

-- keys
select worker_pool.enqueue('select ''first'' as w', key => 'k', run_at => now() + interval '1 hour') as id \gset
select worker_pool.enqueue('select ''second'' as w', key => 'k') = :id as kept;
select command, state from worker_pool.tasks where id = :id;
select wpt.try_task($$select worker_pool.enqueue('select 3', key => 'k', on_conflict => 'error')$$);
select worker_pool.enqueue('select ''third'' as w', key => 'k', on_conflict => 'replace', priority => 3) = :id as replaced;
select wpt.end_of(:id);
select worker_pool.task_result(:id);
select worker_pool.enqueue('select 4', key => 'k') <> :id as free_again;
-- the same key within a transaction, and a savepoint that gives it back
begin;
select worker_pool.enqueue('select 5', key => 'k2', run_at => now() + interval '1 hour') as id \gset
select worker_pool.enqueue('select 6', key => 'k2') = :id as kept;
savepoint a;
select worker_pool.enqueue('select 7', key => 'k3', run_at => now() + interval '1 hour') as third \gset
rollback to a;
select worker_pool.enqueue('select 8', key => 'k3', run_at => now() + interval '1 hour') <> :third as anew;
rollback;
select wpt.tasks_done();
-- nor is anything of it in memory
select next_due from worker_pool.databases where database = current_database();

-- dependencies
select worker_pool.enqueue('insert into task_log (what) values (''a'')', run_at => now() + interval '1 hour') as a \gset
select worker_pool.enqueue('insert into task_log (what) values (''b'')', depends_on => array[:a]) as b \gset
select worker_pool.enqueue('insert into task_log (what) values (''c'')', depends_on => array[:a, :b, :a]) as c \gset
select state, due, depends_on = array[:a]::bigint[] as on_a, depends_on = array[:a, :b]::bigint[] as on_both from worker_pool.tasks where id in (:b, :c) order by id;
select reason is not null as told from worker_pool.explain_task(:c) limit 1;
select worker_pool.cancel_task(:a);
select wpt.end_of(:a), wpt.end_of(:b), wpt.end_of(:c);
select state, sqlstate, regexp_replace(replace(replace(message, 'task ' || :'a' || ',', 'task <a>,'), 'task ' || :'b' || ' ', 'task <b> '), 'task ' || :'c' || ' ', 'task <c> ') as message, detail from worker_pool.task_history where id in (:b, :c) order by id;
-- one that is over: success counts, anything else cancels at once
select worker_pool.enqueue('select 1') as a \gset
select wpt.end_of(:a);
select worker_pool.enqueue('select 2', depends_on => array[:a]) as b \gset
select wpt.end_of(:b);
select worker_pool.enqueue('select 3', depends_on => array[:a, :c]) as b \gset
select wpt.end_of(:b);

-- waiting
begin;
select worker_pool.enqueue('select 1') as id \gset
select wpt.try_task(format('select worker_pool.wait_task(%s)', :id));
select wpt.try_task(format('call worker_pool.await_task(%s)', :id));
commit;
call worker_pool.await_task(:id, '30 seconds');
select worker_pool.wait_task(:id);
select worker_pool.enqueue('select 1', run_at => now() + interval '1 hour') as id \gset
select worker_pool.wait_task(:id, '10 ms');
call worker_pool.await_task(:id, '10 ms');
begin;
select worker_pool.cancel_task(:id);
select worker_pool.wait_task(:id, '1s');
rollback;
select state from worker_pool.tasks where id = :id;
select worker_pool.stop_worker(:id);
select worker_pool.wait_task(:id);
select regexp_replace(reason, 'at .*', 'at <time>') as reason from worker_pool.explain_task(:id);
-- a task's own history
select worker_pool.enqueue('select 1', history => 'off') as id \gset
select wpt.tasks_done();
select worker_pool.wait_task(:id), (select count(*) from worker_pool.task_history where id = :id);
select worker_pool.enqueue('select 1', history => 'errors') as id \gset
select wpt.tasks_done();
select count(*) from worker_pool.task_history where id = :id;
select worker_pool.enqueue('select 1 / 0', history => 'errors', max_attempts => 1) as id \gset
select wpt.end_of(:id);
select count(*) from worker_pool.task_history where id = :id;

-- counts
select worker_pool.stats_reset();
select sum(enqueued) as enqueued, sum(succeeded) as succeeded, sum(failed) as failed from worker_pool.stats;
select worker_pool.enqueue('select 1') as id \gset
select wpt.end_of(:id);
select worker_pool.enqueue('select 1 / 0', max_attempts => 2, retry_delay => '1 ms') as id \gset
select wpt.end_of(:id);
select wpt.wait_until('(select succeeded = 1 and failed = 1 from worker_pool.stats where queue = ''default'')');
select enqueued, succeeded, failed, retried, cancelled, expired, skipped, avg_wait >= '0' as waited, avg_run > '0' as ran, since <= now() as since from worker_pool.stats where queue = 'default';
select kind, bool_and(count <= 3) as few, max(count) filter (where le is null) as all_of_them, bool_and(ordered) as cumulative
from (select kind, le, count, count >= lag(count, 1, 0::bigint) over (partition by kind order by le) as ordered from worker_pool.latency where queue = 'default') as l
group by kind order by kind;
select ready, running, failed, paused, oldest_ready_at, version is not null as version from worker_pool.databases where database = current_database();

drop table task_log;
drop sequence task_tries;
-- nothing is left
select * from worker_pool.tasks;
select count(*) from worker_pool.task_key;
select count(*) from worker_pool.dependency;
select wpt.wait_until('(select shared_memory_used = 0 and queued = 0 and running = 0 from worker_pool.status)');
