"""What can be done with Vidispine's files, as components, and with its storages, as locations."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from callsheet._errors import InvalidRequest, InvalidResponse, NotFound, Unsupported
from callsheet._files import File, FrameSequence
from callsheet._http._download import Download
from callsheet._http._resuming import Resuming
from callsheet._models import Component, Location, Position, Slice
from callsheet.abc import Progress, Provider
from callsheet.providers.vidispine import _files_wire as wire
from callsheet.providers.vidispine._chunks import CHUNK
from callsheet.providers.vidispine._listed import Files
from callsheet.providers.vidispine._server import Row, Server, path_of
from callsheet.providers.vidispine._shape import entries
from callsheet.providers.vidispine._uploads import upload

__all__ = ["ComponentCalls"]

LONGEST = 720 * 60
"""Seconds that a temporary link may live."""


class ComponentCalls(Provider):
    """The calls of `callsheet.abc.Provider` that are about components and locations."""

    memory_per_upload = 2 * CHUNK
    _server: Server

    # -- uploading -------------------------------------------------------------------------------------------

    async def upload(
        self, file: File | FrameSequence, *, location: str | None, key: str, progress: Progress
    ) -> Component:
        """Send a file to a storage, into a folder of its own; it belongs to no item.

        An upload in chunks that was cut off goes on when the same file is uploaded again within a week; it
        then keeps the path that its first key gave it.

        Raises:
            Unsupported: A frame sequence: Vidispine keeps files one by one.
            NotFound: There is no such storage.
            Conflict: The key was used with another file.
            IntegrityError: The source changed while it was read.
            OSError: The source cannot be read.
        """
        if isinstance(file, FrameSequence):
            raise Unsupported("upload(frames=)", hint=self.hints["upload(frames=)"], provider=self.name)
        storage = None if location is None else (await self.get_location(location)).id
        async with self._server.lock(key):
            row = await upload(self._server, file, storage, key=key, progress=progress)
        return wire.component_of(row)

    # -- finding ---------------------------------------------------------------------------------------------

    async def page_components(
        self, *, job_id: str | None, location_id: str | None, after: Position | None, size: int
    ) -> Slice[Component]:
        """Return one page of files, by the numbers of their ids, which grow as files are made.

        Those of a job are the files that it names itself, its inputs first, and those of its item. Files that
        are still being written, or that are going to be deleted, are left out.

        Raises:
            NotFound: The job or storage does not exist.
        """
        if job_id is not None:
            return _slice_of(await self._of_job(job_id, location_id), after, size)
        base = ("storage", "file") if location_id is None else ("storage", location_id, "file")
        return await Files(self._server, base).page(after, size)

    async def _of_job(self, job_id: str, location_id: str | None) -> list[Component]:
        job = await self._server.read(*path_of(job_id), query=[("metadata", "true")])
        if location_id is not None:
            await self._server.read("storage", location_id)
        own = wire.own_files(job)
        rows = {row["id"]: row for row in await self._of_item(own.item)}
        for id_ in (*own.inputs, *own.outputs, *rows):
            if not rows.get(id_, {}).get("storage"):
                rows[id_] = await self._file(id_) or {}
        found = [
            wire.component_of(row, job_id=job_id, role=own.role_of(id_), name=own.name_of(id_))
            for id_, row in rows.items()
            if row and wire.is_whole(row) and location_id in (None, row.get("storage"))
        ]
        return sorted(found, key=lambda one: _place(one.role, one.id))

    async def _of_item(self, item: str | None) -> list[Mapping[str, Any]]:
        if item is None:
            return []
        try:
            return wire.files_of_item(await self._server.read("item", item, query=[("content", "shape")]))
        except NotFound:
            return []  # it has been deleted since

    async def _file(self, file_id: str) -> Row | None:
        try:
            row = _named(await self._server.read("file", file_id), f"file {file_id}")
        except NotFound:
            return None
        return None if wire.is_gone(row) else row

    async def get_component(self, component_id: str) -> Component:
        """Return the file; which jobs named it, Vidispine does not tell.

        Raises:
            NotFound: There is none of that id, or it is going to be deleted.
        """
        row = await self._file(component_id)
        if row is None:
            raise NotFound(f"there is no component {component_id!r}", provider=self.name)
        return wire.component_of(row)

    # -- bytes -----------------------------------------------------------------------------------------------

    def read(
        self, component: Component, *, start: int = 0
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open the file's bytes from `start` on; a server that gives no parts has the rest skipped."""
        return self._reading(component, start)

    @asynccontextmanager
    async def _reading(self, component: Component, start: int) -> AsyncIterator[AsyncIterator[bytes]]:
        server = self._server

        async def begin(at: int) -> Download:
            left = None if component.size is None else component.size - at
            return await server.download("file", component.id, "data", start=at, size=left).__aenter__()

        attempts = server.http.options.retry.attempts
        async with Resuming(
            begin, start=start, attempts=attempts, name=component.name, provider=self.name
        ) as chunks:
            yield chunks

    async def component_url(self, component: Component, *, expires: float) -> str:
        """Return a temporary link, good for `expires` seconds, rounded up to minutes.

        Raises:
            InvalidRequest: Longer than the 12 hours that Vidispine grants.
            NotFound: There is no such file, or no link that anybody can follow leads to it.
        """
        if expires > LONGEST:
            raise InvalidRequest(f"expires: Vidispine's links live for {LONGEST} seconds at most")
        minutes = [("duration", str(math.ceil(expires / 60)))]
        answer = await self._server.call("POST", "file", component.id, "uri", query=minutes, repeatable=True)
        link = wire.link_of((await self._server.document(answer)).get("uri"))
        if link is None:
            raise NotFound(
                f"{component.name}: no link leads to it that is free to hand out", provider=self.name
            )
        return link

    # -- removing --------------------------------------------------------------------------------------------

    async def delete_component(self, component_id: str) -> None:
        """Start the job that deletes the file, from its storage and every item.

        Raises:
            NotFound: There is none of that id, or it is going to be deleted already.
        """
        await self.get_component(component_id)
        await self._server.remove("file", component_id)

    # -- locations -------------------------------------------------------------------------------------------

    async def page_locations(self, *, after: Position | None, size: int) -> Slice[Location]:
        """Return one page of storages, by name. All are read for it: a studio has few."""
        place = ("", "") if after is None else (after.key, after.ids[-1])
        wanted = [one for one in await self._storages() if (one.name, one.id) > place]
        page, more = wanted[:size], len(wanted) > size
        return Slice(page, Position(page[-1].name, (page[-1].id,)) if more else None)

    async def _storages(self) -> list[Location]:
        found = await self._server.read("storage")
        rows = [row for row in entries(found.get("storage")) if isinstance(row.get("id"), str)]
        return sorted(map(wire.location_of, rows), key=lambda one: (one.name, one.id))

    async def get_location(self, name_or_id: str) -> Location:
        """Return the storage of that id or, if there is none, of that name.

        Raises:
            NotFound: There is none.
        """
        if name_or_id != "file":  # which leads to the files of all storages
            try:
                row = await self._server.read("storage", name_or_id)
                return wire.location_of(_named(row, f"storage {name_or_id}"))
            except NotFound:
                pass  # it is a name
        named = [one for one in await self._storages() if one.name == name_or_id]
        if not named:
            raise NotFound(f"there is no location {name_or_id!r}", provider=self.name)
        return named[0]


def _named(row: Row, what: str) -> Row:
    if not isinstance(row.get("id"), str):
        raise InvalidResponse(f"{what}: Vidispine answered without an id", path="$.id", provider="vidispine")
    return row


def _place(role: str | None, file_id: str) -> tuple[bool, float, str]:
    """Return a place among a job's files: its inputs come first, then the others."""
    return role != "input", wire.number_of(file_id), file_id


def _slice_of(found: Sequence[Component], after: Position | None, size: int) -> Slice[Component]:
    """Return one page of what has been read whole: behind a file, or behind where it was if it is gone."""
    if after is not None:
        last = after.ids[-1]
        place = next((_place(one.role, last) for one in found if one.id == last), _place(after.key, last))
        found = [one for one in found if _place(one.role, one.id) > place]
    page = found[:size]
    return Slice(page, Position(str(page[-1].role), (page[-1].id,)) if size < len(found) else None)
