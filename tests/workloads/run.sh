#!/bin/bash
# Real programs natively and inside: same output, same exit status. TAP on stdout.
#
#   tests/workloads/run.sh [--long] [--uid N] [--policies "dev ..."] [--timeout S] [JOB...]
#
# A job is jobs/NAME.sh: run by bash in an empty directory below a fresh home, with $FIXTURES naming
# what prepare.sh made. "# needs-long" in it keeps it out of the short run, "# run: ARGS" adds
# arguments to `vsandbox run`.
#
# VSANDBOX the program under test (default build/release/vsandbox)
set -u
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
# shellcheck source=tests/lib/tap.sh
. "$top/tests/lib/tap.sh"

VSANDBOX=${VSANDBOX:-$top/build/release/vsandbox}
fixtures=${FIXTURES:-$top/build/fixtures}
policies='dev coding-agent observe' uid='' long=0
while [ $# -gt 0 ]; do
	case $1 in
	--long) long=1 WORKLOAD_TIMEOUT=${WORKLOAD_TIMEOUT:-7200} ;;
	--uid) uid=$2 && shift ;;
	--policies) policies=$2 && shift ;;
	--timeout) WORKLOAD_TIMEOUT=$2 && shift ;;
	-*) echo 'usage: run.sh [--long] [--uid N] [--policies "dev ..."] [--timeout S] [JOB...]' >&2 && exit 125 ;;
	*) break ;;
	esac
	shift
done
if [ $# -eq 0 ]; then
	for f in "$here"/jobs/*.sh; do
		name=$(basename "$f" .sh)
		if [ "$long" = 1 ] || ! grep -q '^# needs-long' "$f"; then
			set -- "$@" "$name"
		fi
	done
fi
as=() who=root
if [ -n "$uid" ]; then
	as=(setpriv --reuid "$uid" --regid "$uid" --clear-groups --)
	who="uid $uid"
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/workload.XXXXXX") || exit 1
cleanup() {
	chmod -R u+rwx "$work" 2>/dev/null
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
chmod 711 "$work"
"$here/prepare.sh" "$fixtures" >"$work/prepare.log" 2>&1 || {
	tap_not_ok "the fixtures can be made"
	tap_note_file "$work/prepare.log"
	tap_done
	exit 1
}
if [ ! -x "$VSANDBOX" ]; then
	tap_not_ok "there is a program to test: $VSANDBOX"
	tap_done
	exit 1
fi
# Readable for any user, whatever the modes of the directories above the work tree are.
cp -r "$here/jobs" "$work/jobs"
# In the job's temp, where every policy lets it read: a work tree outside of it is no business of an agent.
cp -r "$fixtures" "$work/fixtures" && fixtures=$work/fixtures
if [ -n "$uid" ]; then
	mkdir -p "$work/vs/build/release" && cp "$VSANDBOX"* "$work/vs/build/release/" &&
		cp -r "$top/policies" "$work/vs/policies" && VSANDBOX=$work/vs/build/release/vsandbox
fi

# perform JOB OUTPUT [launcher...]: always the same directory, so that paths in the output agree
perform() {
	local job=$1 out=$2
	shift 2
	chmod -R u+rwx "$work/home" 2>/dev/null
	rm -rf "${work:?}/home"
	mkdir -p "$work/home/w" "$work/home/run"
	[ -z "$uid" ] || chown -R "$uid:$uid" "$work/home"
	chmod 700 "$work/home/run"
	(
		cd "$work/home/w" || exit 99
		exec env -i PATH=/usr/local/bin:/usr/bin:/bin HOME="$work/home" LANG=C.UTF-8 TERM=dumb \
			USER=tester LOGNAME=tester FIXTURES="$fixtures" XDG_RUNTIME_DIR="$work/home/run" \
			timeout -k 10 "${WORKLOAD_TIMEOUT:-900}" "${as[@]}" "$@" bash "$work/jobs/$job.sh" </dev/null
	) >"$out" 2>"$out.err"
	echo "exit $?" >>"$out"
}

for job in "$@"; do
	perform "$job" "$work/native"
	if [ "$(tail -n 1 "$work/native")" != "exit 0" ]; then
		tap_note "$job does not end well natively:"
		tap_note_file "$work/native.err" 5
	fi
	extra=$(sed -n 's/^# run: //p' "$work/jobs/$job.sh")
	for policy in $policies; do
		SECONDS=0
		# shellcheck disable=SC2086
		perform "$job" "$work/inside" "$VSANDBOX" run -q --policy "$policy" --on-exit discard $extra --
		if diff "$work/native" "$work/inside" >"$work/diff"; then
			tap_ok "$job under $policy as $who"
		else
			tap_not_ok "$job under $policy as $who (${SECONDS} s)"
			tap_note_file "$work/diff" 30
			diff "$work/native.err" "$work/inside.err" >"$work/diff.err" || tap_note_file "$work/diff.err" 15
		fi
	done
done
tap_done
