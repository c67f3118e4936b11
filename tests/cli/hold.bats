load common

# A policy that asks for everything named *.ask; a terminal in tmux, on a server of its own.
prepare() {
	export XDG_RUNTIME_DIR=$BATS_TEST_TMPDIR/run TMUX_TMPDIR=$BATS_TEST_TMPDIR
	mkdir -p -m 0700 "$XDG_RUNTIME_DIR"
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
}

teardown() {
	if [ -n "${TERMINAL-}" ]; then
		tmux -L t kill-server 2>/dev/null || true
	fi
	if [ -n "${GATEWAY-}" ]; then
		kill -KILL "$GATEWAY" 2>/dev/null || true
	fi
}

terminal() {
	TERMINAL=1
	tmux -L t -f /dev/null new-session -d -x 150 -y 50 'env PS1="$ " bash --norc --noprofile -i' 3>&-
	within 5 screen_has '^\$'
}

screen() {
	tmux -L t capture-pane -p -t 0
}

screen_has() {
	screen | grep -q -- "$1"
}

type_line() {
	tmux -L t send-keys -t 0 -l "$1"
	tmux -L t send-keys -t 0 Enter
}

press() {
	sleep 0.4 # a hasty key is no answer
	tmux -L t send-keys -t 0 "$1"
}

in_background() {
	"$VSANDBOX" run -p "$POLICY" --timeout 60 "$@" 3>&- >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" </dev/null &
	GATEWAY=$!
}

waiting() {
	[ "$("$VSANDBOX" approve list | wc -l)" -eq "${1:-1}" ]
}

has_file() {
	[ -e "$1" ]
}

out_has() {
	grep -q -- "$1" "$BATS_TEST_TMPDIR/out"
}

@test "an approved call happens, a denied one fails with EACCES and nothing happened" {
	prepare
	in_background --approve web -- sh -c 'echo one >a.ask; echo "rc $?"; echo two >b.ask; echo "rc $?"'
	within 5 waiting
	! out_has rc
	"$VSANDBOX" approve allow 1
	within 5 out_has 'rc 0'
	within 5 waiting
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
	within 5 waiting
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
	out_has done
	run "$VSANDBOX" approve allow 1
	[ "$status" -eq 125 ]
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
	within 5 waiting
	"$VSANDBOX" approve list --json | grep -q '"reason":"threshold"'
	"$VSANDBOX" kill "$(sessions)"
	run wait "$GATEWAY"
}

# Terminals

@test "on the terminal: a key allows, another denies, and what is shown says why" {
	prepare
	terminal
	type_line 'clear; "$VSANDBOX" run -q -p "$POLICY" -- sh -c "echo x >a.ask; echo rc-\$?; echo y >b.ask; echo rc-\$?"; echo e""nd-$?'
	within 5 screen_has 'allow once'
	screen_has 'file_write (create)'
	screen_has 'program   /usr/bin/dash'
	screen_has 'because   asks'
	screen_has 'action_severity'
	press a
	within 5 screen_has 'rc-0'
	within 5 screen_has 'approval 2'
	press d
	within 5 screen_has 'rc-2'
	within 5 screen_has 'end-0'
	# the terminal is as it was
	type_line 'stty -a | grep -c " icanon.* echo "'
	within 5 screen_has '^1$'
}

@test "on the terminal: what was typed for the agent stays the agent's" {
	prepare
	terminal
	type_line 'clear; "$VSANDBOX" run -p "$POLICY" -- sh -c "echo re""ady; sleep 1; echo x >a.ask; read l; echo got-\$l"'
	within 5 screen_has ready
	type_line 'aaa'
	within 5 screen_has 'behind what was typed'
	"$VSANDBOX" approve allow 1
	within 5 screen_has 'got-aaa'
}

@test "on the terminal: Ctrl-C ends a held program as it would any other" {
	prepare
	terminal
	type_line 'clear; "$VSANDBOX" run -q -p "$POLICY" -- sh -c "echo x >a.ask"; echo e""nd-$?'
	within 5 screen_has 'allow once'
	press C-c
	within 5 screen_has 'end-130'
}

@test "on the terminal: Ctrl-Z and fg, then the question again" {
	prepare
	terminal
	type_line 'clear; "$VSANDBOX" run -q -p "$POLICY" -- sh -c "echo x >a.ask; echo rc-\$?"; echo e""nd-$?'
	within 5 screen_has 'allow once'
	press C-z
	within 5 screen_has 'Stopped'
	type_line 'clear; echo bet""ween'
	within 5 screen_has '^between'
	type_line 'fg'
	within 5 screen_has 'allow once'
	press a
	within 5 screen_has 'rc-0'
}

@test "on the terminal: K ends the run with 121" {
	prepare
	terminal
	type_line 'clear; "$VSANDBOX" run -q -p "$POLICY" -- sh -c "echo x >a.ask; sleep 9"; echo e""nd-$?'
	within 5 screen_has 'allow once'
	press K
	within 5 screen_has 'end-121'
}

@test "a full-screen program keeps its screen; another terminal answers" {
	prepare
	seq 1000 >long
	terminal
	type_line 'clear; "$VSANDBOX" run -q -p "$POLICY" -- sh -c "(sleep 1; echo x >a.ask; echo >answered) & less long"; echo e""nd-$?'
	within 5 waiting
	screen_has '^1$'
	! screen_has 'allow once'
	tmux -L t resize-window -x 100 -y 20
	press Space
	within 5 screen_has '^38$'
	"$VSANDBOX" approve allow 1
	press q
	within 5 screen_has 'end-0'
	run "$VSANDBOX" diff
	[[ "$output" == *answered* ]]
}
