bats_require_minimum_version 1.5.0
load common

@test "the agent's exit code is ours" {
	for code in 0 1 7 120 255; do
		run box -- sh -c "exit $code"
		[ "$status" -eq "$code" ]
	done
}

@test "an agent ended by a signal: 128+n" {
	# shellcheck disable=SC2016 # for the shell inside
	run box -- sh -c 'kill -9 $$'
	[ "$status" -eq 137 ]
	# shellcheck disable=SC2016
	run box -- sh -c 'kill -TERM $$'
	[ "$status" -eq 143 ]
}

@test "a command that is not there: 127; one that cannot be executed: 126" {
	run -127 box -- no-such-command
	[[ $output == *"command not found"* ]]
	run -127 box -- ./no-such-file
	echo data >plain
	run box -- ./plain
	[ "$status" -eq 126 ]
	mkdir directory
	run box -- ./directory
	[ "$status" -eq 126 ]
}

@test "stdout and stdin are the agent's alone, bytes unchanged" {
	head -c 3000000 /dev/urandom >bytes
	box -- cat <bytes >copy
	cmp bytes copy
	[ -z "$(box -v -- true 2>/dev/null)" ]
}

@test "stderr is silent when nothing was denied or changed" {
	[ -z "$(box -- true 2>&1)" ]
}

@test "the agent gets no descriptor but the three" {
	run box -- sh -c 'ls /proc/self/fd | tr "\n" " "'
	[ "${lines[0]}" = "0 1 2 3 " ] # 3 is the directory that ls reads
}

@test "of files that stdin, stdout and stderr lead to only the content, and as the descriptors are open" {
	echo original >given && chmod 644 given && touch -d 2001-02-03 given
	cat >reach.py <<-'EOF'
		import errno, os, sys
		link = "/proc/self/fd/0"
		changes = [
		    lambda: os.open(link, os.O_WRONLY), lambda: os.open(link, os.O_RDWR),
		    lambda: os.open("/dev/stdin", os.O_WRONLY | os.O_TRUNC), lambda: os.truncate(link, 0),
		    lambda: os.open(f"/proc/{os.getpid()}/task/{os.getpid()}/fd/0", os.O_WRONLY | os.O_APPEND),
		    lambda: os.chmod(link, 0o600), lambda: os.fchmod(0, 0o600), lambda: os.fchown(1, os.getuid(), -1),
		    lambda: os.utime(link), lambda: os.utime(0), lambda: os.utime(1, ns=(1, 2)),
		    lambda: os.setxattr(0, "user.a", b"x"), lambda: os.setxattr("/proc/self/fd/1", "user.a", b"x"),
		    lambda: os.removexattr(1, "user.a")]
		for n, change in enumerate(changes):
		    try:
		        change()
		        sys.exit(f"change {n} was made")
		    except OSError as e:
		        if e.errno != errno.EROFS:
		            raise
		print(open(link).read(), end="", flush=True)
		# its own files are not meant, deleted ones neither
		own = os.open("own", os.O_CREAT | os.O_WRONLY); reader = os.open("own", os.O_RDONLY)
		os.fchmod(reader, 0o640); os.utime(reader); os.truncate(f"/proc/self/fd/{reader}", 3)
		os.unlink("own"); os.write(os.open(f"/proc/self/fd/{reader}", os.O_RDWR), b"x"); os.fchmod(reader, 0o600)
	EOF
	box -q -- sh -c 'python3 reach.py && echo reopened >>/dev/stdout && echo truncated >/dev/stderr' \
		<given >out 2>err
	[ "$(cat given)" = original ]
	[ "$(stat -c '%a %y' given | cut -c 1-14)" = "644 2001-02-03" ]
	[ "$(cat out)" = "$(printf 'original\nreopened')" ]
	[ "$(cat err)" = truncated ]
	run box -- true <.
	[ "$status" -eq 125 ]
	[[ $output == *"stdin is a directory of the host"* ]]
}

@test "the host's devices take writes, and keep their mode and owner" {
	run box -- sh -c 'echo x >/dev/null && head -c 1 /dev/zero | wc -c && chmod "$(stat -c %a /dev/full)" /dev/full'
	[ "$status" -ne 0 ]
	[ "${lines[0]}" = 1 ]
	[[ $output == *"Read-only file system"* ]]
}

