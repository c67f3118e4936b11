#!/bin/bash
# Containers of other runtimes under the agent. TAP.  Usage: run.sh [--levels 0,1,2]
#
#   0 a runtime that is none, and what it can send   1 what patch makes of a configuration
#   2 runc   3 crun   4 podman   5 containerd   6 buildah, Docker, gVisor   7 the agent under systemd
#
# VSANDBOX and OCI_BIN (fake) come from the Makefile. No container has a network. A level whose program is
# missing is skipped by name.

set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/lib/tap.sh
. "$here/../lib/tap.sh"
# shellcheck source=tests/oci/pods.sh
. "$here/pods.sh"
# shellcheck source=tests/oci/server.sh
. "$here/server.sh"
# shellcheck source=tests/oci/hostile.sh
. "$here/hostile.sh"
# shellcheck source=tests/oci/systemd.sh
. "$here/systemd.sh"
VSANDBOX=${VSANDBOX:-$here/../../build/release/vsandbox}
OCI_BIN=${OCI_BIN:-$here/../../build/release/tests/oci}
levels="0 1 2 3 4 5 6 7"
while [ $# -gt 0 ]; do
	case $1 in
	--levels) levels=${2//,/ } && shift ;;
	*) echo "usage: run.sh [--levels LIST]" >&2 && exit 2 ;;
	esac
	shift
done

work=$(mktemp -d /tmp/vsoci.XXXXXX)
cd "$work" || exit 1
export XDG_STATE_HOME=$work/state XDG_CONFIG_HOME=$work/config XDG_RUNTIME_DIR=$work/run
mkdir -m 700 "$XDG_STATE_HOME" "$XDG_CONFIG_HOME" "$XDG_RUNTIME_DIR"
sock=$work/s.sock
rootfs=$work/rootfs
cat >open.json <<'JSON'
{
	"name": "open",
	"description": "everything but *.secret",
	"max_actions_per_minute": 1000000,
	"blocked_resources": ["*.secret"]
}
JSON
# an annotation names an installed one
mkdir -p "$XDG_CONFIG_HOME/vsandbox/policies" && cp open.json "$XDG_CONFIG_HOME/vsandbox/policies/"
cat >ask.json <<'JSON'
{
	"name": "ask",
	"description": "a person is asked about *.ask",
	"max_actions_per_minute": 1000000,
	"rules": [{ "name": "asks", "action_type": "code_execution", "resource_pattern": "*.ask", "effect": "pause" }]
}
JSON

# shellcheck source=tests/oci/rootless.sh
. "$here/rootless.sh"

# Only what we started, by its number.
ours=()
agent=
finish() {
	local p
	[ -z "$agent" ] || kill "$agent" 2>/dev/null && wait "$agent" 2>/dev/null
	[ -z "${manager:-}" ] || stop_manager
	for p in "${ours[@]}"; do kill -9 "$p" 2>/dev/null; done
	for c in "$work"/runc/*; do [ ! -d "$c" ] || runc --root "$work/runc" delete -f "${c##*/}"; done 2>/dev/null
	for p in podman buildah; do
		[ ! -d "$work/$p" ] || find "$work/$p" "$work/$p-run" -type d -name merged -exec umount {} \; 2>/dev/null
	done
	rootless_finish
	[ -n "${OCI_KEEP:-}" ] || rm -rf "$work"
}
trap finish EXIT
trap '' PIPE

# Waits up to $1 seconds until the rest of the line is true.
within() {
	local until=$((${EPOCHREALTIME/./} + $1 * 1000000))
	shift
	until "$@"; do
		((${EPOCHREALTIME/./} < until)) || return 1
		sleep 0.05
	done
}

said() { grep -q -- "$1" "$2" 2>/dev/null; }
listens() { [ -S "$1" ] && python3 -c 'import socket,sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])' "$1" 2>/dev/null; }

# An agent with the options given, its messages in agent.log.
start_agent() {
	rm -f "$sock"
	"$VSANDBOX" oci agent --listen "$sock" "$@" 2>agent.log &
	agent=$!
	within 30 listens "$sock" || tap_note_file agent.log
}

stop_agent() {
	[ -z "$agent" ] || kill "${1:--TERM}" "$agent"
	wait "$agent" 2>/dev/null
	agent=
}

