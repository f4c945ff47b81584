"""Attaching and uploading: every kind of file, many at once, and what happens when some fail."""

from __future__ import annotations

import io
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NoReturn

import anyio
import pytest

from callsheet import (
    AttachError,
    Client,
    Component,
    Conflict,
    File,
    FrameSequence,
    IntegrityError,
    InvalidRequest,
    Job,
    NotFound,
    Outcome,
    Transfer,
    Unavailable,
)
from rig import Rig
from support.needs import needs
from support.tables import raises_for

CONTENT = os.urandom(2_500_000)
"""More than two chunks."""


@pytest.fixture
async def job(rig: Rig) -> Job:
    """A job to attach to."""
    return await rig.make_job()


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Six files, each of another size, the first being the largest."""
    folder = tmp_path / "outputs"
    folder.mkdir()
    paths = [folder / f"beauty.{number}.exr" for number in range(6)]
    for number, path in enumerate(paths):
        path.write_bytes(CONTENT[: 2_000_000 // 4**number])
    return paths


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    """Stream the content."""
    for start in range(0, len(content), 400_000):
        yield content[start : start + 400_000]


async def read(client: Client[Any], component: Component) -> bytes:
    """Return the component's bytes, verified."""
    async with client.components.open(component) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def attached(client: Client[Any], job: Job) -> dict[str, Component]:
    """Return the job's components by name."""
    found = await client.components.list(job).collect()
    assert len({component.name for component in found}) == len(found)
    return {component.name: component for component in found}


# -- what can be attached ------------------------------------------------------------------------------------


@needs("attach", "open", "components.list")
async def test_every_kind_of_file(rig: Rig, client: Client[Any], job: Job, paths: list[Path]) -> None:
    """Paths, bytes, open files and streams become components in the order given, with the bytes they had."""
    there = await client.components.upload(File(b"there", name="there.txt"))
    with paths[2].open("rb") as opened:
        opened.seek(10)
        parts = await client.jobs.attach(
            job,
            [
                paths[0],
                str(paths[1]),
                File(opened, name="opened"),
                File(b"in memory", name="bytes"),
                there,
                File(pieces(CONTENT), name="stream", size=len(CONTENT)),
                File(paths[3], name="renamed"),
                File(b"", name="empty"),
            ],
        )
    expected = {
        paths[0].name: paths[0].read_bytes(),
        paths[1].name: paths[1].read_bytes(),
        "opened": paths[2].read_bytes()[10:],
        "bytes": b"in memory",
        "there.txt": b"there",
        "stream": CONTENT,
        "renamed": paths[3].read_bytes(),
        "empty": b"",
    }
    assert [(part.name, part.size) for part in parts] == [(name, len(it)) for name, it in expected.items()]
    assert {(part.job_id, part.role) for part in parts} == {(job.id, "output")}
    assert parts[4].id == there.id
    assert {part.name: await read(client, part) for part in parts} == expected
    assert await attached(client, job) == {part.name: part for part in parts}
    assert {part.location_id for part in parts} <= {one.id for one in await client.locations.list().collect()}


@needs("attach")
async def test_nothing_to_attach(rig: Rig, client: Client[Any], job: Job) -> None:
    """No files are no error, and nothing changes."""
    before = await rig.snapshot()
    assert await client.jobs.attach(job, []) == []
    assert await rig.snapshot() == before


@needs("attach", "upload", "components.list")
async def test_attaching_what_is_attached(rig: Rig, client: Client[Any], job: Job) -> None:
    """A component attached again, or twice in one call, is attached once; to another job, it is shared."""
    part = await client.components.upload(File(b"a", name="a"))
    (first,) = await client.jobs.attach(job, [part])
    assert (first.id, first.job_id, first.role) == (part.id, job.id, "output")
    assert await client.jobs.attach(job.id, [part, first]) == [first, first]
    assert await client.components.list(job).collect() == [first]
    other = await rig.make_job()
    (shared,) = await client.jobs.attach(other, [first])
    assert (shared.id, shared.job_id) == (part.id, other.id)
    assert await client.components.list(job).collect() == [first]


