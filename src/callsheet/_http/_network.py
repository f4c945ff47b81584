"""The sockets below one connection: what was sent and received on them, and that they are always closed.

httpcore forgets a socket when it is cancelled inside a TLS or proxy handshake, and cannot tell how much of a
request has left. Its network backend is a public seam, so both are seen to here.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Iterable
from typing import Any

import anyio
import httpcore

from callsheet._http._background import in_trio
from callsheet._http._trail import Trail
from callsheet._http._urls import reach_of

__all__ = ["Network"]

READ = 256 * 1024
"""Bytes asked for in one read; asyncio takes that many from the kernel anyway."""


class Network(httpcore.AsyncNetworkBackend):
    """Opens the socket of one connection, and keeps watch over it.

    Args:
        layers: How many layers of TLS requests travel in; what goes outside of them is a handshake.
        reach: How near the address may be (see `reach_of`); `None` for anywhere.
    """

    def __init__(self, *, layers: int, reach: int | None = None) -> None:
        self._dead = False
        self._layers = layers
        self._reach = reach
        self._backend: Any = httpcore.TrioBackend() if in_trio() else httpcore.AnyIOBackend()
        self._streams: list[httpcore.AsyncNetworkStream] = []
        self._trail = Trail()
        self._received = 0
        self._head = b""
        self._head_length: int | None = None
        self._tail = b""
        self._poll: Any = None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = [host] if self._reach is None else await _within(self._reach, host, port)
        for address in addresses[:-1]:
            try:
                return await self._connect(address, port, timeout, local_address)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._connect(addresses[-1], port, timeout, local_address)

    async def _connect(
        self, host: str, port: int, timeout: float | None, local_address: str | None
    ) -> httpcore.AsyncNetworkStream:
        try:
            stream = await self._backend.connect_tcp(host, port, timeout, local_address)
        except BaseExceptionGroup as group:
            # trio tries addresses side by side in a nursery, which wraps their cancellation.
            raise _alone(group) from None
        if hasattr(select, "poll"):
            # Asked before each request; to ask the stream takes ten times as long.
            self._poll = select.poll()
            self._poll.register(stream.get_extra_info("socket"), select.POLLIN)
        return await self._hold(stream)

    async def _hold(self, stream: httpcore.AsyncNetworkStream) -> httpcore.AsyncNetworkStream:
        self._streams.append(stream)
        if self._dead:
            await self.aclose()
        return _Stream(stream, self, counts=len(self._streams) == self._layers + 1)

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)

    async def aclose(self) -> None:
        """Close every socket there is; whoever still reads or writes on one gets an error."""
        self._dead = True
        # The outermost layer first: it knows how to close those below it.
        while self._streams:
            await self._streams.pop().aclose()

    def readable(self) -> bool:
        """Tell whether the peer has closed, or sent what nobody asked for."""
        if self._dead:
            return True
        if self._poll is None:
            return bool(self._streams[-1].get_extra_info("is_readable"))
        return bool(self._poll.poll(0))

    def begin(self, trail: Trail) -> None:
        """Start counting for a new request, whose progress goes into `trail`."""
        self._trail = trail
        self._received = 0
        self._head = b""
        self._head_length = None
        self._tail = b""

    def ended_clean(self, method: str, status: int, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Tell whether the answer that was read to its end is all that the server has sent.

        What comes behind it would be taken for the answer to the next request, perhaps somebody else's.
        """
        if self._head_length is None:
            return False
        if method == "HEAD" or status in {204, 304}:
            return self._received == self._head_length
        length: bytes | None = None
        for name, value in headers:
            match name.lower():
                case b"transfer-encoding":
                    return self._tail.endswith(b"0\r\n\r\n")
                case b"content-length":
                    length = value.strip()
        return length is not None and self._received == self._head_length + int(length)

    def _sent(self) -> None:
        self._trail.began = True

    def _got(self, data: bytes) -> None:
        self._received += len(data)
        self._tail = (self._tail + data)[-5:] if len(data) < 5 else data[-5:]
        if self._head_length is None:
            self._head += data
            self._find_head()

    def _find_head(self) -> None:
        """Note where the body begins, behind interim answers (100 to 199)."""
        start = 0
        while (end := self._head.find(b"\r\n\r\n", start)) >= 0:
            interim = self._head[start + 8 : start + 10] == b" 1"
            start = end + 4
            if not interim:
                self._head_length = start
                self._head = b""
                return


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, stream: httpcore.AsyncNetworkStream, network: Network, *, counts: bool) -> None:
        self._stream = stream
        self._network = network
        self._counts = counts

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._network._dead:
            raise httpcore.ReadError("the connection was closed")
        data = await self._stream.read(max(max_bytes, READ) if self._counts else max_bytes, timeout)
        if self._counts:
            self._network._got(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if self._network._dead:
            raise httpcore.WriteError("the connection was closed")
        if buffer:
            if self._counts:
                self._network._sent()
            await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._network.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return await self._network._hold(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            return self._network.readable()
        return self._stream.get_extra_info(info)


def _alone(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return a cancellation as it would come without the group; any other group as it is."""
    cancelled, rest = group.split(anyio.get_cancelled_exc_class())
    if cancelled is None or rest is not None:
        return group
    error: BaseException = cancelled
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _within(reach: int, host: str, port: int) -> list[str]:
    """Return the addresses of the host, if none of them is nearer than allowed.

    The connection then goes to these very addresses: a second look-up could answer differently.
    """
    try:
        found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as exc:
        raise httpcore.ConnectError(str(exc)) from exc
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if any(reach_of(address) > reach for address in addresses):
        raise httpcore.UnsupportedProtocol("a server may not send us to that address")
    return addresses
