# docs/extension-authors.md, as it is written: makes its files in an empty folder, runs its shell and SQL blocks in
# order, and looks at what they came to. Then provokes what its section 9 promises, on the service that the tutorial made,
# whose author has thought of none of it.
#
# Builds with the staged headers and adds to the stage: needs scripts/test (WORKER_POOL_STAGE).

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);
use WorkerPool;

my $stage = $ENV{WORKER_POOL_STAGE};
plan skip_all => 'only where scripts/test has staged worker_pool' unless $stage;

# --- what the text holds --------------------------------------------------------------------------------------

# A block: the section it stands in, its language, the file it is, its text.
my (@blocks, $section, $block);
open(my $guide, '<', 'docs/extension-authors.md') or die "docs/extension-authors.md: $!";
while (my $line = <$guide>)
{
	if ($block && $line =~ /^```$/) { push @blocks, $block; undef $block; }
	elsif ($block) { $block->{text} .= $line; }
	elsif ($line =~ /^```(\w+)(?: (\S+))?$/) { $block = { section => $section, language => $1, file => $2, text => '' }; }
	elsif ($line =~ /^```/) { die "a block without a language: $line"; }
	elsif ($line =~ /^## (\d+)\./) { $section = $1; }
}
close($guide);
is(scalar(grep { $_->{file} } @blocks), 8, 'the tutorial has its files');

# --- a server, and an empty folder ----------------------------------------------------------------------------

my $folder = PostgreSQL::Test::Utils::tempdir();
my $include = join('', run_command([ $ENV{PG_CONFIG} // 'pg_config', '--includedir-server' ]));
my $libdir = join('', run_command([ $ENV{PG_CONFIG} // 'pg_config', '--pkglibdir' ]));
my $pool = WorkerPool->make(
	'tutorial',
	start => 0,
	init => { allows_streaming => 1 },
	settings => { 'worker_pool.restart_backoff_initial' => '200ms' });
$pool->append_conf('postgresql.conf', $_->{text}) foreach grep { $_->{language} eq 'conf' } @blocks;
$pool->start;

# What a block says when it is run as written; '' and a failed test where it does not work.
sub run_block
{
	my ($block) = @_;
	my ($language, $out, $error) = ($block->{language}, '', '');
	my $name = "section $block->{section}: " . ($block->{file} // (split /\n/, $block->{text})[0]);

	if ($block->{file})
	{
		open(my $file, '>', "$folder/$block->{file}") or die "$block->{file}: $!";
		print $file $block->{text};
		close($file);
	}
	elsif ($language eq 'sh')
	{
		# Where worker_pool is staged, and not installed: for the compiler, for make.
		local $ENV{CPATH} = "$stage$include/extension";
		local $ENV{DESTDIR} = $stage;
		local $ENV{COPT} = '-Werror';
		delete local $ENV{LD_PRELOAD};
		ok(IPC::Run::run([ 'bash', '-ec', "cd '$folder'\n$block->{text}" ], '<', '/dev/null', '>', \$out, '2>', \$error), $name)
		  or diag($out . $error);
		unlike($out . $error, qr/warning:/, "$name: without a warning");
		return '';
	}
	elsif ($language eq 'sql')
	{
		my $status = $pool->psql('postgres', $block->{text}, stdout => \$out, stderr => \$error, on_error_stop => 1, timeout => 180);
		is($status, 0, $name) or diag($out . $error . $pool->report);
	}
	return $out;
}

my %said;
$said{ $_->{section} } .= run_block($_) . "\n" foreach grep { $_->{section} } @blocks;

my $shown = $said{1} // '';
like($shown, qr/^t\n\d+\|sizes\|(?:waiting|running)\|/m, 'it ends in select * from worker_pool.services');
is($pool->sql('select count(*) > 0 from growth.sizes'), 't', 'and has noted sizes');
like($said{2}, qr/^backing off\|[1-9]\d*\|.*growth\.sizes.*does not exist/m, 'section 2 shows what is the matter');
like($said{3}, qr/^sizes\|running\|[1-9]/m, 'section 3: resident');
like($said{4}, qr/^disk\|postgres\|running\|0?\.\d+\|\w/m, 'section 4: without a database, how full the disk is');
is($pool->sql('select n from growth.by_command'), '1', 'section 5: the command has run');
like($said{5}, qr/^succeeded$/m, 'section 5: the task too');
like($said{6}, qr/^lease\|own work\|running$/m, 'section 6: a slot for a process of one\'s own');
$pool->becomes_ok(q{not exists (select from worker_pool.workers where kind = 'lease')}, 'which comes back');

# --- section 9 ------------------------------------------------------------------------------------------------

# The service of section 1 again.
$pool->sql(q{select worker_pool.alter_service('sizes', entry_point => 'growth:note_sizes', every => '200ms')});

my $tables = 0;

# It does rounds, and what they are for.
sub lives_ok
{
	my ($name, %options) = @_;
	my $node = $options{node} // $pool;
	my $db = $options{db} // 'postgres';
	my $table = 'lives' . ++$tables;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	for (my $end = time + 60; time < $end; usleep(50_000))
	{
		my ($status) = $node->try_sql("create table $table (n int)", db => $db);
		last if $status == 0;
	}
	$node->becomes_ok("exists (select from growth.sizes where relation = to_regclass('$table'))", "$name: it goes on", db => $db, limit => 60)
	  or diag($node->sql('select * from worker_pool.services', db => $db));
}

# Makes the rounds hang in a lock, and returns the process and how to end that.
sub hold
{
	my $session = $pool->session;

	$session->query_safe('begin; lock growth.sizes');
	$pool->wait_until(q{exists (select from pg_stat_activity a join worker_pool.services s on s.pid = a.pid where s.name = 'sizes' and a.wait_event_type = 'Lock')});
	return ($session, $pool->sql(q{select pid from worker_pool.services where name = 'sizes'}));
}

sub shows_ok
{
	my ($condition, $name, %options) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$pool->becomes_ok("(select $condition from worker_pool.services where name = 'sizes')", $name, %options)
	  or diag($pool->sql('select * from worker_pool.services', %options));
}

lives_ok('again a cycle');

my ($session, $pid) = hold();
$pool->sql("select pg_cancel_backend($pid)");
shows_ok(q{failures > 0 and last_error ~ 'cancel'}, 'cancelled in a round: a failed one');
$session->quit;
lives_ok('cancelled in a round');

($session, $pid) = hold();
$pool->sql("select pg_terminate_backend($pid)");
shows_ok("failures > 0 and pid is distinct from $pid", 'terminated in a round: a crash');
$session->quit;
lives_ok('terminated in a round');
shows_ok('failures = 0', 'the first success ends the episode');

$pool->sql(q{select worker_pool.alter_service('sizes', every => '1h')});
$pool->sql(q{select worker_pool.start_service('sizes')});
shows_ok(q{state = 'waiting'}, 'between two rounds');
$pool->sql(q{select pg_cancel_backend(pid), pg_terminate_backend(pid) from worker_pool.services where name = 'sizes' and pid is not null});
$pool->sql(q{select worker_pool.alter_service('sizes', every => '200ms')});
lives_ok('terminated between two rounds');
shows_ok('failures = 0', 'counts as nothing');

$pool->sql(q{select worker_pool.alter_service('sizes', timeout => '100ms')});
($session) = hold();
shows_ok(q{state = 'quarantined' and quarantine_reason is not null}, 'three times longer than its timeout: quarantine');
$session->quit;
$pool->sql(q{select worker_pool.alter_service('sizes', reset => '{timeout}'); select worker_pool.start_service('sizes')});
lives_ok('out of quarantine');

foreach my $signal ('KILL', 'SEGV')
{
	my $launcher = $pool->launcher_pid;

	($session, $pid) = hold();
	kill $signal, $pid;
	$pool->wait_launcher_after($launcher);
	eval { $session->quit };
	lives_ok("SIG$signal");
}

my $launcher = $pool->launcher_pid;
$pool->sql("select pg_terminate_backend($launcher)");
$pool->wait_launcher_after($launcher);
lives_ok('the launcher is gone');

foreach my $mode ('fast', 'immediate', 'smart')
{
	($session) = $mode eq 'fast' ? hold() : ();
	# does not wait for the round: dies if the server does not stop
	$pool->stop($mode);
	eval { $session->quit } if $session;
	$pool->start;
	lives_ok("a $mode stop");
}

$pool->sql('alter system set worker_pool.enabled = off');
$pool->sql('select pg_reload_conf()');
$pool->becomes_ok(q{(select pid is null from worker_pool.services where name = 'sizes')}, 'worker_pool.enabled = off');
$pool->sql('alter system reset worker_pool.enabled');
$pool->sql('select pg_reload_conf()');
lives_ok('worker_pool.enabled = on');

$pool->sql(q{begin; select worker_pool.drop_service('sizes'); select worker_pool.create_service('sizes', 'select 1'); rollback});
lives_ok('dropped and rolled back');

rename "$stage$libdir/growth.so", "$stage$libdir/growth.away" or die "growth.so: $!";
$pool->sql(q{select worker_pool.restart_service('sizes')});
shows_ok(q{failures > 0 and last_error ~ 'growth'}, 'a library that is missing');
rename "$stage$libdir/growth.away", "$stage$libdir/growth.so" or die "growth.so: $!";
lives_ok('a library that is there again');

# --- roles and databases --------------------------------------------------------------------------------------

$pool->sql('create role keeper superuser login');
$pool->sql('create database shop');
$pool->sql(q{create extension worker_pool; create extension growth;
	select worker_pool.create_service('sizes', entry_point => 'growth:note_sizes', every => '200ms', config => '{"keep": "1 day"}', run_as => 'keeper')}, db => 'shop');
lives_ok('in another database', db => 'shop');
$pool->sql('alter role keeper nologin');
shows_ok('failures > 0 and last_error is not null', 'a role that may not log in', db => 'shop');
$pool->sql('alter role keeper login');
lives_ok('a role that may again', db => 'shop');

$pool->sql('alter database shop rename to store');
lives_ok('its database renamed', db => 'store');
$pool->sql('create database copied template store');
lives_ok('its database copied', db => 'store');
is($pool->sql('select count(*) from worker_pool.services where pid is not null or cycle > 0', db => 'copied'), '0', 'the copy does not run');
$pool->sql('select worker_pool.adopt()', db => 'copied');
lives_ok('the copy, adopted', db => 'copied');

my $dump = PostgreSQL::Test::Utils::tempdir() . '/store.sql';
$pool->command_ok([ 'pg_dump', '-f', $dump, $pool->connstr('store') ], 'dumped');
$pool->sql('create database restored');
$pool->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $pool->connstr('restored') ], 'restored');
is($pool->sql('select count(*) from worker_pool.services where pid is not null or cycle > 0', db => 'restored'), '0', 'what was restored does not run');
$pool->sql('select worker_pool.adopt()', db => 'restored');
lives_ok('restored and adopted', db => 'restored');

my ($status, $out, $error) = $pool->try_sql('drop database store');
is($status, 0, 'its database dropped') or diag($error);
$pool->sql('drop extension worker_pool cascade', db => 'copied');
$pool->becomes_ok(q{not exists (select from worker_pool.workers where database in ('store', 'copied') and kind = 'service')}, 'no process is left of those that are gone');
$pool->sql('drop database restored');
lives_ok('meanwhile the first one');

# --- a standby ------------------------------------------------------------------------------------------------

$pool->backup('backup');
my $standby = WorkerPool->new('tutorial_standby');
$standby->init_from_backup($pool, 'backup', has_streaming => 1);
$standby->start;
$pool->wait_for_catchup($standby);
lives_ok('with a standby');
is($standby->sql('select count(*) from worker_pool.services where pid is not null'), '0', 'on which it does not run');

# The postmaster is killed: nothing of it stays, and the standby takes over.
$pool->wait_until(q{(select pid is not null from worker_pool.services where name = 'sizes')});
$pid = $pool->sql(q{select pid from worker_pool.services where name = 'sizes'});
$pool->kill9;
ok(defined WorkerPool::seconds_until_gone(60, $pid), 'the postmaster is killed: its process is gone');
$standby->promote;
lives_ok('the standby, promoted', node => $standby);

$standby->slots_ok;
$standby->finish;
done_testing();
