# C++ exceptions and exhausted resources are plain errors: in sessions, in workers, in the launcher.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use WorkerPool;

my $pool = WorkerPool->make('main', settings => { 'worker_pool.idle_timeout' => '1h', 'worker_pool.start_timeout' => '2s' });
my %sqlstate_of = (throw => 'XX000', bad_alloc => '53200');
my $launcher = $pool->launcher_pid;

$pool->sql('create table t (n int)');
$pool->sql('create database x');

# --- in sessions ------------------------------------------------------------------------------------------

my $session = $pool->session;
my $backend = $session->query_safe('select pg_backend_pid()');

for my $mode ('throw', 'bad_alloc', 'error')
{
	my $sqlstate = $sqlstate_of{$mode} // 'XX000';

	for my $point (
		[ 'submit.before_queue', q{select worker_pool.run('select 1')} ],
		[ 'submit.before_queue', q{select worker_pool.start_worker('select 1')} ],
		[ 'submit.after_queue', q{select worker_pool.run('select 1')} ],
		[ 'submit.after_queue', q{select * from worker_pool.query('select 1') as (n int)} ],
		[ 'wait.before_sleep', q{select worker_pool.run('select pg_sleep(0.2)')} ],
		[ 'result.before_consume', q{select worker_pool.run('select 1')} ],
		[ 'result.before_consume', q{select * from worker_pool.query('select 1') as (n int)} ],
		[ 'ddl.before_drain', 'drop database x' ],
		[ 'ddl.after_drain', 'alter database x rename to y' ])
	{
		my ($name, $sql) = @$point;

		$pool->fault("$name=$mode");
		$session->query($sql);
		is($session->sqlstate, $sqlstate, "$mode at $name: a plain error") or diag($session->{error});
	}
	# an outcome that could not be fetched is still there
	$pool->no_fault;
	my $id = $pool->sql(q{select worker_pool.start_worker('select 42')});
	$pool->sql("select worker_pool.wait_worker($id)");
	$pool->fault("result.before_consume=$mode");
	$session->query("select * from worker_pool.worker_result($id) as (n int)");
	is($session->sqlstate, $sqlstate, "$mode while an outcome is fetched");
	$pool->no_fault;
	is($session->query("select * from worker_pool.worker_result($id) as (n int)"), '42', 'it can be fetched again');
}
is($session->query_safe('select pg_backend_pid()'), $backend, 'the session lives on');
is($session->query_safe(q{select worker_pool.run('select 1')}), 'SELECT 1', 'and works');
# what submit.after_queue left behind had been started
$pool->wait_quiet;
$pool->forget_outcomes;
$pool->nothing_left_ok('nothing is left');

# --- in workers -------------------------------------------------------------------------------------------

for my $mode ('throw', 'bad_alloc')
{
	for my $point ('worker.before_run', 'executor.before_command', 'executor.before_commit')
	{
		$pool->sql('truncate t');
		$pool->fault("$point=$mode*1");
		my $error = $pool->fails_ok($sqlstate_of{$mode}, q{select worker_pool.run('insert into t values (1)')},
			"$mode at $point: the caller's error");
		is($pool->sql('select count(*) from t'), 0, 'and nothing was done');
	}
	$pool->fault("result.spill_write=$mode*1");
	$pool->fails_ok(
		$sqlstate_of{$mode},
		q{select count(*) from worker_pool.query('select repeat(''x'', 1000) from generate_series(1, 1000)') as (t text)},
		"$mode at result.spill_write: the caller's error");
	is(($pool->try_sql(q{select worker_pool.run('select 1')}))[1], 'SELECT 1', 'which leaves nothing behind') for 1 .. 2;
	for my $point ('executor.after_commit', 'worker.before_publish', 'result.before_publish', 'worker.after_publish', 'reset.fail')
	{
		$pool->fault("$point=$mode*1");
		my (undef, $out, $error) = $pool->try_sql(q{select worker_pool.run('insert into t values (1)')}, timeout => 20);
		like($out . WorkerPool::state_in($error), qr/^(INSERT 0 1|$sqlstate_of{$mode}|08006)$/,
			"$mode at $point: the caller has an answer") or diag($error);
	}
	for my $point ('worker.before_attach', 'worker.before_connect', 'worker.after_connect', 'worker.before_started')
	{
		$pool->fault("$point=$mode*1");
		is($pool->sql(q{select worker_pool.run('select 1', fresh => true)}), 'SELECT 1', "$mode at $point: tried again");
	}
	for my $point ('launcher.after_reap', 'launcher.after_register', 'launcher.after_allocate')
	{
		my $died = $pool->launcher_pid;

		$pool->fault("$point=$mode*1");
		is($pool->sql(q{select worker_pool.run('select 1', fresh => true)}), 'SELECT 1', "$mode at $point: another launcher goes on");
		$pool->wait_launcher_after($died);
	}
}
$pool->fault('result.no_memory=false');
is( $pool->sql(q{select count(*) from worker_pool.query('select repeat(''x'', 1000) from generate_series(1, 10)') as (t text)}),
	'10', 'no shared memory for a result: it goes to a file');
$pool->fault('result.no_memory=false,result.no_file=false');
my (undef, $out, $error) = $pool->try_sql(q{select count(*) from worker_pool.query('select repeat(''x'', 1000) from generate_series(1, 10)') as (t text)});
isnt(WorkerPool::state_in($error), '', 'neither memory nor a file: an error');
diag("neither memory nor a file: $out $error") if WorkerPool::state_in($error) !~ /^5/;
$pool->no_fault;
is($pool->sql(q{select worker_pool.run('select 1')}), 'SELECT 1', 'then the pool works');

# --- resources --------------------------------------------------------------------------------------------

$pool->sql(q{create function deep(int) returns int language plpgsql as 'begin return deep($1 + 1); end'});
my $pid = $pool->sql(q{select * from worker_pool.query('select pg_backend_pid()') as (pid int)});
$pool->fails_ok('54001', q{select worker_pool.run('select deep(0)')}, 'stack depth: an error',
	like => qr/max_stack_depth/);
is($pool->sql(q{select * from worker_pool.query('select pg_backend_pid()') as (pid int)}), $pid, 'and the worker lives on');

SKIP:
{
	skip 'the address sanitizer has its own idea of an address space', 3 if defined $ENV{ASAN_OPTIONS};
	system("prlimit --pid $pid --as >/dev/null 2>&1") == 0 or skip 'prlimit cannot be used', 3;

	system_or_bail('prlimit', '--pid', $pid, '--as=600000000:');
	$pool->fails_ok('53200', q{select worker_pool.run('select length(repeat(''x'', 1000000000))')}, 'out of memory: an error');
	$pool->fails_ok('53200', q{select count(*) from worker_pool.query('select repeat(''x'', 400000000)') as (t text)},
		'out of memory while the result is kept');
	is($pool->sql(q{select * from worker_pool.query('select pg_backend_pid()') as (pid int)}), $pid, 'and the worker lives on');
}
$session->quit;
$pool->wait_quiet;
$pool->forget_outcomes;
$pool->nothing_left_ok('nothing is left');
is(join(' ', $pool->temporary_files), '', 'no temporary file either');
# the exceptions were asked for
$pool->finish(allow => qr/unexpected C\+\+ exception/);
done_testing;
