# Entry points in C and C++ that go wrong in every way, resident ones, ones without a database; slots for own background
# workers; the rest of the C interface. The probe extension (test/samples/probe) has them.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use WorkerPool;

my $node = WorkerPool->make('main', settings => {
		'worker_pool.max_workers' => 6,
		'max_worker_processes' => 20,
		'worker_pool.restart_backoff_initial' => '50ms',
		'worker_pool.restart_backoff_max' => '200ms' });

$node->sql('create extension probe');

# make(NAME, ENTRY POINT, CONFIG, further arguments)
sub make
{
	my ($name, $entry, $config, $more) = @_;

	$config //= '{}';
	$more = defined $more ? ", $more" : '';
	return $node->sql("select worker_pool.create_service('$name', entry_point => 'probe:$entry', config => '$config'$more)");
}

sub drop
{
	my ($name) = @_;

	$node->sql("select worker_pool.drop_service('$name')");
	$node->wait_until("not exists (select from worker_pool.workers where service = '$name')", limit => 60);
}

sub service
{
	my ($name, $columns) = @_;

	return $node->sql("select $columns from worker_pool.services where name = '$name'");
}

sub events
{
	my ($name, $what) = @_;

	return $node->sql("select count(*) from probe_events where service = '$name'" . ($what ? " and what = '$what'" : ''));
}

# --- cycles --------------------------------------------------------------------------------------------------

make('count', 'count_rows', '{"table": "pg_class"}', q{every => '100 ms'});
is($node->sql(q{select worker_pool.wait_service('count', cycles => 3, timeout => '20s')}), 't', 'a cycle in C');
cmp_ok(events('count', 'count'), '>=', 3, '... has its effect');
is($node->sql(q{select count(distinct pid) from probe_events where service = 'count'}), 1, '... in one process');
drop('count');

make('config', 'config', '{"word": "one"}', q{every => '50 ms'});
$node->sql(q{select worker_pool.wait_service('config', cycles => 1, timeout => '20s')});
$node->sql(q{select worker_pool.alter_service('config', config => '{"word": "two"}')});
$node->sql(q{select worker_pool.wait_service('config', cycles => 1, timeout => '20s')});
is($node->sql(q{select detail::jsonb ->> 'word' from probe_events where service = 'config' order by id desc limit 1}), 'two', 'each cycle has the config of now');
drop('config');

make('progress', 'progress', '{"seconds": 30}');
$node->becomes_ok(q{(select progress = 0.5 and message = 'half way' from worker_pool.workers where service = 'progress')}, 'report_progress in a service');
drop('progress');

# --- faults ---------------------------------------------------------------------------------------------------

for my $case (
	[ 'error', qr/probe error/ ],
	[ 'stack', qr/stack depth/ ],
	[ 'oom', qr/out of memory/ ],
	[ 'cpp_throw', qr/probe: thrown/ ],
	[ 'cpp_bad_alloc', qr/out of memory/ ],
	[ 'open_transaction', qr/transaction/ ])
{
	my ($entry, $error) = @$case;

	make($entry, $entry, '{}', q{every => '20 ms'});
	$node->becomes_ok("(select failures >= 4 from worker_pool.services where name = '$entry')", "$entry: fails and is tried again");
	like(service($entry, 'last_error'), $error, "$entry: its error is shown");
	is(service($entry, q{quarantine_reason is null, pid is not null or state = 'starting'}), 't|t', "$entry: no crash, the process lives on");
	is(events($entry), 0, "$entry: its effect is rolled back");
	drop($entry);
}
make('recover', 'error', '{"times": 2}', q{every => '20 ms'});
is($node->sql(q{select worker_pool.wait_service('recover', cycles => 1, timeout => '20s')}), 't', 'one that recovers goes on');
drop('recover');

my $server = $node->sql('select pg_postmaster_start_time(), launcher_started_at from worker_pool.status');
for my $entry (qw(fatal exit0 exit1 exit3))
{
	make($entry, $entry, '{}', q{every => '20 ms'});
	$node->becomes_ok("(select state = 'quarantined' from worker_pool.services where name = '$entry')", "$entry: three in a row bring it into quarantine");
	is(service($entry, q{pid is null, quarantine_reason is not null}), 't|t', "$entry: with a reason");
	is($node->sql("select worker_pool.start_service('$entry')"), 't', "$entry: start_service lifts it");
	$node->becomes_ok("(select state = 'quarantined' from worker_pool.services where name = '$entry')", "$entry: ... and it comes again");
	drop($entry);
}

is($node->sql('select pg_postmaster_start_time(), launcher_started_at from worker_pool.status'), $server, 'the rest of the server noticed nothing of it');

