load common

@test "no session yet: a hint, not a crash" {
	run "$VSANDBOX" ps
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	run "$VSANDBOX" show
	[ "$status" -eq 125 ]
	[[ $output == *"vsandbox run"* ]]
}

@test "ps and show tell the last run; ids may be shortened" {
	box --name tester -- sh -c 'exit 3' || true
	id=$(sessions)
	run "$VSANDBOX" ps
	[[ ${lines[1]} == "$id"*" ended "*" 3 "*tester*open*"sh -c 'exit 3'" ]]
	run "$VSANDBOX" show "${id#*-}"
	[ "$status" -eq 0 ]
	[[ $output == *"exit code  3"* ]]
	run "$VSANDBOX" show nosuch
	[ "$status" -eq 125 ]
}

@test "without an id it is the latest from this directory" {
	box -- touch here
	mkdir ../other
	cd ../other
	box -- touch there
	cd ../work
	"$VSANDBOX" diff --name-status | grep -q /work/here
	cd /
	"$VSANDBOX" diff --name-status | grep -q /other/there
}

@test "diff: deletions first, a path narrows, JSON and stat" {
	mkdir src
	echo 1 >src/old
	echo 12 >changed
	box -q -- sh -c 'rm -r src; echo 123 >changed; touch added'
	run "$VSANDBOX" diff
	[[ ${lines[0]} == "D "* ]]
	[[ $output == *"M "*/changed*"A "*/added* ]]
	run "$VSANDBOX" diff --name-status ./src
	[[ $output == *$'D\t'*/src/old* && $output != *changed* ]]
	run "$VSANDBOX" diff --stat
	[[ $output == *"3 -> 4 bytes"* ]]
	"$VSANDBOX" diff --json | python3 -c '
import json, sys
kinds = {c["path"].rsplit("/", 1)[1]: c["kind"] for c in json.load(sys.stdin)["changes"]}
assert kinds["old"] == "deleted" and kinds["changed"] == "modified" and kinds["added"] == "added"'
}

@test "diff: a name alone is a session's; behind -- or with a slash it is a path" {
	box -q -- sh -c 'touch here; mkdir sub; touch sub/there'
	run "$VSANDBOX" diff here
	[ "$status" -eq 125 ]
	[[ $output == *"no session 'here'"*"vsandbox diff -- here"* ]]
	for one in "-- here" "./here" "$(sessions) here"; do
		# shellcheck disable=SC2086 # words
		run "$VSANDBOX" diff --name-status $one
		[ "$status" -eq 0 ]
		[ "$output" = $'A\t'"$PWD/here" ]
	done
	run "$VSANDBOX" diff ./here ./sub
	[ "$status" -eq 125 ]
	run "$VSANDBOX" commit --yes here
	[ "$status" -eq 125 ]
	[[ $output == *"vsandbox commit -- here"* ]]
	[ ! -e here ]
	"$VSANDBOX" commit --yes -- here sub
	[ -e here ] && [ -e sub/there ]
}

@test "discard wants a yes, then drops the changes and keeps the log" {
	box -q -- touch fresh
	run "$VSANDBOX" discard </dev/null
	[ "$status" -eq 125 ]
	[[ $output == *--yes* ]]
	"$VSANDBOX" diff --name-status | grep -q fresh
	run "$VSANDBOX" discard --yes
	[ "$status" -eq 0 ]
	[ -z "$("$VSANDBOX" diff 2>/dev/null)" ]
	"$VSANDBOX" logs | grep -q fresh
	[ "$(state_of "$(sessions)")" = ended ]
}

@test "a running session that is discarded goes on" {
	start_sleeper
	run "$VSANDBOX" discard --yes "$SESSION"
	[ "$status" -eq 0 ]
	[[ $output == *"which goes on"* ]]
	[ -z "$("$VSANDBOX" diff --name-status "$SESSION")" ]
	[ "$(state_of "$SESSION")" = running ]
	"$VSANDBOX" kill "$SESSION"
	wait "$GATEWAY" || true
}

@test "logs filter by type, decision and time; follow ends with the session" {
	box -q -- sh -c 'touch a; (echo >b.secret) 2>/dev/null; true'
	run "$VSANDBOX" logs --type file_write
	[[ $output == */a* && $output != *file_read* ]]
	run "$VSANDBOX" logs --decision block
	[ "${#lines[@]}" -eq 1 ]
	[[ $output == *b.secret* ]]
	[ -z "$("$VSANDBOX" logs --since 2999-01-01)" ]
	[ -n "$("$VSANDBOX" logs --since 1h)" ]
	run "$VSANDBOX" logs --type flie_read
	[ "$status" -eq 125 ]
	[[ $output == *"did you mean file_read"* ]]
	timeout 60 "$VSANDBOX" logs -f | grep -q session_end
	"$VSANDBOX" logs --json | python3 -c '
import json, sys
for line in sys.stdin: json.loads(line)'
}

