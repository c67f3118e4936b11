#!/bin/bash
# Attaches to real programs while they work, at random instants: nothing is lost, and from then on
# everything is decided. TAP.  Usage: run.sh [--times N] [--few N] [--uid N]
#
# Each kind of program is attached to N times; servers, which take seconds, the few times.
# VSANDBOX and ATTACH_BIN (target, refuse) come from the Makefile. Traffic stays on loopback.

set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/lib/tap.sh
. "$here/../lib/tap.sh"
VSANDBOX=${VSANDBOX:-$here/../../build/release/vsandbox}
ATTACH_BIN=${ATTACH_BIN:-$here/../../build/release/tests/attach}
times=4 few=1 uid=
while [ $# -gt 0 ]; do
	case $1 in
	--times) times=$2 ;;
	--few) few=$2 ;;
	--uid) uid=$2 ;;
	*) echo "usage: run.sh [--times N] [--few N] [--uid N]" >&2 && exit 2 ;;
	esac
	shift 2
done

# As another user: the same script again, with a home of its own.
if [ -n "$uid" ] && [ "$(id -u)" != "$uid" ]; then
	home=$(mktemp -d) && chown "$uid" "$home"
	trap 'rm -rf "$home"' EXIT
	setpriv --reuid "$uid" --regid "$uid" --clear-groups env -i HOME="$home" USER=u TMPDIR="$home" \
		PATH="/usr/local/bin:/usr/bin:/bin:/usr/sbin" VSANDBOX="$VSANDBOX" ATTACH_BIN="$ATTACH_BIN" \
		VSANDBOX_REQUIRE_KERNEL="${VSANDBOX_REQUIRE_KERNEL:-0}" "$0" \
		--times "$times" --few "$few"
	exit
fi

work=$(mktemp -d)
cd "$work" || exit 1
export XDG_STATE_HOME=$work/state XDG_CONFIG_HOME=$work/config
mkdir -p "$XDG_STATE_HOME" "$XDG_CONFIG_HOME"
cat >open.json <<'JSON'
{
	"name": "open",
	"description": "everything but *.secret",
	"max_actions_per_minute": 1000000,
	"blocked_resources": ["*.secret"]
}
JSON

cat >limited.json <<'JSON'
{ "name": "limited", "description": "with a limit", "limits": { "pids": 10 } }
JSON

# Only what is our child still: a number that was waited for may be somebody else's by now.
finish() {
	local p
	for p in $(jobs -p); do kill -9 "$p" 2>/dev/null; done
	rm -rf "$work"
}
trap finish EXIT
trap '' PIPE # who was to read may have been killed

attach() {
	timeout 120 "$VSANDBOX" attach -p "$work/open.json" --net host "$@" 2>err >id
}

# begin COMMAND...: in the background, its pid in $pid, with the reader of what goes to descriptor 3 as its input and
# its output in out; comes back when it has said "ready". What an earlier one said is gone before it starts.
begin() {
	rm -f in out
	mkfifo in
	"$@" <in >out 2>perr &
	pid=$!
	exec 3>in
	within 60 ready_or_gone
	said ready out || { tap_note "never ready: $*"; tap_note_file perr; }
}
ready_or_gone() { said ready out || gone "$pid"; }

# Waits up to $1 seconds until the rest of the line is true.
within() {
	local until=$((${EPOCHREALTIME/./} + $1 * 1000000))
	shift
	until "$@"; do
		((${EPOCHREALTIME/./} < until)) || return 1
		sleep 0.02
	done
}

# A random moment of up to $1 ms.
moment() {
	sleep "$(awk -v s="$RANDOM" -v m="$1" 'BEGIN { printf "%.3f", s % m / 1000 }')"
}

said() { grep -q "$1" "$2" 2>/dev/null; }
gone() { ! kill -0 "$1" 2>/dev/null || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }
larger() { [ "$(stat -c %s "$1")" -gt "$2" ]; }
session_ended() { [ -e "$XDG_STATE_HOME/vsandbox/sessions/$1/end.json" ]; }

# shellcheck source=tests/attach/servers.sh
. "$here/servers.sh"

