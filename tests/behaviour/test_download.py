"""Downloading: whole or not at all at the final name, gone on with after trouble, never outside a folder."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
import xxhash

from callsheet import (
    CallsheetError,
    Client,
    Component,
    Conflict,
    File,
    FrameSequence,
    IntegrityError,
    InvalidRequest,
    NotFound,
    Timeout,
    Transfer,
    TransportError,
)
from rig import Rig
from support.needs import needs
from support.tables import ends_with, raises_for
from support.wrapping import Wrapping

CONTENT = os.urandom(3_300_000)
"""More than three chunks."""


@pytest.fixture
async def part(rig: Rig) -> Component | None:
    """A component of some chunks, where the tracker takes uploads."""
    if not rig.supports("upload"):
        return None
    component: Component = await rig.hand.components.upload(File(CONTENT, name="plate.mov"))
    return component


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder to download into."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    return folder


def names(folder: Path) -> list[str]:
    """Return what is in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


Chunks = AsyncIterator[bytes]
Read = Callable[..., AbstractAsyncContextManager[Chunks]]


class Through:
    """Chunks with something done to each; a class, so that it may be left half way."""

    def __init__(self, chunks: Chunks, change: Callable[[bytes, int], bytes]) -> None:
        self._chunks = chunks
        self._change = change
        self._number = -1

    def __aiter__(self) -> Through:
        return self

    async def __anext__(self) -> bytes:
        self._number += 1
        return self._change(await anext(self._chunks), self._number)


def changing(provider: Wrapping, change: Callable[[bytes, int], bytes], *, times: int = 1000) -> None:
    """Let so many reads see their chunks changed."""
    left = times

    @asynccontextmanager
    async def read(real: Read, component: Component, *, start: int = 0) -> AsyncIterator[Chunks]:
        nonlocal left
        left -= 1
        async with real(component, start=start) as chunks:
            yield Through(chunks, change) if left >= 0 else chunks

    provider.on["read"] = read


def starts(provider: Wrapping) -> list[int]:
    """Return from where each read began."""
    return [kwargs["start"] for name, _, kwargs in provider.calls if name == "read"]


# -- where it goes -------------------------------------------------------------------------------------------


@needs("download", "upload")
async def test_into_a_folder(rig: Rig, client: Client[Any], part: Component, folder: Path) -> None:
    """Into an existing folder, or one named with a slash at its end, a component goes under its own name."""
    wheres: list[Any] = [folder, f"{folder}/new/er/", str(folder / "new")]
    paths = [folder / "plate.mov", folder / "new" / "er" / "plate.mov", folder / "new" / "plate.mov"]
    for where, path in zip(wheres, paths, strict=True):
        assert await client.components.download(part, to=where) == path
        assert path.read_bytes() == CONTENT
    assert names(folder) == ["new", "plate.mov"]
    assert names(folder / "new") == ["er", "plate.mov"]


@needs("download", "upload")
async def test_to_a_file(rig: Rig, client: Client[Any], part: Component, folder: Path) -> None:
    """Any other path is the file itself; its folders are made. An id will do."""
    path = folder / "deep" / "er" / "other.mov"
    assert await client.components.download(part.id, to=path) == path
    assert path.read_bytes() == CONTENT
    assert names(path.parent) == ["other.mov"]


