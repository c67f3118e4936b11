load common

# The program's own directories, from inside, as root and as another user: nothing to read, nothing to change,
# and no way to put others in their place, though the workspace is the home itself, written to for real,
# and the policy denies nothing.

OTHER_UID=12345

users() {
	if [ "$(id -u)" = 0 ]; then echo 0 "$OTHER_UID"; else id -u; fi
}

teardown() {
	[ -z "${FENCED_HOME:-}" ] || rm -rf "$FENCED_HOME"
}

# A home of @1's: configuration behind a link, state and cache where they are by default.
make_home() {
	FENCED_HOME=$(mktemp -d /tmp/vsandbox-fence.XXXXXX)
	mkdir -p "$FENCED_HOME/real/config/vsandbox/approvals" "$FENCED_HOME/.local/state" "$FENCED_HOME/.cache/vsandbox/layers" \
		"$FENCED_HOME/run"
	chmod 0700 "$FENCED_HOME/run" "$FENCED_HOME/.cache/vsandbox/layers"
	ln -s real "$FENCED_HOME/link"
	echo '{ } // ours' >"$FENCED_HOME/real/config/vsandbox/config.json"
	printf '{"name":"anything","mode":"observe","risk_threshold":1,"max_actions_per_minute":1000000}' >"$FENCED_HOME/policy.json"
	cp "$BATS_TEST_DIRNAME/fence.py" "$FENCED_HOME/agent.py"
	chown -R "$1:$1" "$FENCED_HOME"
}

# The agent as @1 under the options that follow.
run_agent() {
	local uid=$1
	shift
	run timeout 300 setpriv --reuid "$uid" --regid "$uid" --clear-groups env HOME="$FENCED_HOME" USER=u PATH=/usr/bin:/bin \
		XDG_STATE_HOME="$FENCED_HOME/.local/state" XDG_CONFIG_HOME="$FENCED_HOME/link/config" \
		XDG_CACHE_HOME="$FENCED_HOME/.cache" XDG_RUNTIME_DIR="$FENCED_HOME/run" \
		sh -c 'cd && exec "$0" run -q -p ./policy.json "$@" -- python3 agent.py' "$VSANDBOX" "$@"
}

@test "state, configuration, cache and sockets: hidden, and no name that leads there can be moved or replaced" {
	for uid in $(users); do
		make_home "$uid"
		for workspace in direct overlay; do
			run_agent "$uid" --workspace "$workspace"
			[ "$status" -eq 0 ] || { echo "uid $uid $workspace: $output"; false; }
			[[ $output == *"all refused"* ]] || { echo "uid $uid $workspace: $output"; false; }
			[ "$(readlink "$FENCED_HOME/link")" = real ]
			grep -q ours "$FENCED_HOME/real/config/vsandbox/config.json"
			[ -z "$(ls "$FENCED_HOME/real/config/vsandbox/approvals")" ]
			[ -d "$FENCED_HOME/.local/state/vsandbox/sessions" ]
		done
		rm -rf "$FENCED_HOME"
	done
}

@test "a configuration that is not there yet cannot be made from inside" {
	for uid in $(users); do
		make_home "$uid"
		rm -rf "$FENCED_HOME/real/config/vsandbox"
		run_agent "$uid" --workspace direct
		[[ $output == *"all refused"* ]] || { echo "uid $uid: $output"; false; }
		[ -z "$(ls -A "$FENCED_HOME/real/config/vsandbox")" ]
		rm -rf "$FENCED_HOME"
	done
}

# The agent's own program under each of our names, in a tree that it writes to for real.
@test "the programs that come with vsandbox, and their policies, cannot be replaced where writes are real" {
	local tree=$BATS_TEST_TMPDIR/tree
	mkdir -p "$tree/build/release" "$tree/sub"
	cp -r "$(dirname "$VSANDBOX")"/vsandbox* "$tree/build/release/"
	cp -r "$BATS_TEST_DIRNAME/../../policies" "$tree/policies"
	rm "$tree/build/release/vsandbox-mcp"
	cat >"$tree/agent.sh" <<-'SH'
		try() { "$@" 2>/dev/null && echo "possible: $*"; }
		evil() { printf '#!/bin/sh\ntouch %s/escaped\n' "$PWD" >"$1"; chmod +x "$1"; }
		evil evil
		for name in vsandbox vsandbox-archive vsandbox-net vsandbox-uplink vsandbox-patch vsandbox-mcp; do
			try evil "build/release/$name"
			try cp evil "build/release/$name"
			try mv evil "build/release/$name"
			try ln "build/release/$name" hard
			try unlink "build/release/$name"
		done
		try mv build/release build/old
		try mv build old
		try sh -c 'echo "{}" >policies/strict.json'
		try mv policies others
		mkdir build/debug && touch build/debug/mine sub/mine && rm -r build/debug && cat build/release/vsandbox-archive >/dev/null && echo "the rest works"
	SH
	cd "$tree"
	for how in "--workspace direct" "--direct $tree" "--direct $tree/build --direct $tree/policies"; do
		run timeout 120 ./build/release/vsandbox run -q -p "$POLICY" $how -- sh agent.sh
		[ "$output" = "the rest works" ] || { echo "$how: $output"; false; }
	done
	[ ! -e escaped ]
	# in an overlay they are the agent's to change: it is not these that are run
	run timeout 120 ./build/release/vsandbox run -q -p "$POLICY" -- sh -c 'for p in build/release/vsandbox-*; do cp /bin/false $p || exit; done; mv build old && echo moved'
	[ "$output" = moved ] || { echo "$output"; false; }
	run ./build/release/vsandbox diff -p
	[ "$status" -le 1 ] && [[ $output == *"build/release/vsandbox-archive"* ]]
}
