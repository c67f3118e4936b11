#!/bin/sh
# A floor includes only itself and lower floors. The floors, lowest first, are the arguments.
#
#   tests/lint/includes.sh base policies ...
set -eu
below="" bad=0
for floor in "$@"; do
	below="$below $floor"
	for file in "$floor"/*.[ch]; do
		[ -e "$file" ] || continue
		# Names of headers hold no blanks.
		# shellcheck disable=SC2013
		for up in $(sed -nE 's/^[ \t]*#[ \t]*include[ \t]*"([^"]+)".*/\1/p' "$file"); do
			case $up in
			*/*) ;;
			*)
				echo "$file includes \"$up\" without its floor"
				bad=1
				continue
				;;
			esac
			case "$below " in
			*" ${up%%/*} "*) ;;
			*)
				echo "$file includes $up, which is above $floor"
				bad=1
				;;
			esac
		done
	done
done
exit $bad
