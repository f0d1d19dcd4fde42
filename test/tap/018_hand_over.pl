# A command whose worker dies before looking at it, and outcomes that others are waiting for.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use WorkerPool;

# --- given back to an idle sibling -------------------------------------------------------------------------

# A fairness interval of an hour: nobody but the giver itself can bring the command to the other idle worker.
my $pool = WorkerPool->make('main',
	settings => {
		'worker_pool.max_workers' => 2, 'worker_pool.idle_timeout' => '1h', 'worker_pool.fairness_interval' => '1h',
		'worker_pool.keep_outcomes' => 1, 'worker_pool.max_queued_commands' => 3 });

$pool->warm(2);
my $warmest = $pool->sql(q{select pid from worker_pool.workers where state = 'idle' order by state_changed_at desc limit 1});

kill 'STOP', $warmest;
my $id = $pool->sql(q{select worker_pool.start_worker('select pg_backend_pid()')});
is($pool->sql("select pid from worker_pool.commands where id = $id"), $warmest, 'the warmest worker was given the command');
$pool->sql("select pg_terminate_backend($warmest)");
kill 'CONT', $warmest;
is($pool->sql("select worker_pool.wait_worker($id, '20s')"), 'succeeded',
	'its process died before it looked: the command was not lost, and did not wait for the launcher');
isnt($pool->sql("select * from worker_pool.worker_result($id) as (pid int)"), $warmest, 'another worker ran it');

# --- claims of one do not shut others out -------------------------------------------------------------------

# max_queued_commands + keep_outcomes = 4 claims may stand at a time, but for the first one of each session.
$pool->wait_quiet;
$pool->forget_outcomes;
my $done = $pool->sql(q{select worker_pool.start_worker('select 42')});
$pool->sql("select worker_pool.wait_worker($done, '20s')");
$pool->sql(q{select worker_pool.start_worker('select pg_sleep(600)') from generate_series(1, 2)});
$pool->wait_until(q{(select running = 2 from worker_pool.status)});
$pool->sql(q{select worker_pool.start_worker('select pg_sleep(600)') from generate_series(1, 3)});
$pool->fails_ok('53400', q{select * from worker_pool.worker_results(array(
	select id from worker_pool.commands where state in ('running', 'queued'))) as (x text)}, 'five claims are too many for one session');
my $waiter = $pool->session;
$waiter->send(q{select * from worker_pool.worker_results(array(
	select id from worker_pool.commands where state in ('running', 'queued') order by id limit 4)) as (x text);});
$pool->becomes_ok(q{exists (select from pg_stat_activity where query like '%order by id limit 4%' and wait_event_type = 'Extension')},
	'one session waits with as many claims as there may be');
is($pool->sql("select * from worker_pool.worker_result($done) as (n int)"), '42', 'another one fetches its outcome all the same');
$pool->sql(q{select worker_pool.stop_worker(id, '0') from worker_pool.commands where state in ('running', 'queued')});
$waiter->quit;
$pool->wait_quiet;
$pool->forget_outcomes;
$pool->nothing_left_ok('nothing is left');
$pool->finish;
done_testing;
