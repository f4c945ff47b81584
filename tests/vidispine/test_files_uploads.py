"""Files into Vidispine's storages: whole, in chunks, once for a key, gone on with, and verified."""

from __future__ import annotations

import os
import uuid
from collections import Counter
from collections.abc import AsyncGenerator
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest import mock

import anyio
import pytest

from callsheet import (
    Client,
    Conflict,
    Denied,
    File,
    FrameSequence,
    IntegrityError,
    InvalidResponse,
    NotFound,
    Outcome,
    QuotaExceeded,
    RateLimited,
    ResponseError,
    Timeout,
    TransportError,
    Unavailable,
    Unsupported,
)
from callsheet._journal import Journal
from callsheet.providers.vidispine import VidispineProvider
from callsheet.sandbox import Sandbox
from support.clocks import Clock
from support.roads import until
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
DATA = "/API/storage/*file/data"

pytestmark = pytest.mark.usefixtures("chunks")


def methods(sandbox: Sandbox) -> list[str]:
    return [request.method for request in sandbox.requests()]


async def only(client: Vidispine) -> Any:
    (part,) = await client.components.list().collect()
    return part


# -- whole ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, CHUNK])
async def test_files_in_one_request(client: Vidispine, sandbox: Sandbox, tmp_path: Path, size: int) -> None:
    """Up to a chunk a file is one POST, after a look for its key, and comes back as it was."""
    path = tmp_path / "a.exr"
    path.write_bytes(data := noise(size))
    part = await client.components.upload(path)
    assert (part.name, part.size, part.checksum) == ("a.exr", size, sha1(data))
    assert (part.location_id, part.role, part.job_id) == ("VX-1", None, None)
    assert methods(sandbox) == ["GET", "POST", "GET"]
    (request,) = sandbox.requests(DATA)
    assert {"size", "index"} & set(request.headers) == set()
    assert request.headers["content-type"] == "application/octet-stream"
    assert await client.components.get(part) == part
    assert await bytes_of(client, part) == data


async def test_files_in_chunks(client: Vidispine, sandbox: Sandbox, big: Path) -> None:
    """A larger file goes in chunks, in order, under one transfer; each says where it begins."""
    part = await client.components.upload(big)
    assert (part.name, part.size, part.checksum) == ("big.mov", BIG, sha1(big.read_bytes()))
    assert indices(sandbox, DATA) == list(range(0, BIG, CHUNK))
    sent = sandbox.requests(DATA)
    assert {request.headers["size"] for request in sent} == {str(BIG)}
    assert [request.size for request in sent] == [CHUNK] * 9 + [7]
    assert len({tuple(parameters(request.target)["transferId"]) for request in sent}) == 1
    assert await bytes_of(client, part) == big.read_bytes()


@pytest.mark.parametrize("size", [CHUNK + 1, 2 * CHUNK])
async def test_whole_chunks(client: Vidispine, sandbox: Sandbox, tmp_path: Path, size: int) -> None:
    """Two chunks are two, whether the last one is full or not."""
    path = tmp_path / "a.mov"
    path.write_bytes(noise(size))
    part = await client.components.upload(path)
    assert indices(sandbox, DATA) == [0, CHUNK]
    assert await bytes_of(client, part) == noise(size)


async def test_progress(client: Vidispine, sandbox: Sandbox, big: Path) -> None:
    """Progress goes forwards only, to the whole size, also when a chunk has to be sent again."""
    sandbox.faults.add("lost", path=DATA, nth=[3, 7])
    told: list[int] = []
    await client.components.upload(big, on_progress=lambda transfer: told.append(transfer.done))
    assert sandbox.faults.struck() == 2
    assert told == sorted(set(told))
    assert len(told) >= 10
    assert told[-1] == BIG


async def test_other_sources(client: Vidispine, sandbox: Sandbox) -> None:
    """Bytes, open files and streams go in chunks as well, held in memory one by one."""
    data = noise(BIG)

    async def stream() -> AsyncGenerator[bytes, None]:
        for start in range(0, BIG, 10_000):
            yield data[start : start + 10_000]

    for source in (data, BytesIO(data), stream()):
        sandbox.forget_requests()
        part = await client.components.upload(File(source, name="x.mov", size=BIG))
        assert indices(sandbox, DATA) == list(range(0, BIG, CHUNK))
        assert (part.size, part.checksum) == (BIG, sha1(data))
        assert await bytes_of(client, part) == data


