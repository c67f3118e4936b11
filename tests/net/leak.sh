#!/bin/sh
# Ways out of the sandbox: each arrives where it should not when it is tried outside, and never from
# inside. TAP.
#
#   VSANDBOX=... NET_BIN=DIR tests/net/leak.sh [--uid N] [--handover] [ATTACK...]
#
# With --handover what may be reached is the host's own sockets in the hands of the attacker.
set -u
# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
# shellcheck source=tests/net/internet.sh
. tests/net/internet.sh
VSANDBOX=${VSANDBOX:-$PWD/build/release/vsandbox}
NET_BIN=${NET_BIN:-$PWD/build/release/tests/net}
uid=0
if [ "${1:-}" = --uid ]; then
	uid=$2
	shift 2
fi
handover=
if [ "${1:-}" = --handover ]; then
	handover='"good.example", "203.0.113.10"'
	shift
fi
if [ "$(id -u)" -ne 0 ]; then
	tap_skip 'nothing leaves the sandbox' 'network namespaces of the suite need root'
	tap_done
	exit
fi
work=$(mktemp -d) || exit 1
chmod 755 "$work"
run_socket=/run/vsandbox-leak-$$.sock
end() {
	internet_down
	rm -f "$run_socket"
	rm -rf "$work"
}
trap end EXIT
trap 'exit 1' INT TERM
internet_up || {
	tap_not_ok 'the internet of the suite is up'
	tap_note_file "$work/servers.log"
	tap_done
	exit 1
}
cp "$NET_BIN/leak" "$work/leak" || exit 1
mkdir -m 777 "$work/home"
: >"$work/hits"
: >"$work/ready"
ip netns exec "$OUT" python3 tests/net/witness.py o0 "$work/hits" >>"$work/ready" &
PIDS="$PIDS $!"
ip netns exec "$HOST" python3 tests/net/witness.py lo "$work/hits" @vsandbox-leak "$work/leak.sock" "$run_socket" >>"$work/ready" &
PIDS="$PIDS $!"
two_ready() { [ "$(grep -c ready "$work/ready")" -eq 2 ]; }
within 60 two_ready || {
	tap_not_ok 'the witnesses watch'
	tap_done
	exit 1
}
printf '{ "name": "leak", "extends": ["dev"], "network": { "handover": [ %s ] } }\n' "$handover" >"$work/leak.json"
export LEAK_SOCKET="$work/leak.sock" LEAK_RUN_SOCKET="$run_socket"

as_user() {
	if [ "$uid" -eq 0 ]; then
		host env HOME="$work/home" XDG_STATE_HOME="$work/home/state" "$@"
	else
		host setpriv --reuid "$uid" --regid "$uid" --clear-groups \
			env HOME="$work/home" XDG_STATE_HOME="$work/home/state" "$@"
	fi
}

# How many there were of all that was sent until now.
hits() {
	host python3 tests/net/mark.py "$work/hits.o0" "$work/hits.lo" || echo 'of the witnesses one sees nothing:'
	wc -l <"$work/hits"
}

# shellcheck disable=SC2046
[ $# -gt 0 ] || set -- $("$work/leak" | tr " " :)
for line in "$@"; do
	name=${line%:root}
	# Outside it must arrive, or the claim below says nothing. A race is won sooner or later.
	: >"$work/hits"
	for _ in $(seq 40); do
		LEAK_TRIES=500 host timeout 60 "$work/leak" "$name" >"$work/native" 2>&1
		came=$(hits)
		[ "$came" = 0 ] || break
	done
	if [ "$came" = 0 ]; then
		tap_skip "$name leaves nothing" "outside it does not arrive either: $(tail -n 1 "$work/native")"
		continue
	fi
	: >"$work/hits"
	(cd "$work/home" && as_user timeout 300 "$VSANDBOX" run -q -p "$work/leak.json" --net allowlist --resolver 198.51.100.53 \
		--allow-hosts good.example --allow-hosts 203.0.113.10:6601 -- "$work/leak" "$name") >"$work/inside" 2>&1
	began=$?
	got=$(hits)
	if [ "$began" -eq 125 ]; then # vsandbox's own: nothing was tried
		tap_not_ok "$name is tried inside"
		tap_note_file "$work/inside" 5
	elif [ "$got" = 0 ]; then
		tap_ok "$name leaves nothing"
		tap_note "$(tail -n 1 "$work/inside")"
	else
		tap_not_ok "$name leaves nothing"
		tap_note_file "$work/hits" 5
		tap_note_file "$work/inside" 5
	fi
done

# A socket of the host on stdin would be a way out that no namespace closes.
host python3 - "$VSANDBOX" "$work" >"$work/inherited" 2>&1 <<'PY'
import os, socket, subprocess, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
r = subprocess.run([sys.argv[1], "run", "-q", "--net", "none", "--", "true"], stdin=s,
                   env=dict(os.environ, HOME=sys.argv[2] + "/home", XDG_STATE_HOME=sys.argv[2] + "/home/root"),
                   cwd=sys.argv[2] + "/home", capture_output=True, text=True)
print(r.returncode, "stdin is a socket of the host" in r.stderr)
PY
tap_is 'a socket of the host on stdin is refused' "$(cat "$work/inherited")" '125 True'
tap_done
