# Services on a hot standby, and after its promotion.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use WorkerPool;

my $primary = WorkerPool->make('primary', init => { allows_streaming => 1 });

$primary->sql('create table tick (server text)');
$primary->sql(q{select worker_pool.create_service('primary', 'insert into tick values (current_setting($$cluster_name$$))', every => '100 ms')});
$primary->sql(q{select worker_pool.create_service('any', 'select count(*) from tick', every => '100 ms', run_on => 'any')});
is($primary->sql(qq{select worker_pool.wait_service('$_', cycles => 1, timeout => '20s')}), 't', "$_ runs on the primary") for qw(primary any);
$primary->backup('base');

my $standby = WorkerPool->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "cluster_name = 'standby'\n");
$standby->start;
$standby->wait_until('pg_is_in_recovery()');

$standby->becomes_ok(q{(select cycle >= 3 from worker_pool.services where name = 'any')}, 'a service for any server runs on the standby');
is($standby->sql(q{select pid is null and coalesce(cycle, 0) = 0 from worker_pool.services where name = 'primary'}), 't', '... one for the primary does not');
is($standby->sql(q{select worker_pool.wait_service('any', cycles => 1, timeout => '20s')}), 't', 'wait_service works there');
$standby->fails_ok('55000', $_->[1], "$_->[0] on a standby") for (
	[ 'create_service', q{select worker_pool.create_service('s', 'select 1')} ],
	[ 'alter_service', q{select worker_pool.alter_service('any', every => '1h')} ],
	[ 'stop_service', q{select worker_pool.stop_service('any')} ],
	[ 'start_service', q{select worker_pool.start_service('any')} ],
	[ 'restart_service', q{select worker_pool.restart_service('any')} ],
	[ 'drop_service', q{select worker_pool.drop_service('any')} ]);

# what the primary changes reaches the standby with the replay
$primary->sql(q{select worker_pool.stop_service('any')});
$standby->becomes_ok(q{(select pid is null and state = 'stopped' from worker_pool.services where name = 'any')}, 'stopped on the primary, stopped here');
$primary->sql(q{select worker_pool.start_service('any'); select worker_pool.create_service('new', 'select 1', every => '100 ms', run_on => 'any')});
$primary->wait_for_catchup($standby);
$standby->sql('select worker_pool.rescan()');
$standby->becomes_ok(q{(select bool_and(cycle >= 1) from worker_pool.services where run_on = 'any')}, 'rescan() lets a standby look for new ones');
is($standby->sql(q{select count(*) from tick where server = 'standby'}), 0, 'nothing was written');

# a role that goes by replay, a database that is dropped under it
$primary->sql('create database gone');
$primary->sql(q{create extension worker_pool; select worker_pool.create_service('any', 'select 1', every => '50 ms', run_on => 'any')}, db => 'gone');
$primary->wait_for_catchup($standby);
$standby->sql('select worker_pool.rescan()', db => 'gone');
$standby->becomes_ok(q{exists (select from worker_pool.workers where database = 'gone' and kind = 'service')}, 'in another database');
$primary->sql('drop database gone');
$primary->wait_for_catchup($standby);
$standby->becomes_ok(q{not exists (select from worker_pool.workers where kind = 'service' and (database is null or database = 'gone'))}, 'whose drop is replayed');
$standby->slots_ok;

# promotion
my $pid = $standby->sql(q{select pid from worker_pool.services where name = 'any'});
$primary->stop('immediate');
my $start = time;
$standby->promote;
$standby->becomes_ok(q{exists (select from tick where server = 'standby')}, 'the service for the primary runs after the promotion');
note(sprintf('%.1f s after the promotion', time - $start));
is($standby->sql(q{select worker_pool.wait_service('any', cycles => 1, timeout => '20s')}), 't', 'the one for any server goes on');
$standby->sql(q{select worker_pool.stop_service(name) from worker_pool.services});
$standby->becomes_ok(q{(select bool_and(state = 'stopped' and pid is null) from worker_pool.services)}, 'they can be stopped now');
$standby->slots_ok;
$standby->finish(allow_signal => qr/3: Quit/);
done_testing();
