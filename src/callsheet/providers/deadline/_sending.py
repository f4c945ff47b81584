"""Contents on their way into the bucket: each once, under its hash, and only if its bytes have that hash."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from functools import partial
from pathlib import Path

import anyio
import attrs
from xxhash import xxh3_128, xxh3_128_hexdigest

from callsheet._errors import CallsheetError, Denied, IntegrityError
from callsheet._http._messages import Body
from callsheet._s3 import PART, Bucket, upload
from callsheet._threads import Threads
from callsheet._together import together
from callsheet.providers.deadline._hash_cache import HashCache
from callsheet.providers.deadline._hashing import READ
from callsheet.providers.deadline._inputs import Input
from callsheet.providers.deadline._storage import Storage, data_key

__all__ = ["Flight", "NotSent", "send"]

SMALL = 1 << 20
"""Bytes up to which a content is read in one piece, and sent without asking whether it is there."""

SMALL_AT_ONCE = 24
LARGE_AT_ONCE = 2
"""Files in flight. Larger ones go in parts, several at once, so that memory stays within about 64 MiB."""


class NotSent(Exception):
    """A content could not be sent; its cause says why."""

    def __init__(self, content: Input, cause: Exception) -> None:
        super().__init__(str(cause))
        self.content = content
        self.cause = cause


@attrs.define(eq=False)
class Flight:
    """A content on its way.

    Attributes:
        over: Set when it has arrived, or will not.
        arrived: Whether it is in the bucket.
    """

    over: anyio.Event = attrs.field(factory=anyio.Event)
    arrived: bool = False


async def send(
    inputs: Iterable[Input],
    *,
    storage: Storage,
    cache: HashCache,
    threads: Threads,
    flights: dict[str, Flight],
    checked: bool = False,
) -> None:
    """Send all contents that the bucket lacks, as far as is known; the same content goes once.

    Args:
        inputs: The files.
        storage: Their bucket.
        cache: What is known from earlier jobs.
        threads: Read and hash.
        flights: What other calls are sending, by key.
        checked: Ask for each content, whatever the cache knows.

    Raises:
        NotSent: One could not be sent; others were given up.
    """
    settings, bucket = await storage.settings(), await storage.bucket()

    def unseen() -> dict[str, Input]:
        contents = {data_key(settings, one.hash): one for one in inputs}
        seen = set() if checked else cache.seen(bucket.url, contents)
        return {key: one for key, one in contents.items() if key not in seen}

    # A small content is sent without asking: it is rarely there. Where all were, it is asked for first.
    asked_from = -1 if checked else SMALL
    sending = _Sending(bucket, await threads.run(unseen), threads, flights, asked_from)
    try:
        await sending.run()
    finally:
        if sending.there:
            # Also when cancelled: what is there need not be asked for again.
            with anyio.move_on_after(2, shield=True):
                await threads.run(cache.note_seen, bucket.url, sending.there, abandon=True)


class _Sending:
    def __init__(
        self,
        bucket: Bucket,
        contents: dict[str, Input],
        threads: Threads,
        flights: dict[str, Flight],
        asked_from: int,
    ) -> None:
        self._bucket = bucket
        self._threads = threads
        self._flights = flights
        self._asked_from = asked_from
        self._small = deque((key, one) for key, one in contents.items() if one.size <= PART)
        self._large = deque((key, one) for key, one in contents.items() if one.size > PART)
        self._failed: NotSent | None = None
        self.there: list[str] = []

    async def run(self) -> None:
        workers = [partial(self._work, self._small)] * min(SMALL_AT_ONCE, len(self._small))
        workers += [partial(self._work, self._large)] * min(LARGE_AT_ONCE, len(self._large))
        try:
            await together(workers)
        except (CallsheetError, OSError):
            if self._failed is None:
                raise
            raise self._failed from self._failed.cause

    async def _work(self, contents: deque[tuple[str, Input]]) -> None:
        while contents:
            key, content = contents.popleft()
            try:
                await self._once(key, content)
            except (CallsheetError, OSError) as error:
                self._failed = self._failed or NotSent(content, error)
                raise
            self.there.append(key)

    async def _once(self, key: str, content: Input) -> None:
        """Send one content, unless another call does so just now."""
        while (flight := self._flights.get(key)) is not None:
            await flight.over.wait()
            if flight.arrived:
                return
        flight = self._flights[key] = Flight()
        try:
            await self._send(key, content)
            flight.arrived = True
        finally:
            del self._flights[key]
            flight.over.set()

    async def _send(self, key: str, content: Input) -> None:
        """Send one content, unless it is there."""
        file = content.file
        source = file.source
        if content.size > self._asked_from and await self._is_there(key):
            return
        if content.size > PART and isinstance(source, Path | bytes):
            await upload(
                self._bucket,
                key,
                file,
                content.size,
                identity=(str(source), content.size, content.mtime_ns) if isinstance(source, Path) else None,
                threads=self._threads,
                progress=_unheard,
                proof=partial(_prove, content, self._threads),
                new_only=True,
            )
        elif content.size <= SMALL and isinstance(source, Path):
            data = await self._threads.run(_read_again, content, source)
            await self._bucket.put(key, data, new_only=True)
        else:
            body = Body(partial(_proved, content, self._threads), content.size)
            await self._bucket.put(key, body, new_only=True)

    async def _is_there(self, key: str) -> bool:
        try:
            return await self._bucket.head(key) is not None
        except Denied:
            # Who may not list the bucket is not told; a put under a condition tells in the end.
            return False


async def _proved(content: Input, threads: Threads) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of a content; the end is reached only if they have its hash."""
    hasher = xxh3_128()
    async with content.file.open(threads) as reader:
        while chunk := await reader.read(hasher.update):
            yield chunk
    _compare(content, hasher.hexdigest())


async def _prove(content: Input, threads: Threads) -> None:
    async for _ in _proved(content, threads):
        pass


def _read_again(content: Input, source: Path) -> bytes:
    file = os.open(source, READ)
    try:
        data = b""
        while chunk := os.read(file, content.size + 1 - len(data)):
            data += chunk
    finally:
        os.close(file)
    _compare(content, xxh3_128_hexdigest(data))
    return data


def _compare(content: Input, found: str) -> None:
    if found != content.hash:
        raise IntegrityError(f"file {content.path!r} changed after it was hashed; no job was made")


async def _unheard(done: int) -> None:
    """Nobody listens to the progress of one content."""
