#!/usr/bin/python3
"""Runs one container of a pod as the kubelet does, by containerd's CRI, and prints what it said.

cri.py [--profile default|FILE] [--annotation NAME=VALUE] SOCKET HANDLER IMAGE LOGS COMMAND...

The messages are written and read by hand: runtime.v1 is stable, and its generated code is in no package. Exit
status: the container's; 125 where there was none, with the reason on stderr.
"""
import argparse
import os
import sys
import time

import grpc

VARINT, BYTES = 0, 2


def varint(n):
    out = b""
    while n > 0x7f:
        out += bytes([n & 0x7f | 0x80])
        n >>= 7
    return out + bytes([n])


def message(*fields):
    """Pairs (number, value): int, str, bytes (a message), or a dict as map<string, string>."""
    out = b""
    for number, value in fields:
        if isinstance(value, dict):
            out += message(*((number, message((1, k), (2, v))) for k, v in value.items()))
        elif isinstance(value, int):
            out += varint(number << 3 | VARINT) + varint(value)
        else:
            data = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | BYTES) + varint(len(data)) + data
    return out


def fields(data):
    """The last value of each field: int or bytes."""
    at, found = 0, {}

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = number()
        if key & 7 == VARINT:
            found[key >> 3] = number()
        elif key & 7 == BYTES:
            size = number()
            found[key >> 3] = data[at:at + size]
            at += size
        else:
            raise ValueError("wire type %d" % (key & 7))
    return found


NODE = 2  # NamespaceMode: the host's network, for which no plugin is needed
UNCONFINED, LOCALHOST, DEFAULT = 1, 2, 0
EXITED = 2

parser = argparse.ArgumentParser()
parser.add_argument("socket")
parser.add_argument("handler")
parser.add_argument("image")
parser.add_argument("logs")
parser.add_argument("--profile")
parser.add_argument("--annotation", action="append", default=[])
parser.add_argument("command", nargs=argparse.REMAINDER)
o = parser.parse_args()
os.makedirs(o.logs, exist_ok=True)
channel = grpc.insecure_channel("unix:" + o.socket)


def call(method, *fields_of_request):
    ask = channel.unary_unary("/runtime.v1.RuntimeService/" + method)
    return fields(ask(message(*fields_of_request), timeout=60))


namespaces = message((1, NODE))
annotations = dict(a.split("=", 1) for a in o.annotation)
name = "pod-%d" % os.getpid()
pod = message(
    (1, message((1, name), (2, name), (3, "tests"))),
    (3, o.logs),
    (7, annotations),
    (8, message((2, message((1, namespaces))))))
profile = {None: message((1, UNCONFINED)), "default": message((1, DEFAULT))}.get(
    o.profile, message((1, LOCALHOST), (2, o.profile or "")))
container = message(
    (1, message((1, "c"))),
    (2, message((1, o.image))),
    *((3, word) for word in o.command),
    (10, annotations),
    (11, name),
    (15, message((2, message((3, namespaces), (11, 1), (15, profile))))))

sandbox = None
try:
    sandbox = call("RunPodSandbox", (1, pod), (2, o.handler))[1]
    one = call("CreateContainer", (1, sandbox), (2, container), (3, pod))[1]
    call("StartContainer", (1, one))
    until = time.monotonic() + 60
    while True:
        status = fields(call("ContainerStatus", (1, one))[1])
        if status.get(3, 0) == EXITED:
            break
        if time.monotonic() > until:
            sys.exit("the container does not end")
        time.sleep(0.1)
    code = status.get(7, 0)
    with open(o.logs + "/" + name) as log:
        for line in log:
            _, stream, _, text = line.split(" ", 3)  # time, stream, whole or part, text
            print(text, end="", file=sys.stdout if stream == "stdout" else sys.stderr)
except grpc.RpcError as e:
    print(e.details(), file=sys.stderr)
    code = 125
finally:
    if sandbox:
        call("StopPodSandbox", (1, sandbox))
        call("RemovePodSandbox", (1, sandbox))
sys.exit(code)
