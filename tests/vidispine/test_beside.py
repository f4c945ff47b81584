"""callsheet and Vidispine's official SDK side by side: what one writes, the other reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from callsheet import Client, File, JobState
from callsheet.providers.vidispine import VidispineProvider
from callsheet.sandbox import Sandbox
from support.vendors import run_python


@pytest.fixture(autouse=True)
def frozen(sandbox: Sandbox) -> None:
    """Time passes only as the tests say."""
    sandbox.clock.freeze()


def beside(sandbox: Sandbox, *arguments: str) -> Any:
    """Return what the other client says."""
    script = Path(__file__).with_name("beside.py")
    return run_python("vidispine", script, *arguments, environment=sandbox.environment)


async def test_it_reads_what_we_write(client: Client[VidispineProvider], sandbox: Sandbox) -> None:
    """An import of ours, made for somebody with attributes, is to it as if it had made it."""
    job = await client.jobs.create(
        "Plate", user="jane", priority=70, attributes={"shot": "sh010"}, files=[File(b"plate", name="a.mov")]
    )
    sandbox.clock.advance(60)
    assert beside(sandbox, "read", job.id) == {
        "status": "FINISHED",
        "type": "RAW_IMPORT",
        "user": "jane",
        "priority": "HIGH",
        "filename": "a.mov",
        "shot": "sh010",
        "files": ["plate"],
    }


async def test_we_read_what_it_writes(
    client: Client[VidispineProvider], sandbox: Sandbox, tmp_path: Path
) -> None:
    """An import of its is found by its metadata, followed to its end, and its file downloaded."""
    (tmp_path / "plate.mov").write_bytes(b"plate")
    id_ = beside(sandbox, "write", str(tmp_path / "plate.mov"))
    (job,) = await client.jobs.list(attributes={"shot": "sh010"}).collect()
    assert (job.id, job.type, job.state, job.user, job.priority) == (
        *(id_, "RAW_IMPORT", JobState.QUEUED),
        *("admin", 70),
    )
    sandbox.clock.advance(60)
    done = await client.jobs.wait(job, timeout=10)
    assert (done.state, done.progress) == (JobState.DONE, 1.0)
    (part,) = await client.components.list(done).collect()
    assert part.size == 5
    assert (await client.components.download(part, to=tmp_path / "copy.mov")).read_bytes() == b"plate"


async def test_we_see_what_it_does_to_our_jobs(client: Client[VidispineProvider], sandbox: Sandbox) -> None:
    """It changes, repeats and aborts a job of ours, and we see each of that."""
    job = await client.jobs.create("Render", type="STUDIO_RENDER", priority=90)
    again = beside(sandbox, "act", job.id)
    sandbox.clock.advance(60)
    seen = await client.jobs.get_many([job.id, again])
    assert [(one.priority, one.state, one.ended) for one in seen if one] == [
        (10, JobState.DONE, True),
        (10, JobState.CANCELLED, True),
    ]
