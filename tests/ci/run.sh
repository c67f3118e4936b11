#!/bin/sh
# CI jobs in the sandbox, as their runners ask for them: bash's place, the calls of GitLab's custom
# executor, the container hooks of GitHub's runner. The runners are played by this file, by their contracts.
#
#   VSANDBOX=... tests/ci/run.sh [--uid N]
set -u
# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
VSANDBOX=${VSANDBOX:-$PWD/build/release/vsandbox}
uid=$(id -u)
[ "${1:-}" != --uid ] || uid=$2
work=$(mktemp -d) || exit 1
chmod 755 "$work"
mkdir "$work/home" "$work/home/.ssh" "$work/project" "$work/out"
echo secret >"$work/home/.ssh/id_ed25519"
[ "$uid" -eq "$(id -u)" ] || chown -R "$uid:$uid" "$work"
export HOME="$work/home" XDG_STATE_HOME="$work/home/state" XDG_CONFIG_HOME="$work/home/config"
started=
end() {
	[ -z "$started" ] || kill "$started" 2>/dev/null
	for s in $(as_user "$VSANDBOX" ps 2>/dev/null | awk '/running/ { print $1 }'); do
		as_user "$VSANDBOX" kill "$s"
	done
	rm -rf "$work"
}
trap end EXIT
trap 'exit 1' INT TERM

# As the runner's user.
as_user() {
	if [ "$uid" -eq "$(id -u)" ]; then
		timeout 300 "$@"
	else
		timeout 300 setpriv --reuid "$uid" --regid "$uid" --clear-groups "$@"
	fi
}

# has CLAIM FILE TEXT
has() {
	if grep -qF -- "$3" "$2"; then
		tap_ok "$1"
	else
		tap_not_ok "$1"
		tap_note "not there: $3"
		tap_note_file "$2"
	fi
}

# hasnt CLAIM FILE TEXT
hasnt() {
	if grep -qF -- "$3" "$2"; then
		tap_not_ok "$1"
		tap_note_file "$2"
	else
		tap_ok "$1"
	fi
}

# sound DIR: each report there is what its format demands.
sound() {
	tests/ci/reports.py "$1"/*.junit.xml "$1"/*.sarif >"$work/out/sound" 2>&1
}

# shellcheck source=tests/ci/shell.sh
. tests/ci/shell.sh
# shellcheck source=tests/ci/gitlab.sh
. tests/ci/gitlab.sh
# shellcheck source=tests/ci/github.sh
. tests/ci/github.sh
tap_done
