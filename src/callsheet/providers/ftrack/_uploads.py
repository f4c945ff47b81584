"""Bytes on their way into `ftrack.server`: small files in one piece, large ones in parts."""

from __future__ import annotations

import base64
import hashlib
import logging
import re
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from callsheet._errors import (
    IntegrityError,
    InvalidResponse,
    QuotaExceeded,
    RateLimited,
    ResponseError,
    Unavailable,
)
from callsheet._files import CHUNK, File, Pieces
from callsheet._http._messages import Answer, Body
from callsheet._models import Component
from callsheet._together import together
from callsheet.abc import Progress
from callsheet.providers.ftrack._journal import Journal, Session
from callsheet.providers.ftrack._operations import Operation, query
from callsheet.providers.ftrack._query import Query
from callsheet.providers.ftrack._server import Server
from callsheet.providers.ftrack._wire import SERVER_LOCATION, component_of

__all__ = ["WHOLE", "Existing", "Stored", "Uploads", "part_size_for"]

logger = logging.getLogger("callsheet")

MIB = 1 << 20
WHOLE = 16 * MIB
"""Up to this size a file is read, hashed and sent in one piece."""

AT_ONCE = 6
"""Parts of one file in flight, as in ftrack's own web client."""

MAX_PARTS = 10_000
# ftrack's web client (uploader, get_chunk_size): up to so many bytes, parts of that many.
_PART_SIZES = ((128 * MIB, 8 * MIB), (1 << 30, 16 * MIB), (8 << 30, 32 * MIB), (64 << 30, 64 * MIB))
_LARGEST_PART = 128 * MIB


def part_size_for(size: int, *, buffered: bool = False) -> int:
    """Return how many bytes each part of a file has.

    Args:
        size: The file's size.
        buffered: Its parts have to be held in memory, so they are of at most 16 MiB as long as that makes no
            more parts than storages take.
    """
    found = next((part for most, part in _PART_SIZES if size <= most), _LARGEST_PART)
    return min(found, WHOLE) if buffered and size <= WHOLE * MAX_PARTS else found


@attrs.frozen
class Stored:
    """Bytes that the storage has.

    Attributes:
        id: The component that they are for.
        name: The file's name.
        size: How many they are.
        checksum: As `md5:hex`.
        finish: What still has to be said to the server, in the batch that makes the component.
        journal: Of the upload, to be removed once that is done.
        resumed: Part of it was sent by an earlier call.
    """

    id: str
    name: str
    size: int
    checksum: str
    finish: tuple[Operation, ...] = ()
    journal: Journal | None = None
    resumed: bool = False


@attrs.frozen
class Existing:
    """A component that was there already, with the checksum of what was to be sent, if that was read."""

    component: Component
    checksum: str | None = None


