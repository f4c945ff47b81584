"""One request on the wire and its answer: with the pool's, the only rooms that know httpx."""

from __future__ import annotations

import functools
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from typing import Self

import anyio
import httpx

from callsheet._errors import ConfigError, IntegrityError
from callsheet._http._decoding import Damaged, Gunzip, Incomplete
from callsheet._http._messages import Body, Request
from callsheet._http._options import HttpOptions, Transport
from callsheet._http._pool import Pool, PoolBody
from callsheet._http._trail import Trail
from callsheet._redaction import Secret

__all__ = ["Reply", "Sending", "Stalled", "TooLarge", "exchange", "make_transport"]

SLICE = 1 << 20
"""Bytes of a body handed to the socket at a time; each must be taken within the stall limit."""

SLOWEST = 1024
"""Bytes a second: a transfer that brings less, over a whole stall limit, stands still."""


class Stalled(Exception):
    """Bytes come, but too few."""


class TooLarge(Exception):
    """The body exceeds its budget."""


def make_transport(options: HttpOptions) -> Transport:
    """Return the user's transport, or else a pool of our own; to be called inside the loop."""
    return Pool(options) if options.transport is None else _Limited(options.transport, options.connections)


class _Limited:
    """A transport that was handed in, with at most so many answers open at a time."""

    def __init__(self, transport: Transport, limit: int) -> None:
        # httpx's own pool slows with the square of its connections, so it is given few.
        stock = isinstance(transport, httpx.AsyncHTTPTransport)
        self._slots = anyio.Semaphore(min(10, limit) if stock else limit, fast_acquire=True)
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request, /) -> httpx.Response:
        await self._slots.acquire()
        try:
            response: httpx.Response = await self._transport.handle_async_request(request)
            response.stream = _Slot(response.stream, self._slots.release)
        except BaseException:
            self._slots.release()
            raise
        return response

    async def aclose(self) -> None:
        await self._transport.aclose()


class _Slot(httpx.AsyncByteStream):
    """A body that gives its slot back when it is closed."""

    def __init__(
        self, stream: httpx.AsyncByteStream | httpx.SyncByteStream, release: Callable[[], None]
    ) -> None:
        if not isinstance(stream, httpx.AsyncByteStream):
            raise ConfigError("transport: its answers must have asynchronous streams")
        self._stream = stream
        self._release: Callable[[], None] | None = release

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._stream)

    async def aclose(self) -> None:
        release, self._release = self._release, None
        if release is not None:
            try:
                await self._stream.aclose()
            finally:
                release()


async def exchange(
    transport: Transport,
    request: Request,
    sending: Sending,
    trail: Trail,
    *,
    timeouts: dict[str, float],
    reach: int | None,
) -> httpx.Response:
    """Send the request and return the answer, its body unread.

    Raises:
        httpx.HTTPError, OSError: It failed; `trail` tells how far it got.
    """
    # Our own pool says when the first byte leaves; of others it must be assumed.
    trail.began = not isinstance(transport, Pool)
    extensions = {"timeout": timeouts, "callsheet.trail": trail, "callsheet.reach": reach}
    # Handed on in one go: no frame of ours keeps revealed headers in a variable, for a traceback to print.
    answer: httpx.Response = await transport.handle_async_request(
        httpx.Request(
            request.method,
            _url(str(request.url)),
            headers=[(name, _revealed(value)) for name, value in request.headers.items()],
            stream=sending,
            extensions=extensions,
        )
    )
    return answer


@functools.lru_cache(maxsize=64)
def _url(text: str) -> httpx.URL:
    # Parsing costs as much as sending a small request; most calls go to few URLs.
    return httpx.URL(text)


