# Command services: cycles, changes at commit, failures and back-off, time-outs, quarantine, waiting.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use WorkerPool;

my $node = WorkerPool->make('main', settings => {
		'worker_pool.max_workers' => 6,
		'max_worker_processes' => 16,
		'worker_pool.restart_backoff_initial' => '100ms',
		'worker_pool.restart_backoff_max' => '400ms' });

sub service
{
	my ($name, $columns) = @_;

	return $node->sql("select $columns from worker_pool.services where name = '$name'");
}

sub drop
{
	$node->sql("select worker_pool.drop_service('$_')") for @_;
	$node->wait_until("not exists (select from worker_pool.workers where kind = 'service')");
}

$node->sql('create table tick (at timestamptz default clock_timestamp(), pid int default pg_backend_pid(), xid xid8 default pg_current_xact_id(), note text)');

# --- cycles ------------------------------------------------------------------------------------------------

my $id = $node->sql(q{select worker_pool.create_service('tick', 'insert into tick default values', every => '200 ms')});

like($id, qr/^\d+$/, 'create_service returns an id');
is($node->sql(q{select worker_pool.wait_service('tick', cycles => 3, timeout => '20s')}), 't', 'three new cycles came');
is($node->sql('select count(distinct pid) from tick'), 1, 'one warm process runs them');
is($node->sql('select count(*) = count(distinct xid) from tick'), 't', 'each cycle is a transaction of its own');
is($node->sql(q{select bool_and(gap >= interval '150 ms') from (select at - lag(at) over (order by at) as gap from tick offset 1) as t where gap is not null}),
	't', 'a cycle each 200 ms, not sooner');
is(service('tick', q{state in ('waiting', 'running'), cycle >= 3, restarts, failures, last_error is null, quarantine_reason is null, pid = (select pid from tick limit 1)}),
	't|t|0|0|t|t|t', 'the view tells how it does');
is($node->sql(q{select kind, service, username = current_user, database, command_id is null, task_id is null from worker_pool.workers where kind = 'service'}),
	'service|tick|t|postgres|t|t', 'its slot stands in workers');
is($node->sql(q{select backend_type, application_name from pg_stat_activity where pid = (select pid from worker_pool.services)}),
	"worker_pool worker|worker_pool service $id (tick)", 'its process says what it is');
$node->fails_ok('0A000', "select worker_pool.stop_worker($id)", 'stop_worker of a service is refused', like => qr/stop_service/);

# --- changes take effect at commit, and not before ----------------------------------------------------------

my $session = $node->session;
$session->query_safe(q{begin; select worker_pool.stop_service('tick')});
my $cycle = service('tick', 'cycle');
is($node->sql(q{select worker_pool.wait_service('tick', cycles => 1, timeout => '10s')}), 't', 'it runs on while stop_service is not committed');
is($session->query(q{select worker_pool.wait_service('tick', 'stopped', timeout => '10s')}), '', 'the transaction that stopped it cannot wait for that');
is($session->sqlstate, '55000', '... an error at once');
$session->query_safe('rollback');
is($node->sql(q{select worker_pool.wait_service('tick', cycles => 1, timeout => '10s')}), 't', 'nor does a rollback stop it');
is($node->sql(q{select worker_pool.stop_service('tick')}), 't', 'stop_service');
is($node->sql(q{select worker_pool.wait_service('tick', 'stopped', timeout => '10s')}), 't', 'it is stopped');
$node->becomes_ok(q{(select pid is null and state = 'stopped' and not active from worker_pool.services)}, 'its process is gone');
is($node->sql(q{select worker_pool.stop_service('tick')}), 'f', 'there was nothing to stop');
is($node->sql(q{select worker_pool.restart_service('tick')}), 'f', 'nor to restart');
is($node->sql(q{select worker_pool.start_service('tick')}), 't', 'start_service');
is($node->sql(q{select worker_pool.start_service('tick')}), 'f', '... which was enough');
is($node->sql(q{select worker_pool.wait_service('tick', cycles => 1, timeout => '10s')}), 't', 'it runs again');
my $pid = service('tick', 'pid');
is($node->sql(q{select worker_pool.restart_service('tick')}), 't', 'restart_service');
$node->becomes_ok("(select pid <> $pid from worker_pool.services)", 'another process runs it');
is(service('tick', 'failures, quarantine_reason is null'), '0|t', '... which is no failure');
$session->query_safe(q{begin; savepoint s; select worker_pool.alter_service('tick', command => $$insert into tick (note) values ('never')$$); rollback to s; select worker_pool.alter_service('tick', command => $$insert into tick (note) values (worker_pool.current_service_config() ->> 'word')$$, config => '{"word": "changed"}'); commit});
is($node->sql(q{select worker_pool.wait_service('tick', cycles => 2, timeout => '10s')}), 't', 'it was changed');
is($node->sql(q{select string_agg(distinct note, ',') from tick}), 'changed', '... by the savepoint that was committed; the config can be read inside');
is($node->sql('select worker_pool.current_service_config() is null'), 't', 'elsewhere there is none');

