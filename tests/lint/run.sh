#!/bin/sh
# The linters as TAP claims. Called by `make lint`, which passes compiler flags and floors.
#
#   CC=gcc CPPFLAGS=... CFLAGS=... tests/lint/run.sh FLOOR...
set -u
# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# claim TEXT COMMAND...
claim() {
	text=$1
	shift
	if "$@" >"$work/out" 2>&1; then
		tap_ok "$text"
	else
		tap_not_ok "$text"
		tap_note_file "$work/out" 40
	fi
}

# Each processor gets its share of the files on standard input: shared COMMAND...
shared() {
	xargs -P "$(nproc)" -n 20 "$@"
}

format() {
	git ls-files '*.c' '*.h' | shared clang-format --dry-run -Werror
}

shells() {
	{
		git ls-files '*.sh'
		git ls-files | xargs grep -lE '^#!/bin/(ba)?sh' 2>/dev/null
	} | grep -v '^tests/workloads/jobs/' | sort -u | shared shellcheck -x -P .
}

bats_files() {
	# What bats defines for a test, and what one file sets for another, shellcheck cannot see.
	git ls-files '*.bats' '*.bash' |
		xargs -P "$(nproc)" -n 5 shellcheck -s bash -S warning -e SC2030,SC2031,SC2034,SC2154,SC2010
}

headers() {
	# A header on its own, twice: complete and guarded.
	# shellcheck disable=SC2016 # the inner shell's
	git ls-files '*.h' | grep -v '^tests/escape/attack.h$' | shared sh -c '
		bad=0
		for h; do
			printf "#include \"%s\"\n#include \"%s\"\n" "$h" "$h" |
				${CC:-gcc} ${CPPFLAGS:-} ${CFLAGS:-} -Wno-unused -I. -fsyntax-only -x c - || bad=1
		done
		exit "$bad"' sh
}

pages() {
	files=$(git ls-files '*.[1-8]')
	# shellcheck disable=SC2086
	[ -z "$files" ] || mandoc -T lint -W warning $files
}

policies() {
	bad=0
	for p in $(git ls-files 'policies/*.json' | grep -v "schema\\.json\$"); do
		[ ! -e "$p" ] || [ ! -x "${VSANDBOX:-}" ] || "$VSANDBOX" policy check "$p" || bad=1
	done
	return $bad
}

claim 'C is formatted' format
claim 'shell passes shellcheck' shells
claim 'bats passes shellcheck' bats_files
claim 'a floor includes only lower floors' tests/lint/includes.sh "$@"
# The check itself can fail: base may not include launcher.
mkdir -p "$work/base" "$work/launcher"
echo '#include "launcher/x.h"' >"$work/base/a.c"
seeded() {
	! (cd "$work" && "$OLDPWD/tests/lint/includes.sh" base launcher)
}
OLDPWD=$PWD claim 'the include check sees a seeded violation' seeded
claim 'every header is complete and guarded' headers
claim 'man pages pass mandoc' pages
claim 'shipped policies are valid' policies
tap_done
