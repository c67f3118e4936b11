load common

# An agent with @1 threads, and children in sessions of their own that ignore SIGHUP; all count in a file.
start_busy() {
	cat >busy.py <<-'PY'
		import mmap, os, signal, sys, threading, time
		n = int(sys.argv[1])
		open("ticks", "wb").write(bytes(4096))
		m = mmap.mmap(os.open("ticks", os.O_RDWR), 4096)
		signal.signal(signal.SIGHUP, signal.SIG_IGN)
		def count(at, pause=0.002):
		    while True:
		        m[at] = (m[at] + 1) % 256
		        time.sleep(pause)
		for at in range(2):
		    if os.fork() == 0:
		        os.setsid()
		        if at == 1:
		            while True: # tries to wake everybody
		                m[at] = (m[at] + 1) % 256
		                os.kill(-1, signal.SIGCONT)
		                time.sleep(0.001)
		        count(at)
		threading.stack_size(65536)
		for i in range(n):
		    threading.Thread(target=count, args=(2 + i, 0.002 if i < 10 else 0.3), daemon=True).start()
		open("ready", "w")
		time.sleep(600)
	PY
	"$VSANDBOX" run -p "$POLICY" --workspace direct --timeout 300 -- /usr/bin/python3 "$PWD/busy.py" "$1" \
		3>&- >/dev/null 2>"$BATS_TEST_TMPDIR/err" </dev/null &
	GATEWAY=$!
	eventually test -e ready
	eventually started "$GATEWAY"
}

# Nothing changes the file while it is looked at.
still() {
	local before
	before=$(cksum <ticks)
	sleep 0.4
	[ "$(cksum <ticks)" = "$before" ]
}

goes_on() {
	! still
}

@test "pause stops every thread and every session's processes, also against SIGCONT; resume lets them go on" {
	start_busy 1000
	eventually goes_on
	"$VSANDBOX" pause
	eventually still # a task in a long system call comes to its stop later
	kill -CONT "$GATEWAY"
	still
	"$VSANDBOX" pause # idempotent
	still
	"$VSANDBOX" resume
	eventually goes_on
	"$VSANDBOX" resume
	for _ in 1 2 3 4 5; do
		"$VSANDBOX" pause "$SESSION"
		"$VSANDBOX" resume "$SESSION"
	done
	eventually goes_on
}

@test "a paused session is killed at once" {
	start_busy 10
	"$VSANDBOX" pause
	local from=${EPOCHREALTIME/./}
	"$VSANDBOX" kill "$SESSION"
	echo "# killed in $((${EPOCHREALTIME/./} - from)) us"
	# by the monitor, not by its own death after the gateway's patience
	run grep 'does not answer' "$BATS_TEST_TMPDIR/err"
	[ "$status" -ne 0 ]
	[ "$(state_of "$SESSION")" = ended ]
	none_busy
}

@test "pause and kill need no gateway: with it stopped everything stands still, and ends" {
	start_busy 10
	kill -STOP "$GATEWAY"
	"$VSANDBOX" pause 3>&- &
	local verb=$!
	eventually still
	kill -CONT "$GATEWAY"
	wait "$verb" # which has waited for the gateway's word
	"$VSANDBOX" resume
	run still
	[ "$status" -ne 0 ]
	"$VSANDBOX" pause
	kill -STOP "$GATEWAY"
	run "$VSANDBOX" kill "$SESSION"
	[ "$status" -eq 0 ]
	[[ "$output" == *'everything in session'*'has ended'* ]]
	[ "$(pgrep -fc "$PWD/busy.py 10\$")" -eq 1 ] # the gateway itself
	kill -CONT "$GATEWAY"
	wait "$GATEWAY" || true
	"$VSANDBOX" show --json "$SESSION" | grep -q '"reason":"killed"'
}

@test "the death of the monitor or the gateway ends a paused tree and keeps its changes" {
	for who in monitor gateway; do
		rm -f ready
		start_busy 10
		"$VSANDBOX" pause "$SESSION"
		kill -KILL "$(process_of "$SESSION" "$who")"
		eventually none_busy
		[ -d "$XDG_STATE_HOME/vsandbox/sessions/$SESSION/layers" ]
	done
}

none_busy() {
	! pgrep -f "$PWD/busy.py 10\$" >/dev/null
}

@test "pausing an agent that forks without end stops it" {
	"$VSANDBOX" run -p "$POLICY" --workspace direct --timeout 300 -- sh -c '
		while :; do (while :; do /bin/true; echo x >>ticks; done) & sleep 0.05; done' \
		3>&- >/dev/null 2>&1 </dev/null &
	GATEWAY=$!
	eventually test -s ticks
	sleep 0.5 # they are many by now
	"$VSANDBOX" pause
	eventually still
	"$VSANDBOX" resume
	eventually goes_on
}

@test "what job control had stopped stays stopped after a pause" {
	"$VSANDBOX" run -p "$POLICY" --workspace direct --timeout 300 -- sh -c '
		(kill -STOP $(sh -c "echo \$PPID"); touch went-on) &
		until grep -q "^State:.T" /proc/$!/status; do sleep 0.02; done; touch ready; wait' \
		3>&- >/dev/null 2>&1 </dev/null &
	GATEWAY=$!
	eventually test -e ready
	"$VSANDBOX" pause
	"$VSANDBOX" resume
	sleep 0.5
	[ ! -e went-on ]
}

@test "pause as an ordinary user: processes that nobody may look into stand still too" {
	[ "$(id -u)" -eq 0 ] || skip "root is needed to become another"
	OTHER_HOME=$(mktemp -d /var/tmp/vsandbox-undumpable-XXXXXX)
	mkdir -m 0700 "$OTHER_HOME/work" "$OTHER_HOME/run"
	cp "$POLICY" "$OTHER_HOME/open.json"
	cat >"$OTHER_HOME/count.py" <<-'PY'
		import ctypes, os, time
		PR_SET_DUMPABLE = 4
		if ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
		    raise SystemExit("prctl")
		fd = os.open("grown", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
		os.fork()
		while True:
		    os.write(fd, b"x")
		    time.sleep(0.002)
	PY
	chmod 755 "$OTHER_HOME"
	chown -R 12345:12345 "$OTHER_HOME"
	as_other() {
		setpriv --reuid 12345 --regid 12345 --clear-groups env -i HOME="$OTHER_HOME" PATH=/usr/bin:/bin \
			XDG_RUNTIME_DIR="$OTHER_HOME/run" "$VSANDBOX" "$@"
	}
	grows() {
		local before
		before=$(stat -c %s grown)
		sleep 0.3
		[ "$(stat -c %s grown)" -gt "$before" ]
	}
	stands() { ! grows; }
	cd "$OTHER_HOME/work"
	as_other run -q -p ../open.json --workspace direct --timeout 300 -- /usr/bin/python3 ../count.py \
		3>&- >/dev/null 2>"$BATS_TEST_TMPDIR/err" </dev/null &
	eventually test -s grown
	paused=$(as_other pause 2>&1)
	eventually stands
	stands
	as_other resume
	eventually grows
	as_other kill "$(as_other ps | awk '$2 == "running" { print $1 }')"
	stands
	cd /
	rm -rf "$OTHER_HOME"
	[[ $paused == *"is paused"* ]]
}
