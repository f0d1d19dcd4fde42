
# Durable verbs on a standby; unfinished tasks after a promotion.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use WorkerPool;

my $primary = WorkerPool->make('primary', init => { allows_streaming => 1 }, settings => { 'worker_pool.idle_timeout' => '1h' });

$primary->sql('create database other');
for my $db (qw(postgres other))
{
	$primary->sql('create extension worker_pool', db => $db) if $db ne 'postgres';
	$primary->sql('create table effect (n bigint)', db => $db);
}
$primary->backup('base');

my $standby = WorkerPool->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "cluster_name = 'standby'\n");
$standby->start;
$standby->wait_until('pg_is_in_recovery()');

$standby->fails_ok('55000', $_->[1], "$_->[0] on a standby") for (
	[ 'enqueue', q{select worker_pool.enqueue('select 1')} ],
	[ 'schedule', q{select worker_pool.schedule('s', '* * * * *', 'select 1')} ],
	[ 'cancel_task', q{select worker_pool.cancel_task(1)} ],
	[ 'create_queue', q{select worker_pool.create_queue('q')} ]);
is($standby->sql(q{select n from worker_pool.query('select 1') as (n int)}), 1, 'commands that only read run there');

# One task runs, one waits, one is due later, one is a schedule, in two databases.
for my $db (qw(postgres other))
{
	$primary->sql(q{select worker_pool.enqueue('insert into effect values (1); select pg_sleep(case when current_setting($$cluster_name$$) = $$standby$$ then 0 else 600 end)')}, db => $db);
	$primary->sql(q{select worker_pool.enqueue('insert into effect values (2)', run_at => now() + interval '4 seconds')}, db => $db);
	$primary->sql(q{select worker_pool.schedule('each second', '1 second', 'insert into effect values (3)', overlap => 'skip')}, db => $db);
}
$primary->wait_until(q{(select count(*) = 2 from pg_stat_activity where backend_type = 'worker_pool worker' and query like '%values (1)%')});
$primary->wait_for_catchup($standby);
$primary->stop('immediate');
my $start = time;
$standby->promote;
for my $db (qw(postgres other))
{
	$standby->becomes_ok('exists (select from effect where n = 3)', "$db: schedules go on after the promotion", db => $db, limit => 10);
	$standby->becomes_ok(q{exists (select from worker_pool.tasks where state = 'running') or exists (select from effect where n = 1)},
		"$db: the task that the old primary ran is taken over", db => $db, limit => 10);
	$standby->becomes_ok('exists (select from effect where n = 2)', "$db: the later one runs", db => $db, limit => 15);
}
note(sprintf('%.1f s after the promotion', time - $start));
$standby->sql(q{select worker_pool.cancel_task(id, '1s') from worker_pool.tasks where state = 'running'}, db => $_) for qw(postgres other);
$standby->slots_ok;

$standby->finish(allow_signal => qr/3: Quit/);
done_testing();
