"""Test a program of your own against trackers on this machine, which fail when told to.

    pip install 'callsheet[sandbox]' pytest
    pytest examples/test_with_sandbox.py

The fixtures `callsheet_sandbox`, `callsheet_faults` and `callsheet_clock` come with callsheet. Each test has
a sandbox of its own, and `connect("ftrack:")` finds it, because the fixture sets ftrack's variables.
"""

from __future__ import annotations

from pathlib import Path

import anyio
import httpx
import pytest

import callsheet
from callsheet import Job, JobState
from callsheet.sandbox import ClockControl, FaultControl, Sandbox

pytestmark = pytest.mark.anyio

FRAMES = b"frames" * 10_000


@pytest.fixture
def anyio_backend() -> str:
    """The event loop of these tests; `trio` would do as well."""
    return "asyncio"


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    """A file to publish."""
    path = tmp_path / "plate.mov"
    path.write_bytes(FRAMES)
    return path


async def publish(path: Path) -> Job:
    """Show a job for jane, attach a file to it, and say that it is done: the program under test."""
    async with callsheet.connect("ftrack:") as client:
        job = await client.jobs.create(f"Publish {path.name}", user="jane", state=JobState.RUNNING)
        await client.jobs.attach(job, [path])
        return await client.jobs.update(job, state=JobState.DONE)


async def test_what_was_published_can_be_downloaded(callsheet_sandbox: Sandbox, plate: Path) -> None:
    """The job is done, and its file comes back as it was."""
    job = await publish(plate)
    async with callsheet.connect("ftrack:") as client:
        (part,) = await client.components.list(job=job).collect()
        copy = await client.components.download(part, to=f"{plate.parent}/copies/")
    assert job.state is JobState.DONE
    assert await anyio.Path(copy).read_bytes() == FRAMES
    assert len(callsheet_sandbox.requests(method="PUT")) == 1


async def test_a_lost_answer_makes_no_second_job(callsheet_faults: FaultControl, plate: Path) -> None:
    """The server makes the job and the line breaks before it says so: there is still one job."""
    callsheet_faults.add("lost", path="/api", contains='"create"', nth=1)
    await publish(plate)
    assert callsheet_faults.struck() == 1
    async with callsheet.connect("ftrack:") as client:
        assert await client.jobs.count() == 1


async def test_a_busy_server_is_asked_again(callsheet_faults: FaultControl, plate: Path) -> None:
    """Being told to slow down, and a broken proxy, only take time."""
    callsheet_faults.add("status", status=429, retry_after=0, path="/api", nth=[2, 4])
    callsheet_faults.add("html", status=502, method="PUT", nth=1)
    job = await publish(plate)
    assert (job.state, callsheet_faults.struck()) == (JobState.DONE, 3)


async def test_links_do_not_live_for_ever(callsheet_clock: ClockControl, plate: Path) -> None:
    """A link to a file that was sent to somebody is of no use the next day."""
    job = await publish(plate)
    async with callsheet.connect("ftrack:") as client:
        part = await client.components.list(job=job).first()
        assert part is not None
        link = await client.components.url(part)
    async with httpx.AsyncClient() as http:
        assert (await http.get(link)).status_code == 200
        callsheet_clock.advance(24 * 3600)
        assert (await http.get(link)).status_code == 403
