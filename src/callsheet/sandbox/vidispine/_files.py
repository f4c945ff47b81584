"""The files of a Vidispine server: records of what is on its storages, and the bytes in a folder."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import attrs

from callsheet.sandbox.vidispine._errors import file_exists, not_found
from callsheet.sandbox.vidispine._values import Document, fields, stamp

if TYPE_CHECKING:
    from callsheet.sandbox.vidispine import Vidispine
    from callsheet.sandbox.vidispine._jobs import Job

__all__ = ["STATES", "File", "Files"]

STATES = (
    "NONE",
    "OPEN",
    "CLOSED",
    "UNKNOWN",
    "MISSING",
    "LOST",
    "TO_APPEAR",
    "TO_BE_DELETED",
    "BEING_READ",
    "ARCHIVED",
    "AWAITING_SYNC",
)


@attrs.define(eq=False, kw_only=True)
class File:
    """What is known about one file.

    Attributes:
        hash: SHA-1, as hex; empty until it is known.
    """

    id: str
    storage: str
    path: str
    state: str
    timestamp: datetime
    size: int = 0
    hash: str = ""
    metadata: dict[str, str] = attrs.field(factory=dict)


class Files:
    """Every file, in order of creation.

    Args:
        folder: Where the bytes are; it is made here.
    """

    def __init__(self, part: Vidispine, folder: Path) -> None:
        self.by_id: dict[str, File] = {}
        self._at: dict[tuple[str, str], str] = {}
        self._part = part
        self._folder = folder
        folder.mkdir()

    def get(self, identity: str, storage: str | None = None) -> File:
        """Return a file.

        Raises:
            VidispineError: There is no such file, or not on that storage.
        """
        file = self.by_id.get(identity)
        if file is None or storage not in {None, file.storage}:
            raise not_found("File", identity)
        return file

    def at(self, storage: str, path: str) -> File | None:
        """Return the file that has a path on a storage."""
        return self.by_id.get(self._at.get((storage, path), ""))

    def at_uri(self, uri: str) -> File | None:
        """Return the file that a decoded URI leads to."""
        for storage in self._part.storages.by_id.values():
            for method in storage["method"]:
                if uri.startswith(method["uri"]) and (
                    file := self.at(storage["id"], uri[len(method["uri"]) :])
                ):
                    return file
        return None

    def check_free(self, storage: str, path: str | None) -> None:
        """See that a path may be had on a storage.

        Raises:
            VidispineError: A file has it.
        """
        there = self.at(storage, path) if path else None
        if there is not None:
            raise file_exists(storage, there.id, there.path)

    def add(self, storage: str, path: str | None, *, extension: str = "", state: str = "OPEN") -> File:
        """Make a file without bytes; without a path, it is named after its id."""
        identity = self._part.new_id("file")
        path = path if path is not None else f"{identity}{extension}"
        now = self._part.now()
        file = File(id=identity, storage=storage, path=path, state=state, timestamp=now)
        file.metadata["created"] = stamp(now)
        self.by_id[identity] = file
        self._at[storage, path] = identity
        return file

    def bytes_of(self, file: File) -> Path:
        """Return where a file's bytes are, or would be."""
        return self._folder / file.id

    def scratch(self, name: str) -> Path:
        """Return where bytes may be that belong to no file yet."""
        return self._folder / f".{name}"

    def hashed(self, path: Path) -> str:
        """Return the hash of bytes, if this server makes such."""
        if not self._part.hashes:
            return ""
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, lambda: hashlib.sha1(usedforsecurity=False)).hexdigest()

    def fill(self, file: File, source: Path, digest: str) -> None:
        """Give a file its bytes, which leave where they were."""
        source.replace(self.bytes_of(file))
        file.size, file.hash, file.timestamp = self.bytes_of(file).stat().st_size, digest, self._part.now()

    def close(self, file: File) -> None:
        """Say that a file is whole."""
        file.state = "CLOSED"

    def copy(self, source: File, storage: str, *, path: str | None = None, extension: str = "") -> File:
        """Make a file with the same bytes."""
        copy = self.add(storage, path, extension=extension)
        copy.size, copy.hash = source.size, source.hash
        if self.bytes_of(source).exists():
            # Bytes are put in place of others, never changed: two names may lead to the same.
            link_or_copy(self.bytes_of(source), self.bytes_of(copy))
        return copy

    def move(self, file: File, storage: str, path: str) -> None:
        """Put a file elsewhere."""
        self._at.pop((file.storage, file.path), None)
        file.storage, file.path = storage, path
        self._at[storage, path] = file.id

    def remove(self, file: File) -> None:
        """Forget a file and its bytes."""
        self._at.pop((file.storage, file.path), None)
        self.by_id.pop(file.id, None)
        self.bytes_of(file).unlink(missing_ok=True)
        self._part.items.forget_file(file)

    def size_of_source(self, job: Job) -> int:
        """Return how many bytes a job has to move."""
        for name in ("fileId", "sourceFileId"):
            if file := self.by_id.get(job.data.get(name, "")):
                return file.size
        return 0

    def uris(
        self, file: File, wanted: Callable[[Mapping[str, str]], bool] = lambda method: True
    ) -> list[str]:
        """Return where a file is, by each method of its storage."""
        storage = self._part.storages.by_id.get(file.storage, {"method": []})
        return [method["uri"] + quote(file.path) for method in storage["method"] if wanted(method)]

    def document(
        self,
        file: File,
        *,
        item: bool = False,
        wanted: Callable[[Mapping[str, str]], bool] = lambda method: True,
    ) -> Document:
        """Write a file; with what it is tied to, and with those of its URIs that are wanted."""
        document: Document = {"id": file.id, "path": file.path}
        if uris := self.uris(file, wanted):
            document["uri"] = uris
        document |= {"state": file.state, "size": file.size}
        if file.hash:
            document["hash"] = file.hash
        document |= {"timestamp": stamp(file.timestamp), "refreshFlag": 1, "storage": file.storage}
        document["metadata"] = fields(file.metadata)
        if item and (tied := self._part.items.tied_to(file)):
            document["item"] = tied
        return document


def link_or_copy(source: Path, target: Path) -> None:
    """Make the same bytes be under another name."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
