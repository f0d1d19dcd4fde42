
# Chaos: workers, launcher, sessions and the postmaster are killed at random while sessions enqueue tasks with
# visible effects in three databases. Then the audit, from the clients' own books:
#
#   committed	the client was told COMMIT: the task's effect is there exactly once
#   rolled back	the client rolled back: no effect
#   unknown		the client lost its connection at the end: the effect is there once or not at all
#
# Besides: no slot is leaked, attempts stay within bounds, no row is left. The length is WORKER_POOL_CHAOS
# seconds (20), the random seed WORKER_POOL_CHAOS_SEED: a run can be made again, as far as the machine lets it.

use strict;
use warnings FATAL => 'all';

use IO::Handle;
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);
use WorkerPool;

my $seconds = $ENV{WORKER_POOL_CHAOS} // ($ENV{WORKER_POOL_FULL} ? 600 : 20);
my $seed = $ENV{WORKER_POOL_CHAOS_SEED} // int(time * 1000) % 1_000_000;
my @databases = qw(postgres chaos_a chaos_b);
my $clients = 3;
my $max_attempts = 60;

srand($seed);
note("seed $seed, $seconds seconds");

my $pool = WorkerPool->make(
	'chaos',
	settings => {
		'worker_pool.max_workers' => 6,
		'worker_pool.start_timeout' => '10s',
		'worker_pool.history_retention' => '1h',
		'worker_pool.history_retention_failed' => '1h',
		# as after a crash of the server alone: what was written is in the kernel's hands
		'wal_writer_delay' => '10ms'
	},
	start => 0);
$pool->start;
for my $database (@databases)
{
	$pool->sql("create database $database") if $database ne 'postgres';
	$pool->sql(<<'SQL', db => $database);
create extension worker_pool;
create table effect (n bigint);
create function act(n bigint) returns void language plpgsql as $$
declare
	dice double precision := random();
begin
	if dice < 0.10 then
		raise exception 'the dice say no' using errcode = '40001';
	elsif dice < 0.15 then
		perform pg_sleep(0.05);
	end if;
	insert into effect values (n);
	if dice > 0.95 then
		perform pg_sleep(0.02);
	end if;
end
$$;
SQL
}

# --- the clients -----------------------------------------------------------------------------------------

my $books = PostgreSQL::Test::Utils::tempdir();

# Enqueues small transactions until it is told to stop, and writes what it was told into its book.
sub client
{
	my ($number) = @_;
	my $stop = 0;
	my $n = $number * 10_000_000;

	local $SIG{TERM} = sub { $stop = 1 };
	srand($seed + $number);
	open(my $book, '>', "$books/$number") or POSIX::_exit(1);
	$book->autoflush(1);
	until ($stop)
	{
		my $database = $databases[ int(rand(@databases)) ];
		my $count = 1 + int(rand(5)) * int(rand(30));
		my $first = $n + 1;
		my $end = rand() < 0.15 ? 'rollback' : 'commit';
		my $options = rand() < 0.2 ? ", concurrency_key => 'key' || g % 3" : rand() < 0.2 ? ', priority => g % 5' : '';

		$n += $count;

		my ($status, $out) = eval {
			$pool->psql(
				undef, <<"SQL", connstr => $pool->connstr($database), on_error_stop => 1, timeout => 30, stderr => \my $ignored);
begin;
select count(worker_pool.enqueue('select act(\$1)', worker_pool.args(g), max_attempts => $max_attempts$options))
from generate_series($first, $n) g;
$end;
SQL
		};
		my $word = !defined $status || $status != 0 ? 'unknown' : $end;

		print $book "$word $database $first $n\n";
		usleep(5_000 + int(rand(40_000)));
	}
	close($book);
	POSIX::_exit(0);
}

my @children;
for my $number (1 .. $clients)
{
	my $pid = fork // die;

	client($number) if $pid == 0;
	push @children, $pid;
}

# --- the chaos -------------------------------------------------------------------------------------------

my %struck;

sub pids_of
{
	my ($where) = @_;
	my ($status, $out) = $pool->try_sql("select pid from pg_stat_activity where $where", timeout => 5);

	return $status == 0 ? split(/\n/, $out) : ();
}

sub strike
{
	my ($how, $signal, @pids) = @_;

	return unless @pids;
	kill $signal, $pids[ int(rand(@pids)) ];
	$struck{$how}++;
}

my $workers = q{backend_type = 'worker_pool worker'};
my $launcher = q{backend_type = 'worker_pool launcher'};

