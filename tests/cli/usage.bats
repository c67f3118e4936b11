load common

@test "no verb: exit 125 and a hint" {
	run "$VSANDBOX"
	[ "$status" -eq 125 ]
	[[ $output == *"vsandbox doctor"* ]]
}

@test "an unknown verb names the nearest" {
	run "$VSANDBOX" rnu
	[ "$status" -eq 125 ]
	[[ $output == *"did you mean run?"* ]]
}

@test "an unknown flag names the nearest, and nothing is started" {
	run "$VSANDBOX" run --polcy x -- touch started
	[ "$status" -eq 125 ]
	[[ $output == *"did you mean --policy?"* ]]
	[ -z "$(sessions)" ]
}

@test "a valued flag without its value is refused" {
	run "$VSANDBOX" run --policy
	[ "$status" -eq 125 ]
	[[ $output == *"--policy wants a value"* ]]
}

@test "a switch with a value is refused" {
	run "$VSANDBOX" run --quiet=yes true
	[ "$status" -eq 125 ]
	[[ $output == *"takes no value"* ]]
}

@test "a verb of a later issue is refused by name" {
	run "$VSANDBOX" ci
	[ "$status" -eq 125 ]
	[[ $output == *"ci is not built yet"* ]]
}

@test "an unknown policy: exit 125, nothing started" {
	run "$VSANDBOX" run -p nosuch -- true
	[ "$status" -eq 125 ]
	[[ $output == *nosuch* ]]
	[ -z "$(sessions)" ]
}

@test "an unknown key in a policy: file:line and the nearest key" {
	printf '{\n\t"name": "x",\n\t"blocked_resorces": []\n}\n' >bad.json
	run "$VSANDBOX" run -p ./bad.json -- true
	[ "$status" -eq 125 ]
	[[ $output == *"bad.json:3"* ]]
	[[ $output == *"blocked_resources"* ]]
	[ -z "$(sessions)" ]
	run "$VSANDBOX" policy check ./bad.json
	[ "$status" -eq 125 ]
	[[ $output == *"bad.json:3"* ]]
}

@test "a bad pattern in a policy: file:line" {
	printf '{\n\t"name": "x",\n\t"blocked_resources": [\n\t\t"a[b"\n\t]\n}\n' >bad.json
	run "$VSANDBOX" run -p ./bad.json -- true
	[ "$status" -eq 125 ]
	[[ $output == *"bad.json:4"* ]]
}

@test "bad values of flags are refused before anything starts" {
	for flags in "--mode loud" "--max-risk 7" "--timeout soon" "--name ../x" "--net maybe" \
		"--status-fd 77" "--env =x" "--env VSANDBOX_X=1" "--allow-degraded nothing"; do
		# shellcheck disable=SC2086 # two words
		run box $flags -- true
		[ "$status" -eq 125 ]
	done
	[ -z "$(sessions)" ]
}

@test "flags come from the environment, and the command line overrides them" {
	VSANDBOX_POLICY=nosuch run "$VSANDBOX" run -- true
	[ "$status" -eq 125 ]
	VSANDBOX_POLICY=nosuch run "$VSANDBOX" run -p "$POLICY" -- true
	[ "$status" -eq 0 ]
	VSANDBOX_DRY_RUN=perhaps run box -- true
	[ "$status" -eq 125 ]
	[[ $output == *VSANDBOX_DRY_RUN* ]]
}

@test "options after the first argument are refused with the right order" {
	run "$VSANDBOX" discard x --yes
	[ "$status" -eq 125 ]
	[[ $output == *"options go before"* ]]
}

@test "parsing stops at the command: its flags are its own" {
	run box echo --policy -v --help
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = "--policy -v --help" ]
}

@test "dry-run prints the plan and starts nothing" {
	run box --dry-run --max-risk 0.5 -- touch started
	[ "$status" -eq 0 ]
	[ "$(python3 -c 'import json, sys; p = json.load(sys.stdin); print(p["argv"], p["policy"]["max_risk_score"])' \
		<<<"$output")" = "['touch', 'started'] 0.5" ]
	[ -z "$(sessions)" ]
	[ ! -e started ]
}

@test "help lists every verb that is built, and completion offers them" {
	run "$VSANDBOX" help
	[ "$status" -eq 0 ]
	for verb in run ps show logs diff discard why kill policy audit doctor completion; do
		[[ $output == *$'\n'"  $verb "* ]]
		"$VSANDBOX" "$verb" --help | grep -q "usage: vsandbox $verb"
	done
	bash -n <("$VSANDBOX" completion bash)
	# shellcheck disable=SC1090
	source <("$VSANDBOX" completion bash)
	COMP_WORDS=(vsandbox dis) COMP_CWORD=1
	_vsandbox
	[ "${COMPREPLY[*]}" = discard ]
}

@test "every flag of every verb is in the man page, and the page is sound" {
	page=$BATS_TEST_DIRNAME/../../man/vsandbox.1
	# a verb with much to say has a page of its own
	mandoc -T utf8 "$page" "${page%.1}"-*.8 | col -b >page
	for verb in $("$VSANDBOX" help | awk '/^  [a-z]/{print $1}'); do
		grep -q "^ *$verb\b" page
		for flag in $("$VSANDBOX" help "$verb" | grep -o -- '--[a-z][a-z-]*'); do
			grep -q -- "$flag\b" page || { echo "$verb $flag"; false; }
		done
	done
	mandoc -T lint -W warning "$page" "${page%.1}-events.5" "${page%.1}"-*.8
}
