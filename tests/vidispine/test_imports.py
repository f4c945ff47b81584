"""Media into Vidispine: a file uploaded as a job, shapes, sidecars, placeholders and addresses, each once."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from unittest import mock

import anyio
import pytest

from callsheet import (
    CallsheetError,
    Client,
    Conflict,
    Denied,
    File,
    FrameSequence,
    IntegrityError,
    InvalidRequest,
    InvalidResponse,
    Job,
    JobState,
    NotFound,
    Outcome,
    ResponseError,
    TransportError,
    Unsupported,
)
from callsheet.providers.vidispine import VidispineProvider, _once
from callsheet.sandbox import Sandbox
from support.tables import raises_for
from support.vidispinefiles import (
    BIG,
    CHUNK,
    bytes_of,
    cut_off,
    indices,
    noise,
    parameters,
    sha1,
)

Vidispine = Client[VidispineProvider]
RAW = "/API/import/raw"

pytestmark = pytest.mark.usefixtures("chunks")


@pytest.fixture(autouse=True)
def stillness(sandbox: Sandbox) -> None:
    """Time stands still unless it is moved: jobs stay as they were made."""
    sandbox.clock.freeze()


@pytest.fixture
async def item(client: Vidispine) -> str:
    """A placeholder."""
    return await client.provider.create_placeholder("My item")


async def only(client: Vidispine) -> Job:
    (job,) = await client.jobs.list().collect()
    return await client.jobs.get(job)


async def ended(client: Vidispine, sandbox: Sandbox, job: Job) -> Job:
    sandbox.clock.advance(3600)
    job = await client.jobs.get(job)
    assert job.state is JobState.DONE
    return job


def posts(sandbox: Sandbox) -> list[str]:
    return [request.target for request in sandbox.requests(method="POST")]


# -- a file as a job -----------------------------------------------------------------------------------------


async def test_a_file_as_a_job(client: Vidispine, sandbox: Sandbox) -> None:
    """A job's one file is uploaded as the job: it imports the file into an item of its own."""
    job = await client.jobs.create(
        "Ingest A001", files=[File(b"movie", name="A001 é.mov")], attributes={"shot": "sh010"}, priority=70
    )
    assert (job.name, job.type, job.state) == ("Ingest A001", "RAW_IMPORT", JobState.QUEUED)
    assert (job.priority, job.attributes) == (70, {"shot": "sh010"})
    (target,) = posts(sandbox)
    asked = parameters(target)
    assert (asked["filename"], asked["priority"]) == (["A001 é.mov"], ["HIGH"])
    assert {"callsheet_name=Ingest A001", "shot=sh010"} < set(asked["jobmetadata"])
    job = await ended(client, sandbox, job)
    assert job.item is not None
    (part,) = await client.components.list(job).collect()
    assert (part.name, part.role, part.size, part.checksum) == ("A001 é.mov", "input", 5, sha1(b"movie"))
    assert await bytes_of(client, part) == b"movie"


async def test_a_large_file_as_a_job(client: Vidispine, sandbox: Sandbox, big: Path) -> None:
    """A larger file goes in chunks, in order, under one transfer, and makes one job."""
    job = await client.jobs.create("x", files=[big])
    assert indices(sandbox, RAW) == list(range(0, BIG, CHUNK))
    sent = sandbox.requests(RAW)
    assert {request.headers["size"] for request in sent} == {str(BIG)}
    assert len({request.target for request in sent}) == 1
    assert await only(client) == job
    (part,) = await client.components.list(await ended(client, sandbox, job)).collect()
    assert (part.name, part.checksum) == ("big.mov", sha1(big.read_bytes()))
    assert await bytes_of(client, part) == big.read_bytes()


async def test_options_of_the_vendor(client: Vidispine, sandbox: Sandbox) -> None:
    """What only Vidispine knows goes along as it is."""
    vendor = {"storageId": "VX-2", "no-transcode": True, "tag": ["lowres", "web"]}
    job = await client.jobs.create("x", files=[File(b"movie", name="a.mov")], vendor=vendor)
    asked = parameters(posts(sandbox)[0])
    assert (asked["storageId"], asked["no-transcode"], asked["tag"]) == (
        ["VX-2"],
        ["true"],
        ["lowres", "web"],
    )
    (part,) = await client.components.list(await ended(client, sandbox, job)).collect()
    assert part.location_id == "VX-2"


@pytest.mark.parametrize("code", [200, 204])
async def test_what_chunks_are_answered_with(
    client: Vidispine, sandbox: Sandbox, big: Path, code: int
) -> None:
    """A chunk that completes nothing is answered with nothing, by either status."""
    sandbox.configure("vidispine", chunk_status=code)
    assert (await client.jobs.create("x", files=[big])).type == "RAW_IMPORT"


