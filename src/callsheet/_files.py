"""Files on their way to a tracker: a name, a size, and bytes that are hashed while they are read."""

from __future__ import annotations

import io
import os
import re
import stat
import threading
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from callsheet._checks import text
from callsheet._errors import IntegrityError, InvalidRequest
from callsheet._threads import Threads

__all__ = ["CHUNK", "File", "FrameSequence", "Pieces", "Reader", "Source"]

CHUNK = 1 << 20
"""Bytes read in one trip to a thread: below this the trip costs more than the read."""

Source: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO | AsyncIterable[bytes]

_ONE_NUMBER = re.compile(r"(?:[^%]|%%)*%0?\d{0,2}d(?:[^%]|%%)*", re.DOTALL)
"""A name with one printf-style number; `%%` stands for a percent sign."""


class File:
    """A file to attach or upload.

    Args:
        source: A path, bytes, an open binary file (read from where it stands), or an async stream of bytes.
        name: The name it gets on the tracker; by default the path's last part. Needed unless the source is a
            path.
        size: Its size in bytes. Needed for a source that cannot tell, such as an async stream.

    Raises:
        InvalidRequest: The source is of no such kind, or its name or size is missing.
    """

    def __init__(self, source: Source, *, name: str | None = None, size: int | None = None) -> None:
        if isinstance(source, str | os.PathLike):
            given, source = source, Path(source)
            name = source.name if name is None else name
            if not name and not source.name:
                raise InvalidRequest(f"file {str(given)!r} names no file")
        elif not isinstance(source, bytes | AsyncIterable) and not hasattr(source, "read"):
            raise InvalidRequest(f"file: cannot read from {type(source).__name__}")
        elif isinstance(source, io.TextIOBase):
            shown = getattr(source, "name", None) if name is None else name
            raise InvalidRequest(f"file {shown!r} is open as text; open it in binary mode")
        if name is None:
            raise InvalidRequest("file: name= is needed unless the source is a path")
        if size is None and isinstance(source, AsyncIterable):
            raise InvalidRequest(f"file {name!r}: size= is needed for a stream")
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 0):
            raise InvalidRequest(f"file {name!r}: size must be a number of bytes, not {size!r}")
        self.source: Path | bytes | BinaryIO | AsyncIterable[bytes] = source
        self.name: str = text(name, "file: name")
        self._size = size
        self._begin: int | None = None
        self._spent = False

    def __repr__(self) -> str:
        shown = repr(str(self.source)) if isinstance(self.source, Path) else type(self.source).__name__
        return f"File({shown}, name={self.name!r})"

    async def measure(self, threads: Threads) -> int:
        """Return the size in bytes, without reading the source.

        Raises:
            InvalidRequest: Not a regular file, or `size` does not fit.
            OSError: The file cannot be looked at.
        """
        return await threads.run(self._measure)

    @asynccontextmanager
    async def open(self, threads: Threads, *, start: int = 0) -> AsyncIterator[Reader]:
        """Open the source for reading from byte `start` on; open it again to send it again.

        Raises:
            InvalidRequest: As `measure`; or a stream, which can be read only once, is opened again.
            OSError: The file cannot be opened.
        """
        size = await self.measure(threads)
        if isinstance(self.source, AsyncIterable):
            self._spend(start)
            stream = _StreamReader(self, size, threads)
            try:
                yield stream
            finally:
                await stream.aclose()
            return
        handle, known = await threads.run(self._open, start)
        reader = _BlockingReader(self, size, threads, handle, known, start)
        try:
            yield reader
        finally:
            reader.close()

    async def part(self, threads: Threads, start: int, length: int) -> AsyncGenerator[bytes, None]:
        """Yield the `length` bytes from `start` on, or those of them that there are.

        Raises:
            InvalidRequest, OSError: As `open`.
            IntegrityError: As `Reader.read`.
        """
        async with self.open(threads, start=start) as reader:
            while length and (chunk := await reader.read()):
                yield chunk[:length]
                length -= len(chunk[:length])

    def _measure(self) -> int:
        source = self.source
        if isinstance(source, Path):
            return self._fitting(_regular(source.stat(), source))
        if isinstance(source, bytes):
            return self._fitting(len(source))
        if not isinstance(source, AsyncIterable) and source.seekable():
            if self._begin is None:
                self._begin = source.tell()
            end = source.seek(0, os.SEEK_END)
            source.seek(self._begin)
            return self._fitting(end - self._begin)
        if self._size is None:
            raise InvalidRequest(f"file {self.name!r}: size= is needed, as the source cannot seek")
        return self._size

    def _open(self, start: int) -> tuple[BinaryIO, os.stat_result | None]:
        source = self.source
        assert not isinstance(source, AsyncIterable)
        if isinstance(source, bytes):
            handle: BinaryIO = io.BytesIO(source)
        elif isinstance(source, Path):
            # Non-blocking, so that a pipe put in the file's place cannot hang the open.
            opened = os.open(source, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
            handle = os.fdopen(opened, "rb", buffering=0)
            known = os.fstat(opened)
            try:
                _regular(known, source)
            except InvalidRequest:
                handle.close()
                raise
            handle.seek(start)
            return handle, known
        else:
            handle = source
            if not source.seekable():
                self._spend(start)
                return handle, None
        handle.seek((self._begin or 0) + start)
        return handle, _known(handle)

    def _fitting(self, found: int) -> int:
        if self._size is not None and self._size != found:
            raise InvalidRequest(f"file {self.name!r} has {found} bytes, not size={self._size}")
        return found

    def _spend(self, start: int) -> None:
        if self._spent or start:
            raise InvalidRequest(f"file {self.name!r} is a stream and has been read; give it anew")
        self._spent = True


class Reader:
    """An open source: its bytes from the start on, each chunk handed to sinks in the thread that read it."""

    def __init__(self, file: File, size: int, threads: Threads) -> None:
        self.name = file.name
        self.size = size
        self._threads = threads
        self._left = size

    @property
    def identity(self) -> tuple[str, int, int] | None:
        """Path, size and mtime in ns, by which a killed upload is found again; `None` if it cannot be."""
        return None

    async def read(self, *sinks: Callable[[bytes], object]) -> bytes:
        """Return the next chunk of at most `CHUNK` bytes, after handing it to each sink; `b""` at the end.

        Raises:
            IntegrityError: The source is shorter or longer than it said, or changed meanwhile.
        """
        raise AssertionError

    def _wrong(self, what: str) -> IntegrityError:
        return IntegrityError(f"file {self.name!r} {what} while it was read; nothing of it was kept")


class Pieces:
    """The bytes of an open source in pieces of any size, each chunk handed to the sinks as it is read."""

    def __init__(self, reader: Reader, *sinks: Callable[[bytes], object]) -> None:
        self._reader = reader
        self._sinks = sinks
        self._rest = b""

    async def take(self, size: int) -> bytes:
        """Return the next `size` bytes, or what is left.

        Raises:
            IntegrityError: As `Reader.read`.
        """
        pieces, length = [self._rest], len(self._rest)
        while length < size and (piece := await self._reader.read(*self._sinks)):
            pieces.append(piece)
            length += len(piece)
        data = b"".join(pieces)
        self._rest = data[size:]
        return data[:size]


class _BlockingReader(Reader):
    def __init__(
        self,
        file: File,
        size: int,
        threads: Threads,
        handle: BinaryIO,
        known: os.stat_result | None,
        start: int,
    ) -> None:
        super().__init__(file, size, threads)
        self._path = file.source if isinstance(file.source, Path) else None
        self._handle = handle
        self._owned = handle is not file.source
        self._known = known
        self._left = size - start
        self._lock = threading.Lock()
        self._busy = False
        self._closed = False

    @property
    def identity(self) -> tuple[str, int, int] | None:
        if self._path is None or self._known is None:
            return None
        return str(self._path.absolute()), self._known.st_size, self._known.st_mtime_ns

    async def read(self, *sinks: Callable[[bytes], object]) -> bytes:
        # A disk that hangs must not hold its reader beyond the stall limit. Only files that are ours to close
        # are left behind: whoever opened one may go on to use it.
        return await self._threads.run(self._read_alone, sinks, abandon=self._owned)

    def close(self) -> None:
        """Close the file now, or as soon as the thread that was left behind is done with it."""
        with self._lock:
            self._closed = True
            if self._owned and not self._busy:
                self._handle.close()

    def _read_alone(self, sinks: tuple[Callable[[bytes], object], ...]) -> bytes:
        with self._lock:
            if self._closed:
                return b""
            self._busy = True
        try:
            return self._read(sinks)
        finally:
            with self._lock:
                self._busy = False
                if self._closed and self._owned:
                    self._handle.close()

    def _read(self, sinks: tuple[Callable[[bytes], object], ...]) -> bytes:
        chunk = self._handle.read(min(CHUNK, self._left)) if self._left else b""
        if not chunk:
            self._check_end()
        self._left -= len(chunk)
        for sink in sinks if chunk else ():
            sink(chunk)
        return chunk

    def _check_end(self) -> None:
        if self._left:
            raise self._wrong("became shorter")
        if self._known is not None and _version(self._known) != _version(os.fstat(self._handle.fileno())):
            raise self._wrong("changed")
        if self._handle.read(1):
            raise self._wrong("became longer")


class _StreamReader(Reader):
    def __init__(self, file: File, size: int, threads: Threads) -> None:
        super().__init__(file, size, threads)
        assert isinstance(file.source, AsyncIterable)
        self._chunks = aiter(file.source)
        self._rest = memoryview(b"")

    async def read(self, *sinks: Callable[[bytes], object]) -> bytes:
        while not self._rest:
            piece = await anext(self._chunks, None)
            if piece is None:
                if self._left:
                    raise self._wrong("ended early")
                return b""
            self._rest = memoryview(piece)
        if len(self._rest) > self._left:
            raise self._wrong("became longer")
        chunk, self._rest = bytes(self._rest[:CHUNK]), self._rest[CHUNK:]
        self._left -= len(chunk)
        if sinks:
            await self._threads.run(_feed, chunk, sinks)
        return chunk

    async def aclose(self) -> None:
        # A generator left half way would be closed by the garbage collector, at any time and on any task.
        if isinstance(self._chunks, AsyncGenerator):
            await self._chunks.aclose()


def _feed(chunk: bytes, sinks: tuple[Callable[[bytes], object], ...]) -> None:
    for sink in sinks:
        sink(chunk)


def _known(handle: BinaryIO) -> os.stat_result | None:
    try:
        return os.fstat(handle.fileno())
    except (AttributeError, OSError):  # it is in memory
        return None


def _version(found: os.stat_result) -> tuple[int, int]:
    return found.st_size, found.st_mtime_ns


def _regular(found: os.stat_result, path: Path) -> int:
    if stat.S_ISDIR(found.st_mode):
        raise InvalidRequest(f"file {str(path)!r} is a directory; attach its files one by one")
    if not stat.S_ISREG(found.st_mode):
        raise InvalidRequest(f"file {str(path)!r} is not a regular file")
    return found.st_size


class FrameSequence:
    """Numbered files that are one component, such as `FrameSequence("beauty.%04d.exr", 1001, 1100)`.

    Args:
        pattern: The path of a frame, with one printf-style number (`%04d`) in its last part.
        first: The number of the first frame.
        last: The number of the last frame, inclusive.
        name: The name it gets on the tracker; by default the pattern's last part.

    Raises:
        InvalidRequest: The pattern has no number, or `last` comes before `first`.
    """

    def __init__(
        self, pattern: str | os.PathLike[str], first: int, last: int, *, name: str | None = None
    ) -> None:
        self.pattern: Path = Path(pattern)
        if not _ONE_NUMBER.fullmatch(self.pattern.name) or "%" in str(self.pattern.parent):
            raise InvalidRequest(f"pattern {str(pattern)!r} needs a frame number like %04d in its last part")
        numbers: list[Any] = [first, last]
        if any(isinstance(n, bool) or not isinstance(n, int) for n in numbers) or not 0 <= first <= last:
            raise InvalidRequest(f"{self.pattern}: cannot go from frame {first!r} to {last!r}")
        self.first: int = first
        self.last: int = last
        self.name: str = text(self.pattern.name if name is None else name, "file: name")

    def __repr__(self) -> str:
        return f"FrameSequence({str(self.pattern)!r}, {self.first}, {self.last})"

    def files(self) -> list[File]:
        """Return the frames in order."""
        return [
            File(self.pattern.with_name(self.pattern.name % frame))
            for frame in range(self.first, self.last + 1)
        ]

    async def measure(self, threads: Threads) -> int:
        """Return the size of all frames together, without reading them.

        Raises:
            FileNotFoundError: Frames are missing; the message names the first of them and says how many.
        """
        return await threads.run(self._measure)

    def _measure(self) -> int:
        total, missing = 0, []
        for file in self.files():
            assert isinstance(file.source, Path)
            try:
                total += _regular(file.source.stat(), file.source)
            except FileNotFoundError:
                missing.append(file.name)
        if missing:
            raise FileNotFoundError(
                f"{len(missing)} frames are missing of {self!r}, the first is {missing[0]}"
            )
        return total
