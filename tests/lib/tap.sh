# shellcheck shell=sh
# A TAP producer for shell tests: source it, make claims, end with tap_done.
#
# With VSANDBOX_REQUIRE_KERNEL=1 a skip is a failure, so that a run cannot pass by skipping.

TAP_COUNT=0
TAP_FAILED=0

tap_say() {
	TAP_COUNT=$((TAP_COUNT + 1))
	printf '%s %d - %s\n' "$1" "$TAP_COUNT" "$2"
}

tap_ok() {
	tap_say ok "$1"
}

tap_not_ok() {
	tap_say 'not ok' "$1"
	TAP_FAILED=$((TAP_FAILED + 1))
}

# tap_is CLAIM GOT WANT
tap_is() {
	if [ "$2" = "$3" ]; then
		tap_ok "$1"
	else
		tap_not_ok "$1"
		tap_note "got:  $2"
		tap_note "want: $3"
	fi
}

# tap_skip CLAIM REASON
tap_skip() {
	if [ "${VSANDBOX_REQUIRE_KERNEL:-0}" = 1 ]; then
		tap_not_ok "$1"
		tap_note "skipping is not allowed here: $2"
	else
		tap_say ok "$1 # SKIP $2"
	fi
}

# A remark; control characters of what is quoted never reach the TAP stream.
tap_note() {
	printf '%s\n' "$1" | LC_ALL=C tr -c '[:print:]\n\t' '?' | sed 's/^/# /'
}

tap_note_file() {
	LC_ALL=C tr -c '[:print:]\n\t' '?' <"$1" | tail -n "${2:-20}" | cut -c -400 | sed 's/^/#   /'
}

tap_done() {
	printf '1..%d\n' "$TAP_COUNT"
	[ "$TAP_FAILED" -eq 0 ]
}
