"""A server for benchmarks, in a process of its own: `python bench/answering.py` prints its port.

It answers every request with 1 KiB of JSON as soon as it has its body, which it throws away. A path that
begins with /dMS/ is answered MS milliseconds later. It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
BODY = b'{"id": "job-1", "pad": "%b"}' % (b"x" * 1000)
ANSWER = HEAD % len(BODY) + BODY


class Connection(asyncio.BufferedProtocol):
    """One connection, reading into one large buffer that all share: nothing is kept of a body."""

    buffer = bytearray(1 << 20)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.head = b""
        self.left = 0

    def get_buffer(self, sizehint: int) -> bytearray:
        """Called by asyncio."""
        return self.buffer

    def buffer_updated(self, count: int) -> None:
        """Called by asyncio."""
        if self.left:
            self.left -= count
            if not self.left:
                self.answer()
            return
        self.head += self.buffer[:count]
        while not self.left and b"\r\n\r\n" in self.head:
            head, _, rest = self.head.partition(b"\r\n\r\n")
            self.path = head.split(b" ", 2)[1].decode()
            _, _, length = head.lower().partition(b"\r\ncontent-length:")
            self.left = max(0, int(length.split(b"\r\n")[0] or 0) - len(rest)) if length else 0
            self.head = b"" if length else rest
            if not self.left:
                self.answer()

    def answer(self) -> None:
        """Answer now or later."""
        if self.path.startswith("/d"):
            milliseconds = int(self.path[2:].split("/")[0])
            asyncio.get_running_loop().call_later(milliseconds / 1000, self.transport.write, ANSWER)
        else:
            self.transport.write(ANSWER)


async def main() -> None:
    """Serve until the standard input ends."""
    # The client has the other core to itself, where there is one.
    with suppress(AttributeError, OSError):
        os.sched_setaffinity(0, {0})
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
