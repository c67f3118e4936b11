#!/usr/bin/env python3
"""Ten thousand connections that never finish a request, and somebody who only wants an answer. TAP on stdout.

    loris.py NAME URL [COUNT]

The crowd comes from twenty addresses, half of a header each, and adds a byte now and then; the server lets go of them.
"""
import resource
import selectors
import socket
import sys
import time
import urllib.request
from urllib.parse import urlparse

NAME, URL = sys.argv[1:3]
COUNT = int(sys.argv[3]) if len(sys.argv) > 3 else 10000
address = urlparse(URL)
number = failed = 0


def ok(what, holds, seen=None):
    global number, failed
    number += 1
    failed += not holds
    print(f"{'ok' if holds else 'not ok'} {number} - {NAME}: {what}", flush=True)
    if not holds:
        print(f"# seen: {seen!r}", flush=True)


soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
COUNT = min(COUNT, hard - 100)


def health():
    started = time.monotonic()
    with urllib.request.urlopen(URL + "/health", timeout=120) as answer:
        return answer.status, time.monotonic() - started


crowd = []
for i in range(COUNT):
    s = socket.socket()
    s.bind((f"127.0.1.{1 + i % 20}", 0))
    try:
        s.connect((address.hostname, address.port))
        s.send(b"POST /api/check HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    except OSError as e:
        print(f"# connection {i}: {e}")
        s.close()
        continue
    s.setblocking(False)
    crowd.append(s)
began = time.monotonic()
print(f"# {len(crowd)} connections that wait")
ok("all are let in, as far as files allow", len(crowd) >= COUNT * 0.99, len(crowd))
status, took = health()
ok("who wants an answer gets it beside them", status == 200, status)
print(f"# after {took:.3f} s")
watch = selectors.DefaultSelector()
for s in crowd:
    watch.register(s, selectors.EVENT_READ)
gone = 0
while gone < len(crowd) and time.monotonic() < began + 120:
    for key, _ in watch.select(5):
        watch.unregister(key.fileobj)
        gone += 1
        key.fileobj.close()
    for key in list(watch.get_map().values()):  # a byte keeps a connection busy
        try:
            key.fileobj.send(b"x")
        except OSError:
            pass
ok("bytes now and then buy no time: all are let go of", gone == len(crowd), gone)
print(f"# {gone} gone after {time.monotonic() - began:.0f} s")
# One address alone may not take all the room.
alone, refused = [], False
for i in range(4200):
    s = socket.socket()
    s.bind(("127.0.2.1", 0))
    s.settimeout(60)
    try:
        s.connect((address.hostname, address.port))
    except OSError:
        refused = True
        break
    alone.append(s)
deadline = time.monotonic() + 60
while not refused and time.monotonic() < deadline:
    for s in alone[-150:]:
        s.settimeout(0.05)
        try:
            refused = refused or s.recv(1) == b""
        except ConnectionError:
            refused = True
        except OSError:
            pass
ok("one address gets 4096 connections, no more", refused)
ok("and another is answered", health()[0] == 200)
print(f"1..{number}")
sys.exit(failed != 0)
