#!/usr/bin/env python3
"""A running session committed again and again is the same as the changes made plainly; undone, they never were.

    live.py [--rounds N] [--steps N] [--seed N] [--uid N] [--work DIR] [--state DIR] [--every K] [property|crash]...

property: random changes, a commit after each lot; in the end the session's own tree is the host's. crash: the
commit is killed before every call that changes something (--every K: one in K); then it is resumed, or undone, or resumed after
the session's end. The host holds what it had or what was committed, no file of it anything between.
"""
import argparse
import collections
import json
import os
import re
import select
import shutil
import stat
import subprocess
import sys
import tempfile

from crash import SESSION, Place, count, killed, shape, torn
from tree import PYTHON, VSANDBOX, Mutator, Tap, become, differences, populate, snapshot, vsandbox

HERE = os.path.dirname(os.path.abspath(__file__))
MERGED = os.path.join(os.path.abspath(os.environ.get("ROLLBACK_BIN", "build/release/tests/rollback")), "merged")
PATIENCE_S = 120


def obey():
    """Inside: a line is a number of random changes, or a shell's command."""
    mutator = None
    print("ready", flush=True)
    for line in sys.stdin:
        kind, _, rest = line.strip().partition(" ")
        if kind == "seed":
            mutator = Mutator(int(rest), os.geteuid() == 0)
        elif kind == "steps":
            for _ in range(int(rest)):
                mutator.step()
        else:
            subprocess.run(["sh", "-c", rest], check=True)
        print("done", flush=True)


