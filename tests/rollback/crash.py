#!/usr/bin/env python3
"""kill -9 at every change that the monitor makes, and at every step of a rollback: the journal reads, and
the next rollback ends with the tree as it was. The kills are strace's (SIGKILL at the n-th call of a
set); nothing in the program knows of them. TAP. EVERY=1 tries each point, as two users, K each K-th, as root."""
import json
import os
import signal
import subprocess
import sys
import time

from common import Box, check, differences, eventually, finish, users, vsandbox

every = int(os.environ.get("EVERY", "1"))
# all by which a file system changes; openat2 is how the monitor opens for its callers
CALLS = ("unlinkat,mkdirat,mknodat,symlinkat,linkat,renameat2,renameat,truncate,ftruncate,fchmodat,fchownat,"
         "utimensat,setxattr,removexattr,fsetxattr,fremovexattr,write,copy_file_range,openat,openat2,fallocate")


def populate(work):
    for d in ("d", "d/e", "empty"):
        os.mkdir(os.path.join(work, d))
    for f, size in (("small", 10), ("big", 200000), ("d/inner", 300), ("gone", 100000), ("meta", 5), ("x", 1), ("y", 2)):
        with open(os.path.join(work, f), "wb") as out:
            out.write(b"%d" % size * (size // 2))
    os.symlink("small", os.path.join(work, "link"))


# Each kind of record, on lower and on upper objects; one shell would start programs, python starts none.
AGENT = r"""
import os, sys
sys.stdin.readline()
def put(p, s, f=os.O_CREAT | os.O_WRONLY | os.O_TRUNC):
    fd = os.open(p, f, 0o644); os.write(fd, s); os.close(fd)
put("new", b"n" * 50); put("new2", b"m" * 100000); put("small", b"s"); put("big", b"b" * 70000)
put("big", b"again", os.O_WRONLY); put("new2", b"more", os.O_WRONLY | os.O_APPEND)
os.truncate("new2", 10); os.mkdir("made"); os.mkfifo("made/pipe"); os.symlink("a", "made/s"); os.link("new", "made/l")
os.rename("new", "made/r"); os.rename("small", "new2"); os.rename("d", "moved"); os.rename("x", "y")
os.chmod("meta", 0o600); os.utime("meta", (1, 2)); os.setxattr("meta", "user.a", b"v"); os.removexattr("meta", "user.a")
os.chown("meta", os.getuid(), os.getgid()); os.unlink("made/pipe"); os.unlink("gone"); os.unlink("big"); os.unlink("link")
os.unlink("made/l"); os.rmdir("empty"); put("last", b"z" * 70000); os.unlink("last")
print("done", flush=True)
sys.stdin.readline()
"""


def before(box):
    """The tree that all must come back to, as the merged view of a session without changes shows it."""
    box.run("/bin/true")
    tree = box.merged()
    return tree


def trace(n, *target):
    return ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={CALLS}",
            "-e", f"inject={CALLS}:signal=SIGKILL:when={n}", *target]


def settle(box, total):
    """Rolls back until nothing is left to undo; the outcome of all of it."""
    said = ""
    for _ in range(4):
        left = box.show()["undoable"]
        code, found, text = box.rollback(max(left, 1))
        said += text
        if code != 0:
            return code, said
        if box.show()["undoable"] == 0 and not found["result"]["continued"]:
            return 0, said
    return 1, said + f"still not settled, {total}"


def monitor_killed(uid, n):
    """false: the n-th point was not reached."""
    box = Box(uid, populate)
    try:
        want = before(box)
        box.start("/usr/bin/python3", "-Ic", AGENT)

        def started():  # not the session before, which has ended
            start = box.show().get("start") or {}
            return "agent_process" in start and os.path.exists(f"/proc/{start['monitor']['pid']}")
        eventually(started)
        monitor = box.show()["start"]["monitor"]["pid"]
        tracer = subprocess.Popen(trace(n, "-p", str(monitor)))
        try:  # its own look at the limits may be the call it is killed at
            until = time.monotonic() + 60
            while True:
                with open(f"/proc/{monitor}/status", encoding="ascii") as status:
                    if f"TracerPid:\t{tracer.pid}\n" in status.read():
                        break
                if tracer.poll() not in (None, 0, -9, 137):
                    box.child.kill()
                    return monitor_killed(uid, n)
                if time.monotonic() > until:
                    raise TimeoutError("the monitor is not traced")
                time.sleep(0.01)
            box.child.stdin.write("go\n")
            box.child.stdin.flush()
        except (FileNotFoundError, ProcessLookupError, BrokenPipeError):
            pass
        reached = box.child.stdout.readline() != "done\n"
        if not reached:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(timeout=300)
            box.end()
            return False
        box.child.wait(timeout=300)
        tracer.wait(timeout=300)
        total = box.show()["undoable"]
        code, said = settle(box, total)
        got = box.merged()
        check(code == 0 and got == want, f"monitor killed at change {n}, {total} records",
              f"exit {code}\n{said}\n{differences(want, got)}")
        return True
    finally:
        box.finish()


def rollback_killed(uid, n):
    box = Box(uid, populate)
    try:
        want = before(box)
        box.start("/usr/bin/python3", "-Ic", AGENT)
        box.child.stdin.write("go\n\n")
        box.child.stdin.flush()
        box.child.stdout.readline()
        box.end()
        total = box.show()["undoable"]
        r = box.call(*trace(n, vsandbox, "rollback", "--yes", "--json", "--last", str(total)))
        try:
            reached = json.loads(r.stdout)["result"]["undone"] != total
        except ValueError:
            reached = True
        if not reached:
            return False
        code, said = settle(box, total)
        got = box.merged()
        check(code == 0 and got == want, f"rollback killed at call {n}, {total} records",
              f"exit {code}\n{said}\n{differences(want, got)}")
        return True
    finally:
        box.finish()


if os.getuid() != 0:
    check(True, "kill -9 at each change # SKIP strace may trace the monitor as root only")
else:
    for user in users() if every == 1 else [0]:
        for killed in (monitor_killed, rollback_killed):
            point = 1
            while killed(user, point):
                point += every
            check(point > every, f"uid {user}, {killed.__name__}: {point - 1} points tried, every {every}")
sys.exit(finish())
