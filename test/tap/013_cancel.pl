# Stopping commands: never the wrong one, and whose wait was interrupted.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use WorkerPool;

my $pool = WorkerPool->make('main',
	settings => { 'worker_pool.max_workers' => 1, 'worker_pool.idle_timeout' => '1h', log_statement => 'none', log_min_messages => 'fatal' });
my $rounds = $ENV{WORKER_POOL_FULL} ? 50_000 : 2_000;
my $limit = 60 + $rounds / 100;
my $whoami = q{select * from worker_pool.query('select pg_backend_pid()') as (pid int)};

$pool->sql('create table t (n int)');

# --- a late cancel ------------------------------------------------------------------------------------------

# One warm process. A victim is stopped at any moment of its life; the command behind it must not notice.
my $pid = $pool->sql($whoami);
my ($unaffected, $cancelled, $succeeded) = split /\|/, $pool->sql(<<"SQL", timeout => $limit);
create function late_cancels(rounds int, out unaffected int, out cancelled int, out succeeded int) language plpgsql as \$\$
declare
	victim bigint;
	final text;
begin
	unaffected := 0; cancelled := 0; succeeded := 0;
	for round in 1 .. rounds loop
		victim := worker_pool.start_worker('select 1');
		for i in 1 .. round % 40 loop
			perform i;
		end loop;
		perform worker_pool.stop_worker(victim);
		if (worker_pool.run('select 1')) = 'SELECT 1' then
			unaffected := unaffected + 1;
		end if;
		final := worker_pool.wait_worker(victim);
		if final = 'cancelled' then
			cancelled := cancelled + 1;
		elsif final = 'succeeded' then
			succeeded := succeeded + 1;
		end if;
	end loop;
end \$\$;
select * from late_cancels($rounds);
SQL
note("$cancelled of those were cancelled, $succeeded had ended before");
is($unaffected, $rounds, "$rounds commands, each behind one that was stopped: all unaffected");
is($cancelled + $succeeded, $rounds, 'and each of those was cancelled or succeeded');
# a process is retired after some thousands of commands
is($pool->sql($whoami), $pid, 'in one process') if $rounds < 4000;
$pool->forget_outcomes;

# The same with somebody else who stops them, so that the signal and the end meet in every order.
my $stopper = $pool->session(timeout => $limit);
$pool->sql('create table over (n int)');
$stopper->send(<<'SQL');
do $$
declare
	victim bigint;
begin
	while not exists (select from over) loop
		for victim in select id from worker_pool.commands where name = 'victim' and state = 'running' loop
			perform worker_pool.stop_worker(victim);
		end loop;
	end loop;
end
$$
SQL
my (undef, undef, $error) = $pool->try_sql(<<"SQL", timeout => $limit);
do \$\$
begin
	for round in 1 .. $rounds loop
		perform worker_pool.start_worker('select 1', name => 'victim');
		perform worker_pool.run('select 1');
	end loop;
end
\$\$
SQL
is($error, '', 'stopped by another session: all unaffected');
$pool->sql('insert into over values (1)');
$stopper->receive;
is($stopper->{error}, '', 'who has no error either');
$stopper->quit;
is($pool->sql($whoami), $pid, 'in one process') if $rounds < 4000;
$pool->wait_quiet;
$pool->forget_outcomes;

# The signal comes when the statement is over and the outcome not yet out.
$pool->fault('worker.before_publish=stall');
my $id = $pool->sql(q{select worker_pool.start_worker('insert into t values (1)')});
$pool->wait_until('(select count(*) = 1 from t)');
$pool->sql("select worker_pool.stop_worker($id)");
$pool->no_fault;
like($pool->sql("select worker_pool.wait_worker($id)"), qr/^(succeeded|cancelled)$/, 'stopped after its commit: an outcome');
is($pool->sql(q{select worker_pool.run('select 1')}), 'SELECT 1', 'and the next command is unaffected');
$pool->sql('truncate t');

# pg_cancel_backend says nothing about which command it means
$pid = $pool->sql($whoami);
$pool->sql("select pg_cancel_backend($pid) from generate_series(1, 20)");
is($pool->sql(q{select worker_pool.run('select 1')}), 'SELECT 1', 'cancels of an idle worker hit nothing');
$pool->forget_outcomes;

# --- stop_worker --------------------------------------------------------------------------------------------

($id) = $pool->start_busy(1);
my $queued = $pool->sql(q{select worker_pool.start_worker('insert into t values (1)')});
is($pool->sql("select worker_pool.stop_worker($queued)"), 't', 'a queued command is stopped');
is($pool->sql("select worker_pool.wait_worker($queued)"), 'cancelled', 'at once');
$pool->fails_ok('57014', "select * from worker_pool.worker_result($queued) as (n int)", 'its outcome says so');
is($pool->sql("select worker_pool.stop_worker($queued)"), 'f', 'there is nothing left to stop');
is($pool->sql("select worker_pool.stop_worker($id)"), 't', 'a running one is stopped');
is($pool->sql("select worker_pool.wait_worker($id)"), 'cancelled', 'is cancelled');
is($pool->sql("select worker_pool.stop_worker($id)"), 'f', 'there is nothing left to stop');
$pool->fails_ok('57014', "select * from worker_pool.worker_result($id) as (n int)", 'its outcome says so');
$pool->fails_ok('42704', 'select worker_pool.stop_worker(1)', 'an unknown id');
is($pool->sql($whoami), $pid, 'the process lives on');