# A program that says "ready", works, is told "probe" and prints one last line: attached to N times, at a moment
# of up to M ms after it was ready; the line must be WANT. Told by a line of its input and by the first byte of the file
# "told", for one that looks at it in its memory.  works CLAIM N M WANT COMMAND...
works() {
	local claim=$1 count=$2 ms=$3 want=$4 i bad=0 pid last
	shift 4
	for ((i = 0; i < count; i++)); do
		echo . >told
		begin "$@"
		moment "$ms"
		attach "$pid" || { tap_note_file err; bad=$((bad + 1)); }
		echo probe 1<>told
		echo probe >&3 2>/dev/null
		wait "$pid"
		exec 3>&-
		last=$(tail -n 1 out | sed 's/rounds=[0-9]* //')
		if [ "$last" != "$want" ]; then
			bad=$((bad + 1))
			tap_note "attach $i: $last" && tap_note_file perr
		fi
	done
	tap_is "$claim: $count attaches" "$bad" 0
}

# All threads of a C program that waits in every way there is. 13: EACCES, in the child as well.
waiting_threads() {
	works "C threads in 16 kinds of waits, no EINTR, nothing lost, all decided" "$times" 80 \
		"threads=17 denied=17 eintr=0 wrong=0 early=0 late=0 child=13" \
		"$ATTACH_BIN/target" "$work/canary.secret"
}

# Nobody is in a system call: the one thread is taken out of its own code, restartable sequences included.
computing() {
	works "a thread that makes no call, its registers as they were" "$times" 200 "alone denied=1 wrong=0" \
		"$ATTACH_BIN/target" "$work/canary.secret" alone told
}

