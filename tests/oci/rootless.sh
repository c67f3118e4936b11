# shellcheck shell=bash
# A user's containers: under an agent of the user's own, and under root's, which lets the user have one policy.
# Sourced by run.sh, which sets what is used here.
# shellcheck disable=SC2154

home=$work/user
user=54321

# The user has a name and subordinate ids in a mount namespace of this test's only.
rootless_home() {
	[ ! -d "$home" ] || return
	mkdir -p "$home/bundle" "$home/run" "$home/state"
	cp "$VSANDBOX" "$home/vsandbox"
	ln -s vsandbox "$home/vsandbox-runc"
	ln -s vsandbox "$home/vsandbox-crun"
	cp -r "$rootfs" "$home/rootfs"
	sed 's/"open"/"theirs"/' open.json >"$home/theirs.json"
	podman_conf
	cp cc.conf "$home/cc.conf"
	chmod 700 "$home/state" "$home/run"
	chown -R "$user:$user" "$home"
	{ cat /etc/passwd && echo "u:x:$user:$user::$home:/bin/sh"; } >passwd
	echo "u:200000:65536" >subids
	cat >as-user <<X
#!/bin/sh
for f in /etc/subuid /etc/subgid; do
	[ ! -e \$f ] || mount --bind "$work/subids" \$f || exit
done
mount --bind "$work/passwd" /etc/passwd || exit
f=/sys/fs/cgroup/unified/cgroup.controllers
[ ! -e \$f ] || mount --bind "$work/empty" \$f || exit
cd "$home" && exec setpriv --reuid $user --regid $user --clear-groups env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin \\
	HOME="$home" USER=u XDG_RUNTIME_DIR="$home/run" XDG_STATE_HOME="$home/state" CONTAINERS_CONF="$home/cc.conf" "\$@"
X
	chmod 755 as-user
}

as_user() { timeout 90 unshare -m --propagation private ./as-user "$@" </dev/null; }

# An agent of the user's, which is what TERM reaches.
start_user_agent() {
	unshare -m --propagation private ./as-user "$home/vsandbox" oci agent --listen "$home/s.sock" 2>user.log &
	# shellcheck disable=SC2034 # stop_agent's
	agent=$!
	within 30 listens "$home/s.sock" || tap_note_file user.log
}

# rootless_run RUNTIME SOCKET ID [POLICY]: what the container has said; why it ended in run.err
rootless_run() {
	local without=()
	rm -f "$home/bundle/config.json"
	as_user env -C bundle "$1" spec --rootless
	python3 - "$home" <<'PY'
import json, sys
path = sys.argv[1] + "/bundle/config.json"
c = json.load(open(path))
c["process"].update(terminal=False, args=["/bin/sh", "-c",
    "cat /root/data; cat /root/canary.secret; echo made >/root/made; cat /root/made; rm /root/made"])
c["root"] = {"path": sys.argv[1] + "/rootfs", "readonly": False}
json.dump(c, open(path, "w"))
PY
	as_user "$home/vsandbox" oci patch --runtime "$1" ${4:+--policy "$4"} --socket "$2" --in-place bundle/config.json
	[ "$1" = runc ] || without=(--cgroup-manager=disabled)
	as_user "$1" --root "$home/$1" "${without[@]}" run -b bundle "$3" 2>run.err
}

# What runc's user may do.
rootless_claims() {
	rootless_home
	chmod 755 "$work"
	start_user_agent
	tap_is "a user's container under the user's agent" \
		"$(rootless_run runc "$home/s.sock" u1 "$home/theirs.json")" "data
made"
	stop_agent
	start_agent --allow-uid "$user" --default-policy "$home/theirs.json"
	tap_is "a user's container under root's agent" "$(rootless_run runc "$sock" u2)" "data
made"
	tap_is "a user may not name another policy" "$(rootless_run runc "$sock" u3 observe)" ""
	tap_is "and the agent says so" "$(grep -c 'may not choose the policy observe' agent.log)" 1
	stop_agent
	chmod 700 "$work"
}

# crun hides itself (PR_SET_DUMPABLE) until its execve, from its user too; podman's crun is in podman's namespace.
hidden_claims() {
	rootless_home
	chmod 755 "$work"
	start_user_agent
	tap_is "crun of a user's without podman: nothing passes" \
		"$(rootless_run crun "$home/s.sock" u4 "$home/theirs.json")" ""
	tap_is "and the agent says why" "$(grep -c 'cannot be seen: Permission denied' user.log)" 1
	stop_agent
	chmod 700 "$work"
}

user_podman() { as_user podman "$@" 2>user-podman.log; }

# rootless_podman_claims RUNTIME
rootless_podman_claims() {
	local plain=(run --rm --network=none --rootfs "$home/rootfs")
	have newuidmap || { tap_skip "podman of a user's, $1" "there is no newuidmap" && return; }
	rootless_home
	chmod 755 "$work"
	printf '#!/bin/sh\nexec "%s/vsandbox-%s" --vsandbox-policy "%s/theirs.json" --vsandbox-socket "%s/s.sock" "$@"\n' \
		"$home" "$1" "$home" "$home" >"$home/wrap-$1"
	chmod 755 "$home/wrap-$1"
	bundle b "$1" "$home/theirs.json" /bin/true
	profile_of b | sed "s|$sock|$home/s.sock|" >"$home/profile.json"
	start_user_agent
	tap_is "podman of a user's, wrapper, $1" "$(user_podman --runtime "$home/wrap-$1" "${plain[@]}" \
		/bin/cat /root/data /root/canary.secret)" data
	tap_is "podman of a user's, profile, $1" "$(user_podman --runtime "$1" "${plain[@]:0:3}" \
		--security-opt seccomp="$home/profile.json" --security-opt no-new-privileges "${plain[@]:3}" \
		/bin/cat /root/data /root/canary.secret)" data
	tap_is "podman of a user's, $1: both were sessions of the user's agent" \
		"$(grep -c 'denied file_read .*canary.secret' user.log)" 2
	stop_agent
	tap_is "podman of a user's, $1: no agent, no container" "$(user_podman --runtime "$home/wrap-$1" "${plain[@]}" \
		/bin/echo LEAK; echo $((${?} != 0)))" 1
	chmod 700 "$work"
}

# podman leaves a process that holds the user's namespaces open.
rootless_finish() {
	local held
	held=$(cat "$home/run/libpod/tmp/pause.pid" 2>/dev/null) && kill "$held" 2>/dev/null
}
