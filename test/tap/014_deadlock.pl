# Waits that could never end, end with 40P01; those that only take long do not.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use WorkerPool;

my $pool = WorkerPool->make('main',
	settings => { 'worker_pool.max_workers' => 1, 'worker_pool.idle_timeout' => '1h', deadlock_timeout => '100ms' });

$pool->sql(<<'SQL');
create table t (n int);
insert into t values (1);
create database x;
SQL

# --- one slot -----------------------------------------------------------------------------------------------

my $error = $pool->fails_ok('40P01', q{select worker_pool.run($$select worker_pool.run('select 1')$$)},
	'a command in the only slot that calls run');
like($error, qr/DETAIL:.*waits for.*DETAIL|DETAIL:.*wait/s, 'the chain is told');
like($error, qr/HINT:/, 'with a hint');
$pool->fails_ok('40P01', q{select worker_pool.run($$select worker_pool.run('select 1', database => 'x')$$)},
	'the same for another database');
$pool->fails_ok('40P01', q{select worker_pool.run($$select worker_pool.run('select 1', fresh => true)$$)},
	'the same for a fresh process');
$pool->fails_ok('40P01',
	q{select worker_pool.run($$do 'declare id bigint := worker_pool.start_worker(''select 1''); begin perform worker_pool.wait_worker(id); end'$$)},
	'the same with wait_worker');
$pool->forget_outcomes;
is($pool->sql(q{select worker_pool.run($$select worker_pool.wait_worker(worker_pool.start_worker('select 1'), '300ms')$$)}),
	'SELECT 1', 'a wait that has a limit ends by itself');
$pool->wait_quiet;
$pool->forget_outcomes;
is($pool->sql(q{select worker_pool.run('select 1')}), 'SELECT 1', 'then the pool works');

# a pool that only is busy
my $session = $pool->session;
my ($id) = $pool->start_busy(1);
$session->send(q{select worker_pool.run('select 1')});
$pool->wait_until('(select queued = 1 from worker_pool.status)');
$pool->sql('select pg_sleep(1)');
ok(!$session->is_done, 'behind a busy worker one waits for many deadlock_timeouts');
$pool->sql("select worker_pool.stop_worker($id)");
is($session->receive, 'SELECT 1', 'and is served in the end');
is($session->{error}, '', 'without an error');
$pool->forget_outcomes;

# --- locks --------------------------------------------------------------------------------------------------

$session->query_safe('begin; lock table t');
$session->query(q{select worker_pool.run('insert into t values (2)')});
is($session->sqlstate, '40P01', 'the caller holds a lock that its command wants');
like($session->{error}, qr/DETAIL:.*lock/s, 'the chain is told') or diag($session->{error});
$session->query_safe('rollback');
$pool->wait_quiet;
is($pool->sql('select count(*) from t'), 1, 'nothing was done');
for my $verb ('worker_pool.wait_worker(id)', 'worker_pool.worker_result(id) as (t text)', 'worker_pool.worker_results(array[id]) as (t text)')
{
	$session->query_safe('begin; lock table t');
	$session->query("select result.* from worker_pool.start_worker('delete from t where n = 2') id, $verb"
		  =~ s/worker_pool\.wait_worker\(id\)/worker_pool.wait_worker(id) result/r
		  =~ s/\) as \(t text\)/) as result (t text)/r);
	is($session->sqlstate, '40P01', "the same with $verb") or diag($session->{error});
	$session->query_safe('rollback');
	$pool->wait_quiet;
	$pool->forget_outcomes;
}

# the lock is wanted by the command before ours
$session->query_safe('begin; lock table t');
$id = $pool->sql(q{select worker_pool.start_worker('insert into t values (3)')});
$pool->wait_until(q{exists (select from pg_stat_activity where wait_event_type = 'Lock')});
$session->query(q{select worker_pool.run('select 1')});
is($session->sqlstate, '40P01', 'the only worker waits for a lock of the caller, who waits for the worker');
$session->query_safe('rollback');
is($pool->sql("select worker_pool.wait_worker($id)"), 'succeeded', 'then that command goes on');
$pool->sql('delete from t where n = 3');
$pool->forget_outcomes;

# a lock that somebody else holds is no deadlock
$session->query_safe('begin; lock table t');
my $other = $pool->session;
$other->send(q{select worker_pool.run('insert into t values (4)')});
$pool->wait_until(q{exists (select from pg_stat_activity where wait_event_type = 'Lock')});
$pool->sql('select pg_sleep(0.7)');
ok(!$other->is_done, 'a lock that another session holds is waited for');
$session->query_safe('commit');
is($other->receive, 'INSERT 0 1', 'until it is free');

