
# Roles, databases and the extension change or go while they have tasks: these fail with a reason or run again,
# nothing else is disturbed. And roles whose settings could get into the way of the book-keeping.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use POSIX ();
use Test::More;
use Time::HiRes qw(time usleep);
use WorkerPool;

my $pool = WorkerPool->make('task_roles', settings => { 'worker_pool.idle_timeout' => '1h', 'worker_pool.max_workers' => 6, max_prepared_transactions => 4 });

$pool->sql(<<'SQL');
create role alice login;
create role bob login;
grant usage on schema worker_pool to public;
create table effect (what text, at timestamptz default clock_timestamp());
grant all on effect to public;
SQL

sub ends_ok
{
	my ($id, $state, $name, %options) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($pool->sql("select worker_pool.wait_task($id, '15s')", %options), $state, $name)
	  or diag($pool->sql("select * from worker_pool.explain_task($id)", %options), $pool->sql("select attempt, state, sqlstate, message, detail from worker_pool.task_history where id = $id", %options));
}

sub end_of
{
	my ($id, %options) = @_;

	return $pool->sql("select coalesce(sqlstate, '') || ' ' || coalesce(message, '') || ' ' || coalesce(detail, '') || ' ' || coalesce(hint, '') from worker_pool.task_history where id = $id and is_final", %options);
}

# --- a role that may no longer -------------------------------------------------------------------------------

# Its task waits while the change comes; once with a warm process of the role, once without.
sub fails_with
{
	my ($name, $role, $change, $undo, $pattern) = @_;

	for my $warm (0, 1)
	{
		$pool->sql("create role $role login") unless $pool->sql("select count(*) from pg_roles where rolname = '$role'");
		if ($warm)
		{
			my $first = $pool->sql(q{select worker_pool.enqueue('select 1')}, user => $role);

			ends_ok($first, 'succeeded', "$name: before");
		}
		$pool->sql('select worker_pool.pause()');
		my $id = $pool->sql(q{select worker_pool.enqueue('insert into effect values ($$never$$)', max_attempts => 1)}, user => $role);
		my $neighbour = $pool->sql(q{select worker_pool.enqueue('insert into effect values ($$neighbour$$)')}, user => 'bob');
		$pool->sql($change);
		$pool->sql('select worker_pool.resume()');
		ends_ok($id, 'failed', "$name: its task fails" . ($warm ? ', with a warm process' : ''));
		like(end_of($id), $pattern, "$name: with the reason");
		ends_ok($neighbour, 'succeeded', "$name: others run");
		$pool->sql($undo);
	}
	is($pool->sql(q{select count(*) from effect where what = 'never'}), 0, "$name: nothing was run");
}

fails_with('DROP ROLE', 'carol', 'drop role carol', 'select 1', qr/carol|role/);
fails_with('NOLOGIN', 'carol', 'alter role carol nologin', 'alter role carol login', qr/^28000 .*carol.*not permitted to log in/);
fails_with('REVOKE CONNECT', 'carol', 'revoke connect on database postgres from public; grant connect on database postgres to alice, bob', 'grant connect on database postgres to public', qr/^42501 .*CONNECT|^42501 .*database/);
fails_with('RENAME', 'carol', 'alter role carol rename to dave', 'alter role dave rename to carol', qr/carol|dave/);
# another role with the name of one that is gone is not that one
fails_with('DROP and CREATE ROLE', 'carol', 'drop role carol; create role carol login', 'select 1', qr/carol|role/);

