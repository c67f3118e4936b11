#!/bin/bash
# Real databases and real clients with the inspector in between, as TAP.
#
#   VSANDBOX=... BETWEEN=... INSPECT=... tests/wire/run.sh
#
# The ports of the servers and before them are declared by name.
# shellcheck disable=SC2154
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
work=$(mktemp -d) || exit 1
chmod 755 "$work"
# shellcheck source=tests/wire/servers.sh
. tests/wire/servers.sh
trap 'servers_stop; rm -rf "$work"' EXIT

# claim TEXT COMMAND...
claim() {
	local text=$1
	shift
	if "$@" >"$work/out" 2>&1; then
		tap_ok "$text"
	else
		tap_not_ok "$text"
		tap_note_file "$work/out" 20
	fi
}

# clients PART READ WRITE NATIVE: the lines of clients.py as claims
clients() {
	local line
	timeout 600 /usr/bin/python3 tests/wire/clients.py "$@" >"$work/clients" 2>"$work/errors"
	local rc=$?
	while read -r line; do
		case $line in
		"ok "*) tap_ok "${line#ok }" ;;
		*) tap_not_ok "${line#not ok }" ;;
		esac
	done <"$work/clients"
	if [ $rc -ne 0 ]; then
		tap_not_ok "$1 came to its end"
		tap_note_file "$work/errors" 20
	fi
}

pg() {
	psql -X -q -A -t -d postgres -p "$@"
}

refused() {
	"$@" 2>&1 | grep -q 'vsandbox: database_write refused'
}

claim 'PostgreSQL starts' start_pg
claim 'MariaDB starts' start_mariadb
claim 'Redis starts' start_redis
for n in pg mariadb redis; do
	for mode in read write whole; do
		declare "${n}_$mode=$(free_port)"
	done
done
claim 'the inspector starts' start_between read tests/wire/read.json refuse \
	"$pg_read:$pg_port:5432" "$mariadb_read:$mariadb_port:3306" "$redis_read:$redis_port:6379"
claim 'the inspector starts for writes' start_between write tests/wire/write.json refuse \
	"$pg_write:$pg_port:5432" "$mariadb_write:$mariadb_port:3306" "$redis_write:$redis_port:6379"
claim 'the inspector starts where TLS is whole' start_between whole tests/wire/read.json whole \
	"$pg_whole:$pg_port:5432" "$mariadb_whole:$mariadb_port:3306"

clients psycopg "$pg_read" "$pg_write" "$pg_port"
clients asyncpg "$pg_read" "$pg_write" "$pg_port"
clients pg_raw "$pg_read" "$pg_write" "$pg_port"
clients mysql "$mariadb_read" "$mariadb_write" "$mariadb_port"
clients redis "$redis_read" "$redis_write" "$redis_port"

claim 'psql: a query' pg "$pg_read" -c 'select 1'
claim 'psql: one of several statements is refused, and all' refused pg "$pg_read" -c 'select 1; drop table t'
claim 'psql: WITH … DELETE is refused' refused pg "$pg_read" \
	-c 'with x as (delete from t returning *) select * from x'
claim 'psql: EXPLAIN of a write is not' pg "$pg_read" -c 'explain delete from t'
claim 'psql: EXPLAIN ANALYZE is refused' refused pg "$pg_read" -c 'explain (analyze) delete from t'
claim 'psql: DO is refused' refused pg "$pg_read" -c "do 'begin null; end'"
claim 'psql: SELECT INTO is refused' refused pg "$pg_read" -c 'select 1 into y'
claim 'psql: COPY TO PROGRAM is refused' refused pg "$pg_read" -c "copy t to program 'cat'"
claim 'psql: a function that writes is refused' refused pg "$pg_read" -c 'select lo_create(0)'
claim 'psql: \gx, \d and variables work' eval "printf '%s\\n' '\\d' '\\d t' '\\set a 1' 'select :a \\gx' '\\df' |
	psql -X -v ON_ERROR_STOP=1 -d postgres -p $pg_read"
claim 'psql: what does not parse is refused, since the server might' refused pg "$pg_read" -c 'selec 1'
PGSSLMODE=require
export PGSSLMODE
claim 'psql: sslmode=require fails where TLS is refused' eval "! pg $pg_read -c 'select 1'"
claim 'psql: … and works where it is let through whole' pg "$pg_whole" -c 'select 1'
claim 'psql: … where writes are then unseen' pg "$pg_whole" -c 'create table whole (a int)'
PGSSLMODE=prefer
claim 'psql: sslmode=prefer falls back, and is seen' refused pg "$pg_read" -c 'create table x (a int)'
unset PGSSLMODE
claim 'pgbench initialises through the inspector' /usr/lib/postgresql/15/bin/pgbench -i -q -s 1 \
	-p "$pg_port" postgres
for mode in simple extended prepared; do
	claim "pgbench -S -M $mode, 4 clients" /usr/lib/postgresql/15/bin/pgbench -n -S -M $mode -c 4 -t 50 \
		-p "$pg_read" postgres
done
claim 'pgbench writes where writing is allowed' /usr/lib/postgresql/15/bin/pgbench -n -c 2 -t 20 \
	-p "$pg_write" postgres
claim 'pg_dump reads a database' pg_dump -p "$pg_read" -d postgres -f "$work/dump"
claim 'pg_dump is complete' grep -q 'PostgreSQL database dump complete' "$work/dump"

