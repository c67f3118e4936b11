load common

# audit verify: every way in which a log can be altered is seen.

prepare() {
	box -q -- sh -c 'for i in 1 2 3 4 5; do touch f$i; done; (echo >x.secret) 2>/dev/null; true'
	SESSION=$(sessions)
	LOG=$XDG_STATE_HOME/vsandbox/sessions/$SESSION/events.jsonl
	cp "$LOG" "$BATS_TEST_TMPDIR/whole"
	"$VSANDBOX" audit verify | grep -qx "session $SESSION: $(wc -l <"$LOG") events, chain intact"
}

# altered PROGRAM: the log after it is not what it was, and verify says so with a line's number
altered() {
	cp "$BATS_TEST_TMPDIR/whole" "$LOG"
	python3 - "$LOG" <<-PY
		import sys
		lines = open(sys.argv[1]).read().splitlines(True)
		$1
		open(sys.argv[1], "w").write("".join(lines))
	PY
	! cmp -s "$BATS_TEST_TMPDIR/whole" "$LOG" || return 1
	run "$VSANDBOX" audit verify "$SESSION"
	[ "$status" -eq 1 ] || { echo "not seen: $1: $output"; return 1; }
	[[ $output == *events.jsonl* || $output == *"$SESSION"* ]]
}

@test "audit verify: a changed, removed, moved, doubled or forged line, a cut end, a swapped log" {
	prepare
	altered 'lines = [line.replace("/f3", "/f9") for line in lines]'
	altered 'lines = [line.replace("\"block\"", "\"allow\"") for line in lines]'
	altered 'del lines[4]'
	altered 'del lines[0]'
	altered 'lines[3], lines[4] = lines[4], lines[3]'
	altered 'lines.insert(4, lines[4])'
	altered 'lines.append(lines[-1])'
	altered 'lines[-1] = lines[-1][:-20]'
	altered 'lines[2] = "\\n"'
	cp "$LOG" "$BATS_TEST_TMPDIR/first"
	cp "$BATS_TEST_TMPDIR/whole" "$LOG"
	"$VSANDBOX" audit verify
	box -q -- true
	other=$(sessions | grep -v "$SESSION")
	cp "$XDG_STATE_HOME/vsandbox/sessions/$other/events.jsonl" "$LOG"
	run "$VSANDBOX" audit verify "$SESSION"
	[ "$status" -eq 1 ]
}

@test "audit: verify while it runs, export of a damaged log; what it is not is refused" {
	start_sleeper
	"$VSANDBOX" audit verify "$SESSION" | grep -q 'chain intact so far$'
	"$VSANDBOX" kill "$SESSION"
	wait "$GATEWAY" || true
	LOG=$XDG_STATE_HOME/vsandbox/sessions/$SESSION/events.jsonl
	sed -i '2s/.*/{"v":1,/' "$LOG"
	run "$VSANDBOX" audit export "$SESSION"
	[ "$status" -eq 1 ]
	[[ $output == *"events.jsonl:2"* && $output == *session_end* ]]
	for bad in "" verfy "verify nosuch" "export --format xml" "verify a b" "export --fromat ocsf"; do
		# shellcheck disable=SC2086 # words
		run "$VSANDBOX" audit $bad
		[ "$status" -eq 125 ] || { echo "$bad: $status"; false; }
	done
	[[ $output == *"did you mean --format?"* ]]
}
