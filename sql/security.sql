-- Rights that change between a command's start and its run, and what one role can do to another's commands.
create role regress_wp_alice login;
create role regress_wp_bob login;
grant usage on schema worker_pool to regress_wp_alice, regress_wp_bob;
create table sec_ids (what text, id bigint);
create function sec_fill() returns void language plpgsql as $$
begin
	insert into sec_ids select 'filler', worker_pool.start_worker('select 1 from (select pg_advisory_xact_lock_shared(815)) as l')
		from generate_series(1, (select max_workers from worker_pool.status));
	perform wpt.wait_locked(815, (select max_workers from worker_pool.status));
end $$;
create procedure sec_empty() language plpgsql as $$
declare
	r record;
begin
	for r in select * from sec_ids order by id loop
		if r.what = 'filler' then
			perform * from worker_pool.worker_result(r.id) as (n int);
		else
			raise notice '% %', r.what, wpt.try(format('select * from worker_pool.worker_result(%s) as (n name)', r.id));
		end if;
	end loop;
	delete from sec_ids;
end $$;
grant insert on sec_ids to public;

-- the membership by which a command was to run as another is taken away while it is queued
grant regress_wp_bob to regress_wp_alice;
select pg_advisory_lock(815);
select sec_fill();
set session authorization regress_wp_alice;
insert into sec_ids select 'as bob', worker_pool.start_worker('select current_user', run_as => 'regress_wp_bob');
insert into sec_ids select 'as oneself', worker_pool.start_worker('select current_user');
reset session authorization;
revoke regress_wp_bob from regress_wp_alice;
select pg_advisory_unlock(815);
call sec_empty();
-- the same where the grant was never committed
create role regress_wp_admin login createrole;
grant usage on schema worker_pool to regress_wp_admin;
set session authorization regress_wp_admin;
begin;
grant regress_wp_bob to regress_wp_admin;
savepoint s;
select worker_pool.run('select 1', run_as => 'regress_wp_bob');
rollback;
reset session authorization;
-- the owner is no superuser any more; he may not log in any more; cross-database is switched off
alter role regress_wp_admin superuser;
select pg_advisory_lock(815);
select sec_fill();
set session authorization regress_wp_admin;
insert into sec_ids select 'as a superuser', worker_pool.start_worker('select current_user', run_as => 'postgres');
insert into sec_ids select 'in another database', worker_pool.start_worker('select current_user', database => 'regress_wp_other');
reset session authorization;
alter role regress_wp_admin nosuperuser;
select pg_advisory_unlock(815);
call sec_empty();
select pg_advisory_lock(815);
select sec_fill();
set session authorization regress_wp_admin;
insert into sec_ids select 'without login', worker_pool.start_worker('select current_user');
reset session authorization;
alter role regress_wp_admin nologin;
select pg_advisory_unlock(815);
call sec_empty();
drop owned by regress_wp_admin;
drop role regress_wp_admin;

-- a role to which ALTER ROLE ... SET sends a warm worker, and which is taken away
grant regress_wp_bob to regress_wp_alice;
alter role regress_wp_alice set role = 'regress_wp_bob';
set session authorization regress_wp_alice;
select * from worker_pool.query('select session_user, current_user') as (s name, c name);
select * from worker_pool.query('select session_user, current_user') as (s name, c name);
reset session authorization;
revoke regress_wp_bob from regress_wp_alice;
set session authorization regress_wp_alice;
select * from worker_pool.query('select session_user, current_user') as (s name, c name);
reset session authorization;
alter role regress_wp_alice reset role;

-- what one role keeps is not pushed out by another: neither by number ...
set session authorization regress_wp_bob;
insert into sec_ids select 'of bob', worker_pool.start_worker('select name ''kept''');
reset session authorization;
set session authorization regress_wp_alice;
select count(worker_pool.start_worker('select 1')) from generate_series(1, 600);
select wpt.wait_until('queued = 0 and running = 0 from worker_pool.status');
reset session authorization;
select state, count(*) from worker_pool.commands group by 1;
call sec_empty();
select count(*) from worker_pool.commands as c, worker_pool.worker_result(c.id) as r (n int);
-- ... nor by size: of texts, results, errors
set session authorization regress_wp_bob;
insert into sec_ids select 'of bob', worker_pool.start_worker('select name ''kept'' -- ' || repeat('x', 100000));
reset session authorization;
set session authorization regress_wp_alice;
create temp table sec_large as select worker_pool.start_worker('select 1 -- ' || repeat('x', 1000000)) as id from generate_series(1, 30);
insert into sec_large select worker_pool.start_worker('do $a$ begin raise exception using message = repeat(''x'', 14000000); end $a$') from generate_series(1, 3);
insert into sec_large select worker_pool.start_worker('do $a$ begin raise exception using message = ''short'', detail = repeat(''x'', 1000000); end $a$') from generate_series(1, 30);
insert into sec_large select worker_pool.start_worker('select repeat(''x'', 10000000)') from generate_series(1, 3);
select count(worker_pool.wait_worker(id)) from sec_large;
reset session authorization;
call sec_empty();
call wpt.clear();
drop table sec_large;
-- nor is anybody shut out of the queue
select pg_advisory_lock(815);
select sec_fill();
set session authorization regress_wp_alice;
select count(worker_pool.start_worker('select 1')) = current_setting('worker_pool.max_queued_commands')::int as full_queue
	from generate_series(1, current_setting('worker_pool.max_queued_commands')::int);
select wpt.try($$select worker_pool.start_worker('select 1')$$);
reset session authorization;
set session authorization regress_wp_bob;
insert into sec_ids select 'of bob', worker_pool.start_worker('select name ''let in''');
select wpt.try($$select worker_pool.start_worker('select 2')$$);
reset session authorization;
select count(worker_pool.stop_worker(id)) from worker_pool.commands where state = 'queued' and command = 'select 1';
select pg_advisory_unlock(815);
call sec_empty();
call wpt.clear();

-- the owner of a database ends nobody's commands by DDL that fails or is undone
create database regress_wp_db owner regress_wp_bob;
select worker_pool.start_worker('select ''unharmed'' from pg_sleep(0.5)', database => 'regress_wp_db') as id \gset
select wpt.wait_asleep(:id);
set session authorization regress_wp_bob;
begin;
alter database regress_wp_db is_template true;
rollback;
reset session authorization;
select wpt.dblink_connect('sec', format('host=%s port=%s dbname=regress_wp_db user=%s', split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'), current_user));
select * from worker_pool.worker_result(:id) as (t text);
select wpt.dblink_disconnect('sec');
drop database regress_wp_db;

-- USAGE on the schema admits a role, not only its parser
create view sec_wrapper as select worker_pool.run('select 1');
grant select on sec_wrapper to public;
create role regress_wp_stranger login;
set session authorization regress_wp_stranger;
select wpt.try('select * from sec_wrapper');
reset session authorization;
drop role regress_wp_stranger;
drop view sec_wrapper;

drop table sec_ids;
drop function sec_fill;
drop procedure sec_empty;
drop owned by regress_wp_alice, regress_wp_bob;
drop role regress_wp_alice, regress_wp_bob;

-- nothing is left
select state, command from worker_pool.commands;
select shared_memory_used, queued, running from worker_pool.status;
