"""One connection to the sandbox: uvicorn's, which also lets an answer break off and counts itself."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import attrs
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

__all__ = ["Census", "Connection"]

EXTENSION = "callsheet.connection"
"""Where an application finds its connection in the scope's extensions."""


@attrs.define
class Census:
    """How many connections there are; those that only steer the sandbox do not count.

    Attributes:
        opened: Since the start, or since it was last reset.
        open: Now.
        most: At once.
    """

    opened: int = 0
    open: int = 0
    most: int = 0

    def enter(self) -> int:
        """Count one more, and return its number from 1."""
        self.opened += 1
        self.open += 1
        self.most = max(self.most, self.open)
        return self.opened

    def leave(self) -> None:
        """Count one less."""
        self.open -= 1

    def reset(self) -> None:
        """Begin anew with those that are open."""
        self.opened = self.most = self.open


class Connection(H11Protocol):
    """Speaks HTTP/1.1 on one connection, and can cut it at any byte.

    `census` is set by the server on a subclass of its own.
    """

    census: Census

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.access_log = False  # the sandbox keeps its own
        self.number = 0
        self._lost = asyncio.Event()
        application = self.app

        async def bound(scope: Any, receive: Any, send: Any) -> None:
            await application({**scope, "extensions": {EXTENSION: self}}, receive, send)

        self.app = bound

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begin, without Nagle's algorithm: head and body of an answer are written one after the other."""
        # asyncio turns it off only on sockets that were made with a protocol number, which ours was not.
        raw: socket.socket = transport.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)

    def count(self) -> int:
        """Count this connection on its first call; return its number."""
        self.number = self.number or self.census.enter()
        return self.number

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it out, and let uvicorn end what runs on it."""
        if self.number:
            self.census.leave()
        super().connection_lost(exc)
        self._lost.set()

    async def flushed(self) -> None:
        """Wait until the kernel has taken all that was sent."""
        self.transport.set_write_buffer_limits(0)
        await self.flow.drain()

    async def reset(self) -> None:
        """Cut the connection at once: the peer is told by RST."""
        # Without lingering the kernel says RST instead of FIN: socket(7).
        raw: socket.socket = self.transport.get_extra_info("socket")
        if raw.fileno() >= 0:  # the peer may have been quicker
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()
        await self._lost.wait()  # uvicorn logs an answer that ends early while its line stands

    async def close(self) -> None:
        """Close the connection in good order, even in the middle of an answer."""
        self.transport.close()
        await self._lost.wait()
