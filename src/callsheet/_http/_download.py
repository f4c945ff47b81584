"""An answer that is read piece by piece."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import TracebackType
from typing import Self

import attrs

from callsheet._errors import CallsheetError
from callsheet._http._exchange import Reply
from callsheet._http._failures import FAILURES

__all__ = ["Download", "Opened", "part_of"]


@attrs.frozen
class Opened:
    """An answer that has begun, and what to do when it fails or ends."""

    reply: Reply
    start: int
    total: int | None
    fail: Callable[[Exception], CallsheetError]
    forget: Callable[[Reply], None]


class Download(AsyncIterator[bytes]):
    """A long answer: enter it with `async with`, then read its chunks with `async for`.

    Entering sends the request, with all its retries, until the answer begins. Iterating ends only if the
    answer was whole: by the length it promised, by the size that was known before, by gzip's own end and
    checksum. Else it raises `TransportError` (ended early), `Timeout` (stood still) or `InvalidResponse`
    (damaged, or longer than it should be).

    Attributes:
        status: 200; or 206 for a part. Known inside the `async with`, as are the others.
        headers: Names in lower case.
        start: The offset of the first byte: 0 if the server gives no parts, whatever was asked for.
        total: The size of the whole thing, not only of the part; `None` if the server does not say.
    """

    status: int
    headers: Mapping[str, str]
    start: int
    total: int | None

    def __init__(self, begin: Callable[[], Awaitable[Opened]]) -> None:
        self._begin = begin
        self._opened: Opened | None = None

    async def __aenter__(self) -> Self:
        self._opened = opened = await self._begin()
        self.status, self.headers = opened.reply.status, opened.reply.headers
        self.start, self.total = opened.start, opened.total
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def __anext__(self) -> bytes:
        if self._opened is None:
            raise StopAsyncIteration
        try:
            return await anext(self._opened.reply)
        except FAILURES as exc:
            error = self._opened.fail(exc)
        await self.aclose()
        raise error

    async def aclose(self) -> None:
        """Let go of the connection, whether everything was read or not."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.forget(opened.reply)
            await opened.reply.aclose()


_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")


def part_of(
    status: int, headers: Mapping[str, str], length: int | None
) -> tuple[int, int | None, int | None]:
    """Return where an answer's body starts, how long it is, and how long the whole thing is.

    Raises:
        ValueError: It is a part, and does not say properly of what.
    """
    if status != 206:
        return 0, length, length
    match = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
    if match is None or int(match[1]) > int(match[2]):
        raise ValueError("a part that does not say where it belongs")
    total = None if match[3] == "*" else int(match[3])
    return int(match[1]), int(match[2]) - int(match[1]) + 1, total
