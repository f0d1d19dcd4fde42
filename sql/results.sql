-- Results: every type exactly, from this database and from another one, where rows come as text.
set client_min_messages = warning;
create domain res_positive as int check (value > 0);
create domain res_name as varchar(10) not null;
create type res_mood as enum ('sad', 'ok', 'happy');
create type res_inner as (x int, y text);
create type res_outer as (a res_inner, b res_mood, c res_inner[]);
create type res_span as range (subtype = float8);
create domain res_inners as res_inner[];
\c regress_wp_other
-- objects in front, so that the OIDs differ
create table res_filler (a int);
create domain res_positive as int check (value > 0);
create domain res_name as varchar(10) not null;
create type res_mood as enum ('sad', 'ok', 'happy');
create type res_inner as (x int, y text);
create type res_outer as (a res_inner, b res_mood, c res_inner[]);
create type res_span as range (subtype = float8);
create domain res_inners as res_inner[];
\c contrib_regression

-- Is what comes back, in type and text, what the expression is here?
create function res_same(type text, expression text, database name) returns bool language plpgsql as $$
declare
	here text;
	there text;
	bytes_here int;
	bytes_there int;
begin
	execute format('select (v)::text, pg_column_size(v) from (select (%s)::%s as v offset 0) as q', expression, type) into strict here, bytes_here;
	execute format('select (v)::text, pg_column_size(v) from worker_pool.query(%L, database => %L) as (v %s)',
		format('select (%s)::%s', expression, type), database, type) into strict there, bytes_there;
	if here is distinct from there then
		raise warning '% %: % <> %', type, expression, here, there;
	end if;
	return here is not distinct from there;
