#!/usr/bin/env bats
# Snapshots: what they hold, what they restore to, and that other tools read them.

load common

snapshots() {
	ls "$XDG_STATE_HOME/vsandbox/snapshots"
}

store() {
	echo "$XDG_STATE_HOME/vsandbox/snapshots/$1"
}

# Every property of a tree that a snapshot keeps, a line each.
tree() {
	(cd "$1" && find . -mindepth 1 ! -type c -printf '%P\t%y\t%m\t%U:%G\t%n\t%l\t' \
		\( -type d -printf '\n' -o -type f -printf '%T@\t%s\n' -o -printf '%T@\n' \) |
		LC_ALL=C sort
		find . -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum
		getfattr -dRhm 'user\.k' . 2>/dev/null)
}

# A run that leaves one of everything; the tree it saw at its end goes to the file @1.
run_changes() {
	mkdir -p d/sub
	echo one >a
	echo gone >g
	echo x >d/x
	echo y >d/sub/y
	declare -f tree >"$BATS_TEST_TMPDIR/tree.sh"
	box -q --workspace overlay -- bash -c '
		. "$1/tree.sh"
		echo two >>a; rm g; rm -r d; mkdir d; echo new >d/new
		mkdir -p "n/m m"; echo data >"n/m m/f"; ln "n/m m/f" n/second; ln -s /nowhere n/link; mkfifo n/fifo
		truncate -s 5M n/holes; echo end >>n/holes; truncate -s 1M n/nothing
		setfattr -n user.k -v value "n/m m/f"
		touch -d "2001-02-03 04:05:06.123456789" n/old; chmod 4711 n/old
		touch .wh.name "$(printf "n/\303\244 \377 bytes")" .vsandbox-name.x
		mkdir .wh.dir; echo in >.wh.dir/.wh.in; ln .wh.dir/.wh.in n/third
		mkdir closed; echo secret >closed/f; chmod 0 closed/f
		tree . >/dev/shm/tree; cat /dev/shm/tree
		chmod 0 closed' sh "$BATS_TEST_TMPDIR" >"$1"
}

@test "each end of a run with changes leaves one, and one without leaves none" {
	box -q -- true
	[ -z "$(snapshots 2>/dev/null)" ]
	box -q -- sh -c 'echo x >f'
	[ "$(snapshots | wc -l)" -eq 1 ]
	[ "$(snapshots)" = "$(sessions | tail -n 1).1" ] || [ "$(snapshots)" = "$(sessions | head -n 1).1" ]
	box -q --no-snapshot -- sh -c 'echo x >f'
	box -q --on-exit discard -- sh -c 'echo x >f'
	sed 's/{/{ "snapshots": false,/' "$POLICY" >off.json
	"$VSANDBOX" run -q -p ./off.json -- sh -c 'echo x >f'
	[ "$(snapshots | wc -l)" -eq 1 ]
}

@test "a restored session is what the first was, to the last property" {
	run_changes "$BATS_TEST_TMPDIR/seen"
	first=$(sessions)
	"$VSANDBOX" diff "$first" >"$BATS_TEST_TMPDIR/diff1"
	second=$("$VSANDBOX" snapshot restore "$first.1" 2>/dev/null)
	[ "$(state_of "$second")" = ended ]
	"$VSANDBOX" diff "$second" >"$BATS_TEST_TMPDIR/diff2"
	diff "$BATS_TEST_TMPDIR/diff1" "$BATS_TEST_TMPDIR/diff2"
	"$VSANDBOX" audit verify "$second"
	base=$XDG_STATE_HOME/vsandbox/sessions
	for layer in "$base/$first/layers"/*; do
		n=${layer##*/}
		one=$base/$first/layers/$n/upper two=$base/$second/layers/$n/upper
		[ "$(id -u)" -eq 0 ] || chmod u+rx "$one$PWD/closed" "$two$PWD/closed" 2>/dev/null || true
		diff <(tree "$one") <(tree "$two")
	done
	# holes stayed holes
	[ "$(du -k "$(find "$base/$second/layers" -name holes)" | cut -f 1)" -lt 1000 ]
	[ "$(stat -c %b "$(find "$base/$second/layers" -name nothing)")" -eq 0 ]
}