for (my $end = time + $seconds; time < $end;)
{
	my $dice = rand();

	usleep(100_000 + int(rand(500_000)));
	if ($dice < 0.35) { strike('worker terminated', 'TERM', pids_of($workers)); }
	elsif ($dice < 0.50) { strike('worker cancelled', 'INT', pids_of($workers)); }
	elsif ($dice < 0.62) { strike('worker killed', 'KILL', pids_of($workers)); usleep(1_500_000); }
	elsif ($dice < 0.74) { strike('launcher terminated', 'TERM', pids_of($launcher)); }
	elsif ($dice < 0.80) { strike('launcher killed', 'KILL', pids_of($launcher)); usleep(1_500_000); }
	elsif ($dice < 0.92) { strike('session terminated', 'TERM', pids_of(q{backend_type = 'client backend' and pid <> pg_backend_pid()})); }
	else
	{
		my $pid = (split /\n/, slurp_file($pool->data_dir . '/postmaster.pid'))[0];
		my @ours = (pids_of($workers), pids_of($launcher));

		kill 'KILL', $pid;
		$struck{'postmaster killed'}++;
		# what is left of it must go by itself, before another can start
		WorkerPool::seconds_until_gone(20, $pid, @ours);
		$pool->{_pid} = undef;
		unlink $pool->data_dir . '/postmaster.pid';
		for (1 .. 100)
		{
			last if $pool->start(fail_ok => 1);
			usleep(200_000);
		}
	}
}
kill 'TERM', @children;
waitpid($_, 0) for @children;

# --- the audit -------------------------------------------------------------------------------------------

for (my $end = time + 60; time < $end;)
{
	my ($status) = $pool->try_sql('select 1', timeout => 5);

	last if $status == 0;
	usleep(100_000);
}

my %book = map { $_ => { commit => [], rollback => [], unknown => [] } } @databases;
my %count;

for my $number (1 .. $clients)
{
	for my $line (split /\n/, slurp_file("$books/$number"))
	{
		my ($word, $database, $first, $last) = split / /, $line;

		push @{ $book{$database}{$word} }, "($first, $last)";
		$count{$word} += $last - $first + 1;
	}
}

for my $database (@databases)
{
	my $values = sub {
		my ($word) = @_;
		my @ranges = @{ $book{$database}{$word} };

		return @ranges ? 'values ' . join(',', @ranges) : 'select 0, -1';
	};

	$pool->becomes_ok('not exists (select from worker_pool.tasks)', "$database: no task is left", db => $database, limit => 120);

	my ($lost, $doubled, $ghosts, $effects) = split /\|/, $pool->sql(<<"SQL", db => $database);
with committed as (select g as n from (${\ $values->('commit')}) r (a, b), generate_series(a, b) g),
	 unknown as (select g as n from (${\ $values->('unknown')}) r (a, b), generate_series(a, b) g),
	 seen as (select n, count(*) as times from effect group by n)
select (select count(*) from committed where n not in (select n from seen)),
	(select count(*) from seen where times > 1),
	(select count(*) from seen where n not in (select n from committed) and n not in (select n from unknown)),
	(select count(*) from seen)
SQL

	is($lost, 0, "$database: nothing committed was lost");
	is($doubled, 0, "$database: no effect came twice");
	is($ghosts, 0, "$database: nothing that was rolled back has run");
	is( $pool->sql(q{select count(*) from worker_pool.task_history where is_final and state <> 'succeeded'}, db => $database),
		0, "$database: every task succeeded in the end");
	cmp_ok($pool->sql('select coalesce(max(attempt), 0) from worker_pool.task_history', db => $database),
		'<=', $max_attempts, "$database: attempts within bounds");
	note("audit of $database: $effects effects, $lost lost, $doubled doubled, $ghosts from nowhere");
	$count{effects} += $effects;
}
$pool->slots_ok('no slot was leaked');
$pool->becomes_ok('(select free + idle = max_workers from worker_pool.status)', 'every slot is at rest');
note('struck: ' . join(', ', map { "$_ $struck{$_}" } sort keys %struck));
note('tasks: ' . join(', ', map { "$_ $count{$_}" } sort keys %count));
cmp_ok($count{commit} // 0, '>', 50, 'the clients got something done');
cmp_ok(scalar(keys %struck), '>=', 3, 'the chaos was of several kinds') if $seconds >= 20;

$pool->finish(allow_signal => qr/9: Killed/, allow => qr/terminated by signal 9/);
done_testing();
