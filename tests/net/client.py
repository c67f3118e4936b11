"""What programs do with sockets, one claim a name; prints what the suite compares."""

import asyncio
import errno
import fcntl
import hashlib
import os
import resource
import select
import socket
import struct
import sys
import threading
import time

GOOD, EVIL = "203.0.113.10", "203.0.113.66"
LONG = 60  # seconds for what must come, on whatever machine


def name_of(error):
    return errno.errorcode.get(error, "ok" if error == 0 else str(error))


def attempt(address, family=socket.AF_INET, timeout=None):
    with socket.socket(family) as s:
        s.settimeout(timeout)
        try:
            s.connect(address)
        except OSError as e:
            return name_of(e.errno)
        return "ok"


def connected(port=7007, host="good.example"):
    return socket.create_connection((host, port))


def read_all(s):
    data = bytearray()
    while part := s.recv(1 << 16):
        data += part
    return bytes(data)


def refused():
    allow()
    print(attempt((GOOD, 9)), attempt((GOOD, 9), timeout=LONG))


def allow():
    """The address counts as its name once that was resolved."""
    return socket.getaddrinfo("good.example", 80)


def unreachable():
    print(attempt(("203.0.113.99", 80)))


def noroute():
    # Inside there is a route to everything; outside there is none to this.
    print(attempt(("10.9.9.9", 80)))


def denied():
    print(
        attempt((EVIL, 80)),
        attempt(("2001:db8:1::66", 80), socket.AF_INET6),
        attempt(("::ffff:" + EVIL, 80), socket.AF_INET6),
    )


def nonblocking():
    allow()
    s = socket.socket()
    s.setblocking(False)
    r = s.connect_ex((GOOD, 7007))
    select.select([], [s], [], LONG)
    print(name_of(r), s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))


def epoll():
    allow()
    s = socket.socket()
    s.setblocking(False)
    e = select.epoll()
    e.register(s, select.EPOLLOUT | select.EPOLLET)
    e.poll(0)
    s.connect_ex((GOOD, 7007))
    print("out" if any(ev & select.EPOLLOUT and not ev & select.EPOLLERR for _, ev in e.poll(LONG)) else "nothing")


def names():
    s = connected(host="four.good.example")
    print(*s.getpeername(), s.getsockname()[0])


def dup():
    allow()
    s = socket.socket()
    d = s.dup()
    s.connect((GOOD, 7007))
    d.send(b"x")
    print("ok" if s.recv(1) == b"x" else "other")


def twice():
    s = connected(host="four.good.example")
    print(name_of(s.connect_ex((GOOD, 7007))))


def loopback():
    server = socket.create_server(("0.0.0.0", 4000))
    r = attempt(("127.0.0.1", 4000))
    server.close()
    print(r, attempt(("127.0.0.1", 8097)))


def halfclose():
    data = os.urandom(3000000)
    s = connected(7008)
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
    got = read_all(s).split()
    print("same" if got == [b"%d" % len(data), hashlib.sha256(data).hexdigest().encode()] else got)


def echo():
    data = os.urandom(20000000)
    s = socket.create_connection((GOOD, 7007)) if len(sys.argv) > 2 else connected(host="four.good.example")
    threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR))).start()
    print("same" if read_all(s) == data else "different")


def slam():
    s = connected(7009)
    s.send(b"x")
    try:
        print("got", len(s.recv(10)))
    except OSError as e:
        print(name_of(e.errno))


def met(port=7010):
    """A connection that has reached the server's program: it sends back what it read."""
    s = connected(port)
    s.send(b"x")
    s.recv(1)
    return s


def told():
    """How the server saw that one end; it answers when it has."""
    print(read_all(connected(7011)).decode())


def reset():
    s = met()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
    told()


def eof():
    met().close()
    told()


def parted():
    """What is heard of a server that leaves when the suite tells it to."""
    s = met(7014)
    print("met", flush=True)
    sys.stdin.read()
    heard = b""
    try:
        while part := s.recv(100):
            heard += part
        print(heard.decode(), "eof")
    except OSError as e:
        print(heard.decode(), name_of(e.errno))


