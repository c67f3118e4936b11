#!/usr/bin/env python3
"""vsandbox-mcp against a real server. TAP on stdout.

    URL=… KEY=admin-key mcp.py PROGRAM
"""
import json
import os
import subprocess
import sys
import urllib.request

URL, KEY = os.environ["URL"], os.environ["KEY"]
number = failed = 0


def ok(what, holds, seen=None):
    global number, failed
    number += 1
    failed += not holds
    print(f"{'ok' if holds else 'not ok'} {number} - mcp: {what}")
    if not holds:
        print(f"# seen: {seen!r}")


def same(what, got, want):
    ok(what, got == want, got)


def rest(method, path, body=None):
    request = urllib.request.Request(URL + path, json.dumps(body).encode() if body is not None else None,
                                     {"x-api-key": KEY}, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def start(key):
    return subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                            env={"VAULTAK_API_URL": URL, "VSANDBOX_API_KEY": key})


program = start(KEY)


def say(line, to=program):
    to.stdin.write((line if isinstance(line, str) else json.dumps(line)) + "\n")
    to.stdin.flush()


def ask(method, params=None, to=program, id=7):
    say({"jsonrpc": "2.0", "id": id, "method": method, **({"params": params} if params is not None else {})}, to)
    return json.loads(to.stdout.readline())


def tool(name, arguments=None, to=program):
    answer = ask("tools/call", {"name": name, **({"arguments": arguments} if arguments is not None else {})}, to)
    if "error" in answer:
        return answer["error"]["code"]
    result = answer["result"]
    text = result["content"][0]["text"]
    return text if result["isError"] else json.loads(text)


first = ask("initialize", {"protocolVersion": "2024-11-05", "capabilities": {}}, id="a")
same("an id comes back as it was", first["id"], "a")
same("a version that it speaks", first["result"]["protocolVersion"], "2024-11-05")
same("another version", ask("initialize", {"protocolVersion": "1999"})["result"]["protocolVersion"], "2025-06-18")
say({"jsonrpc": "2.0", "method": "notifications/initialized"})
same("a notification has no answer", ask("ping"), {"jsonrpc": "2.0", "id": 7, "result": {}})
names = [t["name"] for t in ask("tools/list")["result"]["tools"]]
same("the tools", names, ["get_agents", "get_alerts", "get_risk_summary", "acknowledge_alert", "pause_agent",
                          "resume_agent"])

agent = "mcp agent?x=1#é%41"  # quoted, whatever it is made of
rest("POST", "/api/agents", {"name": agent})
rest("POST", "/api/alerts", {"agent_id": agent, "message": "look", "severity": "high"})
ok("get_agents", any(a["agent_id"] == agent for a in tool("get_agents", {"limit": 1000})))
same("… with a limit", len(tool("get_agents", {"limit": 1})), 1)
alert = next(a for a in tool("get_alerts", {"limit": 1000}) if a["message"] == "look")
tool("acknowledge_alert", {"alert_id": alert["id"]})
ok("acknowledge_alert", not any(a["id"] == alert["id"] for a in rest("GET", "/api/alerts?limit=1000")))
same("get_risk_summary", tool("get_risk_summary"), rest("GET", "/api/stats"))
for name, paused in (("pause_agent", True), ("resume_agent", False)):
    said = tool(name, {"agent_id": agent})
    row = next(a for a in rest("GET", "/api/agents?limit=1000") if a["agent_id"] == agent)
    same(name, row["paused"], paused)

ok("an id leads to no other path", "404" in str(tool("pause_agent", {"agent_id": f"../alerts/{alert['id']}"})))
ok("an unknown agent is an error of the tool", "404" in str(tool("pause_agent", {"agent_id": "nobody"})))
for what, name, arguments in (("no such tool", "rm", {}), ("a missing argument", "pause_agent", {}),
                              ("an argument of another type", "acknowledge_alert", {"alert_id": "1/../x"}),
                              ("an argument too many", "get_agents", {"x": 1}),
                              ("a limit out of range", "get_agents", {"limit": 5000}),
                              ("arguments that are a list", "get_agents", [])):
    same(what, tool(name, arguments), -32602)
same("no such method", ask("resources/list")["error"]["code"], -32601)
for what, line, code in (("no JSON", "{", -32700), ("two values", "{} {}", -32700), ("a batch", "[]", -32600),
                         ("a number", "1", -32600), ("no version", '{"id":1,"method":"ping"}', -32600),
                         ("an id that is an object", '{"jsonrpc":"2.0","id":{},"method":"ping"}', -32600)):
    say(line)
    same(what, json.loads(program.stdout.readline())["error"]["code"], code)

viewer = start(rest("POST", "/api/keys", {"name": "v", "role": "viewer"})["key"])
ok("a viewer reads", isinstance(tool("get_agents", to=viewer), list))
ok("… and pauses nobody", "403" in str(tool("pause_agent", {"agent_id": agent}, to=viewer)))
for p in (program, viewer):
    p.stdin.close()
    same("the end of the input is the end", p.wait(10), 0)
without = subprocess.run([sys.argv[1]], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                         env={"VAULTAK_API_URL": URL})
ok("no key", without.returncode == 2 and "VSANDBOX_API_KEY" in without.stderr, without)
print(f"1..{number}")
sys.exit(failed != 0)
