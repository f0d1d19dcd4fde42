# The server is stopped, in each mode, with eight busy workers; and the postmaster is killed.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);
use WorkerPool;

my $pool = WorkerPool->make('main',
	init => { allows_streaming => 1 },
	settings => { 'worker_pool.max_workers' => 8, 'worker_pool.idle_timeout' => '1h' });

$pool->sql('create table t (n int)');

sub pids
{
	return split /\n/, $pool->sql(q{select pid from pg_stat_activity where backend_type like 'worker_pool%'});
}

sub stop_ok
{
	my ($mode, $limit, $name) = @_;
	my @pids = pids();
	my $start = time;

	is(scalar(@pids), 9, 'a launcher and eight workers');
	$pool->stop($mode);
	cmp_ok(time - $start, '<', $limit, "$mode stop $name");
	is(scalar(grep { WorkerPool::lives($_) } @pids), 0, 'and no process is left');
}

# --- busy in a statement -------------------------------------------------------------------------------

for my $mode ([ 'smart', 20 ], [ 'fast', 5 ], [ 'immediate', 20 ])
{
	$pool->start_busy(4);
	$pool->start_busy(3, command => 'select count(*) from generate_series(1, 100000) a, generate_series(1, 100000) b');
	$pool->start_busy(1, command => 'do $$begin loop null; end loop; end$$');
	# more that wait
	$pool->sql(q{select worker_pool.start_worker('select 1') from generate_series(1, 5)});
	stop_ok(@$mode, 'with eight busy workers and a queue');
	$pool->start;
	is($pool->sql('select max_workers - free - idle, queued from worker_pool.status'), '0|0', 'then the pool is new');
}

# --- warm ----------------------------------------------------------------------------------------------

$pool->warm(8);
stop_ok('fast', 5, 'with eight idle workers');
$pool->start;

# --- a caller that waits -------------------------------------------------------------------------------

$pool->start_busy(7);
my $session = $pool->session;
$session->send(q{select worker_pool.run('select pg_sleep(600)')});
$pool->wait_until('(select running = 8 from worker_pool.status)');
stop_ok('fast', 5, 'with a caller of run');
# by the server, or, where its worker went first, by the pool: the command was lost
like($session->ended, qr/57P01|08006|server closed the connection/, 'which is told');
$pool->start;

# --- at a commit that nobody confirms ------------------------------------------------------------------

$pool->configure(synchronous_standby_names => 'nobody');
for my $mode ([ 'smart', 20 ], [ 'fast', 5 ], [ 'immediate', 20 ])
{
	$pool->sql(q{select worker_pool.start_worker('insert into t values (1)', settings => '{"synchronous_commit": "on"}')
		from generate_series(1, 8)});
	$pool->wait_until(q{(select count(*) = 8 from pg_stat_activity where backend_type = 'worker_pool worker' and wait_event = 'SyncRep')});
	stop_ok(@$mode, 'with eight workers that wait for a synchronous standby');
	$pool->start;
}
$pool->sql(q{set synchronous_commit = local; alter system reset synchronous_standby_names});
$pool->restart;

# --- the postmaster dies -------------------------------------------------------------------------------

$pool->wait_quiet;
my @idle = $pool->warm(3);
$pool->sql('create role alice login');
$pool->start_busy(2, user => 'alice');
$pool->start_busy(1, user => 'alice', command => 'select count(*) from generate_series(1, 100000) a, generate_series(1, 100000) b');
$pool->start_busy(1, user => 'alice', command => 'do $$begin loop null; end loop; end$$');
my @pids = pids();
cmp_ok(scalar(@pids), '==', 8, 'a launcher, idle and busy workers');
my $postmaster = (split /\n/, slurp_file($pool->data_dir . '/postmaster.pid'))[0];
$pool->kill9;
my $seconds = WorkerPool::seconds_until_gone(10, @pids);
ok(defined $seconds, 'the postmaster is killed: all processes of the pool end');
note("after $seconds s");
# the promise is two seconds; a machine under load may take its time to let them run
cmp_ok($seconds // 99, '<', 5, 'at once, not when their commands are over');
# the next one cannot start before somebody has collected the dead
for (my $end = time + $WorkerPool::patience; time < $end && kill(0, $postmaster);)
{
	usleep(10_000);
}
$pool->start;
is($pool->sql(q{select worker_pool.run('select 1')}), 'SELECT 1', 'the next server works');
$pool->finish;
done_testing;
