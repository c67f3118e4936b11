#!/usr/bin/env python3
"""The package against a real server. TAP on stdout through tests/sdk/run.sh, or plain unittest.

    URL=http://127.0.0.1:PORT KEY=admin-key python3 -m unittest -v test_sdk
"""
import json
import logging
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.request
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from vaultak import (ActionBlocked, ActionDenied, ActionPaused, ActionRolledBack, ActionType,  # noqa: E402
                     KillSwitchMode, ServerError, Vaultak)

URL, KEY = os.environ["URL"], os.environ["KEY"]
logging.getLogger("vsandbox").setLevel(logging.CRITICAL)


def call(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data, {"x-api-key": KEY}, method=method)
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.loads(answer.read())


AGENT_KEY = call("POST", "/api/keys", {"name": "sdk", "role": "agent"})["key"]


def agent():
    return "sdk-" + uuid.uuid4().hex[:12]


def client(**more):
    return Vaultak(api_key=more.pop("api_key", KEY), api_endpoint=more.pop("api_endpoint", URL), **more)


def rows(who):
    return call("GET", f"/api/actions?agent_id={who}&limit=1000")


def answer_when_asked(who, decision):
    """A person: waits for the agent's question and answers it. Returns the thread; its .question is what was asked."""
    def run():
        for _ in range(1200):
            for row in call("GET", "/api/approvals"):
                if row["agent_id"] == who:
                    thread.question = row
                    call("POST", f"/api/approvals/{row['id']}", {"decision": decision, "reason": "looked"})
                    return
            time.sleep(0.05)
    thread = threading.Thread(target=run)
    thread.question = None
    thread.start()
    return thread


class Parameters(unittest.TestCase):
    def test_page_example_becomes_the_profile(self):
        vt = client(allowed_action_types=[ActionType.FILE_READ, ActionType.API_CALL],
                    allowed_resources=["/tmp/*", "/data/readonly/*"], blocked_resources=["prod.*", "*.env"],
                    max_actions_per_minute=20, max_risk_score=0.7, mode=KillSwitchMode.PAUSE)
        who = agent()
        with vt.monitor(who):
            pass
        row = next(a for a in call("GET", "/api/agents?limit=1000") if a["agent_id"] == who)
        self.assertEqual(row["allowed_action_types"], ["file_read", "api_call"])
        self.assertEqual(row["allowed_resources"], ["/tmp/*", "/data/readonly/*"])
        self.assertEqual(row["blocked_resources"], ["prod.*", "*.env"])
        self.assertEqual((row["max_actions_per_minute"], row["max_risk_score"], row["kill_switch_mode"]),
                         (20, 0.7, "pause"))

    def test_what_is_not_given_stays_at_the_server(self):
        who = agent()
        call("PATCH", f"/api/agents/{who}/profile", {"blocked_resources": ["*.pem"]})
        vt = client(max_risk_score=0.9)
        with vt.monitor(who):
            self.assertEqual(vt.check("file_read", "/x/key.pem").decision, "block")

    def test_agent_key_cannot_set_a_profile(self):
        with self.assertRaises(ServerError) as seen:
            with client(api_key=AGENT_KEY, max_risk_score=0.5).monitor(agent()):
                self.fail("the block ran")
        self.assertEqual(seen.exception.status, 403)
        with client(api_key=AGENT_KEY).monitor(agent()):
            pass

    def test_lists(self):
        vt = client(allowed_action_types=["file_read"], allowed_resources=["/tmp/*"],
                    blocked_resources=["*.env"], agent_id=agent())
        for kind, resource, want in (("file_read", "/tmp/a", "allow"), ("file_write", "/tmp/a", "block"),
                                     ("file_read", "/etc/a", "block"), ("file_read", "/tmp/.env", "block"),
                                     ("file_read", "/tmp/../etc/shadow", "block"),
                                     ("file_read", "//etc/shadow", "block")):
            self.assertEqual(vt.check(kind, resource).decision, want, (kind, resource))

    def test_a_block_is_found_behind_dots(self):
        vt = client(blocked_resources=["/etc/*"], agent_id=agent())
        self.assertEqual(vt.check("file_read", "/tmp/../etc/shadow").decision, "block")

    def test_rate(self):
        vt = client(max_actions_per_minute=2, mode="pause", agent_id=agent(), approval_timeout=0)
        vt.log_action("file_read", "/tmp/1")
        vt.log_action("file_read", "/tmp/2")
        with self.assertRaisesRegex(ActionPaused, "More than 2 actions"):
            vt.log_action("file_read", "/tmp/3")

    def test_max_risk_in_this_process(self):
        vt = client(max_risk_score=0.01, agent_id=agent())  # no monitor(): the server knows nothing of it
        decision = vt.check("file_delete", "/data/sensitive.csv")
        self.assertEqual(decision.decision, "block")
        self.assertIn("maximum of 0.01", decision.reason)

    def test_risk_threshold(self):
        who = agent()
        vt = client(risk_threshold=0.01, mode="pause", agent_id=who, approval_timeout=0)
        self.assertEqual(vt.check("file_delete", "/data/x").decision, "pause")
        self.assertEqual(client(agent_id=who).check("file_read", "/tmp/x").decision, "allow")

    def test_nonsense_is_refused(self):
        for bad in ({"max_risk_score": 2}, {"risk_threshold": "x"}, {"max_actions_per_minute": 0},
                    {"allowed_resources": "/tmp/*"}, {"allowed_action_types": ["file_raed"]},
                    {"mode": "panic"}, {"rollback_limit": -1}, {"api_key": "vtk_\r\nx: y"},
                    {"api_endpoint": "http://example.org"}, {"api_endpoint": "file:///etc/passwd"}):
            with self.assertRaises(ValueError, msg=bad):
                client(**bad)


