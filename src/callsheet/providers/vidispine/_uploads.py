"""Files on their way to a storage: each in a folder that follows from its key, so that it is found again."""

from __future__ import annotations

import logging
import uuid
from contextlib import suppress
from functools import partial

from callsheet._errors import CallsheetError, Conflict, IntegrityError, NotFound
from callsheet._files import File
from callsheet._http._trail import done
from callsheet.abc import Progress
from callsheet.providers.vidispine._chunks import CHUNK, Destination, Sent, forget, send, sha1_of
from callsheet.providers.vidispine._files_wire import (
    checksum_of,
    fields,
    file_name_of,
    is_whole,
    size_of,
)
from callsheet.providers.vidispine._once import looked_for, settled
from callsheet.providers.vidispine._server import Pairs, Row, Server
from callsheet.providers.vidispine._shape import entries
from callsheet.providers.vidispine.file_details import metadata_of

__all__ = ["upload"]

logger = logging.getLogger("callsheet")

FOLDER = "callsheet"
"""Where on a storage uploads go."""


async def upload(server: Server, file: File, storage: str | None, *, key: str, progress: Progress) -> Row:
    """Send a file to a storage, or to one that the server chooses, and return Vidispine's document of it.

    Raises:
        Conflict: The key was used with another file.
        IntegrityError: The source changed while it was read, or what arrived is not what was sent.
        OSError: The source cannot be read.
    """
    return await _Upload(server, file, storage).send(key, progress)


class _Upload:
    """One file, and the storage it goes to."""

    def __init__(self, server: Server, file: File, storage: str | None) -> None:
        self._server = server
        self._file = file
        self._place = ("storage",) if storage is None else ("storage", storage)
        self._name, self._note = file_name_of(file.name)
        self._remains: list[str] = []

    async def send(self, key: str, progress: Progress) -> Row:
        size = await self._file.measure(self._server.threads)
        destination = Destination(
            path=(*self._place, "file", "data"),
            query=self._query,
            find=self._find,
            named="id",
            clear=self._clear,
            wish=(self._file.name,),
            keeps_key=True,
        )
        found = await looked_for(self._server, key, partial(self._find, key))
        if found is not None:
            row = await self._known(found, size, key)
            await forget(self._server, self._file, destination, key=key)
            return row
        try:
            sent = await send(self._server, self._file, destination, key=key, progress=progress)
        except Conflict as error:
            is_taken = error.code == "fileAlreadyExists"
            if not is_taken or (found := await settled(partial(self._find, key))) is None:
                raise
            return await self._known(found, size, key)
        with done():
            if self._is_same(sent.document, size, sent.sha1):
                row = await self._noted(sent)
                if self._is_same(row, size, sent.sha1):
                    return row
        await self._discard(sent.document["id"])
        raise IntegrityError(f"file {self._file.name!r} did not arrive as it was sent; it was deleted there")

    async def _known(self, found: Row, size: int, key: str) -> Row:
        """Return the document of the file that is there under the key, if it is this one."""
        sha1 = await sha1_of(self._server, self._file) if size <= CHUNK else None
        if not self._is_same(found, size, sha1):
            raise Conflict(f"the idempotency key {key!r} was used with another file", provider="vidispine")
        return await self._noted(Sent(found, sha1))

    async def _find(self, key: str) -> Row | None:
        """Return the file that was uploaded under a key, if it is whole."""
        asked = [("path", self._folder(key)), ("number", "10"), ("first", "0")]
        document = await self._server.read(*self._place, "file", query=asked)
        below = f"{self._folder(key)}/"
        rows = [row for row in entries(document.get("file")) if str(row.get("path", "")).startswith(below)]
        self._remains = [row["id"] for row in rows if "id" in row and not is_whole(row)]
        return next((row for row in rows if "id" in row and is_whole(row)), None)

    async def _clear(self) -> None:
        """Remove what a transfer has left of this file that nobody can go on with."""
        for id_ in self._remains:
            with suppress(NotFound):  # somebody else has
                await self._server.remove("file", id_, "entity")
        self._remains = []

    def _query(self, key: str) -> Pairs:
        return [("path", f"{self._folder(key)}/{self._name}")]

    def _folder(self, key: str) -> str:
        return f"{FOLDER}/{uuid.uuid5(uuid.NAMESPACE_URL, f'{self._server.tracker}/{key}')}"

    def _is_same(self, row: Row, size: int, sha1: str | None) -> bool:
        """Tell whether a document is of this file, as far as it tells."""
        checksum = checksum_of(row.get("hash")) or ""
        return (
            size_of(row) in (None, size)
            and str(row.get("path", self._name)).endswith(self._name)
            and (sha1 is None or not checksum.startswith("sha1:") or checksum == f"sha1:{sha1}")
        )

    async def _noted(self, sent: Sent) -> Row:
        """Note on the file what the server does not know of it, and return its document."""
        row, id_ = sent.document, sent.document["id"]
        if self._note.items() - metadata_of(row).items():
            await self._server.call(
                "PUT", "file", id_, "metadata", content=fields(self._note), repeatable=True
            )
        if sent.sha1 is not None and not row.get("hash"):
            await self._server.call("PUT", "file", id_, "hash", sent.sha1, repeatable=True)
        return await self._server.read("file", id_)

    async def _discard(self, file_id: str) -> None:
        try:
            await self._server.remove("file", file_id)
        except CallsheetError as error:
            logger.warning("file %s, which did not arrive whole, could not be deleted: %s", file_id, error)
