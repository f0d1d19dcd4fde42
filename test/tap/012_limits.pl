# Every limit: its error names the setting, and what was refused leaves nothing behind.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use WorkerPool;

my $pool = WorkerPool->make('main',
	settings => { 'worker_pool.max_workers' => 2, 'worker_pool.idle_timeout' => '1h', 'worker_pool.fairness_interval' => '100ms' });

$pool->sql(<<'SQL');
create database x;
create role alice login;
grant usage on schema worker_pool to alice;
SQL

sub stop
{
	$pool->sql("select worker_pool.stop_worker(id), worker_pool.wait_worker(id) from unnest(array["
		  . join(',', @_) . "]::bigint[]) id");
}

# A result of about so many kB.
sub large
{
	my ($kb) = @_;

	return "select repeat(md5(n::text), 32) from generate_series(1, $kb) n";
}

# --- fairness ---------------------------------------------------------------------------------------------

$pool->sql(q{select worker_pool.start_worker('select pg_sleep(0.02)::text', database => 'x') from generate_series(1, 400)});
$pool->wait_until('(select running = 2 and queued > 100 from worker_pool.status)');
is($pool->sql(q{select worker_pool.run('select 1')}), 'SELECT 1', 'a command elsewhere gets a worker of a saturated pool');
cmp_ok($pool->sql("select count(*) from worker_pool.commands where database = 'x' and state = 'queued'"),
	'>', 0, 'before all that were called earlier have run');
$pool->sql(q{select worker_pool.stop_worker(id) from worker_pool.commands where state in ('queued', 'running')});
$pool->wait_quiet;
$pool->forget_outcomes;
$pool->warm(2, db => 'x');
is($pool->sql(q{select worker_pool.run('select 1')}), 'SELECT 1', 'an idle worker of another pair makes room');
$pool->slots_ok;
$pool->configure('worker_pool.fairness_interval' => '1h');

# --- on_full ----------------------------------------------------------------------------------------------

is($pool->sql(q{select worker_pool.wait_worker(worker_pool.start_worker('select 1', on_full => 'error'))}),
	'succeeded', "on_full => 'error': works while there is room");
$pool->warm(2, db => 'x');
is($pool->sql(q{select worker_pool.wait_worker(worker_pool.start_worker('select 1', on_full => 'error'))}),
	'succeeded', 'also where an idle worker has to leave first');
my @busy = $pool->start_busy(2);
$pool->fails_ok('53400', q{select worker_pool.start_worker('select 1', on_full => 'error')}, 'on_full => error when there is none',
	like => [ qr/no worker is free/, qr/worker_pool\.max_workers/ ]);
$pool->fails_ok('22023', q{select worker_pool.start_worker('select 1', on_full => 'wait')}, 'no other word is known');
stop(@busy);

# --- per database -----------------------------------------------------------------------------------------

$pool->configure('worker_pool.max_workers_per_database' => 1);
@busy = $pool->start_busy(1);
my $second = $pool->sql(q{select worker_pool.start_worker('select 1')});
is($pool->sql(q{select worker_pool.run('select 1', database => 'x')}), 'SELECT 1', 'max_workers_per_database: another database is served');
is($pool->sql("select state from worker_pool.commands where id = $second"), 'queued', 'the same one waits');
$pool->fails_ok('53400', q{select worker_pool.start_worker('select 1', on_full => 'error')}, 'or is refused');
stop(@busy);
is($pool->sql("select worker_pool.wait_worker($second)"), 'succeeded', 'and is served in its turn');
$pool->configure('worker_pool.max_workers_per_database' => 0);

# --- per role ---------------------------------------------------------------------------------------------

