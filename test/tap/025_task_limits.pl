
# Limits: a ready queue that overflows, and is healed in order; roles, queues and reserved slots; what the
# history keeps; NOTIFY.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);
use WorkerPool;

my $items = 32_768;
my $pool = WorkerPool->make('limits', settings => { 'worker_pool.idle_timeout' => '1h', 'worker_pool.reserved_workers' => 1 });

$pool->sql(<<'SQL');
create role alice login;
create role bob login;
grant usage on schema worker_pool to public;
create table effect (n bigint generated always as identity, id bigint, priority int, who name default current_user);
grant all on effect to public;
create database flood;
SQL
$pool->sql(<<'SQL', db => 'flood');
create extension worker_pool;
grant usage on schema worker_pool to public;
create table effect (n bigint generated always as identity, id bigint, priority int, who name default current_user);
grant all on effect to public;
SQL

# So many tasks in one transaction, with priorities in turn.
sub flood
{
	my ($count, %options) = @_;
	my $more = $options{more} // '';

	$pool->sql("select count(worker_pool.enqueue('insert into effect (id, priority) values (worker_pool.current_task(), \$1)', worker_pool.args(g % 3), priority => g % 3, history => 'off'$more)) from generate_series(1, $count) g", db => $options{db} // 'flood', user => $options{user});
}

sub runs_ok
{
	my ($sql, $name, %options) = @_;
	my $id = $pool->sql("select worker_pool.enqueue($sql)", %options);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($pool->sql("select worker_pool.wait_task($id, '10s')", %options), 'succeeded', $name)
	  or diag($pool->sql("select * from worker_pool.explain_task($id)", %options));
}

# --- overflow ------------------------------------------------------------------------------------------------

# A paused database that has more than memory holds: the others do not notice.
$pool->sql('select worker_pool.pause()', db => 'flood');
flood($_) for (10_000) x 4;
$pool->becomes_ok("(select sum(waiting) > $items * 0.9 from worker_pool.queues)", 'a flood fills the ready queue', db => 'flood');
runs_ok(q{'select 1'}, 'a task of another database runs meanwhile');
$pool->sql('select worker_pool.schedule($$tick$$, $$1 second$$, $$insert into effect (id) values (-1)$$)');
$pool->becomes_ok('exists (select from effect where id = -1)', 'so do its schedules');
$pool->sql(q{select worker_pool.unschedule('tick')});
my $mark = $pool->sql(q{select worker_pool.enqueue('insert into effect (id, priority) values (worker_pool.current_task(), 9)', priority => 9)}, db => 'flood');
# one worker: the order in which they begin is that of their effects
$pool->configure('worker_pool.max_workers_per_database' => 1);
my $start = time;
$pool->sql('select worker_pool.resume()', db => 'flood');
runs_ok(q{'select 1'}, 'and when the flood runs');
$pool->becomes_ok('not exists (select from worker_pool.tasks)', 'the flood runs to its end', db => 'flood', limit => 40);
note(sprintf('%.1f s for 40,000 tasks', time - $start));
is($pool->sql('select count(*) || $$,$$ || count(distinct id) from effect', db => 'flood'), '40001,40001', 'each once');
is($pool->sql('select id from effect order by n limit 1', db => 'flood'), $mark, 'the best came first, though it came last');
is($pool->sql('select count(*) from (select (-priority, id) < lag((-priority, id)) over (order by n) as wrong from effect) o where wrong', db => 'flood'),
	0, 'in order: priority, due time, id') or diag($pool->sql('select * from (select *, (-priority, id) < lag((-priority, id)) over (order by n) as wrong from effect) o where wrong order by n limit 5', db => 'flood'));
$pool->configure('worker_pool.max_workers_per_database' => 0);

# Two roles; the second has few, and the first a flood, which takes about a second.
$pool->configure('worker_pool.fairness_interval' => '50ms');
$pool->sql('truncate effect', db => 'flood');
$pool->sql('select worker_pool.pause()', db => 'flood');
flood(36_000, user => 'alice');
flood(200, user => 'bob');
$pool->sql('select worker_pool.resume()', db => 'flood');
$pool->becomes_ok(q{(select count(*) = 200 from effect where who = 'bob')}, 'a role with few tasks gets its turn', db => 'flood');
$pool->becomes_ok('not exists (select from worker_pool.tasks)', 'the flood of the other runs to its end', db => 'flood', limit => 40);
is($pool->sql(q{select (select min(n) from effect where who = 'bob') < (select max(n) from effect where who = 'alice')}, db => 'flood'),
	't', 'and his turn came within it');
$pool->configure('worker_pool.fairness_interval' => '1s');
$pool->becomes_ok('not exists (select from worker_pool.tasks)', 'which ends, too', db => 'flood', limit => 40);
is($pool->sql('select count(*) || $$,$$ || count(distinct id) from effect', db => 'flood'), '36200,36200', 'each once');

# A held snapshot keeps every dead row: the last tasks are taken as fast as the first.
$pool->sql('truncate effect', db => 'flood');
my $snapshot = $pool->session(db => 'flood');
$snapshot->query_safe('begin isolation level repeatable read; select count(*) from effect');
$pool->sql('select worker_pool.pause()', db => 'flood');
$pool->sql(q{create table pace (at timestamptz default clock_timestamp())}, db => 'flood');
$pool->sql(q{select count(worker_pool.enqueue('insert into pace default values', history => 'off')) from generate_series(1, 20000)}, db => 'flood');
$pool->sql('select worker_pool.resume()', db => 'flood');
$pool->becomes_ok('not exists (select from worker_pool.tasks)', 'tasks run under a held snapshot', db => 'flood', limit => 40);
my ($first, $last) = split /\|/, $pool->sql(q{select extract(epoch from max(at) filter (where r <= 5000) - min(at)), extract(epoch from max(at) - max(at) filter (where r <= 15000)) from (select at, row_number() over (order by at) as r from pace) p}, db => 'flood');
cmp_ok($last, '<', 4 * $first + 0.5, sprintf('the last 5,000 in %.2f s, the first in %.2f s', $last, $first));
$snapshot->query_safe('rollback');

# --- limits --------------------------------------------------------------------------------------------------

$pool->sql('alter role alice set worker_pool.max_tasks_per_role = 5');
my $later = q{run_at => now() + interval '1 hour'};
$pool->sql("select worker_pool.enqueue('select 1', $later) from generate_series(1, 5)", user => 'alice');
$pool->fails_ok('53400', q{select worker_pool.enqueue('select 1')}, 'max_tasks_per_role', user => 'alice', like => qr/max_tasks_per_role/);
$pool->fails_ok('53400', q{select worker_pool.enqueue('select 1', run_as => 'alice')}, 'also by another who runs as it');
runs_ok(q{'select 1'}, 'not for others', user => 'bob');
runs_ok(q{'select 1'}, 'in each database by itself', user => 'alice', db => 'flood');
$pool->sql('select worker_pool.cancel_task(min(id)) from worker_pool.tasks');
$pool->sql("select worker_pool.enqueue('select 1', $later)", user => 'alice');
pass('one less: one more');
$pool->fails_ok('53400', "select worker_pool.enqueue('select 1', $later) from generate_series(1, 100)", 'within a statement, too', user => 'alice');
$pool->sql('select worker_pool.cancel_task(id) from worker_pool.tasks');
$pool->sql('alter role alice reset worker_pool.max_tasks_per_role');

# One slot of four is for commands.
my $gate = $pool->session;
$gate->query_safe('select pg_advisory_lock(5)');
my $blocked = q{'select pg_advisory_xact_lock_shared(5)', history => 'off'};
my $running = sub { my ($where) = @_; return "(select count(*) from pg_locks where locktype = 'advisory' and objid = 5 and not granted)$where"; };
$pool->sql("select worker_pool.enqueue($blocked) from generate_series(1, 10)");
$pool->wait_until($running->(' = 3'));
is($pool->sql(q{select worker_pool.run('select 1')}), 'SELECT 1', 'reserved_workers: a command has its slot');
is($pool->sql('select count(*) from worker_pool.workers where kind = $$task$$ and state = $$running$$'), 3, 'and tasks the others');
like($pool->sql(q{select string_agg(reason || coalesce(detail, '') || coalesce(hint, ''), ' ') from worker_pool.tasks, worker_pool.explain_task(id) where state = 'ready'}), qr/reserved|slot|worker/, 'explain_task tells why the rest wait');
$pool->configure('worker_pool.reserved_workers' => 0);
$pool->wait_until($running->(' = 4'));
pass('without the reserve they have all');
$pool->configure('worker_pool.reserved_workers' => 1);
$gate->query_safe('select pg_advisory_unlock(5)');
$pool->becomes_ok('not exists (select from worker_pool.tasks)', 'they end');

$pool->sql('alter role alice set worker_pool.max_workers_per_role = 1');
$gate->query_safe('select pg_advisory_lock(5)');
$pool->sql("select worker_pool.enqueue($blocked) from generate_series(1, 5)", user => 'alice');
$pool->wait_until($running->(' = 1'));
runs_ok(q{'select 1'}, 'max_workers_per_role: others run', user => 'bob');
is($pool->sql(q{select count(*) from worker_pool.tasks where state = 'running'}), 1, 'of the limited role one');
$gate->query_safe('select pg_advisory_unlock(5)');
$pool->becomes_ok('not exists (select from worker_pool.tasks)', 'all in the end');
$pool->sql('alter role alice reset worker_pool.max_workers_per_role');

# --- history -------------------------------------------------------------------------------------------------

sub history_of
{
	my ($sql) = @_;
	my $id = $pool->sql("select worker_pool.enqueue($sql, max_attempts => 1)");

	$pool->wait_until("not exists (select from worker_pool.tasks where id = $id)");
	return $pool->sql("select coalesce(string_agg(state, ','), 'none') from worker_pool.task_history where id = $id");
}

for my $case ([ all => 'succeeded', 'failed' ], [ errors => 'none', 'failed' ], [ off => 'none', 'none' ])
{
	my ($mode, $good, $bad) = @$case;

	$pool->configure('worker_pool.history' => $mode);
	is(history_of(q{'select 1'}), $good, "history $mode: a success");
	is(history_of(q{'select 1/0'}), $bad, "history $mode: a failure");
	is(history_of(q{'select 1', history => 'all'}), 'succeeded', "history $mode: a task's own wish comes first");
}
$pool->configure('worker_pool.history' => 'all');

# Purged: what is older than its retention; the last ten runs of a schedule stay.
$pool->sql(q{select worker_pool.schedule('kept', '0 0 1 1 *', 'select 1')});
for (1 .. 13)
{
	my $id = $pool->sql(q{select worker_pool.run_schedule('kept')});

	$pool->sql("select worker_pool.wait_task($id, '10s')");
}
$pool->sql('select worker_pool.enqueue($$select 1$$) from generate_series(1, 1500)');
$pool->becomes_ok('not exists (select from worker_pool.tasks)', 'a history');
my $failed = $pool->sql(q{select count(*) from worker_pool.task_history where state <> 'succeeded'});
$pool->configure('worker_pool.history_retention' => '1s');
$pool->wait_until(q{clock_timestamp() > (select max(finished_at) from worker_pool.task_history) + interval '1 second'});
# the visit after a start looks after it, without waiting for the hour
$pool->restart;
$pool->becomes_ok(q{(select count(*) = 10 and count(*) filter (where schedule = 'kept') = 10 from worker_pool.task_history where state = 'succeeded')}, 'old successes are purged but for the last 10 runs of a schedule')
  or diag($pool->sql('select schedule, state, count(*) from worker_pool.task_history group by 1, 2'));
is($pool->sql(q{select count(*) from worker_pool.task_history where state <> 'succeeded'}), $failed, 'failures are kept for longer');
$pool->sql(q{select worker_pool.unschedule('kept')});
$pool->configure('worker_pool.history_retention_failed' => '1s');
$pool->restart;
$pool->becomes_ok('not exists (select from worker_pool.task_history)', 'the runs of a schedule that is dropped go like others; failures after their time');

# --- NOTIFY --------------------------------------------------------------------------------------------------

my $listener = $pool->session;
$listener->query_safe('listen worker_pool');

sub heard
{
	my ($pattern) = @_;
	my $text = '';

	for (my $end = time + 10; time < $end;)
	{
		$text .= $listener->query('select 1') . $listener->{error};
		return 1 if $text =~ $pattern;
		usleep(10_000);
	}
	diag("heard: $text");
	return 0;
}

runs_ok(q{'select 1'}, 'notify is off');
unlike($listener->query('select 1') . $listener->{error}, qr/notification/, 'nothing is heard');
$pool->configure('worker_pool.notify' => 'on');
my $id = $pool->sql(q{select worker_pool.enqueue('select 1', name => 'a "name"')});
ok(heard(qr/"worker_pool".*\{"id":$id,"state":"succeeded","name":"a \\"name\\""\}/), 'the end of a task is told by NOTIFY');
$id = $pool->sql(q{select worker_pool.enqueue('select 1/0', max_attempts => 1)});
ok(heard(qr/\{"id":$id,"state":"failed","name":null\}/), 'a failure, too');
$id = $pool->sql("select worker_pool.enqueue('select 1', $later)");
$pool->sql("select worker_pool.cancel_task($id)");
ok(heard(qr/\{"id":$id,"state":"cancelled","name":null\}/), 'and a cancel');
$pool->configure('worker_pool.history' => 'off');
$id = $pool->sql(q{select worker_pool.enqueue('select 1')});
ok(heard(qr/\{"id":$id,"state":"succeeded"/), 'without history as well');

$pool->slots_ok;
$pool->finish;
done_testing();
