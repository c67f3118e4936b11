#!/usr/bin/env python3
"""Single promises of journal and rollback, each in a real sandbox. TAP."""
import hashlib
import json
import os
import subprocess
import sys

from common import Box, check, eventually, finish, users

PY = ("/usr/bin/python3", "-Ic")


def write(path, data):
    with open(path, "wb") as out:
        out.write(data)


def notices(box):
    with open(os.path.join(box.session(), "events.jsonl"), encoding="utf-8", errors="replace") as log:
        return [e["text"] for e in map(json.loads, log) if e.get("kind") == "notice"]


def case(name, populate=None, only_root=False, base=None):
    """Runs the decorated function for each user, with a box of its own."""
    def decorate(body):
        for uid in users():
            if only_root and (uid or os.getuid()):
                continue
            box = Box(uid, populate, base)
            try:
                body(box, f"{name} (uid {uid or os.getuid()})")
            finally:
                box.finish()
        return body
    return decorate


def many(work):
    for i in range(2000):
        write(os.path.join(work, f"file{i}"), b"%d" % i)


@case("a delete loop of 2000 files is undone whole", many)
def delete_loop(box, name):
    r = box.run(*PY, "import os\nfor i in range(2000): os.unlink(f'file{i}')")
    gone = box.show()["undoable"]
    code, _, said = box.rollback(2000)
    lines = box.merged().splitlines()
    check(r.returncode == 0 and gone == 2000 and code == 0 and
          sum(" n1 " in x and "/file" in x for x in lines) == 2000, name, f"{r.stderr.decode()} {gone} {code} {said[:500]}")


@case("a file that is held open is restored in place, and its mapping shows it")
def held(box, name):
    box.start(*PY, """
import mmap, os, sys
open("f", "wb").write(b"first" + b"." * 5000)
fd = os.open("f", os.O_RDWR)
view = mmap.mmap(fd, 0)
open("f", "r+b").write(b"later")
print(view[:5].decode(), os.pread(fd, 5, 0).decode(), flush=True)
sys.stdin.readline()
print(view[:5].decode(), os.pread(fd, 5, 0).decode(), os.fstat(fd).st_ino == os.stat("f").st_ino, flush=True)
""")
    before = box.child.stdout.readline()
    code, _, said = box.rollback(1)
    box.child.stdin.write("\n")
    box.child.stdin.flush()
    after = box.child.stdout.readline()
    box.end()
    check(before == "later later\n" and code == 0 and after == "first first True\n", name, f"{before}{after}{code} {said}")


@case("a running program is replaced, not written to")
def running(box, name):
    s = f"./s{os.getpid()}"
    box.start("/bin/sh", "-c", f"cp /bin/sleep {s}; cp /bin/cat s2; cat s2 > {s}; cp s2 {s}; echo ready; exec {s}")
    box.child.stdout.readline()

    def runs():  # it is cat now, and waits for its input
        return subprocess.run(["pgrep", "-f", "-x", s], capture_output=True, check=False).returncode == 0
    eventually(runs)
    code, _, said = box.rollback(1)
    box.child.stdin.write("still here\n")
    box.child.stdin.close()
    out = box.child.stdout.read()
    box.child.wait(timeout=300)
    check(code == 0 and out == "still here\n", name, f"{code} {out} {said}")


@case("an action that failed is no change to undo")
def failed(box, name):
    box.run(*PY, """
import os
os.mkdir("d"); open("d/f", "w")
for call in (lambda: os.rmdir("d"), lambda: os.mkdir("d"), lambda: os.unlink("none"), lambda: os.rename("d", "d/f")):
    try: call()
    except OSError: pass
""")
    check(box.show()["undoable"] == 2, name, box.show()["undoable"])


@case("what was changed behind the session's back is listed and left")
def drift(box, name):
    box.run(*PY, "open('f','w').write('x'); open('g','w').write('y')")
    upper = subprocess.run(["find", box.session() + "/layers", "-name", "g", "-path", "*upper*"],
                           capture_output=True, check=True).stdout.decode().strip()
    os.unlink(upper)
    code, found, said = box.rollback(2)
    outcomes = [s["outcome"] for s in found.get("steps", [])]
    check(code == 122 and outcomes == ["drifted", "undone"], name, f"{code} {outcomes} {said}")
    code, found, said = box.rollback(1)
    check(code == 0 and not found["steps"], name + ": and not looked at again", f"{code} {said}")