# alter of `every` reaches a service that waits
$node->sql(q{select worker_pool.alter_service('tick', every => '1h')});
is($node->sql(q{select worker_pool.wait_service('tick', 'waiting', timeout => '10s')}), 't', 'it waits for an hour');
$cycle = service('tick', 'cycle');
$node->sql(q{select worker_pool.alter_service('tick', every => '200 ms')});
$node->becomes_ok("(select cycle > $cycle from worker_pool.services)", '... but no longer than it is to');
drop('tick');
is($node->sql('select count(*) from worker_pool.services'), 0, 'a dropped one is gone');
$node->fails_ok('42704', q{select worker_pool.drop_service('tick')}, 'and unknown');

# dropped and made anew in one transaction: never two processes of one name
$node->sql(q{select worker_pool.create_service('one', $$select pg_sleep(0.05) from pg_advisory_xact_lock(1); insert into tick (note) values ('one')$$, every => '10 ms')});
for (1 .. 10)
{
	$node->sql(q{begin; select worker_pool.drop_service('one'); select worker_pool.create_service('one', $$select pg_sleep(0.05) from pg_advisory_xact_lock(1); insert into tick (note) values ('one')$$, every => '10 ms'); commit});
	is($node->sql(q{select count(*) <= 1 from worker_pool.workers where service = 'one' and state = 'running'}), 't', 'one process at most');
}
is($node->sql(q{select worker_pool.wait_service('one', cycles => 1, timeout => '10s')}), 't', 'the last one runs');
drop('one');

# VACUUM, CALL with COMMIT: a command is a top-level one
$node->sql(q{select worker_pool.create_service('vacuum', 'vacuum tick', every => '1h')});
is($node->sql(q{select worker_pool.wait_service('vacuum', 'waiting', timeout => '10s')}), 't', 'VACUUM is a service');
is(service('vacuum', 'failures, cycle'), '0|1', '... that succeeds');
drop('vacuum');

# --- failures ----------------------------------------------------------------------------------------------

my $log = $node->log_end;
$node->sql('create table target ()');
$node->sql(q{select worker_pool.create_service('failing', 'insert into target select from no_such_table', every => '50 ms')});
$node->becomes_ok(q{(select failures >= 4 and state in ('backing off', 'running') and next_start is not null from worker_pool.services)}, 'a failing service is tried again and again');
like(service('failing', 'last_error'), qr/relation "no_such_table" does not exist/, 'the view has its error');
is(service('failing', 'restarts, quarantine_reason is null, pid is not null'), '0|t|t', '... it is no crash, and its process stays');
my @warnings = $node->log_since($log) =~ /WARNING:  .*service "failing".*\n/g;
is(scalar(@warnings), 1, 'one WARNING an episode') or diag(@warnings);
is(scalar(() = $node->log_since($log) =~ /ERROR:  relation "no_such_table"/g), 0, '... and no ERROR line for each cycle');
$node->sql('create table no_such_table ()');
is($node->sql(q{select worker_pool.wait_service('failing', cycles => 1, timeout => '10s')}), 't', 'it succeeds when it can');
is(service('failing', 'failures, last_error is not null'), '0|t', '... and starts to count anew');
drop('failing');

# a crash of its process: back-off, three in a row and quarantine, lifted by start_service
$log = $node->log_end;
$node->sql(q{select worker_pool.create_service('crashing', 'select pg_terminate_backend(pg_backend_pid()), pg_sleep(10)', every => '1h')});
$node->becomes_ok(q{(select state = 'quarantined' from worker_pool.services)}, 'three crashes in a row bring it into quarantine');
is(service('crashing', q{pid is null, quarantine_reason is not null, next_start is null}), 't|t|t', '... with a reason, and no process');
@warnings = $node->log_since($log) =~ /WARNING:  .*service "crashing".*\n/g;
cmp_ok(scalar(@warnings), '<=', 2, 'one WARNING an episode, one at quarantine') or diag(@warnings);
cmp_ok(scalar(@warnings), '>=', 1, '... at least that') or diag(@warnings);
$node->fails_ok('55000', q{select worker_pool.wait_service('crashing', cycles => 1, timeout => '10s')}, 'who waits for it is told', like => [ qr/quarantine/, qr/start_service/ ]);
is($node->sql(q{select worker_pool.wait_service('crashing', 'quarantined', timeout => '1s')}), 't', 'unless he waited for that');
$node->becomes_ok(q{(select quarantined_at > '-infinity' from worker_pool.service)}, 'it is written down');
$node->restart;
$node->wait_quiet;
is(service('crashing', q{state, quarantine_reason is not null}), 'quarantined|t', 'and outlives a restart');
$node->sql(q{select worker_pool.alter_service('crashing', command => 'select 1')});
is(service('crashing', 'state'), 'quarantined', 'a change does not lift it');
is($node->sql(q{select worker_pool.start_service('crashing')}), 't', 'start_service does');
is($node->sql(q{select worker_pool.wait_service('crashing', 'waiting', timeout => '10s')}), 't', 'it runs');
is(service('crashing', 'quarantine_reason is null, failures, cycle'), 't|0|1', '... as if nothing had been');
drop('crashing');

