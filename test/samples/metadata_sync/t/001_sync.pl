# metadata_sync between two clusters: what the central database knows is what the catalogs say, through loss of the
# target, of the answer, of the service's process, of either side's memory of the other; and each change was applied once.
#
# TEMP_CONFIG has to let the server find worker_pool and metadata_sync.

use strict;
use warnings FATAL => 'all';
use feature 'state';

use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $sample = dirname(dirname(__FILE__));
my $source = PostgreSQL::Test::Cluster->new('source');
my $target = PostgreSQL::Test::Cluster->new('target');

$source->init;
$source->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'worker_pool'
worker_pool.restart_backoff_initial = '100ms'
worker_pool.restart_backoff_max = '300ms'
restart_after_crash = on
CONF
$source->start;
$target->init(allows_streaming => 1);
$target->append_conf('postgresql.conf', "shared_preload_libraries = ''\nfsync = on\n");
$target->start;
$target->safe_psql('postgres', 'create database central');
$target->command_ok(
	[ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $target->connstr('central'), '-f', "$sample/metadata_sync_central.sql" ],
	'the central database');

# Who pushes may do nothing but that; and whatever is applied is taken down.
$target->safe_psql('central', <<'SQL');
create role pusher login;
grant usage on schema metadata_central to pusher;
grant execute on function metadata_central.apply to pusher;
create table applied (source uuid, after bigint, upto bigint);
create function note() returns trigger language plpgsql as
$$ begin insert into public.applied values (new.id, old.last_number, new.last_number); return null; end $$;
create trigger note after update on metadata_central.source for each row execute function note();
SQL

