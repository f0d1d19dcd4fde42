# Workers that die, in every way: an error, a termination, a cancel, a signal, an exit in the middle.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use WorkerPool;

my $pool = WorkerPool->make('main', settings => { 'worker_pool.idle_timeout' => '1h' });
my $whoami = q{select * from worker_pool.query('select pg_backend_pid()') as (pid int)};

$pool->sql('create table t (n int)');

# --- an ERROR keeps the process ------------------------------------------------------------------------

my $worker = $pool->sql($whoami);
$pool->fails_ok('P0042', <<'SQL', 'an error in a command', like => [ qr/broken/, qr/DETAIL:  the detail/, qr/HINT:  the hint/, qr/CONTEXT:.*PL\/pgSQL/s ]);
select worker_pool.run($$do 'begin raise ''broken'' using errcode = ''P0042'', detail = ''the detail'', hint = ''the hint''; end'$$)
SQL
is($pool->sql($whoami), $worker, 'the process lives on');
is($pool->sql("select count(*) from worker_pool.commands"), 0, 'nothing is kept of run');
$pool->fails_ok('25001', q{select worker_pool.run('begin; insert into t values (1)')},
	'a command that leaves its transaction open');
is($pool->sql('select count(*) from t'), 0, 'its effects are rolled back');
is($pool->sql($whoami), $worker, 'the process lives on');

# --- cancel while idle ---------------------------------------------------------------------------------

$pool->sql("select pg_cancel_backend($worker)");
is($pool->sql($whoami), $worker, 'an idle worker survives pg_cancel_backend, and its next command too');

# --- terminated while idle, while busy -----------------------------------------------------------------

$pool->sql("select pg_terminate_backend($worker)");
$pool->becomes_ok('(select free = max_workers from worker_pool.status)', 'a terminated idle worker gives its slot back');
isnt($pool->sql($whoami), $worker, 'the next command has another process');

my $session = $pool->session;
$session->send(q{select worker_pool.run('select pg_sleep(600)')});
$pool->wait_until(q{exists (select from worker_pool.workers where state = 'running')});
$pool->sql(q{select pg_terminate_backend(pid) from worker_pool.workers where state = 'running'});
$session->receive;
is($session->sqlstate, '08006', 'the caller of run learns that its command was lost');
like($session->{error}, qr/lost/, 'in that word');
$pool->becomes_ok(q{not exists (select from worker_pool.workers where state not in ('idle', 'starting'))},
	'the slot is back');

my ($id) = $pool->start_busy(1);
$session->send("select worker_pool.wait_worker($id)");
$pool->sql("select pg_terminate_backend(pid) from worker_pool.commands where id = $id");
is($session->receive, 'lost', 'wait_worker says lost');
is($pool->sql("select state, sqlstate from worker_pool.commands where id = $id"), 'lost|08006', 'so does the view');
$pool->fails_ok('08006', "select * from worker_pool.worker_result($id) as (t text)", 'worker_result raises it');

# --- a command that ends its own process ----------------------------------------------------------------

$pool->fails_ok('08006', q{select worker_pool.run('select pg_terminate_backend(pg_backend_pid()), pg_sleep(60)')},
	'a command that terminates its own process is lost');

# At each point of a command: the caller gets an answer, the effect is there or not, no slot is lost.
for my $point (
	[ 'worker.before_run', 0 ],
	[ 'executor.before_command', 0 ],
	[ 'executor.before_commit', 0 ],
	[ 'executor.after_commit', 1 ],
	[ 'worker.before_publish', 1 ],
	[ 'result.before_publish', 1 ])
{
	my ($name, $effect) = @$point;

	for my $mode ('fatal', 'exit')
	{
		$pool->sql('truncate t');
		$pool->fault("$name=$mode*1");
		$pool->fails_ok('08006', q{select worker_pool.run('insert into t values (1)')},
			"$mode at $name: the command is lost");
		is($pool->sql('select count(*) from t'), $effect, $effect ? 'after its effect' : 'without an effect');
	}
}
# the outcome is out already
for my $mode ('fatal', 'exit')
{
	$pool->fault("worker.after_publish=$mode*1");
	is($pool->sql(q{select worker_pool.run('select 1')}), 'SELECT 1', "$mode at worker.after_publish: nothing is lost");
}
$pool->no_fault;

