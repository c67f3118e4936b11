# git at its rarer work: submodules, bisect run, am, sparse checkout, alternates, bundles, a lock that is held.
export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.invalid GIT_COMMITTER_NAME=A
export GIT_COMMITTER_EMAIL=a@example.invalid GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000'
set -e
git config --global init.defaultBranch main
git config --global advice.detachedHead false
git config --global protocol.file.allow always
git config --global safe.directory '*'
git init -q part && cd part
for i in 1 2 3 4 5 6 7 8; do echo "$i" >n && git add n && git commit -qm "part $i"; done
cd .. && git init -q whole && cd whole
git submodule --quiet add ../part sub && git commit -qm 'with a part'
git submodule status | sed 's/^ //'
cd .. && git clone -q --recurse-submodules whole again && cat again/sub/n && git -C again submodule status
cd again/sub && git checkout -q HEAD~3 && cd .. && git status --short && git submodule --quiet update && git status --short
git mv sub other && git commit -qm moved && git submodule status && cd ..
cd part && git bisect start HEAD HEAD~7 >/dev/null 2>&1 && git bisect run sh -c 'test "$(cat n)" -lt 5' | grep -o 'is the first bad commit'
git bisect reset >/dev/null 2>&1
git format-patch -q -3 -o ../patches && ls ../patches
git checkout -q -b back HEAD~3 && git am -q ../patches/*.patch && git diff main --stat
echo x >n && git commit -qam passed && git log --format=%s | head -n 2
git bundle create -q ../b.bundle --all && git clone -q ../b.bundle -b back ../unbundled && cat ../unbundled/n
git clone -q --shared . ../shared && git -C ../shared repack -adq && git -C ../shared fsck
git clone -q --no-checkout "$FIXTURES/repo.git" ../sparse && cd ../sparse
git sparse-checkout set --cone d01 d02/e1 2>/dev/null && git checkout -q main && git ls-files -t | cut -c1 | sort | uniq -c
git sparse-checkout disable && find . -name '*.txt' | wc -l
touch .git/index.lock && git add -A 2>/dev/null || echo "locked: exit $?"
rm .git/index.lock && git repack -adq && git pack-refs --all && git prune-packed && git fsck
git -c gc.auto=1 commit -q --allow-empty -m more && git maintenance run --quiet && git log -1 --format=%s
