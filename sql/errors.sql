-- A command's error reaches the caller with all its fields; so do its notices.
create schema err_schema;
create domain err_schema.err_domain as int constraint err_positive check (value > 0);
create table err_schema.err_table (n int primary key, v int not null, d err_schema.err_domain, constraint err_small check (v < 100));
insert into err_schema.err_table values (1, 1);
create table err_schema.err_child (n int constraint err_parent references err_schema.err_table);

create procedure err_fields(statement text) language plpgsql as $$
declare
	state text; message text; detail text; hint text; context text; schema text; tab text; col text; cons text; typ text;
begin
	execute statement;
	raise notice 'no error';
exception when others then
	get stacked diagnostics state = returned_sqlstate, message = message_text, detail = pg_exception_detail, hint = pg_exception_hint,
		context = pg_exception_context, schema = schema_name, tab = table_name, col = column_name, cons = constraint_name, typ = pg_datatype_name;
	raise notice E'% %\n  detail=% hint=%\n  schema=% table=% column=% constraint=% type=%\n  context=%', state, message, detail, hint, schema, tab, col, cons, typ,
		-- without the frames of this procedure
		regexp_replace(context, E'\n?SQL statement "select (\\* from )?worker_pool.*', '');
end $$;

call err_fields($$select worker_pool.run('insert into err_schema.err_table values (1, 1)')$$);
call err_fields($$select worker_pool.run('insert into err_schema.err_table values (2, null)')$$);
call err_fields($$select worker_pool.run('insert into err_schema.err_table values (2, 100)')$$);
call err_fields($$select worker_pool.run('insert into err_schema.err_table values (2, 1, -1)')$$);
call err_fields($$select worker_pool.run('insert into err_schema.err_child values (5)')$$);
call err_fields($$select worker_pool.run('delete from err_schema.err_table where n = 1; insert into err_schema.err_table values (2, null)')$$);
-- all that RAISE can say
create function err_schema.err_raise() returns int language plpgsql as $$
begin
	raise exception using errcode = 'WP001', message = 'the message', detail = E'the detail\nin two lines', hint = 'the hint',
		schema = 'a schema', table = 'a table', column = 'a column', constraint = 'a constraint', datatype = 'a type';
end $$;
call err_fields($$select worker_pool.run('select err_schema.err_raise()')$$);
-- the same from another database, where nothing of it exists here
call err_fields($$select worker_pool.run('do ''begin raise exception using errcode = ''''WP002'''', message = ''''there'''', detail = ''''d'''', hint = ''''h'''', table = ''''t''''; end''', database => 'regress_wp_other')$$);
-- by query, by worker_result; an error can be fetched once as well
call err_fields($$select * from worker_pool.query('select err_schema.err_raise()') as (n int)$$);
select worker_pool.start_worker('select err_schema.err_raise()') as id \gset
select worker_pool.wait_worker(:id);
select state, rows, sqlstate, error from worker_pool.commands where id = :id;
call err_fields(format('select * from worker_pool.worker_result(%s) as (n int)', :id));
select wpt.try(format('select * from worker_pool.worker_result(%s) as (n int)', :id));
-- the column list does not matter then
select worker_pool.start_worker('select 1/0') as id \gset
select * from worker_pool.worker_result(:id) as (a text, b text, c text);
-- where in the command
select worker_pool.run('select 1; select no_column from err_schema.err_table');
select worker_pool.run('select err_schema.err_nothing(1)');
select worker_pool.run('do ''begin perform 1/0; end''');
-- errors at commit: deferred constraints
create table err_schema.err_deferred (n int references err_schema.err_table deferrable initially deferred);
call err_fields($$select worker_pool.run('insert into err_schema.err_deferred values (7)')$$);
-- a message longer than any fixed size
do $$ begin perform worker_pool.run('do ''begin raise exception ''''%'''', repeat(''''long '''', 10000); end'''); exception when others then raise notice '% % %', sqlstate, length(sqlerrm), right(sqlerrm, 10); end $$;
select worker_pool.start_worker('do ''begin raise exception ''''%'''', repeat(''''long '''', 10000); end''') as id \gset
select worker_pool.wait_worker(:id);
select sqlstate, length(error) from worker_pool.commands where id = :id;
do $$ begin perform * from worker_pool.worker_result((select max(id) from worker_pool.commands)) as (n int); exception when others then raise notice '% %', sqlstate, length(sqlerrm); end $$;
-- an exception block of the caller goes on after it
do $$
begin
	for i in 1 .. 3 loop
		begin
			perform worker_pool.run('select 1/0');
		exception when division_by_zero then
			raise notice 'caught %', i;
		end;
	end loop;
end $$;

-- notices and warnings, in their order, with their fields; what is below client_min_messages is not
create function err_schema.err_notices() returns int language plpgsql as $$
begin
	raise debug 'debug';
	raise log 'log';
	raise info 'info';
	raise notice 'notice' using detail = 'notice detail', hint = 'notice hint';
	raise warning 'warning %', 1 using errcode = 'WP003';
	return 1;
end $$;
select worker_pool.run('select err_schema.err_notices()');
select * from worker_pool.query('select err_schema.err_notices()') as (n int);
select * from worker_pool.worker_result(worker_pool.start_worker('select err_schema.err_notices()')) as (n int);
set client_min_messages = warning;
select worker_pool.run('select err_schema.err_notices()');
reset client_min_messages;
select worker_pool.run('select err_schema.err_notices()', settings => '{"client_min_messages": "debug1"}');
select worker_pool.run('select err_schema.err_notices()', settings => '{"client_min_messages": "error"}');
-- of a command that fails, too: first the notices, then the error
select worker_pool.run('do ''begin raise notice ''''before''''; perform 1/0; end''');
select worker_pool.run('drop table if exists err_none');
select worker_pool.run('do ''begin raise notice ''''there''''; end''', database => 'regress_wp_other');
-- more than are kept: told, not silently lost
set client_min_messages = warning;
select worker_pool.run('do ''begin for i in 1 .. 5000 loop raise notice ''''%'''', i; end loop; end''') is not null as done;
reset client_min_messages;
-- a FATAL inside: the command is lost, with the last words as its detail
select worker_pool.start_worker('select pg_terminate_backend(pg_backend_pid())') as id \gset
select worker_pool.wait_worker(:id);
select wpt.try(format('select * from worker_pool.worker_result(%s) as (b bool)', :id));
select wpt.try($$select worker_pool.run('select pg_terminate_backend(pg_backend_pid())')$$);
select worker_pool.run('select 1');

drop procedure err_fields;
set client_min_messages = warning;
drop schema err_schema cascade;

-- nothing is left
select state, command from worker_pool.commands;
select shared_memory_used, queued, running from worker_pool.status;