async def test_a_key_of_a_job_with_a_file(client: Vidispine, sandbox: Sandbox, big: Path) -> None:
    """The same key returns the same job and sends no bytes; with another request it is a conflict."""
    job = await client.jobs.create("x", files=[big], idempotency_key="k")
    sandbox.forget_requests()
    assert await client.jobs.create("x", files=[big], idempotency_key="k") == job
    with pytest.raises(Conflict, match="'k'"):
        await client.jobs.create("y", files=[big], idempotency_key="k")
    assert posts(sandbox) == []
    assert await only(client) == job


async def test_files_that_make_no_job(client: Vidispine, sandbox: Sandbox, tmp_path: Path) -> None:
    """What cannot be uploaded as a job is refused by name, before anything is sent."""
    part = await client.components.upload(File(b"data", name="a"))
    sandbox.forget_requests()
    file = File(b"data", name="a")
    bad: list[tuple[dict[str, Any], str]] = [
        ({"files": [file, file]}, "files"),
        ({"files": [FrameSequence("a.%04d.exr", 1, 2)]}, "files"),
        ({"files": [part]}, "files"),
        ({"files": [file], "type": "TRANSCODE"}, "type"),
        ({"files": [file], "item": "VX-1"}, "item"),
    ]
    for arguments, culprit in bad:
        with raises_for(arguments, InvalidRequest, match=culprit):
            await client.jobs.create("x", **arguments)
    assert sandbox.requests() == []
    with pytest.raises(FileNotFoundError, match=r"missing\.mov"):
        await client.jobs.create("x", files=[tmp_path / "missing.mov"])
    assert posts(sandbox) == []


async def test_chunks_that_fail(client: Vidispine, sandbox: Sandbox, big: Path) -> None:
    """A chunk that fails is sent again alone, whatever it failed by; there is one job."""
    sandbox.faults.add("status", path=RAW, nth=3, status=503)
    sandbox.faults.add("reset", path=RAW, nth=4, after=1000)
    sandbox.faults.add("lost", path=RAW, nth=5)
    sandbox.faults.add("status", path=RAW, nth=6, status=429, retry_after=0)
    job = await client.jobs.create("x", files=[big])
    assert sandbox.faults.struck() == 4
    assert len(indices(sandbox, RAW)) == 14
    assert await only(client) == job
    (part,) = await client.components.list(await ended(client, sandbox, job)).collect()
    assert await bytes_of(client, part) == big.read_bytes()


async def test_a_token_that_expires_half_way(sandbox: Sandbox, big: Path) -> None:
    """When the token expires while chunks are sent, a new one is got, and the chunk is sent again."""
    provider = VidispineProvider(sandbox.url, user="admin", password="admin", login="token")
    async with Client(provider) as client:
        sandbox.forget_requests()
        sandbox.faults.add("status", path=RAW, nth=4, status=401)
        job = await client.jobs.create("x", files=[big])
        assert len(indices(sandbox, RAW)) == 11
        assert len(sandbox.requests("/API/token")) == 1
        assert await only(client) == job


@pytest.mark.parametrize("size", [4, BIG])
@pytest.mark.parametrize("kind", ["lost", "garbled", "edit"])
async def test_a_lost_answer(client: Vidispine, sandbox: Sandbox, size: int, kind: str) -> None:
    """When the answer to the request that makes the job is lost, the job is found: there is one."""
    options: dict[str, Any] = {"remove": ["/jobId"]} if kind == "edit" else {}
    last = 1 if size == 4 else 10
    sandbox.faults.add(kind, path=RAW, nth=last, **options)
    job = await client.jobs.create("x", files=[File(noise(size), name="a.mov")])
    assert sandbox.faults.struck() == 1
    assert len(sandbox.requests(RAW)) == last
    assert await only(client) == job


async def test_a_last_request_that_was_not_done(client: Vidispine, sandbox: Sandbox, big: Path) -> None:
    """If the request that should make the job has done nothing it is made again, after a look."""
    sandbox.faults.add("status", path=RAW, nth=10, status=502)
    job = await client.jobs.create("x", files=[big])
    assert indices(sandbox, RAW)[9:] == [9 * CHUNK] * 2
    assert await only(client) == job


async def test_a_source_that_changes(client: Vidispine, sandbox: Sandbox, big: Path) -> None:
    """A file that is written to while it is sent becomes no job: the last request is never made."""
    item_id = await client.provider.create_placeholder("x")

    def meddle(transfer: Any) -> None:
        if transfer.done >= 3 * CHUNK:
            os.utime(big, ns=(1, 1))

    with pytest.raises(IntegrityError, match=r"big\.mov") as caught:
        await client.provider.import_placeholder(item_id, big, on_progress=meddle)
    assert (caught.value.outcome, bool(caught.value.idempotency_key)) == (Outcome.NOT_DONE, True)
    assert await client.jobs.list().collect() == []


