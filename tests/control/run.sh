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
declare -A parts # of those that run beside: their pids
as=()
[ "$(id -u)" != 0 ] || as=(setpriv --reuid postgres --regid postgres --clear-groups)
pg=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)

stop_server() {
	[ -z "$server" ] || { kill "$1" "$server" 2>/dev/null && wait "$server" 2>/dev/null; }
	server=''
}
cleanup() {
	stop_server -TERM
	for p in "${parts[@]}"; do kill "$p" 2>/dev/null && wait "$p" 2>/dev/null; done # with their servers: timeout's group
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
	for _ in $(seq 1200); do
		[ -s "$work/port" ] && break
		kill -0 "$server" 2>/dev/null || break
		sleep 0.05
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

# within SECONDS COMMAND...: waits until it is true
within() {
	local until=$((SECONDS + $1))
	until "${@:2}"; do
		[ "$SECONDS" -lt "$until" ] || return 1
		sleep 0.1
	done
}

# begin PART NAME ARGUMENT...: a program that runs beside, on a server of its own or the one given
begin() {
	timeout 600 python3 "$here/$1.py" "${@:2}" >"$work/$1-$2.tap" 2>&1 &
	parts[$1-$2]=$!
}

# relay PART NAME: its claims as those of this program, once it has ended
relay() {
	local status line
	wait "${parts[$1-$2]}"
	status=$?
	unset "parts[$1-$2]"
	while IFS= read -r line; do
		case $line in
		'not ok '*) tap_not_ok "${line#* - }" ;;
		'ok '*) tap_ok "${line#* - }" ;;
		1..*) ;;
		*) tap_note "${line#\# }" ;;
		esac
	done <"$work/$1-$2.tap"
	tap_is "$2: $1 was walked to its end" "$status $(grep -c '^1\.\.' "$work/$1-$2.tap")" '0 1'
}

acknowledged() { [ "$(wc -l <"$work/acknowledged")" -ge "$1" ]; }

# What was answered 200 is there after kill -9 in the middle of the stream.
durability() {
	python3 "$here/stream.py" "$url" "$key" >"$work/acknowledged" &
	local client=$!
	within 120 acknowledged 200 # in the middle of the stream, however slow the machine is
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

start_postgres() {
	mkdir "$work/pg" && chmod 755 "$work/pg"
	[ "$(id -u)" != 0 ] || chown postgres "$work/pg"
	"${as[@]}" "$pg/initdb" -D "$work/pg/data" -A trust -U vs --no-sync >"$work/initdb" 2>&1 || return
	postgres=1
	"${as[@]}" "$pg/pg_ctl" -w -t 120 -D "$work/pg/data" -o "-k $work/pg -h '' -F" -l "$work/pg/log" start >/dev/null &&
		"${as[@]}" "$pg/createdb" -h "$work/pg" -U vs limits &&
		"${as[@]}" "$pg/createdb" -h "$work/pg" -U vs alerts &&
		"${as[@]}" "$pg/createdb" -h "$work/pg" -U vs retention &&
		"${as[@]}" "$pg/createdb" -h "$work/pg" -U vs partitions
}
if [ -z "$pg" ]; then
	tap_not_ok "postgresql is installed"
	postgres=''
elif ! start_postgres; then
	tap_not_ok "postgresql starts, with databases of their own"
	tap_note_file "$work/initdb"
	tap_done
	exit
fi

# What mostly waits, for a webhook that is tried again, goes on beside the rest.
mkdir "$work"/{limits,alerts,retention}-{sqlite,postgresql}
for part in limits alerts retention; do
	begin $part sqlite "$SERVE" "$work/$part.db" "$work/$part-sqlite"
	[ -z "$postgres" ] || begin $part postgresql "$SERVE" "postgresql:///$part?host=$work/pg&user=vs" "$work/$part-postgresql"
done
mkdir "$work/partitions"
[ -z "$postgres" ] || begin partitions postgresql "$SERVE" "postgresql:///partitions?host=$work/pg&user=vs" "$work/partitions"
suite sqlite "$work/store.db"
tap_is "sqlite: nobody else can read the file" "$(stat -c %a "$work/store.db")" 600
if start_server "$work/loris.db" --request-timeout 5; then
	begin loris sqlite "$url"
	relay loris sqlite
	stop_server -TERM
else
	tap_not_ok "sqlite: the server starts with a time for requests"
fi
[ -z "$postgres" ] || suite postgresql "postgresql:///postgres?host=$work/pg&user=vs"
for part in limits alerts retention; do
	relay $part sqlite
	[ -z "$postgres" ] || relay $part postgresql
done
[ -z "$postgres" ] || relay partitions postgresql

# Two servers on one store see the same agents, policies and rates.
if [ -n "$postgres" ]; then
	db="postgresql:///postgres?host=$work/pg&user=vs"
	start_server "$db" && first=$url && one=$server
	start_server "$db" && second=$url && two=$server
	ask() { curl -s -m 60 -H "x-api-key: $key" "$@"; }
	ask -X PATCH "$first/api/agents/shared/profile" -d '{"blocked_resources":["/srv/*"]}' >/dev/null
	answer=$(ask "$second/api/check" -d '{"agent_id":"shared","action_type":"file_read","resource":"/srv/x"}')
	case $answer in
	*'"decision":"block"'*) tap_ok "a profile set at one server is enforced by the other" ;;
	*) tap_not_ok "a profile set at one server is enforced by the other" && tap_note "$answer" ;;
	esac
	action='{"agent_id":"shared","action_type":"file_read","resource":"/tmp/x"}'
	ask "$first/api/actions" -d "[$(for _ in {1..29}; do echo "$action,"; done)$action]" >/dev/null
	ask -X PATCH "$first/api/agents/shared/profile" -d '{"max_actions_per_minute":20,"max_risk_score":1}' >/dev/null
	# The second looks once a second for what the first wrote; its own fifteen are fewer than the limit.
	for _ in {1..15}; do
		answer=$(ask "$second/api/actions" -d "$action")
		case $answer in *'"decision":"ALERT"'*) break ;; esac
		sleep 1
	done
	case $answer in
	*'"decision":"ALERT"'*) tap_ok "actions logged at one server count at the other" ;;
	*) tap_not_ok "actions logged at one server count at the other" && tap_note "$answer" ;;
	esac
	"${as[@]}" "$pg/pg_ctl" -w -t 120 -D "$work/pg/data" -m fast restart -o "-k $work/pg -h '' -F" -l "$work/pg/log" >/dev/null
	answer=$(ask "$second/api/actions" -d "$action")
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
	"${as[@]}" "$pg/pg_ctl" -w -t 120 -D "$work/pg/data" -m immediate restart -o "-k $work/pg -h ''" -l "$work/pg/log" >/dev/null
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
