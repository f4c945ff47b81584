"""Bytes in a directory, named by their SHA-256: each content once, whole or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

import anyio

from callsheet._errors import ConfigError, IntegrityError, QuotaExceeded, Timeout
from callsheet._files import CHUNK, File, Reader
from callsheet._locks import lock
from callsheet._threads import Threads
from callsheet.abc import Progress
from callsheet.providers.local._handle import Handle, acquire
from callsheet.providers.local._parts import Part, claim
from callsheet.providers.local._trouble import translating

__all__ = ["STALL", "Blobs", "Chunks"]

STALL = 60.0
"""Seconds that one chunk may take."""

THREADS = 16

R = TypeVar("R")


class Blobs:
    """The `files/` of one tracker: `aa/<sha256>` for whole files, `tmp/` for parts, `lock` for uploads."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._threads: Threads | None = None

    def open(self) -> None:
        """Get ready; call it inside an event loop."""
        self._threads = Threads(THREADS)

    async def aclose(self) -> bool:
        """Wait for threads in flight, for 5 seconds; return whether all have ended."""
        threads, self._threads = self._threads, None
        return threads is None or await threads.aclose()

    @property
    def threads(self) -> Threads:
        """The threads in which files are read and written."""
        if self._threads is None:
            raise ConfigError("the local tracker is not open: use `async with`", provider="local")
        return self._threads

    def path(self, digest: str) -> Path:
        """Return where the content with this SHA-256 is."""
        return self.directory / digest[:2] / digest

    # -- storing ---------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def uploading(self) -> AsyncIterator[None]:
        """Keep what is stored inside from being taken for garbage, until it has a row."""
        descriptor = await self.open_lock()
        try:
            with anyio.move_on_after(STALL) as patience:
                # A thread that waits could not be told to stop, and nobody tells when a lock is free.
                while not lock(descriptor, shared=True, wait=False):  # noqa: ASYNC110
                    await anyio.sleep(0.02)
            if patience.cancelled_caught:
                raise Timeout(f"collecting garbage in {self.directory} takes too long", provider="local")
            yield
        finally:
            os.close(descriptor)

    async def open_lock(self) -> int:
        """Return a new descriptor of the file that uploads and the collector of garbage lock."""

        def open_it() -> int:
            return os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)

        with translating(self.directory):
            return await acquire(self.threads, open_it, os.close)

    async def checksum(self, file: File) -> str:
        """Return the checksum of a file without keeping it."""
        digest = hashlib.sha256()
        async with file.open(self.threads) as reader:
            while await _next_chunk(reader, digest.update):
                pass
        return f"sha256:{digest.hexdigest()}"

    async def put(self, file: File, progress: Progress) -> tuple[int, str]:
        """Store the file's content; return its size and SHA-256 once the bytes are on disk.

        Raises:
            IntegrityError: The source changed while it was read.
            OSError: The source cannot be read.
        """
        part = await acquire(self.threads, partial(claim, file, self.directory), Part.close)
        try:
            while part.has_rest:
                await self.within(part.rehash, file.name)
                await progress(part.done)
            await self._fill(part, file, progress)
            await self.within(part.sync, file.name)
            return await self.threads.run(part.finish, self.directory)
        except (IntegrityError, QuotaExceeded):
            part.discard()
            raise
        finally:
            part.close()

    async def _fill(self, part: Part, file: File, progress: Progress) -> None:
        async with file.open(self.threads, start=part.done) as reader:
            if reader.identity != part.identity:
                raise IntegrityError(f"file {file.name!r} changed while it was read", provider="local")
            while await _next_chunk(reader, part.write):
                await progress(part.done)

    # -- reading ---------------------------------------------------------------------------------------------

    async def chunks(self, digest: str, size: int, name: str, start: int) -> Chunks:
        """Open the content at byte `start`.

        Raises:
            IntegrityError: It is not there, or not all of it.
        """
        opening = partial(_open_whole, self.path(digest), size, name, start)
        return Chunks(self, await acquire(self.threads, opening, os.close), name)

    async def within(self, function: Callable[[], R], name: str) -> R:
        """Call the function in a thread, which is left alone if it takes too long."""
        with anyio.move_on_after(STALL):
            return await self.threads.run(function, abandon=True)
        raise _stalled(name)


async def _next_chunk(reader: Reader, sink: Callable[[bytes], object]) -> bytes:
    """Read on, within the stall limit."""
    with anyio.move_on_after(STALL):
        return await reader.read(sink)
    raise _stalled(reader.name)


class Chunks:
    """The bytes of one stored file, in chunks of at most 1 MiB. Close it."""

    def __init__(self, blobs: Blobs, descriptor: int, name: str) -> None:
        self._blobs = blobs
        self._handle = Handle(descriptor)
        self._name = name

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        with translating(self._blobs.directory):
            chunk = await self._blobs.within(self._read, self._name)
        if not chunk:
            raise StopAsyncIteration
        return chunk

    def _read(self) -> bytes:
        with self._handle.using() as descriptor:
            return os.read(descriptor, CHUNK)

    def close(self) -> None:
        """Close the file."""
        self._handle.close()


def _open_whole(path: Path, size: int, name: str, start: int) -> int:
    with translating(path.parent.parent):
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError as exc:
            raise IntegrityError(
                f"the bytes of component {name} are gone ({path})", provider="local"
            ) from exc
        found = os.fstat(descriptor).st_size
        if found != size:
            os.close(descriptor)
            raise IntegrityError(f"component {name} has {found} bytes of {size} ({path})", provider="local")
        os.lseek(descriptor, start, os.SEEK_SET)
        return descriptor


def _stalled(name: str) -> Timeout:
    return Timeout(f"{name!r}: no byte was moved for {STALL:g} s", provider="local")
