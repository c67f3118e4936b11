#!/bin/sh
# The allowlisted network with real programs and servers: names, connections, datagrams, ports,
# sockets, and what the log says of them. TAP.
#
#   VSANDBOX=... NET_BIN=DIR tests/net/run.sh [--uid N] [--crowd CONNECTIONS]
#
# The crowd is 1,000 in the short form; 10,000 want a hard limit of more than 20,100 open files.
set -u
# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
# shellcheck source=tests/net/internet.sh
. tests/net/internet.sh
VSANDBOX=${VSANDBOX:-$PWD/build/release/vsandbox}
NET_BIN=${NET_BIN:-$PWD/build/release/tests/net}
uid=0
crowd=1000
while [ $# -gt 0 ]; do
	case $1 in
	--uid) uid=$2 ;;
	--crowd) crowd=$2 ;;
	*) exit 2 ;;
	esac
	shift 2
done
if [ "$(id -u)" -ne 0 ]; then
	tap_skip 'the allowlisted network' 'network namespaces of the suite need root'
	tap_done
	exit
fi
work=$(mktemp -d) || exit 1
chmod 755 "$work"
end() {
	internet_down
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
mkdir -m 777 "$work/home"
# The host's names: one is allowed, one is not. /etc/hosts is another file in this suite's mounts only.
printf '127.0.0.1 localhost\n::1 localhost\n203.0.113.10 from-file.good.example\n203.0.113.66 from-file.evil.example\n' >"$work/hosts"
cp tests/net/client.py "$work/client.py"
cp "$NET_BIN/messages" "$work/messages"

as_user() {
	if [ "$uid" -eq 0 ]; then
		host env HOME="$work/home" XDG_STATE_HOME="$work/home/state" PATH="$PATH" "$@"
	else
		host setpriv --reuid "$uid" --regid "$uid" --clear-groups \
			env HOME="$work/home" XDG_STATE_HOME="$work/home/state" PATH=/usr/bin:/bin:/usr/sbin "$@"
	fi
}

# box OPTIONS -- COMMAND: under the policy of the suite; what it says of denials goes to err.
box() {
	(cd "$work/home" && as_user timeout 300 "$VSANDBOX" run -p "$work/policy.json" --net allowlist \
		--resolver 198.51.100.53 "$@" 2>"$work/err")
}

cat >"$work/policy.json" <<'JSON'
{
	"name": "suite",
	"max_actions_per_minute": 1000000,
	"network": {
		"mode": "allowlist",
		"allow_hosts": [
			"good.example", "*.good.example", "box.internal", "203.0.113.99", "192.0.2.1", "10.9.9.9",
			"from-file.good.example", "203.0.113.10:7009"
		]
	}
}
JSON

# is CLAIM WANT COMMAND...: what the command prints inside. With a failure stands what was said beside.
is() {
	claim=$1 want=$2 failed=$TAP_FAILED
	shift 2
	tap_is "$claim" "$(box -q -- "$@" 2>&1)" "$want"
	[ "$TAP_FAILED" -eq "$failed" ] || tap_note_file "$work/err"
}

# The broker of the sandbox that runs, once those of earlier ones have gone: they end by themselves, after their sandbox.
broker_of() {
	within 60 one_broker
	brokers
}
brokers() {
	for p in $(pgrep -x vsandbox-net); do
		[ "$(ip netns identify "$p" 2>/dev/null)" != "$HOST" ] || echo "$p"
	done
}
one_broker() {
	[ "$(brokers | wc -l)" -eq 1 ]
}
no_broker() {
	[ -z "$(brokers)" ]
}

# The gateway of the sandbox that runs; the same in state @1 (proc_pid_stat(5)).
gateway() {
	for p in $(pgrep -x vsandbox); do
		[ "$(ip netns identify "$p" 2>/dev/null)" != "$HOST" ] || echo "$p"
	done
}
one_gateway() {
	[ "$(gateway | wc -l)" -eq 1 ]
}
gateway_in() {
	[ "$(sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$(gateway)/status")" = "$1" ]
}

# until_told OPTIONS -- COMMAND...: a box in the background, with its pid in $standing and its output in the file
# "standing", whose standard input ends with go_on.
until_told() {
	rm -f "$work/go"
	mkfifo "$work/go"
	: >"$work/standing"
	box "$@" <"$work/go" >"$work/standing" 2>&1 &
	standing=$!
	exec 9>"$work/go"
}
go_on() {
	exec 9>&-
	wait "$standing"
}

farewell() {
	out redis-cli -h 203.0.113.10 get farewell
}
farewell_is() {
	[ "$(farewell)" = "$1" ]
}

inside() {
	is "$1" "$2" python3 "$work/client.py" "$3"
}

# Names.
is 'a name has its addresses' '203.0.113.10' dig +short four.good.example
is 'both families are answered' '2001:db8:1::10' dig +short AAAA good.example
is 'aliases are followed' 'good.example.
203.0.113.10' dig +short alias.good.example
is 'other records pass' '"a-text"' dig +short TXT good.example
is 'over TCP as well' '203.0.113.10' dig +tcp +short four.good.example
is 'whatever server is asked, ours answers' '203.0.113.10' dig +short @8.8.8.8 four.good.example
is 'IPv6 servers too' '203.0.113.10' dig +short @2001:4860:4860::8888 four.good.example
box -q -- dig evil.example >"$work/out"
tap_is 'another name does not exist, and says why' \
	"$(grep -cE 'status: NXDOMAIN|EDE: 18 \(Prohibited\)' "$work/out")" 2
tap_is 'and nobody outside was asked for it' "$(grep -c evil "$work/dns.log")" 0
box -q -- dig +noedns +ignore evil.example >"$work/out"
tap_is 'without EDNS it is a plain NXDOMAIN' "$(grep -c 'status: NXDOMAIN' "$work/out")" 1
is 'a public name does not lead to a metadata address' '' dig +short rebind.good.example
is 'nor to a private one' '' dig +short private.good.example
is 'what is public of a mixed answer stays' '203.0.113.10' dig +short mixed.good.example
is 'a name of the site may be private' '10.0.0.5' dig +short box.internal
tap_is 'an address named by the policy may be answered' \
	"$(box -q --allow-hosts 10.0.0.0/8 -- dig +short private.good.example)" 10.0.0.5
is 'an address that was resolved has its name' 'four.good.example.' \
	sh -c 'dig +short four.good.example >/dev/null; dig +short -x 203.0.113.10'
is 'one that was not has none' '' dig +short -x 203.0.113.66
is 'localhost is answered' '127.0.0.1' dig +short localhost
box -q -- dig +tries=1 ANY good.example >"$work/out"
tap_is 'ANY is not implemented' "$(grep -c 'status: NOTIMP' "$work/out")" 1
printf 'nameserver 127.0.0.1\nsearch nowhere.example good.example\n' >"$work/resolv.conf"
# shellcheck disable=SC2016
tap_is 'a short name is looked for where the host looks' "$(cd "$work/home" && host unshare -m --propagation private sh -c '
	mount --bind "$1/resolv.conf" /etc/resolv.conf; shift; exec "$@"' sh "$work" \
	"$VSANDBOX" run -q -p "$work/policy.json" --net allowlist --resolver 198.51.100.53 -- \
	getent ahostsv4 four | awk '{ print $1, $3; exit }')" '203.0.113.10 four.good.example'
inside 'garbage is answered with FORMERR or not at all, and the resolver lives' 'formerr 203.0.113.10' garbage
# shellcheck disable=SC2016
(cd "$work/home" && host unshare -m --propagation private sh -c '
	mount --bind "$1/hosts" /etc/hosts; shift; exec "$@"' sh "$work" \
	"$VSANDBOX" run -q -p "$work/policy.json" --net allowlist --resolver 198.51.100.53 -- \
	sh -c 'dig +short from-file.good.example; dig +short from-file.evil.example; curl -sS http://from-file.good.example/' \
	>"$work/out" 2>&1)
tap_is 'names of the host file count when they are allowed' "$(cat "$work/out")" '203.0.113.10
hello'

# Programs.
is 'curl' hello curl -sS http://good.example/
is 'curl over IPv6' hello curl -sS -6 http://good.example/
is 'python urllib' hello python3 -c 'import urllib.request as u; print(u.urlopen("http://good.example/").read().decode().strip())'
is 'python asyncio' 'hello' python3 "$work/client.py" asyncio
is 'node fetch' hello node -e 'fetch("http://good.example/").then(r => r.text()).then(t => console.log(t.trim()))'
is 'nc' hello sh -c 'printf "GET / HTTP/1.0\r\n\r\n" | nc -N good.example 80 | tail -n 1'
is 'git over http' 'ok' sh -c 'git clone -q http://good.example/repo.git c 2>/dev/null && echo ok'
is 'redis-cli' PONG redis-cli -h good.example ping

# connect(2) itself.
inside 'a refusal is exact' 'ECONNREFUSED ECONNREFUSED' refused
inside 'so is an unreachable host' 'EHOSTUNREACH' unreachable
inside 'so is a missing route' 'ENETUNREACH' noroute
inside 'what is not allowed is EPERM, of either family, mapped or not' 'EPERM EPERM EPERM' denied
inside 'a non-blocking connect is in progress, then connected' 'EINPROGRESS 0' nonblocking
inside 'epoll registered before connect' 'out' epoll
inside 'the peer is the address that was asked for' "203.0.113.10 7007 10.255.255.254" names
inside 'a duplicate of the socket is connected as well' 'ok' dup
inside 'connected twice is EISCONN' 'EISCONN' twice
inside 'the loopback inside is its own' 'ok ECONNREFUSED' loopback
inside 'half-close goes both ways' 'same' halfclose
inside 'twenty megabytes come back unchanged' 'same' echo
inside 'a reset of the server is a reset here' 'ECONNRESET' slam
inside 'a reset here is a reset at the server' 'reset' reset
inside 'an end here is an end at the server' 'eof' eof
inside 'six hundred connections at once' '600' many

# parted WHO OPTIONS: what is heard of a server that says its last words while WHO (a function) is stopped, and
# resets at once.
parted() {
	who=$1
	shift
	until_told -q "$@" -- python3 "$work/client.py" parted
	within 60 grep -q met "$work/standing"
	stopped=$($who)
	kill -STOP "$stopped"
	out nc 203.0.113.10 7015 </dev/null
	kill -CONT "$stopped"
	go_on
	tail -n 1 "$work/standing"
}
tap_is 'the last words of a server that resets are heard' "$(parted broker_of)" 'last words ECONNRESET'
until_told -q -- python3 "$work/client.py" crowd "$crowd"
within 200 test -s "$work/standing"
tap_is "$crowd connections stand at once, and all are served" "$(head -n 1 "$work/standing")" $((3 * crowd))
hwm=$(awk '/^VmHWM/ { print $2 }' "/proc/$(broker_of)/status")
tap_is 'the broker keeps less than 4 kB for each' "$([ "$hwm" -lt $((8192 + 4 * crowd)) ] && echo yes || echo "$hwm")" yes
go_on
for _ in 1 2 3 4 5 6 7 8; do
	# shellcheck disable=SC2016
	box -q -- bash -c 'for i in 1 2 3 4; do printf "INCR farewell\r\n" >/dev/tcp/good.example/6379; done'
done
within 60 farewell_is 32
tap_is 'what programs say before they end arrives' "$(farewell)" 32
inside 'what servers send to those who do not read is bounded' bounded unread
inside 'a server inside on the same port is said, not met' 'EADDRNOTAVAIL' taken
inside 'a connection of a program that was killed has ended' 'eof' killed

# Datagrams.
inside 'sendto' 'one 203.0.113.10 7007' udp_sendto
inside 'connected' 'two' udp_connected
inside 'sendmsg and sendmmsg' 'three four' udp_messages
inside 'IPv6' 'six' udp6
for part in headers addresses vectors long last; do
	host "$work/messages" $part >"$work/native"
	tap_is "messages nobody sends end as outside: $part" \
		"$(box -q --allow-hosts 203.0.113.10 -- "$work/messages" $part)" "$(cat "$work/native")"
done
for part in headers addresses vectors long; do
	tap_is "so they do where the monitor sends them: $part" \
		"$(box -q --net host -- "$work/messages" $part)" "$(host "$work/messages" $part)"
done
is 'a vector of which one message cannot be read sends none' EFAULT "$work/messages" partial
tap_is 'where the kernel sends what comes before it' "$(host "$work/messages" partial)" one

# Sockets of the host in the agent's hands.
sed 's|"network": {|"network": { "handover": [ "*.good.example", "203.0.113.0/24", "good.example" ],|; s|"192.0.2.1"|"203.0.113.98"|' \
	"$work/policy.json" >"$work/handover.json"
# handed CLAIM WANT ARGUMENT...: as inside, where what may be reached is handed over.
handed() {
	claim=$1 want=$2
	shift 2
	tap_is "handed over: $claim" "$(box -q -p "$work/handover.json" -- python3 "$work/client.py" "$@" 2>&1)" "$want"
}
no='ENOPROTOOPT ENOPROTOOPT ENOPROTOOPT ENOPROTOOPT ENOPROTOOPT ENOPROTOOPT ENOPROTOOPT EPERM EPERM'
handed 'it leads nowhere else, and lives on' "host EISCONN EINVAL EINVAL $no EISCONN EISCONN EISCONN still there" handed
handed 'nor when it was reset' 'ECONNABORTED EINVAL EINVAL ECONNABORTED' handed_dead
handed 'nor while it is on its way' 'EINPROGRESS EALREADY host ECONNRESET EINVAL EINVAL' handed_connecting
handed 'nor in another process' 'host EISCONN EINVAL EINVAL' handed_passed
handed 'IPv6, mapped or not' 'host 2001:db8:1::10 x host ::ffff:203.0.113.10 x' handed6
handed 'a refusal is exact' 'ECONNREFUSED ECONNREFUSED' refused
handed 'also for who does not wait' 'EINPROGRESS ECONNREFUSED' late
handed 'an unreachable host' 'EHOSTUNREACH' unreachable
handed 'what is not allowed' 'EPERM EPERM EPERM' denied
tap_is 'handed over: what was set before is set' \
	"$(box -q -p "$work/handover.json" --allow-hosts 203.0.113.10 -- python3 "$work/client.py" options given)" \
	"$(host python3 "$work/client.py" options given)"
handed 'epoll sets know it' 'host [(60, True)] [True] [] True []' epoll_kept
handed 'what has copies elsewhere is relayed' 'inside x' copied
handed 'the own sockets of the sandbox are its own' 'usame usame ok ok ok ok ECONNREFUSED ok 1' own
handed 'half-close goes both ways' 'same' halfclose
handed 'a reset of the server' 'ECONNRESET' slam
handed 'a reset here' 'reset' reset
handed 'six hundred connections at once' '600' many
handed 'datagrams are relayed' 'two' udp_connected
box -p "$work/handover.json" -- python3 "$work/client.py" echo >/dev/null
tap_is 'handed over: the digest says so' \
	"$(grep -c 'four.good.example:7007: 1 connection, .*(1 handed over: bytes not counted)' "$work/err")" 1
tap_is 'what has to be looked into is relayed' "$(sed 's|"name": "suite",|&"rules": [ { "name": "w", "action_type": "database_write", "effect": "block", "resource_pattern": "*" } ],|' \
	"$work/handover.json" >"$work/both.json"; box -q -p "$work/both.json" -- python3 "$work/client.py" names)" \
	'203.0.113.10 7007 10.255.255.254'

# Where statements are looked for, bytes go another way; this protocol is none that is known.
sed 's|"name": "suite",|&"rules": [ { "name": "w", "action_type": "database_write", "effect": "block", "resource_pattern": "*" } ],|' \
	"$work/policy.json" >"$work/inspected.json"
inspected() {
	tap_is "looked into: $1" "$(box -q -p "$work/inspected.json" -- python3 "$work/client.py" "$3" 2>&1)" "$2"
}
inspector_of() {
	pgrep -P "$(broker_of)"
}
inspected 'half-close goes both ways' 'same' halfclose
inspected 'twenty megabytes come back unchanged' 'same' echo
inspected 'a reset of the server is a reset here' 'ECONNRESET' slam
inspected 'a reset here is a reset at the server' 'reset' reset
inspected 'an end here is an end at the server' 'eof' eof
inspected 'six hundred connections at once' '600' many
tap_is 'looked into: the last words of a server that resets are heard' \
	"$(parted inspector_of -p "$work/inspected.json")" 'last words ECONNRESET'
# How often a process has gone to sleep.
sleeps() {
	awk '/^voluntary/ { print $2 }' "/proc/$1/status"
}
until_told -q -p "$work/inspected.json" -- python3 "$work/client.py" talk
within 60 grep -qx 0 "$work/standing"
broker=$(broker_of)
before=$(sleeps "$broker")
echo >&9
within 120 grep -qx 2000 "$work/standing"
woken=$(($(sleeps "$broker") - before))
tap_is 'looked into: what goes on wakes the inspector, not the broker' "$([ "$woken" -lt 1000 ] && echo yes || echo "$woken")" yes
echo >&9
go_on

# Orders of a control plane, given to the session that runs as the uplink gives them.
until_told -q -- python3 "$work/client.py" udp_narrowed
within 60 grep -q before "$work/standing"
# shellcheck disable=SC2012
session=$(ls -td "$work"/home/state/vsandbox/sessions/*/ | head -n 1)
echo '{ "name": "orders", "rules": [ { "name": "no echo", "action_type": "network_request", "resource_pattern": "*:7007", "effect": "block" } ] }' \
	>"$session/orders.json"
tap_is 'orders are taken' "$(python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b"{\"schema_version\":1,\"request\":\"orders\"}\n")
print("\"ok\":true" in s.recv(1000).decode())' "$session/control.sock")" True
echo >&9
go_on
tap_is 'a destination of datagrams that they forbid is closed, also for who is connected to it' \
	"$(tail -n +2 "$work/standing")" 'EPERM EPERM EPERM
ECONNREFUSED'

# Ports.
serve_host python3 -m http.server --bind 127.0.0.1 -d "$work/www" 8099
within 60 host nc -z 127.0.0.1 8099
tap_is 'a port of the host is reached when it is given' \
	"$(box -q --host-port 8099 -- curl -sS http://localhost:8099/index.html)" hello
tap_is 'also where there is no other network' "$(cd "$work/home" && as_user timeout 300 "$VSANDBOX" run -q \
	-p "$work/policy.json" --net none --host-port 8099 -- curl -sS http://127.0.0.1:8099/index.html)" hello
tap_is 'and not when it is not' "$(box -q -- curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8099/)" 000
until_told -q --publish 8098:8000 -- sh -c 'python3 -m http.server --bind 127.0.0.1 8000 & read -r line; kill $!'
tap_is 'a published port is reached from the host' \
	"$(within 60 host curl -sf http://127.0.0.1:8098/ && host curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8098/)" 200
tap_is 'on its loopback only' "$(host curl -s -m 30 -o /dev/null -w '%{http_code}' http://192.0.2.2:8098/)" 000
go_on
box --publish 8099 -- true
tap_is 'a port that is taken stops the start' "$?" 125
tap_is 'and is named' "$(grep -c '127.0.0.1:8099' "$work/err")" 1

# Sockets of the host.
serve_host python3 -c 'import os, socket, sys
l = []
for p in sys.argv[1:]:
    s = socket.socket(socket.AF_UNIX); s.bind(p); os.chmod(p, 0o777); s.listen(); l.append(s)
while True:
    c, _ = l[0].accept(); c.send(b"granted"); c.close()' "$work/home/a.sock" "$work/home/b.sock"
within 60 test -S "$work/home/b.sock"
tap_is 'a socket that is granted answers' \
	"$(box -q --allow-unix "$work/home/a.sock" -- python3 "$work/client.py" unix "$work/home/a.sock")" granted
tap_is 'its neighbour does not' \
	"$(box -q --allow-unix "$work/home/a.sock" -- python3 "$work/client.py" unix "$work/home/b.sock")" ECONNREFUSED
# shellcheck disable=SC2016
tap_is 'the grant is in the log' "$(as_user sh -c 'cat "$XDG_STATE_HOME"/vsandbox/sessions/*/events.jsonl' |
	grep -c '"protocol":"unix"')" 1
box --allow-unix "$work/policy.json" -- true
tap_is 'what is no socket is not granted' "$? $(grep -c 'is no socket' "$work/err")" '125 1'

# The log.
box --allow-hosts 203.0.113.10:7007 -- python3 "$work/client.py" echo raw >/dev/null
tap_is 'the digest lists what was reached' \
	"$(grep -c '203.0.113.10:7007: 1 connection, 20.0 MB sent, 20.0 MB received' "$work/err")" 1
tap_is 'so does show' "$(cd "$work/home" && as_user "$VSANDBOX" show | grep -c 'reached .*7007: 1 connection, 20.0 MB')" 1
tap_is 'the chain of the log is whole' "$(cd "$work/home" && as_user "$VSANDBOX" audit verify >/dev/null 2>&1; echo $?)" 0

# The broker: there when it is needed.
until_told -q -- sh -c 'echo up; read -r line; dig +short four.good.example; read -r line'
within 60 grep -q up "$work/standing"
within 60 no_broker
tap_is 'where nobody has asked for anything there is no broker' "$(brokers)" ''
echo >&9
within 60 grep -q 203.0.113.10 "$work/standing"
broker=$(broker_of)
tap_is 'the broker holds no power' \
	"$(sed -nE 's/^(CapEff|Seccomp|NoNewPrivs):\t/\1 /p' "/proc/$broker/status" | tr '\n' ' ')" \
	'CapEff 0000000000000000 NoNewPrivs 1 Seccomp 2 '
tap_is 'as root it is nobody' "$(awk '/^Uid/ { print $2 }' "/proc/$broker/status")" \
	"$([ "$uid" -eq 0 ] && echo 65534 || echo "$uid")"
go_on
within 60 test ! -e "/proc/$broker"
tap_is 'it ends with the session' "$([ -e "/proc/$broker" ] && echo lives)" ''
until_told -- python3 "$work/client.py" orphan
within 60 grep -q connected "$work/standing"
kill -9 "$(broker_of)"
go_on
tap_is 'when it dies connections fail, and so does every later connect' "$(tail -n 1 "$work/standing")" 'lost ENETDOWN'
tap_is 'and the user is told' "$(grep -c 'the network broker died' "$work/err")" 1
mkdir -m 777 "$work/home/real"
until_told -q --direct "$work/home/real" -- sh -c 'echo up; read -r line'
within 60 grep -q up "$work/standing"
tap_is 'where writes are real it is there before the agent' "$(within 60 one_broker && echo yes)" yes
go_on

# The programs in a directory of their own, to be changed while a sandbox runs.
mkdir "$work/bin"
cp "$VSANDBOX" "$(dirname "$VSANDBOX")/vsandbox-net" "$work/bin"
cp "$VSANDBOX" "$work/bin/other" # which is no broker
installed=$VSANDBOX VSANDBOX=$work/bin/vsandbox
until_told -q -- sh -c 'echo up; read -r line; dig +short four.good.example'
within 60 grep -q up "$work/standing"
mv "$work/bin/other" "$work/bin/vsandbox-net"
go_on
tap_is 'its program is the one of the start' "$(tail -n 1 "$work/standing")" 203.0.113.10
cp "$(dirname "$installed")/vsandbox-net" "$work/bin"
# shellcheck disable=SC2016
until_told -- sh -c 'echo up; read -r line; exec python3 "$1" unreachable' sh "$work/client.py"
within 60 grep -q up "$work/standing"
chmod 0 "$work/bin/vsandbox-net"
go_on
tap_is 'when it cannot be started connections fail' "$(tail -n 1 "$work/standing")" ENETDOWN
tap_is 'and the user is told why' \
	"$(grep -c 'the network broker cannot be started (cannot start vsandbox-net: Permission denied): every' "$work/err")" 1
VSANDBOX=$installed

# Who starts it is stopped: by somebody, then with the agent.
# shellcheck disable=SC2016
until_told -- sh -c 'echo up; read -r line; exec python3 "$1" unreachable' sh "$work/client.py"
within 60 grep -q up "$work/standing"
within 60 one_gateway
gateway=$(gateway)
kill -STOP "$gateway"
echo >&9
within 60 grep -q ENETDOWN "$work/standing"
kill -CONT "$gateway"
go_on
tap_is 'when it does not get ready connections fail' "$(tail -n 1 "$work/standing")" ENETDOWN
tap_is 'and the user is told so' "$(grep -c 'the network broker does not get ready' "$work/err")" 1
# shellcheck disable=SC2016
until_told -q -- sh -c 'exec 3<&0; (read -r line <&3; dig +short four.good.example) & kill -STOP $$; wait'
within 60 gateway_in T
gateway=$(gateway)
echo >&9
tap_is 'what goes on while the agent is stopped has its network' \
	"$(within 60 grep -x 203.0.113.10 "$work/standing" && cat "$work/standing")" 203.0.113.10
kill -CONT "$gateway"
go_on
tap_done