def killed():
    """A program that is killed while it has a connection in use."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        s = met()
        os.write(w, b"x")
        while True:
            s.sendall(bytes(1 << 20))
    os.close(w)
    os.read(r, 1)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    told()


def many():
    async def one(i):
        r, w = await asyncio.open_connection(GOOD, 7007)
        w.write(b"%d" % i)
        await w.drain()
        ok = await r.read(10) == b"%d" % i
        await asyncio.sleep(0.5)
        w.close()
        return ok

    async def all_of():
        return sum(await asyncio.gather(*(one(i) for i in range(600))))

    allow()
    print(asyncio.run(all_of()))


def crowd():
    """So many connections at once, each with an echo of its own; argument: how many. They stand until the input ends."""
    count, rounds = int(sys.argv[2]), 3
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, count + 100))
    allow()
    began = time.monotonic()
    sockets = []
    for i in range(count):
        s = socket.socket()
        s.connect((GOOD, 7007))
        sockets.append(s)
    connected_s = time.monotonic() - began
    poll = select.epoll()
    waiting = {}
    good = 0
    for s in sockets:
        poll.register(s, select.EPOLLIN)
        waiting[s.fileno()] = s
    for turn in range(rounds):
        for i, s in enumerate(sockets):
            s.send(b"%07d" % (i * rounds + turn))
        left = count
        while left:
            ready = poll.poll(LONG)
            if not ready:
                break
            for fd, _ in ready:
                good += len(waiting[fd].recv(7)) == 7
                left -= 1
    print(good, flush=True)
    print("%.0f us each" % (connected_s / count * 1e6), file=sys.stderr)
    sys.stdin.read()


def kernel_holds():
    """Bytes that the buffers of one connection hold at most, in the kernel's own bounds."""
    most = 0
    for name in ("tcp_rmem", "tcp_wmem"):
        with open("/proc/sys/net/ipv4/" + name, encoding="ascii") as f:
            most += int(f.read().split()[2])
    return most


def unread():
    """What a server can send to those who do not read is bounded: by two connections, the relay's and ours, and a pipe."""
    sockets = [connected(7012, "four.good.example") for _ in range(8)]
    sent = -1
    while True:
        now = int(read_all(connected(7013)))
        if now == sent and now > 0:
            break
        sent = now
        time.sleep(0.5)
    print("bounded" if 0 < sent < len(sockets) * (2 * kernel_holds() + (1 << 20)) else sent)


def taken():
    server = socket.create_server(("0.0.0.0", 7007))
    allow()
    print(attempt((GOOD, 7007)))
    server.close()


def asyncio_():
    async def get():
        r, w = await asyncio.open_connection("good.example", 80)
        w.write(b"GET / HTTP/1.0\r\n\r\n")
        return (await r.read()).split(b"\r\n\r\n")[1].decode().strip()

    print(asyncio.run(get()))


def datagrams(family=socket.AF_INET):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(LONG)
    allow()
    return s


def udp_sendto():
    s = datagrams()
    s.sendto(b"one", (GOOD, 7007))
    data, peer = s.recvfrom(10)
    print(data.decode(), *peer)


def udp_connected():
    s = datagrams()
    s.connect((GOOD, 7007))
    s.send(b"two")
    print(s.recv(10).decode())


def udp_messages():
    s = datagrams()
    s.sendmsg([b"three"], [], 0, (GOOD, 7007))
    first = s.recv(10).decode()
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    sa = struct.pack("!HH4s8x", 0, 7007, socket.inet_aton(GOOD))
    sa = struct.pack("=H", socket.AF_INET) + sa[2:]
    text = b"four"
    iov = struct.pack("QQ", ctypes.cast(ctypes.c_char_p(text), ctypes.c_void_p).value, len(text))
    keep = [ctypes.create_string_buffer(sa, 16), ctypes.create_string_buffer(iov, 16)]
    hdr = struct.pack(
        "QIxxxxQQQQixxxxIxxxx", ctypes.addressof(keep[0]), 16, ctypes.addressof(keep[1]), 1, 0, 0, 0, 0
    )
    buf = ctypes.create_string_buffer(hdr, len(hdr))
    libc.sendmmsg(s.fileno(), buf, 1, 0)
    print(first, s.recv(10).decode())


def udp6():
    s = datagrams(socket.AF_INET6)
    s.sendto(b"six", ("2001:db8:1::10", 7007))
    print(s.recv(10).decode())


def udp_narrowed():
    """A destination that is in use while the suite has it forbidden."""
    s, c = datagrams(), datagrams()
    at = (socket.gethostbyname("four.good.example"), 7007)
    s.sendto(b"before", at)
    c.connect(at)
    print(s.recv(10).decode(), flush=True)
    sys.stdin.readline()
    print(call(s.sendto, b"after", at), call(c.connect, at), call(socket.create_connection, at))
    c.send(b"after")
    c.settimeout(LONG)
    print(call(c.recv, 10))


def talk():
    """Two thousand words and their answers, then whatever the suite wants to look at."""
    s = connected(host="four.good.example")
    for i in range(2001):
        word = b"word %d" % i
        s.sendall(word)
        while word:
            word = word[len(s.recv(len(word))) :]
        if i in (0, 2000):
            print(i, flush=True)
            sys.stdin.readline()