python_threads() {
	local hash
	cat >threads.py <<'PY'
import hashlib, os, queue, select, subprocess, sys, threading, time

canary, out, probe = sys.argv[1], queue.Queue(), threading.Event()

def reader():
    r, w = os.pipe()
    def writer():
        for n in range(200):
            time.sleep(0.001)
            os.write(w, bytes([n]))
        os.close(w)
    threading.Thread(target=writer).start()
    got = b""
    while chunk := os.read(r, 10):
        got += chunk
    return got == bytes(range(200))

def sleeper():
    t = time.monotonic()
    time.sleep(0.3)
    return time.monotonic() - t >= 0.3

def locker():
    lock = threading.Lock()
    lock.acquire()
    return lock.acquire(timeout=0.3) is False

def poller():
    p = select.poll()
    return p.poll(300) == []

def runner():
    return all(subprocess.run(["sh", "-c", "echo $((40+2))"], capture_output=True).stdout == b"42\n"
               for _ in range(20))

def hasher():
    h = hashlib.sha256()
    for n in range(200000):
        h.update(b"%d" % n)
    return h.hexdigest() == "@HASH@"

def job(f):
    ok = f()
    probe.wait()
    try:
        open(canary, "w")
        denied = False
    except PermissionError:
        denied = True
    out.put((f.__name__, ok, denied))

jobs = [reader, sleeper, locker, poller, runner, hasher]
threads = [threading.Thread(target=job, args=(j,)) for j in jobs]
for t in threads:
    t.start()
print("ready", flush=True)
sys.stdin.readline()
probe.set()
for t in threads:
    t.join()
results = [out.get() for _ in jobs]
child = subprocess.run(["sh", "-c", 'echo x >"$1"', "sh", canary], stderr=subprocess.DEVNULL).returncode
print("wrong", [n for n, ok, _ in results if not ok], "undecided", [n for n, _, d in results if not d],
      "child", child != 0)
PY
	hash=$(python3 -c '
import hashlib
h = hashlib.sha256()
for n in range(200000): h.update(b"%d" % n)
print(h.hexdigest())')
	sed -i "s/@HASH@/$hash/" threads.py
	works "python3 threads in read, sleep, lock, poll, subprocess" "$times" 200 "wrong [] undecided [] child True" \
		python3 threads.py "$work/canary.secret"
}

node_workers() {
	command -v node >/dev/null || { tap_skip "node with workers" "no node"; return; }
	cat >workers.js <<'JS'
const { Worker, isMainThread, parentPort } = require("worker_threads");
const fs = require("fs"), cp = require("child_process");
const canary = process.argv[2];
const tryCanary = () => { try { fs.writeFileSync(canary, "x"); return false; } catch (e) { return e.code == "EACCES"; } };
if (!isMainThread) {
  let sum = 0;
  for (let i = 0; i < 3e7; i++) sum += i % 7;
  parentPort.on("message", () => { parentPort.postMessage([sum == 89999995, tryCanary()]); parentPort.close(); });
} else {
  const workers = [1, 2, 3].map(() => new Worker(__filename, { argv: [canary] }));
  let ticks = 0;
  const timer = setInterval(() => ticks++, 5);
  console.log("ready");
  process.stdin.once("data", async () => {
    const answers = await Promise.all(workers.map(w => new Promise(r => { w.once("message", r); w.postMessage(0); })));
    const child = cp.spawnSync("sh", ["-c", 'echo x >"$1"', "sh", canary]).status != 0;
    const read = await fs.promises.readFile("/etc/hostname");
    let pool = false;
    try { await fs.promises.writeFile(canary, "x"); } catch (e) { pool = e.code == "EACCES"; }
    clearInterval(timer);
    console.log(JSON.stringify([answers, tryCanary(), child, pool, ticks > 0, read.length > 0]));
    process.exit(0);
  });
}
JS
	works "node with three workers, timer and child" "$times" 150 \
		"[[[true,true],[true,true],[true,true]],true,true,true,true,true]" node workers.js "$work/canary.secret"
}

java_threads() {
	command -v java >/dev/null || { tap_skip "java" "no java"; return; }
	cat >Waits.java <<'JAVA'
import java.nio.file.*;
import java.util.concurrent.*;
public class Waits {
  static boolean denied(Path p) { try { Files.writeString(p, "x"); return false; } catch (AccessDeniedException e) { return true; } catch (Exception e) { return false; } }
  public static void main(String[] a) throws Exception {
    Path canary = Path.of(a[0]);
    ExecutorService pool = Executors.newFixedThreadPool(6);
    CountDownLatch probe = new CountDownLatch(1);
    java.util.List<Future<Boolean>> all = new java.util.ArrayList<>();
    for (int n = 0; n < 6; n++) all.add(pool.submit(() -> { long s = 0; for (int i = 0; i < 50000000; i++) s += i % 3; Thread.sleep(100); probe.await(); return s == 49999999L && denied(canary); }));
    System.out.println("ready");
    System.in.read();
    probe.countDown();
    boolean ok = true;
    for (var f : all) ok &= f.get();
    pool.shutdown();
    System.out.println("java " + ok + " " + denied(canary));
  }
}
JAVA
	# compiled before, once; else every start compiles
	java -m jdk.compiler/com.sun.tools.javac.Main Waits.java >javac.out 2>&1 || tap_note_file javac.out
	works "java with a pool of threads" "$few" 300 "java true true" \
		java -Xmx64m -cp . Waits "$work/canary.secret"
}

# A shell whose children come and go all the time: the sum must be right, the canary refused.
pipelines() {
	local i bad=0 pid
	cat >pipes.sh <<'SH'
echo ready
total=0
for ((n = 0, on = 1; on; n++)); do
	got=$(seq 1 50 | grep -v 7 | sort -n | head -n 20 | awk '{ s += $1 } END { print s }')
	total=$((total + got))
	[ ! -e enough ] || on=0
done
(echo x >"$1") 2>/dev/null && echo "canary written"
sh -c 'echo x >"$1"' sh "$1" 2>/dev/null && echo "canary written by a child"
echo "each $((total / n)) $((total % n))"
SH
	for ((i = 0; i < times; i++)); do
		rm -f enough
		begin bash pipes.sh "$work/canary.secret"
		moment 200
		attach "$pid" || { tap_note_file err; bad=$((bad + 1)); }
		moment 100
		: >enough
		wait "$pid"
		exec 3>&-
		if [ "$(tail -n +2 out)" != "each 229 0" ] || [ -s perr ]; then
			bad=$((bad + 1))
			tap_note "attach $i: $(tail -n 1 out)" && tap_note_file perr
		fi
	done
	tap_is "bash pipelines with children coming and going: $times attaches" "$bad" 0
}

# A loop that deletes, attached to on its way, deletes no more. The last hundred are left until the attach is over: a
# slow one finds something to stop as well.
stops_deletion() {
	local pid id left
	mkdir -p files && touch files/{1..200}
	cat >forbid.json <<'JSON'
{
	"name": "forbid", "description": "no deletion", "max_actions_per_minute": 1000000,
	"allowed_action_types": ["file_read", "file_write", "code_execution"]
}
JSON
	begin python3 -c '
import os, sys, time
for n in range(1, 201):
    if n <= 100: time.sleep(0.01)
    if n == 101: sys.stdin.readline()
    try: os.unlink("files/%d" % n)
    except PermissionError: pass
    if n == 5: print("ready", flush=True)'
	timeout 120 "$VSANDBOX" attach -q -p "$work/forbid.json" "$pid" >id 2>err || tap_note_file err
	left=$(find files -type f | wc -l)
	echo >&3
	exec 3>&-
	wait "$pid"
	id=$(cat id)
	tap_is "a running delete loop is stopped: none goes after the attach" "$(find files -type f | wc -l)" "$left"
	tap_is "and it had begun" "$([ "$left" -lt 200 ] && [ "$left" -ge 100 ] && echo yes)" yes
	within 60 session_ended "$id"
	tap_is "the session has ended, and its log holds" \
		"$("$VSANDBOX" ps --json | python3 -c 'import json,sys; print([s["state"] for s in json.load(sys.stdin)["sessions"] if s["id"]==sys.argv[1]][0])' "$id") $("$VSANDBOX" audit verify "$id" >/dev/null 2>&1 && echo verified)" "ended verified"
	tap_is "every refused deletion is an event" "$("$VSANDBOX" logs --decision block "$id" | grep -c file_delete)" "$left"
}

refused_times() { [ "$("$VSANDBOX" logs --decision block "$1" | grep -c a.secret)" -ge "$2" ]; }

# kill ends all of it; the monitor's death as well; detach lets it go on.
ends() {
	local pid id monitor before
	begin bash -c 'echo ready; while :; do sleep 0.05; done'
	attach "$pid" || tap_note_file err
	id=$(cat id)
	"$VSANDBOX" kill "$id"
	tap_is "kill ends the attached process" "$(within 60 gone "$pid" && echo gone)" gone
	tap_is "and the session" "$(within 60 session_ended "$id" && echo ended)" ended

	begin bash -c 'echo ready; while :; do sleep 0.05; done'
	attach "$pid" || tap_note_file err
	id=$(cat id)
	monitor=$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["monitor"]["pid"])' \
		"$XDG_STATE_HOME/vsandbox/sessions/$id/session.json")
	kill -9 "$monitor"
	tap_is "the monitor's death ends it" "$(within 60 gone "$pid" && echo gone)" gone

	rm -f -- *.secret
	begin bash -c 'while :; do echo x >>a.secret; echo ready; sleep 0.02; done'
	attach "$pid" || tap_note_file err
	id=$(cat id)
	within 60 refused_times "$id" 1
	before=$(stat -c %s a.secret)
	within 60 refused_times "$id" 10 || tap_note "it is not refused again and again"
	tap_is "what is refused stays refused" "$(stat -c %s a.secret)" "$before"
	"$VSANDBOX" detach "$id" 2>detach.err
	tap_is "detach says that the filter stays" "$(grep -c 'cannot be taken out' detach.err)" 1
	tap_is "detach lets it go on" "$(within 60 larger a.secret "$before" && echo on)" on
	kill "$pid"
	tap_is "and the monitor ends with it" "$(within 60 session_ended "$id" && echo ended)" ended
	exec 3>&-
}

