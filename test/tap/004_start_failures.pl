# Workers that cannot start: the reason reaches the caller, no slot is lost, nobody waits for ever.

use strict;
use warnings FATAL => 'all';

use File::Copy;
use PostgreSQL::Test::Utils;
use Test::More;
use WorkerPool;

my $pool = WorkerPool->make('main', settings => { 'worker_pool.idle_timeout' => '1h' }, start => 0);

# A library of its own, which can be taken away without disturbing other tests. Only where it is staged: in
# the server's own folder the server would find the other one.
my $library;
if (WorkerPool::staged_library())
{
	$library = PostgreSQL::Test::Utils::tempdir . '/worker_pool.so';
	copy(WorkerPool::staged_library(), $library) or die "could not copy the library: $!";
	chmod 0755, $library;
	$pool->settings(dynamic_library_path => ($library =~ s/\/[^\/]*$//r) . ':$libdir');
}
$pool->start;
$pool->sql('create extension worker_pool');
$pool->sql('create database x');
$pool->wait_quiet;

# --- what changes between the call and the start -------------------------------------------------------

my $alice = q{database => 'x', run_as => 'alice'};

sub changed_meanwhile
{
	my ($name, $change, $sqlstate, $pattern) = @_;

	$pool->sql('create role alice login') if $pool->sql("select count(*) from pg_roles where rolname = 'alice'") eq '0';
	$pool->fault('launcher.after_reap=stall');
	my $id = $pool->sql("select worker_pool.start_worker('select 1', $alice)");
	my $session = $pool->session;
	$session->send("select worker_pool.run('select 2', $alice)");
	$pool->wait_until('(select queued = 2 from worker_pool.status)');
	$pool->sql($change);
	$pool->no_fault;
	$session->receive;
	is($session->sqlstate, $sqlstate, "$name: the caller of run gets it") or diag($session->{error});
	like($session->{error}, $pattern, 'and reads why');
	$session->quit;
	is($pool->sql("select worker_pool.wait_worker($id)"), 'failed', 'the one before it failed too');
	$pool->fails_ok($sqlstate, "select * from worker_pool.worker_result($id) as (n int)", 'with the same error');
	$pool->nothing_left_ok('nothing is left');
}

changed_meanwhile('role that may not log in', 'alter role alice nologin', '28000', qr/alice.*log in/);
$pool->fails_ok('28000', "select worker_pool.run('select 1', $alice)", 'at the call, when it is known there');
$pool->sql('alter role alice login');
changed_meanwhile('no CONNECT', 'revoke connect on database x from public', '42501', qr/permission denied|CONNECT/);
$pool->fails_ok('42501', "select worker_pool.run('select 1', $alice)", 'at the call');
$pool->sql('grant connect on database x to public');
changed_meanwhile('a dropped role', 'drop role alice', '28000', qr/role .*does not exist/);
$pool->fails_ok('42704', "select worker_pool.run('select 1', $alice)", 'at the call');
changed_meanwhile('a template', 'alter database x is_template true', '55000', qr/template/);
$pool->fails_ok('55000', "select worker_pool.run('select 1', $alice)", 'at the call');
$pool->sql('alter database x is_template false');
changed_meanwhile('a database that is closed', 'alter database x allow_connections false', '55000',
	qr/accept/);
$pool->fails_ok('55000', "select worker_pool.run('select 1', $alice)", 'at the call');
$pool->sql('alter database x allow_connections true');
changed_meanwhile('a dropped database', 'drop database x', '3D000', qr/database .*does not exist/);
$pool->fails_ok('3D000', "select worker_pool.run('select 1', $alice)", 'at the call');
$pool->sql('create database x');
is($pool->sql("select worker_pool.run('select 1', $alice)"), 'SELECT 1', 'after all that the pair works');

# --- what may pass: tried again ------------------------------------------------------------------------

my $session = $pool->session;
my $fresh = "select worker_pool.run('select 1', $alice, fresh => true)";

$pool->fault('worker.after_connect=error');
my $log = $pool->log_end;
$session->send($fresh);
$pool->wait_for_log(qr/could not start a worker, will try again/, $log);
$pool->no_fault;
is($session->receive, 'SELECT 1', 'a failure that may pass: tried again until it works');
is($session->{error}, '', 'without an error');
is(scalar(() = $pool->log_since($log) =~ /will try again/g), 1, 'and with one line in the log');

# The server does not count background workers among connections; minors that did refuse them with 53300.
my $occupant = $pool->session(db => 'x', user => 'alice');
$pool->configure('worker_pool.start_timeout' => '500ms');
for my $what ('role alice', 'database x')
{
	$pool->sql("alter $what connection limit 0");
	my (undef, $out, $error) = $pool->try_sql($fresh);
	like($out . WorkerPool::state_in($error), qr/^(SELECT 1|53300)$/, "connection limit of $what: an answer");
	$pool->sql("alter $what connection limit -1");
}
$pool->configure('worker_pool.start_timeout' => '30s');
$occupant->quit;
$pool->forget_outcomes;
$pool->nothing_left_ok('nothing is left');

# --- no library ----------------------------------------------------------------------------------------

SKIP:
{
	skip 'the library is not staged', 3 unless $library;

	# this session has the functions loaded
	$session->query_safe(q{select worker_pool.run('select 1', fresh => true)});
	rename $library, "$library.away" or die;
	$session->query(q{select worker_pool.run('select 1', fresh => true)});
	is($session->sqlstate, '58P01', 'the library is missing') or diag($session->{error});
	like($session->{error}, qr/worker_pool/, 'and its name is told');
	rename "$library.away", $library or die;
	is($session->query(q{select worker_pool.run('select 1', fresh => true)}), 'SELECT 1', 'it works when it is back');
}

# --- no process ----------------------------------------------------------------------------------------

SKIP:
{
	my $postmaster = (split /\n/, slurp_file($pool->data_dir . '/postmaster.pid'))[0];
	my $limit = `prlimit --pid $postmaster --nproc --output SOFT --noheadings 2>/dev/null`;
	my $observer;

	chomp $limit;
	skip 'prlimit cannot be used', 4 if $? != 0 || $limit eq '' || $> == 0;
	$pool->configure('worker_pool.start_timeout' => '1s');
	# those who are connected already; nobody comes in while nothing can be forked
	$observer = $pool->session;
	$observer->query_safe('select * from worker_pool.status');
	system_or_bail('prlimit', '--pid', $postmaster, '--nproc=1:');
	$session->query(q{select worker_pool.run('select 1', fresh => true)});
	my $error = $session->{error};
	$session->send(q{select worker_pool.run('select 1', fresh => true)});
	$observer->query_safe('do $$ begin while (select queued + starting = 0 from worker_pool.status) loop perform pg_sleep(0.01); end loop; end $$');
	system_or_bail('prlimit', '--pid', $postmaster, "--nproc=$limit:");
	is(WorkerPool::state_in($error), '53000', 'a process that cannot be forked') or diag($error);
	like($error, qr/could not be forked/, 'is told so');
	is($session->receive, 'SELECT 1', 'the next one is started as soon as it can be');
	$observer->quit;
	$pool->slots_ok('no slot is lost');
	$pool->configure('worker_pool.start_timeout' => '30s');
}
$session->quit;

# --- worker that fails on its way up -------------------------------------------------------------------

my $run = q{select worker_pool.run('select 1', fresh => true)};

for my $point ('worker.before_attach', 'worker.before_connect', 'worker.after_connect', 'worker.before_started')
{
	for my $mode ('error', 'fatal', 'exit')
	{
		$pool->fault("$point=$mode*1");
		is($pool->sql($run), 'SELECT 1', "$mode at $point, once: tried again");
	}
}
$pool->configure('worker_pool.start_timeout' => '500ms', log_min_messages => 'debug1');
for my $point ('worker.before_attach', 'worker.before_connect', 'worker.before_started')
{
	$pool->fault("$point=error");
	$pool->fails_ok('XX000', $run, "error at $point, always: the caller gets it", like => qr/fault point/);
	$log = $pool->log_end;
	$pool->fault("$point=exit");
	$pool->fails_ok('53000', $run, "exit at $point, always: the caller gets an error", timeout => 10);
	my $starts = () = $pool->log_since($log) =~ /starting background worker process "worker_pool worker/g;
	cmp_ok($starts, '<', 20, 'and no storm of processes');
}
$pool->configure(log_min_messages => 'warning');
for my $point ('worker.before_connect', 'worker.after_connect', 'worker.before_started')
{
	$pool->fault("$point=stall");
	$pool->fails_ok('57P03', $run, "stalled at $point: start_timeout", like => qr/start_timeout/);
}
# it comes to life when its slot is another's
$pool->fault('worker.before_attach=hang*1');
$pool->fails_ok('57P03', $run, 'hanging before it attached: start_timeout');
my @busy = $pool->start_busy(4);
$pool->no_fault;
$pool->configure('worker_pool.start_timeout' => '30s');
$pool->slots_ok('its slot serves again');
# those that are killed before they attached, too
my $launcher = $pool->launcher_pid;
$pool->fault('worker.before_connect=kill*1');
$pool->sql("select worker_pool.stop_worker($_)") for @busy;
$pool->try_sql($run);
$pool->no_fault_in_crash;
$pool->wait_launcher_after($launcher);
$pool->no_fault;
$pool->wait_quiet;
is($pool->sql($run), 'SELECT 1', 'killed at worker.before_connect: the pool comes back');

# --- visits --------------------------------------------------------------------------------------------

for my $mode ('error', 'fatal', 'exit')
{
	$pool->fault("visit.before_report=$mode");
	$pool->sql("create database visited_$mode");
	$pool->wait_quiet;
	is($pool->sql($run), 'SELECT 1', "$mode in a visit: the pool works");
	is( $pool->sql("select last_error from worker_pool.databases where database = 'visited_error'"),
		'fault point "visit.before_report"', 'the view shows why') if $mode eq 'error';
}
$pool->no_fault;
$pool->wait_quiet;
$pool->forget_outcomes;
$pool->nothing_left_ok('nothing is left');
$pool->finish;
done_testing;
