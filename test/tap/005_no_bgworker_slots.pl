# The server has no background worker slot left for the pool: commands wait in their place.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use WorkerPool;

# one for logical replication, one for the launcher, one for a worker or for somebody else
my $pool = WorkerPool->make('main',
	settings => { max_worker_processes => 3, 'worker_pool.max_workers' => 1, 'worker_pool.idle_timeout' => '1h' });
my $force = $pool->sql(q{select name from pg_settings where name in ('force_parallel_mode', 'debug_parallel_query')});

unlike($pool->log_since(0), qr/does not fit/, 'no warning when the pool fits');
$pool->sql('create table done (n int, at serial)');

my $other = $pool->session;
$other->query_safe("set $force = on; set max_parallel_workers_per_gather = 2");
my $other_pid = $other->query_safe('select pg_backend_pid()');

sub take_the_slot
{
	# an idle worker of ours has to go first
	$pool->sql(q{select pg_terminate_backend(pid) from worker_pool.workers where state = 'idle'});
	$pool->wait_until('(select free = max_workers from worker_pool.status)');
	$other->send('select pg_sleep(600)');
	$pool->wait_until(q{exists (select from pg_stat_activity where backend_type = 'parallel worker')});
}

take_the_slot();
my $log = $pool->log_end;
my $session = $pool->session;
$session->send(q{select worker_pool.run('insert into done values (0)')});
$pool->wait_for_log(qr/no background worker slot is free/, $log);
$pool->sql(q{select worker_pool.start_worker('insert into done values ($1)', array[n::text]) from generate_series(1, 3) n});
is($pool->sql('select free, queued from worker_pool.status'), '1|4', 'no slot of ours is lost, the commands are queued');

# some more refusals, which are not logged: each new command wakes the launcher
for my $n (4 .. 6)
{
	$pool->sql("select worker_pool.start_worker('insert into done values (\$1)', array['$n'])");
	$pool->sql('select pg_sleep(0.3)');
}
my $text = $pool->log_since($log);
my $lines = () = $text =~ /no background worker slot is free/g;
is($lines, 1, 'one line an episode');
like($text, qr/HINT:  .*max_worker_processes.*worker_pool\.max_workers/, 'with a hint that names both settings');
is($pool->sql('select count(*) from done'), 0, 'nothing ran meanwhile');

$pool->sql("select pg_cancel_backend($other_pid)");
$other->receive;
$pool->becomes_ok('(select count(*) from done) = 7', 'it heals by itself', limit => 5);
is($session->receive, 'INSERT 0 1', 'the caller knows nothing of it');
is($pool->sql(q{select string_agg(n::text, ' ' order by at) from done}), '0 1 2 3 4 5 6', 'every command in its place');
$pool->wait_for_log(qr/no longer short of background worker slots/, $log);
$pool->forget_outcomes;

# a second episode
take_the_slot();
$log = $pool->log_end;
$session->send(q{select worker_pool.run('select 1')});
$pool->wait_for_log(qr/no background worker slot is free/, $log);
# a stop needs no worker
my $queued = $pool->sql(q{select worker_pool.start_worker('select 1')});
is($pool->sql("select worker_pool.stop_worker($queued)"), 't', 'a queued command can be stopped');
$pool->sql("select pg_cancel_backend($other_pid)");
is($session->receive, 'SELECT 1', 'it heals again');
$other->quit;
$session->quit;

# registration that fails, by fault
$pool->fault('launcher.register_fails=false*3');
is($pool->sql(q{select worker_pool.run('select 1', fresh => true)}), 'SELECT 1', 'three refusals in a row');
$pool->no_fault;
$pool->forget_outcomes;
$pool->nothing_left_ok('nothing is left');

# a pool that cannot fit is a smaller pool, and says so at the start
$log = $pool->log_end;
$pool->settings('worker_pool.max_workers' => 8);
$pool->restart;
like(
	$pool->log_since($log),
	qr/WARNING:  worker_pool\.max_workers \(8\) does not fit in max_worker_processes \(3\)/,
	'a warning at start names both settings');
$pool->sql('create role alice login');
my $both = q{select worker_pool.run('select 1', run_as => 'alice'), worker_pool.run('select 1')};
is($pool->sql($both), 'SELECT 1|SELECT 1', 'idle workers make room for other pairs') for 1 .. 3;
$pool->configure('worker_pool.fairness_interval' => '50ms');
$pool->sql(q{select worker_pool.start_worker('select pg_sleep(0.05)::text') from generate_series(1, 100)});
is($pool->sql(q{select worker_pool.run('select 1', run_as => 'alice')}), 'SELECT 1', 'and busy ones give way');
cmp_ok($pool->sql('select queued from worker_pool.status'), '>', 0, 'before their queue is empty');
$pool->sql(q{select worker_pool.stop_worker(id) from worker_pool.commands where state in ('queued', 'running')});
$pool->wait_until('(select queued + running = 0 from worker_pool.status)');
$pool->forget_outcomes;
$pool->nothing_left_ok('nothing is left');
$pool->finish;
done_testing;
