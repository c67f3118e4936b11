#!/usr/bin/env python3
"""Random changes made in a session and committed are the same as made plainly; undone, they never were.

    property.py [--rounds N] [--steps N] [--seed N] [--uid N]
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile

from tree import PYTHON, Tap, become, differences, populate, snapshot, vsandbox

HERE = os.path.dirname(os.path.abspath(__file__))


def one_round(base, seed, steps, flags):
    work, copy = os.path.join(base, "work"), os.path.join(base, "copy")
    for path in (work, copy):
        shutil.rmtree(path, ignore_errors=True)
    populate(work, seed)
    subprocess.run(["cp", "-a", work, copy], check=True)
    before = snapshot(work)
    mutate = [PYTHON, "-B", os.path.join(HERE, "tree.py"), str(seed), str(steps)]
    subprocess.run(mutate, cwd=copy, check=True)
    policy = os.path.join(base, "open.json")
    vsandbox("run", "-q", "-p", policy, *flags, "--", *mutate, cwd=work)
    problems = [f"run touched the host: {d}" for d in differences(snapshot(work), before)]
    # some new names are on the list of what hosts execute, and links lead out: not what is asked here
    vsandbox("commit", "--yes", "--yes-executable", cwd=work)
    problems += [f"commit: {d}" for d in differences(snapshot(work), snapshot(copy))]
    left = vsandbox("diff", "--name-status", cwd=work).stdout
    if left:
        problems.append(f"left in the session: {left}")
    vsandbox("undo", "--yes", cwd=work)
    problems += [f"undo: {d}" for d in differences(snapshot(work), before)]
    return problems


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--uid", type=int)
    args = parser.parse_args()
    if args.uid:
        become(args.uid)
    base = tempfile.mkdtemp(prefix="vsandbox-property-")
    os.environ["XDG_STATE_HOME"] = os.path.join(base, "state")
    os.environ["HOME"] = base
    os.mkdir(os.environ["XDG_STATE_HOME"], 0o700)
    with open(os.path.join(base, "open.json"), "w", encoding="ascii") as f:
        f.write('{"name": "open", "description": "everything", "max_actions_per_minute": 1000000}')
    tap = Tap()
    try:
        for seed in range(args.seed, args.seed + args.rounds):
            tap.ok(not (p := one_round(base, seed, args.steps, ())),
                   f"seed {seed}: {args.steps} changes committed as if made plainly, and undone", p)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    return tap.done()


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
