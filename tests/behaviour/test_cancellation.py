"""Every call cancelled at each of its checkpoints: nothing half done or left, and the repeat is safe."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from callsheet import Client, Component, File, Job, JobState, NewJob
from rig import Rig
from support import scale
from support.checkpoints import Cut, cut_at
from support.needs import needs

CONTENT = os.urandom(2_500_000)


def checkpoints() -> Iterator[int]:
    """Yield at which checkpoint to cut: each of the first twenty, of the others some or, in full, all."""
    yield from range(1, 21)
    yield from range(21, 1000, scale(7, 1))


async def at_each_checkpoint(attempt: Callable[[int], Awaitable[Cut[Any]]]) -> None:
    """Make an attempt for each checkpoint, until one comes to its end before that."""
    for checkpoint in checkpoints():
        cut = await attempt(checkpoint)
        if not cut.reached:
            break
    assert not cut.reached
    assert not cut.cancelled
    assert checkpoint > 1


def names(jobs: list[Job]) -> list[str]:
    """Return the jobs' names, sorted."""
    return sorted(job.name for job in jobs)


# -- jobs ----------------------------------------------------------------------------------------------------


@needs("create(idempotency_key=)")
async def test_create(rig: Rig, client: Client[Any]) -> None:
    """A cancelled create made a job or none; with its key it makes one."""

    async def attempt(checkpoint: int) -> Cut[Job]:
        create = partial(client.jobs.create, f"job {checkpoint}", idempotency_key=f"k-{checkpoint}")
        cut = await cut_at(checkpoint, create)
        job = await create()
        assert cut.result in (None, job)
        found = [one for one in await client.jobs.list().collect() if one.name == job.name]
        assert found == [job]
        return cut

    await at_each_checkpoint(attempt)


@needs("create_many", "create(idempotency_key=)")
async def test_create_many(rig: Rig, client: Client[Any]) -> None:
    """A cancelled call made all of many jobs or, on an atomic tracker, none; the repeat completes it."""

    async def attempt(checkpoint: int) -> Cut[list[Job]]:
        wanted = [f"{checkpoint}/{number}" for number in range(3)]
        create = partial(
            client.jobs.create_many, [NewJob(name=name) for name in wanted], idempotency_key=f"k-{checkpoint}"
        )
        cut = await cut_at(checkpoint, create)
        there = [name for name in names(await client.jobs.list().collect()) if name in wanted]
        assert there in ([], wanted) or not rig.atomic
        assert names(await create()) == wanted
        assert [name for name in names(await client.jobs.list().collect()) if name in wanted] == wanted
        return cut

    await at_each_checkpoint(attempt)


@needs("update(name=)", "update(description=)", "update(state=)")
async def test_update(rig: Rig, client: Client[Any]) -> None:
    """A cancelled update was made whole or not at all."""

    async def attempt(checkpoint: int) -> Cut[Job]:
        old = await rig.make_job("old")
        changes: dict[str, Any] = {"name": "new", "description": "new", "state": JobState.DONE}
        cut = await cut_at(checkpoint, partial(client.jobs.update, old, **changes))
        there = await client.jobs.get(old)
        words = (there.name, there.description, there.state, there.ended)
        assert words in {("old", "", JobState.QUEUED, False), ("new", "new", JobState.DONE, True)}
        assert cut.result in (None, there)
        return cut

    await at_each_checkpoint(attempt)


@needs("update(name=)")
async def test_update_many(rig: Rig, client: Client[Any]) -> None:
    """Of many jobs in one cancelled update all were changed or, on an atomic tracker, none."""

    async def attempt(checkpoint: int) -> Cut[list[Job]]:
        jobs = await rig.make_jobs(5)
        cut = await cut_at(checkpoint, partial(client.jobs.update_many, jobs, name="new"))
        there = [job.name for job in await client.jobs.get_many(jobs) if job is not None]
        assert there in (["new"] * 5, [job.name for job in jobs]) or not rig.atomic
        assert [job.name for job in await client.jobs.update_many(jobs, name="new")] == ["new"] * 5
        return cut

    await at_each_checkpoint(attempt)


