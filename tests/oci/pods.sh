# shellcheck shell=bash
# Pods: containerd as the kubelet speaks to it, and podman's play kube. Sourced by run.sh, which sets what is used here.
# shellcheck disable=SC2154

# busybox and the files as an image, for engines that start from nothing else.
pod_image() {
	tar -C "$rootfs" -cf root.tar . && podman_conf &&
		podman_here import --change 'CMD ["/bin/sleep", "600"]' root.tar localhost/bb:1
}

# cri_run HANDLER OPTION... -- COMMAND...
cri_run() {
	local handler=$1 options=()
	shift
	while [ "$1" != -- ]; do options+=("$1") && shift; done
	shift
	timeout 100 /usr/bin/python3 "$here/cri.py" "${options[@]}" "$work/c.sock" "$handler" localhost/bb:1 \
		"$work/pods" "$@"
}

# The wrapper has no policy: the pod's annotation names it. The handler is the one that is shipped.
cri_config() {
	cat >wrap-cri <<X
#!/bin/sh
exec "$work/vsandbox-runc" --vsandbox-socket "$sock" "\$@"
X
	chmod +x wrap-cri
	cat - <(sed "/^version/d; s|/usr/bin/vsandbox-runc|$work/wrap-cri|" \
		"$here/../../packaging/containers/containerd.toml") >cri.toml <<X
version = 2
root = "$work/containerd"
state = "$work/containerd-state"
[grpc]
  address = "$work/c.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$work/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/bb:1"
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "native"
  default_runtime_name = "plain"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.plain]
  runtime_type = "io.containerd.runc.v2"
X
}

cri_claims() {
	local pid named=(--annotation io.vsandbox.policy=open)
	if ! /usr/bin/python3 -c 'import grpc' 2>/dev/null; then
		tap_skip "containerd's CRI" "there is no python3-grpcio"
		return
	fi
	have podman || { tap_skip "containerd's CRI" "there is no podman to make an image" && return; }
	cri_config
	containerd -c cri.toml >cri.log 2>&1 &
	pid=$!
	ours+=("$pid")
	within 30 listens "$work/c.sock" || tap_note_file cri.log
	if ! { pod_image && podman_here save --format docker-archive -o image.tar localhost/bb:1 &&
		timeout 60 ctr -a "$work/c.sock" -n k8s.io image import image.tar; } >image.out 2>&1; then
		tap_note_file image.out
	fi

	start_agent
	tap_is "CRI: under another handler nobody is asked" "$(cri_run plain -- /bin/cat /root/canary.secret)" kept
	engine_claims "CRI" cri_run vsandbox "${named[@]}" --
	tap_is "CRI: the pod's sandbox is decided on as its container is" \
		"$(grep -c ' decides on container ' agent.log)" 2
	engine_claims "CRI, RuntimeDefault" cri_run vsandbox "${named[@]}" --profile default --
	bundle b runc "$work/open.json" /bin/true
	profile_of b >profile.json
	engine_claims "CRI, Localhost" cri_run plain --profile "$work/profile.json" --
	tap_is "CRI: a pod that names no policy gets nothing" \
		"$(cri_run vsandbox -- /bin/cat /root/data 2>/dev/null)" ""
	stop_agent
	cri_run vsandbox "${named[@]}" -- /bin/echo LEAK >cri.out 2>cri.err
	tap_is "CRI: no agent, no pod" "$? $(cat cri.out)$(grep -c 'seccomp agent' cri.err)" "125 1"
	kill "$pid"
	wait "$pid" 2>/dev/null
}

kube_over() {
	podman_here logs kube-c >kube.log 2>&1
	said over kube.log
}

# play kube ignores securityContext.seccompProfile: the annotation and the hook, or the runtime, decide.  RUNTIME
kube_claims() {
	if ! have catatonit && [ ! -x /usr/libexec/podman/catatonit ]; then
		tap_skip "podman play kube, $1" "there is no catatonit"
		return
	fi
	pod_image >image.out 2>&1 || tap_note_file image.out
	cat >pod.yaml <<X
apiVersion: v1
kind: Pod
metadata:
  name: kube
  annotations:
    io.vsandbox.policy: open
spec:
  hostNetwork: true
  restartPolicy: Never
  containers:
  - name: c
    image: localhost/bb:1
    imagePullPolicy: Never
    command: [/bin/sh, -c, "cat /root/data; cat /root/canary.secret; echo over"]
X
	podman_here --runtime "$1" --hooks-dir hooks.d play kube pod.yaml >kube.out 2>&1 || tap_note_file kube.out
	within 30 kube_over || tap_note_file kube.log
	tap_is "podman play kube, $1: the policy that its pod names is kept" \
		"$(grep -cx data kube.log) $(grep -c 'canary.secret.*Permission denied' kube.log) $(grep -cx kept kube.log)" "1 1 0"
	podman_here --runtime "$1" play kube --down pod.yaml >kube.out 2>&1 || tap_note_file kube.out
}
