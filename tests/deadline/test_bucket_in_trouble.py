"""A queue's bucket in trouble: no job is made without its files, and none of its outputs is lost."""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
from xxhash import xxh3_128_hexdigest

from callsheet import AttachError, Client, Job, Outcome, RateLimited, TransportError
from callsheet.providers.deadline import DeadlineProvider
from callsheet.sandbox import Sandbox
from faultserver import FaultServer, Line, Request
from support.deadlinehand import FARM, QUEUE, TEMPLATE, quiet_farm
from support.roads import QUICK
from support.s3store import Store, Strike, error, lose_answer, slow_down

Deadline = Client[DeadlineProvider]

PART = 10_000
INPUTS = {"a.ma": b"scene", "tex/b.tx": os.urandom(PART), "tex/large.tx": os.urandom(3 * PART + 1)}
OUTPUTS = {"out/beauty.exr": "image" * 10_000, "out/depth.exr": "depth", "out/empty.exr": ""}


@pytest.fixture
def sandbox(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A farm without workers, whose files are in that bucket; large ones go there in parts."""
    for module in ("callsheet._s3._parts", "callsheet.providers.deadline._sending"):
        monkeypatch.setattr(f"{module}.PART", PART)
    monkeypatch.setattr("callsheet.providers.deadline._sending.SMALL", PART // 2)
    with Sandbox(s3=server.url) as sandbox:
        for name, value in sandbox.environment.items():
            monkeypatch.setenv(name, value)
        quiet_farm(sandbox)
        yield sandbox


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[Deadline]:
    """A client that tries as often as others, with hardly a pause."""
    provider = DeadlineProvider(FARM, QUEUE)
    provider._server.options = attrs.evolve(provider._server.options, retry=QUICK)
    async with Client(provider) as client:
        yield client


@pytest.fixture
def show(tmp_path: Path) -> Path:
    """A folder with a small, a middling and a large file."""
    for name, data in INPUTS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    return tmp_path


async def make(client: Deadline, show: Path, **more: Any) -> Job:
    """Make a job of the folder's files."""
    files = [show / name for name in INPUTS]
    return await client.jobs.create("render", template=TEMPLATE, files=files, outputs=[show / "out"], **more)


def expired() -> Strike:
    """Return the strike that takes the first keys that it sees for expired."""
    seen: list[str] = []

    def strike(line: Line, store: Store, request: Request) -> None:
        found = re.search(r"Credential=(\w+)/", request.headers["authorization"])
        assert found is not None
        seen.append(found[1])
        line.send(error(400, "ExpiredToken") if found[1] == seen[0] else store.answer(request))

    return strike


def cut(line: Line, store: Store, request: Request) -> None:
    """Answer half, and break off."""
    answer = store.answer(request)
    line.send(answer[: len(answer) // 2])
    line.acknowledged()
    line.reset()


TROUBLES: dict[str, Callable[[], Strike]] = {
    "lost": lambda: lose_answer,
    "busy": lambda: slow_down,
    "cut": lambda: cut,
    "keys": expired,
}


@pytest.mark.parametrize("trouble", ["lost", "busy", "keys"])
async def test_trouble_while_inputs_are_sent(
    client: Deadline, sandbox: Sandbox, store: Store, show: Path, trouble: str
) -> None:
    """Whatever the bucket does to the first tries, one job is made, and all its files are there and whole."""
    strike = TROUBLES[trouble]()
    for kind in ("HEAD", "PUT", "BEGIN", "PART", "COMPLETE"):
        store.strike(kind, *[strike] * (30 if trouble == "keys" else 2))
    job = await make(client, show)
    assert await client.jobs.list().collect() == [await client.jobs.list().first()]
    assert {data for key, data in store.objects.items() if "/Data/" in key} == set(INPUTS.values())
    assert all(xxh3_128_hexdigest(data) in key for key, data in store.objects.items() if "/Data/" in key)
    listed = await client.components.list(job).collect()
    assert {one.details.path for one in listed} == set(INPUTS)
    assert len(sandbox.requests("*/user-roles")) == (2 if trouble == "keys" else 1)


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_trouble_while_outputs_are_brought_back(
    client: Deadline, sandbox: Sandbox, store: Store, show: Path, trouble: str
) -> None:
    """Whatever the bucket does to the first tries, outputs come home whole, and links to them can be had."""
    job = await make(client, show)
    sandbox.act("deadline", "finish", job=job.id, files=OUTPUTS)
    await client.provider.queue()  # what the tasks wrote is in the bucket once Deadline has answered
    strike = TROUBLES[trouble]()
    store.strike("GET", *[strike] * (30 if trouble == "keys" else 2))
    paths = await client.provider.download_outputs(job, show / "home")
    found = {str(path.relative_to(show / "home")): path.read_text() for path in paths}
    assert found == OUTPUTS
    store.strike("HEAD", slow_down)
    (empty,) = [one for one in await client.components.list(job).collect() if one.name == "empty.exr"]
    assert "X-Amz-Expires=77&" in await client.components.url(empty, expires=77)
    assert len(sandbox.requests("*/user-roles")) == (2 if trouble == "keys" else 1)


async def test_a_bucket_that_was_emptied(
    client: Deadline, sandbox: Sandbox, store: Store, show: Path
) -> None:
    """Who knows that files are gone has the bucket asked for them; Deadline is told nothing of that."""
    await make(client, show)
    store.objects.clear()
    await make(client, show, vendor={"forceS3Check": True, "maxWorkerCount": 3})
    assert {data for key, data in store.objects.items() if "/Data/" in key} == set(INPUTS.values())
    bodies = [json.loads(one.body) for one in sandbox.requests("*/queues/*/jobs", method="POST")]
    assert bodies[1].keys() - bodies[0].keys() == {"maxWorkerCount"}


async def test_where_files_belong_and_how_workers_get_at_them(
    client: Deadline, sandbox: Sandbox, store: Store, show: Path
) -> None:
    """A job's storage profile names the root of its files, and it is told in what way they come."""
    profile, place = f"sp-{1:032x}", {"name": "Show", "path": str(show), "type": "LOCAL"}
    told = {
        "storageProfileId": profile,
        "displayName": "m",
        "osFamily": "LINUX",
        "fileSystemLocations": [place],
    }
    headers = {"content-type": "application/json"}
    path = f"*/storage-profiles/{profile}"
    sandbox.faults.add("answer", path=path, status=200, headers=headers, body=json.dumps(told))
    job = await make(client, show, vendor={"storageProfileId": profile, "fileSystem": "VIRTUAL"})
    attachments = client.provider.details(job).attachments
    assert attachments is not None
    (root,) = attachments.manifests
    assert (attachments.file_system, root.root_path) == ("VIRTUAL", str(show))
    assert root.file_system_location_name == "Show"


async def test_files_that_a_bundle_names(client: Deadline, store: Store, show: Path) -> None:
    """What a bundle refers to, and what its parameters name, comes along, and its folders are collected."""
    scene = {"name": "Scene", "type": "PATH", "objectType": "FILE", "dataFlow": "IN"}
    references = {"inputs": {"filenames": ["../tex/b.tx"]}, "outputs": {"directories": ["../out"]}}
    bundle = show / "bundle"
    bundle.mkdir()
    (bundle / "template.json").write_text(json.dumps({**TEMPLATE, "parameterDefinitions": [scene]}))
    (bundle / "asset_references.json").write_text(json.dumps({"assetReferences": references}))
    job = await client.jobs.create("x", template=bundle, parameters={"Scene": show / "a.ma"})
    attachments = client.provider.details(job).attachments
    assert attachments is not None
    told = [(root.root_path, root.output_relative_directories) for root in attachments.manifests]
    assert told == [(str(show), ("out",))]
    assert [one.details.path async for one in client.components.list(job)] == ["a.ma", "tex/b.tx"]
    assert job.attributes == {"Scene": str(show / "a.ma")}


def test_one_event_loop_after_the_other(sandbox: Sandbox, store: Store, show: Path) -> None:
    """A provider that was closed on one kind of event loop reaches its bucket on the other."""
    provider = DeadlineProvider(FARM, QUEUE)

    async def work() -> list[str]:
        async with Client(provider) as client:
            job = await make(client, show)
            return sorted([one.details.path async for one in client.components.list(job)])

    for backend in ("asyncio", "trio", "asyncio"):
        assert anyio.run(work, backend=backend) == sorted(INPUTS)


async def test_whose_the_bucket_must_be(
    client: Deadline, sandbox: Sandbox, server: FaultServer, show: Path
) -> None:
    """Each request is signed with the queue's role, and says whose bucket it must be."""
    await client.components.list(await make(client, show)).collect()
    keys = {re.search(r"Credential=(\w+)/", one.headers["authorization"]) for one in server.requests}
    assert {key and key[1][:4] for key in keys} == {"ASIA"}
    owners = {one.headers.get("x-amz-expected-bucket-owner") for one in server.requests}
    assert owners == {"123456789012"}


@pytest.mark.parametrize(("strike", "kind"), [(slow_down, RateLimited), (lose_answer, TransportError)])
async def test_a_bucket_that_stays_in_trouble(
    client: Deadline, sandbox: Sandbox, store: Store, show: Path, strike: Strike, kind: type[Exception]
) -> None:
    """If a file cannot be sent at all, no job is made, and the next call makes it."""
    store.strike("PUT", *[strike] * 99)
    with pytest.raises(AttachError, match="no job was made") as caught:
        await make(client, show)
    assert {type(error) for error in caught.value.failed.values()} == {kind}
    assert caught.value.outcome is Outcome.NOT_DONE
    assert sandbox.requests("*/queues/*/jobs", method="POST") == []
    store._strikes.clear()
    await make(client, show)
    assert await client.jobs.count() == 1
