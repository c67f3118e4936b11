#!/usr/bin/env python3
"""Posts actions as fast as it can and prints the client id of each that was acknowledged, until the server
is gone. With a third argument: prints those of that file that the server does not know.

    stream.py URL KEY [ACKNOWLEDGED]
"""
import json
import sys
import threading
import urllib.request

url, key = sys.argv[1:3]
lock = threading.Lock()


def call(path, body=None):
    request = urllib.request.Request(url + path, data=None if body is None else json.dumps(body).encode())
    request.add_header("x-api-key", key)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read()), answer.headers


def post(name):
    for i in range(100000):
        ids = [f"{name}-{i}-{j}" for j in range(20)]
        try:
            call("/api/actions", [{"agent_id": "stream", "action_id": x, "action_type": "file_read",
                                   "resource": "/tmp/x"} for x in ids])
        except OSError:
            return
        with lock:
            print("\n".join(ids), flush=True)


def known():
    ids, cursor = set(), ""
    while True:
        rows, headers = call("/api/actions?agent_id=stream&limit=1000" + cursor)
        ids.update(r["action_id"] for r in rows)
        if not headers.get("X-Next-Cursor"):
            return ids
        cursor = "&cursor=" + headers["X-Next-Cursor"]


if len(sys.argv) > 3:
    have = known()
    with open(sys.argv[3], encoding="ascii") as f:
        for line in f:
            if line.strip() not in have:
                print(line.strip())
else:
    threads = [threading.Thread(target=post, args=(str(n),)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