def _revealed(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value


class Sending(httpx.AsyncByteStream):
    """A request body on its way out.

    Args:
        body: Bytes or a stream.
        trail: Told when the last byte is on its way.
        progress: Awaited with the bytes that the network has taken so far.
        on_whole: Called when the last byte is on its way.
    """

    def __init__(
        self,
        body: bytes | Body,
        trail: Trail,
        *,
        progress: Callable[[int], Awaitable[None]] | None = None,
        on_whole: Callable[[], None] | None = None,
    ) -> None:
        self.length = len(body) if isinstance(body, bytes) else body.length
        self.error: Exception | None = None
        self._slices = _slices(body) if isinstance(body, bytes) else iter(())
        self._chunks = _checked(body) if isinstance(body, Body) else None
        self._trail = trail
        self._progress = progress
        self._on_whole = on_whole
        self._handed = 0
        if not self.length:
            self._end()

    async def ready(self) -> None:
        """Find out whether an empty source is empty: its request would be whole with its headers alone.

        Raises:
            IntegrityError: It is not.
        """
        if self._chunks is not None and not self.length:
            await anext(self._chunks, None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            if self._progress is not None and self._handed:
                await self._progress(self._handed)
            chunk = await self._next()
        except StopAsyncIteration:
            raise
        except Exception as exc:
            # Kept apart: it is the source's failure, whatever a transport makes of it.
            self.error = exc
            raise
        self._handed += len(chunk)
        if self._handed == self.length:
            self._end()
        return chunk

    async def _next(self) -> bytes:
        if self._chunks is not None:
            return await anext(self._chunks)
        for chunk in self._slices:
            return chunk
        raise StopAsyncIteration

    def _end(self) -> None:
        self._trail.whole = True
        if self._on_whole is not None:
            self._on_whole()

    async def aclose(self) -> None:
        """Close the source, whether it was read to its end or not."""
        if self._chunks is not None:
            with anyio.move_on_after(5, shield=True):
                await self._chunks.aclose()


def _slices(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), SLICE):
        yield data[start : start + SLICE]


async def _checked(body: Body) -> AsyncGenerator[bytes, None]:
    """Yield the source's chunks; the last one only when the source has said that it is the last."""
    source = body.open()
    left = body.length
    last = b""
    try:
        async for chunk in source:
            left -= len(chunk)
            if left < 0:
                raise IntegrityError(f"the source gave more than the {body.length} bytes it promised")
            if left:
                yield chunk
            else:
                last = last or chunk
        if left:
            raise IntegrityError(
                f"the source gave {body.length - left} of the {body.length} bytes it promised"
            )
        if last:
            yield last
    finally:
        if isinstance(source, AsyncGenerator):
            await source.aclose()


class Reply:
    """An answer whose body is read with `async for`: decompressed, counted, and whole when it ends.

    Args:
        response: The answer, unread.
        method: Of the request.
        limit: The most bytes the body may have, as sent and as decompressed; `None` for any.
        size: The bytes it must have, if they are known; else the answer itself must say where it ends.
        stall: Seconds within which it must bring something to speak of.

    Attributes:
        status: The HTTP status.
        headers: Names in lower case.

    Iterating raises `Incomplete`, `Damaged`, `TooLarge`, `Stalled`, and what the transport raises.
    """

    def __init__(
        self,
        response: httpx.Response,
        method: str,
        *,
        limit: int | None = None,
        size: int | None = None,
        stall: float | None = None,
    ) -> None:
        self.status = response.status_code
        self.headers = _folded(response.headers.raw)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        self._stream = response.stream
        self._version = response.extensions.get("http_version", b"")
        self._raw = aiter(response.stream)
        self.limit = limit
        self.size = size
        self._stall = stall
        self._bodiless = method == "HEAD" or self.status in {204, 304}
        self._encoding = self.headers.get("content-encoding", "identity").strip().lower()
        self._gunzip = Gunzip() if self._encoding in {"gzip", "x-gzip"} else None
        self._pieces: Iterator[bytes] = iter(())
        self._sent = 0
        self._given = 0
        self._waited = 0.0
        self._brought = 0
        self._closed = False

    @property
    def length(self) -> int | None:
        """The bytes of the body as they are sent, if the answer says so."""
        value = self.headers.get("content-length", "")
        return int(value) if value.isdecimal() and len(value) < 20 else None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not (piece := next(self._pieces, b"")):
            data = await self._receive()
            self._pieces = iter((data,)) if self._gunzip is None else self._gunzip.feed(data)
        self._given += len(piece)
        self._spend(self._given)
        return piece

    async def _receive(self) -> bytes:
        if self._closed:
            raise Incomplete("it was closed before its end")
        if not self._sent:
            self._spend(self.length or 0)
            if self._gunzip is None and self._encoding not in {"", "identity"}:
                raise Damaged(f"it is encoded as {self._encoding!r}, which was not asked for")
        began = time.monotonic()
        try:
            data = await anext(self._raw)
        except StopAsyncIteration:
            self._check_end()
            raise
        self._sent += len(data)
        self._spend(self._sent)
        if self._stall is not None:
            self._pace(len(data), time.monotonic() - began, self._stall)
        return data

    def _spend(self, size: int) -> None:
        if self.limit is not None and size > self.limit and not self._bodiless:
            raise TooLarge(f"its body exceeds {self.limit} bytes")

    def _pace(self, brought: int, waited: float, stall: float) -> None:
        # The reader's own time between two pieces does not count.
        self._brought += brought
        self._waited += waited
        if self._waited >= stall:
            if self._brought < SLOWEST * stall:
                raise Stalled(f"only {self._brought} bytes came in {self._waited:.0f} s")
            self._brought, self._waited = 0, 0.0

    def _check_end(self) -> None:
        length = None if self._bodiless else self.length
        if self._gunzip is not None:
            self._gunzip.end()
        for size, wanted in ((self._sent, length), (self._given, self.size)):
            if wanted is not None and size < wanted:
                raise Incomplete(f"its body ends after {size} of {wanted} bytes")
            if wanted is not None and size > wanted:
                raise Damaged(f"its body has {size} bytes instead of {wanted}")
        if not self._bodiless and self._ends_anywhere():
            raise Damaged("it does not say where its body ends, so half of it would look whole")

    def _ends_anywhere(self) -> bool:
        framed = self.length is not None or "transfer-encoding" in self.headers
        known = framed or self._gunzip is not None or self.size is not None
        return not known and self._version.startswith(b"HTTP/1")

    async def aclose(self) -> None:
        """Let go of the connection, whether the body was read or not."""
        self._closed = True
        if isinstance(self._stream, PoolBody):
            await self._stream.aclose()
            return
        with anyio.CancelScope(shield=True):
            if isinstance(self._raw, AsyncGenerator) and not getattr(self._raw, "ag_running", False):
                await self._raw.aclose()
            # Not `response.aclose()`: that does nothing for an answer that was made whole.
            await self._stream.aclose()


def _folded(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip()
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers
