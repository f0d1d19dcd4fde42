
# Schedules on a live server: on time, overlap, missed, pauses, restarts, @reboot, identity, pg_cron.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);
use WorkerPool;

my ($sharedir) = PostgreSQL::Test::Utils::run_command([ 'pg_config', '--sharedir' ]);
my $cron = -e "$sharedir/extension/pg_cron.control";
my $pool = WorkerPool->make(
	'schedules',
	settings => {
		'worker_pool.idle_timeout' => '1h', 'worker_pool.max_workers' => 8,
		$cron ? (shared_preload_libraries => 'worker_pool, pg_cron', 'cron.database_name' => 'jobs', 'cron.timezone' => 'Europe/Berlin') : ()
	});

$pool->sql('create table effect (what text, at timestamptz default clock_timestamp())');

# --- on time, replaced, gone -------------------------------------------------------------------------------

my $id = $pool->sql(q{select worker_pool.schedule('tick', '1 second', $$insert into effect values ('tick')$$)});
$pool->becomes_ok(q{(select count(*) >= 3 from effect where what = 'tick')}, 'a schedule each second runs');
is($pool->sql(q{select count(*) from effect where what = 'tick' and extract(microseconds from at) / 1000000 % 1 > 0.5}), 0, 'near its second');
is($pool->sql(q{select worker_pool.schedule('tick', '1 hour', $$insert into effect values ('tock')$$)}), $id, 'on an existing name it is replaced, the id stays');
is($pool->sql(q{select next_run - date_trunc('hour', next_run) from worker_pool.schedules where name = 'tick'}), '00:00:00', 'anchored to absolute time');
cmp_ok($pool->sql(q{select count(*) from worker_pool.task_history where schedule = 'tick'}), '>=', 3, 'history is kept');
my $run = $pool->sql(q{select worker_pool.run_schedule('tick')});
is($pool->sql("select worker_pool.wait_task($run, '30s')"), 'succeeded', 'run_schedule');
is($pool->sql(q{select count(*) from effect where what = 'tock'}), 1, 'runs it once now');
is($pool->sql(q{select worker_pool.unschedule('tick')}), 't', 'unschedule');
$pool->fails_ok('42704', q{select worker_pool.unschedule('tick')}, 'again: unknown');
$pool->fails_ok('42704', q{select worker_pool.run_schedule('tick')}, 'an unknown schedule');

# --- errors ------------------------------------------------------------------------------------------------

$pool->fails_ok('22023', q{select worker_pool.schedule('s', '0 25 * * *', 'select 1')}, 'a bad field', like => qr/hour.*25/s);
$pool->fails_ok('22023', q{select worker_pool.schedule('s', '0 0 31 2 *', 'select 1')}, 'a date that never comes');
$pool->fails_ok('22023', q{select worker_pool.schedule('s', '* * * * *', 'select 1', timezone => 'Nowhere/Land')}, 'an unknown zone');
$pool->fails_ok('42601', q{select worker_pool.schedule('s', '* * * * *', 'selekt 1')}, 'a syntax error in the command');
is($pool->sql('select count(*) from worker_pool.schedules'), 0, 'bad input changes nothing');

# --- transactional -----------------------------------------------------------------------------------------

$pool->sql(q{begin; select worker_pool.schedule('r', '1 second', $$insert into effect values ('rolled back')$$); rollback});
$pool->sql(q{select worker_pool.schedule('c', '1 second', $$insert into effect values ('c')$$)});
$pool->becomes_ok(q{exists (select from effect where what = 'c')}, 'a committed one runs');
is($pool->sql(q{select count(*) from effect where what = 'rolled back'}), 0, 'one that was rolled back does not');

# --- pause, restart ------------------------------------------------------------------------------------------

$pool->sql('select worker_pool.drain()');
$pool->sql('truncate effect');
usleep(3_300_000);
is($pool->sql('select count(*) from effect'), 0, 'nothing runs while paused');
$pool->sql('select worker_pool.resume()');
$pool->becomes_ok(q{(select count(*) >= 2 from effect)}, 'it goes on after resume');
cmp_ok($pool->sql('select count(*) from (select date_trunc($$second$$, at) from effect group by 1 having count(*) > 2) s'), '==', 0, 'without a storm');
$pool->sql(q{select worker_pool.schedule('late', '* * * * * *', $$insert into effect values ('late')$$, missed => 'once')});
$pool->sql(q{select worker_pool.schedule('boot', '@reboot', $$insert into effect values ('boot')$$)});
is($pool->sql(q{select count(*) from effect where what = 'boot'}), 0, '@reboot does not run when it is made');
$pool->stop('fast');
usleep(3_000_000);
$pool->start;
$pool->becomes_ok(q{(select count(*) = 1 from effect where what = 'boot')}, '@reboot runs after a restart');
$pool->becomes_ok(q{exists (select from worker_pool.task_history where schedule = 'late' and state = 'skipped')}, 'due times that were missed are written down as skipped');
usleep(1_500_000);
is($pool->sql(q{select count(*) from effect where what = 'boot'}), 1, 'once');
$pool->sql(q{select worker_pool.unschedule(name) from worker_pool.schedules});

# --- overlap -------------------------------------------------------------------------------------------------