@test "a damaged line of the log is told by number, the rest is read" {
	box -q -- touch a
	log=$XDG_STATE_HOME/vsandbox/sessions/$(sessions)/events.jsonl
	sed -i '2s/.*/{"v":1,/' "$log"
	run "$VSANDBOX" logs
	[ "$status" -eq 0 ]
	[[ $output == *"events.jsonl:2 is damaged"* && $output == *session_end* ]]
	run "$VSANDBOX" audit verify
	[ "$status" -eq 1 ]
}

@test "a damaged session shows as damaged, beside the others" {
	box -q -- true
	box -q -- true
	first=$(sessions | head -n 1)
	echo '{"id":' >"$XDG_STATE_HOME/vsandbox/sessions/$first/session.json"
	run "$VSANDBOX" ps
	[ "$status" -eq 0 ]
	[[ $output == *"$first"*" damaged "* && $output == *" ended "* ]]
	"$VSANDBOX" ps --json | python3 -c 'import json, sys; json.load(sys.stdin)'
}

@test "hostile names are escaped in ps, logs and diff" {
	name=$(printf 'x\033[31m\r\n\302\233y')
	box -q -- touch "$name"
	for verb in ps logs diff "diff --name-status" show; do
		# shellcheck disable=SC2086 # verb and flag
		"$VSANDBOX" $verb >out
		not grep -q $'\033\|\r\|\302\233' out
	done
	grep -q 'x\\x1b\[31m\\x0d\\n' <("$VSANDBOX" diff --name-status)
	"$VSANDBOX" diff --json | N=$name python3 -c '
import json, os, sys
assert json.load(sys.stdin)["changes"][0]["path"].endswith("/" + os.environ["N"])'
}

@test "why explains an event and an action to come" {
	box -q -- sh -c '(echo >b.secret) 2>/dev/null; true'
	event=$("$VSANDBOX" logs --decision block | awk '{print $1}')
	run "$VSANDBOX" why --event "$event"
	[ "$status" -eq 0 ]
	[[ $output == *"decision   block"*"open.json:5"*"to allow"*action_severity* ]]
	run "$VSANDBOX" why --event 99999
	[ "$status" -eq 125 ]
	run "$VSANDBOX" why -p "$POLICY" --path z.secret --op write
	[[ $output == *"decision   block"* ]]
	run "$VSANDBOX" why -p "$POLICY" --path z.txt --op write
	[[ $output == *"decision   allow"* ]]
	run "$VSANDBOX" why -p "$POLICY" --exec -- sh -c 'echo'
	[[ $output == *"code_execution"* ]]
	"$VSANDBOX" why -p "$POLICY" --host example.com --json | python3 -c 'import json, sys; json.load(sys.stdin)'
	run "$VSANDBOX" why
	[ "$status" -eq 125 ]
}

@test "rollback lists what left the sandbox since, and stays done" {
	box -q --net host -- bash -c 'exec 3<>/dev/tcp/127.0.0.1/9; echo x >new; exec 3<>/dev/tcp/127.0.0.1/10; true' 2>/dev/null
	run "$VSANDBOX" rollback --dry-run --json --last 1
	[[ $output == *'"external":[{'*'"resource":"127.0.0.1:10"'* ]]
	run "$VSANDBOX" rollback --yes --last 1
	[[ $output == *"undone 1,"*"stay done:"*"network_request  127.0.0.1:10"* && $output != *127.0.0.1:9* ]]
}

@test "a state directory that others may enter is refused" {
	box -q -- true
	chmod 0755 "$XDG_STATE_HOME/vsandbox"
	run "$VSANDBOX" ps
	[ "$status" -eq 125 ]
	[[ $output == *"chmod 0700"* ]]
}

@test "doctor says what it found, as text and as JSON" {
	run "$VSANDBOX" doctor
	[ "$status" -eq 0 ] || [ "$status" -eq 123 ]
	[[ $output == *overlay* && $output == *seccomp-notify* ]]
	"$VSANDBOX" doctor --json | python3 -c '
import json, sys
d = json.load(sys.stdin)
assert d["ok"] == all(l["level"] != "fail" for l in d["layers"])'
	[ -z "$(ls -A "$XDG_STATE_HOME/vsandbox" | grep probe)" ]
}

@test "ps: columns are as wide as the names in them, the head's too" {
	box -- true
	run "$VSANDBOX" ps
	[[ ${lines[0]} == *" AGENT  POLICY  COMMAND" ]]
	box --name an-agent-of-some-length -- true
	run "$VSANDBOX" ps
	head=${lines[0]%%COMMAND*}
	[[ ${lines[0]} == *" AGENT                    POLICY  COMMAND" ]]
	for row in 1 2; do
		[ "${lines[$row]:${#head}}" = true ]
	done
	[[ ${lines[1]} == *" an-agent-of-some-length  open    true" ]]
}
