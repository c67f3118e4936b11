#!/bin/bash
# The client libraries for Python and C against a real server. TAP on stdout.
#
# SERVE  the server (default build/release/vsandbox-serve); B  the build directory with libvsandbox
set -u
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
# shellcheck source=tests/lib/tap.sh
. "$top/tests/lib/tap.sh"
B=${B:-$top/build/release}
SERVE=${SERVE:-$B/vsandbox-serve}
work=$(mktemp -d "${TMPDIR:-/tmp}/sdk.XXXXXX") || exit 1
server='' person='' clients=()
cleanup() {
	local p
	for p in $person "${clients[@]}"; do kill "$p" 2>/dev/null; done
	[ -z "$server" ] || { kill "$server" 2>/dev/null && wait "$server" 2>/dev/null; }
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

ask() {
	curl -sS --max-time 120 -H "x-api-key: $KEY" "$@"
}

"$SERVE" --db "$work/x.db" --listen 127.0.0.1:0 --port-file "$work/port" >"$work/out" 2>&1 &
server=$!
for _ in $(seq 1200); do
	[ ! -s "$work/port" ] || break
	kill -0 "$server" 2>/dev/null || break
	sleep 0.05
done
KEY=$(grep ^vtk_ "$work/out")
URL=http://127.0.0.1:$(cat "$work/port" 2>/dev/null)
if [ -z "$KEY" ]; then
	tap_not_ok "the server starts"
	tap_note_file "$work/out"
	tap_done
	exit
fi
AGENT_KEY=$(ask "$URL/api/keys" -d '{"name":"c","role":"agent"}' | jq -r .key)
export KEY URL AGENT_KEY

# Somebody who allows what agents *-allow ask, and denies *-deny.
answer_questions() {
	while :; do
		ask "$URL/api/approvals" | jq -r '.[] | select(.agent_id | test("-(allow|deny)$")) |
			"\(.id) \(.agent_id | sub(".*-"; ""))"' | while read -r id word; do
			ask "$URL/api/approvals/$id" -d "{\"decision\":\"$word\"}" >/dev/null
		done
		sleep 0.1
	done
}
answer_questions 2>/dev/null &
person=$!

# begin NAME COMMAND...: the C program, whose agents are NAME-*, beside all that follows; its pid in $begun
begin() {
	mkdir "$work/$1"
	NAME=$1 LD_LIBRARY_PATH=$B timeout 600 "${@:2}" "$B/tests/sdk/client" >"$work/$1/c" 2>"$work/$1/c.err" &
	begun=$!
	clients+=("$begun")
}
begin plain env
plain=$begun valgrind=''
if ! readelf -d "$B/libvsandbox.so" | grep -q 'libasan'; then
	begin valgrind valgrind -q --leak-check=full --show-leak-kinds=definite,possible --error-exitcode=9
	valgrind=$begun
fi

# unittest's verbose lines as claims
export PYTHONDONTWRITEBYTECODE=1
timeout 600 python3 "$top/sdk/python/tests/test_sdk.py" -v >"$work/python" 2>&1
ran=$(sed -n 's/^Ran \([0-9]*\) tests.*/\1/p' "$work/python")
while IFS= read -r line; do
	case $line in
	*' ... ok') tap_ok "python: ${line%% *}" ;;
	*) tap_not_ok "python: ${line%% *}" ;;
	esac
done < <(grep -E '^test_.* \.\.\. ' "$work/python")
tap_is "python: the suite ran to its end and passed" "$(tail -n 1 "$work/python")" OK
[ "$(tail -n 1 "$work/python")" = OK ] || tap_note_file "$work/python" 60
tap_is "python: every test is a line above" "$(grep -cE '^test_.* \.\.\. ' "$work/python")" "$ran"

# relay PREFIX FILE STATUS: another program's TAP as claims of this one; its stderr is FILE.err
relay() {
	while IFS= read -r line; do
		case $line in
		'ok '*) tap_ok "$1${line#* - }" ;;
		'not ok '*) tap_not_ok "$1${line#* - }" ;;
		'#'*) tap_note "$line" ;;
		esac
	done <"$2"
	tap_is "$1${2##*/}: it ends well, with its plan" "$3 $(grep -c '^1\.\.' "$2")" '0 1'
	[ "$3" = 0 ] || tap_note_file "$2.err" 40
}

