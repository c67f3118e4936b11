#!/bin/bash
# What the agent costs the start of a container: /bin/true under runc and podman, as they are and patched, in
# turn. Prints the medians and the median of the ratios of each pair. As root, with runc (podman is left out where
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
python3 - <<'PY'
import json
c = json.load(open("plain/config.json"))
c["process"].update(terminal=False, args=["/bin/true"])
c["process"].pop("rlimits", None)
c["root"] = {"path": "%s/rootfs" % __import__("os").getcwd(), "readonly": True}
json.dump(c, open("plain/config.json", "w"))
PY
ln -s "$VSANDBOX" vsandbox-runc
cat >wrap <<X
#!/bin/sh
exec "$work/vsandbox-runc" --vsandbox-policy "$work/open.json" --vsandbox-socket "$work/s.sock" "\$@"
X
cat >cc.conf <<'X'
[containers]
default_ulimits = ["nofile=1024:1024","nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
X
chmod +x wrap
"$VSANDBOX" oci agent --listen "$work/s.sock" -q &
agent=$!
until [ -S s.sock ]; do sleep 0.05; done

# The wrapper patches the bundle, which an engine makes anew for each container.
plain_runc() { runc --root "$work/r" run -b plain "p$1"; }
patched_runc() { rm -rf fresh && cp -r plain fresh && ./wrap --root "$work/r" run -b fresh "q$1"; }
podman_with() {
	CONTAINERS_CONF=$work/cc.conf podman --root "$work/pr" --runroot "$work/pu" --runtime "$1" \
		run --rm --network=none --rootfs "$work/rootfs" /bin/true
}
plain_podman() { podman_with runc; }
patched_podman() { podman_with "$work/wrap"; }

once() { # seconds that "$@" takes
	local from=$EPOCHREALTIME
	"$@" </dev/null >/dev/null || exit 1
	awk -v a="$from" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.6f", b - a }'
}

printf '%-8s %10s %10s %8s  (%s rounds)\n' start 'plain ms' 'agent ms' ratio "$rounds"
for engine in runc podman; do
	command -v "$engine" >/dev/null || { echo "$engine: not here" && continue; }
	"plain_$engine" warm </dev/null >/dev/null && "patched_$engine" warm </dev/null >/dev/null
	for ((i = 0; i < rounds; i++)); do
		echo "$(once "plain_$engine" "$i") $(once "patched_$engine" "$i")"
	done | python3 -c '
import statistics, sys
pairs = [tuple(map(float, line.split())) for line in sys.stdin]
plain, agent = ([p[i] * 1000 for p in pairs] for i in (0, 1))
print("%-8s %10.1f %10.1f %8.3f" % (sys.argv[1], statistics.median(plain), statistics.median(agent),
                                   statistics.median(b / a for a, b in pairs)))' "$engine"
done
