"""Files in the tracker: whole or not there, each content once, and uploads that go on where they were."""

from __future__ import annotations

import fcntl
import hashlib
import io
import itertools
import os
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import anyio
import pytest
from anyio.lowlevel import checkpoint

from callsheet import (
    Component,
    Conflict,
    File,
    FrameSequence,
    IntegrityError,
    InvalidRequest,
    NotFound,
    Timeout,
)
from callsheet._locks import lock
from callsheet.providers.local import Garbage, LocalProvider, _blobs, _parts
from callsheet.providers.local._components import NewFile, store
from local.tools import Make, Upload, Worker, unseen

MEGABYTE = 1 << 20
CONTENT = os.urandom(3 * MEGABYTE + 17)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def files(directory: Path) -> Path:
    """Where the bytes are."""
    return directory / "files"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file of four chunks."""
    path = tmp_path / "plate.exr"
    path.write_bytes(CONTENT)
    return path


def stored(files: Path) -> dict[str, bytes]:
    """Return all whole files by their names."""
    return {path.name: path.read_bytes() for path in files.glob("??/*")}


def parts(files: Path) -> list[Path]:
    """Return all files that are not whole."""
    return [*files.glob("tmp/*")]


async def content(provider: LocalProvider, component: Component, start: int = 0) -> bytes:
    """Return the component's bytes."""
    async with provider.read(component, start=start) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def stream(content: bytes, size: int = 70_000) -> AsyncIterator[bytes]:
    """Yield the content in pieces."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


def sources(path: Path) -> list[File]:
    """Return the same content in every kind of source."""
    return [
        File(path),
        File(CONTENT, name="bytes"),
        File(io.BytesIO(CONTENT), name="open"),
        File(stream(CONTENT), name="stream", size=len(CONTENT)),
    ]


async def test_every_source_is_stored_under_its_hash_once(
    provider: LocalProvider, upload: Upload, source: Path, files: Path
) -> None:
    """Four components of one content share its bytes; each can be read from any place."""
    for file in sources(source):
        component = await upload(file)
        assert (component.name, component.size, component.checksum) == (
            file.name,
            len(CONTENT),
            f"sha256:{digest(CONTENT)}",
        )
        assert (component.role, component.job_id, component.location_id) == (None, None, "local")
        assert await content(provider, component) == CONTENT
        assert await content(provider, component, MEGABYTE + 5) == CONTENT[MEGABYTE + 5 :]
        assert await content(provider, component, len(CONTENT)) == b""
    assert stored(files) == {digest(CONTENT): CONTENT}
    assert parts(files) == []
    assert {path.stat().st_mode & 0o777 for path in files.glob("??/*")} == {0o600}


@pytest.mark.parametrize("size", [0, 1, MEGABYTE, MEGABYTE + 1])
async def test_sizes_at_the_edges_of_chunks(
    provider: LocalProvider, upload: Upload, files: Path, size: int
) -> None:
    """Nothing, one byte, one chunk and a little more arrive as they are."""
    component = await upload(CONTENT[:size])
    assert (component.size, await content(provider, component)) == (size, CONTENT[:size])
    assert [*stored(files)] == [digest(CONTENT[:size])]


async def test_chunks_are_bounded_and_closed_early(provider: LocalProvider, upload: Upload) -> None:
    """A reader may leave after one chunk; none is larger than a megabyte."""
    component = await upload(CONTENT)
    async with provider.read(component) as chunks:
        first = await anext(chunks)
    assert first == CONTENT[:MEGABYTE]
    with pytest.raises(Timeout, match="given up"):
        await anext(chunks)


async def test_progress_grows_to_the_size(provider: LocalProvider, source: Path) -> None:
    """Each chunk is told once, the last one is the whole."""
    told: list[int] = []

    async def note(done: int) -> None:
        told.append(done)

    await provider.upload(File(source), location=None, key="k", progress=note)
    assert told == [MEGABYTE, 2 * MEGABYTE, 3 * MEGABYTE, len(CONTENT)]


async def test_key_returns_its_component_without_storing(
    provider: LocalProvider, upload: Upload, source: Path
) -> None:
    """A repeated upload stores nothing; the same key for another file, or other bytes, is refused."""
    component = await upload(File(source), key="k")
    told: list[int] = []

    async def note(done: int) -> None:
        told.append(done)

    again = await provider.upload(File(source), location="local", key="k", progress=note)
    assert (again, told) == (component, [])
    with pytest.raises(Conflict, match="'k' was used with another request"):
        await upload(b"other", key="k")
    changed = bytearray(source.read_bytes())
    changed[-1] ^= 1
    source.write_bytes(changed)
    with pytest.raises(Conflict, match="'k' was used with another file"):
        await upload(File(source), key="k")


async def test_file_in_a_folder_of_any_name_is_stored(
    provider: LocalProvider, upload: Upload, tmp_path: Path
) -> None:
    """A path need not be Unicode, as long as the file's own name is."""
    folder = tmp_path / os.fsdecode(b"not \xff Unicode")
    folder.mkdir()
    (folder / "a.exr").write_bytes(b"plate")
    assert await content(provider, await upload(File(folder / "a.exr"))) == b"plate"


