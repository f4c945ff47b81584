"""One tracker for the behaviour tests: how to reach it, and the hand of some other program on its jobs.

A tracker joins the suite with one class here and its name in `RIGS`.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, ClassVar, Self
from urllib.parse import unquote, urlsplit

import anyio.to_thread
import httpx
import pytest
from anyio.lowlevel import checkpoint

from callsheet import CallsheetError, Client, Conflict, File, Job, JobState, NewJob, ResponseError
from callsheet.abc import CAPABILITIES, Action, Provider
from callsheet.providers.deadline import DeadlineProvider
from callsheet.providers.ftrack import FtrackProvider, create, query
from callsheet.providers.local import LocalProvider, _leases
from callsheet.providers.local._stamps import monotonic_us
from callsheet.providers.vidispine import VidispineProvider
from callsheet.sandbox import Sandbox
from faultserver import FaultServer
from support import FULL, deadlinehand
from support.memory import MemoryProvider, MemoryTracker, NarrowProvider
from support.s3store import Store
from support.vidispinehand import VidispineHand
from support.wrapping import Wrapping, wrap

__all__ = ["RIGS", "Rig"]


class Rig(ABC):
    """A tracker of its own for one test, which knows it by what is written here.

    Attributes:
        kind: The provider's class.
        capabilities: What it can do; the rest must be refused.
        atomic: Whether many jobs are made or changed all or none.
        default_type: The type of a job that was given none.
        keeps_keys: Whether a key stays used when its job is deleted.
        json_attributes: Whether attributes may be any JSON, not just texts.
        finds_empty: Whether jobs can be found by an attribute that is an empty text or list.
        lists_unknown: Whether jobs can be listed by the state UNKNOWN.
        keeps_times: Whether a job tells when it was changed last.
        keeps_sources: Whether a rerun is known as one later on, too.
        keys_of_all: Whether a key makes one job also for callers who use it at the same moment.
        one_file: Whether a job begins with one file at most.
        reruns_for_others: Whether a rerun is its job's own user's, whoever asks for it.
        acts_for_others: Whether a client can act for another user.
        lists_all_components: Whether components can be listed without naming a job.
        runs_jobs: Whether jobs run by the tracker's own workers, which alone set them running.
        begins: States in which a job may be made.
        always: Fields that a job always has.
        reused: What a key is refused with that was used for another request.
        crowd: Jobs enough for a crowd.
        is_admin: Whether `user` may do everything with all jobs.
        strangers_may: What others may do with a job.
        fresh: Fields that the tracker itself fills in of a new job.
        types: Types that jobs may be given.
        users: Users that jobs may be given, besides `user`.
        url: What `connect` takes to reach the same tracker from another process, if that is possible.
    """

    kind: ClassVar[type[Provider]]
    capabilities: ClassVar[frozenset[str]]
    atomic: ClassVar[bool] = True
    default_type: ClassVar[str | None] = None
    keeps_keys: ClassVar[bool] = True
    json_attributes: ClassVar[bool] = True
    finds_empty: ClassVar[bool] = True
    lists_unknown: ClassVar[bool] = True
    keeps_times: ClassVar[bool] = True
    keeps_sources: ClassVar[bool] = True
    keys_of_all: ClassVar[bool] = True
    one_file: ClassVar[bool] = False
    reruns_for_others: ClassVar[bool] = True
    acts_for_others: ClassVar[bool] = True
    lists_all_components: ClassVar[bool] = True
    runs_jobs: ClassVar[bool] = False
    begins: ClassVar[frozenset[JobState]] = frozenset(JobState) - {JobState.UNKNOWN}
    always: ClassVar[frozenset[str]] = frozenset()
    reused: ClassVar[type[CallsheetError]] = Conflict
    crowd: ClassVar[int] = 2000
    is_admin: ClassVar[bool] = False
    strangers_may: ClassVar[tuple[Action, ...]] = ("view",)
    fresh: ClassVar[Mapping[str, Any]] = {}
    types: ClassVar[tuple[str, ...]] = ("comp", "COMP", "render", "%")
    users: ClassVar[tuple[str, ...]] = ("bob", "Bob", "bobby", "b%b")
    url: str | None = None
    user = "jane"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.hand = await self._stack.enter_async_context(self.another_client())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @abstractmethod
    def provider(self) -> Provider:
        """Return a new provider of this tracker, not open yet, acting for `user`."""

    @abstractmethod
    async def snapshot(self) -> object:
        """Return the tracker's whole state: two are equal if nothing has happened between them."""

    @abstractmethod
    async def fetch(self, url: str) -> bytes:
        """Return what a component's URL leads to."""

    def another_client(self) -> Client[Any]:
        """Return a new client of this tracker, not open yet."""
        return Client(self.provider())

    def wrapped(self, **facts: Any) -> Wrapping:
        """Return a new provider of this tracker that notes its calls, and can be made to fail."""
        return wrap(self.provider(), **facts)

    def attribute(self, value: Any) -> Any:
        """Return the value of an attribute as the tracker can keep it."""
        return value if self.json_attributes or isinstance(value, str) else json.dumps(value)

    def supports(self, *words: str) -> bool:
        """Tell whether the tracker can do all of that."""
        return self.capabilities.issuperset(words)

    @property
    def name(self) -> str:
        """What errors say as `.provider`."""
        return self.kind.name

    # -- the hand of another program -------------------------------------------------------------------------

    async def make_job(self, name: str = "render", **fields: Any) -> Job:
        """Make a job."""
        return await self.hand.jobs.create(name, **fields)

    async def make_jobs(self, number: int, **fields: Any) -> list[Job]:
        """Make jobs `job 0` and so on, in the order of their creation."""
        made: list[Job] = []
        for start in range(0, number, 500):
            names = [f"job {index}" for index in range(start, min(start + 500, number))]
            made += await self.hand.jobs.create_many([NewJob(name=name, **fields) for name in names])
        return made

    async def start(self, job: Job) -> Job:
        """Let the job run."""
        return await self.hand.jobs.update(job, state=JobState.RUNNING)

    async def finish(self, *jobs: Job) -> list[Job]:
        """Let the jobs end well."""
        return await self.hand.jobs.update_many(jobs, state=JobState.DONE)

    async def fail(self, job: Job, problem: str) -> Job:
        """Let the job fail for that reason."""
        return await self.hand.jobs.update(job, state=JobState.FAILED, problem=problem)

    async def put_out(self, job: Job, outputs: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Let the job put out files, contents by name; return those that it did put out."""
        await self.hand.jobs.attach(job, [File(content, name=name) for name, content in outputs.items()])
        return outputs

    def told(self, problem: str) -> str:
        """Return what the tracker makes of the reason that a job failed for."""
        return problem

    async def cancel(self, job: Job) -> Job:
        """Cancel the job from elsewhere."""
        return await self.hand.jobs.cancel(job)

    async def vanish(self, job: Job) -> None:
        """Remove the job."""
        await self.hand.jobs.delete(job)

    async def doomed(self, job: Job) -> Job:
        """Bring the job to where it can be deleted."""
        return job

    async def settle(self) -> None:
        """Let the tracker do what it has only accepted so far."""
        await checkpoint()

    async def tick(self) -> None:
        """Let the tracker's time go on, where it has a time of its own."""
        await checkpoint()

    async def reap(self) -> None:
        """Let silent workers lose their jobs, where that does not happen by itself."""
        await checkpoint()

    async def age(self, seconds: float) -> None:
        """Let all leases be so much older."""
        raise NotImplementedError


class LocalRig(Rig):
    """The local tracker in a folder of the test."""

    kind = LocalProvider
    # The table of the design: everything but what only vendors' trackers can be told.
    capabilities = CAPABILITIES - {
        *("create(template=)", "create(parameters=)", "create(outputs=)", "create(vendor=)")
    }

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "tracker")
        self.url = f"local:{self.folder}"
        self._aged = 0

    def provider(self) -> LocalProvider:
        return LocalProvider(self.folder, user=self.user, watch_interval=0.02)

    async def snapshot(self) -> object:
        database = sqlite3.connect(self.folder / "callsheet.db")
        try:
            # The counter ticks with each transaction, also with one that found nothing to do.
            rows = [row for row in database.iterdump() if '"counters"' not in row]
        finally:
            database.close()
        files = {
            str(path): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted((self.folder / "files").glob("??/*"))
        }
        return rows, files

    async def age(self, seconds: float) -> None:
        self._aged += round(seconds * 1_000_000)
        patch = self._stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(_leases, "monotonic_us", lambda: monotonic_us() + self._aged)
        await checkpoint()

    async def fetch(self, url: str) -> bytes:
        parts = urlsplit(url)
        assert (parts.scheme, parts.netloc) == ("file", "")
        return Path(unquote(parts.path)).read_bytes()