class Modes(unittest.TestCase):
    def test_alert_notifies_and_goes_on(self):
        seen, who = [], agent()
        vt = client(blocked_resources=["*.env"], agent_id=who,
                    on_violation=lambda action, decision: seen.append(decision.reason))
        vt.log_action("file_read", "/srv/.env")
        vt.log_action("file_read", "/tmp/plain")
        self.assertTrue(vt.flush())
        self.assertEqual(seen, ["Resource '/srv/.env' is blocked for this agent"])
        self.assertEqual({r["resource"]: (r["decision"], r["flagged"]) for r in rows(who)},
                         {"/srv/.env": ("ALERT", True), "/tmp/plain": ("ALLOW", False)})

    def test_alert_on_the_score_opens_an_alert(self):
        who = agent()
        seen = threading.Event()
        vt = client(risk_threshold=0.01, agent_id=who, on_violation=lambda a, d: seen.set())
        vt.log_action("file_delete", "/data/a")
        self.assertTrue(vt.flush())
        self.assertTrue(seen.wait(5))
        self.assertTrue(any(who == a["agent_id"] or "/data/a" in a["message"] for a in call("GET", "/api/alerts")))

    def test_pause_goes_on_when_a_person_allows(self):
        who = agent()
        vt = client(api_key=AGENT_KEY, blocked_resources=["*.env"], mode="pause")
        vt._given, vt._mode_given = {}, False  # an agent's key sets no profile
        with vt.monitor(who):
            person = answer_when_asked(who, "allow")
            vt.log_action("file_read", "/srv/.env")
            person.join()
            vt.log_action("file_read", "/tmp/after")
        self.assertEqual(person.question["request"]["resource"], "/srv/.env")
        self.assertEqual([r["decision"] for r in rows(who) if r["resource"] == "/srv/.env"], ["PAUSE"])
        mine = [s for s in call("GET", f"/api/sessions?agent_id={who}")]
        self.assertEqual([s["state"] for s in mine], ["ended"])

    def test_pause_raises_when_a_person_denies(self):
        who = agent()
        vt = client(blocked_resources=["*.env"], mode="pause", agent_id=who)
        person = answer_when_asked(who, "deny")
        with self.assertRaises(ActionDenied):
            vt.log_action("file_read", "/srv/.env")
        person.join()
        self.assertEqual(vt.check("file_read", "/tmp/x").decision, "block")
        vt.resume()
        self.assertEqual(vt.check("file_read", "/tmp/x").decision, "allow")

    def test_pause_expires(self):
        who = agent()
        vt = client(blocked_resources=["*.env"], mode="pause", agent_id=who, approval_timeout=0.5)
        with self.assertRaises(ActionPaused) as seen:
            vt.log_action("file_read", "/srv/.env")
        self.assertNotIsInstance(seen.exception, ActionDenied)
        self.assertEqual([a["state"] for a in call("GET", "/api/approvals?state=all&limit=1000")
                          if a["agent_id"] == who], ["expired"])

    def test_rollback_newest_first_up_to_the_limit(self):
        undone, who = [], agent()
        vt = client(blocked_resources=["*.env"], mode="rollback", rollback_limit=3, agent_id=who)
        for i in range(4):
            vt.log_action("file_write", f"/tmp/{i}", rollback=lambda a: undone.append(a.resource))
        with self.assertRaises(ActionRolledBack) as seen:
            vt.log_action("file_write", "/tmp/.env", rollback=lambda a: undone.append(a.resource))
        self.assertEqual(undone, ["/tmp/.env", "/tmp/3", "/tmp/2"])
        self.assertEqual([a.resource for a in seen.exception.report.reversed], undone)
        with self.assertRaises(ActionBlocked):
            with vt.action("file_write", "/tmp/9"):
                self.fail("a halted agent acted")
        vt.flush()
        self.assertEqual([r["decision"] for r in rows(who) if r["resource"] == "/tmp/.env"
                          and r["action_type"] == "file_write"], ["ROLLBACK"])
        self.assertEqual(len([r for r in rows(who) if r["action_type"] == "rollback"]), 3)

    def test_rollback_says_what_it_could_not(self):
        vt = client(agent_id=agent())
        undone = []

        @vt.on_rollback(ActionType.FILE_WRITE)
        def undo(action):
            undone.append(action.resource)

        def fail(action):
            raise OSError("gone")

        vt.log_action("file_write", "/tmp/0")
        vt.log_action("file_delete", "/tmp/1", rollback=fail)
        vt.log_action("network_request", "example.org")
        vt.log_action("file_write", "/tmp/2")
        report = vt.rollback(4)
        self.assertEqual(undone, ["/tmp/2"])
        self.assertEqual([a.resource for a in report.irreversible], ["example.org"])
        self.assertEqual((report.failed.resource, str(report.error)), ("/tmp/1", "gone"))
        self.assertEqual([a.resource for a in vt.rollback(0).reversed], [])


