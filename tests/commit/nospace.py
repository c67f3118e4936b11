#!/usr/bin/env python3
"""A commit on a full filesystem, with a little more space at each try: nothing, or all of it.

    nospace.py [--uid N] [--state DIR]      in $TMPFS, a small one (on_tmpfs.sh)

Each try that fails leaves the host exactly as it was, and the one that has the space is complete. Once of a session that has
ended, once of one that runs; the state elsewhere, and on the full filesystem too.
"""
import argparse
import errno
import os
import subprocess
import sys

from crash import Place
from live import Obeying, left
from tree import VSANDBOX, Tap, become, differences, snapshot, vsandbox

PAGE = 4096
COMMIT = ("commit", "--yes", "--yes-executable")

# Nothing fits into what it replaces, and the deletions come last
SESSION = """
set -e
for n in 1 2 3; do head -c 30000 /dev/urandom >>changed; head -c 20000 /dev/urandom >new$n; done
rm gone; rm -r tree; mkdir -p fresh/deep; head -c 9000 /dev/urandom >fresh/deep/file; ln new1 link
rm was-file; mkdir was-file; echo y >was-file/in; chmod 700 mode; ln -sf elsewhere pointer
"""


def free(path):
    st = os.statvfs(path)
    return st.f_bavail * st.f_frsize


class Filler:
    """What takes the space."""

    def __init__(self, top):
        self.fd = os.open(os.path.join(top, f"filler-{os.geteuid()}"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.top = top

    def leave(self, space):
        """As good as @space bytes are free: a tmpfs counts a few pages more for its own use."""
        has = os.fstat(self.fd).st_size
        size = has + free(self.top) - space
        if size <= has:
            os.ftruncate(self.fd, max(size, 0))
        while size > has:
            try:
                os.posix_fallocate(self.fd, has, size - has)
                break
            except OSError as e:
                # all of it is given back then; what runs beside may have taken a page since it was asked what is free
                if e.errno != errno.ENOSPC:
                    raise
                size -= PAGE

    def close(self):
        os.ftruncate(self.fd, 0)
        os.close(self.fd)


class Small(Place):
    def __init__(self, work, state):
        super().__init__(work, state)
        self.inside = None
        with open(os.path.join(self.base, "session.sh"), "w", encoding="ascii") as f:
            f.write(SESSION)

    def begin(self, runs):
        self.clear()
        self.before = self.look()
        self.inside = Obeying((VSANDBOX, "run", "-q", "-p", self.policy, "--"), self.work)
        self.inside.tell("sh sh ../session.sh")
        if not runs:
            self.end()

    def end(self):
        if self.inside:
            self.inside.end()
        self.inside = None

    def finish(self):
        self.end()
        super().finish()


def settled(place, error):
    """One that could not take all back says what to do."""
    for verb in (("undo", "--yes"), ("commit", "--resume")):
        if f"vsandbox {verb[0]}" in error and "interrupted" in error:
            vsandbox(*verb, cwd=place.work, check=False)


def starve(place, tap, what, runs):
    place.begin(runs)
    filler, problems, failures = Filler(os.environ["TMPFS"]), [], 0
    try:
        for space in range(0, 512 * PAGE, 2 * PAGE):
            filler.leave(space)
            r = vsandbox(*COMMIT, cwd=place.work, check=False)
            if r.returncode == 0:
                break
            failures += 1
            note = f"{space} bytes free: "
            if "No space left" not in r.stderr:
                problems.append(note + r.stderr)
            problems += [note + p for p in differences(place.look(), place.before)]
            settled(place, r.stderr)
        else:
            problems.append("never complete")
    finally:
        filler.close()
    with open(os.path.join(place.work, "new3"), "rb") as f:
        problems += [] if len(f.read()) == 20000 else ["new3 is not whole"]
    committed = place.look()
    problems += [f"left in the session: {line}" for line in left(place.work).splitlines()]
    problems += [f"a name of ours: {p}" for p in committed if ".vsandbox-" in p]
    place.end()
    vsandbox("undo", "--yes", cwd=place.work)
    problems += [f"undo: {p}" for p in differences(place.look(), place.before)]
    tap.ok(failures and not problems, f"{what}: nothing at each of {failures} tries without space, then all", problems)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--uid", type=int)
    parser.add_argument("--state", default="/var/tmp")
    args = parser.parse_args()
    if args.uid:
        become(args.uid)
    os.umask(0o022)
    tap = Tap()
    top = os.environ["TMPFS"]
    for state, where in ((args.state, "state elsewhere"), (top, "state there too")):
        for runs, session in ((False, "an ended session"), (True, "a running session")):
            place = Small(top, state)
            try:
                starve(place, tap, f"{session} committed on a full filesystem, {where}", runs)
            finally:
                place.finish()
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
