-- Texts, results, errors and notices between databases of different encodings. This one is UTF8.
set client_min_messages = warning;
create database regress_wp_latin1 encoding 'LATIN1' template template0 lc_collate 'C' lc_ctype 'C';
reset client_min_messages;
-- a character of LATIN1 is one byte there and two here
select t, t = U&'gr\00fc\00df' as same, octet_length(t), n from worker_pool.query(U&'select ''gr\00fc\00df'', octet_length(''gr\00fc\00df'')', database => 'regress_wp_latin1') as (t text, n int);
select * from worker_pool.query('select current_setting(''server_encoding''), current_setting(''client_encoding'')', database => 'regress_wp_latin1') as (s text, c text);
-- arguments, settings, names of columns
select t = U&'\00e4\00f6' as same, n from worker_pool.query('select $1, octet_length($1)', worker_pool.args(U&'\00e4\00f6'), 'regress_wp_latin1') as (t text, n int);
select t = U&'\00e9' as same from worker_pool.query('select current_setting(''my.word'')', database => 'regress_wp_latin1', settings => U&'{"my.word": "\00e9"}') as (t text);
select worker_pool.run(U&'create table "t\00e4bchen" (n int primary key)', database => 'regress_wp_latin1');
select worker_pool.run(U&'insert into "t\00e4bchen" values (1)', database => 'regress_wp_latin1');
-- an error there is told in our encoding
do $$
declare
	message text;
	tab text;
begin
	perform worker_pool.run(U&'insert into "t\00e4bchen" values (1)', database => 'regress_wp_latin1');
exception when unique_violation then
	get stacked diagnostics message = message_text, tab = table_name;
	raise notice '% %', message = U&'duplicate key value violates unique constraint "t\00e4bchen_pkey"', tab = U&'t\00e4bchen';
end $$;
-- a NOTICE too
select worker_pool.run(U&'do ''begin raise notice ''''\00fcber''''; end''', database => 'regress_wp_latin1');
-- large results
select count(*), sum(octet_length(t)) from worker_pool.query(U&'select repeat(''\00fc'', 50) from generate_series(1, 20000)', database => 'regress_wp_latin1') as (t text);
-- what has no equivalent there is an error, not a wrong character
select wpt.try(U&'select worker_pool.run(''select ''''\20ac'''''', database => ''regress_wp_latin1'')');
select wpt.try(U&'select * from worker_pool.query(''select $1'', worker_pool.args(U&''\20ac''::text), ''regress_wp_latin1'') as (t text)');
-- and what has none here, from there: LATIN1 has one for all, so ask from there
\c regress_wp_latin1
set client_encoding = 'UTF8';
create extension worker_pool;
select * from worker_pool.query('select length(''x'')', database => 'contrib_regression') as (n int);
select t = U&'\00fc' as same, octet_length(t) from worker_pool.query(U&'select ''\00fc''', database => 'contrib_regression') as (t text);
select octet_length(t) from worker_pool.query('select chr(252)', database => 'contrib_regression') as (t text);
select * from worker_pool.query('select chr(8364)', database => 'contrib_regression') as (t text);
select worker_pool.run('do ''begin raise exception ''''% '''', chr(8364); end''', database => 'contrib_regression');
select worker_pool.run('do ''begin raise notice ''''% '''', chr(8364); end''', database => 'contrib_regression');
-- an outcome that was started there cannot be read as bytes here
select worker_pool.start_worker(U&'select ''\00fc''::text') as id \gset
select worker_pool.wait_worker(:id);
\c contrib_regression
select command = U&'select ''\00fc''::text' as same from worker_pool.commands where id = :id;
select wpt.try(format('select octet_length(t) from worker_pool.worker_result(%s) as (t text)', :id));
-- that attempt has left it as it was
\c regress_wp_latin1
select octet_length(t) from worker_pool.worker_result(:id) as (t text);
\c contrib_regression
drop database regress_wp_latin1;

-- nothing is left
select state, command from worker_pool.commands;
select shared_memory_used, queued, running from worker_pool.status;
