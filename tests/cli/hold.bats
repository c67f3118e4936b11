load common
load terminal

# A policy that asks for everything named *.ask.
prepare() {
	export XDG_RUNTIME_DIR=$BATS_TEST_TMPDIR/run
	mkdir -m 0700 "$XDG_RUNTIME_DIR"
	cat >"$BATS_TEST_TMPDIR/ask.json" <<-'JSON'
		{
			"name": "ask",
			"description": "asks for *.ask",
			"max_actions_per_minute": 10000000,
			"risk_threshold": 1.0,
			"rules": [
				{ "name": "asks", "action_type": "any", "resource_pattern": "*.ask", "effect": "pause" }
			]
		}
	JSON
	POLICY=$BATS_TEST_TMPDIR/ask.json
	export POLICY VSANDBOX
	mkdir gate
}

# What runs inside waits for this: gate/ is the host's own there.
open_gate() {
	: >gate/open
}

in_background() {
	"$VSANDBOX" run -p "$POLICY" --timeout 300 --direct "$PWD/gate" "$@" \
		3>&- >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" </dev/null &
	GATEWAY=$!
}

waiting() {
	[ "$("$VSANDBOX" approve list | wc -l)" -eq "${1:-1}" ]
}

# Is something asked about that has this text in it?
asked_for() {
	"$VSANDBOX" approve list --json | python3 -c '
import json, sys
sys.exit(sys.argv[1] not in json.dumps(json.load(sys.stdin)))' "$1"
}

denied_are() {
	[ "$(grep -c denied "$BATS_TEST_TMPDIR/out")" -eq "$1" ]
}

question() {
	"$VSANDBOX" approve list | grep -q "^$1 "
}

out_has() {
	grep -q -- "$1" "$BATS_TEST_TMPDIR/out"
}

@test "an approved call happens, a denied one fails with EACCES and nothing happened" {
	prepare
	in_background --approve web -- sh -c 'echo one >a.ask; echo "rc $?"; echo two >b.ask; echo "rc $?"'
	eventually waiting
	run out_has rc
	[ "$status" -ne 0 ]
	"$VSANDBOX" approve allow 1
	eventually out_has 'rc 0'
	eventually waiting
	run "$VSANDBOX" approve deny 2 --reason 'not this one'
	[ "$status" -eq 0 ]
	wait "$GATEWAY"
	out_has 'rc 2'
	grep -q 'not this one' "$BATS_TEST_TMPDIR/err"
	run "$VSANDBOX" diff
	[[ "$output" == *a.ask* && "$output" != *b.ask* ]]
	run "$VSANDBOX" logs --json
	[[ "$output" == *'"decision":"pause"'*'"result":null'* ]]
}

@test "approve list says what is asked, as text and as JSON; allow for the session asks once" {
	prepare
	: >a.ask # to make it and to write to it are two things
	in_background --approve web -- sh -c 'for i in 1 2 3; do echo $i >>a.ask; done; echo done'
	eventually waiting
	run "$VSANDBOX" approve list
	[[ "$output" == *file_write*a.ask* ]]
	"$VSANDBOX" approve list --json | python3 -c '
import json, sys
[q] = json.load(sys.stdin)
assert q["id"] == 1 and q["session"] and q["remaining_ms"] > 0, q
a = q["action"]
assert a["type"] == "file_write" and a["resource"].endswith("/a.ask"), a
assert a["rule"] == "asks" and 0 <= a["score"] <= 1 and a["ancestry"] is not None, a'
	"$VSANDBOX" approve allow 1 --scope session
	wait "$GATEWAY"
	out_has "done"
	run "$VSANDBOX" approve allow 1
	[ "$status" -eq 125 ]
}

