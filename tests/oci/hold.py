#!/usr/bin/env python3
"""Connects as often as it is let (PART is what is expected), says nothing, and stays: hold.py SOCKET PART prints "holds N"."""
import select
import socket
import sys
import time

kept = []
for _ in range(400):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    kept.append(s)
# one that is refused is closed by the agent; a word is not what it sends
refused = set()
until = time.monotonic() + 30
while len(refused) < 400 - int(sys.argv[2]) and time.monotonic() < until:
    refused |= set(select.select([s for s in kept if s not in refused], [], [], 1)[0])
print("holds", len(kept) - len(refused), flush=True)
time.sleep(100)
