-- Schedules: what they look like, what they refuse, when they are due. None of them is due while the test runs,
-- unless it says so.
set timezone = 'UTC';
set datestyle = 'ISO, YMD';
create role regress_wp_alice login;
create role regress_wp_bob login;
create role regress_wp_nologin;
grant usage on schema worker_pool to regress_wp_alice, regress_wp_bob;

-- next_runs: fields
select s, array(select worker_pool.next_runs(s, n => 3, after => '2024-02-27 22:30:30+00')) as runs from (values
	(1, '* * * * *'), (2, '*/20 * * * *'), (3, '5/20 * * * *'), (4, '0 8-18/5 * * *'), (5, '0,30 12 * * *'), (6, '1-3,57-59 22 * * *'), (7, '15 10 29 2 *'),
	(8, '0 0 1 jan *'), (9, '0 0 * * sun'), (10, '0 0 * * 7'), (11, '0 0 * * 0'), (12, '0 0 * * mon-fri'), (13, '0 0 13 * fri'), (14, '0 0 */2 * tue'), (15, '0 0 $ * *'), (16, '0 0 $ feb *'), (17, '0 12 1,$ * *'),
	(18, '*/15 * * * * *'), (19, '59 59 23 31 12 *'), (20, '0 0 31 * *'), (21, '0 0 30 2,4 *'), (22, '  0   0   *  *  MON  ')) as v (n, s) order by n;
-- words and rates
select s, array(select worker_pool.next_runs(s, n => 2, after => '2024-02-27 22:30:30+00')) as runs from (values
	(1, '@hourly'), (2, '@daily'), (3, '@midnight'), (4, '@weekly'), (5, '@monthly'), (6, '@yearly'), (7, '@annually'), (8, '@DAILY'), (9, '@reboot'),
	(10, '30 seconds'), (11, 'every 30 seconds'), (12, '1 second'), (13, '90 seconds'), (14, '7 minutes'), (15, 'every 2 hours'), (16, '1 day'), (17, '366 days'), (18, 'every 1 hour')) as v (n, s) order by n;
