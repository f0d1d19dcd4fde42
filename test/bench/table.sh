# What test/bench/tasks and services share: samples, psql, lines of the table. They set rows, samples (a folder) and bindir.
# shellcheck shell=bash disable=SC2154

wanted()
{
	[[ " ${rows[*]} " == *" $1 "* ]]
}

say()
{
	printf '%s\n' "$*" >&2
}

sql()
{
	"$bindir/psql" -X -A -t -q -v ON_ERROR_STOP=1 "$@"
}

call()
{
	sql -c "select $1"
}

now()
{
	date +%s.%N
}

# rate N START END
rate()
{
	awk -v n="$1" -v a="$2" -v b="$3" 'BEGIN { printf "%.0f\n", n / (b - a) }'
}

median()
{
	sort -g "$1" | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# line ROW WHAT SAMPLES-A UNIT AGAINST SAMPLES-B GOAL
line()
{
	[[ -s $samples/$3 && -s $samples/$6 ]] || {
		printf '%-3s %-58s not measured\n' "$1" "$2"
		return
	}
	awk -v row="$1" -v what="$2" -v a="$(median "$samples/$3")" -v unit="$4" -v against="$5" -v b="$(median "$samples/$6")" \
		-v goal="$7" 'BEGIN {
			ratio = b == 0 ? 0 : a / b
			split(goal, g, " ")
			met = goal == "" ? "" : (g[1] == "<=" ? ratio <= g[2] : ratio >= g[2]) ? "met" : "MISSED"
			printf "%-3s %-58s %10.1f %-8s %-34s %10.1f %7.2f %-8s %s\n", row, what, a, unit, against, b, ratio, goal, met
		}'
}

# setting NAME VALUE: from now on, in every process.
setting()
{
	sql -c "alter system set $1 = '$2'" -c "select pg_reload_conf()" >/dev/null
	sleep 0.1
}
