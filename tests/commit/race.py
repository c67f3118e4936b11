#!/usr/bin/env python3
"""A process of the host swaps a directory for a link that leads elsewhere while commit and undo write there.

    race.py [--flips N]

Nothing elsewhere may change, whatever becomes of the commit; and when it is over, undo brings the tree back.
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time

from tree import Tap, differences, snapshot, vsandbox

FLIP = os.path.join(os.path.abspath(os.environ.get("COMMIT_BIN", "build/release/tests/commit")), "flip")
DIRS = 60
SESSION = f"""
cd top/dir
for i in $(seq {DIRS}); do (cd s$i; echo new >f; echo made >n; rm g; mkdir made; echo x >made/x); done
mkdir -p sub; echo deep >sub/file; chmod 711 sub
"""


def populate(root, text):
    for i in range(1, DIRS + 1):
        os.makedirs(os.path.join(root, f"s{i}"))
        for name in ("f", "g"):
            with open(os.path.join(root, f"s{i}", name), "w") as f:
                f.write(text)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--flips", type=int, default=10000)
    parser.add_argument("--seconds", type=int, default=300)
    args = parser.parse_args()
    base = tempfile.mkdtemp(prefix="vsandbox-race-", dir="/var/tmp")
    os.environ["XDG_STATE_HOME"] = os.path.join(base, "state")
    os.mkdir(os.environ["XDG_STATE_HOME"], 0o700)
    work, elsewhere = os.path.join(base, "work"), os.path.join(base, "elsewhere")
    policy = os.path.join(base, "open.json")
    with open(policy, "w") as f:
        f.write('{"name": "open", "description": "everything", "max_actions_per_minute": 1000000}')
    tap, flips, began, taken_back = Tap(), 0, 0, 0
    problems = []
    until = time.monotonic() + args.seconds
    try:
        populate(elsewhere, "elsewhere")
        populate(os.path.join(work, "top/dir"), "old")
        os.symlink(elsewhere, os.path.join(work, "top/link"))
        outside = snapshot(elsewhere)
        before = snapshot(work)
        # some commits must have been met in their middle, or nothing was shown
        while (flips < args.flips or taken_back < 3) and time.monotonic() < until and not problems:
            vsandbox("run", "-q", "-p", policy, "--", "sh", "-c", SESSION, cwd=work)
            flipper = subprocess.Popen([FLIP, "top/dir", "top/link"], cwd=work, stdout=subprocess.PIPE,
                                       text=True)
            flipper.stdout.readline()
            for _ in range(25):
                r = vsandbox("commit", "--yes", "--yes-executable", cwd=work, check=False)
                stopped = "meanwhile" in r.stderr or "vsandbox: commit: cannot" in r.stderr
                taken_back += stopped
                began += stopped or r.returncode == 0
                if r.returncode == 0 or "vsandbox undo" in r.stderr:
                    break
            flipper.terminate()
            flips += int(flipper.stdout.read())
            flipper.wait()
            problems += [f"elsewhere: {d}" for d in differences(snapshot(elsewhere), outside)]
            # with the directory at rest, whatever is unfinished can be taken back
            if vsandbox("undo", "--yes", cwd=work, check=False).returncode == 122:
                problems.append("drift that nobody made")
            problems += [f"not brought back: {d}" for d in differences(snapshot(work), before,
                                                                       ("top",))]
            vsandbox("discard", "--yes", cwd=work, check=False)
        tap.ok(flips >= args.flips and taken_back >= 3 and not problems,
               f"{flips} swaps, {began} commits among them, {taken_back} of which were stopped in their middle: "
               "nothing elsewhere is touched, all comes back", problems or [f"{flips} flips in time"])
    finally:
        shutil.rmtree(base, ignore_errors=True)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