maria() {
	mariadb --no-defaults -h 127.0.0.1 -u u -psecret -P "$@"
}
claim 'mariadb: a query' maria "$mariadb_read" d -e 'select 1; show tables; \s'
claim 'mariadb: a write is refused' refused maria "$mariadb_read" d -e 'create table x (a int)'
claim 'mariadb: TLS is not offered' eval "! maria $mariadb_read --ssl-verify-server-cert -e 'select 1'"
claim 'mariadb: compression is not offered, and not missed' maria "$mariadb_read" -C -e 'select 1'
claim 'mariadb-dump reads a database' mariadb-dump --no-defaults -h 127.0.0.1 -u u -psecret -P "$mariadb_write" \
	--single-transaction --skip-lock-tables d

claim 'redis-cli: PING' eval "redis-cli -p $redis_read ping | grep -q PONG"
claim 'redis-cli: SET is refused' eval "redis-cli -p $redis_read set a b | grep -q NOPERM"
claim 'redis-benchmark: 16 in a pipeline' redis-benchmark -p "$redis_read" -t get -n 2000 -P 16 -q

# The whole way: a sandbox, its broker, the inspector, the monitor.
cat >"$work/box.json" <<EOF
{ "name": "wire-box", "extends": ["dev"],
  "rules": [ { "name": "no writes", "action_type": "database_write", "resource_pattern": "*", "effect": "block" } ],
  "network": { "mode": "allowlist", "host_ports": [ $pg_port, $mariadb_port, $redis_port ] } }
EOF
inside() {
	timeout 300 "${VSANDBOX:-build/release/vsandbox}" run -q -p "$work/box.json" -- "$@"
}
claim 'sandbox: psql reads' inside psql -X -p "$pg_port" -d postgres -c 'select 42'
claim 'sandbox: a write is refused by the rule' eval \
	"inside psql -X -p $pg_port -d postgres -c 'create table no (a int)' 2>&1 | grep -q 'ERROR: *no writes'"
claim 'sandbox: … and did not happen' eval "! pg $pg_port -c 'table no'"
claim 'sandbox: mariadb too' eval \
	"inside mariadb --no-defaults -h 127.0.0.1 -P $mariadb_port -u u -psecret -e 'drop database e' 2>&1 | grep -q 1142"
claim 'sandbox: redis too' eval "inside redis-cli -p $redis_port flushall | grep -q NOPERM"

# Requests: by method, host and path where the policy speaks of them.
claim 'nginx starts' start_nginx
cat >"$work/api.json" <<EOF
{ "name": "wire-api", "extends": ["dev"],
  "rules": [ { "name": "no admin", "action_type": "api_call", "resource_pattern": "http://*/admin*", "effect": "block" } ],
  "network": { "mode": "allowlist", "allow_hosts": [ "known.test" ], "host_ports": [ $nginx_port, $nginx_tls_port ] } }
EOF
# curl in the sandbox; what it prints
api() {
	timeout 300 "${VSANDBOX:-build/release/vsandbox}" run -q -p "$work/api.json" -- \
		curl -s -S -m 60 "$@" 2>&1
}
# says TEXT COMMAND...
says() {
	local text=$1
	shift
	"$@" >"$work/said" 2>&1
	cat "$work/said"
	grep -qF "$text" "$work/said"
}
status() {
	api -o /dev/null -w '%{http_code}' "$@"
}
at="http://127.0.0.1:$nginx_port"
tls="https://localhost:$nginx_tls_port" other="https://other.test:$nginx_tls_port"
claim 'http: a request that no rule refuses' says 'path /public host' api "$at/public?q=1"
claim 'http: a path that a rule refuses is 403 with its name' says 'vsandbox: no admin' api "$at/admin/x"
claim 'http: … behind an escape' says 'vsandbox: no admin' api "$at/%61dmin/x"
claim 'http: … behind two slashes' says 'vsandbox: no admin' api "$at//admin"
claim 'http: … behind dot segments it is 400' says 400 status --path-as-is "$at/a/../admin"
claim 'http: … with a method of its own' says 'vsandbox: no admin' api -X FROB "$at/admin"
claim 'http: … on a connection that was good before' says 'vsandbox: no admin' api "$at/public" "$at/admin"
claim 'http: another Host is decided as that host' says 403 status -H 'Host: other.test' "$at/public"
claim 'http: a body in chunks' says 'path /up' api -H 'Transfer-Encoding: chunked' --data-binary @/etc/services "$at/up"
claim 'http: two framings are 400' says 400 status -H 'Transfer-Encoding: chunked' -H 'Content-Length: 3' \
	-d abc "$at/up"
claim 'http/2 with prior knowledge is refused' eval "! api --http2-prior-knowledge $at/admin | grep -q 'path /admin'"
claim 'the server saw the rest' grep -q 'GET /public' "$work/nginx/access"
claim '… and none of what was refused' eval "! grep -qE 'admin' $work/nginx/access"
claim 'https: a name that the policy knows' says 'path /admin' api -k "$tls/admin"
claim 'https: another name in the hello is decided as that name' eval \
	"! api -k --connect-to other.test:$nginx_tls_port:127.0.0.1:$nginx_tls_port $other/ | grep -q path"
claim 'https: … and is in the log as that name' eval \
	"${VSANDBOX:-build/release/vsandbox} logs --json | grep -qF $other"

claim 'statements that passed unasked are counted in the log' \
	grep -qE '^repeated (redis|postgresql) .*[1-9][0-9]*$' "$work/read.log"
# What was asked stands in the log with its type and its database.
claim 'the log names the database' grep -q 'allow database_query postgresql://db.test:5432/postgres' \
	"$work/read.log"
claim 'the log has the text that was refused' grep -q 'block database_write mysql://db.test:3306/d .*drop table t' \
	"$work/read.log"
claim 'every inspector is still there' eval "! grep -q gone $work/*.out"
tap_done
