load common

# ci shell and report, as a pipeline uses them; tests/ci has the contracts of GitLab and GitHub.

@test "ci shell: bash's arguments, stdin and exit code; what it wrote is dropped, with --direct kept" {
	mkdir kept
	run "$VSANDBOX" ci shell --direct "$PWD/kept" -- -c 'echo "$0 $1"; touch made kept/made; exit 9' zero one
	[ "$status" -eq 9 ]
	[ "${lines[0]}" = "zero one" ]
	[ ! -e made ] && [ -e kept/made ]
	run "$VSANDBOX" ci shell -- <<<'read -r line; echo "got $line"
words of the script'
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = "got words of the script" ]
}

@test "ci shell: what a job may not is denied, whatever its variables say; the report tells it thrice" {
	export HOME=$BATS_TEST_TMPDIR/home
	mkdir -p "$HOME/.ssh" reports
	echo private >"$HOME/.ssh/id_ed25519"
	for variable in VSANDBOX_POLICY=observe VSANDBOX_MODE=observe "VSANDBOX_ALLOW=*"; do
		# shellcheck disable=SC2088 # for the shell inside
		run env "$variable" "$VSANDBOX" ci shell --report-dir reports -- -c 'cat ~/.ssh/id_ed25519'
		[ "$status" -eq 1 ]
		[[ $output != *private* && $output == *"denied file_read"* ]]
	done
	[ "$(find reports -name '*.junit.xml' | wc -l)" -eq 3 ]
	"$VSANDBOX" ci report >text
	grep -q 'id_ed25519' text
	"$VSANDBOX" ci report --format junit >junit.xml
	"$VSANDBOX" ci report --format sarif >sarif.json
	python3 - <<-'PY'
		import json
		import xml.etree.ElementTree as tree
		suite = tree.parse("junit.xml").getroot()
		failures = [c for c in suite.iter("testcase") if c.find("failure") is not None]
		assert any("id_ed25519" in (c.get("name") or "") for c in failures), tree.tostring(suite)
		run = json.load(open("sarif.json"))["runs"][0]
		assert any(r["level"] == "error" for r in run["results"]), run
	PY
	run "$VSANDBOX" ci report --format html
	[ "$status" -eq 125 ]
}

@test "ci: TERM reaches the job, unknown contracts and flags name the nearest, each bad value starts nothing" {
	"$VSANDBOX" ci shell -- -c 'trap "exit 7" TERM; echo ready; while :; do sleep 0.05; done' >out 2>/dev/null 3>&- &
	job=$!
	eventually grep -q ready out
	kill -TERM "$job"
	await "$job"
	[ "$status" -eq 7 ]
	before=$(sessions | wc -l)
	run "$VSANDBOX" ci gitlba config
	[ "$status" -eq 125 ]
	[[ $output == *"did you mean gitlab"* ]]
	run "$VSANDBOX" ci shell --report-dri x -- -c true
	[ "$status" -eq 125 ]
	[[ $output == *"did you mean --report-dir?"* ]]
	run "$VSANDBOX" ci shell --policy nosuch -- -c true
	[ "$status" -eq 125 ]
	run "$VSANDBOX" ci gitlab
	[ "$status" -ne 0 ]
	[ "$(sessions | wc -l)" -eq "$before" ]
}
