# shellcheck shell=bash
# The agent under systemd itself, with the units that are shipped: a user's manager, in a mount and a cgroup namespace
# of its own and in our pid namespace; and the system's, as the first process of namespaces of its own, where its
# containers are too. Sourced by run.sh, which sets what is used here.
# shellcheck disable=SC2154

# The managers are spoken to by $systemctl; containers are started by the words of $runc_there.
manager_systemctl() { timeout 60 "${systemctl[@]}" "$@"; }

main_pid() { manager_systemctl show -p MainPID --value vsandbox-oci.service; }
kept_count() { manager_systemctl show -p NFileDescriptorStore --value vsandbox-oci.service; }
manager_there() { manager_systemctl is-active -q vsandbox-oci.socket 2>/dev/null; }
nothing_kept() { [ "$(kept_count)" = 0 ]; }
active() { [ "$(manager_systemctl is-active vsandbox-oci.service)" = active ]; }
another_main() { active && [ "$(main_pid)" != "$1" ] && [ "$(main_pid)" != 0 ]; }

# The shipped user units with this tree's program and a socket here. sd_cgroup is removed again by stop_manager.
start_manager() {
	local unit
	systemctl=(env XDG_RUNTIME_DIR="$work/sd/run" DBUS_SESSION_BUS_ADDRESS= systemctl --user)
	runc_there=(timeout 60 runc --root "$work/runc")
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

# The shipped system units with this tree's program; nothing else is started, and what they write stays there.
start_system_manager() {
	local unit init inside=(timeout 60)
	sd_cgroup=/sys/fs/cgroup/unified/vsoci-$$
	mkdir -p sd/root sd/units "$sd_cgroup" || return
	for unit in vsandbox-oci.service vsandbox-oci.socket; do
		sed "s|/usr/bin/vsandbox|$VSANDBOX|" "$here/../../packaging/systemd/system/$unit" >"sd/units/$unit"
	done
	for unit in sysinit basic sockets shutdown vsoci; do
		printf '[Unit]\nDefaultDependencies=no\n' >"sd/units/$unit.target"
	done
	echo Wants=vsandbox-oci.socket >>sd/units/vsoci.target
	cat >sd/start <<'X'
#!/bin/sh
# start DIR CGROUP
echo $$ >"$2/cgroup.procs" || exit
exec unshare -m -p -f -C -u -i --kill-child --propagation private sh -ec '
	mount --rbind / "$1/root"
	cd "$1/root"
	mount -t proc proc proc
	for d in run dev var/lib; do mount -t tmpfs tmpfs $d; done
	mkdir run/old run/lock dev/pts dev/shm dev/mqueue
	for n in null zero full random urandom tty; do : >dev/$n; mount --bind /dev/$n dev/$n; done
	mount -t devpts devpts dev/pts -o newinstance,ptmxmode=0666,mode=620
	ln -s pts/ptmx dev/ptmx
	ln -s /proc/self/fd dev/fd
	mount -t cgroup2 cgroup2 sys/fs/cgroup
	pivot_root . run/old
	umount -l /run/old
	exec env -i container=vsoci PATH=/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_UNIT_PATH="$1/units" \
		/lib/systemd/systemd --system --unit=vsoci.target --log-target=console --log-level=info --show-status=no
' sh "$1"
X
	chmod +x sd/start
	sd/start "$work/sd" "$sd_cgroup" >sd/log 2>&1 </dev/null &
	manager=$!
	ours+=("$manager")
	within 30 first_of "$manager" >first || return
	init=$(cat first)
	inside+=(nsenter -t "$init" -m -p -C -u -i)
	systemctl=("${inside[@]:2}" systemctl)
	runc_there=("${inside[@]}" runc)
	within 60 manager_there
}

# The process that $1 has forked into its namespaces, once it is the manager.
first_of() {
	local child
	child=$(cat "/proc/$1/task/$1/children") && child=${child% }
	[ -n "$child" ] && [ "$(cat "/proc/$child/comm")" = systemd ] && echo "$child"
}

# unshare leaves TERM to its child, which as the first of its namespace does not die of it.
stop_manager() {
	kill "$manager" 2>/dev/null
	[ "${systemctl[0]}" = env ] || kill -KILL "$manager" 2>/dev/null
	wait "$manager" 2>/dev/null
	manager=
	within 30 empty_cgroup
}

empty_cgroup() {
	[ ! -d "$sd_cgroup" ] || find "$sd_cgroup" -depth -type d -exec rmdir {} + 2>/dev/null
}

# manager_claims NAME
manager_claims() {
	local name=$1 first second
	bundle b runc "$work/open.json" /bin/sh -c "$reader"
	"${runc_there[@]}" run -d -b "$work/b" sd </dev/null >sd.out 2>sd.err || tap_note_file sd.err
	within 30 said "read data" sd.out
	first=$(main_pid)
	tap_is "$name: a container starts the agent by its socket" "$(active && echo active)" active
	tap_is "$name: which has it keep the claim, the slate and the listener" "$(kept_count)" 3
	manager_systemctl kill --kill-whom=main -s KILL vsandbox-oci.service
	tap_is "$name: an agent that is killed is started anew" "$(within 60 another_main "$first" && echo anew)" anew
	tap_is "$name: and the container goes on under it" "$(goes_on sd.out)" "goes on 0 0"
	second=$(main_pid)
	manager_systemctl restart vsandbox-oci.service
	tap_is "$name: restart is another agent" "$(within 60 another_main "$second" && echo another)" another
	tap_is "$name: under which the container goes on too" "$(goes_on sd.out)" "goes on 0 0"
	tap_is "$name: exec is decided as before" \
		"$("${runc_there[@]}" exec sd /bin/cat /root/data /root/canary.secret 2>/dev/null)" data
	# the monitor binds for it, with what the unit leaves of root's powers
	# shellcheck disable=SC2016 # for the container's shell
	tap_is "$name: a port of the system's may be bound by who has the power" "$("${runc_there[@]}" exec sd /bin/sh -c '
		nc -l -p 80 >/dev/null 2>&1 & for i in $(seq 200); do
			if grep -q ":0050 " /proc/net/tcp /proc/net/tcp6; then echo bound; break; fi
			kill -0 $! || break
			usleep 50000
		done
		kill -9 $!' 2>&1)" bound
	"${runc_there[@]}" delete -f sd 2>/dev/null
	tap_is "$name: of an ended container it keeps nothing" "$(within 30 nothing_kept && echo nothing)" nothing
}

level_7() {
	local sock=$sock systemctl runc_there sd_cgroup
	if [ ! -x /lib/systemd/systemd ] || ! grep -q ' - cgroup .*name=systemd' /proc/self/mountinfo; then
		tap_skip "level 7" "there is no systemd, or no hierarchy of its own"
		return
	fi
	start_manager || tap_note_file sd/log
	manager_claims "systemd --user"
	stop_manager
	if ! grep -q ' /sys/fs/cgroup/unified .* - cgroup2 ' /proc/self/mountinfo; then
		tap_skip "the system's manager" "there is no hierarchy of version 2 for it at /sys/fs/cgroup/unified"
		return
	fi
	sock=/run/vsandbox/seccomp.sock # as it is shipped
	start_system_manager || tap_note_file sd/log
	manager_claims systemd
	stop_manager
}
