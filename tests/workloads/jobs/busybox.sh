# busybox applets and its shell.
set -e
busybox sh -c 'mkdir -p d/e; echo hi > d/e/f; cp -r d g; mv g h; rm -r d; find h -type f'
busybox ls -la h | busybox wc -l
busybox tar cf t.tar h && busybox tar tf t.tar
busybox sh -c 'i=0; while [ $i -lt 50 ]; do echo $i > n$i; i=$((i+1)); done; ls | wc -l; rm n*'
echo 'b a c' | busybox tr ' ' '\n' | busybox sort | busybox tr '\n' ' '
busybox sed -i s/hi/ho/ h/e/f && busybox cat h/e/f
busybox sha256sum h/e/f