@test "approve list: when nothing waits a person is told so, a program gets an empty list" {
	prepare
	[ -z "$("$VSANDBOX" approve list 2>&1)" ]
	[ "$("$VSANDBOX" approve list --json)" = '[]' ]
	terminal
	type_line 'clear; "$VSANDBOX" approve list'
	eventually screen_has '^vsandbox: nothing waits'
	start_sleeper
	[ -z "$("$VSANDBOX" approve list 2>&1)" ]
	[ "$("$VSANDBOX" approve list --json)" = '[]' ]
	for bad in "allow" "allow 1" "deny x" "list nosuch" "lits" "allow 1 --scope ever" "allow 1 2"; do
		# shellcheck disable=SC2086 # words
		run "$VSANDBOX" approve $bad
		[ "$status" -eq 125 ] || { echo "$bad"; false; }
	done
}

@test "an unanswered call is denied when its time is over, and the log says so" {
	prepare
	run "$VSANDBOX" run -p "$POLICY" --approve web --approval-timeout 1 -- sh -c 'echo x >a.ask; echo "rc $?"'
	[[ "$output" == *'rc 2'* ]]
	[[ "$output" == *'nobody answered in time'* ]]
	run "$VSANDBOX" logs
	[[ "$output" == *'nobody answered in time'* ]]
}

@test "--approve none denies at once" {
	prepare
	local from=${EPOCHREALTIME/./}
	run "$VSANDBOX" run -p "$POLICY" --approve none -- sh -c 'echo x >a.ask; echo "rc $?"'
	[[ "$output" == *'rc 2'* && "$output" != *waits* ]]
	((${EPOCHREALTIME/./} - from < 60000000)) # not the five minutes of a hold
}

@test "mode pause holds what reaches the threshold" {
	prepare
	sed -i 's/"risk_threshold": 1.0/"risk_threshold": 0.0, "mode": "pause"/; /"asks"/d' "$POLICY"
	in_background --approve web -- true
	eventually waiting
	"$VSANDBOX" approve list --json | grep -q '"reason":"threshold"'
	"$VSANDBOX" kill "$(sessions)"
	await "$GATEWAY"
}

@test "an open whose path leads elsewhere when it is allowed is asked anew" {
	prepare
	mkdir good evil
	echo good >good/x.ask
	echo evil >evil/x.ask
	in_background --approve web -- python3 -c '
import os, threading, time
def read():
    try:
        print("read", open("good/x.ask").read(), flush=True)
    except OSError as e:
        print("failed", e.errno, flush=True)
t = threading.Thread(target=read)
t.start()
while not os.path.exists("gate/open"):
    time.sleep(0.02)
os.rename("good", "old")
os.symlink("evil", "good")
print("swapped", flush=True)
t.join()'
	eventually asked_for /good/x.ask
	open_gate
	eventually out_has swapped
	"$VSANDBOX" approve allow 1
	eventually asked_for '/evil/x.ask'
	"$VSANDBOX" approve deny 2
	wait "$GATEWAY"
	out_has 'failed 13'
}

@test "an exec whose arguments are changed while it waits is asked anew" {
	prepare
	printf '#!/bin/sh\necho "ran $1"\n' >p.ask
	chmod +x p.ask
	in_background --approve web -- python3 -c '
import ctypes, os, threading, time
libc = ctypes.CDLL(None, use_errno=True)
arg = ctypes.create_string_buffer(b"harmless")
argv = (ctypes.c_char_p * 3)(b"p.ask", None, None)
ctypes.cast(argv, ctypes.POINTER(ctypes.c_void_p))[1] = ctypes.addressof(arg)
def swap():
    while not os.path.exists("gate/open"):
        time.sleep(0.02)
    arg.value = b"evil"
    print("swapped", flush=True)
threading.Thread(target=swap, daemon=True).start()
libc.execve(b"./p.ask", argv, (ctypes.c_char_p * 1)(None))
print("failed", ctypes.get_errno(), flush=True)'
	eventually asked_for harmless
	open_gate
	eventually out_has swapped
	"$VSANDBOX" approve allow 1
	eventually asked_for evil
	"$VSANDBOX" approve deny 2
	wait "$GATEWAY"
	out_has 'failed 13'
	run out_has ran
	[ "$status" -ne 0 ]
}