@needs("cancel", "delete")
async def test_cancel_and_delete(rig: Rig, client: Client[Any]) -> None:
    """A cancelled cancel or delete was done or not; the job is whole in between."""

    async def cancel(checkpoint: int) -> Cut[Job]:
        job = await rig.make_job()
        cut = await cut_at(checkpoint, partial(client.jobs.cancel, job))
        there = await client.jobs.get(job)
        assert there == job or (there.state, there.ended) == (JobState.CANCELLED, True)
        assert (await client.jobs.cancel(job)).state is JobState.CANCELLED
        return cut

    async def delete(checkpoint: int) -> Cut[None]:
        job = await rig.doomed(await rig.make_job())
        parts = []
        if rig.supports("attach"):
            parts = await rig.hand.jobs.attach(job, [File(b"x", name="x")])
        cut = await cut_at(checkpoint, partial(client.jobs.delete, job))
        (there,) = await client.jobs.get_many([job])
        components = await client.components.list().collect() if parts else []
        left = [part for part in parts if part.id in {one.id for one in components}]
        assert (there, left) in [(job, parts), (None, [])]
        return cut

    await at_each_checkpoint(cancel)
    await at_each_checkpoint(delete)


@needs("rerun", "rerun(idempotency_key=)")
async def test_rerun(rig: Rig, client: Client[Any]) -> None:
    """A cancelled rerun made a job or none; with its key it makes one."""

    async def attempt(checkpoint: int) -> Cut[Job]:
        job = await rig.make_job()
        rerun = partial(client.jobs.rerun, job, idempotency_key=f"k-{checkpoint}")
        cut = await cut_at(checkpoint, rerun)
        new = await rerun()
        assert [one for one in await client.jobs.list().collect() if one.source_id == job.id] == [new]
        return cut

    await at_each_checkpoint(attempt)


# -- reading -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [False, True])
async def test_listing(rig: Rig, client: Client[Any], *, ahead: bool) -> None:
    """A listing cancelled anywhere goes on where it was, having lost and repeated nothing."""
    jobs = await rig.make_jobs(9)

    async def attempt(checkpoint: int) -> Cut[None]:
        listing = client.jobs.list(page_size=3)
        seen: list[Job] = []

        async def read() -> None:
            if ahead:
                async with listing:
                    await read_on()
            else:
                await read_on()

        async def read_on() -> None:
            async for job in listing:
                seen.append(job)  # noqa: PERF401 - those seen before the cut count, too

        cut = await cut_at(checkpoint, read)
        assert seen + await listing.collect() == jobs[::-1]
        return cut

    await at_each_checkpoint(attempt)


async def test_reading_calls(rig: Rig, client: Client[Any]) -> None:
    """Calls that only read may be cancelled anywhere, and the next one is right."""
    job = await rig.make_job()
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "get": lambda: client.jobs.get(job),
        "count": client.jobs.count,
        "list": lambda: client.jobs.list().collect(),
    }
    for call in calls.values():
        right = await call()

        async def attempt(
            checkpoint: int, call: Callable[[], Awaitable[Any]] = call, right: Any = right
        ) -> Cut[Any]:
            cut = await cut_at(checkpoint, call)
            assert cut.result in (None, right)
            assert await call() == right
            return cut

        await at_each_checkpoint(attempt)


async def test_wait(rig: Rig, client: Client[Any]) -> None:
    """A wait cancelled anywhere, alone or while others wait, disturbs no other wait."""

    async def attempt(checkpoint: int) -> Cut[Job]:
        job, other = await rig.make_jobs(2)
        async with anyio.create_task_group() as tasks:
            if checkpoint % 2:
                tasks.start_soon(client.jobs.wait, other)
                await anyio.wait_all_tasks_blocked()
            (done,) = await rig.finish(job)
            cut = await cut_at(checkpoint, partial(client.jobs.wait, job))
            assert cut.result in (None, done)
            assert await client.jobs.wait(job) == done
            await rig.finish(other)
        return cut

    await at_each_checkpoint(attempt)