class FtrackRig(Rig):
    """An ftrack server of the sandbox's.

    ftrack's times are in whole seconds and its ids follow from keys, so that jobs of one second come in no
    order that a test could foresee. Here time goes on before each job, and ids grow as they are first used.
    """

    kind = FtrackProvider
    capabilities = CAPABILITIES - {
        *("create(item=)", "list(item=)", "list(attributes=)", "allows"),
        *("create(template=)", "create(parameters=)", "create(outputs=)", "create(vendor=)"),
    }
    default_type = "api_job"
    keeps_keys = False  # a job's id is its key: once it is gone, nothing tells that it was there
    types = ("api_job",)
    user = "sandbox"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.sandbox = Sandbox()
        self._ids: dict[tuple[str, ...], str] = {}

    async def __aenter__(self) -> Self:
        self._stack.enter_context(self.sandbox)
        await super().__aenter__()
        there = {user["username"] for user in await self._hand.query("select username from User")}
        new = [
            {"id": str(uuid.uuid4()), "username": name} for name in ("jane", *self.users) if name not in there
        ]
        await self._hand.call(*(create("User", values) for values in new))
        return self

    @property
    def _hand(self) -> FtrackProvider:
        provider: FtrackProvider = self.hand.provider
        return provider

    def provider(self) -> FtrackProvider:
        provider = FtrackProvider(
            self.sandbox.url, user=self.user, api_key="sandbox-key", watch_interval=0.02
        )
        provider.progress_interval = 0.05
        provider._server.id_of = self._id_of  # type: ignore[method-assign]  # see above
        return provider

    def _id_of(self, *key: str) -> str:
        return self._ids.setdefault(key, str(uuid.UUID(int=len(self._ids) + 1)))

    async def make_job(self, name: str = "render", **fields: Any) -> Job:
        await self.tick()
        return await super().make_job(name, **fields)

    async def tick(self) -> None:
        self.sandbox.clock.advance(1)
        await checkpoint()

    async def reap(self) -> None:
        await self._hand.reap(dry_run=False)

    async def age(self, seconds: float) -> None:
        self.sandbox.clock.advance(seconds)
        await checkpoint()

    async def snapshot(self) -> object:
        types = {
            "Job": "id, type, status, data, created_at, finished_at, user_id",
            "JobComponent": "component_id, job_id",
            "Component": "id, name, file_type, size, container_id",
            "ComponentLocation": "id, component_id, location_id, resource_identifier",
            "Metadata": "parent_id, key, value",
        }
        queries = [query(f"select {names} from {kind}") for kind, names in types.items()]
        return [result["data"] for result in await self._hand.call(*queries)]

    async def fetch(self, url: str) -> bytes:
        return await anyio.to_thread.run_sync(lambda: httpx.get(url, timeout=60).raise_for_status().content)


