"""Journals of transfers: what the next call needs to go on where a killed one stopped.

One small file of lines for each transfer, in the user's own state folder, locked while the transfer runs. It
may hold links that need no further credentials, so nobody else may read it.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any, Self

import platformdirs

from callsheet._locks import lock

__all__ = ["KEPT", "Journal"]

KEPT = 7 * 24 * 3600
"""Seconds after which a journal is of no use any more."""


class Journal:
    """The journal of one transfer, open and locked.

    Its methods block, and are called in a thread.
    """

    def __init__(self, path: Path, handle: int) -> None:
        self._path = path
        self._handle = handle

    @classmethod
    def open(cls, *identity: object) -> Self | None:
        """Open the journal of what is identified so; `None` if another transfer of the same has it.

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

    def records(self) -> list[dict[str, Any]]:
        """Return what an earlier call has left, in order; a line that is damaged is an empty record."""
        os.lseek(self._handle, 0, os.SEEK_SET)
        with os.fdopen(os.dup(self._handle), "rb") as file:
            *lines, rest = file.read().split(b"\n")
        if rest:
            # It was cut off when its writer was killed, and must not run into the next one.
            os.ftruncate(self._handle, sum(len(line) + 1 for line in lines))
        if time.time() - os.fstat(self._handle).st_mtime > KEPT:
            return []
        return [_decoded(line) for line in lines]

    def restart(self, record: dict[str, Any]) -> None:
        """Forget what was there, and write the first record."""
        os.ftruncate(self._handle, 0)
        self.append(record)

    def append(self, record: dict[str, Any]) -> None:
        """Write one more record, which survives from now on."""
        os.write(self._handle, json.dumps(record, separators=(",", ":")).encode() + b"\n")
        os.fsync(self._handle)

    def remove(self) -> None:
        """Remove it: the transfer is over, or cannot go on."""
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close it, and let go of the lock."""
        os.close(self._handle)


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