@needs("attach", "open", "components.list")
async def test_names_that_only_a_tracker_can_hold(rig: Rig, client: Client[Any], job: Job) -> None:
    """A component keeps its name as it was given, whatever a file system would make of it."""
    names = [
        "../../etc/passwd",
        "/abs/olute",
        "CON",
        "a\nb",
        "ends. ",
        "\N{FILM FRAMES}.exr",
        "x" * 200,
        "%04d",
        "'\"",
    ]
    parts = await client.jobs.attach(job, [File(name.encode(), name=name) for name in names])
    assert [part.name for part in parts] == names
    assert {name: await read(client, part) for name, part in (await attached(client, job)).items()} == {
        name: name.encode() for name in names
    }


@needs("attach", "components.list")
async def test_equal_files_are_components_of_their_own(
    rig: Rig, client: Client[Any], job: Job, paths: list[Path]
) -> None:
    """The same file twice is two components with the same bytes."""
    one, other = await client.jobs.attach(job, [paths[1], paths[1]])
    assert one.id != other.id
    assert (one.name, one.size, one.checksum) == (other.name, other.size, other.checksum)
    assert len(await client.components.list(job).collect()) == 2


@needs("attach", "components.list")
async def test_many_files(rig: Rig, client: Client[Any], job: Job) -> None:
    """A hundred files come back in order, and are all there."""
    parts = await client.jobs.attach(job, (File(b"%d" % n, name=f"part {n}") for n in range(100)))
    assert [part.name for part in parts] == [f"part {n}" for n in range(100)]
    assert await attached(client, job) == {part.name: part for part in parts}


# -- how many at once ----------------------------------------------------------------------------------------


class Crowd:
    """Stands in for `upload`, counting how many are under way at once."""

    def __init__(self, full: int) -> None:
        self.most = 0
        self._full = full
        self._inside = 0
        self._gathered = anyio.Event()

    async def __call__(self, real: Any, *args: Any, **kwargs: Any) -> Any:
        self._inside += 1
        self.most = max(self.most, self._inside)
        if self._inside == self._full:
            self._gathered.set()
        await self._gathered.wait()
        await anyio.lowlevel.checkpoint()
        try:
            return await real(*args, **kwargs)
        finally:
            self._inside -= 1


@needs("attach")
@pytest.mark.parametrize(("concurrency", "most"), [(1, 1), (3, 3), (None, 32), (50, 40)])
async def test_so_many_at_once_and_no_more(rig: Rig, job: Job, concurrency: int | None, most: int) -> None:
    """As many uploads as asked for run at once, by default 32, and never more."""
    provider = rig.wrapped()
    crowd = provider.on["upload"] = Crowd(min(most, 40))
    async with Client(provider) as client:
        files = [File(b"x", name=f"part {number}") for number in range(40)]
        assert len(await client.jobs.attach(job, files, concurrency=concurrency)) == 40
    assert crowd.most == most
    assert provider.made["link"] == 1


@needs("attach")
@pytest.mark.parametrize(
    ("held", "size", "most"),
    [(16 << 20, 20 << 20, 4), (16 << 20, 10, 10), (100 << 20, 80 << 20, 1)],
    ids=["large", "small", "larger than all"],
)
async def test_so_many_bytes_at_once(
    rig: Rig, job: Job, tmp_path: Path, held: int, size: int, most: int
) -> None:
    """Large uploads share 64 MiB of memory, however many are asked for; small ones are not held up by it."""
    provider = rig.wrapped(memory_per_upload=held)
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", size)
    crowd = Crowd(most)

    async def stand_in(real: Any, file: Any, **kwargs: Any) -> Any:
        # The bytes themselves do not matter here, and are left out.
        return await crowd(real, File(b"x", name=file.name), **kwargs)

    provider.on["upload"] = stand_in
    async with Client(provider) as client:
        files = [File(tmp_path / "large", name=f"part {number}") for number in range(10)]
        await client.jobs.attach(job, files, concurrency=10)
    assert crowd.most == most