@pytest.mark.parametrize("name", ["größe 5%&=?#.exr", "../../etc/passwd", "a/b", ".hidden", "x" * 300])
async def test_hostile_names(client: Vidispine, name: str) -> None:
    """A file keeps its name, also one that no path can hold; its path stays in a folder of its own."""
    part = await client.components.upload(File(b"data", name=name), location="originals")
    assert part.name == name
    folder, key, last = part.details.path.split("/")
    assert (folder, str(uuid.UUID(key)), last in {"", ".", ".."}) == ("callsheet", key, False)
    assert (await client.components.get(part)).name == name
    assert await bytes_of(client, part) == b"data"


async def test_storages_by_name_and_id(client: Vidispine, sandbox: Sandbox) -> None:
    """A file goes to the storage that is named, by its name or id; one that does not exist is not found."""
    for location in ("proxies", "VX-2"):
        part = await client.components.upload(File(b"data", name="a"), location=location)
        assert part.location_id == "VX-2"
    with pytest.raises(NotFound, match="nowhere") as caught:
        await client.components.upload(File(b"data", name="a"), location="nowhere")
    assert caught.value.outcome is Outcome.NOT_DONE
    assert len(await client.components.list().collect()) == 2


async def test_no_frame_sequences(client: Vidispine, sandbox: Sandbox) -> None:
    """A frame sequence is refused before anything is looked at, with another way."""
    with pytest.raises(Unsupported) as caught:
        await client.components.upload(FrameSequence("a.%04d.exr", 1, 2))
    assert (caught.value.call, bool(caught.value.hint)) == ("upload(frames=)", True)
    assert sandbox.requests() == []


async def test_for_another_user(client: Vidispine, sandbox: Sandbox, big: Path) -> None:
    """Every request of an upload for another user is made as that user."""
    async with client.as_user("jane") as other:
        sandbox.forget_requests()
        await other.components.upload(big)
    assert {request.headers.get("runas") for request in sandbox.requests()} == {"jane"}


# -- keys ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [4, BIG])
async def test_a_key_makes_one_file(client: Vidispine, sandbox: Sandbox, size: int) -> None:
    """The same key returns the same component and sends no bytes; with another file it is a conflict."""
    data = noise(size)
    part = await client.components.upload(File(data, name="a"), idempotency_key="k")
    sandbox.forget_requests()
    assert await client.components.upload(File(data, name="a"), idempotency_key="k") == part
    others = [File(data + b"more", name="a"), File(data, name="b")]
    if size <= CHUNK:
        others.append(File(noise(size, b"other"), name="a"))
    for other in others:
        with pytest.raises(Conflict, match="'k'") as caught:
            await client.components.upload(other, idempotency_key="k")
        assert (caught.value.outcome, caught.value.idempotency_key) == (Outcome.NOT_DONE, "k")
    assert sandbox.requests(method="POST") == []
    assert await bytes_of(client, part) == data


async def test_a_key_whose_file_is_found_late(client: Vidispine, sandbox: Sandbox) -> None:
    """If the place of a key is taken by the file that was sent under it, that is the one."""
    part = await client.components.upload(File(b"data", name="a"), idempotency_key="k")
    sandbox.faults.add("answer", path="/API/storage/file", method="GET", times=2, body={"hits": 0})
    assert await client.components.upload(File(b"data", name="a"), idempotency_key="k") == part
    assert len(sandbox.requests(DATA)) == 2
    assert await only(client) == part


async def test_what_else_a_key_has_found(client: Vidispine, sandbox: Sandbox) -> None:
    """What another key has made is not taken for one's own, and remains may be gone when they are removed."""
    folder = uuid.uuid5(uuid.NAMESPACE_URL, f"{client.provider.tracker}/k")
    rows = [
        {"id": "VX-98", "path": f"callsheet/{folder}-2/a", "state": "CLOSED"},
        {"id": "VX-99", "path": f"callsheet/{folder}/a", "state": "OPEN"},
    ]
    sandbox.faults.add("answer", path="/API/storage/file", method="GET", times=1, body={"file": rows})
    part = await client.components.upload(File(b"data", name="a"), idempotency_key="k")
    assert [request.path for request in sandbox.requests(method="DELETE")] == ["/API/file/VX-99/entity"]
    assert await only(client) == part


