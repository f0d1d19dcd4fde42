# Roles, privileges and settings that change under warm workers; and what a command may not become.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use WorkerPool;

my $pool = WorkerPool->make('main', settings => { 'worker_pool.idle_timeout' => '1h' });

$pool->sql(<<'SQL');
create database x;
create role alice login;
create role bob login;
create role sue login superuser;
grant usage on schema worker_pool to public;
SQL

# A one-value command, run as a role.
sub as_role
{
	my ($role, $command, %options) = @_;
	my $db = $options{db} // 'postgres';

	return $pool->sql(
		"select * from worker_pool.query(\$command\$$command\$command\$, run_as => '$role', database => '$db') as (value text)");
}

sub pid_of
{
	return as_role($_[0], 'select pg_backend_pid()::text', db => $_[1]);
}

# --- a role that may no longer ---------------------------------------------------------------------------

# An idle worker leaves at once; the next command gets the reason, or a new process.
sub retires_ok
{
	my ($name, $change, $role, $database) = @_;
	my ($pid) = $pool->warm(1, user => $role, db => $database);

	$pool->sql($change);
	$pool->becomes_ok("not exists (select from worker_pool.workers where pid = $pid and state = 'idle')",
		"$name: the warm worker leaves");
	return $pid;
}

retires_ok('ALTER ROLE NOLOGIN', 'alter role alice nologin', 'alice', 'postgres');
$pool->fails_ok('28000', q{select worker_pool.run('select 1', run_as => 'alice')}, 'its next command is refused');
$pool->sql('alter role alice login');
is(as_role('alice', 'select current_user::text'), 'alice', 'until it may again');

$pool->sql('revoke connect on database x from public; grant connect on database x to alice');
retires_ok('REVOKE CONNECT', 'revoke connect on database x from alice', 'alice', 'x');
$pool->fails_ok('42501', q{select worker_pool.run('select 1', run_as => 'alice', database => 'x')},
	'its next command is refused');
$pool->sql('grant connect on database x to public');
is(as_role('alice', 'select current_database()::text', db => 'x'), 'x', 'until it may again');

$pool->sql('create role fleeting login');
retires_ok('DROP ROLE', 'drop role fleeting', 'fleeting', 'postgres');
$pool->fails_ok('42704', q{select worker_pool.run('select 1', run_as => 'fleeting')}, 'its next command is refused');

my $before = pid_of('sue', 'postgres');
is(as_role('sue', 'select current_setting($$is_superuser$$)'), 'on', 'a superuser is one');
retires_ok('ALTER ROLE NOSUPERUSER', 'alter role sue nosuperuser', 'sue', 'postgres');
is(as_role('sue', 'select current_setting($$is_superuser$$)'), 'off', 'a new process: no superuser any more');
$pool->fails_ok('42501', q{select worker_pool.run('set session authorization postgres', run_as => 'sue')},
	'which cannot become one');
retires_ok('ALTER ROLE SUPERUSER', 'alter role sue superuser', 'sue', 'postgres');
is(as_role('sue', 'select current_setting($$is_superuser$$)'), 'on', 'nor stay an ordinary role');

# The change comes while a command runs: the one behind it in the queue sees it.
$pool->sql('alter system set worker_pool.fairness_interval = \'1h\'; select pg_reload_conf()');
my $gate = $pool->session;
$gate->query_safe('select pg_advisory_lock(1)');
$pool->sql('grant execute on function pg_advisory_lock(bigint) to public');
$pool->sql('alter role sue set worker_pool.max_workers_per_role = 1');
my ($busy) = $pool->start_busy(1, user => 'sue', command => 'select pg_advisory_lock(1)::text');
my $next = $pool->sql(
	q{select worker_pool.start_worker('select current_setting(''is_superuser'')', run_as => 'sue')});
$pool->sql('alter role sue nosuperuser');
$gate->query_safe('select pg_advisory_unlock(1)');
is($pool->sql("select * from worker_pool.worker_result($next) as (value text)"),
	'off', 'a command that was queued behind a running one has the new rights');
is($pool->sql("select worker_pool.wait_worker($busy)"), 'succeeded', 'the running one was left alone');
$pool->forget_outcomes;
$pool->sql('alter role sue reset worker_pool.max_workers_per_role');

# --- settings --------------------------------------------------------------------------------------------

