#!/bin/sh
# What undo costs: loops of changes with and without journal, a rollback, a commit, the first write to a large
# file. Medians of RUNS (3), all in one run.
#
#   bench/undo.sh [ROW...]     rows: loops rollback commit large
#
# VSANDBOX, BENCH_BIN  what is measured, and with what
# ACTIONS (1000), FILES (20000), LARGE (1024, MiB)  how much is undone, committed, written to
# TMPDIR (/var/tmp)  where: a file system that can hold uppers
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
VSANDBOX=$(realpath "${VSANDBOX:-$top/build/release/vsandbox}")
BENCH_BIN=$(realpath "${BENCH_BIN:-$top/build/release/bench}")
runs=${RUNS:-3} actions=${ACTIONS:-1000} files=${FILES:-20000} large=${LARGE:-1024}
work=$(mktemp -d "${TMPDIR:-/var/tmp}/bench-undo.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
mkdir "$work/home" "$work/state" "$work/out"
export XDG_STATE_HOME="$work/state" HOME="$work/home"
[ $# -gt 0 ] || set -- loops rollback commit large
wanted=" $* "

want() {
	case $wanted in *" $1 "*) return 0 ;; *) return 1 ;; esac
}

# A failure ends everything: a figure of what did not happen is none.
must() {
	"$@" >"$work/said" 2>&1 && return
	echo "failed: $*" >&2
	tail -n 5 "$work/said" >&2
	exit 1
}

box() {
	must "$VSANDBOX" run -q --allow '*' "$@"
}

# The work directory becomes an overlay of itself, in namespaces of its own: what try does.
overlay() {
	# shellcheck disable=SC2016
	must unshare -rm sh -c 'rm -rf "$1/ovl" && mkdir -p "$1/ovl/u" "$1/ovl/w" &&
		mount -t overlay -o "userxattr,lowerdir=$PWD,upperdir=$1/ovl/u,workdir=$1/ovl/w" overlay "$PWD" &&
		cd "$PWD" && shift && exec "$@"' sh "$work" "$@"
}

native() {
	must "$@"
}

direct() {
	box --workspace direct --on-exit keep -- "$@"
}

journaled() {
	box --on-exit discard -- "$@"
}

median() {
	sort -n | awk '{ a[NR] = $1 } END { print NR % 2 ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }'
}

# seconds COMMAND...: how long it took, one more figure in $work/times
seconds() {
	start=$(date +%s.%N)
	"$@"
	date +%s.%N | awk -v s="$start" '{ printf "%.3f\n", $1 - s }' >>"$work/times"
}

# again; while more; do ...: RUNS rounds, with no figures yet
again() {
	: >"$work/times"
	i=0
}
more() {
	i=$((i + 1))
	[ "$i" -le "$runs" ]
}

# fresh COMMAND: an empty work directory, filled by the command
fresh() {
	cd "$work"
	rm -rf w state && mkdir w state && cd w
	"$@"
}

fill() {
	must python3 -Ic 'import sys
for i in range(int(sys.argv[1])): open(f"f{i}", "w").write(f"content {i}\n" * 20)' "$1"
}

echo "$(uname -r), $(nproc) CPUs, load $(cut -d' ' -f1-3 /proc/loadavg); $(stat -f -c %T "$work")"

if want loops; then
	printf '\nmicroseconds a call: natively, in a plain overlay, without overlay and journal, with both\n'
	for op in create-unlink rename overwrite-4k overwrite-1m; do
		rm -f "$work"/t.*
		again
		while more; do
			for how in native overlay direct journaled; do
				fresh :
				"$how" "$BENCH_BIN/ops" "$op" 200
				awk '{ print $2 }' "$work/said" >>"$work/t.$how"
			done
		done
		printf '  %-14s' "$op"
		for how in native overlay direct journaled; do
			printf ' %s %s' "$how" "$(median <"$work/t.$how")"
		done
		echo
	done
fi

if want rollback; then
	again
	while more; do
		fresh fill $((actions / 2))
		box -- python3 -Ic 'import os, sys
for i in range(int(sys.argv[1])):
    open(f"n{i}", "w").write("x")
    os.unlink(f"f{i}")' $((actions / 2))
		seconds must "$VSANDBOX" rollback --yes --last "$actions"
		[ "$(find "$work"/state -path '*/upper*' -name 'n[0-9]*' | wc -l)" -eq 0 ]
	done
	median <"$work/times" |
		awk -v n="$actions" '{ printf "\nrollback of %d actions: %.2f s, %.0f a second\n", n, $1, n / $1 }'
fi

if want commit; then
	again
	while more; do
		fresh :
		box -- python3 -Ic 'import os, sys
for i in range(int(sys.argv[1])):
    if i % 200 == 0: os.mkdir(f"d{i // 200}")
    open(f"d{i // 200}/f{i}", "w").write(f"content {i}\n" * 20)' "$files"
		seconds must "$VSANDBOX" commit --yes
		[ "$(find . -type f | wc -l)" -eq "$files" ]
	done
	committed=$(median <"$work/times")
	again
	while more; do
		rm -rf "$work/copy"
		seconds must cp -a . "$work/copy"
	done
	median <"$work/times" | awk -v n="$files" -v c="$committed" \
		'{ printf "\ncommit of %d files: %.2f s, %.0f a second (cp -a, without pre-images and fsync: %.2f s)\n", n, c, n / c, $1 }'
	rm -rf "$work/copy"
fi

if want large; then
	overwrite='f = open("large", "r+b"); f.write(b"x")'
	rm -f "$work"/t.*
	again
	while more; do
		fresh must dd if=/dev/zero of=large bs=1M count="$large"
		: >"$work/times"
		seconds overlay python3 -Ic "$overwrite"
		cat "$work/times" >>"$work/t.overlay"
		: >"$work/times"
		seconds box -- python3 -Ic "$overwrite"
		cat "$work/times" >>"$work/t.box"
		du -sm "$work/state" | cut -f1 >>"$work/t.kept"
		rm -rf "$work/ovl"
	done
	printf '\nfirst write to a file of %s MiB: %s s, plain overlay %s s; kept of it: %s MiB\n' "$large" \
		"$(median <"$work/t.box")" "$(median <"$work/t.overlay")" "$(median <"$work/t.kept")"
	# twice would be a copy by the overlay and one of ours
	median <"$work/t.kept" | awk -v l="$large" '$1 > l + l / 2 + 32 { print "it was copied twice"; exit 1 }'
fi
