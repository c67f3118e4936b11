#!/usr/bin/env python3
"""The REST contract, against a running server. TAP on stdout.

    api.py BACKEND URL ADMIN_KEY
"""
import http.client
import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request

backend, url, admin = sys.argv[1:4]
number = 0
failed = 0


def call(method, path, body=None, key=admin, raw=None, header="x-api-key"):
    data = raw if raw is not None else None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data=data, method=method)
    if key:
        request.add_header(header, key)
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.loads(answer.read()), answer.headers
    except urllib.error.HTTPError as error:
        text = error.read()
        return error.code, json.loads(text) if text else None, error.headers


def ok(what, holds, seen=None):
    global number, failed
    number += 1
    print(f"{'ok' if holds else 'not ok'} {number} - {backend}: {what}")
    if not holds:
        failed += 1
        print(f"#   seen: {seen!r}")


def same(what, got, want):
    ok(what, got == want, got)


# ---- keys and roles
same("no key", call("GET", "/api/agents", key=None)[:2], (401, {"detail": "Missing API key"}))
same("a wrong key", call("GET", "/api/agents", key="vtk_" + "A" * 43)[:2],
     (401, {"detail": "Invalid API key"}))
ok("the key's header in another case", call("GET", "/api/agents", header="X-API-KEY")[0] == 200)
keys = {}
for role in ("agent", "viewer", "approver"):
    status, row, _ = call("POST", "/api/keys", {"name": role + " key", "role": role})
    ok(f"a key of role {role} is made", status == 200 and row["key"].startswith("vtk_")
       and len(row["key"]) == 47, row)
    keys[role] = row
listed = call("GET", "/api/keys")[1]
ok("keys are listed without their text",
   len(listed) >= 4 and not any("vtk_" in json.dumps(k) for k in listed), listed)
check = {"agent_id": "role-agent", "action_type": "file_read", "resource": "/tmp/x"}
for role, method, path, body, want in (
    ("agent", "POST", "/api/check", check, 200),
    ("agent", "GET", "/api/agents", None, 403),
    ("agent", "PATCH", "/api/agents/x/profile", {}, 403),
    ("agent", "POST", "/api/policies", {"name": "x", "effect": "allow"}, 403),
    ("viewer", "GET", "/api/agents", None, 200),
    ("viewer", "POST", "/api/check", check, 403),
    ("viewer", "PATCH", "/api/alerts/1/acknowledge", {}, 403),
    ("approver", "PATCH", "/api/alerts/1/acknowledge", {}, 404),
    ("approver", "POST", "/api/keys", {"name": "x", "role": "admin"}, 403),
):
    same(f"{role}: {method} {path}", call(method, path, body, keys[role]["key"])[0], want)
call("DELETE", "/api/keys/" + keys["viewer"]["id"])
same("a revoked key", call("GET", "/api/agents", key=keys["viewer"]["key"])[0], 401)

# ---- the reference page, as it stands there
profile = {"allowed_action_types": ["file_read", "api_call"], "allowed_resources": ["/tmp/*"],
           "blocked_resources": ["prod.*", "*.env"], "max_actions_per_minute": 20,
           "max_risk_score": 0.7}
status, row, _ = call("PATCH", "/api/agents/my-agent/profile", profile)
ok("an unknown agent's profile makes the agent",
   status == 200 and row["agent_id"] == "my-agent" and all(row[k] == v for k, v in profile.items()), row)
same("the agent's row has every member of the contract", sorted(
    set("id agent_id name kill_switch_mode paused terminated baseline_actions avg_risk_score "
        "allowed_action_types allowed_resources blocked_resources max_actions_per_minute max_risk_score "
        "created_at updated_at total_actions flagged_actions rolled_back_actions last_seen".split())
    - set(row)), [])