# a hang without interrupts: its timeout cannot end it; it is reported, never killed, and goes on afterwards
my $log = $node->log_end;
make('hang', 'hang', '{"seconds": 25}', q{every => '1 h', timeout => '200 ms'});
$node->becomes_ok(q{(select state = 'running' from worker_pool.services where name = 'hang')}, 'a cycle hangs without interrupts');
my $pid = service('hang', 'pid');
is($node->sql(q{select worker_pool.stop_service('hang')}), 't', 'it is told to stop, which does not wait');
is($node->sql(q{select worker_pool.wait_service('hang', 'stopped', timeout => '1s')}), 'f', 'it does not');
is(service('hang', qq{pid = $pid, stopping_since < now()}), 't|t', 'the view shows its pid and since when it is to stop');
$node->wait_for_log(qr/WARNING:  .*service "hang".*\n.*DETAIL:  Process $pid/, $log);
ok(WorkerPool::lives($pid), 'it was reported in the log, and not killed');
$node->becomes_ok(q{(select pid is null from worker_pool.services where name = 'hang')}, 'it is gone when it comes to itself', limit => 60);
drop('hang');

make('deaf', 'deaf', '{"seconds": 60}', q{every => '1 h'});
$node->becomes_ok(q{(select state = 'running' from worker_pool.services where name = 'deaf')}, 'a cycle that catches its cancels');
$node->sql(q{select worker_pool.stop_service('deaf')});
$node->becomes_ok(q{(select pid is null and state = 'stopped' from worker_pool.services where name = 'deaf')}, '... is terminated in the end', limit => 40);
is(service('deaf', 'quarantine_reason is null, failures'), 't|0', '... which is no crash');
drop('deaf');

# a library or an entry point that is not there
$node->fails_ok('42883', q{select worker_pool.create_service('x', entry_point => 'probe:nothing')}, 'no such entry point', like => qr/HINT/);
$node->fails_ok('58P01', q{select worker_pool.create_service('x', entry_point => 'no_such_library:x')}, 'no such library');
$node->fails_ok('22023', q{select worker_pool.create_service('x', 'select 1', entry_point => 'probe:error')}, 'a command and an entry point');
$node->fails_ok('22023', q{select worker_pool.create_service('x')}, 'neither of them');
$node->sql('create role low login; grant usage on schema worker_pool to low');
$node->fails_ok('42883', qq{select worker_pool.create_service('x', entry_point => 'probe:$_')}, "$_: an ordinary role has no library loaded", user => 'low', like => qr/HINT/)
  for qw(count_rows public_count);

# --- transactions of one's own ------------------------------------------------------------------------------------

make('own', 'own_transactions', '{}', q{every => '50 ms'});
$node->sql(q{select worker_pool.wait_service('own', cycles => 1, timeout => '20s')});
cmp_ok(events('own', 'own 2'), '>=', 1, 'a cycle with transactions of its own');
drop('own');
make('half', 'own_transactions', '{"fail": true}', q{every => '50 ms'});
$node->becomes_ok(q{(select failures >= 2 from worker_pool.services where name = 'half')}, 'an ERROR between two of them');
cmp_ok(events('half', 'own 1'), '>=', 1, '... leaves the first committed');
is(events('half', 'own 2'), 0, '... and not the second');
drop('half');

make('cpp', 'cpp_cycle', '{}', q{every => '50 ms'});
is($node->sql(q{select worker_pool.wait_service('cpp', cycles => 2, timeout => '20s')}), 't', 'a cycle in C++');
drop('cpp');

# --- resident mains ---------------------------------------------------------------------------------------------

make('resident', 'resident', '{"seconds": 0.1}');
is($node->sql(q{select worker_pool.wait_service('resident', cycles => 3, timeout => '20s')}), 't', 'a resident main, whose rounds can be awaited');
is(service('resident', 'state, restarts, failures'), 'running|0|0', '... is running');
$node->sql(q{select worker_pool.alter_service('resident', config => '{"seconds": 0.2}')});
$node->becomes_ok(q{exists (select from probe_events where service = 'resident' and what = 'reload')}, 'a change wakes it');
$pid = service('resident', 'pid');
$node->sql(q{select worker_pool.restart_service('resident')});
$node->becomes_ok("(select pid <> $pid and state = 'running' from worker_pool.services where name = 'resident')", 'restart: another process');
cmp_ok(events('resident', 'stopped'), '>=', 1, '... after the old one had come to its end');
$pid = service('resident', 'pid');
$node->sql("select pg_terminate_backend($pid)");
$node->becomes_ok("(select pid <> $pid and state = 'running' from worker_pool.services where name = 'resident')", 'terminated: another process');
my $launcher = $node->launcher_pid;
kill 'KILL', service('resident', 'pid');
$node->wait_launcher_after($launcher);
is($node->sql(q{select worker_pool.wait_service('resident', cycles => 2, timeout => '30s')}), 't', 'kill -9: it runs after the crash restart');
my $stopped = events('resident', 'stopped');
$node->sql(q{select worker_pool.stop_service('resident')});
is($node->sql(q{select worker_pool.wait_service('resident', 'stopped', timeout => '10s')}), 't', 'stop: by should_stop and its latch');
is(events('resident', 'stopped'), $stopped + 1, '... and not by a signal');
$node->sql(q{select worker_pool.start_service('resident')});

