# bash job control on a terminal of its own, stop and continue, traps, wait.
cat >inner.sh <<'EOF'
set -m
sleep 1000 &
kill -STOP %1; until jobs | grep -q Stopped; do sleep 0.05; done; jobs | sed 's/ \+/ /g'
bg %1 >/dev/null; until jobs | grep -q Running; do sleep 0.05; done; jobs | sed 's/ \+/ /g'
kill %1; wait %1; echo "status $?"
trap 'echo trapped' USR1
kill -USR1 $$
(exit 3) & wait $!; echo "child $?"
sleep 0.3 & wait -n; echo "any $?"
( trap '' PIPE; yes 2>/dev/null | head -n 1 )
bash -c 'kill -SEGV $$' 2>/dev/null; echo "signal $?"
timeout 0.2 sleep 1000; echo "timeout $?"
coproc cat; echo hello >&"${COPROC[1]}"; read -r l <&"${COPROC[0]}"; echo "$l"
EOF
script -qec 'bash --norc inner.sh' /dev/null </dev/null | tr -d '\r' | grep -v '^\[' | sed 's/: *[0-9]* Segm/: Segm/'
script -qec 'bash --norc inner.sh' /dev/null </dev/null | tr -d '\r' | grep -cE '^\[1\]'
setsid -w sh -c 'exit 7'; echo "setsid $?"
nice -n 5 nice
ulimit -n 64; ulimit -n
sh -c 'ulimit -f 1; head -c 100000 /dev/zero >big 2>/dev/null'; echo "limit $?"
