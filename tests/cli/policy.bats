load common

# The verb policy, and the policy a project brings along.

without_comments() {
	sed -E 's| // "[^"]*"(:[0-9]+)?$||' "$@"
}

@test "policy list: text, names, JSON; the user's own first" {
	mkdir -p "$XDG_CONFIG_HOME/vsandbox/policies"
	echo '{"name":"mine","description":"my own"}' >"$XDG_CONFIG_HOME/vsandbox/policies/mine.json"
	run "$VSANDBOX" policy list
	[[ ${lines[0]} == "mine "*"my own" ]]
	[[ $output == *"strict "* ]]
	"$VSANDBOX" policy list --json | python3 -c '
import json, sys
d = json.load(sys.stdin)
assert d["schema_version"] == 1
assert "mine" in [p["name"] for p in d["policies"]]'
}

@test "policy show --resolved is a policy file that decides the same" {
	box -q -- sh -c 'cat /etc/passwd; echo x >a; rm a; (echo s >b.secret) 2>/dev/null; true'
	for name in $("$VSANDBOX" policy list --names) "$POLICY"; do
		"$VSANDBOX" policy show --resolved "$name" >once.json
		"$VSANDBOX" policy check ./once.json >/dev/null
		"$VSANDBOX" policy show --resolved ./once.json >twice.json
		diff <(without_comments once.json) <(without_comments twice.json)
		"$VSANDBOX" policy test --json --fail-on none "$name" >direct
		"$VSANDBOX" policy test --json --fail-on none ./once.json >resolved
		python3 - direct resolved <<-'PY'
			import json, sys
			a, b = (json.load(open(f)) for f in sys.argv[1:])
			assert a["decisions"] == b["decisions"], (a["decisions"], b["decisions"])
			assert a["actions"] > 10
		PY
	done
	"$VSANDBOX" policy show --resolved strict | grep -q '"secrets.aws", "patterns"'
	"$VSANDBOX" policy show --resolved strict | grep -q '// ".*strict.json":[0-9]'
}

@test "policy show --resolved keeps rules with their times, rates by type, ports" {
	cat >full.json <<-'JSON'
		{
			"name": "full", "max_actions_per_minute": {"file_write": 7, "any": 99},
			"max_risk_score": 0.35, "allowed_action_types": ["file_read", "api_call"],
			"rules": [{"name": "n", "action_type": "file_read", "resource_pattern": "/x/*", "effect": "allow",
				"priority": -3, "max_risk_score": 0.1, "time_start": "22:15", "time_end": "06:00", "days_allowed": ["mon", "sun"]}],
			"network": {"mode": "allowlist", "block_hosts": ["10.0.0.0/8"], "publish": [8080]},
			"limits": {"memory": "1G", "cpu": 1.5}, "spawn": false,
			"monitors": {"cpu": {"percent": 42}, "memory": false}
		}
	JSON
	"$VSANDBOX" policy show --resolved ./full.json >once.json
	for text in '"file_write": 7' '"any": 99' '"priority": -3' '"time_start": "22:15", "time_end": "06:00"' \
		'"days_allowed": \["mon", "sun"\]' '"publish": \[ "8080:8080" \]' '"percent": 42' '"cpu": 1.5' '"allow_hosts": \[\]'; do
		grep -q -- "$text" once.json || { echo "$text"; cat once.json; false; }
	done
	"$VSANDBOX" policy show --resolved ./once.json | diff <(without_comments once.json) <(without_comments -)
}

@test "policy create from a template, for an agent, never over another; delete only one's own" {
	run "$VSANDBOX" policy create --template strict tight
	[ "$status" -eq 0 ]
	[ -f "$output" ]
	[ "$(stat -c %a "$output")" = 600 ]
	"$VSANDBOX" policy check tight
	grep -q '"extends": \[ "strict" \]' "$output"
	run "$VSANDBOX" policy create tight
	[ "$status" -eq 125 ]
	[[ $output == *already* ]]
	run "$VSANDBOX" policy create --template nosuch other
	[ "$status" -eq 125 ]
	[[ $output == *'no policy "nosuch"; see "vsandbox policy list"' ]]
	run "$VSANDBOX" policy create ../evil
	[ "$status" -eq 125 ]
	run "$VSANDBOX" policy delete --yes strict
	[ "$status" -eq 125 ]
	[[ $output == *"only your own"* ]]
	run "$VSANDBOX" policy delete tight </dev/null
	[ "$status" -eq 125 ]
	[[ $output == *--yes* ]]
	"$VSANDBOX" policy delete --yes tight
	run "$VSANDBOX" policy delete --yes tight
	[ "$status" -eq 125 ]
}

