load common

# Bombs of every kind inside, as root and as another user: the limit holds, the run ends in order,
# nothing of it is left. Monitors tell, once an episode.

OTHER_UID=12345

# limited UID LIMITS-JSON COMMAND...: a run under these limits; its exit code is in $status.
limited() {
	local uid=$1 limits=$2
	shift 2
	printf '{"name":"limited","max_actions_per_minute":1000000,"limits":%s}\n' "$limits" >"$BATS_TEST_TMPDIR/limited.json"
	if [ "$uid" = 0 ]; then
		run timeout 300 "$VSANDBOX" run -p "$BATS_TEST_TMPDIR/limited.json" "$@"
	else
		# Where another user may go; bats' own directory is closed to it.
		[ -n "${OTHER_HOME:-}" ] || OTHER_HOME=$(mktemp -d /tmp/vsandbox-limits.XXXXXX)
		mkdir -p "$OTHER_HOME/work" "$OTHER_HOME/state"
		cp "$BATS_TEST_TMPDIR/limited.json" "$OTHER_HOME"
		chown -R "$uid:$uid" "$OTHER_HOME"
		run setpriv --reuid "$uid" --regid "$uid" --clear-groups env HOME="$OTHER_HOME" USER=u \
			XDG_STATE_HOME="$OTHER_HOME/state" XDG_CONFIG_HOME="$OTHER_HOME/config" PATH=/usr/bin:/bin \
			sh -c 'cd "$HOME/work" && exec timeout 300 "$0" run -p "$@"' "$VSANDBOX" "$OTHER_HOME/limited.json" "$@"
	fi
}

teardown() {
	local pid
	for pid in $(jobs -pr); do kill -KILL "$pid" 2>/dev/null || true; done
	[ -z "${OTHER_HOME:-}" ] || rm -rf "$OTHER_HOME"
}

users() {
	if [ "$(id -u)" = 0 ]; then echo 0 "$OTHER_UID"; else id -u; fi
}

# No process of the boxes is left, and no control group of them.
left_nothing() {
	local id
	for id in $(sessions) $(ls "${OTHER_HOME:-/nonexistent}/state/vsandbox/sessions" 2>/dev/null); do
		[ -z "$(find /sys/fs/cgroup -maxdepth 3 -name "vsandbox-$id" 2>/dev/null)" ] || return 1
	done
	! pgrep -f "vsandbox-bomb-$$" >/dev/null
}

@test "a fork bomb stays within pids, and its end is the end of all of it" {
	for uid in $(users); do
		# $0 of every process carries the mark
		limited "$uid" '{"pids": 40, "wall_seconds": 2}' -- bash -c 'f() { f "$@" | f "$@" & }; f 2>/dev/null; sleep 60' "vsandbox-bomb-$$"
		[ "$status" -eq 124 ] || { echo "uid $uid: $status $output"; false; }
		eventually left_nothing
	done
}

@test "pids: a process more than allowed is refused, the others go on" {
	for uid in $(users); do
		limited "$uid" '{"pids": 12}' -- python3 -c '
import os, time
made = 0
try:
    for i in range(100):
        if os.fork() == 0:
            time.sleep(60); os._exit(0)
        made += 1
except OSError as e:
    print("refused after", made, e.strerror)
'
		[[ $output == *"refused after "*"Resource temporarily unavailable"* ]] || { echo "uid $uid: $output"; false; }
	done
}

@test "a memory bomb is ended by its control group; without one the run is refused" {
	bomb='b = []
while True: b.append(bytearray(8 << 20))'
	for uid in $(users); do
		limited "$uid" '{"memory": "96M", "wall_seconds": 30}' -- python3 -c "$bomb"
		if [[ $status -eq 125 ]]; then
			[[ $output == *"control group"* ]]
			[ "$uid" != 0 ] || skip "root can make no memory control group here"
		else
			# the kernel's SIGKILL, or the allocator's refusal: never the machine's memory
			[ "$status" -eq 137 ] || [[ $output == *MemoryError* ]] || { echo "uid $uid: $status $output"; false; }
		fi
	done
}

@test "an fd flood ends at open_files, and the monitor still answers" {
	for uid in $(users); do
		limited "$uid" '{"open_files": 64}' -- python3 -c '
import os, errno
fds = []
try:
    while True: fds.append(os.open("/etc/passwd", os.O_RDONLY))
except OSError as e:
    print(errno.errorcode[e.errno], len(fds) < 64)
for fd in fds: os.close(fd)
open("after", "w").write("x"); print(open("after").read())
'
		[[ $output == *"EMFILE True"*x* ]] || { echo "uid $uid: $output"; false; }
	done
}

