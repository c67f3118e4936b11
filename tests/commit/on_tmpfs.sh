#!/bin/sh
# Runs a command with a small tmpfs of its own mounted at a directory that it is told in $TMPFS.
#
#   tests/commit/on_tmpfs.sh SIZE COMMAND... (root)
set -eu
if [ -z "${TMPFS:-}" ]; then
	TMPFS=$(mktemp -d /var/tmp/vsandbox-tmpfs-XXXXXX)
	export TMPFS
	chmod 755 "$TMPFS"
	trap 'rmdir "$TMPFS"' EXIT
	# the mount lives and dies with the namespace
	unshare -m --propagation private "$0" "$@"
	exit $?
fi
mount -t tmpfs -o "size=$1,mode=1777" tmpfs "$TMPFS"
shift
exec "$@"
