#!/bin/sh
# Snapshot and restore of many files beside plain tar with zstd; first and later starts with --rootfs beside a
# start without. Medians of RUNS (3), all in one run.
#
#   VSANDBOX=build/release/vsandbox bench/archive.sh [FILES]
set -eu
: "${VSANDBOX:=build/release/vsandbox}"
VSANDBOX=$(realpath "$VSANDBOX")
files=${1:-20000}
runs=${RUNS:-3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_STATE_HOME="$work/state" XDG_CACHE_HOME="$work/cache"
mkdir "$work/w"
cd "$work/w"

# seconds COMMAND...: how long it took, to a file descriptor of its own
seconds() {
	start=$(date +%s.%N)
	"$@" >/dev/null 2>&1
	end=$(date +%s.%N)
	echo "$start $end" | awk '{ printf "%.3f\n", $2 - $1 }'
}

# row TEXT COMMAND...: the median of $runs
row() {
	text=$1
	shift
	i=0
	: >"$work/times"
	while [ $i -lt "$runs" ]; do
		seconds "$@" >>"$work/times"
		i=$((i + 1))
	done
	median=$(sort -n "$work/times" | sed -n "$(((runs + 1) / 2))p")
	printf '%-46s %8s s\n' "$text" "$median"
}

make_files() {
	"$VSANDBOX" run -q --no-snapshot -- python3 -c '
import os, sys
for i in range(int(sys.argv[1])):
    if i % 200 == 0:
        os.mkdir("d%d" % (i // 200))
    with open("d%d/f%d" % (i // 200, i), "w") as f:
        f.write("line %d of a small file\n" % i * 40)' "$files"
}

make_files
upper=$(echo "$work"/state/vsandbox/sessions/*/layers/0/upper)
echo "$files files of about 1 KB each"
row 'tar and zstd -3 of the same upper' sh -c "tar -C '$upper' -cf - . | zstd -q -3 >'$work/plain.zst'; sync -d '$work/plain.zst'"
row 'snapshot create' "$VSANDBOX" snapshot create
name=$("$VSANDBOX" snapshot list | awk 'NR == 1 { print $1 }')
row 'snapshot verify' "$VSANDBOX" snapshot verify "$name"
row 'zstd and tar back' sh -c "rm -rf '$work/back'; mkdir '$work/back'; zstd -qd <'$work/plain.zst' | tar -C '$work/back' -xf -; sync -f '$work/back'"
row 'snapshot restore' "$VSANDBOX" snapshot restore "$name"

echo 'an image of those files and a busybox'
mkdir -p "$work/root/bin"
cp "$(command -v busybox)" "$work/root/bin/true"
for f in $(ldd "$work/root/bin/true" 2>/dev/null | grep -o '/[^ ]*'); do
	mkdir -p "$work/root${f%/*}"
	cp -L "$f" "$work/root$f"
done
cp -r "$upper" "$work/root/data"
tar -C "$work/root" -cf - . | zstd -q -3 >"$work/image.tar.zst"
sleep 2.1
row 'run true, no --rootfs' "$VSANDBOX" run -q -- true
row 'run true, --rootfs DIR' "$VSANDBOX" run -q --rootfs "$work/root" -- true
row 'first start: unpacked' sh -c "rm -rf '$work/cache'; exec '$VSANDBOX' run -q --rootfs '$work/image.tar.zst' -- true"
row 'later start: found' "$VSANDBOX" run -q --rootfs "$work/image.tar.zst" -- true
