"""Writes a line for everything that arrives on a device and should not: witness.py DEVICE FILE.

Also listens on UNIX sockets, when more arguments name them ("@name": abstract).
"""

import ipaddress
import os
import select
import socket
import sys

FORBIDDEN = {ipaddress.ip_address(a) for a in ("203.0.113.66", "203.0.113.67", "2001:db8:1::66")}
PORT, ALLOWED_PORT = 6600, 6601
MARKS = (b"out of the box", b"6f7574206f662074686520626f78")


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
    if dst in FORBIDDEN or port == PORT or (port != ALLOWED_PORT and any(m in body for m in MARKS)):
        return "%s proto %d port %d" % (dst, proto, port)
    return None


def main():
    device, path, names = sys.argv[1], sys.argv[2], sys.argv[3:]
    out = open(path, "a", buffering=1)
    sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sniffer.bind((device, 0))
    sniffer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 25)
    listeners = []
    for name in names:
        s = socket.socket(socket.AF_UNIX)
        s.bind("\0" + name[1:] if name[0] == "@" else name)
        if name[0] != "@":
            os.chmod(name, 0o777)
        s.listen(64)
        listeners.append(s)
    print("ready", flush=True)
    while True:
        for s in select.select([sniffer] + listeners, [], [])[0]:
            if s is not sniffer:
                s.accept()[0].close()
                out.write("unix\n")
                continue
            frame, (_, _, direction, _, _) = s.recvfrom(65536)
            what = suspicious(frame) if direction != 4 else None
            if what:
                out.write(what + "\n")


main()
