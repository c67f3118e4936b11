#!/usr/bin/env python3
"""The tools over both transports against a real server. TAP on stdout.

    URL=… KEY=admin-key mcp.py PROGRAM | http
"""
import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request

URL, KEY = os.environ["URL"], os.environ["KEY"]
HTTP = sys.argv[1] == "http"
WAY = "POST /mcp" if HTTP else "mcp"
KIND = "http" if HTTP else "lines"
number = failed = 0


def ok(what, holds, seen=None):
    global number, failed
    number += 1
    failed += not holds
    print(f"{'ok' if holds else 'not ok'} {number} - {WAY}: {what}", flush=True)
    if not holds:
        print(f"# seen: {seen!r}")


def same(what, got, want):
    ok(what, got == want, got)


def rest(method, path, body=None, key=KEY):
    request = urllib.request.Request(URL + path, json.dumps(body).encode() if body is not None else None,
                                     {"x-api-key": key}, method=method)
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.loads(answer.read())


class Posts:
    """What the program does with lines, with requests to the server itself."""

    def __init__(self, key):
        self.key, self.answers = key, []

    def say(self, text):
        request = urllib.request.Request(URL + "/mcp", text.encode(), {
            "Authorization": "Bearer " + self.key, "Accept": "application/json, text/event-stream"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            body = answer.read()
            if answer.status == 200:
                self.answers.append(body)
            elif body or answer.status != 202:
                raise RuntimeError(answer.status)

    def hear(self):
        return json.loads(self.answers.pop(0))


class Lines:
    def __init__(self, key):
        self.process = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={"VAULTAK_API_URL": URL, "VSANDBOX_API_KEY": key})

    def say(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def hear(self):
        return json.loads(self.process.stdout.readline())


start = Posts if HTTP else Lines
program = start(KEY)


def say(line, to=program):
    to.say(line if isinstance(line, str) else json.dumps(line))


def ask(method, params=None, to=program, id=7):
    say({"jsonrpc": "2.0", "id": id, "method": method, **({"params": params} if params is not None else {})}, to)
    return to.hear()


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
                          "resume_agent", "get_approvals", "decide_approval", "rollback_agent"])

agent = KIND + " agent?x=1#é%41"  # quoted, whatever it is made of
rest("POST", "/api/agents", {"name": agent})
rest("POST", "/api/alerts", {"agent_id": agent, "message": "look", "severity": "high"})
ok("get_agents", any(a["agent_id"] == agent for a in tool("get_agents", {"limit": 1000})))
same("… with a limit", len(tool("get_agents", {"limit": 1})), 1)
alert = next(a for a in tool("get_alerts", {"limit": 1000}) if a["agent_id"] == agent)
tool("acknowledge_alert", {"alert_id": alert["id"]})
ok("acknowledge_alert", not any(a["id"] == alert["id"] for a in rest("GET", "/api/alerts?limit=1000")))
same("get_risk_summary", tool("get_risk_summary"), rest("GET", "/api/stats"))
for name, paused in (("pause_agent", True), ("resume_agent", False)):
    said = tool(name, {"agent_id": agent})
    row = next(a for a in rest("GET", "/api/agents?limit=1000") if a["agent_id"] == agent)
    same(name, row["paused"], paused)

ok("an id leads to no other path", "Not Found" in str(tool("pause_agent", {"agent_id": f"../alerts/{alert['id']}"})))
ok("an unknown agent is an error of the tool", "Not Found" in str(tool("pause_agent", {"agent_id": "nobody"})))
for what, name, arguments in (("no such tool", "rm", {}), ("a missing argument", "pause_agent", {}),
                              ("an argument of another type", "acknowledge_alert", {"alert_id": "1/../x"}),
                              ("an argument too many", "get_agents", {"x": 1}),
                              ("a limit out of range", "get_agents", {"limit": 5000}),
                              ("arguments that are a list", "get_agents", [])):
    same(what, tool(name, arguments), -32602)
same("no such method", ask("resources/list")["error"]["code"], -32601)
bad = [("no version", '{"id":1,"method":"ping"}', -32600),
       ("an id that is an object", '{"jsonrpc":"2.0","id":{},"method":"ping"}', -32600)]
if not HTTP:  # there, what is no object is refused as any other body of the API
    bad += [("no JSON", "{", -32700), ("two values", "{} {}", -32700), ("a batch", "[]", -32600),
            ("a number", "1", -32600)]
for what, line, code in bad:
    say(line)
    same(what, program.hear()["error"]["code"], code)

# ---- what waits for a person, and what is reversed: a gateway of the test's own does what it is told
SESSION, boxed = "20260101-" + KIND, KIND + "-boxed"
gate = rest("POST", "/api/keys", {"name": "g", "role": "agent"})["key"]
rest("POST", "/api/sessions", {"id": SESSION, "agent_id": boxed, "host": "h", "state": "running"}, gate)
rest("POST", f"/api/sessions/{SESSION}/approvals",
     {"request_id": "1", "state": "pending", "request": {"resource": "/w/x"}}, gate)
told = []


def gateway(answers):
    while answers:
        for command in rest("GET", f"/api/sessions/{SESSION}/commands?wait=20", None, gate):
            told.append(command)
            rest("POST", f"/api/sessions/{SESSION}/commands/{command['id']}",
                 {"ok": True, "result": answers.pop(0)}, gate)


thread = threading.Thread(target=gateway, daemon=True, args=([
    {"answered": "deny"}, {"rolled_back": 2, "action_ids": [1, 2], "message": "2 actions undone"}],))
thread.start()
waiting = [a for a in tool("get_approvals", {"limit": 100}) if a["session_id"] == SESSION]
ok("get_approvals", len(waiting) == 1 and waiting[0]["request"]["resource"] == "/w/x", waiting)
said = tool("decide_approval", {"approval_id": waiting[0]["id"], "decision": "deny", "reason": "no"})
ok("decide_approval", told and told[-1]["kind"] == "answer" and told[-1]["body"]["decision"] == "deny", (said, told))
said = tool("rollback_agent", {"agent_id": boxed, "n_actions": 2})
ok("rollback_agent waits for the sandbox's word", said["rolled_back"] == 2 and told[-1]["kind"] == "rollback", said)
thread.join(60)
same("a word that is none", tool("decide_approval", {"approval_id": 1, "decision": "perhaps"}), -32602)
rest("POST", "/api/sessions", {"id": SESSION, "agent_id": boxed, "host": "h", "state": "ended"}, gate)

viewer = start(rest("POST", "/api/keys", {"name": "v", "role": "viewer"})["key"])
ok("a viewer reads", isinstance(tool("get_agents", to=viewer), list))
ok("… and pauses nobody", "may not do this" in str(tool("pause_agent", {"agent_id": agent}, to=viewer)))
if HTTP:
    nobody = Posts("vtk_" + "x" * 43)
    try:
        nobody.say("{}")
        ok("no key", False)
    except urllib.error.HTTPError as e:
        same("no key", e.code, 401)
else:
    for p in (program, viewer):
        p.process.stdin.close()
        same("the end of the input is the end", p.process.wait(60), 0)
    without = subprocess.run([sys.argv[1]], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                             env={"VAULTAK_API_URL": URL})
    ok("no key", without.returncode == 2 and "VSANDBOX_API_KEY" in without.stderr, without)
print(f"1..{number}")
sys.exit(failed != 0)
