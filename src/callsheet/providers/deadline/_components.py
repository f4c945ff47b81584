"""Files of Deadline's jobs: what they were given, and what they brought forth, by their manifests."""

from __future__ import annotations

import os
import re
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from callsheet._downloads import download
from callsheet._errors import IntegrityError, InvalidRequest, NotFound, Unsupported
from callsheet._http._download import Download
from callsheet._http._resuming import Resuming
from callsheet._models import Component, Job, Location, Position, Slice
from callsheet._together import together
from callsheet._transfers import OnProgress, checked_options, reporting
from callsheet.providers.deadline._farms import FarmCalls
from callsheet.providers.deadline._manifests import Entry, hash_of, read_manifest
from callsheet.providers.deadline._outputs import chosen, filled_in, missing, written
from callsheet.providers.deadline._storage import Storage
from callsheet.providers.deadline._trees import folders_of, left_over, places_of, set_time
from callsheet.providers.deadline.details import ManifestProperties, read_job

__all__ = ["DeadlineFile", "FileCalls"]

MANIFESTS_AT_ONCE = 8
SESSIONS_AT_ONCE = 8

DOWNLOADS_AT_ONCE = 8

MAX_LISTED = 8
"""Jobs whose files are remembered from one page of a listing to the next."""

_ID = re.compile(r"(job-[0-9a-f]{32})/(input|output)/([0-9]{1,3})/(.+)", re.DOTALL)
_HASH = re.compile(r"xxh128:([0-9a-zA-Z]+)")


@attrs.frozen(kw_only=True)
class DeadlineFile:
    """A file as a manifest has it.

    Attributes:
        path: Below the root, with `/` between its parts.
        hash: xxh128 of its bytes, by which the bucket has them.
        size: In bytes.
        modified_at: When it was last changed where it came from, in UTC.
        root_path: The root on the machine that the job was made on.
        root_path_format: `"posix"` or `"windows"`.
        file_system_location_name: The root's name in storage profiles.
    """

    path: str
    hash: str
    size: int
    modified_at: datetime
    root_path: str
    root_path_format: str
    file_system_location_name: str | None = None


@attrs.frozen
class _Source:
    """A manifest to be read, and what its files are to the job."""

    role: str
    index: int
    path: str
    hash: str | None
    at: datetime | None


