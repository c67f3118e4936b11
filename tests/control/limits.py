#!/usr/bin/env python3
"""What the server takes from itself, keeps from others, masks, counts and posts. TAP on stdout.

    limits.py NAME SERVE DB DIRECTORY
"""
import hashlib
import hmac
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from served import Claims, Server, wait_for

NAME, SERVE, DB, DIR = sys.argv[1:5]
SECRET = "a secret of the hook's own"
claims = Claims(NAME)
ok, same = claims.ok, claims.same


# ---- the receiver of alerts: answers what it is told to, then 200
posts, answers = [], []


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        posts.append((dict(self.headers), body))
        self.send_response(answers.pop(0) if answers else 200)
        self.end_headers()

    def log_message(self, *_):
        pass


receiver = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=receiver.serve_forever, daemon=True).start()
secret_file = os.path.join(DIR, "secret")
with open(secret_file, "w") as f:
    f.write(SECRET + "\n")
FLAGS = ["--request-timeout", "3", "--key-rate", "50", "--webhook-secret-file", secret_file,
         "--webhook", f"http://127.0.0.1:{receiver.server_port}/hook"]


def call(*args, **options):
    return server.call(*args, **options)


def metric(line):
    return server.metric(line)


quiet = Server(SERVE, DB, DIR, "limits")
key = quiet.key


def status_of(process):
    lines = open(f"/proc/{process.pid}/status").read().splitlines()
    return {k: v.strip() for k, _, v in (line.partition(":") for line in lines)}


# ---- confined
now = status_of(quiet.process)
same("it runs under filters, without privileges to gain or capabilities",
     (now["Seccomp"], now["NoNewPrivs"], int(now["CapEff"], 16), int(now["CapBnd"], 16) if os.geteuid() == 0 else 0),
     ("2", "1", 0, 0))
same("with no webhook a store in a file has a filter more, against sockets", int(now["Seccomp_filters"]),
     1 if DB.startswith("postgres") else 2)
same("it ends well", quiet.stop(), 0)
server = Server(SERVE, DB, DIR, "limits", *FLAGS, key=key)
same("it stands under that filter and starts again on its store", call("GET", "/health")[0], 200)

# ---- keys
same("a key as a bearer", call("GET", "/api/agents", headers={"Authorization": "Bearer " + key})[0], 200)
same("a bearer that is none", call("GET", "/api/agents", headers={"Authorization": "Bearer x"})[0], 401)
began, wrong = time.monotonic(), []
for _ in range(20):  # one is given back in six seconds, which a slow machine may take
    while wrong[-1:] != [429]:
        wrong.append(call("POST", "/api/login", {"key": "vtk_" + "x" * 43}, {})[0])
    status, _, headers = call("POST", "/api/login", {"key": key}, {})
    if status == 429:
        break
    wrong.append(status)
more = (time.monotonic() - began) // 6 + 1
ok("ten logins may fail", wrong[:10] == [401] * 10 and wrong.count(401) <= 10 + more, wrong)
ok("then the right key waits too, and is told how long", status == 429 and 0 < int(headers["Retry-After"]) < 60,
   (status, headers))
same("who has a key in the header does not", call("GET", "/api/me")[0], 200)
guesses = []
while 429 not in guesses and len(guesses) < 1000:
    guesses.append(call("GET", "/api/me", headers={"x-api-key": f"vtk_{len(guesses)}"})[0])
ok("keys that are none are soon too many", set(guesses) == {401, 429} and guesses[0] == 401, guesses)
limited = call("POST", "/api/keys", {"name": "limited", "role": "viewer"})[1]["key"]
# All in one piece, so that the server takes them as fast as it can, whatever the machine does with this program.
first, last = f"GET /api/me HTTP/1.1\r\nHost: x\r\nx-api-key: {limited}\r\n", "Connection: close\r\n"
with socket.create_connection(("127.0.0.1", server.port), timeout=120) as s:
    threading.Thread(target=s.sendall, args=(((first + "\r\n") * 499 + first + last + "\r\n").encode(),)).start()
    with s.makefile("rb") as f:
        seen = [int(code) for code in re.findall(rb"HTTP/1\.1 (\d+) ", f.read())]