# -- what fails ----------------------------------------------------------------------------------------------


@needs("attach", "components.list")
async def test_some_files_fail(rig: Rig, client: Client[Any], job: Job, paths: list[Path]) -> None:
    """One bad file stops no other: the error says which failed and why, and those can be given again."""
    missing, folder = paths[0].parent / "missing.exr", paths[0].parent / "folder"
    folder.mkdir()
    stream = File(pieces(b"short"), name="stream", size=10)
    given = [paths[0], missing, paths[1], str(folder), stream, paths[2]]
    with pytest.raises(AttachError) as caught:
        await client.jobs.attach(job, given)
    error = caught.value
    assert [part.name for part in error.attached] == [path.name for path in paths[:3]]
    assert {file: type(why) for file, why in error.failed.items()} == {
        missing: FileNotFoundError,
        str(folder): InvalidRequest,
        stream: IntegrityError,
    }
    assert (error.outcome, error.provider) == (Outcome.DONE, rig.name)
    assert "3 of 6" in str(error)
    assert "missing.exr" in str(error)
    assert await attached(client, job) == {part.name: part for part in error.attached}
    missing.write_bytes(b"found")
    folder.rmdir()
    folder.write_bytes(b"now a file")
    del error.failed[stream]
    rest = await client.jobs.attach(job, error.failed)
    assert [part.name for part in rest] == ["missing.exr", "folder"]
    assert await attached(client, job) == {part.name: part for part in [*error.attached, *rest]}


@needs("attach")
async def test_all_files_fail(rig: Rig, client: Client[Any], job: Job, tmp_path: Path) -> None:
    """If no file could be read, nothing was done, and nothing is left behind."""
    before = await rig.snapshot()
    files = [tmp_path / "missing 1", tmp_path]
    with pytest.raises(AttachError) as caught:
        await client.jobs.attach(job, files)
    assert caught.value.attached == []
    assert list(caught.value.failed) == files
    assert caught.value.outcome is Outcome.NOT_DONE
    assert await rig.snapshot() == before


@needs("attach")
async def test_a_missing_file_given_twice(rig: Rig, client: Client[Any], job: Job, tmp_path: Path) -> None:
    """Both times count as failures, though they share the one entry of `failed`."""
    missing = tmp_path / "missing.exr"
    with pytest.raises(AttachError, match="2 of 2 files") as caught:
        await client.jobs.attach(job, [missing, missing])
    assert list(caught.value.failed) == [missing]


@needs("attach", "components.list")
async def test_uploaded_but_not_linked(rig: Rig, job: Job, paths: list[Path]) -> None:
    """If only the last step fails, the uploads stand in the error as components: nothing is sent twice."""
    provider = rig.wrapped()

    async def refuse(real: Any, *args: Any) -> NoReturn:
        raise Unavailable("restarting")

    provider.on["link"] = refuse
    async with Client(provider) as client:
        with pytest.raises(AttachError, match="restarting") as caught:
            await client.jobs.attach(job, [*paths[:3], paths[0].parent / "missing.exr"])
        error = caught.value
        assert (error.attached, error.provider, error.outcome) == ([], rig.name, Outcome.NOT_DONE)
        assert f"4 of 4 files could not be attached, the first is {paths[0].name}: restarting" in str(error)
        *uploaded, missing = error.failed
        assert [part.name for part in uploaded] == [path.name for path in paths[:3]]
        assert {type(error.failed[part]) for part in uploaded} == {Unavailable}
        assert isinstance(error.failed[missing], FileNotFoundError)
        assert await attached(client, job) == {}
        del provider.on["link"]
        sent = provider.made["upload"]
        parts = await client.jobs.attach(job, uploaded)
        assert provider.made["upload"] == sent
        assert [part.id for part in parts] == [part.id for part in uploaded]
        assert await attached(client, job) == {part.name: part for part in parts}


