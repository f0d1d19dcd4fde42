# Start, wait, fetch; warm workers; the pool empty again; a launcher that was ended; no wake-ups when idle.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);
use WorkerPool;

my $pool = WorkerPool->make('main', settings => { 'worker_pool.idle_timeout' => '1h' });

# --- after a start -------------------------------------------------------------------------------------

is($pool->sql('select max_workers, free, enabled, in_recovery, queued from worker_pool.status'),
	'4|4|t|f|0', 'a new pool is empty');
ok(WorkerPool::lives($pool->launcher_pid), 'the launcher is there');
is( $pool->sql("select backend_type from pg_stat_activity where pid = " . $pool->launcher_pid),
	'worker_pool launcher', 'it shows in pg_stat_activity');

# --- start, wait, fetch --------------------------------------------------------------------------------

my $id = $pool->sql(q{select worker_pool.start_worker('select 1 as n, ''x''::text as t')});
like($id, qr/^\d+$/, 'start_worker returns an id');
is($pool->sql("select worker_pool.wait_worker($id)"), 'succeeded', 'wait_worker returns the state');
is($pool->sql("select state, rows from worker_pool.commands where id = $id"), 'succeeded|1',
	'the command shows with its outcome');
is($pool->sql("select * from worker_pool.worker_result($id) as (n int, t text)"), '1|x', 'the result is typed');
$pool->fails_ok('42704', "select * from worker_pool.worker_result($id) as (n int, t text)",
	'it can be fetched once', like => qr/already fetched/);
$pool->fails_ok('42704', 'select worker_pool.wait_worker(1)', 'an id that never was',
	like => qr/command 1 does not exist/);

$pool->sql('create table t (n int)');
is($pool->sql(q{select worker_pool.run('insert into t select generate_series(1, 3)')}), 'INSERT 0 3',
	'run returns the command tag');
is($pool->sql(q{select * from worker_pool.query('select n from t order by n') as (n int)}), "1\n2\n3",
	'query returns the rows');
is( $pool->sql(q{select * from worker_pool.query('select $1::int + $2::int', worker_pool.args(40, 2)) as (n int)}),
	'42', 'arguments are bound');
is( $pool->sql(<<'SQL'), '2|t', 'a command of a transaction that rolls back has run');
begin;
select worker_pool.run('delete from t where n = 1') \g /dev/null
rollback;
select count(*), bool_and(n > 1) from t;
SQL
$pool->fails_ok('22012', q{select worker_pool.run('select 1/0')}, "the command's own error reaches the caller",
	like => qr/division by zero/);
is($pool->sql(<<'SQL'), '1,2,3', 'worker_results brings the rows of several');
select string_agg(n::text, ',' order by n)
from worker_pool.worker_results(array(
	select worker_pool.start_worker('select $1::int', array[n::text]) from generate_series(1, 3) n)) as (n int)
SQL

# --- warm ----------------------------------------------------------------------------------------------

my $pid = 'select * from worker_pool.query($$select pg_backend_pid()$$) as (pid int)';
is($pool->sql("$pid union $pid union $pid") =~ tr/\n//, 0, 'one command after the other: one process');
my ($worker) = split /\n/, $pool->sql('select pid from worker_pool.workers order by pid');
ok(WorkerPool::lives($worker), 'it is warm');

# in a database without the extension
$pool->sql('create database other');
is($pool->sql(q{select * from worker_pool.query('select current_database()', database => 'other') as (d text)}),
	'other', 'a command runs in another database');
is($pool->sql("select count(*), min(state) from worker_pool.workers where database = 'other' and kind = 'command'"),
	'1|idle', 'and leaves a warm worker there');
is( $pool->sql(q{select a.pid = any(select pid from worker_pool.workers where state = 'idle')
	from worker_pool.query('select pg_backend_pid()', fresh => true) as a (pid int)}),
	'f', 'fresh: not one of the warm processes');
$pool->becomes_ok("(select count(*) from worker_pool.workers where state <> 'idle') = 0",
	'and its process leaves after the command');

# --- idle ----------------------------------------------------------------------------------------------

# What a process's own sleeps count: a wait that ends in a wake-up is a voluntary switch.
sub switches
{
	my $count = '';

	for my $process (@_)
	{
		my ($n) = slurp_file("/proc/$process/status") =~ /^voluntary_ctxt_switches:\s*(\d+)/m;
		$count .= "$process: $n, ";
	}
	return $count;
}

# Statistics are flushed some seconds after a command; after that there is nothing to wake up for.
my $window = $ENV{WORKER_POOL_FULL} ? 60 : 4;
$pool->wait_quiet;
my @quiet = ($pool->launcher_pid, split /\n/, $pool->sql("select pid from worker_pool.workers where state = 'idle'"));
cmp_ok(scalar(@quiet), '>', 2, 'the launcher and warm workers are there to be watched');
my ($before, $after) = (switches(@quiet), '');
for (my $end = time + 4 * $window + 20; time < $end;)
{
	usleep(1_000_000 * $window);
	$after = switches(@quiet);
	last if $after eq $before;
	$before = $after;
}
is($after, $before, "idle: no process of the pool woke up in $window seconds");

# --- empty again ---------------------------------------------------------------------------------------

$pool->configure('worker_pool.idle_timeout' => '100ms');
$pool->becomes_ok('(select free = max_workers from worker_pool.status)',
	'with a short idle time-out, set while they were idle, the workers leave');
$pool->nothing_left_ok('and nothing is left of any command');

# --- another launcher ----------------------------------------------------------------------------------

$pool->configure('worker_pool.idle_timeout' => '1h');
my $launcher = $pool->launcher_pid;
$pool->sql("select pg_terminate_backend($launcher)");
isnt($pool->wait_launcher_after($launcher), $launcher, 'a launcher that was terminated comes back');
is($pool->sql(q{select worker_pool.run('select 1')}), 'SELECT 1', 'and the pool works');
$pool->restart;
is($pool->sql(q{select worker_pool.run('select 1')}), 'SELECT 1', 'so it does after a restart of the server');
$pool->fails_ok('42704', "select worker_pool.wait_worker($id)", 'which forgot the commands',
	like => qr/server's last start/);
$pool->finish;
done_testing;
