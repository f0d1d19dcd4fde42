# Many commands of every kind by several sessions through four workers: memory stays flat, nothing is left.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use WorkerPool;

my $pool = WorkerPool->make('main',
	settings => {
		'worker_pool.max_workers' => 4,
		'worker_pool.idle_timeout' => '1h',
		max_connections => 20,
		log_statement => 'none',
		log_min_messages => 'fatal',
	});
my $clients = 5;
my $transactions = $ENV{WORKER_POOL_FULL} ? 200_000 : 8_000;
my $folder = PostgreSQL::Test::Utils::tempdir;

$pool->sql(<<'SQL');
create database x;
create role alice login;
grant usage on schema worker_pool to alice;
create table t (n int);
create function fails(command text) returns text language plpgsql as
	$$begin return worker_pool.run(command); exception when others or query_canceled then return sqlstate; end$$;
create function dropped(id bigint) returns void language plpgsql as
	$$begin perform from worker_pool.worker_result(id) as (n int); exception when others or query_canceled then null; end$$;
SQL

# weight, script
my %scripts = (
	run => [ 6, q{select worker_pool.run('select 1');} ],
	query => [ 6, q{select count(*) from worker_pool.query('select g from generate_series(1, 100) g') as (g int);} ],
	arguments => [ 4, q{\set n random(1, 1000000)
select * from worker_pool.query('select $1::int + 1', worker_pool.args(:n)) as (n int);} ],
	new_text => [ 2, q{\set n random(1, 1000000)
select * from worker_pool.query('select :n') as (n int);} ],
	fetched => [ 4, q{select worker_pool.start_worker('select 42') as id \gset
select * from worker_pool.worker_result(:id) as (n int);} ],
	stopped => [ 2, q{select worker_pool.start_worker('select 43') as id \gset
select worker_pool.stop_worker(:id);
select dropped(:id);} ],
	failing => [ 2, q{select fails('select 1 / 0');} ],
	timed_out => [ 1, q{select fails('set statement_timeout = 2; select pg_sleep(1)');} ],
	large => [ 1, q{select count(*) from worker_pool.query('select repeat(''x'', 1000) from generate_series(1, 200)') as (t text);} ],
	writing => [ 2, q{select worker_pool.run('insert into t values (1)');} ],
	settings => [ 1, q{select worker_pool.run('select 1', settings => '{"work_mem": "1MB"}');} ],
	noticing => [ 1, q{select worker_pool.run('do ''begin raise notice $n$noticed$n$; end''');} ],
	elsewhere => [ 1, q{select worker_pool.run('select 1', database => 'x');} ],
	as_alice => [ 1, q{select worker_pool.run('select 1', run_as => 'alice');} ],
	temporary => [ 1, q{select worker_pool.run('create temporary table u (n int)');} ]);

my @files;
for my $name (sort keys %scripts)
{
	my ($weight, $script) = @{ $scripts{$name} };

	append_to_file("$folder/$name.sql", "$script\n");
	push @files, '-f', "$folder/$name.sql\@$weight";
}

sub soak
{
	my ($count, $name) = @_;
	my ($out, $messages) = ('', '');
	local %ENV = (%ENV, PGHOST => $pool->host, PGPORT => $pool->port, PGOPTIONS => '-c client_min_messages=warning');

	IPC::Run::run(
		[ 'pgbench', '-n', '-c', $clients, '-j', 2, '-t', int($count / $clients), @files, 'postgres' ],
		'>', \$out, '2>', \$messages);
	my ($done) = $out =~ /number of transactions actually processed: (\d+)/;

	is($done, $count, $name) or diag($messages);
	diag($messages) if $messages =~ /ERROR/;
}

# Memory of a process that is its own, in kB.
sub memory_of
{
	# the address sanitizer keeps what was freed
	return undef if defined $ENV{ASAN_OPTIONS};

	my ($pid) = @_;
	my $text = eval { slurp_file("/proc/$pid/smaps_rollup") } or return undef;

	return $text =~ /^Anonymous:\s+(\d+) kB/m ? $1 : undef;
}

soak($transactions / 2, 'warmed up');
my @pids = split /\n/, $pool->sql('select launcher_pid from worker_pool.status union all select pid from worker_pool.workers where pid is not null');
my %before = map { $_ => memory_of($_) } @pids;
soak($transactions, "$transactions transactions by $clients sessions");
soak($transactions, 'again');
my %after = map { $_ => memory_of($_) } @pids;
my $launcher = shift @pids;

SKIP:
{
	skip '/proc/PID/smaps_rollup cannot be read', 2 unless defined $before{$launcher};

	note("launcher: $before{$launcher} kB, then $after{$launcher} kB");
	cmp_ok($after{$launcher} - $before{$launcher}, '<', 500, 'the launcher has not grown');
	# those that live still: some retire, by count or because another pair needs the slot
	my $most = 0;
	for my $pid (grep { defined $after{$_} && defined $before{$_} } @pids)
	{
		note("worker $pid: $before{$pid} kB, then $after{$pid} kB");
		$most = $after{$pid} - $before{$pid} if $after{$pid} - $before{$pid} > $most;
	}
	cmp_ok($most, '<', 4000, 'nor has a worker');
}
$pool->wait_quiet;
$pool->nothing_left_ok('no slot, no record and no memory is left');
is(join(' ', $pool->temporary_files), '', 'nor a temporary file');

# one process for many
my $pid = $pool->sql(q{select * from worker_pool.query('select pg_backend_pid()') as (pid int)});
# twice: the second time their plans are kept, as many as may be
$pool->sql(q{do $$begin for i in 1 .. 1000 loop perform worker_pool.run('select ' || i || ', repeat(''x'', 1000)'); end loop; end$$});
$pool->sql(q{do $$begin for i in 1 .. 1000 loop perform worker_pool.run('select ' || i || ', repeat(''x'', 1000)'); end loop; end$$});
my $start = memory_of($pid);
$pool->sql(q{do $$begin for i in 1 .. 3000 loop perform worker_pool.run('select ' || i || ', repeat(''x'', 1000)'); end loop; end$$});
my $end = memory_of($pid);
SKIP:
{
	skip 'the worker was retired, or /proc/PID/smaps_rollup cannot be read', 1 unless defined $start && defined $end;

	cmp_ok($end - $start, '<', 1000, 'one worker, 3,000 texts more: flat') or diag("$start, $end");
}
$pool->nothing_left_ok('nothing is left');
$pool->finish;
done_testing;
