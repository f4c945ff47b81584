"""Journals of uploads in parts: what the next call needs to go on where a killed one stopped.

One small file for each upload, in the user's own state folder, locked while the upload runs. It holds the
links that the parts are sent to, so nobody else may read it.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import attrs
import platformdirs

from callsheet._locks import lock

__all__ = ["Journal", "Session"]

KEPT = 7 * 24 * 3600
"""Seconds after which a journal is of no use: its links are long dead."""


@attrs.define
class Session:
    """An upload in parts that the server has agreed to.

    Attributes:
        component_id: The component that it will be the bytes of.
        upload_id: The server's own id of it.
        part_size: Bytes of each part but the last.
        urls: Where each part goes, from part 1 on.
        e_tags: What the storage answered for the parts it has, by number.
        resumed: It was begun by an earlier call.
    """

    component_id: str
    upload_id: str
    part_size: int
    urls: list[str]
    e_tags: dict[int, str] = attrs.field(factory=dict)
    resumed: bool = False


class Journal:
    """The journal of one upload, open and locked.

    Its methods block, and are called in a thread.
    """

    def __init__(self, path: Path, handle: int) -> None:
        self._path = path
        self._handle = handle

    @classmethod
    def open(cls, *identity: object) -> Journal | None:
        """Open the journal of what is identified so; `None` if another upload of the same has it.

        Raises:
            OSError: There is no place for it.
        """
        folder = platformdirs.user_state_path("callsheet") / "transfers"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _prune(folder)
        name = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
        path = folder / f"{name}.journal"
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                if not lock(handle, wait=False):
                    os.close(handle)
                    return None
            except OSError:
                os.close(handle)
                raise
            if os.fstat(handle).st_nlink:
                return cls(path, handle)
            os.close(handle)  # its last owner removed it while we waited for the lock

    def read(self) -> Session | None:
        """Return what an earlier call has left, or `None`."""
        os.lseek(self._handle, 0, os.SEEK_SET)
        with os.fdopen(os.dup(self._handle), "rb") as file:
            *lines, rest = file.read().split(b"\n")
        if rest:
            # It was cut off when its writer was killed, and must not run into the next one.
            os.ftruncate(self._handle, sum(len(line) + 1 for line in lines))
        records = [_decoded(line) for line in lines]
        if not records or time.time() - os.fstat(self._handle).st_mtime > KEPT:
            return None
        try:
            session = Session(**records[0], resumed=True)
            session.e_tags = {record["part"]: record["e_tag"] for record in records[1:]}
        except (KeyError, TypeError):
            return None
        return session

    def begin(self, session: Session) -> None:
        """Forget what was there, and note a session that begins."""
        os.ftruncate(self._handle, 0)
        self._append(attrs.asdict(session, filter=attrs.filters.exclude("e_tags", "resumed")))

    def note(self, part: int, e_tag: str) -> None:
        """Note that the storage has a part."""
        self._append({"part": part, "e_tag": e_tag})

    def remove(self) -> None:
        """Remove it: the upload is over, or cannot go on."""
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        os.close(self._handle)

    def _append(self, record: dict[str, Any]) -> None:
        os.write(self._handle, json.dumps(record, separators=(",", ":")).encode() + b"\n")
        os.fsync(self._handle)


def _decoded(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _prune(folder: Path) -> None:
    for path in folder.glob("*.journal"):
        try:
            if time.time() - path.stat().st_mtime > KEPT:
                path.unlink()
        except FileNotFoundError:  # another process was quicker
            continue
