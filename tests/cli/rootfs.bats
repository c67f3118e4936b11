#!/usr/bin/env bats
# Images as root file systems: what is unpacked, what is refused, what a run sees.

load common

setup_file() {
	# One tiny system for all tests: busybox, with what it is linked to.
	export IMAGES=$BATS_FILE_TMPDIR
	chmod 755 "$BATS_FILE_TMPDIR" "$BATS_RUN_TMPDIR"
	local root=$IMAGES/root
	tiny_root "$root"
	cp "$root/bin/busybox" "$root/opt/setuid"
	chmod 4755 "$root/opt/setuid"
	tar -C "$root" -cf "$IMAGES/plain.tar" .
	# by hand, as images are built: a layout with a config, an archive from it
	umoci init --layout "$IMAGES/layout"
	umoci new --image "$IMAGES/layout:v1"
	umoci raw add-layer --image "$IMAGES/layout:v1" "$IMAGES/plain.tar"
	mkdir -p "$IMAGES/more/etc"
	echo 'second layer' >"$IMAGES/more/etc/second"
	touch "$IMAGES/more/etc/.wh.passwd"
	tar -C "$IMAGES/more" -cf "$IMAGES/second.tar" etc/second etc/.wh.passwd
	umoci raw add-layer --image "$IMAGES/layout:v1" "$IMAGES/second.tar"
	umoci config --image "$IMAGES/layout:v1" --config.env COLOUR=green --config.env PATH=/bin \
		--config.workingdir /opt --config.entrypoint /bin/sh --config.entrypoint -c \
		--config.cmd 'echo $COLOUR; pwd'
	chmod -R a+rX "$IMAGES/layout"
	skopeo copy -q "oci:$IMAGES/layout:v1" "docker-archive:$IMAGES/docker.tar:tiny:v1"
	skopeo copy -q "oci:$IMAGES/layout:v1" "oci-archive:$IMAGES/oci.tar:v1"
}

# As common's, with a cache of its own.
image() {
	local given=$1
	shift
	XDG_CACHE_HOME=$BATS_TEST_TMPDIR/cache "$VSANDBOX" run -q -p "$POLICY" --rootfs "$given" "$@"
}

@test "vsandbox itself is linked with nothing that reads archives" {
	run ldd "$VSANDBOX"
	[ "$status" -eq 0 ]
	[[ $output != *archive* && $output != *zstd* && $output != *lzma* ]]
	run ldd "${VSANDBOX%/*}/vsandbox-archive"
	[[ $output == *libarchive* ]]
}

@test "a directory is the root, and stays as it is" {
	before=$(cd "$IMAGES/root" && find . -printf '%p %m %T@ %s\n' | sort)
	run image "$IMAGES/root" -- sh -c 'cat /etc/os-release; echo changed >/etc/os-release; rm -r /opt; cat /etc/os-release'
	[ "$status" -eq 0 ]
	[ "$output" = $'ID=tiny\nchanged' ]
	[ "$(cd "$IMAGES/root" && find . -printf '%p %m %T@ %s\n' | sort)" = "$before" ]
	run "$VSANDBOX" diff --name-status
	[[ $output == *$'D\t/opt'* && $output == *$'M\t/etc/os-release'* && $output != *resolv* ]]
}

@test "tarballs of every compression are the same root" {
	cp "$IMAGES/plain.tar" t.tar
	gzip -k t.tar
	xz -k -0 t.tar
	zstd -q t.tar
	bzip2 -k t.tar
	for t in t.tar t.tar.gz t.tar.xz t.tar.zst t.tar.bz2; do
		run image "$t" -- cat /etc/os-release
		[ "$output" = ID=tiny ]
	done
	# one content, one directory
	[ "$(ls "$BATS_TEST_TMPDIR/cache/vsandbox/layers/sha256" | wc -l)" -eq 1 ]
}

@test "an OCI layout, an archive of one and a docker-save archive are the same image" {
	for i in "$IMAGES/layout" "$IMAGES/layout:v1" "$IMAGES/oci.tar" "$IMAGES/docker.tar" "$IMAGES/docker.tar:tiny:v1"; do
		run image "$i" -- sh -c 'cat /etc/second; ls /etc/passwd'
		[[ $output == *'second layer'* && $output == *'No such file'* ]]
	done
	[ "$(ls "$BATS_TEST_TMPDIR/cache/vsandbox/layers/sha256" | wc -l)" -eq 1 ]
	run image "$IMAGES/layout:v2" -- true
	[ "$status" -eq 125 ]
	[[ $output == *"has no 'v2'; it has: v1"* ]]
}

