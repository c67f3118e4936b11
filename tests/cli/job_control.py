#!/usr/bin/env python3
"""Ctrl-Z, fg and Ctrl-C on a real terminal, under an interactive bash. Prints TAP."""
import os
import pty
import select
import signal
import sys
import tempfile
import time

vsandbox, policy = sys.argv[1:3]
tests = []
terminals = []


class Terminal:
    def __init__(self):
        self.text = b""
        pid, self.fd = pty.fork()
        if pid == 0:
            # A runner started in the background hands down ignored signals.
            for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP):
                signal.signal(number, signal.SIG_DFL)
            os.environ.update(PS1="$ ", TERM="dumb", VS=vsandbox, POLICY=policy)
            os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
        terminals.append(self)
        self.wait_for(b"$ ")

    def close(self):
        """Hangs up, as a closed window does: whatever still runs there gets SIGHUP."""
        os.close(self.fd)

    def send(self, text):
        self.text = b""
        os.write(self.fd, text)

    def wait_for(self, wanted, seconds=60):
        end = time.monotonic() + seconds
        while wanted not in self.text:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise AssertionError(f"no {wanted!r} in {self.text!r}")
            self.text += os.read(self.fd, 65536)


    def shows(self, wanted):
        """What has come until now."""
        while select.select([self.fd], [], [], 0)[0]:
            self.text += os.read(self.fd, 65536)
        return wanted in self.text


def test(function):
    tests.append(function)


@test
def ctrl_z_stops_and_fg_goes_on():
    t = Terminal()
    t.send(b"\"$VS\" run -q -p \"$POLICY\" -- sh -c 'echo re''ady; read x; echo got-$x'\n")
    t.wait_for(b"ready\r\n")
    t.send(b"\x1a")
    t.wait_for(b"Stopped")
    t.send(b"jobs; echo mar''ker\n")
    t.wait_for(b"marker")
    t.send(b"fg\n")
    time.sleep(0.3)
    t.send(b"word\n")
    t.wait_for(b"got-word")
    t.send(b"echo code=$?\n")
    t.wait_for(b"code=0")


@test
def ctrl_c_reaches_the_agent_once():
    t = Terminal()
    t.send(b"\"$VS\" run -q -p \"$POLICY\" -- sh -c 'trap \"echo int''errupted\" INT; echo re''ady; "
           b"sleep 1; sleep 1; echo en''d'\n")
    t.wait_for(b"ready\r\n")
    t.send(b"\x03")
    t.wait_for(b"end\r\n")
    assert t.text.count(b"interrupted") == 1, t.text


@test
def ctrl_c_ends_an_agent_without_a_handler():
    t = Terminal()
    t.send(b"\"$VS\" run -q -p \"$POLICY\" -- sh -c 'echo re''ady; exec sleep 600'\n")
    t.wait_for(b"ready\r\n")
    t.send(b"\x03")
    t.wait_for(b"$ ")
    t.send(b"echo code=$?\n")
    t.wait_for(b"code=130")


@test
def ctrl_c_twice_kills():
    t = Terminal()
    t.send(b"\"$VS\" run -q -p \"$POLICY\" -- sh -c 'trap \"\" INT; echo re''ady; sleep 600'\n")
    t.wait_for(b"ready\r\n")
    t.send(b"\x03")
    for _ in range(100):  # two that come together are one signal
        time.sleep(0.3)
        os.write(t.fd, b"\x03")
        if t.shows(b"$ "):
            break
    t.send(b"\n")
    t.wait_for(b"$ ")
    t.send(b"echo code=$?\n")
    t.wait_for(b"code=137")


@test
def the_terminal_has_its_name_inside():
    t = Terminal()
    t.send(b"\"$VS\" run -q -p \"$POLICY\" -- sh -c 'echo by-na''me >/dev/tty; read x </dev/tty; echo got-$x' "
           b"</dev/null\n")
    t.wait_for(b"by-name", 20)
    t.send(b"word\n")
    t.wait_for(b"got-word", 20)


@test
def the_banner_shows_on_a_terminal():
    t = Terminal()
    t.send(b"\"$VS\" run -p \"$POLICY\" -- true\n")
    t.wait_for(b"session ")
    t.wait_for(b"policy open, mode alert")


os.chdir(tempfile.mkdtemp())
failed = 0
print(f"1..{len(tests)}")
for number, function in enumerate(tests, 1):
    name = function.__name__.replace("_", " ")
    try:
        function()
        print(f"ok {number} - {name}")
    except AssertionError as e:
        failed += 1
        print(f"not ok {number} - {name}\n# {e}")
    while terminals:
        terminals.pop().close()
sys.exit(failed != 0)
