"""Hashes of many files: in threads, many small files in one trip, each unchanged while it was read."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from xxhash import xxh3_128, xxh3_128_hexdigest

from callsheet._errors import IntegrityError, InvalidRequest
from callsheet._files import CHUNK
from callsheet._threads import Threads
from callsheet._together import together

__all__ = ["READ", "Hashed", "Outcome", "Stamp", "hash_file", "hash_files", "look"]

BATCH = 250
"""The most files of one trip to a thread."""

LARGEST = (1 << 63) - 1

# Non-blocking, so that a pipe put in a file's place cannot hang the open.
READ = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
"""How files are opened."""

SMALL = 64 << 10
"""What is read of a file at first: room for more would cost small files more than the reading."""

AT_ONCE = max(2, min(8, os.cpu_count() or 2))
"""Threads that hash, as xxhash lets others run meanwhile."""


class Stamp(NamedTuple):
    """What tells one version of a file from another; times are free of time zones.

    This and its likes are tuples, as there may be a hundred thousand of them.
    """

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, found: os.stat_result) -> Stamp:
        """Return the stamp of a file that was looked at."""
        # The largest numbers of inodes do not fit into the signed ones of a database.
        inode = found.st_ino & LARGEST
        return cls(found.st_dev, inode, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class Hashed(NamedTuple):
    """A file and the hash of its content."""

    stamp: Stamp
    hash: str


Outcome: TypeAlias = Hashed | Exception
"""What became of a file: an `OSError`, or an `InvalidRequest` or `IntegrityError` that names it."""


async def hash_files(paths: Sequence[str], threads: Threads) -> list[Outcome]:
    """Return the hash of each file, in order; files that fail do not stop the others.

    Args:
        paths: The files.
        threads: Read and hash.
    """
    size = max(1, min(BATCH, len(paths) // (4 * AT_ONCE)))
    batches = [paths[start : start + size] for start in range(0, len(paths), size)]
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
    return [outcome for index in range(len(batches)) for outcome in results[index]]


def look(path: str) -> Stamp:
    """Return what a file is now.

    Raises:
        OSError: It cannot be looked at.
    """
    # Making a Path of each of many files would cost as much as the look.
    return Stamp.of(os.stat(path))  # noqa: PTH116 - for speed


def hash_file(path: str, is_stopped: Callable[[], bool] = lambda: False) -> Hashed:
    """Return the hash of a file, and what the file was when it was read.

    Raises:
        IntegrityError: It was written to meanwhile.
        InvalidRequest: It is no regular file.
        OSError: It cannot be read.
    """
    file = os.open(path, READ)
    try:
        data = os.read(file, SMALL)
        if len(data) < SMALL:
            # All of a small file: what the file is thereafter decides whether these are its bytes.
            return _hashed(path, len(data), xxh3_128_hexdigest(data), os.fstat(file))
        before = os.fstat(file)
        hasher, size = xxh3_128(), 0
        while data and not is_stopped():
            hasher.update(data)
            size += len(data)
            data = os.read(file, CHUNK)
        hashed = _hashed(path, size, hasher.hexdigest(), os.fstat(file))
    except (IsADirectoryError, BlockingIOError):
        raise InvalidRequest(f"file {path!r} is not a regular file") from None
    finally:
        os.close(file)
    if Stamp.of(before).mtime_ns != hashed.stamp.mtime_ns:
        raise _changed(path)
    return hashed


def _hashed(path: str, size: int, digest: str, found: os.stat_result) -> Hashed:
    if not stat.S_ISREG(found.st_mode):
        raise InvalidRequest(f"file {path!r} is not a regular file")
    if size != found.st_size:
        raise _changed(path)
    return Hashed(Stamp.of(found), digest)


def _changed(path: str) -> IntegrityError:
    return IntegrityError(f"file {path!r} changed while it was read; nothing was created")


def _hash_batch(batch: Sequence[str], is_stopped: Callable[[], bool]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for path in batch:
        if is_stopped():
            break
        try:
            outcomes.append(hash_file(path, is_stopped))
        except (OSError, InvalidRequest, IntegrityError) as error:
            outcomes.append(error)
    return outcomes
