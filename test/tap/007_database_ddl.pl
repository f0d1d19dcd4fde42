# DDL on a database in which the pool has warm and busy workers.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use WorkerPool;

my $pool = WorkerPool->make('main',
	settings => { 'worker_pool.max_workers' => 8, 'worker_pool.idle_timeout' => '1h' });
my $tablespace = PostgreSQL::Test::Utils::tempdir;

$pool->sql("create tablespace elsewhere location '$tablespace'");
$pool->sql('create role stranger login createdb; grant usage on schema worker_pool to stranger');

# The server itself waits five seconds for others to leave, and fails. `time` is the wall clock's here, so a
# statement that neither fails nor takes as long had nothing to wait for.
sub ddl_ok
{
	my ($sql, $name) = @_;
	my $start = time;
	my ($status, $out, $error) = $pool->try_sql($sql);

	local $Test::Builder::Level = $Test::Builder::Level + 1;

	ok($status == 0 && time - $start < 5, $name) or diag(time - $start . " s\n$error" . $pool->report);
}

sub works_ok
{
	my ($database, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;

	is($pool->sql("select * from worker_pool.query('select current_database()', database => '$database') as (d name)"),
		$database, $name);
}

sub workers_in
{
	my ($database) = @_;

	return $pool->sql(
		"select string_agg(pid::text, ' ' order by pid) from worker_pool.workers where database = '$database' and kind = 'command'");
}

# --- DDL that goes through -----------------------------------------------------------------------------

$pool->sql('create database x');
for my $ddl (
	[ 'alter database x rename to y', 'alter database y rename to x' ],
	[ 'alter database x set tablespace elsewhere', 'alter database x set tablespace pg_default' ],
	[ 'alter database x allow_connections false', 'alter database x allow_connections true' ],
	[ 'drop database x', 'create database x' ])
{
	my ($do, $undo) = @$ddl;

	$pool->warm(8, db => 'x');
	my @ids = $pool->start_busy(4, db => 'x');
	ddl_ok($do, "$do: with four warm and four busy workers");
	is($pool->sql("select string_agg(distinct worker_pool.wait_worker(id), ' ') from unnest(array[" . join(',', @ids) . ']::bigint[]) id'),
		'lost', 'the busy ones are lost');
	$pool->sql($undo);
	works_ok('x', 'undone: the pool serves the database again');
	$pool->forget_outcomes;
	$pool->nothing_left_ok('nothing is left');
}

# While another session is there the statement fails, so no command is ended for it; with FORCE it does not.
my $visitor = $pool->session(db => 'x');
$visitor->query_safe('select 1');
my @kept = $pool->start_busy(2, db => 'x');
$pool->fails_ok('55006', 'drop database x', 'DROP DATABASE with a session there: fails as ever');
is($pool->sql("select string_agg(distinct state, ' ') from worker_pool.commands where id in ($kept[0], $kept[1])"), 'running',
	'the busy workers live on');
ddl_ok('drop database x with (force)', 'with FORCE it is dropped');
is($pool->sql("select string_agg(distinct worker_pool.wait_worker(id), ' ') from unnest(array[$kept[0], $kept[1]]) id"), 'lost',
	'and the busy workers are terminated');
$visitor->ended;
$pool->sql('create database x');
$pool->forget_outcomes;

# A database becomes a template: the server does not ask sessions to leave, so what runs may end, but no more.
$pool->warm(4, db => 'x');
@kept = $pool->start_busy(2, db => 'x');
ddl_ok('alter database x is_template true', 'is_template true');
is($pool->sql("select string_agg(distinct state, ' ') from worker_pool.commands where id in ($kept[0], $kept[1])"), 'running',
	'what runs, runs');
$pool->fails_ok('55000', q{select worker_pool.run('select 1', database => 'x')}, 'nothing new starts');
$pool->becomes_ok(q{not exists (select from worker_pool.workers where database = 'x' and state = 'idle')}, 'idle workers leave');
$pool->sql("select worker_pool.stop_worker(id), worker_pool.wait_worker(id) from unnest(array[$kept[0], $kept[1]]) id");
$pool->becomes_ok(q{not exists (select from worker_pool.workers where database = 'x')}, 'the others when they are done');
$pool->sql('alter database x is_template false');
works_ok('x', 'undone: the pool serves the database again');
$pool->forget_outcomes;
$pool->nothing_left_ok('nothing is left');

# CREATE DATABASE ... TEMPLATE sends the idle ones away, and waits for the others as for any session.
$pool->warm(8, db => 'x');
ddl_ok('create database y template x', 'create database ... template: with eight warm workers');
works_ok('y', 'the clone is served');
my $gate = $pool->session(db => 'x');
$gate->query_safe('select pg_advisory_lock(1)');
my ($id) = $pool->start_busy(1, db => 'x', command => 'select pg_advisory_lock(1)::text');
my $session = $pool->session;
$session->send('create database z template x');
$pool->wait_until(q{exists (select from pg_stat_activity where query like 'create database z%' and state = 'active')});
$gate->quit;
$session->receive;
is($session->{error}, '', 'with a busy worker: done when that has ended');
is($pool->sql("select worker_pool.wait_worker($id)"), 'succeeded', 'which was left alone');
$pool->forget_outcomes;

# The same from a command of the pool.
$pool->warm(2, db => 'y');
is($pool->sql(q{select worker_pool.run('drop database y')}), 'DROP DATABASE', 'a command drops a database with warm workers');

# --- DDL that may not, or cannot ------------------------------------------------------------------------

$pool->wait_until(q{not exists (select from worker_pool.workers where kind = 'visit')});
$pool->warm(4, db => 'x');
my $pids = workers_in('x');
my @refused = (
	[ '42501', 'drop database x' ],
	[ '42501', 'alter database x rename to y' ],
	[ '42501', 'alter database x set tablespace elsewhere' ],
	[ '42501', 'alter database x allow_connections false' ],
	[ '42501', 'alter database x is_template true' ],
	[ '42501', 'create database w template x' ]);
$pool->fails_ok($_->[0], $_->[1], "$_->[1]: refused to a role that may not", user => 'stranger') for @refused;
is(workers_in('x'), $pids, 'and the workers live on');
for my $refused (
	[ '25001', 'begin; drop database x' ],
	[ '25001', 'begin; alter database x set tablespace elsewhere' ],
	[ '25001', 'begin; create database w template x' ],
	[ '42P04', 'alter database x rename to z' ],
	[ '42P04', 'create database z template x' ],
	[ '42704', 'alter database x set tablespace nowhere' ],
	[ '25006', 'begin read only; alter database x rename to y' ],
	[ '3D000', 'drop database nosuch' ])
{
	$pool->fails_ok(@$refused, "$refused->[1]: fails by itself");
}
is(workers_in('x'), $pids, 'and the workers live on');

# --- in a transaction ----------------------------------------------------------------------------------

$pool->sql('create extension if not exists worker_pool');
$session->query_safe('begin; alter database x rename to y');
my $waiting = $pool->session;
$waiting->send(q{select worker_pool.run('select 1', database => 'x')});
$pool->wait_until('(select queued = 1 from worker_pool.status)');
$session->query(q{select worker_pool.run('select 1', database => 'y')});
is($session->sqlstate, '55000', 'the transaction itself cannot wait for a command there');
$session->query_safe('rollback');
is($waiting->receive, 'SELECT 1', 'a command that was called meanwhile runs after the rollback');

$session->query_safe('begin; savepoint s; alter database x rename to y; rollback to s');
is($pool->sql(q{select worker_pool.run('select 1', database => 'x')}),
	'SELECT 1', 'after a rollback to a savepoint the pool serves at once');
$session->query_safe('rollback');

$session->query_safe('begin; savepoint s; alter database x rename to y; release s');
$waiting->send(q{select worker_pool.run('select 1', database => 'x')});
$pool->wait_until('(select queued = 1 from worker_pool.status)');
$session->query_safe('commit');
is($waiting->receive, 'SELECT 1', 'a command for a database that was renamed runs there when it is committed');
works_ok('y', 'under its new name');
$session->query_safe('alter database y rename to x');

my $pid = $session->query_safe('select pg_backend_pid()');
$session->query_safe('begin; alter database x rename to y');
$waiting->send(q{select worker_pool.run('select 1', database => 'x')});
$pool->wait_until('(select queued = 1 from worker_pool.status)');
$pool->sql("select pg_terminate_backend($pid)");
is($waiting->receive, 'SELECT 1', 'so it does when the session that holds the database is terminated');
$session->ended;

# The session is ended while it waits for workers to leave: nothing stays closed.
$session = $pool->session;
$pool->fault('ddl.after_drain=stall');
$session->send('drop database x');
$pool->wait_until(q{exists (select from pg_stat_activity where query like 'drop database x%' and state = 'active' and pid <> pg_backend_pid())});
$waiting->send(q{select worker_pool.run('select 1', database => 'x')});
$pool->sql(q{select pg_cancel_backend(pid) from pg_stat_activity where query like 'drop database x%' and state = 'active' and pid <> pg_backend_pid()});
$session->receive;
is($session->sqlstate, '57014', 'DDL is cancelled after the workers have left');
is($waiting->receive, 'SELECT 1', 'then the pool serves again');
$pool->no_fault;
for my $point ('ddl.before_drain', 'ddl.after_drain')
{
	$pool->fault("$point=error");
	$pool->fails_ok('XX000', 'drop database x', "an error at $point");
	$pool->no_fault;
	works_ok('x', 'then the pool serves again');
}
$session->quit;
$waiting->quit;

# --- the extension itself -----------------------------------------------------------------------------------

$pool->sql(q{create database e; create database admin});
$pool->sql('create extension worker_pool', db => 'admin');
for my $drop ('drop extension worker_pool', 'drop extension worker_pool cascade', 'drop owned by owner cascade')
{
	$pool->sql(q{do $$begin create role owner superuser login; exception when duplicate_object then null; end$$});
	$pool->sql('create extension worker_pool', db => 'e', user => 'owner');
	$pool->becomes_ok(q{(select version is not null from worker_pool.databases where database = 'e')}, 'the extension is seen');
	my @running = $pool->start_busy(2, db => 'e');
	$pool->sql($drop, db => 'e');
	is($pool->sql("select string_agg(distinct state, ' ') from worker_pool.commands where id in ($running[0], $running[1])"),
		'running', "$drop: what runs, runs");
	$pool->becomes_ok(q{(select version is null and idle is not null from worker_pool.databases where database = 'e')}, 'the pool knows');
	is($pool->sql("select worker_pool.stop_worker($running[0]), worker_pool.wait_worker($running[0])"), 't|cancelled', 'and can be stopped');
	$pool->sql("select worker_pool.stop_worker($running[1]), worker_pool.wait_worker($running[1])");
	works_ok('e', 'as a target the database needs no extension');
	$pool->forget_outcomes;
}
$pool->sql(q{begin; create extension worker_pool; rollback}, db => 'e');
$pool->sql(q{begin; create extension worker_pool; savepoint s; drop extension worker_pool; rollback to s; commit}, db => 'e');
$pool->becomes_ok(q{(select version is not null from worker_pool.databases where database = 'e')}, 'in a transaction with savepoints');
is($pool->sql(q{select worker_pool.run('drop extension worker_pool')}, db => 'e'), 'DROP EXTENSION', 'dropped by a command of its own');

# --- racing starts -------------------------------------------------------------------------------------

# Three sessions start commands in a database that comes and goes.
my @racers = map { $pool->session } 1 .. 3;
$pool->sql('create table stop_racing ()');
$_->send(<<'SQL') for @racers;
do $$
declare
	n int := 0;
	stop boolean := false;
begin
	while not stop loop
		begin
			if random() < 0.5 then
				perform worker_pool.start_worker('select 1', database => 'raced');
			else
				perform worker_pool.run('select 1', database => 'raced');
			end if;
		exception when others then
			n := n + 1;
		end;
		select count(*) > 0 into stop from pg_attribute where attrelid = 'stop_racing'::regclass and attname = 'now';
	end loop;
end
$$
SQL
my $failed = '';
for my $round (1 .. 6)
{
	for my $ddl (
		'create database raced template template0',
		'alter database raced rename to raced2',
		'alter database raced2 rename to raced',
		'alter database raced allow_connections false',
		'alter database raced allow_connections true',
		'create database raced_clone template raced',
		'drop database raced',
		'drop database raced_clone')
	{
		my ($status, $out, $error) = $pool->try_sql($ddl);

		# a visit or a start may be on its way into the template, as any session may
		$failed .= "$ddl: $error\n" if $status != 0;
		is($pool->sql('select count(*) from pg_database where datconnlimit = -2'), 0, 'no invalid database') if $status != 0;
	}
}
is($failed, '', 'DDL against racing starts, 48 times');
is($pool->sql('select count(*) from pg_database where datconnlimit = -2'), 0, 'never an invalid database');
$pool->sql('alter table stop_racing add column now int');
$_->receive for @racers;
is(join('', map { $_->{error} } @racers), '', 'the racers end well');
$_->quit for @racers;
$pool->wait_quiet;
$pool->forget_outcomes;
$pool->nothing_left_ok('nothing is left');
$pool->finish;
done_testing;