is(as_role('alice', 'show work_mem'), '4MB', 'the default');
$pool->sql(q{alter role alice set work_mem = '7MB'});
is(as_role('alice', 'show work_mem'), '7MB', 'ALTER ROLE SET: the next command has it');
$pool->sql(q{alter role alice in database postgres set work_mem = '8MB'});
is(as_role('alice', 'show work_mem'), '8MB', 'ALTER ROLE IN DATABASE SET');
$pool->sql(q{alter role alice in database postgres reset all; alter role alice reset all});
is(as_role('alice', 'show work_mem'), '4MB', 'RESET ALL');
$pool->sql(q{alter database postgres set work_mem = '9MB'});
is(as_role('alice', 'show work_mem'), '9MB', 'ALTER DATABASE SET');
$pool->sql(q{alter database postgres reset work_mem});
is(as_role('alice', 'show work_mem'), '4MB', 'ALTER DATABASE RESET');
$pool->sql(q{alter role all set work_mem = '10MB'});
is(as_role('alice', 'show work_mem'), '10MB', 'ALTER ROLE ALL SET');
$pool->sql(q{begin; alter role all reset work_mem; prepare transaction 'p'});
is(as_role('alice', 'show work_mem'), '10MB', 'not before it is committed');
$pool->sql(q{commit prepared 'p'});
is(as_role('alice', 'show work_mem'), '4MB', 'COMMIT PREPARED');
$pool->configure(work_mem => '11MB');
is(as_role('alice', 'show work_mem'), '11MB', 'SIGHUP in an idle worker');
# and in a worker that goes from one command straight to the next
$pool->sql('alter role bob set worker_pool.max_workers_per_role = 1');
$gate->query_safe('select pg_advisory_lock(1)');
($busy) = $pool->start_busy(1, user => 'bob', command => 'select pg_advisory_lock(1)::text');
my @behind = map { $pool->sql(q{select worker_pool.start_worker('show work_mem', run_as => 'bob')}) } 1 .. 2;
$pool->configure(work_mem => '13MB');
$gate->query_safe('select pg_advisory_unlock(1)');
is($pool->sql("select * from worker_pool.worker_result($_) as (value text)"), '13MB', 'SIGHUP in a busy worker: the next command has it')
  for @behind;
$pool->sql("select * from worker_pool.worker_result($busy) as (value text)");
$pool->sql('alter role bob reset worker_pool.max_workers_per_role');
$pool->sql('alter system reset work_mem; select pg_reload_conf()');

# --- settings of a role that could disturb our own work -----------------------------------------------------

$pool->sql('create table t (n int); grant all on t to alice');
for my $setting (
	[ default_transaction_read_only => 'on' ],
	[ default_transaction_isolation => 'serializable' ],
	[ default_transaction_deferrable => 'on' ],
	[ row_security => 'off' ],
	[ search_path => 'nowhere' ],
	[ statement_timeout => '50ms' ],
	[ lock_timeout => '10ms' ],
	[ idle_in_transaction_session_timeout => '10ms' ],
	[ idle_session_timeout => '10ms' ],
	[ role => 'bob' ],
	[ session_replication_role => 'replica' ],
	[ client_encoding => 'latin1' ],
	[ log_statement => 'all' ],
	[ synchronous_commit => 'off' ])
{
	my ($name, $value) = @$setting;

	$pool->sql('grant bob to alice') if $name eq 'role';
	$pool->sql("alter role alice set $name = '$value'");
	is(as_role('alice', "show $name"), $value =~ s/latin1/UTF8/r, "a role with $name = $value");
	$pool->fails_ok('25006', q{select worker_pool.run('insert into public.t values (1)', run_as => 'alice')}, 'cannot write')
	  if $name eq 'default_transaction_read_only';
	$pool->fails_ok('57014', q{select worker_pool.run('select pg_sleep(60)', run_as => 'alice')}, 'is cut off')
	  if $name eq 'statement_timeout';
	is(as_role('alice', "select 'second'"), 'second', 'the next command too');
	is( $pool->sql(q{select count(*) from worker_pool.query('select repeat(''x'', 1000) from generate_series(1, 100)', run_as => 'alice') as (t text)}),
		100, 'and a large result');
	$pool->sql("alter role alice reset $name");
}
$pool->sql('revoke bob from alice; drop table t');

