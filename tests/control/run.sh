#!/bin/bash
# The control plane on both stores: the REST contract, and that nothing acknowledged is lost. TAP on stdout.
#
# SERVE  the program under test (default build/release/vsandbox-serve)
set -u
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
# shellcheck source=tests/lib/tap.sh
. "$top/tests/lib/tap.sh"
SERVE=${SERVE:-$top/build/release/vsandbox-serve}
work=$(mktemp -d "${TMPDIR:-/tmp}/control.XXXXXX") || exit 1
chmod 755 "$work"
server='' postgres=''
as=()
[ "$(id -u)" != 0 ] || as=(setpriv --reuid postgres --regid postgres --clear-groups)
pg=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)

stop_server() {
	[ -z "$server" ] || { kill "$1" "$server" 2>/dev/null && wait "$server" 2>/dev/null; }
	server=''
}
cleanup() {
	stop_server -TERM
	[ -z "$postgres" ] || "${as[@]}" "$pg/pg_ctl" -D "$work/pg/data" -m immediate stop >/dev/null 2>&1
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# start_server DB FLAG...: sets server, url and, at the first start of a store, key
start_server() {
	rm -f "$work/port"
	"$SERVE" --db "$1" --listen 127.0.0.1:0 --port-file "$work/port" "${@:2}" >"$work/out" 2>&1 &
	server=$!
	for _ in $(seq 100); do
		[ -s "$work/port" ] && break
		kill -0 "$server" 2>/dev/null || break
		sleep 0.1
	done
	url=http://127.0.0.1:$(cat "$work/port" 2>/dev/null)
	grep -q ^vtk_ "$work/out" && key=$(grep ^vtk_ "$work/out")
	[ -s "$work/port" ]
}

# suite NAME DB
suite() {
	if ! start_server "$2"; then
		tap_not_ok "$1: the server starts"
		tap_note_file "$work/out"
		return
	fi
	for part in api browser; do
		python3 "$here/$part.py" "$1" "$url" "$key"
	done >"$work/tap"
	grep -E '^(ok|not ok|#)' "$work/tap" >"$work/lines"
	while IFS= read -r line; do
		case $line in
		'not ok '*) tap_not_ok "${line#* - }" ;;
		'ok '*) tap_ok "${line#* - }" ;;
		*) echo "$line" ;;
		esac
	done <"$work/lines"
	tap_is "$1: the contract was walked to its end" "$(grep -c '^1\.\.' "$work/tap")" 2
	durability "$1" "$2"
	stop_server -TERM
}

# relay PART ARGUMENT...: a program's claims as those of this one
relay() {
	timeout 300 python3 "$here/$1.py" "${@:2}" >"$work/tap" 2>&1
	local status=$?
	while IFS= read -r line; do
		case $line in
		'not ok '*) tap_not_ok "${line#* - }" ;;
		'ok '*) tap_ok "${line#* - }" ;;
		1..*) ;;
		*) tap_note "${line#\# }" ;;
		esac
	done <"$work/tap"
	tap_is "$2: $1 was walked to its end" "$status $(grep -c '^1\.\.' "$work/tap")" '0 1'
}

# What was answered 200 is there after kill -9 in the middle of the stream.
durability() {
	python3 "$here/stream.py" "$url" "$key" >"$work/acknowledged" &
	local client=$!
	for _ in $(seq 300); do # in the middle of the stream, however slow the machine is
		[ "$(wc -l <"$work/acknowledged")" -ge 200 ] && break
		sleep 0.2
	done
	stop_server -KILL
	wait "$client"
	start_server "$2" || tap_not_ok "$1: starts again after kill -9"
	python3 "$here/stream.py" "$url" "$key" "$work/acknowledged" >"$work/lost"
	local count
	count=$(wc -l <"$work/acknowledged")
	if [ "$count" -gt 0 ] && [ ! -s "$work/lost" ]; then
		tap_ok "$1: kill -9 under load loses none of the acknowledged actions"
		tap_note "$count were acknowledged"
	else
		tap_not_ok "$1: kill -9 under load loses none of the acknowledged actions"
		tap_note "acknowledged $count, lost $(wc -l <"$work/lost")"
	fi
}

suite sqlite "$work/store.db"
relay limits sqlite "$SERVE" "$work/limits.db" "$work"
mkdir "$work/sqlite-alerts"
relay alerts sqlite "$SERVE" "$work/alerts.db" "$work/sqlite-alerts"
if start_server "$work/loris.db" --request-timeout 5; then
	relay loris sqlite "$url"
	stop_server -TERM
else
	tap_not_ok "sqlite: the server starts with a time for requests"
fi
tap_is "sqlite: nobody else can read the file" "$(stat -c %a "$work/store.db")" 600

if [ -z "$pg" ]; then
	tap_not_ok "postgresql is installed"