@test "environment: VSANDBOX, the session, --env and no other VSANDBOX_" {
	export VSANDBOX_SECRET_FLAG=x MINE=ours
	run box --env A=1 --env MINE -- env
	[[ $output == *VSANDBOX=1* ]]
	[[ $output == *"VSANDBOX_SESSION=$(sessions)"* ]]
	[[ $output == *A=1* ]]
	[[ $output != *VSANDBOX_SECRET_FLAG* ]]
	run box --clean-env --env A=1 -- env
	[[ $output == *PATH=* && $output == *A=1* && $output != *MINE=* ]]
}

@test "a denial: the line, the action fails, exit code untouched" {
	run box -- sh -c 'echo x >b.secret; exit 4'
	[ "$status" -eq 4 ]
	[[ $output == *"vsandbox: denied file_write "*"/b.secret (rule "*", open.json:5, score "*") — vsandbox why --event "* ]]
	[ ! -e b.secret ]
}

@test "denials are rate-limited, and counted" {
	run box -- sh -c 'i=0; while [ $i -lt 1000 ]; do echo >$i.secret; i=$((i + 1)); done 2>/dev/null; true'
	shown=$(grep -c 'denied file_write' <<<"$output")
	[ "$shown" -ge 10 ]
	[ "$shown" -lt 500 ] # ten, and five a second
	[ $((shown + $(sed -n 's/.* \([0-9]*\) more denials.*/\1/p' <<<"$output" | paste -sd+))) -eq 1000 ]
}

@test "quiet silences, and errors still show" {
	run box -q -- sh -c 'touch new; (echo >x.secret) 2>/dev/null; exit 3'
	[ "$status" -eq 3 ]
	[ -z "$output" ]
	run "$VSANDBOX" run -q -p nosuch -- true
	[ -n "$output" ]
}

@test "the digest lists deletions first, and nothing is lost" {
	echo keep >found
	run box -- sh -c 'rm found; touch fresh'
	[ "$status" -eq 0 ]
	[ "$(cat found)" = keep ]
	[ ! -e fresh ]
	[[ $output == *"  D "*/found*"  A "*/fresh* ]]
	[[ $output == *"vsandbox diff"* ]]
}

@test "the digest names every deletion, or the directory it went with; of the rest a few and how many more" {
	mkdir -p gone/deep
	for i in $(seq 30); do echo x >"gone/deep/$i"; done
	for i in $(seq 25); do echo x >"file$i"; done
	run box -- sh -c 'rm -r gone file*; for i in $(seq 30); do touch new$i; done'
	[[ $output == *"  D $PWD/gone/ and 31 below it"$'\n'* ]]
	[ "$(grep -c "^  D $PWD/file" <<<"$output")" -eq 25 ]
	[ "$(grep -c "^  D " <<<"$output")" -eq 26 ]
	[ "$(grep -c "^  A " <<<"$output")" -eq 20 ]
	[[ $output == *"  and 10 more"* ]]
}

@test "on-exit discard keeps no layers" {
	box --on-exit discard -- touch fresh
	[ ! -e fresh ]
	[ ! -e "$XDG_STATE_HOME/vsandbox/sessions/$(sessions)/layers" ]
}

@test "status-fd tells start and end" {
	box --status-fd 9 -- sh -c 'exit 5' 9>status || true
	python3 - <<-'PY'
		import json
		started, ended = [json.loads(line) for line in open("status")]
		assert started["event"] == "started" and started["pid"] > 0
		assert ended["event"] == "exit" and ended["exit_code"] == 5 and ended["reason"] == "exit"
	PY
}

@test "json puts lines of JSON on stderr" {
	box --json -- sh -c '(echo >x.secret) 2>/dev/null; touch a' 2>lines
	python3 - <<-'PY'
		import json
		events = [json.loads(line) for line in open("lines")]
		assert [e["event"] for e in events] == ["started", "denied", "exit"]
		assert events[2]["changes"] == {"added": 1, "modified": 0, "deleted": 0}
	PY
}