# A schedule of such a role: the task is made and fails, the others go on.
$pool->sql('create role erin login');
$pool->sql(q{select worker_pool.schedule('erins', '1 second', 'insert into effect values ($$erin$$)', max_attempts => 1)}, user => 'erin');
$pool->sql(q{select worker_pool.schedule('bobs', '1 second', 'insert into effect values ($$bob$$)', max_attempts => 1)}, user => 'bob');
$pool->wait_until(q{exists (select from effect where what = 'erin')});
my $offset = $pool->log_end;
$pool->sql('alter role erin nologin');
$pool->becomes_ok(q{exists (select from worker_pool.task_history where schedule = 'erins' and state = 'failed' and sqlstate = '28000')}, 'a schedule of a role without LOGIN: its task fails with the reason', limit => 10);
$pool->sql('truncate effect');
$pool->becomes_ok(q{exists (select from effect where what = 'bob')}, 'the schedules of others go on');
# a few starts for each due time, not one after the other
my $starts = () = $pool->log_since($offset) =~ /FATAL: .*"erin" is not permitted to log in/g;
cmp_ok($starts, '<', 50, 'without a storm of starts');
$pool->sql('alter role erin login');
$pool->becomes_ok(q{exists (select from effect where what = 'erin')}, 'and its own, when it may again');
$pool->sql('select worker_pool.unschedule(name) from worker_pool.schedules');

# While it runs: the process goes; whatever it did is rolled back.
my $id = $pool->sql(q{select worker_pool.enqueue('insert into effect values ($$half$$); select pg_sleep(600)', max_attempts => 1)}, user => 'erin');
$pool->wait_until("(select state = 'running' from worker_pool.tasks where id = $id)");
$pool->fails_ok('42501', "select worker_pool.cancel_task($id)", 'a stranger does not cancel it', user => 'bob');
$pool->sql("select worker_pool.cancel_task($id)");
ends_ok($id, 'cancelled', 'a superuser does');

# --- settings of a role --------------------------------------------------------------------------------------

for my $setting (
	[ default_transaction_read_only => 'on' ],
	[ default_transaction_isolation => 'serializable' ],
	[ default_transaction_deferrable => 'on' ],
	[ row_security => 'off' ],
	[ search_path => 'nowhere' ],
	[ statement_timeout => '50ms' ],
	[ lock_timeout => '10ms' ],
	[ idle_in_transaction_session_timeout => '10ms' ],
	[ role => 'bob' ],
	[ session_replication_role => 'replica' ],
	[ synchronous_commit => 'off' ],
	[ client_encoding => 'latin1' ],
	[ check_function_bodies => 'off' ],
	[ transform_null_equals => 'on' ],
	[ enable_indexscan => 'off' ])
{
	my ($name, $value) = @$setting;
	my $set = "$name = $value";

	$pool->sql('grant bob to alice') if $name eq 'role';
	$pool->sql("alter role alice set $name = '$value'");
	my ($good, $bad, $keyed) = map { $pool->sql("select worker_pool.enqueue($_, run_as => 'alice')") }
	  (q{'select 1 as one'}, q{'select 1/0', max_attempts => 2, retry_delay => '1ms'}, qq{'select 2', key => '$name', concurrency_key => '$name'});
	my $behind = $pool->sql("select worker_pool.enqueue('select 3', run_as => 'alice', depends_on => array[$good])");

	ends_ok($good, 'succeeded', "$set: a success is written down");
	is($pool->sql("select worker_pool.task_result($good)"), '[{"one": 1}]', "$set: with its result");
	ends_ok($bad, 'failed', "$set: a failure, too");
	is($pool->sql("select count(*) from worker_pool.task_history where id = $bad and sqlstate = '22012'"), 2, "$set: with each attempt");
	ends_ok($keyed, 'succeeded', "$set: a key is given back");
	ends_ok($behind, 'succeeded', "$set: a dependant is let go");
	if ($name eq 'default_transaction_read_only')
	{
		$id = $pool->sql(q{select worker_pool.enqueue('insert into effect values ($$ro$$)', run_as => 'alice', max_attempts => 1)});
		ends_ok($id, 'failed', "$set: the command itself is held to it");
		like(end_of($id), qr/^25006/, "$set: 25006");
	}
	if ($name eq 'statement_timeout')
	{
		$id = $pool->sql(q{select worker_pool.enqueue('select pg_sleep(60)', run_as => 'alice', max_attempts => 1)});
		ends_ok($id, 'failed', "$set: the command itself is held to it");
		like(end_of($id), qr/^57014/, "$set: 57014");
	}
	if ($name eq 'default_transaction_isolation')
	{
		$pool->sql('create table if not exists hot (n int); truncate hot; insert into hot values (0); grant all on hot to alice');
		$pool->sql(q{select worker_pool.enqueue('update hot set n = n + 1', run_as => 'alice', max_attempts => 200) from generate_series(1, 100)});
		$pool->becomes_ok('not exists (select from worker_pool.tasks)', "$set: many at a row, repeated after 40001");
		is($pool->sql('select n from hot'), 100, "$set: each once");
	}
	$pool->sql("alter role alice reset $name");
}
$pool->sql('revoke bob from alice');

