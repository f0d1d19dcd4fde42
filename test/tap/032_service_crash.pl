# Services on the lines of the crash matrix: processes that die, a server that crashes, DDL, roles, restarts.
# A probe extension (test/samples/probe) has the entry points that go wrong.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);
use WorkerPool;

my $node = WorkerPool->make('main', settings => {
		'worker_pool.max_workers' => 6,
		'max_worker_processes' => 16,
		'worker_pool.restart_backoff_initial' => '100ms',
		'worker_pool.restart_backoff_max' => '400ms' });

sub runs_ok
{
	my ($what, %options) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;

	my ($status, $out, $error) = $node->try_sql(
		qq{select worker_pool.wait_service('$options{name}', cycles => 1, timeout => '30s')}, db => $options{db} // 'postgres');
	is($out, 't', $what) or diag($error . $node->sql('select row_to_json(s) from worker_pool.services s', db => $options{db} // 'postgres'));
}

$node->sql('create table tick (at timestamptz default clock_timestamp(), pid int default pg_backend_pid())');
$node->sql(q{select worker_pool.create_service('tick', 'insert into tick default values', every => '50 ms')});
runs_ok('a service runs', name => 'tick');

# --- its process ----------------------------------------------------------------------------------------------

$node->sql('select pg_cancel_backend(pid) from worker_pool.services') for 1 .. 5;
runs_ok('pg_cancel_backend does no harm', name => 'tick');
is($node->sql(q{select state <> 'quarantined' from worker_pool.services}), 't', '... nor count towards quarantine');
my $pid = $node->sql('select pid from worker_pool.services');
$node->sql("select pg_terminate_backend($pid)");
runs_ok('after pg_terminate_backend another process comes', name => 'tick');
isnt($node->sql('select max(pid) filter (where at = (select max(at) from tick)) from tick'), $pid, '... another one');

# kill -9: the server goes through a crash restart
my $launcher = $node->launcher_pid;
$pid = $node->sql(q{select pid from worker_pool.workers where kind = 'service'});
kill 'KILL', $pid;
$node->wait_launcher_after($launcher);
runs_ok('after kill -9 and the crash restart it runs', name => 'tick');
$node->becomes_ok('(select crashes = 0 from worker_pool.service)', '... and is trusted again');

# the launcher dies: the living process is adopted
$pid = $node->sql('select pid from worker_pool.services');
$launcher = $node->launcher_pid;
$node->sql("select pg_terminate_backend($launcher)");
$node->wait_launcher_after($launcher);
runs_ok('it outlives the launcher', name => 'tick');
is($node->sql('select pid from worker_pool.services'), $pid, '... in the same process');
is($node->sql(q{select count(*) from worker_pool.workers where kind = 'service'}), 1, '... of which there is one');

# --- a service that brings the server down: charged to itself alone, quarantined, and the server stays up ---------

$node->sql('create table innocent (at timestamptz default clock_timestamp())');
$node->sql(q{select worker_pool.create_service('innocent', 'insert into innocent default values', every => '20 ms')});
$node->sql(q{select worker_pool.create_service('killer', $$copy (select 1) to program 'kill -9 $PPID'$$, every => '1 s')});
my $end = time + 90;
my $state = '';
while (time < $end && $state ne 'quarantined')
{
	my ($status, $out) = $node->try_sql(q{select state from worker_pool.services where name = 'killer'}, timeout => 20);
	$state = $out if $status == 0;
	usleep(100_000);
}
is($state, 'quarantined', 'a service that kills the server comes into quarantine');
runs_ok('the innocent one runs', name => 'innocent');
runs_ok('and the other', name => 'tick');
is($node->sql(q{select string_agg(name, ',') from worker_pool.services where state = 'quarantined'}), 'killer', 'only the killer was charged');
my $crashes = () = slurp_file($node->logfile) =~ /terminated by signal 9/g;
cmp_ok($crashes, '<=', 2 + 4, 'it brought the server down four times at most');
like($node->sql(q{select quarantine_reason from worker_pool.services where name = 'killer'}), qr/server|crash/i, '... with the reason');
$node->sql(q{select worker_pool.drop_service('killer'), worker_pool.drop_service('innocent')});

# --- restarts ---------------------------------------------------------------------------------------------------

for my $mode (qw(fast immediate))
{
	# waits for no service: dies if the server does not stop
	$node->stop($mode);
	$node->start;
	runs_ok("it runs after an $mode stop", name => 'tick');
}

# --- DDL of the database -------------------------------------------------------------------------------------------

$node->sql('create database other');
$node->sql(q{create extension worker_pool}, db => 'other');
$node->sql(q{create table tick (); select worker_pool.create_service('busy', 'insert into tick select; select pg_sleep(600)', every => '1h')}, db => 'other');
$node->sql(q{select worker_pool.create_service('warm', 'insert into tick select', every => '20 ms')}, db => 'other');
runs_ok('services in another database', name => 'warm', db => 'other');
$node->sql('alter database other rename to renamed');
runs_ok('they go on under its new name', name => 'warm', db => 'renamed');
$node->becomes_ok(q{(select state = 'running' from worker_pool.services where name = 'busy')}, '... the busy one, too', db => 'renamed');
$node->fails_ok('42P04', 'create database renamed template renamed', 'DDL that fails');
runs_ok('does no harm', name => 'warm', db => 'renamed');
my $session = $node->session;
$session->query_safe('begin');
$session->query('alter database renamed rename to again');
$session->query_safe('rollback');
runs_ok('nor does one that is rolled back', name => 'warm', db => 'renamed');
$node->sql(q{select worker_pool.stop_service('busy')}, db => 'renamed');
$node->wait_until(q{(select pid is null from worker_pool.services where name = 'busy')}, db => 'renamed');
$node->sql('create database copy template renamed');
pass('a database with a running service can be a template');
# when the first look into the copy is over
$node->wait_until(q{exists (select from worker_pool.databases where database = 'copy' and version is not null)
	and not exists (select from worker_pool.workers where database = 'copy' and kind = 'visit')});
is($node->sql(q{select count(*) from worker_pool.workers where database = 'copy' and kind = 'service'}), 0, 'the copy runs nothing');
is($node->sql(q{select bool_and(not adopted) from worker_pool.services}, db => 'copy'), 't', '... and says why');
$node->sql('select worker_pool.adopt()', db => 'copy');
runs_ok('until it is adopted', name => 'warm', db => 'copy');
$node->sql('drop database copy');
$node->sql(q{select worker_pool.start_service('busy')}, db => 'renamed');
$node->becomes_ok(q{(select state = 'running' from worker_pool.services where name = 'busy')}, 'the busy one runs again', db => 'renamed');
my ($status, $out, $error) = $node->try_sql('drop database renamed');
is($status, 0, 'DROP DATABASE ends them') or diag($error);
$node->becomes_ok(q{not exists (select from worker_pool.workers where kind = 'service' and service <> 'tick')}, 'no process of it is left');

# --- the extension --------------------------------------------------------------------------------------------------

$node->sql('create database ext');
$node->sql(q{create extension worker_pool; create table tick ()}, db => 'ext');
$node->sql(q{select worker_pool.create_service('a', 'insert into tick select', every => '10 ms'); select worker_pool.create_service('b', 'select pg_sleep(600)')}, db => 'ext');
runs_ok('services of another extension', name => 'a', db => 'ext');
$session->query_safe('select 1');
my $drop = $node->session(db => 'ext');
$drop->query_safe('begin; drop extension worker_pool');
$drop->query_safe('rollback');
runs_ok('a DROP EXTENSION that is rolled back', name => 'a', db => 'ext');
$drop->query_safe('drop extension worker_pool');
$node->becomes_ok(q{not exists (select from worker_pool.workers where database = 'ext' and kind = 'service')}, 'DROP EXTENSION ends all of them, the busy one too', limit => 40);
$drop->query_safe('create extension worker_pool');
is($node->sql('select count(*) from worker_pool.services', db => 'ext'), 0, 'made anew it has none');
$node->sql(q{select worker_pool.create_service('a', 'insert into tick select', every => '10 ms')}, db => 'ext');
runs_ok('... and can have some', name => 'a', db => 'ext');
$drop->query('drop schema worker_pool cascade');
is($drop->sqlstate, '2BP01', 'its schema cannot be dropped without it');
$node->sql('create role owner superuser');
$drop->query_safe('drop owned by owner; set role owner; drop extension worker_pool cascade');
$node->becomes_ok(q{not exists (select from worker_pool.workers where database = 'ext' and kind = 'service')}, 'DROP EXTENSION ... CASCADE likewise');
$drop->quit;
$node->sql('drop database ext');

# --- roles ------------------------------------------------------------------------------------------------------------

$node->sql('create role worker login; grant all on tick to worker; grant usage on schema worker_pool to worker');
$node->sql(q{select worker_pool.create_service('mine', 'insert into tick default values', every => '50 ms')}, user => 'worker');
runs_ok('a service of an ordinary role', name => 'mine');
is($node->sql(q{select username from worker_pool.workers where service = 'mine'}), 'worker', '... runs as it');
$node->sql('alter role worker nologin');
$node->becomes_ok(q{(select state = 'backing off' and pid is null and last_error is not null from worker_pool.services where name = 'mine')}, 'NOLOGIN ends its process, with the reason');
$node->sql('alter role worker login');
runs_ok('LOGIN brings it back', name => 'mine');
$node->sql('revoke connect on database postgres from public');
$node->becomes_ok(q{(select state = 'backing off' and pid is null from worker_pool.services where name = 'mine')}, 'REVOKE CONNECT likewise');
$node->sql('grant connect on database postgres to public');
runs_ok('... and back', name => 'mine');
$node->fails_ok('42501', q{select worker_pool.stop_service('tick')}, 'it may not stop others', user => 'worker');
$node->fails_ok('42501', q{select worker_pool.alter_service('tick', every => '1h')}, 'nor change them', user => 'worker');
$node->fails_ok('42501', q{select worker_pool.create_service('root', 'select 1', run_as => 'postgres')}, 'nor run as others', user => 'worker')
  if $node->sql(q{select exists (select from pg_roles where rolname = 'postgres')}) eq 't';
is($node->sql(q{select command is null and last_error is null and config is null from worker_pool.services where name = 'tick'}, user => 'worker'), 't', 'nor see what they do');
$node->sql('reassign owned by worker to current_user; drop owned by worker; drop role worker');
$node->becomes_ok(q{(select pid is null and state = 'backing off' and last_error like '%role%' from worker_pool.services where name = 'mine')}, 'DROP ROLE: it cannot run, and says so');
$node->sql(q{select worker_pool.drop_service('mine')});

# --- an unusual role ------------------------------------------------------------------------------------------------------

$node->sql(q{create role odd login; grant all on tick to odd; grant usage on schema worker_pool to odd;
	alter role odd set default_transaction_read_only = on; alter role odd set default_transaction_isolation = serializable;
	alter role odd set statement_timeout = '1s'; alter role odd set row_security = off; alter role odd set search_path = ''});
my $odd = $node->session(user => 'odd');
$odd->query_safe('set default_transaction_read_only = off; set statement_timeout = 0');
$odd->query_safe(q{select worker_pool.create_service('odd', 'insert into public.tick default values', every => '50 ms', settings => '{"default_transaction_read_only": "off"}')});
runs_ok('a role with unusual settings', name => 'odd');
$odd->quit;
$node->sql(q{select worker_pool.drop_service('odd')});

# --- slots that are not there ------------------------------------------------------------------------------------------------

$node->configure('worker_pool.enabled' => 'off');
$node->becomes_ok('(select free = max_workers from worker_pool.status)', 'worker_pool.enabled = off ends the process');
$node->configure('worker_pool.enabled' => 'on');
runs_ok('on starts it again', name => 'tick');

$session->quit;
$node->slots_ok('no slot was lost');
$node->finish;
done_testing();
