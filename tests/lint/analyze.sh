#!/bin/sh
# gcc -fanalyzer over the files named, after it has proved itself on a seeded defect. It needs -c:
# with -fsyntax-only it finds nothing.
#
#   CC=gcc CPPFLAGS=... CFLAGS=... tests/lint/analyze.sh FILE...
set -u
if ${CC:-gcc} -O0 -fanalyzer -Werror -c tests/lint/seeded.c -o /dev/null 2>/dev/null; then
	echo 'the analyzer does not see the seeded double free' >&2
	exit 1
fi
bad=0
for f in "$@"; do
	# shellcheck disable=SC2086
	${CC:-gcc} ${CPPFLAGS:-} ${CFLAGS:-} -fanalyzer -c "$f" -o /dev/null || bad=1
done
exit $bad