@test "a program rewritten while its exec waits is asked anew" {
	prepare
	printf '#!/bin/sh\necho first\n' >p.x
	chmod +x p.x
	sed -i 's/\*\.ask/*p.x/; s/"any"/"code_execution"/' "$POLICY"
	in_background --approve web -- sh -c '
		./p.x & until [ -e gate/open ]; do sleep 0.02; done; echo "echo second" >>p.x; echo rewritten; wait'
	eventually asked_for p.x
	open_gate
	eventually out_has rewritten
	"$VSANDBOX" approve allow 1
	eventually question 2
	"$VSANDBOX" approve allow 2
	wait "$GATEWAY"
	out_has first
	out_has second
}

@test "two thousand threads that want the same: one question, bounded memory, one answer" {
	prepare
	: >a.ask
	in_background --approve web -- python3 -c '
import os, sys, threading
threading.stack_size(65536)
n, lock = [0], threading.Lock()
def read():
    fd = os.open("a.ask", os.O_RDONLY)
    with lock:
        n[0] += 1
    os.close(fd)
ts = []
try:
    for i in range(2000):
        t = threading.Thread(target=read)
        t.start()
        ts.append(t)
except RuntimeError:
    pass
print("started", len(ts), flush=True)
for t in ts:
    t.join()
print("all", n[0] == len(ts), flush=True)'
	eventually out_has started
	eventually waiting 1
	[ "$(awk '/VmRSS/ {print $2}' "/proc/$(process_of "$(sessions)" monitor)/status")" -lt 32768 ]
	"$VSANDBOX" approve allow 1 --scope session
	eventually out_has 'all True'
	wait "$GATEWAY"
}

@test "more questions than anybody answers: those beyond are denied, the rest still answered" {
	prepare
	in_background --approve web -- sh -c '
		for i in $(seq 200); do (: >$i.ask) 2>/dev/null || echo denied & done; wait; echo over'
	eventually waiting 64
	eventually denied_are 136
	"$VSANDBOX" approve allow 1
	eventually waiting 63
	"$VSANDBOX" kill "$(sessions)"
}

@test "what runs inside reaches no control socket, and a forged key is no answer" {
	prepare
	XDG_RUNTIME_DIR=$PWD/run # a place that is shown inside, even without an overlay
	export XDG_RUNTIME_DIR
	mkdir -m 0700 run
	for workspace in overlay direct; do
		rm -f gate/open
		in_background --approve web --workspace $workspace -- python3 -c '
import fcntl, glob, json, os, socket, termios, threading, time
t = threading.Thread(target=lambda: os.system("echo x >a.ask; echo rc $?"))
t.start()
while not os.path.exists("gate/open"):
    time.sleep(0.02)
for path in glob.glob("run/vsandbox/*.sock") + ["run/vsandbox/%s.sock" % os.environ["VSANDBOX_SESSION"]]:
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(1)
    try:
        s.connect(path)
        s.sendall(json.dumps({"request": "answer", "id": 1, "allow": True}).encode() + b"\n")
        print("answer", s.recv(1000) or b"hung up")
    except OSError as e:
        print("refused", e.errno)
try:
    fcntl.ioctl(0, termios.TIOCSTI, b"a")
    print("forged")
except OSError as e:
    print("ioctl", e.errno)
print("tried", flush=True)
t.join()'
		eventually waiting
		open_gate
		eventually out_has tried
		waiting
		"$VSANDBOX" approve deny 1
		await "$GATEWAY"
		output=$(cat "$BATS_TEST_TMPDIR/out")
		echo "$output"
		[[ "$output" == *'rc 2'* && "$output" != *'"ok":true'* && "$output" != *forged* ]]
		[[ "$output" == *refused* || "$output" == *'hung up'* ]]
	done
}

# Terminals

