#!/bin/bash
# The network of the sandbox beside native, pasta and slirp4netns, in one run, interleaved: connect(2)
# (median us of 400, each from a fresh socket) and one TCP stream of iperf3 (MB/s). The peer is in another
# network namespace, behind a pair of devices. Medians of ROUNDS (default 5). Needs root.
#
#   bench/net.sh
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top" || exit 1
VSANDBOX=${VSANDBOX:-$top/build/release/vsandbox}
BENCH_BIN=${BENCH_BIN:-$top/build/release/bench}
ROUNDS=${ROUNDS:-5}
LAUNCHERS=${LAUNCHERS:-native vsandbox}
work=$(mktemp -d) || exit 1
chmod 755 "$work"
# As an ordinary user: pasta does not run as root.
user=(setpriv --reuid 12345 --regid 12345 --clear-groups)
# shellcheck source=tests/net/internet.sh
. tests/net/internet.sh
trap 'internet_down; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
internet_up || exit 1
serve iperf3 -s -B 203.0.113.10 -p 5201
within 5 out nc -z 203.0.113.10 5201
cp "$BENCH_BIN/connect" "$work/connect"
mkdir -m 777 "$work/home"
export HOME=$work/home XDG_STATE_HOME=$work/home/state

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
	local launcher=$1
	shift
	case $launcher in
	native) host "${user[@]}" "$@" ;;
	vsandbox)
		(cd "$work/home" && host "${user[@]}" "$VSANDBOX" run -q -p dev --net allowlist --resolver 198.51.100.53 \
			--allow-hosts 203.0.113.10 --on-exit discard -- "$@")
		;;
	pasta) host "${user[@]}" timeout -k 1 10 pasta --config-net -q -- "$@" ;;
	slirp4netns) slirp timeout -k 1 10 "$@" ;;
	esac 2>>"$work/errors"
}

median() {
	sort -g "$1" | awk '{ v[NR] = $1 } END { print NR ? v[int((NR + 1) / 2)] : "-" }'
}

for _ in $(seq "$ROUNDS"); do
	for l in $LAUNCHERS; do
		by "$l" "$work/connect" 203.0.113.10 6601 400 >>"$work/connect.$l"
		by "$l" iperf3 -c 203.0.113.10 -p 5201 -t 1 -J |
			python3 -c 'import json, sys; print(round(json.load(sys.stdin)["end"]["sum_received"]["bits_per_second"] / 8e6))' \
				>>"$work/stream.$l" 2>>"$work/errors"
	done
done
printf '%-12s %12s %8s %14s %8s\n' launcher 'connect us' ratio 'stream MB/s' ratio
for l in $LAUNCHERS; do
	printf '%s %s %s\n' "$l" "$(median "$work/connect.$l")" "$(median "$work/stream.$l")"
done | awk 'NR == 1 { c = $2; s = $3 }
	{ printf "%-12s %12s %8s %14s %8s\n", $1, $2, ($2 > 0 ? sprintf("%.2f", $2 / c) : "-"), $3, ($3 > 0 ? sprintf("%.2f", $3 / s) : "-") }'
