# What becomes of tasks and schedules when their rows move: pg_upgrade keeps them and runs each once; logical
# replication and a restore in another cluster bring rows that do not run until adopt().

use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path getcwd);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use WorkerPool;

my $effects = q{create table effect (what text, at timestamptz default clock_timestamp())};

# How often each task took effect, as "what=times,...".
sub effects
{
	my ($node, $db) = @_;

	return $node->sql(q{select string_agg(what || '=' || n, ',' order by what collate "C") from (select what, count(*) n from effect where what not like 'tick%' group by 1) e}, db => $db // 'postgres');
}

# --- pg_upgrade ----------------------------------------------------------------------------------------------

my $old = WorkerPool->make('old', init => { allows_streaming => 'logical' }, settings => { 'worker_pool.idle_timeout' => '1h' });

$old->sql($effects);
$old->sql('create role worker login; alter role worker set worker_pool.max_tasks_per_role = 50; grant usage on schema worker_pool to worker; grant insert on effect to worker');
$old->sql(q{alter database postgres set worker_pool.max_tasks_per_role = 60});
$old->sql(q{select worker_pool.create_queue('shut', max_running => 3)});
$old->sql(q{select worker_pool.pause('shut', 'for the upgrade')});
my $done = $old->sql(q{select worker_pool.enqueue($$insert into effect values ('done') returning what$$)});
my $failed = $old->sql(q{select worker_pool.enqueue('select 1 / 0', max_attempts => 1, name => 'broken')});
is($old->sql("select worker_pool.wait_task($_->[0], '30s')"), $_->[1], "before pg_upgrade: $_->[1]") for ([ $done, 'succeeded' ], [ $failed, 'failed' ]);
my $running = $old->sql(q{select worker_pool.enqueue($$insert into effect values ('running'); select pg_sleep(case when current_setting('cluster_name') = 'new' then 0 else 600 end)$$)});
my $behind = $old->sql("select worker_pool.enqueue(\$\$insert into effect values ('behind')\$\$, depends_on => array[$running])");
my $later = $old->sql(q{select worker_pool.enqueue($$insert into effect values ('later')$$, run_at => now() + interval '8 seconds', key => 'later')});
my $of_role = $old->sql(q{select worker_pool.enqueue($$insert into effect values ('role')$$, run_as => 'worker', run_at => now() + interval '8 seconds')});
my $shut = $old->sql(q{select worker_pool.enqueue($$insert into effect values ('shut')$$, queue => 'shut')});
my $schedule = $old->sql(q{select worker_pool.schedule('tick', '1 second', $$insert into effect values ('tick')$$)});
$old->sql(q{select worker_pool.schedule('boot', '@reboot', $$insert into effect values ('boot')$$)});
$old->wait_until("(select state = 'running' from worker_pool.tasks where id = $running) and exists (select from effect where what = 'tick')");
$old->stop('fast');

my $new = WorkerPool->make('new', init => { allows_streaming => 'logical' }, settings => { 'worker_pool.idle_timeout' => '1h', cluster_name => 'new' }, start => 0);

# Both clusters are of the server whose programs run these tests.
my $bin = `pg_config --bindir`;
chomp $bin;
my $folder = abs_path(PostgreSQL::Test::Utils::tempdir);
my @data = map { abs_path($_->data_dir) } $old, $new;
my $here = getcwd;

# It leaves a script in the current folder.
chdir $folder or die;
my $upgraded = PostgreSQL::Test::Utils::run_log(
	[ 'pg_upgrade', '-d', $data[0], '-D', $data[1], '-b', $bin, '-B', $bin, '-p', $old->port, '-P', $new->port, '-s', $new->host ]);
chdir $here or die;
ok($upgraded, 'pg_upgrade from 15 to 15') or die 'pg_upgrade failed';
$new->start;
$new->wait_until('(select launcher_pid is not null from worker_pool.status)');
is($new->sql('select count(*) from worker_pool.tasks where not adopted'), 0, 'the rows are this database\'s own');
$new->becomes_ok("not exists (select from worker_pool.tasks where id in ($running, $behind, $later, $of_role))", 'unfinished tasks run after pg_upgrade');
is($new->sql("select string_agg(worker_pool.wait_task(id), ',') from unnest(array[$running, $behind, $later, $of_role]) id"), join(',', ('succeeded') x 4), 'and succeed');
$new->becomes_ok(q{exists (select from effect where what = 'boot')}, '@reboot ran');
is(effects($new), 'behind=1,boot=1,done=1,later=1,role=1,running=1', 'each once, none that was done before again');
is($new->sql("select attempt from worker_pool.task_history where id = $running and is_final"), 1, 'the shutdown cost no attempt');
is($new->sql("select worker_pool.task_result($done)::text"), '[{"what": "done"}]', 'results are kept');
is($new->sql("select sqlstate from worker_pool.task_history where id = $failed"), '22012', 'and errors');
$new->becomes_ok(q{(select count(*) >= 2 from effect where what = 'tick' and at > pg_postmaster_start_time())}, 'schedules go on');
is($new->sql(q{select count(*) from (select date_trunc('second', at) from effect where what = 'tick' group by 1 having count(*) > 2) s}), 0, 'without a storm');
is($new->sql(q{select paused, pause_reason, max_running from worker_pool.queues where name = 'shut'}), 't|for the upgrade|3', 'a paused queue stays so');
$new->sql(q{select worker_pool.resume('shut')});
is($new->sql("select worker_pool.wait_task($shut, '30s')"), 'succeeded', 'until it is resumed');
cmp_ok($new->sql(q{select worker_pool.enqueue('select 1')}), '>', $shut, 'ids go on');
is($new->sql(q{select worker_pool.schedule('tick', '1 hour', 'select 1')}), $schedule, 'a schedule keeps its id');
like($new->sql(q{select array_to_string(rolconfig, ',') from pg_roles where rolname = 'worker'}), qr/worker_pool\.max_tasks_per_role=50/, 'limits of a role are kept');
$new->sql(q{select worker_pool.unschedule(name) from worker_pool.schedules});

# --- a logical replica ---------------------------------------------------------------------------------------

my $replica = WorkerPool->make('replica', init => { allows_streaming => 'logical' }, settings => { 'worker_pool.idle_timeout' => '1h' });

$replica->sql($effects);
$replica->sql('create role worker login; grant usage on schema worker_pool to worker; grant insert on effect to worker');
$new->sql('truncate effect');
$new->sql('create publication moves for table worker_pool.task, worker_pool.schedule, worker_pool.queue, worker_pool.dependency');
$new->sql('select worker_pool.drop_queue(name) from worker_pool.queues where name <> $$default$$');
$new->sql(q{select worker_pool.enqueue($$insert into effect values ('before')$$, run_at => now() + interval '1 day', run_as => 'worker')});
my $conninfo = 'host=' . $new->host . ' port=' . $new->port . ' dbname=postgres';
$replica->sql("create subscription moves connection '$conninfo' publication moves");
$replica->wait_until("not exists (select from pg_subscription_rel where srsubstate not in ('r', 's'))");
$new->sql(q{select worker_pool.enqueue($$insert into effect values ('now')$$)});
$new->sql(q{select worker_pool.enqueue($$insert into effect values ('soon')$$, run_at => now() + interval '1 second')});
my $first = $new->sql(q{select worker_pool.enqueue($$insert into effect values ('first')$$, run_at => now() + interval '1 day')});
$new->sql("select worker_pool.enqueue(\$\$insert into effect values ('second')\$\$, depends_on => array[$first])");
$new->sql(q{select worker_pool.schedule('tick', '1 second', $$insert into effect values ('tick')$$)});
$new->becomes_ok(q{(select count(*) >= 2 from effect where what = 'tick')}, 'on the publisher a schedule runs');
$new->becomes_ok(q{(select count(*) = 2 from effect where what in ('now', 'soon'))}, 'and tasks');
$replica->becomes_ok(q{(select count(*) >= 3 from worker_pool.tasks) and exists (select from worker_pool.schedules where name = 'tick')}, 'rows reach the subscriber');
usleep(2_500_000);
is($replica->sql('select count(*) from effect'), 0, 'where they do not run');
is($replica->sql('select bool_or(adopted) from (select adopted from worker_pool.tasks union all select adopted from worker_pool.schedules) a'), 'f', 'since they are not adopted');
like($replica->sql("select reason || hint from worker_pool.explain_task($first)"), qr/has not been adopted.*worker_pool\.adopt\(\)/s, 'explain_task says so');
$new->sql(q{select worker_pool.unschedule('tick')});
$new->becomes_ok('(select count(*) = 3 from worker_pool.tasks)', 'what remains on the publisher');
$new->wait_for_catchup('moves');
$replica->becomes_ok('(select count(*) = 3 from worker_pool.tasks) and not exists (select from worker_pool.schedules)', 'ended tasks and dropped schedules are gone from the subscriber, too');

$new->stop('immediate');
$replica->sql('alter subscription moves disable');
$replica->sql('alter subscription moves set (slot_name = none)');
$replica->sql('drop subscription moves');
is($replica->sql('select worker_pool.adopt()'), 3, 'adopt(), the publisher being gone');
$replica->sql('select worker_pool.enqueue($$select 1$$)');
$replica->sql(q{update worker_pool.task set due = now(), run_at = now() where due < 'infinity'});
$replica->becomes_ok('not exists (select from worker_pool.tasks)', 'then they run');
is(effects($replica), 'before=1,first=1,second=1', 'each once, in the role and the order that they were enqueued with');
is($replica->sql(q{select run_as from worker_pool.task_history where command like '%before%'}), 'worker', 'as the role of that name');

# --- restore in another cluster ------------------------------------------------------------------------------

my $target = WorkerPool->make('target', settings => { 'worker_pool.idle_timeout' => '1h' }, start => 0);

$target->start;
$replica->sql(q{select worker_pool.create_queue('slow', max_running => 2, priority => 7)});
$replica->sql(q{select worker_pool.schedule('of worker', '1 second', $$insert into effect values ('tick worker')$$, queue => 'slow', run_as => 'worker')});
$replica->sql(q{select worker_pool.schedule('mine', '1 second', $$insert into effect values ('tick mine')$$, overlap => 'queue')});
$replica->sql(q{select worker_pool.enqueue('select 1', run_at => now() + interval '1 day')});
command_ok([ 'pg_dump', '-Fc', '-d', $replica->connstr('postgres'), '-f', "$folder/moved.dump" ], 'pg_dump -Fc');
$replica->sql(q{select worker_pool.unschedule(name) from worker_pool.schedules});

# The role "worker" is not there: its privileges and its schedule cannot be restored as they were.
command_ok([ 'pg_restore', '--no-privileges', '-d', $target->connstr('postgres'), "$folder/moved.dump" ], 'pg_restore, in a cluster without the role');
is($target->sql('select count(*) from worker_pool.tasks'), 0, 'tasks are not dumped');
$target->sql('truncate effect');
usleep(2_500_000);
is($target->sql('select count(*) from effect'), 0, 'schedules do not run by themselves');
my ($status, $out, $error) = $target->try_sql('select worker_pool.adopt()');
is($out, 2, 'adopt() takes the queue and one schedule');
like($error, qr/WARNING.*worker/s, 'and warns of the role that is not there');
$target->becomes_ok(q{exists (select from effect where what = 'tick mine')}, 'the one runs');
is($target->sql(q{select count(*) from effect where what = 'tick worker'}), 0, 'the other does not');
$target->sql('create role worker login; grant usage on schema worker_pool to worker; grant insert on effect to worker');
is($target->sql('select worker_pool.adopt()'), 1, 'adopt() again, with the role');
$target->becomes_ok(q{exists (select from effect where what = 'tick worker')}, 'now it runs');
is($target->sql(q{select max_running, priority, adopted from worker_pool.queues where name = 'slow'}), '2|7|t', 'the queue is as it was');
cmp_ok($target->sql(q{select worker_pool.schedule('another', '1 hour', 'select 1')}), '>', $target->sql(q{select max(id) from worker_pool.schedules where name <> 'another'}), 'ids of schedules go on');
$target->sql(q{select worker_pool.unschedule(name) from worker_pool.schedules});

$_->slots_ok, $_->finish(allow => qr/terminating|replication/) for $replica, $target;
done_testing();
