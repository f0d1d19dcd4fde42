# table_quota on a cluster of its own: what is refused and what is not, through sessions that are there already,
# restarts and crashes; and many databases whose services share few workers.
#
# TEMP_CONFIG has to let the server find worker_pool and table_quota.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $node = PostgreSQL::Test::Cluster->new('quota');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'worker_pool, table_quota'
worker_pool.max_workers = 3
restart_after_crash = on
CONF
$node->start;

sub sql
{
	my ($sql, $db) = @_;

	return $node->safe_psql($db // 'postgres', $sql);
}

# The SQLSTATE and message with which SQL fails.
sub error_of
{
	my ($sql, $db) = @_;
	my ($status, $out, $error) = $node->psql($db // 'postgres', $sql, extra_params => [ '-v', 'VERBOSITY=verbose' ]);

	return $error;
}

sub refused_ok
{
	my ($sql, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	like(error_of($sql), qr/ERROR:  53100: schema "app" is over its quota/, "$name: refused");
}

sub works_ok
{
	my ($sql, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(error_of($sql), '', "$name: works");
}

# A round that began after now has ended.
sub measured
{
	my ($db) = @_;

	is(sql(q{select worker_pool.wait_service('quota', cycles => 1, timeout => '60s')}, $db), 't', 'measured');
}

# --- what is refused ------------------------------------------------------------------------------------------

sql(<<'SQL');
create extension worker_pool;
create extension table_quota;
create schema app;
create schema other;
create table app.t (n int, filler text);
create table other.t (n int);
select worker_pool.create_service('quota', entry_point => 'table_quota:measure', every => '100ms');
SQL
like(error_of(q{select table_quota.set_quota('nowhere', '1 MB')}), qr/3F000/, 'no such schema');
like(error_of(q{select table_quota.set_quota('table_quota', '1 MB')}), qr/23514/, 'not its own schema');
sql(q{select table_quota.set_quota('app', '1 MB')});
measured();
works_ok('insert into app.t select n, repeat($$x$$, 500) from generate_series(1, 4000) n', 'the first 2 MB');

my $session = $node->background_psql('postgres', on_error_stop => 0);
$session->query_safe('prepare add as insert into app.t values (1); begin; execute add; commit');
measured();
is(sql(q{select over_limit, bytes > 2000000, percent > 190 from table_quota.status}), 't|t|t', 'over the limit');

refused_ok('insert into app.t values (1)', 'INSERT');
refused_ok('update app.t set n = 1 where n = 1', 'UPDATE');
refused_ok(qq{copy app.t from stdin;\n1\ta\n\\.\n}, 'COPY');
refused_ok('with w as (insert into app.t values (1) returning n) select n from w', 'in WITH');
refused_ok('do $$ begin insert into app.t values (1); end $$', 'in a function');
works_ok('delete from app.t where n < 10', 'DELETE');
works_ok('begin; select * from app.t for update; commit', 'SELECT FOR UPDATE');
works_ok('insert into other.t values (1)', 'another schema');
works_ok(qq{copy app.t to stdout}, 'COPY TO');

like($session->query("execute add;\n\\echo :SQLSTATE"), qr/53100/, 'a session that was there, and its prepared statement: refused');

# --- it holds through restarts and crashes --------------------------------------------------------------------

sql(q{select worker_pool.stop_service('quota')});
sql(q{select worker_pool.wait_service('quota', state => 'stopped', timeout => '60s')});
$session->quit;
$node->restart;
refused_ok('insert into app.t values (1)', 'after a restart, before any round');
sql(q{select worker_pool.start_service('quota')});
measured();

my $pid;
for (my $end = time + 60; time < $end && !$pid; usleep(20_000))
{
	$pid = sql(q{select pid from worker_pool.services where name = 'quota'});
}
ok($pid, 'the service has a process');
kill 'KILL', $pid;
$node->poll_query_until('postgres', "select pg_postmaster_start_time() is not null and not exists (select from pg_stat_activity where pid = $pid)");
refused_ok('insert into app.t values (1)', 'after a crash');
measured();

# --- room again -----------------------------------------------------------------------------------------------

$session = $node->background_psql('postgres', on_error_stop => 0);
$session->query_safe('prepare add as insert into app.t values (1)');
sql('truncate app.t');
measured();
works_ok('insert into app.t values (1)', 'after TRUNCATE');
$session->query_safe('execute add');
sql('insert into app.t select n, repeat($$x$$, 500) from generate_series(1, 4000) n');
measured();
refused_ok('insert into app.t values (1)', 'full again');
sql(q{select table_quota.set_quota('app', '1 GB')});
measured();
works_ok('insert into app.t values (1)', 'with a higher limit');
sql(q{select table_quota.set_quota('app', '1 MB')});
measured();
refused_ok('insert into app.t values (1)', 'with a lower one');
sql(q{select table_quota.set_quota('app', null)});
works_ok('insert into app.t values (1)', 'with none, at once');
$session->query_safe('execute add');
$session->quit;

# A limit that was set in a transaction that rolls back is none; DROP EXTENSION takes the flags with it.
sql(q{select table_quota.set_quota('app', '1 MB')});
measured();
sql(q{begin; select table_quota.set_quota('app', null); insert into other.t values (1); rollback});
refused_ok('insert into app.t values (1)', 'after a rollback');
sql(q{select worker_pool.drop_service('quota'); drop extension table_quota});
works_ok('insert into app.t values (1)', 'without the extension');

# --- many databases, few workers ------------------------------------------------------------------------------

my @databases = map { "db$_" } 1 .. 12;
foreach my $db (@databases)
{
	sql("create database $db");
	sql(<<'SQL', $db);
create extension worker_pool;
create extension table_quota;
create schema app;
create table app.t as select repeat('x', 500) from generate_series(1, 4000);
select table_quota.set_quota('app', '1 MB');
select worker_pool.create_service('quota', entry_point => 'table_quota:measure', every => '1s');
SQL
}
foreach my $db (@databases)
{
	is(sql(q{select worker_pool.wait_service('quota', cycles => 2, timeout => '60s')}, $db), 't', "$db has its turns");
	like(error_of('insert into app.t values (1)', $db), qr/53100/, "$db: refused");
}
# a process that has given its slot back is there a moment longer
ok($node->poll_query_until('postgres', q{select count(*) between 1 and 3 from pg_stat_activity where backend_type like 'worker_pool worker%'}), 'with three workers');

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC:|TRAP:|was terminated by signal (?!9)/, 'nothing bad in the log');
done_testing();
