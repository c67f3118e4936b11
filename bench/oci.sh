#!/bin/bash
# What the agent costs the start of a container: /bin/true under runc without a profile, under runc with the profile
# that podman gives, and under podman; as they are and patched, in turn. Prints the medians and the median of the
# ratios of each pair. As root, with runc (podman is left out where
# it is not there). The host's cgroups, storage and network are not touched but for what runc needs.
#
#   bench/oci.sh [ROUNDS]       make bench-oci
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
VSANDBOX=${VSANDBOX:-$top/build/release/vsandbox}
rounds=${1:-${ROUNDS:-21}}
work=$(mktemp -d /tmp/vsbench.XXXXXX)
export XDG_STATE_HOME=$work/state XDG_RUNTIME_DIR=$work/run XDG_CONFIG_HOME=$work/config
mkdir -m 700 "$XDG_STATE_HOME" "$XDG_RUNTIME_DIR" "$XDG_CONFIG_HOME"
cd "$work"
agent=
trap '[ -z "$agent" ] || kill "$agent"; wait; rm -rf "$work"' EXIT

box=$(command -v busybox)
mkdir -p rootfs/bin rootfs/dev rootfs/etc rootfs/proc rootfs/sys
cp "$box" rootfs/bin/busybox
ln -s busybox rootfs/bin/true
for lib in $(ldd "$box" 2>/dev/null | grep -o '/[^ ]*'); do
	mkdir -p "rootfs${lib%/*}" && cp "$lib" "rootfs$lib"
done
echo '{ "name": "open", "max_actions_per_minute": 1000000 }' >open.json

mkdir plain
(cd plain && runc spec)
python3 - "$top/tests/oci/configs/podman.json" <<'PY'
import json, os, sys
c = json.load(open("plain/config.json"))
c["process"].update(terminal=False, args=["/bin/true"])
c["process"].pop("rlimits", None)
c["root"] = {"path": "%s/rootfs" % os.getcwd(), "readonly": True}
json.dump(c, open("plain/config.json", "w"))
c["linux"]["seccomp"] = json.load(open(sys.argv[1]))["linux"]["seccomp"]
os.mkdir("profile")
json.dump(c, open("profile/config.json", "w"))
PY
ln -s "$VSANDBOX" vsandbox-runc
cat >cc.conf <<'X'
[containers]
default_ulimits = ["nofile=1024:1024","nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
X
"$VSANDBOX" oci agent --listen "$work/s.sock" -q &
agent=$!
until [ -S s.sock ]; do sleep 0.05; done

ours=(vsandbox-policy="$work/open.json" vsandbox-socket="$work/s.sock")
runc_with() { "$1" "${@:4}" --root "$work/r" run -b "$2" "$3"; }
podman_with() {
	CONTAINERS_CONF=$work/cc.conf podman --root "$work/pr" --runroot "$work/pu" --runtime "$@" \
		run --rm --network=none --rootfs "$work/rootfs" /bin/true
}
plain_runc() { runc_with runc plain "$1"; }
patched_runc() { runc_with "$work/vsandbox-runc" fresh "$1" "${ours[@]/#/--}"; }
plain_profile() { runc_with runc profile "$1"; }
patched_profile() { patched_runc "$1"; }
plain_podman() { podman_with runc; }
patched_podman() { podman_with "$work/vsandbox-runc" --runtime-flag "${ours[0]}" --runtime-flag "${ours[1]}"; }

# The wrapper patches the bundle, which an engine makes anew for each container: so it is here, before the clock runs.
renew() {
	rm -rf fresh
	case $1 in runc) cp -r plain fresh ;; profile) cp -r profile fresh ;; esac
}

once() { # seconds that "$@" takes
	local from=$EPOCHREALTIME
	"$@" </dev/null >/dev/null || exit 1
	awk -v a="$from" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.6f", b - a }'
}

printf '%-8s %10s %10s %8s  (%s rounds)\n' start 'plain ms' 'agent ms' ratio "$rounds"
for engine in runc profile podman; do
	[ "$engine" != podman ] || command -v podman >/dev/null || { echo "podman: not here" && continue; }
	renew "$engine"
	"plain_$engine" warm </dev/null >/dev/null && "patched_$engine" warm2 </dev/null >/dev/null
	for ((i = 0; i < rounds; i++)); do
		renew "$engine"
		echo "$(once "plain_$engine" "p$i") $(once "patched_$engine" "q$i")"
	done | python3 -c '
import statistics, sys
pairs = [tuple(map(float, line.split())) for line in sys.stdin]
plain, agent = ([p[i] * 1000 for p in pairs] for i in (0, 1))
print("%-8s %10.1f %10.1f %8.3f" % (sys.argv[1], statistics.median(plain), statistics.median(agent),
                                   statistics.median(b / a for a, b in pairs)))' "$engine"
done
