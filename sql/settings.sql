-- What is in force in a command: role and database defaults plus its own `settings`, nothing of the caller's.
set work_mem = '11MB';
set search_path = pg_catalog;
set datestyle = 'German';
set my.word = 'caller';
begin;
set local statement_timeout = '1h';
select * from worker_pool.query('select current_setting(''work_mem''), current_setting(''search_path''), current_setting(''datestyle''), current_setting(''my.word'', true), current_setting(''statement_timeout''), current_setting(''TimeZone'')') as (w text, s text, d text, m text, t text, z text);
commit;
reset all;

-- of this command only
select * from worker_pool.query('select current_setting(''work_mem''), current_setting(''search_path''), current_setting(''my.word''), current_setting(''enable_seqscan''), current_setting(''random_page_cost''), current_setting(''application_name'')',
	settings => '{"work_mem": "77MB", "search_path": "a, \"B c\", pg_catalog", "my.word": "", "enable_seqscan": false, "random_page_cost": 1.25, "application_name": "mine"}') as (w text, s text, m text, e text, r text, a text);
select * from worker_pool.query('select current_setting(''work_mem''), current_setting(''search_path''), current_setting(''enable_seqscan''), current_setting(''random_page_cost'')') as (w text, s text, e text, r text);
select * from worker_pool.query('show work_mem', settings => '{"work_mem": 2048}') as (w text);
select * from worker_pool.query('show work_mem', settings => '{"WORK_MEM": "3MB"}') as (w text);
select * from worker_pool.query('show enable_seqscan', settings => '{"enable_seqscan": "0"}') as (w text);
-- in force for every statement and transaction of the command
select * from worker_pool.query('select 1; commit; begin; rollback; show work_mem', settings => '{"work_mem": "5MB"}') as (w text);
-- also with arguments, in another database, in start_worker
select * from worker_pool.query('select current_setting($1)', array['work_mem'], 'regress_wp_other', settings => '{"work_mem": "6MB"}') as (w text);
select * from worker_pool.worker_result(worker_pool.start_worker('show work_mem', settings => '{"work_mem": "7MB"}')) as (w text);
-- the defaults of role and database, and a change of them, which a warm worker takes in
create role regress_wp_alice login;
grant usage on schema worker_pool to regress_wp_alice;
alter role regress_wp_alice set work_mem = '21MB';
select * from worker_pool.query('show work_mem', run_as => 'regress_wp_alice') as (w text);
alter role regress_wp_alice set work_mem = '22MB';
select * from worker_pool.query('show work_mem', run_as => 'regress_wp_alice') as (w text);
alter role regress_wp_alice in database contrib_regression set work_mem = '23MB';
select * from worker_pool.query('show work_mem', run_as => 'regress_wp_alice') as (w text);
-- null is the setting's default: the role's
select * from worker_pool.query('show work_mem', run_as => 'regress_wp_alice', settings => '{"work_mem": null}') as (w text);
alter role regress_wp_alice in database contrib_regression reset all;
alter role regress_wp_alice reset all;
select * from worker_pool.query('show work_mem', run_as => 'regress_wp_alice') as (w text);
alter database contrib_regression set work_mem = '24MB';
select * from worker_pool.query('show work_mem') as (w text);
alter database contrib_regression reset work_mem;
select * from worker_pool.query('show work_mem') as (w text);
-- settings that change how a command runs
select * from worker_pool.query('show transaction_isolation', settings => '{"default_transaction_isolation": "serializable"}') as (i text);
select wpt.try($$select worker_pool.run('create table set_no (n int)', settings => '{"default_transaction_read_only": "on"}')$$);
select wpt.try($$select worker_pool.run('select pg_sleep(10)', settings => '{"statement_timeout": "20ms"}')$$);
select worker_pool.run('select pg_sleep(0.1)');

-- refused: what the role may not set, what nobody can, what does not exist, bad values
\a
select wpt.try(format('select worker_pool.run(''select 1'', settings => %L)', settings)) as outcome, settings from (values
	(1, '{"no_such_setting": "1"}'),
	(2, '{"work_mem": "much"}'),
	(3, '{"work_mem": "-1"}'),
	(4, '{"work_mem": ""}'),
	(5, '{"max_connections": "10"}'),
	(6, '{"wal_level": "minimal"}'),
	(7, '{"server_version": "1"}'),
	(8, '{"shared_preload_libraries": ""}'),
	(9, '{"role": "regress_wp_alice"}'),
	(10, '{"session_authorization": "regress_wp_alice"}'),
	(11, '{"transaction_read_only": "on"}'),
	(12, '{"transaction_isolation": "serializable"}'),
	(13, '{"transaction_deferrable": "on"}'),
	(14, '{"client_encoding": "LATIN1"}'),
	(15, '{"client_encoding": "UTF8"}'),
	(16, '{"worker_pool.max_workers": "1"}'),
	(17, '{"worker_pool.enabled": "off"}'),
	(18, '{"worker_pool.no_such": "off"}'),
	(19, '{"": "1"}'),
	(20, '{"1bad.name": "1"}'),
	(21, '{"work_mem": "1MB", "no_such_setting": "1"}')
	) as s (n, settings) order by n;
set session authorization regress_wp_alice;
select wpt.try(format('select worker_pool.run(''select 1'', settings => %L)', settings)) as outcome, settings from (values
	(1, '{"log_statement": "none"}'),
	(2, '{"session_preload_libraries": "x"}'),
	(3, '{"worker_pool.max_workers_per_role": "10"}'),
	(4, '{"deadlock_timeout": "1ms"}'),
	(5, '{"work_mem": "1MB"}')
	) as s (n, settings) order by n;
\a
reset session authorization;
-- the error says which
select worker_pool.run('select 1', settings => '{"work_mem": "much"}');
-- a superuser may, and so may who was granted it
select * from worker_pool.query('show log_min_duration_statement', settings => '{"log_min_duration_statement": "1h"}') as (l text);
grant set on parameter log_min_duration_statement to regress_wp_alice;
set session authorization regress_wp_alice;
select * from worker_pool.query('show log_min_duration_statement', settings => '{"log_min_duration_statement": "2h"}') as (l text);
reset session authorization;
revoke set on parameter log_min_duration_statement from regress_wp_alice;

-- a name that is not found: the hint tells the search_path in force
create schema set_schema;
create table set_schema.set_table (n int);
create function set_schema.set_function() returns int language sql as 'select 1';
set search_path = set_schema;
select worker_pool.run('select * from set_table');
select worker_pool.run('select set_function()');
select worker_pool.run('select 1::set_table');
select worker_pool.run('select * from set_table', settings => '{"search_path": ""}');
reset search_path;
select worker_pool.run('select n from set_table', settings => '{"search_path": "set_schema"}');
select * from worker_pool.query('select set_function()', settings => '{"search_path": "set_schema, public"}') as (n int);
-- but not where it has nothing to do with it
select worker_pool.run('select * from set_schema.no_table');
select worker_pool.run('select set_schema.no_function(1)');
select worker_pool.run('select no_column from set_schema.set_table');

set client_min_messages = warning;
drop schema set_schema cascade;
drop owned by regress_wp_alice;
drop role regress_wp_alice;

-- nothing is left
select state, command from worker_pool.commands;
select shared_memory_used, queued, running from worker_pool.status;
