load common

# a session that a failed test has left
teardown() {
	[ -z "${GATEWAY:-}" ] || kill "$GATEWAY" 2>/dev/null || true
}

commit() {
	"$VSANDBOX" commit --yes "$@"
}

# Everything there is to know of the tree but its times of access and change.
tree() {
	find . -printf '%P %y %m %U:%G %n %T@ %l\n' | grep -v '^ ' | sed -E 's/^(.* d [0-9]+ [0-9:]+) [0-9]+ /\1 - /' | sort
	find . -type f -print0 | sort -z | xargs -0r md5sum
}

@test "commit makes it real and empties the session, undo takes it back" {
	mkdir -p gone/sub
	echo 1 | tee old changed gone/sub/leaf >/dev/null
	tree >../before
	box -q -- sh -c 'rm -r gone; rm old; echo 2 >>changed; mkdir new; echo 3 >new/file'
	tree >../between
	cmp ../before ../between
	run commit
	[ "$status" -eq 0 ]
	[[ $output == *"committed "*"vsandbox undo"* ]]
	[ ! -e gone ] && [ ! -e old ]
	[ "$(cat changed new/file)" = $'1\n2\n3' ]
	[ -z "$("$VSANDBOX" diff 2>/dev/null)" ]
	run commit
	[ "$status" -eq 0 ]
	[[ $output == *"holds no changes"* ]]
	run "$VSANDBOX" undo --yes
	[ "$status" -eq 0 ]
	tree >../after
	diff ../before ../after
	run "$VSANDBOX" undo --yes
	[ "$status" -eq 125 ]
	[ -z "$(find . -name '.vsandbox-*')" ]
}

@test "without a yes nothing is done; dry-run lists and does nothing" {
	echo 1 >f
	box -q -- sh -c 'rm f; touch g'
	run "$VSANDBOX" commit </dev/null
	[ "$status" -eq 125 ]
	[[ $output == *--yes* ]]
	run "$VSANDBOX" commit --dry-run
	[ "$status" -eq 0 ]
	[[ ${lines[0]} == *"D "*/f && ${lines[1]} == *"A "*/g ]]
	[ -e f ] && [ ! -e g ]
	"$VSANDBOX" commit --dry-run --json | python3 -c '
import json, sys
d = json.load(sys.stdin)
assert d["schema_version"] == 1 and d["outcome"] == "planned" and d["conflicts"] == []
assert {c["path"].rsplit("/", 1)[1]: c["status"] for c in d["changes"]} == {"f": "D", "g": "A"}'
}

@test "a file that the host changed since is a conflict, each named, nothing done" {
	echo 1 | tee both deleted host-deleted mode >/dev/null
	box -q -- sh -c 'echo 2 >>both; rm deleted; echo 2 >>host-deleted; echo 2 >>mode; echo 3 >made; echo 4 >fine'
	echo x >>both
	echo x >>deleted
	rm host-deleted
	chmod 600 mode
	echo x >made
	run commit
	[ "$status" -eq 122 ]
	for name in both deleted host-deleted mode made; do
		grep -q "! .*/$name:" <<<"$output"
	done
	[[ $output != *"! "*/fine* ]]
	[ ! -e fine ] && [ "$(cat made)" = x ]
	"$VSANDBOX" commit --json --yes >../out.json && false
	python3 -c '
import json, sys
d = json.load(open(sys.argv[1]))
assert d["outcome"] == "refused" and len(d["conflicts"]) == 5, d' ../out.json
	run commit --exclude both --exclude '*deleted' --exclude mode --exclude made
	[ "$status" -eq 0 ]
	[ "$(cat fine)" = 4 ]
	# what was left out is in the session still
	run "$VSANDBOX" diff --name-status
	[[ $output == */both* && $output != */fine* ]]
}

@test "content set back in time, and a file replaced by another, are conflicts too" {
	echo 1 | tee sneaky swapped >/dev/null
	box -q -- sh -c 'echo 2 >>sneaky; echo 2 >>swapped'
	stamp=$(stat -c %y sneaky)
	echo 9 >sneaky
	touch -d "$stamp" sneaky
	cp -p swapped other && mv other swapped
	run commit
	[ "$status" -eq 122 ]
	[[ $output == *sneaky* && $output == *swapped* ]]
}

