"""Trees: what is in one, made whole; a program of random changes; running the program under test."""
import hashlib
import os
import random
import stat
import subprocess
import sys

PYTHON = "/usr/bin/python3"  # the system's: any user may read it
VSANDBOX = os.path.abspath(os.environ.get("VSANDBOX", "build/release/vsandbox"))


def describe(path, names, at):
    st = os.lstat(path)
    fields = [stat.S_IFMT(st.st_mode), stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid, st.st_mtime_ns]
    if stat.S_ISREG(st.st_mode):
        with open(path, "rb") as f:
            fields += [st.st_size, hashlib.sha256(f.read()).hexdigest()]
    if stat.S_ISLNK(st.st_mode):
        fields.append(os.readlink(path))
    else:
        fields.append(sorted((n, os.getxattr(path, n)) for n in os.listxattr(path)
                             if not n.startswith("security.")))
    if not stat.S_ISDIR(st.st_mode):
        # the first name of the same file, and how many there are
        fields += [names.setdefault((st.st_dev, st.st_ino), at), st.st_nlink]
    return fields


def snapshot(root):
    """Path -> all that can be known of it, in the order of names. Run as a user that may read everything."""
    found, names = {}, {}
    pending = [""]
    while pending:
        at = pending.pop()
        path = os.path.join(os.fsencode(root), os.fsencode(at)) if at else os.fsencode(root)
        found[at] = describe(path, names, at)
        if found[at][0] == stat.S_IFDIR:
            entries = sorted(os.listdir(path))
            pending += [os.path.join(at, os.fsdecode(e)) for e in reversed(entries)]
    return found


def differences(got, want, ignore=()):
    out = []
    for path in sorted(set(got) | set(want)):
        if path in ignore:
            continue
        if got.get(path) != want.get(path):
            out.append(f"{path!r}: {got.get(path)} != {want.get(path)}")
    return out


def same_file(a, b):
    """Two names of one file. Rootless, the overlay may show a number of its own for each: so not by number."""
    x, y = os.lstat(a), os.lstat(b)
    return a == b or x.st_nlink > 1 and \
        (x.st_nlink, x.st_size, x.st_mtime_ns) == (y.st_nlink, y.st_size, y.st_mtime_ns)


class Mutator:
    """The same seed makes the same changes of the same tree, whoever carries them out."""

    def __init__(self, seed, root_user):
        self.random = random.Random(seed)
        self.clock = 1_000_000_000_000_000_000 + seed
        self.root_user = root_user

    def stamp(self, *paths):
        for path in paths:
            self.clock += 1_000_000_007
            if os.path.lexists(path):
                os.utime(path, ns=(self.clock, self.clock), follow_symlinks=False)

    def all(self, want):
        out = []
        for top, dirs, files in os.walk("."):
            dirs.sort()
            for name in sorted(dirs + files):
                path = os.path.join(top, name)
                if want(os.lstat(path).st_mode):
                    out.append(path)
        return sorted(out)

    def pick(self, want):
        found = self.all(want)
        return self.random.choice(found) if found else None

    def fresh(self):
        top = self.random.choice(["."] + self.all(stat.S_ISDIR))
        return os.path.join(top, f"n{self.random.randrange(40)}")

    def step(self):
        kinds = ["create", "create", "write", "append", "truncate", "unlink", "rename", "over", "mkdir",
                 "rmtree", "symlink", "link", "chmod", "chmoddir", "xattr", "unxattr", "fifo", "sparse",
                 "todir", "tofile", "utime", "renamedir", "exchange", "remake"]
        kind = self.random.choice(kinds + (["chown"] if self.root_user else []))
        getattr(self, kind)()

    def content(self):
        return self.random.randbytes(self.random.choice([0, 1, 100, 5000, 70000]))

    def create(self):
        path = self.fresh()
        if not os.path.lexists(path):
            with open(path, "wb") as f:
                f.write(self.content())
            self.stamp(path, os.path.dirname(path))

    def write(self):
        path = self.pick(stat.S_ISREG)
        if path:
            with open(path, "wb") as f:
                f.write(self.content())
            self.stamp(path)

    def append(self):
        path = self.pick(stat.S_ISREG)
        if path:
            with open(path, "ab") as f:
                f.write(b"more")
            self.stamp(path)

    def truncate(self):
        path = self.pick(stat.S_ISREG)
        if path:
            os.truncate(path, self.random.randrange(200))
            self.stamp(path)

    def unlink(self):
        path = self.pick(lambda m: not stat.S_ISDIR(m))
        if path:
            os.unlink(path)
            self.stamp(os.path.dirname(path))

    def rename(self):
        path, to = self.pick(lambda m: not stat.S_ISDIR(m)), self.fresh()
        if path and not os.path.lexists(to):
            os.rename(path, to)
            self.stamp(os.path.dirname(path), os.path.dirname(to))

    def over(self):
        path, to = self.pick(stat.S_ISREG), self.pick(lambda m: not stat.S_ISDIR(m))
        if path and to and os.path.exists(to) and not same_file(path, to):
            os.rename(path, to)
            self.stamp(os.path.dirname(path), os.path.dirname(to))

    def mkdir(self):
        path = self.fresh()
        if not os.path.lexists(path):
            os.mkdir(path)
            self.stamp(path, os.path.dirname(path))

    def remove_tree(self, path):
        for name in sorted(os.listdir(path)):
            child = os.path.join(path, name)
            if stat.S_ISDIR(os.lstat(child).st_mode):
                self.remove_tree(child)
            else:
                os.unlink(child)
        os.rmdir(path)

    def rmtree(self):
        path = self.pick(stat.S_ISDIR)
        if path and self.random.random() < 0.5:
            self.remove_tree(path)
            self.stamp(os.path.dirname(path))

    def remake(self):
        path = self.pick(stat.S_ISDIR)
        if path and self.random.random() < 0.5:
            self.remove_tree(path)
            os.mkdir(path)
            with open(os.path.join(path, "inside"), "wb") as f:
                f.write(b"again")
            self.stamp(os.path.join(path, "inside"), path, os.path.dirname(path))

    def symlink(self):
        path = self.fresh()
        if not os.path.lexists(path):
            os.symlink(self.random.choice(["n1", "./n2/n3", "nowhere"]), path)
            self.stamp(path, os.path.dirname(path))

    def link(self):
        path, to = self.pick(stat.S_ISREG), self.fresh()
        if path and not os.path.lexists(to):
            os.link(path, to)
            self.stamp(path, os.path.dirname(to))

    def chmod(self):
        path = self.pick(stat.S_ISREG)
        if path:
            os.chmod(path, self.random.choice([0o600, 0o644, 0o755, 0o664]))

    def chmoddir(self):
        path = self.pick(stat.S_ISDIR)
        if path:
            os.chmod(path, self.random.choice([0o700, 0o755, 0o2775, 0o1777]))

    def chown(self):
        path = self.pick(lambda m: True)
        if path:
            os.chown(path, self.random.choice([0, 1, 12345]), 7, follow_symlinks=False)
            if not os.path.islink(path):
                os.chmod(path, 0o640 if os.path.isfile(path) else 0o750)

    def xattr(self):
        path = self.pick(lambda m: stat.S_ISREG(m) or stat.S_ISDIR(m))
        if path:
            os.setxattr(path, f"user.k{self.random.randrange(3)}", self.content()[:300])

    def unxattr(self):
        path = self.pick(lambda m: stat.S_ISREG(m) or stat.S_ISDIR(m))
        for name in sorted(os.listxattr(path)) if path else []:
            os.removexattr(path, name)

    def fifo(self):
        path = self.fresh()
        if not os.path.lexists(path):
            os.mkfifo(path)
            self.stamp(path, os.path.dirname(path))

    def sparse(self):
        path = self.fresh()
        if not os.path.lexists(path):
            with open(path, "wb") as f:
                f.seek(3 << 20)
                f.write(b"end")
            self.stamp(path, os.path.dirname(path))

    def todir(self):
        path = self.pick(stat.S_ISREG)
        if path:
            os.unlink(path)
            os.mkdir(path)
            self.stamp(path, os.path.dirname(path))

    def tofile(self):
        path = self.pick(stat.S_ISDIR)
        if path and self.random.random() < 0.5:
            self.remove_tree(path)
            with open(path, "wb") as f:
                f.write(b"was a directory")
            self.stamp(path, os.path.dirname(path))

    def utime(self):
        path = self.pick(lambda m: True)
        if path:
            self.stamp(path)

    def renamedir(self):
        path, to = self.pick(stat.S_ISDIR), self.fresh()
        if path and not os.path.lexists(to) and not to.startswith(path + "/"):
            os.rename(path, to)
            self.stamp(os.path.dirname(path), os.path.dirname(to))

    def exchange(self):
        a, b = self.pick(stat.S_ISREG), self.pick(stat.S_ISREG)
        if a and b and a != b:
            # through a third name: python has no renameat2
            os.rename(a, a + ".x")
            os.rename(b, a)
            os.rename(a + ".x", b)
            self.stamp(os.path.dirname(a), os.path.dirname(b))