ask = {"agent_id": "my-agent", "action_type": "file_delete", "resource": "/data/sensitive.csv"}
row = call("POST", "/api/check", ask)[1]
ok("a type that the profile leaves out is blocked", row["decision"] == "block" and
   row["reason"] == "Action type 'file_delete' is not allowed for this agent", row)
call("PATCH", "/api/agents/my-agent/profile",
     {"allowed_action_types": None, "allowed_resources": None, "blocked_resources": ["/data/*"]})
row = call("POST", "/api/check", ask)[1]
ok("the page's own example", row["decision"] == "block" and row["risk_score"] == 0.91 and
   row["reason"] == "Resource '/data/sensitive.csv' is blocked for this agent" and
   sorted(row["risk_breakdown"]) == ["action_severity", "context", "frequency", "payload_anomaly",
                                     "resource_sensitivity"], row)
row = call("PATCH", "/api/agents/my-agent/profile", {"max_risk_score": 0.9})[1]
ok("absent members keep, and the rest is set",
   row["blocked_resources"] == ["/data/*"] and row["max_risk_score"] == 0.9, row)
row = call("POST", "/api/actions",
           {"agent_id": "my-agent", "action_type": "file_write", "resource": "/tmp/output.txt"})[1]
ok("an action is logged", row["logged"] is True and isinstance(row["action_id"], int) and
   row["decision"] == "ALLOW" and row["flagged"] is False and 0 < row["risk_score"] < .4, row)
ok("agents are an array", isinstance(call("GET", "/api/agents")[1], list))
ok("alerts are an array", isinstance(call("GET", "/api/alerts")[1], list))
status, rule, _ = call("POST", "/api/policies", {
    "name": "no-prod-deletes", "action_type": "file_delete", "resource_pattern": "prod.*",
    "effect": "block", "max_risk_score": 0.5, "priority": 10})
ok("the page's policy", status == 200 and rule["enabled"] is True and rule["priority"] == 10 and
   rule["id"] and rule["created_at"].endswith("+00:00"), rule)
prod = {"agent_id": "other", "action_type": "file_delete", "resource": "/srv/prod.db"}
row = call("POST", "/api/check", prod)[1]
ok("it bites", row["decision"] == "block" and row["policy_matched"] == "no-prod-deletes", row)
call("PATCH", f"/api/policies/{rule['id']}?enabled=false", {})
row = call("POST", "/api/check", prod)[1]
ok("switched off, it does not", row["policy_matched"] is None, row)
same("a policy goes", call("DELETE", f"/api/policies/{rule['id']}")[0], 200)
same("and is gone", call("DELETE", f"/api/policies/{rule['id']}")[0], 404)

# ---- the agent's state
agents = {a["agent_id"]: a for a in call("GET", "/api/agents")[1]}
same("a check registers nobody", "other" in agents, False)
call("PATCH", "/api/agents/" + agents["my-agent"]["id"], {"paused": True}, keys["approver"]["key"])
row = call("POST", "/api/check", {"agent_id": "my-agent", "action_type": "file_read", "resource": "/tmp/a"})[1]
ok("a paused agent is blocked", row["decision"] == "block" and row["reason"] == "Agent is paused", row)
call("PATCH", "/api/agents/my-agent", {"paused": False})
row = call("POST", "/api/check", {"agent_id": "my-agent", "action_type": "file_read", "resource": "/tmp/a"})[1]
same("and not, once resumed", row["decision"], "allow")
same("a second agent of one name", call("POST", "/api/agents", {"name": "my-agent"})[0], 409)
same("one that is not there", call("PATCH", "/api/agents/nobody", {"paused": True})[0], 404)

# ---- repetitions, order, batches
once = {"agent_id": "batch", "session_id": "s1", "action_id": "a-1", "action_type": "file_read",
        "resource": "/tmp/1"}
