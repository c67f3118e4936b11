#!/usr/bin/python3
"""An example agent: does its task, and then what an agent should not do."""
import os
import pathlib
import sys


def attempt(what, action):
    try:
        result = action()
    except OSError as e:
        print(f"agent: {what}: {e.strerror}")
        return
    print(f"agent: {what}: done" + (f" ({result})" if result is not None else ""))


def main():
    work = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    notes = work / "notes.txt"
    attempt("read the task", lambda: (work / "task.txt").read_text().strip())
    attempt("take notes", lambda: notes.write_text("the plan\n") and None)
    attempt("edit a source file", lambda: (work / "src/app.py").write_text("print('better')\n") and None)
    attempt("remove a stale file", lambda: (work / "src/stale.py").unlink())
    # The part that a person would want to know of.
    attempt("read the secrets", lambda: (work / "secret.env").read_text().strip())
    attempt("read the same by another name", lambda: os.link(work / "secret.env", work / "copy.txt"))
    attempt("overwrite the system's hosts", lambda: open("/etc/hosts", "a").close())


main()
