#!/usr/bin/env python3
"""Floods are one alert with a count, and alerts reach the webhook and syslog receivers. TAP on stdout.

    alerts.py NAME SERVE DB DIRECTORY
"""
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from served import Claims, Server, wait_for

NAME, SERVE, DB, DIR = sys.argv[1:5]
WINDOW = 30  # seconds: longer than the flood takes on a slow machine, and waited for once
claims = Claims(NAME)
ok, same = claims.ok, claims.same
posts = []


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        posts.append((self.headers["X-Vsandbox-Delivery"], json.loads(body)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


class Stream:
    """A TCP receiver of syslog that counts octets, and can hang up on who sends."""
    def __init__(self):
        self.frames, self.rest, self.peers = [], b"", []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            peer, _ = self.socket.accept()
            self.peers.append(peer)
            data = b""
            while chunk := peer.recv(65536):
                data += chunk
                while (cut := re.match(rb"(\d+) ", data)) and len(data) >= cut.end() + int(cut[1]):
                    end = cut.end() + int(cut[1])
                    self.frames.append(data[cut.end():end].decode())
                    data = data[end:]
            peer.close()

    def hang_up(self):
        self.peers[-1].shutdown(socket.SHUT_RDWR)


def datagrams(s, into):
    def read():
        while True:
            into.append(s.recv(65536).decode())
    threading.Thread(target=read, daemon=True).start()


receiver = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=receiver.serve_forever, daemon=True).start()
stream = Stream()
WEBHOOK = ["--webhook", f"http://127.0.0.1:{receiver.server_port}/hook"]
server = Server(SERVE, DB, DIR, "alerts", *WEBHOOK, "--alert-window", str(WINDOW), "--syslog",
                f"tcp:127.0.0.1:{stream.port}")
key = server.key


def flood(session, first, count, **more):
    return server.call("POST", "/api/actions", [
        {"agent_id": "flood", "session_id": session, "action_id": str(i), "action_type": "file_read",
         "resource": f"/tmp/{i}", **more} for i in range(first, first + count)])


def alerts(query="", agent="flood"):
    return [a for a in server.call("GET", "/api/alerts?limit=1000" + query)[1] if a["agent_id"] == agent]


# ---- one alert for a flood
server.call("PATCH", "/api/agents/flood/profile", {"max_actions_per_minute": 10, "max_risk_score": 1})
logged = flood("s1", 0, 300)[1]
flagged = [a for a in logged if a["flagged"]]
flood("s1", 0, 300)  # a batch sent twice counts once
rows = alerts()
ok("300 actions over the rate open an alert, not hundreds", len(flagged) > 250 and len(rows) == 1, rows)
same("it counts them", rows[0]["count"], len(flagged))
same("and names the first", rows[0]["action_id"], flagged[0]["action_id"])
more = [flood("s1", 300 + 50 * i, 50)[1] for i in range(4)]
flagged += [a for batch in more for a in batch if a["flagged"]]
rows = alerts()
same("later batches count under it", [r["count"] for r in rows], [len(flagged)])
ok("with the time of the last", rows[0]["created_at"] < rows[0]["last_at"], rows)
same("as the page has it, and more", sorted(
    set("id agent_id action_id level message acknowledged created_at".split()) - set(rows[0])), [])
flood("s2", 0, 20)
same("another session has its own", [(r["session_id"], r["count"]) for r in alerts()],
     [("s2", 20), ("s1", len(flagged))])
flood("s2", 20, 5, flagged=True, flag_reason="another cause")
same("another cause, too", [r["count"] for r in alerts()], [5, 20, len(flagged)])
flood("s2", 30, 3, risk_score=0.95)
same("and a higher level", [(r["level"], r["count"]) for r in alerts()][:1], [("critical", 3)])
server.call("PATCH", f"/api/alerts/{alerts()[0]['id']}/acknowledge", {})
flood("s2", 40, 2, risk_score=0.95)
same("under an acknowledged alert nothing is counted", [(r["acknowledged"], r["count"]) for r in alerts()][:1],
     [(False, 2)])
for _ in range(2):
    server.call("POST", "/api/alerts", {"agent_id": "person", "message": "look", "severity": "low"})
same("alerts that are posted stand for themselves", [a["count"] for a in alerts("", "person")], [1, 1])
first = next(r for r in alerts() if r["session_id"] == "s1")

# ---- the webhook
told = lambda: [p for p in posts if p[1]["alert"]["id"] == first["id"]]
ok("the webhook hears of it at once", wait_for(told) and told()[0][1]["event"] == "alert", posts)
ok("and once more when its window is over, with the count",
   wait_for(lambda: len(told()) == 2, WINDOW + 60) and told()[1][0] == f"{first['id']}-repeated" and
   told()[1][1]["event"] == "alert_repeated" and told()[1][1]["alert"]["count"] == len(flagged) and
   told()[1][1]["text"].endswith(f"({len(flagged)} times)"), told())
flood("s1", 1000, 30)
same("then a new one is opened", [r["count"] for r in alerts() if r["session_id"] == "s1"][1:], [len(flagged)])

# ---- syslog over TCP
ours = lambda: [f for f in stream.frames if f'id="{first["id"]}"' in f]
ok("syslog hears of both", wait_for(lambda: len(ours()) == 2, 60), stream.frames)
HEAD = re.compile(r'<(\d+)>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00) (\S+) vsandbox (\d+) (alert|alert_repeated) '
                  r'\[alert@32473((?: [a-z]+="(?:[^"\\\]]|\\["\\\]])*")+)\] (.+)')
heads = [HEAD.fullmatch(f) for f in stream.frames]
ok("each message is RFC 5424", all(heads), [f for f, m in zip(stream.frames, heads) if not m])
ok("of the daemon facility, with the level as severity", {int(m[1]) >> 3 for m in heads} == {3} and
   all(int(m[1]) & 7 == {"low": 5, "medium": 4, "high": 3, "critical": 2}[re.search('level="(.*?)"', m[6])[1]]
       for m in heads), stream.frames)
ok("the second tells the count", ours()[1:] and f'count="{len(flagged)}"' in ours()[1] and
   ours()[1].endswith(f"({len(flagged)} times)") and " alert_repeated " in ours()[1], ours())
nasty = 'a "quoted" back\\slash ]\n<13>1 forged\x1b[31m \u0085' + "ä" * 1500
server.call("POST", "/api/alerts", {"agent_id": 'who"]\\', "message": nasty, "severity": "high"})
ok("a message that would forge another", wait_for(lambda: any("forged" in f for f in stream.frames)), stream.frames)
got = next(f for f in stream.frames if "forged" in f)
ok("is one, in one line, without control characters", HEAD.fullmatch(got) and not re.search("[\x00-\x1f\x7f-\x9f]", got) and
   'agent="who\\"\\]\\\\"' in got and got.endswith("ä"), got)
ok("and of a size that any receiver takes", len(got.encode()) <= 2048, len(got.encode()))
stream.hang_up()
server.call("POST", "/api/alerts", {"agent_id": "person", "message": "after it", "severity": "low"})
ok("a receiver that hung up is connected to again", wait_for(lambda: any("after it" in f for f in stream.frames)),
   stream.frames[-3:])
ok("all of that is counted", wait_for(
    lambda: server.metric('vsandbox_syslog_total{result="delivered"}') == len(stream.frames)),
   (len(stream.frames), server.call("GET", "/metrics")[1][-3000:]))
same("the server ends", server.stop(), 0)

# ---- UDP, and a receiver that comes later
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", 0))
packets = []
datagrams(udp, packets)
server = Server(SERVE, DB, DIR, "alerts", "--syslog", f"udp:127.0.0.1:{udp.getsockname()[1]}", key=key)
server.call("POST", "/api/alerts", {"agent_id": "person", "message": "by packet", "severity": "critical"})
ok("UDP: one packet, one message", wait_for(lambda: any("by packet" in p for p in packets)) and
   all(HEAD.fullmatch(p) for p in packets), packets)
server.stop()
path = os.path.join(DIR, "log")
server = Server(SERVE, DB, DIR, "alerts", "--syslog", "unix:" + path, key=key)
server.call("POST", "/api/alerts", {"agent_id": "person", "message": "in this host", "severity": "critical"})
ok("the local socket: one that is not there yet is tried again",
   wait_for(lambda: server.metric('vsandbox_syslog_total{result="failed"}') >= 1))
local = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
local.bind(path)
lines = []
datagrams(local, lines)
ok("and then has what it missed, as libc's syslog() writes it", wait_for(lambda: lines, 60) and re.fullmatch(
    r'<26>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d vsandbox\[\d+\]: \[critical\] person: in this host \[alert@32473 id="\d+" .*\]',
    lines[0]), lines)
same("the server ends", server.stop(), 0)
for wrong in ("udp:localhost", "tcp::1:514", "unix:relative", "http://x", "udp:x:99999", "tcp:x:"):
    refused = subprocess.run([SERVE, "--db", DB, "--listen", "127.0.0.1:0", "--syslog", wrong], capture_output=True,
                             text=True, timeout=60)
    ok(f"--syslog {wrong} is no place", refused.returncode == 125 and "unix:PATH" in refused.stderr, refused)

# ---- a receiver that is the real thing
rsyslogd = shutil.which("rsyslogd", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
if not rsyslogd:
    print(f"ok {claims.number + 1} - {NAME}: rsyslogd # SKIP rsyslog is not installed")
    claims.number += 1
    claims.end()


def free_port(kind):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


ports = {"udp": free_port(socket.SOCK_DGRAM), "tcp": free_port(socket.SOCK_STREAM)}
seen, conf = os.path.join(DIR, "seen"), os.path.join(DIR, "rsyslog.conf")
with open(conf, "w") as f:
    f.write(f"""global(workDirectory="{DIR}")
module(load="imudp") module(load="imtcp") module(load="imuxsock" sysSock.use="off")
input(type="imudp" address="127.0.0.1" port="{ports['udp']}")
input(type="imtcp" address="127.0.0.1" port="{ports['tcp']}")
input(type="imuxsock" socket="{DIR}/devlog")
template(name="seen" type="string" string="%inputname%|%syslogseverity-text%|%syslogfacility-text%|%programname%|%msgid%|%structured-data%|%msg%\\n")
action(type="omfile" file="{seen}" template="seen")
""")
daemon = subprocess.Popen([rsyslogd, "-n", "-f", conf, "-i", os.path.join(DIR, "rsyslog.pid")],
                          stdout=subprocess.DEVNULL, stderr=open(os.path.join(DIR, "rsyslog.err"), "w"))
wait_for(lambda: os.path.exists(f"{DIR}/devlog"))
rows = lambda: open(seen).read().splitlines() if os.path.exists(seen) else []
for where, target in (("imudp", f"udp:127.0.0.1:{ports['udp']}"), ("imtcp", f"tcp:127.0.0.1:{ports['tcp']}"),
                      ("imuxsock", f"unix:{DIR}/devlog")):
    server = Server(SERVE, DB, DIR, "alerts", "--syslog", target, key=key)

    def heard():  # a packet that comes before it listens is lost
        server.call("POST", "/api/alerts", {"agent_id": "person", "message": f"to {where}", "severity": "high"})
        return any(f"to {where}" in r for r in rows())
    ok(f"rsyslogd has it by {where}", wait_for(heard),
       (rows(), open(os.path.join(DIR, "rsyslog.err")).read()))
    got = (next((r for r in rows() if f"to {where}" in r), "") + "|" * 7).split("|")
    ok(f"{where}: parsed as what it is", got[:4] == [where, "err", "daemon", "vsandbox"] and
       (where == "imuxsock" or (got[4] == "alert" and got[5].startswith('[alert@32473 id="'))), got)
    server.stop()
daemon.terminate()
daemon.wait(30)
claims.end()
