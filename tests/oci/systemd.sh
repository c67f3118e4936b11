# shellcheck shell=bash
# The agent under systemd itself: a manager of our own (--user), with the units that are shipped, in a mount and a
# cgroup namespace of its own and in our pid namespace. Sourced by run.sh, which sets what is used here.
# shellcheck disable=SC2154

manager_systemctl() {
	XDG_RUNTIME_DIR=$work/sd/run DBUS_SESSION_BUS_ADDRESS='' timeout 60 systemctl --user "$@"
}

main_pid() { manager_systemctl show -p MainPID --value vsandbox-oci.service; }
kept_count() { manager_systemctl show -p NFileDescriptorStore --value vsandbox-oci.service; }
manager_there() { manager_systemctl is-active -q vsandbox-oci.socket 2>/dev/null; }
nothing_kept() { [ "$(kept_count)" = 0 ]; }
active() { [ "$(manager_systemctl is-active vsandbox-oci.service)" = active ]; }
another_main() { active && [ "$(main_pid)" != "$1" ] && [ "$(main_pid)" != 0 ]; }

# The shipped user units with this tree's program and a socket here. sd_cgroup is removed again by stop_manager.
start_manager() {
	local unit
	mkdir -p sd/config/systemd/user sd/run && chmod 700 sd/run
	for unit in vsandbox-oci.service vsandbox-oci.socket; do
		sed "s|/usr/bin/vsandbox|$VSANDBOX|; s|^ListenStream=.*|ListenStream=$sock|" \
			"$here/../../packaging/systemd/user/$unit" >"sd/config/systemd/user/$unit"
	done
	printf '[Service]\nEnvironment="XDG_STATE_HOME=%s" "XDG_CONFIG_HOME=%s"\n' "$XDG_STATE_HOME" "$XDG_CONFIG_HOME" |
		install -D -m 644 /dev/stdin sd/config/systemd/user/vsandbox-oci.service.d/here.conf
	sd_cgroup=/sys/fs/cgroup/systemd/vsoci-$$
	mkdir -p "$sd_cgroup" || return
	# systemd asks whether the machine was booted with it, and makes its groups in the hierarchies that it sees
	cat >sd/start <<'X'
#!/bin/sh
# start WORK CGROUP
echo $$ >"$2/cgroup.procs" || exit
exec unshare -m -C --propagation private sh -c '
	mount -t tmpfs none /sys/fs/cgroup && mkdir /sys/fs/cgroup/systemd &&
	mount -t cgroup -o none,name=systemd none /sys/fs/cgroup/systemd &&
	mkdir -p /run/systemd && mount -t tmpfs none /run/systemd && mkdir /run/systemd/system || exit
	export XDG_RUNTIME_DIR="$1/sd/run" XDG_CONFIG_HOME="$1/sd/config" HOME="$1/sd"
	exec /lib/systemd/systemd --user --unit=vsandbox-oci.socket --log-target=console --log-level=info' sh "$1"
X
	chmod +x sd/start
	sd/start "$work" "$sd_cgroup" >sd/log 2>&1 </dev/null &
	manager=$!
	ours+=("$manager")
	within 30 manager_there
}

stop_manager() {
	kill "$manager" 2>/dev/null
	wait "$manager" 2>/dev/null
	manager=
	find "$sd_cgroup" -depth -type d -exec rmdir {} \; 2>/dev/null
}

level_7() {
	local first second run=(timeout 60 runc --root "$work/runc")
	if [ ! -x /lib/systemd/systemd ] || ! grep -q ' - cgroup .*name=systemd' /proc/self/mountinfo; then
		tap_skip "level 7" "there is no systemd, or no hierarchy of its own"
		return
	fi
	start_manager || tap_note_file sd/log
	bundle b runc "$work/open.json" /bin/sh -c "$reader"
	"${run[@]}" run -d -b b sd </dev/null >sd.out 2>sd.err || tap_note_file sd.err
	within 30 said "read data" sd.out
	first=$(main_pid)
	tap_is "systemd: a container starts the agent by its socket" "$(active && echo active)" active
	tap_is "systemd: which has it keep the claim, the slate and the listener" "$(kept_count)" 3
	kill -KILL "$first"
	tap_is "systemd: an agent that is killed is started anew" "$(within 60 another_main "$first" && echo anew)" anew
	tap_is "systemd: and the container goes on under it" "$(goes_on sd.out)" "goes on 0 0"
	second=$(main_pid)
	manager_systemctl restart vsandbox-oci.service
	tap_is "systemd: restart is another agent" "$(within 60 another_main "$second" && echo another)" another
	tap_is "systemd: under which the container goes on too" "$(goes_on sd.out)" "goes on 0 0"
	tap_is "systemd: exec is decided as before" \
		"$("${run[@]}" exec sd /bin/cat /root/data /root/canary.secret 2>/dev/null)" data
	"${run[@]}" delete -f sd 2>/dev/null
	tap_is "systemd: of an ended container it keeps nothing" "$(within 30 nothing_kept && echo nothing)" nothing
	stop_manager
}
