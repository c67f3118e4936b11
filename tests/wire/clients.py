#!/usr/bin/python3
"""Real client libraries through the inspector. Prints "ok TEXT" or "not ok TEXT", one a line.

clients.py PART READ_PORT WRITE_PORT NATIVE_PORT
READ_PORT lets statements that read through; WRITE_PORT all but the very dangerous ones.
"""
import asyncio
import socket
import struct
import sys

part, read, write, native = sys.argv[1], *map(int, sys.argv[2:5])


def ok(good, text, why=""):
    print("ok" if good else "not ok", text + ("" if good else f" ({why!r})"), flush=True)


def same(text, got, want):
    ok(got == want, text, got)


def code_of(call):
    """The error code of what call() raises, or None."""
    try:
        call()
    except Exception as e:  # whatever the library raises
        return getattr(e, "pgcode", None) or getattr(e, "sqlstate", None) or e.args[0]
    return None


def psycopg():
    import psycopg2

    def connect(port):
        return psycopg2.connect(host="127.0.0.1", port=port, user="postgres", password="secret",
                                dbname="postgres")
    c = connect(read)
    k = c.cursor()
    k.execute("select %s", (5,))
    same("psycopg2: a query", k.fetchall(), [(5,)])
    same("psycopg2: a refused INSERT has SQLSTATE 42501",
         code_of(lambda: k.execute("insert into t values (1)")), "42501")
    same("psycopg2: the transaction has failed, as natively",
         code_of(lambda: k.execute("select 1")), "25P02")
    c.rollback()
    k.execute("select 'it''s'")
    same("psycopg2: after ROLLBACK the connection lives on", k.fetchall(), [("it's",)])
    import io
    same("psycopg2: COPY FROM STDIN is refused",
         code_of(lambda: k.copy_expert("copy t from stdin", io.StringIO("1\n"))), "42501")
    c.rollback()
    w = connect(write)
    wk = w.cursor()
    wk.execute("create table t (a int)")
    wk.copy_expert("copy t from stdin", io.StringIO("".join(f"{i}\n" for i in range(50000))))
    w.commit()
    out = io.StringIO()
    k.copy_expert("copy t to stdout", out)
    same("psycopg2: COPY in and out of 50,000 rows", out.getvalue().count("\n"), 50000)
    same("psycopg2: DELETE without WHERE is refused where writes are allowed",
         code_of(lambda: wk.execute("delete from t")), "42501")
    w.rollback()
    wk.execute("delete from t where a < 10")
    same("psycopg2: DELETE with WHERE is not", wk.rowcount, 10)
    same("psycopg2: a COPY that fails in the middle",
         code_of(lambda: wk.copy_expert("copy t from stdin", io.StringIO("1\nx\n2\n"))), "22P02")
    w.rollback()
    wk.execute("select count(*) from t")
    same("psycopg2: … leaves the connection in step", wk.fetchall(), [(50000,)])
    wk.execute("select repeat('x', 3000000)")
    same("psycopg2: a result of 3 MB", len(wk.fetchone()[0]), 3000000)
    big = "select length('" + "y" * 5000000 + "')"
    wk.execute(big)
    same("psycopg2: a statement of 5 MB", wk.fetchone()[0], 5000000)
    same("psycopg2: a statement of 20 MB is refused",
         code_of(lambda: wk.execute("select '" + "z" * 20000000 + "'")), "42501")
    w.rollback()
    k.execute("prepare gone as select 1")
    same("psycopg2: PREPARE of a DELETE is refused",
         code_of(lambda: k.execute("prepare evil as delete from t")), "42501")
    c.rollback()
    same("psycopg2: EXECUTE of a name nobody prepared in sight is refused",
         code_of(lambda: k.execute("execute evil")), "42501")
    c.rollback()
    # the function prepares it where no parser sees it
    wk.execute("create function f() returns void language plpgsql as "
               "$$begin execute 'prepare hid as delete from t where true'; end$$")
    w.commit()
    k.execute("set standard_conforming_strings = off")
    same("psycopg2: a backslash under changed string rules is not believed",
         code_of(lambda: k.execute(r"select '\'; delete from t; --'")), "42501")


