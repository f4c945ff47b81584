"""Bytes that come over as many connections as it takes: when one breaks, another goes on from there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Self

from callsheet._errors import InvalidResponse, TransportError
from callsheet._http._download import Download

__all__ = ["Resuming"]

WORTH = 8 << 20
"""Bytes after which a connection that breaks counts as the first that does."""


class Resuming(AsyncIterator[bytes]):
    """The bytes of one thing from `start` on; leaving its `async with` lets go of the connection.

    Args:
        begin: Enters a download from the given offset on; the answer may begin earlier, never later.
        start: The offset of the first byte wanted.
        attempts: Connections in a row that may break before that is an error.
        name: What it is, for errors.
        provider: The provider's short name, for errors.
    """

    def __init__(
        self,
        begin: Callable[[int], Awaitable[Download]],
        *,
        start: int,
        attempts: int,
        name: str,
        provider: str,
    ) -> None:
        self._begin = begin
        self._at = start
        self._attempts = attempts
        self._name = name
        self._provider = provider
        self._skip = 0
        self._gained = 0
        self._cuts = 0
        self._download: Download | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def __anext__(self) -> bytes:
        while True:
            chunk = await self._next()
            skipped, chunk = chunk[: self._skip], chunk[self._skip :]
            self._skip -= len(skipped)
            if chunk:
                self._at += len(chunk)
                self._gained += len(chunk)
                return chunk

    async def aclose(self) -> None:
        """Let go of the connection."""
        download, self._download = self._download, None
        if download is not None:
            await download.aclose()

    async def _next(self) -> bytes:
        while True:
            if self._download is None:
                self._download = await self._opened()
            try:
                return await anext(self._download)
            except TransportError:
                await self.aclose()
                self._cuts = 1 if self._gained >= WORTH else self._cuts + 1
                if not self._gained or self._cuts >= self._attempts:
                    raise
                self._gained = 0

    async def _opened(self) -> Download:
        download = await self._begin(self._at)
        self._skip = self._at - download.start
        if self._skip < 0:
            await download.aclose()
            raise InvalidResponse(f"{self._name}: its bytes begin too late", provider=self._provider)
        return download
