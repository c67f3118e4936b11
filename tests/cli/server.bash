# A real control plane on the loopback, with a store of the test's own. After common.

# start_server FLAG...: sets SERVER, URL, and at the first start ADMIN, a file with the administrator's key
start_server() {
	rm -f "$BATS_TEST_TMPDIR/port"
	"$VSANDBOX" serve --db "$BATS_TEST_TMPDIR/store.db" --listen 127.0.0.1:0 --port-file "$BATS_TEST_TMPDIR/port" "$@" \
		3>&- >"$BATS_TEST_TMPDIR/server" 2>&1 &
	SERVER=$!
	eventually test -s "$BATS_TEST_TMPDIR/port"
	URL=http://127.0.0.1:$(cat "$BATS_TEST_TMPDIR/port")
	ADMIN=$BATS_TEST_TMPDIR/admin
	! grep ^vtk_ "$BATS_TEST_TMPDIR/server" >"$BATS_TEST_TMPDIR/first" || mv "$BATS_TEST_TMPDIR/first" "$ADMIN"
}

# ask PATH [CURL-OPTION...]: what the server answers to the administrator
ask() {
	curl -sS -m 60 -H "x-api-key: $(cat "$ADMIN")" "${@:2}" "$URL$1"
}

# agent_key FILE: a key of role agent, as a host reports with
agent_key() {
	ask /api/keys -d '{"name":"host","role":"agent"}' -H 'content-type: application/json' |
		grep -o 'vtk_[A-Za-z0-9_-]*' >"$1"
	chmod 600 "$1"
}
