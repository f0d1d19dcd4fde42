# What the server's own views, extensions and log show of the pool.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use WorkerPool;

my $pool = WorkerPool->make('main',
	settings => {
		shared_preload_libraries => 'pg_stat_statements, auto_explain, worker_pool',
		'worker_pool.idle_timeout' => '1h',
		log_statement => 'none',
	});

$pool->sql('create extension pg_stat_statements; create table t (n int)');

# --- pg_stat_activity ---------------------------------------------------------------------------------------

my $id = $pool->sql(q{select worker_pool.start_worker('select pg_sleep(600) /* seen */', name => 'nightly')});
$pool->wait_until(q{exists (select from pg_stat_activity where wait_event = 'PgSleep' and backend_type = 'worker_pool worker')});
is( $pool->sql(q{select state, application_name, query, datname, usename, query_id is not null, backend_xmin is not null, query_start >= xact_start
	from pg_stat_activity where backend_type = 'worker_pool worker'}),
	"active|worker_pool command $id (nightly)|select pg_sleep(600) /* seen */|postgres|postgres|t|t|t",
	'a running command in pg_stat_activity');
my $pid = $pool->sql("select pid from worker_pool.commands where id = $id");
is($pool->sql("select state, kind, command_id, name from worker_pool.workers where pid = $pid"), "running|command|$id|nightly",
	'and in workers');
unlike(slurp_file("/proc/$pid/cmdline"), qr/pg_sleep|seen/, 'no SQL text in the process title');
like(slurp_file("/proc/$pid/cmdline"), qr/worker_pool worker/, 'but what it is');
$pool->sql("select worker_pool.stop_worker($id)");
$pool->sql("select worker_pool.wait_worker($id)");
$pool->forget_outcomes;
is( $pool->sql("select state, backend_xmin is null, backend_xid is null, xact_start is null, wait_event is not null from pg_stat_activity where pid = $pid"),
	'idle|t|t|t|t', 'an idle worker holds no snapshot and no transaction');
is($pool->sql("select count(*) from pg_locks where pid = $pid"), 0, 'and no lock');
$pool->sql(q{select worker_pool.run('begin; insert into t values (1); select txid_current(); commit')});
is($pool->sql("select state, backend_xmin is null, backend_xid is null from pg_stat_activity where pid = $pid"), 'idle|t|t',
	'after a command with transaction control too');
$pool->try_sql(q{select worker_pool.run('begin; insert into t values (1); select 1 / 0')});
is($pool->sql("select state, backend_xmin is null, backend_xid is null from pg_stat_activity where pid = $pid"), 'idle|t|t',
	'after a failed one too');
is($pool->sql(q{select wait_event is not null from pg_stat_activity where backend_type = 'worker_pool launcher'}), 't',
	'the launcher sleeps in a wait event');

# --- pg_stat_statements -------------------------------------------------------------------------------------

$pool->sql('select pg_stat_statements_reset()');
$pool->sql(q{select worker_pool.run('select count(*) from t where n = 4711')});
# from the third on with a kept plan
$pool->sql(q{select worker_pool.run('select count(*) as kept from t')}) for 1 .. 5;
$pool->sql(q{select worker_pool.run('select count(*) as bound from t where n = $1', array[n::text]) from generate_series(1, 5) n});
$pool->sql(q{select worker_pool.run('create table u (n int); drop table u')});
is( $pool->sql(q{select query, calls, rows from pg_stat_statements where query ~ '^select count.* from t|^(create|drop) table u' order by query collate "C"}),
	"create table u (n int)|1|0\ndrop table u|1|0\n"
	  . "select count(*) as bound from t where n = \$1|5|5\n"
	  . "select count(*) as kept from t|5|5\n"
	  . "select count(*) from t where n = \$1|1|1",
	'pg_stat_statements counts the statements of workers');

# --- the log ------------------------------------------------------------------------------------------------

# The log since the start of a command.
sub log_of
{
	my ($sql) = @_;
	my $start = $pool->log_end;

	$pool->try_sql($sql);
	return $pool->log_since($start);
}

unlike(log_of(q{select worker_pool.run('select 1 as secret')}), qr/secret|worker_pool/, 'by default no word of a command in the log');

# For the workers alone: the caller's own statements would show the same texts.
sub log_settings
{
	my (%settings) = @_;

	$pool->sql(join('', 'alter role bob reset all;', map { "alter role bob set $_ = '$settings{$_}';" } sort keys %settings));
}