wait "$plain"
relay "plain " "$work/plain/c" $?
rows() {
	ask "$URL/api/actions?agent_id=$1&limit=1000" | jq -c "$2"
}
tap_is "c: threads lose nothing, and the session is the sandbox's" \
	"$(rows plain-threads '[length, (map(.session_id) | unique)]')" '[100,["box-c"]]'
tap_is "c: a violation is stored as what it led to" \
	"$(rows plain-rollback 'map(select(.resource == "/srv/.env" and .action_type == "file_read") | .decision)')" \
	'["ROLLBACK"]'
tap_is "c: reversals are stored" "$(rows plain-rollback 'map(select(.action_type == "rollback")) | length')" 3
tap_is "c: the profile reached the server" \
	"$(ask "$URL/api/agents?limit=1000" | jq -c '.[] | select(.agent_id == "plain-lists") |
		[.allowed_action_types, .allowed_resources, .blocked_resources]')" \
	'[["file_read"],["/tmp/*"],["*.env"]]'
tap_is "c: a question that nobody answered is closed" \
	"$(ask "$URL/api/approvals?state=all&limit=1000" | jq -c 'map(select(.agent_id == "plain-nobody") | .state)')" \
	'["expired"]'
if [ -n "$valgrind" ]; then
	wait "$valgrind"
	relay "valgrind " "$work/valgrind/c" $?
else
	tap_skip "c: valgrind" "the library has sanitizers"
fi

timeout 300 python3 "$here/mcp.py" "$B/vsandbox-mcp" >"$work/mcp" 2>"$work/mcp.err"
mcp=$?
relay "" "$work/mcp" $mcp
timeout 300 python3 "$here/mcp.py" http >"$work/mcp-http" 2>"$work/mcp-http.err"
mcp=$?
relay "" "$work/mcp-http" $mcp

# What programs are built against.
tap_is "c: the shared library exports what the header declares, no more" \
	"$(nm -D --defined-only "$B/libvsandbox.so" | awk '$2 == "T" { sub("@.*", "", $3); print $3 }' | sort | tr '\n' ' ')" \
	"$(grep -oE '\bvs_[a-z_]+\(' "$top/sdk/c/vsandbox.h" | tr -d '(' | sort -u | tr '\n' ' ')"
tap_is "c: its soname" "$(readelf -d "$B/libvsandbox.so" | sed -n 's/.*soname: \[\(.*\)\].*/\1/p')" libvsandbox.so.0
if make -s -C "$top" install-sdk DESTDIR="$work/root" PREFIX=/usr >"$work/install" 2>&1; then
	export PKG_CONFIG_SYSROOT_DIR=$work/root PKG_CONFIG_PATH=$work/root/usr/lib/pkgconfig
	for kind in shared static; do
		link=()
		[ $kind = shared ] || link=("$work/root/usr/lib/libvsandbox.a" -lcurl -ljson-c -pthread)
		read -ra flags < <(PKG_CONFIG_ALLOW_SYSTEM_LIBS=1 pkg-config --cflags --libs vsandbox)
		[ $kind = shared ] || flags=("${flags[@]/-lvsandbox/}")
		# an empty word is no file
		read -ra flags <<<"${flags[*]}"
		if ! cc "$top/sdk/c/example.c" "${flags[@]}" "${link[@]}" -o "$work/example" 2>"$work/cc"; then
			tap_not_ok "c: the example is built, $kind, from what was installed"
			tap_note_file "$work/cc" 20
			continue
		fi
		tap_is "c: the example runs, $kind" "$(LD_LIBRARY_PATH=$work/root/usr/lib VAULTAK_API_URL=$URL \
			VSANDBOX_API_KEY=$KEY "$work/example" 2>&1 | sed 's/[0-9.]*$//')" '/tmp/vsandbox-example: risk '
		rm -f /tmp/vsandbox-example
	done
	tap_is "python: both modules are installed" "$(cd / && PYTHONPATH=$work/root/usr/lib/python3/dist-packages \
		python3 -c 'import vaultak, vsandbox; print(vaultak.Vaultak is vsandbox.Vaultak, vsandbox.__file__)')" \
		"True $work/root/usr/lib/python3/dist-packages/vsandbox/__init__.py"
else
	tap_not_ok "the libraries are installed"
	tap_note_file "$work/install" 20
fi
tap_done
