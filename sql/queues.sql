-- Queues: made, changed, dropped; their limit, their priority; pauses and drains.
create role regress_wp_alice login;
create role regress_wp_bob login;
grant usage on schema worker_pool to regress_wp_alice, regress_wp_bob;
create table q_log (n int generated always as identity, what text);
grant insert on q_log to public;

-- made
select id, name, max_running, priority, owner, paused, paused_by, paused_at, pause_reason, ready, running, adopted from worker_pool.queues;
select worker_pool.create_queue('q1');
select worker_pool.create_queue('q2', max_running => 2, priority => 5);
select name, max_running, priority, owner = current_user as owner, paused, paused_by, paused_at, pause_reason, ready, running, adopted from worker_pool.queues order by name;
select wpt.try($$select worker_pool.create_queue('q1')$$);
select worker_pool.create_queue('q1', if_not_exists => true);
select wpt.try(format('select worker_pool.create_queue(%s)', a)) from (values ('null'), (''''''), ('repeat(''q'', 64)'), ('''default'''), ('''q3'', max_running => 0'), ('''q3'', max_running => -1')) as v (a);
-- transactional
begin;
select worker_pool.create_queue('q3');
select worker_pool.enqueue('select 1', queue => 'q3') > 0 as there;
rollback;
select wpt.try($$select worker_pool.enqueue('select 1', queue => 'q3')$$);
select name from worker_pool.queues order by 1;
-- changed
select worker_pool.alter_queue('q1', max_running => 3);
select worker_pool.alter_queue('q1', priority => -2);
select max_running, priority from worker_pool.queues where name = 'q1';
select worker_pool.alter_queue('q1', reset => '{max_running,priority}');
select max_running, priority from worker_pool.queues where name = 'q1';
select wpt.try(format('select worker_pool.alter_queue(%s)', a)) from (values ('null'), ('''nowhere'''), ('''q1'', max_running => 0'), ('''q1'', reset => ''{name}'''), ('''q1'', max_running => 1, reset => ''{max_running}'''), ('''q1'', reset => array[null]')) as v (a);
-- default has limits, too
select worker_pool.alter_queue('default', max_running => 1, priority => 1);
select max_running, priority, owner from worker_pool.queues where name = 'default';
select worker_pool.alter_queue('default', reset => '{max_running,priority}');
select wpt.try($$select worker_pool.drop_queue('default')$$);

-- dropped, when nothing is in it
select worker_pool.enqueue('select 1', queue => 'q1', run_at => now() + interval '1 hour') as id \gset
select wpt.try($$select worker_pool.drop_queue('q1')$$);
select worker_pool.cancel_task(:id);
select worker_pool.schedule('q1 user', '0 0 1 1 *', 'select 1', queue => 'q1') > 0 as made;
select wpt.try($$select worker_pool.drop_queue('q1')$$);
select worker_pool.unschedule('q1 user');
select worker_pool.drop_queue('q1');
select wpt.try($$select worker_pool.drop_queue('q1')$$);
select wpt.try($$select worker_pool.drop_queue(null)$$);
-- what was in it cannot be tried again
select wpt.try_task(format('select worker_pool.retry_task(%s)', :id));

-- the limit holds
select pg_advisory_lock(77);
select count(worker_pool.enqueue('insert into q_log (what) select ''two'' from (select pg_advisory_xact_lock_shared(77)) as l', queue => 'q2')) from generate_series(1, 5);
select wpt.wait_locked(77, 2);
select waiting, running from worker_pool.queues where name = 'q2';
select state, count(*) from worker_pool.tasks group by 1 order by 1;
select wpt.wait_until($$(select bool_or(reason ~ 'q2' or detail ~ 'q2') from worker_pool.tasks, worker_pool.explain_task(id) where state = 'ready')$$) as names_the_queue;
-- raised while they wait
select worker_pool.alter_queue('q2', max_running => 3);
select wpt.wait_locked(77, 3);
select running from worker_pool.queues where name = 'q2';
-- others pass by
select worker_pool.alter_queue('q2', max_running => 2);
select pg_advisory_unlock(77);
select wpt.tasks_done();
select what, count(*) from q_log group by 1;
truncate q_log;

-- the priority of a queue comes before that of a task: both wait behind the pause of the database
select worker_pool.create_queue('low', priority => -1);
select worker_pool.create_queue('high', priority => 1);
select worker_pool.pause(reason => 'sorting');
select count(worker_pool.enqueue(format('insert into q_log (what) values (%L)', q || ' ' || p), queue => q, priority => p, concurrency_key => 'one')) from (values ('low', 9), ('default', 0), ('high', -9), ('high', 3), ('default', 1)) as v (q, p);
select worker_pool.resume();
select wpt.tasks_done();
select what from q_log order by n;
truncate q_log;
-- changed while they wait: in the order of their new ranks
select worker_pool.pause('low');
select worker_pool.enqueue('insert into q_log (what) values (''low'')', queue => 'low', priority => 9) as id \gset
select worker_pool.enqueue('insert into q_log (what) values (''high'')', queue => 'high', run_at => now() + interval '1 hour') as high \gset
select queue from worker_pool.task order by rank;
select worker_pool.alter_queue('low', priority => 100);
select queue from worker_pool.task order by rank;
select worker_pool.cancel_task(:high);
select worker_pool.resume('low');
select wpt.end_of(:id);
truncate q_log;

-- pauses: of a queue, of the database, with who and why
select worker_pool.pause('low', 'being repaired');
select worker_pool.pause('low', 'again');
select worker_pool.enqueue('insert into q_log (what) values (''low'')', queue => 'low') as low \gset
select worker_pool.enqueue('insert into q_log (what) values (''high'')', queue => 'high') as high \gset
select wpt.end_of(:high);
select what from q_log;
select name, paused, paused_by = current_user as by_me, paused_at <= now() as at, pause_reason from worker_pool.queues order by name;
select reason ~ 'paused' as paused, detail from worker_pool.explain_task(:low) limit 1;
select state from worker_pool.tasks where id = :low;
-- a rollback does not undo it
begin;
select worker_pool.resume('low');
select worker_pool.pause('high', 'rolled back');
rollback;
select wpt.end_of(:low);
select name, paused, pause_reason from worker_pool.queues where paused;
select worker_pool.resume('high');
select worker_pool.resume('high');
-- the whole database; a queue may be paused besides
select worker_pool.pause(reason => 'all of it');
select worker_pool.pause('low', 'besides');
select name, paused, pause_reason from worker_pool.queues order by name;
select paused from worker_pool.databases where database = current_database();
select worker_pool.resume();
select name, paused, pause_reason from worker_pool.queues order by name;
select paused from worker_pool.databases where database = current_database();
select worker_pool.resume('low');
select wpt.try($$select worker_pool.pause('nowhere')$$);
select wpt.try($$select worker_pool.resume('nowhere')$$);
select wpt.try($$select worker_pool.drain('nowhere')$$);
-- a pause leaves what runs alone; drain waits for it
select pg_advisory_lock(78);
select worker_pool.enqueue('select pg_advisory_xact_lock_shared(78)', queue => 'high') as id \gset
select wpt.wait_locked(78);
select worker_pool.drain('high', timeout => '50 ms');
select worker_pool.drain('low', timeout => '50 ms');
select paused from worker_pool.queues where name = 'high';
select worker_pool.drain(timeout => '50 ms');
select pg_advisory_unlock(78);
select worker_pool.drain('high', timeout => '30 s');
select worker_pool.drain();
select wpt.end_of(:id);
select wpt.try($$select worker_pool.drain(timeout => '-1s')$$);
select worker_pool.resume(), worker_pool.resume('high'), worker_pool.resume('low'), worker_pool.resume();
select name from worker_pool.queues where paused;

-- whose they are
set session authorization regress_wp_alice;
select worker_pool.create_queue('hers');
set session authorization regress_wp_bob;
select wpt.try($$select worker_pool.alter_queue('hers', priority => 1)$$);
select wpt.try($$select worker_pool.drop_queue('hers')$$);
select wpt.try($$select worker_pool.pause('hers')$$);
select wpt.try($$select worker_pool.drain('hers')$$);
select wpt.try($$select worker_pool.alter_queue('default', priority => 1)$$);
select wpt.try($$select worker_pool.pause('default')$$);
-- anybody may put tasks into it
select worker_pool.enqueue('insert into q_log (what) select current_user', queue => 'hers') as id \gset
select wpt.end_of(:id);
set session authorization regress_wp_alice;
select worker_pool.pause('hers', 'mine');
select worker_pool.resume('hers');
select worker_pool.alter_queue('hers', max_running => 1);
select worker_pool.drop_queue('hers');
reset session authorization;

drop table q_log;
select worker_pool.drop_queue(name) from worker_pool.queues where name <> 'default';
drop owned by regress_wp_alice, regress_wp_bob;
drop role regress_wp_alice, regress_wp_bob;
-- nothing is left
select name, max_running, priority, paused, ready, running from worker_pool.queues;
select count(*) from worker_pool.tasks;
