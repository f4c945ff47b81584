"""The connections: an httpx transport of our own, last in first out, whose books stay right.

httpx's own pool walks all its connections for every request, and loses slots when requests are cancelled.
Here a semaphore stands in front, released when the body is read or closed, and an idle connection is a pop
from a list. Busy and idle connections together never exceed the limit, over all origins.

Proxies go the same way: httpcore's proxy classes are asked for single connections, so that their own pools,
which have the same faults, are never used.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from contextvars import ContextVar
from typing import ClassVar, Self

import anyio
import attrs
import httpcore
import httpx

from callsheet._http._background import Background
from callsheet._http._network import Network
from callsheet._http._options import HttpOptions
from callsheet._http._proxies import connection_through, proxy_for
from callsheet._http._tls import tls_context
from callsheet._http._trail import Trail
from callsheet._threads import Threads

__all__ = ["Pool", "PoolBody"]

_Key = tuple[bytes, bytes, int, int | None]


@attrs.define(eq=False)
class _Connection:
    key: _Key
    http: httpcore.AsyncConnectionInterface
    network: Network
    idle_since: float = 0.0


class Pool(httpx.AsyncBaseTransport):
    """At most `connections` connections, shared by all origins; make one inside each event loop.

    Timeouts are those of the request's `timeout` extension: `connect`, `read`, `write` and `pool`. A `Trail`
    in the extension `callsheet.trail` is told how far the request got; `callsheet.reach` says how near the
    server may be.

    Attributes:
        busy: Slots taken by requests whose body is neither read nor closed.
        idle: Connections kept open for the next request.
    """

    def __init__(self, options: HttpOptions) -> None:
        self._options = options
        self._slots = anyio.Semaphore(options.connections, fast_acquire=True)
        self._free: dict[_Key, deque[_Connection]] = {}
        self._in_use: set[_Connection] = set()
        self._reaper = Background()
        self._threads = Threads(1)
        self._closed = False

    @property
    def busy(self) -> int:
        return self._options.connections - self._slots.value

    @property
    def idle(self) -> int:
        return sum(map(len, self._free.values()))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await self._take_slot(request)
        connection: _Connection | None = None
        try:
            with _httpcore:
                connection = await self._connection(request)
                connection.network.begin(request.extensions.get("callsheet.trail") or Trail())
                answer = await _exchange(connection.http, request)
            return httpx.Response(
                answer.status,
                headers=answer.headers,
                stream=PoolBody(self, connection, request.method, answer),
                extensions=answer.extensions,
            )
        except BaseException:
            await self._give_back(connection, reusable=False)
            raise

    async def aclose(self) -> None:
        """Close every connection; requests still under way fail."""
        self._closed = True
        with anyio.CancelScope(shield=True):
            await self._reaper.stop()
            for connection in list(self._in_use):
                await connection.network.aclose()
            while (oldest := self._oldest()) is not None:
                self._forget(oldest)
                await oldest.network.aclose()

    async def _take_slot(self, request: httpx.Request) -> None:
        if self._closed:
            raise httpx.PoolTimeout("the pool is closed")
        timeout = request.extensions.get("timeout", {}).get("pool")
        if timeout is None or self._slots.value:
            await self._slots.acquire()
            return
        with anyio.move_on_after(timeout) as scope:
            await self._slots.acquire()
        if scope.cancelled_caught:
            raise httpx.PoolTimeout(f"all {self._options.connections} connections stayed busy")

    async def _connection(self, request: httpx.Request) -> _Connection:
        url = request.url
        key = (url.raw_scheme, url.raw_host, url.port or 0, request.extensions.get("callsheet.reach"))
        connection = await self._taken(key)
        if connection is None:
            # Our slot is counted already, so the oldest idle connection makes room if need be.
            if self.busy + self.idle > self._options.connections and (oldest := self._oldest()) is not None:
                self._forget(oldest)
                await oldest.network.aclose()
            connection = await self._new(key)
        self._in_use.add(connection)
        return connection

    async def _taken(self, key: _Key) -> _Connection | None:
        while (free := self._free.get(key)) is not None:
            connection = free.pop()
            if not free:
                del self._free[key]
            if not connection.http.has_expired():
                return connection
            with anyio.CancelScope(shield=True):
                await connection.network.aclose()
        return None

    async def _new(self, key: _Key) -> _Connection:
        scheme, host, port, reach = key
        secure = scheme == b"https"
        origin = httpcore.Origin(scheme, host, port or (443 if secure else 80))
        proxy = proxy_for(origin, self._options.proxy)
        layers = secure + (proxy is not None and proxy.scheme == "https")
        tls = await self._threads.run(tls_context, self._options.verify) if layers else None
        if proxy is not None:
            network = Network(layers=layers)
            return _Connection(key, connection_through(proxy, origin, tls, network), network)
        network = Network(layers=layers, reach=reach)
        http = httpcore.AsyncHTTPConnection(origin, ssl_context=tls, network_backend=network)
        return _Connection(key, http, network)

    async def _give_back(self, connection: _Connection | None, *, reusable: bool) -> None:
        """Keep or close the connection, and free its slot, whatever happens."""
        try:
            if connection is None:
                return
            self._in_use.discard(connection)
            if reusable and not self._closed:
                connection.idle_since = time.monotonic()
                self._free.setdefault(connection.key, deque()).append(connection)
                self._reaper.start(self._reap)
            else:
                with anyio.CancelScope(shield=True):
                    await connection.network.aclose()
        finally:
            self._slots.release()

    def _oldest(self) -> _Connection | None:
        fronts = (free[0] for free in self._free.values() if free)
        return min(fronts, key=lambda connection: connection.idle_since, default=None)

    def _forget(self, connection: _Connection) -> None:
        free = self._free[connection.key]
        free.remove(connection)
        if not free:
            del self._free[connection.key]

    async def _reap(self, stopped: anyio.Event) -> None:
        """Close each idle connection when its time has come, traffic or not."""
        # When this begins, one has just become idle. It may be in use again at once, and idle soon after:
        # for each request of such a row to begin and end a task would cost more than to sleep through it.
        with anyio.move_on_after(self._options.idle):
            await stopped.wait()
        while (oldest := self._oldest()) is not None and not stopped.is_set():
            left = oldest.idle_since + self._options.idle - time.monotonic()
            if left > 0:
                with anyio.move_on_after(left):
                    await stopped.wait()
            else:
                self._forget(oldest)
                await oldest.network.aclose()


class PoolBody(httpx.AsyncByteStream):
    """An answer's body; its slot is free again once it is read to the end, has failed, or is closed."""

    def __init__(self, pool: Pool, connection: _Connection, method: str, answer: httpcore.Response) -> None:
        self._pool = pool
        self._connection = connection
        self._method = method
        self._answer = answer
        self._chunks: AsyncIterator[bytes] | None = None
        self._reading = False
        self._at_end = False
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._closed:
            raise StopAsyncIteration
        if self._chunks is None:
            self._chunks = aiter(self._answer.stream)  # type: ignore[arg-type]  # async on an async connection
        self._reading = True
        try:
            with _httpcore:
                chunk = await anext(self._chunks)
        except BaseException as exc:
            self._reading = False
            self._at_end = isinstance(exc, StopAsyncIteration)
            await self.aclose()
            raise
        self._reading = False
        return chunk

    async def aclose(self) -> None:
        """Free the slot, even when cancelled."""
        if self._closed:
            return
        if self._reading:
            # Another task is inside `__anext__`: it is woken with an error, and does the rest.
            await self._connection.network.aclose()
            return
        self._closed = True
        reusable = False
        with anyio.CancelScope(shield=True):
            try:
                reusable = await self._settle()
            finally:
                await self._pool._give_back(self._connection, reusable=reusable)

    async def _settle(self) -> bool:
        """Let httpcore come to its end; return whether the connection can serve another request."""
        http, network = self._connection.http, self._connection.network
        with _httpcore:
            if not self._at_end:
                await network.aclose()
                if self._chunks is not None:
                    # httpcore's generators must run out: trio warns of those that are dropped half way.
                    with suppress(httpcore.NetworkError, httpcore.ProtocolError):
                        async for _ in self._chunks:
                            pass
            await self._answer.aclose()
        whole = self._at_end and http.is_idle()
        return whole and network.ended_clean(self._method, self._answer.status, self._answer.headers)