$pool->sql('alter role alice set worker_pool.max_workers_per_role = 1');
@busy = $pool->start_busy(1, user => 'alice');
$second = $pool->sql(q{select worker_pool.start_worker('select 1', run_as => 'alice', database => 'x')});
is($pool->sql(q{select worker_pool.run('select 1')}), 'SELECT 1', 'max_workers_per_role: another role is served');
is($pool->sql("select state from worker_pool.commands where id = $second"), 'queued', 'the same one waits, in any database');
stop(@busy);
is($pool->sql("select worker_pool.wait_worker($second)"), 'succeeded', 'and is served in its turn');
for my $sql (
	'alter role alice set worker_pool.max_workers_per_role = 0',
	'set worker_pool.max_workers_per_role = 0',
	q{select worker_pool.run('select 1', settings => '{"worker_pool.max_workers_per_role": "0"}')})
{
	$pool->fails_ok('42501', $sql, "$sql: not for an ordinary role", user => 'alice');
}
$pool->fails_ok('55P02', 'set worker_pool.max_workers_per_database = 0', 'nor other limits', user => 'alice');
$pool->forget_outcomes;

# --- enabled ----------------------------------------------------------------------------------------------

@busy = $pool->start_busy(2);
$second = $pool->sql(q{select worker_pool.start_worker('select 1')});
$pool->configure('worker_pool.enabled' => 'off');
$pool->fails_ok('55000', q{select worker_pool.run('select 1')}, 'enabled = off: nothing new', like => qr/worker_pool\.enabled/);
is($pool->sql('select enabled, running, queued from worker_pool.status'), 'f|2|1', 'what runs goes on');
stop(@busy);
$pool->wait_until('(select running = 0 from worker_pool.status)');
is($pool->sql("select worker_pool.wait_worker($second, '300ms')"), 'queued', 'what is queued stays so');
$pool->configure('worker_pool.enabled' => 'on');
is($pool->sql("select worker_pool.wait_worker($second)"), 'succeeded', 'until it is on again');
$pool->forget_outcomes;
$pool->nothing_left_ok('nothing is left');

# --- default_timeout ---------------------------------------------------------------------------------------

$pool->configure('worker_pool.default_timeout' => '100ms');
$pool->fails_ok('57014', q{select worker_pool.run('select pg_sleep(60)')}, 'default_timeout');
is($pool->sql(q{select worker_pool.run('select pg_sleep(0.3)', timeout => '0')}), 'SELECT 1', 'a timeout of 0 is none');
$pool->configure('worker_pool.default_timeout' => '0');

# --- large results ------------------------------------------------------------------------------------------