@needs("download", "upload")
async def test_relative_paths(
    rig: Rig, client: Client[Any], part: Component, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path counts from the working directory."""
    monkeypatch.chdir(folder)
    assert await client.components.download(part, to=".") == Path("plate.mov")
    assert await client.components.download(part, "out/") == Path("out/plate.mov")
    assert (folder / "plate.mov").read_bytes() == (folder / "out" / "plate.mov").read_bytes() == CONTENT


@needs("download", "upload")
@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
async def test_any_size(rig: Rig, client: Client[Any], folder: Path, size: int) -> None:
    """Files of no, one and many bytes, and of whole chunks, come as they went."""
    part = await client.components.upload(File(CONTENT[:size], name="plate"))
    path = await client.components.download(part, folder)
    assert path.read_bytes() == CONTENT[:size]
    async with client.components.open(part) as chunks:
        assert b"".join([chunk async for chunk in chunks]) == CONTENT[:size]


@needs("download", "upload")
async def test_progress(rig: Rig, client: Client[Any], part: Component, folder: Path) -> None:
    """A plain or async function is told how far it is, forwards only, up to the whole size."""
    told: list[Transfer] = []

    async def awaited(transfer: Transfer) -> None:
        await anyio.lowlevel.checkpoint()
        told.append(transfer)

    for on_progress in (told.append, awaited):
        told.clear()
        await client.components.download(part, folder, on_progress=on_progress, overwrite=True)
        done = [transfer.done for transfer in told]
        assert done == sorted(done)
        assert len(done) >= 4
        assert told[-1] == Transfer("plate.mov", len(CONTENT), len(CONTENT))


# -- what is there already -----------------------------------------------------------------------------------


@needs("download", "upload")
async def test_something_is_there(rig: Rig, part: Component, folder: Path) -> None:
    """A file, folder or link that is there is an error before a byte is asked for, and stays as it is."""
    provider = rig.wrapped()
    (folder / "file").write_bytes(b"precious")
    (folder / "folder").mkdir()
    (folder / "folder" / "plate.mov").write_bytes(b"precious")
    (folder / "link").symlink_to(folder / "nowhere")
    async with Client(provider) as client:
        for where in ("file", "folder", "link"):
            with raises_for(where, FileExistsError, match="exists already"):
                await client.components.download(part, folder / where)
    assert starts(provider) == []
    assert (folder / "file").read_bytes() == (folder / "folder" / "plate.mov").read_bytes() == b"precious"
    assert names(folder) == ["file", "folder", "link"]


@needs("download", "upload")
async def test_a_file_in_a_folders_place(
    rig: Rig, client: Client[Any], part: Component, folder: Path
) -> None:
    """No file is taken for something to overwrite where the target needs a folder, and none is changed."""
    (folder / "file").write_bytes(b"precious")
    for where in ("file/plate.mov", "file/", "file/deep/plate.mov"):
        for overwrite in (False, True):
            with raises_for(where, NotADirectoryError, match="file"):
                await client.components.download(part, f"{folder}/{where}", overwrite=overwrite)
    assert (folder / "file").read_bytes() == b"precious"
    assert names(folder) == ["file"]


@needs("download", "upload")
async def test_overwriting(rig: Rig, client: Client[Any], part: Component, folder: Path) -> None:
    """With `overwrite`, a file is replaced in one step; the old one is there until then."""
    path = folder / "plate.mov"
    path.write_bytes(b"old")
    seen: set[bytes] = set()

    def look(transfer: Transfer) -> None:
        seen.add(path.read_bytes())

    assert await client.components.download(part, folder, overwrite=True, on_progress=look) == path
    assert seen == {b"old"}
    assert path.read_bytes() == CONTENT
    assert names(folder) == ["plate.mov"]


@needs("download", "upload")
async def test_something_comes_meanwhile(
    rig: Rig, client: Client[Any], part: Component, folder: Path
) -> None:
    """What appears at the final name while the download runs is not overwritten; not a byte is lost."""
    path = folder / "plate.mov"

    def appear(transfer: Transfer) -> None:
        path.write_bytes(b"precious")

    with pytest.raises(FileExistsError):
        await client.components.download(part, folder, on_progress=appear)
    assert path.read_bytes() == b"precious"
    await client.components.download(part, folder, overwrite=True)
    assert path.read_bytes() == CONTENT
    assert names(folder) == ["plate.mov"]


@needs("download", "upload")
async def test_a_file_system_without_hard_links(
    rig: Rig, client: Client[Any], part: Component, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a file cannot be linked, as on many a share, it gets its final name all the same."""

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    path = await client.components.download(part, folder)
    assert path.read_bytes() == CONTENT
    with pytest.raises(FileExistsError):
        await client.components.download(part, folder)
    assert names(folder) == ["plate.mov"]

    def appear(transfer: Transfer) -> None:
        (folder / "other").write_bytes(b"precious")

    with pytest.raises(FileExistsError, match="meanwhile"):
        await client.components.download(part, folder / "other", on_progress=appear)
    assert (folder / "other").read_bytes() == b"precious"


@needs("download", "open", "upload")
async def test_without_a_checksum(rig: Rig, client: Client[Any], part: Component, folder: Path) -> None:
    """Where only the size is known it is held to; a part from an earlier try proves nothing and goes."""
    plain = attrs.evolve(part, checksum=None)
    (folder / ".plate.mov.part").write_bytes(b"x" * 1000)
    provider = rig.wrapped()
    async with Client(provider) as watched:
        path = await watched.components.download(plain, folder)
        assert path.read_bytes() == CONTENT
        assert starts(provider) == [0]
        changing(provider, WRONG["too short"])
        with pytest.raises(IntegrityError, match="instead of"):
            await watched.components.download(plain, folder / "other")
    for name in ("no-such-algorithm", "shake_128"):
        odd = attrs.evolve(part, checksum=f"{name}:00")
        assert (await client.components.download(odd, folder / name)).read_bytes() == CONTENT
    assert names(folder) == ["no-such-algorithm", "plate.mov", "shake_128"]


@needs("download", "upload", "upload(frames=)")
async def test_frames_without_a_checksum(rig: Rig, frames: Component, folder: Path) -> None:
    """Frames that cannot be proved whole are fetched again when a sequence is gone on with."""
    provider = rig.wrapped()

    async def members(real: Any, component: Component) -> list[Component]:
        return [attrs.evolve(frame, checksum=None) for frame in await real(component)]

    provider.on["members"] = members
    (folder / ".beauty.%04d.exr.part").mkdir()
    (folder / ".beauty.%04d.exr.part" / "beauty.1001.exr").write_bytes(b"x" * 100_100)
    async with Client(provider) as client:
        assert is_whole(await client.components.download(frames, folder))
    assert len(starts(provider)) == 12


# -- gone on with --------------------------------------------------------------------------------------------


@needs("download", "upload")
@pytest.mark.parametrize("error", [TransportError("reset"), Timeout("stalled"), KeyError("a bug")], ids=repr)
async def test_going_on_after_trouble(rig: Rig, part: Component, folder: Path, error: Exception) -> None:
    """A download that broke off is gone on with by the same call: what has come is not asked for again."""
    provider = rig.wrapped()

    def break_off(chunk: bytes, number: int) -> bytes:
        if number == 2:
            raise error
        return chunk

    changing(provider, break_off, times=1)
    async with Client(provider) as client:
        with pytest.raises(type(error)):
            await client.components.download(part, folder)
        assert names(folder) == [".plate.mov.part"]
        come = (folder / ".plate.mov.part").stat().st_size
        assert 0 < come < len(CONTENT)
        path = await client.components.download(part, folder)
    assert path.read_bytes() == CONTENT
    assert starts(provider) == [0, come]
    assert names(folder) == ["plate.mov"]


@needs("download", "upload")
async def test_going_on_after_a_cancellation(rig: Rig, part: Component, folder: Path) -> None:
    """A cancelled download is gone on with, by another client, too."""
    with anyio.CancelScope() as scope:
        async with rig.another_client() as client:

            def stop(transfer: Transfer) -> None:
                if transfer.done:
                    scope.cancel()

            await client.components.download(part, folder, on_progress=stop)
    assert scope.cancelled_caught
    assert names(folder) == [".plate.mov.part"]
    come = (folder / ".plate.mov.part").stat().st_size
    provider = rig.wrapped()
    async with Client(provider) as client:
        path = await client.components.download(part, folder)
    assert path.read_bytes() == CONTENT
    assert starts(provider) == [come]


PARTS = {
    "of another file": b"something else",
    "longer than the file": os.urandom(len(CONTENT) + 1),
    "whole": CONTENT,
    "whole but for a byte": CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]),
    "empty": b"",
}