first = call("POST", "/api/actions", once)[1]["action_id"]
again = call("POST", "/api/actions", once)[1]["action_id"]
same("one action_id twice is one action", again, first)
batch = [dict(once, action_id=f"b-{i}", resource=f"/tmp/{i}") for i in range(300)]
status, rows, _ = call("POST", "/api/actions", batch)
ok("a batch answers an array in its order", status == 200 and len(rows) == 300 and
   [r["action_id"] for r in rows] == sorted(r["action_id"] for r in rows), status)
rows = call("GET", "/api/actions?agent_id=batch&limit=1000")[1]
same("all are there, once", len(rows), 301)
ok("newest first", [r["id"] for r in rows] == sorted((r["id"] for r in rows), reverse=True))
seen, path = [], "/api/actions?agent_id=batch&limit=100"
cursor = ""
for _ in range(10):
    status, rows, headers = call("GET", path + cursor)
    seen += [r["id"] for r in rows]
    if not headers.get("X-Next-Cursor"):
        break
    cursor = "&cursor=" + headers["X-Next-Cursor"]
ok("pages show every one once", len(seen) == 301 and len(set(seen)) == 301, len(seen))
agent = [a for a in call("GET", "/api/agents")[1] if a["agent_id"] == "batch"][0]
same("counters fit", agent["total_actions"], 301)


def pages(path):
    """All rows of a list, two at a time."""
    rows, cursor = [], ""
    while True:
        status, page, headers = call("GET", f"{path}{'&' if '?' in path else '?'}limit=2{cursor}")
        rows += page
        if status != 200 or len(rows) > 1000 or not headers.get("X-Next-Cursor"):
            return rows
        cursor = "&cursor=" + headers["X-Next-Cursor"]


results = []


def post(i):
    results.append(call("POST", "/api/actions", {
        "agent_id": "crowd", "action_id": f"c-{i % 50}", "action_type": "file_read",
        "resource": f"/tmp/{i}"})[0])


threads = [threading.Thread(target=post, args=(i,)) for i in range(100)]
for t in threads:
    t.start()
for t in threads:
    t.join()
same("a hundred at once, each of fifty twice", (set(results), len(
    call("GET", "/api/actions?agent_id=crowd&limit=1000")[1])), ({200}, 50))
for i in (2, 0, 3, 1, 3):  # as they come in from connections of their own
    call("POST", "/api/actions", {"agent_id": "mixed", "session_id": "mixed", "action_id": str(i), "action_type": "file_read",
                                  "resource": f"/{i}", "timestamp": f"2026-03-03T03:03:0{min(i, 2)}Z"})
same("a session's actions are in its client's order, and a repetition is one", sorted(
    r["resource"] for r in call("GET", "/api/actions?session_id=mixed")[1][:2]) + [
        r["resource"] for r in call("GET", "/api/actions?session_id=mixed")[1][2:]], ["/2", "/3", "/1", "/0"])
same("page by page, too", pages("/api/actions?session_id=mixed"), call("GET", "/api/actions?session_id=mixed")[1])
call("POST", "/api/actions", {"agent_id": "old", "action_type": "file_read", "resource": "/tmp/x",
                              "timestamp": "2026-01-02T03:04:05Z"})
same("the client's clock is kept",
     call("GET", "/api/actions?agent_id=old")[1][0]["timestamp"], "2026-01-02T03:04:05.000000+00:00")

# ---- words of clients in the field
for word in ("delete execute database_read permission_change process_spawn env_access session_start "
             "session_end resource_spike cpu_spike memory_spike alert rollback custom").split():
    status = call("POST", "/api/actions", {"agent_id": "field", "action_type": word, "resource": "x",
                                           "source": "sentry", "unknown_member": 1})[0]
    same(f"the word {word}", status, 200)

for word in "sentry node-sdk go-sdk ruby-sdk".split():
    status = call("POST", "/api/actions", {"agent_id": "field", "action_type": "api_call", "resource": "x", "source": word})[0]
    same(f"the source {word}", (status, call("GET", "/api/actions?agent_id=field&limit=1")[1][0]["source"]), (200, word))