def udp_denied():
    s, results = datagrams(), []
    for do in (lambda: s.sendto(b"x", (EVIL, 7007)), lambda: s.connect((EVIL, 7007))):
        try:
            do()
            results.append("ok")
        except OSError as e:
            results.append(name_of(e.errno))
    print(*results)


def garbage():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(LONG)
    rcodes = set()
    for data in (b"", b"x", os.urandom(12), b"\0" * 12, b"\0\1\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1", b"\0\2\1\0\0\1" + b"\xff" * 900):
        s.sendto(data, ("127.0.0.1", 53))
    # What has a question is answered in any case; that answer is the last that is waited for.
    last = b"\x77\x77\1\0\0\1\0\0\0\0\0\0\x09localhost\0\0\1\0\1"
    s.sendto(last, ("127.0.0.1", 53))
    while (answer := s.recv(512))[:2] != last[:2]:
        rcodes.add(answer[3] & 15)
    t = socket.create_connection(("127.0.0.1", 53))
    t.send(b"\xff\xff" + b"x" * 100)
    t.close()
    ok = rcodes <= {1, 4} and 1 in rcodes
    print("formerr" if ok else rcodes, socket.gethostbyname("four.good.example"))


def unix():
    s = socket.socket(socket.AF_UNIX)
    r = s.connect_ex(sys.argv[2])
    print(s.recv(20).decode() if r == 0 else name_of(r))


def moved(s):
    """Where a socket that was handed over seems to come from: the host's own address."""
    return "host" if s.getsockname()[0].removeprefix("::ffff:") in ("192.0.2.2", "2001:db8::2") else "inside"


def call(do, *args):
    try:
        do(*args)
    except OSError as e:
        return name_of(e.errno)
    return "ok"


def dissolve(s):
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    r = libc.connect(s.fileno(), ctypes.create_string_buffer(16), 16)
    return name_of(ctypes.get_errno()) if r < 0 else "ok"


def leads_elsewhere(s):
    """What a socket of the host's network must not do: each by its error."""
    hop = struct.pack("!BBBBB4sB", 1, 131, 7, 4, 0, socket.inet_aton(EVIL), 0)[:8]
    return [
        dissolve(s),
        call(s.bind, ("0.0.0.0", 0)),
        call(s.listen),
        call(s.setsockopt, socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0"),
        call(s.setsockopt, socket.SOL_SOCKET, 62, 1),
        call(s.setsockopt, socket.IPPROTO_IP, socket.IP_OPTIONS, hop),
        call(s.setsockopt, socket.IPPROTO_IP, 50, 1),
        call(s.setsockopt, socket.IPPROTO_IPV6, socket.IPV6_RTHDR, bytes(24)),
        call(s.setsockopt, socket.IPPROTO_TCP, 31, b"tls"),
        call(s.setsockopt, socket.IPPROTO_TCP, 30, 1),
        call(fcntl.ioctl, s, 0x8912, bytearray(16)),
        call(fcntl.ioctl, s, 0x894C, 0),
    ]


def handed():
    s = connected(host="four.good.example")
    got = leads_elsewhere(s)
    elsewhere = call(s.connect, (EVIL, 80)), call(s.connect, (GOOD, 80)), call(s.connect, ("127.0.0.1", 80))
    s.sendall(b"still there")
    print(moved(s), *got, *elsewhere, s.recv(20).decode())


def handed_dead():
    """After a reset the kernel would let it have an address again."""
    s = connected(7009, "four.good.example")
    s.send(b"x")
    call(s.recv, 1)
    print(*leads_elsewhere(s)[:3], call(s.connect, (GOOD, 7007)))


def handed_connecting():
    """shutdown(2) would make one that is on its way unconnected, and fit to listen."""
    s = socket.socket()
    s.setblocking(False)
    r = s.connect_ex(("203.0.113.98", 80)), s.connect_ex(("203.0.113.98", 80))
    where = moved(s)
    call(s.shutdown, socket.SHUT_RDWR)
    print(*map(name_of, r), where, *leads_elsewhere(s)[:3])


def handed_passed():
    """As another process holds it that has got it by a message."""
    here, there = socket.socketpair()
    if os.fork() == 0:
        _, fds, _, _ = socket.recv_fds(there, 1, 1)
        s = socket.socket(fileno=fds[0])
        print(moved(s), *leads_elsewhere(s)[:3], flush=True)
        os._exit(0)
    s = connected(host="four.good.example")
    socket.send_fds(here, [b"x"], [s.fileno()])
    os.wait()


def handed6():
    """IPv6, and IPv4 as an IPv6 socket writes it."""
    allow()
    results = []
    for address in ("2001:db8:1::10", "::ffff:" + GOOD):
        s = socket.socket(socket.AF_INET6)
        s.connect((address, 7007))
        s.send(b"x")
        results += [moved(s), s.getpeername()[0], s.recv(1).decode()]
    print(*results)


def late():
    """A refusal reaches a non-blocking caller as it would outside."""
    allow()
    s = socket.socket()
    s.setblocking(False)
    e = select.epoll()
    e.register(s, select.EPOLLOUT)
    r = s.connect_ex((GOOD, 9))
    e.poll(LONG)
    print(name_of(r), name_of(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)))


