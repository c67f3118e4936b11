#!/usr/bin/env python3
"""What a bundle's seccomp section says.

rules.py CONFIG                a line for each rule
rules.py --against OLD CONFIG  complains where CONFIG allows or asks what OLD does not allow, and where it lets
                               pass what must be asked about; silent when there is nothing
"""
import itertools
import json
import sys

PERMIT = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG")
MUST_ASK = ("open", "openat", "openat2", "creat", "execve", "execveat", "unlink", "unlinkat", "rename",
            "renameat2", "mkdir", "link", "linkat", "symlink", "truncate", "chmod", "connect", "bind", "sendmsg")
MUST_FAIL = ("mount", "io_uring_setup", "ptrace", "setns", "chroot", "open_by_handle_at")
O_PATH = 0o10000000


def section(path):
    return json.load(open(path)).get("linux", {}).get("seccomp") or {"defaultAction": "SCMP_ACT_ALLOW"}


def holds(cond, args):
    value, one, two, op = args[cond["index"]], cond["value"], cond.get("valueTwo", 0), cond["op"]
    return {"SCMP_CMP_EQ": value == one, "SCMP_CMP_NE": value != one, "SCMP_CMP_LT": value < one,
            "SCMP_CMP_LE": value <= one, "SCMP_CMP_GT": value > one, "SCMP_CMP_GE": value >= one,
            "SCMP_CMP_MASKED_EQ": value & one == two}[op]


def actions(s, name, args):
    """The first unconditional rule, after conditional ones that hold: a set, for they have no order."""
    rules = [r for r in s.get("syscalls", []) if name in r["names"]]
    found = {r["action"] for r in rules if r.get("args") and all(holds(c, args) for c in r["args"])}
    if found:
        return found
    for r in rules:
        if not r.get("args"):
            return {r["action"]}
    return {s["defaultAction"]}


def samples(old, new, name):
    values = [{0, 1, 0xffffffff, O_PATH} for _ in range(6)]
    for r in old.get("syscalls", []) + new.get("syscalls", []):
        for c in r.get("args") or [] if name in r["names"] else []:
            one, two = c["value"], c.get("valueTwo", 0)
            values[c["index"]] |= {one, two, one | 1 << 40, two | 1 << 40, one + 1}
    used = [sorted(v)[:40] if len(v) > 4 or i < 3 else [0] for i, v in enumerate(values)]
    return itertools.islice(itertools.product(*used), 60000)


def against(old, new):
    for name in sorted({n for s in (old, new) for r in s.get("syscalls", []) for n in r["names"]}):
        for args in samples(old, new, name):
            now, before = actions(new, name, args), actions(old, name, args)
            if len(now) > 1:
                print(name, args, "is decided by chance:", *now)
                break
            if now & {"SCMP_ACT_NOTIFY", *PERMIT} and not before & set(PERMIT):
                print(name, args, "is widened from", *before, "to", *now)
                break
            path = name in ("open", "openat") and args[1 if name == "open" else 2] & O_PATH
            fast = name.startswith("send") and not now & set(PERMIT)
            if name in MUST_ASK and now & set(PERMIT) and not path and not fast:
                print(name, args, "passes unasked")
                break
            if name in MUST_FAIL and now & {"SCMP_ACT_NOTIFY", *PERMIT}:
                print(name, args, "passes")
                break


def main():
    if sys.argv[1] == "--against":
        against(section(sys.argv[2]), section(sys.argv[3]))
        return
    config = json.load(open(sys.argv[1]))
    s = section(sys.argv[1])
    print("noNewPrivileges", config["process"].get("noNewPrivileges"))
    print({k: v for k, v in sorted(s.items()) if k != "syscalls"})
    lines = []
    for r in s["syscalls"]:
        conds = " and ".join("%d %s %#x %#x" % (c["index"], c["op"][9:], c["value"], c.get("valueTwo", 0))
                             for c in r.get("args") or [])
        lines.append(" ".join([r["action"][9:], str(r.get("errnoRet", "-")), conds or "-", *sorted(r["names"])]))
    print("\n".join(sorted(lines)))  # they have no order: no two of a call can hold at once


main()
