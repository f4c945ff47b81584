"""The public API as its users' type checkers see it: checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self, assert_type

import callsheet
from callsheet import (
    AttachError,
    BulkError,
    CallsheetError,
    Client,
    Component,
    FieldChange,
    File,
    FrameSequence,
    InvalidResponse,
    Job,
    JobChange,
    JobState,
    Listing,
    Location,
    NewJob,
    Outcome,
    Page,
    RateLimited,
    ResponseError,
    Tracked,
    Transfer,
    Unsupported,
    WaitTimeout,
)
from callsheet.abc import JobFilter, Position, Provider, Slice
from callsheet.providers.local import LocalProvider
from callsheet.providers.vidispine import VidispineJob, VidispineProvider, VidispineTaskDefinition


async def clients() -> None:
    assert_type(callsheet.connect("local:./jobs", user="jane"), Client[Any])
    async with Client(LocalProvider("./jobs")) as client:
        assert_type(client, Client[LocalProvider])
        assert_type(client.provider, LocalProvider)
        assert_type(client.as_user("jane"), Client[LocalProvider])
    async with Client(VidispineProvider(user="jane", password="p")) as archive:
        assert_type(await archive.provider.task_definitions("IMPORT"), list[VidispineTaskDefinition])
        assert_type(archive.provider.jobs(first=11, metadata=True), Listing[Job])
        assert_type(archive.provider.details(await archive.jobs.get("VX-1")), VidispineJob)


async def jobs(client: Client[Any], job: Job) -> None:
    made = await client.jobs.create(
        "Publish sh010",
        user="jane",
        state=JobState.RUNNING,
        priority=70,
        attributes={"shot": "sh010", "frames": [1001, 1100]},
        files=["a.exr", File(b"x", name="b.txt")],
    )
    assert_type(made, Job)
    assert_type(await client.jobs.create_many(NewJob(name=str(n)) for n in range(3)), list[Job])
    assert_type(await client.jobs.get(job.id), Job)
    assert_type(await client.jobs.get_many([job, "id"]), list[Job | None])
    assert_type(await client.jobs.update(job, state=JobState.DONE, progress=None), Job)
    assert_type(await client.jobs.update_many([job], priority=10), list[Job])
    assert_type(await client.jobs.cancel(job), Job)
    assert_type(await client.jobs.rerun(job, idempotency_key="again"), Job)
    assert_type(await client.jobs.mirror(job, into=client, files=False, timeout=5), Job)
    assert_type(await client.jobs.problem(job), str | None)
    assert_type(await client.jobs.allows(job, "abort", "jane"), bool)
    assert_type(await client.jobs.count(states={JobState.FAILED}, max_age=5), int)
    await client.jobs.delete(job)


async def listings(client: Client[Any], since: datetime) -> None:
    listing = client.jobs.list(states={JobState.RUNNING}, user="jane", created_after=since, page_size=100)
    async for job in listing:
        assert_type(job, Job)
    async for page in listing.pages():
        assert_type(page, Page[Job])
        assert_type(page.items, Sequence[Job])
    async with listing as ahead:
        async for job in ahead:
            assert_type(job, Job)
    assert_type(await listing.collect(limit=50), list[Job])
    assert_type(await listing.first(), Job | None)
    assert_type(listing.cursor, str | None)
    assert_type(await client.components.list("job").first(), Component | None)
    assert_type(await client.locations.list().first(), Location | None)


async def files(client: Client[Any], job: Job, component: Component) -> None:
    def show(transfer: Transfer) -> None:
        assert_type((transfer.name, transfer.done, transfer.total), tuple[str, int, int])

    async def show_later(transfer: Transfer) -> None:
        show(transfer)

    frames = FrameSequence("a.%04d.exr", 1001, 1100)
    attached = await client.jobs.attach(job, ["a.exr", Path("b.exr"), frames, component], on_progress=show)
    assert_type(attached, list[Component])
    assert_type(
        await client.components.upload(File("a.exr", name="beauty"), on_progress=show_later), Component
    )
    assert_type(await client.components.get(component), Component)
    assert_type(await client.components.download(component, "out/", overwrite=True), Path)
    assert_type(await client.components.url(component, expires=60), str)
    async with client.components.open(component) as chunks:
        async for chunk in chunks:
            assert_type(chunk, bytes)
    await client.components.delete(component)
    assert_type(await client.locations.get("local"), Location)


async def following(client: Client[Any], job: Job) -> None:
    assert_type(await client.jobs.wait(job, timeout=60, until=lambda seen: seen.progress == 1), Job)
    assert_type(await client.jobs.wait_all([job, "id"], until={JobState.RUNNING}), list[Job])
    async for change in client.jobs.watch(job, "id"):
        assert_type(change, JobChange)
        assert_type(change.previous, Job | None)
    async for change in client.jobs.watch(states={JobState.FAILED}):
        assert_type(change.current, Job | None)
    assert_type(callsheet.changes(job, job), list[FieldChange])


async def tracking(client: Client[Any], job: Job) -> None:
    async with client.jobs.track("Transcode", user="jane", lease=60, beat=15, on_cancel="ignore") as tracked:
        assert_type(tracked, Tracked)
        assert_type(tracked.job, Job)
        tracked.progress(0.4, "frame 400 of 1000")
        tracked.progress(None)
        assert_type(await tracked.attach(["out.mov"]), list[Component])
        await tracked.update(description="so far so good")


async def slips(client: Client[Any], job: Job, tracked: Tracked) -> None:
    """What is mistyped, a type checker says; a `type: ignore` that is not needed is an error."""
    await client.jobs.update_many([job], status="done")  # type: ignore[call-arg]  # state=
    await client.jobs.update_many([job], progress="40%")  # type: ignore[arg-type]  # 0.4
    await client.jobs.count(state="failed")  # type: ignore[call-arg]  # states=
    client.jobs.watch(state="failed")  # type: ignore[call-arg]  # states=
    client.jobs.watch(job, timeout=5)  # type: ignore[call-arg]  # there is none
    await tracked.update(progres=0.4)  # type: ignore[call-arg]  # progress=
    await tracked.attach(["out.mov"], onprogress=print)  # type: ignore[call-arg]  # on_progress=


def values(job: Job, component: Component) -> None:
    assert_type((job.id, job.tracker, job.name, job.state), tuple[str, str, str, JobState])
    assert_type((job.ended, job.progress, job.priority), tuple[bool, float | None, int | None])
    assert_type((job.created_at, job.finished_at), tuple[datetime | None, datetime | None])
    assert_type(job.missing, frozenset[str])
    assert_type((component.size, component.checksum), tuple[int | None, str | None])


def errors(error: Exception) -> None:
    match error:
        case AttachError():
            assert_type(error.attached, list[Component])
            assert_type(error.failed, dict[Any, Exception])
        case BulkError():
            assert_type(error.done, list[Job])
            assert_type(error.failed, dict[int, Exception])
        case WaitTimeout():
            assert_type(error.job, Job | None)
        case Unsupported():
            assert_type((error.call, error.hint), tuple[str, str])
        case RateLimited():
            assert_type(error.retry_after, float | None)
        case InvalidResponse():
            assert_type(error.path, str)
        case ResponseError():
            assert_type((error.status, error.code, error.message), tuple[int | None, str | None, str])
        case CallsheetError():
            assert_type(error.outcome, Outcome)
            assert_type(error.idempotency_key, str | None)
        case _:
            assert_type(error, Exception)


class Queue(Provider):
    """The smallest tracker that a stranger may write."""

    name = "queue"
    capabilities = frozenset({"list"})

    @property
    def tracker(self) -> str:
        return "queue://here"

    @property
    def user(self) -> str:
        return "jane"

    async def open(self) -> None: ...

    async def aclose(self) -> None: ...

    def as_user(self, name: str) -> Self:
        return self

    async def get_jobs(self, ids: Sequence[str]) -> list[Job | None]:
        return [None for _ in ids]

    async def page_jobs(self, wanted: JobFilter, *, after: Position | None, size: int) -> Slice[Job]:
        return Slice([])

    async def count_jobs(self, wanted: JobFilter) -> int:
        return 0


assert_type(Client(Queue()).provider, Queue)