# more of them than may be resident at a time: task slots are 5, one is kept for turns
make("more$_", 'resident', '{"seconds": 0.5}') for 1 .. 6;
$node->becomes_ok(q{(select count(*) = 4 from worker_pool.services where state = 'running')}, 'four of seven residents run, on six workers of which one is reserved');
make('turn', 'count_rows', '{}', q{every => '100 ms'});
is($node->sql(q{select worker_pool.wait_service('turn', cycles => 2, timeout => '20s')}), 't', 'others have their turn beside them');
is($node->sql(q{select worker_pool.run('select 1', timeout => '20s')}), 'SELECT 1', 'and commands');
like($node->sql(q{select last_error from worker_pool.services where name like 'more%' and state <> 'running' limit 1}), qr/resident/, 'the one too many says why it waits');
$node->sql(q{select worker_pool.drop_service(name) from worker_pool.services where name = 'resident' or state = 'running' and name like 'more%'});
$node->becomes_ok(q{(select count(*) = 3 from worker_pool.services where state = 'running' and name like 'more%')}, 'when others have gone they come');
$node->sql(q{select worker_pool.drop_service(name) from worker_pool.services});
$node->wait_until(q{not exists (select from worker_pool.workers where kind = 'service')});

make('exits', 'resident', '{"seconds": 0.01, "exit_after": 2}');
$node->becomes_ok(q{(select restarts >= 3 from worker_pool.services where name = 'exits') or (select state = 'quarantined' from worker_pool.services where name = 'exits')}, 'a resident main that exits is started again, with back-off');
drop('exits');
make('returns', 'returning', '{}', q{every => '100 ms'});
$node->becomes_ok(q{(select count(*) >= 3 from probe_events where service = 'returns')}, 'one that returns is called again');
drop('returns');

$log = $node->log_end;
make('ignores', 'hang_main', '{"seconds": 22}');
$node->becomes_ok(q{(select state = 'running' from worker_pool.services where name = 'ignores')}, 'a resident main that ignores everything');
$pid = service('ignores', 'pid');
$node->sql(q{select worker_pool.stop_service('ignores')});
$node->wait_for_log(qr/WARNING:  .*service "ignores".*\n.*DETAIL:  Process $pid/, $log);
pass('it is reported');
$node->becomes_ok(q{(select pid is null from worker_pool.services where name = 'ignores')}, '... and gone in the end', limit => 60);
is(scalar(() = $node->log_since($log) =~ /WARNING:  .*service "ignores"/g), 1, '... one WARNING');
drop('ignores');

# --- without a database -------------------------------------------------------------------------------------------

my $conninfo = 'host=' . $node->host . ' port=' . $node->port . ' dbname=postgres user=' . $node->sql('select current_user');
make('unconnected', 'unconnected', qq({"conninfo": "$conninfo", "text": "one"}), q{every => '100 ms'});
is($node->sql(q{select worker_pool.wait_service('unconnected', cycles => 2, timeout => '20s')}), 't', 'a cycle without a database');
is($node->sql(q{select datname is null from pg_stat_activity where pid = (select pid from worker_pool.services where name = 'unconnected')}), 't', '... is connected to none');
cmp_ok(events('unconnected', 'unconnected'), '>=', 2, '... and works by libpq');
$node->sql(qq{select worker_pool.alter_service('unconnected', config => '{"conninfo": "$conninfo", "text": "two"}')});
$node->becomes_ok(q{exists (select from probe_events where service = 'unconnected' and detail = 'two')}, 'a changed config reaches it');
$node->sql(q{select worker_pool.alter_service('unconnected', config => '{"conninfo": "host=/nowhere", "text": "three"}')});
$node->becomes_ok(q{(select failures >= 3 from worker_pool.services where name = 'unconnected')}, 'its target is down');
$node->sql(qq{select worker_pool.alter_service('unconnected', config => '{"conninfo": "$conninfo", "text": "four"}')});
$node->becomes_ok(q{exists (select from probe_events where service = 'unconnected' and detail = 'four')}, '... and up again');
drop('unconnected');
make('main', 'unconnected_main', qq({"conninfo": "$conninfo", "text": "main", "seconds": 0.1}));
is($node->sql(q{select worker_pool.wait_service('main', cycles => 2, timeout => '20s')}), 't', 'a resident main without a database');
drop('main');

