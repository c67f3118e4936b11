#!/usr/bin/env python3
"""What is older than --keep-days goes from every table, and nothing else does. TAP on stdout.

    retention.py NAME SERVE DB DIRECTORY
"""
import socket
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from served import Claims, Server, wait_for

NAME, SERVE, DB, DIR = sys.argv[1:5]
MANY = 12000  # more than one statement removes, of whatever size it is
DAYS = 70     # of actions, each a table in PostgreSQL
POSTGRES = NAME == "postgresql"
claims = Claims(NAME)
ok, same = claims.ok, claims.same


def sql(script):
    """Rows of the last statement, as tuples of text."""
    if POSTGRES:
        run = subprocess.run(["psql", "-XqAt", "-F", "\t", "-v", "ON_ERROR_STOP=1", DB], input=script, text=True,
                             capture_output=True, timeout=300)
        if run.returncode:
            sys.exit(f"Bail out! {run.stderr}")
        return [tuple(line.split("\t")) for line in run.stdout.splitlines()]
    with sqlite3.connect(DB, timeout=120) as db:
        *first, last = [s for s in script.split(";") if s.strip()]
        for statement in first:
            db.execute(statement)
        return [tuple(map(str, row)) for row in db.execute(last)]


# ---- rows of today, as clients make them
def start(name, *flags):
    return Server(SERVE, DB, DIR, name, *flags, key=key)


server = Server(SERVE, DB, DIR, "first", "--keep-days", "0")
key = server.key


def post(path, body, status=200):
    got = server.call("POST", path, body)
    if got[0] != status:
        sys.exit(f"Bail out! {path} {got}")
    return got[1]


post("/api/actions", [{"agent_id": "a", "session_id": "new", "action_id": str(i), "action_type": "file_read",
                       "resource": f"/tmp/{i}"} for i in range(20)])
post("/api/policies", {"name": "p", "effect": "block", "resource_pattern": "/never"})
session = {"agent_id": "a", "host": "h", "state": "running", "started_at": "2026-01-01T00:00:00+00:00"}
for name in ("new", "alive"):
    post("/api/sessions", dict(session, id=name))
post("/api/sessions", dict(session, id="over", state="ended", ended_at="2026-01-01T00:00:00+00:00"))
for state in ("pending", "allowed", "denied", "expired"):
    post("/api/sessions/new/approvals", {"request_id": state, "state": state, "request": {}})
for _ in range(2):
    post("/api/alerts", {"agent_id": "a", "message": "m", "severity": "low"})
seen = server.call("GET", "/api/alerts")[1][0]["id"]
server.call("PATCH", f"/api/alerts/{seen}/acknowledge", {})
post("/api/login", {"key": key})

# ---- an agent's word against a person's
agent = post("/api/keys", {"name": "agent", "role": "agent"})["key"]
headers = {"x-api-key": agent}
server.call("POST", "/api/sessions", dict(session, id="own"), headers)


def told(request, state):
    return server.call("POST", "/api/sessions/own/approvals", {"request_id": request, "state": state, "request": {}},
                       headers)[0]


def state_of(request):
    return sql(f"SELECT state FROM approvals WHERE session_id = 'own' AND request_id = '{request}'")[0][0]


same("a question is asked again while nobody answered", [told("q", "pending"), told("q", "pending")], [200, 200])
sql("UPDATE approvals SET state = 'denied', decided_by = 'person' WHERE session_id = 'own'")
same("once it was denied, its agent's key cannot make it wait again", (told("q", "pending"), state_of("q")),
     (409, "denied"))
same("nor allow it", (told("q", "allowed"), state_of("q")), (409, "denied"))
same("nor have it expire", (told("q", "expired"), state_of("q")), (409, "denied"))
same("but may say the same", (told("q", "denied"), state_of("q")), (200, "denied"))
same("what was said in its host alone is as final", [told("r", "pending"), told("r", "allowed"), told("r", "pending"),
                                                    state_of("r")], [200, 200, 409, "allowed"])
same("a question whose time was over does not come back", [told("s", "pending"), told("s", "expired"),
     told("s", "pending"), state_of("s")], [200, 200, 409, "expired"])
same("the log's late word about it is heard", (told("s", "allowed"), state_of("s")), (200, "allowed"))
same("the server ends", server.stop(), 0)

# ---- rows of long ago
NOW = int(time.time())
DAY = 86400


def id_at(seconds):
    return (int(seconds * 1000) - 1704067200000) << 12


