load common

crashed() {
	[ "$(state_of "$SESSION")" = crashed ]
}

@test "INT TERM HUP QUIT USR1 USR2 sent to us reach the agent" {
	for signal in INT TERM HUP QUIT USR1 USR2; do
		# a shell without job control starts background processes with INT and QUIT ignored, nohup with HUP
		python3 - "$signal" "$VSANDBOX" "$POLICY" <<-'PY'
			import signal, subprocess, sys
			name = sys.argv[1]
			def reset():
			    for s in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
			        signal.signal(s, signal.SIG_DFL)
			inside = f'trap "echo got; exit 9" {name}; echo ready; while :; do sleep 0.05; done'
			p = subprocess.Popen([sys.argv[2], "run", "-p", sys.argv[3], "--", "sh", "-c", inside],
			                     stdout=subprocess.PIPE, preexec_fn=reset)
			assert p.stdout.readline() == b"ready\n"
			p.send_signal(getattr(signal, "SIG" + name))
			assert p.stdout.readline() == b"got\n", name
			assert p.wait() == 9, name
		PY
	done
}

@test "a signal without a handler ends the agent: 128+n" {
	start_sleeper
	kill -TERM "$GATEWAY"
	await "$GATEWAY"
	[ "$status" -eq 143 ]
	eventually none_sleeping
}

@test "a kill -9 of the gateway ends the tree; the log reads" {
	start_sleeper
	kill -9 "$GATEWAY"
	eventually none_sleeping
	eventually crashed
	"$VSANDBOX" logs "$SESSION" | grep -q started
	"$VSANDBOX" audit verify "$SESSION"
	"$VSANDBOX" diff --name-status "$SESSION" | grep -q "^A.*/started$"
}

@test "a kill -9 of the monitor ends the tree: exit 120" {
	start_sleeper
	kill -9 "$(process_of "$SESSION" monitor)"
	eventually none_sleeping
	await "$GATEWAY"
	[ "$status" -eq 120 ]
	grep -q "monitor died" "$BATS_TEST_TMPDIR/err"
	"$VSANDBOX" logs "$SESSION" | grep -q started
	"$VSANDBOX" audit verify "$SESSION"
}

@test "vsandbox kill ends the tree in order" {
	start_sleeper
	"$VSANDBOX" kill "$SESSION"
	none_sleeping
	await "$GATEWAY"
	[ "$status" -eq 137 ]
	[ "$(state_of "$SESSION")" = ended ]
}

@test "vsandbox kill ends a session whose gateway is stopped" {
	start_sleeper
	kill -STOP "$GATEWAY"
	eventually stopped "$GATEWAY"
	"$VSANDBOX" kill "$SESSION" 3>&- & # it waits for the gateway too, which says nothing
	eventually none_sleeping
	kill -CONT "$GATEWAY"
	wait
}