@case("the host's file changed meanwhile: past undoing, and said so", lambda work: write(work + "/f", b"old"))
def changed(box, name):
    box.run(*PY, "import os; os.unlink('f')")
    write(box.work + "/f", b"other")
    code, found, said = box.rollback(1)
    check(code == 122 and found["steps"][0]["outcome"] == "past" and "changed" in found["steps"][0]["why"], name, said)


@case("a pre-image larger than the budget: the action goes on, a notice says that it is past undoing")
def budget(box, name):
    policy = box.base + "/small.json"
    with open(policy, "w", encoding="ascii") as out:
        out.write('{"name":"small","extends":["dev"],"journal_bytes":16777216}')
    os.chmod(policy, 0o644)
    box.run(*PY, "open('f','wb').write(b'x' * 20000000); open('f','wb').write(b'y')", flags=("-p", policy))
    code, found, said = box.rollback(1)
    check(any("past undoing: truncate of" in n for n in notices(box)) and code == 122 and
          found["steps"][0]["outcome"] == "past", name, f"{notices(box)} {code} {said}")


@case("the oldest changes go when the budget is used up, and a notice says so")
def evicted(box, name):
    policy = box.base + "/small.json"
    with open(policy, "w", encoding="ascii") as out:
        out.write('{"name":"small","extends":["dev"],"journal_bytes":8388608}')
    os.chmod(policy, 0o644)
    box.run(*PY, "for i in range(200): open('f','wb').write(b'%d' % i + b'x' * 60000)", flags=("-p", policy))
    left = box.show()["undoable"]
    code, _, said = box.rollback(left)
    check(any("past undoing: the journal" in n for n in notices(box)) and 50 < left < 200 and
          code == 0, name, f"{notices(box)} {left} {code} {said}")


@case("an unchanged large file is kept once", lambda work: write(work + "/seed", b"x"))
def shared(box, name):
    r = box.run(*PY, """
import os, time
open('f','wb').write(b'x' * 5000000)
time.sleep(0.1)
for i in range(20): os.close(os.open('f', os.O_RDWR))
with open('f', 'r+b') as f: f.write(b'changed')
time.sleep(0.1)
for i in range(20): os.close(os.open('f', os.O_RDWR))
""")
    files = [n for n in os.listdir(box.session() + "/journal") if n.endswith(".old")]
    code, _, said = box.rollback(20)
    box.rollback(21)
    got = [x for x in box.merged().splitlines() if x.startswith("./f ")]
    check(r.returncode == 0 and len(files) <= 3 and code == 0 and " s5000000 " in got[0], name, f"{files} {code} {said} {got}")


@case("a large file below is copied by the overlay alone",
      lambda work: subprocess.run(["fallocate", "-l", "256M", work + "/huge"], check=True))
def once(box, name):
    box.run(*PY, "f = open('huge','r+b'); f.write(b'x')")
    kept = sum(os.stat(os.path.join(box.session(), "journal", n)).st_size for n in os.listdir(box.session() + "/journal"))
    check(kept < 16 << 20, name, kept)


@case("an append to a large file that shortens it is past undoing; one that clears O_APPEND is undone by length")
def shortened(box, name):
    box.run(*PY, """
import fcntl, os
for f in "fg": open(f, "wb").write(b"x" * 300000)
os.ftruncate(os.open("f", os.O_WRONLY | os.O_APPEND), 1000)
fd = os.open("g", os.O_WRONLY | os.O_APPEND); fcntl.fcntl(fd, fcntl.F_SETFL, 0)
os.pwrite(fd, b"over", 0); os.pwrite(fd, b"longer", 300000)
""")
    code, found, said = box.rollback(2)
    outcomes = [s["outcome"] for s in found["steps"]]
    got = [x for x in box.merged().splitlines() if x.startswith("./g ")]
    check(code == 122 and outcomes == ["undone", "past"] and " s300000 " in got[0], name, f"{code} {outcomes} {said} {got}")