# An ERROR at the same points is the command's, or at least the caller's.
for my $point ('worker.before_run', 'executor.before_command', 'executor.before_commit')
{
	$pool->sql('truncate t');
	$pool->fault("$point=error*1");
	$pool->fails_ok('XX000', q{select worker_pool.run('insert into t values (1)')}, "error at $point: the caller has it");
	is($pool->sql('select count(*) from t'), 0, 'and the effect was rolled back');
}
for my $point ('executor.after_commit', 'worker.before_publish', 'result.before_publish', 'worker.after_publish')
{
	$pool->fault("$point=error*1");
	my (undef, $out, $error) = $pool->try_sql(q{select worker_pool.run('insert into t values (1)')});
	like($out . WorkerPool::state_in($error), qr/^(INSERT 0 1|XX000|08006)$/, "error at $point: the caller has an answer");
}
$pool->fault('reset.fail=error*1');
$worker = $pool->sql($whoami);
like($worker, qr/^\d+$/, 'a reset that fails does not hurt the command before it');
$pool->no_fault;
isnt($pool->sql($whoami), $worker, 'but its process is not used again');
$pool->wait_quiet;
$pool->slots_ok('no slot was lost in all that');

# --- kill -9, SEGV -------------------------------------------------------------------------------------

$pool->sql(q{create table before_crash as select worker_pool.start_worker('select 1') as id});
$session->quit;
for my $signal ('KILL', 'SEGV')
{
	$id = ($pool->start_busy(1))[0];
	my $launcher = $pool->launcher_pid;
	$session = $pool->session;
	$session->send("select worker_pool.run('select pg_sleep(600)')");
	$pool->wait_until(q{(select count(*) from worker_pool.workers where state = 'running') = 2});
	kill $signal, $pool->sql("select pid from worker_pool.commands where id = $id");
	$session->ended;
	isnt($pool->wait_launcher_after($launcher), $launcher, "SIG$signal to a worker: the pool comes back");
	$pool->fails_ok('42704', "select worker_pool.wait_worker($id)", 'ids of before are gone, and it says why',
		like => qr/server's last start/);
	$pool->fails_ok('42704', "select worker_pool.stop_worker($id)", 'for stop_worker too');
	is($pool->sql(q{select worker_pool.run('select 1')}), 'SELECT 1', 'the pool works');
	cmp_ok($pool->sql(q{select worker_pool.start_worker('select 1')}), '>', $id, 'ids go on above those of before');
	$pool->forget_outcomes;
	$pool->slots_ok;
}
$pool->fails_ok('42704', 'select * from before_crash, worker_pool.worker_result(id) as (n int)',
	'an outcome of before the crashes is gone');

# A worker that is killed at a point of its life.
for my $point ('worker.before_publish', 'worker.after_publish')
{
	my $launcher = $pool->launcher_pid;

	$pool->fault("$point=kill*1");
	$pool->try_sql(q{select worker_pool.run('select 1')});
	$pool->no_fault_in_crash;
	$pool->wait_launcher_after($launcher);
	$pool->no_fault;
	is($pool->sql(q{select worker_pool.run('select 1')}), 'SELECT 1', "killed at $point: the pool works again");
}
$pool->wait_until(q{(select free + idle = max_workers from worker_pool.status)});
$pool->forget_outcomes;
$pool->nothing_left_ok('nothing is left');
$pool->finish(allow_signal => qr/(9: Killed|11: Segmentation)/);
done_testing;