# two crashes and a success: not in a row
$node->sql('create sequence attempt');
$node->sql(q{select worker_pool.create_service('twice', $$select case when nextval('attempt') % 3 <> 0 then pg_terminate_backend(pg_backend_pid()) end, pg_sleep(0.3)$$, every => '10 ms')});
$node->becomes_ok(q{(select cycle >= 3 from worker_pool.services)}, 'two crashes and a success are not three in a row');
is(service('twice', q{state <> 'quarantined', restarts >= 4}), 't|t', '... the restarts are counted');
drop('twice');

# overrun of its timeout: cancelled; three in a row: quarantine
$node->sql(q{select worker_pool.create_service('slow', 'select pg_sleep(60)', every => '10 ms', timeout => '200 ms')});
$node->becomes_ok(q{(select failures >= 1 or state = 'quarantined' from worker_pool.services)}, 'an overrun is a failure');
$node->becomes_ok(q{(select state = 'quarantined' from worker_pool.services)}, '... the third in a row brings it into quarantine');
like(service('slow', 'quarantine_reason'), qr/timeout|time-out|overr/i, '... which says why');
drop('slow');

# one that catches its cancel is terminated
$node->sql(q{select worker_pool.create_service('stubborn', $$do 'begin loop begin perform pg_sleep(60); exception when query_canceled then null; end; end loop; end'$$, every => '10 ms', timeout => '200 ms')});
$node->becomes_ok(q{(select restarts >= 1 from worker_pool.services)}, 'one that catches its cancel is terminated', limit => 30);
$node->sql(q{select worker_pool.stop_service('stubborn')});
$node->becomes_ok(q{(select state = 'stopped' and pid is null from worker_pool.services)}, '... and stopped at once, by cancel or terminate', limit => 30);
drop('stubborn');

# --- waiting -----------------------------------------------------------------------------------------------

$node->sql(q{select worker_pool.create_service('long', 'select pg_sleep(1)', every => '1 ms')});
$node->becomes_ok(q{(select state = 'running' from worker_pool.services)}, 'a long cycle runs');
my $begun = time;
is($node->sql(q{select worker_pool.wait_service('long', cycles => 1, timeout => '20s')}), 't', 'a cycle that began after the call was waited for');
cmp_ok(time - $begun, '>', 1, '... not the one that ran at the call');
is($node->sql(q{select worker_pool.wait_service('long', cycles => 100, timeout => '200 ms')}), 'f', 'the time-out came first');
$node->fails_ok('42704', q{select worker_pool.wait_service('nobody')}, 'nobody knows it');
$node->fails_ok('22023', q{select worker_pool.wait_service('long', state => 'sleeping')}, 'no such state');
$session = $node->session;
$session->send(q{select worker_pool.wait_service('long', cycles => 1000)});
$node->wait_until(q{exists (select from pg_stat_activity where query like '%cycles => 1000)%' and wait_event_type = 'Extension')});
$node->sql(q{select worker_pool.drop_service('long')});
$session->receive;
is($session->sqlstate, '42704', 'who waits for a service that is dropped is told');
$node->wait_until("not exists (select from worker_pool.workers where kind = 'service')");

# --- a stop does not wait, and reaches a running command ------------------------------------------------------

$node->sql(q{select worker_pool.create_service('sleeper', $$insert into tick (note) values ('half'); select pg_sleep(600)$$, every => '1h')});
$node->wait_until(q{exists (select from pg_stat_activity where backend_type = 'worker_pool worker' and wait_event = 'PgSleep')});
$begun = time;
$node->sql(q{select worker_pool.stop_service('sleeper')});
is($node->sql(q{select worker_pool.wait_service('sleeper', 'stopped', timeout => '10s')}), 't', 'a running command is cancelled by stop_service');
# the launcher sends its first signal after 5 s
cmp_ok(time - $begun, '<', 5, '... before the launcher would have');
is($node->sql(q{select count(*) from tick where note = 'half'}), 0, '... and rolled back');
is(service('sleeper', 'failures, last_error is null'), '0|t', '... which is no failure');
drop('sleeper');

# --- slots ---------------------------------------------------------------------------------------------------

$node->slots_ok('no slot was lost');
$node->nothing_left_ok('and nothing is kept');
$session->quit;
$node->finish;
done_testing();
