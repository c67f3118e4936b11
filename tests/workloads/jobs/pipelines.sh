# tar, rsync, find, grep, sort, cp -a, in pipes.
set -e
mkdir -p src/a/b src/c
for i in 1 2 3 4 5 6 7 8 9; do echo "text $i" >"src/a/f$i" && cp "src/a/f$i" "src/a/b/g$i"; done
ln -s ../a/f1 src/c/soft && ln src/a/f2 src/c/hard && mkfifo src/c/fifo && touch -d @1000000000 src/a/f3
chmod 640 src/a/f4
mkdir copy && tar cf - -C src . | tar xpf - -C copy
tar czf t.tgz src && tar tzf t.tgz | LC_ALL=C sort | cksum
find copy -printf '%P %y %m %l\n' | LC_ALL=C sort
rsync -aH --delete src/ synced/ && rsync -aHni --delete src/ synced/ | grep -v '^\.d' | wc -l
rm src/a/f5 && rsync -aH --delete src/ synced/ && ls synced/a | wc -l
cp -a src copied && diff -r --no-dereference src/a copied/a && stat -c %Y copied/a/f3
find src -type f -print0 | xargs -0 grep -l 'text [12]' | LC_ALL=C sort | tr '\n' ' '
seq 20000 | sort -R | sort -n | md5sum
yes | head -n 100000 | gzip | zcat | wc -l
find copied -name 'f*' -delete && find copied -type f | wc -l
(echo one; echo two >&2) 2>&1 | cat
mkfifo p && (echo through >p &) && cat p
head -c 1000000 /dev/zero | tee >(wc -c >count) >/dev/null; until [ -s count ]; do sleep 0.05; done; cat count
dd if=/dev/zero of=z bs=1M count=4 status=none && cp --reflink=auto z z2 && cmp z z2 && truncate -s 10 z && stat -c %s z
