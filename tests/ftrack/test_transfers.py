"""Files into and out of ftrack: whole, in parts, resumed, as sequences, and verified."""

from __future__ import annotations

import filecmp
import hashlib
import json
import os
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import attrs
import pytest

from callsheet import (
    AttachError,
    Client,
    Conflict,
    Denied,
    File,
    FrameSequence,
    IntegrityError,
    InvalidRequest,
    InvalidResponse,
    NotFound,
    Outcome,
    QuotaExceeded,
    RateLimited,
    ResponseError,
    TransportError,
    Unavailable,
    Unsupported,
)
from callsheet.providers import ftrack
from callsheet.providers.ftrack import FtrackProvider, _frames, _uploads
from callsheet.providers.ftrack._uploads import WHOLE, part_size_for
from callsheet.providers.ftrack._wire import SERVER_LOCATION
from callsheet.sandbox import Sandbox
from support import FULL
from support.ftrackclient import KEY, actions
from support.roads import QUICK

MIB = 1 << 20


def noise(size: int, seed: bytes = b"x") -> bytes:
    """Return bytes in which no part is like another."""
    block = hashlib.shake_128(seed).digest(min(size, MIB))
    return b"".join(start.to_bytes(8) + block[8:] for start in range(0, size, MIB))[:size]


def md5(data: bytes) -> str:
    return f"md5:{hashlib.md5(data, usedforsecurity=False).hexdigest()}"