class FileCalls(FarmCalls):
    """The calls of `callsheet.abc.Provider` that are about files."""

    _storage: Storage
    _listed: OrderedDict[str, list[Component]]

    # -- finding ---------------------------------------------------------------------------------------------

    async def page_components(
        self, *, job_id: str | None, location_id: str | None, after: Position | None, size: int
    ) -> Slice[Component]:
        """Return one page of a job's files: first its inputs, then outputs by the end of their tasks.

        Raises:
            NotFound: The job or location does not exist.
            Unsupported: No job was named: Deadline knows files by their jobs alone.
        """
        if location_id is not None:
            await self.get_location(location_id)
        if job_id is None:
            raise Unsupported("components.list", hint="components.list(job)", provider=self.name)
        known = None if after is None else self._listed.get(job_id)
        found = await self._files(await self._known(job_id)) if known is None else known
        start = 0 if after is None else bisect_right(found, (after.key, after.ids[-1]), key=_place)
        page = found[start : start + size]
        if start + size >= len(found):
            self._listed.pop(job_id, None)
            return Slice(page)
        self._listed[job_id] = found
        while len(self._listed) > MAX_LISTED:
            self._listed.popitem(last=False)
        key, id_ = _place(page[-1])
        return Slice(page, Position(key, (id_,)))

    async def get_component(self, component_id: str) -> Component:
        """Return the file as its job has it now, or raise `NotFound`."""
        match = _ID.fullmatch(component_id)
        if match is not None:
            for component in await self._files(await self._known(match[1]), roles={match[2]}):
                if component.id == component_id:
                    return component
        raise NotFound(f"there is no component {component_id!r}", provider=self.name)

    async def _files(self, job: Job, roles: Iterable[str] = ("input", "output")) -> list[Component]:
        """Return all files of a job in the order of listings."""
        attachments = read_job(job).attachments
        if attachments is None:
            return []
        roots = attachments.manifests
        sources = await self._sources(job, roots, set(roles))
        found: dict[int, list[Entry]] = {}
        queue = iter(enumerate(sources))

        async def work() -> None:
            for number, source in queue:
                found[number] = await self._manifest(source)

        await together([work] * min(MANIFESTS_AT_ONCE, len(sources)))
        location = (await self._storage.location()).id if sources else ""
        entries = [(source, found[number]) for number, source in enumerate(sources)]
        return await self._server.threads.run(_components, job, roots, entries, location)

    async def _sources(self, job: Job, roots: Sequence[ManifestProperties], roles: set[str]) -> list[_Source]:
        sources: list[_Source] = []
        if "input" in roles:
            sources += [
                _Source("input", index, root.input_manifest_path, root.input_manifest_hash, job.created_at)
                for index, root in enumerate(roots)
                if root.input_manifest_path
            ]
        if "output" in roles:
            threads = self._server.threads  # there may be as many as the job has frames
            actions = await threads.run(chosen, await self._actions(job.id))
            if missing(actions):
                prefix = await self._storage.manifest_key("")
                bucket = await self._storage.bucket()
                listed = await bucket.list(f"{prefix}{self._server.farm}/{self._server.queue}/{job.id}/")
                actions = await threads.run(filled_in, actions, roots, [one.key for one in listed], prefix)
            sources += [
                _Source("output", one.index, one.path, one.hash, one.at)
                for one in written(actions)
                if one.index < len(roots)
            ]
        return sources

    async def _actions(self, job_id: str) -> list[Any]:
        sessions = iter(await self.sessions(job_id))
        found: list[Any] = []

        async def work() -> None:
            for session in sessions:
                found.extend(await self.actions(job_id, session_id=session.session_id))

        await together([work] * SESSIONS_AT_ONCE)
        return found

    async def _manifest(self, source: _Source) -> list[Entry]:
        bucket = await self._storage.bucket()
        data, _ = await bucket.get(await self._storage.manifest_key(source.path), limit=MAX_MANIFEST)
        return await self._server.threads.run(_checked, data, source)

    # -- reading ---------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def read(self, component: Component, *, start: int = 0) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open the bytes of a file from `start` on; a connection that breaks is replaced."""
        hash_, bucket = _hash_of(component), await self._storage.bucket()

        async def begin(at: int) -> Download:
            left = None if component.size is None else component.size - at
            key = await self._storage.data_key(hash_)
            try:
                return await bucket.download(key, start=at, size=left).__aenter__()
            except NotFound:
                # Objects of long ago have no suffix.
                return await bucket.download(_bare(key), start=at, size=left).__aenter__()

        chunks = Resuming(
            begin,
            start=start,
            attempts=self._server.options.retry.attempts,
            name=component.name,
            provider=self.name,
        )
        async with chunks:
            yield chunks

    def folders(self, components: Sequence[Component]) -> list[str]:
        """Return the folder of each file below its root; files of several roots have one for each root."""
        return folders_of(components)

    async def download_outputs(
        self,
        job: Job | str,
        to: str | os.PathLike[str],
        *,
        on_progress: OnProgress | None = None,
        overwrite: bool = False,
    ) -> list[Path]:
        """Download all that a job has brought forth, in the folders it was written into; return the paths.

        Each file is written beside its place, verified, and renamed. A call that was killed goes on when it
        is made again: files that are there and are the same are left alone.

        Args:
            job: The job.
            to: The folder to write into, made if need be. Files of several roots get a folder for each root.
            on_progress: Called (and awaited, if async) with a `Transfer` for each file as it goes on.
            overwrite: Replace files that are there and differ.

        Raises:
            FileExistsError: A file is there, differs, and `overwrite` is false; nothing was downloaded.
            IntegrityError: The bytes do not match their hash, or a manifest leads out of the folder.
        """
        checked_options(None, None, on_progress)
        files = await self._files(await self._known(self._job_id(job)), roles={"output"})
        threads = self._server.threads
        places = await threads.run(places_of, files, Path(to))
        stopped = threading.Event()
        try:
            look = partial(left_over, places, overwrite=overwrite, is_stopped=stopped.is_set)
            rest = await threads.run(look, abandon=True)
        finally:
            stopped.set()
        queue = iter(rest.items())

        async def work() -> None:
            for place, component in queue:
                report = reporting(on_progress, component.raw["path"], component.size or 0)
                await download(self, component, place, threads=threads, report=report, overwrite=overwrite)
                await threads.run(set_time, place, component)

        await together([work] * min(DOWNLOADS_AT_ONCE, len(rest)))
        return list(places)

    async def component_url(self, component: Component, *, expires: float) -> str:
        """Return a link to the bytes of a file, signed with the queue's role, and good for as long as that.

        Raises:
            NotFound: The bucket does not have it any more.
        """
        key = await self._storage.data_key(_hash_of(component))
        bucket = await self._storage.bucket()
        for name in (key, _bare(key)):
            if await bucket.head(name) is not None:
                return await bucket.link(name, expires=expires)
        raise NotFound(f"{component.name}: the bucket has no {key}", provider=self.name)

    # -- locations -------------------------------------------------------------------------------------------

    async def page_locations(self, *, after: Position | None, size: int) -> Slice[Location]:
        """Return the queue's bucket, if it has one."""
        if after is not None or not await self._storage.exists():
            return Slice([])
        return Slice([await self._storage.location()])

    async def get_location(self, name_or_id: str) -> Location:
        """Return the queue's bucket by its name, or by name and prefix; or raise `NotFound`."""
        for location in (await self.page_locations(after=None, size=1)).items:
            if name_or_id in {location.id, location.name}:
                return location
        raise NotFound(f"there is no location {name_or_id!r}", provider=self.name)


