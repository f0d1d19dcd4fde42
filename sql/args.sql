-- args(): each value as text by its output function, read by the worker as it was written.
select worker_pool.args();
select worker_pool.args(1, 'a', null, 2.50, true, now() is null, array[1, null], row(1, 'x'));
select worker_pool.args(variadic array[1, 2, null]);
select worker_pool.args(variadic array['a', 'b']::text[]);
select worker_pool.args(variadic null::int[]);
select worker_pool.args(null, null::int);
select worker_pool.args('it''s "quoted" \ and , {x}');
-- fixed styles, whatever the session's are
set datestyle = 'SQL, DMY';
set intervalstyle = 'iso_8601';
set extra_float_digits = -10;
set bytea_output = 'escape';
set timezone = 'America/St_Johns';
select unnest(worker_pool.args('2024-02-03'::date, '2024-02-03 04:05:06.789'::timestamp, '2024-02-03 04:05:06+00'::timestamptz,
	'1 year -2 days 03:04:05'::interval, 0.1::float8 + 0.2::float8, 1.1::real, array[0.1::float8 + 0.2::float8], '\x00ff'::bytea,
	'[2024-02-03,2024-02-04)'::daterange, row('2024-02-03'::date, 0.1::float8 + 0.2::float8)));
-- and the worker's
alter database contrib_regression set datestyle = 'German, DMY';
alter database contrib_regression set intervalstyle = 'sql_standard';
alter database contrib_regression set extra_float_digits = -15;
alter database contrib_regression set timezone = 'Asia/Kathmandu';
select * from worker_pool.query('select current_setting(''datestyle''), current_setting(''intervalstyle''), current_setting(''extra_float_digits'')') as (d text, i text, e text);
create function args_trip(type text, value text) returns bool language plpgsql as $$
declare
	same bool;
begin
	execute format('select r.v is not distinct from %1$L::%2$s from worker_pool.query(%3$L, worker_pool.args(%1$L::%2$s)) as r (v %2$s)',
		value, type, format('select $1::%s', type)) into strict same;
	return same;
end $$;
select type, value from (values
	('int', '1'), ('int', null), ('text', ''), ('text', E'a\nb''"\\'), ('text', 'NULL'),
	('float8', '0.30000000000000004'), ('float8', '1e-323'), ('float8', 'NaN'), ('real', '1.17549435e-38'), ('numeric', '0.1000'), ('numeric', 'NaN'),
	('date', '03.02.2024'), ('date', '04.05.0006'), ('date', 'infinity'), ('timestamp', '01/02/2024 03:04:05.000006'), ('timestamptz', '2024-11-03 01:30-03:30'), ('timestamptz', '1899-12-31 23:59:59.999999'), ('timetz', '01:02:03+04:05'),
	('interval', 'P1Y2M3DT4H5M6.789S'), ('interval', '-1 year +2 days -3 hours'), ('interval', '1 day -00:00:00.000001'), ('interval', '-1 day'),
	('bytea', '\x00deadbeef'), ('bytea', ''), ('uuid', '01234567-89ab-cdef-0123-456789abcdef'), ('jsonb', '{"a": [1, "x", null]}'),
	('int[]', '{}'), ('int[]', '[2:3]={1,NULL}'), ('text[]', '{"a,b",NULL,"NULL",""}'), ('timestamptz[]', '{"2024-11-03 01:30-03:30"}'), ('interval[]', '{"-1 year +2 days -3 hours"}'), ('float8[]', '{0.30000000000000004}'),
	('tstzrange', '["2024-11-03 01:30-03:30",)'), ('int4multirange', '{[1,2),[5,6)}'), ('inet', '10.0.0.1/8'), ('bit(3)', '101'), ('money', '12.34')
	) as v (type, value) where not args_trip(type, value);
-- into a table, types inferred from its columns; NULL among them
create table args_table (d date, t timestamptz, i interval, f float8, b bytea, x text);
select worker_pool.run('insert into args_table values ($1, $2, $3, $4, $5, $6)', worker_pool.args('2024-02-03'::date, '2024-02-03 04:05:06.789+00'::timestamptz,
	'-1 year +2 days -3 hours'::interval, 0.1::float8 + 0.2::float8, '\x00ff'::bytea, null));
select d = '2024-02-03'::date as d, t = '2024-02-03 04:05:06.789+00'::timestamptz as t, i::text = '-1 year +2 days -3 hours'::interval::text as i,
	f = 0.1::float8 + 0.2::float8 as f, b = '\x00ff'::bytea as b, x is null as x from args_table;
-- the styles of the worker's statement itself are its own
select * from worker_pool.query('select $1::date::text, $2::interval::text', worker_pool.args('2024-02-03'::date, '1 day 2 hours'::interval)) as (d text, i text);
-- also when the command's settings choose others
select * from worker_pool.query('select $1::date::text', worker_pool.args('2024-02-03'::date), settings => '{"datestyle": "SQL, DMY"}') as (d text);
reset datestyle;
reset intervalstyle;
reset extra_float_digits;
reset bytea_output;
reset timezone;
alter database contrib_regression reset datestyle;
alter database contrib_regression reset intervalstyle;
alter database contrib_regression reset extra_float_digits;
alter database contrib_regression reset timezone;

-- types are inferred as for any prepared statement
select * from worker_pool.query('select $1 + 1, $2 || ''!'', $3::text, pg_typeof($3)::text', array['41', 'hi', 'raw']) as (a int, b text, c text, t text);
select * from worker_pool.query('select $2::int - $1::int', array['1', '3']) as (d int);
select * from worker_pool.query('select count(*) from args_table where x is not distinct from $1', array[null]) as (n bigint);
select * from worker_pool.query('select $1::text', array['''; drop table args_table; --']) as (t text);
-- more than a few
select n from worker_pool.query('select ' || (select string_agg('$' || g || '::int', ' + ' order by g) from generate_series(1, 1000) as g), (select array_agg(g::text order by g) from generate_series(1, 1000) as g)) as (n int);
-- wrong: too few, too many, none wanted, a gap, unparsable, not known what
\a
select wpt.try(format('select worker_pool.run(%L, %s)', command, args)) as outcome, command, args from (values
	(1, 'select $1::int, $2::int', $$array['1']$$),
	(2, 'select $1::int', $$array['1', '2']$$),
	(3, 'select 1', $$array['1']$$),
	(4, 'select $1::int', $$'{}'$$),
	(5, 'select $2::int', $$array['1', '2']$$),
	(6, 'select $1::int', $$array['one']$$),
	(7, 'select $1::date', $$array['2024-02-30']$$),
	(8, 'select $1 is null', $$array['1']$$),
	(9, 'insert into args_table (f) values ($1)', $$array['x']$$),
	(10, 'create table args_no (n int default $1)', $$array['1']$$),
	(11, 'begin', $$array['1']$$),
	(12, 'select $1; select 2', $$array['1']$$)
	) as c (n, command, args) order by n;
\a
do $$
declare
	context text;
begin
	perform worker_pool.run('select $1::int, $2::int', array['1', 'two']);
exception when others then
	get stacked diagnostics context = pg_exception_context;
	raise notice '% (%)', sqlerrm, split_part(context, E'\n', 1);
end $$;
select * from worker_pool.worker_result(worker_pool.start_worker('select $1::int * 2', args => worker_pool.args(21))) as (n int);
drop table args_table;
drop function args_trip;

-- nothing is left
select state, command from worker_pool.commands;
select shared_memory_used, queued, running from worker_pool.status;