@test "on the terminal: a key allows, another denies, and what is shown says why" {
	prepare
	terminal
	type_line 'clear; "$VSANDBOX" run -q -p "$POLICY" -- sh -c "echo x >a.ask; echo rc-\$?; echo y >b.ask; echo rc-\$?"; echo e""nd-$?'
	eventually screen_has 'llow once'
	screen_has 'file_write (create)'
	screen_has 'program   /usr/bin/dash'
	screen_has 'because   asks'
	screen_has 'action_severity'
	press a rc-0
	eventually screen_has 'approval 2'
	press d rc-2
	eventually screen_has 'end-0'
	# the terminal is as it was
	type_line 'stty -a | grep -c " icanon.* echo "'
	eventually screen_has '^1$'
}

@test "on the terminal: what was typed for the agent stays the agent's" {
	prepare
	terminal
	type_line 'clear; "$VSANDBOX" run -p "$POLICY" --direct "$PWD/gate" -- sh -c "echo re""ady; until [ -e gate/open ]; do sleep 0.02; done; echo x >a.ask; read l; echo got-\$l"'
	eventually screen_has ready
	type_line 'aaa'
	eventually screen_has '^aaa$'
	open_gate
	eventually screen_has 'behind what was typed'
	"$VSANDBOX" approve allow 1
	eventually screen_has 'got-aaa'
}

@test "on the terminal: Ctrl-C ends a held program as it would any other" {
	prepare
	terminal
	type_line 'clear; "$VSANDBOX" run -q -p "$POLICY" -- sh -c "echo x >a.ask"; echo e""nd-$?'
	eventually screen_has 'llow once'
	type_key C-c
	eventually screen_has 'end-130'
}

@test "on the terminal: Ctrl-Z and fg, then the question again" {
	prepare
	terminal
	type_line 'clear; "$VSANDBOX" run -q -p "$POLICY" -- sh -c "echo x >a.ask; echo rc-\$?"; echo e""nd-$?'
	eventually screen_has 'llow once'
	type_key C-z
	eventually screen_has 'Stopped'
	type_line 'clear; echo bet""ween'
	eventually screen_has '^between'
	type_line 'fg'
	eventually screen_has 'llow once'
	press a rc-0
}

@test "on the terminal: a threshold is asked about, and its denial ends the run" {
	prepare
	sed -i 's/"risk_threshold"/"mode": "pause", "monitors": { "cpu": { "percent": 2, "seconds": 0.4 } }, "risk_threshold"/' "$POLICY"
	terminal
	type_line 'clear; "$VSANDBOX" run -q -p "$POLICY" -- sh -c "while [ ! -e go.ask ]; do :; done"; echo e""nd-$?'
	eventually screen_has 'approval 1: CPU above 2 %'
	eventually screen_has 'end the run'
	press d end-121
}

@test "on the terminal: K ends the run with 121" {
	prepare
	terminal
	type_line 'clear; "$VSANDBOX" run -q -p "$POLICY" -- sh -c "echo x >a.ask; sleep 9"; echo e""nd-$?'
	eventually screen_has 'llow once'
	press K end-121
}

@test "a full-screen program keeps its screen; another terminal answers" {
	prepare
	seq 1000 >long
	terminal
	type_line 'clear; "$VSANDBOX" run -q -p "$POLICY" --direct "$PWD/gate" -- sh -c "(until [ -e gate/open ]; do sleep 0.02; done; echo x >a.ask; echo >answered) & less long"; echo e""nd-$?'
	eventually screen_has '^1$'
	open_gate
	eventually waiting
	screen_has '^1$'
	run screen_has 'llow once'
	[ "$status" -ne 0 ]
	tmux -L t resize-window -x 100 -y 20
	eventually screen_has '^1$' # it has drawn anew
	type_key Space
	eventually screen_has '^38$'
	"$VSANDBOX" approve allow 1
	type_key q
	eventually screen_has 'end-0'
	run "$VSANDBOX" diff
	[[ "$output" == *answered* ]]
}

# The whole tree

