# Not preloaded, loaded by LOAD, single-user mode, binary upgrade: clear errors or nothing.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use WorkerPool;

my $pool = WorkerPool->make('main', settings => { shared_preload_libraries => '' }, start => 0);
my @verbs = (
	q{select worker_pool.start_worker('select 1')},
	q{select worker_pool.run('select 1')},
	q{select * from worker_pool.query('select 1') as (n int)},
	q{select worker_pool.stop_worker(1)},
	q{select worker_pool.wait_worker(1)},
	q{call worker_pool.await_worker(1)},
	q{select * from worker_pool.worker_result(1) as (n int)},
	q{select * from worker_pool.worker_results(array[1::bigint]) as (n int)});

# --- not preloaded ----------------------------------------------------------------------------------------

$pool->start;
$pool->sql('create extension worker_pool');
ok(1, 'CREATE EXTENSION works without the preload');
for my $sql (@verbs)
{
	$pool->fails_ok('55000', $sql, "$sql", like => [ qr/shared_preload_libraries/, qr/HINT:/ ]);
	$pool->fails_ok('55000', "load 'worker_pool'; $sql", "$sql after LOAD");
}
$pool->fails_ok('55000', "select * from worker_pool.$_", "view $_") for ('status', 'workers', 'commands', 'databases');
is($pool->sql(q{select worker_pool.args(1, 'x'::text)}), '{1,x}', 'args needs no pool');
$pool->sql('create database x');
$pool->sql('alter database x rename to y; drop database y');
$pool->sql('create role alice login; alter role alice set work_mem = 64; drop role alice');
ok(1, 'DDL works, with the library loaded or not');
$pool->sql(q{load 'worker_pool'; create database x; alter database x rename to y; drop database y});
is($pool->sql(q{select count(*) from pg_stat_activity where backend_type like 'worker_pool%'}), 0, 'no process of ours is there');
unlike($pool->log_since(0), qr/worker_pool launcher/, 'nor ever was');
$pool->sql('drop extension worker_pool');
$pool->sql('create extension worker_pool');

# --- single-user mode ---------------------------------------------------------------------------------------

$pool->stop;
$pool->settings(shared_preload_libraries => 'worker_pool');
my $commands = "select 1 as before;\nselect worker_pool.run('select 1');\nselect worker_pool.start_worker('select 1');\n"
  . "select * from worker_pool.status;\nselect 2 as after;\ncreate database single;\ndrop database single;\n";
my ($out, $messages) = ('', '');
my $ended = IPC::Run::run(
	[ 'postgres', '--single', '-D', $pool->data_dir, 'postgres' ],
	'<', \$commands, '>', \$out, '2>', \$messages,
	IPC::Run::timeout($WorkerPool::patience));
ok($ended, 'single-user mode ends well') or diag($messages);
like($out, qr/before = "1".*after = "2"/s, 'it works');
is(scalar(() = $messages =~ /ERROR:/g), 3, 'each verb is refused') or diag($messages);
unlike($messages, qr/PANIC|FATAL|signal/, 'with nothing worse');

# --- binary upgrade -----------------------------------------------------------------------------------------

$pool->command_ok(
	[ 'pg_ctl', '-w', '-D', $pool->data_dir, '-l', $pool->logfile, '-o', '-b', 'start' ],
	'the server starts in binary-upgrade mode');
is($pool->sql(q{select count(*) from pg_stat_activity where backend_type like 'worker_pool%'}), 0, 'no process of ours is there');
$pool->fails_ok('55000', q{select worker_pool.run('select 1')}, 'the verbs are refused');
$pool->command_ok([ 'pg_ctl', '-w', '-D', $pool->data_dir, '-m', 'fast', 'stop' ], 'and stops');

# --- preloaded after all ------------------------------------------------------------------------------------

$pool->start;
is($pool->sql(q{select worker_pool.run('select 1')}), 'SELECT 1', 'with the preload the same database is served');
$pool->sql('drop extension worker_pool');
$pool->fails_ok('3F000', q{select worker_pool.run('select 1')}, 'without the extension there are no verbs');
$pool->sql('create extension worker_pool');
is($pool->sql(q{select worker_pool.run('select 1')}), 'SELECT 1', 'and with it there are');
$pool->finish;
done_testing;