end $$;
create table res_cases (n int generated always as identity, type text, expression text);
insert into res_cases (type, expression) values
	('int', 'null'), ('int', '-2147483648'), ('smallint', '32767'), ('bigint', '9223372036854775807'),
	('bool', 'true'), ('bool', 'null'),
	('text', 'null'), ('text', ''''''), ('text', 'repeat(''x'', 100000)'), ('text', 'E''tab\there\nline \\ back "quote" ''''single'''),
	('varchar(5)', '''abcde'''), ('char(5)', '''ab'''), ('"char"', '''c'''), ('name', '''a name'''), ('bit(5)', 'B''10101'''), ('varbit', 'B''101'''),
	('real', '1.1'), ('real', '3.4028235e38'), ('float8', '0.1 + 0.2'), ('float8', '1e-300 * 1e-20'), ('float8', '''NaN'''), ('float8', '''-Infinity'''), ('float8', '-0.0::float8'),
	('numeric', '''NaN'''), ('numeric', '''Infinity'''), ('numeric', '''-Infinity'''), ('numeric', '1.10'), ('numeric(20,10)', '12345.6789'), ('numeric', 'repeat(''9'', 1000)::numeric'), ('numeric', '1e-100'),
	('money', '1234.56'),
	('date', '''infinity'''), ('date', '''4713-01-01 BC'''), ('date', '''5874897-12-31'''), ('time', '''24:00'''), ('timetz', '''12:34:56.789+05:30'''),
	('timestamp', '''-infinity'''), ('timestamp', '''2024-02-29 12:34:56.123456'''), ('timestamptz', '''2024-06-30 23:59:59.999999+00'''), ('timestamptz(0)', '''2024-06-30 23:59:59.6+14'''), ('timestamptz', '''0044-03-15 12:00+00 BC'''),
	('interval', '''1 year -2 months 3 days -04:05:06.789'''), ('interval', '''-0.000001 s'''), ('interval day to second(2)', '''1 day 2.345 s'''),
	('bytea', '''\x00ff7f80'''), ('bytea', ''''''), ('bytea', 'decode(repeat(''00'', 50000), ''hex'')'),
	('uuid', '''01234567-89ab-cdef-0123-456789abcdef'''), ('inet', '''192.168.0.1/24'''), ('cidr', '''2001:db8::/32'''), ('macaddr', '''08:00:2b:01:02:03'''), ('macaddr8', '''08:00:2b:01:02:03:04:05'''),
	('json', '''{"b": 1,  "a": [null, true], "b": 2}'''), ('jsonb', '''{"b": 1,  "a": [null, 1e400], "u": "\u00e4"}'''), ('jsonpath', '''$.a[*] ? (@ > 1)'''),
	('point', '''(1.1,-2.2)'''), ('line', '''{1,2,3}'''), ('lseg', '''[(0,0),(1,1)]'''), ('box', '''(1,1),(0,0)'''), ('path', '''[(0,0),(1,1)]'''), ('polygon', '''((0,0),(1,1),(1,0))'''), ('circle', '''<(0,0),1.5>'''),
	('tsvector', '''a:1A fat:2 cat'''), ('tsquery', '''fat & !rat:*A'''), ('pg_lsn', '''16/B374D848'''), ('xid', '''4294967295'''), ('xid8', '''18446744073709551615'''), ('tid', '''(1,2)'''), ('oid', '4294967295'), ('oidvector', '''1 2 3'''), ('int2vector', '''1 2'''),
	('regclass', '''pg_catalog.pg_class'''), ('regtype', '''timestamp with time zone'''), ('regprocedure', '''pg_catalog.now()'''), ('regrole', '''postgres'''), ('regnamespace', '''pg_catalog'''), ('regclass', '''pg_toast.pg_toast_1255'''),
	('int[]', '''{}'''), ('int[]', '''{1,NULL,3}'''), ('int[]', '''[-1:1][2:3]={{1,2},{3,4},{5,6}}'''), ('int[]', 'array(select generate_series(1, 10000))'), ('text[]', '''{a,"b c",NULL,"NULL","",",","\\"}'''), ('timestamptz[]', '''{"2024-01-01 00:00+00",infinity}'''), ('numeric[]', '''{NaN,1.50}'''), ('bool[]', '''{t,f}'''), ('bytea[]', '''{"\\x00","\\xff"}'''),
	('int4range', '''[1,10)'''), ('int4range', '''empty'''), ('numrange', '''(,1.5]'''), ('tstzrange', '''["2024-01-01 00:00+00",)'''), ('daterange[]', '''{"[2024-01-01,2024-02-01)",empty}'''),
	('int4multirange', '''{[1,3),[5,7)}'''), ('datemultirange', '''{}'''), ('int8multirange[]', '''{"{[1,2),[3,4)}"}'''),
	('res_positive', '5'), ('res_positive', 'null'), ('res_name', '''ten chars.'''), ('res_mood', '''happy'''), ('res_mood[]', '''{ok,sad}'''), ('res_span', '''[1.5,2.5)'''),
	('res_inner', '''(1,"a, b")'''), ('res_inner', '''(,)'''), ('res_inner', 'null'), ('res_outer', '''("(1,\"x \"\"y\"\"\")",happy,"{\"(2,b)\",NULL}")'''), ('res_inner[]', '''{"(1,a)","(,)",NULL}'''), ('res_inners', '''{"(1,a)"}'''), ('res_outer', 'row(row(1, repeat(''z'', 50000)), ''ok'', array[row(2, repeat(''y'', 50000))::res_inner])');
-- where the server has it
insert into res_cases (type, expression) select 'xml', '''<a>b</a>''' from pg_config where name = 'CONFIGURE' and setting ~ 'libxml';
reset client_min_messages;

-- nothing may differ
select count(*) > 100 as many from res_cases;
select type, left(expression, 40) as expression from res_cases where not res_same(type, expression, current_database());
select type, left(expression, 40) as expression from res_cases where not res_same(type, expression, 'regress_wp_other');
-- the same when the worker's output styles are odd, and when ours are
alter database regress_wp_other set datestyle = 'SQL, DMY';
alter database regress_wp_other set intervalstyle = 'sql_standard';
alter database regress_wp_other set extra_float_digits = -15;
alter database regress_wp_other set bytea_output = 'escape';
alter database regress_wp_other set timezone = 'Asia/Kathmandu';
alter database regress_wp_other set search_path = pg_catalog, public;
select type, left(expression, 40) as expression from res_cases where not res_same(type, expression, 'regress_wp_other');
set datestyle = 'German, DMY';
set intervalstyle = 'iso_8601';
set extra_float_digits = -5;
set bytea_output = 'escape';
set timezone = 'America/St_Johns';
select type, left(expression, 40) as expression from res_cases where not res_same(type, expression, 'regress_wp_other');
select type, left(expression, 40) as expression from res_cases where not res_same(type, expression, current_database());
select * from worker_pool.query('select 0.1::float8 + 0.2, ''2024-02-03 04:05+00''::timestamptz', database => 'regress_wp_other') as (f float8, t timestamptz);
reset datestyle;
reset intervalstyle;
reset extra_float_digits;
reset bytea_output;
reset timezone;
alter database regress_wp_other reset all;
-- floats to the last bit
select f = 0.1::float8 + 0.2::float8 as same from worker_pool.query('select 0.1::float8 + 0.2::float8', database => 'regress_wp_other') as (f float8);