# --- databases -----------------------------------------------------------------------------------------------

# x, with three tasks that run, and a client that goes on enqueueing.
sub with_busy_database
{
	my ($name, $work) = @_;

	$pool->sql('create database x');
	$pool->sql('create extension worker_pool; create table effect (n bigint)', db => 'x');
	$pool->sql(q{select worker_pool.enqueue('insert into effect values (1); select pg_sleep(600)', max_attempts => 1, name => 'sleeper') from generate_series(1, 3) g}, db => 'x');
	$pool->wait_until(q{(select count(*) = 3 from worker_pool.tasks where state = 'running')}, db => 'x');
	my $client = fork // die;
	if ($client == 0)
	{
		my $stop = 0;

		local $SIG{TERM} = sub { $stop = 1 };
		until ($stop)
		{
			eval { $pool->try_sql(q{select worker_pool.enqueue('insert into effect values (0)', max_attempts => 1)}, db => 'x', timeout => 5) };
			usleep(1_000);
		}
		POSIX::_exit(0);
	}
	eval { $work->(); 1 } or fail("$name: $@");
	kill 'TERM', $client;
	waitpid($client, 0);
	$pool->becomes_ok(q{not exists (select from worker_pool.workers where database is null)}, "$name: no worker is left without a database");
	$id = $pool->sql(q{select worker_pool.enqueue('select 1')});
	ends_ok($id, 'succeeded', "$name: tasks of other databases run");
	$pool->slots_ok("$name: every slot is there");
}

# The statement, against sessions of the client that come and go: these are not ours to end.
sub takes
{
	my ($sql, $name) = @_;
	my $start = time;
	my ($status, $out, $error);

	for (1 .. 50)
	{
		my $try = time;

		($status, $out, $error) = $pool->try_sql($sql);
		if ($status == 0)
		{
			cmp_ok(time - $try, '<', 2, sprintf('%s: done in %.2f s', $name, time - $try));
			return;
		}
		last unless $error =~ /55006/;
	}
	fail("$name: $error");
}

with_busy_database('DROP DATABASE', sub {
	takes('drop database x with (force)', 'DROP DATABASE');
	is($pool->sql(q{select count(*) from pg_database where datname = 'x'}), 0, 'it is gone');
	$pool->becomes_ok(q{not exists (select from worker_pool.databases where database = 'x')}, 'also for the pool');
});
with_busy_database('RENAME', sub {
	takes('alter database x rename to y', 'RENAME');
	$pool->becomes_ok(q{(select count(*) = 3 from worker_pool.tasks where state = 'running' and name = 'sleeper')}, 'its tasks run again under the new name', db => 'y');
	is($pool->sql(q{select max(attempt) from worker_pool.tasks where name = 'sleeper'}, db => 'y'), 0, 'and have lost no attempt');
	is($pool->sql(q{select count(*) from worker_pool.task_history where state = 'failed'}, db => 'y'), 0, 'nothing has failed');
	$pool->sql('drop database y with (force)');
});
with_busy_database('ALLOW_CONNECTIONS', sub {
	takes('alter database x allow_connections false', 'ALLOW_CONNECTIONS false');
	$pool->becomes_ok(q{not exists (select from worker_pool.workers where database = 'x')}, 'no worker is there any more');
	takes('alter database x allow_connections true', 'ALLOW_CONNECTIONS true');
	$pool->becomes_ok(q{(select count(*) = 3 from worker_pool.tasks where state = 'running' and name = 'sleeper')}, 'its tasks run again', db => 'x');
	is($pool->sql(q{select max(attempt) from worker_pool.tasks where name = 'sleeper'}, db => 'x'), 0, 'and have lost no attempt');
	$pool->sql('drop database x with (force)');
});
# a DROP that is refused leaves the tasks alone
with_busy_database('a refused DROP DATABASE', sub {
	$pool->fails_ok('42501', 'drop database x', 'by a role that may not', user => 'bob');
	is($pool->sql(q{select count(*) from worker_pool.tasks where state = 'running' and name = 'sleeper'}, db => 'x'), 3, 'the tasks still run');
	$pool->sql('drop database x with (force)');
});

