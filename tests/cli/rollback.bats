load common

# rollback, as a person uses it; tests/rollback has the properties and the crashes.

@test "rollback: the last change first, then all of it; a dry run does nothing" {
	echo old >f
	mkdir d
	echo x >d/in
	box -q -- sh -c 'echo new >f; rm -r d; mv f g'
	run "$VSANDBOX" rollback --dry-run --last 3
	[ "$status" -eq 0 ]
	[[ $output == *rename* || $output == */g* ]]
	"$VSANDBOX" diff --name-status | grep -q '^A.*/g$'
	run "$VSANDBOX" rollback </dev/null
	[ "$status" -eq 125 ]
	[[ $output == *--yes* ]]
	"$VSANDBOX" rollback --yes
	run "$VSANDBOX" diff --name-status
	[[ $output != */g* && $output == *M$'\t'*/f* ]]
	"$VSANDBOX" rollback --yes --last 1000
	[ -z "$("$VSANDBOX" diff --name-status)" ]
	run "$VSANDBOX" rollback --yes
	[[ $output == *"nothing"* || $output == *"undone 0"* ]]
}

@test "rollback: of a session that runs, which goes on with the old" {
	echo old >f
	"$VSANDBOX" run -p "$POLICY" -- sh -c 'echo new >f; touch made; until [ "$(cat f)" = old ]; do sleep 0.02; done; echo seen >result; sleep 600' \
		3>&- >/dev/null 2>&1 </dev/null &
	GATEWAY=$!
	eventually started "$GATEWAY"
	written() { "$VSANDBOX" diff --name-status "$SESSION" | grep -q /made; }
	eventually written
	"$VSANDBOX" rollback --yes --last 1000 "$SESSION"
	seen() { "$VSANDBOX" diff --name-status "$SESSION" | grep -q /result; }
	eventually seen
	[ "$(state_of "$SESSION")" = running ]
	"$VSANDBOX" kill "$SESSION"
	wait "$GATEWAY" || true
}

@test "rollback: numbers that are none, and one step too many words" {
	box -q -- touch x
	for bad in "--last 0" "--last -1" "--last many" "a b" "nosuch"; do
		# shellcheck disable=SC2086 # words
		run "$VSANDBOX" rollback --yes $bad
		[ "$status" -eq 125 ] || { echo "$bad: $status $output"; false; }
	done
	"$VSANDBOX" diff --name-status | grep -q /x
}
