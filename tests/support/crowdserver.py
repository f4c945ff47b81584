"""A quick server for crowds, in a process of its own: `python crowdserver.py [CERTIFICATE-WITH-KEY]`.

It prints its port, and ends when its standard input does. Any target is answered with 1 KiB after up to
3 ms; its path may ask for more:

    /big           256 KiB in chunks
    /gather/N      when N such requests wait: all at once
    /connections   the number of connections that are open now, and that were ever open
"""

from __future__ import annotations

import asyncio
import random
import ssl
import sys
from typing import ClassVar

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
SMALL = HEAD % 1024 + b"x" * 1024
BIG = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"4000\r\n%b\r\n" % (b"x" * 0x4000) * 16
    + b"0\r\n\r\n"
)


class Connection(asyncio.Protocol):
    """One connection; it knows requests without a body only."""

    open_now: ClassVar[set[Connection]] = set()
    ever = 0
    gathered: ClassVar[list[Connection]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.buffer = b""
        Connection.ever += 1
        self.open_now.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.open_now.discard(self)
        if self in self.gathered:
            self.gathered.remove(self)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
            self.answer(head.split(b" ", 2)[1].decode())

    def answer(self, target: str) -> None:
        if target == "/connections":
            said = b"%d %d" % (len(self.open_now) - 1, self.ever - 1)
            self.transport.write(HEAD % len(said) + said)
        elif target.startswith("/gather/"):
            self.gathered.append(self)
            if len(self.gathered) == int(target.rsplit("/", 1)[1]):
                for connection in self.gathered:
                    connection.transport.write(SMALL)
                self.gathered.clear()
        else:
            data = BIG if target == "/big" else SMALL
            asyncio.get_running_loop().call_later(random.random() * 0.003, self.transport.write, data)


async def main(certificate: str | None) -> None:
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, ssl=context, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else None))