@test "the timeout ends the tree with 124" {
	run timeout 300 "$VSANDBOX" run -p "$POLICY" --timeout 1 -- sleep 3600
	[ "$status" -eq 124 ]
	[[ $output == *"the time limit of 1 s is over"* ]]
}

@test "a hostile name on stderr is escaped" {
	run box -- sh -c '(echo x >"$(printf "a\033]0;boo\007\nb.secret")") 2>/dev/null'
	[[ $output != *$'\033]0'* ]]
	[[ $output == *'\x1b]0;boo'* ]]
}

@test "--no-read-events runs only where mounts enforce every read rule" {
	mkdir -p hidden && echo secret >hidden/file && echo secret >alone && echo open >other
	cat >whole.json <<-EOF
		{ "name": "whole", "blocked_resources": ["$PWD/hidden/**", "$PWD/alone"] }
	EOF
	run "$VSANDBOX" run -q -p ./whole.json --no-read-events -- sh -c 'cat hidden/file alone other'
	[[ $output != *secret* ]]
	[[ $output == *open* ]]
	run "$VSANDBOX" run -p dev --no-read-events -- true
	[ "$status" -eq 125 ]
	[[ $output == *"mounts cannot enforce"*".json:"* ]]
}

@test "the state directory and pid 1 are out of the agent's reach" {
	box -- sh -c "ls -A '$XDG_STATE_HOME/vsandbox' 2>/dev/null | wc -l" >count
	[ "$(cat count)" -eq 0 ]
	for link in exe cwd root/etc/passwd; do
		run box -- cat "/proc/1/$link"
		[ "$status" -ne 0 ]
		[[ $output == *"Permission denied"* ]]
	done
}

# A copy of the program for another user, in $dir, with a home that is his.
for_another_user() {
	dir=$BATS_TEST_TMPDIR/vs
	mkdir -p "$dir/build/release" "$dir/mounts" "$dir/home"
	cp "$VSANDBOX"* "$dir/build/release/"
	cp -r "$BATS_TEST_DIRNAME/../../policies" "$dir/"
	for d in "$dir" "$BATS_TEST_TMPDIR" "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR"; do chmod a+rx "$d"; done
	chown 12345 "$dir/home"
}

