"""Files on their way: every kind of source, its measure, and that no mixed file passes."""

from __future__ import annotations

import hashlib
import io
import os
import re
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from callsheet._errors import IntegrityError, InvalidRequest
from callsheet._files import CHUNK, File, FrameSequence, Reader
from callsheet._threads import Threads

CONTENT = os.urandom(CHUNK + 5000)


@pytest.fixture
def threads(anyio_backend: str) -> Threads:
    """The threads that read."""
    return Threads(4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of a little more than one chunk."""
    path = tmp_path / "plate.exr"
    path.write_bytes(CONTENT)
    return path


async def pieces(content: bytes, size: int = 700_000) -> AsyncIterator[bytes]:
    """Stream the content; pieces fit no chunk, and some are empty."""
    for start in range(0, len(content), size):
        yield content[start : start + size]
        yield b""


class Pipe(io.RawIOBase):
    """An open file that cannot seek, and hands out less than it is asked for."""

    def __init__(self, content: bytes) -> None:
        self._left = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._left.readinto(memoryview(buffer)[:70_000])


async def read_all(reader: Reader, *sinks: Callable[[bytes], object]) -> bytes:
    """Read to the end, and once more: the end stays the end."""
    chunks = []
    while chunk := await reader.read(*sinks):
        assert len(chunk) <= CHUNK
        chunks.append(chunk)
    assert await reader.read(*sinks) == b""
    return b"".join(chunks)


Made = Callable[[Path], File]

KINDS: dict[str, Made] = {
    "path": lambda path: File(path),
    "text": lambda path: File(str(path)),
    "bytes": lambda path: File(path.read_bytes(), name="plate.exr"),
    "open file": lambda path: File(io.BytesIO(path.read_bytes()), name="plate.exr"),
    "pipe": lambda path: File(Pipe(path.read_bytes()), name="plate.exr", size=path.stat().st_size),  # type: ignore[arg-type]  # a raw file is enough
    "stream": lambda path: File(pieces(path.read_bytes()), name="plate.exr", size=path.stat().st_size),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of source in turn."""
    return str(request.param)


async def test_every_source_is_read_whole(kind: str, path: Path, threads: Threads) -> None:
    """Name, size, bytes and what the sinks saw are those of the file, whatever it is read from."""
    file = KINDS[kind](path)
    digest, sizes = hashlib.sha256(), []
    assert (file.name, await file.measure(threads)) == ("plate.exr", len(CONTENT))
    async with file.open(threads) as reader:
        content = await read_all(reader, digest.update, lambda chunk: sizes.append(len(chunk)))
        assert (reader.name, reader.size) == ("plate.exr", len(CONTENT))
    assert content == CONTENT
    assert digest.digest() == hashlib.sha256(CONTENT).digest()
    assert sum(sizes) == len(CONTENT)


async def test_an_empty_source(kind: str, path: Path, threads: Threads) -> None:
    """No bytes are a file, too; no sink is called for them."""
    path.write_bytes(b"")
    called: list[bytes] = []
    async with KINDS[kind](path).open(threads) as reader:
        assert await read_all(reader, called.append) == b""
    assert called == []


@pytest.mark.parametrize("start", [1, CHUNK, len(CONTENT) - 1, len(CONTENT)])
@pytest.mark.parametrize("kind", ["path", "bytes", "open file"])
async def test_reading_goes_on_from_the_middle(kind: str, start: int, path: Path, threads: Threads) -> None:
    """What can seek can be sent again, from any byte on, and begins anew each time."""
    file = KINDS[kind](path)
    for begin in (start, 0):
        async with file.open(threads, start=begin) as reader:
            assert await read_all(reader) == CONTENT[begin:]
            assert reader.size == len(CONTENT)


@pytest.mark.parametrize("kind", ["pipe", "stream"])
async def test_a_stream_is_read_once(kind: str, path: Path, threads: Threads) -> None:
    """What cannot be read again says so, at once, whether it is to begin anew or in the middle."""
    file = KINDS[kind](path)
    async with file.open(threads) as reader:
        await reader.read()
    with pytest.raises(
        InvalidRequest, match=r"file 'plate\.exr' is a stream and has been read; give it anew"
    ):
        async with file.open(threads):
            pass
    with pytest.raises(InvalidRequest, match="is a stream"):
        async with KINDS[kind](path).open(threads, start=1):
            pass


async def test_an_open_file_counts_from_where_it_stands(threads: Threads) -> None:
    """An open file is read from its position on, each time from the same, and stays open."""
    source = io.BytesIO(b"header" + CONTENT)
    source.seek(6)
    file = File(source, name="plate.exr")
    for start in (0, 3):
        assert await file.measure(threads) == len(CONTENT)
        async with file.open(threads, start=start) as reader:
            assert await read_all(reader) == CONTENT[start:]
    assert not source.closed


async def test_a_path_is_closed(path: Path, threads: Threads) -> None:
    """A file that was opened here is closed here, also when reading fails half way."""
    with pytest.raises(ZeroDivisionError):
        async with File(path).open(threads) as reader:
            await reader.read(lambda chunk: 1 // 0)


async def test_identity_of_a_path(path: Path, threads: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unchanged file is known again by its absolute path, size and time; nothing else is."""
    monkeypatch.chdir(path.parent)
    found = path.stat()
    async with File(path.name).open(threads) as reader:
        assert reader.identity == (str(path), found.st_size, found.st_mtime_ns)
    for kind in ("bytes", "open file", "pipe", "stream"):
        async with KINDS[kind](path).open(threads) as reader:
            assert reader.identity is None


class Notes(io.StringIO):
    """A file that is open as text, and knows its name."""

    name = "notes.txt"


def refused(complaint: str) -> AbstractContextManager[object]:
    """Expect an `InvalidRequest` that begins with the complaint."""
    return pytest.raises(InvalidRequest, match=f"^{re.escape(complaint)}")


@pytest.mark.parametrize(
    ("source", "arguments", "complaint"),
    [
        (b"abc", {}, "file: name= is needed unless the source is a path"),
        (io.BytesIO(), {}, "file: name= is needed unless the source is a path"),
        (b"abc", {"name": ""}, "file: name must not be empty"),
        (b"abc", {"name": "a\0b"}, "file: name holds a NUL character"),
        (b"abc", {"name": b"a"}, "file: name must be a text, not bytes"),
        ("", {}, "file '' names no file"),
        ("/", {}, "file '/' names no file"),
        (Path(), {"name": ""}, "file '.' names no file"),
        ("a.exr", {"name": ""}, "file: name must not be empty"),
        (7, {"name": "a"}, "file: cannot read from int"),
        (None, {}, "file: cannot read from NoneType"),
        (["a.exr"], {"name": "a"}, "file: cannot read from list"),
        (io.StringIO("abc"), {"name": "a"}, "file 'a' is open as text; open it in binary mode"),
        (Notes("abc"), {}, "file 'notes.txt' is open as text; open it in binary mode"),
        (b"abc", {"name": "a", "size": -1}, "file 'a': size must be a number of bytes, not -1"),
        (b"abc", {"name": "a", "size": True}, "file 'a': size must be a number of bytes, not True"),
        (b"abc", {"name": "a", "size": 3.0}, "file 'a': size must be a number of bytes, not 3.0"),
    ],
)
def test_bad_files_are_named(source: Any, arguments: dict[str, Any], complaint: str) -> None:
    """What can be no file is refused when it is made, by name."""
    with refused(complaint):
        File(source, **arguments)


async def test_a_stream_needs_its_size() -> None:
    """An async stream cannot be measured, so its size is asked for."""
    stream = pieces(b"abc")
    with refused("file 'a': size= is needed for a stream"):
        File(stream, name="a")


async def test_a_pipe_needs_its_size(threads: Threads) -> None:
    """What cannot seek cannot be measured, so its size is asked for."""
    with refused("file 'a': size= is needed, as the source cannot seek"):
        await File(Pipe(b"abc"), name="a").measure(threads)  # type: ignore[arg-type]  # a raw file is enough


@pytest.mark.parametrize("kind", ["path", "bytes", "open file"])
async def test_a_size_that_does_not_fit(kind: str, path: Path, threads: Threads) -> None:
    """A size that was given must be the real one."""
    file = KINDS[kind](path)
    wrong = File(file.source, name=file.name, size=len(CONTENT) - 1)
    right = File(file.source, name=file.name, size=len(CONTENT))
    with refused(f"file 'plate.exr' has {len(CONTENT)} bytes, not size={len(CONTENT) - 1}"):
        await wrong.measure(threads)
    assert await right.measure(threads) == len(CONTENT)


@pytest.mark.parametrize("kind", ["pipe", "stream"])
@pytest.mark.parametrize(
    ("size", "complaint"),
    [(len(CONTENT) - 1, "became longer"), (len(CONTENT) + 1, "(became shorter|ended early)"), (0, "longer")],
)
async def test_a_stream_of_another_size(
    kind: str, size: int, complaint: str, path: Path, threads: Threads
) -> None:
    """A stream that is longer or shorter than it said is found out, at the latest at its end."""
    file = KINDS[kind](path)
    wrong = File(file.source, name="plate.exr", size=size)
    with pytest.raises(IntegrityError, match=rf"file 'plate\.exr' .*{complaint}"):
        async with wrong.open(threads) as reader:
            await read_all(reader)


def longer(path: Path) -> None:
    """Append to the file, as a renderer does that is still writing."""
    with path.open("ab") as file:
        file.write(b"more")


def shorter(path: Path) -> None:
    """Cut the file."""
    os.truncate(path, CHUNK + 1)


def other(path: Path) -> None:
    """Overwrite the file with as many other bytes, a moment later."""
    before = path.stat().st_mtime_ns
    path.write_bytes(CONTENT[::-1])
    os.utime(path, ns=(before + 1, before + 1))


@pytest.mark.parametrize("change", [longer, shorter, other])
@pytest.mark.parametrize("opened_by", ["us", "the caller"])
async def test_a_file_that_changes_while_it_is_read(
    change: Callable[[Path], None], opened_by: str, path: Path, threads: Threads
) -> None:
    """A mixed file never passes for a whole one: the reader says what happened instead of ending."""
    with path.open("rb") as source:
        file = File(path) if opened_by == "us" else File(source, name=path.name)
        async with file.open(threads) as reader:
            await reader.read()
            change(path)
            with pytest.raises(
                IntegrityError, match=r"'plate\.exr' (changed|became shorter) while it was read"
            ):
                await read_all(reader)


async def test_a_file_that_is_replaced_while_it_is_read(path: Path, threads: Threads) -> None:
    """Another file renamed over it does not disturb the one that was opened."""
    async with File(path).open(threads) as reader:
        start = await reader.read()
        (path.parent / "new").write_bytes(b"other")
        (path.parent / "new").replace(path)
        assert start + await read_all(reader) == CONTENT


async def test_a_file_that_changes_between_measure_and_open(
    path: Path, threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The size that was promised is the size that is sent, or the reader says so."""
    file = File(path)
    measure = file.measure

    async def measure_then_change(threads: Threads) -> int:
        size = await measure(threads)
        longer(path)
        return size

    monkeypatch.setattr(file, "measure", measure_then_change)
    with pytest.raises(IntegrityError, match="became longer while it was read"):
        async with file.open(threads) as reader:
            await read_all(reader)


@pytest.fixture
def strange_files(tmp_path: Path) -> Iterator[dict[str, Path]]:
    """Things in a folder that are no regular files."""
    folder, pipe, listening = tmp_path / "folder", tmp_path / "pipe", tmp_path / "socket"
    folder.mkdir()
    os.mkfifo(pipe)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(listening))
        yield {"folder": folder, "pipe": pipe, "socket": listening, "device": Path("/dev/zero")}


@pytest.mark.parametrize(
    ("which", "complaint"),
    [
        ("folder", "is a directory; attach its files one by one"),
        ("pipe", "is not a regular file"),
        ("socket", "is not a regular file"),
        ("device", "is not a regular file"),
    ],
)
async def test_only_regular_files(
    which: str, complaint: str, strange_files: dict[str, Path], threads: Threads
) -> None:
    """Folders, pipes, sockets and devices are refused by name, without hanging on them."""
    path = strange_files[which]
    with refused(f"file {str(path)!r} {complaint}"):
        await File(path).measure(threads)
    with refused(f"file {str(path)!r} {complaint}"):
        async with File(path).open(threads):
            pass


async def test_a_pipe_put_in_a_files_place(
    path: Path, threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file swapped for a pipe after it was measured is refused, and the open does not wait for a writer."""
    file = File(path)

    async def measure_then_swap(threads: Threads) -> int:
        path.unlink()
        os.mkfifo(path)
        return len(CONTENT)

    monkeypatch.setattr(file, "measure", measure_then_swap)
    with refused(f"file {str(path)!r} is not a regular file"):
        async with file.open(threads):
            pass


async def test_a_missing_file(tmp_path: Path, threads: Threads) -> None:
    """A path that leads nowhere is Python's own error, with the path in it."""
    file = File(tmp_path / "missing.exr")
    with pytest.raises(FileNotFoundError, match=r"missing\.exr"):
        await file.measure(threads)
    with pytest.raises(FileNotFoundError, match=r"missing\.exr"):
        async with file.open(threads):
            pass


async def test_a_symlink_is_followed(path: Path, threads: Threads) -> None:
    """A symlink to a file is that file under its own name."""
    link = path.parent / "latest.exr"
    link.symlink_to(path)
    async with File(link).open(threads) as reader:
        assert (reader.name, await read_all(reader)) == ("latest.exr", CONTENT)


async def test_names_and_reprs(tmp_path: Path) -> None:
    """A name given wins over the path's; a repr shows no content."""
    assert File(tmp_path / "b.exr", name="beauty").name == "beauty"
    assert repr(File("b.exr", name="beauty")) == "File('b.exr', name='beauty')"
    assert repr(File(b"secret", name="a")) == "File(bytes, name='a')"


async def test_cancelled_while_reading(path: Path, threads: Threads) -> None:
    """A reader that is cancelled leaves no thread and no open file; the file can be read again."""
    file = File(path)
    with anyio.CancelScope() as scope:
        async with file.open(threads) as reader:
            await reader.read(lambda chunk: anyio.from_thread.run_sync(scope.cancel))
            await anyio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert await threads.aclose() is True
    async with file.open(threads) as reader:
        assert await read_all(reader) == CONTENT


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Frames 1001 to 1010; returns their pattern."""
    for frame in range(1001, 1011):
        (tmp_path / f"beauty.{frame:04d}.exr").write_bytes(b"x" * frame)
    return tmp_path / "beauty.%04d.exr"


def opened_files() -> set[Path]:
    """Return the files that this process has open."""
    return {descriptor.resolve() for descriptor in Path("/proc/self/fd").iterdir()}


async def test_a_source_that_hangs_is_left_behind(path: Path, threads: Threads) -> None:
    """Whoever reads from a disk that hangs leaves at once; the file is closed when the disk answers."""
    hanging, answered = threading.Event(), threading.Event()

    def hang(chunk: bytes) -> None:
        hanging.set()
        answered.wait(30)

    async def cancel(scope: anyio.CancelScope) -> None:
        await anyio.to_thread.run_sync(hanging.wait, 30)
        scope.cancel()

    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            tasks.start_soon(cancel, scope)
            async with File(path).open(threads) as reader:
                await reader.read(hang)
    assert scope.cancelled_caught
    assert path in opened_files()
    answered.set()
    assert await threads.aclose()
    assert path not in opened_files()


async def test_a_frame_sequence_is_its_frames(frames: Path, threads: Threads) -> None:
    """A sequence has the files of its numbers in order, and their sizes together."""
    sequence = FrameSequence(frames, 1001, 1010)
    assert sequence.name == "beauty.%04d.exr"
    assert [file.name for file in sequence.files()] == [f"beauty.{n}.exr" for n in range(1001, 1011)]
    assert await sequence.measure(threads) == sum(range(1001, 1011))
    assert repr(sequence) == f"FrameSequence({str(frames)!r}, 1001, 1010)"
    assert FrameSequence(str(frames), 1001, 1001, name="one").name == "one"


async def test_missing_frames_are_counted(frames: Path, threads: Threads) -> None:
    """Holes are an error that names the first and counts them all."""
    (frames.parent / "beauty.1004.exr").unlink()
    (frames.parent / "beauty.1007.exr").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"^4 frames are missing of FrameSequence.*beauty\.1004\.exr$"
    ):
        await FrameSequence(frames, 1001, 1012).measure(threads)


async def test_a_frame_that_is_a_folder(frames: Path, threads: Threads) -> None:
    """Each frame must be a regular file."""
    (frames.parent / "beauty.1011.exr").mkdir()
    with pytest.raises(InvalidRequest, match=r"beauty\.1011\.exr' is a directory"):
        await FrameSequence(frames, 1001, 1011).measure(threads)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("beauty.exr", 1, 2), "pattern 'beauty.exr' needs a frame number like %04d in its last part"),
        (("%04d/beauty.exr", 1, 2), "pattern '%04d/beauty.exr' needs a frame number"),
        (("%d/beauty.%04d.exr", 1, 2), "pattern '%d/beauty.%04d.exr' needs a frame number"),
        (("%d.%04d.exr", 1, 2), "pattern '%d.%04d.exr' needs a frame number"),
        (("a.%s.%d", 1, 2), "pattern 'a.%s.%d' needs a frame number"),
        (("a%.%d", 1, 2), "pattern 'a%.%d' needs a frame number"),
        (("a.%99999999999d", 1, 2), "pattern 'a.%99999999999d' needs a frame number"),
        (("a.%d%", 1, 2), "pattern 'a.%d%' needs a frame number"),
        (("a.%%d", 1, 2), "pattern 'a.%%d' needs a frame number"),
        (("a.%d", 2, 1), "a.%d: cannot go from frame 2 to 1"),
        (("a.%d", -1, 1), "a.%d: cannot go from frame -1 to 1"),
        (("a.%d", 1.0, 2), "a.%d: cannot go from frame 1.0 to 2"),
        (("a.%d", True, 2), "a.%d: cannot go from frame True to 2"),
        (("a.%d", "1", 2), "a.%d: cannot go from frame '1' to 2"),
    ],
)
def test_bad_sequences_are_named(arguments: tuple[Any, Any, Any], complaint: str) -> None:
    """A pattern without exactly one number, or numbers that run backwards, are refused when it is made."""
    with refused(complaint):
        FrameSequence(*arguments)


@pytest.mark.parametrize("pattern", ["a.%d", "a.%4d", "a.%04d", "a.%010d", "100%%.%d.exr"])
def test_patterns_of_any_width(pattern: str) -> None:
    """printf's own widths are taken."""
    assert FrameSequence(pattern, 7, 7).files()[0].name == pattern % 7


async def test_a_real_file_opened_by_the_caller(path: Path, threads: Threads) -> None:
    """A file the caller opened is read like any other and left open for him to close."""
    with path.open("rb") as source:
        async with File(source, name="plate.exr").open(threads) as reader:
            assert await read_all(reader) == CONTENT
        assert not source.closed