# --- slots for one's own background workers ---------------------------------------------------------------------------

is($node->sql('select probe_api_present()'), 't', 'the interface is there');
$pid = $node->sql(q{select probe_acquire_slot('mine', 5000)});
like($pid, qr/^\d+$/, 'an own background worker has a slot');
is($node->sql("select kind, name, state from worker_pool.workers where pid = $pid"), 'lease|mine|running', '... which the view shows');
$node->sql(q{select probe_acquire_slot('mine', 1000)}) for 1 .. 3;
is($node->sql(q{select probe_acquire_slot('mine', 100) is null}), 't', 'there are as many as may be resident');
is($node->sql(q{select worker_pool.run('select 1', timeout => '20s')}), 'SELECT 1', 'commands have a slot left');
kill 'TERM', $pid; # it is connected to no database, so pg_terminate_backend() does not know it
$node->becomes_ok("not exists (select from worker_pool.workers where pid = $pid)", 'it comes back when the process ends');
is($node->sql(q{select probe_acquire_slot('late', 5000, 60, 'late')}), -1, 'a ticket that was given back is not good any more');
kill 'TERM', split(/\n/, $node->sql(q{select pid from worker_pool.workers where kind = 'lease'}));
$node->becomes_ok(q{not exists (select from worker_pool.workers where kind = 'lease')}, 'all have come back');
my $session = $node->session;
like($session->query_safe(q{select probe_take_slot('held', 1000)}), qr/^-?[1-9]\d*$/, 'a slot taken by a session');
is($node->sql(q{select count(*) from worker_pool.workers where kind = 'lease'}), 1, '... is in use');
$session->quit;
$node->becomes_ok(q{not exists (select from worker_pool.workers where kind = 'lease')}, '... until the session ends');

# --- commands and tasks -------------------------------------------------------------------------------------------------

is($node->sql(q{select probe_wait('command', probe_start_worker('select 1'))}), 'succeeded', 'start_worker and wait from C');
my $task = $node->sql(q{select probe_enqueue('select $1::int', array['7'])});
is($node->sql("select probe_wait('task', $task)"), 'succeeded', 'enqueue and wait from C');
$task = $node->sql(q{select probe_enqueue('select pg_sleep(600)')});
$node->wait_until("(select state = 'running' from worker_pool.tasks where id = $task)");
is($node->sql("select probe_cancel('task', $task)"), 't', 'cancel from C');
is($node->sql("select probe_wait('task', $task)"), 'cancelled', '... it was cancelled');
$node->fails_ok('42601', q{select probe_start_worker('selec 1')}, 'the errors are those of SQL');
$node->fails_ok('55000', q{select probe_config()}, 'config() outside of an entry point');
is($node->sql('select probe_should_stop()'), 'f', 'should_stop() likewise is false');
$node->fails_ok('XX000', q{select probe_cpp_run('throw')}, 'a C++ exception becomes an ERROR');
$node->fails_ok('53200', q{select probe_cpp_run('bad_alloc')}, 'bad_alloc likewise');

$node->slots_ok('no slot was lost');
$node->finish(allow_signal => qr/9: Killed/, allow => qr/probe: /);

# entry points of a preloaded library
my $preloaded = WorkerPool->make('preloaded', settings => { 'shared_preload_libraries' => 'worker_pool, probe' });
$preloaded->sql('create extension probe; create role low login; grant usage on schema worker_pool to low; grant all on probe_events, probe_events_id_seq to low');
$preloaded->fails_ok('42501', q{select worker_pool.create_service('x', entry_point => 'count_rows')}, 'one that is not public is for superusers', user => 'low');
$preloaded->fails_ok('42501', q{select worker_pool.create_service('x', entry_point => 'unconnected')}, 'one without a database likewise', user => 'low');
$preloaded->sql(q{select worker_pool.create_service('public', entry_point => 'public_count', every => '100 ms')}, user => 'low');
is($preloaded->sql(q{select worker_pool.wait_service('public', cycles => 2, timeout => '20s')}, user => 'low'), 't', 'a public one runs for everybody');
is($preloaded->sql(q{select username from worker_pool.workers where service = 'public'}), 'low', '... as who made it');
$preloaded->finish;

# where the pool is not preloaded, the interface is NULL, and the extension does without
my $without = PostgreSQL::Test::Cluster->new('without');
$without->init;
$without->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
$without->start;
$without->safe_psql('postgres', 'create extension probe');
is($without->safe_psql('postgres', 'select probe_api_present()'), 'f', 'without the pool the interface is absent');
$without->stop;
done_testing();