@needs("attach")
async def test_an_upload_that_may_have_been_done(rig: Rig, job: Job) -> None:
    """If of one file it is not known whether it is there, nor is it of the call; the next file goes on."""
    provider = rig.wrapped()

    async def upload(real: Any, file: File, **kwargs: Any) -> Any:
        if file.name == "b":
            raise Unavailable("restarting", outcome=Outcome.UNKNOWN)
        return await real(file, **kwargs)

    provider.on["upload"] = upload
    async with Client(provider) as client:
        with pytest.raises(AttachError, match="1 of 2 files") as caught:
            await client.jobs.attach(job, [File(b"b", name="b"), File(b"a", name="a")], concurrency=1)
    assert [part.name for part in caught.value.attached] == ["a"]
    assert caught.value.outcome is Outcome.UNKNOWN


class StillWritten(io.FileIO):
    """An open file to which somebody appends after the first look into it."""

    def read(self, size: int | None = -1) -> bytes:
        chunk = super().read(-1 if size is None else size)
        if chunk and self.tell() == len(chunk):
            with Path(str(self.name)).open("ab") as file:
                file.write(b"more")
        return chunk


@needs("attach", "upload")
async def test_a_file_that_changes_while_it_is_read(
    rig: Rig, client: Client[Any], job: Job, paths: list[Path]
) -> None:
    """A file that is still being written is an error, never a mixed component, and nothing of it is kept."""
    before = await rig.snapshot()
    with StillWritten(str(paths[0])) as written:
        with pytest.raises(IntegrityError, match="still written"):
            await client.components.upload(File(written, name="still written"))
    with StillWritten(str(paths[0])) as written:
        file = File(written, name="still written")
        with pytest.raises(AttachError, match="still written") as caught:
            await client.jobs.attach(job, [file])
    assert isinstance(caught.value.failed[file], IntegrityError)
    assert await rig.snapshot() == before
    part = await client.components.upload(paths[0])
    assert (part.size, await read(client, part)) == (2_000_008, paths[0].read_bytes())


# -- progress ------------------------------------------------------------------------------------------------


@needs("attach", "upload")
@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_progress(rig: Rig, client: Client[Any], job: Job, paths: list[Path], kind: str) -> None:
    """A plain or async function is told how far each file is, forwards only, up to its whole size."""
    told: dict[str, list[Transfer]] = defaultdict(list)

    def plain(transfer: Transfer) -> None:
        told[transfer.name].append(transfer)

    async def awaited(transfer: Transfer) -> None:
        await anyio.lowlevel.checkpoint()
        plain(transfer)

    on_progress: Any = plain if kind == "plain" else awaited
    await client.jobs.attach(job, paths[:3], on_progress=on_progress)
    await client.components.upload(
        File(pieces(CONTENT), name="stream", size=len(CONTENT)), on_progress=on_progress
    )
    sizes = {path.name: path.stat().st_size for path in paths[:3]} | {"stream": len(CONTENT)}
    assert {name: transfers[-1] for name, transfers in told.items()} == {
        name: Transfer(name, size, size) for name, size in sizes.items()
    }
    for name, transfers in told.items():
        done = [transfer.done for transfer in transfers]
        assert done == sorted(set(done))
        assert {transfer.total for transfer in transfers} == {sizes[name]}
    assert len({transfer.done for transfer in told["stream"]}) >= 3


@needs("upload")
async def test_progress_that_is_no_progress(rig: Rig) -> None:
    """Being told the same twice is heard once."""
    provider = rig.wrapped()
    told: list[int] = []

    async def upload(real: Any, file: File, **kwargs: Any) -> Any:
        for done in (0, 0, 1, 1):
            await kwargs["progress"](done)
        return await real(file, **kwargs)

    provider.on["upload"] = upload
    async with Client(provider) as client:
        await client.components.upload(File(b"abc", name="a"), on_progress=lambda one: told.append(one.done))
    assert told[:2] == [0, 1]


# -- uploads -------------------------------------------------------------------------------------------------