ok("a key has its requests a second, and no other key pays for it", set(seen) == {200, 429} and len(seen) == 500 and
   call("GET", "/api/me")[0] == 200, {n: seen.count(n) for n in set(seen)})
names = [k["name"] for k in call("GET", "/api/keys")[1]]
ok("keys are listed without their text", "limited" in names and limited not in json.dumps(call("GET", "/api/keys")[1]))

# ---- masking: parts, so that no scanner takes them for somebody's
pat = "ghp_" + "abcdefghij0123456789abcdef0123456789"
call("POST", "/api/actions", {
    "agent_id": "masked", "action_type": "api_call", "resource": f"https://h/?access_token={pat}",
    "payload": {"card": "4111 1111 1111 1111", "order": 4111111111111112, "password": "hunter2",
                "text": f"mail jane@example.org, IBAN DE89370400440532013000, {pat}"}})
row = call("GET", "/api/actions?agent_id=masked")[1][0]
same("what is stored of an action", (row["resource"], row["payload"]), ("https://h/?access_token=[masked secret]", {
    "card": "[masked card]", "order": 4111111111111112, "password": "[masked secret]",
    "text": "mail [masked e-mail], IBAN [masked IBAN], [masked GitHub token]"}))
same("how many were masked", metric("vsandbox_masked_total"), 6)
ok("masking does not change what is decided", row["risk_score"] ==
   call("POST", "/api/check", {"agent_id": "unknown", "action_type": "api_call",
                               "resource": f"https://h/?access_token={pat}",
                               "payload": {"card": "4111 1111 1111 1111", "order": 4111111111111112,
                                           "password": "hunter2", "text": f"mail jane@example.org, IBAN "
                                           f"DE89370400440532013000, {pat}"}})[1]["risk_score"], row)

# ---- the webhook
answers[:] = [500, 503]
call("POST", "/api/alerts", {"agent_id": "hook <a&b>", "message": "look here", "severity": "high"})
ok("an alert is posted until it is taken", wait_for(lambda: len(posts) >= 3), posts)
headers, body = posts[-1]
said = json.loads(body)
same("for people", said["text"], "[high] hook &lt;a&amp;b&gt;: look here")
same("and for programs", (said["event"], said["alert"]["agent_id"], said["alert"]["level"]),
     ("alert", "hook <a&b>", "high"))
fields = dict(part.split("=", 1) for part in headers["X-Vsandbox-Signature"].split(","))
same("signed", fields["v1"], hmac.new(SECRET.encode(), f"{fields['t']}.".encode() + body, hashlib.sha256).hexdigest())
ok("with the time of the post", abs(int(fields["t"]) - time.time()) < 60, fields)
same("under one id, however often it is sent", {h["X-Vsandbox-Delivery"] for h, _ in posts}, {str(said["alert"]["id"])})
answers[:] = [400] * 5
call("POST", "/api/alerts", {"agent_id": "hook", "message": "unwanted", "severity": "low"})
call("POST", "/api/alerts", {"agent_id": "hook", "message": "wanted", "severity": "low"})
ok("what is refused five times is dropped, and the next one comes",
   wait_for(lambda: any(b"] hook: wanted" in b for _, b in posts), 60) and
   sum(b"unwanted" in b for _, b in posts) == 5, [b for _, b in posts])
ok("all of that is counted", wait_for(lambda: (
    metric('vsandbox_webhook_total{result="delivered"}'), metric('vsandbox_webhook_total{result="failed"}'),
    metric('vsandbox_webhook_total{result="dropped"}')) == (2, 6, 1)), call("GET", "/metrics")[1][-1500:])
before = len(posts)
receiver.shutdown()
receiver.server_close()  # nobody listens for a while
call("POST", "/api/alerts", {"agent_id": "hook", "message": "meanwhile", "severity": "low"})
ok("a receiver that is away is tried again",
   wait_for(lambda: metric('vsandbox_webhook_total{result="failed"}') >= 7))