@test "paths choose what is committed, with the directories that are new; the rest stays" {
	echo 1 >kept
	box -q -- sh -c 'mkdir -p a/b; echo 1 >a/b/x; echo 2 >a/y; echo 3 >z; echo 4 >>kept; chmod 711 a'
	run commit ./a/b
	[ "$status" -eq 0 ]
	[ "$(cat a/b/x)" = 1 ] && [ ! -e a/y ] && [ ! -e z ]
	[ "$(stat -c %a a)" = 711 ]
	run "$VSANDBOX" diff --name-status
	[[ $output == */a/y* && $output == */z* && $output == */kept* && $output != */a/b/x* ]]
	run commit
	[ "$status" -eq 0 ]
	[ "$(cat a/y z kept)" = $'2\n3\n1\n4' ]
	# two commits, taken back one after the other
	"$VSANDBOX" undo --yes
	[ ! -e z ] && [ -e a/b/x ]
	"$VSANDBOX" undo --yes
	[ ! -e a ] && [ "$(cat kept)" = 1 ]
}

# A session that does what tell() says.
start_told() {
	mkfifo ../told ../done
	"$VSANDBOX" run -p "$POLICY" -- bash -c 'while read -r line; do eval "$line"; echo "$?"; done' \
		<>../told >../done 2>../err 3>&- &
	GATEWAY=$!
	exec 7>../told 8<>../done
	tell true
	SESSION=$(sessions | tail -n 1)
}

tell() {
	local code
	echo "$*" >&7
	read -r -t 30 -u 8 code && [ "$code" -eq 0 ]
}

end_told() {
	exec 7>&- 8>&-
	"$VSANDBOX" kill "$SESSION"
	wait "$GATEWAY" || true
}

diff_of() {
	"$VSANDBOX" diff --name-status "$SESSION" 2>/dev/null | sed "s|$PWD/||"
}

@test "a running session is committed and goes on; the next commit has what came later" {
	mkdir old
	echo 1 | tee old/x old/y changed gone >/dev/null
	start_told
	tell 'exec 5>>changed; echo 2 >&5; rm gone; mkdir new; echo a >new/a; echo b >new/b; rm -r old; mkdir old; echo 3 >old/x'
	run commit "$SESSION"
	[ "$status" -eq 0 ]
	[ "$(cat changed new/a old/x)" = $'1\n2\na\n3' ]
	[ ! -e gone ] && [ ! -e old/y ]
	[ -z "$(diff_of)" ]
	# what the host does in the directories that the session made is no change of the session's
	echo host | tee new/host old/host >/dev/null
	[ -z "$(diff_of)" ]
	# what is open stays so, and writes to the session alone; deletions in a new directory are seen
	tell 'echo 4 >&5; rm new/b; echo 5 >gone; echo 6 >old/z'
	[ "$(cat changed)" = $'1\n2' ]
	[ "$(diff_of)" = $'D\tnew/b\nM\tchanged\nA\tgone\nA\told/z' ]
	run commit "$SESSION"
	[ "$status" -eq 0 ]
	[ "$(cat changed gone old/z)" = $'1\n2\n4\n5\n6' ]
	[ ! -e new/b ] && [ "$(cat new/host)" = host ]
	[ -z "$(diff_of)" ]
	end_told
	[ -z "$(diff_of)" ]
	run "$VSANDBOX" undo --yes "$SESSION"
	[ "$status" -eq 0 ]
	[ "$(cat changed new/b)" = $'1\n2\nb' ] && [ ! -e gone ]
}

@test "undo of a running session's commit gives it its changes back" {
	echo 1 | tee changed gone >/dev/null
	tree >../before
	start_told
	tell 'echo 2 >>changed; rm gone; mkdir new; echo a >new/a'
	diff_of >../changes
	commit "$SESSION"
	run "$VSANDBOX" undo --yes "$SESSION"
	[ "$status" -eq 0 ]
	tree >../after
	diff ../before ../after
	diff_of | diff ../changes -
	tell '[ "$(cat changed)" = "$(printf "1\n2")" ] && [ ! -e gone ] && [ "$(cat new/a)" = a ]'
	run commit "$SESSION"
	[ "$status" -eq 0 ]
	[ "$(cat new/a)" = a ] && [ ! -e gone ]
	end_told
}

