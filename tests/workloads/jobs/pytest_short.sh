# Two of the python test modules.
for t in test_tempfile test_shutil; do
	timeout 200 /usr/bin/python3 -m test -q $t >"$t.log" 2>&1
	echo "$t exit $?"
	grep -E '^(test.* failed|Result:|Total tests|FAIL:|ERROR:)' "$t.log" | sed 's| in .* sec$||' | sort -u
done