same("the server ends while it waits", server.stop(), 0)
port = receiver.server_port
receiver = ThreadingHTTPServer(("127.0.0.1", port), Receiver)
threading.Thread(target=receiver.serve_forever, daemon=True).start()
server = Server(SERVE, DB, DIR, "limits", *FLAGS, key=key)
ok("what was not delivered is, by the next server on the store",
   wait_for(lambda: any(b"meanwhile" in b for _, b in posts), 60) and len(posts) == before + 1, posts[before:])
for elsewhere in ("http://example.org/", "http://127.example.org/", "http://127.0.0.1.example.org/", "http://[::2]/",
                  "ftp://127.0.0.1/", "file:///etc/passwd"):
    refused = subprocess.run([SERVE, "--db", DB, "--listen", "127.0.0.1:0", "--webhook", elsewhere],
                             capture_output=True, text=True, timeout=60)
    ok(f"a webhook elsewhere is https, and {elsewhere} is none", refused.returncode == 125 and
       "not https" in refused.stderr, refused)

# ---- for other systems
alert = call("GET", "/api/alerts")[1][0]
call("PATCH", f"/api/alerts/{alert['id']}/acknowledge", {})
call("PATCH", "/api/agents/hook", {"paused": True})
acts = call("GET", "/api/audit")[1]
same("what was done is in the log of acts, newest first, with who did it",
     [(a["what"], a["detail"], a["key_name"]) for a in acts[:2]],
     [("agent.change", "hook", "first admin"), ("alert.acknowledge", str(alert["id"]), "first admin")])
ok("keys, too, without their text", any(a["what"] == "key.create" for a in acts) and limited not in json.dumps(acts))


def export(query):
    request = urllib.request.Request(server.url + "/api/export?" + query, headers={"x-api-key": key})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return [json.loads(line) for line in answer.read().decode().splitlines()], answer.headers["X-Next-Cursor"]


if DB.startswith("postgres"):
    time.sleep(2.1)  # what another server might still commit is waited for
rows, cursor = export("limit=2")
more, last = export(f"limit=1000&cursor={cursor}")
same("alerts as lines, oldest first, each once", [r["id"] for r in rows + more],
     sorted(a["id"] for a in call("GET", "/api/alerts?limit=1000")[1] + [alert]))
same("and at the end none", export(f"cursor={last}"), ([], None))
found = export("format=ocsf&limit=1000")[0]
ok("as OCSF's Detection Findings", len(found) == len(rows + more) and
   {(f["class_uid"], f["type_uid"], f["category_uid"], f["metadata"]["version"]) for f in found} ==
   {(2004, 200401, 2, "1.3.0")} and {f["severity"] for f in found} >= {"High", "Low"} and
   all(abs(f["time"] / 1000 - time.time()) < 600 for f in found), found)
same("actions as lines", [r["agent_id"] for r in export("what=actions")[0]], ["masked"])
same("a format that is none", call("GET", "/api/export?format=csv")[0], 422)

# ---- metrics
text = call("GET", "/metrics")[1]
ok("metrics have help, type and values", "# TYPE vsandbox_http_requests_total counter" in text and
   metric("vsandbox_store_up") == 1 and metric("vsandbox_agents") >= 2 and metric("vsandbox_alerts_open") >= 3, text)
call("GET", "/api/no/such/path")
ok("a path that is none is no label of its own", metric(
    'vsandbox_http_requests_total{method="",path="",code="404"}') == 1 and "no/such" not in call("GET", "/metrics")[1])
lines = [line for line in text.splitlines() if not line.startswith("#")]
ok("each line is Prometheus'", all(re.fullmatch(r'[a-z_]+(\{([a-z]+="[^"\n]*",?)+\})? [0-9.e+-]+', line)
                                   for line in lines), lines)
buckets = [float(v) for v in re.findall(
    r'duration_seconds_bucket\{method="POST",path="/api/alerts",le="[^"]*"\} (\S+)', text)]
