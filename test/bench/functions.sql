-- What test/bench/run calls in the clusters it starts.

create schema bench;

-- Microseconds since T, divided by N.
create function bench.since(t timestamptz, n int) returns float8 language sql as $$
	select extract(epoch from clock_timestamp() - t) * 1e6 / n
$$;

-- Defines bench.NAME(n int): calls STATEMENT N times, in chunks of SIZE, and returns the median of the chunks in
-- microseconds a call, with the loop. Chunks are shorter than a scheduler's time slice, so that on a busy machine most
-- of them are not interrupted. k counts the calls; BEFORE and WARM_UP calls come first and are not measured.
create function bench.define(name text, statement text, size int, warm_up int, before text = 'null') returns void
language plpgsql as $$
begin
	execute format($define$
create function bench.%1$I(n int) returns float8 language plpgsql as $body$
declare
	t timestamptz;
	chunks float8[];
	k int := 0;
begin
	%2$s;
	for i in 1..%3$s loop
		k := k + 1;
		%4$s;
	end loop;
	for chunk in 1..n / %5$s loop
		t := clock_timestamp();
		for i in 1..%5$s loop
			k := k + 1;
			%4$s;
		end loop;
		chunks := chunks || bench.since(t, %5$s);
	end loop;
	return (select percentile_cont(0.5) within group (order by c) from unnest(chunks) c);
end $body$
		$define$, name, before, warm_up, statement, size);
end $$;

-- The loop itself, with a call that does next to nothing.
select bench.define('empty', $$perform length('select 1')$$, 500, 500);

select bench.define('run', $$perform worker_pool.run('select 1')$$, 50, 200);
select bench.define('query', $$perform * from worker_pool.query('select 1') as (a int)$$, 50, 200);

-- A command that takes longer to plan than to run, with the same text each time and with a changing one.
create function bench.joined(comment text) returns text language sql immutable as $$
	select 'select count(*) from pg_class c join pg_attribute a on a.attrelid = c.oid'
		' join pg_type t on t.oid = a.atttypid join pg_namespace s on s.oid = c.relnamespace'
		' join pg_authid o on o.oid = c.relowner where c.oid = 0 -- ' || comment
$$;
select bench.define('plan_repeated', $$perform worker_pool.run(bench.joined('0'))$$, 10, 20);
select bench.define('plan_changing', $$perform worker_pool.run(bench.joined(k::text))$$, 10, 20);

-- Others. Their names are looked up at the first call, which is only where they are installed.
create function bench.dblink_name() returns text language sql as $$
	select format('host=%s port=%s dbname=%s user=%s',
		current_setting('unix_socket_directories'), current_setting('port'), current_database(), current_user)
$$;
select bench.define('dblink_kept', $$perform * from dblink('kept', 'select 1') as (a int)$$, 50, 200,
	$$perform dblink_connect('kept', bench.dblink_name())$$);
select bench.define('dblink_new', $$perform dblink_connect('new', bench.dblink_name());
	perform * from dblink('new', 'select 1') as (a int);
	perform dblink_disconnect('new')$$, 1, 1);
select bench.define('pg_background',
	$$perform * from pg_background_result(pg_background_launch('select 1')) as (a int)$$, 1, 1);

-- N times: a raw background worker, the first command of a pair, and a command in a process of its own. The pause
-- lets the process before come to its end, and needs idle_timeout to be shorter.
create function bench.cold(n int, out raw float8, out first float8, out fresh float8)
returns setof record language plpgsql as $$
declare
	t timestamptz;
begin
	for i in -4..n loop
		perform pg_sleep(0.04);
		t := clock_timestamp();
		perform raw_bgworker();
		raw := bench.since(t, 1);
		perform pg_sleep(0.04);
		t := clock_timestamp();
		perform worker_pool.run('select 1');
		first := bench.since(t, 1);
		perform pg_sleep(0.04);
		t := clock_timestamp();
		perform worker_pool.run('select 1', fresh => true);
		fresh := bench.since(t, 1);
		if i > 0 then
			return next;
		end if;
	end loop;
end $$;

-- More pairs than slots.
create role bench_1 login;
create role bench_2 login;
create role bench_3 login;
create role bench_4 login;
create role bench_5 login;
create role bench_6 login;

-- N times: a raw background worker, and the first command of a pair while idle workers of other pairs hold all slots.
create function bench.evict(n int, out raw float8, out evict float8)
returns setof record language plpgsql as $$
declare
	t timestamptz;
begin
	for i in -8..n loop
		perform pg_sleep(0.02);
		t := clock_timestamp();
		perform raw_bgworker();
		raw := bench.since(t, 1);
		perform pg_sleep(0.02);
		t := clock_timestamp();
		perform worker_pool.run('select 1', run_as => ('bench_' || (i + 12) % 6 + 1)::name);
		evict := bench.since(t, 1);
		if i > 0 then
			return next;
		end if;
	end loop;
end $$;

-- Rows a millisecond; each has a text of 100 characters.
create function bench.rows(n int) returns text language sql as $$
	select format('select repeat(''x'', 100) from generate_series(1, %s)', n)
$$;

create function bench.result_query(n int) returns float8 language plpgsql as $$
declare
	t timestamptz;
begin
	perform worker_pool.run('select 1');
	t := clock_timestamp();
	if (select count(*) from worker_pool.query(bench.rows(n)) as (a text)) <> n then
		raise exception 'rows are missing';
	end if;
	return n / (bench.since(t, 1) / 1000);
end $$;

create function bench.result_dblink(n int) returns float8 language plpgsql as $$
declare
	t timestamptz;
begin
	perform dblink_connect('kept', bench.dblink_name());
	perform * from dblink('kept', 'select 1') as (a int);
	t := clock_timestamp();
	if (select count(*) from dblink('kept', bench.rows(n)) as (a text)) <> n then
		raise exception 'rows are missing';
	end if;
	return n / (bench.since(t, 1) / 1000);
end $$;