# -- gone on with --------------------------------------------------------------------------------------------


async def broken_off(client: Vidispine, sandbox: Sandbox, file: Path, *, key: str | None = None) -> None:
    """Begin to upload a file as a job, and fail at the eighth chunk."""
    sandbox.faults.add("status", path=RAW, nth=8, status=403)
    with pytest.raises(Denied) as caught:
        await client.jobs.create("x", files=[file], idempotency_key=key)
    assert caught.value.outcome is Outcome.NOT_DONE
    sandbox.faults.clear()
    sandbox.forget_requests()


async def test_an_import_that_broke_off(
    client: Vidispine, sandbox: Sandbox, big: Path, state_folder: Path
) -> None:
    """An import that broke off sends only what is missing, and its new key is good from then on."""
    await broken_off(client, sandbox, big, key="first")
    (journal,) = state_folder.iterdir()
    assert journal.stat().st_mode & 0o777 == 0o600
    job = await client.jobs.create("x", files=[big], idempotency_key="second")
    assert indices(sandbox, RAW) == list(range(7 * CHUNK, BIG, CHUNK))
    assert await client.jobs.create("x", files=[big], idempotency_key="second") == job
    assert await only(client) == job
    assert list(state_folder.iterdir()) == []
    (part,) = await client.components.list(await ended(client, sandbox, job)).collect()
    assert await bytes_of(client, part) == big.read_bytes()


async def test_another_import_of_the_same_file(client: Vidispine, sandbox: Sandbox, big: Path) -> None:
    """Another job with the same file does not take over what was sent for the first."""
    await broken_off(client, sandbox, big)
    await client.jobs.create("another", files=[big])
    assert indices(sandbox, RAW) == list(range(0, BIG, CHUNK))
    sandbox.forget_requests()
    await client.jobs.create("x", files=[big])
    assert indices(sandbox, RAW) == list(range(7 * CHUNK, BIG, CHUNK))
    assert await client.jobs.count() == 2


async def test_an_import_that_broke_off_is_its_users(client: Vidispine, sandbox: Sandbox, big: Path) -> None:
    """What was sent for one user is no other's: who imports the same file sends it whole."""
    await broken_off(client, sandbox, big)
    job = await client.as_user("jane").jobs.create("x", files=[big])
    assert (job.user, indices(sandbox, RAW)) == ("jane", list(range(0, BIG, CHUNK)))
    sandbox.forget_requests()
    assert (await client.jobs.create("x", files=[big])).user == "admin"
    assert indices(sandbox, RAW) == list(range(7 * CHUNK, BIG, CHUNK))


async def test_an_import_that_died_when_it_was_made(
    client: Vidispine, sandbox: Sandbox, big: Path, state_folder: Path
) -> None:
    """If nobody saw the answer to the last request, the same call later finds its job, under any key."""
    sandbox.faults.add("lost", path=RAW, nth=10)
    sandbox.faults.add("status", path="/API/job*", nth=list(range(2, 20)), status=403)
    with pytest.raises(TransportError) as caught:
        await client.jobs.create("x", files=[big], idempotency_key="first")
    assert (caught.value.outcome, caught.value.idempotency_key) == (Outcome.UNKNOWN, "first")
    assert len(list(state_folder.iterdir())) == 1
    sandbox.faults.clear()
    sandbox.forget_requests()
    job = await client.jobs.create("x", files=[big])
    assert posts(sandbox) == []
    assert await client.jobs.create("x", files=[big], idempotency_key="first") == job
    assert await only(client) == job
    assert list(state_folder.iterdir()) == []


@pytest.mark.parametrize(("looks", "again"), [(3, []), (7, [9 * CHUNK])])
async def test_an_import_whose_job_is_listed_late(
    client: Vidispine, sandbox: Sandbox, big: Path, looks: int, again: list[int]
) -> None:
    """Where all bytes had arrived the job is waited for; sent again, their last ones leave no file."""
    sandbox.faults.add("lost", path=RAW, nth=10)
    sandbox.faults.add("status", path="/API/job*", nth=list(range(2, 20)), status=403)
    with pytest.raises(TransportError):
        await client.jobs.create("x", files=[big], idempotency_key="k")
    sandbox.faults.clear()
    sandbox.forget_requests()
    sandbox.faults.add("answer", path="/API/job*", method="GET", times=looks, body={"hits": 0})
    with mock.patch.object(_once, "SETTLING", 2):
        job = await client.jobs.create("x", files=[big], idempotency_key="k")
    assert indices(sandbox, RAW) == again
    assert await only(client) == job
    assert (await client.provider.request("GET", "storage/file"))["hits"] == 1
    (part,) = await client.components.list(await ended(client, sandbox, job)).collect()
    assert await bytes_of(client, part) == big.read_bytes()