@test "a user's directories beside a mount have the number that they are listed with" {
	[ "$(id -u)" -eq 0 ] || skip "only root mounts"
	for_another_user
	beside=$(mktemp -d /tmp/vsandbox-beside.XXXXXX)
	mkdir -m 777 "$beside/mine" && mkdir "$beside/mine/mount" && chmod 755 "$beside"
	unshare --mount --propagation private sh -c '
		mount -t tmpfs vsandbox-test "$2/mine/mount" && cd "$1/home" &&
		exec setpriv --reuid 12345 --regid 12345 --clear-groups env HOME="$1/home" PATH=/usr/bin:/bin \
			XDG_STATE_HOME="$1/home" ../build/release/vsandbox run -q -- python3 -c "
import os, sys
os.mkdir(sys.argv[1] + \"/made\")
print([(e.name, e.inode() == os.lstat(e.path).st_ino) for e in os.scandir(sys.argv[1]) if e.name != \"mount\"])" "$2/mine"' \
		sh "$dir" "$beside" >out || true
	rm -rf "$beside"
	[ "$(cat out)" = "[('made', True)]" ]
}

@test "a chroot with its own /sys and /dev is in nobody's way" {
	[ "$(id -u)" -eq 0 ] || skip "only root mounts"
	for_another_user
	mkdir -p "$dir/home/root/sys" "$dir/home/root/dev"
	for as in "" "setpriv --reuid 12345 --regid 12345 --clear-groups"; do
		unshare --mount --propagation private sh -c '
			cd "$1/home" && mount --rbind /sys root/sys && mount --rbind /dev root/dev &&
			mount -t tmpfs vsandbox-test root/sys/kernel && mount -t tmpfs vsandbox-test root/dev/shm &&
			exec $2 env -i HOME="$1/home" PATH=/usr/bin:/bin ../build/release/vsandbox run -q -- ls root' \
			sh "$dir" "$as" >out
		[ "$(paste -s out)" = "$(printf 'dev\tsys')" ]
		rm -rf "$dir/home/.local" "$dir/home/.config"
	done
}

@test "mounts that come and go while a user's sandboxes start" {
	[ "$(id -u)" -eq 0 ] || skip "only root mounts"
	for_another_user
	cat >start.sh <<-'EOF'
		cd "$1"
		while [ ! -e done ]; do
			d=$(mktemp -d mounts/XXXXXX) && chmod 755 "$d" && mount -t tmpfs vsandbox-test "$d" && sleep 0.002
			umount -l "$d" && rmdir "$d"
		done &
		for i in $(seq 12); do
			setpriv --reuid 12345 --regid 12345 --clear-groups env HOME="$PWD/home" PATH=/usr/bin:/bin \
				XDG_STATE_HOME="$PWD/home" sh -c 'cd home && exec ../build/release/vsandbox run -q -- true'
		done
		touch done
		wait
	EOF
	# they live and die with this namespace
	run unshare -m --propagation private sh start.sh "$dir" 3>&-
	# (one that comes after the list was read is refused: its directory cannot be layered without it)
	[[ $output != *"No such file"* ]]
}

@test "with the host's network, its abstract sockets stay out of reach and own sockets work" {
	cat >own.py <<-'EOF'
		import socket
		s = socket.socket(socket.AF_UNIX); s.bind("own"); s.listen()
		c = socket.socket(socket.AF_UNIX); c.connect("own"); print("own reached")
		a = socket.socket(socket.AF_UNIX)
		try:
		    a.connect("\0vsandbox-bats-%s" % open("name").read().strip()); print("host reached")
		except OSError as e:
		    print(e.strerror)
	EOF
	echo $$ >name
	python3 - "$VSANDBOX" <<-'EOF' >out
		import socket, subprocess, sys
		s = socket.socket(socket.AF_UNIX)
		s.bind("\0vsandbox-bats-%s" % open("name").read().strip()); s.listen()
		subprocess.run([sys.argv[1], "run", "-q", "-p", "observe", "--net", "host", "--", "python3", "own.py"])
	EOF
	[[ $(cat out) == *"own reached"*"Connection refused"* ]]
}

@test "--direct: what changes there is real, what the policy blocks there stays blocked" {
	mkdir cache other
	echo key >cache/id_rsa
	ln -s "$PWD/cache" link
	box -q --direct "$PWD/link" -- sh -c 'echo x >cache/made; echo x >other/made; cat cache/id_rsa' || true
	[ -e cache/made ]
	[ ! -e other/made ]
	run "$VSANDBOX" run -q --direct "$PWD/link" -- cat cache/id_rsa
	[[ $output != *key* ]]
	for bad in "$PWD/none" "$PWD/*.d" "$PWD/cache/made"; do
		run "$VSANDBOX" run -q --direct "$bad" -- touch ran
		[ "$status" -eq 125 ]
		[[ $output == *direct* ]]
	done
	[ ! -e ran ]
}

@test "standard descriptors that are closed stay of no use, inside and outside" {
	for closed in '<&-' '>&-' '<&- >&-'; do
		run bash -c "'$VSANDBOX' run -q -p '$POLICY' -- sh -c 'exit 7' $closed"
		[ "$status" -eq 7 ] || { echo "$closed: $status $output"; return 1; }
	done
	run bash -c "'$VSANDBOX' run -q -p '$POLICY' -- /bin/echo hi >&-"
	[ "$status" -eq 1 ]
	[[ $output == *"Bad file descriptor"* ]]
	run bash -c "'$VSANDBOX' run -q -p '$POLICY' -- cat <&-"
	[ "$status" -eq 1 ]
	[[ $output == *"Bad file descriptor"* ]]
	run bash -c "'$VSANDBOX' ps >&-"
	[ "$status" -eq 125 ]
	[[ $output == *"could not write the output: Bad file descriptor"* ]]
}

@test "help that cannot be written is a failure" {
	run bash -c "'$VSANDBOX' run --help >/dev/full"
	[ "$status" -eq 125 ]
	[[ $output == *"could not write the output"* ]]
}
