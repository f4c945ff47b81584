"""Files out of Vidispine: listed, read whole and in parts, verified, linked and deleted."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from callsheet import (
    Client,
    Component,
    Denied,
    File,
    IntegrityError,
    InvalidRequest,
    InvalidResponse,
    Job,
    NotFound,
    Outcome,
    TransportError,
)
from callsheet.providers.vidispine import VidispineProvider
from callsheet.providers.vidispine._files_wire import component_of
from callsheet.providers.vidispine.file_details import VidispineFile, VidispineStorage
from callsheet.sandbox import Sandbox
from support.vidispinefiles import bytes_of, noise, sha1

Vidispine = Client[VidispineProvider]
MIB = 1 << 20
DATA = "/API/file/*/data"


@pytest.fixture(autouse=True)
def stillness(sandbox: Sandbox) -> None:
    """Time stands still unless it is moved: jobs stay as they were made."""
    sandbox.clock.freeze()


async def several(client: Vidispine, number: int, *, storage: str = "VX-1") -> list[Component]:
    """Tell the server of files, which need not be there to be listed."""
    server = client.provider._server
    rows = [
        await server.document(
            await server.call(
                "POST", "storage", storage, "file", content={"path": f"{index}", "state": "CLOSED"}
            )
        )
        for index in range(number)
    ]
    return [component_of(row) for row in rows]


async def imported(client: Vidispine, sandbox: Sandbox, data: bytes = b"movie") -> Job:
    """Import a file as a job, and let that end."""
    job = await client.jobs.create("x", files=[File(data, name="plate.mov")])
    sandbox.clock.advance(3600)
    return await client.jobs.get(job)


# -- listed --------------------------------------------------------------------------------------------------


async def test_listing_files(client: Vidispine, sandbox: Sandbox) -> None:
    """Files are listed in the order of their making: of a storage, or all; in pages of any size."""
    one = await several(client, 12)
    other = await several(client, 3, storage="VX-2")
    for size in (1, 2, 5, 7, 100, None):
        assert await client.components.list(page_size=size).collect() == one + other
        there = await client.components.list(location="VX-2", page_size=size).collect()
        assert there == other
    sandbox.forget_requests()
    await client.components.list(page_size=5).collect()
    assert len(sandbox.requests()) == 3
    with pytest.raises(NotFound, match="VX-9"):
        await client.components.list(location="VX-9").collect()


async def test_a_cursor_of_files(client: Vidispine, sandbox: Sandbox) -> None:
    """A listing goes on after the last file that was handed out, also in the middle of a page."""
    parts = await several(client, 15)
    for taken in (1, 4, 5, 8, 14, 15):
        listing = client.components.list(page_size=5)
        assert await listing.collect(limit=taken) == parts[:taken]
        assert await client.components.list(page_size=4, cursor=listing.cursor).collect() == parts[taken:]


async def gone(sandbox: Sandbox, client: Vidispine, part: Component) -> None:
    """Delete a file, and let the job that does it end."""
    await client.components.delete(part)
    sandbox.clock.advance(3600)


@pytest.mark.parametrize("size", [1, 3])
async def test_files_that_go_while_they_are_listed(client: Vidispine, sandbox: Sandbox, size: int) -> None:
    """What stays appears once each, though files before it go, and come, while it is listed."""
    parts = await several(client, 12)
    listing = client.components.list(page_size=size)
    seen = [await anext(listing) for _ in range(5)]
    for part in (parts[0], parts[2], parts[4], parts[9]):
        await gone(sandbox, client, part)
    (late,) = await several(client, 1)
    seen += [part async for part in listing]
    names = [part.name for part in seen]
    # One that went may have been on the page that was there already.
    assert [name for name in names if name != "9"] == [*map(str, (*range(9), 10, 11)), late.name]


async def test_a_cursor_whose_file_is_gone(client: Vidispine, sandbox: Sandbox) -> None:
    """A cursor goes on though its file, and others before it, are gone."""
    parts = await several(client, 9)
    listing = client.components.list(page_size=4)
    await listing.collect(limit=6)
    for part in (*parts[:3], parts[5]):
        await gone(sandbox, client, part)
    assert await client.components.list(page_size=4, cursor=listing.cursor).collect() == parts[6:]
    for part in parts[6:]:
        await gone(sandbox, client, part)
    assert await client.components.list(page_size=4, cursor=listing.cursor).collect() == []


async def test_servers_that_do_not_count(client: Vidispine, sandbox: Sandbox) -> None:
    """Without the number of hits a listing goes on until a page comes back short."""
    parts = await several(client, 7)
    sandbox.faults.add("edit", path="/API/storage/file", method="GET", remove=["/hits"])
    for size in (1, 3, 6, 7, 8):
        assert await client.components.list(page_size=size).collect() == parts


async def test_answers_without_an_id(client: Vidispine, sandbox: Sandbox) -> None:
    """What Vidispine answers without saying of what is never taken for a file or storage."""
    sandbox.faults.add("answer", path="/API/file/*", body={})
    sandbox.faults.add("answer", path="/API/storage/*", body={"type": "LOCAL"})
    for call, id_ in ((client.components.get, "VX-1"), (client.locations.get, "VX-1")):
        with pytest.raises(InvalidResponse, match=id_) as caught:
            await call(id_)
        assert caught.value.path == "$.id"


async def test_files_that_are_not_there_yet(client: Vidispine, sandbox: Sandbox) -> None:
    """Files that are still written, or will be deleted, are in no listing; the latter are not found."""
    parts = await several(client, 4)
    for part, state in zip(parts, ("OPEN", "TO_BE_DELETED", "LOST", "MISSING"), strict=True):
        await client.provider._server.call("PUT", "file", part.id, "state", state)
    assert [part.name for part in await client.components.list(page_size=1).collect()] == ["3"]
    for part in parts[1:3]:
        with pytest.raises(NotFound, match=part.id):
            await client.components.get(part)
        with pytest.raises(NotFound, match=part.id):
            await client.components.delete(part)
    assert (await client.components.get(parts[0])).details.state == "OPEN"


async def test_the_files_of_a_job(client: Vidispine, sandbox: Sandbox) -> None:
    """A job has what it imported, under its own name, and what else its item has got."""
    job = await imported(client, sandbox)
    (part,) = await client.components.list(job).collect()
    assert (part.name, part.size, part.role, part.job_id) == ("plate.mov", 5, "input", job.id)
    assert (part.checksum, part.location_id) == (sha1(b"movie"), "VX-1")
    assert await bytes_of(client, part) == b"movie"
    shape = await client.provider.import_shape(
        job, File(b"small", name="proxy.mov"), tag="lowres", idempotency_key="k"
    )
    sandbox.clock.advance(3600)
    sandbox.forget_requests()
    found = await client.components.list(job).collect()
    assert [(one.size, one.role) for one in found] == [(5, "input"), (5, "output")]
    assert len(sandbox.requests()) == 2  # the job, and its item with all files
    assert [await bytes_of(client, one) for one in found] == [b"movie", b"small"]
    both = await client.components.list(shape).collect()
    assert [(one.id, one.name, one.role) for one in both] == [
        (found[1].id, "proxy.mov", "input"),
        (found[0].id, found[0].id + ".mov", "output"),
    ]
    assert await client.components.list(job, "VX-1", page_size=1).collect() == found
    assert await client.components.list(job, "VX-2").collect() == []


async def test_files_of_a_job_that_go_while_they_are_listed(client: Vidispine, sandbox: Sandbox) -> None:
    """Where the file goes that was listed last, those behind it are listed all the same."""
    job = await imported(client, sandbox)
    for name in ("a.mov", "b.mov"):
        shape = await client.provider.import_shape(job, File(name.encode(), name=name), tag="lowres")
        sandbox.clock.advance(3600)
    parts = await client.components.list(shape).collect()
    assert [part.role for part in parts] == ["input", "output", "output"]
    seen = []
    async for part in client.components.list(shape, page_size=1):
        seen.append(part.id)
        await gone(sandbox, client, part)
    assert seen == [part.id for part in parts]


async def test_the_files_of_nothing(client: Vidispine, sandbox: Sandbox) -> None:
    """A job without files has none, also when its item is gone; one that is not there is not found."""
    job = await imported(client, sandbox)
    (part,) = await client.components.list(job).collect()
    await gone(sandbox, client, part)
    assert await client.components.list(job).collect() == []
    assert job.item is not None
    await client.provider._server.call("DELETE", "item", job.item)
    sandbox.clock.advance(3600)
    assert await client.components.list(job).collect() == []
    for arguments in ({"job": "VX-99"}, {"job": job, "location": "VX-9"}):
        with pytest.raises(NotFound, match="VX-9"):
            await client.components.list(**arguments).collect()


# -- read ----------------------------------------------------------------------------------------------------


@pytest.mark.loop_limit(0.5, "the test itself makes and compares some MiB")
async def test_a_download_that_breaks_off(client: Vidispine, sandbox: Sandbox, tmp_path: Path) -> None:
    """When a connection breaks, another one goes on from there; the file at its name is whole."""
    part = await client.components.upload(File(data := noise(3 * MIB), name="a.mov"))
    sandbox.faults.add("cut", path=DATA, nth=[1, 2], after=MIB)
    sandbox.forget_requests()
    path = await client.components.download(part, tmp_path)
    assert path.read_bytes() == data
    ranges = [request.headers.get("range") for request in sandbox.requests(DATA)]
    assert len(ranges) == 3
    assert ranges[0] is None
    assert all(range_ and range_.startswith("bytes=") for range_ in ranges[1:])


@pytest.mark.loop_limit(0.5, "the test itself makes and compares some MiB")
async def test_a_server_without_ranges(client: Vidispine, sandbox: Sandbox) -> None:
    """Where the server sends the whole from the start again, what is there already is skipped."""
    sandbox.configure("vidispine", ranges=False)
    part = await client.components.upload(File(data := noise(3 * MIB), name="a.mov"))
    sandbox.faults.add("cut", path=DATA, nth=1, after=MIB)
    assert await bytes_of(client, part) == data


@pytest.mark.loop_limit(0.5, "the test itself makes and compares some MiB")
async def test_a_download_goes_on_later(client: Vidispine, sandbox: Sandbox, tmp_path: Path) -> None:
    """A download that failed goes on where it stopped when it is called again."""
    part = await client.components.upload(File(data := noise(3 * MIB), name="a.mov"))
    sandbox.faults.add("cut", path=DATA, nth=1, after=2 * MIB)
    sandbox.faults.add("status", path=DATA, status=403)
    with pytest.raises(Denied):
        await client.components.download(part, tmp_path)
    sandbox.faults.clear()
    sandbox.forget_requests()
    assert (await client.components.download(part, tmp_path)).read_bytes() == data
    (request,) = sandbox.requests(DATA)
    assert int(request.headers["range"].removeprefix("bytes=").removesuffix("-")) > 0


async def test_reading_for_another_user(client: Vidispine, sandbox: Sandbox) -> None:
    """Every request for a file's bytes for another user is made as that user."""
    part = await client.components.upload(File(b"movie", name="a.mov"))
    sandbox.forget_requests()
    assert await bytes_of(client.as_user("jane"), part) == b"movie"
    assert [request.headers.get("runas") for request in sandbox.requests(DATA)] == ["jane"]


