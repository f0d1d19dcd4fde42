-- Services: what they look like, what they refuse, when they run. test/tap/031 to 034 have what goes wrong with them.
create role regress_wp_alice login;
create role regress_wp_bob login;
create role regress_wp_nologin;
grant usage on schema worker_pool to regress_wp_alice, regress_wp_bob;
create table v_log (n int generated always as identity, what text, config jsonb, setting text);
grant insert, select on v_log to public;

-- made: defaults
select worker_pool.create_service('plain', 'select 1', active => false) as id \gset
select id = :id as id, name, state, pid, cycle, restarts, failures, next_start, last_error, quarantine_reason, command, entry_point, every, timeout, config, settings, run_as = current_user as run_as, owner = current_user as owner,
	active, run_on, started_at, stopping_since, adopted
from worker_pool.services where name = 'plain';
select column_name from information_schema.columns where table_schema = 'worker_pool' and table_name = 'services' order by ordinal_position;
-- and all options
select worker_pool.create_service('full', command => 'select $$full$$', every => '90s', config => '[1, {"a": null}]', timeout => '2 min', run_as => 'regress_wp_alice', settings => '{"work_mem": "5MB"}', active => false, run_on => 'any', if_not_exists => true) > :id as made;
select name, state, command, every, timeout, config, settings, run_as, active, run_on from worker_pool.services where name = 'full';
-- a null is the default
select worker_pool.create_service('nulls', 'select 1', null, null, null, null, null, null, false, null, null) > 0 as made;
select every, timeout, config, settings, run_as = current_user as run_as, active, run_on from worker_pool.services where name = 'nulls';
-- it exists
select wpt.try($$select worker_pool.create_service('plain', 'select 2')$$);
select worker_pool.create_service('plain', 'select 2', if_not_exists => true) = :id as same_id;
select command from worker_pool.services where name = 'plain';
-- refused
select a, wpt.try(format('select worker_pool.create_service(%s)', a)) from (values
	(1, 'null, ''select 1'''), (2, ''''', ''select 1'''), (3, 'repeat(''s'', 64), ''select 1'''), (4, '''s'''), (5, '''s'', ''select 1'', entry_point => ''lib:main'''), (6, '''s'', ''selekt 1'''), (7, '''s'', ''copy pg_class to stdout'''),
	(9, '''s'', ''select 1'', every => ''0'''), (10, '''s'', ''select 1'', every => ''-1s'''), (11, '''s'', ''select 1'', every => ''1 month'''), (12, '''s'', ''select 1'', every => ''25 days'''),
	(13, '''s'', ''select 1'', timeout => ''-1s'''), (14, '''s'', ''select 1'', run_as => ''nobody at all'''), (15, '''s'', ''select 1'', run_as => ''regress_wp_nologin'''), (16, '''s'', ''select 1'', settings => ''1'''),
	(17, '''s'', ''select 1'', run_on => ''standby'''), (18, '''s'', entry_point => repeat(''e'', 128)'), (19, '''s'', entry_point => '''''), (20, '''s'', entry_point => ''nobody''')) as v (n, a) order by n;
select name from worker_pool.services order by name;

-- altered: a null changes nothing
select worker_pool.alter_service('full');
select worker_pool.alter_service('full', null, null, null, null, null, null, null, null, null, null);
select command, every, timeout, config, settings, run_as, active, run_on from worker_pool.services where name = 'full';
select worker_pool.alter_service('full', command => 'select 3', every => '1 ms', config => '{"b": 2}', timeout => '0', settings => '{}', run_on => 'primary', run_as => current_user);
select command, every, timeout, config, settings, run_as = current_user as run_as, active, run_on from worker_pool.services where name = 'full';
select worker_pool.alter_service('full', run_as => 'regress_wp_alice', timeout => '1s', run_on => 'any', settings => '{"work_mem": "6MB"}');
select worker_pool.alter_service('full', reset => '{every,config,timeout,run_as,settings,run_on}');
select command, every, timeout, config, settings, run_as = current_user as run_as, active, run_on from worker_pool.services where name = 'full';
select wpt.try(format('select worker_pool.alter_service(%s)', a)) from (values
	(1, 'null'), (2, '''nowhere'''), (3, '''full'', command => ''selekt'''), (4, '''full'', command => ''select 1'', entry_point => ''lib:main'''), (5, '''full'', every => ''0'''), (6, '''full'', run_on => ''x'''), (7, '''full'', reset => ''{name}'''),
	(8, '''full'', reset => ''{command}'''), (9, '''full'', reset => ''{null}'''), (10, '''full'', every => ''1s'', reset => ''{every}'''), (11, '''full'', run_as => ''regress_wp_nologin''')) as v (n, a) order by n;
-- the other verbs, where there is nothing
select wpt.try(format('select worker_pool.%s_service(%s)', v, a)) from unnest('{drop,start,stop,restart,wait}'::text[]) as v, (values ('''nowhere'''), ('null'), ('''''')) as t (a);
select wpt.try(format('select worker_pool.wait_service(''plain'', %s)', a)) from (values ('state => ''asleep'''), ('cycles => -1'), ('timeout => ''-1s''')) as v (a);
select worker_pool.stop_service('plain') as stopped, worker_pool.restart_service('plain') as restarted;
select worker_pool.current_service_config();