Make = Callable[[Any, str | None], Awaitable[Any]]


@pytest.fixture(params=["job", "shape", "upload"])
def make(request: pytest.FixtureRequest, client: Vidispine, item: str) -> Make:
    """Something that is made of a file, under a key or none."""
    provider = client.provider
    calls: dict[str, Make] = {
        "job": lambda file, key: client.jobs.create("x", files=[file], idempotency_key=key),
        "shape": lambda file, key: provider.import_shape(
            None, file, tag="lowres", item=item, idempotency_key=key
        ),
        "upload": lambda file, key: client.components.upload(file, idempotency_key=key),
    }
    return calls[request.param]


async def unknown(sandbox: Sandbox, make: Make, file: Any, *, requests: int) -> None:
    """Let the answer to the last of the requests be lost, and every look for what it made be refused."""
    sandbox.faults.add("lost", path="/API/*", method="POST", nth=requests)
    for path in ("/API/job*", "/API/storage/file*"):
        sandbox.faults.add("status", path=path, method="GET", nth=list(range(2, 20)), status=403)
    with pytest.raises(TransportError) as caught:
        await make(file, "k")
    assert (caught.value.outcome, caught.value.idempotency_key) == (Outcome.UNKNOWN, "k")
    sandbox.faults.clear()
    sandbox.forget_requests()


async def test_what_is_found_by_its_key_is_no_other_calls(
    make: Make, sandbox: Sandbox, big: Path, state_folder: Path
) -> None:
    """Once its key has found what was made of a file, the next call makes another of the same file."""
    await unknown(sandbox, make, big, requests=10)
    made = await make(big, "k")
    assert posts(sandbox) == []
    assert list(state_folder.iterdir()) == []
    assert (await make(big, None)).id != made.id
    assert len(posts(sandbox)) == 10


async def test_what_a_later_key_has_found_is_no_other_calls(
    client: Vidispine, sandbox: Sandbox, big: Path, state_folder: Path
) -> None:
    """That holds, too, where the key that found it is another than the upload was begun under."""
    await broken_off(client, sandbox, big, key="first")
    sandbox.faults.add("lost", path=RAW, nth=3)
    sandbox.faults.add("status", path="/API/job*", method="GET", nth=list(range(2, 20)), status=403)
    with pytest.raises(TransportError):
        await client.jobs.create("x", files=[big], idempotency_key="second")
    sandbox.faults.clear()
    made = await client.jobs.create("x", files=[big], idempotency_key="second")
    assert await only(client) == made
    assert list(state_folder.iterdir()) == []
    assert (await client.jobs.create("x", files=[big])).id != made.id


async def test_what_a_key_has_found_leaves_other_calls_alone(
    client: Vidispine, sandbox: Sandbox, big: Path, state_folder: Path
) -> None:
    """Asking again for what a key has made leaves no journal, and keeps that of another call's upload."""
    made = await client.jobs.create("x", files=[big], idempotency_key="done")
    assert await client.jobs.create("x", files=[big], idempotency_key="done") == made
    assert list(state_folder.iterdir()) == []
    await broken_off(client, sandbox, big, key="other")
    assert await client.jobs.create("x", files=[big], idempotency_key="done") == made
    await client.jobs.create("x", files=[big], idempotency_key="other")
    assert indices(sandbox, RAW) == list(range(7 * CHUNK, BIG, CHUNK))


async def test_what_is_listed_late_after_a_cut(make: Make, sandbox: Sandbox) -> None:
    """After a request that was cut off its key is looked for with patience, as the server may be at it."""
    file = File(b"data", name="a.mov")
    await unknown(sandbox, make, file, requests=1)
    for path in ("/API/job;*", "/API/storage/file"):
        sandbox.faults.add("answer", path=path, method="GET", times=2, body={"hits": 0})
    made = await make(file, "k")
    assert posts(sandbox) == []
    sandbox.forget_requests()
    assert await make(file, "k") == made


async def test_bytes_whose_import_is_of_unknown_outcome(client: Vidispine, sandbox: Sandbox) -> None:
    """Also of what could not go on later, nothing is removed once all of it was sent: its job may need it."""
    file = File(data := noise(BIG), name="a.mov")
    sandbox.faults.add("edit", path="/API/transfer/*", set={"/transferred": CHUNK})  # it is not through yet
    sandbox.faults.add("lost", path=RAW, nth=10)
    sandbox.faults.add("status", path="/API/job*", nth=list(range(2, 20)), status=403)
    with pytest.raises(TransportError) as caught:
        await client.jobs.create("x", files=[file], idempotency_key="k")
    assert caught.value.outcome is Outcome.UNKNOWN
    sandbox.faults.clear()
    job = await client.jobs.create("x", files=[file], idempotency_key="k")
    assert len(indices(sandbox, RAW)) == 10
    assert sandbox.requests(method="DELETE") == []
    (part,) = await client.components.list(await ended(client, sandbox, job)).collect()
    assert await bytes_of(client, part) == data