@needs("upload", "open", "components.get")
async def test_an_upload(rig: Rig, client: Client[Any], paths: list[Path]) -> None:
    """An uploaded file is a component of no job yet, whole, with size and checksum."""
    part = await client.components.upload(paths[0])
    assert (part.name, part.size, part.job_id, part.role) == (paths[0].name, 2_000_000, None, None)
    assert part.checksum is not None
    assert part.checksum.partition(":")[0]
    assert await client.components.get(part) == part
    assert await client.components.get(part.id) == part
    assert await read(client, part) == paths[0].read_bytes()


@needs("upload", "locations.list")
async def test_an_upload_into_a_location(rig: Rig, client: Client[Any]) -> None:
    """A location is chosen by its id or its name; one that is not there is `NotFound`."""
    part = await client.components.upload(File(b"a", name="a"))
    (location,) = [one for one in await client.locations.list().collect() if one.id == part.location_id]
    for given in (location.id, location.name):
        again = await client.components.upload(File(b"a", name="a"), location=given)
        assert again.location_id == location.id
    before = await rig.snapshot()
    with pytest.raises(NotFound, match="nowhere") as caught:
        await client.components.upload(File(b"a", name="a"), location="nowhere")
    assert (caught.value.provider, caught.value.outcome) == (rig.name, Outcome.NOT_DONE)
    assert await rig.snapshot() == before


@needs("attach", "locations.list")
async def test_attaching_into_a_location(rig: Rig, client: Client[Any], job: Job) -> None:
    """A location that is not there fails every file of an attach, and leaves nothing."""
    part = await client.components.upload(File(b"a", name="a"))
    (there,) = await client.jobs.attach(job, [File(b"b", name="b")], location=part.location_id)
    assert there.location_id == part.location_id
    before = await rig.snapshot()
    with pytest.raises((AttachError, NotFound), match="nowhere"):
        await client.jobs.attach(job, [File(b"a", name="a")], location="nowhere")
    assert await rig.snapshot() == before


@needs("upload")
async def test_an_upload_with_a_key(rig: Rig, client: Client[Any], paths: list[Path]) -> None:
    """Repeating an upload with its key returns the same component, from another client, too."""
    part = await client.components.upload(paths[2], idempotency_key="k-1")
    before = await rig.snapshot()
    assert await client.components.upload(paths[2], idempotency_key="k-1") == part
    async with rig.another_client() as other:
        assert await other.components.upload(paths[2], idempotency_key="k-1") == part
    assert await rig.snapshot() == before
    other_part = await client.components.upload(paths[2], idempotency_key="k-2")
    assert other_part.id != part.id


@needs("upload")
async def test_a_key_used_for_another_file(rig: Rig, client: Client[Any], paths: list[Path]) -> None:
    """A key that another file was uploaded with is a conflict that names the key."""
    await client.components.upload(paths[2], idempotency_key="k-1")
    before = await rig.snapshot()
    with pytest.raises(Conflict, match="k-1") as caught:
        await client.components.upload(paths[3], idempotency_key="k-1")
    assert (caught.value.provider, caught.value.idempotency_key) == (rig.name, "k-1")
    assert await rig.snapshot() == before


@needs("upload")
async def test_one_key_at_the_same_time(rig: Rig, client: Client[Any], paths: list[Path]) -> None:
    """Eight uploads of one file with one key at once make one component."""
    parts: list[Component] = []

    async def upload() -> None:
        parts.append(await client.components.upload(paths[1], idempotency_key="k-1"))

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(upload)
    assert len(parts) == 8
    assert {part.id for part in parts} == {parts[0].id}
    assert await client.components.list().collect() == [parts[0]]


# -- frame sequences -----------------------------------------------------------------------------------------


@pytest.fixture
def frames(tmp_path: Path) -> FrameSequence:
    """Twelve frames, each of another size."""
    for frame in range(1001, 1013):
        (tmp_path / f"beauty.{frame:04d}.exr").write_bytes(CONTENT[: frame * 100])
    return FrameSequence(tmp_path / "beauty.%04d.exr", 1001, 1012)