@test "Env, entry point, command and working directory are the image's when none is given" {
	run image "$IMAGES/layout"
	[ "$output" = $'green\n/opt' ]
	run image "$IMAGES/layout" -- sh -c 'echo $COLOUR $PATH; pwd'
	[ "$output" = "green /bin"$'\n'"$PWD" ]
	run image "$IMAGES/layout" --env COLOUR=red -- sh -c 'echo $COLOUR'
	[ "$output" = red ]
	run image "$IMAGES/plain.tar"
	[ "$status" -eq 125 ]
	[[ $output == *'names no command'* ]]
}

@test "the workspace is the host's, at its own path, through its own layer" {
	echo host >file
	run image "$IMAGES/plain.tar" -- sh -c 'cat file; echo changed >file; cat file; pwd'
	[ "$output" = $'host\nchanged\n'"$PWD" ]
	[ "$(cat file)" = host ]
	run "$VSANDBOX" diff --name-status
	[[ $output == *$'M\t'"$PWD/file"* ]]
}

@test "nothing of the host's tree is to be seen but the workspace" {
	run image "$IMAGES/plain.tar" -- sh -c 'ls /; ls /usr /home /boot 2>/dev/null; cat /etc/shadow'
	[[ $output != *shadow:* && $output != *boot* && $output == *'No such file'* ]]
	run image "$IMAGES/plain.tar" -- sh -c 'ls /proc/1/root/usr "$1"' sh "$BATS_TEST_TMPDIR/cache/vsandbox/layers/sha256"
	[ "$status" -ne 0 ]
}

@test "names are looked up as on the host; /proc, /sys, /dev and /tmp are there" {
	run image "$IMAGES/plain.tar" --net host -- sh -c 'cat /etc/resolv.conf; cat /etc/hostname; ls -d /proc/self /sys/class /dev/null /tmp /run; echo >/tmp/x'
	[ "$status" -eq 0 ]
	[[ $output == *"$(hostname)"* && $output == *"$(head -n 1 /etc/resolv.conf)"* ]]
}

@test "links where mount points go lead nowhere" {
	local root=$BATS_TEST_TMPDIR/links
	cp -a "$IMAGES/root" "$root"
	rm -rf "${root:?}/tmp" "${root:?}/proc" "${root:?}/dev"
	ln -s /etc "$root/proc"
	ln -s ../../../.. "$root/dev"
	ln -s /etc "$root/${PWD#/}" 2>/dev/null || ln -s /etc "$root/tmp"
	run image "$root" -- sh -c 'cat /proc/self/comm; ls /dev/null; pwd; ls /etc/os-release'
	[ "$status" -eq 0 ]
	[[ $output == *"$PWD"* ]]
}

@test "setuid bits are taken off, and it is said" {
	run env XDG_CACHE_HOME="$BATS_TEST_TMPDIR/cache" "$VSANDBOX" run -p "$POLICY" --rootfs "$IMAGES/plain.tar" -- stat -c %a /opt/setuid
	[[ $output == *755* && $output != *4755* && $output == *'1 setuid or setgid bits taken off'* ]]
}

@test "a second start reads neither image nor archive" {
	# one that has just been changed is not trusted to be the same
	until (($(date +%s) - $(stat -c %Z "$IMAGES/plain.tar") > 2)); do sleep 0.1; done
	run image "$IMAGES/plain.tar" -- true
	[ "$status" -eq 0 ]
	XDG_CACHE_HOME=$BATS_TEST_TMPDIR/cache strace -f -o trace -e trace=execve "$VSANDBOX" run --dry-run -p "$POLICY" --rootfs "$IMAGES/plain.tar" -- true
	grep -q execve trace
	[ "$(grep -c vsandbox-archive trace)" -eq 0 ]
	# and one that changed is read again
	cp "$IMAGES/second.tar" other.tar
	run image other.tar -- true
	[ "$status" -eq 127 ]
}