class VidispineRig(Rig):
    """A Vidispine server of the sandbox's, whose jobs go on only by the hand of the server itself.

    Time goes on before each job, so that they come in the order in which they were made.
    """

    kind = VidispineProvider
    capabilities = CAPABILITIES - {
        *("create(state=)", "create(template=)", "create(parameters=)", "create(outputs=)"),
        *("update(state=)", "update(progress=)", "update(message=)", "update(problem=)"),
        *("update(description=)", "update(name=)", "update(attributes=)"),
        *("rerun(idempotency_key=)", "attach", "upload(frames=)", "track", "mirror(into=)"),
    }
    atomic = False
    default_type = "STUDIO_PUBLISH"
    keeps_keys = False  # they are kept with the jobs, and nowhere else
    json_attributes = False
    lists_unknown = False
    keeps_times = False
    keeps_sources = False
    keys_of_all = False
    one_file = True
    reruns_for_others = False
    crowd = 300  # each that has ended is asked for by itself
    is_admin = True
    strangers_may = ()
    fresh: ClassVar[Mapping[str, Any]] = {"priority": 50, "progress": 0.0}
    types = ("STUDIO_RENDER", "STUDIO_COMP", "EXPORT")
    user = "admin"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.sandbox = Sandbox()

    async def __aenter__(self) -> Self:
        self._stack.enter_context(self.sandbox)
        self.sandbox.configure("vidispine", runs=False, abort_seconds=0)
        hand = VidispineHand(
            self.sandbox.url,
            user=self.user,
            password="admin",
            default_type=self.default_type,
            include_steps=True,
        )
        hand.sandbox = self.sandbox
        self.hand = await self._stack.enter_async_context(Client(hand))
        for name in (*self.users, "nobody"):
            await self._hand.request("POST", "user", json={"userName": name, "password": name})
        return self

    @property
    def _hand(self) -> VidispineProvider:
        provider: VidispineProvider = self.hand.provider
        return provider

    def provider(self) -> VidispineProvider:
        return VidispineProvider(
            self.sandbox.url,
            user=self.user,
            password="admin",
            default_type=self.default_type,
            include_steps=True,
            watch_interval=0.02,
        )

    async def make_job(self, name: str = "render", **fields: Any) -> Job:
        await self.tick()
        return await super().make_job(name, **fields)

    async def put_out(self, job: Job, outputs: Mapping[str, bytes]) -> Mapping[str, bytes]:
        files = [await self.hand.components.upload(File(outputs[name], name=name)) for name in outputs]
        there = [f"{one.id}={one.name}" for one in await self.hand.components.list(job).collect()]
        made = ",".join([*there, *(f"{file.id}={file.name}" for file in files)])
        self.sandbox.act("vidispine", "jobs", ids=[job.id], data={"filePathMap": made})
        return outputs

    async def vanish(self, job: Job) -> None:
        self.sandbox.act("vidispine", "jobs", ids=[job.id], vanish=True)

    async def doomed(self, job: Job) -> Job:
        return (await self.finish(job))[0]

    async def settle(self) -> None:
        waiting = self.hand.jobs.list(types={"DELETE_FILE"}, states={JobState.QUEUED})
        await self.finish(*await waiting.collect())

    async def tick(self) -> None:
        self.sandbox.clock.advance(1)
        await checkpoint()

    async def snapshot(self) -> object:
        jobs = await self._hand.jobs(sort="jobId asc", include_steps=True, metadata=True).collect()
        files = await self._hand.request("GET", "storage/file", query={"number": 10_000})
        storages = await self._hand.request("GET", "storage")
        return [dict(job.raw) for job in jobs], files, storages

    async def fetch(self, url: str) -> bytes:
        return await anyio.to_thread.run_sync(lambda: httpx.get(url, timeout=60).raise_for_status().content)