async def _exchange(http: httpcore.AsyncConnectionInterface, request: httpx.Request) -> httpcore.Response:
    assert isinstance(request.stream, httpx.AsyncByteStream)
    body = aiter(request.stream)
    url = request.url
    try:
        return await http.handle_async_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=request.headers.raw,
                content=body,
                extensions=request.extensions,
            )
        )
    finally:
        # httpcore drops a body half way when sending fails, and trio warns of a generator that is dropped.
        if isinstance(body, AsyncGenerator):
            with anyio.CancelScope(shield=True):
                await body.aclose()


_ours: ContextVar[bool] = ContextVar("callsheet_request", default=False)


class _Httpcore:
    """Around calls into httpcore: its exceptions become httpx's, and it does not log.

    At DEBUG it would print an answer's headers, cookies and all.
    """

    names = (
        "ConnectTimeout ReadTimeout WriteTimeout PoolTimeout ConnectError ReadError WriteError ProxyError"
        " UnsupportedProtocol LocalProtocolError RemoteProtocolError"
    )
    mapped: ClassVar = {getattr(httpcore, name): getattr(httpx, name) for name in names.split()}

    def __enter__(self) -> None:
        _ours.set(True)

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: object) -> None:
        _ours.set(False)
        if kind in self.mapped:
            raise self.mapped[kind](str(exc)) from exc


_httpcore = _Httpcore()


def _not_ours(_: logging.LogRecord) -> bool:
    return not _ours.get()


for _name in ("connection", "http11", "proxy", "socks"):
    logging.getLogger(f"httpcore.{_name}").addFilter(_not_ours)
