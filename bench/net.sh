#!/bin/bash
# The network of the sandbox beside native, pasta and slirp4netns, in one run, interleaved. The peers are in another
# network namespace, behind a pair of devices. Medians of ROUNDS (default 3). Needs root.
#
#   bench/net.sh [MEASURE...]
#
# Measures: connect (us of connect(2), median of 400, each from a fresh socket), connects (requests per second, each
# with a connection of its own), stream (MB/s of iperf3), wrk (requests per second of 32 kept connections), redis
# (GET per second of redis-benchmark), pgbench (select-only transactions per second).
#
# relay, handover: a policy that looks into nothing. inspected: one with a rule for database_write, which makes every
# statement be decided. LAUNCHERS picks columns; NAME@DIR is the same with the programs of another build:
#
#   LAUNCHERS="native relay@/tmp/before relay" bench/net.sh connect
#
# The ports of the servers are declared by name.
# shellcheck disable=SC2154
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top" || exit 1
VSANDBOX=${VSANDBOX:-$top/build/release/vsandbox}
BENCH_BIN=${BENCH_BIN:-$top/build/release/bench}
ROUNDS=${ROUNDS:-3}
LAUNCHERS=${LAUNCHERS:-native relay handover inspected pasta slirp4netns}
[ $# -gt 0 ] || set -- connect connects stream wrk redis pgbench
work=$(mktemp -d) || exit 1
chmod 755 "$work"
# As an ordinary user: pasta does not run as root.
user=(setpriv --reuid 12345 --regid 12345 --clear-groups)
# shellcheck source=tests/net/internet.sh
. tests/net/internet.sh
server_address=203.0.113.10 server_in=(ip netns exec "$OUT")
# shellcheck source=tests/wire/servers.sh
. tests/wire/servers.sh
trap 'servers_stop; internet_down; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
internet_up || exit 1
serve iperf3 -s -B 203.0.113.10 -p 5201
within 5 out nc -z 203.0.113.10 5201 || exit 1
case " $* " in *" redis "*) start_redis || exit 1 ;; esac
case " $* " in
*" pgbench "*)
	start_pg || exit 1
	export PGPASSWORD=secret PGUSER=postgres PGDATABASE=postgres PGPORT=$pg_port PGHOST=203.0.113.10
	pgbench=$(echo /usr/lib/postgresql/*/bin/pgbench)
	out "$pgbench" -i -q -s 5 2>/dev/null || exit 1
	;;
esac
cp "$BENCH_BIN/connect" "$work/connect" || exit 1
mkdir -m 777 "$work/home"
export HOME=$work/home XDG_STATE_HOME=$work/home/state

policy() {
	printf '{ "name": "%s", "extends": ["dev"], "max_actions_per_minute": 1e9, "rules": [ %s ],
		"network": { "allow_hosts": [ "203.0.113.10" ], "handover": [ %s ] } }\n' "$1" "$3" "$2" >"$work/$1.json"
}
policy relay '' ''
policy handover '"203.0.113.10"' ''
policy inspected '' '{ "name": "w", "action_type": "database_write", "resource_pattern": "*", "effect": "block" }'

# slirp4netns gives a network to a namespace that is there already.
slirp() {
	local pid slirp
	host "${user[@]}" unshare -Urn sh -c 'until ip link show tap0 >/dev/null 2>&1; do sleep 0.02; done
		sleep 0.2; exec "$@"' sh "$@" &
	pid=$!
	sleep 0.3
	host "${user[@]}" slirp4netns -c "$(pgrep -P "$pid" || echo "$pid")" tap0 >/dev/null 2>&1 &
	slirp=$!
	wait "$pid"
	kill "$slirp" 2>/dev/null
	wait "$slirp" 2>/dev/null
}

by() {
	local launcher=${1%@*} program=$VSANDBOX
	[ "$launcher" = "$1" ] || program=${1#*@}/vsandbox
	shift
	case $launcher in
	native) host "${user[@]}" "$@" ;;
	relay | handover | inspected)
		(cd "$work/home" && host "${user[@]}" "$program" run -q -p "$work/$launcher.json" \
			--resolver 198.51.100.53 --on-exit discard -- "$@")
		;;
	pasta) host "${user[@]}" timeout -k 1 20 pasta --config-net -q -- "$@" ;;
	slirp4netns) slirp timeout -k 1 20 "$@" ;;
	esac 2>>"$work/errors"
}

# measure NAME LAUNCHER: one figure
measure() {
	case $1 in
	connect) by "$2" "$work/connect" 203.0.113.10 6601 400 ;;
	connects) by "$2" wrk -t 1 -c 8 -d 1s -H 'Connection: close' http://203.0.113.10/index.html | sed -n 's/^Requests.sec: *//p' ;;
	stream)
		by "$2" iperf3 -c 203.0.113.10 -p 5201 -t 1 -J |
			python3 -c 'import json, sys; print(round(json.load(sys.stdin)["end"]["sum_received"]["bits_per_second"] / 8e6))'
		;;
	wrk) by "$2" wrk -t 1 -c 32 -d 1s http://203.0.113.10/index.html | sed -n 's/^Requests.sec: *//p' ;;
	redis)
		by "$2" redis-benchmark -h 203.0.113.10 -p "$redis_port" -t get -n 20000 -c 20 --csv |
			sed -n 's/^"GET","\([0-9.]*\)".*/\1/p'
		;;
	pgbench) by "$2" "$pgbench" -n -S -c 4 -T 1 | sed -n 's/^tps = \([0-9.]*\).*/\1/p' ;;
	*)
		echo "no measure $1" >&2
		return 2
		;;
	esac
}

median() {
	sort -g "$1" | awk '{ v[NR] = $1 } END { print NR ? v[int((NR + 1) / 2)] : "-" }'
}

for _ in $(seq "$ROUNDS"); do
	for m in "$@"; do
		for l in $LAUNCHERS; do
			measure "$m" "$l" >>"$work/$m.${l//\//_}" 2>>"$work/errors" || [ $? -ne 2 ] || exit 2
		done
	done
done
# Each figure, and what it is of the first launcher's.
printf '%-10s' measure
# shellcheck disable=SC2086
printf ' %20s' $LAUNCHERS
echo
for m in "$@"; do
	for l in $LAUNCHERS; do
		median "$work/$m.${l//\//_}"
	done | awk -v m="$m" 'BEGIN { printf "%-10s", m }
		NR == 1 { first = $1 }
		{ printf " %20s", ($1 + 0 && first + 0 ? sprintf("%.0f (%.2f)", $1, $1 / first) : "-") }
		END { print "" }'
done
