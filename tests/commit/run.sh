#!/bin/sh
# Commit and undo against everything that may come in between: random changes, kills, full disks, swapped directories.
#
#   tests/commit/run.sh [--long] [--uid N]
# In its short form it kills at one call in 51, and at others on each pair of filesystems; --long at each.
set -u
cd "$(dirname "$0")/../.." || exit 1
long=0 uid=
while [ $# -gt 0 ]; do
	case $1 in
	--long) long=1 ;;
	--uid) uid=$2 && shift ;;
	*) echo 'usage: run.sh [--long] [--uid N]' >&2 && exit 125 ;;
	esac
	shift
done
export VSANDBOX="${VSANDBOX:-$PWD/build/release/vsandbox}"
export COMMIT_BIN="${COMMIT_BIN:-$PWD/build/release/tests/commit}"
export ROLLBACK_BIN="${ROLLBACK_BIN:-$PWD/build/release/tests/rollback}"
export PYTHONDONTWRITEBYTECODE=1
every=51 rounds=4 flips=3000
[ "$long" -eq 0 ] || every=1 rounds=60 flips=10000
# from "$1" on, where not each is tried
first() {
	[ "$every" -eq 1 ] && echo 1 || echo "$1"
}
failed=0
part() {
	"$@" ${uid:+--uid "$uid"} || failed=1
}
part tests/commit/property.py --rounds "$rounds"
part tests/commit/property.py --rounds "$((rounds / 2))" --steps 120 --seed 1000
part tests/commit/crash.py --every "$every" --first "$(first 1)"
part tests/commit/live.py --rounds "$((rounds / 2))" --steps 40 property
part tests/commit/live.py --every "$every" crash
if [ "$(id -u)" -eq 0 ]; then
	# $TMPFS is that script's to set
	# shellcheck disable=SC2016
	for where in "--first $(first 18)"' --work "$TMPFS" --state "$TMPFS"' \
		"--first $(first 35)"' --work /var/tmp --state "$TMPFS"'; do
		part tests/commit/on_tmpfs.sh 64m sh -c "exec tests/commit/crash.py --every $every $where \"\$@\"" sh
	done
	part tests/commit/on_tmpfs.sh 16m tests/commit/nospace.py
	[ -n "$uid" ] || tests/commit/race.py --flips "$flips" || failed=1
fi
exit "$failed"