-- several columns, in order, with NULLs among them
select * from worker_pool.query('select 1, null::text, ''x''::text, null::int, 2.50, true, null::bool[]') as (a int, b text, c text, d int, e numeric, f bool, g bool[]);
select * from worker_pool.query('select g, nullif(g, 2), g::text from generate_series(1, 3) as g', database => 'regress_wp_other') as (a int, b int, c text);
-- no rows, rows without columns
select * from worker_pool.query('select 1 where false') as (n int);
select * from worker_pool.query('select 1, 2 where false', database => 'regress_wp_other') as (n int, m int);
select worker_pool.run('select from generate_series(1, 3)');
select wpt.try($$select * from worker_pool.query('select from generate_series(1, 3)') as (n int)$$);

-- nothing at all
select v, v = '' as empty from worker_pool.query('select pg_sleep(0)') as (v text);
select v is null as is_null, n from worker_pool.query('select pg_sleep(0), 1', database => 'regress_wp_other') as (v text, n int);

-- anonymous records: alone, nested, with NULLs, in arrays
select r, r = row(1, 'a'::text, null::int) as same from worker_pool.query('select row(1, ''a''::text, null::int)') as (r record);
select * from worker_pool.query('select row(1, row(2.5, row(null::text, now() is null)), array[row(1, ''x''::text), row(2, null)])') as (r record);
select * from worker_pool.query('select array[row(1, ''a''::text), row(2, ''b'')], null::record, array[]::record[]') as (r record[], n record, e record[]);
select * from worker_pool.query('select t from (values (1, ''one''::text), (2, ''two'')) as t (n, name)') as (r record);
select * from worker_pool.query('select r from (select row(g) as r from generate_series(1, 2) as g union all select row(g::text, g) from generate_series(3, 4) as g) as q') as (r record);
select f.* from worker_pool.query('select row(5, ''five''::text, ''{1,2}''::int[])') as (r record), lateral (select * from jsonb_to_record(to_jsonb(r)) as (f1 int, f2 text, f3 int[])) as f;
select length((r.r)::text) from worker_pool.query('select row(repeat(''v'', 200000), 1)') as r (r record);
-- stored and read again: its row type is known here
create temp table res_records as select r::text as r from worker_pool.query('select row(g, row(g)) from generate_series(1, 3) as g') as (r record);
table res_records;
drop table res_records;
-- from another database a record has no text that could be read back
select wpt.try($$select * from worker_pool.query('select row(1, 2)', database => 'regress_wp_other') as (r record)$$);
select * from worker_pool.query('select row(1, ''b'')', database => 'regress_wp_other') as (r res_inner);

-- values that stand out of line: 100 kB that cannot be compressed, whose table is gone when they are read
create table res_toast (n int, plain text, packed text);
alter table res_toast alter plain set storage external;
insert into res_toast select 1, string_agg(md5(g::text), ''), repeat('packed ', 100000) from generate_series(1, 3200) as g;
create table res_toast_md5 as select md5(plain) as plain, md5(packed) as packed from res_toast;
select length(plain), length(packed), pg_column_size(plain) > 100000 as external, pg_column_size(packed) < 10000 as compressed from res_toast;
select worker_pool.start_worker('select plain, packed from res_toast') as id \gset
select worker_pool.start_worker('select row(plain, packed), array[plain] from res_toast as t') as id2 \gset
select worker_pool.wait_worker(:id), worker_pool.wait_worker(:id2);
drop table res_toast;
vacuum (truncate) pg_catalog.pg_class;
select md5(r.plain) = m.plain as plain, md5(r.packed) = m.packed as packed from worker_pool.worker_result(:id) as r (plain text, packed text), res_toast_md5 as m;
select length(r.r::text), md5(r.a[1]) = m.plain as plain from worker_pool.worker_result(:id2) as r (r record, a text[]), res_toast_md5 as m;
drop table res_toast_md5;