@case("what a descriptor opened for writing does belongs to its open", lambda work: write(work + "/src", b"s" * 9000))
def by_writer(box, name):
    r = box.run(*PY, """
import ctypes, hashlib, mmap, os
libc = ctypes.CDLL(None, use_errno=True)
ways = {
    "truncated": lambda fd: os.ftruncate(fd, 10),
    "punched": lambda fd: libc.fallocate(fd, 3, ctypes.c_long(4096), ctypes.c_long(8192)),
    "zeroed": lambda fd: libc.fallocate(fd, 16, ctypes.c_long(0), ctypes.c_long(70000)),
    "copied": lambda fd: os.copy_file_range(os.open("src", os.O_RDONLY), fd, 9000, 0, 5),
    "sent": lambda fd: os.sendfile(fd, os.open("src", os.O_RDONLY), 0, 9000),
    "spliced": lambda fd: (lambda p: (os.write(p[1], b"through a pipe"), os.splice(p[0], fd, 14)))(os.pipe()),
    "mapped": lambda fd: mmap.mmap(fd, 0).__setitem__(slice(0, 3), b"map"),
    "written": lambda fd: os.pwritev(fd, [b"v" * 5000], 66000),
}
with open("trial", "wb") as f:
    if libc.fallocate(f.fileno(), 16, ctypes.c_long(0), ctypes.c_long(1)) < 0 and ctypes.get_errno() == 95:
        del ways["zeroed"] # a tmpfs does not know it
for small in (0, 1):
    for way in ways:
        first = os.urandom(9999 if small else 99999)
        with open(f"{way}{small}", "wb") as f: f.write(first)
        print(f"{way}{small}", hashlib.sha256(first).hexdigest())
for small in (0, 1):
    for way, change in ways.items():
        fd = os.open(f"{way}{small}", os.O_RDWR)
        before = os.pread(fd, 100000, 0)
        change(fd)
        assert os.pread(fd, 100000, 0) != before, way
""")
    changed = r.stdout.count(b"\n")
    code, _, said = box.rollback(changed)
    wrong = []
    for way, first in (x.split() for x in r.stdout.decode().splitlines()):
        found = subprocess.run(["find", box.session() + "/layers", "-path", f"*upper*/{way}"],
                               capture_output=True, check=True).stdout.decode().strip()
        with open(found, "rb") as f:
            if hashlib.sha256(f.read()).hexdigest() != first:
                wrong.append(way)
    check(r.returncode == 0 and changed in (14, 16) and code == 0 and not wrong, name,
          f"{r.stderr.decode()} {code} {said} {wrong}")


@case("an append to a large file is kept by its length")
def appended(box, name):
    box.run(*PY, "open('f','wb').write(b'x' * 3000000); open('f','ab').write(b'more')")
    files = [n for n in os.listdir(box.session() + "/journal") if n.endswith(".old")]
    code, _, said = box.rollback(1)
    got = [x for x in box.merged().splitlines() if x.startswith("./f ")]
    check(not files and code == 0 and " s3000000 " in got[0], name, f"{files} {code} {said} {got}")


@case("a descriptor that only reads changes mode, owner, times and attributes: undone one by one",
      lambda work: (write(work + "/f", b"old"), os.setxattr(work + "/f", "user.a", b"1")))
def by_reader(box, name):
    r = box.run(*PY, """
import os
fd = os.open("f", os.O_RDONLY)
os.fchmod(fd, 0o751); os.fchown(fd, os.getuid(), os.getgid()); os.utime(fd, ns=(1, 2))
os.setxattr(fd, "user.b", b"2"); os.removexattr(fd, "user.a")
""")
    before = box.show()["undoable"]
    done = [s["outcome"] for s in box.rollback(5)[1].get("steps", [])]
    again = box.call(os.environ["VSANDBOX"], "diff", "--name-status").stdout
    check(r.returncode == 0 and before == 5 and done == ["undone"] * 5 and again == b"", name,
          f"{r.stderr.decode()} {before} {done} {again}")


