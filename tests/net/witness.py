"""Writes a line for everything that arrives on a device and should not: witness.py DEVICE FILE.

Also listens on UNIX sockets, when more arguments name them ("@name": abstract). A mark (mark.py) is written to
FILE.DEVICE, after all that came before it.
"""

import ipaddress
import os
import re
import select
import socket
import sys

FORBIDDEN = {ipaddress.ip_address(a) for a in ("203.0.113.66", "203.0.113.67", "2001:db8:1::66")}
PORT, ALLOWED_PORT = 6600, 6601
SIGNS = (b"out of the box", b"6f7574206f662074686520626f78")
MARK = re.compile(rb"vsandbox mark (\S+) ")


def suspicious(frame):
    kind = int.from_bytes(frame[12:14], "big")
    ip = frame[14:]
    if kind == 0x0800:
        head, proto = (ip[0] & 15) * 4, ip[9]
        dst, body = ipaddress.ip_address(ip[16:20]), ip[(ip[0] & 15) * 4 :]
    elif kind == 0x86DD:
        proto, dst, body = ip[6], ipaddress.ip_address(ip[24:40]), ip[40:]
    else:
        return None
    port = int.from_bytes(body[2:4], "big") if proto in (6, 17, 136) else 0
    if dst in FORBIDDEN or port == PORT or (port != ALLOWED_PORT and any(m in body for m in SIGNS)):
        return "%s proto %d port %d" % (dst, proto, port)
    return None


def main():
    device, path, names = sys.argv[1], sys.argv[2], sys.argv[3:]
    out, marks = open(path, "a", buffering=1), open(path + "." + device, "a", buffering=1)
    sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sniffer.bind((device, 0))
    sniffer.setsockopt(socket.SOL_SOCKET, 33, 1 << 25)  # SO_RCVBUFFORCE
    listeners = []
    for name in names:
        s = socket.socket(socket.AF_UNIX)
        s.bind("\0" + name[1:] if name[0] == "@" else name)
        if name[0] != "@":
            os.chmod(name, 0o777)
        s.listen(64)
        listeners.append(s)

    def connections(timeout):
        came = select.select([sniffer] + listeners, [], [], timeout)[0]
        for s in came:
            if s is not sniffer:
                s.accept()[0].close()
                out.write("unix\n")
        return len(came) > (sniffer in came)

    print("ready", flush=True)
    while True:
        connections(None)
        try:
            frame, (_, _, direction, _, _) = sniffer.recvfrom(65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            continue
        mark = MARK.search(frame)
        what = suspicious(frame) if direction != 4 and not mark else None
        if what:
            out.write(what + "\n")
        if mark:
            while connections(0):
                pass
            marks.write(mark[1].decode() + "\n")


main()