-- the column list is checked, and the error names the column
\a
select wpt.try('select * from worker_pool.query(' || quote_literal(command) || ') as (' || list || ')') as outcome, command, list from (values
	(1, 'select 1', 'a text'),
	(2, 'select 1 as x, 2 as y', 'x int, y bigint'),
	(3, 'select 1', 'a int, b int'),
	(4, 'select 1, 2, 3', 'a int, b int'),
	(5, 'select 1::bigint', 'a int'),
	(6, 'select ''abc''::text', 'a varchar'),
	(7, 'select ''abc''::varchar', 'a text'),
	(8, 'select ''abcdef''::text', 'a varchar(3)'),
	(9, 'select ''abc''::varchar(5)', 'a varchar(3)'),
	(10, 'select ''abc''::varchar(3)', 'a varchar'),
	(11, 'select 1.234', 'a numeric(3,1)'),
	(12, 'select -1', 'a res_positive'),
	(13, 'select 1::res_positive', 'a int'),
	(14, 'select row(1, 2)', 'a res_inner'),
	(15, 'select row(1, ''b'')::res_inner', 'a record'),
	(16, 'select ''ok''::res_mood', 'a text'),
	(17, 'select array[1]', 'a bigint[]'),
	(18, 'create temp table res_t (n int)', 'a int'),
	(19, 'create temp table res_t (n int)', 'a text, b text'),
	(20, 'select ''x''', 'a unknown'),
	(21, 'select 1 where false', 'a text')
	) as c (n, command, list) order by n;
-- from another database values are read by the declared column's input function
select wpt.try('select * from worker_pool.query(' || quote_literal(command) || ', database => ''regress_wp_other'') as (' || list || ')') as outcome, command, list from (values
	(1, 'select 1', 'a text'),
	(2, 'select ''x''::text as y', 'y int'),
	(3, 'select 1 as x, 70000 as y', 'x int, y smallint'),
	(4, 'select 1', 'a int, b int'),
	(5, 'select -1', 'a res_positive'),
	(6, 'select null::text', 'a res_name'),
	(7, 'select ''abcdef''::text', 'a varchar(3)'),
	(8, 'select ''fine''::text', 'a res_mood'),
	(9, 'select ''ok''::text', 'a res_mood'),
	(10, 'select 1 where false', 'a text')
	) as c (n, command, list) order by n;
\a
-- a list that does not fit leaves the outcome to be fetched with another
select worker_pool.start_worker('select 1 as a, ''b''::text as b') as id \gset
select wpt.try(format('select * from worker_pool.worker_result(%s) as (a int, b int)', :id));
select wpt.try(format('select * from worker_pool.worker_result(%s) as (a int)', :id));
select * from worker_pool.worker_result(:id) as (a int, b text);
select wpt.try(format('select * from worker_pool.worker_result(%s) as (a int, b text)', :id));

