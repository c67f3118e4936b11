#!/bin/sh
# Runs every attack twice: natively, where it must succeed (or the test could not fail), and inside
# a sandbox, where it must be stopped. TAP on stdout.
#
#   tests/escape/run.sh [--native-only] [--inside-only] [--uid N] [PROGRAM[:CASE]...]
#
# VSANDBOX   the program under test (default build/release/vsandbox)
# ATTACK_STRICT another policy in the place of strict
# ATTACK_BIN the compiled attacks   (default build/release/tests/escape)
set -u
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
# shellcheck source=tests/lib/tap.sh
. "$top/tests/lib/tap.sh"

VSANDBOX=${VSANDBOX:-$top/build/release/vsandbox}
ATTACK_BIN=${ATTACK_BIN:-$top/build/release/tests/escape}
native=1 inside=1 uid=
while [ $# -gt 0 ]; do
	case $1 in
	--native-only) inside=0 ;;
	--inside-only) native=0 ;;
	--uid) uid=$2 && shift ;;
	-*) echo "usage: run.sh [--native-only] [--inside-only] [--uid N] [PROGRAM[:CASE]...]" >&2 && exit 125 ;;
	*) break ;;
	esac
	shift
done
as=
who=$(id -u)
if [ -n "$uid" ]; then
	as="setpriv --reuid $uid --regid $uid --clear-groups --"
	who=$uid