MAX_MANIFEST = 256 << 20
"""Bytes of a manifest: about a million files."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_file(component: Component) -> DeadlineFile:
    """Return a component as its manifest has it."""
    raw = component.raw
    return DeadlineFile(
        path=raw["path"],
        hash=raw["hash"],
        size=raw["size"],
        modified_at=EPOCH + timedelta(microseconds=raw["mtime"]),
        root_path=raw["rootPath"],
        root_path_format=raw["rootPathFormat"],
        file_system_location_name=raw.get("fileSystemLocationName"),
    )


def _checked(data: bytes, source: _Source) -> list[Entry]:
    if source.hash and hash_of(data) != source.hash:
        raise IntegrityError(f"manifest {source.path}: its bytes do not match xxh128:{source.hash}")
    return read_manifest(data, source.path)


def _components(
    job: Job,
    roots: Sequence[ManifestProperties],
    entries: Iterable[tuple[_Source, list[Entry]]],
    location: str,
) -> list[Component]:
    """Return the components of the files; a path that was written more than once has its last content."""
    found: dict[str, Component] = {}
    for source, files in entries:
        root = roots[source.index]
        place = {"rootPath": root.root_path, "rootPathFormat": root.root_path_format}
        if root.file_system_location_name is not None:
            place["fileSystemLocationName"] = root.file_system_location_name
        for entry in files:
            id_ = f"{job.id}/{source.role}/{source.index}/{entry.path}"
            found[id_] = Component(
                id=id_,
                name=entry.path.rpartition("/")[2],
                size=entry.size,
                checksum=f"xxh128:{entry.hash}",
                role=source.role,
                job_id=job.id,
                location_id=location,
                created_at=source.at,
                raw={**entry._asdict(), **place},
                reader=read_file,
            )
    return sorted(found.values(), key=_place)


def _place(component: Component) -> tuple[str, str]:
    return "" if component.created_at is None else component.created_at.isoformat(), component.id


def _hash_of(component: Component) -> str:
    match = _HASH.fullmatch(component.checksum or "")
    if match is None:
        raise InvalidRequest(
            f"component {component.id!r} has no xxh128, by which Deadline's bucket knows files"
        )
    return match[1]


def _bare(key: str) -> str:
    return key.removesuffix(".xxh128")