# ---- those clients' requests, as they make them: a connection each, headers in their own case
for who, method, path, body, member in (
    ("Python SDK 0.7", "POST", "/api/actions", {
        "agent_id": "py", "agent_name": "py", "session_id": "p1", "action_id": "7f0c", "action_type": "file_write",
        "resource": "/w/a", "payload": {"size": 3}, "risk_score": 0.2, "flagged": False, "decision": "ALLOW",
        "timestamp": "2026-03-03T03:03:03.123456+00:00", "source": "sdk"}, ("decision", "ALLOW")),
    ("Python SDK 0.7", "POST", "/api/check", {"agent_id": "py", "action_type": "file_read", "resource": "/w/a"},
     ("decision", "allow")),
    ("SDK 0.5.1", "POST", "/api/actions", {"agent_id": "py5", "action_type": "execute", "resource": "ls", "payload": None,
                                           "decision": "pause", "flagged": True, "flag_reason": "asked"}, ("decision", "PAUSE")),
    ("Sentry", "POST", "/api/actions", {"agent_id": "watched", "action_type": "process_spawn", "resource": "/bin/ls",
                                        "source": "sentry", "timestamp": 1772507000.5, "metadata": {"pid": 7}}, ("logged", True)),
    ("Sentry", "POST", "/api/alerts", {"agent_id": "watched", "message": "cpu", "severity": "high", "source": "sentry",
                                       "timestamp": "2026-03-03T03:03:03Z"}, ("level", "high")),
    ("MCP bridge", "GET", "/api/agents", None, (0, None)),
    ("MCP bridge", "GET", "/api/alerts", None, (0, None)),
    ("MCP bridge", "GET", "/api/stats", None, ("total_agents", None)),
    ("MCP bridge", "PATCH", "/api/alerts/NEWEST/acknowledge", None, ("acknowledged", True)),
    ("MCP bridge", "PATCH", "/api/agents/watched", {"paused": True}, ("paused", True)),
    ("MCP bridge", "PATCH", "/api/agents/watched", {"paused": False}, ("paused", False)),
):
    if "NEWEST" in path:
        path = path.replace("NEWEST", str(call("GET", "/api/alerts?limit=1")[1][0]["id"]))
    line = http.client.HTTPConnection(url.split("//")[1], timeout=120)
    line.request(method, path, None if body is None else json.dumps(body),
                 {"X-Api-Key": admin, "Connection": "close", "Content-Type": "application/json"})
    answer = line.getresponse()
    row = json.loads(answer.read())
    found = row[member[0]] if answer.status == 200 else None
    ok(f"{who}: {method} {path.rstrip('0123456789')}", answer.status == 200 and
       (member[1] is None or found == member[1]) and answer.headers["Connection"].lower() == "close", (answer.status, row))
for what, *args in (
    ("check", "-X", "POST", "/api/check", '{"agent_id": "curl", "action_type": "file_delete", "resource": "/data/sensitive.csv"}'),
    ("profile", "-X", "PATCH", "/api/agents/curl/profile", '''{
    "allowed_action_types": ["file_read", "api_call"],
    "allowed_resources": ["/tmp/*"],
    "blocked_resources": ["prod.*", "*.env"],
    "max_actions_per_minute": 20,
    "max_risk_score": 0.7
  }'''),
    ("actions", "-X", "POST", "/api/actions", '{"agent_id": "curl", "action_type": "file_write", "resource": "/tmp/output.txt"}'),
    ("agents", "/api/agents"), ("alerts", "/api/alerts"),
):
    at = 2 if args[0] == "-X" else 0
    command = ["curl", "-s", "-m", "120", "-w", " %{http_code}", *args[:at], url + args[at], "-H", "x-api-key: " + admin]
    command += ["-H", "Content-Type: application/json", "-d", args[at + 1]] if at else []
    said = subprocess.run(command, capture_output=True, text=True, timeout=150).stdout
    ok(f"the page's curl command for {what}", said.endswith(" 200") and said[0] in "[{", said)

