-- What the other tests stand on. The owner of the extension is a superuser only while he creates it, so all
-- of them also show that a demoted owner is enough.
set client_min_messages = warning;
drop role if exists regress_wp_owner, regress_wp_alice, regress_wp_bob, regress_wp_member,
	regress_wp_stats, regress_wp_mallory, regress_wp_limited, regress_wp_nologin;
drop database if exists regress_wp_other;
drop database if exists regress_wp_latin1;
drop database if exists regress_wp_made;
create role regress_wp_owner superuser login;
set session authorization regress_wp_owner;
create extension worker_pool;
reset session authorization;
alter role regress_wp_owner nosuperuser;
create database regress_wp_other;

create schema wpt;

-- Runs a statement and tells in one line how it went; ids, which are long numbers, are hidden.
create function wpt.try(statement text) returns text language plpgsql as $$
declare
	message text;
	detail text;
	hint text;
begin
	execute statement;
	return 'no error';
exception when query_canceled or others then
	get stacked diagnostics message = message_text, detail = pg_exception_detail,
		hint = pg_exception_hint;
	return concat(sqlstate, ': ', regexp_replace(
		concat(message, ' | DETAIL: ' || nullif(detail, ''), ' | HINT: ' || nullif(hint, '')),
		'\d{6,}|(?<=[Pp]rocess )\d+|(?<=database )\d+', '<id>', 'g'));
end $$;

-- Waits until a condition holds, ten seconds at most.
create function wpt.wait_until(condition text) returns bool language plpgsql as $$
declare
	result bool;
begin
	for i in 1 .. 1000 loop
		perform pg_stat_clear_snapshot();
		execute 'select ' || condition into result;
		if result then
			return true;
		end if;
		perform pg_sleep(0.01);
	end loop;
	return false;
end $$;

-- The process ID of the worker that serves this database for the current user.
create function wpt.worker_pid() returns int language sql as $$
	select pid from worker_pool.query('select pg_backend_pid()') as (pid int)
$$;
-- Fetches and forgets all outcomes of one column, int or text.
create procedure wpt.clear() language plpgsql as $$
declare
	left_over bigint;
begin
	for left_over in select id from worker_pool.commands loop
		begin
			perform * from worker_pool.worker_result(left_over) as (n int);
		exception
			when datatype_mismatch then
				perform * from worker_pool.worker_result(left_over) as (t text);
			when query_canceled or others then
				null;
		end;
	end loop;
end $$;

-- Waits until a command sleeps in pg_sleep, so that it has really begun.
create function wpt.wait_asleep(command bigint) returns bool language sql as $$
	select wpt.wait_until(format('exists (select from worker_pool.commands as c join pg_stat_activity as a using (pid)
		where c.id = %s and a.wait_event = ''PgSleep'')', command))
$$;

-- Waits until so many processes wait for an advisory lock.
create function wpt.wait_locked(key int, processes int default 1) returns bool language sql as $$
	select wpt.wait_until(format('(select count(*) from pg_locks where locktype = ''advisory'' and objid = %s and not granted) = %s', key, processes))
$$;

-- Waits until a reload has reached everybody: a new session has what the postmaster has, which signals its
-- children before it forks the next. The session itself takes it in before its next statement.
create extension dblink schema wpt;
create function wpt.reload_until(name text, value text) returns bool language sql as $$
	select pg_reload_conf();
	select wpt.wait_until(format('(select v from wpt.dblink(%L, %L) as (v text)) = %L',
		format('host=%s port=%s dbname=%s user=%s', split_part(current_setting('unix_socket_directories'), ',', 1),
			current_setting('port'), current_database(), current_user),
		'show ' || name, value))
$$;
grant usage on schema wpt to public;

-- The owner, now an ordinary role, uses his own extension.
set session authorization regress_wp_owner;
select usesuper from pg_user where usename = current_user;
select worker_pool.run('select 1');
select * from worker_pool.query('select session_user, current_user') as (s name, c name);
reset session authorization;
select extname, extversion, extowner::regrole, extrelocatable from pg_extension where extname = 'worker_pool';