def ago(days):
    return NOW - int(days * DAY)


KEYS = {"action_keys": "id", "daily": "day", "logins": "until", "actions": "id", "alerts": "id", "approvals": "id",
        "commands": "id", "rollbacks": "id", "sessions": "id", "feed": "id"}
FOREVER = ("keys", "agents", "policies", "audit", "outboxes", "meta")


def rows():
    return {t: {r[0] for r in sql(f"SELECT {k} FROM {t}")} for t, k in KEYS.items()}


def forever():
    return [sql(f"SELECT count(*) FROM {t}") for t in FOREVER]


def series(columns, table, count, select):
    return (f"INSERT INTO {table}({columns}) WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE "
            f"i < {count - 1}) SELECT {select} FROM n;")


def action(session, at, number=0):
    day = at // DAY
    made = (f"CREATE TABLE IF NOT EXISTS actions_{day} PARTITION OF actions FOR VALUES FROM ({id_at(day * DAY)}) TO "
            f"({id_at((day + 1) * DAY)});" if POSTGRES else "")
    return made + ("INSERT INTO actions(id, agent, session_id, type, resource, risk, breakdown, decision, flagged, at)"
                   f" VALUES ({id_at(at) + number}, 'x', '{session}', 't', 'r', 0, '{{}}', 'ALLOW', 0, {at * 1000000});")


def one(name, at, state="ended"):
    return ("INSERT INTO sessions(id, agent, host, key_id, state, started_at, seen_at, ended_at) VALUES "
            f"('{name}', 'x', 'h', 'k', '{state}', {at * 1000000}, {at * 1000000}, "
            f"{at * 1000000 if state == 'ended' else 'NULL'});")


def question(name, number, at, state, decided=None):
    return ("INSERT INTO approvals(id, session_id, agent, request_id, request, state, created_at, decided_at) VALUES "
            f"({id_at(at) + number}, '{name}', 'x', 'old{number}', '{{}}', '{state}', {at * 1000000}, "
            f"{decided * 1000000 if decided else 'NULL'});")


def command(name, number, at, state):
    return ("INSERT INTO commands(id, session_id, kind, body, state, created_at) VALUES "
            f"({id_at(at) + number}, '{name}', 'kill', '{{}}', '{state}', {at * 1000000});")


def plant(kept):
    """What stays when @kept days are, then what goes."""
    in_time, old = ago(kept - 1), ago(kept + 2)
    sql(action("within", in_time) + one("within", in_time) + one("busy", old) + action("busy", in_time, 1) +
        question("alive", 1, old, "pending") + question("over", 2, old, "denied", in_time) +
        command("alive", 1, old, "waiting") + command("gone", 9, in_time, "done") +
        f"INSERT INTO alerts(id, agent, level, message, acknowledged, created_at) VALUES ({id_at(old)}, 'x', 'low', 'open', "
        f"0, 0), ({id_at(in_time)}, 'x', 'low', 'seen', 1, 0);"
        f"INSERT INTO daily VALUES ({in_time // DAY}, 'x', 't', 'ALLOW', 'low', 1);"
        f"INSERT INTO action_keys VALUES ('x', 'within', 'k', {id_at(in_time)});"
        f"INSERT INTO rollbacks(id, agent, n_actions, action_ids, message, created_at) VALUES ({id_at(in_time)}, 'x', 1, "
        "'[]', 'm', 0);")
    stays = rows()
    first = id_at(ago(kept + 200))
    sql("".join(action("past", ago(kept + 2 + i)) for i in range(DAYS)) + one("past", old) +
        one("lost", old, "running") + question("past", 3, old, "allowed", old) + question("lost", 4, old, "pending") +
        question("nowhere", 5, old, "expired") + command("lost", 2, old, "waiting") +
        command("alive", 3, old, "done") +
        series("agent, session_id, action_id, id", "action_keys", MANY, f"'x', 'past', CAST(i AS TEXT), {first} + i") +
        series("id, agent, level, message, acknowledged, created_at", "alerts", MANY,
               f"{first} + i, 'x', 'low', 'm', 1, 0") +
        series("day, agent, type, decision, level, count", "daily", MANY,
               f"{old // DAY}, 'x', CAST(i AS TEXT), 'ALLOW', 'low', 1") +
        series("id, agent, n_actions, action_ids, message, created_at", "rollbacks", MANY, f"{first} + i, 'x', 1, '[]', "
               "'m', 0") +
        ("" if POSTGRES else series("id, agent, session_id, type, resource, risk, breakdown, decision, flagged, at",
                                    "actions", MANY, f"{first} + i, 'x', 'past', 't', 'r', 0, '{{}}', 'ALLOW', 0, 0")))
    return stays


