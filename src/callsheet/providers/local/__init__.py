"""The local tracker: a directory that needs no server, shared by all processes of one machine."""

from __future__ import annotations

import copy
import getpass
import logging
import math
import os
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Concatenate, ParamSpec, Self, TypeAlias, TypeVar, overload

import anyio
from sqlalchemy import Connection

from callsheet._errors import ConfigError, Conflict, InvalidRequest, NotFound, ResponseError, Timeout
from callsheet._files import File, FrameSequence
from callsheet._models import (
    Action,
    Component,
    Job,
    JobChanges,
    JobFilter,
    Location,
    NewJob,
    Position,
    Slice,
)
from callsheet.abc import CAPABILITIES, Claim, Progress, Provider, Sweep
from callsheet.providers.local import _components, _jobs, _leases, _making, _queries, _sweeping, details
from callsheet.providers.local._blobs import Blobs
from callsheet.providers.local._creating import order
from callsheet.providers.local._directory import FILES, resolved
from callsheet.providers.local._garbage import Garbage, claim_all, collect
from callsheet.providers.local._keys import request_hash
from callsheet.providers.local._rows import LOCATION
from callsheet.providers.local._store import Store
from callsheet.providers.local.details import LocalComponent, LocalJob, LocalLocation

__all__ = [
    "Garbage",
    "LocalComponent",
    "LocalJob",
    "LocalLocation",
    "LocalProvider",
    "Policy",
    "owner_policy",
]

logger: logging.Logger = logging.getLogger("callsheet")

P = ParamSpec("P")
R = TypeVar("R")

Policy: TypeAlias = Callable[[Job, Action, str], bool]
"""Tells whether this user may do that with the job."""


def owner_policy(job: Job, action: Action, user: str) -> bool:
    """Let everybody view a job, and its own user do everything else."""
    return action == "view" or job.user == user


