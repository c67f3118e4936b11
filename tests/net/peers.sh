#!/bin/bash
# Real servers in another network and real clients inside, by name, over the allowlist; relayed, then
# handed over. TAP.
#
#   VSANDBOX=... tests/net/peers.sh [--uid N]
#
# The ports of the servers are declared by name.
# shellcheck disable=SC2154
set -u
# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
# shellcheck source=tests/net/internet.sh
. tests/net/internet.sh
VSANDBOX=${VSANDBOX:-$PWD/build/release/vsandbox}
uid=0
[ "${1:-}" != --uid ] || uid=$2
if [ "$(id -u)" -ne 0 ]; then
	tap_skip 'peers by name' 'network namespaces of the suite need root'
	tap_done
	exit
fi
work=$(mktemp -d) || exit 1
chmod 755 "$work"
server_address=203.0.113.10 server_in=(ip netns exec "$OUT")
# shellcheck source=tests/wire/servers.sh
. tests/wire/servers.sh
end() {
	servers_stop
	internet_down
	rm -rf "$work"
}
trap end EXIT
trap 'exit 1' INT TERM
mkdir -m 700 "$work/home"
[ "$uid" -eq 0 ] || chown "$uid:$uid" "$work/home"

# sshd asks no name service who the user is, so it is root's; the key is the client's alone.
start_sshd() {
	ssh_port=2222
	mkdir -p /run/sshd "$work/ssh"
	ssh-keygen -q -t ed25519 -N '' -f "$work/ssh/host"
	ssh-keygen -q -t ed25519 -N '' -f "$work/home/key"
	[ "$uid" -eq 0 ] || chown "$uid:$uid" "$work/home/key"
	cp "$work/home/key.pub" "$work/ssh/keys"
	cat >"$work/ssh/config" <<-CONF
		Port $ssh_port
		ListenAddress $server_address
		HostKey $work/ssh/host
		AuthorizedKeysFile $work/ssh/keys
		PidFile none
		PermitRootLogin prohibit-password
		StrictModes no
		UsePAM no
	CONF
	serve /usr/sbin/sshd -D -e -f "$work/ssh/config"
	within 60 out nc -z "$server_address" "$ssh_port"
}

# All at once: each makes keys and files for seconds. Prints what failed; what each has learned stands in a file.
start_all() {
	local name
	for name in pg mariadb redis sshd; do
		(
			PIDS='' server_pids=()
			"start_$name" >"$work/$name.start" 2>&1 || echo "$name"
			{
				compgen -v | grep '_port$' | while read -r p; do echo "$p=${!p}"; done
				echo "PIDS=\"\$PIDS $PIDS\" server_pids+=(${server_pids[*]})"
			} >"$work/$name.started"
		) &
	done
	wait
}
internet_up || tap_note_file "$work/servers.log"
tap_is 'the servers start' "$(start_all)" ''
for name in pg mariadb redis sshd; do
	# shellcheck source=/dev/null
	. "$work/$name.started"
done
export PGPASSWORD=secret PGUSER=postgres PGDATABASE=postgres PGCONNECT_TIMEOUT=120 PGPORT=$pg_port PGHOST=good.example
git init -q --bare -b main "$work/ssh/repo.git"

policy() {
	cat >"$work/$1.json" <<-JSON
		{ "name": "peers", "extends": ["dev"], "max_actions_per_minute": 1000000, "rules": [ $3 ],
		  "network": { "allow_hosts": [ "good.example" ], "handover": [ $2 ] } }
	JSON
}
{
	cat /etc/passwd
	echo "u:x:$uid:$uid::$work/home:/bin/sh"
} >"$work/passwd"
policy relayed '' ''
policy handed '"good.example"' ''
policy inspected '' '{ "name": "no writes", "action_type": "database_write", "resource_pattern": "*", "effect": "block" }'

