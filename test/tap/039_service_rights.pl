# What a role can do to services of others: hold them up by locks, own more than it may, go on when it has lost its
# rights; and rows that nobody should have written.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use WorkerPool;

my $node = WorkerPool->make('main', settings => {
		'worker_pool.max_workers' => 6,
		'max_worker_processes' => 20,
		'max_prepared_transactions' => 2,
		'worker_pool.restart_backoff_initial' => '50ms',
		'worker_pool.restart_backoff_max' => '200ms' });

$node->sql($_) for (
	'create extension probe',
	'create role low login',
	'create role alice login',
	'create role boss login superuser',
	'grant usage on schema worker_pool to low, alice, boss');

# as(ROLE, SQL): one transaction of its own
sub as
{
	my ($role, $sql) = @_;

	return "set role $role; $sql";
}

# --- locks ---------------------------------------------------------------------------------------------------

$node->sql(q{select worker_pool.create_service('billing', 'select 1', every => '1 day')});

my $holder = $node->session;

$holder->query_safe(as('low', q{begin; select worker_pool.create_service('billing', 'select 1', if_not_exists => true)}));
is($node->sql(q{set lock_timeout = '5s'; select worker_pool.stop_service('billing')}), 't', 'if_not_exists holds nobody up');
$holder->query_safe('rollback; reset role');

$holder->query_safe(q{begin; select worker_pool.alter_service('billing', every => '2 days')});
$node->fails_ok('42501', as('low', q{set lock_timeout = '5s'; select worker_pool.drop_service('billing')}), 'whoever may not is told before he waits for a lock');
$holder->query_safe('rollback');

# a quarantine is written down by a visit, which does not wait for the row
$node->sql(as('low', q{select worker_pool.create_service('slow', 'select pg_sleep(10)', every => '1s', timeout => '200ms')}));
$holder->query_safe(as('low', q{begin; select worker_pool.alter_service('slow', every => '2s')}));
$node->becomes_ok(q{select state = 'quarantined' from worker_pool.services where name = 'slow'}, 'in quarantine while its row is locked', limit => 60);
$node->sql('select worker_pool.rescan()');
$node->sql(q{select worker_pool.create_service('quick', 'select 1', every => '100 ms')});
is($node->sql(q{select worker_pool.wait_service('quick', cycles => 2, timeout => '10s')}), 't', 'others go on meanwhile');
$holder->query_safe('rollback; reset role');
$node->becomes_ok(q{select quarantined_at > '-infinity' from worker_pool.service where name = 'slow'}, 'written down later', limit => 60);

# out of quarantine by a prepared transaction, which a visit tells of: the crashes are forgotten
$node->sql(as('low', q{begin; select worker_pool.alter_service('slow', 'select 1'); select worker_pool.start_service('slow'); prepare transaction 'start'}));
$node->sql(q{commit prepared 'start'});
$node->becomes_ok(q{select state in ('waiting', 'running') and failures = 0 from worker_pool.services where name = 'slow'}, 'started by a prepared transaction', limit => 60);

# --- limits --------------------------------------------------------------------------------------------------

$holder->query_safe(as('low', q{begin; select count(worker_pool.create_service('one ' || i, 'select 1', active => false)) from generate_series(1, 90) i}));
$node->fails_ok('53400', as('low', q{select count(worker_pool.create_service('two ' || i, 'select 1', active => false)) from generate_series(1, 90) i}), 'what other sessions of the role have not committed counts');
$holder->query_safe('rollback; reset role');
is($node->sql(as('low', q{select count(worker_pool.create_service('three ' || i, 'select 1', active => false)) from generate_series(1, 90) i})), 90, 'what they have rolled back does not');

# --- rights that are lost ------------------------------------------------------------------------------------

my $conninfo = 'dbname=postgres user=' . $node->sql('select current_user') . ' host=' . $node->host . ' port=' . $node->port;

$node->sql(as('boss', qq{select worker_pool.create_service('outside', entry_point => 'probe:unconnected_main', config => jsonb_build_object('conninfo', '$conninfo', 'text', 'x'))}));
$node->sql(as('boss', q{select worker_pool.create_service('resident', entry_point => 'probe:resident', run_as => 'alice')}));
for my $name ('outside', 'resident')
{
	is($node->sql("select worker_pool.wait_service('$name', cycles => 1, timeout => '30s')"), 't', "$name runs");
}
$node->sql('alter role boss nosuperuser');
$node->sql('grant alice to boss');
for my $name ('outside', 'resident')
{
	$node->becomes_ok("select pid is null and last_error ~ 'superuser|permission|preloaded' from worker_pool.services where name = '$name'", "$name of an owner who is no superuser any more does not run", limit => 60);
}
$node->sql('alter role boss superuser');
for my $name ('outside', 'resident')
{
	$node->becomes_ok("select state = 'running' from worker_pool.services where name = '$name'", "$name runs again when he is one", limit => 60);
}
$node->sql(q{alter role boss nosuperuser});

# the library is not even loaded for him
$node->sql(q{select pg_terminate_backend(pid) from worker_pool.services where pid is not null and name in ('outside', 'resident')});
$node->becomes_ok(q{select last_error = 'permission denied for the entry point of the service' from worker_pool.services where name = 'resident'}, 'no process loads a library for him', limit => 60);
$node->sql('alter role boss superuser');
$node->sql("select worker_pool.drop_service('$_')") for ('outside', 'resident');

# --- rows that nobody should have written --------------------------------------------------------------------

$node->fails_ok('23514', q{update worker_pool.service set command = null where name = 'quick'}, 'a service that runs nothing');
is($node->sql(q{select worker_pool.wait_service('quick', cycles => 2, timeout => '20s')}), 't', 'the others run on');

$node->finish;
done_testing();