@test "file_size: no file grows above it" {
	for uid in $(users); do
		limited "$uid" '{"file_size": "1M"}' -- sh -c 'dd if=/dev/zero of=big bs=64k count=64 2>/dev/null; stat -c %s big'
		[[ ${lines[*]} == *1048576* ]] || { echo "uid $uid: $output"; false; }
	done
}

@test "a full disk: the agent meets ENOSPC, the run ends in order and is accounted for" {
	[ "$(id -u)" = 0 ] || skip "mounts a small tmpfs, which only root can"
	cat >"$BATS_TEST_TMPDIR/full.sh" <<-'SH'
		mount -t tmpfs -o size=48m none "$XDG_STATE_HOME" || exit 99
		"$VSANDBOX" run -q -p "$POLICY" -- sh -c 'dd if=/dev/zero of=filler bs=1M 2>&1 | tail -n 1; dd if=/dev/zero of=more bs=1M count=1; echo "ended $?"'
		echo "code $?"
		for i in $(seq 300); do
			"$VSANDBOX" ps --json | grep -q '"state":"running"' || break
			sleep 0.1
		done
		"$VSANDBOX" ps --json
	SH
	export VSANDBOX POLICY
	run timeout 300 unshare -m sh "$BATS_TEST_TMPDIR/full.sh"
	[ "$status" -ne 99 ] || skip "no tmpfs can be mounted here"
	[[ $output == *"No space left"* ]] || { echo "$output"; false; }
	[[ $output == *'"state":"ended"'* || $output == *'"state":"crashed"'* ]] || { echo "$output"; false; }
}

@test "wall time: 124, whatever the agent ignores" {
	for uid in $(users); do
		limited "$uid" '{"wall_seconds": 1}' -- sh -c 'trap "" TERM INT HUP; setsid sleep 600 & while :; do sleep 600; done'
		[ "$status" -eq 124 ] || { echo "uid $uid: $status $output"; false; }
	done
}

@test "cpu: a limit of a tenth of a processor is kept, where a control group can be made" {
	[ "$(id -u)" = 0 ] || skip "control groups here are root's"
	limited 0 '{"cpu": 0.1, "wall_seconds": 120}' -- python3 -c '
import time
t = time.monotonic()
while time.monotonic() - t < 1.5: pass
print(round(time.process_time(), 2) < 0.75)
'
	[ "$status" -ne 125 ] || skip "no cpu control group here"
	[[ $output == *True* ]] || { echo "$output"; false; }
}

# monitored NAME MONITORS COMMAND...: starts a run under these monitors, with a state directory of its own
monitored() {
	local name=$1 monitors=$2
	shift 2
	printf '{"name":"monitored","max_actions_per_minute":1000000,"monitors":%s}\n' "$monitors" >"$BATS_TEST_TMPDIR/$name.json"
	XDG_STATE_HOME=$BATS_TEST_TMPDIR/$name timeout 300 "$VSANDBOX" run -p "$BATS_TEST_TMPDIR/$name.json" --workspace direct \
		"$@" 3>&- >"$name.out" 2>&1 </dev/null &
}