# Without an overlay: what it replaced is in the journal, and comes back while it lives.
rolls_back() {
	local pid id
	rm -rf back && mkdir -p back/dir && echo original >back/kept && echo gone >back/deleted
	seq 1 50000 >back/large && echo x >back/dir/y && chmod 640 back/kept
	state() { (cd back && find . -printf '%p %y %m %s\n' | sort && cat kept deleted dir/y && cksum large) 2>&1; }
	local before
	before=$(state)
	begin python3 -c '
import os, sys
os.chdir("back")
print("ready", flush=True)
sys.stdin.readline()
open("kept", "w").write("changed")
os.unlink("deleted")
os.rename("dir", "moved")
open("new", "w").write("n")
os.chmod("kept", 0o600)
open("large", "r+").write("zzz")
os.unlink("large")
print("changed", flush=True)
sys.stdin.readline()'
	attach "$pid" || tap_note_file err
	id=$(cat id)
	echo >&3
	within 60 said changed out
	tap_is "an attached process changes the real files" "$([ "$(state)" != "$before" ] && echo yes)" yes
	"$VSANDBOX" pause "$id" 2>/dev/null
	tap_is "pause stops it" "$(grep -c '^State:.t' "/proc/$pid/status")" 1
	"$VSANDBOX" resume "$id" 2>/dev/null
	tap_is "resume lets it go on" "$(within 60 grep -q '^State:.[SRD]' "/proc/$pid/status" && echo on)" on
	tap_is "diff tells what it changed since, deletions first" \
		"$("$VSANDBOX" diff --name-status "$id" | sed "s|$work/back/||" | tr '\t\n' ': ')" \
		"D:deleted D:dir/ D:large M:kept A:moved/ A:new "
	tap_is "and the name that something had before" \
		"$("$VSANDBOX" diff --json "$id" | python3 -c 'import json,sys; print([c["renamed_from"][-3:] for c in json.load(sys.stdin)["changes"] if "renamed_from" in c])')" \
		"['dir']"
	rm -rf copy && cp -a back copy
	"$VSANDBOX" diff -p "$id" "$work/back" >back.patch
	patch -s -R -p1 -d copy <back.patch >patch.out 2>&1 || tap_note_file patch.out
	tap_is "its patch, taken back from a copy, leads to what was there" \
		"$(cd copy && cat kept deleted 2>&1; cksum <large)" "$(printf 'original\ngone\n'; seq 1 50000 | cksum)"
	"$VSANDBOX" commit --yes "$id" 2>commit.err
	tap_is "commit has nothing to do and says so" "$? $(grep -c 'nothing to commit' commit.err)" "0 1"
	"$VSANDBOX" rollback --yes --last 7 "$id" >rollback.out 2>&1 || tap_note_file rollback.out
	tap_is "rollback puts everything back while it lives" "$(state)" "$before"
	tap_is "and then diff has nothing to tell" "$("$VSANDBOX" diff --name-status "$id")" ""
	echo >&3
	exec 3>&-
	wait "$pid"

	begin python3 -c '
import os, sys
print("ready", flush=True)
sys.stdin.readline()
os.unlink("back/kept")'
	attach "$pid" || tap_note_file err
	id=$(cat id)
	echo >&3
	wait "$pid"
	exec 3>&-
	within 60 session_ended "$id"
	tap_is "what it deleted is gone" "$([ -e back/kept ] || echo gone)" gone
	"$VSANDBOX" rollback --yes --last 1 "$id" >rollback.out 2>&1 || tap_note_file rollback.out
	tap_is "rollback of the ended session brings it back" "$(state)" "$before"
}