def transient():
    sql(series("id, kind, body", "feed", MANY, f"{id_at(ago(1.5))} + i, 'command', '{{}}'") +
        "INSERT INTO logins(hash, key_id, until) VALUES ('\\x00', 'k', 1);")


ended = lambda: not sql(f"SELECT 1 FROM feed WHERE id < {id_at(ago(1))}")  # the last of a round
stays, always = plant(90), forever()
everything = rows()
transient()
server = start("all", "--keep-days", "0")
ok("--keep-days 0: the feed of yesterday goes", wait_for(ended, 300))
left = rows()
same("and logins that are over", left["logins"], everything["logins"])
same("and nothing else", {t: (len(everything[t] - left[t])) for t in KEYS if everything[t] - left[t]}, {})
same("the server ends", server.stop(), 0)

# ---- 90 days, unless it is told otherwise; with PostgreSQL by two servers at once
transient()
with ThreadPoolExecutor() as pool:
    servers = list(pool.map(start, ("one", "two") if POSTGRES else ("one",)))
server = servers[0]
gone = lambda: {t: len(r) for t, r in ((t, r - stays[t]) for t, r in rows().items()) if r and t != "feed"}
ok("what is older than 90 days goes from every table, however much there is", wait_for(lambda: not gone(), 300), gone())
left = rows()
same("and nothing that is younger, waits, or was never looked at",
     {t: stays[t] - left[t] for t in KEYS if t != "feed" and stays[t] - left[t]}, {})
ok("the feed of yesterday goes", wait_for(ended, 300))
same("keys, agents, policies and the log of acts stay", forever(), always)
removed = lambda t: sum(s.metric(f'vsandbox_removed_total{{table="{t}"}}') for s in servers)
ok("it is counted, once", wait_for(lambda: removed("alerts") == MANY and removed("sessions") == 2 and removed("actions") ==
   DAYS + (0 if POSTGRES else MANY)), server.call("GET", "/metrics")[1][-4000:])
if POSTGRES:
    same("days of actions are no tables any more", sql("SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ "
         f"'^actions_[0-9]+$' AND CAST(substr(relname, 9) AS BIGINT) < {ago(90) // DAY}"), [("0",)])
for path in ("sessions", "actions", "stats", "usage", "approvals?state=all", "alerts?acknowledged=true", "agents",
             "rollback/history", "sessions/busy", "sessions/new", "actions?session_id=past", "audit"):
    same(f"/api/{path} is answered", server.call("GET", "/api/" + path)[0], 200)
same("a session that went is none", server.call("GET", "/api/sessions/past")[0], 404)
post("/api/actions", {"agent_id": "a", "session_id": "new", "action_type": "file_read", "resource": "/tmp/after"})
for s in servers:
    same("the server ends", s.stop(), 0)
    same("and had nothing to complain of", "removing what is old" in s.log(), False)

# ---- fewer days than the statistics show
sql(action("few", ago(4)) + action("many", ago(7)) + one("few", ago(4)) + one("many", ago(7)) +
    f"DELETE FROM daily; INSERT INTO daily VALUES ({ago(29) // DAY}, 'x', 't', 'ALLOW', 'low', 7)")
transient()
server = start("few", "--keep-days", "5")
ok("--keep-days 5: what is older goes", wait_for(ended, 300) and not
   sql("SELECT id FROM sessions WHERE id IN ('many', 'busy', 'within')"), rows()["sessions"])
same("what is younger stays", sql("SELECT session_id FROM actions WHERE session_id IN ('few', 'many', 'busy') UNION ALL "
                                  "SELECT id FROM sessions WHERE id = 'few'"), [("few",)] * 2)
same("the counts of thirty days stay", sql("SELECT count FROM daily"), [("7",)])
same("the server ends", server.stop(), 0)

if POSTGRES:
    silent = socket.create_server(("127.0.0.1", 0))  # takes connections and says nothing
    run = subprocess.run([SERVE, "--db", f"postgresql://x@127.0.0.1:{silent.getsockname()[1]}/x", "--listen", "127.0.0.1:0"],
                         capture_output=True, text=True, timeout=240)
    ok("a database host that says nothing is given up", run.returncode == 125 and "timeout" in run.stderr, run)
claims.end()