def asyncpg_():
    import asyncpg

    async def code(awaitable):
        try:
            await awaitable
        except Exception as e:
            return getattr(e, "sqlstate", None) or repr(e)
        return None

    async def main():
        c = await asyncpg.connect(host="127.0.0.1", port=read, user="postgres",
                                  password="secret", database="postgres")
        w = await asyncpg.connect(host="127.0.0.1", port=write, user="postgres",
                                  password="secret", database="postgres")
        await w.execute("create table if not exists u (a int)")
        same("asyncpg: extended query", await c.fetchval("select $1::int + 1", 4), 5)
        s = await c.prepare("select $1::text")
        same("asyncpg: a prepared statement, twice",
             [await s.fetchval("x"), await s.fetchval("y")], ["x", "y"])
        same("asyncpg: a refused extended statement",
             await code(c.execute("delete from u where a = $1", 1)), "42501")
        same("asyncpg: … and the next one", await c.fetchval("select 7"), 7)
        tr = c.transaction()
        await tr.start()
        same("asyncpg: refused in a transaction", await code(c.fetch("insert into u values ($1)", 1)),
             "42501")
        same("asyncpg: … which has failed", await code(c.fetch("select 1")), "25P02")
        await tr.rollback()
        same("asyncpg: … until ROLLBACK", await c.fetchval("select 8"), 8)
        await w.executemany("insert into u values ($1)", [(i,) for i in range(1000)])
        same("asyncpg: executemany pipelines 1,000 rows",
             await w.fetchval("select count(*) from u"), 1000)
        await w.copy_records_to_table("u", records=[(i,) for i in range(5000)])
        same("asyncpg: COPY in binary", await w.fetchval("select count(*) from u"), 6000)
        rows = 0
        async with c.transaction():
            async for _ in c.cursor("select * from u", prefetch=100):
                rows += 1
        same("asyncpg: a portal fetched in parts", rows, 6000)
        many = [await c.prepare(f"select {i}") for i in range(300)]
        same("asyncpg: 300 statements prepared at once",
             [await m.fetchval() for m in many], list(range(300)))
        await c.close()
        await w.close()
    asyncio.run(asyncio.wait_for(main(), 60))


def startup(**more):
    body = struct.pack(">I", 196608)
    for name, value in {"user": "postgres", "database": "postgres", **more}.items():
        body += name.encode() + b"\0" + value.encode() + b"\0"
    body += b"\0"
    return struct.pack(">I", len(body) + 4) + body


def answer(port, data, count=4096, last=None, patience=60):
    """What comes back for raw bytes, until the other side closes, or they are @count, or end with @last, or
    nothing more comes for @patience seconds."""
    s = socket.create_connection(("127.0.0.1", port))
    s.settimeout(patience)
    out = b""
    try:
        for b in data if isinstance(data, list) else [data]:
            s.sendall(b)
        while len(out) < count and not (last and out.endswith(last)):
            got = s.recv(65536)
            if not got:
                return out, "closed"
            out += got
    except socket.timeout:
        return out, "open"
    except ConnectionError:
        return out, "closed"
    finally:
        s.close()
    return out, "open"


def pg_raw():
    same("raw: SSLRequest is answered N", answer(read, struct.pack(">II", 8, 80877103), 1)[0], b"N")
    same("raw: GSSENCRequest is answered N", answer(read, struct.pack(">II", 8, 80877104), 1)[0],
         b"N")
    out, end = answer(read, startup(replication="database"))
    ok(b"replication" in out and end == "closed", "raw: replication is refused", (out, end))
    out, end = answer(read, struct.pack(">II", 8, 131072))
    ok(b"version 3" in out and end == "closed", "raw: protocol version 2 is refused", (out, end))
    for text, data in (("a length of 3", struct.pack(">II", 3, 196608)),
                       ("a length of 4 GB", struct.pack(">II", 0xfffffff0, 196608)),
                       ("text", b"hello there, are you a database?")):
        same("raw: the connection is closed on " + text, answer(read, data), (b"", "closed"))
    out, end = answer(read, startup(database="other") + startup(), patience=2)
    ok(end == "open", "raw: what follows the start-up message waits for the server", (out, end))