else
	mkdir "$work/pg" && chmod 755 "$work/pg"
	[ "$(id -u)" != 0 ] || chown postgres "$work/pg"
	if "${as[@]}" "$pg/initdb" -D "$work/pg/data" -A trust -U vs >"$work/initdb" 2>&1 &&
		"${as[@]}" "$pg/pg_ctl" -w -D "$work/pg/data" -o "-k $work/pg -h ''" -l "$work/pg/log" start >/dev/null; then
		postgres=1
		suite postgresql "postgresql:///postgres?host=$work/pg&user=vs"
		if "${as[@]}" "$pg/createdb" -h "$work/pg" -U vs limits &&
			"${as[@]}" "$pg/createdb" -h "$work/pg" -U vs alerts; then
			rm -f "$work"/limits.*
			mkdir "$work/postgresql-alerts"
			relay alerts postgresql "$SERVE" "postgresql:///alerts?host=$work/pg&user=vs" "$work/postgresql-alerts"
			relay limits postgresql "$SERVE" "postgresql:///limits?host=$work/pg&user=vs" "$work"
		else
			tap_not_ok "postgresql: databases of their own"
		fi
		two_servers=1
	else
		tap_not_ok "postgresql starts"
		tap_note_file "$work/initdb"
	fi
fi

# Two servers on one store see the same agents, policies and rates.
if [ -n "${two_servers:-}" ]; then
	db="postgresql:///postgres?host=$work/pg&user=vs"
	start_server "$db" && first=$url && one=$server
	start_server "$db" && second=$url && two=$server
	ask() { curl -s -m 10 -H "x-api-key: $key" "$@"; }
	ask -X PATCH "$first/api/agents/shared/profile" -d '{"blocked_resources":["/srv/*"]}' >/dev/null
	answer=$(ask "$second/api/check" -d '{"agent_id":"shared","action_type":"file_read","resource":"/srv/x"}')
	case $answer in
	*'"decision":"block"'*) tap_ok "a profile set at one server is enforced by the other" ;;
	*) tap_not_ok "a profile set at one server is enforced by the other" && tap_note "$answer" ;;
	esac
	for _ in 1 2 3 4 5 6 7 8; do
		ask "$first/api/actions" -d '{"agent_id":"shared","action_type":"file_read","resource":"/tmp/x"}' >/dev/null
	done
	ask -X PATCH "$first/api/agents/shared/profile" -d '{"max_actions_per_minute":5,"max_risk_score":1}' >/dev/null
	sleep 1.2
	answer=$(ask "$second/api/actions" -d '{"agent_id":"shared","action_type":"file_read","resource":"/tmp/x"}')
	case $answer in
	*'"decision":"ALERT"'*) tap_ok "actions logged at one server count at the other" ;;
	*) tap_not_ok "actions logged at one server count at the other" && tap_note "$answer" ;;
	esac
	"${as[@]}" "$pg/pg_ctl" -w -D "$work/pg/data" -m fast restart -o "-k $work/pg -h ''" -l "$work/pg/log" >/dev/null
	sleep 0.5
	answer=$(ask "$second/api/actions" -d '{"agent_id":"shared","action_type":"file_read","resource":"/tmp/x"}')
	case $answer in
	*'"logged":true'*) tap_ok "a restart of PostgreSQL is survived" ;;
	*) tap_not_ok "a restart of PostgreSQL is survived" && tap_note "$answer" ;;
	esac
	python3 "$here/stream.py" "$second" "$key" >"$work/acknowledged" &
	client=$!
	for _ in $(seq 300); do
		[ "$(wc -l <"$work/acknowledged")" -ge 200 ] && break
		sleep 0.2
	done
	"${as[@]}" "$pg/pg_ctl" -w -D "$work/pg/data" -m immediate restart -o "-k $work/pg -h ''" -l "$work/pg/log" >/dev/null
	kill "$client" 2>/dev/null
	wait "$client" 2>/dev/null
	for _ in $(seq 300); do
		ask -f -o /dev/null "$second/api/actions?limit=1" && break
		sleep 0.2
	done
	python3 "$here/stream.py" "$second" "$key" "$work/acknowledged" >"$work/lost"
	tap_is "PostgreSQL that dies under load loses none of the acknowledged actions" \
		"$? $(wc -l <"$work/lost") of $(($(wc -l <"$work/acknowledged") >= 200))" "0 0 of 1"
	tap_note "$(wc -l <"$work/acknowledged") were acknowledged"
	kill "$one" "$two"
	wait "$one" "$two" 2>/dev/null
	server=''
fi

if "$SERVE" --db "$work/x.db" --listen 0.0.0.0:0 >"$work/out" 2>&1; then
	tap_not_ok "it does not listen beyond loopback without TLS"
else
	tap_is "it does not listen beyond loopback without TLS" "$(grep -c tls-cert "$work/out")" 1
fi
tap_done
