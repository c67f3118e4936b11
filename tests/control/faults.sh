#!/bin/bash
# The control plane when the world around it fails: the disk is full (SQLite's, PostgreSQL's), the clock jumps. TAP on stdout.
#
#   SERVE=... tests/control/faults.sh [--long]
#
# SERVE  the program under test (default build/release/vsandbox-serve)
# --long fills a disk of 64 MB instead of 4
set -u
# A mount that others saw could be taken into their sandboxes, and then be busy.
if [ "$(id -u)" = 0 ] && [ -z "${FAULTS_APART:-}" ]; then
	FAULTS_APART=1 exec unshare -m --propagation private "$0" "$@"
fi
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
# shellcheck source=tests/lib/tap.sh
. "$top/tests/lib/tap.sh"
SERVE=${SERVE:-$top/build/release/vsandbox-serve}
work=$(mktemp -d "${TMPDIR:-/tmp}/faults.XXXXXX") || exit 1
server='' mounted='' postgres=''
as=()
[ "$(id -u)" != 0 ] || as=(setpriv --reuid postgres --regid postgres --clear-groups)
pg=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)

cleanup() {
	[ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null
	[ -z "$postgres" ] || "${as[@]}" "$pg/pg_ctl" -D "$work/disk/data" -m immediate stop >/dev/null 2>&1
	[ -z "$mounted" ] || umount "$work/disk"
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# start_server DB [ASSIGNMENT...]: sets server, url and, at the first start of a store, key
start_server() {
	local db=$1
	shift
	rm -f "$work/port"
	env "$@" "$SERVE" --db "$db" --listen 127.0.0.1:0 --port-file "$work/port" >"$work/out" 2>&1 &
	server=$!
	for _ in $(seq 1200); do
		[ -s "$work/port" ] && break
		kill -0 "$server" 2>/dev/null || break
		sleep 0.05
	done
	[ -s "$work/port" ] || return 1
	url=http://127.0.0.1:$(cat "$work/port")
	! grep -q ^vtk_ "$work/out" || key=$(grep ^vtk_ "$work/out")
}

stop_server() {
	kill "$1" "$server" && wait "$server" 2>/dev/null
	server=''
}

ask() {
	curl -s -m 120 -H "x-api-key: $key" "$@"
}

# post NAME: an action with $filler as its payload; prints the status
post() {
	ask -o "$work/answer" -w '%{http_code}' "$url/api/actions" -d "{\"agent_id\":\"full\",\"action_id\":\"$1\",
		\"action_type\":\"file_write\",\"resource\":\"/tmp/x\",\"payload\":\"$filler\"}"
}

# Client ids that the store has, one a line.
known() {
	local cursor=''
	while :; do
		ask -D "$work/head" "$url/api/actions?agent_id=full&limit=50$cursor" |
			python3 -c 'import json, sys; print("\n".join(r["action_id"] for r in json.load(sys.stdin)))'
		cursor=$(tr -d '\r' <"$work/head" | sed -n 's/^X-Next-Cursor: /\&cursor=/Ip')
		[ -n "$cursor" ] || return
	done
}

# ---- the disk is full ----
mkdir "$work/disk"
size=4
[ "${1:-}" != --long ] || size=64

# fill MOST: posts until three were refused, and notes in $work/acknowledged what was taken
fill() {
	refused=0
	: >"$work/acknowledged"
	: >"$work/odd"
	for i in $(seq "$1"); do
		status=$(post "$i")
		case $status in
		200) echo "$i" >>"$work/acknowledged" ;;
		503) refused=$((refused + 1)) ;;
		*) echo "$status" >>"$work/odd" ;;
		esac
		[ "$refused" -lt 3 ] || break
	done
}

# whole NAME: what was acknowledged is in the store
whole() {
	tap_is "$1" "$(known | sort | comm -13 - <(sort "$work/acknowledged") | wc -l) lost of $(wc -l <"$work/acknowledged")" \
		"0 lost of $(wc -l <"$work/acknowledged")"
}

if [ "$(id -u)" = 0 ] && mount -t tmpfs -o "size=${size}m" tmpfs "$work/disk" 2>/dev/null; then
	mounted=1
	filler=$(head -c 12288 /dev/zero | base64 -w 0)
	start_server "$work/disk/store.db"
	fill $((size * 120))
	tap_is "full disk: writing is refused with 503" "$refused $(cat "$work/odd")" "3 "
	tap_is "full disk: reading goes on" "$(ask -o /dev/null -w '%{http_code}' "$url/api/actions?limit=1")" 200
	tap_is "full disk: what is pure goes on" "$(ask -o /dev/null -w '%{http_code}' "$url/api/check" \
		-d '{"agent_id":"full","action_type":"file_read","resource":"/tmp/x"}')" 200
	mount -o "remount,size=$((size * 4))m" "$work/disk"
	tap_is "with room again it writes again" "$(post after)" 200
	echo after >>"$work/acknowledged"
	stop_server -KILL
	start_server "$work/disk/store.db"
	whole "and all that was acknowledged is there after kill -9"
	stop_server -TERM
	umount "$work/disk" && mounted=''
