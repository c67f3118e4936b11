#!/usr/bin/env python3
"""Changes a tree at random, once told to:  changes.py SEED DIR   (makes the tree, says ready, reads a line)
Or tells what differs, as letters and paths:  changes.py compare BEFORE AFTER"""
import os
import random
import stat
import sys


def names(top):
    """Every path below, relative, with its lstat."""
    found = {}
    for where, dirs, files in os.walk(top):
        for name in dirs + files:
            path = os.path.join(where, name)
            found[os.path.relpath(path, top)] = os.lstat(path)
    return found


def content(top, path, st):
    if stat.S_ISREG(st.st_mode):
        with open(os.path.join(top, path), "rb") as f:
            return f.read()
    return os.readlink(os.path.join(top, path)) if stat.S_ISLNK(st.st_mode) else None


def differs(before, after, path, a, b):
    meta = (a.st_mode, a.st_uid, a.st_gid) != (b.st_mode, b.st_uid, b.st_gid)
    times = not stat.S_ISDIR(a.st_mode) and a.st_mtime_ns != b.st_mtime_ns
    return meta or times or content(before, path, a) != content(after, path, b)


def compare(before, after):
    a, b = names(before), names(after)
    for path in a.keys() | b.keys():
        if path not in b:
            print(f"D\t{path}")
        elif path not in a:
            print(f"A\t{path}")
        elif differs(before, after, path, a[path], b[path]):
            print(f"M\t{path}")


def text(rng):
    return "".join(f"line {rng.randrange(1000)}\n" for _ in range(rng.randrange(1, 60)))


def write(path, mode, body):
    with open(path, mode, encoding="ascii") as f:
        f.write(body)


def make(rng, top):
    for d in range(4):
        os.mkdir(f"{top}/d{d}")
        for f in range(6):
            write(f"{top}/d{d}/f{f}", "w", text(rng))
    write(f"{top}/large", "w", "large\n" * 40000)
    os.symlink("d0/f0", f"{top}/link")


def step(rng, top, serial):
    found = names(top)
    files = [p for p, st in found.items() if stat.S_ISREG(st.st_mode)]
    dirs = ["."] + [p for p, st in found.items() if stat.S_ISDIR(st.st_mode)]
    at = [os.path.join(top, rng.choice(files)), os.path.join(top, rng.choice(files))] if files else []
    new = os.path.join(top, rng.choice(dirs), f"n{serial}")
    kind = rng.randrange(11)
    if kind == 0 or not at:
        write(new, "w", text(rng))
    elif kind == 1:
        write(at[0], "w", text(rng))
    elif kind == 2:
        write(at[0], "a", text(rng))
    elif kind == 3:
        write(at[0], "r+", "changed\n")
    elif kind == 4:
        os.unlink(at[0])
    elif kind == 5:
        os.rename(at[0], at[1])
    elif kind == 6:
        os.rename(at[0], new)
    elif kind == 7:
        os.mkdir(new)
    elif kind == 8:
        os.chmod(at[0], rng.choice([0o600, 0o640, 0o644, 0o755]))
    elif kind == 9:
        os.truncate(at[0], min(os.path.getsize(at[0]), rng.randrange(40)))  # grown it were no text
    else:
        link = os.path.join(top, "link")
        if os.path.lexists(link):
            os.unlink(link)
        os.symlink(f"to {serial}", link)


def main():
    if sys.argv[1] == "compare":
        compare(sys.argv[2], sys.argv[3])
        return
    rng, top = random.Random(int(sys.argv[1])), sys.argv[2]
    make(rng, top)
    print("ready", flush=True)
    sys.stdin.readline()
    for serial in range(120):
        step(rng, top, serial)


main()