fi
if [ $# -eq 0 ]; then
	set -- env_routes race abi namespaces forbidden outside fuzz
	[ "$who" != 0 ] || set -- "$@" powers # only root has any to give up
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/escape.XXXXXX") || exit 1
host_pid=
cleanup() {
	stop_host
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
chmod 711 "$work"
mkdir -m 755 "$work/bin" && cp "$ATTACK_BIN"/* "$work/bin/" || exit 1
cp "$here/attack.json" "$work/attack.json"
if [ -n "$uid" ]; then
	# The program, with the policies it was built beside, where that user can read them.
	mkdir -p "$work/vs/build/release" && cp "$VSANDBOX"* "$work/vs/build/release/" &&
		cp -r "$top/policies" "$work/vs/policies" && VSANDBOX=$work/vs/build/release/vsandbox
fi

# The scratch directory as attack.h describes it.
fill() {
	rm -rf "${work:?}/s" "$work/state" "${work:?}/home"
	mkdir "$work/s" "$work/state" "$work/home" && cd "$work/s" || exit 1
	mkdir open vault sub "$(printf '\377\376')" "$(printf 'a\n\033[31mb')"
	echo public | tee plain.txt a.txt open/key >/dev/null
	for f in secret.env a.env sub/secret.env vault/key "$(printf '\377\376')/secret.env" \
		"$(printf 'a\n\033[31mb')/secret.env"; do
		echo TOKEN=hunter2 >"$f"
	done
	ln -s secret.env alias.link
	cp "$work/bin/$1" a.okexec && cp a.okexec a.noexec && cp a.okexec tool.env
	[ -z "$uid" ] || chown -hR "$uid:$uid" "$work/s" "$work/state" "$work/home"
}

tree_sum() {
	find "$work/s" -printf '%P %y %m %s %l\n' | LC_ALL=C sort | cksum
	find "$work/s" -type f -exec cksum {} + | LC_ALL=C sort | cksum
}

start_host() {
	rm -f "$work/hold" "$work/host.out"
	mkfifo "$work/hold"
	# shellcheck disable=SC2086
	(cd "$work/s" && exec $as "$work/bin/host" "escape-$$") <"$work/hold" >"$work/host.out" 2>&1 &
	host_pid=$!
	exec 9>"$work/hold"
	for _ in $(seq 1200); do
		[ -s "$work/host.out" ] && break
		sleep 0.05
	done
	read -r ATTACK_OUTER_PID ATTACK_TCP_PORT <"$work/host.out"
	export ATTACK_OUTER_PID ATTACK_TCP_PORT
	export ATTACK_ABSTRACT="escape-$$"
}

stop_host() {
	[ -n "$host_pid" ] || return 0
	exec 9>&-
	kill -KILL "$host_pid" 2>/dev/null
	wait "$host_pid" 2>/dev/null
	host_pid=
}

# launch PROGRAM CASE [sandbox command...]; the exit status of the attack
launch() {
	prog=$1 case=$2
	shift 2
	(
		cd "$work/s" || exit 99
		export HOME="$work/home" XDG_STATE_HOME="$work/state" XDG_CONFIG_HOME="$work/home/.config"
		export XDG_RUNTIME_DIR="$work/home/run"
		# shellcheck disable=SC2086
		exec timeout -k 5 "${ATTACK_TIMEOUT:-300}" $as "$@" "$work/bin/$prog" "$case" \
			7<"$work/s/secret.env" 8</ 9>&- </dev/null >"$work/out" 2>"$work/err"
	)
}

# The attempt stands in the log, denied, with a pid and the path.
check_log() {
	log=$(find "$work/state" -name events.jsonl | head -n 1)
	if [ -z "$log" ]; then
		tap_not_ok "$1: there is an event log"
		return
	fi
	# A race leaves a hundred thousand lines: jq reads as far as it must.
	# shellcheck disable=SC2016
	if grep -F -- "$2" "$log" | jq -en --arg p "$2" 'any(inputs;
		([.. | strings] | any(contains($p))) and
		([.. | objects | (.pid? // empty) | numbers] | any(. > 0)) and
		([.. | strings] | any(. == "deny" or . == "block" or . == "blocked" or . == "denied")))' >/dev/null 2>&1; then
		tap_ok "$1: the log names pid and path of the try"
	else
		tap_not_ok "$1: the log names pid and path of the try"
		tap_note_file "$log" 5
	fi
}

attack() {
	prog=$1 case=$2 kind=$3 policy=$4 logged=$5
	label="$prog $case"
	if [ "$native" = 1 ] && [ "$kind" != never ]; then
		fill "$prog"
		[ "$prog" = outside ] && start_host
		launch "$prog" "$case"
		code=$?
		stop_host
		case $kind-$who in
		root-[!0]*) must=0 ;;
		may-*) must=0 ;;
		*) must=1 ;;
		esac
		if [ "$code" = 0 ]; then
			tap_ok "$label: succeeds natively"
		elif [ "$must" = 0 ]; then
			tap_ok "$label: natively not possible here either ($code), still tried inside"
		else
			tap_not_ok "$label: succeeds natively (exit $code)"
			tap_note_file "$work/out"
			tap_note_file "$work/err"
		fi
	fi
	[ "$inside" = 1 ] || return 0
	case $policy in
	attack) policy=$work/attack.json ;;
	*) policy=${ATTACK_STRICT:-strict} ;;
	esac
	fill "$prog"
	[ "$prog" = outside ] && start_host
	before=$(tree_sum)
	launch "$prog" "$case" "$VSANDBOX" run -q --policy "$policy" --
	code=$?
	after=$(tree_sum)
	if [ "$case" = exec_argv_flip ]; then
		check_argv
	elif [ "$code" = 1 ]; then
		tap_ok "$label: is stopped inside"
	elif { [ "$code" = 137 ] || [ "$code" = 159 ] || [ "$code" = 120 ]; } && ! grep -q . "$work/err"; then
		tap_ok "$label: is stopped inside (killed)"
	elif [ "$code" = 77 ]; then
		tap_skip "$label: is stopped inside" "$(head -n 1 "$work/err")"
	else
		tap_not_ok "$label: is stopped inside (exit $code)"
		tap_note_file "$work/out"
		tap_note_file "$work/err"
	fi
	if [ "$before" != "$after" ]; then
		tap_not_ok "$label: the host's files are as they were"
	fi
	if [ "$prog" = outside ]; then
		if grep -q reached "$work/host.out"; then
			tap_not_ok "$label: nothing reached the host's sockets"
			tap_note_file "$work/host.out"
		fi
		if ! kill -0 "$host_pid" 2>/dev/null; then
			tap_not_ok "$label: the host's process lives"
		fi
		stop_host
	fi
	if [ "$logged" != - ]; then
		check_log "$label" "$logged"
	fi
}

# What the programs say they were given must be what the log says was judged, exec by exec.
check_argv() {
	log=$(find "$work/state" -name events.jsonl | head -n 1)
	jq -r 'select((.argv // []) | index("argv-probe")) | "argv-ran \(.argv[-1]) \(.argv[-2])"' \
		"$log" 2>/dev/null | sort >"$work/judged"
	grep '^argv-ran' "$work/out" | sort >"$work/ran"
	other=$(comm -23 "$work/ran" "$work/judged" | wc -l)
	tap_is "race exec_argv_flip: programs that ran with an argv other than judged" "$other" 0
	tap_note "$(wc -l <"$work/ran") ran of $(wc -l <"$work/judged") judged"
	if ! grep -q safe "$work/ran" || ! grep -q evil "$work/ran"; then
		tap_not_ok "race exec_argv_flip: both words ran, so that the test says something"
		tap_note_file "$work/err"
	fi
}

if [ "$inside" = 1 ] && [ ! -x "$VSANDBOX" ]; then
	tap_not_ok "there is a program to test: $VSANDBOX"
	tap_done
	exit 1
fi
for which in "$@"; do
	prog=${which%%:*}
	only=
	[ "$prog" = "$which" ] || only=${which#*:}
	"$work/bin/$prog" --list >"$work/list" || exit 1
	while read -r case kind policy logged <&3; do
		[ -z "$only" ] || [ "$only" = "$case" ] || continue
		if [ "$case" = fuzz_long ] && [ "${ATTACK_LONG:-0}" != 1 ] && [ -z "$only" ]; then
			continue
		fi
		attack "$prog" "$case" "$kind" "$policy" "$logged"
	done 3<"$work/list"
done
tap_done
