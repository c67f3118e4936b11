#!/usr/bin/env python3
"""commit and undo, killed before every system call that changes anything; then resumed, or taken back.

    crash.py [--uid N] [--work DIR] [--state DIR] [--every K] [--first N] [commit|undo]...

After each kill no path of the host holds anything but its old or its new content. `commit --resume` ends in the
committed tree and `undo` in the old one; `undo` killed and called again likewise. --every K takes one call in K, from the N-th on.
"""
import argparse
import os
import shutil
import stat
import subprocess
import sys
import tempfile

from tree import Tap, become, differences, snapshot, vsandbox

KILLAT = os.path.join(os.path.abspath(os.environ.get("COMMIT_BIN", "build/release/tests/commit")), "killat")

# one of every kind of step
SESSION = """
set -e
rm gone                          # a deletion
rm -r tree                       # and of a directory
echo new >>changed               # a file replaced
mv moved renamed
mkdir -p fresh/deep; echo x >fresh/deep/file
rm was-file; mkdir was-file; echo y >was-file/in
rm -r was-dir; echo z >was-dir
ln made-link link-two 2>/dev/null || { echo l >made-link; ln made-link link-two; }
ln -sf elsewhere pointer
mkfifo pipe
chmod 700 mode; chmod 500 fresh/deep
rm opaque/a; rmdir opaque; mkdir opaque; echo o >opaque/b
for f in *; do [ -p "$f" ] || touch -h -d '2001-02-03 04:05:06.789' "$f"; done
"""
# those have another type afterwards: for a moment there is neither
RETYPED = ("was-file", "was-dir")


def populate(root):
    os.makedirs(root)
    for name in ("gone", "changed", "moved", "was-file", "kept"):
        with open(os.path.join(root, name), "w") as f:
            f.write(name * 100)
    for name in ("tree/sub", "was-dir", "mode", "opaque"):
        os.makedirs(os.path.join(root, name))
    for name in ("tree/sub/leaf", "was-dir/inside", "mode/file", "opaque/a"):
        with open(os.path.join(root, name), "w") as f:
            f.write(name)
    os.symlink("nowhere", os.path.join(root, "pointer"))
    os.setxattr(os.path.join(root, "mode"), "user.note", b"old")


def content(entry):
    """What must never be half: type, bytes, target."""
    if entry is None:
        return None
    if entry[0] == stat.S_IFREG:
        return entry[0], entry[5], entry[6]
    if entry[0] == stat.S_IFLNK:
        return entry[0], entry[5]
    return (entry[0],)


def torn(now, before, after):
    problems = []
    for path in set(now) | set(before) | set(after):
        if os.path.basename(path).startswith(".vsandbox-") or "/.vsandbox-" in path:
            continue
        got = content(now.get(path))
        allowed = [content(before.get(path)), content(after.get(path))]
        if path.split("/")[0] in RETYPED:
            allowed.append(None)
        if got not in allowed:
            problems.append(f"{path}: {got} is neither {allowed[0]} nor {allowed[1]}")
    return problems


class Place:
    """A workspace and a state directory that are made anew for each kill."""

    def __init__(self, work, state):
        self.base = tempfile.mkdtemp(prefix="vsandbox-crash-", dir=work)
        self.state = tempfile.mkdtemp(prefix="vsandbox-crash-", dir=state)
        self.work = os.path.join(self.base, "work")
        os.environ["XDG_STATE_HOME"] = self.state
        os.environ["HOME"] = self.base
        self.policy = os.path.join(self.base, "open.json")
        with open(self.policy, "w") as f:
            f.write('{"name": "open", "description": "everything", "max_actions_per_minute": 1000000}')

    def finish(self):
        for path in (self.base, self.state):
            subprocess.run(["chmod", "-R", "u+rwx", path], check=False, stderr=subprocess.DEVNULL)
            shutil.rmtree(path, ignore_errors=True)

    def clear(self):
        for path in (self.work, os.path.join(self.state, "vsandbox")):
            if os.path.exists(path):
                subprocess.run(["chmod", "-R", "u+rwx", path], check=True)
                shutil.rmtree(path)
        populate(self.work)

    def fresh(self):
        self.clear()
        self.before = self.look()
        vsandbox("run", "-q", "-p", self.policy, "--", "sh", "-c", SESSION, cwd=self.work)

    def look(self):
        return snapshot(self.work)

    def commit(self):
        vsandbox("commit", "--yes", "--yes-executable", cwd=self.work)