# Random changes by an attached process: diff, taken back on a copy, and undo lead to what was there.
tells_all() {
	local pid id seed
	for seed in 1 2 3; do
		rm -rf rand rand.before rand.copy && mkdir rand
		begin python3 "$here/changes.py" "$seed" rand
		cp -a rand rand.before
		attach "$pid" || tap_note_file err
		id=$(cat id)
		echo >&3
		exec 3>&-
		wait "$pid"
		within 60 session_ended "$id"
		# every difference that there is, and no other
		"$VSANDBOX" diff --name-status "$id" "$work/rand" | sed "s|$work/rand/||; s|/\$||" | sort >told
		python3 "$here/changes.py" compare rand.before rand | sort >differ
		tap_is "seed $seed: it changed things" "$([ -s differ ] && echo yes)" yes
		if diff differ told >told.diff; then tap_ok "seed $seed: diff tells every change and no other"; else
			tap_not_ok "seed $seed: diff tells every change and no other"
			tap_note_file told.diff
		fi
		cp -a rand rand.copy
		"$VSANDBOX" diff -p "$id" "$work/rand" >rand.patch
		patch -s -R -p1 -d rand.copy <rand.patch >patch.out 2>&1 || tap_note_file patch.out
		(cd rand.copy && find . -type f -exec md5sum {} + | sort) >copy.sums
		(cd rand.before && find . -type f -exec md5sum {} + | sort) >before.sums
		if diff before.sums copy.sums >sums.diff; then tap_ok "seed $seed: its patch taken back gives every text"; else
			tap_not_ok "seed $seed: its patch taken back gives every text"
			tap_note_file sums.diff
		fi
		"$VSANDBOX" undo --yes "$id" >undo.out 2>&1 || tap_note_file undo.out
		tap_is "seed $seed: undo brings all of it back" \
			"$(cd rand && find . -printf '%p %y %m %s %l %T@\n' | sort)" \
			"$(cd rand.before && find . -printf '%p %y %m %s %l %T@\n' | sort)"
	done
}

