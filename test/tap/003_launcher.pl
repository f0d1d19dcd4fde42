# A launcher that is terminated, fails or is killed, at each of its fault points: another comes and goes on.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use WorkerPool;

my $pool = WorkerPool->make('main',
	settings => { 'worker_pool.idle_timeout' => '1h', 'worker_pool.fairness_interval' => '1h' });

$pool->sql('create table done (n int)');

# --- adoption ------------------------------------------------------------------------------------------

# Four busy workers, three queued commands, and no launcher for a while.
my @busy = $pool->start_busy(4);
my $pids = $pool->sql('select pid from worker_pool.workers order by pid');
$pool->sql(q{select worker_pool.start_worker('insert into done values ($1)', array[n::text]) from generate_series(1, 3) n});
my $launcher = $pool->launcher_pid;
$pool->sql("select pg_terminate_backend($launcher)");
$pool->wait_launcher_after($launcher);
is($pool->sql('select pid from worker_pool.workers order by pid'), $pids, 'a new launcher finds the same workers');
is($pool->sql('select free, running, queued from worker_pool.status'), '0|4|3', 'and the same queue');
$pool->slots_ok;
$pool->sql("select worker_pool.stop_worker($busy[0])");
$pool->becomes_ok('(select count(*) from done) = 3', 'the queued commands run');
is($pool->sql('select pid from worker_pool.workers order by pid'), $pids, 'in the processes that were there');
$pool->sql("select worker_pool.stop_worker($_)") for @busy[ 1 .. 3 ];
$pool->wait_quiet;
$pool->forget_outcomes;
my $served_by = $pool->sql(q{select * from worker_pool.query('select pg_backend_pid()') as (pid int)});
ok((grep { $_ eq $served_by } split(/\n/, $pids)), 'which serve on');

# What a session does meanwhile waits, and is served: the fast path even without a launcher.
$pool->fault('launcher.before_discovery=stall');
$launcher = $pool->launcher_pid;
$pool->sql("select pg_terminate_backend($launcher)");
$pool->wait_launcher_after($launcher);
is($pool->sql(q{select worker_pool.run('select 1')}), 'SELECT 1', 'a warm worker serves while the launcher is not ready');
my $session = $pool->session;
$session->send(q{select worker_pool.run('select 2', fresh => true)});
$pool->wait_until('(select queued = 1 from worker_pool.status)');
$pool->no_fault;
is($session->receive, 'SELECT 1', 'a command that needs a process is served when it is');

# --- errors at each point ------------------------------------------------------------------------------

# They come up one after the other, each in a launcher of its own, while a command waits for a new process.
my $number = 0;

sub strike
{
	my ($mode, @points) = @_;

	$number++;
	$pool->sql('truncate done');
	$pool->wait_quiet;
	my $faults = join(',', map { "$_=$mode*1" } @points);
	my $died = $pool->launcher_pid;
	$session = $pool->session;
	if ($mode eq 'kill')
	{
		# at once, or when there is something to start
		eval { $pool->fault($faults) };
		eval { $session->query("select worker_pool.run('select 1', fresh => true)") };
		ok(defined WorkerPool::seconds_until_gone($WorkerPool::patience, $died), 'the launcher was killed');
		$pool->no_fault_in_crash;
		$pool->wait_launcher_after($died);
		# it may have been killed once more before it saw that
		$pool->no_fault;
		$pool->wait_quiet;
		like(
			$pool->sql("select worker_pool.run('insert into done values ($number)', fresh => true)"),
			qr/^INSERT/, "kill at @points: the pool works again");
	}
	else
	{
		$pool->fault($faults);
		$session->send("select worker_pool.run('insert into done values ($number)', fresh => true)");
		is($session->receive, 'INSERT 0 1', "$mode at @points: the command runs");
		is($session->{error}, '', 'without an error');
		is($pool->sql('select count(*) from done'), 1, 'and once');
		isnt($pool->wait_launcher_after($died), $died, 'another launcher is there');
	}
	$session->quit;
	$pool->no_fault;
	$pool->becomes_ok('(select starting + stopping + running = 0 and free + idle = max_workers from worker_pool.status)',
		'no slot is lost');
}

$pool->configure('worker_pool.start_timeout' => '2s');
strike('error', 'launcher.after_reap', 'launcher.before_register', 'launcher.after_allocate');
strike('fatal', 'launcher.before_register', 'launcher.after_reap');
# registered, but the launcher that knew is gone: the worker comes all the same
strike('error', 'launcher.after_register');
strike('fatal', 'launcher.after_register');
$launcher = $pool->launcher_pid;
$pool->fault('launcher.before_discovery=error*1');
$pool->sql("select pg_terminate_backend($launcher)");
$pool->wait_launcher_after($launcher);
$pool->becomes_ok('(select launcher_pid is not null from worker_pool.status)', 'error at launcher.before_discovery');
is($pool->sql(q{select worker_pool.run('select 1', fresh => true)}), 'SELECT 1', 'the pool works');
$pool->no_fault;

# --- killed at each point ------------------------------------------------------------------------------

strike('kill', $_)
  for ('launcher.after_reap', 'launcher.before_register', 'launcher.after_register', 'launcher.after_allocate');

# exit 0 would be for good: none of the launcher's ends may be one
unlike($pool->log_since(0), qr/background worker "worker_pool launcher" \(PID \d+\) exited with exit code 0/,
	'no launcher exited with code 0');
$pool->nothing_left_ok('nothing is left');
$pool->finish;
done_testing;
