"""The agent of fence.bats: tries every way to the program's own directories from the home it works in."""
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
home = os.getcwd()
os.makedirs("mine/config/vsandbox", exist_ok=True)
with open("mine/config/vsandbox/config.json", "w") as f:
    f.write("{}")
failures = []


def refused(what, act):
    try:
        act()
    except OSError:
        return
    failures.append(what)


def exchange(a, b):
    if libc.renameat2(-100, a.encode(), -100, b.encode(), 2) < 0:
        raise OSError(ctypes.get_errno(), "renameat2")


def see(path):
    if not os.listdir(path):
        raise FileNotFoundError(path)


def mount():
    if libc.mount(b"mine", b"link", None, 4096, None) < 0:
        raise OSError(ctypes.get_errno(), "mount")


def write(path):
    with open(path, "a") as f:
        f.write("forged")


for root in ("", "/proc/self/root" + home + "/", "/proc/1/root" + home + "/", home + "/mine/../"):
    for config in ("link/config/vsandbox", "real/config/vsandbox"):
        refused(f"read {root}{config}", lambda: open(f"{root}{config}/config.json").close())
        refused(f"write {root}{config}", lambda: write(f"{root}{config}/config.json"))
        refused(f"approve {root}{config}", lambda: write(f"{root}{config}/approvals/forged.json"))
        refused(f"make in {root}{config}", lambda: os.mkdir(f"{root}{config}/policies"))
        refused(f"link {root}{config}", lambda: os.link(f"{root}{config}/config.json", "hard"))
    for own in (".local/state/vsandbox", ".cache/vsandbox/layers", "run/vsandbox"):
        refused(f"see {root}{own}", lambda: see(root + own))
        refused(f"write {root}{own}", lambda: write(f"{root}{own}/forged"))
    for name in ("link", "real", "real/config", "real/config/vsandbox", ".local", ".local/state", ".cache", "run"):
        refused(f"move {root}{name}", lambda: os.rename(root + name, "moved"))
        refused(f"exchange {root}{name}", lambda: exchange(root + name, "mine"))
        refused(f"exchange with {root}{name}", lambda: exchange("mine", root + name))
    refused(f"replace {root}link", lambda: (os.symlink("mine", "other"), os.rename("other", root + "link")))
    refused(f"remove {root}link", lambda: os.unlink(root + "link"))
    if os.path.lexists("other"):
        os.unlink("other")
refused("mount", mount)

# and what is nobody's business but its own goes on as ever
os.makedirs("real/config", exist_ok=True)
os.makedirs("sub/a")
os.rename("sub", "sub2")
os.rename("sub2/a", "b")
os.rmdir("b")
os.rmdir("sub2")
os.chmod("real", 0o755)
with open("real/config/other", "w") as f:
    f.write("x")
os.unlink("real/config/other")
print("\n".join(failures) or "all refused")