# The attached process is the same user: it must not reach what could free it or hide what it did.
guards_itself() {
	local pid id dir
	begin python3 -c '
import os, socket, sys
print("ready", flush=True)
dir, sock, monitor, config = sys.stdin.readline().split()
def refused(f):
    try: f()
    except PermissionError: return "refused"
    except OSError as e: return str(e)
    return "DONE"
def connect():
    s = socket.socket(socket.AF_UNIX)
    s.connect(sock)
print(refused(connect), refused(lambda: open(dir + "/events.jsonl", "a")), refused(lambda: open(dir + "/session.json")),
      refused(lambda: open("/proc/%s/mem" % monitor, "r+b")), refused(lambda: open(config + "/forged.json", "w")),
      refused(lambda: os.rename(os.path.dirname(config), "moved")), flush=True)'
	attach "$pid" || tap_note_file err
	id=$(cat id)
	dir=$XDG_STATE_HOME/vsandbox/sessions/$id
	echo "$dir $(python3 -c 'import json,sys; s=json.load(open(sys.argv[1])); print(s["control"], s["monitor"]["pid"])' "$dir/session.json") $XDG_CONFIG_HOME/vsandbox" >&3
	wait "$pid"
	exec 3>&-
	tap_is "control socket, log, session file, the monitor's memory and the configuration are out of its reach" \
		"$(tail -n 1 out)" "refused refused refused refused refused refused"
}

# One line, a reason that names the cause, and the process goes on as before.
refused() {
	local claim=$1 pid=$2 reason=$3
	attach "$pid"
	local code=$?
	tap_is "$claim: refused" "$code" 125
	if grep -q "$reason" err; then tap_ok "$claim: the reason is named"; else
		tap_not_ok "$claim: the reason is named"
		tap_note_file err
	fi
	tap_is "$claim: it was left alone" "$(grep -h '^Seccomp:\|^NoNewPrivs:' "/proc/$pid/status" 2>/dev/null | tr -d '\n\t')" \
		"${4:-NoNewPrivs:0Seccomp:0}"
}

