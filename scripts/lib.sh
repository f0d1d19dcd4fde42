# shellcheck shell=bash
# What the scripts share: where the server is, staging the extension for it without installing anything,
# throw-away clusters. Sourced, never run.

set -euo pipefail

# Deterministic output of every tool; UTF-8, so that clusters are made with that encoding.
export LANG=C.UTF-8 LC_ALL=C.UTF-8
umask 022

root_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

die()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# --- the server ----------------------------------------------------------------------------------------

# Sets PG_CONFIG: as the environment says, else PostgreSQL 15 of Debian, else the one that PATH has. The one
# in PATH counts only if it can build extensions: libpq's development package alone brings a pg_config too.
find_pg_config()
{
	local debian=/usr/lib/postgresql/15/bin/pg_config
	local found

	if [[ -z ${PG_CONFIG:-} ]]; then
		PG_CONFIG=$debian
		if [[ ! -x $debian ]] && found=$(command -v pg_config) && [[ -e $("$found" --pgxs) ]]; then
			PG_CONFIG=$("$found" --bindir)/pg_config
		fi
	fi
	export PG_CONFIG
}

# Sets pg_major, pg_bindir, pg_sharedir, pg_pkglibdir, pg_pgxs_src and staging. $staging is how a server
# comes to find a staged extension:
#   control_path   extension_control_path (18 and later)
#   destdir        extension_destdir (a patch of Debian's, up to 17)
#   copy           neither; the server stands in a prefix of its own and is copied into the stage as a whole
load_server()
{
	pg_bindir=$("$PG_CONFIG" --bindir)
	pg_sharedir=$("$PG_CONFIG" --sharedir)
	pg_pkglibdir=$("$PG_CONFIG" --pkglibdir)
	# shellcheck disable=SC2034 # for scripts/test
	pg_pgxs_src=$(dirname "$(dirname "$("$PG_CONFIG" --pgxs)")")
	pg_major=$("$PG_CONFIG" --version | sed -E 's/^PostgreSQL ([0-9]+).*/\1/')
	pg_prefix=$(dirname "$pg_bindir")

	if ((pg_major >= 18)); then
		staging=control_path
	elif [[ $("$pg_bindir/postgres" --describe-config) == *$'\nextension_destdir\t'* ]]; then
		staging=destdir
	elif [[ $pg_prefix != /usr && $pg_prefix != / &&
		$pg_sharedir == "$pg_prefix"/* && $pg_pkglibdir == "$pg_prefix"/* ]]; then
		staging=copy
	else
		die "the server of $PG_CONFIG can load an extension from its own folders only (no extension_destdir," \
			"no extension_control_path), and they are not below one prefix that could be copied." \
			"Use Debian's packages, or a server configured with --prefix somewhere of its own."
	fi
}

server_has_assertions()
{
	[[ $("$PG_CONFIG" --configure) == *--enable-cassert* ]]
}

# --- staging -------------------------------------------------------------------------------------------

# stage BUILD STAGE: installs what was built in BUILD below the folder STAGE, nowhere else.
stage()
{
	local build=$1 stage=$2

	rm -rf "$stage"
	mkdir -p "$stage"
	if [[ $staging == copy ]]; then
		mkdir -p "$stage$pg_prefix"
		cp -R --reflink=auto --preserve=mode,timestamps,links "$pg_prefix/." "$stage$pg_prefix/"
		stage_pgtap "$stage"
	fi
	make -s -C "$build" -f "$root_dir/Makefile" "${@:3}" install DESTDIR="$stage"
}

# A server outside of the packaging system has no pgTAP, but the package's is plain SQL: any server of the
# same major takes it.
stage_pgtap()
{
	local packaged=/usr/share/postgresql/$pg_major/extension
	local extensions=$1$pg_sharedir/extension

	if [[ ! -e $extensions/pgtap.control && -e $packaged/pgtap.control ]]; then
		cp "$packaged"/pgtap* "$extensions/"
	fi
}

# Where the server's programs for a stage are.
stage_bindir()
{
	if [[ $staging == copy ]]; then
		echo "$1$pg_bindir"
	else
		echo "$pg_bindir"
	fi
}

# stage_settings STAGE: the settings by which a server finds what is staged there.
stage_settings()
{
	# The single-quoted $libdir and $system are the server's.
	case $staging in
		destdir)
			# shellcheck disable=SC2016
			printf "dynamic_library_path = '%s:\$libdir'\n" "$1$pg_pkglibdir"
			printf "extension_destdir = '%s'\n" "$1"
			;;
		control_path)
			# shellcheck disable=SC2016
			printf "dynamic_library_path = '%s:\$libdir'\n" "$1$pg_pkglibdir"
			# shellcheck disable=SC2016
			printf "extension_control_path = '%s:\$system'\n" "$1$pg_sharedir"
			;;
	esac
}

# --- throw-away clusters -------------------------------------------------------------------------------

# new_cluster FOLDER BINDIR CONFIG SOCKETS: makes the cluster FOLDER/data, with the settings of the file
# CONFIG and a unix socket in SOCKETS only, and exports what a client needs to find it.
new_cluster()
{
	local folder=$1 bindir=$2 config=$3 sockets=$4

	mkdir -p "$folder" "$sockets"
	chmod 700 "$sockets"
	"$bindir/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --no-locale -N >"$folder/initdb.log"
	{
		cat "$config"
		echo "listen_addresses = ''"
		echo "unix_socket_directories = '$sockets'"
	} >>"$folder/data/postgresql.conf"
	export PGHOST=$sockets PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
}

# start_cluster FOLDER BINDIR [VARIABLE=VALUE...]: starts it, with those variables for the server alone.
start_cluster()
{
	local folder=$1 bindir=$2

	if ! env "${@:3}" "$bindir/pg_ctl" -D "$folder/data" -l "$folder/server.log" -w -t 60 -s start; then
		tail -n 30 "$folder/server.log"
		return 1
	fi
}

stop_cluster()
{
	local folder=$1 bindir=$2

	"$bindir/pg_ctl" -D "$folder/data" -m fast -w -t 60 -s stop
}

# server_processes FOLDER: the processes that have a data directory below FOLDER as their working folder.
# Only servers do; a shell that somebody left standing there is not named.
server_processes()
{
	local process cwd

	for process in /proc/[0-9]*; do
		cwd=$(readlink "$process/cwd" 2>/dev/null) || continue
		cwd=${cwd% (deleted)}
		if [[ $cwd == "$1"/* && ($cwd == */data || $cwd == */pgdata) ]]; then
			echo "${process#/proc/}"
		fi
	done
}

