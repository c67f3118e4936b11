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

verbs() {
	"$VSANDBOX" help | awk '/^  [a-z]/ { print $1 }'
}

# flags_of VERB: "--name" or "--name VALUE" of each, in lines
flags_of() {
	"$VSANDBOX" help "$1" | sed -nE 's/^  (-.,|   ) (--[a-z-]+( [^ ]+)?)  .*/\2/p'
}

@test "every flag of every verb: mistyped it is named, whatever else the line says" {
	for verb in $(verbs); do
		while read -r flag _; do
			name=${flag#--}
			wrong=--${name:0:1}${name:2} # the second letter is missing
			run "$VSANDBOX" "$verb" "$wrong=x" y
			[ "$status" -eq 125 ] || { echo "$verb $wrong: $status $output"; return 1; }
			# shorter ones may be as near to another
			[[ ${#name} -le 3 && $output == *"did you mean --"* || $output == *"did you mean $flag?"* ]] ||
				{ echo "$verb $wrong: $output"; return 1; }
			echo x >>tried
		done < <(flags_of "$verb")
		run "$VSANDBOX" "$verb" --qqqqqqqqqqqq
		[ "$status" -eq 125 ]
		[[ $output == *"$verb: unknown option '--qqqqqqqqqqqq' (vsandbox help $verb)"* ]]
	done
	[ "$(wc -l <tried)" -gt 150 ]
	[ -z "$(sessions)" ]
}

@test "every flag of every verb counts as given when its variable is set" {
	for verb in $(verbs); do
		read -ra first < <(flags_of "$verb") || continue # it has none
		# as many as a line may have: one more, from wherever, is one too many
		full=()
		for ((i = 0; i < 256; i++)); do full+=("${first[@]}"); done
		while read -r flag value; do
			name=VSANDBOX_$(tr 'a-z-' 'A-Z_' <<<"${flag#--}")
			run env "$name=1" "$VSANDBOX" "$verb" "${full[@]}"
			[ "$status" -eq 125 ]
			[[ $output == *"$verb: more than 256 options"* ]] || { echo "$verb $flag $value: $output"; return 1; }
			echo x >>tried
		done < <(flags_of "$verb")
	done
	[ "$(wc -l <tried)" -gt 150 ]
}

@test "every verb has a file of tests that runs it" {
	file_of() {
		case $1 in
		detach) echo attach ;;
		ps | show | logs | discard) echo sessions ;;
		diff | undo) echo commit ;;
		approve) echo hold ;;
		resume) echo pause ;;
		login | logout) echo serve ;;
		top | status | prune | shell | doctor) echo host ;;
		help | version) echo examples ;;
		*) echo "$1" ;;
		esac
	}
	for verb in $(verbs); do
		grep -qE "VSANDBOX\"? $verb\\b" "$BATS_TEST_DIRNAME/$(file_of "$verb").bats" || { echo "$verb"; false; }
	done
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
	# a verb with a page of its own is described there
	for own in "$page" "${page%.1}"-{ci,oci}.[1-8]; do
		[ ! -e "$own" ] || mandoc -T utf8 "$own" | col -b
	done >page
	for verb in $("$VSANDBOX" help | awk '/^  [a-z]/{print $1}'); do
		grep -q "^ *$verb\b" page
		for flag in $("$VSANDBOX" help "$verb" | grep -o -- '--[a-z][a-z-]*'); do
			grep -q -- "$flag\b" page || { echo "$verb $flag"; false; }
		done
	done
	mandoc -T lint -W warning "$page" "${page%.1}-events.5" "${page%.1}"-*.8
}

@test "a refusal says where more is said" {
	refused() { # refused TEXT ARGUMENT...
		run "$VSANDBOX" "${@:2}" </dev/null
		[ "$status" -eq 125 ] && [[ $output == *"$1"* ]] || { echo "${*:2}: $status $output"; return 1; }
	}
	refused 'no policy "nosuch"; see "vsandbox policy list"' run -p nosuch -- true
	refused 'no policy file "./nosuch.json"' run -p ./nosuch.json -- true
	refused 'an argument is missing; vsandbox help attach' attach
	refused 'an argument is missing; vsandbox help policy' policy create
	refused "unexpected argument 'more'; vsandbox help ps" ps more
	refused "policy has no 'frobnicate'; vsandbox help policy" policy frobnicate
	refused "policy has no 'lisst'; did you mean list?" policy lisst
	refused "there is no verb 'frobnicate'; vsandbox help lists them" help frobnicate
	refused 'no key came from standard input' login http://127.0.0.1:1
}

@test "from inside a sandbox its own state is out of reach, and that is what is said" {
	run "$VSANDBOX" run -- "$VSANDBOX" ps
	[ "$status" -eq 125 ]
	[[ $output != *chmod* ]]
	[[ $output == *"is out of reach inside a sandbox: run vsandbox outside of it"* ]]
}

@test "one is not called many" {
	run "$VSANDBOX" run -- sh -c 'echo inside >made'
	[[ $output == *"vsandbox: 1 action: 1 allowed"* ]]
	echo outside >made
	run "$VSANDBOX" commit --yes
	[ "$status" -eq 122 ]
	[[ $output == *"vsandbox: 1 conflict; nothing was committed"* ]]
}
