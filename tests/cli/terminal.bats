load common
load terminal

# What people do in front of a real terminal, with programs that draw the whole of it.

# A shell that runs VIM on a file, with no settings of this machine's.
vim() {
	type_line "clear; \"\$VSANDBOX\" run $1 -p \"\$POLICY\" -- vim -N -u NONE -i NONE ${*:2}; echo e\"\"nd-\$?"
	eventually screen_has '^~'
}

# What is typed into vim, which says INSERT while it takes it.
insert() {
	type_key o
	eventually screen_has '^-- INSERT --'
	type_text "$1"
	type_key Escape
	eventually screen_lacks '^-- INSERT --'
}

open_and_ask() {
	cat >"$BATS_TEST_TMPDIR/ask.json" <<-'JSON'
		{
			"name": "ask",
			"description": "asks for *.ask, refuses *.secret",
			"max_actions_per_minute": 10000000,
			"risk_threshold": 1.0,
			"blocked_resources": [ "*.secret" ],
			"rules": [
				{ "name": "asks", "action_type": "any", "resource_pattern": "*.ask", "effect": "pause" }
			]
		}
	JSON
	POLICY=$BATS_TEST_TMPDIR/ask.json
	export XDG_RUNTIME_DIR=$BATS_TEST_TMPDIR/run
	mkdir -m 0700 "$XDG_RUNTIME_DIR"
}

question_waits() {
	[ "$("$VSANDBOX" approve list | wc -l)" -eq 1 ]
}

denied_in_log() {
	"$VSANDBOX" logs --decision block | grep -q -- "$1"
}

# Nothing of ours, nor of a message torn in two, stands on the screen.
screen_is_vims() {
	screen_lacks vsandbox && screen_lacks denied && screen_lacks approval
}

@test "vim: a file is edited and written; the host has it after the commit" {
	echo one >f
	terminal 80 24
	vim -q f
	insert two
	type_line ':wq'
	eventually screen_has '^end-0'
	[ "$(cat f)" = one ]
	"$VSANDBOX" diff -p >changes
	grep -qx '+two' changes
	"$VSANDBOX" commit --yes
	[ "$(cat f)" = $'one\ntwo' ]
	# the terminal is the shell's again
	type_line 'stty -a | grep -c " icanon.* echo "'
	eventually screen_has '^1$'
}

@test "vim: a denial and a question leave its screen alone, the bell rings, another terminal answers" {
	open_and_ask
	seq -f 'line %g' 3 >f
	terminal 80 24
	vim '' f
	type_line ':w x.secret'
	eventually denied_in_log x.secret
	eventually screen_has E212
	screen_is_vims
	type_key Enter
	eventually screen_has '^line 1'
	tmux -L t pipe-pane -t 0 "cat >'$BATS_TEST_TMPDIR/raw'"
	type_line ':w y.ask'
	eventually question_waits
	belled() { grep -qa $'\a' "$BATS_TEST_TMPDIR/raw"; }
	eventually belled
	eventually screen_has '^"y.ask"'
	screen | head -n 23 >before
	[ "$(head -n 3 before)" = $'line 1\nline 2\nline 3' ]
	[ "$(grep -c '^~' before)" -eq 20 ]
	"$VSANDBOX" approve allow 1
	eventually screen_has '"y.ask".* written'
	screen | head -n 23 | cmp - before
	type_line ':q'
	eventually screen_has '^end-0'
	# now it is said
	screen_has 'denied file_write .*x.secret'
	screen_has 'approval 1 allowed'
	"$VSANDBOX" diff --name-status | grep -q 'y.ask'
}

@test "a question that a full-screen program kept from the terminal is asked when it has gone" {
	open_and_ask
	mkdir gate
	terminal 100 30
	type_line 'clear; "$VSANDBOX" run -q -p "$POLICY" --direct "$PWD/gate" -- sh -c "(until [ -e gate/open ]; do sleep 0.02; done; echo x >a.ask; echo >gate/answered) & vim -N -u NONE -i NONE; wait"; echo e""nd-$?'
	eventually screen_has '^~'
	: >gate/open
	eventually question_waits
	screen_lacks 'llow once'
	type_line ':q'
	eventually screen_has 'llow once'
	press a end-0
	[ -e gate/answered ]
}

@test "vim: Ctrl-Z, fg and a resize; what it edits is still there" {
	terminal 80 24
	vim '' f
	insert kept
	type_key C-z
	eventually screen_has Stopped
	type_line 'clear; echo bet""ween'
	eventually screen_has '^between'
	type_line fg
	eventually screen_has '^kept'
	screen_has '^~'
	tmux -L t resize-window -x 40 -y 12
	taller() { [ "$(screen | grep -c '^~')" -eq "$1" ]; }
	eventually taller 9 # the two lines and the last are taken
	tmux -L t resize-window -x 100 -y 30
	eventually taller 27
	type_line ':x'
	eventually screen_has 'next: vsandbox diff'
	"$VSANDBOX" diff -p | grep -qx '+kept'
}