# --- the extension -------------------------------------------------------------------------------------------

$pool->sql('create database x');
for my $how ('drop extension worker_pool', 'drop extension worker_pool cascade', 'drop schema worker_pool cascade', 'begin; drop extension worker_pool; commit')
{
	$pool->sql('create extension if not exists worker_pool; create table if not exists effect (n bigint)', db => 'x');
	$pool->sql(q{select worker_pool.enqueue('select pg_sleep(1)', history => 'off') from generate_series(1, 3)}, db => 'x');
	$pool->sql(q{select worker_pool.enqueue('insert into effect values (1)', history => 'off') from generate_series(1, 200)}, db => 'x');
	$pool->sql(q{select worker_pool.schedule('each', '1 second', 'insert into effect values (2)')}, db => 'x');
	my ($status, $out, $error) = $pool->try_sql($how, db => 'x');

	if ($how =~ /schema/)
	{
		like($error, qr/2BP01/, "$how: refused, as the extension needs its schema");
		($status, $out, $error) = $pool->try_sql('drop extension worker_pool', db => 'x');
	}
	is($status, 0, "$how, while tasks run") or diag($error);
	$pool->becomes_ok(q{not exists (select from worker_pool.workers where database = 'x' and state = 'running' and kind = 'task')}, "$how: nothing of it runs on");
	$pool->becomes_ok(q{exists (select from worker_pool.databases where database = 'x' and version is null and ready = 0 and running = 0)}, "$how: nothing is left of it in memory");
	$pool->slots_ok("$how: every slot is there");
}
$pool->sql('create extension worker_pool', db => 'x');
$id = $pool->sql(q{select worker_pool.enqueue('insert into effect values (3)')}, db => 'x');
ends_ok($id, 'succeeded', 'made anew, it works', db => 'x');
$pool->sql('begin; drop extension worker_pool; rollback', db => 'x');
$id = $pool->sql(q{select worker_pool.enqueue('insert into effect values (4)')}, db => 'x');
ends_ok($id, 'succeeded', 'a DROP EXTENSION that is rolled back leaves it as it was', db => 'x');
$pool->sql('drop database x');

# --- waits that can never end ----------------------------------------------------------------------------------

$pool->settings('worker_pool.max_workers' => 2, 'worker_pool.reserved_workers' => 0, deadlock_timeout => '100ms');
$pool->restart;
$pool->wait_quiet;
# as many tasks as slots, each of which waits for one that has none
$pool->sql('select worker_pool.pause()');
my $inner = $pool->sql(q{select worker_pool.enqueue('insert into effect values ($$inner$$)', priority => -5)});
my @outer = map { $pool->sql("select worker_pool.enqueue('select worker_pool.wait_task($inner)', max_attempts => 1)") } 1 .. 2;
$pool->sql('select worker_pool.resume()');
$pool->becomes_ok("exists (select from worker_pool.task_history where id in ($outer[0], $outer[1]) and state = 'failed' and sqlstate = '40P01')", 'wait_task in a full pool: 40P01');
like($pool->sql("select string_agg(coalesce(message, '') || coalesce(detail, '') || coalesce(hint, ''), ' ') from worker_pool.task_history where id in ($outer[0], $outer[1]) and sqlstate = '40P01'"), qr/task|slot|worker/, 'naming what waits for what');
ends_ok($inner, 'succeeded', 'then the other runs');
$pool->becomes_ok('not exists (select from worker_pool.tasks)', 'and all end');
# a task that runs another one's commands: no deadlock as long as a slot is free
$id = $pool->sql(q{select worker_pool.enqueue($$select worker_pool.run('select 1') as tag$$)});
ends_ok($id, 'succeeded', 'a task that runs a command while there is room');

$pool->slots_ok;
$pool->finish;
done_testing();
