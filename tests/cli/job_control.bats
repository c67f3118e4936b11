load common

@test "Ctrl-Z, fg and Ctrl-C on a terminal" {
	run python3 "$BATS_TEST_DIRNAME/job_control.py" "$VSANDBOX" "$POLICY" 3>&-
	echo "$output"
	[ "$status" -eq 0 ]
}
