# sqlite3: journal and WAL, two writers at once.
set -e
sqlite3 a.db 'create table t(x); begin; insert into t values (1),(2),(3); commit; select sum(x) from t;'
sqlite3 a.db 'pragma journal_mode=wal; insert into t values (4); select count(*) from t;'
for i in 1 2 3 4; do
	(for j in 1 2 3 4 5 6 7 8; do sqlite3 -cmd '.timeout 20000' a.db "insert into t values ($i$j)"; done) &
done
wait
sqlite3 a.db 'select count(*), sum(x) from t; pragma integrity_check; vacuum;'
sqlite3 a.db .dump | wc -l
