-- What the views show, and to whom. (Columns, types and rights stand in test/pgtap.)
set client_min_messages = warning;
create role regress_wp_alice login;
create role regress_wp_bob login;
create role regress_wp_member login in role regress_wp_alice;
create role regress_wp_stats login in role pg_read_all_stats;
grant usage on schema worker_pool to regress_wp_alice, regress_wp_bob, regress_wp_member, regress_wp_stats;
reset client_min_messages;

-- one row, and its numbers agree
select version = (select extversion from pg_extension where extname = 'worker_pool') as version, max_workers, in_recovery, enabled,
	launcher_started_at < now() as launcher, shared_memory_size, shared_memory_used between 0 and shared_memory_size as used,
	free + starting + idle + running + stopping = max_workers as sum, queued, oldest_queued_at
	from worker_pool.status;
select backend_type, application_name, datname, usename from pg_stat_activity where pid = (select launcher_pid from worker_pool.status);
select wpt.wait_until('starting + idle + running + stopping = (select count(*) from worker_pool.workers) from worker_pool.status');

-- a running command
set session authorization regress_wp_alice;
select pg_advisory_lock(815);
select worker_pool.start_worker('select ''secret'' from (select pg_advisory_xact_lock_shared(815)) as l', name => 'the name') as id \gset
select wpt.wait_locked(815);
select kind, state, database, username, command_id = :id as this, task_id, service, name, command, pid is not null as pid, commands_done >= 0 as done,
	started_at <= state_changed_at as times, progress, message from worker_pool.workers where command_id = :id;
select name, state, database, username, slot is not null as slot, pid is not null as pid, command, submitted_at <= started_at as times, finished_at, rows, sqlstate, error
	from worker_pool.commands where id = :id;
select w.slot = c.slot and w.pid = c.pid as agree, a.backend_type, replace(a.application_name, :'id', '<id>') as application_name, a.datname, a.usename, a.state, a.query, a.wait_event_type
	from worker_pool.commands as c join worker_pool.workers as w on w.command_id = c.id join pg_stat_activity as a on a.pid = w.pid where c.id = :id;
-- a failed one
select worker_pool.start_worker('select ''secret''::int') as failed \gset
select worker_pool.wait_worker(:failed);
select state, command, sqlstate, error from worker_pool.commands where id = :failed;

-- to a member of his role, pg_read_all_stats, a superuser; not to others, who see that something is there
create function pg_temp.look(ids bigint[]) returns table (who name, what text, state text, name text, command text, sqlstate text, error text) language sql as $$
	select current_user, 'workers', state, name, command, null, null from worker_pool.workers where command_id = any (ids)
	union all
	select current_user, 'commands', state, name, command, sqlstate, error from worker_pool.commands where id = any (ids)
	order by 2, 3
$$;
select * from pg_temp.look(array[:id, :failed]);
reset session authorization;
select * from pg_temp.look(array[:id, :failed]);
set session authorization regress_wp_bob;
select * from pg_temp.look(array[:id, :failed]);
set session authorization regress_wp_member;
select * from pg_temp.look(array[:id, :failed]);
set session authorization regress_wp_stats;
select * from pg_temp.look(array[:id, :failed]);
-- idle workers show nothing of what they ran
set session authorization regress_wp_alice;
select pg_advisory_unlock(815);
select * from worker_pool.worker_result(:id) as (t text);
select kind, state, command_id, name, command, commands_done > 0 as done from worker_pool.workers where username = 'regress_wp_alice' and database = current_database() limit 1;
select distinct a.state, a.xact_start, a.backend_xmin from worker_pool.workers as w join pg_stat_activity as a using (pid) where w.username = 'regress_wp_alice' and w.state = 'idle';
select wpt.try(format('select * from worker_pool.worker_result(%s) as (n int)', :failed));
reset session authorization;

-- memory comes back
select shared_memory_used as before from worker_pool.status \gset
select worker_pool.start_worker('select repeat(''x'', 10000)') as id \gset
select worker_pool.wait_worker(:id);
select shared_memory_used - :before > 10000 as used from worker_pool.status;
select length(x) from worker_pool.worker_result(:id) as (x text);
select shared_memory_used - :before as left_over from worker_pool.status;

-- run and query show while they run, and leave nothing
select count(*) from worker_pool.query('select name, state, command from worker_pool.commands where command like ''select name, state%''') as (n text, s text, c text);
select * from worker_pool.query('select state, command from worker_pool.commands where pid = pg_backend_pid()') as (s text, c text);
select count(*) from worker_pool.commands where command like '%worker_pool.commands%';

-- databases
select wpt.wait_until('not exists (select from worker_pool.databases where idle like ''nobody%'')');
select database, version, paused, ready, running, failed, oldest_ready_at, next_due, idle, last_error
	from worker_pool.databases where database in ('template0', 'template1', 'contrib_regression', 'regress_wp_other') order by database;
\c regress_wp_other
set client_min_messages = warning;
create extension worker_pool;
\c contrib_regression
select wpt.wait_until('version = ''1.0'' from worker_pool.databases where database = ''regress_wp_other''');
select database, version, idle from worker_pool.databases where database = 'regress_wp_other';
\c regress_wp_other
set client_min_messages = warning;
drop extension worker_pool;
\c contrib_regression
select wpt.wait_until('version is null from worker_pool.databases where database = ''regress_wp_other''');
alter database regress_wp_other allow_connections false;
select database, idle from worker_pool.databases where database = 'regress_wp_other';
alter database regress_wp_other allow_connections true;

drop owned by regress_wp_alice, regress_wp_bob, regress_wp_member, regress_wp_stats;
drop role regress_wp_alice, regress_wp_bob, regress_wp_member, regress_wp_stats;

-- nothing is left
select wpt.wait_until('not exists (select from worker_pool.workers where kind = ''visit'')');
select state, command from worker_pool.commands;
select shared_memory_used, queued, running from worker_pool.status;