-- one that runs; the config as of the cycle, the settings, its role
select worker_pool.create_service('runs', 'insert into v_log (what, config, setting) values (current_user, worker_pool.current_service_config(), current_setting(''work_mem''))', every => '1h', config => '{"a": 1}', settings => '{"work_mem": "7MB"}', run_as => 'regress_wp_alice') as id \gset
select worker_pool.wait_service('runs', 'waiting', timeout => '30s');
select what, config, setting from v_log;
select state, pid > 0 as pid, cycle, restarts, failures, next_start > now() + interval '50 min' as next_start, last_error, started_at, stopping_since from worker_pool.services where name = 'runs';
select kind, state, username, database = current_database() as database, command_id, task_id, service, name, command like 'insert%' as command from worker_pool.workers where kind = 'service';
select wpt.try(format('select worker_pool.stop_worker(%s)', :id));
select wpt.try('select worker_pool.stop_worker(999999)');
-- active and well: nothing to start; another cycle by restart_service
select worker_pool.start_service('runs');
select worker_pool.restart_service('runs');
select worker_pool.wait_service('runs', 'waiting', timeout => '30s');
select wpt.wait_until('(select count(*) = 2 from v_log)');
-- the next cycle has the new command; `every` counts from the begin of the last one
select worker_pool.alter_service('runs', command => 'insert into v_log (what, config) values (''altered'', worker_pool.current_service_config())', config => '{"a": 2}', every => '50 ms');
select worker_pool.wait_service('runs', cycles => 2, timeout => '30s');
select what, config from v_log order by n desc limit 1;
-- stopped, with its process; stays stopped
select worker_pool.stop_service('runs');
select worker_pool.wait_service('runs', 'stopped', timeout => '30s');
select state, pid, active, next_start, last_error from worker_pool.services where name = 'runs';
select worker_pool.stop_service('runs');
select worker_pool.wait_service('runs', cycles => 1, timeout => '10 ms');
-- active by alter_service, as by start_service
select worker_pool.alter_service('runs', active => true);
select worker_pool.wait_service('runs', cycles => 1, timeout => '30s');
select worker_pool.alter_service('runs', active => false);
select worker_pool.wait_service('runs', 'stopped', timeout => '30s');
select worker_pool.alter_service('runs', reset => '{active}');
select worker_pool.wait_service('runs', cycles => 1, timeout => '30s');

