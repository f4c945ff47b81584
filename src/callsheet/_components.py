"""`client.components`: the files that a tracker keeps."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from callsheet import _checks
from callsheet._door import Door, new_key
from callsheet._downloads import download, opened, target_of
from callsheet._errors import InvalidRequest
from callsheet._files import FrameSequence
from callsheet._listing import Listing, Query
from callsheet._models import Component, Job
from callsheet._threads import Threads
from callsheet._transfers import OnProgress, as_file, checked_options, reporting

__all__ = ["Components"]


class Components:
    """The files of one tracker. Wherever a component is taken, its id will do."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def list(
        self,
        job: Job | str | None = None,
        location: str | None = None,
        *,
        page_size: int | None = None,
        cursor: str | None = None,
    ) -> Listing[Component]:
        """Return components in the order of their creation: of a job, of a location, or all.

        Args:
            location: Its id.
        """
        job_id = None if job is None else self._door.job_id(job)
        location_id = _checks.optional_text(location, "location")
        self._door.require("components.list")
        query = Query(
            fetch=partial(self._page, job_id, location_id),
            key=_creation,
            tracker=self._door.provider.tracker,
            fingerprint=f"components/{job_id or ''}/{location_id or ''}",
            size=_checks.page_size(page_size, self._door.provider.page_size),
            total_order=self._door.provider.components_total_order,
        )
        return Listing(query, cursor=cursor)

    async def get(self, component: Component | str) -> Component:
        """Return the component as it is now.

        Raises:
            NotFound: There is no such component.
        """
        self._door.require("components.get")
        with self._door.calling():
            return await self._door.provider.get_component(_id(component))

    async def upload(
        self,
        file: Any,
        *,
        location: str | None = None,
        idempotency_key: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> Component:
        """Upload one file and return its component, attached to no job yet.

        Args:
            file: A path, `File` or `FrameSequence`.
            location: Name or id of where its bytes shall live.
            idempotency_key: Repeating an upload with its key returns the same component.
            on_progress: Called (and awaited, if async) with a `Transfer` as the file goes on.

        Raises:
            InvalidRequest: Not a file; the message names it.
            Unsupported: A `FrameSequence`, of which this tracker cannot make one component.
            IntegrityError: The file changed while it was read.
        """
        source = as_file(file)
        if isinstance(source, Component):
            raise InvalidRequest(f"component {source.id} is uploaded already")
        checked_options(location, None, on_progress)
        key = _checks.optional_text(idempotency_key, "idempotency_key") or new_key()
        self._door.require("upload", *(["frames"] if isinstance(source, FrameSequence) else []))
        with self._door.calling(key):
            size = await source.measure(Threads(1))
            report = reporting(on_progress, source.name, size)
            return await self._door.provider.upload(source, location=location, key=key, progress=report)

    async def delete(self, component: Component | str) -> None:
        """Remove the component from the tracker and from every job."""
        self._door.require("components.delete")
        with self._door.calling():
            await self._door.provider.delete_component(_id(component))

    async def download(
        self,
        component: Component | str,
        to: str | os.PathLike[str],
        *,
        on_progress: OnProgress | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Download a component and return its path; a frame sequence becomes a folder.

        The bytes are written beside the target as `.NAME.part`, verified, and renamed: a file at its final
        name is complete. A download that was killed continues when it is called again.

        Args:
            to: An existing folder, or a path with a trailing `/`: into it, under a safe form of the
                component's name. Anything else is the file itself.
            on_progress: Called (and awaited, if async) with a `Transfer` as it goes on.
            overwrite: Replace what is there.

        Raises:
            FileExistsError: Something is there, and `overwrite` is false.
            NotADirectoryError: What should be a folder is a file.
            IntegrityError: The bytes do not match the component's size or checksum; nothing was kept.
        """
        checked_options(None, None, on_progress)
        self._door.require("download")
        threads = Threads(2)
        with self._door.calling():
            known = await self._known(component)
            target = await threads.run(target_of, to, known.name)
            report = reporting(on_progress, known.name, known.size or 0)
            return await download(
                self._door.provider, known, target, threads=threads, report=report, overwrite=overwrite
            )

    def open(self, component: Component | str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open a component for reading, in chunks of at most 1 MiB.

        Size and checksum are verified with the last chunk: `IntegrityError` is raised instead of the end.
        """
        self._door.require("open")
        return self._opened(component)

    async def url(self, component: Component | str, *, expires: float = 3600) -> str:
        """Return a link that reads the component's bytes, good for `expires` seconds; no secret that lasts.

        On a local folder it is a `file:` address.
        """
        seconds = _checks.seconds(expires, "expires", low=1)
        self._door.require("components.url")
        with self._door.calling():
            return await self._door.provider.component_url(await self._known(component), expires=seconds)

    @asynccontextmanager
    async def _opened(self, component: Component | str) -> AsyncIterator[AsyncIterator[bytes]]:
        with self._door.calling():
            async with opened(self._door.provider, await self._known(component), Threads(1)) as chunks:
                yield chunks

    async def _known(self, component: Component | str) -> Component:
        if isinstance(component, Component):
            return component
        return await self._door.provider.get_component(_id(component))

    async def _page(self, job_id: str | None, location_id: str | None, after: Any, size: int) -> Any:
        self._door.require("components.list")
        with self._door.calling():
            return await self._door.provider.page_components(
                job_id=job_id, location_id=location_id, after=after, size=size
            )


def _id(component: Component | str) -> str:
    return component.id if isinstance(component, Component) else _checks.identity(component, "component")


def _creation(component: Component) -> str:
    return "" if component.created_at is None else component.created_at.isoformat()
