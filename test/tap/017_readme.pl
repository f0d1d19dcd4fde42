# Runs every ```sql block of README.md, in order, in one session, as written: the README must stay true. Then
# looks at what each of its promises came to, and goes the last steps that a README cannot wait for: it lets what
# is due later run, makes a failure for the recipe that retries one, and restores into another database.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use WorkerPool;

my (@blocks, %block, $heading, $block);
open(my $readme, '<', 'README.md') or die "README.md: $!";
while (my $line = <$readme>)
{
	if ($line =~ /^```sql/) { $block = ''; next; }
	if ($line =~ /^```/ && defined $block) { push @blocks, $block; $block{$heading} = $block; undef $block; next; }
	if (defined $block) { $block .= $line; }
	elsif ($line =~ /^(?:#+ |\*\*)(.*?)(?:\*\*|$)/) { $heading = $1; }
}
close($readme);

# The block below the heading, or bold text, that begins so.
sub example
{
	my ($start) = @_;
	my @found = grep { index($_, $start) == 0 } keys %block;

	die "README.md has not one example \"$start\"" if @found != 1;
	return $block{ $found[0] };
}

cmp_ok(scalar(@blocks), '>=', 20, 'README.md has its examples');

my ($sharedir) = PostgreSQL::Test::Utils::run_command([ 'pg_config', '--sharedir' ]);
my $cron = -e "$sharedir/extension/pg_cron.control";
my $pool = WorkerPool->make(
	'readme',
	start => 0,
	settings => {
		'worker_pool.idle_timeout' => '1h',
		$cron ? (shared_preload_libraries => 'worker_pool, pg_cron', 'cron.database_name' => 'postgres') : ()
	});

$pool->start;
$pool->sql('create role app login');
@blocks = grep { !/pg_cron/ } @blocks unless $cron;

# --- as written ----------------------------------------------------------------------------------------------

my ($out, $err);
my $status = $pool->psql('postgres', join("\n", @blocks), stdout => \$out, stderr => \$err, on_error_stop => 1);
is($status, 0, 'every SQL example of README.md runs') or diag($err);
unlike($err // '', qr/ERROR|WARNING/, 'and none of them raises an error or a warning');

# What psql showed, in the order of the text.
like($out, qr/^3000000\|3000000$/m, 'run a command: the result that the README shows');
like($out, qr/^tried to pay$/m, 'what a rollback would take was kept');
like($out, qr/^1\|9\.99\n2\|19\.98\n3\|29\.97$/m, 'rows of another database');
for my $n (1 .. 4) { my $square = $n * $n; like($out, qr/^$n\|$square$/m, "several at once: $n"); }
like($out, qr/^succeeded\n\[\{"count": 1\}\]\nit is due at .*, in 59 min 59 s\|\nt$/m, 'a task: waited for, its result, why another does not run, that one cancelled');
like($out, qr/^(?:20\d\d-\d\d-\d\d 0[45]:30:00\+00\n){3}\d+\nreport\|30 6 \* \* mon-fri\|20\d\d-.* 0[45]:30:00\+00\|/m, 'a schedule: 6:30 in Berlin');
my ($key) = $out =~ /^(\d+)\n(?:\g1\n){98}\g1$/m;
ok($key, 'debounce: a hundred times the same id');
like($out, qr/^t\nrefresh sales\|waiting\|1\|0\|/m, 'a service: waited for, and what the view shows');
like($out, qr/^fast\|t\nslow\|t$/m, 'its config was changed while it ran');
like($out, qr/^backing off\|1\|division by zero$/m, 'one that fails');
like($out, qr/^quarantined\|canceling command/m, 'one in quarantine, with the reason');
like($out, qr/^t\n(?:\d+\n){5}5\n0\nt\nt\n(?:t\n)*t\n0$/m, 'a queue made, five enqueued and cancelled; drained: 0; resumed; paused, resumed; nothing to adopt');
is($pool->sql('select count(*) from worker_pool.task_history where is_final and state = $$failed$$'), 0, 'no task of the README failed');

# --- what came of it -----------------------------------------------------------------------------------------

is($pool->sql(q{select has_schema_privilege('app', 'worker_pool', 'usage')}), 't', 'the role is admitted');
is($pool->sql(q{select worker_pool.run('select 1')}, user => 'app'), 'SELECT 1', 'and may run');
is($pool->sql(q{select count(*) from audit where what in ('tried to pay', 'it''s late')}), 2, 'both rows of audit');
is($pool->sql(q{select count(*) from pg_index i join pg_class c on c.oid = i.indexrelid where c.relname = 'audit_at_idx' and indisvalid}), 1, 'the index that was built concurrently');
is($pool->sql(q{select count(*) from purchases where mailed_at is not null}), 1, 'from a trigger: the row was mailed');
is($pool->sql(q{select string_agg(args::text, ',') from worker_pool.task_history where name = 'mail'}), '{1}', 'with its id');
is($pool->sql(q{select string_agg(state, ',') from worker_pool.task_history where schedule = 'report'}), 'succeeded', 'run_schedule ran it once');

is($pool->sql("select worker_pool.wait_task($key, '30s')"), 'succeeded', 'debounce: by its task');
is($pool->sql(q{select count(*) from worker_pool.task_history where command like 'refresh%'}), 1, 'once');
is($pool->sql(q{select sum from revenue}), '9.99', 'and shows what is there');
is($pool->sql(q{select worker_pool.wait_task(id, '30s') from (select id from worker_pool.task_history where name = 'push to shop' union select id from worker_pool.tasks where name = 'push to shop') t}),
	'succeeded', 'a call to somewhere else');
is($pool->sql(q{select total from worker_pool.query('select total from orders where id = 1', database => 'shop') as (total numeric)}), '10.99', 'had its effect there');
is($pool->sql(q{select string_agg(tag, ',' order by started_at) from worker_pool.task_history where command ~ 'staging'}), 'SELECT 1,INSERT 0 1,DROP TABLE', 'a chain, in order');
is($pool->sql(q{select count(*) from audit where what = '1'}), 1, 'and its effect');
is($pool->sql(q{select string_agg(state, ',') from (select distinct state from worker_pool.task_history where queue = 'mail') s}), 'cancelled', 'a queue cancelled');
is($pool->sql(q{select bool_or(paused) from worker_pool.queues}), 'f', 'nothing is left paused');

# --- a chain that breaks -------------------------------------------------------------------------------------

my $broken = $pool->sql(q{select worker_pool.enqueue('select 1 / 0', max_attempts => 1, name => 'broken')});
my $behind = $pool->sql("select worker_pool.enqueue('select 1', depends_on => array[$broken])");
is($pool->sql("select worker_pool.wait_task($behind, '30s')"), 'cancelled', 'behind a failed one: cancelled');
like($pool->sql("select message from worker_pool.task_history where id = $behind"), qr/because task $broken, on which it depends, (?:failed|did not succeed)/, 'with the reason');

# --- last night's failures -----------------------------------------------------------------------------------

$pool->sql('create table switch (done bool)');
my $flaky = $pool->sql(q{select worker_pool.enqueue('select 1 / count(*) from switch', max_attempts => 1, name => 'flaky')});
is($pool->sql("select worker_pool.wait_task($flaky, '30s')"), 'failed', 'a failure of last night');
$pool->sql('insert into switch values (true)');
my $night = $pool->sql(example('Last night'));
like($night, qr/^$broken\|broken\|.*\|22012\|division by zero\n$flaky\|flaky\|.*\|22012\|division by zero\nt\nt$/m, 'both are listed and retried');
is($pool->sql("select worker_pool.wait_task(id, '30s') from unnest(array[$broken, $flaky]) id"), "failed\nsucceeded", 'one fails again, the other is done');

# --- VACUUM, every ten seconds -------------------------------------------------------------------------------

my $vacuum = $pool->sql(q{select worker_pool.run_schedule('nightly vacuum')});
is($pool->sql("select worker_pool.wait_task($vacuum, '60s')"), 'succeeded', 'VACUUM here');
is($pool->sql(q{select count(*) > 0 from pg_stat_user_tables where last_vacuum is not null and relname = 'purchases'}), 't', 'has vacuumed');
$vacuum = $pool->sql(q{select worker_pool.run_schedule('nightly vacuum everywhere')});
is($pool->sql("select worker_pool.wait_task($vacuum, '60s')"), 'succeeded', 'VACUUM in every database');
$pool->becomes_ok(q{(select count(*) filter (where state = 'succeeded') = 2 and count(distinct database) = 2 from worker_pool.commands where name = 'vacuum')}, 'ran in both');
$pool->sql(example('Every 10 seconds') =~ s/^.*unschedule.*\n//mr =~ s/10 seconds/1 second/r =~ s/select count[^']*/select pg_sleep(1.5)/r);
$pool->becomes_ok(q{(select count(*) >= 2 from worker_pool.task_history where schedule = 'poll' and state = 'succeeded') and exists (select from worker_pool.task_history where schedule = 'poll' and state = 'skipped')}, 'every so often: what is due during a run is skipped');
is($pool->sql(q{select count(*) from worker_pool.task_history a join worker_pool.task_history b on a.id < b.id and a.finished_at > b.started_at where a.schedule = 'poll' and b.schedule = 'poll' and a.state = 'succeeded' and b.state = 'succeeded'}), 0, 'never twice at a time');
$pool->sql(q{select worker_pool.unschedule('poll')});

# --- drain, and stop everything ------------------------------------------------------------------------------

my $short = $pool->sql(q{select worker_pool.enqueue('select pg_sleep(1)')});
$pool->wait_until("(select state = 'running' from worker_pool.tasks where id = $short)");
is($pool->sql(q{select worker_pool.drain(timeout => '1min')}), 0, 'drain waits for what runs');
is($pool->sql("select worker_pool.wait_task($short, '1s')"), 'succeeded', 'which ends as it would');
my $held = $pool->sql(q{select worker_pool.enqueue('select 1')});
is($pool->sql("select worker_pool.wait_task($held, '1s')"), 'ready', 'nothing new begins');
$pool->sql('select worker_pool.resume()');
is($pool->sql("select worker_pool.wait_task($held, '30s')"), 'succeeded', 'afterwards it goes on');

my $long = $pool->sql(q{select worker_pool.enqueue('select pg_sleep(600)')});
my ($command) = $pool->start_busy(1);
$pool->wait_until("(select state = 'running' from worker_pool.tasks where id = $long)");
$pool->sql(example('Stop everything now'));
is($pool->sql("select worker_pool.wait_task($long, '30s')"), 'cancelled', 'stop everything: the task');
is($pool->sql("select worker_pool.wait_worker($command, '30s')"), 'cancelled', 'and the command');
$pool->forget_outcomes;

# --- a copy for staging --------------------------------------------------------------------------------------

$pool->sql('create database production');
$pool->sql('create extension worker_pool; create table effect (n int)', db => 'production');
$pool->sql(q{select worker_pool.enqueue('insert into effect values (1)', run_at => now() + interval '1 second')}, db => 'production');
$pool->sql(q{create database staging template production});
$pool->becomes_ok('(select count(*) = 1 from effect)', 'production runs its task', db => 'production');
is($pool->sql('select count(*) from effect', db => 'staging'), 0, 'its copy does not');
is($pool->sql(example('A copy of production'), db => 'staging') >= 1, 1, 'until adopt()');
$pool->becomes_ok('(select count(*) = 1 from effect)', 'then it runs, once', db => 'staging') or diag($pool->report);

# --- from pg_cron --------------------------------------------------------------------------------------------

SKIP:
{
	skip 'pg_cron is not installed', 6 unless $cron;
	like($out, qr/^1\|old job\|import\|time zone GMT; .*\n1\|old job\|imported$/m, 'from pg_cron: the plan, and the import');
	is($pool->sql('select active from cron.job'), 'f', 'the old job is deactivated');
	is($pool->sql(q{select schedule, timezone, atomic, active from worker_pool.schedules where name = 'old job'}), '0 4 * * *|GMT|f|t', 'the schedule is as the job was');
	my $run = $pool->sql(q{select worker_pool.run_schedule('old job')});
	is($pool->sql("select worker_pool.wait_task($run, '60s')"), 'succeeded', 'and runs');
	is($pool->sql("select database, username, command, status, return_message from worker_pool.job_run_details where runid = $run"), 'postgres|postgres|vacuum|succeeded|VACUUM', 'job_run_details has it');
	is($pool->sql(q{select string_agg(column_name, ',' order by ordinal_position) from information_schema.columns where table_schema = 'worker_pool' and table_name = 'job_run_details'}),
		$pool->sql(q{select string_agg(column_name, ',' order by ordinal_position) from information_schema.columns where table_schema = 'cron' and table_name = 'job_run_details'}),
		'with pg_cron\'s columns');
}

$pool->sql(q{select worker_pool.unschedule(name) from worker_pool.schedules});
$pool->slots_ok;
$pool->finish;
done_testing();
