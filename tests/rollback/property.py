#!/usr/bin/env python3
"""Random changes inside a real sandbox; after `rollback --last k` the tree is what it was before
those k changes. TAP. Wants VSANDBOX and ROLLBACK_BIN; SEEDS and STEPS say how long."""
import os
import random
import sys

from common import Box, check, differences, finish, users

seeds = int(os.environ.get("SEEDS", "6"))
first = int(os.environ.get("SEED", "1"))
steps = int(os.environ.get("STEPS", "150"))


def populate(work, r):
    for d in ("d0", "d0/e0", "d1", "d1/e0", "d2"):
        os.mkdir(os.path.join(work, d), 0o755)
    for d in ("", "d0/", "d0/e0/", "d1/", "d2/"):
        for f in ("f0", "f1", "f2", "g0"):
            path = os.path.join(work, d + f)
            kind = r.randrange(8)
            if kind == 0:
                os.symlink("f%d" % r.randrange(5), path)
            elif kind == 1:
                continue
            else:
                with open(path, "wb") as out:
                    out.write(r.randbytes(r.choice([0, 10, 3000, 65536, 65537, 200000])))
                    if kind == 2:
                        out.truncate(2000000)
                if kind == 3:
                    os.setxattr(path, "user.a", b"from below")
                os.chmod(path, r.choice([0o644, 0o600, 0o755]))



def back(trees, total, want):
    """The tree before the last `want` of `total` actions, and how many that really are."""
    at = total - want
    for actions, _, tree in trees:
        if actions == at:
            found = tree  # the last that says so: a call that failed changes nothing
    return found


def calls_since(trees, at):
    return "\n".join(c for a, c, _ in trees if a >= at and not c.endswith("-1"))


def one(uid, seed, live):
    who = f"uid {uid}, seed {seed}, {'live' if live else 'ended'}"
    box = Box(uid, lambda work: populate(work, random.Random(seed)))
    r = random.Random(seed * 7 + 1)
    try:
        box.mutate(seed)
        trees = box.ask(f"run {steps}")
        total = trees[-1][0]
        if not live:
            box.end()
        while total > 0:
            k = min(total, r.choice([1, 1, 2, 3, 5, 10, 30, 60]))
            code, _, said = box.rollback(k)
            got = box.ask("tree")[-1][2] if live else box.merged()
            want = back(trees, total, k)
            good = code == 0 and got == want
            check(good, f"{who}: last {k} of {total}",
                  "" if good else f"exit {code}\n{said}\n{differences(want, got)}\ncalls:\n{calls_since(trees, total - k)}")
            if not good:
                break
            total -= k
            if live and r.randrange(4) == 0:
                offset = box.ask("tree")[-1][0] - total
                kept = [t for t in trees if t[0] <= total]
                more = box.ask("run 20")
                trees = [t for t in kept if t[0] < total] + [(a - offset, c, t) for a, c, t in more]
                total = trees[-1][0]
        if live:
            box.end()
    finally:
        box.finish()


for user in users():
    for number in range(first, first + seeds):
        one(user, number, live=number % 2 == 0)
sys.exit(finish())