async def test_a_server_that_sends_elsewhere(client: Vidispine, sandbox: Sandbox) -> None:
    """A redirect to where the bytes are is followed."""
    sandbox.configure("vidispine", redirect_data=True)
    part = await client.components.upload(File(b"data", name="a"))
    assert await bytes_of(client, part) == b"data"


async def test_bytes_that_do_not_come(client: Vidispine, sandbox: Sandbox) -> None:
    """A server that breaks off again and again without a byte is an error of the connection."""
    part = await client.components.upload(File(b"data", name="a"))
    sandbox.faults.add("cut", path=DATA, after=0)
    with pytest.raises(TransportError):
        await bytes_of(client, part)


async def test_bytes_that_are_wrong(client: Vidispine, sandbox: Sandbox, tmp_path: Path) -> None:
    """Bytes that do not match what is known of a file are not kept."""
    part = await client.components.upload(File(b"data", name="a"))
    sandbox.faults.add("answer", path=DATA, body="DATA")
    with pytest.raises(IntegrityError):
        await bytes_of(client, part)
    with pytest.raises(IntegrityError):
        await client.components.download(part, f"{tmp_path}/out/")
    assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(IntegrityError, match="more than its 3 bytes"):
        await client.components.download(attrs.evolve(part, size=3), tmp_path / "out" / "b")