@test "policy create --agent-id: run --name finds it, unless -p says otherwise" {
	"$VSANDBOX" policy create --agent-id my-agent --template dev
	sed -i 's|"blocked_resources": \[\]|"blocked_resources": ["*.hers"]|' "$XDG_CONFIG_HOME/vsandbox/policies/my-agent.json"
	touch a.hers
	run "$VSANDBOX" run -q --name my-agent -- cat a.hers
	[ "$status" -ne 0 ]
	"$VSANDBOX" run -q --name other -- cat a.hers
	box -q --name my-agent -- cat a.hers
	run "$VSANDBOX" policy create --agent-id a b
	[ "$status" -eq 125 ]
}

@test "policy test replays a session or a file and says what would change" {
	box -q -- sh -c 'echo x >a.txt; (echo s >b.secret) 2>/dev/null; true'
	run "$VSANDBOX" policy test "$POLICY"
	[ "$status" -eq 0 ]
	[[ $output == *" 0 would meet a stricter decision, 0 a more lenient"* ]]
	sed 's/\*\.secret/*.txt/' "$POLICY" >other.json
	run "$VSANDBOX" policy test --log "$(sessions)" ./other.json
	[ "$status" -eq 1 ]
	[[ $output == *"block  -> allow "*b.secret* ]]
	[[ $output == *"allow  -> block "*a.txt*"*.txt"*"other.json:5"* ]]
	run "$VSANDBOX" policy test --fail-on none ./other.json
	[ "$status" -eq 0 ]
	cp "$XDG_STATE_HOME/vsandbox/sessions/$(sessions)/events.jsonl" copy.jsonl
	"$VSANDBOX" policy test --json --log copy.jsonl --fail-on none ./other.json | python3 -c '
import json, sys
d = json.load(sys.stdin)
assert d["stricter"] == 1 and d["looser"] == 1, d
assert {c["old"] for c in d["changes"]} == {"allow", "block"}'
	sed 's/\*\.secret/*.nothing/' "$POLICY" >looser.json
	run "$VSANDBOX" policy test --fail-on stricter ./looser.json
	[ "$status" -eq 0 ]
	run "$VSANDBOX" policy test --fail-on looser ./looser.json
	[ "$status" -eq 1 ]
	run "$VSANDBOX" policy test --fail-on sometimes ./looser.json
	[ "$status" -eq 125 ]
	sed -i '3s/.*/{"v":1,/' copy.jsonl
	run "$VSANDBOX" policy test --log ./copy.jsonl --fail-on none "$POLICY"
	[ "$status" -eq 1 ]
	[[ $output == *"copy.jsonl:3"* || $output == *"events.jsonl:3 is damaged"* ]]
}

@test "a project's policy tightens, and cannot loosen" {
	echo '{"blocked_resources": ["*.theirs"], "on_exit": "discard"}' >.vsandbox.json
	touch a.theirs a.secret
	run box -q -- cat a.theirs
	[ "$status" -ne 0 ]
	run box -q -- cat a.secret
	[ "$status" -ne 0 ]
	box -q -- sh -c 'echo kept >new'
	"$VSANDBOX" diff --name-status | grep -q new
	# the person's own word comes first
	box -q --no-project -- cat a.theirs
	run "$VSANDBOX" why -p "$POLICY" --path a.theirs
	[[ $output == *"decision   block"*".vsandbox.json"* ]]
	run "$VSANDBOX" why -p "$POLICY" --no-project --path a.theirs
	[[ $output == *"decision   allow"* ]]
	echo '{"mode": "observe", "network": {"mode": "host"}, "allowed_resources": ["/**"]}' >.vsandbox.json
	run box -q -- cat a.secret
	[ "$status" -ne 0 ]
	[ "$(box --dry-run -- true | python3 -c 'import json, sys; print(json.load(sys.stdin)["net"])')" = allowlist ]
}

@test "a project's policy that cannot be understood, or is there twice, stops the run" {
	echo '{"blocked_resorces": []}' >.vsandbox.json
	run box -- touch started
	[ "$status" -eq 125 ]
	[[ $output == *".vsandbox.json:1"*blocked_resources* ]]
	echo '{}' >.vsandbox.json
	mkdir .vsandbox
	echo '{}' >.vsandbox/policy.json
	run box -- touch started
	[ "$status" -eq 125 ]
	[[ $output == *"keep one"* ]]
	[ -z "$(sessions)" ]
}

