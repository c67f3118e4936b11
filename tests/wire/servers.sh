# Real database servers at $server_address (the loopback), in $work, owned by nobody who matters. Sourced.
# Where they are in another network namespace, the command that enters it stands in $server_in.
# Each start_* sets NAME_port and adds its pid to $server_pids; servers_stop ends them by pid.
# shellcheck shell=bash disable=SC2154
# initdb wants a user with a name; the packages made this one.
server_uid=$(id -u postgres)
server_gid=$(id -g postgres)
server_pids=()
server_address=${server_address:-127.0.0.1}
declare -p server_in >/dev/null 2>&1 || server_in=()

# become_server COMMAND...: as the servers' user; for a subshell, whose pid is then the server's
become_server() {
	if [ "$(id -u)" -eq 0 ]; then
		exec "${server_in[@]}" setpriv --reuid "$server_uid" --regid "$server_gid" --clear-groups \
			env -i HOME="$work" PATH=/usr/bin:/bin:/usr/sbin LC_ALL=C TZ=UTC "$@"
	else
		exec "${server_in[@]}" env -i HOME="$work" PATH=/usr/bin:/bin:/usr/sbin LC_ALL=C TZ=UTC "$@"
	fi
}

as_server() {
	(become_server "$@")
}

# free_port: one nobody listens at now, that no client is given by the kernel, and not given out before
free_port() {
	/usr/bin/python3 -c '
import random, socket, sys
with open(sys.argv[1], "a+") as given:
    given.seek(0)
    before = given.read().split()
    while True:
        port = random.randrange(10000, 32768)
        try:
            socket.socket().bind(("127.0.0.1", port))
        except OSError:
            continue
        if str(port) not in before:
            print(port, file=given)
            print(port)
            break' "$work/ports"
}

# wait_for SECONDS COMMAND...
wait_for() {
	local until=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		((SECONDS < until)) || return 1
		sleep 0.05
	done
}

server_dir() {
	mkdir -p "$work/$1"
	[ "$(id -u)" -ne 0 ] || chown "$server_uid:$server_gid" "$work/$1"
}

start_pg() {
	local bin
	bin=$(echo /usr/lib/postgresql/*/bin)
	pg_port=$(free_port)
	server_dir pg
	echo secret >"$work/pg-password"
	chmod 644 "$work/pg-password"
	as_server "$bin/initdb" -D "$work/pg/data" -U postgres -A scram-sha-256 \
		--pwfile="$work/pg-password" -E UTF8 --no-sync >"$work/pg-init.log" 2>&1 || return 1
	as_server openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=db.test \
		-keyout "$work/pg/data/server.key" -out "$work/pg/data/server.crt" 2>/dev/null
	echo 'host all all all scram-sha-256' >>"$work/pg/data/pg_hba.conf"
	become_server "$bin/postgres" -D "$work/pg/data" -p "$pg_port" -c listen_addresses="$server_address" \
		-c unix_socket_directories="$work/pg" -c fsync=off -c ssl=on \
		-c log_min_messages=warning >"$work/pg.log" 2>&1 &
	server_pids+=($!)
	export PGPASSWORD=secret PGUSER=postgres PGHOST=$server_address PGCONNECT_TIMEOUT=60
	wait_for 120 "${server_in[@]}" psql -p "$pg_port" -d postgres -c 'select 1'
}

start_mariadb() {
	mariadb_port=$(free_port)
	server_dir mariadb
	as_server mariadb-install-db --no-defaults --datadir="$work/mariadb/data" \
		--auth-root-authentication-method=normal --skip-test-db >"$work/mariadb-init.log" 2>&1 ||
		return 1
	become_server mariadbd --no-defaults --datadir="$work/mariadb/data" --port="$mariadb_port" \
		--bind-address="$server_address" --socket="$work/mariadb/s" --pid-file="$work/mariadb/pid" \
		--local-infile=1 >"$work/mariadb.log" 2>&1 &
	server_pids+=($!)
	wait_for 120 mariadb --no-defaults -S "$work/mariadb/s" -u root -e 'select 1' || return 1
	mariadb --no-defaults -S "$work/mariadb/s" -u root -e "
		create database d; create database e;
		create user u@'%' identified by 'secret'; grant all on *.* to u@'%'"
}

start_redis() {
	redis_port=$(free_port)
	server_dir redis
	become_server redis-server --port "$redis_port" --bind "$server_address" --protected-mode no --dir "$work/redis" --save '' \
		--enable-debug-command yes >"$work/redis.log" 2>&1 &
	server_pids+=($!)
	wait_for 120 "${server_in[@]}" redis-cli -h "$server_address" -p "$redis_port" ping
}

start_nginx() {
	nginx_port=$(free_port)
	nginx_tls_port=$(free_port)
	server_dir nginx
	as_server openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \
		-addext subjectAltName=DNS:localhost,DNS:other.test \
		-keyout "$work/nginx/key" -out "$work/nginx/cert" 2>/dev/null || return 1
	cat >"$work/nginx/conf" <<EOF
daemon off; pid $work/nginx/pid; error_log $work/nginx/errors;
events { }
http {
	access_log $work/nginx/access;
	client_body_temp_path $work/nginx/1; proxy_temp_path $work/nginx/2; fastcgi_temp_path $work/nginx/3;
	uwsgi_temp_path $work/nginx/4; scgi_temp_path $work/nginx/5;
	server {
		listen 127.0.0.1:$nginx_port; listen 127.0.0.1:$nginx_tls_port ssl;
		ssl_certificate $work/nginx/cert; ssl_certificate_key $work/nginx/key;
		location / { return 200 "path \$uri host \$host\n"; }
	}
}
EOF
	become_server nginx -c "$work/nginx/conf" -e "$work/nginx/errors" >"$work/nginx.log" 2>&1 &
	server_pids+=($!)
	wait_for 120 curl -sf "http://127.0.0.1:$nginx_port/"
}

# start_between NAME POLICY TLS LISTEN:SERVER:NOMINAL...: the inspector in between, with its log
start_between() {
	local name=$1 policy=$2 tls=$3
	shift 3
	mkfifo "$work/$name.in"
	sleep 1000000 >"$work/$name.in" &
	server_pids+=($!)
	"$BETWEEN" "$INSPECT" "$tls" "$policy" "$work/$name.log" "$@" \
		<"$work/$name.in" >"$work/$name.out" 2>&1 &
	server_pids+=($!)
	wait_for 60 grep -q ready "$work/$name.out"
}

# Nothing survives: PostgreSQL would wait for its clients.
servers_stop() {
	local pid
	for pid in "${server_pids[@]}"; do
		kill -TERM "$pid" 2>/dev/null
	done
	for pid in "${server_pids[@]}"; do
		wait_for 20 eval "! kill -0 $pid" || kill -KILL "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
}
