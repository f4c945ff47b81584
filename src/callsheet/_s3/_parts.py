"""Large objects, sent in parts: several at once, and only those that an earlier call has not sent."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial

from callsheet._errors import CallsheetError, IntegrityError, NotFound
from callsheet._files import File
from callsheet._http._messages import Body
from callsheet._journal import Journal
from callsheet._s3._bucket import Bucket
from callsheet._threads import Threads
from callsheet._together import together
from callsheet.abc import Progress

__all__ = ["PART", "part_size_for", "upload"]

logger = logging.getLogger("callsheet")

MIB = 1 << 20
PART = 8 * MIB
"""Bytes of a part, up to 78 GiB; and of the largest object that is sent in one piece."""

MAX_PARTS = 10_000
AT_ONCE = 8
"""Parts of one object in flight."""


def part_size_for(size: int) -> int:
    """Return how many bytes each part of an object has: as few as allow for all of it."""
    return PART if size <= PART * MAX_PARTS else -(-size // (MAX_PARTS * MIB)) * MIB


async def upload(
    bucket: Bucket,
    key: str,
    file: File,
    size: int,
    *,
    identity: tuple[object, ...] | None,
    threads: Threads,
    progress: Progress,
    proof: Callable[[], Awaitable[None]] | None = None,
    new_only: bool = False,
) -> bool:
    """Send a file in parts, and return whether it was stored: with `new_only`, nothing is written over.

    A call that is cancelled or killed leaves the parts that are there to the next one, for a week.

    Args:
        bucket: Where to.
        key: The object's name.
        file: A path or bytes: something that can be read at any place.
        size: The file's bytes.
        identity: What the same upload is known by in the next call; `None` if it cannot be gone on with.
        threads: Read the file.
        progress: Awaited with the bytes done.
        proof: Runs beside the parts; if it raises, they do not become an object.
        new_only: If the key is there by then, leave it alone.

    Raises:
        IntegrityError: The file changed while it was sent; nothing was stored.
    """
    journal = None if identity is None else await _journal(threads, file, bucket.url, key, *identity)
    try:
        return await _Upload(bucket, key, file, size, journal, threads, progress).run(
            proof, new_only=new_only
        )
    finally:
        if journal is not None:
            journal.close()


async def _journal(threads: Threads, file: File, *identity: object) -> Journal | None:
    try:
        return await threads.run(Journal.open, *identity)
    except OSError as error:
        logger.warning("%s could not be resumed if it were cut off: no journal (%s)", file.name, error)
        return None


class _Upload:
    def __init__(
        self,
        bucket: Bucket,
        key: str,
        file: File,
        size: int,
        journal: Journal | None,
        threads: Threads,
        progress: Progress,
    ) -> None:
        self._bucket = bucket
        self._key = key
        self._file = file
        self._size = size
        self._part_size = part_size_for(size)
        self._journal = journal
        self._threads = threads
        self._progress = progress
        self._e_tags: dict[int, str] = {}
        self._sent: dict[int, int] = {}

    async def run(self, proof: Callable[[], Awaitable[None]] | None, *, new_only: bool) -> bool:
        upload = await self._resumed() or await self._begun()
        parts = range(1, -(-self._size // self._part_size) + 1)
        missing = deque(number for number in parts if number not in self._e_tags)
        workers = [partial(self._work, upload, missing) for _ in range(min(AT_ONCE, len(missing)))]
        try:
            await together([*([proof] if proof else []), *workers])
            stored = await self._complete(upload, new_only=new_only)
        except IntegrityError:
            await self._give_up(upload)
            raise
        if self._journal is not None:
            await self._threads.run(self._journal.remove)
        return stored

    async def _resumed(self) -> str | None:
        """Return the upload that an earlier call began, if the store still has it."""
        records = [] if self._journal is None else await self._threads.run(self._journal.records)
        upload = records[0].get("upload") if records else None
        if not isinstance(upload, str):
            return None
        try:
            parts = await self._bucket.parts(self._key, upload)
        except NotFound:
            return None
        # The store says what it has; a part of another length is of another division.
        for number, part in parts.items():
            if part.size == self._length(number):
                self._e_tags[number], self._sent[number] = part.e_tag, part.size
        await self._report(0, 0)
        return upload

    async def _begun(self) -> str:
        upload = await self._bucket.begin(self._key)
        if self._journal is not None:
            await self._threads.run(self._journal.restart, {"upload": upload})
        return upload

    async def _work(self, upload: str, missing: deque[int]) -> None:
        while missing:
            number = missing.popleft()
            start, length = (number - 1) * self._part_size, self._length(number)
            body = Body(partial(self._file.part, self._threads, start, length), length)
            self._e_tags[number] = await self._bucket.put_part(
                self._key, upload, number, body, progress=partial(self._report, number)
            )

    async def _complete(self, upload: str, *, new_only: bool) -> bool:
        try:
            stored = await self._bucket.complete(self._key, upload, self._e_tags, new_only=new_only)
        except NotFound:
            # A lost answer: the upload that was completed is gone, and the object is there.
            found = await self._bucket.head(self._key)
            if found is None or found.size != self._size:
                raise
            return True
        if not stored:
            await self._give_up(upload)
        return stored

    async def _give_up(self, upload: str) -> None:
        try:
            await self._bucket.abort(self._key, upload)
        except CallsheetError as error:
            logger.warning("%s: its parts in the store were not removed (%s)", self._file.name, error)
        if self._journal is not None:
            await self._threads.run(self._journal.remove)

    async def _report(self, number: int, done: int) -> None:
        if number:
            self._sent[number] = done
        await self._progress(sum(self._sent.values()))

    def _length(self, number: int) -> int:
        return max(0, min(self._part_size, self._size - (number - 1) * self._part_size))