# ---- rate, risk, alerts
call("PATCH", "/api/agents/fast/profile", {"max_actions_per_minute": 5, "allowed_resources": ["/tmp/*"]})
words = [call("POST", "/api/actions", {"agent_id": "fast", "action_type": "file_read",
                                       "resource": "/tmp/a"})[1]["decision"] for _ in range(7)]
same("the sixth in a minute is an alert", words, ["ALLOW"] * 5 + ["ALERT"] * 2)
alerts = [a for a in call("GET", "/api/alerts")[1] if a["agent_id"] == "fast"]
same("and counts both under it", [a["count"] for a in alerts], [2])
row = call("PATCH", f"/api/alerts/{alerts[0]['id']}/acknowledge", {}, keys["approver"]["key"])[1]
same("acknowledged", row["acknowledged"], True)
same("is no active one", [a for a in call("GET", "/api/alerts")[1] if a["agent_id"] == "fast"], [])
status, row, _ = call("POST", "/api/alerts", {"agent_id": "fast", "message": "look", "severity": "high"})
ok("a client's own alert", status == 200 and row["level"] == "high" and row["message"] == "look", row)
row = call("GET", "/api/risk/score?action_type=file_delete&resource=/data/sensitive.csv")[1]
ok("a score alone", row["risk_score"] == 0.91 and row["would_flag"] is True, row)

# ---- sandboxes: a gateway of the test's own, which does what it is told
gate = keys["agent"]["key"]
report = {"id": "20260101-abcd", "agent_id": "boxed", "host": "h1", "state": "running", "policy": "dev",
          "command": ["sh", "-c", "true"], "started_at": "2026-01-01T00:00:00+00:00"}
status, row, _ = call("POST", "/api/sessions", report, gate)
ok("a sandbox reports itself and gets its profile", status == 200 and row["agent_id"] == "boxed", row)
row = call("GET", "/api/sessions/20260101-abcd")[1]
ok("and is shown", row["state"] == "running" and row["command"] == ["sh", "-c", "true"] and
   row["pending_approvals"] == 0, row)
same("another key may not speak for it",
     call("POST", "/api/sessions", report)[0], 409)
same("nor take its commands",
     call("GET", "/api/sessions/20260101-abcd/commands")[0], 404)
same("an empty poll returns at once", call("GET", "/api/sessions/20260101-abcd/commands", key=gate)[1], [])
orders = call("GET", "/api/sessions/20260101-abcd/commands?wait=20&orders=", key=gate)[1]
ok("who names no version is told profile and rules at once",
   [o["kind"] for o in orders] == ["orders"] and orders[0]["body"]["paused"] is False and
   orders[0]["body"]["policy"]["mode"] == "alert", orders)
known = orders[0]["body"]["version"]
poll = "/api/sessions/20260101-abcd/commands?wait=20&orders="
same("whoever has them is told nothing",
     call("GET", poll.replace("20&", "0&") + known, key=gate)[1], [])
told = []
waiter = threading.Thread(target=lambda: told.extend(call("GET", poll + known, key=gate)[1]), daemon=True)
waiter.start()
call("PATCH", "/api/agents/boxed/profile", {"blocked_resources": ["*.env"]})
waiter.join(60)
ok("an edit of the profile ends the wait", len(told) == 1 and
   told[0]["body"]["policy"]["blocked_resources"] == ["*.env"] and told[0]["body"]["version"] != known, told)
known = told[0]["body"]["version"] if told else ""
call("PATCH", "/api/agents/boxed", {"paused": True})
ok("so does a pause of the agent", call("GET", poll + known, key=gate)[1][0]["body"]["paused"] is True)
call("PATCH", "/api/agents/boxed", {"paused": False})
call("PATCH", "/api/agents/boxed/profile", {"blocked_resources": None})

