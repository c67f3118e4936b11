load common

# oci patch, hook and agent without an engine; tests/oci has runc, crun, podman and the others.

config() {
	echo '{"ociVersion":"1.0.2","process":{"args":["true"]},"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],"syscalls":[{"names":["read","openat","execve"],"action":"SCMP_ACT_ALLOW"}]}}}' >config.json
}

listens() {
	[ -S agent.sock ] && [ "$(stat -c %a agent.sock)" = 600 ]
}

@test "oci patch: --check changes nothing, --stdout prints, --in-place replaces; twice is once" {
	config
	cp config.json before.json
	run "$VSANDBOX" oci patch --runtime runc --policy ci --check config.json
	[ "$status" -eq 0 ]
	[[ $output == *"it can be patched"* ]]
	cmp config.json before.json
	"$VSANDBOX" oci patch --runtime runc --policy ci --socket /run/x.sock config.json >printed.json
	cmp config.json before.json
	python3 - printed.json <<-'PY'
		import json, sys
		c = json.load(open(sys.argv[1]))
		s = c["linux"]["seccomp"]
		assert s["listenerPath"] == "/run/x.sock" and "policy=ci" in s["listenerMetadata"], s
		def actions(name):
		    return {r["action"] for r in s["syscalls"] if name in r["names"]}
		assert actions("execve") == {"SCMP_ACT_NOTIFY"}, s
		assert "SCMP_ACT_NOTIFY" in actions("openat"), s
		assert actions("read") == {"SCMP_ACT_ALLOW"}, s
		assert s["defaultAction"] == "SCMP_ACT_ERRNO" and c["process"]["args"] == ["true"]
	PY
	"$VSANDBOX" oci patch --runtime runc --policy ci --socket /run/x.sock --in-place config.json
	python3 -c 'import json; assert json.load(open("config.json")) == json.load(open("printed.json"))'
	cp config.json once.json
	"$VSANDBOX" oci patch --runtime runc --policy ci --socket /run/x.sock --in-place config.json
	cmp config.json once.json
	run "$VSANDBOX" oci patch --runtime runc --policy ci --socket /run/x.sock --check config.json
	[[ $output == *"it asks the agent"* ]]
	run "$VSANDBOX" oci patch --runtime runc --policy ci --in-place config.json # another agent's
	[ "$status" -eq 125 ]
	cmp config.json once.json
}

@test "oci patch: without a runtime, of no configuration, with two ways at once: refused, nothing written" {
	config
	cp config.json before.json
	for flags in "config.json" "--runtime docker config.json" "--runtime runc nosuch.json" "--runtime runc" \
		"--runtime runc --check --in-place config.json"; do
		# shellcheck disable=SC2086 # words
		run "$VSANDBOX" oci patch $flags
		[ "$status" -eq 125 ] || { echo "$flags: $status $output"; false; }
	done
	echo '{"linux":' >cut.json
	run "$VSANDBOX" oci patch --runtime runc --in-place cut.json
	[ "$status" -eq 125 ]
	[ "$(cat cut.json)" = '{"linux":' ]
	cmp config.json before.json
	run "$VSANDBOX" oci pacth --runtime runc config.json
	[ "$status" -eq 125 ]
	[[ $output == *"did you mean patch?"* ]]
	run "$VSANDBOX" oci
	[ "$status" -eq 125 ]
}

@test "oci hook: precreate changes what goes through it; a stage that nobody hears fails" {
	config
	"$VSANDBOX" oci hook --runtime crun --policy strict precreate <config.json >hooked.json
	python3 -c '
import json
assert json.load(open("hooked.json"))["linux"]["seccomp"]["listenerMetadata"] == "policy=strict"'
	run "$VSANDBOX" oci hook precreate <<<'{"cut'
	[ "$status" -eq 125 ]
	echo '{"ociVersion":"1.0.2","id":"c","pid":1,"status":"creating","bundle":"/x"}' >state.json
	run "$VSANDBOX" oci hook --socket "$PWD/agent.sock" createRuntime <state.json
	[ "$status" -eq 125 ]
	run "$VSANDBOX" oci hook startContainer <state.json
	[ "$status" -eq 125 ]
	[[ $output == *"is no hook"* ]]
}

@test "oci agent: listens for its user alone, hears hooks, leaves at TERM" {
	[ "$(id -u)" -eq 0 ] || skip "the agent of this machine is root's"
	"$VSANDBOX" oci agent --listen "$PWD/agent.sock" --require-registration 3>&- 2>agent.log &
	agent=$!
	eventually listens
	echo '{"ociVersion":"1.0.2","id":"c","status":"stopped","bundle":"/x"}' |
		"$VSANDBOX" oci hook --socket "$PWD/agent.sock" poststop
	# half a message does not keep it from the next
	python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b"{\"ociVersion\"")' "$PWD/agent.sock"
	run "$VSANDBOX" doctor --oci --socket "$PWD/agent.sock"
	[[ $output == *"$PWD/agent.sock"* ]]
	run timeout 60 "$VSANDBOX" oci agent --listen "$PWD/agent.sock"
	[ "$status" -eq 125 ]
	kill -TERM "$agent"
	await "$agent"
	[ "$status" -eq 0 ]
	run "$VSANDBOX" oci agent --allow-uid somebody
	[ "$status" -eq 125 ]
}
