"""Small servers of the suite's internet: echo and a sink over TCP and UDP, ends that misbehave."""

import asyncio
import hashlib
import resource
import socket
import struct

GOOD = ["203.0.113.10", "2001:db8:1::10"]


async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
    writer.close()


async def count(reader, writer):
    """All until the end of file, then its length and digest: needs half-close both ways."""
    digest, size = hashlib.sha256(), 0
    while data := await reader.read(1 << 20):
        digest.update(data)
        size += len(data)
    writer.write(b"%d %s\n" % (size, digest.hexdigest().encode()))
    await writer.drain()
    writer.close()


async def slam(reader, writer):
    """Resets after the first byte."""
    await reader.read(1)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def witness(reader, writer):
    """Sends the first byte back; how the connection ends is said on another."""
    writer.write(await reader.read(1))
    end = witness.last = asyncio.get_running_loop().create_future()
    try:
        while await reader.read(65536):
            pass
        end.set_result(b"eof")
    except ConnectionResetError:
        end.set_result(b"reset")
    except OSError as e:
        end.set_result(str(e).encode())
    writer.close()


async def last(reader, writer):
    """How the last one there ended, once it has."""
    writer.write(await witness.last)
    writer.close()


async def leave(reader, writer):
    """When somebody asks at the next port, the last words to the last one here, with a reset right behind them."""
    writer.write(await reader.read(1))
    leave.last = writer


async def go(reader, writer):
    sock = leave.last.get_extra_info("socket").dup()
    sock.send(b"last words")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    leave.last.transport.abort()
    sock.close()
    writer.close()


async def flood(reader, writer):
    """As much as the other end takes."""
    block = bytes(1 << 16)
    try:
        while True:
            writer.write(block)
            await writer.drain()
            flood.sent += len(block)
    except OSError:
        pass


flood.sent = 0


async def flooded(reader, writer):
    writer.write(b"%d" % flood.sent)
    writer.close()


async def sink(reader, writer):
    await reader.read(1)
    writer.close()


class Datagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(data, addr)


class Silent(asyncio.DatagramProtocol):
    pass


async def main():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    loop = asyncio.get_running_loop()
    for host in GOOD:
        for port, handler in ((7007, echo), (7008, count), (7009, slam), (7010, witness), (7011, last), (7012, flood), (7013, flooded), (7014, leave), (7015, go), (6601, sink)):
            await asyncio.start_server(handler, host, port, backlog=4096, limit=1 << 20)
        await loop.create_datagram_endpoint(Datagrams, (host, 7007))
        await loop.create_datagram_endpoint(Silent, (host, 6601))
    await asyncio.Event().wait()


asyncio.run(main())