async def bytes_of(client: Client[FtrackProvider], component: Any) -> bytes:
    async with client.components.open(component) as chunks:
        return b"".join([chunk async for chunk in chunks])


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files of more than 256 KiB go in parts of 64 KiB, so that tests of parts are quick."""
    monkeypatch.setattr(_uploads, "WHOLE", 256 << 10)
    monkeypatch.setattr(_uploads, "part_size_for", lambda size, buffered=False: 64 << 10)


BIG = (64 << 10) * 9 + 7
"""A size of ten parts of 64 KiB, the last one short."""


@pytest.fixture
def big(tmp_path: Path) -> Path:
    path = tmp_path / "big.mov"
    path.write_bytes(noise(BIG))
    return path


# -- sizes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "part", "buffered"),
    [
        (WHOLE + 1, 8 * MIB, 8 * MIB),
        (128 * MIB, 8 * MIB, 8 * MIB),
        (128 * MIB + 1, 16 * MIB, 16 * MIB),
        (1 << 30, 16 * MIB, 16 * MIB),
        ((1 << 30) + 1, 32 * MIB, 16 * MIB),
        (8 << 30, 32 * MIB, 16 * MIB),
        ((8 << 30) + 1, 64 * MIB, 16 * MIB),
        (64 << 30, 64 * MIB, 16 * MIB),
        ((64 << 30) + 1, 128 * MIB, 16 * MIB),
        (1 << 40, 128 * MIB, 128 * MIB),
    ],
)
def test_the_sizes_of_parts(size: int, part: int, buffered: int) -> None:
    """Parts are as large as ftrack's own client makes them; of a stream, no larger than memory shall hold."""
    assert (part_size_for(size), part_size_for(size, buffered=True)) == (part, buffered)
    assert -(-size // part) <= 10_000


@pytest.mark.loop_limit(0.5, "the test itself makes and hashes 16 MiB")
@pytest.mark.parametrize("size", [0, 1, MIB, MIB + 1, WHOLE])
async def test_files_in_one_piece(
    client: Client[FtrackProvider], sandbox: Sandbox, tmp_path: Path, size: int
) -> None:
    """Up to 16 MiB a file is one PUT between two requests to the API, and comes back as it was."""
    path = tmp_path / "a.exr"
    path.write_bytes(data := noise(size))
    part = await client.components.upload(path)
    assert (part.name, part.size, part.checksum) == ("a.exr", size, md5(data))
    assert (part.location_id, part.role, part.job_id) == (SERVER_LOCATION, None, None)
    assert [request.method for request in sandbox.requests()] == ["POST", "PUT", "POST"]
    assert await client.components.get(part) == part
    assert await bytes_of(client, part) == data


async def stream(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 100_000):
        yield data[start : start + 100_000]


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("source", ["path", "bytes", "open file", "stream"])
async def test_files_in_parts(
    client: Client[FtrackProvider], sandbox: Sandbox, big: Path, source: str
) -> None:
    """A large file from any source goes in parts and is whole afterwards; progress goes up to its size."""
    data = big.read_bytes()
    sources: dict[str, Any] = {"path": big, "bytes": data, "open file": BytesIO(data), "stream": stream(data)}
    seen: list[int] = []
    file = File(sources[source], name="big.mov", size=BIG)
    part = await client.components.upload(file, on_progress=lambda transfer: seen.append(transfer.done))
    assert (part.name, part.size, part.checksum) == ("big.mov", BIG, md5(data))
    assert await bytes_of(client, part) == data
    puts = sandbox.requests(method="PUT")
    assert sorted(request.size for request in puts) == [7, *[64 << 10] * 9]
    assert seen[-1] == BIG
    assert seen == sorted(seen)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file of 64 MiB, in full of 1 GiB, but for five bytes; and a small one beside it."""
    path = tmp_path / "large.mov"
    block = noise(MIB)
    with path.open("wb") as file:
        for index in range(SIZE // MIB):
            file.write(index.to_bytes(8) + block[8:])
        file.truncate(SIZE - 5)
    (tmp_path / "large.small").write_bytes(b"small")
    return path


SIZE, PARTS = (1 << 30, 64) if FULL else (64 << 20, 8)


async def same_content(one: Path, other: Path) -> bool:
    return await anyio.to_thread.run_sync(filecmp.cmp, one, other, False)


@pytest.mark.loop_limit(0.5, reason="the test asks the sandbox for its log, which blocks")
async def test_a_large_file(
    client: Client[FtrackProvider], sandbox: Sandbox, tmp_path: Path, large: Path
) -> None:
    """A large file goes in the parts of ftrack's table, of which at most six are in flight."""
    part = await client.components.upload(large)
    assert part.size == SIZE - 5
    assert len(sandbox.requests(method="PUT")) == PARTS
    assert sandbox.connections().most <= 7
    copy = await client.components.download(part, to=tmp_path / "copy.mov")
    assert await same_content(copy, large)


def worker(sandbox: Sandbox, path: Path) -> subprocess.Popen[str]:
    """Start an upload in a process of its own."""
    command = [sys.executable, str(Path(__file__).with_name("worker.py")), sandbox.url, str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def stored(sandbox: Sandbox) -> list[Any]:
    return [put for put in sandbox.requests(method="PUT") if put.status == 200]


def test_the_memory_of_an_upload(sandbox: Sandbox, large: Path) -> None:
    """An upload in parts takes less memory than its parts in flight have, whatever the file's size."""
    with worker(sandbox, large) as process:
        output, _ = process.communicate(timeout=300)
    id_, growth = output.split()
    assert uuid.UUID(id_)
    assert int(growth) < 40 * MIB


@pytest.mark.loop_limit(0.5, reason="the test asks the sandbox for its log, which blocks")
async def test_an_upload_that_is_killed(
    client: Client[FtrackProvider], sandbox: Sandbox, tmp_path: Path, large: Path
) -> None:
    """An upload whose process is killed goes on in another one, from the parts that storage has."""
    sandbox.faults.add("latency", path="/component/*", method="PUT", seconds=600, nth=list(range(5, 100)))
    with worker(sandbox, large) as process:
        while len(stored(sandbox)) < 4:  # noqa: ASYNC110 - what is waited for happens in the sandbox
            await anyio.sleep(0.02)
        process.kill()
    sandbox.faults.clear()
    there = len(stored(sandbox)) - 1  # the small file
    sandbox.forget_requests()
    part = await client.components.upload(large)
    sent = len(sandbox.requests(method="PUT"))
    assert PARTS - there <= sent < PARTS
    copy = await client.components.download(part, to=tmp_path / "copy.mov")
    assert await same_content(copy, large)


@pytest.mark.parametrize(
    "name", ["Käse \N{FILM FRAMES}.mov", 'say "no".txt', "a\\b", "x" * 300, ".hidden", "a."]
)
async def test_names(client: Client[FtrackProvider], name: str) -> None:
    """A component has the very name that its file was given."""
    part = await client.components.upload(File(b"data", name=name))
    assert part.name == name
    assert await bytes_of(client, part) == b"data"


# -- many ----------------------------------------------------------------------------------------------------


async def test_many_files_at_once(client: Client[FtrackProvider], sandbox: Sandbox, tmp_path: Path) -> None:
    """Thirty files are thirty PUTs over at most 32 connections, and one request that links them all."""
    paths = []
    for index in range(30):
        paths.append(tmp_path / f"{index:02}.exr")
        paths[-1].write_bytes(noise(1000 + index))
    job = await client.jobs.create("x")
    sandbox.forget_requests()
    parts = await client.jobs.attach(job, paths)
    assert [part.name for part in parts] == [path.name for path in paths]
    assert {(part.role, part.job_id) for part in parts} == {("output", job.id)}
    assert len(sandbox.requests(method="PUT")) == 30
    assert sandbox.connections().most <= 32
    assert [counts for counts in actions(sandbox) if counts["create JobComponent"]] == [
        Counter({"create JobComponent": 30})
    ]
    assert {part.id for part in await client.components.list(job).collect()} == {part.id for part in parts}


async def test_one_of_many_fails(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """A file that storage refuses does not stop the others; attaching it again goes on."""
    job = await client.jobs.create("x")
    files = [File(b"%d" % index, name=f"{index}.txt") for index in range(3)]
    sandbox.faults.add("status", path="/component/upload", contains="1", status=400)
    with pytest.raises(AttachError) as caught:
        await client.jobs.attach(job, files)
    error = caught.value
    assert [part.name for part in error.attached] == ["0.txt", "2.txt"]
    assert {file: type(why) for file, why in error.failed.items()} == {files[1]: ResponseError}
    sandbox.faults.clear()
    (part,) = await client.jobs.attach(job, list(error.failed))
    assert part.name == "1.txt"
    assert len(await client.components.list(job).collect()) == 3


# -- keys ----------------------------------------------------------------------------------------------------


async def test_a_key_makes_one_component(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """The same key returns the same component and sends no bytes; with another file it is a conflict."""
    part = await client.components.upload(File(b"data", name="a"), idempotency_key="k")
    sandbox.forget_requests()
    assert await client.components.upload(File(b"data", name="a"), idempotency_key="k") == part
    for other in (File(b"more data", name="a"), File(b"data", name="b"), File(b"DATA", name="a")):
        with pytest.raises(Conflict, match="'k'") as caught:
            await client.components.upload(other, idempotency_key="k")
        assert caught.value.outcome is Outcome.NOT_DONE
    assert sandbox.requests(method="PUT") == []
    assert await bytes_of(client, part) == b"data"


@pytest.mark.usefixtures("small_parts")
async def test_a_key_of_a_large_file(client: Client[FtrackProvider], sandbox: Sandbox, big: Path) -> None:
    """A large file's key is looked up before a byte is sent."""
    part = await client.components.upload(big, idempotency_key="k")
    sandbox.forget_requests()
    assert await client.components.upload(big, idempotency_key="k") == part
    assert [request.method for request in sandbox.requests()] == ["POST"]


async def test_keys_that_look_alike(client: Client[FtrackProvider], tmp_path: Path) -> None:
    """The inputs of a job, and the frames of a sequence, have keys that no other call can have."""
    sequence = frames(tmp_path, "a.%d.exr", 0, 1)
    await client.components.upload(sequence, idempotency_key="k")
    job = await client.jobs.create(
        "x", files=[File(b"0", name="0"), File(b"1", name="1")], idempotency_key="k"
    )
    assert [part.name for part in await client.components.list(job).collect()] == ["0", "1"]
    assert len(await client.provider.query("select id from Component")) == 5


async def test_locations_that_keep_no_bytes(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """Bytes go to `ftrack.server` alone; other places are refused, and places that do not exist not found."""
    (row,) = await client.provider.call(ftrack.create("Location", {"id": str(uuid.uuid4()), "name": "disk"}))
    for location in ("disk", row["data"]["id"], "ftrack.unmanaged"):
        with pytest.raises(Unsupported) as caught:
            await client.components.upload(File(b"data", name="a"), location=location)
        assert (caught.value.call, bool(caught.value.hint)) == ("upload(location=)", True)
    with pytest.raises(NotFound, match="nowhere"):
        await client.components.upload(File(b"data", name="a"), location="nowhere")
    assert sandbox.requests(method="PUT") == []
    for location in ("ftrack.server", SERVER_LOCATION):
        assert (await client.components.upload(File(b"data", name="a"), location=location)).size == 4


# -- resumed -------------------------------------------------------------------------------------------------


async def cut_off(client: Client[FtrackProvider], path: Path, after: int) -> None:
    """Upload a file, and cancel that once so many bytes have gone."""
    with anyio.CancelScope() as scope:

        def stop(transfer: Any) -> None:
            if transfer.done >= after:
                scope.cancel()

        await client.components.upload(path, on_progress=stop)
    assert scope.cancelled_caught


@pytest.mark.usefixtures("small_parts")
async def test_an_upload_that_was_cut_off(
    client: Client[FtrackProvider], sandbox: Sandbox, big: Path, state_folder: Path
) -> None:
    """An upload that was cut off sends only what is missing, by another client too, and leaves no journal."""
    await cut_off(client, big, after=BIG * 8 // 10)
    (journal,) = state_folder.iterdir()
    assert journal.stat().st_mode & 0o777 == 0o600
    assert KEY not in journal.read_text()
    done = journal.read_text().count('"part":')
    assert 0 < done < 10
    sandbox.forget_requests()
    async with Client(FtrackProvider(sandbox.url, user="sandbox", api_key=KEY)) as other:
        part = await other.components.upload(big)
    assert len(sandbox.requests(method="PUT")) == 10 - done
    assert await bytes_of(client, part) == big.read_bytes()
    assert list(state_folder.iterdir()) == []
    assert len(await client.components.list().collect()) == 1


@pytest.mark.usefixtures("small_parts")
async def test_the_progress_of_an_upload_that_goes_on(
    client: Client[FtrackProvider], big: Path, state_folder: Path
) -> None:
    """What an earlier call has sent is told at the beginning, and counts to the end."""
    await cut_off(client, big, after=BIG * 8 // 10)
    (journal,) = state_folder.iterdir()
    begun, *parts = map(json.loads, journal.read_text().splitlines())
    there = sum(min(begun["part_size"], BIG - (one["part"] - 1) * begun["part_size"]) for one in parts)
    told: list[int] = []

    async def note(done: int) -> None:
        told.append(done)

    await client.provider.upload(File(big), location=None, key="k", progress=note)
    assert (told[0], told[-1]) == (there, BIG)


@pytest.mark.usefixtures("small_parts")
async def test_a_journal_that_knows_too_few_links(
    client: Client[FtrackProvider], sandbox: Sandbox, big: Path, state_folder: Path
) -> None:
    """An upload does not go on by what cannot be the whole file; it starts again."""
    await cut_off(client, big, after=BIG * 8 // 10)
    (journal,) = state_folder.iterdir()
    begun, *rest = journal.read_text().splitlines()
    session = json.loads(begun)
    del session["urls"][-1]
    journal.write_text("\n".join([json.dumps(session), *rest, ""]))
    sandbox.forget_requests()
    part = await client.components.upload(big)
    assert len(sandbox.requests(method="PUT")) == 10
    assert await bytes_of(client, part) == big.read_bytes()


@pytest.mark.usefixtures("small_parts")
async def test_a_file_that_changed_since(client: Client[FtrackProvider], sandbox: Sandbox, big: Path) -> None:
    """A file that was written to since its upload was cut off is another file, and starts again."""
    await cut_off(client, big, after=BIG * 8 // 10)
    big.write_bytes(data := noise(BIG, b"other"))
    sandbox.forget_requests()
    part = await client.components.upload(big)
    assert len(sandbox.requests(method="PUT")) == 10
    assert await bytes_of(client, part) == data


@pytest.mark.usefixtures("small_parts")
async def test_links_that_are_dead(client: Client[FtrackProvider], sandbox: Sandbox, big: Path) -> None:
    """If ftrack's links have expired meanwhile, that file starts again."""
    sandbox.configure("ftrack", link_seconds=60)
    await cut_off(client, big, after=BIG * 8 // 10)
    sandbox.clock.advance(120)
    sandbox.forget_requests()
    part = await client.components.upload(big)
    assert await bytes_of(client, part) == big.read_bytes()
    assert len(sandbox.requests(method="PUT")) > 10


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize(("status", "error"), [(503, Unavailable), (429, RateLimited), (507, QuotaExceeded)])
async def test_a_storage_that_is_busy_when_it_goes_on(
    client: Client[FtrackProvider], sandbox: Sandbox, big: Path, status: int, error: type[Exception]
) -> None:
    """What a storage in trouble has of an upload is not thrown away: a later call goes on with it."""
    http = client.provider._server.http
    http.options = attrs.evolve(http.options, retry=QUICK)
    await cut_off(client, big, after=BIG * 8 // 10)
    sandbox.faults.add("status", path="/component/*", method="PUT", status=status)
    with pytest.raises(error):
        await client.components.upload(big)
    sandbox.faults.clear()
    sandbox.forget_requests()
    part = await client.components.upload(big)
    assert 0 < len(sandbox.requests(method="PUT")) < 10
    assert await bytes_of(client, part) == big.read_bytes()


@pytest.mark.usefixtures("small_parts")
async def test_a_part_that_fails(client: Client[FtrackProvider], sandbox: Sandbox, big: Path) -> None:
    """A part that fails is sent again alone."""
    sandbox.faults.add("status", path="/component/*", method="PUT", nth=[3, 5], status=503)
    sandbox.faults.add("reset", path="/component/*", method="PUT", nth=7, after=1000)
    part = await client.components.upload(big)
    assert sandbox.faults.struck() == 3
    assert len(sandbox.requests(method="PUT")) == 13
    assert await bytes_of(client, part) == big.read_bytes()


@pytest.mark.usefixtures("small_parts")
async def test_an_end_whose_answer_is_lost(
    client: Client[FtrackProvider], sandbox: Sandbox, big: Path, state_folder: Path
) -> None:
    """An upload whose last answer was lost is done, once."""
    sandbox.faults.add("lost", path="/api", contains="complete_multipart_upload", nth=1)
    part = await client.components.upload(big)
    assert [one.id for one in await client.components.list().collect()] == [part.id]
    assert await bytes_of(client, part) == big.read_bytes()
    assert list(state_folder.iterdir()) == []


@pytest.mark.usefixtures("small_parts")
async def test_an_end_that_is_refused(
    client: Client[FtrackProvider], sandbox: Sandbox, big: Path, state_folder: Path
) -> None:
    """If the server will not finish what an earlier call began, the file starts again; what is new raises."""
    await cut_off(client, big, after=BIG * 8 // 10)
    (journal,) = state_folder.iterdir()
    missing = 10 - journal.read_text().count('"part":')
    sandbox.forget_requests()
    refused = {"exception": "ValidationError", "content": "No such upload", "error_code": None}
    finish: dict[str, Any] = {"path": "/api", "contains": "complete_multipart_upload", "body": refused}
    sandbox.faults.add("answer", **finish, nth=1)
    part = await client.components.upload(big)
    assert len(sandbox.requests(method="PUT")) == missing + 10
    assert await bytes_of(client, part) == big.read_bytes()
    sandbox.faults.clear()
    sandbox.faults.add("answer", **finish)
    with pytest.raises(ResponseError, match="No such upload"):
        await client.components.upload(big)


@pytest.mark.usefixtures("small_parts")
async def test_an_end_that_must_wait(
    client: Client[FtrackProvider], sandbox: Sandbox, big: Path, state_folder: Path
) -> None:
    """If the server is only not there just then, nothing is sent again: the next call ends the upload."""
    http = client.provider._server.http
    http.options = attrs.evolve(http.options, retry=QUICK)
    await cut_off(client, big, after=BIG * 8 // 10)
    (journal,) = state_folder.iterdir()
    missing = 10 - journal.read_text().count('"part":')
    sandbox.forget_requests()
    sandbox.faults.add("status", path="/api", contains="complete_multipart_upload", status=503)
    with pytest.raises(Unavailable):
        await client.components.upload(big)
    assert len(sandbox.requests(method="PUT")) == missing
    sandbox.faults.clear()
    sandbox.forget_requests()
    part = await client.components.upload(big)
    assert sandbox.requests(method="PUT") == []
    assert await bytes_of(client, part) == big.read_bytes()


@pytest.mark.usefixtures("small_parts")
async def test_the_same_file_twice_at_once(
    client: Client[FtrackProvider], sandbox: Sandbox, big: Path, state_folder: Path
) -> None:
    """Two uploads of one file at the same time are two components, and do not share a journal."""
    job = await client.jobs.create("x")
    parts = await client.jobs.attach(job, [big, big])
    assert parts[0].id != parts[1].id
    for part in parts:
        assert await bytes_of(client, part) == big.read_bytes()
    assert list(state_folder.iterdir()) == []


@pytest.mark.usefixtures("small_parts")
async def test_no_place_for_a_journal(
    client: Client[FtrackProvider], big: Path, state_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a place for its journal an upload goes on, and says that it cannot be resumed."""
    state_folder.parent.parent.mkdir(parents=True, exist_ok=True)
    state_folder.parent.write_bytes(b"in the way")
    part = await client.components.upload(big)
    assert await bytes_of(client, part) == big.read_bytes()
    assert [record.levelname for record in caplog.records if "no journal" in record.message] == ["WARNING"]


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("size", [1000, BIG])
async def test_a_source_that_changes(
    client: Client[FtrackProvider], sandbox: Sandbox, tmp_path: Path, size: int
) -> None:
    """A file that is written to while it is sent becomes no component."""
    path = tmp_path / "a.mov"
    path.write_bytes(noise(size))
    file = File(path)

    def meddle(transfer: Any) -> None:
        path.write_bytes(noise(size, b"y"))
        os.utime(path, ns=(1, 1))

    if size == BIG:
        with pytest.raises(IntegrityError, match=r"a\.mov"):
            await client.components.upload(file, on_progress=meddle)
    else:
        # All of it was read before the first byte went: what was sent is what was read.
        part = await client.components.upload(file, on_progress=meddle)
        assert part.checksum == md5(noise(size))
    assert len(await client.components.list().collect()) == (size != BIG)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("size", [1000, BIG])
async def test_a_source_that_is_longer_than_it_says(client: Client[FtrackProvider], size: int) -> None:
    """Bytes beyond the size that was given are not left out in silence."""
    file = File(stream(noise(size + 1)), name="a.mov", size=size)
    with pytest.raises(IntegrityError, match=r"a\.mov"):
        await client.components.upload(file)
    assert await client.components.list().collect() == []


async def test_bytes_that_are_damaged_on_the_way(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """Storage is told the checksum, and refuses bytes that do not fit it."""
    with pytest.raises(ResponseError):
        await upload_with_wrong_checksum(client)
    assert await client.components.list().collect() == []


async def upload_with_wrong_checksum(client: Client[FtrackProvider]) -> None:
    metadata = {"action": "get_upload_metadata", "component_id": "c", "file_name": "a", "file_size": 4}
    (target,) = await client.provider.call({**metadata, "checksum": "AAAAAAAAAAAAAAAAAAAAAA=="})
    await client.provider._server.http.send("PUT", target["url"], headers=target["headers"], body=b"data")


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize(
    ("size", "edited", "said"),
    [
        (10, {"remove": ["/0/url"]}, "url and headers"),
        (10, {"set": {"/0/headers": None}}, "url and headers"),
        (BIG, {"remove": ["/0/urls"]}, "links for 10 parts"),
        (BIG, {"remove": ["/0/urls/3"]}, "links for 10 parts"),
        (BIG, {"set": {"/0/urls": 7}}, "links for 10 parts"),
    ],
)
async def test_upload_metadata_that_make_no_sense(
    client: Client[FtrackProvider], sandbox: Sandbox, size: int, edited: dict[str, Any], said: str
) -> None:
    """An answer that does not say where bytes should go is told as such, and nothing is sent."""
    sandbox.faults.add("edit", path="/api", contains="get_upload_metadata", **edited)
    with pytest.raises(InvalidResponse, match=said):
        await client.components.upload(File(noise(size), name="a"))
    assert sandbox.requests(method="PUT") == []


@pytest.mark.usefixtures("small_parts")
async def test_a_part_without_a_tag(client: Client[FtrackProvider], sandbox: Sandbox, big: Path) -> None:
    """A storage that does not tell its tag of a part has not taken it."""
    sandbox.faults.add("answer", path="/component/*", method="PUT", body="")
    with pytest.raises(InvalidResponse, match="ETag"):
        await client.components.upload(big)


# -- sequences -----------------------------------------------------------------------------------------------


def frames(folder: Path, pattern: str, first: int, last: int) -> FrameSequence:
    for number in range(first, last + 1):
        (folder / (pattern % number)).write_bytes(b"frame %d" % number)
    return FrameSequence(folder / pattern, first, last)


@pytest.mark.parametrize(
    ("pattern", "padding", "name"),
    [("beauty.%04d.exr", 4, "0098"), ("a_%d.dpx", 0, "98"), ("100%%_%06d", 6, "000098")],
)
async def test_a_frame_sequence(
    client: Client[FtrackProvider], sandbox: Sandbox, tmp_path: Path, pattern: str, padding: int, name: str
) -> None:
    """A sequence is one component with a member a frame, made by one request, and downloads as a folder."""
    sequence = frames(tmp_path, pattern, 98, 101)
    job = await client.jobs.create("x")
    sandbox.forget_requests()
    (part,) = await client.jobs.attach(job, [sequence])
    assert (part.name, part.size, part.checksum) == (pattern, 8 * 2 + 9 * 2, None)
    assert (part.details.entity_type, part.details.padding) == ("SequenceComponent", padding)
    assert len(sandbox.requests(method="PUT")) == 4
    creating = [counts for counts in actions(sandbox) if counts["create SequenceComponent"]]
    assert [counts["create FileComponent"] for counts in creating] == [4]
    members = await client.provider.query(f'select name from Component where container_id is "{part.id}"')
    assert name in {member["name"] for member in members}
    assert await client.components.list(job).collect() == [part]
    assert [one.id for one in await client.components.list().collect()] == [part.id]
    folder = await client.components.download(part, to=f"{tmp_path / 'out'}/")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        pattern % number: b"frame %d" % number for number in range(98, 102)
    }
    with pytest.raises(InvalidRequest, match="sequence"):
        await client.components.url(part)
    await client.components.delete(part)
    assert await client.provider.query("select id from Component") == []


async def test_a_sequence_with_a_key(
    client: Client[FtrackProvider], sandbox: Sandbox, tmp_path: Path
) -> None:
    """A sequence's key finds its component; a longer one under it is a conflict."""
    sequence = frames(tmp_path, "a.%04d.exr", 1, 3)
    part = await client.components.upload(sequence, idempotency_key="k")
    sandbox.forget_requests()
    assert await client.components.upload(sequence, idempotency_key="k") == part
    with pytest.raises(Conflict):
        await client.components.upload(frames(tmp_path, "a.%04d.exr", 1, 4), idempotency_key="k")
    assert sandbox.requests(method="PUT") == []


async def test_a_sequence_whose_frames_fail(
    client: Client[FtrackProvider], sandbox: Sandbox, tmp_path: Path
) -> None:
    """A sequence of which a frame cannot be stored is not made, and the error is that frame's own."""
    sequence = frames(tmp_path, "a.%04d.exr", 1, 9)
    sandbox.faults.add("status", path="/component/*", method="PUT", nth=5, status=403)
    with pytest.raises(Denied):
        await client.components.upload(sequence)
    assert await client.provider.query("select id from Component") == []


async def test_the_memory_of_a_sequence(
    client: Client[FtrackProvider], sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many frames are in flight as fit into the memory of one large file, and no more than eight."""
    sequence = frames(tmp_path, "a.%04d.exr", 1, 24)
    sandbox.faults.add("latency", path="/component/*", method="PUT", seconds=0.02)
    for memory, most in ((WHOLE, 8), (len(b"frame 24") * 3 + 1, 3)):
        monkeypatch.setattr(_frames, "WHOLE", memory)
        async with Client(FtrackProvider(sandbox.url, user="sandbox", api_key=KEY)) as other:
            sandbox.forget_requests()
            before = sandbox.connections().open
            await other.components.upload(sequence)
            assert sandbox.connections().most - before <= most
            assert len({request.connection for request in sandbox.requests(method="PUT")}) == most


@pytest.mark.usefixtures("small_parts")
async def test_a_sequence_of_large_frames(client: Client[FtrackProvider], tmp_path: Path) -> None:
    """Frames may be so large that each goes in parts."""
    for number in (1, 2):
        (tmp_path / f"a.{number}.exr").write_bytes(noise(BIG, b"%d" % number))
    part = await client.components.upload(FrameSequence(tmp_path / "a.%d.exr", 1, 2))
    folder = await client.components.download(part, to=f"{tmp_path / 'out'}/")
    assert [path.read_bytes() for path in sorted(folder.iterdir())] == [noise(BIG, b"1"), noise(BIG, b"2")]


async def test_a_sequence_of_another_program(client: Client[FtrackProvider], tmp_path: Path) -> None:
    """A sequence that ftrack's own tools made has its frames by number, named as they name them."""
    part = await client.components.upload(frames(tmp_path, "plate.%04d.dpx", 8, 11))
    notes = await client.provider.query(f'select parent_id, key from Metadata where parent_id is "{part.id}"')
    await client.provider.call(*(ftrack.delete("Metadata", [part.id, note["key"]]) for note in notes))
    await client.provider.call(ftrack.update("SequenceComponent", part.id, {"name": "plate"}))
    members = await client.provider.members(await client.components.get(part.id))
    assert members is not None
    assert [member.name for member in members] == [f"plate.{number:04}.dpx" for number in range(8, 12)]


# -- downloads -----------------------------------------------------------------------------------------------


async def test_a_download_that_breaks(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """A connection that breaks is made anew from where it broke, with a new link."""
    data = noise(3 * MIB)
    part = await client.components.upload(File(data, name="a"))
    sandbox.forget_requests()
    sandbox.faults.add("cut", path="/component/*", method="GET", nth=[1, 2], after=MIB)
    assert await bytes_of(client, part) == data
    ranges = [request.headers.get("range") for request in sandbox.requests("/component/*", method="GET")]
    assert len(ranges) == 3
    assert ranges[0] is None
    assert all(one is not None and one != "bytes=0-" for one in ranges[1:])


async def test_a_download_that_goes_on(
    client: Client[FtrackProvider], sandbox: Sandbox, tmp_path: Path
) -> None:
    """A download that was cut off continues when it is called again, and is verified as a whole."""
    data = noise(2 * MIB)
    part = await client.components.upload(File(data, name="a"))
    (tmp_path / ".a.part").write_bytes(data[:MIB])
    sandbox.forget_requests()
    path = await client.components.download(part, to=f"{tmp_path}/")
    assert path.read_bytes() == data
    (request,) = sandbox.requests("/component/*", method="GET")
    assert request.headers["range"] == f"bytes={MIB}-"


async def test_a_download_that_never_gets_on(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """A connection that always breaks before it brings anything is given up."""
    part = await client.components.upload(File(b"data", name="a"))
    sandbox.faults.add("cut", path="/component/*", method="GET", after=0)
    with pytest.raises(TransportError) as caught:
        await bytes_of(client, part)
    assert caught.value.outcome is Outcome.NOT_DONE


async def test_a_link_that_has_expired(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """A link that expires on the way is asked for again, once."""
    part = await client.components.upload(File(b"data", name="a"))
    sandbox.faults.add("status", path="/component/*", method="GET", nth=1, status=403)
    assert await bytes_of(client, part) == b"data"
    sandbox.faults.clear()
    sandbox.faults.add("status", path="/component/*", method="GET", status=403)
    with pytest.raises(Denied):
        await bytes_of(client, part)


async def test_a_link_to_hand_out(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """A link needs no credentials, holds no secret that lasts, and ends when ftrack likes."""
    sandbox.configure("ftrack", link_seconds=60)
    part = await client.components.upload(File(b"data", name="a"))
    link = await client.components.url(part)
    http = client.provider._server.http
    assert (await http.send("GET", link)).body == b"data"
    sandbox.clock.advance(120)
    with pytest.raises(Denied):
        await http.send("GET", link)


async def test_bytes_that_are_wrong(client: Client[FtrackProvider], sandbox: Sandbox, tmp_path: Path) -> None:
    """Bytes that do not match the checksum beside the component are not kept."""
    part = await client.components.upload(File(b"data", name="a"))
    sandbox.faults.add("answer", path="/component/*", method="GET", body="DATA")
    with pytest.raises(IntegrityError):
        await client.components.download(part, to=f"{tmp_path}/")
    assert list(tmp_path.iterdir()) == []


async def test_a_storage_without_ranges(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """Where storage gives no parts, what was had already is skipped."""
    part = await client.components.upload(File(b"0123456789", name="a"))
    sandbox.faults.add("answer", path="/component/*", method="GET", body="0123456789")
    async with client.provider.read(part, start=4) as chunks:
        assert b"".join([chunk async for chunk in chunks]) == b"456789"


async def test_a_component_without_bytes(client: Client[FtrackProvider]) -> None:
    """A component that only a studio's own disks have cannot be read, and that is said."""
    id_ = str(uuid.uuid4())
    await client.provider.call(
        ftrack.create("FileComponent", {"id": id_, "name": "main", "file_type": ".mov"})
    )
    part = await client.components.get(id_)
    assert (part.name, part.location_id, part.checksum) == ("main.mov", None, None)
    with pytest.raises(NotFound, match=r"main\.mov"):
        await client.components.url(part)
    with pytest.raises(NotFound, match=r"main\.mov"):
        await bytes_of(client, part)


async def test_a_storage_that_begins_too_late(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """Bytes from a later place than was asked for are not taken for those before."""
    part = await client.components.upload(File(b"0123456789", name="a"))
    late = {"content-range": "bytes 6-9/10"}
    sandbox.faults.add("answer", path="/component/*", method="GET", status=206, headers=late, body="6789")
    with pytest.raises(InvalidResponse):
        async with client.provider.read(part, start=4) as chunks:
            await anext(chunks)


# -- finding and removing ------------------------------------------------------------------------------------


async def test_listing_components(client: Client[FtrackProvider]) -> None:
    """Components come page by page: of a job in the order of their making, else by id."""
    job = await client.jobs.create("x", files=[File(b"in", name="z"), File(b"in", name="y")])
    for name in "cab":
        await client.jobs.attach(job, [File(b"out", name=name)])
    loose = await client.components.upload(File(b"loose", name="loose"))
    for size in (1, 2, 5, None):
        listed = await client.components.list(job, page_size=size).collect()
        assert [(part.name, part.role) for part in listed] == [
            ("z", "input"),
            ("y", "input"),
            ("c", "output"),
            ("a", "output"),
            ("b", "output"),
        ]
        everything = await client.components.list(page_size=size).collect()
        assert [part.id for part in everything] == sorted([loose.id, *(part.id for part in listed)])
        there = await client.components.list(location=SERVER_LOCATION, page_size=size).collect()
        assert [part.id for part in there] == [part.id for part in everything]
        assert len(await client.components.list(job, SERVER_LOCATION, page_size=size).collect()) == 5
    unmanaged = (await client.locations.get("ftrack.unmanaged")).id
    assert await client.components.list(location=unmanaged).collect() == []
    assert await client.components.list(job, unmanaged).collect() == []
    for listing in (
        client.components.list("nope"),
        client.components.list(location="nope"),
        client.components.list(job, "nope"),
    ):
        with pytest.raises(NotFound, match="nope"):
            await listing.collect()


async def test_the_job_of_a_shared_component(client: Client[FtrackProvider], sandbox: Sandbox) -> None:
    """Of the jobs that have it, the oldest is named, whatever their ids, and whoever had it first."""
    keys = sorted(["one", "other"], key=client.provider._server.id_of, reverse=True)
    older = await client.jobs.create("x", idempotency_key=keys[0])
    sandbox.clock.advance(10)
    younger = await client.jobs.create("x", idempotency_key=keys[1])
    part = await client.components.upload(File(b"x", name="a"))
    for job in (younger, older):
        await client.jobs.attach(job, [part])
    assert (await client.components.get(part.id)).job_id == older.id


async def test_a_listing_whose_last_item_vanishes(client: Client[FtrackProvider]) -> None:
    """A listing of a job's components goes on after one that was removed meanwhile."""
    job = await client.jobs.create("x")
    for name in "abcd":
        await client.jobs.attach(job, [File(b"out", name=name)])
    listing = client.components.list(job, page_size=2)
    first, second = [await anext(listing), await anext(listing)]
    await client.components.delete(second)
    assert (first.name, [part.name async for part in listing]) == ("a", ["c", "d"])


async def test_deleting_a_job_with_components(client: Client[FtrackProvider]) -> None:
    """Only callsheet's own components that no other job and no version has go with a job."""
    one, other = await client.jobs.create("one"), await client.jobs.create("other")
    (own,) = await client.jobs.attach(one, [File(b"own", name="own")])
    (shared,) = await client.jobs.attach(one, [File(b"shared", name="shared")])
    await client.jobs.attach(other, [shared])
    (published,) = await client.jobs.attach(one, [File(b"published", name="published")])
    await client.provider.call(ftrack.update("FileComponent", published.id, {"version_id": "v-1"}))
    theirs = str(uuid.uuid4())
    await client.provider.call(
        ftrack.create("FileComponent", {"id": theirs, "name": "theirs"}),
        ftrack.create("JobComponent", {"component_id": theirs, "job_id": one.id}),
    )
    await client.jobs.delete(one)
    left = {part.id for part in await client.components.list().collect()}
    assert left == {shared.id, published.id, theirs}
    assert [part.id for part in await client.components.list(other).collect()] == [shared.id]
    with pytest.raises(NotFound, match=own.id):
        await client.components.get(own)
    with pytest.raises(NotFound, match=own.id):
        await client.components.delete(own)


async def test_locations(client: Client[FtrackProvider]) -> None:
    """Locations come by name, and are found by name or id."""
    await client.provider.call(ftrack.create("Location", {"id": str(uuid.uuid4()), "name": "a.disk"}))
    names = [location.name for location in await client.locations.list().collect()]
    assert names == [
        "a.disk",
        *(f"ftrack.{word}" for word in ("connect", "origin", "review", "server", "unmanaged")),
    ]
    server = await client.locations.get("ftrack.server")
    assert (server.id, server.kind) == (SERVER_LOCATION, "server")
    assert await client.locations.get(SERVER_LOCATION) == server
    with pytest.raises(NotFound, match="nowhere"):
        await client.locations.get("nowhere")
