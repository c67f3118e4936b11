#!/bin/sh
# Runs a command in this tree under a name that user UID can reach too: a checkout in root's own home is closed
# to the second user of the suites. There the tree gets a second name below /tmp, for the command alone.
#
#   tests/lib/reachable.sh UID COMMAND...
set -u
uid=$1
shift
if [ "$(id -u)" -ne 0 ] || setpriv --reuid "$uid" --regid "$uid" --clear-groups test -r "$PWD/Makefile"; then
	exec "$@"
fi
name=$(mktemp -d /tmp/vsandbox-tree-XXXXXX) || exit 1
chmod 755 "$name"
trap 'rmdir "$name"' EXIT
# shellcheck disable=SC2016 # the inner shell's
unshare --mount --propagation private sh -c 'mount --bind . "$1" && cd "$1" && shift && exec "$@"' sh "$name" "$@"