-- a rate is anchored to absolute time, whatever the zone
select worker_pool.next_runs('1 day', 'Asia/Kolkata', 2, '2024-03-30 12:00+00');
-- zones
select z, array(select worker_pool.next_runs('30 9 * * *', z, 2, '2024-06-01 00:00+00')) as runs from (values ('UTC'), ('Europe/Berlin'), ('America/New_York'), ('Asia/Kolkata'), ('Asia/Kathmandu'), ('Pacific/Kiritimati'), ('Pacific/Marquesas'), ('Etc/GMT+12')) as v (z);
-- daylight saving, forward: what is skipped is due once, at the shifted instant
set timezone = 'Europe/Berlin';
select worker_pool.next_runs('30 2 * * *', 'Europe/Berlin', 3, '2024-03-29 12:00+01');
select worker_pool.next_runs('*/30 * * * *', 'Europe/Berlin', 5, '2024-03-31 01:00+01');
select worker_pool.next_runs('0 3 * * *', 'Europe/Berlin', 2, '2024-03-30 12:00+01');
select worker_pool.next_runs('0 2,3 31 3 *', 'Europe/Berlin', 2, '2024-03-30 12:00+01');
-- back: what comes twice is due once, the first time
select worker_pool.next_runs('30 2 * * *', 'Europe/Berlin', 3, '2024-10-26 12:00+02');
select worker_pool.next_runs('*/30 * * * *', 'Europe/Berlin', 6, '2024-10-27 01:30+02');
select worker_pool.next_runs('*/30 * * * *', 'UTC', 3, '2024-10-27 01:30+02');
select worker_pool.next_runs('30 minutes', 'Europe/Berlin', 6, '2024-10-27 01:30+02');
set timezone = 'America/New_York';
select worker_pool.next_runs('30 2 10 3 *', 'America/New_York', 2, '2024-03-01 00:00-05');
select worker_pool.next_runs('30 1 3 11 *', 'America/New_York', 2, '2024-11-01 00:00-04');
-- half an hour only, and at midnight
set timezone = 'Australia/Lord_Howe';
select worker_pool.next_runs('15 2 * * *', 'Australia/Lord_Howe', 3, '2024-10-05 00:00+10:30');
select worker_pool.next_runs('45 1 * * *', 'Australia/Lord_Howe', 3, '2024-04-06 00:00+11');
set timezone = 'America/Asuncion';
select worker_pool.next_runs('0 0 * * *', 'America/Asuncion', 3, '2023-09-30 00:00-04');
-- a day that was not there
set timezone = 'Pacific/Apia';
select worker_pool.next_runs('0 12 * * *', 'Pacific/Apia', 3, '2011-12-28 13:00-10');
set timezone = 'UTC';
-- rare dates, and far ones
select worker_pool.next_runs('0 0 29 2 *', 'UTC', 3, '2096-03-01 00:00+00');
select worker_pool.next_runs('0 0 29 2 sun', 'UTC', 2, '2024-02-29 00:00+00');
select worker_pool.next_runs('0 0 * * *', 'UTC', 2, '2038-01-19 03:14:07+00');
-- bounds of n and after
select count(*) from worker_pool.next_runs('* * * * *');
select count(*) from worker_pool.next_runs('* * * * *', n => null);
select count(*) from worker_pool.next_runs('* * * * *', n => 0);
select count(*), count(distinct r), min(r) > now() as later, max(r) - min(r) from worker_pool.next_runs('* * * * *', n => 1000) as r;
select wpt.try(format('select worker_pool.next_runs(%s)', a)) from (values ('null'), ('''* * * * *'', n => -1'), ('''* * * * *'', n => 1001'), ('''* * * * *'', ''Nowhere/Land'''), ('''* * * * *'', after => ''infinity'''), ('''* * * * *'', after => ''-infinity''')) as v (a);
-- errors: field, position, reason
select s, wpt.try(format('select worker_pool.next_runs(%L)', s)) from (values
	(1, ''), (2, '*'), (3, '* * * *'), (4, '* * * * * * *'), (5, '60 * * * *'), (6, '* 24 * * *'), (7, '* * 0 * *'), (8, '* * 32 * *'), (9, '* * * 13 *'), (10, '* * * 0 *'), (11, '* * * * 8'),
	(12, '60 * * * * *'), (13, '-1 * * * *'), (14, '5-1 * * * *'), (15, '*/0 * * * *'), (16, '1-60 * * * *'), (17, '1,,2 * * * *'), (18, '1, * * * *'), (19, 'x * * * *'), (20, '* * * foo *'), (21, '* * * * mond'),
	(22, '1-2-3 * * * *'), (23, '*/ * * * *'), (24, '$ * * * *'), (25, '* * $-1 * *'), (26, '1.5 * * * *'), (27, '* * 30 2 *'), (28, '* * 31 4,6 *'), (29, '@nightly'), (30, '@'), (31, '0 seconds'),
	(32, '-1 seconds'), (33, '367 days'), (34, '99999999999999999999 seconds'), (35, 'every day'), (36, '5 weeks'), (37, '5'), (38, '99999999999 * * * *'), (39, '*/99999999999 * * * *'), (40, '* * * * * x'), (41, repeat('* ', 500))) as v (n, s) order by n;

-- made: defaults
select worker_pool.schedule('plain', '0 0 1 1 *', 'select 1') as id \gset
select id = :id as id, name, schedule, timezone, command, args, active, overlap, missed, queue, priority, max_attempts, retry_delay, timeout, expires_after, run_as = current_user as run_as, owner = current_user as owner,
	atomic, settings, next_run = date_trunc('year', now()) + interval '1 year' as next_run, last_run, last_status, last_error, adopted
from worker_pool.schedules where name = 'plain';
-- and all options; an existing name: the same id
select worker_pool.create_queue('sq');
select worker_pool.schedule('plain', '0 5 $ feb *', 'select $1', args => '{a}', timezone => 'Europe/Berlin', active => false, overlap => 'queue', missed => 'skip', queue => 'sq', priority => 7, max_attempts => 5,
	retry_delay => '2 min', timeout => '3 min', expires_after => '4 min', run_as => 'regress_wp_alice', atomic => true, settings => '{"work_mem": "5MB"}') = :id as same_id;
select name, schedule, timezone, command, args, active, overlap, missed, queue, priority, max_attempts, retry_delay, timeout, expires_after, run_as, owner = current_user as owner, atomic, settings, next_run, last_status
from worker_pool.schedules where name = 'plain';
-- the zone is resolved and stored when it is made
select worker_pool.schedule('vacuum', '0 3 * * *', 'vacuum') > 0 as made;
select atomic, max_attempts, timezone from worker_pool.schedules where name = 'vacuum';
-- refused
select wpt.try(format('select worker_pool.schedule(%s)', a)) from (values
	('null, ''* * * * *'', ''select 1'''), (''''', ''* * * * *'', ''select 1'''), ('repeat(''s'', 64), ''* * * * *'', ''select 1'''), ('''s'', null, ''select 1'''), ('''s'', ''* * * * *'', null'), ('''s'', ''* * * *'', ''select 1'''),
	('''s'', ''* * * * *'', ''selekt 1'''), ('''s'', ''* * * * *'', ''copy pg_class to stdout'''), ('''s'', ''* * * * *'', ''vacuum'', atomic => true'), ('''s'', ''* * * * *'', ''begin; select 1'''),
	('''s'', ''* * * * *'', ''select 1'', timezone => ''Nowhere'''), ('''s'', ''* * * * *'', ''select 1'', overlap => ''maybe'''), ('''s'', ''* * * * *'', ''select 1'', missed => ''all'''), ('''s'', ''* * * * *'', ''select 1'', queue => ''nowhere'''),
	('''s'', ''* * * * *'', ''select 1'', max_attempts => 0'), ('''s'', ''* * * * *'', ''select 1'', retry_delay => ''-1s'''), ('''s'', ''* * * * *'', ''select 1'', timeout => ''1 month'''), ('''s'', ''* * * * *'', ''select 1'', expires_after => ''-1s'''),
	('''s'', ''* * * * *'', ''select 1'', run_as => ''nobody at all'''), ('''s'', ''* * * * *'', ''select 1'', run_as => ''regress_wp_nologin'''), ('''s'', ''* * * * *'', ''select 1'', settings => ''1''')) as v (a);
select name from worker_pool.schedules order by name;
-- altered
select worker_pool.alter_schedule('plain', schedule => '0 6 1 1 *');
select schedule, timezone, active, next_run from worker_pool.schedules where name = 'plain';
select worker_pool.alter_schedule('plain', active => true);
select active, next_run at time zone 'Europe/Berlin' = date_trunc('year', now()) + interval '1 year 6 hours' as next_run from worker_pool.schedules where name = 'plain';
select worker_pool.alter_schedule('plain', command => 'vacuum', args => '{}', reset => '{atomic,max_attempts,settings,timezone,overlap,missed,queue,priority,retry_delay,timeout,expires_after,run_as}');
select schedule, timezone, command, args, active, overlap, missed, queue, priority, max_attempts, retry_delay, timeout, expires_after, run_as = current_user as run_as, atomic, settings from worker_pool.schedules where name = 'plain';
-- atomic follows the command where it is what that makes it
select worker_pool.alter_schedule('plain', command => 'select 2');
select atomic, max_attempts from worker_pool.schedules where name = 'plain';
select wpt.try(format('select worker_pool.alter_schedule(%s)', a)) from (values
	('null'), ('''nowhere'''), ('''plain'', schedule => ''x'''), ('''plain'', command => ''selekt'''), ('''plain'', timezone => ''x'''), ('''plain'', overlap => ''x'''), ('''plain'', reset => ''{name}'''), ('''plain'', reset => ''{schedule}'''), ('''plain'', priority => 1, reset => ''{priority}'''),
	('''plain'', queue => ''nowhere'''), ('''plain'', command => ''vacuum'', atomic => true')) as v (a);
-- transactional, and with savepoints
begin;
select worker_pool.schedule('gone', '* * * * * *', 'select 1') > 0 as made;
savepoint a;
select worker_pool.unschedule('plain');
select name from worker_pool.schedules order by name;
rollback to a;
select name from worker_pool.schedules order by name;
rollback;
select name from worker_pool.schedules order by name;

-- run now, also while it is not active
create table s_log (n int generated always as identity, what text);
grant insert, select on s_log to public;
select worker_pool.schedule('runs', '0 0 1 1 *', 'insert into s_log (what) values ($1)', args => '{ran}', active => false) as sid \gset
select worker_pool.run_schedule('runs') as id \gset
select wpt.end_of(:id);
select what from s_log;
select state, name, schedule, tag, is_final from worker_pool.task_history where id = :id;
select active, next_run, last_run, last_status, last_error from worker_pool.schedules where name = 'runs';
select jobid = :sid as jobid, runid = :id as runid, job_pid > 0 as job_pid, database = current_database() as database, username = current_user as username, command, status, return_message, start_time <= end_time as times from worker_pool.job_run_details where runid = :id;
select worker_pool.alter_schedule('runs', command => 'select 1 / 0', args => '{}', max_attempts => 1);
select worker_pool.run_schedule('runs') as id \gset
select wpt.end_of(:id);
select last_status, last_error from worker_pool.schedules where name = 'runs';
select status, return_message from worker_pool.job_run_details where runid = :id;
select wpt.try($$select worker_pool.run_schedule('nowhere')$$);
select wpt.try($$select worker_pool.run_schedule(null)$$);
-- one that is due: each second
select worker_pool.schedule('runs', '* * * * * *', 'insert into s_log (what) values (''tick'')') = :sid as same_id;
select wpt.wait_until('(select count(*) >= 2 from s_log where what = ''tick'')');
select bool_and(last_run = date_trunc('second', last_run)) as whole_seconds, bool_and(next_run > last_run) as on from worker_pool.schedules where name = 'runs';
-- dropped: what waits of it goes, too
select worker_pool.alter_schedule('runs', command => 'select 1 / 0', max_attempts => 3, retry_delay => '1 hour', active => false);
select wpt.tasks_done();
select worker_pool.run_schedule('runs') as id \gset
select wpt.wait_until(format('exists (select from worker_pool.tasks where id = %s and attempt = 1)', :id));
select worker_pool.unschedule('runs');
select wpt.end_of(:id);
select attempt, state, sqlstate, is_final, schedule from worker_pool.task_history where id = :id order by attempt, is_final;
select wpt.try($$select worker_pool.unschedule('runs')$$);
select wpt.try($$select worker_pool.unschedule(null)$$);
-- a new one of that name is another one
select worker_pool.schedule('runs', '0 0 1 1 *', 'select 1') <> :sid as new_id;

-- whose they are
set session authorization regress_wp_alice;
select worker_pool.schedule('hers', '0 0 1 1 *', 'select ''secret''', settings => '{"work_mem": "6MB"}') > 0 as made;
set session authorization regress_wp_bob;
select name, schedule, owner, command, args, settings from worker_pool.schedules where name = 'hers';
select wpt.try(format('select worker_pool.%s', c)) from (values ('schedule(''hers'', ''0 0 1 1 *'', ''select 1'')'), ('alter_schedule(''hers'', priority => 1)'), ('unschedule(''hers'')'), ('run_schedule(''hers'')'), ('schedule(''his'', ''0 0 1 1 *'', ''select 1'', run_as => ''regress_wp_alice'')')) as v (c);
reset session authorization;
grant regress_wp_alice to regress_wp_bob;
set session authorization regress_wp_bob;
select name, command from worker_pool.schedules where name = 'hers';
select worker_pool.alter_schedule('hers', priority => 1);
-- it belongs to who made it last
select worker_pool.schedule('hers', '0 0 1 1 *', 'select current_user as me', run_as => 'regress_wp_alice') > 0 as made;
select owner, run_as from worker_pool.schedules where name = 'hers';
select worker_pool.run_schedule('hers') as id \gset
select wpt.end_of(:id);
select worker_pool.task_result(:id);
reset session authorization;
-- nobody else may alter what a schedule of his runs as another role
revoke regress_wp_alice from regress_wp_bob;
set session authorization regress_wp_bob;
select wpt.try($$select worker_pool.alter_schedule('hers', command => 'select 2')$$);
reset session authorization;
-- import_pg_cron where there is no pg_cron
select wpt.try('select * from worker_pool.import_pg_cron()');

select count(worker_pool.unschedule(name)) from worker_pool.schedules;
select worker_pool.drop_queue('sq');
drop table s_log;
drop owned by regress_wp_alice, regress_wp_bob;
drop role regress_wp_alice, regress_wp_bob, regress_wp_nologin;
-- nothing is left
select name from worker_pool.schedules;
select count(*) from worker_pool.tasks;
drop function wpt.end_of(bigint), wpt.tasks_done(), wpt.try_task(text);
reset timezone;
reset datestyle;