@test "what the host changed since a running session's commit is a conflict" {
	echo 1 >changed
	start_told
	tell 'echo 2 >>changed; mkdir new; echo a >new/a'
	commit "$SESSION"
	echo host >>changed
	tell 'echo 3 >>changed; echo b >>new/a'
	run commit "$SESSION"
	[ "$status" -eq 122 ]
	[[ $output == *"changed: changed on the host since"* && $output != *new/a* ]]
	run commit --exclude changed "$SESSION"
	[ "$status" -eq 0 ]
	[ "$(cat new/a)" = $'a\nb' ] && [ "$(cat changed)" = $'1\n2\nhost' ]
	end_told
}

@test "a rollback reaches back before a running session's commit, and is a change of its own" {
	echo 1 >changed
	start_told
	tell 'echo 2 >changed; echo a >made'
	commit "$SESSION"
	run "$VSANDBOX" rollback --yes --last 1 "$SESSION"
	[ "$status" -eq 0 ]
	tell '[ ! -e made ]'
	[ "$(diff_of)" = $'D\tmade' ]
	# what the host had is not there any more to be leant on, though of the same size
	run "$VSANDBOX" rollback --yes --last 1 "$SESSION"
	[ "$status" -eq 122 ]
	[[ $output == *"past"*changed*"changed since"* ]]
	tell '[ "$(cat changed)" = 2 ]'
	commit "$SESSION"
	[ ! -e made ] && [ "$(cat changed)" = 2 ]
	end_told
}

@test "discard takes a running session back to its last commit" {
	mkdir old
	echo 1 | tee old/x changed >/dev/null
	start_told
	tell 'echo 2 >>changed; rm -r old; mkdir new; echo a >new/a; ln -s a new/link'
	run "$VSANDBOX" discard "$SESSION" </dev/null
	[ "$status" -eq 125 ]
	run "$VSANDBOX" discard --yes "$SESSION"
	[ "$status" -eq 0 ]
	[ -z "$(diff_of)" ]
	tell '[ "$(cat changed old/x)" = "$(printf "1\n1")" ] && [ ! -e new ]'
	tell 'echo 3 >>changed'
	commit "$SESSION"
	tell 'echo 4 >>changed; rm old/x'
	run "$VSANDBOX" discard --yes "$SESSION"
	[ "$status" -eq 0 ]
	tell '[ "$(cat changed)" = "$(printf "1\n3")" ] && [ -e old/x ]'
	[ -z "$(diff_of)" ]
	[ "$(cat changed)" = $'1\n3' ]
	end_told
}

@test "discard of a running session names what is past undoing, and does nothing" {
	echo 1 | tee one two >/dev/null
	start_told
	tell 'echo 2 >>one; echo 2 >>two'
	echo host >two
	run "$VSANDBOX" discard --yes "$SESSION"
	[ "$status" -eq 122 ]
	[[ $output == *"nothing was discarded"*past*/two* && $output != *"past"*/one* ]]
	tell '[ "$(cat one)" = "$(printf "1\n2")" ]'
	run commit --exclude two "$SESSION"
	[ "$status" -eq 0 ]
	run "$VSANDBOX" discard --yes "$SESSION"
	[ "$status" -eq 125 ]
	[[ $output == *"in part"* ]]
	end_told
}

