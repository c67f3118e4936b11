load common

# attach and detach, as a person uses them; tests/attach has the programs that are hard to attach to.

# A shell that tries the same again and again, and says each time what became of it. Sets TARGET.
start_target() {
	cat >target.sh <<-'SH'
		while :; do
			echo x 2>/dev/null >a.secret && echo wrote || echo refused
			echo x >plain
			sleep 0.05
		done
	SH
	sh target.sh >>out 2>/dev/null 3>&- &
	TARGET=$!
	eventually last_is wrote
}

last_is() {
	[ "$(tail -n 1 out 2>/dev/null)" = "$1" ]
}

target_is_gone() {
	! kill -0 "$TARGET" 2>/dev/null || grep -q '^State:.Z' "/proc/$TARGET/status"
}

@test "attach: from its return on a process is decided on; detach lets it go on as before" {
	start_target
	run "$VSANDBOX" attach -p "$POLICY" "$TARGET"
	[ "$status" -eq 0 ]
	SESSION=$(sessions)
	[ "${lines[-1]}" = "$SESSION" ]
	[[ $output == *"supervises pid $TARGET"*"no box around it"* ]]
	: >out
	eventually last_is refused
	not grep -q wrote out
	# as the kernel sees it: a filter, and no new privileges
	grep -q '^Seccomp:.2' "/proc/$TARGET/status"
	grep -q '^NoNewPrivs:.1' "/proc/$TARGET/status"
	"$VSANDBOX" ps | grep -q "^$SESSION *running .*target.sh"
	# the answer comes before the account of it
	blocked() { "$VSANDBOX" logs --decision block "$SESSION" | grep -q 'file_write.*a\.secret'; }
	eventually blocked
	# what is denied is told in the session's own file, the terminal having been given back
	told() { grep -q 'denied file_write .*a\.secret.*vsandbox why --event' "$XDG_STATE_HOME/vsandbox/sessions/$SESSION/messages"; }
	eventually told
	changed() { "$VSANDBOX" diff --name-status "$SESSION" | grep -q '/plain$'; }
	eventually changed
	run "$VSANDBOX" commit --yes "$SESSION"
	[[ $output == *"nothing to commit"* ]]
	run "$VSANDBOX" detach "$SESSION"
	[ "$status" -eq 0 ]
	[[ $output == *"pid $TARGET goes on"* ]]
	: >out
	eventually last_is wrote
	kill "$TARGET"
}

@test "attach: signals to its gateway end nothing, kill ends all of it" {
	start_target
	"$VSANDBOX" attach -p "$POLICY" "$TARGET" >id
	gateway=$(process_of "$(cat id)" gateway)
	kill -TERM "$gateway"
	said() { grep -q "signal 15 ignored: pid $TARGET" "$XDG_STATE_HOME/vsandbox/sessions/$(cat id)/messages"; }
	eventually said
	not target_is_gone
	"$VSANDBOX" kill "$(cat id)"
	eventually target_is_gone
	ended() { [ "$(state_of "$(cat id)")" = ended ]; }
	eventually ended
}

@test "attach --json, --foreground; pause, resume and undo work as for a session" {
	start_target
	"$VSANDBOX" attach --json --foreground -p "$POLICY" "$TARGET" 2>events 3>&- &
	GATEWAY=$!
	eventually started "$GATEWAY"
	eventually grep -q '"event":"started"' events
	eventually grep -q '"event":"denied".*a\.secret' events
	"$VSANDBOX" pause "$SESSION"
	: >out
	sleep 0.3
	[ ! -s out ]
	"$VSANDBOX" resume "$SESSION"
	eventually last_is refused
	"$VSANDBOX" kill "$SESSION"
	wait "$GATEWAY" || true
	echo host >plain.orig
	run "$VSANDBOX" undo --yes "$SESSION"
	[ "$status" -eq 0 ]
}

@test "attach: what cannot be attached to is refused with its reason, and goes on" {
	for bad in 0 -- -1 x 99999999999 ""; do
		run "$VSANDBOX" attach "$bad"
		[ "$status" -eq 125 ]
	done
	run "$VSANDBOX" attach 4194303
	[ "$status" -eq 125 ]
	start_target
	for flags in "--net some" "--max-risk 2" "-p nosuch" "--mode maybe"; do
		# shellcheck disable=SC2086 # two words
		run "$VSANDBOX" attach $flags "$TARGET"
		[ "$status" -eq 125 ]
	done
	printf '{"name": "l", "limits": {"pids": 9}}\n' >limits.json
	run "$VSANDBOX" attach -p ./limits.json "$TARGET"
	[ "$status" -eq 125 ]
	[[ $output == *limits* ]]
	not grep -q '^Seccomp:.2' "/proc/$TARGET/status"
	[ "$("$VSANDBOX" doctor --pid "$TARGET" | grep -c '^fail')" -eq 0 ]
	: >out
	eventually last_is wrote
	strace -f -o /dev/null -p "$TARGET" 2>/dev/null 3>&- &
	tracer=$!
	traced() { ! grep -q '^TracerPid:.0' "/proc/$TARGET/status"; }
	eventually traced
	run "$VSANDBOX" attach -p "$POLICY" "$TARGET"
	[ "$status" -eq 125 ]
	[[ $output == *trace* ]]
	run "$VSANDBOX" doctor --pid "$TARGET"
	[ "$status" -eq 123 ]
	kill -KILL "$tracer"
}

@test "detach: only of an attached session that runs" {
	start_sleeper
	run "$VSANDBOX" detach "$SESSION"
	[ "$status" -eq 125 ]
	[[ $output == *"cannot leave"* ]]
	"$VSANDBOX" kill "$SESSION"
	wait "$GATEWAY" || true
	run "$VSANDBOX" detach "$SESSION"
	[ "$status" -eq 125 ]
	[[ $output == *"is not running"* ]]
	run "$VSANDBOX" detach
	[ "$status" -eq 125 ]
}
