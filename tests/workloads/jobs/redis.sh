# redis: a server inside, a save by a child, a log of commands, a start from both.
start() {
	redis-server --port 0 --unixsocket "$PWD/s" --save '' --dir "$PWD" "$@" >log 2>&1 &
	pid=$!
	until redis-cli -s s ping >/dev/null 2>&1; do
		kill -0 $pid 2>/dev/null || { cat log; exit 1; }
		sleep 0.1
	done
}
# No child of it writes: it would refuse to end.
idle() {
	[ "$(redis-cli -s s info persistence | grep -cE '^(rdb_bgsave_in_progress|aof_rewrite_in_progress|aof_rewrite_scheduled):0')" = 3 ]
}
start
redis-cli -s s set a 1
for _ in $(seq 200); do echo 'incr a'; done | redis-cli -s s --pipe | grep -o 'errors: .*'
redis-cli -s s bgsave
until idle; do sleep 0.1; done
redis-cli -s s config set appendonly yes && redis-cli -s s set b 2
until idle; do sleep 0.1; done
redis-cli -s s shutdown nosave
wait $pid
echo "exit $?"
start --appendonly yes
redis-cli -s s mget a b
redis-benchmark -s s -c 8 -n 2000 -q INCR counter >/dev/null
redis-cli -s s get counter
kill $pid
wait $pid
echo "exit $?"
