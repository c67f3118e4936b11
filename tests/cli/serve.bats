load common
load server

# serve, login, logout, status: this host and a control plane of its own.

@test "serve: prints the administrator's key once, answers, keeps what it was told over a restart" {
	start_server
	[ "$(grep -c '^vtk_' "$ADMIN")" -eq 1 ]
	[ "$(stat -c %a "$BATS_TEST_TMPDIR/store.db")" = 600 ]
	ask /api/agents -o /dev/null -w '%{http_code}' | grep -qx 200
	[ "$(curl -s -m 60 -o /dev/null -w '%{http_code}' "$URL/api/agents")" = 401 ]
	curl -s -m 60 "$URL/" | grep -qi '<html'
	agent_key key
	kill -TERM "$SERVER"
	await "$SERVER"
	[ "$status" -eq 0 ]
	start_server
	not grep -q '^vtk_' "$BATS_TEST_TMPDIR/server"
	ask /api/keys | grep -q '"host"'
	# the examples of its page, as they stand there
	KEY=$(cat "$ADMIN") LAST=0
	sed -nE 's/^\.Dl \$ (curl .*)/\1/p' "$BATS_TEST_DIRNAME/../../man/vsandbox-serve.8" | sed -e 's/\\&//g' >examples
	[ "$(wc -l <examples)" -eq 2 ]
	while read -r line; do
		line=${line//http:\/\/127.0.0.1:7878/$URL}
		KEY=$KEY LAST=$LAST sh -c "${line/curl /curl -sS -f -m 60 }" >answer
	done <examples
	grep -q 'X-Next-Cursor\|HTTP/1.1 200' head
}

@test "serve: refuses the world without a certificate, a store that is none, options that make no sense" {
	for flags in "--listen 0.0.0.0:0" "--listen nowhere" "--key-rate many" "--request-timeout 0" "--syslog mars" \
		"--webhook ftp://x" "--tls-cert /nonexistent" "--db /nonexistent/store.db"; do
		# shellcheck disable=SC2086 # two words
		run timeout 60 "$VSANDBOX" serve --db "$BATS_TEST_TMPDIR/other.db" $flags
		[ "$status" -eq 125 ] || { echo "$flags: $status $output"; false; }
		[[ $output == *vsandbox* ]]
	done
	echo 'no database' >text.db
	run timeout 60 "$VSANDBOX" serve --db text.db --listen 127.0.0.1:0
	[ "$status" -eq 125 ]
	[ "$(cat text.db)" = 'no database' ]
	run "$VSANDBOX" serve extra
	[ "$status" -eq 125 ]
}

@test "login: a key of the right role is checked and kept; the next run is reported; logout ends that" {
	start_server
	agent_key key
	run "$VSANDBOX" status
	[[ $output == *"nobody: vsandbox login URL"* ]]
	run "$VSANDBOX" login --agent-key-file key "$URL"
	[ "$status" -eq 0 ]
	[[ $output == *"report to $URL"* ]]
	[ "$(stat -c %a "$XDG_STATE_HOME/vsandbox/server.json")" = 600 ]
	run "$VSANDBOX" status
	[[ $output == *"reports to  $URL"*"answers and knows the key"* ]]
	box -q --name reporter -- sh -c '(echo >a.secret) 2>/dev/null; touch made; env' >environment
	not grep -q "$(cat key)" environment
	id=$(sessions)
	reported() { ask "/api/sessions/$id" | grep -q '"state": *"ended"'; }
	eventually reported
	ask "/api/actions?session_id=$id&limit=100" | grep -q 'a\.secret'
	run "$VSANDBOX" logout
	[ "$status" -eq 0 ]
	[ ! -e "$XDG_STATE_HOME/vsandbox/server.json" ]
	box -q --name silent -- true
	"$VSANDBOX" status | grep -q 'reports to  nobody'
	run "$VSANDBOX" logout
	[ "$status" -eq 0 ]
	[[ $output == *"reported to nobody"* ]]
	! ask /api/agents | grep -q silent
}

@test "login: a wrong key, another role's, no key, a far host in the clear, nobody there: refused, nothing kept" {
	start_server
	agent_key key
	echo vtk_wrongwrongwrong >wrong
	echo 'not a key' >none
	chmod 600 wrong none
	for flags in "--agent-key-file wrong $URL" "--agent-key-file none $URL" "--agent-key-file nosuch $URL" \
		"--agent-key-file key http://192.0.2.1" "--agent-key-file key http://127.0.0.1:9" \
		"--agent-key-file key ftp://127.0.0.1" "--agent-key-file key --ca nosuch $URL" "--agent-key-file key"; do
		# shellcheck disable=SC2086 # words
		run timeout 60 "$VSANDBOX" login $flags </dev/null
		[ "$status" -eq 125 ] || { echo "$flags: $status $output"; false; }
		[[ $output == *vsandbox:* ]]
	done
	[ ! -e "$XDG_STATE_HOME/vsandbox/server.json" ]
	# by standard input, as a pipe gives it
	"$VSANDBOX" login --agent-key-file - "$URL" <key
	[ -e "$XDG_STATE_HOME/vsandbox/server.json" ]
	"$VSANDBOX" login --remove
	[ ! -e "$XDG_STATE_HOME/vsandbox/server.json" ]
}

@test "status: a server that is away is said; what it missed is delivered by --flush" {
	start_server
	agent_key key
	"$VSANDBOX" login --agent-key-file key "$URL"
	port=${URL##*:}
	kill -KILL "$SERVER"
	wait "$SERVER" || true
	box -q --name away -- touch made
	run "$VSANDBOX" status
	[ "$status" -eq 0 ]
	[[ $output == *"$URL"* && $output != *"answers and knows"* ]]
	"$VSANDBOX" status --json | python3 -c '
import json, sys
d = json.load(sys.stdin)
assert d["server_trouble"] and d["reports_to"].startswith("http://127.0.0.1:"), d'
	start_server --listen "127.0.0.1:$port"
	run "$VSANDBOX" status --flush
	[[ $output == *"answers and knows the key"* && $output != *"not wholly delivered"* ]]
	# or by the reporter of the run itself, should that have been trying just then
	delivered() { ask "/api/sessions/$(sessions)" | grep -q '"state": *"ended"'; }
	eventually delivered
}
