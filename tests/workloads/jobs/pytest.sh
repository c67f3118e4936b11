# needs-long
# Subsets of python's own test suite.
for t in test_os test_subprocess test_pathlib test_shutil test_tempfile test_socket test_asyncio; do
	timeout 400 /usr/bin/python3 -m test -q $t >"$t.log" 2>&1
	echo "$t exit $?"
	grep -E '^(test.* failed|Result:|FAIL:|ERROR:)' "$t.log" | sort -u
done