class LocalProvider(Provider):
    """Jobs in a SQLite database and files beside it, in a directory on a local disk.

    Many processes may use one directory at once; a write has returned only when it is on disk. Leases go by a
    clock that nobody can set.

    Args:
        directory: Where the tracker is, or is to be made. It holds `callsheet.db` and `files/`.
        user: For whom jobs are made when the caller names none; by default the login name.
        timeout: Seconds by which every call ends (a transfer goes on for as long as bytes move).
        policy: What `jobs.allows` asks. It is a courtesy of programs: who may write in the directory can do
            everything.
        watch_interval: Seconds between two looks of a watch.

    Raises:
        ConfigError: An argument makes no sense; the message names it.
    """

    name: ClassVar[str] = "local"
    capabilities: ClassVar[frozenset[str]] = CAPABILITIES - {
        "create(template=)",
        "create(parameters=)",
        "create(outputs=)",
        "create(vendor=)",
    }
    page_size: ClassVar[int] = 1000

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        user: str | None = None,
        timeout: float = 120.0,
        policy: Policy = owner_policy,
        watch_interval: float = 0.25,
    ) -> None:
        if not isinstance(directory, str | os.PathLike) or "\0" in str(directory):
            raise ConfigError(f"directory must be a path, not {directory!r}")
        if user is not None and (not isinstance(user, str) or not user.strip() or "\0" in user):
            raise ConfigError(f"user must be a name, not {user!r}")
        if not callable(policy):
            raise ConfigError(f"policy must be a function, not {policy!r}")
        self.directory: Path = resolved(directory)
        self.watch_interval: float = _positive(watch_interval, "watch_interval")
        self.progress_interval: float = 0.25
        self._user = user
        self._timeout = _positive(timeout, "timeout")
        self._policy = policy
        self._owns = True
        self._store = Store(self.directory, self.tracker, timeout=self._timeout)
        self._blobs = Blobs(self.directory / FILES)

    @property
    def tracker(self) -> str:
        """A URL of the scheme `local` with the absolute path of the directory, without symlinks."""
        return f"local:{self.directory}"

    @property
    def user(self) -> str:
        """The user for whom jobs are made when the caller names none."""
        return self._user or _login()

    # -- lifecycle -------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Make the directory unless it is there, check it, and start the writer.

        Raises:
            ConfigError: The directory cannot be a tracker: it is a file, not ours, on a network file system,
                or of a newer version of callsheet.
            Denied: We may not write there.
        """
        if self._owns:
            await self._store.open()
            self._blobs.open()

    async def aclose(self) -> None:
        """Let what was begun end, for at most 5 seconds, and close everything."""
        if self._owns:
            with anyio.CancelScope(shield=True):
                await self._blobs.aclose()
                await self._store.aclose()

    def as_user(self, name: str) -> Self:
        """Return a provider that makes jobs for another user, over the same database."""
        other = copy.copy(self)
        other._user = name
        other._owns = False
        return other

    # -- jobs ------------------------------------------------------------------------------------------------

    async def create_jobs(self, new: Sequence[NewJob]) -> list[Job]:
        """Make the jobs, all or none, and return them in the same order.

        Raises:
            Conflict: A key was used with another request, or its job has been deleted.
            AttachError: A file could not be stored; no job was made. Files that could are found again by the
                same call with the same key.
        """
        wanted = await order(self, self._store, new)
        key = new[0].idempotency_key if len(new) == 1 else None
        jobs: list[Job] = await self._store.write(_making.create, wanted, key=key)
        return jobs

    async def made_job(self, key: str) -> Job | None:
        """Return the job that was made under the key, if it is still there."""
        return await self._look(_making.made, self.tracker, key)

    async def get_jobs(self, ids: Sequence[str]) -> list[Job | None]:
        """Return the jobs in the order of their ids, `None` where there is none."""
        return await self._look(_jobs.get, self.tracker, ids)

    async def page_jobs(self, wanted: JobFilter, *, after: Position | None, size: int) -> Slice[Job]:
        """Return one page, by (`created_at`, `id`).

        Raises:
            InvalidCursor: `after` is not a place in a listing of this tracker.
        """
        return await self._look(_jobs.page, self.tracker, wanted, after, size)

    async def count_jobs(self, wanted: JobFilter) -> int:
        """Return how many jobs match."""
        return await self._look(_queries.count, wanted)

    async def update_jobs(self, ids: Sequence[str], changes: JobChanges) -> list[Job]:
        """Make the changes to all the jobs, or to none if one does not exist.

        Any state may follow any other. `started_at` is the first time it was RUNNING; `finished_at` is there
        while it is DONE, FAILED or CANCELLED. New attributes replace all that were there.

        Raises:
            NotFound: A job does not exist; the message names it.
        """
        jobs: list[Job] = await self._store.write(_jobs.update, (ids, changes))
        return jobs

    async def cancel_job(self, job_id: str) -> Job:
        """Set the job CANCELLED, unless it has ended, and return it."""
        job: Job = await self._store.write(_jobs.cancel, job_id)
        return job

    async def rerun_job(self, job_id: str, *, key: str | None) -> Job:
        """Return a new, QUEUED job with the same fields and none of the files."""
        key = key or uuid.uuid4().hex
        job: Job = await self._store.write(_making.rerun, (job_id, key), key=key)
        return job

    async def delete_job(self, job_id: str) -> None:
        """Remove the job and the components that only it had; their bytes go with `collect_garbage`."""
        await self._store.write(_jobs.delete, job_id)

    async def job_problem(self, job_id: str) -> str | None:
        """Return why the job failed."""
        return (await self._job(job_id)).problem

    async def allows(self, job_id: str, action: Action, user: str) -> bool:
        """Ask the policy."""
        return self._policy(await self._job(job_id), action, user)

    async def _job(self, job_id: str) -> Job:
        (job,) = await self.get_jobs([job_id])
        if job is None:
            raise _jobs.missing_job(job_id)
        return job

    async def _look(
        self, read: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Read jobs, after those are declared lost whose worker fell silent."""

        def checked(db: Connection) -> R:
            _leases.check(db)
            return read(db, *args, **kwargs)

        deadline = anyio.current_time() + self._timeout
        try:
            return await self._store.read(checked)
        except _leases.Expired:
            pass
        with anyio.CancelScope(deadline=deadline):
            await self._reap()
            return await self._store.read(read, *args, **kwargs)
        raise Timeout(f"the local tracker did not answer within {self._timeout:g} s", provider="local")

    async def _reap(self) -> None:
        try:
            await self._store.write(_leases.reap, None)
        except (ResponseError, Timeout) as exc:
            # Who only looks must be able to, on a full disk too.
            logger.warning("jobs of silent workers could not be marked as lost: %s", exc)

    # -- watching and tracking -------------------------------------------------------------------------------

    async def sweep(self, ids: Collection[str], wanted: Iterable[JobFilter], mark: Any) -> Sweep:
        """Look once at all watched jobs: with a mark, by one query for all that changed since."""
        return await self._look(_sweeping.sweep, self.tracker, ids, list(wanted), mark)

    async def claim_job(self, job: NewJob | str, *, lease: float, grace: float) -> Claim:
        """Make a job, or adopt one by id, set it RUNNING, and take its lease, in one transaction.

        Raises:
            Conflict: Another worker holds the job's lease; or the job's key was used for another request.
            NotFound: There is no job of that id.
        """
        target = job if isinstance(job, str) else _making.Order([job], self.user)
        key = None if isinstance(job, str) else job.idempotency_key
        length = round((lease + grace) * 1_000_000)
        made, token = await self._store.write(_leases.claim, (target, length), key=key)
        return Claim(made, token)

    async def beat_job(self, claim: Claim, changes: JobChanges) -> Job:
        """Renew the lease, make the changes in the same transaction, and return the job.

        A job that was cancelled, or ended otherwise, from elsewhere is returned as it is: only an ended state
        is written over that, with its problem, progress and message.

        Raises:
            LeaseLost: The job was given to another worker or declared lost; nothing was written.
            NotFound: The job is gone.
        """
        job: Job = await self._store.write(_leases.beat, (claim.job.id, claim.token, changes))
        return job

    # -- components ------------------------------------------------------------------------------------------

    async def upload(
        self, file: File | FrameSequence, *, location: str | None, key: str, progress: Progress
    ) -> Component:
        """Store the file, or the frames as one component with its frames as members.

        Equal content is stored once. An upload that was killed goes on where it was if the file at its path
        has not changed since and the machine was not restarted.

        Raises:
            IntegrityError: The source changed while it was read.
            OSError: The source cannot be read.
            Conflict: The key was used with another file.
        """
        if location not in (None, LOCATION.id, LOCATION.name):
            raise _missing_location(str(location))
        size = await file.measure(self._blobs.threads)
        request = request_hash("upload", type(file).__name__, file.name, size)
        found = await self._store.read(_components.find, key, request)
        if found is not None:
            await self._require_same(file, found, key)
            return found
        async with self._blobs.uploading():
            new = await self._stored(file, key, request, progress)
            component: Component = await self._store.write(_components.store, new, key=key)
        return component

    async def _require_same(self, file: File | FrameSequence, found: Component, key: str) -> None:
        """Raise `Conflict` unless the component has the bytes of the file: one key, one request."""
        files = [file] if isinstance(file, File) else file.files()
        kept = [found] if isinstance(file, File) else await self.members(found) or ()
        if [one.name for one in files] != [one.name for one in kept]:
            raise Conflict(f"the idempotency key {key!r} was used with other frames", provider="local")
        for source, component in zip(files, kept, strict=True):
            if await self._blobs.checksum(source) != component.checksum:
                raise Conflict(f"the idempotency key {key!r} was used with another file", provider="local")

    async def _stored(
        self, file: File | FrameSequence, key: str, request: str, progress: Progress
    ) -> _components.NewFile:
        if isinstance(file, File):
            size, digest = await self._blobs.put(file, progress)
            return _components.NewFile(key, request, file.name, size, f"sha256:{digest}")
        frames: list[tuple[str, int, str]] = []
        total = 0

        async def onward(done: int) -> None:
            await progress(total + done)

        for frame in file.files():
            size, digest = await self._blobs.put(frame, onward)
            frames.append((frame.name, size, f"sha256:{digest}"))
            total += size
        return _components.NewFile(key, request, file.name, total, None, frames)

    async def made_components(self, keys: Sequence[str]) -> list[Component | None]:
        """Return what was uploaded under each key, `None` where nothing was, or it is gone."""
        return await self._store.read(_components.made, keys)

    async def link(self, job_id: str, components: Sequence[Component]) -> list[Component]:
        """Attach the components as outputs, all or none.

        Raises:
            NotFound: The job or a component does not exist.
        """
        ids = [component.id for component in components]
        linked: list[Component] = await self._store.write(_components.link, (job_id, ids))
        return linked

    async def page_components(
        self, *, job_id: str | None, location_id: str | None, after: Position | None, size: int
    ) -> Slice[Component]:
        """Return one page of components, in the order of their creation; frames are left to `members`.

        Raises:
            NotFound: The job or location does not exist.
        """
        if location_id not in (None, LOCATION.id):
            raise _missing_location(str(location_id))
        return await self._store.read(_components.page, job_id, after, size)

    async def get_component(self, component_id: str) -> Component:
        """Return the component, with the first job that has it.

        Raises:
            NotFound: There is none of that id.
        """
        found = await self._store.read(_components.get, [component_id])
        if component_id not in found:
            raise _components.missing_component(component_id)
        return found[component_id]

    async def delete_component(self, component_id: str) -> None:
        """Remove the component from the tracker and all jobs; its bytes go with `collect_garbage`."""
        await self._store.write(_components.delete, component_id)

    async def members(self, component: Component) -> Sequence[Component] | None:
        """Return the frames of a frame sequence, in order; `None` for a plain file."""
        kept = await self.get_component(component.id)
        if self.details(kept).kind != "sequence":
            return None
        return await self._store.read(_components.members, component.id)

    @asynccontextmanager
    async def read(self, component: Component, *, start: int = 0) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open the component's bytes from `start` on.

        Raises:
            NotFound: There is no such component any more.
            InvalidRequest: It is a frame sequence; its `members` have the bytes.
            IntegrityError: The bytes are not there, or not all of them.
        """
        kept, digest = await self._whole_file(component)
        chunks = await self._blobs.chunks(digest, kept.size or 0, f"{kept.name!r} ({kept.id})", start)
        try:
            yield chunks
        finally:
            chunks.close()

    async def component_url(self, component: Component, *, expires: float) -> str:
        """Return the `file:` URI of the bytes. It is good until garbage is collected; change nothing there.

        Raises:
            NotFound: There is no such component any more.
            InvalidRequest: It is a frame sequence; its `members` have the bytes.
        """
        _, digest = await self._whole_file(component)
        return self._blobs.path(digest).as_uri()

    async def _whole_file(self, component: Component) -> tuple[Component, str]:
        kept = await self.get_component(component.id)
        if kept.checksum is None:
            raise InvalidRequest(f"{kept.name!r} is a frame sequence; take its frames", provider="local")
        return kept, kept.checksum.removeprefix("sha256:")

    # -- locations -------------------------------------------------------------------------------------------

    async def page_locations(self, *, after: Position | None, size: int) -> Slice[Location]:
        """Return the one location."""
        return Slice([] if after else [LOCATION])

    async def get_location(self, name_or_id: str) -> Location:
        """Return the one location if that is its name or id.

        Raises:
            NotFound: It is not.
        """
        if name_or_id not in (LOCATION.id, LOCATION.name):
            raise _missing_location(name_or_id)
        return LOCATION

    # -- this tracker only -----------------------------------------------------------------------------------

    @overload
    def details(self, record: Job) -> LocalJob: ...
    @overload
    def details(self, record: Component) -> LocalComponent: ...
    @overload
    def details(self, record: Location) -> LocalLocation: ...
    def details(self, record: Job | Component | Location) -> LocalJob | LocalComponent | LocalLocation:
        """Return `record.details`, typed. No I/O."""
        if isinstance(record, Job):
            return details.read_job(record)
        if isinstance(record, Component):
            return details.read_component(record)
        return details.read_location(record)

    async def collect_garbage(self, *, dry_run: bool = False) -> list[Garbage]:
        """Remove the bytes of components that were deleted, and parts of uploads that were given up.

        An upload that was killed begins anew after that. Other processes may go on using the tracker.

        Args:
            dry_run: Remove nothing, only tell what would be.

        Returns:
            What was removed, by path.

        Raises:
            Conflict: An upload is running, here or in another process; nothing was removed.
        """
        descriptor = await self._blobs.open_lock()
        try:
            claim_all(descriptor, self._blobs.directory)
            used = await self._store.read(_components.digests)
            return await self._blobs.threads.run(
                partial(collect, self._blobs.directory, used, dry_run=dry_run)
            )
        finally:
            os.close(descriptor)


def _positive(value: object, setting: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ConfigError(f"{setting} must be a positive number of seconds, not {value!r}")
    return float(value)


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a user id without a name, as in many containers
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"


def _missing_location(name_or_id: str) -> NotFound:
    return NotFound(
        f"there is no location {name_or_id!r}; the local tracker has only 'local'", provider="local"
    )