$pool->sql('create role bob login superuser');
log_settings(log_statement => 'all');
my $log = log_of(q{select worker_pool.run('select 2 as marker', run_as => 'bob', fresh => true)});
like($log, qr/worker_pool worker .*LOG:  statement: select 2 as marker/, 'log_statement = all');
is(scalar(() = $log =~ /statement: select 2 as marker/g), 1, 'one line');
$log = log_of(q{select worker_pool.run('select $1::int as marker', array['42'], run_as => 'bob')});
like($log, qr/LOG:  execute <unnamed>: select \$1::int as marker\n.*DETAIL:  parameters: \$1 = '42'/, 'with arguments');
$pool->sql(q{select worker_pool.run('select 3 as marker', run_as => 'bob')}) for 1 .. 3;
like(log_of(q{select worker_pool.run('select 3 as marker', run_as => 'bob')}), qr/statement: select 3 as marker/, 'with a kept plan too');
log_settings(log_statement => 'ddl');
$log = log_of(q{select worker_pool.run('select 4 as marker', run_as => 'bob'), worker_pool.run('create table v (marker int)', run_as => 'bob')});
unlike($log, qr/4 as marker/, 'log_statement = ddl: not a SELECT');
like($log, qr/statement: create table v/, 'but DDL');

log_settings(log_min_duration_statement => 0);
like(log_of(q{select worker_pool.run('select 5 as marker', run_as => 'bob')}),
	qr/LOG:  duration: [\d.]+ ms  statement: select 5 as marker/, 'log_min_duration_statement');
like(log_of(q{select worker_pool.run('select $1::int as marker', array['5'], run_as => 'bob')}),
	qr/LOG:  duration: [\d.]+ ms  execute <unnamed>: select \$1::int as marker\n.*DETAIL:  parameters: \$1 = '5'/, 'with arguments');
log_settings(log_min_duration_statement => 200);
$log = log_of(q{select worker_pool.run('select 6 as marker', run_as => 'bob'), worker_pool.run('select 7 as marker, pg_sleep(0.3)', run_as => 'bob')});
unlike($log, qr/6 as marker/, 'not below it');
like($log, qr/duration: .*7 as marker/, 'above it');
log_settings(log_duration => 'on');
$log = log_of(q{select worker_pool.run('select 8 as marker', run_as => 'bob')});
like($log, qr/LOG:  duration: [\d.]+ ms\n/, 'log_duration');
unlike($log, qr/marker/, 'without the text');
log_settings(log_statement_stats => 'on');
like(log_of(q{select worker_pool.run('select 9 as marker', run_as => 'bob')}), qr/LOG:  QUERY STATISTICS/, 'log_statement_stats');
log_settings('auto_explain.log_min_duration' => 0, 'auto_explain.log_analyze' => 'on');
$log = log_of(q{select worker_pool.run('select count(*) as marker from t', run_as => 'bob')});
like($log, qr/LOG:  duration: .* plan:\n\s*Query Text: select count\(\*\) as marker from t\n.*Seq Scan on t/s, 'auto_explain');
log_settings();
$log = log_of(q{select worker_pool.run('select 1 / 0 as marker', run_as => 'bob')});
like($log, qr/worker_pool worker .*ERROR:  division by zero\n.*STATEMENT:  select 1 \/ 0 as marker/, 'an error in a worker, with its statement');
log_settings(log_min_error_statement => 'panic');
unlike(log_of(q{select worker_pool.start_worker('select 1 / 0 as marker', run_as => 'bob')}), qr/marker/, 'log_min_error_statement');
log_settings(log_temp_files => 0);
like(log_of(q{select count(*) from worker_pool.query('select repeat(''x'', 1000) from generate_series(1, 1000)', run_as => 'bob') as (t text)}),
	qr/temporary file: path .*size \d{6,}/, 'log_temp_files');
log_settings();
$pool->wait_quiet;
$pool->forget_outcomes;

# --- statistics ---------------------------------------------------------------------------------------------

my $temp = $pool->sql(q{select temp_files from pg_stat_database where datname = 'postgres'});
cmp_ok($temp, '>', 0, 'results in files count as temporary files');
$pool->sql('create table counted (n int)');
my $before = $pool->sql(q{select xact_commit from pg_stat_database where datname = 'postgres'});
$pool->sql(q{select worker_pool.run('insert into counted select generate_series(1, 10)')});
$pool->sql(q{select worker_pool.run('select count(*) from counted')}) for 1 .. 3;
$pool->becomes_ok(q{(select n_tup_ins = 10 and seq_scan = 3 from pg_stat_user_tables where relname = 'counted')},
	'pg_stat_user_tables: what workers did is reported while they are idle', limit => 20);

# --- normal life --------------------------------------------------------------------------------------------

my $quiet = $pool->log_end;
$pool->sql(q{select worker_pool.run('select 1', fresh => true)});
$pool->warm(4);
$pool->sql('create database y');
$pool->wait_quiet;
$quiet = $pool->log_end;
$pool->sql(q{alter system set worker_pool.idle_timeout = '50ms'});
$pool->sql('select pg_reload_conf()');
$pool->wait_until('(select free = max_workers from worker_pool.status)');
$pool->sql(q{select worker_pool.run('select 1', fresh => true)});
$pool->sql(q{select worker_pool.run('select 1', database => 'y')});
$pool->wait_until('(select free = max_workers from worker_pool.status)');
$pool->sql('drop database y');
unlike($pool->log_since($quiet), qr/background worker|worker_pool worker|LOG:  (?!parameter|received SIGHUP|checkpoint)/,
	'starts and normal retirements write nothing to the log');
$pool->nothing_left_ok('nothing is left');
$pool->finish;
done_testing;