async def test_a_key_whose_notes_are_missing(client: Vidispine, sandbox: Sandbox) -> None:
    """What could not be noted on a file that has arrived is noted when the call is made again."""
    sandbox.configure("vidispine", hashes=False)
    sandbox.faults.add("status", path="/API/file/*", method="PUT", status=400)
    with pytest.raises(ResponseError) as caught:
        await client.components.upload(File(b"data", name="a/b"), idempotency_key="k")
    assert (caught.value.outcome, caught.value.idempotency_key) == (Outcome.DONE, "k")
    sandbox.faults.clear()
    part = await client.components.upload(File(b"data", name="a/b"), idempotency_key="k")
    assert (part.name, part.checksum) == ("a/b", sha1(b"data"))
    assert await only(client) == part


async def test_hashes_that_the_server_does_not_work_out(
    client: Vidispine, sandbox: Sandbox, big: Path
) -> None:
    """Where the server has no hash of a file, it is told the one of what was sent."""
    sandbox.configure("vidispine", hashes=False)
    for source in (File(b"data", name="a"), big):
        part = await client.components.upload(source)
        data = b"data" if isinstance(source, File) else source.read_bytes()
        assert part.checksum == sha1(data)
        assert await bytes_of(client, part) == data


# -- trouble -------------------------------------------------------------------------------------------------


async def test_chunks_that_fail(client: Vidispine, sandbox: Sandbox, big: Path) -> None:
    """A chunk that fails is sent again alone; the others are sent once."""
    sandbox.faults.add("status", path=DATA, nth=3, status=503)
    sandbox.faults.add("reset", path=DATA, nth=5, after=1000)
    sandbox.faults.add("lost", path=DATA, nth=7)
    sandbox.faults.add("status", path=DATA, nth=9, status=429, retry_after=0)
    part = await client.components.upload(big)
    assert sandbox.faults.struck() == 4
    assert sorted(Counter(indices(sandbox, DATA)).values()) == [1] * 6 + [2] * 4
    assert await only(client) == part
    assert await bytes_of(client, part) == big.read_bytes()


@pytest.mark.parametrize("size", [4, BIG])
@pytest.mark.parametrize("kind", ["lost", "garbled"])
async def test_a_lost_answer(client: Vidispine, sandbox: Sandbox, size: int, kind: str) -> None:
    """When the answer to the request that completes a file is lost, the file is found: it is sent once."""
    last = 1 if size == 4 else 10
    sandbox.faults.add(kind, path=DATA, nth=last)
    part = await client.components.upload(File(data := noise(size), name="a"))
    assert sandbox.faults.struck() == 1
    assert len(sandbox.requests(DATA)) == last
    assert await only(client) == part
    assert await bytes_of(client, part) == data


async def test_a_last_request_that_was_not_done(client: Vidispine, sandbox: Sandbox, big: Path) -> None:
    """If the completing request has done nothing it is made again, after a look."""
    sandbox.faults.add("status", path=DATA, nth=10, status=502)
    sandbox.faults.add("reset", path=DATA, nth=10, after=3)
    part = await client.components.upload(big)
    assert indices(sandbox, DATA)[9:] == [9 * CHUNK] * 3
    assert await only(client) == part


async def test_an_outcome_that_stays_unknown(client: Vidispine, sandbox: Sandbox, big: Path) -> None:
    """If even the look for the file fails, the error says so, with the key by which it is found later."""
    sandbox.faults.add("lost", path=DATA, nth=10)
    sandbox.faults.add("status", path="/API/storage/file", method="GET", nth=list(range(2, 9)), status=403)
    with pytest.raises(TransportError) as caught:
        await client.components.upload(big, idempotency_key="k")
    assert (caught.value.outcome, caught.value.idempotency_key) == (Outcome.UNKNOWN, "k")
    sandbox.faults.clear()
    sandbox.forget_requests()
    part = await client.components.upload(big, idempotency_key="k")
    assert sandbox.requests(method="POST") == []
    assert await only(client) == part