else
	tap_skip "full disk" "a small tmpfs needs root"
fi

# ---- PostgreSQL's disk is full ----
# What it cannot extend it refuses; where it cannot write its log it ends, and whoever runs it starts it again.
control_postgres() {
	"${as[@]}" "$pg/pg_ctl" -w -t 120 -D "$work/disk/data" -o "-k $work/disk -h ''" -l "$work/disk.log" "$1" >/dev/null
}

make_postgres() {
	chown postgres "$work/disk" && chmod 711 "$work"
	: >"$work/disk.log" && chown postgres "$work/disk.log"
	"${as[@]}" "$pg/initdb" -D "$work/disk/data" -A trust -U vs --wal-segsize=1 >"$work/initdb" 2>&1 || return
	printf '%s\n' 'max_wal_size = 8MB' 'min_wal_size = 2MB' 'shared_buffers = 4MB' >>"$work/disk/data/postgresql.conf"
	postgres=1
	control_postgres start
}

writes_again() {
	"${as[@]}" "$pg/pg_ctl" -D "$work/disk/data" status >/dev/null || control_postgres start
	[ "$(post after)" = 200 ]
}

if [ -z "$pg" ]; then
	tap_not_ok "postgresql is installed"
elif [ "$(id -u)" = 0 ] && mount -t tmpfs -o "size=$((size + 44))m" tmpfs "$work/disk" 2>/dev/null; then
	mounted=1
	filler=$(head -c 60000 /dev/urandom | base64 -w 0) # it would press zeros into nothing
	if make_postgres && start_server "postgresql:///postgres?host=$work/disk&user=vs"; then
		fill 2000
		tap_is "PostgreSQL's disk is full: writing is refused with 503" "$refused $(cat "$work/odd")" "3 "
		tap_note "$(wc -l <"$work/acknowledged") were acknowledged"
		grep -qE 'No space left|Check free disk space' "$work/disk.log"
		tap_is "because PostgreSQL has no room" $? 0
		mount -o "remount,size=$((size + 240))m" "$work/disk"
		for _ in $(seq 600); do
			writes_again && break
			sleep 0.1
		done
		tap_is "with room again it writes again" "$(post after)" 200
		echo after >>"$work/acknowledged"
		"${as[@]}" "$pg/pg_ctl" -w -t 120 -D "$work/disk/data" -m immediate stop >/dev/null
		control_postgres start
		for _ in $(seq 600); do
			ask -f -o /dev/null "$url/api/actions?limit=1" && break
			sleep 0.1
		done
		whole "and all that was acknowledged is there after it was killed"
		stop_server -TERM
	else
		tap_not_ok "PostgreSQL and the server start on a small disk"
		tap_note_file "$work/initdb"
		tap_note_file "$work/disk.log"
	fi
	[ -z "$postgres" ] || "${as[@]}" "$pg/pg_ctl" -w -t 120 -D "$work/disk/data" -m immediate stop >/dev/null
	postgres=''
	umount "$work/disk" && mounted=''
else
	tap_skip "PostgreSQL's disk is full" "a small tmpfs needs root"
fi

# ---- the clock jumps ----
library=$(find /usr/lib -name libfaketimeMT.so.1 2>/dev/null | head -n 1)
if [ -n "$library" ]; then
	clock() {
		echo "@$(date -d "$1" '+%Y-%m-%d %H:%M:%S')" >"$work/clock.new"
		mv "$work/clock.new" "$work/clock"
	}
	clock now
	start_server "$work/clock.db" LD_PRELOAD="$library" FAKETIME_TIMESTAMP_FILE="$work/clock" FAKETIME_NO_CACHE=1 \
		FAKETIME_DONT_FAKE_MONOTONIC=1
	filler=x
	first=$(post one; cat "$work/answer")
	clock '1 day'
	second=$(post two; cat "$work/answer")
	clock '-1 day'
	third=$(post three; cat "$work/answer")
	tap_is "the clock jumps a day on and two days back: all is taken" "${first:0:3} ${second:0:3} ${third:0:3}" "200 200 200"
	tap_is "in the order in which it came" "$(known | tr '\n' ' ')" "three two one "
	tap_is "and a repetition is still one" "$(post three) $(known | wc -l)" "200 3"
	# a waiting call comes back though its deadline is far away by the new clock
	ask "$url/api/sessions" -d '{"id":"jump","agent_id":"full","host":"h","state":"running"}' >/dev/null
	ask "$url/api/sessions/jump/commands?wait=20&orders=none" >/dev/null
	(ask "$url/api/sessions/jump/commands?wait=20" >"$work/polled") &
	poll=$!
	sleep 0.5
	clock '-3 days'
	ask -m 2 "$url/api/sessions/jump/control" -d '{"command":"pause"}' >/dev/null
	wait "$poll"
	tap_is "a command reaches who waits across a jump back" "$(grep -c '"kind":"pause"' "$work/polled")" 1
	stop_server -TERM
else
	tap_skip "the clock jumps" "libfaketime is not installed (packaging/install-packages test)"
fi
tap_done