@test "imports at the same time end in one" {
	for i in 1 2 3 4; do
		image "$IMAGES/docker.tar" -- cat /etc/second >"out$i" 2>&1 3>&- &
	done
	wait
	for i in 1 2 3 4; do [ "$(cat "out$i")" = 'second layer' ]; done
	[ "$(ls -A "$BATS_TEST_TMPDIR/cache/vsandbox/layers/sha256" | wc -l)" -eq 1 ]
	[ ! -e "$BATS_TEST_TMPDIR/cache/vsandbox/layers/.tmp" ]
}

@test "an import that is killed leaves nothing that a later one takes for whole" {
	mkdir -p "$BATS_TEST_TMPDIR/cache/vsandbox/layers/.tmp/rootfs/bin"
	chmod -R go= "$BATS_TEST_TMPDIR/cache"
	echo torn >"$BATS_TEST_TMPDIR/cache/vsandbox/layers/.tmp/rootfs/torn"
	run image "$IMAGES/plain.tar" -- ls /torn
	[[ $output == *'No such file'* ]]
}

@test "hostile images are refused, the entry named, and nothing is written outside" {
	local bad=$BATS_TEST_TMPDIR/bad name
	"$BATS_TEST_DIRNAME/evil_images.py" "$bad"
	for name in "$bad"/*.expect; do
		run image "${name%.expect}" -- true
		if [ "$status" -ne 125 ] || ! grep -qE -- "$(cat "$name")" <<<"$output"; then
			echo "${name##*/}: $status $output"
			return 1
		fi
	done
	# where their names and links lead to
	[ -z "$({
		find / -xdev -maxdepth 3
		find "$BATS_RUN_TMPDIR"
	} 2>/dev/null | grep -F vsandbox-escaped)" ]
	# nor is anything kept of them
	[ ! -e "$BATS_TEST_TMPDIR/cache/vsandbox/layers/sha256" ]
}

@test "whiteouts between layers take away what is below, never what comes with them" {
	local good=$BATS_TEST_TMPDIR/good name got
	"$BATS_TEST_DIRNAME/evil_images.py" --good "$good"
	for name in "$good"/*.expect; do
		rm -rf "$BATS_TEST_TMPDIR/cache"
		run image "${name%.expect}" -- true
		got=$(cd "$BATS_TEST_TMPDIR"/cache/vsandbox/layers/sha256/*/rootfs && chmod -R u+rwX . &&
			find . -mindepth 1 | sed 's/^..//' | LC_ALL=C sort | xargs)
		if [ "$got" != "$(cat "$name")" ]; then
			echo "${name##*/}: $got instead of $(cat "$name"); $output"
			return 1
		fi
	done
}

@test "the program that unpacks has confined itself before it reads" {
	mkdir -m 700 cache
	touch cache/.lock
	exec 7<>cache/.lock
	flock 7
	# it waits for the lock, which comes before the first byte of the image
	"${VSANDBOX%/*}/vsandbox-archive" import 3<"$IMAGES/plain.tar" 4<cache 7>&- >answer 3>&3 &
	local pid=$!
	eventually grep -q '^Seccomp:.2' "/proc/$pid/status"
	grep '^NoNewPrivs:.1' "/proc/$pid/status"
	# of root's powers only those to make files for others
	[ $((0x$(awk '/^CapEff/ { print $2 }' "/proc/$pid/status") & ~0x8000001b)) -eq 0 ]
	flock -u 7
	wait "$pid"
	grep '^result' answer
}

@test "an ordinary user runs an image; its owners become his" {
	[ "$(id -u)" -eq 0 ] || skip 'needs root to become somebody else'
	local home=$BATS_FILE_TMPDIR/home
	install -d -o 12345 -g 12345 "$home" "$home/work"
	cd "$home/work"
	run setpriv --reuid 12345 --regid 12345 --clear-groups env -i HOME="$home" USER=u PATH=/usr/bin:/bin \
		"$VSANDBOX" run -q --rootfs "$IMAGES/layout" -- sh -c 'cat /etc/second; id -u; echo x >/etc/new; echo y >here; stat -c %u /etc/os-release'
	[ "$status" -eq 0 ]
	[ "$output" = $'second layer\n12345\n12345' ]
	[ ! -e here ]
	run setpriv --reuid 12345 --regid 12345 --clear-groups env -i HOME="$home" USER=u PATH=/usr/bin:/bin \
		"$VSANDBOX" diff --name-status
	[[ $output == *$'A\t/etc/new'* && $output == *"$home/work/here"* ]]
}