async def test_a_page_instead_of_an_answer(client: Vidispine, sandbox: Sandbox) -> None:
    """A page of a proxy's, with a status that says that all is well, is told as what it is."""
    sandbox.faults.add("html", path=DATA, status=200)
    with pytest.raises(InvalidResponse, match="<html>") as caught:
        await client.components.upload(File(b"data", name="a"))
    assert caught.value.outcome is Outcome.UNKNOWN
    assert methods(sandbox) == ["GET", "POST", "GET"]


async def test_a_server_that_is_slow(sandbox: Sandbox, clock: Clock) -> None:
    """A request that completes a file is not made again after a timeout: the server may still be at it."""
    provider = VidispineProvider(sandbox.url, user="admin", password="admin", timeout=20)

    async def upload() -> None:
        with pytest.raises(Timeout) as caught:
            await client.components.upload(File(b"data", name="a"), idempotency_key="k")
        assert (caught.value.outcome, caught.value.idempotency_key) == (Outcome.UNKNOWN, "k")

    async with Client(provider) as client, anyio.create_task_group() as tasks:
        sandbox.forget_requests()
        sandbox.faults.add("latency", path=DATA, seconds=600)
        tasks.start_soon(upload)
        await until(lambda: bool(sandbox.requests(DATA)))
        await clock.skip_waiting(21)
    assert len(sandbox.requests(DATA)) == 1


async def test_a_server_that_says_no(client: Vidispine, sandbox: Sandbox, big: Path) -> None:
    """A refusal is told as it is, and nothing is tried again."""
    sandbox.faults.add("status", path=DATA, nth=1, status=403)
    with pytest.raises(Denied) as caught:
        await client.components.upload(big)
    assert caught.value.outcome is Outcome.NOT_DONE
    assert len(sandbox.requests(DATA)) == 1


async def test_a_server_that_is_down(client: Vidispine, sandbox: Sandbox) -> None:
    """A server that cannot do it now is asked a few times, with looks in between, and then told of."""
    sandbox.faults.add("status", path=DATA, status=503)
    with pytest.raises(Unavailable) as caught:
        await client.components.upload(File(b"data", name="a"))
    assert caught.value.outcome is Outcome.UNKNOWN
    assert methods(sandbox) == ["GET", *["POST", "GET"] * 5]


@pytest.mark.parametrize(
    "edited", [{"set": {"/hash": "00" * 20}}, {"set": {"/size": 3}}, {"set": {"/path": "other"}}]
)
async def test_bytes_that_are_damaged_on_the_way(
    client: Vidispine, sandbox: Sandbox, edited: dict[str, Any]
) -> None:
    """A file that did not arrive as it was sent is deleted there, and told of."""
    sandbox.faults.add("edit", path=DATA, **edited)
    with pytest.raises(IntegrityError, match="'a'"):
        await client.components.upload(File(b"data", name="a"))
    assert methods(sandbox)[-1] == "DELETE"
    sandbox.clock.advance(3600)
    assert await client.components.list().collect() == []