@case("what has no name any more has no record; what has another one is told to be past undoing")
def unnamed(box, name):
    r = box.run(*PY, """
import os
open("gone", "w"); fd = os.open("gone", os.O_RDONLY); os.unlink("gone"); os.fchmod(fd, 0o600)
os.fchmod(os.pipe()[0], 0o600); os.fchmod(os.memfd_create("m"), 0o600)
open("a", "w"); os.link("a", "b"); fd = os.open("a", os.O_RDONLY); os.unlink("a"); os.fchmod(fd, 0o600)
""")
    told = [n for n in notices(box) if n.startswith("past undoing: chmod of")]
    check(r.returncode == 0 and box.show()["undoable"] == 5 and len(told) == 1 and "/a" in told[0], name,
          f"{r.stderr.decode()} {box.show()['undoable']} {told}")


@case("what only reads is never told to be past undoing", lambda work: os.symlink("f", work + "/link"))
def reads(box, name):
    box.run(*PY, """
import os
open("f", "w")
try: os.unlink("none")
except FileNotFoundError: pass
open("link").read(); os.close(os.open("/proc/self/fd/0", os.O_RDONLY))
""", stdin=subprocess.DEVNULL)
    told = [n for n in notices(box) if n.startswith("past undoing")]
    check(not told, name, told)


@case("mode rollback: refused, undone, ended with 120 where nobody answers",
      lambda work: [write(work + f"/f{i}", b"x") for i in range(100)])
def verdict(box, name):
    r = box.run(*PY, """
import os
for i in range(100):
    try: os.unlink(f"f{i}")
    except OSError: print("refused", flush=True)
""", flags=("--mode", "rollback"), stdin=subprocess.DEVNULL)
    told = [n for n in notices(box) if n.startswith("rolled back: ")]
    undone = json.loads(told[0][len("rolled back: "):])["undone"] if told else 0
    left = sum(x.startswith("./f") for x in box.merged().splitlines())
    removed = box.show()["undoable"]
    check(r.returncode == 120 and undone == 5 and left == 100 - removed and removed < 60, name,
          f"{r.returncode} {r.stderr.decode()} {told} {left} {removed}")


@case("discard removes the journal")
def discarded(box, name):
    box.run(*PY, "open('f','w').write('x')")
    session = box.session()
    r = box.call(os.environ["VSANDBOX"], "discard", "--yes")
    check(r.returncode == 0 and not os.path.exists(session + "/journal"), name, r.stderr.decode())


@case("the journal is out of the agent's sight and reach")
def unseen(box, name):
    r = box.run("/bin/sh", "-c", f"ls -R {box.base}/state; echo x > {box.base}/state/vsandbox/sessions/x")
    check(b"journal" not in r.stdout and r.returncode != 0, name, r.stdout.decode())


@case("no room for the journal: the action fails with ENOSPC, and what was done before is undone", only_root=True)
def no_space(box, name):
    state = box.base + "/state"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=14m,mode=0700", "vsandbox-test", state], check=True)
    try:
        r = box.run(*PY, """
import os
made = 0
try:
    for i in range(400):
        fd = os.open("f", os.O_CREAT | os.O_WRONLY | os.O_TRUNC); os.write(fd, b"x" * 60000); os.close(fd); made += 1
except OSError as e:
    print("errno", e.errno, flush=True)
""")
        left = box.show()["undoable"]
        code, _, said = box.rollback(left)
        check(r.stdout == b"errno 28\n" and left > 60 and code == 0, name, f"{r.stdout} {r.stderr.decode()} {left} {code} {said}")
    finally:
        subprocess.run(["umount", "-l", state], check=False)


@case("other sessions' rollback does not wait for a yes without a terminal")
def asks(box, name):
    box.run(*PY, "open('f','w').write('x')")
    r = box.call(os.environ["VSANDBOX"], "rollback", stdin=subprocess.DEVNULL)
    check(r.returncode == 125 and b"wants a yes" in r.stderr and box.show()["undoable"] == 1, name, r.stderr.decode())


@case("journal: sync undoes the same")
def sync(box, name):
    policy = box.base + "/sync.json"
    with open(policy, "w", encoding="ascii") as out:
        os.chmod(policy, 0o644)
        out.write('{"name":"sync","extends":["dev"],"journal":"sync"}')
    r = box.run(*PY, "for i in range(5): open(f'f{i}','w').write('x')", flags=("-p", policy))
    code, _, said = box.rollback(5)
    check(r.returncode == 0 and code == 0, name, f"{r.stderr.decode()} {code} {said}")


sys.exit(finish())