class Obeying:
    """obey() at work, in a session or plainly."""

    def __init__(self, prefix, cwd):
        self.child = subprocess.Popen([*prefix, PYTHON, "-B", os.path.join(HERE, "live.py"), "--obey"], cwd=cwd,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.expect("ready")

    def expect(self, word):
        if not select.select([self.child.stdout], [], [], PATIENCE_S)[0]:
            raise RuntimeError("no answer from inside")
        line = self.child.stdout.readline().strip()
        if line != word:
            raise RuntimeError(f"inside: {line!r}")

    def tell(self, line):
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()
        self.expect("done")

    def end(self):
        self.child.stdin.close()
        self.child.wait(PATIENCE_S)
        self.child.stdout.close()


def session_path(work):
    return json.loads(vsandbox("show", "--json", cwd=work).stdout)["path"]


def fingerprint(session, root):
    """The tree as @session shows it once more mounted, so that nothing of the first mount's memory is left; "-": the host's."""
    return subprocess.run([MERGED, session, root], check=True, capture_output=True, text=True,
                          timeout=PATIENCE_S).stdout.splitlines()


def without_links(lines):
    return [re.sub(r" n\d+ ", " ", re.sub(r"^(\S+ 4.*) m\S+ ", r"\1 ", line)) for line in lines]


def tree(root):
    """As snapshot, but for what a commit leaves: a directory's time when nothing else of it changed, and the
    second name by which a pre-image is kept."""
    found = snapshot(root)
    names = collections.Counter(e[-2] for e in found.values() if e[0] != stat.S_IFDIR)
    return {p: e[:4] + e[5:] if e[0] == stat.S_IFDIR else e[:-1] + [names[e[-2]]] for p, e in found.items()}


def left(work):
    return vsandbox("diff", "--name-status", cwd=work).stdout


def one_round(base, seed, steps, rounds=4):
    work, copy = os.path.join(base, "work"), os.path.join(base, "copy")
    for path in (work, copy):
        shutil.rmtree(path, ignore_errors=True)
    populate(work, seed)
    subprocess.run(["cp", "-a", work, copy], check=True)
    states, problems = [tree(work)], []
    plain = Obeying((), copy)
    inside = Obeying((VSANDBOX, "run", "-q", "-p", os.path.join(base, "open.json"), "--"), work)
    try:
        for who in (plain, inside):
            who.tell(f"seed {seed}")
        for lot in range(rounds):
            for who in (plain, inside):
                who.tell(f"steps {steps}")
            problems += [f"lot {lot} touched the host: {d}" for d in differences(tree(work), states[-1])]
            vsandbox("commit", "--yes", "--yes-executable", cwd=work)
            states.append(tree(work))
            problems += [f"commit {lot}: {d}" for d in differences(states[-1], tree(copy))]
            problems += [f"commit {lot}: left in the session: {line}" for line in left(work).splitlines()]
        # what the last commit made goes and comes again
        vsandbox("undo", "--yes", cwd=work)
        problems += [f"undo: {d}" for d in differences(tree(work), states[-2])]
        vsandbox("commit", "--yes", "--yes-executable", cwd=work)
        problems += [f"committed again: {d}" for d in differences(tree(work), states[-1])]
    finally:
        inside.end()
        plain.end()
    problems += [f"left when it had ended: {line}" for line in left(work).splitlines()]
    problems += [f"mounted again: {line}" for line in sorted(
        set(without_links(fingerprint(session_path(work), work))) ^ set(without_links(fingerprint("-", work))))]
    for state in reversed(states[:-1]):
        vsandbox("undo", "--yes", cwd=work)
        problems += [f"undo: {d}" for d in differences(tree(work), state)]
    return problems


def check_property(tap, args):
    base = tempfile.mkdtemp(prefix="vsandbox-live-", dir=args.work)
    os.environ["XDG_STATE_HOME"] = os.path.join(base, "state")
    os.environ["HOME"] = base
    os.mkdir(os.environ["XDG_STATE_HOME"], 0o700)
    with open(os.path.join(base, "open.json"), "w", encoding="ascii") as f:
        f.write('{"name": "open", "description": "everything", "max_actions_per_minute": 1000000}')
    try:
        for seed in range(args.seed, args.seed + args.rounds):
            p = one_round(base, seed, args.steps)
            tap.ok(not p, f"seed {seed}: committed after each {args.steps} changes, as if made plainly, and undone", p)
    finally:
        subprocess.run(["chmod", "-R", "u+rwx", base], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(base, ignore_errors=True)


class LivePlace(Place):
    """The same of a session that goes on."""

    def __init__(self, work, state):
        super().__init__(work, state)
        self.inside = None
        for name, text in (("session.sh", SESSION), ("more.sh", MORE)):
            with open(os.path.join(self.base, name), "w", encoding="ascii") as f:
                f.write(text)

    def session(self):
        return os.path.basename(session_path(self.work))

    def end(self):
        if self.inside:
            vsandbox("kill", self.session(), cwd=self.work)
            self.inside.end()
        self.inside = None

    def fresh(self):
        self.end()
        self.clear()
        self.before = self.look()
        self.inside = Obeying((VSANDBOX, "run", "-q", "-p", self.policy, "--"), self.work)
        self.inside.tell("sh sh ../session.sh")

    def finish(self):
        self.end()
        super().finish()

    def go_on(self):
        vsandbox("resume", self.session(), cwd=self.work)
        self.inside.tell("sh sh ../more.sh")


# what the session does after a commit that was killed
MORE = """
set -e
echo later >later; echo other >changed
chmod 700 fresh/deep; rm -r fresh opaque; rm was-dir; mkdir opaque; echo p >opaque/b
"""


def resume_as_it_was(place, trees):
    """Nothing moved meanwhile: it ends in what was to be committed. Then more of it, and all back."""
    r = vsandbox("commit", "--resume", cwd=place.work, check=False)
    if r.returncode and "nothing to resume" in r.stderr:
        place.commit()
    elif r.returncode:
        yield r.stderr
    yield from differences(shape(place.look()), shape(trees["after"]))
    yield from left(place.work).splitlines()
    place.go_on()
    place.commit()
    yield from differences(shape(place.look()), shape(trees["more"]))
    for _ in range(2):
        vsandbox("undo", "--yes", cwd=place.work)
    yield from differences(place.look(), place.before)


def resume_held(place, trees):
    """Half of a commit on the host: what runs inside is not let go on until that is settled."""
    r = vsandbox("resume", place.session(), cwd=place.work, check=False)
    if r.returncode and "was interrupted" not in r.stderr:
        yield r.stderr
    if r.returncode:
        vsandbox("undo", "--yes", cwd=place.work)
        yield from differences(place.look(), place.before)
    place.go_on()
    place.commit()
    yield from differences(shape(place.look()), shape(trees["more"]))
    yield from left(place.work).splitlines()


def resume_ended(place, trees):
    """The session died: its layers are there still."""
    place.end()
    r = vsandbox("commit", "--resume", cwd=place.work, check=False)
    if r.returncode and "nothing to resume" in r.stderr:
        place.commit()
    elif r.returncode:
        yield r.stderr
    yield from differences(shape(place.look()), shape(trees["after"]))
    vsandbox("undo", "--yes", cwd=place.work)
    yield from differences(place.look(), place.before)


def check_crash(tap, args):
    place = LivePlace(args.work, args.state)
    try:
        place.fresh()
        trees, calls = {}, count(place, "commit", "--yes", "--yes-executable")
        trees["after"] = place.look()
        place.go_on()
        place.commit()
        trees["more"] = place.look()
        for finish in (resume_as_it_was, resume_held, resume_ended):
            problems, kills = [], 0
            for at in range(1, calls + 1, args.every):
                place.fresh()
                was_killed, call = killed(place, at, "commit", "--yes", "--yes-executable")
                note = f"killed at {at} ({call}): "
                kills += was_killed
                problems += [] if was_killed else [f"call {at}: not reached"]
                problems += [note + p for p in torn(place.look(), place.before, trees["after"])]
                try:
                    problems += [note + p for p in finish(place, trees)]
                except RuntimeError as e:
                    problems.append(note + str(e))
            tap.ok(kills and not problems, f"{args.work} with state in {args.state}: commit of a running session killed "
                   f"before each of {kills} calls, then {finish.__name__.replace('_', ' ')}", problems)
    finally:
        place.finish()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--uid", type=int)
    parser.add_argument("--work", default="/var/tmp")
    parser.add_argument("--state", default="/var/tmp")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("what", nargs="*", default=["property", "crash"])
    args = parser.parse_args()
    if args.uid:
        become(args.uid)
    tap = Tap()
    if "property" in args.what:
        check_property(tap, args)
    if "crash" in args.what:
        check_crash(tap, args)
    return tap.done()


if __name__ == "__main__":
    os.umask(0o022)
    if sys.argv[1:] == ["--obey"]:
        obey()
    else:
        sys.exit(main())
