load common
load server

# mcp: a client's conversation over standard input and output, with a real control plane behind it.

say() { # LINES on stdin
	VAULTAK_API_URL=$URL VSANDBOX_API_KEY=${KEY-$(cat "$ADMIN")} timeout 60 "$VSANDBOX" mcp
}

@test "mcp: initialize, tools, a call that reads and one that pauses an agent" {
	start_server
	agent_key key
	"$VSANDBOX" login --agent-key-file key "$URL"
	box -q --name talker -- sh -c '(echo >a.secret) 2>/dev/null; true'
	known() { ask /api/agents | grep -q talker; }
	eventually known
	say >answers <<-'JSON'
		{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-03-26","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}
		{"jsonrpc":"2.0","method":"notifications/initialized"}
		{"jsonrpc":"2.0","id":2,"method":"tools/list"}
		{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"get_agents","arguments":{}}}
		{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"pause_agent","arguments":{"agent_id":"talker"}}}
		{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"no_such_tool","arguments":{}}}
		this is no JSON
	JSON
	python3 - <<-'PY'
		import json
		rows = [json.loads(line) for line in open("answers")]
		by_id = {r["id"]: r for r in rows if r.get("id") is not None}
		assert by_id[1]["result"]["serverInfo"]["name"], by_id[1]
		names = {t["name"] for t in by_id[2]["result"]["tools"]}
		assert {"get_agents", "pause_agent", "get_approvals"} <= names, names
		assert "talker" in json.dumps(by_id[3]["result"])
		assert not by_id[4]["result"].get("isError"), by_id[4]
		assert "error" in by_id[5] or by_id[5]["result"]["isError"], by_id[5]
		assert any(r.get("error", {}).get("code") == -32700 for r in rows), rows
	PY
	ask /api/agents | python3 -c '
import json, sys
[agent] = [a for a in json.load(sys.stdin) if a["name"] == "talker"]
assert agent["paused"] is True, agent'
}

@test "mcp: a viewer's key reads and may not pause; without a key nothing starts" {
	start_server
	KEY=$(ask /api/keys -d '{"name":"v","role":"viewer"}' -H 'content-type: application/json' | grep -o 'vtk_[A-Za-z0-9_-]*')
	say >answers <<-'JSON'
		{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_alerts","arguments":{}}}
		{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"pause_agent","arguments":{"agent_id":"x"}}}
	JSON
	python3 - <<-'PY'
		import json
		one, two = [json.loads(line) for line in open("answers")]
		assert not one["result"].get("isError"), one
		assert two["result"]["isError"], two
	PY
	KEY='' run say </dev/null
	[ "$status" -eq 2 ]
	run "$VSANDBOX" mcp extra
	[ "$status" -eq 125 ]
}