# A mirror of each: one package, made here.
mirror_apt() {
	mkdir -p "$work/deb/DEBIAN" "$work/www/apt" "$work/home/apt/lists/partial" "$work/home/apt/archives/partial" &&
		printf 'Package: from-mirror\nVersion: 1\nArchitecture: all\nMaintainer: u <u@x>\nDescription: x\n' \
			>"$work/deb/DEBIAN/control" &&
		dpkg-deb -b "$work/deb" "$work/www/apt/from-mirror.deb" >/dev/null || return
	{
		dpkg-deb -f "$work/www/apt/from-mirror.deb"
		printf 'Filename: ./from-mirror.deb\nSize: %s\n' "$(stat -c %s "$work/www/apt/from-mirror.deb")"
		printf 'SHA256: %s\n' "$(sha256sum <"$work/www/apt/from-mirror.deb" | cut -d' ' -f1)"
	} >"$work/www/apt/Packages"
	echo 'deb [trusted=yes] http://good.example/apt ./' >"$work/home/apt/sources.list"
}
mirror_npm() {
	mkdir -p "$work/npm/package" "$work/www/npm" &&
		echo '{ "name": "from-mirror", "version": "1.0.0" }' >"$work/npm/package/package.json" &&
		echo 'module.exports = "from the mirror"' >"$work/npm/package/index.js" &&
		tar -C "$work/npm" -czf "$work/www/npm/from-mirror.tgz" package || return
	cat >"$work/www/npm/from-mirror" <<-JSON
		{ "name": "from-mirror", "dist-tags": { "latest": "1.0.0" }, "versions": { "1.0.0": { "name": "from-mirror",
		  "version": "1.0.0", "dist": { "tarball": "http://good.example/npm/from-mirror.tgz",
		  "integrity": "sha512-$(openssl dgst -sha512 -binary "$work/www/npm/from-mirror.tgz" | base64 -w0)" } } } }
	JSON
}
mirror_apt && mirror_npm
tap_is 'the mirrors are made' "$?" 0
java=
if command -v javac >/dev/null; then
	mkdir "$work/java"
	cat >"$work/java/Get.java" <<-JAVA
		public class Get {
			public static void main(String[] a) throws Exception {
				System.out.print(new String(new java.net.URL(a[0]).openStream().readAllBytes()));
				java.net.http.HttpClient c = java.net.http.HttpClient.newHttpClient();
				System.out.print(c.send(java.net.http.HttpRequest.newBuilder(java.net.URI.create(a[0])).build(),
					java.net.http.HttpResponse.BodyHandlers.ofString()).body());
			}
		}
	JAVA
	javac -d "$work/java" "$work/java/Get.java" && java=$work/java
fi
[ "$uid" -eq 0 ] || chown -R "$uid:$uid" "$work/home"

as_user() {
	if [ "$uid" -eq 0 ]; then
		host env HOME="$work/home" XDG_STATE_HOME="$work/home/state" "$@"
	else
		# ssh wants a user with a name
		# shellcheck disable=SC2016
		host unshare -m --propagation private sh -c 'mount --bind "$1" /etc/passwd; shift; exec "$@"' sh "$work/passwd" \
			setpriv --reuid "$uid" --regid "$uid" --clear-groups \
			env HOME="$work/home" XDG_STATE_HOME="$work/home/state" PATH=/usr/bin:/bin:/usr/sbin USER=u "$@"
	fi
}

# is CLAIM WANT COMMAND...: what the command prints inside, under $how.
is() {
	local claim=$1 want=$2
	shift 2
	tap_is "$how: $claim" "$(cd "$work/home" && as_user timeout 300 "$VSANDBOX" run -q -p "$work/$how.json" \
		--resolver 198.51.100.53 --on-exit discard -- "$@" 2>&1)" "$want"
}

# /usr/bin/python3: the one that has the Debian packages.
python=/usr/bin/python3
ssh="ssh -p $ssh_port -i $work/home/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes"
export GIT_SSH_COMMAND=$ssh GIT_AUTHOR_NAME=u GIT_AUTHOR_EMAIL=u@x GIT_COMMITTER_NAME=u GIT_COMMITTER_EMAIL=u@x
maria=(mariadb --no-defaults -h good.example -P "$mariadb_port" -u u -psecret -N)
for how in relayed handed; do
	is 'psql' 42 psql -X -q -A -t -c 'select 42'
	is 'pgbench fills a database' '' sh -c '/usr/lib/postgresql/*/bin/pgbench -i -q -s 1 2>&1 | grep -i error'
	is 'pgbench, 8 clients' 'number of failed transactions: 0 (0.000%)' \
		sh -c '/usr/lib/postgresql/*/bin/pgbench -n -c 8 -t 20 2>&1 | grep failed'
	is 'psycopg2' 43 $python -c 'import psycopg2; c = psycopg2.connect(""); k = c.cursor(); k.execute("select 43"); print(k.fetchone()[0])'
	is 'asyncpg' 44 $python -c 'import asyncio, asyncpg
