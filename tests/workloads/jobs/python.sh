# python: processes, shared memory, an http server, asyncio with children, a zip, a lock between processes.
/usr/bin/python3 - <<'END'
import asyncio, concurrent.futures as cf, fcntl, http.server, multiprocessing as mp, os, shutil, socketserver, tempfile, threading, urllib.request
from multiprocessing import shared_memory
def square(x): return x * x
def add(n, path):
    for _ in range(n):
        with open(path, "r+") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            v = int(f.read()); f.seek(0); f.write(str(v + 1)); f.flush()
if __name__ == "__main__":
    mp.set_start_method("fork")
    with cf.ProcessPoolExecutor(4) as p: print(sum(p.map(square, range(100))))
    with mp.Pool(3) as p: print(sum(p.imap_unordered(square, range(50), 5)))
    s = shared_memory.SharedMemory(create=True, size=4096); s.buf[:2] = b"hi"
    t = shared_memory.SharedMemory(name=s.name); print(bytes(t.buf[:2])); t.close(); s.close(); s.unlink()
    m = mp.Manager(); d = m.dict(); 
    ps = [mp.Process(target=d.__setitem__, args=(i, i)) for i in range(5)]; [p.start() for p in ps]; [p.join() for p in ps]; print(len(d)); m.shutdown()
    open("counter", "w").write("0")
    ps = [mp.Process(target=add, args=(100, "counter")) for _ in range(4)]; [p.start() for p in ps]; [p.join() for p in ps]; print(open("counter").read())
    class H(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *a): pass
    h = socketserver.ThreadingTCPServer(("127.0.0.1", 0), H); threading.Thread(target=h.serve_forever, daemon=True).start()
    print(urllib.request.urlopen(f"http://127.0.0.1:{h.server_address[1]}/counter").read()); h.shutdown()
    async def main():
        async def one(i):
            p = await asyncio.create_subprocess_exec("sh", "-c", f"echo {i}", stdout=asyncio.subprocess.PIPE); return int((await p.communicate())[0])
        return sum(await asyncio.gather(*map(one, range(30))))
    print(asyncio.run(main()))
    os.makedirs("z/a"); open("z/a/f", "w").write("x"); shutil.make_archive("zz", "zip", "z"); shutil.unpack_archive("zz.zip", "un"); print(os.listdir("un/a"))
    fd = os.memfd_create("m"); os.write(fd, b"mem"); print(os.pread(fd, 3, 0), open(f"/proc/self/fd/{fd}").read())
    r, w = os.pipe(); pid = os.posix_spawn("/bin/sh", ["sh", "-c", "echo spawned"], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, w, 1)]); os.close(w); print(os.read(r, 99), os.waitpid(pid, 0)[1])
END
