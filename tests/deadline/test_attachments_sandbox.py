"""Files of Deadline's jobs, there and back, with a farm and an S3 that are not of our own making."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import anyio.to_thread
import attrs
import httpx
import pytest

from callsheet import AttachError, Client, File, Job, JobState, NotFound
from callsheet.providers.deadline import DeadlineProvider
from callsheet.sandbox import Sandbox
from support.deadlinehand import TEMPLATE, environment, quiet_farm
from support.vendors import run_python

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
    answer = await anyio.to_thread.run_sync(lambda: httpx.get(link, trust_env=False, timeout=60))
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


async def test_the_deadline_command_reads_our_files(
    client: Client[DeadlineProvider], sandbox: Sandbox, shot: Path
) -> None:
    """AWS's own command brings back the inputs and outputs of a job that was made here."""
    job = await make(client, shot)
    sandbox.act("deadline", "finish", jobs=[job.id])
    await anyio.to_thread.run_sync(shutil.rmtree, shot)
    assert await beside(sandbox, "fetch", job.id) == job.id
    assert await anyio.to_thread.run_sync(tree, shot) == {**FILES, "renders/Render-0000.txt": ANY}


async def test_files_of_the_deadline_command(
    client: Client[DeadlineProvider], sandbox: Sandbox, shot: Path, tmp_path: Path
) -> None:
    """A job that AWS's own command has submitted has its files here, too, and shares them with ours."""
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "template.json").write_text(json.dumps(TEMPLATE))
    inputs = {"filenames": [str(shot / name) for name in FILES], "directories": []}
    references = {"assetReferences": {"inputs": inputs, "outputs": {"directories": [str(shot / "renders")]}}}
    (bundle / "asset_references.json").write_text(json.dumps(references))
    theirs = await beside(sandbox, "submit", str(bundle), str(shot))
    ours = await client.jobs.create("render", template=bundle)
    listed = [await client.components.list(job).collect() for job in (theirs, ours)]
    facts = [[attrs.evolve(one, id="", job_id="", created_at=None) for one in files] for files in listed]
    assert facts[0] == facts[1]
    assert [one.details for one in listed[0]] == [one.details for one in listed[1]]
    assert {one.details.path for one in listed[0]} == set(FILES)
    for one in listed[0]:
        async with client.components.open(one) as chunks:
            assert b"".join([chunk async for chunk in chunks]) == FILES[one.details.path]


async def test_a_bundle_travels_as_with_the_deadline_command(
    client: Client[DeadlineProvider], sandbox: Sandbox, tmp_path: Path
) -> None:
    """Paths of a bundle's parameters lead to the same values, roots and files as with AWS's own command."""
    bundle = tmp_path / "bundle"
    for name in ("show/scenes/a.ma", "show/caches/deep/b.bin", "show/tex/c.tx", "show/tex/d.tx"):
        (bundle / name).parent.mkdir(parents=True, exist_ok=True)
        (bundle / name).write_text(name)
    paths = [
        {"name": name, "type": kind, "objectType": thing, "dataFlow": flow, "default": default}
        for name, kind, thing, flow, default in (
            ("Scene", "PATH", "FILE", "IN", "show/scenes/a.ma"),
            ("Caches", "PATH", "DIRECTORY", "INOUT", "show/caches"),
            ("Movie", "PATH", "FILE", "OUT", "show/out/a.mov"),
            ("Look", "PATH", "DIRECTORY", "NONE", "./looks/../look"),
            ("Tex", "LIST[PATH]", "FILE", "IN", ["show/tex/c.tx"]),
        )
    ]
    template = {**TEMPLATE, "extensions": ["EXPR"], "parameterDefinitions": paths}
    (bundle / "template.json").write_text(json.dumps(template))
    theirs = await client.jobs.get(await beside(sandbox, "submit", str(bundle), str(tmp_path)))
    ours = await client.jobs.create("render", template=bundle)
    assert [job.raw["parameters"] for job in (theirs, ours)] == [theirs.raw["parameters"]] * 2
    attached = [client.provider.details(job).attachments for job in (theirs, ours)]
    assert None not in attached
    # The objects' names differ, not what is in them.
    told = [attrs.evolve(root, input_manifest_path=None) for one in attached if one for root in one.manifests]
    assert told[0] == told[1]
    assert len(told) == 2
    assert told[0].output_relative_directories == ("show/caches", "show/out")


async def beside(sandbox: Sandbox, *words: str) -> Any:
    """Return what AWS's own command did."""
    script = Path(__file__).with_name("outputs_beside.py")
    run = partial(run_python, "deadline", script, *words, environment=sandbox.environment)
    return await anyio.to_thread.run_sync(run)


def tree(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
