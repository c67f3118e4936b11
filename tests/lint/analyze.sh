#!/bin/sh
# gcc -fanalyzer over the files named, after it has proved itself on seeded defects. It needs -c:
# with -fsyntax-only it finds nothing. What it says of a function is held against analyzer.known:
# a finding that is not there fails, and so does a line there that is found no more.
#
#   CC=gcc CPPFLAGS=... CFLAGS=... tests/lint/analyze.sh FILE...
set -u
export LC_ALL=C
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

# FILE [OPTION...]: "FILE FUNCTION CLASS" of each finding; fails when it does not compile.
findings() {
	file=$1
	shift
	# shellcheck disable=SC2086
	${CC:-gcc} ${CPPFLAGS:-} ${CFLAGS:-} -Wno-error "$@" -fanalyzer -c "$file" -o /dev/null \
		2>"$dir/said" || return 1
	awk -v file="$file" '
		/In function / || /^ *inlined from / { split($0, part, "\047"); name = part[2]; sub(/\..*/, "", name) }
		/warning: .*\[-Wanalyzer-/ { sub(/.*\[-Wanalyzer-/, ""); sub(/\].*/, ""); print file, name, $0 }
	' "$dir/said" | sort -u
}

for class in double-free malloc-leak null-dereference; do
	if ! findings tests/lint/seeded.c -O0 -U_FORTIFY_SOURCE | grep -q " $class\$"; then
		echo "the analyzer does not see the seeded $class" >&2
		exit 1
	fi
done
bad=0
: >"$dir/known"
for f in "$@"; do
	# the one file that defines what the header describes
	if [ "$f" = base/err.c ]; then set --; else set -- -include tests/lint/analyzer.h; fi
	if ! findings "$f" "$@" >"$dir/found"; then
		cat "$dir/said" >&2
		bad=1
		continue
	fi
	grep "^$f " tests/lint/analyzer.known | sort >"$dir/known"
	if ! cmp -s "$dir/found" "$dir/known"; then
		cat "$dir/said" >&2
		diff -u --label known "$dir/known" --label found "$dir/found" >&2
		bad=1
	fi
done
exit $bad