# A root file system of busybox, with one file that the policy keeps.
make_rootfs() {
	local box=$1 a
	mkdir -p "$rootfs"/{bin,dev,etc,proc,sys,tmp,root}
	cp "$box" "$rootfs/bin/busybox"
	for a in $("$box" --list); do
		[ "$a" = busybox ] || ln -sf busybox "$rootfs/bin/$a"
	done
	echo root:x:0:0:root:/root:/bin/sh >"$rootfs/etc/passwd"
	echo root:x:0: >"$rootfs/etc/group"
	echo kept >"$rootfs/root/canary.secret"
	echo data >"$rootfs/root/data"
	printf '#!/bin/sh\necho ran\n' >"$rootfs/root/tool.ask"
	chmod 755 "$rootfs/root/tool.ask"
}

# Where busybox was built without being static its libraries are copied too.
find_busybox() {
	local box=$1 lib
	make_rootfs "$box"
	for lib in $(ldd "$box" 2>/dev/null | grep -o '/[^ ]*'); do
		mkdir -p "$rootfs${lib%/*}" && cp "$lib" "$rootfs$lib"
	done
}

# A bundle that runs the rest of the line.  bundle DIR RUNTIME POLICY COMMAND...
bundle() {
	local dir=$1 runtime=$2 policy=$3
	shift 3
	mkdir -p "$dir"
	(cd "$dir" && rm -f config.json && runc spec)
	python3 - "$dir/config.json" "$rootfs" "$@" <<'PY'
import json, sys
path, root, args = sys.argv[1], sys.argv[2], sys.argv[3:]
c = json.load(open(path))
c["process"].update(terminal=False, args=args)
c["process"].pop("rlimits", None)
c["root"] = {"path": root, "readonly": False}
json.dump(c, open(path, "w"))
PY
	"$VSANDBOX" oci patch --runtime "$runtime" --policy "$policy" --socket "$sock" --in-place \
		"$dir/config.json" || tap_note "the bundle was not patched"
}

latest() { "$VSANDBOX" ps --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["sessions"][0]["id"])'; }

# Is the latest session that of container $1? A runtime says that it is started before its session is there.
serves() { grep -qs "\"container\":\"$1\"" "$XDG_STATE_HOME/vsandbox/sessions/$(latest)/session.json"; }

moved() { [ "$(readlink "/proc/$1/ns/mnt")" != "$(readlink /proc/self/ns/mnt)" ]; }

claim_json() {
	printf '{"ociVersion":"1.0.2","fds":[%s],"pid":%%p,"metadata":"policy=%s","state":{"ociVersion":"1.0.2","id":"%s","status":"creating","pid":%%p,"bundle":"/nowhere","annotations":{}}}' \
		"$1" "$2" "$3"
}