@test "policy trust: the project's policy is the default; a change takes the trust away and says so" {
	echo '{"name": "proj", "max_actions_per_minute": 1000000}' >.vsandbox.json
	mkdir -p "$BATS_TEST_TMPDIR/home/.aws"
	export HOME=$BATS_TEST_TMPDIR/home
	echo key >"$HOME/.aws/credentials"
	run "$VSANDBOX" run -q -- cat "$HOME/.aws/credentials"
	[ "$status" -ne 0 ]
	run "$VSANDBOX" policy trust </dev/null
	[ "$status" -eq 125 ]
	[[ $output == *--yes* ]]
	"$VSANDBOX" policy trust --yes
	[ "$(stat -c %a "$XDG_CONFIG_HOME/vsandbox/trusted.json")" = 600 ]
	"$VSANDBOX" policy trust --names | grep -q "work/.vsandbox.json"
	"$VSANDBOX" run -q -- cat "$HOME/.aws/credentials"
	# asked for by name, another policy still decides
	run "$VSANDBOX" run -q -p dev -- cat "$HOME/.aws/credentials"
	[ "$status" -ne 0 ]
	echo '// one more line' >>.vsandbox.json
	run "$VSANDBOX" run -- cat "$HOME/.aws/credentials"
	[ "$status" -ne 0 ]
	[[ $output == *"has been changed since"* ]]
	"$VSANDBOX" policy trust --yes
	"$VSANDBOX" run -q -- cat "$HOME/.aws/credentials"
	"$VSANDBOX" policy trust --revoke
	run "$VSANDBOX" run -q -- cat "$HOME/.aws/credentials"
	[ "$status" -ne 0 ]
	run "$VSANDBOX" policy trust --revoke
	[ "$status" -eq 125 ]
}

@test "trust covers what the project's policy extends within the project" {
	echo '{"extends": ["./part.json"]}' >.vsandbox.json
	echo '{"max_actions_per_minute": 1000000}' >part.json
	"$VSANDBOX" policy trust --yes
	run "$VSANDBOX" run -- true
	[[ $output != *"changed since"* ]]
	echo '{"max_actions_per_minute": 1000001}' >part.json
	run "$VSANDBOX" run -- true
	[[ $output == *"changed since"* ]]
}

@test "a record of trust that others may write counts for nothing and stops the run" {
	echo '{}' >.vsandbox.json
	"$VSANDBOX" policy trust --yes
	chmod 0666 "$XDG_CONFIG_HOME/vsandbox/trusted.json"
	run box -- touch started
	[ "$status" -eq 125 ]
	[[ $output == *"chmod 0600"* ]]
	chmod 0600 "$XDG_CONFIG_HOME/vsandbox/trusted.json"
	echo 'garbage' >"$XDG_CONFIG_HOME/vsandbox/trusted.json"
	run box -- touch started
	[ "$status" -eq 125 ]
}

@test "the agent cannot trust its own project's policy" {
	export HOME=$BATS_TEST_TMPDIR/home
	mkdir -p "$HOME/.config/vsandbox"
	unset XDG_CONFIG_HOME
	run "$VSANDBOX" run -q -- sh -c 'echo "{}" >~/.config/vsandbox/trusted.json'
	[ "$status" -ne 0 ]
	[ ! -e "$HOME/.config/vsandbox/trusted.json" ]
}

@test "unknown subverbs and flags name the nearest" {
	run "$VSANDBOX" policy lsit
	[ "$status" -eq 125 ]
	[[ $output == *"did you mean list"* ]]
	run "$VSANDBOX" policy show --resolve dev
	[[ $output == *"did you mean --resolved"* ]]
}

@test "a policy that is not there: how to see those that are, and the nearest" {
	for verb in "run -p NAME -- true" "policy show NAME" "policy check NAME" "why -p NAME --path /etc/passwd"; do
		run "$VSANDBOX" ${verb/NAME/nosuch}
		[ "$status" -ne 0 ]
		[[ $output == *'no policy "nosuch"; see "vsandbox policy list"'* ]] || { echo "$verb: $output"; false; }
		run "$VSANDBOX" ${verb/NAME/stirct}
		[ "$status" -ne 0 ]
		[[ $output == *'no policy "stirct"; did you mean "strict"? See "vsandbox policy list"'* ]] || { echo "$verb: $output"; false; }
	done
}