# ---- names with slashes
status, row, _ = call("PATCH", "/api/agents/team%2Fbot%20%C3%A9/profile", {"max_risk_score": 0.5})
ok("an agent id may hold a slash", (status, row["agent_id"]) == (200, "team/bot \u00e9"), row)
same("and is found by it", call("PATCH", "/api/agents/team%2fbot%20%c3%a9", {"paused": True})[0], 200)
same("a slash that is none of the name's separates", call("PATCH", "/api/agents/team/bot", {"paused": True})[0], 404)
for bad in ("a%", "a%2", "a%zz", "a%00b", "%"):
    same(f"a broken escape {bad} is no path", call("PATCH", "/api/agents/" + bad, {"paused": True})[0], 404)
done = []


def gateway(answers):
    """Long polls and answers so many commands."""
    while answers:
        for command in call("GET", "/api/sessions/20260101-abcd/commands?wait=20", key=gate)[1]:
            done.append(command)
            good, result = answers.pop(0)
            call("POST", f"/api/sessions/20260101-abcd/commands/{command['id']}",
                 {"ok": good, "result": result}, gate)


def with_gateway(answers, *request):
    thread = threading.Thread(target=gateway, args=(answers,), daemon=True)
    thread.start()
    answer = call(*request)
    thread.join(60)
    return answer


status, row, _ = with_gateway([(True, {"paused": True})], "POST", "/api/sessions/20260101-abcd/control",
                              {"command": "pause"}, keys["approver"]["key"])
ok("pause waits for the sandbox's own word", (status, row) == (200, {"paused": True}) and
   done[-1]["kind"] == "pause", (status, row, done))
status, row, _ = with_gateway([(False, "there is nothing to undo")], "POST", "/api/rollback",
                              {"agent_id": "boxed", "n_actions": 3})
ok("a sandbox that cannot says so", status == 409 and row["detail"] == "there is nothing to undo" and
   done[-1]["body"]["last"] == 3, (status, row))
status, row, _ = with_gateway([(True, {"rolled_back": 2, "action_ids": [1, 2], "message": "2 actions undone"})],
                              "POST", "/api/rollback", {"agent_id": "boxed", "n_actions": 2, "reason": "test"})
ok("a rollback answers what was reversed", status == 200 and row["rolled_back"] == 2 and
   row["action_ids"] == [1, 2] and isinstance(row["rollback_id"], int) and row["message"], row)
row = call("GET", "/api/rollback/history")[1][0]
ok("and stands in the history", row["rolled_back"] == 2 and row["reason"] == "test", row)
call("POST", "/api/sessions", dict(report, id="sdk-0123", started_at="2030-01-01T00:00:00+00:00"), gate)
status, row, _ = with_gateway([(True, {"rolled_back": 1, "action_ids": [3], "message": "1 undone"})],
                              "POST", "/api/rollback", {"agent_id": "boxed"})
ok("a session of an SDK, though newer, is not asked to reverse anything", status == 200 and
   row["rolled_back"] == 1, (status, row))
call("POST", "/api/sessions", dict(report, id="sdk-0123", state="ended", ended_at="2030-01-01T00:01:00+00:00"), gate)
same("without a running sandbox nothing is rolled back",
     call("POST", "/api/rollback", {"agent_id": "my-agent"})[0], 409)
question = {"request_id": "7", "state": "pending", "request": {"action": "file_delete", "resource": "/w/x"}}
call("POST", "/api/sessions/20260101-abcd/approvals", question, gate)
waiting = [a for a in call("GET", "/api/approvals")[1] if a["session_id"] == "20260101-abcd"]
ok("a question is shown to people", len(waiting) == 1 and waiting[0]["request"]["resource"] == "/w/x", waiting)
same("an agent's key may not answer", call("POST", f"/api/approvals/{waiting[0]['id']}",
                                           {"decision": "allow"}, gate)[0], 403)
