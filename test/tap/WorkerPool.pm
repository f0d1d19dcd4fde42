# What the TAP tests share: a cluster with the pool in it (a PostgreSQL::Test::Cluster), waits that ask the
# server instead of sleeping, faults, and sessions whose errors can be looked at.
#
# TEMP_CONFIG brings shared_preload_libraries and where the library is staged (scripts/test writes it). The
# library must be a build with fault points.

package WorkerPool;

use strict;
use warnings FATAL => 'all';

use parent 'PostgreSQL::Test::Cluster';

use PostgreSQL::Test::Utils qw(slurp_file);
use Test::More;
use Time::HiRes qw(time usleep);

# Seconds after which a wait gives up: a bound, nothing measured.
our $patience = 30;

# make(NAME, settings => {...}, init => {...}, start => 1, extension => 1): a cluster of its own.
sub make
{
	my ($class, $name, %options) = @_;
	my $self = $class->new($name);

	$self->init(%{ $options{init} // {} });
	$self->settings(restart_after_crash => 'on', %{ $options{settings} // {} });
	return $self unless $options{start} // 1;
	$self->start;
	$self->sql('create extension worker_pool') if $options{extension} // 1;
	$self->wait_quiet;
	return $self;
}

# Settings for the next start.
sub settings
{
	my ($self, %settings) = @_;

	$self->append_conf('postgresql.conf', join('', map { "$_ = '$settings{$_}'\n" } sort keys %settings));
}

# Settings from now on, in every process: returns when a new session has them, so each other process has been
# told.
sub configure
{
	my ($self, %settings) = @_;
	my $before = $self->sql('select extract(epoch from pg_conf_load_time())');

	$self->sql(join('', map { "alter system set $_ = '$settings{$_}';\n" } sort keys %settings)
		  . 'select pg_reload_conf()');
	# not with wait_until: its one session would have to see it itself
	for (my $end = time + $patience; time < $end;)
	{
		return if $self->sql("select extract(epoch from pg_conf_load_time()) > $before") eq 't';
		usleep(10_000);
	}
	die 'the configuration was not reloaded';
}

# Sets faults, as worker_pool.fault takes them. Each call counts anew.
my $fault_number = 0;

sub fault
{
	my ($self, $points) = @_;

	$fault_number++;
	$self->configure('worker_pool.fault' => "$points,number$fault_number=none");
}

sub no_fault
{
	my ($self) = @_;

	$self->configure('worker_pool.fault' => '');
}

# The same while the server may be going down again and again: a crash makes shared memory anew, so a fault
# that kills strikes once a life, whatever its count says.
sub no_fault_in_crash
{
	my ($self) = @_;
	my $file = $self->data_dir . '/postgresql.auto.conf';
	my $postmaster = (split /\n/, slurp_file($self->data_dir . '/postmaster.pid'))[0];
	my $text = slurp_file($file) =~ s/^worker_pool\.fault.*\n//mr;

	open(my $out, '>', "$file.new") or die;
	print $out $text;
	close $out;
	rename "$file.new", $file or die;
	kill 'HUP', $postmaster;
}

# Runs SQL that must work and returns its output. Options: db, user.
sub sql
{
	my ($self, $sql, %options) = @_;
	my ($status, $out, $error) = $self->try_sql($sql, %options);

	die "SQL failed: $error\n$sql" if $status != 0;
	return $out;
}

# Runs SQL: (exit status of psql, output, messages with SQLSTATE and context).
sub try_sql
{
	my ($self, $sql, %options) = @_;
	my $connection = $self->connstr($options{db} // 'postgres');
	my $timed_out;

	$connection .= " user=$options{user}" if $options{user};
	my ($status, $out, $error) = $self->psql(
		undef, $sql,
		connstr => $connection,
		timeout => $options{timeout} // 2 * $patience,
		timed_out => \$timed_out,
		extra_params => [ '-v', 'VERBOSITY=verbose', '-v', 'SHOW_CONTEXT=always' ]);
	return (-1, $out, "no answer in time to: $sql\n$error") if $timed_out;
	return ($status, $out, $error);
}

# The SQLSTATE of the first error in what psql said; '' when there is none.
sub state_in
{
	my ($messages) = @_;

	return $messages =~ /(?:ERROR|FATAL|PANIC):  ([0-9A-Z]{5}):/ ? $1 : '';
}

# Tests that SQL fails with a SQLSTATE, and that its messages match each pattern.
sub fails_ok
{
	my ($self, $sqlstate, $sql, $name, %options) = @_;
	my ($status, $out, $error) = $self->try_sql($sql, %options);
	my @patterns = ref $options{like} eq 'ARRAY' ? @{ $options{like} } : ($options{like} // ());

	local $Test::Builder::Level = $Test::Builder::Level + 1;

	is(state_in($error), $sqlstate, $name) or diag($error || "no error: $out");
	like($error, $_, "$name: " . ($_ =~ s/^\(\?\^?\w*:|\)$//gr)) for @patterns;
	return $error;
}

# Waits until the condition, an SQL expression, is true. Looks each 10 ms. Dies with what the views show.
sub wait_until
{
	my ($self, $condition, %options) = @_;
	my $limit = $options{limit} // $patience;
	my ($status, $out, $error) = $self->try_sql(<<"SQL", %options);
do \$wait\$
declare
	done boolean;
begin
	while clock_timestamp() < statement_timestamp() + interval '$limit s' loop
		perform pg_stat_clear_snapshot();
		execute \$condition\$ select ($condition) \$condition\$ into done;
		if done then
			return;
		end if;
		perform pg_sleep(0.01);
	end loop;
	raise exception 'waited in vain';
end
\$wait\$
SQL

	return 1 if $status == 0;
	die "waited in vain for: $condition\n$error\n" . $self->report;
}

# The same as a test.
sub becomes_ok
{
	my ($self, $condition, $name, %options) = @_;
	my $done = eval { $self->wait_until($condition, %options) };

	local $Test::Builder::Level = $Test::Builder::Level + 1;

	ok($done, $name) or diag($@);
	return $done;
}

# What the views show, for the reader of a failed test.
sub report
{
	my ($self) = @_;
	my ($status, $out, $error) = $self->try_sql(<<'SQL', timeout => 10);
\pset tuples_only off
select * from worker_pool.status;
select slot, pid, kind, state, database, username, command_id, command, commands_done from worker_pool.workers;
select id, state, database, username, pid, sqlstate, error, left(command, 60) as command from worker_pool.commands limit 20;
SQL

	return $out . $error;
}

# Waits until nothing starts, runs or waits: the launcher is there and its first visits are over.
sub wait_quiet
{
	my ($self, %options) = @_;

	$self->wait_until(<<'SQL', %options);
(select launcher_pid is not null and free + idle = max_workers and queued = 0 from worker_pool.status)
and not exists (select from worker_pool.workers where kind = 'visit')
SQL
}

# Tests that every slot is there, and nothing runs, waits or is kept any more.
sub nothing_left_ok
{
	my ($self, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;

	$self->becomes_ok(<<'SQL', $name, limit => 10);
(select free + idle = max_workers and queued = 0 and shared_memory_used = 0 from worker_pool.status)
and not exists (select from worker_pool.commands)
SQL
}

# Tests that no slot is lost, whatever they are doing.
sub slots_ok
{
	my ($self, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;

	is( $self->sql('select free + starting + idle + running + stopping - max_workers from worker_pool.status'),
		0, $name // 'every slot is there');
}

# Fetches all outcomes and throws them away, whatever their columns are (of those that the tests use).
sub forget_outcomes
{
	my ($self) = @_;

	$self->sql(<<'SQL');
do $$
declare
	command record;
	columns text;
begin
	for command in select id from worker_pool.commands where finished_at is not null loop
		foreach columns in array array['a text', 'a int', 'a text, b int', 'a bigint', 'a void'] loop
			begin
				execute format('select from worker_pool.worker_result(%s) as (%s)', command.id, columns);
				exit;
			exception
				when datatype_mismatch then
					null;
				when others or query_canceled then
					exit;
			end;
		end loop;
	end loop;
end
$$
SQL
}

# start_busy(COUNT, db =>, user =>, command =>): so many commands that do not end by themselves, running.
# Returns their ids.
sub start_busy
{
	my ($self, $count, %options) = @_;
	my $db = $options{db} // 'postgres';
	my $user = $options{user} // $self->sql('select current_user');
	my $command = $options{command} // 'select pg_sleep(600)';
	my @ids = split /\n/, $self->sql(<<"SQL");
select worker_pool.start_worker(\$command\$$command\$command\$, database => '$db', run_as => '$user')
from generate_series(1, $count)
SQL
	my $list = join(',', @ids);

	$self->wait_until(<<"SQL");
(select count(*) from worker_pool.commands c join pg_stat_activity a on a.pid = c.pid
 where id in ($list) and c.state = 'running' and a.state = 'active') = $count
SQL
	return @ids;
}

# warm(COUNT, db =>, user =>): so many idle workers of a (database, role). Returns their pids.
sub warm
{
	my ($self, $count, %options) = @_;
	my @ids = $self->start_busy($count, %options);
	my $list = join(',', @ids);
	my $pids = $self->sql("select pid from worker_pool.commands where id in ($list) order by pid");

	$self->sql("select worker_pool.stop_worker(id) from unnest(array[$list]::bigint[]) id");
	$self->sql("select worker_pool.wait_worker(id) from unnest(array[$list]::bigint[]) id");
	$self->forget_outcomes;
	$self->wait_until(
		"(select count(*) from worker_pool.workers where state = 'idle' and pid in ("
		  . join(',', split(/\n/, $pids))
		  . ")) = $count");
	return split /\n/, $pids;
}

sub launcher_pid
{
	my ($self) = @_;

	return $self->sql('select launcher_pid from worker_pool.status');
}

# Waits for a launcher other than that, through a crash restart if there is one.
sub wait_launcher_after
{
	my ($self, $pid) = @_;

	for (my $end = time + $patience; time < $end;)
	{
		my ($status, $out) = $self->try_sql('select launcher_pid from worker_pool.status', timeout => 20);

		return $out if $status == 0 && $out ne '' && $out ne $pid;
		usleep(20_000);
	}
	die 'no new launcher came';
}

# Where the log ends now: for log_contains and wait_for_log.
sub log_end
{
	my ($self) = @_;

	return -s $self->logfile;
}

sub log_since
{
	my ($self, $offset) = @_;

	return slurp_file($self->logfile, $offset);
}

# Files below base/pgsql_tmp, without the folders.
sub temporary_files
{
	my ($self) = @_;
	my $out = '';

	IPC::Run::run([ 'find', $self->data_dir . '/base/pgsql_tmp', '-type', 'f' ], '>', \$out, '2>', '/dev/null');
	return split /\n/, $out;
}

# The library where it is staged apart from the server; undef where it is installed in the server's own folder.
sub staged_library
{
	return undef unless defined $ENV{TEMP_CONFIG};
	return slurp_file($ENV{TEMP_CONFIG}) =~ /^dynamic_library_path = '([^:']+):/m ? "$1/worker_pool.so" : undef;
}

# Is the process there (not counting one that is dead and not yet waited for)?
sub lives
{
	my ($pid) = @_;

	open(my $file, '<', "/proc/$pid/stat") or return 0;
	my $line = <$file> // '';

	return $line =~ /\) (\w)/ && $1 !~ /[ZX]/;
}

# Waits until none of the processes lives; returns the seconds that took, undef after the limit.
sub seconds_until_gone
{
	my ($limit, @pids) = @_;
	my $start = time;

	while (time - $start < $limit)
	{
		return time - $start unless grep { lives($_) } @pids;
		usleep(10_000);
	}
	return undef;
}

# The last test of a file: stops the server, and looks through the log for what must never be there.
sub finish
{
	my ($self, %options) = @_;
	my $allowed = $options{allow_signal} // qr/9: Killed/;

	local $Test::Builder::Level = $Test::Builder::Level + 1;

	$self->stop('fast');
	my @bad = grep { /PANIC:|TRAP:|was terminated by signal (?!$allowed)|unexpected C\+\+/ }
	  split(/\n/, slurp_file($self->logfile));
	@bad = grep { $_ !~ $options{allow} } @bad if $options{allow};

	is(join("\n", @bad), '', 'nothing in the log that must not be there');
}

# A session that stays: session(db =>, user =>, timeout => seconds for each statement).
sub session
{
	my ($self, %options) = @_;
	my @parameters = ('-v', 'VERBOSITY=verbose', '-v', 'SHOW_CONTEXT=always');

	push @parameters, '-U', $options{user} if $options{user};
	my $psql = $self->background_psql(
		$options{db} // 'postgres',
		on_error_stop => 0,
		timeout => $options{timeout} // 2 * $patience,
		extra_params => \@parameters);

	$psql->set_query_timer_restart;
	return bless { psql => $psql, number => 0, error => '' }, 'WorkerPool::Session';
}

package WorkerPool::Session;

use strict;
use warnings FATAL => 'all';

# Sends SQL and does not wait for its end.
sub send
{
	my ($self, $sql) = @_;
	my $psql = $self->{psql};

	$self->{number}++;
	$psql->{stdout} = $psql->{stderr} = '';
	$psql->{timeout}->start;
	$psql->{stdin} .= "$sql\n;\n\\echo 'end $self->{number} of query'\n\\warn 'end $self->{number} of query'\n";
	$psql->{run}->pump_nb while length $psql->{stdin};
}

# Waits for the end of what was sent; returns the output, and keeps the messages in {error}.
sub receive
{
	my ($self) = @_;
	my $psql = $self->{psql};
	my $mark = qr/end $self->{number} of query\r?\n/;

	$psql->{run}->pump
	  until ($psql->{stdout} =~ $mark && $psql->{stderr} =~ $mark) || $psql->{timeout}->is_expired;
	die 'query timed out: ' . $psql->{stdout} . $psql->{stderr} if $psql->{timeout}->is_expired;
	$psql->{timeout}->reset if $psql->{timeout}->can('reset');

	($self->{error} = $psql->{stderr}) =~ s/$mark//;
	(my $out = $psql->{stdout}) =~ s/\n?$mark//;
	$psql->{stdout} = $psql->{stderr} = '';
	return $out;
}

# Is the answer to what was sent there?
sub is_done
{
	my ($self) = @_;
	my $psql = $self->{psql};

	$psql->{run}->pump_nb;
	return $psql->{stderr} =~ /end $self->{number} of query/;
}

sub query
{
	my ($self, $sql) = @_;

	$self->send($sql);
	return $self->receive;
}

sub query_safe
{
	my ($self, $sql) = @_;
	my $out = $self->query($sql);

	die "SQL failed: $self->{error}\n$sql" if $self->{error} =~ /ERROR:|FATAL:/;
	return $out;
}

sub sqlstate
{
	my ($self) = @_;

	return WorkerPool::state_in($self->{error});
}

# Waits for psql to end by itself, because its session was ended; what it said.
sub ended
{
	my ($self) = @_;
	my $psql = $self->{psql};

	eval { $psql->{run}->finish };
	return $psql->{stdout} . $psql->{stderr};
}

sub quit
{
	my ($self) = @_;

	eval { $self->{psql}->quit };
}

1;