async def test_a_resumed_import_of_unknown_outcome(client: Vidispine, sandbox: Sandbox, big: Path) -> None:
    """If it is not known what the last request has done, the file is not sent anew: there is one job."""
    await broken_off(client, sandbox, big)
    sandbox.faults.add("garbled", path=RAW, nth=3)
    sandbox.faults.add("status", path="/API/job*", nth=list(range(2, 20)), status=403)
    with pytest.raises(InvalidResponse) as caught:
        await client.jobs.create("x", files=[big], idempotency_key="k")
    assert (caught.value.outcome, caught.value.idempotency_key) == (Outcome.UNKNOWN, "k")
    assert indices(sandbox, RAW) == [7 * CHUNK, 8 * CHUNK, 9 * CHUNK]
    sandbox.faults.clear()
    job = await client.jobs.create("x", files=[big], idempotency_key="k")
    assert len(indices(sandbox, RAW)) == 3
    assert await only(client) == job


async def test_a_transfer_that_is_dead(client: Vidispine, sandbox: Sandbox, big: Path) -> None:
    """If the server does not know the transfer any more the file starts again, and there is one job."""
    await broken_off(client, sandbox, big)
    sandbox.faults.add("status", path="/API/transfer/*", status=404)
    job = await client.jobs.create("x", files=[big])
    assert indices(sandbox, RAW) == list(range(0, BIG, CHUNK))
    assert await only(client) == job


