#!/usr/bin/env python3
"""Two servers find at the same moment that a day of actions has no table yet. PostgreSQL; TAP on stdout.

    partitions.py NAME SERVE DB DIRECTORY
"""
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from served import Claims, Server, wait_for

NAME, SERVE, DB, DIR = sys.argv[1:5]
claims = Claims(NAME)
ok, same = claims.ok, claims.same
PSQL = ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", DB]
DAYS = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^actions_[0-9]+$' ORDER BY relname"


def sql(script):
    return subprocess.run(PSQL, input=script, text=True, capture_output=True, timeout=60, check=True).stdout.split()


first = Server(SERVE, DB, DIR, "first")
same("the server ends", first.stop(), 0)
days = sql(DAYS)
same("yesterday, today and two days more have a table", len(days), 4)
sql("".join(f"DROP TABLE {day};" for day in days[-2:]))

# Nobody can add one while this is held: both have looked, and wait.
with subprocess.Popen(PSQL, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
    holder.stdin.write("BEGIN; LOCK TABLE actions IN ACCESS EXCLUSIVE MODE; SELECT 'held';\n")
    holder.stdin.flush()
    holder.stdout.readline()
    with ThreadPoolExecutor() as pool:
        starting = [pool.submit(Server, SERVE, DB, DIR, name, key=first.key) for name in ("one", "two")]
        ok("both wait", wait_for(lambda: sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND "
                                            "datname = current_database()") == ["2"]))
        holder.stdin.write("COMMIT;\n")
        holder.stdin.close()
        try:
            servers = [s.result() for s in starting]
        except SystemExit:
            servers = []
same("both start", len(servers), 2)
same("and each day has its table", sql(DAYS), days)
for s in servers:
    same("the server ends", s.stop(), 0)
claims.end()
