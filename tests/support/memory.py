"""A tracker in memory, written from `callsheet.abc` alone: it shows that the contract is enough.

`MemoryProvider` answers every call. `NarrowProvider` is like a vendor's tracker: some calls and arguments are
missing, many jobs are not made or changed in one step, and listings order jobs of one instant in no way.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Self

import attrs
from anyio.lowlevel import checkpoint

from callsheet import BulkError, Conflict, IntegrityError, InvalidCursor, LeaseLost, NotFound, Unsupported
from callsheet._threads import Threads
from callsheet.abc import (
    CAPABILITIES,
    UNSET,
    Claim,
    Component,
    File,
    FrameSequence,
    Job,
    JobChanges,
    JobFilter,
    JobState,
    Location,
    NewJob,
    Position,
    Progress,
    Provider,
    Slice,
    Sweep,
)

__all__ = ["MemoryProvider", "MemoryTracker", "NarrowProvider"]


def read_raw(record: Any) -> dict[str, Any]:
    """Return the details of a record: here, they are its raw form."""
    return dict(record.raw)


ENDED = {JobState.DONE, JobState.FAILED, JobState.CANCELLED}


@attrs.define
class Lease:
    """Whose a job is, and until when."""

    fence: int = 0
    until: float = 0.0
    length: float = 0.0


class MemoryTracker:
    """The tracker's whole state, shared by every provider that is given it."""

    def __init__(self, name: str = "memory:one") -> None:
        self.name = name
        self.jobs: dict[str, Job] = {}
        self.leases: dict[str, Lease] = {}
        self.components: dict[str, Component] = {}
        self.frames: dict[str, list[Component]] = {}
        self.bytes: dict[str, bytes] = {}
        self.links: list[tuple[str, str, str]] = []
        self.keys: dict[str, tuple[str, str]] = {}
        self.location = Location(
            id="loc-1", name="memory", kind="memory", raw={"name": "memory"}, reader=read_raw
        )
        self.ahead = 0.0
        self._last = datetime(2026, 1, 1, tzinfo=UTC)

    def snapshot(self) -> str:
        """Return everything that a caller could see."""
        return repr((self.jobs, self.leases, self.components, self.frames, self.bytes, self.links, self.keys))

    def now(self) -> datetime:
        """Return a moment that never stands still."""
        self._last = max(self._last + timedelta(microseconds=1), datetime.now(UTC))
        return self._last

    def monotonic(self) -> float:
        """Return the time that leases go by."""
        return time.monotonic() + self.ahead

    def reap(self) -> None:
        """Let the jobs of silent workers fail."""
        for id_, lease in self.leases.items():
            if lease.until and self.monotonic() > lease.until and not self.jobs[id_].ended:
                lease.fence, lease.until = lease.fence + 1, 0.0
                self.change(id_, JobChanges(state=JobState.FAILED, problem="lost"))

    def change(self, id_: str, changes: JobChanges) -> Job:
        """Change one job."""
        job, now = self.jobs[id_], self.now()
        given = changes.given()
        state = given.get("state", job.state)
        if "state" in given:
            ended = state in ENDED
            finished = (job.finished_at or now) if ended else None
            given |= {"vendor_state": state.value, "ended": ended, "finished_at": finished}
            if state is JobState.RUNNING and job.started_at is None:
                given["started_at"] = now
        self.jobs[id_] = attrs.evolve(job, **given, updated_at=now)
        return self.jobs[id_]