@test "while a running session is committed nobody lets it go on" {
	start_told
	tell 'echo 1 >made'
	exec 9>"$XDG_STATE_HOME/vsandbox/sessions/$SESSION/work.lock"
	flock 9
	run commit "$SESSION"
	[ "$status" -eq 125 ]
	[[ $output == *"another command is at work"* ]]
	"$VSANDBOX" pause "$SESSION"
	run "$VSANDBOX" resume "$SESSION"
	[ "$status" -eq 125 ]
	[[ $output == *"at work"* ]]
	exec 9>&-
	"$VSANDBOX" resume "$SESSION"
	tell 'true'
	# one that a person holds stays held
	"$VSANDBOX" pause "$SESSION"
	commit "$SESSION"
	"$VSANDBOX" ps | grep -q "^$SESSION *paused"
	[ "$(cat made)" = 1 ]
	"$VSANDBOX" resume "$SESSION"
	tell 'true'
	end_told
}

@test "what the host would execute needs a yes of its own" {
	git init -q .
	echo '{"name": "x"}' >package.json
	cat .git/config >../git-config
	box -q -- sh -c '
		echo echo hi >.git/hooks/pre-commit
		git config core.fsmonitor ./x
		git config user.name harmless
		echo "use nix" >.envrc
		mkdir -p .github/workflows .vscode .claude sub
		echo x | tee .github/workflows/ci.yml .vscode/tasks.json .claude/settings.json AGENTS.md conftest.py sub/.npmrc >/dev/null
		echo "{\"name\": \"x\", \"scripts\": {\"postinstall\": \"evil\"}}" >package.json
		ln -s /etc/passwd absolute; ln -s ../../out escaping; ln -s sub inside
		echo plain >plain.c'
	run commit
	[ "$status" -eq 125 ]
	for name in pre-commit fsmonitor .envrc ci.yml tasks.json settings.json AGENTS.md conftest.py .npmrc postinstall absolute escaping; do
		grep -qF "$name" <<<"$output"
	done
	[[ $output != *plain.c* && $output != *inside* && $output != *harmless* ]]
	[ ! -e plain.c ]
	cmp .git/config ../git-config
	run commit --yes-executable
	[ "$status" -eq 0 ]
	[ -e .envrc ] && [ "$(git config core.fsmonitor)" = ./x ]
}

@test "a repository is one unit, and git's lock holds commit off" {
	git init -q .
	git -c user.name=a -c user.email=a@b commit -q --allow-empty -m first
	box -q -- sh -c 'echo 1 >f; git add f; git -c user.name=a -c user.email=a@b commit -qm second'
	run commit .git/refs
	[ "$status" -eq 125 ]
	[[ $output == *"as a whole"* ]]
	run commit --exclude index
	[ "$status" -eq 125 ]
	touch .git/index.lock
	run commit
	[ "$status" -eq 125 ]
	[[ $output == *index.lock* ]]
	rm .git/index.lock
	run commit
	[ "$status" -eq 0 ]
	[ "$(git log --oneline | wc -l)" -eq 2 ]
	git fsck --strict
	[ -z "$(git status --porcelain)" ]
}