STARTS = {
    "of another file": [len(PARTS["of another file"]), 0],
    "longer than the file": [0],
    "whole": [],
    "whole but for a byte": [0],
    "empty": [0],
}
"""From where the file is read then; one read alone where the part can be no beginning of it."""


@needs("download", "upload")
@pytest.mark.parametrize("which", PARTS)
async def test_a_part_from_somewhere_else(rig: Rig, part: Component, folder: Path, which: str) -> None:
    """Whatever an earlier try left, the file is right in the end: a wrong part is found out and replaced."""
    provider = rig.wrapped()
    told: list[Transfer] = []
    (folder / ".plate.mov.part").write_bytes(PARTS[which])
    async with Client(provider) as client:
        path = await client.components.download(part, folder, on_progress=told.append)
    assert path.read_bytes() == CONTENT
    assert names(folder) == ["plate.mov"]
    assert starts(provider) == STARTS[which]
    assert told[-1] == Transfer("plate.mov", len(CONTENT), len(CONTENT))


@needs("download", "upload")
async def test_two_downloads_to_one_place(
    rig: Rig, client: Client[Any], part: Component, folder: Path
) -> None:
    """Of two downloads to one path at once, one is a conflict and the other has the file."""
    ended: list[object] = []

    async def download() -> None:
        try:
            ended.append(await client.components.download(part, folder))
        except (Conflict, FileExistsError) as error:
            ended.append(type(error))

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(download)
    assert ended.count(folder / "plate.mov") == 1
    assert set(ended) <= {folder / "plate.mov", Conflict, FileExistsError}
    assert (folder / "plate.mov").read_bytes() == CONTENT
    assert names(folder) == ["plate.mov"]


