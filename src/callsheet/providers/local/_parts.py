"""Files that are being uploaded: a temporary name, a lock, and a hash that grows with them."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path
from typing import TypeAlias

from callsheet._files import CHUNK, File
from callsheet._locks import lock, sync_directory
from callsheet.providers.local._handle import Handle
from callsheet.providers.local._stamps import boot_id
from callsheet.providers.local._trouble import translating

__all__ = ["Identity", "Part", "claim"]

Identity: TypeAlias = tuple[str, int, int]
"""Path, size and time of change (ns) of a source: the same for as long as nobody changed it."""


def claim(file: File, directory: Path) -> Part:
    """Return the part of this file, locked, with what a killed upload has left of it.

    Another upload of the same file at the same time gets a part of its own, and so does a source that cannot
    be found again.

    Raises:
        OSError: The source cannot be looked at.
    """
    identity = _identity(file)
    with translating(directory):
        if identity is not None:
            # Of this boot only: a crash may have lost what was not synced, even from the middle.
            words = "\0".join([*map(str, identity), boot_id()])
            name = hashlib.sha256(words.encode(errors="surrogateescape")).hexdigest()
            path = directory / "tmp" / f"{name}.part"
            descriptor = open_locked(path)
            if descriptor is not None:
                return Part(path, descriptor, identity, keep=True)
        path = directory / "tmp" / f"{secrets.token_hex(16)}.part"
        descriptor = open_locked(path)
        assert descriptor is not None
        return Part(path, descriptor, identity, keep=False)


def _identity(file: File) -> Identity | None:
    if not isinstance(file.source, Path):
        return None
    found = file.source.stat()
    return str(file.source.absolute()), found.st_size, found.st_mtime_ns


def open_locked(path: Path) -> int | None:
    """Make the part or open it, and lock it; return `None` if somebody else has it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if not lock(descriptor, wait=False):
            os.close(descriptor)
            return None
        try:
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except FileNotFoundError:
            pass  # whoever had it was done just now, and took the name away
        os.close(descriptor)


class Part:
    """One file on its way. Its calls block; all but `finish` may be left behind in their threads."""

    def __init__(self, path: Path, descriptor: int, identity: Identity | None, *, keep: bool) -> None:
        self.identity = identity
        self.done = 0
        """Bytes that are in the part and in the hash."""
        self._path = path
        self._found = os.fstat(descriptor).st_size
        self._hash = hashlib.sha256()
        self._keep = keep
        self._handle = Handle(descriptor, self._clean)

    @property
    def has_rest(self) -> bool:
        """Whether more is in the part than in the hash."""
        return self._found > self.done

    def rehash(self) -> None:
        """Take in the next chunk of what is there already."""
        with self._handle.using() as descriptor:
            chunk = os.read(descriptor, CHUNK)
            self._take(chunk)

    def write(self, chunk: bytes) -> None:
        """Append the chunk."""
        with translating(self._path.parent), self._handle.using() as descriptor:
            written = 0
            while written < len(chunk):
                written += os.write(descriptor, memoryview(chunk)[written:])
            self._take(chunk)

    def sync(self) -> None:
        """Bring the bytes to disk."""
        with translating(self._path.parent), self._handle.using() as descriptor:
            os.fsync(descriptor)

    def finish(self, directory: Path) -> tuple[int, str]:
        """Give the synced bytes their final name below the directory; return their size and digest."""
        digest = self._hash.hexdigest()
        final = directory / digest[:2] / digest
        with translating(directory), self._handle.using():
            if not final.parent.exists():
                final.parent.mkdir(mode=0o700, exist_ok=True)
                sync_directory(directory)
            if final.exists() and final.stat().st_size == self.done:
                self._path.unlink()
            else:
                self._path.replace(final)
            sync_directory(final.parent)
            self._keep = True  # under its new name
            return self.done, digest

    def discard(self) -> None:
        """Do not keep the part for another try."""
        self._keep = False

    def close(self) -> None:
        """Give the part up: it stays for another try if its source can be found again, else it is removed."""
        self._handle.close()

    def _take(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        self.done += len(chunk)

    def _clean(self) -> None:
        if not self._keep:
            self._path.unlink(missing_ok=True)