# A policy that freezes everything while somebody is asked; the agent counts in a file of the host's.
prepare_tree() {
	prepare
	sed -i 's/"risk_threshold"/"pause": "tree", "risk_threshold"/' "$POLICY"
	cat >count.py <<-'PY'
		import mmap, os, signal, sys, time
		open("ticks", "wb").write(bytes(4096))
		m = mmap.mmap(os.open("ticks", os.O_RDWR), 4096)
		def alarm(*_):
		    m[1] = (m[1] + 1) % 256
		if os.fork() == 0:
		    while True:
		        m[0] = (m[0] + 1) % 256
		        time.sleep(0.002)
		signal.signal(signal.SIGALRM, alarm) # a timer of its own must not let it go on
		signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
		print("before", flush=True)
		for name in sys.argv[1:]:
		    try:
		        open(name, "w").close()
		        print("made", name, flush=True)
		    except OSError as e:
		        print("failed", name, e.errno, flush=True)
		time.sleep(300)
	PY
}

@test "pause tree: everything is frozen until the last question is settled" {
	prepare_tree
	in_background --approve web --workspace direct -- /usr/bin/python3 count.py a.ask b.ask
	eventually waiting
	eventually frozen
	run counting
	[ "$status" -ne 0 ]
	"$VSANDBOX" resume # that is about another reason
	run counting
	[ "$status" -ne 0 ]
	"$VSANDBOX" ps --json | grep -q '"live":{"paused":false,"frozen":true,"approvals":1}'
	"$VSANDBOX" approve allow 1
	eventually asked_for b.ask
	eventually frozen
	run counting
	[ "$status" -ne 0 ]
	"$VSANDBOX" approve deny 2
	eventually out_has 'failed b.ask 13'
	eventually counting
	out_has 'made a.ask'
	"$VSANDBOX" kill "$(sessions)"
	wait "$GATEWAY" || true
}

@test "pause tree: a signal of a person's is acted on, kill ends it, nobody answering denies" {
	local session
	prepare_tree
	in_background --approve web --workspace direct -- /usr/bin/python3 count.py a.ask
	eventually waiting
	session=$(session_of "$GATEWAY")
	kill -TERM "$GATEWAY"
	await "$GATEWAY"
	[ "$status" -eq 143 ]
	[ "$(state_of "$session")" = ended ]
	"$VSANDBOX" show --json "$session" | grep -q '"exit_code":143'
	in_background --approve web --workspace direct -- /usr/bin/python3 count.py a.ask
	eventually waiting
	session=$(session_of "$GATEWAY")
	"$VSANDBOX" kill "$session"
	await "$GATEWAY"
	[ "$status" -eq 137 ]
	[ "$(state_of "$session")" = ended ]
	in_background --approve web --approval-timeout 1 --workspace direct -- /usr/bin/python3 count.py a.ask
	eventually out_has 'failed a.ask 13'
	eventually counting
	"$VSANDBOX" kill "$(session_of "$GATEWAY")"
	wait "$GATEWAY" || true
}

@test "the first program denied by a person or by time: 121" {
	prepare
	sed -i 's/\*\.ask/*true/; s/"any"/"code_execution"/' "$POLICY"
	run "$VSANDBOX" run -p "$POLICY" --approve web --approval-timeout 1 -- /usr/bin/true
	[ "$status" -eq 121 ]
	[[ "$output" == *'nobody allowed it'* ]]
	"$VSANDBOX" show --json | grep -q '"reason":"approval denied"'
	in_background --approve web -- /usr/bin/true
	eventually waiting
	"$VSANDBOX" approve deny 1
	await "$GATEWAY"
	[ "$status" -eq 121 ]
}