def populate(root, seed):
    """A tree to begin with: no file has two names, as an overlay parts those on the first write."""
    rand = random.Random(seed)
    os.makedirs(root)
    dirs = [root]
    for i in range(6):
        dirs.append(os.path.join(rand.choice(dirs), f"d{i}"))
        os.mkdir(dirs[-1])
    for i in range(24):
        path = os.path.join(rand.choice(dirs), f"f{i}")
        with open(path, "wb") as f:
            f.write(rand.randbytes(rand.choice([0, 10, 4096, 100000])))
        os.chmod(path, rand.choice([0o600, 0o644, 0o755]))
    os.symlink("f1", os.path.join(root, "l"))
    os.mkfifo(os.path.join(root, "pipe"))
    os.setxattr(os.path.join(root, "d0"), "user.k0", b"dir")


def vsandbox(*args, cwd=None, check=True, prefix=()):
    r = subprocess.run([*prefix, VSANDBOX, *args], cwd=cwd, capture_output=True, text=True, errors="replace",
                       timeout=120, stdin=subprocess.DEVNULL)
    if check and r.returncode:
        raise RuntimeError(f"{' '.join(args)}: exit {r.returncode}: {r.stderr}")
    return r


def become(uid):
    """Starts this program again as another user, with the interpreter that all may read."""
    args, at = sys.argv[1:], sys.argv.index("--uid") - 1
    del args[at:at + 2]
    os.execvp("setpriv", ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", PYTHON, "-B",
                          os.path.abspath(sys.argv[0]), *args])


class Tap:
    def __init__(self):
        self.count = self.failed = 0

    def ok(self, good, claim, notes=()):
        self.count += 1
        self.failed += not good
        print("ok" if good else "not ok", self.count, "-", claim)
        for note in [] if good else list(notes)[:12]:
            print("#  ", "".join(c if c.isprintable() else "?" for c in str(note))[:400])
        sys.stdout.flush()

    def done(self):
        print(f"1..{self.count}")
        return self.failed != 0


if __name__ == "__main__":  # tree.py SEED STEPS: mutate the current directory
    mutator = Mutator(int(sys.argv[1]), os.geteuid() == 0)
    os.umask(0o022)
    for _ in range(int(sys.argv[2])):
        mutator.step()