@needs("download", "upload")
async def test_the_part_gets_its_final_name_meanwhile(
    rig: Rig, client: Client[Any], part: Component, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If another download finishes while this one opens its part, the finished file is not written to."""
    (folder / ".plate.mov.part").write_bytes(CONTENT)
    real = fcntl.flock

    def flock(file: int, operation: int) -> None:
        if not (folder / "plate.mov").exists():
            (folder / ".plate.mov.part").rename(folder / "plate.mov")
        real(file, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    # Without a checksum, what an earlier try has left is thrown away.
    with pytest.raises(FileExistsError):
        await client.components.download(attrs.evolve(part, checksum=None), folder)
    assert (folder / "plate.mov").read_bytes() == CONTENT


# -- bytes that are wrong ------------------------------------------------------------------------------------

WRONG: dict[str, Callable[[bytes, int], bytes]] = {
    "a flipped bit": lambda chunk, number: chunk if number != 1 else bytes([chunk[0] ^ 1]) + chunk[1:],
    "too short": lambda chunk, number: chunk if number != 1 else chunk[1:],
    "too long": lambda chunk, number: chunk if number != 1 else chunk + b"x",
    "much too long": lambda chunk, number: chunk * 5,
    "nothing": lambda chunk, number: b"",
}


@needs("download", "open", "upload")
@pytest.mark.parametrize("wrong", WRONG)
async def test_wrong_bytes(rig: Rig, part: Component, folder: Path, wrong: str) -> None:
    """Bytes that do not match size or checksum are an error, and nothing is left at any name."""
    provider = rig.wrapped()
    changing(provider, WRONG[wrong])
    (folder / "old").write_bytes(b"precious")
    async with Client(provider) as client:
        with pytest.raises(IntegrityError, match=r"plate\.mov") as caught:
            await client.components.download(part, folder)
        assert caught.value.provider == rig.name
        with pytest.raises(IntegrityError, match=r"plate\.mov"):
            await client.components.download(part, folder / "old", overwrite=True)
        assert names(folder) == ["old"]
        assert (folder / "old").read_bytes() == b"precious"
        come = 0
        with ends_with(IntegrityError):
            async with client.components.open(part) as chunks:
                async for chunk in chunks:
                    come += len(chunk)
        # What is too much is not read to its end.
        assert come < 2 * len(CONTENT)


@needs("download", "upload")
async def test_wrong_bytes_twice(rig: Rig, part: Component, folder: Path) -> None:
    """If all of it is wrong, too, when it is asked for once more, nothing is kept."""
    provider = rig.wrapped()
    changing(provider, WRONG["a flipped bit"])
    (folder / ".plate.mov.part").write_bytes(CONTENT[:100])
    async with Client(provider) as client:
        with pytest.raises(IntegrityError):
            await client.components.download(part, folder)
    assert starts(provider) == [100, 0]
    assert names(folder) == []


@needs("download", "upload")
async def test_bytes_without_end(rig: Rig, part: Component, folder: Path) -> None:
    """A tracker that sends and sends does not fill the disk: what is too much is not read on."""
    provider = rig.wrapped()
    sent = 0

    @asynccontextmanager
    async def read(real: Read, component: Component, *, start: int = 0) -> AsyncIterator[Chunks]:
        async def endless() -> AsyncGenerator[bytes, None]:
            nonlocal sent
            while sent < 10 * len(CONTENT):
                sent += 1 << 20
                yield b"x" * (1 << 20)

        async with aclosing(endless()) as chunks:
            yield chunks

    provider.on["read"] = read
    async with Client(provider) as client:
        with pytest.raises(IntegrityError, match="more than its"):
            await client.components.download(part, folder)
    assert sent < len(CONTENT) + (2 << 20)
    assert names(folder) == []


@needs("download", "upload")
async def test_a_read_that_fails_at_once(rig: Rig, part: Component, folder: Path) -> None:
    """A download of which not a byte has come leaves nothing behind."""
    provider = rig.wrapped()

    def break_off(chunk: bytes, number: int) -> bytes:
        raise TransportError("reset")

    changing(provider, break_off)
    async with Client(provider) as client:
        with pytest.raises(TransportError):
            await client.components.download(part, folder)
    assert names(folder) == []


@needs("download", "upload")
async def test_a_disk_that_takes_a_part_of_what_it_is_given(
    rig: Rig, client: Client[Any], part: Component, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system writes less than it was given, as it may, the rest is written next."""
    real = os.write

    def write(file: int, data: Any) -> int:
        is_part = ".plate.mov.part" in str(Path(f"/proc/self/fd/{file}").readlink())
        return real(file, memoryview(data)[: len(data) // 2 + 1] if is_part else data)

    monkeypatch.setattr(os, "write", write)
    path = await client.components.download(part, folder)
    assert path.read_bytes() == CONTENT


@needs("download", "upload")
@pytest.mark.parametrize("algorithm", ["sha1", "SHA256", "md5", "xxh128"])
async def test_checksums_of_other_kinds(
    rig: Rig, client: Client[Any], part: Component, folder: Path, algorithm: str
) -> None:
    """Whichever hash a tracker knows, in letters of any size, the bytes are held to it."""
    known = algorithm.lower()
    hasher = xxhash.xxh3_128 if known == "xxh128" else partial(hashlib.new, known)
    right, wrong = hasher(CONTENT).hexdigest(), hasher(b"").hexdigest()
    right = right.upper() if algorithm.isupper() else right
    path = await client.components.download(attrs.evolve(part, checksum=f"{known}:{right}"), folder)
    assert path.read_bytes() == CONTENT
    with pytest.raises(IntegrityError, match="do not match"):
        await client.components.download(attrs.evolve(part, checksum=f"{known}:{wrong}"), folder / "wrong")
    assert names(folder) == ["plate.mov"]


@needs("download", "upload")
async def test_wrong_bytes_after_a_right_part(rig: Rig, part: Component, folder: Path) -> None:
    """If the rest does not fit what had come before, all of it is asked for once more."""
    provider = rig.wrapped()
    changing(provider, WRONG["a flipped bit"], times=1)
    (folder / ".plate.mov.part").write_bytes(CONTENT[:100])
    async with Client(provider) as client:
        path = await client.components.download(part, folder)
    assert path.read_bytes() == CONTENT
    assert starts(provider) == [100, 0]


@needs("download", "upload")
@pytest.mark.parametrize("call", ["write", "fsync"])
async def test_a_full_disk(
    rig: Rig, client: Client[Any], part: Component, folder: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """On a full disk the old file is untouched and the part is removed, to make room."""
    (folder / "plate.mov").write_bytes(b"precious")
    real = getattr(os, call)

    def full(file: int, *args: Any) -> Any:
        if ".plate.mov.part" in str(Path(f"/proc/self/fd/{file}").readlink()):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, *args)

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left") as caught:
        await client.components.download(part, folder, overwrite=True)
    assert caught.value.filename == str(folder / "plate.mov")
    assert (folder / "plate.mov").read_bytes() == b"precious"
    assert names(folder) == ["plate.mov"]


# -- hostile names and links ---------------------------------------------------------------------------------

HOSTILE = [
    "../../etc/passwd",
    "..",
    ".",
    "/etc/passwd",
    "a/b/c",
    "a\\b",
    "C:\\autoexec.bat",
    "CON",
    "nul.txt",
    "com1.exr",
    "a\nb\tc\x1b[31m",
    ".bashrc",
    ".plate.mov.part",
    " leading",
    "trailing. ",
    "a\u202egpj.exe",
    "\u2028line\u2029",
    "x" * 300 + ".exr",
    "ä" * 200 + ".exr",
    "%s%n",
    "~",
    "-rf",
    "$(reboot)",
    "a:b",
    '<>"|?*',
]


@needs("download", "upload")
async def test_hostile_names(rig: Rig, client: Client[Any], folder: Path) -> None:
    """Whatever a component is called, it becomes one visible, harmless file inside the folder."""
    outside = names(folder.parent)
    for number, name in enumerate(HOSTILE):
        into = folder / str(number)
        into.mkdir()
        part = await client.components.upload(File(name.encode(), name=name))
        path = await client.components.download(part, into)
        assert path.parent == into, name
        assert path.read_bytes() == name.encode(), name
        assert names(into) == [path.name], name
        assert len(os.fsencode(path.name)) <= 255, name
        assert path.name.isprintable(), name
        assert not path.name.startswith((".", " ")), name
        assert not path.name.endswith((".", " ")), name
        assert not set('\\/:*?"<>|') & set(path.name), name
        assert path.stem.upper() not in {"CON", "NUL", "COM1"}, name
    assert names(folder.parent) == outside


@needs("download", "upload")
async def test_links_in_the_way(rig: Rig, client: Client[Any], part: Component, folder: Path) -> None:
    """Nothing is ever written through a symbolic link, be it at the final or the temporary name."""
    victim = folder.parent / "victim"
    victim.write_bytes(b"precious")
    (folder / "plate.mov").symlink_to(victim)
    with pytest.raises(FileExistsError):
        await client.components.download(part, folder)
    assert await client.components.download(part, folder, overwrite=True) == folder / "plate.mov"
    assert not (folder / "plate.mov").is_symlink()
    assert (folder / "plate.mov").read_bytes() == CONTENT
    (folder / ".other.mov.part").symlink_to(victim)
    with pytest.raises(OSError, match="other") as caught:
        await client.components.download(part, folder / "other.mov")
    assert caught.value.filename == str(folder / ".other.mov.part")
    assert victim.read_bytes() == b"precious"
    assert (folder / ".other.mov.part").is_symlink()


@needs("download", "upload")
async def test_a_folder_that_is_swapped_for_a_link(
    rig: Rig, client: Client[Any], part: Component, folder: Path
) -> None:
    """If the folder is moved and a link put in its place meanwhile, nothing lands where the link leads."""
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()

    def swap(transfer: Transfer) -> None:
        if not folder.is_symlink():
            folder.rename(folder.parent / "moved")
            folder.symlink_to(elsewhere)

    await client.components.download(part, folder, on_progress=swap)
    assert names(elsewhere) == []
    assert (folder.parent / "moved" / "plate.mov").read_bytes() == CONTENT


# -- frame sequences -----------------------------------------------------------------------------------------


@pytest.fixture
async def frames(rig: Rig, tmp_path: Path) -> Component | None:
    """Twelve frames as one component."""
    if not rig.supports("upload", "upload(frames=)"):
        return None
    source = tmp_path / "frames"
    source.mkdir()
    for frame in range(1001, 1013):
        (source / f"beauty.{frame:04d}.exr").write_bytes(CONTENT[: frame * 100])
    component: Component = await rig.hand.components.upload(
        FrameSequence(source / "beauty.%04d.exr", 1001, 1012)
    )
    return component


def is_whole(path: Path) -> bool:
    """Tell whether all frames are there, and nothing else."""
    return {file.name: file.read_bytes() for file in path.iterdir()} == {
        f"beauty.{frame}.exr": CONTENT[: frame * 100] for frame in range(1001, 1013)
    }


@needs("download", "upload", "upload(frames=)")
async def test_a_frame_sequence(rig: Rig, client: Client[Any], frames: Component, folder: Path) -> None:
    """A frame sequence becomes a folder of its frames, under its name or as told."""
    told: list[Transfer] = []
    path = await client.components.download(frames, folder, on_progress=told.append)
    assert path == folder / "beauty.%04d.exr"
    assert is_whole(path)
    assert told[-1] == Transfer(frames.name, frames.size or 0, frames.size or 0)
    assert [transfer.done for transfer in told] == sorted(transfer.done for transfer in told)
    assert is_whole(await client.components.download(frames.id, folder / "other"))
    assert names(folder) == ["beauty.%04d.exr", "other"]
    with pytest.raises(FileExistsError):
        await client.components.download(frames, folder)
    (path / "beauty.1001.exr").write_bytes(b"old")
    (path / "more").write_bytes(b"old")
    assert is_whole(await client.components.download(frames, folder, overwrite=True))


@needs("download", "upload", "upload(frames=)")
async def test_replacing_frames_loses_nothing(
    rig: Rig, client: Client[Any], frames: Component, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old folder is there until the new one is, and comes back if that cannot get its name."""
    path = await client.components.download(frames, folder)
    (path / "notes").write_bytes(b"old")
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if self.name.endswith(".part"):
            assert [(old / "notes").read_bytes() for old in folder.glob("*.old")] == [b"old"]
            raise PermissionError(errno.EACCES, "not now", str(self))
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(PermissionError):
        await client.components.download(frames, folder, overwrite=True)
    assert (path / "notes").read_bytes() == b"old"
    monkeypatch.undo()
    # As if a process had been killed between the two steps.
    path.rename(folder / ".beauty.%04d.exr.part.old")
    assert is_whole(await client.components.download(frames, folder))
    assert names(folder) == ["beauty.%04d.exr"]


@needs("download", "upload", "upload(frames=)")
async def test_going_on_with_a_frame_sequence(rig: Rig, frames: Component, folder: Path) -> None:
    """A sequence that broke off has no final name, and goes on with the frame it stopped at."""
    provider = rig.wrapped()

    def break_off(chunk: bytes, number: int) -> bytes:
        if len(starts(provider)) == 5:
            raise TransportError("reset")
        return chunk

    changing(provider, break_off)
    async with Client(provider) as client:
        with pytest.raises(TransportError):
            await client.components.download(frames, folder)
        assert names(folder) == [".beauty.%04d.exr.part"]
        # One that was damaged meanwhile is fetched again.
        (folder / ".beauty.%04d.exr.part" / "beauty.1002.exr").write_bytes(b"x" * 100_200)
        path = await client.components.download(frames, folder)
    assert is_whole(path)
    # Four frames, the fifth broken off and once more, the other seven, and the damaged one.
    assert len(starts(provider)) == 5 + 8 + 1
    assert names(folder) == ["beauty.%04d.exr"]


@needs("download", "upload", "upload(frames=)")
async def test_links_among_frames(
    rig: Rig, client: Client[Any], frames: Component, folder: Path, tmp_path: Path
) -> None:
    """No link is followed, nor taken for a frame that an earlier try left, be its bytes the right ones."""
    part = folder / ".beauty.%04d.exr.part"
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    part.symlink_to(elsewhere)
    with pytest.raises(FileExistsError, match="symbolic link"):
        await client.components.download(frames, folder)
    assert names(elsewhere) == []
    part.unlink()
    part.mkdir()
    (part / "beauty.1001.exr").symlink_to(tmp_path / "frames" / "beauty.1001.exr")
    (part / "beauty.1012.exr").write_bytes(CONTENT[: 1012 * 100])
    told: list[Transfer] = []
    path = await client.components.download(frames, folder, on_progress=told.append)
    assert is_whole(path)
    assert not any(file.is_symlink() for file in path.iterdir())
    assert told[-1] == Transfer(frames.name, frames.size or 0, frames.size or 0)


@needs("download", "upload", "upload(frames=)")
async def test_a_folder_that_comes_meanwhile(
    rig: Rig, client: Client[Any], frames: Component, folder: Path
) -> None:
    """What appears at a sequence's final name meanwhile is not replaced, unless that is wanted."""
    path = folder / "beauty.%04d.exr"

    def appear(transfer: Transfer) -> None:
        path.mkdir(exist_ok=True)
        (path / "notes").write_bytes(b"precious")

    with pytest.raises(FileExistsError):
        await client.components.download(frames, folder, on_progress=appear)
    assert (path / "notes").read_bytes() == b"precious"
    # Left by a process that was killed as it replaced a folder.
    (folder / ".beauty.%04d.exr.part.old").mkdir()
    (folder / ".beauty.%04d.exr.part.old" / "notes").write_bytes(b"older")
    assert is_whole(await client.components.download(frames, folder, overwrite=True))
    assert names(folder) == ["beauty.%04d.exr"]


@needs("download", "upload", "upload(frames=)")
async def test_frames_whose_names_clash(rig: Rig, frames: Component, folder: Path) -> None:
    """Frames that would overwrite each other under their safe names are refused, not mixed."""
    provider = rig.wrapped()

    async def members(real: Any, component: Component) -> list[Component]:
        found = await real(component)
        return [attrs.evolve(found[0], name="a/b"), attrs.evolve(found[1], name="a_b")]

    provider.on["members"] = members
    async with Client(provider) as client:
        with pytest.raises(CallsheetError, match="a_b"):
            await client.components.download(frames, folder)
    assert "beauty.%04d.exr" not in names(folder)


@needs("download", "upload", "upload(frames=)", "open")
async def test_a_sequence_is_not_one_stream(rig: Rig, client: Client[Any], frames: Component) -> None:
    """A frame sequence cannot be opened as one file; the error says what to do."""
    with pytest.raises(InvalidRequest, match="frame sequence"):
        async with client.components.open(frames):
            pytest.fail("there is nothing to read")


# -- streams and links ---------------------------------------------------------------------------------------


@needs("open", "upload")
async def test_opening(rig: Rig, client: Client[Any], part: Component) -> None:
    """A component is read in chunks of at most 1 MiB, by itself or its id, and may be left half way."""
    for given in (part, part.id):
        async with client.components.open(given) as chunks:
            found = [chunk async for chunk in chunks]
        assert b"".join(found) == CONTENT
        assert max(map(len, found)) <= 1 << 20
    async with client.components.open(part) as chunks:
        assert CONTENT.startswith(await anext(chunks))
    async with client.components.open(part) as chunks:
        pass
    with pytest.raises(ZeroDivisionError):
        async with client.components.open(part) as chunks:
            print(len(await anext(chunks)) // 0)


@needs("components.url", "upload")
async def test_a_url(rig: Rig, client: Client[Any], part: Component) -> None:
    """A component's URL leads to its bytes."""
    for url in (await client.components.url(part), await client.components.url(part.id, expires=60)):
        assert await rig.fetch(url) == CONTENT


@needs("download", "open", "components.url", "upload", "components.get", "components.delete")
async def test_a_component_that_is_not_there(
    rig: Rig, client: Client[Any], part: Component, folder: Path
) -> None:
    """Every way to the bytes of a component that is gone is `NotFound`, and leaves nothing."""
    await client.components.delete(part)
    await rig.settle()
    for given in (part, part.id, "nope"):
        with raises_for(given, NotFound):
            await client.components.download(given, folder)
        with raises_for(given, NotFound):
            async with client.components.open(given) as chunks:
                await anext(chunks)
        with raises_for(given, NotFound):
            await client.components.url(given)
        with raises_for(given, NotFound, match=given if isinstance(given, str) else given.id):
            await client.components.get(given)
    assert names(folder) == []


@needs("download", "components.url", "upload")
async def test_what_makes_no_sense(rig: Rig, client: Client[Any], part: Component, folder: Path) -> None:
    """Bad targets and options are refused by name, and leave nothing."""
    targets: list[tuple[Any, str]] = [("", "to"), (None, "to"), (7, "to"), ("a\0b", "to"), (b"x", "to")]
    for to, complaint in targets:
        with raises_for(to, InvalidRequest, match=complaint):
            await client.components.download(part, to)
    with pytest.raises(InvalidRequest, match="on_progress"):
        await client.components.download(part, folder, on_progress="shout")  # type: ignore[arg-type]  # on purpose
    for given in (7, None, "", b"x"):
        with raises_for(given, InvalidRequest, match="component"):
            await client.components.download(given, folder)  # type: ignore[arg-type]  # on purpose
        with raises_for(given, InvalidRequest, match="component"):
            await client.components.url(given)  # type: ignore[arg-type]  # on purpose
    for expires in (0, -1, float("nan"), "1 h", True):
        with raises_for(expires, InvalidRequest, match="expires"):
            await client.components.url(part, expires=expires)  # type: ignore[arg-type]  # on purpose
    assert names(folder) == []