@test "ps and show say paused, and how many approvals wait; a stopped gateway does not hold them up" {
	prepare
	in_background --approve web -- sh -c 'for i in 1 2 3; do echo >$i.ask & done; wait'
	eventually waiting 3
	"$VSANDBOX" ps | grep -q 'running .*(3 wait for approval)'
	"$VSANDBOX" show | grep -q '^to approve 3: vsandbox approve list'
	"$VSANDBOX" pause
	"$VSANDBOX" ps | grep -q ' paused .*(3 wait'
	"$VSANDBOX" show | grep -q '^state      paused'
	kill -STOP "$GATEWAY"
	eventually stopped "$GATEWAY"
	for i in $(seq 20); do # more than wait to be accepted
		timeout 60 "$VSANDBOX" ps --json >"ps$i" 3>&- &
	done
	for pid in $(jobs -pr); do [ "$pid" = "$GATEWAY" ] || wait "$pid"; done
	[ "$(grep -l '"state":"running","live":null' ps* | wc -l)" -eq 20 ]
	kill -CONT "$GATEWAY"
	eventually waiting 3
	"$VSANDBOX" kill "$(sessions)"
}

# Telling a person

# A notifier that writes down what it got; @1 is what it does afterwards.
prepare_notifier() {
	prepare
	mkdir -p "$XDG_CONFIG_HOME/vsandbox"
	cat >"$BATS_TEST_TMPDIR/notifier" <<-SH
		#!/bin/sh
		{
			env | grep ^VSANDBOX_ | sort
			find /proc/\$\$/fd -type l -printf 'fd %l\n'
			grep -c . /proc/self/status | sed 's/.*/end/'
		} >>"$BATS_TEST_TMPDIR/told"
		$1
	SH
	chmod +x "$BATS_TEST_TMPDIR/notifier"
	echo "{ \"notify_command\": \"$BATS_TEST_TMPDIR/notifier\" }" >"$XDG_CONFIG_HOME/vsandbox/config.json"
}

told() {
	grep -qs -- "$1" "$BATS_TEST_TMPDIR/told"
}

told_times() {
	grep -c '^end' "$BATS_TEST_TMPDIR/told"
}

@test "notify_command: told outside the sandbox, escaped, with nothing open but /dev/null" {
	prepare_notifier
	VSANDBOX_RULE=forged in_background --approve web -- python3 -c '
try:
    open("x\x1b[31m$(touch hit)\n.ask", "w")
except OSError as e:
    print("failed", e.errno)'
	eventually told ^end
	cat "$BATS_TEST_TMPDIR/told"
	told "^VSANDBOX_SESSION=$(sessions)\$"
	told '^VSANDBOX_APPROVAL=1$'
	told '^VSANDBOX_WAITING=1$'
	told '^VSANDBOX_TYPE=file_write$'
	told '^VSANDBOX_RULE=asks$'
	told '^VSANDBOX_RESOURCE=.*\$(touch hit).*ask$' # one line: the newline is escaped
	run grep -P '\x1b' "$BATS_TEST_TMPDIR/told"
	[ "$status" -ne 0 ]
	[ ! -e hit ]
	# its own script and what it writes to are not ours
	run grep -vE '^(VSANDBOX_|end|fd (/dev/null|.*/notifier|.*/told|)$)' "$BATS_TEST_TMPDIR/told"
	[ "$status" -ne 0 ]
	[ "$(grep -c '^fd /dev/null$' "$BATS_TEST_TMPDIR/told")" -ge 2 ]
	"$VSANDBOX" approve deny 1
	wait "$GATEWAY"
	out_has 'failed 13'
}

@test "notify_command: forty questions are a few notices, and one that hangs holds up nobody" {
	prepare_notifier 'sleep 60'
	in_background --approve web -- sh -c '
		for i in $(seq 40); do (: >$i.ask) 2>/dev/null || echo denied & done; wait; echo over'
	eventually told ^end
	eventually waiting 40
	for i in $(seq 40); do "$VSANDBOX" approve deny "$i"; done
	wait "$GATEWAY"
	out_has over
	[ "$(told_times)" -lt 10 ] # one hangs for as long as it may, then there is another
}

@test "notify_command: one that cannot be run is said, and the question still waits" {
	prepare_notifier
	printf '#!/no/such/interpreter\n' >"$BATS_TEST_TMPDIR/notifier"
	in_background --approve web -- sh -c 'echo x >a.ask; echo "rc $?"'
	eventually waiting
	grep -q 'nobody is told of approval 1 by it' "$BATS_TEST_TMPDIR/err"
	"$VSANDBOX" approve allow 1
	wait "$GATEWAY"
	out_has 'rc 0'
}

