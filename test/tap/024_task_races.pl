
# Races by the hundred thousand: a commit against workers that fall asleep, start and leave, and cancel_task
# against the end of tasks. Longer with WORKER_POOL_FULL.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use WorkerPool;

my $factor = $ENV{WORKER_POOL_FULL} ? 20 : 1;
my $pool = WorkerPool->make('races', settings => { 'worker_pool.idle_timeout' => '1h', max_connections => 50 });

$pool->sql(<<'SQL');
create role other login;
grant usage on schema worker_pool to public;
create table effect (id bigint);
grant all on effect to public;
create database second;
SQL
$pool->sql('create extension worker_pool; grant usage on schema worker_pool to public', db => 'second');

my $folder = PostgreSQL::Test::Utils::tempdir();

# A pgbench that runs: start(clients, transactions each, script, db =>, user =>).
sub start
{
	my ($clients, $transactions, $script, %options) = @_;
	my $file = "$folder/" . ++$options{number} . int(rand(1e9)) . '.sql';
	my $run = { out => '' };

	PostgreSQL::Test::Utils::append_to_file($file, $script);
	$run->{run} = IPC::Run::start(
		[ 'pgbench', '-n', '-c', $clients, '-j', 1, '-t', $transactions, '-f', $file,
			'-h', $pool->host, '-p', $pool->port, '-U', $options{user} // $pool->sql('select current_user'), $options{db} // 'postgres' ],
		'<', '/dev/null', '>', \$run->{out}, '2>&1', IPC::Run::timeout(300 * $factor));
	return $run;
}

sub runs_ok
{
	my ($name, @runs) = @_;
	my $fine = 1;

	$fine &= $_->{run}->finish && $_->{out} !~ /ERROR|FATAL|aborted/ for @runs;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($fine, $name) or diag(map { $_->{out} } @runs);
	note($_->{out} =~ /^(tps.*)/m) for @runs;
}

# Nothing waited for longer than a second from due to begin: a wake that is lost would show here.
sub waits_ok
{
	my ($name, $least, $db) = @_;
	my ($all, $late) = split /\|/, $pool->sql(q{select coalesce(sum(count) filter (where le is null), 0),
		coalesce(sum(count) filter (where le is null), 0) - coalesce(sum(count) filter (where le = '1 s'), 0)
		from worker_pool.latency where kind = 'wait'}, db => $db);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	cmp_ok($all, '>=', $least, "$name: $all tasks began");
	is($late, 0, "$name: none waited for longer than a second")
	  or diag($pool->sql(q{select * from worker_pool.latency where kind = 'wait'}, db => $db), $pool->report);
	$pool->sql('select worker_pool.stats_reset()', db => $db);
}

sub all_done_ok
{
	my ($name, $db) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$pool->becomes_ok('not exists (select from worker_pool.tasks)', "$name: nothing is left", db => $db, limit => 10);
}

# --- a commit wakes ------------------------------------------------------------------------------------------

# One task a transaction, and wait for it: the queue is empty each time, the worker about to sleep.
my $closed = <<'SQL';
select worker_pool.enqueue('select', history => 'off') as id \gset
select worker_pool.wait_task(:id);
SQL
my $n = 9_000 * $factor;
runs_ok('each waits for its own task', start(4, $n, $closed));
waits_ok('waited for', 4 * $n);

# One task a transaction, as fast as they come, by savepoint, by block, by several a transaction.
$n = 10_000 * $factor;
runs_ok('nobody waits', start(4, $n, "select worker_pool.enqueue('select', history => 'off');\n"), start(2, $n / 2, <<'SQL'));
begin;
savepoint a;
select worker_pool.enqueue('select', history => 'off');
rollback to a;
select worker_pool.enqueue('select', history => 'off');
savepoint b;
select worker_pool.enqueue('select', history => 'off', key => 'key' || :client_id);
release b;
end;
SQL
all_done_ok('nobody waits');
waits_ok('nobody waits', 4 * $n);

# Two roles and two databases take turns at the slots, of which there is not one each.
$pool->configure('worker_pool.reserved_workers' => 2, 'worker_pool.fairness_interval' => '20ms');
$n = 400 * $factor;
runs_ok('pairs push each other out', start(1, $n, $closed), start(1, $n, $closed, user => 'other'),
	start(1, $n, $closed, db => 'second'), start(1, $n, $closed, db => 'second', user => 'other'));
waits_ok('pairs push each other out', 2 * $n, $_) for qw(postgres second);
$pool->configure('worker_pool.reserved_workers' => 1, 'worker_pool.fairness_interval' => '1s');

# Workers that leave as soon as they are idle: a commit meets one on its way out.
$pool->configure('worker_pool.idle_timeout' => '0');
$n = 500 * $factor;
runs_ok('workers leave', start(3, $n, "\\set us random(0, 3000)\n\\sleep :us us\n$closed"));
waits_ok('workers leave', 3 * $n);
$pool->configure('worker_pool.idle_timeout' => '1ms');
runs_ok('workers leave a little later', start(3, $n, "\\set us random(0, 3000)\n\\sleep :us us\n$closed"));
waits_ok('workers leave a little later', 3 * $n);
$pool->configure('worker_pool.idle_timeout' => '1h');

# --- cancel_task against the end of tasks --------------------------------------------------------------------

# The target stands between two others, which run in the same batch: whatever the moment of the cancel, these
# are not hit. One attempt each, so that a hit would show as a failure.
$n = 1_000 * $factor;
$pool->sql('truncate effect');
my $race = <<'SQL';
\set us random(0, %d)
begin;
select worker_pool.enqueue('insert into effect values (worker_pool.current_task())', max_attempts => 1, name => 'before') as a \gset
select worker_pool.enqueue('%s', max_attempts => 1, name => 'target') as id \gset
select worker_pool.enqueue('insert into effect values (worker_pool.current_task())', max_attempts => 1, name => 'behind') as b \gset
end;
\sleep :us us
select worker_pool.cancel_task(:id%s);
SQL
my $insert = 'insert into effect values (worker_pool.current_task())';
runs_ok('cancels race with short tasks', start(6, $n, sprintf($race, 1500, $insert, '')));
runs_ok('with longer ones', start(6, $n, sprintf($race, 4000, "$insert; select pg_sleep(0.001)", '')));
# the grace is over at once: its process is terminated, the others of its batch run in another
runs_ok('with processes that are terminated', start(3, $n / 20, sprintf($race, 4000, "$insert; select pg_sleep(0.001)", qq{, '0'})));
all_done_ok('cancel');

my $all = 2 * 6 * $n + 3 * $n / 20;
is($pool->sql(q{select count(*) from worker_pool.task_history where is_final and name = 'target' and state in ('succeeded', 'cancelled')}),
	$all, 'each target has succeeded or was cancelled');
my $innocent = $pool->sql(q{select count(*) from worker_pool.task_history where is_final and name <> 'target' and state = 'succeeded'});
is($innocent, 2 * $all, 'no cancel has hit another task')
  or diag($pool->sql(q{select id, name, state, attempt, sqlstate, message, detail from worker_pool.task_history where state <> 'succeeded' and name <> 'target' limit 10}));
is($pool->sql('select count(*) from worker_pool.task_history'), 3 * $all, 'one row each');
is($pool->sql(q{select count(*) from (select id from effect except select id from worker_pool.task_history where state = 'succeeded') x}), 0, 'no effect of a cancelled task');
is($pool->sql(q{select count(*) from (select id from worker_pool.task_history where state = 'succeeded' except select id from effect) x}), 0, 'an effect of each that succeeded');
is($pool->sql('select count(*) - count(distinct id) from effect'), 0, 'none twice');
my $cancelled = $pool->sql(q{select count(*) from worker_pool.task_history where state = 'cancelled'});
note("$cancelled of $all were cancelled");
cmp_ok($cancelled, '>', $all / 50, 'some came in time');
cmp_ok($cancelled, '<', $all - $all / 50, 'some did not');
$pool->becomes_ok(q{not exists (select from worker_pool.queues where ready + waiting + running > 0)}, 'nothing is left in memory');
$pool->slots_ok;

$pool->finish;
done_testing();
