#!/usr/bin/env python3
"""What a browser uses, against a running server: logins and the stream of events. TAP on stdout.

    browser.py BACKEND URL ADMIN_KEY
"""
import http.client
import json
import sys
import threading
import time
import urllib.parse

backend, url, admin = sys.argv[1:4]
host = urllib.parse.urlparse(url).netloc
number = failed = 0


def ok(what, holds, seen=None):
    global number, failed
    number += 1
    print(f"{'ok' if holds else 'not ok'} {number} - {backend}: {what}")
    if not holds:
        failed += 1
        print(f"#   seen: {seen!a}")


def same(what, got, want):
    ok(what, got == want, got)


def call(method, path, body=None, **headers):
    connection = http.client.HTTPConnection(host, timeout=120)
    connection.request(method, path, None if body is None else json.dumps(body),
                       {k.replace("_", "-"): v for k, v in headers.items()})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    try:
        return answer.status, json.loads(text), answer.headers
    except ValueError:
        return answer.status, text.decode(), answer.headers


def by_key(method, path, body=None, key=admin):
    return call(method, path, body, x_api_key=key)


# ---- logins
same("a wrong key is no login", call("POST", "/api/login", {"key": "vtk_" + "A" * 43})[:2], (401, {"detail": "Invalid API key"}))
same("nor is none", call("POST", "/api/login", {})[0], 422)
same("another site's page cannot log in", call("POST", "/api/login", {"key": admin}, Sec_Fetch_Site="cross-site")[0], 403)
viewer = by_key("POST", "/api/keys", {"name": "eyes", "role": "viewer"})[1]
agent = by_key("POST", "/api/keys", {"name": "gate", "role": "agent"})[1]
status, me, headers = call("POST", "/api/login", {"key": admin})
set_cookie = headers["Set-Cookie"]
cookie, token = set_cookie.split(";")[0], me["csrf_token"]
ok("a login says who and how to write", status == 200 and me["role"] == "admin" and len(token) == 64, me)
ok("its cookie is kept from scripts and other sites", all(w in set_cookie for w in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"))
   and cookie.split("=")[1] not in json.dumps(me), set_cookie)
same("the cookie reads", call("GET", "/api/agents", Cookie=cookie)[0], 200)
same("it does not write", call("POST", "/api/policies", {"name": "x", "effect": "allow"}, Cookie=cookie)[0], 403)
same("nor with a wrong token", call("POST", "/api/policies", {"name": "x", "effect": "allow"}, Cookie=cookie, x_csrf_token="0" * 64)[0], 403)
same("nor with an empty one", call("POST", "/api/policies", {"name": "x", "effect": "allow"}, Cookie=cookie, x_csrf_token="")[0], 403)
second = call("POST", "/api/login", {"key": viewer["key"]})
other, other_token = second[2]["Set-Cookie"].split(";")[0], second[1]["csrf_token"]
same("nor with another login's", call("POST", "/api/policies", {"name": "x", "effect": "allow"}, Cookie=cookie, x_csrf_token=other_token)[0], 403)
same("nothing of that was written", by_key("GET", "/api/policies")[1], [])
status, rule, _ = call("POST", "/api/policies", {"name": "x", "effect": "allow"}, Cookie=cookie, x_csrf_token=token)
same("with both it does", status, 200)
same("and deletes", call("DELETE", "/api/policies/" + rule["id"], Cookie=cookie, x_csrf_token=token)[0], 200)
same("a login has its key's role", call("POST", "/api/policies", {"name": "x", "effect": "allow"}, Cookie=other, x_csrf_token=other_token)[0], 403)
same("a key in the header needs no token", by_key("GET", "/api/me")[1], {"name": "first admin", "role": "admin"})
same("a made-up cookie", call("GET", "/api/agents", Cookie="vsandbox_login=vtl_" + "A" * 43)[0], 401)
same("a key is no cookie", call("GET", "/api/agents", Cookie="vsandbox_login=" + admin)[0], 401)
same("a cookie is no key", by_key("GET", "/api/agents", key=cookie.split("=")[1])[0], 401)
by_key("DELETE", "/api/keys/" + viewer["id"])
same("a revoked key ends its logins", call("GET", "/api/agents", Cookie=other)[0], 401)
same("logging out needs the token too", call("POST", "/api/logout", {}, Cookie=cookie)[0], 403)
status, _, headers = call("POST", "/api/logout", {}, Cookie=cookie, x_csrf_token=token)
ok("a logout takes the cookie back", status == 200 and "Max-Age=0" in headers["Set-Cookie"], headers)
same("and ends the login for whoever kept it", call("GET", "/api/agents", Cookie=cookie)[0], 401)

# ---- the page
status, page, headers = call("GET", "/")
ok("the dashboard is there, without inline script", status == 200 and "<!doctype html>" in page and "onclick" not in page
   and "<script>" not in page and headers["Content-Type"].startswith("text/html"))
ok("and may load from here only", "default-src 'none'" in headers["Content-Security-Policy"]
   and "unsafe" not in headers["Content-Security-Policy"] and "frame-ancestors 'none'" in headers["Content-Security-Policy"])
same("no other file", [call("GET", "/dashboard/" + name)[0] for name in ("nothing.js", "..%2findex.html", "%2e%2e")], [404] * 3)


# ---- events
class Stream:
    """Reads server-sent events in a thread of its own."""

    def __init__(self, last=None):
        self.connection = http.client.HTTPConnection(host, timeout=120)
        headers = {"x-api-key": admin}
        if last is not None:
            headers["Last-Event-ID"] = str(last)
        self.connection.request("GET", "/api/events", headers=headers)
        self.answer = self.connection.getresponse()
        self.events, self.beats, self.raw = [], 0, ""
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        event = {}
        try:
            for line in self.answer:
                line = line.decode().rstrip("\n")
                if line == ":":
                    self.beats += 1
                elif line:
                    name, _, value = line.partition(": ")
                    event[name] = value
                elif event:
                    if "event" in event:
                        self.events.append((event.get("id"), event["event"], json.loads(event["data"])))
                    event = {}
        except (OSError, ValueError, AttributeError):
            pass

    def wait(self, holds, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end and not holds(self):
            time.sleep(0.02)
        return holds(self)

    def resources(self):
        return [e[2].get("resource") for e in self.events if e[1] == "action"]


def post(name, **more):
    return by_key("POST", "/api/actions", dict({"agent_id": "events", "action_type": "file_read", "resource": name}, **more))[1]


same("events need a key", call("GET", "/api/events")[0], 401)
same("and one that may read", by_key("GET", "/api/events", key=agent["key"])[0], 403)
many = [Stream() for _ in range(40)]
ok("it is an event stream", many[0].answer.getheader("Content-Type") == "text/event-stream")
begin = time.monotonic()
post("/tmp/e-1")
ok("forty listeners see an action", all(s.wait(lambda s: "/tmp/e-1" in s.resources()) for s in many))
print(f"#   after {(time.monotonic() - begin) * 1000:.0f} ms")
by_key("POST", "/api/alerts", {"agent_id": "events", "message": "two\nlines", "severity": "high"})
report = {"id": "20260101-even", "agent_id": "events", "host": "h", "state": "running", "started_at": "2026-01-01T00:00:00+00:00"}
by_key("POST", "/api/sessions", report, agent["key"])
by_key("POST", "/api/sessions/20260101-even/approvals", {"request_id": "1", "state": "pending", "request": {"action": "x"}}, agent["key"])
first = many[0]
ok("and alerts, sessions and approvals", first.wait(lambda s: {"action", "session", "approval"} <= {e[1] for e in s.events} and
               any(e[1] == "alert" and "two" in e[2]["message"] for e in s.events)), first.events)
same("a line feed does not end an event", [e[2]["message"] for e in first.events if e[1] == "alert" and "two" in e[2]["message"]],
     ["two\nlines"])
ids = [int(e[0]) for e in first.events]
same("numbers are those of the rows, in order", ids, sorted(ids))
ok("the action's is its own", by_key("GET", "/api/actions?agent_id=events&limit=1")[1][0]["id"] in ids, ids)
for n in range(2, 30):
    post(f"/tmp/e-{n}")
same("what came meanwhile is resumed, once and in order", (lambda s: (s.wait(lambda s: "/tmp/e-29" in s.resources()), s.resources()))(
    Stream(next(e[0] for e in first.events if e[2].get("resource") == "/tmp/e-1"))), (True, [f"/tmp/e-{n}" for n in range(2, 30)]))
ok("whoever was away too long is told", Stream(4096).wait(lambda s: s.events and s.events[0][1] == "gap"))
same("a number that is none begins now", (lambda s: (time.sleep(0.5), s.events))(Stream("nonsense"))[1], [])
fresh = Stream()  # a stream lives for a minute, and a slow machine has used up the first one's
by_key("POST", "/api/actions", [{"agent_id": "flood", "action_type": "file_read", "resource": f"/tmp/f-{n}"} for n in range(1000)])
ok("a burst of a thousand arrives whole", fresh.wait(lambda s: sum(r.startswith("/tmp/f-") for r in s.resources()) == 1000),
   len(fresh.resources()))
same("and once", len(set(e[0] for e in fresh.events)), len(fresh.events))
ok("silence has a heartbeat", fresh.wait(lambda s: s.beats > 0))
print(f"1..{number}")
sys.stdout.flush()
sys.exit(1 if failed else 0)
