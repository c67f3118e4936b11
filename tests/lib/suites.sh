#!/bin/sh
# Runs test suites one after the other, keeps each one's TAP, prints the failures and ends with
#   N passed, N failed, N skipped
# A suite without a plan, with a plan that does not fit, or that fails without saying so, is a
# failure of its own.
#
#   tests/lib/suites.sh DIR <<< "NAME COMMAND..." (one suite a line)
set -u
dir=$1
mkdir -p "$dir"
: >"$dir/total"
child=
trap '[ -z "$child" ] || kill "$child" 2>/dev/null; exit 130' INT TERM
while read -r name command; do
	case $name in '' | '#'*) continue ;; esac
	start=$(date +%s)
	sh -c "exec env $command" >"$dir/$name.tap" 2>"$dir/$name.err" </dev/null &
	child=$!
	wait "$child"
	status=$?
	child=
	awk -v name="$name" -v status="$status" -v seconds="$(($(date +%s) - start))" -v totals="$dir/total" '
		/^[ \t]*1\.\.[0-9]+/ { sub(/^[ \t]*1\.\./, ""); planned += $1; plans++ }
		/^ok[ \t]/ { ran++; if (tolower($0) ~ /# *skip/) { skipped++; print "  " $0 } else passed++; showing = noted = 0; next }
		/^not ok[ \t]/ {
			ran++
			if (tolower($0) ~ /# *todo/) { skipped++; noted = 0; next }
			failed++
			for (i = noted > 25 ? noted - 25 : 0; i < noted; i++) print "  " notes[i]
			print "  " $0; showing = 25; noted = 0; next
		}
		/^#/ && showing-- > 0 { print "  " $0; next }
		/^#/ { notes[noted++] = $0 } # said before the claim it belongs to
		END {
			if (!plans || planned != ran) { failed++; print "  not ok - " name ": planned " planned + 0 " in " plans + 0 " plans, ran " ran + 0 }
			else if (status != 0 && !failed) { failed++; print "  not ok - " name ": exit status " status }
			printf "%-28s %5d passed %3d failed %3d skipped %5d s\n", name, passed, failed, skipped, seconds
			print passed + 0, failed + 0, skipped + 0 >>totals
		}' "$dir/$name.tap"
	if [ "$status" -ne 0 ] && [ -s "$dir/$name.err" ]; then
		LC_ALL=C tr -c '[:print:]\n\t' '?' <"$dir/$name.err" | tail -n 15 | sed 's/^/  | /'
	fi
done
awk '{ p += $1; f += $2; s += $3 }
	END { printf "%d passed, %d failed, %d skipped\n", p, f, s; exit f > 0 || p == 0 }' "$dir/total"
