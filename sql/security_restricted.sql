-- Index functions and the like run as the table's owner on behalf of whoever does maintenance. Nothing that
-- they start may run, least of all as that superuser.
create role regress_wp_mallory login;
grant usage on schema worker_pool to regress_wp_mallory;
grant create on schema public to regress_wp_mallory;
set session authorization regress_wp_mallory;
create table sec_evidence (how text, who name);
create table sec_table (n int, t text);
create function sec_function(n int) returns int immutable language plpgsql as 'begin return n; end';
create index sec_index on sec_table (sec_function(n));
insert into sec_table select g, 'x' from generate_series(1, 10) as g;
create materialized view sec_view as select sec_function(n) as n from sec_table;
-- now it turns nasty, once for each verb
create function sec_try(statement text) returns void language plpgsql as $$
begin
	execute statement;
	raise warning 'did not fail: %', statement;
exception when others then
	raise warning '%: %', sqlstate, sqlerrm;
end $$;
create or replace function sec_function(n int) returns int immutable language plpgsql as $$
begin
	if n = 1 then
		perform sec_try($q$select worker_pool.run('insert into sec_evidence select ''run'', current_user')$q$);
		perform sec_try($q$select worker_pool.start_worker('insert into sec_evidence select ''start'', current_user')$q$);
		perform sec_try($q$select * from worker_pool.query('insert into sec_evidence select ''query'', current_user returning who') as (who name)$q$);
		perform sec_try($q$select worker_pool.run('insert into sec_evidence select ''run_as'', current_user', run_as => 'postgres')$q$);
		perform sec_try($q$select worker_pool.wait_worker(1)$q$);
		perform sec_try($q$select worker_pool.stop_worker(1)$q$);
		perform sec_try($q$select * from worker_pool.worker_result(1) as (n int)$q$);
		perform sec_try($q$select * from worker_pool.worker_results('{1}') as (n int)$q$);
		perform sec_try($q$call worker_pool.await_worker(1)$q$);
	end if;
	return n;
end $$;
set search_path = public;
alter function sec_function(int) set search_path = public;
alter function sec_try(text) set search_path = public;
reset session authorization;
\set VERBOSITY terse
reindex table sec_table;
analyze sec_table;
refresh materialized view sec_view;
cluster sec_table using sec_index;
vacuum full sec_table;
-- the owner himself is no better off in such a place
set session authorization regress_wp_mallory;
reindex table sec_table;
-- outside of one, he may
insert into sec_table values (1, 'y');
\set VERBOSITY default
reset session authorization;
select wpt.wait_until('not exists (select from worker_pool.commands where state in (''queued'', ''running''))');
select * from sec_evidence order by 1;
select wpt.try(format('select * from worker_pool.worker_result(%s) as (tag text)', id)) from worker_pool.commands;
-- a plain error stops the maintenance
create or replace function sec_function(n int) returns int immutable language plpgsql as $$
begin
	perform worker_pool.start_worker('insert into sec_evidence select ''plain'', current_user');
	return n;
end $$;
\set VERBOSITY terse
reindex index sec_index;
\echo :SQLSTATE
\set VERBOSITY default
select count(*) from sec_evidence where how = 'plain';

-- SECURITY DEFINER: it is the effective role that counts, not the session's
set session authorization regress_wp_mallory;
create function sec_definer() returns setof name security definer language sql as $$ select who from worker_pool.query('select current_user') as (who name) $$;
reset session authorization;
select sec_definer();
create function sec_definer2(as_role name) returns text security definer language sql as $$ select worker_pool.run('select 1', run_as => as_role) $$;
alter function sec_definer2(name) owner to regress_wp_mallory;
select wpt.try($$select sec_definer2('postgres')$$);
set role regress_wp_mallory;
select session_user, who from worker_pool.query('select current_user || session_user') as (who text);
select wpt.try($$select worker_pool.run('select 1', run_as => 'postgres')$$);
reset role;

-- the process is the role's own: there is nobody to become again
set session authorization regress_wp_mallory;
select * from worker_pool.query('reset session authorization; reset role; select session_user, current_user, current_setting(''is_superuser'')') as (s name, c name, u text);
select wpt.try($$select worker_pool.run('set session authorization postgres')$$);
select wpt.try($$select worker_pool.run('set role postgres')$$);
reset session authorization;
-- a warm process of a superuser who is one no more
create role regress_wp_alice superuser login;
select wpt.try($$select worker_pool.run('set session authorization postgres', run_as => 'regress_wp_alice')$$);
alter role regress_wp_alice nosuperuser;
select wpt.try($$select worker_pool.run('set session authorization postgres', run_as => 'regress_wp_alice')$$);
select * from worker_pool.query('select current_setting(''is_superuser'')', run_as => 'regress_wp_alice') as (u text);
-- or who may not log in, or not connect, any more
alter role regress_wp_alice nologin;
select wpt.try($$select worker_pool.run('select 1', run_as => 'regress_wp_alice')$$);
alter role regress_wp_alice login;
select worker_pool.run('select 1', run_as => 'regress_wp_alice');
revoke connect on database regress_wp_other from public;
select wpt.try($$select worker_pool.run('select 1', database => 'regress_wp_other', run_as => 'regress_wp_alice')$$);
grant connect on database regress_wp_other to public;
select worker_pool.run('select 1', database => 'regress_wp_other', run_as => 'regress_wp_alice');
revoke connect on database regress_wp_other from public;
select wpt.try($$select worker_pool.run('select 1', database => 'regress_wp_other', run_as => 'regress_wp_alice')$$);
grant connect on database regress_wp_other to public;
-- dropped while a warm process of it lives
drop role regress_wp_alice;
select wpt.try($$select worker_pool.run('select 1', run_as => 'regress_wp_alice')$$);

drop function sec_definer2;
drop owned by regress_wp_mallory cascade;
drop role regress_wp_mallory;

-- nothing is left
select state, command from worker_pool.commands;
select shared_memory_used, queued, running from worker_pool.status;
