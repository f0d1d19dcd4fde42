# The pool on a hot standby, and after its promotion.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use WorkerPool;

my $primary = WorkerPool->make('primary',
	init => { allows_streaming => 1 },
	settings => { 'worker_pool.idle_timeout' => '1h' });

$primary->sql(<<'SQL');
create table t (n int);
insert into t values (1), (2);
create database doomed;
create role alice login;
grant usage on schema worker_pool to alice;
grant select on t to alice;
SQL
$primary->backup('backup');

my $standby = WorkerPool->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby);
$standby->wait_quiet;

# --- read-only work --------------------------------------------------------------------------------------

is($standby->sql('select in_recovery, max_workers, free from worker_pool.status'), 't|4|4', 'the pool is there on a standby');
is($standby->sql(q{select * from worker_pool.query('select n from t order by n') as (n int)}), "1\n2", 'query reads');
is($standby->sql(q{select worker_pool.run('select 1', run_as => 'alice')}), 'SELECT 1', 'as another role');
is( $standby->sql(q{select * from worker_pool.query('select current_database()', database => 'doomed') as (d name)}),
	'doomed', 'in another database');
$standby->fails_ok('25006', q{select worker_pool.run('insert into t values (3)')}, "writing gets the server's own error",
	like => qr/read-only transaction/);
$standby->fails_ok('25006', q{select worker_pool.run('create temporary table u (n int)')}, 'so does DDL');
my $large = $standby->sql(q{select count(*), max(length(t)) from worker_pool.query('select repeat(''x'', 1000) from generate_series(1, 1000)') as (t text)});
is($large, '1000|1000', 'a large result, through a file');
$standby->slots_ok;

# what changes on the primary reaches the warm workers here
my ($pid) = $standby->warm(1, user => 'alice');
$primary->sql('alter role alice nologin');
$primary->wait_for_catchup($standby);
$standby->fails_ok('28000', q{select worker_pool.run('select 1', run_as => 'alice')}, 'a role that may no longer log in, replayed');
$primary->sql(q{alter role alice login; alter role alice set work_mem = '7MB'});
$primary->wait_for_catchup($standby);
is($standby->sql(q{select * from worker_pool.query('show work_mem', run_as => 'alice') as (v text)}), '7MB',
	'a setting of a role, replayed');

# --- a database is dropped on the primary ----------------------------------------------------------------

$standby->warm(1, db => 'doomed');
my @ids = $standby->start_busy(2, db => 'doomed');
$primary->sql('drop database doomed');
$primary->wait_for_catchup($standby);
is($standby->sql("select count(*) from pg_database where datname = 'doomed'"), '0',
	'DROP DATABASE is replayed, with warm and busy workers there');
is($standby->sql("select string_agg(distinct worker_pool.wait_worker(id), ' ') from unnest(array[$ids[0], $ids[1]]) id"),
	'lost', 'the busy ones are lost');
$standby->becomes_ok(q{not exists (select from worker_pool.workers where kind = 'command' and database is null)},
	'no worker stays there');
$standby->forget_outcomes;
$standby->slots_ok;
is($standby->sql(q{select worker_pool.run('select 1')}), 'SELECT 1', 'the pool works');

# --- promotion -------------------------------------------------------------------------------------------

my $launcher = $standby->launcher_pid;
my ($warm) = $standby->warm(1);
my @pids = $standby->start_busy(1, user => 'alice');
$standby->promote;
$standby->wait_until('not pg_is_in_recovery()');
is($standby->sql(q{select worker_pool.run('insert into t values (3)')}), 'INSERT 0 1', 'after the promotion: writing works');
is($standby->sql('select count(*) from t'), 3, 'and was done');
is($standby->sql(q{select * from worker_pool.query('select pg_backend_pid()') as (pid int)}), $warm,
	'by the worker that was warm before');
is($standby->sql('select in_recovery, launcher_pid from worker_pool.status'), "f|$launcher", 'no restart of anything');
is($standby->sql("select state from worker_pool.commands where id = $pids[0]"), 'running', 'what ran, runs');
$standby->sql("select worker_pool.stop_worker($pids[0])");
is($standby->sql(q{select worker_pool.run('create database fresh')}), 'CREATE DATABASE', 'and so does everything');
$standby->wait_quiet;
$standby->forget_outcomes;
$standby->nothing_left_ok('nothing is left');
$primary->stop('fast');
$standby->finish;
done_testing;