class MemoryProvider(Provider):
    """All that a tracker can be asked, over a `MemoryTracker`."""

    name: ClassVar[str] = "memory"
    capabilities: ClassVar[frozenset[str]] = CAPABILITIES - {
        *("create(template=)", "create(parameters=)", "create(outputs=)", "create(vendor=)")
    }
    page_size: ClassVar[int] = 100
    batch_size: ClassVar[int] = 50

    def __init__(self, state: MemoryTracker, *, user: str = "jane", watch_interval: float = 0.02) -> None:
        self.state = state
        self.watch_interval = watch_interval
        self.progress_interval = 0.05
        self._user = user
        self._threads: Threads | None = None

    @property
    def tracker(self) -> str:
        return self.state.name

    @property
    def user(self) -> str:
        return self._user

    async def open(self) -> None:
        self._threads = Threads(4)

    async def aclose(self) -> None:
        if self._threads is not None:
            await self._threads.aclose()

    def as_user(self, name: str) -> Self:
        other = type(self)(self.state, user=name, watch_interval=self.watch_interval)
        other._threads = self._threads
        return other

    def details(self, record: Any) -> dict[str, Any]:
        """Return the record as the tracker has it."""
        return read_raw(record)

    # -- jobs ------------------------------------------------------------------------------------------------

    async def create_jobs(self, new: Sequence[NewJob]) -> list[Job]:
        await checkpoint()
        for job in new:
            self._known(job.idempotency_key, self._request(job))
        return [await self._create(job) for job in new]

    def _request(self, job: NewJob) -> str:
        plain = attrs.asdict(job, recurse=False) | {"idempotency_key": None, "files": len(job.files)}
        return json.dumps(plain, default=str, sort_keys=True)

    def _known(self, key: str | None, request: str) -> Job | None:
        if key not in self.state.keys:
            return None
        asked, id_ = self.state.keys[key or ""]
        if asked != request:
            raise Conflict(f"key {key!r} was used with another request", provider=self.name)
        if id_ not in self.state.jobs:
            raise Conflict(f"key {key!r} was used for a job that is deleted", provider=self.name)
        return self.state.jobs[id_]

    async def _create(self, new: NewJob) -> Job:
        from callsheet._transfers import as_file, upload_all  # inside, as it imports the contract

        inputs, failed = await upload_all(
            self,
            [file for given in new.files if not isinstance(file := as_file(given), Component)],
            location=None,
            keys=[f"{new.idempotency_key}/{index}" for index in range(len(new.files))],
        )
        for error in failed.values():
            raise error
        if old := self._known(new.idempotency_key, self._request(new)):
            return old
        now = self.state.now()
        state = new.state or JobState.QUEUED
        job = Job(
            id=str(uuid.uuid4()),
            tracker=self.tracker,
            name=new.name,
            state=state,
            vendor_state=state.value,
            ended=state in ENDED,
            type=new.type,
            priority=new.priority,
            description=new.description,
            user=new.user or self.user,
            item=new.item,
            source_id=new.source_id,
            created_at=now,
            updated_at=now,
            started_at=now if state is JobState.RUNNING else None,
            finished_at=now if state in ENDED else None,
            attributes=new.attributes or {},
            raw={"name": new.name},
            reader=read_raw,
        )
        self.state.jobs[job.id] = job
        self.state.keys[new.idempotency_key or ""] = (self._request(new), job.id)
        self.state.links += [(job.id, component.id, "input") for component in inputs if component]
        return job

    async def made_job(self, key: str) -> Job | None:
        await checkpoint()
        return self.state.jobs.get(self.state.keys.get(key, ("", ""))[1])

    async def get_jobs(self, ids: Sequence[str]) -> list[Job | None]:
        await checkpoint()
        self.state.reap()
        return [self.state.jobs.get(id_) for id_ in ids]

    async def page_jobs(self, wanted: JobFilter, *, after: Position | None, size: int) -> Slice[Job]:
        await checkpoint()
        self.state.reap()
        found = sorted(
            filter(wanted.matches, self.state.jobs.values()),
            key=lambda job: (job.created_at, job.id),
            reverse=wanted.newest_first,
        )
        return self._slice(found, after, size, newest_first=wanted.newest_first)

    def _slice(
        self, found: list[Any], after: Position | None, size: int, *, newest_first: bool
    ) -> Slice[Any]:
        if after is not None:
            try:
                key = (datetime.fromisoformat(after.key), after.ids[-1])
                beyond = [
                    item
                    for item in found
                    if (
                        (item.created_at, item.id) < key if newest_first else (item.created_at, item.id) > key
                    )
                ]
            except (ValueError, TypeError, IndexError) as exc:
                raise InvalidCursor("cursor: it is damaged", provider=self.name) from exc
            found = beyond
        page = found[:size]
        last = page[-1] if len(found) > size else None
        return Slice(page, None if last is None else Position(last.created_at.isoformat(), (last.id,)))

    async def count_jobs(self, wanted: JobFilter) -> int:
        await checkpoint()
        self.state.reap()
        return sum(map(wanted.matches, self.state.jobs.values()))

    async def update_jobs(self, ids: Sequence[str], changes: JobChanges) -> list[Job]:
        await checkpoint()
        for id_ in ids:
            self._job(id_)
        return [self.state.change(id_, changes) for id_ in ids]

    def _job(self, id_: str) -> Job:
        if id_ not in self.state.jobs:
            raise NotFound(f"there is no job {id_!r}", provider=self.name)
        return self.state.jobs[id_]

    async def cancel_job(self, job_id: str) -> Job:
        await checkpoint()
        job = self._job(job_id)
        return job if job.ended else self.state.change(job_id, JobChanges(state=JobState.CANCELLED))

    async def rerun_job(self, job_id: str, *, key: str | None) -> Job:
        await checkpoint()
        old = self._known(key, f"rerun {job_id}")
        if old is not None:
            return old
        old, now = self._job(job_id), self.state.now()
        new = Job(
            id=str(uuid.uuid4()),
            tracker=self.tracker,
            name=old.name,
            state=JobState.QUEUED,
            vendor_state="queued",
            ended=False,
            created_at=now,
            updated_at=now,
            source_id=old.id,
            **{
                field: getattr(old, field)
                for field in ("user", "type", "description", "priority", "item", "attributes", "raw")
            },
            reader=read_raw,
        )
        self.state.jobs[new.id] = new
        self.state.keys[key or ""] = (f"rerun {job_id}", new.id)
        return new

    async def delete_job(self, job_id: str) -> None:
        await checkpoint()
        self._job(job_id)
        only_here = {component for job, component, _ in self.state.links if job == job_id} - {
            component for job, component, _ in self.state.links if job != job_id
        }
        del self.state.jobs[job_id]
        self.state.leases.pop(job_id, None)
        self.state.links = [link for link in self.state.links if link[0] != job_id]
        for id_ in only_here:
            del self.state.components[id_]

    async def job_problem(self, job_id: str) -> str | None:
        await checkpoint()
        self.state.reap()
        return self._job(job_id).problem

    async def allows(self, job_id: str, action: str, user: str) -> bool:
        await checkpoint()
        job = self._job(job_id)
        return action == "view" or job.user == user

    # -- tracking --------------------------------------------------------------------------------------------

    async def claim_job(self, job: NewJob | str, *, lease: float, grace: float) -> Claim:
        self.state.reap()
        if isinstance(job, NewJob):
            job = (await self.create_jobs([job]))[0].id
        self._job(job)
        held = self.state.leases.setdefault(job, Lease())
        if held.until > self.state.monotonic():
            raise Conflict(f"job {job} is another worker's", provider=self.name)
        held.fence, held.length = held.fence + 1, lease + grace
        held.until = self.state.monotonic() + held.length
        problem = None if self._job(job).ended else UNSET
        return Claim(self.state.change(job, JobChanges(state=JobState.RUNNING, problem=problem)), held.fence)

    async def beat_job(self, claim: Claim, changes: JobChanges) -> Job:
        await checkpoint()
        self.state.reap()
        job = self._job(claim.job.id)
        lease = self.state.leases[job.id]
        if lease.fence != claim.token:
            raise LeaseLost(f"job {job.id} was given away", provider=self.name)
        ends = changes.given().get("state") in ENDED
        if job.state is JobState.CANCELLED and not ends:
            return job
        lease.until = 0.0 if ends else self.state.monotonic() + lease.length
        return self.state.change(job.id, changes) if changes.given() else job

    # -- components ------------------------------------------------------------------------------------------

    async def upload(
        self, file: File | FrameSequence, *, location: str | None, key: str, progress: Progress
    ) -> Component:
        if location is not None:
            await self.get_location(location)
        request = f"upload {file.name}"
        if key not in self.state.keys:
            whole, frames = await self._stored(file, progress)
            # Another upload with the key may have been faster.
            if key not in self.state.keys:
                self.state.components[whole.id] = whole
                self.state.frames |= {whole.id: frames} if frames else {}
                self.state.keys[key] = (request, whole.id)
        asked, id_ = self.state.keys[key]
        if asked != request:
            raise Conflict(f"key {key!r} was used with another file", provider=self.name)
        return self.state.components[id_]

    async def _stored(
        self, file: File | FrameSequence, progress: Progress
    ) -> tuple[Component, list[Component]]:
        if isinstance(file, File):
            return await self._store(file, progress), []
        assert self._threads is not None
        await file.measure(self._threads)
        frames: list[Component] = []
        before = 0

        async def onward(done: int) -> None:
            await progress(before + done)

        for frame in file.files():
            frames.append(await self._store(frame, onward))
            before += frames[-1].size or 0
        return self._component(file.name, size=before), frames

    async def _store(self, file: File, progress: Progress) -> Component:
        import hashlib  # the only user

        assert self._threads is not None
        digest, content = hashlib.sha256(), bytearray()
        async with file.open(self._threads) as reader:
            while await reader.read(digest.update, content.extend):
                await progress(len(content))
        component = self._component(file.name, size=len(content))
        self.state.bytes[component.id] = bytes(content)
        return attrs.evolve(component, checksum=f"sha256:{digest.hexdigest()}")

    def _component(self, name: str, *, size: int) -> Component:
        return Component(
            id=str(uuid.uuid4()),
            name=name,
            size=size,
            location_id=self.state.location.id,
            created_at=self.state.now(),
            raw={"name": name},
            reader=read_raw,
        )

    async def made_components(self, keys: Sequence[str]) -> list[Component | None]:
        await checkpoint()
        return [self.state.components.get(self.state.keys.get(key, ("", ""))[1]) for key in keys]

    async def link(self, job_id: str, components: Sequence[Component]) -> list[Component]:
        await checkpoint()
        self._job(job_id)
        for component in components:
            await self.get_component(component.id)
        there = {(job, id_) for job, id_, _ in self.state.links}
        for component in components:
            if (job_id, component.id) not in there:
                self.state.links.append((job_id, component.id, "output"))
        return [self._linked(job_id, component.id) for component in components]

    def _linked(self, job_id: str, id_: str) -> Component:
        role = next(role for job, component, role in self.state.links if (job, component) == (job_id, id_))
        return attrs.evolve(self.state.components[id_], job_id=job_id, role=role)

    async def page_components(
        self, *, job_id: str | None, location_id: str | None, after: Position | None, size: int
    ) -> Slice[Component]:
        await checkpoint()
        found = list(self.state.components.values())
        if location_id is not None:
            await self._location_by_id(location_id)
        if job_id is not None:
            self._job(job_id)
            found = [self._linked(job_id, id_) for job, id_, _ in self.state.links if job == job_id]
        found.sort(key=lambda component: (component.created_at, component.id))
        return self._slice(found, after, size, newest_first=False)

    async def _location_by_id(self, id_: str) -> None:
        if id_ != self.state.location.id:
            raise NotFound(f"there is no location {id_!r}", provider=self.name)

    async def get_component(self, component_id: str) -> Component:
        await checkpoint()
        if component_id not in self.state.components:
            raise NotFound(f"there is no component {component_id!r}", provider=self.name)
        return self.state.components[component_id]

    async def delete_component(self, component_id: str) -> None:
        await self.get_component(component_id)
        del self.state.components[component_id]
        self.state.links = [link for link in self.state.links if link[1] != component_id]

    async def members(self, component: Component) -> Sequence[Component] | None:
        await self.get_component(component.id)
        return self.state.frames.get(component.id)

    def read(
        self, component: Component, *, start: int = 0
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return self._reading(component, start)

    @asynccontextmanager
    async def _reading(self, component: Component, start: int) -> AsyncIterator[AsyncIterator[bytes]]:
        if component.id not in self.state.bytes:
            raise IntegrityError(f"{component.name}: its bytes are gone", provider=self.name)
        yield _Chunks(self.state.bytes[component.id][start:])

    async def component_url(self, component: Component, *, expires: float) -> str:
        await self.get_component(component.id)
        return f"memory:{component.id}"

    # -- locations -------------------------------------------------------------------------------------------

    async def page_locations(self, *, after: Position | None, size: int) -> Slice[Location]:
        await checkpoint()
        return Slice([self.state.location])

    async def get_location(self, name_or_id: str) -> Location:
        await checkpoint()
        if name_or_id not in {self.state.location.id, self.state.location.name}:
            raise NotFound(f"there is no location {name_or_id!r}", provider=self.name)
        return self.state.location


class _Chunks:
    """Bytes in pieces, as a class: left half way, it leaves nothing behind."""

    def __init__(self, content: bytes) -> None:
        self._pieces = iter([content[start : start + 500_000] for start in range(0, len(content), 500_000)])

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        await checkpoint()
        for piece in self._pieces:
            return piece
        raise StopAsyncIteration


class NarrowProvider(MemoryProvider):
    """A tracker that lacks much, as vendors' trackers do."""

    name: ClassVar[str] = "narrow"
    capabilities: ClassVar[frozenset[str]] = MemoryProvider.capabilities - {
        *("attach", "track", "rerun", "delete", "allows", "components.url", "components.delete", "upload"),
        *("create(item=)", "create(files=)", "update(attributes=)", "update(progress=)"),
        "mirror(into=)",
        *("list(attributes=)", "list(item=)", "list(newest_first=)"),
    }
    hints: ClassVar[Mapping[str, str]] = {
        "attach": "provider.import_shape(job, file, tag=)",
        "delete": "provider.archive(job)",
        "create(item=)": "attributes=",
    }

    async def create_jobs(self, new: Sequence[NewJob]) -> list[Job]:
        done: list[Job] = []
        failed: dict[int, Exception] = {}
        for index, job in enumerate(new):
            try:
                done += await super().create_jobs([job])
            except Conflict as error:
                failed[index] = error
        return self._all_or_told(done, failed, len(new))

    async def update_jobs(self, ids: Sequence[str], changes: JobChanges) -> list[Job]:
        done: list[Job] = []
        failed: dict[int, Exception] = {}
        for index, id_ in enumerate(ids):
            try:
                done += await super().update_jobs([id_], changes)
            except NotFound as error:
                failed[index] = error
        return self._all_or_told(done, failed, len(ids))

    def _all_or_told(self, done: list[Job], failed: dict[int, Exception], total: int) -> list[Job]:
        if not failed:
            return done
        if total == 1:
            raise failed[0]
        raise BulkError(f"{len(failed)} failed", done=done, failed=failed, provider=self.name)

    def as_user(self, name: str) -> Self:
        raise Unsupported("as_user", provider=self.name)

    async def sweep(self, ids: Collection[str], wanted: Iterable[JobFilter], mark: Any) -> Sweep:
        return await Provider.sweep(self, ids, wanted, mark)