# -- links ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("expires", "minutes"), [(3600, "60"), (61, "2"), (1, "1"), (43200, "720")])
async def test_links(client: Vidispine, sandbox: Sandbox, expires: float, minutes: str) -> None:
    """A link lives for as long as was asked, in whole minutes, and needs no credentials."""
    part = await client.components.upload(File(b"data", name="a"))
    sandbox.forget_requests()
    url = await client.components.url(part, expires=expires)
    (request,) = sandbox.requests("/API/file/*/uri", method="POST")
    assert request.target.endswith(f"duration={minutes}")
    answer = await client.provider._server.http.send("GET", url, signed=False)
    assert answer.body == b"data"
    assert "admin" not in url


async def test_links_that_cannot_be_had(client: Vidispine, sandbox: Sandbox) -> None:
    """A link that would live too long, or hold a password, is not handed out."""
    part = await client.components.upload(File(b"data", name="a"))
    with pytest.raises(InvalidRequest, match="expires"):
        await client.components.url(part, expires=43201)
    sandbox.faults.add("edit", path="/API/file/*/uri", set={"/uri": ["https://user:secret@host/a"]})
    with pytest.raises(NotFound, match="no link") as caught:
        await client.components.url(part)
    assert "secret" not in str(caught.value)


# -- deleted -------------------------------------------------------------------------------------------------