# -- files ---------------------------------------------------------------------------------------------------


async def whole(client: Client[Any], part: Component) -> bool:
    """Tell whether a component has its bytes; reading it verifies them."""
    async with client.components.open(part) as chunks:
        return b"".join([chunk async for chunk in chunks]) == CONTENT[: part.size]


@needs("upload", "components.list", "open")
async def test_upload(rig: Rig, client: Client[Any], tmp_path: Path) -> None:
    """A cancelled upload made a whole component or none; with its key it makes one."""
    path = tmp_path / "plate.mov"
    await anyio.to_thread.run_sync(path.write_bytes, CONTENT)

    async def attempt(checkpoint: int) -> Cut[Component]:
        upload = partial(client.components.upload, path, idempotency_key=f"k-{checkpoint}")
        before = {part.id for part in await client.components.list().collect()}
        cut = await cut_at(checkpoint, upload)
        part = await upload()
        assert cut.result in (None, part)
        assert {one.id for one in await client.components.list().collect()} - before == {part.id}
        assert await whole(client, part)
        return cut

    await at_each_checkpoint(attempt)


@needs("attach", "components.list", "open")
async def test_attach(rig: Rig, client: Client[Any], tmp_path: Path) -> None:
    """A cancelled attach attached all files or none, each whole; called again it completes."""
    paths = [tmp_path / f"part {number}" for number in range(3)]
    for number, path in enumerate(paths):
        await anyio.to_thread.run_sync(path.write_bytes, CONTENT[: 1_200_000 * number])

    async def attempt(checkpoint: int) -> Cut[list[Component]]:
        job = await rig.make_job()
        cut = await cut_at(checkpoint, partial(client.jobs.attach, job, paths))
        there = await client.components.list(job).collect()
        assert sorted(part.name for part in there) in ([], [path.name for path in paths])
        again = await client.jobs.attach(job, paths)
        for part in [*there, *again]:
            assert await whole(client, part)
        return cut

    await at_each_checkpoint(attempt)


@needs("download", "upload")
async def test_download(rig: Rig, client: Client[Any], tmp_path: Path) -> None:
    """After a cancelled download there is a whole file or none; called again there is one, and no other."""
    part = await client.components.upload(File(CONTENT, name="plate.mov"))

    async def attempt(checkpoint: int) -> Cut[Path]:
        folder = tmp_path / str(checkpoint)
        folder.mkdir()
        path = folder / "plate.mov"
        cut = await cut_at(checkpoint, partial(client.components.download, part, folder))
        if path.exists():
            assert await anyio.to_thread.run_sync(path.read_bytes) == CONTENT
        assert await client.components.download(part, folder, overwrite=True) == path
        assert await anyio.to_thread.run_sync(path.read_bytes) == CONTENT
        assert [one.name for one in folder.iterdir()] == ["plate.mov"]
        return cut

    await at_each_checkpoint(attempt)


@needs("open", "upload")
async def test_open(rig: Rig, client: Client[Any]) -> None:
    """Reading a component may be cancelled anywhere; nothing stays open."""
    part = await client.components.upload(File(CONTENT, name="plate.mov"))
    await at_each_checkpoint(lambda checkpoint: cut_at(checkpoint, partial(whole, client, part)))
    assert await whole(client, part)


# -- tracking ------------------------------------------------------------------------------------------------


@needs("track")
async def test_track(rig: Rig, client: Client[Any]) -> None:
    """A tracked block cut anywhere, at its entry, too, leaves a job that has ended, or no job at all."""

    async def attempt(checkpoint: int) -> Cut[None]:
        name = f"job {checkpoint}"

        async def work() -> None:
            async with client.jobs.track(name, beat=0.05) as tracked:
                tracked.progress(0.5)
                await anyio.lowlevel.checkpoint()

        cut = await cut_at(checkpoint, work)
        found = [job for job in await client.jobs.list().collect() if job.name == name]
        assert [(job.ended, job.problem) for job in found] in ([], [(True, None)])
        return cut

    await at_each_checkpoint(attempt)