def mysql():
    import pymysql

    def connect(port, **more):
        return pymysql.connect(host="127.0.0.1", port=port, user="u", password="secret",
                               database="d", local_infile=True, autocommit=True, **more)
    c, w = connect(read), connect(write)
    k, wk = c.cursor(), w.cursor()
    k.execute("select %s", (5,))
    same("pymysql: a query", k.fetchall(), ((5,),))
    wk.execute("create table t (a int, b longtext)")
    wk.executemany("insert into t values (%s, %s)", [(i, "x" * 100) for i in range(5000)])
    k.execute("select * from t")
    same("pymysql: 5,000 rows", len(k.fetchall()), 5000)
    for q in ("insert into t values (1, 2)", "select 1 into outfile '/tmp/never'",
              "set global max_connections = 3", "/*!50000 delete from t */",
              "select 5--1; drop table t", "begin not atomic delete from t; end",
              "set statement max_statement_time = 1 for delete from t",
              "/*!99999 ' */ delete from t; -- '", "/*M!100000 delete from t */",
              "analyze format=json delete from t", "prepare s from 'delete from t'",
              "select `a\\`; delete from t; -- `", "load data local infile '/etc/passwd' into table t",
              "call p()", "do sleep(0)", "handler t open", "kill 5", "flush tables",
              "select 1 from t into @a, @b; update t set a = 1", "grant all on *.* to x"):
        same(f"pymysql: refused: {q}", code_of(lambda q=q: k.execute(q)), 1142)
    for q in ("set names utf8mb4", "set @a = 1", "show tables", "describe t", "explain select * from t",
              "start transaction", "commit", "use e", "use d", "select 5--1",
              "with x as (select 1) select * from x", "(select 1) union (select 2)",
              "select 'a -- ; delete from t'", "select \"it's\"", "values (1)"):
        same(f"pymysql: read: {q}", code_of(lambda q=q: k.execute(q)), None)
    k.execute("select count(*) from t")
    same("pymysql: nothing was written", k.fetchall(), ((5000,),))
    same("pymysql: DELETE without WHERE is refused where writes are allowed",
         code_of(lambda: wk.execute("delete from t")), 1142)
    same("pymysql: … with WHERE it is not", wk.execute("delete from t where a < 10"), 10)
    m = connect(read, client_flag=pymysql.constants.CLIENT.MULTI_STATEMENTS)
    mk = m.cursor()
    mk.execute("select 1; select 2")
    mk.nextset()
    same("pymysql: several statements in one", mk.fetchall(), ((2,),))
    same("pymysql: one of several is a write",
         code_of(lambda: mk.execute("select 1; delete from t where a = 11")), 1142)
    mk.execute("select 3")
    same("pymysql: … and the connection lives on", mk.fetchall(), ((3,),))
    wk.execute("select repeat('x', 3000000)")
    same("pymysql: a result of 3 MB", len(wk.fetchone()[0]), 3000000)
    same("pymysql: an empty statement is the server's error", code_of(lambda: k.execute("")), 1065)
    same("pymysql: server's errors come through", code_of(lambda: k.execute("select nope")), 1054)
    same("pymysql: another user is refused", code_of(lambda: raw_command(c, b"\x11u\0")), 1142)
    same("pymysql: replication is refused", code_of(lambda: raw_command(c, b"\x12")), 1142)
    same("pymysql: COM_DROP_DB is refused", code_of(lambda: raw_command(c, b"\x06e")), 1142)
    same("pymysql: COM_INIT_DB and ping go on", [c.select_db("e"), c.ping()], [None, None])
    row = execute(c, prepare(c, "select ?"), 5)
    same("binary: a prepared SELECT", row, 5)
    same("binary: … once more with another value", execute(c, prepare(c, "select ?"), 6), 6)
    delete = prepare(c, "delete from d.t where a = ?")
    same("binary: a prepared DELETE is refused when it is executed",
         code_of(lambda: execute(c, delete, 20)), 1142)
    same("binary: … and the connection lives on", execute(c, prepare(c, "select ?"), 7), 7)
    delete = prepare(w, "delete from d.t where a = ?")
    execute(w, delete, 20)
    wk.execute("select count(*) from t where a = 20")
    same("binary: … where writes are allowed it is done", wk.fetchone()[0], 0)
    for text, data in (("a client that speaks in the greeting's place", b"\x00" * 64),
                       ("garbage for a login", b"\x20\x00\x00\x01" + b"\xff" * 32)):
        out, end = answer(read, data, 100000)
        same("raw: the connection is closed on " + text, end, "closed")


def raw_command(c, body):
    c._execute_command(body[0], body[1:])
    return c._read_ok_packet()


def prepare(c, text):
    """COM_STMT_PREPARE of a statement with one parameter: its number, as bytes."""
    c._execute_command(0x16, text)
    body = c._read_packet().get_all_data()
    columns = int.from_bytes(body[5:7], "little")
    for _ in range(2 + (columns + 1 if columns else 0)):  # definitions, each list with its EOF
        c._read_packet()
    return body[1:5]