my $deaf = 'do $$begin loop begin perform pg_sleep(60); exception when query_canceled then null; end; end loop; end$$';
($id) = $pool->start_busy(1, command => $deaf);
is($pool->sql("select worker_pool.stop_worker($id, grace => '200ms')"), 't', 'one that ignores the cancel');
is($pool->sql("select worker_pool.wait_worker($id)"), 'cancelled', 'has its process terminated after the grace');
$pool->becomes_ok("not exists (select from worker_pool.workers where pid = $pid)", 'the process is gone');
is($pool->sql(q{select worker_pool.run('select 1')}), 'SELECT 1', 'the slot is free for another');
($id) = $pool->start_busy(1, command => $deaf);
is($pool->sql("select worker_pool.stop_worker($id, grace => '1h')"), 't', 'with a long grace');
is($pool->sql("select worker_pool.wait_worker($id, '300ms')"), 'running', 'it goes on');
is($pool->sql("select worker_pool.stop_worker($id, grace => '0')"), 't', 'with none');
is($pool->sql("select worker_pool.wait_worker($id)"), 'cancelled', 'it ends at once');
$pool->forget_outcomes;

# a grace that ends after its command does not hit another
($id) = $pool->start_busy(1);
$pool->sql("select worker_pool.stop_worker($id, grace => '300ms')");
$pool->sql("select worker_pool.wait_worker($id)");
is($pool->sql(q{select worker_pool.run('select pg_sleep(0.8)')}), 'SELECT 1', 'the grace of a command that ended hits no other');
$pool->forget_outcomes;

# --- timeout ------------------------------------------------------------------------------------------------

$pool->fails_ok('57014', q{select worker_pool.run('select pg_sleep(60)', timeout => '100ms')}, 'a command\'s own time-out',
	like => qr/time-?out/i);
is($pool->sql(q{select worker_pool.run('select pg_sleep(0.3)')}), 'SELECT 1', 'which is over with it');
$pool->fails_ok('57014', q{select worker_pool.run('select pg_sleep(60)', settings => '{"statement_timeout": "100ms"}')},
	'statement_timeout as a setting', like => qr/statement timeout/);
is($pool->sql(q{select worker_pool.run('select pg_sleep(0.3)')}), 'SELECT 1', 'which is over with it');

# --- interrupted callers ------------------------------------------------------------------------------------

# ends_ok: whoever waited, its command is cancelled and had no effect
sub cancelled_ok
{
	my ($name) = @_;

	$pool->becomes_ok('(select running + queued = 0 from worker_pool.status)', "$name: its command is cancelled");
	is($pool->sql('select count(*) from t'), 0, 'and had no effect');
	$pool->nothing_left_ok('nothing is left');
}

my $slow = 'insert into t select 1 from pg_sleep(600)';

$pool->fails_ok('57014', "set statement_timeout = '200ms'; select worker_pool.run('$slow')", 'run, statement_timeout of the caller');
cancelled_ok('statement_timeout');
for my $how ('cancel', 'terminate')
{
	for my $verb ("worker_pool.run('$slow')", "worker_pool.query('$slow returning n') as (n int)")
	{
		my $session = $pool->session;
		my $caller = $session->query_safe('select pg_backend_pid()');

		$session->send("select * from $verb");
		$pool->wait_until(q{(select count(*) = 1 from worker_pool.workers where state = 'running')});
		$pool->sql("select pg_${how}_backend($caller)");
		if ($how eq 'cancel')
		{
			$session->receive;
			is($session->sqlstate, '57014', 'a cancelled caller');
			$session->quit;
		}
		else
		{
			like($session->ended, qr/57P01/, 'a terminated caller');
		}
		cancelled_ok("$how of $verb");
	}
}

# queued
($id) = $pool->start_busy(1);
$pool->fails_ok('57014', "set statement_timeout = '200ms'; select worker_pool.run('insert into t values (1)')", 'run, while it is queued');
is($pool->sql('select queued from worker_pool.status'), 0, 'its command is taken out of the queue');

# those who only wait, or fetch, leave the command alone
for my $verb ("worker_pool.wait_worker($id)", "worker_pool.worker_result($id) as (t text)", "worker_pool.worker_results(array[$id]) as (t text)")
{
	$pool->fails_ok('57014', "set statement_timeout = '100ms'; select * from $verb", "$verb is interrupted");
	is($pool->sql("select state from worker_pool.commands where id = $id"), 'running', 'and the command runs on');
}
$pool->fails_ok('57014', "set statement_timeout = '100ms'; call worker_pool.await_worker($id)", 'await_worker is interrupted');
my $session = $pool->session;
$session->send("select * from worker_pool.worker_result($id) as (t text)");
$pool->wait_until("exists (select from pg_stat_activity where query like '%worker_result($id)%' and wait_event_type = 'Extension' and pid <> pg_backend_pid())");
$pool->fails_ok('55006', "select * from worker_pool.worker_result($id) as (t text)", 'two cannot fetch it');
$pool->sql("select pg_terminate_backend(pid) from pg_stat_activity where query like '%worker_result($id)%' and pid <> pg_backend_pid()");
$session->ended;
is($pool->sql("select worker_pool.wait_worker($id, '10ms')"), 'running', 'a terminated reader leaves the command alone');
$pool->sql("select worker_pool.stop_worker($id)");
$pool->fails_ok('57014', "select * from worker_pool.worker_result($id) as (t text)", 'and its outcome to others');
$pool->nothing_left_ok('nothing is left');

# --- a chain ------------------------------------------------------------------------------------------------

$pool->settings('worker_pool.max_workers' => 3);
$pool->restart;
$pool->fails_ok('57014', qq{set statement_timeout = '300ms'; select worker_pool.run(\$\$select worker_pool.run('select worker_pool.run(''$slow'')')\$\$)},
	'the caller of a command that calls a command');
cancelled_ok('a chain');
$pool->finish;
done_testing;