def shape(tree):
    """Without what differs from run to run: times that nobody set, and which name of a file comes first."""
    return {p: e[:4] + e[5:] for p, e in tree.items()}


def killed(place, at, *args):
    r = vsandbox(*args, cwd=place.work, check=False, prefix=(KILLAT, str(at)))
    return r.returncode == 137, r.stderr.strip().splitlines()[-1] if r.stderr else ""


def count(place, *args):
    return int(vsandbox(*args, cwd=place.work, prefix=(KILLAT, "0")).stderr.strip().splitlines()[-1])


def crash_commit(place, tap, where, first, every):
    place.fresh()
    calls = count(place, "commit", "--yes", "--yes-executable")
    after = place.look()
    for finish in ("resume", "undo"):
        problems, kills = [], 0
        for at in range(first, calls + 1, every):
            place.fresh()
            was_killed, call = killed(place, at, "commit", "--yes", "--yes-executable")
            if not was_killed:
                problems.append(f"call {at}: not reached")
                continue
            kills += 1
            note = f"killed at {at} ({call}): "
            problems += [note + p for p in torn(place.look(), place.before, after)]
            if finish == "resume":
                r = vsandbox("commit", "--resume", cwd=place.work, check=False)
                if r.returncode and "nothing to resume" in r.stderr:
                    place.commit()  # it had not begun; or it was complete, and there is nothing to commit
                elif r.returncode:
                    problems.append(note + r.stderr)
                problems += [note + p for p in differences(shape(place.look()), shape(after))]
                vsandbox("undo", "--yes", cwd=place.work)
            else:
                r = vsandbox("undo", "--yes", cwd=place.work, check=False)
                if r.returncode and "no commit that could be undone" not in r.stderr:
                    problems.append(note + r.stderr)
            problems += [note + "undo: " + p for p in differences(place.look(), place.before)]
        tap.ok(kills and not problems,
               f"{where}: commit killed before each of {kills} calls, then {finish}", problems)


def crash_undo(place, tap, where, first, every):
    place.fresh()
    place.commit()
    calls = count(place, "undo", "--yes")
    problems, kills = [], 0
    for at in range(first, calls + 1, every):
        place.fresh()
        place.commit()
        after = place.look()
        was_killed, call = killed(place, at, "undo", "--yes")
        if not was_killed:
            problems.append(f"call {at}: not reached")
            continue
        kills += 1
        note = f"killed at {at} ({call}): "
        problems += [note + p for p in torn(place.look(), place.before, after)]
        r = vsandbox("undo", "--yes", cwd=place.work, check=False)
        if r.returncode and "no commit that could be undone" not in r.stderr:
            problems.append(note + r.stderr)
        problems += [note + p for p in differences(place.look(), place.before)]
    tap.ok(kills and not problems, f"{where}: undo killed before each of {kills} calls, then undo", problems)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--uid", type=int)
    parser.add_argument("--work", default="/var/tmp")
    parser.add_argument("--state", default="/var/tmp")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("what", nargs="*", default=["commit", "undo"])
    args = parser.parse_args()
    if args.uid:
        become(args.uid)
    os.umask(0o022)
    tap = Tap()
    place = Place(args.work, args.state)
    where = f"{args.work} with state in {args.state}"
    try:
        if "commit" in args.what:
            crash_commit(place, tap, where, args.first, args.every)
        if "undo" in args.what:
            crash_undo(place, tap, where, args.first, args.every)
    finally:
        place.finish()
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
