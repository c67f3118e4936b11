load common

# kill: what it ends, and what it never takes for meant.

@test "kill: never the latest by itself; the id may be shortened while it is unique" {
	start_sleeper
	run "$VSANDBOX" kill
	[ "$status" -eq 125 ]
	[[ $output == *"which session"*"vsandbox ps"* ]]
	[ "$(state_of "$SESSION")" = running ]
	run "$VSANDBOX" kill nosuch
	[ "$status" -eq 125 ]
	[[ $output == *"no session 'nosuch'"* ]]
	run "$VSANDBOX" kill ""
	[ "$status" -eq 125 ]
	[ "$(state_of "$SESSION")" = running ]
	run "$VSANDBOX" kill "${SESSION#*-}"
	[ "$status" -eq 0 ]
	await "$GATEWAY"
	[ "$status" -eq 137 ]
	none_sleeping
	"$VSANDBOX" show "$SESSION" | grep -q '^because of killed'
	# again: nothing to do, and no harm
	run "$VSANDBOX" kill "$SESSION"
	[ "$status" -eq 0 ]
	[[ $output == *"is not running"* ]]
}

@test "kill: a beginning that two sessions share is refused" {
	start_sleeper
	first=$SESSION first_gateway=$GATEWAY
	box -q -- true
	common=${first%%-*}
	run "$VSANDBOX" kill "$common"
	[ "$status" -eq 125 ]
	[[ $output == *ambiguous* ]]
	[ "$(state_of "$first")" = running ]
	"$VSANDBOX" kill "$first"
	await "$first_gateway"
}

@test "kill: processes that ignore every signal, in sessions of their own, end too; their changes are kept" {
	cat >stubborn.py <<-'PY'
		import os, signal, time
		for n in range(1, 65):
		    try:
		        signal.signal(n, signal.SIG_IGN)
		    except (OSError, ValueError):
		        pass
		for _ in range(3):
		    if os.fork() == 0:
		        os.setsid()
		open("made", "w").close()
		while True:
		    time.sleep(1000 + os.getppid() % 1)
	PY
	"$VSANDBOX" run -p "$POLICY" -- /usr/bin/python3 "$PWD/stubborn.py" 3>&- >/dev/null 2>&1 </dev/null &
	GATEWAY=$!
	stubborn() { pgrep -fx "/usr/bin/python3 $PWD/stubborn.py" | wc -l; }
	all_there() { [ "$(stubborn)" -eq 8 ]; }
	eventually all_there
	eventually started "$GATEWAY"
	"$VSANDBOX" kill "$SESSION"
	[ "$(stubborn)" -eq 0 ]
	await "$GATEWAY"
	[ "$status" -eq 137 ]
	"$VSANDBOX" diff --name-status "$SESSION" | grep -q '^A.*/made$'
	"$VSANDBOX" audit verify "$SESSION"
}

@test "TERM, INT, HUP and QUIT end a paused run with 128 and the number; its handlers never run" {
	for signal in TERM INT HUP QUIT; do
		rm -f started
		python3 - "$VSANDBOX" "$POLICY" 3>&- >code 2>"$BATS_TEST_TMPDIR/err" <<-'PY' &
			import signal, subprocess, sys
			def reset():
			    for s in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
			        signal.signal(s, signal.SIG_DFL)
			inside = 'for s in TERM INT HUP QUIT; do trap "touch handled; exit 0" $s; done; touch started; while :; do sleep 0.02; done'
			p = subprocess.Popen([sys.argv[1], "run", "-p", sys.argv[2], "--workspace", "direct", "--", "sh", "-c", inside],
			                     preexec_fn=reset)
			print(p.pid, flush=True)
			try:
			    print(p.wait(120), flush=True)
			finally:
			    p.kill()
		PY
		GATEWAY=
		pid_known() { GATEWAY=$(head -n 1 code) && [ -n "$GATEWAY" ] && [ -e started ]; }
		eventually pid_known
		eventually started "$GATEWAY"
		"$VSANDBOX" pause "$SESSION"
		eventually grep -q "paused: vsandbox resume $SESSION" "$BATS_TEST_TMPDIR/err"
		kill "-$signal" "$GATEWAY"
		wait $!
		[ "$(tail -n 1 code)" -eq $((128 + $(kill -l $signal))) ]
		[ ! -e handled ]
		grep -q "session $SESSION is paused: signal" "$BATS_TEST_TMPDIR/err"
		"$VSANDBOX" show --json "$SESSION" | grep -q '"reason":"signal"'
	done
}

@test "a paused run that ignores HUP, as under nohup, stays paused; USR1 waits until it is resumed" {
	(
		trap '' HUP
		exec "$VSANDBOX" run -p "$POLICY" --workspace direct -- sh -c 'trap "touch told" USR1; touch started; while :; do sleep 0.02; done'
	) 3>&- >/dev/null 2>&1 </dev/null &
	GATEWAY=$!
	eventually test -e started
	eventually started "$GATEWAY"
	"$VSANDBOX" pause "$SESSION"
	kill -HUP "$GATEWAY"
	kill -USR1 "$GATEWAY"
	sleep 0.3
	"$VSANDBOX" ps | grep -q "^$SESSION *paused"
	[ ! -e told ]
	"$VSANDBOX" resume "$SESSION"
	eventually test -e told
	[ "$(state_of "$SESSION")" = running ]
	"$VSANDBOX" kill "$SESSION"
	wait "$GATEWAY" || true
}
