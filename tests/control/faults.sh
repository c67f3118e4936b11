#!/bin/bash
# The control plane when the world around it fails: the disk is full, the clock jumps. TAP on stdout.
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
server='' mounted=''

cleanup() {
	[ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null
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

# post NAME: an action with a payload of 16 kB; prints the status
post() {
	ask -o "$work/answer" -w '%{http_code}' "$url/api/actions" -d "{\"agent_id\":\"full\",\"action_id\":\"$1\",
		\"action_type\":\"file_write\",\"resource\":\"/tmp/x\",\"payload\":\"$filler\"}"
}

# Client ids that the store has, one a line.
known() {
	local cursor=''
	while :; do
		ask -D "$work/head" "$url/api/actions?agent_id=full&limit=100$cursor" |
			python3 -c 'import json, sys; print("\n".join(r["action_id"] for r in json.load(sys.stdin)))'
		cursor=$(tr -d '\r' <"$work/head" | sed -n 's/^X-Next-Cursor: /\&cursor=/Ip')
		[ -n "$cursor" ] || return
	done
}

# ---- the disk is full ----
mkdir "$work/disk"
size=4
[ "${1:-}" != --long ] || size=64
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o "size=${size}m" tmpfs "$work/disk" 2>/dev/null; then
	mounted=1
	filler=$(head -c 12288 /dev/zero | base64 -w 0)
	start_server "$work/disk/store.db"
	refused=0
	for i in $(seq $((size * 120))); do
		status=$(post "$i")
		[ "$status" != 200 ] || echo "$i" >>"$work/acknowledged"
		[ "$status" = 200 ] || refused=$((refused + 1))
		[ "$status" = 200 ] || [ "$status" = 503 ] || echo "$status" >>"$work/odd"
		[ "$refused" -lt 3 ] || break
	done
	tap_is "full disk: writing is refused with 503" "$refused $(cat "$work/odd" 2>/dev/null)" "3 "
	tap_is "full disk: reading goes on" "$(ask -o /dev/null -w '%{http_code}' "$url/api/actions?limit=1")" 200
	tap_is "full disk: what is pure goes on" "$(ask -o /dev/null -w '%{http_code}' "$url/api/check" \
		-d '{"agent_id":"full","action_type":"file_read","resource":"/tmp/x"}')" 200
	mount -o "remount,size=$((size * 4))m" "$work/disk"
	tap_is "with room again it writes again" "$(post after)" 200
	echo after >>"$work/acknowledged"
	stop_server -KILL
	start_server "$work/disk/store.db"
	tap_is "and all that was acknowledged is there after kill -9" \
		"$(known | sort | comm -13 - <(sort "$work/acknowledged") | wc -l) lost of $(wc -l <"$work/acknowledged")" \
		"0 lost of $(wc -l <"$work/acknowledged")"
	stop_server -TERM
	umount "$work/disk" && mounted=''
else
	tap_skip "full disk" "a small tmpfs needs root"
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