status, row, _ = with_gateway([(True, {"answered": "allow"})], "POST", f"/api/approvals/{waiting[0]['id']}",
                              {"decision": "allow", "scope": "session"}, keys["approver"]["key"])
ok("an answer reaches the sandbox", status == 200 and done[-1]["kind"] == "answer" and
   done[-1]["body"]["request_id"] == "7" and done[-1]["body"]["scope"] == "session", (status, row, done[-1]))
same("a question is answered once", call("POST", f"/api/approvals/{waiting[0]['id']}",
                                         {"decision": "deny"})[0], 409)
call("POST", "/api/sessions", dict(report, state="ended", ended_at="2026-01-01T00:01:00+00:00", exit_code=0), gate)
row = call("GET", "/api/sessions/20260101-abcd")[1]
ok("its end", row["state"] == "ended" and row["exit_code"] == 0 and row["policy"] == "dev", row)
stats = call("GET", "/api/stats")[1]
ok("totals", stats["total_actions"] >= 370 and stats["total_agents"] >= 5 and
   sorted(stats["risk_distribution"]) == ["critical", "high", "low", "medium"] and stats["daily_breakdown"]
   and stats["top_agents"], stats)
for i in range(5):  # all of one second, as clients tell it
    call("POST", "/api/sessions", dict(report, id=f"same-{i}", state="ended", started_at="2026-02-02T02:02:02Z"), gate)
    call("POST", f"/api/sessions/same-{i}/approvals", question, gate)
for path in ("/api/agents", "/api/sessions", "/api/approvals?state=all", "/api/alerts?acknowledged=all",
             "/api/rollback/history", "/api/audit"):
    whole = [r["id"] for r in call("GET", path + ("&" if "?" in path else "?") + "limit=1000")[1]]
    paged = [r["id"] for r in pages(path)]
    ok(f"the pages of {path} are the whole list, in its order", len(whole) > 1 and paged == whole, (paged, whole))
for cursor in ("x", "-1", "1x", "1.x'--", "9" * 30, "1." + "x" * 100):
    status = call("GET", "/api/agents?cursor=" + cursor)[0]
    ok(f"a cursor {cursor[:10]} is a place or none", status == (200 if cursor == "1.x'--" else 422), status)
usage = call("GET", "/api/usage")[1]
ok("usage by type", usage["by_type"]["file_read"] >= 350, usage)

# ---- bad input: never 500, never 200
deep = b'{"agent_id":' + b"[" * 100000
for what, raw, want in (
    ("no JSON", b"nonsense", 422), ("half a JSON", b'{"agent_id": "x"', 422), ("an array", b"[1]", 422),
    ("a number", b"7", 422), ("nothing", b"", 422), ("deep nesting", deep, 422),
    ("wrong types", b'{"agent_id": 1, "action_type": []}', 422),
    ("an unknown word", b'{"agent_id": "x", "action_type": "fly"}', 422),
    ("a NUL", b'{"agent_id": "a\\u0000b", "action_type": "file_read"}', 422),
    ("invalid UTF-8", b'{"agent_id": "\xff\xfe", "action_type": "file_read"}', 422),
    ("a null that is required", b'{"agent_id": null, "action_type": "file_read"}', 422),
    ("two megabytes", b'{"agent_id":"' + b"x" * 2000000 + b'"}', 413),
    ("more values than their text says", b'{"agent_id":"x","payload":[' + b"[]," * 200000 + b"0]}", 413),
    ("a text with as many commas", b'{"agent_id":"x","action_type":"file_read","payload":"\\"[' + b"," * 500000 + b'"}', 200),
):
    status, row, _ = call("POST", "/api/check", raw=raw)
    ok(f"{what}: {want}", status == want and ("detail" in row) == (want != 200), (status, row))