async def test_key_used_twice_at_the_same_time_makes_one_component(provider: LocalProvider) -> None:
    """Of uploads that began before any had ended, the key belongs to one file; another is refused."""
    made: list[Component] = []
    refused: list[Conflict] = []

    async def upload(name: str) -> None:
        try:
            file = File(CONTENT, name=name)
            made.append(await provider.upload(file, location=None, key="k", progress=unseen))
        except Conflict as exc:
            refused.append(exc)

    async with anyio.create_task_group() as tasks:
        for name in ("a", "a", "a", "b", "b", "b"):
            tasks.start_soon(upload, name)
    assert made == [made[0]] * 3
    assert [str(error) for error in refused] == ["the idempotency key 'k' was used with another request"] * 3
    page = await provider.page_components(job_id=None, location_id=None, after=None, size=9)
    assert page.items == made[:1]


async def test_key_used_at_the_same_time_for_other_bytes_is_refused(provider: LocalProvider) -> None:
    """A file called like another, and as large, is not that file: nobody gets a component of other bytes."""
    made: dict[bytes, Component] = {}
    refused: list[str] = []

    async def upload(content: bytes) -> None:
        try:
            made[content] = await provider.upload(
                File(content, name="a"), location=None, key="k", progress=unseen
            )
        except Conflict as exc:
            refused.append(str(exc))

    async with anyio.create_task_group() as tasks:
        for content in (b"one", b"two", b"six"):
            tasks.start_soon(upload, content)
    assert [component.checksum for component in made.values()] == [f"sha256:{digest(key)}" for key in made]
    assert (len(made), refused) == (1, ["the idempotency key 'k' was used with another file"] * 2)


async def test_key_whose_component_goes_while_it_is_stored_is_refused(
    provider: LocalProvider, upload: Upload
) -> None:
    """What was made under a key, and deleted while the key was used again, is not made anew."""
    new = NewFile("k", "the request", "a", 3, f"sha256:{digest(b'one')}")
    made = await provider._store.write(store, new)
    assert await provider._store.write(store, new) == made
    await provider.delete_component(made.id)
    with pytest.raises(Conflict, match=rf"'k' was used for component {made.id}, which has been deleted"):
        await provider._store.write(store, new)