# How often the run @1 was said to be above a threshold, @2 in the words of it.
told() {
	cat "$BATS_TEST_TMPDIR/$1"/vsandbox/sessions/*/events.jsonl | grep '"kind":"sample"' | grep -c "${2-}"
}

told_times() {
	[ "$(told "$1" "$2")" -ge "$3" ]
}

@test "monitors: CPU, memory and processes above their thresholds are alerts, once an episode" {
	cat >hoard.py <<-'PY'
		import os, subprocess, time
		def wait(name, seconds):
		    until = time.monotonic() + seconds
		    while not os.path.exists(name) and time.monotonic() < until:
		        time.sleep(0.05)
		    return os.path.exists(name)
		hoard = bytearray(100 << 20)
		wait("first", 300)
		for again in range(10): # until the time below was long enough to be seen
		    del hoard
		    time.sleep(1.2)
		    hoard = bytearray(100 << 20)
		    if wait("second", 3):
		        break
		del hoard
		sleepers = [subprocess.Popen(["sleep", "300"]) for i in range(7)]
		wait("third", 300)
		for s in sleepers:
		    s.kill()
	PY
	monitored cpu '{"cpu": {"percent": 1, "seconds": 0.4}}' -- sh -c 'while [ ! -e enough ]; do :; done'
	monitored hoard '{"memory": {"bytes": "64M"}, "process_count": {"count": 5}, "cpu": false}' -- /usr/bin/python3 hoard.py
	eventually told_times hoard '"text":"memory above 64 MiB' 1
	: >first
	eventually told_times hoard '"text":"memory above 64 MiB' 2
	: >second
	eventually told_times hoard '"text":"processes above 5: [678]' 1
	eventually told_times cpu '"decision":"alert","reason":"threshold".*"text":"CPU above 1 %' 1
	sleep 1.2 # two looks more, and all is as before
	: >third
	: >enough
	wait
	[ "$(told hoard)" -eq 3 ]
	[ "$(told cpu)" -eq 1 ]
	grep -q "CPU above 1 %" cpu.out
	XDG_STATE_HOME=$BATS_TEST_TMPDIR/hoard "$VSANDBOX" show | grep -q 'decisions.*alert 3'
}

# A policy in @1's mode that @2's monitors say more of; the agent changes a file, passes the threshold, and counts.
in_mode() {
	printf '{"name":"monitored","mode":"%s","risk_threshold":1,"rollback_limit":1000,"max_actions_per_minute":1000000,"monitors":%s}\n' \
		"$1" "$2" >"$BATS_TEST_TMPDIR/monitored.json"
	cat >busy.py <<-'PY'
		import mmap, os, sys, time
		open("kept.txt", "w").write("changed")
		m = mmap.mmap(os.open("ticks", os.O_RDWR), 4096)
		many = [os.fork() or time.sleep(600) for i in range(int(sys.argv[1]))]
		if len(sys.argv) > 2:
		    hoard = bytearray(int(sys.argv[2]) << 20)
		while not os.path.exists("enough"):
		    m[0] = (m[0] + 1) % 256
		    if len(sys.argv) > 2 or many:
		        time.sleep(0.001)
		for pid in many:
		    os.kill(pid, 9)
	PY
	[ -e kept.txt ] || echo found >kept.txt
	[ -e ticks ] || head -c 4096 /dev/zero >ticks
}

# In the background: a test's own descriptor must not keep bats waiting.
start_monitored() {
	XDG_RUNTIME_DIR=$BATS_TEST_TMPDIR/run
	export XDG_RUNTIME_DIR
	[ -d "$XDG_RUNTIME_DIR" ] || mkdir -m 0700 "$XDG_RUNTIME_DIR"
	"$VSANDBOX" run -p "$BATS_TEST_TMPDIR/monitored.json" --workspace direct --timeout 300 "$@" 3>&- >out 2>err </dev/null &
	GATEWAY=$!
}

asked() {
	"$VSANDBOX" approve list | grep -q -- "$1"
}

asked_nothing() {
	[ -z "$("$VSANDBOX" approve list)" ]
}

samples() {
	"$VSANDBOX" logs --json | grep '"kind":"sample"'
}

@test "monitors, mode pause: all is frozen until a person allows it; asked once an episode" {
	in_mode pause '{"cpu": {"percent": 1, "seconds": 0.4}, "memory": false}'
	start_monitored --approve web -- /usr/bin/python3 busy.py 0
	eventually asked 'sample CPU above'
	eventually frozen
	run counting
	[ "$status" -ne 0 ]
	"$VSANDBOX" ps --json | grep -q '"live":{"paused":false,"frozen":true,"approvals":1}'
	run "$VSANDBOX" approve allow 1 --scope always # one action's business
	[ "$status" -eq 125 ]
	run counting
	[ "$status" -ne 0 ]
	"$VSANDBOX" approve allow 1
	eventually counting
	sleep 1.5 # still above, and the time it was frozen for has not ended the episode
	asked_nothing
	: >enough
	wait "$GATEWAY"
	samples >told
	grep -q '"decision":"pause","reason":"threshold","result":null' told
	grep -q '"decision":"allow","reason":"threshold"' told
	[ "$(wc -l <told)" -eq 2 ]
	grep -q 'approval 1 allowed by vsandbox approve: CPU above' err
	"$VSANDBOX" show | grep -q 'decisions.*allow [1-9]'
}

@test "monitors, mode pause: denied, unanswered or with nobody to ask the run ends with 121, and stands still until then" {
	in_mode pause '{"cpu": false, "memory": {"bytes": "64M"}}'
	start_monitored --approve web -- /usr/bin/python3 busy.py 0 100
	eventually asked 'sample memory above 64 MiB'
	"$VSANDBOX" approve deny 1
	await "$GATEWAY"
	[ "$status" -eq 121 ]
	grep -q 'memory above 64 MiB.*the run ends' err
	samples | grep -q '"decision":"pause","reason":"threshold","result":-13'
	in_mode pause '{"cpu": false, "memory": false, "process_count": {"count": 5}}'
	run "$VSANDBOX" run -p "$BATS_TEST_TMPDIR/monitored.json" --workspace direct --approve web --approval-timeout 1 -- /usr/bin/python3 busy.py 7
	[ "$status" -eq 121 ]
	[[ $output == *'nobody answered in time: processes above 5'* ]]
	run counting
	[ "$status" -ne 0 ]
	run "$VSANDBOX" run -p "$BATS_TEST_TMPDIR/monitored.json" --workspace direct --approve none -- /usr/bin/python3 busy.py 7
	[ "$status" -eq 121 ]
	[[ $output == *'processes above 5'*'the run ends'* && $output != *waits* ]]
	"$VSANDBOX" show --json | grep -q '"reason":"approval denied"'
}

allowed_twice() {
	[ "$(samples | grep -c '"decision":"allow"')" -ge 2 ]
}

@test "monitors, mode pause: allowed for the session it is asked no more, in no later episode" {
	in_mode pause '{"cpu": false, "memory": {"bytes": "64M"}}'
	cat >episodes.py <<-'PY'
		import os, time
		while not os.path.exists("enough"):
		    b = bytearray(100 << 20); time.sleep(1.2); del b; time.sleep(1.2)
		print("through")
	PY
	start_monitored --approve web -- /usr/bin/python3 episodes.py
	eventually asked 'sample memory'
	"$VSANDBOX" approve allow 1 --scope session
	eventually allowed_twice # a second question would stop it from counting on
	: >enough
	wait "$GATEWAY"
	grep -q through out
	[ "$(samples | grep -c '"decision":"pause"')" -eq 1 ]
}

@test "monitors, mode pause: a person's signal is acted on while the question stands, kill ends it" {
	in_mode pause '{"cpu": {"percent": 1, "seconds": 0.4}, "memory": false}'
	start_monitored --approve web -- /usr/bin/python3 busy.py 0
	eventually asked 'sample CPU'
	kill -TERM "$GATEWAY"
	await "$GATEWAY"
	[ "$status" -eq 143 ]
	start_monitored --approve web -- /usr/bin/python3 busy.py 0
	eventually asked 'sample CPU'
	local session
	session=$(session_of "$GATEWAY")
	"$VSANDBOX" kill "$session"
	await "$GATEWAY"
	[ "$status" -eq 137 ]
	[ "$(state_of "$session")" = ended ]
}

@test "monitors, mode rollback: the last changes are undone, and with nobody there the run ends with 120" {
	in_mode rollback '{"cpu": {"percent": 1, "seconds": 0.4}, "memory": false}'
	run timeout 300 "$VSANDBOX" run -p "$BATS_TEST_TMPDIR/monitored.json" -- /usr/bin/python3 busy.py 0
	[ "$status" -eq 120 ]
	[[ $output == *'CPU above'*'rolled back the last'* ]]
	samples | grep -q '"decision":"rollback","reason":"threshold"'
	run "$VSANDBOX" diff
	[[ $output != *kept.txt* ]]
}

@test "monitors: switched off, or below: silence" {
	monitored off '{"cpu": false, "memory": false, "process_count": false}' -- timeout 1.6 sh -c 'while :; do :; done'
	monitored below '{"process_count": {"count": 50}, "cpu": false}' -- sh -c 'sleep 1.6 & sleep 1.6'
	monitored disabled '{"process_count": {"enabled": false, "count": 1}, "cpu": false}' -- sh -c 'sleep 1.6 & sleep 1.6'
	wait
	for name in off below disabled; do
		[ "$(told $name)" -eq 0 ]
		grep -q '"kind":"session_end"' "$BATS_TEST_TMPDIR/$name"/vsandbox/sessions/*/events.jsonl
	done
}
