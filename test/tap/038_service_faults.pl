# Services under limits that change, time-outs that nobody looks at, and a server that stops.

use strict;
use warnings FATAL => 'all';

use Test::More;
use Time::HiRes qw(usleep);
use WorkerPool;

# --- a server that stops, residents, a time-out that is found too late -------------------------------------------------

{
	my $node = WorkerPool->make('limits', settings => {
			'worker_pool.max_workers' => 6,
			'max_worker_processes' => 20,
			'worker_pool.restart_backoff_initial' => '50ms',
			'worker_pool.restart_backoff_max' => '200ms' });

	$node->sql('create extension probe');

	# a cycle that returns after its time, without having looked at interrupts, or having caught the cancel
	$node->sql(q{select worker_pool.create_service('late', entry_point => 'probe:hang', config => '{"seconds": 0.6}', every => '10 ms', timeout => '200 ms')});
	$node->sql(q{select worker_pool.create_service('caught', $c$do $b$ begin perform pg_sleep(60); exception when query_canceled then null; end $b$ $c$, every => '10 ms', timeout => '200 ms')});
	for my $name (qw(late caught))
	{
		$node->becomes_ok(qq{(select state = 'quarantined' and failures = 3 and cycle = 0 from worker_pool.services where name = '$name')},
			"$name: an end after the timeout is an overrun");
		like($node->sql(qq{select quarantine_reason from worker_pool.services where name = '$name'}), qr/timeout of 200 ms/, '... and says so');
	}
	is($node->sql(q{select count(*) from probe_events where service = 'late'}), '0', '... and is rolled back');
	$node->sql('select worker_pool.drop_service(name) from worker_pool.services');

	# limits that fall below what residents hold
	my $running = q{(select coalesce(string_agg(name, ' ' order by name), '') from worker_pool.services where state = 'running')};
	my $waits = q{(select count(*) from worker_pool.services where state = 'starting' and last_error like 'too many resident services%')};

	for my $i (1 .. 4)
	{
		$node->sql("select worker_pool.create_service('r$i', entry_point => 'probe:resident', config => '{\"seconds\": 60}')");
		$node->wait_until("exists (select from worker_pool.services where name = 'r$i' and state = 'running')");
	}
	$node->configure('worker_pool.reserved_workers' => 3);
	$node->becomes_ok("$running = 'r1 r2' and $waits = 2", 'more reserved_workers: the youngest residents leave');
	$node->sql(q{select worker_pool.create_service('turn', 'select 1', every => '10 ms')});
	is($node->sql(q{select worker_pool.wait_service('turn', cycles => 3, timeout => '30 s')}), 't', '... and there are turns');
	$node->configure('worker_pool.reserved_workers' => 1);
	$node->becomes_ok("$waits = 0 and (select count(*) = 4 from worker_pool.services where name like 'r%' and state = 'running')", '... and they come back');
	$node->configure('worker_pool.max_workers_per_database' => 2);
	$node->becomes_ok("$waits = 3", 'max_workers_per_database: residents leave one worker to others');
	is($node->sql(q{select worker_pool.run('select 1')}), 'SELECT 1', '... which a command gets');
	$node->configure('worker_pool.max_workers_per_database' => 0);
	$node->becomes_ok("$waits = 0", '... and without it they run');
	is($node->sql(q{select max(failures) from worker_pool.services where name like 'r%'}), '0', 'none of this is a failure');

	# a resident that sleeps for long hears that its role may no longer
	$node->sql('create role lodger login superuser');
	$node->sql(q{select worker_pool.alter_service('r1', run_as => 'lodger')});
	$node->wait_until(q{(select state = 'running' and pid is not null from worker_pool.services where name = 'r1')
		and exists (select from worker_pool.workers where service = 'r1' and username = 'lodger' and state = 'running')});
	$node->sql('alter role lodger nologin');
	$node->becomes_ok(q{(select state = 'backing off' from worker_pool.services where name = 'r1')}, 'a sleeping resident leaves when its role may not log in');
	$node->sql('alter role lodger login');
	$node->becomes_ok(q{(select state = 'running' from worker_pool.services where name = 'r1')}, '... and comes back');

	# busy services at a fast shutdown: no crash
	$node->sql(q{select worker_pool.create_service('busy' || i, 'select pg_sleep(0.05)', every => '10 ms') from generate_series(1, 6) i});
	for (1 .. 4)
	{
		usleep(500_000);
		my $from = $node->log_end;

		$node->restart;
		unlike($node->log_since($from) =~ s/ready to accept connections.*//sr, qr/WARNING/, 'a fast shutdown logs no crash of a service');
	}
	$node->sql('select worker_pool.drop_service(name) from worker_pool.services');
	$node->slots_ok('no slot was lost');
	$node->finish;
}

done_testing();
