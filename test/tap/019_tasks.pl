
# Durable tasks: transactional, woken by every kind of commit, retried, keyed, limited, waited for.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use WorkerPool;

my $pool = WorkerPool->make('tasks', settings => { 'worker_pool.idle_timeout' => '1h', max_prepared_transactions => 8 });

$pool->sql('create table effect (n bigint, at timestamptz default clock_timestamp())');

my $n = 0;

# enqueue('options'): a task that writes the next number; returns (id, number).
sub enqueue
{
	my ($options) = @_;

	$n++;
	return ($pool->sql("select worker_pool.enqueue('insert into effect values (\$1)', array['$n']" . ($options ? ", $options" : '') . ')'), $n);
}

sub effects
{
	my ($number) = @_;

	return $pool->sql("select count(*) from effect where n = $number");
}

sub ends_ok
{
	my ($id, $state, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($pool->sql("select worker_pool.wait_task($id, '30s')"), $state, $name)
	  or diag($pool->sql("select * from worker_pool.explain_task($id)"), $pool->sql("select * from worker_pool.task_history where id = $id"));
}

# --- transactional ---------------------------------------------------------------------------------------

my ($id, $number) = enqueue();
ends_ok($id, 'succeeded', 'a task runs');
is(effects($number), 1, 'and has its effect');
is($pool->sql("select count(*) from worker_pool.tasks where id = $id"), 0, 'it has left the hot table');
is($pool->sql("select state, is_final, attempt from worker_pool.task_history where id = $id"), 'succeeded|t|1', 'for the history');

$pool->sql(q{begin; select worker_pool.enqueue('insert into effect values (-1)'); rollback});
$pool->sql(q{begin; savepoint a; select worker_pool.enqueue('insert into effect values (-2)'); rollback to a;
	savepoint b; select worker_pool.enqueue('insert into effect values (-3)'); release b; commit});
$pool->becomes_ok('exists (select from effect where n = -3)', 'a released savepoint keeps its task');
is(effects('any (array[-1, -2])'), 0, 'what was rolled back does not run');
is($pool->sql('select count(*) from worker_pool.tasks'), 0, 'and leaves nothing');

# --- edges -----------------------------------------------------------------------------------------------

$pool->sql(q{begin; select worker_pool.enqueue('insert into effect values (-10)'); prepare transaction 'p1'});
$pool->sql(q{commit prepared 'p1'});
$pool->becomes_ok('exists (select from effect where n = -10)', 'COMMIT PREPARED wakes');
$pool->sql(q{begin; select worker_pool.enqueue('insert into effect values (-11)'); prepare transaction 'p2'});
$pool->sql(q{rollback prepared 'p2'});

$pool->sql(q{select worker_pool.enqueue('insert into effect values ($1)', array[g::text]) from generate_series(-1200, -1001) g});
$pool->becomes_ok('(select count(distinct n) = 200 and count(*) = 200 from effect where n between -1200 and -1001)', 'more tasks than a transaction can name, each once');

# a function made by the same transaction is there when the task runs
$pool->sql(<<'SQL');
begin;
create function made_here() returns void language sql as 'insert into effect values (-20)';
select worker_pool.enqueue('select made_here()', max_attempts => 1);
commit
SQL
$pool->becomes_ok('exists (select from effect where n = -20)', 'a task sees what its transaction made');

# COPY by a superuser, from a dump of the table
$pool->sql(q{select worker_pool.pause()});
($id, $number) = enqueue();
$pool->sql(qq{create table kept as select * from worker_pool.task where id = $id});
$pool->sql(qq{select worker_pool.cancel_task($id)});
my $file = $pool->data_dir . '/../kept.copy';
$pool->sql("copy kept to '$file'");
$pool->sql('select worker_pool.resume()');
$pool->sql("copy worker_pool.task from '$file'");
$pool->becomes_ok("(select count(*) = 1 from effect where n = $number)", 'COPY into the table wakes');

# --- retry -----------------------------------------------------------------------------------------------

$pool->sql('create sequence tries');
$id = $pool->sql(q{select worker_pool.enqueue($$do 'begin if nextval(''tries'') < 3 then raise ''try %'', currval(''tries'') using errcode = ''P0042'', detail = ''the detail'', hint = ''the hint''; end if; insert into effect values (-30); end'$$, retry_delay => '10ms')});
ends_ok($id, 'succeeded', 'a task that fails twice succeeds the third time');
is(effects(-30), 1, 'with one effect');
is( $pool->sql("select attempt, state, is_final, sqlstate, message, detail, hint, context like '%PL/pgSQL%' from worker_pool.task_history where id = $id order by attempt"),
	"1|failed|f|P0042|try 1|the detail|the hint|t\n2|failed|f|P0042|try 2|the detail|the hint|t\n3|succeeded|t|||||", 'every attempt is kept with its error');

my $log = $pool->log_end;
$id = $pool->sql(q{select worker_pool.enqueue('select 1/0', max_attempts => 2, retry_delay => '10ms', name => 'divide')});
ends_ok($id, 'failed', 'a task that fails each time fails finally');
$pool->becomes_ok("(select count(*) = 2 from worker_pool.task_history where id = $id)", 'after its attempts');
my @warnings = $pool->log_since($log) =~ /^.*WARNING:.*$/mg;
is(scalar(@warnings), 1, 'one WARNING') or diag(join("\n", @warnings));
like($warnings[0], qr/$id.*divide.*22012/, 'with id, name and SQLSTATE');
unlike($warnings[0], qr{1/0}, 'and without SQL');
is($pool->sql("select worker_pool.retry_task($id)"), 't', 'retry_task from history');
ends_ok($id, 'failed', 'tries it again');

$id = $pool->sql(q{select worker_pool.enqueue('select pg_sleep(60)', timeout => '100ms', max_attempts => 1)});
ends_ok($id, 'failed', 'timeout');
like($pool->sql("select sqlstate from worker_pool.task_history where id = $id"), qr/57014/, 'is 57014');

# --- what an atomic task may not do ------------------------------------------------------------------------

$pool->fails_ok('2D000', "select worker_pool.enqueue('insert into effect values (-40); commit; insert into effect values (-40)')", 'COMMIT in an atomic task');
$pool->fails_ok('2D000', q{select worker_pool.enqueue($$prepare transaction 'x'$$)}, 'PREPARE TRANSACTION in an atomic task');
$pool->fails_ok('0A000', "select worker_pool.enqueue('vacuum effect', atomic => true)", 'VACUUM as an atomic task');
$id = $pool->sql(q{select worker_pool.enqueue('vacuum effect')});
ends_ok($id, 'succeeded', 'VACUUM is not atomic by itself');
$id = $pool->sql(q{select worker_pool.enqueue($$do 'begin insert into effect values (-41); commit; end'$$, max_attempts => 1)});
ends_ok($id, 'failed', 'COMMIT in a DO block of an atomic task');
is(effects(-41), 0, 'leaves no effect');
$id = $pool->sql(q{select worker_pool.enqueue($$do 'begin insert into effect values (-42); commit; end'$$, atomic => false)});
ends_ok($id, 'succeeded', 'atomic => false may commit');
is(effects(-42), 1, 'with its effect');
$id = $pool->sql(q{select worker_pool.enqueue('savepoint a; insert into effect values (-43); rollback to a; insert into effect values (-44)')});
ends_ok($id, 'succeeded', 'savepoints are allowed');
is(effects(-43) . effects(-44), '01', 'and work');
$id = $pool->sql(q{select worker_pool.enqueue($$insert into effect select case current_setting('transaction_isolation') when 'serializable' then -45 else -46 end$$, settings => '{"default_transaction_isolation": "serializable"}')});
ends_ok($id, 'succeeded', 'an isolation level of its own');
is(effects(-45), 1, 'holds for the command');

# a deferred constraint comes after the mark and takes it back
$pool->sql('create table parent (id int primary key); create table child (id int references parent deferrable initially deferred)');
$id = $pool->sql(q{select worker_pool.enqueue('insert into child values (1)', max_attempts => 1)});
ends_ok($id, 'failed', 'a deferred constraint fails the attempt');
is($pool->sql("select sqlstate from worker_pool.task_history where id = $id"), '23503', 'with its own error');
is($pool->sql('select count(*) from child'), 0, 'and no effect');

# a task cannot get in the way of its own mark
$id = $pool->sql(q{select worker_pool.enqueue($$insert into effect values (-47); set transaction read only; set local row_security = off; set search_path = nowhere; set local lock_timeout = 1$$)});
ends_ok($id, 'succeeded', 'what a task sets does not touch the mark');
is(effects(-47), 1, 'nor its effect');

# --- keys ------------------------------------------------------------------------------------------------

my @ids = split /\n/, $pool->sql(q{select worker_pool.enqueue('insert into effect values (-50)', key => 'k', run_at => now() + interval '1s') from generate_series(1, 3)});
is($ids[0] . $ids[1], $ids[1] . $ids[2], 'keep returns the waiting task');
ends_ok($ids[0], 'succeeded', 'it runs');
is(effects(-50), 1, 'once');
$id = $pool->sql(q{select worker_pool.enqueue('insert into effect values (-51)', key => 'k', run_at => now() + interval '1 hour')});
is($pool->sql(q{select worker_pool.enqueue('insert into effect values (-52)', key => 'k', on_conflict => 'replace')}), $id, 'replace keeps the id');
ends_ok($id, 'succeeded', 'runs the new command');
is(effects(-51) . effects(-52), '01', 'and only that');
$id = $pool->sql(q{select worker_pool.enqueue('select 1', key => 'k', run_at => now() + interval '1 hour')});
$pool->fails_ok('23505', q{select worker_pool.enqueue('select 2', key => 'k', on_conflict => 'error')}, 'error');
$pool->sql("select worker_pool.cancel_task($id)");
my $again = $pool->sql(q{select worker_pool.enqueue('select 2', key => 'k')});
isnt($again, $id, 'a cancelled task has given its key back');
ends_ok($again, 'succeeded', 'the next runs');

# one runs, one more may wait
$pool->sql('create table gate (n int); insert into gate values (1)');
my $session = $pool->session;
$session->query_safe('begin; lock table gate');
my $first = $pool->sql(q{select worker_pool.enqueue('select count(*) from gate', key => 'g')});
$pool->wait_until("(select state = 'running' from worker_pool.tasks where id = $first)");
my $second = $pool->sql(q{select worker_pool.enqueue('select count(*) from gate', key => 'g', run_at => now() + interval '1 hour')});
isnt($second, $first, 'while one runs, one more may wait');
is($pool->sql(q{select worker_pool.enqueue('select count(*) from gate', key => 'g')}), $second, 'but only one');
like($pool->sql("select string_agg(reason || ' ' || coalesce(detail, ''), ' ') from worker_pool.explain_task($first)"), qr/\d/, 'explain_task tells what blocks it');
$session->query_safe('commit');
ends_ok($first, 'succeeded', 'the first ends');
$pool->sql("select worker_pool.cancel_task($second)");

# a keep in an open transaction keeps the task from beginning
$id = $pool->sql(q{select worker_pool.enqueue('insert into effect values (-55)', key => 'held', run_at => now() + interval '300ms')});
$session->query_safe(q{begin; select worker_pool.enqueue('select 1', key => 'held')});
$pool->sql('select pg_sleep(1)');
is(effects(-55), 0, 'it does not begin before the transaction that kept it has ended');
$session->query_safe('rollback');
ends_ok($id, 'succeeded', 'then it begins, also after a rollback');

# --- concurrency keys and queues -----------------------------------------------------------------------------

$pool->sql(q{select worker_pool.enqueue($$do 'begin perform pg_advisory_xact_lock(1) where not pg_try_advisory_xact_lock(1); if not found then null; else raise ''overlap''; end if; perform pg_sleep(0.01); end'$$, concurrency_key => 'one', max_attempts => 1) from generate_series(1, 20)});
$pool->becomes_ok('not exists (select from worker_pool.tasks)', 'all of a concurrency key run');
is($pool->sql(q{select count(*) from worker_pool.task_history where state = 'failed' and message = 'overlap'}), 0, 'one at a time');

$pool->sql(q{select worker_pool.create_queue('narrow', max_running => 1)});
$session->query_safe('begin; lock table gate');
@ids = split /\n/, $pool->sql(q{select worker_pool.enqueue('select count(*) from gate', queue => 'narrow') from generate_series(1, 3)});
$pool->wait_until(q{(select count(*) = 1 from worker_pool.tasks where queue = 'narrow' and state = 'running')});
like($pool->sql("select string_agg(reason, ' ') from worker_pool.explain_task($ids[2])"), qr/narrow|queue/, 'explain_task names the queue');
$session->query_safe('commit');
ends_ok($_, 'succeeded', 'the queue drains') for @ids;
$pool->fails_ok('42704', q{select worker_pool.enqueue('select 1', queue => 'nowhere')}, 'an unknown queue');

# --- dependencies ----------------------------------------------------------------------------------------

my ($a) = enqueue(q{run_at => now() + interval '300ms'});
my ($b) = enqueue("depends_on => array[$a]");
is($pool->sql("select state from worker_pool.tasks where id = $b"), 'blocked', 'a dependant is blocked');
ends_ok($b, 'succeeded', 'and runs after what it waits for');
is($pool->sql("select (select finished_at from worker_pool.task_history where id = $a) <= (select started_at from worker_pool.task_history where id = $b)"), 't', 'in that order');
($b) = enqueue("depends_on => array[$a]");
ends_ok($b, 'succeeded', 'history counts as success');
$a = $pool->sql(q{select worker_pool.enqueue('select 1/0', max_attempts => 1, run_at => now() + interval '200ms')});
($b, $number) = enqueue("depends_on => array[$a]");
my ($c) = enqueue("depends_on => array[$b]");
ends_ok($c, 'cancelled', 'a dependency that fails cancels the dependants');
is(effects($number), 0, 'they have not run');
like($pool->sql("select coalesce(message, '') || coalesce(detail, '') from worker_pool.task_history where id = $b"), qr/$a/, 'with the reason');

# --- cancel ----------------------------------------------------------------------------------------------

$id = $pool->sql(q{select worker_pool.enqueue('select pg_sleep(600)')});
$pool->wait_until("(select state = 'running' from worker_pool.tasks where id = $id)");
is($pool->sql("select worker_pool.cancel_task($id)"), 't', 'cancel_task of a running task');
ends_ok($id, 'cancelled', 'ends it');
is($pool->sql("select worker_pool.cancel_task($id)"), 'f', 'again: nothing to do');
($id, $number) = enqueue(q{run_at => now() + interval '1 hour'});
$pool->sql("begin; select worker_pool.cancel_task($id); rollback");
is($pool->sql("select state from worker_pool.tasks where id = $id"), 'scheduled', 'cancelling a waiting task is transactional');
$pool->sql("select worker_pool.cancel_task($id)");
ends_ok($id, 'cancelled', 'cancelled');
$id = $pool->sql(q{select worker_pool.enqueue('select worker_pool.cancel_task(worker_pool.current_task())', max_attempts => 1)});
ends_ok($id, 'failed', 'a task cannot cancel itself');
is($pool->sql("select sqlstate from worker_pool.task_history where id = $id"), '55000', 'in that word');
$pool->fails_ok('42704', 'select worker_pool.cancel_task(999999999)', 'an unknown task');
$pool->fails_ok('55000', q{begin; select worker_pool.wait_task(worker_pool.enqueue('select 1')); commit}, 'waiting for a task of the same transaction');

# --- pause, drain, resume ----------------------------------------------------------------------------------

$pool->sql(q{select worker_pool.pause(reason => 'incident 4711')});
($id) = enqueue();
$pool->sql('select pg_sleep(0.3)');
is($pool->sql("select state from worker_pool.tasks where id = $id"), 'ready', 'a paused database begins nothing');
like($pool->sql("select string_agg(reason || coalesce(detail, ''), ' ') from worker_pool.explain_task($id)"), qr/4711/, 'explain_task tells why');
$pool->restart;
$pool->wait_quiet;
is($pool->sql("select state from worker_pool.tasks where id = $id"), 'ready', 'a pause survives a restart');
$pool->sql('select worker_pool.resume()');
ends_ok($id, 'succeeded', 'resume goes on');
$id = $pool->sql(q{select worker_pool.enqueue('select pg_sleep(600)')});
$pool->wait_until("(select state = 'running' from worker_pool.tasks where id = $id)");
is($pool->sql(q{select worker_pool.drain(timeout => '200ms')}), 1, 'drain returns what still runs');
$pool->sql("select worker_pool.cancel_task($id)");
is($pool->sql(q{select worker_pool.drain(timeout => '10s')}), 0, 'and waits');
$pool->sql('select worker_pool.resume()');

# --- results and progress ------------------------------------------------------------------------------------

$id = $pool->sql(q{select worker_pool.enqueue($$select 1 as a, 'x' as b union all select 2, null$$)});
ends_ok($id, 'succeeded', 'a task with rows');
is($pool->sql("select worker_pool.task_result($id)"), '[{"a": 1, "b": "x"}, {"a": 2, "b": null}]', 'task_result');
$id = $pool->sql(q{select worker_pool.enqueue($$do 'begin perform worker_pool.report_progress(0.5, ''half''); perform pg_sleep(600); end'$$)});
$pool->becomes_ok("exists (select from worker_pool.workers where task_id = $id and progress = 0.5 and message = 'half')", 'progress shows');
$pool->sql("select worker_pool.cancel_task($id)");
ends_ok($id, 'cancelled', 'and its task is cancelled');

$pool->slots_ok;
$pool->sql('checkpoint');
is($pool->sql('select count(*) from (select n from effect where n < 0 or n > 0 group by n having count(*) > 1) d'), 0, 'no effect came twice');
$pool->finish;
done_testing();
