#!/bin/bash
# The control plane under load, on SQLite and PostgreSQL side by side in one run: single posts a second, actions a
# second in batches of 500, the time of /api/check at 2,000 requests a second, the processor's
# time per action (which does not depend on what else the machine does), memory before and after, lists at that size.
#
#   bench/control.sh
#
# SECONDS_EACH  of each load (default 10)    ACTIONS  that are posted before lists are timed (default 100000;
# 1000000 for the long form)                 BACKENDS  default "sqlite postgresql"
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
SERVE=${SERVE:-$top/build/release/vsandbox-serve}
BACKENDS=${BACKENDS:-sqlite postgresql}
SECONDS_EACH=${SECONDS_EACH:-10}
ACTIONS=${ACTIONS:-100000}
BATCH=500
command -v wrk >/dev/null || {
	echo "bench-control: wrk is missing (apt-get install wrk)" >&2
	exit 1
}
work=$(mktemp -d "${TMPDIR:-/tmp}/bench-control.XXXXXX") || exit 1
chmod 755 "$work"
server='' postgres=''
as=()
[ "$(id -u)" != 0 ] || as=(setpriv --reuid postgres --regid postgres --clear-groups)
pg=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)

cleanup() {
	[ -z "$server" ] || { kill "$server" && wait "$server" 2>/dev/null; }
	[ -z "$postgres" ] || "${as[@]}" "$pg/pg_ctl" -D "$work/pg/data" -m immediate stop >/dev/null 2>&1
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

start_postgres() {
	mkdir "$work/pg" && chmod 755 "$work/pg"
	[ "$(id -u)" != 0 ] || chown postgres "$work/pg"
	"${as[@]}" "$pg/initdb" -D "$work/pg/data" -A trust -U vs >"$work/initdb" 2>&1 || return 1
	postgres=1
	"${as[@]}" "$pg/pg_ctl" -w -D "$work/pg/data" -o "-k $work/pg -h ''" -l "$work/pg/log" start >/dev/null
}

start_server() {
	rm -f "$work/port"
	"$SERVE" --db "$1" --listen 127.0.0.1:0 --port-file "$work/port" >"$work/out" 2>&1 &
	server=$!
	for _ in $(seq 100); do
		[ -s "$work/port" ] && break
		sleep 0.1
	done
	url=http://127.0.0.1:$(cat "$work/port") && key=$(grep ^vtk_ "$work/out")
}

# load KIND CONNECTIONS WAIT_MS COUNT: wrk's report in $work/wrk
load() {
	wrk -t 1 -c "$2" -d "$SECONDS_EACH" --timeout 30 --latency -s "$top/bench/control.lua" "$url" -- \
		"$1" "$key" "$3" "$4" >"$work/wrk" 2>&1
	if grep -qE 'Non-2xx|connect [1-9]|read [1-9]|write [1-9]' "$work/wrk"; then
		grep -E 'Non-2xx|Socket errors' "$work/wrk" >&2
	fi
}

rate() {
	awk -v n="$1" '/^Requests\/sec/ { printf "%.0f", $2 * n }' "$work/wrk"
}

latency() {
	awk -v p="$1%" '$1 == p { print $2 }' "$work/wrk"
}

# Ticks of the processor that the server has used; PostgreSQL's own are not among them.
ticks() {
	awk '{ print $14 + $15 }' "/proc/$server/stat"
}

memory() {
	awk '/^VmRSS/ { print $2 }' "/proc/$server/status"
}

actions() {
	curl -s -m 60 -H "x-api-key: $key" "$url/api/stats" | grep -o '"total_actions":[0-9]*' | cut -d : -f 2
}

row() {
	printf '%-11s %-44s %s\n' "$backend" "$1" "$2"
}

view() {
	row "GET $1" "$(curl -s -m 60 -o /dev/null -w '%{time_total} s (%{http_code})' -H "x-api-key: $key" "$url$1")"
}

bench() {
	# else each action is one too many in its minute, and opens an alert
	curl -s -o "$work/profile" -H "x-api-key: $key" -X PATCH "$url/api/agents/bench-0/profile" \
		-d '{"max_actions_per_minute":1000000000}'
	load check 40 20 100
	row "check at $(rate 1)/s: p50, p99" "$(latency 50) $(latency 99)"
	load post 64 0 1
	row "single posts a second" "$(rate 1)"
	local before=$(($(ticks))) first
	first=$(actions)
	load batch 8 0 "$BATCH"
	row "actions a second in batches of $BATCH" "$(rate "$BATCH")"
	row "server's processor time per action" \
		"$(awk -v t=$(($(ticks) - before)) -v n=$(($(actions) - first)) -v hz="$(getconf CLK_TCK)" \
			'BEGIN { printf n ? "%.1f us" : "-", t * 1e6 / hz / n }')"
	local small
	small=$(memory)
	while [ "$(actions)" -lt "$ACTIONS" ]; do
		load batch 8 0 "$BATCH"
	done
	row "memory, and after $(actions) actions (kB)" "$small $(memory)"
	for path in /api/actions /api/agents '/api/actions?agent_id=bench-0' '/api/actions?type=file_write' /api/stats \
		/api/usage /api/alerts; do
		view "$path"
	done
	load check 40 20 100
	row "check at $(rate 1)/s at that size: p50, p99" "$(latency 50) $(latency 99)"
}

echo "load average $(cut -d ' ' -f 1-3 /proc/loadavg), $(nproc) processors"
for backend in $BACKENDS; do
	db=$work/store.db
	if [ "$backend" = postgresql ]; then
		if [ -z "$pg" ] || ! start_postgres; then
			row "not measured: PostgreSQL does not start" -
			continue
		fi
		db="postgresql:///postgres?host=$work/pg&user=vs"
	fi
	start_server "$db" || exit 1
	bench
	kill "$server" && wait "$server" 2>/dev/null
	server=''
done