class DeadlineRig(Rig):
    """A queue of a farm of the sandbox's, without workers: jobs do what the test says.

    Each comes from a template of one task, if the test gives none.
    """

    kind = DeadlineProvider
    capabilities = CAPABILITIES - {
        *("create(user=)", "create(item=)", "create(type=)", "create(attributes=)"),
        *("update(progress=)", "update(message=)", "update(problem=)", "update(attributes=)"),
        *("list(types=)", "list(item=)"),
        *("delete", "attach", "upload", "upload(frames=)", "components.delete", "track", "mirror(into=)"),
    }
    atomic = False
    json_attributes = False
    reruns_for_others = False
    strangers_may = ()
    finds_empty = False
    acts_for_others = False
    lists_all_components = False
    crowd = 500
    runs_jobs = True
    begins = frozenset({JobState.QUEUED, JobState.PAUSED})
    always = frozenset({"priority"})
    reused = ResponseError  # a ValidationException, which Deadline has for much else too
    fresh: ClassVar[Mapping[str, Any]] = {"priority": 50, "progress": 0.0}
    user = f"{deadlinehand.ARN}sandbox"
    users = tuple(f"{deadlinehand.ARN}{name}" for name in ("bob", "jane", "ada"))

    async def __aenter__(self) -> Self:
        bucket = self._stack.enter_context(FaultServer(Store().play))
        self.sandbox = self._stack.enter_context(Sandbox(s3=bucket.url))
        cache = {"XDG_CACHE_HOME": str(self.folder / "cache")}
        self._stack.enter_context(deadlinehand.environment({**self.sandbox.environment, **cache}))
        deadlinehand.quiet_farm(self.sandbox)
        self.sandbox.clock.freeze()  # a job is made in one instant; others are seconds apart
        self.hand = await self._stack.enter_async_context(Client(deadlinehand.HandProvider(self.sandbox)))
        return self

    def provider(self) -> Provider:
        return deadlinehand.PlainProvider(self.sandbox, user=self.user)

    async def make_jobs(self, number: int, **fields: Any) -> list[Job]:
        new = [NewJob(name=f"job {index}", **fields) for index in range(number)]
        return await self.hand.jobs.create_many(new)

    async def put_out(self, job: Job, outputs: Mapping[str, bytes]) -> Mapping[str, bytes]:
        return {}  # only jobs with attachments do, and as they end

    async def finish(self, *jobs: Job) -> list[Job]:
        self.sandbox.act("deadline", "finish", jobs=[job.id for job in jobs])
        return [job for job in await self.hand.jobs.get_many(jobs) if job is not None]

    async def fail(self, job: Job, problem: str) -> Job:
        self.sandbox.act("deadline", "fail", job=job.id, message=problem)
        return await self.hand.jobs.get(job)

    def told(self, problem: str) -> str:
        return f"1 of 1 tasks failed\nRender: exit code 1: {problem}"

    async def tick(self) -> None:
        self.sandbox.clock.advance(1)
        await checkpoint()

    async def snapshot(self) -> object:
        return [job.raw async for job in self.hand.jobs.list()]

    async def fetch(self, url: str) -> bytes:
        return await anyio.to_thread.run_sync(lambda: httpx.get(url, timeout=60).raise_for_status().content)


class MemoryRig(Rig):
    """A tracker in memory that can do everything: it shows that the suite knows no vendor."""

    kind = MemoryProvider
    capabilities = LocalRig.capabilities

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.state = MemoryTracker(f"memory:{folder.name}")

    def provider(self) -> Provider:
        return self.kind(self.state, user=self.user)

    async def snapshot(self) -> object:
        return self.state.snapshot()

    async def age(self, seconds: float) -> None:
        self.state.ahead += seconds
        await checkpoint()

    async def fetch(self, url: str) -> bytes:
        return self.state.bytes[url.removeprefix("memory:")]


class NarrowRig(MemoryRig):
    """A tracker that lacks much: it shows that what is missing is refused."""

    kind = NarrowProvider
    capabilities = NarrowProvider.capabilities
    atomic = False
    acts_for_others = False

    async def __aenter__(self) -> Self:
        # The hand of the tracker's own people, who can do everything.
        self.hand = await self._stack.enter_async_context(Client(MemoryProvider(self.state, user=self.user)))
        return self


RIGS: list[type[Rig]] = [
    LocalRig,
    FtrackRig,
    VidispineRig,
    DeadlineRig,
    NarrowRig,
    *([MemoryRig] if FULL else []),
]