@test "device nodes and forged overlay attributes in a layer are refused" {
	[ "$(id -u)" -eq 0 ] || skip "root is needed to forge a layer"
	box -q -- sh -c 'echo 1 >f; echo 1 >g'
	upper=$(find "$XDG_STATE_HOME"/vsandbox/sessions/*/layers -path '*/upper/*/work/f' -printf '%h')
	setfattr -n user.overlay.redirect -v /etc "$upper/f"
	mknod "$upper/node" c 1 3
	run commit
	[ "$status" -eq 125 ]
	[[ $output == *user.overlay.redirect* && $output == *"a device node"* ]]
	[ ! -e f ] && [ ! -e node ]
	rm "$upper/node"
	setfattr -x user.overlay.redirect "$upper/f"
	commit
	[ -f f ]
	[ -z "$(getfattr --absolute-names -d -m overlay f)" ]
}

@test "setuid bits stay behind unless they are asked for" {
	box -q -- sh -c 'cp /bin/true a; cp /bin/true b; chmod 4755 a b'
	"$VSANDBOX" commit --yes ./a
	[ "$(stat -c %a a)" = 755 ]
	"$VSANDBOX" commit --yes --keep-setuid
	[ "$(stat -c %a b)" = 4755 ]
}

@test "undo leaves what was changed since, says so, and keeps the old" {
	echo old | tee one two >/dev/null
	box -q -- sh -c 'echo new | tee one two three; mkdir d; echo 1 >d/f'
	commit
	echo mine >>one
	echo mine >d/mine
	run "$VSANDBOX" undo --yes
	[ "$status" -eq 122 ]
	[[ $output == *"! "*/one* && $output == *"! "*/d:* ]]
	[ "$(cat one)" = $'new\nmine' ] && [ "$(cat two)" = old ]
	[ ! -e three ] && [ ! -e d/f ] && [ -e d/mine ]
	grep -qx old "$XDG_STATE_HOME"/vsandbox/sessions/*/commits/1/pre/*
}

@test "links, sparse files, fifos and attributes arrive as they were" {
	box -q -- sh -c 'echo x >a; ln a b; ln -s a l; mkfifo p; truncate -s 64M s; setfattr -n user.k -v v a; echo t >s2; chmod 000 s2'
	commit --yes-executable
	[ "$(stat -c %i a)" = "$(stat -c %i b)" ] && [ "$(stat -c %h a)" -eq 2 ]
	[ "$(readlink l)" = a ] && [ -p p ]
	[ "$(stat -c %b s)" -lt 100 ] && [ "$(stat -c %s s)" -eq 67108864 ]
	[ "$(getfattr --only-values -n user.k b)" = v ]
	[ "$(stat -c %a s2)" = 0 ]
}

@test "on-exit commit commits; with conflicts or executables all is kept and it is 122" {
	box -q --on-exit commit -- sh -c 'echo 1 >f'
	[ "$(cat f)" = 1 ]
	run box --on-exit commit -- sh -c 'echo x >.envrc'
	[ "$status" -eq 122 ]
	[[ $output == *"are kept"* ]]
	[ ! -e .envrc ]
	run box --on-exit commit -- sh -c 'echo x >.envrc; exit 3'
	[ "$status" -eq 3 ]
	run box --on-exit commit --timeout 1 -- sh -c 'echo x >late; sleep 20'
	[ "$status" -eq 124 ]
	[ ! -e late ]
	run box --on-exit ask -- sh -c 'echo 1 >g' </dev/null
	[ "$status" -eq 0 ]
	[[ $output == *"nobody is there"* ]]
	[ ! -e g ]
}

@test "an interrupted commit is told and must be resumed or undone first" {
	echo 1 >f
	box -q -- sh -c 'echo 2 >f'
	"$VSANDBOX" diff >/dev/null # the run is over
	strace -qq -o /dev/null -e inject=renameat2:signal=KILL:when=1 "$VSANDBOX" commit --yes || true
	[ "$(cat f)" = 1 ]
	run commit
	[ "$status" -eq 125 ]
	[[ $output == *--resume* ]]
	run "$VSANDBOX" discard --yes
	[ "$status" -eq 125 ]
	run "$VSANDBOX" commit --resume
	[ "$status" -eq 0 ]
	[ "$(cat f)" = 2 ]
	[ -z "$(find . -name '.vsandbox-*')" ]
}

@test "a full disk takes everything back" {
	[ "$(id -u)" -eq 0 ] || skip "root is needed to mount"
	mkdir small
	echo old >small/f
	box -q -- sh -c 'head -c 3000000 /dev/urandom >small/big; echo new >small/f; head -c 3000000 /dev/urandom >small/big2'
	# the same files on a disk without room for them: in a mount namespace of its own
	session=$(sessions)
	cat >../run <<-SH
		mount -t tmpfs -o size=4m tmpfs small
		echo old >small/f
		"$VSANDBOX" run -q -p "$POLICY" -- sh -c 'true'
		"$VSANDBOX" run -q -p "$POLICY" -- sh -c 'head -c 3000000 /dev/zero >small/big; echo new >small/f; head -c 3000000 /dev/urandom >small/big2'
		"$VSANDBOX" commit --yes
		echo "rc \$?"
		ls -A small
		cat small/f
	SH
	run unshare -m --propagation private sh ../run
	[[ $output == *"No space left"*"nothing was committed"*"rc 125"* ]]
	[ "${lines[-1]}" = old ] && [ "${lines[-2]}" = f ]
}

@test "diff -p is a patch for git apply and patch -p1" {
	seq 100 >nums
	printf 'no newline' >nonl
	echo gone | tee gone exec 'sp ace"q' >/dev/null
	echo moving >mv-me
	: >empty-gone
	ln -s one link
	mkdir d
	echo in >d/in
	mkdir ../by-git ../by-patch
	cp -a . ../by-git
	cp -a . ../by-patch
	box -q -- sh -c 'sed -i s/50/fifty/ nums; printf "still no" >nonl; rm gone empty-gone d/in; chmod +x exec
		ln -sf other link; ln -s x newlink; echo new >new; : >empty-new; mv mv-me moved; echo z >>"sp ace\"q"
		echo x >"$(printf "esc\033[31m")"'
	"$VSANDBOX" diff -p >../patch
	[ "$(grep -c $'\033' ../patch)" -eq 0 ]
	grep -q '^rename from mv-me' ../patch
	git -C ../by-git init -q
	git -C ../by-git apply "$PWD/../patch"
	patch -s -p1 -d ../by-patch <../patch
	commit --yes-executable
	for by in git patch; do
		(cd ../by-$by && rm -rf .git && find . ! -type d -printf '%P %y %m %l\n' | sort) >../got
		find . ! -type d -printf '%P %y %m %l\n' | sort >../want
		diff ../got ../want
		diff -r --no-dereference ../by-$by . | grep -v '^Only in .: d$' >../diff || true
		[ ! -s ../diff ]
	done
}

@test "diff -p tells binaries by size and digest, and notes what a patch cannot say" {
	printf 'a\0b' >bin
	echo 1 >mode
	box -q -- sh -c 'printf "a\0cd" >bin; chmod 600 mode; setfattr -n user.z -v 1 mode; mkdir dir; mkfifo p'
	run "$VSANDBOX" diff -p
	[[ $output == *"# binary: bin, 3 bytes, sha256 59b271ae1bbcb1d31d41929817f4b16fb439eb4f31520b5ad1d5ce98920a7138 -> 4 bytes"* ]]
	[[ $output == *"# mode 0644 -> 0600: mode"* && $output == *"# attribute user.z set: mode"* ]]
	[[ $output == *"# new directory: dir"* && $output == *"# new fifo: p"* ]]
}

@test "diff opens no file that was not changed" {
	mkdir many
	for i in $(seq 50); do echo "$i" >"many/f$i"; done
	box -q -- sh -c 'echo x >>many/f7'
	for form in --name-status -p; do
		strace -f -qq -e trace=openat,openat2,open -o ../trace "$VSANDBOX" diff $form >/dev/null
		[ "$form" = --name-status ] || grep -q '"f7"' ../trace
		[ "$(grep -cE '"(many/)?f(1|8|50)"' ../trace)" -eq 0 ]
	done
}

@test "diff names who wrote a file and what it was called" {
	echo 1 >before
	box -q -- sh -c 'mv before after; touch other'
	run "$VSANDBOX" diff --by-process
	[[ $output == *"touch["*/other* && $output == *"mv["*/after*"(was "*before* ]]
	"$VSANDBOX" diff --json | python3 -c '
import json, sys
rows = {c["path"].rsplit("/", 1)[1]: c for c in json.load(sys.stdin)["changes"]}
assert rows["after"]["renamed_from"].endswith("/before")
assert rows["other"]["program"].endswith("touch") and rows["other"]["pid"] > 1'
}

@test "hostile names reach no terminal raw from commit and undo" {
	name=$(printf 'x\033[31m\n\302\233y')
	box -q -- sh -c 'echo 1 >"$0"; ln -s "$0" "/tmp$0" 2>/dev/null; ln -s "/$0" link' "$name"
	"$VSANDBOX" commit --dry-run >out 2>&1
	"$VSANDBOX" commit --yes --yes-executable >>out 2>&1 -- "$(sessions)" .
	"$VSANDBOX" undo --dry-run >>out 2>&1
	[ "$(grep -c $'\033\|\302\233' out)" -eq 0 ]
	[ -f "$name" ]
}
