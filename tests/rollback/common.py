"""What the rollback tests share: a sandbox to change, and TAP."""
import json
import os
import shutil
import subprocess
import tempfile
import time

vsandbox = os.environ["VSANDBOX"]
binaries = os.environ["ROLLBACK_BIN"]
other = int(os.environ.get("OTHER_UID", "12345"))
count = failures = 0


def check(good, text, detail=""):
    global count, failures
    count += 1
    print(f"{'' if good else 'not '}ok {count} - {text}", flush=True)
    if not good:
        failures += 1
        for line in str(detail).splitlines()[:40]:
            print("#", line)
    return good


def finish():
    print(f"1..{count}")
    return failures > 0


def eventually(true):
    """Waits until @true() is. The patience is for a machine that does much else."""
    until = time.monotonic() + 60
    while not true():
        if time.monotonic() > until:
            raise TimeoutError(true.__name__)
        time.sleep(0.01)


def users():
    """Root, and somebody who owns nothing here; else whoever we are."""
    return [0, other] if os.getuid() == 0 else [0]


def differences(want, got):
    a, b = set(want.splitlines()), set(got.splitlines())
    return "\n".join(["- " + x for x in sorted(a - b)] + ["+ " + x for x in sorted(b - a)])


class Box:
    """A directory to work in, a state directory, and one session at a time. @uid 0: as we are.

    It lies in @base, else in $TMPFS (see tests/commit/on_tmpfs.sh), else where temporary files do.
    """

    def __init__(self, uid=0, populate=None, base=None):
        self.base = tempfile.mkdtemp(prefix="vsandbox-rollback.", dir=base or os.environ.get("TMPFS") or os.environ.get("TMPDIR", "/tmp"))
        os.chmod(self.base, 0o755)
        self.uid = uid
        self.work = os.path.join(self.base, "work")
        for d in ("work", "state", "run", "home"):
            os.mkdir(os.path.join(self.base, d), 0o700)
        self.env = {"PATH": "/usr/bin:/bin", "HOME": self.base + "/home",
                    "XDG_STATE_HOME": self.base + "/state", "XDG_RUNTIME_DIR": self.base + "/run"}
        self.child = None
        if populate:
            populate(self.work)
        if uid:
            for top, _, files in os.walk(self.base):
                for n in [top] + [os.path.join(top, f) for f in files]:
                    os.lchown(n, uid, uid)

    def who(self):
        return {"user": self.uid, "group": self.uid, "extra_groups": []} if self.uid else {}

    def call(self, *args, **more):
        return subprocess.run(args, env=self.env, cwd=self.work, capture_output=True, timeout=300,
                              **self.who(), **more)

    def run(self, *args, flags=(), **more):
        return self.call(vsandbox, "run", "-q", "--allow", "*", *flags, "--", *args, **more)

    def start(self, *args, flags=()):
        self.child = subprocess.Popen(
            [vsandbox, "run", "-q", "--allow", "*", *flags, "--", *args], env=self.env, cwd=self.work,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **self.who())

    def mutate(self, seed, *flags):
        self.start(os.path.join(binaries, "mutate"), str(seed), flags=flags)

    def ask(self, command):
        """Of mutate: [(actions, call, tree)], the last the tree as it is now."""
        self.child.stdin.write(command + "\n")
        self.child.stdin.flush()
        out, head, lines = [], None, []
        for line in self.child.stdout:
            line = line.rstrip("\n")
            if line == "end":
                return out
            if head is None:
                head = line.split(" ", 2)
            elif line == ".":
                out.append((int(head[1]), head[2], "\n".join(lines)))
                head, lines = None, []
            else:
                lines.append(line)
        raise EOFError("the sandbox ended")

    def end(self):
        self.child.stdin.close()
        return self.child.wait(timeout=300)

    def session(self):
        top = os.path.join(self.base, "state/vsandbox/sessions")
        return os.path.join(top, sorted(os.listdir(top), key=lambda n: os.stat(os.path.join(top, n)).st_mtime)[-1])

    def show(self):
        return json.loads(self.call(vsandbox, "show", "--json").stdout)

    def rollback(self, last, *flags):
        """Exit code, result ({} when there was none), what is to be said of it."""
        r = self.call(vsandbox, "rollback", "--yes", "--json", "--last", str(last), *flags)
        try:
            found = json.loads(r.stdout)
        except ValueError:
            return r.returncode, {}, r.stdout.decode() + r.stderr.decode()
        said = "\n".join(json.dumps(s) for s in found["steps"] if s["outcome"] != "undone")
        return r.returncode, found, said + r.stderr.decode()

    def merged(self):
        """The tree of the ended session."""
        r = self.call(os.path.join(binaries, "merged"), self.session(), self.work)
        return r.stdout.decode().rstrip("\n") if r.returncode == 0 else r.stderr.decode()

    def finish(self):
        if self.child and self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        shutil.rmtree(self.base, ignore_errors=True)
        if os.path.exists(self.base):
            subprocess.run(["sh", "-c", 'chmod -R u+rwx "$1"; rm -rf "$1"', "sh", self.base], check=False)
