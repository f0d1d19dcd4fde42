# More services than slots: 200 databases take turns on 4 workers; commands are not kept waiting by services.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use WorkerPool;

my $databases = 200;
my $node = WorkerPool->make('main', settings => {
		'worker_pool.max_workers' => 4,
		'worker_pool.reserved_workers' => 0,
		'max_worker_processes' => 12,
		'fsync' => 'off',
		'autovacuum' => 'off' });

$node->sql('create table log (database text, at timestamptz default clock_timestamp())');

# a template with the extension, so that 200 of them are quickly made; each row is adopted by its own database
$node->sql('create database t');
$node->sql('create extension worker_pool; create table tick (at timestamptz)', db => 't');
$node->wait_until("not exists (select from worker_pool.workers where database = 't')");
for my $n (1 .. $databases)
{
	$node->sql("create database d$n template t");
}
for my $n (1 .. $databases)
{
	$node->sql(q{set client_min_messages = error; select worker_pool.adopt(); select worker_pool.create_service('turn', 'insert into tick values (clock_timestamp())', every => '1 s')}, db => "d$n");
}

# every one of them gets its turn, and again and again
my $start = time;
my $served = 0;
for my $n (1 .. $databases)
{
	$served++ if eval { $node->wait_until('(select cycle >= 1 from worker_pool.services)', db => "d$n", limit => 60) };
}
is($served, $databases, 'each database has had its turn');
note(sprintf('a first round of %d in %.1f s', $databases, time - $start));
$start = time;
my $from = $node->sql('select clock_timestamp()');
for my $n (1 .. $databases)
{
	$node->wait_until('(select cycle >= 4 from worker_pool.services)', db => "d$n", limit => 120);
}
note(sprintf('four cycles of each after %.1f s', time - $start));
my $until = $node->sql('select clock_timestamp()');

# a process that has given its slot back is there a moment longer
$node->becomes_ok(q{(select count(*) between 1 and 4 from pg_stat_activity where backend_type = 'worker_pool worker')}, 'by four processes');

# a command among them is not kept waiting: it has its slot within the fairness interval and the longest cycle
$start = time;
is($node->sql(q{select worker_pool.run('insert into log values (current_database())', timeout => '60s')}), 'INSERT 0 1', 'a command gets its slot');
my $waited = time - $start;
note(sprintf('it took %.2f s', $waited));

# the documented bound: every + ceil(n / m) * (longest cycle + process start and end). Measured: the time of a turn
my @worst = map { $node->sql(qq{select coalesce(max(extract(epoch from gap)), 0) from (select at - lag(at) over (order by at) as gap from tick where at between '$from' and '$until') as t}, db => "d$_") } map { $_ * 10 } 1 .. 20;
my @counts = map { $node->sql("select count(*) from tick where at between '$from' and '$until'", db => "d$_") } map { $_ * 10 } 1 .. 20;
my ($most, $least) = ((sort { $b <=> $a } @counts)[0], (sort { $a <=> $b } @counts)[0]);
my $mean = $node->sql(qq{select extract(epoch from max(at) - min(at)) / greatest(1, count(*) - 1) from tick where at between '$from' and '$until'}, db => 'd100');
my $longest = (sort { $b <=> $a } @worst)[0];
note(sprintf('longest time between two cycles: %.2f s; cycles %d to %d', $longest, $least, $most));
cmp_ok($most - $least, '<=', 2, 'oldest first: nobody is more than a few turns ahead');
cmp_ok($longest, '<', 1 + 4 * $mean, 'nobody is left out: a few mean turns at most');
cmp_ok($waited, '<', 1 + 4 * $mean, 'nor does the command wait for more');

# one that fails or sleeps takes its own turns only
$node->sql(q{select worker_pool.alter_service('turn', command => 'select 1 / 0')}, db => 'd1');
$node->sql(q{select worker_pool.alter_service('turn', command => 'select pg_sleep(2)')}, db => 'd2');
is($node->sql(q{select worker_pool.wait_service('turn', cycles => 3, timeout => '120s')}, db => 'd200'), 't', 'a failing and a slow one do not keep the others');
is($node->sql(q{select failures > 0 from worker_pool.services}, db => 'd1'), 't', 'the failing one fails');

# databases are dropped under them
my @dropped = map { "drop database d$_" } 101 .. 110;
$node->sql($_) for @dropped;
is($node->sql(q{select worker_pool.wait_service('turn', cycles => 2, timeout => '120s')}, db => 'd150'), 't', 'the others go on');

$node->slots_ok('no slot was lost');
$node->sql(q{alter system set worker_pool.enabled = off; select pg_reload_conf()});
$node->becomes_ok('(select free = max_workers from worker_pool.status)', 'worker_pool.enabled = off ends them all');
$node->sql(q{alter system reset worker_pool.enabled; select pg_reload_conf()});
is($node->sql(q{select worker_pool.wait_service('turn', cycles => 1, timeout => '120s')}, db => 'd5'), 't', 'and on brings them back');

$node->finish;
done_testing();