for what, given, want in (("a long id", "x" * 256, 422), ("an id that is none", {"a": 1}, 422), ("an id with a NUL", "a\0b", 422),
                          ("an id of 255 bytes", "".join(chr(33 + i * 7 % 90) for i in range(255)), 200), ("a number", 7, 200)):
    same(f"{what} of an action", call("POST", "/api/actions", {
        "agent_id": "ids", "action_type": "file_read", "resource": "/x", "action_id": given})[0], want)
same("an alert has the time that its client gives", call("POST", "/api/alerts", {
    "agent_id": "timed", "message": "m", "severity": "low", "timestamp": "2026-01-02T03:04:05Z"})[1]["created_at"],
     "2026-01-02T03:04:05.000000+00:00")
same("a query that makes no sense is said to be one",
     [(s, a["detail"][0]["loc"]) for s, a, _ in (call("GET", "/api/alerts?acknowledged=perhaps"), call("GET", "/api/actions?limit=0"))],
     [(422, ["query"])] * 2)
same("usage has what stats has", sorted(set(call("GET", "/api/stats")[1]) - set(call("GET", "/api/usage")[1])), [])
same("422 says where", call("POST", "/api/check", {"action_type": "file_read"})[1]["detail"][0]["loc"],
     ["body", "agent_id"])
call("POST", "/api/actions", {"agent_id": "tried", "action_type": "file_delete", "resource": "/w/tried.db"})
rules = call("GET", "/api/policies")[1]
status, row, _ = call("POST", "/api/policies/test", {"name": "x", "effect": "block", "resource_pattern": "*tried.db"})
ok("a rule is tried on recorded actions", status == 200 and (row["matched"], row["changed"]) == (1, 1) and
   row["actions"][0]["agent_id"] == "tried" and row["tried"] > 100, row)
same("above a risk that none had", call("POST", "/api/policies/test", {
    "name": "x", "effect": "block", "resource_pattern": "*tried.db", "max_risk_score": 1})[1]["matched"], 0)
same("and is not made", call("GET", "/api/policies")[1], rules)
same("an effect that is none", call("POST", "/api/policies", {"name": "x", "effect": "explode"})[0], 422)
same("a pattern that is none", call("POST", "/api/policies", {
    "name": "x", "effect": "block", "resource_pattern": "[a-"})[0], 422)
same("another method", call("PUT", "/api/check", {})[0], 405)
same("another path", call("GET", "/api/nothing")[:2], (404, {"detail": "Not Found"}))
same("a limit that is none", call("GET", "/api/actions?limit=-1")[0], 422)
same("hostile names come back as they were", (
    call("POST", "/api/actions", {"agent_id": "'; DROP TABLE actions; --", "action_type": "file_read",
                                  "resource": "<script>alert(1)</script>\u202e\n"})[0],
    call("GET", "/api/actions?limit=1")[1][0]["resource"]), (200, "<script>alert(1)</script>\u202e\n"))
# ---- as many rules as are enforced, and no more
made, threads = [], []


def make_rules(n):
    for i in range(n):
        made.append(call("POST", "/api/policies", {"name": "many", "effect": "allow", "resource_pattern": "/none"}))


threads = [threading.Thread(target=make_rules, args=(70,)) for _ in range(16)]
for t in threads:
    t.start()
for t in threads:
    t.join()
same("rules are refused beyond what is enforced", (sorted({m[0] for m in made}), len(call("GET", "/api/policies")[1])),
     ([200, 409], 1000))
for status, rule, _ in made:
    if status == 200:
        call("DELETE", "/api/policies/" + rule["id"])
same("and go again", call("GET", "/api/policies")[1], rules)
spec = call("GET", "/openapi.json", key=None)[1]
ok("openapi lists the table", spec["openapi"].startswith("3.1") and "/api/check" in spec["paths"] and
   spec["paths"]["/api/check"]["post"]["requestBody"]["content"]["application/json"]["schema"]["required"]
   == ["agent_id", "action_type"])
same("health", call("GET", "/health", key=None)[1]["status"], "ok")
print(f"1..{number}")
sys.exit(1 if failed else 0)