def options():
    """What is set before connect(2) is set afterwards, and so is what belongs to the descriptor."""
    wanted = [
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.SOL_SOCKET, socket.SO_RCVBUF, 50000),
        (socket.SOL_SOCKET, socket.SO_SNDBUF, 60000),
        (socket.SOL_SOCKET, socket.SO_RCVLOWAT, 3),
        (socket.SOL_SOCKET, socket.SO_OOBINLINE, 1),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 77),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 7),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 12345),
        (socket.IPPROTO_TCP, socket.TCP_SYNCNT, 4),
        (socket.IPPROTO_IP, socket.IP_TOS, 16),
        (socket.IPPROTO_IP, socket.IP_TTL, 33),
    ]
    s = socket.socket()
    for o in wanted:
        s.setsockopt(*o)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 9))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 3, 0))
    flags = fcntl.fcntl(s, fcntl.F_GETFD), fcntl.fcntl(s, fcntl.F_GETFL)
    s.connect((GOOD, 7007))
    print(
        *(s.getsockopt(level, name) for level, name, _ in wanted),
        struct.unpack("ii", s.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)),
        struct.unpack("ll", s.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16)),
        (fcntl.fcntl(s, fcntl.F_GETFD), fcntl.fcntl(s, fcntl.F_GETFL)) == flags,
    )
    if len(sys.argv) > 2:
        print(moved(s))


def epoll_kept():
    """Two sets, one of which knows the socket by a number it no longer has; modified and removed later."""
    allow()
    s = socket.socket()
    s.setblocking(False)
    first, second = select.epoll(), select.epoll()
    first.register(s, select.EPOLLIN | select.EPOLLONESHOT)
    os.dup2(s.fileno(), 60)
    second.register(60, select.EPOLLOUT | select.EPOLLET)
    os.close(60)
    s.connect_ex((GOOD, 7007))
    out = [(fd, ev == select.EPOLLOUT) for fd, ev in second.poll(LONG)]
    s.send(b"x")
    came = [fd == s.fileno() for fd, _ in first.poll(LONG)]
    again = first.poll(0.2)
    first.modify(s, select.EPOLLOUT)
    writable = [ev for _, ev in first.poll(LONG)] == [select.EPOLLOUT]
    first.unregister(s)
    print(moved(s), out, came, again, writable, first.poll(0.1))


def copied():
    """A copy in another process would keep the old socket, so this one is relayed."""
    allow()
    s = socket.socket()
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
    s.connect((GOOD, 7007))
    os.kill(pid, 9)
    s.send(b"x")
    print(moved(s), s.recv(1).decode())


def own():
    """The sandbox's own sockets where none of its calls is the kernel's."""
    results = []
    os.chdir(os.environ["HOME"])
    for at in ("own.sock", "\0own"):
        server = socket.socket(socket.AF_UNIX)
        server.bind(at)
        server.listen()
        client = socket.socket(socket.AF_UNIX)
        client.connect(at)
        peer, _ = server.accept()
        peer.send(b"u")
        uid = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
        results.append(client.recv(1).decode() + ("same" if uid == os.getuid() else "other"))
    os.unlink("own.sock")
    for family, at in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        server = socket.socket(family)
        server.bind((at, 0))
        server.listen()
        results.append(attempt(server.getsockname()[:2], family))
        results.append(attempt(server.getsockname()[:2], family, LONG))
        server.close()
    s = socket.socket()
    results.append(call(s.connect, ("127.0.0.1", 9)))
    s = datagrams()
    s.connect((GOOD, 7007))
    results += [dissolve(s), str(len(socket.if_nameindex()))]
    print(*results)


def orphan():
    s = connected(host="four.good.example")
    print("connected", flush=True)
    try:
        end = "lost" if s.recv(1) == b"" else "data"
    except OSError:
        end = "lost"
    # what dies closes its connections before the socket by which it is asked for more
    until = time.monotonic() + 60
    while (answer := attempt((GOOD, 7007))) != "ENETDOWN" and time.monotonic() < until:
        time.sleep(0.1)
    print(end, answer)


globals()["asyncio_" if sys.argv[1] == "asyncio" else sys.argv[1]]()
