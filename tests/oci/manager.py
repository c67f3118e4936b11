#!/usr/bin/env python3
"""A service manager as far as the agent needs one: passes its socket, keeps its descriptors.

manager.py LISTEN_SOCKET COMMAND...   SIGUSR1: kill the command with SIGKILL and start it anew.
"started N" goes to stdout each time the command says READY=1; N descriptors were passed back.
"""
import array
import os
import signal
import socket
import sys
import tempfile

path, command = sys.argv[1], sys.argv[2:]
listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listening.bind(path)
os.chmod(path, 0o600)
listening.listen(128)
folder = tempfile.mkdtemp()
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(folder + "/notify")
kept = []  # (name, fd)
child = None
again = False


def start():
    passed = [("seccomp.sock", listening.fileno())] + kept
    high = [os.dup(fd) for _, fd in passed]  # out of the way of 3, 4, ...
    base = 3 + len(high)
    moved = []
    for fd in high:
        while fd < base:
            fd = os.dup(fd)
        moved.append(fd)
    env = dict(os.environ, NOTIFY_SOCKET=folder + "/notify", LISTEN_FDS=str(len(passed)),
               LISTEN_FDNAMES=":".join(name for name, _ in passed))

    def place():
        for i, fd in enumerate(moved):
            os.dup2(fd, 3 + i)
        os.environ.update(env, LISTEN_PID=str(os.getpid()))
        os.closerange(3 + len(moved), 1024)
        os.execvpe(command[0], command, os.environ)

    pid = os.fork()
    if pid == 0:
        place()
    for fd in set(moved) | set(high):
        try:
            os.close(fd)
        except OSError:
            pass
    return pid, len(kept)


def on_usr1(*_):
    global again
    again = True


def on_term(*_):
    os.kill(child, signal.SIGTERM)
    os.waitpid(child, 0)
    sys.exit(0)


signal.signal(signal.SIGUSR1, on_usr1)
signal.signal(signal.SIGTERM, on_term)
child, count = start()
notify.settimeout(0.1)
while True:
    if again:
        again = False
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        child, count = start()
    try:
        text, ancillary, _, _ = notify.recvmsg(4096, socket.CMSG_SPACE(16 * 4))
    except socket.timeout:
        continue
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[:len(data) - len(data) % fds.itemsize])
    lines = dict(line.split("=", 1) for line in text.decode().splitlines() if "=" in line)
    name = lines.get("FDNAME", "stored")
    if lines.get("FDSTORE") == "1":
        kept += [(name, fd) for fd in fds]
    elif lines.get("FDSTOREREMOVE") == "1":
        for n, fd in kept:
            if n == name:
                os.close(fd)
        kept = [k for k in kept if k[0] != name]
    if lines.get("READY") == "1":
        print("started", count, flush=True)
