# git: init, commit, branch, rebase, merge, stash, worktree, clone --local, gc, fsck.
export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.invalid GIT_COMMITTER_NAME=A
export GIT_COMMITTER_EMAIL=a@example.invalid GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000'
set -e
git config --global init.defaultBranch main
git config --global advice.detachedHead false
git config --global safe.directory '*'
git init -q repo
cd repo
for i in 1 2 3 4 5 6 7 8 9 10; do
	echo "line $i" >>file
	mkdir -p "dir$i" && echo "$i" >"dir$i/f"
	git add -A && git commit -qm "commit $i"
done
git checkout -q -b topic HEAD~5
for i in a b c; do echo "$i" >"topic-$i" && git add -A && git commit -qm "topic $i"; done
git rebase -q main
git log --format='%h %s' | cat
echo changed >file && git stash -q && git stash pop -q && git diff --stat | cat
git checkout -q -- file
git worktree add -q ../tree main && git -C ../tree status --short --branch
git worktree remove ../tree
git checkout -q main && git merge -q --no-edit topic && git mv dir1 moved && git commit -qm moved
git rm -rq dir2 && git commit -qm removed
git gc -q && git fsck 2>/dev/null
git count-objects -v | grep -E 'count|in-pack'
cd ..
git clone -q --local repo local && git -C local log -1 --format=%H
git clone -q --local "$FIXTURES/repo.git" big && cd big
git log --oneline | wc -l
git checkout -q HEAD~200 && git status --short | wc -l && git checkout -q main
git grep -c 'line 3 of' | wc -l
echo x >d00/e0/f0.txt && git status --short
git clean -fdxq && git reset -q --hard && git status --short
git ls-files | wc -l
