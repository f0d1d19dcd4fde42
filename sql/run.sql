-- run: an autonomous transaction; what a command may be.
create table run_log (note text);

begin;
insert into run_log values ('caller');
select worker_pool.run($$insert into run_log values ('worker')$$);
-- it does not see what the caller has not committed
select * from worker_pool.query('select note from run_log') as (note text);
rollback;
table run_log;

-- the same out of a function whose own work is undone by its exception block
do $$
begin
	insert into run_log values ('function');
	perform worker_pool.run('insert into run_log values (''audit'')');
	raise exception 'no';
exception when others then
	null;
end $$;
table run_log;

-- tags
select command, worker_pool.run(command) as tag from (values
	(1, 'create table run_tag (n int)'),
	(2, 'insert into run_tag select generate_series(1, 3)'),
	(3, 'update run_tag set n = n + 1'),
	(4, 'select * from run_tag'),
	(5, 'select from run_tag'),
	(6, 'table run_tag'),
	(7, 'values (1), (2)'),
	(8, 'delete from run_tag where n = 2 returning n'),
	(9, 'truncate run_tag'),
	(10, 'insert into run_tag values (1); insert into run_tag values (2), (3)'),
	(11, 'select 1; delete from run_tag; '),
	(12, 'begin; insert into run_tag values (1); commit'),
	(13, 'explain (costs off) select 1'),
	(14, 'drop table run_tag'),
	(15, 'set work_mem = ''1MB'''),
	(16, 'notify regress_wp'),
	(17, 'checkpoint'),
	(18, ''),
	(19, ' ; ;; '),
	(20, '-- nothing')
	) as c (n, command) order by n;

-- several statements are one transaction ...
select wpt.try($$select worker_pool.run('insert into run_log values (''gone''); select 1/0')$$);
-- ... but for what transaction control makes separate
select worker_pool.run('insert into run_log values (''first''); commit; insert into run_log values (''second''); rollback; insert into run_log values (''third'')');
select wpt.try($$select worker_pool.run('begin; insert into run_log values (''kept''); commit; begin; insert into run_log values (''undone''); select 1/0; commit')$$);
table run_log;
-- a later statement sees what an earlier one did
select * from worker_pool.query('create table run_ddl (n int); insert into run_ddl values (7); select n from run_ddl; drop table run_ddl') as (n int);

-- a string that ends in an open transaction
truncate run_log;
select wpt.try($$select worker_pool.run('begin; insert into run_log values (''open'')')$$);
select wpt.try($$select worker_pool.run('begin')$$);
select wpt.try($$select worker_pool.run('savepoint s')$$);
select wpt.try($$select worker_pool.run('commit; begin')$$);
table run_log;
select count(*) from pg_locks where relation = 'run_log'::regclass and pid <> pg_backend_pid();

-- what cannot run in a transaction block
insert into run_log select 'line ' || n from generate_series(1, 100) as n;
select worker_pool.run('vacuum run_log');
select worker_pool.run('vacuum (analyze) run_log');
select worker_pool.run('vacuum full run_log');
select wpt.try($$select worker_pool.run('select 1; vacuum run_log')$$);
select worker_pool.start_worker('create index concurrently run_log_note on run_log (note)') as id \gset
call worker_pool.await_worker(:id);
select * from worker_pool.worker_result(:id) as (tag text);
select indisvalid from pg_index where indexrelid = 'run_log_note'::regclass;
select worker_pool.start_worker('reindex index concurrently run_log_note') as id \gset
call worker_pool.await_worker(id => :id, timeout => '1min');
select worker_pool.wait_worker(:id);
select * from worker_pool.worker_result(:id) as (tag text);
select worker_pool.run('create database regress_wp_made');
select * from worker_pool.query('select current_database()', database => 'regress_wp_made') as (d name);
-- the warm worker in it is no obstacle
select worker_pool.run('drop database regress_wp_made');
select count(*) from pg_database where datname = 'regress_wp_made';

-- procedures and DO that commit
create procedure run_commits(upto int) language plpgsql as $$
begin
	for i in 1 .. upto loop
		insert into run_log values ('procedure ' || i);
		if i % 2 = 0 then
			commit;
		else
			rollback;
		end if;
	end loop;
end $$;
truncate run_log;
select worker_pool.run('call run_commits(4)');
select worker_pool.run('call run_commits($1)', array['2']);
select worker_pool.run($$do 'begin insert into run_log values (''do 1''); commit; insert into run_log values (''do 2''); rollback; end'$$);
table run_log order by note;
create procedure run_out(a int, inout b int) language sql as 'select a + b';
select * from worker_pool.query('call run_out(1, 2)') as (b int);

-- await_worker ends its caller's transaction, so it wants a statement of its own
begin;
call worker_pool.await_worker(1);
rollback;
select worker_pool.start_worker('select 1') as id \gset
-- a DO block that may commit is good enough
do $$ begin call worker_pool.await_worker((select max(id) from worker_pool.commands)); end $$;
select * from worker_pool.worker_result(:id) as (n int);
create function run_await() returns void language plpgsql as $$ begin call worker_pool.await_worker(1); end $$;
select run_await();
drop function run_await;

-- no client to copy from or to; the server's own files and programs are
select wpt.try($$select worker_pool.run('copy run_log from stdin')$$);
select wpt.try($$select worker_pool.run('copy run_log to stdout')$$);
select wpt.try($$select worker_pool.run('insert into run_log values (''x''); copy (select 1) to stdout with csv')$$);
select worker_pool.run('copy run_log to program ''cat > /dev/null''');
select worker_pool.run('copy run_log from program ''echo copied''');
select note from run_log where note = 'copied';
select wpt.try($$select worker_pool.run('listen regress_wp')$$);
select count(*) from run_log where note = 'x';

-- a command that runs commands
select * from worker_pool.query($$select worker_pool.run('select worker_pool.run(''select 1'')')$$) as (tag text);
-- with arguments
select worker_pool.run('insert into run_log values ($1 || $2)', worker_pool.args('from ', 'args'));
select note from run_log where note like 'from%';
-- a long text
drop index run_log_note;
select worker_pool.run('insert into run_log values (''' || repeat('x', 1000000) || ''')');
select length(note) from run_log where length(note) > 1000;
-- many in one statement
select count(*), count(distinct worker_pool.run('select 1')) from generate_series(1, 300);

-- query: the rows of the last statement that returned rows; else the tag
select * from worker_pool.query('select 1; select 2') as (n int);
select * from worker_pool.query('select 1; create temp table run_temp (n int)') as (n int);
select * from worker_pool.query('insert into run_log values (''r'') returning note') as (note text);
select * from worker_pool.query('create temp table run_temp (n int)') as (tag text);
select * from worker_pool.query('') as (tag text);
select * from worker_pool.query('show standard_conforming_strings') as (s text);
select * from worker_pool.query('explain (costs off) select 1') as (line text);
select * from worker_pool.query('prepare p as select 5; execute p') as (n int);
select * from worker_pool.query('begin; declare c cursor for values (1), (2), (3); fetch 2 from c; commit') as (n int);
select a.n, b.t from worker_pool.query('values (1), (2)') as a (n int) join worker_pool.query('values (2, ''two'')') as b (n int, t text) using (n);

drop table run_log;
drop procedure run_commits, run_out;

-- nothing is left
select state, command from worker_pool.commands;
select shared_memory_used, queued, running from worker_pool.status;