@test "on the terminal: a gateway killed under its prompt leaves the terminal as it was" {
	prepare
	terminal
	# a shell that sets no mode of its own when the program has died
	type_line 'clear; sh -c "\"$VSANDBOX\" run -q -p \"$POLICY\" -- sh -c \"echo x >a.ask; sleep 9\"; until stty -a | grep -c \" icanon.* echo \"; do sleep 0.1; done; read l; echo got-\$l"'
	eventually screen_has 'llow once'
	kill -KILL "$(process_of "$(sessions)" gateway)"
	eventually screen_has '^1$'
	type_line 'seen'
	eventually screen_has 'got-seen'
	screen_has '^seen'
}

# For good

kept_file() {
	ls "$XDG_CONFIG_HOME"/vsandbox/approvals/ask-*.json
}

@test "scope always: later runs of the policy are not asked; policy show --resolved names them" {
	prepare
	: >a.ask
	in_background --approve web -- sh -c 'cat <a.ask; echo "rc $?"'
	eventually waiting
	"$VSANDBOX" approve allow 1 --scope always
	wait "$GATEWAY"
	out_has 'rc 0'
	[ "$(stat -c %a "$(kept_file)")" = 600 ]
	[ ! -e .vsandbox.json ] && [ ! -e .vsandbox ]
	run "$VSANDBOX" run -p "$POLICY" --approve none -- sh -c 'cat <a.ask; echo "rc $?"'
	[[ "$output" == *'rc 0'* ]]
	"$VSANDBOX" logs --json | grep -q '"rule":"always"'
	"$VSANDBOX" policy show --resolved "$POLICY" >resolved.json
	grep -q '// always allowed: file_read (read) ".*/a.ask" to ".*dash"' resolved.json
	"$VSANDBOX" policy check "$PWD/resolved.json"
	# another program, another file, another operation, another policy file: asked
	run "$VSANDBOX" run -p "$POLICY" --approve none -- sh -c 'python3 -c "open(\"a.ask\")" 2>/dev/null; echo "rc $?"'
	[[ "$output" == *'rc 1'* ]]
	run "$VSANDBOX" run -p "$POLICY" --approve none -- sh -c 'echo x >>a.ask; echo "rc $?"'
	[[ "$output" == *'rc 2'* ]]
	cp "$POLICY" other.json
	run "$VSANDBOX" run -p ./other.json --approve none -- sh -c 'cat <a.ask; echo "rc $?"'
	[[ "$output" == *'rc 2'* ]]
	# the name leads elsewhere now
	echo secret >b.ask
	ln -sf b.ask a.ask
	run "$VSANDBOX" run -p "$POLICY" --approve none -- sh -c 'cat <a.ask; echo "rc $?"'
	[[ "$output" == *'rc 2'* && "$output" != *secret* ]]
}

@test "scope always unlocks nothing that is blocked, nor what a project asks about" {
	prepare
	: >a.ask
	in_background --approve web -- sh -c 'cat <a.ask'
	eventually waiting
	"$VSANDBOX" approve allow 1 --scope always
	wait "$GATEWAY"
	run "$VSANDBOX" run -p "$POLICY" --block '*.ask' --approve none -- sh -c 'cat <a.ask; echo "rc $?"'
	[[ "$output" == *'rc 2'* ]]
	printf '{ "name": "p", "rules": [ { "name": "r", "action_type": "any", "resource_pattern": "*.ask", "effect": "pause" } ] }' >.vsandbox.json
	run "$VSANDBOX" run -p "$POLICY" --approve none -- sh -c 'cat <a.ask; echo "rc $?"'
	[[ "$output" == *'rc 2'* ]]
	rm .vsandbox.json
	# one that somebody else could have written, and one that makes no sense: nothing runs
	chmod 0644 "$(kept_file)"
	run "$VSANDBOX" run -p "$POLICY" -- touch ran
	[ "$status" -eq 125 ]
	chmod 0600 "$(kept_file)"
	sed -i 's/"read"/"exec"/' "$(kept_file)"
	run "$VSANDBOX" run -p "$POLICY" -- touch ran
	[ "$status" -eq 125 ]
	[[ "$output" == *'entry 1 is no action'* ]]
}