@needs("attach", "upload", "upload(frames=)", "components.list")
async def test_a_frame_sequence(rig: Rig, client: Client[Any], job: Job, frames: FrameSequence) -> None:
    """A frame sequence is one component of a job, as large as its frames together."""
    told: list[Transfer] = []
    size = sum(frame * 100 for frame in range(1001, 1013))
    (part,) = await client.jobs.attach(job, [frames], on_progress=told.append)
    assert (part.name, part.size, part.job_id, part.role) == ("beauty.%04d.exr", size, job.id, "output")
    assert await client.components.list(job).collect() == [part]
    assert [one.id for one in await client.components.list().collect()] == [part.id]
    done = [transfer.done for transfer in told]
    assert done == sorted(done)
    assert told[-1] == Transfer("beauty.%04d.exr", size, size)


@needs("attach", "upload", "upload(frames=)")
async def test_a_frame_sequence_with_holes(
    rig: Rig, client: Client[Any], job: Job, frames: FrameSequence, tmp_path: Path
) -> None:
    """A missing frame is an error that names it, before anything is stored."""
    (tmp_path / "beauty.1005.exr").unlink()
    before = await rig.snapshot()
    with pytest.raises(FileNotFoundError, match=r"beauty\.1005\.exr"):
        await client.components.upload(frames)
    with pytest.raises(AttachError, match=r"beauty\.1005\.exr") as caught:
        await client.jobs.attach(job, [frames])
    assert list(caught.value.failed) == [frames]
    assert await rig.snapshot() == before


# -- what makes no sense -------------------------------------------------------------------------------------


@needs("attach", "upload")
async def test_what_makes_no_sense(rig: Rig, client: Client[Any], job: Job, paths: list[Path]) -> None:
    """Bad files and options are refused by name before anything is looked at."""
    part = await client.components.upload(paths[3])
    before = await rig.snapshot()
    attaching: list[tuple[Any, dict[str, Any], str]] = [
        (str(paths[0]), {}, "files: give a list, not str"),
        (b"abc", {}, "files: give a list, not bytes"),
        (paths[0], {}, "files: give a list, not"),
        (part, {}, "files: give a list, not Component"),
        (File(b"", name="a"), {}, "files: give a list, not File"),
        (7, {}, "files: give a list, not int"),
        ([7], {}, "cannot read from int"),
        ([b"abc"], {}, "name= is needed"),
        ([paths[0], ""], {}, "file '' names no file"),
        ([paths[0], None], {}, "cannot read from NoneType"),
        ([paths[0]], {"concurrency": 0}, "concurrency"),
        ([paths[0]], {"concurrency": -1}, "concurrency"),
        ([paths[0]], {"concurrency": 1.5}, "concurrency"),
        ([paths[0]], {"concurrency": True}, "concurrency"),
        ([paths[0]], {"location": ""}, "location"),
        ([paths[0]], {"location": 7}, "location"),
        ([paths[0]], {"on_progress": "shout"}, "on_progress"),
    ]
    for files, options, complaint in attaching:
        with raises_for((files, options), InvalidRequest, match=complaint):
            await client.jobs.attach(job, files, **options)
    uploading: list[tuple[Any, dict[str, Any], str]] = [
        (7, {}, "cannot read from int"),
        (part, {}, "uploaded already"),
        ([paths[0]], {}, "cannot read from list"),
        (paths[0].parent, {}, "is a directory"),
        (File(paths[0], size=5), {}, "not size=5"),
        (paths[0], {"idempotency_key": ""}, "idempotency_key"),
        (paths[0], {"location": ""}, "location"),
        (paths[0], {"on_progress": "shout"}, "on_progress"),
    ]
    for file, options, complaint in uploading:
        with raises_for((file, options), InvalidRequest, match=complaint):
            await client.components.upload(file, **options)
    assert await rig.snapshot() == before
