#!/bin/sh
# The same program natively and inside: the transcripts have to be equal. TAP on stdout, one claim
# for each section of the transcript. Lines that may differ stand, with their reason, in the file
# "differences" beside this script.
#
#   tests/fidelity/run.sh [--uid N] [--policy P] [PROGRAM...]
#
# VSANDBOX     the program under test (default build/release/vsandbox)
# FIDELITY_BIN the compiled programs  (default build/release/tests/fidelity)
set -u
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
# shellcheck source=tests/lib/tap.sh
. "$top/tests/lib/tap.sh"

VSANDBOX=${VSANDBOX:-$top/build/release/vsandbox}
FIDELITY_BIN=${FIDELITY_BIN:-$top/build/release/tests/fidelity}
uid='' policy=$here/open.json
while [ $# -gt 0 ]; do
	case $1 in
	--uid) uid=$2 && shift ;;
	--policy) policy=$2 && shift ;;
	-*) echo "usage: run.sh [--uid N] [--policy P] [PROGRAM...]" >&2 && exit 125 ;;
	*) break ;;
	esac
	shift
done
[ $# -gt 0 ] || set -- files names attributes beside signals
as='' who=root
if [ -n "$uid" ]; then
	as="setpriv --reuid $uid --regid $uid --clear-groups --"
	who="uid $uid"
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/fidelity.XXXXXX") || exit 1
cleanup() {
	chmod -R u+rwx "$work" 2>/dev/null
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
chmod 711 "$work"
mkdir -m 755 "$work/bin" && cp "$FIDELITY_BIN"/* "$work/bin/" || exit 1
case $policy in
*/*) cp "$policy" "$work/policy.json" && policy=$work/policy.json ;;
esac
if [ -n "$uid" ]; then
	mkdir -p "$work/vs/build/release" && cp "$VSANDBOX"* "$work/vs/build/release/" &&
		cp -r "$top/policies" "$work/vs/policies" && VSANDBOX=$work/vs/build/release/vsandbox
fi

# Always the same path, so that lengths and names agree.
fill() {
	rm -rf "$work/s" "${work:?}/home" "$work/state"
	mkdir "$work/s" "$work/home" "$work/state" && cd "$work/s" || exit 1
	mkdir -p found/inner foreign locked
	echo deep >found/inner/deep
	echo old >found/old
	echo dated >found/dated
	printf 0123456789 >found/sized
	printf old >found/shared
	echo f >foreign/file
	echo f >locked/file
	[ -z "$uid" ] || chown -R "$uid:$uid" "$work/s" "$work/home" "$work/state"
	chown -R 0:0 foreign
	chmod 0600 foreign/file
	chmod 0500 locked
}

# transcript PROGRAM OUTPUT [launcher...]
transcript() {
	prog=$1 out=$2
	shift 2
	fill
	(
		cd "$work/s" || exit 99
		export HOME="$work/home" XDG_STATE_HOME="$work/state" XDG_CONFIG_HOME="$work/home/.config"
		export XDG_RUNTIME_DIR="$work/home/run"
		# shellcheck disable=SC2086
		exec setsid -w timeout -k 5 "${FIDELITY_TIMEOUT:-300}" $as "$@" "$work/bin/$prog" </dev/null
	) >"$out" 2>"$out.err"
	echo "exit $?" >>"$out"
	chmod -R u+rwx "$work/s"
}

section_of() {
	awk -v want="$1" '/^\[/ { name = $0 } name == want' "$2"
}

# Drops from both sides what is known to differ, given the file with the inner lines.
compare() {
	name=$1
	section_of "$name" "$work/native" >"$work/n"
	section_of "$name" "$work/inside" >"$work/i"
	if diff -u "$work/n" "$work/i" >"$work/d"; then
		tap_ok "$prog as $who: $name"
		return
	fi
	# A hunk may be excused line by line.
	bare=$(echo "$name" | tr -d '[]')
	excused=$(awk -F'\t' -v s="$bare" '$1 == s { print $2 }' "$here/differences")
	if grep '^+[^+]' "$work/d" | cut -c2- | grep -vxF "${excused:-//none//}" | grep -q .; then
		tap_not_ok "$prog as $who: $name"
		grep -v '^[- +]look .*found$' "$work/d" | grep '^[-+]' >"$work/dd"
		tap_note_file "$work/dd" 60
	else
		tap_ok "$prog as $who: $name (with the differences that are on the list)"
	fi
}

if [ ! -x "$VSANDBOX" ]; then
	tap_not_ok "there is a program to test: $VSANDBOX"
	tap_done
	exit 1
fi
for prog in "$@"; do
	transcript "$prog" "$work/native"
	if [ "$prog" != signals ]; then
		transcript "$prog" "$work/native2"
		if ! diff "$work/native" "$work/native2" >"$work/d"; then
			tap_not_ok "$prog as $who: two native runs agree (else the comparison means nothing)"
			tap_note_file "$work/d"
		fi
	fi
	transcript "$prog" "$work/inside" "$VSANDBOX" run -q --policy "$policy" --
	tap_is "$prog as $who: exit status" "$(tail -n 1 "$work/inside")" "$(tail -n 1 "$work/native")"
	if [ -s "$work/inside.err" ] || [ -s "$work/native.err" ]; then
		tap_note "native stderr:"
		tap_note_file "$work/native.err"
		tap_note "inside stderr:"
		tap_note_file "$work/inside.err"
	fi
	if [ "$prog" = signals ]; then
		sed -i '/^exit/d' "$work/native" "$work/inside"
		tap_is "$prog as $who: the same answers" "$(cat "$work/inside")" "$(cat "$work/native")"
		continue
	fi
	sed -n 's/^\(\[.*\]\)$/\1/p' "$work/native" >"$work/sections"
	while read -r name; do
		compare "$name"
	done <"$work/sections"
done
tap_done
