"""A server under test, and claims about it as TAP on stdout."""
import atexit
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request


class Claims:
    def __init__(self, name):
        self.name, self.number, self.failed = name, 0, 0

    def ok(self, what, holds, seen=None):
        self.number += 1
        self.failed += not holds
        print(f"{'ok' if holds else 'not ok'} {self.number} - {self.name}: {what}", flush=True)
        if not holds:
            print(f"# seen: {seen!r}", flush=True)

    def same(self, what, got, want):
        self.ok(what, got == want, got)

    def end(self):
        print(f"1..{self.number}")
        sys.exit(self.failed != 0)


def wait_for(true, seconds=60):
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.1)
    return true()


class Server:
    """vsandbox-serve on a store; what it writes goes to DIRECTORY/NAME.out."""
    def __init__(self, program, db, directory, name, *flags, key=None):
        port = os.path.join(directory, name + ".port")
        self.output = os.path.join(directory, name + ".out")
        if os.path.exists(port):
            os.unlink(port)
        self.out = open(self.output, "a")
        self.process = subprocess.Popen([program, "--db", db, "--listen", "127.0.0.1:0", "--port-file", port, *flags],
                                        stdout=self.out, stderr=self.out)
        atexit.register(self.process.kill)  # when this program fails
        if not wait_for(lambda: os.path.exists(port) and os.path.getsize(port) > 1):
            print("Bail out! the server does not start: " + self.log())
            sys.exit(1)
        self.port = int(open(port).read())
        self.url = f"http://127.0.0.1:{self.port}"
        self.key = key or re.search("^vtk_.*$", self.log(), re.M).group(0)

    def log(self):
        return open(self.output).read()

    def call(self, method, path, body=None, headers=None, address="127.0.0.1"):
        request = urllib.request.Request(f"http://{address}:{self.port}{path}",
                                         json.dumps(body).encode() if body is not None else None,
                                         {"x-api-key": self.key} if headers is None else headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                text = answer.read().decode()
                return answer.status, json.loads(text) if text[:1] in "[{" else text, answer.headers
        except urllib.error.HTTPError as e:
            return e.code, json.loads(e.read()), e.headers

    def metric(self, line):
        found = re.search("^" + re.escape(line) + r" (\S+)$", self.call("GET", "/metrics")[1], re.M)
        return float(found.group(1)) if found else None

    def stop(self):
        self.process.terminate()
        return self.process.wait(60)