async def test_a_shape_that_was_cut_off(client: Vidispine, sandbox: Sandbox, big: Path, item: str) -> None:
    """An import into an item that was cancelled goes on, too."""
    provider = client.provider
    await cut_off(provider.import_placeholder, item, big, after=BIG * 8 // 10)
    done = len(indices(sandbox, "*/raw"))
    job = await provider.import_placeholder(item, big)
    assert indices(sandbox, "*/raw")[done:][-1] == 9 * CHUNK
    assert 10 <= len(indices(sandbox, "*/raw")) <= 11
    assert await only(client) == job


# -- shapes, sidecars, placeholders, addresses ---------------------------------------------------------------


async def test_placeholders(client: Vidispine, sandbox: Sandbox) -> None:
    """A placeholder is an item without media, with room for the files it was made for."""
    provider = client.provider
    item = await provider.create_placeholder(
        "My item", container=1, video=2, audio=0, binary=3, metadata={"shot": "sh010"}
    )
    (request,) = sandbox.requests(method="POST")
    assert parameters(request.target) == {
        "container": ["1"],
        "video": ["2"],
        "audio": ["0"],
        "binary": ["3"],
    }
    assert '"shot"' in request.body
    job = await provider.import_placeholder(item, File(b"movie", name="a.mov"), priority=10)
    assert (job.type, job.item, job.name, job.priority) == ("PLACEHOLDER_IMPORT", item, "a.mov", 10)
    with pytest.raises(ResponseError, match="No more components") as caught:
        await provider.import_placeholder(item, File(b"sound", name="a.wav"), component="audio")
    assert (caught.value.status, caught.value.outcome) == (400, Outcome.NOT_DONE)
    with pytest.raises(NotFound):
        await provider.import_placeholder("VX-99", File(b"movie", name="a.mov"))
    (part,) = await client.components.list(await ended(client, sandbox, job)).collect()
    assert await bytes_of(client, part) == b"movie"


async def test_shapes(client: Vidispine, sandbox: Sandbox) -> None:
    """A file becomes a shape of the item that a job works on; the import remembers for which job it came."""
    provider = client.provider
    job = await client.jobs.create("x", files=[File(b"movie", name="a.mov")])
    job = await ended(client, sandbox, job)
    sandbox.forget_requests()
    by_job = await provider.import_shape(job, File(b"one", name="1.mov"), tag="lowres")
    by_id = await provider.import_shape(job.id, File(b"two", name="2.mov"), tag="lowres")
    by_item = await provider.import_shape(None, File(b"three", name="3.mov"), tag="lowres", item=job.item)
    for shape, name in ((by_job, "1.mov"), (by_id, "2.mov"), (by_item, "3.mov")):
        assert (shape.type, shape.item, shape.name) == ("SHAPE_IMPORT", job.item, name)
    parents = [
        entry["value"]
        for shape in (by_job, by_id, by_item)
        for entry in shape.raw["data"]
        if entry["key"] == "callsheet_parent"
    ]
    assert parents == [job.id, job.id]
    assert all(parameters(target)["tag"] == ["lowres"] for target in posts(sandbox))
    await ended(client, sandbox, by_item)
    found = [await bytes_of(client, part) for part in await client.components.list(job).collect()]
    assert found == [b"movie", b"one", b"two", b"three"]


async def test_files_that_are_there_already(client: Vidispine, sandbox: Sandbox, item: str) -> None:
    """A component on a storage is imported by its id: no bytes go."""
    provider = client.provider
    part = await client.components.upload(File(b"movie", name="a.mov"))
    text = await client.components.upload(File(b"1\n", name="a.srt"))
    sandbox.forget_requests()
    jobs = [
        await provider.import_placeholder(item, part),
        await provider.import_shape(None, part, tag="lowres", item=item),
        await provider.import_sidecar(None, text, item=item),
    ]
    assert [job.type for job in jobs] == ["PLACEHOLDER_IMPORT", "SHAPE_IMPORT", "SIDECAR_IMPORT"]
    named = [parameters(target) for target in posts(sandbox)]
    assert [asked.get("fileId", asked.get("sidecar")) for asked in named] == [[part.id], [part.id], [text.id]]
    assert {request.size for request in sandbox.requests(method="POST")} == {0}
    other = await client.components.upload(File(b"other", name="a.mov"))
    await provider.import_shape(None, part, tag="lowres", item=item, idempotency_key="k")
    for file, tag, priority in ((other, "lowres", None), (part, "web", None), (part, "lowres", 10)):
        with pytest.raises(Conflict, match="'k'"):
            await provider.import_shape(
                None, file, tag=tag, item=item, priority=priority, idempotency_key="k"
            )


async def test_sidecars(client: Vidispine, sandbox: Sandbox, item: str) -> None:
    """Subtitles and the like go in one piece, by their suffix; what is larger is refused with another way."""
    provider = client.provider
    sandbox.forget_requests()
    job = await provider.import_sidecar(None, File(b"1\n", name="a.b.srt"), item=item)
    assert (job.type, job.name, job.item) == ("SIDECAR_IMPORT", "a.b.srt", item)
    assert parameters(posts(sandbox)[0])["fileExtension"] == ["srt"]
    with pytest.raises(InvalidRequest, match="upload it"):
        await provider.import_sidecar(None, File(noise(CHUNK + 1), name="a.srt"), item=item)
    assert len(posts(sandbox)) == 1
    other = await provider.import_sidecar(job, File(b"2\n", name="b.srt"), priority=30)
    parents = [entry["value"] for entry in other.raw["data"] if entry["key"] == "callsheet_parent"]
    assert (other.item, other.priority, parents) == (item, 30, [job.id])


async def test_addresses(client: Vidispine, sandbox: Sandbox) -> None:
    """What the server can reach by itself is imported by its address, as a new item with the fields given."""
    job = await client.provider.import_uri(
        "file:///srv/media/a b.mov",
        metadata={"title": "Movie"},
        transcode=["lowres", "web"],
        priority=90,
        idempotency_key="k",
    )
    assert (job.type, job.name, job.priority) == ("IMPORT", "a b.mov", 90)
    (request,) = sandbox.requests(method="POST")
    asked = parameters(request.target)
    assert (asked["uri"], asked["tag"]) == (["file:///srv/media/a b.mov"], ["lowres", "web"])
    assert '"title"' in request.body
    again = await client.provider.import_uri(
        "file:///srv/media/a b.mov",
        metadata={"title": "Movie"},
        transcode=["lowres", "web"],
        priority=90,
        idempotency_key="k",
    )
    assert again == job == await only(client)
    with pytest.raises(Conflict, match="'k'"):
        await client.provider.import_uri(
            "file:///srv/media/a b.mov", transcode=["lowres", "web"], priority=90, idempotency_key="k"
        )
    named = await client.provider.import_uri("file:///srv/b.mov", name="B-roll")
    assert named.name == "B-roll"


async def test_addresses_with_passwords(client: Vidispine, sandbox: Sandbox) -> None:
    """An address may hold a password, which goes to the server, and is shown nowhere."""
    for uri, name in (("ftp://jane:canary@host/a b.mov", "a b.mov"), ("ftp://jane:canary@host", "host")):
        job = await client.provider.import_uri(uri)
        assert job.name == name
        sandbox.clock.advance(60)
        failed = await client.jobs.get(job)
        assert failed.state is JobState.FAILED
        assert "canary" not in f"{failed!r} {failed.details.steps!r} {await client.jobs.problem(job)}"
        assert "//jane:canary" not in repr(failed.details)
        assert failed.details.data["sourceUri"].startswith("ftp://jane:canary@host")


Import = Callable[[str, str], Awaitable[Job]]


@pytest.fixture(params=["placeholder", "shape", "sidecar", "uri", "component"])
def call(request: pytest.FixtureRequest, client: Vidispine, item: str) -> Import:
    """An import into an item, of a file of a name, under a key."""
    provider = client.provider

    def file(name: str) -> File:
        return File(b"data", name=name)

    async def component(name: str, key: str) -> Job:
        part = await client.components.upload(file("a.mov"), idempotency_key=name)
        return await provider.import_shape(None, part, tag=name, item=item, idempotency_key=key)

    calls: dict[str, Import] = {
        "placeholder": lambda name, key: provider.import_placeholder(item, file(name), idempotency_key=key),
        "shape": lambda name, key: provider.import_shape(
            None, file(name), tag="lowres", item=item, idempotency_key=key
        ),
        "sidecar": lambda name, key: provider.import_sidecar(
            None, file(name), item=item, idempotency_key=key
        ),
        "uri": lambda name, key: provider.import_uri(f"file:///srv/{name}", idempotency_key=key),
        "component": component,
    }
    return calls[request.param]


async def test_a_key_makes_one_import(client: Vidispine, sandbox: Sandbox, call: Import) -> None:
    """The same key returns the same job; with another request it is a conflict, and tells its key."""
    job = await call("lowres", "k")
    sandbox.forget_requests()
    assert await call("lowres", "k") == job
    assert not [target for target in posts(sandbox) if "/storage/" not in target]
    with pytest.raises(Conflict, match="'k'") as caught:
        await call("web", "k")
    assert (caught.value.idempotency_key, caught.value.outcome) == ("k", Outcome.NOT_DONE)
    assert await only(client) == job


async def test_a_key_used_by_many_imports_at_once(client: Vidispine, sandbox: Sandbox, call: Import) -> None:
    """One caller's imports under one key are one import, also at the same moment."""
    made: list[Job] = []

    async def once() -> None:
        made.append(await call("lowres", "k"))

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(once)
    assert made == [await only(client)] * 5


async def test_a_lost_answer_to_an_import(client: Vidispine, sandbox: Sandbox, call: Import) -> None:
    """When the answer to an import is lost, its job is found: there is one."""
    for path in ("/API/item/*", "/API/import*"):
        sandbox.faults.add("lost", path=path, method="POST", times=1)
    job = await call("lowres", "k")
    assert sandbox.faults.struck() == 1
    assert await only(client) == job


async def test_an_import_whose_job_cannot_be_read(client: Vidispine, sandbox: Sandbox, call: Import) -> None:
    """If only the look at the new job fails the error says that it was made, and by which key it is found."""
    sandbox.faults.add("status", path="/API/job/*", method="GET", status=403)
    with pytest.raises(CallsheetError) as caught:
        await call("lowres", "k")
    error = caught.value
    assert (error.outcome, error.idempotency_key, error.provider) == (Outcome.DONE, "k", "vidispine")
    sandbox.faults.clear()
    assert await call("lowres", "k") == await only(client)


async def test_answers_that_name_nothing(client: Vidispine, sandbox: Sandbox) -> None:
    """An answer that names no item or job is no success."""
    sandbox.faults.add("answer", path="/API/import*", method="POST", body={})
    with pytest.raises(InvalidResponse, match="no id of the item") as caught:
        await client.provider.create_placeholder("x")
    assert (caught.value.outcome, caught.value.path) == (Outcome.UNKNOWN, "$.id")
    with pytest.raises(InvalidResponse, match="no job") as caught:
        await client.provider.import_uri("file:///a.mov", idempotency_key="k")
    assert (caught.value.path, caught.value.idempotency_key) == ("$.jobId", "k")


async def test_a_job_that_is_gone_at_once(client: Vidispine, sandbox: Sandbox) -> None:
    """If the new job cannot be found any more the error says that it was made."""
    sandbox.faults.add("status", path="/API/job/*", method="GET", status=404)
    with pytest.raises(NotFound, match="gone already") as caught:
        await client.provider.import_uri("file:///a.mov", idempotency_key="k")
    assert (caught.value.outcome, caught.value.idempotency_key) == (Outcome.DONE, "k")


async def test_what_makes_no_sense(client: Vidispine, sandbox: Sandbox, item: str) -> None:
    """Arguments that make no sense are refused by name, before anything is sent."""
    provider: Any = client.provider
    file = File(b"data", name="a.mov")
    frames = FrameSequence("a.%04d.exr", 1, 2)
    part = await client.components.upload(File(b"data", name="a"))
    sandbox.forget_requests()
    bad: list[tuple[Callable[[], Awaitable[Any]], str]] = [
        (lambda: provider.import_shape(None, file, tag="lowres"), "job"),
        (lambda: provider.import_shape("VX-1", file, tag="lowres", item=item), "job"),
        (lambda: provider.import_shape(7, file, tag="lowres"), "job"),
        (lambda: provider.import_shape(None, file, tag="", item=item), "tag"),
        (lambda: provider.import_shape(None, frames, tag="lowres", item=item), "frame sequence"),
        (lambda: provider.import_shape(None, 7, tag="lowres", item=item), "file"),
        (lambda: provider.import_shape(None, file, tag="lowres", item=item, priority=101), "priority"),
        (lambda: provider.import_shape(None, file, tag="lowres", item=item, idempotency_key=""), "key"),
        (lambda: provider.import_shape(None, file, tag="lowres", item=item, on_progress=7), "on_progress"),
        (lambda: provider.import_sidecar(None, file), "job"),
        (lambda: provider.import_placeholder("", file), "item"),
        (lambda: provider.import_placeholder(item, file, component=""), "component"),
        (lambda: provider.create_placeholder(""), "title"),
        (lambda: provider.create_placeholder("x", video=-1), "video"),
        (lambda: provider.create_placeholder("x", video=1.5), "video"),
        (lambda: provider.create_placeholder("x", metadata=["a"]), "metadata"),
        (lambda: provider.create_placeholder("x", metadata={"a": 7}), "metadata"),
        (lambda: provider.import_uri(""), "uri"),
        (lambda: provider.import_uri("file:///a", transcode=[7]), "transcode"),
        (lambda: provider.import_uri("file:///a", metadata={"a": 7}), "metadata"),
        (lambda: provider.import_uri("file:///a", metadata={7: "a"}), "metadata"),
        (lambda: provider.import_uri("file:///a", metadata=["a"]), "metadata"),
        (lambda: provider.import_uri("file:///a", transcode="lowres"), "transcode"),
        (lambda: provider.import_uri("file:///a", name=7), "name"),
        (lambda: provider.import_uri("file:///" + "a/" * 5000), "uri is too long"),
        (lambda: provider.import_uri("file:///a", name="é" * 2000), "name is too long"),
        (lambda: provider.import_uri("file:///a", idempotency_key="k" * 9000), "idempotency_key is too long"),
        (lambda: provider.import_shape(None, file, tag="t" * 9000, item=item), "tag is too long"),
        (lambda: provider.import_sidecar(None, file, item="VX-" + "1" * 9000), "id is too long"),
        (lambda: provider.import_placeholder(item, File(b"x", name="n" * 9000)), "filename is too long"),
        (lambda: provider.import_placeholder(item, part, idempotency_key="k" * 9000), "idempotency_key is"),
        (lambda: client.jobs.create("x", files=[File(b"x", name="n" * 9000)]), "filename is too long"),
    ]
    for index, (try_it, culprit) in enumerate(bad):
        with raises_for(index, InvalidRequest, match=culprit):
            await try_it()
    assert sandbox.requests() == []


async def test_jobs_without_an_item(client: Vidispine, sandbox: Sandbox) -> None:
    """A job that works on no item has none to give a shape to; one that is not there is not found."""
    part = await client.components.upload(File(b"data", name="a"))
    await client.components.delete(part)
    job = await only(client)
    file = File(b"data", name="a.mov")
    calls: list[Callable[[Job | str], Awaitable[Job]]] = [
        lambda given: client.provider.import_shape(given, file, tag="lowres"),
        lambda given: client.provider.import_sidecar(given, file),
    ]
    for call in calls:
        with pytest.raises(Unsupported) as caught:
            await call(job)
        assert caught.value.call.startswith("import_")
        assert "item=" in caught.value.hint
        with pytest.raises(NotFound):
            await call("VX-99")


async def test_attaching_is_refused(client: Vidispine, sandbox: Sandbox) -> None:
    """Vidispine's jobs have no attachments: attaching names what comes nearest."""
    with pytest.raises(Unsupported) as caught:
        await client.jobs.attach("VX-1", ["a.mov"])
    assert caught.value.hint.startswith("provider.import_shape(job, file, tag=)")
    assert sandbox.requests() == []


async def test_imports_for_another_user(client: Vidispine, sandbox: Sandbox, big: Path, item: str) -> None:
    """An import for another user is that user's, in every request."""
    async with client.as_user("jane") as other:
        sandbox.forget_requests()
        job = await other.provider.import_placeholder(item, big)
        raw = await other.jobs.create("x", files=[big])
    assert {request.headers.get("runas") for request in sandbox.requests()} == {"jane"}
    assert (job.user, raw.user) == ("jane", "jane")
    sandbox.forget_requests()
    assert (await client.jobs.create("y", files=[big], user="jane")).user == "jane"
    assert {request.headers.get("runas") for request in sandbox.requests(RAW)} == {"jane"}
