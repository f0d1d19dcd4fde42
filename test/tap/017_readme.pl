# Runs every ```sql block of README.md, in order, in one session, as written: the README must stay true.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

open(my $readme, '<', 'README.md') or die "README.md: $!";
my (@blocks, $block);
while (my $line = <$readme>)
{
	if ($line =~ /^```sql/) { $block = ''; next; }
	if ($line =~ /^```/ && defined $block) { push @blocks, $block; undef $block; next; }
	$block .= $line if defined $block;
}
close($readme);
cmp_ok(scalar(@blocks), '>=', 8, 'README.md has its examples');

my $node = PostgreSQL::Test::Cluster->new('readme');
$node->init;
$node->start;
$node->safe_psql('postgres', 'create role app');

my $script = join("\n", @blocks);
my ($out, $err);
my $status = $node->psql('postgres', $script, stdout => \$out, stderr => \$err, on_error_stop => 1);
is($status, 0, 'every SQL example of README.md runs') or diag($err);
like($out, qr/^3000000\|3000000$/m, 'the result that the README shows');
like($out, qr/^tried to pay$/m, 'what a rollback would take was kept');
like($out, qr/^1\|1\n/m, 'rows of several commands');
unlike($err // '', qr/ERROR/, 'and none of them raises an error');

$node->stop;
done_testing();
