-- What test/bench/tasks calls.

create schema bench;

-- The yardstick of rows 6 and 7: what one writes by hand. A queue table, a loop that takes the next row, runs its text and
-- commits.
create table bench.queue (id bigint generated always as identity primary key, command text not null, done_at timestamptz);

create procedure bench.drain_by_hand()
language plpgsql as $$
declare
	task record;
begin
	loop
		select id, command into task from bench.queue order by id limit 1 for update skip locked;
		exit when not found;
		execute task.command;
		delete from bench.queue where id = task.id;
		commit;
	end loop;
end
$$;

-- Waits until the pool has nothing more to do for this database; looks at shared memory only.
create procedure bench.wait_until_empty()
language plpgsql as $$
begin
	loop
		exit when (select ready = 0 and running = 0 from worker_pool.databases where database = current_database())
			and not exists (select from worker_pool.task limit 1);
		perform pg_sleep(0.005);
	end loop;
end
$$;

-- The same, but only until so many tasks have succeeded since the counters were reset.
create procedure bench.wait_for(tasks bigint)
language plpgsql as $$
begin
	loop
		exit when (select coalesce(sum(succeeded), 0) >= tasks from worker_pool.stats);
		perform pg_sleep(0.005);
	end loop;
end
$$;

create table bench.started (kind text, late double precision, at timestamptz default clock_timestamp());
