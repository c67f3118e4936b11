# shellcheck shell=sh
# An internet in two network namespaces: HOST, where vsandbox is started, and OUT behind a pair of
# devices, with a name server and others. Source it; internet_up, internet_down. Needs root.
#
#   203.0.113.10  2001:db8:1::10   good.example: http, git, redis, echo, sink
#   203.0.113.66  2001:db8:1::66   evil.example: must not be reached
#   203.0.113.99                   its router says that the host is unreachable
#   203.0.113.98                   nothing comes back
#   198.51.100.53                  the host's resolver

HOST=vsnh$$
OUT=vsno$$
PIDS=
work=${work:-} # the directory of the suite: made by whoever sources this

host() {
	ip netns exec "$HOST" "$@"
}

out() {
	ip netns exec "$OUT" "$@"
}

# serve COMMAND...: a server in OUT, ended with the internet. Not by out(), whose pid would be a shell's.
serve() {
	ip netns exec "$OUT" "$@" >>"$work/servers.log" 2>&1 &
	PIDS="$PIDS $!"
}

# serve_host COMMAND...: one in HOST.
serve_host() {
	ip netns exec "$HOST" "$@" >>"$work/servers.log" 2>&1 &
	PIDS="$PIDS $!"
}

internet_up() {
	ip netns add "$HOST" && ip netns add "$OUT" || return 1
	ip -n "$HOST" link add h0 type veth peer name o0 netns "$OUT" || return 1
	for side in "$HOST h0 2" "$OUT o0 1"; do
		# shellcheck disable=SC2086
		set -- $side
		ip netns exec "$1" sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0 \
			net.ipv6.conf.all.disable_ipv6=0 net.ipv4.ping_group_range='0 2147483647'
		ip -n "$1" link set lo up
		ip -n "$1" addr add "192.0.2.$3/24" brd + dev "$2"
		ip -n "$1" -6 addr add "2001:db8::$3/64" dev "$2" nodad
		ip -n "$1" link set "$2" up
	done
	ip -n "$HOST" route add default via 192.0.2.1
	ip -n "$HOST" -6 route add default via 2001:db8::1
	ip -n "$OUT" -6 addr add fe80::66/64 dev o0 nodad
	out sysctl -qw net.ipv4.ip_forward=1
	ip -n "$OUT" route add unreachable 203.0.113.99/32
	ip -n "$OUT" route add blackhole 203.0.113.98/32
	for address in 203.0.113.10/32 203.0.113.66/32 198.51.100.53/32 10.0.0.5/32 2001:db8:1::10/128 2001:db8:1::66/128; do
		ip -n "$OUT" addr add "$address" dev lo nodad 2>/dev/null ||
			ip -n "$OUT" addr add "$address" dev lo
	done
	serve dnsmasq -k --no-resolv --no-hosts --listen-address=198.51.100.53 --bind-interfaces --user=root \
		--pid-file= --address=/www.good.example/203.0.113.10 --host-record=good.example,203.0.113.10,2001:db8:1::10 \
		--cname=alias.good.example,good.example --host-record=four.good.example,203.0.113.10 \
		--host-record=rebind.good.example,169.254.169.254 --host-record=private.good.example,10.0.0.5 \
		--host-record=mixed.good.example,10.0.0.5 --host-record=mixed.good.example,203.0.113.10 \
		--host-record=box.internal,10.0.0.5 --host-record=evil.example,203.0.113.66 \
		--txt-record=good.example,a-text --log-queries --log-facility="$work/dns.log"
	mkdir -p "$work/www"
	echo hello >"$work/www/index.html"
	head -c 30000000 /dev/urandom >"$work/www/blob"
	git init -q --bare "$work/www/repo.git" && git -C "$work/www/repo.git" update-server-info
	cat >"$work/nginx.conf" <<-CONF
		daemon off; master_process off; pid $work/nginx.pid; error_log stderr;
		events { worker_connections 4096; }
		http { access_log off; server { listen 203.0.113.10:80; listen [2001:db8:1::10]:80; root $work/www; } }
	CONF
	serve nginx -e stderr -c "$work/nginx.conf"
	serve redis-server --bind 203.0.113.10 --port 6379 --save '' --protected-mode no --dir "$work"
	serve python3 tests/net/servers.py
	within 60 out python3 -c 'import socket
for p in (80, 6379, 6601, 7007): socket.create_connection(("203.0.113.10", p)).close()
socket.create_connection(("198.51.100.53", 53)).close()'
}

internet_down() {
	# shellcheck disable=SC2086
	[ -z "$PIDS" ] || kill $PIDS 2>/dev/null
	wait
	ip netns del "$HOST" 2>/dev/null
	ip netns del "$OUT" 2>/dev/null
}

# Waits up to @1 seconds until the rest of the line is true.
within() {
	tries=$(($1 * 20))
	shift
	until "$@" >/dev/null 2>&1; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || return 1
		sleep 0.05
	done
}