-- transactional, and with savepoints
begin;
select worker_pool.create_service('gone', 'select 1') > 0 as made;
savepoint a;
select worker_pool.drop_service('runs');
select name, state from worker_pool.services where name <> 'runs' order by name;
rollback to a;
select wpt.try($$select worker_pool.wait_service('gone', 'running', timeout => '1s')$$);
select wpt.try($$select worker_pool.create_service('gone', 'select 1')$$);
rollback;
select name from worker_pool.services order by name;
select worker_pool.wait_service('runs', cycles => 1, timeout => '30s');
-- changed, then waited for in the same transaction
begin;
select worker_pool.stop_service('runs');
select wpt.try($$select worker_pool.wait_service('runs', 'stopped')$$);
rollback;
begin read only;
select wpt.try(format('select worker_pool.%s', c)) from (values ('create_service(''s'', ''select 1'')'), ('alter_service(''runs'')'), ('drop_service(''runs'')'), ('start_service(''runs'')'), ('stop_service(''runs'')'), ('restart_service(''runs'')')) as v (c);
select worker_pool.wait_service('runs', cycles => 1, timeout => '30s');
rollback;
-- a failure is shown; the next success ends it
select worker_pool.alter_service('runs', command => 'select 1 / 0');
select wpt.wait_until($$(select failures > 0 and state = 'backing off' from worker_pool.services where name = 'runs')$$);
select state, next_start is not null as next_start, last_error, quarantine_reason from worker_pool.services where name = 'runs';
select worker_pool.alter_service('runs', command => 'select 1');
select worker_pool.start_service('runs') is not null as called;
select worker_pool.wait_service('runs', cycles => 1, timeout => '30s');
select failures from worker_pool.services where name = 'runs';
-- progress
select worker_pool.alter_service('runs', command => 'select worker_pool.report_progress(0.5, ''half''), pg_sleep(600)', every => '1h');
select worker_pool.restart_service('runs');
select wpt.wait_until($$exists (select from worker_pool.workers where service = 'runs' and progress = 0.5 and message = 'half')$$);
select state, started_at is not null as started_at from worker_pool.services where name = 'runs';
-- it cannot wait for itself
select worker_pool.alter_service('runs', command => 'insert into v_log (what) values (wpt.try($$select worker_pool.wait_service(''runs'')$$))', reset => '{run_as}');
select worker_pool.restart_service('runs');
select wpt.wait_until($$exists (select from v_log where what like '55000%')$$);
select what from v_log where what like '55000%' limit 1;
select worker_pool.drop_service('runs');
select wpt.wait_until($$not exists (select from worker_pool.workers where kind = 'service')$$);
-- a new one of that name is another one
select worker_pool.create_service('runs', 'select 1', active => false) <> :id as new_id;

-- whose they are
set session authorization regress_wp_alice;
select worker_pool.create_service('hers', 'select ''secret''', config => '{"k": "secret"}', settings => '{"work_mem": "6MB"}', active => false) > 0 as made;
set session authorization regress_wp_bob;
select name, owner, run_as, command, entry_point, config, settings, state from worker_pool.services where name = 'hers';
select wpt.try(format('select worker_pool.%s', c)) from (values ('create_service(''hers'', ''select 1'')'), ('alter_service(''hers'', every => ''1s'')'), ('drop_service(''hers'')'), ('start_service(''hers'')'), ('stop_service(''hers'')'), ('restart_service(''hers'')'),
	('wait_service(''hers'', ''stopped'')'), ('create_service(''his'', ''select 1'', run_as => ''regress_wp_alice'')'), ('create_service(''his'', entry_point => ''plpgsql:x'')')) as v (c);
reset session authorization;
grant regress_wp_alice to regress_wp_bob;
set session authorization regress_wp_bob;
select name, command, config from worker_pool.services where name = 'hers';
select worker_pool.alter_service('hers', every => '1s');
select worker_pool.wait_service('hers', 'stopped');
-- so many and no more
select count(worker_pool.create_service('many ' || n, 'select 1', active => false)) from generate_series(1, 100) as n;
select wpt.try($$select worker_pool.create_service('one more', 'select 1', active => false)$$);
reset session authorization;
revoke regress_wp_alice from regress_wp_bob;

select count(worker_pool.drop_service(name)) from worker_pool.services;
drop table v_log;
drop owned by regress_wp_alice, regress_wp_bob;
drop role regress_wp_alice, regress_wp_bob, regress_wp_nologin;
-- nothing is left
select name from worker_pool.services;
select count(*) from worker_pool.workers where kind = 'service';
