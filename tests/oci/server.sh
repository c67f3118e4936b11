# shellcheck shell=bash
# A container whose session reports to a control plane, and does what is asked there. Sourced by run.sh, which
# sets what is used here.
# shellcheck disable=SC2154

server_there() { [ -s port ] && grep -q ^vtk_ server.out; }

api() { python3 "$here/../uplink/api.py" "$url" admin.key "$@" 2>>api.err; }

# start_server: a control plane of our own, and this host's key to it.
start_server() {
	"$VSANDBOX" serve --db "$work/store.db" --listen 127.0.0.1:0 --port-file "$work/port" >server.out 2>&1 &
	server=$!
	ours+=("$server")
	within 30 server_there || { tap_note_file server.out && return 1; }
	url=http://127.0.0.1:$(cat port)
	grep ^vtk_ server.out >admin.key
	api POST /api/keys '{"name":"host","role":"agent"}' | grep -o 'vtk_[A-Za-z0-9_-]*' >agent.key
	"$VSANDBOX" login --agent-key-file agent.key "$url" >login.out 2>&1 || tap_note_file login.out
}

stop_server() {
	"$VSANDBOX" logout >/dev/null 2>&1
	kill "$server"
	wait "$server" 2>/dev/null
}

# The question about *.ask that waits at the server, in approval.
asked_there() {
	approval=$(api GET /api/approvals | python3 -c '
import json, sys
for a in json.loads(sys.stdin.read()[4:]):
    if a["request"]["resource"].endswith(".ask"):
        print(a["id"])')
	[ -n "$approval" ]
}

# Actions of the session there whose resource ends like $1, refused.
refused_there() {
	api GET "/api/actions?session_id=$id&limit=1000" | python3 -c '
import json, sys
rows = json.loads(sys.stdin.read()[4:])
sys.exit(not any(r["resource"].endswith(sys.argv[1]) and r["decision"] == "BLOCK" for r in rows))' "$1"
}

served_lines() { podman_here logs served 2>&1 | grep -cx -- "$1"; }
served_said() { [ "$(served_lines "$1")" -gt 0 ]; }

# One container: a read is refused, an exec waits and is allowed at the server, its changes are undone from there.
server_claims() {
	local id name server url approval
	cat >served.json <<'JSON'
{
	"name": "served",
	"max_actions_per_minute": 1000000,
	"risk_threshold": 1.0,
	"blocked_resources": ["*.secret"],
	"rules": [{ "name": "asks", "action_type": "code_execution", "resource_pattern": "*.ask", "effect": "pause" }]
}
JSON
	wrapper wrap-served runc "$work/served.json"
	start_server || { tap_not_ok "podman: the control plane starts" && return; }
	start_agent
	podman_here --runtime "$work/wrap-served" run -d --name served --network=none --rootfs "$rootfs" /bin/sh -c \
		'cat /root/canary.secret; rm /root/data; echo other >/root/data; /root/tool.ask; while :; do sleep 0.2; done' \
		>run.out 2>&1 || tap_note_file run.out
	within 30 asked_there || tap_note_file agent.log
	id=$(latest)
	name=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["agent"])' \
		<"$XDG_STATE_HOME/vsandbox/sessions/$id/session.json")
	tap_is "podman: until the server has answered the exec waits" \
		"$(served_lines ran) $(cat "$rootfs/root/data")" "0 other"
	tap_is "podman: it is allowed there" \
		"$(api POST "/api/approvals/$approval" '{"decision":"allow","reason":"as tested"}' | cut -c 1-3)" 200
	tap_is "podman: and goes on" "$(within 30 served_said ran && echo ran)" ran
	tap_is "podman: the refused read is known there" "$(within 30 refused_there canary.secret && echo known)" known
	tap_is "podman: and gave nothing away" "$(served_lines kept)" 0
	tap_is "podman: a rollback from the server" "$(api POST /api/rollback \
		"{\"agent_id\":\"$name\",\"n_actions\":2}" | cut -c 1-3) $(cat "$rootfs/root/data")" "200 data"
	podman_here --runtime "$work/wrap-served" rm -f -t 0 served >rm.out 2>&1 || tap_note_file rm.out
	stop_agent
	stop_server
}