level_0() {
	local open=$work/open.json way
	echo kept >canary.secret
	echo data >data
	[ "$(id -u)" = 0 ] || { tap_skip "level 0" "a mount namespace of one's own needs root" && return; }
	start_agent
	send() { # WAY FDS POLICY ID
		timeout 20 "$OCI_BIN/fake" "$sock" "$1" "$(claim_json "$2" "$3" "$4" | sed 's/%p/@p/2; s/@p/0/')" \
			/bin/cat "$work/data" "$work/canary.secret" 2>&1
	}
	# it is given up after seconds: until then the others are served
	(exec timeout 120 "$OCI_BIN/fake" "$sock" half "$(claim_json '"seccompFd"' "$open" half)" /bin/cat "$work/data" \
		>half.out 2>&1) &
	ours+=($!)
	local served="data
/bin/cat: $work/canary.secret: Permission denied"
	for way in whole split stay; do
		tap_is "a listener sent $way is served" "$(send "$way" '"seccompFd"' "$open" "$way")" "$served"
	done
	tap_is "of two descriptors the one called seccompFd" \
		"$(send two '"other","seccompFd"' "$open" two)" "$served"
	tap_is "no descriptor: nothing passes" "$(send none '"seccompFd"' "$open" none)" "exec: ENOSYS"
	tap_is "a pipe instead: nothing passes" "$(send wrong '"seccompFd"' "$open" wrong)" "exec: ENOSYS"
	tap_is "a name that is not there: nothing passes" "$(send whole '"x"' "$open" name)" "exec: ENOSYS"
	tap_is "a policy that is not there: nothing passes" \
		"$(send whole '"seccompFd"' no-such-policy nopolicy)" "exec: ENOSYS"
	tap_is "and the agent says why" "$(grep -c 'no-such-policy' agent.log | sed 's/[1-9].*/said/')" said
	tap_is "no policy and no default: nothing passes" \
		"$(send whole '"seccompFd"' "" unnamed)" "exec: ENOSYS"
	tap_is "two MiB without an end: nothing passes" \
		"$(timeout 20 "$OCI_BIN/fake" "$sock" long '{"a":1,' /bin/cat "$work/data" 2>/dev/null)" "exec: ENOSYS"
	unshare -m sleep 60 &
	local other=$!
	ours+=("$other")
	within 30 moved "$other"
	tap_is "a claim for a process elsewhere: nothing passes" "$(timeout 20 "$OCI_BIN/fake" "$sock" whole \
		"$(claim_json '"seccompFd"' "$open" elsewhere | sed "s/%p/$other/g")" /bin/cat "$work/data" 2>&1)" "exec: ESRCH"
	tap_is "a claim for a process in no container: nothing passes" "$(timeout 20 "$OCI_BIN/fake" "$sock" whole \
		"$(claim_json '"seccompFd"' "$open" host | sed "s/%p/$$/g")" /bin/cat "$work/data" 2>&1)" "exec: ENOSYS"
	timeout 20 "$OCI_BIN/fake" "$sock" leave x x
	tap_is "who connects and leaves harms nobody" "$(send whole '"seccompFd"' "$open" after)" "$served"
	tap_is "half a message is given up" "$(within 30 said ENOSYS half.out && echo ENOSYS)" ENOSYS
	tap_is "a user that was not named may not connect" "$(chmod 777 "$work" "$sock"
		timeout 10 setpriv --reuid 54321 --regid 54321 --clear-groups /usr/bin/python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.settimeout(5); print(s.recv(1))' "$sock")" "b''"
	chmod 700 "$work"
	stop_agent

	start_agent --default-policy "$open"
	tap_is "the agent's default serves who names none" "$(send whole '"seccompFd"' "" default)" "$served"
	stop_agent
	start_agent --allow-uid 54321 --default-policy "$open"
	hostile_user "$served"
	stop_agent
	start_agent --require-registration
	tap_is "who was not registered is refused" "$(send whole '"seccompFd"' "$open" reg)" "exec: ENOSYS"
	echo '{"ociVersion":"1.0","id":"reg","status":"created","bundle":"/nowhere"}' |
		"$VSANDBOX" oci hook --socket "$sock" createRuntime || tap_not_ok "the hook was heard"
	tap_is "who was is served" "$(send whole '"seccompFd"' "$open" reg)" "$served"
	# one of that name whose process is there yet is no leave for another
	(exec "$OCI_BIN/fake" "$sock" whole "$(claim_json '"seccompFd"' "$open" reg | sed 's/%p/@p/2; s/@p/0/')" \
		/bin/sleep 600 >/dev/null 2>&1) &
	local still=$!
	ours+=("$still")
	within 30 said sleep "/proc/$still/comm"
	echo '{"ociVersion":"1.0","id":"reg","status":"stopped"}' | "$VSANDBOX" oci hook --socket "$sock" poststop
	tap_is "until its end" "$(send whole '"seccompFd"' "$open" reg)" "exec: ENOSYS"
	kill -9 "$still"
	stop_agent
	tap_is "a hook fails without an agent" "$(echo '{"id":"x"}' |
		"$VSANDBOX" oci hook --socket "$sock" createRuntime 2>/dev/null; echo $?)" 125
}