$pool->sql('truncate effect');
$pool->sql(q{select worker_pool.schedule('slow ' || o, '1 second', format($$insert into effect values (%L); select pg_sleep(2.5)$$, o), overlap => o) from unnest(array['skip', 'queue', 'allow']) o});
usleep(7_000_000);
$pool->sql(q{select worker_pool.unschedule(name) from worker_pool.schedules});
cmp_ok($pool->sql(q{select count(*) filter (where what = 'allow') - count(*) filter (where what = 'skip') from effect}), '>=', 1, 'allow runs more often than skip');
cmp_ok($pool->sql(q{select count(*) from worker_pool.task_history where name = 'slow skip' and state = 'skipped'}), '>=', 1, 'skip: due times during a run are skipped');
is($pool->sql(q{select count(*) from worker_pool.task_history a join worker_pool.task_history b on a.name = b.name and a.id < b.id and a.finished_at > b.started_at
	where a.name in ('slow skip', 'slow queue') and a.state = 'succeeded' and b.state = 'succeeded'}), 0, 'skip and queue never run twice at a time');
$pool->sql(q{select worker_pool.cancel_task(id) from worker_pool.tasks});
$pool->becomes_ok('not exists (select from worker_pool.tasks)', 'all is over');

# --- identity ------------------------------------------------------------------------------------------------

$pool->sql(q{select worker_pool.schedule('ident', '1 second', $$insert into effect values ('ident')$$)});
$pool->sql(q{select worker_pool.enqueue($$insert into effect values ('task')$$, run_at => now() + interval '1 hour')});
$pool->sql(q{create database clone template postgres});
$pool->sql('truncate effect', db => 'clone');
usleep(2_500_000);
is($pool->sql('select count(*) from effect', db => 'clone'), 0, 'what came by TEMPLATE does not run');
is($pool->sql('select count(*) from worker_pool.schedules where not adopted', db => 'clone'), 1, 'and shows as not adopted');
cmp_ok($pool->sql('select worker_pool.adopt()', db => 'clone'), '>=', 2, 'adopt()');
$pool->becomes_ok(q{exists (select from effect where what = 'ident')}, 'makes it this database\'s own', db => 'clone');

# dump and restore
$pool->sql('create database restored');
my $dump = $pool->data_dir . '/../dump.sql';
$pool->command_ok([ 'pg_dump', '-d', $pool->connstr('postgres'), '-f', $dump ], 'pg_dump');
$pool->command_ok([ 'psql', '-X', '-q', '-d', $pool->connstr('restored'), '-f', $dump ], 'restore');
is($pool->sql('select count(*) from worker_pool.schedules', db => 'restored'), 1, 'schedules are dumped');
is($pool->sql('select count(*) from worker_pool.tasks', db => 'restored'), 0, 'tasks are not');
$pool->sql('truncate effect', db => 'restored');
usleep(2_500_000);
is($pool->sql('select count(*) from effect', db => 'restored'), 0, 'nothing restored runs by itself');
cmp_ok($pool->sql('select worker_pool.adopt()', db => 'restored'), '>=', 1, 'adopt()');
$pool->becomes_ok(q{exists (select from effect where what = 'ident')}, 'until it is adopted', db => 'restored');
$pool->sql(q{select worker_pool.unschedule('ident')}, db => $_) for qw(postgres clone restored);

# --- pg_cron -------------------------------------------------------------------------------------------------

SKIP:
{
	skip 'pg_cron is not installed', 8 unless $cron;
	$pool->sql('create database jobs');
	$pool->sql('create extension worker_pool; create extension pg_cron; create table effect (n int)', db => 'jobs');
	$pool->sql(q{select cron.schedule('nightly', '0 3 * * *', 'vacuum effect')}, db => 'jobs');
	$pool->sql(q{select cron.schedule('*/5 * * * *', 'select 1')}, db => 'jobs');
	$pool->sql('create database other', db => 'jobs');
	my $elsewhere = $pool->sql(q{select cron.schedule_in_database('there', '0 4 * * *', 'select 2', 'other')}, db => 'jobs');
	my $plan = $pool->sql(q{select count(*) from worker_pool.import_pg_cron()}, db => 'jobs');

	is($plan, 3, 'a dry run shows all jobs');
	is($pool->sql('select count(*) from worker_pool.schedules', db => 'jobs'), 0, 'and changes nothing');
	$pool->sql(q{select * from worker_pool.import_pg_cron(dry_run => false)}, db => 'jobs');
	is($pool->sql(q{select string_agg(name, ',' order by name collate "C") from worker_pool.schedules}, db => 'jobs'), 'nightly,pg_cron_2', 'jobs of this database are imported, the unnamed by its id');
	is($pool->sql(q{select string_agg(distinct timezone, ',') from worker_pool.schedules}, db => 'jobs'), 'Europe/Berlin', 'with pg_cron\'s zone');
	is($pool->sql(q{select string_agg(jobid::text || active::text, ',' order by jobid) from cron.job}, db => 'jobs'), "1false,2false,${elsewhere}true", 'the old jobs are deactivated');
	like($pool->sql(q{select string_agg(coalesce(note, '') || coalesce(action, ''), ' ') from worker_pool.import_pg_cron() where database = 'other'}, db => 'jobs'), qr/worker_pool\.schedule\(/, 'a job of another database is reported with the statement to run there');
	my $vacuum = $pool->sql(q{select worker_pool.run_schedule('nightly')}, db => 'jobs');
	is($pool->sql("select worker_pool.wait_task($vacuum, '30s')", db => 'jobs'), 'succeeded', 'a VACUUM job keeps its meaning');
	is($pool->sql(q{select status from worker_pool.job_run_details where command = 'vacuum effect'}, db => 'jobs'), 'succeeded', 'job_run_details has it');
}

$pool->slots_ok;
$pool->finish;
done_testing();