async def test_deleting(client: Vidispine, sandbox: Sandbox) -> None:
    """Deleting starts a job of the server's; when that has run, the file is gone, from every job as well."""
    job = await imported(client, sandbox)
    (part,) = await client.components.list(job).collect()
    await client.components.delete(part)
    (deletion,) = await client.jobs.list(types={"DELETE_FILE"}).collect()
    assert not deletion.ended
    (worked_on,) = await client.components.list(deletion).collect()
    assert (worked_on.id, worked_on.role, worked_on.job_id) == (part.id, "input", deletion.id)
    sandbox.clock.advance(3600)
    assert (await client.jobs.get(deletion)).ended
    assert await client.components.list(job).collect() == []
    assert await client.components.list().collect() == []
    for given in (part, part.id, "VX-99"):
        for call in (client.components.get, client.components.delete, client.components.url):
            with pytest.raises(NotFound) as caught:
                await call(given)
            assert caught.value.outcome is Outcome.NOT_DONE


async def test_a_lost_answer_to_a_deletion(client: Vidispine, sandbox: Sandbox) -> None:
    """If the answer to a deletion is lost, and the file is gone when asked again, it was deleted."""
    part = await client.components.upload(File(b"data", name="a"))
    path = f"/API/file/{part.id}"
    sandbox.faults.add("lost", path=path, method="DELETE", nth=1)
    sandbox.faults.add("status", path=path, method="DELETE", status=404)
    await client.components.delete(part)
    assert len(sandbox.requests(path, method="DELETE")) == 2
    with pytest.raises(NotFound) as caught:
        await client.components.delete(part)
    assert caught.value.outcome is Outcome.NOT_DONE


# -- storages ------------------------------------------------------------------------------------------------


async def test_storages(client: Vidispine, sandbox: Sandbox) -> None:
    """Storages are locations, by name, and are found by name or id."""
    found = await client.locations.list().collect()
    assert [(one.id, one.name, one.kind) for one in found] == [
        ("VX-1", "originals", "LOCAL"),
        ("VX-2", "proxies", "LOCAL"),
    ]
    for one in found:
        assert await client.locations.get(one.name) == one
        assert await client.locations.get(one.id) == one
        assert isinstance(one.details, VidispineStorage)
        assert one.details.metadata["name"] == one.name
    for name in ("nowhere", "VX-9", "a/b"):
        with pytest.raises(NotFound, match="no location") as caught:
            await client.locations.get(name)
        assert caught.value.outcome is Outcome.NOT_DONE


async def test_pages_of_storages(client: Vidispine) -> None:
    """Storages come in pages, too, where somebody asks the provider for less than all."""
    server = client.provider._server
    for name in ("c", "a", "b", "b"):
        metadata = {"field": [{"key": "name", "value": name}]}
        await server.call("POST", "storage", content={"type": "REMOTE", "metadata": metadata})
    page = await client.provider.page_locations(after=None, size=2)
    names = [one.name for one in page.items]
    while page.next is not None:
        page = await client.provider.page_locations(after=page.next, size=2)
        names += [one.name for one in page.items]
    assert names == ["a", "b", "b", "c", "originals", "proxies"]
    assert (await client.locations.get("c")).kind == "REMOTE"


async def test_details_of_files(client: Vidispine) -> None:
    """What a file's record tells beyond the common fields is typed."""
    part = await client.components.upload(File(b"data", name="a"), location="proxies")
    details = part.details
    assert isinstance(details, VidispineFile)
    assert (details.id, details.state, details.size, details.storage) == (part.id, "CLOSED", 4, "VX-2")
    assert details.path == part.raw["path"]