def execute(c, number, value):
    """COM_STMT_EXECUTE with a BIGINT: the BIGINT of the row, None without rows."""
    c._execute_command(0x17, number + b"\0" + (1).to_bytes(4, "little") + b"\0\1\x08\0" +
                       value.to_bytes(8, "little"))
    if c._read_packet().get_all_data()[0] == 0:  # OK
        return None
    c._read_packet()  # the column, EOF
    c._read_packet()
    row = c._read_packet().get_all_data()
    c._read_packet()
    return int.from_bytes(row[-8:], "little")


def redis_():
    import redis
    r = redis.Redis(port=read)
    w = redis.Redis(port=write)

    def refused(call):
        try:
            call()
        except redis.exceptions.NoPermissionError:
            return True
        except redis.exceptions.RedisError as e:
            return e
        return False
    w.set("a", "1")
    same("redis-py: GET", r.get("a"), b"1")
    for text, call in (("SET", lambda: r.set("a", 2)), ("FLUSHALL", r.flushall),
                       ("EVAL", lambda: r.eval("return 1", 0)),
                       ("CONFIG SET", lambda: r.config_set("maxmemory", 0)),
                       ("an unknown command", lambda: r.execute_command("nosuch", 1)),
                       ("DEBUG", lambda: r.execute_command("debug", "jmap")),
                       ("PSYNC", lambda: r.execute_command("psync", "?", "-1"))):
        same(f"redis-py: {text} is refused", refused(call), True)
    same("redis-py: FLUSHALL is refused where writes are allowed", refused(w.flushall), True)
    same("redis-py: SHUTDOWN too", refused(lambda: w.execute_command("shutdown")), True)
    same("redis-py: nothing was written", r.get("a"), b"1")
    p = r.pipeline(transaction=False)
    for i in range(500):
        p.get("a")
        if i % 100 == 50:
            p.set("a", i)
    got = p.execute(raise_on_error=False)
    same("redis-py: a pipeline with refusals stays in step",
         [x for x in got if x != b"1" and not isinstance(x, redis.exceptions.NoPermissionError)], [])
    same("redis-py: … with five of them",
         sum(isinstance(x, redis.exceptions.NoPermissionError) for x in got), 5)
    p = r.pipeline()
    p.get("a")
    p.set("a", 5)
    try:
        p.execute()
        same("redis-py: a refusal fails its MULTI", "no error", "an error")
    except redis.exceptions.RedisError as e:
        ok("EXECABORT" in repr(e) or "NOPERM" in repr(e) or "refused" in repr(e),
           "redis-py: a refusal fails its MULTI", e)
    same("redis-py: … and the connection lives on", r.get("a"), b"1")
    w.set("big", b"x" * 5000000)
    same("redis-py: a value of 5 MB", len(r.get("big")), 5000000)
    same("redis-py: a command of 20 MB is refused", refused(lambda: w.set("c", b"y" * 20000000)),
         True)
    same("redis-py: … and the connection lives on", w.get("a"), b"1")
    sub = r.pubsub()
    sub.subscribe("ch")
    sub.get_message(timeout=60)
    w.publish("ch", "hello")
    same("redis-py: a subscription", sub.get_message(timeout=60)["data"], b"hello")
    out, _ = answer(read, b"HELLO 3\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\nSET a b\r\nPING\r\n", 100000, last=b"+PONG\r\n")
    ok(out.startswith(b"%") and out.endswith(b"-NOPERM vsandbox: database_write refused (type)\r\n"
                                             b"+PONG\r\n"), "raw: RESP3, inline and array commands",
       out)
    out, _ = answer(read, [bytes([b]) for b in b"*2\r\n$3\r\nGET\r\n$1\r\na\r\nPING\r\n"], 14)
    same("raw: byte by byte", out, b"$1\r\n1\r\n+PONG\r\n")
    for text, data in (("a number of 20 digits", b"*" + b"1" * 20 + b"\r\n"), ("a negative string", b"*1\r\n$-5\r\n"),
                       ("a string without its end", b"*1\r\n$4\r\nPINGxx"),
                       ("HTTP", b"POST / HTTP/1.1\r\nHost: x\r\n\r\n"), ("control bytes", b"\x01\x02\r\n")):
        same("raw: the connection is closed on " + text, answer(read, data)[1], "closed")


{"psycopg": psycopg, "asyncpg": asyncpg_, "pg_raw": pg_raw, "mysql": mysql, "redis": redis_}[part]()