async def main(): print(await (await asyncpg.connect()).fetchval("select 44"))
asyncio.run(main())'
	is 'mariadb' 45 "${maria[@]}" -e 'select 45'
	is 'mariadb, a megabyte' 1000000 sh -c "\"\$@\" -e \"select repeat('x', 1000000)\" | tr -d '\\n' | wc -c" sh "${maria[@]}"
	is 'redis-cli' PONG redis-cli -h good.example -p "$redis_port" ping
	is 'redis-benchmark' 0 sh -c "redis-benchmark -h good.example -p $redis_port -t set,get -n 2000 -P 8 -q >/dev/null; echo \$?"
	is 'ssh' 'from there' sh -c "$ssh root@good.example echo from there"
	is 'ssh, a megabyte both ways' 1000000 sh -c "head -c 1000000 /dev/zero | $ssh root@good.example cat | wc -c"
	is 'git over ssh: clone, push' "$how" sh -c "git clone -q ssh://root@good.example:$ssh_port$work/ssh/repo.git c 2>/dev/null &&
		cd c && git checkout -q -B $how && echo $how >a && git add a && git commit -qm $how && git push -q origin $how &&
		git ls-remote --heads origin $how | sed 's|.*/||'"
	is 'node net' hello node -e 'const s = require("net").connect(80, "good.example", () => s.write("GET / HTTP/1.0\r\n\r\n"));
		let t = ""; s.on("data", d => t += d).on("end", () => console.log(t.split("\r\n\r\n")[1].trim()))'
	is 'node fetch' hello node -e 'fetch("http://good.example/").then(r => r.text()).then(t => console.log(t.trim()))'
	is 'python asyncio, ten at once' "$(printf 'hello %.0s' 1 2 3 4 5 6 7 8 9 10)" $python -c 'import asyncio
async def get():
    r, w = await asyncio.open_connection("good.example", 80)
    w.write(b"GET / HTTP/1.0\r\n\r\n")
    return (await r.read()).split(b"\r\n\r\n")[1].decode().strip()
async def main(): print(*await asyncio.gather(*(get() for _ in range(10))), end=" ")
asyncio.run(main())'
	is 'curl, 30 MB' "$(sha256sum <"$work/www/blob")" sh -c 'curl -sS http://good.example/blob | sha256sum'
	# shellcheck disable=SC2016
	is 'apt, from a mirror' 'from-mirror 1' sh -c 'cd ~/apt && set -- -qq -o Dir::State=$PWD -o Dir::State::Lists=$PWD/lists \
		-o Dir::Cache=$PWD -o Dir::Etc::SourceList=$PWD/sources.list -o Dir::Etc::SourceParts=/dev/null \
		-o APT::Sandbox::User=root && apt-get "$@" update && apt-get "$@" download from-mirror >/dev/null &&
		dpkg-deb -W --showformat "\${Package} \${Version}" from-mirror_1_all.deb'
	is 'npm, from a mirror' 'from the mirror' sh -c 'mkdir n && cd n && npm install --silent --no-audit --no-fund \
		--no-update-notifier --registry http://good.example/npm/ from-mirror >/dev/null && node -p "require(\"from-mirror\")"'
	[ -z "$java" ] || is 'java, URL and HttpClient' "$(printf 'hello\nhello')" java -Xshare:auto -cp "$java" Get http://good.example/
	is 'another host is not reached' 1 sh -c 'psql -h 203.0.113.66 -c "select 1" 2>&1 | grep -c "Operation not permitted"'
done
how=inspected
is 'psql reads' 46 psql -X -q -A -t -c 'select 46'
is 'psql does not write' 1 sh -c 'psql -X -c "create table no (a int)" 2>&1 | grep -c "no writes"'
is 'mariadb does not write' 1 sh -c '"$@" -e "create database no" 2>&1 | grep -c 1142' sh "${maria[@]}"
is 'redis does not write' 1 sh -c "redis-cli -h good.example -p $redis_port set a b | grep -c NOPERM"
tap_done
