"""Hashes of many files: in threads, many small files in one trip, each unchanged while it was read."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

import attrs
from xxhash import xxh3_128, xxh3_128_hexdigest

from callsheet._errors import IntegrityError, InvalidRequest
from callsheet._files import CHUNK
from callsheet._threads import Threads
from callsheet._together import together

__all__ = ["Hashed", "Outcome", "Stamp", "hash_file", "hash_files", "look"]

BATCH_FILES = 500
BATCH_BYTES = 64 << 20
"""What one trip to a thread takes on at most; a single larger file is one trip."""

LARGEST = (1 << 63) - 1

AT_ONCE = max(2, min(8, os.cpu_count() or 2))
"""Threads that hash, as xxhash lets others run meanwhile."""


@attrs.frozen
class Stamp:
    """What tells one version of a file from another; times are free of time zones."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, found: os.stat_result) -> Stamp:
        """Return the stamp of a file that was looked at."""
        # The largest numbers of devices and inodes do not fit into the signed ones of a database.
        device, inode = found.st_dev & LARGEST, found.st_ino & LARGEST
        return cls(device, inode, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def same_bytes(self, other: Stamp) -> bool:
        """Tell whether the file is the same and was not written to: its rights and links may differ."""
        return attrs.evolve(self, ctime_ns=other.ctime_ns) == other


@attrs.frozen
class Hashed:
    """A file and the hash of its content."""

    stamp: Stamp
    hash: str


Outcome: TypeAlias = Hashed | Exception
"""What became of a file: an `OSError`, or an `InvalidRequest` or `IntegrityError` that names it."""


async def hash_files(files: Sequence[tuple[str, Stamp]], threads: Threads) -> list[Outcome]:
    """Return the hash of each file that was looked at, in order; files that fail do not stop the others.

    Args:
        files: Their paths, and what they were when they were looked at.
        threads: Read and hash.
    """
    outcomes: list[Outcome] = []
    batches = list(_batches(files))
    results: dict[int, list[Outcome]] = {}
    left = iter(enumerate(batches))
    stopped = threading.Event()

    async def work() -> None:
        for index, batch in left:
            results[index] = await threads.run(_hash_batch, batch, stopped.is_set, abandon=True)

    try:
        await together([work] * min(AT_ONCE, len(batches)))
    finally:
        # A thread that was left behind ends with the chunk at hand.
        stopped.set()
    for index in range(len(batches)):
        outcomes += results[index]
    return outcomes


def look(path: str) -> Stamp:
    """Return what a file is now.

    Raises:
        OSError: It cannot be looked at.
        InvalidRequest: It is no regular file.
    """
    # Making a Path of each of many files would cost as much as the look.
    found = os.stat(path)  # noqa: PTH116
    if stat.S_ISDIR(found.st_mode):
        raise InvalidRequest(f"file {path!r} is a directory; give its files, or name it in asset references")
    if not stat.S_ISREG(found.st_mode):
        raise InvalidRequest(f"file {path!r} is not a regular file")
    return Stamp.of(found)


def hash_file(path: str, known: Stamp, is_stopped: Callable[[], bool] = lambda: False) -> Hashed:
    """Return the hash of a file that was looked at before.

    Raises:
        IntegrityError: It is not the same any more, or was written to meanwhile.
        OSError: It cannot be read.
    """
    # Non-blocking, so that a pipe put in the file's place cannot hang the open.
    file = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        found, digest = 0, None
        data = os.read(file, min(CHUNK, known.size + 1))
        if len(data) == known.size:  # small, and read in one piece
            found, digest = len(data), xxh3_128_hexdigest(data)
        else:
            hasher = xxh3_128()
            while data and not is_stopped():
                hasher.update(data)
                found += len(data)
                data = os.read(file, CHUNK)
            digest = hasher.hexdigest()
        now = Stamp.of(os.fstat(file))
    finally:
        os.close(file)
    if found != known.size or not now.same_bytes(known):
        raise IntegrityError(f"file {path!r} changed while it was read; nothing was created")
    return Hashed(now, digest)


def _hash_batch(batch: Sequence[tuple[str, Stamp]], is_stopped: Callable[[], bool]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for path, stamp in batch:
        if is_stopped():
            break
        try:
            outcomes.append(hash_file(path, stamp, is_stopped))
        except (OSError, IntegrityError) as error:
            outcomes.append(error)
    return outcomes


def _batches(files: Iterable[tuple[str, Stamp]]) -> Iterator[list[tuple[str, Stamp]]]:
    batch: list[tuple[str, Stamp]] = []
    size = 0
    for file in files:
        if batch and (len(batch) == BATCH_FILES or size + file[1].size > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file[1].size
    if batch:
        yield batch