@test "scope always is refused for what one name does not say, and the question stays" {
	prepare
	sed -i 's/\*\.ask/*true/; s/"any"/"code_execution"/' "$POLICY"
	in_background --approve web -- /usr/bin/true
	eventually waiting
	run "$VSANDBOX" approve allow 1 --scope always
	[ "$status" -eq 125 ]
	[[ "$output" == *'for the session'* ]]
	eventually waiting
	"$VSANDBOX" approve allow 1
	wait "$GATEWAY"
	[ ! -e "$XDG_CONFIG_HOME/vsandbox/approvals" ]
}

@test "on the terminal: A allows for good" {
	prepare
	: >a.ask
	terminal
	type_line 'clear; "$VSANDBOX" run -q -p "$POLICY" -- sh -c "cat <a.ask; echo rc-\$?"; echo e""nd-$?'
	eventually screen_has 'lways'
	press A end-0
	grep -q a.ask "$(kept_file)"
}

# Floods and races

rss_kb() {
	awk '/VmRSS/ {print $2}' "/proc/$(process_of "$(sessions)" "$1")/status"
}

@test "ten thousand different questions: 64 wait, the rest is denied, memory stays, an answer still counts" {
	prepare
	in_background --approve web --workspace direct -- python3 -c '
import threading, time
denied = [0]
def make(i):
    try:
        open("%d.ask" % i, "w").close()
        print("made", i, flush=True)
    except OSError:
        denied[0] += 1
for i in range(64):
    threading.Thread(target=make, args=(i,), daemon=True).start()
while True:
    try:
        open("go").close()
        break
    except OSError:
        time.sleep(0.05)
from_ = time.monotonic()
for i in range(64, 10064):
    make(i)
print("asked", denied[0], "in %.2f s" % (time.monotonic() - from_), flush=True)
time.sleep(300)' # the daemons go with it
	eventually waiting 64
	local monitor gateway
	monitor=$(rss_kb monitor) gateway=$(rss_kb gateway)
	: >go
	eventually out_has 'asked 10000'
	echo "# $(grep asked "$BATS_TEST_TMPDIR/out"); monitor $monitor -> $(rss_kb monitor) kB, gateway $gateway -> $(rss_kb gateway) kB" >&3
	[ "$(rss_kb monitor)" -lt $((monitor + 8192)) ]
	[ "$(rss_kb gateway)" -lt $((gateway + 8192)) ]
	waiting 64
	"$VSANDBOX" approve allow 64
	eventually out_has made
	eventually waiting 63
	"$VSANDBOX" kill "$(sessions)"
}

@test "a rename whose directory leads elsewhere when it is allowed is asked anew, and harms neither" {
	prepare
	mkdir good evil
	echo good >good/x.ask
	echo evil >evil/x.ask
	in_background --approve web -- python3 -c '
import os, threading, time
def move():
    try:
        os.rename("good/x.ask", "moved")
        print("renamed", open("moved").read(), flush=True)
    except OSError as e:
        print("failed", e.errno, flush=True)
t = threading.Thread(target=move)
t.start()
while not os.path.exists("gate/open"):
    time.sleep(0.02)
os.rename("good", "old")
os.symlink("evil", "good")
print("swapped", flush=True)
t.join()
print(sorted(os.listdir("evil")), sorted(os.listdir("old")), flush=True)'
	eventually asked_for /good/x.ask
	open_gate
	eventually out_has swapped
	"$VSANDBOX" approve allow 1
	eventually asked_for /evil/x.ask
	"$VSANDBOX" approve deny 2
	wait "$GATEWAY"
	out_has 'failed 13'
	out_has "\['x.ask'\] \['x.ask'\]"
}
