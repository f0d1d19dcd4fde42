
# The firing of schedules, and the visits that load them, struck by each kind of fault: no due time runs twice,
# and none is lost. Each due time stands in the history, as a task that ran or, within the time that the server
# was away, as skipped (the latest of those runs).

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);
use WorkerPool;

my $pool = WorkerPool->make('schedule_faults', settings => { 'worker_pool.idle_timeout' => '1h', 'worker_pool.max_workers' => 6, log_min_messages => 'debug1' });

# A task knows its due time from its row.
$pool->sql(<<'SQL');
create table effect (schedule bigint, due timestamptz, at timestamptz default clock_timestamp());
create function act() returns void language sql as
	$$insert into effect select schedule_id, scheduled_for from worker_pool.task where id = worker_pool.current_task()$$;
SQL
# the command is one, the schedules differ in what they do when something was missed or still runs
$pool->sql(q{select worker_pool.schedule('tick ' || o || ' ' || m, '1 second', 'select act()', overlap => o, missed => m, max_attempts => 20, retry_delay => '10ms')
	from unnest(array['allow', 'queue']) o, unnest(array['once', 'skip']) m});

# Waits until the log tells that it happened.
sub logged
{
	my ($offset, $pattern, $name) = @_;

	for (my $end = time + 20; time < $end; usleep(5_000))
	{
		return 1 if $pool->log_since($offset) =~ $pattern;
	}
	diag("not in the log: $pattern");
	return 0;
}

# Waits until each schedule has run at a due time after now, whatever the server does meanwhile.
sub goes_on
{
	my $end = time + 30;
	my $since;

	while (time < $end)
	{
		my ($status, $out) = $pool->try_sql('select ' . (defined $since ? "count(distinct schedule) from effect where due > '$since'" : 'clock_timestamp()'), timeout => 10);

		if ($status == 0)
		{
			return 1 if defined $since && $out == 4;
			$since //= $out;
		}
		usleep(10_000);
	}
	diag($pool->report, $pool->sql('select id, name, next_run, last_run, last_status, last_error from worker_pool.schedules'));
	return 0;
}

my %sign = (
	error => qr/ERROR:  .*fault point "/,
	fatal => qr/FATAL:  .*fault point "/,
	exit => qr/"worker_pool (?:worker|visit)" \(PID \d+\) exited with exit code 0/,
	kill => qr/was terminated by signal 9/);

# Strikes points, once each, and waits until all have been struck and the schedules go on.
sub strike
{
	my ($mode, @points) = @_;
	my $offset = $pool->log_end;

	$pool->fault(join(',', map { "$_=$mode*1" } @points));
	# visits have something to load
	$pool->try_sql('select worker_pool.rescan()') if grep { !/^schedule/ } @points;
	my $struck = logged($offset, $sign{$mode});
	if ($mode =~ /error|fatal/) { $struck &= logged($offset, qr/fault point "$_"/) for @points; }
	# a crash makes the counters anew
	$pool->no_fault_in_crash if $mode eq 'kill';
	my $on = goes_on();
	ok($struck && $on, join(' and ', @points) . ", $mode: struck, and they go on");
	$pool->no_fault if $mode ne 'kill';
}

ok(goes_on(), 'the schedules run');
for my $mode (qw(error fatal exit))
{
	strike($mode, 'schedule.before_fire', 'visit.before_load');
	strike($mode, 'schedule.after_fire', 'visit.after_load');
	strike($mode, 'load.before_end');
}
strike('kill', $_) for qw(schedule.before_fire schedule.after_fire visit.before_load visit.after_load load.before_end);

# --- the audit -----------------------------------------------------------------------------------------------

$pool->sql(q{select worker_pool.alter_schedule(name, active => false) from worker_pool.schedules});
$pool->becomes_ok('not exists (select from worker_pool.tasks)', 'all tasks end');
is($pool->sql('select count(*) from (select from effect group by schedule, due having count(*) > 1) x'), 0, 'no due time has run twice')
  or diag($pool->sql('select schedule, due, count(*) from effect group by 1, 2 having count(*) > 1'));
is($pool->sql(q{select count(*) from (select from worker_pool.history where is_final group by schedule_id, scheduled_for having count(*) > 1) x}), 0, 'nor stands there twice')
  or diag($pool->sql('select schedule_id, scheduled_for, array_agg(state) from worker_pool.history where is_final group by 1, 2 having count(*) > 1'));
is($pool->sql(q{select count(*) from worker_pool.history where is_final and state not in ('succeeded', 'skipped')}), 0, 'every task has succeeded')
  or diag($pool->sql(q{select state, sqlstate, message, detail from worker_pool.history where is_final and state not in ('succeeded', 'skipped')}));
is($pool->sql(q{select count(*) from (select schedule_id, scheduled_for from worker_pool.history where state = 'succeeded' except select schedule, due from effect) x}), 0, 'with its effect');
is($pool->sql(q{select count(*) from (select schedule, due from effect except select schedule_id, scheduled_for from worker_pool.history where state = 'succeeded') x}), 0, 'and no other');
is($pool->sql(<<'SQL'), 0, 'no due time is lost: each has run, or stands as skipped');
with bounds as (select schedule_id, min(scheduled_for) as first, max(scheduled_for) as last from worker_pool.history where is_final group by 1)
select count(*) from bounds b, generate_series(b.first, b.last, interval '1 second') as g
where not exists (select from worker_pool.history h where h.schedule_id = b.schedule_id and h.scheduled_for = g and is_final)
SQL
# a due time was skipped only because a later one ran in its place, when both were over
is($pool->sql(<<'SQL'), 0, 'the latest of those that were missed has run');
select count(*) from worker_pool.history s
where s.state = 'skipped' and not exists (
	select from worker_pool.history h
	where h.schedule_id = s.schedule_id and h.state = 'succeeded' and h.scheduled_for > s.scheduled_for and h.enqueued_at - h.scheduled_for < interval '60 seconds')
SQL
note('due times that have run, and that were skipped: ' . $pool->sql(q{select string_agg(state || ' ' || n, ', ') from (select state, count(*) n from worker_pool.history where is_final group by 1) x}));
cmp_ok($pool->sql('select count(*) from effect'), '>', 40, 'many have run');
is($pool->sql(q{select count(*) from effect where at < due}), 0, 'none too early');
$pool->slots_ok;

$pool->finish(allow => qr/terminated by signal 9/);
done_testing();