# end_servers FOLDER: ends every server that runs below FOLDER, gently first. For the way out: a test that
# failed may have left anything. Also gives back the shared memory of one that was killed.
end_servers()
{
	local file pid segment tries

	[[ -d $1 ]] || return 0
	while IFS= read -r file; do
		pid=$(sed -n 1p "$file")
		segment=$(sed -n 7p "$file" | awk '{ print $2 }')
		if [[ $(readlink "/proc/$pid/cwd" 2>/dev/null) == "$(dirname "$file")" ]]; then
			kill -QUIT "$pid" 2>/dev/null || true
			for ((tries = 0; tries < 50; tries++)); do
				[[ -e /proc/$pid ]] || break
				sleep 0.1
			done
		fi
		if [[ -n $segment ]] && [[ ! -e /proc/$pid ]]; then
			ipcrm -m "$segment" 2>/dev/null || true
		fi
	done < <(find "$1" -name postmaster.pid -type f 2>/dev/null)

	for pid in $(server_processes "$1"); do
		kill -KILL "$pid" 2>/dev/null || true
	done
}

# --- who runs it ---------------------------------------------------------------------------------------

# initdb refuses root, so a script that is started as root does its work as the user postgres, in a folder
# of its own with a copy of the sources (a checkout below /root is readable by nobody else, and somebody may
# be editing it). The copy stays root's: that a build leaves its sources alone is tested on the way.

# private_folder NAME: makes a new folder for this run, below TMPDIR, or below /tmp where TMPDIR's path is so
# long that a socket in it could not be named (107 bytes), or is closed to the user who is to work in it.
private_folder()
{
	local parent=${TMPDIR:-/tmp} folder

	if ((${#parent} > 40)) || { [[ $EUID == 0 ]] && ! as_postgres test -x "$parent"; }; then
		parent=/tmp
	fi
	folder=$(mktemp -d "$parent/$1.XXXXXX")
	if [[ $EUID == 0 ]]; then
		chown postgres: "$folder"
	fi
	echo "$folder"
}

copy_sources()
{
	rm -rf "$1"
	mkdir -p "$1"
	# Status 1 of tar: a file changed while it was read.
	{
		tar -C "$root_dir" --warning=no-file-changed \
			--exclude=./.git --exclude=./build --exclude='*.o' --exclude='*.so' -cf - . || (($? == 1))
	} | tar -C "$1" --no-same-owner -xf -
	chmod -R u+w,go-w,a+rX "$1"
}

as_postgres()
{
	id postgres >/dev/null 2>&1 || die "there is no user postgres, and a server does not run as root"
	setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"
}

# run_as_postgres FOLDER SCRIPT ARGUMENT...: runs FOLDER/src/scripts/SCRIPT as postgres and passes on a
# signal that ends us, so that it can tidy up before we do. Not in the foreground: bash would not act on a
# signal before it ends. Under job control, because bash lets background jobs ignore SIGINT without.
run_as_postgres()
{
	local folder=$1 script=$2 status=0

	# One simple command, so that the process we signal is the script itself and no shell around it.
	set -m
	setpriv --reuid=postgres --regid=postgres --init-groups -- \
		env -u XDG_RUNTIME_DIR HOME="$folder" USER=postgres LOGNAME=postgres TMPDIR="$folder" \
		WORKER_POOL_WORK="$folder" "$folder/src/scripts/$script" "${@:3}" </dev/null &
	worker_pid=$!
	set +m
	wait "$worker_pid" || status=$?
	worker_pid=
	return "$status"
}

# end_worker: for the trap of the script that called run_as_postgres.
end_worker()
{
	if [[ -n ${worker_pid:-} ]]; then
		kill -TERM "$worker_pid" 2>/dev/null || true
		wait "$worker_pid" 2>/dev/null || true
	fi
}
