"""Bytes on their way to Vidispine: small files in one request, large ones in chunks, in order.

https://apidoc.vidispine.com/latest/ref/item/import.html: chunks are requests under one transfer id, with the
headers `size` and `index`. One may be sent again, but the one that completes the file starts its job.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import attrs

from callsheet._errors import (
    CallsheetError,
    Denied,
    IntegrityError,
    NotFound,
    Outcome,
    QuotaExceeded,
    RateLimited,
    ResponseError,
    Unavailable,
)
from callsheet._files import CHUNK as READ
from callsheet._files import File, Pieces
from callsheet._http._messages import Answer, Body
from callsheet._journal import Journal
from callsheet._redaction import Secret
from callsheet.abc import Progress
from callsheet.providers.vidispine._once import once, settled
from callsheet.providers.vidispine._server import BYTES, Pairs, Row, Server

__all__ = ["CHUNK", "Destination", "Sent", "forget", "send", "sha1_of"]

logger = logging.getLogger("callsheet")

CHUNK = 8 << 20
"""Bytes of a chunk, held in memory; up to so many, a file goes in one request."""

Identity = tuple[str, int, int]


@attrs.frozen(kw_only=True)
class Destination:
    """Where a file goes.

    Attributes:
        path: The segments of its path.
        query: Returns what stands behind the path, under a key.
        find: Returns the document of what an earlier call has made under a key.
        named: The member of that document that holds its id.
        clear: Removes what another transfer has left in the way, as `find` saw it last.
        wish: What tells this upload of a file from other uploads of it, besides path and key.
        keeps_key: A transfer that goes on keeps the key that it was begun under; else it takes the new one.
    """

    path: tuple[str, ...]
    query: Callable[[str], Pairs]
    find: Callable[[str], Awaitable[Row | None]]
    named: str
    clear: Callable[[], Awaitable[None]] | None = None
    wish: tuple[str, ...] = ()
    keeps_key: bool = False


@attrs.frozen
class Sent:
    """What has come of a file.

    Attributes:
        document: Vidispine's, of the job or file.
        sha1: Of the bytes, in hex; `None` if they were not read, since it was there already.
    """

    document: Row
    sha1: str | None = None


@attrs.define
class _Transfer:
    """A transfer in chunks.

    Attributes:
        id: Under which the server keeps the chunks.
        key: Under which it was begun.
        done: Bytes that the server has said it has, from the first on, in whole chunks.
        whole: It had all of them, so that it may have made of them what was wanted.
    """

    id: str
    key: str
    done: int = 0
    whole: bool = False


async def send(server: Server, file: File, destination: Destination, *, key: str, progress: Progress) -> Sent:
    """Send a file where it belongs, once, and return what has come of it.

    A transfer in chunks of a file on disk that was cut off goes on when the same call is made within a week.

    Raises:
        IntegrityError: The source changed while it was read; nothing came of it.
        OSError: The source cannot be read.
    """
    size = await file.measure(server.threads)
    progress = _forwards(progress)
    if size > CHUNK:
        return await _InChunks(server, file, size, destination, key, progress).send()
    sha1 = hashlib.sha1(usedforsecurity=False)
    async with file.open(server.threads) as reader:
        data = await Pieces(reader, sha1.update).take(size)
        await reader.read()  # at its end, a source says whether it has changed

    async def make() -> Row:
        await _clear(destination)
        query = destination.query(key)
        return await _read(
            server, destination, partial(_post, server, destination, query, key, data, {}, progress)
        )

    return Sent(await once(server, make, partial(destination.find, key)), sha1.hexdigest())


async def forget(server: Server, file: File, destination: Destination, *, key: str) -> None:
    """Forget the transfer of what is there under a key: another call is not to take that for its own."""
    with suppress(OSError):  # the file is gone
        size = await file.measure(server.threads)
        if size > CHUNK:
            await _InChunks(server, file, size, destination, key, _nobody).forget()


async def _nobody(done: int) -> None:
    """Tell nobody how far it is."""


def _forwards(progress: Progress) -> Progress:
    """Return what is told each number of bytes once: what is sent again is not told again."""
    told = -1

    async def report(done: int) -> None:
        nonlocal told
        if done > told:
            told = done
            await progress(done)

    return report


async def sha1_of(server: Server, file: File) -> str:
    """Return the hash of a file's bytes, in hex.

    Raises:
        IntegrityError: The source changed while it was read.
        OSError: The source cannot be read.
    """
    sha1 = hashlib.sha1(usedforsecurity=False)
    async with file.open(server.threads) as reader:
        while await reader.read(sha1.update):
            pass
    return sha1.hexdigest()


class _InChunks:
    """A file on its way in chunks, one after the other."""

    def __init__(
        self, server: Server, file: File, size: int, destination: Destination, key: str, progress: Progress
    ) -> None:
        self._server = server
        self._file = file
        self._size = size
        self._destination = destination
        self._key = key
        self._progress = progress
        self._is_unsure = False

    async def send(self) -> Sent:
        async with AsyncExitStack() as stack:
            journal, identity = await self._journal()
            if journal is not None:
                stack.callback(journal.close)
            records = [] if journal is None else await self._server.threads.run(journal.records)
            sent = await self._found(records) or await self._sent(journal, identity, records)
            if journal is not None:
                await self._server.threads.run(journal.remove)
        return sent

    async def forget(self) -> None:
        """Remove the journal, if it is that of this key."""
        journal, _ = await self._journal()
        if journal is None:
            return
        try:
            records = await self._server.threads.run(journal.records)
            keys = {record.get(name) for record in records for name in ("key", "completing")}
            if not records or self._key in keys:
                await self._server.threads.run(journal.remove)
        finally:
            journal.close()

    async def _journal(self) -> tuple[Journal | None, Identity | None]:
        if not isinstance(self._file.source, Path):
            return None, None
        async with self._file.open(self._server.threads) as reader:
            identity = reader.identity
        assert identity is not None
        server, destination = self._server, self._destination
        words = [server.tracker, server.run_as or server.user, *destination.path, *destination.wish]
        try:
            return await server.threads.run(Journal.open, *words, *identity), identity
        except OSError as error:
            logger.warning(
                "%s could not be resumed if it were cut off: no journal (%s)", self._file.name, error
            )
            return None, identity

    async def _found(self, records: list[dict[str, Any]]) -> Sent | None:
        """Return what an earlier call has made whose last request was under way when it was killed."""
        for record in records:
            if isinstance(key := record.get("completing"), str):
                document = await self._destination.find(key)
                if document is not None:
                    return Sent(document)
        return None

    async def _sent(
        self, journal: Journal | None, identity: Identity | None, records: list[dict[str, Any]]
    ) -> Sent:
        transfer = await self._resumed(records)
        if transfer is not None:
            if transfer.whole and (sent := await settled(partial(self._found, records))) is not None:
                return sent
            try:
                return await self._go_on(transfer, journal, identity)
            except ResponseError as error:
                is_refusal = not isinstance(error, Unavailable | RateLimited | QuotaExceeded | Denied)
                if error.outcome is not Outcome.NOT_DONE or not is_refusal:
                    raise
                logger.info(
                    "%s: its transfer is dead, so it is sent from the start (%s)", self._file.name, error
                )
            finally:
                if transfer.whole:
                    await self._abandon(transfer)  # if it began anew with the chunk that had completed it
        await _clear(self._destination)
        transfer = _Transfer(str(uuid4()), self._key)
        if journal is not None:
            first = {"transfer": transfer.id, "key": transfer.key}
            await self._server.threads.run(journal.restart, first)
        try:
            return await self._go_on(transfer, journal, identity)
        except BaseException:
            if journal is None and not self._is_unsure:
                await self._abandon(transfer)
            raise

    async def _resumed(self, records: list[dict[str, Any]]) -> _Transfer | None:
        """Return the transfer that an earlier call has begun, if the server still has it."""
        id_, key = (records[0].get("transfer"), records[0].get("key")) if records else (None, None)
        noted = max((done for record in records if isinstance(done := record.get("done"), int)), default=0)
        if not isinstance(id_, str) or not isinstance(key, str):
            return None
        try:
            known = await self._server.read("transfer", id_)
        except (NotFound, Denied):
            return None
        there = known.get("transferred")
        there = there if isinstance(there, int) else 0
        done = min(noted, there)
        return _Transfer(id_, key, done - done % CHUNK, whole=there >= self._size)

    async def _go_on(self, transfer: _Transfer, journal: Journal | None, identity: Identity | None) -> Sent:
        """Send the chunks that the server lacks, while the whole file is hashed."""
        sha1 = hashlib.sha1(usedforsecurity=False)
        key = transfer.key if self._destination.keeps_key else self._key
        at = 0
        async with self._file.open(self._server.threads) as reader:
            if reader.identity != identity and identity is not None:
                raise IntegrityError(f"file {self._file.name!r} changed while it was sent")
            pieces = Pieces(reader, sha1.update)
            while True:
                data = await pieces.take(CHUNK)
                post = partial(self._post, transfer, key, at, data)
                if at + len(data) == self._size:
                    await reader.read()  # at its end, a source says whether it has changed
                    return Sent(await self._complete(journal, key, post), sha1.hexdigest())
                if at >= transfer.done:
                    await post(repeatable=True)
                    await self._note(journal, {"done": at + len(data)})
                at += len(data)
                await self._progress(at)

    async def _complete(
        self, journal: Journal | None, key: str, post: Callable[..., Awaitable[Answer]]
    ) -> Row:
        """Send the last chunk, and return what has come of them all: until that is known, anything may."""
        await self._note(journal, {"completing": key})
        make = partial(_read, self._server, self._destination, post)
        self._is_unsure = True
        try:
            return await once(self._server, make, partial(self._destination.find, key))
        except CallsheetError as error:
            self._is_unsure = error.outcome is not Outcome.NOT_DONE
            raise

    async def _post(
        self, transfer: _Transfer, key: str, at: int, data: bytes, *, repeatable: bool = False
    ) -> Answer:
        async def onward(done: int) -> None:
            await self._progress(at + done)

        query = [("transferId", transfer.id), *self._destination.query(key)]
        headers: dict[str, str | Secret] = {"size": str(self._size), "index": str(at)}
        return await _post(
            self._server, self._destination, query, key, data, headers, onward, repeatable=repeatable
        )

    async def _note(self, journal: Journal | None, record: dict[str, Any]) -> None:
        if journal is not None:
            await self._server.threads.run(journal.append, record)

    async def _abandon(self, transfer: _Transfer) -> None:
        """Remove the file that the server has begun to write, since nobody will go on with it.

        If all its bytes are there, it is left: it may be that of the job they were sent for.
        """
        with anyio.move_on_after(5, shield=True):
            try:
                known = await self._server.read("transfer", transfer.id)
                there, id_ = known.get("transferred"), known.get("fileId")
                if isinstance(id_, str) and isinstance(there, int) and there < self._size:
                    await self._server.remove("file", id_, "entity")
            except CallsheetError as error:
                logger.info("%s: what was sent of it may be left behind (%s)", self._file.name, error)


# -- requests ------------------------------------------------------------------------------------------------


async def _clear(destination: Destination) -> None:
    if destination.clear is not None:
        await destination.clear()


async def _post(
    server: Server,
    destination: Destination,
    query: Pairs,
    key: str,
    data: bytes,
    headers: dict[str, str | Secret],
    progress: Progress,
    *,
    repeatable: bool = False,
) -> Answer:
    return await server.call(
        "POST",
        *destination.path,
        query=query,
        body=Body(partial(_pieces, data), len(data)),
        headers={"content-type": BYTES, **headers},
        repeatable=repeatable,
        key=key,
        progress=progress,
    )


async def _read(server: Server, destination: Destination, post: Callable[[], Awaitable[Answer]]) -> Row:
    """Make the request that completes a file, and return the document it is answered with."""
    answer = await post()
    document = await server.document(answer)
    if not isinstance(document.get(destination.named), str):
        raise answer.unreadable("nothing that has come of the file", path=f"$.{destination.named}")
    return document


async def _pieces(data: bytes) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(data), READ):
        yield data[start : start + READ]