@test "umoci unpacks it over the workspace to the tree that the agent saw" {
	run_changes "$BATS_TEST_TMPDIR/seen"
	name=$(snapshots)
	# the same layer on top of what was there before, as an image is made
	umoci init --layout "$BATS_TEST_TMPDIR/image"
	umoci new --image "$BATS_TEST_TMPDIR/image:t"
	tar -C / --format=pax -cf "$BATS_TEST_TMPDIR/before.tar" "${PWD#/}"
	umoci raw add-layer --image "$BATS_TEST_TMPDIR/image:t" "$BATS_TEST_TMPDIR/before.tar"
	layer=$(python3 -c 'import json, sys; d = sys.argv[1]
m = json.load(open(d + "/blobs/sha256/" + json.load(open(d + "/index.json"))["manifests"][0]["digest"][7:]))
print(m["layers"][0]["digest"][7:])' "$(store "$name")")
	zstd -qd <"$(store "$name")/blobs/sha256/$layer" >"$BATS_TEST_TMPDIR/layer.tar"
	umoci raw add-layer --image "$BATS_TEST_TMPDIR/image:t" "$BATS_TEST_TMPDIR/layer.tar"
	[ "$(id -u)" -eq 0 ] && rootless='' || rootless=--rootless
	umoci unpack $rootless --image "$BATS_TEST_TMPDIR/image:t" "$BATS_TEST_TMPDIR/bundle"
	root=$BATS_TEST_TMPDIR/bundle/rootfs$PWD
	chmod 755 "$root/closed"
	# names that would be whiteouts are written otherwise
	mv "$root/.vsandbox-name..vsandbox-name.x" "$root/.vsandbox-name.x"
	mv "$root/.vsandbox-name..wh.name" "$root/.wh.name"
	mv "$root/.vsandbox-name..wh.dir" "$root/.wh.dir"
	mv "$root/.wh.dir/.vsandbox-name..wh.in" "$root/.wh.dir/.wh.in"
	diff "$BATS_TEST_TMPDIR/seen" <(tree "$root")
}

@test "skopeo inspects and copies it" {
	box -q -- sh -c 'echo x >f'
	name=$(snapshots)
	skopeo inspect "oci:$(store "$name"):latest" | grep -q '"Os": "linux"'
	skopeo copy -q "oci:$(store "$name"):latest" "oci-archive:$BATS_TEST_TMPDIR/copy.tar"
	skopeo copy -q --dest-compress-format gzip "oci:$(store "$name"):latest" "oci:$BATS_TEST_TMPDIR/gz:t"
	umoci unpack --rootless --image "$BATS_TEST_TMPDIR/gz:t" "$BATS_TEST_TMPDIR/bundle"
	[ "$(cat "$BATS_TEST_TMPDIR/bundle/rootfs$PWD/f")" = x ]
}

@test "the same upper gives the same bytes" {
	box -q -- sh -c 'for i in $(seq 100); do echo $i >$i; done'
	"$VSANDBOX" snapshot create --name again
	[ "$("$VSANDBOX" snapshot list --json | python3 -c '
import json, sys
print(len(set((s["entries"], s["stored"]) for s in json.load(sys.stdin)["snapshots"])))')" -eq 1 ]
	# the two layouts share the layer and the digest of its content; when they were made they do not
	python3 - "$(store again)" "$(store "$(sessions).1")" <<-'PY'
		import json, sys
		def blob(store, descriptor):
		    return open(store + "/blobs/sha256/" + descriptor["digest"][7:], "rb").read()
		def of(store):
		    manifest = json.loads(blob(store, json.load(open(store + "/index.json"))["manifests"][0]))
		    (layer,) = manifest["layers"]
		    content = blob(store, layer)
		    assert len(content) > 1000, len(content)
		    return content, layer["digest"], json.loads(blob(store, manifest["config"]))["rootfs"]
		one, other = map(of, sys.argv[1:])
		assert one == other, (one[1:], other[1:])
	PY
	run "$VSANDBOX" snapshot create --name again
	[ "$status" -eq 125 ]
	[[ $output == *"there is a snapshot 'again' already"* ]]
}

@test "verify sees a changed byte in every blob, and a log that is another" {
	box -q -- sh -c 'echo x >f'
	name=$(snapshots)
	run "$VSANDBOX" snapshot verify "$name"
	[[ $output == *'digests are right, chained to the session'* ]]
	for blob in "$(store "$name")"/blobs/sha256/* "$(store "$name")/index.json"; do
		cp "$blob" kept
		python3 -c 'import sys
b = bytearray(open(sys.argv[1], "rb").read()); b[len(b) // 2] ^= 1; open(sys.argv[1], "wb").write(b)' "$blob"
		run "$VSANDBOX" snapshot verify "$name"
		[ "$status" -eq 1 ]
		run "$VSANDBOX" snapshot restore "$name"
		[ "$status" -ne 0 ]
		cat kept >"$blob"
	done
	# a refused restore leaves no session behind
	[ "$(sessions | wc -l)" -eq 1 ]
	log=$XDG_STATE_HOME/vsandbox/sessions/$(sessions)/events.jsonl
	cp "$log" kept
	sed -i '$d' "$log"
	run "$VSANDBOX" snapshot verify "$name"
	[ "$status" -eq 1 ]
	[[ $output == *'does not go through the event'* ]]
	rm -rf "${log%/*}"
	run "$VSANDBOX" snapshot verify "$name"
	[ "$status" -eq 0 ]
	[[ $output == *'the session is gone'* ]]
}

@test "diff of two snapshots, and of one with the host" {
	echo old >kept
	echo old >changed
	box -q -- sh -c 'echo new >changed; echo x >added; rm kept'
	first=$(snapshots)
	box -q -- sh -c 'echo newer >changed; echo y >other'
	second=$(snapshots | grep -v "^$first\$")
	run "$VSANDBOX" snapshot diff "$first"
	[ "$output" = "D $PWD/kept"$'\n'"M $PWD/changed"$'\n'"A $PWD/added" ]
	run "$VSANDBOX" snapshot diff "$first" "$second"
	[ "$output" = "D $PWD/added"$'\n'"M $PWD/changed"$'\n'"A $PWD/kept"$'\n'"A $PWD/other" ]
	run "$VSANDBOX" snapshot diff --json "$first" "$second"
	python3 -c 'import json, sys; assert [c["change"] for c in json.loads(sys.argv[1])["changes"]] == list("DMAA")' "$output"
}

@test "one that is cut short is never listed, and is cleared away" {
	box -q --no-snapshot -- sh -c 'head -c 100000 /dev/urandom >big'
	"$VSANDBOX" diff >/dev/null # the run is over
	# when it has written the layer, and is about to give it its name
	run strace -f -qq -o /dev/null -e inject=renameat:signal=KILL:when=1 "$VSANDBOX" snapshot create
	[ "$status" -ne 0 ]
	[[ $output == *'ended by signal 9'* ]]
	[ -n "$(ls -A "$(store .)" | grep tmp)" ]
	[ "$("$VSANDBOX" snapshot list)" = "" ]
	"$VSANDBOX" snapshot create --name whole
	[ "$(snapshots)" = whole ]
	[ -z "$(ls -A "$(store .)" | grep tmp)" ]
}

# When a snapshot was made is kept in whole seconds.
next_second() {
	local now=$EPOCHSECONDS
	until ((EPOCHSECONDS > now)); do sleep 0.01; done
}

@test "prune by number, age and size; the newest stay" {
	box -q -- sh -c 'head -c 10000 /dev/urandom >f'
	for n in d c b; do
		next_second
		"$VSANDBOX" snapshot create --name $n
	done
	run "$VSANDBOX" snapshot prune
	[ "$status" -eq 125 ]
	[ "$("$VSANDBOX" snapshot prune --keep 2 --dry-run | wc -l)" -eq 2 ]
	[ "$(snapshots | wc -l)" -eq 4 ]
	"$VSANDBOX" snapshot prune --older-than 1d
	[ "$(snapshots | wc -l)" -eq 4 ]
	"$VSANDBOX" snapshot prune --max-bytes 35000
	[ "$(snapshots | xargs)" = 'b c d' ]
	"$VSANDBOX" snapshot prune --keep 1
	[ "$(snapshots)" = b ]
	next_second
	"$VSANDBOX" snapshot prune --older-than 0
	[ -z "$(snapshots)" ]
}

@test "a running session stands still while it is taken, and goes on" {
	# a and b are always the same, but for the moment between two writes
	cat >twin.py <<-'PY'
		import os
		n = 0
		while not os.path.exists("stop"):
		    n += 1
		    for name in "ab":
		        with open(name + ".new", "w") as f:
		            f.write("%d\n" % n * 1000)
		        os.rename(name + ".new", name)
	PY
	box -q -- python3 twin.py 3>&- &
	local gateway=$! id i
	eventually eval '[ -n "$(find "$XDG_STATE_HOME" -path "*/upper/*" -name b)" ]'
	id=$(sessions)
	for i in 1 2 3; do
		"$VSANDBOX" snapshot create --name "live$i" "$id"
		"$VSANDBOX" snapshot verify "live$i"
		restored=$("$VSANDBOX" snapshot restore "live$i" 2>/dev/null)
		upper=$(find "$XDG_STATE_HOME/vsandbox/sessions/$restored" -name a -path '*/upper/*')
		# whole files: one content each, and at most one write apart
		[ "$(sort -u "$upper" | wc -l)" -eq 1 ]
		[ "$(wc -l <"$upper")" -eq 1000 ]
		[ $(($(head -n 1 "$upper") - $(head -n 1 "${upper%a}b"))) -le 1 ]
		sleep 0.2
	done
	[ "$(state_of "$id")" = running ]
	# it went on in between
	run "$VSANDBOX" snapshot diff live1 live3
	[[ $output == *"M $PWD/a"* ]]
	"$VSANDBOX" kill "$id"
	wait "$gateway" || true
}

@test "a session that a person paused stays paused" {
	box -q -- sh -c 'while :; do echo x >>ticks; sleep 0.05; done' 3>&- &
	GATEWAY=$!
	eventually eval '[ -n "$(find "$XDG_STATE_HOME" -path "*/upper/*" -name ticks)" ]'
	SESSION=$(sessions)
	ticks=$(find "$XDG_STATE_HOME" -path "*/upper/*" -name ticks)
	# a pause may find a task that comes to its stop only later; such a one is refused
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		run "$VSANDBOX" pause "$SESSION"
		[[ $output == *'has yet to come'* ]] || break
		"$VSANDBOX" resume "$SESSION"
	done
	"$VSANDBOX" snapshot create --name held "$SESSION"
	before=$(wc -l <"$ticks")
	sleep 0.5
	[ "$(wc -l <"$ticks")" -eq "$before" ]
	"$VSANDBOX" kill "$SESSION"
	wait "$GATEWAY" || true
}

@test "a name that is a path is refused" {
	box -q -- sh -c 'echo x >f'
	run "$VSANDBOX" snapshot create --name ../x
	[ "$status" -eq 125 ]
	run "$VSANDBOX" snapshot verify ../../sessions
	[ "$status" -eq 125 ]
}

@test "an ordinary user's forest of layers is one layer, and comes back" {
	[ "$(id -u)" -eq 0 ] || skip 'needs root to become somebody else'
	chmod 755 "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR" "$BATS_TEST_TMPDIR" "${BATS_TEST_TMPDIR%/*}"
	local home=$BATS_TEST_TMPDIR/home
	install -d -o 12345 -g 12345 "$home" "$home/work"
	cd "$home/work"
	as() { setpriv --reuid 12345 --regid 12345 --clear-groups env -i HOME="$home" USER=u PATH=/usr/bin:/bin "$@"; }
	as "$VSANDBOX" run -q -- sh -c 'echo a >a; mkdir -p "$HOME/.config/x"; echo b >"$HOME/.config/x/b"; echo t >/tmp/vs-t; mkdir z; chmod 0 z'
	name=$(as "$VSANDBOX" snapshot list --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["snapshots"][0]["name"])')
	as "$VSANDBOX" snapshot verify "$name"
	first=$(as "$VSANDBOX" diff --name-status "${name%.*}")
	second=$(as "$VSANDBOX" snapshot restore "$name" 2>/dev/null)
	[ "$(as "$VSANDBOX" diff --name-status "$second")" = "$first" ]
	[[ $first == *$'A\t/tmp/vs-t'* && $first == *"$home/.config/x/b"* && $first == *"$home/work/z"* ]]
}

@test "progress on a terminal stays on one line, however narrow, and goes away" {
	box -q -- sh -c 'for i in $(seq 600); do : >f$i; done'
	for width in 70 26; do
		script -qec "stty cols $width; '$VSANDBOX' snapshot create" typescript >/dev/null
		python3 - typescript "$width" <<-'PY'
			import re, sys
			text, width = open(sys.argv[1], encoding="utf-8", newline="").read(), int(sys.argv[2])
			drawn = re.findall("\\r(vsandbox: [^\\r\\n\\x1b]*)\\x1b\\[K", text)
			assert drawn, text
			assert all(len(line) < width for line in drawn), drawn
			assert drawn[0] == "vsandbox: snapshot: 256 entries, 0.0 MiB"[:width - 1], drawn
			assert text.rindex("\r\x1b[K") > text.rindex(drawn[-1]), text
		PY
	done
}