async def test_damage_that_cannot_be_removed(
    client: Vidispine, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """If a file that did not arrive as it was sent cannot even be deleted, that is logged, with its id."""
    sandbox.faults.add("edit", path=DATA, set={"/size": 3})
    sandbox.faults.add("status", path="/API/file/*", method="DELETE", status=403)
    with pytest.raises(IntegrityError, match="'a'"):
        await client.components.upload(File(b"data", name="a"))
    (warned,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert warned.startswith("file VX-1, which did not arrive whole")


async def test_an_answer_without_a_file(client: Vidispine, sandbox: Sandbox) -> None:
    """An answer that names no file is no success, though the file is there if it was made."""
    sandbox.faults.add("edit", path=DATA, remove=["/id"], nth=1)
    part = await client.components.upload(File(b"data", name="a"))
    assert await only(client) == part
    sandbox.faults.add("answer", path=DATA, body={"odd": True})
    with pytest.raises(InvalidResponse, match="nothing that has come of the file") as caught:
        await client.components.upload(File(b"data", name="a"))
    assert caught.value.path == "$.id"


@pytest.mark.parametrize("size", [BIG, 10 * CHUNK])
async def test_a_source_that_changes(client: Vidispine, sandbox: Sandbox, big: Path, size: int) -> None:
    """A file that is written to while it is sent becomes no component, however full its last chunk is."""
    big.write_bytes(noise(size))

    def meddle(transfer: Any) -> None:
        if transfer.done >= 3 * CHUNK:
            os.utime(big, ns=(1, 1))

    with pytest.raises(IntegrityError, match=r"big\.mov") as caught:
        await client.components.upload(big, on_progress=meddle)
    assert caught.value.outcome is Outcome.NOT_DONE
    assert await client.components.list().collect() == []


async def test_a_source_that_changes_as_it_begins(client: Vidispine, sandbox: Sandbox, big: Path) -> None:
    """A file that is written to once its journal has been opened becomes no component: nothing is sent."""
    real = Journal.open

    def meddle(*words: Any) -> Journal | None:
        journal = real(*words)
        os.utime(big, ns=(1, 1))
        return journal

    with (
        mock.patch.object(Journal, "open", meddle),
        pytest.raises(IntegrityError, match=r"big\.mov") as caught,
    ):
        await client.components.upload(big)
    assert caught.value.outcome is Outcome.NOT_DONE
    assert sandbox.requests(DATA) == []


@pytest.mark.parametrize("size", [4, CHUNK, 2 * CHUNK])
async def test_a_stream_that_goes_on(client: Vidispine, sandbox: Sandbox, size: int) -> None:
    """A stream that has more bytes than it said becomes no component: its last request is never made."""

    async def stream() -> AsyncGenerator[bytes, None]:
        yield noise(size)
        yield b"more"

    with pytest.raises(IntegrityError, match=r"x\.mov") as caught:
        await client.components.upload(File(stream(), name="x.mov", size=size))
    assert caught.value.outcome is Outcome.NOT_DONE
    assert indices(sandbox, DATA) == ([0] if size > CHUNK else [])
    assert (await client.provider.request("GET", "storage/file"))["hits"] == 0


async def test_a_source_that_cannot_be_read(client: Vidispine, sandbox: Sandbox, tmp_path: Path) -> None:
    """A file that is not there is the system's own error, and nothing is sent."""
    with pytest.raises(FileNotFoundError, match="missing"):
        await client.components.upload(tmp_path / "missing.mov")
    assert sandbox.requests() == []


# -- gone on with --------------------------------------------------------------------------------------------


async def test_an_upload_that_was_cut_off(
    client: Vidispine, sandbox: Sandbox, big: Path, state_folder: Path
) -> None:
    """An upload that was cut off sends only what is missing, by another client too, and leaves no journal."""
    await cut_off(client.components.upload, big, after=BIG * 8 // 10)
    (journal,) = state_folder.iterdir()
    assert journal.stat().st_mode & 0o777 == 0o600
    done = journal.read_text().count('"done":')
    assert 5 < done < 10
    sandbox.forget_requests()
    async with Client(VidispineProvider(sandbox.url, user="admin", password="admin")) as other:
        told: list[int] = []
        part = await other.components.upload(big, on_progress=lambda transfer: told.append(transfer.done))
    assert indices(sandbox, DATA) == list(range(done * CHUNK, BIG, CHUNK))
    assert told[:done] == list(range(CHUNK, done * CHUNK + 1, CHUNK))  # while what is there is hashed
    assert part.checksum == sha1(big.read_bytes())
    assert await bytes_of(client, part) == big.read_bytes()
    assert list(state_folder.iterdir()) == []
    assert await only(client) == part


async def test_an_upload_that_goes_on_under_another_key(
    client: Vidispine, sandbox: Sandbox, big: Path, state_folder: Path
) -> None:
    """An upload that goes on stays under the key it was begun with, by which it is found after trouble."""
    await cut_off(client.components.upload, big, after=BIG * 8 // 10, idempotency_key="first")
    (journal,) = state_folder.iterdir()
    left = 10 - journal.read_text().count('"done":')
    sandbox.forget_requests()
    sandbox.faults.add("lost", path=DATA, nth=left)
    part = await client.components.upload(big, idempotency_key="second")
    assert len(indices(sandbox, DATA)) == left
    assert await client.components.upload(big, idempotency_key="first") == part == await only(client)
    assert await bytes_of(client, part) == big.read_bytes()


async def test_an_upload_that_was_made_from_elsewhere(
    client: Vidispine,
    sandbox: Sandbox,
    big: Path,
    state_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What has come under its key from another machine is not gone on with from here."""
    sandbox.faults.add("status", path=DATA, nth=8, status=403)
    with pytest.raises(Denied):
        await client.components.upload(big, idempotency_key="k")
    sandbox.faults.clear()
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
        part = await client.components.upload(big, idempotency_key="k")
    assert len(list(state_folder.iterdir())) == 1
    assert await client.components.upload(big, idempotency_key="k") == part
    assert list(state_folder.iterdir()) == []
    assert (await client.components.upload(big)).id != part.id


async def test_a_file_that_changed_since(client: Vidispine, sandbox: Sandbox, big: Path) -> None:
    """A file that was written to since its upload was cut off is another file, and starts again."""
    await cut_off(client.components.upload, big, after=BIG * 8 // 10)
    big.write_bytes(data := noise(BIG, b"other"))
    sandbox.forget_requests()
    part = await client.components.upload(big)
    assert indices(sandbox, DATA) == list(range(0, BIG, CHUNK))
    assert await bytes_of(client, part) == data


@pytest.mark.parametrize("status", [403, 404])
async def test_a_transfer_that_is_dead(client: Vidispine, sandbox: Sandbox, big: Path, status: int) -> None:
    """If the server does not know the transfer any more, that file starts again under another."""
    await cut_off(client.components.upload, big, after=BIG * 8 // 10)
    sandbox.faults.add("status", path="/API/transfer/*", status=status)
    sandbox.forget_requests()
    part = await client.components.upload(big, idempotency_key="another")
    assert indices(sandbox, DATA) == list(range(0, BIG, CHUNK))
    assert await bytes_of(client, part) == big.read_bytes()


async def test_a_chunk_that_is_refused_later(client: Vidispine, sandbox: Sandbox, big: Path) -> None:
    """If the server refuses to go on with a transfer, that file starts again under another."""
    sandbox.faults.add("status", path=DATA, nth=8, status=403)
    with pytest.raises(Denied):
        await client.components.upload(big)
    sandbox.faults.clear()
    sandbox.faults.add("status", path=DATA, nth=1, status=400)
    sandbox.forget_requests()
    part = await client.components.upload(big, idempotency_key="another")
    assert indices(sandbox, DATA) == [7 * CHUNK, *range(0, BIG, CHUNK)]
    assert await bytes_of(client, part) == big.read_bytes()


@pytest.mark.parametrize(
    ("status", "error"), [(403, Denied), (429, RateLimited), (503, Unavailable), (507, QuotaExceeded)]
)
async def test_a_chunk_that_cannot_be_taken_now(
    client: Vidispine, sandbox: Sandbox, big: Path, status: int, error: type[ResponseError]
) -> None:
    """If the server cannot take a chunk at present its transfer is kept: the next call goes on with it."""
    sandbox.faults.add("status", path=DATA, nth=8, status=403)
    with pytest.raises(Denied):
        await client.components.upload(big)
    sandbox.faults.clear()
    sandbox.faults.add("status", path=DATA, nth=1, status=status, retry_after=99999)
    sandbox.forget_requests()
    with pytest.raises(error):
        await client.components.upload(big)
    assert indices(sandbox, DATA) == [7 * CHUNK]
    sandbox.forget_requests()
    part = await client.components.upload(big)
    assert indices(sandbox, DATA) == list(range(7 * CHUNK, BIG, CHUNK))
    assert await bytes_of(client, part) == big.read_bytes()


async def test_a_server_that_has_less_than_it_said(client: Vidispine, sandbox: Sandbox, big: Path) -> None:
    """What the server has lost of a transfer is sent again, from a whole chunk on."""
    await cut_off(client.components.upload, big, after=BIG * 8 // 10)
    sandbox.faults.add("edit", path="/API/transfer/*", set={"/transferred": 2 * CHUNK + 5})
    sandbox.forget_requests()
    part = await client.components.upload(big)
    assert indices(sandbox, DATA) == list(range(2 * CHUNK, BIG, CHUNK))
    assert await bytes_of(client, part) == big.read_bytes()


@pytest.mark.parametrize("journal", [b"", b"not json\n", b"[]\n", b'{"transfer": 7, "key": "k"}\n'])
async def test_a_journal_that_is_damaged(
    client: Vidispine, sandbox: Sandbox, big: Path, state_folder: Path, journal: bytes
) -> None:
    """A journal that cannot be read is none."""
    await cut_off(client.components.upload, big, after=BIG * 8 // 10)
    (path,) = state_folder.iterdir()
    path.write_bytes(journal)
    sandbox.forget_requests()
    part = await client.components.upload(big, idempotency_key="another")
    assert indices(sandbox, DATA) == list(range(0, BIG, CHUNK))
    assert await bytes_of(client, part) == big.read_bytes()


async def test_no_place_for_a_journal(
    client: Vidispine, big: Path, state_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a place for its journal an upload goes on, and says that it cannot be resumed."""
    state_folder.parent.parent.mkdir(parents=True, exist_ok=True)
    state_folder.parent.write_bytes(b"in the way")
    part = await client.components.upload(big)
    assert await bytes_of(client, part) == big.read_bytes()
    assert [record.levelname for record in caplog.records if "no journal" in record.message] == ["WARNING"]


async def test_the_same_file_twice_at_once(client: Vidispine, big: Path) -> None:
    """Two uploads of one file at a time are two files: they do not share a transfer."""
    parts: list[Any] = []

    async def upload() -> None:
        parts.append(await client.components.upload(big))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(upload)
        tasks.start_soon(upload)
    assert len({part.id for part in parts}) == 2
    for part in parts:
        assert await bytes_of(client, part) == big.read_bytes()


@pytest.mark.parametrize("how", ["error", "cancelled", "refused"])
async def test_what_cannot_be_gone_on_with(client: Vidispine, sandbox: Sandbox, big: Path, how: str) -> None:
    """A stream that fails, is cancelled or refused cannot go on: what the server has of it is removed."""
    data = big.read_bytes()

    async def stream() -> AsyncGenerator[bytes, None]:
        yield data[: 3 * CHUNK]
        if how == "error":
            raise OSError("the tape broke")
        yield data[3 * CHUNK :]

    file = File(stream(), name="x.mov", size=BIG)
    if how == "error":
        with pytest.raises(OSError, match="the tape broke"):
            await client.components.upload(file)
    elif how == "refused":
        sandbox.faults.add("status", path=DATA, nth=10, status=403)
        with pytest.raises(Denied):
            await client.components.upload(file)
    else:
        await cut_off(client.components.upload, file, after=5 * CHUNK)
    assert [request.method for request in sandbox.requests("/API/file/*/entity")] == ["DELETE"]
    assert (await client.provider._server.read("storage", "file"))["hits"] == 0


async def test_what_is_in_the_way(client: Vidispine, sandbox: Sandbox, big: Path) -> None:
    """What a killed upload has left at the path of its key is removed when another begins under that key."""
    sandbox.faults.add("status", path=DATA, nth=[3, 6], status=403)
    sandbox.faults.add("status", path="/API/transfer/*", status=403)
    for file in (big, File(big.read_bytes(), name="big.mov")):
        with pytest.raises(Denied):
            await client.components.upload(file, idempotency_key="k")
    assert (await client.provider._server.read("storage", "file"))["hits"] == 1
    big.write_bytes(data := noise(BIG, b"other"))
    sandbox.faults.clear()
    sandbox.faults.add("lost", path="/API/file/*/entity", nth=1)
    part = await client.components.upload(big, idempotency_key="k")
    assert sandbox.faults.struck() == 1
    assert await only(client) == part
    assert await bytes_of(client, part) == data
    assert (await client.provider._server.read("storage", "file"))["hits"] == 1