@test "less: redrawn at each size, and no key is lost" {
	seq 1000 >long
	terminal 80 24
	type_line 'clear; "$VSANDBOX" run -q -p "$POLICY" -- less long; echo e""nd-$?'
	eventually screen_has '^23$'
	tmux -L t resize-window -x 60 -y 10
	eventually screen_lacks '^23$'
	eventually screen_has '^9$'
	type_key Space
	eventually screen_has '^18$'
	tmux -L t resize-window -x 60 -y 40
	eventually screen_has '^48$'
	type_key q
	eventually screen_has '^end-0'
}

@test "Ctrl-C twice ends a program that ignores it, and at a shell's prompt ends nothing" {
	terminal 80 24
	type_line 'clear; "$VSANDBOX" run -p "$POLICY" -- sh -c "trap : INT; echo re""ady; while :; do sleep 60; done"; echo e""nd-$?'
	eventually screen_has '^ready'
	twice() { # hurried, until both have come within the second
		type_key C-c
		sleep 0.2
		type_key C-c
		acknowledged "$1"
	}
	eventually twice 'end-137'
	type_line 'clear; PS1="inside> " "$VSANDBOX" run -q -p "$POLICY" -- bash --norc --noprofile -i; echo e""nd-$?'
	eventually screen_has '^inside>'
	for _ in 1 2 3 4 5; do
		type_key C-c
		sleep 0.1
	done
	type_line 'echo still-he""re; exit 7'
	eventually screen_has '^still-here'
	eventually screen_has '^end-7'
}

@test "no byte of ours on the terminal of a quiet run, and on another's every line is whole" {
	quiet_and_not() {
		script -qec "$1" /dev/null </dev/null
	}
	box -q -- true # what a first run has to say
	[ "$(quiet_and_not "'$VSANDBOX' run -q -p '$POLICY' -- printf abc" | od -An -c | tr -d ' \n')" = abc ]
	quiet_and_not "'$VSANDBOX' run -p '$POLICY' -- sh -c 'printf out; touch n; (echo >x.secret) 2>/dev/null; true'" >shown
	# each of our lines begins with our name, colour codes are closed, and the agent's bytes are there once
	tr -d '\r' <shown | sed -e 's/\x1b\[[0-9]*m//g' >plain
	[ "$(grep -c '^vsandbox: \|^out' plain)" -ge 3 ]
	[ "$(grep -o 'out' plain | wc -l)" -ge 1 ]
	[ "$(grep -o $'\x1b\\[[1-9][0-9]*m' shown | wc -l)" -eq "$(grep -o $'\x1b\\[0m' shown | wc -l)" ]
	! grep -q $'\x1b[^[]' shown
}

@test "60 columns: the question, top and diff can be read" {
	open_and_ask
	for i in $(seq 40); do : >"f$i"; done
	terminal 60 20
	type_line 'clear; "$VSANDBOX" run -q -p "$POLICY" -- sh -c "echo x >a.ask; rm f*; echo rc-\$?; exec sleep 600"; echo e""nd-$?'
	eventually screen_has 'llow once'
	screen_has 'vsandbox: approval 1: file_write (create)'
	press a rc-0
	type_key C-z
	eventually screen_has Stopped
	type_line 'clear; "$VSANDBOX" top --once | cat; "$VSANDBOX" top'
	eventually screen_has '^SESSION .*…$'
	[ "$(screen | grep -c '^20')" -ge 1 ]
	type_key C-c
	type_line 'clear; "$VSANDBOX" diff'
	eventually screen_has '^D .*/f1$' # one screen of more, by a pager
	screen_lacks ' deleted, '
	type_key G
	eventually screen_has '40 deleted, 0 modified, 1 added'
	type_key q
	type_line 'clear; PAGER=cat "$VSANDBOX" diff; echo al""l'
	eventually screen_has '^all'
	screen_has '40 deleted, 0 modified, 1 added'
	type_line 'clear; fg'
	eventually screen_has '^"$VSANDBOX" run'
	type_key C-c
	eventually screen_has '^\^C'
}

@test "an ordinary user without a terminal: what runs is as quiet, what asks says how to answer" {
	[ "$(id -u)" -eq 0 ] || skip "root is needed to become another"
	home=$(mktemp -d /var/tmp/vsandbox-notty-XXXXXX)
	mkdir "$home"/{work,run}
	cp "$POLICY" "$home/open.json"
	chmod 755 "$home"
	chmod 700 "$home/run"
	chown -R 12345:12345 "$home"
	as_other() {
		(cd "$home/work" && timeout 120 setsid -w setpriv --reuid 12345 --regid 12345 --clear-groups env -i HOME="$home" \
			PATH=/usr/bin:/bin XDG_RUNTIME_DIR="$home/run" "$VSANDBOX" "$@" </dev/null)
	}
	run as_other run -p ../open.json -- sh -c 'echo out; echo err >&2; exit 4'
	seen=$output code=$status
	run as_other run -p ../open.json -- touch made
	touched=$output
	run as_other commit
	asked=$output asked_code=$status
	as_other discard --yes
	rm -rf "$home"
	[ "$code" -eq 4 ]
	[ "$seen" = $'out\nerr' ]
	[[ $touched != *$'\033'* && $touched == *"vsandbox commit"* ]]
	[ "$asked_code" -eq 125 ]
	[[ $asked == *--yes* ]]
}