# --- nothing is left to the next ----------------------------------------------------------------------

my $pid = pid_of('alice', 'postgres');
as_role('alice', q{set work_mem = '12MB'; select 'x'});
is(as_role('alice', 'show work_mem') eq '12MB', '', 'SET does not outlive a command');
$pool->sql('grant bob to alice');
as_role('alice', q{set role bob; select 'x'});
is(as_role('alice', 'select current_user::text'), 'alice', 'SET ROLE does not outlive a command');
as_role('alice', q{create temporary table remains (n int); select 'x'});
is(as_role('alice', q{select to_regclass('remains')::text}), '', 'nor do temporary tables');
as_role('alice', q{select pg_advisory_lock(4711)::text});
is($pool->sql('select count(*) from pg_locks where locktype = \'advisory\' and objid = 4711'), 0, 'nor advisory locks');
as_role('alice', q{prepare remains as select 1; select 'x'});
is(as_role('alice', 'select count(*)::text from pg_prepared_statements'), '0', 'nor prepared statements');
is(pid_of('alice', 'postgres'), $pid, 'all in one process');

# --- escapes --------------------------------------------------------------------------------------------

for my $climb (
	'reset role',
	'reset session authorization',
	'set session authorization default',
	'set role none',
	'discard all',
	'set local session authorization default')
{
	my (undef, $out) = $pool->try_sql(
		"select * from worker_pool.query(\$c\$$climb; select current_user || '/' || session_user || '/' || current_setting('is_superuser')\$c\$, run_as => 'alice') as (value text)"
	);
	like($out, $climb eq 'discard all' ? qr/^(alice\/alice\/off)?$/ : qr/^alice\/alice\/off$/, "$climb: does not climb");
}
for my $climb ('set session authorization postgres', 'set role postgres', 'set session authorization sue')
{
	$pool->fails_ok('42501', "select worker_pool.run('$climb', run_as => 'alice')", "$climb: refused");
}
# an error half-way leaves nothing
$pool->try_sql(q{select worker_pool.run('set role bob; select 1/0', run_as => 'alice')});
is(as_role('alice', q{select current_user || '/' || session_user}), 'alice/alice', 'after an error the role is its own');

# who may run as whom
$pool->fails_ok('42501', q{select worker_pool.run('select 1', run_as => 'postgres')}, 'alice may not run as postgres', user => 'alice');
is($pool->sql(q{select worker_pool.run('select 1', run_as => 'bob')}, user => 'alice'), 'SELECT 1', 'a member may run as bob');
$pool->sql('revoke bob from alice');
$pool->fails_ok('42501', q{select worker_pool.run('select 1', run_as => 'bob')}, 'not after a REVOKE', user => 'alice');
$pool->fails_ok('42501', q{select worker_pool.run('select 1', database => 'x')}, 'nor in another database', user => 'alice');
$pool->configure('worker_pool.allow_cross_database' => 'on');
is($pool->sql(q{select worker_pool.run('select 1', database => 'x')}, user => 'alice'), 'SELECT 1', 'unless that is allowed');
$pool->sql(q{create function as_definer() returns text language sql security definer set search_path = pg_catalog as
	$$select value from worker_pool.query('select current_user::text') as (value text)$$});
is($pool->sql('select as_definer()', user => 'alice'), 'postgres', 'in a SECURITY DEFINER function: as its owner');

# An index function that a superuser's REINDEX runs must not start anything.
$pool->sql(<<'SQL', user => 'postgres');
create schema trap authorization alice;
SQL
$pool->sql(<<'SQL', user => 'alice');
create table trap.t (n int);
insert into trap.t values (1);
create function trap.f(int) returns int language sql immutable as 'select $1';
create index on trap.t (trap.f(n));
create or replace function trap.f(int) returns int language plpgsql immutable as
	$$begin perform worker_pool.start_worker('alter role alice superuser'); return $1; end$$;
SQL
$pool->fails_ok('42501', 'reindex table trap.t', 'an index function in a superuser\'s REINDEX starts nothing',
	like => qr/security-restricted/);
is($pool->sql(q{select rolsuper from pg_roles where rolname = 'alice'}), 'f', 'nobody climbed');

$pool->wait_quiet;
$pool->forget_outcomes;
$pool->nothing_left_ok('nothing is left');
$pool->finish;
done_testing;