refusals() {
	local pid tracer
	begin sh -c 'echo ready; exec sleep 600'
	strace -o /dev/null -p "$pid" 2>/dev/null &
	tracer=$!
	within 60 grep -q 'TracerPid:.[1-9]' "/proc/$pid/status"
	refused "under strace" "$pid" "traced already, by pid $tracer (strace)"
	kill "$tracer" && wait "$tracer" 2>/dev/null
	attach "$pid"
	tap_is "and taken when strace has gone" $? 0
	refused "attached to already" "$pid" "seccomp\|listener" "NoNewPrivs:1Seccomp:2"
	"$VSANDBOX" kill "$(cat id 2>/dev/null || echo none)" 2>/dev/null
	kill -9 "$pid" 2>/dev/null

	begin sh -c 'echo ready; exec sleep 600'
	if gdb -q -batch -p "$pid" -ex 'shell true' >/dev/null 2>&1; then
		mkfifo go_on
		gdb -q -p "$pid" -batch -ex 'shell head -n 1 go_on' >/dev/null 2>&1 &
		tracer=$!
		within 60 grep -q 'TracerPid:.[1-9]' "/proc/$pid/status"
		refused "under gdb" "$pid" "traced already"
		exec 4<>go_on
		echo >&4
		wait "$tracer"
		exec 4>&-
	else
		tap_skip "under gdb" "no gdb that may trace"
	fi
	kill -9 "$pid"

	begin "$ATTACH_BIN/refuse" io_uring
	if said ready out; then
		refused "with an io_uring" "$pid" "io_uring already"
	else
		tap_skip "with an io_uring" "io_uring is switched off here"
	fi
	begin "$ATTACH_BIN/refuse" strict
	refused "in strict mode" "$pid" "strict seccomp mode" "NoNewPrivs:0Seccomp:1"
	begin "$ATTACH_BIN/refuse" listener
	refused "with a listener" "$pid" "listener already\|filters of its own" "NoNewPrivs:1Seccomp:2"
	begin "$ATTACH_BIN/refuse" full
	refused "without a descriptor to spare" "$pid" "no descriptor to spare"
	if unshare -Urm true 2>/dev/null; then
		begin unshare -Urm sh -c 'echo ready; exec sleep 600'
		refused "in a namespace" "$pid" "another user namespace\|may not be looked into\|another mount"
	else
		tap_skip "in a namespace" "unshare -Urm is not allowed"
	fi
	timeout 120 "$VSANDBOX" attach 99999999 2>err
	tap_is "no such process: refused" "$? $(grep -c 'there is no process' err)" "125 1"
	timeout 120 "$VSANDBOX" attach nonsense 2>err
	tap_is "not a number: refused" "$?" 125
	timeout 120 "$VSANDBOX" attach 1 2>err
	tap_is "init: refused" "$?" 125
	if [ "$(id -u)" != 0 ]; then
		timeout 120 "$VSANDBOX" attach 2 2>err
		tap_is "somebody else's: refused" "$?" 125
	fi
	begin sh -c 'echo ready; exec sleep 600'
	timeout 120 "$VSANDBOX" attach --net allowlist -p "$work/limited.json" "$pid" 2>err
	tap_is "a policy with limits: refused, with the reason" "$? $(grep -c 'limits are set when' err)" "125 1"
	"$VSANDBOX" doctor --pid "$pid" >doctor.out
	tap_is "doctor --pid says yes beforehand" "$? $(grep -c '^fail' doctor.out)" "0 0"
	"$VSANDBOX" doctor --pid 1 >doctor.out
	tap_is "and no" "$? $([ "$(grep -c '^fail' doctor.out)" -ge 1 ] && echo reasons)" "123 reasons"
}

# Killed while it is being stopped and injected: an error or a session that ends; never a hang.
dying() {
	local i bad=0 pid code attaching
	for ((i = 0; i < times; i++)); do
		begin "$ATTACH_BIN/target" "$work/canary.secret" 1 20
		attach "$pid" &
		attaching=$!
		moment 100
		kill -9 "$pid"
		wait "$attaching"
		code=$?
		exec 3>&-
		[ "$code" = 0 ] || [ "$code" = 125 ] || { bad=$((bad + 1)); tap_note "exit $code"; tap_note_file err; }
		wait "$pid" 2>/dev/null
		if [ "$code" = 0 ] && ! within 60 session_ended "$(cat id)"; then
			bad=$((bad + 1))
			tap_note "the session of a dead process goes on"
		fi
	done
	tap_is "a target that dies meanwhile: $times times" "$bad" 0
}

lists_and_cuts() {
	local pid
	begin python3 -c '
import socket, sys
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
c = socket.create_connection(s.getsockname()); a, _ = s.accept()
f = open("held.txt", "w")
print("ready", flush=True)
sys.stdin.readline()
try: print("got", c.recv(1), flush=True)
except OSError as e: print(e, flush=True)'
	attach --cut-connections "$pid" || tap_note_file err
	tap_is "files held open are listed" "$(grep -c 'writes .*held.txt' err)" 1
	tap_is "both ends of a connection are cut" "$(grep -c 'was connected (cut)' err)" 2
	tap_is "a listening socket is listed" "$(grep -c 'listens at 127.0.0.1' err)" 1
	echo >&3
	wait "$pid"
	exec 3>&-
	tap_is "the cut connection reads its end" "$(tail -n 1 out)" "got b''"
}

waiting_threads
computing
python_threads
node_workers
java_threads
pipelines
busy_nginx
busy_redis
# initdb wants its user to have a name; for the nameless one the suite of root, who runs it as nobody, stands
! id -un >/dev/null 2>&1 || busy_postgres
stops_deletion
lists_and_cuts
rolls_back
tells_all
guards_itself
ends
dying
refusals
tap_done
