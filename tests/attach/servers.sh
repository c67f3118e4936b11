# shellcheck shell=bash disable=SC2154
# Servers under load, attached to in the middle. Read by run.sh.

# A port for a server of ours in $port, until release_port: bound by somebody who does not listen, it is given to nobody
# else, and who asks for reuse, as servers do, may have it.
hold_port() {
	coproc PORT { python3 -c '
import socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
sys.stdin.read()'; }
	port_holder=$PORT_PID
	read -r port <&"${PORT[0]}"
}
release_port() {
	kill "$port_holder"
	wait "$port_holder" 2>/dev/null
}

listens() { (: >"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
no_save_runs() { redis-cli -p "$port" INFO persistence | grep -q rdb_bgsave_in_progress:0; }

# nginx with two workers: no request fails while wrk loads it, and afterwards a secret is a 403.
busy_nginx() {
	local i bad=0 pid port port_holder code wrk
	if ! command -v nginx >/dev/null || ! command -v wrk >/dev/null; then
		tap_skip "nginx under wrk" "no nginx or no wrk"
		return
	fi
	chmod 755 "$work"
	mkdir -p www && echo page >www/index.html && echo hidden >www/a.secret
	hold_port
	for ((i = 0; i < few; i++)); do
		cat >nginx.conf <<-CONF
			daemon off; pid $work/nginx.pid; worker_processes 2; error_log $work/nginx.log;
			events { worker_connections 256; }
			http {
				access_log off; client_body_temp_path $work/nb; proxy_temp_path $work/np;
				fastcgi_temp_path $work/nf; uwsgi_temp_path $work/nu; scgi_temp_path $work/ns;
				server { listen 127.0.0.1:$port; root $work/www; }
			}
		CONF
		nginx -c "$work/nginx.conf" -e "$work/nginx.log" 2>/dev/null &
		pid=$!
		within 60 listens "$port" || tap_note "nginx does not listen"
		wrk -t1 -c8 -d2 --timeout 60s "http://127.0.0.1:$port/" >wrk.out 2>&1 &
		wrk=$!
		sleep 0.3
		moment 1000
		attach "$pid" || { tap_note_file err; bad=$((bad + 1)); }
		wait "$wrk"
		if grep -q 'Socket errors\|Non-2xx' wrk.out || ! grep -q 'requests in' wrk.out; then
			bad=$((bad + 1))
			tap_note_file wrk.out
		fi
		code=$(python3 -c '
import http.client, sys
c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
c.request("GET", "/a.secret"); a = c.getresponse(); a.read()
c.request("GET", "/"); b = c.getresponse()
print(a.status, b.status, b.read().decode().strip())' "$port")
		[ "$code" = "403 200 page" ] || { bad=$((bad + 1)); tap_note "after the attach: $code"; }
		kill -QUIT "$pid"
		wait "$pid"
	done
	release_port
	tap_is "nginx with two workers under wrk: no request fails, then a secret is a 403" "$bad" 0
}

# redis under redis-benchmark: no error, the counter right; then it cannot save to a secret.
busy_redis() {
	local i bad=0 pid port port_holder load got
	if ! command -v redis-server >/dev/null || ! command -v redis-benchmark >/dev/null; then
		tap_skip "redis under redis-benchmark" "no redis"
		return
	fi
	hold_port
	for ((i = 0; i < few; i++)); do
		rm -rf redis && mkdir redis
		redis-server --port "$port" --bind 127.0.0.1 --dir "$work/redis" --save '' --enable-protected-configs yes >redis.log 2>&1 &
		pid=$!
		within 60 listens "$port" || tap_note_file redis.log
		redis-benchmark -p "$port" -c 8 -n 20000 -q INCR counter >bench.out 2>&1 &
		load=$!
		moment 300
		attach "$pid" || { tap_note_file err; bad=$((bad + 1)); }
		wait "$load" || bad=$((bad + 1))
		got=$(redis-cli -p "$port" GET counter)
		[ "$got" = 20000 ] || { bad=$((bad + 1)); tap_note "counter $got"; }
		redis-cli -p "$port" CONFIG SET dbfilename dump.secret >/dev/null
		# BGSAVE forks: the child is decided as well
		[ "$(redis-cli -p "$port" SAVE)" != OK ] || { bad=$((bad + 1)); tap_note "SAVE wrote the secret"; }
		redis-cli -p "$port" BGSAVE >/dev/null
		within 60 no_save_runs
		redis-cli -p "$port" CONFIG SET dbfilename dump.rdb >/dev/null
		[ "$(redis-cli -p "$port" SAVE)" = OK ] || { bad=$((bad + 1)); tap_note "SAVE fails where it may write"; }
		[ ! -e redis/dump.secret ] || { bad=$((bad + 1)); tap_note "a child wrote the secret"; }
		kill "$pid"
		wait "$pid"
	done
	release_port
	tap_is "redis under redis-benchmark: every INCR counted once, then SAVE is decided" "$bad" 0
}

# postgres with its processes under pgbench: no transaction fails, the sums agree; then COPY is decided.
busy_postgres() {
	local i bad=0 pid port port_holder load got bin as=()
	# Debian keeps what only a server runs out of PATH
	bin=$(dirname "$(command -v initdb || echo /usr/lib/postgresql/*/bin/initdb)")
	if [ ! -x "$bin/initdb" ] || ! command -v pgbench >/dev/null; then
		tap_skip "postgres under pgbench" "no postgres"
		return
	fi
	# postgres does not run as root: then it is another user's, whose powers its calls are made with
	if [ "$(id -u)" = 0 ]; then as=(setpriv --reuid nobody --regid nogroup --clear-groups); fi
	mkdir -p pg && chmod 755 "$work" && chmod 777 pg
	if ! "${as[@]}" "$bin/initdb" -D "$work/pg/data" -U u --no-sync -A trust >initdb.out 2>&1; then
		tap_skip "postgres under pgbench" "initdb: $(tail -n 1 initdb.out)"
		return
	fi
	hold_port
	for ((i = 0; i < few; i++)); do
		"${as[@]}" "$bin/postgres" -D "$work/pg/data" -p "$port" -h 127.0.0.1 -k "$work/pg" -F >pg.log 2>&1 &
		pid=$!
		within 60 psql -h 127.0.0.1 -p "$port" -U u -c 'select 1' postgres -o /dev/null 2>/dev/null || tap_note_file pg.log
		[ "$i" -gt 0 ] || pgbench -h 127.0.0.1 -p "$port" -U u -i -q postgres >/dev/null 2>&1
		# -n: else each run begins by emptying the history that is added up below
		pgbench -n -h 127.0.0.1 -p "$port" -U u -c 4 -j 2 -T 3 postgres >pgbench.out 2>&1 &
		load=$!
		sleep 0.3
		moment 1500
		attach "$pid" || { tap_note_file err; bad=$((bad + 1)); }
		if ! wait "$load" || grep -qi 'aborted\|error' pgbench.out; then
			bad=$((bad + 1))
			tap_note_file pgbench.out
		fi
		got=$(psql -h 127.0.0.1 -p "$port" -U u -At postgres -c 'select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history)')
		[ "$got" = t ] || { bad=$((bad + 1)); tap_note "the sums differ"; }
		psql -h 127.0.0.1 -p "$port" -U u postgres -c "copy (select 1) to '$work/pg/x.secret'" >copy.out 2>&1
		grep -q 'Permission denied' copy.out || { bad=$((bad + 1)); tap_note_file copy.out; }
		psql -h 127.0.0.1 -p "$port" -U u postgres -c "copy (select 1) to '$work/pg/x.plain'" >copy.out 2>&1 ||
			{ bad=$((bad + 1)); tap_note_file copy.out; }
		[ "$(stat -c %U "$work/pg/x.plain" 2>/dev/null)" = "$(stat -c %U "$work/pg/data")" ] ||
			{ bad=$((bad + 1)); tap_note "what it writes belongs to somebody else"; }
		rm -f "$work/pg/x.plain"
		kill "$pid"
		wait "$pid"
	done
	release_port
	tap_is "postgres with its processes under pgbench: no transaction lost, then COPY is decided" "$bad" 0
}