level_1() {
	local f name
	for f in "$here"/configs/*.json; do
		name=$(basename "$f" .json)
		"$VSANDBOX" oci patch --runtime runc --policy ci --socket /run/a.sock "$f" >patched.json 2>patch.err
		echo "rc $?" >got
		sed 's/^vsandbox: //' patch.err >>got
		[ ! -s patched.json ] || "$here/rules.py" patched.json >>got
		if [ -n "${UPDATE:-}" ]; then cp got "$here/configs/$name.golden"; fi
		if [ "$(uname -m)" != x86_64 ]; then
			tap_skip "patch of $name is as it was agreed" "the agreed form is that of x86-64"
		elif diff -u "$here/configs/$name.golden" got >diff.out; then
			tap_ok "patch of $name is as it was agreed"
		else
			tap_not_ok "patch of $name is as it was agreed"
			tap_note_file diff.out 40
		fi
		if [ -s patched.json ]; then
			tap_is "patch of $name widens nothing and lets nothing pass unasked" \
				"$("$here/rules.py" --against "$f" patched.json 2>&1)" ""
			"$VSANDBOX" oci patch --check --runtime runc --policy ci --socket /run/a.sock patched.json 2>check
			tap_is "a second patch of $name finds it done" "$? $(cat check)" \
				"0 vsandbox: patched.json: it asks the agent"
		fi
	done
	tap_is "gVisor is refused" "$("$VSANDBOX" oci patch --runtime /usr/bin/runsc --socket /run/a.sock \
		"$here/configs/none.json" 2>&1 | grep -c 'runsc (gVisor) ignores')" 1
	tap_is "crun's filter annotation is refused" "$(sed 's/"ociVersion"/"annotations":{"run.oci.seccomp_bpf_data":"AA=="},"ociVersion"/' \
		"$here/configs/none.json" >bpf.json && "$VSANDBOX" oci patch --runtime crun --socket /run/a.sock \
		bpf.json 2>&1 | grep -c 'would take the container from the agent')" 1
	tap_is "crun's section waits through signals" "$("$VSANDBOX" oci patch --runtime crun --socket /run/a.sock \
		"$here/configs/none.json" | grep -c WAIT_KILLABLE_RECV)" 1
	"$VSANDBOX" oci patch --runtime runc --register --socket /run/a.sock "$here/configs/none.json" >hooks.json
	tap_is "hooks have an environment of nothing" \
		"$(python3 -c 'import json; h=json.load(open("hooks.json"))["hooks"]; print([h[k][0]["env"] for k in ("createRuntime","poststop")])')" "[[], []]"
	hostile_configs
	hostile_lines
	printf '{"ociVersion":' >cut.json
	tap_is "half a file is an error" "$("$VSANDBOX" oci patch --runtime runc --check cut.json 2>/dev/null; echo $?)" 125
}

asked() { "$VSANDBOX" approve list 2>/dev/null | grep '\.ask'; }

# Allows what is asked about *.ask; held says what it was, and what held.out had by then.
answer_held() {
	local line
	within 30 asked >/dev/null
	line=$(asked | head -n 1)
	held="$(cat held.out) $(echo "$line" | awk '{ print $5 }')"
	"$VSANDBOX" approve allow "${line%% *}" 2>approve.err || tap_note_file approve.err
}

reads() { grep -c '^read data' "$1"; }
more_reads() { [ "$(reads "$1")" -gt "$2" ]; }

# What of the reader's output FILE says that it goes on, and how many calls were lost or let through.
goes_on() {
	within 60 more_reads "$1" "$(($(reads "$1") + 3))" && echo "goes on $(grep -c lost "$1") $(grep -c LEAK "$1")"
}

restarts() { [ "$(grep -c started manager.out)" -ge "$1" ]; }

gone() { ! kill -0 "$1" 2>/dev/null; }

# Reads for ever. A call that was under way when an agent ended is interrupted, and made again: it is not lost.
# shellcheck disable=SC2016 # for the container's shell
reader='while :; do
	x=$({ read -r x </root/data && echo "read $x"; } 2>&1)
	case $x in "read data") echo "$x" ;; *Interrupted*) ;; *) echo "lost: $x" ;; esac
	read -r x </root/canary.secret && echo LEAK
	usleep 50000
done'

# Reads as fast as it can. An open that says 0 where no descriptor has come reads nothing of the standard input.
# shellcheck disable=SC2016 # for the container's shell
hasty='n=0; while :; do
	x=data
	read -r x </root/data 2>/dev/null
	[ "$x" = data ] || echo "lost: $x"
	n=$((n + 1)); [ $((n % 50)) -ne 0 ] || echo "read data"
done'

# The session after an agent's end undoes what the one before it journaled.  rolls_back NAME SESSION RUN...
rolls_back() {
	local name=$1 before=$2 now
	shift 2
	now=$(latest)
	tap_is "$name: in another session, which goes on with the one before" "$([ "$now" != "$before" ] &&
		grep -o '"continues":"[^"]*"' "$XDG_STATE_HOME/vsandbox/sessions/$now/session.json")" "\"continues\":\"$before\""
	"$@" exec "$name-6" /bin/sh -c 'echo more >>/root/other'
	"$VSANDBOX" rollback --yes --last 2 "$now" >rollback.out 2>&1
	tap_is "$name: a rollback reaches back behind the restart" \
		"$? $(ls "$rootfs/root") $(grep -c 'network_request .*127.0.0.1' rollback.out)" "0 canary.secret
data
tool.ask 1"
}

# The claims that a runtime has to keep.  runtime_claims NAME COMMAND-PREFIX...
runtime_claims() {
	local name=$1
	shift
	local run=("$@") i
	start_agent
	bundle b "$name" "$work/open.json" /bin/sh -c \
		'cat /root/data; cat /root/canary.secret; ln /root/canary.secret /tmp/l; cat /tmp/l /proc/self/root/root/canary.secret; echo x >/tmp/new; cat /tmp/new'
	tap_is "$name: a denied read, by each of its names" "$("${run[@]}" run -b b "$name-1" </dev/null 2>/dev/null)" "data
x"
	tap_is "$name: and it is in the session's log" \
		"$("$VSANDBOX" logs --decision block "$(latest)" | grep -c 'canary.secret')" 3
	rm -f "$rootfs/tmp/new" "$rootfs/tmp/l"

	bundle b "$name" "$work/open.json" /bin/sh -c 'while :; do sleep 0.2; done'
	"${run[@]}" run -d -b b "$name-2" </dev/null >run.out 2>&1 || tap_note_file run.out
	local id init
	within 30 serves "$name-2"
	id=$(latest)
	tap_is "$name: exec is served by the same session" \
		"$("${run[@]}" exec "$name-2" /bin/cat /root/data /root/canary.secret 2>/dev/null)" data
	tap_is "$name: which still runs" "$("$VSANDBOX" ps --json | python3 -c '
import json, sys; print([s["state"] for s in json.load(sys.stdin)["sessions"]][:1])')" "['running']"
	"${run[@]}" exec "$name-2" /bin/sh -c 'echo changed >/root/data; mv /root/data /root/gone; mkdir /root/d' 2>/dev/null
	tap_is "$name: what it changes is real" "$(cat "$rootfs/root/gone")" changed
	"$VSANDBOX" rollback --yes --last 3 "$id" >rollback.out 2>&1 || tap_note_file rollback.out
	tap_is "$name: rollback puts it back" "$(cat "$rootfs/root/data"; ls "$rootfs/root")" "data
canary.secret
data
tool.ask"
	init=$(python3 -c 'import json,sys; print(json.load(sys.stdin)["attached_pid"])' \
		<"$XDG_STATE_HOME/vsandbox/sessions/$id/session.json")
	"$VSANDBOX" kill "$id"
	tap_is "$name: kill ends it" "$(within 30 gone "$init" && echo ended)" ended
	tap_is "$name: an ended one cannot be rolled back" \
		"$("$VSANDBOX" rollback --yes "$id" 2>&1 | grep -c 'whose files went with it')" 1
	"${run[@]}" delete -f "$name-2" 2>/dev/null

	bundle b "$name" "$work/ask.json" /root/tool.ask
	"${run[@]}" run -b b "$name-3" </dev/null >held.out 2>&1 &
	local job=$!
	ours+=("$job")
	answer_held
	tap_is "$name: an exec waits for a person" "$held" " code_execution"
	wait "$job"
	tap_is "$name: and goes on when it is allowed" "$? $(cat held.out)" "0 ran"

	bundle b "$name" "$work/open.json" /bin/sh -c "$reader"
	"${run[@]}" run -d -b b "$name-4" </dev/null >lost.out 2>&1 || tap_note_file lost.out
	within 30 said "read data" lost.out
	stop_agent -KILL
	tap_is "$name: without the agent its calls fail" "$(within 30 said lost lost.out && echo lost)" lost
	tap_is "$name: and nothing passes" "$(grep -c LEAK lost.out)" 0
	"${run[@]}" delete -f "$name-4" 2>/dev/null
	tap_is "$name: without the agent no container starts" \
		"$("${run[@]}" run -b b "$name-5" </dev/null >/dev/null 2>&1; echo $((${?} != 0)))" 1
	"${run[@]}" delete -f "$name-5" 2>/dev/null

	rm -f "$sock" manager.out
	python3 "$here/manager.py" "$sock" "$VSANDBOX" oci agent 2>agent.log >manager.out &
	local manager=$!
	ours+=("$manager")
	within 30 said started manager.out
	"${run[@]}" run -d -b b "$name-6" </dev/null >kept.out 2>&1 || tap_note_file kept.out
	within 30 said "read data" kept.out
	# before the agent ends: a change, and what no rollback takes back
	"${run[@]}" exec "$name-6" /bin/sh -c 'echo changed >/root/other; nc -w 1 127.0.0.1 9' 2>/dev/null
	id=$(latest)
	kill -USR1 "$manager"
	within 30 said "started 3" manager.out
	tap_is "$name: with its listeners kept it goes on under the next agent" "$(goes_on kept.out)" "goes on 0 0"
	rolls_back "$name" "$id" "${run[@]}"
	tap_is "$name: which decides as before" \
		"$("${run[@]}" exec "$name-6" /bin/cat /root/data /root/canary.secret 2>/dev/null)" data
	"${run[@]}" delete -f "$name-6" 2>/dev/null
	bundle b "$name" "$work/open.json" /bin/sh -c "$hasty"
	"${run[@]}" run -d -b b "$name-7" </dev/null >hasty.out 2>&1 || tap_note_file hasty.out
	for ((i = 1; i <= 10; i++)); do
		goes_on hasty.out >/dev/null && kill -USR1 "$manager" && within 30 restarts "$((i + 2))"
	done
	tap_is "$name: an answer that is under way when an agent ends arrives or does not" "$(goes_on hasty.out)" "goes on 0 0"
	"${run[@]}" delete -f "$name-7" 2>/dev/null
	kill "$manager"
	wait "$manager" 2>/dev/null
}

level_2() {
	runtime_claims runc timeout 60 runc --root "$work/runc"
	rootless_claims
	userns_claims
}

# Root's container with users of its own: its init cannot be read before its execve.
userns_claims() {
	bundle b runc "$work/open.json" /bin/echo LEAK
	python3 - <<'PY'
import json
c = json.load(open("b/config.json"))
c["linux"]["namespaces"].append({"type": "user"})
c["linux"]["uidMappings"] = c["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
json.dump(c, open("b/config.json", "w"))
PY
	chmod 755 "$work"
	start_agent
	tap_is "root's container in a user namespace is refused" \
		"$(timeout 60 runc --root "$work/runc" run -b b u4 </dev/null 2>/dev/null)$(grep -c 'is not decided on yet' agent.log)" 1
	timeout 20 runc --root "$work/runc" delete -f u4 2>/dev/null
	stop_agent
}

# crun of Debian 12 takes hybrid cgroups for version 2 where this file names a controller: hidden from it.
hide_controllers() {
	: >empty
	cat >cgfix <<X
#!/bin/sh
f=/sys/fs/cgroup/unified/cgroup.controllers
grep -qs . "\$f" || exec "\$@"
exec unshare -m --propagation private sh -c 'mount --bind $work/empty '"\$f"' && exec "\$@"' sh "\$@"
X
	chmod +x cgfix
}

level_3() {
	runtime_claims crun timeout 60 "$work/cgfix" crun --root "$work/crun"
	hidden_claims
}

# A runtime for engines that take a path and no options.  wrapper FILE RUNTIME POLICY [REAL]
wrapper() {
	ln -sf "$VSANDBOX" "$work/vsandbox-$2"
	cat >"$1" <<X
#!/bin/sh
exec "$work/vsandbox-$2" --vsandbox-policy "$3" --vsandbox-socket "$sock" --vsandbox-real "${4:-$2}" "\$@"
X
	chmod +x "$1"
}

# podman with nothing of this machine's: own storage, no network, limits that may be set here.
podman_here() {
	CONTAINERS_CONF=$work/cc.conf timeout 90 "$work/cgfix" podman --root "$work/podman" \
		--runroot "$work/podman-run" "$@" </dev/null
}

# The three things that a container in an engine must show.  engine_claims NAME COMMAND...  before the command inside
engine_claims() {
	local name=$1 id
	shift
	tap_is "$name: a denied read" "$("$@" /bin/cat /root/data /root/canary.secret 2>/dev/null)" data
	tap_is "$name: which its session has" "$("$VSANDBOX" logs --decision block "$(latest)" | grep -c canary.secret)" 1
}

# Limits that may be set here, and no network.
podman_conf() {
	cat >cc.conf <<X
[containers]
default_ulimits = ["nofile=1024:1024","nproc=1024:1024"]
netns = "none"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
X
}

# The section that patch made of bundle $1, as a profile.
profile_of() {
	python3 -c 'import json, sys; json.dump(json.load(open(sys.argv[1]))["linux"]["seccomp"], sys.stdout)' "$1/config.json"
}

level_4() {
	local runtime job id
	podman_conf
	mkdir -p hooks.d
	cat >hooks.d/vsandbox.json <<X
{"version":"1.0.0","hook":{"path":"$VSANDBOX","args":["vsandbox","oci","hook","--socket","$sock","precreate"],
"env":[],"timeout":10},"when":{"annotations":{"^io\\\\.vsandbox\\\\.policy$":".*"}},"stages":["precreate"]}
X
	start_agent
	for runtime in runc crun; do
		have "$runtime" || { tap_skip "podman with $runtime" "there is no $runtime" && continue; }
		wrapper "wrap-$runtime" "$runtime" "$work/open.json"
		engine_claims "podman, wrapper, $runtime" podman_here --runtime "$work/wrap-$runtime" run --rm \
			--network=none --rootfs "$rootfs"
		engine_claims "podman, precreate hook, $runtime" podman_here --runtime "$runtime" --hooks-dir hooks.d \
			run --rm --annotation io.vsandbox.policy=open --network=none --rootfs "$rootfs"
		bundle b "$runtime" "$work/open.json" /bin/true
		profile_of b >profile.json
		engine_claims "podman, profile, $runtime" podman_here --runtime "$runtime" run --rm --network=none \
			--security-opt seccomp=profile.json --security-opt no-new-privileges --rootfs "$rootfs"
		tap_is "podman, $runtime: a policy that is not there stops it" "$(podman_here --runtime "$runtime" \
			--hooks-dir hooks.d run --rm --annotation io.vsandbox.policy=no-such --network=none \
			--rootfs "$rootfs" /bin/echo LEAK 2>/dev/null; echo $((${?} != 0)))" 1
		tap_is "podman, $runtime: an annotation that names a file stops it" "$(podman_here --runtime "$runtime" \
			--hooks-dir hooks.d run --rm --annotation "io.vsandbox.policy=$work/open.json" --network=none \
			--rootfs "$rootfs" /bin/echo LEAK 2>/dev/null; echo $((${?} != 0))) $(grep -c 'names a file' agent.log)" "1 1"
		kube_claims "$runtime"
		stop_agent
		rootless_podman_claims "$runtime"
		start_agent
	done

	wrapper wrap-ask runc "$work/ask.json"
	podman_here --runtime "$work/wrap-ask" run --rm --network=none --rootfs "$rootfs" /root/tool.ask >held.out 2>&1 &
	job=$!
	ours+=("$job")
	answer_held
	tap_is "podman: an exec waits for a person" "$held" " code_execution"
	wait "$job"
	tap_is "podman: and goes on when it is allowed" "$? $(cat held.out)" "0 ran"

	podman_here --runtime "$work/wrap-runc" run -d --name back --network=none --rootfs "$rootfs" \
		/bin/sh -c 'rm /root/data; echo other >/root/data; echo done; while :; do sleep 0.2; done' >run.out 2>&1
	within 30 grep -q other "$rootfs/root/data"
	id=$(latest)
	"$VSANDBOX" rollback --yes --last 2 "$id" >rollback.out 2>&1 || tap_note_file rollback.out
	tap_is "podman: rollback in the container" "$(cat "$rootfs/root/data")" data
	tap_is "podman: exec in it is decided on" \
		"$(podman_here --runtime "$work/wrap-runc" exec back /bin/cat /root/data /root/canary.secret 2>/dev/null)" data
	podman_here --runtime "$work/wrap-runc" rm -f -t 0 back >rm.out 2>&1 || tap_note_file rm.out
	stop_agent
	tap_is "podman: no agent, no container" "$(podman_here --runtime "$work/wrap-runc" run --rm --network=none \
		--rootfs "$rootfs" /bin/echo LEAK 2>/dev/null; echo $((${?} != 0)))" 1
	server_claims
}

level_5() {
	local pid
	have ctr || { tap_skip "level 5" "there is no ctr" && return; }
	cat >c.toml <<X
version = 2
root = "$work/containerd"
state = "$work/containerd-state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$work/c.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$work/opt"
X
	containerd -c c.toml >containerd.log 2>&1 &
	pid=$!
	ours+=("$pid")
	within 30 listens "$work/c.sock" || tap_note_file containerd.log
	wrapper wrap-ctr runc "$work/open.json"
	start_agent
	engine_claims "ctr" timeout 60 ctr -a "$work/c.sock" run --rm --runc-binary "$work/wrap-ctr" --rootfs "$rootfs" k1
	wrapper wrap-gvisor runc "$work/open.json" runsc
	tap_is "containerd shows why a container is refused" "$(timeout 60 ctr -a "$work/c.sock" run --rm \
		--runc-binary "$work/wrap-gvisor" --rootfs "$rootfs" k2 /bin/echo LEAK 2>&1 | grep -c 'gVisor. ignores')" 1
	stop_agent
	tap_is "containerd: no agent, no container" "$(timeout 60 ctr -a "$work/c.sock" run --rm --runc-binary \
		"$work/wrap-ctr" --rootfs "$rootfs" k3 /bin/echo LEAK 2>/dev/null; echo $((${?} != 0)))" 1
	kill "$pid"
	wait "$pid" 2>/dev/null
	cri_claims
}

level_6() {
	start_agent
	wrapper wrap-build runc "$work/open.json"
	cat >Containerfile <<'X'
FROM scratch
ADD root.tar /
RUN cat /root/data; cat /root/canary.secret; echo built >/built
X
	tar -C "$rootfs" -cf root.tar .
	timeout 120 buildah --root "$work/buildah" --runroot "$work/buildah-run" bud --storage-driver vfs --network=none \
		--ulimit nofile=1024:1024 --runtime "$work/wrap-build" -t localhost/x:1 -f Containerfile . >build.out 2>&1 </dev/null
	tap_is "a build step is decided on" "$? $(grep -c '^data' build.out) $(grep -c 'canary.secret.*Permission denied' build.out) $(grep -c '^kept' build.out)" "0 1 1 0"
	"$VSANDBOX" oci runtime --vsandbox-real runsc run -b b g 2>refused
	tap_is "gVisor as the real runtime is refused" "$? $(grep -c 'runsc (gVisor) ignores' refused)" "1 1"
	have dockerd || unpack_docker
	if have dockerd; then docker_claims; else tap_skip "Docker" "there is no dockerd"; fi
	stop_agent
}

# Its package starts a daemon of its own when it is installed: unpacked it does not.
unpack_docker() {
	(apt-get download docker.io && dpkg-deb -x docker.io_*.deb docker) >/dev/null 2>&1 || return
	PATH=$work/docker/usr/sbin:$work/docker/usr/bin:$PATH
}

docker_claims() {
	local pid
	cat >d.json <<X
{"runtimes":{"vsandbox":{"path":"$VSANDBOX","runtimeArgs":["oci","runtime","--vsandbox-policy","$work/open.json","--vsandbox-socket","$sock"]}},
"storage-driver":"vfs"}
X
	timeout 120 dockerd --config-file d.json -H "unix://$work/d.sock" --data-root "$work/dr" --exec-root "$work/de" \
		--pidfile "$work/d.pid" --bridge=none --iptables=false --ip6tables=false --ip-forward=false >dockerd.log 2>&1 &
	pid=$!
	ours+=("$pid")
	within 30 listens "$work/d.sock" || tap_note_file dockerd.log
	docker -H "unix://$work/d.sock" import root.tar bb >/dev/null 2>&1
	engine_claims "docker" timeout 60 docker -H "unix://$work/d.sock" run --rm --network none --runtime vsandbox bb
	kill "$pid"
	wait "$pid" 2>/dev/null
}

have() { command -v "$1" >/dev/null; }

tap_note "the kernel is $(uname -r)"
needs_root="2 3 4 5 6 7"
declare -A program=([2]=runc [3]=crun [4]=podman [5]=containerd [6]=buildah [7]=runc)
if have busybox; then find_busybox "$(command -v busybox)"; fi
hide_controllers
for level in $levels; do
	case " $needs_root " in
	*" $level "*)
		if [ "$(id -u)" != 0 ]; then tap_skip "level $level" "only root makes these containers here" && continue; fi
		if ! have busybox; then tap_skip "level $level" "there is no busybox" && continue; fi
		if ! have "${program[$level]}"; then tap_skip "level $level" "there is no ${program[$level]}" && continue; fi
		;;
	esac
	"level_$level"
done
tap_done
