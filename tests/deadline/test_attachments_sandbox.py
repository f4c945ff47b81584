"""Files of Deadline's jobs, there and back, with a farm and an S3 that are not of our own making."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio.to_thread
import httpx
import pytest

from callsheet import AttachError, Client, File, Job, JobState, NotFound
from callsheet.providers.deadline import DeadlineProvider
from callsheet.sandbox import Sandbox
from support.deadlinehand import TEMPLATE, environment, quiet_farm

pytestmark = pytest.mark.timeout(180)

FILES = {"a.ma": b"scene", "tex/b.tx": os.urandom(3 << 19), "tex/large.tx": os.urandom(9 << 20)}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A farm without workers for all tests here: its S3 takes seconds to load."""
    with Sandbox() as sandbox, environment(sandbox.environment):
        quiet_farm(sandbox)
        httpx.get(sandbox.environment["AWS_ENDPOINT_URL_S3"], trust_env=False, timeout=60)
        yield sandbox


@pytest.fixture
def shot(tmp_path: Path) -> Path:
    """A folder with a small, a middling and a large file."""
    shot = tmp_path / "shot"
    for name, data in FILES.items():
        (shot / name).parent.mkdir(parents=True, exist_ok=True)
        (shot / name).write_bytes(data)
    return shot


async def make(client: Client[Any], shot: Path, **more: Any) -> Job:
    """Make a job of the folder's files."""
    options = {"files": [shot / name for name in FILES], "outputs": [shot / "renders"], **more}
    return await client.jobs.create("render", template=TEMPLATE, **options)


async def test_there_and_back(
    client: Client[DeadlineProvider], sandbox: Sandbox, shot: Path, tmp_path: Path
) -> None:
    """Inputs of any size come back as they went, outputs lie where the job wrote them, links can be read."""
    job = await make(client, shot)
    attachments = client.provider.details(job).attachments
    assert attachments is not None
    assert [(root.root_path, root.output_relative_directories) for root in attachments.manifests] == [
        (str(shot), ("renders",))
    ]
    inputs = await client.components.list(job).collect()
    assert {one.details.path: one.size for one in inputs} == {name: len(data) for name, data in FILES.items()}
    for one in inputs:
        path = await client.components.download(one, to=tmp_path / "back" / one.details.path)
        assert await anyio.Path(path).read_bytes() == FILES[one.details.path]
    link = await client.components.url(inputs[0])
    answer = await anyio.to_thread.run_sync(lambda: httpx.get(link, trust_env=False))
    assert answer.content == b"scene"
    sandbox.act("deadline", "finish", jobs=[job.id])
    assert (await client.jobs.wait(job)).state is JobState.DONE
    paths = await client.provider.download_outputs(job, tmp_path / "out")
    assert [str(path.relative_to(tmp_path / "out")) for path in paths] == ["renders/Render-0000.txt"]
    listed = await client.components.list(job).collect()
    assert [one.role for one in listed] == ["input"] * 3 + ["output"]
    location = await client.locations.get(str(listed[0].location_id))
    assert (location, location.kind) == (await client.locations.get(location.name), "bucket")
    with pytest.raises(NotFound):
        await client.locations.get("elsewhere")


async def test_the_same_job_again(client: Client[DeadlineProvider], sandbox: Sandbox, shot: Path) -> None:
    """A create that is repeated with its key and files returns the job; a job without files needs no S3."""
    key, before = str(shot), await client.jobs.count()
    job = await make(client, shot, idempotency_key=key)
    assert await make(client, shot, idempotency_key=key) == job
    assert len(sandbox.requests("*/user-roles")) == 1
    assert len(sandbox.requests("*/queues/*/jobs", method="POST")) == 2
    assert await client.jobs.count() == before + 1


async def test_no_job_without_its_files(
    client: Client[DeadlineProvider], sandbox: Sandbox, shot: Path
) -> None:
    """If a file is missing, Deadline is not asked for anything."""
    with pytest.raises(AttachError, match=r"no job was made.*gone\.ma") as caught:
        await make(client, shot, files=[shot / "gone.ma", File(b"x", name="x")], idempotency_key="k-1")
    assert (caught.value.idempotency_key, caught.value.provider) == ("k-1", "deadline")
    assert sandbox.requests() == []
    plain = await client.jobs.create("plain", template=TEMPLATE)
    assert await client.components.list(plain).collect() == []
    assert sandbox.requests("*/user-roles") == []
