"""A command's output kept in files of limited size, the oldest of which are dropped."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import BinaryIO

__all__ = ["LogFiles"]

FILES = 4
"""The most files kept."""


class LogFiles:
    """Writes to `NAME.log`; when that is full it becomes `NAME.1.log`, and so on. Fed from any thread.

    Attributes:
        trouble: Why nothing more is written, such as a full disk; the command must not suffer from it.
    """

    def __init__(self, folder: Path, name: str, limit: int) -> None:
        self._folder = folder
        self._name = name
        self._size = max(1, limit // FILES)
        self._lock = threading.Lock()
        self._written = 0
        self._file: BinaryIO | None = self._path(0).open("wb", buffering=0)
        self.trouble: OSError | None = None

    def write(self, block: bytes) -> None:
        """Append the block, beginning another file where this one is full."""
        with self._lock:
            rest = memoryview(block)
            try:
                while rest and self._file is not None:
                    if self._written >= self._size:
                        self._rotate()
                    number = self._file.write(rest[: self._size - self._written])
                    self._written += number
                    rest = rest[number:]
            except OSError as error:
                self.trouble = error
                self._close()

    def close(self) -> list[Path]:
        """Return the files, the newest first."""
        with self._lock:
            self._close()
        return [path for path in map(self._path, range(FILES)) if path.exists()]

    def _rotate(self) -> None:
        self._close()
        for number in reversed(range(FILES - 1)):
            if self._path(number).exists():
                self._path(number).replace(self._path(number + 1))
        self._file = self._path(0).open("wb", buffering=0)
        self._written = 0

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _path(self, number: int) -> Path:
        return self._folder / (f"{self._name}.{number}.log" if number else f"{self._name}.log")
