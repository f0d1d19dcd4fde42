-- `timeout` of a command, default_timeout, and the time-outs of the caller.
select wpt.try($$select worker_pool.run('select pg_sleep(60)', timeout => '50ms')$$);
select wpt.try($$select * from worker_pool.query('select 1 from pg_sleep(60)', timeout => '50ms') as (n int)$$);
select worker_pool.start_worker('select pg_sleep(60)', timeout => '50ms') as id \gset
select worker_pool.wait_worker(:id);
select state, sqlstate, error from worker_pool.commands where id = :id;
select wpt.try(format('select * from worker_pool.worker_result(%s) as (n int)', :id));
-- it spans the whole string
select wpt.try($$select worker_pool.run('select pg_sleep(0.1); select pg_sleep(0.1); select pg_sleep(0.1); select pg_sleep(60)', timeout => '250ms')$$);
-- rounded up, never to none
select wpt.try($$select worker_pool.run('select pg_sleep(60)', timeout => '1us')$$);
-- a procedure that catches the cancel does not escape it
create procedure to_catch() language plpgsql as $$
begin
	for i in 1 .. 2 loop
		begin
			perform pg_sleep(60);
		exception when query_canceled then
			null;
		end;
	end loop;
end $$;
select worker_pool.start_worker('call to_catch()', timeout => '50ms') as id \gset
select worker_pool.wait_worker(:id, '20s');
select * from worker_pool.worker_result(:id) as (tag text);
-- what ends in time is not touched, nor is the next command of the process
select worker_pool.run('select pg_sleep(0.01)', timeout => '10s');
select count(*) from generate_series(1, 200), lateral worker_pool.query('select 1', timeout => '1min') as (n int);
select wpt.try($$select worker_pool.run('select pg_sleep(60)', timeout => '10ms')$$) from generate_series(1, 3);
select worker_pool.run('select pg_sleep(0.1)');
-- none
select worker_pool.run('select 1', timeout => '0');
select worker_pool.run('select 1', timeout => null);
select worker_pool.run('select 1', timeout => '24 days');
-- statement_timeout of the role is a time-out of its own
select wpt.try($$select worker_pool.run('select pg_sleep(60)', timeout => '10s', settings => '{"statement_timeout": "20ms"}')$$);
select wpt.try($$select worker_pool.run('select pg_sleep(60)', timeout => '20ms', settings => '{"statement_timeout": "10s"}')$$);
select worker_pool.run('select pg_sleep(0.06); select pg_sleep(0.06); select pg_sleep(0.06)', settings => '{"statement_timeout": "150ms"}');
create table to_lock (n int);
begin;
lock table to_lock;
select worker_pool.start_worker('select n from to_lock', settings => '{"lock_timeout": "20ms"}') as id \gset
select worker_pool.wait_worker(:id);
rollback;
select wpt.try(format('select * from worker_pool.worker_result(%s) as (n int)', :id));

-- default_timeout
alter system set worker_pool.default_timeout = '60ms';
select wpt.reload_until('worker_pool.default_timeout', '60ms');
show worker_pool.default_timeout;
select wpt.try($$select worker_pool.run('select pg_sleep(60)')$$);
select worker_pool.run('select pg_sleep(0.1)', timeout => '0');
select worker_pool.run('select pg_sleep(0.1)', timeout => '10s');
select wpt.try($$select worker_pool.run('select pg_sleep(60)', timeout => null)$$);
-- the waits' own time-out has the same default
select worker_pool.start_worker('select 1 from pg_sleep(0.3)', timeout => '0') as id \gset
select worker_pool.wait_worker(:id);
select worker_pool.wait_worker(:id, '0');
select * from worker_pool.worker_result(:id) as (n int);
alter system reset worker_pool.default_timeout;
select wpt.reload_until('worker_pool.default_timeout', '0');

-- the caller is interrupted: its command is cancelled with it; with start_worker it is not
set statement_timeout = '100ms';
select worker_pool.run('select pg_sleep(60)');
select * from worker_pool.query('select 1 from pg_sleep(60)') as (n int);
reset statement_timeout;
select wpt.wait_until('not exists (select from worker_pool.commands where state in (''queued'', ''running''))');
select wpt.wait_until('not exists (select from pg_stat_activity where query like ''%pg_sleep(60)%'' and pid <> pg_backend_pid() and state = ''active'')');
select worker_pool.start_worker('select 1 from pg_sleep(0.3)') as id \gset
set statement_timeout = '50ms';
select worker_pool.wait_worker(:id);
select * from worker_pool.worker_result(:id) as (n int);
reset statement_timeout;
select * from worker_pool.worker_result(:id) as (n int);

drop procedure to_catch;
drop table to_lock;

-- nothing is left
select state, command from worker_pool.commands;
select shared_memory_used, queued, running from worker_pool.status;
