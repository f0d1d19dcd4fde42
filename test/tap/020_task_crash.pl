
# Each claim, commit and hand-over of a task, struck by each kind of fault: the effect comes exactly once. And a
# task that kills the server each time it runs.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);
use WorkerPool;

my $pool = WorkerPool->make(
	'crash',
	settings => {
		'worker_pool.max_workers' => 3,
		'worker_pool.reserved_workers' => 0,
		'worker_pool.idle_timeout' => '1h'
	});

$pool->sql('create table effect (n bigint)');

sub wait_server
{
	for (my $end = time + 60; time < $end;)
	{
		my ($status) = $pool->try_sql('select 1', timeout => 10);

		return if $status == 0;
		usleep(50_000);
	}
	die 'the server did not come back';
}

my $n = 0;

for my $point (qw(task.before_claim task.after_claim task.before_run task.before_mark task.after_mark task.after_commit))
{
	for my $mode (qw(error fatal exit kill))
	{
		$n++;
		$pool->fault("$point=$mode*1");
		my $first = $n * 10;

		$pool->try_sql("select worker_pool.enqueue('insert into effect values (\$1)', array[g::text], retry_delay => '10ms') from generate_series($first, $first + 4) g");
		if ($mode eq 'kill')
		{
			# a crash makes shared memory anew, and the fault strikes again: take it away while the server is down
			my $end = time + 10;

			usleep(100_000);
			$pool->no_fault_in_crash;
			wait_server();
		}
		my $done = eval { $pool->wait_until('not exists (select from worker_pool.tasks)', limit => 30) };
		my $counts = $pool->sql("select string_agg(c::text, ',') from (select count(e.n) c from generate_series($first, $first + 4) g left join effect e on e.n = g group by g order by g) s");

		is($counts, '1,1,1,1,1', "$point, $mode: each effect once") or diag($@ // '', $pool->report);
		$pool->no_fault;
	}
}
$pool->slots_ok;
is($pool->sql('select max(attempt) <= 3 from worker_pool.task_history'), 't', 'attempts within bounds');

# A failed attempt whose book-keeping is struck.
for my $point (qw(task.before_fail_mark task.after_fail_mark))
{
	for my $mode (qw(error fatal exit))
	{
		$pool->fault("$point=$mode*1");
		my $id = $pool->sql(q{select worker_pool.enqueue('select 1/0', retry_delay => '10ms', max_attempts => 2)});

		is($pool->sql("select worker_pool.wait_task($id, '30s')"), 'failed', "$point, $mode: it fails in the end")
		  or diag($pool->report);
		$pool->no_fault;
	}
}

# --- a task that kills the server --------------------------------------------------------------------------

$pool->sql(<<'SQL');
create function kill_server() returns void language plpgsql as $$
begin
	perform pg_sleep(0.05);
	execute format('copy (select 1) to program %L', 'kill -9 ' || pg_backend_pid());
	perform pg_sleep(10);
end
$$
SQL
my $crashes_before = () = slurp_file($pool->logfile) =~ /was terminated by signal 9/g;
my $innocent = $pool->sql(q{select worker_pool.enqueue('insert into effect values (-1); select pg_sleep(2)', max_attempts => 2)});
my $killer = $pool->sql(q{select worker_pool.enqueue('select kill_server()', max_attempts => 3, retry_delay => '100ms', name => 'killer')});

for (my $end = time + 120; time < $end;)
{
	my ($status, $out) = $pool->try_sql('select count(*) from worker_pool.tasks', timeout => 10);

	last if $status == 0 && $out eq '0';
	usleep(200_000);
}
wait_server();
my $crashes = () = slurp_file($pool->logfile) =~ /was terminated by signal 9/g;
cmp_ok($crashes - $crashes_before, '<=', 4, 'the killer brings the server down max_attempts + 1 times at most');
cmp_ok($crashes - $crashes_before, '>=', 3, 'and it did');
is($pool->sql("select state from worker_pool.task_history where id = $killer and is_final"), 'failed', 'then it has failed');
is($pool->sql("select state from worker_pool.task_history where id = $innocent and is_final"), 'succeeded', 'the innocent task beside it lost no attempt');
is($pool->sql('select count(*) from effect where n = -1'), 1, 'and has its effect once');

# --- not atomic: at most once an attempt, and it says so -----------------------------------------------------

my $id = $pool->sql(q{select worker_pool.enqueue($$do 'begin insert into effect values (-2); commit; perform pg_sleep(600); end'$$, atomic => false)});
$pool->wait_until('exists (select from effect where n = -2)');
$pool->sql("select pg_terminate_backend(pid) from worker_pool.workers where task_id = $id");
is($pool->sql("select worker_pool.wait_task($id, '30s')"), 'failed', 'a task that is not atomic is not repeated when its process went away');
like($pool->sql("select sqlstate || message || coalesce(detail, '') from worker_pool.task_history where id = $id and is_final"), qr/08006.*unknown/s, 'and says that its effect is unknown');
is($pool->sql('select count(*) from effect where n = -2'), 1, 'it ran once');

# an atomic one is requeued
$id = $pool->sql(q{select worker_pool.enqueue('insert into effect values (-3); select pg_sleep(case when worker_pool.current_task() is not null and (select count(*) from worker_pool.task_history where id = worker_pool.current_task()) = 0 then 600 else 0 end)', retry_delay => '10ms')});
$pool->wait_until("(select state = 'running' from worker_pool.tasks where id = $id)");
$pool->sql("select pg_terminate_backend(pid) from worker_pool.workers where task_id = $id");
is($pool->sql("select worker_pool.wait_task($id, '30s')"), 'succeeded', 'an atomic task whose process was terminated runs again');
is($pool->sql('select count(*) from effect where n = -3'), 1, 'with one effect');

# --- immediate shutdown with a backlog ------------------------------------------------------------------------

$pool->sql(q{select worker_pool.enqueue('insert into effect select $1::bigint from pg_sleep(0.01)', array[g::text]) from generate_series(100001, 100100) g});
usleep(200_000);
$pool->stop('immediate');
$pool->start;
$pool->becomes_ok('not exists (select from worker_pool.tasks)', 'a backlog survives an immediate shutdown', limit => 60);
is($pool->sql('select count(*) || $$,$$ || count(distinct n) from effect where n between 100001 and 100100'), '100,100', 'each effect once');
$pool->slots_ok;

$pool->finish(allow => qr/terminated by signal 9/);
done_testing();