sub sql
{
	my ($sql, $db) = @_;

	return $source->safe_psql($db // 'postgres', $sql);
}

sub central
{
	return $target->safe_psql('central', $_[0]);
}

# Waits until the condition is true at the source.
sub becomes_ok
{
	my ($condition, $name, $db) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($source->poll_query_until($db // 'postgres', "select $condition"), $name)
	  or diag(sql('select * from worker_pool.services', $db));
}

# What the catalogs say, in the words of metadata_central.columns.
sub catalogs
{
	return sql(<<'SQL', $_[0]);
select n.nspname, c.relname, c.relkind, a.attname, format_type(a.atttypid, a.atttypmod)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
	left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where relkind in ('r', 'p', 'v', 'm', 'f') and nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
order by nspname, relname, a.attnum
SQL
}

sub known
{
	my ($db) = @_;

	return central(<<"SQL");
select t.definition ->> 'schema', t.definition ->> 'name', t.definition ->> 'kind', c.definition ->> 'name', c.definition ->> 'type'
from metadata_central.source s join metadata_central.entry t on t.source = s.id and t.attribute = 0
	left join metadata_central.entry c on c.source = s.id and c.relation = t.relation and c.attribute > 0
where s.database = '$db'
order by (t.definition ->> 'schema')::name, (t.definition ->> 'name')::name, c.attribute
SQL
}

# Waits for a round that begins after now, and compares.
sub agrees_ok
{
	my ($name, $db) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$db //= 'postgres';
	is(sql(q{select worker_pool.wait_service('metadata', cycles => 1, timeout => '120s')}, $db), 't', "$name: a round")
	  or diag(sql('select * from worker_pool.services', $db));
	is(known($db), catalogs($db), "$name: the central database knows what the catalogs say");
	is(sql('select count(*) from metadata_sync.change', $db), '0', "$name: nothing is left to send");
}

# Each number was applied once, in order: what was applied at a time follows on another such piece.
sub once_ok
{
	my ($name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(central(<<'SQL'), 0, "$name: nothing lost, nothing doubled");
select count(*) from applied a
where upto <= after or (after > 0 and not exists (select from applied b where b.source = a.source and b.upto = a.after))
SQL
	is(central('select count(*) from (select from applied group by source, after having count(*) > 1) d'), 0, "$name: no piece twice");
}

# Many changes: one table with a hundred columns each.
sub many_tables
{
	my ($first, $last) = @_;

	sql(<<"SQL");
do \$\$ begin for i in $first..$last loop
	execute format('create table many.t%s (%s)', i, (select string_agg(format('c%s int', n), ', ') from generate_series(1, 100) n));
end loop; end \$\$
SQL
}

sub service_pid
{
	for (my $end = time + 120; time < $end; usleep(20_000))
	{
		my ($status, $out) = $source->psql('postgres', q{select pid from worker_pool.services where name = 'metadata'});

		return $out if $status == 0 && $out ne '';
	}
	die 'the service has no process';
}

# --- it tells what there is, and what changes -----------------------------------------------------------------

my $connection = $target->connstr('central') . ' user=pusher';
my $service = sub {
	my ($batch) = @_;
	return qq{select worker_pool.create_service('metadata', entry_point => 'metadata_sync:sync', every => '50ms',
		config => jsonb_build_object('target', \$c\$$connection\$c\$, 'batch', $batch))};
};

sql('create extension worker_pool; create extension metadata_sync; create schema many; create table first (n int, "odd Name" text[])');
sql($service->(20));
agrees_ok('at first');
sql('create table second (a int primary key, b numeric(10,2)); create view v as select * from second; alter table first add m date; alter table first drop n');
agrees_ok('new tables');
sql('drop view v; alter table first rename to "First"; alter table second alter b type text; alter table second rename a to aa');
agrees_ok('changed ones');
sql('drop table "First"; begin; create table never (n int); rollback');
agrees_ok('a dropped one');
once_ok('so far');

my $numbers = sql('select last_number from metadata_sync.state');
sql(q{select worker_pool.wait_service('metadata', cycles => 3, timeout => '60s')});
is(sql('select last_number from metadata_sync.state'), $numbers, 'without a change nothing is logged');

# --- the target goes away -------------------------------------------------------------------------------------

foreach my $try (1 .. 4)
{
	many_tables($try * 10, $try * 10 + 9);
	# somewhere in the middle of about fifty batches
	usleep(60_000 * $try);
	$target->stop($try % 2 ? 'immediate' : 'fast');
	becomes_ok(q{failures >= 2 and last_error ~ 'central database' from worker_pool.services where name = 'metadata'}, "away $try: it tries again");
	$target->start;
	agrees_ok("away $try");
}
once_ok('away');
is(sql(q{select state <> 'quarantined' and failures = 0 from worker_pool.services where name = 'metadata'}), 't', 'a target that is away is no crash');

# The target has committed, and its answer is lost: its commit waits for a standby that there is not.
central('alter system set synchronous_standby_names = $$nobody$$');
$target->reload;
many_tables(60, 61);
ok($target->poll_query_until('central', q{select exists (select from pg_stat_activity where wait_event = 'SyncRep' and usename = 'pusher')}), 'a commit that is not answered');
$target->stop('immediate');
unlink $target->data_dir . '/postgresql.auto.conf';
$target->append_conf('postgresql.auto.conf', '');
$target->start;
agrees_ok('a lost answer');
once_ok('a lost answer');

# --- a target that hangs --------------------------------------------------------------------------------------

my $lock = $target->background_psql('central');
$lock->query_safe('begin; lock metadata_central.source');
sql('create table hangs (n int)');
ok($target->poll_query_until('central', q{select exists (select from pg_stat_activity where wait_event_type = 'Lock' and usename = 'pusher')}), 'the target hangs');
my $start = time;
sql(q{select worker_pool.stop_service('metadata')});
is(sql(q{select worker_pool.wait_service('metadata', state => 'stopped', timeout => '60s')}), 't', 'stops while it waits for the network');
# the launcher sends its first signal after 5 s
cmp_ok(time - $start, '<', 5, 'before the launcher would have sent a signal');
sql(q{select worker_pool.start_service('metadata')});
ok($target->poll_query_until('central', q{select count(*) >= 2 from pg_stat_activity where wait_event_type = 'Lock' and usename = 'pusher'}), 'hangs again');
sql('select pg_cancel_backend(' . service_pid() . ')');
becomes_ok(q{last_error ~ 'cancel' from worker_pool.services where name = 'metadata'}, 'can be cancelled');
$lock->query_safe('rollback');
$lock->quit;
agrees_ok('afterwards');
once_ok('afterwards');

# --- the service's process goes away --------------------------------------------------------------------------

foreach my $how ('TERM', 'KILL', 'TERM', 'KILL')
{
	state $n = 100;
	many_tables($n, $n + 9);
	$n += 10;
	my $pid = service_pid();
	usleep(100_000);
	kill $how, $pid;
	$source->poll_query_until('postgres', "select not exists (select from pg_stat_activity where pid = $pid)");
	agrees_ok("SIG$how");
}
once_ok('killed');

# --- one side went back ---------------------------------------------------------------------------------------

sub reconnect
{
	my $pids = central(q{select coalesce(string_agg(pid::text, ',' order by pg_terminate_backend(pid)), '0') from pg_stat_activity where usename = 'pusher'});

	ok($target->poll_query_until('central', "select not exists (select from pg_stat_activity where pid in ($pids))"), 'disconnected');
}

central(q{update metadata_central.source set last_number = 3; delete from metadata_central.entry where attribute > 2});
central('truncate applied');
reconnect();
sql('drop schema many cascade');
agrees_ok('an old central database');
central('delete from metadata_central.source; truncate applied');
reconnect();
agrees_ok('an empty one');
sql('create table late (n int)');
central('delete from metadata_central.source; truncate applied');
agrees_ok('one that was emptied while we were connected');
sql(q{select worker_pool.stop_service('metadata')});
sql(q{select worker_pool.wait_service('metadata', state => 'stopped', timeout => '60s')});
sql(q{update metadata_sync.state set last_number = 1, acknowledged = 0, acknowledged_mark = null; drop table late; select worker_pool.start_service('metadata')});
agrees_ok('an old source');

# --- other databases ------------------------------------------------------------------------------------------

sql('create database copied template postgres');
is(sql('select worker_pool.adopt() >= 1', 'copied'), 't', 'a copy is adopted');
sql('create table only_here (n int)', 'copied');
agrees_ok('a copy', 'copied');
agrees_ok('and the original');
is(central('select count(distinct id) from metadata_central.source'), 2, 'are two sources');

$source->stop;
$target->stop;
unlike(slurp_file($source->logfile), qr/PANIC:|TRAP:|was terminated by signal (?!9)/, 'nothing bad in the log');
done_testing();
