#!/bin/bash
# The dashboard in a real browser, against a real server. TAP on stdout.
#
# SERVE  the program under test (default build/release/vsandbox-serve)
# SHOTS  a directory that keeps pictures of the views (default: none are kept)
set -u
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
# shellcheck source=tests/lib/tap.sh
. "$top/tests/lib/tap.sh"
SERVE=${SERVE:-$top/build/release/vsandbox-serve}

python=''
for p in python3 /usr/bin/python3; do # Debian's modules belong to Debian's Python
	"$p" -c 'import selenium' 2>/dev/null && python=$p && break
done
for tool in chromium chromedriver; do
	if ! command -v "$tool" >/dev/null; then
		tap_skip "the dashboard in a browser" "$tool is not installed (packaging/install-packages test)"
		tap_done
		exit
	fi
done
if [ -z "$python" ]; then
	tap_skip "the dashboard in a browser" "python3-selenium is not installed (packaging/install-packages test)"
	tap_done
	exit
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/dashboard.XXXXXX") || exit 1
server=''
cleanup() {
	[ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

"$SERVE" --db "$work/store.db" --listen 127.0.0.1:0 --port-file "$work/port" >"$work/out" 2>&1 &
server=$!
for _ in $(seq 1200); do
	[ -s "$work/port" ] && break
	kill -0 "$server" 2>/dev/null || break
	sleep 0.05
done
key=$(grep ^vtk_ "$work/out")
"$python" "$here/browser.py" "http://127.0.0.1:$(cat "$work/port")" "$key" "$work" "${SHOTS:-}"