my $large = large(1000);
is($pool->sql("select count(*), sum(length(t)) from worker_pool.query('" . $large =~ s/'/''/gr . "') as (t text)"), '1000|1024000', 'a large result');
is(join(' ', $pool->temporary_files), '', 'leaves no temporary file');
my $id = $pool->sql('select worker_pool.start_worker($c$' . $large . '$c$)');
is($pool->sql("select worker_pool.wait_worker($id)"), 'succeeded', 'nobody has to read it');
is(scalar($pool->temporary_files), 1, 'it waits in a file');
is($pool->sql("select count(*) from worker_pool.worker_result($id) as (t text)"), 1000, 'read by another session');
is(join(' ', $pool->temporary_files), '', 'the file is gone');

$pool->fails_ok('22012', q{select * from worker_pool.query('select repeat(''x'', 1000), 1 / (500 - n) from generate_series(1, 1000) n') as (t text, n int)},
	'an error half-way through a large result');
is(join(' ', $pool->temporary_files), '', 'leaves no file');
my (undef, undef, $error) = $pool->try_sql(q{set statement_timeout = '300ms';
	select count(*) from worker_pool.query('select repeat(''x'', 1000), pg_sleep(0.001)::text from generate_series(1, 100000) n') as (t text, n text)});
is(WorkerPool::state_in($error), '57014', 'a caller that gives up half-way');
$pool->wait_until('(select running = 0 from worker_pool.status)');
is(join(' ', $pool->temporary_files), '', 'leaves no file');
my ($terminated) = $pool->start_busy(1, command => 'select repeat(\'x\', 1000), pg_sleep(case when n = 500 then 600 else 0 end)::text from generate_series(1, 1000) n');
$pool->wait_until("(select count(*) = 1 from pg_stat_activity where wait_event = 'PgSleep' and backend_type = 'worker_pool worker')");
$pool->sql("select pg_terminate_backend(pid) from worker_pool.commands where id = $terminated");
is($pool->sql("select worker_pool.wait_worker($terminated)"), 'lost', 'a worker that is terminated half-way');
$pool->forget_outcomes;
is(join(' ', $pool->temporary_files), '', 'leaves no file once its command is fetched');

$pool->configure('worker_pool.max_result_size' => '500kB');
$pool->fails_ok('53400', q{select count(*) from worker_pool.query('select repeat(''x'', 1000) from generate_series(1, 1000)') as (t text)},
	'max_result_size', like => qr/worker_pool\.max_result_size/);
is($pool->sql(q{select count(*) from worker_pool.query('select repeat(''x'', 1000) from generate_series(1, 300)') as (t text)}),
	300, 'below it');
is($pool->sql(q{select worker_pool.run('select repeat(''x'', 1000) from generate_series(1, 1000)')}), 'SELECT 1000',
	'run keeps no rows, so it has no such limit');
$pool->configure('worker_pool.max_result_size' => '1GB');
$pool->fails_ok('53400', q{select count(*) from worker_pool.query('select repeat(''x'', 1000) from generate_series(1, 3000)', settings => '{"temp_file_limit": "1MB"}') as (t text)},
	'temp_file_limit', like => qr/temp_file_limit/);
is(join(' ', $pool->temporary_files), '', 'no file is left');
$pool->nothing_left_ok('nothing is left');

# --- after a crash ------------------------------------------------------------------------------------------

for my $remove ('on', 'off')
{
	$pool->configure(remove_temp_files_after_crash => $remove);
	$id = $pool->sql('select worker_pool.start_worker($c$' . $large . '$c$)');
	$pool->sql("select worker_pool.wait_worker($id)");
	is(scalar($pool->temporary_files), 1, 'a result waits in a file');
	my $launcher = $pool->launcher_pid;
	kill 'KILL', $pool->sql("select pid from worker_pool.workers where state = 'idle' limit 1");
	$pool->wait_launcher_after($launcher);
	$pool->wait_quiet;
	is(join(' ', $pool->temporary_files), '', "after a crash, with remove_temp_files_after_crash = $remove: no file");
}

# --- what is fixed at the start -----------------------------------------------------------------------------

$pool->settings(
	'worker_pool.max_databases' => 1,
	'worker_pool.max_queued_commands' => 3,
	'worker_pool.keep_outcomes' => 3,
	'worker_pool.shared_memory' => '4MB');
$pool->restart;
$pool->wait_quiet;

# databases: more than the pool keeps an entry for
for my $database ('x1', 'x2', 'x3')
{
	$pool->sql("create database $database");
	is($pool->sql("select worker_pool.run('select 1', database => '$database')"), 'SELECT 1', 'max_databases limits what is known, not what is served');
}
for my $database ('x1', 'x2', 'x3')
{
	$pool->warm(2, db => $database);
	$pool->sql("drop database $database");
}
$pool->becomes_ok(q{not exists (select from worker_pool.workers where kind = 'command' and database is null)}, 'DDL drains all the same');

# no warm workers
$pool->configure('worker_pool.idle_timeout' => '0');
is($pool->sql(q{select worker_pool.run('select 1')}), 'SELECT 1', 'idle_timeout = 0') for 1 .. 2;
$pool->becomes_ok('(select free = max_workers from worker_pool.status)', 'a worker leaves after its command');
$pool->configure('worker_pool.idle_timeout' => '1h');

# the queue
@busy = $pool->start_busy(2);
my @queued = map { $pool->sql(q{select worker_pool.start_worker('select 1')}) } 1 .. 3;
$pool->fails_ok('53400', q{select worker_pool.start_worker('select 1')}, 'a full queue', like => qr/worker_pool\.max_queued_commands/);
$pool->fails_ok('53400', q{select worker_pool.run('select 1')}, 'for run too');
is($pool->sql("select worker_pool.stop_worker($queued[1])"), 't', 'one that is taken out');
push @queued, $pool->sql(q{select worker_pool.start_worker('select 1')});
like($queued[-1], qr/^\d+$/, 'makes room for another');
stop(@busy);
is($pool->sql("select worker_pool.wait_worker($queued[-1])"), 'succeeded', 'all are served');
$pool->wait_quiet;
$pool->forget_outcomes;
$pool->nothing_left_ok('nothing is left');

# outcomes
my @ids = map { $pool->sql("select worker_pool.start_worker('select $_')") . '' } 1 .. 3;
$pool->sql("select worker_pool.wait_worker($_)") for @ids;
for (4 .. 5)
{
	push @ids, $pool->sql("select worker_pool.start_worker('select $_')");
	is($pool->sql("select worker_pool.wait_worker($ids[-1])"), 'succeeded', 'one more outcome');
}
for (0, 1)
{
	$pool->fails_ok('42704', "select * from worker_pool.worker_result($ids[$_]) as (n int)", 'the oldest were pushed out',
		like => [ qr/pushed out/, qr/worker_pool\.keep_outcomes/ ]);
}
is($pool->sql("select worker_pool.wait_worker($ids[0])"), 'succeeded', 'their state is still known');
is($pool->sql("select worker_pool.stop_worker($ids[0])"), 'f', 'and that there is nothing to stop');
is($pool->sql("select * from worker_pool.worker_result($ids[$_]) as (n int)"), $_ + 1, 'the latest are there') for (2 .. 4);

# their files go with them
@ids = ();
for (1 .. 5)
{
	push @ids, $pool->sql('select worker_pool.start_worker($c$' . large(100) . '$c$)');
	$pool->sql("select worker_pool.wait_worker($ids[-1])");
}
is(scalar($pool->temporary_files), 3, 'large ones take their files with them');
$pool->forget_outcomes;
is(join(' ', $pool->temporary_files), '', 'as the fetched ones do');

# shared memory: texts
@busy = $pool->start_busy(2);
my $text = q{'select 1 /*' || repeat('x', 1500000) || '*/'};
my $states = '';
for (1 .. 3)
{
	(undef, undef, $error) = $pool->try_sql("select worker_pool.start_worker($text)");
	$states .= WorkerPool::state_in($error) || 'ok';
	last if $error;
}
like($states, qr/^(ok)+53200$/, 'shared memory is full of texts that wait');
like($error, $_, "the error tells $_") for (qr/worker_pool\.shared_memory/, qr/DETAIL:/);
$pool->fails_ok('53200', q{select worker_pool.run('select 1 /*' || repeat('x', 5000000) || '*/')}, 'a text that can never fit');
stop(@busy);
$pool->wait_quiet;
$pool->forget_outcomes;
$pool->nothing_left_ok('nothing is left');

# shared memory: outcomes that nobody reads
$pool->settings('worker_pool.keep_outcomes' => 1000, 'worker_pool.max_queued_commands' => 1000);
$pool->restart;
@ids = split /\n/, $pool->sql('select worker_pool.start_worker($c$' . large(12) . '$c$) from generate_series(1, 500)');
$pool->becomes_ok(q{(select count(*) from worker_pool.commands where state in ('queued', 'running')) = 0},
	'500 outcomes that nobody reads do not stop the workers');
$pool->fails_ok('42704', "select * from worker_pool.worker_result($ids[0]) as (t text)", 'the oldest were pushed out',
	like => [ qr/memory/, qr/worker_pool\.shared_memory/ ]);
is($pool->sql("select count(*) from worker_pool.worker_result($ids[-1]) as (t text)"), 12, 'the latest is there');
is($pool->sql(q{select worker_pool.run('select 1')}), 'SELECT 1', 'the pool works');
$pool->forget_outcomes;
$pool->wait_quiet;
$pool->nothing_left_ok('nothing is left');
is(join(' ', $pool->temporary_files), '', 'no file either');
$pool->finish;
done_testing;
