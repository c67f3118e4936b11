# shellcheck shell=bash
# What somebody writes who wants a container to go undecided, and what a user does who may send. Sourced by run.sh,
# which sets what is used here.
# shellcheck disable=SC2154

# edited FILE PYTHON: the configuration without a profile, changed by statements on c.
edited() {
	python3 -c 'import json, sys
c = json.load(open(sys.argv[1]))
exec(sys.argv[3])
json.dump(c, open(sys.argv[2], "w"))' "$here/configs/none.json" "$1" "$2"
}

patch_says() { "$VSANDBOX" oci patch --runtime crun --socket /run/a.sock "$@" 2>&1; }

hostile_configs() {
	local name
	for name in run.oci.handler module.wasm.image/variant run.oci.seccomp.plugins; do
		edited odd.json "c['annotations'] = {'$name': 'x'}"
		tap_is "the annotation $name is refused" \
			"$(patch_says odd.json | grep -c "$name would take the container")" 1
	done
	for name in "c['Linux'] = {}" "c['linux']['\u017feccomp'] = {}" "c['process']['NoNewPrivileges'] = False"; do
		edited odd.json "$name"
		tap_is "a member that runc would take for ours is refused: $name" \
			"$(patch_says odd.json | grep -c 'which runc takes for')" 1
	done
	edited odd.json "c['linux']['seccomp'] = {'defaultAction': 'SCMP_ACT_ALLOW', 'Syscalls': [
		{'names': ['unlink'], 'action': 'SCMP_ACT_ALLOW'}]}"
	tap_is "what is unknown in a profile is dropped" "$(patch_says odd.json | grep -c Syscalls)" 0
	"$VSANDBOX" oci patch --runtime runc --socket /run/a.sock "$here/configs/none.json" >ours.json
	python3 - <<'PY'
import json
c = json.load(open("ours.json"))
c["linux"]["seccomp"]["syscalls"].insert(0, {"names": ["unlink"], "action": "SCMP_ACT_ALLOW",
    "args": [{"index": 0, "value": 0, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]})
json.dump(c, open("forged.json", "w"))
PY
	tap_is "a profile that looks like ours is held against the table" \
		"$(patch_says --check forged.json | grep -c 'lets unlink pass unasked')" 1
}

# line_does FILE RUNTIME WORD...: the exit code of the wrapper, whether the runtime ran, and whether FILE asks by then.
line_does() {
	local file=$1 runtime=$2
	shift 2
	mkdir -p line
	rm -f line/ran
	cp "$here/configs/none.json" line/config.json
	cp "$here/configs/none.json" line/other.json
	"$VSANDBOX" oci runtime --vsandbox-real "$work/fakes/$runtime" --vsandbox-socket "$sock" "$@" 2>line/err
	echo "$? $(find line -name ran | wc -l) $(grep -c SCMP_ACT_NOTIFY "line/$file")"
}

# Runtimes that say that they were called. The words they are called with are those that theirs take.
hostile_lines() {
	local line
	mkdir -p fakes
	printf '#!/bin/sh\necho "$@" >"%s/line/ran"\n' "$work" | tee fakes/runc >fakes/crun
	chmod +x fakes/runc fakes/crun
	while read -r line; do
		# shellcheck disable=SC2086 # words
		tap_is "what is read is patched: runc $line" "$(line_does config.json runc $line)" "0 1 1"
	done <<'X'
--root exec create --bundle line id
--root=exec --log-format json run -b line id
--log run create --bundle=line id
-- create --bundle line id
create --bundle /nowhere --bundle line id
X
	for line in "create --bundle line --config other.json id" "run --conf=other.json --bun line id" \
		"create -f $work/line/other.json id"; do
		# shellcheck disable=SC2086
		tap_is "what is read is patched: crun $line" "$(line_does other.json crun $line)" "0 1 1"
	done
	for line in "create -bline id" "create -bundle line id" "create -b=line id" "--new create create -b line id" \
		"-root create create -b line id" "restore --bundle line id" "create --bundle"; do
		# shellcheck disable=SC2086
		tap_is "what could be read in two ways is refused: $line" "$(line_does config.json runc $line)" "1 0 0"
	done
	tap_is "words of a program that exec starts are its own" "$(line_does config.json runc exec id mkdir -p x)" "0 1 0"
	echo '{"args":["x"]}' >line.process
	line_does config.json runc exec --pid-file p --process line.process id >/dev/null
	tap_is "its process gains nothing" "$(cat line.process)" '{"args":["x"],"noNewPrivileges":true}'
	mkdir -p twice
	sed 's/"linux": *{/"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW"},/' ours.json >twice/config.json
	tap_is "of two members of a name" "$(grep -o '"seccomp": *{' twice/config.json | wc -l)" 2
	"$VSANDBOX" oci runtime --vsandbox-real "$work/fakes/crun" --vsandbox-socket /run/a.sock create -b twice id
	tap_is "one is left for the runtime" "$(grep -o '"seccomp": *{' twice/config.json | wc -l)" 1
}

# A user who may send holds what may be held: the others are served all the same.  SERVED
hostile_user() {
	local held
	chmod 755 "$work"
	cp "$here/hold.py" hold.py && chmod 644 hold.py
	(exec timeout 120 setpriv --reuid 54321 --regid 54321 --clear-groups /usr/bin/python3 "$work/hold.py" "$sock" 64 >hold.out 2>&1) &
	held=$!
	ours+=("$held")
	within 60 said holds hold.out || tap_note_file hold.out
	tap_is "a user who holds connections holds a part of them" "$(grep -o 'holds [0-9]*' hold.out)" "holds 64"
	tap_is "and the next container of root's is served" "$(send whole '"seccompFd"' "$work/open.json" held)" "$1"
	kill "$held"
	# a bundle that leads to what its user may not read
	mkdir -p theirs && ln -sf "$work/stolen.json" theirs/config.json
	echo '{"process":{"args":["stolen"]}}' >stolen.json && chmod 600 stolen.json
	tap_is "a user's container is served" "$(setpriv --reuid 54321 --regid 54321 --clear-groups unshare -Ur \
		timeout 20 "$OCI_BIN/fake" "$sock" whole "$(claim_json '"seccompFd"' "" linked |
			sed "s/%p/@p/2; s/@p/0/; s|/nowhere|$work/theirs|; s/policy=//")" /bin/cat "$work/data" "$work/canary.secret" 2>&1)" "$1"
	tap_is "and its bundle is read as the user" "$(grep -l '"container":"linked"' \
		"$XDG_STATE_HOME"/vsandbox/sessions/*/session.json | wc -l) $(grep -l stolen \
		"$XDG_STATE_HOME"/vsandbox/sessions/*/session.json | wc -l)" "1 0"
	chmod 700 "$work"
	printf '{"vsandboxHook":"createRuntime","state":{"id":"a\\nvsandbox: container b: policy open"}}' |
		python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.send(sys.stdin.buffer.read()); s.settimeout(20); print(s.recv(9))' "$sock" >odd.out
	tap_is "a name with a line's end in it is none" "$(cat odd.out) $(grep -c 'id has control characters' agent.log)" "b'' 1"
}
