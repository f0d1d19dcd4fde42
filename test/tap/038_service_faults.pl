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

# --- transactions, sessions that do not leak, stop of what is in quarantine, those who wait and DROP EXTENSION -----------

{
	my $node = WorkerPool->make('tester', settings => {
			'worker_pool.max_workers' => 8,
			'max_worker_processes' => 16,
			'max_prepared_transactions' => 4,
			'worker_pool.restart_backoff_initial' => '50ms',
			'worker_pool.restart_backoff_max' => '200ms' });

	$node->sql('create extension probe; create table tick (n text)');

	# a prepared transaction has effect when it is committed, not before
	$node->sql(q{begin; select worker_pool.create_service('p', 'insert into tick values (1)', every => '20 ms'); prepare transaction 'p'});
	usleep(200_000);
	is($node->sql(q{select (select count(*) from tick), (select count(*) from worker_pool.services)}), '0|0', 'PREPARE TRANSACTION starts nothing');
	$node->sql(q{commit prepared 'p'});
	is($node->sql(q{select worker_pool.wait_service('p', cycles => 2, timeout => '10s')}), 't', 'COMMIT PREPARED does');
	$node->sql(q{begin; select worker_pool.stop_service('p'); prepare transaction 'p'});
	is($node->sql(q{select worker_pool.wait_service('p', cycles => 2, timeout => '10s')}), 't', 'a prepared stop stops nothing');
	$node->sql(q{rollback prepared 'p'; select worker_pool.drop_service('p')});

	# the last word of one transaction counts, whatever was said before
	$node->sql(q{begin; select worker_pool.create_service('c', 'select 1'); select worker_pool.drop_service('c');
		select worker_pool.create_service('c', 'select 1', every => '1h'); select worker_pool.stop_service('c'), worker_pool.start_service('c'); commit});
	is($node->sql(q{select worker_pool.wait_service('c', 'waiting', timeout => '10s')}), 't', 'made, dropped, made, stopped and started at once: it runs');
	$node->sql(q{begin; select worker_pool.stop_service('c'); savepoint s; select worker_pool.start_service('c'); rollback to s; commit});
	is($node->sql(q{select worker_pool.wait_service('c', 'stopped', timeout => '10s')}), 't', 'a start that its savepoint takes back');
	$node->sql(q{select worker_pool.drop_service('c')});

	# what a cycle leaves behind, committed or not, is not there in the next
	for my $end ('select 1', 'commit; select 1 / 0')
	{
		$node->sql(qq{truncate tick; select worker_pool.create_service('leak', \$c\$
			insert into tick select 'temp' where to_regclass('pg_temp.tmp') is not null;
			insert into tick select 'set' where current_setting('work_mem') = '7MB' or current_setting('my.x', true) <> '';
			insert into tick select 'role' where current_user <> '} . $node->sql('select current_user') . qq{';
			insert into tick select 'lock' from pg_locks where locktype = 'advisory' and pid = pg_backend_pid();
			insert into tick select 'prepared' from pg_prepared_statements;
			insert into tick select 'ok';
			create temp table tmp (); set work_mem = '7MB'; set my.x = 1; prepare p as select 1; select pg_advisory_lock(42); set role pg_monitor; $end \$c\$, every => '10 ms')});
		$node->becomes_ok(q{(select count(*) >= 3 from tick)}, 'three cycles');
		is($node->sql('select string_agg(distinct n, $$,$$) from tick'), 'ok', "nothing leaks from cycle to cycle ($end)");
		$node->sql(q{select worker_pool.drop_service('leak')});
	}

	# one in quarantine that is stopped is stopped, and stays so when the quarantine could have been written down
	$node->sql(q{select worker_pool.create_service('q', 'select pg_sleep(9)', timeout => '20 ms', every => '10 ms')});
	is($node->sql(q{select worker_pool.wait_service('q', 'quarantined', timeout => '10s')}), 't', 'in quarantine');
	$node->sql(q{select worker_pool.stop_service('q')});
	is($node->sql(q{select worker_pool.wait_service('q', 'stopped', timeout => '10s')}), 't', '... stopped');
	$node->sql('select worker_pool.rescan()');
	usleep(500_000);
	is($node->sql(q{select state, active from worker_pool.services}), 'stopped|f', '... and still is');
	$node->sql(q{select worker_pool.drop_service('q')});

	# the launcher goes while a service is starting
	$node->fault('service.before_load=stall');
	$node->sql(q{select worker_pool.create_service('loading', entry_point => 'probe:count_rows', every => '50 ms')});
	$node->becomes_ok(q{(select state = 'starting' and pid is not null from worker_pool.services)}, 'a process that comes up');
	my $launcher = $node->launcher_pid;
	$node->sql("select pg_terminate_backend($launcher)");
	$node->wait_launcher_after($launcher);
	$node->no_fault;
	is($node->sql(q{select worker_pool.wait_service('loading', cycles => 2, timeout => '20s')}), 't', '... is taken over by the next launcher');
	$node->sql(q{select worker_pool.drop_service('loading')});

	# who waits for a service does not keep DROP EXTENSION, for which the service would have to wait
	$node->sql('create database dropped');
	$node->sql('create extension worker_pool', db => 'dropped');
	$node->sql(q{select worker_pool.create_service('long', 'select pg_sleep(600)'), worker_pool.create_service('short', 'select 1', every => '20 ms')}, db => 'dropped');
	my $waiter = $node->session(db => 'dropped');
	$waiter->send(q{select worker_pool.wait_service('long')});
	$node->wait_until(q{exists (select from pg_stat_activity where query like '%wait_service(''long'')%' and wait_event_type = 'Extension' and backend_type = 'client backend')});
	my ($status, $out, $error) = $node->try_sql('set statement_timeout = $$15s$$; drop extension worker_pool', db => 'dropped');
	is($status, 0, 'DROP EXTENSION while a session waits for a service') or diag($error);
	$waiter->receive;
	like($waiter->sqlstate, qr/55000|42704|42883|3F000/, '... which is told');
	$waiter->quit;
	$node->becomes_ok(q{not exists (select from worker_pool.workers where database = 'dropped' and kind = 'service')}, '... and its services end');

	# one whose library hangs while it is loaded stops, too
	$node->fault('service.before_load=stall');
	$node->sql(q{select worker_pool.create_service('hanging', entry_point => 'probe:count_rows', every => '50 ms')});
	$node->becomes_ok(q{(select state = 'starting' and pid is not null from worker_pool.services)}, 'a process that hangs while it comes up');
	my $begun = time;
	$node->sql(q{select worker_pool.stop_service('hanging')});
	is($node->sql(q{select worker_pool.wait_service('hanging', 'stopped', timeout => '9s')}), 't', '... is cancelled by stop_service');
	cmp_ok(time - $begun, '>', 3, '... after it has been given time');
	is($node->sql(q{select failures from worker_pool.services}), '0', '... which is no failure');
	$node->no_fault;
	$node->sql(q{select worker_pool.drop_service('hanging')});

	# a command that restarts itself does not spin
	$node->configure('worker_pool.restart_backoff_initial' => '1s');
	$node->configure('worker_pool.restart_backoff_max' => '1s');
	$node->sql(q{truncate tick; select worker_pool.create_service('phoenix', $$insert into tick values (pg_backend_pid()); select worker_pool.restart_service('phoenix')$$, every => '1h')});
	$node->becomes_ok(q{(select count(distinct n) >= 3 from tick)}, 'a command that restarts itself');
	cmp_ok($node->sql(q{select count(*) from tick}), '<=', 4, '... does so once in restart_backoff_initial');
	$node->sql(q{select worker_pool.drop_service('phoenix')});
	$node->configure('worker_pool.restart_backoff_initial' => '50ms');
	$node->configure('worker_pool.restart_backoff_max' => '200ms');

	# names, configs and errors that are not ASCII, in databases of other encodings
	for my $encoding (qw(LATIN1 SQL_ASCII))
	{
		my $db = lc $encoding;

		$node->sql("create database $db encoding '$encoding' lc_collate 'C' lc_ctype 'C' template template0");
		$node->sql('create extension worker_pool', db => $db);
		$node->sql(qq{set client_encoding = utf8; select worker_pool.create_service('d\x{c3}\x{af}enst', \$\$do 'begin raise exception ''schl\x{c3}\x{a4}cht''; end'\$\$, config => '"\x{c3}\x{a4}"')}, db => $db);
		$node->sql(qq{set client_encoding = utf8; select worker_pool.wait_service('d\x{c3}\x{af}enst', 'backing off', timeout => '10s')}, db => $db);
		is($node->sql('set client_encoding = utf8; select name, last_error, config from worker_pool.services', db => $db),
			"d\x{c3}\x{af}enst|schl\x{c3}\x{a4}cht|\"\x{c3}\x{a4}\"", "$encoding");
		$node->sql("drop database $db");
	}

	# after a crash of the server suspects wait for each other, each in one process
	$node->sql(q{select worker_pool.create_service('s' || i, 'select pg_sleep(0.5)', every => '1h') from generate_series(1, 3) i});
	$node->becomes_ok(q{(select bool_and(state = 'waiting') from worker_pool.services)}, 'three services');
	$launcher = $node->launcher_pid;
	kill 'KILL', $node->sql(q{select pid from worker_pool.services where pid is not null limit 1});
	$node->wait_launcher_after($launcher);

	my %seen;

	for (my $end = time + 30; time < $end;)
	{
		my ($status, $out) = $node->try_sql(q{select pid from worker_pool.workers where kind = 'service' and pid is not null});

		next if $status != 0;
		$seen{$_} = 1 for split /\n/, $out;
		last if $node->sql(q{select count(*) = 3 and bool_and(state = 'waiting' and cycle = 1) from worker_pool.services}) eq 't';
	}
	is($node->sql(q{select count(*) from worker_pool.services where state = 'waiting'}), '3', 'suspects run in turn');
	is(scalar keys %seen, 3, '... and wait in their processes');
	$node->sql('select worker_pool.drop_service(name) from worker_pool.services');
	$node->slots_ok('no slot was lost');
	$node->finish;
}

done_testing();