async def test_bytes_and_names_are_on_disk_when_an_upload_returns(
    provider: LocalProvider, upload: Upload, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The content is synced, and then each folder that got a new name, so that a crash loses neither."""
    synced: list[int] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    await upload(b"x")
    (whole,) = files.glob("??/*")
    assert synced == [path.stat().st_ino for path in (whole, files, whole.parent)]


async def test_write_that_takes_only_some_bytes_is_gone_on_with(
    provider: LocalProvider, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system may write less than it was given."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[: len(data) // 2 + 1]))
    assert await content(provider, await upload(CONTENT)) == CONTENT


async def test_bytes_of_another_length_are_mended_by_their_next_upload(
    provider: LocalProvider, upload: Upload, files: Path
) -> None:
    """What stands under the name of a content without being it is replaced."""
    component = await upload(CONTENT)
    (whole,) = files.glob("??/*")
    whole.write_bytes(b"cut off")
    await upload(CONTENT)
    assert await content(provider, component) == CONTENT


async def test_upload_holds_two_chunks_at_most(provider: LocalProvider, tmp_path: Path) -> None:
    """Memory does not grow with the file."""
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(48 * MEGABYTE)
    await provider.upload(File(b"warm", name="warm"), location=None, key="warm", progress=unseen)
    tracemalloc.start()
    try:
        await provider.upload(File(path), location=None, key="k", progress=unseen)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < LocalProvider.memory_per_upload + MEGABYTE // 2


async def cancelled_after(provider: LocalProvider, file: File, done: int) -> None:
    """Upload, and be cancelled once so many bytes are done."""
    with anyio.CancelScope() as scope:

        async def stop(now: int) -> None:
            if now >= done:
                scope.cancel()

        await provider.upload(file, location=None, key="cancelled", progress=stop)
    assert scope.cancelled_caught


async def test_cancelled_upload_goes_on_where_it_was(
    provider: LocalProvider, source: Path, files: Path
) -> None:
    """What was written before is hashed, not read from the source again."""
    await cancelled_after(provider, File(source), 2 * MEGABYTE)
    assert stored(files) == {}
    (part,) = parts(files)
    kept = part.stat().st_size
    assert 2 * MEGABYTE <= kept < len(CONTENT)
    # Bytes of another file in the part show that they are the ones that are used.
    part.write_bytes(b"x" * kept)
    reads: list[int] = []

    async def note(done: int) -> None:
        reads.append(done)

    component = await provider.upload(File(source), location=None, key="again", progress=note)
    mixed = b"x" * kept + CONTENT[kept:]
    assert await content(provider, component) == mixed
    assert component.checksum == f"sha256:{digest(mixed)}"
    assert reads[-1] == len(CONTENT)


@pytest.mark.parametrize("change", ["content", "boot"])
async def test_part_of_what_was_another_file_is_not_used(
    provider: LocalProvider, source: Path, files: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """When the source was written to, or the machine was restarted, the upload begins anew."""
    await cancelled_after(provider, File(source), MEGABYTE)
    fresh = CONTENT
    if change == "content":
        fresh = os.urandom(len(CONTENT))
        source.write_bytes(fresh)
        os.utime(source, ns=(0, 0))
    else:
        monkeypatch.setattr("callsheet.providers.local._parts.boot_id", lambda: "another boot")
    component = await provider.upload(File(source), location=None, key="again", progress=unseen)
    assert await content(provider, component) == fresh
    assert len(parts(files)) == 1


async def test_cancelled_upload_of_what_cannot_be_found_again_leaves_nothing(
    provider: LocalProvider, files: Path
) -> None:
    """Bytes and streams have no name on disk to come back to."""
    await cancelled_after(provider, File(CONTENT, name="a"), MEGABYTE)
    assert (stored(files), parts(files)) == ({}, [])


async def test_same_file_twice_at_the_same_time(provider: LocalProvider, source: Path, files: Path) -> None:
    """Two uploads of one file do not share a part; both are whole."""
    made: list[Component] = []

    async def upload(key: str) -> None:
        made.append(await provider.upload(File(source), location=None, key=key, progress=unseen))

    async with anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(upload, f"k{number}")
    assert len({component.id for component in made}) == 4
    assert stored(files) == {digest(CONTENT): CONTENT}
    assert parts(files) == []


async def test_source_that_changes_while_it_is_read_is_not_stored(
    provider: LocalProvider, source: Path, files: Path
) -> None:
    """A mixed file is an error, and no part of it is kept."""

    async def write(done: int) -> None:
        if done == MEGABYTE:
            source.write_bytes(os.urandom(len(CONTENT)))
            os.utime(source, ns=(0, 0))

    with pytest.raises(IntegrityError, match=r"'plate\.exr' changed while it was read"):
        await provider.upload(File(source), location=None, key="k", progress=write)
    assert (stored(files), parts(files)) == ({}, [])


async def test_upload_cancelled_at_any_step_leaves_nothing_half_done(
    provider: LocalProvider, source: Path, files: Path
) -> None:
    """Wherever it is stopped, there is a whole component or none, and no file is left open."""
    ended = False
    for steps in itertools.count():
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:

                async def upload(steps: int = steps, scope: anyio.CancelScope = scope) -> None:
                    nonlocal ended
                    file = File(CONTENT[: steps + 1], name="a")
                    await provider.upload(file, location=None, key=f"k{steps}", progress=unseen)
                    ended = True
                    scope.cancel()

                tasks.start_soon(upload)
                # Later each time, until it is too late: by a tenth, as some disks are slow.
                for _ in range(steps):
                    await checkpoint()
                await anyio.sleep(0.0002 * 1.1**steps)
                scope.cancel()
        if ended:
            break
    page = await provider.page_components(job_id=None, location_id=None, after=None, size=500)
    for component in page.items:
        assert await content(provider, component) == CONTENT[: component.size]
    assert all(digest(content) == name for name, content in stored(files).items())
    assert parts(files) == []


async def test_stream_that_stands_still_ends_by_the_stall_limit(
    provider: LocalProvider, monkeypatch: pytest.MonkeyPatch, files: Path
) -> None:
    """A source that brings nothing for too long is an error that names it."""
    monkeypatch.setattr(_blobs, "STALL", 0.05)

    async def stuck() -> AsyncIterator[bytes]:
        yield b"x" * 10
        await anyio.sleep_forever()

    with pytest.raises(Timeout, match=r"'a': no byte was moved for 0\.05 s"):
        await provider.upload(File(stuck(), name="a", size=20), location=None, key="k", progress=unseen)
    assert (stored(files), parts(files)) == ({}, [])


async def test_unknown_location_is_not_found(provider: LocalProvider, upload: Upload) -> None:
    """There is one place, known by its name and id."""
    local = await provider.get_location("local")
    assert (local.id, local.name, local.kind) == ("local", "local", "directory")
    assert (await provider.page_locations(after=None, size=9)).items == [local]
    for call in (
        provider.get_location("nas"),
        provider.upload(File(b"x", name="a"), location="nas", key="k", progress=unseen),
        provider.page_components(job_id=None, location_id="nas", after=None, size=9),
    ):
        with pytest.raises(NotFound, match="there is no location 'nas'"):
            await call
    await provider.upload(File(b"x", name="a"), location="local", key="k", progress=unseen)
    assert (
        len((await provider.page_components(job_id=None, location_id="local", after=None, size=9)).items) == 1
    )


# -- frames --------------------------------------------------------------------------------------------------


@pytest.fixture
def frames(tmp_path: Path) -> FrameSequence:
    """Three frames, of 1001, 1002 and 1003 bytes."""
    for frame in (1001, 1002, 1003):
        (tmp_path / f"beauty.{frame}.exr").write_bytes(CONTENT[:frame])
    return FrameSequence(tmp_path / "beauty.%04d.exr", 1001, 1003)


async def test_frame_sequence_is_one_component_with_its_frames(
    provider: LocalProvider, make: Make, frames: FrameSequence
) -> None:
    """Listings have the sequence, `members` its frames in order; a job has it as one."""
    told: list[int] = []

    async def note(done: int) -> None:
        told.append(done)

    job = await make()
    sequence = await provider.upload(frames, location=None, key="k", progress=note)
    (linked,) = await provider.link(job.id, [sequence])
    assert (sequence.name, sequence.size, sequence.checksum) == ("beauty.%04d.exr", 3006, None)
    assert told == [1001, 2003, 3006]
    assert (await provider.page_components(job_id=None, location_id=None, after=None, size=9)).items == [
        linked
    ]
    members = await provider.members(sequence)
    assert members is not None
    assert [member.name for member in members] == [f"beauty.{frame}.exr" for frame in (1001, 1002, 1003)]
    assert [await content(provider, member) for member in members] == [
        CONTENT[:n] for n in (1001, 1002, 1003)
    ]
    assert {provider.details(member).parent_id for member in members} == {sequence.id}
    assert await provider.members(members[0]) is None
    with pytest.raises(Conflict, match="is a frame; delete its sequence"):
        await provider.delete_component(members[1].id)
    assert await provider.members(sequence) == members
    for call in (content(provider, sequence), provider.component_url(sequence, expires=60)):
        with pytest.raises(InvalidRequest, match=r"'beauty\.%04d\.exr' is a frame sequence"):
            await call
    await provider.delete_job(job.id)
    for component in (sequence, *members):
        with pytest.raises(NotFound, match=component.id):
            await provider.get_component(component.id)


async def test_frame_that_a_job_has_stays_with_its_sequence(
    provider: LocalProvider, make: Make, frames: FrameSequence
) -> None:
    """A job that goes takes along what only it had, but no frame out of a sequence."""
    job = await make()
    sequence = await provider.upload(frames, location=None, key="k", progress=unseen)
    members = await provider.members(sequence)
    assert members is not None
    await provider.link(job.id, [members[1]])
    await provider.delete_job(job.id)
    assert await provider.members(sequence) == members


async def test_key_used_at_the_same_time_for_other_frames_is_refused(
    provider: LocalProvider, tmp_path: Path
) -> None:
    """Of sequences of one name and size only one is stored under a key, whole and with its own frames."""
    made: list[bytes] = []
    refused: list[str] = []

    async def upload(content: bytes) -> None:
        folder = tmp_path / content.decode()
        folder.mkdir()
        (folder / "beauty.1.exr").write_bytes(content)
        try:
            sequence = await provider.upload(
                FrameSequence(folder / "beauty.%d.exr", 1, 1), location=None, key="k", progress=unseen
            )
        except Conflict as exc:
            refused.append(str(exc))
        else:
            members = await provider.members(sequence)
            assert members is not None
            assert [member.checksum for member in members] == [f"sha256:{digest(content)}"]
            made.append(content)

    async with anyio.create_task_group() as tasks:
        for content in (b"one", b"two", b"six"):
            tasks.start_soon(upload, content)
    assert len(made) == 1
    assert len(refused) == 2


async def test_key_of_a_frame_sequence_is_bound_to_its_frames(
    provider: LocalProvider, upload: Upload, frames: FrameSequence
) -> None:
    """Other frames, fewer or more, of the same size together, are another request."""
    component = await upload(frames, key="k")
    assert await upload(frames, key="k") == component
    for first, sizes in {1: (1001, 1002, 1003), 2001: (3000, 6), 1001: (3000, 6), 1002: (3, 3, 3000)}.items():
        for number, size in enumerate(sizes, start=first):
            frames.pattern.with_name(f"beauty.{number:04}.exr").write_bytes(CONTENT[:size])
        other = FrameSequence(frames.pattern, first, first + len(sizes) - 1)
        with pytest.raises(Conflict, match="the idempotency key 'k' was used with other frames"):
            await upload(other, key="k")
    for number in (1001, 1002, 1003):
        frames.pattern.with_name(f"beauty.{number}.exr").write_bytes(b"x" * 1002)
    with pytest.raises(Conflict, match="the idempotency key 'k' was used with another file"):
        await upload(frames, key="k")


async def test_missing_frame_stores_nothing(
    provider: LocalProvider, upload: Upload, frames: FrameSequence, files: Path
) -> None:
    """A gap is found before the first byte is stored, and named."""
    (frames.pattern.parent / "beauty.1002.exr").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 frames are missing of .* the first is beauty\.1002\.exr"):
        await upload(frames)
    assert (stored(files), parts(files)) == ({}, [])


# -- components ----------------------------------------------------------------------------------------------


async def test_url_reads_the_bytes(provider: LocalProvider, upload: Upload) -> None:
    """The address is a `file:` URI without any secret."""
    component = await upload(b"bytes")
    url = urlsplit(await provider.component_url(component, expires=60))
    assert (url.scheme, url.netloc, url.query) == ("file", "", "")
    assert Path(unquote(url.path)).read_bytes() == b"bytes"


async def test_components_are_paged_in_the_order_of_creation(
    provider: LocalProvider, make: Make, upload: Upload
) -> None:
    """Of all, and of one job; linking twice changes nothing; another job's are left out."""
    jobs = [await make(), await make()]
    made = [await upload(str(number).encode(), f"{number}.exr") for number in range(9)]
    linked = await provider.link(jobs[0].id, made[:6:-1] + made[:3])
    assert [component.id for component in linked] == [c.id for c in made[:6:-1] + made[:3]]
    assert {(c.job_id, c.role) for c in linked} == {(jobs[0].id, "output")}
    assert await provider.link(jobs[0].id, [made[0], made[0]]) == [linked[2]] * 2
    await provider.link(jobs[1].id, made[4:5])
    for job_id, expected in ((None, made), (jobs[0].id, made[:3] + made[7:]), (jobs[1].id, made[4:5])):
        seen: list[str] = []
        after = None
        while True:
            page = await provider.page_components(job_id=job_id, location_id=None, after=after, size=2)
            seen += [component.id for component in page.items]
            after = page.next
            if after is None:
                break
        assert seen == [component.id for component in expected]
    with pytest.raises(NotFound, match="there is no job 'none'"):
        await provider.page_components(job_id="none", location_id=None, after=None, size=2)


async def test_link_is_all_or_none(provider: LocalProvider, make: Make, upload: Upload) -> None:
    """A component or job that is missing keeps the others from being attached, and is named."""
    job, there, gone = await make(), await upload(b"there"), await upload(b"gone")
    await provider.delete_component(gone.id)
    with pytest.raises(NotFound, match=gone.id):
        await provider.link(job.id, [there, gone])
    with pytest.raises(NotFound, match="there is no job 'none'"):
        await provider.link("none", [there])
    assert (await provider.page_components(job_id=job.id, location_id=None, after=None, size=9)).items == []
    for call in (
        provider.get_component(gone.id),
        provider.delete_component(gone.id),
        content(provider, gone),
    ):
        with pytest.raises(NotFound, match=f"there is no component '{gone.id}'"):
            await call


# -- garbage -------------------------------------------------------------------------------------------------


async def test_garbage_is_what_nobody_refers_to(
    provider: LocalProvider, upload: Upload, source: Path, frames: FrameSequence, files: Path
) -> None:
    """Bytes of deleted components and given-up parts go; what is used, by a frame too, stays."""
    kept, shared, gone = await upload(b"kept"), await upload(b"shared"), await upload(b"gone")
    await upload(b"shared")
    sequence = await upload(frames)
    await provider.delete_component(shared.id)
    await provider.delete_component(gone.id)
    await cancelled_after(provider, File(source), MEGABYTE)
    (part,) = parts(files)
    (files / "aa").mkdir(exist_ok=True)
    (files / "aa" / "notes.txt").write_text("not ours")
    waste = [
        Garbage(files / digest(b"gone")[:2] / digest(b"gone"), 4),
        Garbage(part, part.stat().st_size),
    ]
    waste.sort(key=lambda one: one.path)
    assert await provider.collect_garbage(dry_run=True) == waste
    assert part.exists()
    assert await provider.collect_garbage() == waste
    assert await provider.collect_garbage() == []
    members = await provider.members(sequence)
    assert members is not None
    rest = {b"kept", b"shared", *[CONTENT[:n] for n in (1001, 1002, 1003)]}
    assert set(stored(files).values()) == rest | {b"not ours"}
    assert await content(provider, kept) == b"kept"
    assert parts(files) == []


async def test_part_that_a_thread_still_has_open_is_no_garbage(provider: LocalProvider, files: Path) -> None:
    """An upload that was left behind by its caller keeps its part until its thread lets go of it."""
    part = files / "tmp" / "left.part"
    descriptor = _parts.open_locked(part)
    assert descriptor is not None
    os.write(descriptor, b"left")
    assert await provider.collect_garbage() == []
    os.close(descriptor)
    assert await provider.collect_garbage() == [Garbage(part, 4)]
    assert not part.exists()


async def test_garbage_is_not_collected_while_another_process_uploads(
    provider: LocalProvider, worker: Worker, directory: Path, files: Path
) -> None:
    """Between the last byte and its row nothing may be taken for garbage; afterwards it is no garbage."""
    uploader = worker("hold_upload", directory)
    assert uploader.stdin is not None
    assert uploader.stdout is not None
    assert await anyio.to_thread.run_sync(uploader.stdout.readline) == '"half"\n'
    with pytest.raises(Conflict, match="files are being uploaded"):
        await provider.collect_garbage()
    assert len(parts(files)) == 1
    uploader.stdin.write("go on\n")
    uploader.stdin.flush()
    assert await anyio.to_thread.run_sync(uploader.wait) == 0
    assert await provider.collect_garbage() == []
    assert [*stored(files).values()] == [b"first half, second half"]


async def test_garbage_is_looked_for_once_uploads_are_kept_out(
    provider: LocalProvider, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an upload stored after the look would else be taken for garbage."""
    read = provider._store.read
    kept_out: list[bool] = []

    async def look(*arguments: Any) -> Any:
        with (files / "lock").open("rb") as file:
            kept_out.append(not lock(file.fileno(), shared=True, wait=False))
        return await read(*arguments)

    monkeypatch.setattr(provider._store, "read", look)
    assert await provider.collect_garbage() == []
    assert kept_out == [True]


@contextmanager
def collecting(files: Path) -> Iterator[int]:
    """Hold the lock of a collector of garbage."""
    descriptor = os.open(files / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


async def test_upload_waits_for_the_collector(
    provider: LocalProvider, upload: Upload, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins when the collector is done, and gives up if that takes too long."""
    done: list[Any] = []

    async def wait() -> None:
        done.append(await upload(b"x"))

    async with anyio.create_task_group() as tasks:
        with collecting(files):
            tasks.start_soon(wait)
            await anyio.sleep(0.1)
            assert done == []
    assert len(done) == 1
    monkeypatch.setattr(_blobs, "STALL", 0.05)
    with collecting(files), pytest.raises(Timeout, match=r"collecting garbage in .* takes too long"):
        await upload(b"y")
