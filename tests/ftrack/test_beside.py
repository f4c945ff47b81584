"""callsheet and ftrack's own Python client side by side: what one writes, the other reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from callsheet import Client, File, FrameSequence, JobState
from callsheet.providers.ftrack import FtrackProvider
from callsheet.sandbox import Sandbox
from support.vendors import run_python

# The other client takes long to start.
pytestmark = pytest.mark.timeout(180)


def beside(sandbox: Sandbox, *arguments: str) -> Any:
    """Return what the other client says."""
    script = Path(__file__).with_name("beside.py")
    return run_python("ftrack", script, *arguments, environment=sandbox.environment)


async def test_it_reads_what_we_write(
    client: Client[FtrackProvider], sandbox: Sandbox, tmp_path: Path
) -> None:
    """Our jobs, attachments and sequences are to it as if it had made them."""
    for number in (1, 2):
        (tmp_path / f"a.{number:04}.exr").write_bytes(b"frame")
    job = await client.jobs.create("Publish", description="3 files", user="jane")
    await client.jobs.attach(
        job, [File(b"frames", name="out.mov"), FrameSequence(tmp_path / "a.%04d.exr", 1, 2)]
    )
    await client.jobs.update(job, state=JobState.CANCELLED, progress=0.5)
    assert beside(sandbox, "read", job.id) == {
        "status": "failed",
        "user": "jane",
        "description": "Publish: 3 files (50 %)",
        "kept": None,
        "attached": {"out.mov": [6, "frames"], "a.%04d.exr": [10, ["0001", "0002"]]},
    }


async def test_we_read_what_it_writes(
    client: Client[FtrackProvider], sandbox: Sandbox, tmp_path: Path
) -> None:
    """Its jobs and attachments are found, followed and changed by us, and it finds its own data again."""
    (tmp_path / "plate.dpx").write_bytes(b"plate")
    id_ = beside(sandbox, "write", str(tmp_path / "plate.dpx"))["id"]
    (job,) = await client.jobs.list(user="jane", states={JobState.RUNNING}).collect()
    assert (job.id, job.name, job.user) == (id_, "Bake", "jane")
    (part,) = await client.components.list(job).collect()
    assert (part.name, part.size, part.checksum) == ("plate.dpx", 5, None)
    assert (await client.components.download(part, to=tmp_path / "copy.dpx")).read_bytes() == b"plate"
    await client.jobs.update(job, state=JobState.DONE, message="ready")
    assert beside(sandbox, "read", job.id) == {
        "status": "done",
        "user": "jane",
        "description": "Bake (ready)",
        "kept": [1, 2],
        "attached": {"plate.dpx": [5, "plate"]},
    }
