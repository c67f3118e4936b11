# What every file of tests needs: the program, a state directory and a workspace of its own.

VSANDBOX=${VSANDBOX:-$PWD/build/release/vsandbox}

setup() {
	export XDG_STATE_HOME=$BATS_TEST_TMPDIR/state XDG_CONFIG_HOME=$BATS_TEST_TMPDIR/config
	mkdir -p "$XDG_STATE_HOME" "$XDG_CONFIG_HOME" "$BATS_TEST_TMPDIR/work"
	cd "$BATS_TEST_TMPDIR/work" || return 1
	cat >"$BATS_TEST_TMPDIR/open.json" <<-'JSON'
		{
			"name": "open",
			"description": "everything but *.secret",
			"max_actions_per_minute": 1000000,
			"blocked_resources": ["*.secret"]
		}
	JSON
	POLICY=$BATS_TEST_TMPDIR/open.json
}

# What a test left running: a gateway takes its tree with it.
teardown() {
	local pid
	for pid in $(jobs -pr); do kill -KILL "$pid" 2>/dev/null || true; done
}

# The sandbox under test, with the open policy.
box() {
	"$VSANDBOX" run -p "$POLICY" "$@"
}

sessions() {
	ls "$XDG_STATE_HOME/vsandbox/sessions" 2>/dev/null
}

state_of() {
	"$VSANDBOX" ps --json | python3 -c '
import json, sys
for s in json.load(sys.stdin)["sessions"]:
    if s["id"] == sys.argv[1]:
        print(s["state"])' "$1"
}

# A process that session.json names: gateway, monitor.
process_of() {
	python3 -c '
import json, sys
print(json.load(open(sys.argv[1] + "/session.json"))[sys.argv[2]]["pid"])' \
		"$XDG_STATE_HOME/vsandbox/sessions/$1" "$2"
}

# The arguments fail: a bare `!` is no failure to bats, unless it is the last line of a test.
not() {
	! "$@"
}

# Waits until the arguments are true. The patience is for a machine that does much else.
eventually() {
	local until=$((SECONDS + 60))
	until "$@"; do
		((SECONDS < until)) || return 1
		sleep 0.02
	done
}

# Waits for our child @1; its exit code is in $status. (`run wait` would do so in a shell that has no such child.)
await() {
	status=0
	wait "$1" || status=$?
}

# The session whose gateway is process @1. Their ids do not tell which is newer.
session_of() {
	(cd "$XDG_STATE_HOME/vsandbox/sessions" 2>/dev/null &&
		grep -l "\"gateway\":{\"pid\":$1," -- */session.json) | sed 's|/.*||' | grep .
}

# The agent of the run that process @1 is the gateway of has been started; sets SESSION.
started() {
	SESSION=$(session_of "$1") && grep -q '"agent_process":' "$XDG_STATE_HOME/vsandbox/sessions/$SESSION/session.json"
}

# The monitor of the one session that runs says that everything is frozen.
frozen() {
	"$VSANDBOX" ps --json | grep -q '"frozen":true'
}

# The agent goes on changing the file ticks.
counting() {
	local before
	before=$(cksum <ticks)
	sleep 0.3
	[ "$(cksum <ticks)" != "$before" ]
}

stopped() {
	grep -q '^State:.T' "/proc/$1/status"
}

# Starts a run in the background that holds on until it is ended; sets GATEWAY and SESSION.
start_sleeper() {
	"$VSANDBOX" run -p "$POLICY" "$@" -- sh -c "touch started; sleep 647.$$ & sleep 647.$$; true" 3>&- 2>"$BATS_TEST_TMPDIR/err" &
	GATEWAY=$!
	eventually sleeping
	eventually started "$GATEWAY"
}

sleeping() {
	[ "$(pgrep -xfc "sleep 647\.$$")" -ge 2 ]
}

none_sleeping() {
	! pgrep -xf "sleep 647\.$$" >/dev/null # a number of our own: other suites may sleep beside us
}

# tiny_root DIR: a system of busybox and what it is linked to.
tiny_root() {
	local root=$1 file
	mkdir -p "$root/bin" "$root/etc" "$root/opt" "$root/tmp"
	chmod 1777 "$root/tmp"
	cp "$(command -v busybox)" "$root/bin/busybox"
	for file in $(ldd "$root/bin/busybox" 2>/dev/null | grep -o '/[^ ]*'); do
		mkdir -p "$root${file%/*}"
		cp -L "$file" "$root$file"
	done
	for file in sh cat ls id rm mkdir pwd touch stat true; do ln -s busybox "$root/bin/$file"; done
	echo 'ID=tiny' >"$root/etc/os-release"
	echo 'root:x:0:0::/root:/bin/sh' >"$root/etc/passwd"
}
