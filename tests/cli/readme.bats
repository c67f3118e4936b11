load common

# The README's first page, as its reader types it.

@test "the first five minutes" {
	export HOME=$BATS_TEST_TMPDIR/home
	mkdir -p "$HOME/.ssh" src
	echo private >"$HOME/.ssh/id_ed25519"
	echo 'int main(void) { return 0; }' >src/main.c
	# shellcheck disable=SC2088 # for the shell inside
	run "$VSANDBOX" run -- sh -c 'rm -rf src; cat ~/.ssh/id_*; curl -m 5 example.com'
	[ "$status" -ne 0 ]
	[[ $output != *private* ]]
	[[ $output == *"vsandbox: denied file_read ~/.ssh"*"(rule "* ]]
	[[ $output == *"  D "*/src/main.c* ]]
	[ -f src/main.c ]
	run "$VSANDBOX" diff
	[[ ${lines[0]} == "D "*/src/ ]]
	"$VSANDBOX" logs --decision block | grep -q "file_read.*~/.ssh"
	"$VSANDBOX" discard --yes
	[ -z "$("$VSANDBOX" diff 2>/dev/null)" ]
	[ -f src/main.c ]
}

@test "the shipped policies are listed and load" {
	for name in dev strict coding-agent ci observe; do
		"$VSANDBOX" policy list --names | grep -qx "$name"
		"$VSANDBOX" policy show --json "$name" | python3 -c 'import json, sys; json.load(sys.stdin)'
	done
	run "$VSANDBOX" why --path "$HOME/.aws/credentials"
	[ "$status" -eq 0 ]
	[[ $output == *"decision   block"*secrets.json:* ]]
}

@test "verbs the README advertises exist" {
	for verb in $(grep -oE '^vsandbox [a-z]+' "$BATS_TEST_DIRNAME/../../README.md" | awk '{print $2}' | sort -u); do
		"$VSANDBOX" help | grep -q "^  $verb "
	done
}
