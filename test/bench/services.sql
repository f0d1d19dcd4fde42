-- What test/bench/services calls.

create schema bench;

create table bench.ticks (at timestamptz default clock_timestamp());

-- Seconds between a tick and the one before.
create view bench.gaps as
	select extract(epoch from at - before) as gap
	  from (select at, lag(at) over (order by at) as before from bench.ticks) t
	 where before is not null;

-- The yardstick of S2: what one writes by hand.
create procedure bench.loop(command text, pause interval, length interval)
language plpgsql as $$
declare
	until timestamptz := clock_timestamp() + length;
begin
	while clock_timestamp() < until loop
		execute command;
		commit;
		perform pg_sleep(extract(epoch from pause));
	end loop;
end
$$;

-- The yardstick of S4: seconds that a process of its own takes, in each of the first databases, one after the other: median.
create function bench.fresh_start(databases int) returns double precision
language plpgsql as $$
declare
	start timestamptz;
	took double precision[];
begin
	for i in 1 .. databases loop
		start := clock_timestamp();
		perform worker_pool.run('insert into bench.ticks default values', database => 'bench_' || i, fresh => true);
		took := took || extract(epoch from clock_timestamp() - start)::double precision;
		perform pg_sleep(0.01);
	end loop;
	return (select percentile_cont(0.5) within group (order by t) from unnest(took) t);
end
$$;
