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

# Waits until the rest of the line is true: up to @1 seconds of an idle machine, six times that on one where
# others work beside us.
within() {
	local until=$((${EPOCHREALTIME/./} + $1 * 6000000))
	shift
	until "$@"; do
		((${EPOCHREALTIME/./} < until)) || return 1
		sleep 0.02
	done
}

# Starts a run in the background that holds on until it is ended; sets GATEWAY and SESSION.
start_sleeper() {
	"$VSANDBOX" run -p "$POLICY" "$@" -- sh -c "touch started; sleep 47.$$ & sleep 47.$$; true" 3>&- 2>"$BATS_TEST_TMPDIR/err" &
	GATEWAY=$!
	within 5 sleeping
	SESSION=$(sessions | tail -n 1)
}

sleeping() {
	[ "$(pgrep -xfc "sleep 47\.$$")" -ge 2 ]
}

none_sleeping() {
	! pgrep -xf "sleep 47\.$$" >/dev/null # a number of our own: other suites may sleep beside us
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