-- large: 100,000 rows, some 10 MB, by a file that is gone afterwards
create temp view res_large as select g as n, md5(g::text) as h, repeat('x', g % 100) as x, nullif(g % 3, 0) as z from generate_series(1, 100000) as g;
select worker_pool.start_worker('select g, md5(g::text), repeat(''x'', g % 100), nullif(g % 3, 0) from generate_series(1, 100000) as g') as id \gset
select worker_pool.wait_worker(:id);
select rows from worker_pool.commands where id = :id;
select count(*) from pg_ls_dir('base/pgsql_tmp') as d, pg_ls_dir('base/pgsql_tmp/' || d) as f where d like 'pgsql_tmp_worker_pool.%';
create temp table res_fetched as select * from worker_pool.worker_result(:id) as (n int, h text, x text, z int);
select (select md5(string_agg(r::text, ',' order by n)) from res_fetched as r) = (select md5(string_agg(r::text, ',' order by n)) from res_large as r) as same;
select count(*) from pg_ls_dir('base/pgsql_tmp') as d, pg_ls_dir('base/pgsql_tmp/' || d) as f where d like 'pgsql_tmp_worker_pool.%';
truncate res_fetched;
insert into res_fetched select * from worker_pool.query('select g, md5(g::text), repeat(''x'', g % 100), nullif(g % 3, 0) from generate_series(1, 100000) as g', database => 'regress_wp_other') as (n int, h text, x text, z int);
select (select md5(string_agg(r::text, ',' order by n)) from res_fetched as r) = (select md5(string_agg(r::text, ',' order by n)) from res_large as r) as same;
-- in the order in which they came
select count(*) from (select n, row_number() over () as position from worker_pool.query('select g from generate_series(1, 50000) as g order by g desc') as (n int)) as q where n + position <> 50001;
-- few rows, each large; one value larger than the shared memory
select n, length(x) from worker_pool.query('select g, repeat(md5(g::text), 10000) from generate_series(1, 5) as g') as (n int, x text);
select length(x), md5(x) = md5(repeat('0123456789', 3000000)) as same from worker_pool.query('select repeat(''0123456789'', 3000000)') as (x text);
-- of a failing command nothing stays
select wpt.try($$select * from worker_pool.query('select repeat(''x'', 100), 1 / (100000 - g) from generate_series(1, 100000) as g') as (x text, n int)$$);
-- of run() rows are not kept at all
select worker_pool.run('select repeat(''x'', 1000) from generate_series(1, 100000)');
select count(*) from pg_ls_dir('base/pgsql_tmp') as d, pg_ls_dir('base/pgsql_tmp/' || d) as f where d like 'pgsql_tmp_worker_pool.%';
-- read in part
select * from worker_pool.query('select * from generate_series(1, 100000)') as (n int) limit 2;
begin;
declare res_cursor scroll cursor for select * from worker_pool.query('values (1), (2), (3)') as (n int);
fetch last from res_cursor;
fetch first from res_cursor;
commit;

-- worker_results: in the order in which the commands ended
select pg_advisory_lock(1), pg_advisory_lock(2);
select worker_pool.start_worker('select ''first'' from (select pg_advisory_xact_lock_shared(1)) as l') as a \gset
select worker_pool.start_worker('select ''second'' from (select pg_advisory_xact_lock_shared(2)) as l, generate_series(1, 2)') as b \gset
select worker_pool.start_worker('select ''third''') as c \gset
select worker_pool.wait_worker(:c);
select pg_advisory_unlock(2);
select worker_pool.wait_worker(:b);
select pg_advisory_unlock(1);
select worker_pool.wait_worker(:a);
select * from worker_pool.worker_results(array[:a, :b, :c]) as (which text);
-- it waits for all
select sum(n), count(*) from worker_pool.worker_results((select array_agg(worker_pool.start_worker('select ' || g)) from generate_series(1, 20) as g)) as (n int);
-- one has failed: its error, and the others are as before
select worker_pool.start_worker('select 1') as a \gset
select worker_pool.start_worker('select 1/0') as b \gset
select worker_pool.start_worker('select 3') as c \gset
select wpt.try(format('select * from worker_pool.worker_results(array[%s, %s, %s]::bigint[]) as (n int)', :a, :b, :c));
select wpt.try(format('select * from worker_pool.worker_result(%s) as (n int)', :b));
select n from worker_pool.worker_results(array[:c, :a]) as (n int) order by n;
-- one does not fit: all are as before
select worker_pool.start_worker('select 1') as a \gset
select worker_pool.start_worker('select ''x''::text') as b \gset
select wpt.try(format('select * from worker_pool.worker_results(array[%s, %s]) as (n int)', :a, :b));
select * from worker_pool.worker_result(:a) as (n int);
select * from worker_pool.worker_result(:b) as (t text);
select * from worker_pool.worker_results('{}') as (n int);

drop table res_cases;
drop function res_same;

-- nothing is left
select state, command from worker_pool.commands;
select shared_memory_used, queued, running from worker_pool.status;