same("buckets add up", buckets, sorted(buckets))
agent_key = call("POST", "/api/keys", {"name": "a", "role": "agent"})[1]["key"]
same("an agent's key reads no metrics", call("GET", "/metrics", headers={"x-api-key": agent_key})[0], 403)

# ---- requests that are none
def raw(text, address="127.0.0.1"):
    with socket.create_connection((address, server.port), timeout=20) as s:
        s.sendall(text)
        s.settimeout(20)
        got = b""
        try:
            while chunk := s.recv(65536):
                got += chunk
        except OSError:
            pass
        return got


for what, text in (
        ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n"),
        ("an endless header", b"GET / HTTP/1.1\r\nX: " + b"y" * 100000 + b"\r\n\r\n"),
        ("an endless path", b"GET /" + b"y" * 100000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("ten thousand headers", b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10000 + b"\r\n"),
        ("a negative length", b"POST /api/check HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n"),
        ("two lengths", b"POST /api/check HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 90\r\n\r\n{}"),
        ("a length and chunks", b"POST /api/check HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
                                b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /health HTTP/1.1\r\n\r\n"),
        ("a chunk of no size", b"POST /api/check HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        ("a path that climbs", b"GET /dashboard/../../etc/passwd HTTP/1.0\r\nHost: x\r\n\r\n"),
        ("a path with a NUL", b"GET /dashboard/app.js%00.html HTTP/1.0\r\nHost: x\r\n\r\n"),
        ("a percent without digits", b"GET /api/agents/%zz HTTP/1.0\r\nHost: x\r\n\r\n"),
):
    got = raw(text)
    line = got.split(b"\r\n")[0]
    ok(f"{what}: refused or cut off, never 200 or 500", not re.match(rb"HTTP/1\.[01] (2|5)\d\d", line), line)
same("and it goes on", call("GET", "/health")[0], 200)
with socket.create_connection(("127.0.0.1", server.port), timeout=20) as s:
    started = time.monotonic()
    s.settimeout(0.5)
    ended = False
    s.sendall(b"POST /api/check HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
    while not ended and time.monotonic() < started + 30:
        try:
            s.sendall(b"x")
            ended = s.recv(4096) == b""
        except TimeoutError:
            pass
        except OSError:
            ended = True
    ok("a body that comes byte by byte runs out of time", ended)

# ---- TLS
cert, private = os.path.join(DIR, "cert.pem"), os.path.join(DIR, "key.pem")
subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                "2", "-subj", "/CN=localhost", "-keyout", private, "-out", cert], check=True, capture_output=True)
secure = Server(SERVE, DB, DIR, "tls", "--tls-cert", cert, "--tls-key", private, key=key)


def greeted(version):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
    try:
        with socket.create_connection(("127.0.0.1", secure.port), timeout=60) as s, context.wrap_socket(s) as t:
            body, spoken = json.dumps({"key": key}).encode(), t.version()
            t.sendall(b"POST /api/login HTTP/1.0\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            answer = b""
            while chunk := t.recv(65536):
                answer += chunk
            return spoken, b"; Secure" in answer and b"HttpOnly" in answer
    except (ssl.SSLError, ConnectionError) as e:
        return e


for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
    seen = greeted(version)
    ok(f"{version.name} is not spoken", isinstance(seen, Exception), seen)
same("TLS 1.2 is, and the login's cookie says that it wants it", greeted(ssl.TLSVersion.TLSv1_2), ("TLSv1.2", True))
same("so is TLS 1.3", greeted(ssl.TLSVersion.TLSv1_3), ("TLSv1.3", True))
same("it ends well, too", secure.stop(), 0)

# ---- what was written for people
server.stop()
log = server.log()
ok("why the webhook failed is told, without its address", "the webhook answers 500, trying again" in log and
   "no answer of the webhook: Couldn't connect to server" in log and "/hook" not in log, log)
same("the only secret in the log is the first key, once", (log.count(key), log.count("vtk_"), SECRET in log, pat in log),
     (1, 1, False, False))
claims.end()