# --- without a snapshot -------------------------------------------------------------------------------------

$error = $pool->fails_ok('40P01', q{select worker_pool.run('create index concurrently i on t (n)')},
	'CREATE INDEX CONCURRENTLY through run waits for the snapshot of its caller');
like($error, qr/await_worker/, 'the error says what to do instead');
$pool->wait_quiet;
$pool->sql('drop index if exists i');
is($pool->sql(<<'SQL'), 'succeeded|t', 'CALL await_worker waits without one');
select worker_pool.start_worker('create index concurrently i on t (n)') as id \gset
call worker_pool.await_worker(:id);
select worker_pool.wait_worker(:id), indisvalid from pg_index where indexrelid = 'i'::regclass;
SQL
is($pool->sql(q{select worker_pool.run('vacuum t')}), 'VACUUM', 'VACUUM through run');
$pool->fails_ok('25001', 'begin; call worker_pool.await_worker(1)', 'await_worker in a transaction block');
$pool->forget_outcomes;
$pool->nothing_left_ok('nothing is left');

# --- four slots ---------------------------------------------------------------------------------------------

$session->quit;
$other->quit;
$pool->settings('worker_pool.max_workers' => 4);
$pool->restart;
$pool->wait_quiet;
# each of the four runs before the first of them calls
$session = $pool->session;
$session->query_safe('select pg_advisory_lock(1)');
my @ids = split /\n/, $pool->sql(<<'SQL');
select worker_pool.start_worker($$do 'begin perform pg_advisory_lock_shared(1); perform worker_pool.run(''select 1''); end'$$)
from generate_series(1, 4)
SQL
$pool->wait_until(q{(select count(*) = 4 from pg_locks where locktype = 'advisory' and not granted)});
$session->query_safe('select pg_advisory_unlock(1)');
my @states = split /\n/, $pool->sql('select worker_pool.wait_worker(id) from unnest(array[' . join(',', @ids) . ']::bigint[]) id');
cmp_ok(scalar(grep { $_ eq 'failed' } @states), '>=', 1, 'four commands on four slots that each call run: one gives up at least');
cmp_ok(scalar(grep { $_ eq 'succeeded' || $_ eq 'failed' } @states), '==', 4, 'and each of them ends');
is($pool->sql(q{select distinct sqlstate from worker_pool.commands where state = 'failed'}), '40P01', 'with 40P01');
$pool->forget_outcomes;
is($pool->sql(q{select worker_pool.run($$select worker_pool.run($i$select worker_pool.run('select 1')$i$)$$)}), 'SELECT 1',
	'a chain that fits is none');
$pool->fails_ok('40P01',
	q{select worker_pool.run($a$select worker_pool.run($b$select worker_pool.run($c$select worker_pool.run($d$select worker_pool.run('select 1')$d$)$c$)$b$)$a$)},
	'a chain of five in four slots is');

# the limit of the database is what is full
$pool->configure('worker_pool.max_workers_per_database' => 1);
$pool->wait_until(q{(select free + idle = max_workers from worker_pool.status)});
$pool->fails_ok('40P01', q{select worker_pool.run($$select worker_pool.run('select 1')$$)}, 'max_workers_per_database');
is($pool->sql(q{select worker_pool.run($$select worker_pool.run('select 1', database => 'x')$$)}), 'SELECT 1',
	'another database is free');
$pool->configure('worker_pool.max_workers_per_database' => 0);

# the limit of the role
$pool->sql('create role alice login; grant usage on schema worker_pool to alice; alter role alice set worker_pool.max_workers_per_role = 1');
$pool->fails_ok('40P01', q{select worker_pool.run($$select worker_pool.run('select 1')$$, run_as => 'alice')}, 'max_workers_per_role');

# two sessions, crosswise
$pool->sql('create table a (); create table b ()');
$other = $pool->session;
$session->query_safe('begin; lock table a');
$other->query_safe('begin; lock table b');
$session->send(q{select worker_pool.run('select count(*) from b')});
$pool->wait_until(q{(select count(*) = 1 from pg_stat_activity where wait_event_type = 'Lock')});
$other->send(q{select worker_pool.run('select count(*) from a')});
$other->receive;
my $first = $other->sqlstate;
$other->query_safe('rollback') if $first;
$session->receive;
like($first . $session->sqlstate, qr/^(40P01)+$/, 'two sessions whose commands want each other\'s locks') or diag($session->{error});
$_->quit for ($session, $other);
$pool->wait_quiet;
$pool->forget_outcomes;
$pool->nothing_left_ok('nothing is left');
$pool->finish;
done_testing;