class Uploads:
    """Sends files to the storage of one server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._threads = server.threads

    async def store_new(
        self, file: File, id_: str, there: Query, stack: AsyncExitStack, progress: Progress
    ) -> Stored | Existing:
        """As `store`, unless `there` finds that the component exists."""
        size = await file.measure(self._threads)
        if size <= WHOLE:
            return await self._whole(file, size, id_, progress, there)
        if found := (await self._server.find(there)).read(0, component_of):
            return Existing(found[0])
        return await self.store(file, id_, stack, progress)

    async def store(self, file: File, id_: str, stack: AsyncExitStack, progress: Progress) -> Stored:
        """Send the file's bytes to the storage.

        Args:
            file: The file.
            id_: The component that they are for; an upload that goes on keeps the one it was begun with.
            stack: Closes the journal, which must live until the component is made.
            progress: Awaited with the bytes done.
        """
        size = await file.measure(self._threads)
        if size <= WHOLE:
            whole = await self._whole(file, size, id_, progress)
            assert isinstance(whole, Stored)
            return whole
        if isinstance(file.source, Path | bytes):
            return await _InParts(self._server, file, size, progress).send(id_, stack)
        return await self._buffered(file, size, id_, progress)

    async def _whole(
        self, file: File, size: int, id_: str, progress: Progress, there: Query | None = None
    ) -> Stored | Existing:
        md5 = hashlib.md5(usedforsecurity=False)
        async with file.open(self._threads) as reader:
            data = await Pieces(reader, md5.update).take(size)
            await reader.read()  # at its end, a source says whether it has changed
        metadata = _upload_metadata(id_, file.name, size, checksum=base64.b64encode(md5.digest()).decode())
        checksum = f"md5:{md5.hexdigest()}"
        asked = [] if there is None else [query(there)]
        results = await self._server.call([metadata, *asked], name="get_upload_metadata")
        if asked and (found := results.read(1, component_of)):
            return Existing(found[0], checksum)
        target = results.get(0, dict)
        try:
            url, headers = _url(target["url"]), {name: str(text) for name, text in target["headers"].items()}
        except (KeyError, TypeError, AttributeError) as exc:
            raise InvalidResponse(
                "get_upload_metadata told no url and headers", path="$[0]", provider="ftrack"
            ) from exc
        await put(self._server, url, _body(data), headers, progress)
        return Stored(id_, file.name, size, checksum)

    async def _buffered(self, file: File, size: int, id_: str, progress: Progress) -> Stored:
        """Send parts one after the other, each held in memory: the source can be read only once."""
        session = await begin(self._server, file.name, size, id_, part_size_for(size, buffered=True))
        md5 = hashlib.md5(usedforsecurity=False)
        done = 0

        async def onward(sent: int) -> None:
            await progress(done + sent)

        async with file.open(self._threads) as reader:
            pieces = Pieces(reader, md5.update)
            for number, url in enumerate(session.urls, 1):
                data = await pieces.take(session.part_size)
                if number == len(session.urls):
                    await reader.read()
                session.e_tags[number] = await put_part(self._server, url, _body(data), onward)
                done += len(data)
        return Stored(id_, file.name, size, f"md5:{md5.hexdigest()}", (_complete(session),))


class _InParts:
    """A file that can be read at any place, on its way in parts: several at once, resumed if need be."""

    def __init__(self, server: Server, file: File, size: int, progress: Progress) -> None:
        self._server = server
        self._threads = server.threads
        self._file = file
        self._size = size
        self._progress = progress
        self._sent: dict[int, int] = {}

    async def send(self, id_: str, stack: AsyncExitStack) -> Stored:
        async with self._file.open(self._threads) as reader:
            identity = reader.identity
        journal = await self._journal(identity)
        if journal is not None:
            stack.callback(journal.close)
        session = await self._threads.run(journal.read) if journal is not None else None
        if session is not None and len(session.urls) != self._parts(session.part_size):
            session = None
        if session is not None:
            try:
                return await self._finish(session, journal, identity)
            except ResponseError as error:
                if isinstance(error, Unavailable | RateLimited | QuotaExceeded):
                    raise
                logger.info(
                    "%s: its links are dead, so it is sent from the start (%s)", self._file.name, error
                )
        part_size = part_size_for(self._size)
        session = await begin(self._server, self._file.name, self._size, id_, part_size)
        if journal is not None:
            await self._threads.run(journal.begin, session)
        return await self._finish(session, journal, identity)

    async def _journal(self, identity: tuple[str, int, int] | None) -> Journal | None:
        if identity is None:
            return None
        try:
            return await self._threads.run(Journal.open, self._server.tracker, SERVER_LOCATION, *identity)
        except OSError as error:
            logger.warning(
                "%s could not be resumed if it were cut off: no journal (%s)", self._file.name, error
            )
            return None

    async def _finish(
        self, session: Session, journal: Journal | None, identity: tuple[str, int, int] | None
    ) -> Stored:
        """Send the parts that the storage lacks, while the whole file is hashed."""
        self._sent = {number: self._length(session, number) for number in session.e_tags}
        await self._progress(sum(self._sent.values()))
        missing = deque(number for number in range(1, len(session.urls) + 1) if number not in session.e_tags)
        md5 = hashlib.md5(usedforsecurity=False)
        workers = [partial(self._work, session, journal, missing) for _ in range(min(AT_ONCE, len(missing)))]
        await together([partial(self._hash, md5.update), *workers])
        async with self._file.open(self._threads) as reader:
            if reader.identity != identity:
                raise IntegrityError(
                    f"file {self._file.name!r} changed while it was sent; nothing of it was kept"
                )
        return Stored(
            session.component_id,
            self._file.name,
            self._size,
            f"md5:{md5.hexdigest()}",
            (_complete(session),),
            journal,
            session.resumed,
        )

    async def _hash(self, update: Callable[[bytes], object]) -> None:
        # A second reading, beside the parts': it comes out of the cache, and no part waits for another.
        async with self._file.open(self._threads) as reader:
            while await reader.read(update):
                pass

    async def _work(self, session: Session, journal: Journal | None, missing: deque[int]) -> None:
        while missing:
            number = missing.popleft()
            start, length = (number - 1) * session.part_size, self._length(session, number)
            body = Body(partial(self._file.part, self._threads, start, length), length)
            e_tag = await put_part(
                self._server, session.urls[number - 1], body, partial(self._report, number)
            )
            if journal is not None:
                await self._threads.run(journal.note, number, e_tag)
            session.e_tags[number] = e_tag

    async def _report(self, number: int, done: int) -> None:
        self._sent[number] = done
        await self._progress(sum(self._sent.values()))

    def _length(self, session: Session, number: int) -> int:
        return min(session.part_size, self._size - (number - 1) * session.part_size)

    def _parts(self, part_size: int) -> int:
        return -(-self._size // part_size)


# -- what is said to the server ------------------------------------------------------------------------------


async def begin(server: Server, name: str, size: int, id_: str, part_size: int) -> Session:
    """Agree with the server on an upload in parts."""
    parts = -(-size // part_size)
    results = await server.call([_upload_metadata(id_, name, size, parts=parts)])
    found = results.get(0, dict)
    try:
        urls = {entry["part_number"]: _url(entry["signed_url"]) for entry in found["urls"]}
        return Session(id_, found["upload_id"], part_size, [urls[number] for number in range(1, parts + 1)])
    except (KeyError, TypeError) as exc:
        raise InvalidResponse(
            f"get_upload_metadata told no links for {parts} parts", path="$[0]", provider="ftrack"
        ) from exc


def _url(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a URL that is no text")
    return value


async def put(server: Server, url: str, body: Body, headers: dict[str, str], progress: Progress) -> Answer:
    """Send bytes to a link that the server gave out; elsewhere, they go without its credentials."""
    return await server.http.send(
        "PUT", url, headers=headers, body=body, repeatable=True, progress=progress, operation="put"
    )


async def put_part(server: Server, url: str, body: Body, progress: Progress) -> str:
    """Send one part, and return the storage's tag of it."""
    answer = await put(server, url, body, {}, progress)
    e_tag = answer.headers.get("etag", "").strip('"')
    if not e_tag:
        raise answer.unreadable("no ETag for a part")
    return e_tag


def _upload_metadata(id_: str, name: str, size: int, **more: Any) -> Operation:
    # It becomes part of a header, so it must be plain; the component has the name as it is.
    plain = re.sub(r'[^ -~]|["\\]', "_", name)
    return {
        "action": "get_upload_metadata",
        "component_id": id_,
        "file_name": plain,
        "file_size": size,
        **more,
    }


def _complete(session: Session) -> Operation:
    return {
        "action": "complete_multipart_upload",
        "component_id": session.component_id,
        "upload_id": session.upload_id,
        "parts": [
            {"part_number": number, "e_tag": e_tag} for number, e_tag in sorted(session.e_tags.items())
        ],
    }


# -- bytes ---------------------------------------------------------------------------------------------------


def _body(data: bytes) -> Body:
    return Body(partial(_chunks, data), len(data))


async def _chunks(data: bytes) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(data), CHUNK):
        yield data[start : start + CHUNK]
