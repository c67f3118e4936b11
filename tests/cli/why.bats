load common

# why: what it proposes is written into a policy file, and the answer is then another.

remedy() {
	"$VSANDBOX" why --json "$@" | python3 -c '
import json, sys
r = json.load(sys.stdin)["remedy"]
assert r["proved"]
for e in r["edits"]: print(e["edit"], e["key"] or "-", e["text"] or "-", "%.2f" % e["value"], e["line"])'
}

@test "a path outside the lists: the pattern to add, as written, lets it through" {
	touch 'odd*name'
	for op in read write; do
		run remedy -p strict --path "$HOME/x*y" --op "$op"
		[[ $output == "add_pattern allowed_$op $HOME/x\\*y "* ]]
		printf '{"extends":["strict"],"allowed_%s":["%s/x\\\\*y"]}' "$op" "$HOME" >mine.json
		run "$VSANDBOX" why -p ./mine.json --path "$HOME/x*y" --op "$op"
		[[ $output == *"decision   allow"* ]]
		# and nothing but it
		run "$VSANDBOX" why -p ./mine.json --path "$HOME/xzy" --op "$op"
		[[ $output == *"decision   block"* ]]
	done
}

@test "a host under a policy without a network: type, mode and host, in that order" {
	run remedy -p strict --host example.com
	[ "${lines[0]}" = "add_type - network_request 0.00 0" ]
	[[ ${lines[1]} == "set_network_mode "* && ${lines[2]} == "add_pattern allow_hosts example.com:443 "* ]]
	printf '{"extends":["strict"],"allowed_action_types":["network_request"],"network":{"mode":"allowlist","allow_hosts":["example.com:443"]}}' >mine.json
	run "$VSANDBOX" why -p ./mine.json --host example.com
	[[ $output == *"decision   allow"* ]]
}

@test "a blocked pattern: where it stands, each that hits" {
	printf '{\n"blocked_resources": [\n"*.x",\n"/a/**" ]\n}' >two.json
	run remedy -p ./two.json --path /a/b.x
	[ "${#lines[@]}" -eq 2 ]
	[ "${lines[0]}" = "drop_pattern - *.x 0.00 3" ]
	[ "${lines[1]}" = "drop_pattern - /a/** 0.00 4" ]
	run "$VSANDBOX" why -p ./two.json --path /a/b.x
	[[ $output == *'take out the pattern "*.x" ('*"two.json:3)"* ]]
}

@test "a score: the limit that no longer bites, to the hundredth" {
	echo '{"max_risk_score": 0.5}' >risk.json
	run remedy -p ./risk.json --path "$HOME/.ssh/id_rsa"
	[[ $output == "set max_risk_score - 0."* ]]
	limit=$(awk '{print $4}' <<<"${lines[0]}")
	echo "{\"max_risk_score\": $limit, \"risk_threshold\": 1}" >risk.json
	"$VSANDBOX" why -p ./risk.json --path "$HOME/.ssh/id_rsa" | grep -q 'decision *al'
	echo "{\"max_risk_score\": $(python3 -c "print($limit - 0.01)"), \"risk_threshold\": 1}" >risk.json
	"$VSANDBOX" why -p ./risk.json --path "$HOME/.ssh/id_rsa" | grep -q 'decision *block'
}

@test "a rule, a program, a statement" {
	printf '{"rules":[\n{"name":"no","resource_pattern":"*.y","effect":"block"}]}' >rule.json
	[[ $(remedy -p ./rule.json --path z.y) == "drop_rule - no 0.00 2" ]]
	[[ $(remedy -p customer-support --exec -- cat) == "add_pattern spawn_allowed /usr/bin/cat "* ]]
	run "$VSANDBOX" why -p observe --sql 'DROP TABLE users'
	[[ $output == *database_write*"drops"* ]]
	run "$VSANDBOX" why -p data-pipeline --sql 'SELECT 1' --database postgresql://db.example:5432/x
	[[ $output == *"database_query postgresql://db.example:5432/x"* ]]
	run "$VSANDBOX" why --sql x --database nowhere
	[ "$status" -eq 125 ]
	run "$VSANDBOX" why --sql x --path y
	[ "$status" -eq 125 ]
	[[ $output == *"ask one of"* ]]
}

@test "an event: the change, where the same policy still says the same" {
	box -q -- sh -c '(echo >b.secret) 2>/dev/null; true'
	event=$("$VSANDBOX" logs --decision block | awk '{print $1}')
	run "$VSANDBOX" why --event "$event"
	[[ $output == *'to allow   take out the pattern "*.secret" ('*"open.json:5)"* ]]
	# with another text in its place nothing is claimed of that policy
	echo '{"name": "open"}' >"$POLICY"
	run "$VSANDBOX" why --event "$event"
	[[ $output == *"take the pattern out where it stands, or narrow it"* ]]
}

@test "an allowed action needs nothing" {
	[ -z "$(remedy -p dev --path /etc/hostname)" ]
	! "$VSANDBOX" why -p dev --path /etc/hostname | grep -q 'to allow'
}