class Before(unittest.TestCase):
    def test_a_blocked_action_does_not_run(self):
        who = agent()
        vt = client(blocked_resources=["*.env"], agent_id=who)
        with self.assertRaises(ActionBlocked):
            with vt.action("file_read", "/srv/.env"):
                self.fail("it ran")
        vt.flush()
        self.assertEqual([r["decision"] for r in rows(who)], ["BLOCK"])

    def test_an_agent_paused_at_the_server_is_blocked(self):
        who = agent()
        vt = client(agent_id=who)
        vt.sync_profile(who)
        call("POST", "/api/agents", {"name": who})
        call("PATCH", f"/api/agents/{who}", {"paused": True})
        self.assertEqual(vt.check("file_read", "/tmp/x").reason, "Agent is paused")

    def test_no_server_is_no_permission(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            vt = client(api_endpoint=f"http://127.0.0.1:{s.getsockname()[1]}", agent_id="x", mode="pause",
                        exit_timeout=0.1)
            with self.assertRaises(ServerError):
                vt.check("file_read", "/tmp/x")
            with self.assertRaises(ServerError):
                vt.log_action("file_read", "/tmp/x")
            vt.close()
            self.assertEqual(vt.stats()["dropped"], 1)


class Sending(unittest.TestCase):
    def test_batches_threads_and_session(self):
        who = agent()
        vt = client(max_actions_per_minute=10 ** 6)
        os.environ.update(VSANDBOX="1", VSANDBOX_SESSION="box-1")
        try:
            with vt.monitor(who):
                threads = [threading.Thread(target=lambda n=n: [vt.log_action(
                    "file_read", f"/tmp/{n}/{i}", agent_id=who) for i in range(100)]) for n in range(4)]
                [t.start() for t in threads]
                [t.join() for t in threads]
                vt.log_action("file_read", "/tmp/last")
        finally:
            del os.environ["VSANDBOX"], os.environ["VSANDBOX_SESSION"]
        self.assertEqual(vt.stats(), {"sent": 401, "pending": 0, "dropped": 0, "rejected": 0})
        self.assertEqual(len({r["resource"] for r in rows(who)}), 401)
        self.assertEqual({r["session_id"] for r in rows(who)}, {"box-1"})

    def test_one_bad_row_is_counted_and_the_others_arrive(self):
        who = agent()
        vt = client(agent_id=who)
        vt.log_action("file_read", "/tmp/good1")
        vt._outbox.put({"agent_id": who})
        vt.log_action("file_read", "/tmp/good2")
        self.assertTrue(vt.flush())
        self.assertEqual((vt.stats()["sent"], vt.stats()["rejected"]), (2, 1))
        self.assertEqual(len(rows(who)), 2)

    def test_a_full_queue_counts(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            vt = client(api_endpoint=f"http://127.0.0.1:{s.getsockname()[1]}", agent_id="x", queue_size=5,
                        exit_timeout=0.1)
            for i in range(8):
                vt.log_action("file_read", f"/tmp/{i}")
            self.assertEqual(vt.stats()["dropped"], 3)
            self.assertFalse(vt.close())
            self.assertEqual(vt.stats()["dropped"], 8)

    def test_an_outage_is_survived(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        who = agent()
        vt = client(api_endpoint=f"http://127.0.0.1:{port}", agent_id=who)
        vt.log_action("file_read", "/tmp/late")
        self.assertFalse(vt.flush(0.3))
        relay = subprocess.Popen([sys.executable, "-c", RELAY, str(port), URL.rsplit(":", 1)[1]])
        try:
            self.assertTrue(vt.flush(20))
        finally:
            relay.kill()
            relay.wait()
        self.assertEqual([r["resource"] for r in rows(who)], ["/tmp/late"])

    def test_fork_and_exit(self):
        who = agent()
        with tempfile.NamedTemporaryFile("w", suffix=".py") as f:
            f.write(FORK)
            f.flush()
            subprocess.run([sys.executable, f.name, URL, KEY, who], check=True, timeout=60,
                           env={**os.environ, "PYTHONPATH": sys.path[0]})
        self.assertEqual(sorted(r["resource"] for r in rows(who)), ["/tmp/before", "/tmp/child", "/tmp/parent"])


RELAY = """
import socket, sys, threading
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(sys.argv[1]))); s.listen()
def pump(a, b):
    while data := a.recv(65536): b.sendall(data)
    b.shutdown(socket.SHUT_WR)
while True:
    a, _ = s.accept(); b = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
    for x, y in ((a, b), (b, a)): threading.Thread(target=pump, args=(x, y), daemon=True).start()
"""
FORK = """
import os, sys
from vaultak import Vaultak
vt = Vaultak(api_key=sys.argv[2], api_endpoint=sys.argv[1], agent_id=sys.argv[3])
vt.log_action("file_read", "/tmp/before")
pid = os.fork()
vt.log_action("file_read", "/tmp/parent" if pid else "/tmp/child")
if pid:
    assert os.waitpid(pid, 0)[1] == 0
"""

if __name__ == "__main__":
    unittest.main()
